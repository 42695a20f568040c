// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/core/counts.h"

#include "manager/core/events.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/kernel/bpf.h"

/* Rings those who want to know of new counts, all at once: many may come and go in one turn. */
static int on_counts(sd_event_source *source, void *arg)
{
	struct fabric *f = arg;

	(void)source;
	for (__u32 id = 0; id < IPN_MAX_NETS; id++) {
		struct net *net = f->net_by_id[id];

		if (!net || !net->counts_new)
			continue;
		net->counts_new = false;
		for (__u32 i = 0; i < net->info.numnodes; i++) {
			struct node *n = net->ports[i];

			if (n && n->page && __atomic_load_n(&n->page->want, __ATOMIC_SEQ_CST))
				bpf_notify(f->bpf, n->in.node, IPN_EVENT_WAKE, 0);
		}
	}
	return 0;
}

/*
 * Writes the counts into the pages of all processes, at once: who sees a message of a new node must
 * see the counts with it. Bells can wait for the end of the turn. Should the manager die before
 * that, the next one rings them. readers, writers: as they were before.
 */
static void counts_tell(struct net *net, __u32 readers, __u32 writers)
{
	struct fabric *f = net->f;

	for (__u32 i = 0; i < net->info.numnodes; i++) {
		struct node *n = net->ports[i];
		__u64 old;

		if (!n || !n->page)
			continue;
		old = __atomic_load_n(&n->page->counts, __ATOMIC_RELAXED);
		if (old && IPN_COUNTS_READERS(old) == net->readers &&
		    IPN_COUNTS_WRITERS(old) == net->writers)
			continue;
		__atomic_store_n(&n->page->counts,
				 IPN_COUNTS(IPN_COUNTS_NUMBER(old) + 1, net->readers, net->writers),
				 __ATOMIC_SEQ_CST);
		net->counts_new = true;
	}
	if (net->readers != readers || net->writers != writers)
		event_emit(f, &(struct event){ .type = EVENT_COUNTS, .net = net });
	if (!net->counts_new)
		return;
	if (!f->event) {
		on_counts(NULL, f);
		return;
	}
	if (!f->counts && sd_event_add_defer(f->event, &f->counts, on_counts, f) < 0) {
		on_counts(NULL, f);
		return;
	}
	sd_event_source_set_enabled(f->counts, SD_EVENT_ONESHOT);
}

void net_count(struct net *net)
{
	__u32 process_readers = 0, readers = net->readers, writers = net->writers;
	__u32 paired = 0, devices = 0, socks = 0;

	net->readers = net->writers = net->nports = 0;
	for (__u32 i = 0; i < net->info.numnodes; i++) {
		struct node *n = net->ports[i];

		if (!n)
			continue;
		net->nports++;
		net->readers += !!(n->in.flags & IPN_PF_READER);
		net->writers += !!(n->in.flags & IPN_PF_WRITER);
		paired += !!(n->kind->flags & KIND_PAIRED);
		devices += (n->kind->flags & (KIND_DEVICE | KIND_PAIRED)) == KIND_DEVICE;
		process_readers += (n->kind->flags & KIND_MESSAGES) &&
				   (n->in.flags & IPN_PF_READER);
		socks += !!(n->kind->flags & KIND_NO_LINK);
	}
	/* while ports are taken over, the old number is right and this one is not yet */
	if (net->f->adopting)
		return;
	/* see xdp_up_flood: whoever sees cables must see devices, too */
	__atomic_store_n(&net->f->bpf->net_fast[net->id].devices, devices, __ATOMIC_RELEASE);
	__atomic_store_n(&net->f->bpf->net_fast[net->id].cables, paired, __ATOMIC_RELEASE);
	__atomic_store_n(&net->f->bpf->net_fast[net->id].readers, process_readers,
			 __ATOMIC_SEQ_CST);
	__atomic_store_n(&net->f->bpf->net_fast[net->id].socks, socks, __ATOMIC_SEQ_CST);
	counts_tell(net, readers, writers);
}
