#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# netdev: interfaces of the host on a network: grabbed and given back, made and kept by sockets
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

HOOK=${1:-tcx}

# A network card of the host, eth1: the cable ends in `out`, where other.1 is a host like any other.
container out
container box
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

there()
{
	ip link show "$1" >/dev/null 2>&1
}

index()
{
	ip -j link show "$1" | jq .[].ifindex
}

promisc()
{
	ip -d -j link show "$1" | jq -r .[].promiscuity
}

# hear MS WANTED: what the process receives next, neighbours looking for each other apart
hear()
{
	OUT=
	while [[ -z $OUT || ${OUT:27:4} == 0806 ]]; do
		tell ear "recvhex $1"
	done
	assert_eq "$2" "$OUT" "the process receives"
}

traffic() # WHEN: the host, a container and a process, all with the world behind the card
{
	local mac data=88b6414243

	in_netns out ping -q -c 2 -i 0.1 -W 20 10.8.0.1 >/dev/null || fail "$1: no ping to the host"
	in_netns out ping -q -c 2 -i 0.1 -W 20 10.8.0.5 >/dev/null || fail "$1: no ping into it"
	in_netns box ping -q -c 2 -i 0.1 -W 20 10.8.0.9 >/dev/null || fail "$1: no ping out of it"
	wait_until 20 quiet
	mac=$(in_netns out ip -j link show wireeth1 | jq -r '.[].address' | tr -d :)
	frames sniff eth1 60000 0x88b6 >"$IPN_TEST_TMP/sniff" &
	local sniffer=$!
	wait_until 20 grep -q ready "$IPN_TEST_TMP/sniff"
	in_netns out frames inject wireeth1 "ffffffffffff$mac$data"
	hear 20000 "ok ffffffffffff$mac$data"
	wait_until 20 grep -q "^ffffffffffff$mac$data" "$IPN_TEST_TMP/sniff"
	in_netns out frames inject wireeth1 "02000000aaaa$mac$data" # nobody's: promiscuous
	hear 20000 "ok 02000000aaaa$mac$data"
	kill $sniffer
	wait $sniffer 2>/dev/null || true
	nsenter --net=/run/netns/out frames sniff wireeth1 60000 0x88b6 >"$IPN_TEST_TMP/sniff" &
	sniffer=$!
	wait_until 20 grep -q ready "$IPN_TEST_TMP/sniff"
	tell ear "sendhex ffffffffffff020000000009$data" "ok 17"
	wait_until 20 grep -q "^ffffffffffff020000000009$data" "$IPN_TEST_TMP/sniff"
	kill $sniffer
	wait $sniffer 2>/dev/null || true
	assert_eq 1 "$(grep -c "$data" "$IPN_TEST_TMP/sniff")" "$1: times the frame came"
	hear 20 EAGAIN
}

quiet() # nothing is pending at the process
{
	tell ear "recvhex 20" # a frame may have a newline in it
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
hear 100 EAGAIN

step "what is too long for the card is dropped by name"
ip link set eth1 mtu 1000
ear=$(ipn-fabric show --json "$NETS/lan" | jq '.ports[] | select(.kind == "proc").port')
dropped=$(stat_of "$NETS/lan" "$ear" .drops.mtu)
tell ear "sendhex ffffffffffff02000000000988b6$(printf '%01000d' 0)$(printf '%01002d' 0)" "ok 1015"
assert_eq $((dropped + 1)) "$(stat_of "$NETS/lan" "$ear" .drops.mtu)" "dropped as too long"
ip link set eth1 mtu 1500

step "TCP through the card: frames of any size, whole for processes"
frames_of_tcp() # FROM TO ADDRESS
{
	in_netns "$2" frames serve 5001 >"$IPN_TEST_TMP/got" &
	local server=$!
	wait_until 20 bash -c "nsenter --net=/run/netns/$2 ss -Hltn | grep -q 5001"
	head -c 8000000 /dev/urandom >"$IPN_TEST_TMP/sent"
	in_netns "$1" timeout "$(limit 60)" bash -c "cat '$IPN_TEST_TMP/sent' >/dev/tcp/$3/5001"
	wait $server
	cmp "$IPN_TEST_TMP/sent" "$IPN_TEST_TMP/got" || fail "TCP from $1 to $2 is not the same"
}
frames check "$NETS/lan" 1514 >"$IPN_TEST_TMP/check" &
checker=$!
wait_until 20 grep -q ready "$IPN_TEST_TMP/check"
frames_of_tcp out box 10.8.0.5
frames_of_tcp box out 10.8.0.9
kill -TERM $checker
wait $checker || true
assert_eq 0 "$(tail -n 1 "$IPN_TEST_TMP/check" | awk '{ print $4 }')" "frames that are not whole"
wait_until 20 quiet

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
segmenter=$(ip -j link | jq -r '[.[].ifname | select(startswith("ipng"))][0]')
expect_err "already" ipn-fabric attach "$NETS/lan" --grab "$segmenter"
AS=as_nobody expect_err "CAP_NET_ADMIN" as_nobody ipn-fabric attach "$NETS/lan" --grab eth2
[ "$(ip -j link show h0 | jq -r .[].ifname)" = h0 ] || fail "h0 is gone"
ipn-fabric detach "$NETS/lan" --port 3

step "detach gives it back as it was found"
ipn-fabric detach "$NETS/lan" --port 2
same_card eth1 "$card_before" "after detach"
in_netns out ping -q -c 1 -W 20 10.8.0.1 >/dev/null || fail "the card does not work any more"
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

step "kill -9 while it is grabbed and given back, again and again: always as it was found"
worker()
{
	while ipn-fabric attach "$NETS/lan" --grab eth1 --port 5; do
		ipn-fabric detach "$NETS/lan" --port 5 || break
	done
}
fabric_up
ipn-fabric net add "$NETS/lan" --policy switch
for _ in {1..12}; do
	worker >/dev/null 2>&1 &
	work=$!
	sleep "0.$(printf %03d $((RANDOM % 150)))"
	kill_fabric
	wait $work || true
	start_fabric
	if has_ports "$NETS/lan" 1; then
		assert_eq 1 "$(promisc eth1)" "promiscuous, grabbed"
		ipn-fabric detach "$NETS/lan" --port 5
	fi
	same_card eth1 "$card_before" "after kill -9 on the way"
done
stop_fabric

step "grabbed by the configuration"
cat >"$IPN_TEST_TMP/conf" <<-END
	[fabric]
	hook = $HOOK
	[network $NETS/lan]
	policy = switch
	[port nic]
	network = $NETS/lan
	grab = eth1
END
start_fabric --config "$IPN_TEST_TMP/conf"
assert_eq '["grab","eth1",0]' "$(ipn-fabric show --json "$NETS/lan" |
	jq -c '.ports[] | [.kind, .name, .port]')" "port of the file"
