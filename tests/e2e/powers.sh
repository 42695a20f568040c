#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# powers: each process has what it needs and no more, and with that everything works
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

DIR=$IPN_TEST_TMP/sw
OBJECT=$IPN_BUILD/examples/stamp.bpf.o
UNIT=$IPN_ROOT/scripts/ipn-fabric.service
MANAGER_CAPS="chown:0 dac_override:1 dac_read_search:2 fowner:3 kill:5 setgid:6 setuid:7 setpcap:8
	net_admin:12 net_raw:13 ipc_lock:14 sys_chroot:18 sys_ptrace:19 sys_admin:21 perfmon:38
	bpf:39"
LOADER_CAPS="net_admin:12 perfmon:38 bpf:39"

field() # PID NAME
{
	awk -v name="$2:" '$1 == name { print $2 }' "/proc/$1/status"
}

# caps_hex NAME:BIT...: as /proc shows them, as far as this test has them itself.
caps_hex()
{
	local cap sum=0

	for cap; do
		sum=$((sum | 1 << ${cap#*:}))
	done
	printf '%016x\n' $((sum & 16#$(field $$ CapBnd)))
}

# powers PID CAPS BOUNDING FILTERS WHAT
powers()
{
	local pid=$1 what=$5

	assert_eq "$2" "$(field "$pid" CapPrm)" "$what: permitted"
	assert_eq "$2" "$(field "$pid" CapEff)" "$what: effective"
	assert_eq "$3" "$(field "$pid" CapBnd)" "$what: bounding set"
	assert_eq "$(caps_hex)" "$(field "$pid" CapInh)" "$what: inheritable"
	assert_eq "$(caps_hex)" "$(field "$pid" CapAmb)" "$what: ambient"
	assert_eq 1 "$(field "$pid" NoNewPrivs)" "$what: no_new_privs"
	assert_eq 2 "$(field "$pid" Seccomp)" "$what: seccomp"
	assert_eq "$4" "$(field "$pid" Seccomp_filters)" "$what: filters"
}

manager_powers()
{
	local caps

	# shellcheck disable=SC2086
	caps=$(caps_hex $MANAGER_CAPS)
	# every thread has its own
	for task in "/proc/$FABRIC_PID/task"/*; do
		powers "$FABRIC_PID/task/${task##*/}" "$caps" "$caps" 1 "manager"
	done
}

namespace() # PID KIND
{
	readlink "/proc/$1/ns/$2"
}

fdstore()
{
	ps -eo pid=,comm= | awk '$2 == "ipn-fdstore" { print $1 }'
}

fdstore_powers()
{
	local pid

	wait_until 60 eval '[ -n "$(fdstore)" ] && [ "$(field "$(fdstore)" Seccomp_filters)" = 2 ]'
	pid=$(fdstore)
	powers "$pid" "$(caps_hex)" "$(caps_hex)" 2 "fdstore"
	[ "$(namespace "$pid" net)" != "$(namespace $$ net)" ] || fail "fdstore: in our network"
	assert_eq 1 "$(nsenter --net="/proc/$pid/ns/net" ip -o link | wc -l)" "fdstore: interfaces"
	assert_eq / "$(readlink "/proc/$pid/cwd")" "fdstore: directory"
}

# load_caught: a load in the background, LOADER, whose process CHILD is stopped when it has given up
# what it does not need.
load_caught()
{
	local end=$((${EPOCHREALTIME/[.,]/} + 120000000)) children

	children=/proc/$FABRIC_PID/task/$FABRIC_PID/children
	while :; do
		ipn-fabric policy load "$OBJECT" --number 9 --name slow >"$IPN_TEST_TMP/load" 2>&1 &
		LOADER=$!
		while kill -0 $LOADER 2>/dev/null; do
			for CHILD in $(<"$children"); do
				[ "$(field "$CHILD" Seccomp_filters 2>/dev/null)" = 2 ] &&
					[ "$(namespace "$CHILD" mnt)" != "$(namespace $$ mnt)" ] &&
					kill -STOP "$CHILD" 2>/dev/null && return
			done
		done
		wait $LOADER || fail "policy load: $(cat "$IPN_TEST_TMP/load")"
		ipn-fabric policy unload slow
		[ "${EPOCHREALTIME/[.,]/}" -lt $end ] || fail "the loading process was never seen"
	done
}

KINDS="cable grab host proc sock tap veth xsk"

ports()
{
	ipn-fabric show --json "$NETS/lan" | jq -r '.ports[].kind' | sort | paste -sd' '
}

all_kinds()
{
	ports
	[ "$(ports)" = "$KINDS" ]
}

FRAME_MEMORY=
# All kinds of ports, a policy, and all of it again after a manager that died.
use()
{
	local before

	ipn-fabric net add "$NETS/lan" --policy switch
	ipn-fabric net add "$NETS/other" --policy switch
	ipn-fabric attach "$NETS/lan" --vde "$DIR" --mode 0777 >/dev/null
	ipn-fabric attach "$NETS/lan" --unix "$IPN_TEST_TMP/unix" >/dev/null
	ipn-fabric attach "$NETS/lan" --tap tap0 >/dev/null
	ipn-fabric attach "$NETS/lan" --veth eth0:box >/dev/null
	ipn-fabric attach "$NETS/lan" --host h0 >/dev/null
	# shellcheck disable=SC2086
	ipn-fabric attach "$NETS/lan" --xsk x0 $FRAME_MEMORY >/dev/null
	ipn-fabric attach "$NETS/lan" --grab d0 >/dev/null
	ipn-fabric cable "$NETS/lan" "$NETS/other" >/dev/null
	node ear socket "connect $NETS/lan"
	vde a
	wait_until 60 all_kinds
	tell a "send ffffffffffff02000000000188b6$(printf '5a%.0s' {1..50})" ok
	tell ear "recvhex 60000"
	[[ $OUT == "ok ffffffffffff020000000001"* ]] || fail "a frame did not come: $OUT"
	[[ "$(timeout 60 xskpeer "$NETS/lan" x0 open)" == "ok "* ]] ||
		fail "AF_XDP"
	ipn-fabric policy load "$IPN_BUILD/tests/refuse.bpf.o" --number 11 --name refuse
	ipn-fabric net add "$NETS/closed" --policy refuse
	expect_err "refuses the port" ipn-fabric attach "$NETS/closed" --host h1
	manager_powers
	fdstore_powers
	before=$(ports)
	kill_fabric
	start_fabric
	assert_eq "$before" "$(ports)" "ports after a manager that died"
	assert_eq refuse "$(ipn-fabric net show --json "$NETS/closed" | jq -r '.[].policy')"
	tell a "send ffffffffffff02000000000188b6$(printf '5a%.0s' {1..50})" ok
	tell ear "recvhex 60000"
	[[ $OUT == "ok ffffffffffff020000000001"* ]] || fail "a frame did not come: $OUT"
	manager_powers
	fdstore_powers
}

container box
ip link add d0 type veth peer name d1
ip link set d0 up
start_fabric
if [ ! -e "/proc/$FABRIC_PID/task/$FABRIC_PID/children" ]; then
	skip "the kernel does not tell of children"
fi

step "every kind of port, and the processes behind them"
use

step "the process that reads a policy: two descriptors and the shared maps, no files, no network"
load_caught
# shellcheck disable=SC2086
caps=$(caps_hex $LOADER_CAPS)
powers "$CHILD" "$caps" "$caps" 2 "loader"
[ "$(namespace "$CHILD" net)" != "$(namespace $$ net)" ] || fail "loader: in our network"
assert_eq "/proc/$CHILD/root/sys/kernel/btf/vmlinux" "$(find "/proc/$CHILD/root/" -type f)" "files"
find "/proc/$CHILD/fd" -mindepth 1 -printf '%l\n' | sort >"$IPN_TEST_TMP/fds"
assert_eq 1 "$(grep -c '^socket:' "$IPN_TEST_TMP/fds")" "loader: sockets"
assert_eq 1 "$(grep -c '\.bpf\.o$' "$IPN_TEST_TMP/fds")" "loader: files"
bpf='^anon_inode:\[?(bpf-map|bpf-prog|btf)\]?$'
others=$(grep -vE "^socket:|\.bpf\.o\$|$bpf|^/\$|/vmlinux\$" "$IPN_TEST_TMP/fds" || true)
assert_eq "" "$others" "loader: other descriptors"
child_limit() # NAME
{
	awk -v name="$1" 'index($0, name) == 1 { print $(split(name, w, " ") + 2) }' \
		"/proc/$CHILD/limits"
}
assert_eq 0 "$(child_limit "Max processes")" "loader: processes"
assert_eq 1024 "$(child_limit "Max open files")" "loader: descriptors"
assert_eq 11 "$(child_limit "Max cpu time")" "loader: seconds"

step "a policy that crashes the process that reads it"
kill -SEGV "$CHILD"
kill -CONT "$CHILD"
status=0
wait $LOADER || status=$?
assert_eq 1 $status "exit status"
grep -q "is broken: reading it ended the process" "$IPN_TEST_TMP/load" ||
	fail "$(cat "$IPN_TEST_TMP/load")"
assert_eq 11 "$(ls "$IPN_FABRIC_BPFFS/ipn-fabric/v1/policy")" "pins"
ipn-fabric policy load "$OBJECT" --number 9 --name slow
leave ear
crash a
stop_fabric

# The files and devices that the unit's settings leave: what systemd would do, without systemd. The
# pins are in a file system of this test, as /sys/fs/bpf is one of its own.
unit_files()
{
	local dev=$IPN_TEST_TMP/dev name

	setting PrivateDevices yes
	mkdir -p "$dev"
	mount -t tmpfs -o mode=0755,nosuid,noexec tmpfs "$dev"
	mkdir "$dev/net"
	for name in null zero full random urandom tty $(sed -n 's|^BindPaths=/dev/||p' "$UNIT"); do
		touch "$dev/$name"
		mount --bind "/dev/$name" "$dev/$name"
	done
	mount -o remount,bind,ro "$dev"
	mount --move "$dev" /dev
	setting ProtectKernelTunables yes
	setting ProtectSystem full
	for name in /sys /usr /boot /etc; do
		mount --bind "$name" "$name"
		mount -o remount,bind,ro "$name"
	done
	setting ProtectProc invisible
	setting ProcSubset pid
	mount -t proc -o subset=pid,hidepid=invisible proc /proc
	umask "$(sed -n 's/^UMask=//p' "$UNIT")"
}

setting() # NAME VALUE: this is what is emulated
{
	grep -qx "$1=$2" "$UNIT" || fail "the unit has not $1=$2"
}

step "the same with no more than the unit gives"
ip link del d0
ip link add d0 type veth peer name d1
ip link set d0 up
# start_fabric takes this one: what starts a manager has the bounding set and the files of the unit
up=$(command -v ipn-fabric)
set=$(sed -n 's/^CapabilityBoundingSet=//p' "$UNIT" | tr ' A-Z' '\na-z' | sed 's/^cap_/+/' |
	paste -sd,)
mkdir "$IPN_TEST_TMP/bin"
cat >"$IPN_TEST_TMP/bin/ipn-fabric" <<END
#!/bin/bash
[ "\$1" = up ] || exec "$up" "\$@"
[ -n "\${IPN_TEST_UNIT:-}" ] ||
	IPN_TEST_UNIT=1 exec unshare --mount --propagation slave -- "\$0" "\$@"
set -e
$(declare -p UNIT IPN_TEST_TMP)
$(declare -f fail setting unit_files)
unit_files
exec setpriv --no-new-privs --bounding-set="-all,$set" -- "$up" "\$@"
END
chmod 755 "$IPN_TEST_TMP/bin/ipn-fabric"
PATH=$IPN_TEST_TMP/bin:$PATH
MANAGER_CAPS=${MANAGER_CAPS/ipc_lock:14/}
FRAME_MEMORY=
[ "$(ulimit -H -l)" = unlimited ] || FRAME_MEMORY="--frames 64" # as LimitMEMLOCK= would
start_fabric
use
leave ear
crash a
stop_fabric

step "the unit: its filter lets through what the sources list, its exposure does not grow"
sed "s|@SBINDIR@|$IPN_BUILD|" "$UNIT" >"$IPN_TEST_TMP/ipn-fabric.service"
systemd-analyze security --offline=true --threshold=38 \
	"$IPN_TEST_TMP/ipn-fabric.service" >"$IPN_TEST_TMP/exposure" ||
	fail "$(tail -n 1 "$IPN_TEST_TMP/exposure")"
grep -o 'Overall.*' "$IPN_TEST_TMP/exposure"
sed -n 's/^SystemCallFilter=//p' "$UNIT" >"$IPN_TEST_TMP/filter"
systemd-analyze syscall-filter 2>/dev/null >"$IPN_TEST_TMP/groups"
"$IPN_ROOT/scripts/seccomp-lists" "$IPN_ROOT/user" >"$IPN_TEST_TMP/lists"
python3 - "$IPN_TEST_TMP"/{groups,filter,lists} <<'P' >"$IPN_TEST_TMP/missing"
import re, sys
groups, name = {}, None
for line in open(sys.argv[1]):
    line = line.split("#")[0].rstrip()
    if line.startswith("@"):
        name = line
        groups[name] = []
    elif name and line:
        groups[name].append(line.strip())
def calls(word):
    return set().union(*map(calls, groups[word])) if word[0] == "@" else {word}
allowed = calls("@default")
for line in open(sys.argv[2]):
    for word in line.lstrip("~").split():
        if line[0] == "~":
            allowed -= calls(word)
        else:
            allowed |= calls(word)
print(*sorted(set(re.findall(r"SCMP_SYS\((\w+)\)", open(sys.argv[3]).read())) - allowed))
P
assert_eq "" "$(cat "$IPN_TEST_TMP/missing")" "calls that the unit's filter refuses"
