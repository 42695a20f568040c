// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Control connections: requests in, replies out (include/ipn/control.h).
 *
 * The peer is hostile. A packet is looked at only when its header, length and number of descriptors
 * fit the table of requests below; strings are terminated before use; every descriptor that came is
 * closed on every path, and not here (async_close.c): also those that nobody has read when a
 * session ends. So its socket is shut down, then read to its end, and only then closed. One request
 * is answered before the next is read, and a reply that does not fit into the socket means that the
 * client does not read its replies: it is cut off. So a session costs a bounded amount of work per
 * turn of the event loop, and the loop is fair between them.
 */
#include "core.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <poll.h>
#include <stdalign.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "../common/names.h"

#define BACKLOG 512
#define PORTS_PER_PAGE 32
#define NETS_PER_PAGE 128
#define FDB_PER_PAGE 512
#define FDB_BATCH 256
#define FORGET_US 500000
#define USED_STEP_US 20000 /* of time used for each step behind others */
#define PRIORITY_MAX 50
#define FDS_MAX 253 /* SCM_MAX_FD: what one packet can have; none may be left to the kernel */

struct session {
	struct manager *m;
	struct session *next, *prev;
	int fd;
	sd_event_source *source;
	struct perm_peer peer;
	struct user *user;
	bool ending;     /* nothing is left of it but what is in its socket */
	bool held;       /* not read from while its user is stuck */
	struct net *net; /* bound or connected */
	bool bound;      /* keeps the network alive and may manage it */
	bool holds;      /* counted in net->bound */
	bool monitor;
	int64_t priority;       /* of its source */
	__u64 lost;             /* events */
	struct net *cached_net; /* monitor: the last network, in this turn of the loop, */
	uint64_t cached_turn;   /* and whether it may know of it: many events come at once */
	bool cached_visible;
	char only[IPN_PATH_MAX]; /* monitor of one network: its path, else empty */
	struct node *node;
	struct node *xsk;               /* whose AF_XDP socket it has */
	struct xsk_job *job;            /* that its request waits for */
	struct loading *loading;        /* the same, of a policy */
	struct ipn_ctl_hdr pending_hdr; /* that request */
};

struct request {
	struct session *s;
	const struct ipn_ctl_hdr *hdr;
	const void *body;
	int *fds;
	unsigned int nfds;
	/* reply */
	__u8 *reply;
	size_t reply_len; /* of the body */
	int reply_fds[IPN_CTL_MAX_FDS];
	unsigned int nreply_fds;
	struct errtext answer;
};
#define LATER 1 /* of a request: it will be answered by session_answer */
#define REPLY_ROOM (IPN_CTL_MAX_PACKET - sizeof(struct ipn_ctl_hdr))

/* --- what requests have in common --- */

static bool is_root(const struct session *s)
{
	return s->peer.uid == 0 || s->peer.uid == geteuid();
}

/* The network of the descriptor that came with the request. */
static int net_of_fd(struct request *q, int fd, struct net **net, struct perm_inode *inode)
{
	if (perm_inode_get(fd, inode))
		return err_text(&q->answer, -EBADF,
				"the descriptor that came with the request is unusable");
	*net = net_find(q->s->m, inode);
	if (!*net)
		return err_text(&q->answer, -ECONNREFUSED,
				"is not a live network "
				"(see: ipn-fabric net show; make one: ipn-fabric net add)");
	return 0;
}

static int net_managed_by(struct request *q, int fd, struct net **net)
{
	struct perm_inode inode;
	int r = net_of_fd(q, fd, net, &inode);

	if (r)
		return r;
	r = perm_check(fd, &q->s->peer);
	if (r < 0)
		return err_text(&q->answer, r, "cannot judge the permissions of %s: %s",
				(*net)->info.path, strerror(-r));
	if (!(r & PERM_X))
		return err_text(&q->answer, -EPERM,
				"no x permission on %s: uid %u may not manage it",
				(*net)->info.path, q->s->peer.uid);
	return 0;
}

static int net_managed(struct request *q, struct net **net)
{
	return net_managed_by(q, q->fds[0], net);
}

static int policy_fits(struct request *q, const struct net *net, __u32 policy)
{
	if (policy == IPN_ANY || policy == net->info.policy)
		return 0;
	return err_text(&q->answer, -EPROTO, "%s has policy %u (%s), not %u (%s)", net->info.path,
			net->info.policy, names_policy(net->info.policy) ?: "a loaded one", policy,
			names_policy(policy) ?: "a loaded one");
}

/* Text from a client: printable, one line. */
static void clean_text(char *s, size_t size)
{
	for (size_t i = 0; i < size && s[i]; i++)
		if ((unsigned char)s[i] < ' ' || s[i] == 127)
			s[i] = '?';
}

static void session_bind(struct session *s, struct net *net, bool holds)
{
	s->net = net;
	s->bound = true;
	s->holds = holds;
	net->bound += holds;
}

static void session_unbind(struct session *s)
{
	struct net *net = s->net;

	s->net = NULL;
	s->bound = false;
	if (net && s->holds) {
		s->holds = false;
		net->bound--;
		net_unused(net);
	}
}

void session_drop_net(struct manager *m, struct net *net)
{
	for (struct session *s = m->sessions; s; s = s->next) {
		if (s->cached_net == net)
			s->cached_net = NULL;
		if (s->net == net) {
			s->net = NULL;
			s->bound = s->holds = false;
		}
	}
}

void session_drop_node(struct session *s)
{
	s->node = NULL;
	if (!s->bound)
		s->net = NULL;
}

/* --- requests --- */

static __u64 now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (__u64)t.tv_sec * 1000000 + (__u64)t.tv_nsec / 1000;
}

static int do_info(struct request *q)
{
	struct manager *m = q->s->m;
	struct ipn_ctl_info *info = (void *)q->reply;

	*info = (struct ipn_ctl_info){
		.pid = (__u32)getpid(),
		.nets = HASH_COUNT(m->nets),
		.ports = HASH_COUNT(m->nodes),
		.uptime = (__u32)((now_us() - m->started) / 1000000),
		.adopted = m->bpf->adopted,
		.hook = m->bpf->abi.hook,
	};
	util_copy(info->version, sizeof(info->version), IPN_VERSION);
	snprintf(info->bpffs, sizeof(info->bpffs), "%.107s", m->bpf->dir);
	util_copy(info->netns, sizeof(info->netns), m->opts.netns ? m->opts.netns : "");
	q->reply_len = sizeof(*info);
	return 0;
}

static int reply_net(struct request *q, struct net *net)
{
	net_describe(net, (void *)q->reply);
	q->reply_len = sizeof(struct ipn_ctl_net);
	return 0;
}

/* Sockets without a path have inodes, too: in the file system of all sockets, ours among them. */
static bool in_file_system(struct manager *m, const struct perm_inode *inode)
{
	struct perm_inode own;

	return !perm_inode_get(m->listen_fd, &own) && inode->dev != own.dev;
}

