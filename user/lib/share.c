// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One node in several processes.
 *
 * After fork() parent and child have the same port, tap, bells and page. Each has its own place in
 * the stream, in its own memory, and gets all messages. What they have to know of each other stands
 * in the page; none of it costs a process anything that is alone with its node (`shared` is 0).
 *
 * Numbers. Each process has a number at the page, 0 who joined. What programs answer to a sender
 * goes to the number that its frame names, so two processes never take an answer for the
 * other's. A number is held by a lock of fcntl(2) on one byte of a memory file (`key` tells the
 * nodes apart): the kernel takes such a lock from a process that dies, however it dies, does not
 * give it to the child of a fork(), and knows of no pid namespaces. A child takes a number when
 * it first needs one: for LOSSLESS sends, batches and receiving.
 *
 * LOSSLESS. The pool is counted by `cursor`, so that is the lowest of those who receive:
 *	P1 a process stores its own cursor;  P2 full barrier;  P3 looks at all whose bit is in
 *	`readers`;  P4 moves `cursor` up to the lowest, never down.
 * Of two that store at the same time, one sees the other at P3. Cursors only move up, so the lowest
 * seen is never too high. Who enters sets its bit. What is behind `cursor`, then or because of
 * somebody who was between P3 and P4, may have been overwritten, and is counted if it was
 * (rx_lost); all else is kept for it. So a child counts from its first receiving call on: one that
 * never receives holds nobody up.
 * A reader that died is taken off by one that is ahead of it, when that finds nothing to read: it
 * looks every 10 ms then (share_tend).
 *
 * Bells. A record that one process consumes is gone for the others. So where a node is shared, the
 * newest record stays, whoever consumes, and each process waits by an epoll of its own which is
 * edge-triggered: each ring wakes each of them once, whatever the others do, or die of. The
 * consumer's position only moves up; GONE goes into the page before it is consumed.
 *
 * fork() takes the locks of all sockets, so none is held in the child by a thread that is not
 * there. A socket whose lock cannot be had (the manager stands still, a signal handler forks),
 * or for which there is no file of locks, is of no use in the child: as if its port had been
 * taken away. A program started by another (user/preload) finds the page as it is and sets
 * `shared`; the process that was alone until then sees that when it next looks.
 */
#include "lib/share.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <time.h>

#include "common/clock.h"
#include "common/util.h"
#include "lib/client.h"

#define KEY_BYTES 64 /* of the file, for each node */
#define KEY_CONTROL 63
#define KEY_MASK ((1ULL << 56) - 1)
#define FORK_WAIT_S 2
#define CONTROL_TRIES 5000 /* of a millisecond */
#define RECORD 16          /* bytes of any in a bell */
#define TEND_NS 10000000ULL

_Static_assert(IPN_PAGE_PROCESSES <= KEY_CONTROL, "a byte for each");

int share_file = -1;

static pthread_mutex_t number_lock = PTHREAD_MUTEX_INITIALIZER;

static bool byte_lock(const struct ipn_sock *s, uint64_t byte, short type)
{
	struct flock lock = {
		.l_type = type,
		.l_whence = SEEK_SET,
		.l_start = (off_t)(s->rx.page->key * KEY_BYTES + byte),
		.l_len = 1,
	};

	return share_file >= 0 && !fcntl(share_file, F_SETLK, &lock);
}

/* Does another process hold it? */
static bool byte_held(const struct ipn_sock *s, uint64_t byte)
{
	struct flock lock = {
		.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)(s->rx.page->key * KEY_BYTES + byte),
		.l_len = 1,
	};

	return share_file < 0 || fcntl(share_file, F_GETLK, &lock) || lock.l_type != F_UNLCK;
}

