/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kit of a policy: handlemsg decides who receives a message, IPN_POLICY makes a program of it
 * for every hook.
 *
 *	INLINE struct verdict handle(const struct ipn_ctx *c, const struct ipn_msg *m)
 *	{
 *		return to_flood();
 *	}
 *	IPN_POLICY(name, handle);
 *
 * The entry program has found the port, counted the message, and checked the right to send and the
 * MTU. The name makes the programs ipn_xdp_NAME and ipn_tc_NAME: at most 15 characters each.
 */
#ifndef IPN_BPF_POLICY_H
#define IPN_BPF_POLICY_H

#include "deliver.h"

enum verdict_kind { VERDICT_DROP, VERDICT_PORT, VERDICT_FLOOD };
struct verdict {
	enum verdict_kind kind;
	__u32 arg; /* enum ipn_drop, or the port */
};

INLINE struct verdict to_drop(enum ipn_drop why)
{
	return (struct verdict){ VERDICT_DROP, why };
}

INLINE struct verdict to_port(__u32 port)
{
	return (struct verdict){ VERDICT_PORT, port };
}

/* To all connected ports but the one it came from. */
INLINE struct verdict to_flood(void)
{
	return (struct verdict){ VERDICT_FLOOD, 0 };
}

typedef struct verdict (*policy_fn)(const struct ipn_ctx *, const struct ipn_msg *);

INLINE int policy_run(void *ctx, const enum ipn_hook_id hook, policy_fn handle)
{
	const struct ipn_ctx c = { ctx, hook };
	__u32 zero = 0, id;
	struct ipn_msg *m = bpf_map_lookup_elem(&ipn_msgs, &zero);
	struct ipn_net *net;
	struct verdict v;

	if (!m)
		return act_drop(&c);
	id = m->net;
	net = bpf_map_lookup_elem(&ipn_nets, &id);
	if (!net)
		return drop(&c, m->node, IPN_DROP_NO_PORT);
	v = handle(&c, m);
	switch (v.kind) {
	case VERDICT_PORT:
		return deliver_port(&c, m, net, v.arg);
	case VERDICT_FLOOD:
		return deliver_flood(&c, m, net);
	default:
		return drop(&c, m->node, v.arg);
	}
}

#define IPN_POLICY(name, handle)                           \
	SEC("xdp") int ipn_xdp_##name(struct xdp_md *ctx)  \
	{                                                  \
		return policy_run(ctx, HOOK_XDP, handle);  \
	}                                                  \
	SEC("tc") int ipn_tc_##name(struct __sk_buff *ctx) \
	{                                                  \
		return policy_run(ctx, HOOK_TC, handle);   \
	}                                                  \
	char LICENSE[] SEC("license") = "GPL"

#endif
