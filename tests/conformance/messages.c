// SPDX-License-Identifier: GPL-2.0-or-later
/* One call is one message, on both sides. */
#include "conf.h"

#include <limits.h>
#include <stdint.h>

static unsigned char big[65536 + 64];

static void fill(size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		big[i] = (unsigned char)(i * 31 + seed);
}

static void send_length(void)
{
	const size_t lengths[] = { 1, 13, 14, 60, 256, 1000, 1513, 1514 };
	int a = founder(NET), b = member(NET);

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		fill(lengths[i], (unsigned int)i);
		EQ(X(send)(a, big, lengths[i], 0), lengths[i]);
		gets_bytes(b, big, lengths[i]);
	}
}

static void send_zero(void)
{
	int a = founder(NET), b = member(NET);
	char c;

	EQ(X(send)(a, "", 0, 0), 0);
	EQ(X(send)(a, NULL, 0, 0), 0);
	TRUE(polled(b, POLLIN) & POLLIN);
	EQ(X(recv)(b, &c, 1, MSG_DONTWAIT), 0);
	EQ(X(recv)(b, &c, 1, MSG_DONTWAIT), 0);
	gets_nothing(b);
}

static void send_boundaries(void)
{
	int a = founder(NET), b = member(NET);
	char buf[64];

	send_text(a, "one");
	send_text(a, "two");
	EQ(try_recv(b, buf, sizeof(buf)), 3);
	EQ(try_recv(b, buf, sizeof(buf)), 3);
	gets_nothing(b);
}

static void send_pieces(void)
{
	struct iovec out[4] = { { "he", 2 }, { "", 0 }, { "ll", 2 }, { "o", 1 } };
	struct msghdr msg = { .msg_iov = out, .msg_iovlen = 4 };
	int a = founder(NET), b = member(NET);
	char x[2], y[3], z[8];
	struct iovec in[3] = { { x, 2 }, { y, 3 }, { z, 8 } };
	struct msghdr got = { .msg_iov = in, .msg_iovlen = 3, .msg_flags = -1 };

	EQ(X(sendmsg)(a, &msg, 0), 5);
	EQ(X(recvmsg)(b, &got, 0), 5);
	TRUE(!memcmp(x, "he", 2) && !memcmp(y, "llo", 3));
	EQ(got.msg_flags & (MSG_TRUNC | MSG_OOB | MSG_CTRUNC), 0);
	msg.msg_iovlen = 0;
	EQ(X(sendmsg)(a, &msg, 0), 0); /* no pieces are an empty message */
	EQ(X(recvmsg)(b, &got, MSG_DONTWAIT), 0);
}

static void send_longest(void)
{
	int fd = new_socket(IPN_BROADCAST), b;

	set_int(fd, IPN_SO_MTU, 65535);
	OK(try_bind(fd, NET));
	OK(X(connect)(fd, NULL, 0));
	b = member(NET);
	fill(65535, 3);
	EQ(X(send)(fd, big, 65535, 0), 65535);
	gets_bytes(b, big, 65535);
}

