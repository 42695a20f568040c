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
	in_netns "$name" sysctl -qw net.ipv6.conf.eth0.accept_dad=0 \
		net.ipv6.conf.eth0.router_solicitations=0
	in_netns "$name" ip addr add "10.$port.0.2/24" dev eth0
	in_netns "$name" ip addr add "fd00:$port::2/64" dev eth0 nodad
	in_netns "$name" ip link set eth0 up
	in_netns "$name" ip route add default via "10.$port.0.1"
	in_netns "$name" ip -6 route add default via "fd00:$port::1"
}

# pings CONTAINER ADDRESS [OPTION...]
pings()
{
	in_netns "$1" ping -q -c 1 -W 5 "${@:3}" "$2" >"$IPN_TEST_TMP/ping" ||
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
