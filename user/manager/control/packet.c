// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/control/packet.h"

#include <errno.h>
#include <ipn/control.h>
#include <stdalign.h>
#include <string.h>
#include <sys/socket.h>

#include "common/fdpass.h"
#include "manager/access/async_close.h"

/* seccomp: manager: recvmsg sendmsg recvfrom sendto */

static bool has_sender(struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS)
			return true;
	return false;
}

int packet_receive(int fd, struct packet *p, void *buf, size_t size, int flags)
{
	const size_t creds = CMSG_SPACE(sizeof(struct ucred));
	alignas(struct cmsghdr) char
		control[FDPASS_SPACE(FDPASS_MAX) + CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = { buf, size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = flags & MSG_PEEK ? creds : sizeof(control) };

	p->nfds = 0;
	p->sender = false;
	p->len = recvmsg(fd, &msg, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (p->len < 0)
		return -errno;
	p->cut = msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
	p->cut_fds = msg.msg_flags & MSG_CTRUNC;
	p->sender = has_sender(&msg);
	p->nfds = fdpass_get(&msg, p->fds, FDPASS_MAX);
	return 0;
}

void packet_drop_fds(struct async_close *c, struct user *u, const struct packet *p)
{
	for (unsigned int i = 0; i < p->nfds; i++)
		async_close(c, u, p->fds[i]);
}

int packet_send(int fd, const void *data, size_t len, const int *fds, unsigned int nfds)
{
	alignas(struct cmsghdr) char control[FDPASS_SPACE(IPN_CTL_MAX_FDS)];
	struct iovec iov = { (void *)data, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	fdpass_put(&msg, control, fds, nfds);
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
