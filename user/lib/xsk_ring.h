/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One end of a ring shared with the kernel: one writer, one reader, each with an index that only
 * grows (modulo 2^32) and that the other reads. The order of stores is told in xsk.c.
 */
#ifndef IPN_XSK_RING_H
#define IPN_XSK_RING_H

#include <linux/types.h>

struct xsk_ring {
	__u32 *producer, *consumer; /* shared */
	void *entries;
	__u32 size; /* a power of two */
	__u32 at;   /* our own index */
	__u32 seen; /* the other's, as we last looked */
};

/* Entries that can be written, after looking again if those seen are fewer than n. */
static inline __u32 ring_room(struct xsk_ring *r, __u32 n)
{
	__u32 room = r->size - (r->at - r->seen);

	if (room >= n)
		return n;
	r->seen = __atomic_load_n(r->consumer, __ATOMIC_ACQUIRE);
	room = r->size - (r->at - r->seen);
	/* an index that cannot be: somebody else has written there. As if it were full */
	if (room > r->size) {
		r->seen = r->at - r->size;
		room = 0;
	}
	return room < n ? room : n;
}

/* Hands over the n entries that were written. */
static inline void ring_submit(struct xsk_ring *r, __u32 n)
{
	r->at += n;
	__atomic_store_n(r->producer, r->at, __ATOMIC_RELEASE);
}

/* Entries that can be read, up to n. */
static inline __u32 ring_avail(struct xsk_ring *r, __u32 n)
{
	__u32 avail = r->seen - r->at;

	if (avail >= n)
		return n;
	r->seen = __atomic_load_n(r->producer, __ATOMIC_ACQUIRE);
	avail = r->seen - r->at;
	if (avail > r->size) { /* as above: nothing */
		r->seen = r->at;
		avail = 0;
	}
	return avail < n ? avail : n;
}

/* Gives back the n entries that were read. */
static inline void ring_release(struct xsk_ring *r, __u32 n)
{
	r->at += n;
	__atomic_store_n(r->consumer, r->at, __ATOMIC_RELEASE);
}

/* Index in the ring of the i-th entry from ours. */
static inline __u32 ring_index(const struct xsk_ring *r, __u32 i)
{
	return (r->at + i) & (r->size - 1);
}

#endif
