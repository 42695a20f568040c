// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Receiving.
 *
 * Reading a log
 *   The fabric writes each message once into a log that its readers map; a reader is a cursor.
 *   Message n stands in slot n & mask and is there when the slot's seq is n + 1 (load-acquire; the
 *   data were stored before). A slot holds the next message `slots` numbers later, and slots is at
 *   least twice the pool, so whoever is not more than the pool behind is rarely lapped; it is
 *   noticed all the same: seq is looked at again after the data were used (acquire fence between),
 *   and a different value means that they may be torn: the message counts as lost. seq above n + 1
 *   means lapped; skip == n + 1 means that message n will never come.
 *   Pool: at most `pool` messages of others may be pending; the oldest beyond that are lost and
 *   counted. Own messages stand in the same log; they are passed over and do not count.
 *   Nothing that stands in the log is trusted with an address or a length.
 *
 * Own messages and the log
 *   They take slots like all others, so a node that sends much and reads nothing would overwrite
 *   what is pending for it. Before it comes to that, the sender moves what is pending into `stash`,
 *   a log in private memory (rx_stash), and with it its cursor up to the head. `stash` and what the
 *   log has behind the cursor are one pool: of both together the oldest are lost. Let room be the
 *   slots beside the pool: while no more than that are between cursor and head at each send, all
 *   that others add until the next look leaves the newest `pool` of theirs in their slots.
 *   Messages that are shown (rx_peek) stay where they are, and what another process sends through
 *   the same descriptor after fork() is not looked at.
 *
 *   The steps of a reader carry the labels G1 to G5, as in tests/model/log.pml, which checks them
 *   with those of a writer. Waiting, below, is checked in tests/model/wake.pml.
 *
 * Two logs
 *   On a switch network a node has a log of its own for unicast. rx_next() is the only place that
 *   chooses: its own first, but after NODE_RUN in a row the network's gets a turn.
 *
 * Waiting without losing a wakeup
 *   The node has a flag in its page, `sleep`, which asks for the bell; that senders look at it is
 *   the fabric's part (bpf/core/wake.h), and `armed` in the page says that they do. A sender, for
 *   each message:
 *     S1 stores seq;  S2 full barrier;  S3 if it looks at this page: takes `sleep` back (one
 *     exchange), and if it was set, puts a WAKE record into the bell with a wakeup.
 *   A waiting thread:
 *     W1 waiters++
 *     W2 consumes the records in the bell, and looks           (both under rx.lock)
 *     W3 sets `sleep` (full barrier), and unless it finds `armed`, sends a frame to its tap that
 *        arms: when that returns, senders look.
 *     W4 looks again                                           (under rx.lock)
 *     W5 poll()s the bell, which is readable as long as a record is in it; then W2.
 *     W6 waiters--; if others remain, puts a WAKE record into the bell: a frame on the tap.
 *   One thread: let m be a message not seen at W4. Then its S1 comes after W4, so by the barriers
 *   its S3 comes after W3. If senders look, it finds `sleep` set, or somebody has taken it since W3
 *   and put a record after that. If they do not look, though `armed` was found, somebody is on the
 *   way to clear it, who began before m's S3 and looks at `sleep` once more at the end: a record
 *   again; or another thread is on the way to arm, whose W4 comes after m (see below). In each case
 *   a record is put into the bell after W2, nobody consumes it, and W5 returns: if with m, all is
 *   well; if before m was there, W2 to W4 begin anew.
 *   Several threads: that record may have been consumed at W2 by another waiting thread B while
 *   this thread, A, is between W3 and W5. B's W1 precedes its W2, and A's W1 precedes A's W3 and
 *   thus the record, so while B is at W2 and later, both are counted. B then looks, and
 *     - leaves, because it found something or for any other reason: W6 finds A counted and puts a
 *       record, which is B's consumed one given back. (Should W6 find A not counted any more, A has
 *       left by itself.) If yet another thread consumes that one, it is in B's place.
 *     - or goes on to W3: `sleep` is set again, and B's W4 looks after that. All messages up to B's
 *       W4 are seen by B, who leaves as above; for all later ones the argument for one thread holds
 *       with B's W3, and the record wakes everybody who polls.
 *   A call that does not wait never consumes records: it only takes messages, and a message that
 *   was taken needs no wakeup. It looks through the bell for a GONE record and leaves it there.
 *   shutdown() stores its flag, then looks at `waiters`, and puts a record if there are any; a
 *   waiter counts itself, then looks at the flag: one of the two sees the other.
 *   What a look finds (message, shut, gone) is in memory and stays until it is dealt with; a
 *   record only says "look".
 */
#include "lib/rx.h"

#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>

#include "common/util.h"
#include "common/clock.h"
#include "lib/share.h"
#include "lib/tx.h"

#define NODE_RUN 64
#define SKIP_AHEAD 8
#define YIELDS_MIN 3
#define YIELDS_MAX 20
#define YIELDS_PROBE 64      /* a reader that gave up yielding tries again so often */
#define YIELD_WORTH_NS 15000 /* a message that came later than that was worth sleeping for */
#define BURST 4              /* that many messages without a pause are a stream */
#define SPIN_CHECK 1024      /* rounds between looks at everything but the logs */
#define SPIN_ALONE 256       /* rounds before sched_yield(), when it does not help */
#define SPIN_CROWDED 8       /* the same when others run on this CPU */
#define SPIN_CROWDED_NS 3000 /* a sched_yield() this long says so */
#define SLEEP_UNARMED_NS 10000000ULL /* look that often when senders cannot be told to look */
#define SLEEP_ASKED_NS 1000000ULL    /* the same while the manager is to answer: follow.h */
#define BLIND_PAUSE_NS 1000000
#define BLIND_TRIES 100
#define BLIND_IN_VAIN (1u << 31)

#define RX_FLAGS \
	(MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC | MSG_NOSIGNAL | MSG_WAITALL | MSG_CMSG_CLOEXEC)

