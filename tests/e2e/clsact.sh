#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# clsact: where the kernel has no tcx, the older hook carries the same traffic, and is adopted too
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

printf '[fabric]\nhook = clsact\n' >"$IPN_TEST_TMP/conf"
start_fabric --config "$IPN_TEST_TMP/conf"
assert_eq clsact "$(ipn-fabric show --json | jq -r .fabric.hook)" "hook in use"
before=$(links)
ipn-fabric net add "$NETS/lan" --policy switch
for i in 1 2; do
	container box$i
	ipn-fabric attach "$NETS/lan" --veth eth0:box$i >/dev/null
	in_netns box$i ip addr add 10.6.0.$i/24 dev eth0
done
ipn-fabric attach "$NETS/lan" --host h0 >/dev/null
ip addr add 10.6.0.3/24 dev h0
node ear socket "connect $NETS/lan"

quiet() # nothing is pending at the process
{
	tell ear "recvhex 20" # 20 ms, and frames are no lines of text
	[ "$OUT" = EAGAIN ]
}

traffic() # WHEN
{
	in_netns box1 ping -q -c 2 -i 0.1 -W 20 10.6.0.2 >/dev/null || fail "$1: no ping"
	in_netns box2 ping -q -c 2 -i 0.1 -W 20 10.6.0.3 >/dev/null ||
		fail "$1: no ping to the host"
	wait_until 20 quiet
	local mac data=88b6414243

	mac=$(in_netns box1 ip -j link show eth0 | jq -r '.[].address' | tr -d :)
	in_netns box1 frames inject eth0 "ffffffffffff$mac$data"
	tell ear "recvhex 20000" "ok ffffffffffff$mac$data"
	in_netns box1 frames inject eth0 "02000000aaaa$mac$data"
	tell ear "recvhex 20000" "ok 02000000aaaa$mac$data"
	nsenter --net=/run/netns/box2 frames sniff eth0 60000 0x88b6 >"$IPN_TEST_TMP/sniff" &
	local sniffer=$!
	wait_until 20 grep -q ready "$IPN_TEST_TMP/sniff"
	tell ear "sendhex ffffffffffff020000000009$data" "ok 17"
	wait_until 20 grep -q "^ffffffffffff020000000009$data" "$IPN_TEST_TMP/sniff"
	kill $sniffer
	wait $sniffer 2>/dev/null || true
	assert_eq 1 "$(grep -c "$data" "$IPN_TEST_TMP/sniff")" "$1: times the frame came"
	tell ear "recvhex 20" EAGAIN
}

step "ping, and frames between containers, host and processes"
traffic "with clsact"

step "kill -9: traffic goes on"
shown()
{
	ipn-fabric show --json | jq 'del(.fabric.pid, .fabric.uptime, .fabric.adopted)'
}

shown=$(shown)
kill_fabric
traffic "without a manager"

step "the next manager takes it over with the hook it has"
start_fabric
assert_eq "$shown" "$(shown)" "after the take-over"
traffic "after the take-over"
kill_fabric
start_fabric --config "$IPN_TEST_TMP/conf"
traffic "after another"

step "attach, detach and down leave nothing"
ipn-fabric attach "$NETS/lan" --veth late0 --port 9 >/dev/null
ipn-fabric detach "$NETS/lan" --port 9
leave ear
ipn-fabric net del "$NETS/lan"
ip netns del box1
ip netns del box2
assert_eq "$before" "$(links)" "interfaces"
stop_fabric
assert_eq "link lo" "$(links)" "interfaces after down"

step "hook = tcx where it is there"
printf '[fabric]\nhook = tcx\n' >"$IPN_TEST_TMP/conf"
start_fabric --config "$IPN_TEST_TMP/conf"
assert_eq tcx "$(ipn-fabric show --json | jq -r .fabric.hook)" "hook in use"
stop_fabric
