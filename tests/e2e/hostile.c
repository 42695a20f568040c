// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A client that does everything it should not: hostile ATTACK [ARGUMENT...]
 *
 *   garbage ROUNDS         random packets, with and without descriptors
 *   headers                each field of the header wrong, each request too short and too long
 *   fds PATH [FOREIGN]     each request with too many, too few, and descriptors of every wrong type
 *   flood SECONDS          requests whose replies are never read
 *   idle COUNT             that many connections which say nothing; "ready", then until SIGTERM
 *   crowd PATH COUNT       joins so often; says how often it could, and why not more often; until
 *                          SIGTERM
 *   die PATH STEP          dies without a word after step 1 (connection) to 6 of joining
 *   frames PATH            joins, then writes frames to its tap that libipn never would
 *   scribble PATH          joins, then fills its page and the bell's consumer page; until SIGTERM
 *   keep PATH              joins, closes its session, keeps the tap; "ready", then until SIGTERM
 *   persist PATH           joins, makes its tap persistent, dies
 *   meddle PATH            joins, then tries to change its interface
 */
#include <ipn/af_ipn.h>
#include <ipn/control.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "rawctl.h"

#define WAIT_MS 5000

/* Each request: the bytes of its body, and how many descriptors it comes with. */
static const struct {
	bool known;
	size_t body;
	unsigned int min, max;
} requests[IPN_CTL_TYPES] = {
	[IPN_CTL_INFO] = { true, 0, 0, 0 },
	[IPN_CTL_NET_ADD] = { true, sizeof(struct ipn_ctl_net_add), 1, 1 },
	[IPN_CTL_NET_DEL] = { true, 0, 1, 1 },
	[IPN_CTL_BIND] = { true, sizeof(struct ipn_ctl_bind), 1, 1 },
	[IPN_CTL_CONNECT] = { true, sizeof(struct ipn_ctl_connect), 0, 1 },
	[IPN_CTL_SHUTDOWN] = { true, sizeof(struct ipn_ctl_shutdown), 0, 0 },
	[IPN_CTL_DESCR] = { true, sizeof(struct ipn_ctl_descr), 0, 0 },
	[IPN_CTL_REJOIN] = { true, 0, 1, 1 },
	[IPN_CTL_ATTACH] = { true, sizeof(struct ipn_ctl_attach), 1, 2 },
	[IPN_CTL_DETACH] = { true, sizeof(struct ipn_ctl_detach), 1, 1 },
	[IPN_CTL_NET_LIST] = { true, sizeof(struct ipn_ctl_list), 0, 1 },
	[IPN_CTL_PORT_LIST] = { true, sizeof(struct ipn_ctl_list), 0, 1 },
	[IPN_CTL_FDB_LIST] = { true, sizeof(struct ipn_ctl_list), 1, 1 },
	[IPN_CTL_DOWN] = { true, 0, 0, 0 },
	[IPN_CTL_NET_GET] = { true, 0, 0, 0 },
	[IPN_CTL_MONITOR] = { true, 0, 0, 1 },
	[IPN_CTL_RESIZE] = { true, sizeof(struct ipn_ctl_resize), 0, 0 },
	[IPN_CTL_POLICY_LOAD] = { true, sizeof(struct ipn_ctl_policy_load), 1, 1 },
	[IPN_CTL_POLICY_UNLOAD] = { true, sizeof(struct ipn_ctl_policy_unload), 0, 0 },
	[IPN_CTL_POLICY_LIST] = { true, sizeof(struct ipn_ctl_list), 0, 0 },
	[IPN_CTL_SETSOCKOPT] = { true, sizeof(struct ipn_ctl_option), 0, 0 },
	[IPN_CTL_GETSOCKOPT] = { true, sizeof(struct ipn_ctl_option), 0, 0 },
	[IPN_CTL_IOCTL] = { true, sizeof(struct ipn_ctl_option), 0, 0 },
	[IPN_CTL_NETDEV] = { true, sizeof(struct ipn_ctl_netdev), 0, 0 },
	[IPN_CTL_CABLE] = { true, sizeof(struct ipn_ctl_cable), 2, 2 },
	[IPN_CTL_VDE] = { true, sizeof(struct ipn_ctl_listener), 1, 1 },
	[IPN_CTL_UNIX] = { true, sizeof(struct ipn_ctl_listener), 1, 1 },
	[IPN_CTL_XSK_OPEN] = { true, sizeof(struct ipn_ctl_xsk_open), 1, 1 },
	[IPN_CTL_LOG] = { true, sizeof(struct ipn_ctl_log), 1, 1 },
	[IPN_CTL_QUOTA_LIST] = { true, sizeof(struct ipn_ctl_list), 0, 0 },
	[IPN_CTL_LIFELINE] = { true, 0, 1, 1 },
	[IPN_CTL_NET_DEL_ID] = { true, sizeof(struct ipn_ctl_net_del_id), 0, 0 },
};