#define BELL_BUSY (1u << 31)
#define BELL_DISCARD (1u << 30)
#define BELL_HDR 8

#define load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Loads before it are done before loads after it. The thread sanitizer knows no fences. */
static inline void fence_acquire(void)
{
#ifdef __SANITIZE_THREAD__
	__asm__ volatile("" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/*
 * The log.
 */

enum slot_state { SLOT_EMPTY, SLOT_READY, SLOT_HOLE, SLOT_LAPPED };

static inline const struct ipn_slot *log_slot(const struct rx_log *log, uint64_t n)
{
	return (const struct ipn_slot *)(log->base + (1 + (n & log->mask)) * log->slot_size);
}

static inline uint64_t log_head(const struct rx_log *log)
{
	return load_acquire(&((const struct ipn_log_head *)log->base)->head);
}

static inline enum slot_state slot_look(const struct ipn_slot *slot, uint64_t n)
{
	uint64_t seq = load_acquire(&slot->seq); /* G2 */

	if (likely(seq == n + 1))
		return SLOT_READY;
	if ((seq & ~IPN_SEQ_BUSY) > n + 1)
		return SLOT_LAPPED;
	return load_acquire(&slot->skip) == n + 1 ? SLOT_HOLE : SLOT_EMPTY; /* G3 */
}

/* Is message n, used since it was SLOT_READY, still in its slot? */
static inline bool slot_whole(const struct ipn_slot *slot, uint64_t n)
{
	fence_acquire();
	return likely(load_relaxed(&slot->seq) == n + 1); /* G5 */
}

static inline bool slot_is_own(const struct rx *rx, const struct ipn_slot *slot)
{
	return load_relaxed(&slot->src) == rx->own;
}

/* Kept messages that are to be read. */
static inline uint64_t stash_count(const struct rx_log *stash)
{
	return stash->base ? log_head(stash) - stash->cursor : 0;
}

static inline uint32_t slot_len(const struct rx_log *log, const struct ipn_slot *slot)
{
	uint32_t len = load_relaxed(&slot->len), room = log->slot_size - IPN_SLOT_HDR;

	return len <= room ? len : room;
}

static inline void log_move(struct rx_log *log, uint64_t n)
{
	__atomic_store_n(&log->cursor, n, __ATOMIC_RELEASE);
}

/* Passes over an own message. */
static inline void log_skip_own(struct rx_log *log)
{
	if (log->own_ahead)
		log->own_ahead--;
	log_move(log, log->cursor + 1);
}

/*
 * n messages from the cursor on are lost. On a LOSSLESS network those are own ones, but for what a
 * child of fork() came too late for: then the cursor that counts is ahead of its own.
 */
static inline void rx_lost(struct rx *rx, const struct rx_log *log, uint64_t n)
{
	uint64_t counts;

	if (likely(!rx->lossless)) {
		rx->overrun += n;
		return;
	}
	if (!share_is(rx))
		return;
	counts =
		load_relaxed(log == &rx->log[RX_NODE] ? &rx->page->node_cursor : &rx->page->cursor);
	if (log->cursor < counts)
		rx->overrun += n < counts - log->cursor ? n : counts - log->cursor;
}

/* Loses the message at the cursor. */
static inline void log_lose(struct rx *rx, struct rx_log *log)
{
	rx_lost(rx, log, 1);
	log_move(log, log->cursor + 1);
}

/* Learns which of the messages before head are own. Each slot is looked at once. */
static void log_scan_own(const struct rx *rx, struct rx_log *log, uint64_t head)
{
	if (log->scanned <= log->cursor) {
		log->scanned = log->cursor;
		log->own_ahead = 0;
	}
	/* who never sends is not made slower when it is too slow already */
	if (!load_relaxed(&rx->sent) || log == &rx->log[RX_NODE])
		return;
	for (; log->scanned < head; log->scanned++) {
		const struct ipn_slot *slot = log_slot(log, log->scanned);
		enum slot_state state = slot_look(slot, log->scanned);

		if (state == SLOT_EMPTY)
			return;
		if (state == SLOT_READY && slot_is_own(rx, slot) && slot_whole(slot, log->scanned))
			log->own_ahead++;
	}
}

/* Own messages that log_scan_own has not come to, behind one that is still to come. */
static uint64_t log_own_beyond(const struct rx *rx, const struct rx_log *log, uint64_t head)
{
	uint64_t own = 0;

	if (!load_relaxed(&rx->sent) || log == &rx->log[RX_NODE])
		return 0;
	for (uint64_t n = log->scanned; n < head; n++) {
		const struct ipn_slot *slot = log_slot(log, n);

		own += slot_look(slot, n) == SLOT_READY && slot_is_own(rx, slot) &&
		       slot_whole(slot, n);
	}
	return own;
}

/* The cursor is more than the pool behind head: loses the oldest, so that `pool` are left. */
static void log_overrun(struct rx *rx, struct rx_log *log, uint64_t head)
{
	const uint64_t slots = log->mask + 1;
	uint64_t own;

	if (head - log->cursor > slots) {
		rx_lost(rx, log, head - slots - log->cursor);
		log_move(log, head - slots);
		log->scanned = 0;
	}
	log_scan_own(rx, log, head);
	if (head - log->cursor <= rx->pool + (uint64_t)log->own_ahead)
		return;
	own = log->own_ahead + log_own_beyond(rx, log, head);
	while (head - log->cursor > rx->pool + own) {
		const struct ipn_slot *slot = log_slot(log, log->cursor);

		if (log->own_ahead && log->cursor >= log->scanned) { /* overwritten since */
			own -= log->own_ahead;
			log->own_ahead = 0;
		}
		if (!own) {
			rx_lost(rx, log, head - rx->pool - log->cursor);
			log_move(log, head - rx->pool);
			return;
		}
		if (slot_look(slot, log->cursor) == SLOT_READY && slot_is_own(rx, slot) &&
		    slot_whole(slot, log->cursor)) {
			log_skip_own(log);
			own--;
		} else {
			log_lose(rx, log);
		}
	}
}

/* Holds the reader to the pool. */
static inline void log_trim(struct rx *rx, struct rx_log *log)
{
	uint64_t head = log_head(log); /* G1 */

	if (unlikely((int64_t)(head - log->cursor) > (int64_t)rx->pool))
		log_overrun(rx, log, head);
}

/* Moves the cursor to the next message that is there and is not own. NULL: none. */
static inline __attribute__((always_inline)) const struct ipn_slot *log_next(struct rx *rx,
									     struct rx_log *log)
{
	if (!log->base)
		return NULL;
	log_trim(rx, log);
	for (;;) {
		const struct ipn_slot *slot = log_slot(log, log->cursor);

		switch (slot_look(slot, log->cursor)) {
		case SLOT_READY:
			if (likely(!slot_is_own(rx, slot)))
				return slot;
			if (slot_whole(slot, log->cursor))
				log_skip_own(log);
			break;
		case SLOT_HOLE:
			log_lose(rx, log);
			break;
		case SLOT_LAPPED:
			log_lose(rx, log);
			log_trim(rx, log);
			break;
		case SLOT_EMPTY:
			return NULL;
		}
	}
}

/* Holds stashed messages, and those of others in the log behind them, to the pool. */
static void stash_trim(struct rx *rx)
{
	struct rx_log *stash = &rx->stash, *net = &rx->log[RX_NET];
	uint64_t n = stash_count(stash), more;

	if (!n)
		return;
	log_trim(rx, net);
	log_scan_own(rx, net, log_head(net));
	more = net->scanned - net->cursor - net->own_ahead;
	if (n + more <= rx->pool)
		return;
	n = n + more - rx->pool < n ? n + more - rx->pool : n;
	rx_lost(rx, stash, n);
	log_move(stash, stash->cursor + n);
}

/* Memory for the pool, so many slots that none is needed twice. */
static bool stash_make(struct rx *rx)
{
	const struct rx_log *net = &rx->log[RX_NET];
	struct rx_log *stash = &rx->stash;
	uint64_t slots = 2;
	void *p;

	if (stash->base)
		return true;
	while (slots <= rx->pool)
		slots *= 2;
	stash->mask = slots - 1;
	stash->slot_size = net->slot_size;
	stash->map_len = (slots + 1) * stash->slot_size;
	p = mmap(NULL, stash->map_len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return false;
	__atomic_store_n(&stash->base, p, __ATOMIC_RELEASE);
	return true;
}

/* Copies the message at the network's cursor. False: it was overwritten, or there is no memory. */
static bool stash_put(struct rx *rx, const struct ipn_slot *slot)
{
	struct rx_log *stash = &rx->stash, *net = &rx->log[RX_NET];
	struct ipn_log_head *head;
	struct ipn_slot *to;
	uint64_t n;

	if (!stash_make(rx))
		return false;
	head = (void *)stash->base;
	n = head->head;
	to = (void *)log_slot(stash, n);
	to->len = slot_len(net, slot);
	to->src = load_relaxed(&slot->src);
	memcpy(to->data, slot->data, to->len);
	if (!slot_whole(slot, net->cursor))
		return false;
	__atomic_store_n(&to->seq, n + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&head->head, n + 1, __ATOMIC_RELEASE);
	if (n + 1 - stash->cursor > rx->pool) {
		rx_lost(rx, stash, 1);
		log_move(stash, stash->cursor + 1);
	}
	return true;
}

/* Could message n be dealt with: is it there, lost, lapped? */
static inline bool log_hint(const struct rx_log *log)
{
	uint64_t n;

	if (!load_acquire(&log->base))
		return false;
	n = load_relaxed(&log->cursor);
	return slot_look(log_slot(log, n), n) != SLOT_EMPTY;
}

static __attribute__((noinline)) const struct ipn_slot *stash_next(struct rx *rx,
								   struct rx_log **log)
{
	stash_trim(rx);
	if (!stash_count(&rx->stash))
		return NULL;
	*log = &rx->stash;
	return log_slot(&rx->stash, rx->stash.cursor);
}

/* The next message of this log, or of those stashed of it; *log becomes where it stands. */
static inline const struct ipn_slot *rx_next_of(struct rx *rx, struct rx_log **log)
{
	const struct ipn_slot *slot;

	if (unlikely(load_relaxed(&rx->sent)) && *log == &rx->log[RX_NET] && rx->stash.base) {
		slot = stash_next(rx, log);
		if (slot)
			return slot;
	}
	return log_next(rx, *log);
}

/*
 * The next message, of either log; its number is log->cursor. The choice between the logs is made
 * here and nowhere else.
 */
static inline const struct ipn_slot *rx_next_here(struct rx *rx, struct rx_log **out)
{
	struct rx_log *net = &rx->log[RX_NET], *node = &rx->log[RX_NODE], *first;
	const struct ipn_slot *slot;

	*out = net;
	if (!node->base)
		return rx_next_of(rx, out);
	first = rx->stick ? rx->stick : rx->node_run >= NODE_RUN ? net : node;
	if (first == &rx->stash)
		first = net;
	*out = first;
	slot = rx_next_of(rx, out);
	if (slot)
		return slot;
	*out = first == net ? node : net;
	return rx_next_of(rx, out);
}

/*
 * The same, also when the network has got another log. R3: the answer is taken in a later call than
 * it was asked for, behind another look.
 */
static inline const struct ipn_slot *rx_next(struct ipn_sock *s, struct rx_log **out)
{
	const struct ipn_slot *slot = rx_next_here(&s->rx, out); /* R1 */

	while (!slot && unlikely(follow_moved(&s->rx)) && follow_log(s)) /* R2, R4, R5 */
		slot = rx_next_here(&s->rx, out);
	return slot;
}

/* LOSSLESS: does somebody wait for room in it? */
static inline bool log_awaited(const struct rx_log *log)
{
	return log->base && load_relaxed(&((const struct ipn_log_head *)log->base)->waiting);
}

/* LOSSLESS: the cursor in the page has moved. R2 and R3 of pool.h. */
static void rx_moved(struct ipn_sock *s)
{
	const struct rx *rx = &s->rx;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);                               /* R2 */
	if (log_awaited(&rx->log[RX_NET]) || log_awaited(&rx->log[RX_NODE]) || /* R3 */
	    follow_changes(rx)) /* who waits says so in a log that is not mapped here */
		tx_op(s, IPN_TX_MOVED);
}

/*
 * Tells whoever looks at the page how far this reader is; on a LOSSLESS network that may make room
 * for who waits: see bpf/core/pool.h.
 */
static void rx_publish(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;
	struct ipn_page *page = rx->page;

	if (!page)
		return;
	if (share_is(rx)) {
		share_publish(s);
		if (rx->lossless)
			rx_moved(s);
		return;
	}
	store_relaxed(&page->cursor, rx->log[RX_NET].cursor);       /* R1 of pool.h */
	store_relaxed(&page->node_cursor, rx->log[RX_NODE].cursor); /* R1 */
	store_relaxed(&page->rx_packets, rx->packets);
	store_relaxed(&page->rx_bytes, rx->bytes);
	store_relaxed(&page->overrun, rx->overrun);
	rx->overrun_published = rx->overrun;
	if (unlikely(rx->lossless))
		rx_moved(s);
}

/* Counts n messages taken from a log and moves behind the last. */
static void rx_took(struct rx *rx, struct rx_log *log, uint64_t last, unsigned int n,
		    uint64_t bytes)
{
	log_move(log, last + 1);
	rx->node_run = log == &rx->log[RX_NODE] ? rx->node_run + n : 0;
	rx->stick = NULL;
	rx->packets += n;
	rx->bytes += bytes;
	store_relaxed(&rx->burst, load_relaxed(&rx->burst) + n);
}

static void rx_settle_locked(struct ipn_sock *s);

/* What every call that held the lock does at its end. */
static void rx_unlock(struct ipn_sock *s)
{
	if (unlikely(s->rx.polled))
		rx_settle_locked(s);
	if (unlikely(s->rx.overrun != s->rx.overrun_published))
		rx_publish(s);
	pthread_mutex_unlock(&s->rx.lock);
}

/* Passes over own messages in a row: for who only sends, that is all there is to it. */
static void log_skip_run(const struct rx *rx, struct rx_log *log, uint64_t end)
{
	uint64_t n = log->cursor;

	for (; n < end; n++) {
		const struct ipn_slot *slot = log_slot(log, n);

		__builtin_prefetch(log_slot(log, n + SKIP_AHEAD));
		if (slot_look(slot, n) != SLOT_READY || !slot_is_own(rx, slot) ||
		    !slot_whole(slot, n))
			break;
	}
	log_move(log, n);
	log->scanned = 0; /* they were passed over without counting them */
}

static void stash_pending(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;
	struct rx_log *net = &rx->log[RX_NET];
	uint64_t head = log_head(net);

	if (sock_shut(s) & SOCK_SHUT_RD)
		log_move(net, head); /* nobody will read it */
	while (!rx->peek_log && net->cursor < head) {
		const struct ipn_slot *slot;

		log_skip_run(rx, net, head);
		if (net->cursor >= head)
			break;
		slot = log_next(rx, net);
		if (!slot) /* its sender is still copying */
			break;
		if (stash_put(rx, slot))
			log_move(net, net->cursor + 1);
		else
			log_lose(rx, net);
		if (rx->stick == net)
			rx->stick = &rx->stash;
	}
}

/* Goes on to the log in which own messages stand now, if it is there. */
static void stash_follow(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;

	while (!rx->peek_log && follow_moved(rx)) {
		stash_pending(s);
		if (rx->log[RX_NET].cursor < log_head(&rx->log[RX_NET]) || !follow_log(s))
			return;
	}
	stash_pending(s);
}

/*
 * Own messages go into a log that this reader cannot see, or not yet. Until it sees it, no more of
 * them go there than do no harm; that takes a grace period, and longer only if the manager has just
 * died.
 */
static void stash_blind(struct ipn_sock *s, unsigned int n)
{
	const struct timespec pause = { .tv_nsec = BLIND_PAUSE_NS };
	struct rx *rx = &s->rx;

	for (int tries = 0; follow_changes(rx); tries++) {
		if (rx->unseen + n <= rx->own_room) {
			rx->unseen += n;
			return;
		}
		if (tries == BLIND_TRIES)
			rx->unseen = BLIND_IN_VAIN;
		if (rx->unseen == BLIND_IN_VAIN)
			return;
		rx_unlock(s);
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&rx->lock);
		stash_follow(s);
	}
}

void rx_stash(struct ipn_sock *s, unsigned int n)
{
	struct rx *rx = &s->rx;

	pthread_mutex_lock(&rx->lock);
	stash_follow(s);
	if (unlikely(follow_changes(rx)))
		stash_blind(s, n);
	rx_unlock(s);
}

/*
 * The bell. `seen` is ahead of the consumer position when a call that does not wait has looked
 * through it.
 */

static inline bool bell_news(const struct rx_bell *bell)
{
	return bell->producer && load_acquire(bell->producer) != load_relaxed(&bell->seen);
}

/* The port was taken away. Who shares the node may not see the record. */
static void rx_set_gone(struct ipn_sock *s, uint32_t err)
{
	store_relaxed(&s->gone, err);
	__atomic_store_n(&s->rx.page->gone, err, __ATOMIC_RELEASE);
}

/* Looks through the records nobody has looked at. */
static void bell_walk(struct ipn_sock *s, struct rx_bell *bell)
{
	uint64_t pos = bell->seen, end, consumed;

	if (!bell_news(bell))
		return;
	end = load_acquire(bell->producer);
	consumed = load_acquire(bell->consumer);
	if (unlikely((int64_t)(consumed - pos) > 0)) { /* by another process */
		uint64_t gone = load_relaxed(&s->rx.page->gone);

		pos = consumed;
		if (gone)
			store_relaxed(&s->gone, (uint32_t)gone);
	}
	while (pos < end) {
		const uint8_t *record = bell->data + (pos & (bell->size - 1));
		uint32_t len = load_acquire((const uint32_t *)record);
		struct ipn_event event;

		if (len & BELL_BUSY)
			break;
		if (!(len & BELL_DISCARD) && len >= sizeof(event)) {
			memcpy(&event, record + BELL_HDR, sizeof(event));
			if (event.type == IPN_EVENT_GONE)
				rx_set_gone(s, event.arg ? event.arg : ECONNRESET);
		}
		len &= ~BELL_DISCARD;
		pos += (len + BELL_HDR + 7) & ~7u;
	}
	store_relaxed(&bell->seen, pos <= end ? pos : end);
}

static void bell_consume(struct ipn_sock *s, struct rx_bell *bell)
{
	if (!bell->producer)
		return;
	if (share_is(&s->rx)) {
		share_hush(bell);
		bell_walk(s, bell);
		share_consumed(bell);
		return;
	}
	if (unlikely(bell->watch))
		share_hush(bell);
	bell_walk(s, bell);
	if ((int64_t)(bell->seen - load_acquire(bell->consumer)) > 0)
		__atomic_store_n(bell->consumer, bell->seen, __ATOMIC_RELEASE);
}

static void bell_look(struct ipn_sock *s)
{
	bell_walk(s, &s->rx.bell);
}

static void bell_drain(struct ipn_sock *s)
{
	bell_consume(s, &s->rx.bell);
}

void rx_room_drain(struct ipn_sock *s)
{
	bell_consume(s, &s->room);
}

static size_t copy_out(const struct iovec *iov, size_t iovcnt, const uint8_t *data, size_t len)
{
	size_t done = 0;

	for (size_t i = 0; i < iovcnt && done < len; i++) {
		size_t n = len - done < iov[i].iov_len ? len - done : iov[i].iov_len;

		if (n)
			memcpy(iov[i].iov_base, data + done, n);
		done += n;
	}
	return done;
}

/*
 * Out-of-band messages: there is one kind, which tells how many readers and writers there are. Only
 * the newest is of use, so it is no queue but a word in the page: nothing can displace it.
 */

static inline bool oob_pending(const struct ipn_sock *s)
{
	return unlikely(load_relaxed(&s->oob) == SOCK_OOB_ALL) &&
	       load_acquire(&s->rx.page->counts) != load_relaxed(&s->rx.counts_seen);
}

static ssize_t oob_take(struct ipn_sock *s, const struct iovec *iov, size_t iovcnt, int flags,
			int *msg_flags)
{
	uint64_t counts = load_acquire(&s->rx.page->counts);
	const struct numnode_oob oob = {
		.level = IPN_ANY,
		.tag = IPN_OOB_NUMNODE_TAG,
		.numreaders = IPN_COUNTS_READERS(counts),
		.numwriters = IPN_COUNTS_WRITERS(counts),
	};
	size_t done = copy_out(iov, iovcnt, (const uint8_t *)&oob, sizeof(oob));

	*msg_flags |= MSG_OOB;
	if (done < sizeof(oob))
		*msg_flags |= MSG_TRUNC;
	if (!(flags & MSG_PEEK))
		store_relaxed(&s->rx.counts_seen, counts);
	return (ssize_t)(flags & MSG_TRUNC ? sizeof(oob) : done);
}

void rx_set_oob(struct ipn_sock *s, uint32_t oob)
{
	struct rx *rx = &s->rx;

	pthread_mutex_lock(&rx->lock);
	if (rx->page) {
		if (oob == SOCK_OOB_ALL || !share_is(rx))
			__atomic_store_n(&rx->page->want, oob == SOCK_OOB_ALL, __ATOMIC_SEQ_CST);
		if (oob == SOCK_OOB_ALL && load_relaxed(&s->oob) != SOCK_OOB_ALL)
			store_relaxed(&rx->counts_seen,
				      __atomic_load_n(&rx->page->counts, __ATOMIC_SEQ_CST));
	}
	store_relaxed(&s->oob, oob);
	pthread_mutex_unlock(&rx->lock);
}

/*
 * May this node receive? RX_MESSAGE, RX_OOB if that is all it may receive, 0 at end of file,
 * -EPIPE. Under rx.lock.
 */
static inline int rx_open(struct ipn_sock *s)
{
	uint32_t shut;
	int r;

	bell_look(s);
	if (unlikely(sock_gone(s)))
		return 0;
	if (share_is(&s->rx) && !s->rx.entered) {
		r = share_enter(s);
		if (r)
			return r;
	}
	shut = sock_shut(s);
	if (likely(!(shut & SOCK_SHUT_RD)))
		return RX_MESSAGE;
	if (shut == SOCK_SHUT_BOTH)
		return 0;
	return load_relaxed(&s->oob) & SOCK_OOB_HANDLE ? RX_OOB : -EPIPE;
}

static unsigned int rx_look_locked(struct ipn_sock *s)
{
	struct rx_log *log;
	unsigned int ready;
	int r = rx_open(s);

	if (r <= 0)
		return r ? RX_CLOSED : RX_EOF;
	ready = oob_pending(s) ? RX_OOB : 0;
	if (r == RX_MESSAGE && (s->rx.peek_log || rx_next(s, &log)))
		ready |= RX_MESSAGE;
	return ready;
}

unsigned int rx_look(struct ipn_sock *s)
{
	unsigned int ready;

	pthread_mutex_lock(&s->rx.lock);
	ready = rx_look_locked(s);
	rx_unlock(s);
	return ready;
}

bool rx_hint(const struct ipn_sock *s)
{
	return log_hint(&s->rx.log[RX_NET]) || log_hint(&s->rx.log[RX_NODE]) ||
	       (load_relaxed(&s->rx.sent) && log_hint(&s->rx.stash));
}

bool rx_news(const struct ipn_sock *s)
{
	return bell_news(&s->rx.bell);
}

/* Nothing to do for a call that may not wait. */
static inline bool rx_quiet(const struct ipn_sock *s)
{
	return !share_is(&s->rx) && !rx_hint(s) && !oob_pending(s) && !bell_news(&s->rx.bell) &&
	       !sock_gone(s) && !load_relaxed(&s->shut) && !follow_moved(&s->rx);
}

/*
 * Waiting.
 */

struct rx_wait {
	uint64_t deadline; /* 0: the clock was not looked at yet */
	bool one;          /* MSG_WAITFORONE: O_NONBLOCK is not asked for */
};

static uint64_t wait_deadline(struct ipn_sock *s, struct rx_wait *w)
{
	uint64_t ns;

	if (!w->deadline) {
		ns = load_relaxed(&s->rcvtimeo);
		w->deadline = ns ? clock_now() + ns : CLOCK_NEVER;
	}
	return w->deadline;
}

void rx_wait_begin(struct ipn_sock *s)
{
	__atomic_add_fetch(&s->waiters, 1, __ATOMIC_SEQ_CST); /* W1 */
}

void rx_wait_end(struct ipn_sock *s)
{
	if (__atomic_sub_fetch(&s->waiters, 1, __ATOMIC_SEQ_CST)) /* W6 */
		tx_op(s, IPN_TX_RING);
}

void rx_wake(struct ipn_sock *s)
{
	if (__atomic_load_n(&s->waiters, __ATOMIC_SEQ_CST) ||
	    __atomic_load_n(&s->senders, __ATOMIC_SEQ_CST))
		tx_op(s, IPN_TX_RING);
}

bool rx_gone(struct ipn_sock *s)
{
	pthread_mutex_lock(&s->rx.lock);
	bell_look(s);
	pthread_mutex_unlock(&s->rx.lock);
	return sock_gone(s);
}

void rx_drain(struct ipn_sock *s)
{
	pthread_mutex_lock(&s->rx.lock);
	bell_drain(s);
	pthread_mutex_unlock(&s->rx.lock);
}

/* Looks after those who share the node. True: one is behind, who may be dead soon. */
static bool rx_tend(struct ipn_sock *s)
{
	if (!share_is(&s->rx) || !share_tend(s))
		return false;
	rx_moved(s);
	return true;
}

int rx_watch(struct ipn_sock *s)
{
	return share_is(&s->rx) ? share_watch(&s->rx.bell) : s->rx.bell.fd;
}

int rx_room_watch(struct ipn_sock *s)
{
	return share_is(&s->rx) ? share_watch(&s->room) : s->room.fd;
}

int rx_arm(struct ipn_sock *s)
{
	struct ipn_page *page = s->rx.page;
	bool alone = !rx_tend(s);
	int r;

	__atomic_store_n(&page->sleep, 1, __ATOMIC_SEQ_CST); /* W3 */
	if (__atomic_load_n(&page->armed, __ATOMIC_SEQ_CST))
		/* nothing rings for the next log */
		return alone && !follow_moved(&s->rx) ? 0 : -EBUSY;
	r = tx_op(s, IPN_TX_SLEEP);
	/* senders do not look into the page of one whose bell is dear (bpf/core/wake.h) */
	if (!r &&
	    (!alone || __atomic_load_n(&page->rests, __ATOMIC_RELAXED) || follow_moved(&s->rx)))
		r = -EBUSY;
	return r;
}

/* The watch is ready exactly when there is something: armed, or rung by ourselves. */
static void rx_settle_locked(struct ipn_sock *s)
{
	struct pollfd p = { .fd = s->rx.bell.watch, .events = POLLIN };

	if (!rx_look_locked(s)) {
		bell_drain(s); /* W2 */
		if (rx_arm(s)) /* W3 */
			share_alarm(&s->rx.bell);
		if (!rx_look_locked(s)) /* W4 */
			return;
	}
	if (poll(&p, 1, 0) != 1)
		tx_op(s, IPN_TX_RING);
}

void rx_settle(struct ipn_sock *s)
{
	if (likely(!s->rx.polled))
		return;
	pthread_mutex_lock(&s->rx.lock);
	rx_unlock(s);
}

int rx_poll_fd(struct ipn_sock *s)
{
	int fd;

	pthread_mutex_lock(&s->rx.lock);
	fd = share_watch(&s->rx.bell);
	if (fd < 0) {
		fd = -errno;
	} else if (!s->rx.polled) {
		rx_wait_begin(s); /* it waits from now on */
		s->rx.polled = 1;
	}
	rx_unlock(s);
	return fd;
}

/*
 * Yielding to a sender or to other readers costs a fraction of sleeping and being woken, but only
 * pays when the next message is near. What came since the last wait says so: a stream raises the
 * number of yields, a message at a time with yields in vain lowers it to none; then one wait in
 * YIELDS_PROBE tries, so that a question-and-answer exchange is found out, too.
 */
unsigned int rx_yields(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;
	uint32_t burst = load_relaxed(&rx->burst), yields = load_relaxed(&rx->yields);

	store_relaxed(&rx->burst, 0);
	store_relaxed(&rx->stream, burst >= BURST);
	if (burst >= BURST && yields < YIELDS_MIN) {
		yields = YIELDS_MIN;
		store_relaxed(&rx->yields, yields);
	}
	if (!yields && burst) {
		uint32_t probe = load_relaxed(&rx->probe) + 1;

		store_relaxed(&rx->probe, probe);
		if (probe % YIELDS_PROBE == 0)
			yields = YIELDS_MIN;
	}
	if (yields)
		store_relaxed(&rx->yield_start, clock_now());
	return yields;
}

void rx_yields_learn(struct ipn_sock *s, bool found)
{
	struct rx *rx = &s->rx;
	uint32_t yields = load_relaxed(&rx->yields);

	if (found && !load_relaxed(&rx->stream))
		found = clock_now() - load_relaxed(&rx->yield_start) < YIELD_WORTH_NS;
	if (!found)
		store_relaxed(&rx->yields, yields / 2);
	else if (yields < YIELDS_MAX)
		store_relaxed(&rx->yields, yields < YIELDS_MIN ? YIELDS_MIN : yields + 1);
}

/* Yields a few times, without rx.lock. True: there may be something now. */
static bool rx_yield(struct ipn_sock *s)
{
	unsigned int yields = rx_yields(s);
	bool found = false;

	if (!yields)
		return false;
	rx_unlock(s);
	for (unsigned int i = 0; i < yields && !found; i++) {
		sched_yield();
		found = rx_hint(s);
	}
	rx_yields_learn(s, found);
	pthread_mutex_lock(&s->rx.lock);
	return found;
}

/*
 * Waits without ever sleeping. When several spinning processes share a CPU, those who find nothing
 * must let the others run: how long a sched_yield() takes tells. Returns 0 to look again, or
 * -errno.
 */
static int rx_spin(struct ipn_sock *s, struct rx_wait *w)
{
	struct rx *rx = &s->rx;
	bool crowded = load_relaxed(&rx->crowded);

	for (unsigned int round = 1;; round++) {
		bool check = round % SPIN_CHECK == 0;

		if (rx_hint(s))
			return 0;
		cpu_relax();
		if (round % (crowded ? SPIN_CROWDED : SPIN_ALONE) == 0) {
			uint64_t start = clock_now();

			sched_yield();
			crowded = clock_now() - start > SPIN_CROWDED_NS;
			store_relaxed(&rx->crowded, crowded);
			/* others ran: much time may have passed, a look is cheap beside it */
			check = check || crowded;
		}
		if (check) {
			int r = w->one || rx_hint(s) ? 0 : sock_may_block(s);

			if (r)
				return r;
			rx_tend(s);
			if (bell_news(&rx->bell) || oob_pending(s) || sock_gone(s) ||
			    sock_shut(s) & SOCK_SHUT_RD || follow_moved(rx))
				return 0;
			if (wait_deadline(s, w) != CLOCK_NEVER && clock_now() >= w->deadline)
				return -EAGAIN;
		}
	}
}

/* W5: until a record is in the bell. 0, -EAGAIN at the deadline, -EINTR. */
static int rx_sleep(struct ipn_sock *s, struct rx_wait *w, bool armed)
{
	struct pollfd p = { .fd = rx_watch(s), .events = POLLIN };
	uint64_t deadline = wait_deadline(s, w), until = deadline;
	struct timespec ts;
	int r;

	if (!armed || p.fd < 0) {
		uint64_t soon =
			clock_now() + (follow_asks(&s->rx) ? SLEEP_ASKED_NS : SLEEP_UNARMED_NS);

		until = deadline < soon ? deadline : soon;
	}
	r = ppoll(&p, 1, clock_left(until, &ts), NULL);
	if (r < 0)
		return -errno;
	return r == 0 && until == deadline ? -EAGAIN : 0;
}

/*
 * Waits for one of `what` (RX_*), or for the end. Called and returns with rx.lock held. Returns 0
 * to look again, or -EAGAIN, -EINTR, -EBADF.
 */
static int rx_wait(struct ipn_sock *s, unsigned int what, int flags, struct rx_wait *w)
{
	struct rx *rx = &s->rx;
	int r;

	what |= RX_CLOSED | RX_EOF;
	if (flags & MSG_DONTWAIT) {
		rx_tend(s);
		return -EAGAIN;
	}
	if (!w->one && load_relaxed(&s->nonblock)) {
		r = sock_may_block(s);
		if (r)
			return r;
	}
	if (load_relaxed(&s->wait_mode) == IPN_WAIT_SPIN) {
		rx_unlock(s);
		r = rx_spin(s, w);
		pthread_mutex_lock(&rx->lock);
		return r;
	}
	if (rx_yield(s))
		return 0;
	r = w->one ? 0 : sock_may_block(s);
	if (r)
		return r;

	rx_wait_begin(s); /* W1 */
	bell_drain(s);    /* W2, the caller has just looked */
	for (;;) {
		r = rx_arm(s);                  /* W3 */
		if (rx_look_locked(s) & what) { /* W4 */
			r = 0;
			break;
		}
		rx_unlock(s);
		r = rx_sleep(s, w, r == 0); /* W5 */
		pthread_mutex_lock(&rx->lock);
		bell_drain(s); /* W2 */
		if (rx_look_locked(s) & what) {
			r = 0;
			break;
		}
		if (r)
			break;
	}
	rx_wait_end(s); /* W6 */
	return r;
}

/*
 * The calls.
 */

/* Copies the message at the log's cursor and takes it. -ESTALE: it was overwritten meanwhile. */
static ssize_t rx_take(struct ipn_sock *s, struct rx_log *log, const struct ipn_slot *slot,
		       const struct iovec *iov, size_t iovcnt, int flags, int *msg_flags)
{
	struct rx *rx = &s->rx;
	uint64_t n = log->cursor;
	size_t len = slot_len(log, slot);
	size_t done = copy_out(iov, iovcnt, slot->data, len); /* G4 */

	if (!slot_whole(slot, n)) {
		log_lose(rx, log);
		return -ESTALE;
	}
	if (done < len)
		*msg_flags |= MSG_TRUNC;
	if (flags & MSG_PEEK) {
		rx->stick = log;
	} else {
		rx_took(rx, log, n, 1, len);
		rx_publish(s);
	}
	return (ssize_t)(flags & MSG_TRUNC ? len : done);
}

ssize_t rx_recv(struct ipn_sock *s, const struct iovec *iov, size_t iovcnt, int flags,
		int *msg_flags)
{
	struct rx *rx = &s->rx;
	struct rx_wait w = { 0 };
	ssize_t r;

	*msg_flags = 0;
	if (flags & ~RX_FLAGS)
		return -EOPNOTSUPP;
	if (!sock_connected(s))
		return sock_no_data(s);
	if (iovcnt > IOV_MAX)
		return -EMSGSIZE;
	if (flags & MSG_DONTWAIT && rx_quiet(s))
		return -EAGAIN;

	pthread_mutex_lock(&rx->lock);
	do {
		const struct ipn_slot *slot;
		struct rx_log *log;

		r = rx_open(s);
		if (unlikely(r <= 0))
			break;
		if (unlikely(rx->peek_log)) {
			r = -EBUSY;
			break;
		}
		if (oob_pending(s)) {
			r = oob_take(s, iov, iovcnt, flags, msg_flags);
			break;
		}
		slot = likely(r == RX_MESSAGE) ? rx_next(s, &log) : NULL;
		if (slot)
			r = rx_take(s, log, slot, iov, iovcnt, flags, msg_flags);
		else
			r = rx_wait(s, RX_MESSAGE | RX_OOB, flags, &w) ?: -ESTALE;
	} while (r == -ESTALE);
	rx_unlock(s);
	return r;
}

/*
 * Shows what stands in the log from its cursor on, up to the next own message. At least the message
 * there.
 */
static unsigned int rx_show(struct rx *rx, struct rx_log *log, struct ipn_view *views,
			    unsigned int max)
{
	uint64_t n = log->cursor;
	unsigned int count = 0;

	for (; count < max; n++) {
		const struct ipn_slot *slot = log_slot(log, n);

		/* the cursor stays, so a hole or the end of the log is dealt with next time */
		if (slot_look(slot, n) != SLOT_READY)
			break;
		if (unlikely(slot_is_own(rx, slot)))
			break;
		views[count].data = slot->data;
		views[count].len = slot_len(log, slot);
		views[count].port = load_relaxed(&slot->src);
		count++;
	}
	return count;
}

int rx_peek(struct ipn_sock *s, struct ipn_view *views, unsigned int n, int flags)
{
	struct rx *rx = &s->rx;
	struct rx_wait w = { .one = flags & MSG_WAITFORONE };
	int r;

	if (flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_WAITFORONE))
		return -EOPNOTSUPP;
	if (!n)
		return -EINVAL;
	if (n > RX_PEEK_MAX)
		n = RX_PEEK_MAX;
	if (!sock_connected(s))
		return sock_no_data(s);
	if (flags & MSG_DONTWAIT && rx_quiet(s))
		return -EAGAIN;

	pthread_mutex_lock(&rx->lock);
	do {
		struct rx_log *log;

		if (unlikely(rx->peek_log)) {
			r = -EBUSY;
			break;
		}
		r = rx_open(s);
		if (unlikely(r == RX_OOB))
			r = -EPIPE;
		if (unlikely(r <= 0))
			break;
		if (rx_next(s, &log)) {
			rx->peek_first = log->cursor;
			rx->peek_count = rx_show(rx, log, views, n);
			r = (int)rx->peek_count;
			if (likely(r))
				rx->peek_log = log;
			else /* lapped just now */
				r = -ESTALE;
		} else {
			r = rx_wait(s, RX_MESSAGE, flags, &w) ?: -ESTALE;
		}
	} while (r == -ESTALE);
	rx_unlock(s);
	return r;
}

