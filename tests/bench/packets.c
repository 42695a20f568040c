// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * packets: what a router can forward. A packet generator in one network namespace, and in another
 * an interface whose filter drops what comes (`tc`, set up by who calls this): neither end has a
 * stack worth mentioning, so that what is measured is what stands between them.
 *
 *	packets -a NETNS,INTERFACE -b NETNS,INTERFACE -m MAC -d ADDRESS [-s SECONDS] [-w WARMUP]
 *
 * UDP packets of 60 bytes, from the first address of interface a to ADDRESS (IPv4), to Ethernet
 * address MAC, from CPU 0, 64 with each system call, past the queueing discipline. They are counted
 * where they arrive, by the receiving interface. Before that, with -1, one packet is sent and
 * looked at there: that it is whole, went to the interface's own Ethernet address, and over HOPS
 * routers.
 *
 *	packets -1 HOPS ...
 *
 * Prints rate= packets/s that arrived, and lost= the part that did not.
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <ifaddrs.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <sys/socket.h>

#include "bench.h"

#define BATCH 64
#define PORT 5151
#define TTL 64

struct packet {
	struct ethhdr eth;
	struct iphdr ip;
	struct udphdr udp;
	uint8_t data[32];
} __attribute__((packed));
_Static_assert(sizeof(struct packet) == ETH_HLEN + 60, "60 bytes");

struct side {
	char netns[64], name[IF_NAMESIZE];
	unsigned int index;
	uint8_t mac[ETH_ALEN];
	struct in_addr addr;
};

static void side_parse(struct side *s, const char *text)
{
	errno = 0;
	if (sscanf(text, "%63[^,],%15s", s->netns, s->name) != 2)
		die("%s: not NETNS,INTERFACE", text);
}

/* What getifaddrs says of the interface. Returns how many packets it has received. */
static uint32_t side_look(struct side *s)
{
	struct ifaddrs *all, *a;
	uint32_t received = 0;

	if (getifaddrs(&all))
		die("getifaddrs");
	s->addr.s_addr = 0;
	for (a = all; a; a = a->ifa_next) {
		if (!a->ifa_addr || strcmp(a->ifa_name, s->name))
			continue;
		if (a->ifa_addr->sa_family == AF_PACKET) {
			const struct sockaddr_ll *ll = (const void *)a->ifa_addr;
			const struct rtnl_link_stats *stats = a->ifa_data;

			s->index = (unsigned int)ll->sll_ifindex;
			memcpy(s->mac, ll->sll_addr, sizeof(s->mac));
			received = stats ? stats->rx_packets : 0;
		} else if (a->ifa_addr->sa_family == AF_INET && !s->addr.s_addr) {
			s->addr = ((const struct sockaddr_in *)(const void *)a->ifa_addr)->sin_addr;
		}
	}
	freeifaddrs(all);
	errno = 0;
	if (!s->index)
		die("%s: no interface %s", s->netns, s->name);
	return received;
}

/* A packet socket on the interface, in whose namespace this process stays. */
static int side_open(struct side *s, uint16_t protocol)
{
	struct sockaddr_ll ll = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol) };
	int fd;

	netns_enter(s->netns);
	side_look(s);
	ll.sll_ifindex = (int)s->index;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (void *)&ll, sizeof(ll)))
		die("packet socket on %s", s->name);
	return fd;
}

static uint16_t sum_of(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t) ~(sum + (sum >> 16));
}

static struct packet packet_make(const struct side *from, const uint8_t *mac, struct in_addr to)
{
	struct packet p = {
		.eth.h_proto = htons(ETH_P_IP),
		.ip = { .version = 4, .ihl = 5, .ttl = TTL, .protocol = IPPROTO_UDP },
		.udp = { .source = htons(PORT), .dest = htons(PORT) },
	};

	memcpy(p.eth.h_dest, mac, ETH_ALEN);
	memcpy(p.eth.h_source, from->mac, ETH_ALEN);
	p.ip.saddr = from->addr.s_addr;
	p.ip.daddr = to.s_addr;
	p.ip.tot_len = htons(sizeof(p) - ETH_HLEN);
	p.ip.check = htons(sum_of(&p.ip, sizeof(p.ip)));
	p.udp.len = htons(sizeof(p.udp) + sizeof(p.data)); /* without a checksum, as IPv4 allows */
	for (size_t i = 0; i < sizeof(p.data); i++)
		p.data[i] = (uint8_t)i;
	return p;
}

