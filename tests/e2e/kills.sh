#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kills: manager and fdstore die at any moment of work; no message is lost, nothing half made stays
#
# tests/e2e/kills.sh [ROUNDS]: 12. In turn the manager dies, the fdstore, and both at once.
# SEED repeats the moments.
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

ROUNDS=${1:-12}
RANDOM=${SEED:=$RANDOM}
DELAY_MS=5000 # this machine may be busy
DIR=$IPN_TEST_TMP/sw
VDE_SENT=0 VDE_DROPPED=0
echo "SEED=$SEED"

fdstore()
{
	ps -eo pid=,comm= | awk '$2 == "ipn-fdstore" { print $1 }'
}

# There is one, and it has all that it has when nothing is under way.
stored()
{
	[ "$(fdstore | wc -l)" = 1 ] &&
		[ "$(find "/proc/$(fdstore)/fd" -mindepth 1 2>/dev/null | wc -l)" = "$STORED" ]
}

# What stays as it is from beginning to end: clients of VDE do not outlive both.
kept()
{
	shown | jq 'del(.ports[] | select(.network == $vde)) |
		del(.networks[] | select(.path == $vde))' --arg vde "$NETS/vde"
}

vde_start()
{
	# Room for what comes while this process waits for a CPU.
	sysctl -qw net.unix.max_dgram_qlen=4096
	vdeclient "$DIR" steady "$NETS/vde" 2000 >"$IPN_TEST_TMP/.steady.vde" 2>&1 &
	STEADY_PID[vde]=$!
	wait_until 20 grep -q ready "$IPN_TEST_TMP/.steady.vde"
	sysctl -qw net.unix.max_dgram_qlen=64
}

# Each frame came, or a port has dropped it and says why.
vde_stop()
{
	local drops sent received

	drops=$(ipn-fabric stats --json "$NETS/vde" | jq -c 'map(.drops | to_entries[]) |
		map({ (.key): .value }) | add // {}')
	kill -TERM "${STEADY_PID[vde]}"
	wait "${STEADY_PID[vde]}" || fail "pair vde: $(cat "$IPN_TEST_TMP/.steady.vde")"
	read -r sent received _ < <(tail -n 1 "$IPN_TEST_TMP/.steady.vde")
	VDE_SENT=$((VDE_SENT + sent)) VDE_DROPPED=$((VDE_DROPPED + sent - received))
	[ "$sent" -gt 0 ] && [ $((sent - received)) -le "$(jq '[.[]] | add // 0' <<<"$drops")" ] ||
		fail "pair vde: $sent sent, $received received, dropped: $drops
$(cat "$IPN_TEST_TMP/.steady.vde")"
}

# Makes and removes everything there is, until it fails or is told to stop.
worker()
{
	while [ ! -e "$IPN_TEST_TMP/stop" ]; do
		ipn-fabric net add "$NETS/w" --policy switch --lossless --pool 8 || break
		ipn-fabric attach "$NETS/w" --tap w0 || break
		ipn-fabric attach "$NETS/w" --veth eth7:left || break
		ipncall socket "connect $NETS/w" "send 01234567890123456789" || break
		ipn-fabric detach "$NETS/w" --port 1 || break
		ipncall "socket 2" "bind $NETS/v" connect || break
		rm -f "$NETS/v"
		ipn-fabric attach "$NETS/vde" --vde "$NETS/listener" || break
		# without a manager it would wait for the next one
		timeout 2 vdeclient "$NETS/listener" crowd 2 </dev/null || break
		ipn-fabric detach "$NETS/vde" --vde "$NETS/listener" || break
		ipn-fabric net del "$NETS/w" || break
	done
}

# Readers and writers of the networks that are watched, who come, and go in the middle.
guest()
{
	while [ ! -e "$IPN_TEST_TMP/stop" ]; do
		timeout -s KILL "0.0$((RANDOM % 9 + 1))" ipncall socket "connect $NETS/safe" \
			"recv 20" "recv 20" "recv 20" || true
		timeout 2 ipncall socket "connect $NETS/stream" "recv 10" || true
	done
}

begin()
{
	rm -f "$IPN_TEST_TMP/stop"
	worker >/dev/null 2>&1 &
	WORKER=$!
	guest >/dev/null 2>&1 &
	GUEST=$!
	sleep "0.$(printf %03d $((RANDOM % 300)))"
}

# What was cut off is done or undone now, and what a user made is the user's to remove.
settled()
{
	touch "$IPN_TEST_TMP/stop"
	wait $WORKER $GUEST || true
	if [ -e "$NETS/w" ]; then
		ipn-fabric net del "$NETS/w" 2>/dev/null || rm "$NETS/w"
	fi
	ipn-fabric detach "$NETS/vde" --vde "$NETS/listener" 2>/dev/null || true
	rm -rf "$NETS/v" "$NETS/listener"
	wait_until 30 consistent "$KEPT" kept
	wait_until 30 has_ports "$NETS/vde" 3
	wait_until 30 stored
}

start_fabric
container left
container right
ipn-fabric net add "$NETS/lan" --policy switch --pool 1024
ipn-fabric net add "$NETS/stream" --pool 16384
ipn-fabric net add "$NETS/safe" --lossless --pool 64
ipn-fabric net add "$NETS/vde" --policy switch --pool 16384
for c in left right; do
	ipn-fabric attach "$NETS/lan" --veth eth0:$c
done
in_netns left ip addr add 10.7.0.1/24 dev eth0
in_netns right ip addr add 10.7.0.2/24 dev eth0
ipn-fabric attach "$NETS/vde" --vde "$DIR" --mode 0777
in_netns left ping -q -c 1 -W 20 10.7.0.2 >/dev/null
steady_start stream "$NETS/stream" 500
steady_start safe "$NETS/safe"
pings_start left left 10.7.0.2
vde_start
KEPT=$(kept)
STORED=$(find "/proc/$(fdstore)/fd" -mindepth 1 | wc -l)

step "$ROUNDS rounds"
for ((round = 0; round < ROUNDS; round++)); do
	case $((round % 3)) in
	0) # the manager
		begin
		kill_fabric
		sleep "0.$(printf %03d $((RANDOM % 100)))"
		start_fabric
		;;
	1) # the fdstore; the manager goes on
		begin
		old=$(fdstore)
		kill -KILL "$old"
		sleep "0.$(printf %03d $((RANDOM % 300)))"
		;;
	2) # both
		vde_stop
		begin
		kill -KILL "$(fdstore)" "$FABRIC_PID"
		kill_fabric
		start_fabric
		vde_start
		;;
	esac
	settled
	[ $((round % 50)) != 49 ] || echo "   $((round + 1)) rounds, $SECONDS s"
done

step "each message came"
vde_stop
echo "   pair vde: $VDE_SENT sent, $VDE_DROPPED dropped by a port that says why"
for pair in stream safe; do
	steady_stop $pair $DELAY_MS
done
pings_stop left
wait_until 20 flooded
ipn-fabric down
FABRIC_PID=
assert_eq "" "$(links | grep -v ' lo$' || true)" "interfaces"
wait_until 20 test -z "$(fdstore)"
assert_eq "" "$(files "$IPN_FABRIC_RUN_DIR" "$IPN_FABRIC_BPFFS" "$NETS" "$DIR" |
	grep -v '\.debug$' || true)" "files"
