// SPDX-License-Identifier: GPL-2.0-or-later
/* Calls that only sockets have: libipn has no names for them. */
#ifdef CONFORMANCE_PLAIN
#include "conf.h"

#include <sys/epoll.h>
#include <sys/select.h>

static void no_server(void)
{
	int fd = new_socket(IPN_BROADCAST);

	for (int i = 0; i < 3; i++) {
		ERR(listen(fd, 5), EOPNOTSUPP);
		ERR(accept(fd, NULL, NULL), EOPNOTSUPP);
		ERR(accept4(fd, NULL, NULL, SOCK_CLOEXEC), EOPNOTSUPP);
		if (i == 0)
			OK(try_bind(fd, NET));
		if (i == 1)
			OK(connect(fd, NULL, 0));
	}
	OK(try_send(fd, "x"));
}

static void no_pair(void)
{
	int fd[2] = { -7, -7 };

	ERR(socketpair(AF_IPN, SOCK_RAW, IPN_BROADCAST, fd), EOPNOTSUPP);
	EQ(fd[0], -7);
}

static void write_read(void)
{
	int a = founder(NET), b = member(NET);
	char buf[16];

	EQ(write(a, "hello", 5), 5);
	EQ(read(b, buf, sizeof(buf)), 5);
	TRUE(!memcmp(buf, "hello", 5));
	OK(shutdown(a, SHUT_WR));
	ERR(write(a, "x", 1), EPIPE); /* and no signal */
	OK(shutdown(b, SHUT_RDWR));
	EQ(read(b, buf, sizeof(buf)), 0);
	ERR(read(new_socket(IPN_ANY), buf, 1), ENOTCONN);
	ERR(write(new_socket(IPN_ANY), buf, 1), ENOTCONN);
}

static void writev_readv(void)
{
	struct iovec out[2] = { { "hel", 3 }, { "lo", 2 } };
	char x[4], y[8];
	struct iovec in[2] = { { x, 4 }, { y, 8 } };
	int a = founder(NET), b = member(NET);

	EQ(writev(a, out, 2), 5);
	EQ(readv(b, in, 2), 5);
	TRUE(!memcmp(x, "hell", 4) && y[0] == 'o');
}

static void sendto_recvfrom(void)
{
	struct sockaddr_un from;
	socklen_t len = sizeof(from);
	int a = founder(NET), b = member(NET);
	char buf[8];

	EQ(sendto(a, "hello", 5, 0, NULL, 0), 5);
	EQ(recvfrom(b, buf, sizeof(buf), 0, NULL, NULL), 5);
	EQ(sendto(a, "you", 3, 0, NULL, 0), 3);
	EQ(recvfrom(b, buf, sizeof(buf), 0, (struct sockaddr *)&from, &len), 3);
	EQ(len, 0); /* the sender has no address */
}

static void selects(void)
{
	int a = founder(NET), b = member(NET);
	struct timeval none = { 0 }, some = { 5, 0 };
	fd_set in, out;

	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(b, &in);
	FD_SET(b, &out);
	EQ(OK(select(b + 1, &in, &out, NULL, &none)), 1);
	TRUE(!FD_ISSET(b, &in) && FD_ISSET(b, &out));
	send_text(a, "x");
	FD_SET(b, &in);
	EQ(OK(select(b + 1, &in, NULL, NULL, &some)), 1);
	TRUE(FD_ISSET(b, &in));
}

static void epolls(void)
{
	int a = founder(NET), b = member(NET), ep = (int)OK(epoll_create1(0));
	struct epoll_event e = { .events = EPOLLIN, .data.u32 = 77 };

	OK(epoll_ctl(ep, EPOLL_CTL_ADD, b, &e));
	e.data.u32 = 0;
	EQ(OK(epoll_wait(ep, &e, 1, 0)), 0);
	send_text(a, "x");
	EQ(OK(epoll_wait(ep, &e, 1, LONG_MS)), 1);
	EQ(e.data.u32, 77);
	TRUE(e.events & EPOLLIN);
	gets_text(b, "x");
	EQ(OK(epoll_wait(ep, &e, 1, 0)), 0); /* level triggered */
}

static void others_untouched(void)
{
	int pair[2];
	char c;

	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	EQ(write(pair[0], "x", 1), 1);
	EQ(read(pair[1], &c, 1), 1);
	ERR(listen(pair[0], 1), EINVAL);
	ERR(socket(AF_UNIX, SOCK_RAW | 77, 0), EINVAL);
	OK(close(pair[0]));
	EQ(read(pair[1], &c, 1), 0);
}

static const struct row rows_plain_table[] = {
	{ "plain.no_server", "listen, accept: EOPNOTSUPP", no_server },
	{ "plain.no_pair", "socketpair: EOPNOTSUPP", no_pair },
	{ "plain.write_read", "write and read are send and recv", write_read },
	{ "plain.writev_readv", "writev and readv: one call, one message", writev_readv },
	{ "plain.sendto_recvfrom", "sendto and recvfrom, without addresses", sendto_recvfrom },
	{ "plain.select", "select: readable, writable", selects },
	{ "plain.epoll", "epoll: readable", epolls },
	{ "plain.others", "sockets of other families are left alone", others_untouched },
};
ROWS(rows_plain);
#endif
