// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Maps in maps.
 *
 * The kernel answers a change of a map of maps only after a grace period, 8 to 20 ms, though the
 * change is seen at once. The manager's loop does not need that wait: a thread makes the call, and
 * the loop goes on as soon as the map shows what was stored. Each thread has one call at a time.
 * When all are waiting, or none can be started, the loop makes the call itself.
 *
 * Owner: a change belongs to both, the thread and the loop; who is done with it last frees it.
 * What the descriptors mean, the kernel holds itself by the time that the change is seen.
 */
#include <bpf/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "common/util.h"
#include "manager/kernel/bpf.h"

#define THREADS 16
#define STACK_SIZE 65536
#define CLEAR_TRIES 3
#define YIELDS 50
#define STEP_US 50

struct change {
	struct change *next;
	int outer;
	bool del;
	int result;
	int users; /* atomic */
	bool done; /* atomic */
	__u32 n;
	int *fds;
	__u32 index[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static struct change *queue; /* no more of them than `idle` threads */
static unsigned int threads, idle;

int bpf_row_clear(int fd, __u32 at, const void *none)
{
	int r = 0;

	for (int i = 0; i < CLEAR_TRIES; i++) {
		r = bpf_map_update_elem(fd, &at, none, BPF_ANY) ? -errno : 0;
		if (!r)
			break;
	}
	return r;
}

int bpf_inner_get(int outer, __u32 index)
{
	__u32 id;
	int fd;

	if (bpf_map_lookup_elem(outer, &index, &id))
		return -errno;
	fd = bpf_map_get_fd_by_id(id);
	return fd < 0 ? -errno : fd;
}

/* Many at the price of one grace period; one by one where the kernel cannot. */
int bpf_inner_set_wait(int outer, const __u32 *index, const int *fds, __u32 n)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	__u32 count = n;

	if (n > 1 && !bpf_map_update_batch(outer, index, fds, &count, &opts))
		return 0;
	for (__u32 i = 0; i < n; i++)
		if (bpf_map_update_elem(outer, &index[i], &fds[i], BPF_ANY))
			return -errno;
	return 0;
}

static int make(const struct change *c)
{
	if (c->del)
		return bpf_map_delete_elem(c->outer, c->index) ? -errno : 0;
	return bpf_inner_set_wait(c->outer, c->index, c->fds, c->n);
}

static void let_go(struct change *c)
{
	if (!__atomic_sub_fetch(&c->users, 1, __ATOMIC_ACQ_REL))
		free(c);
}

static void *work(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&lock);
	for (;;) {
		struct change *c;

		while (!queue)
			pthread_cond_wait(&more, &lock);
		c = queue;
		queue = c->next;
		pthread_mutex_unlock(&lock);
		c->result = make(c);
		__atomic_store_n(&c->done, true, __ATOMIC_RELEASE);
		let_go(c);
		pthread_mutex_lock(&lock);
		idle++;
	}
	return NULL;
}

/* The lock is held. Signals are the loop's. */
static void thread_start(void)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;

	if (threads == THREADS || pthread_attr_init(&attr))
		return;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	if (!pthread_create(&thread, &attr, work, NULL)) {
		threads++;
		idle++;
	}
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static bool hand_over(struct change *c)
{
	bool taken;

	pthread_mutex_lock(&lock);
	if (!idle)
		thread_start();
	taken = idle;
	if (taken) {
		idle--;
		c->next = queue;
		queue = c;
		pthread_cond_signal(&more);
	}
	pthread_mutex_unlock(&lock);
	return taken;
}

/* The last one: they are made in their order. */
static bool seen(const struct change *c, __u32 id)
{
	__u32 now;

	if (bpf_map_lookup_elem(c->outer, &c->index[c->n - 1], &now))
		return c->del && errno == ENOENT;
	return !c->del && now == id;
}

static int change(struct change *c)
{
	struct bpf_map_info info = { 0 };
	__u32 len = sizeof(info);
	int r = 0;

	c->users = 2;
	if ((!c->del && bpf_obj_get_info_by_fd(c->fds[c->n - 1], &info, &len)) ||
	    seen(c, info.id) || !hand_over(c)) {
		r = make(c);
		free(c);
		return r;
	}
	for (unsigned int i = 0; !seen(c, info.id); i++) {
		if (__atomic_load_n(&c->done, __ATOMIC_ACQUIRE)) {
			r = c->result;
			break;
		}
		if (i < YIELDS)
			sched_yield();
		else
			usleep(STEP_US);
	}
	let_go(c);
	return r;
}

int bpf_inner_set_many(int outer, const __u32 *index, const int *fds, __u32 n)
{
	struct change *c = calloc(1, sizeof(*c) + n * (sizeof(*index) + sizeof(*fds)));

	if (!c)
		return -ENOMEM;
	c->outer = outer;
	c->n = n;
	c->fds = (int *)(c->index + n);
	memcpy(c->index, index, n * sizeof(*index));
	memcpy(c->fds, fds, n * sizeof(*fds));
	return change(c);
}

int bpf_inner_set(int outer, __u32 index, int fd)
{
	return bpf_inner_set_many(outer, &index, &fd, 1);
}

int bpf_inner_del(int outer, __u32 index)
{
	struct change *c;
	__u32 id;

	/* nothing is there: no change, and nothing to wait for */
	if (bpf_map_lookup_elem(outer, &index, &id) && errno == ENOENT)
		return -ENOENT;
	c = calloc(1, sizeof(*c) + sizeof(index));
	if (!c)
		return -ENOMEM;
	c->outer = outer;
	c->del = true;
	c->n = 1;
	c->index[0] = index;
	return change(c);
}

int bpf_programs_wait(int outer, __u32 index, int fd)
{
	return bpf_map_update_elem(outer, &index, &fd, BPF_ANY) ? -errno : 0;
}
