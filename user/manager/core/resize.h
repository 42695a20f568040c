/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_RESIZE_H
#define IPN_MANAGER_RESIZE_H

#include <linux/types.h>

struct errtext;
struct net;

/* Gives a network another number of ports. Errors as for IPN_CTL_RESIZE. */
int net_resize(struct net *net, __u32 numnodes, struct errtext *e);
/* Returns when no program runs any more that began before. */
void net_wait_programs(struct net *net);

#endif
