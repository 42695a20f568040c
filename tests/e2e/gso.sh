#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# gso: containers send big frames while no VM is on their network, and learn when that changes
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

big=180000 plain=65536

start_fabric
ipn-fabric net add "$NETS/lan" --policy switch
ipn-fabric net add "$NETS/other" --policy switch
for i in 1 2; do
	container box$i
	ipn-fabric attach "$NETS/lan" --veth eth0:box$i >/dev/null
done
ipn-fabric attach "$NETS/other" --veth eth1:box2 >/dev/null
ipn-fabric attach "$NETS/lan" --host h0 >/dev/null

sizes() # SIZE: of all on the one network; the other is never changed
{
	assert_eq "$1" "$(in_netns box1 frames gso eth0)" "$2"
	assert_eq "$1" "$(in_netns box2 frames gso eth0)" "$2"
	assert_eq "$1" "$(frames gso h0)" "$2"
	assert_eq $big "$(in_netns box2 frames gso eth1)" "$2"
}

step "without a VM"
sizes $big "to begin with"
tap=$(ipn-fabric attach "$NETS/lan" --tap vm0 --json | jq .port)

step "with one, and with two"
sizes $plain "with a VM"
ipn-fabric attach "$NETS/lan" --tap vm1 >/dev/null
container box3
ipn-fabric attach "$NETS/lan" --veth eth0:box3 >/dev/null
assert_eq $plain "$(in_netns box3 frames gso eth0)" "a container that comes later"

step "over a restart, and in a namespace without a name"
kill_fabric
ip link del vm1
unshare --net sleep 1000 &
nameless=$!
wait_until 20 eval '[ "$(readlink /proc/$nameless/ns/net)" != "$(readlink /proc/self/ns/net)" ]'
start_fabric
ipn-fabric attach "$NETS/lan" --veth "eth0:/proc/$nameless/ns/net" >/dev/null
sizes $plain "one VM is left"
ipn-fabric detach "$NETS/lan" --port "$tap"
sizes $big "none is left"
assert_eq $big "$(nsenter --net=/proc/$nameless/ns/net frames gso eth0)" "without a name"
assert_eq $big "$(in_netns box3 frames gso eth0)" "the one that came later"

step "across a cable"
ipn-fabric net add "$NETS/near"
ipn-fabric net add "$NETS/far"
ipn-fabric attach "$NETS/near" --host near0 >/dev/null
ipn-fabric attach "$NETS/far" --tap vm9 --port 9 >/dev/null
assert_eq $big "$(frames gso near0)" "without a cable"
ipn-fabric cable "$NETS/near" "$NETS/far" >/dev/null
assert_eq $plain "$(frames gso near0)" "a VM behind a cable"
kill_fabric
start_fabric
ipn-fabric attach "$NETS/near" --host near1 >/dev/null
assert_eq "$plain $plain" "$(frames gso near0) $(frames gso near1)" "after a restart"
ipn-fabric detach "$NETS/far" --port 9
assert_eq $big "$(frames gso near0)" "the VM has gone"
ipn-fabric attach "$NETS/far" --tap vm9 --port 9 >/dev/null
assert_eq $plain "$(frames gso near1)" "a VM came"
ipn-fabric uncable "$NETS/far" "$NETS/near"
assert_eq $big "$(frames gso near0)" "the cable has gone"

stop_fabric
