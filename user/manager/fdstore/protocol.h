/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the manager and the fdstore (store.c) say to each other: packets of one size over a
 * SEQPACKET socket, with the descriptors of a port, listener or network along.
 *
 *	manager                        fdstore
 *	PUT slot, descriptors    -->                     in place of what is there
 *	                         <--   REFUSED slot      it could not take them
 *	DEL slot                 -->
 *	                         <--   BACK slot, descriptors   of what was deleted or replaced
 *	LIST                     -->
 *	                         <--   ENTRY slot, descriptors  each, and it keeps them
 *	                         <--   END alone         so long there was no manager
 *
 * Either may be of another version of the program, so a change of this means a new number: who does
 * not know the other's closes the connection, and the manager starts an fdstore of its own.
 */
#ifndef IPN_MANAGER_FDSTORE_PROTOCOL_H
#define IPN_MANAGER_FDSTORE_PROTOCOL_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <stddef.h>

#define FDSTORE_NAME "ipn-fdstore"
#define FDSTORE_SOCKET "fdstore" /* in the run directory */
#define FDSTORE_MAGIC 0x69706e6bU
#define FDSTORE_VERSION 2

/* Descriptors that it is started with. */
enum { FDSTORE_FD_LISTEN = 3, FDSTORE_FD_MANAGER, FDSTORE_FD_END };

/*
 * Slots: ports by node, then listeners by their key in `listeners`, then networks by number, then
 * lifelines.
 */
#define FDSTORE_LISTENER(id) (IPN_MAX_NODES + (id))
#define FDSTORE_NET(id) (2 * IPN_MAX_NODES + (id))
#define FDSTORE_LIFELINES 1024
#define FDSTORE_LIFELINE(i) (FDSTORE_NET(IPN_MAX_NETS) + (i))
#define FDSTORE_SLOTS FDSTORE_LIFELINE(FDSTORE_LIFELINES)
#define FDSTORE_NO_LISTENER (~0U)
/*
 * A port: the fabric's socket and the client's stream; a listener: what listens, if that is no
 * port, and who opened it (asuser_id_fds); a network: its inode, O_PATH; a lifeline: the manager's
 * end.
 */
#define FDSTORE_FDS 4
#define FDSTORE_FILE_MAX 32

enum fdstore_op {
	FDSTORE_PUT = 1,
	FDSTORE_DEL = 2,
	FDSTORE_LIST = 3,
	FDSTORE_ENTRY = 4,
	FDSTORE_END = 5,
	FDSTORE_BACK = 6,
	FDSTORE_REFUSED = 7,
};

struct fdstore_msg {
	__u32 magic;
	__u32 version;
	__u32 op;
	__u32 fabric; /* the number of its interfaces' group: others may use the run directory */
	__u32 slot;
	__u32 gen;      /* ports */
	__u32 listener; /* ports: where it came in, or FDSTORE_NO_LISTENER; lifelines: an ifindex */
	__u32 nfds;
	__u32 which; /* listeners: a bit for each descriptor that is along; lifelines: a uid */
	__u32 pad;
	__u64 alone;                 /* END: ms */
	__u64 dev, ino;              /* lifelines: of a network; ports: of that file: */
	char file[FDSTORE_FILE_MAX]; /* ports: goes with it, in the directory of its listener */
	char descr[IPN_DESCR_MAX];   /* listeners: of their next port */
};
_Static_assert(sizeof(struct fdstore_msg) == 64 + FDSTORE_FILE_MAX + IPN_DESCR_MAX, "no holes");

/* Sends one; `fds`: msg->nfds of them. -EAGAIN: there is no room now. */
int fdstore_send(int fd, const struct fdstore_msg *msg, const int *fds);
/*
 * Receives one. fds: those that came, else -1, also when this fails. -EAGAIN: there is none;
 * -EPIPE the other end is gone; -EPROTO this is no such message; -EMFILE not all descriptors came.
 */
int fdstore_recv(int fd, struct fdstore_msg *msg, int fds[FDSTORE_FDS]);
/* Closes those that came and were not taken. */
void fdstore_close(int fds[FDSTORE_FDS]);

#endif
