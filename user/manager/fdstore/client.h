/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The manager's side of the fdstore (store.c): a process that holds the sockets of sock ports and
 * listeners, and the inodes of networks, over a restart of the manager.
 */
#ifndef IPN_MANAGER_FDSTORE_CLIENT_H
#define IPN_MANAGER_FDSTORE_CLIENT_H

#include <stdbool.h>
#include <systemd/sd-event.h>

#include "manager/fdstore/protocol.h"

struct async_close;

struct fdstore_entry {
	struct fdstore_msg msg;
	int fds[FDSTORE_FDS]; /* -1: none, or taken */
	bool taken;
};

/* What there is to be held: asked when it is to be told, so nothing else has to be remembered. */
struct fdstore_source {
	/* Is there anything that may have to be held? If not, the process ends. */
	bool (*wanted)(void *arg);
	/* May there be something in this slot? */
	bool (*there)(void *arg, __u32 slot);
	/* Fills in gen, listener, nfds, which, file, descr; the descriptors stay the owner's. */
	bool (*describe)(void *arg, __u32 slot, struct fdstore_msg *msg, int fds[FDSTORE_FDS]);
	void *arg;
};

struct fdstore;
/* run_fd: the run directory, of that name; both must outlive it. fabric: FDSTORE's msg.fabric. */
int fdstore_new(struct fdstore **out, int run_fd, const char *run_dir, __u32 fabric);
/* Tells it the rest (2 s at most), then only lets go of it: the process stays. */
void fdstore_free(struct fdstore *fs);

/* At start: receives what the process has, if there is one. */
int fdstore_take(struct fdstore *fs);
/* What it has in a slot; who takes the descriptors says so. NULL: nothing. */
struct fdstore_entry *fdstore_find(struct fdstore *fs, __u32 slot, __u32 gen);
/* Hands what nobody took to `end`, which closes the descriptors. */
void fdstore_rest(struct fdstore *fs, void (*end)(void *arg, struct fdstore_entry *e), void *arg);
/* ms, for which there was no manager before this one; very long if nobody knows. */
__u64 fdstore_alone(const struct fdstore *fs);

/* From now on there is a process while something is wanted. */
void fdstore_begin(struct fdstore *fs, sd_event *event, struct async_close *closing,
		   const struct fdstore_source *source);
/* What is to be held in this slot may have changed. */
void fdstore_touch(struct fdstore *fs, __u32 slot);
/* `down`: the process ends, and with it whatever it has. */
void fdstore_end(struct fdstore *fs);

#endif
