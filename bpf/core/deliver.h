/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery: what becomes of a policy's decision, by kind of the recipient and by hook.
 *
 *   from \ to   process                           device
 *   XDP (proc,  written into the log              private header off, up with the verdict to the
 *     or xsk)                                     tc program of the same interface, which
 *                                                 redirects; an xsk port: redirected
 *   tc (device) whole frames into the log;        redirect, to the far end where that is in another
 *               others through the segmenter        namespace; to many: a clone each
 *
 * The segmenter is a veth whose near end has all transmit offloads off: what comes out of the far
 * end is one whole frame each, and goes to processes only, since devices have had the frame as it
 * was. The mark carries the ifindex it came from.
 *
 * Sock ports, and what comes from them:
 *
 *   from \ to   process                  device      sock port
 *   SK (sock)   written into the log     punt ring   redirected; a flood: punt ring
 *   XDP, tc                                          punt ring; at tc whole frames only
 *
 * A frame that came into a grabbed interface is the host's: everybody gets a clone, and the program
 * passes it whatever became of the message.
 */
#ifndef IPN_BPF_DELIVER_H
#define IPN_BPF_DELIVER_H

#include "cable.h"
#include "flow.h"
#include "log.h"
#include "sk.h"
#include "stats.h"
#include "wake.h"

/* Does a process send it, who can be told of what became of it? Not so a device that is at XDP. */
INLINE int from_process(const struct ipn_ctx *c, const struct ipn_msg *m)
{
	return c->hook == HOOK_XDP && m->off;
}

INLINE int act_drop(const struct ipn_ctx *c)
{
	return c->hook == HOOK_XDP ? XDP_DROP : c->hook == HOOK_SK ? SK_DROP : TC_DROP;
}

INLINE int drop(const struct ipn_ctx *c, __u32 node, enum ipn_drop why)
{
	stats_drop(node, why);
	return act_drop(c);
}

/*
 * A process's frame goes up to the tc program of its tap, with the verdict in its metadata.
 *
 * Taps take none before Linux 6.15. There the verdict is a VLAN tag, outside of any that the frame
 * has: the kernel takes it off, makes a right skb of the rest, and shows the tag to the tc program
 * apart. Its protocol is the kind, its 16 bits are the port. A process cannot forge it:
 * each frame that passes has got its tag here.
 */
#define TAG_TO_PORT ETH_P_8021Q
#define TAG_TO_FLOOD ETH_P_8021AD
#define TAG_TO_POLICY 1  /* as 16 bits of TAG_TO_FLOOD, which has 0 */
#define TAG_FRAME_MIN 16 /* the kernel looks at two bytes behind the protocol */

struct tagged {
	__u8 mac[12];
	__be16 proto;
	__be16 tci;
};

INLINE int xdp_up_tagged(const struct ipn_ctx *c, const struct ipn_msg *m, __u32 kind, __u32 arg)
{
	struct xdp_md *ctx = c->ctx;
	struct tagged *frame;
	__u8 mac[sizeof(frame->mac)];

	if (m->len < TAG_FRAME_MIN)
		return drop(c, m->node, IPN_DROP_RUNT);
	if (bpf_xdp_load_bytes(ctx, 0, mac, sizeof(mac)) || bpf_xdp_adjust_head(ctx, -TAG_LEN))
		return drop(c, m->node, IPN_DROP_META);
	frame = (void *)(long)ctx->data;
	if ((void *)(frame + 1) > (void *)(long)ctx->data_end)
		return drop(c, m->node, IPN_DROP_META);
	__builtin_memcpy(frame->mac, mac, sizeof(mac));
	frame->proto = kind == IPN_TO_PORT ? bpf_htons(TAG_TO_PORT) : bpf_htons(TAG_TO_FLOOD);
	frame->tci = bpf_htons(arg);
	return XDP_PASS;
}

