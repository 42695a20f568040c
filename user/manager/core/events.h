/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens in the core, for those above it: monitors, sessions, listeners. Subscribers are
 * called at once, in the order in which they came, and must not end what the event is about.
 */
#ifndef IPN_MANAGER_EVENTS_H
#define IPN_MANAGER_EVENTS_H

#include <ipn/abi.h>

struct fabric;
struct lifeline;
struct net;
struct node;

enum event_type {
	EVENT_NET_ADD,
	EVENT_NET_DEL,  /* begins to end: its ports are there still */
	EVENT_NET_GONE, /* its ports are gone: whoever refers to it lets go of it */
	EVENT_JOIN,
	EVENT_LEAVE,       /* begins to leave */
	EVENT_NODE_GONE,   /* whoever refers to it lets go of it */
	EVENT_COUNTS,      /* of readers and writers */
	EVENT_REFUSED,     /* the policy refused a port */
	EVENT_TURNED_AWAY, /* a listener's client did not become a port, and cannot be told why */
	EVENT_HUNG_UP,     /* nobody has the descriptor of a socket any more */
};

struct event {
	enum event_type type;
	struct net *net;
	struct node *node;         /* JOIN, LEAVE, NODE_GONE */
	struct lifeline *lifeline; /* HUNG_UP: that is all there is */
	/* REFUSED, TURNED_AWAY */
	enum ipn_kind kind;
	__u32 uid;
	int err;
	/* TURNED_AWAY */
	__u32 pid;  /* 0: not known */
	__s32 port; /* that it asked for, or IPN_PORTNO_ANY */
};

typedef void (*event_fn)(void *arg, const struct event *event);
int events_subscribe(struct fabric *f, event_fn fn, void *arg);
void event_emit(struct fabric *f, const struct event *event);
void events_free(struct fabric *f);

#endif