static void key_set(struct ipn_sock *s)
{
	__u64 none = 0;

	__atomic_compare_exchange_n(&s->rx.page->key, &none, s->cookie & KEY_MASK, false,
				    __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static void move_up(__u64 *word, __u64 to)
{
	__u64 now = __atomic_load_n(word, __ATOMIC_RELAXED);

	while (now < to && !__atomic_compare_exchange_n(word, &now, to, true, __ATOMIC_SEQ_CST,
							__ATOMIC_RELAXED))
		;
}

void share_joined(struct ipn_sock *s)
{
	struct ipn_page *page = s->rx.page;

	if (share_file < 0)
		return;
	key_set(s);
	byte_lock(s, 0, F_WRLCK);
	page->process[0].pid = (uint64_t)getpid();
}

static int number_take(struct ipn_sock *s)
{
	struct ipn_page *page = s->rx.page;

	if (share_file < 0 || !page->key)
		return -EOPNOTSUPP;
	for (uint32_t n = 1; n < IPN_PAGE_PROCESSES; n++) {
		if (!byte_lock(s, n, F_WRLCK))
			continue;
		/* of one who died */
		__atomic_and_fetch(&page->readers, ~(1ULL << n), __ATOMIC_SEQ_CST);
		__atomic_store_n(&page->process[n].tx_refused, 0, __ATOMIC_RELAXED);
		page->process[n].pid = (uint64_t)getpid();
		return (int)n;
	}
	return -EUSERS;
}

int share_number(struct ipn_sock *s)
{
	int n = (int)__atomic_load_n(&s->process, __ATOMIC_ACQUIRE);

	if (n != (int)SHARE_NONE)
		return n;
	pthread_mutex_lock(&number_lock);
	n = (int)s->process;
	if (n == (int)SHARE_NONE) {
		n = number_take(s);
		if (n >= 0)
			__atomic_store_n(&s->process, (uint32_t)n, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&number_lock);
	return n;
}

static void own_cursors(struct ipn_sock *s)
{
	struct ipn_page_process *own = &s->rx.page->process[s->process];

	__atomic_store_n(&own->cursor, s->rx.log[RX_NET].cursor, __ATOMIC_RELEASE); /* P1 */
	__atomic_store_n(&own->node_cursor, s->rx.log[RX_NODE].cursor, __ATOMIC_RELEASE);
}

int share_enter(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;
	struct ipn_page *page = rx->page;
	int n = share_number(s);

	if (n < 0 && rx->lossless)
		return n;
	rx->entered = 1;
	rx->sent = 1; /* so may others, and what they send is own */
	rx->packets_told = rx->packets;
	rx->bytes_told = rx->bytes;
	rx->overrun_published = rx->overrun;
	if (n < 0)
		return 0;
	own_cursors(s);
	if (!rx->lossless)
		return 0;
	__atomic_or_fetch(&page->readers, 1ULL << n, __ATOMIC_SEQ_CST);
	return 0;
}

/* P2 to P4. */
static void lowest(struct ipn_page *page)
{
	uint64_t net = UINT64_MAX, node = UINT64_MAX, readers;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	readers = __atomic_load_n(&page->readers, __ATOMIC_SEQ_CST);
	for (uint32_t n = 0; n < IPN_PAGE_PROCESSES; n++) {
		const struct ipn_page_process *p = &page->process[n];
		uint64_t c = __atomic_load_n(&p->cursor, __ATOMIC_SEQ_CST);
		uint64_t o = __atomic_load_n(&p->node_cursor, __ATOMIC_SEQ_CST);

		if (!(readers >> n & 1))
			continue;
		net = c < net ? c : net;
		node = o < node ? o : node;
	}
	if (net == UINT64_MAX)
		return;
	move_up(&page->cursor, net);
	move_up(&page->node_cursor, node);
}

void share_publish(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;
	struct ipn_page *page = rx->page;

	if (!rx->entered && share_enter(s))
		return;
	__atomic_add_fetch(&page->rx_packets, rx->packets - rx->packets_told, __ATOMIC_RELAXED);
	__atomic_add_fetch(&page->rx_bytes, rx->bytes - rx->bytes_told, __ATOMIC_RELAXED);
	__atomic_add_fetch(&page->overrun, rx->overrun - rx->overrun_published, __ATOMIC_RELAXED);
	rx->packets_told = rx->packets;
	rx->bytes_told = rx->bytes;
	rx->overrun_published = rx->overrun;
	if (s->process == SHARE_NONE)
		return;
	own_cursors(s);
	if (rx->lossless)
		lowest(page);
}

static bool behind(const struct rx *rx, const struct ipn_page_process *p)
{
	return __atomic_load_n(&p->cursor, __ATOMIC_RELAXED) < rx->log[RX_NET].cursor ||
	       __atomic_load_n(&p->node_cursor, __ATOMIC_RELAXED) < rx->log[RX_NODE].cursor;
}

bool share_tend(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;
	struct ipn_page *page = rx->page;
	uint64_t now, readers = __atomic_load_n(&page->readers, __ATOMIC_SEQ_CST);
	bool any = false;

	if (!rx->lossless || !rx->entered)
		return false;
	for (uint32_t n = 0; n < IPN_PAGE_PROCESSES && !any; n++)
		any = readers >> n & 1 && n != s->process && behind(rx, &page->process[n]);
	if (!any)
		return false;
	now = clock_now();
	if (now < rx->tended + TEND_NS)
		return true;
	rx->tended = now;
	for (uint32_t n = 0; n < IPN_PAGE_PROCESSES; n++) {
		if (!(readers >> n & 1) || n == s->process || !behind(rx, &page->process[n]) ||
		    byte_held(s, n))
			continue;
		__atomic_and_fetch(&page->readers, ~(1ULL << n), __ATOMIC_SEQ_CST);
	}
	lowest(page);
	return true;
}

bool share_leave(struct ipn_sock *s)
{
	struct ipn_page *page = s->rx.page;
	uint32_t n = s->process;
	bool shared;

	if (!page || !page->key || n == SHARE_NONE)
		return false;
	shared = share_is(&s->rx);
	__atomic_and_fetch(&page->readers, ~(1ULL << n), __ATOMIC_SEQ_CST);
	page->process[n].pid = 0;
	byte_lock(s, n, F_UNLCK);
	if (shared)
		lowest(page);
	return shared && s->rx.lossless;
}

void share_drop(uint64_t key)
{
	struct flock lock = {
		.l_type = F_UNLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)(key * KEY_BYTES),
		.l_len = KEY_BYTES,
	};

	if (share_file >= 0 && key)
		fcntl(share_file, F_SETLK, &lock);
}

static int adopted_number(struct ipn_sock *s)
{
	const struct ipn_page *page = s->rx.page;

	for (uint32_t n = 0; n < IPN_PAGE_PROCESSES; n++) {
		if (page->process[n].pid == (uint64_t)getpid() && byte_lock(s, n, F_WRLCK))
			return (int)n;
	}
	return -1;
}

void share_adopt(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;
	struct ipn_page *page = rx->page;
	__u64 none = 0;
	int n = adopted_number(s);

	s->process = n < 0 ? SHARE_NONE : (uint32_t)n;
	if (n >= 0 && share_is(rx) && page->process[n].cursor) {
		/* the program before this one, in the same process, has read so far */
		rx->log[RX_NET].cursor = page->process[n].cursor;
		rx->log[RX_NODE].cursor = page->process[n].node_cursor;
		rx->entered = page->readers >> n & 1;
	}
	if (n >= 0 || share_is(rx))
		return;
	/* somebody was alone with it, who is not told: if it reads, its place is kept */
	page->process[0].cursor = page->cursor;
	page->process[0].node_cursor = page->node_cursor;
	if (rx->lossless && page->rx_packets && byte_held(s, 0))
		__atomic_compare_exchange_n(&page->readers, &none, 1, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_RELAXED);
	__atomic_store_n(&page->shared, 1, __ATOMIC_SEQ_CST);
}

/*
 * Bells.
 */

int share_watch(struct rx_bell *bell)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int low, fd;

	if (bell->watch > 0)
		return bell->watch;
	low = epoll_create1(EPOLL_CLOEXEC);
	if (low < 0)
		return -1;
	fd = low ? low : fcntl(low, F_DUPFD_CLOEXEC, 3);
	if (fd != low)
		close(low);
	if (fd < 0)
		return -1;
	if (epoll_ctl(fd, EPOLL_CTL_ADD, bell->fd, &event)) {
		close(fd);
		return -1;
	}
	bell->watch = fd;
	return fd;
}

void share_hush(struct rx_bell *bell)
{
	struct epoll_event events[2];

	if (bell->watch > 0)
		epoll_wait(bell->watch, events, 2, 0);
}

void share_alarm(struct rx_bell *bell)
{
	const struct itimerspec soon = { .it_value = { .tv_nsec = TEND_NS } };
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };

	if (bell->timer <= 0) {
		bell->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
		if (bell->timer <= 0 || epoll_ctl(bell->watch, EPOLL_CTL_ADD, bell->timer, &event))
			return;
	}
	timerfd_settime(bell->timer, 0, &soon, NULL);
}

