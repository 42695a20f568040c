// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The program at the tap runs inside write(), in the sender's time: when write() returns, the
 * message is in the log. No lock: the kernel orders the writes of several threads.
 */
#include "lib/tx.h"

#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "common/util.h"
#include "common/clock.h"
#include "lib/rx.h"
#include "lib/share.h"

/*
 * Up to here a message is copied behind its header: cheaper than writev(), which maps two pieces.
 */
#define TX_COPY 2048
/* Pieces that writev() gets from the stack. */
#define TX_PIECES 16

#define TX_BATCHES_OFF 256 /* after a batch was refused */
#define TX_SINGLES 1
#define TX_YIELDS_MIN 3 /* before sleeping until a full pool has room */
#define TX_YIELDS_MAX 30
#define TX_UNWATCHED_NS 10000000ULL /* a room bell that cannot be watched */

#define TX_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL | MSG_EOR)

#define TX_HDR(operation)                                                               \
	{                                                                               \
		.magic = { IPN_TX_MAGIC >> 24, (IPN_TX_MAGIC >> 16) & 0xff,             \
			   (IPN_TX_MAGIC >> 8) & 0xff, IPN_TX_MAGIC & 0xff },           \
		.op = (operation), .proto = { IPN_TX_PROTO >> 8, IPN_TX_PROTO & 0xff }, \
	}

static const struct ipn_tx_hdr tx_data_hdr = TX_HDR(IPN_TX_DATA);

