// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Nodes: processes and devices join, change and leave.
 *
 * Joining, in this order; each step is undone by node_del, which takes whatever stands away:
 *	1. a port number and a node number with a fresh bell and page (below)
 *	2. the interface: a tap, or a veth pair
 *	3. a process's own log, where the policy sends to single ports
 *	4. the entries by which programs know it as a source: port_info, ports
 *	5. its programs, linked and pinned
 *	6. the entry by which they deliver to it: port_out, and for devices floods
 * The cursor of a process is taken before step 6, so it misses nothing that is sent after it
 * counts.
 *
 * Node numbers. A bell and a page are handed to a process, which may keep them for ever: they are
 * never used for another. Putting new ones into their map costs a grace period (some 10 ms), many
 * at once no more than one, so numbers are made fresh in batches, while nothing else is to be done.
 *
 * The end of a process: its tap goes when nobody holds its descriptor (a link event), or its
 * session ends. A process that made its tap persistent loses its carrier instead: that ends it,
 * too.
 */
#include "core.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <net/if.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define FRESH_LOW 16 /* refill below this */
#define FRESH_BATCH 32
#define FAB_TAP "ipnp%d"
#define FAB_VETH "ipnv%d"
#define ETH_HEADER 14
#define ORPHAN_US 500000
#define PREPARED_LOG_MAX (1UL << 20) /* bytes of one log */

void node_fds_close(struct node_fds *fds)
{
	int *all[] = { &fds->tap, &fds->bell, &fds->page, &fds->log, &fds->node_log, &fds->room };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (*all[i] >= 0)
			close(*all[i]);
		*all[i] = -1;
	}
}

/* Frees the memory of logs that were handed out, but for those that are replaced anyway. */
static int logs_clear(struct manager *m, const __u32 *ids, __u32 n)
{
	__u32 clear[FRESH_BATCH], count;
	int r;

	for (__u32 c = 0; c < IPN_LOG_CLASSES; c++) {
		count = 0;
		for (__u32 i = 0; i < n; i++)
			if (m->id_log[ids[i]].slots && m->id_log[ids[i]].log_class == c)
				clear[count++] = ids[i];
		if (!count || (m->want_log.slots && m->want_log.log_class == c))
			continue;
		r = bpf_node_logs_clear(m->bpf, c, clear, count);
		if (r)
			return r;
	}
	return 0;
}

/* Makes up to FRESH_BATCH stale numbers fresh, with the kind of log that was last asked for. */
int node_refill(struct manager *m)
{
	struct node_log log = m->want_log;
	__u32 ids[FRESH_BATCH], n = 0;
	int r;

	for (__u32 i = 0; i < IPN_MAX_NODES && m->ids_fresh + n < FRESH_BATCH; i++)
		if (m->id_state[i] == ID_STALE)
			ids[n++] = i;
	if (!n)
		return 0;
	r = logs_clear(m, ids, n);
	if (!r)
		r = bpf_nodes_fresh(m->bpf, ids, n);
	if (!r && log.slots)
		r = bpf_node_logs_fresh(m->bpf, log.log_class, log.slots, ids, n);
	if (r)
		return r;
	log.unused = true;
	for (__u32 i = 0; i < n; i++) {
		m->id_state[ids[i]] = ID_FRESH;
		m->id_log[ids[i]] = log;
	}
	m->ids_fresh += n;
	return 0;
}

static int on_refill(sd_event_source *source, void *arg)
{
	struct manager *m = arg;
	int r = node_refill(m);

	(void)source;
	if (r)
		log_warning("cannot prepare ports ahead: %s", strerror(-r));
	return 0;
}

static void refill_later(struct manager *m)
{
	if (!m->event || m->ids_fresh >= FRESH_LOW)
		return;
	if (!m->refill) {
		if (sd_event_add_defer(m->event, &m->refill, on_refill, m) < 0)
			return;
		sd_event_source_set_priority(m->refill, SD_EVENT_PRIORITY_IDLE);
	}
	sd_event_source_set_enabled(m->refill, SD_EVENT_ONESHOT);
}

static int id_take(struct manager *m, __u32 *id)
{
	if (!m->ids_fresh) {
		int r = node_refill(m);

		if (r)
			return r;
	}
	for (__u32 i = 0; i < IPN_MAX_NODES; i++) {
		if (m->id_state[i] == ID_FRESH) {
			m->id_state[i] = ID_USED;
			m->ids_fresh--;
			refill_later(m);
			*id = i;
			return 0;
		}
	}
	return -ENOSPC;
}

