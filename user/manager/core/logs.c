// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/core/logs.h"

#include <errno.h>
#include <ipn/abi.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/access/quota.h"
#include "manager/core/objects.h"
#include "manager/kernel/bpf.h"

#define QUICK (4UL << 20) /* bytes that the loop makes itself, in some ms */

size_t log_bytes(__u32 log_class, __u32 slots)
{
	return (size_t)ipn_slot_size(log_class) * (slots + 1);
}

static bool ready(const struct fabric *f, __u32 log_class, __u32 slots)
{
	return f->log_ready && f->log_ready->log_class == log_class && f->log_ready->slots == slots;
}

int log_ask(struct fabric *f, __u32 log_class, __u32 slots)
{
	if (!f->log_waits || log_bytes(log_class, slots) <= QUICK || ready(f, log_class, slots))
		return 0;
	f->log_wanted = (struct node_log){ .slots = slots, .log_class = (__u8)log_class };
	return LOG_LATER;
}

int log_new(struct fabric *f, __u32 log_class, __u32 slots)
{
	int fd;

	if (!ready(f, log_class, slots))
		return bpf_log_new(log_class, slots);
	fd = f->log_ready->fd;
	f->log_ready->fd = -ENOENT;
	f->log_ready = NULL;
	return fd;
}

static void log_run(struct work *w)
{
	struct log_job *job = (struct log_job *)w;

	job->fd = bpf_log_new(job->log_class, job->slots);
}

static void log_done(struct work *w)
{
	struct log_job *job = (struct log_job *)w;

	user_sub(job->f->users, job->user, QUOTA_MEMORY, log_bytes(job->log_class, job->slots));
	job->done(job);
}

int log_begin(struct fabric *f, struct user *u, struct log_job *job)
{
	size_t bytes = log_bytes(f->log_wanted.log_class, f->log_wanted.slots);
	struct errtext e;
	int r = user_may(f->users, u, QUOTA_MEMORY, bytes, &e);

	if (r)
		return r;
	job->work = (struct work){ .heavy = true, .run = log_run, .done = log_done };
	job->f = f;
	job->user = u;
	job->log_class = f->log_wanted.log_class;
	job->slots = f->log_wanted.slots;
	if (!work_start(f->works, u, &job->work, false))
		return -EAGAIN;
	user_add(f->users, u, QUOTA_MEMORY, bytes);
	return 0;
}
