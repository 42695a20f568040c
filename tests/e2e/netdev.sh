#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# netdev: interfaces of the host on a network: grabbed and given back, made and kept by sockets
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

HOOK=${1:-tcx}

# A network card of the host, eth1: the cable ends in `out`, where other.1 is a host like any other.
sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 # no chatter
container out
container box
for c in out box; do
	in_netns $c sysctl -qw net.ipv6.conf.all.disable_ipv6=1 \
		net.ipv6.conf.default.disable_ipv6=1
done
card() # NAME
{
	ip link add "$1" type veth peer name "wire$1" netns out
	ip link set "$1" up group 7
	in_netns out ip link set "wire$1" up
}
card eth1
ip addr add 10.8.0.1/24 dev eth1
in_netns out ip addr add 10.8.0.9/24 dev wireeth1

# All that is known of an interface but its counters.
found()
{
	ip -d -j link show "$1" | jq -cS '.[] | del(.stats64, .stats)'
	tc qdisc show dev "$1"
	tc filter show dev "$1" ingress 2>/dev/null
	tc filter show dev "$1" egress 2>/dev/null
	bpftool net show dev "$1" | tail -n +2
}

same_card() # NAME BEFORE WHEN
{
	local now

	now=$(found "$1")
	[ "$2" = "$now" ] || fail "$3: interface $1 is not as it was:
$(diff <(echo "$2") <(echo "$now"))"
}

promisc()
{
	ip -d -j link show "$1" | jq -r .[].promiscuity
}

traffic() # WHEN: the host, a container and a process, all with the world behind the card
{
	local mac data=88b6414243

	in_netns out ping -q -c 2 -i 0.1 -W 5 10.8.0.1 >/dev/null || fail "$1: no ping to the host"
	in_netns out ping -q -c 2 -i 0.1 -W 5 10.8.0.5 >/dev/null || fail "$1: no ping into the network"
	in_netns box ping -q -c 2 -i 0.1 -W 5 10.8.0.9 >/dev/null || fail "$1: no ping out of it"
	wait_until 5 quiet
	mac=$(in_netns out ip -j link show wireeth1 | jq -r '.[].address' | tr -d :)
	frames sniff eth1 60000 0x88b6 >"$IPN_TEST_TMP/sniff" &
	local sniffer=$!
	wait_until 5 grep -q ready "$IPN_TEST_TMP/sniff"
	in_netns out frames inject wireeth1 "ffffffffffff$mac$data"
	tell ear "recvhex 5000" "ok ffffffffffff$mac$data"
	wait_until 5 grep -q "^ffffffffffff$mac$data" "$IPN_TEST_TMP/sniff"
	in_netns out frames inject wireeth1 "02000000aaaa$mac$data" # nobody's: promiscuous
	tell ear "recvhex 5000" "ok 02000000aaaa$mac$data"
	kill $sniffer
	wait $sniffer 2>/dev/null || true
	nsenter --net=/run/netns/out frames sniff wireeth1 60000 0x88b6 >"$IPN_TEST_TMP/sniff" &
	sniffer=$!
	wait_until 5 grep -q ready "$IPN_TEST_TMP/sniff"
	tell ear "sendhex ffffffffffff020000000009$data" "ok 17"
	wait_until 5 grep -q "^ffffffffffff020000000009$data" "$IPN_TEST_TMP/sniff"
	kill $sniffer
	wait $sniffer 2>/dev/null || true
	assert_eq 1 "$(grep -c "$data" "$IPN_TEST_TMP/sniff")" "$1: times the frame came"
	tell ear "recv 20" EAGAIN
}

quiet() # nothing is pending at the process
{
	tell ear "recv 20"
	[ "$OUT" = EAGAIN ]
}

fabric_up()
{
	printf '[fabric]\nhook = %s\n' "$HOOK" >"$IPN_TEST_TMP/conf"
	start_fabric --config "$IPN_TEST_TMP/conf"
	assert_eq "$HOOK" "$(ipn-fabric show --json | jq -r .fabric.hook)" "hook in use"
}

card_before=$(found eth1)
links_before=$(links)
fabric_up
ipn-fabric net add "$NETS/lan" --policy switch
ipn-fabric attach "$NETS/lan" --veth eth0:box >/dev/null
in_netns box ip addr add 10.8.0.5/24 dev eth0
node ear socket "connect $NETS/lan"

step "grab ($HOOK): the network and the host both get what comes in"
assert_eq "port 2 grab eth1" "$(ipn-fabric attach "$NETS/lan" --grab eth1)" "answer"
assert_eq '["grab","eth1",true]' "$(ipn-fabric show --json "$NETS/lan" |
	jq -c '.ports[] | select(.port == 2) | [.kind, .name, .up]')" "as shown"
assert_eq 1 "$(promisc eth1)" "promiscuous"
assert_eq 65536 "$(in_netns box frames gso eth0)" "what the container sends at once"
traffic "grabbed"

step "what the host sends out of the card does not enter the network"
mac=$(ip -j link show eth1 | jq -r '.[].address' | tr -d :)
frames inject eth1 "ffffffffffff${mac}88b6555555"
tell ear "recv 100" EAGAIN