/* What an error of the tap means to a sender. */
static int tx_error(struct ipn_sock *s, int err)
{
	uint32_t none = 0;

	switch (err) {
	case EBADFD: /* the device was deleted */
		__atomic_compare_exchange_n(&s->gone, &none, ECONNRESET, false, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
		return -ECONNRESET;
	case EIO: /* it is down */
		return -ECONNRESET;
	default:
		return -err;
	}
}

/* Where the fabric answers this process; the frame names it. Under tx_lock. */
static int tx_answer(struct ipn_sock *s, struct ipn_tx_hdr *hdr, struct ipn_page_process **answer)
{
	uint32_t n = s->process;

	if (__builtin_expect(n == SHARE_NONE, 0)) {
		int r = share_number(s);

		if (r < 0)
			return r;
		n = (uint32_t)r;
	}
	hdr->process = (uint8_t)n;
	*answer = &s->rx.page->process[n];
	return 0;
}

/* The tap itself: waits until it takes more; it is non-blocking whatever the descriptor is. */
static int tx_wait(struct ipn_sock *s, int flags)
{
	struct pollfd p = { .fd = s->tap, .events = POLLOUT };
	int r = flags & MSG_DONTWAIT ? -EAGAIN : sock_may_block(s);

	if (r)
		return r;
	return poll(&p, 1, -1) < 0 ? -errno : 0;
}

static int tx_writev(struct ipn_sock *s, const struct iovec *iov, int iovcnt, int flags)
{
	for (;;) {
		ssize_t n = iovcnt == 1 ? write(s->tap, iov->iov_base, iov->iov_len)
					: writev(s->tap, iov, iovcnt);
		int r;

		if (n >= 0)
			return 0;
		if (errno != EAGAIN)
			return tx_error(s, errno);
		r = tx_wait(s, flags);
		if (r)
			return r;
	}
}

static size_t tx_gather(uint8_t *to, const struct iovec *iov, size_t iovcnt)
{
	size_t len = 0;

	for (size_t i = 0; i < iovcnt; i++) {
		if (!iov[i].iov_len)
			continue;
		memcpy(to + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	return len;
}

static int tx_message(struct ipn_sock *s, const struct ipn_tx_hdr *hdr, const struct iovec *iov,
		      size_t iovcnt, size_t len, int flags)
{
	if (len <= TX_COPY) {
		struct {
			struct ipn_tx_hdr hdr;
			uint8_t data[TX_COPY];
		} frame;
		struct iovec one = { &frame, IPN_TX_HDR + len };

		frame.hdr = *hdr;
		tx_gather(frame.data, iov, iovcnt);
		return tx_writev(s, &one, 1, flags);
	}
	if (iovcnt < TX_PIECES) {
		struct iovec pieces[TX_PIECES] = { { (void *)hdr, IPN_TX_HDR } };

		memcpy(pieces + 1, iov, iovcnt * sizeof(*iov));
		return tx_writev(s, pieces, (int)iovcnt + 1, flags);
	}
	{
		_cleanup_free_ uint8_t *frame = malloc(IPN_TX_HDR + len);
		struct iovec one = { frame, IPN_TX_HDR + len };

		if (!frame)
			return -ENOBUFS;
		memcpy(frame, hdr, IPN_TX_HDR);
		tx_gather(frame + IPN_TX_HDR, iov, iovcnt);
		return tx_writev(s, &one, 1, flags);
	}
}

/* May this node send? */
static int tx_open(const struct ipn_sock *s)
{
	uint32_t shut;

	if (!sock_connected(s))
		return sock_no_data(s);
	if (sock_gone(s))
		return -ECONNRESET;
	shut = sock_shut(s);
	if (shut & SOCK_SHUT_WR)
		return shut == SOCK_SHUT_BOTH ? -ECONNRESET : -EPIPE;
	return 0;
}

/*
 * LOSSLESS networks. The program takes the message, or leaves the frame's ticket in the page; the
 * lock keeps the ticket ours. 0, -ENOBUFS the pool is full, *full tells of which log, -EBUSY others
 * were faster, or another -errno.
 */
static int tx_try(struct ipn_sock *s, const struct iovec *iov, size_t iovcnt, size_t len, int flags,
		  uint32_t *full)
{
	struct ipn_tx_hdr hdr = tx_data_hdr;
	struct ipn_page_process *answer;
	uint64_t refused = 0;
	int r;

	pthread_mutex_lock(&s->tx_lock);
	s->ticket++;
	memcpy(hdr.ticket, &s->ticket, sizeof(hdr.ticket));
	*full = 0;
	r = tx_answer(s, &hdr, &answer);
	if (!r) {
		r = tx_message(s, &hdr, iov, iovcnt, len, flags);
		refused = __atomic_load_n(&answer->tx_refused, __ATOMIC_ACQUIRE);
	}
	if (!r && IPN_TX_WHY(refused) == (IPN_TX_FULL | s->ticket)) {
		r = -ENOBUFS;
		*full = IPN_TX_LOG(refused);
	} else if (!r && IPN_TX_WHY(refused) == (IPN_TX_AGAIN | s->ticket)) {
		r = -EBUSY;
	}
	if (__atomic_load_n(&s->full, __ATOMIC_RELAXED) != *full)
		__atomic_store_n(&s->full, *full, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&s->tx_lock);
	return r;
}

static int tx_write_op(struct ipn_sock *s, struct ipn_tx_hdr *hdr)
{
	return write(s->tap, hdr, sizeof(*hdr)) < 0 ? tx_error(s, errno) : 0;
}

/* full: as IPN_TX_ROOM has it. */
static bool tx_room_in(struct ipn_sock *s, uint32_t full)
{
	struct ipn_tx_hdr hdr = TX_HDR(IPN_TX_ROOM);
	struct ipn_page_process *answer;
	bool room;

	if (share_is(&s->rx)) /* another process may wait for the same bit */
		full |= IPN_TX_ROOM_LOOK;
	memcpy(hdr.ticket, &full, sizeof(hdr.ticket));
	pthread_mutex_lock(&s->tx_lock);
	/* who cannot ask would find out by sending, too */
	room = tx_answer(s, &hdr, &answer) || tx_write_op(s, &hdr) ||
	       __atomic_load_n(&answer->room, __ATOMIC_ACQUIRE);
	pthread_mutex_unlock(&s->tx_lock);
	return room;
}

bool tx_room(struct ipn_sock *s)
{
	if (!s->rx.lossless)
		return true;
	return tx_room_in(s, __atomic_load_n(&s->full, __ATOMIC_RELAXED) | IPN_TX_ROOM_LOOK);
}

void tx_room_drain(struct ipn_sock *s)
{
	pthread_mutex_lock(&s->tx_lock);
	rx_room_drain(s);
	pthread_mutex_unlock(&s->tx_lock);
}

void tx_wait_begin(struct ipn_sock *s)
{
	__atomic_add_fetch(&s->senders, 1, __ATOMIC_SEQ_CST);
}

void tx_wait_end(struct ipn_sock *s)
{
	if (__atomic_sub_fetch(&s->senders, 1, __ATOMIC_SEQ_CST))
		tx_op(s, IPN_TX_RING);
}

/*
 * Waits until there is room, or the descriptor may not send any more. The order is that of rx_wait
 * (W1 to W6 in rx.c), with the room bell and the question for room in the places of the bell and
 * the look; bpf/core/pool.h has the senders' side of it.
 */
static int tx_room_wait(struct ipn_sock *s, uint32_t full, uint64_t deadline)
{
	struct pollfd p = { .events = POLLIN };
	struct timespec ts;
	uint64_t until;
	int r = 0;

	tx_wait_begin(s);
	for (;;) {
		tx_room_drain(s);
		if (tx_room_in(s, full) || rx_gone(s) || sock_shut(s) & SOCK_SHUT_WR)
			break;
		p.fd = rx_room_watch(s);
		until = p.fd < 0 ? clock_now() + TX_UNWATCHED_NS : deadline;
		until = deadline < until ? deadline : until;
		r = ppoll(&p, 1, clock_left(until, &ts), NULL);
		if (r < 0 || (r == 0 && until == deadline)) {
			r = r ? -errno : -EAGAIN;
			break;
		}
		r = 0;
	}
	tx_wait_end(s);
	return r;
}

/*
 * Readers that are awake make room within a few yields, and to sleep until then and be woken costs
 * them and the sender several times that. Where yields were in vain, they become fewer.
 */
static void tx_learn(struct ipn_sock *s, unsigned int limit, bool found)
{
	unsigned int now = found ? limit + 3 : limit / 2;

	now = now < TX_YIELDS_MIN ? TX_YIELDS_MIN : now > TX_YIELDS_MAX ? TX_YIELDS_MAX : now;
	if (now != limit)
		__atomic_store_n(&s->tx_yields, now, __ATOMIC_RELAXED);
}

/* As rx_settle, for room. */
static void tx_settle(struct ipn_sock *s)
{
	struct pollfd p = { .fd = s->room.watch, .events = POLLIN };

	if (!tx_room(s)) {
		tx_room_drain(s);
		if (!tx_room(s) && !rx_gone(s) && !(sock_shut(s) & SOCK_SHUT_WR))
			return;
	}
	if (poll(&p, 1, 0) == 1)
		return;
	tx_op(s, IPN_TX_RING);
	rx_settle(s); /* that rang both */
}

/* Where an event loop watches: the fabric rings a sleeper for its own messages, too. */
static inline void tx_sent(struct ipn_sock *s)
{
	if (__builtin_expect(s->polled, 0))
		tx_settle(s);
	if (__builtin_expect(s->rx.polled, 0))
		rx_settle(s);
}

int tx_poll_fd(struct ipn_sock *s)
{
	int fd;

	pthread_mutex_lock(&s->tx_lock);
	if (s->rx.lossless) {
		fd = share_watch(&s->room);
	} else {
		if (s->always <= 0)
			s->always = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
		fd = s->always;
	}
	if (fd >= 0 && s->rx.lossless && !s->polled) {
		tx_wait_begin(s);
		s->polled = 1;
	}
	pthread_mutex_unlock(&s->tx_lock);
	if (fd < 0)
		return -errno;
	if (s->polled)
		tx_settle(s);
	return fd;
}

static int tx_lossless(struct ipn_sock *s, const struct iovec *iov, size_t iovcnt, size_t len,
		       int flags)
{
	unsigned int yields = 0, limit = 0;
	uint64_t deadline = 0;
	uint32_t full;
	int r;

	for (;;) {
		r = tx_try(s, iov, iovcnt, len, flags, &full);
		if (r == -EBUSY) {
			sched_yield();
			continue;
		}
		if (r != -ENOBUFS) {
			if (yields && !deadline)
				tx_learn(s, limit, true);
			return r;
		}
		if (flags & MSG_DONTWAIT)
			return -EAGAIN;
		if (!yields) {
			r = sock_may_block(s);
			if (r)
				return r;
			limit = __atomic_load_n(&s->tx_yields, __ATOMIC_RELAXED);
			if (!limit)
				limit = TX_YIELDS_MIN;
		}
		if (yields++ < limit) {
			sched_yield();
			continue;
		}
		if (!deadline) {
			uint64_t ns = __atomic_load_n(&s->sndtimeo, __ATOMIC_RELAXED);

			tx_learn(s, limit, false);
			deadline = ns ? clock_now() + ns : CLOCK_NEVER;
		}
		r = tx_room_wait(s, full, deadline);
		if (!r)
			r = tx_open(s);
		if (r)
			return r;
	}
}

/* Own messages, n of them, do not displace what is pending for this node. */
static inline void tx_clear(struct ipn_sock *s, unsigned int n)
{
	if (__builtin_expect(rx_crowded(&s->rx, n), 0))
		rx_stash(s, n);
}

ssize_t tx_send(struct ipn_sock *s, const struct iovec *iov, size_t iovcnt, int flags)
{
	size_t len = 0;
	int r;

	if (flags & ~TX_FLAGS)
		return -EOPNOTSUPP;
	r = tx_open(s);
	if (r)
		return r;
	if (iovcnt > IOV_MAX)
		return -EMSGSIZE;
	for (size_t i = 0; i < iovcnt; i++) {
		/* each piece is within the MTU, so the sum cannot overflow */
		if (iov[i].iov_len > s->mtu || (len += iov[i].iov_len) > s->mtu)
			return -EOVERFLOW;
	}
	if (!__atomic_load_n(&s->rx.sent, __ATOMIC_RELAXED))
		__atomic_store_n(&s->rx.sent, 1, __ATOMIC_RELEASE);
	tx_clear(s, 1);
	if (s->rx.lossless)
		r = tx_lossless(s, iov, iovcnt, len, flags);
	else
		r = tx_message(s, &tx_data_hdr, iov, iovcnt, len, flags);
	tx_sent(s);
	return r ? r : (ssize_t)len;
}

static int tx_singly(struct ipn_sock *s, const struct iovec *msgs, unsigned int n, int flags)
{
	unsigned int sent;

	for (sent = 0; sent < n; sent++) {
		ssize_t r = tx_send(s, &msgs[sent], 1, flags);

		if (r < 0)
			return sent ? (int)sent : (int)r;
	}
	return (int)sent;
}

/* Packs as many of n messages as fit one frame, up to the first that may not be sent. */
static unsigned int tx_pack(const struct ipn_sock *s, uint8_t *frame, size_t *len,
			    const struct iovec *msgs, unsigned int n)
{
	uint32_t room = s->rx.own_room;
	size_t at = IPN_TX_HDR;
	unsigned int i;

	if (room && n > room)
		n = room;
	for (i = 0; i < n && i < IPN_TX_BATCH_MAX; i++) {
		size_t size = msgs[i].iov_len;
		uint16_t wire = (uint16_t)size;

		if (size > s->mtu || at + IPN_TX_LEN + size > IPN_TX_BATCH_FRAME)
			break;
		memcpy(frame + at, &wire, sizeof(wire));
		if (size)
			memcpy(frame + at + IPN_TX_LEN, msgs[i].iov_base, size);
		at += IPN_TX_LEN + size;
	}
	*len = at;
	return i;
}

/*
 * One frame of many messages. The program at the tap has dealt with all of them when write()
 * returns, or has refused them, all or those behind the first `taken`, and left our ticket in the
 * page; the lock keeps the ticket ours.
 * Returns how many were sent, 0 if it takes single ones, or -errno.
 */
static int tx_frame(struct ipn_sock *s, const struct iovec *msgs, unsigned int n, int flags)
{
	uint8_t frame[IPN_TX_BATCH_FRAME];
	struct ipn_tx_hdr hdr = TX_HDR(IPN_TX_BATCH);
	struct iovec one = { .iov_base = frame };
	uint32_t off = __atomic_load_n(&s->batches_off, __ATOMIC_RELAXED);
	struct ipn_page_process *answer;
	uint64_t refused = 0;
	int r;

	if (off) { /* a guess, so races between threads are harmless */
		__atomic_store_n(&s->batches_off, off - 1, __ATOMIC_RELAXED);
		return 0;
	}
	n = tx_pack(s, frame, &one.iov_len, msgs, n);
	if (n < 2)
		return 0;
	hdr.count = (uint8_t)n;
	tx_clear(s, n);
	pthread_mutex_lock(&s->tx_lock);
	s->ticket++;
	memcpy(hdr.ticket, &s->ticket, sizeof(hdr.ticket));
	if (tx_answer(s, &hdr, &answer)) { /* singly, which says what is wrong */
		pthread_mutex_unlock(&s->tx_lock);
		return 0;
	}
	memcpy(frame, &hdr, sizeof(hdr));
	r = tx_writev(s, &one, 1, flags);
	refused = __atomic_load_n(&answer->tx_refused, __ATOMIC_ACQUIRE);
	if (!r && IPN_TX_WHY(refused) == (IPN_TX_REFUSED | s->ticket)) {
		__atomic_store_n(&s->batches_off, TX_BATCHES_OFF, __ATOMIC_RELAXED);
	} else if (!r && (IPN_TX_WHY(refused) == (IPN_TX_FULL | s->ticket) ||
			  IPN_TX_WHY(refused) == (IPN_TX_AGAIN | s->ticket))) {
		uint64_t taken = __atomic_load_n(&answer->taken, __ATOMIC_RELAXED);

		r = (int)(taken < n ? taken : n);
	} else if (!r) {
		r = (int)n;
	}
	pthread_mutex_unlock(&s->tx_lock);
	tx_sent(s);
	return r;
}

int tx_batch(struct ipn_sock *s, const struct iovec *msgs, unsigned int n, int flags)
{
	unsigned int sent = 0;
	int r;

	if (!n || n > INT_MAX)
		return -EINVAL;
	if (flags & ~TX_FLAGS)
		return -EOPNOTSUPP;
	while (sent < n) {
		r = tx_open(s);
		if (r)
			return sent ? (int)sent : r;
		if (!__atomic_load_n(&s->rx.sent, __ATOMIC_RELAXED))
			__atomic_store_n(&s->rx.sent, 1, __ATOMIC_RELEASE);
		r = tx_frame(s, msgs + sent, n - sent, flags);
		if (!r) {
			/* what one frame could have held; the first may be too long for a batch */
			unsigned int some = n - sent < TX_SINGLES ? n - sent : TX_SINGLES;

			r = tx_singly(s, msgs + sent, some, flags);
			if (r >= 0 && (unsigned int)r < some)
				return (int)sent + r;
		}
		if (r < 0)
			return sent ? (int)sent : r;
		sent += (unsigned int)r;
	}
	return (int)sent;
}

int tx_op(struct ipn_sock *s, enum ipn_tx_op op)
{
	struct ipn_tx_hdr hdr = TX_HDR((__u8)op);

	return tx_write_op(s, &hdr);
}
