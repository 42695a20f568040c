// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One node in many processes: forks PATH ROUNDS [SEED]
 *
 * PATH is a LOSSLESS network. In each round a process joins it and forks, at once or in the
 * middle of its messages, and so does its child, until there are six. All send, singly and in
 * batches, or receive, and are killed, close the descriptor or become another program at random
 * moments; one receives to the end. A writer outside sends numbered messages, and an auditor,
 * another reader outside, gets all. In the end each message that was sent must have come to the
 * auditor once, in its sender's order, and each process that receives must have got all from its
 * first one on, but for what it counted as lost.
 */
#include <ipn/ipn.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MEMBERS 6
#define WRITES 120 /* of the writer outside */
#define SENDS 60   /* of each member */
#define BATCH 3

enum act { ACT_GO_ON, ACT_KILL, ACT_CLOSE, ACT_EXEC, ACTS };

/* In memory that all share. */
struct member {
	pid_t pid;
	uint32_t sends; /* else it receives */
	enum act act;
	uint32_t forks, when; /* in its messages */
	uint32_t sent, got, done;
	uint32_t audited; /* messages of it that the auditor has */
};

static struct {
	struct member member[MEMBERS];
	uint32_t wrong; /* set by whoever finds something wrong */
	uint32_t wrote, heard, round;
	uint32_t audits; /* rounds that the auditor has seen the end of */
	uint32_t auditing, joined, go;
} * all;

static const char *path;

static __attribute__((noreturn)) void wrong(const char *what, int who, long value, long wanted)
{
	fprintf(stderr, "round %u, %d: %s: %ld, wanted %ld (%s)\n", all->round, who, what, value,
		wanted, strerror(errno));
	__atomic_store_n(&all->wrong, 1, __ATOMIC_SEQ_CST);
	_exit(1);
}

static int join(int shut)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };
	int fd = ipn_socket(AF_IPN, SOCK_RAW | SOCK_CLOEXEC, IPN_ANY);

	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	if (fd < 0 || (shut >= 0 && ipn_shutdown(fd, shut)) ||
	    ipn_connect(fd, (struct sockaddr *)&addr, sizeof(addr)))
		wrong("join", -1, fd, 0);
	return fd;
}

static void nap(long us)
{
	nanosleep(&(struct timespec){ .tv_nsec = us * 1000 }, NULL);
}

static void until(const uint32_t *word, uint32_t value)
{
	while (__atomic_load_n(word, __ATOMIC_ACQUIRE) < value)
		nap(500);
}

static void member(int number, int fd);

static void fork_next(const struct member *m, int fd)
{
	const int number = (int)(m - all->member);
	pid_t child = number + 1 < MEMBERS ? fork() : 1;

	if (!child)
		member(number + 1, fd);
	if (child < 0)
		wrong("fork", number, child, 1);
}

/* What comes for a member that has dealt with n messages. */
static void fate(struct member *m, int fd, uint32_t n)
{
	if (n == m->forks)
		fork_next(m, fd);
	if (n < m->when)
		return;
	if (m->act == ACT_KILL)
		kill(getpid(), SIGKILL);
	if (m->act == ACT_EXEC) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(1);
	}
	if (m->act == ACT_CLOSE && ipn_close(fd))
		wrong("close", -1, errno, 0);
	if (m->act == ACT_CLOSE) {
		nap(20000); /* it lives on, without the socket */
		_exit(0);
	}
}

static void member_sends(struct member *m, int fd)
{
	const int number = (int)(m - all->member);
	char text[BATCH][24];
	struct iovec iov[BATCH];

	while (m->sent < SENDS) {
		int n = 1 + rand() % BATCH, r;

		for (int i = 0; i < n; i++) {
			int len =
				snprintf(text[i], sizeof(text[i]), "M %d %u", number, m->sent + i);

			iov[i] = (struct iovec){ text[i], (size_t)len };
		}
		if (n > 1)
			r = ipn_send_batch(fd, iov, (unsigned int)n, 0);
		else
			r = ipn_send(fd, iov[0].iov_base, iov[0].iov_len, 0) < 0 ? -1 : 1;
		if (r < 0)
			wrong("send", number, r, n);
		m->sent += (uint32_t)r;
		fate(m, fd, m->sent);
	}
}

/* Waits in each of the ways there are. */
static ssize_t receive(int fd, char *buf, size_t size)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (rand() % 2)
		return ipn_recv(fd, buf, size, 0);
	do {
		if (ipn_poll(&p, 1, 1 + rand() % 100) < 0)
			return -1;
		n = ipn_recv(fd, buf, size, MSG_DONTWAIT);
	} while (n < 0 && errno == EAGAIN);
	return n;
}

static void member_receives(struct member *m, int fd)
{
	const int number = (int)(m - all->member);
	uint32_t next = 0, n = 0;
	uint64_t lost, before, skipped = 0;

	ipn_overruns(fd, &before);

	while (n + 1 < WRITES) {
		char buf[32];
		ssize_t r = receive(fd, buf, sizeof(buf) - 1);

		if (r <= 0)
			wrong("receive", number, r, 1);
		buf[r] = '\0';
		if (sscanf(buf, "W %u", &n) != 1)
			continue; /* the end of an earlier round */
		/* what came between fork() and the first call may be lost, and is counted */
		skipped += m->got ? n - next : 0;
		if (ipn_overruns(fd, &lost) || skipped > lost - before)
			wrong("message", number, n, next);
		next = n + 1;
		m->got++;
		fate(m, fd, m->got);
		if (rand() % 8 == 0)
			nap(rand() % 2000);
	}
}

