// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A client of VDE that speaks the protocol itself, and badly on request.
 *
 *	vdeclient DIR [-p PORT] [-d DESCR]      a port; commands on its input, an answer for each
 *		send HEX        sends the bytes, "ok" or the error
 *		fill MAC MAC LEN N   sends N frames of LEN bytes from the second to the first
 *		address recv MS         the next message, as hexadecimal; "none"
 *		count MS [N]    messages that come until none has come for MS; before there are
 *				N it waits longer, up to LATE_MS
 *		hog MAC MAC N MS     as fill; nothing else may run on its CPU until MS later
 *		bye             an empty message
 *		stream          "open", or "closed" when the fabric ended the port
 *		quit            ends
 *	vdeclient DIR crowd N                   N ports in one process; "N in", then waits for its
 *	end
 *	vdeclient DIR half N                    N connections that say nothing; then the same
 *	vdeclient DIR steady PATH INTERVAL_US   numbered frames from one port to another and to a
 *		process on the network PATH; says "ready", and at SIGTERM what steady.c says, of
 *		all together. Ends with status 1 when the fabric ends one of the ports
 *	vdeclient FILE knock HEX                sends that as a packet to a socket of packets:
 *		"closed", "answered", or why it cannot connect
 *	vdeclient DIR raw HEX                   sends that as its request: "closed", or "answered"
 */
#include <ipn/ipn.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LATE_MS 20000 /* so late may something be on a busy machine */

struct client {
	int stream, data;
};

static char descr[128] = "vdeclient";
static unsigned int port;
static struct sockaddr_un mine = { .sun_family = AF_UNIX }; /* while somebody has to find it */

static void hide(void)
{
	if (mine.sun_path[0])
		unlink(mine.sun_path);
	mine.sun_path[0] = '\0';
}

static void die(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
	hide(); /* or the directory could not go with its listener */
	exit(1);
}

static int unhex(const char *s, unsigned char *out, int max)
{
	unsigned int byte;
	int n = 0;

	for (; n < max && isxdigit((unsigned char)s[0]) && isxdigit((unsigned char)s[1]); s += 2) {
		sscanf(s, "%2x", &byte);
		out[n++] = (unsigned char)byte;
	}
	return n;
}

static int stream_to(const char *dir)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/ctl", dir);
	if (fd < 0 || connect(fd, (void *)&addr, sizeof(addr)))
		die("connect");
	return fd;
}

/* 0, or -1 when the other side closed. */
static int join(struct client *c, const char *dir, unsigned int number)
{
	unsigned char request[12 + sizeof(mine) + sizeof(descr)];
	struct sockaddr_un theirs;
	uint32_t head[3] = { 0xfeedface, 3, port << 8 };
	size_t n;

	c->stream = stream_to(dir);
	c->data = socket(AF_UNIX, SOCK_DGRAM, 0);
	snprintf(mine.sun_path, sizeof(mine.sun_path), "%s/.%d-%u", dir, getpid(), number);
	if (c->data < 0 || bind(c->data, (void *)&mine, sizeof(mine)))
		die("bind");
	memcpy(request, head, sizeof(head));
	memcpy(request + 12, &mine, sizeof(mine));
	n = strlen(descr);
	memcpy(request + 12 + sizeof(mine), descr, n);
	n += 12 + sizeof(mine);
	if (send(c->stream, request, n, MSG_NOSIGNAL) != (ssize_t)n)
		die("request");
	if (recv(c->stream, &theirs, sizeof(theirs), MSG_WAITALL) != sizeof(theirs)) {
		hide();
		return -1;
	}
	if (connect(c->data, (void *)&theirs, sizeof(theirs)))
		die("connect to the port");
	hide();
	return 0;
}

