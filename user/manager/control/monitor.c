// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Monitors: who is told of joins, leaves, counts, overruns and policies as they happen.
 *
 * A monitor is a session that has asked for it. Events are composed only while there is one, and
 * sent without waiting: a monitor that does not read them loses some, and is told how many.
 * Overruns are known to the readers alone, who write them into their pages, so they are looked for
 * once a second, and with them who keeps the senders of LOSSLESS networks waiting.
 */
#include "manager/control/monitor.h"

#include <ipn/af_ipn.h>
#include <sys/socket.h>
#include <time.h>

#include "common/util.h"
#include "manager/control/request.h"
#include "manager/control/session.h"
#include "manager/core/events.h"
#include "manager/core/held.h"
#include "manager/core/objects.h"
#include "manager/policies/policy.h"

#define CHECK_US 1000000
#define HOLDS_MS 1000

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

/* Asked once a turn of the loop. */
static bool monitor_sees(struct session *s, struct net *net)
{
	uint64_t turn = 0;

	sd_event_get_iteration(s->f->event, &turn);
	if (s->cached_net != net || s->cached_turn != turn) {
		s->cached_visible = session_sees(s, net);
		s->cached_net = net;
		s->cached_turn = turn;
	}
	return s->cached_visible;
}

/* To every monitor that may see the network (NULL: all). */
static void tell_all(struct control *c, struct net *net, const struct ipn_ctl_event *event)
{
	for (struct session *s = c->sessions; s; s = s->next) {
		if (!s->monitor || (s->only && (!net || net != s->only_net)) ||
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
}

static __u32 monitors(const struct control *c)
{
	__u32 n = 0;

	for (const struct session *s = c->sessions; s; s = s->next)
		n += s->monitor;
	return n;
}

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (__u64)ts.tv_sec * 1000000000ULL + (__u64)ts.tv_nsec;
}

static void tell(struct control *c, const struct event *from, __u32 what, __u64 count)
{
	struct ipn_ctl_event event = { .what = what, .count = count, .time = now_ns() };
	const struct node *node = from->node;
	struct net *net = from->net;

	event.readers = net->readers;
	event.writers = net->writers;
	memcpy(event.path, net->info.path, sizeof(event.path));
	if (node) {
		event.port = node->in.number;
		event.kind = node->in.kind;
		event.uid = node->in.uid;
		event.pid = node->info.pid;
		memcpy(event.name, node->in.name, sizeof(event.name));
	}
	tell_all(c, net, &event);
}

void monitor_policy(struct control *c, const struct policy *p, __u32 what)
{
	struct ipn_ctl_event event = { .what = what, .port = p->number };

	if (!c->overruns)
		return;
	event.time = now_ns();
	memcpy(event.name, p->name, sizeof(event.name));
	tell_all(c, NULL, &event);
}

static void refused(struct control *c, const struct event *from)
{
	const struct policy *p = c->f->policies->at[from->net->info.policy];
	struct ipn_ctl_event event = { .what = IPN_WATCH_REFUSED,
				       .kind = from->kind,
				       .uid = from->uid,
				       .count = (__u64)from->err,
				       .time = now_ns() };

	memcpy(event.path, from->net->info.path, sizeof(event.path));
	if (from->type == EVENT_REFUSED) {
		memcpy(event.name, p->name, sizeof(event.name));
		event.port = (__u32)IPN_PORTNO_ANY;
	} else {
		event.pid = from->pid;
		event.port = (__u32)from->port;
	}
	tell_all(c, from->net, &event);
}

void monitor_event(struct control *c, const struct event *event)
{
	static const __u32 words[] = {
		[EVENT_NET_ADD] = IPN_WATCH_NET_ADD, [EVENT_NET_DEL] = IPN_WATCH_NET_DEL,
		[EVENT_JOIN] = IPN_WATCH_JOIN,       [EVENT_LEAVE] = IPN_WATCH_LEAVE,
		[EVENT_COUNTS] = IPN_WATCH_COUNTS,
	};

	if (!c->overruns)
		return; /* there never was a monitor */
	if (event->type == EVENT_REFUSED || event->type == EVENT_TURNED_AWAY)
		refused(c, event);
	else if (event->type < ARRAY_SIZE(words) && words[event->type])
		tell(c, event, words[event->type], 0);
}

/* Each time that a port keeps others waiting is told once, when it has lasted. */
static void holds_check(struct control *c, const struct held *held, struct node *node)
{
	__u64 since = held_since(held, node);
	__u64 ms = since ? held_ms(since) : 0;

	if (ms < HOLDS_MS || node->held_told == since)
		return;
	node->held_told = since;
	tell(c, &(struct event){ .net = node->net, .node = node }, IPN_WATCH_HOLDS, ms);
}

/* Network by network: what a monitor may see is asked once for each. */
static void overruns_check(struct control *c, bool silent)
{
	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		struct net *net = c->f->net_by_id[id];
		struct held held = { 0 };

		if (net)
			held_look(&held, net);
		for (__u32 i = 0; net && i < net->info.numnodes; i++) {
			struct node *node = net->ports[i];
			__u64 now = 0;

			if (!node)
				continue;
			if (node->page) /* which may change at any moment */
				now = __atomic_load_n(&node->page->overrun, __ATOMIC_RELAXED);
			if (now > node->overrun && !silent)
				tell(c, &(struct event){ .net = net, .node = node },
				     IPN_WATCH_OVERRUN, now - node->overrun);
			node->overrun = now;
			if (!silent)
				holds_check(c, &held, node);
		}
	}
}

static int on_check(sd_event_source *source, uint64_t usec, void *arg)
{
	struct control *c = arg;

	(void)usec;
	overruns_check(c, false);
	if (!monitors(c))
		return 0; /* the last one has gone */
	sd_event_source_set_time_relative(source, CHECK_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int monitor_begin(struct control *c)
{
	if (monitors(c))
		return 0; /* it is under way */
	overruns_check(c, true);
	if (!c->overruns)
		return sd_event_add_time_relative(c->f->event, &c->overruns, CLOCK_MONOTONIC,
						  CHECK_US, 0, on_check, c);
	sd_event_source_set_time_relative(c->overruns, CHECK_US);
	return sd_event_source_set_enabled(c->overruns, SD_EVENT_ONESHOT);
}