kill_fabric
start_fabric --config "$IPN_TEST_TMP/conf"
has_ports "$NETS/lan" 1 || fail "not one port after the second up"
stop_fabric
same_card eth1 "$card_before" "grabbed by the configuration, and down"

step "a card that goes: the port goes, too"
fabric_up
ipn-fabric net add "$NETS/lan" --policy switch
ipn-fabric attach "$NETS/lan" --grab eth2 >/dev/null
ip link del eth2
wait_until 20 has_ports "$NETS/lan" 0
ipn-fabric attach "$NETS/lan" --grab ring0 >/dev/null
kill_fabric
ip link del ring0
start_fabric
has_ports "$NETS/lan" 0 || fail "a port without its card"

step "net del gives it back"
ipn-fabric attach "$NETS/lan" --grab eth1 >/dev/null
ipn-fabric net del "$NETS/lan"
same_card eth1 "$card_before" "after net del"
step "sockets: an interface of the host, as long as the socket lives"
node tap "socket 2" "bind $NETS/own"
tell tap "conn tap up0" "ok up0"
assert_eq '["host","up0",0]' "$(ipn-fabric show --json "$NETS/own" |
	jq -c '.ports[] | [.kind, .name, .port]')" "as shown"
tell tap "get port" "ok 0"
tell tap "mac 02495000000a" ok
assert_eq 02:49:50:00:00:0a "$(ip -j link show up0 | jq -r .[].address)" "its address"
tell tap "mac 010000000000" EADDRNOTAVAIL
tell tap "conn tap up1" EISCONN
tell tap "join up0" EISCONN
tell tap "connect" EISCONN
tell tap "send x" EOPNOTSUPP
tell tap "recv 1" EOPNOTSUPP
tell tap "set port 3" EISCONN
node ear socket "connect $NETS/own"
up0=$(ip -j link show up0 | jq -r '.[].address' | tr -d :)
frames inject up0 "ffffffffffff${up0}88b6303132"
hear 20000 "ok ffffffffffff${up0}88b6303132"
leave ear
leave tap
wait_until 20 bash -c "! ip link show up0 2>/dev/null"
wait_until 20 bash -c "! ipn-fabric net show --json | grep -q $NETS/own"
rm -f "$NETS/own"

step "sockets: names of the fabric's choice; grab, until the process dies"
node one "socket 2" "bind $NETS/own"
tell one "conn tap" "ok ipn0"
node two socket "bind $NETS/own"
tell two "conn tap" "ok ipn1"
node three socket "bind $NETS/own"
tell three "conn grab eth1" "ok eth1"
assert_eq 1 "$(promisc eth1)" "promiscuous"
tell three "mac 02495000000b" EADDRNOTAVAIL
node four socket "bind $NETS/own"
tell four "conn grab eth1" EBUSY
tell four "conn grab ipn0" EBUSY
tell four "conn tap ipn0" EEXIST
crash three
wait_until 20 has_ports "$NETS/own" 2
same_card eth1 "$card_before" "after the end of its socket"
leave two

