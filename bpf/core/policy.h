/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Running a policy that decides and does nothing else (IPN_POLICY, bpf/kit/policy.h), at each hook.
 *
 * The entry program has found the port, counted the message, and checked the right to send and the
 * MTU. Such a policy may be asked twice for one message (for devices, and for processes behind the
 * segmenter), and sees frames that are yet to be cut.
 */
#ifndef IPN_BPF_POLICY_H
#define IPN_BPF_POLICY_H

#include "deliver.h"
#include "../kit/decision.h"

typedef struct ipn_decision (*policy_fn)(const struct ipn_ctx *, const struct ipn_msg *);

/* One message: where to, and there. */
INLINE int policy_message(const struct ipn_ctx *c, struct ipn_msg *m, struct ipn_net_fast *net,
			  policy_fn handle)
{
	struct ipn_decision v = handle(c, m);

	switch (v.kind) {
	case IPN_DECISION_PORT:
		return deliver_port(c, m, net, v.arg);
	case IPN_DECISION_FLOOD:
		return deliver_flood(c, m, net);
	default:
		return drop(c, m->node, v.arg);
	}
}

/*
 * A batch: many messages of a process in one frame, so that the way through the kernel is paid
 * once. Each is a message like any other; only sleepers are woken once, at the end.
 */
struct batch {
	struct xdp_md *xdp;
	__u32 at; /* in the frame */
	__u32 end;
	__u32 packets, bytes;
	__u32 taken;
	__u32 len; /* of the message, as it came */
};

/* Counts it, unless the pool refused it. */
INLINE void policy_batch_took(struct batch *b, const struct ipn_msg *m)
{
	if (m->refused)
		return;
	b->taken++;
	b->packets++;
	b->bytes += b->len;
}

/* The next message of the batch; NULL: not this one, and *end says whether to go on. */
INLINE struct ipn_msg *policy_batch_next(struct batch *b, long *end)
{
	__u32 zero = 0;
	struct ipn_msg *m = bpf_map_lookup_elem(&ipn_msgs, &zero);
	__u16 len;

	*end = 1;
	if (!m)
		return NULL;
	if (b->at + IPN_TX_LEN > b->end || bpf_xdp_load_bytes(b->xdp, b->at, &len, sizeof(len)) ||
	    b->at + IPN_TX_LEN + len > b->end) {
		stats_drop(m->node, IPN_DROP_BAD_FRAME);
		return NULL;
	}
	*end = 0;
	m->off = b->at + IPN_TX_LEN;
	m->len = b->len = len;
	b->at = m->off + len;
	if (len > m->mtu) {
		stats_drop(m->node, IPN_DROP_MTU);
		b->taken++;
		return NULL;
	}
	return m;
}

/* 1 ends it. */
INLINE long policy_batch_one(struct batch *b, policy_fn handle)
{
	const struct ipn_ctx c = { b->xdp, HOOK_XDP, 0 };
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
	policy_message(&c, m, net, handle);
	policy_batch_took(b, m);
	return m->refused ? 1 : 0;
}

typedef long (*batch_fn)(__u32, struct batch *);

INLINE int policy_batch(struct xdp_md *ctx, const struct ipn_msg *m, struct ipn_net_fast *net,
			batch_fn one)
{
	struct batch b = { .xdp = ctx, .at = IPN_TX_HDR, .end = bpf_xdp_get_buff_len(ctx) };

	bpf_loop(m->batch, one, &b, 0);
	stats_in(m->node, b.packets, b.bytes);
	if (m->refused)
		pool_refuse(ctx, m->node, m->refused, b.taken);
	if (m->wake && READ_ONCE(net->sleep_any))
		wake_sleepers(m->net);
	return XDP_DROP;
}

INLINE int policy_run(void *ctx, const enum ipn_hook_id hook, policy_fn handle, batch_fn one)
{
	const struct ipn_ctx c = { ctx, hook, 0 };
	__u32 zero = 0, id;
	struct ipn_msg *m = bpf_map_lookup_elem(&ipn_msgs, &zero);
	struct ipn_net_fast *net;

	if (unlikely(!m))
		return act_drop(&c);
	id = m->net;
	net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	if (unlikely(!net)) {
		stats_drop(m->node, IPN_DROP_NO_PORT);
		return hook == HOOK_TC && m->host_copy ? TC_PASS : act_drop(&c);
	}
	if (hook == HOOK_XDP && m->batch)
		return policy_batch(ctx, m, net, one);
	if (hook == HOOK_TC && unlikely(m->host_copy)) {
		policy_message(&c, m, net, handle);
		return TC_PASS;
	}
	return policy_message(&c, m, net, handle);
}

/*
 * The port whose socket sent this, its right to send and its message. 0; or 1, and it is dropped.
 * These programs can be interrupted by other hooks, and by themselves: nothing is kept per CPU.
 */
INLINE int policy_sk_start(struct __sk_buff *ctx, struct ipn_msg *m)
{
	__u64 sender = sk_sender(ctx);
	struct ipn_sk *sk = bpf_map_lookup_elem(&ipn_sk_ports, &sender);
	__u32 ifindex = sk ? sk->ifindex : 0, id;
	struct ipn_port_in *port = port_find(ifindex);
	struct ipn_net_fast *net;

	if (!port)
		return 1;
	m->net = id = port->net;
	m->port = port->number;
	m->node = port->node;
	m->gen = port->gen;
	m->mtu = port->mtu;
	m->kind = port->kind;
	m->policy = port->policy;
	m->len = ctx->len;
	m->whole = 1;
	barrier();
	if (READ_ONCE(port->ifindex) != ifindex) /* see msg_start */
		return 1;
	m->ifindex = ifindex;
	net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	if (!net)
		return 1;
	m->port_base = READ_ONCE(net->port_base);
	if (!m->len) {
		const struct ipn_ctx c = { ctx, HOOK_SK, 0 };

		punt(&c, m, IPN_PUNT_BYE, 0, m->gen);
		return 1;
	}
	if (!(port->flags & IPN_PF_WRITER))
		stats_drop(m->node, IPN_DROP_NOT_WRITER);
	else if (!sock_size_ok(m))
		stats_drop(m->node, IPN_DROP_SOCK_SIZE);
	else if (m->len > m->mtu)
		stats_drop(m->node, IPN_DROP_MTU);
	else
		return 0;
	return 1;
}

INLINE int policy_sk(struct __sk_buff *ctx, policy_fn handle)
{
	const struct ipn_ctx c = { ctx, HOOK_SK, 0 };
	struct ipn_msg m = { 0 };
	struct ipn_net_fast *net;
	__u32 id;

	if (policy_sk_start(ctx, &m))
		return SK_DROP;
	stats_in_sk(m.node, m.len);
	id = m.net;
	net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	return net ? policy_message(&c, &m, net, handle) : SK_DROP;
}

#endif
