// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/ports/device.h"

#include "common/errtext.h"
#include "common/util.h"
#include "manager/core/gso.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/kernel/bpf.h"
#include "manager/kernel/link.h"
#include "manager/ports/kinds.h"
#include "manager/ports/port.h"

/* The name of the other end, where that is here. */
int device_far(struct node *node, struct link_info *far)
{
	struct link_ctx *link = node->net->f->link;
	struct link_info near;
	int r = link_get(link, node->ifindex, &near);

	if (!r)
		r = link_get(link, near.peer, far);
	return !r && far->peer != node->ifindex ? -ENODEV : r;
}

int device_make_failed(int r, const struct node_want *want, struct errtext *e)
{
	if (r == -EEXIST)
		return err_text(e, r,
				"interface %s exists (choose another name, or remove it: ip link "
				"del %s)",
				want->name, want->name);
	if (r == -EINVAL)
		return err_text(e, r,
				"%s is no name for an interface (1 to 15 bytes, no / : or space)",
				want->name);
	return err_text(e, r, "cannot make interface %s: %s", want->name, strerror(-r));
}

/* It is not up: its VM is still to come. */
static int tap_make(struct node *node, const struct node_want *want, struct errtext *e)
{
	struct net *net = node->net;
	int r = link_tap_vm(net->f->link, want->name, want->uid, net_device_mtu(net),
			    &node->ifindex);

	return r ? device_make_failed(r, want, e) : 0;
}

static int veth_make(struct node *node, const struct node_want *want, struct errtext *e)
{
	struct net *net = node->net;
	struct link_info far;
	int r;

	node->gso = gso_want(net);
	r = link_veth(net->f->link, FAB_VETH, want->name, want->netns_fd, net_device_mtu(net),
		      node->gso, &node->ifindex);
	if (r)
		return device_make_failed(r, want, e);
	if (!strcmp(want->name, LINK_NAME_AUTO) && !device_far(node, &far))
		util_copy(node->in.name, sizeof(node->in.name), far.name);
	node->in.flags |= IPN_PF_UP;
	if (want->netns_fd >= 0) {
		node->in.flags |= IPN_PF_PEER;
		link_netns_inode_of(want->netns_fd, &node->info.netns);
	}
	return 0;
}

int device_attach(struct node *node)
{
	struct bpf_state *b = node->net->f->bpf;

	return bpf_attach_tc(b, node->ifindex, b->prog_tc);
}

/* Only now anything comes out of it: before, it would have been the host's. */
static int veth_attach(struct node *node)
{
	int r = device_attach(node);

	return r ? r : link_set_up(node->net->f->link, node->ifindex);
}

/* Pinned links were moved to our programs; clsact has no pins. */
void device_reattach(struct node *node)
{
	struct bpf_state *b = node->net->f->bpf;

	if (b->abi.hook == IPN_HOOK_CLSACT)
		bpf_attach_clsact(node->ifindex, b->prog_tc);
}

const struct port_kind port_kind_tap = {
	.kind = IPN_KIND_TAP,
	.flags = KIND_DEVICE | KIND_ATTACH | KIND_PLAIN_GSO,
	.make = tap_make,
	.attach = device_attach,
	.stands = node_interface_stands,
	.reattach = device_reattach,
	.stats = node_interface_stats,
	.release = port_release,
};

const struct port_kind port_kind_veth = {
	.kind = IPN_KIND_VETH,
	.flags = KIND_DEVICE | KIND_ATTACH | KIND_TELL_GSO,
	.make = veth_make,
	.attach = veth_attach,
	.stands = node_interface_stands,
	.reattach = device_reattach,
	.stats = node_interface_stats,
	.release = port_release,
};

const struct port_kind port_kind_host = {
	.kind = IPN_KIND_HOST,
	.flags = KIND_DEVICE | KIND_ATTACH | KIND_TELL_GSO | KIND_ADMIN,
	.make = veth_make,
	.attach = veth_attach,
	.stands = node_interface_stands,
	.reattach = device_reattach,
	.stats = node_interface_stats,
	.release = port_release,
};
