// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/ports/port.h"

#include <sys/epoll.h>
#include <sys/syscall.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/core/gso.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/kernel/link.h"
#include "manager/ports/device.h"

int port_attach(struct net *net, const struct node_want *wanted, struct node **out,
		struct errtext *e)
{
	const struct port_kind *kind = net->f->kinds[wanted->kind];
	struct node_want want = *wanted;
	struct node *node;
	size_t memory = 0;
	int r;

	r = kind->check ? kind->check(net, &want, &memory, e) : 0;
	if (!r)
		r = node_new(net, &want, memory, &node, e);
	if (r)
		return r;
	util_copy(node->in.name, sizeof(node->in.name), want.name);
	r = kind->make(node, &want, e);
	if (r)
		goto err;
	node->in.ifindex = node->ifindex;
	r = node_source(node);
	if (!r && kind->begin)
		r = kind->begin(node);
	if (!r)
		r = kind->attach(node);
	if (!r)
		r = node_deliver(node);
	if (r) {
		err_text(e, r, "cannot attach %s: %s", want.name, strerror(-r));
		goto err;
	}
	gso_update(net);
	node_joined(node);
	*out = node;
	return 0;
err:
	node_del(node, 0, false);
	return r;
}

/* --- whose it is --- */

void port_release(struct node *node)
{
	/* an interface that is persistent goes on without a socket */
	if (node->in.flags & IPN_PF_HELD)
		node_del(node, 0, false);
}

struct node *port_find(struct fabric *f, const char *name, __u32 ifindex)
{
	struct link_info link;
	struct node *node;

	if ((!*name || link_find(f->link, name, &link)) && link_get(f->link, ifindex, &link))
		return NULL;
	HASH_FIND(hh, f->nodes, &link.ifindex, sizeof(link.ifindex), node);
	if (node)
		return node->kind->flags & KIND_ATTACH ? node : NULL;
	if (strcmp(link.kind, "veth"))
		return NULL;
	HASH_FIND(hh, f->nodes, &link.peer, sizeof(link.peer), node);
	return node && (node->kind->flags & KIND_ATTACH) && !device_far(node, &link) ? node : NULL;
}

int port_hold(struct node *node, __u32 pid)
{
	node->holder = sd_event_source_disable_unref(node->holder);
	node->info.pid = pid;
	return node_info_store(node);
}

int port_persist(struct node *node, bool on)
{
	if (on)
		node->in.flags &= ~(__u32)IPN_PF_HELD;
	else
		node->in.flags |= IPN_PF_HELD;
	if (on)
		node->holder = sd_event_source_disable_unref(node->holder);
	if (on || node->session || node->lifeline || node->holder)
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

int port_watch_holders(struct fabric *f)
{
	struct node *node, *tmp;

	HASH_ITER(hh, f->nodes, node, tmp) {
		int fd, r;

		if (!(node->in.flags & IPN_PF_HELD) || node->session || node->lifeline)
			continue;
		fd = (int)syscall(SYS_pidfd_open, node->info.pid, 0);
		if (fd < 0 && util_cannot_tell(-errno))
			return -errno;
		if (fd < 0) {
			node_del(node, 0, false);
			continue;
		}
		r = sd_event_add_io(f->event, &node->holder, fd, EPOLLIN, on_holder_gone, node);
		if (r < 0) {
			close(fd);
			return r;
		}
		sd_event_source_set_io_fd_own(node->holder, true);
	}
	return 0;
}
