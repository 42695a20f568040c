// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Taking over what stands: after the death of a manager, at any moment of its work.
 *
 *	segmenter     made anew if it is not whole
 *	networks    from the map `net_info`; what `net_fast` says of them is written again
 *	ports       from the map `port_in`, if their interface is there, or the fdstore (fdstore.c) has
 *		    their socket; else their entries go
 *	the rest    what was half made or half removed goes: entries of `port_out` and `flood_list` with no
 *	            port behind them, networks that nothing keeps alive, interfaces in the fabric's
 *	            group that belong to no port
 * Traffic goes on all the time: an entry that is right is only written again with the same value.
 */
#include "core.h"

#include <bpf/bpf.h>
#include <ipn/af_ipn.h>
#include <linux/bpf.h>
#include <sys/random.h>

#define SEGMENTER_NEAR "ipng%d"
#define SEGMENTER_FAR "ipng%d"

static int segmenter_make(struct manager *m)
{
	struct ipn_abi *abi = &m->bpf->abi;
	int r = link_segmenter(m->link, SEGMENTER_NEAR, SEGMENTER_FAR, &abi->segmenter,
			       &abi->segmenter_out);

	if (r)
		return r;
	r = bpf_attach_tc(m->bpf, abi->segmenter_out, m->bpf->prog_tc_segmenter);
	return r ? r : bpf_abi_store(m->bpf);
}

static bool segmenter_whole(struct manager *m)
{
	const struct ipn_abi *abi = &m->bpf->abi;
	struct link_info link;

	return abi->segmenter && !link_get(m->link, abi->segmenter, &link) &&
	       link.group == abi->group && !link_get(m->link, abi->segmenter_out, &link) &&
	       link.group == abi->group;
}

static int adopt_nets(struct manager *m)
{
	int fd = m->bpf->fd_net_info, r;
	struct ipn_net_info info;
	__u32 id, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &id);

	while (more) {
		more = !bpf_map_get_next_key(fd, &id, &next);
		if (!bpf_map_lookup_elem(fd, &id, &info)) {
			info.path[sizeof(info.path) - 1] = '\0';
			r = net_adopt(m, id, &info);
			if (r) {
				log_err("network %s: cannot take it over: %s", info.path,
					strerror(-r));
				bpf_map_delete_elem(fd, &id);
				__atomic_store_n(&m->bpf->net_fast[id % IPN_MAX_NETS].policy, 0,
						 __ATOMIC_RELEASE);
			}
		}
		id = next;
	}
	return 0;
}

static int adopt_ports(struct manager *m)
{
	int fd = m->bpf->fd_port_in, r;
	struct ipn_port_in port;
	__u32 ifindex, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &ifindex);

	while (more) {
		more = !bpf_map_get_next_key(fd, &ifindex, &next);
		if (!bpf_map_lookup_elem(fd, &ifindex, &port)) {
			r = port.ifindex == ifindex ? node_adopt(m, &port) : -EINVAL;
			if (r) {
				if (port.kind == IPN_KIND_GRAB && grab_stands(m, ifindex))
					grab_end(m, ifindex, port.flags);
				bpf_port_del(m->bpf, ifindex);
				bpf_map_delete_elem(m->bpf->fd_port_info, &ifindex);
				bpf_detach(m->bpf, ifindex);
			}
		}
		ifindex = next;
	}
	return 0;
}

/* Is there a port behind this index of `port_out`? */
static struct node *node_behind(struct net *net, __u32 at)
{
	return net->ports[at - net->info.port_base];
}

static void clear_net(struct manager *m, struct net *net)
{
	__u32 base = net->info.port_base, end = base + net->info.numnodes, floods = 0;
	struct ipn_port_out dest, none = { 0 };

	for (__u32 at = base; at < end; at++) {
		struct node *node = node_behind(net, at);
		__u32 flood = 0, zero = 0;

		if (!node && !bpf_map_lookup_elem(m->bpf->fd_port_out, &at, &dest) && dest.kind)
			bpf_map_update_elem(m->bpf->fd_port_out, &at, &none, BPF_ANY);
		if (dest.gen > m->gen)
			m->gen = dest.gen;
		if (bpf_map_lookup_elem(m->bpf->fd_flood_list, &at, &flood) || !flood)
			continue;
		flood--;
		node = flood >= base && flood < end ? node_behind(net, flood) : NULL;
		if (!node || node->in.kind == IPN_KIND_PROC || node->in.flood_at != at - base)
			bpf_map_update_elem(m->bpf->fd_flood_list, &at, &zero, BPF_ANY);
		else
			floods = at - base + 1;
	}
	if (m->bpf->net_fast[net->id].flood_len > net->info.numnodes)
		net_wait_programs(net); /* see resize.c: it died before that step */
	if (m->bpf->net_fast[net->id].flood_len < floods ||
	    m->bpf->net_fast[net->id].flood_len > net->info.numnodes)
		__atomic_store_n(&m->bpf->net_fast[net->id].flood_len, floods, __ATOMIC_RELEASE);
}

/* An interface of ours that nobody knows. */
static int stray(const struct link_info *link, void *arg)
{
	struct manager *m = arg;
	struct node *node;

	if ((link->group != m->bpf->abi.group && link->group != batch_delete_group(m)) ||
	    link->ifindex == m->bpf->abi.segmenter || link->ifindex == m->bpf->abi.segmenter_out)
		return 0;
	HASH_FIND(hh, m->nodes, &link->ifindex, sizeof(link->ifindex), node);
	if (!node && !link_del(m->link, link->ifindex))
		log_notice("removed interface %s, which was left half made", link->name);
	return 0;
}

int adopt(struct manager *m)
{
	struct net *net, *tmp;
	int r = policy_init(m);

	if (r)
		return r;
	fdstore_take(m);
	if (!segmenter_whole(m)) {
		r = segmenter_make(m);
		if (r)
			return r;
	} else if (m->bpf->abi.hook == IPN_HOOK_CLSACT) {
		r = bpf_attach_clsact(m->bpf->abi.segmenter_out, m->bpf->prog_tc_segmenter);
		if (r)
			return r;
	}
	if (!m->bpf->adopted)
		return 0;
	m->adopting = true;
	r = adopt_nets(m);
	if (!r)
		r = adopt_ports(m);
	m->adopting = false;
	if (r)
		return r;
	cable_adopt(m);
	xsk_adopt_rest(m);
	HASH_ITER(hh, m->nets, net, tmp) {
		net->counts_new = true; /* the last manager may have died before it rang */
		node_count(net);
		clear_net(m, net);
		if (net->info.flags & IPN_FLAG_LOSSLESS) /* a reader may have died meanwhile */
			bpf_pool_wake(m->bpf, net->id);
		gso_update(net);
		net_unused(net);
	}
	return link_each(m->link, stray, m);
}
