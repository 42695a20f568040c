// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A lifeline is there while a control connection of its socket is, and after that as long as it
 * keeps something and has not hung up.
 *
 * Only those that keep something are in the fdstore, with the inode of the network and the number
 * of the interface: what stands in the maps under these is what they keep. A user has PLACES_EACH
 * there; what is beyond ends with the manager.
 */
#include "manager/core/lifeline.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "common/util.h"
#include "manager/access/quota.h"
#include "manager/core/events.h"
#include "manager/core/net.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/fdstore/client.h"

#define PLACES_EACH 128 /* of one user but root */

/* --- places ------------------------------------------------------------------------------------*/

static void place_take(struct lifeline *l)
{
	struct fabric *f = l->f;
	__u32 at = LIFELINE_NOWHERE, mine = 0;

	for (__u32 i = FDSTORE_LIFELINES; i-- > 0;) {
		if (!f->lifelines[i])
			at = i;
		else
			mine += f->lifelines[i]->account == l->account;
	}
	if (at == LIFELINE_NOWHERE || (l->account && mine >= PLACES_EACH))
		return;
	f->lifelines[at] = l;
	l->at = at;
}

/* What it keeps has changed. */
static void place_tell(struct lifeline *l)
{
	bool keeps = l->net || l->node;

	if (keeps && l->at == LIFELINE_NOWHERE)
		place_take(l);
	if (l->at == LIFELINE_NOWHERE)
		return;
	if (!keeps)
		l->f->lifelines[l->at] = NULL;
	fdstore_touch(l->f->fdstore, FDSTORE_LIFELINE(l->at));
	if (!keeps)
		l->at = LIFELINE_NOWHERE;
}

bool lifeline_there(const struct fabric *f, __u32 at)
{
	return f->lifelines[at] != NULL;
}

bool lifeline_stored(const struct fabric *f, __u32 at, struct fdstore_msg *msg, int *fds)
{
	const struct lifeline *l = f->lifelines[at];

	if (!l || (!l->net && !l->node))
		return false;
	msg->nfds = 1;
	fds[0] = l->fd;
	msg->which = l->account;
	msg->dev = l->net ? l->net->key.dev : 0;
	msg->ino = l->net ? l->net->key.ino : 0;
	msg->listener = l->node ? l->node->ifindex : 0;
	return true;
}

/* --- what it keeps -----------------------------------------------------------------------------*/

bool lifeline_net(struct lifeline *l, struct net *net)
{
	if (l->net)
		return l->net == net;
	l->net = net;
	net->bound++;
	place_tell(l);
	return true;
}

void lifeline_node(struct lifeline *l, struct node *node)
{
	if (l->node || node->lifeline)
		return;
	l->node = node;
	node->lifeline = l;
	place_tell(l);
}

void lifeline_forget_node(struct node *node)
{
	struct lifeline *l = node->lifeline;

	if (!l)
		return;
	node->lifeline = NULL;
	l->node = NULL;
	place_tell(l);
}

void lifeline_forget_net(struct net *net)
{
	for (struct lifeline *l = net->f->all_lifelines; l; l = l->next) {
		if (l->net != net)
			continue;
		l->net = NULL;
		place_tell(l);
	}
}

bool lifeline_holds(const struct lifeline *l)
{
	struct pollfd p = { .fd = l->fd };

	return poll(&p, 1, 0) == 0;
}

/* A user has no more of them than sessions: the one takes the place of the other. */
static void lifeline_count(struct lifeline *l, bool on)
{
	struct users *users = l->f->users;
	struct user *u = on != l->counted ? user_get(users, l->account) : NULL;

	if (!u)
		return;
	l->counted = on;
	if (on)
		user_add(users, u, QUOTA_SESSIONS, 1);
	else
		user_sub(users, u, QUOTA_SESSIONS, 1);
}

/* --- its life ----------------------------------------------------------------------------------*/

void lifeline_let_go(struct lifeline *l)
{
	struct node *node = l->node;
	struct net *net = l->net;

	l->node = NULL;
	l->net = NULL;
	place_tell(l);
	if (node) {
		node->lifeline = NULL;
		if (!node->session)
			node->kind->release(node);
	}
	if (net) {
		net->bound--;
		net_unused(net);
	}
}

static void lifeline_free(struct lifeline *l)
{
	lifeline_let_go(l);
	sd_event_source_disable_unref(l->source);
	if (l->prev)
		l->prev->next = l->next;
	else
		l->f->all_lifelines = l->next;
	if (l->next)
		l->next->prev = l->prev;
	lifeline_count(l, false);
	close(l->fd); /* nothing is in it: who made it a lifeline saw to that */
	free(l);
}

static int on_hung_up(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct lifeline *l = arg;

	(void)source;
	(void)fd;
	(void)events;
	l->sessions++; /* it stays until here */
	event_emit(l->f, &(struct event){ .type = EVENT_HUNG_UP, .lifeline = l });
	lifeline_put(l);
	return 0;
}

