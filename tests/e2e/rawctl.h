/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control connection as a hostile client uses it: packets as they are, whatever is in them.
 */
#ifndef IPN_TEST_RAWCTL_H
#define IPN_TEST_RAWCTL_H

#include <ipn/control.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define RAWCTL_FDS 256 /* most that a packet may have */

static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

static inline int manager(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/" IPN_CTL_SOCKET,
		 getenv(IPN_CTL_ENV_RUN_DIR));
	if (fd < 0 || connect(fd, (void *)&sun, sizeof(sun)))
		die(sun.sun_path);
	return fd;
}

/* Sends a packet with descriptors. False, with errno, when it did not go. */
static inline bool put(int fd, const void *packet, size_t len, const int *fds, unsigned int nfds)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(RAWCTL_FDS * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { (void *)packet, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (nfds) {
		struct cmsghdr *c;

		msg.msg_control = &control;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
	}
	return sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)len;
}

static int got_fds[IPN_CTL_MAX_FDS];
static unsigned int ngot;

/*
 * One reply, its body into `body`. Returns its status, an errno; -1 when the manager hung up. Dies
 * when it does neither within ms (-1: it may take as long as it likes), or answers something that
 * is no reply.
 */
static inline int get(int fd, void *body, size_t size, int ms)
{
	static _Alignas(8) char buf[IPN_CTL_MAX_PACKET];
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(IPN_CTL_MAX_FDS * sizeof(int))];
	} control;
	struct iovec iov = { buf, sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct ipn_ctl_hdr *hdr = (void *)buf;
	ssize_t n;

	if (poll(&p, 1, ms) != 1) {
		errno = ETIMEDOUT;
		die("the manager neither answers nor hangs up");
	}
	n = recvmsg(fd, &msg, 0);
	if (n <= 0)
		return -1;
	ngot = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		ngot = (unsigned int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(got_fds, CMSG_DATA(c), ngot * sizeof(int));
	}
	errno = EBADMSG;
	if ((size_t)n < sizeof(*hdr) || hdr->magic != IPN_CTL_MAGIC || hdr->len != (size_t)n ||
	    hdr->status < 0)
		die("a reply that is none");
	if (hdr->status && (size_t)n == sizeof(*hdr))
		die("an error without a word");
	if (body && (size_t)n - sizeof(*hdr) >= size)
		memcpy(body, hdr + 1, size);
	return hdr->status;
}

#endif
