#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# attackers: one user without rights who does all of his worst at once, on CPU 1, until it is ended
#
#   attackers UID NETWORK DIRECTORY SWITCH
#
# NETWORK: a broadcast network that he may join; DIRECTORY: an empty one of his; SWITCH: a switch
# network that he may join, with a VDE directory SWITCH.ctl. What an attack is, and how often it
# goes on, is said by tests/e2e/attack.c and hostile.c. Says "ready" when those run that have to be
# set up.

set -uo pipefail
uid=$1 net=$2 dir=$3 switch=$4
ulimit -n 30000
bin=$(cd -P "$(dirname "$0")/../../build" && pwd)
ready=$(mktemp -d)
trap 'rm -rf "$ready"' EXIT

as_user()
{
	exec taskset -c 1 setpriv --reuid="$uid" --regid="$uid" --clear-groups --pdeathsig KILL "$@"
}

# again COMMAND...: for ever
again()
{
	while :; do
		(as_user timeout 20 "$@")
	done >/dev/null 2>&1 &
}

# once NAME COMMAND...: until it says "ready"
once()
{
	local i

	(as_user "${@:2}") >"$ready/$1" 2>&1 &
	for ((i = 0; i < 300; i++)); do
		! grep -q ready "$ready/$1" || return 0
		sleep 0.1
	done
	echo "attackers: $1 is not ready: $(tail -n 1 "$ready/$1")" >&2
	exit 1
}

once watcher "$bin/bench/watcher" -t ipn -a "$net"
once scribble "$bin/tests/hostile" scribble "$net"
once keep "$bin/tests/hostile" keep "$net"
once idle "$bin/tests/hostile" idle 500
once overruns "$bin/tests/attack" overruns "$net" 20
once busy "$bin/tests/attack" busy "$dir/busy" 20
once hoard "$bin/tests/attack" hoard "$dir/hoard" 40
again "$bin/tests/hostile" garbage 3000
again "$bin/tests/hostile" headers
again "$bin/tests/hostile" flood 5
again "$bin/tests/hostile" frames "$net"
again "$bin/tests/hostile" frames "$switch"
again "$bin/tests/hostile" crowd "$net" 20
again "$bin/tests/attack" linger many
again "$bin/tests/attack" linger queue
again "$bin/tests/attack" listener "$switch.ctl/ctl"
again "$bin/tests/attack" monitors 64
for step in 1 2 3 4 5 6; do
	again "$bin/tests/hostile" die "$net" $step
done
echo ready
wait
