// SPDX-License-Identifier: GPL-2.0-or-later
/* Out-of-band messages: who reads and who writes, told to those who want to know. */
#include "conf.h"

#include <signal.h>
#include <sys/wait.h>

/* A node that wants to know: unbound or bound so far. */
static void wants(int fd)
{
	set_int(fd, IPN_SO_HANDLE_OOB, 1);
	set_int(fd, IPN_SO_WANT_OOB_NUMNODES, 1);
}

static int watcher(const char *path)
{
	int fd = new_socket(IPN_BROADCAST);

	wants(fd);
	OK(try_bind(fd, path));
	OK(X(connect)(fd, NULL, 0));
	return fd;
}

/* Receives one message that is out of band. */
static struct numnode_oob news_of(int fd)
{
	struct numnode_oob news;
	struct iovec iov = { &news, sizeof(news) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct pollfd p = { .fd = fd, .events = POLLPRI };

	if (OK(X(poll)(&p, 1, LONG_MS)) != 1)
		FAIL("no news");
	EQ(p.revents & POLLPRI, POLLPRI);
	EQ(OK(X(recvmsg)(fd, &msg, MSG_DONTWAIT)), sizeof(news));
	EQ(msg.msg_flags & MSG_OOB, MSG_OOB);
	EQ(news.level, IPN_ANY);
	EQ(news.tag, IPN_OOB_NUMNODE_TAG);
	return news;
}

/* Sooner or later the counts are these: newer ones may take the place of older ones. */
static void hears(int fd, int readers, int writers)
{
	struct numnode_oob news;

	do
		news = news_of(fd);
	while (news.numreaders != readers || news.numwriters != writers);
}

static void node_options(void)
{
	int fd = new_socket(IPN_BROADCAST), value = 1;

	EQ(get_int(fd, IPN_SO_HANDLE_OOB), 0);
	EQ(get_int(fd, IPN_SO_WANT_OOB_NUMNODES), 0);
	for (socklen_t len = 0; len < sizeof(int); len++) {
		ERR(X(setsockopt)(fd, 0, IPN_SO_HANDLE_OOB, &value, len), EINVAL);
		ERR(X(setsockopt)(fd, 0, IPN_SO_WANT_OOB_NUMNODES, &value, len), EINVAL);
	}
	wants(fd);
	EQ(get_int(fd, IPN_SO_HANDLE_OOB), 1);
	EQ(get_int(fd, IPN_SO_WANT_OOB_NUMNODES), 1);
	OK(try_bind(fd, NET));
	EQ(get_int(fd, IPN_SO_WANT_OOB_NUMNODES), 1);
	set_int(fd, IPN_SO_WANT_OOB_NUMNODES, 0);
	EQ(get_int(fd, IPN_SO_WANT_OOB_NUMNODES), 0);
	EQ(get_int(fd, IPN_SO_HANDLE_OOB), 1);
}

static void on_connect(void)
{
	int w = watcher(NET), a;

	a = member(NET);
	hears(w, 2, 2);
	member(NET);
	hears(w, 3, 3);
	(void)a;
}

static void on_close(void)
{
	int w = watcher(NET), a = member(NET), b = member(NET);

	hears(w, 3, 3);
	OK(X(close)(a));
	hears(w, 2, 2);
	OK(X(close)(b));
	hears(w, 1, 1);
}

static void on_crash(void)
{
	struct gate go = gate_new();
	int w, status, pid = child();

	if (!pid) {
		gate_wait(&go);
		member(NET);
		pause();
	}
	w = watcher(NET);
	gate_open(&go);
	hears(w, 2, 2);
	OK(kill(pid, SIGKILL));
	OK(waitpid(pid, &status, 0));
	hears(w, 1, 1);
}

static void on_shutdown(void)
{
	int w = watcher(NET), a = member(NET), b = member(NET);

	hears(w, 3, 3);
	OK(X(shutdown)(a, SHUT_RD));
	hears(w, 2, 3); /* one side's end is not the other's */
	OK(X(shutdown)(b, SHUT_WR));
	hears(w, 2, 2);
	OK(X(shutdown)(a, SHUT_WR));
	hears(w, 2, 1);
	OK(X(close)(a));
	OK(X(close)(b));
	hears(w, 1, 1);
}

static void one_side_only(void)
{
	int w = watcher(NET), fd = new_socket(IPN_ANY);

	OK(X(shutdown)(fd, SHUT_WR));
	OK(try_connect(fd, NET));
	hears(w, 2, 1);
}

static void no_change_no_news(void)
{
	int w = watcher(NET), a = member(NET), b;

	hears(w, 2, 2);
	OK(X(shutdown)(a, SHUT_RD));
	hears(w, 1, 2);
	OK(X(shutdown)(a, SHUT_RD));
	b = bound(NET); /* is no node */
	OK(X(close)(b));
	b = member(NET);
	EQ(news_of(w).numreaders, 2); /* nothing came before this */
	OK(X(close)(b));
}

static void only_who_wants(void)
{
	int w = watcher(NET), deaf = member(NET), half = new_socket(IPN_ANY);

	set_int(half, IPN_SO_WANT_OOB_NUMNODES, 1); /* takes IPN_SO_HANDLE_OOB, too */
	OK(try_connect(half, NET));
	member(NET);
	hears(w, 4, 4); /* it was told: whoever is to be told has been, or is with the next */
	member(NET);
	hears(w, 5, 5);
	gets_nothing(deaf);
	gets_nothing(half);
	EQ(polled(deaf, POLLIN | POLLPRI), 0);
	EQ(polled(half, POLLIN | POLLPRI), 0);
}

static void when_connected(void)
{
	int fd = founder(NET), a;

	wants(fd);
	a = member(NET);
	hears(fd, 2, 2);
	set_int(fd, IPN_SO_WANT_OOB_NUMNODES, 0);
	OK(X(close)(a));
	send_text(member(NET), "data");
	gets_text(fd, "data");
}

/* Waits until news is there, without taking it. */
static void news_waits(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLPRI };

