#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# survive: the fabric goes on without its manager, and the next one takes it over whole
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

DELAY_MS=2000 # this machine may be busy

start_fabric
ipn-fabric net add "$NETS/lan" --policy switch --pool 1024
ipn-fabric net add "$NETS/hub"
ipn-fabric net add "$NETS/stream" --pool 1024
for c in left right; do
	container $c
	ipn-fabric attach "$NETS/lan" --veth eth0:$c --descr "container $c"
done
in_netns left ip addr add 10.7.0.1/24 dev eth0
in_netns right ip addr add 10.7.0.2/24 dev eth0
ipn-fabric attach "$NETS/lan" --host h0 --port 9
ip addr add 10.7.0.3/24 dev h0
ipn-fabric attach "$NETS/lan" --tap vm0
in_netns left ping -q -c 1 -W 20 10.7.0.2 >/dev/null

node reader socket "set descr reader" "connect $NETS/hub"
node writer socket "connect $NETS/hub"
node holder "socket 1" "bind $NETS/own" "connect"
steady_start hub "$NETS/stream"
steady_start lan "$NETS/lan"
pings_start left left 10.7.0.2

step "kill -9: interfaces, pins, and traffic stay"
shown >"$IPN_TEST_TMP/shown"
before=$(links; files "$IPN_FABRIC_BPFFS")
packets=$(stat_of "$NETS/lan" 0 .in_packets)
kill_fabric
assert_eq "$before" "$(links; files "$IPN_FABRIC_BPFFS")" "interfaces and pins"
in_netns left ping -q -c 3 -i 0.05 -W 20 10.7.0.2 >/dev/null || fail "no ping without a manager"
ping -q -c 3 -i 0.05 -W 20 10.7.0.1 >/dev/null || fail "no ping to the host without a manager"
tell writer "send alone" "ok 5"
tell reader "recv 20000" "ok alone"

step "calls without a manager say so"
calls ENETDOWN socket
tell writer "set descr nobody hears" ENETDOWN
expect_err "ipn-fabric up" ipn-fabric show
expect_err "ipn-fabric up" ipn-fabric send "$NETS/hub"
expect_err "ipn-fabric up" ipn-fabric net add "$NETS/new"
[ ! -e "$NETS/new" ] || fail "net add without a manager left its path"

step "up takes over: the same networks, ports, numbers; counters go on"
start_fabric
assert_eq true "$(ipn-fabric show --json | jq .fabric.adopted)" adopted
diff "$IPN_TEST_TMP/shown" <(shown) || fail "not the same after the take-over"
assert_eq "$before" "$(links; files "$IPN_FABRIC_BPFFS")" "interfaces and pins"
[ "$(stat_of "$NETS/lan" 0 .in_packets)" -gt "$packets" ] || fail "counters did not go on"

step "old nodes still count, new ones join, both talk"
tell reader "set descr again"
assert_eq ok "$OUT" "setsockopt by a node of before"
assert_eq again "$(ipn-fabric show --json "$NETS/hub" |
	jq -r '.ports[] | select(.port == 0).descr')" "description set by a node of before"
tell writer "shutdown rd" ok
assert_eq false "$(ipn-fabric show --json "$NETS/hub" |
	jq -r '.ports[] | select(.port == 1).reader')" "receive side after shutdown"
node late socket "connect $NETS/hub"
tell late "send from late" "ok 9"
tell reader "recv 20000" "ok from late"
tell writer "send from old" "ok 8"
tell late "recv 20000" "ok from old"
leave late
pings_stop left
steady_stop hub $DELAY_MS
steady_stop lan $DELAY_MS
ipn-fabric net del "$NETS/stream"

step "who left during the outage is gone: node, interface, path, and only they"
kill_fabric
crash writer
ip link del vm0
in_netns right ip link del eth0
rm "$NETS/own"
start_fabric
members_are()
{
	local got

	got=$(ipn-fabric show --json | jq -r '.ports[] | "\(.network | sub(".*/"; "")) \(.port)"')
	equal members "$1" "$got"
}
wait_until 20 members_are "lan 0 lan 9 hub 0 own (deleted) 0"
ping -q -c 1 -W 20 10.7.0.1 >/dev/null || fail "the rest does not go on"
leave holder
wait_until 20 bash -c "! ipn-fabric net show --json | grep -q $NETS/own"
tell reader "set descr still here" ok
leave reader
wait_until 20 has_ports "$NETS/hub" 0

step "an old node whose port is taken by the operator: end of file, no sending"
node old socket "connect $NETS/hub"
kill_fabric
start_fabric
ask old recv
ipn-fabric detach "$NETS/hub" --port 0
answer old 40 "ok "
tell old "send x" ECONNRESET
leave old

step "all that stands belongs to something, and every delivery goes somewhere"
wait_until 20 consistent
equal destinations "$(dump port_in .key)" "$(dump port_out '.value |
	select(.kind != 0 and .kind != "IPN_KIND_NONE").ifindex')" || fail "deliveries go nowhere"
wait_until 10 flooded
ipn-fabric net add "$NETS/w" --policy switch
ipn-fabric attach "$NETS/w" --tap w0
ipn-fabric attach "$NETS/w" --veth eth7:left
wait_until 10 flooded
calls "ok ok ok 20" socket "connect $NETS/w" "send 01234567890123456789"
ipn-fabric net del "$NETS/w"
ping -q -c 1 -W 20 10.7.0.1 >/dev/null || fail "no traffic after all this"

step "net del while processes are connected: recv returns, send fails"
node a socket "connect $NETS/hub"
node b socket "connect $NETS/hub"
node peeking socket "connect $NETS/hub"
ask a recv
ask b "poll 10000 in"
wait_until 20 asleep "${NODE_PID[a]}"
wait_until 20 asleep "${NODE_PID[b]}"
ipn-fabric net del "$NETS/hub"
answer a 40 "ok "
answer b 40
[[ $OUT == *in*hup* ]] || fail "poll on a network that was removed: $OUT"
tell a "send x" ECONNRESET
tell b "recv" "ok "
tell peeking "send x" ECONNRESET
[ ! -e "$NETS/hub" ] || fail "net del left the path"

step "SIGTERM: the manager goes, the fabric stays; down cleans up without a manager"
kill -TERM "$FABRIC_PID"
wait "$FABRIC_PID" || fail "status $? after SIGTERM"
FABRIC_PID=
ping -q -c 1 -W 20 10.7.0.1 >/dev/null || fail "no traffic after SIGTERM"
ipn-fabric down
assert_eq "" "$(links | grep -v ' lo$' || true)" "interfaces"
assert_eq "" "$(files "$IPN_FABRIC_RUN_DIR" "$IPN_FABRIC_BPFFS" "$NETS" |
	grep -v '\.debug$' || true)" "files"
