/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the manager and the keeper (keeper.c) say to each other: packets of one size over a
 * SEQPACKET socket, with the descriptors of a port or door along.
 *
 *	manager                        keeper
 *	PUT slot, descriptors    -->                     in place of what is there
 *	                         <--   REFUSED slot      it could not take them
 *	DEL slot                 -->
 *	                         <--   BACK slot, descriptors   of what was deleted or replaced
 *	LIST                     -->
 *	                         <--   ENTRY slot, descriptors  each, and it keeps them
 *	                         <--   END alone         so long there was no manager
 *
 * Either may be of another version of the program, so a change of this means a new number: who does
 * not know the other's closes the connection, and the manager starts a keeper of its own.
 */
#ifndef IPN_KEEPER_H
#define IPN_KEEPER_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <stddef.h>

#define KEEPER_NAME "ipn-keeper"
#define KEEPER_SOCKET "keeper" /* in the run directory */
#define KEEPER_MAGIC 0x69706e6bU
#define KEEPER_VERSION 1

/* Descriptors that it is started with. */
enum { KEEPER_FD_LISTEN = 3, KEEPER_FD_MANAGER, KEEPER_FD_END };

/* Slots: ports by node, then doors by their key in `doors`. */
#define KEEPER_DOOR(id) (IPN_MAX_NODES + (id))
#define KEEPER_SLOTS (2 * IPN_MAX_NODES)
#define KEEPER_NO_DOOR (~0U)
/* A port: the fabric's socket and the client's stream; a door: what listens, if that is no port. */
#define KEEPER_FDS 2
#define KEEPER_FILE_MAX 32

enum keeper_op {
	KEEPER_PUT = 1,
	KEEPER_DEL = 2,
	KEEPER_LIST = 3,
	KEEPER_ENTRY = 4,
	KEEPER_END = 5,
	KEEPER_BACK = 6,
	KEEPER_REFUSED = 7,
};

struct keeper_msg {
	__u32 magic;
	__u32 version;
	__u32 op;
	__u32 fabric; /* the number of its interfaces' group: others may use the run directory */
	__u32 slot;
	__u32 gen;  /* ports */
	__u32 door; /* ports: where it came in, or KEEPER_NO_DOOR */
	__u32 nfds;
	__u64 alone;                /* END: ms */
	char file[KEEPER_FILE_MAX]; /* ports: goes with it, in the directory of its door */
	char descr[IPN_DESCR_MAX];  /* doors: of their next port */
};
_Static_assert(sizeof(struct keeper_msg) == 40 + KEEPER_FILE_MAX + IPN_DESCR_MAX, "no holes");

/* Sends one; `fds`: msg->nfds of them. -EAGAIN: there is no room now. */
int keeper_send(int fd, const struct keeper_msg *msg, const int *fds);
/*
 * Receives one. fds: those that came, else -1, also when this fails. -EAGAIN: there is none;
 * -EPIPE the other end is gone; -EPROTO this is no such message; -EMFILE not all descriptors came.
 */
int keeper_recv(int fd, struct keeper_msg *msg, int fds[KEEPER_FDS]);

/*
 * The process itself, with the descriptors above. args: the run directory, and the inode of the
 * socket in it. Returns its exit status.
 */
int keeper_run(int nargs, char *const args[]);

#endif
