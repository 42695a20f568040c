// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program that knows nothing of libipn: plain socket calls and the numbers of af_ipn.h, as a
 * program for the kernel's AF_IPN would be written. Run by tests/e2e/shim.sh under
 * `ipn-fabric run`.
 *
 *   plain CASE PATH...     one of the cases at the end; ends with 0, or says what was wrong
 */
#include <ipn/af_ipn.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define die(...) die_at(__LINE__, __VA_ARGS__)

static void __attribute__((noreturn, format(printf, 2, 3))) die_at(int line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "plain.c:%d: ", line);
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, " (errno %s)\n", strerrorname_np(errno));
	va_end(ap);
	exit(1);
}

/* The call gives this value. */
#define want(value, call)                                                    \
	({                                                                   \
		long long got_ = (call), want_ = (value);                    \
		if (got_ != want_)                                           \
			die("%s: %lld instead of %lld", #call, got_, want_); \
		got_;                                                        \
	})
/* The call fails, so. */
#define want_errno(err, call)                                                         \
	do {                                                                          \
		errno = 0;                                                            \
		if ((call) != -1 || errno != (err))                                   \
			die("%s: did not fail with %s", #call, strerrorname_np(err)); \
	} while (0)
#define ok(call)                          \
	({                                \
		long got_ = (call);       \
		if (got_ < 0)             \
			die("%s", #call); \
		(int)got_;                \
	})

static int family = AF_IPN;

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un sun = { .sun_family = (sa_family_t)family };

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	return sun;
}

static int fresh(int flags)
{
	return ok(socket(family, SOCK_RAW | flags, IPN_BROADCAST));
}

static int join(const char *path)
{
	struct sockaddr_un sun = address(path);
	int fd = fresh(0);

	want(0, connect(fd, (struct sockaddr *)&sun, sizeof(sun)));
	return fd;
}

static void expect(int fd, const char *text)
{
	char buf[2048];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	if (n != (ssize_t)strlen(text) || memcmp(buf, text, strlen(text)))
		die("wanted '%s', got %zd '%.*s'", text, n, n > 0 ? (int)n : 0, buf);
}

static void nothing(int fd)
{
	char buf[16];

	want_errno(EAGAIN, recv(fd, buf, sizeof(buf), MSG_DONTWAIT));
}

static void say(int fd, const char *text)
{
	want((long long)strlen(text), send(fd, text, strlen(text), 0));
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void nap(long ms)
{
	struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

	nanosleep(&ts, NULL);
}

static void ends_well(pid_t pid)
{
	int status;

	want(pid, waitpid(pid, &status, 0));
	if (status)
		die("child: status %x", status);
}

/*
 * The two programs that the first IPN came with, in other words.
 */

/* Peers: each runs the same code, and hears all the others. ARGS: PATH NAME OTHERS... */
static void case_peer(char **args)
{
	struct sockaddr_un sun = address(args[0]);
	int s = socket(AF_IPN, SOCK_RAW, IPN_BROADCAST), missing = 0;

	ok(s);
	ok(bind(s, (struct sockaddr *)&sun, sizeof(sun)));
	ok(connect(s, NULL, 0));
	for (int i = 2; args[i]; i++)
		missing++;
	for (double end = seconds() + 15; missing;) {
		struct pollfd p = { .fd = s, .events = POLLIN };
		char buf[64];
		ssize_t n;

		if (seconds() > end)
			die("%s: %d others not heard of", args[1], missing);
		ok(send(s, args[1], strlen(args[1]), 0));
		while (poll(&p, 1, 20) == 1) {
			n = ok(recv(s, buf, sizeof(buf) - 1, 0));
			buf[n] = '\0';
			for (int i = 2; args[i]; i++) {
				if (!strcmp(args[i], buf)) {
					args[i] = "";
					missing--;
				}
			}
		}
	}
	/* those who come last must hear of this one, too */
	for (int i = 0; i < 10; i++) {
		ok(send(s, args[1], strlen(args[1]), 0));
		nap(20);
	}
	close(s);
}

/* One sends, ARGS: PATH N */
static void case_sender(char **args)
{
	struct sockaddr_un sun = address(args[0]);
	int s = socket(AF_IPN, SOCK_RAW, IPN_BROADCAST), pool = 4096;
	char buf[16];

	ok(s);
	ok(shutdown(s, SHUT_RD));
	ok(setsockopt(s, 0, IPN_SO_MSGPOOLSIZE, &pool, sizeof(pool)));
	ok(bind(s, (struct sockaddr *)&sun, sizeof(sun)));
	ok(connect(s, NULL, 0));
	puts("ready");
	fflush(stdout);
	want(1, read(0, buf, 1)); /* until all are there */
	for (int i = 0; i < atoi(args[1]); i++) {
		int n = snprintf(buf, sizeof(buf), "%d", i);

		want(n, write(s, buf, (size_t)n));
	}
	want_errno(EPIPE, recv(s, buf, sizeof(buf), MSG_DONTWAIT));
	want(1, read(0, buf, 1)); /* until all have heard it */
	close(s);
}

/* many receive: ARGS: PATH N */
static void case_receiver(char **args)
{
	struct sockaddr_un sun = address(args[0]);
	int s = socket(AF_IPN, SOCK_RAW, IPN_BROADCAST);
	char buf[16];

	ok(s);
	ok(shutdown(s, SHUT_WR));
	ok(connect(s, (struct sockaddr *)&sun, sizeof(sun)));
	puts("ready");
	fflush(stdout);
	for (int i = 0; i < atoi(args[1]); i++) {
		ssize_t n = ok(read(s, buf, sizeof(buf) - 1));

		buf[n] = '\0';
		want(i, atoi(buf));
	}
	want_errno(EPIPE, send(s, "x", 1, 0));
	puts("done");
	fflush(stdout);
	want(0, read(s, buf, sizeof(buf))); /* until the network is removed */
}

/*
 * Families of calls. ARGS: PATH of a network that is there.
 */

static void case_errors(char **args)
{
	struct sockaddr_un sun = address(args[0]), name, other = address(args[0]);
	socklen_t len = sizeof(name);
	char big[2000] = "", buf[16];
	struct iovec iov = { buf, sizeof(buf) };
	int pair[2], s, val;

	want_errno(EPROTOTYPE, socket(family, SOCK_STREAM, 1));
	want_errno(EPROTONOSUPPORT, socket(family, SOCK_RAW, 77));
	want_errno(EOPNOTSUPP, socketpair(family, SOCK_RAW, 1, pair));
	s = fresh(SOCK_CLOEXEC | SOCK_NONBLOCK);
	want(FD_CLOEXEC, fcntl(s, F_GETFD));
	want(O_NONBLOCK, fcntl(s, F_GETFL) & O_NONBLOCK);
	want_errno(EOPNOTSUPP, listen(s, 1));
	want_errno(EOPNOTSUPP, accept(s, NULL, NULL));
	want_errno(EOPNOTSUPP, accept4(s, NULL, NULL, SOCK_CLOEXEC));
	want_errno(ENOTCONN, send(s, "x", 1, 0));
	want_errno(ENOTCONN, write(s, "x", 1));
	want_errno(ENOTCONN, recv(s, buf, 1, 0));
	want_errno(ENOTCONN, readv(s, &iov, 1));
	want_errno(ENOTCONN, getsockname(s, (struct sockaddr *)&name, &len));
	want_errno(ENOTCONN, getpeername(s, (struct sockaddr *)&name, &len));
	other.sun_family = AF_UNIX;
	want_errno(EINVAL, bind(s, (struct sockaddr *)&other, sizeof(other)));
	want_errno(EINVAL, connect(s, (struct sockaddr *)&other, sizeof(other)));
	want_errno(EINVAL, connect(s, NULL, 0));
	other = address("/dev/null");
	want_errno(ECONNREFUSED, connect(s, (struct sockaddr *)&other, sizeof(other)));
	ok(connect(s, (struct sockaddr *)&sun, sizeof(sun)));
	want_errno(EISCONN, connect(s, (struct sockaddr *)&sun, sizeof(sun)));
	want_errno(EAGAIN, recv(s, buf, 1, 0));
	want_errno(EAGAIN, read(s, buf, 1));
	want_errno(EOVERFLOW, send(s, big, sizeof(big), 0));
	want_errno(EINVAL, sendfile(s, 0, NULL, 5));
	want_errno(EINVAL, splice(0, NULL, s, NULL, 5, 0));
	want_errno(ESPIPE, lseek(s, 0, SEEK_SET));
	len = sizeof(name);
	ok(getsockname(s, (struct sockaddr *)&name, &len));
	want(family, name.sun_family);
	want(0, strcmp(name.sun_path, args[0]));
	len = sizeof(name);
	ok(getpeername(s, (struct sockaddr *)&name, &len));
	want(0, strcmp(name.sun_path, args[0]));
	len = sizeof(val);
	ok(getsockopt(s, SOL_SOCKET, SO_TYPE, &val, &len));
	want(SOCK_RAW, val);
	ok(getsockopt(s, SOL_SOCKET, SO_DOMAIN, &val, &len));
	want(family, val);
	ok(getsockopt(s, 0, IPN_SO_MTU, &val, &len));
	want(1514, val);
	want_errno(EISCONN, setsockopt(s, 0, IPN_SO_MTU, &val, sizeof(val)));
	want_errno(EPROTONOSUPPORT, setsockopt(s, 77, 1, &val, sizeof(val)));
	ok(shutdown(s, SHUT_WR));
	want_errno(EPIPE, send(s, "x", 1, 0)); /* and no SIGPIPE */
	ok(shutdown(s, SHUT_RDWR));
	want(0, recv(s, buf, 1, 0));
	want_errno(ECONNRESET, send(s, "x", 1, 0));
	ok(close(s));
	want_errno(EBADF, close(s));
	want_errno(EBADF, send(s, "x", 1, 0));
}

/*
 * Arguments that are no memory.
 */

#define PAGE 4096

/* A pointer that is good until `end`, where nothing is, or memory of no use. */
static char *until(char *end, size_t n)
{
	return end - n;
}

static void bad_calls(int s, int fresh_fd, void *bad)
{
	struct iovec iov = { bad, 10 }, two[2] = { { "ab", 2 }, { bad, 10 } };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 },
		      no_iov = { .msg_iov = bad, .msg_iovlen = 2 };
	struct mmsghdr mmsg = { .msg_hdr = msg };
	struct sockaddr_un name;
	socklen_t len = sizeof(name);
	char buf[16];
	int val = 0;

	want_errno(EFAULT, bind(fresh_fd, bad, 110));
	want_errno(EFAULT, connect(fresh_fd, bad, 110));
	want_errno(EINVAL, connect(fresh_fd, bad, 1000));
	want_errno(EFAULT, setsockopt(fresh_fd, 0, IPN_SO_MTU, bad, sizeof(val)));
	want_errno(EFAULT, setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, bad, sizeof(struct timeval)));
	want_errno(EFAULT, getsockopt(s, 0, IPN_SO_MTU, bad, &len));
	want_errno(EFAULT, getsockopt(s, 0, IPN_SO_MTU, &val, bad));
	want_errno(EFAULT, getsockopt(s, SOL_SOCKET, SO_TYPE, bad, &len));
	want_errno(EFAULT, getsockname(s, bad, &len));
	want_errno(EFAULT, getsockname(s, (struct sockaddr *)&name, bad));
	want_errno(EFAULT, getpeername(s, bad, &len));
	want_errno(EOPNOTSUPP, accept(s, bad, bad));
	want_errno(EFAULT, ioctl(s, FIONREAD, bad));
	want_errno(EFAULT, ioctl(s, FIONBIO, bad));
	want_errno(EFAULT, ioctl(s, IPN_CONN_NETDEV, bad));
	want_errno(EFAULT, ioctl(s, IPN_JOIN_NETDEV, bad));
	want_errno(EFAULT, ioctl(s, SIOCSIFHWADDR, bad));

	want_errno(EFAULT, send(s, bad, 10, 0));
	want_errno(EFAULT, send(s, bad, 1514, 0));
	want_errno(EOVERFLOW, send(s, bad, 100000, 0));
	want(0, send(s, bad, 0, 0));
	want_errno(EFAULT, sendto(s, bad, 10, 0, NULL, 0));
	want_errno(EFAULT, write(s, bad, 10));
	want_errno(EFAULT, writev(s, bad, 2));
	want_errno(EFAULT, writev(s, two, 2));
	want_errno(EFAULT, sendmsg(s, bad, 0));
	want_errno(EFAULT, sendmsg(s, &msg, 0));
	want_errno(EFAULT, sendmsg(s, &no_iov, 0));
	want_errno(EFAULT, sendmmsg(s, bad, 1, 0));
	want_errno(EFAULT, sendmmsg(s, &mmsg, 1, 0));
	want_errno(EFAULT, recvfrom(s, buf, sizeof(buf), MSG_DONTWAIT, (void *)buf, bad));
	want_errno(EFAULT, recvmsg(s, bad, MSG_DONTWAIT));
	want_errno(EFAULT, recvmsg(s, &no_iov, MSG_DONTWAIT));
	want_errno(EFAULT, readv(s, bad, 2));
	want_errno(EFAULT, recvmmsg(s, bad, 1, MSG_DONTWAIT, NULL));
	want_errno(EFAULT, recvmmsg(s, &mmsg, 1, MSG_DONTWAIT, bad));
}

static void bad_waits(int s, void *bad)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct pollfd p = { .fd = s, .events = POLLIN };
	fd_set set;
	int ep = ok(epoll_create1(0));

	FD_ZERO(&set);
	FD_SET(s, &set);
	want_errno(EFAULT, poll(bad, 1, 0));
	want_errno(EFAULT, ppoll(&p, 1, bad, NULL));
	want_errno(EFAULT, select(s + 1, bad, NULL, NULL, NULL));
	want_errno(EFAULT, select(s + 1, &set, NULL, NULL, bad));
	want_errno(EFAULT, epoll_ctl(ep, EPOLL_CTL_ADD, s, bad));
	ok(epoll_ctl(ep, EPOLL_CTL_ADD, s, &event));
	want_errno(EFAULT, epoll_wait(ep, bad, 1, 0));
	want_errno(EFAULT, epoll_pwait2(ep, &event, 1, bad, NULL));
	ok(close(ep));
}

