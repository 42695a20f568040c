// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * ipn_poll_fd() and ipn_dup(): loops PATH LOSSLESS
 *
 * Two networks; the pool of the LOSSLESS one is 4. The descriptor must be ready exactly when a call
 * would not wait, whatever was done before.
 */
#include <ipn/ipn.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define POOL 4
#define LONG_MS 20000 /* until what must come has come */
#define SHORT_MS 30   /* for what must not come */

#define CHECK(what)                                                                              \
	do {                                                                                     \
		if (!(what)) {                                                                   \
			fprintf(stderr, "line %d: %s (%s)\n", __LINE__, #what, strerror(errno)); \
			exit(1);                                                                 \
		}                                                                                \
	} while (0)

static int join(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };
	int fd = ipn_socket(AF_IPN, SOCK_RAW | SOCK_CLOEXEC, IPN_ANY);

	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	CHECK(fd >= 0 && !ipn_connect(fd, (struct sockaddr *)&addr, sizeof(addr)));
	return fd;
}

static bool ready(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1 && p.revents & POLLIN;
}

static void say(int fd, const char *text)
{
	CHECK(ipn_send(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
}

static void hear(int fd, const char *text)
{
	char buf[32] = "";

	CHECK(ipn_recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT) > 0);
	CHECK(!strcmp(buf, text));
}

static void nothing(int fd)
{
	char c;

	CHECK(ipn_recv(fd, &c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
}

static void receiving(const char *path)
{
	int a = join(path), b = join(path), in;
	struct pollfd p = { .fd = b, .events = POLLIN };

	say(a, "before");
	in = ipn_poll_fd(b, POLLIN);
	CHECK(in >= 0 && ipn_poll_fd(b, POLLIN) == in);
	CHECK(ready(in, 0));
	hear(b, "before");
	CHECK(!ready(in, SHORT_MS));
	nothing(b);
	CHECK(!ready(in, SHORT_MS));
	say(a, "one");
	say(a, "two");
	CHECK(ready(in, LONG_MS));
	hear(b, "one");
	CHECK(ready(in, 0));
	hear(b, "two");
	CHECK(!ready(in, SHORT_MS));
	say(b, "own");
	CHECK(!ready(in, SHORT_MS));
	/* beside the library's own ways to wait */
	CHECK(ipn_poll(&p, 1, 1) == 0);
	CHECK(!ready(in, SHORT_MS));
	say(a, "three");
	CHECK(ipn_poll(&p, 1, LONG_MS) == 1);
	CHECK(ready(in, 0));
	hear(b, "three");
	CHECK(!ready(in, SHORT_MS));
	CHECK(!ipn_shutdown(b, SHUT_RD));
	CHECK(ready(in, LONG_MS));
	CHECK(ipn_poll(&p, 1, LONG_MS) == 1 && p.revents & POLLIN);
	CHECK(ipn_poll_fd(b, POLLIN | POLLOUT) < 0 && errno == EINVAL);
	CHECK(ready(ipn_poll_fd(a, POLLOUT), 0)); /* nobody ever waits to send here */
	ipn_close(a);
	ipn_close(b);
}

static void sending(const char *path)
{
	int a = join(path), b = join(path), out = ipn_poll_fd(a, POLLOUT);

	ipn_shutdown(a, SHUT_RD);
	CHECK(out >= 0);
	for (int i = 0; i < POOL; i++) {
		CHECK(ready(out, 0));
		say(a, "x");
	}
	CHECK(!ready(out, SHORT_MS));
	CHECK(ipn_send(a, "x", 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
	CHECK(!ready(out, SHORT_MS));
	hear(b, "x");
	CHECK(ready(out, LONG_MS));
	say(a, "x");
	CHECK(!ready(out, SHORT_MS));
	ipn_close(b); /* nobody is waited for any more */
	CHECK(ready(out, LONG_MS));
	ipn_close(a);
}

/* Parent and child each have a descriptor of that number. */
static void forked(const char *path)
{
	int a = join(path), b = join(path), in = ipn_poll_fd(b, POLLIN), go[2], status;
	char c;
	pid_t pid;

	CHECK(!pipe(go));
	pid = fork();
	for (int i = 0; !pid && i < 2; i++) {
		CHECK(ready(in, LONG_MS));
		hear(b, i ? "second" : "first");
		nothing(b);
		CHECK(!ready(in, 0));
		CHECK(write(go[1], "x", 1) == 1);
	}
	if (!pid)
		exit(0);
	for (int i = 0; i < 2; i++) {
		say(a, i ? "second" : "first");
		CHECK(read(go[0], &c, 1) == 1); /* the child has taken all it wanted of the bell */
		CHECK(ready(in, LONG_MS));
		hear(b, i ? "second" : "first");
		nothing(b);
		CHECK(!ready(in, 0));
	}
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	ipn_close(a);
	ipn_close(b);
}

static void duplicates(const char *path)
{
	int a = join(path), b = join(path), twin = ipn_dup(b), third;
	char c;

	CHECK(twin >= 0 && twin != b);
	say(a, "to the twin");
	hear(twin, "to the twin");
	CHECK(!ipn_close(b));
	CHECK(ipn_recv(b, &c, 1, MSG_DONTWAIT) < 0 && errno == EBADF);
	say(twin, "from the twin");
	hear(a, "from the twin");
	third = ipn_dup(twin);
	CHECK(!ipn_close(twin));
	CHECK(!ipn_shutdown(third, SHUT_WR)); /* the manager is still reached */
	say(a, "again");
	hear(third, "again");
	CHECK(!ipn_close(third));
	CHECK(ipn_dup(third) < 0 && errno == EBADF);
	ipn_close(a);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	receiving(argv[1]);
	sending(argv[2]);
	forked(argv[1]);
	duplicates(argv[1]);
	return 0;
}
