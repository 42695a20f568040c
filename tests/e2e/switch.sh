#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# switch: containers, the host and processes on one Ethernet, each frame to whom it is for
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

TYPE=88b6 # local experimental: nobody else sends it
DATA=$(printf '5a%.0s' {1..50})

# mac NAMESPACE INTERFACE, without colons; the host's with ""
mac()
{
	${1:+in_netns $1} ip -j link show "$2" | jq -r '.[].address' | tr -d :
}

# sniff CONTAINER [TYPE]: from now on, frames of our type; `heard` prints them.
sniff()
{
	nsenter --net="/run/netns/$1" frames sniff eth0 60000 "0x${2:-$TYPE}" \
		>>"$IPN_TEST_TMP/sniff.$1" 2>&1 &
	wait_until 20 grep -q ready "$IPN_TEST_TMP/sniff.$1"
}

heard() # CONTAINER HEX...: exactly these, in this order
{
	local name=$1

	shift
	[ "$(grep -v ready "$IPN_TEST_TMP/sniff.$name")" = "$(printf '%s\n' "$@")" ] || {
		echo "$name heard: $(grep -v ready "$IPN_TEST_TMP/sniff.$name")"
		return 1
	}
}

start_fabric
ipn-fabric net add "$NETS/lan" --policy switch --pool 1024
ipn-fabric net add "$NETS/other" --policy switch
i=0
for c in one two three; do
	i=$((i + 1))
	container $c
	ipn-fabric attach "$NETS/lan" --veth eth0:$c --port $i >/dev/null
	in_netns $c ip addr add 10.8.0.$i/24 dev eth0
done
container stranger
ipn-fabric attach "$NETS/other" --veth eth0:stranger >/dev/null
in_netns stranger ip addr add 10.8.0.9/24 dev eth0
ipn-fabric attach "$NETS/lan" --host h0 --port 10 >/dev/null
ip addr add 10.8.0.10/24 dev h0

step "ping all ways between containers and the host"
for from in one two three; do
	for to in 1 2 3 10; do
		in_netns $from ping -q -c 1 -W 20 10.8.0.$to >/dev/null ||
			fail "no ping from $from to $to"
	done
done
for to in 1 2 3; do
	ping -q -c 1 -W 20 10.8.0.$to >/dev/null || fail "no ping from the host to $to"
done

step "addresses are learned where they are"
ipn-fabric fdb show "$NETS/lan" --json >"$IPN_TEST_TMP/fdb"
learned() # MAC PORT
{
	jq -e --arg mac "$(sed 's/../&:/g; s/:$//' <<<"$1")" --argjson port "$2" \
		'any(.[]; .mac == $mac and .port == $port and .vlan == 0 and .age < 60)' \
		"$IPN_TEST_TMP/fdb" >/dev/null ||
		fail "$1 not at port $2: $(cat "$IPN_TEST_TMP/fdb")"
}
learned "$(mac one eth0)" 1
learned "$(mac two eth0)" 2
learned "$(mac three eth0)" 3
learned "$(mac "" h0)" 10
assert_eq 4 "$(jq length "$IPN_TEST_TMP/fdb")" "addresses learned"
ipn-fabric fdb show "$NETS/lan" | has -i "$(mac one eth0 | sed 's/../&:/g; s/:$//')" ||
	fail "fdb show without --json"

step "networks do not mix"
if in_netns stranger ping -q -c 1 -W 1 10.8.0.1 >/dev/null; then
	fail "the other network reaches this one"
fi
assert_eq "$(mac stranger eth0)" "$(ipn-fabric fdb show "$NETS/other" --json |
	jq -r '.[].mac' | tr -d :)" "addresses of the other network"

