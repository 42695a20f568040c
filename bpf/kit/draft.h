/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bytes of a message: reading them, changing them in place, and drafts, where a policy makes a
 * message that is not, byte for byte, the one that came.
 */
#ifndef IPN_KIT_DRAFT_H
#define IPN_KIT_DRAFT_H

#include "../core/kit.h"

/*
 * At which hook does the policy run? Both are constants, so the branch that is not taken is no
 * code. A policy made with IPN_POLICY may be at neither: that is a message of a sock port.
 */
static __always_inline int ipn_at_xdp(const struct ipn_ctx *c)
{
	return c->hook == HOOK_XDP;
}

static __always_inline int ipn_at_tc(const struct ipn_ctx *c)
{
	return c->hook == HOOK_TC;
}

/* 1 when the message is one frame with whole checksums; 0 when it is yet to be cut or summed. */
static __always_inline int ipn_is_whole(const struct ipn_ctx *c, const struct ipn_msg *m)
{
	return c->hook != HOOK_TC || m->whole;
}

/*
 * Copies len bytes (a constant, or bounded and not 0) at byte `off` of the message, as it came, to
 * `to`. 0, or a negative number when they are not all there. Not past 12 bytes where a VLAN tag may
 * be: there, use a draft.
 */
static __always_inline long ipn_load(const struct ipn_ctx *c, const struct ipn_msg *m, __u32 off,
				     void *to, __u32 len)
{
	return ctx_load(c, m->off + off, to, len);
}

/*
 * IPN_POLICY_REWRITE: stores len bytes (a constant) at byte `off` of the message, in the frame.
 * sum: 0, or BPF_F_RECOMPUTE_CSUM, which at tc keeps the frame's own checksum right. 0, or a
 * negative number when that is beyond its end: then nothing has changed.
 */
static __always_inline long ipn_store(const struct ipn_ctx *c, const struct ipn_msg *m, __u32 off,
				      void *from, __u32 len, __u64 sum)
{
	if (c->hook == HOOK_XDP)
		return bpf_xdp_store_bytes(c->ctx, m->off + off, from, len);
	return bpf_skb_store_bytes(c->ctx, m->off + off, from, len, sum);
}

/*
 * The draft of this CPU, IPN_DRAFT_SIZE bytes, with what it was left with. NULL: there is none.
 * Drafts are for policies made with IPN_POLICY_SEND and IPN_POLICY_REWRITE.
 */
static __always_inline __u8 *ipn_draft_area(const struct ipn_ctx *c)
{
	return draft_of(c);
}

/*
 * The same with the message in it, from byte `room` on (a constant below IPN_DRAFT_ROOM). NULL when
 * the message cannot be read. Call it once for a message, then write what you like there, and say
 * with ipn_use what of it is the message.
 */
static __always_inline __u8 *ipn_draft(const struct ipn_ctx *c, const struct ipn_msg *m,
				       const __u32 room)
{
	__u8 *draft = draft_of(c);
	__u64 len = m->len, more;

	if (!draft)
		return NULL;
	more = len + 1;
	barrier_var(more);
	if (more < 2)
		return draft;
	len = more - 1;
	barrier_var(len);
	if (len > IPN_MTU_MAX || log_copy(c, m, draft + room, len, IPN_MTU_MAX))
		return NULL;
	return draft;
}

/*
 * From here on the message is what stands in the draft from byte `from` on (below IPN_DRAFT_ROOM),
 * len bytes, for all that is sent and for the decision. Say it again after each change of the
 * draft. 0, or -1 when it is longer than the network's MTU, or `from` too high: then nothing has
 * changed.
 */
static __always_inline long ipn_use(struct ipn_msg *m, __u32 from, __u32 len)
{
	if (len > m->mtu || from >= IPN_DRAFT_ROOM)
		return -1;
	m->draft = DRAFT_USED;
	m->draft_at = from;
	m->len = len;
	return 0;
}

#endif
