/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes: the parts of joining, changing and leaving that all kinds of ports have in common. The
 * kinds themselves: ports/.
 */
#ifndef IPN_MANAGER_NODE_H
#define IPN_MANAGER_NODE_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <stddef.h>

struct errtext;
struct fabric;
struct ipn_ctl_port;
struct link_info;
struct net;
struct node;

/* What a port is to be. */
struct node_want {
	enum ipn_kind kind;
	__s32 port;  /* or IPN_PORTNO_ANY */
	__u32 flags; /* IPN_PF_READER, IPN_PF_WRITER, IPN_PF_HELD */
	__u32 uid;
	__u32 account; /* whose quota it uses */
	__u32 pid;
	const char *name;  /* of its interface; LINK_NAME_AUTO: the next that is free */
	int netns_fd;      /* veth: -1 none */
	const char *descr; /* IPN_DESCR_MAX bytes, maybe unterminated */
	__u32 frames;      /* xsk */
	__u32 frame_size;
	bool own;
};

/* Takes a port and all numbers. node_del takes back whatever stands from here on. */
int node_new(struct net *net, const struct node_want *want, size_t memory, struct node **out,
	     struct errtext *e);
/* Its interface is there: with the entries in `port_info` and `port_in` it becomes a source. */
int node_source(struct node *node);
/* Writes its entries in `port_in` and `port_out`, and what follows from them. */
int node_publish(struct node *node);
/* The same for a device that joins: it gets a place in the flood list, too. */
int node_deliver(struct node *node);
/* All of it stands: others are told. */
void node_joined(struct node *node);
/* Writes node->in into `port_in`, node->info into `port_info`. */
int node_store(struct node *node);
int node_info_store(struct node *node);
/* Writes its entry in `port_out`: from here on messages go to it. */
int node_port_out_set(struct node *node, bool present);

/* why: 0 its holder left; else the errno its holder is told. gone: its interface went by itself. */
void node_del(struct node *node, int why, bool gone);
/* Only lets go of it. */
void node_free(struct node *node);
int node_shutdown(struct node *node, int how);
/* Takes rights away (IPN_PF_READER, IPN_PF_WRITER), and tells its process. */
void node_revoke(struct node *node, __u32 flags);
/* Takes over how its interface is: up or not. */
int node_link_state(struct node *node, const struct link_info *link);
void node_describe(struct node *node, struct ipn_ctl_port *out, bool stats);

/* Takes over an entry of `port_in`. -ENODEV: its interface, or its socket, is not there. */
int node_adopt(struct fabric *f, const struct ipn_port_in *port);
/* port_kind.stands of a port with an interface that the fabric made. */
int node_interface_stands(struct fabric *f, const struct ipn_port_in *port, struct link_info *link);
/* port_kind.stats of a port with an interface: what the device itself has dropped. */
void node_interface_stats(struct node *node, struct ipn_stats *out);

#endif
