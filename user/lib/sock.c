// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The table of descriptors.
 *
 * Looking up takes no lock: an entry is a pointer in a two-level table, held by a count. The
 * structs are never given back to the allocator, so a count may be tried on one that has just
 * ended: it is then 0, and stays 0, or the struct serves another descriptor by now, and the second
 * look at the table says so.
 */
#include "lib/sock.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/util.h"
#include "lib/follow.h"
#include "lib/share.h"
#include "lib/tx.h"
#include "lib/who.h"

#define CHUNK_BITS 10
#define CHUNK (1u << CHUNK_BITS)
#define CHUNKS 4096 /* up to 4 million descriptors */

static struct ipn_sock **table[CHUNKS];

static pthread_mutex_t free_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ipn_sock *free_list;

/* The place of a descriptor in the table; NULL when there is none (yet). */
static struct ipn_sock **table_entry(int fd)
{
	struct ipn_sock **chunk;

	if (fd < 0 || (unsigned int)fd >= CHUNKS * CHUNK)
		return NULL;
	chunk = __atomic_load_n(&table[(unsigned int)fd >> CHUNK_BITS], __ATOMIC_ACQUIRE);
	return chunk ? &chunk[(unsigned int)fd & (CHUNK - 1)] : NULL;
}

static int table_grow(int fd)
{
	struct ipn_sock **chunk, **none = NULL;

	if (fd < 0 || (unsigned int)fd >= CHUNKS * CHUNK)
		return -EMFILE;
	if (table_entry(fd))
		return 0;
	chunk = calloc(CHUNK, sizeof(struct ipn_sock *));
	if (!chunk)
		return -ENOMEM;
	if (!__atomic_compare_exchange_n(&table[(unsigned int)fd >> CHUNK_BITS], &none, chunk,
					 false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		free(chunk);
	return 0;
}

static struct ipn_sock *sock_alloc(void)
{
	struct ipn_sock *s;
	const size_t rx_start = offsetof(struct rx, lock) + sizeof(pthread_mutex_t);

	pthread_mutex_lock(&free_lock);
	s = free_list;
	if (s)
		free_list = s->next_free;
	pthread_mutex_unlock(&free_lock);
	if (!s) {
		if (posix_memalign((void **)&s, CACHE_LINE, sizeof(*s)))
			return NULL;
		memset(s, 0, sizeof(*s));
		pthread_mutex_init(&s->lock, NULL);
		pthread_mutex_init(&s->tx_lock, NULL);
		pthread_mutex_init(&s->rx.lock, NULL);
	}
	memset((char *)&s->rx + rx_start, 0, sizeof(s->rx) - rx_start);
	memset(&s->state, 0, sizeof(*s) - offsetof(struct ipn_sock, state));
	s->fd = s->path_fd = s->tap = s->rx.bell.fd = s->room.fd = -1;
	s->life.fd = s->control.fd = -1;
	return s;
}

static void sock_free(struct ipn_sock *s)
{
	pthread_mutex_lock(&free_lock);
	s->next_free = free_list;
	free_list = s;
	pthread_mutex_unlock(&free_lock);
}

static void unmap(const void *addr, size_t len)
{
	if (addr)
		munmap((void *)addr, len);
}

static void bell_unmap(struct rx_bell *bell, size_t page_len)
{
	unmap(bell->consumer, page_len);
	bell->consumer = NULL;
	unmap(bell->producer, bell->map_len);
	bell->producer = NULL;
	util_close_fd(&bell->fd);
	bell->fd = -1;
	if (bell->watch > 0)
		close(bell->watch);
	bell->watch = 0;
	if (bell->timer > 0)
		close(bell->timer);
	bell->timer = 0;
}

void sock_unmap(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;

	follow_stop(rx);
	for (int i = 0; i < RX_LOGS; i++) {
		unmap(rx->log[i].base, rx->log[i].map_len);
		rx->log[i].base = NULL;
	}
	unmap(rx->stash.base, rx->stash.map_len);
	rx->stash.base = NULL;
	unmap(rx->page, rx->page_len);
	rx->page = NULL;
	bell_unmap(&rx->bell, rx->page_len);
	bell_unmap(&s->room, rx->page_len);
	if (s->always > 0)
		close(s->always);
	s->always = 0;
	util_close_fd(&s->tap);
	s->tap = -1;
}

static int read_cookie(int fd, uint64_t *out)
{
	socklen_t len = sizeof(*out);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, out, &len) ? -errno : 0;
}

void sock_own_set(struct sock_own *own, int fd)
{
	own->fd = fd;
	if (fd >= 0 && read_cookie(fd, &own->cookie))
		own->fd = -1;
}

bool sock_own_is(const struct sock_own *own)
{
	uint64_t cookie;

	return own->fd >= 0 && !read_cookie(own->fd, &cookie) && cookie == own->cookie;
}

static void sock_own_close(struct sock_own *own)
{
	if (sock_own_is(own))
		close(own->fd);
	own->fd = -1;
}

int sock_add(int fd, int policy, bool nonblock)
{
	struct ipn_sock *s, *old;
	uint64_t cookie;
	int r;

	r = read_cookie(fd, &cookie);
	if (r)
		return r;
	r = table_grow(fd);
	if (r)
		return r;
	s = sock_alloc();
	if (!s)
		return -ENOMEM;
	share_start();
	s->fd = fd;
	s->cookie = cookie;
	s->who = who_am_i();
	s->policy = policy;
	s->nonblock = nonblock;
	s->entries = 1;
	s->port = IPN_PORTNO_ANY;
	s->params = (struct sock_params){
		.mtu = IPN_MTU_DEFAULT,
		.numnodes = IPN_NODES_DEFAULT,
		.pool = IPN_POOL_DEFAULT,
		.mode = 0777,
	};
	__atomic_store_n(&s->refs, 1, __ATOMIC_RELEASE);
	old = __atomic_exchange_n(table_entry(fd), s, __ATOMIC_ACQ_REL);
	if (old)
		sock_put(old);
	return 0;
}

/* One more holder, unless the last one has left. */
static bool sock_hold(struct ipn_sock *s)
{
	uint32_t refs = __atomic_load_n(&s->refs, __ATOMIC_RELAXED);

	while (refs) {
		if (__atomic_compare_exchange_n(&s->refs, &refs, refs + 1, true, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return true;
	}
	return false;
}

struct ipn_sock *sock_find(int fd)
{
	struct ipn_sock **entry = table_entry(fd), *s;

	while (entry && (s = __atomic_load_n(entry, __ATOMIC_ACQUIRE))) {
		if (!sock_hold(s))
			continue;
		if (__builtin_expect(__atomic_load_n(entry, __ATOMIC_ACQUIRE) == s, 1))
			return s;
		sock_put(s);
	}
	return NULL;
}

int sock_get(int fd, struct ipn_sock **out)
{
	struct ipn_sock *s = sock_find(fd);

	if (__builtin_expect(s != NULL, 1)) {
		*out = s;
		return 0;
	}
	return fcntl(fd, F_GETFD) < 0 ? -EBADF : -ENOTSOCK;
}

void sock_put(struct ipn_sock *s)
{
	if (__builtin_expect(__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL), 1))
		return;
	if (share_leave(s))
		tx_op(s, IPN_TX_MOVED);
	sock_unmap(s);
	util_close_fd(&s->path_fd);
	s->path_fd = -1;
	sock_own_close(&s->control);
	sock_own_close(&s->life);
	sock_free(s);
}

bool sock_remove(int fd, struct ipn_sock *s)
{
	struct ipn_sock **entry = table_entry(fd);

	if (!entry || !__atomic_compare_exchange_n(entry, &s, NULL, false, __ATOMIC_ACQ_REL,
						   __ATOMIC_ACQUIRE))
		return false;
	sock_put(s);
	return true;
}

bool sock_is(const struct ipn_sock *s, int fd)
{
	uint64_t cookie;

	return !read_cookie(fd, &cookie) && cookie == s->cookie;
}

int sock_alias(int fd, struct ipn_sock *s)
{
	int r = table_grow(fd);
	struct ipn_sock *old;

	if (r)
		return r;
	__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	s->entries++;
	old = __atomic_exchange_n(table_entry(fd), s, __ATOMIC_ACQ_REL);
	if (old)
		sock_put(old);
	return 0;
}

int sock_dup(struct ipn_sock *s, int fd)
{
	_cleanup_close_ int copy = -1;
	int r = -EBADF;

	pthread_mutex_lock(&s->lock);
	if (sock_is(s, fd)) {
		copy = fcntl(fd, F_DUPFD, 0);
		r = copy < 0 ? -errno : sock_alias(copy, s);
	}
	pthread_mutex_unlock(&s->lock);
	return r ? r : util_take_fd(&copy);
}

void sock_rehome(struct ipn_sock *s, int fd)
{
	for (int n = sock_next(0); s->fd == fd && n >= 0; n = sock_next(n + 1)) {
		_cleanup_sock_ struct ipn_sock *other = n == fd ? NULL : sock_find(n);

		if (other == s)
			__atomic_store_n(&s->fd, n, __ATOMIC_RELEASE);
	}
}

int sock_next(int from)
{
	for (unsigned int fd = (unsigned int)from; fd < CHUNKS * CHUNK; fd++) {
		struct ipn_sock **entry = table_entry((int)fd);

		if (!entry)
			fd |= CHUNK - 1;
		else if (__atomic_load_n(entry, __ATOMIC_ACQUIRE))
			return (int)fd;
	}
	return -1;
}

void sock_fork_begin(void)
{
	pthread_mutex_lock(&free_lock);
}

void sock_fork_end(void)
{
	pthread_mutex_unlock(&free_lock);
}

void sock_forked(void)
{
	for (int fd = sock_next(0); fd >= 0; fd = sock_next(fd + 1)) {
		struct ipn_sock *s = *table_entry(fd);

		s->refs = 0;
		s->entries = 0;
		s->waiters = 0;
		s->senders = 0;
		s->rx.peek_log = NULL;
		follow_stop(&s->rx); /* the parent gets its answer, and this process another */
		pthread_mutex_init(&s->lock, NULL);
		pthread_mutex_init(&s->tx_lock, NULL);
		pthread_mutex_init(&s->rx.lock, NULL);
	}
	for (int fd = sock_next(0); fd >= 0; fd = sock_next(fd + 1)) {
		struct ipn_sock *s = *table_entry(fd);

		s->refs++;
		s->entries++;
	}
	pthread_mutex_init(&free_lock, NULL);
}

int sock_may_block(struct ipn_sock *s)
{
	int fd, flags;

	/* of several duplicates, the one that s->fd was may be closed meanwhile */
	do {
		fd = __atomic_load_n(&s->fd, __ATOMIC_ACQUIRE);
		flags = fcntl(fd, F_GETFL);
	} while (fd != __atomic_load_n(&s->fd, __ATOMIC_ACQUIRE));
	if (flags < 0)
		return -errno;
	__atomic_store_n(&s->nonblock, flags & O_NONBLOCK ? 1 : 0, __ATOMIC_RELAXED);
	return flags & O_NONBLOCK ? -EAGAIN : 0;
}
