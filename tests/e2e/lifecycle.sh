#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lifecycle: up makes a fabric and says when it is ready, down removes all of it and nothing else
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

bare() # files of bpffs and run directory, without those the kernel puts into every bpffs
{
	files "$IPN_FABRIC_RUN_DIR" "$IPN_FABRIC_BPFFS" "$NETS" | grep -v '\.debug$' || true
}

# fabric DIRECTORY ARGUMENT...: a command to the fabric that lives there.
fabric()
{
	ipn-fabric --run-dir "$1/run" --bpffs "$1/bpf" "${@:2}"
}

# Processes; one that has ended and was not waited for yet is none.
managers()
{
	pgrep -x -r D,R,S,T ipn-fabric || true
}

populate()
{
	ipn-fabric net add "$NETS/lan" --policy switch
	ipn-fabric net add "$NETS/hub"
	ipn-fabric attach "$NETS/lan" --tap vm0
	ipn-fabric attach "$NETS/lan" --veth eth0:box
	ipn-fabric attach "$NETS/lan" --veth here0
	ipn-fabric attach "$NETS/lan" --host h0
} >/dev/null

container box

step "up returns when it is ready; down removes what it made, and nothing else"
echo keep >"$IPN_FABRIC_RUN_DIR/precious"
mkdir "$IPN_FABRIC_RUN_DIR/dir" "$IPN_FABRIC_BPFFS/others"
echo keep >"$NETS/file"
ip link add mine0 type veth peer mine1
before=$(links; bare)
ipn-fabric up
ipn-fabric show >/dev/null
populate
node member socket "connect $NETS/hub"
ipn-fabric down
assert_eq "$before" "$(links; bare)" "what is there after down"
tell member "recv 20000" "ok "
tell member "send x" ECONNRESET
leave member
assert_eq "" "$(managers)" "processes after down"

step "down with nothing there: one line, status 1"
expect_err "$IPN_FABRIC_RUN_DIR" ipn-fabric down
assert_eq "$before" "$(links; bare)" "after down with nothing there"

step "a second up says that it runs, and changes nothing"
ipn-fabric up
populate
during=$(still)
expect_err "runs already" ipn-fabric up
expect_err "runs already" ipn-fabric up --foreground
same_again "$during" "after the second up"
ipn-fabric down

step "up again after down, ten times"
for _ in {1..10}; do
	ipn-fabric up
	ipn-fabric down
done
assert_eq "$before" "$(links; bare)" "after ten fabrics"

step "down returns when the manager has ended"
for _ in {1..20}; do
	ipn-fabric up
	ipn-fabric net add "$NETS/lan"
	ipncall socket "connect $NETS/lan" >/dev/null
	ipn-fabric down
	assert_eq "" "$(managers)" "the manager, after down"
done

step "the run directory: made if it is missing, and removed then"
ipn-fabric --run-dir "$IPN_TEST_TMP/new" up
[ -S "$IPN_TEST_TMP/new/control" ] || fail "no control socket"
ipn-fabric --run-dir "$IPN_TEST_TMP/new" down
[ ! -e "$IPN_TEST_TMP/new" ] || fail "the run directory that up made is still there"
assert_eq "$before" "$(links; bare)" "with a run directory of its own"

step "no process is left attached to the terminal or the directory of who started it"
ipn-fabric up
pid=$(ipn-fabric show --json | jq .fabric.pid)
assert_eq "/dev/null /dev/null /dev/null" \
	"$(for fd in 0 1 2; do readlink "/proc/$pid/fd/$fd"; done | paste -sd' ')" "descriptors"
[ "$(ps -o tty= -p "$pid")" = "?" ] || fail "it has a terminal"
ipn-fabric down

step "--foreground tells systemd that it is ready, when it is"
frames notified "$IPN_TEST_TMP/notify" >"$IPN_TEST_TMP/said" &
listener=$!
wait_until 20 test -S "$IPN_TEST_TMP/notify"
NOTIFY_SOCKET=$IPN_TEST_TMP/notify ipn-fabric up --foreground 2>>"$FABRIC_LOG" &
FABRIC_PID=$!
wait $listener || fail "no READY=1: $(cat "$IPN_TEST_TMP/said")"
ipn-fabric show >/dev/null || fail "READY=1 came before it was ready"
grep -q '^READY=1$' "$IPN_TEST_TMP/said" || fail "said: $(cat "$IPN_TEST_TMP/said")"
assert_eq "$FABRIC_PID" "$(ipn-fabric show --json | jq .fabric.pid)" "process of --foreground"
stop_fabric

step "two fabrics side by side"
for f in a b; do
	mkdir -p "$IPN_TEST_TMP/$f/run" "$IPN_TEST_TMP/$f/bpf"
	mount -t bpf bpf "$IPN_TEST_TMP/$f/bpf"
	fabric "$IPN_TEST_TMP/$f" up
	fabric "$IPN_TEST_TMP/$f" net add "$NETS/net.$f" --policy switch
	fabric "$IPN_TEST_TMP/$f" attach "$NETS/net.$f" --veth "$f:box" >/dev/null
done
expect_err "not" fabric "$IPN_TEST_TMP/a" net show "$NETS/net.b"
AS="env IPN_FABRIC_RUN_DIR=$IPN_TEST_TMP/a/run" calls "ok ok ok 2" socket "connect $NETS/net.a" \
	"send hi" || true
