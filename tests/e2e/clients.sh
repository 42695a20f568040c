#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# hostile_clients: whatever a client does, others and the manager go on, and nothing of it is left
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

# This machine may be busy: a new process alone can take a second to run.
DELAY_MS=2000
ANSWER_S=$(limit 10)

start_fabric
umask 0
ipn-fabric net add "$NETS/lan" --policy switch --pool 512
ipn-fabric net add "$NETS/hub" --pool 512
ipn-fabric net add "$NETS/quiet" --nodes 64
chmod 755 "$NETS" # all may use the networks, none may make any

# Another fabric, for descriptors that lead to its networks.
mkdir "$IPN_TEST_TMP/run2" "$IPN_TEST_TMP/bpf2" && chmod 755 "$IPN_TEST_TMP/run2"
mount -t bpf bpf "$IPN_TEST_TMP/bpf2"
ipn-fabric --run-dir "$IPN_TEST_TMP/run2" --bpffs "$IPN_TEST_TMP/bpf2" up
ipn-fabric --run-dir "$IPN_TEST_TMP/run2" net add "$NETS/foreign"

# A bad attack must not hide the next ones.
BAD=0
complain()
{
	echo "FAILED: $*" >&2
	BAD=$((BAD + 1))
}

steady_start lan "$NETS/lan"
steady_start hub "$NETS/hub"
steady_start quiet "$NETS/quiet"
fds=$(still_fds)
fds_what=$(manager_fds_what)
before=$(still)

answers_fast()
{
	timeout $ANSWER_S ipn-fabric show >/dev/null ||
		fail "no answer to show within $ANSWER_S s ($1)"
}

# All is as it was before the first attack.
settled()
{
	[ "$before" = "$(snapshot)" ] && [ "$(manager_fds)" = "$fds" ]
}

all_well() # WHAT
{
	answers_fast "$1"
	wait_until 20 settled_or_say
}

settled_or_say()
{
	settled || {
		diff <(echo "$before") <(snapshot) || true
		echo "descriptors of the manager: $fds before, $(manager_fds) now"
		diff <(echo "$fds_what") <(manager_fds_what) || true
		return 1
	}
}

attack() # ARGUMENT...: as nobody, until it ends
{
	setpriv --reuid=65534 --regid=65534 --clear-groups -- timeout "$(limit 60)" hostile "$@"
}

# attack_start ARGUMENT...: goes on until attack_stop; what it says first is in OUT.
attack_start()
{
	: >"$IPN_TEST_TMP/attack"
	setpriv --reuid=65534 --regid=65534 --clear-groups -- hostile "$@" >"$IPN_TEST_TMP/attack" &
	ATTACK=$!
	wait_until 20 grep -q ready "$IPN_TEST_TMP/attack"
	OUT=$(grep -v ready "$IPN_TEST_TMP/attack" || true)
}

attack_stop()
{
	kill -KILL "$ATTACK"
	wait "$ATTACK" 2>/dev/null || true
}

step "garbage: random packets"
attack garbage 3000
all_well garbage

step "wrong headers, lengths, versions, requests"
attack headers
all_well headers

step "wrong descriptors, too many, none; another fabric's network"
attack fds "$NETS/quiet" "$NETS/foreign" || complain "wrong descriptors"
hostile fds "$NETS/quiet" "$NETS/foreign" || complain "wrong descriptors, with all rights"
all_well fds

step "requests whose replies nobody reads"
attack flood 3 &
flood=$!
for _ in {1..10}; do
	answers_fast flood
	sleep 0.2
done
wait $flood || fail "flood"
all_well flood

step "1500 connections that say nothing"
attack_start idle 1500
answers_fast idle
node n socket "connect $NETS/quiet"
leave n
attack_stop
all_well idle

step "more connections than one user may have: the next is turned away, others are not"
attack_start idle 2048
OUT=$(setpriv --reuid=65534 --regid=65534 --clear-groups -- ipncall socket "connect $NETS/quiet")
[ "$OUT" = $'ok\nENETDOWN' ] || [ "$OUT" = ENETDOWN ] || fail "2049th connection: $OUT"
calls "ok ok" socket "connect $NETS/quiet"
attack_stop
all_well "more idle"

step "dies between any two steps of joining"
for round in {1..5}; do
	for at in 1 2 3 4 5 6 7; do
		(attack die "$NETS/quiet" $at) 2>/dev/null || true
	done
done
all_well die

step "many joins and deaths at once"
dead=()
for round in {1..5}; do
	for at in 2 3 4 5 2 3 4 5; do
		(attack die "$NETS/quiet" $at) 2>/dev/null &
		dead+=($!)
	done
	answers_fast "many deaths"
done
wait "${dead[@]}" || true
all_well "many deaths"

step "frames to the tap that libipn never writes: counted, and nobody gets one"
node ear socket "connect $NETS/quiet"
attack_start frames "$NETS/quiet"
read -r port written <<<"$OUT"
[ "$(stat_of "$NETS/quiet" "$port" .drops.bad_frame)" -ge $((written - 2)) ] ||
	fail "$written bad frames written, counted: $(stat_of "$NETS/quiet" "$port" .drops)"
[ "$(stat_of "$NETS/quiet" "$port" .drops.mtu)" -ge 1 ] || fail "a frame longer than the MTU"
assert_eq 0 "$(stat_of "$NETS/quiet" "$port" .in_packets)" "messages taken from bad frames"
attack_stop
leave ear
all_well frames

step "scribbles over its page and its bell; cannot write what is not its own"
attack_start scribble "$NETS/quiet"
ipn-fabric stats --json >/dev/null
answers_fast scribble
node n socket "connect $NETS/quiet"
node m socket "connect $NETS/quiet"
tell n "send hello" "ok 5"
attack_stop
leave n
leave m
all_well scribble

step "ends its session and keeps the tap: it is out"
attack_start keep "$NETS/quiet"
port=$OUT
wait_until 20 has_ports "$NETS/quiet" 2
answers_fast keep
attack_stop
all_well keep

step "makes its tap persistent and dies"
attack persist "$NETS/quiet" 2>/dev/null || true
all_well persist

step "meddles with its interface"
attack_start meddle "$NETS/quiet"
echo "$OUT" | sed 's/^/   /'
for no in down mtu; do
	grep -q "^$no: E" <<<"$OUT" ||
		fail "an unprivileged client could change its interface: $OUT"
done
answers_fast meddle
attack_stop
all_well meddle

step "the privileged do it: down, another address"
hostile meddle "$NETS/quiet" >"$IPN_TEST_TMP/attack" &
ATTACK=$!
wait_until 20 grep -q ready "$IPN_TEST_TMP/attack"
answers_fast "meddle as root"
attack_stop
all_well "meddle as root"

step "all the while the others lost nothing"
steady_stop lan $DELAY_MS
steady_stop hub $DELAY_MS
ipn-fabric --run-dir "$IPN_TEST_TMP/run2" --bpffs "$IPN_TEST_TMP/bpf2" down
stop_fabric
[ $BAD = 0 ] || fail "$BAD attacks"
