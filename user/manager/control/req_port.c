// SPDX-License-Identifier: GPL-2.0-or-later
/* Requests that attach and detach ports. */
#include <ipn/af_ipn.h>

#include "common/text.h"
#include "common/util.h"
#include "manager/access/asuser.h"
#include "manager/control/request.h"
#include "manager/control/revoke.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/kernel/link.h"
#include "manager/ports/cable.h"
#include "manager/ports/listener.h"
#include "manager/ports/port.h"
#include "manager/ports/xsk.h"

int req_attach(struct request *q)
{
	const struct ipn_ctl_attach *attach = q->body;
	struct session *s = q->s;
	struct node_want want = {
		.kind = attach->kind,
		.port = attach->port,
		.flags = IPN_PF_READER | IPN_PF_WRITER,
		.uid = s->peer.uid,
		.account = s->peer.account,
		.netns_fd = q->nfds > 1 ? q->fds[1] : -1,
		.frames = attach->frames,
		.frame_size = attach->frame_size,
		.own = attach->own,
	};
	char name[IPN_NAME_MAX], descr[IPN_DESCR_MAX];
	struct node *node;
	struct net *net;
	int r;

	if (want.kind >= IPN_KINDS || !s->f->kinds[want.kind] ||
	    !(s->f->kinds[want.kind]->flags & KIND_ATTACH))
		return err_text(&q->e, -EINVAL, "there is no kind %u of port to attach", want.kind);
	memcpy(name, attach->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	memcpy(descr, attach->descr, sizeof(descr));
	text_clean(descr, sizeof(descr));
	want.name = name;
	want.descr = descr;
	if (!text_ifname_ok(name))
		return err_text(&q->e, -EINVAL,
				"not a name for an interface (1 to 15 bytes, no / : or space)");
	if (q->nfds > 1 && (want.kind != IPN_KIND_VETH || link_netns_check(q->fds[1])))
		return err_text(&q->e, -EBADF, "the second descriptor is no network namespace");
	r = request_right(
		q, s->f->kinds[want.kind]->flags & KIND_ADMIN ? RIGHT_ATTACH_HOST : RIGHT_ATTACH,
		q->fds[0], &net);
	if (!r)
		r = port_attach(net, &want, &node, &q->e);
	if (r)
		return r;
	return request_reply_port(q, node);
}

int req_cable(struct request *q)
{
	const struct ipn_ctl_cable *cable = q->body;
	struct session *s = q->s;
	char descr[IPN_DESCR_MAX];
	struct node_want want = {
		.uid = s->peer.uid, .account = s->peer.account, .netns_fd = -1, .descr = descr
	};
	struct net *nets[2] = { NULL, NULL };
	struct node *ends[2];
	int r;

	memcpy(descr, cable->descr, sizeof(descr));
	text_clean(descr, sizeof(descr));
	r = request_right(q, RIGHT_CABLE, q->fds[0], &nets[0]);
	if (!r)
		r = request_right(q, RIGHT_CABLE, q->fds[1], &nets[1]);
	if (!r)
		r = cable_add(nets, &want, cable->port, ends, &q->e);
	for (int i = 0; !r && i < 2; i++) {
		node_describe(ends[i], (struct ipn_ctl_port *)(void *)q->reply + i, false);
		q->reply_len += sizeof(struct ipn_ctl_port);
	}
	return r;
}

int req_detach(struct request *q)
{
	const struct ipn_ctl_detach *detach = q->body;
	struct perm_inode inode;
	struct node *node;
	struct net *net;
	int r = request_net(q, q->fds[0], &net, &inode);

	if (r)
		return r;
	if (detach->port >= net->info.numnodes || !net->ports[detach->port])
		return err_text(&q->e, -ENOENT,
				"nothing is at port %u of %s (see: ipn-fabric show %s)",
				detach->port, net->info.path, net->info.path);
	node = net->ports[detach->port];
	/* one's own may always go */
	if (node->kind->flags & KIND_ADMIN)
		r = rights_check(RIGHT_ATTACH_HOST, &q->s->peer, -1, NULL, &q->e);
	else if (node->in.uid != q->s->peer.uid)
		r = rights_check(RIGHT_DETACH, &q->s->peer, q->fds[0], net->info.path, &q->e);
	if (r)
		return r;
	if (node->in.uid != q->s->peer.uid) /* who goes by himself loses no right */
		revoke_detached(q->s->c, node);
	node_del(node, ENODEV, false);
	return 0;
}

/* --- AF_XDP ports --- */

/* The port asked for: by name, by number, or the first that nobody has. */
static int xsk_find(struct request *q, struct net *net, struct node **out)
{
	const struct ipn_ctl_xsk_open *open = q->body;
	char name[IPN_NAME_MAX];
	bool any;

	memcpy(name, open->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	any = !name[0] && open->port == IPN_PORTNO_ANY;
	text_clean(name, sizeof(name));
	*out = NULL;
	for (__u32 i = 0; i < net->info.numnodes; i++) {
		struct node *node = net->ports[i];

		if (!node || !node->xsk || (any && (node->in.flags & IPN_PF_OWN)) ||
		    (name[0] && strcmp(name, node->in.name) != 0) ||
		    (open->port != IPN_PORTNO_ANY && open->port != (__s32)i))
			continue;
		if (!*out)
			*out = node;
		if (!any || !(node->in.flags & IPN_PF_UP)) {
			*out = node;
			return 0;
		}
	}
	if (*out)
		return 0; /* somebody has it, which is said later */
	if (any)
		return err_text(&q->e, -ENOENT,
				"%s has no AF_XDP port (make one: ipn-fabric attach %s --xsk NAME)",
				net->info.path, net->info.path);
	if (name[0])
		return err_text(&q->e, -ENOENT,
				"%s has no AF_XDP port %s (see: ipn-fabric show %s)",
				net->info.path, name, net->info.path);
	return err_text(&q->e, -ENOENT, "port %d of %s is no AF_XDP port (see: ipn-fabric show %s)",
			open->port, net->info.path, net->info.path);
}

static void on_xsk_open(void *arg, struct node *node, int status, const struct errtext *e,
			const void *body, size_t len, const int *fds, unsigned int nfds)
{
	struct session *s = arg;

	s->job = NULL;
	if (!status)
		session_take_node(s, node, true);
	session_answer(s, status, e, body, len, fds, nfds);
}

int req_xsk_open(struct request *q)
{
	struct session *s = q->s;
	struct perm_inode inode;
	struct node *node;
	struct net *net;
	int r;

	if (s->node || s->net)
		return err_text(&q->e, -EISCONN, "this connection has a network already");
	r = request_net(q, q->fds[0], &net, &inode);
	if (r)
		return r;
	r = rights_check(RIGHT_RECEIVE, &s->peer, q->fds[0], net->info.path, &q->e);
	if (!r)
		r = rights_check(RIGHT_SEND, &s->peer, q->fds[0], net->info.path, &q->e);
	if (!r)
		r = rights_check(RIGHT_XSK, &s->peer, q->fds[0], net->info.path, &q->e);
	if (r)
		return r;
	r = xsk_find(q, net, &node);
	if (!r)
		r = xsk_open(node, s->user, (__u32)s->peer.pid, on_xsk_open, s, &s->job, &q->e);
	return r ? r : session_later(s, q->hdr);
}

static void on_listener(void *arg, int status, const struct errtext *e)
{
	struct session *s = arg;

	s->wait = NULL;
	session_answer(s, status, e, NULL, 0, NULL, 0);
}

static int listener_request(struct request *q, struct net *net, const struct ipn_listener *listener,
			    const char *descr, bool open)
{
	struct session *s = q->s;
	struct asuser_id *who;
	int r;

	s->wait = calloc(1, sizeof(*s->wait));
	if (!s->wait)
		return -ENOMEM;
	*s->wait = (struct listener_wait){ on_listener, s };
	if (!open) {
		r = listener_close(net, listener->path, s->wait, &q->e);
	} else {
		r = asuser_id_of(s->fd, &s->peer, &who);
		if (!r) {
			r = listener_open(net, listener, descr, who, s->wait, &q->e);
			asuser_id_unref(who);
		}
	}
	if (!r)
		return session_later(s, q->hdr);
	free(s->wait);
	s->wait = NULL;
	return r;
}

int req_listener(struct request *q)
{
	const struct ipn_ctl_listener *in = q->body;
	struct session *s = q->s;
	struct ipn_listener listener = {
		.kind = q->hdr->type == IPN_CTL_VDE ? IPN_LISTENER_VDE : IPN_LISTENER_UNIX,
		.mode = in->mode & 0777,
		.uid = s->peer.uid,
		.port = in->port,
	};
	char descr[IPN_DESCR_MAX];
	struct net *net;
	int r;

	if (!memchr(in->path, 0, sizeof(in->path)) || !memchr(in->peer, 0, sizeof(in->peer)))
		return err_text(&q->e, -EINVAL, "the path does not end");
	memcpy(listener.path, in->path, sizeof(listener.path));
	memcpy(listener.peer, in->peer, sizeof(listener.peer));
	memcpy(descr, in->descr, sizeof(descr));
	text_clean(listener.path, sizeof(listener.path));
	text_clean(descr, sizeof(descr));
	r = request_right(q, RIGHT_ATTACH, q->fds[0], &net);
	if (r)
		return r;
	if (in->op != IPN_LISTENER_CLOSE && in->op != IPN_LISTENER_OPEN)
		return err_text(&q->e, -EINVAL, "there is no listener request %u", in->op);
	return listener_request(q, net, &listener, descr, in->op == IPN_LISTENER_OPEN);
}