	EQ(OK(X(poll)(&p, 1, LONG_MS)), 1);
	EQ(p.revents, POLLPRI);
}

static void before_data(void)
{
	int w = watcher(NET), a = member(NET);

	hears(w, 2, 2);
	send_text(a, "data");
	member(NET);
	news_waits(w);
	EQ(news_of(w).numreaders, 3);
	gets_text(w, "data");
}

static void events(void)
{
	int w = watcher(NET), a = member(NET);

	hears(w, 2, 2);
	EQ(polled(w, POLLIN | POLLRDNORM | POLLPRI), 0);
	member(NET);
	news_waits(w);
	EQ(polled(w, POLLIN | POLLRDNORM | POLLPRI), POLLIN | POLLPRI);
	send_text(a, "data");
	EQ(polled(w, POLLIN | POLLRDNORM | POLLPRI), POLLIN | POLLRDNORM | POLLPRI);
	hears(w, 3, 3);
	EQ(polled(w, POLLIN | POLLRDNORM | POLLPRI), POLLIN | POLLRDNORM);
}

static void behind_no_flood(void)
{
	int w = watcher(NET), a = member(NET);

	hears(w, 2, 2);
	for (int i = 0; i < 500; i++)
		send_text(a, "flood");
	member(NET);
	for (int i = 0; i < 500; i++)
		send_text(a, "flood");
	hears(w, 3, 3);
	gets_text(w, "flood");
}

static void newest_counts(void)
{
	int w = watcher(NET), fd[20];

	for (int i = 0; i < 20; i++)
		fd[i] = member(NET);
	for (int i = 0; i < 20; i++)
		OK(X(close)(fd[i]));
	member(NET);
	/* far more changes than could be kept: the last one is told, whatever is not */
	hears(w, 2, 2);
}

/* Its receive side is shut down for data; it can be told all the same. */
static void write_only(void)
{
	int fd = new_socket(IPN_BROADCAST), a;

	wants(fd);
	OK(X(shutdown)(fd, SHUT_RD));
	OK(try_bind(fd, NET));
	OK(X(connect)(fd, NULL, 0));
	a = member(NET);
	hears(fd, 1, 2);
	send_text(a, "not for it");
	OK(X(close)(a));
	hears(fd, 0, 1);
}

static void wakes(void)
{
	struct gate go = gate_new();
	struct numnode_oob news;
	int w, pid = child();

	if (!pid) {
		gate_wait(&go);
		member(NET);
		gate_wait(&go);
		_exit(0);
	}
	w = watcher(NET);
	receive_timeout(w, LONG_MS);
	gate_open(&go);
	do /* a plain receive that waits */
		EQ(OK(X(recv)(w, &news, sizeof(news), 0)), sizeof(news));
	while (news.numreaders != 2);
	gate_open(&go);
	join_child(pid);
	hears(w, 1, 1);
}

static void interface_counts(void)
{
	int w = watcher(NET);

	EQ(command("ipn-fabric attach %s --host confoob0 >/dev/null", NET), 0);
	hears(w, 2, 2);
	EQ(command("ipn-fabric detach %s --port 1 >/dev/null", NET), 0);
	hears(w, 1, 1);
}

static const struct row rows_oob_table[] = {
	{ "oob.options", "IPN_SO_HANDLE_OOB and IPN_SO_WANT_OOB_NUMNODES: 0, set, read back",
	  node_options },
	{ "oob.connect", "a node joins: both counts, MSG_OOB, level and tag", on_connect },
	{ "oob.close", "a node leaves", on_close },
	{ "oob.crash", "a node dies", on_crash },
	{ "oob.shutdown", "shutdown of a side changes that side's count alone", on_shutdown },
	{ "oob.one_side", "a read-only node is no writer", one_side_only },
	{ "oob.no_change", "no news when no count changes", no_change_no_news },
	{ "oob.wanted", "only to nodes that want it and handle it", only_who_wants },
	{ "oob.when_connected", "a connected node can begin, and cease, to want it",
	  when_connected },
	{ "oob.before_data", "before any pending data", before_data },
	{ "oob.poll", "POLLPRI and POLLIN; POLLRDNORM only with data", events },
	{ "oob.flood", "a flood of data does not displace it", behind_no_flood },
	{ "oob.newest", "the newest counts always come", newest_counts },
	{ "oob.write_only", "a node that receives no data is told, too", write_only },
	{ "oob.wakes", "ends a receive that waits", wakes },
	{ "oob.interface", "interfaces count as reader and writer", interface_counts },
};
ROWS(rows_oob);
