// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sock ports: unix datagram sockets of programs that know nothing of the fabric.
 *
 * To each belongs a socket of the fabric's, connected to the program's. It is in the map `socks`,
 * so what the program sends runs through the programs of bpf/hooks (ipn_sk) inside its send(). Only
 * the program's socket can send to it, since it is connected. Whose message it is, the sending
 * socket itself tells, whose address ipn_sk_query finds: nobody can forge it.
 *
 * Joining, between `port_in` and `port_out` (node.c):
 *	1. the socket into `socks`    2. address and owner of the other end    3. `sk_ports`
 *	4. the table of the punt thread
 * What comes before 3 is dropped. When its listener has done the rest, the port is complete, and
 * the fdstore (fdstore.c) gets duplicates of its sockets. Leaving is the reverse. The sockets are
 * shut down before they are closed: so the client sees the end of its port at once, whoever has
 * duplicates of them, and however long a close takes.
 *
 * After the death of a manager the sockets are in `socks` still, with the program that was attached
 * then: `ipn_sk`, which only looks up whose message it is and goes on with the programs in
 * `pol_sk`, which are the new manager's. So they stay in the map as they are: to take them out and
 * put them back would lose messages. What the flush below might have left out is put in.
 *
 * What is redirected to a program that does not read waits in the kernel at the expense of the
 * sender's send buffer. Programs bound it once the program's queue is full (bpf/core/sk.h); what
 * was under way then, and waits for the program at two looks in a row (CHECK_US), is thrown away by
 * taking the socket out of the map and putting it back. So it can hold a sender up for two queries,
 * once. What waits for the kernel's worker alone is left: on a busy machine that comes late.
 *
 * A port whose program has closed its socket ends at the next look. Where a program refuses a
 * message but stays (for the moment its socket is connected to another than ours), the kernel would
 * redirect to it never again: the same way out and back puts that right.
 */
#include "manager/ports/sock.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "common/errtext.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/async_close.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/core/punt.h"
#include "manager/fdstore/client.h"
#include "manager/kernel/bpf.h"
#include "manager/ports/kinds.h"
#include "manager/ports/listener.h"

/*
 * Send buffer of the fabric's sockets: half of it is room for what a program has not read yet. More
 * than its queue takes, or the kernel's worker would wait a tick each time.
 */
#define SEND_BUFFER (1 << 20) /* the kernel doubles it */
/*
 * What waits for programs that do not read is the kernel's memory, and a program may raise the
 * length of its own queue as it likes. So the ports of one user share this much; the more ports,
 * the smaller the buffer of each.
 */
#define SEND_BUFFERS (256 << 20) /* bytes, as the kernel counts */
#define SEND_BUFFER_MIN (1 << 15)
#define CHECK_US 100000
#define CHECK_IDLE_US 200000 /* when nothing waited at the last one */

struct sock {
	int fd;
	int stream; /* -1: none */
	sd_event_source *source;
	__u64 peer;  /* key in `sk_ports`; 0: not there */
	__u64 first; /* message that waited at the last look */
	struct listener *listener;
	__u32 listener_id;           /* of that listener, which may be still to come: sock_adopt */
	char file[FDSTORE_FILE_MAX]; /* in the listener's directory, this inode */
	__u64 file_dev, file_ino;
	bool complete;
	int buffer; /* bytes, as asked for; 0: not known */
};

/* seccomp: manager: sendto shutdown setsockopt getsockopt */

static struct node *sock_node(struct fabric *f, __u32 id)
{
	struct node *node = id < IPN_MAX_NODES ? f->node_by_id[id] : NULL;

	return node && node->sock ? node : NULL;
}

static int map_set(struct node *node)
{
	__u64 fd = (__u64)node->sock->fd;

	return bpf_map_update_elem(node->net->f->bpf->fd_socks, &node->in.node, &fd, BPF_ANY)
		       ? -errno
		       : 0;
}

#define FLUSH_MAX 4096 /* more than a socket's queue holds: who goes on sending does not keep us */

