#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# crowd: a thousand ports of one user, up to his quota and all gone at once, hold nobody else up
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

start_fabric
umask 0
ipn-fabric net add "$NETS/quiet" --pool 512
steady_start quiet "$NETS/quiet"
before=$(links)
fds=$(still_fds)
as_nobody ipn-fabric net add "$NETS/wide" --nodes 2000

# Others see nothing of it: there is an answer, and a new member. This machine may be busy, too.
go_on() # WHAT
{
	timeout "$(limit 30)" ipn-fabric show "$NETS/quiet" >/dev/null ||
		fail "no answer to show within 10 s $1"
	OUT=$(timeout "$(limit 30)" ipncall socket "connect $NETS/quiet" close | tail -n 1)
	[ "$OUT" = ok ] ||
		fail "no way in within 10 s $1"
}

same_links()
{
	[ "$before" = "$(links)" ]
}

same_fds()
{
	echo "descriptors of the manager: $fds before, $(manager_fds) now: $(manager_fds_what)"
	[ "$(manager_fds)" = "$fds" ]
}

step "1024 ports, and not one more"
setpriv --reuid=65534 --regid=65534 --clear-groups -- hostile crowd "$NETS/wide" 1100 \
	>"$IPN_TEST_TMP/crowd" &
crowd=$!
for _ in {1..5}; do
	go_on "while a crowd joins"
	sleep 0.5
done
wait_until 90 grep -q ready "$IPN_TEST_TMP/crowd"
assert_eq "1024 EDQUOT" "$(head -n 1 "$IPN_TEST_TMP/crowd")" "ports of one user"
go_on "with a crowd"
calls "ok ok ok 2" socket "connect $NETS/wide" "send hi"

step "all of them at once: the network is removed"
as_nobody ipn-fabric net del "$NETS/wide" &
del=$!
for _ in {1..5}; do
	go_on "while a crowd goes"
done
wait $del || fail "net del"
kill -KILL $crowd
wait $crowd 2>/dev/null || true
wait_until 30 same_links
wait_until 20 same_fds
go_on "after a crowd"
steady_stop quiet 2000
stop_fabric
