// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * watcher: a reader without rights that makes each message to it as dear as it can. It watches the
 * descriptor by which it is woken, N times (dup and epoll_ctl), so whoever wakes it walks all of
 * these watches. It reads what comes, on CPU 1, until it is ended. Says "ready" when all stand.
 *
 *	watcher -t ipn|udp -a PATH|GROUP [-n WATCHES]
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <getopt.h>
#include <grp.h>
#include <net/if.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <ipn/ipn.h>

#include "bench.h"

#define UDP_PORT 5151 /* of fanout.c */
#define NOBODY 65534
#define MAP_RINGBUF 27 /* BPF_MAP_TYPE_RINGBUF: a bell */

static int watches = 19000;

static void become_nobody(void)
{
	struct rlimit most = { (rlim_t)watches + 1000, (rlim_t)watches + 1000 };

	if (setrlimit(RLIMIT_NOFILE, &most))
		die("%d descriptors", watches + 1000);
	if (!getuid() && (setgroups(0, NULL) || setgid(NOBODY) || setuid(NOBODY)))
		die("uid %d", NOBODY);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* which the change of uid has cleared */
}

static int udp_join(const char *group)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(UDP_PORT) };
	struct ip_mreqn on = { .imr_ifindex = (int)if_nametoindex("lo") };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), one = 1;

	inet_pton(AF_INET, group, &sin.sin_addr);
	on.imr_multiaddr = sin.sin_addr;
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (void *)&sin, sizeof(sin)) ||
	    setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &on, sizeof(on)))
		die("multicast receiver %s", group);
	return fd;
}

static int ipn_join(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_IPN };
	int fd = ipn_socket(AF_IPN, SOCK_RAW, IPN_ANY);

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	if (fd < 0 || ipn_connect(fd, (void *)&sun, sizeof(sun)))
		die("%s", path);
	return fd;
}

static int map_type(const char *number)
{
	char path[64], line[128];
	int type = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%.16s", number);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f) && sscanf(line, "map_type: %d", &type) != 1)
		;
	if (f)
		fclose(f);
	return type;
}

/* The bells that libipn was given; the first is that of messages. */
static int bell(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int found = -1;

	for (struct dirent *d; dir && (d = readdir(dir));)
		if (map_type(d->d_name) == MAP_RINGBUF && (found < 0 || atoi(d->d_name) < found))
			found = atoi(d->d_name);
	if (dir)
		closedir(dir);
	if (found < 0)
		die("there is no bell");
	return found;
}

static void watch(int fd)
{
	int set = epoll_create1(EPOLL_CLOEXEC);

	for (int i = 0; i < watches; i++) {
		struct epoll_event event = { .events = EPOLLIN };
		int more = fcntl(fd, F_DUPFD_CLOEXEC, 0);

		if (more < 0 || epoll_ctl(set, EPOLL_CTL_ADD, more, &event))
			die("watch %d of %d", i + 1, watches);
	}
}

int main(int argc, char **argv)
{
	const char *transport = "", *addr = "";
	char buf[2048];
	int c, fd;
	bool ipn;

	while ((c = getopt(argc, argv, "t:a:n:")) != -1) {
		if (c == 't')
			transport = optarg;
		else if (c == 'a')
			addr = optarg;
		else if (c == 'n')
			watches = atoi(optarg);
	}
	ipn = !strcmp(transport, "ipn");
	if (optind != argc || !*addr || watches < 1 || (!ipn && strcmp(transport, "udp") != 0)) {
		fputs("usage: watcher -t ipn|udp -a PATH|GROUP [-n WATCHES]\n", stderr);
		return 2;
	}
	pin_cpu(1);
	become_nobody();
	fd = ipn ? ipn_join(addr) : udp_join(addr);
	watch(ipn ? bell() : fd);
	puts("ready");
	fflush(stdout);
	for (;;) {
		ssize_t n = ipn ? ipn_recv(fd, buf, sizeof(buf), 0) : recv(fd, buf, sizeof(buf), 0);

		if (n < 0 && errno != EINTR && errno != EOVERFLOW)
			die("receive");
	}
}