void share_consumed(struct rx_bell *bell)
{
	const uint64_t to = bell->seen - RECORD;
	uint64_t now = __atomic_load_n(bell->consumer, __ATOMIC_RELAXED);

	while ((int64_t)(to - now) > 0 &&
	       !__atomic_compare_exchange_n(bell->consumer, &now, to, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED))
		;
}

/* In the child: the parent's would be quiet for both. */
static void watch_renew(struct rx_bell *bell)
{
	int old = bell->watch, fd;

	if (old <= 0)
		return;
	if (bell->timer > 0)
		close(bell->timer);
	bell->timer = bell->watch = 0;
	fd = share_watch(bell);
	/* who has it in a loop finds it at its number */
	if (fd >= 0 && fd != old && dup3(fd, old, O_CLOEXEC) == old) {
		close(fd);
		bell->watch = old;
	} else if (fd < 0) {
		close(old);
	}
}

/*
 * Control.
 */

int share_control_begin(struct ipn_sock *s)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	if (!share_is(&s->rx) || share_file < 0)
		return 0;
	for (int i = 0; i < CONTROL_TRIES; i++) {
		if (byte_lock(s, KEY_CONTROL, F_WRLCK))
			return 0;
		nanosleep(&pause, NULL);
	}
	return -ETIMEDOUT;
}

