// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The programs count when a sender is refused, and note since when (bpf/core/pool.h); who it is
 * that does not read, they count again when they are asked. So messages cost nothing more for it.
 */
#include "manager/core/held.h"

#include <ipn/af_ipn.h>
#include <time.h>

#include "manager/core/objects.h"
#include "manager/kernel/bpf.h"

void held_look(struct held *held, const struct net *net)
{
	if (held->net == net)
		return;
	*held = (struct held){ .net = net };
	if (net->info.flags & IPN_FLAG_LOSSLESS &&
	    bpf_pool_held(net->f->bpf, net->id, 0, &held->holder, &held->since))
		held->holder = 0;
}

__u64 held_since(const struct held *held, const struct node *node)
{
	const struct net *net = node->net;
	__u32 holder = 0;
	__u64 since = 0;

	if (!(net->info.flags & IPN_FLAG_LOSSLESS) || !node->page)
		return 0;
	if (held->holder == node->in.number + 1)
		return held->since;
	if (net->info.policy == IPN_POLICY_BROADCAST ||
	    bpf_pool_held(net->f->bpf, net->id, node->in.number + 1, &holder, &since))
		return 0;
	return holder ? since : 0;
}

__u64 held_ms(__u64 since)
{
	struct timespec ts;
	__u64 now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	now = (__u64)ts.tv_sec * 1000000000ULL + (__u64)ts.tv_nsec;
	return now > since + 1000000 ? (now - since) / 1000000 : 1;
}
