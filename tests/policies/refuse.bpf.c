// SPDX-License-Identifier: GPL-2.0-or-later
/* For tests: to all, and nobody but processes may have a port. */
#include <ipn/policy.h>

static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, struct ipn_msg *m)
{
	return ipn_to_flood();
}
IPN_POLICY_SEND(refuse, handle);

IPN_ON(newport)
{
	return call->kind == IPN_KIND_PROC ? call->port : -13; /* EACCES */
}
