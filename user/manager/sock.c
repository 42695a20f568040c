// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sock ports: unix datagram sockets of programs that know nothing of the fabric.
 *
 * To each belongs a socket of the fabric's, connected to the program's. It is in the map `socks`,
 * so what the program sends runs through the programs of bpf/hooks (ipn_sk) inside its send(). Only
 * the program's socket can send to it, since it is connected. Whose message it is, the sending
 * socket itself tells, whose address ipn_sk_look finds: nobody can forge it.
 *
 * Joining, between `ports` and `dests` (node.c):
 *	1. the socket into `socks`    2. address and owner of the other end    3. `sk_ports`
 *	4. the table of the punt thread
 * What comes before 3 is dropped. When its door has done the rest, the port is complete, and the
 * keeper (keeper.c) gets duplicates of its sockets. Leaving is the reverse. The sockets are shut
 * down before they are closed: so the client sees the end of its port at once, whoever has
 * duplicates of them, and however long a close takes.
 *
 * After the death of a manager the sockets are in `socks` still, with the program that was attached
 * then: `ipn_sk`, which only looks up whose message it is and goes on with the programs in
 * `pol_sk`, which are the new manager's. So they stay in the map as they are: to take them out and
 * put them back would lose messages. What the flush below might have left out is put in.
 *
 * What is redirected to a program that does not read waits in the kernel at the expense of the
 * sender's send buffer. Programs bound it once the program's queue is full (bpf/core/sk.h); what
 * was under way then, and has not moved between two looks (LOOK_US), is thrown away by taking the
 * socket out of the map and putting it back. So it can hold a sender up for two looks, once.
 */
#include "core.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <sys/socket.h>

/*
 * Send buffer of the fabric's sockets: half of it is room for what a program has not read yet. More
 * than its queue takes, or the kernel's worker would wait a tick each time.
 */
#define SEND_BUFFER (1 << 20) /* the kernel doubles it */
#define LOOK_US 100000
#define LOOK_IDLE_US 200000 /* when nothing waited at the last one */

struct sock {
	int fd;
	int stream; /* -1: none */
	sd_event_source *source;
	__u64 peer;  /* key in `sk_ports`; 0: not there */
	__u64 first; /* message that waited at the last look */
	struct door *door;
	__u32 door_id; /* of that door, which may be still to come: sock_adopt */
	int dir_fd;    /* of the door */
	char file[KEEPER_FILE_MAX];
	bool complete;
};

static struct node *sock_node(struct manager *m, __u32 id)
{
	struct node *node = id < IPN_MAX_NODES ? m->node_by_id[id] : NULL;

	return node && node->sock ? node : NULL;
}

static int map_set(struct node *node)
{
	__u64 fd = (__u64)node->sock->fd;

	return bpf_map_update_elem(node->net->m->bpf->fd_socks, &node->port.node, &fd, BPF_ANY)
		       ? -errno
		       : 0;
}

#define FLUSH_MAX 4096 /* more than a socket's queue holds: who goes on sending does not keep us */

/* What came while the socket was not in the map, or later ones would be one behind for ever. */
static void drain(struct node *node)
{
	char byte;

	for (int i = 0; i < FLUSH_MAX && stranger_recv(node->net->m, node->sock->fd, &byte, 1) >= 0;
	     i++)
		;
}

/* Throws away what waits to be sent out of the socket. */
static void flush(struct node *node)
{
	struct bpf_state *b = node->net->m->bpf;

	bpf_map_delete_elem(b->fd_socks, &node->port.node);
	if (map_set(node))
		say(LOG_ERR, "port %u of %s: cannot be put back", node->port.port,
		    node->net->info.path);
	drain(node);
}

static void look_at(struct manager *m, const struct ipn_sk_look *look)
{
	struct node *node = sock_node(m, look->node);

	if (!node)
		return;
	if (look->dead) {
		node_del(node, 0, false);
		return;
	}
	m->socks_waiting += !!look->waiting;
	if (look->first && look->first == node->sock->first) {
		flush(node);
		node->sock->first = 0;
	} else {
		node->sock->first = look->first;
	}
}

