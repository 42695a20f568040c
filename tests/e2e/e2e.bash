# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the tests of this folder share beyond tests/lib.sh, which they source first.

export PATH=$IPN_BUILD/tests:$PATH
NETS=$IPN_TEST_TMP/nets # a place for the paths of networks, for everybody
mkdir "$NETS"
chmod 777 "$NETS"

# calls WANTED CALL...: what libipn answers to these calls of one process (ipncall.c), on one line.
# AS is put before the program: AS="as_nobody".
AS=
calls()
{
	local wanted=$1

	shift
	OUT=$($AS timeout "$(limit 60)" ipncall "$@" 2>&1) || fail "ipncall $*: $OUT"
	OUT=${OUT//$'\n'/ }
	[ "$OUT" = "$wanted" ] || fail "ipncall $*: wanted '$wanted', got '$OUT'"
}

# talker NAME PROGRAM...: a process that takes commands by `tell`, until `leave` or `crash`.
declare -A NODE_PID=() NODE_IN=() NODE_OUT=()
talker()
{
	local name=$1 in out fifo=$IPN_TEST_TMP/.node.$1

	shift
	rm -f "$fifo.in" "$fifo.out"
	mkfifo "$fifo.in" "$fifo.out"
	chmod 666 "$fifo.in" "$fifo.out"
	$AS "$@" <"$fifo.in" >"$fifo.out" 2>&1 &
	NODE_PID[$name]=$!
	exec {in}>"$fifo.in" {out}<"$fifo.out"
	NODE_IN[$name]=$in NODE_OUT[$name]=$out
}

# node NAME CALL...: a process that makes these calls of libipn, and then goes on to take calls.
node()
{
	local name=$1

	shift
	talker "$name" ipncall -i
	for call; do
		tell "$name" "$call"
		[[ $OUT == ok* ]] || fail "node $name: $call: $OUT"
	done
}

# vde NAME [OPTIONS]: a client of VDE (vdeclient.c) that came in at $DIR.
vde()
{
	talker "$1" vdeclient "$DIR" "${@:2}"
	answer "$1" 60 in
}

# tell NAME CALL [WANTED]: the answer is in OUT.
tell()
{
	ask "$1" "$2"
	answer "$1" 60
	[ $# -lt 3 ] || assert_eq "$3" "$OUT" "$1: $2"
}

# The two halves of tell: for calls that wait.
ask()
{
	echo "$2" >&"${NODE_IN[$1]}"
}

answer() # NAME SECONDS [WANTED]
{
	OUT=
	IFS= read -r -t "$(limit "$2")" OUT <&"${NODE_OUT[$1]}" ||
		fail "node $1: no answer within $(limit "$2") s"
	[ $# -lt 3 ] || assert_eq "$3" "$OUT" "$1"
}

_node_close()
{
	local in=${NODE_IN[$1]} out=${NODE_OUT[$1]}

	exec {in}>&- {out}<&-
	wait "${NODE_PID[$1]}" 2>/dev/null || true
	unset "NODE_PID[$1]" "NODE_IN[$1]" "NODE_OUT[$1]"
}

# The node closes its descriptors and ends.
leave()
{
	ask "$1" quit # other children of the shell hold its input, too: closing it is no end
	_node_close "$1"
}

# The node dies between two instructions.
crash()
{
	kill -KILL "${NODE_PID[$1]}"
	_node_close "$1"
}

# install_copy DIRECTORY: `make install PREFIX=/usr` into it. Another PREFIX links the program anew,
# and other tests run the one in build/: so from a copy of that.
install_copy()
{
	local copy=$IPN_TEST_TMP/.copy

	mkdir "$copy"
	cp -a "$IPN_BUILD"/{bpf,include,ipn-fabric,lib*,man,obj} "$copy"
	make -s -C "$IPN_ROOT" install B="$copy" DESTDIR="$1" PREFIX=/usr >/dev/null
	rm -r "$copy"
}

# --- what is there -------------------------------------------------------------------------------

# Every interface of this namespace and of every named one.
links()
{
	local ns

	ip -o link | awk -F': ' '{ sub(/@.*/, "", $2); print "link " $2 }' | sort
	for ns in /run/netns/*; do
		[ -e "$ns" ] || continue
		nsenter --net="$ns" ip -o link | awk -F': ' -v ns="${ns##*/}" \
			'{ sub(/@.*/, "", $2); print "link " ns " " $2 }' | sort
	done
}

# files DIRECTORY...
files()
{
	find "$@" -mindepth 1 -printf '%y %M %u %p\n' 2>/dev/null | sort -k 4
}

# All that a fabric is made of. Two of these are equal when nothing was left behind.
snapshot()
{
	links
	files "$IPN_FABRIC_RUN_DIR" "$IPN_FABRIC_BPFFS" "$NETS"
	ipn-fabric show --json 2>/dev/null |
		jq -c 'del(.. | .uptime?)' || true
	ps -eo comm= -o args= | grep '^ipn-fabric ' | grep -v ' show --json' | sort || true
}

# Is nothing that a snapshot shows about to go? All processes that are ports live, and there are no
# more pins and interfaces than ports (and the segmenter).
snapshot_settled() # SNAPSHOT
{
	local line pid nports nlinks pids links=0
	local -A pins=()

	while IFS= read -r line; do
		if [[ $line =~ /link/([0-9]+)- ]]; then
			pins[${BASH_REMATCH[1]}]=1
		elif [[ $line =~ ^link\ ipn[cpv][0-9]+$ ]]; then
			links=$((links + 1))
		fi
	done <<<"$1"
	[[ $line == "{"* || $1 == *$'\n{'* ]] || return 0 # no manager: nothing goes
	[ $((${#pins[@]} + links)) -gt 1 ] || return 0
	read -r nports nlinks pids < <(grep '^{' <<<"$1" | jq -r '.ports |
		([.[] | select(.kind != "sock")] | length | tostring) + " " +
		([.[].kind | select(. != "sock" and . != "tap" and . != "grab")] | length |
			tostring) + " " +
		([.[].pid | select(. != 0) | tostring] | join(" "))')
	for pid in $pids; do
		[ -d "/proc/$pid" ] || return 1
	done
	[ ${#pins[@]} -le $((nports + 1)) ] && [ $links -le "$nlinks" ]
}

# A snapshot when what was under way is done: who compares with it later compares with what stays.
still()
{
	local now end

	end=$((SECONDS + $(limit 20)))
	until now=$(snapshot) && snapshot_settled "$now"; do
		[ $SECONDS -le $end ] || fail "something does not go:
$now"
		sleep 0.05
	done
	echo "$now"
}

# same_again BEFORE WHAT [COMMAND]: what the command (snapshot) says becomes BEFORE again. What has
# ended takes a moment to be gone.
same_again()
{
	local now end

	end=$((SECONDS + $(limit 20)))
	until now=$("${3:-snapshot}") && [ "$1" = "$now" ]; do
		[ $SECONDS -le $end ] || same "$1" "$now" "$2"
		sleep 0.05
	done
}

# same BEFORE AFTER WHAT
same()
{
	[ "$1" = "$2" ] || fail "$3: something was left behind or is gone:
$(diff <(echo "$1") <(echo "$2"))"
}

# What stands, without what the manager's own process is.
shown()
{
	ipn-fabric show --json | jq -S 'del(.fabric.pid, .fabric.uptime, .fabric.adopted)'
}

# equal WHAT WANTED GOT: or says so and fails; lists of words in any order.
equal()
{
	[ "$(tr -s ' \n' '\n\n' <<<"$2" | sort)" = "$(tr -s ' \n' '\n\n' <<<"$3" | sort)" ] &&
		return
	echo "$1: wanted ${2//$'\n'/ }, got ${3//$'\n'/ }"
	return 1
}

dump() # MAP JQ-EXPRESSION
{
	bpftool -j map dump pinned "$IPN_FABRIC_BPFFS/ipn-fabric/v1/$1" | jq -r ".[].formatted | $2"
}

NO_SOCK='.key | select(. < 2147483648)'
# Every interface gets what is flooded.
flooded()
{
	local show

	show=$(ipn-fabric show --json)
	equal "interfaces flooded to" \
		"$(jq '.ports[] | select(.kind != "proc").ifindex' <<<"$show")" \
		"$(dump flood_list 'select(.value != 0).value - 1' | while read -r at; do
			bpftool -j map lookup pinned "$IPN_FABRIC_BPFFS/ipn-fabric/v1/port_out" \
				key $((at & 255)) $((at >> 8)) 0 0 | jq .formatted.value.ifindex
		done)"
}

# All that stands belongs to something that is shown, and is what COMMAND has said.
consistent() # [WHAT [COMMAND]]
{
	local show ports segmenter path now

	show=$(ipn-fabric show --json)
	ports=$(jq '.ports[] | select(.kind != "sock").ifindex' <<<"$show")
	segmenter=$(dump abi '.value | .segmenter, .segmenter_out')
	equal interfaces "$ports $segmenter" \
		"$(ip -j link show group "$(dump abi .value.group)" | jq '.[].ifindex // empty')" &&
		equal ports "$ports" "$(dump port_in "$NO_SOCK")" &&
		equal port_info "$ports" "$(dump port_info "$NO_SOCK")" &&
		equal networks "$(jq -r '.networks[].path' <<<"$show")" \
			"$(dump net_info .value.path)" &&
		equal links "$ports $(dump abi .value.segmenter_out)" \
			"$(find "$IPN_FABRIC_BPFFS/ipn-fabric/v1/link" -type f -printf '%f\n' |
				sed 's/-.*//' | sort -u)" ||
		return 1
	for path in $(jq -r '.networks[].path' <<<"$show"); do
		[ -S "$path" ] || { echo "network $path has no path" && return 1; }
	done
	[ $# = 0 ] && return
	now=$("${2:-shown}")
	[ "$1" = "$now" ] || { diff <(echo "$1") <(echo "$now") && return 1; }
}

# has_ports PATH N
has_ports()
{
	[ "$(ipn-fabric show --json "$1" | jq '.ports | length')" = "$2" ]
}

# stat_of PATH PORT JQ-EXPRESSION
stat_of()
{
	ipn-fabric stats --json "$1" | jq -r ".[] | select(.port == $2) | $3"
}

# A process has got so far that it waits in the kernel, and not for a command on descriptor 0: that
# one it has not read yet.
asleep()
{
	local call first

	[[ $(awk '{ print $3 }' "/proc/$1/stat") == S ]] || return 1
	[ -r "/proc/$1/syscall" ] || return 0
	read -r call first _ <"/proc/$1/syscall" && [ "$call" != running ] && [ "$first" != 0x0 ]
}

# Descriptors the manager holds, but for the timer that it makes when it first needs one.
manager_fds()
{
	find "/proc/$FABRIC_PID/fd" -mindepth 1 ! -lname '*timerfd*' 2>/dev/null | wc -l || true
}

# The same, when sessions that have ended are closed: the number stays as it is for half a second.
still_fds()
{
	local now fds same=0

	fds=$(manager_fds)
	while [ $same -lt 10 ]; do
		sleep 0.05
		now=$(manager_fds)
		same=$((now == fds ? same + 1 : 0)) fds=$now
	done
	echo "$fds"
}

# What they are, without their numbers.
manager_fds_what()
{
	find "/proc/$FABRIC_PID/fd" -mindepth 1 -printf '%l\n' 2>/dev/null |
		sed 's/\[[0-9]*\]//' | sort | uniq -c || true
}

# steady_start NAME PATH [INTERVAL_US]: a pair that exchanges messages (steady.c) from here on.
declare -A STEADY_PID=()
steady_start()
{
	local name=$1

	shift
	steady "$@" >"$IPN_TEST_TMP/.steady.$name" 2>&1 &
	STEADY_PID[$name]=$!
	wait_until 20 grep -q ready "$IPN_TEST_TMP/.steady.$name"
}

# pings_start NAME CONTAINER ADDRESS: an echo request every 20 ms, until pings_stop
declare -A PINGS_PID=()
pings_start()
{
	nsenter --net="/run/netns/$2" ping -n -i 0.02 "$3" >"$IPN_TEST_TMP/.pings.$1" 2>&1 &
	PINGS_PID[$1]=$!
}

# All were answered. The last ones were perhaps under way: what counts is that there is no hole.
pings_stop() # NAME
{
	local last

	last=$(grep -c 'icmp_seq=' "$IPN_TEST_TMP/.pings.$1") || true
	wait_until 20 _pings_after "$1" "$last" # one that was sent after all that happened
	kill -INT "${PINGS_PID[$1]}"
	wait "${PINGS_PID[$1]}" || true
	sed -n 's/.*bytes from.* icmp_seq=\([0-9]*\).*/\1/p' "$IPN_TEST_TMP/.pings.$1" | sort -nu |
		awk '$1 != NR { print "the first without an answer: number " NR; exit 1 }' ||
		fail "pings were lost: $(tail -n 4 "$IPN_TEST_TMP/.pings.$1")"
}

_pings_after() # NAME N
{
	[ "$(grep -c 'icmp_seq=' "$IPN_TEST_TMP/.pings.$1")" -gt $(($2 + 2)) ]
}

# Not one message was lost, and none took longer than MS, times IPN_TEST_SLOW.
steady_stop() # NAME MS
{
	local pid=${STEADY_PID[$1]} sent received lost delay

	kill -0 "$pid" 2>/dev/null || fail "pair $1 ended: $(cat "$IPN_TEST_TMP/.steady.$1")"
	kill -TERM "$pid"
	wait "$pid" || fail "pair $1: $(cat "$IPN_TEST_TMP/.steady.$1")"
	read -r sent received lost delay < <(tail -n 1 "$IPN_TEST_TMP/.steady.$1")
	echo "   pair $1: $sent sent, $received received, $lost lost, longest delay $delay ms"
	[ "$sent" -gt 0 ] && [ "$sent" = "$received" ] && [ "$lost" = 0 ] ||
		fail "pair $1: $sent sent, $received received
$(sed '$d' "$IPN_TEST_TMP/.steady.$1")
$(ipn-fabric stats)"
	[ "$delay" -le "$(limit "$2")" ] || fail "pair $1: a message took $delay ms"
}

# The kernel's number of the log at this index of the map.
log_at() # INDEX
{
	bpftool -j map lookup pinned "$IPN_FABRIC_BPFFS/ipn-fabric/v1/logs_small" \
		key $(($1 % 256)) $(($1 / 256)) 0 0 |
		jq -r '.value | ("0x" + .[1][2:] + .[0][2:]) as $low | "0x" + .[2][2:] + $low[2:]'
}

# The same of a network's log.
log_id() # NAME
{
	log_at "$(ipn-fabric net show "$NETS/$1" --json | jq ".[0].id")"
}

other_log() # NAME THAN
{
	local now

	now=$(log_id "$1") && [ -n "$now" ] && [ "$now" != "$2" ]
}

# What the manager has seen last of the permissions: changes back and forth count for nothing.
seen() # NAME JQ-EXPRESSION
{
	bpftool -j map lookup pinned "$IPN_FABRIC_BPFFS/ipn-fabric/v1/net_info" key \
		"$(ipn-fabric net show "$NETS/$1" --json | jq ".[0].id")" 0 0 0 |
		jq -e ".formatted.value | .rotating == 0 and (.readers | $2)" >/dev/null
}
