#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# demo: what the README has people run first works from one end to the other, and leaves nothing
. "$(dirname "$0")/../lib.sh"

before=$(ls "$IPN_TEST_TMP")
TMPDIR=$IPN_TEST_TMP expect_status 0 "$IPN_ROOT/scripts/demo"
for said in "reader 3 (nobody): second headline" "3 received" "IPN_KIND_" "All of it worked."; do
	[[ $OUT == *"$said"* ]] || fail "not a word of '$said' in: $OUT"
done
[[ $OUT != *"(status"* ]] || fail "$OUT"
assert_eq "$before" "$(ls "$IPN_TEST_TMP")" "what is left"