void share_control_end(struct ipn_sock *s)
{
	if (share_is(&s->rx) && share_file >= 0)
		byte_lock(s, KEY_CONTROL, F_UNLCK);
}

/*
 * fork
 */

enum { HELD_LISTED = 1, HELD_LOCK = 2, HELD_TX = 4, HELD_RX = 8, HELD_ALL = 15 };

static struct ipn_sock *forking; /* all sockets */

static bool fork_lock(pthread_mutex_t *lock, const struct timespec *until)
{
	return !pthread_mutex_trylock(lock) ||
	       !pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, until);
}

/* From here on another process may have it, too. Under all locks. False: it cannot. */
static bool share_begin(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;

	if (s->state != SOCK_CONNECTED)
		return true;
	if (share_file < 0)
		share_file = memfd_create("ipn-share", MFD_CLOEXEC);
	if (share_file < 0)
		return false;
	key_set(s);
	if (s->process != SHARE_NONE)
		byte_lock(s, s->process, F_WRLCK);
	/* who was alone with it until now may receive; others have entered if they do */
	if (!share_is(rx) && !rx->entered && (rx->packets || rx->peek_log || s->waiters) &&
	    share_enter(s))
		return false;
	__atomic_store_n(&rx->page->shared, 1, __ATOMIC_SEQ_CST);
	return true;
}

static void fork_hold(struct ipn_sock *s, const struct timespec *until)
{
	s->fork_held = HELD_LISTED;
	if (fork_lock(&s->lock, until))
		s->fork_held |= HELD_LOCK;
	if (fork_lock(&s->tx_lock, until))
		s->fork_held |= HELD_TX;
	if (fork_lock(&s->rx.lock, until))
		s->fork_held |= HELD_RX;
	s->next_forking = forking;
	forking = s;
	s->of_no_use = s->fork_held != HELD_ALL || !share_begin(s);
}

static void before_fork(void)
{
	struct timespec until;

	forking = NULL;
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += FORK_WAIT_S;
	for (int fd = sock_next(0); fd >= 0; fd = sock_next(fd + 1)) {
		struct ipn_sock *s = sock_find(fd);

		if (s && !s->fork_held)
			fork_hold(s, &until);
		else if (s) /* another number of the same */
			sock_put(s);
	}
	pthread_mutex_lock(&number_lock);
	sock_fork_begin();
	client_fork(false);
}

static void after_fork(void)
{
	struct ipn_sock *s, *next;

	sock_fork_end();
	pthread_mutex_unlock(&number_lock);
	for (s = forking; s; s = next) {
		const uint32_t held = s->fork_held;

		next = s->next_forking;
		s->fork_held = 0;
		if (held & HELD_RX)
			pthread_mutex_unlock(&s->rx.lock);
		if (held & HELD_TX)
			pthread_mutex_unlock(&s->tx_lock);
		if (held & HELD_LOCK)
			pthread_mutex_unlock(&s->lock);
		sock_put(s);
	}
}

static void in_child(void)
{
	pthread_mutex_init(&number_lock, NULL);
	sock_forked();
	client_fork(true);
	for (struct ipn_sock *s = forking; s; s = s->next_forking) {
		s->fork_held = 0;
		s->process = SHARE_NONE;
		s->rx.entered = 0;
		s->waiters = s->rx.polled;
		s->senders = s->polled;
		watch_renew(&s->rx.bell);
		watch_renew(&s->room);
		if (s->of_no_use)
			s->gone = ECONNRESET;
	}
}

static void start(void)
{
	pthread_atfork(before_fork, after_fork, in_child);
}

void share_start(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, start);
}
