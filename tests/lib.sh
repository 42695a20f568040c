# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What end-to-end tests share. A test starts with
#
#   #!/bin/bash
#   # SPDX-License-Identifier: GPL-2.0-or-later
#   # what_must_hold: in one line
#   . "$(dirname "$0")/../lib.sh"
#
# and from there on is alone: in network, mount and process namespaces of its own, with a bpffs, a
# run directory and a /run/netns that nobody else sees. When it ends, however it ends, everything
# in them ends with it. It runs from tests/run or by hand, as root.
#
#   $IPN_TEST_TMP   directory of the test         $IPN_FABRIC_RUN_DIR, $IPN_FABRIC_BPFFS  in it
#   $IPN_ROOT       the source tree               $IPN_BUILD  build/, where every user can reach it
#   $IPN_TEST_SLOW  all time limits are multiplied by that: they end what hangs, and must not be
#                   what a test is about (`limit SECONDS` for `timeout` and the like)
#
# `ip netns exec` mounts a new /sys: pins in /sys/fs/bpf would vanish. Use in_netns.

set -Eeuo pipefail

IPN_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# --- results -------------------------------------------------------------------------------------

step()
{
	echo "-- $*"
}

fail()
{
	echo "FAILED: $*" >&2
	exit 1
}

skip()
{
	echo "skip: $*"
	exit 77
}

# --- a world of its own --------------------------------------------------------------------------

if [ -z "${IPN_TEST_INSIDE:-}" ]; then
	[ "$(id -u)" = 0 ] || skip "needs root"
	if [ -z "${IPN_TEST_TMP:-}" ]; then
		IPN_TEST_TMP=$(mktemp -d "${TMPDIR:-/tmp}/ipn.XXXXXX")
		chmod 755 "$IPN_TEST_TMP"
		trap 'rm -rf --one-file-system "$IPN_TEST_TMP"' EXIT
	fi
	trap 'exit 130' INT TERM HUP # after the test below has ended by the same signal
	export IPN_TEST_TMP IPN_TEST_INSIDE=1
	status=0
	unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private \
		bash "$0" "$@" || status=$?
	exit $status
fi
unset IPN_TEST_INSIDE # a test that runs another one: that one gets its own world

FABRIC_PID=
FABRIC_LOG=$IPN_TEST_TMP/fabric.log
IPN_BUILD=$IPN_TEST_TMP/build
export IPN_FABRIC_RUN_DIR=$IPN_TEST_TMP/run
export IPN_FABRIC_BPFFS=$IPN_TEST_TMP/bpf
export PATH=$IPN_BUILD:$PATH:/usr/sbin:/sbin

# Background processes end with the namespace; only the manager is asked first, so that what it
# does at its end (and what sanitizers find then) is part of the test.
_at_exit()
{
	local status=$?

	trap - EXIT ERR
	set +e
	if [ $status != 0 ] && [ $status != 77 ] && [ -s "$FABRIC_LOG" ]; then
		echo "-- what the manager said:"
		tail -n 50 "$FABRIC_LOG"
	fi >&2
	if [ -n "$FABRIC_PID" ] && kill -0 "$FABRIC_PID" 2>/dev/null; then
		timeout "$(limit 30)" ipn-fabric down >/dev/null 2>&1
		_wait_gone "$FABRIC_PID" 2 || kill -KILL "$FABRIC_PID" 2>/dev/null
	fi
	exit $status
}

_at_error()
{
	echo "FAILED: ${BASH_SOURCE[1]##*/} line ${BASH_LINENO[0]}: $BASH_COMMAND: status $1" >&2
}

trap _at_exit EXIT
trap '_at_error $?' ERR
# The first process of a namespace gets only the signals it has a handler for.
trap 'exit 143' TERM INT HUP

mkdir "$IPN_FABRIC_RUN_DIR" "$IPN_FABRIC_BPFFS" "$IPN_BUILD"
mount -t bpf -o mode=0755 bpf "$IPN_FABRIC_BPFFS"
# The checkout may be where only root can go (/root); tests also run its programs as nobody.
if [ -d "$IPN_ROOT/build" ]; then
	mount --bind "$IPN_ROOT/build" "$IPN_BUILD"
fi
mkdir -p /run/netns
mount -t tmpfs -o mode=0755 tmpfs /run/netns
ip link set lo up

# IPv6 would talk on its own, and some tests count.
NO_IPV6='for i in /proc/sys/net/ipv6/conf/*/disable_ipv6; do [ ! -e "$i" ] || echo 1 >"$i"; done'
sh -c "$NO_IPV6"

# --- checks --------------------------------------------------------------------------------------

# assert_eq WANTED GOT [WHAT]
assert_eq()
{
	[ "$1" = "$2" ] || fail "${3:-value}: wanted '$1', got '$2'"
}

