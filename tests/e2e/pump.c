// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pump PATH PORT NETNS INTERFACE
 *
 * A process node with the whole network stack of a namespace behind it: a tap named INTERFACE in
 * the namespace NETNS (a path), and every frame from there is sent to the network as a message, and
 * the other way round. Prints "ready", and goes on until it is killed or the port is taken away.
 */
#include <ipn/ipn.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "pump: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int tap_open(const char *netns, const char *name)
{
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = open(netns, O_RDONLY | O_CLOEXEC), fd;
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (here < 0 || there < 0 || setns(there, CLONE_NEWNET))
		die(netns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &ifr) || setns(here, CLONE_NEWNET))
		die(name);
	close(here);
	close(there);
	return fd;
}

static int join(const char *path, int port)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };
	int fd = ipn_socket(AF_IPN, SOCK_RAW | SOCK_NONBLOCK, IPN_ANY);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0 || ipn_setsockopt(fd, 0, IPN_SO_PORT, &port, sizeof(port)) ||
	    ipn_connect(fd, (const void *)&addr, sizeof(addr)))
		die(path);
	return fd;
}

int main(int argc, char *argv[])
{
	static char frame[65536];
	struct pollfd p[2];
	ssize_t n;

	if (argc != 5) {
		fprintf(stderr, "usage: pump PATH PORT NETNS INTERFACE\n");
		return 2;
	}
	p[0] = (struct pollfd){ .fd = tap_open(argv[3], argv[4]), .events = POLLIN };
	p[1] = (struct pollfd){ .fd = join(argv[1], atoi(argv[2])), .events = POLLIN };
	puts("ready");
	fflush(stdout);
	while (ipn_poll(p, 2, -1) >= 0 || errno == EINTR) {
		while ((n = read(p[0].fd, frame, sizeof(frame))) > 0)
			ipn_send(p[1].fd, frame, (size_t)n, 0);
		while ((n = ipn_recv(p[1].fd, frame, sizeof(frame), MSG_DONTWAIT)) > 0)
			if (write(p[0].fd, frame, (size_t)n) < 0 && errno != EIO)
				die("write");
		if (!n)
			return 0;
	}
	die("poll");
}
