// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/display.h"

#include <inttypes.h>
#include <linux/types.h>

#include "common/util.h"

static void unref_json(json_t **value)
{
	json_decref(*value);
}
#define _cleanup_json_ __attribute__((cleanup(unref_json)))

/* Length of the UTF-8 sequence at s (of `left` bytes), 0 if it is none. */
static size_t utf8_len(const unsigned char *s, size_t left)
{
	static const struct {
		unsigned char mask, lead;
		__u32 min;
	} forms[] = { { 0x80, 0x00, 0 },
		      { 0xe0, 0xc0, 0x80 },
		      { 0xf0, 0xe0, 0x800 },
		      { 0xf8, 0xf0, 0x10000 } };

	for (size_t len = 1; len <= ARRAY_SIZE(forms) && len <= left; len++) {
		__u32 code;

		if ((s[0] & forms[len - 1].mask) != forms[len - 1].lead)
			continue;
		code = s[0] & (unsigned char)~forms[len - 1].mask;
		for (size_t i = 1; i < len; i++) {
			if ((s[i] & 0xc0) != 0x80)
				return 0;
			code = code << 6 | (s[i] & 0x3f);
		}
		if (code < forms[len - 1].min || code > 0x10ffff ||
		    (code >= 0xd800 && code < 0xe000))
			return 0;
		return len;
	}
	return 0;
}

json_t *display_string(const char *s, size_t size)
{
	static const char replacement[] = "\xef\xbf\xbd";
	size_t len = strnlen(s, size), used = 0;
	_cleanup_free_ char *buf = malloc(len * 3 + 1);

	if (!buf)
		return NULL;
	for (size_t i = 0; i < len;) {
		size_t n = utf8_len((const unsigned char *)s + i, len - i);

		memcpy(buf + used, n ? s + i : replacement, n ? n : 3);
		used += n ? n : 3;
		i += n ? n : 1;
	}
	return json_stringn_nocheck(buf, used);
}

static json_t *column_value(const struct display_column *c, const void *row)
{
	const unsigned char *at = (const unsigned char *)row + c->offset;
	char text[32];
	__u16 u16;
	__u32 u32;
	__u64 u64;

	switch (c->type) {
	case DISPLAY_TEXT:
		return display_string((const char *)at, c->size);
	case DISPLAY_U16:
		memcpy(&u16, at, sizeof(u16));
		return json_integer(u16);
	case DISPLAY_U32:
		memcpy(&u32, at, sizeof(u32));
		return json_integer(u32);
	case DISPLAY_U64:
		memcpy(&u64, at, sizeof(u64));
		return json_integer((json_int_t)u64);
	case DISPLAY_BOOL:
		memcpy(&u32, at, sizeof(u32));
		return json_boolean(u32 != 0);
	case DISPLAY_OCTAL:
		memcpy(&u32, at, sizeof(u32));
		snprintf(text, sizeof(text), "%04o", u32);
		return json_string(text);
	case DISPLAY_MAC:
		snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", at[0], at[1], at[2],
			 at[3], at[4], at[5]);
		return json_string(text);
	case DISPLAY_VALUE:
		return c->value(row);
	}
	return NULL;
}

