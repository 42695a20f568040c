#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# xsk: AF_XDP programs on a network: frames whole, one holder at a time, rights, crashes, restarts
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

# peer NAME PORT WORDS...: an AF_XDP program as nobody with CAP_NET_RAW, open when this returns.
declare -A PEER=()
peer()
{
	local name=$1

	shift
	rm -f "$IPN_TEST_TMP/.peer.$name"
	as_net_raw timeout "$(limit 90)" xskpeer "$NETS/lan" "$@" \
		>"$IPN_TEST_TMP/.peer.$name" 2>&1 &
	PEER[$name]=$!
	wait_until 20 grep -q . "$IPN_TEST_TMP/.peer.$name"
	grep -q ready "$IPN_TEST_TMP/.peer.$name" ||
		fail "peer $name: $(cat "$IPN_TEST_TMP/.peer.$name")"
}

# peer_end NAME: it ends by itself; what it said is in OUT.
peer_end()
{
	local status=0

	wait "${PEER[$1]}" || status=$?
	OUT=$(grep -v ready "$IPN_TEST_TMP/.peer.$1" || true)
	[ $status = 0 ] || fail "peer $1: status $status: $OUT"
}

# peer_stop NAME: the same, when all was sent that it waits for.
peer_stop()
{
	kill -TERM "$(peer_pid "$1")"
	peer_end "$1"
}

peer_pid()
{
	sed -n 's/^ready //p' "$IPN_TEST_TMP/.peer.$1"
}

peer_kill()
{
	kill -KILL "$(peer_pid "$1")"
	wait "${PEER[$1]}" 2>/dev/null || true
}

# xsk_open WANTED [PATH [NAME]]: what a process, nobody with CAP_NET_RAW, gets.
XSK_AS=as_net_raw
xsk_open()
{
	OUT=$($XSK_AS timeout "$(limit 60)" xskpeer "${2-$NETS/lan}" "${3-x0}" open || true)
	[ "$OUT" = "$1" ] || fail "open ${2-lan} ${3-x0}: wanted '$1', got '$OUT'"
}

port_is() # PORT up|down
{
	[ "$(ipn-fabric show --json "$NETS/lan" | jq ".ports[] | select(.port == $1).up")" = \
		"$([ "$2" = up ] && echo true || echo false)" ]
}

drops() # PORT REASON
{
	stat_of "$NETS/lan" "$1" ".drops.$2"
}

# What stands, without the manager itself.
left()
{
	links
	files "$IPN_FABRIC_RUN_DIR" "$IPN_FABRIC_BPFFS" "$NETS"
}

start_fabric
before=$(left)
ipn-fabric net add "$NETS/lan" --policy switch --pool 256
chmod 777 "$NETS/lan"
assert_eq "port 0 xsk x0" "$(ipn-fabric attach "$NETS/lan" --xsk x0)" answer
assert_eq "port 1 xsk x1" "$(ipn-fabric attach "$NETS/lan" --xsk x1 --frames 512)" answer
container box
ipn-fabric attach "$NETS/lan" --veth eth0:box --port 5
in_netns box ip addr add 10.6.0.1/24 dev eth0

step "who may: both r and w, a path that is a network, a port that is one"
xsk_open "ok 0 1514 2048 2048"
xsk_open "ok 1 1514 512 2048" "$NETS/lan" x1
xsk_open "ok 0 1514 2048 2048" "$NETS/lan" -
xsk_open ENOENT "$NETS/lan" eth0
xsk_open ENOENT "$NETS/lan" a-name-that-is-too-long
xsk_open ENOENT "$NETS/none"
touch "$NETS/file"
xsk_open ECONNREFUSED "$NETS/file"
rm "$NETS/file"
for mode in 744 722 711 700; do
	chmod $mode "$NETS/lan"
	xsk_open EACCES
done
chmod 706 "$NETS/lan"
xsk_open "ok 0 1514 2048 2048"
chmod 777 "$NETS/lan"
XSK_AS=as_nobody
xsk_open EPERM
XSK_AS="unshare --user --map-root-user" # all capabilities, but not in the fabric's user namespace
xsk_open EPERM
XSK_AS=as_net_raw
port_is 0 down || fail "a port that nobody got is up"

step "two exchange frames both ways, verified, at full batch"
for len in 60 1514; do
	peer a x0 pair 50000 $len
	peer b x1 pair 50000 $len
	for p in a b; do
		peer_end $p
		[[ $OUT =~ ^"pair sent 50000 got 50000 batch "([0-9]+)$ ]] ||
			fail "pair of $len bytes: $OUT"
		echo "   $len bytes, longest batch ${BASH_REMATCH[1]}"
	done
done
for port in 0 1; do
	for reason in xsk_full xsk_fill xsk_other; do
		assert_eq 0 "$(drops $port $reason)" "port $port $reason"
	done
done