/* What came while the socket was not in the map, or later ones would be one behind for ever. */
static void drain(struct node *node)
{
	char byte;

	for (int i = 0; i < FLUSH_MAX &&
			stranger_recv(node->net->f->async_close, node->sock->fd, &byte, 1) >= 0;
	     i++)
		;
}

/* Throws away what waits to be sent out of the socket, and lets it send again. */
static void flush(struct node *node)
{
	struct bpf_state *b = node->net->f->bpf;
	int error;
	socklen_t len = sizeof(error);

	bpf_map_delete_elem(b->fd_socks, &node->in.node);
	/* the error of a message that was refused would be that of the next one */
	getsockopt(node->sock->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (map_set(node))
		log_err("port %u of %s: cannot be put back", node->in.number, node->net->info.path);
	drain(node);
}

static void check_at(struct fabric *f, const struct ipn_sk_query *query)
{
	struct node *node = sock_node(f, query->node);

	if (!node)
		return;
	/* the kernel disconnects ours from a socket that it found closed when it sent to it */
	if (!query->peer || query->dead) {
		node_del(node, 0, false);
		return;
	}
	f->socks_waiting += !!query->waiting;
	if (query->broken || (query->first && query->first == node->sock->first)) {
		flush(node);
		node->sock->first = 0;
	} else {
		node->sock->first = query->first;
	}
}

/* All of them, a handful at a time. */
static void check_round(struct fabric *f)
{
	struct ipn_sk_query queries[IPN_SK_QUERIES];
	__u32 n = 0;

	for (__u32 id = 0; id < IPN_MAX_NODES; id++) {
		if (sock_node(f, id))
			queries[n++] = (struct ipn_sk_query){ .node = id };
		if (!n || (n < IPN_SK_QUERIES && id < IPN_MAX_NODES - 1))
			continue;
		if (!bpf_socks_query(f->bpf, queries, n))
			for (__u32 i = 0; i < n; i++)
				check_at(f, &queries[i]);
		n = 0;
	}
}

static int on_check(sd_event_source *source, uint64_t usec, void *arg)
{
	struct fabric *f = arg;

	(void)usec;
	if (!f->socks)
		return 0;
	f->socks_waiting = 0;
	check_round(f);
	sd_event_source_set_time_relative(source, f->socks_waiting ? CHECK_US : CHECK_IDLE_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int check_begin(struct fabric *f)
{
	if (!f->sock_check)
		return sd_event_add_time_relative(f->event, &f->sock_check, CLOCK_MONOTONIC,
						  CHECK_US, CHECK_US / 10, on_check, f);
	if (!f->socks) {
		sd_event_source_set_time_relative(f->sock_check, CHECK_US);
		return sd_event_source_set_enabled(f->sock_check, SD_EVENT_ONESHOT);
	}
	return 0;
}

/* Sets the send buffers of a user's ports, when their number has passed a power of two. */
static void buffers_share(struct fabric *f, __u32 account)
{
	__u32 n = 0, room = 1;
	int size;

	for (__u32 id = 0; id < IPN_MAX_NODES; id++) {
		const struct node *node = sock_node(f, id);

		n += node && node->in.account == account;
	}
	while (room < n)
		room *= 2;
	size = (int)(SEND_BUFFERS / 2 / room);
	if (size > SEND_BUFFER)
		size = SEND_BUFFER;
	if (size < SEND_BUFFER_MIN)
		size = SEND_BUFFER_MIN;
	for (__u32 id = 0; id < IPN_MAX_NODES; id++) {
		struct node *node = sock_node(f, id);

		if (!node || node->in.account != account || node->sock->buffer == size)
			continue;
		node->sock->buffer = size;
		if (setsockopt(node->sock->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
			setsockopt(node->sock->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
}

/*
 * A closed socket's address may be another's by now, if the kernel had disconnected ours from it: a
 * port that still has the address as its own, and should have ended, ends.
 */
static void peer_end_old(struct fabric *f, __u64 peer)
{
	for (__u32 id = 0; id < IPN_MAX_NODES; id++) {
		struct node *node = sock_node(f, id);
		struct ipn_sk_query query = { .node = id };

		if (!node || node->sock->peer != peer)
			continue;
		if (!bpf_socks_query(f->bpf, &query, 1) && query.peer != peer)
			node_del(node, 0, false);
		return;
	}
}

static int peer_store(struct fabric *f, __u64 peer, const struct ipn_sk *entry)
{
	int r = bpf_map_update_elem(f->bpf->fd_sk_ports, &peer, entry, BPF_NOEXIST);

	if (r && errno == EEXIST) {
		peer_end_old(f, peer);
		r = bpf_map_update_elem(f->bpf->fd_sk_ports, &peer, entry, BPF_NOEXIST);
	}
	if (r)
		return errno == EEXIST ? -EADDRINUSE : -errno;
	return 0;
}

/* Its step between `port_in` and `port_out`. */
static int sock_begin(struct node *node, int fd)
{
	struct fabric *f = node->net->f;
	struct ipn_sk_query query = { .node = node->in.node };
	int r;
	struct ipn_sk entry = { .ifindex = node->ifindex, .policy = node->in.policy };

	node->sock = calloc(1, sizeof(*node->sock));
	if (!node->sock) {
		close(fd);
		return -ENOMEM;
	}
	node->sock->fd = fd;
	node->sock->stream = -1;
	node->sock->listener_id = FDSTORE_NO_LISTENER;
	buffers_share(f, node->in.account);
	r = check_begin(f);
	f->socks++;
	if (r >= 0)
		r = map_set(node);
	if (!r)
		r = bpf_socks_query(f->bpf, &query, 1);
	if (r < 0)
		return r;
	if (!query.peer)
		return -ENOTCONN;
	if (query.uid != node->in.uid && node->in.uid)
		return -EPERM;
	r = peer_store(f, query.peer, &entry);
	if (r)
		return r;
	node->sock->peer = query.peer;
	punt_add(f, node->in.node, fd);
	return 0;
}

static void sock_ended(struct node *node, int why)
{
	struct fabric *f = node->net->f;
	struct sock *s = node->sock;

	if (!s)
		return;
	node->sock = NULL;
	f->socks--;
	if (s->peer) {
		bpf_map_delete_elem(f->bpf->fd_sk_ports, &s->peer);
		punt_del(f, node->in.node);
	}
	bpf_map_delete_elem(f->bpf->fd_socks, &node->in.node);
	sd_event_source_disable_unref(s->source);
	if (s->file[0] && s->listener)
		listener_port_file_remove(s->listener, s->file, s->file_dev, s->file_ino);
	shutdown(s->fd, SHUT_RDWR);
	if (s->stream >= 0)
		shutdown(s->stream, SHUT_RDWR);
	if (s->complete)
		fdstore_touch(f->fdstore, node->in.node);
	stranger_close(f->async_close, &s->fd);
	if (s->listener && s->stream < 0 && !s->file[0])
		s->listener->port_gone(s->listener);
	stranger_close(f->async_close, &s->stream);
	free(s);
}

static void sock_let_go(struct node *node)
{
	struct sock *s = node->sock;

	if (!s)
		return;
	node->sock = NULL;
	sd_event_source_disable_unref(s->source);
	free(s); /* its descriptors go with the process: to close them might take for ever */
}

static int on_stream(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	(void)source;
	(void)fd;
	(void)events;
	node_del(arg, 0, false);
	return 0;
}

int sock_stream(struct node *node, int stream)
{
	/* what it says there after its request interests nobody, and is not read */
	int r = sd_event_add_io(node->net->f->event, &node->sock->source, stream, EPOLLRDHUP,
				on_stream, node);

	if (r < 0) {
		stranger_close(node->net->f->async_close, &stream);
		return r;
	}
	node->sock->stream = stream;
	return 0;
}

int sock_reply(struct node *node, const void *data, size_t len)
{
	ssize_t n = send(node->sock->stream, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n == (ssize_t)len ? 0 : -EPIPE;
}

void sock_set_listener(struct node *node, struct listener *listener)
{
	node->sock->listener = listener;
	node->sock->listener_id = listener->id;
}

struct listener *sock_listener(const struct node *node)
{
	return node->sock ? node->sock->listener : NULL;
}

void sock_file(struct node *node, const char *file, __u64 dev, __u64 ino)
{
	node->sock->file_dev = dev;
	node->sock->file_ino = ino;
	util_copy(node->sock->file, sizeof(node->sock->file), file);
}

void sock_bye(struct fabric *f, __u32 id, __u32 gen)
{
	struct node *node = sock_node(f, id);

	if (node && node->in.gen == gen)
		node_del(node, 0, false);
}

/* --- over the death of a manager ---------------------------------------------------------------*/

void sock_complete(struct node *node)
{
	node->sock->complete = true;
	fdstore_touch(node->net->f->fdstore, node->in.node);
}

bool sock_stored(struct fabric *f, __u32 id, struct fdstore_msg *msg, int *fds)
{
	struct node *node = sock_node(f, id);
	struct sock *s = node ? node->sock : NULL;

	if (!s || !s->complete)
		return false;
	msg->gen = node->in.gen;
	msg->listener = s->listener_id;
	fds[0] = s->fd;
	fds[1] = s->stream;
	msg->nfds = s->stream >= 0 ? 2 : 1;
	util_copy(msg->file, sizeof(msg->file), s->file);
	msg->dev = s->file_dev;
	msg->ino = s->file_ino;
	return true;
}

bool sock_is_of(const struct node *node, __u32 listener)
{
	return node->sock && node->sock->listener_id == listener;
}

bool sock_has_file(const struct node *node, __u32 listener, const char *file)
{
	return sock_is_of(node, listener) && !strcmp(node->sock->file, file);
}

static int sock_adopt(struct node *node)
{
	struct fdstore_entry *stored =
		fdstore_find(node->net->f->fdstore, node->in.node, node->in.gen);
	struct sock *s = calloc(1, sizeof(*s));

	if (!s || !stored) {
		free(s);
		return s ? -ENODEV : -ENOMEM;
	}
	s->fd = util_take_fd(&stored->fds[0]);
	s->stream = util_take_fd(&stored->fds[1]);
	s->file_dev = stored->msg.dev;
	s->file_ino = stored->msg.ino;
	s->listener_id = stored->msg.listener;
	s->complete = true;
	util_copy(s->file, sizeof(s->file), stored->msg.file);
	stored->taken = true;
	node->sock = s;
	node->net->f->socks++;
	return 0;
}

/* Into the map, unless it is there: only a manager that died in flush() left one out. */
static int map_again(struct node *node)
{
	int r = map_set(node);

	if (!r)
		drain(node);
	return r == -EBUSY ? 0 : r;
}

/* What stands in the maps already is not written again under the programs that read it. */
static int sock_go_on(struct node *node)
{
	struct fabric *f = node->net->f;
	struct sock *s = node->sock;
	struct ipn_sk_query query = { .node = node->in.node };
	struct ipn_sk entry = { .ifindex = node->ifindex, .policy = node->in.policy }, now;
	int stream = util_take_fd(&s->stream), r = 0;

	s->listener = listener_by_id(f, s->listener_id);
	if (!s->listener)
		r = -ENOENT;
	if (stream >= 0 && !r)
		r = sock_stream(node, util_take_fd(&stream));
	stranger_close(f->async_close, &stream);
	if (!r)
		r = map_again(node);
	if (!r)
		r = bpf_socks_query(f->bpf, &query, 1);
	if (!r && (!query.peer || query.dead))
		r = -ENOTCONN;
	if (r)
		return r;
	if ((bpf_map_lookup_elem(f->bpf->fd_sk_ports, &query.peer, &now) ||
	     memcmp(&now, &entry, sizeof(now))) &&
	    bpf_map_update_elem(f->bpf->fd_sk_ports, &query.peer, &entry, BPF_ANY))
		return -errno;
	s->peer = query.peer;
	punt_add(f, node->in.node, s->fd);
	return 0;
}

static bool sender_known(struct fabric *f, __u64 peer)
{
	for (__u32 id = 0; id < IPN_MAX_NODES; id++) {
		struct node *node = sock_node(f, id);

		if (node && node->sock->peer == peer)
			return true;
	}
	return false;
}

/* Those of ports that are no more. */
static int senders_clear(struct fabric *f)
{
	int fd = f->bpf->fd_sk_ports, more;
	__u64 peer, next;

	for (more = bpf_key_next(fd, NULL, &peer); more > 0; peer = next) {
		more = bpf_key_next(fd, &peer, &next);
		if (!sender_known(f, peer))
			bpf_map_delete_elem(fd, &peer);
	}
	return more;
}

/* A socket that the fdstore had, and that no port took. */
static void stored_end(void *arg, struct fdstore_entry *entry)
{
	struct fabric *f = arg;
	__u32 node = entry->msg.slot;

	/* who is at that place by now put its own socket there */
	if (node < IPN_MAX_NODES && !f->node_by_id[node])
		bpf_map_delete_elem(f->bpf->fd_socks, &node);
	for (int i = 0; i < FDSTORE_FDS; i++) {
		if (entry->fds[i] < 0)
			continue;
		if (node < IPN_MAX_NODES)
			shutdown(entry->fds[i], SHUT_RDWR);
		stranger_close(f->async_close, &entry->fds[i]);
	}
}

int sock_adopt_rest(struct fabric *f)
{
	int r;

	if (f->socks && check_begin(f) < 0)
		log_err("cannot look after sock ports: slow ones may hold others up");
	for (__u32 id = 0; id < IPN_MAX_NODES; id++) {
		struct node *node = sock_node(f, id);

		r = node ? sock_go_on(node) : 0;
		if (util_cannot_tell(r))
			return r;
		if (r)
			node_del(node, 0, false);
	}
	r = senders_clear(f);
	if (!r)
		fdstore_rest(f->fdstore, stored_end, f);
	return r;
}

/* --- the kind --- */

int sock_attach(struct net *net, const struct node_want *want, int given, struct node **out,
		struct errtext *e)
{
	_cleanup_close_ int fd = given;
	struct fabric *f = net->f;
	struct node *node;
	int r;

	if (!bpf_policy_takes_socks(f->bpf, net->info.policy))
		return err_text(
			e, -EOPNOTSUPP,
			"%s has a policy (%u) without a program for sock ports: it takes none",
			net->info.path, net->info.policy);
	r = node_new(net, want, 0, &node, e);
	if (r)
		return r;
	node->ifindex = node->in.ifindex = IPN_SOCK_IFINDEX(node->in.node);
	node->in.flags |= IPN_PF_UP;
	snprintf(node->in.name, sizeof(node->in.name), "%s%u", want->name, node->in.node);
	r = node_source(node);
	if (!r)
		r = sock_begin(node, util_take_fd(&fd));
	if (!r)
		r = node_publish(node);
	if (r) {
		err_text(e, r, "cannot attach a socket to %s: %s", net->info.path, strerror(-r));
		node_del(node, 0, false);
		return r;
	}
	node_joined(node);
	*out = node;
	return 0;
}

static int sock_stands(struct fabric *f, const struct ipn_port_in *port, struct link_info *link)
{
	return fdstore_find(f->fdstore, port->node, port->gen) ? 0 : -ENODEV;
}

const struct port_kind port_kind_sock = {
	.kind = IPN_KIND_SOCK,
	.flags = KIND_NO_LINK,
	.stands = sock_stands,
	.adopt = sock_adopt,
	.ended = sock_ended,
	.let_go = sock_let_go,
};
