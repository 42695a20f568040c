#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# stdio: commands with standard descriptors that are closed, non-blocking, full, or read by nobody
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

readers() # COUNT
{
	[ "$(ipn-fabric show --json "$NETS/hub" | jq '.networks[0].readers')" = "$1" ]
}

# As a program at a terminal: a shell's job in the background ignores SIGINT.
foreground() # COMMAND...
{
	exec /usr/bin/python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' "$@"
}

start_fabric
ipn-fabric net add "$NETS/hub" --pool 1024

step "send without standard input: an error, as of cat"
(exec <&-; timeout "$(limit 10)" ipn-fabric send "$NETS/hub") 2>"$IPN_TEST_TMP/err" &&
	fail "send says that it has sent"
has "Bad file descriptor" <"$IPN_TEST_TMP/err" || fail "$(cat "$IPN_TEST_TMP/err")"

step "commands that only print, with all three closed: they fail, and quickly"
for command in "show" "stats" "net show" "policy list" "quota show" "--version" \
	"recv $NETS/hub --timeout 0.1" "net add $NETS/closed" "net del $NETS/closed"; do
	status=0
	# shellcheck disable=SC2086
	(exec <&- >&- 2>&-; timeout "$(limit 20)" ipn-fabric $command) || status=$?
	[ $status != 124 ] || fail "$command hangs"
done
ipn-fabric show >/dev/null

step "run: what was closed is closed in the program"
status=0
ipn-fabric run sh -c 'test ! -e /proc/self/fd/0' <&- || status=$?
assert_eq 0 $status

step "send from an input that is non-blocking and has nothing yet"
mkfifo "$IPN_TEST_TMP/in"
ipn-fabric recv "$NETS/hub" --count 1 --timeout 20 >"$IPN_TEST_TMP/heard" &
reader=$!
wait_until 20 readers 1
/usr/bin/python3 -c 'import os, sys
os.dup2(os.open(sys.argv[1], os.O_RDONLY | os.O_NONBLOCK), 0)
sys.stderr.write("open\n")
os.execvp("ipn-fabric", ["ipn-fabric", "send", sys.argv[2]])' "$IPN_TEST_TMP/in" "$NETS/hub" &
sender=$!
exec 5>"$IPN_TEST_TMP/in"
wait_until 20 has_ports "$NETS/hub" 2
wait_until 20 asleep $sender
echo late >&5
exec 5>&-
wait $sender || fail "send: status $?"
wait $reader || fail "recv: status $?"
assert_eq late "$(cat "$IPN_TEST_TMP/heard")"

step "recv into a pipe that is full: INT, TERM and HUP end it"
for sig in INT TERM HUP; do
	mkfifo "$IPN_TEST_TMP/$sig"
	exec 6<>"$IPN_TEST_TMP/$sig" # nobody reads
	(foreground ipn-fabric recv "$NETS/hub") >"$IPN_TEST_TMP/$sig" 6>&- &
	reader=$!
	wait_until 20 readers 1
	head -c 400000 /dev/zero | tr '\0' x | fold -w 1000 | ipn-fabric send "$NETS/hub"
	wait_until 20 asleep $reader
	kill -$sig $reader
	wait_until 20 readers 0
	status=0
	wait $reader || status=$?
	assert_eq $((128 + $(kill -l $sig))) $status "status after $sig"
	exec 6>&-
done

step "recv and monitor whose reader has gone end by themselves"
ipn-fabric recv "$NETS/hub" 2>/dev/null | head -1 >"$IPN_TEST_TMP/one" &
pid=$!
wait_until 20 readers 1
echo one | ipn-fabric send "$NETS/hub"
wait_until 20 readers 0
wait $pid
assert_eq one "$(cat "$IPN_TEST_TMP/one")"
mkfifo "$IPN_TEST_TMP/events"
ipn-fabric monitor >"$IPN_TEST_TMP/events" 2>/dev/null &
pid=$!
exec 7<"$IPN_TEST_TMP/events"
wait_until 20 asleep $pid
exec 7<&-
status=0
wait $pid || status=$?
assert_eq 1 $status "monitor"
stop_fabric

step "up with all three closed comes back, and the fabric runs"
status=0
(exec <&- >&- 2>&-; timeout "$(limit 60)" ipn-fabric up) || status=$?
assert_eq 0 $status "up"
ipn-fabric show >/dev/null || fail "no fabric"
ipn-fabric down
