#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# cable: two networks joined, any message across, and no ring of them melts
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

HOPS=8 # IPN_HOPS_MAX
TYPE=88b6

hex() # N [BYTE]: N bytes
{
	[ "$1" = 0 ] || printf "${2:-5a}%.0s" $(seq "$1")
}

port_of() # PATH TO: the port of the cable from one to the other
{
	ipn-fabric show --json "$1" |
		jq -e --arg to "$2" '.ports[] | select(.cable.network? == $to).port'
}

cables() # PATH N
{
	[ "$(ipn-fabric show --json "$1" | jq '[.ports[] | select(.kind == "cable")] | length')" \
		= "$2" ]
}

drained() # NODE: nothing more comes
{
	tell "$1" "recvlen 100" EAGAIN
}

start_fabric
ipn-fabric net add "$NETS/a" --mtu 65535 --pool 64
ipn-fabric net add "$NETS/b" --mtu 65535 --pool 64


step "a process of each network receives what one of the other sends"
before=$(still)
node a socket "connect $NETS/a"
node b socket "oob on" "connect $NETS/b"
tell b "oobrecv 20000" "ok 1 1"
assert_eq "port 1 of $NETS/a
port 1 of $NETS/b" "$(ipn-fabric cable "$NETS/a" "$NETS/b" --descr uplink)" "what cable prints"
tell b "oobrecv 20000" "ok 2 2"
tell a "send there" "ok 5"
tell b "recv 20000" "ok there"
tell b "send back" "ok 4"
tell a "recv 20000" "ok back"
drained a
drained b
for end in "a b" "b a"; do
	read -r here there <<<"$end"
	assert_eq "cable $NETS/$there 1 uplink true true true" \
		"$(ipn-fabric show --json "$NETS/$here" | jq -r '.ports[] | select(.port == 1) |
		"\(.kind) \(.cable.network) \(.cable.port) \(.descr) " +
		"\(.up) \(.reader) \(.writer)"')" \
		"end at $here"
	ipn-fabric show "$NETS/$here" | has "cable  $NETS/$there:1" ||
		fail "show without --json: $(ipn-fabric show "$NETS/$here")"
done
assert_eq "1 4 1 5" "$(stat_of "$NETS/a" 1 '"\(.in_packets) \(.in_bytes) " +
	"\(.out_packets) \(.out_bytes)"')" "counters of one end"
assert_eq "1 5 1 4" "$(stat_of "$NETS/b" 1 '"\(.in_packets) \(.in_bytes) " +
	"\(.out_packets) \(.out_bytes)"')" "counters of the other end"

step "any bytes of any length, without interfaces"
for len in 0 1 2 13 14 15 16 17 18 19 20 21 60 1500 3386 3400 3500 9000 65534 65535; do
	tell a "sendlen $len" "ok $len"
	tell b "recvlen 20000" "ok $len"
done
for proto in 8100 88a8 0800 88b5 0003; do # what the kernel would take for its own
	for tail in "" 01 0102 010203 01020304 0102030405 010203040506 01020304050607; do
		tell b "sendhex $(hex 12)$proto$tail" "ok $((14 + ${#tail} / 2))"
		tell a "recvhex 20000" "ok $(hex 12)$proto$tail"
	done
done
private=49504e0106$(hex 7)88b5 # as a frame of the fabric's own on its way
tell a "sendhex $private$(hex 20)" "ok 34"
tell b "recvhex 20000" "ok $private$(hex 20)"
drained a
drained b
assert_eq 0 "$(ipn-fabric stats --json | jq '[.[].drops[]] | add')" "drops"

step "the MTU is that of the network it comes to"
ipn-fabric net add "$NETS/small" --mtu 100
ipn-fabric cable "$NETS/a" "$NETS/small" >/dev/null
node small socket "connect $NETS/small"
for len in 100 101 5000 99; do
	tell a "sendlen $len" "ok $len"
	tell b "recvlen 20000" "ok $len"
