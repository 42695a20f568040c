// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Held logs. Whoever has the descriptor of a log holds its memory, also when its network or its
 * port has gone. It counts for the user who had it made until it is gone, or somebody could take
 * memory without end by making networks and leaving them.
 */
#include "manager/access/quota.h"

#include <bpf/bpf.h>
#include <sys/resource.h>

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
	size_t all[QUOTAS]; /* of all but root */
	__u64 period_at;    /* when it began, us */
	struct bpf_state *bpf;
	bool (*release)(void *arg, __u32 node);
	void *arg;
};

/*
 * Of one user, and of all users together; what is above that is kept for root. all 0: a share of
 * what the machine has (quota_all).
 */
static const struct {
	const char *word;
	size_t each, all;
} limits[QUOTAS] = {
	[QUOTA_SESSIONS] = { "sessions", 2048, 0 },
	[QUOTA_MONITORS] = { "monitors", 16, 256 },
	[QUOTA_NETS] = { "networks", 64, IPN_MAX_NETS - 32 },
	[QUOTA_NODES] = { "ports", 1024, IPN_MAX_NODES - 512 },
	[QUOTA_PLACES] = { "places", IPN_MAX_PORTS / 4, IPN_MAX_PORTS - IPN_MAX_PORTS / 8 },
	[QUOTA_MEMORY] = { "memory", 512UL << 20, 0 },
};

/* seccomp: manager: prlimit64 */

static size_t files_limit(void)
{
	struct rlimit files;

	return getrlimit(RLIMIT_NOFILE, &files) ? 1024 : files.rlim_cur;
}

size_t quota_each(enum quota q)
{
	return limits[q].each < quota_all(q) ? limits[q].each : quota_all(q);
}

size_t quota_all(enum quota q)
{
	static size_t memory;

	/* half of the descriptors, two for each: ports and networks need some, too */
	if (q == QUOTA_SESSIONS)
		return files_limit() / 4;
	if (q != QUOTA_MEMORY)
		return limits[q].all;
	if (!memory)
		memory = (size_t)sysconf(_SC_PHYS_PAGES) / 2 * (size_t)sysconf(_SC_PAGESIZE);
	return memory;
}

const char *quota_word(enum quota q)
{
	return limits[q].word;
}

void user_add(struct users *users, struct user *u, enum quota q, size_t more)
{
	u->has[q] += more;
	if (u->uid)
		users->all[q] += more;
}

void user_sub(struct users *users, struct user *u, enum quota q, size_t less)
{
	u->has[q] -= less;
	if (u->uid)
		users->all[q] -= less;
}

size_t users_total(const struct users *users, enum quota q)
{
	return users->all[q];
}

void users_each(struct users *users, void (*fn)(void *arg, const struct user *u), void *arg)
{
	struct user *u, *tmp;

	HASH_ITER(hh, users->by_uid, u, tmp) {
		bool has = __atomic_load_n(&u->closing, __ATOMIC_RELAXED) || u->time.total;

		for (enum quota q = 0; q < QUOTAS; q++)
			has |= u->has[q] != 0;
		if (has)
			fn(arg, u);
	}
}

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
	u->last_work = &u->first_work;
	HASH_ADD(hh, users->by_uid, uid, sizeof(u->uid), u);
	return u;
}

/* --- time --- */

__s64 user_rank(const struct user *u)
{
	return (__s64)(u->time.lately / TIME_RANK_US);
}

__u64 user_share(const struct user *u)
{
	return u->time.last * 1000 / TIME_PERIOD_US;
}

/* Everybody's, also of who asks for nothing now: or he would be the last for what he did once. */
static void times_forget(struct users *users, __u64 periods)
{
	struct user *u, *tmp;

	HASH_ITER(hh, users->by_uid, u, tmp) {
		u->time.last = periods == 1 ? u->time.period : 0;
		u->time.period = 0;
		u->time.lately = periods < 32 ? u->time.lately >> periods : 0;
	}
}

bool user_charge(struct users *users, struct user *u, __u64 now, __u64 us)
{
	__u64 periods = (now - users->period_at) / TIME_PERIOD_US;
	__s64 rank = user_rank(u);

	u->time.behind += rank > 0;
	u->time.lately += us;
	u->time.period += us;
	u->time.total += us;
	if (periods) {
		times_forget(users, periods);
		users->period_at += periods * TIME_PERIOD_US;
	}
	return periods || user_rank(u) != rank;
}

/* --- held logs --- */

static void held_reap(struct users *users, struct user *u)
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
		user_sub(users, u, QUOTA_MEMORY, log->bytes);
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
			    node >= IPN_MAX_NODES || !users->release(users->arg, node))
				continue;
			ids[n++] = log->index;
			if (n == REAP_BATCH) {
				bpf_logs_clear(users->bpf, c, ids, n);
				n = 0;
			}
		}
		if (n)
			bpf_logs_clear(users->bpf, c, ids, n);
	}
}

void user_log_gone(struct users *users, struct user *u, __u32 log_class, __u32 index, size_t bytes)
{
	struct held_log *log;
	__u32 id;

	if (u->uid == 0 || bpf_map_lookup_elem(users->bpf->fd_logs[log_class], &index, &id)) {
		user_sub(users, u, QUOTA_MEMORY, bytes);
		return;
	}
	log = malloc(sizeof(*log));
	if (!log) {
		user_sub(users, u, QUOTA_MEMORY, bytes);
		return;
	}
	*log = (struct held_log){ u->held, id, log_class, index, bytes };
	u->held = log;
	if (++u->nheld >= u->reap_at)
		held_reap(users, u);
}

bool user_may_hold(struct users *users, struct user *u, size_t more)
{
	size_t held = 0;

	if (u->uid == 0)
		return true;
	held_reap(users, u);
	for (const struct held_log *log = u->held; log; log = log->next)
		held += log->bytes;
	return held + more <= quota_each(QUOTA_MEMORY);
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

/* Why it may not: its own limit, or that of all. NULL: it may. */
static const char *over(const struct users *users, const struct user *u, enum quota q, size_t more)
{
	if (u->has[q] + more > quota_each(q))
		return "a user";
	return users->all[q] + more > quota_all(q) ? "all users together" : NULL;
}

int user_may(struct users *users, struct user *u, enum quota q, size_t more, struct errtext *e)
{
	const char *who;
	size_t has, most;

	if (u->uid == 0)
		return 0;
	who = over(users, u, q, more);
	if (who && q == QUOTA_MEMORY) {
		held_reap(users, u);
		who = over(users, u, q, more);
	}
	if (who && q == QUOTA_MEMORY) {
		held_release(users, u);
		held_reap(users, u);
		who = over(users, u, q, more);
	}
	if (!who)
		return 0;
	has = u->has[q] + more > quota_each(q) ? u->has[q] : users->all[q];
	most = u->has[q] + more > quota_each(q) ? quota_each(q) : quota_all(q);
	if (q != QUOTA_MEMORY)
		return err_text(
			e, -EDQUOT,
			"uid %u asks for %zu %s more: %s may have %zu, and %zu are taken (see: "
			"ipn-fabric quota show)",
			u->uid, more, limits[q].word, who, most, has);
	return err_text(
		e, -EDQUOT,
		"uid %u asks for %zu MiB of messages more: %s may have %zu, and %zu are taken "
		"(choose a smaller pool or MTU; what readers of networks that have ended keep "
		"open counts, too; see: ipn-fabric quota show)",
		u->uid, more >> 20, who, most >> 20, has >> 20);
}