static int do_net_add(struct request *q)
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
	};
	struct perm_inode inode;
	struct net *net;
	int r;

	if (!info.persistent && s->net)
		return err_text(&q->answer, -EISCONN, "this socket has a network already");
	if (!memchr(add->path, 0, sizeof(add->path)) || !add->path[0])
		return err_text(&q->answer, -EINVAL, "the request has no path");
	memcpy(info.path, add->path, sizeof(info.path));
	clean_text(info.path, sizeof(info.path));
	if (perm_inode_get(q->fds[0], &inode))
		return err_text(&q->answer, -EBADF, "the descriptor of the path is unusable");
	if (!S_ISSOCK(inode.mode) || !in_file_system(s->m, &inode))
		return err_text(&q->answer, -ENOTSOCK,
				"exists and is not an IPN network "
				"(remove the file, or choose another path)");
	if (net_find(s->m, &inode))
		return err_text(&q->answer, -EEXIST,
				"is a network already (see: ipn-fabric net show %s)", info.path);
	if (inode.uid != s->peer.uid && !is_root(s))
		return err_text(&q->answer, -EPERM,
				"belongs to uid %u (only its owner can make it a network)",
				inode.uid);
	r = fstype_check(q->fds[0], s->peer.pid, &q->answer);
	if (!r)
		r = net_add(s->m, &info, q->fds[0], &inode, &net, &q->answer);
	if (r)
		return r;
	if (!info.persistent)
		session_bind(s, net, true);
	return reply_net(q, net);
}

/*
 * Ending what others use takes more than x, which a mode of 0777 gives to all: the inode's owner.
 */
static int net_owned(struct request *q, struct net **net)
{
	struct perm_inode inode;
	int r = net_managed(q, net);

	if (r || is_root(q->s))
		return r;
	if (perm_inode_get(q->fds[0], &inode) || inode.uid != q->s->peer.uid)
		return err_text(&q->answer, -EPERM,
				"%s belongs to uid %u (only its owner may do that)",
				(*net)->info.path, inode.uid);
	return 0;
}

static int do_net_del(struct request *q)
{
	struct net *net;
	int r = net_owned(q, &net);

	if (!r)
		net_del(net);
	return r;
}

static int do_bind(struct request *q)
{
	const struct ipn_ctl_bind *bind = q->body;
	struct net *net;
	int r;

	if (q->s->bound)
		return err_text(&q->answer, -EISCONN, "this socket has a network already");
	r = net_managed(q, &net);
	/* a node of before the manager's restart that was bound, too, binds after it rejoined */
	if (!r && q->s->net && q->s->net != net)
		r = err_text(&q->answer, -EISCONN, "this socket has another network already");
	if (!r)
		r = policy_fits(q, net, bind->policy);
	if (r)
		return r;
	session_bind(q->s, net, true);
	return reply_net(q, net);
}

static void add_fd(struct request *q, struct ipn_ctl_connected *c, int fd, __u32 bit)
{
	if (fd < 0)
		return;
	q->reply_fds[q->nreply_fds++] = fd;
	c->fds |= bit;
}

