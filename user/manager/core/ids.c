// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/core/ids.h"

#include "common/log.h"
#include "common/util.h"
#include "manager/core/logs.h"
#include "manager/core/net.h"
#include "manager/core/objects.h"
#include "manager/kernel/bpf.h"

#define FRESH_LOW 16 /* refill below this */
#define FRESH_BATCH 32
#define PREPARED_LOG_MAX (1UL << 20) /* bytes of one log */

/* Frees the memory of logs that were handed out, but for those that are replaced anyway. */
static int logs_clear(struct fabric *f, const __u32 *ids, __u32 n)
{
	__u32 clear[FRESH_BATCH], count;
	int r;

	for (__u32 c = 0; c < IPN_LOG_CLASSES; c++) {
		count = 0;
		for (__u32 i = 0; i < n; i++)
			if (f->id_log[ids[i]].slots && f->id_log[ids[i]].log_class == c)
				clear[count++] = IPN_LOG_OF_NODE(ids[i]);
		if (!count || (f->want_log.slots && f->want_log.log_class == c))
			continue;
		r = bpf_logs_clear(f->bpf, c, clear, count);
		if (r)
			return r;
	}
	return 0;
}

/* Makes up to FRESH_BATCH stale numbers fresh, with the kind of log that was last asked for. */
int ids_refill(struct fabric *f)
{
	struct node_log log = f->want_log;
	__u32 ids[FRESH_BATCH], n = 0;
	int r;

	for (__u32 i = 0; i < IPN_MAX_NODES && f->ids_fresh + n < FRESH_BATCH; i++)
		if (f->id_state[i] == ID_STALE)
			ids[n++] = i;
	if (!n)
		return 0;
	r = logs_clear(f, ids, n);
	if (!r)
		r = bpf_nodes_fresh(f->bpf, ids, n);
	if (!r && log.slots)
		r = bpf_node_logs_fresh(f->bpf, log.log_class, log.slots, ids, n);
	if (r)
		return r;
	log.unused = true;
	for (__u32 i = 0; i < n; i++) {
		f->id_state[ids[i]] = ID_FRESH;
		f->id_log[ids[i]] = log;
	}
	f->ids_fresh += n;
	return 0;
}

static int on_refill(sd_event_source *source, void *arg)
{
	struct fabric *f = arg;
	int r = ids_refill(f);

	(void)source;
	if (r)
		log_warning("cannot prepare ports ahead: %s", strerror(-r));
	return 0;
}

static void refill_later(struct fabric *f)
{
	if (!f->event || f->ids_fresh >= FRESH_LOW)
		return;
	if (!f->refill) {
		if (sd_event_add_defer(f->event, &f->refill, on_refill, f) < 0)
			return;
		sd_event_source_set_priority(f->refill, SD_EVENT_PRIORITY_IDLE);
	}
	sd_event_source_set_enabled(f->refill, SD_EVENT_ONESHOT);
}

int id_take(struct fabric *f, __u32 *id)
{
	if (!f->ids_fresh) {
		int r = ids_refill(f);

		if (r)
			return r;
	}
	for (__u32 i = 0; i < IPN_MAX_NODES; i++) {
		if (f->id_state[i] == ID_FRESH) {
			f->id_state[i] = ID_USED;
			f->ids_fresh--;
			refill_later(f);
			*id = i;
			return 0;
		}
	}
	return -ENOSPC;
}

void id_drop(struct fabric *f, __u32 id)
{
	f->id_state[id] = ID_STALE;
	refill_later(f);
}

int id_log_get(struct node *node, int *fd)
{
	struct net *net = node->net;
	struct fabric *f = net->f;
	struct node_log *at = &f->id_log[node->in.node];
	const __u32 index = IPN_LOG_OF_NODE(node->in.node);
	struct node_log log = { .slots = net->slots, .log_class = net->log_class };
	int r;

	if (log_bytes(log.log_class, log.slots) <= PREPARED_LOG_MAX)
		f->want_log = log;
	if (at->unused && at->slots == log.slots && at->log_class == log.log_class) {
		at->unused = false;
		*fd = bpf_inner_get(f->bpf->fd_logs[log.log_class], index);
		return *fd < 0 ? *fd : 0;
	}
	*fd = log_new(f, log.log_class, log.slots);
	if (*fd < 0)
		return *fd;
	r = bpf_log_set(f->bpf, log.log_class, index, *fd);
	if (!r)
		*at = log;
	return r;
}

bool id_log_release(void *arg, __u32 id)
{
	struct fabric *f = arg;

	if (f->id_state[id] != ID_STALE || !f->id_log[id].slots)
		return false;
	f->id_log[id].slots = 0;
	return true;
}
