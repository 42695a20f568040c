// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The configuration file, carried out: what is not there yet is made, in the order networks, ports,
 * addresses, routes and neighbours. What is there as the file says was made by an earlier manager
 * with the same file, and stays as it is; what is there otherwise is an error, since the file would
 * not be true. On any error all that was made from it is taken back.
 */
#include "manager/config/apply.h"

#include <ctype.h>
#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <stdarg.h>
#include <sys/stat.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/access/asuser.h"
#include "manager/access/fstype.h"
#include "manager/access/perm.h"
#include "manager/config/config.h"
#include "manager/core/net.h"
#include "manager/core/net_path.h"
#include "manager/core/net_policy.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/kernel/link.h"
#include "manager/policies/policy.h"
#include "manager/ports/cable.h"
#include "manager/ports/listener.h"
#include "manager/ports/port.h"

/* seccomp: manager: mknod mknodat chmod fchmodat umask unlink unlinkat */

/* Puts in front of the answer where in the file it is about. Returns r. */
static int __attribute__((format(printf, 5, 6)))
where(const char *file, unsigned int line, int r, struct errtext *e, const char *fmt, ...)
{
	char what[IPN_PATH_MAX + 32];
	size_t len = strlen(file);
	struct errtext why = *e;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	/* unless it says so itself, of another line */
	if (r && (strncmp(why.text, file, len) != 0 || why.text[len] != ':' ||
		  !isdigit((unsigned char)why.text[len + 1])))
		err_text(e, r, "%s:%u: %s: %s", file, line, what,
			 why.text[0] ? why.text : strerror(-r));
	return r;
}

/* Paths of the file are root's own words, but a file system on the way may not answer. */
static int path_do(struct fabric *f, enum asuser_op op, const char *path, __u32 mode, int *fd,
		   bool *made)
{
	struct asuser_job job = { .op = op, .mode = mode, .fd = -1 };
	struct asuser_result result;
	int r = util_copy(job.path, sizeof(job.path), path);

	if (!r)
		r = asuser_do(f->asuser, &job, &result);
	if (r)
		return r;
	*fd = result.fd;
	if (made)
		*made = result.made;
	return 0;
}

static struct net *find_net(struct fabric *f, const char *path)
{
	_cleanup_close_ int fd = -1;
	struct perm_inode inode;

	return path_do(f, ASUSER_LOOKUP, path, 0, &fd, NULL) || perm_inode_get(fd, &inode)
		       ? NULL
		       : net_find(f, &inode);
}

static int add_net(struct fabric *f, const char *file, const struct config_net *n,
		   struct errtext *e)
{
	struct ipn_net_info info = { .policy = n->policy,
				     .flags = n->flags,
				     .mtu = n->mtu,
				     .numnodes = n->numnodes,
				     .pool = n->pool,
				     .mode = n->mode,
				     .routes = n->routes,
				     .persistent = 1,
				     .uid = geteuid() };
	struct perm_inode inode;
	struct errtext why;
	_cleanup_close_ int fd = -1;
	bool made = false;
	struct net *net;
	int r;

	if (n->policy_name[0]) {
		info.policy = policy_find(f->policies, n->policy_name);
		if (!info.policy)
			return err_text(
				e, -EPROTONOSUPPORT,
				"%s:%u: policy: \"%s\" is not switch, broadcast, hub, l3 or a "
				"policy that is loaded (see: ipn-fabric policy list)",
				file, n->policy_line, n->policy_name);
	}
	r = path_do(f, ASUSER_NODE, n->path, n->mode, &fd, &made);
	if (!r)
		r = perm_inode_get(fd, &inode);
	if (r)
		return err_text(e, r, "%s", strerror(-r));
	net = net_find(f, &inode);
	if (net) {
		if (net->info.policy == info.policy && net->info.flags == n->flags &&
		    net->info.mtu == n->mtu && net->info.numnodes == n->numnodes &&
		    net->info.pool == n->pool && (!n->routes || net->info.routes == n->routes))
			return 0;
		return err_text(e, -EEXIST,
				"is there with other properties (remove it with: ipn-fabric net "
				"del %s)",
				n->path);
	}
	if (!S_ISSOCK(inode.mode))
		return err_text(
			e, -ENOTSOCK,
			"exists and is not an IPN network (remove the file, or choose another "
			"path)");
	net_path_label(fd, 0, "", info.path);
	r = fstype_check(fd, 0, &why);
	r = r ? err_text(e, r, "%s", why.text) : net_add(f, &info, fd, &inode, &net, e);
	if (!r)
		net->from_config = true;
	else if (made)
		unlink(n->path);
	return r;
}

/* The port is there, or it was made just now: what the file says of its number must be true. */
static int port_is(struct config_port *p, const struct node *node, struct errtext *e)
{
	if (p->port >= 0 && (__u32)p->port != node->in.number)
		return err_text(e, -EEXIST,
				"is at port %u of %s, not %d (write that, or detach it first)",
				node->in.number, p->path, p->port);
	p->port = (__s32)node->in.number;
	return 0;
}

static int add_cable(struct net *net, struct config_port *p, struct errtext *e)
{
	struct net *nets[2] = { net, find_net(net->f, p->other) };
	const __s32 ports[2] = { p->port, p->port2 };
	const struct node_want want = { .uid = geteuid(), .netns_fd = -1, .descr = p->descr };
	struct node *ends[2];
	int r;

	if (!nets[1])
		return err_text(e, -ENOENT, "%s is no network", p->other);
	for (__u32 i = 0; i < net->info.numnodes; i++) {
		struct node *node = net->ports[i];

		if (!node || !node->peer || node->peer->net != nets[1])
			continue;
		if (p->port2 >= 0 && (__u32)p->port2 != node->peer->in.number)
			return err_text(e, -EEXIST,
					"its other end is at port %u of %s, not %d (write that, or "
					"detach it first)",
					node->peer->in.number, p->other, p->port2);
		return port_is(p, node, e);
	}
	r = cable_add(nets, &want, ports, ends, e);
	if (r)
		return r;
	ends[0]->from_config = ends[1]->from_config = true;
	return port_is(p, ends[0], e);
}

