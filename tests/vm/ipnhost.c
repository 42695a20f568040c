// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ipnhost: an IPv4 host in one process, on a process node of an IPN network or (--xsk) with the
 * AF_XDP socket of one of its ports.
 *
 * It answers ARP and ICMP echo for its address and can ping others itself. It trusts nothing: the
 * checksums of every IPv4 frame that reaches it are checked, for whomever the frame is, so that
 * offloads of other members which the fabric forgot to complete are seen. Bad frames are counted by
 * reason, the first of each kind is described on stderr, and the exit status tells.
 *
 * Its address has a prefix length (24 unless given); what is beyond it goes to the gateway, if any.
 *
 * Commands on standard input (--stdin), one answer line each (quit has none):
 *   ping ADDR COUNT SIZE SECONDS      ping ADDR: RECEIVED/COUNT
 *   shout SECONDS                     shout: ADDR... who answered an echo request to the broadcast
 *                                     address, each once
 *   stats                             stats: rx=N tx=N l4=N REASON=N...
 *   quit
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <net/ethernet.h>
#include <net/if_arp.h>
#include <netinet/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include <ipn/ipn.h>
#include <ipn/xsk.h>

#define FRAME_MAX 65536
#define MTU 1500
#define MIN_FRAME 60
#define PAYLOAD_MAX (MTU - sizeof(struct iphdr) - sizeof(struct icmphdr))
#define ARP_RETRY_MS 200
#define BURST 64
#define HEARD_MAX 64 /* who answers a shout */

/* What can be wrong with a frame that was received. */
enum bad {
	BAD_SHORT,
	BAD_LONG,
	BAD_HEADER,
	BAD_IP_SUM,
	BAD_SUM,
	BAD_ECHO,
	BAD_TWICE,
	BAD_COUNT,
};

static const char *const bad_names[BAD_COUNT] = {
	[BAD_SHORT] = "short",   [BAD_LONG] = "long",  [BAD_HEADER] = "header",
	[BAD_IP_SUM] = "ip_sum", [BAD_SUM] = "l4_sum", [BAD_ECHO] = "echo",
	[BAD_TWICE] = "twice",
};

/* One echo request is under way at a time; the next leaves when it is answered. */
struct ping {
	bool active;
	bool resolved;
	bool shout; /* to all: whoever answers, until the deadline */
	struct in_addr addr;
	struct in_addr hop; /* who is asked for by ARP */
	uint8_t mac[ETH_ALEN];
	unsigned int count;
	unsigned int received;
	size_t size;
	uint16_t id;
	int64_t deadline;
	int64_t next_arp;
};

struct host {
	int fd;
	struct ipn_xsk *xsk; /* NULL: fd is a socket of libipn */
	uint8_t mac[ETH_ALEN];
	struct in_addr addr;
	struct in_addr all;     /* the broadcast address of its subnet */
	struct in_addr gateway; /* 0.0.0.0: none */
	unsigned int prefix;
	struct ping ping;
	struct in_addr heard[HEARD_MAX];
	unsigned int nheard;
	uint64_t rx;
	uint64_t tx;
	uint64_t l4; /* TCP and UDP packets for this host, right ones; nothing answers them */
	uint64_t bad[BAD_COUNT];
	/* Two bytes before each frame, so that what follows its Ethernet header is aligned. */
	_Alignas(4) uint8_t in_pad[2];
	uint8_t in[FRAME_MAX];
	_Alignas(4) uint8_t out_pad[2];
	uint8_t out[ETH_HLEN + MTU];
};

static const uint8_t broadcast_mac[ETH_ALEN] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static int fail(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fputs("ipnhost: ", stderr);
	vfprintf(stderr, fmt, args);
	fputc('\n', stderr);
	va_end(args);
	return -1;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The sum of RFC 1071 over a buffer, continued from sum; fold() ends it. */
static uint32_t sum_add(uint32_t sum, const void *buf, size_t len)
{
	const uint8_t *p = buf;

	for (; len > 1; p += 2, len -= 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	if (len)
		sum += (uint32_t)p[0] << 8;
	return sum;
}

/* The checksum in network order; 0 over data that includes a right checksum. */
static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum & 0xffff);
}

