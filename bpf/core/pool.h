/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool of a LOSSLESS network: at most `pool` messages are pending in a log, then senders wait.
 *
 * The network's log. A message is pending as long as a process that may receive it has not moved
 * its cursor past it; one with many recipients counts once. Nobody receives its own messages. So
 * with H the head, c1 the lowest cursor, of reader a, and c2 the lowest of the others, the pending
 * messages are
 *	those in [c1, c2) that a did not send itself, and all in [c2, H).
 * Counting them takes a look at every reader, so what comes of it is kept as `limit`: numbers below
 * it have room. limit = H + pool - pending; and no slot may be used again that a reader still
 * needs, so it is never more than `slots` beyond the first message that a has to read. A limit
 * stays true for ever, whoever counted and however late: cursors only move up, each number from H
 * on was taken as pending, and who joins begins at a head of that time or later. A number is taken
 * from the head by compare-and-swap, and only below the limit.
 *
 * A process's own log, where a switch puts what is for it alone, has one reader and no messages of
 * its own: with c its cursor, the limit is c + pool, and all else is as above.
 *
 * Waiting without losing a wakeup. A sender S that was refused:
 *	S1 sets its bit in `full`;  S2 sets `waiting` in the log that was full;  S3 counts;  S4 if
 *	there is room, or no reader any more, goes on;  else waits for its room bell.
 * Whoever can make room, that is a reader which moves its cursor, a process that leaves (for it,
 * the manager), or a message that turned out to be its only reader's own:
 *	R1 stores cursor, membership or seq;  R2 full barrier;  R3 sees `waiting`: R4 counts, and if
 *	there is room, R5 clears `waiting`, R6 takes the bits, R7 rings.
 * S1, S2, R5 and R6 are full barriers. Let R1 be the store that makes room for S, after S3 (else S
 * goes on at S4). Then R3 comes after S2: `waiting` is seen, unless some R5 cleared it since S2,
 * whose R6 comes after S1 and rings S. If R4 finds no room, though R1 made it, others have taken it
 * since: their messages are pending, and whoever reads those finds `waiting` still set. If a bit is
 * set between R5 and R6, it is taken by R6 and rung; `waiting`, set again by S2, costs a reader one
 * look in vain.
 * `full` is of the network, `waiting` of a log: R6 of any log takes the bits of those, too, who
 * wait for another. They are rung, and begin again at S1. What an own log's reader leaves behind
 * when it goes nobody can find any more, so then (pool_left) all are rung, whatever they wait for:
 * whom S3 found the reader for had set its bit before, and R1 is the end of its membership.
 * Several threads of one process have one bit, and wait for one room bell as the threads of rx.c
 * wait for the bell. Who clears the bit because it found room was counted among them, and rings
 * when it goes on; who only looks (poll) leaves it.
 *
 * Taking a number is N1 to N4 below, counting C1 to C5: tests/model/pool.pml has the same labels,
 * and checks all of this. For the manager R1 is dest_set() in node_del() and node_shutdown(), and
 * R2 the store of the count of readers in node_count(), which is SEQ_CST.
 *
 * A number and its slot are in one log, though the own log of a port is looked up for each of them:
 * between two holders of a port there is a grace period, since the second gets a new room bell.
 *
 * A reader may store any cursor into its page. Beyond the head it counts as the head; far behind,
 * as what the log still holds: it can hold up senders, as any reader can who does not read, and
 * lose only its own messages. Who asks for room names the port whose log was full; it is looked up
 * in the sender's own network, and any answer is harmless.
 */
#ifndef IPN_BPF_POOL_H
#define IPN_BPF_POOL_H

#include "wake.h"

#define POOL_TRIES 64

enum { POOL_OK = 0, POOL_FULL = 1, POOL_CONTENDED = 2 };

struct pool_count {
	struct ipn_net_fast *net;
	void *log;
	__u64 head;
	__u64 c1, c2;
	__u32 a, b; /* their ports */
	__u32 own;
	__u64 at;    /* next to look at */
	__u64 first; /* that a has to read */
};

static long pool_reader(__u32 i, struct pool_count *p)
{
	__u32 node, port = any_number(p->net, i);
	struct ipn_page *page;
	__u64 c;

	page = wake_page(p->net, port, &node, IPN_PF_READER); /* C2 */
	if (!page)
		return 0;
	c = READ_ONCE(page->cursor); /* C3 */
	if (c > p->head)
		c = p->head;
	if (c < p->c1) {
		p->c2 = p->c1;
		p->b = p->a;
		p->c1 = c;
		p->a = port;
	} else if (c < p->c2) {
		p->c2 = c;
		p->b = port;
	}
	return 0;
}

