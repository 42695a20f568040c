/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a kind of port is: one row, in one file of ports/. The table of all rows, by enum ipn_kind,
 * is ports/kinds.c; the core asks the row and knows no kind by name.
 *
 * Life of a port, and who is called when. A function that is NULL has nothing to do.
 *
 *	joining      check, (number taken), make, (in `port_in`), begin, attach, (in `port_out`)
 *	restarting   stands, adopt, (in the objects), reattach
 *	changing     ready: whenever its interface changes
 *	leaving      (out of `port_out`), end, (out of `port_in`), ended, (its interface removed)
 *	its session ends   release
 *	the manager ends, and the port goes on   let_go
 *
 * A step that fails is undone by node_del, which calls end and ended: both must cope with a port
 * that has come only part of the way (node->ifindex 0: it has no interface yet).
 */
#ifndef IPN_MANAGER_PORT_KIND_H
#define IPN_MANAGER_PORT_KIND_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <stddef.h>

struct errtext;
struct fabric;
struct ipn_stats;
struct link_info;
struct net;
struct node;
struct node_want;

enum port_kind_flag {
	KIND_DEVICE = 1,     /* an interface that frames go out of: it stands in the flood list */
	KIND_NO_LINK = 2,    /* it has no interface at all */
	KIND_FOREIGN = 4,    /* its interface was there before, and stays */
	KIND_TAP_LIFE = 8,   /* its interface goes with its descriptor, and it with the carrier */
	KIND_PLAIN_GSO = 16, /* takes frames of 64 kB at most: see gso.c */
	KIND_TELL_GSO = 32,  /* has a far end that is told how big frames may be */
	KIND_ATTACH = 64,    /* can be attached by name (IPN_CTL_ATTACH) */
	KIND_PAIRED = 128,   /* an end of something whose other end is a port, too */
	KIND_MESSAGES = 256, /* of a process that reads messages, not frames */
	KIND_ADMIN = 512,    /* touches what is the host's: takes CAP_NET_ADMIN */
};

struct port_kind {
	enum ipn_kind kind;
	__u32 flags;
	/* Fills in defaults of what is wanted; *memory: what it takes of the user's quota. */
	int (*check)(const struct net *net, struct node_want *want, size_t *memory,
		     struct errtext *e);
	/* Makes, or finds, its interface: node->ifindex, and the flags that follow from it. */
	int (*make)(struct node *node, const struct node_want *want, struct errtext *e);
	/* It is known as a source: what is beside its interface. */
	int (*begin)(struct node *node);
	/* Its programs. */
	int (*attach)(struct node *node);
	/* After a restart: is what it is there for still there? -ENODEV. *link: but NO_LINK. */
	int (*stands)(struct fabric *f, const struct ipn_port_in *port, struct link_info *link);
	/* Takes over what belongs to it. On failure nothing of that is left. */
	int (*adopt)(struct node *node);
	/* Programs that have no pins, and so were not moved to the new ones. */
	void (*reattach)(struct node *node);
	/* Does somebody receive at its far end? NULL: always. */
	bool (*ready)(const struct node *node);
	/* Adds to what the programs have counted. */
	void (*stats)(struct node *node, struct ipn_stats *out);
	/* It is not delivered to any more. gone: its interface went by itself. */
	void (*end)(struct node *node, bool gone);
	/* Nothing comes from it any more. why: an errno that its holder is told, or 0. */
	void (*ended)(struct node *node, int why);
	/* Its session is gone (node->session is NULL already). It may end the port. */
	void (*release)(struct node *node);
	/* Frees memory and descriptors of this process, and nothing else. */
	void (*let_go)(struct node *node);
	/* After a restart without it: takes away what its maps still say of it. */
	void (*forget)(struct fabric *f, const struct ipn_port_in *port);
};

#endif
