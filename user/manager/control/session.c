// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Control connections: requests in, replies out (include/ipn/control.h).
 *
 * The peer is hostile. A packet is looked at only when its header, length and number of descriptors
 * fit the table of requests (request.c); strings are terminated before use; every descriptor that
 * came is closed on every path, and not here (async_close.c): also those that nobody has read when
 * a session ends. So its socket is shut down, then read to its end, and only then closed. One
 * request is answered before the next is read, and a reply that does not fit into the socket means
 * that the client does not read its replies: it is cut off. So a session costs a bounded amount of
 * work per turn of the event loop. The loop is fair between users, by the time that each has used
 * (access/quota.h), however many sessions one of them has.
 */
#include "manager/control/session.h"

#include <fcntl.h>
#include <poll.h>
#include <stdalign.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/async_close.h"
#include "manager/access/quota.h"
#include "manager/control/again.h"
#include "manager/control/monitor.h"
#include "manager/control/packet.h"
#include "manager/control/request.h"
#include "manager/control/revoke.h"
#include "manager/core/events.h"
#include "manager/core/lifeline.h"
#include "manager/core/logs.h"
#include "manager/core/net.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/policies/loader.h"
#include "manager/ports/listener.h"
#include "manager/ports/xsk.h"

#define BACKLOG 512
/*
 * Told once, and again after each packet (listen_again): else each turn of the loop would look at
 * all sessions that have something, of which it serves one.
 */
#define EVENTS (EPOLLIN | EPOLLET)

/* --- what it refers to --- */

void session_bind(struct session *s, struct net *net, bool holds)
{
	s->net = net;
	s->bound = true;
	s->holds = holds && !(s->lifeline && lifeline_net(s->lifeline, net));
	net->bound += s->holds;
}

/* seccomp: manager: socket bind listen accept4 chmod unlink shutdown setsockopt */

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

static void net_gone(struct control *c, const struct net *net)
{
	for (struct session *s = c->sessions; s; s = s->next) {
		if (s->cached_net == net)
			s->cached_net = NULL;
		if (s->only_net == net)
			s->only_net = NULL;
		if (s->net == net) {
			s->net = NULL;
			s->bound = s->holds = false;
		}
	}
}

struct node *session_node(const struct session *s)
{
	return s->opened ? NULL : s->node;
}

void session_take_node(struct session *s, struct node *node, bool opened)
{
	s->node = node;
	s->opened = opened;
	node->session = s;
	if (s->lifeline && !opened && node->in.kind != IPN_KIND_PROC)
		lifeline_node(s->lifeline, node);
}

/* The session ends. */
static void session_let_node_go(struct session *s)
{
	struct node *node = s->node;

	s->node = NULL;
	s->opened = false;
	if (!node)
		return;
	node->session = NULL;
	if (node->lifeline && lifeline_holds(node->lifeline))
		return; /* somebody has its socket */
	if (node->kind->release)
		node->kind->release(node);
}

/* The node ends. */
static void node_gone(struct session *s)
{
	bool opened = s->opened;

	s->node = NULL;
	s->opened = false;
	if (!s->bound)
		s->net = NULL;
	if (opened) /* tells its holder; the session ends by that */
		shutdown(s->fd, SHUT_RDWR);
}

static void listen_again(struct session *s)
{
	s->later = false;
	sd_event_source_set_io_events(s->source, EVENTS);
}

int session_later(struct session *s, const struct ipn_ctl_hdr *hdr)
{
	s->pending_hdr = *hdr;
	s->later = true;
	/* its end is told all the same */
	sd_event_source_set_io_events(s->source, 0);
	return REQUEST_LATER;
}

/* --- packets --- */

