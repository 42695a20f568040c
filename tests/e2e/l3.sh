#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# l3: containers, the host and processes in different subnets, joined by a router
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

NET=$NETS/l3

# host CONTAINER PORT: 10.PORT.0.2 and fd00:PORT::2, the router is .1 and ::1
host()
{
	local name=$1 port=$2

	container "$name"
	ipn-fabric attach "$NET" --veth "eth0:$name" --port "$port" >/dev/null
	ipn-fabric addr add "$NET" "10.$port.0.1/24" --port "$port"
	ipn-fabric addr add "$NET" "fd00:$port::1/64" --port "$port"
	ipv6_on "$name" eth0
	in_netns "$name" ip addr add "10.$port.0.2/24" dev eth0
	in_netns "$name" ip addr add "fd00:$port::2/64" dev eth0 nodad
	in_netns "$name" ip link set eth0 up
	in_netns "$name" ip route add default via "10.$port.0.1"
	in_netns "$name" ip -6 route add default via "fd00:$port::1"
}

# pings CONTAINER ADDRESS [OPTION...]
pings()
{
	in_netns "$1" ping -q -c 1 -W 20 "${@:3}" "$2" >"$IPN_TEST_TMP/ping" ||
		fail "no ping from $1 to $2 ${*:3}: $(cat "$IPN_TEST_TMP/ping")
$(ipn-fabric stats "$NET"; ipn-fabric neigh show "$NET")"
}

# drops PORT REASON
drops()
{
	stat_of "$NET" "$1" ".drops.$2"
}

start_fabric
ipn-fabric net add "$NET" --policy l3 --pool 256
host red 1
host blue 2

step "both families, the first packet is held and not lost"
pings red 10.2.0.2
pings red fd00:2::2
pings blue 10.1.0.2
pings blue fd00:1::2

step "the router answers for itself"
pings red 10.1.0.1
pings red 10.2.0.1
pings red fd00:1::1
pings red fd00:2::1
for i in 1 2; do
	name=$([ $i = 1 ] && echo red || echo blue)
	IFS=: read -r a b c d e f < <(ipn-fabric addr show "$NET" --json |
		jq -r "first(.[] | select(.port == $i)).mac")
	local6=$(printf 'fe80::%02x%s:%sff:fe%s:%s%s' $((0x$a ^ 2)) "$b" "$c" "$d" "$e" "$f")
	pings $name "$local6%eth0"
done
assert_eq 4 "$(ipn-fabric addr show "$NET" --json | jq length)" "addresses"
ipn-fabric neigh show "$NET" --json |
	jq -e 'any(.[]; .address == "10.1.0.2" and .port == 1 and .state == "reachable")' \
		>/dev/null ||
	fail "no neighbour: $(ipn-fabric neigh show "$NET")"

step "a port nobody listens at, an address nobody has, a prefix without a route"
told() # CONTAINER ADDRESS TEXT [OPTION...]
{
	in_netns "$1" ping -n -c 1 -W 20 "${@:4}" "$2" >"$IPN_TEST_TMP/ping" 2>&1 || true
	grep -qi "$3" "$IPN_TEST_TMP/ping"
}
told red 10.2.0.99 'from 10.1.0.1.*host unreachable' -c 6 -i 1 -W 1 ||
	fail "$(cat "$IPN_TEST_TMP/ping")"
told red fd00:2::99 'from fd00:1::1.*unreachable: address' -c 6 -i 1 -W 1 ||
	fail "$(cat "$IPN_TEST_TMP/ping")"
told red 10.7.0.1 'from 10.1.0.1.*net unreachable' || fail "$(cat "$IPN_TEST_TMP/ping")"
told red fd07::1 'from fd00:1::1.*unreachable: no route' || fail "$(cat "$IPN_TEST_TMP/ping")"
[ "$(drops 1 no_neigh)" -ge 2 ] && [ "$(drops 1 no_route)" = 2 ] ||
	fail "drops: $(ipn-fabric stats "$NET")"

step "hops are counted"
told red 10.2.0.2 'from 10.1.0.1.*time to live exceeded' -t 1 || fail "$(cat "$IPN_TEST_TMP/ping")"
told red fd00:2::2 'from fd00:1::1.*hops\|from fd00:1::1.*time exceeded' -t 1 ||
	fail "$(cat "$IPN_TEST_TMP/ping")"
told red 10.2.0.2 'ttl=63' || fail "$(cat "$IPN_TEST_TMP/ping")"
told red fd00:2::2 'ttl=63' || fail "$(cat "$IPN_TEST_TMP/ping")"
assert_eq 2 "$(drops 1 ttl)" "messages without a hop left"

