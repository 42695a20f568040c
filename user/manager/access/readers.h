/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Has a change of an inode taken the right to read it away from somebody? */
#ifndef IPN_MANAGER_READERS_H
#define IPN_MANAGER_READERS_H

#include <ipn/abi.h>
#include <stdbool.h>

/* Who may read the inode of this O_PATH descriptor. 0 or -errno. */
int readers_get(int fd, struct ipn_readers *out);
/* May anybody read it? */
bool readers_all(const struct ipn_readers *r);
/*
 * May somebody who was among `old` not be among `now`? Who is in which group nobody can know, so
 * another owner, group or ACL counts as a loss, unless anybody may read it now.
 */
bool readers_lost(const struct ipn_readers *old, const struct ipn_readers *now);

#endif
