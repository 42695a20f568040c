// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * AF_XDP peers for the tests, over libipn. Run as any user.
 *
 *   xskpeer PATH NAME count SECONDS [COUNT]     receives until COUNT frames or the time is over;
 *                                               verifies checksums; prints what came
 *   xskpeer PATH NAME send N LEN [DST]          N numbered frames to DST (default: broadcast)
 *   xskpeer PATH NAME sendback N LEN            the same, and counts those that come back swapped
 *   xskpeer PATH NAME pair N LEN                exchanges N frames each way with another `pair`,
 *                                               at full batch, and verifies each
 *   xskpeer PATH NAME echo SECONDS              answers ARP, and sends UDP and ICMP back in place
 *   xskpeer PATH NAME hold                      has it until it is killed
 *   xskpeer PATH NAME sloth                     has it and gives nothing back
 *   xskpeer PATH NAME scribble SECONDS          writes all over rings and memory
 *   xskpeer PATH NAME open                      prints ok or the error
 *
 * "ready PID" is printed when the port is open. NAME "-": the first that is free. SIGTERM: what is
 * on its way still counts, then the time is over.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ipn/xsk.h>
#include <linux/if_xdp.h>
#include <net/ethernet.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define ETH 14
#define PROTO 0x88b6 /* of the test's own frames */
#define MAGIC 0x69706e78u
#define ON_ITS_WAY 0.3

static struct ipn_xsk *port;
static struct ipn_xsk_info info;
static volatile sig_atomic_t stop;

static void on_term(int number)
{
	(void)number;
	stop = 1;
}

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool going(double *end)
{
	double t = now();

	if (stop && *end > t + ON_ITS_WAY)
		*end = t + ON_ITS_WAY;
	return t < *end;
}

/* --- frames of the tests --- */

struct frame {
	uint8_t dst[6], src[6];
	uint16_t proto;
	uint32_t magic, number, len;
	uint8_t data[];
} __attribute__((packed));

static void own_mac(uint8_t mac[6])
{
	const uint8_t base[6] = { 0x02, 0x58, 0, 0, 0, (uint8_t)info.port };

	memcpy(mac, base, 6);
}

static uint8_t byte_of(uint32_t number, uint32_t i)
{
	return (uint8_t)(number * 31 + i * 7 + (i >> 8));
}

static void frame_make(struct ipn_xsk_frame *f, const uint8_t dst[6], uint32_t number, uint32_t len)
{
	struct frame *p = f->data;

	memcpy(p->dst, dst, 6);
	own_mac(p->src);
	p->proto = htons(PROTO);
	p->magic = MAGIC;
	p->number = number;
	p->len = len;
	for (uint32_t i = 0; i < len - sizeof(*p); i++)
		p->data[i] = byte_of(number, i);
	f->len = len;
}

/* -1: none of ours. Dies when it is not whole. */
static long frame_number(const struct ipn_xsk_frame *f)
{
	const struct frame *p = f->data;

	if (f->len < sizeof(*p) || p->proto != htons(PROTO) || p->magic != MAGIC)
		return -1;
	if (p->len != f->len)
		die("frame %u: %u bytes of %u", p->number, f->len, p->len);
	for (uint32_t i = 0; i < p->len - sizeof(*p); i++)
		if (p->data[i] != byte_of(p->number, i))
			die("frame %u: wrong at %u", p->number, i);
	return p->number;
}

/* --- checksums --- */

static uint32_t sum_add(uint32_t sum, const uint8_t *p, uint32_t len)
{
	for (; len > 1; len -= 2, p += 2)
		sum += (uint32_t)p[0] << 8 | p[1];
	return len ? sum + ((uint32_t)p[0] << 8) : sum;
}

static bool sum_good(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum == 0xffff;
}

static uint32_t bad_sums, bad_lengths, tcp, udp, others, biggest;
static uint64_t bytes;

static void ip_check(const uint8_t *ip, uint32_t len)
{
	uint32_t header = (uint32_t)(ip[0] & 15) * 4, total = (uint32_t)ip[2] << 8 | ip[3], sum;

	if (len < 20 || ip[0] >> 4 != 4 || header < 20 || total < header || total > len) {
		bad_lengths++;
		return;
	}
	if (!sum_good(sum_add(0, ip, header)))
		bad_sums++;
	if (ip[9] != 6 && ip[9] != 17) {
		others++;
		return;
	}
	ip[9] == 6 ? tcp++ : udp++;
	sum = sum_add(ip[9] + total - header, ip + 12, 8);
	if (!sum_good(sum_add(sum, ip + header, total - header)))
		bad_sums++;
}

