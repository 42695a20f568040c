// SPDX-License-Identifier: GPL-2.0-or-later
/* socket, bind, connect, getsockname, shutdown, close: who is in, and who is not. */
#include "conf.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

/*
 * socket
 */

static void socket_raw(void)
{
	OK(X(socket)(AF_IPN, SOCK_RAW, IPN_ANY));
	OK(X(socket)(AF_IPN, SOCK_RAW, IPN_BROADCAST));
	OK(X(socket)(AF_IPN, SOCK_RAW, IPN_VDESWITCH));
}

static void socket_type(void)
{
	const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET, SOCK_RDM, 0, 9 };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		ERR(X(socket)(AF_IPN, types[i], IPN_BROADCAST), EPROTOTYPE);
}

static void socket_policy(void)
{
	const int unknown[] = { 63, 64, 1000, -1, 0x7fffffff };

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		ERR(X(socket)(AF_IPN, SOCK_RAW, unknown[i]), EPROTONOSUPPORT);
}

static void socket_cloexec(void)
{
	EQ(fcntl(new_socket(IPN_ANY), F_GETFD) & FD_CLOEXEC, 0);
	EQ(fcntl((int)OK(X(socket)(AF_IPN, SOCK_RAW | SOCK_CLOEXEC, 0)), F_GETFD) & FD_CLOEXEC,
	   FD_CLOEXEC);
}

static void socket_nonblock(void)
{
	int fd = (int)OK(X(socket)(AF_IPN, SOCK_RAW | SOCK_NONBLOCK, IPN_BROADCAST));
	char c;

	EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	EQ(fcntl(new_socket(IPN_ANY), F_GETFL) & O_NONBLOCK, 0);
	OK(try_bind(fd, NET));
	OK(X(connect)(fd, NULL, 0));
	ERR(X(recv)(fd, &c, 1, 0), EAGAIN);
}

static void socket_lowest(void)
{
	int low = (int)OK(open("/dev/null", O_RDONLY)), fd;

	OK(close(low));
	fd = new_socket(IPN_ANY);
	EQ(fd, low);
}

#ifndef CONFORMANCE_PLAIN /* `ipn-fabric run` has found the fabric already */
static void socket_no_fabric(void)
{
	OK(setenv("IPN_FABRIC_RUN_DIR", "/nonexistent", 1));
	ERR(X(socket)(AF_IPN, SOCK_RAW, IPN_ANY), ENETDOWN);
}
#endif

/*
 * bind
 */

static mode_t mode_of(const char *path)
{
	struct stat st;

	OK(lstat(path, &st));
	return st.st_mode;
}

static void bind_creates(void)
{
	bound(NET);
	TRUE(S_ISSOCK(mode_of(NET)));
}

static void bind_mode_default(void)
{
	umask(027);
	bound(NET);
	EQ(mode_of(NET) & 07777, 0750);
}

static void bind_mode_umask(void)
{
	const struct {
		int mode;
		mode_t umask, wanted;
	} cases[] = {
		{ 0777, 0, 0777 },    { 0666, 022, 0644 }, { 0700, 077, 0700 },
		{ 0771, 0007, 0770 }, { 0444, 0, 0444 },   { 0123, 0, 0123 },
	};
	char path[8];

	for (int i = 0; i < (int)(sizeof(cases) / sizeof(cases[0])); i++) {
		int fd = new_socket(IPN_BROADCAST);

		snprintf(path, sizeof(path), "n%d", i);
		set_int(fd, IPN_SO_MODE, cases[i].mode);
		umask(cases[i].umask);
		OK(try_bind(fd, path));
		EQ(mode_of(path) & 07777, cases[i].wanted);
	}
}

static void bind_owner(void)
{
	struct stat st;
	int pid = child_as(OTHER);

	if (!pid) {
		bound(NET);
		OK(stat(NET, &st));
		EQ(st.st_uid, OTHER);
		EQ(st.st_gid, OTHER);
		_exit(0);
	}
	join_child(pid);
}

