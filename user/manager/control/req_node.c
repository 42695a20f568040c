// SPDX-License-Identifier: GPL-2.0-or-later
/* Requests of sockets that are, or become, nodes. */
#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <sys/socket.h>

#include "common/text.h"
#include "common/util.h"
#include "manager/control/packet.h"
#include "manager/control/request.h"
#include "manager/control/revoke.h"
#include "manager/core/lifeline.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/core/rotate.h"
#include "manager/kernel/link.h"
#include "manager/ports/device.h"
#include "manager/ports/port.h"
#include "manager/ports/proc.h"

/* --- processes --- */

static void add_fd(struct request *q, struct ipn_ctl_connected *c, int fd, __u32 bit)
{
	if (fd < 0)
		return;
	q->reply_fds[q->nreply_fds++] = fd;
	c->fds |= bit;
}

static void reply_connected(struct request *q, struct node *node, const struct proc_fds *fds,
			    __u64 cursor)
{
	struct ipn_ctl_connected *c = (void *)q->reply;
	struct net *net = node->net;

	memset(c, 0, sizeof(*c));
	net_describe(net, &c->net);
	c->port = node->in.number;
	c->node = node->in.node;
	c->flags = node->in.flags & (IPN_PF_READER | IPN_PF_WRITER);
	c->log_class = net->log_class;
	c->log_mask = c->node_log_mask = net->slots - 1;
	c->bell_size = IPN_BELL_SIZE;
	c->cursor = cursor;
	if (fds) {
		add_fd(q, c, fds->tap, IPN_CTL_FD_TAP);
		add_fd(q, c, fds->bell, IPN_CTL_FD_BELL);
		add_fd(q, c, fds->page, IPN_CTL_FD_PAGE);
		add_fd(q, c, fds->log, IPN_CTL_FD_LOG);
		add_fd(q, c, fds->node_log, IPN_CTL_FD_NODELOG);
		add_fd(q, c, fds->room, IPN_CTL_FD_ROOM);
	}
	q->reply_len = sizeof(*c);
}

int req_connect(struct request *q)
{
	const struct ipn_ctl_connect *connect = q->body;
	struct session *s = q->s;
	struct node_want want = {
		.kind = IPN_KIND_PROC,
		.port = connect->port,
		.uid = s->peer.uid,
		.account = s->peer.account,
		.pid = (__u32)s->peer.pid,
		.netns_fd = -1,
	};
	char descr[IPN_DESCR_MAX];
	struct perm_inode inode;
	struct net *net = s->net;
	struct proc_fds fds;
	struct node *node;
	__u64 cursor;
	int r;

	if (s->node)
		return err_text(&q->e, -EISCONN, "this socket is connected already");
	if (q->nfds) {
		r = request_net(q, q->fds[0], &net, &inode);
		if (r)
			return r;
		if (s->net && s->net != net)
			return err_text(&q->e, -EISCONN, "this socket is bound to %s",
					s->net->info.path);
	} else if (!net) {
		return err_text(&q->e, -ENOTCONN, "no path, and this socket is not bound to one");
	}
	r = request_policy_fits(q, net, connect->policy);
	if (r)
		return r;
	if (net->path_fd < 0)
		return err_text(&q->e, -ECONNREFUSED, "its path is gone");
	r = perm_check(net->path_fd, &s->peer);
	if (r < 0)
		return err_text(&q->e, r, "cannot judge the permissions of %s: %s", net->info.path,
				strerror(-r));
	if ((r & PERM_R) && !(connect->shutdown & 1))
		want.flags |= IPN_PF_READER;
	if ((r & PERM_W) && !(connect->shutdown & 2))
		want.flags |= IPN_PF_WRITER;
	if (!want.flags)
		return err_text(&q->e, -EACCES,
				"uid %u has neither r nor w on %s that is not shut down",
				s->peer.uid, net->info.path);
	if (want.flags & IPN_PF_READER)
		revoke_joined(net);
	if (connect->knows & IPN_CTL_KNOWS_LOG)
		want.flags |= IPN_PF_FOLLOWS;
	memcpy(descr, connect->descr, sizeof(descr));
	text_clean(descr, sizeof(descr));
	want.descr = descr;
	r = proc_connect(net, &want, &node, &fds, &cursor, &q->e);
	if (r)
		return r;
	session_take_node(s, node, false);
	s->net = net;
	reply_connected(q, node, &fds, cursor);
	return 0;
}

int req_shutdown(struct request *q)
{
	const struct ipn_ctl_shutdown *shutdown = q->body;
	struct node *node = session_node(q->s);

	if (!node)
		return err_text(&q->e, -ENOTCONN, "this socket is not connected");
	if (shutdown->how > SHUT_RDWR)
		return err_text(&q->e, -EINVAL, "there is no way %u to shut down", shutdown->how);
	return node_shutdown(node, (int)shutdown->how);
}