step "one holder at a time; the port is down without one, and up with it"
port_is 0 down || fail "up without a program"
peer a x0 hold
port_is 0 up || fail "down with a program"
assert_eq "$(peer_pid a)" \
	"$(ipn-fabric show --json "$NETS/lan" | jq '.ports[] | select(.port == 0).pid')" "pid shown"
xsk_open EBUSY
xsk_open "ok 1 1514 512 2048" "$NETS/lan" -
peer_kill a
wait_until 20 port_is 0 down
for _ in {1..20}; do
	xsk_open "ok 0 1514 2048 2048"
done

step "with a process: flooded and unicast, both ways"
peer a x0 echo 60
node proc socket "connect $NETS/lan"
# an ARP request from the process is answered to it
tell proc "sendhex ffffffffffff02000000009908060001080006040001020000000099$(
	)0a0600630000000000000a060009" "ok 42"
ask proc "recvhex 20000"
answer proc 40
[[ $OUT == *020000000099025800000000080600010800060400020258000000000a060009* ]] ||
	fail "the answer to an ARP request: $OUT"
leave proc
peer_stop a
[[ $OUT == "turned 1 bad_sums 0 bad_lengths 0" ]] || fail "echo: $OUT"

step "with a container: ARP, ping and UDP turned round in place, checksums verified"
peer a x0 echo 60
in_netns box ping -q -c 20 -i 0.02 -W 20 10.6.0.9 >"$IPN_TEST_TMP/ping" ||
	fail "$(cat "$IPN_TEST_TMP/ping")"
in_netns box ping -q -c 5 -s 1472 -i 0.02 -W 20 10.6.0.9 >/dev/null || fail "long pings"
in_netns box timeout "$(limit 60)" python3 - <<'EOF'
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.connect(("10.6.0.9", 7777))
for i in range(500):
    data = bytes([i & 255]) * (1 + i * 2)
    s.send(data)
    assert s.recv(2000) == data, i
EOF
peer_stop a
[[ $OUT =~ ^turned\ ([0-9]+)\ bad_sums\ 0\ bad_lengths\ 0$ && ${BASH_REMATCH[1]} -ge 525 ]] ||
	fail "echo: $OUT"

step "whatever the sender leaves to its interface is done: TCP and UDP segments come whole"
peer a x0 count 60
in_netns box ip neigh replace 10.6.0.9 lladdr 02:58:00:00:00:77 dev eth0
in_netns box timeout "$(limit 60)" python3 - <<'EOF'
import socket
# datagrams that the interface is to cut up (UDP_SEGMENT), with checksums it is to complete
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_UDP, 103, 1400)
for i in range(30):
    s.sendto(bytes(1400 * 20), ("10.6.0.9", 7778))
EOF
in_netns box timeout "$(limit 60)" \
	python3 -c 'import socket; socket.create_connection(("10.6.0.9", 80), 1)' \
	2>/dev/null || true
peer_stop a
[[ $OUT =~ tcp\ ([0-9]+)\ udp\ 600\ bad_sums\ 0\ bad_lengths\ 0\ biggest\ 1442$ &&
	${BASH_REMATCH[1]} -ge 1 ]] || fail "segments: $OUT"

step "TCP in frames as big as a container makes them"
peer a x0 count 60
in_netns box python3 - <<'EOF'
import socket, struct
# what a TCP would hand its interface: one packet of 40 segments, its checksum left to be completed
VNET = 10
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(("eth0", 0))
s.setsockopt(263, 15, 1)  # SOL_PACKET, PACKET_VNET_HDR
mac = bytes.fromhex("025800000077020000000033") + b"\x08\x00"
n = 1448 * 40
ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40 + 12 + n, 1, 0x4000, 64, 6, 0,
                 socket.inet_aton("10.6.0.1"), socket.inet_aton("10.6.0.9"))
def fold(data):
    t = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while t >> 16:
        t = (t & 0xffff) + (t >> 16)
    return t
ip = ip[:10] + struct.pack("!H", 0xffff ^ fold(ip)) + ip[12:]
pseudo = fold(ip[12:20] + struct.pack("!HH", 6, 32 + n))
tcp = struct.pack("!HHIIBBHHH", 1000, 80, 1, 1, 0x80, 0x10, 1000, pseudo, 0) + b"\x01" * 12
hdr = struct.pack("=BBHHHH", 1, 1, 14 + 20 + 32, 1448, 34, 16)
for i in range(10):
    s.send(hdr + mac + ip + tcp + bytes(n))
EOF
peer_stop a
[[ $OUT == *"tcp 400 udp 0 bad_sums 0 bad_lengths 0 biggest 1514" ]] || fail "TCP segments: $OUT"

step "what a slow holder loses is counted at it, by name"
peer a x1 sloth
as_net_raw timeout "$(limit 60)" xskpeer "$NETS/lan" x0 send 1000 100 >/dev/null
lost_all() # what came and what was lost there, together
{
	[ "$(stat_of "$NETS/lan" 1 '.drops | .xsk_full + .xsk_fill + .device')" -ge 744 ]
}
wait_until 20 lost_all
echo "   $(stat_of "$NETS/lan" 1 '.drops | "full \(.xsk_full) fill \(.xsk_fill)"')"
peer_kill a
wait_until 20 port_is 1 down
lost_all || fail "the counts went with the holder"
bpftool map dump pinned "$IPN_FABRIC_BPFFS/ipn-fabric/v1/xskports" | has frame_size