static void case_memory(char **args)
{
	int a = join(args[0]), b = join(args[0]), none = fresh(0);
	const int rw = PROT_READ | PROT_WRITE, own = MAP_PRIVATE | MAP_ANONYMOUS;
	const char last[4] = { 'l', 'a', 's', 't' };
	char *map = mmap(NULL, 3 * PAGE, rw, own, -1, 0);
	char *gone = mmap(NULL, PAGE, rw, own, -1, 0);
	char *end = map + PAGE;
	struct iovec in[2];

	if (map == MAP_FAILED || gone == MAP_FAILED)
		die("mmap");
	memset(gone, 'g', PAGE);
	want(10, send(a, gone, 10, 0)); /* what was good is not for ever */
	want(10, recv(b, gone, 10, 0));
	ok(munmap(gone, PAGE));
	ok(mprotect(end, PAGE, PROT_NONE));
	bad_calls(a, none, (void *)8);
	bad_calls(a, none, (void *)-8);
	bad_calls(a, none, (void *)(1UL << 63));
	bad_calls(a, none, gone);
	bad_calls(a, none, end);
	bad_waits(a, (void *)8);
	bad_waits(a, end);
	for (int i = 0; i < 5; i++)
		want(0, recv(b, end, 10, MSG_DONTWAIT)); /* the empty ones */
	nothing(b);

	/* what reaches beyond its end */
	memcpy(until(end, 4), last, sizeof(last));
	want(4, send(a, until(end, 4), 4, 0));
	want_errno(EFAULT, send(a, until(end, 4), 5, 0));
	want(4, recv(b, until(end, 4), 1000, 0)); /* the message is no longer than what is there */
	want(0, memcmp(until(end, 4), last, sizeof(last)));
	say(a, "longer");
	want_errno(EFAULT, recv(b, until(end, 4), 1000, 0));
	in[0] = (struct iovec){ until(end, 2), 2 };
	in[1] = (struct iovec){ end + PAGE, 1000 };
	say(a, "pieces");
	want(6, readv(b, in, 2));
	want(0, memcmp(end + PAGE, "eces", 4));
	in[1].iov_base = end;
	say(a, "pieces");
	want_errno(EFAULT, readv(b, in, 2));
	nothing(b);

	/* what may be read only, and what may not any more */
	ok(mprotect(map, PAGE, PROT_READ));
	want(4, send(a, until(end, 4), 4, 0));
	want_errno(EFAULT, recv(b, until(end, 4), 4, 0));
	ok(mprotect(map, PAGE, PROT_READ | PROT_WRITE));
	say(a, "more");
	want(4, recv(b, until(end, 4), 4, 0));
	ok(mprotect(map, PAGE, PROT_NONE));
	want_errno(EFAULT, send(a, until(end, 4), 4, 0));
	if (mremap(end + PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map) != map)
		die("mremap");
	want_errno(EFAULT, send(a, end + PAGE, 4, 0));
	want(4, send(a, map, 4, 0));
	expect(b, "eces");
	nothing(b);
	ok(close(none));
}

