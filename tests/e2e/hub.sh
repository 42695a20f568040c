#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# hub: every reader of a broadcast network sees every message, any bytes, in one order
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

READERS=32
start_fabric
ipn-fabric net add "$NETS/hub" --mtu 65535 --pool 1024 --nodes 64

# readers WHAT COUNT: starts them; half by recv, half in place.
readers()
{
	local i how

	for ((i = 0; i < READERS; i++)); do
		how=$([ $((i % 2)) = 0 ] && echo recv || echo peek)
		hubpeer "$1" "$NETS/hub" "$2" "$how" >"$IPN_TEST_TMP/r$i" 2>&1 &
		READER[i]=$!
	done
	wait_until 20 all_ready
}

all_ready()
{
	[ "$(cat "$IPN_TEST_TMP"/r[0-9]* | grep -c '^ready$')" = $READERS ]
}

all_asleep()
{
	local pid

	for pid in "${READER[@]}"; do
		asleep "$pid" || return 1
	done
}

# They all end well and have seen the same.
readers_agree() # COUNT
{
	local i

	for ((i = 0; i < READERS; i++)); do
		wait "${READER[i]}" || fail "reader $i: $(tail -n 1 "$IPN_TEST_TMP/r$i")"
	done
	tail -q -n 1 "$IPN_TEST_TMP"/r[0-9]* | sort | uniq -c >"$IPN_TEST_TMP/seen"
	assert_eq 1 "$(wc -l <"$IPN_TEST_TMP/seen")" "different orders or contents among readers"
	read -r _ OUT _ <"$IPN_TEST_TMP/seen"
	assert_eq "$1" "$OUT" "messages seen"
}

step "$READERS sleeping readers, one sender, 0 to 65535 bytes: one order, the same content"
readers read 600
wait_until 20 all_asleep
hubpeer send "$NETS/hub" 0 600
readers_agree 600

step "four senders at a time: one order for all readers, each sender's own kept"
readers readtagged 1000
senders=()
for i in 0 1 2 3; do
	hubpeer tagged "$NETS/hub" $i 250 &
	senders+=($!)
done
for pid in "${senders[@]}"; do
	wait "$pid"
done
readers_agree 1000

step "a message of each length, to a reader of each slot class"
ipn-fabric net add "$NETS/small" --mtu 232 --pool 512
ipn-fabric net add "$NETS/eth" --mtu 2024 --pool 4096
node small socket "connect $NETS/small"
node eth socket "connect $NETS/eth"
node out socket "connect $NETS/small" "use 1" socket "connect $NETS/eth"
for len in 0 1 13 14 60 231 232; do
	tell out "use 0"
	tell out "sendlen $len" "ok $len"
	tell small "recvlen 20000" "ok $len"
done
tell out "sendlen 233" "EOVERFLOW"
for len in 0 14 232 233 1514 2023 2024; do
	tell out "use 1"
	tell out "sendlen $len" "ok $len"
	tell eth "recvlen 20000" "ok $len"
done
tell out "sendlen 2025" "EOVERFLOW"
leave small
leave eth
leave out

step "a sender does not hear itself"
node a socket "connect $NETS/hub"
node b socket "connect $NETS/hub"
tell a "send one" "ok 3"
tell b "send two" "ok 3"
tell a "recv 20000" "ok two"
tell b "recv 20000" "ok one"
tell a "recv 50" "EAGAIN"
tell b "recv 50" "EAGAIN"
leave a
leave b

step "a slow reader loses the oldest and keeps the newest of its pool, alone"
ipn-fabric net add "$NETS/lossy" --pool 8
node slow socket "connect $NETS/lossy"
node fast socket "connect $NETS/lossy"
node out socket "connect $NETS/lossy"
for round in 0 1 2 3 4; do
	for i in {0..7}; do
		tell out "send $((round * 8 + i))"
	done
	tell fast "recvall 50" "ok $(seq -s ' ' $((round * 8)) $((round * 8 + 7)))"
done
tell slow "recvall 50" "ok $(seq -s ' ' 32 39)"
tell slow overruns "ok 32"
tell fast overruns "ok 0"
assert_eq 32 "$(stat_of "$NETS/lossy" 0 .drops.overrun)" "overrun of the slow reader"
assert_eq 0 "$(stat_of "$NETS/lossy" 1 .drops.overrun)" "overrun of the fast reader"
assert_eq 8 "$(stat_of "$NETS/lossy" 0 .out_packets)" "messages the slow reader got"
assert_eq 40 "$(stat_of "$NETS/lossy" 1 .out_packets)" "messages the fast reader got"
assert_eq 40 "$(stat_of "$NETS/lossy" 2 .in_packets)" "messages sent"

step "far behind, many times round the log: still exactly the newest"
tell out "sendmany 10000" "ok"
tell slow "recvall 50" "ok $(seq -s ' ' 9992 9999)"
tell slow overruns "ok $((32 + 9992))"
tell out "sendmany 9" "ok"
tell slow "recvall 50" "ok $(seq -s ' ' 1 8)"
tell out "sendmany 8" "ok"
tell slow "recvall 50" "ok $(seq -s ' ' 0 7)"
tell slow overruns "ok $((32 + 9993))"

step "one who joins later gets what is sent from then on"
node late socket "connect $NETS/lossy"
tell late "recv 50" "EAGAIN"
tell out "send now" "ok 3"
tell late "recv 20000" "ok now"

step "recv: as it is, in hexadecimal, as JSON"
ipn-fabric net add "$NETS/lines" >/dev/null
readers() { [ "$(ipn-fabric net show "$NETS/lines" --json | jq '.[0].readers')" = "$1" ]; }
for how in plain hex json both; do
	options=()
	[ $how = plain ] || [ $how = json ] || options+=(--hex)
	[ $how != json ] && [ $how != both ] || options+=(--json)
	ipn-fabric recv "$NETS/lines" --count 3 --timeout "$(limit 60)" "${options[@]}" \
		>"$IPN_TEST_TMP/recv.$how" &
done
wait_until 20 readers 4
printf 'a"\303\244\n\n\377\001\n' | ipn-fabric send "$NETS/lines"
done_all() { [ "$(cat "$IPN_TEST_TMP"/recv.{plain,hex,json,both} | wc -l)" = 12 ]; }
wait_until 20 done_all
assert_eq "$(printf 'a"\303\244\n\n\377\001\n' | od -c)" "$(od -c <"$IPN_TEST_TMP/recv.plain")"
assert_eq "6122c3a4  ff01" "$(paste -sd ' ' "$IPN_TEST_TMP/recv.hex")"
assert_eq '["a\"ä",4] ["",0] [null,2]' \
	"$(jq -c '[.text, .length]' "$IPN_TEST_TMP/recv.json" | paste -sd ' ')"
assert_eq ff01 "$(jq -r 'select(.text == null).hex' "$IPN_TEST_TMP/recv.json")"
assert_eq "6122c3a4  ff01" "$(jq -r .hex "$IPN_TEST_TMP/recv.both" | paste -sd ' ')"
assert_eq 4 "$(jq .port "$IPN_TEST_TMP/recv.json" | sed -n 1p)" "port of the sender"

stop_fabric
