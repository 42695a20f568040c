#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vde: clients of VDE are ports like any other, and the fabric's files are all that comes and goes
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

TYPE=88b6
DATA=$(printf '5a%.0s' {1..50})
DIR=$IPN_TEST_TMP/sw
ALL=ffffffffffff

sysctl -qw net.unix.max_dgram_qlen=64
start_fabric
objects() # all but what is shown
{
	snapshot | sed '/^{/d'
}
BEFORE=$(objects)
ipn-fabric net add "$NETS/lan" --policy switch --pool 1024 --nodes 64
ipn-fabric attach "$NETS/lan" --vde "$DIR" --mode 0777 >/dev/null

step "clients: port numbers and descriptions as they ask for"
vde a -d "the first"
vde b -d second -p 7
assert_eq 'the first,sock' "$(ipn-fabric show --json "$NETS/lan" |
	jq -r '.ports[] | select(.port == 0) | .descr + "," + .kind')"
assert_eq second "$(ipn-fabric show --json "$NETS/lan" |
	jq -r '.ports[] | select(.port == 7) | .descr')"
a=020000000001 b=020000000002 p=020000000003

step "floods and unicast between clients and processes"
node ear socket "connect $NETS/lan"
tell a "send $ALL$a$TYPE$DATA" ok
tell b "recv 20000" "$ALL$a$TYPE$DATA"
tell ear "recvhex 20000" "ok $ALL$a$TYPE$DATA"
tell b "send $a$b$TYPE$DATA" ok
tell a "recv 20000" "$a$b$TYPE$DATA"
tell a "send $b$a$TYPE$DATA" ok
tell b "recv 20000" "$b$a$TYPE$DATA"
tell ear "sendhex $a$p$TYPE$DATA"
tell a "recv 20000" "$a$p$TYPE$DATA"
tell b "send $p$b$TYPE$DATA" ok
tell ear "recvhex 20000" "ok $p$b$TYPE$DATA"
tell ear "sendhex $ALL$p$TYPE$DATA"
tell a "recv 20000" "$ALL$p$TYPE$DATA"
tell b "recv 20000" "$ALL$p$TYPE$DATA"
tell ear "recv 50" EAGAIN
tell a "recv 50" none
tell b "recv 50" none

step "across a cable"
ipn-fabric net add "$NETS/far" --policy switch
ipn-fabric cable "$NETS/lan" "$NETS/far" >/dev/null
node far socket "connect $NETS/far"
f=020000000004
tell a "send $ALL$a$TYPE$DATA" ok
tell far "recvhex 20000" "ok $ALL$a$TYPE$DATA"
tell ear "recvhex 20000" "ok $ALL$a$TYPE$DATA"
tell b "recv 20000" "$ALL$a$TYPE$DATA"
tell far "sendhex $a$f$TYPE$DATA"
tell a "recv 20000" "$a$f$TYPE$DATA"
tell a "send $f$a$TYPE$DATA" ok
tell far "recvhex 20000" "ok $f$a$TYPE$DATA"
tell far "sendhex $ALL$f$TYPE$DATA"
for who in a b; do
	tell $who "recv 20000" "$ALL$f$TYPE$DATA"
done
tell ear "recvhex 20000" "ok $ALL$f$TYPE$DATA"
assert_eq 0 "$(ipn-fabric stats --json "$NETS/far" | jq '[.[].drops[]] | add')" "drops"
leave far
ipn-fabric net del "$NETS/far"