static void case_later(char **args)
{
	family = 13; /* what later versions of the module had for AF_IPN */
	case_errors(args);
}

static void case_calls(char **args)
{
	int a = join(args[0]), b = join(args[0]), n;
	char buf[64], one[4], two[64];
	struct iovec out[2] = { { "ab", 2 }, { "cd", 2 } }, in[2] = { { one, 3 }, { two, 64 } };
	struct msghdr msg = { .msg_iov = out, .msg_iovlen = 2 };
	struct sockaddr_un sun = address(args[0]), from;
	struct mmsghdr many[3] = { 0 };
	struct iovec vec[3] = { { "1", 1 }, { "22", 2 }, { "333", 3 } };
	socklen_t len = sizeof(from);

	want(3, send(a, "abc", 3, MSG_NOSIGNAL));
	want(3, ok(ioctl(b, FIONREAD, &n)) + n);
	want(3, recv(b, buf, sizeof(buf), MSG_PEEK));
	want(3, recvfrom(b, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len));
	want(0, len);
	want(2, sendto(a, "xy", 2, 0, (struct sockaddr *)&sun, sizeof(sun)));
	want(2, read(b, buf, sizeof(buf)));
	want(0, memcmp(buf, "xy", 2));
	want(4, sendmsg(a, &msg, 0));
	msg = (struct msghdr){
		.msg_iov = in, .msg_iovlen = 2, .msg_name = &from, .msg_namelen = sizeof(from)
	};
	want(4, recvmsg(b, &msg, 0));
	want(0, msg.msg_namelen);
	want(0, memcmp(one, "abc", 3) || two[0] != 'd');
	want(4, writev(a, out, 2));
	want(4, readv(b, in, 2));
	want(5, write(a, "12345", 5));
	in[0].iov_len = 2;
	msg.msg_iovlen = 1;
	want(2, recvmsg(b, &msg, 0)); /* the rest is cut off */
	want(MSG_TRUNC, msg.msg_flags & MSG_TRUNC);
	want(0, write(a, "", 0));
	want(0, read(b, buf, 0)); /* takes nothing */
	want(0, recv(b, buf, sizeof(buf), MSG_DONTWAIT));
	nothing(b);
	for (int i = 0; i < 3; i++) {
		many[i].msg_hdr.msg_iov = &vec[i];
		many[i].msg_hdr.msg_iovlen = 1;
	}
	want(3, sendmmsg(a, many, 3, 0));
	want(3, many[2].msg_len);
	for (int i = 0; i < 3; i++)
		vec[i] = (struct iovec){ buf + 20 * i, 20 };
	want(3, recvmmsg(b, many, 3, MSG_WAITFORONE, NULL));
	want(2, many[1].msg_len);
	want(0, memcmp(buf + 40, "333", 3));
	want_errno(EAGAIN, recvmmsg(b, many, 3, MSG_DONTWAIT, NULL));
	want(0, send(a, "", 0, 0));
	want(0, recv(b, buf, sizeof(buf), 0));
	nothing(a); /* nobody hears himself */

	n = 1;
	ok(ioctl(b, FIONBIO, &n));
	want_errno(EAGAIN, read(b, buf, 1));
	ok(fcntl(b, F_SETFL, 0));
	{
		struct timeval tv = { 0, 50000 };
		double start = seconds();

		ok(setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
		want_errno(EAGAIN, read(b, buf, 1));
		if (seconds() - start < 0.045)
			die("SO_RCVTIMEO did not wait");
	}
	close(a);
	close(b);
}

static void case_options(char **args)
{
	struct sockaddr_un sun = address(args[0]);
	int s = fresh(0), val = 3000, mode = 0640;
	socklen_t len = sizeof(val);
	struct stat st;

	umask(022);
	ok(setsockopt(s, SOL_IP, IPN_SO_MTU, &val, sizeof(val))); /* SOL_IP is 0 */
	ok(setsockopt(s, 0, IPN_SO_MODE, &mode, sizeof(mode)));
	ok(bind(s, (struct sockaddr *)&sun, sizeof(sun)));
	ok(stat(args[0], &st));
	want(1, S_ISSOCK(st.st_mode));
	want(0640, st.st_mode & 0777);
	ok(getsockopt(s, 0, IPN_SO_MTU, &val, &len));
	want(3000, val);
	ok(getsockopt(s, 0, IPN_SO_MODE, &val, &len));
	want(-1, val);
	ok(chmod(args[0], 0755));
	ok(connect(s, (struct sockaddr *)&sun, sizeof(sun)));
	want(0, setsockopt(s, 0, IPN_SO_DESCR, "plain", 6));
	close(s);
	/* others still have options of their own at level 0 */
	s = ok(socket(AF_INET, SOCK_DGRAM, 0));
	val = 33;
	ok(setsockopt(s, SOL_IP, 2 /* IP_TTL */, &val, sizeof(val)));
	ok(getsockopt(s, SOL_IP, 2, &val, &len));
	want(33, val);
	close(s);
}

static void case_poll(char **args)
{
	int a = join(args[0]), b = join(args[0]), pipes[2];
	struct pollfd p[3] = { { .fd = b, .events = POLLIN | POLLOUT },
			       { .events = POLLIN },
			       { .fd = -1, .events = POLLIN } };
	struct timespec ts = { 0, 30000000 };
	sigset_t none;
	double start;

	ok(pipe(pipes));
	p[1].fd = pipes[0];
	want(1, poll(p, 3, 1000));
	want(POLLOUT, p[0].revents);
	p[0].events = POLLIN;
	start = seconds();
	want(0, poll(p, 3, 50));
	if (seconds() - start < 0.045)
		die("poll did not wait");
	sigemptyset(&none);
	want(0, ppoll(p, 3, &ts, &none));
	say(a, "x");
	want(1, poll(p, 3, 1000));
	want(POLLIN, p[0].revents);
	ok(write(pipes[1], "y", 1));
	want(2, ppoll(p, 3, NULL, NULL));
	expect(b, "x");
	want(1, poll(p, 3, -1));
	want(POLLIN, p[1].revents);
	want(0, p[0].revents);
	close(a), close(b), close(pipes[0]), close(pipes[1]);
}

static void case_select(char **args)
{
	int a = join(args[0]), b = join(args[0]), pipes[2];
	struct timeval tv = { 0, 50000 };
	struct timespec ts = { 1, 0 };
	fd_set r, w;
	int n;

	ok(pipe(pipes));
	n = pipes[1] + 1;
	FD_ZERO(&r);
	FD_SET(b, &r);
	FD_SET(pipes[0], &r);
	want(0, select(n, &r, NULL, NULL, &tv));
	want(0, tv.tv_sec || tv.tv_usec || FD_ISSET(b, &r) || FD_ISSET(pipes[0], &r));
	say(a, "x");
	FD_ZERO(&w);
	FD_SET(a, &w);
	FD_SET(b, &r);
	FD_SET(pipes[0], &r);
	want(2, select(n, &r, &w, NULL, NULL));
	want(1, FD_ISSET(b, &r) && FD_ISSET(a, &w) && !FD_ISSET(pipes[0], &r));
	ok(write(pipes[1], "y", 1));
	FD_SET(b, &r);
	FD_SET(pipes[0], &r);
	want(2, pselect(n, &r, NULL, NULL, &ts, NULL));
	expect(b, "x");
	want(1, select(n, &r, NULL, NULL, NULL));
	want(1, FD_ISSET(pipes[0], &r) && !FD_ISSET(b, &r));
	close(pipes[1]);
	FD_SET(pipes[1], &r);
	FD_SET(b, &r);
	want_errno(EBADF, select(n, &r, NULL, NULL, NULL));
	close(a), close(b), close(pipes[0]);
}

static uint32_t ev(int ep, int ms, void *data)
{
	struct epoll_event e[4];
	int n = ok(epoll_wait(ep, e, 4, ms));

	if (n > 1)
		die("%d events", n);
	if (n && e[0].data.ptr != data)
		die("data of another");
	return n ? e[0].events : 0;
}

static void *send_later(void *fd)
{
	nap(50);
	say(*(int *)fd, "late");
	return NULL;
}

struct adder {
	int ep, fd, sender;
};

static void *add_later(void *arg)
{
	struct adder *x = arg;
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = x };

	nap(50);
	ok(epoll_ctl(x->ep, EPOLL_CTL_ADD, x->fd, &e));
	nap(50);
	say(x->sender, "added");
	return NULL;
}