/* Answers a request; non-zero when the client does not read its replies. */
static int reply_send(struct request *q, __u8 *packet, int status)
{
	struct ipn_ctl_hdr *hdr = (void *)packet;

	if (status) {
		if (!q->e.text[0])
			err_text(&q->e, 0, "%s", strerror(-status));
		q->reply_len = strlen(q->e.text);
		memcpy(q->reply, q->e.text, q->reply_len);
	}
	*hdr = (struct ipn_ctl_hdr){
		.magic = IPN_CTL_MAGIC,
		.version = IPN_CTL_VERSION,
		.type = q->hdr->type,
		.id = q->hdr->id,
		.len = (__u32)(sizeof(*hdr) + q->reply_len),
		.status = -status,
	};
	return packet_send(q->s->fd, packet, hdr->len, q->reply_fds, q->nreply_fds);
}

static void close_fds(const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		close(fds[i]);
}

/*
 * Ends the sessions whose clients have closed them and said nothing more. Events of one turn come
 * in no order, but who closes a socket and then joins by another finds the port free, and the
 * network gone if it was the last.
 */
void sessions_reap(struct control *c, struct session *but)
{
	_cleanup_free_ struct pollfd *p = NULL;
	_cleanup_free_ struct session **of = NULL;
	nfds_t n = 0, count = 0;
	char byte;

	lifelines_reap(c->f, but->lifeline);
	for (struct session *s = c->sessions; s; s = s->next)
		count++;
	if (!count)
		return;
	p = calloc(count, sizeof(*p));
	of = calloc(count, sizeof(struct session *));
	if (!p || !of)
		return; /* they end a moment later */
	for (struct session *s = c->sessions; s; s = s->next) {
		if (s == but || s->lifeline || (!s->node && !s->bound && !s->job))
			continue;
		p[n].fd = s->fd;
		p[n].events = POLLRDHUP;
		of[n++] = s;
	}
	if (poll(p, n, 0) <= 0)
		return;
	for (nfds_t i = 0; i < n; i++)
		if (p[i].revents && !recv(p[i].fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT))
			session_free(of[i]);
}

/* Answers the request of a packet, or puts it aside. Non-zero ends the session. */
static int session_request(struct session *s, struct packet *p, const void *data)
{
	static alignas(8) __u8 out[IPN_CTL_MAX_PACKET];
	struct request q = { .s = s,
			     .hdr = data,
			     .body = (const __u8 *)data + sizeof(struct ipn_ctl_hdr),
			     .fds = p->fds,
			     .nfds = p->nfds,
			     .reply = out + sizeof(struct ipn_ctl_hdr) };
	bool bound = s->bound, node = s->node;
	struct fabric *f = s->f;
	int r;

	f->log_waits = true;
	r = request_dispatch(&q, (size_t)p->len);
	f->log_waits = false;
	if (r == LOG_LATER) {
		r = again_with_log(s, p, data);
		r = r ? request_dispatch(&q, (size_t)p->len) : session_later(s, q.hdr);
	} else if (r == REQUEST_AGAIN) {
		r = again_next_turn(s, p, data) ?: session_later(s, q.hdr);
	}
	r = r == REQUEST_LATER ? 0 : reply_send(&q, out, r);
	close_fds(q.reply_fds, q.nreply_fds);
	/* who did not hear of it did not get it */
	if (r && s->lifeline && (s->bound != bound || (s->node != NULL) != node))
		lifeline_let_go(s->lifeline);
	return r;
}

/* Handles one packet. Non-zero ends the session. */
static int session_packet(struct session *s)
{
	static alignas(8) __u8 in[IPN_CTL_MAX_PACKET];
	const struct ipn_ctl_hdr *hdr = (void *)in;
	struct packet p;
	int r = packet_receive(s->fd, &p, in, sizeof(in), 0);

	if (r)
		return r == -EAGAIN || r == -EINTR ? 0 : r;
	/* nothing that could be answered; of length 0: the end, or an empty packet */
	if ((size_t)p.len < sizeof(*hdr) || hdr->magic != IPN_CTL_MAGIC || p.cut ||
	    p.nfds > IPN_CTL_MAX_FDS)
		r = -EBADMSG;
	else
		r = session_request(s, &p, in);
	packet_drop_fds(s->f->async_close, s->user, &p);
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
			packet_drop_fds(s->f->async_close, s->user, &p);
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
	user_sub(s->f->users, s->user, QUOTA_SESSIONS, 1);
	if (s->prev)
		s->prev->next = s->next;
	else
		s->c->sessions = s->next;
	if (s->next)
		s->next->prev = s->prev;
	perm_peer_free(&s->peer);
	free(s);
}

