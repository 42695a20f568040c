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
 * What comes before 3 is dropped. Leaving is the reverse; the close ends what waits in the kernel.
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
	__u64 peer;   /* key in `sk_ports`; 0: not there */
	__u64 first;  /* message that waited at the last look */
	struct door *door;
	int dir_fd; /* of the door */
	char file[32];
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

/* Throws away what waits to be sent out of the socket. */
static void flush(struct node *node)
{
	struct bpf_state *b = node->net->m->bpf;
	char byte;

	bpf_map_delete_elem(b->fd_socks, &node->port.node);
	if (map_set(node))
		say(LOG_ERR, "port %u of %s: cannot be put back", node->port.port,
		    node->net->info.path);
	/* what came meanwhile, or later ones would be one behind for ever */
	for (int i = 0; i < FLUSH_MAX && stranger_recv(node->net->m, node->sock->fd, &byte, 1) >= 0;
	     i++)
		;
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
	if (s->file[0])
		unlinkat(s->dir_fd, s->file, 0);
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