done
tell small "recvlen 20000" "ok 100"
tell small "recvlen 20000" "ok 99"
drained small
assert_eq 2 "$(stat_of "$NETS/small" 0 .drops.mtu)" "too long for the network"
assert_eq 2 "$(stat_of "$NETS/small" 0 .in_packets)" "taken by it"

step "a stream keeps its order"
seq 40 | ipn-fabric send "$NETS/a"
for i in $(seq 40); do
	tell a "recv 20000" "ok $i"
	tell b "recv 20000" "ok $i"
done
leave small

step "the cable ends: by either path, by either port, with either network"
ipn-fabric net del "$NETS/small"
cables "$NETS/a" 1
ipn-fabric uncable "$NETS/b" "$NETS/a"
tell a "send gone" "ok 4"
while tell b "oobrecv 100"; do # 5 messages of the batch may be left, and the counts
	[ "$OUT" != EAGAIN ] || break
done
leave a
leave b
same_again "$before" "uncable"
for how in "detach a" "detach b" "net b" "net a" "link"; do
	read -r what where <<<"$how"
	ipn-fabric net add "$NETS/x"
	ipn-fabric net add "$NETS/y"
	ipn-fabric cable "$NETS/x" "$NETS/y" --port 7 --port2 9 >/dev/null
	assert_eq "7 9" "$(port_of "$NETS/x" "$NETS/y") $(port_of "$NETS/y" "$NETS/x")" "ports"
	case $how in
	"detach a") ipn-fabric detach "$NETS/x" --port 7 ;;
	"detach b") ipn-fabric detach "$NETS/y" --port 9 ;;
	"net a") ipn-fabric net del "$NETS/x" ;;
	"net b") ipn-fabric net del "$NETS/y" ;;
	link) ip link del "$(ipn-fabric show --json "$NETS/x" | jq -r '.ports[0].name')" ;;
	esac
	for net in x y; do
		[ ! -e "$NETS/$net" ] || {
			wait_until 20 cables "$NETS/$net" 0
			ipn-fabric net del "$NETS/$net"
		}
	done
	same_again "$before" "$how"
done
node own "socket 1" "bind $NETS/own"
ipn-fabric cable "$NETS/own" "$NETS/a" >/dev/null
leave own # a cable keeps a network as an interface does
cables "$NETS/own" 1
ipn-fabric uncable "$NETS/a" "$NETS/own"
expect_err "not a live network" ipn-fabric net show "$NETS/own"
rm "$NETS/own"

step "a ring of three broadcast networks: every copy is counted, and it ends"
for net in r1 r2 r3; do
	ipn-fabric net add "$NETS/$net" --pool 64
	node $net socket "connect $NETS/$net"
done
node ear socket "connect $NETS/r1"
ipn-fabric cable "$NETS/r1" "$NETS/r2" >/dev/null
ipn-fabric cable "$NETS/r2" "$NETS/r3" >/dev/null
ipn-fabric cable "$NETS/r3" "$NETS/r1" >/dev/null
copies() # NODE TEXT N
{
	local n

	for ((n = 0; n < $3; n++)); do
		tell "$1" "recv 20000" "ok $2"
	done
	drained "$1"
}
hops() # how many were dropped so
{
	ipn-fabric stats --json | jq '[.[].drops.hops] | add'
}
crossed()
{
	ipn-fabric stats --json | jq '[.[] | select(.kind == "cable") | .in_packets] | add'
}
tell r1 "send round" "ok 5"
# Two ways round, 8 cables each: home again after 3 and 6, at the others after the rest.
copies r1 round 4
copies ear round 5
copies r2 round 6
copies r3 round 6
assert_eq $((2 * HOPS)) "$(crossed)" "crossings"
assert_eq 2 "$(hops)" "stopped for their hops"
tell r2 "send x" "ok 1" # no frame, the same
copies r2 x 4
copies r1 x 6
copies ear x 6
copies r3 x 6
assert_eq $((4 * HOPS)) "$(crossed)" "crossings"

