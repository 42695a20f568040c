// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Programs that come in by a VDE listener.
 *
 * A client is hostile until it has shown its request, and after. One client's way in:
 *
 *	PENDING   it has connected, and its request is awaited, for PENDING_US. At most PENDING of a
 *		  listener wait, and the one that has waited longest makes room for the next
 *	JOINING   its own socket is connected to by a process with the client's identity, in its
 *		  mount namespace: the name it sent means there what it says, and only what the
 *		  client can reach is reached. Then the node is made, and a process with the
 *		  identity of the listener's opener gives the port its name in the directory. Not
 *		  longer than JOINING_US; at most JOINING_USER of one account
 *	port	  its stream, whose end is the port's; the reply; its part in the fdstore
 *
 * An abstract name is connected to at once: that takes no path and no right, only the network
 * namespace, which has to be the client's own. That the socket is the client's, sock_begin looks
 * at.
 *
 * A step that fails closes the stream, and node_del undoes what there is of the port. The name in
 * the directory may come after that (DEAD): it is removed when it is known.
 */
#include "manager/ports/vde_client.h"

#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/async_close.h"
#include "manager/access/asuser.h"
#include "manager/access/perm.h"
#include "manager/core/node.h"
#include "manager/ports/listener.h"
#include "manager/ports/sock.h"
#include "manager/ports/vde_proto.h"

#ifndef SO_NETNS_COOKIE
/* seccomp: manager: accept4 recvfrom getsockopt fchownat openat */

#define SO_NETNS_COOKIE 71
#endif

#define PENDING 128
#define PENDING_US 3000000
#define JOINING IPN_MAX_NODES
#define JOINING_USER (IPN_MAX_NODES / 4)
#define JOINING_US 6000000
#define COMPLAIN_US 10000000
#define ACCEPT 32 /* in one turn */

enum state { STATE_PENDING, STATE_JOINING, STATE_DEAD };

struct client {
	struct listener *listener; /* NULL when it is dead */
	struct client *next;       /* younger */
	enum state state;
	int fd;
	__u64 end; /* us: too late */
	sd_event_source *source;
	size_t have;
	char data[VDE_REQUEST_MAX];
	struct vde_request request;
	/* joining */
	struct asuser_call *call;
	bool binding;
	struct perm_peer peer;
	__u32 node, gen; /* gen 0: none yet */
	/* of the name in the directory; these outlive the listener */
	struct fabric *f;
	struct asuser_id *who;
	char path[IPN_PATH_MAX];
};

struct vde_clients {
	struct client *lists[2]; /* pending, joining; oldest first */
	__u32 counts[2];
	sd_event_source *timer;
	__u64 logged; /* us: when it last complained of a client */
};

static void client_destroy(struct client *c)
{
	perm_peer_free(&c->peer);
	asuser_id_unref(c->who);
	free(c);
}

static void list_add(struct client *c, enum state state)
{
	struct vde_clients *all = c->listener->clients;
	struct client **at = &all->lists[state];

	while (*at)
		at = &(*at)->next;
	*at = c;
	c->next = NULL;
	c->state = state;
	c->end = clock_us() + (state == STATE_PENDING ? PENDING_US : JOINING_US);
	all->counts[state]++;
}

static void list_take(struct client *c)
{
	struct vde_clients *all = c->listener ? c->listener->clients : NULL;
	struct client **at;

	if (!all)
		return;
	at = &all->lists[c->state];
	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	all->counts[c->state]--;
}

static struct node *client_node(const struct client *c)
{
	struct node *node = c->gen ? c->f->node_by_id[c->node] : NULL;

	return node && node->in.gen == c->gen ? node : NULL;
}

/* It is no port and will be none, or it is one. */
static void client_free(struct client *c)
{
	struct node *node = client_node(c);

	list_take(c);
	sd_event_source_disable_unref(c->source);
	if (c->fd >= 0) {
		stranger_close(c->f->async_close, &c->fd);
		if (node)
			node_del(node, 0, false);
	}
	if (c->call && c->binding) {
		c->state = STATE_DEAD;
		c->listener = NULL;
		return; /* on_bound has the rest */
	}
	asuser_forget(c->call);
	client_destroy(c);
}

static void client_refuse(struct client *c, int why)
{
	struct listener *listener = c->listener;
	struct ucred who = { .pid = c->peer.pid, .uid = c->peer.uid };
	socklen_t len = sizeof(who);

	if (c->fd >= 0) /* it need not have come so far as to be known */
		getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &who, &len);
	if (clock_us() - listener->clients->logged > COMPLAIN_US) {
		listener->clients->logged = clock_us();
		log_info("%s: a client was turned away: %s", listener->info.path, strerror(-why));
	}
	listener_turned_away(listener, who.uid, (__u32)who.pid,
			     c->request.port ? (__s32)c->request.port : IPN_PORTNO_ANY, why);
	client_free(c);
}

