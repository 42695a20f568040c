#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# names: what clients name is resolved as they would, holds nobody up, and is shown as what it is
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

ANSWER_S=5 # this machine may be busy; what hangs here hangs for ever
HANG=$IPN_TEST_TMP/hang
MINE=$IPN_TEST_TMP/mine # a directory of nobody's

# The processes that act as nobody
helpers()
{
	ps -eo pid=,uid=,comm= | awk '$2 == 65534 && $3 == "ipn-asuser" { print $1 }'
}

no_helpers()
{
	[ -z "$(helpers)" ]
}

# go_on WHAT: others are answered
go_on()
{
	timeout $ANSWER_S ipn-fabric show >/dev/null || fail "$1: no answer to show"
}

# his COMMAND...: as nobody, with the right to attach and no other
his()
{
	setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all,+net_admin \
		--ambient-caps=-all,+net_admin --bounding-set=-all,+net_admin -- "$@"
}

# late COMMAND...: fails, and others are answered meanwhile
late()
{
	local pid status=0

	(
		trap - ERR
		his timeout 20 "$@" >"$IPN_TEST_TMP/late" 2>&1
	) &
	pid=$!
	sleep 0.5
	go_on "$*"
	wait $pid || status=$?
	[ $status = 1 ] || fail "$*: status $status: $(cat "$IPN_TEST_TMP/late")"
	has "does not answer" <"$IPN_TEST_TMP/late" || fail "$*: $(cat "$IPN_TEST_TMP/late")"
}

labels()
{
	ipn-fabric net show --json | jq -r '.[].path' | sort
}

start_fabric
install -d -m 0755 -o 65534 -g 65534 "$MINE"

step "a label follows its inode: renames, removal, symbolic links"
ipn-fabric net add "$NETS/one"
mv "$NETS/one" "$NETS/two"
assert_eq "$NETS/two" "$(labels)" "after a rename"
ln -s "$NETS" "$IPN_TEST_TMP/link"
ipn-fabric net add "$IPN_TEST_TMP/link/three"
assert_eq "$NETS/three $NETS/two" "$(labels | tr '\n' ' ' | sed 's/ $//')" "by a symbolic link"
ln "$NETS/three" "$NETS/other"
rm "$NETS/three"
assert_eq "$NETS/three (deleted) $NETS/two" "$(labels | tr '\n' ' ' | sed 's/ $//')" "removed"
kill_fabric
start_fabric
assert_eq "$NETS/three (deleted) $NETS/two" "$(labels | tr '\n' ' ' | sed 's/ $//')" "restart"
ipn-fabric net del "$NETS/other"
mv "$NETS/two" "$NETS/one"
kill_fabric
mv "$NETS/one" "$NETS/two" # nobody looks
start_fabric
assert_eq "$NETS/two" "$(labels)" "renamed without a manager"

step "nothing in a label moves the reader's eye"
odd=$(printf 'a\nb\u202ec\u2028d\u0085e\xfff\e[1mg\u00e9')
ipn-fabric net add "$NETS/$odd"
ipn-fabric net show --json | jq -e . >/dev/null || fail "no JSON"
assert_eq "$NETS/a?b???c???d??e?f?[1mgé" "$(labels | grep -v two)" "label"
assert_eq 1 "$(ipn-fabric net show | grep -c 'a?b')" "lines"
ipn-fabric net del "$NETS/$odd"

step "another mount namespace: its label is no path of the host, its names are its own"
mkfifo "$IPN_TEST_TMP/end"
unshare -m --propagation private bash -c "
	mount -t tmpfs t /mnt
	ipn-fabric net add /mnt/lan --policy switch
	ipn-fabric attach /mnt/lan --vde /mnt/sw
	echo made
	read -r _ <'$IPN_TEST_TMP/end'" >"$IPN_TEST_TMP/there" 2>&1 &
there=$!
wait_until 20 grep -q '^made' "$IPN_TEST_TMP/there"
space=$(stat -L -c %i /proc/$there/ns/mnt)
assert_eq "mnt:[$space]/mnt/lan" "$(labels | grep -v two)" "label"
[ ! -e /mnt/sw ] || fail "the directory is on the host"
inside()
{
	nsenter -m -t $there -- "$@"
}
[ -S "/proc/$there/root/mnt/sw/ctl" ] || fail "the directory is not where it was asked for"
for manager in first next; do
	coproc CLIENT { inside vdeclient /mnt/sw; }
	echo "address" >&"${CLIENT[1]}"
	read -t 20 -r line <&"${CLIENT[0]}" || fail "no client comes in with the $manager manager"
	echo "quit" >&"${CLIENT[1]}"
	wait "$CLIENT_PID" || true
	[ $manager = next ] || { kill_fabric && start_fabric; }
	assert_eq "mnt:[$space]/mnt/lan" "$(labels | grep -v two)" "label, $manager manager"