static void case_epoll(char **args)
{
	int a = join(args[0]), b = join(args[0]), ep = ok(epoll_create1(EPOLL_CLOEXEC)), pipes[2];
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = &a }, got[4];
	struct adder adder = { ep, b, a };
	double start;
	pthread_t t;

	ok(pipe(pipes));
	/* a thread that waits hears of a socket that another one adds */
	ok(pthread_create(&t, NULL, add_later, &adder));
	want(EPOLLIN, ev(ep, 5000, &adder));
	pthread_join(t, NULL);
	expect(b, "added");
	want(0, ev(ep, 0, NULL));

	/* level */
	want_errno(EEXIST, epoll_ctl(ep, EPOLL_CTL_ADD, b, &e));
	want_errno(ENOENT, epoll_ctl(ep, EPOLL_CTL_MOD, a, &e));
	want_errno(ENOENT, epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL));
	ok(epoll_ctl(ep, EPOLL_CTL_MOD, b, &e));
	start = seconds();
	want(0, ev(ep, 50, NULL));
	if (seconds() - start < 0.045)
		die("epoll_wait did not wait");
	say(a, "1"), say(a, "2");
	want(EPOLLIN, ev(ep, -1, &a));
	expect(b, "1");
	want(EPOLLIN, ev(ep, -1, &a));
	expect(b, "2");
	want(0, ev(ep, 0, NULL));

	/* with others, and fewer places than events: each gets its turn */
	e.data.ptr = &pipes;
	ok(epoll_ctl(ep, EPOLL_CTL_ADD, pipes[0], &e));
	want(0, ev(ep, 0, NULL));
	ok(write(pipes[1], "x", 1));
	want(EPOLLIN, ev(ep, 1000, &pipes));
	say(a, "3");
	want(2, epoll_wait(ep, got, 4, -1));
	{
		bool ours = false, theirs = false;

		for (int i = 0; i < 4; i++) {
			want(1, epoll_pwait(ep, got, 1, -1, NULL));
			ours |= got[0].data.ptr == &a;
			theirs |= got[0].data.ptr == &pipes;
		}
		if (!ours || !theirs)
			die("one of two starves");
	}
	ok(epoll_ctl(ep, EPOLL_CTL_DEL, pipes[0], NULL));
	expect(b, "3");

	/* edge */
	e = (struct epoll_event){ .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &b };
	ok(epoll_ctl(ep, EPOLL_CTL_MOD, b, &e));
	want(EPOLLOUT, ev(ep, 0, &b));
	want(0, ev(ep, 30, NULL));
	say(a, "4");
	want(EPOLLIN | EPOLLOUT, ev(ep, 1000, &b));
	want(0, ev(ep, 30, NULL)); /* nothing new, though one is there */
	ok(pthread_create(&t, NULL, send_later, &a));
	want(EPOLLIN | EPOLLOUT, ev(ep, 5000, &b)); /* another one came */
	pthread_join(t, NULL);
	want(0, ev(ep, 0, NULL));
	expect(b, "4");
	expect(b, "late");
	nothing(b);
	say(a, "5");
	want(EPOLLIN | EPOLLOUT, ev(ep, 1000, &b));
	expect(b, "5");

	/* once */
	e.events = EPOLLIN | EPOLLONESHOT;
	ok(epoll_ctl(ep, EPOLL_CTL_MOD, b, &e));
	say(a, "6");
	want(EPOLLIN, ev(ep, 1000, &b));
	want(0, ev(ep, 30, NULL));
	ok(epoll_ctl(ep, EPOLL_CTL_MOD, b, &e));
	want(EPOLLIN, ev(ep, 1000, &b));

	/* what is closed is no member */
	e.events = EPOLLIN;
	ok(epoll_ctl(ep, EPOLL_CTL_MOD, b, &e));
	close(b);
	want(0, ev(ep, 0, NULL));
	b = join(args[0]);
	ok(epoll_ctl(ep, EPOLL_CTL_ADD, b, &e));
	close(ep);
	close(a), close(b), close(pipes[0]), close(pipes[1]);
}

