/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lifelines: what a program's descriptor keeps alive, as long as anybody has the descriptor.
 *
 * The descriptor that a program has of its socket is one end of a pair. The other end is here: it
 * hangs up when the last process has closed the descriptor, whoever that is by then: a child, the
 * next program after exec(), one that was sent it. A network that was made by bind, or an interface
 * that was made by ioctl, ends then, and not with the process that asked for it. The fdstore has a
 * duplicate, so the same is true over a restart of the manager.
 */
#ifndef IPN_MANAGER_LIFELINE_H
#define IPN_MANAGER_LIFELINE_H

#include <ipn/abi.h>
#include <stdbool.h>

struct fabric;
struct fdstore_msg;
struct net;
struct node;

struct lifeline {
	struct fabric *f;
	struct lifeline *next, *prev;
	__u32 at;        /* place in f->lifelines, and in the fdstore; LIFELINE_NOWHERE: in none */
	__u32 account;   /* whose it is */
	int fd;          /* the manager's end */
	__u64 cookie;    /* SO_COOKIE of that */
	__u32 sessions;  /* control connections of its socket */
	bool counted;    /* there is none, so it counts as one of its user's */
	struct net *net; /* that it keeps alive, or NULL; counted in net->bound */
	struct node *node;
	struct sd_event_source *source; /* NULL: there is no loop yet */
};
#define LIFELINE_NOWHERE (~0U)

/* The lifeline of this socket, one that is known or a new one; fd stays the caller's. 0, -errno. */
int lifeline_get(struct fabric *f, int fd, __u32 account, struct lifeline **out);
/* A control connection of its socket ends. It may be freed by that. */
void lifeline_put(struct lifeline *l);
/* It keeps this network alive, this port. False: another one already. */
bool lifeline_net(struct lifeline *l, struct net *net);
void lifeline_node(struct lifeline *l, struct node *node);
/* It keeps nothing any more. */
void lifeline_let_go(struct lifeline *l);
/* Has anybody the program's end still? */
bool lifeline_holds(const struct lifeline *l);
/* A network or port ends: it is not held any more. */
void lifeline_forget_net(struct net *net);
void lifeline_forget_node(struct node *node);

/* Ends those, but this, that have hung up: their events may come later in this turn. */
void lifelines_reap(struct fabric *f, const struct lifeline *but);

/* For the fdstore. */
bool lifeline_there(const struct fabric *f, __u32 at);
bool lifeline_stored(const struct fabric *f, __u32 at, struct fdstore_msg *msg, int *fds);
/* After a restart: takes over those that the fdstore has; and, with a loop, watches them. */
void lifelines_adopt(struct fabric *f);
void lifelines_watch(struct fabric *f);
/* Only lets go of them. */
void lifelines_free(struct fabric *f);

#endif
