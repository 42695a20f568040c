// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/ports/proc.h"

#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <sys/mman.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/core/ids.h"
#include "manager/core/logs.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/kernel/bpf.h"
#include "manager/kernel/link.h"
#include "manager/ports/device.h"
#include "manager/ports/kinds.h"

void proc_fds_close(struct proc_fds *fds)
{
	int *all[] = { &fds->tap, &fds->bell, &fds->page, &fds->log, &fds->node_log, &fds->room };

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		if (*all[i] >= 0)
			close(*all[i]);
		*all[i] = -1;
	}
}

static int page_map(struct node *node, int fd)
{
	void *p = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		       0);

	if (p == MAP_FAILED)
		return -errno;
	node->page = p;
	return 0;
}

/* What it reads from: the network's log, its own, and, to wait for room, its room bell. */
static int logs_open(struct node *node, bool reader, struct proc_fds *fds)
{
	struct net *net = node->net;
	int r = 0;

	if (reader) {
		fds->log = fcntl(net->log_fd, F_DUPFD_CLOEXEC, 0);
		r = fds->log < 0 ? -errno : 0;
		node->in.flags |= IPN_PF_LOG;
	}
	if (!r && (net->info.flags & IPN_FLAG_LOSSLESS)) {
		fds->room = bpf_room_new(net->f->bpf, node->in.node);
		r = fds->room < 0 ? fds->room : 0;
	}
	return r;
}

/* Its bell, its page and its tap, by which it is a source. */
static int source_open(struct node *node, bool own_log, struct proc_fds *fds)
{
	struct net *net = node->net;
	struct fabric *f = net->f;
	int r;

	fds->bell = r = bpf_inner_get(f->bpf->fd_bells, node->in.node);
	if (r >= 0)
		fds->page = r = bpf_inner_get(f->bpf->fd_pages, node->in.node);
	if (r >= 0)
		r = page_map(node, fds->page);
	if (!r)
		r = link_tap_proc(f->link, FAB_TAP, net_device_mtu(net), &fds->tap, &node->ifindex,
				  node->in.name);
	if (!r && own_log) {
		node->in.flags |= IPN_PF_NODELOG;
		r = id_log_get(node, &fds->node_log);
	}
	if (!r) {
		node->in.ifindex = node->ifindex;
		node->in.flags |= IPN_PF_UP;
		r = node_source(node);
	}
	if (!r)
		r = bpf_attach_xdp(f->bpf, node->ifindex);
	if (!r)
		r = bpf_attach_clsact(node->ifindex, f->bpf->prog_tc_tap);
	return r;
}

/* Where it begins, and from here on messages go to it. */
static int cursor_take(struct node *node, __u64 *cursor)
{
	struct net *net = node->net;
	int r = 0;

	__atomic_store_n(&node->page->log, IPN_LOG_IS(net->head->serial), __ATOMIC_SEQ_CST);
	*cursor = __atomic_load_n(&net->head->head, __ATOMIC_SEQ_CST);
	if (net->info.flags & IPN_FLAG_LOSSLESS) {
		/*
		 * From its entry in port_out on, the pool is counted with this node: never from
		 * further back than it will begin, and it begins where it already counts. When its
		 * cursor moves up there, that may make room for who was refused in between.
		 */
		__atomic_store_n(&node->page->cursor, *cursor, __ATOMIC_SEQ_CST);
		r = node_port_out_set(node, true);
		__atomic_thread_fence(__ATOMIC_SEQ_CST); /* not before the entry is seen */
		*cursor = __atomic_load_n(&net->head->head, __ATOMIC_SEQ_CST);
		__atomic_store_n(&node->page->cursor, *cursor, __ATOMIC_SEQ_CST);
		if (!r)
			bpf_pool_wake(net->f->bpf, net->id);
	}
	return r ? r : node_publish(node);
}

int proc_connect(struct net *net, const struct node_want *want, struct node **out,
		 struct proc_fds *fds, __u64 *cursor, struct errtext *e)
{
	bool reader = want->flags & IPN_PF_READER;
	bool own_log = reader && net->info.policy != IPN_POLICY_BROADCAST;
	size_t memory = own_log ? log_bytes(net->log_class, net->slots) : 0;
	struct proc_fds got = { -1, -1, -1, -1, -1, -1 };
	struct node *node;
	int r;

	r = own_log ? log_ask(net->f, net->log_class, net->slots) : 0;
	if (!r)
		r = node_new(net, want, memory, &node, e);
	if (r)
		return r;
	r = source_open(node, own_log, &got);
	if (!r)
		r = logs_open(node, reader, &got);
	if (!r)
		r = cursor_take(node, cursor);
	if (r) {
		err_text(e, r, "cannot join %s: %s", net->info.path, strerror(-r));
		proc_fds_close(&got);
		node_del(node, 0, false);
		return r;
	}
	node_joined(node);
	*fds = got;
	*out = node;
	return 0;
}

static int proc_stands(struct fabric *f, const struct ipn_port_in *port, struct link_info *link)
{
	int r = node_interface_stands(f, port, link);

	/* without a carrier nobody holds it; it is removed as a stray */
	return !r && !link->running ? -ENODEV : r;
}

static int proc_adopt(struct node *node)
{
	_cleanup_close_ int page = bpf_inner_get(node->net->f->bpf->fd_pages, node->in.node);

	if (page >= 0)
		page_map(node, page); /* without it, its counters are not shown */
	return 0;
}

static void proc_reattach(struct node *node)
{
	bpf_attach_clsact(node->ifindex, node->net->f->bpf->prog_tc_tap);
}

static void proc_stats(struct node *node, struct ipn_stats *out)
{
	if (!node->page)
		return;
	out->out_packets = node->page->rx_packets;
	out->out_bytes = node->page->rx_bytes;
	out->drop[IPN_DROP_OVERRUN] = node->page->overrun;
}

static void proc_ended(struct node *node, int why)
{
	struct bpf_state *b = node->net->f->bpf;

	if (why)
		bpf_notify(b, node->in.node, IPN_EVENT_GONE, why);
	if (!(node->net->info.flags & IPN_FLAG_LOSSLESS))
		return;
	bpf_room_ring(b, node->in.node);
	bpf_pool_wake(b, node->net->id);
}

static void proc_release(struct node *node)
{
	node_del(node, 0, false);
}

static void proc_let_go(struct node *node)
{
	if (node->page)
		munmap(node->page, (size_t)sysconf(_SC_PAGESIZE));
	node->page = NULL;
}

const struct port_kind port_kind_proc = {
	.kind = IPN_KIND_PROC,
	.flags = KIND_TAP_LIFE | KIND_MESSAGES,
	.stands = proc_stands,
	.adopt = proc_adopt,
	.reattach = proc_reattach,
	.stats = proc_stats,
	.ended = proc_ended,
	.release = proc_release,
	.let_go = proc_let_go,
};
