// SPDX-License-Identifier: GPL-2.0-or-later
#include "conf.h"

#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/time.h>
#include <sys/wait.h>

int try_bind(int fd, const char *path)
{
	struct sockaddr_un addr = conf_addr(path);

	return X(bind)(fd, (struct sockaddr *)&addr, sizeof(addr));
}

int try_connect(int fd, const char *path)
{
	struct sockaddr_un addr = conf_addr(path);

	return X(connect)(fd, (struct sockaddr *)&addr, sizeof(addr));
}

int try_set(int fd, int option, int value)
{
	return X(setsockopt)(fd, 0, option, &value, sizeof(value));
}

long try_send(int fd, const char *text)
{
	return X(send)(fd, text, strlen(text), MSG_DONTWAIT);
}

long try_recv(int fd, void *buf, size_t size)
{
	return X(recv)(fd, buf, size, MSG_DONTWAIT);
}

struct sockaddr_un conf_addr(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_IPN };

	if (strlen(path) >= sizeof(addr.sun_path))
		FAIL("%s: too long for a path", path);
	memcpy(addr.sun_path, path, strlen(path) + 1);
	return addr;
}

int new_socket(int policy)
{
	return (int)OK(X(socket)(AF_IPN, SOCK_RAW, policy));
}

int bound_to(const char *path, int policy)
{
	int fd = new_socket(policy);

	OK(try_bind(fd, path));
	return fd;
}

int bound(const char *path)
{
	return bound_to(path, IPN_BROADCAST);
}

int founder_of(const char *path, int policy)
{
	int fd = bound_to(path, policy);

	OK(X(connect)(fd, NULL, 0));
	return fd;
}

int founder(const char *path)
{
	return founder_of(path, IPN_BROADCAST);
}

int member(const char *path)
{
	int fd = new_socket(IPN_ANY);

	OK(try_connect(fd, path));
	return fd;
}

int member_at(const char *path, int port)
{
	int fd = new_socket(IPN_ANY);

	set_int(fd, IPN_SO_PORT, port);
	OK(try_connect(fd, path));
	EQ(get_int(fd, IPN_SO_PORT), port);
	return fd;
}

void set_int(int fd, int option, int value)
{
	if (try_set(fd, option, value))
		FAIL("setsockopt(0, %#x, %d): %s", option, value, strerrorname_np(errno));
}

int get_int(int fd, int option)
{
	int value = -99;
	socklen_t len = sizeof(value);

	if (X(getsockopt)(fd, 0, option, &value, &len))
		FAIL("getsockopt(0, %#x): %s", option, strerrorname_np(errno));
	EQ(len, sizeof(value));
	return value;
}

void send_text(int fd, const char *text)
{
	EQ(OK(X(send)(fd, text, strlen(text), 0)), strlen(text));
}

void receive_timeout(int fd, int ms)
{
	struct timeval tv = { ms / 1000, ms % 1000 * 1000 };

	OK(X(setsockopt)(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
}

void gets_bytes(int fd, const void *data, size_t len)
{
	static unsigned char buf[65536];
	ssize_t n;

	receive_timeout(fd, LONG_MS);
	n = X(recv)(fd, buf, sizeof(buf), 0);
	if (n < 0)
		FAIL("recv: %s, not the message of %zu bytes", strerrorname_np(errno), len);
	if ((size_t)n != len || memcmp(buf, data, len))
		FAIL("recv: %zd bytes '%.*s', not the message of %zu bytes '%.*s'", n,
		     n < 40 ? (int)n : 40, buf, len, len < 40 ? (int)len : 40, (const char *)data);
	receive_timeout(fd, 0);
}

void gets_text(int fd, const char *text)
{
	gets_bytes(fd, text, strlen(text));
}

void gets_nothing(int fd)
{
	char buf[64];
	ssize_t n;

	errno = 0;
	n = try_recv(fd, buf, sizeof(buf));
	if (n >= 0)
		FAIL("recv: %zd bytes '%.*s', where nothing should be", n, (int)n, buf);
	if (errno != EAGAIN)
		FAIL("recv: %s, not EAGAIN", strerrorname_np(errno));
}

short polled(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	OK(X(poll)(&p, 1, 0));
	return p.revents;
}

int child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		FAIL("fork: %s", strerrorname_np(errno));
	return pid;
}

void become(unsigned int uid, unsigned int gid, const unsigned int *groups, size_t ngroups)
{
	OK(setgroups(ngroups, groups));
	OK(setresgid(gid, gid, gid));
	OK(setresuid(uid, uid, uid));
}

int child_as(unsigned int uid)
{
	pid_t pid = child();

	if (!pid)
		become(uid, uid, NULL, 0);
	return pid;
}

void join_child(int pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			FAIL("waitpid: %s", strerrorname_np(errno));
	}
	if (WIFSIGNALED(status))
		FAIL("a process of the row: %s", strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status))
		_exit(1); /* it has said why */
}

struct gate gate_new(void)
{
	struct gate g;

	OK(pipe2(g.fd, O_CLOEXEC));
	return g;
}

void gate_open(const struct gate *g)
{
	EQ(write(g->fd[1], "", 1), 1);
}

void gate_wait(const struct gate *g)
{
	struct pollfd p = { .fd = g->fd[0], .events = POLLIN };
	char c;

	if (poll(&p, 1, LONG_MS) != 1 || read(g->fd[0], &c, 1) != 1)
		FAIL("another process of the row has not come so far");
}

static volatile sig_atomic_t signals;

static void on_signal(int signum)
{
	(void)signum;
	signals++;
}

void signals_start(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	const struct itimerval often = { { 0, 2000 }, { 0, 2000 } };

	signals = 0;
	OK(sigaction(SIGALRM, &action, NULL));
	OK(setitimer(ITIMER_REAL, &often, NULL));
}

int signals_stop(void)
{
	const struct itimerval never = { 0 };

	OK(setitimer(ITIMER_REAL, &never, NULL));
	return signals;
}

int command(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	TRUE(r > 0 && (size_t)r < sizeof(line));
	r = system(line);
	return WIFEXITED(r) ? WEXITSTATUS(r) : 255;
}
