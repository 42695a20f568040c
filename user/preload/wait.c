// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Waiting: poll, select, and what stands under the waits of libipn.
 */
#include <sys/signalfd.h>

#include "common/clock.h"
#include "lib/poll.h"
#include "preload/shim.h"

/* glibc says of poll() that it only writes to the list. */
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

static __thread struct shim_wait current;

struct shim_wait shim_wait_begin(const struct shim_wait *wait)
{
	struct shim_wait before = current;

	current = *wait;
	return before;
}

void shim_wait_end(const struct shim_wait *before)
{
	current = *before;
}

/*
 * Signals and SA_RESTART. ppoll(2) ends with EINTR after any handler, a receiving call of a socket
 * only after one without SA_RESTART. When all handlers are of one kind, that is easy. Otherwise the
 * signals that end the call are held back while the others may interrupt, and a signalfd says when
 * one of them has come; ppoll() then lets it through.
 */
static int restarting_ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout)
{
	struct pollfd more[2];
	sigset_t now, held, watched;
	bool others;
	uint64_t ending = shim_signals_ending(&others);
	int fd, r;

	if (!ending || !others || nfds != 1) {
		do
			r = shim_real_ppoll(fds, nfds, timeout, NULL);
		while (r < 0 && errno == EINTR && !ending);
		return r;
	}
	pthread_sigmask(SIG_BLOCK, NULL, &now);
	held = now;
	sigemptyset(&watched);
	for (int sig = 1; sig <= 64; sig++) {
		if (!(ending >> (sig - 1) & 1) || sigismember(&now, sig))
			continue;
		sigaddset(&held, sig);
		sigaddset(&watched, sig);
	}
	fd = signalfd(-1, &watched, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -1;
	more[0] = fds[0];
	more[1] = (struct pollfd){ .fd = fd, .events = POLLIN };
	do
		r = shim_real_ppoll(more, 2, timeout, &held);
	while (r < 0 && errno == EINTR);
	shim_real_close(fd);
	if (r > 0 && more[1].revents && !more[0].revents) {
		errno = EINTR;
		return -1;
	}
	fds[0].revents = more[0].revents;
	return r > 0 ? 1 : r;
}

int shim_lib_ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
		   const sigset_t *mask)
{
	if (current.restart && !(timeout && !timeout->tv_sec && !timeout->tv_nsec))
		return restarting_ppoll(fds, nfds, timeout);
	return shim_real_ppoll(fds, nfds, timeout, mask);
}

int shim_lib_poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
	struct timespec ts = { timeout / 1000, timeout % 1000 * 1000000L };

	return shim_lib_ppoll(fds, nfds, timeout < 0 ? NULL : &ts, NULL);
}

/* Is one of them an IPN socket? */
static bool any_ipn(const struct pollfd *fds, nfds_t nfds)
{
	/* the kernel says what is wrong with a list that is no memory */
	if (nfds > SIZE_MAX / sizeof(*fds) || !shim_can_write(fds, nfds * sizeof(*fds)))
		return false;
	for (nfds_t i = 0; i < nfds; i++) {
		_cleanup_sock_ struct ipn_sock *s = fds[i].fd < 0 ? NULL : sock_find(fds[i].fd);

		if (s)
			return true;
	}
	return false;
}

int shim_poll(struct pollfd *fds, nfds_t nfds, const struct poll_call *call)
{
	struct shim_wait wait = { 0 }, before;
	int r;

	before = shim_wait_begin(&wait);
	r = poll_with(fds, nfds, call);
	shim_wait_end(&before);
	return r;
}

static uint64_t deadline_of(const struct timespec *timeout)
{
	if (!timeout)
		return CLOCK_NEVER;
	if (!timeout->tv_sec && !timeout->tv_nsec)
		return 0;
	if ((uint64_t)timeout->tv_sec > CLOCK_NEVER / NS_PER_S / 4)
		return CLOCK_NEVER;
	return clock_now() + (uint64_t)timeout->tv_sec * NS_PER_S + (uint64_t)timeout->tv_nsec;
}

static int time_check(const struct timespec *t)
{
	if (t && !shim_can_read(t, sizeof(*t)))
		return -EFAULT;
	return !t || (t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < 1000000000L) ? 0 : -EINVAL;
}

SHIM_API int ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
		   const sigset_t *mask)
{
	struct poll_call call = { .sigmask = mask };
	int r;

	if (shim_idle() || !any_ipn(fds, nfds))
		return shim_real_ppoll(fds, nfds, timeout, mask);
	r = time_check(timeout);
	if (r)
		return (int)shim_ret(r);
	call.deadline = deadline_of(timeout);
	return (int)shim_ret(shim_poll(fds, nfds, &call));
}

