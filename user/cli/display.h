/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Rows for people and for programs, described once. A column turns a row into a JSON value; the
 * cell of the table is that value as text. What other users chose (paths, descriptions) is made
 * valid UTF-8, and in tables free of control characters.
 */
#ifndef IPN_CLI_DISPLAY_H
#define IPN_CLI_DISPLAY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum display_type {
	DISPLAY_TEXT, /* char array, terminated or full */
	DISPLAY_U16,
	DISPLAY_U32,
	DISPLAY_U64,
	DISPLAY_BOOL,  /* __u32 */
	DISPLAY_OCTAL, /* __u32, as text: "0770" */
	DISPLAY_MAC,   /* 6 bytes */
	DISPLAY_VALUE, /* what the function `value` makes of the row */
};

struct display_column {
	const char *head; /* of the table; NULL: only in JSON */
	const char *key;  /* in JSON; NULL: only in the table */
	enum display_type type;
	size_t offset; /* of the field in the row */
	size_t size;
	json_t *(*value)(const void *row); /* returns a new reference, or NULL when out of memory */
};

#define DISPLAY_FIELD(head, key, type, row, field)                                     \
	{                                                                              \
		head, key, type, offsetof(row, field), sizeof(((row *)0)->field), NULL \
	}
#define DISPLAY_CALL(head, key, function)                \
	{                                                \
		head, key, DISPLAY_VALUE, 0, 0, function \
	}

struct display {
	const struct display_column *columns;
	size_t ncolumns;
	size_t row_size;
};

/* Text of at most `size` bytes as a JSON string; bytes that are no UTF-8 are replaced. */
json_t *display_string(const char *s, size_t size);

/* A row as a JSON object, rows as an array of them. NULL when out of memory. */
json_t *display_object(const struct display *d, const void *row);
json_t *display_array(const struct display *d, const void *rows, size_t n);

/* Prints rows as an aligned table: the header always. Returns 0, or -errno. */
int display_table(FILE *out, const struct display *d, const void *rows, size_t n);

/* Prints one row as lines "head  value". Returns 0, or -errno. */
int display_record(FILE *out, const struct display *d, const void *row);

/* Prints a value and takes over its reference; NULL is taken as out of memory. 0, or -errno. */
int display_json(FILE *out, json_t *value);

/* Rows as JSON or as table. */
int display_rows(FILE *out, const struct display *d, const void *rows, size_t n, bool json);

#endif
