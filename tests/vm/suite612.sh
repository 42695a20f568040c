#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# the_tests_pass_on_linux_6_12: in a guest with Debian's kernel; suite.bash says which tests.
if [ -z "${IPN_TEST_GUEST:-}" ] && [ "${IPN_TEST_KERNELS:-}" != all ]; then
	echo "skip: takes long: IPN_TEST_KERNELS=all runs it"
	exit 77
fi
SUITE_KERNEL=6.12
. "$(dirname "$0")/suite.bash"
