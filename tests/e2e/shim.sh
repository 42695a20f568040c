#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shim: programs of plain socket calls run on the fabric, and others run as ever
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

run_case() # CASE PATH...: each with and without what glibc checks
{
	local program

	for program in plain plain-fortified; do
		timeout "$(limit 60)" ipn-fabric run "$program" "$@" ||
			fail "$program $1: status $?"
	done
}

step "without a fabric: one line from run, ENETDOWN for the program"
expect_status 0 ipn-fabric run -- plain down
[[ $ERR == "run: no fabric runs here: "*"ipn-fabric up"* && $ERR != *$'\n'* ]] ||
	fail "what run said: $ERR"
expect_status 127 ipn-fabric run no-such-program
[[ $ERR == *"no-such-program: No such file"* ]] || fail "$ERR"

start_fabric
step "programs that the library cannot reach: one line says so, and they run"
echo 'int main(void) { return 5; }' >"$IPN_TEST_TMP/static.c"
gcc -static -o "$IPN_TEST_TMP/static" "$IPN_TEST_TMP/static.c"
printf '#!%s\n' "$IPN_TEST_TMP/static" >"$IPN_TEST_TMP/script"
chmod 755 "$IPN_TEST_TMP/script"
for program in static script; do
	expect_status 5 ipn-fabric run "$IPN_TEST_TMP/$program"
	[[ $ERR == "run: $IPN_TEST_TMP/$program: is statically linked: "* && $ERR != *$'\n'* ]] ||
		fail "what run said: $ERR"
done
expect_status 0 ipn-fabric run true
assert_eq "" "$ERR" "said of a program that it can reach"
umask 0
ipn-fabric net add "$NETS/hub" --pool 512

expect_status 1 plain calls "$NETS/hub" # the kernel knows no such family
for case in errors later calls memory poll select epoll dup fork passed spawn start exec signals \
	threads; do
	step "$case"
	run_case $case "$NETS/hub"
done

step "the next program has a socket of a LOSSLESS network as well"
ipn-fabric net add "$NETS/lossless" --lossless --pool 64
for case in exec start; do
	run_case $case "$NETS/lossless"
	wait_until 20 has_ports "$NETS/lossless" 0
done

step "made or bound before fork, connected after it"
run_unborn() # plain: the path of its own network is new each time
{
	timeout "$(limit 60)" ipn-fabric run "$1" unborn "$NETS/hub" "$NETS/$1" || fail "$1 unborn"
}
run_unborn plain
run_unborn plain-fortified

step "options"
for program in plain plain-fortified; do
	ipn-fabric run $program options "$NETS/options"
	rm "$NETS/options" # the path of a network that has ended stays
done

step "peers: all run the same code, and the first makes the network"
peers=()
for name in one two three four; do
	others=()
	for other in one two three four; do
		[ $other = $name ] || others+=($other)
	done
	timeout "$(limit 60)" ipn-fabric run plain peer "$NETS/peers" $name "${others[@]}" &
	peers+=($!)
	[ $name != one ] || wait_until 20 has_ports "$NETS/peers" 1
done
for pid in "${peers[@]}"; do
	wait "$pid" || fail "a peer: status $?"
done

step "one sender, many receivers, one of them with no rights but to read"
mkfifo "$IPN_TEST_TMP/go"
timeout "$(limit 60)" ipn-fabric run plain sender "$NETS/stream" 3000 <"$IPN_TEST_TMP/go" \
	>"$IPN_TEST_TMP/sender" &
sender=$!
exec 5>"$IPN_TEST_TMP/go"
wait_until 20 grep -q ready "$IPN_TEST_TMP/sender"
chmod 744 "$NETS/stream" # by the owner of the path, at any time
receivers=()
for i in {1..5}; do
	timeout "$(limit 60)" ipn-fabric run plain receiver "$NETS/stream" 3000 \
		>"$IPN_TEST_TMP/r$i" &
	receivers+=($!)
done
as_nobody timeout "$(limit 60)" ipn-fabric run plain-fortified receiver "$NETS/stream" 3000 \
	>"$IPN_TEST_TMP/r6" &
receivers+=($!)
for i in {1..6}; do
	wait_until 20 grep -q ready "$IPN_TEST_TMP/r$i"
done
printf x >&5
for i in {1..6}; do
	wait_until 30 grep -q "done" "$IPN_TEST_TMP/r$i"
done
ipn-fabric net del "$NETS/stream"
for pid in "${receivers[@]}"; do
	wait "$pid" || fail "a receiver: status $?"
done
printf x >&5
exec 5>&-
wait $sender || fail "the sender: status $?"

