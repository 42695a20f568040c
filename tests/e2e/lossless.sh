#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lossless: nothing is lost; a full pool stops senders, and whoever makes room wakes them
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 # no chatter
start_fabric
for pool in 1 4 8 64; do
	ipn-fabric net add "$NETS/$pool" --lossless --pool $pool --nodes 64
done
expect_err "broadcast only" ipn-fabric net add "$NETS/lan" --policy switch --lossless
assert_eq true "$(ipn-fabric net show "$NETS/4" --json | jq '.[0].lossless')" "lossless"

step "a full pool: EAGAIN, no POLLOUT; room again when the slowest reader moves"
node mouth "socket 1 nonblock" "connect $NETS/4"
node ear "socket 1" "connect $NETS/4"
node slow "socket 1" "connect $NETS/4"
for i in 1 2 3 4; do
	tell mouth "events 0" "ok out"
	tell mouth "send m$i" "ok 2"
done
tell mouth "events 0" "ok"
tell mouth "send m5" EAGAIN
tell ear "recv 100" "ok m1"
tell ear "recv 100" "ok m2"
tell mouth "send m5" EAGAIN
tell slow "recv 100" "ok m1"
tell mouth "events 0" "ok out"
tell mouth "send m5" "ok 2"
tell mouth "send m6" EAGAIN
tell ear "recvall 20" "ok m3 m4 m5"
tell slow "recvall 20" "ok m2 m3 m4 m5"
tell slow overruns "ok 0"
assert_eq 5 "$(stat_of "$NETS/4" 0 .in_packets)" "messages taken"

step "own messages do not count, however many"
for i in {1..70}; do
	tell mouth "send x" "ok 1"
	tell ear "recv 100" "ok x"
	tell slow "recv 100" "ok x"
done
tell ear "send y" "ok 1"
tell mouth "recv 100" "ok y"
tell mouth overruns "ok 0"
tell slow "recv 100" "ok y"

# The sender sleeps in send(), and in poll(), until one of these makes room.
fill()
{
	tell mouth "sendmany 4" ok
	tell mouth "send z" EAGAIN
}
blocked() # NAME CALL
{
	ask "$1" "$2"
	wait_until 5 asleep "${NODE_PID[$1]}"
}
step "a sleeping sender is woken: by a reader"
tell mouth "shutdown rd"
node loud "socket 1" "shutdown rd" "connect $NETS/4"
fill
tell ear "recvall 20" "ok 0 1 2 3"
blocked loud "send hello"
tell slow "recv 100"
answer loud 5 "ok 5"
tell ear "recv 1000" "ok hello"
blocked loud "send again"
blocked mouth "events 20000 out"
tell slow "recv 100"
answer loud 5 "ok 5"
tell slow "recvall 20"
answer mouth 5 "ok out"
tell ear "recvall 20"

step "by one that shuts its receive side down, dies, is detached"
fill
tell ear "recvall 20"
blocked loud "send one"
tell slow "shutdown rd"
answer loud 5 "ok 3"
tell ear "recvall 20" "ok one"
node third "socket 1" "connect $NETS/4"
fill
tell ear "recvall 20"
blocked loud "send two"
crash third
answer loud 5 "ok 3"
tell ear "recvall 20"
node third "socket 1" "connect $NETS/4"
fill
tell ear "recvall 20"
blocked loud "send three"
ipn-fabric detach "$NETS/4" --port "$(ipn-fabric show "$NETS/4" --json |
	jq ".ports[] | select(.pid == ${NODE_PID[third]}) | .port")"
answer loud 5 "ok 5"
tell ear "recvall 20"

step "by one that died while no manager was there, when there is one again"
node third "socket 1" "connect $NETS/4"
fill
tell ear "recvall 20"
blocked loud "send four"
kill_fabric
crash third
start_fabric
answer loud 5 "ok 4"
tell ear "recvall 20"

step "by the end of its own port: ECONNRESET"
node third "socket 1" "connect $NETS/4"
fill
blocked loud "send five"
ipn-fabric detach "$NETS/4" --port "$(ipn-fabric show "$NETS/4" --json |
	jq ".ports[] | select(.pid == ${NODE_PID[loud]}) | .port")"
answer loud 5 ECONNRESET

step "a device cannot wait: what finds the pool full is counted"
container box
ipn-fabric net add "$NETS/dev" --lossless --pool 4
ipn-fabric attach "$NETS/dev" --veth eth0:box >/dev/null
node last "socket 1" "connect $NETS/dev"
in_netns box frames inject eth0 ffffffffffff02000000000188b6414243 10
assert_eq 6 "$(stat_of "$NETS/dev" 0 .drops.pool)" "dropped for want of room"
tell last "recvlen 100" "ok 17"
tell last overruns "ok 0"

step "senders and readers by the dozen, one slow, some killed: nothing lost, doubled, out of order"
for load in "1 1 1 5000 0 0" "1 8 4 500 0 4" "8 8 16 300 200 0" "8 8 16 300 200 6" \
	"64 4 8 5000 100 6"; do
	read -r pool rest <<<"$load"
	# shellcheck disable=SC2086
	read -r rate stalls kills < <(pool "$NETS/$pool" $rest) || fail "pool $load"
	echo "   pool $load: $rate messages/s, $kills killed"
	assert_eq 0 "$stalls" "pool $load: lost wakeups"
	[ "$rate" -gt 0 ] || fail "pool $load"
done

stop_fabric
