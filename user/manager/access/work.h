/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What would hold the loop up is done by threads, for each user by its own. */
#ifndef IPN_MANAGER_WORK_H
#define IPN_MANAGER_WORK_H

#include <stdbool.h>
#include <systemd/sd-event.h>

struct user;
struct works;

/* Part of what is to be done; its owner's until work_start, and again from `done` on. */
struct work {
	struct work *next;
	bool heavy;                   /* of such, one at a time, whoever's: it takes a whole CPU */
	void (*run)(struct work *w);  /* in a thread: touches nothing but what is its own */
	void (*done)(struct work *w); /* in the loop */
};

/* after: in the loop, when some of it was done. */
int works_new(struct works **out, sd_event *event, void (*after)(void *arg), void *arg);
/* False: threads are at work still, which know struct user. What is done is told. */
bool works_free(struct works *ws);
/*
 * Done one after the other, or two at a time. False: the user has no thread, and none can be made;
 * then it stays in the queue until there is one if it `waits`, and else it was not taken.
 */
bool work_start(struct works *ws, struct user *u, struct work *w, bool waits);

#endif
