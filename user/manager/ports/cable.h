/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_CABLE_H
#define IPN_MANAGER_CABLE_H

#include <linux/types.h>

struct errtext;
struct fabric;
struct net;
struct node;
struct node_want;

/*
 * Joins two networks, all or nothing. want: uid and descr; ports: numbers, or IPN_PORTNO_ANY.
 */
int cable_add(struct net *const nets[2], const struct node_want *want, const __s32 ports[2],
	      struct node *ends[2], struct errtext *e);
/* After all ports were taken over: which end belongs to which. */
int cable_adopt(struct fabric *f);

#endif