done
inside ipn-fabric detach /mnt/lan --vde /mnt/sw
[ ! -e "/proc/$there/root/mnt/sw" ] || fail "the directory was left"
inside ipn-fabric net del /mnt/lan
echo >"$IPN_TEST_TMP/end"
wait $there

step "a helper that is killed is replaced, one that is stopped is given up"
as_nobody ipn-fabric net add "$MINE/lan" --policy switch
his ipn-fabric attach "$MINE/lan" --vde "$MINE/sw" >/dev/null
assert_eq 65534 "$(stat -c %u "$MINE/sw/ctl")" "owner of the socket"
for pid in $(helpers); do kill -KILL "$pid"; done
his ipn-fabric attach "$MINE/lan" --vde "$MINE/sw2" >/dev/null
for pid in $(helpers); do kill -STOP "$pid"; done
late ipn-fabric attach "$MINE/lan" --vde "$MINE/sw3"
his ipn-fabric attach "$MINE/lan" --vde "$MINE/sw3" >/dev/null
his ipn-fabric detach "$MINE/lan" --vde "$MINE/sw3" >/dev/null
[ ! -e "$MINE/sw3" ] || fail "the directory was left"

step "what others put in place of our files stays"
rm "$MINE/sw2/ctl"
echo other >"$MINE/sw2/ctl"
his ipn-fabric detach "$MINE/lan" --vde "$MINE/sw2" >/dev/null
assert_eq other "$(cat "$MINE/sw2/ctl")" "a file of somebody else"

step "a file system that never answers, at each place"
mkdir "$HANG"
attack hang "$HANG" >"$IPN_TEST_TMP/hang.out" &
hang=$!
wait_until 20 bash -c "grep -q ready '$IPN_TEST_TMP/hang.out' || ! kill -0 $hang"
if kill -0 $hang 2>/dev/null; then
	late ipn-fabric attach "$MINE/lan" --vde "$HANG/sw"
	late ipn-fabric attach "$MINE/lan" --unix "$HANG/sock"
	his ipn-fabric attach "$MINE/lan" --unix "$MINE/peer" --peer "$HANG/peer" >/dev/null
	go_on "a peer"
	name=$(printf %s "$HANG/me" | xxd -p | tr -d '\n')
	request=cefaedfe03000000000000000100$name$(printf '00%.0s' {1..108})
	request=${request:0:$((2 * (12 + 110)))}
	as_nobody timeout 20 vdeclient "$MINE/sw" raw "$request" >"$IPN_TEST_TMP/raw" &
	raw=$!
	sleep 0.5
	go_on "a client's own name"
	wait $raw || true
	assert_eq closed "$(cat "$IPN_TEST_TMP/raw")" "a client whose name is never found"
	# who asks goes away meanwhile
	his ipn-fabric attach "$MINE/lan" --vde "$HANG/gone" >/dev/null 2>&1 &
	gone=$!
	sleep 0.5
	kill -KILL $gone
	wait $gone 2>/dev/null || true
	go_on "a client that went"
	kill_fabric
	timeout 30 ipn-fabric up >/dev/null 2>"$IPN_TEST_TMP/up" ||
		fail "up: $(cat "$IPN_TEST_TMP/up")"
	go_on "the next manager"
	timeout 30 ipn-fabric down || fail "down does not end"
	printf '[network %s/lan]\npolicy = switch\n' "$HANG" >"$IPN_TEST_TMP/conf"
	status=0
	timeout 30 ipn-fabric up --config "$IPN_TEST_TMP/conf" 2>"$IPN_TEST_TMP/up" || status=$?
	assert_eq 1 $status "a configuration file that names a network there"
	kill -KILL $hang
	wait $hang 2>/dev/null || true
	wait_until 20 no_helpers
	start_fabric
fi

step "no manager and no fdstore: paths are looked up as by their owners"
as_nobody ipn-fabric net add "$MINE/again" 2>/dev/null || true
ipn-fabric net add "$NETS/again"
before=$(labels)
kill -STOP "$FABRIC_PID" # or it would start another
kill -KILL "$(ps -eo pid=,comm= | awk '$2 == "ipn-fdstore" { print $1 }')"
kill_fabric
start_fabric
assert_eq "$before" "$(labels)" "networks"

step "down removes what was made, and nothing that took its place"
rm "$NETS/again"
echo other >"$NETS/again"
stop_fabric
assert_eq other "$(cat "$NETS/again")" "a file of somebody else"
[ ! -e "$MINE/again" ] || fail "the path of a user's network is left"
