// SPDX-License-Identifier: GPL-2.0-or-later
/* Requests about networks. */
#include <linux/capability.h>
#include <sys/stat.h>

#include "common/util.h"
#include "manager/access/asuser.h"
#include "manager/access/fstype.h"
#include "manager/control/request.h"
#include "manager/core/interfaces.h"
#include "manager/core/net.h"
#include "manager/core/net_path.h"
#include "manager/core/objects.h"
#include "manager/core/resize.h"
#include "manager/ports/listener.h"

/* Sockets without a path have inodes, too: in the file system of all sockets, ours among them. */
static bool in_file_system(const struct control *c, const struct perm_inode *inode)
{
	struct perm_inode own;

	return !perm_inode_get(c->listen_fd, &own) && inode->dev != own.dev;
}

int req_net_add(struct request *q)
{
	const struct ipn_ctl_net_add *add = q->body;
	struct session *s = q->s;
	struct ipn_net_info info = {
		.policy = add->policy,
		.routes = add->routes,
		.mtu = add->mtu,
		.numnodes = add->numnodes,
		.pool = add->pool,
		.flags = add->flags,
		.mode = add->mode,
		.persistent = !!add->persistent,
		.uid = s->peer.uid,
		.account = s->peer.account,
	};
	struct perm_inode inode;
	struct net *net;
	int r;

	if (!info.persistent && s->net)
		return err_text(&q->e, -EISCONN, "this socket has a network already");
	if (!memchr(add->path, 0, sizeof(add->path)) || !add->path[0])
		return err_text(&q->e, -EINVAL, "the request has no path");
	if (perm_inode_get(q->fds[0], &inode))
		return err_text(&q->e, -EBADF, "the descriptor of the path is unusable");
	net_path_label(q->fds[0], s->peer.pid, "", info.path);
	if (!S_ISSOCK(inode.mode) || !in_file_system(s->c, &inode))
		return err_text(&q->e, -ENOTSOCK,
				"exists and is not an IPN network "
				"(remove the file, or choose another path)");
	if (net_find(s->f, &inode))
		return err_text(&q->e, -EEXIST,
				"is a network already (see: ipn-fabric net show %s)", info.path);
	if (inode.uid != s->peer.uid && !perm_cap(&s->peer, CAP_FOWNER))
		return err_text(&q->e, -EPERM,
				"belongs to uid %u (only its owner can make it a network)",
				inode.uid);
	r = fstype_check(q->fds[0], s->peer.pid, &q->e);
	if (!r)
		r = net_add(s->f, &info, q->fds[0], &inode, &net, &q->e);
	if (r)
		return r;
	if (!info.persistent)
		session_bind(s, net, true);
	return request_reply_net(q, net);
}

static void on_files_gone(void *arg)
{
	static const struct errtext none = { "" };
	struct listener_wait *wait = arg;

	if (wait->fn)
		wait->fn(wait->arg, 0, &none);
	free(wait);
}

static void on_deleted(void *arg, int status, const struct errtext *e)
{
	struct session *s = arg;

	s->wait = NULL;
	session_answer(s, status, e, NULL, 0, NULL, 0);
}

/*
 * Its ports, a turn's worth at a time; then the rest. Answers when its files, and those of its
 * listeners, are gone, or cannot be removed.
 */
static int net_end(struct request *q, struct net *net, bool path)
{
	struct session *s = q->s;
	struct asuser *as = s->f->asuser;
	__u64 from = asuser_count(as);

	if (net->nports > INTERFACES_TURN) {
		net_empty(net, INTERFACES_TURN);
		return REQUEST_AGAIN;
	}
	if (path)
		net_path_remove(net->f, &net->info);
	net_del(net);
	s->wait = calloc(1, sizeof(*s->wait));
	if (!s->wait)
		return 0; /* it is gone, its files a moment later */
	*s->wait = (struct listener_wait){ on_deleted, s };
	if (!asuser_after(as, from, on_files_gone, s->wait))
		return session_later(s, q->hdr);
	free(s->wait);
	s->wait = NULL;
	return 0;
}

int req_net_del(struct request *q)
{
	struct net *net;
	int r = request_right(q, RIGHT_NET_DEL, q->fds[0], &net);

	return r ? r : net_end(q, net, false);
}

int req_net_del_id(struct request *q)
{
	const struct ipn_ctl_net_del_id *del = q->body;
	struct session *s = q->s;
	struct net *net = del->id < IPN_MAX_NETS ? s->f->net_by_id[del->id] : NULL;
	int r;

	if (!net || !session_sees(s, net))
		return err_text(&q->e, -ECONNREFUSED,
				"there is no network %u (see: ipn-fabric net show --json)",
				del->id);
	/* of one whose inode is lost there is only who made it */
	r = net->path_fd < 0 && net->info.uid == s->peer.uid
		    ? 0
		    : rights_check(RIGHT_NET_DEL, &s->peer, net->path_fd, net->info.path, &q->e);
	if (r)
		return r;
	return net_end(q, net, true);
}

int req_net_get(struct request *q)
{
	if (!q->s->net)
		return err_text(&q->e, -ENOTCONN, "this socket has no network");
	return request_reply_net(q, q->s->net);
}

int req_resize(struct request *q)
{
	const struct ipn_ctl_resize *resize = q->body;
	struct session *s = q->s;
	int r;

	if (!s->bound)
		return err_text(&q->e, -ENOTCONN, "this socket is not bound to a network");
	r = rights_check(RIGHT_RESIZE, &s->peer, s->net->path_fd, s->net->info.path, &q->e);
	if (r)
		return r;
	r = net_resize(s->net, resize->numnodes, &q->e);
	return r ? r : request_reply_net(q, s->net);
}

int req_bind(struct request *q)
{
	const struct ipn_ctl_bind *bind = q->body;
	struct net *net;
	int r;

	if (q->s->bound)
		return err_text(&q->e, -EISCONN, "this socket has a network already");
	r = request_right(q, RIGHT_BIND, q->fds[0], &net);
	/* a node of before the manager's restart that was bound, too, binds after it rejoined */
	if (!r && q->s->net && q->s->net != net)
		r = err_text(&q->e, -EISCONN, "this socket has another network already");
	if (!r)
		r = request_policy_fits(q, net, bind->policy);
	if (r)
		return r;
	session_bind(q->s, net, true);
	return request_reply_net(q, net);
}
