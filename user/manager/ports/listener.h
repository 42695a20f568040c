/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listeners: where programs come in that know nothing of the fabric, and become sock ports. */
#ifndef IPN_MANAGER_LISTENER_H
#define IPN_MANAGER_LISTENER_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "manager/core/objects.h"

struct errtext;
struct fdstore_msg;
struct pending;

/* Owned by the fabric (its list), with the network that it belongs to. */
struct listener {
	struct fabric *f;
	struct net *net;
	struct listener *next;
	__u32 id; /* key in the map `listeners` */
	struct ipn_listener info;
	int dir_fd; /* VDE: the directory; UNIX: that which the socket is in */
	int fd;     /* VDE: listens; UNIX: the socket, while it is no port */
	sd_event_source *source;
	char descr[IPN_DESCR_MAX]; /* UNIX */
	sd_event_source *retry;    /* UNIX, with a peer: until it is there */
	struct pending *pending;   /* VDE: clients that are to send a request; oldest first */
	__u32 npending;
	sd_event_source *timer;
	bool ending;
	bool from_config;
	__u64 logged; /* us: when it last complained of a client */
	/* UNIX: its port is gone, and another program may come */
	void (*port_gone)(struct listener *listener);
};

static inline struct listener *listener_by_id(const struct fabric *f, __u32 id)
{
	struct listener *l = f->listeners;

	while (l && l->id != id)
		l = l->next;
	return l;
}

/* Networks that end take their listeners along. Once, before the first of them. */
int listeners_begin(struct fabric *f);

/* Errors as for IPN_CTL_VDE. */
int listener_open(struct net *net, const struct ipn_listener *want, const char *descr,
		  struct errtext *e);
int listener_close(struct net *net, const char *path, struct errtext *e);
/* The same from the configuration file: it may be there as it is wanted. */
int listener_from_config(struct net *net, const struct ipn_listener *want, const char *descr,
			 struct errtext *e);
/* Closes those that listener_from_config opened. */
void listener_undo_config(struct fabric *f);
/* After a restart: those of the map `listeners`, and what came in by them. */
void listeners_adopt(struct fabric *f);
/* Tells the fdstore from now on what there is to be held. */
void listeners_store(struct fabric *f);
/* Lets go of all; their files stay. */
void listeners_free(struct fabric *f);

#endif
