#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# config: a file makes all that commands make; the same file again changes nothing
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

container red
container blue
CONF=$IPN_TEST_TMP/conf
before=$(links; files "$NETS")
ip link add wire0 type veth peer name wire1 netns red
ip link set wire0 up

cat >"$CONF" <<-END
	[network $NETS/lan]
	policy = switch
	mtu = 1792
	[network $NETS/low]
	lossless = yes
	pool = 4
	[network $NETS/core]
	policy = l3
	routes = 64
	route = 10.9.0.0/16 via 10.1.0.2
	route = 10.10.0.0/16 port 2
	route = fd09::/16 via fe80::9 port 1
	addr = 10.3.0.1/24 port 9 mtu 1000
	neigh = 10.3.0.9 02:00:00:00:00:09 port 9

	[port red]
	network = $NETS/lan
	veth = eth0:red
	persist = yes
	[port blue]
	network = $NETS/lan
	veth = eth0:blue
	[port x]
	network = $NETS/lan
	xsk = x0
	frames = 128
	frame-size = 4096
	[port own]
	network = $NETS/lan
	xsk = x1
	own = yes
	[port wire]
	network = $NETS/lan
	grab = wire0
	[port dir]
	network = $NETS/lan
	vde = $NETS/vde
	mode = 0711
	[port one]
	network = $NETS/lan
	unix = $NETS/fabric
	peer = $NETS/program
	mode = 0600
	port = 20
	descr = a program

	[port joint]
	network = $NETS/lan
	cable = $NETS/low
	port = 30
	port2 = 31
	descr = both ends

	[port gate]
	network = $NETS/core
	cable = $NETS/lan
	port = 1
	addr = 10.1.0.1/24
	addr = fd01::1/64 mtu 1400
	neigh = 10.1.0.7 02:00:00:00:00:07
	[port inside]
	network = $NETS/core
	tap = t0
	port = 2
	addr = 10.2.0.1/24
	neigh = 10.2.0.7 02:00:00:00:00:08
END

# All that is there, less what lives a while only. A socket's file of a manager is made anew.
all()
{
	ipn-fabric show --json | jq -S 'del(.fabric)'
	ipn-fabric addr show "$NETS/core" --json | jq -S .
	ipn-fabric route show "$NETS/core" --json | jq -S .
	ipn-fabric neigh show "$NETS/core" --json |
		jq -S 'map(select(.state == "static") | del(.age))'
	links
	files "$NETS"
	ipn-fabric net show --json | jq -S .
}

step "all of it is made"
start_fabric --config "$CONF"
assert_eq '0 veth eth0
1 veth eth0
2 xsk x0
3 xsk x1
4 grab wire0' "$(ipn-fabric show --json "$NETS/lan" |
	jq -r '.ports[] | select(.port < 5) | "\(.port) \(.kind) \(.name)"')" "ports of lan"
assert_eq "4096 128" "$(bpftool -j map dump pinned "$IPN_FABRIC_BPFFS/ipn-fabric/v1/xskports" |
	jq -r '.[].formatted.value | select(.frames == 128) | "\(.frame_size) \(.frames)"')"
assert_eq "both ends" "$(ipn-fabric show --json "$NETS/low" |
	jq -r '.ports[] | select(.port == 31) | .descr')" "the other end of the cable"
assert_eq "lossless" "$(ipn-fabric net show "$NETS/low" --json |
	jq -r '.[] | if .lossless then "lossless" else . end')"
assert_eq "drwx--x--x" "$(stat -c %A "$NETS/vde")" "mode of the directory"
[ -S "$NETS/vde/ctl" ] || fail "no socket in $NETS/vde"
assert_eq "srw-------" "$(stat -c %A "$NETS/fabric")" "mode of the socket"
assert_eq "1 10.1.0.1/24
1 fd01::1/64
2 10.2.0.1/24
9 10.3.0.1/24" "$(ipn-fabric addr show "$NETS/core" --json |
	jq -r '.[] | "\(.port) \(.address)"' | sort)" "addresses"
assert_eq "10.1.0.7 1
10.2.0.7 2
10.3.0.9 9" "$(ipn-fabric neigh show "$NETS/core" --json |
	jq -r '.[] | select(.state == "static") | "\(.address) \(.port)"' | sort)" "neighbours"
ipn-fabric route show "$NETS/core" >"$IPN_TEST_TMP/routes"
for route in 10.9.0.0/16 10.10.0.0/16 fd09::/16; do
	grep -q "^$route " "$IPN_TEST_TMP/routes" || fail "no route to $route:
$(cat "$IPN_TEST_TMP/routes")"
done

