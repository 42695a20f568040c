// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The checks of a policy's file: cut off everywhere, with each byte of its header and of its table
 * of sections changed, with marks of other versions. Each copy of the file is in memory of its own
 * size, so that sanitizers see a look behind its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <elf.h>
#include <errno.h>
#include <ipn/policy_abi.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/policies/loader.h"

#define KIT_MAJOR_STEP (1U << 16)

static __u8 *good;
static size_t good_size;

static int setup(void **state)
{
	char exe[512], path[600];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	FILE *f;

	(void)state;
	if (n <= 0)
		return -1;
	exe[n] = '\0';
	snprintf(path, sizeof(path), "%s/refuse.bpf.o", dirname(exe));
	f = fopen(path, "r");
	if (!f) {
		print_error("%s: not built (make tests)\n", path);
		return -1;
	}
	good = malloc(4 << 20);
	good_size = good ? fread(good, 1, 4 << 20, f) : 0;
	fclose(f);
	return good_size ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	free(good);
	return 0;
}

/* An error has its line of text. */
static int check(const __u8 *data, size_t size)
{
	struct errtext e = { "" };
	int r = policy_file_check(data, size, &e);

	if (r)
		assert_true(e.text[0] && strlen(e.text) < sizeof(e.text));
	if (r && r != -ENOEXEC && r != -EINVAL && r != -EPROTO)
		fail_msg("%d: %s", r, e.text);
	return r;
}

static __u8 *copy_of(size_t size)
{
	__u8 *copy = malloc(size ? size : 1);

	assert_non_null(copy);
	memcpy(copy, good, size);
	return copy;
}

static void the_file_itself_is_good(void **state)
{
	(void)state;
	assert_int_equal(check(good, good_size), 0);
}

/* Its table of sections is at its end, so no shorter one is whole. */
static void every_truncation_is_refused(void **state)
{
	(void)state;
	/* all of the short ones; of the long ones, those around the ends of things, and others */
	for (size_t size = 0; size < good_size; size++) {
		__u8 *copy;

		if (size > 1024 && size < good_size - 4096 && size % 61)
			continue;
		copy = copy_of(size);
		if (check(copy, size) != -ENOEXEC)
			fail_msg("%zu of %zu bytes are taken", size, good_size);
		free(copy);
	}
}

/* Values of a byte that are at an edge of something, and its bits turned one by one. */
static void each_change_of(size_t at)
{
	static const __u8 values[] = { 0, 1, 0x7f, 0x80, 0xff };
	__u8 *copy = copy_of(good_size);

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		copy[at] = values[i];
		check(copy, good_size);
	}
	for (int bit = 0; bit < 8; bit++) {
		copy[at] = good[at] ^ (__u8)(1 << bit);
		check(copy, good_size);
	}
	free(copy);
}

static void every_byte_of_the_header_is_changed(void **state)
{
	__u8 *copy = copy_of(good_size);

	(void)state;
	for (size_t at = 0; at < sizeof(Elf64_Ehdr); at++) {
		for (int value = 0; value < 256; value++) {
			copy[at] = (__u8)value;
			check(copy, good_size);
		}
		copy[at] = good[at];
	}
	free(copy);
}

static void every_byte_of_the_table_of_sections_is_changed(void **state)
{
	Elf64_Ehdr h;

	(void)state;
	memcpy(&h, good, sizeof(h));
	assert_true(h.e_shoff + (size_t)h.e_shnum * sizeof(Elf64_Shdr) <= good_size);
	for (size_t i = 0; i < (size_t)h.e_shnum * sizeof(Elf64_Shdr); i++)
		each_change_of(h.e_shoff + i);
}

static void numbers_that_overflow_are_refused(void **state)
{
	static const struct {
		size_t at, size;
		__u64 value;
	} rows[] = {
		{ offsetof(Elf64_Ehdr, e_shoff), 8, ~0ULL },
		{ offsetof(Elf64_Ehdr, e_shoff), 8, ~0ULL - 63 },
		{ offsetof(Elf64_Ehdr, e_shoff), 8, 1ULL << 63 },
		{ offsetof(Elf64_Ehdr, e_shnum), 2, 0 },
		{ offsetof(Elf64_Ehdr, e_shnum), 2, 0xffff },
		{ offsetof(Elf64_Ehdr, e_shstrndx), 2, 0xffff },
		{ offsetof(Elf64_Ehdr, e_shentsize), 2, 0 },
		{ offsetof(Elf64_Ehdr, e_machine), 2, EM_X86_64 },
		{ offsetof(Elf64_Ehdr, e_type), 2, ET_EXEC },
		{ EI_CLASS, 1, ELFCLASS32 },
		{ EI_DATA, 1, ELFDATA2MSB },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		__u8 *copy = copy_of(good_size);

		memcpy(copy + rows[i].at, &rows[i].value, rows[i].size);
		if (check(copy, good_size) != -ENOEXEC)
			fail_msg("row %zu is taken", i);
		free(copy);
	}
}

