/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The descriptor's dealings with the manager: bind, connect, shutdown. All return 0 or -errno. */
#ifndef IPN_JOIN_H
#define IPN_JOIN_H

#include "lib/sock.h"

int join_bind(struct ipn_sock *s, const struct sockaddr *addr, socklen_t len);
int join_connect(struct ipn_sock *s, const struct sockaddr *addr, socklen_t len);
int join_shutdown(struct ipn_sock *s, int how);

/*
 * One exchange on the descriptor; s->lock is held. When the manager has gone away and another runs,
 * the descriptor is connected to that one, with its node or its binding, and the request repeated.
 */
int join_call(struct ipn_sock *s, struct client_call *call);

#endif
