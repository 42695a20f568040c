#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# forks: one node in many processes that fork, send, receive, are killed, close and become others
# $FORKS_ROUNDS: how many rounds of each kind (6)
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

rounds=${FORKS_ROUNDS:-6}
start_fabric
umask 0
for pool in 8 1; do
	step "LOSSLESS, a pool of $pool, $rounds rounds"
	ipn-fabric net add "$NETS/l$pool" --lossless --pool $pool
	forks "$NETS/l$pool" "$rounds" $pool || fail "status $?"
	wait_until 20 has_ports "$NETS/l$pool" 0
done
stop_fabric
