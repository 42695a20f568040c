#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# every_kind_reaches_every_other: a QEMU guest on a tap, a QEMU guest and a user-mode-linux guest at
# a VDE socket, a container, the host, a program with AF_XDP and two processes. First on one switch
# network: who reaches whom by unicast and by broadcast. Then on a router, each in a subnet of its
# own. All do.

here=$(dirname "$0")
scripts=$here/../../scripts
# The test's own network has no way out: what is downloaded must be here before.
if [ -z "${IPN_TEST_INSIDE:-}" ] && [ "$(id -u)" = 0 ]; then
	"$scripts/fetch-kernel" 6.1 >/dev/null || exit 1
fi
. "$here/../lib.sh"

# shellcheck disable=SC2034 # for guest.bash
GUEST_DIR=$IPN_TEST_TMP
. "$here/guest.bash"
. "$here/member.bash"

members=(guest1 guest2 uml box host xsk proc1 proc2) # at ports 0, 1, ...
guests=(guest1 guest2 uml)
processes=(xsk proc1 proc2)
declare -A addr
pings=2
limit=$(limit 30) # seconds for one command of a member

# Who answers an echo request of FROM to the broadcast address: asked once, kept.
heard() # FROM TO
{
	local list=$IPN_TEST_TMP/heard-$1

	[ -e "$list" ] || case $1 in
	proc* | xsk*) proc_ask "$1" "shout 3" ;;
	*) on "$1" "ping -b -n -w 3 10.78.0.255" ;;
	esac >"$list" 2>&1 || true
	grep -qwF "${addr[$2]}" "$list" || { cat "$list"; return 1; }
}

# members_join ROUTED: all members on $net, with their addresses; behind a router, with its own.
members_join()
{
	local i name options=() route=() vde=$net.vde

	ipn-fabric attach "$net" --vde "$vde"
	for i in "${!members[@]}"; do
		name=${members[$i]}
		if [ -n "$1" ]; then
			options=(--gateway "10.79.$i.1")
			route=(ip route replace 10.79.0.0/16 via "10.79.$i.1")
		fi
		case $name in
		guest1)
			ipn-fabric attach "$net" --tap "vm$1" --port "$i"
			GUEST_INITRAMFS=crossings guest_start guest1 --tap "vm$1" \
				--ip "${addr[guest1]}/24" "${options[@]}"
			;;
		guest2)
			GUEST_INITRAMFS=crossings guest_start guest2 --vde "$vde:$i" \
				--ip "${addr[guest2]}/24" "${options[@]}"
			;;
		uml)
			GUEST_INITRAMFS=crossings-uml guest_start uml --kernel uml --memory 64 \
				--vde "$vde:$i" --ip "${addr[uml]}/24" "${options[@]}"
			;;
		box)
			ipn-fabric attach "$net" --veth "eth0:box" --port "$i"
			in_netns box ip addr add "${addr[box]}/24" dev eth0
			in_netns box ip link set eth0 up
			[ -z "$1" ] || in_netns box "${route[@]}"
			;;
		host)
			ipn-fabric attach "$net" --host "host$1" --port "$i"
			ip addr add "${addr[host]}/24" dev "host$1"
			ip link set "host$1" up
			[ -z "$1" ] || "${route[@]}"
			;;
		xsk)
			ipn-fabric attach "$net" --xsk "xsk$1" --port "$i"
			proc_start xsk --xsk "xsk$1" "${options[@]}"
			;;
		*) proc_start "$name" --port "$i" "${options[@]}" ;;
		esac
	done
	for name in "${guests[@]}"; do
		guest_wait "$name"
		echo "$name: $(guest "$name" uname -r)"
	done
	ipn-fabric show "$net"
}

# All leave; no process has seen a bad frame.
members_leave()
{
	local name stats

	for name in "${processes[@]}"; do
		stats=$(proc_ask "$name" stats) || fail "$stats"
		echo "$name: $stats"
		proc_quit "$name" >/dev/null || fail "$name: it saw bad frames"
	done
	for name in "${guests[@]}"; do
		guest_stop "$name"
	done
	ipn-fabric net del "$net"
}

"$scripts/make-initramfs" crossings --program ping >/dev/null
"$scripts/make-initramfs" crossings-uml --kernel uml --program ping >/dev/null
# Where the registers of the CPU are more than it knows of (AMX), Debian's user-mode-linux dies when
# it starts its first process.
if ! "$scripts/run-guest" --name probe --kernel uml --memory 64 --initramfs crossings-uml \
	--timeout "$(limit 60)" --log "$IPN_TEST_TMP/probe" --cmd true >/dev/null 2>&1 &&
	grep -q fatal_sigsegv "$IPN_TEST_TMP/probe"; then
	echo "user-mode-linux does not run on this CPU: all others are tested"
	members=(guest1 guest2 box host xsk proc1 proc2)
	guests=(guest1 guest2)
fi
start_fabric
container box

step "one switch network, eight members of all kinds"
net=$IPN_TEST_TMP/lan
for i in "${!members[@]}"; do
	addr[${members[$i]}]=10.78.0.$((i + 1))
done
ipn-fabric net add "$net" --policy switch --pool 256 # all answer a broadcast at once
chmod 0777 "$net" # some of them are nobody
members_join ''
for name in "${guests[@]}" box host; do
	on "$name" 'echo 0 >/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts'
done
matrix "unicast: ping, $pings x 56 and $pings x 1400 bytes" reach "${members[@]}"
matrix "broadcast: who answers whom" heard "${members[@]}"
members_leave

step "a router, and each in a subnet of its own"
net=$IPN_TEST_TMP/core
ipn-fabric net add "$net" --policy l3 --pool 256
chmod 0777 "$net"
for i in "${!members[@]}"; do
	addr[${members[$i]}]=10.79.$i.2
	ipn-fabric addr add "$net" "10.79.$i.1/24" --port "$i"
done
members_join 3
matrix "through the router: ping, $pings x 56 and $pings x 1400 bytes" reach "${members[@]}"
members_leave
stop_fabric
