// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Joining, in this order; each step is undone by node_del, which takes whatever stands away:
 *	1. a port number and a node number with a fresh bell and page (node_new)
 *	2. the interface: a tap, or a veth pair (port_kind.make)
 *	3. a process's own log, where the policy sends to single ports (ports/proc.c)
 *	4. the entries by which programs know it as a source: port_info, port_in (node_source)
 *	5. its programs, linked and pinned (port_kind.attach)
 *	6. the entry by which they deliver to it: port_out, and for devices the flood list
 * The cursor of a process is taken before step 6, so it misses nothing that is sent after it
 * counts.
 *
 * The end of a process: its tap goes when nobody holds its descriptor (a link event), or its
 * session ends. A process that made its tap persistent loses its carrier instead: that ends it,
 * too.
 */
#include "manager/core/node.h"

#include <bpf/bpf.h>
#include <ipn/af_ipn.h>
#include <ipn/control.h>
#include <net/if.h>
#include <sys/socket.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/quota.h"
#include "manager/core/counts.h"
#include "manager/core/events.h"
#include "manager/core/gso.h"
#include "manager/core/ids.h"
#include "manager/core/interfaces.h"
#include "manager/core/lifeline.h"
#include "manager/core/logs.h"
#include "manager/core/net.h"
#include "manager/core/net_path.h"
#include "manager/core/net_policy.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/core/punt.h"
#include "manager/kernel/bpf.h"
#include "manager/kernel/link.h"

static __u32 port_out_at(const struct node *node)
{
	return node->net->info.port_base + node->in.number;
}

static int flood_set(struct node *node, __u32 value)
{
	__u32 at = node->net->info.port_base + node->in.flood_at;

	return bpf_map_update_elem(node->net->f->bpf->fd_flood_list, &at, &value, BPF_ANY) ? -errno
											   : 0;
}

/*
 * Gives a device its place among the network's devices: the first hole, so that the list stays
 * short.
 */
static int flood_take(struct node *node)
{
	struct net *net = node->net;
	_cleanup_free_ bool *used = calloc(net->info.numnodes, sizeof(bool));
	__u32 at = 0;
	int r;

	if (!used)
		return -ENOMEM;
	for (__u32 i = 0; i < net->info.numnodes; i++)
		if (net->ports[i] && net->ports[i] != node &&
		    (net->ports[i]->kind->flags & KIND_DEVICE))
			used[net->ports[i]->in.flood_at] = true;
	while (used[at])
		at++;
	node->in.flood_at = at;
	r = flood_set(node, port_out_at(node) + 1);
	if (!r && net->f->bpf->net_fast[net->id].flood_len <= at)
		__atomic_store_n(&net->f->bpf->net_fast[net->id].flood_len, at + 1,
				 __ATOMIC_RELEASE);
	return r;
}

/*
 * Programs read an entry while it is stored, word by word. All that a new holder has comes before
 * the word that makes it be believed: else senders would, for that moment, look into the page and
 * the log of the one before, and might go to sleep for room in a pool that nobody reads.
 */
int node_port_out_set(struct node *node, bool present)
{
	__u32 at = port_out_at(node);
	int fd = node->net->f->bpf->fd_port_out;
	struct ipn_port_out now, nobody;
	struct ipn_port_out dest = {
		.kind = present ? node->in.kind : IPN_KIND_NONE,
		.flags = node->in.flags,
		.ifindex = node->in.ifindex,
		.node = node->in.node,
		.gen = node->in.gen,
	};

	if (present && (bpf_map_lookup_elem(fd, &at, &now) || now.gen != dest.gen)) {
		nobody = dest;
		nobody.kind = IPN_KIND_NONE;
		if (bpf_map_update_elem(fd, &at, &nobody, BPF_ANY))
			return -errno;
	}
	return present ? bpf_map_update_elem(fd, &at, &dest, BPF_ANY) ? -errno : 0
		       : bpf_row_clear(fd, at, &dest);
}

int node_info_store(struct node *node)
{
	return bpf_map_update_elem(node->net->f->bpf->fd_port_info, &node->ifindex, &node->info,
				   BPF_ANY)
		       ? -errno
		       : 0;
}

int node_store(struct node *node)
{
	return bpf_port_set(node->net->f->bpf, &node->in);
}

