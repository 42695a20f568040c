/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The descriptor's dealings with the manager: bind, connect, shutdown. All return 0 or -errno. */
#ifndef IPN_JOIN_H
#define IPN_JOIN_H

#include "lib/sock.h"

int join_bind(struct ipn_sock *s, const struct sockaddr *addr, socklen_t len);
int join_connect(struct ipn_sock *s, const struct sockaddr *addr, socklen_t len);
int join_shutdown(struct ipn_sock *s, int how);

/*
 * For the preloaded library: sees the descriptors of a new node, in the order of their bits in
 * c->fds, before they are used, and may move them to other numbers. s->lock is held.
 */
extern void (*join_placed)(struct ipn_sock *s, const struct ipn_ctl_connected *c, int *fds,
			   unsigned int nfds);

/*
 * A new socket becomes the node that these descriptors belong to: another program of this process
 * connected it. Takes the tap and the bell; the others may be closed afterwards or not.
 */
int join_adopt(struct ipn_sock *s, const struct ipn_ctl_connected *c, int *fds, unsigned int nfds);

/*
 * One exchange on the descriptor; s->lock is held. When the manager has gone away and another runs,
 * the descriptor is connected to that one, with its node or its binding, and the request repeated.
 */
int join_call(struct ipn_sock *s, struct client_call *call);

#endif
