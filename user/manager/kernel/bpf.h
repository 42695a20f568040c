/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's half of the fabric as the manager holds it: maps, programs, links, and their pins.
 *
 *	DIR/ipn-fabric/v1/NAME          a map (the name without "ipn_")
 *	DIR/ipn-fabric/v1/prog/NAME     a program
 *	DIR/ipn-fabric/v1/link/IFINDEX-xdp, IFINDEX-tcx, IFINDEX-grab, IFINDEX-cable, IFINDEX-xsk
 *	DIR/ipn-fabric/v1/policy/NUMBER a loaded policy: see policy.c
 *
 * A new fabric is built in v1_new (bpffs takes no dots) and renamed, so that v1 is always whole. An
 * existing one is opened: its maps are used as they are, programs are loaded afresh, and every link
 * and policy entry is moved to the new ones, which loses no message.
 */
#ifndef IPN_MANAGER_BPF_H
#define IPN_MANAGER_BPF_H

#include <bpf/bpf.h>
#include <errno.h>
#include <ipn/abi.h>
#include <stdbool.h>
#include <stddef.h>

struct errtext;

struct bpf_state {
	char dir[256]; /* the fabric's directory: BPFFS/ipn-fabric/v1 */
	bool adopted;
	struct ipn_abi abi;            /* copy of what stands in the map */
	struct ipn_net_fast *net_fast; /* that map, IPN_MAX_NETS of them, mapped writable */
	int ncpus;                     /* possible CPUs: values in a per-CPU look-up */

	int fd_abi, fd_net_info, fd_net_fast, fd_port_in, fd_port_cache, fd_port_info, fd_port_out,
		fd_flood_list, fd_fdb, fd_stats;
	int fd_rings, fd_bells, fd_rooms, fd_pages, fd_logs[IPN_LOG_CLASSES];
	int prog_xdp, prog_xdp_dev, prog_tc, prog_tc_tap, prog_tc_segmenter, prog_tc_grab,
		prog_tc_cable;
	int prog_notify, prog_sk_query;
	int fd_xsks, fd_xskports, fd_xsk_cache, prog_xsk, prog_xsk_held;
	int fd_calls, fd_pol_xdp, fd_pol_tc, fd_pol_sk;
	int fd_socks, fd_sk_ports, fd_punt, fd_punt_acct, fd_listeners;
	int fd_l3_nets, fd_l3_ports, fd_l3_route4, fd_l3_route6, fd_l3_neigh, fd_l3_static,
		fd_l3_held;

	struct hooks_bpf *hooks;
	struct hub_bpf *hub;
	struct switch_bpf *ethernet_switch;
	struct xsk_bpf *xsk;
	struct l3_bpf *l3;
};

/*
 * Makes sure of BPFFS/ipn-fabric. Returns 1 when it made BPFFS itself, 0 when that was there;
 * -ENOENT no such directory, -EMEDIUMTYPE not on a bpffs, with the line in *e.
 */
int bpf_dir_make(const char *bpffs, struct errtext *e);
/*
 * Opens the fabric pinned below `bpffs`, or makes one. On failure returns -errno and one line in
 * *e: -EPROTO another ABI version, -EPERM, others for a kernel without what is needed.
 */
int bpf_state_new(struct bpf_state **out, const char *bpffs, struct errtext *e);
/* Lets go of it. The pins stay. */
void bpf_state_free(struct bpf_state *b);
/* Removes all pins. The fabric ends when the last link and descriptor is gone. */
void bpf_state_unpin(struct bpf_state *b);
/* The same without having it open. Calls fn for each interface with a pinned link first. */
int bpf_unpin_dir(const char *dir, void (*fn)(__u32 ifindex, void *), void *arg);
/* True when DIR/ipn-fabric/v1 exists. */
/* The next key of a map: 1; 0: that was the last one; -errno: it cannot be told. */
static inline int bpf_key_next(int fd, const void *key, void *next)
{
	int r = bpf_map_get_next_key(fd, key, next);

	return r ? r == -ENOENT ? 0 : r : 1;
}

/* Is something pinned there? If that cannot be told: yes. */
bool bpf_pins_exist(const char *bpffs);
/* True when every pinned link below it has lost its interface. */
bool bpf_links_dead(const char *dir);

/* Descriptor of a map that all objects share, by its name; negative: there is none. */
int bpf_shared_map(struct bpf_state *b, const char *name);
/* Removes a directory of pins and what is in it. */
void bpf_tree_remove(const char *dir);

/* Writes b->abi into the map. */
int bpf_abi_store(struct bpf_state *b);

/* Where messages of this port come from and what may become of them: `port_in` and its copy. */
int bpf_port_set(struct bpf_state *b, const struct ipn_port_in *port);
void bpf_port_del(struct bpf_state *b, __u32 ifindex);

/* Whose socket is at the far end `far` of an xsk port's veth: `xskports` and `xsk_cache`. */
int bpf_xskport_set(struct bpf_state *b, __u32 far, const struct ipn_xskport *x);
void bpf_xskport_del(struct bpf_state *b, __u32 far);
/* Tells programs that what policies look at on this network has changed (bpf/core/flow.h). */
void bpf_epoch(struct bpf_state *b, __u32 net);

/* Attaches a program to an interface, pinned. hook: "xdp" or "tcx". */
int bpf_attach_xdp(struct bpf_state *b, __u32 ifindex);
/*
 * The fabric's end of the veth of an xsk port: XDP, where its program's frames come in, and tc for
 * what is passed on from there.
 */
