#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# attack: a user without rights holds nobody up: by descriptors that hang, by what it keeps
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

ANSWER_S=$(limit 5) # this machine may be busy; what hangs here hangs for a minute

start_fabric
umask 0
ipn-fabric net add "$NETS/quiet" --pool 512
steady_start quiet "$NETS/quiet"

# A bad attack must not hide the next ones.
BAD=0
complain()
{
	echo "FAILED: $*" >&2
	BAD=$((BAD + 1))
}

# attack_start ARGUMENT...: as nobody until attack_stop; what it says first is in OUT. Status 77:
# this world has not what it takes.
attack_start()
{
	: >"$IPN_TEST_TMP/attack"
	setpriv --reuid=65534 --regid=65534 --clear-groups -- attack "$@" >"$IPN_TEST_TMP/attack" &
	ATTACK=$!
	wait_until 60 ready_or_gone
	OUT=$(grep -v ready "$IPN_TEST_TMP/attack" || true)
	kill -0 $ATTACK 2>/dev/null && return 0
	STATUS=0
	wait $ATTACK || STATUS=$?
	[ $STATUS = 77 ] || complain "$*: status $STATUS"
	return 1
}

ready_or_gone()
{
	grep -q ready "$IPN_TEST_TMP/attack" || ! kill -0 $ATTACK 2>/dev/null
}

attack_stop()
{
	kill -KILL $ATTACK
	wait $ATTACK 2>/dev/null || true
}

# go_on WHAT: others are answered.
go_on()
{
	if ! timeout $ANSWER_S ipn-fabric show >/dev/null; then
		complain "$1: no answer to show"
		return 0
	fi
	[ "$(timeout $ANSWER_S ipncall socket "connect $NETS/quiet" close | tail -n 1)" = ok ] ||
		complain "$1: no way in"
}

step "descriptors whose close takes long"
for attack in linger flush; do
	for how in close many empty queue; do
		echo "   $attack $how"
		attack_start $attack $how || continue
		go_on "$attack $how"
		attack_stop
	done
done

step "the same at a VDE switch"
ipn-fabric net add "$NETS/vde" --policy switch
ipn-fabric attach "$NETS/vde" --vde "$NETS/vde.ctl" --mode 0777 >/dev/null
attack_start listener "$NETS/vde.ctl/ctl"
go_on "listener"
attack_stop

step "memory of networks that ended, while it is kept: counts for who made them"
mkdir "$NETS/hoard"
chown 65534 "$NETS/hoard"
attack_start hoard "$NETS/hoard/n" 40
read -r n why <<<"$OUT"
[ "$n" -lt 10 ] && [ "$why" = EDQUOT ] || complain "$n logs of 64 MiB kept: $why"
attack_stop
attack_start hoard "$NETS/hoard/n" 5
read -r n why <<<"$OUT"
[ "$n" = 5 ] || complain "what was let go counts still: $n $why"
attack_stop

step "a network on a file system that does not answer"
mkdir "$IPN_TEST_TMP/fuse"
attack fuse "$IPN_TEST_TMP/fuse" >"$IPN_TEST_TMP/fuse.out" &
fuse=$!
wait_until 20 bash -c "grep -q ready '$IPN_TEST_TMP/fuse.out' || ! kill -0 $fuse"
if kill -0 $fuse 2>/dev/null; then
	# the client itself asks nothing that is not answered
	attack_start net "$IPN_TEST_TMP/fuse/net"
	assert_eq EOPNOTSUPP "$OUT" "network on FUSE"
	attack_stop
	as_nobody timeout "$(limit 60)" ipn-fabric net show >/dev/null ||
		complain "network on FUSE: no answer to net show"
	go_on "network on FUSE"
	kill -KILL $fuse
	wait $fuse 2>/dev/null || true
fi

step "monitors, and overruns that never were"
attack_start monitors 2000
[ "$OUT" = "16 EDQUOT" ] || complain "monitors of one user: $OUT"
monitors=$ATTACK
as_nobody ipn-fabric net add "$NETS/wide" --nodes 500
attack_start overruns "$NETS/wide" 500
sleep 2 # they are looked for once a second
go_on "overruns"
attack_stop
ATTACK=$monitors
attack_stop

step "200 sessions that keep the manager busy: others come first"
attack_start busy "$NETS/hoard/busy" 200
best=9999
for _ in 1 2 3 4 5; do
	t=${EPOCHREALTIME/[.,]/}
	go_on "busy"
	ms=$(((${EPOCHREALTIME/[.,]/} - t) / 1000))
	[ $ms -ge $best ] || best=$ms
done
echo "   answers after $best ms" # in turn with the others it would be seconds
[ $best -lt "$(limit 1000)" ] || complain "busy: answers after $best ms"
attack_stop

steady_stop quiet 5000

step "down: a path that leads elsewhere meanwhile"
mkdir "$NETS/flip" "$NETS/flip/victim"
chown 65534 "$NETS/flip"
touch "$NETS/flip/victim/n"{0..49}
attack_start flip "$NETS/flip" 50
stop_fabric
attack_stop
assert_eq 50 "$(find "$NETS/flip/victim" -type f | wc -l)" "files of others"
[ $BAD = 0 ] || fail "$BAD attacks"
