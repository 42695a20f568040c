#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# every_kind_reaches_every_other: one switch network with a QEMU guest on a tap, a QEMU guest and a
# user-mode-linux guest at its VDE socket, a container, the host, a program with AF_XDP and two
# processes: who reaches whom by unicast and by broadcast. All do.

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

members=(guest1 guest2 uml box host xsk proc1 proc2)
processes=(xsk proc1 proc2)
declare -A addr
net=$IPN_TEST_TMP/lan
vde=$IPN_TEST_TMP/vde
pings=2
limit=30 # seconds for one command of a member
for i in "${!members[@]}"; do
	addr[${members[$i]}]=10.78.0.$((i + 1))
done

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

step "one switch network, eight members of all kinds"
"$scripts/make-initramfs" crossings --program ping >/dev/null
"$scripts/make-initramfs" crossings-uml --kernel uml --program ping >/dev/null
start_fabric
ipn-fabric net add "$net" --policy switch
chmod 0777 "$net" # for the processes, which are nobody
ipn-fabric attach "$net" --tap vm1
ipn-fabric attach "$net" --vde "$vde"
GUEST_INITRAMFS=crossings
guest_start guest1 --tap vm1 --ip "${addr[guest1]}/24"
guest_start guest2 --vde "$vde" --ip "${addr[guest2]}/24"
GUEST_INITRAMFS=crossings-uml
guest_start uml --kernel uml --memory 64 --vde "$vde" --ip "${addr[uml]}/24"
container box
ipn-fabric attach "$net" --veth eth0:box
in_netns box ip addr add "${addr[box]}/24" dev eth0
in_netns box ip link set eth0 up
ipn-fabric attach "$net" --host ipn0
ip addr add "${addr[host]}/24" dev ipn0
ip link set ipn0 up
ipn-fabric attach "$net" --xsk xsk0
proc_start xsk --xsk xsk0
proc_start proc1
proc_start proc2
for name in guest1 guest2 uml; do
	guest_wait "$name"
	echo "$name: $(guest "$name" uname -r)"
done
for name in guest1 guest2 uml box host; do
	on "$name" 'echo 0 >/proc/sys/net/ipv4/icmp_echo_ignore_broadcasts'
done
ipn-fabric show "$net"

matrix "unicast: ping, $pings x 56 and $pings x 1400 bytes" reach "${members[@]}"
matrix "broadcast: who answers whom" heard "${members[@]}"

step "nobody saw a bad frame"
for name in "${processes[@]}"; do
	echo "$name: $(proc_quit "$name")" || fail "$name: it saw bad frames"
done
for name in guest1 guest2 uml; do
	guest_stop "$name"
done
stop_fabric
