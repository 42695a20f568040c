#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# attack: a user without rights holds nobody up: by descriptors that hang, by what it keeps
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

ANSWER_S=5 # this machine may be busy; what hangs here hangs for a minute

start_fabric
umask 0
ipn-fabric net add "$NETS/quiet" --pool 512
steady_start quiet "$NETS/quiet"

# A bad attack must not hide the next ones.
BAD=0
complain()
{
	echo "FAILED: $*" >&2
	BAD=$((BAD + 1))
}

# attack_start ARGUMENT...: as nobody until attack_stop; what it says first is in OUT. Status 77: this
# world has not what it takes.
attack_start()
{
	: >"$IPN_TEST_TMP/attack"
	setpriv --reuid=65534 --regid=65534 --clear-groups -- attack "$@" >"$IPN_TEST_TMP/attack" &
	ATTACK=$!
	wait_until 60 ready_or_gone
	OUT=$(grep -v ready "$IPN_TEST_TMP/attack" || true)
	kill -0 $ATTACK 2>/dev/null && return 0
	STATUS=0
	wait $ATTACK || STATUS=$?
	[ $STATUS = 77 ] || complain "$*: status $STATUS"
	return 1
}

ready_or_gone()
{
	grep -q ready "$IPN_TEST_TMP/attack" || ! kill -0 $ATTACK 2>/dev/null
}

attack_stop()
{
	kill -KILL $ATTACK
	wait $ATTACK 2>/dev/null || true
}

# go_on WHAT: others are answered.
go_on()
{
	timeout $ANSWER_S ipn-fabric show >/dev/null || { complain "$1: no answer to show" && return 1; }
	[ "$(timeout $ANSWER_S ipncall socket "connect $NETS/quiet" close | tail -n 1)" = ok ] ||
		complain "$1: no way in"
}

step "descriptors whose close takes long"
for attack in linger flush; do
	for how in close many empty queue; do
		echo "   $attack $how"
		attack_start $attack $how || continue
		go_on "$attack $how"
		attack_stop
	done
done

step "memory of networks that ended, while it is kept: counts for who made them"
mkdir "$NETS/hoard"
chown 65534 "$NETS/hoard"
attack_start hoard "$NETS/hoard/n" 40
read -r n why <<<"$OUT"
[ "$n" -lt 10 ] && [ "$why" = EDQUOT ] || complain "$n logs of 64 MiB kept: $why"
attack_stop
attack_start hoard "$NETS/hoard/n" 5
read -r n why <<<"$OUT"
[ "$n" = 5 ] || complain "what was let go counts still: $n $why"
attack_stop

steady_stop quiet 5000

step "down: a path that leads elsewhere meanwhile"
mkdir "$NETS/flip" "$NETS/flip/victim"
chown 65534 "$NETS/flip"
touch "$NETS/flip/victim/n"{0..49}
attack_start flip "$NETS/flip" 50
stop_fabric
attack_stop
assert_eq 50 "$(find "$NETS/flip/victim" -type f | wc -l)" "files of others"
[ $BAD = 0 ] || fail "$BAD attacks"