step "sockets: errors"
tell four "conn grab eth9" EINVAL
tell four "conn grab lo" EINVAL
tell four "conn 0x30 x" EINVAL
tell four "conn 0 x" EINVAL
tell four "conn tap a/b" EINVAL
tell four "persist 1" ENODEV
tell four "mac 02495000000b" EADDRNOTAVAIL
tell four "join eth1" EADDRNOTAVAIL
tell four "join ipn0" EADDRNOTAVAIL # its socket lives
tell four "persistdev 1 eth1" EADDRNOTAVAIL
tell four "persistdev 0 lo" EADDRNOTAVAIL
tell four "persistdev 0 0" EADDRNOTAVAIL
tell four "set port 0" ok
tell four "conn tap x" EADDRNOTAVAIL
tell four "set port 32" ok
tell four "conn tap x" EADDRNOTAVAIL
tell four "shutdown both" ok
tell four "conn tap x" ECONNRESET
leave four
calls "ok ENOTCONN ENOTCONN ENOTCONN EADDRNOTAVAIL" socket "conn tap x" "join x" "persist 1" \
	"persistdev 1 x"
chmod 777 "$NETS/own"
AS=as_nobody calls "ok ok EPERM EPERM EPERM EPERM EPERM EPERM EPERM" socket "bind $NETS/own" \
	"conn tap x" "conn grab eth1" "join ipn0" "persist 1" "persistdev 1 ipn0" \
	"persistdev 0 ipn0" "mac 02495000000b"
has_ports "$NETS/own" 1 || fail "a port came of it"

step "sockets: every encoding of the numbers"
for size in 0x4004 0x4020 0x4028 0x8028; do
	calls "ok ok ok ok e0 ok ok" "encoding $size" socket "bind $NETS/own" "conn tap e0" \
		"persist 1" "persistdev 0 e0"
	wait_until 20 has_ports "$NETS/own" 1
done

step "persistent: it outlives its socket, and the manager, and can be joined"
tell one "persist 1" ok
leave one
node one socket "bind $NETS/own"
tell one "conn grab eth1" "ok eth1"
tell one "persist 1" ok
crash one
has_ports "$NETS/own" 2 || fail "a persistent interface is gone"
there ipn0 || fail "ipn0 is gone"
kill_fabric
start_fabric
has_ports "$NETS/own" 2 || fail "a persistent interface is gone with the manager"
node one socket "bind $NETS/own"
tell one "join ipn0" ok
node two socket "bind $NETS/own"
tell two "join ipn0" EADDRNOTAVAIL
tell two "join $(index eth1)" ok
node three "socket 1" "bind $NETS/else"
tell three "join ipn0" EADDRNOTAVAIL
tell one "persist 0" ok
leave one
wait_until 20 has_ports "$NETS/own" 1
there ipn0 && fail "ipn0 is there, and nobody has it"
leave two # still persistent
tell three "join eth1" EPERM
leave three
has_ports "$NETS/own" 1 || fail "a persistent interface is gone"
calls "ok ok ok" socket "persistdev 1 eth1" "persistdev 0 eth1"
wait_until 20 bash -c "! ipn-fabric net show --json | grep -q $NETS/own"
same_card eth1 "$card_before" "no longer persistent"
rm -f "$NETS/own" "$NETS/else"

step "devices of the command line are persistent ones"
ipn-fabric net add "$NETS/lan" --policy switch
ipn-fabric attach "$NETS/lan" --host h0 >/dev/null
node one socket "bind $NETS/lan" "join h0"
leave one
has_ports "$NETS/lan" 1 || fail "joined and left: gone"
calls "ok ok" socket "persistdev 0 $(index h0)"
has_ports "$NETS/lan" 0 || fail "persistence cleared: still there"

step "sockets and the manager's death: with the process, with the descriptor, and not before"
node one socket "bind $NETS/lan" "conn tap up0"
node two socket "bind $NETS/lan" "conn grab eth1"
node three socket "bind $NETS/lan" "conn tap up3"
node four socket "bind $NETS/lan" "conn tap up4"
kill_fabric
crash one
start_fabric
wait_until 20 has_ports "$NETS/lan" 3
crash two
wait_until 20 has_ports "$NETS/lan" 2
same_card eth1 "$card_before" "its process died after the restart"
node five socket "bind $NETS/lan"
tell five "join up3" EADDRNOTAVAIL # its process lives
leave five
tell three "persist 1" ok
leave three
has_ports "$NETS/lan" 2 || fail "persistent since the restart: gone"
tell four close ok
wait_until 20 has_ports "$NETS/lan" 1
leave four
ipn-fabric net del "$NETS/lan"
there up3 && fail "net del left up3"
stop_fabric
same_card eth1 "$card_before" "after down"
assert_eq "$links_before" "$(links)" "interfaces"
assert_eq "" "$(files "$IPN_FABRIC_BPFFS" | grep -v "\.debug$" || true)" "pins"

[ "$HOOK" = clsact ] || exec env -u IPN_TEST_TMP bash "$0" clsact
