// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Networks: made, found by inode, ended.
 *
 * Order of making: number and ports are taken, the log is made and stands in its map, the entry in
 * `net_info` is written (from here on a new manager would adopt it), and last the entry in
 * `net_fast`, by which programs see it. The order of ending is the reverse.
 */
#include "manager/core/net.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <ipn/control.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/perm.h"
#include "manager/access/quota.h"
#include "manager/access/readers.h"
#include "manager/core/counts.h"
#include "manager/core/events.h"
#include "manager/core/gso.h"
#include "manager/core/interfaces.h"
#include "manager/core/lifeline.h"
#include "manager/core/logs.h"
#include "manager/core/net_path.h"
#include "manager/core/net_policy.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/core/resize.h"
#include "manager/core/rotate.h"
#include "manager/fdstore/client.h"
#include "manager/kernel/bpf.h"
#include "manager/policies/l3.h"
#include "manager/policies/policy.h"

#define ETH_HEADER 14

/* seccomp: manager: openat unlinkat fcntl fchown fchownat */

/* What the tables of a router take of its maker's quota. */
static size_t net_tables_bytes(const struct ipn_net_info *info)
{
	return info->policy == IPN_POLICY_L3 ? l3_bytes(info->routes) : 0;
}

/* Twice the pool, so that a reader within its pool is not overwritten while it copies. */
static __u32 slots_for(__u32 pool)
{
	__u32 n = 32;

	while (n < 2 * pool)
		n *= 2;
	return n;
}

static struct net_key key_of(const struct perm_inode *inode)
{
	return (struct net_key){ .dev = inode->dev, .ino = inode->ino };
}

struct net *net_find(struct fabric *f, const struct perm_inode *inode)
{
	struct net_key key = key_of(inode);
	struct net *net;

	HASH_FIND(hh, f->nets, &key, sizeof(key), net);
	if (net)
		net_path_refresh(net);
	return net;
}

static int net_id_take(struct fabric *f, __u32 *id)
{
	for (__u32 i = 0; i < IPN_MAX_NETS; i++) {
		if (!f->net_by_id[i]) {
			*id = i;
			return 0;
		}
	}
	return -ENOSPC;
}

int net_place(struct fabric *f, __u32 n, __u32 *base)
{
	struct net *net, *tmp;
	__u32 at = 0;
	bool moved = true;

	while (moved) {
		moved = false;
		HASH_ITER(hh, f->nets, net, tmp) {
			__u32 end = net->info.port_base + net->info.numnodes;

			if (at < end && net->info.port_base < at + n) {
				at = end;
				moved = true;
			}
		}
	}
	if (at + n > IPN_MAX_PORTS)
		return -ENOSPC;
	*base = at;
	net_place_clear(f, at, n);
	return 0;
}

void net_place_clear(struct fabric *f, __u32 base, __u32 n)
{
	const struct ipn_port_out none = { 0 };
	const __u32 hole = 0;

	for (__u32 at = base; at < base + n; at++) {
		bpf_row_clear(f->bpf->fd_port_out, at, &none);
		bpf_map_update_elem(f->bpf->fd_flood_list, &at, &hole, BPF_ANY);
	}
}

void net_free(struct net *net)
{
	if (net->head)
		munmap((void *)net->head, sysconf(_SC_PAGESIZE));
	util_close_fd(&net->log_fd);
	util_close_fd(&net->old_fd);
	if (net->path_fd >= 0)
		close(net->path_fd);
	free(net->path_text);
	free(net->ports);
	free(net);
}

__u32 net_device_mtu(const struct net *net)
{
	return net->info.mtu > ETH_HEADER ? net->info.mtu - ETH_HEADER : 1;
}

/* An empty net, not known to anybody yet. */
static struct net *net_alloc(struct fabric *f, const struct ipn_net_info *info)
{
	struct net *net = calloc(1, sizeof(*net));