static void case_dup(char **args)
{
	int a = join(args[0]), b = join(args[0]), c, d, e;
	struct rlimit limit;

	c = ok(dup(b));
	d = ok(fcntl(b, F_DUPFD_CLOEXEC, 100));
	want(1, d >= 100);
	want(FD_CLOEXEC, fcntl(d, F_GETFD));
	e = ok(dup2(b, 50));
	want(50, e);
	want(51, dup3(b, 51, O_CLOEXEC));
	want_errno(EINVAL, dup3(b, b, 0));
	want(b, dup2(b, b));
	close(b);
	say(a, "1"), say(a, "2"), say(a, "3"), say(a, "4");
	expect(c, "1");
	close(c);
	expect(d, "2");
	close(d);
	expect(e, "3");
	close(e);
	expect(51, "4");
	say(51, "still the same node");
	expect(a, "still the same node");
	ok(fcntl(51, F_SETFL, O_NONBLOCK));
	want_errno(EAGAIN, read(51, &limit, 1));
	/* over an IPN socket comes something else */
	want(51, dup2(0, 51));
	want_errno(ENOTSOCK, send(51, "x", 1, 0));
	close(51);
	/* the numbers that libipn has are not those a program can count on */
	b = ok(dup(a));
	close(b);
	c = ok(open("/dev/null", O_RDONLY));
	want(b, c);
	close(c);
	getrlimit(RLIMIT_NOFILE, &limit);
	for (int fd = a + 1; fd < (int)limit.rlim_cur && fd < 10000; fd++)
		close(fd);
	b = join(args[0]);
	say(b, "alive");
	expect(a, "alive");
	/* all but the standard ones, a and b */
	want(0, close_range((unsigned int)(a > b ? a : b) + 1, ~0u, 0));
	say(a, "after close_range");
	expect(b, "after close_range");
	closefrom(3);
	want_errno(EBADF, send(a, "x", 1, 0));
	a = join(args[0]);
	b = join(args[0]);
	say(a, "again");
	expect(b, "again");
	close(a), close(b);
}

