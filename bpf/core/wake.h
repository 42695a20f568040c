/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waking readers that sleep.
 *
 * A reader that finds nothing sets `sleep` in its page, looks once more and then waits on its bell.
 * A writer publishes, then takes `sleep` back from each page it has to look into, and rings where
 * it was set. Both have a full barrier between their store and their look, so one of them sees the
 * other: no wakeup is lost.
 *
 * Which pages to look into, the sleep bits say. A reader whose page is not `armed` has its bit set
 * by a control frame (wake_arm); the writer whose look into a page is the IPN_WAKE_LOOKSth in a row
 * that found it awake clears the bit. So readers who do not sleep cost nothing, and who sleeps now
 * and then sends few frames: one costs its sender about what so many looks cost writers.
 * A process that counts otherwise in its page is looked at always or seldom, which any may have.
 * Clearing: bit, then `armed`, then `sleep` is looked at again. A reader that saw `armed` before it
 * was cleared has set `sleep` before that, so the second look finds it.
 * Setting: `armed`, then the bit. So `armed` without bit lasts only while somebody is between the
 * two: a writer, which will look, or the reader's own control frame, before its look.
 * The page is found anew after the bit was cleared: the port may have changed hands, and then the
 * bit was the new holder's.
 *
 * sleep_any says which words of sleep may be non-zero, so that a message costs one load when nobody
 * sleeps. Setting: the bit in the word, then the word's bit in sleep_any. Clearing: sleep_any, then
 * the word is looked at again, and if it is not empty, sleep_any is set and its bits are served:
 * their readers may have missed a message of somebody who saw sleep_any without them.
 *
 * The steps of whoever looks are K1 to K11 below, those of the frame that arms A1 to A3: the same
 * labels are in tests/model/wake.pml, which checks all of this.
 *
 * Interrupts are off around the wakeups where the kernel lets us, so that the wakeups of all
 * readers share one self-interrupt: that is the dearest part of it.
 *
 * Dear bells. A process can watch its bell as often as it has descriptors, and each ring walks all
 * those watches at its sender's expense. So wakeups are timed. When they took longer than their
 * number explains, each bell of the network is timed by itself for the next IPN_RING_SUSPECT rounds
 * (`suspect`). Whose bell was dear IPN_RING_STRIKES times in a row is taken off the list of those
 * who are looked at, as one that is awake (K4 to K7), and is not armed again for RING_REST times
 * what a ring cost. Until then its libipn looks by itself, each 10 ms, as when it could not be
 * armed. So a hostile reader costs senders a few dear rings, and half a percent of their time.
 */
#ifndef IPN_BPF_WAKE_H
#define IPN_BPF_WAKE_H

#include "maps.h"

/*
 * Puts an event into a node's bell and wakes whoever waits on it. A full bell has woken them
 * before.
 */
INLINE long bell_ring(__u32 node, __u32 type, __u32 arg)
{
	void *bell = bpf_map_lookup_elem(&ipn_bells, &node);
	struct ipn_event event = { .type = type, .arg = arg };

	if (!bell)
		return -1;
	return bpf_ringbuf_output(bell, &event, sizeof(event), BPF_RB_FORCE_WAKEUP);
}

/* The same number, but unknown to the verifier, which would go through every single one. */
INLINE __u32 any_number(const struct ipn_net_fast *net, __u32 n)
{
	__u32 unknown = READ_ONCE(net->port_base);

	n ^= unknown;
	barrier_var(n);
	return n ^ unknown;
}

/*
 * The same for all 64 bits. Before Linux 6.7 the verifier goes through the callback of bpf_loop
 * once only, with what the caller has put into its context, and the kernel takes out what is dead
 * in that one turn. So a value which the callback compares and changes starts with one of these,
 * not with a constant: tests/vm/verifier.sh finds what was taken out.
 */
INLINE __u64 any_number64(const struct ipn_net_fast *net, __u64 n)
{
	__u64 unknown = READ_ONCE(net->port_base);

	unknown |= unknown << 32;
	n ^= unknown;
	barrier_var(n);
	return n ^ unknown;
}

/* Wakes who waits for room in a LOSSLESS network's pool. */
INLINE long room_ring(__u32 node)
{
	void *bell = bpf_map_lookup_elem(&ipn_rooms, &node);
	struct ipn_event event = { .type = IPN_EVENT_WAKE };

	if (!bell)
		return -1;
	return bpf_ringbuf_output(bell, &event, sizeof(event), BPF_RB_FORCE_WAKEUP);
}

/*
 * The page of a port's process, NULL when there is none, or none with these flags; *node becomes
 * its node.
 */
