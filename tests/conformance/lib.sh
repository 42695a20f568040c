#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# lib: what IPN promises holds for programs that use libipn
. "$(dirname "$0")/../lib.sh"

start_fabric
"$IPN_BUILD/tests/conformance-lib" -d "$IPN_TEST_TMP" "$@"
stop_fabric
