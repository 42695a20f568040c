// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Interfaces that are the host's, and those that belong to a process's socket.
 *
 * A grabbed interface was there before and stays when its port goes, as it was found: not in the
 * fabric's group, never removed. What is done to it is written into the port's flags before it is
 * done, and undone before the flags go, so that whoever finds the port also after a crash can undo
 * it:
 *	program        our own, beside those of others, which come after it
 *	clsact         where there is no tcx: the qdisc, if there was none; it stays if filters of
 *	               others have been put there
 *	promiscuous    as IFF_PROMISC and not by a packet socket of the manager: traffic goes on
 *	               without a manager. Undone only if it was not so before
 *
 * A port that a socket made ends with its session (IPN_PF_HELD), unless it was made persistent.
 * After the death of a manager the session is gone and tells nothing: then the port ends with the
 * process, or when its library, connected again, says so.
 */
#include "core.h"

#include <bpf/bpf.h>
#include <linux/if_arp.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

/* --- grabbing --- */

/* Is it an end of something a fabric made, this one or another? */
static bool of_a_fabric(struct manager *m, const struct link_info *link)
{
	struct link_info peer;

	if ((link->group & 0xff000000) == (m->bpf->abi.group & 0xff000000))
		return true;
	/* what a port sends would come back through its other end, for ever */
	return !strcmp(link->kind, "veth") && !link_get(m->link, link->peer, &peer) &&
	       peer.peer == link->ifindex &&
	       (peer.group & 0xff000000) == (m->bpf->abi.group & 0xff000000);
}

int grab_find(struct node *node, const char *name, struct errtext *a)
{
	struct manager *m = node->net->m;
	struct link_info link;
	struct node *other;

	if (link_find(m->link, name, &link))
		return err_text(a, -EINVAL, "there is no interface %s to grab (see: ip link)",
				name);
	if ((link.flags & IFF_LOOPBACK) || link.type != ARPHRD_ETHER)
		return err_text(a, -EINVAL,
				"interface %s is no Ethernet interface, only these can "
				"be grabbed",
				name);
	HASH_FIND(hh, m->nodes, &link.ifindex, sizeof(link.ifindex), other);
	if (other)
		return err_text(a, -EBUSY, "interface %s is a port of %s already", name,
				other->net->info.path);
	if (of_a_fabric(m, &link))
		return err_text(a, -EBUSY, "interface %s belongs to a port of a fabric already",
				name);
	if (m->bpf->abi.hook == IPN_HOOK_TCX && bpf_grabbed(link.ifindex))
		return err_text(a, -EBUSY, "interface %s is grabbed by another fabric", name);
	node->ifindex = link.ifindex;
	if ((link.flags & IFF_UP) && link.running)
		node->in.flags |= IPN_PF_UP;
	if (!(link.flags & IFF_PROMISC))
		node->in.flags |= IPN_PF_PROMISC;
	if (m->bpf->abi.hook == IPN_HOOK_CLSACT && !link_has_clsact(m->link, link.ifindex))
		node->in.flags |= IPN_PF_QDISC;
	return 0;
}

int grab_begin(struct node *node)
{
	struct manager *m = node->net->m;
	int r = bpf_attach_grab(m->bpf, node->ifindex);

	if (!r && (node->in.flags & IPN_PF_PROMISC))
		r = link_set_promisc(m->link, node->ifindex, true);
	return r;
}

bool grab_stands(struct manager *m, __u32 ifindex)
{
	struct link_info link;

	return !link_get(m->link, ifindex, &link) && bpf_grab_pinned(m->bpf, ifindex);
}

void grab_end(struct manager *m, __u32 ifindex, __u32 flags)
{
	int r = 0;

	if (flags & IPN_PF_PROMISC)
		r = link_set_promisc(m->link, ifindex, false);
	if (r && r != -ENODEV)
		log_err("interface %u stays promiscuous: %s", ifindex, strerror(-r));
	bpf_detach(m->bpf, ifindex);
	if (m->bpf->abi.hook == IPN_HOOK_CLSACT)
		bpf_detach_clsact_grab(ifindex, (flags & IPN_PF_QDISC) &&
							link_filters(m->link, ifindex) <= 1);
}

/* --- finding --- */

/* The name of the other end, where that is here. */
int netdev_far(struct node *node, struct link_info *far)
{
	struct link_ctx *link = node->net->m->link;
	struct link_info near;

	if (link_get(link, node->ifindex, &near) || link_get(link, near.peer, far) ||
	    far->peer != node->ifindex)
		return -ENODEV;
	return 0;
}

struct node *netdev_find(struct manager *m, const char *name, __u32 ifindex)
{
	struct link_info link;
	struct node *node;

	if ((!*name || link_find(m->link, name, &link)) && link_get(m->link, ifindex, &link))
		return NULL;
	HASH_FIND(hh, m->nodes, &link.ifindex, sizeof(link.ifindex), node);
	if (node && node->in.kind == IPN_KIND_CABLE) /* nobody's */
		return NULL;
	if (node)
		return node->in.kind == IPN_KIND_PROC ? NULL : node;
	if (strcmp(link.kind, "veth"))
		return NULL;
	HASH_FIND(hh, m->nodes, &link.peer, sizeof(link.peer), node);
	return node && node->in.kind != IPN_KIND_PROC && !netdev_far(node, &link) ? node : NULL;
}

/* --- whose it is --- */

int netdev_hold(struct node *node, __u32 pid)
{
	node->holder = sd_event_source_disable_unref(node->holder);
	node->info.pid = pid;
	return bpf_map_update_elem(node->net->m->bpf->fd_port_info, &node->ifindex, &node->info,
				   BPF_ANY)
		       ? -errno
		       : 0;
}

int netdev_persist(struct node *node, bool on)
{
	if (on)
		node->in.flags &= ~(__u32)IPN_PF_HELD;
	else
		node->in.flags |= IPN_PF_HELD;
	if (on)
		node->holder = sd_event_source_disable_unref(node->holder);
	if (on || node->session || node->holder)
		return node_publish(node);
	node_del(node, 0, false);
	return 0;
}

static int on_holder_gone(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	(void)source;
	(void)fd;
	(void)events;
	node_del(arg, 0, false);
	return 0;
}

void netdev_watch_holders(struct manager *m)
{
	struct node *node, *tmp;

	HASH_ITER(hh, m->nodes, node, tmp) {
		int fd;

		if (!(node->in.flags & IPN_PF_HELD) || node->session)
			continue;
		fd = (int)syscall(SYS_pidfd_open, node->info.pid, 0);
		if (fd >= 0 && sd_event_add_io(m->event, &node->holder, fd, EPOLLIN, on_holder_gone,
					       node) >= 0) {
			sd_event_source_set_io_fd_own(node->holder, true);
			continue;
		}
		if (fd >= 0)
			close(fd);
		node_del(node, 0, false);
	}
}
