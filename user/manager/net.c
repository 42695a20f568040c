// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Networks: made, found by inode, ended.
 *
 * Order of making: number and ports are taken, the log is made and stands in its map, the entry in
 * `net_info` is written (from here on a new manager would adopt it), and last the entry in
 * `net_fast`, by which programs see it. The order of ending is the reverse.
 */
#include "core.h"

#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct user *user_get(struct manager *m, uid_t uid)
{
	struct user *u;

	HASH_FIND(hh, m->users, &uid, sizeof(uid), u);
	if (u)
		return u;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->uid = uid;
	HASH_ADD(hh, m->users, uid, sizeof(u->uid), u);
	return u;
}

/*
 * Ghosts. Whoever has the descriptor of a log holds its memory, also when its network or its port
 * has gone. It counts for the user who had it made until it is gone, or somebody could take
 * memory without end by making networks and leaving them.
 */
#define REAP_MIN 64
#define REAP_BATCH 32
struct ghost {
	struct ghost *next;
	__u32 id; /* the kernel's, of the map */
	__u32 log_class;
	__u32 index;
	size_t bytes;
};

static void ghosts_reap(struct user *u)
{
	struct ghost **at = &u->ghosts, *g;

	while ((g = *at)) {
		int fd = bpf_map_get_fd_by_id(g->id);

		if (fd >= 0 || errno != ENOENT) {
			if (fd >= 0)
				close(fd);
			at = &g->next;
			continue;
		}
		*at = g->next;
		u->nghosts--;
		u->memory -= g->bytes;
		free(g);
	}
	u->reap_at = u->nghosts < REAP_MIN / 2 ? REAP_MIN : 2 * u->nghosts;
}

/* Lets go of those that only stand in their map, until their number is used again. */
static void ghosts_release(struct manager *m, struct user *u)
{
	for (__u32 c = 0; c < IPN_LOG_CLASSES; c++) {
		__u32 ids[REAP_BATCH], n = 0;

		for (struct ghost *g = u->ghosts; g; g = g->next) {
			__u32 node = g->index - IPN_MAX_NETS;

			if (g->log_class != c || g->index < IPN_MAX_NETS ||
			    m->id_state[node] != ID_STALE || !m->id_log[node].slots)
				continue;
			m->id_log[node].slots = 0;
			ids[n++] = node;
			if (n == REAP_BATCH) {
				bpf_node_logs_clear(m->bpf, c, ids, n);
				n = 0;
			}
		}
		if (n)
			bpf_node_logs_clear(m->bpf, c, ids, n);
	}
}

void user_log_gone(struct manager *m, struct user *u, __u32 log_class, __u32 index, size_t bytes)
{
	struct ghost *g;
	__u32 id;

	if (u->uid == 0 || bpf_map_lookup_elem(m->bpf->fd_logs[log_class], &index, &id)) {
		u->memory -= bytes;
		return;
	}
	g = malloc(sizeof(*g));
	if (!g) {
		u->memory -= bytes;
		return;
	}
	*g = (struct ghost){ u->ghosts, id, log_class, index, bytes };
	u->ghosts = g;
	if (++u->nghosts >= u->reap_at)
		ghosts_reap(u);
}

void users_free(struct manager *m)
{
	struct user *u, *tmp;

	HASH_ITER(hh, m->users, u, tmp) {
		HASH_DEL(m->users, u);
		while (u->ghosts) {
			struct ghost *g = u->ghosts;

			u->ghosts = g->next;
			free(g);
		}
		free(u);
	}
}

