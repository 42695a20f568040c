// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A network gets more ports, or fewer, while programs forward its messages.
 *
 * Its ports stand in a row in `port_out`, its devices in `flood_list`, from net_fast[id].port_base
 * on. If the row can stay where it is, the new size is all that changes. Otherwise it moves:
 *	1. the new place is cleared, and what stands at the old one is copied there. Nobody else
 *	   writes these maps, so both places are right from here on.
 *	2. `net_info`: a new manager goes on with the new place. Whatever of the following steps was
 *	   not done, adopt.c does.
 *	3. net_fast[id].port_base, one store: each program takes it once per message, and finds
 *	   the same in either place
 *	4. net_fast[id].numnodes
 *	5. all programs that began before end: nobody looks at the old place any more
 *	6. net_fast[id].flood_len, if the list of devices became shorter; not before 5, where a
 *	   program with the old place would have passed over its last devices
 *	7. the old place is cleared
 * The list of devices has holes; when the network gets so small that its end would not fit, it
 * moves, and the copy has none. Programs may see the new place with the old size and the old length
 * of the list, so the new place has room for both, though the rest is not kept.
 * Sleep bits are by port number, and `port_in` and the learned addresses do not say where a network
 * stands, so all of them stay.
 *
 * The policy is asked before all that (resizenet): if it refuses, nothing has changed. If a step
 * fails after it has agreed, it is told the old size again.
 */
#include "manager/core/resize.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/quota.h"
#include "manager/core/net.h"
#include "manager/core/net_policy.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/core/punt.h"
#include "manager/kernel/bpf.h"

/* Every change of a map of maps waits for running programs: the log is put where it is. */
void net_wait_programs(struct net *net)
{
	__u32 at = net->shut ? IPN_LOG_OF_OLD(net->id) : IPN_LOG_OF_NET(net->id);
	int r = bpf_programs_wait(net->f->bpf->fd_logs[net->log_class], at, net->log_fd);

	if (r)
		log_err("network %s: cannot wait for programs: %s", net->info.path, strerror(-r));
	punt_wait(net->f);
}

static bool is_device(const struct node *node)
{
	return node->kind->flags & KIND_DEVICE;
}

/* May the network have n ports where it stands? */
static bool can_stay(struct net *net, __u32 n)
{
	__u32 base = net->info.port_base, end = base + n;
	struct net *other, *tmp;

	if (net->f->bpf->net_fast[net->id].flood_len > n || end > IPN_MAX_PORTS)
		return false;
	HASH_ITER(hh, net->f->nets, other, tmp) {
		if (other != net && other->info.port_base < end &&
		    base < other->info.port_base + other->info.numnodes)
			return false;
	}
	return true;
}

