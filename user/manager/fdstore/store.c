// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The fdstore: a process that holds duplicates of the sockets of sock ports and listeners, of the
 * descriptors of networks' inodes, and of lifelines, and does nothing else, so that they outlive
 * the manager.
 *
 * A socket in a sockmap is there as long as somebody has it open. Programs redirect to it and hear
 * from it without any process running. So the death of the manager costs a client nothing if one
 * more process has the socket; the next manager gets it back from there. And the path of a network
 * is never walked again: the next manager gets the inode itself.
 *
 * Objects and owners
 *	entry     what a slot holds: a packet as the manager sent it, and its descriptors. The
 *		  fdstore's, from PUT to DEL or the next PUT of the slot
 *	gone      entries on their way back to the manager. The fdstore's until they are sent
 *	listening socket   RUN_DIR/fdstore, 0600. Made by the manager, which starts the fdstore
 *	connection         one, to the manager that came last: the lock of the run directory says
 *		  who that is. What the one before had sent is read first
 *
 * Order (client.c is the other side)
 *	A port is put when all of it stands: its entries in the maps, its file, its stream, and the
 *	reply to its client. It is deleted when it is out of the maps. So what is kept and does not
 *	stand in the maps is half removed, and what stands in them and is not kept half made: the
 *	next manager ends either.
 *	A listener is put when it listens, and again, without that socket, when this became a port:
 *	after that port. So both may hold the same socket, but at no moment neither.
 *
 * Closing. A client may have left descriptors in its sockets unread whose close takes for ever, and
 * with the socket those are closed. So the fdstore never closes the last duplicate: it sends it
 * back to the manager, which has threads for that (async_close.c). And nobody waits for a close to
 * see the end of a port: the manager shuts its sockets down first.
 *
 * Failure
 *	manager dies       what it had sent is read to the end; then the fdstore waits. If it has
 *			   nothing to keep, it ends, and also when nobody can find it any more: the
 *			   next manager came before it listened and has another, or all was removed
 *	fdstore dies       the manager has all of it, starts another and puts everything again
 *	fdstore is slow    the manager never waits: it remembers which slots have changed, and
 *			   kills an fdstore that does not read for some seconds
 *	both die           the ports end; listeners are opened again, and networks are looked up
 *	no descriptors     that PUT is refused, and its port ends with the manager
 *	no memory          the same
 *	an odd packet      the connection is closed, what is kept stays
 *
 * It has a session of its own, so no terminal's signals, and ends by SIGTERM as anything does at
 * the end of the system. It has no names, no maps, no threads and no powers (powers.c): it looks
 * into none of the sockets that it keeps. It stays the program it was started as when the manager
 * is upgraded; to kill it is the way to a new one.
 */
#include "manager/fdstore/store.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/errtext.h"
#include "common/util.h"
#include "manager/access/powers.h"
#include "manager/fdstore/protocol.h"

#define TURN 64       /* packets, before others are looked at */
#define FIND_MS 2000  /* without a manager: can it be found? */
#define CROWDED_MS 20 /* too many descriptors are under way in the whole system: again after */

struct entry {
	struct entry *next; /* gone */
	struct fdstore_msg msg;
	int fds[FDSTORE_FDS];
};

struct store {
	int listen_fd;
	int fd; /* of the manager; -1: there is none */
	struct entry *slots[FDSTORE_SLOTS];
	__u32 used;
	struct entry *gone, **gone_last;
	bool listing, crowded;
	__u32 list_at;
	__u64 left;  /* ms: when the manager left */
	__u64 alone; /* ms: before this one came */
	const char *dir;
	unsigned long long inode;
};

/* --- what is kept ------------------------------------------------------------------------------*/

static void slot_clear(struct store *k, __u32 slot)
{
	struct entry *e = k->slots[slot];

	if (!e)
		return;
	k->slots[slot] = NULL;
	k->used--;
	e->next = NULL;
	*k->gone_last = e;
	k->gone_last = &e->next;
}

static int slot_put(struct store *k, const struct fdstore_msg *msg, int fds[FDSTORE_FDS])
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->msg = *msg;
	for (int i = 0; i < FDSTORE_FDS; i++)
		e->fds[i] = util_take_fd(&fds[i]);
	slot_clear(k, msg->slot);
	k->slots[msg->slot] = e;
	k->used++;
	return 0;
}

/* --- the manager -------------------------------------------------------------------------------*/

static void manager_left(struct store *k)
{
	util_close_fd(&k->fd);
	k->fd = -1;
	k->listing = k->crowded = false;
	k->left = clock_us() / 1000;
}

/* 0 or -errno: the connection is no more. */
static int obey(struct store *k, const struct fdstore_msg *msg, int fds[FDSTORE_FDS], int r)
{
	struct fdstore_msg refused = *msg;

	if (r == -EPROTO)
		return r;
	switch (msg->op) {
	case FDSTORE_PUT:
		if (!r)
			r = slot_put(k, msg, fds);
		if (!r)
			return 0;
		refused.op = FDSTORE_REFUSED;
		refused.nfds = 0;
		fdstore_send(k->fd, &refused, NULL); /* if it has no room, it does not hear of it */
		return 0;
	case FDSTORE_DEL:
		slot_clear(k, msg->slot);
		return 0;
	case FDSTORE_LIST:
		k->listing = true;
		k->list_at = 0;
		return 0;
	}
	return -EPROTO;
}

