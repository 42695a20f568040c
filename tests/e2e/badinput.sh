#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# bad_input_is_refused: with its status and one line that names the value, and leaves nothing behind
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

# refused STATUS TEXT COMMAND...: one line with each of the words of TEXT (separated by |) in it,
# and everything is as it was before.
refused()
{
	local wanted=$1 text=$2 before after word words end

	shift 2
	if [ "$1" = as_nobody ]; then
		shift
		set -- setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
	fi
	before=$(still)
	_capture timeout "$(limit 30)" "$@"
	[ "$STATUS" = "$wanted" ] || complain "$*: wanted status $wanted, got $STATUS: $OUT$ERR"
	[[ -n $ERR && $ERR != *$'\n'* ]] ||
		complain "$*: wanted one line of error, got: ${ERR//$'\n'/ // }"
	IFS='|' read -ra words <<<"$text"
	for word in "${words[@]}"; do
		[[ $ERR == *"$word"* ]] || complain "$*: wanted '$word' in: $ERR"
	done
	# A process that was connected takes a moment to be gone.
	end=$((SECONDS + $(limit 10)))
	until after=$(snapshot) && [ "$before" = "$after" ]; do
		[ $SECONDS -gt $end ] || { sleep 0.05 && continue; }
		complain "$*: left behind:
$(diff <(echo "$before") <(echo "$after") || true)"
		break
	done
}

# One bad row must not hide the next ones.
BAD=0
complain()
{
	echo "FAILED: $*" >&2
	BAD=$((BAD + 1))
}

# left DIRECTORY...: what is in them, but for what the kernel puts into every bpffs.
left()
{
	files "$@" | grep -v '\.debug$' || true
}

long=$(printf 'x%.0s' {1..150})

step "usage: status 2"
refused 2 "nonsense" ipn-fabric nonsense
refused 2 "--nonsense" ipn-fabric net show --nonsense
refused 2 "-x" ipn-fabric up -x
refused 2 "what to do is missing" ipn-fabric
refused 2 "add|del|show" ipn-fabric net
refused 2 "PATH" ipn-fabric net add
refused 2 "PATH" ipn-fabric net del
refused 2 "PATH" ipn-fabric send
refused 2 "two" ipn-fabric net del one two
refused 2 "path" ipn-fabric net add ''
for n in 0 -1 65536 x 1x 1.5 '' ' 1' 99999999999999999999; do
	refused 2 "--mtu|1 to 65535" ipn-fabric net add "$NETS/n" --mtu "$n"
done
for n in 0 4097 abc; do
	refused 2 "--nodes|$n|1 to 4096" ipn-fabric net add "$NETS/n" --nodes "$n"
done
for n in 0 65537 -8; do
	refused 2 "--pool|1 to 65536" ipn-fabric net add "$NETS/n" --pool "$n"
done
for n in 8 1777 rwx ''; do
	refused 2 "--mode" ipn-fabric net add "$NETS/n" --mode "$n"
done
for n in any 0 Switch ''; do
	refused 2 "--policy|broadcast|switch" ipn-fabric net add "$NETS/n" --policy "$n"
done
refused 2 "--mtu" ipn-fabric net add "$NETS/n" --mtu
refused 2 "--mtu|twice" ipn-fabric net add "$NETS/n" --mtu 100 --mtu 200
refused 2 "--tap|--veth|--host" ipn-fabric attach "$NETS/n"
refused 2 "--tap|--host" ipn-fabric attach "$NETS/n" --tap a --host b
for n in 1234567890123456 a/b 'a b' a:b . .. ''; do
	refused 2 "--tap" ipn-fabric attach "$NETS/n" --tap "$n"
done
refused 2 "--veth" ipn-fabric attach "$NETS/n" --veth a:
refused 2 "--port|99999" ipn-fabric attach "$NETS/n" --tap a --port 99999
refused 2 "--descr" ipn-fabric attach "$NETS/n" --tap a --descr "$long"
refused 2 "--port" ipn-fabric detach "$NETS/n"
refused 2 "--count|0" ipn-fabric recv "$NETS/n" --count 0
refused 2 "--timeout|soon" ipn-fabric recv "$NETS/n" --timeout soon
refused 2 "--json" ipn-fabric show --json=yes