int req_descr(struct request *q)
{
	const struct ipn_ctl_descr *descr = q->body;
	struct node *node = session_node(q->s);
	int r;

	if (!node)
		return err_text(&q->e, -ENOTCONN, "this socket is not connected");
	memcpy(node->info.descr, descr->descr, sizeof(node->info.descr));
	text_clean(node->info.descr, sizeof(node->info.descr));
	r = node_info_store(node);
	return r ? err_text(&q->e, r, "cannot store the description: %s", strerror(-r)) : 0;
}

/* A node of before the manager's restart shows its tap: that is what makes it the node. */
int req_rejoin(struct request *q)
{
	struct session *s = q->s;
	struct node *node;
	__u32 ifindex;
	int r;

	if (s->node || (s->net && !s->lifeline))
		return err_text(&q->e, -EISCONN, "this socket has a network already");
	r = link_tap_of_fd(s->f->link, q->fds[0], &ifindex);
	if (r)
		return err_text(&q->e, r, "the descriptor is no tap of this fabric");
	HASH_FIND(hh, s->f->nodes, &ifindex, sizeof(ifindex), node);
	if (!node || node->in.kind != IPN_KIND_PROC || node->in.uid != s->peer.uid)
		return err_text(&q->e, -ENOTCONN, "the port is not there any more");
	if (node->session)
		return err_text(&q->e, -EISCONN, "the port has a session already");
	if (s->net && s->net != node->net)
		return err_text(&q->e, -EISCONN, "this socket has another network already");
	session_take_node(s, node, false);
	s->net = node->net;
	revoke_look(s->c, s->net);
	reply_connected(q, node, NULL, 0);
	return 0;
}

/* Is it an end of a pair where nothing is, and from now on nothing comes? */
static bool lifeline_fits(struct session *s, int fd)
{
	int domain = 0, type = 0, on = 1;
	socklen_t len = sizeof(int);
	struct packet p;
	char byte;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) || domain != AF_UNIX ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) || type != SOCK_SEQPACKET ||
	    setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) || shutdown(fd, SHUT_RD) ||
	    packet_receive(fd, &p, &byte, 1, 0))
		return false;
	packet_drop_fds(s->f->async_close, s->user, &p);
	return p.len == 0 && !p.sender && !p.nfds;
}

int req_lifeline(struct request *q)
{
	struct ipn_ctl_lifeline *out = (void *)q->reply;
	struct session *s = q->s;
	struct lifeline *l;
	int r;

	if (s->lifeline || s->node || s->net)
		return err_text(&q->e, -EISCONN, "this socket has a lifeline or a network already");
	if (!lifeline_fits(s, q->fds[0]))
		return err_text(&q->e, -EINVAL, "the descriptor is no end of a pair of sockets");
	r = lifeline_get(s->f, q->fds[0], s->peer.account, &l);
	if (r)
		return err_text(&q->e, r, "cannot hold the lifeline: %s", strerror(-r));
	s->lifeline = l;
	if (l->net)
		session_bind(s, l->net, true);
	if (l->node && !l->node->session)
		session_take_node(s, l->node, false);
	*out = (struct ipn_ctl_lifeline){ .bound = s->bound,
					  .ifindex = s->node ? s->node->ifindex : 0 };
	q->reply_len = sizeof(*out);
	return 0;
}

/*
 * Whoever has the tap is the reader. It is judged as whoever began its session, or, if that was
 * with another manager, as whoever asks.
 */
int req_log(struct request *q)
{
	const struct ipn_ctl_log *log = q->body;
	struct session *s = q->s;
	struct node *node;
	__u32 ifindex;
	int r;

	r = link_tap_of_fd(s->f->link, q->fds[0], &ifindex);
	if (r)
		return err_text(&q->e, r, "the descriptor is no tap of this fabric");
	HASH_FIND(hh, s->f->nodes, &ifindex, sizeof(ifindex), node);
	if (!node || node->in.kind != IPN_KIND_PROC)
		return err_text(&q->e, -ENOTCONN, "the port is not there any more");
	if ((node->in.flags & IPN_PF_READER) && node->net->path_fd >= 0) {
		r = perm_check(node->net->path_fd, node->session ? &node->session->peer : &s->peer);
		if (r >= 0 && !(r & PERM_R))
			node_revoke(node, IPN_PF_READER);
	}
	if (!(node->in.flags & IPN_PF_READER))
		return err_text(&q->e, -EACCES, "the port may not receive on %s",
				node->net->info.path);
	r = fcntl(rotate_next(node->net, log->serial), F_DUPFD_CLOEXEC, 0);
	if (r < 0)
		return err_text(&q->e, -errno, "cannot pass the log on: %s", strerror(errno));
	q->reply_fds[q->nreply_fds++] = r;
	return 0;
}

