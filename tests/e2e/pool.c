// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pool PATH SENDERS READERS MESSAGES SLOW VICTIMS [switch|both]
 *
 * A LOSSLESS network under load: SENDERS processes send MESSAGES each, READERS processes verify
 * that nothing is lost, doubled or out of order, and that all saw one order; the first reader
 * pauses SLOW us after every 16th message. VICTIMS more processes, readers and senders in turn, are
 * killed at random moments and replaced. No progress for STALL_S seconds is a lost wakeup.
 * Prints "MESSAGES/S STALLS KILLS"; status 0 if all is well.
 *
 * Every second sender sends in batches. On a switch network, three messages of four go to one
 * reader each, at random, victims included, and two senders are threads that share a descriptor.
 * The order is that of what goes to all, and of what goes to one, from each sender.
 * With `both`, the sender, the only one, does not shut its receive side down and is there first:
 * its own messages, which it does not read, must not count for those who do.
 */
#include <ipn/ipn.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX 64
#define BATCH 7
#define STALL_S 20
#define VICTIM 1000 /* number of the first sender that may be killed */
#define SENDER 100000
#define HELLO 0xffffffffu
#define NEITHER (-1) /* side to shut down */

struct message {
	uint8_t dst[6], src[6];
	uint16_t proto;
	uint16_t all; /* it goes to all */
	uint32_t sender;
	uint32_t number; /* of those that this reader gets in this way */
	uint32_t last;   /* the sender has no more in this way */
};

static struct shared {
	_Atomic uint64_t progress;
	_Atomic int ready, go;
	uint64_t order[MAX]; /* what each reader saw, folded */
} * shared;

static const char *path;
static int senders, readers, messages, slow;
static bool is_switch, both;

static void die(const char *what)
{
	fprintf(stderr, "pool: %s: %s\n", what, strerror(errno));
	_exit(1);
}

static int join(int shut)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };
	int fd = ipn_socket(AF_IPN, SOCK_RAW, IPN_ANY);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0 || (shut != NEITHER && ipn_shutdown(fd, shut)) ||
	    ipn_connect(fd, (const void *)&addr, sizeof(addr)))
		die("connect");
	return fd;
}

static void pause_us(long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&ts, NULL);
}

/* Stations: readers from 0 on, those that are killed from VICTIM on, senders from SENDER on. */
static void station(uint8_t *mac, uint32_t number)
{
	const uint8_t bytes[6] = {
		2, 0, 0, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number
	};

	memcpy(mac, bytes, 6);
}

static void to_all(struct message *m)
{
	memset(m->dst, 0xff, 6);
	m->all = 1;
}

/* Tells the switch where it is. Meanwhile what others say of that is read, or nobody goes on. */
static void announce(int fd, const uint8_t *mac)
{
	struct message hello = { .proto = 0xb688, .sender = HELLO }, m;

	memcpy(hello.src, mac, 6);
	to_all(&hello);
	while (ipn_send(fd, &hello, sizeof(hello), MSG_DONTWAIT) != sizeof(hello)) {
		if (errno != EAGAIN)
			die("announce");
		while (ipn_recv(fd, &m, sizeof(m), MSG_DONTWAIT) > 0)
			;
		pause_us(1000);
	}
}

/* fd: of a reader, who may be told of other readers */
static void wait_for_start(int fd)
{
	struct message m;

	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->go)) {
		while (fd >= 0 && ipn_recv(fd, &m, sizeof(m), MSG_DONTWAIT | MSG_PEEK) > 0 &&
		       m.sender == HELLO)
			ipn_recv(fd, &m, sizeof(m), MSG_DONTWAIT);
		pause_us(1000);
	}
}

/* What one sender has still to send: those with an odd number send in batches. */
struct outbox {
	int fd;
	unsigned int n, max;
	struct message m[BATCH];
};

static void outbox_flush(struct outbox *o)
{
	struct iovec iov[BATCH];

	if (o->max == 1) {
		if (o->n && ipn_send(o->fd, o->m, sizeof(o->m[0]), 0) != sizeof(o->m[0]))
			die("send");
	} else {
		for (unsigned int done = 0; done < o->n;) {
			int r;

			for (unsigned int i = done; i < o->n; i++)
				iov[i] = (struct iovec){ &o->m[i], sizeof(o->m[i]) };
			r = ipn_send_batch(o->fd, iov + done, o->n - done, 0);
			if (r < 1)
				die("send_batch");
			done += (unsigned int)r;
		}
	}
	atomic_fetch_add(&shared->progress, o->n);
	o->n = 0;
}

static void outbox_put(struct outbox *o, const struct message *m)
{
	o->m[o->n++] = *m;
	if (o->n == o->max)
		outbox_flush(o);
}

struct sending {
	int fd;
	uint32_t id, count;
};

/*
 * The last messages tell each reader how many there were: to all, and, on a switch, to it alone.
 */
static void *send_all(void *arg)
{
	const struct sending *s = arg;
	struct message m = { .proto = 0xb688, .sender = s->id };
	struct outbox o = { .fd = s->fd, .max = s->id % 2 ? BATCH : 1 };
	uint32_t all = 0, one[2 * MAX] = { 0 };
	unsigned short seed[3] = { (unsigned short)getpid(), (unsigned short)s->id, 1 };

	station(m.src, SENDER + s->id);
	for (uint32_t i = 1; i <= s->count; i++) {
		/* of victims, some that are there, and some that are not, or not for long */
		int to = (int)(nrand48(seed) % (readers + (is_switch ? 2 : 0)));

		m.last = 0;
		m.all = 0;
		if (!is_switch || nrand48(seed) % 4 == 0 || i == s->count) {
			to_all(&m);
			m.number = ++all;
			m.last = i == s->count;
		} else {
			station(m.dst, to < readers ? (uint32_t)to
						    : VICTIM + 2 * (uint32_t)(to - readers));
			m.number = ++one[to];
		}
		outbox_put(&o, &m);
	}
	for (int to = 0; is_switch && to < readers; to++) {
		station(m.dst, (uint32_t)to);
		m.all = 0;
		m.number = ++one[to];
		m.last = 1;
		outbox_put(&o, &m);
	}
	outbox_flush(&o);
	return NULL;
}

