/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Waking readers that sleep.
 *
 * A reader that finds nothing sets its bit (bell_sleep), looks once more and then waits on its
 * bell. A writer publishes and then looks at the bits. Both sides have a full barrier between their
 * store and their look, so one of them sees the other: no wakeup is lost.
 *
 * sleep_any says which words of sleep may be non-zero, so that a message costs one load when nobody
 * sleeps. Order: a reader sets its bit in the word, then the word's bit in sleep_any; a writer
 * takes sleep_any, then the words. A bit set after its word was taken is announced by a later
 * sleep_any.
 *
 * Interrupts are off around the wakeups where the kernel lets us, so that the wakeups of all
 * readers share one self-interrupt: that is the dearest part of it.
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

INLINE void bell_sleep(struct ipn_net *net, __u32 port)
{
	__u32 word = (port / 64) & (IPN_SLEEP_WORDS - 1);

	FETCH_OR(&net->sleep[word], 1ULL << (port & 63));
	FETCH_OR(&net->sleep_any, 1ULL << word);
}

INLINE void bell_wake_port(__u32 port_base, __u32 port)
{
	__u32 at = port_base + port;
	struct ipn_dest *dest = bpf_map_lookup_elem(&ipn_dests, &at);

	if (dest && dest->kind == IPN_KIND_PROC)
		bell_ring(dest->node, IPN_EVENT_WAKE, 0);
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
	__u64 bits;
	__u32 base; /* port_base + number of the word's first port */
};

static long wake_bit(__u32 i, struct wake_word *w)
{
	if (!w->bits)
		return 1;
	bell_wake_port(w->base, low_bit(w->bits));
	w->bits &= w->bits - 1;
	return 0;
}

struct wake_all {
	__u64 any;
	__u32 net;
};

static long wake_word(__u32 i, struct wake_all *w)
{
	struct ipn_net *net;
	struct wake_word word;
	__u32 n, id = w->net;

	if (!w->any)
		return 1;
	n = low_bit(w->any) & (IPN_SLEEP_WORDS - 1);
	w->any &= w->any - 1;
	net = bpf_map_lookup_elem(&ipn_nets, &id);
	if (!net)
		return 1;
	word.bits = XCHG(&net->sleep[n], 0);
	word.base = net->port_base + n * 64;
	bpf_loop(64, wake_bit, &word, 0);
	return 0;
}

/* After a message went into the network's log. */
NOINLINE int wake_sleepers(__u32 id)
{
	struct ipn_net *net = bpf_map_lookup_elem(&ipn_nets, &id);
	struct wake_all all = { .net = id };
	unsigned long flags;

	if (!net)
		return 0;
	all.any = XCHG(&net->sleep_any, 0);
	if (!all.any)
		return 0;
	if (bpf_local_irq_save && bpf_local_irq_restore) {
		bpf_local_irq_save(&flags);
		bpf_loop(IPN_SLEEP_WORDS, wake_word, &all, 0);
		bpf_local_irq_restore(&flags);
	} else {
		bpf_loop(IPN_SLEEP_WORDS, wake_word, &all, 0);
	}
	return 0;
}

/* After a message went into the node's own log. */
INLINE void wake_one(struct ipn_net *net, __u32 port, __u32 node)
{
	__u32 word = (port / 64) & (IPN_SLEEP_WORDS - 1);
	__u64 bit = 1ULL << (port & 63);

	if (!(READ_ONCE(net->sleep[word]) & bit))
		return;
	if (FETCH_AND(&net->sleep[word], ~bit) & bit)
		bell_ring(node, IPN_EVENT_WAKE, 0);
}

#endif
