// SPDX-License-Identifier: GPL-2.0-or-later
/* What must be true of every fabric: maps, interfaces, pins and quotas agree with the objects. */
#include "rig.h"

#include <bpf/bpf.h>
#include <dirent.h>

#include "manager/access/quota.h"
#include "manager/core/interfaces.h"
#include "manager/core/logs.h"
#include "manager/core/net.h"
#include "manager/core/port_kind.h"
#include "manager/kernel/bpf.h"
#include "manager/policies/l3.h"

#define SCAN 128 /* ports that the tests use at most, all networks together */

void rig_map(const char *name, const void *key, void *value)
{
	if (bpf_map_lookup_elem(stub_map(name), key, value))
		fail_msg("%s: no entry", name);
}

static void check_port_in(const struct rig *r, const struct node *node)
{
	struct ipn_port_in in, cached;
	struct ipn_port_info info;
	__u32 at = node->ifindex & (IPN_PORT_CACHE - 1);

	rig_map("ipn_port_in", &node->ifindex, &in);
	assert_memory_equal(&in, &node->in, sizeof(in));
	rig_map("ipn_port_info", &node->ifindex, &info);
	assert_memory_equal(&info, &node->info, sizeof(info));
	rig_map("ipn_port_cache", &at, &cached);
	if (cached.ifindex == node->ifindex)
		assert_memory_equal(&cached, &node->in, sizeof(cached));
	assert_int_equal(node->net->ports[node->in.number] == node, 1);
	assert_int_equal(r->f.node_by_id[node->in.node] == node, 1);
}

static void check_port_out(const struct rig *r, const struct node *node)
{
	__u32 at = node->net->info.port_base + node->in.number, flood;
	struct ipn_port_out out;

	rig_map("ipn_port_out", &at, &out);
	assert_int_equal(out.kind, node->in.kind);
	assert_int_equal(out.flags, node->in.flags);
	assert_int_equal(out.ifindex, node->in.ifindex);
	assert_int_equal(out.node, node->in.node);
	assert_int_equal(out.gen, node->in.gen);
	assert_true(node->in.gen <= r->f.gen);
	if (!(node->kind->flags & KIND_DEVICE))
		return;
	flood = node->net->info.port_base + node->in.flood_at;
	rig_map("ipn_flood_list", &flood, &at);
	assert_int_equal(at, node->net->info.port_base + node->in.number + 1);
	assert_true(node->in.flood_at < r->f.bpf->net_fast[node->net->id].flood_len);
}

const struct node *rig_node(const struct rig *r, __u32 ifindex)
{
	const struct node *node;

	HASH_FIND(hh, r->f.nodes, &ifindex, sizeof(ifindex), node);
	return node;
}

static struct net *net_of_place(const struct rig *r, __u32 at)
{
	struct net *net, *tmp;

	HASH_ITER(hh, r->f.nets, net, tmp)
		if (at >= net->info.port_base && at < net->info.port_base + net->info.numnodes)
			return net;
	return NULL;
}

/* The entry of an array, which is always there. */
static void place(int map, __u32 at, void *value)
{
	assert_int_equal(bpf_map_lookup_elem(map, &at, value), 0);
}

/* No entry without a port behind it, but where no network is: a network clears its place first. */
static void check_no_more(const struct rig *r)
{
	const int out_map = stub_map("ipn_port_out"), flood_map = stub_map("ipn_flood_list"),
		  cache = stub_map("ipn_port_cache");

	assert_int_equal(stub_count("ipn_port_in"), HASH_COUNT(r->f.nodes));
	assert_int_equal(stub_count("ipn_port_info"), HASH_COUNT(r->f.nodes));
	assert_int_equal(stub_count("ipn_socks"), r->f.socks);
	assert_int_equal(stub_count("ipn_sk_ports"), r->f.socks);
	for (__u32 at = 0; at < SCAN; at++) {
		const struct net *net = net_of_place(r, at);
		struct ipn_port_in cached;
		struct ipn_port_out out;
		const struct node *node;
		__u32 flood;

		place(cache, at, &cached);
		if (cached.ifindex)
			assert_non_null(rig_node(r, cached.ifindex));
		if (!net)
			continue;
		place(out_map, at, &out);
		if (out.kind)
			assert_non_null(net->ports[at - net->info.port_base]);
		place(flood_map, at, &flood);
		if (flood) {
			assert_ptr_equal(net_of_place(r, flood - 1), net);
			node = net->ports[flood - 1 - net->info.port_base];
			assert_non_null(node);
			assert_int_equal(node->in.flood_at, at - net->info.port_base);
		}
	}
}

