// SPDX-License-Identifier: GPL-2.0-or-later
/* LOSSLESS networks: nothing is lost, so a sender may have to wait. */
#include "conf.h"

#include <signal.h>
#include <sys/wait.h>

enum { POOL = 4 };

static int lossless_of(int policy, const char *path, int pool)
{
	int fd = new_socket(policy);

	set_int(fd, IPN_SO_FLAGS, IPN_FLAG_LOSSLESS);
	set_int(fd, IPN_SO_MSGPOOLSIZE, pool);
	OK(try_bind(fd, path));
	OK(X(connect)(fd, NULL, 0));
	return fd;
}

static int lossless(const char *path, int pool)
{
	return lossless_of(IPN_BROADCAST, path, pool);
}

static void fill(int fd, int count)
{
	for (int i = 0; i < count; i++)
		OK(try_send(fd, "x"));
	ERR(try_send(fd, "x"), EAGAIN);
}

static void flag(void)
{
	int fd = new_socket(IPN_BROADCAST);

	set_int(fd, IPN_SO_FLAGS, IPN_FLAG_LOSSLESS);
	EQ(get_int(fd, IPN_SO_FLAGS), IPN_FLAG_LOSSLESS);
	OK(try_bind(fd, NET));
	EQ(get_int(fd, IPN_SO_FLAGS), IPN_FLAG_LOSSLESS);
	EQ(get_int(member(NET), IPN_SO_FLAGS), IPN_FLAG_LOSSLESS);
}

static void full(void)
{
	int a = lossless(NET, POOL), b = member(NET);

	fill(a, POOL);
	for (int i = 0; i < POOL; i++)
		gets_text(b, "x");
	gets_nothing(b);
	fill(a, POOL);
}

static void nonblock(void)
{
	int a = lossless(NET, POOL), on = 1;

	member(NET);
	fill(a, POOL);
	OK(X(ioctl)(a, FIONBIO, &on));
	ERR(X(send)(a, "x", 1, 0), EAGAIN);
}

static void poll_out(void)
{
	int a = lossless(NET, POOL), b = member(NET);

	EQ(polled(a, POLLOUT | POLLWRNORM), POLLOUT | POLLWRNORM);
	fill(a, POOL);
	EQ(polled(a, POLLOUT | POLLWRNORM), 0);
	for (int i = 0; i < POOL; i++)
		gets_text(b, "x");
	EQ(polled(a, POLLOUT | POLLWRNORM), POLLOUT | POLLWRNORM);
}

static void counts_once(void)
{
	int a = lossless(NET, POOL), fd[3];

	for (int i = 0; i < 3; i++)
		fd[i] = member(NET);
	fill(a, POOL);
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < POOL; j++)
			gets_text(fd[i], "x");
}

static void slowest_rules(void)
{
	int a = lossless(NET, POOL), quick = member(NET), slow = member(NET);

	fill(a, POOL);
	for (int i = 0; i < POOL; i++)
		gets_text(quick, "x");
	ERR(try_send(a, "x"), EAGAIN);
	for (int i = 0; i < POOL; i++)
		gets_text(slow, "x");
	fill(a, POOL);
}

/* The pool is the network's: another sender finds it full, too. */
static void whole_network(void)
{
	int a = lossless(NET, POOL), b = member(NET), c = member(NET);

	for (int i = 0; i < POOL; i++)
		OK(try_send(i & 1 ? a : b, "x"));
	ERR(try_send(a, "x"), EAGAIN);
	ERR(try_send(b, "x"), EAGAIN);
	for (int i = 0; i < POOL; i++)
		gets_text(c, "x");
}

static void no_receivers(void)
{
	int fd = lossless(NET, POOL), ear;

	for (int i = 0; i < 100; i++)
		OK(try_send(fd, "x"));
	ear = member(NET);
	gets_nothing(ear);
	fill(fd, POOL);
}

static void blocks(void)
{
	struct gate in = gate_new(), go = gate_new();
	int fd, pid = child();

	if (!pid) {
		gate_wait(&go);
		fd = member(NET);
		gate_open(&in);
		gate_wait(&go);
		for (int i = 0; i < POOL + 1; i++)
			gets_text(fd, "x");
		_exit(0);
	}
	fd = lossless(NET, POOL);
	gate_open(&go);
	gate_wait(&in);
	fill(fd, POOL);
	gate_open(&go);
	EQ(OK(X(send)(fd, "x", 1, 0)), 1); /* however long that takes */
	join_child(pid);
}

static void eintr(void)
{
	int a = lossless(NET, POOL), b = member(NET);

	fill(a, POOL);
	signals_start();
	ERR(X(send)(a, "y", 1, 0), EINTR);
	TRUE(signals_stop() > 0);
	for (int i = 0; i < POOL; i++)
		gets_text(b, "x");
	gets_nothing(b); /* what was interrupted was not sent */
}