# Runs a command. Afterwards STATUS, OUT and ERR say what came of it.
_capture()
{
	STATUS=0
	"$@" >"$IPN_TEST_TMP/.out" 2>"$IPN_TEST_TMP/.err" || STATUS=$?
	OUT=$(cat "$IPN_TEST_TMP/.out")
	ERR=$(cat "$IPN_TEST_TMP/.err")
}

# expect_status STATUS COMMAND...: sets OUT and ERR.
expect_status()
{
	local wanted=$1

	shift
	_capture "$@"
	[ "$STATUS" = "$wanted" ] || fail "$*: wanted status $wanted, got $STATUS
$OUT
$ERR"
}

# expect_err TEXT COMMAND...: the operation fails with status 1 and one line that has TEXT in it.
expect_err()
{
	local text=$1

	shift
	_capture "$@"
	[ "$STATUS" = 1 ] || fail "$*: wanted status 1, got $STATUS
$OUT
$ERR"
	[[ -n $ERR && $ERR != *$'\n'* ]] || fail "$*: wanted one line of error, got:
$ERR"
	[[ $ERR == *"$text"* ]] || fail "$*: wanted an error with '$text', got: $ERR"
}

# limit N: a time limit, on this machine
limit()
{
	echo $(($1 * ${IPN_TEST_SLOW:-1}))
}

# wait_until SECONDS COMMAND...: until the command succeeds.
wait_until()
{
	local seconds=$(($1 * ${IPN_TEST_SLOW:-1}))
	local end=$((${EPOCHREALTIME/[.,]/} + seconds * 1000000))

	shift
	until _capture "$@" && [ "$STATUS" = 0 ]; do
		[ "${EPOCHREALTIME/[.,]/}" -lt $end ] || fail "not within $seconds s: $*
$OUT
$ERR"
		sleep 0.02
	done
}

# COMMAND | has ARGUMENTS OF grep: like grep -q, but reads to the end. Or the command could fail,
# because nobody reads what else it has to say.
has()
{
	local n

	n=$(grep -c "$@") || true
	[ "$n" != 0 ]
}

_wait_gone() # PID SECONDS
{
	local end=$((${EPOCHREALTIME/[.,]/} + $(limit "$2") * 1000000))

	while kill -0 "$1" 2>/dev/null; do
		[ "${EPOCHREALTIME/[.,]/}" -lt $end ] || return 1
		sleep 0.02
	done
}

# --- the fabric ----------------------------------------------------------------------------------

# start_fabric [ARGUMENTS OF up]: a manager in the background, FABRIC_PID, ready when this returns;
# at most IPN_TEST_PATIENCE seconds (20) later.
start_fabric()
{
	local seconds end

	seconds=$(limit "${IPN_TEST_PATIENCE:-20}")
	end=$((${EPOCHREALTIME/[.,]/} + seconds * 1000000))
	ipn-fabric up --foreground "$@" >>"$FABRIC_LOG" 2>&1 &
	FABRIC_PID=$!
	until ipn-fabric show >/dev/null 2>&1; do
		kill -0 $FABRIC_PID 2>/dev/null || fail "the manager ended: ipn-fabric up $*"
		[ "${EPOCHREALTIME/[.,]/}" -lt $end ] ||
			fail "the manager is not ready after $seconds s"
		sleep 0.02
	done
}

# Takes the fabric down and waits for the manager.
stop_fabric()
{
	local status=0

	ipn-fabric down || fail "ipn-fabric down failed"
	_wait_gone "$FABRIC_PID" 10 || fail "the manager is still there after down"
	wait "$FABRIC_PID" || status=$?
	FABRIC_PID=
	assert_eq 0 $status "exit status of the manager after down"
}

# The manager dies without a word; the fabric stays.
kill_fabric()
{
	kill -KILL "$FABRIC_PID"
	wait "$FABRIC_PID" 2>/dev/null || true
	FABRIC_PID=
}

# --- others --------------------------------------------------------------------------------------

# container NAME: a network namespace, known to `ip` and the fabric by that name; see ipv6_on.
container()
{
	ip netns add "$1"
	in_netns "$1" ip link set lo up
	in_netns "$1" sh -c "$NO_IPV6"
}

# ipv6_on CONTAINER INTERFACE: it may have addresses, and asks nobody about them.
ipv6_on()
{
	in_netns "$1" sysctl -qw net.ipv6.conf.lo.disable_ipv6=0 \
		"net.ipv6.conf.$2.disable_ipv6=0" "net.ipv6.conf.$2.accept_dad=0" \
		"net.ipv6.conf.$2.router_solicitations=0"
}

# in_netns NAME COMMAND...
in_netns()
{
	local name=$1

	shift
	nsenter --net="/run/netns/$name" -- "$@"
}

# as_nobody COMMAND...: no rights but those of others. Programs only, not shell functions.
as_nobody()
{
	setpriv --reuid=65534 --regid=65534 --clear-groups -- "$@"
}

# as_net_raw COMMAND...: the same with CAP_NET_RAW, which an AF_XDP port takes.
as_net_raw()
{
	setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+net_raw \
		--ambient-caps=+net_raw -- "$@"
}
