#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# no_kernel_takes_out_what_is_needed: what the verifier of Linux 6.1 does not reach, that kernel
# takes out of a program. Nothing that this machine's kernel keeps may be among it. And there, too,
# programs are no harder to verify than the table says. IPN_TEST_KERNELS=all: also Linux 6.12.

here=$(dirname "$0")
scripts=$here/../../scripts
kernels=(6.1)
[ "${IPN_TEST_KERNELS:-}" != all ] || kernels+=(6.12)
# The test's own network has no way out: what is downloaded must be here before.
if [ -z "${IPN_TEST_INSIDE:-}" ] && [ "$(id -u)" = 0 ]; then
	for kernel in "${kernels[@]}"; do
		"$scripts/fetch-kernel" "$kernel" >/dev/null || exit 1
	done
fi
. "$here/../lib.sh"

# Before 6.7 this kernel has the same fault, before 6.10 its verifier does not name lines.
[ "$(printf '%s\n' 6.10 "$(uname -r)" | sort -V | head -n 1)" = 6.10 ] ||
	skip "needs Linux 6.10 or newer to compare with"

for kernel in "${kernels[@]}"; do
	step "Linux $kernel: what it takes out and this one does not"
	"$scripts/verifier-report" --dead "$kernel" ||
		fail "code that is needed is gone, or see above"
done