static bool is_device(const struct node *node)
{
	return node->in.kind != IPN_KIND_PROC && node->in.kind != IPN_KIND_SOCK;
}

static __u32 port_out_at(const struct node *node)
{
	return node->net->info.port_base + node->in.number;
}

/* Frames of devices carry the Ethernet header, which an interface's MTU does not count. */
static __u32 device_mtu(const struct net *net)
{
	return net->info.mtu > ETH_HEADER ? net->info.mtu - ETH_HEADER : 1;
}

/* Rings those who want to know of new counts, all at once: many may come and go in one turn. */
static int on_counts(sd_event_source *source, void *arg)
{
	struct manager *m = arg;

	(void)source;
	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		struct net *net = m->net_by_id[id];

		if (!net || !net->counts_new)
			continue;
		net->counts_new = false;
		for (__u32 i = 0; i < net->info.numnodes; i++) {
			struct node *n = net->ports[i];

			if (n && n->page && __atomic_load_n(&n->page->want, __ATOMIC_SEQ_CST))
				bpf_notify(m->bpf, n->in.node, IPN_EVENT_WAKE, 0);
		}
	}
	return 0;
}

/*
 * Writes the counts into the pages of all processes, at once: who sees a message of a new node must
 * see the counts with it. Bells can wait for the end of the turn. Should the manager die before
 * that, the next one rings them. readers, writers: as they were before.
 */
static void counts_tell(struct net *net, __u32 readers, __u32 writers)
{
	struct manager *m = net->m;

	for (__u32 i = 0; i < net->info.numnodes; i++) {
		struct node *n = net->ports[i];
		__u64 old;

		if (!n || !n->page)
			continue;
		old = __atomic_load_n(&n->page->counts, __ATOMIC_RELAXED);
		if (old && IPN_COUNTS_READERS(old) == net->readers &&
		    IPN_COUNTS_WRITERS(old) == net->writers)
			continue;
		__atomic_store_n(&n->page->counts,
				 IPN_COUNTS(IPN_COUNTS_NUMBER(old) + 1, net->readers, net->writers),
				 __ATOMIC_SEQ_CST);
		net->counts_new = true;
	}
	if (net->readers != readers || net->writers != writers)
		monitor_tell(m, net, NULL, IPN_WATCH_COUNTS);
	if (!net->counts_new)
		return;
	if (!m->event) {
		on_counts(NULL, m);
		return;
	}
	if (!m->counts && sd_event_add_defer(m->event, &m->counts, on_counts, m) < 0) {
		on_counts(NULL, m);
		return;
	}
	sd_event_source_set_enabled(m->counts, SD_EVENT_ONESHOT);
}

void node_count(struct net *net)
{
	__u32 process_readers = 0, readers = net->readers, writers = net->writers;
	__u32 cables = 0, devices = 0, socks = 0;

	net->readers = net->writers = net->nports = 0;
	for (__u32 i = 0; i < net->info.numnodes; i++) {
		struct node *n = net->ports[i];

		if (!n)
			continue;
		net->nports++;
		net->readers += !!(n->in.flags & IPN_PF_READER);
		net->writers += !!(n->in.flags & IPN_PF_WRITER);
		cables += n->in.kind == IPN_KIND_CABLE;
		devices += is_device(n) && n->in.kind != IPN_KIND_CABLE;
		process_readers += n->in.kind == IPN_KIND_PROC && (n->in.flags & IPN_PF_READER);
		socks += n->in.kind == IPN_KIND_SOCK;
	}
	/* while ports are taken over, the old number is right and this one is not yet */
	if (net->m->adopting)
		return;
	/* see xdp_up_flood: whoever sees cables must see devices, too */
	__atomic_store_n(&net->m->bpf->net_fast[net->id].devices, devices, __ATOMIC_RELEASE);
	__atomic_store_n(&net->m->bpf->net_fast[net->id].cables, cables, __ATOMIC_RELEASE);
	__atomic_store_n(&net->m->bpf->net_fast[net->id].readers, process_readers,
			 __ATOMIC_SEQ_CST);
	__atomic_store_n(&net->m->bpf->net_fast[net->id].socks, socks, __ATOMIC_SEQ_CST);
	counts_tell(net, readers, writers);
}