static int watch(struct lifeline *l)
{
	/* 0: its end is told all the same */
	return l->f->event ? sd_event_add_io(l->f->event, &l->source, l->fd, 0, on_hung_up, l) : 0;
}

/* seccomp: manager: getsockopt fcntl poll */
static int lifeline_new(struct fabric *f, int fd, __u64 cookie, __u32 account,
			struct lifeline **out)
{
	struct lifeline *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->f = f;
	l->at = LIFELINE_NOWHERE;
	l->account = account;
	l->cookie = cookie;
	l->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	r = l->fd < 0 ? -errno : watch(l);
	if (r < 0) {
		util_close_fd(&l->fd);
		free(l);
		return r;
	}
	l->next = f->all_lifelines;
	if (l->next)
		l->next->prev = l;
	f->all_lifelines = l;
	*out = l;
	return 0;
}

static int cookie_of(int fd, __u64 *cookie)
{
	socklen_t len = sizeof(*cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &len) ? -errno : 0;
}

int lifeline_get(struct fabric *f, int fd, __u32 account, struct lifeline **out)
{
	struct lifeline *l;
	__u64 cookie;
	int r = cookie_of(fd, &cookie);

	if (r)
		return r;
	for (l = f->all_lifelines; l && l->cookie != cookie; l = l->next)
		;
	if (!l)
		r = lifeline_new(f, fd, cookie, account, &l);
	if (r)
		return r;
	l->sessions++;
	lifeline_count(l, false);
	*out = l;
	return 0;
}

void lifeline_put(struct lifeline *l)
{
	if (--l->sessions)
		return;
	if ((!l->net && !l->node) || !lifeline_holds(l))
		lifeline_free(l);
	else
		lifeline_count(l, true);
}

void lifelines_reap(struct fabric *f, const struct lifeline *but)
{
	_cleanup_free_ struct lifeline **of = NULL;
	_cleanup_free_ struct pollfd *p = NULL;
	nfds_t n = 0;

	for (struct lifeline *l = f->all_lifelines; l; l = l->next)
		n++;
	p = calloc(n + 1, sizeof(*p));
	of = calloc(n + 1, sizeof(struct lifeline *));
	if (!p || !of)
		return; /* they end a moment later */
	n = 0;
	for (struct lifeline *l = f->all_lifelines; l; l = l->next) {
		if (l == but)
			continue;
		p[n].fd = l->fd;
		of[n++] = l;
	}
	if (!n || poll(p, n, 0) <= 0)
		return;
	for (nfds_t i = 0; i < n; i++)
		if (p[i].revents)
			on_hung_up(NULL, p[i].fd, 0, of[i]);
}

/* --- over a restart ----------------------------------------------------------------------------*/

static struct net *net_of(struct fabric *f, const struct fdstore_msg *msg)
{
	struct net_key key = { .dev = msg->dev, .ino = msg->ino };
	struct net *net;

	HASH_FIND(hh, f->nets, &key, sizeof(key), net);
	return net;
}

static struct node *node_of(struct fabric *f, const struct fdstore_msg *msg)
{
	__u32 ifindex = msg->listener;
	struct node *node;

	HASH_FIND(hh, f->nodes, &ifindex, sizeof(ifindex), node);
	return node && node->kind->flags & KIND_ATTACH ? node : NULL;
}

static void lifeline_adopt(struct fabric *f, __u32 at, struct fdstore_entry *e)
{
	struct node *node = node_of(f, &e->msg);
	struct net *net = net_of(f, &e->msg);
	struct lifeline *l;
	__u64 cookie;

	if ((!node && !net) || e->fds[0] < 0 || cookie_of(e->fds[0], &cookie) ||
	    lifeline_new(f, e->fds[0], cookie, e->msg.which, &l))
		return; /* the fdstore is told to forget it */
	l->at = at;
	f->lifelines[at] = l;
	if (net)
		lifeline_net(l, net);
	if (node)
		lifeline_node(l, node);
	lifeline_count(l, true);
	e->taken = true;
	util_close_fd(&e->fds[0]);
	e->fds[0] = -1;
}

void lifelines_adopt(struct fabric *f)
{
	for (__u32 at = 0; at < FDSTORE_LIFELINES; at++) {
		struct fdstore_entry *e = fdstore_find(f->fdstore, FDSTORE_LIFELINE(at), 0);

		if (e)
			lifeline_adopt(f, at, e);
	}
}

void lifelines_watch(struct fabric *f)
{
	struct lifeline *l, *next;

	for (l = f->all_lifelines; l; l = next) {
		next = l->next;
		if (!l->source && watch(l) < 0)
			lifeline_free(l);
	}
}

void lifelines_free(struct fabric *f)
{
	struct lifeline *l, *next;

	for (l = f->all_lifelines; l; l = next) {
		next = l->next;
		sd_event_source_disable_unref(l->source);
		close(l->fd);
		free(l);
	}
	f->all_lifelines = NULL;
}
