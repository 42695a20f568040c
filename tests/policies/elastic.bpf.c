// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A hub for tests of resizenet: refuses odd sizes (EDOM), and shows what it was told by the options
 * 1 (the size) and 2 (how often it was asked).
 */
#include <ipn/policy.h>

#define EDOM 33
#define ENOPROTOOPT 92

struct told {
	__u32 size;
	__u32 times;
};
IPN_NET_DATA(nets, struct told);

static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, struct ipn_msg *m)
{
	return ipn_to_flood();
}
IPN_POLICY_SEND(elastic, handle);

IPN_ON(newnet)
{
	struct told *t = ipn_net_data(&nets, call->net);

	if (t) {
		t->size = call->numnodes;
		t->times = 0;
	}
	return 0;
}

IPN_ON(resizenet)
{
	struct told *t = ipn_net_data(&nets, call->net);

	if (!t)
		return -1;
	t->times++;
	if (call->numnodes % 2)
		return -EDOM;
	t->size = call->numnodes;
	return 0;
}

IPN_ON(getsockopt)
{
	struct told *t = ipn_net_data(&nets, call->net);
	__u32 value;

	if (!t || call->len < sizeof(value) || call->name < 1 || call->name > 2)
		return -ENOPROTOOPT;
	value = call->name == 1 ? t->size : t->times;
	__builtin_memcpy(call->data, &value, sizeof(value));
	call->len = sizeof(value);
	return 0;
}