step "a storm into the ring ends with it"
tell r3 "sendmany 2000" ok
settled() # no copy moves any more: the number is the same ten times
{
	local was=$LAST

	LAST=$(crossed)
	SAME=$((was == LAST ? SAME + 1 : 0))
	[ $SAME -ge 10 ]
}
LAST=0 SAME=0
wait_until 20 settled
device=$(ipn-fabric stats --json | jq '[.[] | select(.kind == "cable") | .drops.device] | add')
echo "   2000 messages, $((LAST - 4 * HOPS)) copies crossed, $device were too many"
[ "$LAST" -le $((2004 * 2 * HOPS)) ] || fail "more copies than hops allow"
for net in r1 r2 r3; do
	leave $net
	ipn-fabric net del "$NETS/$net"
done
leave ear

step "a ring of three switches: it ends, and stations still reach each other"
for i in 1 2 3; do
	ipn-fabric net add "$NETS/s$i" --policy switch --pool 64
	node s$i socket "connect $NETS/s$i"
done
ipn-fabric cable "$NETS/s1" "$NETS/s2" >/dev/null
ipn-fabric cable "$NETS/s2" "$NETS/s3" >/dev/null
ipn-fabric cable "$NETS/s3" "$NETS/s1" >/dev/null
mac() # I
{
	echo "02000000000$1"
}
frames_of() # NODE HEX N
{
	local n

	for ((n = 0; n < $3; n++)); do
		tell "$1" "recvhex 20000" "ok $2"
	done
	drained "$1"
}
data=$TYPE$(hex 46)
for i in 1 2 3; do
	tell s$i "sendhex ffffffffffff$(mac $i)$data" "ok 60"
	for j in 1 2 3; do
		if [ $j = $i ]; then
			frames_of s$j "ffffffffffff$(mac $i)$data" 4
		else
			frames_of s$j "ffffffffffff$(mac $i)$data" 6
		fi
	done
done
assert_eq $((6 * HOPS)) "$(crossed)" "crossings"
for from in 1 2 3; do
	for to in 1 2 3; do
		[ $from != $to ] || continue
		tell s$from "sendhex $(mac $to)$(mac $from)$data" "ok 60"
		frames_of s$to "$(mac $to)$(mac $from)$data" 1
	done
done
assert_eq $((6 * HOPS + 6)) "$(crossed)" "known addresses go over one cable, once"
for i in 1 2 3; do
	leave s$i
	ipn-fabric net del "$NETS/s$i"
done

step "containers, the host and processes across a cable between switches"
ipn-fabric net add "$NETS/left" --policy switch --pool 1024
ipn-fabric net add "$NETS/right" --policy switch --pool 1024
for c in one two; do
	container $c
done
ipn-fabric attach "$NETS/left" --veth eth0:one >/dev/null
ipn-fabric attach "$NETS/right" --veth eth0:two >/dev/null
ipn-fabric attach "$NETS/right" --host h0 >/dev/null
in_netns one ip addr add 10.8.0.1/24 dev eth0
in_netns two ip addr add 10.8.0.2/24 dev eth0
ip addr add 10.8.0.3/24 dev h0
ipn-fabric cable "$NETS/left" "$NETS/right" >/dev/null
for to in 2 3; do
	in_netns one ping -q -c 1 -W 20 10.8.0.$to >/dev/null || fail "no ping to $to"
done
in_netns two ping -q -c 1 -W 20 10.8.0.1 >/dev/null || fail "no ping back"
ping -q -c 1 -W 20 10.8.0.1 >/dev/null || fail "no ping from the host"

