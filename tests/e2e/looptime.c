// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * How long the manager lets one user wait for what another one does.
 *
 *   looptime probe SECONDS                asks INFO every 4 ms: "median 90th max count", in us
 *   looptime WHAT DIRECTORY SECONDS       does it over and over; says how often it could. WHAT:
 *     nets      networks with the biggest log there is, made and left
 *     routers   networks with a router and the biggest tables there are
 *     joins     ports of a network of its own that sends to single ports, with big logs
 *     crowds    a network with many ports that is removed
 *     infos     1000 sessions that ask INFO without a pause
 *     lists     all ports with their counters
 *     calls     connections that are closed at once
 *     resizes   a network that gets bigger and smaller
 */
#include <errno.h>
#include <fcntl.h>
#include <ipn/af_ipn.h>
#include <ipn/control.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/fdpass.h"
#include "common/util.h"

#define SESSIONS 1000
#define CROWD 400
#define SAMPLES 65536

static __u64 end;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "looptime: %s: %s\n", what, why);
	exit(1);
}

/* A request and its reply; the body goes to `reply`. */
struct call {
	__u16 type;
	const void *body;
	size_t len;
	int fd; /* to send along; 0: none */
	void *reply;
	size_t room;
};

static int session(void)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/" IPN_CTL_SOCKET,
		 getenv(IPN_CTL_ENV_RUN_DIR));
	if (fd < 0 || connect(fd, (void *)&sun, sizeof(sun)))
		die("cannot connect", strerror(errno));
	return fd;
}

/* 0 or -errno; -EPIPE: the manager hung up. Descriptors that come with the reply are closed. */
static int ask(int fd, const struct call *call)
{
	struct ipn_ctl_hdr hdr = { .magic = IPN_CTL_MAGIC,
				   .version = IPN_CTL_VERSION,
				   .type = call->type,
				   .len = (__u32)(sizeof(hdr) + call->len) };
	char text[256], control[FDPASS_SPACE(IPN_CTL_MAX_FDS)] __attribute__((aligned(8)));
	struct iovec iov[2] = { { &hdr, sizeof(hdr) }, { (void *)call->body, call->len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int fds[IPN_CTL_MAX_FDS];
	unsigned int nfds;
	ssize_t n;

	fdpass_put(&msg, control, &call->fd, call->fd > 0);
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) < 0)
		return -errno;
	iov[1] = call->room ? (struct iovec){ call->reply, call->room }
			    : (struct iovec){ text, sizeof(text) };
	msg = (struct msghdr){ .msg_iov = iov,
			       .msg_iovlen = 2,
			       .msg_control = control,
			       .msg_controllen = sizeof(control) };
	n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	if (n < (ssize_t)sizeof(hdr))
		return -EPIPE;
	nfds = fdpass_get(&msg, fds, IPN_CTL_MAX_FDS);
	while (nfds)
		close(fds[--nfds]);
	return -hdr.status;
}

static int path_open(const char *path)
{
	return open(path, O_PATH | O_CLOEXEC);
}

/* The path of a network of this process's own. */
static const char *own_path(const char *dir, int n)
{
	static char path[108];
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(path, sizeof(path), "%s/loop-%d-%d", dir, getpid(), n);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	unlink(path);
	if (fd < 0 || bind(fd, (void *)&sun, sizeof(sun)))
		die(path, strerror(errno));
	close(fd);
	return path;
}

/* A network that ends with this session. */
static int net_add(int fd, const char *path, const struct ipn_ctl_net_add *how)
{
	struct ipn_ctl_net_add add = *how;
	_cleanup_close_ int path_fd = path_open(path);
	struct call call = {
		.type = IPN_CTL_NET_ADD, .body = &add, .len = sizeof(add), .fd = path_fd
	};

	snprintf(add.path, sizeof(add.path), "%s", path);
	return ask(fd, &call);
}

static void must(int r, const char *what)
{
	if (r)
		die(what, strerror(-r));
}

static int join(int fd, const char *path)
{
	const struct ipn_ctl_connect connect = { .port = IPN_PORTNO_ANY, .policy = IPN_ANY };
	_cleanup_close_ int path_fd = path_open(path);
	struct call call = {
		.type = IPN_CTL_CONNECT, .body = &connect, .len = sizeof(connect), .fd = path_fd
	};

	return ask(fd, &call);
}

/* --- what may take long --- */

static int made_and_left(const char *dir, const struct ipn_ctl_net_add *how)
{
	const char *path = own_path(dir, 0);
	int n = 0;

	for (; clock_us() < end; n++) {
		int fd = session();

		/* what was there before goes a moment later */
		while (net_add(fd, path, how) && clock_us() < end) {
			close(fd);
			usleep(1000);
			fd = session();
		}
		close(fd);
	}
	unlink(path);
	return n;
}

static int nets(const char *dir)
{
	const struct ipn_ctl_net_add how = { .policy = IPN_POLICY_BROADCAST,
					     .mtu = 2000,
					     .pool = 65535 / 2 };

	return made_and_left(dir, &how);
}

static int routers(const char *dir)
{
	const struct ipn_ctl_net_add how = { .policy = IPN_POLICY_L3, .routes = 1 << 20 };

	return made_and_left(dir, &how);
}

