#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lossless: nothing is lost; a full pool stops senders, and whoever makes room wakes them
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

start_fabric
for pool in 1 4 8 64; do
	ipn-fabric net add "$NETS/$pool" --lossless --pool $pool --nodes 64
done
ipn-fabric policy load "$IPN_BUILD/examples/queue.bpf.o" --number 10 --name queue
expect_err "built-in" ipn-fabric net add "$NETS/queue" --policy queue --lossless
for pool in 1 4 8 64; do
	ipn-fabric net add "$NETS/lan$pool" --policy switch --lossless --pool $pool --nodes 64
done
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
	wait_until 20 asleep "${NODE_PID[$1]}"
}
step "a sleeping sender is woken: by a reader"
tell mouth "shutdown rd"
node loud "socket 1" "shutdown rd" "connect $NETS/4"
fill
tell ear "recvall 20" "ok 0 1 2 3"
blocked loud "send hello"
tell slow "recv 100"
answer loud 40 "ok 5"
tell ear "recv 20000" "ok hello"
blocked loud "send again"
blocked mouth "events 20000 out"
tell slow "recv 100"
answer loud 40 "ok 5"
tell slow "recvall 20"
answer mouth 40 "ok out"
tell ear "recvall 20"

step "by one that shuts its receive side down, dies, is detached"
fill
tell ear "recvall 20"
blocked loud "send one"
tell slow "shutdown rd"
answer loud 40 "ok 3"
tell ear "recvall 20" "ok one"
node third "socket 1" "connect $NETS/4"
fill
tell ear "recvall 20"
blocked loud "send two"
crash third
answer loud 40 "ok 3"
tell ear "recvall 20"
node third "socket 1" "connect $NETS/4"
fill
tell ear "recvall 20"
blocked loud "send three"
ipn-fabric detach "$NETS/4" --port "$(ipn-fabric show "$NETS/4" --json |
	jq ".ports[] | select(.pid == ${NODE_PID[third]}) | .port")"
answer loud 40 "ok 5"
tell ear "recvall 20"

step "by one that died while no manager was there, when there is one again"
node third "socket 1" "connect $NETS/4"
fill
tell ear "recvall 20"
blocked loud "send four"
kill_fabric
crash third
start_fabric
answer loud 40 "ok 4"
tell ear "recvall 20"

step "by the end of its own port: ECONNRESET"
node third "socket 1" "connect $NETS/4"
fill
blocked loud "send five"
ipn-fabric detach "$NETS/4" --port "$(ipn-fabric show "$NETS/4" --json |
	jq ".ports[] | select(.pid == ${NODE_PID[loud]}) | .port")"
answer loud 40 ECONNRESET

step "a device cannot wait: what finds the pool full is counted"
container box
ipn-fabric net add "$NETS/dev" --lossless --pool 4
ipn-fabric attach "$NETS/dev" --veth eth0:box >/dev/null
node last "socket 1" "connect $NETS/dev"
in_netns box frames inject eth0 ffffffffffff02000000000188b6414243 10
assert_eq 6 "$(stat_of "$NETS/dev" 0 .drops.pool)" "dropped for want of room"
tell last "recvlen 100" "ok 17"
tell last overruns "ok 0"

step "a switch: what is for one waits in its own log, and holds up only who sends to it"
LAN=$NETS/lan4
# station NAME ADDRESS: joins, and the switch knows it
station()
{
	node "$1" "socket 2" "connect $LAN"
	tell "$1" "send zzzzzz$2xx" "ok 14"
	tell alpha "recvall 20"
	tell beta "recvall 20"
}
node alpha "socket 2 nonblock" "connect $LAN"
node beta "socket 2" "connect $LAN"
node voice "socket 2" "shutdown rd" "connect $LAN"
tell beta "send zzzzzzddddddxx" "ok 14"
tell alpha "recv 100" "ok zzzzzzddddddxx"
station slow ffffff
for i in 1 2 3 4; do
	tell alpha "events 0" "ok out"
	tell alpha "send ffffffbbbbbbxx$i" "ok 15"
