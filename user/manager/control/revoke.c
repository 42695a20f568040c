// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Rights that are taken away.
 *
 * A right is judged when a process joins, and again when the mode, owner or ACL of the path
 * changes: inotify tells of that, by the inode, wherever its names are. Who lost r is taken off the
 * readers, who lost w sends no more, and who has neither is detached (EACCES). All of it happens at
 * the data path, so it holds whatever the process does. What somebody gained, he gets by joining
 * anew. The same watch tells that the last name of a network was removed: then nobody can join it
 * any more, and it ends with those who are in.
 *
 * Changes are gathered for GATHER_US, so that somebody who changes his path all the time costs a
 * bounded amount of work. Nodes of before a restart of the manager are judged when their process
 * has connected again: until then nobody knows its groups.
 *
 * Who was given the network's log keeps its descriptor, also when he has left. So if anybody may
 * have lost r since the log was made, the network gets another one (core/rotate.c): if there are
 * users who could read the inode when it was last looked at (`readers` in `net_info`) and cannot
 * now; if a reader lost r; if somebody joined between two looks, for then nobody knows whether he
 * would have been among the first, and could not stay among the second; if the last name of the
 * inode went; and if somebody else ends a reader's port. All networks that need one get it
 * together, and from one such time to the next pass ROTATE_US, or, since big logs take a while to
 * make, ROTATE_SHARE times what it took.
 */
#include "manager/control/revoke.h"

#include <sys/epoll.h>
#include <sys/inotify.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/util.h"
#include "manager/access/perm.h"
#include "manager/access/readers.h"
#include "manager/control/session.h"
#include "manager/core/events.h"
#include "manager/core/net.h"
#include "manager/core/net_path.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/core/rotate.h"

#define GATHER_US 50000
#define ROTATE_US 1000000
#define ROTATE_SHARE 4

/* seccomp: manager: inotify_init1 inotify_add_watch inotify_rm_watch */
static void changed(struct control *c, int watch_of);

static void watch(struct control *c, struct net *net)
{
	char path[32];

	if (c->inotify_fd < 0 || net->path_fd < 0)
		return;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", net->path_fd);
	c->watches[net->id] = inotify_add_watch(c->inotify_fd, path, IN_ATTRIB);
	if (c->watches[net->id] < 0)
		log_warning("%s: cannot watch its permissions: %s", net->info.path,
			    strerror(errno));
	else if (net_path_gone(net)) /* before that */
		changed(c, c->watches[net->id]);
}

static void unwatch(struct control *c, const struct net *net)
{
	if (c->inotify_fd >= 0 && c->watches[net->id] >= 0)
		inotify_rm_watch(c->inotify_fd, c->watches[net->id]);
	c->watches[net->id] = -1;
	c->changed[net->id] = false;
}

static int on_rotate(sd_event_source *source, uint64_t usec, void *arg);

/* The timer `rotate` at `when`, or at the time it has, if that is earlier. */
static void rotate_at(struct control *c, __u64 when)
{
	uint64_t at;
	int on;

	if (when < c->rotate_not_before)
		when = c->rotate_not_before;
	if (!c->rotate) {
		sd_event_add_time(c->f->event, &c->rotate, CLOCK_MONOTONIC, when, 1000, on_rotate,
				  c);
		return;
	}
	if (sd_event_source_get_enabled(c->rotate, &on) > 0 && on != SD_EVENT_OFF &&
	    !sd_event_source_get_time(c->rotate, &at) && at < when)
		return;
	sd_event_source_set_time(c->rotate, when);
	sd_event_source_set_enabled(c->rotate, SD_EVENT_ONESHOT);
}

static int on_rotate(sd_event_source *source, uint64_t usec, void *arg)
{
	struct control *c = arg;
	__u64 began = clock_us(), next = rotate_all(c->f), took = clock_us() - began;

	(void)source;
	(void)usec;
	c->rotate_not_before =
		began + took + (ROTATE_SHARE * took > ROTATE_US ? ROTATE_SHARE * took : ROTATE_US);
	if (next)
		rotate_at(c, next);
	return 0;
}

void revoke_joined(struct net *net)
{
	struct ipn_readers now;

	if (readers_get(net->path_fd, &now) || memcmp(&now, &net->info.readers, sizeof(now)) != 0)
		net->joined_unseen = true;
}

void revoke_detached(struct control *c, struct node *node)
{
	if (!(node->in.flags & IPN_PF_LOG))
		return;
	rotate_want(node->net);
	rotate_at(c, clock_us());
}

/*
 * Has anybody lost r since the last look? Either way the next look compares with this one.
 * unwatched: the manager was not there in between.
 */
