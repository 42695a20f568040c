// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A reader or sender of a network that any bytes of any length go over.
 *
 *   hubpeer send PATH SENDER COUNT       messages of all the lengths below, then random ones
 *   hubpeer tagged PATH SENDER COUNT     messages of 16 bytes and more that name sender and number
 *   hubpeer read PATH COUNT recv|peek|spin
 *   hubpeer readtagged PATH COUNT recv|peek|spin
 *
 * A reader prints the chain hash of all messages in their order, "COUNT HASH", and fails when a
 * message differs from what sender 0 sent, or, tagged, is damaged or out of its sender's order.
 * It says "ready" on a line once it is connected.
 */
#include <ipn/ipn.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LEN 65535
#define MAX_SENDERS 64
#define PATIENCE_S 30

static uint8_t data[MAX_LEN + 1], expected[MAX_LEN + 1];

static void die(const char *what)
{
	fprintf(stderr, "hubpeer: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Reproducible bytes: xorshift. */
static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint64_t hash(uint64_t h, const void *p, size_t len)
{
	const uint8_t *bytes = p;

	for (size_t i = 0; i < len; i++)
		h = (h ^ bytes[i]) * 0x100000001b3ULL;
	return h;
}

/* Lengths where something changes: headers, slot classes, pages, and the ends of the range. */
static size_t length_of(unsigned int n, uint64_t *random)
{
	static const uint16_t edges[] = {
		0,     1,     2,     12,    13,    14,    15,    45,    46,    47,    59,   60,
		61,    63,    64,    65,    231,   232,   233,   255,   256,   257,   1499, 1500,
		1501,  1512,  1513,  1514,  1515,  2023,  2024,  2025,  2034,  2047,  2048, 2049,
		4081,  4082,  4083,  4095,  4096,  4097,  4110,  8191,  8192,  8193,  9000, 9014,
		16384, 32767, 32768, 65000, 65519, 65520, 65521, 65533, 65534, 65535,
	};
	const unsigned int nedges = sizeof(edges) / sizeof(edges[0]);
	/* and each of the lengths about where a frame no longer fits its first page */
	const unsigned int first = 3400, last = 3700;

	if (n < nedges)
		return edges[n];
	n -= nedges;
	if (n <= last - first)
		return first + n;
	return next_random(random) % (MAX_LEN + 1);
}

static size_t message(unsigned int n, uint8_t *to)
{
	uint64_t random = 0x9e3779b97f4a7c15ULL * (n + 1);
	size_t len = length_of(n, &random);

	for (size_t i = 0; i < len; i += 8) {
		uint64_t word = next_random(&random);

		memcpy(to + i, &word, len - i < 8 ? len - i : 8);
	}
	return len;
}

struct tag {
	uint32_t sender;
	uint32_t number;
	uint64_t check; /* of the rest */
};

static size_t tagged(unsigned int sender, unsigned int n, uint8_t *to)
{
	uint64_t random = (0x9e3779b97f4a7c15ULL * (n + 1)) ^ ((uint64_t)sender << 32);
	size_t len = sizeof(struct tag) + next_random(&random) % 20000;
	struct tag tag = { sender, n, 0 };

	for (size_t i = sizeof(tag); i < len; i++)
		to[i] = (uint8_t)(i * 7 + n + sender);
	tag.check = hash(0, to + sizeof(tag), len - sizeof(tag));
	memcpy(to, &tag, sizeof(tag));
	return len;
}

static void check(unsigned int n, const uint8_t *got, size_t len)
{
	size_t want = message(n, expected);

	if (len == want && !memcmp(got, expected, len))
		return;
	fprintf(stderr, "hubpeer: message %u: %zu bytes, wanted %zu, or other bytes\n", n, len,
		want);
	exit(1);
}

static void check_tagged(const uint8_t *got, size_t len)
{
	static uint32_t next[MAX_SENDERS];
	struct tag tag = { MAX_SENDERS, 0, 0 };

	if (len >= sizeof(tag))
		memcpy(&tag, got, sizeof(tag));
	if (tag.sender < MAX_SENDERS && tag.number == next[tag.sender] &&
	    tag.check == hash(0, got + sizeof(tag), len - sizeof(tag))) {
		next[tag.sender]++;
		return;
	}
	fprintf(stderr, "hubpeer: sender %u number %u: damaged or out of order\n", tag.sender,
		tag.number);
	exit(1);
}

static int join(const char *path, int shut)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };
	int fd = ipn_socket(AF_IPN, SOCK_RAW, IPN_ANY);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0 || ipn_shutdown(fd, shut) || ipn_connect(fd, (void *)&addr, sizeof(addr)))
		die(path);
	return fd;
}

static int run_send(const char *path, unsigned int sender, unsigned int count, bool tags)
{
	int fd = join(path, SHUT_RD);

	for (unsigned int i = 0; i < count; i++) {
		size_t len = tags ? tagged(sender, i, data) : message(i, data);
		ssize_t n = ipn_send(fd, data, len, 0);

		if (n != (ssize_t)len)
			die("send");
	}
	return ipn_close(fd);
}

static unsigned int seen;
static uint64_t chain;

static void take(const uint8_t *p, size_t len, bool tags)
{
	uint64_t length = len;

	if (tags)
		check_tagged(p, len);
	else
		check(seen, p, len);
	chain = hash(chain, &length, sizeof(length));
	chain = hash(chain, p, len);
	seen++;
}

static void read_peek(int fd, unsigned int count, bool tags)
{
	struct ipn_view views[8];
	unsigned int want = count - seen < 8 ? count - seen : 8;
	int n = ipn_recv_peek(fd, views, want, 0);

	if (n <= 0)
		die("recv_peek");
	for (int i = 0; i < n; i++)
		take(views[i].data, views[i].len, tags);
	if (ipn_recv_done(fd, (unsigned int)n) != n)
		die("overrun");
}

static int run_read(const char *path, unsigned int count, const char *how, bool tags)
{
	struct timeval patience = { PATIENCE_S, 0 };
	bool peek = strcmp(how, "recv") != 0;
	uint64_t lost;
	int fd = join(path, SHUT_WR);

	if (!strcmp(how, "spin"))
		ipn_set_wait(fd, IPN_WAIT_SPIN);
	ipn_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	puts("ready");
	fflush(stdout);
	while (seen < count) {
		if (peek) {
			read_peek(fd, count, tags);
		} else {
			ssize_t n = ipn_recv(fd, data, sizeof(data), 0);

			if (n < 0)
				die("recv");
			take(data, (size_t)n, tags);
		}
	}
	if (ipn_overruns(fd, &lost) || lost) {
		fprintf(stderr, "hubpeer: %llu messages lost\n", (unsigned long long)lost);
		return 1;
	}
	printf("%u %016llx\n", seen, (unsigned long long)chain);
	return ipn_close(fd);
}

int main(int argc, char **argv)
{
	bool tags;

	if (argc != 5) {
		fprintf(stderr, "usage: hubpeer send|tagged|read|readtagged PATH ...\n");
		return 2;
	}
	tags = strstr(argv[1], "tagged") != NULL;
	if (!strncmp(argv[1], "read", 4))
		return run_read(argv[2], (unsigned int)atoi(argv[3]), argv[4], tags);
	return run_send(argv[2], (unsigned int)atoi(argv[3]), (unsigned int)atoi(argv[4]), tags);
}