INLINE struct ipn_page *wake_page(const struct ipn_net_fast *net, __u32 port, __u32 *node,
				  __u32 flags)
{
	__u32 at = net->port_base + port, zero = 0;
	struct ipn_port_out *dest = bpf_map_lookup_elem(&ipn_port_out, &at);
	void *page;

	if (!dest || dest->kind != IPN_KIND_PROC || (dest->flags & flags) != flags)
		return NULL;
	*node = dest->node;
	page = bpf_map_lookup_elem(&ipn_pages, node);
	return page ? bpf_map_lookup_elem(page, &zero) : NULL;
}

/* What is of one of the processes that share a node, as a frame names it. NULL: there is none. */
INLINE struct ipn_page_process *page_process(struct ipn_page *page, __u32 n)
{
	if (n >= IPN_PAGE_PROCESSES)
		return NULL;
	barrier_var(n); /* or the compiler adds before it looks */
	return &page->process[n];
}

#define RING_REST 1000 /* times what it cost */

/* Is its bell too dear to be rung now? */
INLINE int ring_rests(__u32 node)
{
	struct ipn_ring *r = bpf_map_lookup_elem(&ipn_rings, &node);

	return r && unlikely(READ_ONCE(r->strikes) >= IPN_RING_STRIKES) &&
	       bpf_ktime_get_ns() < READ_ONCE(r->until);
}

/* Rings it and looks how long that takes. 1: it was dear, and not for the first time. */
GLOBAL int ring_timed(__u32 node)
{
	struct ipn_ring *r = bpf_map_lookup_elem(&ipn_rings, &node);
	unsigned long flags;
	__u32 quiet = bpf_local_irq_save && bpf_local_irq_restore;
	__u64 began = bpf_ktime_get_ns(), took;

	/* hidden from the compiler, which would make two copies of what is between */
	barrier_var(quiet);
	if (quiet)
		bpf_local_irq_save(&flags);
	bell_ring(node, IPN_EVENT_WAKE, 0);
	barrier_var(quiet);
	if (quiet)
		bpf_local_irq_restore(&flags);
	took = bpf_ktime_get_ns() - began;
	if (!r)
		return 0;
	if (took < IPN_RING_DEAR_NS) {
		WRITE_ONCE(r->strikes, 0);
		return 0;
	}
	if (READ_ONCE(r->strikes) + 1 < IPN_RING_STRIKES) {
		r->strikes++;
		return 0;
	}
	WRITE_ONCE(r->strikes, IPN_RING_STRIKES);
	WRITE_ONCE(r->until, bpf_ktime_get_ns() + took * RING_REST);
	r->rests++;
	return 1;
}

/* For the reader at this port, who has set `sleep`. */
INLINE void wake_arm(struct ipn_net_fast *net, __u32 port)
{
	__u32 word = (port / 64) & (IPN_SLEEP_WORDS - 1), node;
	struct ipn_page *page = wake_page(net, port, &node, 0);

	if (page && ring_rests(node)) {
		WRITE_ONCE(page->rests, 1);
		return;
	}
	if (page && READ_ONCE(page->rests))
		WRITE_ONCE(page->rests, 0);
	if (page)
		FULL_BARRIER(XCHG(&page->armed, 1));      /* A1 */
	FETCH_OR(&net->sleep[word], 1ULL << (port & 63)); /* A2 */
	FETCH_OR(&net->sleep_any, 1ULL << word);          /* A3 */
}

/* Looked in vain: may the bit stay? A lost or false count of `awake` does no harm. */
INLINE int wake_stays(struct ipn_page *page)
{
	__u64 awake = READ_ONCE(page->awake);

	if (awake >= IPN_WAKE_LOOKS - 1)
		return 0;
	WRITE_ONCE(page->awake, awake + 1);
	return 1;
}

/* Takes the bit of this port away. 1: its reader sleeps all the same, and is to be rung. */
INLINE int wake_clear(struct ipn_net_fast *net, __u32 port, __u32 *node)
{
	__u32 word = (port / 64) & (IPN_SLEEP_WORDS - 1);
	struct ipn_page *page;

	FETCH_AND(&net->sleep[word], ~(1ULL << (port & 63))); /* K4 */
	page = wake_page(net, port, node, 0);                 /* K5 */
	if (!page)
		return 0;
	FULL_BARRIER(XCHG(&page->armed, 0)); /* K6 */
	WRITE_ONCE(page->awake, 0);
	return XCHG(&page->sleep, 0) != 0; /* K7 */
}

/* Its bell could not be rung: it sleeps still. */
GLOBAL int wake_again(__u32 node)
{
	struct ipn_page *page = bpf_map_lookup_elem(&ipn_pages, &node);
	__u32 zero = 0;

	page = page ? bpf_map_lookup_elem(page, &zero) : NULL;
	if (page)
		FULL_BARRIER(XCHG(&page->sleep, 1));
	return 0;
}