	if (!net)
		return NULL;
	net->f = f;
	net->info = *info;
	net->path_fd = net->log_fd = net->old_fd = -1;
	net->log_class = ipn_log_class_of(info->mtu);
	net->slots = slots_for(info->pool);
	net->ports = calloc(info->numnodes, sizeof(struct node *));
	if (!net->ports) {
		net_free(net);
		return NULL;
	}
	return net;
}

static int map_head(struct net *net)
{
	void *p = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ, MAP_SHARED, net->log_fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	net->head = p;
	return 0;
}

static int range(__u32 *value, __u32 def, __u32 min, __u32 max, const char *what, struct errtext *e)
{
	if (!*value)
		*value = def;
	if (*value < min || *value > max)
		return err_text(e, -EINVAL, "%s %u is not from %u to %u", what, *value, min, max);
	return 0;
}

static int check(struct fabric *f, struct ipn_net_info *info, struct errtext *e)
{
	int r;

	if (info->policy >= IPN_POLICY_MAX || !f->policies->at[info->policy])
		return err_text(e, -EPROTONOSUPPORT,
				"there is no policy %u (1 broadcast, 2 switch, 3 l3; see: "
				"ipn-fabric policy list)",
				info->policy);
	if (info->flags & ~(__u32)IPN_FLAG_LOSSLESS)
		return err_text(e, -EINVAL, "flags 0x%x: there is only LOSSLESS (0x1)",
				info->flags);
	if (info->policy == IPN_POLICY_L3) {
		r = range(&info->routes, IPN_L3_ROUTES_DEFAULT, 16, IPN_L3_ROUTES_MAX,
			  "number of routes", e);
		if (r)
			return r;
	} else if (info->routes) {
		return err_text(e, -EINVAL, "%u routes: only the policy l3 has routes",
				info->routes);
	}
	if (info->flags && info->policy == IPN_POLICY_L3)
		return err_text(e, -EOPNOTSUPP, "LOSSLESS is not for the policy l3 (leave it out)");
	if (info->flags && info->policy > IPN_POLICY_BUILTIN)
		return err_text(
			e, -EOPNOTSUPP,
			"LOSSLESS is for built-in policies, %s is loaded (leave out LOSSLESS)",
			f->policies->at[info->policy]->name);
	r = range(&info->mtu, IPN_MTU_DEFAULT, IPN_MTU_MIN, IPN_MTU_MAX, "MTU", e);
	if (!r)
		r = range(&info->numnodes, IPN_NODES_DEFAULT, 1, IPN_NET_PORTS, "number of nodes",
			  e);
	if (!r)
		r = range(&info->pool, IPN_POOL_DEFAULT, 1, IPN_POOL_MAX, "message pool", e);
	return r;
}

int net_info_store(struct net *net)
{
	return bpf_map_update_elem(net->f->bpf->fd_net_info, &net->id, &net->info, BPF_ANY) ? -errno
											    : 0;
}

void net_forget(struct fabric *f, __u32 id, const struct ipn_net_info *info)
{
	struct bpf_state *b = f->bpf;
	const int logs = b->fd_logs[ipn_log_class_of(info->mtu)];
	const __u32 old = IPN_LOG_OF_OLD(id);
	__u32 map;

	if (info->policy == IPN_POLICY_L3)
		l3_free(b, id);
	bpf_map_delete_elem(b->fd_net_info, &id);
	bpf_inner_del(logs, id);
	if (!bpf_map_lookup_elem(logs, &old, &map))
		bpf_inner_del(logs, old);
}

/* The reverse of net_make. */
static void net_unmake(struct net *net)
{
	net_forget(net->f, net->id, &net->info);
}

/* Its tables and its log, before anybody knows of it. On failure nothing of them is left. */
static int net_make(struct net *net)
{
	struct fabric *f = net->f;
	int r;

	net->log_fd = log_new(f, net->log_class, net->slots);
	r = net->log_fd < 0 ? net->log_fd : map_head(net);
	if (!r)
		r = bpf_log_set(f->bpf, net->log_class, IPN_LOG_OF_NET(net->id), net->log_fd);
	if (!r && net->info.policy == IPN_POLICY_L3)
		r = l3_new(f->bpf, net->id, net->info.routes);
	if (!r)
		r = net_info_store(net);
	if (r)
		net_unmake(net);
	return r;
}

