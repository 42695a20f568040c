/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Node numbers. A bell and a page are handed to a process, which may keep them for ever: they are
 * never used for another. Putting new ones into their map costs a grace period (some 10 ms), many
 * at once no more than one, so numbers are made fresh in batches, while nothing else is to be done.
 */
#ifndef IPN_MANAGER_IDS_H
#define IPN_MANAGER_IDS_H

#include <linux/types.h>
#include <stdbool.h>

struct fabric;
struct net;
struct node;

/* A number with a fresh bell and page. -ENOSPC: all are in use. */
int id_take(struct fabric *f, __u32 *id);
/* Its bell, page and log may be held by others: it is not used again before they are new. */
void id_drop(struct fabric *f, __u32 id);
/* Makes a batch of numbers fresh, with the kind of log that was last asked for. */
int ids_refill(struct fabric *f);
/* The log of a process node for unicast: *fd. */
int id_log_get(struct node *node, int *fd);
/* For users_new: the log of this number only stands in its map, and may go. arg: the fabric. */
bool id_log_release(void *arg, __u32 id);

#endif
