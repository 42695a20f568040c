/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of users are resolved by processes that act as the user.
 *
 * The manager walks no path that a client named: it would do so with its own rights, in its own
 * mount namespace, and as long as the file systems on the way like. A process with the identity of
 * the client does it (asuser_child.c), and sends up the descriptors and what came of it.
 */
#ifndef IPN_MANAGER_ASUSER_H
#define IPN_MANAGER_ASUSER_H

#include <ipn/abi.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <systemd/sd-event.h>

struct asuser;
struct asuser_call;
struct asuser_id;
struct perm_peer;

#define ASUSER_NAME "ipn-asuser"
#define ASUSER_WAIT_MS 3000 /* for uses where there is no loop: at start, and at the end */
#define ASUSER_ID_FDS 3

/* --- identities --- */

/*
 * That of the process at the other end of a socket: ids and groups as the socket tells them, its
 * mount namespace and root directory, and those of its capabilities that are about files.
 * -ESRCH: it is not there any more.
 */
int asuser_id_of(int sock, const struct perm_peer *peer, struct asuser_id **out);
/* Of a user whose processes are not known: the groups are those of the user database. */
int asuser_id_owner(uid_t uid, uid_t account, struct asuser_id **out);
/* The manager's own: for what root wrote into a file. */
int asuser_id_self(struct asuser_id **out);
/*
 * For the fdstore: its descriptors, which stay its own; -1: it has not this one. The second makes
 * one of such (taken, also on failure).
 */
void asuser_id_fds(const struct asuser_id *id, int fds[ASUSER_ID_FDS]);
int asuser_id_from(int fds[ASUSER_ID_FDS], struct asuser_id **out);
struct asuser_id *asuser_id_ref(struct asuser_id *id);
void asuser_id_unref(struct asuser_id *id);

/* --- what can be done --- */

enum asuser_op {
	/* Opens path (O_PATH, no symbolic link) if it is dev, ino, btime; any if ino is 0. */
	ASUSER_LOOKUP = 1, /* -> fd */
	/* Opens path for reading. -> fd */
	ASUSER_OPEN,
	/* Makes an inode of a socket at path, if nothing is there, and opens it like LOOKUP. */
	ASUSER_NODE, /* -> made, fd */
	/* Makes the directory path, if it is not there, and binds a stream socket in it, `file`. */
	ASUSER_VDE, /* -> made, dev, ino, fd */
	/* Binds a socket at path: the one given, or else a datagram socket. */
	ASUSER_BIND, /* -> dev, ino, fd */
	/* Connects a datagram socket, the one given or else a new one, to path. */
	ASUSER_CONNECT, /* -> fd */
	/* Is path the inode dev, ino? */
	ASUSER_CHECK,
	/* Removes path if it is dev, ino. */
	ASUSER_UNLINK,
	/* Removes the directory path. */
	ASUSER_RMDIR,
	/*
	 * Removes sockets PORT.NODE in the directory path, but those that the descriptor, an array
	 * of IPN_MAX_NODES numbers of ports, knows.
	 */
	ASUSER_SWEEP,
};

/* dev, ino: BIND and VDE first remove what is there, if it is this inode. */
struct asuser_job {
	enum asuser_op op;
	__u32 mode; /* of what is made, whatever the umask */
	__u64 dev;
	__u64 ino;
	__u64 btime;
	int fd; /* stays the caller's; -1: none */
	char path[IPN_PATH_MAX];
	char file[16];
};

struct asuser_result {
	int status; /* 0, -errno; -ETIMEDOUT, -EBUSY: not done */
	bool made;  /* VDE: the directory */
	__u64 dev;
	__u64 ino;
	int fd; /* -1, or of who hears of the result: it is closed unless it was taken */
};

typedef void asuser_fn(void *arg, struct asuser_result *result);

/* --- calls --- */

int asuser_new(struct asuser **out);
/* From now on there is a loop. */
int asuser_begin(struct asuser *as, sd_event *event);
/* Nobody hears of what is under way. */
void asuser_free(struct asuser *as);

/*
 * fn is told the result, never before this returns; jobs of one identity are done in their order.
 * NULL: there is no memory, or no descriptor. fn may be NULL.
 */
struct asuser_call *asuser_start(struct asuser *as, struct asuser_id *id,
				 const struct asuser_job *job, asuser_fn *fn, void *arg);
/* fn is not told; it is not done if it has not begun yet. NULL is none. */
void asuser_forget(struct asuser_call *call);
/*
 * fn is told when what was started since `from` (asuser_count, before) is done, or has failed;
 * never before this returns. -ENOENT: it is already. -ENOMEM.
 */
__u64 asuser_count(const struct asuser *as);
int asuser_after(struct asuser *as, __u64 from, void (*fn)(void *arg), void *arg);
/* Without a loop: waits until all is done, at most so long; or until *done is. */
void asuser_settle(struct asuser *as, unsigned int ms);
void asuser_wait(struct asuser *as, const bool *done);
/* One job of the manager's own, waited for. 0 or -errno. */
int asuser_do(struct asuser *as, const struct asuser_job *job, struct asuser_result *result);

#endif