/* Programs see it. */
static void net_publish(struct net *net)
{
	struct ipn_net_fast *fast = &net->f->bpf->net_fast[net->id];

	/* the epoch goes on with the next network of this number */
	*fast = (struct ipn_net_fast){ .epoch = fast->epoch + 1 };
	fast->mtu = net->info.mtu;
	fast->numnodes = net->info.numnodes;
	fast->port_base = net->info.port_base;
	fast->log_class = net->log_class;
	fast->log_mask = net->slots - 1;
	fast->flags = net->info.flags;
	fast->pool = net->info.pool;
	__atomic_store_n(&fast->policy, net->info.policy, __ATOMIC_RELEASE);
}

/* From here on it is no network: the next manager, if there is one by then, takes the rest away. */
static void net_unpublish(struct net *net)
{
	__atomic_store_n(&net->f->bpf->net_fast[net->id].policy, 0, __ATOMIC_RELEASE);
}

/* Numbers, and the inode. */
static int net_number(struct net *net, int path_fd, const struct perm_inode *inode,
		      struct errtext *e)
{
	int r;

	if (net_id_take(net->f, &net->id))
		return err_text(e, -ENOSPC, "the fabric has %u networks, the most there can be",
				IPN_MAX_NETS);
	if (net_place(net->f, net->info.numnodes, &net->info.port_base))
		return err_text(e, -ENOSPC, "no room for %u more ports in the fabric",
				net->info.numnodes);
	net->info.dev = inode->dev;
	net->info.ino = inode->ino;
	net->info.btime = inode->btime;
	net->info.rotating = 0;
	net->key = key_of(inode);
	net->path_fd = fcntl(path_fd, F_DUPFD_CLOEXEC, 0);
	r = net->path_fd < 0 ? -errno : readers_get(net->path_fd, &net->info.readers);
	return r ? err_text(e, r, "cannot make the network: %s", strerror(-r)) : 0;
}

/* What the quota of its maker must have room for. */
static int net_size(const struct ipn_net_info *info, size_t *bytes, struct errtext *e)
{
	*bytes = log_bytes(ipn_log_class_of(info->mtu), slots_for(info->pool));
	if (*bytes > LOG_BYTES_MAX)
		return err_text(e, -EINVAL,
				"a pool of %u messages of %u bytes takes %zu MiB, the most is %lu "
				"(choose a smaller pool or MTU)",
				info->pool, info->mtu, *bytes >> 20, LOG_BYTES_MAX >> 20);
	*bytes += net_tables_bytes(info);
	return 0;
}

static int net_quota(struct fabric *f, struct user *u, const struct ipn_net_info *info,
		     size_t bytes, struct errtext *e)
{
	int r = user_may(f->users, u, QUOTA_NETS, 1, e);

	if (!r)
		r = user_may(f->users, u, QUOTA_PLACES, info->numnodes, e);
	return r ? r : user_may(f->users, u, QUOTA_MEMORY, bytes, e);
}

static void net_count_in(struct net *net, struct user *u)
{
	struct users *users = net->f->users;

	user_add(users, u, QUOTA_NETS, 1);
	user_add(users, u, QUOTA_PLACES, net->info.numnodes);
	user_add(users, u, QUOTA_MEMORY,
		 log_bytes(net->log_class, net->slots) + net_tables_bytes(&net->info));
}

