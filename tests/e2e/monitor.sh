#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# monitor: joins, leaves, counts and overruns are told as they happen, to those who may know
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

start_fabric
ipn-fabric net add "$NETS/hub" --pool 4
ipn-fabric net add "$NETS/secret" --mode 0700
log=$IPN_TEST_TMP/monitor
ipn-fabric monitor --json >"$log" &
all=$!
ipn-fabric monitor "$NETS/hub" >"$log.hub" &
one=$!
as_nobody ipn-fabric monitor --json >"$log.nobody" &
nobody=$!

seen() # FILE JQ-CONDITION
{
	jq -e -s "any(.[]; $2)" "$1" >/dev/null
}
told() # JQ-CONDITION
{
	wait_until 20 seen "$log" "$1" || fail "not told: $1: $(cat "$log")"
}

step "networks"
until_there()
{
	ipn-fabric net add "$NETS/probe" --mode 0777
	ipn-fabric net del "$NETS/probe"
	[ -s "$log" ] && [ -s "$log.nobody" ] && kill -0 $one
}
wait_until 20 until_there
told '.event == "removed" and (.path | endswith("/probe"))'

step "joins, counts and leaves, of every kind"
node ear "socket 1" "connect $NETS/hub"
pid=${NODE_PID[ear]}
told ".event == \"join\" and .pid == $pid and .kind == \"proc\" and .port == 0 and .uid == 0"
told '.event == "counts" and .readers == 1 and .writers == 1'
tell ear "shutdown wr"
told '.event == "counts" and .readers == 1 and .writers == 0'
ipn-fabric attach "$NETS/hub" --host h0 >/dev/null
told '.event == "join" and .kind == "host" and .name == "h0"'
ip link del h0
told '.event == "leave" and .kind == "host"'

step "overruns, with their number"
node mouth "socket 1" "connect $NETS/hub"
tell mouth "sendmany 10" ok
tell ear overruns "ok 6"
told ".event == \"overrun\" and .pid == $pid and .messages == 6"
crash ear
told ".event == \"leave\" and .pid == $pid"

step "a network of one's own, and only what one may know"
node hidden "socket 1" "connect $NETS/secret"
told '.event == "join" and (.path | endswith("/secret"))'
node last "socket 1" "connect $NETS/hub"
wait_until 20 grep -q "join .*/hub.* pid ${NODE_PID[last]}" "$log.hub"
wait_until 20 seen "$log.nobody" ".event == \"join\" and .pid == ${NODE_PID[last]}"
grep -q secret "$log.hub" && fail "told of another network"
grep -q secret "$log.nobody" && fail "nobody was told of what he may not see"

step "programs that cannot be told why they are turned away"
ipn-fabric attach "$NETS/hub" --vde "$IPN_TEST_TMP/sw" >/dev/null
DIR=$IPN_TEST_TMP/sw
vde first -p 7
status=0
vdeclient "$DIR" -p 7 -d second </dev/null >/dev/null || status=$?
assert_eq 1 $status "a second one at port 7"
told '.event == "refused" and .kind == "sock" and .port == 7 and .uid == 0 and .pid > 0 and
	.policy == null and (.error | contains("taken"))'
vdeclient "$DIR" raw 00000000 >/dev/null || true
told '.event == "refused" and .port == null and (.error | contains("Bad message"))'
ipn-fabric attach "$NETS/hub" --unix "$IPN_TEST_TMP/fab" --peer "$IPN_TEST_TMP/program" \
	--port 7 >/dev/null
python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
time.sleep(1000)' "$IPN_TEST_TMP/program" &
program=$!
unix_refused() { seen "$log" '.event == "refused" and .port == 7 and .pid == null'; }
wait_until 20 unix_refused
crash first
unix_there()
{
	ipn-fabric show --json "$NETS/hub" |
		jq -e '.ports[] | select(.port == 7 and .kind == "sock")' >/dev/null
}
wait_until 20 unix_there
kill $program
wait $program 2>/dev/null || true
ipn-fabric detach "$NETS/hub" --unix "$IPN_TEST_TMP/fab"
ipn-fabric detach "$NETS/hub" --vde "$IPN_TEST_TMP/sw"

step "one that does not read is told how much it missed; nobody waits for it"
kill -STOP $all
for _ in {1..150}; do
	calls "ok ok ok ok ok ok" "socket 1" "connect $NETS/hub" "shutdown rd" "shutdown wr" close \
		"socket 1"
done
timeout "$(limit 20)" ipn-fabric show >/dev/null || fail "the manager waits for a monitor"
kill -CONT $all
ipn-fabric net add "$NETS/late"
told '.event == "lost-events" and .messages > 0'
told '.event == "network" and (.path | endswith("/late"))'

step "it ends with the manager, and says so"
stop_fabric
status=0
wait $all || status=$?
assert_eq 1 $status "exit status of a monitor whose manager has ended"
