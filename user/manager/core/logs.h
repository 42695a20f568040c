/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The logs of networks and ports. To make a big one takes up to some 100 ms, for its memory must be
 * zeros: a thread does it for who can wait, and he asks for what he wanted once more, when it is
 * there.
 */
#ifndef IPN_MANAGER_LOGS_H
#define IPN_MANAGER_LOGS_H

#include <linux/types.h>
#include <stddef.h>

#include "manager/access/work.h"

struct fabric;
struct user;

#define LOG_LATER (-EINPROGRESS)

/* A log that is being made. Its memory counts for the user until it is told. */
struct log_job {
	struct work work;
	struct fabric *f;
	struct user *user;
	__u32 log_class, slots;
	int fd; /* or -errno */
	void (*done)(struct log_job *job);
};

size_t log_bytes(__u32 log_class, __u32 slots);
/*
 * To be called before anything is changed for a log of this size. LOG_LATER: who asks can wait, and
 * has to; fabric.log_wanted says for what.
 */
int log_ask(struct fabric *f, __u32 log_class, __u32 slots);
/* A new log: the one that was made for it, else made now. Its descriptor, or -errno. */
int log_new(struct fabric *f, __u32 log_class, __u32 slots);
/* Makes the log that is wanted; job->done: in the loop. -EDQUOT, -EAGAIN: it is not begun. */
int log_begin(struct fabric *f, struct user *u, struct log_job *job);

#endif
