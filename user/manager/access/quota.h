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

#define QUOTA_SESSIONS 2048
#define QUOTA_NETS 64
#define QUOTA_NODES 1024
#define QUOTA_MONITORS 16          /* each costs something at every event */
#define QUOTA_MEMORY (512UL << 20) /* bytes of logs */

struct held_log;
struct user {
	uid_t uid;
	__u32 sessions;
	__u32 monitors;
	__u32 nets;
	__u32 nodes;
	size_t memory;
	__u64 used, used_at;   /* us of the manager's time, lately: control/session.c */
	struct held_log *held; /* logs that are held though their networks and ports are gone */
	__u32 nheld, reap_at;
	unsigned int closing; /* of its descriptors, under way: async_close.c; atomic */
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
/* May it hold so much more? root may. 0 or -EDQUOT. */
int user_may(struct users *users, struct user *u, __u32 nets, __u32 nodes, size_t memory,
	     struct errtext *e);
/*
 * The log at `index` of its map will be handed out no more; the user's memory goes down by `bytes`
 * as soon as nobody holds it. To be called before it is replaced.
 */
void user_log_gone(struct users *users, struct user *u, __u32 log_class, __u32 index, size_t bytes);

#endif