/* A message that only reader a has not passed: is it a's own? */
static long pool_own(__u32 i, struct pool_count *p)
{
	__u64 n = p->at;
	__u32 at = 1 + (n & p->net->log_mask);
	struct ipn_slot *slot;

	if (n >= p->c2)
		return 1;
	p->at = n + 1;
	slot = bpf_map_lookup_elem(p->log, &at);
	if (slot && READ_ONCE(slot->seq) == n + 1 && READ_ONCE(slot->src) == p->a) { /* C4 */
		p->own++;
		if (p->first == n)
			p->first = n + 1;
	}
	return 0;
}

/* Counts, and keeps the limit that comes of it. Is there room? p: net, log; what was found. */
static int pool_count(struct pool_count *p)
{
	struct ipn_net_fast *net = p->net;
	__u64 slots = (__u64)net->log_mask + 1, pending, limit;
	struct ipn_log_head *head;
	__u32 zero = 0;

	head = bpf_map_lookup_elem(p->log, &zero);
	if (!head || READ_ONCE(head->closed)) /* who opens it rings all */
		return 0;
	p->head = READ_ONCE(head->head); /* C1 */
	p->c1 = p->c2 = any_number64(net, ~0ULL);
	bpf_loop(net->numnodes, pool_reader, p, 0);
	if (p->c1 == ~0ULL) { /* nobody reads */
		WRITE_ONCE(head->limit, p->head + net->pool);
		return 1;
	}
	if (p->c2 > p->head)
		p->c2 = p->head;
	if (p->head > slots && p->c1 < p->head - slots)
		p->c1 = p->head - slots;
	if (p->c2 < p->c1)
		p->c2 = p->c1;
	p->at = p->first = p->c1;
	bpf_loop(p->c2 - p->c1, pool_own, p, 0);

	pending = p->head - p->c1 - p->own;
	limit = p->head + net->pool - pending;
	if (pending >= net->pool)
		limit = p->head;
	if (limit > p->first + slots)
		limit = p->first + slots;
	WRITE_ONCE(head->limit, limit); /* C5 */
	return p->head < limit;
}

/* The log of a network, which is also the network's number. */
INLINE void *pool_log(const struct ipn_net_fast *net, __u32 *id)
{
	switch (net->log_class) {
	case IPN_LOG_SMALL:
		return bpf_map_lookup_elem(&ipn_logs_small, id);
	case IPN_LOG_ETH:
		return bpf_map_lookup_elem(&ipn_logs_eth, id);
	case IPN_LOG_JUMBO:
		return bpf_map_lookup_elem(&ipn_logs_jumbo, id);
	}
	return NULL;
}

INLINE struct ipn_log_head *pool_head(const struct ipn_net_fast *net, __u32 id)
{
	void *log = net ? pool_log(net, &id) : NULL;
	__u32 zero = 0;

	return log ? bpf_map_lookup_elem(log, &zero) : NULL;
}

/*
 * Global functions, which the verifier looks at once per program, not at each place from which
 * they are called.
 */
GLOBAL int pool_room(__u32 id)
{
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	struct pool_count p = { .net = net, .log = net ? pool_log(net, &id) : NULL };

	return p.log ? pool_count(&p) : 0;
}

/* Somebody was refused while the head is this: for people, who want to know for how long. */
INLINE void pool_note(struct ipn_log_head *head, __u64 n)
{
	if (READ_ONCE(head->full_at) == n + 1)
		return;
	WRITE_ONCE(head->full_since, bpf_ktime_get_ns());
	WRITE_ONCE(head->full_at, n + 1);
}

struct pool_take {
	struct ipn_log_head *head;
	__u64 n;
	__u32 id;
	__u32 result;
};

static long pool_try(__u32 i, struct pool_take *t)
{
	__u64 n = READ_ONCE(t->head->head); /* N1 */

	if (n >= READ_ONCE(t->head->limit) && !pool_room(t->id)) { /* N2, N3 */
		pool_note(t->head, n);
		t->result = POOL_FULL;
		return 1;
	}
	/* with a limit that was counted anew, the head is looked at again */
	if (n >= READ_ONCE(t->head->limit) || CAS(&t->head->head, n, n + 1) != n) /* N4 */
		return 0;
	t->n = n;
	t->result = POOL_OK;
	return 1;
}

