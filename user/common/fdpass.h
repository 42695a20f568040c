/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors that go along with a message over a unix socket. `control` is FDPASS_SPACE(n) bytes,
 * aligned as a struct cmsghdr.
 */
#ifndef IPN_COMMON_FDPASS_H
#define IPN_COMMON_FDPASS_H

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FDPASS_MAX 253 /* SCM_MAX_FD: what one message can have */
#define FDPASS_SPACE(n) CMSG_SPACE(sizeof(int) * (n))

/* Puts n descriptors into a message that is to be sent; none: it is left as it is. */
static inline void fdpass_put(struct msghdr *msg, void *control, const int *fds, unsigned int n)
{
	struct cmsghdr *c;

	if (!n)
		return;
	memset(control, 0, FDPASS_SPACE(n));
	msg->msg_control = control;
	msg->msg_controllen = FDPASS_SPACE(n);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
}

/*
 * Takes the descriptors out of a message that was received. Returns how many came; those beyond
 * `max` are closed.
 */
static inline unsigned int fdpass_get(struct msghdr *msg, int *fds, unsigned int max)
{
	unsigned int n = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++, n++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (n < max)
				fds[n] = fd;
			else
				close(fd);
		}
	}
	return n;
}

#endif