/* --- joining -----------------------------------------------------------------------------------*/

static int client_complete(struct client *c, const struct asuser_result *result)
{
	struct node *node = client_node(c);
	struct sockaddr_un addr;
	int r;

	if (!node)
		return -ENOTCONN;
	sock_file(node, strrchr(c->path, '/') + 1, result->dev, result->ino);
	r = vde_reply_make(c->path, &addr);
	if (!r)
		r = sock_stream(node, util_take_fd(&c->fd));
	if (!r)
		r = sock_reply(node, &addr, sizeof(addr));
	if (r)
		node_del(node, 0, false);
	else
		sock_complete(node);
	return r;
}

static void on_bound(void *arg, struct asuser_result *result)
{
	struct client *c = arg;
	int r = result->status;

	c->call = NULL;
	if (c->state == STATE_DEAD) {
		if (!r)
			listener_file_remove(c->f, c->who, c->path, result->dev, result->ino);
		client_destroy(c);
		return;
	}
	if (!r && !client_node(c))
		listener_file_remove(c->f, c->who, c->path, result->dev, result->ino);
	if (!r)
		r = client_complete(c, result);
	if (r)
		client_refuse(c, r);
	else
		client_free(c);
}

/* The port gets the name by which the client sends to it. */
static int client_bind(struct client *c, struct node *node, int fd)
{
	struct listener *listener = c->listener;
	struct asuser_job job = { .op = ASUSER_BIND, .mode = listener->info.mode & 0666, .fd = fd };
	struct sockaddr_un addr;
	int n = snprintf(c->path, sizeof(c->path), "%s/%03u.%u", listener->info.path,
			 node->in.number, node->in.node);

	if (n >= (int)sizeof(c->path))
		return -ENAMETOOLONG;
	n = vde_reply_make(c->path, &addr);
	if (n)
		return n;
	util_copy(job.path, sizeof(job.path), c->path);
	c->who = asuser_id_ref(listener->who);
	c->call = asuser_start(c->f->asuser, c->who, &job, on_bound, c);
	c->binding = c->call;
	return c->call ? 0 : -ENOMEM;
}

/* The fabric's socket for it is connected to its own (fd is taken): it becomes a node. */
static int client_attach(struct client *c, int fd)
{
	struct node_want want = { .kind = IPN_KIND_SOCK,
				  .port = c->request.port ? (__s32)c->request.port : IPN_PORTNO_ANY,
				  .flags = IPN_PF_READER | IPN_PF_WRITER,
				  .uid = c->peer.uid,
				  .account = c->peer.account,
				  .pid = (__u32)c->peer.pid,
				  .name = "vde",
				  .netns_fd = -1,
				  .descr = c->request.descr };
	_cleanup_close_ int bind_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	struct errtext e = { "" };
	struct node *node;
	int r = sock_attach(c->listener->net, &want, fd, &node, &e);

	if (r)
		return r;
	sock_set_listener(node, c->listener);
	c->node = node->in.node;
	c->gen = node->in.gen;
	return bind_fd < 0 ? -EMFILE : client_bind(c, node, bind_fd);
}

static void on_connected(void *arg, struct asuser_result *result)
{
	struct client *c = arg;
	int r = result->status;

	c->call = NULL;
	if (!r)
		r = client_attach(c, util_take_fd(&result->fd));
	if (r)
		client_refuse(c, r);
}

/* In the network namespace that the client's own stream is of. */
static int connect_abstract(struct client *c)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	__u64 ours = 0, theirs = 1;
	socklen_t len = sizeof(ours), len2 = sizeof(theirs);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &ours, &len) ||
	    getsockopt(c->fd, SOL_SOCKET, SO_NETNS_COOKIE, &theirs, &len2))
		return -errno;
	if (ours != theirs)
		return -ECONNREFUSED;
	if (connect(fd, (void *)&c->request.addr, c->request.addr_len))
		return -errno;
	return client_attach(c, util_take_fd(&fd));
}

static int connect_path(struct client *c)
{
	struct asuser_job job = { .op = ASUSER_CONNECT, .fd = -1 };
	struct asuser_id *who;
	int r;

	if (util_copy(job.path, sizeof(job.path), c->request.addr.sun_path))
		return -ENAMETOOLONG;
	r = asuser_id_of(c->fd, &c->peer, &who);
	if (r)
		return r;
	c->call = asuser_start(c->f->asuser, who, &job, on_connected, c);
	asuser_id_unref(who);
	return c->call ? 0 : -ENOMEM;
}

