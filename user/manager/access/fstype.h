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
/*
 * Is the inode reached by a mount of the manager's own mount namespace, or of that of process 1,
 * the host's? They differ when a service manager gives the manager one of its own.
 */
bool fstype_mount_ours(int fd);

#endif