json_t *display_object(const struct display *d, const void *row)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < d->ncolumns; i++) {
		const struct display_column *c = &d->columns[i];

		if (c->key && json_object_set_new(object, c->key, column_value(c, row)) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

json_t *display_array(const struct display *d, const void *rows, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; array && i < n; i++) {
		const void *row = (const char *)rows + i * d->row_size;

		if (json_array_append_new(array, display_object(d, row)) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

/* Numbers that are not zero, by name: "mtu=3 runt=1". */
static char *counters_text(const json_t *object)
{
	const char *key;
	json_t *number;
	size_t size = 0;
	char *text = NULL;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	json_object_foreach((json_t *)object, key, number)
		if (json_integer_value(number))
			fprintf(out, "%s%s=%" JSON_INTEGER_FORMAT, ftell(out) > 0 ? " " : "", key,
				json_integer_value(number));
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* The cell of a value, without control characters. NULL when out of memory. */
static char *cell_text(const json_t *value)
{
	char *text = NULL;

	switch (json_typeof(value)) {
	case JSON_STRING:
		text = strdup(json_string_value(value));
		break;
	case JSON_INTEGER:
		if (asprintf(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(value)) < 0)
			text = NULL;
		break;
	case JSON_TRUE:
	case JSON_FALSE:
		text = strdup(json_is_true(value) ? "yes" : "no");
		break;
	case JSON_OBJECT:
		text = counters_text(value);
		break;
	default:
		text = strdup("");
	}
	for (unsigned char *s = (unsigned char *)text; s && *s; s++) {
		if (*s < 0x20 || *s == 0x7f)
			*s = '?';
		else if (*s == 0xc2 && s[1] < 0xa0) /* U+0080 to U+009f */
			s[0] = s[1] = '?';
	}
	if (text && !*text) {
		free(text);
		text = strdup("-");
	}
	return text;
}

static int cell_width(const char *s)
{
	int width = 0;

	for (; *s; s++)
		width += ((unsigned char)*s & 0xc0) != 0x80;
	return width;
}

struct table {
	char **cells; /* row by row, header first; as many as columns with a head */
	size_t ncells;
};

static void table_free(const struct table *t)
{
	for (size_t i = 0; i < t->ncells; i++)
		free(t->cells[i]);
	free(t->cells);
}

/* Fills the cells and tells which columns are numbers. */
static int table_fill(struct table *t, const struct display *d, const void *rows, size_t n,
		      bool *numeric)
{
	t->cells = calloc((n + 1) * d->ncolumns, sizeof(*t->cells));
	if (!t->cells)
		return -ENOMEM;
	for (size_t r = 0; r <= n; r++)
		for (size_t i = 0; i < d->ncolumns; i++) {
			const struct display_column *c = &d->columns[i];
			_cleanup_json_ json_t *value = NULL;
			char *text;

			if (!c->head)
				continue;
			if (r > 0)
				value = column_value(c, (const char *)rows + (r - 1) * d->row_size);
			if (r > 0 && !value)
				return -ENOMEM;
			text = r > 0 ? cell_text(value) : strdup(c->head);
			if (!text)
				return -ENOMEM;
			t->cells[t->ncells++] = text;
			numeric[i] = (r <= 1 || numeric[i]) && json_is_integer(value);
		}
	return 0;
}

static void pad(FILE *out, int n)
{
	fprintf(out, "%*s", n > 0 ? n : 0, "");
}

int display_table(FILE *out, const struct display *d, const void *rows, size_t n)
{
	__attribute__((cleanup(table_free))) struct table t = { 0 };
	_cleanup_free_ int *width = calloc(d->ncolumns, sizeof(*width));
	_cleanup_free_ bool *numeric = calloc(d->ncolumns, sizeof(*numeric));
	size_t shown = 0, at = 0;
	int r;

	if (!width || !numeric)
		return -ENOMEM;
	r = table_fill(&t, d, rows, n, numeric);
	if (r < 0)
		return r;

	for (size_t i = 0; i < d->ncolumns; i++)
		if (d->columns[i].head)
			numeric[shown++] = numeric[i];
	for (size_t i = 0; shown && i < t.ncells; i++) {
		int w = cell_width(t.cells[i]);

		if (w > width[i % shown])
			width[i % shown] = w;
	}
	for (size_t row = 0; row <= n; row++)
		for (size_t i = 0; i < shown; i++, at++) {
			int space = width[i] - cell_width(t.cells[at]);

			if (numeric[i])
				pad(out, space);
			fputs(t.cells[at], out);
			if (!numeric[i] && i + 1 < shown)
				pad(out, space);
			fputs(i + 1 < shown ? "  " : "\n", out);
		}
	return 0;
}

int display_record(FILE *out, const struct display *d, const void *row)
{
	int width = 0;

	for (size_t i = 0; i < d->ncolumns; i++)
		if (d->columns[i].head && cell_width(d->columns[i].head) > width)
			width = cell_width(d->columns[i].head);
	for (size_t i = 0; i < d->ncolumns; i++) {
		_cleanup_json_ json_t *value = NULL;
		_cleanup_free_ char *text = NULL;

		if (!d->columns[i].head)
			continue;
		value = column_value(&d->columns[i], row);
		text = value ? cell_text(value) : NULL;
		if (!text)
			return -ENOMEM;
		fprintf(out, "%-*s  %s\n", width, d->columns[i].head, text);
	}
	return 0;
}

int display_json(FILE *out, json_t *value)
{
	_cleanup_json_ json_t *owned = value;

	if (!owned)
		return -ENOMEM;
	if (json_dumpf(owned, out, JSON_INDENT(2)) < 0 || fputc('\n', out) == EOF)
		return -EIO;
	return 0;
}

int display_rows(FILE *out, const struct display *d, const void *rows, size_t n, bool json)
{
	return json ? display_json(out, display_array(d, rows, n)) : display_table(out, d, rows, n);
}
