// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Descriptors: several numbers for one socket, and numbers that the program does not see: of the
 * tap, the bell and what is kept for the next program. The latter are as good as closed: nobody can
 * close them, and no duplicate goes there.
 */
#include <fcntl.h>
#include <sys/resource.h>

#include "lib/rx.h"
#include "preload/shim.h"

#define HIDDEN_MAX (1 << 20)
#define HIDDEN_FROM_MOST 4096 /* the table of descriptors is as long as the highest number */

uint32_t shim_on;

static uint8_t hidden[HIDDEN_MAX / 8]; /* a bit for each number; untouched, it takes no memory */
static int hidden_count;
static int hidden_low = HIDDEN_MAX, hidden_high = -1;

void shim_start(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

	pthread_mutex_lock(&lock);
	if (shim_idle()) {
		shim_signals_start();
		shim_inherit_start();
		__atomic_store_n(&shim_on, 1, __ATOMIC_SEQ_CST);
		/* a handler installed meanwhile */
		shim_signals_start();
	}
	pthread_mutex_unlock(&lock);
}

/*
 * Hidden numbers.
 */

void shim_hide(int fd)
{
	if (fd < 0 || fd >= HIDDEN_MAX)
		return;
	__atomic_or_fetch(&hidden[fd / 8], (uint8_t)(1 << fd % 8), __ATOMIC_RELAXED);
	__atomic_add_fetch(&hidden_count, 1, __ATOMIC_RELAXED);
	if (fd < hidden_low)
		hidden_low = fd;
	if (fd > hidden_high)
		hidden_high = fd;
}

static bool is_hidden(int fd)
{
	if (fd < hidden_low || fd > hidden_high)
		return false;
	return __atomic_load_n(&hidden[fd / 8], __ATOMIC_RELAXED) >> fd % 8 & 1;
}

int shim_hidden_dup(int fd, bool cloexec)
{
	struct rlimit limit;
	long from = HIDDEN_FROM_MOST;
	int r;

	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur / 2 < (rlim_t)from)
		from = (long)(limit.rlim_cur / 2);
	r = shim_real_fcntl(fd, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, (void *)(intptr_t)from);
	if (r >= 0)
		shim_hide(r);
	return r;
}

void shim_hide_away(int *fd)
{
	int away;

	if (*fd < 0 || is_hidden(*fd))
		return;
	away = shim_hidden_dup(*fd, true);
	if (away < 0) {
		shim_hide(*fd);
		return;
	}
	shim_real_close(*fd);
	*fd = away;
}

int shim_lib_close(int fd)
{
	if (is_hidden(fd))
		__atomic_and_fetch(&hidden[fd / 8], (uint8_t) ~(1 << fd % 8), __ATOMIC_RELAXED);
	return shim_real_close(fd);
}

/*
 * Several numbers.
 */

/* The number is about to become something else, or nothing. */
static void fd_leave(int fd, struct ipn_sock *s)
{
	shim_epoll_closed(fd);
	pthread_mutex_lock(&s->lock);
	if (s->entries > 1) {
		sock_rehome(s, fd);
		if (sock_remove(fd, s))
			s->entries--;
	} else if (sock_remove(fd, s)) {
		/* this process is out; whoever waits in it gets end of file */
		__atomic_or_fetch(&s->shut, SOCK_SHUT_BOTH, __ATOMIC_SEQ_CST);
		if (s->state == SOCK_CONNECTED)
			rx_wake(s);
		shim_left(s);
	}
	pthread_mutex_unlock(&s->lock);
}

/* Before a number is closed or taken over. False: it is hidden. */
static bool fd_release(int fd)
{
	if (shim_idle())
		return true;
	if (is_hidden(fd))
		return false;
	{
		_cleanup_sock_ struct ipn_sock *s = sock_find(fd);

		if (s && shim_own_memory())
			fd_leave(fd, s);
		else if (!s)
			shim_epoll_closed(fd);
	}
	return true;
}

int shim_dup_entry(struct ipn_sock *s, int fd)
{
	int r;

	if (!shim_own_memory())
		return fd;
	pthread_mutex_lock(&s->lock);
	r = sock_alias(fd, s);
	pthread_mutex_unlock(&s->lock);
	if (!r && !(shim_real_fcntl(fd, F_GETFD, NULL) & FD_CLOEXEC))
		shim_inherit_cloexec(s, false);
	if (r)
		shim_real_close(fd);
	return r ? (int)shim_ret(r) : fd;
}

SHIM_API int close(int fd)
{
	if (!fd_release(fd))
		return (int)shim_ret(-EBADF);
	return shim_real_close(fd);
}
SHIM_ALIAS(int, __close, close, (int fd));

/* glibc closes the descriptor by itself. */
SHIM_API int fclose(FILE *f)
{
	if (!shim_idle() && f)
		fd_release(fileno(f));
	return shim_real_fclose(f);
}

SHIM_API int dup(int fd)
{
	int r;

	SHIM_SOCK_OR(s, fd, shim_real_dup(fd));
	r = shim_real_dup(fd);
	return r < 0 ? r : shim_dup_entry(s, r);
}

static int dup_to(int from, int to, int flags)
{
	_cleanup_sock_ struct ipn_sock *s = sock_find(from);
	int r;

	if (is_hidden(from) || shim_real_fcntl(from, F_GETFD, NULL) < 0)
		return (int)shim_ret(-EBADF);
	if (from == to)
		return flags < 0 ? to : (int)shim_ret(-EINVAL);
	if (!fd_release(to))
		return (int)shim_ret(-EBUSY);
	r = flags < 0 ? shim_real_dup2(from, to) : shim_real_dup3(from, to, flags);
	return r < 0 || !s ? r : shim_dup_entry(s, r);
}

SHIM_API int dup2(int from, int to)
{
	return shim_idle() ? shim_real_dup2(from, to) : dup_to(from, to, -1);
}
SHIM_ALIAS(int, __dup2, dup2, (int from, int to));

SHIM_API int dup3(int from, int to, int flags)
{
	return shim_idle() ? shim_real_dup3(from, to, flags) : dup_to(from, to, flags);
}

SHIM_API int close_range(unsigned int first, unsigned int last, int flags)
{
	unsigned int from = first;
	int r;

	if (shim_idle() || flags || first > last || !shim_own_memory())
		return shim_real_close_range(first, last, flags);
	for (int fd = sock_next((int)first); fd >= 0 && (unsigned int)fd <= last;
	     fd = sock_next(fd + 1))
		fd_release(fd);
	for (int fd = hidden_low; fd <= hidden_high; fd++) {
		if ((unsigned int)fd < from || (unsigned int)fd > last || !is_hidden(fd))
			continue;
		if ((unsigned int)fd > from) {
			r = shim_real_close_range(from, (unsigned int)fd - 1, 0);
			if (r)
				return r;
		}
		from = (unsigned int)fd + 1;
	}
	return from <= last ? shim_real_close_range(from, last, 0) : 0;
}

SHIM_API void closefrom(int from)
{
	if (shim_idle())
		shim_real_closefrom(from);
	else
		close_range(from < 0 ? 0 : (unsigned int)from, ~0u, 0);
}