static void send_too_long(void)
{
	struct iovec iov[2] = { { big, 1000 }, { big, 515 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	int a = founder(NET), b = member(NET);
	struct iovec huge[2] = { { big, SIZE_MAX / 2 }, { big, SIZE_MAX / 2 } };

	ERR(X(send)(a, big, 1515, 0), EOVERFLOW);
	ERR(X(send)(a, big, 65536, 0), EOVERFLOW);
	ERR(X(sendmsg)(a, &msg, 0), EOVERFLOW);
	msg.msg_iov = huge;
	TRUE(X(sendmsg)(a, &msg, 0) == -1); /* the kernel itself calls that EINVAL */
	gets_nothing(b);                    /* not even a part of it */
	send_text(a, "goes on");
	gets_text(b, "goes on");
}

static void send_mtu_of_network(void)
{
	int fd = new_socket(IPN_BROADCAST), b;

	set_int(fd, IPN_SO_MTU, 10);
	OK(try_bind(fd, NET));
	OK(X(connect)(fd, NULL, 0));
	b = member(NET);
	EQ(X(send)(b, "0123456789", 10, 0), 10);
	ERR(X(send)(b, "0123456789X", 11, 0), EOVERFLOW);
	gets_text(fd, "0123456789");
	gets_nothing(fd);
}

static void send_not_connected(void)
{
	struct iovec iov = { "x", 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fd = new_socket(IPN_BROADCAST);

	ERR(X(send)(fd, "x", 1, 0), ENOTCONN);
	ERR(X(sendmsg)(fd, &msg, 0), ENOTCONN);
	OK(try_bind(fd, NET));
	ERR(X(send)(fd, "x", 1, 0), ENOTCONN);
	ERR(X(sendmsg)(fd, &msg, 0), ENOTCONN);
}

/* SIGPIPE has its default here: raised, it would end the row. */
static void send_epipe(void)
{
	int fd = founder(NET);

	OK(X(shutdown)(fd, SHUT_WR));
	ERR(X(send)(fd, "x", 1, 0), EPIPE);
	ERR(X(send)(fd, "x", 1, MSG_NOSIGNAL), EPIPE);
	ERR(X(send)(fd, big, 65536, 0), EPIPE); /* that comes before the length */
}

static void send_econnreset(void)
{
	int fd = founder(NET);

	OK(X(shutdown)(fd, SHUT_RDWR));
	ERR(X(send)(fd, "x", 1, 0), ECONNRESET);
}

static void send_alone(void)
{
	int fd = founder(NET);

	for (int i = 0; i < 100; i++)
		send_text(fd, "nobody hears");
	gets_nothing(fd);
}

static void recv_not_connected(void)
{
	struct iovec iov = { big, 10 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fd = new_socket(IPN_BROADCAST);

	ERR(X(recv)(fd, big, 10, 0), ENOTCONN);
	ERR(X(recvmsg)(fd, &msg, 0), ENOTCONN);
	OK(try_bind(fd, NET));
	ERR(X(recv)(fd, big, 10, 0), ENOTCONN);
	ERR(X(recvmsg)(fd, &msg, 0), ENOTCONN);
}

static void recv_trunc(void)
{
	int a = founder(NET), b = member(NET);
	char buf[8] = "########";
	struct iovec iov = { buf, 4 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	send_text(a, "abcdefgh");
	send_text(a, "next");
	EQ(X(recvmsg)(b, &msg, 0), 4);
	TRUE(msg.msg_flags & MSG_TRUNC);
	TRUE(!memcmp(buf, "abcd####", 8));
	gets_text(b, "next"); /* the rest is gone */
	send_text(a, "abcd");
	EQ(X(recvmsg)(b, &msg, 0), 4);
	EQ(msg.msg_flags & MSG_TRUNC, 0); /* it fitted just so */
}

static void recv_zero_room(void)
{
	int a = founder(NET), b = member(NET);
	struct msghdr msg = { 0 };

	send_text(a, "abc");
	EQ(X(recvmsg)(b, &msg, MSG_DONTWAIT), 0);
	TRUE(msg.msg_flags & MSG_TRUNC);
	gets_nothing(b);
}

static void recv_real_length(void)
{
	int a = founder(NET), b = member(NET);
	char buf[2];

	send_text(a, "abcdef");
	EQ(X(recv)(b, buf, 2, MSG_TRUNC | MSG_PEEK), 6);
	EQ(X(recv)(b, buf, 2, MSG_TRUNC), 6);
	gets_nothing(b);
}

static void recv_peek(void)
{
	int a = founder(NET), b = member(NET);
	char buf[8];

	send_text(a, "one");
	send_text(a, "two");
	EQ(X(recv)(b, buf, 8, MSG_PEEK), 3);
	EQ(X(recv)(b, buf, 8, MSG_PEEK), 3);
	gets_text(b, "one");
	EQ(X(recv)(b, buf, 8, MSG_PEEK), 3);
	TRUE(!memcmp(buf, "two", 3));
	gets_text(b, "two");
	gets_nothing(b);
}

static void recv_dontwait(void)
{
	int a = founder(NET);
	char c;

	ERR(X(recv)(a, &c, 1, MSG_DONTWAIT), EAGAIN);
	ERR(X(recv)(a, &c, 1, MSG_DONTWAIT | MSG_PEEK), EAGAIN);
}

static void recv_o_nonblock(void)
{
	int a = founder(NET), on = 1, off = 0;
	char c;

	OK(fcntl(a, F_SETFL, fcntl(a, F_GETFL) | O_NONBLOCK));
	ERR(X(recv)(a, &c, 1, 0), EAGAIN);
	OK(fcntl(a, F_SETFL, fcntl(a, F_GETFL) & ~O_NONBLOCK));
	receive_timeout(a, 20); /* or it would wait for ever */
	ERR(X(recv)(a, &c, 1, 0), EAGAIN);
	receive_timeout(a, 0);
	OK(X(ioctl)(a, FIONBIO, &on));
	ERR(X(recv)(a, &c, 1, 0), EAGAIN);
	OK(X(ioctl)(a, FIONBIO, &off));
	EQ(fcntl(a, F_GETFL) & O_NONBLOCK, 0);
}

static void recv_eof(void)
{
	int fd = founder(NET);
	char c;

	OK(X(shutdown)(fd, SHUT_RDWR));
	EQ(X(recv)(fd, &c, 1, 0), 0);
	EQ(X(recv)(fd, &c, 1, MSG_DONTWAIT), 0);
}

static void recv_epipe(void)
{
	int fd = founder(NET);
	char c;

	OK(X(shutdown)(fd, SHUT_RD));
	ERR(X(recv)(fd, &c, 1, 0), EPIPE);
	ERR(X(recv)(fd, &c, 1, MSG_DONTWAIT), EPIPE);
}

static void order_one(void)
{
	int a = founder(NET), b = member(NET), c = member(NET);

	for (int i = 0; i < 4; i++) {
		char text[8];

		snprintf(text, sizeof(text), "%d", i);
		send_text(i & 1 ? a : b, text);
	}
	for (int i = 0; i < 4; i++) {
		char text[8];

		snprintf(text, sizeof(text), "%d", i);
		gets_text(c, text);
	}
}

static void next_length(void)
{
	int a = founder(NET), b = member(NET), n = -1;

	OK(X(ioctl)(b, FIONREAD, &n));
	EQ(n, 0);
	send_text(a, "12345");
	OK(X(ioctl)(b, FIONREAD, &n));
	EQ(n, 5);
	gets_text(b, "12345");
}

/* LOSSY: `pool` messages may be pending; of more, the newest stay. */
static void lossy_pool(void)
{
	int fd = new_socket(IPN_BROADCAST), slow, quick;
	char text[16];

	set_int(fd, IPN_SO_MSGPOOLSIZE, 4);
	OK(try_bind(fd, NET));
	OK(X(connect)(fd, NULL, 0));
	slow = member(NET);
	quick = member(NET);
	for (int i = 0; i < 10; i++) {
		snprintf(text, sizeof(text), "%d", i);
		send_text(fd, text);
		gets_text(quick, text); /* loses none because another is slow */
	}
	for (int i = 6; i < 10; i++) {
		snprintf(text, sizeof(text), "%d", i);
		gets_text(slow, text);
	}
	gets_nothing(slow);
}

#ifndef CONFORMANCE_PLAIN /* sockets have no call for it */
static void lossy_count(void)
{
	int a = founder(NET), b = member(NET);
	uint64_t lost = 99;

	for (int i = 0; i < 8; i++)
		send_text(a, "x");
	OK(ipn_overruns(b, &lost));
	EQ(lost, 0); /* 8 is the default */
	for (int i = 0; i < 5; i++)
		send_text(a, "x");
	OK(ipn_overruns(b, &lost));
	EQ(lost, 5);
	for (int i = 0; i < 8; i++)
		gets_text(b, "x");
	gets_nothing(b);
	OK(ipn_overruns(b, &lost));
	EQ(lost, 5);
}
#endif

/* Own messages are not one's pending ones: they take no place in one's pool. */
static void own_messages(int count)
{
	int a = founder(NET), b = member(NET);

	send_text(b, "for a");
	for (int i = 0; i < count; i++)
		send_text(a, "own");
	EQ(OK(X(recv)(a, big, sizeof(big), MSG_DONTWAIT)), 5);
	TRUE(!memcmp(big, "for a", 5));
	gets_nothing(a);
}

static void lossy_own(void)
{
	own_messages(20);
}

static void lossy_own_flood(void)
{
	own_messages(1000);
}

static const struct row rows_messages_table[] = {
	{ "send.length", "returns the length; any bytes of any length arrive", send_length },
	{ "send.zero", "an empty message is a message", send_zero },
	{ "send.boundaries", "one call is one message", send_boundaries },
	{ "send.pieces", "sendmsg gathers, recvmsg scatters", send_pieces },
	{ "send.longest", "an MTU of 65535 carries 65535 bytes", send_longest },
	{ "send.too_long", "longer than the MTU: EOVERFLOW, and nothing is sent", send_too_long },
	{ "send.mtu_of_network", "the MTU is the network's", send_mtu_of_network },
	{ "send.not_connected", "unbound or only bound: ENOTCONN", send_not_connected },
	{ "send.epipe", "send side shut down: EPIPE, and no signal", send_epipe },
	{ "send.econnreset", "everything shut down: ECONNRESET", send_econnreset },
	{ "send.alone", "without receivers a LOSSY send succeeds", send_alone },
	{ "recv.not_connected", "unbound or only bound: ENOTCONN", recv_not_connected },
	{ "recv.trunc", "a short buffer truncates: MSG_TRUNC, the rest is gone", recv_trunc },
	{ "recv.zero_room", "no buffer at all takes a message, too", recv_zero_room },
	{ "recv.real_length", "MSG_TRUNC asked for: the real length", recv_real_length },
	{ "recv.peek", "MSG_PEEK leaves the message", recv_peek },
	{ "recv.dontwait", "MSG_DONTWAIT: EAGAIN", recv_dontwait },
	{ "recv.o_nonblock", "O_NONBLOCK as it is set now: EAGAIN", recv_o_nonblock },
	{ "recv.eof", "everything shut down: end of file", recv_eof },
	{ "recv.epipe", "a write-only node: EPIPE", recv_epipe },
	{ "recv.order", "messages of several senders come in the order they were sent", order_one },
	{ "recv.fionread", "FIONREAD: the length of the next message", next_length },
	{ "lossy.pool", "beyond the pool the oldest are lost, for that receiver alone",
	  lossy_pool },
#ifndef CONFORMANCE_PLAIN
	{ "lossy.count", "it can learn how many", lossy_count },
#endif
	{ "lossy.own", "own messages take no place in one's pool", lossy_own },
	{ "lossy.own_flood", "nor do many of them displace what is pending", lossy_own_flood },
};
ROWS(rows_messages);
