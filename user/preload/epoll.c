// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * epoll with IPN sockets. The kernel's epoll keeps what is not libipn's; IPN sockets stand in a
 * list beside it. Who waits does so by libipn's poll, over the sockets of the list and the epoll
 * descriptor itself.
 *
 * A change of the list must reach those who wait: it adds to an event counter, which is in the
 * kernel's set, edge-triggered, with `data` that no program has. Whoever finds that event drops it
 * and looks at the list again. It is also how a thread learns of the first IPN socket that another
 * thread adds while it waits.
 */
#include <limits.h>
#include <sys/eventfd.h>

#include "common/clock.h"
#include "lib/poll.h"
#include "lib/rx.h"
#include "preload/shim.h"

#define EPOLL_ALWAYS (EPOLLERR | EPOLLHUP)
#define EPOLL_EVENTS                                                                             \
	(EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDNORM | EPOLLWRNORM | EPOLLRDBAND | EPOLLWRBAND | \
	 EPOLLRDHUP | EPOLL_ALWAYS)

struct member {
	struct member *next;
	int fd;
	struct epoll_event event; /* as asked for; without events: spent (EPOLLONESHOT) */
	uint64_t arrivals;        /* edge-triggered: how much had come when it was last reported */
	short reported;           /* what was reported and still is so */
};

struct ep {
	struct ep *next;
	int fd, changed; /* the epoll descriptor; the event counter */
	uint32_t turn;   /* who comes first when there is not room for all */
	struct member *members;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct ep *eps;

static struct ep *ep_find(int fd)
{
	for (struct ep *ep = eps; ep; ep = ep->next) {
		if (ep->fd == fd)
			return ep;
	}
	return NULL;
}

static uint64_t magic_of(const struct ep *ep)
{
	return (uint64_t)(uintptr_t)ep ^ 0x49504e0000000000ULL;
}

static void ep_changed(const struct ep *ep)
{
	eventfd_write(ep->changed, 1);
}

static struct ep *ep_new(int fd)
{
	struct ep *ep = calloc(1, sizeof(*ep));
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int low;

	if (!ep)
		return NULL;
	ep->fd = fd;
	low = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ep->changed = low < 0 ? -1 : shim_hidden_dup(low, true);
	if (low >= 0)
		shim_real_close(low);
	event.data.u64 = magic_of(ep);
	if (ep->changed < 0 || shim_real_epoll_ctl(fd, EPOLL_CTL_ADD, ep->changed, &event)) {
		if (ep->changed >= 0)
			shim_lib_close(ep->changed);
		free(ep);
		return NULL;
	}
	ep->next = eps;
	eps = ep;
	return ep;
}

static struct member **member_find(struct ep *ep, int fd)
{
	struct member **m;

