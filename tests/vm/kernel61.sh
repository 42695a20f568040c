#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# the_fabric_runs_on_linux_6_1: the oldest kernel it is for, Debian's, in QEMU. That one has no tcx,
# no metadata on taps, fewer kfuncs, and a verifier that sees less. This script runs once more in
# it, and there: a broadcast network with messages of many lengths, a switch network with two
# containers and a process of nobody, raw frames from a process over devices to a process, cables,
# loaded policies, a manager that is killed and another that takes over, and an end that leaves
# nothing.

here=$(dirname "$0")
scripts=$here/../../scripts
# The test's own network has no way out: what is downloaded must be here before.
if [ -z "${IPN_TEST_INSIDE:-}${IPN_TEST_GUEST:-}" ] && [ "$(id -u)" = 0 ]; then
	"$scripts/fetch-kernel" 6.1 >/dev/null || exit 1
fi
. "$here/../lib.sh"

if [ -z "${IPN_TEST_GUEST:-}" ]; then
	"$scripts/make-initramfs" kernel61 \
		--module tun --module veth --module bridge --module sch_ingress --module cls_bpf \
		--program "$IPN_BUILD/ipn-fabric" --program "$IPN_BUILD/tests/ipnhost" \
		--program bash --program ip --program jq --program ping \
		--program nsenter --program setpriv --program unshare \
		--file "$IPN_BUILD/examples/queue.bpf.o:/ipn/queue.bpf.o" \
		--file "$IPN_BUILD/examples/stamp.bpf.o:/ipn/stamp.bpf.o" \
		--file "$IPN_BUILD/examples/topic.bpf.o:/ipn/topic.bpf.o" \
		--file "$IPN_ROOT/tests/lib.sh:/ipn/tests/lib.sh" \
		--file "$IPN_ROOT/tests/vm/kernel61.sh:/ipn/tests/vm/kernel61.sh" >/dev/null
	status=0
	"$scripts/run-guest" --name kernel61 --memory 384 --initramfs kernel61 --timeout 300 \
		--log "$IPN_TEST_TMP/console" --cmd 'mkdir -m 0755 /tmp/test &&
		IPN_TEST_GUEST=1 IPN_TEST_TMP=/tmp/test bash /ipn/tests/vm/kernel61.sh 2>&1' ||
		status=$?
	tr -d '\r' <"$IPN_TEST_TMP/console"
	exit $status
fi

# --- in the guest --------------------------------------------------------------------------------

export IPN_FABRIC_DEBUG=1 # should the kernel refuse a program: why
hub=$IPN_TEST_TMP/hub
lan=$IPN_TEST_TMP/lan
left=$IPN_TEST_TMP/left
right=$IPN_TEST_TMP/right
proc_addr=10.61.0.5

# ports PATH: how many
ports()
{
	ipn-fabric show "$1" --json | jq '.ports | length'
}

has_ports() # PATH COUNT
{
	[ "$(ports "$1")" = "$2" ]
}

# text LENGTH: that many letters
text()
{
	local text

	text=$(head -c $(($1 + 16)) /dev/urandom | base64 -w 0 | tr -dc 'a-zA-Z0-9')
	printf '%s' "${text:0:$1}"
}

# across FROM TO FILE: each line of the file is sent on one network, and arrives on the other.
across()
{
	local before

	before=$(ports "$2")
	timeout 90 ipn-fabric recv "$2" --hex --count "$(wc -l <"$3")" --timeout 60 \
		>"$IPN_TEST_TMP/got" 2>&1 &
	wait_until 20 has_ports "$2" $((before + 1))
	ipn-fabric send "$1" "$3"
	wait $! || fail "recv ended with $?: $(cut -c 1-200 "$IPN_TEST_TMP/got")
$(ipn-fabric stats)"
	while IFS= read -r line; do
		printf '%s' "$line" | od -An -v -tx1 | tr -d ' \n'
		echo
	done <"$3" >"$IPN_TEST_TMP/sent"
	tr -d ' ' <"$IPN_TEST_TMP/got" | cmp - "$IPN_TEST_TMP/sent" || fail "other content:
$(cut -c 1-200 "$IPN_TEST_TMP/sent" "$IPN_TEST_TMP/got")"
	awk '{ printf " %d", length($0) / 2 } END { print " bytes" }' "$IPN_TEST_TMP/sent"
}