static int flood_set(struct node *node, __u32 value)
{
	__u32 at = node->net->info.port_base + node->in.flood_at;

	return bpf_map_update_elem(node->net->m->bpf->fd_flood_list, &at, &value, BPF_ANY) ? -errno
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
		if (net->ports[i] && net->ports[i] != node && is_device(net->ports[i]))
			used[net->ports[i]->in.flood_at] = true;
	while (used[at])
		at++;
	node->in.flood_at = at;
	r = flood_set(node, port_out_at(node) + 1);
	if (!r && net->m->bpf->net_fast[net->id].flood_len <= at)
		__atomic_store_n(&net->m->bpf->net_fast[net->id].flood_len, at + 1,
				 __ATOMIC_RELEASE);
	return r;
}

/*
 * Programs read an entry while it is stored, word by word. All that a new holder has comes before
 * the word that makes it be believed: else senders would, for that moment, look into the page and
 * the log of the one before, and might go to sleep for room in a pool that nobody reads.
 */
static int port_out_set(struct node *node, bool present)
{
	__u32 at = port_out_at(node);
	int fd = node->net->m->bpf->fd_port_out;
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
	return bpf_map_update_elem(fd, &at, &dest, BPF_ANY) ? -errno : 0;
}

int node_store(struct node *node)
{
	return bpf_port_set(node->net->m->bpf, &node->in);
}

int node_publish(struct node *node)
{
	int r = node_store(node);

	if (!r)
		r = port_out_set(node, true);
	node_count(node->net);
	return r;
}

/* Step 6, of a device. */
int node_deliver(struct node *node)
{
	int r = port_out_set(node, true);

	if (!r)
		r = flood_take(node);
	return r ? r : node_publish(node);
}

static int port_take(struct net *net, __s32 want, __u32 *port, struct errtext *a)
{
	if (want == IPN_PORTNO_ANY) {
		for (__u32 i = 0; i < net->info.numnodes; i++) {
			if (!net->ports[i]) {
				*port = i;
				return 0;
			}
		}
		return err_text(a, -EADDRNOTAVAIL,
				"all %u ports of %s are taken (see: ipn-fabric show %s)",
				net->info.numnodes, net->info.path, net->info.path);
	}
	if (want < 0 || (__u32)want >= net->info.numnodes)
		return err_text(a, -EADDRNOTAVAIL, "port %d is not from 0 to %u", want,
				net->info.numnodes - 1);
	if (net->ports[want])
		return err_text(a, -EADDRNOTAVAIL, "port %d of %s is taken by %s (choose another)",
				want, net->info.path, net->ports[want]->in.name);
	*port = want;
	return 0;
}

/* Step 1. What node_new returned is taken back by node_del. */
int node_new(struct net *net, const struct node_want *want, size_t memory, struct node **out,
	     struct errtext *a)
{
	struct manager *m = net->m;
	struct user *u = user_get(m, want->uid);
	struct node *node;
	__s32 number = want->port;
	__u32 port = 0;
	int r;

	if (!u)
		return -ENOMEM;
	r = user_may(m, u, 0, 1, memory, a);
	if (!r)
		r = policy_newport(net, want->kind, want->flags, want->uid, &number, a);
	if (!r)
		r = port_take(net, number, &port, a);
	if (r)
		return r;
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	r = id_take(m, &node->in.node);
	if (r) {
		free(node);
		return err_text(a, r, "no more ports in the fabric: %s", strerror(-r));
	}
	bpf_stats_zero(m->bpf, node->in.node);
	punt_zero(m, node->in.node);
	node->net = net;
	node->memory = memory;
	node->in.net = net->id;
	node->in.number = port;
	node->in.kind = want->kind;
	node->in.flags = want->flags;
	node->in.policy = net->info.policy;
	node->in.mtu = net->info.mtu;
	node->in.gen = ++m->gen;
	node->in.uid = want->uid;
	node->info.pid = want->pid;
	if (want->descr)
		memcpy(node->info.descr, want->descr, sizeof(node->info.descr));
	u->nodes++;
	u->memory += memory;
	net->ports[port] = node;
	m->node_by_id[node->in.node] = node;
	*out = node;
	return 0;
}