INLINE int xdp_up(const struct ipn_ctx *c, const struct ipn_msg *m, __u32 kind, __u32 arg)
{
	struct xdp_md *ctx = c->ctx;
	struct ipn_verdict *v;

	if (!xdp_is_frame(c, m))
		return drop(c, m->node, IPN_DROP_RUNT);
	if (m->off && bpf_xdp_adjust_head(ctx, IPN_TX_HDR))
		return drop(c, m->node, IPN_DROP_META);
	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*v)))
		return xdp_up_tagged(c, m, kind, arg);
	v = (void *)(long)ctx->data_meta;
	if ((void *)(v + 1) > (void *)(long)ctx->data)
		return drop(c, m->node, IPN_DROP_META);
	v->magic = IPN_TX_MAGIC;
	v->kind = kind;
	v->arg = arg;
	v->net = m->net;
	return XDP_PASS;
}

/* To an AF_XDP program, whose veth takes frames from XDP: it has a program at its other end. */
INLINE int xdp_to_xsk(const struct ipn_ctx *c, const struct ipn_msg *m,
		      const struct ipn_port_out *dest)
{
	__u32 node = dest->node;

	if (unlikely(!(dest->flags & IPN_PF_UP)))
		return drop(c, m->node, IPN_DROP_PORT_DOWN);
	if (m->off) {
		if (!xdp_is_frame(c, m))
			return drop(c, m->node, IPN_DROP_RUNT);
		if (bpf_xdp_adjust_head(c->ctx, IPN_TX_HDR))
			return drop(c, m->node, IPN_DROP_META);
	}
	if (unlikely(bpf_redirect(dest->ifindex, 0) != XDP_REDIRECT))
		return drop(c, m->node, IPN_DROP_NO_PORT);
	stats_out(node, m->len);
	return XDP_REDIRECT;
}

/* What is for all devices: with its private header where only cables will take it. */
INLINE int xdp_up_flood(const struct ipn_ctx *c, const struct ipn_msg *m,
			const struct ipn_net_fast *net)
{
	if (!net->cables || !m->off)
		return xdp_up(c, m, IPN_TO_FLOOD, 0);
	if (net->devices) {
		if (xdp_is_frame(c, m))
			return xdp_up(c, m, IPN_TO_FLOOD, 0);
		stats_drop(m->node, IPN_DROP_RUNT);
	}
	return xdp_up_raw(c, m, IPN_TO_FLOOD, 0);
}

/*
 * The verdict of xdp_up. Takes it off the frame. *cable becomes CABLE_RAW if it has its private
 * header.
 */
INLINE int tc_verdict(struct __sk_buff *skb, const struct ipn_port_in *port,
		      struct ipn_verdict *out, __u32 *cable)
{
	struct ipn_verdict *v = (void *)(long)skb->data_meta;

	if ((void *)(v + 1) <= (void *)(long)skb->data) {
		*out = *v;
		return v->magic == IPN_TX_MAGIC ? 0 : -1;
	}
	if (!skb->vlan_present) {
		if (tc_verdict_raw(skb, out))
			return -1;
		*cable = CABLE_RAW;
		out->net = port->net;
		barrier();
		return READ_ONCE(port->ifindex) == skb->ifindex ? 0 : -1; /* see msg_start */
	}
	out->kind = skb->vlan_proto == bpf_htons(TAG_TO_PORT) ? IPN_TO_PORT : IPN_TO_FLOOD;
	out->arg = skb->vlan_tci;
	if (out->kind == IPN_TO_FLOOD && out->arg == TAG_TO_POLICY)
		out->kind = IPN_TO_POLICY;
	out->net = port->net;
	barrier();
	if (READ_ONCE(port->ifindex) != skb->ifindex) /* see msg_start */
		return -1;
	return bpf_skb_vlan_pop(skb) ? -1 : 0;
}

/*
 * Too long for a grabbed interface? Its MTU is the host's choice, and not every device looks at it.
 */
INLINE int tc_outgrows(struct __sk_buff *skb, const struct ipn_port_out *dest)
{
	__u32 mtu = 0;

	return dest->kind == IPN_KIND_GRAB &&
	       bpf_check_mtu(skb, dest->ifindex, &mtu, 0, skb->gso_size ? BPF_MTU_CHK_SEGS : 0) > 0;
}

