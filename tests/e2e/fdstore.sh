#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fdstore: clients of VDE stay connected over the death, restart and upgrade of the manager
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

TYPE=88b6
DATA=$(printf '5a%.0s' {1..50})
DIR=$IPN_TEST_TMP/sw
ALL=ffffffffffff
DELAY_MS=2000 # this machine may be busy
a=020000000001 b=020000000002 p=020000000003 c=020000000004

# closed NAME: the fabric ended its port
closed()
{
	tell "$1" stream
	[ "$OUT" = closed ]
}

steady_vde() # NAME [INTERVAL_US]
{
	# Room for what comes while this process waits for a CPU.
	sysctl -qw net.unix.max_dgram_qlen=4096
	vdeclient "$DIR" steady "$NETS/lan" "${2:-1000}" >"$IPN_TEST_TMP/.steady.$1" 2>&1 &
	STEADY_PID[$1]=$!
	wait_until 20 grep -q ready "$IPN_TEST_TMP/.steady.$1"
	sysctl -qw net.unix.max_dgram_qlen=64
}

fdstore()
{
	ps -eo pid=,comm= | awk '$2 == "ipn-fdstore" { print $1 }'
}

no_fdstore()
{
	[ -z "$(fdstore)" ]
}

fdstore_fds()
{
	find "/proc/$1/fd" -mindepth 1 2>/dev/null | wc -l
}

# keeps N: there is one fdstore, with N sockets. Beside those it has 3, its two own sockets, the
# inode of the network, and who opened the listener if there is one
keeps()
{
	[ "$(fdstore | wc -l)" = 1 ] && [ "$(fdstore_fds "$(fdstore)")" = $(($1 + 6 + ($1 > 0))) ]
}

dump() # MAP
{
	bpftool -j map dump pinned "$IPN_FABRIC_BPFFS/ipn-fabric/v1/$1"
}

# The policies of sockets, as numbers of programs
policies()
{
	dump pol_sk | jq -r '.[].formatted.value | select(. != 0)' | sort
}

quiet() # forgets what was flooded until here
{
	tell a "count 100"
	tell b "count 100"
	while tell ear "recvhex 100" && [ "$OUT" != EAGAIN ]; do :; done
}

talk() # that everything works: kernel, log, punt ring
{
	quiet
	tell a "send $b$a$TYPE$DATA" ok
	tell b "recv 20000" "$b$a$TYPE$DATA"
	tell b "send $p$b$TYPE$DATA" ok
	tell ear "recvhex 20000" "ok $p$b$TYPE$DATA"
	tell ear "sendhex $a$p$TYPE$DATA"
	tell a "recv 20000" "$a$p$TYPE$DATA"
}

sysctl -qw net.unix.max_dgram_qlen=64
start_fabric
ipn-fabric net add "$NETS/lan" --policy switch --pool 1024 --nodes 64
wait_until 20 keeps 0
objects() # all but what is shown
{
	snapshot | sed '/^{/d'
}
BEFORE=$(objects)
ipn-fabric attach "$NETS/lan" --vde "$DIR" --mode 0777 >/dev/null

step "an fdstore beside the manager, with each client's sockets"
wait_until 20 keeps 1
vde a -d "the first"
vde b -d second -p 7
node ear socket "connect $NETS/lan"
wait_until 20 keeps 5
assert_eq srw------- "$(stat -c %A "$IPN_FABRIC_RUN_DIR/fdstore")" "the fdstore's socket"
expect_status 1 as_nobody vdeclient "$IPN_FABRIC_RUN_DIR/fdstore" knock 00
assert_eq "Permission denied" "$OUT" "a stranger at the fdstore's socket"
tell a "send $ALL$a$TYPE$DATA" ok
tell b "recv 20000"
tell b "send $ALL$b$TYPE$DATA" ok
tell a "recv 20000"
tell ear "recvhex 20000"
tell ear "recvhex 20000"
tell ear "sendhex $ALL$p$TYPE$DATA"
tell a "recv 20000"
tell b "recv 20000"
talk

step "kill -9: between clients and to processes nothing is lost, and no client is thrown out"
steady_vde one
quiet
shown >"$IPN_TEST_TMP/shown"
OLD=$(policies)
FDSTORE=$(fdstore)
kill_fabric
assert_eq "$FDSTORE" "$(fdstore)" "the fdstore"
tell a "send $b$a$TYPE$DATA" ok
tell b "recv 20000" "$b$a$TYPE$DATA"
tell b "send $p$b$TYPE$DATA" ok
tell ear "recvhex 20000" "ok $p$b$TYPE$DATA"
start_fabric
diff "$IPN_TEST_TMP/shown" <(shown) || fail "not the same after the take-over"
assert_eq "the first" "$(ipn-fabric show --json "$NETS/lan" |
	jq -r '.ports[] | select(.port == 0) | .descr')"
