#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# policyload: a policy is loaded beside all other work, in its time or not at all; monitors hear
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

OBJECT=$IPN_BUILD/examples/stamp.bpf.o
REFUSE=$IPN_BUILD/tests/refuse.bpf.o
POLICY_DIR=$IPN_FABRIC_BPFFS/ipn-fabric/v1/policy
LOADERS=()

# load NUMBER NAME: in the background, its process stopped while it is at work: LOADER.
load_stopped()
{
	local end=$((${EPOCHREALTIME/[.,]/} + 20000000)) child children comm

	while :; do
		ipn-fabric policy load "$OBJECT" --number "$1" --name "$2" \
			>"$IPN_TEST_TMP/load.$1" 2>&1 &
		LOADER=$!
		while kill -0 $LOADER 2>/dev/null; do
			read -r -a children <"/proc/$FABRIC_PID/task/$FABRIC_PID/children" || true
			for child in "${children[@]}"; do
				# not the fdstore
				read -r comm 2>/dev/null <"/proc/$child/comm" || continue
				if [ "$comm" = ipn-fabric ] &&
					[[ " ${LOADERS[*]} " != *" $child "* ]] &&
					kill -STOP "$child" 2>/dev/null; then
					LOADERS+=("$child")
					CHILD=$child
					return
				fi
			done
		done
		# it was quicker than we are
		wait $LOADER || fail "policy load: $(cat "$IPN_TEST_TMP/load.$1")"
		ipn-fabric policy unload "$2"
		[ "${EPOCHREALTIME/[.,]/}" -lt $end ] || fail "the loading process was never seen"
	done
}

no_child()
{
	local child comm

	for child in $(cat "/proc/$FABRIC_PID/task/$FABRIC_PID/children"); do
		read -r comm 2>/dev/null <"/proc/$child/comm" || continue
		[ "$comm" != ipn-fabric ] || return 1
	done
}

policies()
{
	ipn-fabric policy list --json | jq -r '[.[] | select(.builtin | not).name] | join(" ")'
}

start_fabric
[ -e "/proc/$FABRIC_PID/task/$FABRIC_PID/children" ] || skip "the kernel does not tell of children"
ipn-fabric net add "$NETS/hub"
log=$IPN_TEST_TMP/monitor
ipn-fabric monitor --json >"$log" &
ipn-fabric monitor >"$log.text" &
until_there()
{
	ipn-fabric net add "$NETS/probe"
	ipn-fabric net del "$NETS/probe"
	[ -s "$log" ] && [ -s "$log.text" ]
}
wait_until 20 until_there
told() # JQ-CONDITION
{
	wait_until 20 jq -e -s "any(.[]; $1)" "$log"
}

step "while a policy is loaded, everybody else is served"
load_stopped 9 slow
start=${EPOCHREALTIME/[.,]/}
node ear socket "connect $NETS/hub"
node mouth socket "connect $NETS/hub"
tell mouth "send now" "ok 3"
tell ear "recv 20000" "ok now"
ipn-fabric net add "$NETS/other"
expect_err "is being loaded" ipn-fabric policy load "$OBJECT" --number 9 --name another
expect_err "is being loaded" ipn-fabric policy load "$OBJECT" --number 10 --name slow
ipn-fabric policy load "$REFUSE" --number 11 --name refuse
assert_eq refuse "$(policies)" "policies while one is loaded"
took=$(((${EPOCHREALTIME/[.,]/} - start) / 1000))
kill -0 $LOADER || fail "the load has ended meanwhile"
echo "   all that took $took ms"
told '.event == "policy" and .name == "refuse" and .number == 11'

step "what takes too long is ended"
status=0
wait $LOADER || status=$?
assert_eq 1 $status "exit status"
grep -q "was not loaded within 10 s" "$IPN_TEST_TMP/load.9" || fail "$(cat "$IPN_TEST_TMP/load.9")"
no_child || fail "the process is still there"
assert_eq "11" "$(ls "$POLICY_DIR")" "pins"
ipn-fabric policy load "$OBJECT" --number 9 --name slow
told '.event == "policy" and .name == "slow" and .number == 9'
ipn-fabric policy unload slow
told '.event == "unloaded" and .name == "slow" and .number == 9'
wait_until 20 grep -q "unloaded  *slow  number 9" "$log.text"

step "who asked has gone: so does the load"
fds=$(still_fds)
load_stopped 9 slow
kill -KILL $LOADER
wait $LOADER 2>/dev/null || true
wait_until 20 no_child
assert_eq "11" "$(ls "$POLICY_DIR")" "pins"
wait_until 20 eval "[ \$(manager_fds) = $fds ]"
ipn-fabric policy load "$OBJECT" --number 9 --name slow
assert_eq "slow refuse" "$(policies)" "policies"
ipn-fabric policy unload 9

step "a port that a policy refuses"
ipn-fabric net add "$NETS/closed" --policy refuse
assert_eq refuse "$(ipn-fabric net show --json "$NETS/closed" | jq -r '.[].policy')" "its policy"
ipn-fabric net show | has "/closed  *refuse " || fail "net show: $(ipn-fabric net show)"
assert_eq "broadcast refuse" "$(ipn-fabric show --json | jq -r '[.networks[] |
	select(.path | test("/hub$|/closed$")).policy] | sort | join(" ")')" "show"
expect_err "refuses the port" ipn-fabric attach "$NETS/closed" --host h0
told '.event == "refused" and .policy == "refuse" and .kind == "host" and .uid == 0 and
	.error == "Permission denied"'
wait_until 20 grep -q "refused .*closed  host  uid 0  by refuse: Permission denied" "$log.text"
expect_err "refuses the port" ipn-fabric cable "$NETS/hub" "$NETS/closed"
[ "$(ipn-fabric show --json "$NETS/hub" | jq '.ports | length')" = 2 ] ||
	fail "half a cable was left"

step "the manager ends while it loads one; it dies while it loads one"
load_stopped 9 slow
kill -TERM $FABRIC_PID
_wait_gone $FABRIC_PID 5 || fail "the manager waits for the load"
! kill -0 "$CHILD" 2>/dev/null || fail "the loading process is still there"
FABRIC_PID=
start_fabric
assert_eq "refuse" "$(policies)" "policies"
load_stopped 9 slow
kill_fabric
kill -CONT "$CHILD" 2>/dev/null || true # stopped so early that the kernel knew of no parent yet
wait_until 20 eval "! kill -0 $CHILD 2>/dev/null"
start_fabric
assert_eq "refuse" "$(policies)" "policies"
assert_eq "11" "$(ls "$POLICY_DIR")" "pins"

step "the configuration file knows loaded policies by their names"
cat >"$IPN_TEST_TMP/conf" <<EOF
[network $NETS/named]
policy = refuse
EOF
kill_fabric
start_fabric --config "$IPN_TEST_TMP/conf"
assert_eq refuse "$(ipn-fabric net show --json "$NETS/named" | jq -r '.[].policy')" "policy"
kill_fabric
start_fabric --config "$IPN_TEST_TMP/conf" # the same again
sed -i s/refuse/nothing/ "$IPN_TEST_TMP/conf"
kill_fabric
expect_err "conf:2: policy: \"nothing\" is not" \
	ipn-fabric up --foreground --config "$IPN_TEST_TMP/conf"
start_fabric
load_stopped 9 slow
stop_fabric
assert_eq "" "$(files "$IPN_FABRIC_BPFFS" | grep -v '\.debug$' || true)" "pins after down"
