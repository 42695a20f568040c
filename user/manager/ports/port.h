/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ports with an interface: attached, found, and held by sockets. */
#ifndef IPN_MANAGER_PORT_H
#define IPN_MANAGER_PORT_H

#include <linux/types.h>
#include <stdbool.h>

struct errtext;
struct fabric;
struct net;
struct node;
struct node_want;

/* A port that can be attached joins: all or nothing. Errors as for IPN_CTL_ATTACH. */
int port_attach(struct net *net, const struct node_want *want, struct node **out,
		struct errtext *e);
/* The port of an interface of this namespace, by name, or else by index. NULL: none. */
struct node *port_find(struct fabric *f, const char *name, __u32 ifindex);

/*
 * A port that a socket made (IPN_PF_HELD) ends with the lifeline of that, unless it was made
 * persistent; without one, with its session. After the death of a manager there is no session: then
 * a port without a lifeline ends with the process that made it.
 */
/* The process that holds it from now on. */
int port_hold(struct node *node, __u32 pid);
/* off: it ends with its socket, which may be now. */
int port_persist(struct node *node, bool on);
/* port_kind.release of such ports. */
void port_release(struct node *node);
/* After a restart: ports that end with a process. */
int port_watch_holders(struct fabric *f);

#endif