#define TURNS 300

static void case_fork(char **args)
{
	int a = join(args[0]), b = join(args[0]), go[2], done[2];
	char c;
	pid_t pid;

	/* the child receives and sends, the parent closes */
	ok(pipe(go));
	ok(pipe(done));
	pid = ok(fork());
	if (!pid) {
		close(a);
		want(1, read(go[0], &c, 1));
		expect(b, "to the child");
		say(b, "from the child");
		exit(0);
	}
	close(b);
	say(a, "to the child");
	ok(write(go[1], "x", 1));
	expect(a, "from the child");
	ends_well(pid);

	/* the child closes, or crashes: nothing to the parent */
	b = join(args[0]);
	pid = ok(fork());
	if (!pid) {
		close(a);
		close(b);
		exit(0);
	}
	ends_well(pid);
	pid = ok(fork());
	if (!pid)
		_exit(0);
	ends_well(pid);
	say(a, "parent");
	expect(b, "parent");
	say(b, "back");
	expect(a, "back");

	/* two wait at the same bell: each hears all */
	for (int i = 0; i < 2; i++) {
		pid = ok(fork());
		for (int n = 0; !pid && n < TURNS; n++) {
			char text[16];

			snprintf(text, sizeof(text), "%d", n);
			expect(b, text);
			ok(write(done[1], "x", 1));
		}
		if (!pid)
			exit(0);
	}
	for (int n = 0; n < TURNS; n++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", n);
		say(a, text);
		want(1, read(done[0], &c, 1));
		want(1, read(done[0], &c, 1));
	}
	for (int status; wait(&status) > 0;)
		want(0, status);
	close(a), close(b);
	close(go[0]), close(go[1]), close(done[0]), close(done[1]);
}

/*
 * Made, or bound, before fork(), and connected by the child: the connection is the child's alone.
 * When it has gone the parent may connect.
 */
static void case_unborn(char **args)
{
	struct sockaddr_un sun = address(args[0]), own = address(args[1]);
	int a = join(args[0]), s = fresh(0), bound = fresh(0), other, go[2];
	char c;
	pid_t pid;

	ok(pipe(go));
	ok(bind(bound, (struct sockaddr *)&own, sizeof(own)));
	other = join(args[1]);
	pid = ok(fork());
	if (!pid) {
		ok(connect(s, (struct sockaddr *)&sun, sizeof(sun)));
		ok(connect(bound, NULL, 0));
		say(s, "from the child");
		say(bound, "from the child");
		expect(s, "to the child");
		expect(bound, "to the child");
		want(1, read(go[0], &c, 1));
		exit(0);
	}
	expect(a, "from the child");
	expect(other, "from the child");
	want_errno(ENOTCONN, send(s, "x", 1, 0));
	want_errno(ENOTCONN, recv(s, &c, 1, 0));
	want_errno(EISCONN, connect(s, (struct sockaddr *)&sun, sizeof(sun)));
	want_errno(EISCONN, connect(bound, NULL, 0));
	say(a, "to the child");
	say(other, "to the child");
	ok(write(go[1], "x", 1));
	ends_well(pid);
	for (int i = 0; connect(s, (struct sockaddr *)&sun, sizeof(sun)); i++) {
		/* the manager learns of its end a little later */
		if (errno != EISCONN || i == 1000)
			die("connect after the child");
		nap(10);
	}
	ok(connect(bound, NULL, 0));
	say(s, "from the parent");
	expect(a, "from the parent");
	say(other, "to the parent");
	expect(bound, "to the parent");
}

