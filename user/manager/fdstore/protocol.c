// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/fdstore/protocol.h"

#include <stdalign.h>
#include <sys/socket.h>

#include "common/fdpass.h"
#include "common/util.h"

int fdstore_send(int fd, const struct fdstore_msg *msg, const int *fds)
{
	alignas(struct cmsghdr) char control[FDPASS_SPACE(FDSTORE_FDS)];
	struct iovec iov = { (void *)msg, sizeof(*msg) };
	struct msghdr hdr = { .msg_iov = &iov, .msg_iovlen = 1 };

	fdpass_put(&hdr, control, fds, msg->nfds);
	if (sendmsg(fd, &hdr, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	return 0;
}

void fdstore_close(int fds[FDSTORE_FDS])
{
	for (int i = 0; i < FDSTORE_FDS; i++) {
		util_close_fd(&fds[i]);
		fds[i] = -1;
	}
}

static bool ends(const char *text, size_t size)
{
	return memchr(text, '\0', size);
}

/* seccomp: manager fdstore: recvmsg sendmsg */
int fdstore_recv(int fd, struct fdstore_msg *msg, int fds[FDSTORE_FDS])
{
	alignas(struct cmsghdr) char control[FDPASS_SPACE(FDSTORE_FDS)];
	struct iovec iov = { msg, sizeof(*msg) };
	struct msghdr hdr = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	__u32 came = 0;
	ssize_t n;

	for (int i = 0; i < FDSTORE_FDS; i++)
		fds[i] = -1;
	n = recvmsg(fd, &hdr, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
	came = fdpass_get(&hdr, fds, FDSTORE_FDS); /* an empty packet may have some */
	if (n == 0)
		return -EPIPE;
	if (n != sizeof(*msg) || hdr.msg_flags & MSG_TRUNC || msg->magic != FDSTORE_MAGIC ||
	    msg->version != FDSTORE_VERSION || msg->slot >= FDSTORE_SLOTS ||
	    msg->nfds > FDSTORE_FDS || came > msg->nfds || !ends(msg->file, sizeof(msg->file)) ||
	    !ends(msg->descr, sizeof(msg->descr)) || strchr(msg->file, '/'))
		return -EPROTO;
	if (came == msg->nfds)
		return 0;
	return hdr.msg_flags & MSG_CTRUNC ? -EMFILE
					  : -EPROTO; /* there was no room; none were sent */
}