struct packet {
	struct ipn_ctl_hdr hdr;
	char body[IPN_CTL_MAX_PACKET * 2];
};
static struct packet packet;

/* A right request in `packet`; returns its length. */
static size_t request(__u16 type, const void *body)
{
	size_t len = sizeof(packet.hdr) + requests[type].body;

	memset(&packet, 0, sizeof(packet));
	packet.hdr.magic = IPN_CTL_MAGIC;
	packet.hdr.version = IPN_CTL_VERSION;
	packet.hdr.type = type;
	packet.hdr.id = 7;
	packet.hdr.len = (__u32)len;
	if (body)
		memcpy(packet.body, body, requests[type].body);
	return len;
}

static bool alive(void)
{
	int fd = manager();
	size_t len = request(IPN_CTL_INFO, NULL);
	bool ok = put(fd, &packet, len, NULL, 0) && get(fd, NULL, 0, WAIT_MS) == 0;

	close(fd);
	return ok;
}

/* --- garbage and headers --- */

static int garbage(unsigned long rounds)
{
	unsigned int seed = 1;

	for (unsigned long i = 0; i < rounds; i++) {
		int fd = manager(), fds[40];
		unsigned int nfds = (unsigned int)rand_r(&seed) % 12;
		size_t len =
			request((__u16)(rand_r(&seed) % (IPN_CTL_TYPES + 1) % IPN_CTL_TYPES), NULL);

		/* every other packet has a right header, so that its random body is looked at */
		for (size_t at = i % 2 ? sizeof(packet.hdr) : 0; at < sizeof(packet); at++)
			((char *)&packet)[at] = (char)rand_r(&seed);
		if (i % 2 == 0)
			len = 1 + (size_t)rand_r(&seed) % sizeof(packet);
		for (unsigned int k = 0; k < nfds; k++)
			fds[k] = k % 2 ? STDIN_FILENO : fd;
		if (packet.hdr.type != IPN_CTL_DOWN && put(fd, &packet, len, fds, nfds))
			get(fd, NULL, 0, WAIT_MS);
		close(fd);
	}
	return alive() ? 0 : 1;
}

static void expect(int want, int got, const char *what, unsigned int type)
{
	if (want == got)
		return;
	fprintf(stderr, "hostile: %s, request %u: wanted %d, got %d\n", what, type, want, got);
	exit(1);
}

/* A packet on a connection of its own: the status, or -1 when the manager hung up. */
static int once(size_t len, const int *fds, unsigned int nfds)
{
	int fd = manager();
	int r = put(fd, &packet, len, fds, nfds) ? get(fd, NULL, 0, WAIT_MS) : -1;

	close(fd);
	return r;
}

static int headers(void)
{
	size_t len;

	for (__u16 type = 1; type < (__u16)IPN_CTL_TYPES; type++) {
		for (size_t n = 1; n < sizeof(packet.hdr); n++) {
			request(type, NULL);
			expect(-1, once(n, NULL, 0), "half a header", type);
		}
		len = request(type, NULL);
		packet.hdr.magic++;
		expect(-1, once(len, NULL, 0), "wrong magic", type);
		len = request(type, NULL);
		packet.hdr.version++;
		expect(EPROTO, once(len, NULL, 0), "wrong version", type);
		len = request(type, NULL);
		packet.hdr.len--;
		expect(EBADMSG, once(len, NULL, 0), "length too small", type);
		len = request(type, NULL);
		packet.hdr.len = 0xffffffff;
		expect(EBADMSG, once(len, NULL, 0), "length too large", type);
		len = request(type, NULL);
		packet.hdr.pad = 1;
		expect(EBADMSG, once(len, NULL, 0), "padding not zero", type);
		len = request(type, NULL);
		packet.hdr.status = 5;
		expect(EBADMSG, once(len, NULL, 0), "a request with a status", type);
		if (!requests[type].known) { /* a number that is free */
			len = request(type, NULL);
			expect(EOPNOTSUPP, once(len, NULL, 0), "unknown request", type);
			continue;
		}
		if (requests[type].body) {
			len = request(type, NULL);
			packet.hdr.len = (__u32)--len;
			expect(EBADMSG, once(len, NULL, 0), "body too short", type);
		}
		len = request(type, NULL);
		packet.hdr.len = (__u32)++len;
		expect(EBADMSG, once(len, NULL, 0), "body too long", type);
		request(type, NULL);
		packet.hdr.len = IPN_CTL_MAX_PACKET + 100;
		expect(-1, once(packet.hdr.len, NULL, 0), "oversized packet", type);
	}
	for (unsigned int type = IPN_CTL_TYPES; type < 65536; type += 4321) {
		len = request(0, NULL);
		packet.hdr.type = (__u16)type;
		expect(EOPNOTSUPP, once(len, NULL, 0), "unknown request", type);
	}
	len = request(0, NULL);
	expect(EOPNOTSUPP, once(len, NULL, 0), "request 0", 0);
	return alive() ? 0 : 1;
}

