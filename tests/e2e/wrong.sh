#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# wrong: options that do not go together, and values that cannot be, are told by name and value
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

LAN=$NETS/lan CORE=$NETS/core

# says STATUS "PART|PART..." COMMAND...: one line of error, with all the parts in it
says()
{
	local parts part

	IFS='|' read -ra parts <<<"$2"
	expect_status "$1" "${@:3}"
	[ "$(wc -l <<<"$ERR")" -le 2 ] && [ -n "$ERR" ] || fail "${*:3}: $ERR"
	for part in "${parts[@]}"; do
		[[ $ERR == *"$part"* ]] || fail "${*:3}: nothing of '$part' in: $ERR"
	done
}

start_fabric
ipn-fabric net add "$LAN" --policy switch
ipn-fabric net add "$CORE" --policy l3 --routes 16
ipn-fabric attach "$CORE" --tap t0 --port 1 >/dev/null
ipn-fabric addr add "$CORE" 10.1.0.1/24 --port 1
before=$(still)

step "attach"
says 1 "--frames|--xsk" ipn-fabric attach "$LAN" --tap a --frames 64
says 1 "--frame-size|--xsk" ipn-fabric attach "$LAN" --vde "$NETS/v" --frame-size 4096
says 1 "--own|--xsk" ipn-fabric attach "$LAN" --unix "$NETS/u" --own
says 1 "--peer|--unix" ipn-fabric attach "$LAN" --vde "$NETS/v" --peer "$NETS/p"
says 1 "--mode|--vde and --unix" ipn-fabric attach "$LAN" --host a --mode 0700
says 1 "--port|not for --vde" ipn-fabric attach "$LAN" --vde "$NETS/v" --port 1
says 1 "--descr|not for --vde" ipn-fabric attach "$LAN" --vde "$NETS/v" --descr x
says 1 "100 frames|power of two" ipn-fabric attach "$LAN" --xsk x --frames 100
says 1 "3000 bytes|2048 or 4096" ipn-fabric attach "$LAN" --xsk x --frame-size 3000
says 2 "--frames 63|64 to 65536" ipn-fabric attach "$LAN" --xsk x --frames 63
says 2 "--mode 0999|octal" ipn-fabric attach "$LAN" --vde "$NETS/v" --mode 0999
says 2 "--mode|needs a value" ipn-fabric attach "$LAN" --vde "$NETS/v" --mode
says 2 "--vde|needs a value" ipn-fabric attach "$LAN" --vde
says 2 "--vde|only one" ipn-fabric attach "$LAN" --tap a --vde "$NETS/v"
says 1 "$NETS/no/v|No such file" ipn-fabric attach "$LAN" --vde "$NETS/no/v"
says 1 "$LAN|give a directory" ipn-fabric attach "$CORE" --vde "$LAN"
says 1 "$LAN|not of this fabric" ipn-fabric attach "$CORE" --unix "$LAN"
says 1 "nosuch0" ipn-fabric attach "$LAN" --grab nosuch0
says 1 "lo" ipn-fabric attach "$LAN" --grab lo
says 1 "$NETS/v|not attached" ipn-fabric detach "$LAN" --vde "$NETS/v"
says 1 "$NETS/u|not attached" ipn-fabric detach "$LAN" --unix "$NETS/u"
says 1 "$LAN" ipn-fabric cable "$LAN" "$LAN"
says 1 "99" ipn-fabric cable "$LAN" "$CORE" --port2 99
says 1 "$CORE" ipn-fabric uncable "$LAN" "$CORE"
says 1 "nosuch0" ipn-fabric persist nosuch0

step "a router's"
says 1 "routes|l3" ipn-fabric net add "$NETS/x" --policy switch --routes 64
says 2 "--routes 15|16 to" ipn-fabric net add "$NETS/x" --policy l3 --routes 15
says 1 "LOSSLESS|l3" ipn-fabric net add "$NETS/x" --policy l3 --lossless
says 1 "$LAN|l3" ipn-fabric addr add "$LAN" 10.0.0.1/24 --port 1
says 1 "10.0.0.1" ipn-fabric addr add "$CORE" 10.0.0.1 --port 2
says 1 "10.0.0.1/33" ipn-fabric addr add "$CORE" 10.0.0.1/33 --port 2
says 1 "10.0.0.256/24" ipn-fabric addr add "$CORE" 10.0.0.256/24 --port 2
says 2 "--port N|missing" ipn-fabric addr add "$CORE" 10.0.0.1/24
says 1 "99" ipn-fabric addr add "$CORE" 10.0.0.1/24 --port 99
says 2 "--mtu 67|68 to" ipn-fabric addr add "$CORE" 10.0.0.1/24 --port 2 --mtu 67
says 1 "1000|1280" ipn-fabric addr add "$CORE" fd00::1/64 --port 2 --mtu 1000
says 1 "10.1.0.7" ipn-fabric addr add "$CORE" 10.1.0.7/24 --port 2
says 1 "10.9.9.9" ipn-fabric addr del "$CORE" 10.9.9.9/24 --port 1
says 1 "10.0.0.0/40" ipn-fabric route add "$CORE" 10.0.0.0/40 via 10.1.0.2
says 1 "to" ipn-fabric route add "$CORE" 10.0.0.0/8 to 10.1.0.2
says 1 "10.7.0.2" ipn-fabric route add "$CORE" 10.0.0.0/8 via 10.7.0.2
says 1 "10.0.0.0/8" ipn-fabric route del "$CORE" 10.0.0.0/8
says 1 "$NETS/routes" ipn-fabric route load "$CORE" "$NETS/routes"
says 1 "02:00:00:00:00" ipn-fabric neigh add "$CORE" 10.1.0.2 02:00:00:00:00 --port 1
says 1 "10.1.0.0/24" ipn-fabric neigh add "$CORE" 10.1.0.0/24 02:00:00:00:00:01 --port 1
says 1 "10.1.0.77" ipn-fabric neigh del "$CORE" 10.1.0.77 --port 1
says 2 "fly: no such command|help addr" ipn-fabric addr fly "$CORE"

same_again "$before" "what was refused"
stop_fabric
