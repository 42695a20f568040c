#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# crossings.sh [ROUNDS]: what each crossing between kinds of ports costs, on one switch network:
# round trips of echo requests of 56 bytes, one after the other, median of the rounds (3); and TCP,
# one stream, between those that have it. For docs/architecture.md; no pass or fail. Containers and
# taps at a vde_plug use ping -f; processes and AF_XDP programs are an ipnhost, which sleeps.

. "$(dirname "$0")/../lib.sh"

# shellcheck disable=SC2034 # for member.bash
limit=60
count=3000
rounds=${1:-3}
net=$IPN_TEST_TMP/lan
far=$IPN_TEST_TMP/far
declare -A addr
. "$IPN_ROOT/tests/vm/member.bash"

members=(box box2 behind vde vde2 xsk xsk2 proc proc2)
for i in "${!members[@]}"; do
	addr[${members[$i]}]=10.9.0.$((i + 1))
done

# NAME INTERFACE: up, with its address.
address()
{
	in_netns "$1" ip addr add "${addr[$1]}/24" dev "$2"
	in_netns "$1" ip link set "$2" up
}

# FROM TO: us of a round trip, on the average of one round.
round_trip()
{
	local start

	case $1 in
	proc* | xsk*)
		start=$(date +%s%N)
		proc_ask "$1" "ping ${addr[$2]} $count 56 $limit" | grep -q "$count/$count" ||
			fail "$1 to $2: answers are missing"
		echo $((($(date +%s%N) - start) / count / 1000))
		;;
	*)
		in_netns "$1" ping -q -f -c "$count" "${addr[$2]}" |
			awk -F'[/ ]' '/^rtt/ { printf "%.0f\n", $8 * 1000 }'
		;;
	esac
}

sysctl -qw net.unix.max_dgram_qlen=512 # as systemd sets it
start_fabric
ipn-fabric net add "$net" --policy switch --pool 256
ipn-fabric net add "$far" --policy switch --pool 256
chmod 777 "$net"
ipn-fabric cable "$net" "$far" >/dev/null
ipn-fabric attach "$net" --vde "$IPN_TEST_TMP/vde.d" >/dev/null
for name in box box2 behind vde vde2; do
	container "$name"
done
ipn-fabric attach "$net" --veth eth0:box >/dev/null
ipn-fabric attach "$net" --veth eth0:box2 >/dev/null
ipn-fabric attach "$far" --veth eth0:behind >/dev/null
for name in box box2 behind; do
	address "$name" eth0
done
for name in vde vde2; do
	in_netns "$name" vde_plug "vde://$IPN_TEST_TMP/vde.d" tap://tap0 &
	until in_netns "$name" ip link show tap0 >/dev/null 2>&1; do
		sleep 0.05
	done
	address "$name" tap0
done
for name in xsk xsk2; do
	ipn-fabric attach "$net" --xsk "$name" >/dev/null
	proc_start "$name" --xsk "$name"
done
proc_start proc
proc_start proc2

echo "us from\\to $(printf ' %9s' container process xsk vde behind)"
for from in box proc xsk vde; do
	row=
	for to in box2 proc2 xsk2 vde2 behind; do
		round_trip "$from" "$to" >/dev/null # they get to know each other
		row+=$(for ((i = 0; i < rounds; i++)); do
			round_trip "$from" "$to"
		done | sort -n | awk '{ v[NR] = $1 } END { printf " %9s", v[int((NR + 1) / 2)] }')
	done
	printf '%-10s %s\n' "$from" "$row"
done

echo "TCP, Gbit/s"
for name in box2 vde2 behind; do
	in_netns "$name" iperf3 -s -D
done
for pair in "box box2" "box behind" "box vde2" "vde box2" "vde vde2"; do
	read -r from to <<<"$pair"
	until rate=$(in_netns "$from" iperf3 -c "${addr[$to]}" -t 2 -f g 2>/dev/null); do
		sleep 0.2
	done
	printf '%-10s %-10s %s\n' "$from" "$to" "$(awk '/receiver/ { print $(NF - 2) }' <<<"$rate")"
done
for name in xsk xsk2 proc proc2; do
	proc_quit "$name" >/dev/null
done
stop_fabric