static bool has_room(const struct client *c)
{
	const struct vde_clients *all = c->listener->clients;
	__u32 same = 0;

	for (const struct client *o = all->lists[STATE_JOINING]; o; o = o->next)
		same += o->peer.account == c->peer.account;
	return all->counts[STATE_JOINING] < JOINING && same < JOINING_USER;
}

/* Its request is whole. */
static int client_join(struct client *c)
{
	int r = perm_peer_get(c->fd, &c->peer);

	if (r)
		return r;
	if (!has_room(c))
		return -EBUSY;
	list_take(c);
	list_add(c, STATE_JOINING);
	c->source = sd_event_source_disable_unref(c->source);
	return c->request.addr.sun_path[0] ? connect_path(c) : connect_abstract(c);
}

/* --- pending -----------------------------------------------------------------------------------*/

static int on_data(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct client *c = arg;
	ssize_t n =
		stranger_recv(c->f->async_close, fd, c->data + c->have, sizeof(c->data) - c->have);
	int r;

	(void)source;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		client_free(c);
		return 0;
	}
	c->have += (size_t)n;
	r = vde_request_parse(c->data, c->have, &c->request);
	if (r == -EAGAIN && c->have < VDE_REQUEST_MIN)
		return 0;
	if (!r)
		r = client_join(c);
	if (r)
		client_refuse(c, r);
	return 0;
}

static int on_late(sd_event_source *source, uint64_t usec, void *arg)
{
	struct listener *listener = arg;
	struct vde_clients *all = listener->clients;
	__u64 now = clock_us(), next = ~0ULL;

	(void)usec;
	for (int i = 0; i < 2; i++) {
		while (all->lists[i] && all->lists[i]->end <= now)
			client_free(all->lists[i]);
		if (all->lists[i] && all->lists[i]->end < next)
			next = all->lists[i]->end;
	}
	if (next == ~0ULL)
		return 0;
	sd_event_source_set_time_relative(source, next - now);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int client_new(struct listener *listener, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	struct vde_clients *all = listener->clients;
	int r, on = SD_EVENT_OFF;

	if (!c)
		return -ENOMEM;
	r = sd_event_add_io(listener->f->event, &c->source, fd, EPOLLIN, on_data, c);
	if (r < 0) {
		free(c);
		return r;
	}
	c->listener = listener;
	c->f = listener->f;
	c->fd = fd;
	if (all->counts[STATE_PENDING] == PENDING)
		client_free(all->lists[STATE_PENDING]);
	list_add(c, STATE_PENDING);
	sd_event_source_get_enabled(all->timer, &on);
	if (on == SD_EVENT_OFF) {
		sd_event_source_set_time_relative(all->timer, PENDING_US);
		sd_event_source_set_enabled(all->timer, SD_EVENT_ONESHOT);
	}
	return 0;
}

static int on_client(sd_event_source *source, int listen_fd, uint32_t events, void *arg)
{
	struct listener *listener = arg;

	(void)source;
	(void)events;
	for (int i = 0; i < ACCEPT; i++) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
			/* or it would wake us for ever: turn it away */
			util_close_fd(&listener->f->spare_fd);
			fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
			stranger_close(listener->f->async_close, &fd);
			listener->f->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
			return 0;
		}
		if (fd < 0)
			return 0;
		if (client_new(listener, fd))
			stranger_close(listener->f->async_close, &fd);
	}
	return 0;
}

void vde_clients_end(struct listener *listener)
{
	struct vde_clients *all = listener->clients;

	listener->source = sd_event_source_disable_unref(listener->source);
	if (!all)
		return;
	for (int i = 0; i < 2; i++)
		while (all->lists[i])
			client_free(all->lists[i]);
	sd_event_source_disable_unref(all->timer);
	listener->clients = NULL;
	free(all);
}

int vde_clients_begin(struct listener *listener)
{
	struct vde_clients *all = calloc(1, sizeof(*all));
	sd_event *event = listener->f->event;
	int r;

	if (!all)
		return -ENOMEM;
	listener->clients = all;
	r = sd_event_add_io(event, &listener->source, listener->fd, EPOLLIN, on_client, listener);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &all->timer, CLOCK_MONOTONIC, PENDING_US, 0,
					       on_late, listener);
	if (r >= 0)
		r = sd_event_source_set_enabled(all->timer, SD_EVENT_OFF);
	if (r < 0)
		vde_clients_end(listener);
	return r < 0 ? r : 0;
}
