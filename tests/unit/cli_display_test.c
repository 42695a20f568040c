// SPDX-License-Identifier: GPL-2.0-or-later
/* Rows as tables and as JSON, and the lines that `send` reads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ipn/control.h>
#include <sys/mman.h>

#include "cli/display.h"
#include "cli/lines.h"
#include "cli/rows.h"
#include "common/names.h"
#include "common/util.h"

struct row {
	char name[8]; /* may be full */
	__u32 small;
	__u32 mode;
	__u64 big;
	__u8 mac[6];
	__u16 vlan;
};

static json_t *both(const void *row)
{
	return json_sprintf("<%u>", ((const struct row *)row)->small);
}

static json_t *out_of_memory(const void *row)
{
	return NULL;
}

static const struct display_column columns[] = {
	DISPLAY_FIELD("NAME", "name", DISPLAY_TEXT, struct row, name),
	DISPLAY_FIELD("SMALL", "small", DISPLAY_U32, struct row, small),
	DISPLAY_FIELD(NULL, "big", DISPLAY_U64, struct row, big),
	DISPLAY_FIELD("MODE", "mode", DISPLAY_OCTAL, struct row, mode),
	DISPLAY_FIELD("ON", "on", DISPLAY_BOOL, struct row, small),
	DISPLAY_FIELD("MAC", "mac", DISPLAY_MAC, struct row, mac),
	DISPLAY_FIELD("VLAN", "vlan", DISPLAY_U16, struct row, vlan),
	DISPLAY_CALL("BOTH", NULL, both),
};
static const struct display display = { columns, ARRAY_SIZE(columns), sizeof(struct row) };

static const struct row rows[] = {
	{ "a", 5, 0770, 1ULL << 40, { 2, 0, 0, 0, 0xab, 0xcd }, 4094 },
	{ { 'e', 'i', 'g', 'h', 't', 'c', 'h', 'r' }, 12345678, 7, 0, { 0 }, 0 },
	{ "", 0, 0, 0, { 0 }, 0 },
};

static char output[16384];

static FILE *out_open(void)
{
	FILE *out = fmemopen(output, sizeof(output), "w");

	assert_non_null(out);
	return out;
}

static void table_is_aligned(void **state)
{
	FILE *out = out_open();

	assert_int_equal(display_table(out, &display, rows, ARRAY_SIZE(rows)), 0);
	fclose(out);
	assert_string_equal(output,
			    "NAME         SMALL  MODE  ON   MAC                VLAN  BOTH\n"
			    "a                5  0770  yes  02:00:00:00:ab:cd  4094  <5>\n"
			    "eightchr  12345678  0007  yes  00:00:00:00:00:00     0  <12345678>\n"
			    "-                0  0000  no   00:00:00:00:00:00     0  <0>\n");
}

static void empty_table_is_its_header(void **state)
{
	FILE *out = out_open();

	assert_int_equal(display_rows(out, &display, NULL, 0, false), 0);
	fclose(out);
	assert_string_equal(output, "NAME  SMALL  MODE  ON  MAC  VLAN  BOTH\n");
	out = out_open();
	assert_int_equal(display_rows(out, &display, NULL, 0, true), 0);
	fclose(out);
	assert_string_equal(output, "[]\n");
}

static void json_has_types_and_all_keys(void **state)
{
	json_t *array = display_array(&display, rows, ARRAY_SIZE(rows));
	json_t *object = json_array_get(array, 0);

	assert_int_equal(json_array_size(array), 3);
	assert_int_equal(json_object_size(object), 7);
	assert_string_equal(json_string_value(json_object_get(object, "name")), "a");
	assert_int_equal(json_integer_value(json_object_get(object, "big")), 1ULL << 40);
	assert_string_equal(json_string_value(json_object_get(object, "mode")), "0770");
	assert_true(json_is_true(json_object_get(object, "on")));
	assert_int_equal(json_integer_value(json_object_get(object, "vlan")), 4094);
	object = json_array_get(array, 1);
	assert_string_equal(json_string_value(json_object_get(object, "name")), "eightchr");
	json_decref(array);
}