# proc_ask COMMAND: the line ipnhost answers.
proc_ask()
{
	local line

	printf '%s\n' "$1" >&"${PROC[1]}"
	IFS= read -r -t 30 -u "${PROC[0]}" line || fail "the process does not answer: $1"
	printf '%s\n' "$line"
}

reach() # FROM ADDRESS
{
	local size

	for size in 56 1400; do
		in_netns "$1" ping -n -q -c 2 -W 20 -i 0.2 -s $size "$2" \
			>"$IPN_TEST_TMP/ping" 2>&1 ||
			fail "$1 to $2, $size bytes: $(cat "$IPN_TEST_TMP/ping")
$(ipn-fabric stats)"
	done
	echo "$1 to $2: ok"
}

everybody_reaches_everybody()
{
	local size to

	reach box1 10.61.0.2
	reach box2 10.61.0.1
	reach box1 $proc_addr
	reach box2 $proc_addr
	for to in 10.61.0.1 10.61.0.2; do
		for size in 56 1400; do
			assert_eq "ping $to: 2/2" "$(proc_ask "ping $to 2 $size 10")"
		done
		echo "process to $to: ok"
	done
}

# fetch NAME FROM: a file from the other container by TCP.
fetch()
{
	in_netns "$1" timeout 30 wget -q -O - "http://$2:8000/data" | md5sum
}

step "up on $(uname -r): clsact by its own choice"
bpffs=$(ls "$IPN_FABRIC_BPFFS")
ipn-fabric up
assert_eq clsact "$(ipn-fabric show --json | jq -r .fabric.hook)" hook
assert_eq false "$(ipn-fabric show --json | jq -r .fabric.adopted)" adopted

step "broadcast: from a process to a process"
ipn-fabric net add "$hub" --mtu 65535
for len in 0 64 1514 5000 60000; do
	text $len
	echo
done >"$IPN_TEST_TMP/lines"
across "$hub" "$hub" "$IPN_TEST_TMP/lines"
cp "$IPN_TEST_TMP/lines" "$IPN_TEST_TMP/short"

step "switch: two containers, a process of nobody"
ipn-fabric net add "$lan" --policy switch
chmod 0777 "$lan"
for i in 1 2; do
	container box$i
	ipn-fabric attach "$lan" --veth eth0:box$i
	in_netns box$i ip addr add 10.61.0.$i/24 dev eth0
	in_netns box$i ip link set eth0 up
done
coproc PROC { as_nobody ipnhost "$lan" $proc_addr --stdin; }
proc_pid=$PROC_PID
IFS= read -r -t 20 -u "${PROC[0]}" line || fail "the process is not ready"
assert_eq ready "$line"
everybody_reaches_everybody

step "switch: TCP, a file each way"
for i in 1 2; do
	mkdir "$IPN_TEST_TMP/www$i"
	head -c 1000000 /dev/urandom >"$IPN_TEST_TMP/www$i/data"
	in_netns box$i httpd -p 8000 -h "$IPN_TEST_TMP/www$i"
done
assert_eq "$(md5sum <"$IPN_TEST_TMP/www2/data")" "$(fetch box1 10.61.0.2)" "box1 from box2"
assert_eq "$(md5sum <"$IPN_TEST_TMP/www1/data")" "$(fetch box2 10.61.0.1)" "box2 from box1"

