// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Descriptors of clients are closed where that holds nobody up.
 *
 * To close what somebody else opened may take for ever: a TCP socket that lingers, a file whose
 * server (FUSE, NFS) does not answer. And a client may send any descriptor with any packet. So
 * threads close them, which do nothing else; only what is O_PATH, as all that clients have to send
 * often, is closed at once, since nothing happens then. What is still unread when a socket is
 * closed would be closed with it: session.c reads all of it first.
 *
 * The threads are those of work.c.
 *
 * Bounds: a user with ASYNC_CLOSE_USER descriptors under way is not read from until there are fewer
 * (user_stuck).
 *
 * Failure: without threads a descriptor waits, without memory it stays open; both are said. If a
 * thread is never let go, the kernel keeps the process's files for as long: manager_close() lets go
 * of the locks by itself.
 */
#include "manager/access/async_close.h"

#include <fcntl.h>
#include <stdalign.h>
#include <sys/socket.h>

#include "common/fdpass.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/quota.h"
#include "manager/access/work.h"

struct closing {
	struct work work;
	struct user *u;
	int fd;
};

struct async_close {
	struct works *works;
	struct user *stranger; /* whose the sockets are that do not say whose they are */
};

static void closing_run(struct work *w)
{
	struct closing *job = (struct closing *)w;

	close(job->fd);
	__atomic_sub_fetch(&job->u->closing, 1, __ATOMIC_SEQ_CST);
}

static void closing_done(struct work *w)
{
	free(w);
}

void async_close(struct async_close *c, struct user *u, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct closing *job;

	if ((flags >= 0 && (flags & O_PATH)) || !c) {
		close(fd);
		return;
	}
	job = malloc(sizeof(*job));
	if (!job) {
		log_warning("a descriptor of uid %u stays open: no memory", u->uid);
		return;
	}
	*job = (struct closing){ { .run = closing_run, .done = closing_done }, u, fd };
	__atomic_add_fetch(&u->closing, 1, __ATOMIC_SEQ_CST);
	work_start(c->works, u, &job->work, true);
}

void stranger_close(struct async_close *c, int *fd)
{
	if (*fd >= 0)
		async_close(c, c ? c->stranger : NULL, *fd);
	*fd = -1;
}

ssize_t stranger_recv(struct async_close *c, int fd, void *buf, size_t size)
{
	alignas(struct cmsghdr) char control[FDPASS_SPACE(FDPASS_MAX)];
	struct iovec iov = { buf, size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fds[FDPASS_MAX];
	unsigned int count;
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return n;
	count = fdpass_get(&msg, fds, FDPASS_MAX);
	for (unsigned int i = 0; i < count; i++)
		stranger_close(c, &fds[i]);
	return n;
}

bool user_stuck(const struct user *u)
{
	return __atomic_load_n(&u->closing, __ATOMIC_SEQ_CST) >= ASYNC_CLOSE_USER;
}

int async_close_new(struct async_close **out, struct works *works, struct users *users)
{
	struct async_close *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->works = works;
	c->stranger = user_get(users, (uid_t)-1);
	if (!c->stranger) {
		free(c);
		return -ENOMEM;
	}
	*out = c;
	return 0;
}
