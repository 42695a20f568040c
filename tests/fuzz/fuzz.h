/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the targets of libFuzzer share. A target gets bytes and must not crash, leak, or break a
 * CHECK, whatever they are. tests/fuzz/run runs them, and says how a fault is replayed.
 */
#ifndef IPN_TESTS_FUZZ_H
#define IPN_TESTS_FUZZ_H

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/fdpass.h"

#define FDS_MAX 132 /* with one packet */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* What must hold. Not assert: that has another meaning in tests. */
#define CHECK(what)                                                                        \
	do {                                                                               \
		if (!(what)) {                                                             \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what); \
			abort();                                                           \
		}                                                                          \
	} while (0)

/* The input, read from its front. What is not there is zeros. */
struct input {
	const uint8_t *at;
	size_t left;
};

static inline void take(struct input *in, void *out, size_t size)
{
	size_t n = size < in->left ? size : in->left;

	memset(out, 0, size);
	memcpy(out, in->at, n);
	in->at += n;
	in->left -= n;
}

static inline uint8_t take8(struct input *in)
{
	uint8_t byte;

	take(in, &byte, sizeof(byte));
	return byte;
}

static inline uint32_t take32(struct input *in)
{
	uint32_t word;

	take(in, &word, sizeof(word));
	return word;
}

/* A copy of all that is left, of exactly its size and a zero: reading behind it is seen. */
static inline char *take_text(struct input *in)
{
	char *text = malloc(in->left + 1);

	CHECK(text);
	memcpy(text, in->at, in->left);
	text[in->left] = '\0';
	in->left = 0;
	return text;
}

/* Sends a packet with n descriptors (of /dev/null and the like), as far as there is room. */
static inline void send_with_fds(int fd, const void *data, size_t size, unsigned int n)
{
	int fds[FDS_MAX];
	union {
		struct cmsghdr align;
		char room[FDPASS_SPACE(FDS_MAX)];
	} control;
	struct iovec iov = { (void *)data, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	for (unsigned int i = 0; i < FDS_MAX; i++)
		fds[i] = STDERR_FILENO;
	fdpass_put(&msg, &control, fds, n < FDS_MAX ? n : FDS_MAX);
	sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Descriptors that are open, of the lowest numbers: the same before and after what leaks none. */
static inline int open_fds(void)
{
	struct pollfd p[64];
	int n = 0;

	for (int i = 0; i < 64; i++)
		p[i] = (struct pollfd){ .fd = i };
	poll(p, 64, 0);
	for (int i = 0; i < 64; i++)
		n += !(p[i].revents & POLLNVAL);
	return n;
}

#endif
