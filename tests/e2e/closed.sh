#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# closed: what was closed before is closed, however busy the manager was
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

start_fabric
ipn-fabric net add "$NETS/stays" --nodes 1
step "the manager finds an end and a request at once, in either order of the sessions"
for order in "first second" "second first"; do
	for i in {1..8}; do
		for name in $order; do
			node "$name" "use 0" "socket 1" "use 1" socket
		done
		tell first "use 0" ok
		tell first "bind $NETS/${order% *}$i" ok
		tell first "use 1" ok
		tell first "connect $NETS/stays" ok
		kill -STOP "$FABRIC_PID"
		tell first close ok
		ask second "connect $NETS/stays"
		wait_until 20 asleep "${NODE_PID[second]}"
		kill -CONT "$FABRIC_PID"
		answer second 40 ok # the one port was free
		kill -STOP "$FABRIC_PID"
		tell first "use 0" ok
		tell first close ok
		tell second "use 0" ok
		ask second "bind $NETS/${order% *}$i"
		wait_until 20 asleep "${NODE_PID[second]}"
		kill -CONT "$FABRIC_PID"
		answer second 40 ECONNREFUSED # the network had ended
		leave first
		leave second
	done
done
stop_fabric
