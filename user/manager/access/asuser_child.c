// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The process that acts as a user: it becomes that user, once and for all, and then does one job
 * after the other.
 *
 * It begins as the program itself, executed anew by the manager, so nothing of the manager's memory
 * and descriptors is in it. Each step of its change is checked; one that fails ends it. The order:
 * groups, mount namespace, root directory (both need the manager's power), gid, uid, capabilities
 * down to those that the user has over files, no new privileges and few system calls (powers.c),
 * not dumpable: another process of the user can stop it or kill it, but neither trace it nor read
 * its memory. The user namespace
 * stays the manager's: it has only the rights that the kernel's ids of the user have.
 *
 * It may wait for ever in a file system of the user's; the manager kills it then, and starts
 * another. It ends when the manager does.
 */
#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdalign.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/errtext.h"
#include "common/fdpass.h"
#include "common/util.h"
#include "manager/access/asuser_proto.h"
#include "manager/access/perm.h"
#include "manager/access/powers.h"

#define BACKLOG 1024
#define NOBODY 65534
#define NO_PORT (~0U)

/* Done before it has its own filter, so under the manager's. */
/* seccomp: manager: setns chroot fchdir chdir setgroups setresuid setresgid getresuid getresgid */
/* seccomp: manager: umask poll fstat mmap lseek connect uname */

/* --- who it is ---------------------------------------------------------------------------------*/

static int receive(void *data, size_t size, int *fds, unsigned int max)
{
	alignas(struct cmsghdr) char control[FDPASS_SPACE(ASUSER_ID_FDS)];
	struct iovec iov = { data, size };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	ssize_t n;

	for (unsigned int i = 0; i < max; i++)
		fds[i] = -1;
	do
		n = recvmsg(ASUSER_FD, &msg, MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	fdpass_get(&msg, fds, max);
	return (size_t)n == size ? 0 : -EPIPE;
}

static int reply(const void *data, size_t size, int fd)
{
	alignas(struct cmsghdr) char control[FDPASS_SPACE(1)];
	struct iovec iov = { (void *)data, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	fdpass_put(&msg, control, &fd, fd >= 0);
	return sendmsg(ASUSER_FD, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int place_take(const struct asuser_blob *b, const int *fds)
{
	int at = 1;

	if (b->has_ns && setns(fds[at++], CLONE_NEWNS))
		return -errno;
	if (b->has_root && (fchdir(fds[at]) || chroot(".")))
		return -errno;
	return chdir("/") ? -errno : 0;
}

static int groups_take(const struct asuser_blob *b, const gid_t *groups, gid_t *gid)
{
	const struct passwd *user;

	*gid = b->gid;
	if (!b->by_name)
		return setgroups(b->ngroups, groups) ? -errno : 0;
	user = getpwuid(b->uid);
	*gid = user ? user->pw_gid : NOBODY;
	if (user)
		return initgroups(user->pw_name, user->pw_gid) ? -errno : 0;
	return setgroups(0, NULL) ? -errno : 0;
}

static int caps_take(__u64 caps)
{
	struct __user_cap_header_struct hdr = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capget, &hdr, data))
		return -errno;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= (__u32)(caps >> 32 * i);
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &hdr, data) ? -errno : 0;
}

static int ids_take(const struct asuser_blob *b, gid_t gid)
{
	uid_t u[3];
	gid_t g[3];

	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) || setresgid(gid, gid, gid) ||
	    setresuid(b->uid, b->uid, b->uid) || getresuid(&u[0], &u[1], &u[2]) ||
	    getresgid(&g[0], &g[1], &g[2]))
		return -errno;
	for (int i = 0; i < 3; i++)
		if (u[i] != b->uid || g[i] != gid)
			return -EPERM;
	return 0;
}

static int identity_take(const struct asuser_blob *b, const gid_t *groups, const int *fds)
{
	struct pollfd p = { .fd = ASUSER_FD };
	struct errtext e;
	gid_t gid;
	int r = groups_take(b, groups, &gid); /* by the manager's files, so before its place */

	if (!r)
		r = place_take(b, fds);
	if (!r)
		r = ids_take(b, gid);
	if (!r)
		r = caps_take(b->caps);
	if (!r && (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ||
		   prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)))
		r = -errno;
	if (!r)
		r = powers_reduce(POWERS_HELPER, &e);
	/* who died before the last step sends no signal */
	return r ? r : poll(&p, 1, 0) > 0 && p.revents & POLLHUP ? -EPIPE : 0;
}

