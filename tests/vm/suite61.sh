#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# the_tests_pass_on_linux_6_1: in a guest with Debian's kernel; suite.bash says which tests.
SUITE_KERNEL=6.1
. "$(dirname "$0")/suite.bash"
