#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# stopped: a manager that does not answer: calls end as they were asked to, commands say what for
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

start_fabric
ipn-fabric net add "$NETS/bus" --pool 64
node ear "socket 1" "connect $NETS/bus"
node plain "socket 1"
node quick "socket 1 nonblock"
node timed "socket 1" "sndtimeo 300"
node alarmed "socket 1"
node binder "socket 1" "sndtimeo 300"
node mouth "socket 1" "connect $NETS/bus"
kill -STOP "$FABRIC_PID"

step "connect: O_NONBLOCK, SO_SNDTIMEO, signals; messages go on"
tell quick "connect $NETS/bus" EAGAIN
tell timed "connect $NETS/bus" EAGAIN
tell alarmed "alarm 400" ok
tell alarmed "connect $NETS/bus" EINTR
tell binder "bind $NETS/own" EAGAIN
[ ! -e "$NETS/own" ] || fail "a bind that failed has left its path"
tell mouth "send hello" "ok 5"
tell ear "recv 10000" "ok hello"
ask plain "connect $NETS/bus"

step "a command says after 3 s what it waits for, and goes on; a signal ends it"
ipn-fabric net show >"$IPN_TEST_TMP/show" 2>"$IPN_TEST_TMP/show.err" &
show=$!
ipn-fabric net add "$NETS/late" 2>"$IPN_TEST_TMP/add.err" &
add=$!
wait_until 20 grep -q "waiting for the manager" "$IPN_TEST_TMP/show.err"
wait_until 20 grep -q "waiting for the manager" "$IPN_TEST_TMP/add.err"
kill -0 $show || fail "it has ended"
[ -e "$NETS/late" ] || fail "net add has made no path"
kill -TERM $add
status=0
wait $add || status=$?
assert_eq 143 $status "status of a command that was ended by SIGTERM"
[ ! -e "$NETS/late" ] || fail "net add, interrupted, has left its path"

step "it goes on: who waited is served, who did not is not in"
kill -CONT "$FABRIC_PID"
wait $show || fail "net show: $(cat "$IPN_TEST_TMP/show.err")"
grep -q "$NETS/bus" "$IPN_TEST_TMP/show" || fail "net show shows nothing"
answer plain 60 ok
settled() # the ports of three nodes, no network but one
{
	has_ports "$NETS/bus" 3 && [ "$(ipn-fabric net show --json | jq length)" = 1 ]
}
wait_until 20 settled
tell quick "connect $NETS/bus" ok
tell timed "connect $NETS/bus" ok
tell alarmed "connect $NETS/bus" ok
tell binder "bind $NETS/own" ok
tell binder "connect" ok
has_ports "$NETS/bus" 6 || fail "not all are in"
