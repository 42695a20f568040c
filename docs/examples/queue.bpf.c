// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A work queue: each message goes to one of those who can receive it, in turn. Producers shut their
 * receive side down, or have no r permission, so that they get no work.
 */
#include <ipn/policy.h>

struct turn {
	__u32 last; /* who got the last one */
};
IPN_NET_DATA(turns, struct turn);

static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, struct ipn_msg *m)
{
	struct turn *turn = ipn_net_data(&turns, m->net);
	__u32 last;
	__s32 next;

	if (!turn)
		return ipn_drop(IPN_DROP_POLICY);
	/* somebody on another CPU may take this turn: then the next one is ours */
	for (int i = 0; i < 4; i++) {
		last = IPN_READ_ONCE(turn->last);
		next = ipn_next_reader(m, last);
		if (next < 0)
			return ipn_drop(IPN_DROP_NOT_READER);
		if (IPN_CAS(&turn->last, last, next) == last)
			break;
	}
	return ipn_to_port(next);
}
IPN_POLICY_SEND(queue, handle);

/* The first turn is that of the lowest port. */
IPN_ON(newnet)
{
	struct turn *turn = ipn_net_data(&turns, call->net);

	if (!turn)
		return -22; /* EINVAL */
	turn->last = IPN_PORT_NONE;
	return 0;
}
