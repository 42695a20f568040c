#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# l3links: a router reaches what is behind cables, wires and AF_XDP ports; two routers in a circle
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

NET=$NETS/core

# station CONTAINER INTERFACE N: 10.N.0.2 and fd00:N::2, the router is .1 and ::1
station()
{
	ipv6_on "$1" "$2"
	in_netns "$1" ip addr add "10.$3.0.2/24" dev "$2"
	in_netns "$1" ip addr add "fd00:$3::2/64" dev "$2" nodad
	in_netns "$1" ip link set "$2" up
	in_netns "$1" ip route add default via "10.$3.0.1"
	in_netns "$1" ip -6 route add default via "fd00:$3::1"
}

# router_at N [OPTION...]: the router is .1 and ::1 of subnet N, at port N
router_at()
{
	ipn-fabric addr add "$NET" "10.$1.0.1/24" --port "$1" "${@:2}"
	ipn-fabric addr add "$NET" "fd00:$1::1/64" --port "$1"
}

# pings CONTAINER ADDRESS [OPTION...]
pings()
{
	in_netns "$1" ping -q -c 1 -W 20 "${@:3}" "$2" >"$IPN_TEST_TMP/ping" ||
		fail "no ping from $1 to $2 ${*:3}: $(cat "$IPN_TEST_TMP/ping")
$(ipn-fabric stats; ipn-fabric neigh show "$NET")"
}

# reach CONTAINER N: host 2 of subnet N, by both
reach()
{
	pings "$1" "10.$2.0.2"
	pings "$1" "fd00:$2::2"
}

# told CONTAINER ADDRESS TEXT FROM [OPTION...]: a ping that is answered by an error of a router
told()
{
	in_netns "$1" ping -c 1 -W 20 "${@:5}" "$2" >"$IPN_TEST_TMP/ping" 2>&1 &&
		fail "$1: $2 answers a ping ${*:5}"
	grep -q "^From $4 .*$3" "$IPN_TEST_TMP/ping" ||
		fail "$1, ping ${*:5} $2: no '$3' from $4: $(cat "$IPN_TEST_TMP/ping")
$(ipn-fabric stats)"
}

# drops PORT REASON
drops()
{
	stat_of "$NET" "$1" ".drops.$2"
}

start_fabric
for name in red gray wired thief; do
	container "$name"
done
ipn-fabric net add "$NET" --policy l3 --pool 64
ipn-fabric attach "$NET" --veth eth0:red --port 1 >/dev/null
router_at 1
station red eth0 1

step "a switch behind a cable: both ways, TCP with all offloads"
ipn-fabric net add "$NETS/lan" --policy switch
ipn-fabric cable "$NET" "$NETS/lan" --port 2 >/dev/null
ipn-fabric attach "$NETS/lan" --veth eth0:gray >/dev/null
router_at 2
station gray eth0 2
reach red 2
reach gray 1
head -c 20000000 /dev/urandom >"$IPN_TEST_TMP/data"
mkdir "$IPN_TEST_TMP/www"
mv "$IPN_TEST_TMP/data" "$IPN_TEST_TMP/www"
in_netns gray busybox httpd -p 8000 -h "$IPN_TEST_TMP/www"
assert_eq "$(md5sum <"$IPN_TEST_TMP/www/data")" \
	"$(in_netns red busybox wget -q -O - http://10.2.0.2:8000/data | md5sum)" \
	"20 MB over a cable"

step "a wire: a grabbed interface, whose host keeps its copies"
ip link add wire0 type veth peer name wire1 netns wired
ip addr add 10.3.0.9/24 dev wire0
ip link set wire0 up
ipn-fabric attach "$NET" --grab wire0 --port 3 >/dev/null
router_at 3
station wired wire1 3
reach red 3
reach wired 1
reach wired 2
pings wired 10.3.0.9

step "an AF_XDP program, as nobody with CAP_NET_RAW"
chmod 777 "$NET"
ipn-fabric attach "$NET" --xsk x0 --port 4 >/dev/null
ipn-fabric addr add "$NET" 10.4.0.1/24 --port 4
setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+net_raw --ambient-caps=+net_raw -- \
	"$IPN_BUILD/tests/ipnhost" "$NET" 10.4.0.2 --gateway 10.4.0.1 --xsk x0 \
	>"$IPN_TEST_TMP/xsk" 2>&1 &
XSK=$!
wait_until 20 grep -q ready "$IPN_TEST_TMP/xsk"
pings red 10.4.0.2
pings gray 10.4.0.2
pings wired 10.4.0.2
kill $XSK
wait $XSK || fail "it saw bad frames: $(cat "$IPN_TEST_TMP/xsk")"

step "who sends learns that the hops were used up, at every kind of port"
for hop in "red 1 2" "gray 2 1" "wired 3 1"; do
	read -r name n to <<<"$hop"
	told "$name" "10.$to.0.2" "Time to live exceeded" "10.$n.0.1" -t 1
	told "$name" "fd00:$to::2" "Time exceeded: Hop limit" "fd00:$n::1" -t 1
	assert_eq 2 "$(drops "$n" ttl)" "ttl at port $n"
done

