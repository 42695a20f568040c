// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Monitors: who is told of joins, leaves, counts, overruns and policies as they happen.
 *
 * A monitor is a session that has asked for it. Events are composed only while there is one, and
 * sent without waiting: a monitor that does not read them loses some, and is told how many.
 * Overruns are known to the readers alone, who write them into their pages, so they are looked for
 * once a second.
 */
#include <time.h>

#include "core.h"

#define CHECK_US 1000000

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (__u64)ts.tv_sec * 1000000000ULL + (__u64)ts.tv_nsec;
}

static void tell(struct manager *m, struct net *net, struct node *node, __u32 what, __u64 count)
{
	struct ipn_ctl_event event = { .what = what, .count = count };

	if (!m->overruns)
		return; /* there never was a monitor */
	event.time = now_ns();
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
	session_tell(m, net, &event);
}

void monitor_tell(struct manager *m, struct net *net, struct node *node, __u32 what)
{
	tell(m, net, node, what, 0);
}

void monitor_policy(struct manager *m, const struct policy *p, __u32 what)
{
	struct ipn_ctl_event event = { .what = what, .port = p->number };

	if (!m->overruns)
		return;
	event.time = now_ns();
	memcpy(event.name, p->name, sizeof(event.name));
	session_tell(m, NULL, &event);
}

void monitor_refused(struct net *net, enum ipn_kind kind, __u32 uid, int err)
{
	const struct policy *p = net->m->policies[net->info.policy];
	struct ipn_ctl_event event = {
		.what = IPN_WATCH_REFUSED, .kind = kind, .uid = uid, .count = (__u64)err
	};

	if (!net->m->overruns)
		return;
	event.time = now_ns();
	memcpy(event.path, net->info.path, sizeof(event.path));
	memcpy(event.name, p->name, sizeof(event.name));
	session_tell(net->m, net, &event);
}

/* Network by network: what a monitor may see is judged once for each. */
static void look(struct manager *m, bool silent)
{
	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		struct net *net = m->net_by_id[id];

		for (__u32 i = 0; net && i < net->info.numnodes; i++) {
			struct node *node = net->ports[i];
			__u64 now = 0;

			if (!node)
				continue;
			if (node->page) /* which may change at any moment */
				now = __atomic_load_n(&node->page->overrun, __ATOMIC_RELAXED);
			if (now > node->overrun && !silent)
				tell(m, net, node, IPN_WATCH_OVERRUN, now - node->overrun);
			node->overrun = now;
		}
	}
}

static int on_check(sd_event_source *source, uint64_t usec, void *arg)
{
	struct manager *m = arg;

	(void)usec;
	look(m, false);
	if (!session_tell(m, NULL, NULL))
		return 0; /* the last one has gone: no more looks */
	sd_event_source_set_time_relative(source, CHECK_US);
	sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
	return 0;
}

int monitor_begin(struct manager *m)
{
	if (session_tell(m, NULL, NULL))
		return 0; /* looks are under way */
	look(m, true);
	if (!m->overruns)
		return sd_event_add_time_relative(m->event, &m->overruns, CLOCK_MONOTONIC, CHECK_US,
						  0, on_check, m);
	sd_event_source_set_time_relative(m->overruns, CHECK_US);
	return sd_event_source_set_enabled(m->overruns, SD_EVENT_ONESHOT);
}
