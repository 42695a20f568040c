#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# library: libipn takes no names from programs but ipn_*, shared or static
. "$(dirname "$0")/../lib.sh"

step "names"
names()
{
	nm -g --defined-only "$@" | awk 'NF == 3 && $2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}
assert_eq "$(names -D "$IPN_BUILD/libipn.so.1")" "$(names "$IPN_BUILD/libipn.a")" "names of both"
assert_eq "" "$(names "$IPN_BUILD/libipn.a" | grep -v '^ipn_' || true)" "other names"

step "a program with functions of its own of the same names"
cat >"$IPN_TEST_TMP/prog.c" <<'C'
#include <ipn/ipn.h>
#include <stdio.h>
int client_open(void) { return 1; }
int sock_get(void) { return 2; }
int who_am_i(void) { return 3; }
int main(void)
{
	printf("%d %d\n", ipn_socket(AF_IPN, SOCK_STREAM, 0), client_open() + sock_get() + who_am_i());
	return 0;
}
C
${CC:-cc} -I"$IPN_ROOT/include" -o "$IPN_TEST_TMP/static" "$IPN_TEST_TMP/prog.c" \
	"$IPN_BUILD/libipn.a" -lpthread
${CC:-cc} -I"$IPN_ROOT/include" -o "$IPN_TEST_TMP/shared" "$IPN_TEST_TMP/prog.c" \
	"$IPN_BUILD/libipn.so" -Wl,-rpath,"$IPN_BUILD"
assert_eq "-1 6" "$("$IPN_TEST_TMP/static")" "static"
assert_eq "-1 6" "$("$IPN_TEST_TMP/shared")" "shared"
