// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/core/net_policy.h"

#include <ipn/control.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/core/events.h"
#include "manager/core/objects.h"
#include "manager/policies/policy.h"

bool net_policy_has(const struct net *net, enum ipn_policy_call which)
{
	return policy_has(net->f->policies, net->info.policy, which);
}

int net_policy_call(struct net *net, const struct node *node, enum ipn_policy_call which,
		    struct ipn_call *call)
{
	static struct ipn_call none;

	if (!net_policy_has(net, which))
		return -EOPNOTSUPP;
	if (!call) {
		call = &none;
		memset(call, 0, sizeof(*call));
	}
	call->net = net->id;
	if (which != IPN_CALL_RESIZENET) /* which has it as it will be */
		call->numnodes = net->info.numnodes;
	call->mtu = net->info.mtu;
	if (which != IPN_CALL_NEWPORT) { /* which has filled these in */
		bool asked = which == IPN_CALL_SETSOCKOPT || which == IPN_CALL_GETSOCKOPT ||
			     which == IPN_CALL_IOCTL; /* by whom, the caller has filled in */

		call->port = node ? node->in.number : IPN_PORT_NONE;
		call->kind = node ? node->in.kind : IPN_KIND_NONE;
		call->flags = node ? node->in.flags : 0;
		if (!asked)
			call->uid = node ? node->in.uid : net->info.uid;
	}
	return policy_call(net->f->policies, net->info.policy, which, call);
}

int net_policy_option(struct net *net, const struct node *node, enum ipn_policy_call which,
		      struct ipn_call *call, struct errtext *e)
{
	int r;

	if (policy_has_builtin(net->info.policy, which))
		return policy_call_builtin(net->f->policies, net->id, net->info.numnodes, which,
					   call, e);
	r = net_policy_call(net, node, which, call);
	if (r < 0)
		err_text(e, r, "%s: %s", policy_call_name(which), strerror(-r));
	return r;
}

void net_policy_tell(struct net *net, const struct node *node, enum ipn_policy_call which)
{
	if (net_policy_has(net, which))
		net_policy_call(net, node, which, NULL);
}

int net_policy_newport(struct net *net, enum ipn_kind kind, __u32 flags, __u32 uid, __s32 *want,
		       struct errtext *e)
{
	static struct ipn_call call;
	int r;

	if (!net_policy_has(net, IPN_CALL_NEWPORT))
		return 0;
	memset(&call, 0, sizeof(call));
	call.port = (__u32)*want;
	call.kind = kind;
	call.flags = flags;
	call.uid = uid;
	r = net_policy_call(net, NULL, IPN_CALL_NEWPORT, &call);
	if (r < 0) {
		event_emit(net->f, &(struct event){ .type = EVENT_REFUSED,
						    .net = net,
						    .kind = kind,
						    .uid = uid,
						    .err = -r });
		return err_text(e, r, "the policy of %s refuses the port: %s", net->info.path,
				strerror(-r));
	}
	*want = r;
	return 0;
}

__u32 net_policy_users(const struct fabric *f, __u32 number)
{
	struct net *net, *tmp;
	__u32 n = 0;

	HASH_ITER(hh, f->nets, net, tmp)
		n += net->info.policy == number;
	return n;
}