int net_add(struct fabric *f, const struct ipn_net_info *wanted, int path_fd,
	    const struct perm_inode *inode, struct net **out, struct errtext *e)
{
	struct ipn_net_info info = *wanted;
	struct user *u = user_get(f->users, info.account);
	struct net *net;
	size_t bytes;
	int r;

	if (!u)
		return -ENOMEM;
	r = check(f, &info, e);
	if (!r)
		r = net_size(&info, &bytes, e);
	if (!r)
		r = net_quota(f, u, &info, bytes, e);
	if (!r)
		r = log_ask(f, ipn_log_class_of(info.mtu), slots_for(info.pool));
	if (r)
		return r;
	net = net_alloc(f, &info);
	if (!net)
		return -ENOMEM;
	r = net_number(net, path_fd, inode, e);
	if (r)
		goto err;
	r = net_make(net);
	if (r) {
		err_text(e, r, "cannot make the network: %s", strerror(-r));
		goto err;
	}
	net_publish(net);
	r = net_policy_has(net, IPN_CALL_NEWNET) ? net_policy_call(net, NULL, IPN_CALL_NEWNET, NULL)
						 : 0;
	if (r) {
		err_text(e, r, "its policy %s refuses the network: %s",
			 f->policies->at[info.policy]->name, strerror(-r));
		net_unpublish(net);
		net_unmake(net);
		goto err;
	}
	HASH_ADD(hh, f->nets, key, sizeof(net->key), net);
	f->net_by_id[net->id] = net;
	net_count_in(net, u);
	fdstore_touch(f->fdstore, FDSTORE_NET(net->id));
	event_emit(f, &(struct event){ .type = EVENT_NET_ADD, .net = net });
	*out = net;
	return 0;
err:
	net_free(net);
	return r;
}

void net_empty(struct net *net, __u32 n)
{
	batch_delete_begin(net->f);
	for (__u32 i = 0; n && i < net->info.numnodes; i++) {
		if (!net->ports[i])
			continue;
		node_del(net->ports[i], ENETDOWN, false);
		n--;
	}
	batch_delete_end(net->f);
}

void net_del(struct net *net)
{
	struct fabric *f = net->f;
	struct user *u = user_get(f->users, net->info.account);

	event_emit(f, &(struct event){ .type = EVENT_NET_DEL, .net = net });
	net->dying = true; /* the last node must not end it a second time */
	net_unpublish(net);
	net_empty(net, net->info.numnodes);
	event_emit(f, &(struct event){ .type = EVENT_NET_GONE, .net = net });
	lifeline_forget_net(net);
	net_policy_tell(net, NULL, IPN_CALL_DELNET);
	if (u) {
		user_sub(f->users, u, QUOTA_NETS, 1);
		user_sub(f->users, u, QUOTA_PLACES, net->info.numnodes);
		user_sub(f->users, u, QUOTA_MEMORY, net_tables_bytes(&net->info));
		user_log_gone(f->users, u, net->log_class,
			      net->shut ? IPN_LOG_OF_OLD(net->id) : IPN_LOG_OF_NET(net->id),
			      log_bytes(net->log_class, net->slots));
	}
	net_unmake(net);
	f->net_by_id[net->id] = NULL;
	HASH_DEL(f->nets, net);
	fdstore_touch(f->fdstore, FDSTORE_NET(net->id));
	net_free(net);
}

void net_unused(struct net *net)
{
	if (!net->dying && !net->info.persistent && !net->nports && !net->bound)
		net_del(net);
}

void net_describe(struct net *net, struct ipn_ctl_net *out)
{
	struct perm_inode inode;

	net_path_refresh(net);
	*out = (struct ipn_ctl_net){
		.id = net->id,
		.policy = net->info.policy,
		.mtu = net->info.mtu,
		.numnodes = net->info.numnodes,
		.pool = net->info.pool,
		.flags = net->info.flags,
		.persistent = net->info.persistent,
		.uid = net->info.uid,
		.mode = net->info.mode,
		.ports = net->nports,
		.readers = net->readers,
		.writers = net->writers,
	};
	if (net->path_fd >= 0 && !perm_inode_get(net->path_fd, &inode))
		out->mode = inode.mode & 07777;
	memcpy(out->path, net->info.path, sizeof(out->path));
}

