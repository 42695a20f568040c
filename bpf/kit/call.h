/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Callbacks: what the manager tells and asks a policy. docs/policies.md has a table of them. */
#ifndef IPN_KIT_CALL_H
#define IPN_KIT_CALL_H

#include "../core/kit.h"

/*
 * IPN_ON(setsockopt) { ... return 0; }: a callback, with `call` (struct ipn_call in policy_abi.h)
 * for its arguments. Run by the manager, one at a time in the whole fabric. Returns 0 or -errno;
 * newport the number of the port.
 */
#define IPN_ON(what)                                                                 \
	static __always_inline int ipn__on_##what(struct ipn_call *call);            \
	SEC("syscall") int ipn_##what(void *ctx)                                     \
	{                                                                            \
		__u32 ipn__zero = 0;                                                 \
		struct ipn_call *call = bpf_map_lookup_elem(&ipn_calls, &ipn__zero); \
                                                                                     \
		return call ? ipn__on_##what(call) : -1;                             \
	}                                                                            \
	static __always_inline int ipn__on_##what(struct ipn_call *call)

/* In a callback: where to make a message, IPN_DRAFT_SIZE bytes. NULL: there is none. */
static __always_inline __u8 *ipn_call_draft(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ipn_drafts, &zero);
}

/*
 * In a callback: sends the first len bytes of ipn_call_draft() to the process at a port of the
 * network, from IPN_PORT_NONE. 0, or -1: too long, no process that receives is there, or its log
 * could not take it.
 */
static __always_inline int ipn_call_send(const struct ipn_call *call, __u32 port, __u32 len)
{
	const struct ipn_ctx c = { NULL, HOOK_CALL, 1 };
	struct ipn_msg m = { 0 };
	struct ipn_net_fast *net = call_message(call, len, &m);
	struct ipn_port_out *dest;
	__u32 at;

	if (!net || port >= net->numnodes)
		return -1;
	at = net->port_base + port;
	dest = bpf_map_lookup_elem(&ipn_port_out, &at);
	if (!dest || dest->kind != IPN_KIND_PROC || !(dest->flags & IPN_PF_READER))
		return -1;
	if (log_write(&c, &m, net->log_class, IPN_LOG_OF_NODE(dest->node), net->log_mask, 0,
		      port) >= 0)
		return -1;
	wake_one(net, m.net, port);
	return 0;
}

/* The same to all processes that receive. 0, or -1: too long, or the log could not take it. */
static __always_inline int ipn_call_flood(const struct ipn_call *call, __u32 len)
{
	const struct ipn_ctx c = { NULL, HOOK_CALL, 1 };
	struct ipn_msg m = { 0 };
	struct ipn_net_fast *net = call_message(call, len, &m);

	if (!net || log_write(&c, &m, net->log_class, IPN_LOG_OF_NET(call->net), net->log_mask, 0,
			      IPN_PORT_NONE) >= 0)
		return -1;
	if (READ_ONCE(net->sleep_any))
		wake_sleepers(call->net);
	return 0;
}

#endif
