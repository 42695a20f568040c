// SPDX-License-Identifier: GPL-2.0-or-later
/* Waiting: receive, its time limit, signals, poll. */
#include "conf.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/time.h>
#include <time.h>

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void recv_waits(void)
{
	struct gate in = gate_new();
	int fd, pid = child();

	if (!pid) {
		gate_wait(&in);
		fd = member(NET);
		send_text(fd, "at last");
		_exit(0);
	}
	fd = founder(NET);
	gate_open(&in);
	gets_text(fd, "at last");
	join_child(pid);
}

static void recv_rcvtimeo(void)
{
	int fd = founder(NET);
	struct timeval tv = { 0 };
	socklen_t len = sizeof(tv);
	double start;
	char c;

	receive_timeout(fd, 60);
	OK(X(getsockopt)(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, &len));
	EQ(tv.tv_sec, 0);
	TRUE(tv.tv_usec >= 60000 && tv.tv_usec < 80000); /* the kernel rounds */
	start = now_ms();
	ERR(X(recv)(fd, &c, 1, 0), EAGAIN);
	TRUE(now_ms() - start >= 59);
}

static void recv_eintr(void)
{
	int fd = founder(NET);
	char c;

	signals_start();
	ERR(X(recv)(fd, &c, 1, 0), EINTR);
	TRUE(signals_stop() > 0);
	gets_nothing(fd);
	OK(X(close)(member(NET))); /* and the socket works as before */
}

static void poll_eintr(void)
{
	struct pollfd p = { .fd = founder(NET), .events = POLLIN };

	signals_start();
	ERR(X(poll)(&p, 1, -1), EINTR);
	TRUE(signals_stop() > 0);
}

/* LOSSY: neither a signal nor a slow receiver holds a sender up. */
static void send_no_eintr(void)
{
	int fd = founder(NET), slow = member(NET);

	signals_start();
	for (int i = 0; i < 20000; i++)
		EQ(X(send)(fd, "x", 1, 0), 1);
	signals_stop();
	gets_text(slow, "x");
}

static void *shut_all(void *arg)
{
	int fd = *(int *)arg;

	if (X(shutdown)(fd, SHUT_RDWR))
		FAIL("shutdown: %s", strerrorname_np(errno));
	return NULL;
}

/* Whether the other thread comes before or in the wait does not matter: the receive ends. */
static void recv_shutdown_ends(void)
{
	int fd = founder(NET);
	pthread_t thread;
	char c;

	EQ(pthread_create(&thread, NULL, shut_all, &fd), 0);
	EQ(X(recv)(fd, &c, 1, 0), 0);
	EQ(pthread_join(thread, NULL), 0);
}

static void poll_in(void)
{
	int a = founder(NET), b = member(NET);

	EQ(polled(b, POLLIN | POLLRDNORM), 0);
	send_text(a, "x");
	EQ(polled(b, POLLIN), POLLIN);
	EQ(polled(b, POLLIN | POLLRDNORM), POLLIN | POLLRDNORM);
	gets_text(b, "x");
	EQ(polled(b, POLLIN | POLLRDNORM), 0);
}

static void poll_out(void)
{
	int a = founder(NET);

	EQ(polled(a, POLLOUT | POLLWRNORM), POLLOUT | POLLWRNORM);
	for (int i = 0; i < 100; i++)
		send_text(a, "x");
	EQ(polled(a, POLLOUT), POLLOUT); /* LOSSY */
	OK(X(shutdown)(a, SHUT_WR));
	EQ(polled(a, POLLOUT | POLLWRNORM) & (POLLOUT | POLLWRNORM), 0);
}

static void poll_no_pri(void)
{
	int a = founder(NET), b = member(NET);

	send_text(a, "x");
	EQ(polled(b, POLLIN | POLLPRI), POLLIN); /* data is not out of band */
}

static void poll_waits(void)
{
	struct gate in = gate_new();
	struct pollfd p = { .events = POLLIN };
	int pid = child();

	if (!pid) {
		int fd;

		gate_wait(&in);
		fd = member(NET);
		send_text(fd, "x");
		gets_text(fd, "got it"); /* its end before that would be an event, too */
		_exit(0);
	}
	p.fd = founder(NET);
	gate_open(&in);
	EQ(OK(X(poll)(&p, 1, LONG_MS)), 1);
	EQ(p.revents, POLLIN);
	gets_text(p.fd, "x");
	send_text(p.fd, "got it");
	join_child(pid);
}

static void poll_timeout(void)
{
	struct pollfd p = { .fd = founder(NET), .events = POLLIN };
	double start = now_ms();

	EQ(OK(X(poll)(&p, 1, 50)), 0);
	TRUE(now_ms() - start >= 49);
	EQ(p.revents, 0);
}

static void poll_many(void)
{
	struct pollfd p[4] = { { .events = POLLIN },
			       { .events = POLLIN },
			       { .events = POLLIN },
			       { .fd = -1, .events = POLLIN } };
	int a = founder(NET), pipes[2];

	OK(pipe(pipes));
	p[0].fd = member(NET);
	p[1].fd = pipes[0];
	p[2].fd = founder("other");
	EQ(OK(X(poll)(p, 4, 0)), 0);
	EQ(write(pipes[1], "x", 1), 1);
	EQ(OK(X(poll)(p, 4, LONG_MS)), 1);
	EQ(p[1].revents, POLLIN);
	EQ(p[0].revents, 0);
	send_text(a, "x");
	EQ(OK(X(poll)(p, 4, LONG_MS)), 2);
	EQ(p[0].revents, POLLIN);
	EQ(p[2].revents, 0);
	EQ(p[3].revents, 0);
}

static void poll_eof(void)
{
	int fd = founder(NET);

	OK(X(shutdown)(fd, SHUT_RDWR));
	TRUE(polled(fd, POLLIN) & POLLIN); /* a read would not wait */
	TRUE(polled(fd, 0) & POLLHUP);
}

static void poll_closed(void)
{
	int fd = founder(NET);

	OK(X(close)(fd));
	EQ(polled(fd, POLLIN), POLLNVAL);
}

static const struct row rows_wait_table[] = {
	{ "wait.recv", "a receive waits for a message of another process", recv_waits },
	{ "wait.rcvtimeo", "SO_RCVTIMEO: EAGAIN after that time", recv_rcvtimeo },
	{ "wait.recv_eintr", "a signal ends a receive that waits: EINTR", recv_eintr },
	{ "wait.poll_eintr", "a signal ends a poll that waits: EINTR", poll_eintr },
	{ "wait.send_no_eintr", "LOSSY: no EAGAIN, no EINTR to a sender", send_no_eintr },
	{ "wait.shutdown_ends", "shutdown by another thread ends a receive that waits",
	  recv_shutdown_ends },
	{ "poll.in", "POLLIN, POLLRDNORM: a message", poll_in },
	{ "poll.out", "POLLOUT, POLLWRNORM: a send would not wait", poll_out },
	{ "poll.no_pri", "POLLPRI is not for data", poll_no_pri },
	{ "poll.waits", "poll waits for a message of another process", poll_waits },
	{ "poll.timeout", "poll ends after its time", poll_timeout },
	{ "poll.many", "sockets of several networks and others together", poll_many },
	{ "poll.eof", "everything shut down: readable, and POLLHUP", poll_eof },
	{ "poll.closed", "a closed descriptor: POLLNVAL", poll_closed },
};
ROWS(rows_wait);
