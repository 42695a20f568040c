#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# paths: a network whose path is removed, moved or replaced is shown, found and removed as it is
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

start_fabric
NOBODY=(as_nobody "$IPN_BUILD/ipn-fabric")

shown() # TEXT: a network is shown by that
{
	ipn-fabric net show --json | jq -e --arg p "$1" 'any(.[]; .path == $p)' >/dev/null
}
id_of()
{
	ipn-fabric net show --json | jq --arg p "$1" '.[] | select(.path == $p).id'
}
nets()
{
	ipn-fabric net show --json | jq length
}
none()
{
	[ "$(nets)" = 0 ]
}

step "removed, and nobody is in: it ends, and counts no more"
for _ in 1 2 3; do
	"${NOBODY[@]}" net add "$NETS/a"
	rm "$NETS/a"
	wait_until 10 none
done
[ "$("${NOBODY[@]}" quota show --json |
	jq '[.[] | select(.what == "networks")] | length')" = 0 ] || fail "it counts still"

step "the same while there is no manager"
ipn-fabric net add "$NETS/a"
kill_fabric
rm "$NETS/a"
start_fabric
wait_until 10 none

step "removed, and somebody is in: it is shown, and ends with him"
ipn-fabric net add "$NETS/a"
node in "socket 1" "connect $NETS/a"
rm "$NETS/a"
wait_until 10 shown "$NETS/a (deleted)"
tell in "send x" "ok 1"
kill_fabric
start_fabric
shown "$NETS/a (deleted)" || fail "not there after a restart"
leave in
wait_until 10 none

step "removed by the path that it had, or by number; by who manages it"
ipn-fabric net add "$NETS/a"
node in "socket 1" "connect $NETS/a"
rm "$NETS/a"
wait_until 10 shown "$NETS/a (deleted)"
expect_err "no such file" "${NOBODY[@]}" net del "$NETS/b"
expect_err "may not remove" "${NOBODY[@]}" net del "$NETS/a"
expect_err "may not remove" "${NOBODY[@]}" net del --id "$(id_of "$NETS/a (deleted)")"
ipn-fabric net del "$NETS/a"
none || fail "it is there still"
tell in "send x" ECONNRESET
leave in

step "removed while there is neither a manager nor an fdstore: the same"
"${NOBODY[@]}" net add "$NETS/a"
node in "socket 1" "connect $NETS/a"
kill -KILL "$(pgrep -x ipn-fdstore)"
kill_fabric
rm "$NETS/a"
start_fabric
shown "$NETS/a (deleted)" || fail "a network that nobody can name is shown as if one could"
"${NOBODY[@]}" net del "$NETS/a"
none || fail "it is there still"
leave in

step "two that had one path: only by number"
for name in one two; do
	"${NOBODY[@]}" net add "$NETS/a"
	node $name "socket 1" "connect $NETS/a"
	rm "$NETS/a"
	wait_until 10 shown "$NETS/a (deleted)"
done
expect_err "2 networks had this path" ipn-fabric net del "$NETS/a"
for id in $(id_of "$NETS/a (deleted)"); do
	"${NOBODY[@]}" net del --id "$id"
done
none || fail "they are there still"
leave one
leave two
expect_err "there is no network 7" ipn-fabric net del --id 7
expect_status 2 ipn-fabric net del
expect_status 2 ipn-fabric net del "$NETS/a" --id 1

step "by number with a path: the path goes, too, as its owner would remove it"
ipn-fabric net add "$NETS/a"
ipn-fabric net add "$NETS/b" --mode 0700
expect_err "there is no network" "${NOBODY[@]}" net del --id "$(id_of "$NETS/b")"
ipn-fabric net del --id "$(id_of "$NETS/a")"
[ ! -e "$NETS/a" ] || fail "its path is there still when the command ends"
ipn-fabric net del "$NETS/b"

step "renamed: found at its new place, also over a restart; monitors follow"
ipn-fabric net add "$NETS/a"
ipn-fabric monitor --json "$NETS/a" >"$IPN_TEST_TMP/monitor" &
monitor=$!
told()
{
	jq -e -s "any(.[]; $1)" "$IPN_TEST_TMP/monitor" >/dev/null
}
until_told()
{
	calls "ok ok ok" "socket 1" "connect $NETS/a" close
	told '.event == "join"'
}
wait_until 20 until_told
mkdir "$NETS/dir"
mv "$NETS/a" "$NETS/dir/b"
wait_until 10 shown "$NETS/dir/b"
calls "ok ok ok" "socket 1" "connect $NETS/dir/b" close
wait_until 20 told ".event == \"join\" and .path == \"$NETS/dir/b\""
ipn-fabric net add "$NETS/a"
calls "ok ok ok" "socket 1" "connect $NETS/a" close
ipn-fabric net del "$NETS/dir/b"
status=0
wait $monitor || status=$?
assert_eq 0 $status "exit status of a monitor whose network has ended"
told ".event == \"removed\" and .path == \"$NETS/dir/b\"" || fail "not told of its end"
grep -q '"event": *"network"' "$IPN_TEST_TMP/monitor" && fail "told of another network"
ipn-fabric net add "$NETS/dir/c"
kill_fabric
mv "$NETS/dir" "$NETS/moved"
start_fabric
shown "$NETS/moved/c" || fail "not found where it was moved while there was no manager"
calls "ok ok ok" "socket 1" "connect $NETS/moved/c" close

step "renamed over: the one whose path it was ends, the other is there"
ipn-fabric net add "$NETS/x" --pool 5
ipn-fabric net add "$NETS/y" --pool 6
mv "$NETS/x" "$NETS/y"
one_y()
{
	ipn-fabric net show --json | jq -e --arg p "$NETS/y" \
		'[.[] | select(.path | startswith($p)).pool] == [5]' >/dev/null
}
wait_until 10 one_y
ipn-fabric net del "$NETS/y"

step "hard links and bind mounts: one inode, one network, as long as one name is left"
ipn-fabric net add "$NETS/x"
ln "$NETS/x" "$NETS/link"
mkdir "$NETS/mnt"
mount --bind "$NETS/moved" "$NETS/mnt"
rm "$NETS/x"
calls "ok ok ok" "socket 1" "connect $NETS/link" close
kill_fabric
start_fabric
calls "ok ok ok" "socket 1" "connect $NETS/link" close
calls "ok ok ok" "socket 1" "connect $NETS/mnt/c" close
ipn-fabric net del "$NETS/link"
ipn-fabric net del "$NETS/mnt/c"
umount "$NETS/mnt"
[ ! -e "$NETS/moved/c" ] || fail "its path is there still"

step "net del: files of listeners are gone when it ends"
for _ in {1..5}; do
	ipn-fabric net add "$NETS/lan" --policy switch
	ipn-fabric attach "$NETS/lan" --vde "$NETS/vde" >/dev/null
	ipn-fabric net del "$NETS/lan"
	[ ! -e "$NETS/vde" ] || fail "the directory of a listener is there still"
done