/* cable: that of the message. */
INLINE int tc_to_device(struct __sk_buff *skb, const struct ipn_port_out *dest, __u32 from_node,
			__u32 len, __u32 cable)
{
	if (unlikely(!(dest->flags & IPN_PF_UP))) {
		stats_drop(from_node, IPN_DROP_PORT_DOWN);
		return TC_DROP;
	}
	if (unlikely(tc_outgrows(skb, dest))) {
		stats_drop(from_node, IPN_DROP_MTU);
		return TC_DROP;
	}
	if (unlikely(dest->kind == IPN_KIND_CABLE)) {
		if (cable_mark(skb, cable)) {
			stats_drop(from_node, IPN_DROP_HOPS);
			return TC_DROP;
		}
	} else if (unlikely(cable & CABLE_RAW)) { /* attached just now */
		stats_drop(from_node, IPN_DROP_NO_PORT);
		return TC_DROP;
	}
	stats_out(dest->node, len);
	if (dest->flags & IPN_PF_PEER && !(cable & CABLE_MADE))
		return bpf_redirect_peer(dest->ifindex, 0);
	return bpf_redirect(dest->ifindex, 0);
}

/* The same with a clone: the frame goes on. */
INLINE int tc_clone_to_device(struct __sk_buff *skb, const struct ipn_port_out *dest,
			      __u32 from_node, __u32 len)
{
	if (!(dest->flags & IPN_PF_UP))
		stats_drop(from_node, IPN_DROP_PORT_DOWN);
	else if (tc_outgrows(skb, dest))
		stats_drop(from_node, IPN_DROP_MTU);
	else if (dest->kind == IPN_KIND_CABLE)
		cable_clone(skb, dest, 0, from_node, len);
	else if (bpf_clone_redirect(skb, dest->ifindex, 0))
		stats_drop(from_node, IPN_DROP_REDIRECT);
	else
		stats_out(dest->node, len);
	return TC_PASS;
}

struct tc_flood {
	struct __sk_buff *skb;
	__u32 port_base;
	__u32 from; /* ifindex */
	__u32 node;
	__u32 len;
	__u32 cable;
};

static long tc_flood_one(__u32 i, struct tc_flood *f)
{
	__u32 at = f->port_base + i, *entry = bpf_map_lookup_elem(&ipn_flood_list, &at);
	struct ipn_port_out *dest;

	if (!entry || !*entry)
		return 0;
	at = *entry - 1;
	dest = bpf_map_lookup_elem(&ipn_port_out, &at);
	/* a device that is down, a VM that does not run, is not connected: it is not missed */
	if (!dest || dest->kind <= IPN_KIND_PROC || dest->ifindex == f->from ||
	    !(dest->flags & IPN_PF_UP))
		return 0;
	if (dest->kind == IPN_KIND_CABLE)
		cable_clone(f->skb, dest, f->cable, f->node, f->len);
	else if (f->cable & CABLE_RAW) /* an interface cannot take it */
		return 0;
	else if (tc_outgrows(f->skb, dest))
		stats_drop(f->node, IPN_DROP_MTU);
	else if (bpf_clone_redirect(f->skb, dest->ifindex, 0))
		stats_drop(f->node, IPN_DROP_REDIRECT);
	else
		stats_out(dest->node, f->len);
	return 0;
}

INLINE void tc_flood_devices(struct __sk_buff *skb, const struct ipn_net_fast *net, __u32 from,
			     __u32 node, __u32 len, __u32 cable)
{
	struct tc_flood f = {
		.skb = skb,
		.port_base = net->port_base,
		.from = from,
		.node = node,
		.len = len,
		.cable = cable,
	};

	if (net->flood_len)
		bpf_loop(net->flood_len, tc_flood_one, &f, 0);
}

/* Near end of the segmenter, or 0. */
INLINE __u32 segmenter(void)
{
	__u32 zero = 0;
	struct ipn_abi *abi = bpf_map_lookup_elem(&ipn_abi, &zero);

	return abi ? abi->segmenter : 0;
}

/* A clone for the processes of the network. */
INLINE void to_segmenter(struct __sk_buff *skb, const struct ipn_msg *m, __u32 gw)
{
	__u32 mark = skb->mark;

	WRITE_ONCE(skb->mark, segmenter_mark(m));
	if (bpf_clone_redirect(skb, gw, 0))
		stats_drop(m->node, IPN_DROP_REDIRECT);
	WRITE_ONCE(skb->mark, mark);
}

/*
 * Tells a process that its message was not taken: nothing of it has gone anywhere. It finds its
 * ticket in its page when write() returns.
 */