static void reply_connected(struct request *q, struct node *node, const struct node_fds *fds,
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

static int do_connect(struct request *q)
{
	const struct ipn_ctl_connect *connect = q->body;
	struct session *s = q->s;
	struct node_want want = {
		.kind = IPN_KIND_PROC,
		.port = connect->port,
		.uid = s->peer.uid,
		.pid = (__u32)s->peer.pid,
		.netns_fd = -1,
	};
	char descr[IPN_DESCR_MAX];
	struct perm_inode inode;
	struct net *net = s->net;
	struct node_fds fds;
	struct node *node;
	__u64 cursor;
	int r;

	if (s->node)
		return err_text(&q->answer, -EISCONN, "this socket is connected already");
	if (q->nfds) {
		r = net_of_fd(q, q->fds[0], &net, &inode);
		if (r)
			return r;
		if (s->net && s->net != net)
			return err_text(&q->answer, -EISCONN, "this socket is bound to %s",
					s->net->info.path);
	} else if (!net) {
		return err_text(&q->answer, -ENOTCONN,
				"no path, and this socket is not bound to one");
	}
	r = policy_fits(q, net, connect->policy);
	if (r)
		return r;
	if (net->path_fd < 0)
		return err_text(&q->answer, -ECONNREFUSED, "its path is gone");
	r = perm_check(net->path_fd, &s->peer);
	if (r < 0)
		return err_text(&q->answer, r, "cannot judge the permissions of %s: %s",
				net->info.path, strerror(-r));
	if ((r & PERM_R) && !(connect->shutdown & 1))
		want.flags |= IPN_PF_READER;
	if ((r & PERM_W) && !(connect->shutdown & 2))
		want.flags |= IPN_PF_WRITER;
	if (!want.flags)
		return err_text(&q->answer, -EACCES,
				"uid %u has neither r nor w on %s that is not shut down",
				s->peer.uid, net->info.path);
	memcpy(descr, connect->descr, sizeof(descr));
	clean_text(descr, sizeof(descr));
	want.descr = descr;
	r = node_connect(net, &want, &node, &fds, &cursor, &q->answer);
	if (r)
		return r;
	node->session = s;
	s->node = node;
	s->net = net;
	reply_connected(q, node, &fds, cursor);
	return 0;
}

static int do_shutdown(struct request *q)
{
	const struct ipn_ctl_shutdown *shutdown = q->body;

	if (!q->s->node)
		return err_text(&q->answer, -ENOTCONN, "this socket is not connected");
	if (shutdown->how > SHUT_RDWR)
		return err_text(&q->answer, -EINVAL, "there is no way %u to shut down",
				shutdown->how);
	return node_shutdown(q->s->node, (int)shutdown->how);
}

static int do_descr(struct request *q)
{
	const struct ipn_ctl_descr *descr = q->body;
	struct node *node = q->s->node;

	if (!node)
		return err_text(&q->answer, -ENOTCONN, "this socket is not connected");
	memcpy(node->info.descr, descr->descr, sizeof(node->info.descr));
	clean_text(node->info.descr, sizeof(node->info.descr));
	if (bpf_map_update_elem(q->s->m->bpf->fd_port_info, &node->ifindex, &node->info, BPF_ANY))
		return err_text(&q->answer, -errno, "cannot store the description: %s",
				strerror(errno));
	return 0;
}

/* A node of before the manager's restart shows its tap: that is what makes it the node. */
static int do_rejoin(struct request *q)
{
	struct session *s = q->s;
	struct node *node;
	__u32 ifindex;
	int r;

	if (s->node || s->net)
		return err_text(&q->answer, -EISCONN, "this socket has a network already");
	r = link_tap_of_fd(s->m->link, q->fds[0], &ifindex);
	if (r)
		return err_text(&q->answer, r, "the descriptor is no tap of this fabric");
	HASH_FIND(hh, s->m->nodes, &ifindex, sizeof(ifindex), node);
	if (!node || node->in.kind != IPN_KIND_PROC || node->in.uid != s->peer.uid)
		return err_text(&q->answer, -ENOTCONN, "the port is not there any more");
	if (node->session)
		return err_text(&q->answer, -EISCONN, "the port has a session already");
	node->session = s;
	s->node = node;
	s->net = node->net;
	reply_connected(q, node, NULL, 0);
	return 0;
}

static int do_attach(struct request *q)
{
	const struct ipn_ctl_attach *attach = q->body;
	struct session *s = q->s;
	struct node_want want = {
		.kind = attach->kind,
		.port = attach->port,
		.flags = IPN_PF_READER | IPN_PF_WRITER,
		.uid = s->peer.uid,
		.netns_fd = q->nfds > 1 ? q->fds[1] : -1,
		.frames = attach->frames,
		.frame_size = attach->frame_size,
		.own = attach->own,
	};
	char name[IPN_NAME_MAX], descr[IPN_DESCR_MAX];
	struct node *node;
	struct net *net;
	int r;

	if ((want.kind < IPN_KIND_TAP || want.kind > IPN_KIND_GRAB) && want.kind != IPN_KIND_XSK)
		return err_text(&q->answer, -EINVAL, "there is no kind %u of port to attach",
				want.kind);
	memcpy(name, attach->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	memcpy(descr, attach->descr, sizeof(descr));
	clean_text(descr, sizeof(descr));
	want.name = name;
	want.descr = descr;
	if (!link_name_ok(name))
		return err_text(&q->answer, -EINVAL,
				"not a name for an interface (1 to 15 bytes, no / : or space)");
	if (q->nfds > 1 && (want.kind != IPN_KIND_VETH || link_netns_check(q->fds[1])))
		return err_text(&q->answer, -EBADF,
				"the second descriptor is no network namespace");
	if (!s->peer.net_admin)
		return err_text(&q->answer, -EPERM,
				"attaching an interface needs CAP_NET_ADMIN (run as root)");
	r = net_managed(q, &net);
	if (!r)
		r = node_attach(net, &want, &node, &q->answer);
	if (r)
		return r;
	node_describe(node, (void *)q->reply, false);
	q->reply_len = sizeof(struct ipn_ctl_port);
	return 0;
}

static int do_cable(struct request *q)
{
	const struct ipn_ctl_cable *cable = q->body;
	struct session *s = q->s;
	char descr[IPN_DESCR_MAX];
	struct node_want want = { .uid = s->peer.uid, .netns_fd = -1, .descr = descr };
	struct net *nets[2] = { NULL, NULL };
	struct node *ends[2];
	int r;

	memcpy(descr, cable->descr, sizeof(descr));
	clean_text(descr, sizeof(descr));
	if (!s->peer.net_admin)
		return err_text(&q->answer, -EPERM, "a cable needs CAP_NET_ADMIN (run as root)");
	r = net_managed_by(q, q->fds[0], &nets[0]);
	if (!r)
		r = net_managed_by(q, q->fds[1], &nets[1]);
	if (!r)
		r = cable_add(nets, &want, cable->port, ends, &q->answer);
	for (int i = 0; !r && i < 2; i++) {
		node_describe(ends[i], (struct ipn_ctl_port *)(void *)q->reply + i, false);
		q->reply_len += sizeof(struct ipn_ctl_port);
	}
	return r;
}

static int do_detach(struct request *q)
{
	const struct ipn_ctl_detach *detach = q->body;
	struct net *net;
	int r = net_owned(q, &net);

	if (r)
		return r;
	if (detach->port >= net->info.numnodes || !net->ports[detach->port])
		return err_text(&q->answer, -ENOENT,
				"nothing is at port %u of %s (see: ipn-fabric show %s)",
				detach->port, net->info.path, net->info.path);
	if (net->ports[detach->port]->in.kind != IPN_KIND_PROC &&
	    net->ports[detach->port]->in.kind != IPN_KIND_SOCK && !q->s->peer.net_admin)
		return err_text(&q->answer, -EPERM,
				"detaching an interface needs CAP_NET_ADMIN (run as root)");
	node_del(net->ports[detach->port], ENODEV, false);
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
	clean_text(name, sizeof(name));
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
		return err_text(&q->answer, -ENOENT,
				"%s has no AF_XDP port (make one: ipn-fabric attach %s --xsk NAME)",
				net->info.path, net->info.path);
	if (name[0])
		return err_text(&q->answer, -ENOENT,
				"%s has no AF_XDP port %s (see: ipn-fabric show %s)",
				net->info.path, name, net->info.path);
	return err_text(&q->answer, -ENOENT,
			"port %d of %s is no AF_XDP port (see: ipn-fabric show %s)", open->port,
			net->info.path, net->info.path);
}

static int do_xsk_open(struct request *q)
{
	struct session *s = q->s;
	struct perm_inode inode;
	struct node *node;
	struct net *net;
	int r;

	if (s->node || s->net || s->xsk)
		return err_text(&q->answer, -EISCONN, "this connection has a network already");
	r = net_of_fd(q, q->fds[0], &net, &inode);
	if (r)
		return r;
	r = perm_check(q->fds[0], &s->peer);
	if (r < 0)
		return err_text(&q->answer, r, "cannot judge the permissions of %s: %s",
				net->info.path, strerror(-r));
	if ((r & (PERM_R | PERM_W)) != (PERM_R | PERM_W))
		return err_text(&q->answer, -EACCES, "uid %u has not both r and w on %s",
				s->peer.uid, net->info.path);
	r = xsk_find(q, net, &node);
	if (!r)
		r = xsk_open(node, s, (__u32)s->peer.pid, &q->answer);
	if (r)
		return r;
	s->pending_hdr = *q->hdr;
	return LATER;
}

void session_take_xsk(struct session *s, struct node *node)
{
	if (!node && !s->m->closing)
		shutdown(s->fd, SHUT_RDWR); /* tells its holder; the session ends by that */
	s->xsk = node;
}

void session_waits_for(struct session *s, struct xsk_job *job)
{
	s->job = job;
	sd_event_source_set_io_events(s->source, job ? 0 : EPOLLIN);
}

static int do_listener(struct request *q)
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
		return err_text(&q->answer, -EINVAL, "the path does not end");
	memcpy(listener.path, in->path, sizeof(listener.path));
	memcpy(listener.peer, in->peer, sizeof(listener.peer));
	memcpy(descr, in->descr, sizeof(descr));
	clean_text(listener.path, sizeof(listener.path));
	clean_text(descr, sizeof(descr));
	if (!s->peer.net_admin)
		return err_text(&q->answer, -EPERM,
				"attaching sockets needs CAP_NET_ADMIN (run as root)");
	r = net_managed(q, &net);
	if (r)
		return r;
	if (in->op == IPN_LISTENER_CLOSE)
		return listener_close(net, listener.path, &q->answer);
	if (in->op != IPN_LISTENER_OPEN)
		return err_text(&q->answer, -EINVAL, "there is no listener request %u", in->op);
	return listener_open(net, &listener, descr, &q->answer);
}

/* --- interfaces as nodes of sockets --- */

static int netdev_reply(struct request *q, struct node *node)
{
	struct session *s = q->s;

	node->session = s;
	s->node = node;
	node_describe(node, (void *)q->reply, false);
	q->reply_len = sizeof(struct ipn_ctl_port);
	return 0;
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
		.pid = (__u32)s->peer.pid,
		.name = name,
		.netns_fd = -1,
		.descr = descr,
	};
	struct node *node;
	int r;

	if (in->flags != IPN_NODEFLAG_TAP && in->flags != IPN_NODEFLAG_GRAB)
		return err_text(&q->answer, -EINVAL, "flags 0x%x are neither TAP nor GRAB",
				in->flags);
	if (!*name && want.kind == IPN_KIND_HOST)
		want.name = LINK_NAME_AUTO;
	else if (!link_name_ok(name))
		return err_text(&q->answer, -EINVAL,
				"not a name for an interface (1 to 15 bytes, no / : or space)");
	memcpy(descr, in->descr, sizeof(descr));
	clean_text(descr, sizeof(descr));
	r = node_attach(s->net, &want, &node, &q->answer);
	return r ? r : netdev_reply(q, node);
}

