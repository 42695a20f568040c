#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# l3links: a router reaches what is behind cables, wires and AF_XDP ports; two routers in a circle
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

NET=$NETS/core
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 # no chatter

# station CONTAINER INTERFACE SUBNET: host .2 of it; the router is .1
station()
{
	in_netns "$1" ip addr add "$3.2/24" dev "$2"
	in_netns "$1" ip link set "$2" up
	in_netns "$1" ip route add default via "$3.1"
}

# pings CONTAINER ADDRESS
pings()
{
	in_netns "$1" ping -q -c 1 -W 5 "$2" >"$IPN_TEST_TMP/ping" ||
		fail "no ping from $1 to $2: $(cat "$IPN_TEST_TMP/ping")
$(ipn-fabric stats; ipn-fabric neigh show "$NET")"
}

start_fabric
for name in red gray wired; do
	container "$name"
done
ipn-fabric net add "$NET" --policy l3 --pool 64
ipn-fabric attach "$NET" --veth eth0:red --port 1 >/dev/null
ipn-fabric addr add "$NET" 10.1.0.1/24 --port 1
station red eth0 10.1.0

step "a switch behind a cable: both ways, TCP with all offloads"
ipn-fabric net add "$NETS/lan" --policy switch
ipn-fabric cable "$NET" "$NETS/lan" --port 2 >/dev/null
ipn-fabric attach "$NETS/lan" --veth eth0:gray >/dev/null
ipn-fabric addr add "$NET" 10.2.0.1/24 --port 2
station gray eth0 10.2.0
pings red 10.2.0.2
pings gray 10.1.0.2
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
ipn-fabric addr add "$NET" 10.3.0.1/24 --port 3
station wired wire1 10.3.0
pings red 10.3.0.2
pings wired 10.1.0.2
pings wired 10.2.0.2
pings wired 10.3.0.9

step "an AF_XDP program, as nobody"
chmod 777 "$NET"
ipn-fabric attach "$NET" --xsk x0 --port 4 >/dev/null
ipn-fabric addr add "$NET" 10.4.0.1/24 --port 4
# not by as_nobody: $! is to be the program, which the signal is for
setpriv --reuid=65534 --regid=65534 --clear-groups -- "$IPN_BUILD/tests/ipnhost" "$NET" \
	10.4.0.2 --gateway 10.4.0.1 --xsk x0 >"$IPN_TEST_TMP/xsk" 2>&1 &
XSK=$!
wait_until 10 grep -q ready "$IPN_TEST_TMP/xsk"
pings red 10.4.0.2
pings gray 10.4.0.2
pings wired 10.4.0.2
kill $XSK
wait $XSK || fail "it saw bad frames: $(cat "$IPN_TEST_TMP/xsk")"

step "two routers send a packet round and round: it ends, and is counted"
ipn-fabric net add "$NETS/other" --policy l3
ipn-fabric cable "$NET" "$NETS/other" --port 5 --port2 5 >/dev/null
ipn-fabric addr add "$NET" 10.5.0.1/24 --port 5
ipn-fabric addr add "$NETS/other" 10.5.0.2/24 --port 5
ipn-fabric route add "$NET" 10.66.0.0/16 via 10.5.0.2
ipn-fabric route add "$NETS/other" default via 10.5.0.1
pings red 10.5.0.2 # the other router
crossings()
{
	local n=0 drop

	for drop in hops ttl wrong_port; do
		n=$((n + $(stat_of "$NET" 5 ".drops.$drop") +
			$(stat_of "$NETS/other" 5 ".drops.$drop")))
	done
	echo $n
}
before=$(crossings)
sent=$(stat_of "$NET" 5 .out_packets)
in_netns red ping -q -c 3 -i 0.2 -W 1 10.66.0.1 >/dev/null && fail "who is 10.66.0.1?"
assert_eq $((before + 3)) "$(crossings)" "packets that ended, by reason"
now=$(stat_of "$NET" 5 .out_packets)
[ $((now - sent)) -le 64 ] || fail "3 packets became $((now - sent))"
stop_fabric
