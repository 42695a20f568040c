#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# looptime: whatever one user asks of the manager, and however often, others have their answers soon
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

as_uid() # UID COMMAND...
{
	setpriv --reuid="$1" --regid="$1" --clear-groups -- "${@:2}"
}

# us that a user waits for an answer, the median; all that was measured is in PROBE
probe()
{
	PROBE=$(as_uid 65000 looptime probe 1.5) || fail "the probe: $PROBE"
	echo "median, 90th of a hundred, max (us), count: $PROBE"
	MEDIAN=${PROBE%% *}
}

# attacked WHAT USERS: how the probe is served beside that.
attacked()
{
	local pids=() i

	for ((i = 0; i < $2; i++)); do
		as_uid $((65100 + i)) looptime "$1" "$NETS" 2 >"$IPN_TEST_TMP/done.$i" &
		pids+=($!)
	done
	probe
	wait "${pids[@]}" || fail "$1"
	echo "done: $(cat "$IPN_TEST_TMP"/done.* | tr '\n' ' ')"
	rm "$IPN_TEST_TMP"/done.*
}

# quota UID WHAT: of what `quota show` says.
quota()
{
	ipn-fabric quota show --json |
		jq --arg what "$2" "[.[] | select(.user == $1 and .what == \$what).used] | add"
}

start_fabric
umask 0
step undisturbed
probe
most=$((100 * MEDIAN + $(limit 5000)))
for what in nets routers joins crowds infos; do
	step "beside one user: $what"
	attacked $what 1
	[ "$MEDIAN" -lt $most ] || fail "the median is $MEDIAN us, must be below $most"
done
step "beside four users: nets"
attacked nets 4
[ "$MEDIAN" -lt $((4 * most)) ] || fail "the median is $MEDIAN us, must be below $((4 * most))"

step "what each took of the loop's time is shown"
[ "$(quota 65100 "loop ms")" -gt 10 ] || fail "of the loop: $(quota 65100 "loop ms") ms"
[ "$(quota 65100 "put off")" -gt 100 ] || fail "put off: $(quota 65100 "put off")"
[ "$(quota 65100 "loop ms")" -gt "$(quota 65000 "loop ms")" ] || fail "the probe took more"
as_uid 65000 ipn-fabric quota show --json >"$IPN_TEST_TMP/own"
assert_eq 65000 "$(jq 'map(.user) | unique | .[]' "$IPN_TEST_TMP/own")" "what a user sees"

step "and who asks for nothing more is forgiven"
forgiven()
{
	[ "$(quota 65100 "loop share")" = 0 ]
}
wait_until 20 forgiven
stop_fabric