static void host_bad(struct host *h, enum bad why, size_t len)
{
	const uint8_t *f = h->in;

	if (h->bad[why]++)
		return;
	fail("bad frame: %s: %zu bytes to %02x:%02x:%02x:%02x:%02x:%02x from "
	     "%02x:%02x:%02x:%02x:%02x:%02x",
	     bad_names[why], len, f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9], f[10],
	     f[11]);
}

/* One frame goes out. */
static int host_put(struct host *h, const void *frame, size_t len)
{
	struct ipn_xsk_frame f;

	if (!h->xsk)
		return ipn_send(h->fd, frame, len, 0) == (ssize_t)len ? 0 : -1;
	for (unsigned int tries = 0; ipn_xsk_alloc(h->xsk, &f, 1) != 1; tries++) {
		if (tries == 10) {
			errno = ENOBUFS;
			return -1;
		}
		if (ipn_xsk_wait(h->xsk, POLLOUT, 100) < 0)
			return -1;
	}
	memcpy(f.data, frame, len);
	f.len = (uint32_t)len;
	if (ipn_xsk_send(h->xsk, &f, 1) != 1)
		return -1;
	return ipn_xsk_wait(h->xsk, POLLOUT, 100) < 0 ? -1 : 0;
}

/* The next frame into h->in: its length, 0 at the end, or -1. */
static ssize_t host_get(struct host *h)
{
	struct ipn_xsk_frame f;
	int n;

	if (!h->xsk)
		return ipn_recv(h->fd, h->in, sizeof(h->in), MSG_DONTWAIT);
	n = ipn_xsk_recv(h->xsk, &f, 1);
	if (n < 1) {
		errno = n ? errno : EAGAIN;
		return -1;
	}
	memcpy(h->in, f.data, f.len);
	return ipn_xsk_free(h->xsk, &f, 1) ? -1 : (ssize_t)f.len;
}

/*
 * Sends what stands in h->out: len bytes after the Ethernet header, which is filled in here.
 */
static int host_send(struct host *h, const uint8_t *to, uint16_t proto, size_t len)
{
	struct ether_header *eth = (struct ether_header *)h->out;

	memcpy(eth->ether_dhost, to, ETH_ALEN);
	memcpy(eth->ether_shost, h->mac, ETH_ALEN);
	eth->ether_type = htons(proto);
	len += ETH_HLEN;
	if (len < MIN_FRAME) {
		memset(h->out + len, 0, MIN_FRAME - len);
		len = MIN_FRAME;
	}
	if (host_put(h, h->out, len))
		return fail("send of %zu bytes: %s", len, strerror(errno));
	h->tx++;
	return 0;
}

static int arp_send(struct host *h, uint16_t op, const uint8_t *to, struct in_addr tpa)
{
	struct ether_arp *arp = (struct ether_arp *)(h->out + ETH_HLEN);

	*arp = (struct ether_arp){
		.ea_hdr = {
			.ar_hrd = htons(ARPHRD_ETHER),
			.ar_pro = htons(ETHERTYPE_IP),
			.ar_hln = ETH_ALEN,
			.ar_pln = sizeof(tpa),
			.ar_op = htons(op),
		},
	};
	memcpy(arp->arp_sha, h->mac, ETH_ALEN);
	memcpy(arp->arp_spa, &h->addr, sizeof(h->addr));
	if (op == ARPOP_REPLY)
		memcpy(arp->arp_tha, to, ETH_ALEN);
	memcpy(arp->arp_tpa, &tpa, sizeof(tpa));
	return host_send(h, to, ETHERTYPE_ARP, sizeof(*arp));
}

/*
 * Sends an ICMP echo message whose payload of size bytes stands in h->out behind the headers.
 */