/* All of it is there, with its groups. */
static int blob_map(int fd, const struct asuser_blob **out)
{
	const struct asuser_blob *b;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if ((size_t)st.st_size < sizeof(*b))
		return -EINVAL;
	b = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (b == MAP_FAILED)
		return -errno;
	if (b->ngroups > ((size_t)st.st_size - sizeof(*b)) / sizeof(gid_t)) {
		munmap((void *)b, (size_t)st.st_size);
		return -EINVAL;
	}
	*out = b;
	return 0;
}

/* The first packet. */
static int become(void)
{
	struct asuser_hello hello;
	const struct asuser_blob *b = NULL;
	int fds[ASUSER_ID_FDS], r = receive(&hello, sizeof(hello), fds, ASUSER_ID_FDS);

	if (!r)
		r = blob_map(fds[0], &b);
	if (r || !b)
		return r ? r : -EINVAL;
	r = identity_take(b, (const gid_t *)(b + 1), fds);
	for (int i = 0; i < ASUSER_ID_FDS; i++)
		util_close_fd(&fds[i]);
	hello.status = r;
	return reply(&hello, sizeof(hello), -1) ? -EPIPE : r;
}

/* It is under both filters. */
/* seccomp: helper manager: recvmsg sendmsg openat unlink unlinkat mkdir rmdir socket bind listen */
/* seccomp: helper manager: connect umask statx getdents64 fcntl lseek poll lstat stat */
/* seccomp: helper manager: mknodat mknod */

/* --- what it does ------------------------------------------------------------------------------*/

/* The directory of path, opened, and the name in it. */
static int parent_open(const char *path, const char **name)
{
	char dir[IPN_PATH_MAX];
	char *slash;
	int fd;

	if (path[0] != '/' || util_copy(dir, sizeof(dir), path))
		return -EINVAL;
	slash = strrchr(dir, '/');
	*name = path + (slash - dir) + 1;
	if (!**name)
		return -EINVAL;
	slash[slash == dir] = '\0';
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static bool inode_is(int dir_fd, const char *name, __u64 dev, __u64 ino)
{
	struct stat st;

	return ino && !fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) && st.st_dev == dev &&
	       st.st_ino == ino;
}

static int do_lookup(const struct asuser_packet *q, int *fd)
{
	_cleanup_close_ int found = open(q->path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	struct perm_inode inode;

	if (found < 0)
		return -errno;
	if (q->ino && (perm_inode_get(found, &inode) || inode.dev != q->dev ||
		       inode.ino != q->ino || inode.btime != q->btime))
		return -ESTALE;
	*fd = util_take_fd(&found);
	return 0;
}

static int do_node(const struct asuser_packet *q, struct asuser_reply *a, int *fd)
{
	if (!mknod(q->path, S_IFSOCK | q->mode, 0))
		a->made = 1;
	else if (errno != EEXIST)
		return -errno;
	return do_lookup(q, fd);
}

/* Looked at and removed in one directory, however the way there changes meanwhile. */
static int do_unlink(const struct asuser_packet *q)
{
	const char *name;
	_cleanup_close_ int dir_fd = parent_open(q->path, &name);

	if (dir_fd < 0)
		return dir_fd;
	if (!inode_is(dir_fd, name, q->dev, q->ino))
		return -ESTALE;
	return unlinkat(dir_fd, name, 0) ? -errno : 0;
}

static int do_check(const struct asuser_packet *q)
{
	const char *name;
	_cleanup_close_ int dir_fd = parent_open(q->path, &name);

	if (dir_fd < 0)
		return dir_fd;
	return inode_is(dir_fd, name, q->dev, q->ino) ? 0 : -ESTALE;
}

/* What is at path already is replaced only if it is the inode that the manager made. */
static int bind_at(const struct asuser_packet *q, const char *path, int fd, struct asuser_reply *a)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *name;
	_cleanup_close_ int dir_fd = parent_open(path, &name);
	struct stat st;
	int r;

	if (dir_fd < 0)
		return dir_fd;
	if (util_copy(addr.sun_path, sizeof(addr.sun_path), path))
		return -ENAMETOOLONG;
	if (inode_is(dir_fd, name, q->dev, q->ino))
		unlinkat(dir_fd, name, 0);
	umask((mode_t)~q->mode & 0777);
	r = bind(fd, (void *)&addr, sizeof(addr)) ? -errno : 0;
	umask(0);
	if (r)
		return r;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	a->dev = st.st_dev;
	a->ino = st.st_ino;
	return 0;
}

