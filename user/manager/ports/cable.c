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
#include "manager/ports/cable.h"

#include <bpf/bpf.h>
#include <ipn/af_ipn.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/core/gso.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/kernel/bpf.h"
#include "manager/kernel/link.h"
#include "manager/ports/kinds.h"

#define FAB_CABLE "ipnc%d"
/* The segmenter's mark has room for these: bpf/core/cable.h. */
#define IFINDEX_MAX ((1U << 27) - 1)

static int veth_make(struct fabric *f, struct node *const ends[2], struct errtext *e)
{
	struct link_info link;
	__u32 ifindex[2];
	int r = link_cable(f->link, FAB_CABLE, ifindex);

	if (r)
		return err_text(e, r, "cannot make the cable's interfaces: %s", strerror(-r));
	for (int i = 0; i < 2; i++) {
		ends[i]->ifindex = ends[i]->in.ifindex = ifindex[i];
		r = link_get(f->link, ifindex[i], &link);
		if (r)
			return err_text(e, r, "the cable's interface %u is gone: %s", ifindex[i],
					strerror(-r));
		util_copy(ends[i]->in.name, sizeof(ends[i]->in.name), link.name);
		if (ifindex[i] > IFINDEX_MAX)
			return err_text(e, -EOVERFLOW,
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
	return r ? r : bpf_attach_cable(node->net->f->bpf, node->ifindex);
}

int cable_add(struct net *const nets[2], const struct node_want *want, const __s32 ports[2],
	      struct node *ends[2], struct errtext *e)
{
	struct fabric *f = nets[0]->f;
	struct node_want one = *want;
	int r;

	if (nets[0] == nets[1])
		return err_text(e, -EINVAL, "both ends are on %s (a cable joins two networks)",
				nets[0]->info.path);
	ends[0] = ends[1] = NULL;
	one.kind = IPN_KIND_CABLE;
	one.flags = IPN_PF_READER | IPN_PF_WRITER;
	for (int i = 0; i < 2; i++) {
		one.port = ports[i];
		r = node_new(nets[i], &one, 0, &ends[i], e);
		if (r)
			goto err;
	}
	ends[0]->peer = ends[1];
	ends[1]->peer = ends[0];
	r = veth_make(f, ends, e);
	if (r)
		goto err;
	for (int i = 0; !r && i < 2; i++)
		r = end_begin(ends[i]);
	for (int i = 0; !r && i < 2; i++)
		r = node_deliver(ends[i]);
	if (r) {
		err_text(e, r, "cannot join %s and %s: %s", nets[0]->info.path, nets[1]->info.path,
			 strerror(-r));
		goto err;
	}
	for (int i = 0; i < 2; i++) {
		gso_update(nets[i]);
		node_joined(ends[i]);
	}
	return 0;
err:
	if (ends[0])
		node_del(ends[0], 0, false);
	return r;
}

/* After all ports were taken over: who belongs to whom. */
int cable_adopt(struct fabric *f)
{
	int r;

	for (__u32 i = 0; i < IPN_MAX_NODES; i++) {
		struct node *node = f->node_by_id[i], *other = NULL;
		struct link_info link;

		if (!node || !(node->kind->flags & KIND_PAIRED) || node->peer)
			continue;
		r = link_get(f->link, node->ifindex, &link);
		if (util_cannot_tell(r))
			return r;
		if (!r)
			HASH_FIND(hh, f->nodes, &link.peer, sizeof(link.peer), other);
		if (other && (other->kind->flags & KIND_PAIRED) && other->net != node->net &&
		    !other->peer) {
			node->peer = other;
			other->peer = node;
			continue;
		}
		log_notice("removed a cable of %s, which was left half made", node->net->info.path);
		node_del(node, ENODEV, false);
	}
	return 0;
}

static void cable_reattach(struct node *node)
{
	struct bpf_state *b = node->net->f->bpf;

	if (b->abi.hook == IPN_HOOK_CLSACT)
		bpf_attach_clsact(node->ifindex, b->prog_tc_cable);
}

const struct port_kind port_kind_cable = {
	.kind = IPN_KIND_CABLE,
	.flags = KIND_DEVICE | KIND_PAIRED,
	.stands = node_interface_stands,
	.reattach = cable_reattach,
	.stats = node_interface_stats,
};