static int echo_send(struct host *h, uint8_t type, const uint8_t *to, struct in_addr daddr,
		     uint16_t id, uint16_t seq, size_t size)
{
	struct iphdr *ip = (struct iphdr *)(h->out + ETH_HLEN);
	struct icmphdr *icmp = (struct icmphdr *)(ip + 1);
	size_t len = sizeof(*ip) + sizeof(*icmp) + size;

	*ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = htons(len),
		.frag_off = htons(IP_DF),
		.ttl = 64,
		.protocol = IPPROTO_ICMP,
		.saddr = h->addr.s_addr,
		.daddr = daddr.s_addr,
	};
	ip->check = fold(sum_add(0, ip, sizeof(*ip)));
	*icmp = (struct icmphdr){
		.type = type,
		.un.echo = { .id = id, .sequence = seq },
	};
	icmp->checksum = fold(sum_add(0, icmp, sizeof(*icmp) + size));
	return host_send(h, to, ETHERTYPE_IP, len);
}

static uint8_t *payload_out(struct host *h)
{
	return h->out + ETH_HLEN + sizeof(struct iphdr) + sizeof(struct icmphdr);
}

/* Every request has other bytes, so that an old or a foreign answer is not taken for this one. */
static void payload_fill(uint8_t *p, size_t size, unsigned int seq)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (uint8_t)(i * 7 + seq);
}

static int ping_step(struct host *h)
{
	struct ping *p = &h->ping;

	if (!p->resolved) {
		p->next_arp = now_ms() + ARP_RETRY_MS;
		return arp_send(h, ARPOP_REQUEST, broadcast_mac, p->hop);
	}
	payload_fill(payload_out(h), p->size, p->received);
	return echo_send(h, ICMP_ECHO, p->mac, p->addr, p->id, htons(p->received), p->size);
}

static in_addr_t mask(unsigned int prefix)
{
	return prefix ? htonl(~0u << (32 - prefix)) : 0;
}

static int ping_start(struct host *h, struct in_addr addr, unsigned int count, size_t size,
		      unsigned int seconds)
{
	bool near = !((addr.s_addr ^ h->addr.s_addr) & mask(h->prefix));
	uint16_t id = h->ping.id + 1;

	h->ping = (struct ping){
		.active = true,
		.addr = addr,
		.hop = near || !h->gateway.s_addr ? addr : h->gateway,
		.count = count,
		.size = size,
		.id = id,
		.deadline = now_ms() + (int64_t)seconds * 1000,
	};
	return ping_step(h);
}

static int shout_start(struct host *h, unsigned int seconds)
{
	uint16_t id = h->ping.id + 1;

	h->ping = (struct ping){
		.active = true,
		.resolved = true,
		.shout = true,
		.addr = h->all,
		.count = 1,
		.size = 56,
		.id = id,
		.deadline = now_ms() + (int64_t)seconds * 1000,
	};
	memcpy(h->ping.mac, broadcast_mac, ETH_ALEN);
	h->nheard = 0;
	return ping_step(h);
}

static void shout_heard(struct host *h, in_addr_t from)
{
	for (unsigned int i = 0; i < h->nheard; i++)
		if (h->heard[i].s_addr == from)
			return;
	if (h->nheard < HEARD_MAX)
		h->heard[h->nheard++].s_addr = from;
}

static void ping_end(struct host *h)
{
	h->ping.active = false;
	if (h->ping.shout) {
		fputs("shout:", stdout);
		for (unsigned int i = 0; i < h->nheard; i++)
			printf(" %s", inet_ntoa(h->heard[i]));
		putchar('\n');
		return;
	}
	printf("ping %s: %u/%u\n", inet_ntoa(h->ping.addr), h->ping.received, h->ping.count);
}