/* The bit of this port is set. Returns how many bells were rung. */
GLOBAL int wake_port(__u32 id, __u32 port)
{
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	struct ipn_page *page;
	__u32 node = 0;

	if (!net)
		return 0;
	page = wake_page(net, port, &node, 0);

	if (!page || !XCHG(&page->sleep, 0)) { /* K3 */
		if ((page && wake_stays(page)) || !wake_clear(net, port, &node))
			return 0;
	} else if (READ_ONCE(page->awake)) {
		WRITE_ONCE(page->awake, 0);
	}
	if (likely(!READ_ONCE(net->suspect))) {
		/*
		 * Only one whose lock somebody holds for long cannot be: it is at the next
		 * message.
		 */
		if (unlikely(bell_ring(node, IPN_EVENT_WAKE, 0))) /* K8 */
			wake_again(node);
		return 1;
	}
	if (ring_timed(node) && wake_clear(net, port, &node))
		bell_ring(node, IPN_EVENT_WAKE, 0);
	return 1;
}

/* n bells were rung since `began`: was that too dear? */
INLINE void wake_judge(struct ipn_net_fast *net, __u64 began, __u32 n)
{
	__u32 left = READ_ONCE(net->suspect);

	if (left)
		WRITE_ONCE(net->suspect, left - 1);
	else if (n && bpf_ktime_get_ns() - began > (n + 1ULL) * IPN_RING_DEAR_NS)
		WRITE_ONCE(net->suspect, IPN_RING_SUSPECT);
}

/* Number of zero bits below the lowest one; v is not 0. */
INLINE __u32 low_bit(__u64 v)
{
	__u32 n = 0;

	v &= -v;
	if (v & 0xffffffff00000000ULL)
		n += 32;
	if (v & 0xffff0000ffff0000ULL)
		n += 16;
	if (v & 0xff00ff00ff00ff00ULL)
		n += 8;
	if (v & 0xf0f0f0f0f0f0f0f0ULL)
		n += 4;
	if (v & 0xccccccccccccccccULL)
		n += 2;
	if (v & 0xaaaaaaaaaaaaaaaaULL)
		n += 1;
	return n;
}

struct wake_word {
	struct ipn_net_fast *net;
	__u32 id;
	__u64 bits;
	__u32 first; /* port */
	__u32 rung;
};

static long wake_bit(__u32 i, struct wake_word *w)
{
	if (!w->bits)
		return 1;
	/* a number that the verifier would follow would be another state at each turn */
	w->rung = any_number(w->net, w->rung + wake_port(w->id, w->first + low_bit(w->bits)));
	w->bits &= w->bits - 1;
	return 0;
}

struct wake_all {
	struct ipn_net_fast *net;
	__u32 id;
	__u64 any;
	__u32 rung;
};

static long wake_word(__u32 i, struct wake_all *w)
{
	struct wake_word word = { .net = w->net, .id = w->id };
	__u32 n;

	if (!w->any)
		return 1;
	n = any_number(w->net, low_bit(w->any)) & (IPN_SLEEP_WORDS - 1);
	w->any &= w->any - 1;
	word.first = n * 64;
	word.bits = READ_ONCE(w->net->sleep[n]); /* K2 */
	bpf_loop(64, wake_bit, &word, 0);
	w->rung = any_number(w->net, w->rung + word.rung);
	if (READ_ONCE(w->net->sleep[n]))
		return 0;
	FETCH_AND(&w->net->sleep_any, ~(1ULL << n)); /* K9 */
	word.bits = READ_ONCE(w->net->sleep[n]);     /* K10 */
	if (word.bits) {
		FETCH_OR(&w->net->sleep_any, 1ULL << n); /* K11 */
		bpf_loop(64, wake_bit, &word, 0);
	}
	return 0;
}

/* After a message went into the network's log. */
GLOBAL int wake_sleepers(__u32 id)
{
	struct wake_all all = { .net = bpf_map_lookup_elem(&ipn_net_fast, &id), .id = id };
	unsigned long flags;
	__u64 began;

	if (!all.net)
		return 0;
	began = bpf_ktime_get_ns();
	all.any = READ_ONCE(all.net->sleep_any); /* K1 */
	if (bpf_local_irq_save && bpf_local_irq_restore && !READ_ONCE(all.net->suspect)) {
		bpf_local_irq_save(&flags);
		bpf_loop(IPN_SLEEP_WORDS, wake_word, &all, 0);
		bpf_local_irq_restore(&flags);
	} else {
		bpf_loop(IPN_SLEEP_WORDS, wake_word, &all, 0);
	}
	wake_judge(all.net, began, all.rung);
	return 0;
}

/* After a message went into the own log of the node at this port. */
INLINE void wake_one(struct ipn_net_fast *net, __u32 id, __u32 port)
{
	__u32 word = (port / 64) & (IPN_SLEEP_WORDS - 1);
	__u64 began;
	__u32 n;

	if (!(READ_ONCE(net->sleep[word]) & 1ULL << (port & 63))) /* K2 */
		return;
	began = bpf_ktime_get_ns();
	n = wake_port(id, port);
	wake_judge(net, began, n);
}

#endif