int user_may(struct manager *m, struct user *u, __u32 nets, __u32 nodes, size_t memory,
	     struct errtext *a)
{
	if (u->uid == 0)
		return 0;
	if (u->nets + nets > QUOTA_NETS)
		return err_text(a, -EDQUOT, "uid %u has %u networks, the most a user may have",
				u->uid, u->nets);
	if (u->nodes + nodes > QUOTA_NODES)
		return err_text(a, -EDQUOT, "uid %u has %u ports, the most a user may have", u->uid,
				u->nodes);
	if (u->memory + memory > QUOTA_MEMORY) {
		ghosts_reap(u);
		if (u->memory + memory > QUOTA_MEMORY) {
			ghosts_release(m, u);
			ghosts_reap(u);
		}
	}
	if (u->memory + memory > QUOTA_MEMORY)
		return err_text(a, -EDQUOT,
				"uid %u would hold %zu MiB of messages, the most a user may is %lu "
				"(choose a smaller pool or MTU; what readers of networks that have "
				"ended keep open counts, too)",
				u->uid, (u->memory + memory) >> 20, QUOTA_MEMORY >> 20);
	return 0;
}

/* What the tables of a router take of its maker's quota. */
static size_t net_tables_bytes(const struct ipn_net_info *info)
{
	return info->policy == IPN_POLICY_L3 ? l3_bytes(info->routes) : 0;
}

