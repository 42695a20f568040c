#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# unix: programs that exchange datagrams with a path are ports, while they are there
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

F=$IPN_TEST_TMP/port # the fabric's
P=$IPN_TEST_TMP/prog # the program's
A=020000000001 B=020000000002 T=88b6
DATA=$(printf '5a%.0s' {1..50})

# program FABRIC OWN: bound to OWN; lines on its input are sent to FABRIC, what comes is printed
cat >"$IPN_TEST_TMP/program.py" <<'P'
import socket, sys, select, os
fabric, own = sys.argv[1:]
if os.path.exists(own):
    os.unlink(own)
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(own)
print("ready", flush=True)
while True:
    r, _, _ = select.select([s, sys.stdin], [], [])
    if s in r:
        print(s.recv(70000).hex(), flush=True)
    if sys.stdin in r:
        line = sys.stdin.readline()
        if not line:
            break
        try:
            s.sendto(bytes.fromhex(line.strip()), fabric)
        except OSError as e:
            print("error", e, flush=True)
P
program()
{
	rm -f "$IPN_TEST_TMP/in"
	mkfifo "$IPN_TEST_TMP/in"
	python3 "$IPN_TEST_TMP/program.py" "$F" "$P" <"$IPN_TEST_TMP/in" >"$IPN_TEST_TMP/out" 2>&1 &
	PROG=$!
	exec {IN}>"$IPN_TEST_TMP/in"
	wait_until 20 grep -q ready "$IPN_TEST_TMP/out"
}
end_program()
{
	kill $PROG
	exec {IN}>&-
	wait $PROG 2>/dev/null || true
}
send() { echo "$1" >&"$IN"; }

start_fabric
ipn-fabric net add "$NETS/lan" --policy switch --pool 256
node ear socket "connect $NETS/lan"

step "with --peer: a port as soon as the program is there"
ipn-fabric attach "$NETS/lan" --unix "$F" --peer "$P" --port 9 --descr "a program" >/dev/null
has_ports "$NETS/lan" 1 || fail "a port without a program"
program
wait_until 20 has_ports "$NETS/lan" 2
assert_eq "sock,a program" "$(ipn-fabric show --json "$NETS/lan" |
	jq -r '.ports[] | select(.port == 9) | .kind + "," + .descr')"
send "ffffffffffff$A$T$DATA"
tell ear "recvhex 20000" "ok ffffffffffff$A$T$DATA"
tell ear "sendhex $A$B$T$DATA"
wait_until 20 grep -q "^$A$B$T$DATA" "$IPN_TEST_TMP/out"
send "$B$A$T$DATA"
tell ear "recvhex 20000" "ok $B$A$T$DATA"

step "nobody else can send to its path"
python3 - "$F" <<'P' || fail "a stranger may send"
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
try:
    s.sendto(b"\xff" * 60, sys.argv[1])
except PermissionError:
    sys.exit(0)
sys.exit(1)
P

step "over the death of the manager: the same port, and the next program's, too"
kill_fabric
send "$B$A$T$DATA"
tell ear "recvhex 20000" "ok $B$A$T$DATA"
start_fabric
assert_eq "sock,a program" "$(ipn-fabric show --json "$NETS/lan" |
	jq -r '.ports[] | select(.port == 9) | .kind + "," + .descr')"
send "$B$A$T$DATA"
tell ear "recvhex 20000" "ok $B$A$T$DATA"
: >"$IPN_TEST_TMP/out"
tell ear "sendhex $A$B$T$DATA"
wait_until 20 grep -q "$A$B$T$DATA" "$IPN_TEST_TMP/out"

step "it ends, and comes back"
end_program
wait_until 20 has_ports "$NETS/lan" 1
program
wait_until 20 has_ports "$NETS/lan" 2
assert_eq "a program" "$(ipn-fabric show --json "$NETS/lan" |
	jq -r '.ports[] | select(.port == 9) | .descr')" "description after a restart"
send "$B$A$T$DATA"
tell ear "recvhex 20000" "ok $B$A$T$DATA"
kill_fabric
end_program
start_fabric # which finds nobody there
wait_until 20 has_ports "$NETS/lan" 1
program
wait_until 20 has_ports "$NETS/lan" 2
end_program
ipn-fabric detach "$NETS/lan" --unix "$F"
[ ! -e "$F" ] || fail "$F was left behind"

step "without --peer: who writes first"
ipn-fabric attach "$NETS/lan" --unix "$F" --mode 0777 >/dev/null
program
wait_until 20 test -S "$F"
send "ffffffffffff$A$T$DATA"
wait_until 20 has_ports "$NETS/lan" 2
send "ffffffffffff$A$T$DATA"
tell ear "recvhex 20000" "ok ffffffffffff$A$T$DATA"
tell ear "sendhex $A$B$T$DATA"
wait_until 20 grep -q "^$A$B$T$DATA" "$IPN_TEST_TMP/out"

step "a new manager goes on with it"
kill_fabric
start_fabric
has_ports "$NETS/lan" 2 || fail "the program was thrown out"
send "$B$A$T$DATA"
tell ear "recvhex 20000" "ok $B$A$T$DATA"
end_program
wait_until 20 has_ports "$NETS/lan" 1

step "who writes while there is no manager is let in by the next one"
wait_until 20 test -S "$F"
program
waits() # the one that is connected to nobody: the last one may be on its way out
{
	awk -v file="$F" '$6 == "01" && $8 == file { found = 1 } END { exit !found }' /proc/net/unix
}
wait_until 20 waits
kill_fabric
send "ffffffffffff$A$T$DATA"
start_fabric
wait_until 20 has_ports "$NETS/lan" 2
send "$B$A$T$DATA"
tell ear "recvhex 20000" "ok $B$A$T$DATA"

step "without the fdstore, too, it is opened again"
fdstore=$(ps -eo pid=,comm= | awk '$2 == "ipn-fdstore" { print $1 }')
[ -n "$fdstore" ] || fail "there is no fdstore"
kill -KILL "$fdstore" "$FABRIC_PID"
kill_fabric
start_fabric
wait_until 20 test -S "$F"
send "ffffffffffff$A$T$DATA"
wait_until 20 has_ports "$NETS/lan" 2
end_program
wait_until 20 has_ports "$NETS/lan" 1

step "files of others are left alone"
touch "$IPN_TEST_TMP/foreign"
expect_err "is not of this fabric" ipn-fabric attach "$NETS/lan" --unix "$IPN_TEST_TMP/foreign"
[ -f "$IPN_TEST_TMP/foreign" ] || fail "a foreign file was removed"
rm "$IPN_TEST_TMP/foreign"
expect_err "No such file" ipn-fabric attach "$NETS/lan" --unix "$IPN_TEST_TMP/nowhere/x"

leave ear
stop_fabric
[ ! -e "$F" ] || fail "$F was left behind by down"