SHIM_API int poll(struct pollfd *fds, nfds_t nfds, int timeout)
{
	struct timespec ts = { timeout / 1000, timeout % 1000 * 1000000L };

	if (shim_idle() || !any_ipn(fds, nfds))
		return shim_real_poll(fds, nfds, timeout);
	return ppoll(fds, nfds, timeout < 0 ? NULL : &ts, NULL);
}
SHIM_ALIAS(int, __poll, poll, (struct pollfd * fds, nfds_t nfds, int timeout));

SHIM_API int __poll_chk(struct pollfd *fds, nfds_t nfds, int timeout, size_t room)
{
	if (shim_idle() || room / sizeof(*fds) < nfds)
		return shim_real___poll_chk(fds, nfds, timeout, room);
	return poll(fds, nfds, timeout);
}

SHIM_API int __ppoll_chk(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout,
			 const sigset_t *mask, size_t room)
{
	if (shim_idle() || room / sizeof(*fds) < nfds)
		return shim_real___ppoll_chk(fds, nfds, timeout, mask, room);
	return ppoll(fds, nfds, timeout, mask);
}

/*
 * select: the sets as a list for poll, and back.
 */

#define SELECT_IN (POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR)
#define SELECT_OUT (POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR)
#define SELECT_EX POLLPRI

static bool in_set(int fd, const fd_set *set)
{
	return set && FD_ISSET(fd, set);
}

static bool is_set(const fd_set *set, int n)
{
	return !set || shim_can_write(set, ((size_t)n + NFDBITS - 1) / NFDBITS * sizeof(fd_mask));
}

static bool select_has_ipn(int n, const fd_set *r, const fd_set *w, const fd_set *x)
{
	if (n < 0 || n > FD_SETSIZE || !is_set(r, n) || !is_set(w, n) || !is_set(x, n))
		return false;
	for (int fd = sock_next(0); fd >= 0 && fd < n; fd = sock_next(fd + 1)) {
		if (in_set(fd, r) || in_set(fd, w) || in_set(fd, x))
			return true;
	}
	return false;
}

static int select_take(fd_set *set, int fd, bool ready)
{
	if (!in_set(fd, set))
		return 0;
	if (!ready)
		FD_CLR(fd, set);
	return ready;
}

static int select_by_poll(int n, fd_set *r, fd_set *w, fd_set *x, const struct poll_call *call)
{
	struct pollfd fds[FD_SETSIZE];
	nfds_t nfds = 0;
	int ready;

	for (int fd = 0; fd < n; fd++) {
		short events =
			(short)((in_set(fd, r) ? POLLIN : 0) | (in_set(fd, w) ? POLLOUT : 0) |
				(in_set(fd, x) ? POLLPRI : 0));

		if (events)
			fds[nfds++] = (struct pollfd){ .fd = fd, .events = events };
	}
	ready = shim_poll(fds, nfds, call);
	if (ready < 0)
		return ready;
	for (nfds_t i = 0; i < nfds; i++) {
		if (fds[i].revents & POLLNVAL)
			return -EBADF;
	}
	ready = 0;
	for (nfds_t i = 0; i < nfds; i++) {
		ready += select_take(r, fds[i].fd, fds[i].revents & SELECT_IN);
		ready += select_take(w, fds[i].fd, fds[i].revents & SELECT_OUT);
		ready += select_take(x, fds[i].fd, fds[i].revents & SELECT_EX);
	}
	return ready;
}

SHIM_API int pselect(int n, fd_set *r, fd_set *w, fd_set *x, const struct timespec *timeout,
		     const sigset_t *mask)
{
	struct poll_call call = { .sigmask = mask };
	int error;

	if (shim_idle() || !select_has_ipn(n, r, w, x))
		return shim_real_pselect(n, r, w, x, timeout, mask);
	error = time_check(timeout);
	if (error)
		return (int)shim_ret(error);
	call.deadline = deadline_of(timeout);
	return (int)shim_ret(select_by_poll(n, r, w, x, &call));
}

/* As Linux does, leaves in *timeout what is left of it. */
SHIM_API int select(int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *timeout)
{
	struct poll_call call = { 0 };
	struct timespec ts, left;
	int ready;

	if (shim_idle() || !select_has_ipn(n, r, w, x))
		return shim_real_select(n, r, w, x, timeout);
	if (timeout) {
		if (!shim_can_write(timeout, sizeof(*timeout)))
			return (int)shim_ret(-EFAULT);
		if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
			return (int)shim_ret(-EINVAL);
		ts.tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000;
		ts.tv_nsec = timeout->tv_usec % 1000000 * 1000;
	}
	call.deadline = deadline_of(timeout ? &ts : NULL);
	ready = select_by_poll(n, r, w, x, &call);
	if (timeout && clock_left(call.deadline, &left)) {
		timeout->tv_sec = left.tv_sec;
		timeout->tv_usec = left.tv_nsec / 1000;
	}
	return (int)shim_ret(ready);
}
SHIM_ALIAS(int, __select, select,
	   (int n, fd_set *r, fd_set *w, fd_set *x, struct timeval *timeout));