refused 2 "help net add" ipn-fabric net add "$NETS/n" --mtu x
refused 2 "nonsense|help" ipn-fabric help nonsense

step "no fabric: every command says so, and how to start one"
for command in "show" "net show" "stats" "net add $NETS/n" "net del $NETS/n" "fdb show $NETS/n" \
	"send $NETS/n" "recv $NETS/n" "attach $NETS/n --tap a" "detach $NETS/n --port 1"; do
	# shellcheck disable=SC2086
	refused 1 "no fabric|$IPN_FABRIC_RUN_DIR|ipn-fabric up" ipn-fabric $command
done
refused 1 "no fabric|$IPN_FABRIC_RUN_DIR" ipn-fabric down

step "up: no privilege"
mkdir "$IPN_TEST_TMP/open" "$IPN_TEST_TMP/openfs"
chmod 777 "$IPN_TEST_TMP/open"
mount -t bpf -o mode=0777 bpf "$IPN_TEST_TMP/openfs"
refused 1 "$IPN_FABRIC_RUN_DIR|belongs to uid 0" as_nobody ipn-fabric up
refused 1 "belongs to uid 0" as_nobody ipn-fabric up --run-dir "$IPN_TEST_TMP/open"
refused 1 "belongs to uid 0" as_nobody ipn-fabric up --run-dir "$IPN_TEST_TMP/open" \
	--bpffs "$IPN_TEST_TMP/openfs"
assert_eq "" "$(left "$IPN_TEST_TMP/open" "$IPN_TEST_TMP/openfs")" "left behind"
refused 1 "$IPN_FABRIC_RUN_DIR" as_nobody ipn-fabric down

step "up: no place"
mkdir "$IPN_TEST_TMP/plain" "$IPN_TEST_TMP/ro"
touch "$IPN_TEST_TMP/file"
mount -t tmpfs -o ro tmpfs "$IPN_TEST_TMP/ro"
refused 1 "$IPN_TEST_TMP/none|mount" ipn-fabric up --bpffs "$IPN_TEST_TMP/none"
[ ! -e "$IPN_TEST_TMP/none" ] ||
	{ complain "$IPN_TEST_TMP/none was made" && rmdir "$IPN_TEST_TMP/none"; }
refused 1 "$IPN_TEST_TMP/plain|mount -t bpf" ipn-fabric up --bpffs "$IPN_TEST_TMP/plain"
assert_eq "" "$(files "$IPN_TEST_TMP/plain")" "left in a directory that is no bpffs"
refused 1 "$IPN_TEST_TMP/file" ipn-fabric up --bpffs "$IPN_TEST_TMP/file"
refused 1 "$IPN_TEST_TMP/none/run|--run-dir" ipn-fabric up --run-dir "$IPN_TEST_TMP/none/run"
refused 1 "$IPN_TEST_TMP/file|--run-dir" ipn-fabric up --run-dir "$IPN_TEST_TMP/file"
refused 1 "$IPN_TEST_TMP/ro|--run-dir" ipn-fabric up --run-dir "$IPN_TEST_TMP/ro"
refused 1 "$IPN_TEST_TMP/$long" ipn-fabric up --run-dir "$IPN_TEST_TMP/$long"
[ ! -e "$IPN_TEST_TMP/$long" ] || complain "the run directory with the long name was left"
refused 1 "nowhere|ip netns add" ipn-fabric up --netns nowhere
refused 1 "$IPN_TEST_TMP/file" ipn-fabric up --netns "$IPN_TEST_TMP/file"

