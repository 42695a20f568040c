# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Members of a network, and who of them reaches whom. To be read after tests/lib.sh and guest.bash.
#
# The test has set
#   net        the path of the network
#   addr       the IPv4 address of each member, by name
#   pings      how many echo requests of each size
#   limit      seconds for one command of a member
# A member's name says what it is: guest*, uml* a guest; proc*, xsk* an ipnhost; box* a container,
# in the namespace of that name; host the host itself.

declare -A proc_in proc_out proc_pid

# proc_start NAME OPTION...: an ipnhost at its address, with these options, as nobody.
proc_start()
{
	local name=$1 in out line as=as_nobody

	shift
	[ "${1-}" != --xsk ] || as=as_net_raw
	rm -f "$IPN_TEST_TMP/$name.in" "$IPN_TEST_TMP/$name.out"
	mkfifo "$IPN_TEST_TMP/$name.in" "$IPN_TEST_TMP/$name.out"
	exec {in}<>"$IPN_TEST_TMP/$name.in" {out}<>"$IPN_TEST_TMP/$name.out"
	$as "$IPN_BUILD/tests/ipnhost" "$net" "${addr[$name]}" --stdin "$@" \
		<&"$in" >&"$out" &
	proc_pid[$name]=$! proc_in[$name]=$in proc_out[$name]=$out
	IFS= read -r -t "$(limit 10)" -u "$out" line || fail "$name: not ready"
	assert_eq ready "$line" "$name"
}

# proc_ask NAME COMMAND: the line it answers. Carries what it has of it over its own short waits.
proc_ask()
{
	local line='' part end=$((SECONDS + limit))

	printf '%s\n' "$2" >&"${proc_in[$1]}"
	until IFS= read -r -t 1 -u "${proc_out[$1]}" part; do
		line+=$part
		if ! kill -0 "${proc_pid[$1]}" 2>/dev/null || [ "$SECONDS" -ge "$end" ]; then
			echo "$1 does not answer: $2"
			return 1
		fi
	done
	printf '%s\n' "$line$part"
}

proc_quit() # NAME: its statistics; status 1 if it saw bad frames
{
	proc_ask "$1" stats || return 1
	printf 'quit\n' >&"${proc_in[$1]}"
	wait "${proc_pid[$1]}" || return
	exec {proc_in[$1]}<&- {proc_out[$1]}<&-
}

# on STATION TEXT: runs the shell text there.
on()
{
	case $1 in
	guest* | uml*) GUEST_TIMEOUT=$limit guest "$1" "$2" ;;
	box*) in_netns "$1" timeout "$limit" sh -c "$2" ;;
	host) timeout "$limit" sh -c "$2" ;;
	esac
}

# Echo requests with 56 and with 1400 bytes, all answered (and to a process each once).
reach() # FROM TO
{
	local to=${addr[$2]} size out

	case $1 in
	proc* | xsk*)
		for size in 56 1400; do
			out=$(proc_ask "$1" "ping $to $pings $size 5") &&
				[ "$out" = "ping $to: $pings/$pings" ] ||
				{ echo "$size bytes: $out"; return 1; }
		done
		;;
	*)
		# One at a time: after a first answer, ping waits only two round trips for others.
		out=$(on "$1" "for size in 56 1400; do for i in $(seq -s ' ' $pings); do
			ping -n -q -c 1 -W 20 -s \$size $to || exit; done; done" 2>&1) ||
			{ echo "$out"; return 1; }
		;;
	esac
}

# matrix TITLE WHAT MEMBER...: tries WHAT from each to each and shows the table.
matrix()
{
	local what=$2 from to out why=() row

	step "$1"
	shift 2
	printf '%-10s' ''
	printf ' %9s' "$@"
	echo
	for from; do
		row=
		for to; do
			if [ "$from" = "$to" ]; then
				row+=$(printf ' %9s' -)
			elif out=$("$what" "$from" "$to" 2>&1); then
				row+=$(printf ' %9s' ok)
			else
				row+=$(printf ' %9s' NO)
				why+=("$from to $to: $out")
			fi
		done
		printf '%-10s%s\n' "$from" "$row"
	done
	[ ${#why[@]} = 0 ] || fail "$(printf '%s\n' "${why[@]}")"
}