static int arp_input(struct host *h, size_t len)
{
	const struct ether_arp *arp = (const struct ether_arp *)(h->in + ETH_HLEN);
	struct ping *p = &h->ping;
	struct in_addr spa;

	if (len < ETH_HLEN + sizeof(*arp)) {
		host_bad(h, BAD_SHORT, len);
		return 0;
	}
	memcpy(&spa, arp->arp_spa, sizeof(spa));
	if (memcmp(arp->arp_tpa, &h->addr, sizeof(h->addr)) != 0)
		return 0;
	if (arp->ea_hdr.ar_op == htons(ARPOP_REQUEST))
		return arp_send(h, ARPOP_REPLY, arp->arp_sha, spa);
	if (arp->ea_hdr.ar_op == htons(ARPOP_REPLY) && p->active && !p->resolved &&
	    spa.s_addr == p->hop.s_addr) {
		memcpy(p->mac, arp->arp_sha, ETH_ALEN);
		p->resolved = true;
		return ping_step(h);
	}
	return 0;
}

static int echo_reply_input(struct host *h, const struct iphdr *ip, const struct icmphdr *icmp,
			    size_t size, size_t len)
{
	struct ping *p = &h->ping;
	uint8_t want[PAYLOAD_MAX];

	if (icmp->un.echo.id == p->id && p->shout && p->active)
		shout_heard(h, ip->saddr);
	if (icmp->un.echo.id != p->id || ip->saddr != p->addr.s_addr)
		return 0;
	if (ntohs(icmp->un.echo.sequence) < p->received)
		host_bad(h, BAD_TWICE, len);
	if (!p->active || ntohs(icmp->un.echo.sequence) != p->received)
		return 0;
	payload_fill(want, p->size, p->received);
	if (size != p->size || memcmp(icmp + 1, want, size) != 0) {
		host_bad(h, BAD_ECHO, len);
		return 0;
	}
	if (++p->received < p->count)
		return ping_step(h);
	ping_end(h);
	return 0;
}

/*
 * The checksums of an IPv4 packet in len bytes. Returns BAD_COUNT if all are right.
 */
static enum bad ipv4_check(const struct iphdr *ip, size_t len)
{
	size_t hlen, total, l4_len;
	const uint8_t *l4;
	uint32_t sum = 0;

	if (len < sizeof(*ip))
		return BAD_SHORT;
	hlen = ip->ihl * 4;
	total = ntohs(ip->tot_len);
	if (ip->version != 4 || hlen < sizeof(*ip) || total < hlen || total > len)
		return BAD_HEADER;
	if (fold(sum_add(0, ip, hlen)) != 0)
		return BAD_IP_SUM;
	if (ip->frag_off & htons(IP_MF | IP_OFFMASK))
		return BAD_COUNT;

	l4 = (const uint8_t *)ip + hlen;
	l4_len = total - hlen;
	switch (ip->protocol) {
	case IPPROTO_ICMP:
		break;
	case IPPROTO_UDP:
		if (l4_len < 8)
			return BAD_HEADER;
		if (l4[6] == 0 && l4[7] == 0) /* sent without one */
			return BAD_COUNT;
		/* fallthrough */
	case IPPROTO_TCP:
		sum = sum_add(sum, &ip->saddr, 2 * sizeof(ip->saddr));
		sum += ip->protocol + (uint32_t)l4_len;
		break;
	default:
		return BAD_COUNT;
	}
	return fold(sum_add(sum, l4, l4_len)) ? BAD_SUM : BAD_COUNT;
}

