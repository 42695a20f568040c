// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The question for the next log goes over a connection of its own, which begins and ends with it:
 * that of the socket may be shared with another process, and is for one exchange at a time. The tap
 * tells the manager which reader it is. A process that cannot reach the manager any more, as in a
 * chroot, has lost its port: it would hear nothing, and not know it.
 */
#include "lib/follow.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/util.h"
#include "lib/tx.h"

#define ASK_AGAIN_NS 10000000ULL     /* after a failure */
#define ANSWER_LATE_NS 1000000000ULL /* then another process has taken it, or it will not come */

static const struct client_wait at_once;

void (*follow_placed)(struct ipn_sock *s, int fd);

/* Is the number still the connection? The program may have closed it, and opened something else. */
static bool ask_is_ours(const struct rx *rx)
{
	uint64_t cookie;
	socklen_t len = sizeof(cookie);

	return rx->ask && !getsockopt(rx->ask - 1, SOL_SOCKET, SO_COOKIE, &cookie, &len) &&
	       cookie == rx->ask_cookie;
}

void follow_stop(struct rx *rx)
{
	if (ask_is_ours(rx))
		close(rx->ask - 1);
	__atomic_store_n(&rx->ask, 0, __ATOMIC_RELAXED);
}

static void call_for(struct ipn_sock *s, struct client_call *call, struct ipn_ctl_log *request)
{
	*request = (struct ipn_ctl_log){ .serial = s->rx.log_word / 2 };
	*call = (struct client_call){
		.type = IPN_CTL_LOG,
		.request = request,
		.request_len = sizeof(*request),
		.fds = &s->tap,
		.nfds = 1,
		.wait = &at_once,
	};
}

static int ask(struct ipn_sock *s)
{
	_cleanup_close_ int fd = client_open(NULL, &at_once);
	struct rx *rx = &s->rx;
	socklen_t len = sizeof(rx->ask_cookie);
	struct ipn_ctl_log request;
	struct client_call call;
	int r;

	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &rx->ask_cookie, &len))
		return -errno;
	call_for(s, &call, &request);
	r = client_ask(fd, &call, &rx->ask_id);
	if (!r)
		__atomic_store_n(&rx->ask, util_take_fd(&fd) + 1, __ATOMIC_RELAXED);
	return r;
}

void follow_adopted(struct rx *rx)
{
	struct rx_log *log = &rx->log[RX_NET];
	const struct ipn_log_head *head = (const void *)log->base;

	if (head && !rx->lossless && log->cursor < head->start)
		log->cursor = head->start;
}

/*
 * R5. In the place of the old one, since others look there without the lock; what they find is as
 * good as what they would have found a moment before or after.
 */
static int take(struct ipn_sock *s, int fd)
{
	struct rx *rx = &s->rx;
	struct rx_log *log = &rx->log[RX_NET];
	const struct ipn_log_head *head;
	void *p = mmap(NULL, log->map_len, PROT_READ, MAP_SHARED, fd, 0);
	uint64_t serial, start;

	if (p == MAP_FAILED)
		return -errno;
	head = p;
	serial = head->serial;
	start = head->start;
	if (mremap(p, log->map_len, log->map_len, MREMAP_MAYMOVE | MREMAP_FIXED, log->base) ==
	    MAP_FAILED) {
		int r = -errno;

		munmap(p, log->map_len);
		return r;
	}
	if (!rx->lossless && log->cursor < start) {
		if (serial != rx->log_word / 2 + 1)
			rx->overrun++; /* it has missed a whole log: at least one */
		__atomic_store_n(&log->cursor, start, __ATOMIC_RELEASE);
	}
	log->own_ahead = 0;
	log->scanned = 0;
	rx->log_word = IPN_LOG_IS(serial);
	rx->unseen = 0;
	if (follow_placed)
		follow_placed(s, fd);
	return 0;
}

/* -EAGAIN: not yet. */
static int answer(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;
	struct ipn_ctl_log request;
	struct client_call call;
	int r;

	if (!ask_is_ours(rx))
		return -EBADF;
	call_for(s, &call, &request);
	r = client_answer(rx->ask - 1, &call, rx->ask_id);
	if (r)
		return r == -EAGAIN && clock_now() > rx->ask_at + ANSWER_LATE_NS ? -ETIMEDOUT : r;
	r = call.nreply_fds == 1 ? take(s, call.reply_fds[0]) : -EPROTO;
	for (unsigned int i = 0; i < call.nreply_fds; i++)
		close(call.reply_fds[i]);
	return r;
}

/* The manager lives, but its socket cannot be found. */
static bool cut_off(const struct ipn_sock *s, int r)
{
	struct pollfd p = { .fd = s->control.fd };

	return r == -ENETDOWN && sock_own_is(&s->control) && poll(&p, 1, 0) == 0;
}

bool follow_log(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;
	int r;

	if (!rx->ask) {
		uint64_t now = clock_now();

		if (now < rx->ask_at)
			return false;
		rx->ask_at = now;
		r = ask(s);
		if (cut_off(s, r))
			__atomic_store_n(&s->gone, ECONNRESET, __ATOMIC_RELAXED);
	} else {
		r = answer(s);
		if (!r) {
			follow_stop(rx);
			/* others have looked into the old log, and sleep */
			if (__atomic_load_n(&s->waiters, __ATOMIC_SEQ_CST))
				tx_op(s, IPN_TX_RING);
			return true;
		}
	}
	if (r && r != -EAGAIN) {
		follow_stop(rx);
		rx->ask_at = clock_now() + ASK_AGAIN_NS;
	}
	return false;
}