static void bind_options(void)
{
	int fd = new_socket(IPN_BROADCAST), other;

	set_int(fd, IPN_SO_MTU, 200);
	set_int(fd, IPN_SO_NUMNODES, 3);
	set_int(fd, IPN_SO_MSGPOOLSIZE, 5);
	OK(try_bind(fd, NET));
	other = member(NET);
	EQ(get_int(other, IPN_SO_MTU), 200);
	EQ(get_int(other, IPN_SO_NUMNODES), 3);
	EQ(get_int(other, IPN_SO_MSGPOOLSIZE), 5);
}

static void bind_joins(void)
{
	int first = new_socket(IPN_BROADCAST), second = new_socket(IPN_BROADCAST);

	set_int(first, IPN_SO_MTU, 300);
	OK(try_bind(first, NET));
	set_int(second, IPN_SO_MTU, 400); /* too late: the network has its MTU */
	OK(try_bind(second, NET));
	EQ(get_int(second, IPN_SO_MTU), 300);
}

static void bind_any_joins(void)
{
	bound(NET);
	bound_to(NET, IPN_ANY);
}

static void bind_any_creates(void)
{
	int fd = new_socket(IPN_ANY);

	ERR(try_bind(fd, NET), EINVAL);
	ERR(access(NET, F_OK), ENOENT);
	bound(NET);
	OK(try_bind(fd, NET)); /* a failed bind leaves the socket as it was */
}

static void bind_twice(void)
{
	int fd = bound(NET), joined = member(NET);

	ERR(try_bind(fd, NET), EISCONN);
	ERR(try_bind(fd, "other"), EISCONN);
	ERR(try_bind(joined, NET), EISCONN);
	ERR(access("other", F_OK), ENOENT);
}

static void bind_path_errors(void)
{
	int fd = new_socket(IPN_BROADCAST), file = (int)OK(creat("file", 0666));

	OK(close(file));
	ERR(try_bind(fd, "nowhere/net"), ENOENT);
	ERR(try_bind(fd, "file/net"), ENOTDIR);
	OK(symlink("loop", "loop"));
	ERR(try_bind(fd, "loop/net"), ELOOP);
	OK(try_bind(fd, NET));
}

static void bind_eacces(void)
{
	int pid;

	OK(mkdir("closed", 0700));
	OK(mkdir("readonly", 0755));
	pid = child_as(NOBODY);
	if (!pid) {
		int fd = new_socket(IPN_BROADCAST);

		ERR(try_bind(fd, "closed/net"), EACCES);
		ERR(try_bind(fd, "readonly/net"), EACCES);
		_exit(0);
	}
	join_child(pid);
}

/* What is there is no live network: a file, a directory, a dead socket, a stranger's socket. */
static void bind_refused(void)
{
	int fd = new_socket(IPN_BROADCAST), server = (int)OK(socket(AF_UNIX, SOCK_STREAM, 0));
	struct sockaddr_un addr = { AF_UNIX, "unix" };

	OK(close((int)OK(creat("file", 0666))));
	OK(mkdir("dir", 0777));
	OK(mkfifo("fifo", 0777));
	OK(bind(server, (struct sockaddr *)&addr, sizeof(addr)));
	OK(listen(server, 1));
	ERR(try_bind(fd, "file"), ECONNREFUSED);
	ERR(try_bind(fd, "dir"), ECONNREFUSED);
	ERR(try_bind(fd, "fifo"), ECONNREFUSED);
	ERR(try_bind(fd, "unix"), ECONNREFUSED);
	OK(X(close)(bound("dead")));
	ERR(try_bind(fd, "dead"), ECONNREFUSED);
}

static void bind_proto(void)
{
	int fd = new_socket(IPN_VDESWITCH);

	bound(NET);
	ERR(try_bind(fd, NET), EPROTO);
	ERR(try_connect(fd, NET), EPROTO);
	OK(try_bind(fd, "switch"));
	ERR(try_bind(new_socket(IPN_BROADCAST), "switch"), EPROTO);
	ERR(try_connect(new_socket(IPN_BROADCAST), "switch"), EPROTO);
}