static void net_judge(struct net *net, bool unwatched)
{
	const struct ipn_readers last = net->info.readers;
	struct ipn_readers now;
	bool unseen;

	if (net->path_fd < 0 || readers_get(net->path_fd, &now))
		return;
	net->info.readers = now;
	unseen = net->joined_unseen || (unwatched && last.ctime != now.ctime);
	net->joined_unseen = false;
	if (!net->info.rotating && (readers_lost(&last, &now) || (unseen && !readers_all(&now))))
		rotate_want(net);
	else if (memcmp(&last, &now, sizeof(now)) != 0)
		net_info_store(net);
}

/* What the process of a session may still do. */
static void session_judge(struct session *s)
{
	struct node *node = session_node(s);
	__u32 lost = 0;
	int r;

	if (!node || node->net->path_fd < 0 || node->in.kind != IPN_KIND_PROC)
		return;
	r = perm_check(node->net->path_fd, &s->peer);
	if (r < 0)
		return; /* it cannot be judged now; the next change tells */
	if ((node->in.flags & IPN_PF_READER) && !(r & PERM_R))
		lost |= IPN_PF_READER;
	if ((node->in.flags & IPN_PF_WRITER) && !(r & PERM_W))
		lost |= IPN_PF_WRITER;
	if (!lost)
		return;
	if (lost & IPN_PF_READER)
		rotate_want(node->net);
	if (!(node->in.flags & ~lost & (IPN_PF_READER | IPN_PF_WRITER)))
		node_del(node, EACCES, false);
	else
		node_revoke(node, lost);
}

static int on_gathered(sd_event_source *source, uint64_t usec, void *arg)
{
	struct control *c = arg;

	(void)source;
	(void)usec;
	for (struct session *s = c->sessions, *next; s; s = next) {
		next = s->next;
		if (s->node && c->changed[s->node->net->id])
			session_judge(s);
	}
	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		struct net *net = c->f->net_by_id[id];
		bool was = c->changed[id];

		c->changed[id] = false;
		if (net && was) {
			net_judge(net, false);
			net_path_check(net); /* which may end it */
		}
		net = c->f->net_by_id[id];
		if (net && net->info.rotating)
			rotate_at(c, clock_us());
	}
	return 0;
}

static void gather(struct control *c)
{
	int r;

	if (!c->gather) {
		sd_event_add_time_relative(c->f->event, &c->gather, CLOCK_MONOTONIC, GATHER_US,
					   GATHER_US / 10, on_gathered, c);
		return;
	}
	if (sd_event_source_get_enabled(c->gather, &r) > 0 && r != SD_EVENT_OFF)
		return;
	sd_event_source_set_time_relative(c->gather, GATHER_US);
	sd_event_source_set_enabled(c->gather, SD_EVENT_ONESHOT);
}

static void changed(struct control *c, int watch_of)
{
	for (__u32 id = 0; id < IPN_MAX_NETS; id++)
		if (watch_of < 0 || c->watches[id] == watch_of)
			c->changed[id] = true;
	gather(c);
}

void revoke_look(struct control *c, const struct net *net)
{
	c->changed[net->id] = true;
	gather(c);
}

static int on_inotify(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	const struct inotify_event *e;
	ssize_t n = read(fd, buffer, sizeof(buffer));

	(void)source;
	(void)events;
	for (ssize_t at = 0; at + (ssize_t)sizeof(*e) <= n; at += (ssize_t)(sizeof(*e) + e->len)) {
		e = (const void *)(buffer + at);
		if (e->mask & IN_Q_OVERFLOW)
			changed(arg, -1); /* nobody knows which */
		else if (e->mask & IN_ATTRIB)
			changed(arg, e->wd);
	}
	return 0;
}

void revoke_event(struct control *c, const struct event *event)
{
	if (event->type == EVENT_NET_ADD)
		watch(c, event->net);
	else if (event->type == EVENT_NET_GONE)
		unwatch(c, event->net);
}

int revoke_begin(struct control *c)
{
	struct net *net, *tmp;
	int r;

	for (__u32 id = 0; id < IPN_MAX_NETS; id++)
		c->watches[id] = -1;
	c->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (c->inotify_fd < 0)
		return -errno;
	r = sd_event_add_io(c->f->event, &c->inotify, c->inotify_fd, EPOLLIN, on_inotify, c);
	if (r < 0)
		return r;
	HASH_ITER(hh, c->f->nets, net, tmp) {
		watch(c, net);
		net_judge(net, true);
		if (net->info.rotating || net->old_fd >= 0)
			rotate_at(c, clock_us());
	}
	return 0;
}

void revoke_end(struct control *c)
{
	sd_event_source_disable_unref(c->inotify);
	sd_event_source_disable_unref(c->gather);
	sd_event_source_disable_unref(c->rotate);
	util_close_fd(&c->inotify_fd);
}