/* An IPN socket cannot be passed on, whatever is passed along. */
static void case_passed(char **args)
{
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} control = { .align = { .cmsg_len = CMSG_LEN(2 * sizeof(int)),
				 .cmsg_level = SOL_SOCKET,
				 .cmsg_type = SCM_RIGHTS } };
	struct iovec iov = { "x", 1 };
	struct mmsghdr msg = { .msg_hdr = { .msg_iov = &iov,
					    .msg_iovlen = 1,
					    .msg_control = &control,
					    .msg_controllen = sizeof(control) } };
	int pair[2], s = join(args[0]), *fds = (int *)CMSG_DATA(&control.align);
	char c;

	ok(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair));
	fds[0] = pair[0];
	fds[1] = s;
	want_errno(EOPNOTSUPP, sendmsg(pair[0], &msg.msg_hdr, 0));
	want_errno(EOPNOTSUPP, sendmmsg(pair[0], &msg, 1, 0));
	want_errno(EAGAIN, recv(pair[1], &c, 1, 0));
	fds[1] = pair[1];
	want(1, sendmsg(pair[0], &msg.msg_hdr, 0));
	want(1, sendmmsg(pair[0], &msg, 1, 0));
	want(1, recv(pair[1], &c, 1, 0));
	want(1, recv(pair[1], &c, 1, 0));
	msg.msg_hdr.msg_control = (void *)8;
	want_errno(EFAULT, sendmsg(pair[0], &msg.msg_hdr, 0));
	want_errno(EFAULT, sendmsg(pair[0], (void *)8, 0));
	say(s, "still here");
}

/* Children by vfork() share the memory of their parent: what they close is open in it. */
static void case_spawn(char **args)
{
	int a = join(args[0]), b = join(args[0]), c;
	pid_t pid = vfork(); /* NOLINT: it is the point */
	FILE *f;
	char buf[16];

	/* NOLINTBEGIN */
	if (!pid) {
		close(b);
		dup2(0, a);
		execl("/bin/true", "true", (char *)NULL);
		_exit(9);
	}
	/* NOLINTEND */
	ends_well(pid);
	want(0, system("exec true <&- >&-"));
	f = popen("echo there", "r");
	want(1, f && fgets(buf, sizeof(buf), f));
	want(0, strcmp(buf, "there\n"));
	want(0, pclose(f));
	say(a, "still there");
	expect(b, "still there");
	/* stdio closes without a call of close() */
	f = fdopen(b, "r");
	want(1, f != NULL);
	fclose(f);
	c = ok(open("/dev/zero", O_RDONLY));
	want(b, c);
	want(16, read(c, buf, sizeof(buf)));
	close(a);
	close(c);
}

/* A program that was started by another: ARGS: fd, text */
static void case_child(char **args)
{
	say(atoi(args[0]), args[1]);
}

/* However it is started, the next program has the socket, and its parent goes on with it. */
static void case_start(char **args)
{
	int a = join(args[0]), b = join(args[0]);
	char number[16], line[256], self[128] = "";
	char *const child[] = { "plain", "child", number, "vfork", NULL };
	char *const other[] = { "plain", "child", number, "spawn", NULL };
	pid_t pid;
	FILE *f;

	ok(readlink("/proc/self/exe", self, sizeof(self) - 1));
	snprintf(number, sizeof(number), "%d", b);
	snprintf(line, sizeof(line), "%s child %d shell", self, b);
	pid = vfork(); /* NOLINT: it is the point */
	/* NOLINTBEGIN */
	if (!pid) {
		execv(self, child);
		_exit(9);
	}
	/* NOLINTEND */
	ends_well(pid);
	expect(a, "vfork");
	want(0, posix_spawn(&pid, self, NULL, NULL, other, environ));
	ends_well(pid);
	expect(a, "spawn");
	want(0, system(line));
	expect(a, "shell");
	f = popen(line, "r");
	want(0, f ? pclose(f) : -1);
	expect(a, "shell");
	say(b, "parent");
	expect(a, "parent");
	say(a, "to the parent");
	expect(b, "to the parent");
	/* its parent has closed the socket before the program begins */
	want(0, posix_spawn(&pid, self, NULL, NULL, other, environ));
	close(b);
	ends_well(pid);
	expect(a, "spawn");
	close(a);
}

/* The next program: ARGS: fd of b, fd that must not be there */
static void case_heir(char **args)
{
	int b = atoi(args[0]), twin = atoi(args[1]), closed = atoi(args[2]);
	struct sockaddr_un name;
	socklen_t len = sizeof(name);

	want_errno(EBADF, fcntl(closed, F_GETFD));
	ok(getsockname(b, (struct sockaddr *)&name, &len));
	want(AF_IPN, name.sun_family);
	expect(b, "for the heir");
	say(twin, "from the heir");
	close(b);
	say(twin, "again");
	expect(twin, "last");
}

static void case_exec(char **args)
{
	int a, b = join(args[0]), twin = ok(dup(b)), closed = fresh(SOCK_CLOEXEC);
	char nb[16], nt[16], nc[16];
	pid_t pid;

	snprintf(nb, sizeof(nb), "%d", b);
	snprintf(nt, sizeof(nt), "%d", twin);
	snprintf(nc, sizeof(nc), "%d", closed);
	pid = ok(fork());
	if (!pid) {
		execl("/proc/self/exe", "plain", "heir", nb, nt, nc, (char *)NULL);
		_exit(9);
	}
	close(b);
	close(twin);
	close(closed);
	a = join(args[0]);
	say(a, "for the heir");
	expect(a, "from the heir");
	expect(a, "again");
	say(a, "last");
	ends_well(pid);
	close(a);
}

static volatile sig_atomic_t rang;

static void ring(int sig)
{
	rang++;
}

