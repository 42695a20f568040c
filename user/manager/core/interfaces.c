// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/core/interfaces.h"

#include "common/log.h"
#include "common/util.h"
#include "manager/core/node.h"
#include "manager/core/objects.h"
#include "manager/core/port_kind.h"
#include "manager/kernel/bpf.h"
#include "manager/kernel/link.h"

#define ORPHAN_US 500000

/* Those that cannot be removed now are orphans again. */
static void orphans_end(struct fabric *f, __u32 n)
{
	__u32 orphans[ARRAY_SIZE(f->orphans)];

	f->norphans -= n;
	memcpy(orphans, f->orphans + f->norphans, n * sizeof(*orphans));
	batch_delete_begin(f);
	while (n)
		interface_end(f, orphans[--n], false);
	batch_delete_end(f);
}

/* Some at a time, as removing one takes up to a millisecond. */
static int on_orphans(sd_event_source *source, uint64_t usec, void *arg)
{
	struct fabric *f = arg;
	bool more = f->norphans > INTERFACES_TURN;

	(void)usec;
	orphans_end(f, more ? INTERFACES_TURN : f->norphans);
	if (!f->norphans)
		return 0;
	sd_event_source_set_time_relative(source, more ? 0 : ORPHAN_US);
	return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Is to be removed, later. false: there is no room, or no loop. */
static bool orphan_add(struct fabric *f, __u32 ifindex)
{
	if (!f->event || f->norphans == ARRAY_SIZE(f->orphans))
		return false;
	f->orphans[f->norphans++] = ifindex;
	if (!f->orphan_timer)
		return sd_event_add_time_relative(f->event, &f->orphan_timer, CLOCK_MONOTONIC,
						  ORPHAN_US, ORPHAN_US / 4, on_orphans, f) >= 0;
	if (f->norphans == 1) {
		sd_event_source_set_time_relative(f->orphan_timer, ORPHAN_US);
		sd_event_source_set_enabled(f->orphan_timer, SD_EVENT_ONESHOT);
	}
	return true;
}

/* If it cannot be removed, as there is no memory to say so to the kernel, it is tried again. */
static void interface_remove(struct fabric *f, __u32 ifindex)
{
	int r = link_del(f->link, ifindex);

	if (r && r != -ENODEV && !orphan_add(f, ifindex))
		log_err("cannot remove interface %u: %s", ifindex, strerror(-r));
	bpf_detach(f->bpf, ifindex);
}

void interfaces_orphans_end(struct fabric *f)
{
	orphans_end(f, f->norphans);
}

__u32 batch_delete_group(const struct fabric *f)
{
	return (f->bpf->abi.group & 0x00ffffff) | 0x4a000000;
}

void batch_delete_begin(struct fabric *f)
{
	f->batch_delete = true;
}

void batch_delete_end(struct fabric *f)
{
	int r = f->batch_count ? link_del_group(f->link, batch_delete_group(f)) : 0;

	f->batch_delete = false;
	while (f->batch_count) {
		__u32 ifindex = f->batch[--f->batch_count];

		if (r && r != -ENODEV)
			interface_remove(f, ifindex);
		else
			bpf_detach(f->bpf, ifindex);
	}
}

void interface_end(struct fabric *f, __u32 ifindex, bool by_itself)
{
	if (by_itself)
		bpf_detach(f->bpf, ifindex); /* what it may still write goes nowhere: clsact */
	if (by_itself && orphan_add(f, ifindex))
		return;
	if (f->batch_delete && f->batch_count < ARRAY_SIZE(f->batch) &&
	    !link_set_group(f->link, ifindex, batch_delete_group(f))) {
		f->batch[f->batch_count++] = ifindex;
		return;
	}
	interface_remove(f, ifindex);
}

/* It went by itself: its number may be given to another interface. */
static void orphan_gone(struct fabric *f, __u32 ifindex)
{
	for (__u32 i = 0; i < f->norphans; i++)
		if (f->orphans[i] == ifindex)
			f->orphans[i--] = f->orphans[--f->norphans];
}

static void link_changed(struct fabric *f, struct node *node, const struct link_info *info)
{
	struct link_info now;

	if (node->kind->flags & KIND_TAP_LIFE) {
		/* old news may be queued: ask how it is now */
		if (!info->running && !link_get(f->link, node->ifindex, &now) && !now.running)
			node_del(node, 0, false);
		return;
	}
	node_link_state(node, info);
}

void interface_event(const struct link_info *info, bool gone, void *arg)
{
	struct fabric *f = arg;
	struct node *node;

	if (gone)
		orphan_gone(f, info->ifindex);
	HASH_FIND(hh, f->nodes, &info->ifindex, sizeof(info->ifindex), node);
	if (!node)
		return;
	if (gone)
		node_del(node, ENODEV, true);
	else
		link_changed(f, node, info);
}

void interfaces_check(struct fabric *f)
{
	/* by number: with one node others may go */
	for (__u32 i = 0; i < IPN_MAX_NODES; i++) {
		struct node *node = f->node_by_id[i];
		struct link_info info;
		int r;

		if (!node || (node->kind->flags & KIND_NO_LINK))
			continue;
		r = link_get(f->link, node->ifindex, &info);
		if (r == -ENODEV)
			node_del(node, ENODEV, true);
		else if (!r)
			link_changed(f, node, &info);
	}
}