size_t net_log_bytes(__u32 log_class, __u32 slots)
{
	return (size_t)ipn_slot_size(log_class) * (slots + 1);
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

struct net *net_find(struct manager *m, const struct perm_inode *inode)
{
	struct net_key key = key_of(inode);
	struct net *net;

	HASH_FIND(hh, m->nets, &key, sizeof(key), net);
	return net;
}

static int id_take(struct manager *m, __u32 *id)
{
	for (__u32 i = 0; i < IPN_MAX_NETS; i++) {
		if (!m->net_by_id[i]) {
			*id = i;
			return 0;
		}
	}
	return -ENOSPC;
}

int net_place(struct manager *m, __u32 n, __u32 *base)
{
	struct net *net, *tmp;
	__u32 at = 0;
	bool moved = true;

	while (moved) {
		moved = false;
		HASH_ITER(hh, m->nets, net, tmp) {
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
	net_place_clear(m, at, n);
	return 0;
}

void net_place_clear(struct manager *m, __u32 base, __u32 n)
{
	const struct ipn_port_out none = { 0 };
	const __u32 hole = 0;

	for (__u32 at = base; at < base + n; at++) {
		bpf_map_update_elem(m->bpf->fd_port_out, &at, &none, BPF_ANY);
		bpf_map_update_elem(m->bpf->fd_flood_list, &at, &hole, BPF_ANY);
	}
}

static void net_free(struct net *net)
{
	if (net->head)
		munmap((void *)net->head, sysconf(_SC_PAGESIZE));
	if (net->log_fd >= 0)
		close(net->log_fd);
	if (net->path_fd >= 0)
		close(net->path_fd);
	free(net->ports);
	free(net);
}

/* An empty net, not known to anybody yet. */
static struct net *net_alloc(struct manager *m, const struct ipn_net_info *info)
{
	struct net *net = calloc(1, sizeof(*net));

	if (!net)
		return NULL;
	net->m = m;
	net->info = *info;
	net->path_fd = net->log_fd = -1;
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

static int range(__u32 *value, __u32 def, __u32 min, __u32 max, const char *what, struct errtext *a)
{
	if (!*value)
		*value = def;
	if (*value < min || *value > max)
		return err_text(a, -EINVAL, "%s %u is not from %u to %u", what, *value, min, max);
	return 0;
}

static int check(struct manager *m, struct ipn_net_info *info, struct errtext *a)
{
	int r;

	if (info->policy >= IPN_POLICY_MAX || !m->policies[info->policy])
		return err_text(a, -EPROTONOSUPPORT,
				"there is no policy %u (1 broadcast, 2 switch, 3 l3; see: "
				"ipn-fabric policy list)",
				info->policy);
	if (info->flags & ~(__u32)IPN_FLAG_LOSSLESS)
		return err_text(a, -EINVAL, "flags 0x%x: there is only LOSSLESS (0x1)",
				info->flags);
	if (info->policy == IPN_POLICY_L3) {
		r = range(&info->routes, IPN_L3_ROUTES_DEFAULT, 16, IPN_L3_ROUTES_MAX,
			  "number of routes", a);
		if (r)
			return r;
	} else if (info->routes) {
		return err_text(a, -EINVAL, "%u routes: only the policy l3 has routes",
				info->routes);
	}
	if (info->flags && info->policy == IPN_POLICY_L3)
		return err_text(a, -EOPNOTSUPP, "LOSSLESS is not for the policy l3 (leave it out)");
	if (info->flags && info->policy > IPN_POLICY_BUILTIN)
		return err_text(
			a, -EOPNOTSUPP,
			"LOSSLESS is for built-in policies, %s is loaded (leave out LOSSLESS)",
			m->policies[info->policy]->name);
	r = range(&info->mtu, IPN_MTU_DEFAULT, IPN_MTU_MIN, IPN_MTU_MAX, "MTU", a);
	if (!r)
		r = range(&info->numnodes, IPN_NODES_DEFAULT, 1, IPN_NET_PORTS, "number of nodes",
			  a);
	if (!r)
		r = range(&info->pool, IPN_POOL_DEFAULT, 1, IPN_POOL_MAX, "message pool", a);
	return r;
}

int net_add(struct manager *m, const struct ipn_net_info *wanted, int path_fd,
	    const struct perm_inode *inode, struct net **out, struct errtext *a)
{
	struct ipn_net_info info = *wanted;
	struct user *u = user_get(m, info.uid);
	struct ipn_net_fast *fast;
	struct net *net;
	size_t bytes;
	int r;

	if (!u)
		return -ENOMEM;
	r = check(m, &info, a);
	if (r)
		return r;
	bytes = net_log_bytes(ipn_log_class_of(info.mtu), slots_for(info.pool));
	if (bytes > LOG_BYTES_MAX)
		return err_text(a, -EINVAL,
				"a pool of %u messages of %u bytes takes %zu MiB, the most is %lu "
				"(choose a smaller pool or MTU)",
				info.pool, info.mtu, bytes >> 20, LOG_BYTES_MAX >> 20);
	bytes += net_tables_bytes(&info);
	r = user_may(m, u, 1, 0, bytes, a);
	if (r)
		return r;
	net = net_alloc(m, &info);
	if (!net)
		return -ENOMEM;
	if (id_take(m, &net->id)) {
		r = err_text(a, -ENOSPC, "the fabric has %u networks, the most there can be",
			     IPN_MAX_NETS);
		goto err;
	}
	if (net_place(m, info.numnodes, &net->info.port_base)) {
		r = err_text(a, -ENOSPC, "no room for %u more ports in the fabric", info.numnodes);
		goto err;
	}
	net->info.dev = inode->dev;
	net->info.ino = inode->ino;
	net->info.btime = inode->btime;
	net->key = key_of(inode);
	net->path_fd = fcntl(path_fd, F_DUPFD_CLOEXEC, 0);
	net->log_fd = net->path_fd < 0 ? -errno : bpf_log_new(net->log_class, net->slots);
	r = net->log_fd < 0 ? net->log_fd : map_head(net);
	if (!r)
		r = bpf_log_set(m->bpf, net->log_class, IPN_LOG_OF_NET(net->id), net->log_fd);
	if (!r && info.policy == IPN_POLICY_L3)
		r = l3_new(m->bpf, net->id, info.routes);
	if (!r && bpf_map_update_elem(m->bpf->fd_net_info, &net->id, &net->info, BPF_ANY))
		r = -errno;
	if (r) {
		err_text(a, r, "cannot make the network: %s", strerror(-r));
		bpf_map_delete_elem(m->bpf->fd_logs[net->log_class], &net->id);
		if (info.policy == IPN_POLICY_L3)
			l3_free(m->bpf, net->id);
		goto err;
	}
	fast = &m->bpf->net_fast[net->id];
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
	r = policy_has(net, IPN_CALL_NEWNET) ? policy_call(net, NULL, IPN_CALL_NEWNET, NULL) : 0;
	if (r) {
		err_text(a, r, "its policy %s refuses the network: %s",
			 m->policies[net->info.policy]->name, strerror(-r));
		__atomic_store_n(&fast->policy, 0, __ATOMIC_RELEASE);
		bpf_map_delete_elem(m->bpf->fd_net_info, &net->id);
		bpf_map_delete_elem(m->bpf->fd_logs[net->log_class], &net->id);
		if (info.policy == IPN_POLICY_L3)
			l3_free(m->bpf, net->id);
		goto err;
	}

	HASH_ADD(hh, m->nets, key, sizeof(net->key), net);
	m->net_by_id[net->id] = net;
	u->nets++;
	u->memory += bytes;
	monitor_tell(m, net, NULL, IPN_WATCH_NET_ADD);
	*out = net;
	return 0;
err:
	net_free(net);
	return r;
}

void net_del(struct net *net)
{
	struct manager *m = net->m;
	struct user *u = user_get(m, net->info.uid);

	monitor_tell(m, net, NULL, IPN_WATCH_NET_DEL);
	net->dying = true; /* the last node must not end it a second time */
	batch_delete_begin(m);
	for (__u32 i = 0; i < net->info.numnodes; i++)
		if (net->ports[i])
			node_del(net->ports[i], ENETDOWN, false);
	batch_delete_end(m);
	listener_close_net(net);
	session_drop_net(m, net);
	policy_tell(net, NULL, IPN_CALL_DELNET);
	__atomic_store_n(&m->bpf->net_fast[net->id].policy, 0, __ATOMIC_RELEASE);
	if (u) {
		u->nets--;
		u->memory -= net_tables_bytes(&net->info);
		user_log_gone(m, u, net->log_class, IPN_LOG_OF_NET(net->id),
			      net_log_bytes(net->log_class, net->slots));
	}
	if (net->info.policy == IPN_POLICY_L3)
		l3_free(m->bpf, net->id);
	bpf_map_delete_elem(m->bpf->fd_net_info, &net->id);
	bpf_map_delete_elem(m->bpf->fd_logs[net->log_class], &net->id);
	m->net_by_id[net->id] = NULL;
	HASH_DEL(m->nets, net);
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

/* The inode of the path, if it still is the one the network was made for. */
static int path_reopen(const struct ipn_net_info *info, struct perm_inode *inode)
{
	_cleanup_close_ int fd = open(info->path, O_PATH | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	if (perm_inode_get(fd, inode) || inode->dev != info->dev || inode->ino != info->ino ||
	    inode->btime != info->btime)
		return -ESTALE;
	return util_take_fd(&fd);
}

int net_adopt(struct manager *m, __u32 id, const struct ipn_net_info *info)
{
	struct user *u = user_get(m, info->uid);
	struct perm_inode inode;
	struct net *net;
	int r;

	if (id >= IPN_MAX_NETS || !u)
		return -EINVAL;
	net = net_alloc(m, info);
	if (!net)
		return -ENOMEM;
	net->id = id;
	net->key = (struct net_key){ .dev = info->dev, .ino = info->ino };
	net->path_fd = path_reopen(info, &inode);
	if (net->path_fd < 0) {
		log_warning("network %s: its path is gone; it ends with its last port", info->path);
		net->path_fd = -1;
		net->info.persistent = 0;
		net->key.dev = ~0ULL; /* nobody finds it by inode any more */
		net->key.ino = id;
	}
	net->log_fd = bpf_inner_get(m->bpf->fd_logs[net->log_class], IPN_LOG_OF_NET(id));
	r = net->log_fd < 0 ? net->log_fd : map_head(net);
	if (r) {
		net_free(net);
		return r;
	}
	/* unless the old manager died while it resized the network, they are so already */
	__atomic_store_n(&m->bpf->net_fast[id].port_base, net->info.port_base, __ATOMIC_RELEASE);
	__atomic_store_n(&m->bpf->net_fast[id].numnodes, net->info.numnodes, __ATOMIC_RELEASE);
	HASH_ADD(hh, m->nets, key, sizeof(net->key), net);
	m->net_by_id[id] = net;
	u->nets++;
	u->memory += net_log_bytes(net->log_class, net->slots) + net_tables_bytes(&net->info);
	if (net->info.policy == IPN_POLICY_L3)
		l3_adopt(m->bpf, id);
	return 0;
}