static void install(int sig, int flags)
{
	struct sigaction act = { .sa_handler = ring, .sa_flags = flags };

	ok(sigaction(sig, &act, NULL));
}

struct caller {
	pthread_t who;
	int sig, fd;
	pid_t pid;
};

static void *signal_later(void *arg)
{
	struct caller *c = arg;

	for (int i = 0; i < 3; i++) {
		nap(30);
		pthread_kill(c->who, c->sig);
	}
	nap(30);
	if (c->fd >= 0)
		send(c->fd, "woken", 5, 0);
	return NULL;
}

/* A blocking receive under signals: 0 it went on, or its errno. */
static int under(int sig, int b, int a)
{
	struct caller c = { pthread_self(), sig, a, 0 };
	char buf[16];
	pthread_t t;
	ssize_t n;
	int err;

	rang = 0;
	ok(pthread_create(&t, NULL, signal_later, &c));
	n = recv(b, buf, sizeof(buf), 0);
	err = n < 0 ? errno : 0;
	pthread_join(t, NULL);
	if (!rang)
		die("no signal");
	if (err)
		expect(b, "woken");
	return err;
}

static void case_signals(char **args)
{
	int a = join(args[0]), b = join(args[0]);
	struct pollfd p = { .fd = b, .events = POLLIN };
	struct itimerval timer = { .it_value = { 0, 30000 } };
	struct timeval tv = { 10, 0 };
	sigset_t set, old;

	install(SIGUSR1, SA_RESTART);
	want(0, under(SIGUSR1, b, a));
	want(3, rang);
	install(SIGUSR2, 0);
	want(0, under(SIGUSR1, b, a)); /* one of each kind */
	want(3, rang);
	want(EINTR, under(SIGUSR2, b, a));
	install(SIGUSR1, 0);
	want(EINTR, under(SIGUSR1, b, a));
	signal(SIGUSR1, ring); /* of BSD: restarts */
	want(0, under(SIGUSR1, b, a));

	/* with a time limit there is no going on */
	ok(setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
	want(EINTR, under(SIGUSR1, b, a));

	/* poll never goes on, and ppoll lets in what its mask says */
	install(SIGALRM, SA_RESTART);
	ok(setitimer(ITIMER_REAL, &timer, NULL));
	want_errno(EINTR, poll(&p, 1, 5000));
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	ok(sigprocmask(SIG_BLOCK, &set, &old));
	raise(SIGALRM);
	rang = 0;
	want(0, poll(&p, 1, 20));
	want(0, rang);
	want_errno(EINTR, ppoll(&p, 1, NULL, &old));
	want(1, rang);
	ok(sigprocmask(SIG_SETMASK, &old, NULL));
	close(a), close(b);
}

#define READERS 4
#define ROUNDS 200

struct share {
	int fd;
	int sum, count;
};

static void *take(void *arg)
{
	struct share *x = arg;
	char buf[16];
	ssize_t n;

	while ((n = recv(x->fd, buf, sizeof(buf) - 1, 0)) > 0) {
		buf[n] = '\0';
		x->sum += atoi(buf);
		x->count++;
	}
	return NULL;
}

/* Several threads receive from one socket: each message goes to one. */
static void case_threads(char **args)
{
	int a = join(args[0]), b = join(args[0]), sum = 0, count = 0;
	struct share shares[READERS];
	pthread_t t[READERS];
	char buf[16];

	for (int i = 0; i < READERS; i++) {
		shares[i] = (struct share){ .fd = b };
		if (i & 1)
			shares[i].fd = ok(dup(b));
		ok(pthread_create(&t[i], NULL, take, &shares[i]));
	}
	for (int i = 1; i <= ROUNDS; i++) {
		snprintf(buf, sizeof(buf), "%d", i);
		say(a, buf);
		if (i % 4 == 0)
			nap(1);
	}
	nap(100);
	ok(shutdown(b, SHUT_RDWR)); /* all of them get end of file */
	for (int i = 0; i < READERS; i++) {
		pthread_join(t[i], NULL);
		sum += shares[i].sum;
		count += shares[i].count;
	}
	want(ROUNDS, count);
	want(ROUNDS * (ROUNDS + 1) / 2, sum);
	close(a), close(b);
}

static void case_down(char **args)
{
	want_errno(ENETDOWN, socket(AF_IPN, SOCK_RAW, IPN_BROADCAST));
}

/* What a call costs a program without IPN sockets, then with one: ns. */
static void case_cost(char **args)
{
	for (int with = 0; with < 2; with++) {
		double best = 1e9, start;
		char c;
		int fd = open("/dev/null", O_RDONLY);

		if (with && args[0])
			join(args[0]);
		for (int round = 0; round < 20; round++) {
			start = seconds();
			for (int i = 0; i < 20000; i++)
				want(0, read(fd, &c, 1));
			if (seconds() - start < best)
				best = seconds() - start;
		}
		close(fd);
		printf("%.1f\n", best / 20000 * 1e9);
		if (!args[0])
			return;
	}
}

static const struct {
	const char *name;
	void (*run)(char **args);
} cases[] = {
	{ "peer", case_peer },       { "sender", case_sender },   { "receiver", case_receiver },
	{ "errors", case_errors },   { "later", case_later },     { "calls", case_calls },
	{ "options", case_options }, { "poll", case_poll },       { "select", case_select },
	{ "epoll", case_epoll },     { "dup", case_dup },         { "fork", case_fork },
	{ "exec", case_exec },       { "spawn", case_spawn },     { "heir", case_heir },
	{ "signals", case_signals }, { "threads", case_threads }, { "down", case_down },
	{ "cost", case_cost },       { "memory", case_memory },   { "unborn", case_unborn },
	{ "passed", case_passed },   { "start", case_start },     { "child", case_child },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (strcmp(cases[i].name, argv[1]))
			continue;
		cases[i].run(argv + 2);
		return 0;
	}
	fprintf(stderr, "usage: plain CASE PATH...\n");
	return 2;
}