static void frame_check(const struct ipn_xsk_frame *f)
{
	const uint8_t *p = f->data;

	bytes += f->len;
	if (f->len > biggest)
		biggest = f->len;
	if (f->len > info.mtu || f->len < ETH)
		bad_lengths++;
	else if (p[12] == 8 && p[13] == 0)
		ip_check(p + ETH, f->len - ETH);
	else
		others++;
}

/* --- the peers --- */

static void wait_for(short events, int ms)
{
	if (ipn_xsk_wait(port, events, ms) < 0 && errno != EINTR)
		die("wait: %s", strerrorname_np(errno));
}

static void do_count(double seconds, unsigned long count)
{
	double end = now() + seconds;
	struct ipn_xsk_frame f[BATCH];
	unsigned long got = 0, ours = 0;

	while (going(&end) && (!count || got < count)) {
		int n = ipn_xsk_recv(port, f, BATCH);

		if (n < 0)
			die("recv: %s", strerrorname_np(errno));
		for (int i = 0; i < n; i++) {
			if (frame_number(&f[i]) >= 0)
				ours++;
			else
				frame_check(&f[i]);
		}
		got += (unsigned long)n;
		if (n && ipn_xsk_free(port, f, (unsigned int)n))
			die("free: %s", strerrorname_np(errno));
		if (!n)
			wait_for(POLLIN, 50);
	}
	printf("got %lu ours %lu tcp %u udp %u bad_sums %u bad_lengths %u biggest %u\n", got, ours,
	       tcp, udp, bad_sums, bad_lengths, biggest);
}

static unsigned int send_some(const uint8_t dst[6], uint32_t number, uint32_t n, uint32_t len)
{
	struct ipn_xsk_frame f[BATCH];
	int got = ipn_xsk_alloc(port, f, n < BATCH ? n : BATCH), sent;

	for (int i = 0; i < got; i++)
		frame_make(&f[i], dst, number + (uint32_t)i, len);
	sent = ipn_xsk_send(port, f, (unsigned int)got);
	if (sent < 0)
		die("send: %s", strerrorname_np(errno));
	if (sent < got && ipn_xsk_free(port, f + sent, (unsigned int)(got - sent)))
		die("free: %s", strerrorname_np(errno));
	return (unsigned int)sent;
}

static void mac_read(const char *text, uint8_t mac[6])
{
	memset(mac, 0xff, 6);
	if (text && sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2],
			   &mac[3], &mac[4], &mac[5]) != 6)
		die("not an address: %s", text);
}

/* Everything comes back, with the addresses swapped; a few at a time, to lose nothing. */
static void do_sendback(uint32_t n, uint32_t len)
{
	const uint8_t dst[6] = { 0x02, 0x44, 0, 0, 0, 1 };
	uint32_t sent = 0, back = 0;
	struct ipn_xsk_frame f[BATCH];
	double end = now() + 30;
	uint8_t mac[6];

	own_mac(mac);
	while (back < n && now() < end) {
		int r = ipn_xsk_recv(port, f, BATCH);

		for (int i = 0; i < r; i++)
			if (frame_number(&f[i]) >= 0 && !memcmp(f[i].data, mac, 6))
				back++;
		if (r > 0 && ipn_xsk_free(port, f, (unsigned int)r))
			die("free: %s", strerrorname_np(errno));
		if (sent < n && sent < back + 32)
			sent += send_some(dst, sent, n - sent < 16 ? n - sent : 16, len);
		else if (r <= 0)
			wait_for(POLLIN, 20);
	}
	printf("sent %u back %u\n", sent, back);
}

static void do_send(uint32_t n, uint32_t len, const char *to)
{
	uint8_t dst[6];
	uint32_t sent = 0;

	mac_read(to, dst);
	while (sent < n) {
		uint32_t some = send_some(dst, sent, n - sent, len);

		sent += some;
		if (!some)
			wait_for(POLLOUT, 100);
	}
	printf("sent %u\n", sent);
}