static void member(int number, int fd)
{
	struct member *m = &all->member[number];

	srand((unsigned int)(all->round * MEMBERS + (uint32_t)number));
	m->pid = getpid();
	if (!m->forks)
		fork_next(m, fd);
	if (m->sends)
		member_sends(m, fd);
	else
		member_receives(m, fd);
	__atomic_store_n(&m->done, 1, __ATOMIC_SEQ_CST);
	_exit(0);
}

static void auditor(void)
{
	int fd = join(SHUT_WR);

	__atomic_store_n(&all->auditing, 1, __ATOMIC_SEQ_CST);
	for (;;) {
		char buf[32];
		ssize_t r = ipn_recv(fd, buf, sizeof(buf) - 1, 0);
		unsigned int who, n;

		if (r <= 0)
			wrong("audit", -1, r, 1);
		buf[r] = '\0';
		if (sscanf(buf, "M %u %u", &who, &n) == 2 && who < MEMBERS) {
			if (n != all->member[who].audited++)
				wrong("lost or doubled", (int)who, n, all->member[who].audited - 1);
		} else if (sscanf(buf, "W %u", &n) == 1) {
			if (n != all->heard++)
				wrong("lost or doubled", -1, n, all->heard - 1);
		} else if (buf[0] == 'E') {
			__atomic_add_fetch(&all->audits, 1, __ATOMIC_SEQ_CST);
		}
	}
}

static void writer(void)
{
	int fd = join(SHUT_RD);

	for (uint32_t round = 1;; round++) {
		char text[16];

		until(&all->go, 2 * round - 1);
		for (uint32_t n = 0; n < WRITES; n++) {
			int len = snprintf(text, sizeof(text), "W %u", n);

			if (ipn_send(fd, text, (size_t)len, 0) != len)
				wrong("write", -1, n, 0);
			if (n % 8 == 0)
				nap(100);
		}
		until(&all->go, 2 * round);
		if (ipn_send(fd, "E", 1, 0) != 1)
			wrong("write", -1, 0, 0);
	}
}

static pid_t start(void (*f)(void))
{
	pid_t pid = fork();

	if (!pid) {
		setpgid(0, 0);
		f();
	}
	setpgid(pid, pid);
	return pid;
}

static void family(void)
{
	int fd = join(-1);

	__atomic_store_n(&all->joined, all->round, __ATOMIC_SEQ_CST);
	member(0, fd);
}

static void round_plan(void)
{
	int keeper = rand() % MEMBERS; /* receives to the end */

	memset(all->member, 0, sizeof(all->member));
	all->heard = 0;
	for (int i = 0; i < MEMBERS; i++) {
		struct member *m = &all->member[i];

		m->sends = i != keeper && rand() % 2;
		m->act = i == keeper ? ACT_GO_ON : (enum act)(rand() % ACTS);
		/* nobody receives yet when one that sends would wait for room */
		m->forks = m->sends || rand() % 2 ? 0 : 1 + (uint32_t)rand() % 10;
		m->when = 11 + (uint32_t)rand() % (m->sends ? SENDS : WRITES / 2);
	}
}

static void round_check(void)
{
	for (int i = 0; i < MEMBERS; i++) {
		const struct member *m = &all->member[i];
		uint32_t most = m->sent + (m->done ? 0 : BATCH);

		if (m->act == ACT_GO_ON && !m->done)
			wrong("did not end", i, 0, 1);
		if (m->audited < m->sent || m->audited > most)
			wrong("arrived of those sent", i, m->audited, m->sent);
	}
	if (all->heard != WRITES)
		wrong("arrived of the writer's", -1, all->heard, WRITES);
}

static void late(int sig)
{
	static const char text[] = "not done in time\n";

	(void)!write(2, text, sizeof(text) - 1);
	_exit(1);
}

int main(int argc, char **argv)
{
	uint32_t rounds = argc > 2 ? (uint32_t)atoi(argv[2]) : 10;
	const char *slow = getenv("IPN_TEST_SLOW");
	unsigned int limit = 30 * (slow ? (unsigned int)atoi(slow) : 1);
	pid_t helper[2];

	if (argc < 3)
		return 2;
	path = argv[1];
	srand(argc > 3 ? (unsigned int)atoi(argv[3]) : 1);
	all = mmap(NULL, sizeof(*all), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	signal(SIGALRM, late);
	helper[0] = start(auditor);
	until(&all->auditing, 1);
	helper[1] = start(writer);
	for (all->round = 1; all->round <= rounds && !all->wrong; all->round++) {
		pid_t pid;

		alarm(limit);
		round_plan();
		pid = start(family);
		until(&all->joined, all->round);
		__atomic_store_n(&all->go, 2 * all->round - 1, __ATOMIC_SEQ_CST);
		while (waitpid(-pid, NULL, 0) > 0 || errno == EINTR)
			;
		__atomic_store_n(&all->go, 2 * all->round, __ATOMIC_SEQ_CST);
		until(&all->audits, all->round); /* or the alarm comes */
		round_check();
	}
	kill(helper[0], SIGKILL);
	kill(helper[1], SIGKILL);
	if (!all->wrong)
		printf("%u rounds\n", rounds);
	return all->wrong;
}
