#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# inspect: what is pinned reads like a table, with and without a manager
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

DIR=$IPN_FABRIC_BPFFS/ipn-fabric/v1

# row MAP JQ-CONDITION JQ-EXPRESSION WANTED: of the one entry which the condition chooses.
row()
{
	local filter="[.[].formatted | select($2)] | if length == 1 then .[0] | $3 else length end"

	assert_eq "$4" "$(bpftool -j map dump pinned "$DIR/$1" | jq -c "$filter")" "$1: $3"
}

version=$(awk '$2 == "IPN_ABI_VERSION" { print $3 }' "$IPN_ROOT/include/ipn/abi.h")

tables()
{
	row abi true '.value | [.version, .segmenter != 0, .segmenter_out != 0, .group != 0]' \
		"[$version,true,true,true]"
	row net_info ".value.path == \"$NETS/lan\"" '.value | [.policy, .mtu, .numnodes, .pool]' \
		'["IPN_POLICY_SWITCH",9000,16,4]'
	row net_info ".value.path == \"$NETS/hub\"" '.value | [.policy, .mtu, .numnodes, .pool]' \
		'["IPN_POLICY_BROADCAST",1514,32,8]'
	row port_in '.value.name == "vm0"' '.value | [.kind, .number, .policy, .mtu]' \
		'["IPN_KIND_TAP",0,"IPN_POLICY_SWITCH",9000]'
	row port_in '.value.name == "vm0"' '[.key == .value.ifindex]' '[true]'
	row port_in '.value.name == "eth0"' '.value | [.kind, .number]' '["IPN_KIND_VETH",1]'
	row port_in '.value.name == "h0"' '.value | [.kind, .number]' '["IPN_KIND_HOST",7]'
	row port_in '.value.kind == "IPN_KIND_PROC"' '.value | [.number, .uid]' '[2,65534]'
	row port_info '.value.descr == "a machine"' '.value.pid' 0
	row port_info '.value.descr == "a process"' ".value.pid == ${NODE_PID[member]}" true
	row fdb '.value.port == 2' '.key | [.vlan, .mac]' '[0,[2,0,0,0,0,9]]'
	row port_out '.value.kind == "IPN_KIND_PROC" or .value.kind == 1' '.key' \
		"$(bpftool -j map dump pinned "$DIR/port_in" |
			jq --argjson base "$(bpftool -j map dump pinned "$DIR/net_info" |
				jq '[.[].formatted | {"\(.key)": .value.port_base}] | add')" \
			'.[].formatted.value | select(.kind == "IPN_KIND_PROC") |
				$base["\(.net)"] + .number')"
}

start_fabric
ipn-fabric net add "$NETS/lan" --policy switch --mtu 9000 --nodes 16 --pool 4
ipn-fabric net add "$NETS/hub"
chmod 777 "$NETS/lan"
container box
ipn-fabric attach "$NETS/lan" --tap vm0 --descr "a machine" >/dev/null
ipn-fabric attach "$NETS/lan" --veth eth0:box >/dev/null
ipn-fabric attach "$NETS/lan" --host h0 --port 7 >/dev/null
AS="setpriv --reuid=65534 --regid=65534 --clear-groups --" node member socket \
	"set descr a process" "connect $NETS/lan" "sendhex ffffffffffff02000000000988b6aa"
AS=

step "every map and program of the documentation is pinned"
for map in abi net_info port_in port_info net_fast port_out flood_list \
	fdb stats bells pages logs_small logs_eth \
	logs_jumbo pol_xdp pol_tc; do
	bpftool map show pinned "$DIR/$map" >/dev/null || fail "no map $map"
done
for prog in xdp tc tc_tap tc_segm notify xdp_hub tc_hub xdp_switch tc_switch; do
	bpftool prog show pinned "$DIR/prog/$prog" >/dev/null || fail "no program $prog"
done
segmenter=$(bpftool -j map dump pinned "$DIR/abi" | jq '.[0].formatted.value.segmenter_out')
devices=$(ipn-fabric show --json | jq '.ports[] | select(.kind != "proc").ifindex')
for ifindex in $segmenter $devices; do
	bpftool link show pinned "$DIR/link/$ifindex-tcx" >/dev/null || fail "no link $ifindex-tcx"
done
ifindex=$(ipn-fabric show --json | jq '.ports[] | select(.kind == "proc").ifindex')
bpftool link show pinned "$DIR/link/$ifindex-xdp" >/dev/null || fail "no link $ifindex-xdp"

step "names: ipn_ first, 15 characters at most, as the pin says"
for pin in "$DIR"/*; do
	[ -f "$pin" ] || continue
	name=$(bpftool -j map show pinned "$pin" | jq -r .name)
	assert_eq "ipn_${pin##*/}" "$name" "name of the map"
	[ ${#name} -le 15 ] || fail "$name is too long"
done
for pin in "$DIR"/prog/*; do
	name=$(bpftool -j prog show pinned "$pin" | jq -r .name)
	assert_eq "ipn_${pin##*/}" "$name" "name of the program"
	[ ${#name} -le 15 ] || fail "$name is too long"
done

step "nobody but root looks inside"
assert_eq "drwxr-x---" "$(stat -c %A "$DIR")" "directory of the pins"
as_nobody ls "$DIR" >/dev/null 2>&1 && fail "nobody can look into the pins"

step "maps read like tables"
tables

step "counters are those of stats"
node=$(bpftool -j map dump pinned "$DIR/port_in" |
	jq '.[].formatted.value | select(.kind == "IPN_KIND_PROC").node')
row stats ".key == $node" '[.values[].value] | map(.in_packets) | add' \
	"$(stat_of "$NETS/lan" 2 .in_packets)"
row stats ".key == $node" '[.values[].value] | map(.in_bytes) | add' 15

step "the same when the manager is dead"
kill_fabric
tables
start_fabric
tables

step "what has left is out of the tables"
leave member
wait_until 20 has_ports "$NETS/lan" 3
ipn-fabric net del "$NETS/hub"
row port_in '.value.kind == "IPN_KIND_PROC"' . 0
row port_info '.value.descr == "a process"' . 0
row net_info ".value.path == \"$NETS/hub\"" . 0
[ ! -e "$DIR/link/$ifindex-xdp" ] || fail "the link of a port that left is still pinned"

step "show, stats and net show: JSON and table say the same"
ipn-fabric net show --json | jq -e '.[0] | .policy == "switch" and .ports == 3' >/dev/null ||
	fail "net show --json"
assert_eq "$(ipn-fabric net show --json | jq length)" \
	"$(ipn-fabric net show | tail -n +2 | wc -l)" "lines of net show"
assert_eq "$(ipn-fabric stats --json | jq length)" "$(ipn-fabric stats | tail -n +2 | wc -l)" \
	"lines of stats"
ipn-fabric show | has "vm0.*a machine" || fail "show: $(ipn-fabric show)"
stop_fabric
