/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who is at the other end, and what may that process do with an inode.
 *
 * Theory of operation
 *
 * The rights of a peer on an inode are asked of the kernel, not computed: the calling thread takes
 * the peer's supplementary groups, file-system gid and file-system uid, asks faccessat2() three
 * times about the O_PATH descriptor, and goes back. So mode bits, POSIX ACLs, security modules and
 * read-only mounts count as they do for the peer itself, and the path is not walked again.
 * - Raw system calls, because glibc's setgroups() changes all threads of the process.
 * - AT_EACCESS: without it the kernel judges by the real ids, which stay the manager's.
 * - The manager's own power over files (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH) is taken out of the
 *   thread's effective set for the question. For most peers the kernel does that by itself as the
 *   file-system uid leaves 0, but not for a peer that is root without these capabilities, nor under
 *   SECBIT_NO_SETUID_FIXUP, nor for a manager that is not root.
 * - A peer that is root and has CAP_DAC_OVERRIDE has every right, x of an inode without any x bit
 *   included. Capabilities of other users count for nothing here: access(2) does the same.
 * - A thread that cannot get its own identity back must not go on: abort().
 *
 * A socket tells the ids its peer had at connect(), but not the capabilities: these are read from
 * /proc and are of now. Between the two the process may have died and its pid may be another's, or
 * it may have executed a program that gives it more than it had. So:
 * - The process is held by a pidfd from the socket itself (SO_PEERPIDFD, Linux 6.5), and must still
 *   be there after everything was read. Older kernels: a pidfd of the pid, and the socket must not
 *   be hung up yet.
 * - All its uids must be what the socket says: it did not run a set-uid program (and wait in it,
 *   while a child of its speaks on the socket).
 * - It must live in our user namespace, else its capabilities mean something else.
 * - Effective capabilities count for root. Another user could have gained them since by running a
 *   program with file capabilities; ambient ones cannot be gained so. They must have both.
 * Whatever cannot be read or does not fit means no capability.
 *
 * On file systems that ask someone else (FUSE, NFS) faccessat2() may wait for an answer.
 * perm_inode_get() never does: compare the inode with the known networks first, then judge it. None
 * of these is on such a file system (fstype.c).
 */
#include "manager/access/perm.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include "common/util.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* 32-bit ids on every architecture. */
#ifdef SYS_setgroups32
#define SYS_IPN_SETGROUPS SYS_setgroups32
#define SYS_IPN_GETGROUPS SYS_getgroups32
#else
#define SYS_IPN_SETGROUPS SYS_setgroups
#define SYS_IPN_GETGROUPS SYS_getgroups
#endif

#define DAC_CAPS (1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH)
_Static_assert(CAP_DAC_OVERRIDE < 32 && CAP_DAC_READ_SEARCH < 32, "in the first word");

/* What a thread must get back after it was someone else. */
struct identity {
	uid_t fsuid;
	gid_t fsgid;
	gid_t *groups;
	int ngroups;
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
};

/* seccomp: manager: capget capset getgroups setgroups setfsuid setfsgid */
static int caps_set(const struct __user_cap_data_struct *caps)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };

	return syscall(SYS_capset, &hdr, caps) < 0 ? -errno : 0;
}

static int identity_get(struct identity *id)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	_cleanup_free_ gid_t *groups = NULL;
	long n;

	if (syscall(SYS_capget, &hdr, id->caps) < 0)
		return -errno;
	n = syscall(SYS_IPN_GETGROUPS, 0, NULL);
	if (n < 0)
		return -errno;
	groups = calloc((size_t)n + 1, sizeof(*groups));
	if (!groups)
		return -ENOMEM;
	n = syscall(SYS_IPN_GETGROUPS, (int)n, groups);
	if (n < 0)
		return -errno;
	id->groups = util_take_ptr(groups);
	id->ngroups = (int)n;
	/* An id that is none changes nothing and tells the present one. */
	id->fsuid = (uid_t)setfsuid((uid_t)-1);
	id->fsgid = (gid_t)setfsgid((gid_t)-1);
	return 0;
}

static int fsids_set(uid_t uid, gid_t gid)
{
	setfsgid(gid);
	setfsuid(uid);
	/* They do not report failure. */
	if ((uid_t)setfsuid((uid_t)-1) != uid || (gid_t)setfsgid((gid_t)-1) != gid)
		return -EPERM;
	return 0;
}

