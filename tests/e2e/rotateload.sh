#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# rotateload: under load, another log loses and doubles nothing, also when the manager dies over it
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/e2e.bash"

umask 0
start_fabric
ipn-fabric net add "$NETS/lossy" --mtu 200 --pool 32768 --mode 0755
ipn-fabric net add "$NETS/lossless" --mtu 200 --pool 64 --lossless --mode 0755

# Rights of others come and go, and the manager dies.
under_load() # NAME PROGRAM...
{
	local name=$1 before pid

	before=$(log_id "$name")
	"${@:2}" "$NETS/$name" 2 3 1 3 4000 >"$IPN_TEST_TMP/orderly" 2>&1 &
	pid=$!
	wait_until 20 grep -q ready "$IPN_TEST_TMP/orderly"
	for i in 1 2; do
		chmod 0700 "$NETS/$name"
		[ $i != 2 ] || {
			kill_fabric
			start_fabric
		}
		wait_until 20 other_log "$name" "$before"
		before=$(log_id "$name")
		chmod 0755 "$NETS/$name"
		wait_until 20 seen "$name" ".mode == 493" # 0755
	done
	wait $pid || fail "$*: $(cat "$IPN_TEST_TMP/orderly")"
	echo "   $*: $(tail -n 1 "$IPN_TEST_TMP/orderly") messages sent, received"
}
for name in lossy lossless; do
	for program in orderlyipn "ipn-fabric run orderly"; do
		step "under load, $name: $program"
		under_load $name $program
	done
done

step "the last log before goes, too, by itself"
gone()
{
	! bpftool map show id $((before)) >/dev/null 2>&1
}
before=$(log_id lossy)
chmod 0700 "$NETS/lossy"
wait_until 20 other_log lossy "$before"
wait_until 30 gone
