// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * xsk: two AF_XDP programs on ports of the fabric (libipn). 64-byte frames from one to the other as
 * fast as they go, counted where they arrive; or one frame to and fro, both ends looking all the
 * time. Each end has a CPU. How the far ends of the two veths reach each other is not its business.
 *
 *	xsk -a PATH -b PATH -A NAME -B NAME [-r] [-s SECONDS] [-w WARMUP]
 *
 * Prints rate= frames/s, or with -r p50_us= p99_us= of the round trip.
 */
#include <getopt.h>
#include <ipn/xsk.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "bench.h"

#define BATCH 64
#define LEN 64
#define MAX_SAMPLES (1u << 20)

struct shared {
	_Atomic int ready;
	_Atomic uint64_t received;
};

static void frame_make(void *data, uint8_t to, uint8_t from)
{
	uint8_t head[14] = { 2, 'x', 0, 0, 0, to, 2, 'x', 0, 0, 0, from, 0x88, 0xb6 };

	memset(data, 0, LEN);
	memcpy(data, head, sizeof(head));
}

static struct ipn_xsk *port_open(const char *path, const char *name)
{
	struct ipn_xsk *x = ipn_xsk_open(path, name);

	if (!x)
		die("%s %s", path, name);
	return x;
}

/* Sends up to n frames. */
static void send_some(struct ipn_xsk *x, uint8_t to, uint8_t from, unsigned int n)
{
	struct ipn_xsk_frame f[BATCH];
	int got = ipn_xsk_alloc(x, f, n), sent;

	for (int i = 0; i < got; i++) {
		frame_make(f[i].data, to, from);
		f[i].len = LEN;
	}
	sent = ipn_xsk_send(x, f, (unsigned int)got);
	if (sent < 0)
		die("send");
	if (sent < got && ipn_xsk_free(x, f + sent, (unsigned int)(got - sent)))
		die("free");
}

/* Takes what has come and gives it back. */
static unsigned int take(struct ipn_xsk *x)
{
	struct ipn_xsk_frame f[BATCH];
	unsigned int ours = 0;
	int n = ipn_xsk_recv(x, f, BATCH);

	for (int i = 0; i < n; i++)
		ours += f[i].len == LEN && ((uint8_t *)f[i].data)[12] == 0x88;
	if (n > 0 && ipn_xsk_free(x, f, (unsigned int)n))
		die("free");
	return ours;
}

static void receiver(const char *path, const char *name, bool echo, struct shared *shared)
{
	struct ipn_xsk *x = port_open(path, name);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin_cpu(1);
	send_some(x, 1, 2, 1); /* the switch learns where we are */
	atomic_store(&shared->ready, 1);
	for (;;) {
		unsigned int n = take(x);

		if (!n)
			continue;
		if (echo)
			send_some(x, 1, 2, n);
		atomic_fetch_add_explicit(&shared->received, n, memory_order_relaxed);
	}
}

static double flood(struct ipn_xsk *x, struct shared *shared, double seconds)
{
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
	uint64_t before = atomic_load(&shared->received);

	while (now_ns() < end)
		send_some(x, 2, 1, BATCH);
	return (double)(atomic_load(&shared->received) - before) /
	       ((double)(now_ns() - start) / 1e9);
}

static uint32_t round_trips(struct ipn_xsk *x, double seconds, uint32_t *samples)
{
	uint64_t start = now_ns(), end = start + (uint64_t)(seconds * 1e9);
	uint32_t n = 0;

	while (start < end && n < MAX_SAMPLES) {
		uint64_t back;

		send_some(x, 2, 1, 1);
		while (!take(x))
			if (now_ns() > start + BENCH_NS)
				die("a frame did not come back");
		back = now_ns();
		samples[n++] = (uint32_t)(back - start);
		start = back;
	}
	return n;
}

int main(int argc, char **argv)
{
	const char *path[2] = { NULL, NULL }, *name[2] = { NULL, NULL };
	double seconds = 1, warmup = 0.2;
	struct shared *shared;
	bool round = false;
	struct ipn_xsk *x;
	pid_t child;
	int c;

	while ((c = getopt(argc, argv, "a:b:A:B:rs:w:")) != -1) {
		if (c == 'a' || c == 'b')
			path[c - 'a'] = optarg;
		else if (c == 'A' || c == 'B')
			name[c - 'A'] = optarg;
		else if (c == 'r')
			round = true;
		else if (c == 's')
			seconds = strtod(optarg, NULL);
		else if (c == 'w')
			warmup = strtod(optarg, NULL);
		else
			return 2;
	}
	if (!path[0] || !path[1])
		die("-a PATH -b PATH -A NAME -B NAME");
	shared = shared_alloc(sizeof(*shared));
	x = port_open(path[0], name[0]);
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		receiver(path[1], name[1], round, shared);
		_exit(0);
	}
	pin_cpu(0);
	while (!atomic_load(&shared->ready))
		if (waitpid(child, NULL, WNOHANG))
			die("the receiver did not come up");
	send_some(x, 2, 1, 1);
	sleep_ns(20000000);
	while (take(x))
		;
	if (round) {
		uint32_t *samples = calloc(MAX_SAMPLES, sizeof(*samples)), n;

		if (!samples)
			die("no memory");
		round_trips(x, warmup, samples);
		n = round_trips(x, seconds, samples);
		printf("p50_us=%.2f p99_us=%.2f\n", quantile_us(samples, n, 0.5),
		       quantile_us(samples, n, 0.99));
		free(samples);
	} else {
		flood(x, shared, warmup);
		printf("rate=%.0f\n", flood(x, shared, seconds));
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	ipn_xsk_close(x);
	return 0;
}