/* Takes the peer's identity. On failure the thread may be in between: restore. */
static int identity_take(const struct identity *own, const struct perm_peer *peer)
{
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3];
	int r;

	if (syscall(SYS_IPN_SETGROUPS, peer->ngroups, peer->groups) < 0)
		return -errno;
	r = fsids_set(peer->uid, peer->gid);
	if (r < 0)
		return r;
	memcpy(caps, own->caps, sizeof(caps));
	caps[0].effective &= ~DAC_CAPS;
	return caps_set(caps);
}

static void identity_restore(const struct identity *own)
{
	/*
	 * The uid first: its way back to 0 gives the thread all file-system capabilities that it
	 * may have; capset() then leaves it with exactly those it had.
	 */
	if (fsids_set(own->fsuid, own->fsgid) < 0 ||
	    syscall(SYS_IPN_SETGROUPS, own->ngroups, own->groups) < 0 || caps_set(own->caps) < 0) {
		fprintf(stderr, "perm: cannot return to uid %u, gid %u: %s\n", own->fsuid,
			own->fsgid, strerror(errno));
		abort();
	}
}

/* seccomp: manager: faccessat2 openat openat2 statx poll getsockopt */
static bool inode_allows(int fd, int mode)
{
	return syscall(SYS_faccessat2, fd, "", mode, AT_EACCESS | AT_EMPTY_PATH) == 0;
}

int perm_check(int fd, const struct perm_peer *peer)
{
	struct identity own;
	int mask = 0;
	int r;

	if (fcntl(fd, F_GETFD) < 0)
		return -errno;
	if (peer->uid == 0 && perm_cap(peer, CAP_DAC_OVERRIDE))
		return PERM_R | PERM_W | PERM_X;

	r = identity_get(&own);
	if (r < 0)
		return r;
	r = identity_take(&own, peer);
	if (r == 0) {
		mask |= inode_allows(fd, R_OK) ? PERM_R : 0;
		mask |= inode_allows(fd, W_OK) ? PERM_W : 0;
		mask |= inode_allows(fd, X_OK) ? PERM_X : 0;
	}
	identity_restore(&own);
	free(own.groups);
	return r < 0 ? r : mask;
}

static int groups_get(int sock, struct perm_peer *peer)
{
	_cleanup_free_ gid_t *groups = NULL;
	socklen_t len = 32 * sizeof(*groups);

	/* The kernel says how much it needs; a peer's groups do not change after connect(). */
	for (int tries = 0; tries < 3; tries++) {
		socklen_t size = len;
		gid_t *grown = realloc(groups, size ? size : sizeof(*groups));

		if (!grown)
			return -ENOMEM;
		groups = grown;
		if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0) {
			peer->ngroups = (int)(len / sizeof(*groups));
			peer->groups = util_take_ptr(groups);
			return 0;
		}
		/* No credentials were recorded: there are no groups either. */
		if (errno == ENODATA)
			return 0;
		if (errno != ERANGE)
			return -errno;
		if (len <= size || len > PERM_GROUPS_MAX * sizeof(*groups))
			return -E2BIG;
	}
	return -E2BIG;
}