static int add_listener(struct net *net, struct config_port *p, struct errtext *e)
{
	struct ipn_listener want = {
		.kind = p->listener, .mode = p->mode, .uid = geteuid(), .port = p->port
	};

	util_copy(want.path, sizeof(want.path), p->other);
	util_copy(want.peer, sizeof(want.peer), p->peer);
	return listener_from_config(net, &want, p->descr, e);
}

static int add_interface(struct net *net, struct config_port *p, struct errtext *e)
{
	struct node_want want = { .kind = p->kind,
				  .port = p->port,
				  .flags = IPN_PF_READER | IPN_PF_WRITER,
				  .uid = geteuid(),
				  .name = p->name,
				  .netns_fd = -1,
				  .frames = p->frames,
				  .frame_size = p->frame_size,
				  .own = p->own,
				  .descr = p->descr };
	_cleanup_close_ int netns_fd = -1;
	__u32 netns = 0;
	struct node *node;
	char path[128];
	int r;

	if (p->netns[0]) {
		snprintf(path, sizeof(path), "%s%s", strchr(p->netns, '/') ? "" : "/run/netns/",
			 p->netns);
		r = path_do(net->f, ASUSER_OPEN, path, 0, &netns_fd, NULL);
		if (r)
			return err_text(e, r, "network namespace %s: %s (ip netns add %s)",
					p->netns, strerror(-r), p->netns);
		r = link_netns_inode_of(netns_fd, &netns);
		if (r)
			return err_text(e, r, "%s is not a network namespace", path);
	}
	for (__u32 i = 0; i < net->info.numnodes; i++) {
		node = net->ports[i];
		if (node && node->in.kind == p->kind && !strcmp(node->in.name, p->name) &&
		    node->info.netns == netns)
			return port_is(p, node, e);
	}
	want.netns_fd = netns_fd;
	r = port_attach(net, &want, &node, e);
	if (r)
		return r;
	node->from_config = true;
	return port_is(p, node, e);
}

static int add_port(struct fabric *f, const char *file, struct config_port *p, struct errtext *e)
{
	struct net *net = find_net(f, p->path);
	int r;

	if (!net)
		r = err_text(e, -ENOENT, "%s is no network", p->path);
	else if (p->kind == IPN_KIND_CABLE)
		r = add_cable(net, p, e);
	else if (p->listener)
		r = add_listener(net, p, e);
	else
		r = add_interface(net, p, e);
	return where(file, p->line, r, e, "port %s", p->label);
}

/* An option of a router. What is there already stays: the last manager carried out this file. */
static int add_l3(struct fabric *f, const char *file, struct config_l3 *l3, struct errtext *e)
{
	struct net *net = find_net(f, l3->net->path);
	struct ipn_call *call;
	int r;

	if (!net || net->info.policy != IPN_POLICY_L3)
		return err_text(e, -ENOENT, "%s:%u: %s is no router", file, l3->line,
				l3->net->path);
	call = calloc(1, sizeof(*call));
	if (!call)
		return -ENOMEM;
	call->name = l3->option;
	switch (l3->option) {
	case IPN_L3_ADDR_ADD:
		if (l3->port)
			l3->addr.port = (__u32)l3->port->port;
		call->len = sizeof(l3->addr);
		break;
	case IPN_L3_ROUTE_ADD:
		call->len = sizeof(l3->route);
		break;
	default:
		if (l3->port)
			l3->neigh.port = (__u32)l3->port->port;
		call->len = sizeof(l3->neigh);
	}
	memcpy(call->data, &l3->addr, call->len);
	call->manager = 1; /* uid 0: the file is root's */
	r = net_policy_option(net, NULL, IPN_CALL_SETSOCKOPT, call, e);
	free(call);
	return r == -EEXIST ? 0 : where(file, l3->line, r, e, "%s", l3->net->path);
}

/* A file that cannot be carried out leaves nothing of itself. */
static void undo(struct fabric *f)
{
	listener_undo_config(f);
	/* by number: with one of them others may go */
	for (__u32 i = 0; i < IPN_MAX_NODES; i++)
		if (f->node_by_id[i] && f->node_by_id[i]->from_config)
			node_del(f->node_by_id[i], 0, false);
	for (__u32 i = 0; i < IPN_MAX_NETS; i++) {
		struct net *net = f->net_by_id[i];

		if (!net || !net->from_config)
			continue;
		net_path_remove(f, &net->info);
		net_del(net);
	}
	asuser_settle(f->asuser, ASUSER_WAIT_MS);
}

int config_apply(struct fabric *f, struct config *config, const char *file, struct errtext *e)
{
	int r = 0;

	for (struct config_net *n = config->nets; !r && n; n = n->next)
		r = where(file, n->line, add_net(f, file, n, e), e, "network %s", n->path);
	for (struct config_port *p = config->ports; !r && p; p = p->next)
		r = add_port(f, file, p, e);
	/* addresses first: next hops are behind them */
	for (struct config_l3 *l = config->l3; !r && l; l = l->next)
		if (l->option == IPN_L3_ADDR_ADD)
			r = add_l3(f, file, l, e);
	for (struct config_l3 *l = config->l3; !r && l; l = l->next)
		if (l->option != IPN_L3_ADDR_ADD)
			r = add_l3(f, file, l, e);
	if (r)
		undo(f);
	return r;
}
