// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Taking over what stands: after the death of a manager, at any moment of its work. The phases, in
 * order, stand in the table below. What was half made or half removed goes: entries of `port_out`
 * and `flood_list` with no port behind them, networks that nothing keeps alive, interfaces in the
 * fabric's group that belong to no port.
 *
 * Traffic goes on all the time: an entry that is right is only written again with the same value.
 */
#include "manager/adopt.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/asuser.h"
#include "manager/access/async_close.h"
#include "manager/access/quota.h"
#include "manager/core/events.h"
#include "manager/core/ids.h"
#include "manager/core/interfaces.h"
#include "manager/core/lifeline.h"
#include "manager/core/net.h"
#include "manager/core/net_path.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/core/punt.h"
#include "manager/fdstore/client.h"
#include "manager/kernel/bpf.h"
#include "manager/kernel/link.h"
#include "manager/policies/loader.h"
#include "manager/policies/policy.h"
#include "manager/ports/cable.h"
#include "manager/ports/listener.h"
#include "manager/ports/port.h"
#include "manager/ports/xsk.h"

#define SEGMENTER_NEAR "ipng%d"
#define SEGMENTER_FAR "ipng%d"

static int adopt_policies(struct fabric *f)
{
	return policies_open(&f->policies, f->bpf);
}

static int adopt_sockets(struct fabric *f)
{
	fdstore_take(f->fdstore);
	return 0;
}

static int segmenter_make(struct fabric *f)
{
	struct ipn_abi *abi = &f->bpf->abi;
	int r = link_segmenter(f->link, SEGMENTER_NEAR, SEGMENTER_FAR, &abi->segmenter,
			       &abi->segmenter_out);

	if (r)
		return r;
	r = bpf_attach_tc(f->bpf, abi->segmenter_out, f->bpf->prog_tc_segmenter);
	return r ? r : bpf_abi_store(f->bpf);
}

static bool segmenter_whole(struct fabric *f)
{
	const struct ipn_abi *abi = &f->bpf->abi;
	struct link_info link;

	return abi->segmenter && !link_get(f->link, abi->segmenter, &link) &&
	       link.group == abi->group && !link_get(f->link, abi->segmenter_out, &link) &&
	       link.group == abi->group;
}

static int adopt_segmenter(struct fabric *f)
{
	if (!segmenter_whole(f))
		return segmenter_make(f);
	if (f->bpf->abi.hook != IPN_HOOK_CLSACT)
		return 0;
	return bpf_attach_clsact(f->bpf->abi.segmenter_out, f->bpf->prog_tc_segmenter);
}

static void net_take_over(struct fabric *f, __u32 id, const struct ipn_net_info *info, int path_fd)
{
	int r = net_adopt(f, id, info, path_fd);

	if (!r)
		return;
	if (r == -ESTALE)
		log_notice("removed network %s, which was left half made", info->path);
	else
		log_err("network %s: cannot take it over: %s", info->path, strerror(-r));
	__atomic_store_n(&f->bpf->net_fast[id].policy, 0, __ATOMIC_RELEASE);
	net_forget(f, id, info);
}

/* All at once: who has to look a path up works beside the others. */
static int adopt_nets(struct fabric *f)
{
	const struct ipn_net_info *at[IPN_MAX_NETS] = { NULL };
	_cleanup_free_ struct ipn_net_info *infos = calloc(IPN_MAX_NETS, sizeof(*infos));
	int fds[IPN_MAX_NETS];

	if (!infos)
		return -ENOMEM;
	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		if (bpf_map_lookup_elem(f->bpf->fd_net_info, &id, &infos[id]))
			continue;
		infos[id].path[sizeof(infos[id].path) - 1] = '\0';
		at[id] = &infos[id];
	}
	net_paths_find(f, at, fds);
	for (__u32 id = 0; id < IPN_MAX_NETS; id++)
		if (at[id])
			net_take_over(f, id, at[id], fds[id]);
	return 0;
}

/* An entry of `port_in` without a port. */
static void port_forget(struct fabric *f, __u32 ifindex, const struct ipn_port_in *port)
{
	const struct port_kind *kind = port->kind < IPN_KINDS ? f->kinds[port->kind] : NULL;

	if (kind && kind->forget && port->ifindex == ifindex)
		kind->forget(f, port);
	bpf_port_del(f->bpf, ifindex);
	bpf_map_delete_elem(f->bpf->fd_port_info, &ifindex);
	bpf_detach(f->bpf, ifindex);
}

static int ports_take_over(struct fabric *f)
{
	int fd = f->bpf->fd_port_in, r;
	struct ipn_port_in port;
	__u32 ifindex, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &ifindex);

	while (more) {
		more = !bpf_map_get_next_key(fd, &ifindex, &next);
		if (!bpf_map_lookup_elem(fd, &ifindex, &port)) {
			r = port.ifindex == ifindex ? node_adopt(f, &port) : -EINVAL;
			if (r)
				port_forget(f, ifindex, &port);
		}
		ifindex = next;
	}
	return 0;
}