#define HELLO 0x7fffffff

/* Frames are counted, not awaited in order: a sender that changes CPUs may overtake itself. */
static uint8_t *seen_early;

/* Until the other is there, too: its hello, or its first frames. */
static void meet(const uint8_t dst[6], uint32_t n, uint32_t *got)
{
	struct ipn_xsk_frame f;
	double end = now() + 20;
	bool met = false;

	while (!met && now() < end) {
		if (ipn_xsk_alloc(port, &f, 1) == 1) {
			frame_make(&f, dst, HELLO, 60);
			if (ipn_xsk_send(port, &f, 1) != 1)
				die("send: %s", strerrorname_np(errno));
		}
		wait_for(POLLIN, 20);
		while (ipn_xsk_recv(port, &f, 1) == 1) {
			long number = frame_number(&f);

			if (ipn_xsk_free(port, &f, 1))
				die("free: %s", strerrorname_np(errno));
			met |= number >= 0;
			if (number >= 0 && number < n) {
				seen_early[number] = 1;
				++*got;
			}
		}
	}
	/* it may not have seen one of ours */
	if (ipn_xsk_alloc(port, &f, 1) == 1) {
		frame_make(&f, dst, HELLO, 60);
		(void)ipn_xsk_send(port, &f, 1);
	}
}

