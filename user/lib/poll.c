// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ipn_poll: the waiting protocol of rx.c over many descriptors. Each of libipn's is represented in
 * one poll(2) by its bell; the others stand there as they are.
 */
#include "lib/poll.h"

#include <sched.h>

#include "common/util.h"
#include "common/clock.h"
#include "lib/rx.h"
#include "lib/tx.h"

#define POLL_STACK 32

struct poller {
	struct pollfd *fds; /* the caller's */
	nfds_t nfds;
	struct ipn_sock **socks; /* NULL: not one of libipn's, or nothing can come */
	struct pollfd *raw;      /* for poll(2) */
	nfds_t nraw;             /* nfds, or twice that: the room bells stand behind the others */
	nfds_t ours;             /* how many are libipn's */
	const struct poll_call *call;
};

static bool wants_input(const struct pollfd *p)
{
	return p->events & (POLLIN | POLLRDNORM | POLLPRI);
}

static bool wants_output(short events)
{
	return events & (POLLOUT | POLLWRNORM);
}

static short sock_revents(struct ipn_sock *s, short events)
{
	short revents = 0, mask = (short)(events | POLLHUP);
	uint32_t shut = sock_shut(s);

	if (wants_input(&(struct pollfd){ .events = events })) {
		unsigned int ready = rx_look(s);

		if (ready & RX_EOF)
			return (short)((POLLIN | POLLRDNORM | POLLRDHUP | POLLHUP) & mask);
		if (ready & RX_MESSAGE)
			revents |= POLLIN | POLLRDNORM;
		if (ready & RX_OOB)
			revents |= POLLIN | POLLPRI;
		if (ready & RX_CLOSED) /* a receive fails at once */
			revents |= POLLIN;
	} else if (shut == SOCK_SHUT_BOTH || ((sock_gone(s) || rx_news(s)) && rx_gone(s))) {
		return (short)((POLLRDHUP | POLLHUP) & mask);
	}
	if (shut & SOCK_SHUT_RD)
		revents |= POLLRDHUP;
	if (!(shut & SOCK_SHUT_WR) && (!wants_output(events) || tx_room(s)))
		revents |= POLLOUT | POLLWRNORM;
	return (short)(revents & mask);
}

/* Asks libipn's descriptors and takes over what poll(2) said of the others. How many are ready. */
static int poll_collect(struct poller *p)
{
	int ready = 0;

	for (nfds_t i = 0; i < p->nfds; i++) {
		p->fds[i].revents = p->socks[i] ? sock_revents(p->socks[i], p->fds[i].events)
						: p->raw[i].revents;
		if (p->socks[i] && p->call->filter)
			p->fds[i].revents =
				p->call->filter(p->call->arg, i, p->socks[i], p->fds[i].revents);
		ready += p->fds[i].revents != 0;
	}
	return ready;
}

/* One poll(2) over bells and others, then what there is. How many are ready, or -errno. */
static int poll_round(struct poller *p, uint64_t deadline)
{
	static const struct timespec zero;
	struct timespec ts;
	int r, ready;

	r = ppoll(p->raw, p->nraw, deadline ? clock_left(deadline, &ts) : &zero, p->call->sigmask);
	if (r < 0) {
		r = -errno;
		for (nfds_t i = 0; i < p->nfds; i++)
			p->raw[i].revents = 0;
	}
	ready = poll_collect(p);
	return ready ? ready : r < 0 ? r : 0;
}

/* Yields as the most hopeful of the descriptors wants. True: there may be something. */
static bool poll_yield(struct poller *p)
{
	unsigned int yields = 0;
	bool found = false;

	for (nfds_t i = 0; i < p->nfds; i++) {
		unsigned int n = p->socks[i] ? rx_yields(p->socks[i]) : 0;

		if (n > yields)
			yields = n;
	}
	for (unsigned int y = 0; y < yields && !found; y++) {
		sched_yield();
		for (nfds_t i = 0; i < p->nfds && !found; i++)
			found = p->socks[i] && wants_input(&p->fds[i]) && rx_hint(p->socks[i]);
	}
	for (nfds_t i = 0; yields && i < p->nfds; i++) {
		if (p->socks[i])
			rx_yields_learn(p->socks[i], found);
	}
	return found;
}

/* Is its bell waited for? */
static bool on_bell(const struct poller *p, nfds_t i)
{
	return p->socks[i] && p->raw[i].events;
}

/* Its room bell? */
static bool on_room(const struct poller *p, nfds_t i)
{
	return p->socks[i] && p->nraw > p->nfds && p->raw[p->nfds + i].events;
}

/* Steps W2 to W5 of rx.c, until something is ready or the time is over. */
static int poll_sleep(struct poller *p, uint64_t deadline)
{
	const uint64_t unarmed_ns = 10000000;
	int r;

	for (;;) {
		bool armed = true;
		uint64_t until = deadline;

		for (nfds_t i = 0; i < p->nfds; i++) {
			if (on_bell(p, i)) {
				rx_drain(p->socks[i]);
				p->raw[i].fd = rx_watch(p->socks[i]);
				armed = armed && p->raw[i].fd >= 0;
			}
			if (on_room(p, i)) {
				tx_room_drain(p->socks[i]);
				p->raw[p->nfds + i].fd = rx_room_watch(p->socks[i]);
				armed = armed && p->raw[p->nfds + i].fd >= 0;
			}
		}
		r = poll_collect(p);
		if (r)
			return r;
		for (nfds_t i = 0; i < p->nfds; i++) {
			if (p->socks[i] && wants_input(&p->fds[i]) && rx_arm(p->socks[i]))
				armed = false;
		}
		r = poll_collect(p);
		if (r)
			return r;
		if (!armed) {
			uint64_t soon = clock_now() + unarmed_ns;

			until = deadline < soon ? deadline : soon;
		}
		r = poll_round(p, until);
		if (r)
			return r;
		if (deadline != CLOCK_NEVER && clock_now() >= deadline)
			return 0;
	}
}

