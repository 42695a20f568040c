/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Writing a message into a log. The protocol between writers and readers is told at struct ipn_slot
 * in include/ipn/abi.h; here is why it holds.
 *
 * A number is taken by fetch-and-add, so all readers see one order. Between taking the number and
 * publishing, a writer can stand still for long (an interrupt, a stolen virtual CPU) while others
 * go round the whole log. So a slot is claimed by compare-and-swap from a published, older seq:
 *  - still BUSY with an older number: that writer may store into it at any moment, so this message
 *    cannot be written. Its number is spent: `skip` tells readers not to wait for it.
 *  - already at or beyond our number: we have been lapped, and so has any reader that wanted it.
 *  - the swap fails: one of the two, just now.
 * In each case the message is dropped, counted as BUSY, and nobody's data is torn. The claim and
 * the publication are full barriers: the first keeps our stores behind the claim, so that a reader
 * that sees our bytes also sees seq changed; the second is the writer's half of wake.h.
 *
 * A message that cannot be copied to its end has already spoilt what stood in the slot. So seq must
 * not become again what it was, or a reader that looked before the claim would take the rest for
 * whole. It becomes n: newer than what was there, claimable, and the seq of no message of this slot
 * (message n - 1 stands in another one).
 *
 * The labels L1 to L8 are those of the same steps in tests/model/log.pml.
 */
#ifndef IPN_BPF_LOG_H
#define IPN_BPF_LOG_H

#include "draft.h"
#include "pool.h"

/* Ethernet addresses: a VLAN tag that the kernel holds apart goes behind them. */
#define TAG_AT 12
#define TAG_LEN 4
#define SKIP_TRIES 4

/* Copies the message, len > 0 bytes, max the room in the slot. */
INLINE long log_copy(const struct ipn_ctx *c, const struct ipn_msg *m, __u8 *data, __u64 len,
		     const __u32 max)
{
	if (c->sends && (c->hook == HOOK_CALL || m->draft))
		return draft_load(c, m, data, len, max);
	if (c->hook == HOOK_TC && m->vlan) {
		__u32 tag = bpf_htonl(m->vlan);

		if (ctx_load(c, m->off, data, TAG_AT))
			return -1;
		__builtin_memcpy(data + TAG_AT, &tag, sizeof(tag));
		barrier_var(len); /* or Linux 6.1 has forgotten the bound by the second copy */
		if (len < TAG_AT + TAG_LEN + 1)
			return -1;
		len -= TAG_AT + TAG_LEN;
		barrier_var(len);
		if (len > max - (TAG_AT + TAG_LEN))
			return -1;
		return ctx_load(c, m->off + TAG_AT, data + TAG_AT + TAG_LEN, len);
	}
	barrier_var(len); /* Linux 6.1 keeps no bound for a copy that was put on the stack before */
	if (len > max)
		return -1;
	return ctx_load(c, m->off, data, len);
}

/*
 * Message n will not come. A newer one that was given up in this slot stays: its writer may have
 * been here long before us, and readers may stand at it. A swap fails only if another writer of the
 * slot gave up just now, so a few tries are enough.
 */
INLINE void slot_skip(struct ipn_slot *slot, __u64 n)
{
	for (int i = 0; i < SKIP_TRIES; i++) {
		__u64 old = READ_ONCE(slot->skip);

		if (old > n || CAS(&slot->skip, old, n + 1) == old)
			return;
	}
}

/*
 * Readers may stand before a number that will not come, and what was published behind it
 * meanwhile has woken them in vain. port: as of log_write.
 */
INLINE void skip_wake(__u32 net, __u32 port)
{
	if (port == IPN_PORT_NONE)
		wake_sleepers(net);
	else
		wake_port(net, port);
}

/* Returns as log_write. */
INLINE int log_write_class(const struct ipn_ctx *c, const struct ipn_msg *m, void *logs,
			   const __u32 max, __u32 id, __u32 mask, __u32 lossless, __u32 port)
{
	struct ipn_log_head *head;
	struct ipn_slot *slot;
	__u64 len = m->len, room, n, old;
	__u32 at = 0;
	int why;
	void *log = bpf_map_lookup_elem(logs, &id);

	if (!log)
		return IPN_DROP_NO_LOG;
	head = bpf_map_lookup_elem(log, &at);
	if (!head)
		return IPN_DROP_NO_LOG;

	if (lossless) {
		if (port == IPN_PORT_NONE)
			why = pool_number(id, &n);
		else
			why = pool_own_number(m->net, port, &n);
		if (why)
			return why == POOL_FULL ? IPN_DROP_POOL : IPN_DROP_BUSY;
	} else {
		n = FETCH_ADD(&head->head, 1); /* L1 */
	}
	at = 1 + (n & mask);
	slot = bpf_map_lookup_elem(log, &at);
	if (!slot)
		return IPN_DROP_NO_LOG;
	old = READ_ONCE(slot->seq); /* L2 */
	if ((old & ~IPN_SEQ_BUSY) > n)
		return IPN_DROP_BUSY;
	if ((old & IPN_SEQ_BUSY) || CAS(&slot->seq, old, (n + 1) | IPN_SEQ_BUSY) != old) { /* L3 */
		slot_skip(slot, n);                                                        /* L4 */
		skip_wake(m->net, port);
		return IPN_DROP_BUSY;
	}

	/*
	 * The verifier wants both bounds close to the copy, in this order. On Linux 6.1 it learns
	 * nothing from a comparison with 0, which is what `len >= 1` becomes.
	 */
	room = len + 1;
	barrier_var(room);
	if (room >= 2) {
		len = room - 1;
		barrier_var(len);
		if (len > max || log_copy(c, m, slot->data, len, max)) { /* L5 */
			slot_skip(slot, n);                              /* L7 */
			FULL_BARRIER(XCHG(&slot->seq, n));               /* L8 */
			skip_wake(m->net, port);
			return IPN_DROP_BAD_FRAME;
		}
	}
	slot->len = len;
	slot->src = m->port;
	FULL_BARRIER(XCHG(&slot->seq, n + 1)); /* L6; S1 and S2 of rx.c; R1 and R2 of pool.h */
	if (lossless && port == IPN_PORT_NONE && READ_ONCE(head->waiting)) /* R3 of pool.h */
		pool_moved(id);
	return -1;
}

/*
 * lossless: the network is. port: whose own log this is, IPN_PORT_NONE for the network's. Returns
 * -1 when written, or the enum ipn_drop that tells why not.
 */
INLINE int log_write(const struct ipn_ctx *c, const struct ipn_msg *m, __u32 log_class, __u32 id,
		     __u32 mask, __u32 lossless, __u32 port)
{
	switch (log_class) {
	case IPN_LOG_SMALL:
		return log_write_class(c, m, &ipn_logs_small, IPN_SLOT_SMALL - IPN_SLOT_HDR, id,
				       mask, lossless, port);
	case IPN_LOG_ETH:
		return log_write_class(c, m, &ipn_logs_eth, IPN_SLOT_ETH - IPN_SLOT_HDR, id, mask,
				       lossless, port);
	case IPN_LOG_JUMBO:
		return log_write_class(c, m, &ipn_logs_jumbo, IPN_MTU_MAX, id, mask, lossless,
				       port);
	}
	return IPN_DROP_NO_LOG;
}

#endif
