#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# shim: what IPN promises holds for programs that know nothing of the fabric
. "$(dirname "$0")/../lib.sh"

start_fabric
ipn-fabric run -- "$IPN_BUILD/tests/conformance-plain" -d "$IPN_TEST_TMP" "$@"
stop_fabric