frames check "$NETS/right" 1514 >"$IPN_TEST_TMP/check" 2>&1 & # floods are whole there, too
checker=$!
wait_until 20 grep -q ready "$IPN_TEST_TMP/check"
head -c 100000000 /dev/urandom >"$IPN_TEST_TMP/file"
wanted=$(sha256sum <"$IPN_TEST_TMP/file")
nsenter --net=/run/netns/two frames serve 7000 >"$IPN_TEST_TMP/got" &
server=$!
wait_until 20 grep -q ':1B58 00000000:0000 0A' "/proc/$server/net/tcp"
end=$(port_of "$NETS/right" "$NETS/left")
before=$(stat_of "$NETS/right" "$end" .in_packets)
start=${EPOCHREALTIME/[.,]/}
in_netns one timeout "$(limit 30)" bash -c "cat $IPN_TEST_TMP/file >/dev/tcp/10.8.0.2/7000" ||
	fail "TCP"
wait $server || fail "TCP: the server"
took=$((${EPOCHREALTIME/[.,]/} - start))
packets=$(($(stat_of "$NETS/right" "$end" .in_packets) - before))
echo "   100 MB in $((took / 1000)) ms, $packets frames over the cable"
assert_eq "$wanted" "$(sha256sum <"$IPN_TEST_TMP/got")" "what came over TCP"
[ $packets -lt 30000 ] || fail "big frames were cut up on their way: $packets"
ping -q -c 1 -W 20 -s 9000 10.8.0.1 >/dev/null || fail "fragments"
kill -TERM $checker
wait $checker || fail "damaged frames: $(cat "$IPN_TEST_TMP/check")"

sniff() # CONTAINER
{
	nsenter --net="/run/netns/$1" frames sniff eth0 60000 0x$TYPE \
		>"$IPN_TEST_TMP/sniff.$1" 2>&1 &
	wait_until 20 grep -q ready "$IPN_TEST_TMP/sniff.$1"
}
heard() # CONTAINER HEX...
{
	[ "$(grep -v ready "$IPN_TEST_TMP/sniff.$1")" = "$(printf '%s\n' "${@:2}")" ]
}
sniff two
address=$(in_netns two ip -j link show eth0 | jq -r '.[].address' | tr -d :)
node mouth socket "connect $NETS/left"
me=020000000077
tell mouth "sendhex $address$me$TYPE$(hex 50)" "ok 64"
tell mouth "sendhex ffffffffffff$me$TYPE$(hex 51)" "ok 65"
wait_until 20 heard two "$address$me$TYPE$(hex 50)" "ffffffffffff$me$TYPE$(hex 51)"
node ear socket "connect $NETS/left"
in_netns two frames inject eth0 "ffffffffffff$address$TYPE$(hex 50)"
for who in mouth ear; do
	tell $who "recvhex 20000" "ok ffffffffffff$address$TYPE$(hex 50)"
done
in_netns two frames inject eth0 "ffffffffffff${address}8100a064$TYPE$(hex 50)"
tell ear "recvhex 20000" "ok ffffffffffff${address}8100a064$TYPE$(hex 50)"
tell mouth "recvhex 20000" "ok ffffffffffff${address}8100a064$TYPE$(hex 50)"
leave ear
leave mouth

step "from a network of processes to one with interfaces"
ipn-fabric net add "$NETS/words"
ipn-fabric net add "$NETS/mixed"
container three
ipn-fabric attach "$NETS/mixed" --veth eth0:three >/dev/null
ipn-fabric cable "$NETS/words" "$NETS/mixed" >/dev/null
sniff three
node words socket "connect $NETS/words"
node mixed socket "connect $NETS/mixed"
for message in "$(hex 5)" "ffffffffffff$me$TYPE$(hex 50)" "$(hex 12)8100aabb" "" \
	"ffffffffffff$me$TYPE$(hex 1486)"; do
	tell words "sendhex $message" "ok $((${#message} / 2))"
	tell mixed "recvhex 20000" "ok $message"
	tell mixed "sendhex $message" "ok $((${#message} / 2))"
	tell words "recvhex 20000" "ok $message"