step "up: a configuration file with mistakes"
config()
{
	printf '%s\n' "$@" >"$IPN_TEST_TMP/conf"
}
bad_config() # TEXT LINE...
{
	local text=$1

	shift
	config "$@"
	refused 1 "$IPN_TEST_TMP/conf|$text" ipn-fabric up --config "$IPN_TEST_TMP/conf"
}
refused 1 "$IPN_TEST_TMP/nofile" ipn-fabric up --config "$IPN_TEST_TMP/nofile"
refused 1 "$IPN_TEST_TMP/plain" ipn-fabric up --config "$IPN_TEST_TMP/plain"
bad_config ":1|[section]" "nonsense"
bad_config ":1|fabrik" "[fabrik]"
bad_config ":2|hook|magic" "[fabric]" "hook = magic"
bad_config ":2|colour" "[network $NETS/c]" "colour = red"
bad_config ":2|mtu|70000|65535" "[network $NETS/c]" "mtu = 70000"
bad_config ":3|mtu" "[network $NETS/c]" "mtu = 100" "mtu = 100"
bad_config ":2|policy|hubb" "[network $NETS/c]" "policy = hubb"
bad_config ":2|mode|0888" "[network $NETS/c]" "mode = 0888"
bad_config ":1|relative" "[network relative]"
bad_config ":2|$NETS/c" "[network $NETS/c]" "[network $NETS/c]"
bad_config "$NETS/d" "[network $NETS/c]" "[port a]" "network = $NETS/d" "tap = a"
bad_config "a" "[network $NETS/c]" "[port a]" "network = $NETS/c"
bad_config ":4|0123456789abcdef" "[network $NETS/c]" "[port a]" "network = $NETS/c" \
	"tap = 0123456789abcdef"
# Right as text, wrong in this world; what came before it in the file is taken back.
touch "$IPN_TEST_TMP/conf"
refused_config() # TEXT LINE...
{
	local text=$1

	shift
	config "[network $NETS/good]" "[port good]" "network = $NETS/good" "tap = good0" "$@"
	refused 1 "$text" ipn-fabric up --config "$IPN_TEST_TMP/conf"
}
refused_config "$IPN_TEST_TMP/file" "[network $IPN_TEST_TMP/file]"
refused_config "$NETS/no/dir" "[network $NETS/no/dir]"
refused_config "nowhere" "[port bad]" "network = $NETS/good" "veth = eth0:nowhere"
refused_config "lo" "[port bad]" "network = $NETS/good" "host = lo"
refused_config "40|0 to 31" "[port bad]" "network = $NETS/good" "host = h0" "port = 40"

step "stale pins of a fabric whose network namespace is gone: up starts anew"
container gone
ipn-fabric up --netns gone
ipn-fabric net add "$NETS/stale"
kill -KILL "$(ipn-fabric show --json | jq .fabric.pid)"
wait_until 20 bash -c '! ipn-fabric show'
refused 1 "network namespace" ipn-fabric up
ip netns del gone
rm "$NETS/stale"
wait_until 20 ipn-fabric up
assert_eq 0 "$(ipn-fabric net show --json | jq length)" "networks of the fabric that was gone"
ipn-fabric down
assert_eq "" "$(left "$IPN_FABRIC_RUN_DIR" "$IPN_FABRIC_BPFFS")" "left behind"

step "pins of another version: up refuses, down removes them"
before=$(still)
start_fabric
ipn-fabric net add "$NETS/old" --policy switch
container box
ipn-fabric attach "$NETS/old" --veth eth0:box
ipn-fabric attach "$NETS/old" --tap vm0
kill_fabric
pinned=$IPN_FABRIC_BPFFS/ipn-fabric/v1
read -ra abi <<<"$(bpftool -j map lookup pinned "$pinned/abi" key 0 0 0 0 |
	jq -r '[.value[]] | join(" ")')"
bpftool map update pinned "$pinned/abi" key 0 0 0 0 value 99 0 0 0 "${abi[@]:4}"
refused 1 "version|99|down" ipn-fabric up
expect_status 0 ipn-fabric down
rm -f "$NETS/old" # whose name only the maps knew, which this version cannot read
ip netns del box
same_again "$before" "down of another version's fabric"

start_fabric

step "second manager"
refused 1 "runs already|$IPN_FABRIC_RUN_DIR|pid $FABRIC_PID|ipn-fabric down" ipn-fabric up
refused 1 "runs already" ipn-fabric up --foreground
refused 1 "$IPN_FABRIC_BPFFS|--bpffs" ipn-fabric up --run-dir "$IPN_TEST_TMP/run2"
[ ! -e "$IPN_TEST_TMP/run2" ] || complain "$IPN_TEST_TMP/run2 was left"
ipn-fabric show >/dev/null

