// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A client of VDE that speaks the protocol itself, and badly on request.
 *
 *	vdeclient DIR [-p PORT] [-d DESCR]      a port; commands on its input, an answer for each
 *		send HEX        sends the bytes, "ok" or the error
 *		fill MAC MAC LEN N   sends N frames of LEN bytes from the second to the first
 *		address recv MS         the next message, as hexadecimal; "none"
 *		count MS        messages that come until none has come for MS
 *		bye             an empty message
 *		quit            ends
 *	vdeclient DIR crowd N                   N ports in one process; "N in", then waits for its
 *	end vdeclient DIR half N                    N connections that say nothing; then the same
 *	vdeclient DIR raw HEX                   sends that as its request: "closed", or "answered"
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
	int stream, data;
};

static char descr[128] = "vdeclient";
static unsigned int port;

static void die(const char *what)
{
	printf("%s: %s\n", what, strerror(errno));
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
	struct sockaddr_un mine = { .sun_family = AF_UNIX }, theirs;
	unsigned char request[12 + sizeof(mine) + sizeof(descr)];
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
		unlink(mine.sun_path);
		return -1;
	}
	if (connect(c->data, (void *)&theirs, sizeof(theirs)))
		die("connect to the port");
	unlink(mine.sun_path);
	return 0;
}

static void wait_end(void)
{
	char c;

	fflush(stdout);
	while (read(0, &c, 1) > 0)
		;
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

static void count(int fd, int ms)
{
	static unsigned char data[70000];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	unsigned long n = 0;

	while (poll(&p, 1, ms) > 0 && recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		n++;
	printf("%lu\n", n);
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
			count(c->data, atoi(line + 6));
		} else if (!strncmp(line, "bye", 3)) {
			puts(send(c->data, "", 0, 0) ? strerror(errno) : "ok");
		} else if (!strncmp(line, "quit", 4)) {
			break;
		} else {
			puts("what?");
		}
	}
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
	for (i = 2; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "-p"))
			port = (unsigned int)atoi(argv[i + 1]);
		else if (!strcmp(argv[i], "-d"))
			snprintf(descr, sizeof(descr), "%s", argv[i + 1]);
	}
	if (argc < 2 || i < argc) {
		fprintf(stderr,
			"usage: vdeclient DIR [-p PORT] [-d DESCR] | crowd N | half N | raw HEX\n");
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