int node_publish(struct node *node)
{
	int r = node_store(node);

	if (!r)
		r = node_port_out_set(node, true);
	net_count(node->net);
	return r;
}

int node_deliver(struct node *node)
{
	int r = node_port_out_set(node, true);

	if (!r)
		r = flood_take(node);
	return r ? r : node_publish(node);
}

static int port_take(struct net *net, __s32 want, __u32 *port, struct errtext *e)
{
	if (want == IPN_PORTNO_ANY) {
		for (__u32 i = 0; i < net->info.numnodes; i++) {
			if (!net->ports[i]) {
				*port = i;
				return 0;
			}
		}
		return err_text(e, -EADDRNOTAVAIL,
				"all %u ports of %s are taken (see: ipn-fabric show %s)",
				net->info.numnodes, net->info.path, net->info.path);
	}
	if (want < 0 || (__u32)want >= net->info.numnodes)
		return err_text(e, -EADDRNOTAVAIL, "port %d is not from 0 to %u", want,
				net->info.numnodes - 1);
	if (net->ports[want])
		return err_text(e, -EADDRNOTAVAIL, "port %d of %s is taken by %s (choose another)",
				want, net->info.path, net->ports[want]->in.name);
	*port = want;
	return 0;
}

int node_new(struct net *net, const struct node_want *want, size_t memory, struct node **out,
	     struct errtext *e)
{
	struct fabric *f = net->f;
	struct user *u = user_get(f->users, want->account);
	struct node *node;
	__s32 number = want->port;
	__u32 port = 0;
	int r;

	if (!u)
		return -ENOMEM;
	r = user_may(f->users, u, QUOTA_NODES, 1, e);
	if (!r)
		r = user_may(f->users, u, QUOTA_MEMORY, memory, e);
	if (!r)
		r = net_policy_newport(net, want->kind, want->flags, want->uid, &number, e);
	if (!r)
		r = port_take(net, number, &port, e);
	if (r)
		return r;
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	r = id_take(f, &node->in.node);
	if (r) {
		free(node);
		return err_text(e, r, "no more ports in the fabric: %s", strerror(-r));
	}
	bpf_stats_zero(f->bpf, node->in.node);
	punt_zero(f, node->in.node);
	node->net = net;
	node->kind = f->kinds[want->kind];
	node->memory = memory;
	node->in.net = net->id;
	node->in.number = port;
	node->in.kind = want->kind;
	node->in.flags = want->flags;
	node->in.policy = net->info.policy;
	node->in.mtu = net->info.mtu;
	node->in.gen = ++f->gen;
	node->in.uid = want->uid;
	node->in.account = want->account;
	node->info.pid = want->pid;
	if (want->descr)
		memcpy(node->info.descr, want->descr, sizeof(node->info.descr));
	user_add(f->users, u, QUOTA_NODES, 1);
	user_add(f->users, u, QUOTA_MEMORY, memory);
	net->ports[port] = node;
	f->node_by_id[node->in.node] = node;
	*out = node;
	return 0;
}

int node_source(struct node *node)
{
	int r;

	HASH_ADD(hh, node->net->f->nodes, ifindex, sizeof(node->ifindex), node);
	r = node_info_store(node);
	return r ? r : node_store(node);
}

void node_joined(struct node *node)
{
	struct net *net = node->net;

	event_emit(net->f, &(struct event){ .type = EVENT_JOIN, .net = net, .node = node });
	node->announced = true;
	net_policy_tell(net, node, IPN_CALL_POSTNEWPORT);
}

/* What it took of its user's quota; its own log only when nobody holds that any more. */
static void quota_return(const struct node *node)
{
	struct net *net = node->net;
	struct users *users = net->f->users;
	struct user *u = user_get(users, node->in.account);

	if (!u)
		return;
	user_sub(users, u, QUOTA_NODES, 1);
	if (node->memory)
		user_log_gone(users, u, net->log_class, IPN_LOG_OF_NODE(node->in.node),
			      node->memory);
}

void node_free(struct node *node)
{
	if (node->kind->let_go)
		node->kind->let_go(node);
	sd_event_source_disable_unref(node->holder);
	if (node->hh.tbl)
		HASH_DEL(node->net->f->nodes, node);
	free(node);
}

