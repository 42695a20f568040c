/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The private half of the kit (bpf/kit): running a policy that sends (IPN_POLICY_SEND) or rewrites
 * (IPN_POLICY_REWRITE), and what the functions of bpf/kit/send.h, draft.h and call.h rest on.
 *
 * Where a policy that sends sees a message:
 *
 *   from a process   at XDP while the network has no device; else one stage later, in the tc
 *                    program of the same tap, where a frame can be sent to many devices. A message
 *                    too short for devices (14 bytes) stays at XDP.
 *   from a device    at tc; a frame that is yet to be cut or has no checksum goes through the
 *                    segmenter first, and the policy sees what comes out. Of a grabbed interface, a
 *                    clone of every frame does: the host's own is not touched.
 *
 * Its messages to devices are copies of the frame; to processes, an entry in each recipient's own
 * log.
 *
 * A policy that rewrites gets frames as they are, not cut, and one decision brings them to one port
 * by the short way. To a process go whole frames only. A grabbed interface's frames all go by the
 * segmenter, as clones, since the host is to see them as they came, and so do those of sock ports,
 * which the manager's thread puts there. A batch is refused: its messages come singly.
 */
#ifndef IPN_BPF_KIT_H
#define IPN_BPF_KIT_H

#include "policy.h"
#include "../kit/ports.h"

#define DEVICE_MIN 14 /* an Ethernet header */

/* --- the message --------------------------------------------------------------------------- */

/* Makes the frame at tc what the draft is. 0, or the reason to drop it + 1. */
INLINE int draft_into_frame(const struct ipn_ctx *c, struct ipn_msg *m)
{
	struct __sk_buff *skb = c->ctx;
	__u32 from = m->draft_at & (IPN_DRAFT_ROOM - 1);
	__u64 len = m->len;
	__u8 *draft;

	if (len < DEVICE_MIN)
		return IPN_DROP_RUNT + 1;
	if (m->draft != DRAFT_USED)
		return 0;
	/* the tag apart is one of the frame that was; an inner one may take its place */
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return IPN_DROP_BAD_FRAME + 1;
	if (skb->vlan_present && bpf_skb_vlan_pop(skb))
		return IPN_DROP_BAD_FRAME + 1;
	if (bpf_skb_change_tail(skb, len, 0))
		return IPN_DROP_BAD_FRAME + 1;
	draft = draft_of(c);
	barrier_var(len);
	if (!draft || len < DEVICE_MIN)
		return IPN_DROP_BAD_FRAME + 1;
	barrier_var(len);
	if (len > IPN_MTU_MAX ||
	    bpf_skb_store_bytes(skb, 0, draft + from, len, BPF_F_INVALIDATE_HASH))
		return IPN_DROP_BAD_FRAME + 1;
	m->vlan = 0;
	m->draft = DRAFT_IN_FRAME;
	return 0;
}

/* --- sending ------------------------------------------------------------------------------- */

INLINE void send_device(const struct ipn_ctx *c, struct ipn_msg *m, const struct ipn_port_out *dest,
			__u32 port)
{
	int why;

	if (c->hook != HOOK_TC) {
		/* attached just now, or a message that is too short for any device */
		stats_drop(m->node, m->len < DEVICE_MIN ? IPN_DROP_RUNT : IPN_DROP_NO_PORT);
		return;
	}
	if (!(dest->flags & IPN_PF_UP) && dest->kind != IPN_KIND_SOCK) {
		stats_drop(m->node, IPN_DROP_PORT_DOWN);
		return;
	}
	why = draft_into_frame(c, m);
	if (why) {
		stats_drop(m->node, why - 1);
		return;
	}
	if (c->sends != POLICY_SENDS && dest->kind == IPN_KIND_SOCK)
		deliver_sock(c, m, dest, port);
	else if (tc_outgrows(c->ctx, dest))
		stats_drop(m->node, IPN_DROP_MTU);
	else if (dest->kind == IPN_KIND_CABLE)
		cable_clone(c->ctx, dest, m->cable, m->node, m->len);
	else if (bpf_clone_redirect(c->ctx, dest->ifindex, 0))
		stats_drop(m->node, IPN_DROP_REDIRECT);
	else
		stats_out(dest->node, m->len);
}

INLINE void send_port(const struct ipn_ctx *c, struct ipn_msg *m, struct ipn_net_fast *net,
		      __u32 port)
{
	__u32 at = m->port_base + port;
	struct ipn_port_out *dest = bpf_map_lookup_elem(&ipn_port_out, &at);

	if (!dest || port >= net->numnodes || !dest->kind)
		stats_drop(m->node, IPN_DROP_NO_PORT);
	else if (dest->kind != IPN_KIND_PROC)
		send_device(c, m, dest, port);
	else
		deliver_port(c, m, net, port);
}

