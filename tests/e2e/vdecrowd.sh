#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vdecrowd: a thousand VDE clients on one fabric; a flood through the punt ring costs others little
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

DIR=$IPN_TEST_TMP/sw
start_fabric
ipn-fabric net add "$NETS/lan" --policy switch --nodes 1100 --pool 256
ipn-fabric attach "$NETS/lan" --vde "$DIR" --mode 0777 >/dev/null

step "a thousand clients"
FDS=$(still_fds)
mkfifo "$IPN_TEST_TMP/crowd"
START=${EPOCHREALTIME/[.,]/}
vdeclient "$DIR" crowd 1000 <"$IPN_TEST_TMP/crowd" >"$IPN_TEST_TMP/crowd.out" 2>&1 &
CROWD=$!
exec {KEEP}>"$IPN_TEST_TMP/crowd"
wait_until 100 grep -q "in$" "$IPN_TEST_TMP/crowd.out"
echo "   $(cat "$IPN_TEST_TMP/crowd.out"), $(((${EPOCHREALTIME/[.,]/} - START) / 1000)) ms"
assert_eq "1000 in" "$(cat "$IPN_TEST_TMP/crowd.out")"
has_ports "$NETS/lan" 1000 || fail "not all are ports"

step "two more talk among them"
vde one
vde two
a=020000000001 b=020000000002
tell one "send ffffffffffff${a}88b600"
tell two "recv 20000" "ffffffffffff${a}88b600"
tell two "send $a${b}88b601"
tell one "recv 20000" "$a${b}88b601"
tell one "send $b${a}88b602"
tell two "recv 20000" "$b${a}88b602"

step "a new manager takes them all over"
kept() # two descriptors for each, two of the listener, the network's, and its own
{
	local pid

	pid=$(ps -eo pid=,comm= | awk '$2 == "ipn-fdstore" { print $1 }')
	[ "$(find "/proc/$pid/fd" -mindepth 1 | wc -l)" = $((2 * $1 + 2 + 1 + 5)) ]
}
wait_until 20 kept 1002
kill_fabric
START=${EPOCHREALTIME/[.,]/}
start_fabric
echo "   $(((${EPOCHREALTIME/[.,]/} - START) / 1000)) ms"
has_ports "$NETS/lan" 1002 || fail "not all were taken over"
tell one "send $b${a}88b604"
tell two "recv 20000" "$b${a}88b604"
tell two "send ffffffffffff${b}88b605"
tell one "recv 20000" "ffffffffffff${b}88b605"

step "they all leave at once"
START=${EPOCHREALTIME/[.,]/}
kill -KILL $CROWD
wait $CROWD 2>/dev/null || true
wait_until 60 has_ports "$NETS/lan" 2
echo "   $(((${EPOCHREALTIME/[.,]/} - START) / 1000)) ms"
tell one "send $b${a}88b603"
tell two "recv 20000" "$b${a}88b603"

step "a flood through the ring: who sends little comes through, and processes do not feel it"
ipn-fabric net add "$NETS/fast" --policy switch --pool 1024
steady_start alone "$NETS/fast" 1000
sleep 1
steady_stop alone 2000
c=020000000003
vde flood
steady_start beside "$NETS/fast" 1000
CPU=$(awk '{ print $14 + $15 }' "/proc/$FABRIC_PID/stat")
START=${EPOCHREALTIME/[.,]/}
ask flood "fill ffffffffffff $c 1500 300000"
sleep 0.3
for ((i = 0; i < 20; i++)); do
	tell one "send ffffffffffff${a}88b6$(printf %02x $i)" ok
done
answer flood 100 300000
NOW=${EPOCHREALTIME/[.,]/}
CPU=$(($(awk '{ print $14 + $15 }' "/proc/$FABRIC_PID/stat") - CPU))
SHARE=$((CPU * 1000000 / $(getconf CLK_TCK) * 100 / (NOW - START)))
echo "   $(((NOW - START) / 1000)) ms, the manager used $SHARE % of a CPU"
steady_stop beside 2000
[ $SHARE -le 75 ] || fail "the flood cost the manager $SHARE % of a CPU"
DROPS=$(ipn-fabric stats --json "$NETS/lan" |
	jq '[.[] | .drops.punt_full // 0, .drops.punt_rate // 0] | add')
echo "   $DROPS dropped for want of room or rate"
# of those who sent little, nothing was dropped at the ring
assert_eq 0 "$(ipn-fabric stats --json "$NETS/lan" | jq '[.[] | select(.in_packets < 1000) |
	.drops.punt_full // 0, .drops.punt_rate // 0] | add')" "dropped of others"
[ "$DROPS" -gt 0 ] || echo "   (the ring was never full)"

step "the manager is as it was"
for n in one two flood; do crash $n; done
wait_until 20 has_ports "$NETS/lan" 0
[ "$(still_fds)" -le $((FDS + 8)) ] || fail "descriptors: $FDS before, $(manager_fds) after"
stop_fabric