static int netdev_join(struct request *q, const struct ipn_ctl_netdev *in, const char *name)
{
	struct session *s = q->s;
	struct node *node = netdev_find(s->m, name, in->ifindex);
	int r;

	if (!node)
		return err_text(&q->answer, -EADDRNOTAVAIL, "no port has such an interface");
	/* without a session, but a process's: it comes back to it after a restart of the manager */
	if (node->session || (node->holder && node->info.pid != (__u32)s->peer.pid))
		return err_text(&q->answer, -EADDRNOTAVAIL, "interface %s has a socket already",
				node->in.name);
	if (node->net != s->net)
		return err_text(&q->answer, -EPERM, "interface %s is on %s", node->in.name,
				node->net->info.path);
	r = netdev_hold(node, (__u32)s->peer.pid);
	return r ? r : netdev_reply(q, node);
}

static int netdev_mac(struct request *q, const struct ipn_ctl_netdev *in)
{
	struct node *node = q->s->node;
	struct link_info far;
	int r;

	if (!node || node->in.kind != IPN_KIND_HOST || netdev_far(node, &far))
		return err_text(&q->answer, -EADDRNOTAVAIL,
				"this socket has no interface that was made for it");
	r = link_set_mac(q->s->m->link, far.ifindex, in->mac);
	return r ? err_text(&q->answer, r, "cannot set the address of %s: %s", far.name,
			    strerror(-r))
		 : 0;
}

static int do_netdev(struct request *q)
{
	const struct ipn_ctl_netdev *in = q->body;
	struct session *s = q->s;
	char name[IPN_NAME_MAX];
	struct node *node = s->node;

	memcpy(name, in->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	if (!s->peer.net_admin)
		return err_text(&q->answer, -EPERM,
				"interfaces of sockets need CAP_NET_ADMIN (run as root)");
	if (in->op == IPN_NETDEV_MAC)
		return netdev_mac(q, in);
	if (in->op == IPN_NETDEV_PERSIST_OF) {
		node = netdev_find(s->m, name, in->ifindex);
		if (!node)
			return err_text(&q->answer, -EADDRNOTAVAIL,
					"no port has such an interface");
		return netdev_persist(node, in->flags);
	}
	if (in->op < IPN_NETDEV_CONN || in->op > IPN_NETDEV_PERSIST)
		return err_text(&q->answer, -EINVAL, "there is no interface request %u", in->op);
	if (!s->net)
		return err_text(&q->answer, -ENOTCONN, "this socket is not bound");
	if (in->op == IPN_NETDEV_PERSIST) {
		if (!node || node->in.kind == IPN_KIND_PROC)
			return err_text(&q->answer, -ENODEV, "this socket has no interface");
		return netdev_persist(node, in->flags);
	}
	if (node)
		return err_text(&q->answer, -EISCONN, "this socket is connected already");
	return in->op == IPN_NETDEV_CONN ? netdev_conn(q, in, name) : netdev_join(q, in, name);
}

/* Whoever may do anything with a network may know of it. */
static bool visible(struct session *s, struct net *net)
{
	return is_root(s) || (net->path_fd >= 0 && perm_check(net->path_fd, &s->peer) > 0);
}

static int list_filter(struct request *q, struct net **only)
{
	struct perm_inode inode;

	int r;

	*only = NULL;
	if (!q->nfds)
		return 0;
	r = net_of_fd(q, q->fds[0], only, &inode);
	if (!r && !visible(q->s, *only))
		r = err_text(&q->answer, -EACCES, "uid %u has no permission on %s", q->s->peer.uid,
			     (*only)->info.path);
	return r;
}

static int do_net_list(struct request *q)
{
	const struct ipn_ctl_list *list = q->body;
	struct ipn_ctl_page *page = (void *)q->reply;
	struct ipn_ctl_net *out = (void *)(page + 1);
	struct net *only;
	__u64 id;
	int r = list_filter(q, &only);

	if (r)
		return r;
	memset(page, 0, sizeof(*page));
	for (id = list->from; id < IPN_MAX_NETS && page->count < NETS_PER_PAGE; id++) {
		struct net *net = q->s->m->net_by_id[id];

		if (net && (!only || net == only) && visible(q->s, net))
			net_describe(net, &out[page->count++]);
	}
	page->next = id < IPN_MAX_NETS ? id : 0;
	q->reply_len = sizeof(*page) + page->count * sizeof(*out);
	return 0;
}

static int do_port_list(struct request *q)
{
	const struct ipn_ctl_list *list = q->body;
	struct ipn_ctl_page *page = (void *)q->reply;
	struct ipn_ctl_port *out = (void *)(page + 1);
	struct manager *m = q->s->m;
	struct net *only, *last = NULL;
	bool last_visible = false;
	__u64 at;
	int r = list_filter(q, &only);

	if (r)
		return r;
	memset(page, 0, sizeof(*page));
	/* by place in `port_out`: ports of a network stand together, in order */
	for (at = list->from; at < (__u64)IPN_MAX_NETS * IPN_NET_PORTS; at++) {
		struct net *net = m->net_by_id[at / IPN_NET_PORTS];
		__u64 port = at % IPN_NET_PORTS;

		if (!net || (only && net != only) || port >= net->info.numnodes) {
			at |= IPN_NET_PORTS - 1; /* on to the next network */
			continue;
		}
		if (net != last)
			last_visible = visible(q->s, net);
		last = net;
		if (!net->ports[port] || !last_visible)
			continue;
		if (page->count == PORTS_PER_PAGE) {
			page->next = at;
			break;
		}
		node_describe(net->ports[port], &out[page->count], list->stats);
		if (net->ports[port]->peer && !visible(q->s, net->ports[port]->peer->net))
			memset(out[page->count].peer, 0, sizeof(out[page->count].peer));
		page->count++;
	}
	q->reply_len = sizeof(*page) + page->count * sizeof(*out);
	return 0;
}

static __u32 fdb_page(struct net *net, struct ipn_ctl_fdb *out, const struct ipn_fdb_key *keys,
		      const struct ipn_fdb *values, __u32 n)
{
	struct timespec t;
	__u32 count = 0;
	__u64 now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	now = (__u64)t.tv_sec * 1000000000ULL + (__u64)t.tv_nsec;
	for (__u32 i = 0; i < n; i++) {
		__u64 age = now > values[i].seen ? now - values[i].seen : 0;
		struct node *node;

		if (keys[i].net != net->id || values[i].port >= net->info.numnodes)
			continue;
		node = net->ports[values[i].port];
		if (!node || node->in.gen != values[i].gen || age > IPN_FDB_AGE_NS)
			continue;
		out[count] = (struct ipn_ctl_fdb){ .vlan = keys[i].vlan,
						   .port = values[i].port,
						   .age = (__u32)(age / 1000000000ULL) };
		memcpy(out[count].mac, keys[i].mac, sizeof(out[count].mac));
		count++;
	}
	return count;
}

/*
 * One batch of buckets a page; a page may be empty and not the last. next: the map's own cursor +
 * 1.
 */
static int do_fdb_list(struct request *q)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	const struct ipn_ctl_list *list = q->body;
	struct ipn_ctl_page *page = (void *)q->reply;
	_cleanup_free_ struct ipn_fdb_key *keys = calloc(FDB_BATCH, sizeof(*keys));
	_cleanup_free_ struct ipn_fdb *values = calloc(FDB_BATCH, sizeof(*values));
	struct manager *m = q->s->m;
	__u32 in = (__u32)list->from - 1, out = 0, n = FDB_BATCH;
	struct perm_inode inode;
	struct net *net;
	int r;

	if (!keys || !values)
		return -ENOMEM;
	r = net_of_fd(q, q->fds[0], &net, &inode);
	if (r)
		return r;
	if (!visible(q->s, net))
		return err_text(&q->answer, -EACCES, "uid %u has no permission on %s",
				q->s->peer.uid, net->info.path);
	memset(page, 0, sizeof(*page));
	r = bpf_map_lookup_batch(m->bpf->fd_fdb, list->from ? &in : NULL, &out, keys, values, &n,
				 &opts);
	if (r && errno != ENOENT)
		return err_text(&q->answer, -errno, "cannot read the addresses: %s",
				strerror(errno));
	page->next = r ? 0 : (__u64)out + 1;
	page->count = fdb_page(net, (void *)(page + 1), keys, values, n);
	q->reply_len = sizeof(*page) + page->count * sizeof(struct ipn_ctl_fdb);
	return 0;
}