INLINE void send_flood(const struct ipn_ctx *c, struct ipn_msg *m, struct ipn_net_fast *net)
{
	int why;

	if (READ_ONCE(net->readers))
		flood_processes(c, m, net);
	if (m->batch || !READ_ONCE(net->flood_len))
		return;
	if (c->hook != HOOK_TC) {
		stats_drop(m->node, m->len < DEVICE_MIN ? IPN_DROP_RUNT : IPN_DROP_NO_PORT);
		return;
	}
	why = draft_into_frame(c, m);
	if (why)
		stats_drop(m->node, why - 1);
	else
		tc_flood_devices(c->ctx, net, m->ifindex, m->node, m->len, m->cable);
}

/* --- sets ---------------------------------------------------------------------------------- */

struct set_send {
	void *ctx;
	struct ipn_msg *m;
	struct ipn_net_fast *net;
	__u64 bits;
	__u32 first;
};

INLINE long set_bit_send(const struct ipn_ctx *c, __u32 i, struct set_send *s)
{
	__u32 port = s->first + i;

	if (i < 64 && s->bits >> i & 1 && port != s->m->port)
		send_port(c, s->m, s->net, port);
	return 0;
}

static __attribute__((unused)) long set_bit_xdp(__u32 i, struct set_send *s)
{
	const struct ipn_ctx c = { s->ctx, HOOK_XDP, 1 };

	return set_bit_send(&c, i, s);
}

static __attribute__((unused)) long set_bit_tc(__u32 i, struct set_send *s)
{
	const struct ipn_ctx c = { s->ctx, HOOK_TC, 1 };

	return set_bit_send(&c, i, s);
}

struct set_words {
	struct set_send one;
	const struct ipn_ports *ports;
	enum ipn_hook_id hook;
};

static __attribute__((unused)) long set_word_xdp(__u32 i, struct set_words *w)
{
	w->one.bits = READ_ONCE(w->ports->bits[i & (IPN_SLEEP_WORDS - 1)]);
	w->one.first = i * 64;
	if (w->one.bits)
		bpf_loop(64, set_bit_xdp, &w->one, 0);
	return 0;
}

static __attribute__((unused)) long set_word_tc(__u32 i, struct set_words *w)
{
	w->one.bits = READ_ONCE(w->ports->bits[i & (IPN_SLEEP_WORDS - 1)]);
	w->one.first = i * 64;
	if (w->one.bits)
		bpf_loop(64, set_bit_tc, &w->one, 0);
	return 0;
}

struct next_reader {
	__u32 port_base, numnodes, after, self;
	__s32 found;
};

static __attribute__((unused)) long next_reader_one(__u32 i, struct next_reader *n)
{
	__u32 port = n->after + 1 + i, at;
	struct ipn_port_out *dest;

	if (port >= n->numnodes)
		port -= n->numnodes;
	if (port == n->self)
		return 0;
	at = n->port_base + port;
	dest = bpf_map_lookup_elem(&ipn_port_out, &at);
	if (!dest || !dest->kind)
		return 0;
	if (dest->kind == IPN_KIND_PROC ? !(dest->flags & IPN_PF_READER)
					: !(dest->flags & IPN_PF_UP))
		return 0;
	n->found = port;
	return 1;
}

/* --- handlemsg ----------------------------------------------------------------------------- */

typedef struct ipn_decision (*send_fn)(const struct ipn_ctx *, struct ipn_msg *);

/*
 * send_message for one hook, as a function of its own: the program and what it does for each
 * message of a batch share it, and so it is on the stack, which is short, once.
 */
typedef int (*message_fn)(void *ctx, struct ipn_msg *, struct ipn_net_fast *);

INLINE int send_message(const struct ipn_ctx *c, struct ipn_msg *m, struct ipn_net_fast *net,
			send_fn handle)
{
	struct ipn_decision v;

	m->draft = DRAFT_NONE;
	m->draft_at = 0;
	v = handle(c, m);
	switch (v.kind) {
	case IPN_DECISION_PORT:
		send_port(c, m, net, v.arg);
		break;
	case IPN_DECISION_FLOOD:
		send_flood(c, m, net);
		break;
	case IPN_DECISION_NONE:
		break;
	default:
		stats_drop(m->node, v.arg);
	}
	return act_drop(c);
}

INLINE long send_batch_one(struct batch *b, message_fn message)
{
	struct ipn_net_fast *net;
	struct ipn_msg *m;
	long end;
	__u32 id;

	m = policy_batch_next(b, &end);
	if (!m)
		return end;
	id = m->net;
	net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	if (!net)
		return 1;
	m->processes_only = 1;
	message(b->xdp, m, net);
	policy_batch_took(b, m);
	return m->refused ? 1 : 0;
}

