// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A grabbed interface was there before and stays when its port goes, as it was found: not in the
 * fabric's group, never removed. What is done to it is written into the port's flags before it is
 * done, and undone before the flags go, so that whoever finds the port also after a crash can undo
 * it:
 *	program        our own, beside those of others, which come after it
 *	clsact         where there is no tcx: the qdisc, if there was none; it stays if filters of
 *	               others have been put there
 *	promiscuous    as IFF_PROMISC and not by a packet socket of the manager: traffic goes on
 *	               without a manager. Undone only if it was not so before
 */
#include <linux/if_arp.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/kernel/bpf.h"
#include "manager/kernel/link.h"
#include "manager/ports/kinds.h"
#include "manager/ports/port.h"

/* Is it an end of something a fabric made, this one or another? */
static bool of_a_fabric(struct fabric *f, const struct link_info *link)
{
	struct link_info peer;

	if ((link->group & 0xff000000) == (f->bpf->abi.group & 0xff000000))
		return true;
	/* what a port sends would come back through its other end, for ever */
	return !strcmp(link->kind, "veth") && !link_get(f->link, link->peer, &peer) &&
	       peer.peer == link->ifindex &&
	       (peer.group & 0xff000000) == (f->bpf->abi.group & 0xff000000);
}

static int grab_make(struct node *node, const struct node_want *want, struct errtext *e)
{
	struct fabric *f = node->net->f;
	const char *name = want->name;
	struct link_info link;
	struct node *other;

	if (link_find(f->link, name, &link))
		return err_text(e, -EINVAL, "there is no interface %s to grab (see: ip link)",
				name);
	if ((link.flags & IFF_LOOPBACK) || link.type != ARPHRD_ETHER)
		return err_text(e, -EINVAL,
				"interface %s is no Ethernet interface, only these can "
				"be grabbed",
				name);
	HASH_FIND(hh, f->nodes, &link.ifindex, sizeof(link.ifindex), other);
	if (other)
		return err_text(e, -EBUSY, "interface %s is a port of %s already", name,
				other->net->info.path);
	if (of_a_fabric(f, &link))
		return err_text(e, -EBUSY, "interface %s belongs to a port of a fabric already",
				name);
	if (f->bpf->abi.hook == IPN_HOOK_TCX && bpf_grabbed(link.ifindex))
		return err_text(e, -EBUSY, "interface %s is grabbed by another fabric", name);
	node->ifindex = link.ifindex;
	if ((link.flags & IFF_UP) && link.running)
		node->in.flags |= IPN_PF_UP;
	if (!(link.flags & IFF_PROMISC))
		node->in.flags |= IPN_PF_PROMISC;
	if (f->bpf->abi.hook == IPN_HOOK_CLSACT && !link_has_clsact(f->link, link.ifindex))
		node->in.flags |= IPN_PF_QDISC;
	return 0;
}

static int grab_attach(struct node *node)
{
	struct fabric *f = node->net->f;
	int r = bpf_attach_grab(f->bpf, node->ifindex);

	if (!r && (node->in.flags & IPN_PF_PROMISC))
		r = link_set_promisc(f->link, node->ifindex, true);
	return r;
}

static bool grab_there(struct fabric *f, __u32 ifindex)
{
	struct link_info link;

	return !link_get(f->link, ifindex, &link) && bpf_grab_pinned(f->bpf, ifindex);
}

/* Leaves the interface as it was found. flags: of the port. */
static void grab_give_back(struct fabric *f, __u32 ifindex, __u32 flags)
{
	int r = 0;

	if (flags & IPN_PF_PROMISC)
		r = link_set_promisc(f->link, ifindex, false);
	if (r && r != -ENODEV)
		log_err("interface %u stays promiscuous: %s", ifindex, strerror(-r));
	bpf_detach(f->bpf, ifindex);
	if (f->bpf->abi.hook == IPN_HOOK_CLSACT)
		bpf_detach_clsact_grab(ifindex, (flags & IPN_PF_QDISC) &&
							link_filters(f->link, ifindex) <= 1);
}

static int grab_stands(struct fabric *f, const struct ipn_port_in *port, struct link_info *link)
{
	int r = link_get(f->link, port->ifindex, link);

	return r ? r : bpf_grab_pinned(f->bpf, port->ifindex) ? 0 : -ENODEV;
}

static void grab_reattach(struct node *node)
{
	struct bpf_state *b = node->net->f->bpf;

	if (b->abi.hook == IPN_HOOK_CLSACT)
		bpf_attach_grab(b, node->ifindex);
}

static void grab_end(struct node *node, bool gone)
{
	if (node->ifindex && !gone)
		grab_give_back(node->net->f, node->ifindex, node->in.flags);
}

static void grab_forget(struct fabric *f, const struct ipn_port_in *port)
{
	if (grab_there(f, port->ifindex))
		grab_give_back(f, port->ifindex, port->flags);
}

const struct port_kind port_kind_grab = {
	.kind = IPN_KIND_GRAB,
	.flags = KIND_DEVICE | KIND_ATTACH | KIND_FOREIGN | KIND_PLAIN_GSO | KIND_ADMIN,
	.make = grab_make,
	.attach = grab_attach,
	.stands = grab_stands,
	.reattach = grab_reattach,
	.stats = node_interface_stats,
	.end = grab_end,
	.release = port_release,
	.forget = grab_forget,
};