static void sections_that_end_behind_the_file_are_refused(void **state)
{
	Elf64_Ehdr h;

	(void)state;
	memcpy(&h, good, sizeof(h));
	for (size_t i = 1; i < h.e_shnum; i++) {
		const size_t at = h.e_shoff + i * sizeof(Elf64_Shdr);
		const __u64 huge[] = { good_size + 1, 1ULL << 40, ~0ULL };
		Elf64_Shdr s;

		memcpy(&s, good + at, sizeof(s));
		if (s.sh_type == SHT_NOBITS || s.sh_type == SHT_NULL)
			continue;
		for (size_t v = 0; v < ARRAY_SIZE(huge); v++) {
			__u8 *copy = copy_of(good_size);
			Elf64_Shdr bad = s;

			bad.sh_offset = huge[v];
			memcpy(copy + at, &bad, sizeof(bad));
			assert_int_equal(check(copy, good_size), -ENOEXEC);
			bad = s;
			bad.sh_size = huge[v];
			memcpy(copy + at, &bad, sizeof(bad));
			assert_int_equal(check(copy, good_size), -ENOEXEC);
			free(copy);
		}
	}
}

/* Where the mark is in the file. */
static size_t mark_at(void)
{
	const __u32 magic = IPN_POLICY_MAGIC;
	const __u8 *p = memmem(good, good_size, &magic, sizeof(magic));

	assert_non_null(p);
	return (size_t)(p - good);
}

static void marks_of_others_are_refused(void **state)
{
	const struct {
		size_t at;
		__u32 change; /* added */
		int r;
	} rows[] = {
		{ offsetof(struct ipn_policy_mark, magic), 1, -EINVAL },
		{ offsetof(struct ipn_policy_mark, abi), 1, -EPROTO },
		{ offsetof(struct ipn_policy_mark, abi), (__u32)-1, -EPROTO },
		{ offsetof(struct ipn_policy_mark, call), 8, -EPROTO },
		{ offsetof(struct ipn_policy_mark, kit), KIT_MAJOR_STEP, -EPROTO },
		{ offsetof(struct ipn_policy_mark, kit), -KIT_MAJOR_STEP, -EPROTO },
		{ offsetof(struct ipn_policy_mark, kit), 1, -EPROTO },
	};
	const size_t mark = mark_at();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		__u8 *copy = copy_of(good_size);
		__u32 value;

		memcpy(&value, copy + mark + rows[i].at, sizeof(value));
		value += rows[i].change;
		memcpy(copy + mark + rows[i].at, &value, sizeof(value));
		if (check(copy, good_size) != rows[i].r)
			fail_msg("row %zu: not %d", i, rows[i].r);
		free(copy);
	}
}

static void a_mark_that_is_too_short_is_none(void **state)
{
	const size_t mark = mark_at();
	Elf64_Ehdr h;

	(void)state;
	memcpy(&h, good, sizeof(h));
	for (size_t i = 1; i < h.e_shnum; i++) {
		const size_t at = h.e_shoff + i * sizeof(Elf64_Shdr);
		__u8 *copy = copy_of(good_size);
		Elf64_Shdr s;

		memcpy(&s, good + at, sizeof(s));
		if (s.sh_offset == mark && s.sh_type == SHT_PROGBITS) {
			for (s.sh_size = 0; s.sh_size < sizeof(struct ipn_policy_mark);
			     s.sh_size++) {
				memcpy(copy + at, &s, sizeof(s));
				assert_int_equal(check(copy, good_size), -EINVAL);
			}
		}
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_file_itself_is_good),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_byte_of_the_header_is_changed),
		cmocka_unit_test(every_byte_of_the_table_of_sections_is_changed),
		cmocka_unit_test(numbers_that_overflow_are_refused),
		cmocka_unit_test(sections_that_end_behind_the_file_are_refused),
		cmocka_unit_test(marks_of_others_are_refused),
		cmocka_unit_test(a_mark_that_is_too_short_is_none),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