INLINE int send_run(void *ctx, const enum ipn_hook_id hook, message_fn message, batch_fn one)
{
	const struct ipn_ctx c = { ctx, hook, 1 };
	__u32 zero = 0, id, gw;
	struct ipn_msg *m = bpf_map_lookup_elem(&ipn_msgs, &zero);
	struct ipn_net_fast *net;

	if (!m)
		return act_drop(&c);
	id = m->net;
	net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	if (!net) {
		stats_drop(m->node, IPN_DROP_NO_PORT);
		return hook == HOOK_TC && m->host_copy ? TC_PASS : act_drop(&c);
	}
	if (hook == HOOK_XDP) {
		if (m->batch)
			return policy_batch(ctx, m, net, one);
		if (READ_ONCE(net->flood_len) && m->len >= DEVICE_MIN)
			return xdp_up(&c, m, IPN_TO_POLICY, TAG_TO_POLICY);
	} else if (m->host_copy) {
		/* what the policy makes of it, it makes of a clone: the host gets it as it came */
		gw = segmenter();
		if (gw)
			to_segmenter(ctx, m, gw);
		else
			stats_drop(m->node, IPN_DROP_SEGMENTER);
		return TC_PASS;
	} else if (!m->whole) {
		gw = segmenter();
		if (!gw)
			return drop(&c, m->node, IPN_DROP_SEGMENTER);
		WRITE_ONCE(((struct __sk_buff *)ctx)->mark, segmenter_mark(m));
		return bpf_redirect(gw, 0);
	}
	m->processes_only = hook == HOOK_XDP;
	return message(ctx, m, net);
}

/* --- rewriting ------------------------------------------------------------------------------ */

INLINE int rewrite_run(void *ctx, const enum ipn_hook_id hook, send_fn handle)
{
	const struct ipn_ctx c = { ctx, hook, POLICY_REWRITES };
	__u32 zero = 0, id, gw;
	struct ipn_msg *m = bpf_map_lookup_elem(&ipn_msgs, &zero);
	struct ipn_net_fast *net;
	struct ipn_decision v;

	if (!m)
		return act_drop(&c);
	id = m->net;
	net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	if (unlikely(!net))
		return drop(&c, m->node, IPN_DROP_NO_PORT);
	/* the policy thinks of a process there, which it can answer */
	if (hook == HOOK_XDP && !m->off)
		return xdp_up(&c, m, IPN_TO_POLICY, TAG_TO_POLICY);
	if (hook == HOOK_XDP && unlikely(m->batch)) {
		pool_refuse(ctx, m->node, IPN_TX_REFUSED >> 32, 0);
		return XDP_DROP;
	}
	if (hook == HOOK_TC && unlikely(m->host_copy)) {
		gw = segmenter();
		if (gw)
			to_segmenter(ctx, m, gw);
		else
			stats_drop(m->node, IPN_DROP_SEGMENTER);
		return TC_PASS;
	}
	m->processes_only = 0; /* what was in the segmenter has not been anywhere else */
	m->draft = DRAFT_NONE;
	m->draft_at = 0;
	v = handle(&c, m);
	switch (v.kind) {
	case IPN_DECISION_PORT:
		return deliver_port(&c, m, net, v.arg);
	case IPN_DECISION_DEVICES:
		if (hook == HOOK_XDP)
			return xdp_up(&c, m, IPN_TO_POLICY, TAG_TO_POLICY);
		return drop(&c, m->node, IPN_DROP_NO_PORT);
	case IPN_DECISION_WHOLE:
		if (hook == HOOK_TC && !m->whole)
			return divert_to_segmenter(&c, m);
		return drop(&c, m->node, IPN_DROP_SEGMENTER);
	case IPN_DECISION_NONE:
		return act_drop(&c);
	default:
		return drop(&c, m->node, v.arg);
	}
}

/*
 * From a sock port. Its program cannot write into the message and has no memory of its own, so the
 * policy sees it at tc: the manager's thread puts it into the segmenter, with the port as its mark.
 */
INLINE int rewrite_sk(struct __sk_buff *ctx)
{
	const struct ipn_ctx c = { ctx, HOOK_SK, 0 };
	struct ipn_msg m = { 0 };

	if (policy_sk_start(ctx, &m))
		return SK_DROP;
	stats_in_sk(m.node, m.len);
	punt(&c, &m, IPN_PUNT_POLICY, 0, m.gen);
	return SK_DROP;
}

/* --- messages of callbacks ------------------------------------------------------------------ */

/* The message of a callback: from nobody. */
INLINE struct ipn_net_fast *call_message(const struct ipn_call *call, __u32 len, struct ipn_msg *m)
{
	__u32 id = call->net;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	if (!net || !net->policy || len > net->mtu)
		return NULL;
	m->net = id;
	m->port = IPN_PORT_NONE;
	m->len = len;
	m->port_base = net->port_base;
	return net;
}

#endif
