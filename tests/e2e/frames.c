// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Ethernet frames in and out, where scripts cannot reach.
 *
 *   frames inject IFACE HEX [COUNT]     sends a frame out of an interface
 *   frames sniff IFACE MS [ETHERTYPE]   prints each frame that comes in at an interface, in hex,
 *                                       its VLAN tag in its place; ends when none came for MS
 *   frames check PATH MTU               reads a switch network: every frame must be whole, within
 *                                       the MTU, with right IPv4, TCP, UDP and ICMP checksums;
 *                                       "ready"; on SIGTERM prints "FRAMES BYTES TCP BAD LOST"
 *   frames serve PORT                   takes one TCP connection, writes what comes to stdout
 *   frames gso IFACE                    prints how many bytes of IPv4 the interface takes to cut up
 *   frames notified SOCKET              prints what systemd would be told, until READY=1 or 20 s
 */
#include <ipn/ipn.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 20000

static uint8_t buf[65536 + 32];

static void die(const char *what)
{
	fprintf(stderr, "frames: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int packet_socket(const char *iface, uint16_t protocol)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(protocol),
				    .sll_ifindex = (int)if_nametoindex(iface) };
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	if (!addr.sll_ifindex || fd < 0 || bind(fd, (void *)&addr, sizeof(addr)))
		die(iface);
	return fd;
}

static int inject(const char *iface, const char *hex, int count)
{
	int fd = packet_socket(iface, 0);
	size_t len = 0;

	for (; hex[0] && hex[1]; hex += 2) {
		unsigned int byte;

		sscanf(hex, "%2x", &byte);
		buf[len++] = (uint8_t)byte;
	}
	while (count--)
		if (send(fd, buf, len, 0) != (ssize_t)len)
			die("send");
	return 0;
}

static int sniff(const char *iface, int ms, long type)
{
	int fd = packet_socket(iface, ETH_P_ALL);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &(int){ 1 }, sizeof(int)))
		die("auxdata");
	puts("ready");
	fflush(stdout);
	while (poll(&p, 1, ms) == 1) {
		union {
			struct cmsghdr align;
			char room[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
		} control;
		struct sockaddr_ll from;
		struct iovec iov = { buf + 4, sizeof(buf) - 4 };
		struct msghdr msg = { .msg_name = &from,
				      .msg_namelen = sizeof(from),
				      .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = &control,
				      .msg_controllen = sizeof(control) };
		ssize_t n = recvmsg(fd, &msg, 0);
		struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
		uint8_t *frame = buf + 4;

		if (n < 14 || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		if (c && c->cmsg_type == PACKET_AUXDATA) {
			struct tpacket_auxdata aux;

			memcpy(&aux, CMSG_DATA(c), sizeof(aux));
			if (aux.tp_status & TP_STATUS_VLAN_VALID) {
				uint16_t tag[2] = { htons(aux.tp_vlan_tpid),
						    htons(aux.tp_vlan_tci) };

				memmove(buf, frame, 12);
				memcpy(buf + 12, tag, 4);
				frame = buf;
				n += 4;
			}
		}
		if (type && (frame[12] << 8 | frame[13]) != type)
			continue;
		for (ssize_t i = 0; i < n; i++)
			printf("%02x", frame[i]);
		putchar('\n');
		fflush(stdout);
	}
	return 0;
}

/* --- check --- */

static uint64_t nframes, nbytes, ntcp, nbad;

static uint32_t sum(const uint8_t *p, size_t len, uint32_t s)
{
	for (size_t i = 0; i + 1 < len; i += 2) {
		s += (uint32_t)p[i] << 8 | p[i + 1];
		s = (s & 0xffff) + (s >> 16);
	}
	if (len & 1)
		s += (uint32_t)p[len - 1] << 8;
	return (s & 0xffff) + (s >> 16);
}

static bool folded(uint32_t s)
{
	return ((s & 0xffff) + (s >> 16)) == 0xffff;
}

static const char *wrong_ip(const uint8_t *ip, size_t room)
{
	size_t header = (ip[0] & 15) * 4u, total = (size_t)ip[2] << 8 | ip[3];
	uint32_t pseudo;

	if (room < 20 || ip[0] >> 4 != 4 || header < 20 || total < header || total > room)
		return "length";
	if (room > total && room > 46) /* a short frame may be padded */
		return "more than the packet";
	if (!folded(sum(ip, header, 0)))
		return "IP checksum";
	if ((ip[6] & 0x3f) || ip[7])
		return NULL; /* a fragment: no whole segment to check */
	pseudo = sum(ip + 12, 8, ip[9] + (uint32_t)(total - header));
	if (ip[9] == IPPROTO_TCP) {
		ntcp++;
		return folded(sum(ip + header, total - header, pseudo)) ? NULL : "TCP checksum";
	}
	if (ip[9] == IPPROTO_UDP && (ip[header + 6] || ip[header + 7]))
		return folded(sum(ip + header, total - header, pseudo)) ? NULL : "UDP checksum";
	if (ip[9] == IPPROTO_ICMP)
		return folded(sum(ip + header, total - header, 0)) ? NULL : "ICMP checksum";
	return NULL;
}

static void check_frame(const uint8_t *frame, size_t len, size_t mtu)
{
	const char *wrong = len < 14 || len > mtu ? "frame length" : NULL;

	nframes++;
	nbytes += len;
	if (!wrong && frame[12] == 8 && frame[13] == 0)
		wrong = wrong_ip(frame + 14, len - 14);
	if (!wrong)
		return;
	if (nbad++ < 5)
		fprintf(stderr, "frames: %zu bytes: %s\n", len, wrong);
}

struct check {
	int fd;
	size_t mtu;
};

static void *run_check(void *arg)
{
	struct check *c = arg;

	for (;;) {
		ssize_t n = ipn_recv(c->fd, buf, sizeof(buf), 0);

		if (n <= 0)
			die("recv");
		check_frame(buf, (size_t)n, c->mtu);
	}
	return NULL;
}

static int check(const char *path, size_t mtu)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };
	struct check c = { ipn_socket(AF_IPN, SOCK_RAW, IPN_ANY), mtu };
	pthread_t reader;
	sigset_t set;
	uint64_t lost = 0;
	int number;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (c.fd < 0 || ipn_shutdown(c.fd, SHUT_WR) ||
	    ipn_connect(c.fd, (void *)&addr, sizeof(addr)))
		die(path);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (pthread_create(&reader, NULL, run_check, &c))
		die("thread");
	puts("ready");
	fflush(stdout);
	sigwait(&set, &number);
	usleep(100000); /* what is on its way */
	ipn_overruns(c.fd, &lost);
	printf("%llu %llu %llu %llu %llu\n", (unsigned long long)nframes,
	       (unsigned long long)nbytes, (unsigned long long)ntcp, (unsigned long long)nbad,
	       (unsigned long long)lost);
	return nbad != 0;
}

