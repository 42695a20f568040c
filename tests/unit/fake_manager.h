/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A manager for tests of its clients: listens in a run directory of its own, which it puts into the
 * environment, and answers each request with what the test's function says.
 */
#ifndef IPN_TEST_FAKE_MANAGER_H
#define IPN_TEST_FAKE_MANAGER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <ipn/control.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/fdpass.h"
#include "common/util.h"

#define FAKE_SESSIONS 16

struct fake_request {
	struct ipn_ctl_hdr hdr;
	char body[IPN_CTL_MAX_PACKET];
	size_t len; /* of the body */
	int fds[IPN_CTL_MAX_FDS];
	unsigned int nfds;
};

struct fake_reply {
	struct ipn_ctl_hdr hdr; /* filled in as it should be; len when sent, unless it was set */
	char body[2 * IPN_CTL_MAX_PACKET];
	size_t len;
	int fds[2 * IPN_CTL_MAX_FDS]; /* closed after sending */
	unsigned int nfds;
	bool hang_up; /* end the session instead */
	bool raw;     /* send the body alone */
};

struct fake_manager {
	char dir[64];
	int listen_fd;
	int stop[2];
	int sessions[FAKE_SESSIONS]; /* -1: free */
	pthread_t thread;
	/* runs in the manager's thread: no asserts there */
	void (*answer)(struct fake_manager *m, const struct fake_request *req,
		       struct fake_reply *rep);
	unsigned int seen[IPN_CTL_TYPES]; /* requests by type */
};

static inline void fake_set_body(struct fake_reply *rep, const void *body, size_t len)
{
	memcpy(rep->body, body, len);
	rep->len = len;
}

static inline bool fake_read(int fd, struct fake_request *req)
{
	struct iovec iov[2] = { { &req->hdr, sizeof(req->hdr) }, { req->body, sizeof(req->body) } };
	char control[CMSG_SPACE(sizeof(req->fds))] __attribute__((aligned(8)));
	struct msghdr msg = {
		.msg_iov = iov,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);

	if (n < (ssize_t)sizeof(req->hdr))
		return false;
	req->len = (size_t)n - sizeof(req->hdr);
	req->nfds = fdpass_get(&msg, req->fds, IPN_CTL_MAX_FDS);
	return true;
}

static inline void fake_write(int fd, struct fake_reply *rep)
{
	struct iovec iov[2] = { { &rep->hdr, sizeof(rep->hdr) }, { rep->body, rep->len } };
	char control[CMSG_SPACE(sizeof(rep->fds))] __attribute__((aligned(8)));
	struct msghdr msg = { .msg_iov = iov + rep->raw, .msg_iovlen = 2 - rep->raw };

	if (!rep->hdr.len)
		rep->hdr.len = (__u32)(sizeof(rep->hdr) + rep->len);
	fdpass_put(&msg, control, rep->fds, rep->nfds);
	(void)!sendmsg(fd, &msg, MSG_NOSIGNAL);
	for (unsigned int i = 0; i < rep->nfds; i++)
		close(rep->fds[i]);
}

/* Serves one request. False: the session is over. */
static inline bool fake_serve(struct fake_manager *m, int fd)
{
	static struct fake_request req;
	static struct fake_reply rep;

	if (!fake_read(fd, &req))
		return false;
	memset(&rep, 0, offsetof(struct fake_reply, body));
	rep.len = rep.nfds = 0;
	rep.hang_up = rep.raw = false;
	rep.hdr = req.hdr;
	rep.hdr.len = 0;
	if (req.hdr.type < IPN_CTL_TYPES)
		__atomic_add_fetch(&m->seen[req.hdr.type], 1, __ATOMIC_RELEASE);
	m->answer(m, &req, &rep);
	for (unsigned int i = 0; i < req.nfds; i++)
		util_close_fd(&req.fds[i]);
	if (rep.hang_up)
		return false;
	fake_write(fd, &rep);
	return true;
}

/* Takes a connection into a free place. */
static inline void fake_accept(struct fake_manager *m)
{
	for (unsigned int i = 0; i < FAKE_SESSIONS; i++) {
		if (m->sessions[i] >= 0)
			continue;
		m->sessions[i] = accept4(m->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		return;
	}
}

static inline void *fake_manager_run(void *arg)
{
	struct fake_manager *m = arg;

	for (;;) {
		struct pollfd p[2 + FAKE_SESSIONS] = {
			{ .fd = m->stop[0], .events = POLLIN },
			{ .fd = m->listen_fd, .events = POLLIN },
		};

		for (unsigned int i = 0; i < FAKE_SESSIONS; i++)
			p[2 + i] = (struct pollfd){ .fd = m->sessions[i], .events = POLLIN };
		if (poll(p, 2 + FAKE_SESSIONS, -1) < 0 || p[0].revents)
			return NULL;
		for (unsigned int i = 0; i < FAKE_SESSIONS; i++) {
			if (p[2 + i].revents && !fake_serve(m, m->sessions[i])) {
				close(m->sessions[i]);
				m->sessions[i] = -1;
			}
		}
		if (p[1].revents)
			fake_accept(m);
	}
}

static inline void fake_manager_listen(struct fake_manager *m)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", m->dir, IPN_CTL_SOCKET);
	unlink(sun.sun_path);
	memset(m->sessions, 0xff, sizeof(m->sessions));
	m->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(m->listen_fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(m->listen_fd, FAKE_SESSIONS), 0);
	assert_int_equal(pipe2(m->stop, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&m->thread, NULL, fake_manager_run, m), 0);
}

/* Dies: no more answers, all sessions end. */
static inline void fake_manager_die(struct fake_manager *m)
{
	close(m->stop[1]);
	pthread_join(m->thread, NULL);
	close(m->stop[0]);
	close(m->listen_fd);
	for (unsigned int i = 0; i < FAKE_SESSIONS; i++)
		util_close_fd(&m->sessions[i]);
}

static inline void fake_manager_start(struct fake_manager *m,
				      void (*answer)(struct fake_manager *,
						     const struct fake_request *,
						     struct fake_reply *))
{
	memset(m, 0, sizeof(*m));
	m->answer = answer;
	strcpy(m->dir, "/tmp/ipn-unit-XXXXXX");
	assert_non_null(mkdtemp(m->dir));
	setenv(IPN_CTL_ENV_RUN_DIR, m->dir, 1);
	fake_manager_listen(m);
}

static inline void fake_manager_end(struct fake_manager *m)
{
	char path[128];

	fake_manager_die(m);
	snprintf(path, sizeof(path), "%s/%s", m->dir, IPN_CTL_SOCKET);
	unlink(path);
	rmdir(m->dir);
}

static inline unsigned int fake_seen(struct fake_manager *m, enum ipn_ctl_type type)
{
	return __atomic_load_n(&m->seen[type], __ATOMIC_ACQUIRE);
}

static inline unsigned int fake_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/*
 * Descriptors open in this process, once the manager has taken in who came and let go who went,
 * which means that they stay the same for a while: to see that nothing leaks.
 */
static inline unsigned int fake_settled_fds(void)
{
	unsigned int n = fake_fds(), now;

	for (int same = 0; same < 20; same++) {
		usleep(20000);
		now = fake_fds();
		if (now != n)
			same = 0;
		n = now;
	}
	return n;
}

/* There are as many as that again, if not at once. */
static inline void fake_fds_expect(unsigned int n)
{
	for (int i = 0; i < 1000 && fake_fds() != n; i++)
		usleep(20000);
	assert_int_equal(fake_fds(), n);
}

#endif