step "frames of all sizes; too short and too long ones are counted"
ipn-fabric net add "$NETS/jumbo" --policy switch --mtu 16100
ipn-fabric attach "$NETS/jumbo" --vde "$DIR.jumbo" --mode 0777 >/dev/null
DIR=$DIR.jumbo
vde j
vde k
DIR=${DIR%.jumbo}
tell j "send $ALL$a$TYPE" ok
tell k "recv 20000" "$ALL$a$TYPE"
tell k "send $ALL$b$TYPE" ok
tell j "recv 20000" "$ALL$b$TYPE"
for len in 14 60 255 1514 2048 4000 9000 16064; do
	tell j "fill $b $a $len 1" 1
	tell k "recv 20000"
	assert_eq $((len * 2)) ${#OUT} "digits of a frame of $len bytes"
done
tell j "send 0102030405060708090a0b0c0d" ok
tell j "fill $b $a 16065 1" 1
tell j "fill $b $a 65000 1" 1
tell k "recv 50" none
assert_eq 3 "$(stat_of "$NETS/jumbo" 0 .drops.sock_size)" "too short, too long"
tell j "fill $b $a 60 1" 1
tell k "recv 20000"
crash j
crash k
wait_until 20 has_ports "$NETS/jumbo" 0

step "a container and the host: ping and TCP through vde_plug"
container red
ipn-fabric attach "$NETS/lan" --veth eth0:red --port 20 >/dev/null
in_netns red ip addr add 10.9.0.1/24 dev eth0
ip tuntap add vt0 mode tap
ip addr add 10.9.0.2/24 dev vt0
ip link set vt0 up
vde_plug "vde://$DIR" tap://vt0 </dev/null >"$IPN_TEST_TMP/plug" 2>&1 &
PLUG=$!
wait_until 20 has_ports "$NETS/lan" 5
ping -q -c 3 -i 0.2 -W 20 10.9.0.1 >/dev/null || fail "no ping from VDE to the container"
in_netns red ping -q -c 3 -i 0.2 -W 20 10.9.0.2 >/dev/null || fail "no ping to VDE"
tcp() # WAY [OPTION]
{
	local server out=$IPN_TEST_TMP/$1.json

	in_netns red iperf3 -s -1 >/dev/null 2>&1 &
	server=$!
	wait_until 20 in_netns red sh -c 'ss -ltn | grep -q 5201'
	timeout "$(limit 60)" iperf3 -c 10.9.0.1 -n 20M -J "${@:2}" >"$out" ||
		fail "no TCP $1: $(cat "$out")"
	wait $server || true # or the next client would find this one
	jq -e '.end.sum_received.bytes > 1e6' "$out" >/dev/null ||
		fail "TCP $1: next to nothing went through: $(cat "$out")"
	jq -r --arg way "$1" '.end.sum_received.bits_per_second / 1e6 | floor |
		"   TCP \($way): \(.) Mb/s"' "$out"
}
tcp up
tcp down -R
kill $PLUG
wait $PLUG 2>/dev/null || true
wait_until 20 has_ports "$NETS/lan" 4
ip link del vt0
ip netns del red # which would ask for its neighbours
wait_until 20 has_ports "$NETS/lan" 3

step "goodbye, end of the stream, death: the port is gone at once"
vde c -d third
wait_until 20 has_ports "$NETS/lan" 4
tell c bye ok
wait_until 20 has_ports "$NETS/lan" 3
crash c
vde c
crash c
wait_until 20 has_ports "$NETS/lan" 3
vde c
ipn-fabric detach "$NETS/lan" --port 2
wait_until 20 has_ports "$NETS/lan" 3
crash c

step "a client that does not read loses its own frames only"
tell a "count 300" # what was flooded until here
tell b "count 300"
vde slow
s=020000000004
tell slow "send $ALL$s$TYPE$DATA" ok
tell a "recv 20000" "$ALL$s$TYPE$DATA"
tell b "recv 20000" "$ALL$s$TYPE$DATA"
for ((i = 0; i < 5; i++)); do
	tell a "fill $s $a 60 1000" 1000
	tell a "fill $s $a 1500 200" 200
	tell a "fill $b $a 60 10" 10
	tell b "count 300 10" 10
done
[ "$(stat_of "$NETS/lan" 2 .drops.slow)" -gt 3000 ] || fail "the slow one has lost nothing"
assert_eq 0 "$(stat_of "$NETS/lan" 7 .drops.slow)" "lost by another"
tell slow "count 1000"
tell a "fill $s $a 60 5" 5
tell slow "count 300 5" 5
crash slow
wait_until 20 has_ports "$NETS/lan" 3

step "a kernel worker that comes late loses nothing for one who reads"
tell b "count 300"
tell a "hog $b $a 40 900" 40
tell b "count 300 40" 40

step "bad requests are turned away, and disturb nobody"
# raw [MAGIC VERSION TYPE PATH]: little endian words
name=$(printf '%s' "$IPN_TEST_TMP/nobody" | od -An -tx1 -v | tr -d ' \n')
pad() # HEX BYTES
{
	local hex=$1

	while [ ${#hex} -lt $(($2 * 2)) ]; do
		hex+=00
	done
	echo "$hex"
}
raw()
{
	OUT=$(timeout "$(limit 30)" vdeclient "$DIR" raw "$1")
	assert_eq closed "$OUT" "request $2"
}
magic=cefaedfe version=03000000 type=00000000 family=0100
raw "00000000$version$type$family$(pad "$name" 108)" "with wrong magic"
raw "${magic}02000000$type$family$(pad "$name" 108)" "of another version"
raw "$magic${version}07000000$family$(pad "$name" 108)" "of another type"
raw "$magic$version${type}0200$(pad "$name" 108)" "of another family"
raw "$magic$version$type$family$(pad "$name" 108)" "for a socket that is not there"
raw "$magic$version$type$family$(pad 2f 108 | tr 0 6)" "with a name without end"
raw "$magic$version$type$family$(pad 72656c 108)" "with a relative path"
raw "$magic$version$type$family$(pad "" 108)" "without a name"
raw "$magic$version${type}$family$(pad "$(printf %s /dev/null | od -An -tx1 | tr -d ' \n')" 108)" \
	"for no socket"
raw "$magic${version}00ff0000$family$(pad "$name" 108)" "for a port beyond the last"
tell a "fill $b $a 60 10" 10
tell b "count 300" 10

step "a socket of another user's is not his to give"
python3 - "$IPN_TEST_TMP/roots" <<'P' &
import socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
import os
os.chmod(sys.argv[1], 0o777)
time.sleep(60)
P
ROOTS=$!
wait_until 20 test -S "$IPN_TEST_TMP/roots"
chmod 755 "$IPN_TEST_TMP"
name=$(printf '%s' "$IPN_TEST_TMP/roots" | od -An -tx1 -v | tr -d ' \n')
OUT=$(as_nobody timeout "$(limit 30)" vdeclient "$DIR" raw \
	"$magic$version$type$family$(pad "$name" 108)")
assert_eq closed "$OUT" "request of nobody for root's socket"
kill $ROOTS
AS=as_nobody
vde n -d nobody
AS=
assert_eq 65534 "$(ipn-fabric show --json "$NETS/lan" |
	jq -r '.ports[] | select(.descr == "nobody") | .uid')"
tell n "send $ALL$s$TYPE$DATA" ok
tell a "recv 20000" "$ALL$s$TYPE$DATA"
tell b "recv 20000" "$ALL$s$TYPE$DATA"
crash n

step "a thousand that connect and say nothing"
mkfifo "$IPN_TEST_TMP/half"
vdeclient "$DIR" half 1000 <"$IPN_TEST_TMP/half" >"$IPN_TEST_TMP/half.out" &
HALF_PID=$!
exec {HALF}>"$IPN_TEST_TMP/half"
wait_until 20 grep -q "1000 in" "$IPN_TEST_TMP/half.out"
vde c
crash c
tell a "fill $b $a 60 10" 10
tell b "count 300" 10
kill $HALF_PID
exec {HALF}>&-

step "the files: others' are left alone, ours go"
expect_err "is attached already" ipn-fabric attach "$NETS/lan" --vde "$DIR"
mkdir "$IPN_TEST_TMP/foreign"
touch "$IPN_TEST_TMP/foreign/ctl"
expect_err "is not of this fabric" ipn-fabric attach "$NETS/lan" --vde "$IPN_TEST_TMP/foreign"
[ -f "$IPN_TEST_TMP/foreign/ctl" ] || fail "a foreign file was removed"
expect_err "is not attached" ipn-fabric detach "$NETS/lan" --vde "$IPN_TEST_TMP/foreign"
assert_eq "$IPN_TEST_TMP/more" \
	"$(ipn-fabric attach "$NETS/lan" --vde "$IPN_TEST_TMP/more" --json | jq -r .vde)"
assert_eq drwx------ "$(stat -c %A "$IPN_TEST_TMP/more")"
ipn-fabric detach "$NETS/lan" --vde "$IPN_TEST_TMP/more"
[ ! -e "$IPN_TEST_TMP/more" ] || fail "$IPN_TEST_TMP/more was left behind"

step "over the death of the manager (all else of it: fdstore.sh)"
kill_fabric
start_fabric
tell a stream open
assert_eq "the first" "$(ipn-fabric show --json "$NETS/lan" |
	jq -r '.ports[] | select(.port == 0) | .descr')"
tell a "count 300"
tell b "count 300"
tell a "send $ALL$a$TYPE$DATA" ok
tell b "recv 20000" "$ALL$a$TYPE$DATA"

step "nothing is left behind"
leave ear
ipn-fabric net del "$NETS/lan"
ipn-fabric net del "$NETS/jumbo"
[ ! -e "$DIR" ] && [ ! -e "$DIR.jumbo" ] || fail "$DIR was left behind"
crash a
crash b
same_again "$BEFORE" "after all" objects
stop_fabric