int net_adopt(struct fabric *f, __u32 id, const struct ipn_net_info *info, int given)
{
	struct user *u = user_get(f->users, info->account);
	_cleanup_close_ int path_fd = given;
	struct net *net;
	int r;

	if (id >= IPN_MAX_NETS || !u)
		return -EINVAL;
	if (!f->bpf->net_fast[id].policy) /* published last, and taken back before it ends */
		return -ESTALE;
	net = net_alloc(f, info);
	if (!net)
		return -ENOMEM;
	net->id = id;
	net->key = (struct net_key){ .dev = info->dev, .ino = info->ino };
	net->path_fd = util_take_fd(&path_fd);
	if (net->path_fd >= 0 && net_path_gone(net))
		net->info.persistent = 0;
	if (net->path_fd < 0) {
		log_warning("network %s: its path is gone; it ends with its last port", info->path);
		net_path_lost(net);
		net->info.persistent = 0;
		net->key.dev = ~0ULL; /* nobody finds it by inode any more */
		net->key.ino = id;
	}
	net->log_fd = rotate_adopt(net);
	r = net->log_fd < 0 ? net->log_fd : map_head(net);
	if (!r && net->info.policy == IPN_POLICY_L3)
		r = l3_adopt(f->bpf, id);
	if (r) {
		net_free(net);
		return r;
	}
	/* unless the old manager died while it resized the network, they are so already */
	__atomic_store_n(&f->bpf->net_fast[id].port_base, net->info.port_base, __ATOMIC_RELEASE);
	__atomic_store_n(&f->bpf->net_fast[id].numnodes, net->info.numnodes, __ATOMIC_RELEASE);
	HASH_ADD(hh, f->nets, key, sizeof(net->key), net);
	f->net_by_id[id] = net;
	net_count_in(net, u);
	net_path_refresh(net);
	return 0;
}

/* Is there a port behind this index of `port_out`? */
static struct node *node_behind(struct net *net, __u32 at)
{
	return net->ports[at - net->info.port_base];
}

/* Entries with no port behind them. */
static int clear_maps(struct fabric *f, struct net *net)
{
	__u32 base = net->info.port_base, end = base + net->info.numnodes, floods = 0;
	struct ipn_port_out dest, none = { 0 };

	for (__u32 at = base; at < end; at++) {
		struct node *node = node_behind(net, at);
		__u32 flood = 0, zero = 0;
		int r = bpf_map_lookup_elem(f->bpf->fd_port_out, &at, &dest);

		if (!r)
			r = bpf_map_lookup_elem(f->bpf->fd_flood_list, &at, &flood);
		if (r)
			return r;
		if (!node && dest.kind)
			bpf_row_clear(f->bpf->fd_port_out, at, &none);
		if (dest.gen > f->gen)
			f->gen = dest.gen;
		if (!flood)
			continue;
		flood--;
		node = flood >= base && flood < end ? node_behind(net, flood) : NULL;
		if (!node || !(node->kind->flags & KIND_DEVICE) || node->in.flood_at != at - base)
			bpf_map_update_elem(f->bpf->fd_flood_list, &at, &zero, BPF_ANY);
		else
			floods = at - base + 1;
	}
	if (f->bpf->net_fast[net->id].flood_len > net->info.numnodes)
		net_wait_programs(net); /* see resize.c: it died before that step */
	if (f->bpf->net_fast[net->id].flood_len < floods ||
	    f->bpf->net_fast[net->id].flood_len > net->info.numnodes)
		__atomic_store_n(&f->bpf->net_fast[net->id].flood_len, floods, __ATOMIC_RELEASE);
	return 0;
}

int net_adopted(struct net *net)
{
	struct fabric *f = net->f;
	int r;

	net->counts_new = true; /* the last manager may have died before it rang */
	net_count(net);
	r = clear_maps(f, net);
	if (r)
		return r;
	if (net->info.flags & IPN_FLAG_LOSSLESS) /* a reader may have died meanwhile */
		bpf_pool_wake(f->bpf, net->id);
	gso_update(net);
	net_unused(net);
	return 0;
}