void node_del(struct node *node, int why, bool gone)
{
	struct net *net = node->net;
	struct fabric *f = net->f;
	const __u32 flags = node->kind->flags;
	struct node *peer = node->peer;

	if (peer)
		node->peer = peer->peer = NULL;
	if (node->ifindex) /* else it never joined */
		event_emit(f, &(struct event){ .type = EVENT_LEAVE, .net = net, .node = node });
	if (node->announced)
		net_policy_tell(net, node, IPN_CALL_PREDELPORT);
	node_port_out_set(node, false);
	if ((flags & KIND_DEVICE) && node->ifindex)
		flood_set(node, 0);
	net->ports[node->in.number] = NULL;
	net_count(net);
	net_policy_tell(net, node, IPN_CALL_DELPORT);
	if (node->kind->end)
		node->kind->end(node, gone);
	if (node->ifindex) {
		bpf_port_del(f->bpf, node->ifindex);
		bpf_map_delete_elem(f->bpf->fd_port_info, &node->ifindex);
	}
	if (node->kind->ended)
		node->kind->ended(node, why);
	event_emit(f, &(struct event){ .type = EVENT_NODE_GONE, .net = net, .node = node });
	lifeline_forget_node(node);
	if (node->ifindex && !gone && !(flags & (KIND_FOREIGN | KIND_NO_LINK)))
		interface_end(f, node->ifindex, (flags & KIND_TAP_LIFE) && !why);
	else if (node->ifindex)
		bpf_detach(f->bpf, node->ifindex);
	f->node_by_id[node->in.node] = NULL;
	id_drop(f, node->in.node);
	quota_return(node);
	node_free(node);
	if (peer) /* the veth took its interface along */
		node_del(peer, why, true);
	if (flags & KIND_DEVICE)
		gso_update(net);
	net_unused(net);
}

int node_shutdown(struct node *node, int how)
{
	int r;

	if (how == SHUT_RD || how == SHUT_RDWR)
		node->in.flags &= ~(__u32)IPN_PF_READER;
	if (how == SHUT_WR || how == SHUT_RDWR)
		node->in.flags &= ~(__u32)IPN_PF_WRITER;
	r = node_publish(node);
	if (node->net->info.flags & IPN_FLAG_LOSSLESS)
		bpf_pool_wake(node->net->f->bpf, node->net->id);
	return r;
}

void node_revoke(struct node *node, __u32 flags)
{
	struct bpf_state *b = node->net->f->bpf;
	int r;

	node->in.flags &= ~flags;
	r = node_publish(node);
	if (r)
		log_err("port %u of %s: cannot take rights away: %s", node->in.number,
			node->net->info.path, strerror(-r));
	if (node->page)
		__atomic_or_fetch(&node->page->revoked, flags, __ATOMIC_SEQ_CST);
	bpf_notify(b, node->in.node, IPN_EVENT_WAKE, 0);
	if (!(node->net->info.flags & IPN_FLAG_LOSSLESS))
		return;
	bpf_room_ring(b, node->in.node);
	bpf_pool_wake(b, node->net->id);
}

void node_describe(struct node *node, struct ipn_ctl_port *out, bool stats)
{
	*out = (struct ipn_ctl_port){
		.net = node->net->id,
		.port = node->in.number,
		.kind = node->in.kind,
		.flags = node->in.flags,
		.ifindex = node->ifindex,
		.uid = node->in.uid,
		.pid = node->info.pid,
	};
	memcpy(out->name, node->in.name, sizeof(out->name));
	net_path_refresh(node->net);
	memcpy(out->path, node->net->info.path, sizeof(out->path));
	memcpy(out->descr, node->info.descr, sizeof(out->descr));
	if (node->peer) {
		out->peer_port = node->peer->in.number;
		net_path_refresh(node->peer->net);
		memcpy(out->peer, node->peer->net->info.path, sizeof(out->peer));
	}
	if (!stats)
		return;
	bpf_stats_get(node->net->f->bpf, node->in.node, &out->stats);
	if (node->kind->stats)
		node->kind->stats(node, &out->stats);
	punt_describe(node->net->f, node->in.node, &out->stats);
}

void node_interface_stats(struct node *node, struct ipn_stats *out)
{
	struct link_info link;

	if (!link_get(node->net->f->link, node->ifindex, &link))
		out->drop[IPN_DROP_DEVICE] = link.tx_dropped;
}

