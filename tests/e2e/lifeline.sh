#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lifeline: what a socket keeps ends with its descriptor, not with a process or a manager
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

start_fabric
ipn-fabric net add "$NETS/bus" --pool 64
ipn-fabric net add "$NETS/lan" --policy switch

live() # NAME: there is a network of that name
{
	ipn-fabric net show --json | jq -e --arg p "$NETS/$1" 'any(.[]; .path == $p)' >/dev/null
}
dead()
{
	! live "$1"
}
there()
{
	ip link show "$1" >/dev/null 2>&1
}
not_there()
{
	! there "$1"
}

step "bytes past the library are refused, and the node goes on"
node ear "socket 1" "connect $NETS/bus"
node mouth "socket 1"
tell mouth "raw x" EPIPE
tell mouth "connect $NETS/bus" ok
for i in 1 2 3; do
	tell mouth "raw x" EPIPE
	tell mouth rawread EAGAIN
	tell mouth "send m$i" "ok 2"
	tell ear "recv 10000" "ok m$i"
done
tell mouth "get port" "ok 1"

step "close(2) past the library: the node leaves"
tell mouth rawclose ok
wait_until 20 has_ports "$NETS/bus" 1
leave mouth
leave ear

step "a network made by bind lives with the descriptor: over children, over managers"
node maker "socket 1" "bind $NETS/own"
tell maker fork
child=${OUT#ok }
wait "${NODE_PID[maker]}"
live own || fail "it ended with the process that made it, though a child has the socket"
for _ in 1 2; do
	kill_fabric
	start_fabric
	live own || fail "it ended with the manager"
	calls "ok ok ok" "socket 1" "connect $NETS/own" close
done
kill -KILL "$child"
wait_until 20 dead own
[ -e "$NETS/own" ] || fail "the path of a socket is nobody's to remove"
rm "$NETS/own"
_node_close maker

step "the same when it ends while there is no manager"
node maker "socket 1" "bind $NETS/own"
kill_fabric
crash maker
start_fabric
wait_until 20 dead own
rm "$NETS/own"

step "bound again by itself, and connected, after a restart: one network, counted once"
node maker "socket 1" "bind $NETS/own"
kill_fabric
start_fabric
tell maker connect ok
tell maker "set change 5" ok
assert_eq 5 "$(ipn-fabric net show --json "$NETS/own" | jq '.[0].nodes')" "number of ports"
kill_fabric
start_fabric
tell maker "set change 6" ok
leave maker
wait_until 20 dead own
rm "$NETS/own"

step "an interface made by ioctl: over a daemon's fork, over managers, and not longer"
node maker "socket 2" "bind $NETS/lan" "conn tap kt0"
tell maker fork
child=${OUT#ok }
kill_fabric
start_fabric
kill_fabric
start_fabric
there kt0 || fail "the interface ended though a daemon has its socket"
has_ports "$NETS/lan" 1 || fail "its port is gone"
calls "ok ok EADDRNOTAVAIL" "socket 2" "bind $NETS/lan" "join kt0"
kill -KILL "$child"
wait_until 20 not_there kt0
wait_until 20 has_ports "$NETS/lan" 0
_node_close maker

step "the same for an interface that was grabbed"
ip link add card type veth peer name wire
node maker "socket 2" "bind $NETS/lan" "conn grab card"
tell maker fork
child=${OUT#ok }
kill_fabric
start_fabric
has_ports "$NETS/lan" 1 || fail "it was given back though a daemon has its socket"
kill -KILL "$child"
wait_until 20 has_ports "$NETS/lan" 0
there card || fail "the card is gone"
_node_close maker

step "it comes back to its own socket after a restart, and can be kept"
node maker "socket 2" "bind $NETS/lan" "conn tap kt0"
kill_fabric
start_fabric
tell maker "persist 1" ok
leave maker
there kt0 || fail "it is persistent, and went"
calls "ok ok" socket "persistdev 0 kt0"
wait_until 20 not_there kt0

step "both the manager and the fdstore die: what sockets kept without a port ends, and says so"
node maker "socket 1" "bind $NETS/own"
kill -KILL "$(pgrep -x ipn-fdstore)" "$FABRIC_PID"
_wait_gone "$FABRIC_PID" 20
start_fabric
wait_until 20 dead own
tell maker connect ECONNREFUSED
leave maker
rm "$NETS/own"

step "nothing is left of them"
calls "ok ok ok" "socket 1" "bind $NETS/own" close
wait_until 20 dead own
rm "$NETS/own"
idle()
{
	[ "$(ipn-fabric quota show --json |
		jq '[.[] | select(.user == 0 and .what == "sessions")][0].used')" = 1 ]
}
wait_until 20 idle