/* Many make one path at the same time: the first does, and the others join it or lose. */
static void bind_race(void)
{
	enum { RACERS = 6 };
	struct gate go = gate_new(), done = gate_new(), end = gate_new();
	int pid[RACERS];

	for (int i = 0; i < RACERS; i++) {
		pid[i] = child();
		if (!pid[i]) {
			int fd = new_socket(IPN_BROADCAST);

			gate_wait(&go);
			if (try_bind(fd, NET) && errno != EADDRINUSE && errno != ECONNREFUSED)
				FAIL("bind: %s", strerrorname_np(errno));
			gate_open(&done);
			gate_wait(&end);
			_exit(0);
		}
	}
	for (int i = 0; i < RACERS; i++)
		gate_open(&go);
	for (int i = 0; i < RACERS; i++)
		gate_wait(&done);
	founder(NET); /* one of them made it, it stands */
	for (int i = 0; i < RACERS; i++)
		gate_open(&end);
	for (int i = 0; i < RACERS; i++)
		join_child(pid[i]);
}

static void bind_carries_nothing(void)
{
	int fd = bound(NET), a = member(NET), b = member(NET);
	char buf[8];

	send_text(a, "hello");
	gets_text(b, "hello");
	ERR(try_recv(fd, buf, sizeof(buf)), ENOTCONN);
	ERR(try_send(fd, "x"), ENOTCONN);
	OK(X(connect)(fd, NULL, 0));
	gets_nothing(fd); /* what was sent before is not for it */
}

/*
 * connect
 */

static void connect_unbound(void)
{
	int a = founder(NET), b = member(NET);

	send_text(a, "to b");
	gets_text(b, "to b");
	send_text(b, "to a");
	gets_text(a, "to a");
}

static void connect_null(void)
{
	int fd = bound(NET);

	OK(X(connect)(fd, NULL, 0));
	OK(try_send(fd, "x"));
}

static void connect_same_path(void)
{
	int fd = bound(NET);

	OK(link(NET, "same"));
	OK(try_connect(fd, "same"));
	OK(try_send(fd, "x"));
}

static void connect_other_path(void)
{
	int fd = bound(NET);

	bound("other");
	TRUE(try_connect(fd, "other") == -1);
	TRUE(errno == EINVAL || errno == EISCONN);
	OK(X(connect)(fd, NULL, 0));
}

static void connect_null_unbound(void)
{
	ERR(X(connect)(new_socket(IPN_ANY), NULL, 0), EINVAL);
}

static void connect_twice(void)
{
	int fd = founder(NET), other = member(NET);

	ERR(X(connect)(fd, NULL, 0), EISCONN);
	ERR(try_connect(fd, NET), EISCONN);
	ERR(try_connect(other, NET), EISCONN);
	bound("second");
	ERR(try_connect(other, "second"), EISCONN);
}

static void connect_refused(void)
{
	int fd = new_socket(IPN_ANY), dead = bound("dead");

	OK(close((int)OK(creat("file", 0666))));
	OK(mkdir("dir", 0777));
	OK(X(close)(dead));
	ERR(try_connect(fd, "file"), ECONNREFUSED);
	ERR(try_connect(fd, "dir"), ECONNREFUSED);
	ERR(try_connect(fd, "dead"), ECONNREFUSED);
	ERR(try_connect(fd, "nothing"), ENOENT);
	ERR(try_connect(fd, "file/net"), ENOTDIR);
	bound(NET);
	OK(try_connect(fd, NET)); /* none of these changed the socket */
}

static void connect_any(void)
{
	bound(NET);
	OK(try_connect(new_socket(IPN_ANY), NET));
	OK(try_connect(new_socket(IPN_BROADCAST), NET));
	bound_to("switch", IPN_VDESWITCH);
	OK(try_connect(new_socket(IPN_ANY), "switch"));
}

static void connect_full(void)
{
	int fd = new_socket(IPN_BROADCAST), a, late = new_socket(IPN_ANY);

	set_int(fd, IPN_SO_NUMNODES, 2);
	OK(try_bind(fd, NET));
	a = member(NET);
	member(NET);
	ERR(X(connect)(fd, NULL, 0), EADDRNOTAVAIL);
	ERR(try_connect(late, NET), EADDRNOTAVAIL);
	OK(X(close)(a));
	OK(try_connect(late, NET));
}