/* Up: it is set up, and somebody is at the other end. */
static __u32 up_flag(const struct node *node, const struct link_info *link)
{
	__u32 flags = node->in.flags;

	return (link->flags & IFF_UP) && link->running &&
			       (!node->kind->ready || node->kind->ready(node))
		       ? flags | IPN_PF_UP
		       : flags & ~(__u32)IPN_PF_UP;
}

/*
 * Had it joined to the end, and not begun to leave? What is stored last when a port joins, and
 * taken away first when it leaves, stands in `port_out` and `flood_list`. A device's place in
 * `flood_list` is looked for: a manager that died while it made a network smaller may have changed
 * it.
 */
static int in_maps(struct net *net, const struct port_kind *kind, struct ipn_port_in *port)
{
	struct bpf_state *b = net->f->bpf;
	__u32 base = net->info.port_base, at = base + port->number;
	struct ipn_port_out dest;
	int r = bpf_map_lookup_elem(b->fd_port_out, &at, &dest);

	if (r)
		return r;
	if (dest.kind != port->kind || dest.ifindex != port->ifindex || dest.gen != port->gen)
		return -ESTALE;
	if (!(kind->flags & KIND_DEVICE))
		return 0;
	for (__u32 i = 0; i < net->info.numnodes; i++) {
		__u32 flood_at = base + i, flood;

		r = bpf_map_lookup_elem(b->fd_flood_list, &flood_at, &flood);
		if (r)
			return r;
		if (flood == at + 1) {
			port->flood_at = i;
			return 0;
		}
	}
	return -ESTALE;
}

int node_interface_stands(struct fabric *f, const struct ipn_port_in *port, struct link_info *link)
{
	int r = link_get(f->link, port->ifindex, link);

	return !r && link->group != f->bpf->abi.group ? -ENODEV : r;
}

/* What the objects say of a port that is taken over. */
static void node_insert(struct node *node)
{
	struct net *net = node->net;
	struct fabric *f = net->f;
	struct user *u = user_get(f->users, node->in.account);

	HASH_ADD(hh, f->nodes, ifindex, sizeof(node->ifindex), node);
	f->node_by_id[node->in.node] = node;
	f->id_state[node->in.node] = ID_USED;
	net->ports[node->in.number] = node;
	if (node->in.gen > f->gen)
		f->gen = node->in.gen;
	if (node->in.flags & IPN_PF_NODELOG) {
		node->memory = log_bytes(net->log_class, net->slots);
		f->id_log[node->in.node] =
			(struct node_log){ .slots = net->slots, .log_class = net->log_class };
	}
	if (!u)
		return; /* it was there before */
	user_add(f->users, u, QUOTA_NODES, 1);
	user_add(f->users, u, QUOTA_MEMORY, node->memory);
}

int node_adopt(struct fabric *f, const struct ipn_port_in *found)
{
	struct ipn_port_in now = *found, *port = &now;
	struct net *net = port->net < IPN_MAX_NETS ? f->net_by_id[port->net] : NULL;
	const struct port_kind *kind = port->kind < IPN_KINDS ? f->kinds[port->kind] : NULL;
	struct link_info link;
	struct node *node;
	int r;

	if (!net || !kind || !user_get(f->users, port->account) ||
	    port->number >= net->info.numnodes || net->ports[port->number] ||
	    port->node >= IPN_MAX_NODES || f->node_by_id[port->node])
		return -EINVAL;
	r = in_maps(net, kind, port);
	if (!r)
		r = kind->stands(f, port, &link);
	if (r)
		return r;
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->net = net;
	node->kind = kind;
	node->announced = true;
	node->in = *port;
	node->ifindex = port->ifindex;
	bpf_map_lookup_elem(f->bpf->fd_port_info, &node->ifindex, &node->info);
	r = kind->adopt ? kind->adopt(node) : 0;
	if (r) {
		free(node);
		return r;
	}
	if (!(kind->flags & KIND_NO_LINK))
		node->in.flags = up_flag(node, &link);
	node_insert(node);
	if (kind->reattach)
		kind->reattach(node);
	return node_publish(node);
}

int node_link_state(struct node *node, const struct link_info *info)
{
	__u32 flags = up_flag(node, info);

	if (flags == node->in.flags)
		return 0;
	node->in.flags = flags;
	return node_publish(node);
}