void session_answer(struct session *s, int status, const struct errtext *e, const void *body,
		    size_t len, const int *fds, unsigned int nfds)
{
	static alignas(8) __u8 out[IPN_CTL_MAX_PACKET];
	struct request q = {
		.s = s,
		.hdr = &s->pending_hdr,
		.reply = out + sizeof(struct ipn_ctl_hdr),
		.reply_len = len,
		.nreply_fds = nfds,
		.e = *e,
	};

	listen_again(s);
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

	session_let_node_go(s);
	if (s->loading)
		policy_load_cancel(s->loading);
	if (s->job)
		xsk_forget(s->job);
	s->job = NULL;
	again_forget(s->again);
	s->again = NULL;
	if (s->wait)
		s->wait->fn = NULL;
	s->wait = NULL;
	session_unbind(s);
	if (s->lifeline)
		lifeline_put(s->lifeline);
	s->lifeline = NULL;
	user_sub(s->f->users, s->user, QUOTA_MONITORS, s->monitor);
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

void control_go_on(void *arg)
{
	struct control *c = arg;
	struct session *s, *next;

	for (s = c->sessions; s; s = next) {
		next = s->next;
		if (!s->held || user_stuck(s->user))
			continue;
		s->held = false;
		sd_event_source_set_enabled(s->source, SD_EVENT_ON);
		if (s->ending)
			session_free(s);
	}
}

static void sessions_forget(struct control *c)
{
	while (c->sessions) {
		struct session *s = c->sessions;

		c->sessions = s->next;
		again_forget(s->again);
		if (s->job)
			xsk_forget(s->job);
		sd_event_source_disable_unref(s->source);
		perm_peer_free(&s->peer);
		free(s);
	}
}

/*
 * Who has taken much of the loop's time lately comes after those who have not, with all of his
 * sessions, also those that he opens now. Nobody waits while there is nobody else.
 */
static void session_rank(struct session *s)
{
	__s64 rank = user_rank(s->user);

	if (rank == s->rank)
		return;
	s->rank = rank;
	sd_event_source_set_priority(s->source, rank);
}

static void charge(struct control *c, struct user *u, __u64 began)
{
	__u64 now = clock_us();

	if (!user_charge(c->f->users, u, now, now - began))
		return;
	for (struct session *s = c->sessions; s; s = s->next)
		session_rank(s);
}

/* False: it is over. */
static bool session_turn(struct session *s, uint32_t events)
{
	if (user_stuck(s->user)) {
		s->held = true;
		sd_event_source_set_enabled(s->source, SD_EVENT_OFF);
		return true;
	}
	/* what was sent before the end is a request like any other */
	if (events & EPOLLIN)
		return !session_packet(s);
	return !(events & (EPOLLHUP | EPOLLERR));
}

void session_again(struct session *s, struct packet *p, const void *data)
{
	struct control *c = s->c;
	struct user *u = s->user;
	__u64 began = clock_us();

	listen_again(s);
	if (session_request(s, p, data))
		session_free(s);
	charge(c, u, began);
}

static int on_packet(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct session *s = arg;
	struct control *c = s->c;
	struct user *u = s->user;
	__u64 began = clock_us();

	(void)source;
	(void)fd;
	if (!session_turn(s, events))
		session_free(s);
	else if (!s->later && !s->held)
		listen_again(s);
	charge(c, u, began);
	return 0;
}

/* Every connection becomes a session, if only to be ended as one. */
static int session_new(struct control *c, int fd)
{
	struct session *s = calloc(1, sizeof(*s));
	__u64 began = clock_us();
	struct errtext e;
	struct user *u;
	bool may;
	int r;

	if (!s)
		return -ENOMEM;
	s->c = c;
	s->f = c->f;
	s->fd = fd;
	r = perm_peer_get(fd, &s->peer);
	if (r)
		goto err;
	s->user = u = user_get(c->f->users, s->peer.account);
	r = -ENOMEM;
	if (!u)
		goto err_peer;
	r = sd_event_add_io(c->f->event, &s->source, fd, EVENTS, on_packet, s);
	if (r < 0)
		goto err_peer;
	session_rank(s);
	may = !user_may(s->f->users, u, QUOTA_SESSIONS, 1, &e);
	user_add(s->f->users, u, QUOTA_SESSIONS, 1);
	s->next = c->sessions;
	if (s->next)
		s->next->prev = s;
	c->sessions = s;
	if (!may)
		session_free(s);
	charge(c, u, began);
	return 0;
err_peer:
	perm_peer_free(&s->peer);
err:
	free(s);
	return r;
}

/* A connection that cannot become a session. */
static void turn_away(struct control *c, int fd)
{
	stranger_close(c->f->async_close, &fd);
}

static int on_connection(sd_event_source *source, int listen_fd, uint32_t events, void *arg)
{
	struct control *c = arg;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)source;
	(void)events;
	if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
		/* or the waiting connection would wake us for ever: turn it away */
		close(c->f->spare_fd);
		fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			turn_away(c, fd);
		c->f->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		log_warning("turned a client away: no descriptors left");
		return 0;
	}
	if (fd >= 0 && session_new(c, fd))
		turn_away(c, fd);
	return 0;
}