	for (m = &ep->members; *m; m = &(*m)->next) {
		if ((*m)->fd == fd)
			break;
	}
	return m;
}

static void member_remove(struct member **m)
{
	struct member *gone = *m;

	*m = gone->next;
	free(gone);
}

static void member_set(struct member *m, const struct epoll_event *event)
{
	m->event = *event;
	m->event.events |= EPOLL_ALWAYS;
	m->arrivals = UINT64_MAX;
	m->reported = 0;
}

static int ctl(int epfd, int op, int fd, const struct epoll_event *event)
{
	struct ep *ep = ep_find(epfd);
	struct member **m;

	if (op != EPOLL_CTL_DEL && !shim_can_read(event, sizeof(*event)))
		return -EFAULT;
	if (!ep) {
		if (op != EPOLL_CTL_ADD)
			return -ENOENT;
		ep = ep_new(epfd);
		if (!ep)
			return errno == EINVAL || errno == EBADF ? -errno : -ENOMEM;
	}
	m = member_find(ep, fd);
	switch (op) {
	case EPOLL_CTL_ADD:
		if (*m)
			return -EEXIST;
		*m = calloc(1, sizeof(**m));
		if (!*m)
			return -ENOMEM;
		(*m)->fd = fd;
		member_set(*m, event);
		break;
	case EPOLL_CTL_MOD:
		if (!*m)
			return -ENOENT;
		member_set(*m, event);
		break;
	case EPOLL_CTL_DEL:
		if (!*m)
			return -ENOENT;
		member_remove(m);
		break;
	default:
		return -EINVAL;
	}
	ep_changed(ep);
	return 0;
}

SHIM_API int epoll_ctl(int epfd, int op, int fd, struct epoll_event *event)
{
	int r;

	SHIM_SOCK_OR(s, fd, shim_real_epoll_ctl(epfd, op, fd, event));
	pthread_mutex_lock(&lock);
	r = ctl(epfd, op, fd, event);
	pthread_mutex_unlock(&lock);
	return (int)shim_ret(r);
}

void shim_epoll_closed(int fd)
{
	struct ep **at, *ep;

	if (!__atomic_load_n(&eps, __ATOMIC_ACQUIRE) || !shim_own_memory())
		return;
	pthread_mutex_lock(&lock);
	for (at = &eps; (ep = *at);) {
		struct member **m = member_find(ep, fd);

		if (*m) {
			member_remove(m);
			ep_changed(ep);
		}
		if (ep->fd != fd) {
			at = &ep->next;
			continue;
		}
		while (ep->members)
			member_remove(&ep->members);
		*at = ep->next;
		shim_lib_close(ep->changed);
		free(ep);
	}
	pthread_mutex_unlock(&lock);
}

void shim_epoll_changed(int fd)
{
	if (!__atomic_load_n(&eps, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&lock);
	for (struct ep *ep = eps; ep; ep = ep->next) {
		if (*member_find(ep, fd))
			ep_changed(ep);
	}
	pthread_mutex_unlock(&lock);
}

void shim_epoll_forked(void)
{
	pthread_mutex_init(&lock, NULL);
}

/*
 * Waiting.
 */

/* The list as it was when the wait began; [0] of the descriptors is the epoll's own. */
struct round {
	bool theirs_first; /* when both have much to say, they take turns */
	nfds_t n;
	struct pollfd *fds;
	struct member *members; /* copies */
};

/* How much has come for a socket. */
static uint64_t arrivals(struct ipn_sock *s)
{
	uint64_t n = (uint64_t)sock_shut(s) + sock_gone(s);

	for (int i = 0; i < RX_LOGS && sock_connected(s); i++) {
		const struct ipn_log_head *head = (const void *)s->rx.log[i].base;

		if (head)
			n += __atomic_load_n(&head->head, __ATOMIC_ACQUIRE);
	}
	return n;
}

/* Of what is ready, what an edge-triggered member has not been told. */
static short edge(void *arg, nfds_t i, struct ipn_sock *s, short revents)
{
	struct round *round = arg;
	struct member *m = i ? &round->members[i] : NULL;

	if (!m || !(m->event.events & EPOLLET))
		return revents;
	m->reported &= revents;
	if (arrivals(s) != m->arrivals)
		return revents;
	return (short)(revents & ~m->reported);
}

static int round_begin(struct round *round, int epfd)
{
	struct ep *ep = ep_find(epfd);
	nfds_t n = 1;

	if (!ep || !ep->members)
		return -ENOENT;
	for (struct member *m = ep->members; m; m = m->next)
		n++;
	round->theirs_first = ep->turn++ & 1;
	round->n = n;
	round->fds = calloc(n, sizeof(*round->fds));
	round->members = calloc(n, sizeof(*round->members));
	if (!round->fds || !round->members)
		return -ENOMEM;
	round->fds[0] = (struct pollfd){ .fd = epfd, .events = POLLIN };
	n = 1;
	for (struct member *m = ep->members; m; m = m->next, n++) {
		round->members[n] = *m;
		round->fds[n].fd = m->event.events & ~(uint32_t)EPOLL_ALWAYS & EPOLL_EVENTS ? m->fd
											    : -1;
		round->fds[n].events = (short)(m->event.events & EPOLL_EVENTS);
	}
	return 0;
}

static void round_end(struct round *round)
{
	free(round->fds);
	free(round->members);
}

/* The sockets' events. The lock is held; a member may be another one by now. */
static int collect_ours(const struct round *round, struct epoll_event *events, int max)
{
	struct ep *ep = ep_find(round->fds[0].fd);
	int n = 0;

	for (nfds_t i = 1; ep && i < round->n; i++) {
		struct member *m = *member_find(ep, round->members[i].fd);
		_cleanup_sock_ struct ipn_sock *s = m ? sock_find(m->fd) : NULL;

		if (!s || !(m->event.events & ~(uint32_t)EPOLL_ALWAYS & EPOLL_EVENTS))
			continue;
		if (m->event.events & EPOLLET)
			m->reported &= round->members[i].reported;
		if (!round->fds[i].revents || n == max)
			continue;
		events[n].events = (uint32_t)round->fds[i].revents;
		events[n].data = m->event.data;
		n++;
		if (m->event.events & EPOLLET) {
			m->reported |= round->fds[i].revents;
			m->arrivals = arrivals(s);
		}
		if (m->event.events & EPOLLONESHOT)
			m->event.events = EPOLLONESHOT;
	}
	return n;
}

/* The kernel's events, without ours. *changed: that was there. */
static int collect_kernel(int epfd, struct epoll_event *events, int max, bool *changed)
{
	int n = max > 0 ? shim_real_epoll_wait(epfd, events, max, 0) : 0;
	struct ep *ep;

	if (n <= 0)
		return n < 0 ? -errno : 0;
	pthread_mutex_lock(&lock);
	ep = ep_find(epfd);
	for (int i = 0; ep && i < n; i++) {
		if (events[i].data.u64 != magic_of(ep))
			continue;
		memmove(&events[i], &events[i + 1], (size_t)(n - i - 1) * sizeof(*events));
		n--;
		i--;
		*changed = true;
	}
	pthread_mutex_unlock(&lock);
	return n;
}

int shim_poll(struct pollfd *fds, nfds_t nfds, const struct poll_call *call);

/* One wait. How many events, 0 with *again to go on, or -errno; -ENOENT: there is no list. */
static int wait_round(int epfd, struct epoll_event *events, int max, uint64_t deadline,
		      const sigset_t *mask, bool *again)
{
	struct round round = { 0 };
	const struct poll_call call = { deadline, mask, edge, &round };
	int r, ours = 0, theirs = 0;

	pthread_mutex_lock(&lock);
	r = round_begin(&round, epfd);
	pthread_mutex_unlock(&lock);
	if (r)
		goto out;
	r = shim_poll(round.fds, round.n, &call);
	if (r <= 0)
		goto out;
	if (round.fds[0].revents && round.theirs_first)
		theirs = collect_kernel(epfd, events, max, again);
	if (theirs < 0) {
		r = theirs;
		goto out;
	}
	pthread_mutex_lock(&lock);
	ours = collect_ours(&round, events + theirs, max - theirs);
	pthread_mutex_unlock(&lock);
	if (round.fds[0].revents && !theirs) {
		r = collect_kernel(epfd, events + ours, max - ours, again);
		theirs = r > 0 ? r : 0;
	}
	r = ours + theirs;
	if (!r) /* somebody else was faster */
		*again = true;
out:
	round_end(&round);
	return r;
}

/* Only the event counter came: it is the kernel's way to say that there is a list now. */
static int without_change(int epfd, struct epoll_event *events, int n)
{
	struct ep *ep;

	if (n <= 0 || !__atomic_load_n(&eps, __ATOMIC_ACQUIRE))
		return n;
	pthread_mutex_lock(&lock);
	ep = ep_find(epfd);
	for (int i = 0; ep && i < n; i++) {
		if (events[i].data.u64 != magic_of(ep))
			continue;
		memmove(&events[i], &events[i + 1], (size_t)(n - i - 1) * sizeof(*events));
		n--;
		i--;
	}
	pthread_mutex_unlock(&lock);
	return n ? n : -EAGAIN;
}

static int wait_until(int epfd, struct epoll_event *events, int max, uint64_t deadline,
		      const sigset_t *mask)
{
	struct pollfd p = { .fd = epfd, .events = POLLIN };
	int r;

	if (max <= 0 || (size_t)max > INT_MAX / sizeof(*events))
		return -EINVAL;
	if (!shim_can_write(events, (size_t)max * sizeof(*events)))
		return -EFAULT;
	for (;;) {
		bool again = false;

		r = wait_round(epfd, events, max, deadline, mask, &again);
		if (r == -ENOENT) {
			struct timespec ts;

			r = shim_real_ppoll(&p, 1, clock_left(deadline, &ts), mask);
			if (r < 0)
				return -errno;
			if (p.revents & POLLNVAL)
				return -EBADF;
			r = shim_real_epoll_wait(epfd, events, max, 0);
			if (r < 0)
				return -errno;
			r = without_change(epfd, events, r);
			again = r == -EAGAIN || !r;
			if (again)
				r = 0;
		}
		if (r || !again)
			return r;
		if (deadline != CLOCK_NEVER && clock_now() >= deadline)
			return 0;
	}
}

static uint64_t deadline_of(int timeout)
{
	if (timeout < 0)
		return CLOCK_NEVER;
	return timeout ? clock_now() + (uint64_t)timeout * 1000000 : 0;
}

/*
 * Without a list the kernel does all. What comes then is looked through: a thread may have begun to
 * wait before the first IPN socket was added.
 */
SHIM_API int epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout,
			 const sigset_t *mask)
{
	uint64_t deadline;
	int r;

	deadline = deadline_of(timeout);
	if (!__atomic_load_n(&eps, __ATOMIC_RELAXED)) {
		r = without_change(epfd, events,
				   mask ? shim_real_epoll_pwait(epfd, events, max, timeout, mask)
					: shim_real_epoll_wait(epfd, events, max, timeout));
		if (r != -EAGAIN)
			return r;
	}
	return (int)shim_ret(wait_until(epfd, events, max, deadline, mask));
}

SHIM_API int epoll_wait(int epfd, struct epoll_event *events, int max, int timeout)
{
	return epoll_pwait(epfd, events, max, timeout, NULL);
}

SHIM_API int epoll_pwait2(int epfd, struct epoll_event *events, int max,
			  const struct timespec *timeout, const sigset_t *mask)
{
	uint64_t deadline = CLOCK_NEVER;
	int r;

	if (timeout && (shim_idle() || !shim_can_read(timeout, sizeof(*timeout))))
		return shim_real_epoll_pwait2(epfd, events, max, timeout, mask);
	if (timeout)
		deadline = timeout->tv_sec || timeout->tv_nsec
				   ? clock_now() + (uint64_t)timeout->tv_sec * NS_PER_S +
					     (uint64_t)timeout->tv_nsec
				   : 0;
	if (!__atomic_load_n(&eps, __ATOMIC_RELAXED)) {
		r = without_change(epfd, events,
				   shim_real_epoll_pwait2(epfd, events, max, timeout, mask));
		if (r != -EAGAIN)
			return r;
	}
	return (int)shim_ret(wait_until(epfd, events, max, deadline, mask));
}