/* At most two windows are on their way to either: nothing is lost then. */
static void do_pair(uint32_t n, uint32_t len)
{
	const uint8_t dst[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
	uint32_t sent = 0, got = 0, window = 64, biggest_batch = 0;
	struct ipn_xsk_frame f[BATCH];
	double end = now() + 60;
	uint8_t *seen = calloc((size_t)n + 1, 1);

	if (!seen)
		die("no memory");
	seen_early = seen;
	meet(dst, n, &got);
	while (sent < n || got < n) {
		int r = ipn_xsk_recv(port, f, BATCH);

		if (now() > end)
			die("stuck: sent %u, got %u of %u", sent, got, n);
		for (int i = 0; i < r; i++) {
			long number = frame_number(&f[i]);

			if (number < 0 || number == HELLO)
				continue;
			if ((uint32_t)number >= n || seen[number]++)
				die("frame %ld came twice, or was never sent", number);
			got++;
		}
		if (r > (int)biggest_batch)
			biggest_batch = (uint32_t)r;
		if (r > 0 && ipn_xsk_free(port, f, (unsigned int)r))
			die("free: %s", strerrorname_np(errno));
		if (sent < n && sent < got + window)
			sent += send_some(dst, sent,
					  n - sent < got + window - sent ? n - sent
									 : got + window - sent,
					  len);
		else if (r <= 0)
			wait_for(POLLIN, 50);
	}
	wait_for(POLLOUT, 1000);
	free(seen);
	printf("pair sent %u got %u batch %u\n", sent, got, biggest_batch);
}

/* ARP requests for any address, ICMP echo and UDP: turned round in place. */
static bool turn(struct ipn_xsk_frame *f)
{
	uint8_t *p = f->data, mac[6], tmp[6];

	own_mac(mac);
	if (f->len >= 42 && p[12] == 8 && p[13] == 6 && p[21] == 1) {
		uint8_t target[4];

		p[21] = 2;
		memcpy(target, p + 38, 4);
		memcpy(p + 32, p + 22, 10);
		memcpy(p + 22, mac, 6);
		memcpy(p + 28, target, 4);
	} else if (f->len >= 42 && p[12] == 8 && p[13] == 0 && (p[14] & 15) == 5) {
		memcpy(tmp, p + 26, 4);
		memcpy(p + 26, p + 30, 4);
		memcpy(p + 30, tmp, 4);
		if (p[23] == 1 &&
		    p[34] == 8) { /* echo request; its checksum follows from the type */
			uint32_t sum = ((uint32_t)p[36] << 8 | p[37]) + 0x0800;

			p[34] = 0;
			sum = (sum & 0xffff) + (sum >> 16);
			p[36] = (uint8_t)(sum >> 8);
			p[37] = (uint8_t)sum;
		} else if (p[23] == 17) { /* ports change places: the sum remains */
			memcpy(tmp, p + 34, 2);
			memcpy(p + 34, p + 36, 2);
			memcpy(p + 36, tmp, 2);
		} else {
			return false;
		}
		frame_check(f);
	} else {
		return false;
	}
	memcpy(p, p + 6, 6);
	memcpy(p + 6, mac, 6);
	return true;
}

static void do_echo(double seconds)
{
	struct ipn_xsk_frame f[BATCH];
	double end = now() + seconds;
	unsigned long turned = 0;

	while (going(&end)) {
		int n = ipn_xsk_recv(port, f, BATCH), back = 0, sent = 0;

		for (int i = 0; i < n; i++) {
			if (turn(&f[i]))
				f[back++] = f[i];
			else if (ipn_xsk_free(port, &f[i], 1))
				die("free: %s", strerrorname_np(errno));
		}
		while (sent < back) {
			int r = ipn_xsk_send(port, f + sent, (unsigned int)(back - sent));

			if (r < 0)
				die("send: %s", strerrorname_np(errno));
			sent += r;
			if (sent < back)
				wait_for(POLLOUT, 100);
		}
		turned += (unsigned long)back;
		if (n <= 0)
			wait_for(POLLIN, 20);
	}
	printf("turned %lu bad_sums %u bad_lengths %u\n", turned, bad_sums, bad_lengths);
}

/* --- bad ones --- */

static uint64_t random_state = 88172645463325252ULL;

static uint64_t random_next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

/* Every mapping of this socket and its memory, over and over; in between, system calls. */
static void do_scribble(double seconds)
{
	static const off_t at[] = { XDP_PGOFF_RX_RING, XDP_PGOFF_TX_RING,
				    (off_t)XDP_UMEM_PGOFF_FILL_RING,
				    (off_t)XDP_UMEM_PGOFF_COMPLETION_RING };
	struct xdp_mmap_offsets off;
	socklen_t len = sizeof(off);
	uint32_t *ring[4];
	double end = now() + seconds;
	int fd = ipn_xsk_fd(port);
	unsigned long rounds = 0;

	if (getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &off, &len))
		die("offsets: %s", strerrorname_np(errno));
	for (int i = 0; i < 4; i++) {
		ring[i] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, at[i]);
		if (ring[i] == MAP_FAILED)
			die("mmap: %s", strerrorname_np(errno));
	}
	while (now() < end) {
		for (int i = 0; i < 4; i++)
			for (int k = 0; k < 1024; k++)
				if (random_next() & 1) {
					uint64_t v = random_next();

					/* mostly small, or nothing would be near to valid */
					ring[i][k] = v & 7 ? (uint32_t)(v >> 32) & 0xffff
							   : (uint32_t)(v >> 32);
				}
		(void)sendto(fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
		rounds++;
	}
	printf("scribbled %lu\n", rounds > 0 ? 1UL : 0UL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 3 ? argv[3] : "";
	double seconds = argc > 4 ? strtod(argv[4], NULL) : 0;
	uint32_t n = argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 0;
	uint32_t m = argc > 5 ? (uint32_t)strtoul(argv[5], NULL, 10) : 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTERM, on_term);
	if (argc < 4)
		die("usage: see the source");
	port = ipn_xsk_open(argv[1], !strcmp(argv[2], "-") ? NULL : argv[2]);
	if (!port)
		die("%s", strerrorname_np(errno));
	ipn_xsk_info(port, &info);
	if (!strcmp(what, "open")) {
		printf("ok %u %u %u %u\n", info.port, info.mtu, info.frames, info.frame_size);
		return 0;
	}
	printf("ready %d\n", getpid());
	if (!strcmp(what, "count"))
		do_count(seconds, m);
	else if (!strcmp(what, "send"))
		do_send(n, m, argc > 6 ? argv[6] : NULL);
	else if (!strcmp(what, "sendback"))
		do_sendback(n, m);
	else if (!strcmp(what, "pair"))
		do_pair(n, m);
	else if (!strcmp(what, "echo"))
		do_echo(seconds);
	else if (!strcmp(what, "scribble"))
		do_scribble(seconds);
	else if (!strcmp(what, "hold") || !strcmp(what, "sloth"))
		for (;;)
			pause();
	else
		die("what is %s", what);
	ipn_xsk_close(port);
	return 0;
}