step "net add"
ipn-fabric net add "$NETS/lan" --policy switch --nodes 2 --mode 0750
ipn-fabric net add "$NETS/hub" --mtu 100 --nodes 2
touch "$NETS/regular"
mkdir "$NETS/dir"
ln -s "$NETS/hub" "$NETS/link"
refused 1 "$NETS/lan|network already" ipn-fabric net add "$NETS/lan"
refused 1 "$NETS/regular|not an IPN network|another path" ipn-fabric net add "$NETS/regular"
refused 1 "$NETS/dir" ipn-fabric net add "$NETS/dir"
refused 1 "$NETS/dir/" ipn-fabric net add "$NETS/dir/"
refused 1 "$NETS/link" ipn-fabric net add "$NETS/link"
refused 1 "$NETS/a/b|mkdir" ipn-fabric net add "$NETS/a/b/c"
refused 1 "$NETS/regular" ipn-fabric net add "$NETS/regular/n"
refused 1 "107" ipn-fabric net add "$NETS/$long"
refused 1 "107" ipn-fabric net add "$NETS/$long/n"
refused 1 "MiB|pool" ipn-fabric net add "$NETS/n" --mtu 65535 --pool 65536
refused 1 "policy 40" ipn-fabric net add "$NETS/n" --policy 40
refused 1 "$IPN_TEST_TMP/ro/n" ipn-fabric net add "$IPN_TEST_TMP/ro/n"
refused 1 "$IPN_TEST_TMP/plain/n|ermission" as_nobody ipn-fabric net add "$IPN_TEST_TMP/plain/n"

step "a path that is no network"
refused 1 "$NETS/none" ipn-fabric net del "$NETS/none"
for command in "net del" "net show" "show" "stats" "fdb show" "send" "recv"; do
	for path in "$NETS/none" "$NETS/regular" "$NETS/dir" /dev/null \
		"$IPN_FABRIC_RUN_DIR/control"; do
		# shellcheck disable=SC2086
		refused 1 "$path" ipn-fabric $command "$path"
	done
done
refused 1 "$NETS/none" ipn-fabric attach "$NETS/none" --tap a
refused 1 "$NETS/regular" ipn-fabric attach "$NETS/regular" --tap a
refused 1 "$NETS/dir" ipn-fabric detach "$NETS/dir" --port 0
calls "ok ENOENT ECONNREFUSED ECONNREFUSED ECONNREFUSED" socket "connect $NETS/none" \
	"connect $NETS/regular" "connect $NETS/dir" "connect $IPN_FABRIC_RUN_DIR/control"
calls "ok ECONNREFUSED ECONNREFUSED EINVAL" "socket 1" "bind $NETS/regular" "bind $NETS/dir" "bind "
calls "ok EINVAL ENOENT" "socket 0" "bind $NETS/none" "connect $NETS/none"

step "no permission"
refused 1 "$NETS/lan|permission" as_nobody ipn-fabric send "$NETS/lan"
refused 1 "$NETS/lan|permission" as_nobody ipn-fabric recv "$NETS/lan"
refused 1 "$NETS/lan|may not remove" as_nobody ipn-fabric net del "$NETS/lan"
refused 1 "$NETS/lan|nothing is at port 0" as_nobody ipn-fabric detach "$NETS/lan" --port 0
refused 1 "$NETS/lan" as_nobody ipn-fabric fdb show "$NETS/lan"
refused 1 "$NETS/hub|CAP_NET_ADMIN" as_nobody ipn-fabric attach "$NETS/hub" --tap a
refused 1 "root" as_nobody ipn-fabric down

