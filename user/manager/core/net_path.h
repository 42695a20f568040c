/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The path of a network: a label, which is never walked by the manager. */
#ifndef IPN_MANAGER_NET_PATH_H
#define IPN_MANAGER_NET_PATH_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <sys/types.h>

struct asuser_id;
struct fabric;
struct net;

/*
 * The text that the inode of a descriptor is shown by. client: the process that sent it, or 0; old:
 * what it was shown by, or empty.
 */
void net_path_label(int fd, pid_t client, const char *old, char label[IPN_PATH_MAX]);
/* Puts the present text into net->info.path, and into the map if it has changed. */
void net_path_refresh(struct net *net);
/* Was its path removed, so that nobody can name it any more? */
bool net_path_gone(const struct net *net);
/* Its inode was not found after a restart: it is shown as one whose path was removed. */
void net_path_lost(struct net *net);
/* If it was: the network ends with its last port and bound socket, which may be now. */
void net_path_check(struct net *net);
/*
 * At start: gives the networks of `infos` (by number, NULL: none) the descriptors of their inodes,
 * from the fdstore, or else looked up by processes of their owners; -1: it is gone.
 */
void net_paths_find(struct fabric *f, const struct ipn_net_info *const infos[IPN_MAX_NETS],
		    int fds[IPN_MAX_NETS]);
/*
 * Removes the path of a network that `net add` made, if it still is the same inode: a process with
 * the identity of its owner does, a moment later.
 */
void net_path_remove(struct fabric *f, const struct ipn_net_info *info);

#endif
