/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manager's objects and who owns them.
 *
 *	struct fabric    owns everything below; owned by struct manager (manager.c)
 *	struct net       one network; owned by the fabric until net_del
 *	struct node      one port in use; owned by its network until node_del
 *
 * One thread changes them, so there are no locks. What the BPF programs see is changed in an order
 * that is right at every step: a port can be delivered to (port_out) only when all behind it
 * stands, and stops being so first of all when it goes. The death of the manager between two steps
 * is repaired by adopt.c.
 */
#ifndef IPN_MANAGER_OBJECTS_H
#define IPN_MANAGER_OBJECTS_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "common/hash.h"
#include "manager/fdstore/protocol.h"

struct async_close;
struct asuser;
struct bpf_state;
struct fdstore;
struct lifeline;
struct link_ctx;
struct listener;
struct log_job;
struct policies;
struct port_kind;
struct punt;
struct session;
struct sock;
struct subscriber;
struct users;
struct works;
struct xsk;

struct net_key {
	__u64 dev;
	__u64 ino;
};

struct net {
	struct fabric *f;
	struct net_key key;
	UT_hash_handle hh;
	__u32 id;
	struct ipn_net_info info; /* as in the map `net_info` */
	int path_fd; /* O_PATH; holds the inode, so that its number is not used again. -1: lost */
	char *path_text; /* the kernel's text for it, when info.path was made of that; or NULL */
	int log_fd;
	int old_fd;                      /* the log before that, as long as it is kept; -1 */
	__u64 old_until;                 /* us of clock_us() */
	const struct ipn_log_head *head; /* of the log, one page, read-only */
	__u32 log_class;
	__u32 slots;
	struct node **ports; /* info.numnodes of them */
	__u32 nports, readers, writers;
	__u32 bound;        /* sockets and listeners that keep it alive */
	__u32 gso;          /* what its containers were told: see gso.c. 0: nobody knows */
	bool counts_new;    /* bells are still to be rung for them */
	bool shut;          /* its log has a stand-in, for want of memory: see rotate.c */
	bool joined_unseen; /* somebody joined while its rights were other than info.readers */
	bool dying;
	bool from_config; /* made by the file of this start */
};

struct node {
	struct net *net;
	const struct port_kind *kind;
	struct session *session; /* whose port it is; NULL: interface, or adopted */
	__u32 ifindex;
	UT_hash_handle hh;
	struct ipn_port_in in;     /* as in the map `port_in` */
	struct ipn_port_info info; /* as in the map `port_info` */
	size_t memory;
	__u32 gso;      /* what the other end was told */
	bool announced; /* its policy was told that it is there */
	bool from_config;

	struct ipn_page *page;     /* process nodes: theirs, mapped; believe nothing */
	__u64 overrun;             /* as the monitors know it */
	__u64 held_told;           /* since when it keeps others waiting, as the monitors know */
	struct lifeline *lifeline; /* of the socket that it goes with; or NULL */
	sd_event_source *holder;   /* without one, after a restart: the end of its process */
	struct node *peer;         /* cable: the other end, which lives as long as this one */
	struct xsk *xsk;           /* ports/xsk.c */
	struct sock *sock;         /* ports/sock.c */
};

enum node_id_state { ID_STALE = 0, ID_FRESH, ID_USED };

struct node_log {
	__u32 slots; /* 0: none */
	__u8 log_class;
	bool unused; /* prepared, not handed out */
};

struct fabric {
	struct bpf_state *bpf;
	struct link_ctx *link;
	sd_event *event; /* NULL until there is a loop: not while ports are taken over */
	struct users *users;
	struct works *works;             /* NULL until there is a loop */
	struct async_close *async_close; /* the same */
	struct asuser *asuser;
	struct policies *policies;
	struct fdstore *fdstore;
	const struct port_kind *const *kinds; /* by enum ipn_kind; NULL: none */
	struct subscriber *subscribers;

	struct net *nets; /* by inode */
	struct net *net_by_id[IPN_MAX_NETS];
	struct node *nodes; /* by ifindex */
	struct node *node_by_id[IPN_MAX_NODES];
	__u32 gen; /* last one given out */

	/* lifeline.c */
	struct lifeline *all_lifelines;
	struct lifeline *lifelines[FDSTORE_LIFELINES]; /* in the fdstore, by place */

	/* ids.c */
	__u8 id_state[IPN_MAX_NODES];
	struct node_log id_log[IPN_MAX_NODES]; /* the log that stands at this id */
	struct node_log want_log;              /* what the last process needed, and the next may */
	__u32 ids_fresh;
	sd_event_source *refill;

	/* logs.c */
	bool log_waits;             /* who asks now can wait for a log */
	struct node_log log_wanted; /* that is what he has to wait for */
	struct log_job *log_ready;  /* that is what he has waited for */

	/* counts.c */
	sd_event_source *counts;
	bool adopting; /* ports are not complete: their count is not published */

	/* interfaces.c */
	bool batch_delete; /* interfaces that end now are only marked */
	__u32 batch[IPN_MAX_NODES];
	__u32 batch_count;
	__u32 orphans[IPN_MAX_NODES]; /* interfaces that should go by themselves */
	__u32 norphans;
	sd_event_source *orphan_timer;

	/* punt.c; NULL: there was no listener yet */
	struct punt *punt;

	/* ports/listener.c, ports/sock.c */
	struct listener *listeners;
	sd_event_source *sock_check; /* while there are sock ports */
	__u32 socks, socks_waiting;

	int spare_fd; /* given up to answer a connection when descriptors run out */
	bool ending;  /* only this process ends: nobody is to be told anything */
};

#endif
