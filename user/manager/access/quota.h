/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What each user holds of the fabric, and the most that a user without privilege may hold.
 *
 *	struct users   the registry; owned by the fabric
 *	struct user    one uid; owned by the registry until its end. Whoever takes something for a
 *	               user adds it to the counts here, and takes it off when it is gone
 */
#ifndef IPN_MANAGER_QUOTA_H
#define IPN_MANAGER_QUOTA_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/hash.h"

struct bpf_state;
struct errtext;

/*
 * What is counted. Each has a limit for one user and one for all users together; root has neither,
 * so what lies above the second is kept for root.
 */
enum quota {
	QUOTA_SESSIONS, /* control connections */
	QUOTA_MONITORS, /* of them; each costs something at every event */
	QUOTA_NETS,
	QUOTA_NODES,  /* ports in use */
	QUOTA_PLACES, /* ports that networks have room for */
	QUOTA_MEMORY, /* bytes of logs, tables of routers, AF_XDP memory */
	QUOTAS
};

/* The most of it for one user, for all of them; its word. */
size_t quota_each(enum quota q);
size_t quota_all(enum quota q);
const char *quota_word(enum quota q);

/*
 * Of the loop's time, in us. Who had much of it lately comes after those who had less: by rank. The
 * ranks are fine enough that a user with thousands of sessions, all of which ask at once, is passed
 * by others after a few ms.
 */
#define TIME_PERIOD_US 500000 /* half of `lately` is forgotten each time */
#define TIME_RANK_US 4000
struct user_time {
	__u64 lately;
	__u64 period, last; /* of this period, of the one before it */
	__u64 total;
	__u64 behind; /* requests that were served with a rank behind the first */
};

struct held_log;
struct work;
struct user {
	uid_t uid;
	size_t has[QUOTAS];
	struct user_time time;
	struct held_log *held; /* logs that are held though their networks and ports are gone */
	__u32 nheld, reap_at;
	/* work.c; under its lock */
	struct work *first_work, **last_work;
	unsigned int workers; /* threads */
	unsigned int closing; /* of its descriptors, under way; atomic */
	UT_hash_handle hh;
};

struct users;
/*
 * release: may the log of this node number, whose port has gone, be taken out of its map? If it
 * says yes, the log is taken out before the next call.
 */
int users_new(struct users **out, bool (*release)(void *arg, __u32 node), void *arg);
/* Whose maps hold the logs. Before this, none is counted. */
void users_set_bpf(struct users *users, struct bpf_state *bpf);
void users_free(struct users *users);

/* The user of a uid, made when it is new. NULL: no memory. */
struct user *user_get(struct users *users, uid_t uid);
/* May it have so much more of it? root may. 0 or -EDQUOT. */
int user_may(struct users *users, struct user *u, enum quota q, size_t more, struct errtext *e);
/* Counts that it has more, or less. */
void user_add(struct users *users, struct user *u, enum quota q, size_t more);
void user_sub(struct users *users, struct user *u, enum quota q, size_t less);
/* Calls fn for each user that has something. */
void users_each(struct users *users, void (*fn)(void *arg, const struct user *u), void *arg);
/* What all users but root have of it. */
size_t users_total(const struct users *users, enum quota q);

/* It had `us` of the loop's time until now. True: ranks may have changed, of others as well. */
bool user_charge(struct users *users, struct user *u, __u64 now, __u64 us);
/* 0: comes first. */
__s64 user_rank(const struct user *u);
/* What it has of 1000 parts of the loop's time. */
__u64 user_share(const struct user *u);

/*
 * May logs of `more` bytes that are not used any more be added to those that the user's processes
 * hold? As many again as a user may have are allowed.
 */
bool user_may_hold(struct users *users, struct user *u, size_t more);

/*
 * The log at `index` of its map will be handed out no more; the user's memory goes down by `bytes`
 * as soon as nobody holds it. To be called before it is replaced.
 */
void user_log_gone(struct users *users, struct user *u, __u32 log_class, __u32 index, size_t bytes);

#endif