/* One packet, and what arrives is what should. */
static void one(int tx, int rx, const struct packet *sent, const struct side *b, int hops)
{
	struct timeval limit = { .tv_sec = 2 };
	struct packet want = *sent, got;
	ssize_t n;

	memcpy(want.eth.h_dest, b->mac, ETH_ALEN);
	want.ip.ttl = (uint8_t)(TTL - hops);
	want.ip.check = 0;
	want.ip.check = htons(sum_of(&want.ip, sizeof(want.ip)));
	if (setsockopt(rx, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    send(tx, sent, sizeof(*sent), 0) != sizeof(*sent))
		die("send");
	do {
		n = recv(rx, &got, sizeof(got), 0);
		if (n < 0)
			die("%s: the packet did not come", b->name);
	} while (n != sizeof(got) || got.ip.protocol != IPPROTO_UDP);
	if (hops)
		memcpy(want.eth.h_source, got.eth.h_source, ETH_ALEN);
	errno = 0;
	if (memcmp(&got, &want, sizeof(got)))
		die("%s: another packet came than was sent", b->name);
}

/* Sends until then. Returns how many. */
static uint64_t flood(int fd, struct packet *p, double seconds)
{
	uint64_t end = now_ns() + (uint64_t)(seconds * 1e9), sent = 0;
	struct iovec iov = { p, sizeof(*p) };
	struct mmsghdr vec[BATCH];

	for (int i = 0; i < BATCH; i++)
		vec[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
	while (now_ns() < end) {
		int n = sendmmsg(fd, vec, BATCH, 0);

		if (n < 0)
			die("sendmmsg");
		sent += (uint64_t)n;
	}
	return sent;
}

static void measure(int fd, struct packet *p, struct side *b, double warmup, double seconds)
{
	uint32_t before, came;
	uint64_t start, sent, ns;

	flood(fd, p, warmup);
	before = side_look(b); /* 32 bits, so is their difference */
	start = now_ns();
	sent = flood(fd, p, seconds);
	ns = now_ns() - start;
	came = side_look(b) - before;
	printf("rate=%.0f lost=%.4f\n", came * 1e9 / (double)ns,
	       sent > came ? (double)(sent - came) / (double)sent : 0);
}

static void mac_parse(uint8_t *mac, const char *text)
{
	unsigned int m[ETH_ALEN];

	errno = 0;
	if (sscanf(text, "%x:%x:%x:%x:%x:%x", m, m + 1, m + 2, m + 3, m + 4, m + 5) != ETH_ALEN)
		die("%s: not an Ethernet address", text);
	for (int i = 0; i < ETH_ALEN; i++)
		mac[i] = (uint8_t)m[i];
}

int main(int argc, char **argv)
{
	struct side a = { .netns = "" }, b = { .netns = "" };
	double seconds = 1, warmup = 0.2;
	uint8_t mac[ETH_ALEN] = { 0 };
	struct in_addr to = { 0 };
	int c, hops = -1, tx, rx, on = 1;
	struct packet p;

	while ((c = getopt(argc, argv, "1:a:b:m:d:s:w:")) != -1) {
		if (c == 'a' || c == 'b')
			side_parse(c == 'a' ? &a : &b, optarg);
		else if (c == '1')
			hops = atoi(optarg);
		else if (c == 'm')
			mac_parse(mac, optarg);
		else if (c == 'd' && inet_pton(AF_INET, optarg, &to) != 1)
			die("%s: not an IPv4 address", optarg);
		else if (c == 's')
			seconds = strtod(optarg, NULL);
		else if (c == 'w')
			warmup = strtod(optarg, NULL);
		else if (c == '?')
			return 2;
	}
	if (!*a.netns || !*b.netns || !to.s_addr)
		die("-a NETNS,INTERFACE -b NETNS,INTERFACE -m MAC -d ADDRESS");
	pin_cpu(0);
	tx = side_open(&a, 0);
	if (setsockopt(tx, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)))
		die("PACKET_QDISC_BYPASS");
	p = packet_make(&a, mac, to);
	rx = side_open(&b, hops < 0 ? 0 : ETH_P_IP); /* and in its namespace from here on */
	if (hops >= 0)
		one(tx, rx, &p, &b, hops);
	else
		measure(tx, &p, &b, warmup, seconds);
	return 0;
}
