#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# vdeguests: QEMU over VDE, QEMU over datagrams, user-mode-linux: unchanged, on one network, and
# still there after the death of the manager
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

for program in qemu-system-x86_64 linux.uml busybox cpio; do
	command -v $program >/dev/null || skip "needs $program"
done
DIR=$IPN_TEST_TMP/sw
sysctl -qw net.unix.max_dgram_qlen=64
start_fabric
ipn-fabric net add "$NETS/lan" --policy switch --pool 1024
ipn-fabric attach "$NETS/lan" --vde "$DIR" >/dev/null
ipn-fabric attach "$NETS/lan" --host h0 --port 9 >/dev/null
ip addr add 10.5.0.1/24 dev h0
node ear socket "connect $NETS/lan"

# qemu MAC NETDEV: a machine without a disk, which asks for an address from the network
qemu()
{
	qemu-system-x86_64 -accel tcg -m 64 -display none -serial null -monitor none \
		-netdev "$2" -device "virtio-net-pci,netdev=n,mac=$1" >"$IPN_TEST_TMP/qemu" 2>&1 &
	QEMU=$!
}

# hears MAC: the process gets a frame of that address
hears()
{
	local end=$((SECONDS + $(limit 30)))

	while [ $SECONDS -lt $end ]; do
		tell ear "recvhex 1000"
		[ "${OUT:15:12}" != "$1" ] || return 0
	done
	fail "no frame of $1"
}

restart()
{
	kill_fabric
	start_fabric
	has_ports "$NETS/lan" 3 || fail "the guest was thrown out"
}

step "QEMU -netdev vde"
qemu 52:54:00:00:00:01 "vde,id=n,sock=$DIR"
wait_until 20 has_ports "$NETS/lan" 3
[[ $(ipn-fabric show --json "$NETS/lan" | jq -r '.ports[] | select(.kind == "sock") | .descr') == \
	QEMU* ]] || fail "QEMU's description is not shown"
hears 525400000001
restart
hears 525400000001
kill $QEMU
wait $QEMU 2>/dev/null || true
wait_until 20 has_ports "$NETS/lan" 2

step "QEMU -netdev dgram"
ipn-fabric attach "$NETS/lan" --unix "$IPN_TEST_TMP/fab" --peer "$IPN_TEST_TMP/qemu.sock" >/dev/null
here=local.type=unix,local.path=$IPN_TEST_TMP/qemu.sock
there=remote.type=unix,remote.path=$IPN_TEST_TMP/fab
qemu 52:54:00:00:00:02 "dgram,id=n,$here,$there"
wait_until 20 has_ports "$NETS/lan" 3
hears 525400000002
restart
hears 525400000002
kill $QEMU
wait $QEMU 2>/dev/null || true
wait_until 20 has_ports "$NETS/lan" 2

step "user-mode-linux, transport daemon: ping both ways"
root=$IPN_TEST_TMP/root
mkdir -p "$root/bin"
cp "$(command -v busybox)" "$root/bin/busybox"
cat >"$root/init" <<'I'
#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc
$b mount -t proc proc /proc
$b ip link set eth0 up
$b ip addr add 10.5.0.7/24 dev eth0
$b ping -c 1 -W 10 10.5.0.1 >/dev/null && $b echo guest reached the host
while $b true; do $b sleep 1; done
I
chmod 755 "$root/init"
(cd "$root" && find . | cpio -o -H newc 2>/dev/null) >"$IPN_TEST_TMP/root.cpio"
TMPDIR=$IPN_TEST_TMP HOME=$IPN_TEST_TMP setsid linux.uml mem=64M \
	initrd="$IPN_TEST_TMP/root.cpio" con=null con0=null,fd:1 quiet \
	"eth0=daemon,,unix,$DIR/ctl" </dev/null >"$IPN_TEST_TMP/uml" 2>&1 &
UML=$!
uml_died() # at its first process, as on a CPU with more registers than it knows of (AMX)
{
	grep -aq fatal_sigsegv "$IPN_TEST_TMP/uml"
}
uml_answers()
{
	uml_died || ping -q -c 1 -W 1 10.5.0.7
}
wait_until 20 uml_answers
if uml_died; then
	echo "   user-mode-linux does not run on this CPU"
else
	has_ports "$NETS/lan" 3 || fail "a guest that answers is no port"
	wait_until 20 grep -aq "guest reached the host" "$IPN_TEST_TMP/uml"
	restart
	wait_until 20 ping -q -c 1 -W 1 10.5.0.7
	pkill -KILL -s $UML # its processes are a session of their own
fi
wait $UML 2>/dev/null || true
wait_until 20 has_ports "$NETS/lan" 2

leave ear
stop_fabric
[ ! -e "$DIR" ] && [ ! -e "$IPN_TEST_TMP/fab" ] || fail "files were left behind"
