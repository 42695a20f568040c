/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the interfaces of ports end, and what the kernel says of them. */
#ifndef IPN_MANAGER_INTERFACES_H
#define IPN_MANAGER_INTERFACES_H

#include <linux/types.h>
#include <stdbool.h>

struct fabric;
struct link_info;

#define INTERFACES_TURN 64 /* that are removed in one turn of the loop, in some 30 ms */

/*
 * Removes an interface, and only then its programs: without them what comes out of it would be the
 * host's. by_itself: it goes when its descriptor is closed, which is mostly under
 * way and costs the manager nothing; it is given a moment.
 */
void interface_end(struct fabric *f, __u32 ifindex, bool by_itself);
/* Removes those that were given a moment, if they still stand. */
void interfaces_orphans_end(struct fabric *f);

/* Between these two, the interfaces of ports that end are marked and then removed all at once. */
void batch_delete_begin(struct fabric *f);
void batch_delete_end(struct fabric *f);
/* The group of marked interfaces. */
__u32 batch_delete_group(const struct fabric *f);

/* A link changed or went. fabric: struct fabric. */
void interface_event(const struct link_info *info, bool gone, void *fabric);
/* Events were lost: looks at all. */
void interfaces_check(struct fabric *f);

#endif
