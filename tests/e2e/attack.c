// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attacks by descriptors and by what is kept: attack ATTACK [ARGUMENT...]
 *
 *   linger HOW        sends a TCP socket whose close takes a minute. HOW: `close` with a request,
 *                     `many` among 200 of them, `empty` in a packet without a byte, `queue`
 *                     behind a request that ends the session
 *   flush HOW         the same with a file of a FUSE server that never answers (needs a user
 *                     namespace)
 *   fuse DIRECTORY    mounts such a file system there, for all, with a socket `net` in it that
 *                     belongs to nobody; as root
 *   hang DIRECTORY    the same, and no name below it is ever found or not found
 *   net PATH           makes a network of the socket there: says what came of it
 *   hoard PATH COUNT  makes a network, keeps its log, lets it end, COUNT times: says how often it
 *                     could
 *   flip DIR COUNT    makes networks by a path whose directory is now DIR/real, now DIR/victim
 *   busy PATH COUNT   makes a network and resizes it all the time, in so many sessions
 *   monitors COUNT    that many monitors: says how many it could have
 *   overruns PATH COUNT  joins so often, and says ever more overruns in its pages
 *
 * What goes on until SIGTERM says "ready" first.
 */
#include <ipn/af_ipn.h>
#include <ipn/control.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rawctl.h"

#define MANY 200

/* One request and its reply: the status, the body and the descriptors. */
static int call(int fd, __u16 type, const void *body, size_t len, int with, void *out, size_t size)
{
	struct {
		struct ipn_ctl_hdr hdr;
		char body[IPN_CTL_MAX_PACKET - sizeof(struct ipn_ctl_hdr)];
	} packet = { .hdr = { .magic = IPN_CTL_MAGIC,
			      .version = IPN_CTL_VERSION,
			      .type = type,
			      .len = (__u32)(sizeof(packet.hdr) + len) } };

	if (len)
		memcpy(packet.body, body, len);
	if (!put(fd, &packet, packet.hdr.len, &with, with >= 0) && errno != EPIPE)
		die("send");
	return get(fd, out, size, -1);
}

static void until_term(void)
{
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	puts("ready");
	fflush(stdout);
	sigwait(&set, &number);
}

/* --- descriptors whose close takes long --- */

static int listener = -1;

static int lingering(void)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 60 };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in to;
	socklen_t len = sizeof(to);
	static char junk[65536];

	if (getsockname(listener, (void *)&to, &len) || connect(fd, (void *)&to, len))
		die("TCP");
	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)))
		die("SO_LINGER");
	while (send(fd, junk, sizeof(junk), MSG_DONTWAIT) > 0)
		;
	return fd;
}

static void give(int fd, const char *how)
{
	struct ipn_ctl_hdr info = { .magic = IPN_CTL_MAGIC,
				    .version = IPN_CTL_VERSION,
				    .type = IPN_CTL_INFO,
				    .len = sizeof(info) };
	struct ipn_ctl_hdr none = { 0 };
	unsigned int nfds = strcmp(how, "many") ? 1 : MANY;
	size_t len = strcmp(how, "empty") ? sizeof(info) : 0;
	int fds[MANY], s = -1;

	for (int i = 0; i < MANY; i++)
		fds[i] = fd;
	do { /* until the manager does not hang up between the two */
		if (s >= 0)
			close(s);
		s = manager();
		if (!strcmp(how, "queue"))
			put(s, &none, sizeof(none), NULL, 0);
	} while (!put(s, &info, len, fds, nfds));
}

/*
 * The manager must have the last of it: who exits does not wait. It may be faster than the exit, so
 * there are some.
 */
