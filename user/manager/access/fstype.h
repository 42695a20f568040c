/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_FSTYPE_H
#define IPN_MANAGER_FSTYPE_H

#include <stdbool.h>
#include <sys/types.h>

struct errtext;

/*
 * Is the inode of this descriptor on a file system that answers by itself? client: the process
 * whose table of mounts is asked when ours does not know the mount, or 0. 0, -EBADF, -EOPNOTSUPP.
 */
int fstype_check(int fd, pid_t client, struct errtext *e);
/* Is the inode reached by a mount that is in the manager's own tree of mounts? */
bool fstype_mount_ours(int fd);

#endif
