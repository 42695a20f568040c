/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Process nodes: a program that sends by a tap of its own and reads the log. */
#ifndef IPN_MANAGER_PROC_H
#define IPN_MANAGER_PROC_H

#include <linux/types.h>

struct errtext;
struct net;
struct node;
struct node_want;

/* What a process gets; owned by the caller; -1: none. */
struct proc_fds {
	int tap, bell, page, log, node_log, room;
};
void proc_fds_close(struct proc_fds *fds);

/* A process joins: all or nothing. *cursor: the first message of the network's log that it gets. */
int proc_connect(struct net *net, const struct node_want *want, struct node **out,
		 struct proc_fds *fds, __u64 *cursor, struct errtext *e);

#endif
