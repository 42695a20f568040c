/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AF_XDP ports. */
#ifndef IPN_MANAGER_XSK_H
#define IPN_MANAGER_XSK_H

#include <linux/types.h>
#include <stddef.h>

struct errtext;
struct fabric;
struct node;
struct user;
struct session;

/*
 * An answer that comes later: `done` is called once, with the body and descriptors (which stay the
 * caller's) or an error, unless it was forgotten before.
 */
struct xsk_job;
typedef void (*xsk_done_fn)(void *arg, struct node *node, int status, const struct errtext *e,
			    const void *body, size_t len, const int *fds, unsigned int nfds);
/* Begins to make a socket for a program. Errors as for IPN_CTL_XSK_OPEN. */
int xsk_open(struct node *node, struct user *u, __u32 pid, xsk_done_fn done, void *arg,
	     struct xsk_job **job, struct errtext *e);
/* Who waited for it is gone. */
void xsk_forget(struct xsk_job *job);

/* Removes what a manager that died left of ports that are not there. */
int xsk_adopt_rest(struct fabric *f);
/* After a restart: looks for the end of sockets that no session has. */
int xsk_watch(struct fabric *f);

#endif