/* A port that joins is in `port_info` before it is in `port_in`, and leaves it after that. */
static void port_infos_clear(struct fabric *f)
{
	int fd = f->bpf->fd_port_info;
	__u32 ifindex, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &ifindex);

	while (more) {
		struct node *node;

		more = !bpf_map_get_next_key(fd, &ifindex, &next);
		HASH_FIND(hh, f->nodes, &ifindex, sizeof(ifindex), node);
		if (!node)
			bpf_map_delete_elem(fd, &ifindex);
		ifindex = next;
	}
}

static int adopt_ports(struct fabric *f)
{
	int r;

	f->adopting = true;
	r = ports_take_over(f);
	port_infos_clear(f);
	f->adopting = false;
	return r;
}

static int adopt_pairs(struct fabric *f)
{
	cable_adopt(f);
	xsk_adopt_rest(f);
	return 0;
}

static int adopt_lifelines(struct fabric *f)
{
	lifelines_adopt(f);
	return 0;
}

static int adopt_rest(struct fabric *f)
{
	struct net *net, *tmp;

	HASH_ITER(hh, f->nets, net, tmp)
		net_adopted(net);
	return 0;
}

/* An interface of ours that nobody knows. */
static int stray(const struct link_info *link, void *arg)
{
	struct fabric *f = arg;
	struct node *node;

	if ((link->group != f->bpf->abi.group && link->group != batch_delete_group(f)) ||
	    link->ifindex == f->bpf->abi.segmenter || link->ifindex == f->bpf->abi.segmenter_out)
		return 0;
	HASH_FIND(hh, f->nodes, &link->ifindex, sizeof(link->ifindex), node);
	if (!node && !link_del(f->link, link->ifindex))
		log_notice("removed interface %s, which was left half made", link->name);
	return 0;
}

static bool interface_there(__u32 ifindex, void *arg)
{
	const struct fabric *f = arg;
	struct link_info link;

	return link_get(f->link, ifindex, &link) != -ENODEV;
}

/* With them, or with ports that were left half made, go interfaces that have pins still. */
static int adopt_strays(struct fabric *f)
{
	int r = link_each(f->link, stray, f);

	return r ? r : bpf_links_clear(f->bpf, interface_there, f);
}

static int adopt_holders(struct fabric *f)
{
	lifelines_watch(f);
	port_watch_holders(f);
	return xsk_watch(f);
}

static int adopt_listeners(struct fabric *f)
{
	listeners_adopt(f);
	return 0;
}

static const struct phase {
	const char *name;
	int (*fn)(struct fabric *f);
	bool old;  /* only of a fabric that was there before */
	bool loop; /* only when there is an event loop */
} phases[] = {
	{ "policies", adopt_policies, .old = false },
	{ "sockets of the fdstore", adopt_sockets, .old = false },
	{ "segmenter", adopt_segmenter, .old = false },
	{ "networks", adopt_nets, .old = true },
	{ "ports", adopt_ports, .old = true },
	{ "cables and AF_XDP ports", adopt_pairs, .old = true },
	{ "what descriptors keep", adopt_lifelines, .old = true },
	{ "counts and flood lists", adopt_rest, .old = true },
	{ "interfaces of nobody", adopt_strays, .old = true },
	{ "node numbers", ids_refill, .old = false },
	{ "holders of ports", adopt_holders, .loop = true },
	{ "listeners and their clients", adopt_listeners, .loop = true },
};

static int run(struct fabric *f, bool loop, struct errtext *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		const struct phase *p = &phases[i];
		int r;

		if (p->loop != loop || (p->old && !f->bpf->adopted))
			continue;
		r = p->fn(f);
		if (r)
			return err_text(e, r, "cannot set up the fabric: %s: %s", p->name,
					strerror(-r));
	}
	return 0;
}

int adopt(struct fabric *f, struct errtext *e)
{
	return run(f, false, e);
}

int adopt_with_loop(struct fabric *f, struct errtext *e)
{
	return run(f, true, e);
}

void fabric_close(struct fabric *f)
{
	struct net *net, *tmp;
	struct node *node, *ntmp;

	f->ending = true;
	fdstore_free(f->fdstore);
	listeners_free(f);
	punt_end(f);
	lifelines_free(f);
	/* not session_free: that would end their nodes */
	HASH_ITER(hh, f->nodes, node, ntmp)
		node_free(node);
	HASH_ITER(hh, f->nets, net, tmp) {
		HASH_DEL(f->nets, net);
		net_free(net);
	}
	if (f->policies)
		policy_load_cancel_all(f->policies);
}

void fabric_free(struct fabric *f)
{
	asuser_free(f->asuser);
	if (async_close_free(f->async_close))
		users_free(f->users);
	sd_event_source_disable_unref(f->refill);
	sd_event_source_disable_unref(f->counts);
	sd_event_source_disable_unref(f->sock_check);
	sd_event_source_disable_unref(f->orphan_timer);
	sd_event_unref(f->event);
	policies_free(f->policies);
	link_ctx_free(f->link);
	bpf_state_free(f->bpf);
	events_free(f);
	util_close_fd(&f->spare_fd);
}