done
long="ffffffffffff$me$TYPE$(hex 1486)" short="ffffffffffff$me$TYPE$(hex 50)"
wait_until 20 heard three "$short" "$short" "$long" "$long"
leave words
leave mixed

step "without a manager, and with the next one"
kill_fabric
in_netns one ping -q -c 1 -W 20 10.8.0.2 >/dev/null || fail "no ping without a manager"
ports=$(ipn-fabric show --json 2>/dev/null | jq -c .ports || true)
start_fabric
cables "$NETS/left" 1
cables "$NETS/right" 1
assert_eq "$end" "$(port_of "$NETS/right" "$NETS/left")" "port of the cable"
in_netns one ping -q -c 1 -W 20 10.8.0.2 >/dev/null || fail "no ping after the restart"

step "a cable of which one end was not made is removed"
ifindex=$(ipn-fabric show --json "$NETS/left" |
	jq '.ports[] | select(.kind == "cable").ifindex')
kill_fabric
# shellcheck disable=SC2046 # one word for each byte
bpftool map delete pinned "$IPN_FABRIC_BPFFS/ipn-fabric/v1/port_in" key hex \
	$(printf '%02x %02x 00 00' $((ifindex % 256)) $((ifindex / 256)))
start_fabric
cables "$NETS/left" 0
cables "$NETS/right" 0
cables "$NETS/words" 1
! ip -o link show | has "^$ifindex:" || fail "its interface is still there"
in_netns one ping -q -c 1 -W 1 10.8.0.2 >/dev/null && fail "a ping without the cable"

step "what is refused"
expect_err "both ends are on $NETS/a" ipn-fabric cable "$NETS/a" "$NETS/a"
expect_err "is not a live network" ipn-fabric cable "$NETS/a" "$IPN_FABRIC_RUN_DIR/control"
expect_err "no such file" ipn-fabric cable "$NETS/a" "$NETS/nothing"
expect_err "port 99 is not from 0 to 31" ipn-fabric cable "$NETS/a" "$NETS/b" --port2 99
expect_err "has no cable to" ipn-fabric uncable "$NETS/a" "$NETS/b"
expect_err "CAP_NET_ADMIN" as_nobody "$IPN_BUILD/ipn-fabric" cable "$NETS/a" "$NETS/b"
expect_status 2 ipn-fabric cable "$NETS/a"
cables "$NETS/a" 0
ipn-fabric cable "$NETS/a" "$NETS/b" >/dev/null
ipn-fabric cable "$NETS/a" "$NETS/b" >/dev/null
expect_err "has several cables" ipn-fabric uncable "$NETS/a" "$NETS/b"

stop_fabric
assert_eq "" "$(ip -o link show | grep -v ': lo:' || true)" "interfaces left after down"

step "in the configuration file"
cat >"$IPN_TEST_TMP/conf" <<EOF
[network $NETS/up]
lossless = yes
pool = 2
[network $NETS/low]
[port joint]
network = $NETS/up
cable = $NETS/low
port = 3
descr = of the file
EOF
start_fabric --config "$IPN_TEST_TMP/conf"
assert_eq 3 "$(port_of "$NETS/up" "$NETS/low")" "port of the file"
kill_fabric
start_fabric --config "$IPN_TEST_TMP/conf"
cables "$NETS/up" 1
cables "$NETS/low" 1

step "a LOSSLESS network does not wait for a cable: it drops what has no room"
node slow "socket 1" "connect $NETS/up"
node quick "socket 1" "connect $NETS/low"
for i in 1 2 3 4; do
	tell quick "send $i" "ok 1"
done
tell slow "recvall 100" "ok 1 2"
assert_eq 2 "$(stat_of "$NETS/up" 3 .drops.pool)" "no room"
tell slow "send answer" "ok 6"
tell quick "recv 20000" "ok answer"
stop_fabric
