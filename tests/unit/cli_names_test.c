// SPDX-License-Identifier: GPL-2.0-or-later
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>

#include "common/names.h"
#include "common/util.h"

static void every_drop_reason_has_one_short_word(void **state)
{
	assert_non_null(names_drop(IPN_DROP_DEVICE));
	for (__u32 i = 0; i <= IPN_DROP_DEVICE; i++) {
		const char *name = names_drop(i);

		assert_non_null(name);
		assert_true(*name && strlen(name) <= 12);
		for (const char *s = name; *s; s++)
			assert_true(islower((unsigned char)*s) || *s == '_');
		assert_int_equal(names_drop_find(name), i);
		assert_true(strlen(names_drop_text(i)) > 10);
	}
	assert_string_equal(names_drop(IPN_DROP_MTU), "mtu");
	assert_string_equal(names_drop(IPN_DROP_NOT_WRITER), "not_writer");
}

static void kinds_policies_and_hooks_both_ways(void **state)
{
	for (__u32 i = 0; i <= IPN_KIND_GRAB; i++)
		assert_int_equal(names_kind_find(names_kind(i)), i);
	for (__u32 i = 0; i <= IPN_POLICY_SWITCH; i++)
		assert_int_equal(names_policy_find(names_policy(i)), i);
	assert_string_equal(names_kind(IPN_KIND_VETH), "veth");
	assert_string_equal(names_policy(IPN_POLICY_SWITCH), "switch");
	assert_string_equal(names_hook(IPN_HOOK_TCX), "tcx");
	assert_string_equal(names_hook(IPN_HOOK_CLSACT), "clsact");
}

static void unknown_has_no_name(void **state)
{
	static const __u32 numbers[] = { IPN_DROP_MAX, IPN_DROP_MAX - 1, 1000, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		assert_null(names_drop(numbers[i]));
		assert_null(names_drop_text(numbers[i]));
		assert_null(names_kind(numbers[i]));
		assert_null(names_policy(numbers[i]));
		assert_null(names_hook(numbers[i]));
	}
	assert_int_equal(names_drop_find("nothing"), -ENOENT);
	assert_int_equal(names_drop_find(""), -ENOENT);
	assert_int_equal(names_kind_find("MTU"), -ENOENT);
	assert_int_equal(names_policy_find("switc"), -ENOENT);
}

/* The manual tells all reasons. Run in the tree; elsewhere there is nothing to compare. */
static void manual_lists_every_drop_reason(void **state)
{
	FILE *in = fopen("docs/ipn-fabric.8.scd", "r");
	static char text[65536], entry[32];
	size_t n;

	if (!in)
		skip();
	n = fread(text, 1, sizeof(text) - 1, in);
	fclose(in);
	text[n] = '\0';
	for (__u32 i = 0; names_drop(i); i++) {
		char *to = entry;

		*to++ = '*';
		for (const char *s = names_drop(i); *s; s++) {
			if (*s == '_')
				*to++ = '\\';
			*to++ = *s;
		}
		to[0] = '*';
		to[1] = '\0';
		if (!strstr(text, entry))
			fail_msg("%s is not in the manual", entry);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_drop_reason_has_one_short_word),
		cmocka_unit_test(kinds_policies_and_hooks_both_ways),
		cmocka_unit_test(unknown_has_no_name),
		cmocka_unit_test(manual_lists_every_drop_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