/* Takes the next number. POOL_*. */
GLOBAL int pool_number(__u32 id, __u64 *number)
{
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	struct pool_take t = { .head = pool_head(net, id), .id = id, .result = POOL_CONTENDED };

	if (!t.head || !number)
		return POOL_CONTENDED;
	bpf_loop(POOL_TRIES, pool_try, &t, 0);
	*number = t.n;
	return t.result;
}

/* The head of the own log of the process at this port, and its page. NULL: it does not receive. */
INLINE struct ipn_log_head *own_head(const struct ipn_net_fast *net, __u32 port,
				     struct ipn_page **page)
{
	__u32 node = 0, index, zero = 0;
	void *log;

	if (port >= net->numnodes)
		return NULL;
	*page = wake_page(net, port, &node, IPN_PF_READER);
	if (!*page)
		return NULL;
	index = IPN_LOG_OF_NODE(node);
	log = pool_log(net, &index);
	return log ? bpf_map_lookup_elem(log, &zero) : NULL;
}

/* Counts an own log, and keeps the limit that comes of it. Is there room? */
INLINE int own_room(const struct ipn_net_fast *net, struct ipn_log_head *head,
		    const struct ipn_page *page)
{
	__u64 n = READ_ONCE(head->head), c = READ_ONCE(page->node_cursor);
	__u64 slots = (__u64)net->log_mask + 1;

	if (c > n)
		c = n;
	if (n > slots && c < n - slots)
		c = n - slots;
	WRITE_ONCE(head->limit, c + net->pool);
	return n < c + net->pool;
}

struct own_take {
	struct ipn_net_fast *net;
	struct ipn_log_head *head;
	struct ipn_page *page;
	__u64 n;
	__u32 result;
};

static long own_try(__u32 i, struct own_take *t)
{
	__u64 n = READ_ONCE(t->head->head);

	if (n >= READ_ONCE(t->head->limit) && !own_room(t->net, t->head, t->page)) {
		pool_note(t->head, n);
		t->result = POOL_FULL;
		return 1;
	}
	if (n >= READ_ONCE(t->head->limit) || CAS(&t->head->head, n, n + 1) != n)
		return 0;
	t->n = n;
	t->result = POOL_OK;
	return 1;
}

/* Takes the next number of the own log of the process at this port. POOL_*. */
GLOBAL int pool_own_number(__u32 id, __u32 port, __u64 *number)
{
	struct own_take t = { .net = bpf_map_lookup_elem(&ipn_net_fast, &id),
			      .result = POOL_CONTENDED };

	if (!t.net || !number)
		return POOL_CONTENDED;
	t.head = own_head(t.net, port, &t.page);
	if (!t.head) /* gone just now */
		return POOL_CONTENDED;
	bpf_loop(POOL_TRIES, own_try, &t, 0);
	*number = t.n;
	return t.result;
}

struct pool_wake {
	struct ipn_net_fast *net;
	__u64 bits;
	__u32 first;
};

static long pool_ring(__u32 i, struct pool_wake *w)
{
	__u32 node = 0;

	if (!w->bits)
		return 1;
	if (wake_page(w->net, any_number(w->net, w->first + low_bit(w->bits)), &node, 0))
		room_ring(node); /* R7 */
	w->bits &= w->bits - 1;
	return 0;
}

static long pool_ring_word(__u32 i, struct pool_wake *w)
{
	__u32 word = any_number(w->net, i) & (IPN_SLEEP_WORDS - 1);

	if (!READ_ONCE(w->net->full[word]))
		return 0;
	w->bits = XCHG(&w->net->full[word], 0); /* R6 */
	w->first = word * 64;
	bpf_loop(64, pool_ring, w, 0);
	return 0;
}

/* R6 and R7. */
GLOBAL int pool_ring_all(__u32 id)
{
	struct pool_wake w = { .net = bpf_map_lookup_elem(&ipn_net_fast, &id) };

	if (w.net)
		bpf_loop((w.net->numnodes + 63) / 64, pool_ring_word, &w, 0);
	return 0;
}

/* R3 to R7. */
GLOBAL int pool_moved(__u32 id)
{
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	struct ipn_log_head *head = pool_head(net, id);

	if (!net || !head || !READ_ONCE(head->waiting) || !pool_room(id)) /* R3, R4 */
		return 0;
	FULL_BARRIER(XCHG(&head->waiting, 0)); /* R5 */
	return pool_ring_all(id);
}

