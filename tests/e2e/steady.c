// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A well-behaved pair: steady PATH [INTERVAL_US]
 *
 * One node sends numbered messages at a steady pace, another receives them. Says "ready" when both
 * are connected and the first message arrived. On SIGTERM it prints "SENT RECEIVED LOST DELAY_MS",
 * LOST: messages that are missing or out of order, DELAY_MS: the longest time from the call of send
 * to the return of recv, and ends. SIGUSR1 prints the same and goes on. A message that does not
 * come within 10 s (times IPN_TEST_SLOW), or a failing call, ends it with status 1.
 */
#include <ipn/ipn.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 10 /* times IPN_TEST_SLOW */
#define NS_PER_S 1000000000LL

struct message {
	uint8_t header[16]; /* of Ethernet: a switch forwards it, too */
	uint64_t number;
	int64_t sent; /* when, ns */
	uint8_t rest[68];
};

static const char *path;
static long interval_us = 2000;
static volatile sig_atomic_t stop;
static uint64_t sent, received, lost;
static int64_t worst; /* ns from send to receive */

static void die(const char *what)
{
	fprintf(stderr, "steady: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

static int join(int shut)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };
	const char *slow = getenv("IPN_TEST_SLOW");
	struct timeval patience = { PATIENCE_S * (slow ? atoi(slow) : 1), 0 };
	int fd = ipn_socket(AF_IPN, SOCK_RAW, IPN_ANY);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0 || ipn_shutdown(fd, shut) || ipn_connect(fd, (void *)&addr, sizeof(addr)) ||
	    ipn_setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		die(path);
	return fd;
}

static void *run_sender(void *arg)
{
	int fd = *(int *)arg;
	/* to everybody, from a local address */
	struct message m = { .header = { 255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 1, 0x88,
					 0xb6 } };

	while (!stop) {
		m.number = sent;
		m.sent = now();
		if (ipn_send(fd, &m, sizeof(m), 0) != sizeof(m))
			die("send");
		__atomic_fetch_add(&sent, 1, __ATOMIC_SEQ_CST);
		usleep((useconds_t)interval_us);
	}
	return NULL;
}

/* Others may send on this network, too: what is no message of ours is theirs. */
static void take(const struct message *m, ssize_t len)
{
	uint64_t due = received + lost;
	int64_t took = now() - m->sent;

	if (len != sizeof(*m))
		return;
	if (m->number != due) {
		fprintf(stderr,
			"steady: %" PRIu64 " came when %" PRIu64 " was due, %" PRId64
			" ms after it was sent\n",
			m->number, due, took / 1000000);
		lost += m->number > due ? m->number - due : 1;
	}
	received++;
	if (took > worst)
		worst = took;
}

static void *run_reader(void *arg)
{
	int fd = *(int *)arg;

	for (;;) {
		uint8_t buf[65536];
		ssize_t len = ipn_recv(fd, buf, sizeof(buf), 0);

		if (len < 0)
			die("recv");
		if (len == 0)
			continue;
		take((struct message *)buf, len);
	}
	return NULL;
}

static void report(void)
{
	printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 "\n", sent, received, lost,
	       worst / 1000000);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int in, out, signal_number = 0;
	pthread_t sender, reader;
	sigset_t set;

	if (argc < 2)
		return 2;
	path = argv[1];
	if (argc > 2)
		interval_us = atol(argv[2]);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	in = join(SHUT_WR);
	out = join(SHUT_RD);
	if (pthread_create(&reader, NULL, run_reader, &in) ||
	    pthread_create(&sender, NULL, run_sender, &out))
		die("thread");
	while (!__atomic_load_n(&received, __ATOMIC_SEQ_CST))
		usleep(1000);
	puts("ready");
	fflush(stdout);
	while (signal_number != SIGTERM) {
		sigwait(&set, &signal_number);
		if (signal_number == SIGUSR1)
			report();
	}
	stop = true;
	pthread_join(sender, NULL);
	for (int i = 0; i < 1000 && received + lost < sent; i++)
		usleep(1000);
	if (received + lost < sent)
		lost = sent - received;
	report();
	return lost != 0;
}
