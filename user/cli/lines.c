// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/lines.h"

#include <poll.h>

#include "common/util.h"

#define BUFFER_START 65536

void lines_free(const struct lines *l)
{
	free(l->buf);
	if (l->fd > STDIN_FILENO)
		close(l->fd);
}

/* The file is non-blocking, which is of no meaning here. */
static bool lines_wait(const struct lines *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };

	return poll(&p, 1, -1) > 0 || errno == EINTR;
}

/* Makes room and reads more. Returns 0, or -errno. */
static int lines_fill(struct lines *l)
{
	ssize_t n;

	if (l->buf && l->start) {
		memmove(l->buf, l->buf + l->start, l->end - l->start);
		l->end -= l->start;
		l->start = 0;
	}
	if (l->end == l->size) {
		size_t size = l->size ? l->size * 2 : BUFFER_START;
		char *buf = realloc(l->buf, size);

		if (!buf)
			return -ENOMEM;
		l->buf = buf;
		l->size = size;
	}
	do
		n = read(l->fd, l->buf + l->end, l->size - l->end);
	while (n < 0 && (errno == EINTR || (errno == EAGAIN && lines_wait(l))));
	if (n < 0)
		return -errno;
	l->eof = n == 0;
	l->end += (size_t)n;
	return 0;
}

int lines_next(struct lines *l, const char **line, size_t *len)
{
	for (;;) {
		size_t have = l->end - l->start;
		char *at = l->buf ? l->buf + l->start : NULL;
		char *newline = NULL;
		int r;

		if (at && have > l->looked)
			newline = memchr(at + l->looked, '\n', have - l->looked);
		if (newline || have >= LINES_MAX || (l->eof && have)) {
			*line = at;
			*len = newline ? (size_t)(newline - at) : have;
			if (*len > LINES_MAX)
				*len = LINES_MAX;
			l->start += newline ? (size_t)(newline - at) + 1 : have;
			l->looked = 0;
			return 1;
		}
		if (l->eof)
			return 0;
		l->looked = have;
		r = lines_fill(l);
		if (r < 0)
			return r;
	}
}
