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
 * Objects: a job for each descriptor, owned by the queue of its user and then by the thread that
 * took it. Each user has a queue and threads of its own, which end when it is empty. So what one
 * user's descriptors hold up is that user's, and nobody's else: least of all root's. All that a
 * thread knows of the manager is struct user, and an eventfd by which the manager hears that one is
 * done.
 *
 * Bounds: a user with ASYNC_CLOSE_USER descriptors under way is not read from until there are fewer
 * (user_stuck). Its threads are few; root has more.
 *
 * Failure: without memory or threads a job waits, or its descriptor stays open; both are said. A
 * thread that a server never lets go ends with the process, and if not even then, the kernel keeps
 * the process's files for as long: manager_close() lets go of the locks by itself.
 */
#include "manager/access/async_close.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdalign.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "common/fdpass.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/quota.h"

#define THREADS_ALL 4096 /* what the machine must bear: 64 kB of stack each, touched little */
#define THREADS_USER 2
#define THREADS_ROOT 32
#define STACK_SIZE 65536

struct closing_job {
	struct closing_job *next;
	int fd;
};

struct async_close {
	pthread_mutex_t lock;
	unsigned int threads;
	int done_fd;
	sd_event_source *source;
	struct user *stranger; /* whose the sockets are that do not say whose they are */
	void (*done)(void *arg);
	void *arg;
};

struct worker {
	struct async_close *c;
	struct user *u;
};

/* seccomp: manager: clone clone3 set_robust_list eventfd2 */

static void *work(void *arg)
{
	struct worker w = *(struct worker *)arg;
	struct closing_job *job;

	free(arg);
	pthread_mutex_lock(&w.c->lock);
	while ((job = w.u->first_job)) {
		w.u->first_job = job->next;
		if (!w.u->first_job)
			w.u->last_job = &w.u->first_job;
		pthread_mutex_unlock(&w.c->lock);
		close(job->fd);
		__atomic_sub_fetch(&w.u->closing, 1, __ATOMIC_SEQ_CST);
		eventfd_write(w.c->done_fd, 1);
		free(job);
		pthread_mutex_lock(&w.c->lock);
	}
	w.u->closers--;
	w.c->threads--;
	pthread_mutex_unlock(&w.c->lock);
	return NULL;
}

/* The lock is held. */
static void thread_start(struct async_close *c, struct user *u)
{
	unsigned int most = u->uid && u != c->stranger ? THREADS_USER : THREADS_ROOT;
	struct worker *w;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (u->closers >= most || (u->uid && c->threads >= THREADS_ALL))
		return;
	w = malloc(sizeof(*w));
	if (!w || pthread_attr_init(&attr)) {
		free(w);
		return;
	}
	*w = (struct worker){ c, u };
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	r = pthread_create(&thread, &attr, work, w);
	pthread_attr_destroy(&attr);
	if (r) {
		free(w);
		log_warning("cannot start a thread: %s", strerror(r));
		return;
	}
	u->closers++;
	c->threads++;
}

void async_close(struct async_close *c, struct user *u, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct closing_job *job;

	if ((flags >= 0 && (flags & O_PATH)) || !c) {
		close(fd);
		return;
	}
	job = malloc(sizeof(*job));
	if (!job) {
		log_warning("a descriptor of uid %u stays open: no memory", u->uid);
		return;
	}
	*job = (struct closing_job){ .fd = fd };
	__atomic_add_fetch(&u->closing, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&c->lock);
	*u->last_job = job;
	u->last_job = &job->next;
	thread_start(c, u);
	pthread_mutex_unlock(&c->lock);
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

static int on_done(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct async_close *c = arg;
	eventfd_t n;

	(void)source;
	(void)events;
	eventfd_read(fd, &n);
	c->done(c->arg);
	return 0;
}

int async_close_new(struct async_close **out, sd_event *event, struct users *users,
		    void (*done)(void *arg), void *arg)
{
	struct async_close *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	pthread_mutex_init(&c->lock, NULL);
	c->done = done;
	c->arg = arg;
	c->stranger = user_get(users, (uid_t)-1);
	c->done_fd = c->stranger ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	r = !c->stranger ? -ENOMEM : c->done_fd < 0 ? -errno : 0;
	if (!r)
		r = sd_event_add_io(event, &c->source, c->done_fd, EPOLLIN, on_done, c);
	if (r < 0) {
		util_close_fd(&c->done_fd);
		free(c);
		return r;
	}
	*out = c;
	return 0;
}

bool async_close_free(struct async_close *c)
{
	bool busy;

	if (!c)
		return true;
	sd_event_source_disable_unref(c->source);
	pthread_mutex_lock(&c->lock);
	busy = c->threads;
	pthread_mutex_unlock(&c->lock);
	if (busy)
		return false;
	close(c->done_fd);
	free(c);
	return true;
}