assert_eq "$FDSTORE" "$(fdstore)" "the fdstore"
talk

step "they run through the policies of the new manager: the old programs are gone"
gone()
{
	local id

	for id in $OLD; do
		! bpftool prog show id "$id" >/dev/null 2>&1 || return 1
	done
}
[ -n "$OLD" ] || fail "no policies for sockets"
wait_until 20 gone
talk
steady_stop one $DELAY_MS

step "odd packets to the fdstore: closed, and nothing is lost"
ODD=$(printf '00%.0s' {1..200})
for odd in 00 6b6e7069 "6b6e706901000000$(printf '00%.0s' {1..192})" "$ODD" "$ODD$ODD"; do
	OUT=$(timeout "$(limit 30)" vdeclient "$IPN_FABRIC_RUN_DIR/fdstore" knock "$odd")
	assert_eq closed "$OUT" "$odd"
	wait_until 20 keeps 5
	talk
done
FDSTORE=$(fdstore)

step "what needs the manager meanwhile: kept for the next one, or dropped for want of room"
# What the manager finds is delivered when it is not older than 3 s, and here others may be busy.
emptied() # the ring has room again: what the manager found in it is done
{
	tell ear "sendhex $a$p$TYPE$DATA"
	tell a "recv 500"
	[ "$OUT" = "$a$p$TYPE$DATA" ]
}
renice -n -19 $$ >/dev/null
for _ in {1..20}; do
	quiet
	left=${EPOCHREALTIME/[.,]/}
	kill_fabric
	tell ear "sendhex $a$p$TYPE$DATA"
	tell a "recv 50" none
	tell a "fill $ALL $a 1500 600" 600
	start_fabric
	took=$((${EPOCHREALTIME/[.,]/} - left))
	[ $took -gt 2500000 ] || break
	echo "   $((took / 1000)) ms without a manager: once more"
	wait_until 20 emptied
done
renice -n 0 $$ >/dev/null
tell a "recv 20000" "$a$p$TYPE$DATA"
tell b "count 500 60"
[ "$OUT" -ge 60 ] || fail "of what was kept $OUT came"
[ "$(stat_of "$NETS/lan" 0 .drops.punt_full)" -gt 100 ] || fail "a full ring is not counted"
tell a "count 300"
talk

step "what is older than 3 s is not delivered any more"
kill_fabric
tell ear "sendhex $a$p$TYPE$DATA"
sleep 3.2 # that is what makes it old
start_fabric
tell a "recv 500" none
talk

step "who knocks while there is no manager is let in by the next one"
kill_fabric
talker c vdeclient "$DIR" -d third
start_fabric
answer c 60 in
wait_until 20 has_ports "$NETS/lan" 4
tell c "send $b$c$TYPE$DATA" ok
tell b "recv 20000" "$b$c$TYPE$DATA"
wait_until 20 keeps 7

step "the end of a client is noticed: by this manager, and by the next"
crash c
wait_until 20 has_ports "$NETS/lan" 3
wait_until 20 keeps 5
vde c
vde d
wait_until 20 keeps 9
kill_fabric
crash c
tell d bye ok
start_fabric
wait_until 20 has_ports "$NETS/lan" 3
wait_until 20 closed d
wait_until 20 keeps 5
crash d
assert_eq "000.0 007.1 ctl" "$(ls -A "$DIR" | tr '\n' ' ' | sed 's/ $//')" "files"

step "detach: the client sees the end at once, also when the fdstore does not answer"
vde c
wait_until 20 keeps 7
kill -STOP "$FDSTORE"
ipn-fabric detach "$NETS/lan" --port 2
closed c || fail "no end of the stream"
kill -CONT "$FDSTORE"
wait_until 20 keeps 5
crash c

step "an fdstore that does not read is replaced"
kill -STOP "$FDSTORE"
mkfifo "$IPN_TEST_TMP/crowd"
vdeclient "$DIR" crowd 40 <"$IPN_TEST_TMP/crowd" >"$IPN_TEST_TMP/crowd.out" 2>&1 &
CROWD=$!
exec {KEEP}>"$IPN_TEST_TMP/crowd"
for i in {1..60}; do # until its socket is full
	ipn-fabric attach "$NETS/lan" --vde "$DIR.$i" >/dev/null
	ipn-fabric detach "$NETS/lan" --vde "$DIR.$i"
	ipn-fabric attach "$NETS/lan" --vde "$DIR.$i" >/dev/null
	ipn-fabric detach "$NETS/lan" --vde "$DIR.$i"