step "plain programs and those of libipn are one network"
node n socket "connect $NETS/hub"
timeout "$(limit 60)" ipn-fabric run plain peer "$NETS/hub" plain other &
pid=$!
tell n "recv 10000" "ok plain"
tell n "send other" "ok 5"
wait $pid || fail "peer: status $?"
leave n

step "libipn itself under run: by its own"
export ASAN_OPTIONS=verify_asan_link_order=0 # where it was built with SANITIZE=1
OUT=$(ipn-fabric run ipncall socket "connect $NETS/hub" "send hello" | tr '\n' ' ')
assert_eq "ok ok ok 5 " "$OUT"

step "programs in other languages"
node ear "socket 1" "connect $NETS/hub"
# shellcheck disable=SC2016
timeout "$(limit 20)" ipn-fabric run perl -MSocket -e '
	socket(S, 34, SOCK_RAW, 1) or die "socket $!";
	connect(S, pack("S Z108", 34, $ARGV[0])) or die "connect $!";
	defined(send(S, "from perl", 0)) or die "send $!"' "$NETS/hub"
tell ear "recv 20000" "ok from perl"
timeout "$(limit 20)" ipn-fabric run python3 -c 'import ctypes, socket, struct, sys
s = socket.socket(34, socket.SOCK_RAW, 1)
a = struct.pack("H108s", 34, sys.argv[1].encode())
assert not ctypes.CDLL(None).connect(s.fileno(), a, len(a))
s.send(b"from python")' "$NETS/hub"
tell ear "recv 20000" "ok from python"
timeout "$(limit 20)" python3 -c 'import ctypes, struct, sys
c = ctypes.CDLL(sys.argv[2])
a = struct.pack("H108s", 34, sys.argv[1].encode())
s = c.ipn_socket(34, 3, 0)
assert s >= 0 and not c.ipn_connect(s, a, len(a))
assert c.ipn_send(s, b"by ctypes", 9, 0) == 9' "$NETS/hub" "$IPN_BUILD/libipn.so.1"
tell ear "recv 20000" "ok by ctypes"
printf "from socat" | timeout "$(limit 20)" ipn-fabric run socat -u STDIN \
	"SOCKET-CONNECT:34:1:x$(printf %s "$NETS/hub" | od -An -v -tx1 | tr -d ' \n')00,so-type=3"
tell ear "recv 20000" "ok from socat"
leave ear

step "a program that is given no socket has nothing of the one before it"
held=$(timeout "$(limit 20)" ipn-fabric run python3 -c 'import ctypes, os, socket, struct, sys
s = socket.socket(34, socket.SOCK_RAW, 1)
a = struct.pack("H108s", 34, sys.argv[1].encode())
os.set_inheritable(s.fileno(), True)
twin = os.dup(s.fileno())
assert not ctypes.CDLL(None).connect(s.fileno(), a, len(a))
os.set_inheritable(s.fileno(), False)
os.set_inheritable(twin, False)
os.execlp("ls", "ls", "/proc/self/fd")' "$NETS/lossless")
assert_eq "$(ls /proc/self/fd)" "$held" "descriptors"

step "programs without IPN sockets run as ever"
cat >"$IPN_TEST_TMP/script" <<-'END'
	exec 3<<<"here" 4>&1
	read -r line <&3
	echo "$line" | { cat; sleep 0.01 & wait; } | tr a-z A-Z >&4
	seq 100000 | sort -n | tail -n 1
	(trap 'echo trapped' USR1; kill -USR1 $BASHPID)
	exec 3<&- 4>&-
	for ((fd = 3; fd < 20; fd++)); do eval "exec $fd>/dev/null"; done
	find /proc/self/fd -maxdepth 0 -printf '%f\n'
END
wanted=$(bash "$IPN_TEST_TMP/script")
assert_eq "$wanted" "$(ipn-fabric run bash "$IPN_TEST_TMP/script")" "bash under run"
for command in "ls -l $IPN_ROOT/docs" "tar -cf - -C $IPN_ROOT include" "ip -j link" \
	"find $IPN_ROOT/docs" "awk BEGIN{print(1)}"; do
	assert_eq "$($command | md5sum)" "$(ipn-fabric run $command | md5sum)" "$command"
done
# dup2, poll and select of others, in one process with an IPN socket: in the cases above
expect_status 3 ipn-fabric run sh -c 'exit 3'
assert_eq "-x --help" "$(ipn-fabric run echo -x --help)" "options of the program"

step "what it costs (for the eye: a machine may be busy)"
bare=$(plain cost)
mapfile -t cost < <(ipn-fabric run plain cost "$NETS/hub")
echo "   read of /dev/null: $bare ns; under run ${cost[0]} ns; with an IPN socket ${cost[1]} ns"

step "nothing is left"
wait_until 20 has_ports "$NETS/hub" 0
stop_fabric