# options win over the environment
assert_eq "$NETS/net.b" "$(IPN_FABRIC_RUN_DIR=$IPN_TEST_TMP/a/run fabric "$IPN_TEST_TMP/b" \
	net show --json | jq -r '.[].path')" "networks of b"
fabric "$IPN_TEST_TMP/a" down
assert_eq "$NETS/net.b" "$(fabric "$IPN_TEST_TMP/b" net show --json | jq -r '.[].path')" \
	"networks of b after down of a"
in_netns box ip link show b >/dev/null || fail "down of a took an interface of b"
fabric "$IPN_TEST_TMP/b" down
umount "$IPN_TEST_TMP/a/bpf" "$IPN_TEST_TMP/b/bpf"
assert_eq "$before" "$(links; bare)" "after two fabrics"

step "--config: networks and ports are made"
cat >"$IPN_TEST_TMP/conf" <<-END
	; a comment
	[fabric]
	hook = auto
	[network $NETS/lan]
	policy = switch
	mtu = 9000
	nodes = 8
	pool = 16
	mode = 0770
	[network $NETS/hub]
	[port vm]
	network = $NETS/lan
	tap = vm0
	port = 3
	descr = the machine
	[port box]
	network = $NETS/lan
	veth = eth0:box
	[port host]
	network = $NETS/lan
	host = h0
END
(
	umask 0
	ipn-fabric up --config "$IPN_TEST_TMP/conf"
)
assert_eq '["switch",9000,8,16,"0770",true]' "$(ipn-fabric net show "$NETS/lan" --json |
	jq -c '.[] | [.policy, .mtu, .nodes, .pool, .mode, .persistent]')" "network of the file"
assert_eq '["broadcast",1514,32,8,"0777",true]' "$(ipn-fabric net show "$NETS/hub" --json |
	jq -c '.[] | [.policy, .mtu, .nodes, .pool, .mode, .persistent]')" "network with defaults"
assert_eq '[0,"veth","eth0",""] [1,"host","h0",""] [3,"tap","vm0","the machine"]' \
	"$(ipn-fabric show --json | jq -c '.ports[] | [.port, .kind, .name, .descr]' |
		paste -sd' ')" "ports of the file"
assert_eq 770 "$(stat -c %a "$NETS/lan")" "mode of the path"
in_netns box ip link show eth0 | has 'mtu 8986' || fail "MTU of the interface"
during=$(still)
expect_err "runs already" ipn-fabric up --config "$IPN_TEST_TMP/conf"
same_again "$during" "after the second up"

step "--config again after kill -9: the same, nothing twice"
shown=$(ipn-fabric show --json | jq 'del(.fabric)')
kill -KILL "$(ipn-fabric show --json | jq .fabric.pid)"
wait_until 20 bash -c '! pgrep -x ipn-fabric'
ipn-fabric up --config "$IPN_TEST_TMP/conf"
assert_eq "$shown" "$(ipn-fabric show --json | jq 'del(.fabric)')" "after the second up"
ipn-fabric down
assert_eq "$before" "$(links; bare)" "after a fabric by configuration"

step "--netns: the fabric lives there"
container home
ipn-fabric up --netns home
ipn-fabric net add "$NETS/lan" --policy switch
ipn-fabric attach "$NETS/lan" --host h0 >/dev/null
ipn-fabric attach "$NETS/lan" --veth eth0:box >/dev/null
assert_eq home "$(ipn-fabric show --json | jq -r .fabric.netns)" "namespace shown"
ip link show h0 2>/dev/null && fail "the interface is in our namespace"
in_netns home ip addr add 10.9.0.1/24 dev h0
in_netns box ip addr add 10.9.0.2/24 dev eth0
in_netns home ping -q -c 1 -W 20 10.9.0.2 >/dev/null || fail "no ping"
calls "ok ok ok 14" socket "connect $NETS/lan" "send 01234567890123"
kill -KILL "$(ipn-fabric show --json | jq .fabric.pid)"
wait_until 20 bash -c '! pgrep -x ipn-fabric'
expect_err "namespace" ipn-fabric up
ipn-fabric up --netns home
in_netns home ping -q -c 1 -W 20 10.9.0.2 >/dev/null || fail "no ping after the take-over"
ipn-fabric down
assert_eq "link lo" "$(in_netns home ip -o link | awk -F': ' '{ print "link " $2 }')" "left there"
ip netns del home
assert_eq "$before" "$(links; bare)" "after a fabric elsewhere"

step "down without a manager cleans up after a dead one"
ipn-fabric up
populate
ipn-fabric net add "$NETS/gone"
node member socket "connect $NETS/hub"
kill -KILL "$(ipn-fabric show --json | jq .fabric.pid)"
wait_until 20 bash -c '! pgrep -x ipn-fabric'
rm "$NETS/gone" # a path that is another file's now stays
echo other >"$NETS/gone"
ipn-fabric down
assert_eq other "$(cat "$NETS/gone")" "a file in the place of a network"
rm "$NETS/gone"
leave member
assert_eq "$before" "$(links; bare)" "after down without a manager"
expect_err "$IPN_FABRIC_RUN_DIR" ipn-fabric down