/* How many of the last of the first n messages shown stood whole until now. */
static unsigned int rx_whole(const struct rx *rx, const struct rx_log *log, unsigned int n)
{
	unsigned int i;

	fence_acquire();
	/* a slot is written only after its number was taken */
	if (likely(log_head(log) <= rx->peek_first + log->mask + 1))
		return n;
	for (i = n; i; i--) {
		uint64_t number = rx->peek_first + i - 1;

		if (load_relaxed(&log_slot(log, number)->seq) != number + 1)
			break;
	}
	return n - i;
}

int rx_done(struct ipn_sock *s, unsigned int n)
{
	struct rx *rx = &s->rx;
	struct rx_log *log;
	unsigned int whole;
	uint64_t bytes = 0;
	int r = -EINVAL;

	if (!sock_connected(s))
		return sock_no_data(s);
	pthread_mutex_lock(&rx->lock);
	log = rx->peek_log;
	if (!log || n > rx->peek_count)
		goto out;
	rx->peek_log = NULL;
	r = 0;
	if (!n)
		goto out;

	whole = rx_whole(rx, log, n);
	for (unsigned int i = n - whole; i < n; i++)
		bytes += slot_len(log, log_slot(log, rx->peek_first + i));
	rx_lost(rx, log, n - whole);
	rx_took(rx, log, rx->peek_first + n - 1, whole, bytes);
	log->scanned = 0; /* own messages were passed over without counting them */
	rx_publish(s);
	r = (int)whole;
out:
	rx_unlock(s);
	return r;
}

int rx_next_len(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;
	const struct ipn_slot *slot = NULL;
	struct rx_log *log;
	int len = 0;

	if (!sock_connected(s))
		return 0;
	pthread_mutex_lock(&rx->lock);
	if (oob_pending(s)) {
		len = sizeof(struct numnode_oob);
	} else if (rx->peek_log) {
		log = rx->peek_log;
		len = (int)slot_len(log, log_slot(log, rx->peek_first));
	} else {
		if (rx_open(s) == RX_MESSAGE)
			slot = rx_next(s, &log);
		if (slot) {
			len = (int)slot_len(log, slot);
			rx->stick = log;
		}
	}
	rx_unlock(s);
	return len;
}

uint64_t rx_overruns(struct ipn_sock *s)
{
	struct rx *rx = &s->rx;
	uint64_t n;

	if (!sock_connected(s))
		return 0;
	pthread_mutex_lock(&rx->lock);
	if (!rx->peek_log) {
		for (int i = 0; i < RX_LOGS; i++) {
			if (rx->log[i].base)
				log_trim(rx, &rx->log[i]);
		}
		stash_trim(rx);
	}
	n = rx->overrun;
	rx_unlock(s);
	return n;
}