NOINLINE void pool_refuse(struct xdp_md *ctx, __u32 node, __u64 why, __u32 taken)
{
	__u32 zero = 0, ticket;
	void *pages = bpf_map_lookup_elem(&ipn_pages, &node);
	struct ipn_page *page = pages ? bpf_map_lookup_elem(pages, &zero) : NULL;
	struct ipn_page_process *sender;
	struct ipn_tx_hdr hdr;

	if (!page || bpf_xdp_load_bytes(ctx, 0, &hdr, sizeof(hdr)))
		return;
	sender = page_process(page, hdr.process);
	if (!sender)
		return;
	__builtin_memcpy(&ticket, hdr.ticket, sizeof(ticket));
	WRITE_ONCE(sender->taken, taken);
	WRITE_ONCE(sender->tx_refused, why << 32 | ticket);
}

/* LOSSLESS, a process's message: the log has not taken it. full: as for pool_wait. */
INLINE void pool_refused(const struct ipn_ctx *c, struct ipn_msg *m, int why, __u32 full)
{
	m->refused = (why == IPN_DROP_POOL ? IPN_TX_FULL : IPN_TX_AGAIN) >> 32;
	m->refused |= full << IPN_TX_LOG_SHIFT;
	if (m->batch) /* policy_batch does it at the end */
		return;
	pool_refuse(c->ctx, m->node, m->refused, 0);
	stats_in_undo(m->node, m->len);
}

/* To a frame's processes and sock ports, behind the segmenter. */
INLINE int divert_to_segmenter(const struct ipn_ctx *c, const struct ipn_msg *m)
{
	__u32 gw = segmenter();

	if (!gw)
		return drop(c, m->node, IPN_DROP_SEGMENTER);
	if (m->host_copy) {
		to_segmenter(c->ctx, m, gw);
		return act_drop(c);
	}
	WRITE_ONCE(((struct __sk_buff *)c->ctx)->mark, segmenter_mark(m));
	return bpf_redirect(gw, 0);
}

INLINE int sock_size_ok(const struct ipn_msg *m)
{
	return m->len >= IPN_SOCK_FRAME_MIN && m->len <= IPN_SOCK_FRAME_MAX;
}

INLINE int deliver_sock(const struct ipn_ctx *c, const struct ipn_msg *m,
			const struct ipn_port_out *dest, __u32 port)
{
	__u32 node = dest->node;

	if (c->hook == HOOK_TC && !m->whole)
		return divert_to_segmenter(c, m);
	if (!sock_size_ok(m))
		return drop(c, m->node, IPN_DROP_SOCK_SIZE);
	if (c->hook != HOOK_SK) {
		punt(c, m, IPN_PUNT_PORT, port, dest->gen);
		return act_drop(c);
	}
	if (sk_slow(node))
		return drop(c, node, IPN_DROP_SLOW);
	stats_out_sk(node, m->len);
	return bpf_sk_redirect_map(c->ctx, &ipn_socks, node, 0);
}

INLINE int deliver_port(const struct ipn_ctx *c, struct ipn_msg *m, struct ipn_net_fast *net,
			__u32 port)
{
	__u32 at = m->port_base + port;
	/* the manager gives no LOSSLESS network to a policy that sends; the stack would not do */
	__u32 lossless = c->sends ? 0 : net->flags & IPN_FLAG_LOSSLESS;
	struct ipn_port_out *dest = bpf_map_lookup_elem(&ipn_port_out, &at);
	int why;

	if (unlikely(!dest || port >= net->numnodes || !dest->kind))
		return drop(c, m->node, IPN_DROP_NO_PORT);
	if (dest->kind != IPN_KIND_PROC) {
		/* the manager gives no sock ports to a policy that sends, either */
		if (c->sends != POLICY_SENDS && unlikely(dest->kind == IPN_KIND_SOCK))
			return deliver_sock(c, m, dest, port);
		if (c->hook == HOOK_SK) {
			punt(c, m, IPN_PUNT_PORT, port, dest->gen);
			return act_drop(c);
		}
		if (unlikely(m->batch)) /* attached just now: a batch is for processes */
			return drop(c, m->node, IPN_DROP_NO_PORT);
		/* was for a process when it went into the segmenter */
		if (unlikely(m->processes_only))
			return drop(c, m->node, IPN_DROP_NO_PORT);
		if (c->hook == HOOK_XDP) {
			if (dest->kind == IPN_KIND_XSK && !(dest->flags & IPN_PF_OWN))
				return xdp_to_xsk(c, m, dest);
			if (dest->kind == IPN_KIND_CABLE && m->off)
				return xdp_up_raw(c, m, IPN_TO_PORT, port);
			return xdp_up(c, m, IPN_TO_PORT, port);
		}
		if (unlikely(m->host_copy))
			return tc_clone_to_device(c->ctx, dest, m->node, m->len);
		return tc_to_device(c->ctx, dest, m->node, m->len, m->cable);
	}
	if (!(dest->flags & IPN_PF_READER))
		return drop(c, m->node, IPN_DROP_NOT_READER);
	if (c->hook == HOOK_TC && !m->whole)
		return divert_to_segmenter(c, m);
	why = log_write(c, m, net->log_class, IPN_LOG_OF_NODE(dest->node), net->log_mask, lossless,
			port);
	if (why >= 0 && lossless && from_process(c, m) &&
	    (why == IPN_DROP_POOL || why == IPN_DROP_BUSY)) {
		pool_refused(c, m, why, port + 1);
		return act_drop(c);
	}
	if (why >= 0)
		return drop(c, m->node, why);
	wake_one(net, m->net, port);
	return act_drop(c);
}