/* Step 4. */
int node_source(struct node *node)
{
	struct bpf_state *b = node->net->m->bpf;

	HASH_ADD(hh, node->net->m->nodes, ifindex, sizeof(node->ifindex), node);
	if (bpf_map_update_elem(b->fd_port_info, &node->ifindex, &node->info, BPF_ANY))
		return -errno;
	return bpf_port_set(b, &node->in);
}

static int page_map(struct node *node, int fd)
{
	void *p = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	node->page = p;
	return 0;
}

static int own_log(struct node *node, int *fd)
{
	struct net *net = node->net;
	struct manager *m = net->m;
	struct node_log *at = &m->id_log[node->in.node];
	const __u32 index = IPN_LOG_OF_NODE(node->in.node);
	struct node_log log = { .slots = net->slots, .log_class = net->log_class };
	int r;

	if (net_log_bytes(log.log_class, log.slots) <= PREPARED_LOG_MAX)
		m->want_log = log;
	if (at->unused && at->slots == log.slots && at->log_class == log.log_class) {
		at->unused = false;
		*fd = bpf_inner_get(m->bpf->fd_logs[log.log_class], index);
		return *fd < 0 ? *fd : 0;
	}
	*fd = bpf_log_new(log.log_class, log.slots);
	if (*fd < 0)
		return *fd;
	r = bpf_log_set(m->bpf, log.log_class, index, *fd);
	if (!r)
		*at = log;
	return r;
}

int node_connect(struct net *net, const struct node_want *want, struct node **out,
		 struct node_fds *fds, __u64 *cursor, struct errtext *a)
{
	bool reader = want->flags & IPN_PF_READER;
	bool unicast = net->info.policy != IPN_POLICY_BROADCAST;
	size_t memory = reader && unicast ? net_log_bytes(net->log_class, net->slots) : 0;
	struct manager *m = net->m;
	struct node_fds got = { -1, -1, -1, -1, -1, -1 };
	bool lossless = net->info.flags & IPN_FLAG_LOSSLESS;
	struct node *node;
	int r;

	r = node_new(net, want, memory, &node, a);
	if (r)
		return r;
	got.bell = r = bpf_inner_get(m->bpf->fd_bells, node->in.node);
	if (r >= 0)
		got.page = r = bpf_inner_get(m->bpf->fd_pages, node->in.node);
	if (r >= 0)
		r = page_map(node, got.page);
	if (!r)
		r = link_tap_proc(m->link, FAB_TAP, device_mtu(net), &got.tap, &node->ifindex,
				  node->in.name);
	if (!r && memory) {
		node->in.flags |= IPN_PF_NODELOG;
		r = own_log(node, &got.node_log);
	}
	if (!r) {
		node->in.ifindex = node->ifindex;
		node->in.flags |= IPN_PF_UP;
		r = node_source(node);
	}
	if (!r)
		r = bpf_attach_xdp(m->bpf, node->ifindex);
	if (!r)
		r = bpf_attach_clsact(node->ifindex, m->bpf->prog_tc_tap);
	if (!r && reader) {
		got.log = fcntl(net->log_fd, F_DUPFD_CLOEXEC, 0);
		r = got.log < 0 ? -errno : 0;
	}
	if (!r && lossless) {
		got.room = bpf_room_new(m->bpf, node->in.node);
		r = got.room < 0 ? got.room : 0;
	}
	*cursor = __atomic_load_n(&net->head->head, __ATOMIC_SEQ_CST);
	if (!r && lossless) {
		/*
		 * From its entry in port_out on, the pool is counted with this node: never from
		 * further back than it will begin, and it begins where it already counts. When its
		 * cursor moves up there, that may make room for who was refused in between.
		 */
		__atomic_store_n(&node->page->cursor, *cursor, __ATOMIC_SEQ_CST);
		r = port_out_set(node, true);
		*cursor = __atomic_load_n(&net->head->head, __ATOMIC_SEQ_CST);
		__atomic_store_n(&node->page->cursor, *cursor, __ATOMIC_SEQ_CST);
		if (!r)
			bpf_pool_wake(m->bpf, net->id);
	}
	if (!r)
		r = node_publish(node);
	if (r) {
		err_text(a, r, "cannot join %s: %s", net->info.path, strerror(-r));
		node_fds_close(&got);
		node_del(node, 0, false);
		return r;
	}
	monitor_tell(m, net, node, IPN_WATCH_JOIN);
	node->announced = true;
	policy_tell(net, node, IPN_CALL_POSTNEWPORT);
	*fds = got;
	*out = node;
	return 0;
}

