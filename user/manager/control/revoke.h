/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef IPN_MANAGER_REVOKE_H
#define IPN_MANAGER_REVOKE_H

struct control;
struct event;
struct net;
struct node;

/* From now on it is seen when the mode, owner or ACL of a network's path changes. */
int revoke_begin(struct control *c);
void revoke_end(struct control *c);
/* A process may read the network from now on. */
void revoke_joined(struct net *net);
/* Somebody else ends this port. */
void revoke_detached(struct control *c, struct node *node);
/* Judges all whose sessions are on this network. */
void revoke_look(struct control *c, const struct net *net);
/* Networks come and go. */
void revoke_event(struct control *c, const struct event *event);

#endif
