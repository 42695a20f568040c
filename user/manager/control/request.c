// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/control/request.h"

#include <ipn/af_ipn.h>

#include "common/names.h"
#include "common/util.h"
#include "manager/access/rights.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"

bool session_sees(struct session *s, struct net *net)
{
	struct errtext e;

	return net->info.uid == s->peer.uid ||
	       !rights_check(RIGHT_SEE, &s->peer, net->path_fd, net->info.path, &e);
}

int request_net(struct request *q, int fd, struct net **net, struct perm_inode *inode)
{
	if (perm_inode_get(fd, inode))
		return err_text(&q->e, -EBADF,
				"the descriptor that came with the request is unusable");
	*net = net_find(q->s->f, inode);
	if (!*net)
		return err_text(&q->e, -ECONNREFUSED,
				"is not a live network "
				"(see: ipn-fabric net show; make one: ipn-fabric net add)");
	return 0;
}

int request_right(struct request *q, enum right right, int fd, struct net **net)
{
	struct perm_inode inode;
	int r = request_net(q, fd, net, &inode);

	return r ? r : rights_check(right, &q->s->peer, fd, (*net)->info.path, &q->e);
}

int request_list_of(struct request *q, struct net **only)
{
	struct perm_inode inode;

	int r;

	*only = NULL;
	if (!q->nfds)
		return 0;
	r = request_net(q, q->fds[0], only, &inode);
	if (!r && !session_sees(q->s, *only))
		r = err_text(&q->e, -EACCES, "uid %u has no permission on %s", q->s->peer.uid,
			     (*only)->info.path);
	return r;
}

int request_policy_fits(struct request *q, const struct net *net, __u32 policy)
{
	if (policy == IPN_ANY || policy == net->info.policy)
		return 0;
	return err_text(&q->e, -EPROTO, "%s has policy %u (%s), not %u (%s)", net->info.path,
			net->info.policy, names_policy(net->info.policy) ?: "a loaded one", policy,
			names_policy(policy) ?: "a loaded one");
}

int request_reply_net(struct request *q, struct net *net)
{
	net_describe(net, (void *)q->reply);
	q->reply_len = sizeof(struct ipn_ctl_net);
	return 0;
}

int request_reply_port(struct request *q, struct node *node)
{
	node_describe(node, (void *)q->reply, false);
	q->reply_len = sizeof(struct ipn_ctl_port);
	return 0;
}

