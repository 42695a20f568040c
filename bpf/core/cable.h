/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cables: a port of one network and a port of another are the two ends of a veth pair, so what is
 * sent out of one enters the other network like the frame of a device.
 *
 *	hops     how many cables a message has crossed, in skb->mark while it is on a cable, in
 *	         ipn_msg.cable while a program has it, and in the mark again on its way through the
 *	         segmenter. Every crossing adds one, and nothing crosses more than IPN_HOPS_MAX.
 *	raw      a process's message may be no frame at all: it crosses with its private header
 *	         before it. Cables alone can take such frames. It stays raw where a network has no
 *	         interfaces, or for a message that no interface could take; else the message goes
 *	         to interfaces and cables alike without it.
 *	made     a raw message was made a frame again for the interfaces of its new network. What
 *	         the kernel knows of the frame's type is that of the private header, so it goes out
 *	         of interfaces the long way, where the kernel looks again.
 *
 * Whoever can send out of an end of a cable, or set a mark there, rules the fabric's namespace. A
 * frame that comes without our mark is none of ours, and dropped.
 */
#ifndef IPN_BPF_CABLE_H
#define IPN_BPF_CABLE_H

#include "draft.h"
#include "stats.h"

/* Bits of ipn_msg.cable, and with IPN_CABLE_MARK of the mark on a cable. */
#define CABLE_HOPS 0x0f
#define CABLE_RAW 0x10
#define CABLE_MADE 0x20
#define CABLE_MARK_MASK 0xffff0000

/* The mark of the segmenter: an ifindex, or these. The manager sees to it that it has room. */
#define SEGMENTER_CABLE 0x80000000
#define SEGMENTER_HOPS_SHIFT 27
#define SEGMENTER_IFINDEX ((1U << SEGMENTER_HOPS_SHIFT) - 1)

#define VLAN_FRAME_MIN 20 /* the kernel drops tagged frames that are shorter */

INLINE __u32 segmenter_mark(const struct ipn_msg *m)
{
	if (!(m->cable & CABLE_HOPS))
		return m->ifindex;
	return SEGMENTER_CABLE | (m->cable & CABLE_HOPS) << SEGMENTER_HOPS_SHIFT | m->ifindex;
}

INLINE int is_vlan(__be16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD);
}

/* Marks a frame for the next cable. -1: it has crossed as many as it may. */
INLINE int cable_mark(struct __sk_buff *skb, __u32 cable)
{
	if ((cable & CABLE_HOPS) >= IPN_HOPS_MAX)
		return -1;
	WRITE_ONCE(skb->mark, IPN_CABLE_MARK | (cable & CABLE_RAW) | ((cable & CABLE_HOPS) + 1));
	return 0;
}

/* A clone for a cable. The mark is that of others again afterwards. */
INLINE void cable_clone(struct __sk_buff *skb, const struct ipn_port_out *dest, __u32 cable,
			__u32 node, __u32 len)
{
	__u32 mark = skb->mark;

	if (cable_mark(skb, cable)) {
		stats_drop(node, IPN_DROP_HOPS);
		return;
	}
	if (bpf_clone_redirect(skb, dest->ifindex, 0))
		stats_drop(node, IPN_DROP_REDIRECT);
	else
		stats_out(dest->node, len);
	WRITE_ONCE(skb->mark, mark);
}

/*
 * A process's message goes up to the tc program of its tap as it is. What is to become of it stands
 * in its private header, which a process cannot do: its IPN_TX_UP is refused.
 */
INLINE int xdp_up_raw(const struct ipn_ctx *c, const struct ipn_msg *m, __u32 kind, __u32 arg)
{
	struct xdp_md *ctx = c->ctx;
	struct ipn_tx_hdr *hdr = (void *)(long)ctx->data;

	if ((void *)(hdr + 1) > (void *)(long)ctx->data_end) {
		stats_drop(m->node, IPN_DROP_META);
		return XDP_DROP;
	}
	hdr->op = IPN_TX_UP;
	hdr->count = kind;
	__builtin_memcpy(hdr->ticket, &arg, sizeof(arg));
	hdr->proto[0] = IPN_TX_PROTO >> 8;
	hdr->proto[1] = IPN_TX_PROTO & 0xff;
	return XDP_PASS;
}

/* The verdict of xdp_up_raw. -1: there is none. */
INLINE int tc_verdict_raw(struct __sk_buff *skb, struct ipn_verdict *out)
{
	struct ipn_tx_hdr hdr;

	if (bpf_skb_load_bytes(skb, 0, &hdr, sizeof(hdr)) || hdr.op != IPN_TX_UP ||
	    hdr.magic[0] != 'I' || hdr.magic[1] != 'P' || hdr.magic[2] != 'N' || hdr.magic[3] != 1)
		return -1;
	out->kind = hdr.count;
	__builtin_memcpy(&out->arg, hdr.ticket, sizeof(out->arg));
	return 0;
}

/* Could an interface take the message of a process at XDP as a frame? */
INLINE int xdp_is_frame(const struct ipn_ctx *c, const struct ipn_msg *m)
{
	__be16 proto;

	if (m->len < ETH_HLEN || ctx_load(c, m->off + ETH_HLEN - 2, &proto, sizeof(proto)))
		return 0;
	return !is_vlan(proto) || m->len >= VLAN_FRAME_MIN;
}

/*
 * A raw message came to a network where it may have to be a frame: there are interfaces, or a
 * policy that works on frames. Copies it to the front. 0, or the reason to drop it + 1.
 */
INLINE int cable_unwrap(struct __sk_buff *skb, struct ipn_msg *m)
{
	const struct ipn_ctx c = { skb, HOOK_TC, 0 };
	__u32 id = m->net, at_once;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	__u8 *draft = draft_of(&c);
	__u64 len = m->len;
	__be16 proto;

	if (!net || !draft)
		return IPN_DROP_NO_PORT + 1;
	at_once = m->policy == IPN_POLICY_BROADCAST || m->policy == IPN_POLICY_SWITCH;
	if ((at_once && !net->devices) || len < ETH_HLEN)
		return 0;
	if (bpf_skb_load_bytes(skb, IPN_TX_HDR + ETH_HLEN - 2, &proto, sizeof(proto)))
		return IPN_DROP_BAD_FRAME + 1;
	if (is_vlan(proto) && len < VLAN_FRAME_MIN)
		return at_once ? 0 : IPN_DROP_RUNT + 1;
	barrier_var(len);
	if (len < ETH_HLEN)
		return IPN_DROP_RUNT + 1;
	barrier_var(len);
	if (len > IPN_MTU_MAX || bpf_skb_load_bytes(skb, IPN_TX_HDR, draft, len))
		return IPN_DROP_BAD_FRAME + 1;
	if (bpf_skb_change_tail(skb, len, 0))
		return IPN_DROP_BAD_FRAME + 1;
	barrier_var(len);
	if (len < ETH_HLEN)
		return IPN_DROP_RUNT + 1;
	barrier_var(len);
	if (len > IPN_MTU_MAX || bpf_skb_store_bytes(skb, 0, draft, len, BPF_F_INVALIDATE_HASH))
		return IPN_DROP_BAD_FRAME + 1;
	m->off = 0;
	m->cable = (m->cable & CABLE_HOPS) | CABLE_MADE;
	return 0;
}

#endif
