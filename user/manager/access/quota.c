// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Held logs. Whoever has the descriptor of a log holds its memory, also when its network or its
 * port has gone. It counts for the user who had it made until it is gone, or somebody could take
 * memory without end by making networks and leaving them.
 */
#include "manager/access/quota.h"

#include <bpf/bpf.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/kernel/bpf.h"

#define REAP_MIN 64
#define REAP_BATCH 32

struct held_log {
	struct held_log *next;
	__u32 id; /* the kernel's, of the map */
	__u32 log_class;
	__u32 index;
	size_t bytes;
};

struct users {
	struct user *by_uid;
	struct bpf_state *bpf;
	bool (*release)(void *arg, __u32 node);
	void *arg;
};

struct user *user_get(struct users *users, uid_t uid)
{
	struct user *u;

	HASH_FIND(hh, users->by_uid, &uid, sizeof(uid), u);
	if (u)
		return u;
	u = calloc(1, sizeof(*u));
	if (!u)
		return NULL;
	u->uid = uid;
	HASH_ADD(hh, users->by_uid, uid, sizeof(u->uid), u);
	return u;
}

static void held_reap(struct user *u)
{
	struct held_log **at = &u->held, *log;

	while ((log = *at)) {
		int fd = bpf_map_get_fd_by_id(log->id);

		if (fd >= 0 || errno != ENOENT) {
			if (fd >= 0)
				close(fd);
			at = &log->next;
			continue;
		}
		*at = log->next;
		u->nheld--;
		u->memory -= log->bytes;
		free(log);
	}
	u->reap_at = u->nheld < REAP_MIN / 2 ? REAP_MIN : 2 * u->nheld;
}

/* Lets go of those that only stand in their map, until their number is used again. */
static void held_release(struct users *users, struct user *u)
{
	for (__u32 c = 0; c < IPN_LOG_CLASSES; c++) {
		__u32 ids[REAP_BATCH], n = 0;

		for (struct held_log *log = u->held; log; log = log->next) {
			__u32 node = log->index - IPN_MAX_NETS;

			if (log->log_class != c || log->index < IPN_MAX_NETS ||
			    !users->release(users->arg, node))
				continue;
			ids[n++] = node;
			if (n == REAP_BATCH) {
				bpf_node_logs_clear(users->bpf, c, ids, n);
				n = 0;
			}
		}
		if (n)
			bpf_node_logs_clear(users->bpf, c, ids, n);
	}
}

void user_log_gone(struct users *users, struct user *u, __u32 log_class, __u32 index, size_t bytes)
{
	struct held_log *log;
	__u32 id;

	if (u->uid == 0 || bpf_map_lookup_elem(users->bpf->fd_logs[log_class], &index, &id)) {
		u->memory -= bytes;
		return;
	}
	log = malloc(sizeof(*log));
	if (!log) {
		u->memory -= bytes;
		return;
	}
	*log = (struct held_log){ u->held, id, log_class, index, bytes };
	u->held = log;
	if (++u->nheld >= u->reap_at)
		held_reap(u);
}

void users_set_bpf(struct users *users, struct bpf_state *bpf)
{
	users->bpf = bpf;
}

int users_new(struct users **out, bool (*release)(void *arg, __u32 node), void *arg)
{
	struct users *users = calloc(1, sizeof(*users));

	if (!users)
		return -ENOMEM;
	users->release = release;
	users->arg = arg;
	*out = users;
	return 0;
}

void users_free(struct users *users)
{
	struct user *u, *tmp;

	if (!users)
		return;
	HASH_ITER(hh, users->by_uid, u, tmp) {
		HASH_DEL(users->by_uid, u);
		while (u->held) {
			struct held_log *log = u->held;

			u->held = log->next;
			free(log);
		}
		free(u);
	}
	free(users);
}

int user_may(struct users *users, struct user *u, __u32 nets, __u32 nodes, size_t memory,
	     struct errtext *e)
{
	if (u->uid == 0)
		return 0;
	if (u->nets + nets > QUOTA_NETS)
		return err_text(e, -EDQUOT, "uid %u has %u networks, the most a user may have",
				u->uid, u->nets);
	if (u->nodes + nodes > QUOTA_NODES)
		return err_text(e, -EDQUOT, "uid %u has %u ports, the most a user may have", u->uid,
				u->nodes);
	if (u->memory + memory > QUOTA_MEMORY) {
		held_reap(u);
		if (u->memory + memory > QUOTA_MEMORY) {
			held_release(users, u);
			held_reap(u);
		}
	}
	if (u->memory + memory > QUOTA_MEMORY)
		return err_text(e, -EDQUOT,
				"uid %u would hold %zu MiB of messages, the most a user may is %lu "
				"(choose a smaller pool or MTU; what readers of networks that have "
				"ended keep open counts, too)",
				u->uid, (u->memory + memory) >> 20, QUOTA_MEMORY >> 20);
	return 0;
}