/* On a switch, two senders are two threads with one descriptor. */
static void sender(uint32_t id, uint32_t count)
{
	bool pair = is_switch && id < VICTIM && senders % 2 == 0;
	struct sending mine = { .id = id, .count = count }, other;
	pthread_t thread;

	if (pair && id % 2) { /* it is the other thread of the one before */
		wait_for_start(-1);
		_exit(0);
	}
	mine.fd = join(both ? NEITHER : SHUT_RD);
	if (id < VICTIM)
		wait_for_start(-1);
	other = mine;
	other.id++;
	if (pair && pthread_create(&thread, NULL, send_all, &other))
		die("thread");
	send_all(&mine);
	if (pair && pthread_join(thread, NULL))
		die("thread");
	_exit(0);
}

static void reader(int id)
{
	uint32_t last[2][MAX] = { { 0 } };
	uint64_t order = 0, lost, count = 0;
	int fd = join(is_switch ? NEITHER : SHUT_WR), done = 0;
	uint8_t mac[6];

	station(mac, id >= 0 ? (uint32_t)id : VICTIM + (uint32_t)(-1 - id));
	if (is_switch)
		announce(fd, mac);
	if (id >= 0)
		wait_for_start(fd);
	while (id < 0 || done < senders * (is_switch ? 2 : 1)) {
		struct message m;

		if (ipn_recv(fd, &m, sizeof(m), 0) != sizeof(m))
			die("recv");
		atomic_fetch_add(&shared->progress, 1);
		if (m.sender >= MAX || id < 0) /* a victim's */
			continue;
		if (!m.all && memcmp(m.dst, mac, 6)) /* for a victim that is not there just now */
			continue;
		if (m.all > 1 || m.number != ++last[m.all][m.sender]) {
			fprintf(stderr, "pool: reader %d: sender %u: number %u, not %u (%u)\n", id,
				m.sender, m.number, last[m.all & 1][m.sender], m.all);
			_exit(1);
		}
		done += m.last;
		if (m.all)
			order = order * 1099511628211ULL + m.sender;
		if (id == 0 && slow && ++count % 16 == 0)
			pause_us(slow);
	}
	if (ipn_overruns(fd, &lost) || lost) {
		fprintf(stderr, "pool: reader %d lost %lu\n", id, (unsigned long)lost);
		_exit(1);
	}
	shared->order[id] = order;
	_exit(0);
}

static pid_t start(void (*run)(int), int arg)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	/* or it would be one more member of the next run */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	run(arg);
	_exit(1);
}

static void run_sender(int id)
{
	sender((uint32_t)id, (uint32_t)messages);
}

static void run_victim(int id)
{
	if (id & 1)
		sender(VICTIM + (uint32_t)id, 1u << 30);
	reader(-1 - id);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	pid_t members[2 * MAX], victims[MAX];
	int left, count = 0, nvictims, kills = 0, bad = 0;
	uint64_t seen = 0;
	double started, changed;

	if (argc < 7) {
		fprintf(stderr,
			"usage: pool PATH SENDERS READERS MESSAGES SLOW VICTIMS [switch|both]\n");
		return 2;
	}
	path = argv[1];
	senders = atoi(argv[2]);
	readers = atoi(argv[3]);
	messages = atoi(argv[4]);
	slow = atoi(argv[5]);
	nvictims = atoi(argv[6]);
	is_switch = argc > 7 && !strcmp(argv[7], "switch");
	both = argc > 7 && !strcmp(argv[7], "both");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (shared == MAP_FAILED || (both && senders + nvictims > 1) || senders > MAX ||
	    readers > MAX || nvictims > MAX)
		die("set-up");
	for (int i = 0; both && i < senders; i++)
		members[count++] = start(run_sender, i);
	while (atomic_load(&shared->ready) < count)
		pause_us(1000);
	for (int i = 0; i < readers; i++)
		members[count++] = start(reader, i);
	for (int i = 0; !both && i < senders; i++)
		members[count++] = start(run_sender, i);
	while (atomic_load(&shared->ready) < count)
		pause_us(1000);
	for (int i = 0; i < nvictims; i++)
		victims[i] = start(run_victim, i);
	started = changed = now();
	atomic_store(&shared->go, 1);
	srand48(getpid());
	for (left = count; left;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		for (int i = 0; i < count; i++) {
			if (pid > 0 && members[i] == pid) {
				left--;
				bad += status != 0;
			}
		}
		if (nvictims && lrand48() % 8 == 0) {
			int v = (int)(lrand48() % nvictims);

			kill(victims[v], SIGKILL);
			waitpid(victims[v], NULL, 0);
			victims[v] = start(run_victim, v);
			kills++;
		}
		if (atomic_load(&shared->progress) != seen) {
			seen = atomic_load(&shared->progress);
			changed = now();
		}
		if (bad || now() - changed > STALL_S)
			break;
		pause_us(1000);
	}
	if (left) {
		printf("0 %d %d\n", !bad, kills);
		return 1;
	}
	for (int i = 1; i < readers; i++)
		bad += shared->order[i] != shared->order[0];
	printf("%.0f 0 %d\n", senders * messages / (now() - started), kills);
	if (bad)
		fprintf(stderr, "pool: the readers saw different orders\n");
	return bad != 0;
}