static void wait_end(void)
{
	char c;

	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void fill(int fd, const char *line)
{
	static unsigned char frame[70000];
	char to[16], from[16];
	unsigned int len, n, went = 0;

	if (sscanf(line, "fill %12s %12s %u %u", to, from, &len, &n) != 4 || len < 14 ||
	    len > sizeof(frame)) {
		puts("bad");
		return;
	}
	unhex(to, frame, 6);
	unhex(from, frame + 6, 6);
	frame[12] = 0x88;
	frame[13] = 0xb6;
	for (unsigned int i = 0; i < n; i++) {
		uint32_t number = i;

		if (len >= 18)
			memcpy(frame + 14, &number, 4);
		went += send(fd, frame, len, 0) == (ssize_t)len;
	}
	printf("%u\n", went);
}

static void receive(int fd, int ms)
{
	static unsigned char data[70000];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n;

	if (poll(&p, 1, ms) <= 0) {
		puts("none");
		return;
	}
	n = recv(fd, data, sizeof(data), MSG_DONTWAIT);
	if (n < 0) {
		puts(strerror(errno));
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		printf("%02x", data[i]);
	putchar('\n');
}

static void count(int fd, const char *line)
{
	static unsigned char data[70000];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	unsigned long n = 0, wanted = 0;
	int ms = 0;

	sscanf(line, "count %d %lu", &ms, &wanted);
	while (poll(&p, 1, n < wanted && ms < LATE_MS ? LATE_MS : ms) > 0 &&
	       recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		n++;
	printf("%lu\n", n);
}

/* So the kernel's worker, which has to deliver the frames on the same CPU, comes late. */
static void hog(int fd, const char *line)
{
	const struct sched_param fifo = { .sched_priority = 1 }, other = { 0 };
	char to[16], from[16], frames[64];
	cpu_set_t cpus, all;
	unsigned int n;
	int64_t end;
	int ms;

	if (sscanf(line, "hog %12s %12s %u %d", to, from, &n, &ms) != 4) {
		puts("bad");
		return;
	}
	snprintf(frames, sizeof(frames), "fill %s %s 60 %u", to, from, n);
	CPU_ZERO(&cpus);
	CPU_SET((unsigned int)sched_getcpu(), &cpus);
	if (sched_getaffinity(0, sizeof(all), &all) || sched_setaffinity(0, sizeof(cpus), &cpus) ||
	    sched_setscheduler(0, SCHED_FIFO, &fifo)) {
		puts(strerror(errno));
		return;
	}
	end = now_ns() + ms * 1000000LL;
	fill(fd, frames);
	while (now_ns() < end)
		;
	sched_setscheduler(0, SCHED_OTHER, &other);
	sched_setaffinity(0, sizeof(all), &all);
}

static bool stream_open(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/* --- steady ------------------------------------------------------------------------------------*/

#define STEADY_TYPE 0xb788 /* 88b7 */
#define LAST_MS LATE_MS    /* so long it waits for the last ones */

struct frame {
	uint8_t to[6], from[6];
	uint16_t type;
	uint16_t pad;
	uint32_t number;
	int64_t sent; /* ns */
	uint8_t rest[32];
};

struct receiver {
	uint8_t mac[6];
	uint32_t sent, due;
};

static volatile sig_atomic_t stop;
static unsigned long received, lost;
static int64_t worst;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static void take(struct receiver *r, const struct frame *f, ssize_t len)
{
	int64_t took = now_ns() - f->sent;

	if (len != sizeof(*f) || f->type != STEADY_TYPE || memcmp(f->to, r->mac, 6) != 0)
		return; /* others' */
	if (f->number != r->due) {
		fprintf(stderr, "%02x: %u came when %u was due\n", r->mac[5], f->number, r->due);
		lost += f->number > r->due ? f->number - r->due : 1;
	}
	r->due = f->number + 1;
	received++;
	if (took > worst)
		worst = took;
}

static void take_all(const struct client *c, struct receiver *to, int process)
{
	struct frame f;
	ssize_t n;

	while ((n = recv(c->data, &f, sizeof(f), MSG_DONTWAIT)) >= 0)
		take(&to[0], &f, n);
	while ((n = ipn_recv(process, &f, sizeof(f), MSG_DONTWAIT)) >= 0)
		take(&to[1], &f, n);
}

static int steady(const char *dir, const char *path, long interval_us)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };
	struct receiver to[2] = { { .mac = { 2, 0xdd, 0, 0, 0, 2 } },
				  { .mac = { 2, 0xdd, 0, 0, 0, 3 } } };
	struct frame f = { .from = { 2, 0xdd, 0, 0, 0, 1 }, .type = STEADY_TYPE };
	struct client c[2];
	int process = ipn_socket(AF_IPN, SOCK_RAW, IPN_ANY);
	int64_t end;

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (process < 0 || ipn_connect(process, (void *)&addr, sizeof(addr)))
		die(path);
	for (unsigned int i = 0; i < 2; i++)
		if (join(&c[i], dir, 1000 + i))
			die("turned away");
	/* so that the switch knows where they are */
	memset(f.to, 0xff, 6);
	memcpy(f.from, to[0].mac, 6);
	if (send(c[1].data, &f, sizeof(f), 0) != sizeof(f))
		die("send");
	memcpy(f.from, to[1].mac, 6);
	if (ipn_send(process, &f, sizeof(f), 0) != sizeof(f))
		die("ipn_send");
	f.from[5] = 1;
	signal(SIGTERM, on_term);
	puts("ready");
	fflush(stdout);
	while (!stop) {
		for (int i = 0; i < 2; i++) {
			memcpy(f.to, to[i].mac, 6);
			f.number = to[i].sent++;
			f.sent = now_ns();
			if (send(c[0].data, &f, sizeof(f), 0) != sizeof(f))
				die("send");
		}
		usleep((useconds_t)interval_us);
		take_all(&c[1], to, process);
		for (int i = 0; i < 2; i++) {
			if (!stream_open(c[i].stream)) {
				puts("a port was ended");
				return 1;
			}
		}
	}
	end = now_ns() + LAST_MS * 1000000LL;
	while (received < to[0].sent + to[1].sent && now_ns() < end)
		take_all(&c[1], to, process);
	printf("%u %lu %lu %lld\n", to[0].sent + to[1].sent, received, lost,
	       (long long)(worst / 1000000));
	return 0;
}

static void commands(struct client *c)
{
	static char line[140000];
	static unsigned char data[70000];
	int n;

	while (fflush(stdout), fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "send ", 5)) {
			n = unhex(line + 5, data, sizeof(data));
			puts(send(c->data, data, (size_t)n, 0) == n ? "ok" : strerror(errno));
		} else if (!strncmp(line, "fill ", 5)) {
			fill(c->data, line);
		} else if (!strncmp(line, "recv ", 5)) {
			receive(c->data, atoi(line + 5));
		} else if (!strncmp(line, "count ", 6)) {
			count(c->data, line);
		} else if (!strncmp(line, "hog ", 4)) {
			hog(c->data, line);
		} else if (!strncmp(line, "bye", 3)) {
			puts(send(c->data, "", 0, 0) ? strerror(errno) : "ok");
		} else if (!strncmp(line, "stream", 6)) {
			puts(stream_open(c->stream) ? "open" : "closed");
		} else if (!strncmp(line, "quit", 4)) {
			break;
		} else {
			puts("what?");
		}
	}
}