static int joins(const char *dir)
{
	const struct ipn_ctl_net_add how = { .policy = IPN_POLICY_SWITCH,
					     .mtu = 2000,
					     .pool = 65535 / 4 };
	const char *path = own_path(dir, 0);
	int own = session(), n = 0;

	must(net_add(own, path, &how), "a network");
	for (; clock_us() < end; n++) {
		int fd = session();

		(void)join(fd, path);
		close(fd);
	}
	close(own);
	unlink(path);
	return n;
}

static int crowds(const char *dir)
{
	const struct ipn_ctl_net_add how = { .policy = IPN_POLICY_BROADCAST,
					     .numnodes = CROWD,
					     .persistent = 1 };
	int n = 0;

	for (; clock_us() < end; n++) {
		const char *path = own_path(dir, n);
		int own = session(), fds[CROWD];
		_cleanup_close_ int path_fd = path_open(path);
		struct call del = { .type = IPN_CTL_NET_DEL, .fd = path_fd };

		must(net_add(own, path, &how), "a network");
		for (int i = 0; i < CROWD; i++) {
			fds[i] = session();
			(void)join(fds[i], path);
		}
		must(ask(own, &del), "net del");
		close(own);
		for (int i = 0; i < CROWD; i++)
			close(fds[i]);
		unlink(path);
	}
	return n;
}

static int infos(const char *dir)
{
	const struct ipn_ctl_hdr ping = { .magic = IPN_CTL_MAGIC,
					  .version = IPN_CTL_VERSION,
					  .type = IPN_CTL_INFO,
					  .len = sizeof(ping) };
	static struct pollfd p[SESSIONS];
	static char buf[IPN_CTL_MAX_PACKET];
	int n = 0;

	(void)dir;
	for (int i = 0; i < SESSIONS; i++) {
		p[i] = (struct pollfd){ .fd = session(), .events = POLLIN };
		for (int k = 0; k < 3; k++)
			send(p[i].fd, &ping, sizeof(ping), MSG_DONTWAIT);
	}
	while (clock_us() < end) {
		if (poll(p, SESSIONS, 100) < 0)
			break;
		for (int i = 0; i < SESSIONS; i++)
			if (p[i].revents && recv(p[i].fd, buf, sizeof(buf), MSG_DONTWAIT) > 0) {
				send(p[i].fd, &ping, sizeof(ping), MSG_DONTWAIT);
				n++;
			}
	}
	return n;
}

static int lists(const char *dir)
{
	static char page[IPN_CTL_MAX_PACKET];
	int fd = session(), n = 0;

	(void)dir;
	for (; clock_us() < end; n++) {
		struct ipn_ctl_list list = { .stats = 1 };
		struct call call = { .type = IPN_CTL_PORT_LIST,
				     .body = &list,
				     .len = sizeof(list),
				     .reply = page,
				     .room = sizeof(page) };

		must(ask(fd, &call), "a list of ports");
	}
	return n;
}

static int calls(const char *dir)
{
	int n = 0;

	(void)dir;
	for (; clock_us() < end; n++)
		close(session());
	return n;
}

static int resizes(const char *dir)
{
	const struct ipn_ctl_net_add how = { .policy = IPN_POLICY_BROADCAST, .numnodes = 16 };
	const char *path = own_path(dir, 0);
	int fd = session(), n = 0;

	must(net_add(fd, path, &how), "a network");
	for (; clock_us() < end; n++) {
		struct ipn_ctl_resize resize = { .numnodes = n & 1 ? 16 : 4096 };
		struct call call = { .type = IPN_CTL_RESIZE,
				     .body = &resize,
				     .len = sizeof(resize) };

		(void)ask(fd, &call);
	}
	unlink(path);
	return n;
}

/* --- the probe --- */

static int before(const void *a, const void *b)
{
	__u32 x = *(const __u32 *)a, y = *(const __u32 *)b;

	return x < y ? -1 : x > y;
}

static int probe(void)
{
	static __u32 took[SAMPLES];
	int fd = session(), n = 0;

	while (clock_us() < end && n < SAMPLES) {
		struct call call = { .type = IPN_CTL_INFO };
		__u64 began = clock_us();

		must(ask(fd, &call), "INFO");
		took[n++] = (__u32)(clock_us() - began);
		usleep(4000);
	}
	qsort(took, (size_t)n, sizeof(took[0]), before);
	printf("%u %u %u %d\n", took[n / 2], took[n * 9 / 10], took[n - 1], n);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*fn)(const char *dir);
	} attacks[] = {
		{ "nets", nets },     { "routers", routers }, { "joins", joins },
		{ "crowds", crowds }, { "infos", infos },     { "lists", lists },
		{ "calls", calls },   { "resizes", resizes },
	};
	struct rlimit files = { 8192, 8192 };

	if (argc < 3)
		die("arguments", "see the head of looptime.c");
	setrlimit(RLIMIT_NOFILE, &files);
	end = clock_us() + (__u64)(atof(argv[argc - 1]) * 1e6);
	if (!strcmp(argv[1], "probe"))
		return probe();
	for (size_t i = 0; i < ARRAY_SIZE(attacks); i++) {
		if (strcmp(argv[1], attacks[i].name) != 0)
			continue;
		printf("%d\n", attacks[i].fn(argv[2]));
		return 0;
	}
	die(argv[1], "no such attack");
	return 1;
}
