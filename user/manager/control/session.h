/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Control connections.
 *
 *	struct control   the server: its socket, and its sessions. Owned by struct manager
 *	struct session   one connection; owned by the server until either end closes. It may refer
 *	                 to a network (bound or connected) and to a node, whose ends it is told
 */
#ifndef IPN_MANAGER_SESSION_H
#define IPN_MANAGER_SESSION_H

#include <ipn/control.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "manager/access/perm.h"

struct again;
struct errtext;
struct fabric;
struct lifeline;
struct listener_wait;
struct loading;
struct net;
struct node;
struct packet;
struct user;
struct xsk_job;

struct control_opts {
	const char *run_dir;
	const char *netns; /* for people; NULL: that of who started it */
	void (*down)(void *arg);
	void *arg;
};

struct control {
	struct fabric *f;
	struct control_opts opts;
	struct session *sessions;
	__u64 started; /* us */
	int listen_fd;
	sd_event_source *overruns; /* monitor.c; NULL: there never was a monitor */

	/* revoke.c */
	int inotify_fd;
	sd_event_source *inotify, *gather, *rotate;
	__u64 rotate_not_before;   /* us of clock_us() */
	int watches[IPN_MAX_NETS]; /* by network; -1: none */
	bool changed[IPN_MAX_NETS];
};

struct session {
	struct control *c;
	struct fabric *f;
	struct session *next, *prev;
	sd_event_source *source;
	struct perm_peer peer;
	struct user *user;
	__s64 rank; /* of its source: the user's */
	int fd;
	bool ending;     /* nothing is left of it but what is in its socket */
	bool later;      /* not read from until its request is answered */
	bool held;       /* not read from while its user is stuck */
	bool bound;      /* may manage its network */
	bool holds;      /* counted in net->bound: keeps it alive without a lifeline */
	struct net *net; /* bound or connected */
	struct node *node;
	bool opened;               /* that is an AF_XDP port, whose socket it has */
	struct lifeline *lifeline; /* of the socket that it is of; NULL: it is its own */
	bool monitor;
	bool cached_visible;

	/* a request whose answer comes later: session_later */
	struct ipn_ctl_hdr pending_hdr;
	struct xsk_job *job;
	struct loading *loading;
	struct listener_wait *wait;
	struct again *again;

	/* a monitor: monitor.c */
	bool only;              /* of one network: */
	struct net *only_net;   /* NULL: it has ended */
	__u64 lost;             /* events */
	struct net *cached_net; /* permission: the last network, in this turn of the loop, */
	uint64_t cached_turn;   /* and whether it may know of it: many events come at once */
};

/* Begins to serve; sessions come from the loop. */
int control_new(struct control **out, struct fabric *f, const struct control_opts *opts);
int control_listen(struct control *c);
/* Reads again from sessions of users who are not stuck any more. arg: struct control */
void control_go_on(void *arg);
/* At the very end: what the sockets hold goes with the process. */
void control_free(struct control *c);

void session_free(struct session *s);
/* It keeps the network alive if `holds`, and may manage it. */
void session_bind(struct session *s, struct net *net, bool holds);
/* The port that it sends or receives by; NULL: none. */
struct node *session_node(const struct session *s);
/* The port is the session's from here on. opened: by an AF_XDP socket. */
void session_take_node(struct session *s, struct node *node, bool opened);
/* This request is answered by session_answer; until then nothing more is read from it. */
int session_later(struct session *s, const struct ipn_ctl_hdr *hdr);
/* That answer. status: 0 or -errno with *e. It may end the session. */
void session_answer(struct session *s, int status, const struct errtext *e, const void *body,
		    size_t len, const int *fds, unsigned int nfds);
/* Answers a request that was put aside (again.c). It may end the session. */
void session_again(struct session *s, struct packet *p, const void *data);
/* Ends the sessions, but this, whose clients have closed them and said nothing more. */
void sessions_reap(struct control *c, struct session *but);

#endif