static int device_make(struct node *node, const struct node_want *want, struct errtext *a)
{
	struct manager *m = node->net->m;
	__u32 mtu = device_mtu(node->net);
	int r;

	node->gso = gso_want(node->net);
	if (want->kind == IPN_KIND_XSK)
		r = xsk_make(node, FAB_VETH, want, mtu);
	else if (want->kind == IPN_KIND_TAP)
		r = link_tap_vm(m->link, want->name, want->uid, mtu, &node->ifindex);
	else
		r = link_veth(m->link, FAB_VETH, want->name, want->netns_fd, mtu, node->gso,
			      &node->ifindex);
	if (r == -EEXIST)
		return err_text(
			a, r,
			"interface %s exists (choose another name, or remove it: ip link del %s)",
			want->name, want->name);
	if (r == -EINVAL)
		return err_text(a, r,
				"%s is no name for an interface (1 to 15 bytes, no / : or space)",
				want->name);
	if (r)
		return err_text(a, r, "cannot make interface %s: %s", want->name, strerror(-r));
	return 0;
}

int node_sock(struct net *net, const struct node_want *want, int given, struct node **out,
	      struct errtext *a)
{
	_cleanup_close_ int fd = given;
	struct manager *m = net->m;
	struct node *node;
	int r;

	if (!bpf_policy_takes_socks(m->bpf, net->info.policy))
		return err_text(
			a, -EOPNOTSUPP,
			"%s has a policy (%u) without a program for sock ports: it takes none",
			net->info.path, net->info.policy);
	r = node_new(net, want, 0, &node, a);
	if (r)
		return r;
	node->ifindex = node->in.ifindex = IPN_SOCK_IFINDEX(node->in.node);
	node->in.flags |= IPN_PF_UP;
	snprintf(node->in.name, sizeof(node->in.name), "%s%u", want->name, node->in.node);
	r = node_source(node);
	if (!r)
		r = sock_begin(node, util_take_fd(&fd));
	if (!r)
		r = node_publish(node);
	if (r) {
		err_text(a, r, "cannot attach a socket to %s: %s", net->info.path, strerror(-r));
		node_del(node, 0, false);
		return r;
	}
	monitor_tell(m, net, node, IPN_WATCH_JOIN);
	node->announced = true;
	policy_tell(net, node, IPN_CALL_POSTNEWPORT);
	*out = node;
	return 0;
}

int node_attach(struct net *net, const struct node_want *wanted, struct node **out,
		struct errtext *a)
{
	struct node_want full = *wanted, *want = &full;
	struct manager *m = net->m;
	struct link_info far;
	struct node *node;
	size_t memory = 0;
	int r;

	if (want->kind == IPN_KIND_XSK) {
		r = xsk_check(net, want, a);
		if (r)
			return r;
		want->flags |= want->own ? IPN_PF_OWN : 0;
		memory = want->own ? 0 : (size_t)want->frames * want->frame_size;
	}
	r = node_new(net, want, memory, &node, a);
	if (r)
		return r;
	util_copy(node->in.name, sizeof(node->in.name), want->name);
	r = want->kind == IPN_KIND_GRAB ? grab_find(node, want->name, a)
					: device_make(node, want, a);
	if (r)
		goto err;
	node->in.ifindex = node->ifindex;
	if (!strcmp(want->name, LINK_NAME_AUTO) && !netdev_far(node, &far))
		util_copy(node->in.name, sizeof(node->in.name), far.name);
	/* not: whose VM is still to come; which may be down */
	if (want->kind != IPN_KIND_TAP && want->kind != IPN_KIND_GRAB && xsk_ready(node))
		node->in.flags |= IPN_PF_UP;
	if (want->netns_fd >= 0) {
		node->in.flags |= IPN_PF_PEER;
		link_netns_inode_of(want->netns_fd, &node->info.netns);
	}
	r = node_source(node);
	if (!r && node->xsk)
		r = xsk_begin(node);
	if (!r)
		r = want->kind == IPN_KIND_GRAB ? grab_begin(node)
		    : node->xsk                 ? xsk_attach(node)
				: bpf_attach_tc(m->bpf, node->ifindex, m->bpf->prog_tc);
	if (!r)
		r = node_deliver(node);
	if (r) {
		err_text(a, r, "cannot attach %s: %s", want->name, strerror(-r));
		goto err;
	}
	gso_update(net);
	monitor_tell(m, net, node, IPN_WATCH_JOIN);
	node->announced = true;
	policy_tell(net, node, IPN_CALL_POSTNEWPORT);
	*out = node;
	return 0;
err:
	node_del(node, 0, false);
	return r;
}