/* All of them, a handful at a time. */
static void look_round(struct manager *m)
{
	struct ipn_sk_look looks[IPN_SK_LOOKS];
	__u32 n = 0;

	for (__u32 id = 0; id < IPN_MAX_NODES; id++) {
		if (sock_node(m, id))
			looks[n++] = (struct ipn_sk_look){ .node = id };
		if (!n || (n < IPN_SK_LOOKS && id < IPN_MAX_NODES - 1))
			continue;
		if (!bpf_socks_look(m->bpf, looks, n))
			for (__u32 i = 0; i < n; i++)
				look_at(m, &looks[i]);
		n = 0;
	}
}

static int on_look(sd_event_source *source, uint64_t usec, void *arg)
{
	struct manager *m = arg;

	(void)usec;
	if (!m->socks)
		return 0;
	m->socks_waiting = 0;
	look_round(m);
	sd_event_source_set_time_relative(source, m->socks_waiting ? LOOK_US : LOOK_IDLE_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

static int look_begin(struct manager *m)
{
	if (!m->sock_look)
		return sd_event_add_time_relative(m->event, &m->sock_look, CLOCK_MONOTONIC, LOOK_US,
						  LOOK_US / 10, on_look, m);
	if (!m->socks) {
		sd_event_source_set_time_relative(m->sock_look, LOOK_US);
		return sd_event_source_set_enabled(m->sock_look, SD_EVENT_ONESHOT);
	}
	return 0;
}

int sock_begin(struct node *node, int fd)
{
	struct manager *m = node->net->m;
	struct ipn_sk_look look = { .node = node->port.node };
	int r, size = SEND_BUFFER;
	struct ipn_sk entry = { .ifindex = node->ifindex, .policy = node->port.policy };

	node->sock = calloc(1, sizeof(*node->sock));
	if (!node->sock) {
		close(fd);
		return -ENOMEM;
	}
	node->sock->fd = fd;
	node->sock->stream = node->sock->dir_fd = -1;
	node->sock->door_id = KEEPER_NO_DOOR;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	r = look_begin(m);
	m->socks++;
	if (r >= 0)
		r = map_set(node);
	if (!r)
		r = bpf_socks_look(m->bpf, &look, 1);
	if (r < 0)
		return r;
	if (!look.peer)
		return -ENOTCONN;
	if (look.uid != node->port.uid && node->port.uid)
		return -EPERM;
	if (bpf_map_update_elem(m->bpf->fd_sk_ports, &look.peer, &entry, BPF_NOEXIST))
		return errno == EEXIST ? -EADDRINUSE : -errno;
	node->sock->peer = look.peer;
	punt_add(m, node->port.node, fd);
	return 0;
}

void sock_end(struct node *node)
{
	struct manager *m = node->net->m;
	struct sock *s = node->sock;

	if (!s)
		return;
	node->sock = NULL;
	m->socks--;
	if (s->peer) {
		bpf_map_delete_elem(m->bpf->fd_sk_ports, &s->peer);
		punt_del(m, node->port.node);
	}
	bpf_map_delete_elem(m->bpf->fd_socks, &node->port.node);
	sd_event_source_disable_unref(s->source);
	if (s->file[0] && s->dir_fd >= 0)
		unlinkat(s->dir_fd, s->file, 0);
	shutdown(s->fd, SHUT_RDWR);
	if (s->stream >= 0)
		shutdown(s->stream, SHUT_RDWR);
	if (s->complete)
		keep_touch(m, node->port.node);
	stranger_close(m, &s->fd);
	if (s->door && s->stream < 0 && !s->file[0])
		door_port_gone(s->door);
	stranger_close(m, &s->stream);
	free(s);
}

void sock_let_go(struct node *node)
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
	int r = sd_event_add_io(node->net->m->event, &node->sock->source, stream, EPOLLRDHUP,
				on_stream, node);

	if (r < 0) {
		stranger_close(node->net->m, &stream);
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

void sock_door(struct node *node, struct door *door)
{
	node->sock->door = door;
	node->sock->door_id = door_id(door);
}

struct door *sock_of(const struct node *node)
{
	return node->sock->door;
}

void sock_file(struct node *node, int dir_fd, const char *file)
{
	node->sock->dir_fd = dir_fd;
	util_copy(node->sock->file, sizeof(node->sock->file), file);
}

void sock_bye(struct manager *m, __u32 id, __u32 gen)
{
	struct node *node = sock_node(m, id);

	if (node && node->port.gen == gen)
		node_del(node, 0, false);
}

/* --- over the death of a manager ---------------------------------------------------------------*/

void sock_complete(struct node *node)
{
	node->sock->complete = true;
	keep_touch(node->net->m, node->port.node);
}

bool sock_kept(struct manager *m, __u32 id, struct keeper_msg *msg, int fds[KEEPER_FDS])
{
	struct node *node = sock_node(m, id);
	struct sock *s = node ? node->sock : NULL;

	if (!s || !s->complete)
		return false;
	msg->gen = node->port.gen;
	msg->door = s->door_id;
	fds[0] = s->fd;
	fds[1] = s->stream;
	msg->nfds = s->stream >= 0 ? 2 : 1;
	util_copy(msg->file, sizeof(msg->file), s->file);
	return true;
}

bool sock_is_of(const struct node *node, __u32 door)
{
	return node->sock && node->sock->door_id == door;
}

bool sock_has_file(const struct node *node, __u32 door, const char *file)
{
	return sock_is_of(node, door) && !strcmp(node->sock->file, file);
}

int sock_adopt(struct node *node, struct kept *kept)
{
	struct sock *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->fd = util_take_fd(&kept->fds[0]);
	s->stream = util_take_fd(&kept->fds[1]);
	s->dir_fd = -1;
	s->door_id = kept->msg.door;
	s->complete = true;
	util_copy(s->file, sizeof(s->file), kept->msg.file);
	kept->taken = true;
	node->sock = s;
	node->net->m->socks++;
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
	struct manager *m = node->net->m;
	struct sock *s = node->sock;
	struct ipn_sk_look look = { .node = node->port.node };
	struct ipn_sk entry = { .ifindex = node->ifindex, .policy = node->port.policy }, now;
	int stream = util_take_fd(&s->stream), r = 0;

	s->door = door_find_id(m, s->door_id);
	if (!s->door)
		r = -ENOENT;
	else
		s->dir_fd = door_dir(s->door);
	if (stream >= 0 && !r)
		r = sock_stream(node, util_take_fd(&stream));
	stranger_close(m, &stream);
	if (!r)
		r = map_again(node);
	if (!r)
		r = bpf_socks_look(m->bpf, &look, 1);
	if (!r && (!look.peer || look.dead))
		r = -ENOTCONN;
	if (r)
		return r;
	if ((bpf_map_lookup_elem(m->bpf->fd_sk_ports, &look.peer, &now) ||
	     memcmp(&now, &entry, sizeof(now))) &&
	    bpf_map_update_elem(m->bpf->fd_sk_ports, &look.peer, &entry, BPF_ANY))
		return -errno;
	s->peer = look.peer;
	punt_add(m, node->port.node, s->fd);
	return 0;
}

static bool sender_known(struct manager *m, __u64 peer)
{
	for (__u32 id = 0; id < IPN_MAX_NODES; id++) {
		struct node *node = sock_node(m, id);

		if (node && node->sock->peer == peer)
			return true;
	}
	return false;
}

/* Those of ports that are no more. */
static void senders_clear(struct manager *m)
{
	int fd = m->bpf->fd_sk_ports;
	__u64 peer, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &peer);

	while (more) {
		more = !bpf_map_get_next_key(fd, &peer, &next);
		if (!sender_known(m, peer))
			bpf_map_delete_elem(fd, &peer);
		peer = next;
	}
}

void sock_adopt_rest(struct manager *m)
{
	if (m->socks && look_begin(m) < 0)
		say(LOG_ERR, "cannot look after sock ports: slow ones may hold others up");
	for (__u32 id = 0; id < IPN_MAX_NODES; id++) {
		struct node *node = sock_node(m, id);

		if (node && sock_go_on(node))
			node_del(node, 0, false);
	}
	senders_clear(m);
}
