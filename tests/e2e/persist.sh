#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# persist: ports of the command line stay until they are told not to, by it or by a program
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

start_fabric
ipn-fabric net add "$NETS/lan" --policy switch
ip link add wire0 type veth peer name wire1
ip link set wire0 up
ip link set wire1 up
container box
before=$(still)

attach_all()
{
	ipn-fabric attach "$NETS/lan" --host h0 --persist >/dev/null
	ipn-fabric attach "$NETS/lan" --tap t0 >/dev/null
	ipn-fabric attach "$NETS/lan" --grab wire0 --persist >/dev/null
	ipn-fabric attach "$NETS/lan" --veth v0 >/dev/null
	ipn-fabric attach "$NETS/lan" --veth eth0:box >/dev/null
}

step "a program sets and clears it, by an unbound socket; clearing ends the port"
attach_all
for name in h0 t0 wire0 v0; do
	calls "ok ok" socket "persistdev 1 $name"
	calls "ok ok" socket "persistdev 1 $(ip -j link show $name | jq ".[].ifindex")"
done
has_ports "$NETS/lan" 5 || fail "setting it ended a port"
left=5
for name in h0 t0 wire0 v0; do
	calls "ok ok EADDRNOTAVAIL" socket "persistdev 0 $name" "persistdev 0 $name"
	left=$((left - 1))
	has_ports "$NETS/lan" $left || fail "clearing it left the port of $name"
done
ip link show wire0 >/dev/null || fail "the grabbed interface is gone"
ipn-fabric detach "$NETS/lan" --port "$(ipn-fabric show --json "$NETS/lan" | jq '.ports[0].port')"
same_again "$before" "ports that were ended"

step "the command line does the same"
attach_all
for name in h0 t0 wire0 v0; do
	ipn-fabric persist $name
	ipn-fabric persist $name --off
	expect_err "no port has such an interface" ipn-fabric persist $name
done
expect_err "CAP_NET_ADMIN" as_nobody "$IPN_BUILD/ipn-fabric" persist h0
expect_err "no port has such an interface" ipn-fabric persist lo
ipn-fabric net del "$NETS/lan"
ipn-fabric net add "$NETS/lan" --policy switch

step "the interface of a program stays when it was told so, without its program"
node holder socket "bind $NETS/lan" "conn tap mine"
ipn-fabric persist mine
crash holder
sleep 0.2
has_ports "$NETS/lan" 1 || fail "the port went with its program"
node holder socket "bind $NETS/lan" "join mine"
ipn-fabric persist mine --off
has_ports "$NETS/lan" 1 || fail "the port went, though its program is there"
crash holder
wait_until 20 has_ports "$NETS/lan" 0

step "a cable is nobody's"
ipn-fabric net add "$NETS/other"
ipn-fabric cable "$NETS/lan" "$NETS/other" >/dev/null
end=$(ipn-fabric show --json "$NETS/lan" | jq -r '.ports[0].name')
expect_err "no port has such an interface" ipn-fabric persist "$end" --off
calls "ok ok EADDRNOTAVAIL" socket "bind $NETS/lan" "join $end"
has_ports "$NETS/lan" 1 || fail "the cable is gone"

stop_fabric