static int linger(const char *how)
{
	struct sockaddr_in any = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&any, sizeof(any)) || listen(listener, 100))
		die("TCP");
	for (int i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (!pid) {
			give(lingering(), how);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	until_term();
	return 0;
}

static int listener_at(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	struct sockaddr_in any = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&any, sizeof(any)) || listen(listener, 100))
		die("TCP");
	for (int i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (!pid) {
			int s = socket(AF_UNIX, SOCK_STREAM, 0), fd = lingering();

			if (connect(s, (void *)&sun, sizeof(sun)))
				die(path);
			put(s, "", 1, &fd, 1);
			put(s, "", 1, &fd, 1);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
	until_term();
	return 0;
}

/* --- a file system that does not answer --- */

struct answer {
	struct fuse_out_header hdr;
	union {
		struct fuse_init_out init;
		struct fuse_entry_out entry;
		struct fuse_attr_out attr;
		struct fuse_open_out open;
	};
};

/*
 * Answers what leads to a file and to opening it, and nothing else: neither FLUSH nor ACCESS nor
 * STATFS.
 */
static void serve(int dev, __u32 uid, bool hang)
{
	static _Alignas(8) char in[FUSE_MIN_READ_BUFFER + 65536];
	struct fuse_in_header *q = (void *)in;

	while (read(dev, in, sizeof(in)) > 0) {
		struct answer a = { .hdr.unique = q->unique };
		size_t body = 0;
		struct fuse_attr *attr = NULL;

		switch (q->opcode) {
		case FUSE_INIT:
			a.init.major = FUSE_KERNEL_VERSION;
			a.init.minor = 31;
			a.init.max_write = 65536;
			body = sizeof(a.init);
			break;
		case FUSE_LOOKUP:
			if (hang)
				continue;
			a.entry.nodeid = strcmp((char *)(q + 1), "net") ? 3 : 2;
			a.entry.entry_valid = a.entry.attr_valid = 3600;
			attr = &a.entry.attr;
			attr->ino = a.entry.nodeid;
			attr->mode = a.entry.nodeid == 2 ? S_IFSOCK | 0777 : S_IFREG | 0777;
			body = sizeof(a.entry);
			break;
		case FUSE_GETATTR:
			a.attr.attr_valid = 3600;
			attr = &a.attr.attr;
			attr->ino = q->nodeid;
			attr->mode = q->nodeid == 1   ? S_IFDIR | 0777
				     : q->nodeid == 2 ? S_IFSOCK | 0777
						      : S_IFREG | 0777;
			body = sizeof(a.attr);
			break;
		case FUSE_OPEN:
		case FUSE_OPENDIR:
			a.open.fh = 1;
			body = sizeof(a.open);
			break;
		default:
			continue;
		}
		if (attr) {
			attr->nlink = 1;
			attr->uid = attr->gid = uid;
		}
		a.hdr.len = (__u32)(sizeof(a.hdr) + body);
		if (write(dev, &a, a.hdr.len) < 0)
			die("FUSE");
	}
}

static int fuse_mount(const char *dir, const char *more)
{
	char opts[128];
	int dev = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	snprintf(opts, sizeof(opts), "fd=%d,rootmode=40777,user_id=%u,group_id=%u%s", dev, getuid(),
		 getgid(), more);
	if (dev < 0 || mount("fuse", dir, "fuse", MS_NOSUID | MS_NODEV, opts)) {
		fprintf(stderr, "attack: FUSE: %s\n", strerror(errno));
		exit(77);
	}
	return dev;
}

static void map_self(uid_t uid, gid_t gid)
{
	char text[64];
	int fd;

	if (unshare(CLONE_NEWUSER | CLONE_NEWNS)) {
		fprintf(stderr, "attack: no user namespace: %s\n", strerror(errno));
		exit(77);
	}
	fd = open("/proc/self/setgroups", O_WRONLY);
	if (fd < 0 || write(fd, "deny", 4) != 4)
		die("setgroups");
	close(fd);
	snprintf(text, sizeof(text), "0 %u 1", uid);
	fd = open("/proc/self/uid_map", O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die("uid_map");
	close(fd);
	snprintf(text, sizeof(text), "0 %u 1", gid);
	fd = open("/proc/self/gid_map", O_WRONLY);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die("gid_map");
	close(fd);
}

/*
 * The server is the parent: when it is killed, the file system is gone, and the child is not kept
 * by its own files.
 */
static int flush(const char *how)
{
	int dev, fd;

	map_self(getuid(), getgid());
	dev = fuse_mount("/mnt", "");
	if (fork()) {
		serve(dev, 0, false);
		return 0;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(dev);
	fd = open("/mnt/file", O_RDWR);
	if (fd < 0)
		die("file on FUSE");
	give(fd, how); /* each close of it asks the server */
	until_term();
	return 0;
}

static int fuse(const char *dir, bool hang)
{
	int dev = fuse_mount(dir, ",allow_other");

	puts("ready");
	fflush(stdout);
	serve(dev, 65534, hang);
	return 0;
}

/* --- what is kept --- */

static int hoard(const char *path, int count)
{
	struct ipn_ctl_net_add add = { .policy = IPN_BROADCAST, .mtu = 65535, .pool = 512 };
	struct ipn_ctl_connect connect = { .port = IPN_PORTNO_ANY };
	struct ipn_ctl_connected c;
	int n = 0, r = 0;

	snprintf(add.path, sizeof(add.path), "%s", path);
	for (; n < count && !r; n++) {
		int fd, s = manager();

		unlink(path);
		if (mknod(path, S_IFSOCK | 0777, 0))
			die(path);
		fd = open(path, O_PATH);
		r = call(s, IPN_CTL_NET_ADD, &add, sizeof(add), fd, NULL, 0);
		if (!r)
			r = call(s, IPN_CTL_CONNECT, &connect, sizeof(connect), -1, &c, sizeof(c));
		close(s);
		close(fd);
		if (r)
			break;
		/* all but the tap are kept */
		close(got_fds[0]);
	}
	printf("%d %s\n", n, r > 0 ? strerrorname_np(r) : "-");
	until_term();
	return 0;
}

static int flip(const char *dir, int count)
{
	char path[256], there[256];
	int s = manager();

	snprintf(path, sizeof(path), "%s/real", dir);
	snprintf(there, sizeof(there), "%s/to", dir);
	if (mkdir(path, 0755) || symlink("real", there))
		die(dir);
	for (int i = 0; i < count; i++) {
		struct ipn_ctl_net_add add = { .policy = IPN_BROADCAST, .persistent = 1 };
		int fd;

		snprintf(path, sizeof(path), "%s/real/n%d", dir, i);
		if (mknod(path, S_IFSOCK | 0777, 0))
			die(path);
		fd = open(path, O_PATH);
		snprintf(add.path, sizeof(add.path), "%s/to/n%d", dir, i);
		errno = call(s, IPN_CTL_NET_ADD, &add, sizeof(add), fd, NULL, 0);
		if (errno)
			die(path);
		close(fd);
	}
	snprintf(path, sizeof(path), "%s/other", dir);
	if (symlink("victim", path))
		die(path);
	puts("ready");
	fflush(stdout);
	for (;;)
		renameat2(AT_FDCWD, path, AT_FDCWD, there, RENAME_EXCHANGE);
	return 0;
}

static int net(const char *path)
{
	struct ipn_ctl_net_add add = { .policy = IPN_BROADCAST, .persistent = 1 };
	int r;

	snprintf(add.path, sizeof(add.path), "%s", path);
	r = call(manager(), IPN_CTL_NET_ADD, &add, sizeof(add), open(path, O_PATH), NULL, 0);
	puts(r > 0 ? strerrorname_np(r) : r ? "hung up" : "ok");
	until_term();
	return 0;
}

static void resize_forever(int s)
{
	struct ipn_ctl_resize resize = { .numnodes = 4096 };

	for (;;) {
		if (call(s, IPN_CTL_RESIZE, &resize, sizeof(resize), -1, NULL, 0) < 0)
			exit(1);
		resize.numnodes ^= 4096 ^ 1;
	}
}

static int busy(const char *path, int count)
{
	struct ipn_ctl_net_add add = { .policy = IPN_BROADCAST, .persistent = 1 };
	struct ipn_ctl_bind bind = { .policy = IPN_ANY };
	int fd, *sessions = calloc((size_t)count + 1, sizeof(int));

	snprintf(add.path, sizeof(add.path), "%s", path);
	if (!sessions || mknod(path, S_IFSOCK | 0777, 0))
		die(path);
	fd = open(path, O_PATH);
	errno = call(manager(), IPN_CTL_NET_ADD, &add, sizeof(add), fd, NULL, 0);
	if (errno)
		die(path);
	for (int i = 0; i < count; i++) {
		int s = sessions[i] = manager();

		errno = call(s, IPN_CTL_BIND, &bind, sizeof(bind), fd, NULL, 0);
		if (errno)
			die("bind");
	}
	for (int i = 0; i < count; i++) {
		if (!fork()) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			resize_forever(sessions[i]);
		}
	}
	until_term();
	return 0;
}

static int monitors(int count)
{
	int n = 0, r = 0;

	while (n < count && !r) {
		r = call(manager(), IPN_CTL_MONITOR, NULL, 0, -1, NULL, 0);
		n += !r;
	}
	printf("%d %s\n", n, r > 0 ? strerrorname_np(r) : "-");
	until_term();
	return 0;
}

static int overruns(const char *path, int count)
{
	struct ipn_ctl_connect connect = { .port = IPN_PORTNO_ANY };
	struct ipn_page **pages = calloc((size_t)count + 1, sizeof(struct ipn_page *));
	int net = open(path, O_PATH);

	if (!pages || net < 0)
		die(path);
	for (int i = 0; i < count; i++) {
		struct ipn_ctl_connected c;
		int r = call(manager(), IPN_CTL_CONNECT, &connect, sizeof(connect), net, &c,
			     sizeof(c));

		errno = r;
		if (r)
			die("join");
		pages[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, got_fds[2], 0);
		if (pages[i] == MAP_FAILED)
			die("page");
	}
	puts("ready");
	fflush(stdout);
	for (;;) {
		for (int i = 0; i < count; i++)
			pages[i]->overrun++;
		usleep(100000);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct rlimit files;
	const char *what = argc > 1 ? argv[1] : "", *arg = argc > 2 ? argv[2] : "";
	int count = argc > 3 ? atoi(argv[3]) : 0;

	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	if (!strcmp(what, "linger"))
		return linger(arg);
	if (!strcmp(what, "listener"))
		return listener_at(arg);
	if (!strcmp(what, "flush"))
		return flush(arg);
	if (!strcmp(what, "fuse"))
		return fuse(arg, false);
	if (!strcmp(what, "hang"))
		return fuse(arg, true);
	if (!strcmp(what, "hoard"))
		return hoard(arg, count);
	if (!strcmp(what, "busy"))
		return busy(arg, count);
	if (!strcmp(what, "net"))
		return net(arg);
	if (!strcmp(what, "flip"))
		return flip(arg, count);
	if (!strcmp(what, "monitors"))
		return monitors(atoi(arg));
	if (!strcmp(what, "overruns"))
		return overruns(arg, count);
	fprintf(stderr, "attack: %s: no such attack\n", what);
	return 2;
}