static int knock(const char *path, const char *hex)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	static unsigned char data[4096];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	int n = unhex(hex, data, sizeof(data));

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (void *)&addr, sizeof(addr))) {
		puts(strerror(errno));
		return 1;
	}
	/* it may be closed before that comes */
	if (send(fd, data, (size_t)n, MSG_NOSIGNAL) == n && recv(fd, data, sizeof(data), 0) > 0)
		puts("answered");
	else
		puts("closed");
	return 0;
}

int main(int argc, char **argv)
{
	struct client c;
	struct rlimit files = { 100000, 100000 };
	static unsigned char data[4096];
	int i, n;

	setrlimit(RLIMIT_NOFILE, &files);
	if (argc == 4 && !strcmp(argv[2], "crowd")) {
		n = atoi(argv[3]);
		for (i = 0; i < n && !join(&c, argv[1], (unsigned int)i); i++)
			;
		printf("%d in\n", i);
		wait_end();
		return 0;
	}
	if (argc == 4 && !strcmp(argv[2], "half")) {
		n = atoi(argv[3]);
		for (i = 0; i < n; i++)
			stream_to(argv[1]);
		printf("%d in\n", n);
		wait_end();
		return 0;
	}
	if (argc == 4 && !strcmp(argv[2], "raw")) {
		n = unhex(argv[3], data, sizeof(data));
		c.stream = stream_to(argv[1]);
		if (send(c.stream, data, (size_t)n, MSG_NOSIGNAL) < 0)
			die("send");
		puts(recv(c.stream, data, sizeof(data), 0) > 0 ? "answered" : "closed");
		return 0;
	}
	if (argc == 4 && !strcmp(argv[2], "knock"))
		return knock(argv[1], argv[3]);
	if (argc == 5 && !strcmp(argv[2], "steady"))
		return steady(argv[1], argv[3], atol(argv[4]));
	for (i = 2; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "-p"))
			port = (unsigned int)atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "-d"))
			snprintf(descr, sizeof(descr), "%s", argv[i + 1]);
	}
	if (argc < 2 || i < argc) {
		fprintf(stderr,
			"usage: vdeclient DIR [-p PORT] [-d DESCR] | crowd N | half N | raw HEX |"
			" steady PATH INTERVAL_US | FILE knock HEX\n");
		return 2;
	}
	if (join(&c, argv[1], 0)) {
		puts("turned away");
		return 1;
	}
	puts("in");
	commands(&c);
	return 0;
}