static void foreign_text_is_tamed(void **state)
{
	static const struct {
		const char *in;
		const char *json;
		const char *table;
	} texts[] = {
		{ "caf\xc3\xa9", "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "\xf0\x9f\x90\x9f", "\xf0\x9f\x90\x9f", "\xf0\x9f\x90\x9f" },
		{ "\x1b[2J\n", "\x1b[2J\n", "?[2J?" },
		{ "\xc2\x9b", "\xc2\x9b", "??" },
		{ "\xff", "\xef\xbf\xbd", "\xef\xbf\xbd" },
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd", "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "a\xe2\x82", "a\xef\xbf\xbd\xef\xbf\xbd", "a\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
		  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd",
		  "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
	};
	static const struct display_column name =
		DISPLAY_FIELD("N", "n", DISPLAY_TEXT, struct row, name);
	static const struct display d = { &name, 1, sizeof(struct row) };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct row row = { .name = "" };
		FILE *out = out_open();
		char expected[64];
		json_t *object;

		util_copy(row.name, sizeof(row.name), texts[i].in);
		assert_int_equal(display_table(out, &d, &row, 1), 0);
		fclose(out);
		snprintf(expected, sizeof(expected), "N\n%s\n", texts[i].table);
		assert_string_equal(strchr(output, '\n') + 1, strchr(expected, '\n') + 1);
		object = display_object(&d, &row);
		assert_string_equal(json_string_value(json_object_get(object, "n")), texts[i].json);
		json_decref(object);
	}
}

static void no_memory_is_an_error(void **state)
{
	static const struct display_column column = DISPLAY_CALL("X", "x", out_of_memory);
	static const struct display d = { &column, 1, sizeof(struct row) };
	FILE *out = out_open();

	assert_null(display_object(&d, rows));
	assert_null(display_array(&d, rows, 2));
	assert_int_equal(display_table(out, &d, rows, 1), -ENOMEM);
	assert_int_equal(display_record(out, &d, rows), -ENOMEM);
	assert_int_equal(display_rows(out, &d, rows, 1, true), -ENOMEM);
	fclose(out);
}

static void stats_name_all_reasons_and_show_those_that_count(void **state)
{
	struct ipn_ctl_port port = { .port = 3, .kind = IPN_KIND_PROC, .name = "ipnp0" };
	json_t *object, *drops;
	FILE *out = out_open();
	size_t named = 0;

	port.stats.in_packets = 7;
	port.stats.drop[IPN_DROP_RUNT] = 4;
	port.stats.drop[IPN_DROP_OVERRUN] = 9;
	port.stats.drop[IPN_DROP_MAX - 1] = 1; /* of a newer fabric */
	util_copy(port.path, sizeof(port.path), "/run/ipn/lan");
	assert_int_equal(display_table(out, &display_stats, &port, 1), 0);
	fclose(out);
	assert_non_null(strstr(output, "runt=4 overrun=9 reason_63=1\n"));
	assert_null(strstr(output, "mtu"));

	object = display_object(&display_stats, &port);
	drops = json_object_get(object, "drops");
	for (__u32 i = 0; i < IPN_DROP_MAX; i++)
		named += names_drop(i) != NULL;
	assert_int_equal(json_object_size(drops), named + 1);
	for (__u32 i = 0; names_drop(i); i++)
		assert_true(json_is_integer(json_object_get(drops, names_drop(i))));
	assert_int_equal(json_integer_value(json_object_get(object, "in_packets")), 7);
	assert_string_equal(json_string_value(json_object_get(object, "kind")), "proc");
	json_decref(object);
}

static void port_state_and_sides(void **state)
{
	struct ipn_ctl_port port = { .kind = 77, .flags = IPN_PF_UP | IPN_PF_READER };
	json_t *object = display_object(&display_ports, &port);
	FILE *out = out_open();

	assert_true(json_is_true(json_object_get(object, "up")));
	assert_true(json_is_true(json_object_get(object, "reader")));
	assert_true(json_is_false(json_object_get(object, "writer")));
	assert_string_equal(json_string_value(json_object_get(object, "kind")), "77");
	assert_true(json_is_null(json_object_get(object, "cable")));
	json_decref(object);
	assert_int_equal(display_table(out, &display_ports, &port, 1), 0);
	fclose(out);
	assert_non_null(strstr(output, "up     r-"));
}