/* Step 1. Gives devices new places in their list: *floods is its length. */
static int copy_to(struct net *net, __u32 base, __u32 *floods)
{
	struct bpf_state *b = net->f->bpf;

	*floods = 0;
	for (__u32 i = 0; i < net->info.numnodes; i++) {
		__u32 from = net->info.port_base + i, to = base + i, entry = to + 1, at;
		struct node *node = net->ports[i];
		struct ipn_port_out dest;

		if (!node)
			continue;
		if (bpf_map_lookup_elem(b->fd_port_out, &from, &dest) ||
		    bpf_map_update_elem(b->fd_port_out, &to, &dest, BPF_ANY))
			return -errno;
		if (!is_device(node))
			continue;
		at = base + (*floods)++;
		if (bpf_map_update_elem(b->fd_flood_list, &at, &entry, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int move(struct net *net, const struct ipn_net_info *now, __u32 floods)
{
	struct fabric *f = net->f;
	struct ipn_net_fast *fast = &f->bpf->net_fast[net->id];
	__u32 old_base = net->info.port_base, old_numnodes = net->info.numnodes, flood = 0;

	if (bpf_map_update_elem(f->bpf->fd_net_info, &net->id, now, BPF_ANY)) /* 2 */
		return -errno;
	__atomic_store_n(&fast->port_base, now->port_base, __ATOMIC_RELEASE); /* 3 */
	__atomic_store_n(&fast->numnodes, now->numnodes, __ATOMIC_RELEASE);   /* 4 */
	net_wait_programs(net);                                               /* 5 */
	__atomic_store_n(&fast->flood_len, floods, __ATOMIC_RELEASE);         /* 6 */
	net_place_clear(f, old_base, old_numnodes);                           /* 7 */
	net->info.port_base = now->port_base;
	for (__u32 i = 0; i < old_numnodes; i++) {
		struct node *node = net->ports[i];

		if (!node || !is_device(node))
			continue;
		node->in.flood_at = flood++;
		if (node_store(node)) /* for people, and adopt.c looks for it */
			log_warning("port %u of %s: cannot store its place", i, net->info.path);
	}
	return 0;
}

static int place(struct net *net, struct ipn_net_info *now, struct errtext *e)
{
	__u32 room = now->numnodes, floods;
	int r;

	if (room < net->info.numnodes)
		room = net->info.numnodes;
	r = net_place(net->f, room, &now->port_base);
	if (r)
		return err_text(e, r, "no room for %u ports in the fabric", now->numnodes);
	r = copy_to(net, now->port_base, &floods);
	if (!r)
		r = move(net, now, floods);
	if (r) {
		net_place_clear(net->f, now->port_base, room);
		return err_text(e, r, "cannot move the ports: %s", strerror(-r));
	}
	return 0;
}

static int stay(struct net *net, const struct ipn_net_info *now, struct errtext *e)
{
	struct fabric *f = net->f;

	if (now->numnodes > net->info.numnodes)
		net_place_clear(f, now->port_base + net->info.numnodes,
				now->numnodes - net->info.numnodes);
	if (bpf_map_update_elem(f->bpf->fd_net_info, &net->id, now, BPF_ANY))
		return err_text(e, -errno, "cannot store the size: %s", strerror(errno));
	__atomic_store_n(&f->bpf->net_fast[net->id].numnodes, now->numnodes, __ATOMIC_RELEASE);
	return 0;
}

static int ask_policy(struct net *net, __u32 numnodes)
{
	static struct ipn_call call;

	if (!net_policy_has(net, IPN_CALL_RESIZENET))
		return 0;
	memset(&call, 0, sizeof(call));
	call.numnodes = numnodes;
	return net_policy_call(net, NULL, IPN_CALL_RESIZENET, &call);
}

/* Places count for who made the network. */
static int quota_check(struct net *net, __u32 numnodes, struct errtext *e)
{
	struct users *users = net->f->users;
	struct user *u = user_get(users, net->info.account);

	if (!u)
		return -ENOMEM;
	return numnodes <= net->info.numnodes
		       ? 0
		       : user_may(users, u, QUOTA_PLACES, numnodes - net->info.numnodes, e);
}

static void quota_change(struct net *net, __u32 numnodes)
{
	struct users *users = net->f->users;
	struct user *u = user_get(users, net->info.account);

	if (!u)
		return; /* quota_check has got it */
	user_sub(users, u, QUOTA_PLACES, net->info.numnodes);
	user_add(users, u, QUOTA_PLACES, numnodes);
}

int net_resize(struct net *net, __u32 numnodes, struct errtext *e)
{
	struct ipn_net_info now = net->info;
	struct node **ports;
	int r;

	if (!numnodes || numnodes > IPN_NET_PORTS)
		return err_text(e, -EINVAL, "number of nodes %u is not from 1 to %u", numnodes,
				IPN_NET_PORTS);
	for (__u32 i = numnodes; i < net->info.numnodes; i++) {
		if (net->ports[i])
			return err_text(e, -EADDRINUSE, "port %u of %s is in use by %s", i,
					net->info.path, net->ports[i]->in.name);
	}
	if (numnodes == net->info.numnodes)
		return 0;
	r = quota_check(net, numnodes, e);
	if (r)
		return r;
	ports = calloc(numnodes, sizeof(struct node *));
	if (!ports)
		return -ENOMEM;
	r = ask_policy(net, numnodes);
	if (r) {
		free(ports);
		return err_text(e, r, "the policy of %s refuses %u ports: %s", net->info.path,
				numnodes, strerror(-r));
	}
	now.numnodes = numnodes;
	r = can_stay(net, numnodes) ? stay(net, &now, e) : place(net, &now, e);
	if (r) {
		if (ask_policy(net, net->info.numnodes))
			log_warning("network %s: its policy does not take its old size back",
				    net->info.path);
		free(ports);
		return r;
	}
	memcpy(ports, net->ports,
	       sizeof(struct node *) *
		       (numnodes < net->info.numnodes ? numnodes : net->info.numnodes));
	free(net->ports);
	net->ports = ports;
	quota_change(net, numnodes);
	net->info.numnodes = numnodes;
	return 0;
}