/* --- interfaces as nodes of sockets --- */

static int netdev_reply(struct request *q, struct node *node)
{
	session_take_node(q->s, node, false);
	return request_reply_port(q, node);
}

static int netdev_conn(struct request *q, const struct ipn_ctl_netdev *in, const char *name)
{
	struct session *s = q->s;
	char descr[IPN_DESCR_MAX];
	struct node_want want = {
		.kind = in->flags == IPN_NODEFLAG_TAP ? IPN_KIND_HOST : IPN_KIND_GRAB,
		.port = in->port,
		.flags = IPN_PF_READER | IPN_PF_WRITER | IPN_PF_HELD,
		.uid = s->peer.uid,
		.account = s->peer.account,
		.pid = (__u32)s->peer.pid,
		.name = name,
		.netns_fd = -1,
		.descr = descr,
	};
	struct node *node;
	int r;

	if (in->flags != IPN_NODEFLAG_TAP && in->flags != IPN_NODEFLAG_GRAB)
		return err_text(&q->e, -EINVAL, "flags 0x%x are neither TAP nor GRAB", in->flags);
	if (!*name && want.kind == IPN_KIND_HOST)
		want.name = LINK_NAME_AUTO;
	else if (!text_ifname_ok(name))
		return err_text(&q->e, -EINVAL,
				"not a name for an interface (1 to 15 bytes, no / : or space)");
	memcpy(descr, in->descr, sizeof(descr));
	text_clean(descr, sizeof(descr));
	r = port_attach(s->net, &want, &node, &q->e);
	return r ? r : netdev_reply(q, node);
}

static int netdev_join(struct request *q, const struct ipn_ctl_netdev *in, const char *name)
{
	struct session *s = q->s;
	struct node *node = port_find(s->f, name, in->ifindex);
	int r;

	if (!node)
		return err_text(&q->e, -EADDRNOTAVAIL, "no port has such an interface");
	/* without a session, but a process's: it comes back to it after a restart of the manager */
	if (node->session || (node->lifeline && node->lifeline != s->lifeline) ||
	    (node->holder && node->info.pid != (__u32)s->peer.pid))
		return err_text(&q->e, -EADDRNOTAVAIL, "interface %s has a socket already",
				node->in.name);
	if (node->net != s->net)
		return err_text(&q->e, -EPERM, "interface %s is on %s", node->in.name,
				node->net->info.path);
	r = port_hold(node, (__u32)s->peer.pid);
	return r ? r : netdev_reply(q, node);
}

static int netdev_mac(struct request *q, const struct ipn_ctl_netdev *in)
{
	struct node *node = session_node(q->s);
	struct link_info far;
	int r;

	if (!node || node->in.kind != IPN_KIND_HOST || device_far(node, &far))
		return err_text(&q->e, -EADDRNOTAVAIL,
				"this socket has no interface that was made for it");
	r = link_set_mac(q->s->f->link, far.ifindex, in->mac);
	return r ? err_text(&q->e, r, "cannot set the address of %s: %s", far.name, strerror(-r))
		 : 0;
}

int req_netdev(struct request *q)
{
	const struct ipn_ctl_netdev *in = q->body;
	struct session *s = q->s;
	char name[IPN_NAME_MAX];
	struct node *node = s->node;
	int r;

	memcpy(name, in->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	r = rights_check(RIGHT_ATTACH_HOST, &s->peer, -1, NULL, &q->e);
	if (r)
		return r;
	if (in->op == IPN_NETDEV_MAC)
		return netdev_mac(q, in);
	if (in->op == IPN_NETDEV_PERSIST_OF) {
		node = port_find(s->f, name, in->ifindex);
		if (!node)
			return err_text(&q->e, -EADDRNOTAVAIL, "no port has such an interface");
		return port_persist(node, in->flags);
	}
	if (in->op < IPN_NETDEV_CONN || in->op > IPN_NETDEV_PERSIST)
		return err_text(&q->e, -EINVAL, "there is no interface request %u", in->op);
	if (!s->net)
		return err_text(&q->e, -ENOTCONN, "this socket is not bound");
	if (in->op == IPN_NETDEV_PERSIST) {
		if (!node || node->in.kind == IPN_KIND_PROC)
			return err_text(&q->e, -ENODEV, "this socket has no interface");
		return port_persist(node, in->flags);
	}
	if (node)
		return err_text(&q->e, -EISCONN, "this socket is connected already");
	return in->op == IPN_NETDEV_CONN ? netdev_conn(q, in, name) : netdev_join(q, in, name);
}