done
wait_until 20 grep -q "40 in" "$IPN_TEST_TMP/crowd.out"
replaced()
{
	[ "$(fdstore)" != "$FDSTORE" ] && keeps 85
}
wait_until 20 replaced
kill $CROWD
exec {KEEP}>&-
wait $CROWD 2>/dev/null || true
wait_until 20 keeps 5

step "kill -9 of the fdstore: nobody notices, and the next one has everything"
steady_vde two
wait_until 20 keeps 9
FDSTORE=$(fdstore)
kill -KILL "$FDSTORE"
replaced()
{
	[ "$(fdstore)" != "$FDSTORE" ] && keeps 9
}
wait_until 20 replaced
kill_fabric
start_fabric
talk
steady_stop two $DELAY_MS
wait_until 20 keeps 5

step "kill -9 at any moment, under traffic, while clients come and go"
steady_vde three 500
come_and_go()
{
	local i

	for i in {1..1000}; do
		timeout "$(limit 30)" vdeclient "$DIR" crowd 3 </dev/null >/dev/null 2>&1 || true
	done
}
come_and_go &
GUESTS=$!
for _ in {1..20}; do
	sleep "0.$(printf %03d $((RANDOM % 200)))"
	kill_fabric
	start_fabric
done
kill $GUESTS
wait $GUESTS 2>/dev/null || true
wait_until 20 has_ports "$NETS/lan" 6
steady_stop three $DELAY_MS
wait_until 20 has_ports "$NETS/lan" 3
talk
wait_until 20 keeps 5
assert_eq "000.0 007.1 ctl" "$(ls -A "$DIR" | tr '\n' ' ' | sed 's/ $//')" "files"
assert_eq 2 "$(dump sk_ports | jq length)" "senders that are known"

step "an fdstore that nobody can find any more ends, and the ports with it"
vde lost
wait_until 20 keeps 7
kill_fabric
rm "$IPN_FABRIC_RUN_DIR/fdstore"
wait_until 20 no_fdstore
closed lost || fail "a client that belongs to nobody lives on"
crash lost
crash a
crash b
start_fabric
wait_until 20 has_ports "$NETS/lan" 1
vde a -d "the first"
vde b -d second -p 7
wait_until 20 keeps 5

step "kill -9 of both: the ports end, the listener is open again"
kill -KILL "$(fdstore)"
kill -KILL "$FABRIC_PID"
kill_fabric
closed a || fail "the port of a client lives on, held by nobody"
start_fabric
wait_until 20 has_ports "$NETS/lan" 1
assert_eq ctl "$(ls -A "$DIR")" "files"
crash a
crash b
vde a
vde b
tell a "send $ALL$a$TYPE$DATA" ok
tell b "recv 20000" "$ALL$a$TYPE$DATA"
wait_until 20 keeps 5

step "a network whose end was cut off: the rest goes, here and in the fdstore"
before=$(links)
ipn-fabric net add "$NETS/half" --policy switch
ipn-fabric attach "$NETS/half" --tap half0
wait_until 20 keeps 6
kill_fabric
# as the first step of `net del` leaves it
fast=$IPN_FABRIC_BPFFS/ipn-fabric/v1/net_fast
id=$(dump net_info | jq ".[].formatted | select(.value.path == \"$NETS/half\").key")
size=$(bpftool -j map show pinned "$fast" | jq .bytes_value)
mapfile -t none < <(yes 0 | head -n "$size")
bpftool map update pinned "$fast" key "$id" 0 0 0 value "${none[@]}"
start_fabric
wait_until 20 keeps 5
[ ! -e "$NETS/half" ] || fail "the path of a network that is none was left"
same_again "$before" "a network whose end was cut off" links

step "down ends it, with a manager or without"
leave ear
ipn-fabric detach "$NETS/lan" --vde "$DIR"
wait_until 20 keeps 0
wait_until 20 has_ports "$NETS/lan" 0
same_again "$BEFORE" "after detach" objects
crash a
crash b
ipn-fabric attach "$NETS/lan" --vde "$DIR" --mode 0777 >/dev/null
vde a
wait_until 20 keeps 3
kill_fabric
ipn-fabric down
no_fdstore || fail "down without a manager left the fdstore"
closed a || fail "down without a manager left a client"
crash a
[ ! -e "$DIR" ] || fail "$DIR was left behind"
start_fabric
ipn-fabric net add "$NETS/lan" --policy switch
ipn-fabric attach "$NETS/lan" --vde "$DIR" --mode 0777 >/dev/null
vde a
wait_until 20 keeps 3
stop_fabric
no_fdstore || fail "down left the fdstore"
closed a || fail "down left a client"
assert_eq "" "$(files "$IPN_FABRIC_RUN_DIR" "$IPN_FABRIC_BPFFS" "$NETS" |
	grep -v '\.debug$' || true)" "files"
