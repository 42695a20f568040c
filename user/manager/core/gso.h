/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_GSO_H
#define IPN_MANAGER_GSO_H

#include <linux/types.h>

struct net;

/* How big frames to cut up may be, bytes: for the far end of a new port. */
__u32 gso_want(const struct net *net);
/* Tells the containers of a network, and of those joined to it, if that has changed. */
void gso_update(struct net *net);

#endif
