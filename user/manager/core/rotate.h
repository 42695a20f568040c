/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Another log for a network, since somebody who has the descriptor of its log lost his right. */
#ifndef IPN_MANAGER_ROTATE_H
#define IPN_MANAGER_ROTATE_H

#include <linux/types.h>

struct fabric;
struct net;

#define ROTATE_KEEP_US 10000000 /* how long a LOSSY network's last log is kept for slow readers */

/* It is to get another log, also if this manager dies now. */
void rotate_want(struct net *net);
/*
 * Exchanges the logs of all networks that want it, or whose manager died over it, and lets go of
 * logs that were kept long enough. Returns when it wants to be called again, in us of clock_us();
 * 0: not at all.
 */
__u64 rotate_all(struct fabric *f);
/*
 * The log that a reader gets who has the one with this serial: a descriptor that stays the
 * network's.
 */
int rotate_next(const struct net *net, __u64 serial);
/* A network is taken over, its log is not mapped yet: the descriptor of that log, or -errno. */
int rotate_adopt(struct net *net);

#endif
