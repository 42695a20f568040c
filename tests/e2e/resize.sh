#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# resize: a network gets more ports, or fewer, while its members talk, and a new manager knows it
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

DIR=$IPN_FABRIC_BPFFS/ipn-fabric/v1

# base PATH: where the network stands in `port_out`
base()
{
	bpftool -j map dump pinned "$DIR/net_info" |
		jq ".[].formatted.value | select(.path == \"$1\") | .port_base"
}

# places: how many entries of `port_out`, and of `flood_list`, are in use
places()
{
	bpftool -j map dump pinned "$DIR/port_out" | jq '[.[].formatted.value |
		select(.kind != 0 and .kind != "IPN_KIND_NONE")] | length'
	bpftool -j map dump pinned "$DIR/flood_list" |
		jq '[.[].formatted.value | select(. != 0)] | length'
}

start_fabric
ipn-fabric net add "$NETS/lan" --policy switch --nodes 6
ipn-fabric net add "$NETS/next" --pool 1024
node boss socket "bind $NETS/lan"
container red
container blue
ipn-fabric attach "$NETS/lan" --host h0 >/dev/null
ipn-fabric attach "$NETS/lan" --host h1 >/dev/null
ipn-fabric attach "$NETS/lan" --veth eth0:red >/dev/null
ipn-fabric attach "$NETS/lan" --veth eth0:blue >/dev/null
in_netns red ip addr add 10.1.0.1/24 dev eth0
in_netns blue ip addr add 10.1.0.2/24 dev eth0
in_netns red ip link set eth0 up
in_netns blue ip link set eth0 up

step "under traffic nothing is lost: containers, and a pair of processes"
steady_start pair "$NETS/next"
in_netns red ping -i 0.01 -c 400 -q 10.1.0.2 >"$IPN_TEST_TMP/ping" &
ping=$!
node other socket "bind $NETS/next" connect
was=$(base "$NETS/lan")
for n in 200 40 3000 100 500; do
	tell boss "set change $n" ok
	tell boss "get numnodes" "ok $n"
	tell other "set change $((n + 1))" ok
	sleep 0.2
done
[ "$(base "$NETS/lan")" != "$was" ] || fail "the network did not move"
wait $ping || true
grep -q ' 400 received' "$IPN_TEST_TMP/ping" || fail "$(cat "$IPN_TEST_TMP/ping")"
steady_stop pair 2000

step "the list of devices fits again when the network gets small"
ipn-fabric detach "$NETS/lan" --port 0
ipn-fabric detach "$NETS/lan" --port 1
tell boss "set change 3" EADDRINUSE
tell boss "set change 4" ok
assert_eq "3 2" "$(places | xargs)" "places in use, two of devices"
in_netns red ip neigh flush all
in_netns red ping -c 3 -i 0.2 -W 20 -q 10.1.0.2 >/dev/null || fail "not after the shrink"

step "a new manager finds it as it is"
kill_fabric
start_fabric
assert_eq 4 "$(ipn-fabric show --json "$NETS/lan" | jq '.networks[0].nodes')" nodes
assert_eq "3 2" "$(places | xargs)" "places in use, two of devices"
in_netns red ip neigh flush all
in_netns red ping -c 3 -i 0.2 -W 20 -q 10.1.0.2 >/dev/null || fail "not after the restart"
tell boss "set change 5" ok # it was bound, and is
tell other "set change 9" ok
tell other "set change 8" ok # though it is connected
tell boss "set change 4" ok

step "a manager that died between the steps: the network stands at a new place already"
# steps 1 and 2 of resize.c by hand: copies at 60000, and `net_info` says so
kill_fabric
at=$(base "$NETS/lan")
word() # NUMBER: its bytes, as bpftool wants them
{
	printf '%d %d %d %d' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24))
}
raw() # MAP KEY: the bytes of the value
{
	bpftool -j map lookup pinned "$DIR/$1" key $(word "$2") | jq -r '.value[]'
}
for i in 0 1 2 3; do
	bpftool map update pinned "$DIR/port_out" key $(word $((60000 + i))) \
		value $(raw port_out $((at + i)))
done
bpftool map update pinned "$DIR/flood_list" key $(word 60000) value $(word 60003)
bpftool map update pinned "$DIR/flood_list" key $(word 60001) value $(word 60004)
id=$(bpftool -j map dump pinned "$DIR/net_info" |
	jq ".[].formatted | select(.value.path == \"$NETS/lan\") | .key")
mapfile -t value < <(raw net_info "$id")
value=("${value[@]:0:32}" $(word 60000) "${value[@]:36}") # port_base
bpftool map update pinned "$DIR/net_info" key $(word "$id") value "${value[@]}"
start_fabric
assert_eq 60000 "$(base "$NETS/lan")" "place of the network"
in_netns red ip neigh flush all
in_netns red ping -c 3 -i 0.2 -W 20 -q 10.1.0.2 >/dev/null || fail "not at the new place"
ipn-fabric net add "$NETS/third" --nodes 1000 # the old place is clean for who gets it
assert_eq "3 2" "$(places | xargs)" "places in use, two of devices"
leave boss
leave other

step "the policy is asked first: its refusal leaves the size as it was"
ipn-fabric policy load "$IPN_BUILD/tests/elastic.bpf.o" --number 40 --name elastic
ipn-fabric net add "$NETS/elastic" --policy elastic --nodes 8
node boss socket "bind $NETS/elastic" connect
node third socket "set port 2" "connect $NETS/elastic"
told() # SIZE TIMES: what the policy knows
{
	tell boss "pget 40 1" "ok $1"
	tell boss "pget 40 2" "ok $2"
}
told 8 0
tell boss "set change 12" ok
told 12 1
tell boss "set change 7" EDOM
tell boss "set change 13" EDOM
tell boss "get numnodes" "ok 12"
told 12 3
calls "ok ok EADDRNOTAVAIL" "socket 40" "set port 12" "connect $NETS/elastic"
calls "ok ok ok" "socket 40" "set port 11" "connect $NETS/elastic"
tell third "send x" "ok 1"
tell boss "recv 10" "ok x"

step "it is not asked what cannot be anyway, and told when it does not come to pass"
tell boss "set change 2" EADDRINUSE
tell boss "set change 12" ok
tell boss "set change 100000" EINVAL
told 12 3
i=0
while ipn-fabric net add "$NETS/big$i" --nodes 4096 2>/dev/null; do
	i=$((i + 1))
done
[ $i -gt 5 ] || fail "only $i networks of 4096 ports"
tell boss "set change 4096" ENOSPC
tell boss "get numnodes" "ok 12"
told 12 5
leave third
leave boss
stop_fabric