step "the host, and processes, are hosts like any other"
ipn-fabric attach "$NET" --host h0 --port 3 >/dev/null
ipn-fabric addr add "$NET" 10.3.0.1/24 --port 3
ip addr add 10.3.0.2/24 dev h0
ip link set h0 up
ip route add 10.0.0.0/8 via 10.3.0.1
pings red 10.3.0.2
ping -q -c 1 -W 20 10.2.0.2 >/dev/null || fail "no ping from the host"
for port in 4 5; do # two processes, each with a stack behind it
	container "p$port"
	ipn-fabric addr add "$NET" "10.$port.0.1/24" --port $port
	ipn-fabric addr add "$NET" "fd00:$port::1/64" --port $port
	pump "$NET" $port "/run/netns/p$port" tap0 >"$IPN_TEST_TMP/pump$port" 2>&1 &
	pump_pid[port]=$!
	wait_until 20 grep -q ready "$IPN_TEST_TMP/pump$port"
	ipv6_on "p$port" tap0
	in_netns "p$port" ip addr add "10.$port.0.2/24" dev tap0
	in_netns "p$port" ip addr add "fd00:$port::2/64" dev tap0 nodad
	in_netns "p$port" ip link set tap0 up
	in_netns "p$port" ip route add default via "10.$port.0.1"
	in_netns "p$port" ip -6 route add default via "fd00:$port::1"
done
for from in red blue p4 p5; do
	for to in 1 2 4 5; do
		pings $from 10.$to.0.1
		pings $from 10.$to.0.2
		pings $from fd00:$to::1
		pings $from fd00:$to::2
	done
	pings $from 10.3.0.2
done
pings p4 10.5.0.2 -s 1400
pings p4 10.1.0.2 -s 1400
pings red 10.4.0.2 -s 1400
pings p4 10.1.0.2 -s 4000 # in fragments
pings red fd00:4::2 -s 4000
told p4 10.5.0.2 'from 10.4.0.1.*time to live exceeded' -t 1 || fail "$(cat "$IPN_TEST_TMP/ping")"
told p4 10.2.0.99 'from 10.4.0.1.*host unreachable' -c 6 -i 1 -W 1 ||
	fail "$(cat "$IPN_TEST_TMP/ping")"

step "a client of a VDE socket"
# sum HEX: the Internet checksum, as four digits
inet_sum()
{
	local hex=$1 sum=0

	while [ -n "$hex" ]; do
		sum=$((sum + 0x${hex:0:4}))
		hex=${hex:4}
	done
	sum=$(((sum & 0xffff) + (sum >> 16)))
	printf '%04x' $((~((sum & 0xffff) + (sum >> 16)) & 0xffff))
}

DIR=$NETS/vde
ipn-fabric attach "$NET" --vde "$DIR" >/dev/null
vde client -p 6
number=$(ipn-fabric show --json "$NET" | jq '.ports[] | select(.kind == "sock").port')
ipn-fabric addr add "$NET" 10.6.0.1/24 --port "$number"
router=$(ipn-fabric addr show "$NET" --json |
	jq -r ".[] | select(.port == $number).mac" | tr -d :)
mine=020000000666
ip4=4500002000000000400100000a0600020a010002 # 10.6.0.2 to 10.1.0.2
ip4=${ip4:0:20}$(inet_sum $ip4)${ip4:24}
echo=080000001234000161626364
echo=${echo:0:4}$(inet_sum $echo)${echo:8}
tell client "send ffffffffffff${mine}08060001080006040001${mine}0a0600020000000000000a060001" ok
tell client "recv 20000"
[[ $OUT == *"${mine}${router}08060001080006040002${router}0a060001${mine}0a060002"* ]] ||
	fail "no ARP reply: $OUT"
tell client "send $router${mine}0800$ip4$echo" ok
tell client "recv 20000"
[[ $OUT == *"${mine}${router}0800"*0a0100020a060002*61626364* ]] ||
	fail "no echo reply through the router: $OUT
$(ipn-fabric stats "$NET"; ipn-fabric neigh show "$NET")"
ipn-fabric neigh show "$NET" --json |
	jq -e 'any(.[]; .address == "10.6.0.2" and .state == "reachable")' >/dev/null ||
	fail "the client is no neighbour"
leave client
ipn-fabric addr del "$NET" 10.6.0.1/24 --port "$number"

step "TCP, with all the kernel's offloads"
stream() # FROM TO-CONTAINER ADDRESS
{
	local pid

	in_netns "$2" iperf3 -s -1 >/dev/null 2>&1 &
	pid=$!
	wait_until 20 in_netns "$2" sh -c 'ss -Hltn sport = 5201 | grep .'
	in_netns "$1" timeout "$(limit 30)" iperf3 -c "$3" -n 40M -J >"$IPN_TEST_TMP/iperf" ||
		fail "no stream from $1 to $3: $(jq -r .error "$IPN_TEST_TMP/iperf")"
	wait $pid || true
	echo "   $1 to $3: $(jq '.end.sum_received.bits_per_second / 1e6 | floor' \
		"$IPN_TEST_TMP/iperf") Mbit/s"
}
if command -v iperf3 >/dev/null; then
	stream red blue 10.2.0.2
	stream red blue fd00:2::2
	stream red p4 10.4.0.2
	stream p4 red 10.1.0.2
	stream p4 p5 fd00:5::2
fi

