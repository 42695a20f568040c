// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * orderly PATH SENDERS READERS BOTH SECONDS WINDOW
 *
 * SENDERS processes send numbered messages as fast as they can, READERS processes receive, and BOTH
 * processes do both in turn. A sender is never more than WINDOW messages before the slowest
 * process that receives, so nothing may be lost: each of them must get each message of each other
 * process once, in the order of its sender. After SECONDS the senders stop; it ends when all has
 * come. Prints "SENT RECEIVED"; status 0 if all is well. No progress for STALL_S seconds is a
 * failure.
 *
 * Plain socket calls, for `ipn-fabric run`; tests/e2e/orderlyipn.c makes it a program of libipn.
 */
#include <ipn/af_ipn.h>

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX 16
#define STALL_S 30
#define BURST 64

struct message {
	uint32_t from;
	uint32_t number;
	uint8_t rest[56];
};

static struct shared {
	_Atomic uint32_t sent[MAX];
	_Atomic uint32_t got[MAX][MAX]; /* by receiver, then by sender */
	_Atomic int ready, stop, senders_done;
} * shared;

static const char *path;
static int senders, readers, both, seconds;
static uint32_t window;

static void __attribute__((noreturn)) die(int me, const char *what)
{
	fprintf(stderr, "orderly: process %d: %s: %s\n", me, what, strerror(errno));
	exit(1);
}

static bool sends(int i)
{
	return i < senders || i >= senders + readers;
}

static bool receives(int i)
{
	return i >= senders;
}

static int processes(void)
{
	return senders + readers + both;
}

static int join(int me)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };
	const struct timeval patience = { 0, 200000 };
	int fd = socket(AF_IPN, SOCK_RAW, IPN_ANY);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		die(me, "socket");
	if (!sends(me) || !receives(me))
		if (shutdown(fd, sends(me) ? SHUT_RD : SHUT_WR))
			die(me, "shutdown");
	if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die(me, "connect");
	atomic_fetch_add(&shared->ready, 1);
	while (atomic_load(&shared->ready) < processes())
		usleep(1000);
	return fd;
}

static bool may_send(int me)
{
	uint32_t sent = atomic_load(&shared->sent[me]);

	for (int i = senders; i < processes(); i++)
		if (i != me && sent - atomic_load(&shared->got[i][me]) >= window)
			return false;
	return true;
}

/* Who receives, too, must not wait for room that he has to make himself. False: there is none. */
static bool send_one(int me, int fd)
{
	struct message m = { .from = (uint32_t)me, .number = atomic_load(&shared->sent[me]) };

	if (send(fd, &m, sizeof(m), receives(me) ? MSG_DONTWAIT : 0) != sizeof(m)) {
		if (errno == EAGAIN)
			return false;
		die(me, "send");
	}
	atomic_store(&shared->sent[me], m.number + 1);
	return true;
}

/* All that was sent has come. */
static bool complete(int me)
{
	if (atomic_load(&shared->senders_done) < senders + both)
		return false;
	for (int i = 0; i < processes(); i++)
		if (i != me && atomic_load(&shared->got[me][i]) != atomic_load(&shared->sent[i]))
			return false;
	return true;
}

/* Each receiver waits in its own way. False: there is none now. */
static bool receive_one(int me, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct message m;
	ssize_t n;

	if (me % 3 == 1 && !sends(me))
		poll(&p, 1, 200);
	n = recv(fd, &m, sizeof(m), me % 3 == 0 && !sends(me) ? 0 : MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n != sizeof(m) || m.from >= (uint32_t)processes())
		die(me, n < 0 ? "recv" : "a message is not whole");
	if (m.number != atomic_load(&shared->got[me][m.from])) {
		fprintf(stderr, "orderly: process %d: message %u of %u, wanted %u\n", me, m.number,
			m.from, atomic_load(&shared->got[me][m.from]));
		exit(1);
	}
	atomic_store(&shared->got[me][m.from], m.number + 1);
	return true;
}

static void run(int me)
{
	time_t last = time(NULL);
	bool done = !sends(me);
	int fd = join(me);

	while (!done || (receives(me) && !complete(me))) {
		bool moved = false;

		if (!done && atomic_load(&shared->stop)) {
			done = true;
			atomic_fetch_add(&shared->senders_done, 1);
		}
		for (int i = 0; !done && i < BURST && may_send(me) && send_one(me, fd); i++)
			moved = true;
		for (int i = 0; receives(me) && i < BURST && receive_one(me, fd); i++)
			moved = true;
		if (moved) {
			last = time(NULL);
		} else if (time(NULL) - last > STALL_S) {
			errno = ETIMEDOUT;
			die(me, "nothing moves");
		} else {
			sched_yield();
		}
	}
	exit(0);
}

static void sum(void)
{
	unsigned long long sent = 0, got = 0;

	for (int i = 0; i < processes(); i++) {
		sent += shared->sent[i];
		for (int j = 0; j < processes(); j++)
			got += shared->got[i][j];
	}
	printf("%llu %llu\n", sent, got);
	if (!sent)
		exit(1);
}

static void start(int me)
{
	pid_t pid = fork();

	if (pid < 0)
		die(me, "fork");
	if (pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	run(me);
}

int main(int argc, char *argv[])
{
	int status, bad = 0;

	if (argc != 7)
		return 2;
	path = argv[1];
	senders = atoi(argv[2]);
	readers = atoi(argv[3]);
	both = atoi(argv[4]);
	seconds = atoi(argv[5]);
	window = (uint32_t)atoi(argv[6]);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED || processes() > MAX)
		die(-1, "memory");
	for (int i = 0; i < processes(); i++)
		start(i);
	while (atomic_load(&shared->ready) < processes() && waitpid(-1, &status, WNOHANG) == 0)
		usleep(1000);
	puts("ready");
	fflush(stdout);
	sleep((unsigned int)seconds);
	atomic_store(&shared->stop, 1);
	while (!bad && wait(&status) > 0)
		bad = status;
	sum();
	return bad ? 1 : 0;
}