static void check_counts(const struct rig *r, const struct net *net)
{
	const struct ipn_net_fast *fast = &r->f.bpf->net_fast[net->id];
	__u32 readers = 0, devices = 0, cables = 0, socks = 0, ports = 0;

	for (__u32 i = 0; i < net->info.numnodes; i++) {
		const struct node *n = net->ports[i];

		if (!n)
			continue;
		ports++;
		readers += n->in.kind == IPN_KIND_PROC && (n->in.flags & IPN_PF_READER);
		cables += n->in.kind == IPN_KIND_CABLE;
		socks += n->in.kind == IPN_KIND_SOCK;
		devices += (n->kind->flags & KIND_DEVICE) && n->in.kind != IPN_KIND_CABLE;
	}
	assert_int_equal(net->nports, ports);
	assert_int_equal(fast->readers, readers);
	assert_int_equal(fast->devices, devices);
	assert_int_equal(fast->cables, cables);
	assert_int_equal(fast->socks, socks);
}

/* No exchange of logs is half done: programs, readers and the manager have the same one, open. */
static void check_log(const struct net *net)
{
	int fd = bpf_inner_get(net->f->bpf->fd_logs[net->log_class], IPN_LOG_OF_NET(net->id));

	assert_true(fd >= 0 && bpf_log_is(fd, net->slots));
	close(fd);
	assert_int_equal(net->info.rotating, 0);
	assert_false(net->shut);
	assert_int_equal(net->head->closed, 0);
	for (__u32 i = 0; i < net->info.numnodes; i++) {
		const struct node *node = net->ports[i];

		if (node && node->page)
			assert_int_equal(node->page->log, IPN_LOG_IS(net->head->serial));
	}
	assert_int_equal(net->head->head, net->head->start); /* nothing is sent here */
}

static void check_net(const struct rig *r, const struct net *net)
{
	const struct ipn_net_fast *fast = &r->f.bpf->net_fast[net->id];
	struct ipn_net_info info;
	__u32 id;

	rig_map("ipn_net_info", &net->id, &info);
	assert_memory_equal(&info, &net->info, sizeof(info));
	assert_int_equal(fast->policy, net->info.policy);
	assert_int_equal(fast->mtu, net->info.mtu);
	assert_int_equal(fast->numnodes, net->info.numnodes);
	assert_int_equal(fast->port_base, net->info.port_base);
	assert_int_equal(fast->log_class, net->log_class);
	assert_int_equal(fast->log_mask, net->slots - 1);
	assert_int_equal(fast->flags, net->info.flags);
	assert_int_equal(fast->pool, net->info.pool);
	assert_true(fast->flood_len <= net->info.numnodes);
	assert_int_equal(bpf_map_lookup_elem(r->f.bpf->fd_logs[net->log_class], &net->id, &id), 0);
	assert_true(net->log_fd >= 0 && net->head);
	check_log(net);
	assert_int_equal(!bpf_map_lookup_elem(r->f.bpf->fd_l3_route4, &net->id, &id),
			 net->info.policy == IPN_POLICY_L3);
	check_counts(r, net);
}

static void check_nets(const struct rig *r)
{
	struct net *net, *tmp;

	HASH_ITER(hh, r->f.nets, net, tmp)
		check_net(r, net);
	assert_int_equal(stub_count("ipn_net_info"), HASH_COUNT(r->f.nets));
	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		if (r->f.net_by_id[id])
			continue;
		if (r->f.bpf->net_fast[id].policy)
			fail_msg("net_fast[%u] has policy %u and no network", id,
				 r->f.bpf->net_fast[id].policy);
	}
}

