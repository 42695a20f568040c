// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A hub that stamps a sequence number into each message: four bytes, big endian, put before it. On
 * a network with interfaces the number follows the Ethernet header instead, as frames need that
 * first; so do not mix. A message that the stamp makes longer than the MTU is dropped.
 */
#include <ipn/policy.h>

#define STAMP 4
#define ETHERNET 14

struct count {
	__u32 next;
};
IPN_NET_DATA(counts, struct count);

static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, struct ipn_msg *m)
{
	struct count *count = ipn_net_data(&counts, m->net);
	__u8 *draft = ipn_draft(c, m, STAMP);
	__u32 stamp;

	if (!count || !draft)
		return ipn_drop(IPN_DROP_POLICY);
	stamp = bpf_htonl((__u32)IPN_FETCH_ADD(&count->next, 1));
	if (ipn_has_interfaces(m) && m->len >= ETHERNET) {
		__builtin_memmove(draft, draft + STAMP, ETHERNET);
		__builtin_memcpy(draft + ETHERNET, &stamp, STAMP);
	} else {
		__builtin_memcpy(draft, &stamp, STAMP);
	}
	if (ipn_use(m, 0, m->len + STAMP))
		return ipn_drop(IPN_DROP_MTU);
	return ipn_to_flood();
}
IPN_POLICY_SEND(stamp, handle);

IPN_ON(newnet)
{
	struct count *count = ipn_net_data(&counts, call->net);

	if (count)
		count->next = 0;
	return 0;
}