done
tell alpha "send ffffffbbbbbbxx5" EAGAIN
tell alpha "events 0" ok
tell alpha "send ddddddbbbbbbxx1" "ok 15"
tell alpha "events 0" "ok out"
tell alpha "send zzzzzzbbbbbbxx2" "ok 15"
tell alpha "send ffffffbbbbbbxx5" EAGAIN
tell slow "recv 100" "ok ffffffbbbbbbxx1"
tell alpha "events 0" "ok out"
tell alpha "send ffffffbbbbbbxx5" "ok 15"
tell slow "recvall 20" "ok$(printf ' ffffffbbbbbbxx%d' 2 3 4 5) zzzzzzbbbbbbxx2"
tell beta "recvall 20" "ok ddddddbbbbbbxx1 zzzzzzbbbbbbxx2"

# The own log of `slow` is full, and voice sleeps until there is room in it.
fill_slow()
{
	local i

	for i in 1 2 3 4; do
		tell alpha "send ffffffbbbbbbxx$i" "ok 15"
	done
	blocked voice "send ffffffhhhhhhxx$1"
}
step "who sleeps for it is woken: by its reader, by its shutdown, death, detachment"
fill_slow read
tell alpha "events 0" "ok out" # it was not refused: there is room, as far as it knows
tell slow "recv 100" "ok ffffffbbbbbbxx1"
answer voice 40 "ok 18"
tell slow "recvall 20" "ok$(printf ' ffffffbbbbbbxx%s' 2 3 4) ffffffhhhhhhxxread"
fill_slow poll
tell alpha "send ffffffbbbbbbxx5" EAGAIN
blocked alpha "events 20000 out"
for i in 1 2 3; do # room for both
	tell slow "recv 100" "ok ffffffbbbbbbxx$i"
done
answer voice 40 "ok 18"
answer alpha 40 "ok out"
tell slow "recvall 20"
fill_slow shut
tell slow "shutdown rd"
answer voice 40 "ok 18" # to nobody
leave slow
for how in crash detach restart; do
	station slow ffffff
	fill_slow $how
	case $how in
	crash) crash slow ;;
	detach)
		ipn-fabric detach "$LAN" --port "$(ipn-fabric show "$LAN" --json |
			jq ".ports[] | select(.pid == ${NODE_PID[slow]}) | .port")"
		;;
	restart)
		kill_fabric
		crash slow
		start_fabric
		;;
	esac
	answer voice 40 "ok $((14 + ${#how}))" # a flood now: nobody knows where it is
	tell beta "recvall 20" "ok ffffffhhhhhhxx$how"
	tell alpha "recvall 20" "ok ffffffhhhhhhxx$how"
	[ $how != detach ] || leave slow
done

step "a device cannot wait on a switch, either"
container lan
station slow ffffff
ipn-fabric attach "$LAN" --veth eth0:lan >/dev/null
port=$(ipn-fabric show "$LAN" --json | jq '.ports[] | select(.kind == "veth") | .port')
in_netns lan frames inject eth0 66666666666602000000000188b6414243 10
assert_eq 6 "$(stat_of "$LAN" "$port" .drops.pool)" "dropped for want of room"
tell slow "recvall 20"
tell slow overruns "ok 0"

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

step "the same on a switch, to one and to all"
for load in "1 1 1 3000 0 0" "1 8 4 300 0 4" "8 8 16 300 200 0" "8 8 16 300 200 6" \
	"64 4 8 5000 100 6"; do
	read -r pool rest <<<"$load"
	# shellcheck disable=SC2086
	read -r rate stalls kills < <(pool "$NETS/lan$pool" $rest switch) || fail "pool $load"
	echo "   pool $load: $rate messages/s, $kills killed"
	assert_eq 0 "$stalls" "pool $load: lost wakeups"
	[ "$rate" -gt 0 ] || fail "pool $load"
done

stop_fabric