step "the manager dies; the router does not"
kill_fabric
pings red 10.2.0.2
in_netns blue ip neigh flush all
in_netns red ip neigh flush all
pings red fd00:2::2
pings p4 10.1.0.2
start_fabric
assert_eq 9 "$(ipn-fabric addr show "$NET" --json | jq length)" "addresses after the restart"
pings red 10.2.0.2

step "routes through a next hop"
in_netns blue ip addr add 10.20.0.1/32 dev lo
in_netns blue ip addr add fd20::1/128 dev lo
ipn-fabric route add "$NET" 10.20.0.0/16 via 10.2.0.2
ipn-fabric route add "$NET" fd20::/64 via fd00:2::2
pings red 10.20.0.1
pings p4 fd20::1
expect_err 'is on the subnet of no port' ipn-fabric route add "$NET" 10.30.0.0/16 via 10.99.0.1
expect_err 'there is a route for it already' ipn-fabric route add "$NET" 10.20.0.0/16 via 10.1.0.2
expect_err 'bits are set behind' ipn-fabric route add "$NET" 10.20.0.1/16 via 10.1.0.2
expect_err 'is the router' ipn-fabric addr add "$NET" 10.1.0.1/24 --port 2
expect_err 'is behind port 1' ipn-fabric addr add "$NET" 10.1.0.9/24 --port 2
ipn-fabric route del "$NET" 10.20.0.0/16
told red 10.20.0.1 'net unreachable' || fail "$(cat "$IPN_TEST_TMP/ping")"
expect_err 'there is no route' ipn-fabric route del "$NET" 10.20.0.0/16
expect_err 'by an address' ipn-fabric route del "$NET" 10.1.0.0/24

step "two routers send a packet round until its hops are used up"
ipn-fabric route add "$NET" 10.66.0.0/16 via 10.2.0.2
in_netns blue sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 \
	net.ipv4.conf.eth0.send_redirects=0
container green # behind blue: its source is right at port 2, however often it comes by
ip link add up0 netns green type veth peer name down0 netns blue
in_netns green ip addr add 10.21.0.2/24 dev up0
in_netns blue ip addr add 10.21.0.1/24 dev down0
in_netns green ip link set up0 up
in_netns blue ip link set down0 up
in_netns green ip route add default via 10.21.0.1
ipn-fabric route add "$NET" 10.21.0.0/16 via 10.2.0.2
pings green 10.1.0.2
told green 10.66.0.1 'time to live exceeded' || fail "$(cat "$IPN_TEST_TMP/ping")"
before=$(drops 2 wrong_port)
told red 10.66.0.1 'time=' -W 1 && fail "who answers for 10.66.0.1?"
assert_eq $((before + 1)) "$(drops 2 wrong_port)" "what comes back where its source is not"

step "a smaller MTU behind a port is told to senders"
ipn-fabric addr add "$NET" 10.2.9.1/24 --port 2 --mtu 1300
told red 10.2.0.2 'mtu = 1300\|mtu=1300' -M 'do' -s 1400 || fail "$(cat "$IPN_TEST_TMP/ping")"
pings red 10.2.0.2 -s 1200
[ "$(drops 1 too_big)" -ge 1 ] || fail "nothing was too big"

step "what must not go through does not"
before=$(drops 1 wrong_port)
in_netns red ip addr add 10.50.0.2/32 dev lo
in_netns red ping -q -c 1 -W 1 -I 10.50.0.2 10.2.0.2 >/dev/null &&
	fail "a false source went through"
[ "$(drops 1 wrong_port)" -gt "$before" ] || fail "wrong port: $(ipn-fabric stats "$NET")"
in_netns red ping -q -c 1 -W 1 -b 10.2.0.255 >/dev/null 2>&1 && fail "directed broadcast"
assert_eq 1 "$(drops 1 directed)" "directed broadcasts"

step "a neighbour that the user names"
mac=$(in_netns blue cat /sys/class/net/eth0/address)
ipn-fabric neigh add "$NET" 10.2.0.77 "$mac" --port 2
in_netns blue ip addr add 10.2.0.77/32 dev lo
pings red 10.2.0.77
ipn-fabric neigh del "$NET" 10.2.0.77 --port 2
expect_err 'has no neighbour' ipn-fabric neigh del "$NET" 10.2.0.78 --port 2

step "who may, and what is left behind"
chmod 776 "$NET"
expect_err 'may not hold the network' as_nobody ipn-fabric addr show "$NET"
expect_err 'may not hold the network' as_nobody ipn-fabric route add "$NET" default via 10.2.0.2
ipn-fabric addr del "$NET" 10.1.0.1/24 --port 1
told red 10.2.0.2 'time=' -W 1 && fail "red still gets through"
expect_err 'has no address' ipn-fabric addr del "$NET" 10.1.0.1/24 --port 1
ipn-fabric net del "$NET"
for map in l3_ports l3_static; do
	pin=$IPN_FABRIC_BPFFS/ipn-fabric/v1/$map
	assert_eq "[]" "$(bpftool -j map dump pinned "$pin" | jq -c .)" \
		"what is left in $map"
done
stop_fabric
