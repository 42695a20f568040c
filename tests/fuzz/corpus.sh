#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# no_input_of_the_corpora_breaks_its_target
. "$(dirname "$0")/../lib.sh"

"$IPN_ROOT/tests/fuzz/run" -r
sources=("$IPN_ROOT"/tests/fuzz/*_fuzz.c)
[ "$("$IPN_ROOT/tests/fuzz/run" -l | wc -l)" = "${#sources[@]}" ] ||
	fail "tests/fuzz/targets does not name each target"