/* --- descriptors --- */

/* Something in the body that gets past the first checks. */
static size_t plausible(__u16 type, const char *path)
{
	struct ipn_ctl_net_add add = { .policy = IPN_BROADCAST };
	struct ipn_ctl_attach attach = { .kind = IPN_KIND_VETH, .port = -1, .name = "evil0" };
	struct ipn_ctl_connect join = { .port = -1 };

	snprintf(add.path, sizeof(add.path), "%s", path);
	return request(type, type == IPN_CTL_NET_ADD   ? (void *)&add
			     : type == IPN_CTL_ATTACH  ? (void *)&attach
			     : type == IPN_CTL_CONNECT ? (void *)&join
						       : NULL);
}

static int other_tap(void)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int fd = open("/dev/net/tun", O_RDWR);

	if (fd >= 0 && !ioctl(fd, TUNSETIFF, &ifr))
		return fd;
	return open("/dev/net/tun", O_RDWR); /* no right to one: an open one without a device */
}

static int wrong_fds(const char *path, const char *foreign)
{
	int pipes[2], fds[40], net = open(path, O_PATH), n = 0, bad = 0;
	struct {
		const char *what;
		int fd;
	} wrong[20];

	if (pipe(pipes) || net < 0)
		die(path);
#define WRONG(name, descriptor)               \
	do {                                  \
		wrong[n].what = (name);       \
		wrong[n++].fd = (descriptor); \
	} while (0)
	WRONG("pipe", pipes[0]);
	WRONG("/dev/null", open("/dev/null", O_RDWR));
	WRONG("directory", open("/", O_PATH));
	WRONG("regular file", open("/proc/self/exe", O_RDONLY));
	WRONG("O_PATH of a file", open("/proc/self/exe", O_PATH));
	WRONG("unix socket", socket(AF_UNIX, SOCK_DGRAM, 0));
	WRONG("inet socket", socket(AF_INET, SOCK_STREAM, 0));
	WRONG("eventfd", eventfd(0, 0));
	WRONG("procfs", open("/proc/self/status", O_RDONLY));
	WRONG("tty or none", open("/dev/tty", O_RDWR | O_NOCTTY));
	WRONG("tap of its own", other_tap());
	WRONG("network namespace", open("/proc/self/ns/net", O_RDONLY));
	if (foreign)
		WRONG("network of another fabric", open(foreign, O_PATH));
	for (__u16 type = 1; type < (__u16)IPN_CTL_TYPES; type++) {
		unsigned int max = requests[type].max;
		size_t len = plausible(type, path);

		if (!requests[type].known)
			continue;

		for (unsigned int k = 0; k < 40; k++)
			fds[k] = net;
		if (requests[type].min)
			expect(EBADF, once(len, NULL, 0), "no descriptor", type);
		expect(EBADF, once(len, fds, max + 1), "one descriptor too many", type);
		expect(EBADF, once(len, fds, 8), "8 descriptors", type);
		expect(-1, once(len, fds, 40), "40 descriptors", type);
		for (int w = 0; max && w < n; w++) {
			int r;

			if (wrong[w].fd < 0)
				continue;
			/* its owner may make any socket a network of this fabric */
			if (type == IPN_CTL_NET_ADD && !strncmp(wrong[w].what, "network", 7))
				continue;
			r = once(len, &wrong[w].fd, 1);
			if (r > 0)
				continue;
			fprintf(stderr, "hostile: request %u with a %s: %d\n", type, wrong[w].what,
				r);
			bad++;
		}
	}
	for (int w = 0; w < n; w++) { /* in the place of a network namespace */
		int two[2] = { net, wrong[w].fd };

		if (wrong[w].fd < 0 || !strcmp(wrong[w].what, "network namespace"))
			continue;
		expect(EBADF, once(plausible(IPN_CTL_ATTACH, path), two, 2), wrong[w].what,
		       IPN_CTL_ATTACH);
	}
	return alive() && !bad ? 0 : 1;
}

