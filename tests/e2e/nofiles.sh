#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# nofiles: without descriptors, here or in the manager, calls fail with EMFILE and leave nothing
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

step "up, with too few of them for each of its steps: nothing is left"
BEFORE=$(links)
for n in 10 34 58 94 130 178 202 214 250; do
	expect_err "up: " prlimit --nofile="$n:$n" ipn-fabric up
	assert_eq "" "$(files "$IPN_FABRIC_RUN_DIR" "$IPN_FABRIC_BPFFS" |
		grep -v '\.debug$' || true)" "files after up with $n descriptors"
	same "$BEFORE" "$(links)" "up with $n descriptors"
done

step "a client: each call fails as a whole, whichever descriptor is the one too many"
start_fabric
ipn-fabric net add "$NETS/lan" --policy switch
ipn-fabric net add "$NETS/hub"
before=$(still)
fds=$(still_fds)
quiet()
{
	[ "$before" = "$(snapshot)" ] && [ "$fds" = "$(manager_fds)" ]
}
seen=
for n in {4..24}; do
	OUT=$(bash -c "ulimit -n $n; exec ipncall socket 'connect $NETS/lan' 'send x'" \
		2>&1 </dev/null) || true
	OUT=${OUT//$'\n'/ }
	case $OUT in
	"EMFILE"* | "ok EMFILE"* | "ok ok ok"* | *"Too many open files"*) ;;
	*) fail "with $n descriptors: $OUT" ;;
	esac
	seen+="$OUT;"
done
[[ $seen == *"ok EMFILE"* && $seen == *"ok ok ok"* ]] || fail "not all was seen: $seen"
wait_until 20 quiet
for n in {4..24}; do
	OUT=$(bash -c "ulimit -n $n; exec ipn-fabric net show $NETS/hub" 2>&1 </dev/null) ||
		[[ $OUT == *"oo many open files"* ]] || fail "net show with $n descriptors: $OUT"
done
stop_fabric

step "the manager: who comes is refused, who is there goes on, and it recovers"
start_fabric
ipn-fabric net add "$NETS/lan" --nodes 200
node one socket "connect $NETS/lan"
node two socket "connect $NETS/lan"
names=()
prlimit --pid "$FABRIC_PID" --nofile=$(($(manager_fds) + 100)) # from now on
refused=
for i in {1..150}; do
	node "n$i" || true
	names+=("n$i")
	tell "n$i" socket
	if [ "$OUT" = ok ]; then
		tell "n$i" "connect $NETS/lan"
		[ "$OUT" = ok ] && continue
	fi
	refused=$OUT
	break
done
[[ $refused == EMFILE || $refused == ENETDOWN ]] || fail "the last was answered: $refused"
echo "   ${#names[@]} joined, then: $refused"
tell one "send hello" "ok 5"
tell two "recv 20000" "ok hello"
for n in "${names[@]}"; do
	leave "$n"
done
wait_until 20 has_ports "$NETS/lan" 2
node again socket "connect $NETS/lan"
leave again
leave one
leave two
stop_fabric
