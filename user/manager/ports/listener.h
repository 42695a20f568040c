/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Listeners: where programs come in that know nothing of the fabric, and become sock ports. */
#ifndef IPN_MANAGER_LISTENER_H
#define IPN_MANAGER_LISTENER_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

#include "manager/core/objects.h"

struct asuser_call;
struct asuser_id;
struct errtext;
struct vde_clients;

/*
 * Who waits for a listener to be open, or closed with its files removed. Owned by that, which frees
 * it when it has told; fn NULL: nobody wants to know any more.
 */
struct listener_wait {
	void (*fn)(void *arg, int status, const struct errtext *e);
	void *arg;
};

/* Owned by the fabric (its list), with the network that it belongs to. */
struct listener {
	struct fabric *f;
	struct net *net;
	struct listener *next;
	__u32 id; /* key in the map `listeners` */
	struct ipn_listener info;
	struct asuser_id *who; /* who opened it: its files are made and removed as by that user */
	int fd;                /* VDE: listens; UNIX: the socket, while it is no port */
	sd_event_source *source;
	char descr[IPN_DESCR_MAX];   /* UNIX */
	sd_event_source *retry;      /* UNIX, with a peer: until it is there */
	struct vde_clients *clients; /* VDE */
	struct asuser_call *call;    /* under way */
	bool opening;                /* that makes its socket */
	struct listener_wait *wait;  /* for its being open */
	bool ending;
	bool from_config;
	int refused; /* UNIX: why its program did not become a port at the last try */
	/* UNIX: its port is gone, and another program may come */
	void (*port_gone)(struct listener *listener);
};

/* A program that came in by it did not become a port, and cannot be told why: monitors are. */
void listener_turned_away(struct listener *listener, __u32 uid, __u32 pid, __s32 port, int why);

static inline struct listener *listener_by_id(const struct fabric *f, __u32 id)
{
	struct listener *l = f->listeners;

	while (l && l->id != id)
		l = l->next;
	return l;
}

/* Networks that end take their listeners along. Once, before the first of them. */
int listeners_begin(struct fabric *f);

/*
 * Errors as for IPN_CTL_VDE. 0: it will be told to `wait` (taken only then; may be NULL). who: who
 * opens it.
 */
int listener_open(struct net *net, const struct ipn_listener *want, const char *descr,
		  struct asuser_id *who, struct listener_wait *wait, struct errtext *e);
int listener_close(struct net *net, const char *path, struct listener_wait *wait,
		   struct errtext *e);
/* The same from the configuration file: it may be there as it is wanted. Waits, within bounds. */
int listener_from_config(struct net *net, const struct ipn_listener *want, const char *descr,
			 struct errtext *e);
/* Removes a file if it still is that inode, as `who` would. */
void listener_file_remove(struct fabric *f, struct asuser_id *who, const char *path, __u64 dev,
			  __u64 ino);
/* The file of a port that came in by it. */
void listener_port_file_remove(struct listener *listener, const char *name, __u64 dev, __u64 ino);
/* Closes those that listener_from_config opened. */
void listener_undo_config(struct fabric *f);
/* After a restart: those of the map `listeners`, and what came in by them. */
int listeners_adopt(struct fabric *f);
/* Tells the fdstore from now on what there is to be held. */
void listeners_store(struct fabric *f);
/* Lets go of all; their files stay. */
void listeners_free(struct fabric *f);

#endif
