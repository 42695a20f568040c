// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Taking over what stands: after the death of a manager, at any moment of its work. The phases, in
 * order, stand in the table below. What was half made or half removed goes: entries of `port_out`
 * and `flood_list` with no port behind them, networks that nothing keeps alive, interfaces in the
 * fabric's group that belong to no port.
 *
 * Traffic goes on all the time: an entry that is right is only written again with the same value.
 *
 * Only what is known to be gone is taken away. What could not be looked at, for want of memory, a
 * descriptor or a right (util_cannot_tell), ends the phase and `up`, and the fabric stands as it
 * stood, for the next manager.
 */
#include "manager/adopt.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/asuser.h"
#include "manager/access/quota.h"
#include "manager/access/work.h"
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
#include "manager/core/rotate.h"
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
	return fdstore_take(f->fdstore);
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

/* -ENODEV: not both of its ends are there. */
static int segmenter_stands(struct fabric *f)
{
	const struct ipn_abi *abi = &f->bpf->abi;
	struct link_info near, far;
	int r = abi->segmenter ? link_get(f->link, abi->segmenter, &near) : -ENODEV;

	if (!r)
		r = link_get(f->link, abi->segmenter_out, &far);
	return !r && (near.group != abi->group || far.group != abi->group) ? -ENODEV : r;
}

static int adopt_segmenter(struct fabric *f)
{
	int r = segmenter_stands(f);

	if (r)
		return util_cannot_tell(r) ? r : segmenter_make(f);
	if (f->bpf->abi.hook != IPN_HOOK_CLSACT)
		return 0;
	return bpf_attach_clsact(f->bpf->abi.segmenter_out, f->bpf->prog_tc_segmenter);
}

static int net_take_over(struct fabric *f, __u32 id, const struct ipn_net_info *info, int path_fd)
{
	int r = net_adopt(f, id, info, path_fd);

	if (!r || util_cannot_tell(r))
		return r;
	net_path_remove(f, info);
	if (r == -ESTALE)
		log_notice("removed network %s, which was left half made", info->path);
	else
		log_err("network %s: cannot take it over: %s", info->path, strerror(-r));
	__atomic_store_n(&f->bpf->net_fast[id].policy, 0, __ATOMIC_RELEASE);
	net_forget(f, id, info);
	fdstore_touch(f->fdstore, FDSTORE_NET(id)); /* it has the inode still */
	return 0;
}

/* All at once: who has to look a path up works beside the others. */
static int adopt_nets(struct fabric *f)
{
	const struct ipn_net_info *at[IPN_MAX_NETS] = { NULL };
	_cleanup_free_ struct ipn_net_info *infos = calloc(IPN_MAX_NETS, sizeof(*infos));
	int fds[IPN_MAX_NETS], r = 0;

	if (!infos)
		return -ENOMEM;
	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		r = bpf_map_lookup_elem(f->bpf->fd_net_info, &id, &infos[id]);
		if (r == -ENOENT)
			continue;
		if (r)
			return r;
		infos[id].path[sizeof(infos[id].path) - 1] = '\0';
		at[id] = &infos[id];
	}
	net_paths_find(f, at, fds);
	r = 0;
	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		if (at[id] && !r)
			r = net_take_over(f, id, at[id], fds[id]);
		else
			util_close_fd(&fds[id]);
	}
	return r;
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
	int fd = f->bpf->fd_port_in, more, r;
	struct ipn_port_in port;
	__u32 ifindex, next;

	for (more = bpf_key_next(fd, NULL, &ifindex); more > 0; ifindex = next) {
		more = bpf_key_next(fd, &ifindex, &next);
		r = bpf_map_lookup_elem(fd, &ifindex, &port);
		if (r)
			return r;
		r = port.ifindex == ifindex ? node_adopt(f, &port) : -EINVAL;
		if (util_cannot_tell(r))
			return r;
		if (r)
			port_forget(f, ifindex, &port);
	}
	return more;
}

/* A port that joins is in `port_info` before it is in `port_in`, and leaves it after that. */
static int port_infos_clear(struct fabric *f)
{
	int fd = f->bpf->fd_port_info, more;
	__u32 ifindex, next;

	for (more = bpf_key_next(fd, NULL, &ifindex); more > 0; ifindex = next) {
		struct node *node;

		more = bpf_key_next(fd, &ifindex, &next);
		HASH_FIND(hh, f->nodes, &ifindex, sizeof(ifindex), node);
		if (!node)
			bpf_map_delete_elem(fd, &ifindex);
	}
	return more;
}

static int adopt_ports(struct fabric *f)
{
	int r;

	f->adopting = true;
	r = ports_take_over(f);
	if (!r)
		r = port_infos_clear(f);
	f->adopting = false;
	return r;
}

static int adopt_pairs(struct fabric *f)
{
	int r = cable_adopt(f);

	return r ? r : xsk_adopt_rest(f);
}

static int adopt_lifelines(struct fabric *f)
{
	lifelines_adopt(f);
	return 0;
}

static int adopt_rest(struct fabric *f)
{
	struct net *net, *tmp;
	int r = 0;

	HASH_ITER(hh, f->nets, net, tmp)
		if (!r)
			r = net_adopted(net);
	return r;
}

/* Before anybody joins or gets a log. */
static int adopt_rotations(struct fabric *f)
{
	rotate_all(f);
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
	int r = port_watch_holders(f);

	lifelines_watch(f);
	return r ? r : xsk_watch(f);
}

static int adopt_listeners(struct fabric *f)
{
	return listeners_adopt(f);
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
	{ "logs that were being exchanged", adopt_rotations, .old = true },
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
	if (works_free(f->works)) {
		free(f->async_close);
		users_free(f->users);
	}
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
