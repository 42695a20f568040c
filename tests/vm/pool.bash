# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# LOSSLESS networks under load: what e2e/lossless.sh does last, in amounts for an emulated CPU.
. "$(dirname "$0")/../lib.sh"

# load POOL ARGUMENTS OF pool: nothing is lost, doubled or out of order, nobody sleeps for ever.
load()
{
	local net=$IPN_TEST_TMP/net.$* policy=broadcast

	net=${net// /-}
	[[ $* != *switch ]] || policy=switch
	ipn-fabric net add "$net" --policy $policy --lossless --pool "$1" --nodes 64
	shift
	"$IPN_BUILD/tests/pool" "$net" "$@" >"$IPN_TEST_TMP/rate" || fail "pool $*"
	echo "pool $*: $(cut -d ' ' -f 1 "$IPN_TEST_TMP/rate") messages/s"
	ipn-fabric net del "$net"
}

start_fabric
load 8 1 1 2000 0 0 both
load 8 1 3 1000 200 0 both
load 1 1 1 1000 0 0
load 1 4 3 100 0 2
load 8 4 6 200 200 4
load 64 4 4 500 100 2
load 1 1 1 500 0 0 switch
load 8 4 6 100 200 2 switch
stop_fabric