static int do_net_get(struct request *q)
{
	if (!q->s->net)
		return err_text(&q->answer, -ENOTCONN, "this socket has no network");
	return reply_net(q, q->s->net);
}

static int do_monitor(struct request *q)
{
	struct session *s = q->s;
	struct net *only;
	int r = list_filter(q, &only);

	if (r)
		return r;
	if (s->net)
		return err_text(&q->answer, -EISCONN, "this connection has a network already");
	if (s->user->uid && s->user->monitors >= QUOTA_MONITORS)
		return err_text(&q->answer, -EDQUOT,
				"uid %u has %u monitors, the most a user may have", s->user->uid,
				s->user->monitors);
	r = monitor_begin(s->m);
	if (r < 0)
		return err_text(&q->answer, r, "cannot look for overruns: %s", strerror(-r));
	if (only)
		memcpy(s->only, only->info.path, sizeof(s->only));
	s->monitor = true;
	s->user->monitors++;
	return 0;
}

static int event_send(const struct session *s, const struct ipn_ctl_event *event)
{
	struct {
		struct ipn_ctl_hdr hdr;
		struct ipn_ctl_event event;
	} packet = {
		.hdr = { .magic = IPN_CTL_MAGIC,
			 .version = IPN_CTL_VERSION,
			 .type = IPN_CTL_MONITOR,
			 .len = sizeof(packet) },
		.event = *event,
	};

	return send(s->fd, &packet, sizeof(packet), MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* Judged once a turn. */
static bool monitor_sees(struct session *s, struct net *net)
{
	uint64_t turn = 0;

	sd_event_get_iteration(s->m->event, &turn);
	if (s->cached_net != net || s->cached_turn != turn) {
		s->cached_visible = visible(s, net);
		s->cached_net = net;
		s->cached_turn = turn;
	}
	return s->cached_visible;
}

__u32 session_tell(struct manager *m, struct net *net, const struct ipn_ctl_event *event)
{
	__u32 n = 0;

	for (struct session *s = m->sessions; s; s = s->next) {
		n += s->monitor;
		if (!s->monitor || !event || (s->only[0] && strcmp(s->only, event->path) != 0) ||
		    (net && !monitor_sees(s, net)))
			continue;
		if (s->lost) {
			struct ipn_ctl_event lost = { .what = IPN_WATCH_LOST,
						      .count = s->lost,
						      .time = event->time };

			if (event_send(s, &lost)) {
				s->lost++;
				continue;
			}
			s->lost = 0;
		}
		if (event_send(s, event))
			s->lost++;
	}
	return n;
}

static int do_resize(struct request *q)
{
	const struct ipn_ctl_resize *resize = q->body;
	struct session *s = q->s;
	int r;

	if (!s->bound)
		return err_text(&q->answer, -ENOTCONN, "this socket is not bound to a network");
	r = net_resize(s->net, resize->numnodes, &q->answer);
	return r ? r : reply_net(q, s->net);
}

/* --- policies --- */

static int may_policies(struct request *q, const char *what)
{
	return q->s->peer.net_admin
		       ? 0
		       : err_text(&q->answer, -EPERM,
				  "%s a policy needs CAP_NET_ADMIN (run as root)", what);
}

/* From here on, its requests are read again. */
static void on_policy_loaded(void *arg, __u32 number, int r, const struct errtext *a)
{
	struct ipn_ctl_policy policy;
	struct session *s = arg;

	sd_event_source_set_io_events(s->source, EPOLLIN);
	if (!r)
		policy_describe(s->m, number, &policy);
	session_answer(s, r, a, r ? NULL : &policy, r ? 0 : sizeof(policy), NULL, 0);
}

/* Takes seconds, maybe: others are served meanwhile, and this session when it is done. */
static int do_policy_load(struct request *q)
{
	const struct ipn_ctl_policy_load *load = q->body;
	struct session *s = q->s;
	char name[IPN_POLICY_NAME_MAX];
	int r = may_policies(q, "loading");

	memcpy(name, load->name, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	if (!r)
		r = policy_load(s->m, q->fds[0], load->number, name, on_policy_loaded, s,
				&s->loading, &q->answer);
	if (r)
		return r;
	s->pending_hdr = *q->hdr;
	/* its end is told all the same */
	r = sd_event_source_set_io_events(s->source, 0);
	if (r >= 0)
		return LATER;
	policy_load_cancel(s->loading);
	return r;
}

static int do_policy_unload(struct request *q)
{
	const struct ipn_ctl_policy_unload *unload = q->body;
	int r = may_policies(q, "unloading");

	return r ? r : policy_unload(q->s->m, unload->number, &q->answer);
}

/* There are so few that they fit one page. */
static int do_policy_list(struct request *q)
{
	const struct ipn_ctl_list *list = q->body;
	struct ipn_ctl_page *page = (void *)q->reply;
	struct ipn_ctl_policy *out = (void *)(page + 1);

	memset(page, 0, sizeof(*page));
	for (__u64 i = list->from; i < IPN_POLICY_MAX; i++)
		if (q->s->m->policies[i])
			policy_describe(q->s->m, (__u32)i, &out[page->count++]);
	q->reply_len = sizeof(*page) + page->count * sizeof(*out);
	return 0;
}

/* setsockopt, getsockopt, ioctl: for the policy of the session's network. */
static int option_call(struct request *q, enum ipn_policy_call which)
{
	const struct ipn_ctl_option *in = q->body;
	struct ipn_ctl_option *out = (void *)q->reply;
	struct session *s = q->s;
	static struct ipn_call call;
	int r;

	if (!s->net)
		return err_text(&q->answer, -ENOTCONN, "this socket has no network");
	if (which != IPN_CALL_IOCTL && in->level != (__s32)s->net->info.policy)
		return err_text(&q->answer, -EPROTONOSUPPORT, "%s has policy %u, not %d",
				s->net->info.path, s->net->info.policy, in->level);
	if (in->len > sizeof(in->data))
		return err_text(&q->answer, -EINVAL, "%u bytes are too many, the most is %zu",
				in->len, sizeof(in->data));
	/* a process at the network may use it; what it is made of, only who manages the path */
	if (s->net->info.policy == IPN_POLICY_L3 && !s->bound)
		return err_text(&q->answer, -EPERM, "this socket is not bound to %s",
				s->net->info.path);
	call.name = in->name;
	call.len = in->len;
	memset(call.data, 0, sizeof(call.data));
	memcpy(call.data, in->data, in->len);
	r = policy_option(s->net, s->node, which, &call, &q->answer);
	if (r < 0)
		return r;
	if (which == IPN_CALL_SETSOCKOPT)
		return 0;
	*out = (struct ipn_ctl_option){ .level = in->level, .name = in->name, .len = in->len };
	if (call.len < out->len || which == IPN_CALL_IOCTL)
		out->len = call.len < sizeof(out->data) ? call.len : sizeof(out->data);
	memcpy(out->data, call.data, out->len);
	q->reply_len = sizeof(*out);
	return 0;
}

static int do_setsockopt(struct request *q)
{
	return option_call(q, IPN_CALL_SETSOCKOPT);
}

static int do_getsockopt(struct request *q)
{
	return option_call(q, IPN_CALL_GETSOCKOPT);
}

static int do_ioctl(struct request *q)
{
	return option_call(q, IPN_CALL_IOCTL);
}

static int do_down(struct request *q)
{
	if (!is_root(q->s))
		return err_text(&q->answer, -EPERM, "only root may take the fabric down");
	q->s->m->down = true;
	sd_event_exit(q->s->m->event, 0);
	return 0;
}

static const struct {
	int (*fn)(struct request *q);
	size_t body;
	unsigned int min_fds, max_fds;
} requests[IPN_CTL_TYPES] = {
	[IPN_CTL_INFO] = { do_info, 0, 0, 0 },
	[IPN_CTL_NET_ADD] = { do_net_add, sizeof(struct ipn_ctl_net_add), 1, 1 },
	[IPN_CTL_NET_DEL] = { do_net_del, 0, 1, 1 },
	[IPN_CTL_BIND] = { do_bind, sizeof(struct ipn_ctl_bind), 1, 1 },
	[IPN_CTL_CONNECT] = { do_connect, sizeof(struct ipn_ctl_connect), 0, 1 },
	[IPN_CTL_SHUTDOWN] = { do_shutdown, sizeof(struct ipn_ctl_shutdown), 0, 0 },
	[IPN_CTL_DESCR] = { do_descr, sizeof(struct ipn_ctl_descr), 0, 0 },
	[IPN_CTL_REJOIN] = { do_rejoin, 0, 1, 1 },
	[IPN_CTL_ATTACH] = { do_attach, sizeof(struct ipn_ctl_attach), 1, 2 },
	[IPN_CTL_DETACH] = { do_detach, sizeof(struct ipn_ctl_detach), 1, 1 },
	[IPN_CTL_NET_LIST] = { do_net_list, sizeof(struct ipn_ctl_list), 0, 1 },
	[IPN_CTL_PORT_LIST] = { do_port_list, sizeof(struct ipn_ctl_list), 0, 1 },
	[IPN_CTL_FDB_LIST] = { do_fdb_list, sizeof(struct ipn_ctl_list), 1, 1 },
	[IPN_CTL_DOWN] = { do_down, 0, 0, 0 },
	[IPN_CTL_NET_GET] = { do_net_get, 0, 0, 0 },
	[IPN_CTL_MONITOR] = { do_monitor, 0, 0, 1 },
	[IPN_CTL_RESIZE] = { do_resize, sizeof(struct ipn_ctl_resize), 0, 0 },
	[IPN_CTL_POLICY_LOAD] = { do_policy_load, sizeof(struct ipn_ctl_policy_load), 1, 1 },
	[IPN_CTL_POLICY_UNLOAD] = { do_policy_unload, sizeof(struct ipn_ctl_policy_unload), 0, 0 },
	[IPN_CTL_POLICY_LIST] = { do_policy_list, sizeof(struct ipn_ctl_list), 0, 0 },
	[IPN_CTL_SETSOCKOPT] = { do_setsockopt, sizeof(struct ipn_ctl_option), 0, 0 },
	[IPN_CTL_GETSOCKOPT] = { do_getsockopt, sizeof(struct ipn_ctl_option), 0, 0 },
	[IPN_CTL_IOCTL] = { do_ioctl, sizeof(struct ipn_ctl_option), 0, 0 },
	[IPN_CTL_VDE] = { do_listener, sizeof(struct ipn_ctl_listener), 1, 1 },
	[IPN_CTL_UNIX] = { do_listener, sizeof(struct ipn_ctl_listener), 1, 1 },
	[IPN_CTL_NETDEV] = { do_netdev, sizeof(struct ipn_ctl_netdev), 0, 0 },
	[IPN_CTL_CABLE] = { do_cable, sizeof(struct ipn_ctl_cable), 2, 2 },
	[IPN_CTL_XSK_OPEN] = { do_xsk_open, sizeof(struct ipn_ctl_xsk_open), 1, 1 },
};
_Static_assert(sizeof(struct ipn_ctl_page) + PORTS_PER_PAGE * sizeof(struct ipn_ctl_port) <=
		       REPLY_ROOM,
	       "a page of ports fits a packet");
_Static_assert(sizeof(struct ipn_ctl_page) + NETS_PER_PAGE * sizeof(struct ipn_ctl_net) <=
		       REPLY_ROOM,
	       "a page of networks fits a packet");
_Static_assert(sizeof(struct ipn_ctl_page) + FDB_BATCH * sizeof(struct ipn_ctl_fdb) <= REPLY_ROOM,
	       "a page of addresses fits a packet");

/*
 * Ends the sessions whose clients have closed them and said nothing more. Events of one turn come
 * in no order, but who closes a socket and then joins by another finds the port free, and the
 * network gone if it was the last.
 */
static void sessions_reap(struct manager *m, struct session *but)
{
	_cleanup_free_ struct pollfd *p = NULL;
	_cleanup_free_ struct session **of = NULL;
	nfds_t n = 0, count = 0;
	char c;

	for (struct session *s = m->sessions; s; s = s->next)
		count++;
	if (!count)
		return;
	p = calloc(count, sizeof(*p));
	of = calloc(count, sizeof(struct session *));
	if (!p || !of)
		return; /* they end a moment later */
	for (struct session *s = m->sessions; s; s = s->next) {
		if (s == but || (!s->node && !s->bound && !s->xsk && !s->job))
			continue;
		p[n].fd = s->fd;
		p[n].events = POLLRDHUP;
		of[n++] = s;
	}
	if (poll(p, n, 0) <= 0)
		return;
	for (nfds_t i = 0; i < n; i++)
		if (p[i].revents && !recv(p[i].fd, &c, 1, MSG_PEEK | MSG_DONTWAIT))
			session_free(of[i]);
}

/* Does it matter for this request who has left? */
static bool joins(__u16 type)
{
	return type == IPN_CTL_NET_ADD || type == IPN_CTL_BIND || type == IPN_CTL_CONNECT ||
	       type == IPN_CTL_ATTACH || type == IPN_CTL_RESIZE || type == IPN_CTL_CABLE ||
	       type == IPN_CTL_XSK_OPEN;
}

static int dispatch(struct request *q, size_t len)
{
	const struct ipn_ctl_hdr *hdr = q->hdr;

	if (q->s->monitor)
		return err_text(&q->answer, -EISCONN, "a monitor takes no other request");
	if (hdr->version != IPN_CTL_VERSION)
		return err_text(&q->answer, -EPROTO, "control protocol %u, this manager speaks %u",
				hdr->version, IPN_CTL_VERSION);
	if (hdr->len != len || hdr->status || hdr->pad)
		return err_text(&q->answer, -EBADMSG,
				"the header of the request contradicts itself");
	if (hdr->type >= IPN_CTL_TYPES || !requests[hdr->type].fn)
		return err_text(&q->answer, -EOPNOTSUPP, "there is no request %u", hdr->type);
	if (len - sizeof(*hdr) != requests[hdr->type].body)
		return err_text(&q->answer, -EBADMSG, "request %u has %zu bytes, not %zu",
				hdr->type, len - sizeof(*hdr), requests[hdr->type].body);
	if (q->nfds < requests[hdr->type].min_fds || q->nfds > requests[hdr->type].max_fds)
		return err_text(&q->answer, -EBADF, "request %u came with %u descriptors",
				hdr->type, q->nfds);
	if (joins(hdr->type))
		sessions_reap(q->s->m, q->s);
	return requests[hdr->type].fn(q);
}

/* --- packets --- */

static int reply_send(struct request *q, __u8 *packet, int status)
{
	struct ipn_ctl_hdr *hdr = (void *)packet;
	alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * IPN_CTL_MAX_FDS)];
	struct iovec iov = { .iov_base = packet };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (status) {
		q->reply_len = strlen(q->answer.text);
		if (!q->reply_len)
			q->reply_len = (size_t)err_text(&q->answer, 0, "%s", strerror(-status)) +
				       strlen(q->answer.text);
		memcpy(q->reply, q->answer.text, q->reply_len);
	}
	*hdr = (struct ipn_ctl_hdr){
		.magic = IPN_CTL_MAGIC,
		.version = IPN_CTL_VERSION,
		.type = q->hdr->type,
		.id = q->hdr->id,
		.len = (__u32)(sizeof(*hdr) + q->reply_len),
		.status = -status,
	};
	iov.iov_len = hdr->len;
	if (q->nreply_fds) {
		struct cmsghdr *c;

		memset(control, 0, sizeof(control));
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * q->nreply_fds);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * q->nreply_fds);
		memcpy(CMSG_DATA(c), q->reply_fds, sizeof(int) * q->nreply_fds);
	}
	return sendmsg(q->s->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void close_fds(const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		close(fds[i]);
}

/* One packet as it came. */
struct packet {
	ssize_t len;
	bool cut;     /* it was longer, or had more descriptors */
	bool cut_fds; /* the latter */
	bool sender;  /* it says who sent it (SO_PASSCRED): so it is a packet and no end of file */
	unsigned int nfds;
	int fds[FDS_MAX];
};

static void packet_take_fds(struct packet *p, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET)
			continue;
		if (c->cmsg_type == SCM_CREDENTIALS)
			p->sender = true;
		if (c->cmsg_type != SCM_RIGHTS || count > FDS_MAX)
			continue;
		memcpy(p->fds, CMSG_DATA(c), count * sizeof(int));
		p->nfds = (unsigned int)count;
	}
}

