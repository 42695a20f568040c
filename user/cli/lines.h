/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines of a file with any bytes in them, in a buffer that grows up to the longest there is. */
#ifndef IPN_CLI_LINES_H
#define IPN_CLI_LINES_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <stddef.h>

/* One byte more than any network takes: the network says what is too long for it. */
#define LINES_MAX (IPN_MTU_MAX + 1)

/* Set up with fd, the rest zero. */
struct lines {
	int fd; /* closed by lines_free, unless it is standard input */
	char *buf;
	size_t size;
	size_t start, end; /* what is read and not yet taken */
	size_t looked;     /* how far after start there is no newline */
	bool eof;
};

/*
 * The next line, without its newline, good until the next call. The last one needs no newline. Of a
 * line longer than LINES_MAX only the first LINES_MAX bytes come, and what follows is not defined.
 * Returns 1, 0 at the end, or -errno.
 */
int lines_next(struct lines *l, const char **line, size_t *len);

void lines_free(const struct lines *l);

#endif