/* A descriptor closed with close(2) becomes what poll(2) says of its number. */
static void poll_check(struct poller *p)
{
	for (nfds_t i = 0; i < p->nfds; i++) {
		if (p->socks[i] && sock_may_block(p->socks[i]) == -EBADF) {
			sock_put(p->socks[i]);
			p->socks[i] = NULL;
			p->raw[i] = p->fds[i];
		}
	}
}

static int poll_run(struct poller *p, uint64_t deadline)
{
	int r;

	r = p->ours == p->nfds ? poll_collect(p) : poll_round(p, 0);
	if (r || !deadline)
		return r;
	if (poll_yield(p)) {
		r = poll_round(p, 0);
		if (r)
			return r;
	}
	poll_check(p);
	for (nfds_t i = 0; i < p->nfds; i++) {
		if (on_bell(p, i))
			rx_wait_begin(p->socks[i]);
		if (on_room(p, i))
			tx_wait_begin(p->socks[i]);
	}
	r = poll_sleep(p, deadline);
	for (nfds_t i = 0; i < p->nfds; i++) {
		if (on_room(p, i))
			tx_wait_end(p->socks[i]);
		if (on_bell(p, i)) {
			rx_wait_end(p->socks[i]);
			rx_settle(p->socks[i]);
		}
	}
	return r;
}

/*
 * Finds out what is whose. A descriptor of libipn that is not connected has nothing to say.
 * Who waits for room and for no message leaves the bell alone: it would consume what rings for a
 * thread that waits for a message on the same descriptor, and sleep on. The end of the port and a
 * shutdown ring the room bell, too.
 */
static void poll_sort(struct poller *p)
{
	for (nfds_t i = 0; i < p->nfds; i++) {
		struct pollfd *room = &p->raw[p->nfds + i];
		struct ipn_sock *s = NULL;

		*room = (struct pollfd){ .fd = -1 };
		p->raw[i] = p->fds[i];
		p->raw[i].revents = 0;
		p->socks[i] = NULL;
		if (p->fds[i].fd < 0 || sock_get(p->fds[i].fd, &s))
			continue;
		p->ours++;
		p->raw[i].fd = -1;
		if (sock_connected(s)) {
			p->socks[i] = s;
			/* what they are stands in poll_sleep */
			p->raw[i].events = POLLIN;
			if (s->rx.lossless && wants_output(p->fds[i].events)) {
				room->events = POLLIN;
				p->nraw = 2 * p->nfds;
				if (!wants_input(&p->fds[i]))
					p->raw[i].events = 0;
			}
		} else {
			sock_put(s);
		}
	}
}

int poll_with(struct pollfd *fds, nfds_t nfds, const struct poll_call *call)
{
	struct pollfd raw_few[2 * POLL_STACK];
	struct ipn_sock *socks_few[POLL_STACK];
	_cleanup_free_ struct pollfd *raw_many = NULL;
	_cleanup_free_ struct ipn_sock **socks_many = NULL;
	struct poller p = {
		.call = call,
		.fds = fds,
		.nfds = nfds,
		.raw = raw_few,
		.nraw = nfds,
		.socks = socks_few,
	};
	struct timespec ts;
	int r;

	if (nfds && !fds)
		return -EFAULT;
	if (nfds > POLL_STACK) {
		p.raw = raw_many = calloc(nfds, 2 * sizeof(*raw_many));
		p.socks = socks_many = calloc(nfds, sizeof(struct ipn_sock *));
		if (!raw_many || !socks_many)
			return -ENOMEM;
	}
	poll_sort(&p);
	if (!p.ours) {
		r = ppoll(fds, nfds, clock_left(call->deadline, &ts), call->sigmask);
		return r < 0 ? -errno : r;
	}
	r = poll_run(&p, call->deadline);
	for (nfds_t i = 0; i < nfds; i++) {
		if (p.socks[i])
			sock_put(p.socks[i]);
	}
	return r;
}

int poll_fd(struct ipn_sock *s, short events)
{
	if (!sock_connected(s))
		return sock_no_data(s);
	if (events == POLLIN)
		return rx_poll_fd(s);
	return events == POLLOUT ? tx_poll_fd(s) : -EINVAL;
}

int poll_any(struct pollfd *fds, nfds_t nfds, int timeout_ms)
{
	struct poll_call call = { .deadline = CLOCK_NEVER };

	if (timeout_ms == 0)
		call.deadline = 0;
	else if (timeout_ms > 0)
		call.deadline = clock_now() + (uint64_t)timeout_ms * 1000000;
	return poll_with(fds, nfds, &call);
}