step "unicast goes to one, broadcast and unknown to all but the sender"
node ear socket "connect $NETS/lan"
sniff two
sniff three
sniff stranger
one=$(mac one eth0) two=$(mac two eth0)
to_two=$two$one$TYPE$DATA
unknown=02000000abcd$one$TYPE$DATA
to_all=ffffffffffff$one$TYPE$DATA
group=0100deadbeef$one$TYPE$DATA
while tell ear "recvlen 50"; do # pings before
	[ "$OUT" != EAGAIN ] || break
done
for frame in "$to_two" "$unknown" "$to_all" "$group"; do
	in_netns one frames inject eth0 "$frame"
done
wait_until 20 heard two "$to_two" "$unknown" "$to_all" "$group"
wait_until 20 heard three "$unknown" "$to_all" "$group"
for frame in "$unknown" "$to_all" "$group"; do
	tell ear "recvhex 20000" "ok $frame"
done
tell ear "recv 50" EAGAIN
heard stranger "" || fail "a frame went over to another network"

step "processes and interfaces send each other frames, whole"
node mouth socket "connect $NETS/lan"
me=020000000077
: >"$IPN_TEST_TMP/sniff.two"
: >"$IPN_TEST_TMP/sniff.three"
tell mouth "sendhex $two$me$TYPE$DATA" "ok 64"
tell mouth "sendhex ffffffffffff$me$TYPE${DATA}77" "ok 65"
wait_until 20 heard two "$two$me$TYPE$DATA" "ffffffffffff$me$TYPE${DATA}77"
wait_until 20 heard three "ffffffffffff$me$TYPE${DATA}77"
tell ear "recvhex 20000" "ok ffffffffffff$me$TYPE${DATA}77"
in_netns two frames inject eth0 "$me$two$TYPE$DATA"
tell mouth "recvhex 20000" "ok $me$two$TYPE$DATA"
tell mouth "sendhex $me$me$TYPE$DATA" "ok 64" # to itself: dropped
tell mouth "recv 50" EAGAIN
tell ear "recv 50" EAGAIN
port=$(ipn-fabric fdb show "$NETS/lan" --json | jq '.[] | select(.mac == "02:00:00:00:00:77").port')
assert_eq 1 "$(stat_of "$NETS/lan" "$port" .drops.same_port)" "frame to its own sender"

step "frames a switch does not take: counted by their reason"
tell mouth "send short" "ok 5"
tell mouth "sendhex ${two}0300000000ff$TYPE$DATA" "ok 64"
assert_eq 1 "$(stat_of "$NETS/lan" "$port" .drops.runt)" "a message without an Ethernet header"
assert_eq 1 "$(stat_of "$NETS/lan" "$port" .drops.source)" "a group address as source"
tell ear "recv 50" EAGAIN

step "a VLAN tag reaches processes and interfaces in its place"
tagged=ffffffffffff${one}8100a064$TYPE$DATA
: >"$IPN_TEST_TMP/sniff.two"
sniff two 8100
in_netns one frames inject eth0 "$tagged"
tell ear "recvhex 20000" "ok $tagged"
wait_until 20 heard two "$tagged"
: >"$IPN_TEST_TMP/sniff.two"
tell mouth "sendhex ffffffffffff${me}81000064$TYPE$DATA" "ok 68"
wait_until 20 heard two "ffffffffffff${me}81000064$TYPE$DATA"
leave ear
leave mouth

step "TCP between containers, and with the host: every byte"
head -c 20000000 /dev/urandom >"$IPN_TEST_TMP/file"
wanted=$(sha256sum <"$IPN_TEST_TMP/file")
tcp() # FROM TO ADDRESS, "" for the host
{
	local server

	${2:+nsenter --net=/run/netns/$2} frames serve 7000 >"$IPN_TEST_TMP/got" &
	server=$!
	wait_until 20 grep -q ':1B58 00000000:0000 0A' "/proc/$server/net/tcp"
	${1:+nsenter --net=/run/netns/$1} timeout "$(limit 60)" \
		bash -c "cat $IPN_TEST_TMP/file >/dev/tcp/$3/7000" || fail "TCP from '$1' to $3"
	wait $server || fail "TCP from '$1' to $3: the server"
	assert_eq "$wanted" "$(sha256sum <"$IPN_TEST_TMP/got")" "TCP from '$1' to $3"
}
tcp one two 10.8.0.2
tcp two "" 10.8.0.10
tcp "" three 10.8.0.3