static void check_interfaces(const struct rig *r)
{
	const struct ipn_abi *abi = &r->f.bpf->abi;
	const struct node *node, *tmp;

	for (const struct stub_if *i = stub_if_first(); i; i = i->next) {
		bool ours = i->group == abi->group || i->group == batch_delete_group(&r->f);

		node = rig_node(r, i->ifindex);
		if (ours && !node && i->ifindex != abi->segmenter &&
		    i->ifindex != abi->segmenter_out)
			fail_msg("interface %s is nobody's", i->name);
		if (!strcmp(i->kind, "dummy") && !node && (i->promisc || i->filters || i->clsact))
			fail_msg("interface %s was not given back", i->name);
	}
	HASH_ITER(hh, r->f.nodes, node, tmp)
		if (!(node->kind->flags & KIND_NO_LINK))
			assert_non_null(stub_if_get(node->ifindex));
}

/* Each pin is of an interface of a port, or of the far end of one. */
static void check_pins(const struct rig *r)
{
	DIR *d = opendir(rig_path(r, "ipn-fabric/v1/link"));
	const struct dirent *e;

	assert_non_null(d);
	while ((e = readdir(d))) {
		__u32 ifindex = (__u32)strtoul(e->d_name, NULL, 10);
		const struct stub_if *i = stub_if_get(ifindex);

		if (e->d_name[0] == '.')
			continue;
		if (!i)
			fail_msg("pin %s of an interface that is gone", e->d_name);
		if (ifindex != r->f.bpf->abi.segmenter_out && !rig_node(r, ifindex) &&
		    !(i && i->peer && rig_node(r, i->peer)))
			fail_msg("pin %s of an interface that is no port's", e->d_name);
	}
	closedir(d);
}

static void check_xsk(const struct rig *r)
{
	const int cache = stub_map("ipn_xsk_cache");
	const struct node *node, *tmp;
	unsigned int n = 0;

	HASH_ITER(hh, r->f.nodes, node, tmp)
		n += node->in.kind == IPN_KIND_XSK && !(node->in.flags & IPN_PF_OWN);
	assert_int_equal(stub_count("ipn_xskports"), n);
	for (__u32 at = 0; at < SCAN; at++) {
		struct ipn_xsk_cache cached;
		struct ipn_xskport x;

		place(cache, at, &cached);
		if (cached.ifindex)
			rig_map("ipn_xskports", &cached.ifindex, &x);
	}
}

void rig_check_quota(const struct rig *r, __u32 uid)
{
	const struct user *u = user_get(r->f.users, uid);
	const struct node *node, *ntmp;
	const struct net *net, *tmp;
	__u32 nets = 0, nodes = 0;
	size_t memory = 0;

	HASH_ITER(hh, r->f.nets, net, tmp) {
		if (net->info.account != uid)
			continue;
		nets++;
		memory += log_bytes(net->log_class, net->slots);
		if (net->info.policy == IPN_POLICY_L3)
			memory += l3_bytes(net->info.routes);
	}
	HASH_ITER(hh, r->f.nodes, node, ntmp) {
		if (node->in.account != uid)
			continue;
		nodes++;
		memory += node->memory;
	}
	assert_int_equal(u->has[QUOTA_NETS], nets);
	assert_int_equal(u->has[QUOTA_NODES], nodes);
	if (!u->held)
		assert_int_equal(u->has[QUOTA_MEMORY], memory);
}

void rig_check(const struct rig *r)
{
	const struct node *node, *tmp;

	HASH_ITER(hh, r->f.nodes, node, tmp) {
		check_port_in(r, node);
		check_port_out(r, node);
	}
	check_no_more(r);
	check_nets(r);
	check_interfaces(r);
	check_pins(r);
	check_xsk(r);
}