static int ipv4_input(struct host *h, size_t len)
{
	const struct ether_header *eth = (const struct ether_header *)h->in;
	const struct iphdr *ip = (const struct iphdr *)(h->in + ETH_HLEN);
	const struct icmphdr *icmp;
	struct in_addr saddr;
	enum bad why;
	bool to_all;
	size_t size;

	why = ipv4_check(ip, len - ETH_HLEN);
	if (why != BAD_COUNT) {
		host_bad(h, why, len);
		return 0;
	}
	to_all = ip->daddr == h->all.s_addr && !memcmp(eth->ether_dhost, broadcast_mac, ETH_ALEN);
	if (!to_all &&
	    (memcmp(eth->ether_dhost, h->mac, ETH_ALEN) != 0 || ip->daddr != h->addr.s_addr))
		return 0;
	if (ip->frag_off & htons(IP_MF | IP_OFFMASK))
		return 0;
	if (ip->protocol == IPPROTO_TCP || ip->protocol == IPPROTO_UDP)
		h->l4++;
	if (ip->protocol != IPPROTO_ICMP)
		return 0;
	icmp = (const struct icmphdr *)((const uint8_t *)ip + ip->ihl * 4);
	size = ntohs(ip->tot_len) - ip->ihl * 4;
	if (size < sizeof(*icmp)) {
		host_bad(h, BAD_HEADER, len);
		return 0;
	}
	size -= sizeof(*icmp);
	if (size > PAYLOAD_MAX) {
		host_bad(h, BAD_LONG, len);
		return 0;
	}
	if (icmp->type == ICMP_ECHOREPLY)
		return echo_reply_input(h, ip, icmp, size, len);
	if (icmp->type != ICMP_ECHO)
		return 0;
	memcpy(payload_out(h), icmp + 1, size);
	saddr.s_addr = ip->saddr;
	return echo_send(h, ICMP_ECHOREPLY, eth->ether_shost, saddr, icmp->un.echo.id,
			 icmp->un.echo.sequence, size);
}

/* Handles the frame of len bytes in h->in. */
static int frame_input(struct host *h, size_t len)
{
	const struct ether_header *eth = (const struct ether_header *)h->in;

	h->rx++;
	if (len < ETH_HLEN) {
		host_bad(h, BAD_SHORT, len);
		return 0;
	}
	/* A frame for a process must be whole: no segmentation left to do, one VLAN tag at most. */
	if (len > ETH_HLEN + MTU + 4) {
		host_bad(h, BAD_LONG, len);
		return 0;
	}
	switch (ntohs(eth->ether_type)) {
	case ETHERTYPE_ARP:
		return arp_input(h, len);
	case ETHERTYPE_IP:
		return ipv4_input(h, len);
	default:
		return 0;
	}
}

/* Takes what there is, at most a burst. Returns 0, or -1 when the network is gone. */
static int host_input(struct host *h)
{
	for (unsigned int i = 0; i < BURST; i++) {
		ssize_t n = host_get(h);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (n < 0)
			return fail("recv: %s", strerror(errno));
		if (n == 0)
			return fail("recv: the network is gone");
		if (frame_input(h, n))
			return -1;
	}
	return 0;
}

static void host_stats(const struct host *h)
{
	printf("stats: rx=%" PRIu64 " tx=%" PRIu64 " l4=%" PRIu64, h->rx, h->tx, h->l4);
	for (unsigned int i = 0; i < BAD_COUNT; i++)
		printf(" %s=%" PRIu64, bad_names[i], h->bad[i]);
	putchar('\n');
}

static bool host_clean(const struct host *h)
{
	for (unsigned int i = 0; i < BAD_COUNT; i++)
		if (h->bad[i])
			return false;
	return true;
}

/* Returns 1 for the end. */
static int host_command(struct host *h, const char *line)
{
	unsigned int count, size, seconds;
	struct in_addr addr;
	char text[16];

	if (strcmp(line, "quit") == 0)
		return 1;
	if (strcmp(line, "stats") == 0) {
		host_stats(h);
		return 0;
	}
	if (sscanf(line, "shout %u", &seconds) == 1 && !h->ping.active)
		return shout_start(h, seconds);
	if (sscanf(line, "ping %15s %u %u %u", text, &count, &size, &seconds) != 4 ||
	    inet_pton(AF_INET, text, &addr) != 1 || count == 0 || count > UINT16_MAX ||
	    size > PAYLOAD_MAX)
		return fail("command: %s: not understood", line);
	if (h->ping.active)
		return fail("command: %s: a ping is under way", line);
	return ping_start(h, addr, count, size, seconds);
}

