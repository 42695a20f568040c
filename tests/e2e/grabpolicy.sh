#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# grabpolicy: a loaded policy rewrites what comes from a grabbed interface; not for the host
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

TYPE=88b6
DATA=$(printf '5a%.0s' {1..46})

container street
ip link add wire0 type veth peer name eth0 netns street
ip addr add 10.9.0.1/24 dev wire0
ip link set wire0 up
in_netns street ip addr add 10.9.0.2/24 dev eth0
in_netns street ip link set eth0 up
ping -q -c 1 -W 20 10.9.0.2 >/dev/null || fail "no ping to begin with"

start_fabric
ipn-fabric policy load "$IPN_BUILD/examples/stamp.bpf.o" --number 11 --name stamp
ipn-fabric net add "$NETS/bus" --policy stamp --pool 64
assert_eq "port 0 grab wire0" "$(ipn-fabric attach "$NETS/bus" --grab wire0)" "answer"

nsenter --net=/run/netns/street frames sniff eth0 60000 0x$TYPE >"$IPN_TEST_TMP/street" 2>&1 &
wait_until 20 grep -q ready "$IPN_TEST_TMP/street"
heard() # FILE HEX...
{
	[ "$(grep -v ready "$IPN_TEST_TMP/$1")" = "$(printf '%s\n' "${@:2}")" ]
}
node ear socket "connect $NETS/bus"
node other socket "connect $NETS/bus"
head=ffffffffffff020000000009

step "the network gets what the policy makes of what comes in"
in_netns street frames inject eth0 "$head$TYPE${DATA}01" 3
for stamp in 00000000 00000001 00000002; do
	for who in ear other; do
		tell $who "recvhex 20000" "ok $head$TYPE$stamp${DATA}01"
	done
done

step "what the network sends goes out, stamped"
tell other "sendhex $head$TYPE${DATA}02" "ok 61"
tell ear "recvhex 20000" "ok $head${TYPE}00000003${DATA}02"
wait_until 20 heard street "$head${TYPE}00000003${DATA}02"

step "too long for the wire: dropped and counted"
ip link set wire0 mtu 100
tell other "sendhex $head$TYPE$(printf '00%.0s' {1..110})" "ok 124"
tell ear "recvlen 20000" "ok 128"
assert_eq 1 "$(stat_of "$NETS/bus" 2 .drops.mtu)" "mtu"
ip link set wire0 mtu 1500

step "the host gets what came: TCP with its offloads"
head -c 5000000 /dev/urandom >"$IPN_TEST_TMP/file"
wanted=$(sha256sum <"$IPN_TEST_TMP/file")
frames serve 7000 >"$IPN_TEST_TMP/got" &
server=$!
wait_until 20 grep -q ':1B58 00000000:0000 0A' "/proc/$server/net/tcp"
in_netns street timeout "$(limit 30)" bash -c "cat $IPN_TEST_TMP/file >/dev/tcp/10.9.0.1/7000" ||
	fail "TCP"
wait $server || fail "TCP: the server"
assert_eq "$wanted" "$(sha256sum <"$IPN_TEST_TMP/got")" "what came over TCP"
for reason in segmenter bad_frame redirect; do
	assert_eq 0 "$(stat_of "$NETS/bus" 0 ".drops.$reason")" "$reason"
done
ipn-fabric detach "$NETS/bus" --port 0
ping -q -c 1 -W 20 10.9.0.2 >/dev/null || fail "no ping after it was given back"
stop_fabric