/* --- many --- */

static int flood(int seconds)
{
	time_t end = time(NULL) + seconds;
	unsigned long sent = 0;

	while (time(NULL) < end) {
		int fd = manager();
		struct ipn_ctl_list list = { .stats = 1 };
		size_t len = request(IPN_CTL_PORT_LIST, &list);

		fcntl(fd, F_SETFL, O_NONBLOCK);
		for (int i = 0; i < 100000 && time(NULL) < end; i++) {
			struct pollfd p = { .fd = fd, .events = POLLOUT };

			if (put(fd, &packet, len, NULL, 0)) {
				sent++;
				continue;
			}
			if (errno != EAGAIN)
				break; /* cut off */
			poll(&p, 1, 100);
		}
		close(fd);
	}
	printf("%lu requests\n", sent);
	return 0;
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

static int idle(int count)
{
	struct rlimit files = { (rlim_t)count + 100, (rlim_t)count + 100 };

	setrlimit(RLIMIT_NOFILE, &files);
	for (int i = 0; i < count; i++)
		manager();
	until_term();
	return 0;
}

/* --- members --- */

static struct ipn_ctl_connected joined;
static int tap = -1, session = -1;

static int fd_of(__u32 bit)
{
	return joined.fds & bit ? got_fds[__builtin_popcount(joined.fds & (bit - 1))] : -1;
}

static void join(const char *path)
{
	int net = open(path, O_PATH);

	session = manager();
	if (net < 0 || !put(session, &packet, plausible(IPN_CTL_CONNECT, path), &net, 1) ||
	    get(session, &joined, sizeof(joined), WAIT_MS))
		die(path);
	tap = fd_of(IPN_CTL_FD_TAP);
}

static int crowd(const char *path, int count)
{
	struct rlimit files = { (rlim_t)count * 4 + 100, (rlim_t)count * 4 + 100 };
	int net = open(path, O_PATH), n, r = 0;

	setrlimit(RLIMIT_NOFILE, &files);
	for (n = 0; n < count && !r; n++) {
		session = manager();
		if (!put(session, &packet, plausible(IPN_CTL_CONNECT, path), &net, 1))
			die(path);
		r = get(session, &joined, sizeof(joined), WAIT_MS);
		/* the tap makes the node; the rest we can do without */
		for (unsigned int i = 1; !r && i < ngot; i++)
			close(got_fds[i]);
	}
	printf("%d %s\n", r ? n - 1 : n, r ? strerrorname_np(r) : "ok");
	until_term();
	return 0;
}

/* kill -9 of itself between two steps. */
static void step(int now, int last)
{
	if (now == last)
		raise(SIGKILL);
}

static int die_at(const char *path, int last)
{
	int fd = manager(), net;
	struct ipn_ctl_bind bind_body = { 0 };
	struct ipn_ctl_connect connect_body = { .port = -1 };
	size_t len;

	step(1, last);
	net = open(path, O_PATH);
	len = request(IPN_CTL_BIND, &bind_body);
	put(fd, &packet, len, &net, 1);
	step(2, last); /* the answer is on its way */
	get(fd, NULL, 0, WAIT_MS);
	step(3, last);
	len = request(IPN_CTL_CONNECT, &connect_body);
	put(fd, &packet, len, NULL, 0);
	step(4, last); /* descriptors are on their way */
	get(fd, &joined, sizeof(joined), WAIT_MS);
	step(5, last);
	shutdown(fd, SHUT_RDWR);
	step(6, last);
	return 0;
}

static int frames(const char *path)
{
	struct ipn_tx_hdr hdr = { .magic = { 'I', 'P', 'N', 1 }, .proto = { 0x88, 0xb5 } };
	unsigned int seed = 1, written = 0;
	static uint8_t buf[70000];

	join(path);
	fcntl(tap, F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 2000; i++) {
		size_t len = (size_t)rand_r(&seed) % (i % 10 ? 300 : 65535);

		for (size_t k = 0; k < len; k++)
			buf[k] = (uint8_t)rand_r(&seed);
		buf[0] = 'X'; /* never right by chance */
		written += write(tap, buf, len) > 0;
	}
	/* right headers with wrong contents: unknown operation, too long, longer than any */
	hdr.op = 77;
	memcpy(buf, &hdr, sizeof(hdr));
	written += write(tap, buf, 100) > 0;
	hdr.op = IPN_TX_DATA;
	memcpy(buf, &hdr, sizeof(hdr));
	written += write(tap, buf, sizeof(hdr) + joined.net.mtu + 1) > 0;
	if (write(tap, buf, sizeof(buf)) < 0) /* as the kernel likes */
		errno = 0;
	hdr.op = IPN_TX_RING;
	memcpy(buf, &hdr, sizeof(hdr));
	for (int i = 0; i < 5000; i++) /* a bell that nobody answers */
		if (write(tap, buf, sizeof(hdr)) < 0)
			return 1;
	printf("%u %u\n", joined.port, written);
	until_term();
	return 0;
}

static int scribble(const char *path)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	int log;
	void *p;

	join(path);
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of(IPN_CTL_FD_PAGE), 0);
	if (p == MAP_FAILED)
		die("page");
	memset(p, 0xff, page);
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of(IPN_CTL_FD_BELL), 0);
	if (p == MAP_FAILED)
		die("bell");
	memset(p, 0xff, page);
	/* what others write must not be ours to write */
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd_of(IPN_CTL_FD_BELL),
		 (off_t)page);
	if (p != MAP_FAILED) {
		fprintf(stderr, "hostile: the bell's producer page can be written\n");
		return 1;
	}
	log = fd_of(IPN_CTL_FD_LOG);
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, log, 0);
	if (p != MAP_FAILED) {
		fprintf(stderr, "hostile: the log can be written\n");
		return 1;
	}
	p = mmap(NULL, page, PROT_READ, MAP_SHARED, log, 0);
	if (p == MAP_FAILED || !mprotect(p, page, PROT_READ | PROT_WRITE)) {
		fprintf(stderr, "hostile: the log can be made writable\n");
		return 1;
	}
	until_term();
	return 0;
}