step "two owners of one address: who was first keeps it"
mac=$(in_netns gray ip -j link show eth0 | jq -r '.[0].address')
ipn-fabric attach "$NETS/lan" --veth eth0:thief >/dev/null
in_netns thief ip addr add 10.2.0.2/24 dev eth0
in_netns thief ip link set eth0 up
pings red 10.2.0.2
in_netns thief busybox arping -q -U -c 1 -w 1 -I eth0 10.2.0.2 || true # nobody answers that
claims()
{
	[ "$(drops 2 claim)" -ge 1 ]
}
wait_until 20 claims
assert_eq "$mac" "$(ipn-fabric neigh show "$NET" --json |
	jq -r '.[] | select(.address == "10.2.0.2") | .mac')" "owner of 10.2.0.2"
gray_got()
{
	in_netns gray ip -j -s link show eth0 | jq '.[0].stats64.rx.packets'
}
before=$(gray_got)
in_netns red ping -q -c 5 -i 0.1 -W 20 10.2.0.2 >/dev/null || fail "red lost 10.2.0.2"
got=$(($(gray_got) - before))
[ $got -ge 5 ] || fail "of 5 pings gray got $got"

step "a wire with a smaller MTU than its network: who sends is told, TCP finds it"
ip link set wire0 mtu 1400
told red 10.3.0.2 "mtu = 1400" 10.1.0.1 -M do -s 1472
told red fd00:3::2 "Packet too big: mtu=1400" fd00:1::1 -M do -s 1452
assert_eq 2 "$(drops 1 too_big)" "too big for the wire"
in_netns red ip route flush cache
in_netns red busybox httpd -p 8001 -h "$IPN_TEST_TMP/www"
assert_eq "$(md5sum <"$IPN_TEST_TMP/www/data")" \
	"$(in_netns wired busybox wget -q -O - http://10.1.0.2:8001/data | md5sum)" \
	"20 MB to a wire"
in_netns red ip route get 10.3.0.2 | has 'mtu 1400' ||
	fail "red did not learn the MTU: $(in_netns red ip route get 10.3.0.2)"
in_netns red ip route flush cache

step "what may be cut is, and its other end has all of it"
in_netns wired ip link set wire1 mtu 1400 # what it sends back is not cut by a veth, but lost
pings red 10.3.0.2 -M dont -s 1472 # one into two
pings red 10.3.0.2 -M dont -s 4000 # fragments into fragments
ipn-fabric addr add "$NET" 10.22.0.1/24 --port 2 --mtu 576
in_netns gray ip addr add 10.22.0.2/24 dev eth0
pings red 10.22.0.2
fragments() # that gray got: other packets, such as ARP, are none
{
	in_netns gray nstat -asz IpReasmReqds | awk '$1 == "IpReasmReqds" { print $2 }'
}
before=$(fragments)
pings red 10.22.0.2 -M dont -s 4000
# 1480, 1480 and 1048 bytes, by 552
assert_eq 8 $(($(fragments) - before)) "fragments"
ipn-fabric addr del "$NET" 10.22.0.1/24 --port 2

step "into at most 64"
BIG=$NETS/big
ipn-fabric net add "$BIG" --policy l3 --mtu 9014
for name in red gray; do
	n=$([ $name = red ] && echo 7 || echo 8)
	ipn-fabric attach "$BIG" --veth eth1:$name --port $n >/dev/null
	ipn-fabric addr add "$BIG" 10.$n.0.1/24 --port $n
	in_netns $name ip addr add 10.$n.0.2/24 dev eth1
	in_netns $name ip link set eth1 up
done
ipn-fabric addr add "$BIG" 10.88.0.1/24 --port 8 --mtu 68
in_netns red ip route add 10.8.0.0/24 via 10.7.0.1
in_netns gray ip route add 10.7.0.0/24 via 10.8.0.1
pings red 10.8.0.2 -M dont -s 8
pings red 10.8.0.2 -M dont -s 3064 # 64 times 48
in_netns red ping -q -c 1 -W 1 -M dont -s 3072 10.8.0.2 >/dev/null && fail "65 fragments"
assert_eq 1 "$(stat_of "$BIG" 7 .drops.too_big)" "too many fragments"

step "two routers send a packet round and round: it ends, and is counted"
ipn-fabric net add "$NETS/other" --policy l3
ipn-fabric cable "$NET" "$NETS/other" --port 5 --port2 5 >/dev/null
ipn-fabric addr add "$NET" 10.5.0.1/24 --port 5
ipn-fabric addr add "$NETS/other" 10.5.0.2/24 --port 5
ipn-fabric route add "$NET" 10.66.0.0/16 via 10.5.0.2
ipn-fabric route add "$NETS/other" default via 10.5.0.1
pings red 10.5.0.2 # the other router
# what comes back is from the wrong side: it ends there, long before its hops do
sent=$(stat_of "$NET" 5 .out_packets)
in_netns red ping -q -c 3 -i 0.2 -W 1 10.66.0.1 >/dev/null && fail "who is 10.66.0.1?"
assert_eq 3 "$(drops 5 wrong_port)" "packets that came back"
now=$(stat_of "$NET" 5 .out_packets)
# ARP asks, too; packets that went on until their hops end would be a hundred
[ $((now - sent)) -le 20 ] || fail "3 packets became $((now - sent))"
told red 10.66.0.1 "Time to live exceeded" 10.5.0.2 -t 2 # by the second router
stop_fabric
