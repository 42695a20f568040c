// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Linked into every cmocka program of tests/unit and tests/bpf: with $IPN_TEST_CASE set it runs
 * only the tests whose name matches that extended regular expression (tests/run -k TEST:CASE).
 * The linker leads calls of _cmocka_run_group_tests here (--wrap, see Makefile), so that the
 * programs need to know nothing of it. If no name matches, the program fails and prints the names.
 */
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define NOT_RUN 2

int __real__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t n,
				   CMFixtureFunction setup, CMFixtureFunction teardown);
int __wrap__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t n,
				   CMFixtureFunction setup, CMFixtureFunction teardown);

static int no_match(const char *pattern, const struct CMUnitTest *tests, size_t n)
{
	fprintf(stderr, "no test case matches '%s'; there are:\n", pattern);
	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "  %s\n", tests[i].name);
	return NOT_RUN;
}

int __wrap__cmocka_run_group_tests(const char *group, const struct CMUnitTest *tests, size_t n,
				   CMFixtureFunction setup, CMFixtureFunction teardown)
{
	const char *pattern = getenv("IPN_TEST_CASE");
	struct CMUnitTest *chosen;
	size_t count = 0;
	regex_t re;
	int r;

	if (!pattern || !*pattern)
		return __real__cmocka_run_group_tests(group, tests, n, setup, teardown);
	if (regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB)) {
		fprintf(stderr, "IPN_TEST_CASE: '%s' is not an extended regular expression\n",
			pattern);
		return NOT_RUN;
	}
	chosen = calloc(n, sizeof(*chosen));
	if (!chosen)
		return NOT_RUN;
	for (size_t i = 0; i < n; i++)
		if (!regexec(&re, tests[i].name, 0, NULL, 0))
			memcpy(&chosen[count++], &tests[i], sizeof(tests[i]));
	regfree(&re);
	if (count)
		r = __real__cmocka_run_group_tests(group, chosen, count, setup, teardown);
	else
		r = no_match(pattern, tests, n);
	free(chosen);
	return r;
}