/* The same for the own log of the process at this port. */
GLOBAL int pool_own_moved(__u32 id, __u32 port)
{
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	struct ipn_log_head *head;
	struct ipn_page *page;

	if (!net || net->policy == IPN_POLICY_BROADCAST)
		return 0;
	head = own_head(net, port, &page);
	if (!head || !READ_ONCE(head->waiting) || !own_room(net, head, page)) /* R3, R4 */
		return 0;
	FULL_BARRIER(XCHG(&head->waiting, 0)); /* R5 */
	return pool_ring_all(id);
}

/* A reader has gone. */
GLOBAL int pool_left(__u32 id)
{
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	if (!net)
		return 0;
	return net->policy == IPN_POLICY_BROADCAST ? pool_moved(id) : pool_ring_all(id);
}

/*
 * S1 to S4, for the process at this port. full: 0, the network's log; else the own log of the
 * process at port full - 1. With IPN_TX_ROOM_LOOK its bit stays: another thread may wait, or
 * another process of the node. The answer is for `process` of them.
 */
GLOBAL int pool_wait(__u32 id, __u32 port, __u32 full, __u32 process)
{
	__u32 word = (port / 64) & (IPN_SLEEP_WORDS - 1), node, look = full & IPN_TX_ROOM_LOOK;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	struct ipn_page *page, *reader = NULL;
	struct ipn_page_process *sender;
	struct ipn_log_head *head;
	int room;

	if (!net)
		return 0;
	page = wake_page(net, port, &node, 0);
	sender = page ? page_process(page, process) : NULL;
	if (!sender)
		return 0;
	FETCH_OR(&net->full[word], 1ULL << (port & 63)); /* S1 */
	full = net->policy == IPN_POLICY_BROADCAST ? 0 : full & ~IPN_TX_ROOM_LOOK;
	if (full) {
		head = own_head(net, full - 1, &reader);
		room = 1;
		if (head && reader) {
			FULL_BARRIER(XCHG(&head->waiting, 1)); /* S2 */
			room = own_room(net, head, reader);    /* S3 */
		}
	} else {
		head = pool_head(net, id);
		if (!head)
			return 0;
		FULL_BARRIER(XCHG(&head->waiting, 1)); /* S2 */
		room = pool_room(id);                  /* S3 */
	}
	if (!room) { /* S4 */
		if (head)
			pool_note(head, READ_ONCE(head->head));
		WRITE_ONCE(sender->room, 0);
		return 0;
	}
	if (!look)
		FETCH_AND(&net->full[word], ~(1ULL << (port & 63)));
	WRITE_ONCE(sender->room, 1);
	return 0;
}

/*
 * The reader that the oldest pending message waits for, of the two that are furthest behind. Where
 * the first has only its own before it, that is the second, if the next is the first's own as well.
 */
INLINE __u32 pool_holder(const struct pool_count *p)
{
	__u32 at = 1 + (p->c2 & p->net->log_mask);
	struct ipn_slot *slot;

	if (p->first < p->c2 || p->c2 >= p->head)
		return p->a;
	slot = bpf_map_lookup_elem(p->log, &at);
	return slot && READ_ONCE(slot->seq) == p->c2 + 1 && READ_ONCE(slot->src) == p->a ? p->b
											 : p->a;
}

/* Who keeps senders waiting: see IPN_NOTIFY_HELD. */
INLINE void pool_held(struct ipn_notify *ctx)
{
	__u32 id = ctx->node, full = ctx->event.arg, holder = 0;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	struct ipn_page *page = NULL;
	struct pool_count p = { .net = net };
	struct ipn_log_head *head;

	ctx->event.arg = 0;
	if (!net || (full && net->policy == IPN_POLICY_BROADCAST))
		return;
	if (full) {
		head = own_head(net, full - 1, &page);
		if (head && page && !own_room(net, head, page))
			holder = full;
	} else {
		head = pool_head(net, id);
		p.log = pool_log(net, &id);
		if (p.log && !pool_count(&p))
			holder = pool_holder(&p) + 1;
	}
	if (!head || !holder || READ_ONCE(head->full_at) != READ_ONCE(head->head) + 1)
		return;
	ctx->since = READ_ONCE(head->full_since);
	ctx->event.arg = holder;
}

#endif