/*
 * Takes one byte of a command, so that what follows it waits in the pipe while a ping is under way.
 * Returns 1 at the end of input.
 */
static int host_stdin(struct host *h)
{
	static char line[128];
	static size_t used;
	ssize_t n = read(STDIN_FILENO, line + used, 1);

	if (n < 0)
		return errno == EINTR ? 0 : fail("standard input: %s", strerror(errno));
	if (n == 0)
		return 1;
	if (line[used] != '\n')
		return ++used < sizeof(line) ? 0 : fail("command: too long");
	line[used] = '\0';
	used = 0;
	return host_command(h, line);
}

/* When the ping under way has something to do, in ms from now; -1 for never. */
static int ping_timeout(const struct ping *p)
{
	int64_t when;

	if (!p->active)
		return -1;
	when = p->deadline;
	if (!p->resolved && p->next_arp < when)
		when = p->next_arp;
	when -= now_ms();
	if (when < 0)
		return 0;
	return when > INT_MAX ? INT_MAX : (int)when;
}

static int ping_timer(struct host *h)
{
	struct ping *p = &h->ping;
	int64_t now = now_ms();

	if (p->active && now >= p->deadline)
		ping_end(h);
	else if (p->active && !p->resolved && now >= p->next_arp)
		return ping_step(h);
	return 0;
}

/* Serves until a signal, the end of commands, or (once) the end of the ping. */
static int host_serve(struct host *h, int signals, bool commands, bool once)
{
	struct pollfd fds[] = {
		{ .fd = h->fd, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
		{ .events = POLLIN }, /* standard input, while no ping is under way */
	};
	int r;

	while (!once || h->ping.active) {
		fds[2].fd = commands && !h->ping.active ? STDIN_FILENO : -1;
		if (ipn_poll(fds, 3, ping_timeout(&h->ping)) < 0) {
			if (errno == EINTR)
				continue;
			return fail("poll: %s", strerror(errno));
		}
		if (fds[1].revents)
			return 0;
		if (fds[0].revents && host_input(h))
			return -1;
		if (ping_timer(h))
			return -1;
		r = fds[2].revents ? host_stdin(h) : 0;
		if (r)
			return r < 0 ? r : 0;
	}
	return 0;
}

/* Takes the AF_XDP port of that name. */
static int host_take(struct host *h, const char *path, const char *name)
{
	h->xsk = ipn_xsk_open(path, name);
	if (!h->xsk)
		return fail("xsk: %s, %s: %s", path, name, strerror(errno));
	h->fd = ipn_xsk_fd(h->xsk);
	return 0;
}

/* Joins the network at the path, at that port or (IPN_PORTNO_ANY) at any. */
static int host_join(struct host *h, const char *path, int port)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };

	if (strlen(path) >= sizeof(addr.sun_path))
		return fail("%s: path too long", path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	h->fd = ipn_socket(AF_IPN, SOCK_RAW | SOCK_CLOEXEC, IPN_ANY);
	if (h->fd < 0)
		return fail("socket: %s", strerror(errno));
	if (port != IPN_PORTNO_ANY && ipn_setsockopt(h->fd, 0, IPN_SO_PORT, &port, sizeof(port)))
		return fail("port %d: %s", port, strerror(errno));
	if (ipn_connect(h->fd, (struct sockaddr *)&addr, sizeof(addr)))
		return fail("connect: %s: %s", path, strerror(errno));
	return 0;
}

static int parse_mac(const char *text, uint8_t *mac)
{
	int end = 0;

	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		   &mac[3], &mac[4], &mac[5], &end) != ETH_ALEN ||
	    text[end] || mac[0] & 1)
		return fail("%s: not a unicast MAC address", text);
	return 0;
}

static int parse_addr(const char *text, struct in_addr *addr)
{
	return inet_pton(AF_INET, text, addr) == 1 ? 0 : fail("%s: not an IPv4 address", text);
}

static int parse_number(const char *text, unsigned int min, unsigned int max, unsigned int *out);