/* --- others --- */

static int serve(int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (void *)&addr, sizeof(addr)) || listen(fd, 1))
		die("listen");
	fd = accept(fd, NULL, NULL);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		if (write(STDOUT_FILENO, buf, (size_t)n) != n)
			die("write");
	return n < 0;
}

static int notified(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (bind(fd, (void *)&addr, sizeof(addr)))
		die(path);
	while (poll(&p, 1, PATIENCE_MS) == 1) {
		ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);

		if (n < 0)
			die("recv");
		buf[n] = '\0';
		printf("%s\n", buf);
		fflush(stdout);
		if (strstr((char *)buf, "READY=1"))
			return 0;
	}
	return 1;
}

/* What `ip -d link` shows as gso_ipv4_max_size, when it is new enough. */
static int gso(const char *iface)
{
	const int attr = 63; /* IFLA_GSO_IPV4_MAX_SIZE, Linux 6.3 */
	struct {
		struct nlmsghdr nlh;
		struct ifinfomsg ifi;
	} req = {
		.nlh = { .nlmsg_len = sizeof(req), .nlmsg_type = RTM_GETLINK, .nlmsg_flags = 1 },
		.ifi = { .ifi_index = (int)if_nametoindex(iface) },
	};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	struct nlmsghdr *nlh = (void *)buf;
	unsigned int len;
	ssize_t n;

	if (fd < 0 || send(fd, &req, sizeof(req), 0) < 0)
		die(iface);
	n = recv(fd, buf, sizeof(buf), 0);
	if (n < (ssize_t)sizeof(*nlh) || nlh->nlmsg_type != RTM_NEWLINK)
		die(iface);
	len = IFLA_PAYLOAD(nlh);
	for (struct rtattr *a = IFLA_RTA(NLMSG_DATA(nlh)); RTA_OK(a, len); a = RTA_NEXT(a, len))
		if (a->rta_type == attr)
			return printf("%u\n", *(uint32_t *)RTA_DATA(a)) < 0;
	return 1;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "gso"))
		return gso(argv[2]);

	if (argc >= 4 && !strcmp(argv[1], "inject"))
		return inject(argv[2], argv[3], argc > 4 ? atoi(argv[4]) : 1);
	if (argc >= 4 && !strcmp(argv[1], "sniff"))
		return sniff(argv[2], atoi(argv[3]), argc > 4 ? strtol(argv[4], NULL, 0) : 0);
	if (argc == 4 && !strcmp(argv[1], "check"))
		return check(argv[2], strtoul(argv[3], NULL, 0));
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return serve(atoi(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "notified"))
		return notified(argv[2]);
	fprintf(stderr, "usage: frames inject|sniff|check|serve|gso|notified ...\n");
	return 2;
}
