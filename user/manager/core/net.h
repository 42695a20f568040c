/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_NET_H
#define IPN_MANAGER_NET_H

#include <ipn/abi.h>
#include <stddef.h>

struct errtext;
struct fabric;
struct ipn_ctl_net;
struct net;
struct perm_inode;

#define LOG_BYTES_MAX (256UL << 20) /* one log */

struct net *net_find(struct fabric *f, const struct perm_inode *inode);
/*
 * Makes a network for the inode of path_fd (not taken). `info` has policy, mtu, numnodes, pool,
 * flags, mode, persistent, uid and path; zeros become defaults. Errors as for IPN_CTL_NET_ADD.
 */
int net_add(struct fabric *f, const struct ipn_net_info *info, int path_fd,
	    const struct perm_inode *inode, struct net **out, struct errtext *e);
/* Takes all its ports away, tells their holders, and frees it. */
void net_del(struct net *net);
/* Ends so many of its ports, which has more. */
void net_empty(struct net *net, __u32 n);
/* Ends it if nothing keeps it alive. */
void net_unused(struct net *net);
/* Only lets go of it. */
void net_free(struct net *net);
void net_describe(struct net *net, struct ipn_ctl_net *out);
/*
 * Takes over an entry of `net_info`. path_fd: of its inode (taken); -1: that is gone. -ESTALE: the
 * network was left half made or half removed.
 */
int net_adopt(struct fabric *f, __u32 id, const struct ipn_net_info *info, int path_fd);
/* Removes such an entry and what stands with it. Programs do not see the network any more. */
void net_forget(struct fabric *f, __u32 id, const struct ipn_net_info *info);
/* Writes its entry of `net_info`. */
int net_info_store(struct net *net);
/* When its ports are taken over: clears what no port is behind, and tells what may have changed. */
int net_adopted(struct net *net);

/* MTU of its interfaces: frames carry the Ethernet header, which an interface's MTU does not. */
__u32 net_device_mtu(const struct net *net);
/* The first place in `port_out` and `flood_list` with n free in a row, cleared. -ENOSPC. */
int net_place(struct fabric *f, __u32 n, __u32 *base);
void net_place_clear(struct fabric *f, __u32 base, __u32 n);

#endif