/* Does someone still hold the other end? */
static bool peer_connected(int sock)
{
	struct pollfd pfd = { .fd = sock };

	return poll(&pfd, 1, 0) >= 0 && !(pfd.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* A pidfd of the process that connected. */
static int peer_pidfd(int sock, pid_t pid)
{
	int pidfd = -1;
	socklen_t len = sizeof(pidfd);
	int fd;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
		return pidfd;
	if (errno != ENOPROTOOPT)
		return -errno;
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return -errno;
	if (!peer_connected(sock)) {
		close(fd);
		return -ESRCH;
	}
	return fd;
}

static int file_read(int dirfd, const char *name, char *buf, size_t size)
{
	_cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	size_t have = 0;

	if (fd < 0)
		return -errno;
	while (have < size - 1) {
		ssize_t n = read(fd, buf + have, size - 1 - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	buf[have] = '\0';
	return 0;
}

/* The value of a line "\nName:\t" of /proc/PID/status. The first line (Name:) is the peer's own. */
static const char *status_field(const char *status, const char *field)
{
	const char *at = strstr(status, field);

	return at ? at + strlen(field) : NULL;
}

static bool status_caps(const char *status, const char *field, unsigned long long *caps)
{
	const char *s = status_field(status, field);

	return s && sscanf(s, "%llx", caps) == 1;
}

/*
 * The owner of the user namespace below ours that `ns` is or is in; -1: it is ours, or in none of
 * ours.
 */
static uid_t namespace_owner(int ns)
{
	_cleanup_close_ int at = fcntl(ns, F_DUPFD_CLOEXEC, 0);
	struct stat ours, here;
	uid_t owner = (uid_t)-1;

	if (at < 0 || stat("/proc/self/ns/user", &ours))
		return (uid_t)-1;
	for (int depth = 0; depth < 64 && !fstat(at, &here); depth++) {
		uid_t uid;
		int parent;

		if (here.st_dev == ours.st_dev && here.st_ino == ours.st_ino)
			return owner;
		if (ioctl(at, NS_GET_OWNER_UID, &uid))
			return (uid_t)-1;
		owner = uid;
		parent = ioctl(at, NS_GET_PARENT);
		if (parent < 0)
			return (uid_t)-1;
		close(at);
		at = parent;
	}
	return (uid_t)-1;
}

uid_t perm_account(int sock, pid_t pid, uid_t uid)
{
	_cleanup_close_ int pidfd = -1, ns = -1;
	char path[48];
	uid_t owner;

	if (pid <= 0)
		return uid;
	pidfd = peer_pidfd(sock, pid);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	ns = pidfd < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
	/* alive still: so the pid was its own */
	if (ns < 0 || (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0 && errno != EPERM))
		return uid;
	owner = namespace_owner(ns);
	return owner == (uid_t)-1 ? uid : owner;
}

/*
 * Capabilities of the peer that count, as the head of this file says; 0 whenever in doubt.
 */
static unsigned long long peer_caps(int sock, const struct perm_peer *peer)
{
	unsigned long long effective;
	unsigned long long ambient;
	unsigned int uid[4];
	struct stat theirs;
	struct stat ours;
	char path[32];
	/* Groups: is a line of up to 11 bytes for each group; it stands before the capabilities. */
	const size_t size = 16384 + 12 * (size_t)peer->ngroups;
	_cleanup_free_ char *status = malloc(size);
	_cleanup_close_ int pidfd = -1;
	_cleanup_close_ int dir = -1;
	const char *s;

	if (!status || peer->pid <= 0)
		return 0;
	pidfd = peer_pidfd(sock, peer->pid);
	if (pidfd < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d", peer->pid);
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 || file_read(dir, "status", status, size) < 0 ||
	    fstatat(dir, "ns/user", &theirs, 0) < 0 || stat("/proc/self/ns/user", &ours) < 0)
		return 0;
	/* Alive still: so the pid was its own, and the directory is about it. */
	if (syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) < 0 && errno != EPERM)
		return 0;

	if (theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino)
		return 0;
	s = status_field(status, "\nUid:\t");
	if (!s || sscanf(s, "%u %u %u %u", &uid[0], &uid[1], &uid[2], &uid[3]) != 4)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(uid); i++)
		if (uid[i] != peer->uid)
			return 0;
	if (!status_caps(status, "\nCapEff:\t", &effective) ||
	    !status_caps(status, "\nCapAmb:\t", &ambient))
		return 0;
	return peer->uid == 0 ? effective : effective & ambient;
}

int perm_peer_get(int sock, struct perm_peer *peer)
{
	struct perm_peer p = { .pid = 0 };
	struct ucred cred;
	socklen_t len = sizeof(cred);
	unsigned long long caps;
	int r;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	p.pid = cred.pid;
	p.uid = cred.uid;
	p.gid = cred.gid;
	/* A socket without a peer says so by ids that are none. */
	if (p.uid == (uid_t)-1 || p.gid == (gid_t)-1)
		return -ENOTCONN;
	r = groups_get(sock, &p);
	if (r < 0)
		return r;
	caps = peer_caps(sock, &p);
	p.caps = caps;
	p.account = perm_account(sock, p.pid, p.uid);
	*peer = p;
	return 0;
}

void perm_peer_free(struct perm_peer *peer)
{
	free(peer->groups);
	peer->groups = NULL;
	peer->ngroups = 0;
}

int perm_inode_get(int fd, struct perm_inode *inode)
{
	const unsigned int need = STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID |
				  STATX_INO;
	struct statx sx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, need | STATX_BTIME, &sx) < 0)
		return -errno;
	if ((sx.stx_mask & need) != need)
		return -EIO;
	*inode = (struct perm_inode){
		.dev = makedev(sx.stx_dev_major, sx.stx_dev_minor),
		.ino = sx.stx_ino,
		.mode = sx.stx_mode,
		.uid = sx.stx_uid,
		.gid = sx.stx_gid,
		.nlink = sx.stx_nlink,
	};
	if (sx.stx_mask & STATX_BTIME)
		inode->btime = (__u64)sx.stx_btime.tv_sec * 1000000000 + sx.stx_btime.tv_nsec;
	return 0;
}
