/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who keeps the senders of a LOSSLESS network waiting, and for how long. Looked for when asked. */
#ifndef IPN_MANAGER_HELD_H
#define IPN_MANAGER_HELD_H

#include <linux/types.h>

struct net;
struct node;

struct held {
	const struct net *net; /* what was looked at; NULL: nothing yet */
	__u32 holder;          /* port + 1 of who keeps the network's log full; 0: nobody */
	__u64 since;           /* ns, monotonic */
};

/* Looks at the network's log, unless it has. */
void held_look(struct held *held, const struct net *net);
/*
 * Since when (ns, monotonic) this node keeps others waiting, by the network's log or by its own; 0:
 * it does not. held: what held_look() found.
 */
__u64 held_since(const struct held *held, const struct node *node);
/* How long that is by now. At least 1. */
__u64 held_ms(__u64 since);

#endif