/* ADDR[/LEN] */
static int parse_own(char *text, struct host *h)
{
	char *slash = strchr(text, '/');

	h->prefix = 24;
	if (slash) {
		*slash = '\0';
		if (parse_number(slash + 1, 1, 30, &h->prefix))
			return -1;
	}
	if (parse_addr(text, &h->addr))
		return -1;
	h->all.s_addr = h->addr.s_addr | ~mask(h->prefix);
	return 0;
}

static int parse_number(const char *text, unsigned int min, unsigned int max, unsigned int *out)
{
	unsigned long v;
	char *end;

	errno = 0;
	v = strtoul(text, &end, 10);
	if (errno || end == text || *end || *text == '-' || v < min || v > max)
		return fail("%s: not a number from %u to %u", text, min, max);
	*out = v;
	return 0;
}

static int usage(void)
{
	fputs("usage: ipnhost PATH ADDR[/LEN] [--gateway ADDR] [--mac MAC]\n"
	      "               [--port N | --xsk NAME] [--stdin]\n"
	      "       ipnhost ... --ping ADDR [--count N] [--size BYTES] [--timeout S]\n",
	      stderr);
	return 2;
}

static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "mac", required_argument, NULL, 'm' },
		{ "gateway", required_argument, NULL, 'g' },
		{ "port", required_argument, NULL, 'o' },
		{ "xsk", required_argument, NULL, 'x' },
		{ "stdin", no_argument, NULL, 'i' },
		{ "ping", required_argument, NULL, 'p' },
		{ "count", required_argument, NULL, 'c' },
		{ "size", required_argument, NULL, 's' },
		{ "timeout", required_argument, NULL, 't' },
		{ NULL, 0, NULL, 0 },
	};
	unsigned int count = 3, size = 56, seconds = 5, number = 0;
	int port = IPN_PORTNO_ANY;
	const char *xsk = NULL;
	bool once = false, commands = false, have_mac = false;
	static struct host h;
	struct in_addr to = { 0 };
	int opt, signals, r = 0;

	while (!r && (opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (opt) {
		case 'm':
			r = parse_mac(optarg, h.mac);
			have_mac = true;
			break;
		case 'o':
			r = parse_number(optarg, 0, 65535, &number);
			port = (int)number;
			break;
		case 'x':
			xsk = optarg;
			break;
		case 'g':
			r = parse_addr(optarg, &h.gateway);
			break;
		case 'i':
			commands = true;
			break;
		case 'p':
			r = parse_addr(optarg, &to);
			once = true;
			break;
		case 'c':
			r = parse_number(optarg, 1, UINT16_MAX, &count);
			break;
		case 's':
			r = parse_number(optarg, 0, PAYLOAD_MAX, &size);
			break;
		case 't':
			r = parse_number(optarg, 1, 3600, &seconds);
			break;
		default:
			return usage();
		}
	}
	if (r)
		return 2;
	if (argc - optind != 2 || (once && commands))
		return usage();
	if (parse_own(argv[optind + 1], &h))
		return 2;
	if (!have_mac) { /* locally administered, one for each address */
		h.mac[0] = 0x02;
		memcpy(h.mac + 2, &h.addr, sizeof(h.addr));
	}
	h.ping.id = (uint16_t)getpid();
	setvbuf(stdout, NULL, _IOLBF, 0);

	signals = open_signals();
	if (signals < 0)
		fail("signalfd: %s", strerror(errno));
	if (signals < 0 ||
	    (xsk ? host_take(&h, argv[optind], xsk) : host_join(&h, argv[optind], port)))
		return 1;
	puts("ready");
	if (once)
		r = ping_start(&h, to, count, size, seconds);
	if (!r)
		r = host_serve(&h, signals, commands, once);
	if (h.xsk)
		ipn_xsk_close(h.xsk);
	else
		ipn_close(h.fd);
	if (r || !host_clean(&h) || (once && h.ping.received < count))
		return 1;
	return 0;
}