step "segments flooded to a process on the switch are whole frames with right checksums"
frames check "$NETS/lan" 1514 >"$IPN_TEST_TMP/check" 2>&1 &
checker=$!
wait_until 20 grep -q ready "$IPN_TEST_TMP/check"
# An address that is never learned, because its holder answers by another interface.
ipn-fabric attach "$NETS/lan" --veth eth1:two --port 4 >/dev/null
in_netns two sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
in_netns two ip link set eth0 down
in_netns two ip link set eth0 address 02:00:00:00:ff:02 arp off up
in_netns two ip link set eth1 up
in_netns two ip route replace 10.8.0.1 dev eth1 src 10.8.0.2
in_netns one ip neigh replace 10.8.0.2 lladdr 02:00:00:00:ff:02 dev eth0
tcp one two 10.8.0.2
for size in 1472 2000 9000 40000; do
	in_netns one ping -q -c 1 -W 20 -s $size 10.8.0.2 >/dev/null || fail "ping of $size bytes"
done
kill -TERM $checker
wait $checker || fail "damaged frames: $(cat "$IPN_TEST_TMP/check")"
read -r frames _ tcp bad lost < <(tail -n 1 "$IPN_TEST_TMP/check")
echo "   $frames frames, $tcp of them TCP, $bad bad, $lost lost"
[ "$frames" -gt 0 ] && [ "$bad" = 0 ] || fail "damaged frames"

step "longer than the MTU: dropped, counted as such at the port it came from"
ipn-fabric detach "$NETS/lan" --port 4
node ear socket "connect $NETS/lan"
full=ffffffffffff$one$TYPE$(printf '00%.0s' {1..1500})
before=$(stat_of "$NETS/lan" 1 .drops.mtu)
in_netns one ip link set eth0 mtu 4000
in_netns one frames inject eth0 "$full"
in_netns one frames inject eth0 "${full}00" 3
in_netns one frames inject eth0 "${full}00000000"
in_netns one frames inject eth0 "$full"
in_netns one ip link set eth0 mtu 1500
tell ear "recvlen 20000" "ok 1514"
tell ear "recvlen 20000" "ok 1514"
tell ear "recvlen 50" EAGAIN
leave ear
assert_eq $((before + 4)) "$(stat_of "$NETS/lan" 1 .drops.mtu)" "frames longer than the MTU"

step "counters add up: what went in came out"
ipn-fabric net add "$NETS/sum" --policy switch
node a socket "connect $NETS/sum"
node b socket "connect $NETS/sum"
container four
ipn-fabric attach "$NETS/sum" --veth eth0:four --port 5 >/dev/null
in_netns four ip link set eth0 up
a=$(stat_of "$NETS/sum" 5 .out_packets)
for len in 14 60 100 1514; do
	body=$(head -c $((2 * (len - 14))) /dev/zero | tr '\0' 1)
	tell a "sendhex ffffffffffff$me$TYPE$body" "ok $len"
	tell b "recvlen 20000" "ok $len"
done
tell b "recv 20" EAGAIN
assert_eq "4 1688" "$(stat_of "$NETS/sum" 0 '"\(.in_packets) \(.in_bytes)"')" "sender"
assert_eq "4 1688" "$(stat_of "$NETS/sum" 1 '"\(.out_packets) \(.out_bytes)"')" "reader"
assert_eq $((a + 4)) "$(stat_of "$NETS/sum" 5 .out_packets)" "interface"
assert_eq 0 "$(stat_of "$NETS/sum" 0 '[.drops[]] | add')" "drops"
leave a
leave b

stop_fabric
