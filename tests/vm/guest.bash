# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Guests that a test starts, commands and stops.
#   guest_start NAME OPTION...       with build/vm/$GUEST_INITRAMFS.cpio; options of run-guest, such
#                                    as --tap vm1 --ip 10.0.0.1/24
#   guest_wait NAME                  until it takes commands
#   guest NAME COMMAND...            runs the shell text in the guest: its output, its status
#   guest_stop NAME
# GUEST_DIR is where consoles and command channels are; GUEST_TIMEOUT limits a command, in seconds.
# Commands for one guest wait for each other; those for different guests run side by side.

GUEST_TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
GUEST_DIR=${GUEST_DIR:?}
GUEST_INITRAMFS=${GUEST_INITRAMFS:-guest}
GUEST_TIMEOUT=${GUEST_TIMEOUT:-$((20 * ${IPN_TEST_SLOW:-1}))}
GUEST_BOOT_TIMEOUT=${GUEST_BOOT_TIMEOUT:-$((120 * ${IPN_TEST_SLOW:-1}))}
declare -A GUEST_PID

guest_start()
{
	local name=$1

	shift
	rm -f "$GUEST_DIR/$name.in" "$GUEST_DIR/$name.out" # of one that was stopped
	mkfifo "$GUEST_DIR/$name.in" "$GUEST_DIR/$name.out"
	"$GUEST_TOP/scripts/run-guest" --name "$name" --initramfs "$GUEST_INITRAMFS" "$@" \
		--control "$GUEST_DIR/$name" --log "$GUEST_DIR/$name.log" \
		</dev/null >"$GUEST_DIR/$name.qemu" 2>&1 &
	GUEST_PID[$name]=$!
}

# guest_read NAME FD DEADLINE: the next line from the guest into $line. Status 1: no line in time,
# or the guest is gone. Carries what it has of a line over its own short waits.
guest_read()
{
	local part

	line=
	while ! IFS= read -r -t 0.5 -u "$2" part; do
		line+=$part
		[ "$SECONDS" -le "$3" ] || return 1
		kill -0 "${GUEST_PID[$1]}" 2>/dev/null || return 1
	done
	line+=$part
}

guest_complain()
{
	local name=$1

	shift
	printf 'guest %s: %s\n' "$name" "$*" >&2
	tail -n 15 "$GUEST_DIR/$name.qemu" "$GUEST_DIR/$name.log" >&2 2>/dev/null || true
}

guest_wait()
{
	local name=$1 line fd deadline=$((SECONDS + GUEST_BOOT_TIMEOUT))

	exec {fd}<>"$GUEST_DIR/$name.out"
	while guest_read "$name" "$fd" "$deadline"; do
		case $line in @@READY*)
			exec {fd}<&-
			return 0
			;;
		esac
	done
	exec {fd}<&-
	guest_complain "$name" 'not ready'
	return 1
}

guest()
{
	local name=$1 line fd lock status='' begun='' id=$BASHPID.$RANDOM
	local deadline=$((SECONDS + GUEST_TIMEOUT + 10))

	shift
	exec {lock}>"$GUEST_DIR/$name.lock" {fd}<>"$GUEST_DIR/$name.out"
	if ! flock -w "$((GUEST_TIMEOUT + 10))" "$lock"; then
		guest_complain "$name" "busy: $*"
		return 125
	fi
	printf '%s %s %s\n' "$id" "$GUEST_TIMEOUT" "$(printf '%s\n' "$*" | base64 -w 0)" \
		1<>"$GUEST_DIR/$name.in"
	while [ -z "$status" ] && guest_read "$name" "$fd" "$deadline"; do
		case $line in
		"@@BEGIN $id") begun=1 ;;
		"@@END $id "*) status=${line##* } ;;
		*) [ -z "$begun" ] || printf '%s\n' "$line" ;;
		esac
	done
	exec {fd}<&- {lock}>&-
	[ -n "$status" ] || guest_complain "$name" "no answer to: $*"
	return "${status:-125}"
}

guest_stop()
{
	local pid=${GUEST_PID[$1]:-}

	[ -n "$pid" ] || return 0
	unset "GUEST_PID[$1]"
	kill "$pid" 2>/dev/null || return 0
	wait "$pid" 2>/dev/null || true
}
