#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# members_of_one_switch_reach_each_other: two guests with Debian's 6.1 kernel on taps with QEMU's
# default offloads, a container, the host, and two processes of nobody. Pings all ways, small and
# large; TCP between all that have it, with content compared; throughput that only a path which
# keeps segmentation and checksum offloads in order has.

here=$(dirname "$0")
scripts=$here/../../scripts
# The test's own network has no way out: what is downloaded must be here before.
if [ -z "${IPN_TEST_INSIDE:-}" ] && [ "$(id -u)" = 0 ]; then
	"$scripts/fetch-kernel" 6.1 >/dev/null || exit 1
fi
. "$here/../lib.sh"

# shellcheck disable=SC2034 # for guest.bash
GUEST_DIR=$IPN_TEST_TMP
GUEST_INITRAMFS=members
. "$here/guest.bash"
. "$here/member.bash"

members=(guest1 guest2 box host proc1 proc2)
stations=(guest1 guest2 box host) # those with a TCP of their own
processes=(proc1 proc2)
declare -A addr=(
	[guest1]=10.77.0.1 [guest2]=10.77.0.2 [box]=10.77.0.3
	[host]=10.77.0.4 [proc1]=10.77.0.5 [proc2]=10.77.0.6
)
net=$IPN_TEST_TMP/lan
pings=2
limit=$(limit 30) # seconds for one command of a member
file_size=1048576
declare -A md5

# --- what is tried -------------------------------------------------------------------------------

# The random file of the other, unharmed.
fetch() # FROM TO
{
	local out

	out=$(on "$1" "busybox wget -q -O - http://${addr[$2]}:8000/data | busybox md5sum" 2>&1)
	[ "$out" = "${md5[$2]}" ] || { echo "$out"; return 1; }
}

# Throughput of one TCP stream, from the first to the second, with -R the other way round. Lost
# offloads make it next to nothing; an emulated CPU on a busy machine can make it little.
stream() # FROM TO [-R]
{
	local out rate floor=100

	[[ "$1 $2" != *guest* ]] || floor=2

	out=$(on "$1" "iperf3 -c ${addr[$2]} -t 2 -f m ${3:-}" 2>&1) || fail "$1, $2: iperf3: $out"
	rate=$(awk '/receiver/ { print $(NF - 2) }' <<<"$out")
	[ -n "$rate" ] || fail "$1, $2: iperf3 says no rate: $out"
	if [ -n "${3:-}" ]; then
		set -- "$2" "$1"
	fi
	printf '%-10s to %-10s %8s Mbit/s\n' "$1" "$2" "$rate"
	[ "${rate%.*}" -ge "$floor" ] || fail "$1 to $2: $rate Mbit/s, wanted $floor"
}

# --- the test ------------------------------------------------------------------------------------

echo "kernel.unprivileged_bpf_disabled=$(cat /proc/sys/kernel/unprivileged_bpf_disabled)"
"$scripts/make-initramfs" "$GUEST_INITRAMFS" --program iperf3 --program ping >/dev/null

step "one switch network, six members"
start_fabric
ipn-fabric net add "$net" --policy switch --pool 256
chmod 0777 "$net" # for the processes, which are nobody
for i in 1 2; do
	ipn-fabric attach "$net" --tap "vm$i"
	guest_start "guest$i" --tap "vm$i" --ip "${addr[guest$i]}/24"
done
container box
ipn-fabric attach "$net" --veth eth0:box
in_netns box ip addr add "${addr[box]}/24" dev eth0
in_netns box ip link set eth0 up
ipn-fabric attach "$net" --host ipn0
ip addr add "${addr[host]}/24" dev ipn0
ip link set ipn0 up
for name in "${processes[@]}"; do
	proc_start "$name"
done
for i in 1 2; do
	guest_wait "guest$i"
	echo "guest$i: $(guest "guest$i" uname -r)"
done

matrix "ping, who reaches whom: $pings x 56 and $pings x 1400 bytes" reach "${members[@]}"

step "services"
for name in "${stations[@]}"; do
	dir=/tmp/www
	[[ $name == guest* ]] || dir=$IPN_TEST_TMP/www-$name
	md5[$name]=$(on "$name" "
		mkdir $dir && head -c $file_size /dev/urandom >$dir/data || exit
		busybox httpd -p 8000 -h $dir
		iperf3 -s -D
		until busybox netstat -ltn | grep -q ':5201 '; do sleep 0.1; done
		busybox md5sum <$dir/data")
	echo "$name ${md5[$name]}"
done

matrix "TCP, $file_size random bytes from each to each" fetch "${stations[@]}"

step "TCP, one stream"
for pair in "guest1 guest2" "guest1 box" "box host"; do
	read -r from to <<<"$pair"
	stream "$from" "$to"
	stream "$from" "$to" -R
done

# The first packet of a connection leaves its station with the checksum still to be done, and comes
# to a process, which has no network card that would do it.
step "frames for processes are whole"
callers=()
for name in "${stations[@]}"; do
	on "$name" "for to in ${addr[proc1]} ${addr[proc2]}; do
		busybox timeout 1 busybox wget -q -O - http://\$to/ &
		done; wait" >/dev/null 2>&1 &
	callers+=($!)
done
wait "${callers[@]}" || true # nobody answers them
for name in "${processes[@]}"; do
	stats=$(proc_ask "$name" stats) || fail "$stats"
	echo "$name: $stats"
	l4=${stats#* l4=}
	[ "${l4%% *}" -ge ${#stations[@]} ] || fail "$name: no TCP from every station"
	proc_quit "$name" >/dev/null || fail "$name: it saw bad frames: $stats"
done

for i in 1 2; do
	guest_stop "guest$i"
done
stop_fabric