static void port_of_a_cable_says_where_it_goes(void **state)
{
	struct ipn_ctl_port port = {
		.kind = IPN_KIND_CABLE, .name = "ipnc3", .peer = "/run/ipn/far", .peer_port = 5
	};
	json_t *object = display_object(&display_ports, &port);
	json_t *cable = json_object_get(object, "cable");
	FILE *out = out_open();

	assert_string_equal(json_string_value(json_object_get(object, "kind")), "cable");
	assert_string_equal(json_string_value(json_object_get(object, "name")), "ipnc3");
	assert_string_equal(json_string_value(json_object_get(cable, "network")), "/run/ipn/far");
	assert_int_equal(json_integer_value(json_object_get(cable, "port")), 5);
	json_decref(object);
	assert_int_equal(display_table(out, &display_ports, &port, 1), 0);
	fclose(out);
	assert_non_null(strstr(output, "cable  /run/ipn/far:5"));
}

/* Lines of a file with these bytes. */
static struct lines lines_of(const void *bytes, size_t len)
{
	struct lines lines = { .fd = memfd_create("lines", MFD_CLOEXEC) };

	assert_true(lines.fd >= 0);
	assert_int_equal(write(lines.fd, bytes, len), len);
	lseek(lines.fd, 0, SEEK_SET);
	return lines;
}

static void lines_hold_any_bytes(void **state)
{
	static const char text[] = "one\n\nt\0w\0o\n\xff\r\nlast";
	static const struct {
		const char *line;
		size_t len;
	} expected[] = {
		{ "one", 3 }, { "", 0 }, { "t\0w\0o", 5 }, { "\xff\r", 2 }, { "last", 4 },
	};
	struct lines lines = lines_of(text, sizeof(text) - 1);
	const char *line;
	size_t len;

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		assert_int_equal(lines_next(&lines, &line, &len), 1);
		assert_int_equal(len, expected[i].len);
		assert_memory_equal(line, expected[i].line, len);
	}
	assert_int_equal(lines_next(&lines, &line, &len), 0);
	assert_int_equal(lines_next(&lines, &line, &len), 0);
	lines_free(&lines);
}

static void lines_of_all_lengths(void **state)
{
	static const size_t lengths[] = { 65535, 0, 1, 65534, 4096, 60000, 65535, 131, 65536 };
	char *text = malloc(600000), *at = text;
	struct lines lines;
	const char *line;
	size_t len;

	assert_non_null(text);
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		memset(at, 'a' + (int)i, lengths[i]);
		at += lengths[i];
		*at++ = '\n';
	}
	lines = lines_of(text, (size_t)(at - text));
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		assert_int_equal(lines_next(&lines, &line, &len), 1);
		assert_int_equal(len, lengths[i]);
		if (len) {
			assert_int_equal(line[0], 'a' + (int)i);
			assert_int_equal(line[len - 1], 'a' + (int)i);
		}
	}
	lines_free(&lines);
	free(text);
}

static void line_without_end_is_cut(void **state)
{
	char *text = calloc(1, 1000000);
	struct lines lines = lines_of(text, 1000000);
	const char *line;
	size_t len;

	assert_int_equal(lines_next(&lines, &line, &len), 1);
	assert_int_equal(len, LINES_MAX);
	assert_true(lines.size <= 4 * LINES_MAX);
	lines_free(&lines);
	free(text);
}

static void empty_file_has_no_lines(void **state)
{
	struct lines lines = lines_of("", 0), directory = { .fd = -1 };
	const char *line;
	size_t len;

	assert_int_equal(lines_next(&lines, &line, &len), 0);
	lines_free(&lines);
	assert_int_equal(lines_next(&directory, &line, &len), -EBADF);
	lines_free(&directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table_is_aligned),
		cmocka_unit_test(empty_table_is_its_header),
		cmocka_unit_test(json_has_types_and_all_keys),
		cmocka_unit_test(foreign_text_is_tamed),
		cmocka_unit_test(no_memory_is_an_error),
		cmocka_unit_test(stats_name_all_reasons_and_show_those_that_count),
		cmocka_unit_test(port_state_and_sides),
		cmocka_unit_test(port_of_a_cable_says_where_it_goes),
		cmocka_unit_test(lines_hold_any_bytes),
		cmocka_unit_test(lines_of_all_lengths),
		cmocka_unit_test(line_without_end_is_cut),
		cmocka_unit_test(empty_file_has_no_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
