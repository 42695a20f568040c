#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# loops: a node in event loops of other libraries, and several descriptors of one node
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

start_fabric
ipn-fabric net add "$NETS/lossy" --pool 64
ipn-fabric net add "$NETS/lossless" --lossless --pool 4

step "ready exactly when a call would not wait; after fork(), too; duplicates"
timeout "$(limit 60)" loops "$NETS/lossy" "$NETS/lossless" || fail "status $?"

for loop in asyncio glib libuv; do
	for net in lossy lossless; do
		step "$loop, $net"
		timeout "$(limit 30)" /usr/bin/python3 "$IPN_ROOT/tests/e2e/loops.py" \
			"$IPN_BUILD/libipn.so.1" $loop "$NETS/$net" 50 >"$IPN_TEST_TMP/$loop.$net" &
		pid=$!
		wait_until 20 grep -q in "$IPN_TEST_TMP/$loop.$net"
		ipn-fabric recv "$NETS/$net" --count 51 --timeout 20 >"$IPN_TEST_TMP/heard" &
		reader=$!
		wait_until 20 has_ports "$NETS/$net" 2
		seq 0 49 | ipn-fabric send "$NETS/$net" || fail "send: status $?"
		wait $pid || fail "$loop, $net: status $?"
		wait $reader || fail "recv: status $?"
		assert_eq "done" "$(tail -1 "$IPN_TEST_TMP/heard")"
		wait_until 20 has_ports "$NETS/$net" 0
	done
done
stop_fabric
