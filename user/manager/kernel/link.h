/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interfaces of the fabric: made, configured and removed over rtnetlink and ioctl, in the
 * network namespace of the calling thread. Nothing here knows of networks or ports.
 *
 * Every interface the fabric makes for itself is in the group of its link_ctx, has no ARP and no
 * IPv6 address generation, and joins no IPv6 groups. Names given as patterns ("ipnp%d") get their
 * number from the kernel.
 */
#ifndef IPN_LINK_H
#define IPN_LINK_H

#include <ipn/abi.h>
#include <stdbool.h>

/* A netlink socket for requests. Not for use by two threads at a time. */
struct link_ctx;
/* group: of all interfaces made with it. */
int link_ctx_new(struct link_ctx **out, __u32 group);
void link_ctx_free(struct link_ctx *ctx);

struct link_info {
	__u32 ifindex;
	__u32 flags; /* IFF_* */
	__u32 group;
	__u32 mtu;
	__u32 gso;  /* bytes of an IPv4 frame that the device may be given to cut up; 0: unknown */
	__u32 peer; /* veth: ifindex of the other end, wherever that is */
	bool running; /* carrier */
	__u16 type;   /* ARPHRD_* */
	char name[IPN_NAME_MAX];
	char kind[16];    /* "tun", "veth", ... */
	__u64 tx_dropped; /* frames the device itself dropped on its way out */
};

/* Errors: -ENODEV. */
int link_get(struct link_ctx *ctx, __u32 ifindex, struct link_info *info);
int link_find(struct link_ctx *ctx, const char *name, struct link_info *info);
/*
 * Calls `fn` for every interface of the namespace. A non-zero return of `fn` ends it and is
 * returned.
 */
int link_each(struct link_ctx *ctx, int (*fn)(const struct link_info *, void *), void *arg);

/*
 * A tap for a process: not persistent, one queue, no vnet header, non-blocking, up, `mtu` bytes.
 * Its life is the life of the descriptor in *fd. On failure *fd and *ifindex are left alone.
 */
int link_tap_proc(struct link_ctx *ctx, const char *pattern, __u32 mtu, int *fd, __u32 *ifindex,
		  char name[IPN_NAME_MAX]);

/*
 * A persistent tap for a VM, up, owned by `uid` so that its QEMU needs no privilege, `mtu` bytes,
 * with what offloads its opener asks for. Errors: -EEXIST, -EINVAL bad name.
 */
int link_tap_vm(struct link_ctx *ctx, const char *name, __u32 uid, __u32 mtu, __u32 *ifindex);

/*
 * A veth pair, `mtu` bytes: the fabric's end named by `pattern` here (no ARP, no IPv6, group), down
 * until link_set_up, so that nothing comes out of it before its program is there; the other end
 * `name` in the namespace `netns_fd` (-1: here), an ordinary interface.
 * gso: see link_set_gso, of the other end. The fabric's end takes all there is.
 * All or nothing. Errors: -EEXIST name in use, -EINVAL bad name, -EBADF no namespace.
 */
#define LINK_NAME_AUTO "ipn%d" /* as name: the first that is free */
int link_veth(struct link_ctx *ctx, const char *pattern, const char *name, int netns_fd, __u32 mtu,
	      __u32 gso, __u32 *ifindex);

/*
 * A veth pair whose far end is for a program, here, by the name `name`: both ends quiet and up.
 * What goes into the fabric's end comes out of the far end whole, with complete checksums. Errors:
 * as link_veth.
 */
int link_xsk(struct link_ctx *ctx, const char *pattern, const char *name, __u32 mtu, __u32 *ifindex,
	     __u32 *far_ifindex);

/*
 * How many bytes of TCP over IPv4 an interface takes in one frame that is cut up further on. Bigger
 * frames are fewer. Kernels before 6.3 keep to LINK_GSO_PLAIN and say nothing.
 */
#define LINK_GSO_PLAIN 65536 /* what every device takes, taps among them */
#define LINK_GSO_BIG 180000
int link_set_gso(struct link_ctx *ctx, __u32 ifindex, __u32 gso);

/*
 * The segmenter: a veth pair with both ends here, up, MTU 65535, transmit offloads of the near end
 * off (checksum, scatter/gather, TSO, GSO), so that what goes into the near end comes out of the
 * far end whole, with complete checksums.
 */
int link_segmenter(struct link_ctx *ctx, const char *near_pattern, const char *far_pattern,
		   __u32 *near_ifindex, __u32 *far_ifindex);

/*
 * A cable: a veth pair with both ends here, up, for frames of any size. All or nothing.
 */
int link_cable(struct link_ctx *ctx, const char *pattern, __u32 ifindex[2]);

/* Removes an interface (persistent taps too). -ENODEV when it is gone already. */
int link_del(struct link_ctx *ctx, __u32 ifindex);
/*
 * Removing many at the price of one (each waits for grace periods, some 25 ms): put them into a
 * group of their own, which is quick, then remove the group.
 */
int link_set_group(struct link_ctx *ctx, __u32 ifindex, __u32 group);
int link_del_group(struct link_ctx *ctx, __u32 group);
/* Sets an interface up. */
int link_set_up(struct link_ctx *ctx, __u32 ifindex);
int link_set_mtu(struct link_ctx *ctx, __u32 ifindex, __u32 mtu);
int link_set_mac(struct link_ctx *ctx, __u32 ifindex, const __u8 mac[6]);
int link_set_promisc(struct link_ctx *ctx, __u32 ifindex, bool on);
/* Has it a clsact qdisc? */
bool link_has_clsact(struct link_ctx *ctx, __u32 ifindex);
/* Filters at both sides of clsact, whoever put them there; each chain's head counts as none. */
int link_filters(struct link_ctx *ctx, __u32 ifindex);

/*
 * Given a descriptor that a client sent: is it an open tap of this network namespace, and which?
 * Never blocks, whatever the descriptor is. Returns 0 and *ifindex, or -ENOTTY / -EXDEV / -ENODEV.
 */
int link_tap_of_fd(struct link_ctx *ctx, int fd, __u32 *ifindex);

/* Is the descriptor a network namespace? Never blocks. Returns 0 or -EBADF. */
int link_netns_check(int fd);
/* Inode number of a network namespace; of this thread's. */
int link_netns_inode_of(int fd, __u32 *inode);
int link_netns_inode(__u32 *inode);
/*
 * Can anybody still get into the network namespace of this inode number? By a process that is in
 * it, or by a mount of it (a name of `ip netns`) that this process sees.
 */
bool link_netns_reachable(__u32 inode);
/*
 * Calls `fn` with a link_ctx of that namespace, in that namespace, for as long as it takes. Returns
 * what it returned, or -errno.
 */
int link_netns_visit(int fd, void (*fn)(struct link_ctx *, void *), void *arg);

/*
 * Watching: a non-blocking netlink socket that tells of changes. link_watch_read calls `fn` for
 * each queued change (gone: the interface was removed, only ifindex is filled in) until none is
 * left, and returns 0, or -ENOBUFS when changes were lost: then look at everything again with
 * link_each.
 */
int link_watch_open(void);
int link_watch_read(int fd, void (*fn)(const struct link_info *, bool gone, void *), void *arg);

#endif
