#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# xskdpdk: attach --xsk --own: DPDK's af_xdp driver, as Debian has it, receives and sends
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

command -v dpdk-testpmd >/dev/null || skip "no dpdk-testpmd (Debian: dpdk-dev librte-net-af-xdp23)"

start_fabric
ipn-fabric net add "$NETS/lan" --policy switch
chmod 777 "$NETS/lan"
ipn-fabric attach "$NETS/lan" --xsk own0 --own >/dev/null
ipn-fabric attach "$NETS/lan" --xsk x1 >/dev/null

# testpmd's own files are in its runtime directory; it ends when its input does.
export XDG_RUNTIME_DIR=$IPN_TEST_TMP
step "testpmd comes up on the interface that is left to it"
timeout "$(limit 60)" dpdk-testpmd -l 0-1 --no-huge -m 256 --no-pci --no-shconf --no-telemetry \
	--vdev net_af_xdp0,iface=own0 -- --forward-mode=macswap --total-num-mbufs=8192 \
	--stats-period=1 >"$IPN_TEST_TMP/pmd" 2>&1 </dev/zero &
pmd=$!
up()
{
	grep -q 'Port statistics' "$IPN_TEST_TMP/pmd" || kill -0 $pmd
	grep -q 'Port statistics' "$IPN_TEST_TMP/pmd"
}
wait_until 30 up

step "5000 frames go there, and 5000 come back with their addresses swapped"
as_net_raw timeout 40 xskpeer "$NETS/lan" x1 sendback 5000 100 >"$IPN_TEST_TMP/peer" 2>&1 ||
	fail "$(cat "$IPN_TEST_TMP/peer")"
assert_eq "sent 5000 back 5000" "$(grep -v ready "$IPN_TEST_TMP/peer")" frames
received()
{
	grep -q 'RX-packets: 5000 ' "$IPN_TEST_TMP/pmd" &&
		grep -q 'TX-packets: 5000 ' "$IPN_TEST_TMP/pmd"
}
wait_until 20 received
assert_eq 5000 "$(stat_of "$NETS/lan" 0 .in_packets)" "frames from the port"
kill -INT $pmd
wait $pmd || true

step "and leaves the interface as it found it, for the next"
ip -j link show own0 | jq -e '.[0].xdp == null' >/dev/null || fail "its program is still there"
stop_fabric
