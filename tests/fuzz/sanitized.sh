#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# unit_and_control_tests_pass_with_sanitizers
. "$(dirname "$0")/../lib.sh"

for program in "$IPN_ROOT"/build/san/tests/*_test; do
	name=$(basename "$program" _test)
	step "$name"
	mkdir "$IPN_TEST_TMP/$name"
	chmod 755 "$IPN_TEST_TMP/$name"
	IPN_TEST_TMP=$IPN_TEST_TMP/$name \
		unshare --net --mount --pid --fork --kill-child --mount-proc "$program" \
		>"$IPN_TEST_TMP/$name.log" 2>&1 || {
		cat "$IPN_TEST_TMP/$name.log"
		fail "$name"
	}
done
