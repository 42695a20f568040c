// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Threads that do what would hold the loop up: close what a client opened, make big maps.
 *
 * Each user has a queue and threads of its own, which end when it is empty. So what one user's work
 * holds up is that user's, and nobody else's: least of all root's. All that a thread knows of the
 * manager is struct user, and what it is done with stands in a list, of which the loop hears by an
 * eventfd.
 *
 * Heavy work is done by one thread at a time: the kernel may not take a CPU away from who zeroes
 * memory, and the loop needs one. Threads stand in a line for it, and behind all others again with
 * the next, so users take turns.
 *
 * Failure: without threads work waits, or is not taken: its owner chooses. A thread that something
 * never lets go ends with the process.
 */
#include "manager/access/work.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "common/log.h"
#include "common/util.h"
#include "manager/access/quota.h"

#define THREADS_ALL 4096 /* what the machine must bear; of their stacks they touch little */
#define THREADS_USER 2
#define THREADS_ROOT 32
#define STACK_SIZE 131072

struct works {
	pthread_mutex_t lock;
	unsigned int threads;
	unsigned int ticket, turn; /* for heavy work */
	pthread_cond_t next_turn;
	struct work *first_done, **last_done;
	int done_fd;
	sd_event_source *source;
	void (*after)(void *arg);
	void *arg;
};

struct worker {
	struct works *ws;
	struct user *u;
};

/* seccomp: manager: clone clone3 set_robust_list eventfd2 */

static void append(struct work ***last, struct work *w)
{
	w->next = NULL;
	**last = w;
	*last = &w->next;
}

static void heavy_run(struct works *ws, struct work *w)
{
	unsigned int mine;

	pthread_mutex_lock(&ws->lock);
	mine = ws->ticket++;
	while (ws->turn != mine)
		pthread_cond_wait(&ws->next_turn, &ws->lock);
	pthread_mutex_unlock(&ws->lock);
	w->run(w);
	pthread_mutex_lock(&ws->lock);
	ws->turn++;
	pthread_cond_broadcast(&ws->next_turn);
	pthread_mutex_unlock(&ws->lock);
}

static void *work_run(void *arg)
{
	struct worker me = *(struct worker *)arg;
	struct works *ws = me.ws;
	struct work *w;

	free(arg);
	pthread_mutex_lock(&ws->lock);
	while ((w = me.u->first_work)) {
		me.u->first_work = w->next;
		if (!me.u->first_work)
			me.u->last_work = &me.u->first_work;
		pthread_mutex_unlock(&ws->lock);
		if (w->heavy)
			heavy_run(ws, w);
		else
			w->run(w);
		pthread_mutex_lock(&ws->lock);
		append(&ws->last_done, w);
		eventfd_write(ws->done_fd, 1);
	}
	me.u->workers--;
	ws->threads--;
	pthread_mutex_unlock(&ws->lock);
	return NULL;
}

/* The lock is held. */
static void thread_start(struct works *ws, struct user *u)
{
	unsigned int most = u->uid && u->uid != (uid_t)-1 ? THREADS_USER : THREADS_ROOT;
	struct worker *me;
	pthread_attr_t attr;
	pthread_t thread;
	int r;

	if (u->workers >= most || (u->uid && ws->threads >= THREADS_ALL))
		return;
	me = malloc(sizeof(*me));
	if (!me || pthread_attr_init(&attr)) {
		free(me);
		return;
	}
	*me = (struct worker){ ws, u };
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	r = pthread_create(&thread, &attr, work_run, me);
	pthread_attr_destroy(&attr);
	if (r) {
		free(me);
		log_warning("cannot start a thread: %s", strerror(r));
		return;
	}
	u->workers++;
	ws->threads++;
}

bool work_start(struct works *ws, struct user *u, struct work *w, bool waits)
{
	bool there;

	pthread_mutex_lock(&ws->lock);
	thread_start(ws, u);
	there = u->workers;
	if (there || waits)
		append(&u->last_work, w);
	pthread_mutex_unlock(&ws->lock);
	return there;
}

static void tell(struct works *ws)
{
	struct work *w, *next;

	pthread_mutex_lock(&ws->lock);
	w = ws->first_done;
	ws->first_done = NULL;
	ws->last_done = &ws->first_done;
	pthread_mutex_unlock(&ws->lock);
	for (; w; w = next) {
		next = w->next;
		w->done(w);
	}
}

static int on_done(sd_event_source *source, int fd, uint32_t events, void *arg)
{
	struct works *ws = arg;
	eventfd_t n;

	(void)source;
	(void)events;
	eventfd_read(fd, &n);
	tell(ws);
	ws->after(ws->arg);
	return 0;
}

int works_new(struct works **out, sd_event *event, void (*after)(void *arg), void *arg)
{
	struct works *ws = calloc(1, sizeof(*ws));
	int r;

	if (!ws)
		return -ENOMEM;
	pthread_mutex_init(&ws->lock, NULL);
	pthread_cond_init(&ws->next_turn, NULL);
	ws->last_done = &ws->first_done;
	ws->after = after;
	ws->arg = arg;
	ws->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	r = ws->done_fd < 0
		    ? -errno
		    : sd_event_add_io(event, &ws->source, ws->done_fd, EPOLLIN, on_done, ws);
	if (r < 0) {
		util_close_fd(&ws->done_fd);
		free(ws);
		return r;
	}
	*out = ws;
	return 0;
}

bool works_free(struct works *ws)
{
	bool busy;

	if (!ws)
		return true;
	sd_event_source_disable_unref(ws->source);
	ws->source = NULL;
	tell(ws);
	pthread_mutex_lock(&ws->lock);
	busy = ws->threads;
	pthread_mutex_unlock(&ws->lock);
	if (busy)
		return false;
	tell(ws);
	close(ws->done_fd);
	free(ws);
	return true;
}