static int do_vde(const struct asuser_packet *q, struct asuser_reply *a, int *fd)
{
	struct asuser_packet ctl = *q;
	_cleanup_close_ int sock = -1, dir_fd = -1;
	char path[IPN_PATH_MAX + 16];
	int r;

	/* who may write to the directory may not rename what others have in it */
	if (!mkdir(q->path, q->mode | (q->mode & 0022 ? S_ISVTX : 0)))
		a->made = 1;
	else if (errno != EEXIST)
		return -errno;
	dir_fd = open(q->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = dir_fd < 0 ? -errno : 0;
	ctl.mode &= 0666;
	snprintf(path, sizeof(path), "%s/%.15s", q->path, q->file);
	if (!r) {
		sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		r = sock < 0 ? -errno : bind_at(&ctl, path, sock, a);
	}
	if (!r && listen(sock, BACKLOG))
		r = -errno;
	if (r && a->made)
		rmdir(q->path);
	if (!r)
		*fd = util_take_fd(&sock);
	return r;
}

/* The socket that came, or a new one. */
static int dgram(int *fd)
{
	if (*fd < 0)
		*fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return *fd < 0 ? -errno : 0;
}

static int do_bind(const struct asuser_packet *q, struct asuser_reply *a, int *fd)
{
	int r = dgram(fd);

	return r ? r : bind_at(q, q->path, *fd, a);
}

static int do_connect(const struct asuser_packet *q, int *fd)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r = dgram(fd);

	if (r)
		return r;
	util_copy(addr.sun_path, sizeof(addr.sun_path), q->path);
	return connect(*fd, (void *)&addr, sizeof(addr)) ? -errno : 0;
}

static int do_sweep(const struct asuser_packet *q, int keep)
{
	_cleanup_close_ int fd = open(q->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const size_t size = sizeof(__u32) * IPN_MAX_NODES;
	const __u32 *ports = mmap(NULL, size, PROT_READ, MAP_SHARED, keep, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(util_take_fd(&fd));
	unsigned int port, node;
	struct dirent *e;
	char name[32];
	struct stat st;

	while (d && ports != MAP_FAILED && (e = readdir(d))) {
		if (sscanf(e->d_name, "%u.%u", &port, &node) != 2)
			continue;
		snprintf(name, sizeof(name), "%03u.%u", port, node);
		if (!strcmp(name, e->d_name) && (node >= IPN_MAX_NODES || ports[node] != port) &&
		    !fstatat(dirfd(d), name, &st, AT_SYMLINK_NOFOLLOW) && S_ISSOCK(st.st_mode))
			unlinkat(dirfd(d), name, 0);
	}
	if (d)
		closedir(d);
	if (ports != MAP_FAILED)
		munmap((void *)ports, size);
	return d ? 0 : -ENOENT;
}

static int work(const struct asuser_packet *q, struct asuser_reply *a, int *fd)
{
	switch ((enum asuser_op)q->op) {
	case ASUSER_LOOKUP:
		return do_lookup(q, fd);
	case ASUSER_OPEN:
		*fd = open(q->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		return *fd < 0 ? -errno : 0;
	case ASUSER_NODE:
		return do_node(q, a, fd);
	case ASUSER_VDE:
		return do_vde(q, a, fd);
	case ASUSER_BIND:
		return do_bind(q, a, fd);
	case ASUSER_CONNECT:
		return do_connect(q, fd);
	case ASUSER_CHECK:
		return do_check(q);
	case ASUSER_UNLINK:
		return do_unlink(q);
	case ASUSER_RMDIR:
		return rmdir(q->path) ? -errno : 0;
	case ASUSER_SWEEP:
		return do_sweep(q, *fd);
	}
	return -ENOSYS;
}

static int job_do(void)
{
	struct asuser_packet q;
	struct asuser_reply a = { 0 };
	int fd, r = receive(&q, sizeof(q), &fd, 1);

	if (!r) {
		if (q.op <= ASUSER_VDE) { /* these answer with one of their own */
			util_close_fd(&fd);
			fd = -1;
		}
		a.status = work(&q, &a, &fd);
		r = reply(&a, sizeof(a), a.status ? -1 : fd);
	}
	util_close_fd(&fd);
	return r;
}

int asuser_child_run(void)
{
	int r = 0;

	prctl(PR_SET_NAME, ASUSER_NAME);
	umask(0);
	if (close_range(ASUSER_FD + 1, ~0U, 0) || become())
		return 1;
	while (!r)
		r = job_do();
	return r == -EPIPE ? 0 : 1;
}
