/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sock ports: unix datagram sockets of programs that know nothing of the fabric. */
#ifndef IPN_MANAGER_SOCK_H
#define IPN_MANAGER_SOCK_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

struct errtext;
struct fabric;
struct fdstore_msg;
struct listener;
struct net;
struct node;
struct node_want;

/*
 * A socket joins, which is connected to a program's (and is taken, also when this fails).
 * want->uid: of that socket, or this is refused: -EPERM it is another user's; -EADDRINUSE.
 */
int sock_attach(struct net *net, const struct node_want *want, int fd, struct node **out,
		struct errtext *e);
/* Where it came in. */
void sock_set_listener(struct node *node, struct listener *listener);
struct listener *sock_listener(const struct node *node);
/* The client's other connection, whose end is the port's (taken). */
int sock_stream(struct node *node, int stream);
/* Says something there. */
int sock_reply(struct node *node, const void *data, size_t len);
/* A file that goes with the port: in the directory of its listener. */
void sock_file(struct node *node, const char *file, __u64 dev, __u64 ino);
/* All of it stands: from now on it outlives the manager. */
void sock_complete(struct node *node);
/* Its client says goodbye: for the punt thread. */
void sock_bye(struct fabric *f, __u32 node, __u32 gen);

/* Did it come in by this listener? Is that its file, in the directory of this listener? */
bool sock_is_of(const struct node *node, __u32 listener);
bool sock_has_file(const struct node *node, __u32 listener, const char *file);
/* What the fdstore is to hold of the port of a node. False: nothing. */
bool sock_stored(struct fabric *f, __u32 node, struct fdstore_msg *msg, int *fds);
/*
 * After a restart, when listeners stand and there is a loop: what of the ports needs those. Ends
 * ports whose client is gone, and sockets in the fdstore that no port took.
 */
int sock_adopt_rest(struct fabric *f);

#endif
