// SPDX-License-Identifier: GPL-2.0-or-later
/* Policy 1, broadcast: every message to all connected nodes but its sender. Any bytes. */
#include <ipn/policy.h>

INLINE struct verdict hub(const struct ipn_ctx *c, const struct ipn_msg *m)
{
	return to_flood();
}
IPN_POLICY(hub, hub);