step "and it works: two containers of one interface name, a program at its listener, the router"
python3 - "$NETS/program" >"$IPN_TEST_TMP/heard" <<'P' &
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(65536)[12:14].hex(), flush=True)
P
PROGRAM=$!
has_port_20()
{
	ipn-fabric show --json "$NETS/lan" | jq -e '.ports[] | select(.port == 20)' >/dev/null
}
wait_until 20 has_port_20
in_netns red ip addr add 10.1.0.2/24 dev eth0
in_netns red ip link set eth0 up
in_netns blue ip addr add 10.1.0.3/24 dev eth0
in_netns blue ip link set eth0 up
in_netns red ping -q -c 1 -W 20 10.1.0.3 >/dev/null || fail "red does not reach blue"
in_netns red ping -q -c 1 -W 20 10.1.0.1 >/dev/null || fail "red does not reach the router"
wait_until 20 grep -q 0806 "$IPN_TEST_TMP/heard"
assert_eq "a program" "$(ipn-fabric show --json "$NETS/lan" |
	jq -r '.ports[] | select(.port == 20) | .descr')"

step "the same file after the manager died: nothing changes"
was=$(all)
kill_fabric
start_fabric --config "$CONF"
wait_until 20 has_port_20
same "$was" "$(all)" "another manager with the same file"
in_netns red ping -q -c 1 -W 20 10.1.0.3 >/dev/null || fail "red does not reach blue any more"

step "a file that says something else of what is there is refused, and nothing changes"
# other SED-EXPRESSION ERROR
other()
{
	sed "$1" "$CONF" >"$IPN_TEST_TMP/other"
	kill_fabric
	expect_err "$2" ipn-fabric up --config "$IPN_TEST_TMP/other"
	start_fabric --config "$CONF"
	wait_until 20 has_port_20
	same "$was" "$(all)" "the refused file: $1"
}
line() # of a section
{
	grep -n "^\[$1\]" "$CONF" | cut -d: -f1
}
other 's/mode = 0711/mode = 0755/' \
	"other:$(line 'port dir'): port dir: $NETS/vde is attached with another kind, mode"
other 's/port2 = 31/port2 = 30/' \
	"other:$(line 'port joint'): port joint: its other end is at port 31 of $NETS/low, not 30"
other 's/pool = 4/pool = 5/' \
	"other:$(line "network $NETS/low"): network $NETS/low: is there with other properties"
other 's/^port = 2$/port = 7/' \
	"other:$(line 'port inside'): port inside: is at port 2 of $NETS/core, not 7"
# what is new in it, before the mistake, is taken back
other "s#^port = 2\$#port = 7#
	s#^\[port red\]#[port more]\nnetwork = $NETS/lan\nvde = $NETS/more\n&#
	s#^\[port red\]#[port new]\nnetwork = $NETS/low\ntap = new0\n&#" \
	"port inside: is at port 2"

step "what cannot be made says where in the file"
stop_fabric
kill $PROGRAM
rm "$NETS/program"
ip link del wire0
assert_eq "$before" "$(links; files "$NETS")" "left after down"
bad()
{
	printf '%b' "[network $NETS/n]\n$1" >"$IPN_TEST_TMP/bad"
	expect_err "$2" ipn-fabric up --config "$IPN_TEST_TMP/bad"
	assert_eq "$before" "$(links; files "$NETS")" "left after: $1"
}
P="[port p]\nnetwork = $NETS/n\n"
bad "${P}grab = nosuch0\n" "bad:2: port p: "
bad "${P}veth = e:nosuch\n" "bad:2: port p: network namespace nosuch: No such file or directory (ip"
bad "${P}veth = e:/dev/null\n" "bad:2: port p: "
bad "${P}vde = $IPN_TEST_TMP/bad\n" "bad:2: port p: $IPN_TEST_TMP/bad: "
bad "${P}vde = $NETS/no/such\n" "bad:2: port p: $NETS/no/such: No such file or directory"
bad "${P}unix = $IPN_TEST_TMP/bad\n" "bad:2: port p: $IPN_TEST_TMP/bad exists and is not of this"
bad "mtu = 9000\n${P}xsk = x\n" "bad:3: port p: "
bad "routes = 16\n" "bad:1: network $NETS/n: 16 routes: only the policy l3"
bad "policy = l3\nlossless = yes\n" "bad:1: network $NETS/n: "
bad "policy = nosuch\n" 'bad:2: policy: "nosuch" is not switch'
bad "policy = l3\nroute = 10.0.0.0/8 via 10.1.0.1\n" "bad:3: $NETS/n: "
bad "policy = l3\naddr = 10.1.0.1/24 port 1\naddr = 10.1.0.2/24 port 2\n" "bad:4: $NETS/n: "

step "ipn-fabric(8) lists each key"
man --no-hyphenation -l "$IPN_BUILD/man/ipn-fabric.8" |
	sed -n '/^CONFIGURATION/,/^DROP/p' >"$IPN_TEST_TMP/man"
for section in fabric "network $NETS/n" "port p"; do
	printf '[%s]\nnosuch = 1\n' "$section" >"$IPN_TEST_TMP/bad"
	expect_err "unknown key" ipn-fabric up --config "$IPN_TEST_TMP/bad"
	keys=${ERR##*has: }
	keys=${keys%)*}
	[ ${#keys} -ge 4 ] || fail "no keys in: $ERR"
	for key in ${keys//,/}; do
		grep -qw -e "$key" "$IPN_TEST_TMP/man" || fail "ipn-fabric(8) has no $key"
	done
done