/* Returns 0, or 1 when the message was refused. */
INLINE int flood_processes(const struct ipn_ctx *c, struct ipn_msg *m, struct ipn_net_fast *net)
{
	__u32 id = m->net, gw, lossless = c->sends ? 0 : net->flags & IPN_FLAG_LOSSLESS;
	int why;

	if (c->hook == HOOK_TC && !m->whole) {
		gw = segmenter();
		if (gw)
			to_segmenter(c->ctx, m, gw);
		else
			stats_drop(m->node, IPN_DROP_SEGMENTER);
		return 0;
	}
	why = log_write(c, m, net->log_class, IPN_LOG_OF_NET(id), net->log_mask, lossless,
			IPN_PORT_NONE);
	if (why >= 0 && lossless && from_process(c, m) &&
	    (why == IPN_DROP_POOL || why == IPN_DROP_BUSY)) {
		pool_refused(c, m, why, 0);
		return 1;
	}
	if (why >= 0) {
		stats_drop(m->node, why);
		return 0;
	}
	if (m->batch)
		m->wake = 1; /* at its end */
	else if (READ_ONCE(net->sleep_any))
		wake_sleepers(id);
	return 0;
}

/* To sock ports, and from one also to devices. */
INLINE void flood_socks(const struct ipn_ctx *c, const struct ipn_msg *m,
			const struct ipn_net_fast *net)
{
	__u32 op = IPN_PUNT_SOCKS, gw;

	if (c->hook == HOOK_SK) {
		op = READ_ONCE(net->socks) > 1 ? IPN_PUNT_SOCKS : 0;
		op |= READ_ONCE(net->flood_len) ? IPN_PUNT_DEVICES : 0;
		if (!op)
			return;
	} else if (c->hook == HOOK_TC && !m->whole) {
		gw = segmenter();
		if (READ_ONCE(net->readers)) /* it went there for the processes */
			return;
		if (gw)
			to_segmenter(c->ctx, m, gw);
		else
			stats_drop(m->node, IPN_DROP_SEGMENTER);
		return;
	}
	if (sock_size_ok(m))
		punt(c, m, op, 0, 0);
	else
		stats_drop(m->node, IPN_DROP_SOCK_SIZE);
}

INLINE int deliver_flood(const struct ipn_ctx *c, struct ipn_msg *m, struct ipn_net_fast *net)
{
	if (READ_ONCE(net->readers) && flood_processes(c, m, net))
		return act_drop(c);
	if (READ_ONCE(net->socks))
		flood_socks(c, m, net);
	if (c->hook == HOOK_SK)
		return act_drop(c);
	if (!m->processes_only && !m->batch && READ_ONCE(net->flood_len)) {
		if (c->hook == HOOK_XDP)
			return xdp_up_flood(c, m, net);
		tc_flood_devices(c->ctx, net, m->ifindex, m->node, m->len, m->cable);
	}
	return act_drop(c);
}

#endif
