// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Cables: a port of one network and a port of another, which are the two ends of one veth pair.
 *
 * Each end is a node like that of an interface, owned by its network, and knows the other one
 * (node->peer). They live and die together: node_del of one takes the other along, so a cable ends
 * with either network, with either port, and with its veth.
 *
 * Making, in this order: both numbers; the veth; for both ends the entries in `port_info` and
 * `port_in` and the program; then both ends are delivered to. Who fails takes the first node away,
 * and with it all that stands. A manager that dies in between leaves a veth with two ends, one or
 * none in the maps; the next one takes over a cable when it finds both ends whole, and removes
 * it otherwise. Which end belongs to which, the kernel knows: nothing else has to be stored.
 */
#include "core.h"

#include <bpf/bpf.h>
#include <ipn/af_ipn.h>

#define FAB_CABLE "ipnc%d"
/* The segmenter's mark has room for these: bpf/core/cable.h. */
#define IFINDEX_MAX ((1U << 27) - 1)

static int veth_make(struct manager *m, struct node *const ends[2], struct errtext *a)
{
	struct link_info link;
	__u32 ifindex[2];
	int r = link_cable(m->link, FAB_CABLE, ifindex);

	if (r)
		return err_text(a, r, "cannot make the cable's interfaces: %s", strerror(-r));
	for (int i = 0; i < 2; i++) {
		ends[i]->ifindex = ends[i]->in.ifindex = ifindex[i];
		r = link_get(m->link, ifindex[i], &link);
		if (r)
			return err_text(a, r, "the cable's interface %u is gone: %s", ifindex[i],
					strerror(-r));
		util_copy(ends[i]->in.name, sizeof(ends[i]->in.name), link.name);
		if (ifindex[i] > IFINDEX_MAX)
			return err_text(a, -EOVERFLOW,
					"this namespace has had so many interfaces that number %u "
					"is too big for a cable",
					ifindex[i]);
	}
	return 0;
}

/* An end whose interface stands becomes a source. */
static int end_begin(struct node *node)
{
	int r;

	node->in.flags |= IPN_PF_UP;
	r = node_source(node);
	return r ? r : bpf_attach_cable(node->net->m->bpf, node->ifindex);
}

int cable_add(struct net *const nets[2], const struct node_want *want, const __s32 ports[2],
	      struct node *ends[2], struct errtext *a)
{
	struct manager *m = nets[0]->m;
	struct node_want one = *want;
	int r;

	if (nets[0] == nets[1])
		return err_text(a, -EINVAL, "both ends are on %s (a cable joins two networks)",
				nets[0]->info.path);
	ends[0] = ends[1] = NULL;
	one.kind = IPN_KIND_CABLE;
	one.flags = IPN_PF_READER | IPN_PF_WRITER;
	for (int i = 0; i < 2; i++) {
		one.port = ports[i];
		r = node_new(nets[i], &one, 0, &ends[i], a);
		if (r)
			goto err;
	}
	ends[0]->peer = ends[1];
	ends[1]->peer = ends[0];
	r = veth_make(m, ends, a);
	if (r)
		goto err;
	for (int i = 0; !r && i < 2; i++)
		r = end_begin(ends[i]);
	for (int i = 0; !r && i < 2; i++)
		r = node_deliver(ends[i]);
	if (r) {
		err_text(a, r, "cannot join %s and %s: %s", nets[0]->info.path, nets[1]->info.path,
			 strerror(-r));
		goto err;
	}
	for (int i = 0; i < 2; i++) {
		gso_update(nets[i]);
		monitor_tell(m, nets[i], ends[i], IPN_WATCH_JOIN);
		ends[i]->announced = true;
		policy_tell(nets[i], ends[i], IPN_CALL_POSTNEWPORT);
	}
	return 0;
err:
	if (ends[0])
		node_del(ends[0], 0, false);
	return r;
}

/* After all ports were taken over: who belongs to whom. */
void cable_adopt(struct manager *m)
{
	for (__u32 i = 0; i < IPN_MAX_NODES; i++) {
		struct node *node = m->node_by_id[i], *other = NULL;
		struct link_info link;

		if (!node || node->in.kind != IPN_KIND_CABLE || node->peer)
			continue;
		if (!link_get(m->link, node->ifindex, &link))
			HASH_FIND(hh, m->nodes, &link.peer, sizeof(link.peer), other);
		if (other && other->in.kind == IPN_KIND_CABLE && other->net != node->net &&
		    !other->peer) {
			node->peer = other;
			other->peer = node;
			continue;
		}
		log_notice("removed a cable of %s, which was left half made", node->net->info.path);
		node_del(node, ENODEV, false);
	}
}