static void interface_end(struct manager *m, __u32 ifindex, bool goes_by_itself);

static int on_orphans(sd_event_source *source, uint64_t usec, void *arg)
{
	struct manager *m = arg;

	(void)source;
	(void)usec;
	node_orphans_end(m);
	return 0;
}

void node_orphans_end(struct manager *m)
{
	batch_delete_begin(m);
	while (m->norphans)
		interface_end(m, m->orphans[--m->norphans], false);
	batch_delete_end(m);
}

__u32 batch_delete_group(const struct manager *m)
{
	return (m->bpf->abi.group & 0x00ffffff) | 0x4a000000;
}

void batch_delete_begin(struct manager *m)
{
	m->batch_delete = true;
}

void batch_delete_end(struct manager *m)
{
	int r = m->batch_count ? link_del_group(m->link, batch_delete_group(m)) : 0;

	m->batch_delete = false;
	m->batch_count = 0;
	if (r && r != -ENODEV)
		log_err("cannot remove interfaces: %s", strerror(-r));
}

/*
 * Removes an interface. The tap of a process that left goes by itself when its descriptor is
 * closed, which is mostly under way, and costs the manager nothing; it is given a moment.
 */
static void interface_end(struct manager *m, __u32 ifindex, bool goes_by_itself)
{
	int r;

	if (goes_by_itself && m->event && m->norphans < ARRAY_SIZE(m->orphans)) {
		m->orphans[m->norphans++] = ifindex;
		if (!m->orphan_timer) {
			sd_event_add_time_relative(m->event, &m->orphan_timer, CLOCK_MONOTONIC,
						   ORPHAN_US, ORPHAN_US / 4, on_orphans, m);
		} else if (m->norphans == 1) {
			sd_event_source_set_time_relative(m->orphan_timer, ORPHAN_US);
			sd_event_source_set_enabled(m->orphan_timer, SD_EVENT_ONESHOT);
		}
		return;
	}
	if (m->batch_delete && !link_set_group(m->link, ifindex, batch_delete_group(m))) {
		m->batch_count++;
		return;
	}
	r = link_del(m->link, ifindex);
	if (r && r != -ENODEV)
		log_err("cannot remove interface %u: %s", ifindex, strerror(-r));
}

/* It went by itself: its number may be given to another interface. */
static void orphan_gone(struct manager *m, __u32 ifindex)
{
	for (__u32 i = 0; i < m->norphans; i++)
		if (m->orphans[i] == ifindex)
			m->orphans[i--] = m->orphans[--m->norphans];
}

void node_del(struct node *node, int why, bool device_gone)
{
	struct net *net = node->net;
	struct manager *m = net->m;
	struct bpf_state *b = m->bpf;
	struct user *u = user_get(m, node->in.uid);
	bool device = is_device(node), lossless = net->info.flags & IPN_FLAG_LOSSLESS;
	bool grabbed = node->in.kind == IPN_KIND_GRAB;
	struct node *peer = node->peer;

	if (peer)
		node->peer = peer->peer = NULL;
	if (node->ifindex) /* else it never joined */
		monitor_tell(m, net, node, IPN_WATCH_LEAVE);
	if (node->announced)
		policy_tell(net, node, IPN_CALL_PREDELPORT);
	port_out_set(node, false);
	if (device && node->ifindex)
		flood_set(node, 0);
	net->ports[node->in.number] = NULL;
	node_count(net);
	policy_tell(net, node, IPN_CALL_DELPORT);
	xsk_end(node);
	if (grabbed && node->ifindex && !device_gone)
		grab_end(m, node->ifindex, node->in.flags);
	if (node->ifindex) {
		bpf_port_del(b, node->ifindex);
		bpf_map_delete_elem(b->fd_port_info, &node->ifindex);
		bpf_detach(b, node->ifindex);
	}
	sock_end(node);
	if (why && node->in.kind == IPN_KIND_PROC)
		bpf_notify(b, node->in.node, IPN_EVENT_GONE, why);
	if (lossless && node->in.kind == IPN_KIND_PROC) {
		bpf_room_ring(b, node->in.node);
		bpf_pool_wake(b, net->id);
	}
	if (node->session)
		session_drop_node(node->session);
	sd_event_source_disable_unref(node->holder);
	if (node->ifindex && !device_gone && !grabbed && node->in.kind != IPN_KIND_SOCK)
		interface_end(m, node->ifindex, !device && !why);
	if (node->page)
		munmap(node->page, sysconf(_SC_PAGESIZE));
	if (node->hh.tbl)
		HASH_DEL(m->nodes, node);
	m->node_by_id[node->in.node] = NULL;
	m->id_state[node->in.node] = ID_STALE;
	refill_later(m);
	if (u) {
		u->nodes--;
		if (node->memory)
			user_log_gone(m, u, net->log_class, IPN_LOG_OF_NODE(node->in.node),
				      node->memory);
	}
	free(node);
	if (peer) /* the veth took its interface along */
		node_del(peer, why, true);
	if (device)
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
		bpf_pool_wake(node->net->m->bpf, node->net->id);
	return r;
}