/* Reads at most `max` packets; -EAGAIN: there are no more. */
static int hear(struct store *k, unsigned int max)
{
	struct fdstore_msg msg;
	int fds[FDSTORE_FDS], r = 0;

	while (!r && max--) {
		r = fdstore_recv(k->fd, &msg, fds);
		if (!r || r == -EPROTO || r == -EMFILE)
			r = obey(k, &msg, fds, r);
		fdstore_close(fds); /* not the last: who sent them has them still */
	}
	return r;
}

static int say_entry(struct store *k, const struct entry *e, enum fdstore_op op)
{
	struct fdstore_msg msg = e->msg;
	int r;

	msg.op = op;
	r = fdstore_send(k->fd, &msg, e->fds);
	k->crowded = r == -ETOOMANYREFS;
	return k->crowded ? -EAGAIN : r;
}

static int say_gone(struct store *k)
{
	while (k->gone) {
		struct entry *e = k->gone;
		int r = say_entry(k, e, FDSTORE_BACK);

		if (r)
			return r;
		k->gone = e->next;
		if (!k->gone)
			k->gone_last = &k->gone;
		fdstore_close(e->fds); /* the packet has them */
		free(e);
	}
	return 0;
}

static int say_list(struct store *k)
{
	struct fdstore_msg end = { .magic = FDSTORE_MAGIC,
				   .version = FDSTORE_VERSION,
				   .op = FDSTORE_END,
				   .alone = k->alone };
	int r;

	for (; k->list_at < FDSTORE_SLOTS; k->list_at++) {
		if (!k->slots[k->list_at])
			continue;
		r = say_entry(k, k->slots[k->list_at], FDSTORE_ENTRY);
		if (r)
			return r;
	}
	r = fdstore_send(k->fd, &end, NULL);
	if (!r)
		k->listing = false;
	return r;
}

/* All that there is to say, as far as there is room. */
static int answer(struct store *k)
{
	int r = say_gone(k);

	return !r && k->listing ? say_list(k) : r;
}

/* seccomp: fdstore: accept4 getsockopt */
static void manager_new(struct store *k)
{
	_cleanup_close_ int fd = accept4(k->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) || peer.uid != geteuid())
		return;
	k->alone = k->fd < 0 ? clock_us() / 1000 - k->left : 0;
	if (k->fd >= 0) {
		hear(k, 4 * FDSTORE_SLOTS);
		manager_left(k);
	}
	k->fd = util_take_fd(&fd);
}

/*
 * Is it still its socket that the next manager will find? A directory on the way that only
 * capabilities lead through is no answer: then it stays.
 */
/* seccomp: fdstore: newfstatat lstat statx */
static bool can_be_found(const struct store *k)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/" FDSTORE_SOCKET, k->dir);
	if (lstat(path, &st))
		return errno == EACCES;
	return st.st_ino == k->inode;
}

/* seccomp: fdstore: poll ppoll */
static int turn(struct store *k)
{
	bool more = k->gone || k->listing;
	struct pollfd polls[] = {
		{ .fd = k->fd, .events = (short)(POLLIN | (more && !k->crowded ? POLLOUT : 0)) },
		{ .fd = k->listen_fd, .events = POLLIN },
	};
	int n = poll(polls, 2, k->fd < 0 ? FIND_MS : k->crowded ? CROWDED_MS : -1), r = 0;

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0 && k->fd < 0)
		return can_be_found(k) ? 0 : -ENOENT;
	if (k->fd >= 0 && polls[0].revents)
		r = hear(k, TURN);
	if (k->fd >= 0 && (!r || r == -EAGAIN))
		r = answer(k);
	if (r && r != -EAGAIN)
		manager_left(k);
	if (polls[1].revents)
		manager_new(k);
	return 0;
}

/* What its start needs, before it has a filter of its own: the loader of programs, and this. */
/* seccomp: manager: execve arch_prctl set_tid_address prlimit64 access faccessat pread64 */
/* seccomp: manager: readlink newfstatat lstat unshare listen chdir fcntl prctl close_range */
int fdstore_run(int nargs, char *const args[])
{
	struct store *k = calloc(1, sizeof(*k));
	struct errtext e;
	int r = 0;

	prctl(PR_SET_NAME, FDSTORE_NAME);
	if (!k || nargs != 2)
		return 1;
	k->dir = args[0];
	k->inode = strtoull(args[1], NULL, 10);
	if ((k->dir[0] == '/' && chdir("/")) || close_range(FDSTORE_FD_END, ~0U, 0))
		return 1;
	/* it needs no network, and must not keep alive the one that it was started in */
	if (unshare(CLONE_NEWNET) && errno != EPERM && errno != EINVAL)
		return 1;
	k->listen_fd = FDSTORE_FD_LISTEN;
	k->fd = FDSTORE_FD_MANAGER;
	k->gone_last = &k->gone;
	/* it is who listens whom the next manager finds at the other end */
	if (listen(k->listen_fd, 8) || fcntl(k->listen_fd, F_SETFL, O_NONBLOCK))
		return 1;
	if (powers_reduce(POWERS_FDSTORE, &e))
		return 1;
	while (!r && (k->fd >= 0 || k->used))
		r = turn(k);
	return r ? 1 : 0;
}
