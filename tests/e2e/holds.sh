#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# holds: who keeps the senders of a LOSSLESS network waiting is named, and for how long
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

start_fabric
ipn-fabric net add "$NETS/held" --lossless --pool 4
ipn-fabric net add "$NETS/lanheld" --policy switch --lossless --pool 4
ipn-fabric monitor --json >"$IPN_TEST_TMP/monitor" &
holds() # show|stats PATH
{
	ipn-fabric "$1" --json "$2" | jq -c "[.ports? // . | .[] | [.port, .holds_ms != null]]"
}
longer() # COMMAND PATH PORT MS
{
	ipn-fabric "$1" --json "$2" | jq -e --argjson p "$3" --argjson ms "$4" \
		'[.ports? // . | .[] | select(.port == $p)][0].holds_ms > $ms' >/dev/null
}
told() # PATH PORT
{
	jq -e -s --arg path "$1" --argjson p "$2" '[.[] | select(.event == "holds" and
		.path == $path and .port == $p and .holds_ms >= 1000 and .pid > 0)] |
		length == 1' "$IPN_TEST_TMP/monitor" >/dev/null
}
step "by the network's log: show, stats and monitor name the reader"
for name in hmouth hear hslow; do
	node $name "socket 1" "connect $NETS/held"
done
for i in 1 2 3 4; do
	tell hmouth "send h$i" "ok 2"
done
tell hear "recvall 20" "ok h1 h2 h3 h4"
assert_eq "[[0,false],[1,false],[2,false]]" "$(holds show "$NETS/held")" "nobody waits yet"
ask hmouth "send h5"
wait_until 20 longer show "$NETS/held" 2 0
wait_until 20 longer stats "$NETS/held" 2 1000
assert_eq "[[0,false],[1,false],[2,true]]" "$(holds show "$NETS/held")"
assert_eq "[[0,false],[1,false],[2,true]]" "$(holds stats "$NETS/held")"
ipn-fabric show "$NETS/held" | grep -q " 2 .* holds:[0-9.]*s" ||
	fail "show: $(ipn-fabric show "$NETS/held")"
wait_until 20 told "$NETS/held" 2
tell hslow "recv 100" "ok h1"
answer hmouth 60 "ok 2"
assert_eq "[[0,false],[1,false],[2,false]]" "$(holds show "$NETS/held")" "it has read"

step "on a switch, of what is for one process alone, and by a sender that does not wait"
for name in smouth sear; do
	node $name "socket 2 nonblock" "connect $NETS/lanheld"
done
a=020000000001 b=020000000002
tell sear "sendhex ffffffffffff${a}88b600"
for i in 1 2 3 4; do
	tell smouth "sendhex $a${b}88b60$i" "ok 15"
done
tell smouth "sendhex $a${b}88b605" EAGAIN
wait_until 20 longer show "$NETS/lanheld" 1 1000
assert_eq "[[0,false],[1,true]]" "$(holds show "$NETS/lanheld")"
wait_until 20 told "$NETS/lanheld" 1
crash sear
wait_until 20 has_ports "$NETS/lanheld" 1
assert_eq "[[0,false]]" "$(holds show "$NETS/lanheld")"
told "$NETS/held" 2 || fail "told more than once"
stop_fabric