static void poll_wakes(void)
{
	struct gate in = gate_new(), go = gate_new();
	struct pollfd p = { .events = POLLOUT };
	int pid = child();

	if (!pid) {
		int fd;

		gate_wait(&go);
		fd = member(NET);
		gate_open(&in);
		gate_wait(&go);
		for (int i = 0; i < POOL; i++)
			gets_text(fd, "x");
		gate_wait(&go);
		_exit(0);
	}
	p.fd = lossless(NET, POOL);
	gate_open(&go);
	gate_wait(&in);
	fill(p.fd, POOL);
	gate_open(&go);
	EQ(OK(X(poll)(&p, 1, LONG_MS)), 1);
	EQ(p.revents, POLLOUT);
	gate_open(&go);
	join_child(pid);
}

/* Who holds the pool and goes in one of these ways holds it no longer. */
enum way { SHUT, CLOSE, KILL };

static void holder_goes(enum way way)
{
	struct gate in = gate_new(), go = gate_new();
	int fd, status, pid = child();

	if (!pid) {
		gate_wait(&go);
		fd = member(NET);
		gate_open(&in);
		gate_wait(&go);
		if (way == SHUT)
			OK(X(shutdown)(fd, SHUT_RD));
		else if (way == CLOSE)
			OK(X(close)(fd));
		else
			kill(getpid(), SIGKILL);
		gate_wait(&go);
		_exit(0);
	}
	fd = lossless(NET, POOL);
	gate_open(&go);
	gate_wait(&in);
	fill(fd, POOL);
	gate_open(&go);
	EQ(OK(X(send)(fd, "x", 1, 0)), 1);
	gate_open(&go);
	OK(waitpid(pid, &status, 0));
}

static void holder_shuts(void)
{
	holder_goes(SHUT);
}

static void holder_closes(void)
{
	holder_goes(CLOSE);
}

static void holder_dies(void)
{
	holder_goes(KILL);
}

static void nothing_lost(void)
{
	enum { READERS = 3, STREAM = 3000 };
	struct gate in = gate_new(), go = gate_new();
	int pid[READERS], fd;
	char text[16];

	for (int r = 0; r < READERS; r++) {
		pid[r] = child();
		if (pid[r])
			continue;
		gate_wait(&go);
		fd = member(NET);
		gate_open(&in);
		for (int i = 0; i < STREAM; i++) {
			snprintf(text, sizeof(text), "%d", i);
			gets_text(fd, text);
		}
		_exit(0);
	}
	fd = lossless(NET, POOL);
	for (int r = 0; r < READERS; r++)
		gate_open(&go);
	for (int r = 0; r < READERS; r++)
		gate_wait(&in);
	for (int i = 0; i < STREAM; i++) {
		snprintf(text, sizeof(text), "%d", i);
		send_text(fd, text);
	}
	for (int r = 0; r < READERS; r++)
		join_child(pid[r]);
}

/* Frames: to, from, type. */
#define A "\2\1\1\1\1\1"
#define B "\2\1\1\1\1\2"
#define C "\2\1\1\1\1\3"
#define TYPE "\x88\xb6"

static void switch_one(void)
{
	int a = lossless_of(IPN_VDESWITCH, NET, POOL), b = member(NET), c = member(NET);

	send_text(b, A B TYPE);
	gets_text(a, A B TYPE);
	gets_text(c, A B TYPE);
	for (int i = 0; i < POOL; i++)
		OK(try_send(a, B A TYPE));
	EQ(polled(a, POLLOUT), POLLOUT);
	ERR(try_send(a, B A TYPE), EAGAIN);
	EQ(polled(a, POLLOUT), 0);
	ERR(try_send(c, B C TYPE), EAGAIN);
	OK(try_send(b, A B TYPE)); /* another one's is not full */
	EQ(polled(b, POLLOUT), POLLOUT);
	for (int i = 0; i < POOL; i++)
		gets_text(b, B A TYPE);
	EQ(polled(a, POLLOUT), POLLOUT);
	OK(try_send(a, B A TYPE));
	gets_text(b, B A TYPE);
	gets_nothing(b);
	gets_nothing(c);
}

static const struct row rows_lossless_table[] = {
	{ "lossless.flag", "IPN_SO_FLAGS: IPN_FLAG_LOSSLESS, read by every member", flag },
	{ "lossless.full", "the pool is full: EAGAIN, until messages are read", full },
	{ "lossless.nonblock", "the same with O_NONBLOCK", nonblock },
	{ "lossless.poll_out", "no POLLOUT while the pool is full", poll_out },
	{ "lossless.counts_once", "a message with many recipients counts once", counts_once },
	{ "lossless.slowest", "a message is pending until the last has read it", slowest_rules },
	{ "lossless.network", "the pool is the whole network's", whole_network },
	{ "lossless.switch", "a switch: what is for one fills the pool of that one alone",
	  switch_one },
	{ "lossless.no_receivers", "what nobody receives is not pending", no_receivers },
	{ "lossless.blocks", "a send waits until there is room", blocks },
	{ "lossless.eintr", "a signal ends a send that waits: EINTR, nothing sent", eintr },
	{ "lossless.poll_wakes", "a poll for POLLOUT waits until there is room", poll_wakes },
	{ "lossless.shutdown", "a receiver that shuts its receive side down holds nobody up",
	  holder_shuts },
	{ "lossless.close", "nor one that leaves", holder_closes },
	{ "lossless.crash", "nor one that dies", holder_dies },
	{ "lossless.nothing_lost", "all receivers get all messages, in order", nothing_lost },
};
ROWS(rows_lossless);