int control_listen(struct control *c)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", c->opts.run_dir,
		     IPN_CTL_SOCKET);
	if ((size_t)r >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	unlink(addr.sun_path); /* we hold the lock of the directory: nobody listens there */
	if (bind(fd, (void *)&addr, sizeof(addr)) || chmod(addr.sun_path, 0666) ||
	    listen(fd, BACKLOG))
		return -errno;
	r = sd_event_add_io(c->f->event, NULL, fd, EPOLLIN, on_connection, c);
	if (r < 0)
		return r;
	c->listen_fd = util_take_fd(&fd);
	return 0;
}

/* Nobody has the socket of these control connections any more. */
static void hung_up(struct control *c, const struct lifeline *l)
{
	for (struct session *s = c->sessions, *next; s; s = next) {
		next = s->next;
		if (s->lifeline == l)
			session_free(s);
	}
}

static void on_event(void *arg, const struct event *event)
{
	struct control *c = arg;

	monitor_event(c, event);
	revoke_event(c, event);
	if (event->type == EVENT_NET_GONE)
		net_gone(c, event->net);
	else if (event->type == EVENT_HUNG_UP)
		hung_up(c, event->lifeline);
	else if (event->type == EVENT_NODE_GONE && event->node->session)
		node_gone(event->node->session);
}

int control_new(struct control **out, struct fabric *f, const struct control_opts *opts)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (!c)
		return -ENOMEM;
	c->f = f;
	c->opts = *opts;
	c->started = clock_us();
	c->listen_fd = c->inotify_fd = -1;
	r = revoke_begin(c);
	if (!r)
		r = events_subscribe(f, on_event, c);
	if (r) {
		revoke_end(c);
		free(c);
		return r;
	}
	*out = c;
	return 0;
}

void control_free(struct control *c)
{
	if (!c)
		return;
	sessions_forget(c);
	revoke_end(c);
	sd_event_source_disable_unref(c->overruns);
	util_close_fd(&c->listen_fd);
	free(c);
}