step "a holder that scribbles over its rings and its memory: nobody else notices"
ipn-fabric net add "$NETS/other" --pool 256
steady_start other "$NETS/other"
peer b x0 echo 60
peer a x1 scribble 3
in_netns box ping -q -c 100 -i 0.02 -W 20 10.6.0.9 >"$IPN_TEST_TMP/ping" ||
	fail "$(cat "$IPN_TEST_TMP/ping")"
grep -q ' 0% packet loss' "$IPN_TEST_TMP/ping" || fail "$(cat "$IPN_TEST_TMP/ping")"
peer_end a
assert_eq "scribbled 1" "$OUT" scribble
peer_stop b
steady_stop other 2000
ipn-fabric net del "$NETS/other"
kill -0 "$FABRIC_PID" || fail "the manager died"
xsk_open "ok 1 1514 512 2048" "$NETS/lan" x1
peer a x0 pair 5000 200
peer b x1 pair 5000 200
peer_end a
peer_end b

step "killed in the middle of traffic, over and over"
peer a x0 echo 60
in_netns box ping -q -f -w 5 10.6.0.9 >/dev/null 2>&1 &
flood=$!
for _ in {1..10}; do
	peer b x1 send 1000000 64
	peer_kill b
done
wait $flood || true
peer_stop a
[[ $OUT == *"bad_sums 0 bad_lengths 0" ]] || fail "echo beside one that is killed: $OUT"

step "the manager dies: its holders go on, the next one takes the ports over"
peer a x0 pair 2000000 64
kill_fabric
xsk_open ENETDOWN
start_fabric
port_is 0 up || fail "a held port is down after the restart"
port_is 1 down || fail "a port that nobody has is up after the restart"
xsk_open EBUSY
peer b x1 pair 2000000 64
kill_fabric
sleep 0.2
start_fabric
port_is 0 up && port_is 1 up || fail "held ports are down after the restart"
peer_end a
[[ $OUT == "pair sent 2000000 got 2000000 "* ]] || fail "over two restarts: $OUT"
peer_end b
[[ $OUT == "pair sent 2000000 got 2000000 "* ]] || fail "over a restart: $OUT"
wait_until 20 port_is 0 down
wait_until 20 port_is 1 down
xsk_open "ok 0 1514 2048 2048"
peer a x0 hold
kill_fabric
peer_kill a
start_fabric
port_is 0 down || fail "held by a process that died during the outage"
xsk_open "ok 0 1514 2048 2048"

step "taken away: the holder is told, and another has the name"
peer a x0 count 20
ipn-fabric detach "$NETS/lan" --port 0
wait_until 20 grep -q ENETDOWN "$IPN_TEST_TMP/.peer.a"
wait "${PEER[a]}" 2>/dev/null || true
ipn-fabric attach "$NETS/lan" --xsk x0 --port 0 --frame-size 4096 >/dev/null
xsk_open "ok 0 1514 2048 4096"

step "bounds and quotas, said with their numbers"
for bad in "--frames 100" "--frames 32" "--frames 131072" "--frame-size 3000"; do
	_capture ipn-fabric attach "$NETS/lan" --xsk x9 $bad
	[ "$STATUS" != 0 ] && [[ $ERR == *"${bad#* }"* ]] || fail "$bad: $ERR"
done
ipn-fabric net add "$NETS/jumbo" --policy switch --mtu 9000
expect_err 1792 ipn-fabric attach "$NETS/jumbo" --xsk x9
ipn-fabric net add "$NETS/mid" --policy switch --mtu 2000
expect_err "--frame-size 4096" ipn-fabric attach "$NETS/mid" --xsk x9
ipn-fabric attach "$NETS/mid" --xsk x9 --frame-size 4096 --frames 64 >/dev/null
expect_err "x9" ipn-fabric attach "$NETS/lan" --xsk x9
expect_err "for --xsk" ipn-fabric attach "$NETS/lan" --host h9 --frames 64
ipn-fabric net del "$NETS/jumbo"
ipn-fabric net del "$NETS/mid"

step "--own: the socket is the program's"
assert_eq "port 2 xsk own0" "$(ipn-fabric attach "$NETS/lan" --xsk own0 --own)" answer
xsk_open EOPNOTSUPP "$NETS/lan" own0
port_is 2 up || fail "an interface that is a program's own is down"
ipn-fabric show "$NETS/lan" | has 'xsk,own *own0' || fail "how it is shown"
kill_fabric
start_fabric
port_is 2 up || fail "and after a restart"

step "nothing is left behind"
ipn-fabric net del "$NETS/lan"
ip netns del box
same "$before" "$(left)" "all ports taken away"
stop_fabric