const struct request_kind request_kinds[IPN_CTL_TYPES] = {
	[IPN_CTL_INFO] = { req_info, 0, 0, 0, false },
	[IPN_CTL_NET_ADD] = { req_net_add, sizeof(struct ipn_ctl_net_add), 1, 1, true },
	[IPN_CTL_NET_DEL] = { req_net_del, 0, 1, 1, false },
	[IPN_CTL_BIND] = { req_bind, sizeof(struct ipn_ctl_bind), 1, 1, true },
	[IPN_CTL_CONNECT] = { req_connect, sizeof(struct ipn_ctl_connect), 0, 1, true },
	[IPN_CTL_LIFELINE] = { req_lifeline, 0, 1, 1, false },
	[IPN_CTL_NET_DEL_ID] = { req_net_del_id, sizeof(struct ipn_ctl_net_del_id), 0, 0, false },
	[IPN_CTL_SHUTDOWN] = { req_shutdown, sizeof(struct ipn_ctl_shutdown), 0, 0, false },
	[IPN_CTL_DESCR] = { req_descr, sizeof(struct ipn_ctl_descr), 0, 0, false },
	[IPN_CTL_REJOIN] = { req_rejoin, 0, 1, 1, false },
	[IPN_CTL_LOG] = { req_log, sizeof(struct ipn_ctl_log), 1, 1, false },
	[IPN_CTL_ATTACH] = { req_attach, sizeof(struct ipn_ctl_attach), 1, 2, true },
	[IPN_CTL_DETACH] = { req_detach, sizeof(struct ipn_ctl_detach), 1, 1, false },
	[IPN_CTL_NET_LIST] = { req_net_list, sizeof(struct ipn_ctl_list), 0, 1, false },
	[IPN_CTL_PORT_LIST] = { req_port_list, sizeof(struct ipn_ctl_list), 0, 1, false },
	[IPN_CTL_FDB_LIST] = { req_fdb_list, sizeof(struct ipn_ctl_list), 1, 1, false },
	[IPN_CTL_DOWN] = { req_down, 0, 0, 0, false },
	[IPN_CTL_NET_GET] = { req_net_get, 0, 0, 0, false },
	[IPN_CTL_MONITOR] = { req_monitor, 0, 0, 1, false },
	[IPN_CTL_RESIZE] = { req_resize, sizeof(struct ipn_ctl_resize), 0, 0, true },
	[IPN_CTL_POLICY_LOAD] = { req_policy_load, sizeof(struct ipn_ctl_policy_load), 1, 1,
				  false },
	[IPN_CTL_POLICY_UNLOAD] = { req_policy_unload, sizeof(struct ipn_ctl_policy_unload), 0, 0,
				    false },
	[IPN_CTL_POLICY_LIST] = { req_policy_list, sizeof(struct ipn_ctl_list), 0, 0, false },
	[IPN_CTL_SETSOCKOPT] = { req_setsockopt, sizeof(struct ipn_ctl_option), 0, 0, false },
	[IPN_CTL_GETSOCKOPT] = { req_getsockopt, sizeof(struct ipn_ctl_option), 0, 0, false },
	[IPN_CTL_IOCTL] = { req_ioctl, sizeof(struct ipn_ctl_option), 0, 0, false },
	[IPN_CTL_VDE] = { req_listener, sizeof(struct ipn_ctl_listener), 1, 1, false },
	[IPN_CTL_UNIX] = { req_listener, sizeof(struct ipn_ctl_listener), 1, 1, false },
	[IPN_CTL_NETDEV] = { req_netdev, sizeof(struct ipn_ctl_netdev), 0, 0, false },
	[IPN_CTL_CABLE] = { req_cable, sizeof(struct ipn_ctl_cable), 2, 2, true },
	[IPN_CTL_QUOTA_LIST] = { req_quota_list, sizeof(struct ipn_ctl_list), 0, 0, false },
	[IPN_CTL_XSK_OPEN] = { req_xsk_open, sizeof(struct ipn_ctl_xsk_open), 1, 1, true },
};

int request_dispatch(struct request *q, size_t len)
{
	const struct ipn_ctl_hdr *hdr = q->hdr;
	const struct request_kind *row = hdr->type < IPN_CTL_TYPES ? &request_kinds[hdr->type]
								   : NULL;

	if (q->s->monitor)
		return err_text(&q->e, -EISCONN, "a monitor takes no other request");
	if (hdr->version != IPN_CTL_VERSION)
		return err_text(&q->e, -EPROTO, "control protocol %u, this manager speaks %u",
				hdr->version, IPN_CTL_VERSION);
	if (hdr->len != len || hdr->status || hdr->pad)
		return err_text(&q->e, -EBADMSG, "the header of the request contradicts itself");
	if (!row || !row->fn)
		return err_text(&q->e, -EOPNOTSUPP, "there is no request %u", hdr->type);
	if (len - sizeof(*hdr) != row->body)
		return err_text(&q->e, -EBADMSG, "request %u has %zu bytes, not %zu", hdr->type,
				len - sizeof(*hdr), row->body);
	if (q->nfds < row->min_fds || q->nfds > row->max_fds)
		return err_text(&q->e, -EBADF, "request %u came with %u descriptors", hdr->type,
				q->nfds);
	if (row->joins)
		sessions_reap(q->s->c, q->s);
	return row->fn(q);
}