static void connect_port(void)
{
	int a = new_socket(IPN_ANY), b = new_socket(IPN_ANY);

	bound(NET);
	set_int(a, IPN_SO_PORT, 7);
	set_int(b, IPN_SO_PORT, 7);
	OK(try_connect(a, NET));
	EQ(get_int(a, IPN_SO_PORT), 7);
	ERR(try_connect(b, NET), EADDRNOTAVAIL);
	set_int(b, IPN_SO_PORT, 32);
	ERR(try_connect(b, NET), EADDRNOTAVAIL);
	set_int(b, IPN_SO_PORT, 31);
	OK(try_connect(b, NET));
	EQ(get_int(b, IPN_SO_PORT), 31);
}

static void connect_lowest_port(void)
{
	int a = founder(NET), b = member(NET), c = member(NET);

	EQ(get_int(a, IPN_SO_PORT), 0);
	EQ(get_int(b, IPN_SO_PORT), 1);
	EQ(get_int(c, IPN_SO_PORT), 2);
	OK(X(close)(b));
	EQ(get_int(member(NET), IPN_SO_PORT), 1);
}

static void connect_hears_no_past(void)
{
	int a = founder(NET), b = member(NET), c;

	send_text(a, "before");
	c = member(NET);
	send_text(a, "after");
	gets_text(c, "after");
	gets_text(b, "before");
	gets_text(b, "after");
}

/*
 * getsockname
 */

static void name_is(int fd, const char *path)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);

	memset(&addr, 0xff, sizeof(addr));
	OK(X(getsockname)(fd, (struct sockaddr *)&addr, &len));
	EQ(addr.sun_family, AF_IPN);
	TRUE(len > offsetof(struct sockaddr_un, sun_path) + strlen(path));
	TRUE(!strcmp(addr.sun_path, path));
}

static void name_of_network(void)
{
	name_is(bound(NET), NET);
	name_is(founder("other"), "other");
	name_is(member(NET), NET);
}

static void name_unbound(void)
{
	struct sockaddr_un addr;
	socklen_t len = sizeof(addr);
	int fd = new_socket(IPN_BROADCAST);

	ERR(X(getsockname)(fd, (struct sockaddr *)&addr, &len), ENOTCONN);
	ERR(try_connect(fd, "nothing"), ENOENT);
	ERR(X(getsockname)(fd, (struct sockaddr *)&addr, &len), ENOTCONN);
}

static void name_short(void)
{
	struct {
		struct sockaddr_un addr;
		char guard;
	} a;
	socklen_t len = 4;

	memset(&a, '!', sizeof(a));
	OK(X(getsockname)(bound(NET), (struct sockaddr *)&a, &len));
	TRUE(((char *)&a)[4] == '!'); /* nothing beyond what was offered */
	TRUE(len > 4);                /* and how much there would have been */
}

/*
 * shutdown
 */

static void shutdown_before_connect(void)
{
	int talker = new_socket(IPN_BROADCAST), ear = new_socket(IPN_ANY);
	char c;

	OK(X(shutdown)(talker, SHUT_RD));
	OK(try_bind(talker, NET));
	OK(X(connect)(talker, NULL, 0));
	OK(X(shutdown)(ear, SHUT_WR));
	OK(try_connect(ear, NET));
	ERR(try_recv(talker, &c, 1), EPIPE);
	ERR(try_send(ear, "x"), EPIPE);
	send_text(talker, "hello");
	gets_text(ear, "hello");
}

static void shutdown_both_before(void)
{
	int fd = new_socket(IPN_ANY);

	bound(NET);
	OK(X(shutdown)(fd, SHUT_RDWR));
	ERR(try_connect(fd, NET), EACCES);
	fd = new_socket(IPN_ANY);
	OK(X(shutdown)(fd, SHUT_RD));
	OK(X(shutdown)(fd, SHUT_WR));
	ERR(try_connect(fd, NET), EACCES);
}