step "ports: taken, out of range, none left"
ipn-fabric attach "$NETS/lan" --host h0 --port 1
refused 1 "port 1|taken|h0" ipn-fabric attach "$NETS/lan" --host h1 --port 1
refused 1 "port 2|0 to 1" ipn-fabric attach "$NETS/lan" --host h1 --port 2
refused 1 "port 0" ipn-fabric detach "$NETS/lan" --port 0
refused 1 "port 7" ipn-fabric detach "$NETS/lan" --port 7
calls "ok ok EADDRNOTAVAIL" socket "set port 1" "connect $NETS/lan"
calls "ok ok EADDRNOTAVAIL" socket "set port 2" "connect $NETS/lan"
ipn-fabric attach "$NETS/lan" --tap t0
refused 1 "$NETS/lan|2 ports" ipn-fabric attach "$NETS/lan" --host h1
refused 1 "$NETS/lan|full" ipn-fabric send "$NETS/lan"
refused 1 "$NETS/lan|full" ipn-fabric recv "$NETS/lan"
calls "ok EADDRNOTAVAIL" socket "connect $NETS/lan"

step "interfaces: taken names, missing namespaces"
ipn-fabric detach "$NETS/lan" --port 0
container box
refused 1 "lo|exists" ipn-fabric attach "$NETS/lan" --host lo
refused 1 "h0|exists" ipn-fabric attach "$NETS/lan" --tap h0
refused 1 "h0|exists" ipn-fabric attach "$NETS/lan" --veth h0
refused 1 "lo|exists" ipn-fabric attach "$NETS/lan" --veth lo:box
refused 1 "nowhere|ip netns add" ipn-fabric attach "$NETS/lan" --veth eth0:nowhere
refused 1 "namespace" ipn-fabric attach "$NETS/lan" --veth "eth0:$IPN_TEST_TMP/file"
refused 1 "/none/ns" ipn-fabric attach "$NETS/lan" --veth "eth0:$IPN_TEST_TMP/none/ns"

step "messages longer than the MTU; files that are not there"
printf 'short\n%0101d\nlast\n' 0 >"$IPN_TEST_TMP/lines"
refused 1 "$NETS/hub|line 2|101|MTU|100" ipn-fabric send "$NETS/hub" "$IPN_TEST_TMP/lines"
calls "ok ok EOVERFLOW ok 100" socket "connect $NETS/hub" "sendlen 101" "sendlen 100"
calls "ok ok EOVERFLOW EOVERFLOW" socket "connect $NETS/hub" "sendlen 65536" "sendlen 65535"
refused 1 "$IPN_TEST_TMP/nofile" ipn-fabric send "$NETS/hub" "$IPN_TEST_TMP/nofile"
refused 1 "$IPN_TEST_TMP/plain" ipn-fabric send "$NETS/hub" "$IPN_TEST_TMP/plain"
refused 1 "$NETS/hub|0 of 1" ipn-fabric recv "$NETS/hub" --count 1 --timeout 0.1
refused 1 "standard output" bash -c 'ipn-fabric show >/dev/full'

step "networks: no more numbers, no more ports"
for i in {1..15}; do
	ipn-fabric net add "$NETS/big$i" --nodes 4096 --pool 1
done
refused 1 "$NETS/big16|4096" ipn-fabric net add "$NETS/big16" --nodes 4096 --pool 1
for i in {1..15}; do
	ipn-fabric net del "$NETS/big$i"
done
for i in {1..254}; do
	ipn-fabric net add "$NETS/n$i" --nodes 1 --mtu 100
done
refused 1 "$NETS/n255" ipn-fabric net add "$NETS/n255"
calls "ok ENOSPC" "socket 1" "bind $NETS/n255"
[ ! -e "$NETS/n255" ] || complain "a refused bind left its path"
for i in {1..254}; do
	ipn-fabric net del "$NETS/n$i"
done

step "a configuration that fails on a running fabric's successor changes nothing"
before=$(ipn-fabric net show --json | jq -S .)
kill_fabric
config "[network $NETS/good]" "[network $NETS/regular]"
files_before=$(files "$NETS")
expect_status 1 ipn-fabric up --config "$IPN_TEST_TMP/conf"
start_fabric
[ "$before" = "$(ipn-fabric net show --json | jq -S .)" ] || complain "networks are not as before"
[ "$files_before" = "$(files "$NETS")" ] || complain "paths are not as before"

stop_fabric
[ $BAD = 0 ] || fail "$BAD rows"