void node_describe(struct node *node, struct ipn_ctl_port *out, bool stats)
{
	struct link_info link;

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
	memcpy(out->path, node->net->info.path, sizeof(out->path));
	memcpy(out->descr, node->info.descr, sizeof(out->descr));
	if (node->peer) {
		out->peer_port = node->peer->in.number;
		memcpy(out->peer, node->peer->net->info.path, sizeof(out->peer));
	}
	if (!stats)
		return;
	bpf_stats_get(node->net->m->bpf, node->in.node, &out->stats);
	if (node->page) {
		out->stats.out_packets = node->page->rx_packets;
		out->stats.out_bytes = node->page->rx_bytes;
		out->stats.drop[IPN_DROP_OVERRUN] = node->page->overrun;
	} else if (is_device(node) && !link_get(node->net->m->link, node->ifindex, &link)) {
		out->stats.drop[IPN_DROP_DEVICE] = link.tx_dropped;
	}
	xsk_stats(node, &out->stats);
	punt_describe(node->net->m, node->in.node, &out->stats);
}

/* Up: it is set up, and somebody is at the other end. */
static __u32 up_flag(const struct node *node, const struct link_info *link)
{
	__u32 flags = node->in.flags;

	return (link->flags & IFF_UP) && link->running && xsk_ready(node)
		       ? flags | IPN_PF_UP
		       : flags & ~(__u32)IPN_PF_UP;
}

/*
 * Had it joined to the end, and not begun to leave? What is stored last when a port joins, and
 * taken away first when it leaves, stands in `port_out` and `flood_list`. A device's place in
 * `flood_list` is looked for: a manager that died while it made a network smaller may have changed
 * it.
 */
static bool joined(struct net *net, struct ipn_port_in *port)
{
	struct bpf_state *b = net->m->bpf;
	__u32 base = net->info.port_base, at = base + port->number;
	struct ipn_port_out dest;

	if (bpf_map_lookup_elem(b->fd_port_out, &at, &dest) || dest.kind != port->kind ||
	    dest.ifindex != port->ifindex || dest.gen != port->gen)
		return false;
	if (port->kind == IPN_KIND_PROC || port->kind == IPN_KIND_SOCK)
		return true;
	for (__u32 i = 0; i < net->info.numnodes; i++) {
		__u32 flood_at = base + i, flood;

		if (!bpf_map_lookup_elem(b->fd_flood_list, &flood_at, &flood) && flood == at + 1) {
			port->flood_at = i;
			return true;
		}
	}
	return false;
}

/* Is what the port is there for still there? -ENODEV. *link: but for sock ports. */
static int port_stands(struct manager *m, const struct ipn_port_in *port, struct link_info *link)
{
	if (port->kind == IPN_KIND_SOCK)
		return fdstore_find(m, port->node, port->gen) ? 0 : -ENODEV;
	if (link_get(m->link, port->ifindex, link))
		return -ENODEV;
	if (port->kind == IPN_KIND_GRAB ? !grab_stands(m, port->ifindex)
					: link->group != m->bpf->abi.group)
		return -ENODEV;
	if (port->kind == IPN_KIND_PROC && !link->running)
		return -ENODEV; /* nobody holds it; adopt.c removes it */
	return 0;
}