static int keep(const char *path)
{
	join(path);
	close(session);
	printf("%u\n", joined.port);
	until_term();
	return 0;
}

static int persist(const char *path)
{
	join(path);
	if (ioctl(tap, TUNSETPERSIST, 1))
		die("TUNSETPERSIST");
	raise(SIGKILL);
	return 1;
}

static int meddle(const char *path)
{
	int s = socket(AF_INET, SOCK_DGRAM, 0);
	struct ifreq ifr = { 0 };

	join(path);
	if (ioctl(tap, TUNGETIFF, &ifr))
		die("TUNGETIFF");
	ifr.ifr_flags = 0;
	printf("down: %s\n", ioctl(s, SIOCSIFFLAGS, &ifr) ? strerrorname_np(errno) : "ok");
	ifr.ifr_hwaddr.sa_family = 1;
	memcpy(ifr.ifr_hwaddr.sa_data, "\x02\0\0\0\0\x07", 6);
	printf("mac: %s\n", ioctl(tap, SIOCSIFHWADDR, &ifr) ? strerrorname_np(errno) : "ok");
	ifr.ifr_mtu = 68;
	printf("mtu: %s\n", ioctl(s, SIOCSIFMTU, &ifr) ? strerrorname_np(errno) : "ok");
	printf("queue: %s\n", ioctl(tap, TUNSETQUEUE, &ifr) ? strerrorname_np(errno) : "ok");
	printf("sndbuf: %s\n",
	       ioctl(tap, TUNSETSNDBUF, &(int){ 1 }) ? strerrorname_np(errno) : "ok");
	printf("hdrsz: %s\n",
	       ioctl(tap, TUNSETVNETHDRSZ, &(int){ 12 }) ? strerrorname_np(errno) : "ok");
	printf("carrier: %s\n",
	       ioctl(tap, TUNSETCARRIER, &(int){ 0 }) ? strerrorname_np(errno) : "ok");
	until_term();
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *arg = argc > 2 ? argv[2] : "";

	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(what, "garbage"))
		return garbage(strtoul(arg, NULL, 0));
	if (!strcmp(what, "headers"))
		return headers();
	if (!strcmp(what, "fds"))
		return wrong_fds(arg, argc > 3 ? argv[3] : NULL);
	if (!strcmp(what, "flood"))
		return flood(atoi(arg));
	if (!strcmp(what, "idle"))
		return idle(atoi(arg));
	if (!strcmp(what, "crowd"))
		return crowd(arg, argc > 3 ? atoi(argv[3]) : 0);
	if (!strcmp(what, "die"))
		return die_at(arg, argc > 3 ? atoi(argv[3]) : 0);
	if (!strcmp(what, "frames"))
		return frames(arg);
	if (!strcmp(what, "scribble"))
		return scribble(arg);
	if (!strcmp(what, "keep"))
		return keep(arg);
	if (!strcmp(what, "persist"))
		return persist(arg);
	if (!strcmp(what, "meddle"))
		return meddle(arg);
	fprintf(stderr, "hostile: %s: no such attack\n", what);
	return 2;
}