step "TCP through the card: frames of any size, whole for processes"
frames_of_tcp() # FROM TO ADDRESS
{
	in_netns "$2" frames serve 5001 >"$IPN_TEST_TMP/got" &
	local server=$!
	wait_until 5 bash -c "nsenter --net=/run/netns/$2 ss -Hltn | grep -q 5001"
	head -c 8000000 /dev/urandom >"$IPN_TEST_TMP/sent"
	in_netns "$1" timeout 20 bash -c "cat '$IPN_TEST_TMP/sent' >/dev/tcp/$3/5001"
	wait $server
	cmp "$IPN_TEST_TMP/sent" "$IPN_TEST_TMP/got" || fail "TCP from $1 to $2 is not the same"
}
frames check "$NETS/lan" 1514 >"$IPN_TEST_TMP/check" &
checker=$!
wait_until 5 grep -q ready "$IPN_TEST_TMP/check"
frames_of_tcp out box 10.8.0.5
frames_of_tcp box out 10.8.0.9
kill -TERM $checker
wait $checker || true
assert_eq 0 "$(tail -n 1 "$IPN_TEST_TMP/check" | awk '{ print $4 }')" "frames that are not whole"
wait_until 5 quiet

step "grab: what cannot be"
card eth2
card ring0
expect_err "no interface eth9" ipn-fabric attach "$NETS/lan" --grab eth9
expect_err "no Ethernet" ipn-fabric attach "$NETS/lan" --grab lo
expect_err "already" ipn-fabric attach "$NETS/lan" --grab eth1
ipn-fabric attach "$NETS/lan" --host h0 >/dev/null
expect_err "already" ipn-fabric attach "$NETS/lan" --grab h0
near=$(ip -j link show h0 | jq -r .[].link)
expect_err "already" ipn-fabric attach "$NETS/lan" --grab "$near"
gateway=$(ip -j link | jq -r '[.[].ifname | select(startswith("ipng"))][0]')
expect_err "already" ipn-fabric attach "$NETS/lan" --grab "$gateway"
AS=as_nobody expect_err "CAP_NET_ADMIN" as_nobody ipn-fabric attach "$NETS/lan" --grab eth2
[ "$(ip -j link show h0 | jq -r .[].ifname)" = h0 ] || fail "h0 is gone"
ipn-fabric detach "$NETS/lan" --port 3

step "detach gives it back as it was found"
ipn-fabric detach "$NETS/lan" --port 2
same_card eth1 "$card_before" "after detach"
in_netns out ping -q -c 1 -W 5 10.8.0.1 >/dev/null || fail "the card does not work any more"
ip link set ring0 promisc on
ring_before=$(found ring0)
ipn-fabric attach "$NETS/lan" --grab ring0 >/dev/null
ipn-fabric detach "$NETS/lan" --port 2
same_card ring0 "$ring_before" "one that was promiscuous"

step "a card that others have programs on"
tc qdisc add dev eth2 clsact
tc filter add dev eth2 ingress pref 5 protocol all bpf da \
	pinned "$IPN_FABRIC_BPFFS/ipn-fabric/v1/prog/tc"
eth2_before=$(found eth2)
ipn-fabric attach "$NETS/lan" --grab eth2 --port 9 >/dev/null
ipn-fabric detach "$NETS/lan" --port 9
same_card eth2 "$eth2_before" "one with a clsact qdisc and a filter"

step "kill -9: traffic goes on; up finds it, down gives it back"
ipn-fabric attach "$NETS/lan" --grab eth1 >/dev/null
shown=$(ipn-fabric show --json | jq -S .ports)
kill_fabric
assert_eq 1 "$(promisc eth1)" "promiscuous without a manager"
traffic "without a manager"
start_fabric
assert_eq "$shown" "$(ipn-fabric show --json | jq -S .ports)" "ports"
traffic "after the take-over"
ipn-fabric attach "$NETS/lan" --grab ring0 >/dev/null
kill_fabric
start_fabric
kill_fabric
ipn-fabric down
same_card eth1 "$card_before" "after kill -9 and down without a manager"
same_card ring0 "$ring_before" "after kill -9 and down without a manager"
leave ear

step "a card that goes: the port goes, too"
fabric_up
ipn-fabric net add "$NETS/lan" --policy switch
ipn-fabric attach "$NETS/lan" --grab eth2 >/dev/null
ip link del eth2
wait_until 5 has_ports "$NETS/lan" 0
ipn-fabric attach "$NETS/lan" --grab ring0 >/dev/null
kill_fabric
ip link del ring0
start_fabric
has_ports "$NETS/lan" 0 || fail "a port without its card"

step "net del gives it back"
ipn-fabric attach "$NETS/lan" --grab eth1 >/dev/null
ipn-fabric net del "$NETS/lan"
same_card eth1 "$card_before" "after net del"
stop_fabric
same_card eth1 "$card_before" "after down"
assert_eq "$links_before" "$(links)" "interfaces"
assert_eq "" "$(files "$IPN_FABRIC_BPFFS" | grep -v "\.debug$" || true)" "pins"

[ "$HOOK" = clsact ] || exec env -u IPN_TEST_TMP bash "$0" clsact
