// SPDX-License-Identifier: GPL-2.0-or-later
/* Policy 1, broadcast: every message to all connected nodes but its sender. Any bytes. */
#include <ipn/policy.h>

static __always_inline struct ipn_decision hub(const struct ipn_ctx *c, const struct ipn_msg *m)
{
	return ipn_to_flood();
}
IPN_POLICY(hub, hub);