/* A port of the map, its network already there. -ENODEV: its interface, or its socket, is not. */
int node_adopt(struct manager *m, const struct ipn_port_in *found)
{
	struct ipn_port_in now = *found, *port = &now;
	struct net *net = port->net < IPN_MAX_NETS ? m->net_by_id[port->net] : NULL;
	struct user *u = user_get(m, port->uid);
	bool sock = port->kind == IPN_KIND_SOCK;
	_cleanup_close_ int page = -1;
	struct link_info link;
	struct node *node;
	int r;

	if (!net || !u || port->number >= net->info.numnodes || net->ports[port->number] ||
	    port->node >= IPN_MAX_NODES || m->node_by_id[port->node])
		return -EINVAL;
	if (!joined(net, port))
		return -ESTALE;
	r = port_stands(m, port, &link);
	if (r)
		return r;
	node = calloc(1, sizeof(*node));
	if (!node)
		return -ENOMEM;
	node->net = net;
	node->announced = true;
	node->in = *port;
	node->ifindex = port->ifindex;
	bpf_map_lookup_elem(m->bpf->fd_port_info, &node->ifindex, &node->info);
	if (port->kind == IPN_KIND_XSK && xsk_adopt(node)) {
		xsk_free(node);
		free(node);
		return -ENODEV;
	}
	r = sock ? sock_adopt(node, fdstore_find(m, port->node, port->gen)) : 0;
	if (r) {
		free(node);
		return r;
	}
	if (!sock)
		node->in.flags = up_flag(node, &link);
	if (port->flags & IPN_PF_NODELOG) {
		node->memory = net_log_bytes(net->log_class, net->slots);
		m->id_log[port->node] =
			(struct node_log){ .slots = net->slots, .log_class = net->log_class };
	}
	page = port->kind != IPN_KIND_PROC ? -1 : bpf_inner_get(m->bpf->fd_pages, port->node);
	if (page >= 0)
		page_map(node, page);
	HASH_ADD(hh, m->nodes, ifindex, sizeof(node->ifindex), node);
	m->node_by_id[port->node] = node;
	m->id_state[port->node] = ID_USED;
	net->ports[port->number] = node;
	if (port->gen > m->gen)
		m->gen = port->gen;
	u->nodes++;
	u->memory += node->memory;
	if (sock)
		return node_publish(node); /* the rest when its listener stands: sock_adopt_rest */
	/* pinned links were moved to our programs; clsact has no pins */
	if (port->kind == IPN_KIND_GRAB) {
		if (m->bpf->abi.hook == IPN_HOOK_CLSACT)
			bpf_attach_grab(m->bpf, node->ifindex);
	} else if (!is_device(node) || m->bpf->abi.hook == IPN_HOOK_CLSACT)
		bpf_attach_clsact(node->ifindex,
				  !is_device(node) || (node->xsk && !(port->flags & IPN_PF_OWN))
					  ? m->bpf->prog_tc_tap
				  : port->kind == IPN_KIND_CABLE ? m->bpf->prog_tc_cable
								 : m->bpf->prog_tc);
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

static void link_changed(struct manager *m, struct node *node, const struct link_info *info)
{
	struct link_info now;

	if (!is_device(node)) {
		/* old news may be queued: ask how it is now */
		if (!info->running && !link_get(m->link, node->ifindex, &now) && !now.running)
			node_del(node, 0, false);
		return;
	}
	node_link_state(node, info);
}

void node_link_event(const struct link_info *info, bool gone, void *arg)
{
	struct manager *m = arg;
	struct node *node;

	if (gone)
		orphan_gone(m, info->ifindex);
	HASH_FIND(hh, m->nodes, &info->ifindex, sizeof(info->ifindex), node);
	if (!node)
		return;
	if (gone)
		node_del(node, ENODEV, true);
	else
		link_changed(m, node, info);
}

void node_check_links(struct manager *m)
{
	/* by number: with one node others may go */
	for (__u32 i = 0; i < IPN_MAX_NODES; i++) {
		struct node *node = m->node_by_id[i];
		struct link_info info;
		int r;

		if (!node || node->in.kind == IPN_KIND_SOCK)
			continue;
		r = link_get(m->link, node->ifindex, &info);
		if (r == -ENODEV)
			node_del(node, ENODEV, true);
		else if (!r)
			link_changed(m, node, &info);
	}
}