static void shutdown_never_back(void)
{
	int fd = founder(NET);

	OK(X(shutdown)(fd, SHUT_WR));
	OK(X(shutdown)(fd, SHUT_WR));
	ERR(try_send(fd, "x"), EPIPE);
	OK(X(shutdown)(fd, SHUT_RD));
	ERR(try_send(fd, "x"), ECONNRESET);
}

static void shutdown_read_flushes(void)
{
	int a = founder(NET), b = member(NET);
	char c;

	send_text(a, "pending");
	OK(X(shutdown)(b, SHUT_RD));
	ERR(try_recv(b, &c, 1), EPIPE);
	EQ(polled(b, POLLIN) & POLLIN, POLLIN); /* that does not wait */
	OK(try_send(b, "still sends"));
	gets_text(a, "still sends");
}

static void shutdown_write_reads_on(void)
{
	int a = founder(NET), b = member(NET);

	send_text(a, "pending");
	OK(X(shutdown)(b, SHUT_WR));
	gets_text(b, "pending");
	send_text(a, "more");
	gets_text(b, "more");
}

static void shutdown_all(void)
{
	int a = founder(NET), b = member(NET);
	char c;

	send_text(a, "lost");
	OK(X(shutdown)(b, SHUT_RDWR));
	EQ(OK(try_recv(b, &c, 1)), 0);
	ERR(try_send(b, "x"), ECONNRESET);
}

/*
 * The end of a node.
 */

static void close_frees_port(void)
{
	int a, b;

	bound(NET);
	a = member_at(NET, 4);
	b = new_socket(IPN_ANY);
	set_int(b, IPN_SO_PORT, 4);
	ERR(try_connect(b, NET), EADDRNOTAVAIL);
	OK(X(close)(a));
	OK(try_connect(b, NET));
}

static void close_bad(void)
{
	int fd = new_socket(IPN_ANY);
	char c;

	OK(X(close)(fd));
	ERR(X(close)(fd), EBADF);
	ERR(try_recv(fd, &c, 1), EBADF);
	ERR(try_bind(fd, NET), EBADF);
}

/* A process that ends by itself, and one that is killed: their ports are free. */
static void ends(bool killed)
{
	struct gate in = gate_new();
	int fd, pid = child(), status;

	if (!pid) {
		fd = new_socket(IPN_BROADCAST);
		OK(try_bind(fd, NET));
		set_int(fd, IPN_SO_PORT, 3);
		OK(X(connect)(fd, NULL, 0));
		gate_open(&in);
		if (killed)
			pause();
		_exit(0);
	}
	gate_wait(&in);
	if (killed) {
		bound(NET); /* keeps the network */
		OK(kill(pid, SIGKILL));
		OK(waitpid(pid, &status, 0));
		OK(X(close)(member_at(NET, 3)));
	} else {
		OK(waitpid(pid, &status, 0));
		ERR(try_connect(new_socket(IPN_ANY), NET), ECONNREFUSED);
	}
}

static void exit_leaves(void)
{
	ends(false);
}

static void crash_leaves(void)
{
	ends(true);
}

static void last_node_ends(void)
{
	int a = founder(NET), b = member(NET);

	OK(X(close)(a));
	OK(try_send(b, "alone"));
	a = member(NET); /* the network does not need who made it */
	OK(X(close)(a));
	OK(X(close)(b));
	ERR(try_connect(new_socket(IPN_ANY), NET), ECONNREFUSED);
}

static void bound_keeps(void)
{
	int a = bound(NET), b = member(NET);

	OK(X(close)(b));
	b = member(NET);
	OK(X(close)(b));
	OK(X(close)(a));
	ERR(try_connect(new_socket(IPN_ANY), NET), ECONNREFUSED);
}

