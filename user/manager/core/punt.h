/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The thread behind the ring `punt`. */
#ifndef IPN_MANAGER_PUNT_H
#define IPN_MANAGER_PUNT_H

#include <linux/types.h>

struct fabric;
struct ipn_stats;

/* Ports may be added. bye: the client of this node, of this generation, said goodbye. */
int punt_begin(struct fabric *f, void (*bye)(struct fabric *f, __u32 node, __u32 gen));
/* It begins to send what is in the ring: those that were there before must have been added. */
int punt_go(struct fabric *f);
void punt_end(struct fabric *f);
/* The socket of a port; del returns when the thread will not use it again. */
void punt_add(struct fabric *f, __u32 node, int fd);
void punt_del(struct fabric *f, __u32 node);
/* Returns when the thread has forgotten what it read in the maps before. */
void punt_wait(struct fabric *f);
/* Begins a node's counters anew; adds what the thread has counted. */
void punt_zero(struct fabric *f, __u32 node);
void punt_describe(struct fabric *f, __u32 node, struct ipn_stats *stats);

#endif