# A bridge in a container ties two networks: what a process says on one, a process on the other
# hears, and in between it was a frame on devices.
step "raw frames: process, container, process"
container box3
in_netns box3 ip link add br0 type bridge mcast_snooping 0
for path in "$left" "$right"; do
	ipn-fabric net add "$path" --mtu 9014 --pool 64
	name=${path##*/}
	ipn-fabric attach "$path" --veth "$name:box3"
	in_netns box3 ip link set "$name" master br0 up
done
in_netns box3 ip link set br0 up
{
	for len in 16 17 60 1514 3000 5000 9014; do
		printf 'babababb0000%s\n' "$(text $((len - 12)))" # to a unicast address
	done
	printf 'aaaaaabb0000%s\n' "$(text 100)"             # to a multicast address
	printf 'bababab00000\x88\xa8aa%s\n' "$(text 100)"   # tagged
	printf 'bababab00000\x88\xa8aa%s\n' "$(text 1502)"
} >"$IPN_TEST_TMP/lines"
across "$left" "$right" "$IPN_TEST_TMP/lines"
across "$right" "$left" "$IPN_TEST_TMP/lines"

step "a cable: messages of processes, whatever they are, and frames of containers"
for path in "$hub.one" "$hub.two"; do
	ipn-fabric net add "$path" --mtu 65535 --pool 64
done
ipn-fabric cable "$hub.one" "$hub.two"
for len in 0 1 2 13 14 15 16 60 1514 5000 60000; do
	text $len
	echo
done >"$IPN_TEST_TMP/any"
printf '123456789012\x88\xa8xx\n' >>"$IPN_TEST_TMP/any"
across "$hub.one" "$hub.two" "$IPN_TEST_TMP/any"
across "$hub.two" "$hub.one" "$IPN_TEST_TMP/any"
ipn-fabric net add "$lan.two" --policy switch
ipn-fabric attach "$lan.two" --host far0
ipn-fabric cable "$lan" "$lan.two"
ip addr add 10.61.0.9/24 dev far0
reach box1 10.61.0.9
assert_eq "ping 10.61.0.9: 2/2" "$(proc_ask "ping 10.61.0.9 2 56 10")"
assert_eq "$(md5sum <"$IPN_TEST_TMP/www1/data")" \
	"$(timeout 30 wget -q -O - http://10.61.0.1:8000/data | md5sum)" "from box1, over the cable"
assert_eq 0 "$(ipn-fabric stats "$hub.one" --json | jq '[.[].drops[]] | add')" "drops"

step "policies of the documentation"
number=20
for name in queue stamp topic; do
	ipn-fabric policy load /ipn/$name.bpf.o --number $number --name $name
	number=$((number + 1))
done
ipn-fabric net add "$hub.queue" --policy queue --mtu 65535
across "$hub.queue" "$hub.queue" "$IPN_TEST_TMP/short"

step "the manager is killed, another takes over"
kill -KILL "$(ipn-fabric show --json | jq .fabric.pid)"
reach box1 10.61.0.2
ipn-fabric up
assert_eq true "$(ipn-fabric show --json | jq -r .fabric.adopted)" adopted
assert_eq clsact "$(ipn-fabric show --json | jq -r .fabric.hook)" hook
everybody_reaches_everybody
assert_eq "$(md5sum <"$IPN_TEST_TMP/www2/data")" "$(fetch box1 10.61.0.2)" "box1 from box2"
across "$left" "$right" "$IPN_TEST_TMP/lines"

# The first packet of a connection leaves its container with the checksum still to be done.
step "what came to the process was whole"
in_netns box1 timeout 1 wget -q -O - "http://$proc_addr/" >/dev/null 2>&1 || true # nobody answers
stats=$(proc_ask stats)
echo "$stats"
l4=${stats#* l4=}
[ "${l4%% *}" -ge 1 ] || fail "the process saw no TCP"
printf 'quit\n' >&"${PROC[1]}"
wait "$proc_pid" || fail "the process ended with $?: it saw bad frames"

step "down leaves nothing"
ipn-fabric stats
ipn-fabric down
assert_eq "$bpffs" "$(ls "$IPN_FABRIC_BPFFS")" "on the bpffs"
assert_eq '' "$(ls "$IPN_FABRIC_RUN_DIR")" "in the run directory"
assert_eq '' "$(pidof ipn-fabric || true)" "processes"
assert_eq lo "$(ip -j link | jq -r '.[].ifname')" "interfaces"
for i in 1 2 3; do
	assert_eq 0 "$(in_netns box$i ip -j -d link |
		jq '[.[] | select(.linkinfo.info_kind == "veth")] | length')" "interfaces of box$i"
done