static const struct row rows_calls_table[] = {
	{ "socket.raw", "SOCK_RAW with a policy, or IPN_ANY, is a socket", socket_raw },
	{ "socket.type", "any type but SOCK_RAW: EPROTOTYPE", socket_type },
	{ "socket.policy", "an unknown policy: EPROTONOSUPPORT", socket_policy },
	{ "socket.cloexec", "SOCK_CLOEXEC is honoured, and only then is the flag set",
	  socket_cloexec },
	{ "socket.nonblock", "SOCK_NONBLOCK is honoured: a receive does not wait",
	  socket_nonblock },
	{ "socket.lowest", "the descriptor is the lowest that is free", socket_lowest },
#ifndef CONFORMANCE_PLAIN
	{ "socket.no_fabric", "no fabric runs: ENETDOWN", socket_no_fabric },
#endif
	{ "bind.creates", "an absent path becomes a socket inode", bind_creates },
	{ "bind.mode_default", "its mode is 0777 less the umask", bind_mode_default },
	{ "bind.mode_umask", "its mode is IPN_SO_MODE less the umask", bind_mode_umask },
	{ "bind.owner", "it belongs to the caller", bind_owner },
	{ "bind.options", "the network has the options set before", bind_options },
	{ "bind.joins", "a live network is joined, with the options it has", bind_joins },
	{ "bind.any_joins", "IPN_ANY takes the network's policy", bind_any_joins },
	{ "bind.any_creates", "creating with IPN_ANY: EINVAL, and nothing is made",
	  bind_any_creates },
	{ "bind.twice", "bound or connected already: EISCONN", bind_twice },
	{ "bind.path_errors", "errors of the path: ENOENT, ENOTDIR, ELOOP", bind_path_errors },
	{ "bind.eacces", "a directory that may not be searched or written: EACCES", bind_eacces },
	{ "bind.refused", "what is there is no live network: ECONNREFUSED", bind_refused },
	{ "bind.proto", "the network has another policy: EPROTO", bind_proto },
	{ "bind.race", "of many who make one path at once, one does", bind_race },
	{ "bind.carries_nothing", "bound and not connected: no data", bind_carries_nothing },
	{ "connect.unbound", "without bind: joins to communicate", connect_unbound },
	{ "connect.null", "bound: NULL is the network bound to", connect_null },
	{ "connect.same_path", "bound: any path to the same inode will do", connect_same_path },
	{ "connect.other_path", "bound: another network is refused", connect_other_path },
	{ "connect.null_unbound", "unbound: an address is needed", connect_null_unbound },
	{ "connect.twice", "connected already: EISCONN, as an error", connect_twice },
	{ "connect.refused", "no live network: ECONNREFUSED; no path: its error", connect_refused },
	{ "connect.any", "IPN_ANY and the network's own policy fit", connect_any },
	{ "connect.full", "no free port: EADDRNOTAVAIL, until one is", connect_full },
	{ "connect.port", "a port that is taken or out of range: EADDRNOTAVAIL", connect_port },
	{ "connect.lowest_port", "any port is the lowest that is free", connect_lowest_port },
	{ "connect.hears_no_past", "who joins gets what is sent from then on",
	  connect_hears_no_past },
	{ "getsockname.network", "bound or connected: the network's address", name_of_network },
	{ "getsockname.unbound", "unbound: ENOTCONN", name_unbound },
	{ "getsockname.short", "a short buffer gets what fits, and the length", name_short },
	{ "shutdown.before_connect", "before connect: the side stays closed after",
	  shutdown_before_connect },
	{ "shutdown.both_before", "both sides before connect: EACCES", shutdown_both_before },
	{ "shutdown.never_back", "never reversible; both sides one by one are everything",
	  shutdown_never_back },
	{ "shutdown.read_flushes", "the receive side: what is pending goes, sending goes on",
	  shutdown_read_flushes },
	{ "shutdown.write_reads_on", "the send side: receiving goes on", shutdown_write_reads_on },
	{ "shutdown.all", "both: end of file, and ECONNRESET to send", shutdown_all },
	{ "close.frees_port", "a closed node's port is free at once", close_frees_port },
	{ "close.bad", "a closed descriptor: EBADF", close_bad },
	{ "close.exit", "a process that exits leaves, and its network ends", exit_leaves },
	{ "close.crash", "a process that is killed leaves", crash_leaves },
	{ "close.last_node", "the last node's end is the network's", last_node_ends },
	{ "close.bound_keeps", "a bound socket keeps a network without nodes", bound_keeps },
};
ROWS(rows_calls);