int bpf_attach_xsk_near(struct bpf_state *b, __u32 ifindex);
/* The far end of an xsk port's veth. Does somebody have the socket of this node? */
int bpf_attach_xsk(struct bpf_state *b, __u32 ifindex);
bool bpf_xsk_held(struct bpf_state *b, __u32 node);
/* A device, or the segmenter: at tcx, or at clsact as abi.hook says. */
int bpf_attach_tc(struct bpf_state *b, __u32 ifindex, int prog_fd);
/*
 * The tap of a process: at clsact always, since a tcx link costs a grace period (13 ms against 0.1)
 * and the tap takes either along when it goes. Also replaces what stands there.
 */
int bpf_attach_clsact(__u32 ifindex, int prog_fd);
/*
 * An interface of the host: beside what others have there. At clsact also replaces what we have.
 */
int bpf_attach_grab(struct bpf_state *b, __u32 ifindex);
/* An end of a cable. */
int bpf_attach_cable(struct bpf_state *b, __u32 ifindex);
/* Takes our filter from clsact, and, if that is said, the qdisc. */
void bpf_detach_clsact_grab(__u32 ifindex, bool qdisc);
/* Has a program of any fabric grabbed it, at tcx? */
bool bpf_grabbed(__u32 ifindex);
/* Is our link to it still there? At clsact there are none: true. */
bool bpf_grab_pinned(struct bpf_state *b, __u32 ifindex);
/* Drops the pins of an interface's links. */
void bpf_detach(struct bpf_state *b, __u32 ifindex);
/* Drops those of all interfaces that are not `there`. */
int bpf_links_clear(struct bpf_state *b, bool (*there)(__u32 ifindex, void *arg), void *arg);
/* Is tcx there? Tried on `ifindex`. */
bool bpf_tcx_works(struct bpf_state *b, __u32 ifindex);

/*
 * A log for `slots` messages (a power of two): made, frozen. Returns its descriptor. Or in two
 * steps: until it is frozen, the manager can write into it.
 */
int bpf_log_new(__u32 log_class, __u32 slots);
int bpf_log_make(__u32 log_class, __u32 slots);
int bpf_log_freeze(int fd);
/* Is it one for so many messages, not a stand-in? */
bool bpf_log_is(int fd, __u32 slots);
int bpf_log_set(struct bpf_state *b, __u32 log_class, __u32 index, int fd);
/*
 * Inner maps of a map of maps, by index (inner.c). get: a descriptor, or -ENOENT. The others return
 * when it shows; no program that begins then finds what was there before.
 */
int bpf_inner_get(int outer, __u32 index);
int bpf_inner_set(int outer, __u32 index, int fd);
int bpf_inner_set_many(int outer, const __u32 *index, const int *fds, __u32 n);
int bpf_inner_del(int outer, __u32 index);
/* Sets many, in order; when it returns, no program has what was there before. */
int bpf_inner_set_wait(int outer, const __u32 *index, const int *fds, __u32 n);
/*
 * Puts a row of an array to `none`. Nobody could do anything when that fails, so it is tried again:
 * all that can be short for it is a little memory, for a moment. 0 or -errno.
 */
int bpf_row_clear(int fd, __u32 at, const void *none);
/* Stores what stands there already: returns when no program that began before is running. */
int bpf_programs_wait(int outer, __u32 index, int fd);
/* Fresh bells and pages for n nodes, in two batches. */
int bpf_nodes_fresh(struct bpf_state *b, const __u32 *nodes, __u32 n);
/* Fresh logs for n nodes, the same way. */
int bpf_node_logs_fresh(struct bpf_state *b, __u32 log_class, __u32 slots, const __u32 *nodes,
			__u32 n);
/* Sets n logs of a class, in order, at the price of one grace period: no program has others then */
int bpf_logs_set(struct bpf_state *b, __u32 log_class, const __u32 *index, const int *fds, __u32 n);
/* Puts a small stand-in for n logs, so that their memory is freed. */
int bpf_logs_clear(struct bpf_state *b, __u32 log_class, const __u32 *index, __u32 n);

/* A new room bell for a node of a LOSSLESS network. Its fd. */
int bpf_room_new(struct bpf_state *b, __u32 node);
/* Wakes who waits for room in a LOSSLESS network, if there is some; one node, room or not. */
int bpf_pool_wake(struct bpf_state *b, __u32 net);
int bpf_room_ring(struct bpf_state *b, __u32 node);
/* Who keeps senders of a LOSSLESS network waiting, since when: see IPN_NOTIFY_HELD. */
int bpf_pool_held(struct bpf_state *b, __u32 net, __u32 port, __u32 *holder, __u64 *since);

/* Puts an event into a node's bell. */
int bpf_notify(struct bpf_state *b, __u32 node, __u32 type, __u32 arg);

/* What is to be known of n sockets in `socks`, IPN_SK_QUERIES at most, whose nodes are given. */
int bpf_socks_query(struct bpf_state *b, struct ipn_sk_query *queries, __u32 n);
/* Is there a program for messages of sock ports on networks with this policy? */
bool bpf_policy_takes_socks(struct bpf_state *b, __u32 policy);

/* Counters of a node, summed over CPUs; and set to zero, with what is known of its bell. */
int bpf_stats_get(struct bpf_state *b, __u32 node, struct ipn_stats *sum);
int bpf_stats_zero(struct bpf_state *b, __u32 node);

#endif