/* flags: 0, or MSG_PEEK, which takes no descriptors. Returns 0 or -errno. */
static int packet_receive(int fd, struct packet *p, void *buf, size_t size, int flags)
{
	const size_t creds = CMSG_SPACE(sizeof(struct ucred));
	alignas(struct cmsghdr) char
		control[CMSG_SPACE(sizeof(int) * FDS_MAX) + CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = { buf, size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = flags & MSG_PEEK ? creds : sizeof(control) };

	p->nfds = 0;
	p->sender = false;
	p->len = recvmsg(fd, &msg, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (p->len < 0)
		return -errno;
	p->cut = msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC);
	p->cut_fds = msg.msg_flags & MSG_CTRUNC;
	packet_take_fds(p, &msg);
	return 0;
}

static void packet_drop_fds(struct session *s, const struct packet *p)
{
	for (unsigned int i = 0; i < p->nfds; i++)
		fd_drop(s->m, s->user, p->fds[i]);
}

/* Handles one packet. Non-zero ends the session. */
static int session_packet(struct session *s)
{
	static alignas(8) __u8 in[IPN_CTL_MAX_PACKET], out[IPN_CTL_MAX_PACKET];
	struct packet p;
	struct request q = { .s = s,
			     .hdr = (void *)in,
			     .body = in + sizeof(struct ipn_ctl_hdr),
			     .fds = p.fds,
			     .reply = out + sizeof(struct ipn_ctl_hdr) };
	int r = packet_receive(s->fd, &p, in, sizeof(in), 0);

	if (r)
		return r == -EAGAIN || r == -EINTR ? 0 : r;
	q.nfds = p.nfds;
	/* nothing that could be answered; of length 0: the end, or an empty packet */
	if ((size_t)p.len < sizeof(struct ipn_ctl_hdr) || q.hdr->magic != IPN_CTL_MAGIC || p.cut ||
	    p.nfds > IPN_CTL_MAX_FDS) {
		packet_drop_fds(s, &p);
		return -EBADMSG;
	}
	r = dispatch(&q, (size_t)p.len);
	packet_drop_fds(s, &p);
	r = r == LATER ? 0 : reply_send(&q, out, r);
	close_fds(q.reply_fds, q.nreply_fds);
	return r;
}

/*
 * Takes out of its socket what the client sent and nobody read. False: the user is stuck, and there
 * are more descriptors.
 */
static bool session_drain(struct session *s)
{
	struct packet p;
	char byte;
	int r, errors = 0;

	for (;;) {
		bool stuck = user_stuck(s->user);

		r = packet_receive(s->fd, &p, &byte, 1, stuck ? MSG_PEEK : 0);
		/* an error of the socket is told once; then comes what was sent before */
		if (r && errors++ < 2)
			continue;
		if (r || (!p.sender && !p.nfds && p.len == 0))
			return true;
		if (!stuck)
			packet_drop_fds(s, &p);
		else if (p.cut_fds)
			return false;
		else
			(void)recv(s->fd, &byte, 1, MSG_DONTWAIT);
	}
}

static void session_destroy(struct session *s)
{
	sd_event_source_disable_unref(s->source);
	close(s->fd);
	s->user->sessions--;
	if (s->prev)
		s->prev->next = s->next;
	else
		s->m->sessions = s->next;
	if (s->next)
		s->next->prev = s->prev;
	perm_peer_free(&s->peer);
	free(s);
}

void session_answer(struct session *s, int status, const struct errtext *a, const void *body,
		    size_t len, const int *fds, unsigned int nfds)
{
	static alignas(8) __u8 out[IPN_CTL_MAX_PACKET];
	struct request q = {
		.s = s,
		.hdr = &s->pending_hdr,
		.reply = out + sizeof(struct ipn_ctl_hdr),
		.reply_len = len,
		.nreply_fds = nfds,
		.answer = *a,
	};

	if (len)
		memcpy(q.reply, body, len);
	if (nfds)
		memcpy(q.reply_fds, fds, sizeof(int) * nfds);
	if (reply_send(&q, out, status))
		session_free(s);
}

/* Its socket may stay, shut down, until its user is not stuck any more. */
void session_free(struct session *s)
{
	const int on = 1;

	/* an interface that is persistent goes on without a socket */
	if (s->node && s->node->in.kind != IPN_KIND_PROC && !(s->node->in.flags & IPN_PF_HELD))
		s->node->session = NULL;
	else if (s->node)
		node_del(s->node, 0, false);
	s->node = NULL;
	if (s->loading)
		policy_load_cancel(s->loading);
	if (s->job)
		xsk_forget(s->job);
	s->job = NULL;
	if (s->xsk)
		xsk_left(s->xsk);
	s->xsk = NULL;
	session_unbind(s);
	s->user->monitors -= s->monitor;
	s->monitor = false;
	if (!s->ending) {
		s->ending = true;
		setsockopt(s->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
		shutdown(s->fd, SHUT_RDWR);
	}
	if (session_drain(s)) {
		session_destroy(s);
		return;
	}
	s->held = true;
	sd_event_source_set_enabled(s->source, SD_EVENT_OFF);
}

void sessions_go_on(struct manager *m)
{
	struct session *s, *next;

	for (s = m->sessions; s; s = next) {
		next = s->next;
		if (!s->held || user_stuck(s->user))
			continue;
		s->held = false;
		sd_event_source_set_enabled(s->source, SD_EVENT_ON);
		if (s->ending)
			session_free(s);
	}
}

void sessions_forget(struct manager *m)
{
	while (m->sessions) {
		struct session *s = m->sessions;

		m->sessions = s->next;
		sd_event_source_disable_unref(s->source);
		perm_peer_free(&s->peer);
		free(s);
	}
}

/*
 * Who has taken much of the manager's time lately comes after those who have not, with each of his
 * sessions. Nobody waits while there is nobody else.
 */
static void user_charge(struct session *s, __u64 began)
{
	struct user *u = s->user;
	__u64 now = now_us();
	int64_t priority;

	if (now - u->used_at >= FORGET_US) { /* half of it is forgotten each time */
		__u64 times = (now - u->used_at) / FORGET_US;

		u->used = times < 32 ? u->used >> times : 0;
		u->used_at = now;
	}
	u->used += now - began;
	priority = (int64_t)(u->used / USED_STEP_US);
	if (priority > PRIORITY_MAX)
		priority = PRIORITY_MAX;
	if (priority == s->priority)
		return;
	s->priority = priority;
	sd_event_source_set_priority(s->source, priority);
}

static int on_packet(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct session *s = arg;
	__u64 began = now_us();

	(void)fd;
	if (user_stuck(s->user)) {
		s->held = true;
		return sd_event_source_set_enabled(source, SD_EVENT_OFF);
	}
	/* what was sent before the end is a request like any other */
	if (events & EPOLLIN) {
		int r = session_packet(s);

		user_charge(s, began);
		if (!r)
			return 0;
	} else if (!(events & (EPOLLHUP | EPOLLERR))) {
		return 0;
	}
	session_free(s);
	return 0;
}

/* Every connection becomes a session, if only to be ended as one. */
static int session_new(struct manager *m, int fd)
{
	struct session *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return -ENOMEM;
	s->m = m;
	s->fd = fd;
	r = perm_peer_get(fd, &s->peer);
	if (r)
		goto err;
	s->user = user_get(m, s->peer.uid);
	r = -ENOMEM;
	if (!s->user)
		goto err_peer;
	r = sd_event_add_io(m->event, &s->source, fd, EPOLLIN, on_packet, s);
	if (r < 0)
		goto err_peer;
	s->user->sessions++;
	s->next = m->sessions;
	if (s->next)
		s->next->prev = s;
	m->sessions = s;
	if (s->user->uid && s->user->sessions > QUOTA_SESSIONS)
		session_free(s);
	return 0;
err_peer:
	perm_peer_free(&s->peer);
err:
	free(s);
	return r;
}

/* A connection that cannot become a session. */
static void turn_away(struct manager *m, int fd)
{
	struct user *nobody = user_get(m, (uid_t)-1);

	if (nobody)
		fd_drop(m, nobody, fd);
	else
		close(fd);
}

static int on_connection(sd_event_source *source, int listen_fd, uint32_t events, void *arg)
{
	struct manager *m = arg;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)source;
	(void)events;
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		/* or the waiting connection would wake us for ever: turn it away */
		close(m->spare_fd);
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			turn_away(m, fd);
		m->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		log_warning("turned a client away: no descriptors left");
		return 0;
	}
	if (fd >= 0 && session_new(m, fd))
		turn_away(m, fd);
	return 0;
}

int session_listen(struct manager *m)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", m->opts.run_dir,
		     IPN_CTL_SOCKET);
	if ((size_t)r >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	unlink(addr.sun_path); /* we hold the lock of the directory: nobody listens there */
	if (bind(fd, (void *)&addr, sizeof(addr)) || chmod(addr.sun_path, 0666) ||
	    listen(fd, BACKLOG))
		return -errno;
	r = sd_event_add_io(m->event, NULL, fd, EPOLLIN, on_connection, m);
	if (r < 0)
		return r;
	m->listen_fd = util_take_fd(&fd);
	return 0;
}
