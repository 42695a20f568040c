// SPDX-License-Identifier: GPL-2.0-or-later
/* Wrong lengths, values, moments, descriptors: an error, and nothing has changed. */
#include "conf.h"

#include <limits.h>

static bool one_of(long r, int a, int b)
{
	return r == -1 && (errno == a || errno == b);
}

static const int int_options[] = { IPN_SO_MTU,   IPN_SO_NUMNODES, IPN_SO_MSGPOOLSIZE,
				   IPN_SO_FLAGS, IPN_SO_MODE,     IPN_SO_PORT };
#define INT_OPTIONS (sizeof(int_options) / sizeof(int_options[0]))

static void set_length(void)
{
	int fd = new_socket(IPN_BROADCAST), value = 1;

	for (size_t i = 0; i < INT_OPTIONS; i++) {
		int before = get_int(fd, int_options[i]);

		for (socklen_t len = 0; len < sizeof(int); len++)
			ERR(X(setsockopt)(fd, 0, int_options[i], &value, len), EINVAL);
		TRUE(one_of(X(setsockopt)(fd, 0, int_options[i], NULL, sizeof(int)), EINVAL,
			    EFAULT));
		EQ(get_int(fd, int_options[i]), before);
	}
}

static void set_value(void)
{
	const int positive[] = { IPN_SO_MTU, IPN_SO_NUMNODES, IPN_SO_MSGPOOLSIZE, IPN_SO_MODE };
	const int values[] = { 0, -1, INT_MIN, -1514 };
	int fd = new_socket(IPN_BROADCAST);

	for (size_t i = 0; i < sizeof(positive) / sizeof(positive[0]); i++) {
		int before = get_int(fd, positive[i]);

		for (size_t j = 0; j < sizeof(values) / sizeof(values[0]); j++)
			ERR(try_set(fd, positive[i], values[j]), EINVAL);
		EQ(get_int(fd, positive[i]), before);
	}
	ERR(try_set(fd, IPN_SO_MTU, 65536), EINVAL);
	ERR(try_set(fd, IPN_SO_MTU, INT_MAX), EINVAL);
	ERR(try_set(fd, IPN_SO_NUMNODES, INT_MAX), EINVAL);
	ERR(try_set(fd, IPN_SO_MSGPOOLSIZE, INT_MAX), EINVAL);
	ERR(try_set(fd, IPN_SO_MODE, 010777), EINVAL);
	ERR(try_set(fd, IPN_SO_FLAGS, 2), EINVAL);
	ERR(try_set(fd, IPN_SO_FLAGS, IPN_FLAG_TERMINATED), EINVAL);
	ERR(try_set(fd, IPN_SO_FLAGS, -1), EINVAL);
	ERR(try_set(fd, IPN_SO_PORT, -2), EINVAL);
	EQ(get_int(fd, IPN_SO_FLAGS), 0);
}

static void unknown_option(void)
{
	const int unknown[] = { 5, 9, 0x7f, IPN_SO_PREBIND | 5, 0xff, 0x100, -1, INT_MAX };
	int fd = new_socket(IPN_BROADCAST), value = 1;
	socklen_t len = sizeof(value);

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		TRUE(one_of(try_set(fd, unknown[i], 1), ENOPROTOOPT, EINVAL));
		TRUE(one_of(X(getsockopt)(fd, 0, unknown[i], &value, &len), ENOPROTOOPT, EINVAL));
	}
	EQ(value, 1);
}

static void get_length(void)
{
	struct {
		int value;
		int guard;
	} v;
	int fd = new_socket(IPN_BROADCAST);

	for (size_t i = 0; i < INT_OPTIONS; i++) {
		socklen_t len = 3;

		memset(&v, 0x5a, sizeof(v));
		ERR(X(getsockopt)(fd, 0, int_options[i], &v, &len), EINVAL);
		EQ(v.value, 0x5a5a5a5a);
		len = 0;
		ERR(X(getsockopt)(fd, 0, int_options[i], &v, &len), EINVAL);
		len = sizeof(v);
		OK(X(getsockopt)(fd, 0, int_options[i], &v, &len));
		EQ(len, sizeof(int));
		EQ(v.guard, 0x5a5a5a5a);
		ERR(X(getsockopt)(fd, 0, int_options[i], &v, NULL), EFAULT);
		ERR(X(getsockopt)(fd, 0, int_options[i], NULL, &len), EFAULT);
	}
}

static void get_descr_length(void)
{
	int fd = new_socket(IPN_BROADCAST);
	char buf[300];
	socklen_t len = 3;

	OK(X(setsockopt)(fd, 0, IPN_SO_DESCR, "four", 4));
	memset(buf, '#', sizeof(buf));
	ERR(X(getsockopt)(fd, 0, IPN_SO_DESCR, buf, &len), EINVAL);
	TRUE(buf[0] == '#');
	len = 4;
	OK(X(getsockopt)(fd, 0, IPN_SO_DESCR, buf, &len));
	TRUE(!memcmp(buf, "four#", 5));
	len = sizeof(buf);
	OK(X(getsockopt)(fd, 0, IPN_SO_DESCR, buf, &len));
	TRUE(len <= IPN_DESCRLEN);
	TRUE(buf[IPN_DESCRLEN] == '#');
	TRUE(!strcmp(buf, "four"));
	ERR(X(setsockopt)(fd, 0, IPN_SO_DESCR, buf, 129), EINVAL);
	TRUE(one_of(X(setsockopt)(fd, 0, IPN_SO_DESCR, NULL, 4), EINVAL, EFAULT));
}

static int join_by(int connects, int fd, const void *addr, socklen_t len)
{
	return connects ? X(connect)(fd, addr, len) : X(bind)(fd, addr, len);
}

static void bad_address(void)
{
	struct sockaddr_un a = conf_addr(NET), unix_addr = a, empty = a;
	char big[200] = "";
	int fd = new_socket(IPN_BROADCAST);

	unix_addr.sun_family = AF_UNIX;
	empty.sun_path[0] = '\0';
	memcpy(big, &a, sizeof(a));
	for (int i = 0; i < 2; i++) {
		ERR(join_by(i, fd, &unix_addr, sizeof(a)), EINVAL);
		ERR(join_by(i, fd, (struct sockaddr *)&empty, sizeof(a)), EINVAL);
		ERR(join_by(i, fd, (struct sockaddr *)&a, 0), EINVAL);
		ERR(join_by(i, fd, (struct sockaddr *)&a, 1), EINVAL);
		ERR(join_by(i, fd, (struct sockaddr *)&a, sizeof(a.sun_family)), EINVAL);
		ERR(join_by(i, fd, (struct sockaddr *)big, sizeof(big)), EINVAL);
		ERR(join_by(i, fd, (struct sockaddr *)&a, (socklen_t)-1), EINVAL);
		TRUE(one_of(join_by(i, fd, NULL, sizeof(a)), EINVAL, EFAULT));
	}
	ERR(access(NET, F_OK), ENOENT);
	OK(try_bind(fd, NET));
}

static void address_ends(void)
{
	const socklen_t start = offsetof(struct sockaddr_un, sun_path);
	struct sockaddr_un a = conf_addr("abXX");
	int fd = new_socket(IPN_BROADCAST), long_fd = new_socket(IPN_ANY);

	OK(X(bind)(fd, (struct sockaddr *)&a, start + 2)); /* the length ends the path */
	OK(access("ab", F_OK));
	memset(a.sun_path, '/', sizeof(a.sun_path)); /* no final NUL anywhere: ./////ab */
	a.sun_path[0] = '.';
	a.sun_path[sizeof(a.sun_path) - 2] = 'a';
	a.sun_path[sizeof(a.sun_path) - 1] = 'b';
	OK(X(connect)(long_fd, (struct sockaddr *)&a, sizeof(a)));
}

static void bad_shutdown(void)
{
	int fd = founder(NET), new = new_socket(IPN_ANY);

	ERR(X(shutdown)(fd, 3), EINVAL);
	ERR(X(shutdown)(fd, -1), EINVAL);
	ERR(X(shutdown)(new, 77), EINVAL);
	OK(try_send(fd, "x"));
}

static void bad_ioctl(void)
{
	const unsigned long unknown[] = {
		0, 0x4904, 0xffffffff, _IOW('I', 205, int), _IOW('I', 199, int), _IOW('J', 202, int)
	};
	int fds[3] = { new_socket(IPN_BROADCAST), bound(NET), founder("other") }, arg = 0;

	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
		for (int s = 0; s < 3; s++) {
			TRUE(X(ioctl)(fds[s], unknown[i], &arg) == -1);
			TRUE(errno == ENOTTY || errno == EOPNOTSUPP || errno == EINVAL);
		}
	}
	ERR(X(ioctl)(fds[2], FIONREAD, NULL), EFAULT);
	ERR(X(ioctl)(fds[2], FIONBIO, NULL), EFAULT);
}

static void bad_flags(void)
{
	int a = founder(NET), b = member(NET);

	TRUE(one_of(X(send)(a, "x", 1, MSG_OOB), EOPNOTSUPP, EINVAL));
	TRUE(one_of(X(send)(a, "x", 1, 1 << 30), EOPNOTSUPP, EINVAL));
	gets_nothing(b);
}

static void not_a_socket(void)
{
	int pipes[2], value = 1;
	socklen_t len = sizeof(value);
	char c;

	OK(pipe(pipes));
	ERR(try_bind(pipes[0], NET), ENOTSOCK);
	ERR(try_connect(pipes[0], NET), ENOTSOCK);
	ERR(try_send(pipes[1], "x"), ENOTSOCK);
	ERR(try_recv(pipes[0], &c, 1), ENOTSOCK);
	ERR(X(shutdown)(pipes[0], SHUT_RD), ENOTSOCK);
	ERR(X(getsockopt)(pipes[0], 0, IPN_SO_MTU, &value, &len), ENOTSOCK);
	ERR(try_set(pipes[0], IPN_SO_MTU, 5), ENOTSOCK);
	ERR(access(NET, F_OK), ENOENT);
}

static void not_a_descriptor(void)
{
	const int bad[] = { -1, INT_MIN, INT_MAX, 1000 };
	int value = 1;
	socklen_t len = sizeof(value);
	char c;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ERR(try_bind(bad[i], NET), EBADF);
		ERR(try_connect(bad[i], NET), EBADF);
		ERR(try_send(bad[i], "x"), EBADF);
		ERR(try_recv(bad[i], &c, 1), EBADF);
		ERR(X(shutdown)(bad[i], SHUT_RD), EBADF);
		ERR(X(getsockopt)(bad[i], 0, IPN_SO_MTU, &value, &len), EBADF);
		ERR(X(close)(bad[i]), EBADF);
	}
}

/* The port was taken away by who manages the network. */
static void detached(void)
{
	int fd = founder(NET);
	char c;

	send_text(member(NET), "pending");
	EQ(command("ipn-fabric detach %s --port 0 >/dev/null", NET), 0);
	ERR(X(send)(fd, "x", 1, 0), ECONNRESET);
	EQ(OK(X(recv)(fd, &c, 1, 0)), 0);
	TRUE(polled(fd, POLLIN) & POLLIN);
	ERR(try_connect(fd, NET), EISCONN); /* it does not come back */
	OK(X(close)(fd));
}

static const struct row rows_badinput_table[] = {
	{ "bad.set_length", "setsockopt: a short value: EINVAL", set_length },
	{ "bad.set_value", "setsockopt: a value out of range: EINVAL", set_value },
	{ "bad.option", "an option that is none", unknown_option },
	{ "bad.get_length", "getsockopt: a short buffer: EINVAL; never more than there is",
	  get_length },
	{ "bad.descr_length", "the same for text", get_descr_length },
	{ "bad.address", "bind, connect: no address of this family: EINVAL", bad_address },
	{ "bad.address_ends", "a path ends at a NUL, or where the address does", address_ends },
	{ "bad.shutdown", "shutdown: no such way: EINVAL", bad_shutdown },
	{ "bad.ioctl", "a request that is none, in any state", bad_ioctl },
	{ "bad.flags", "send: flags that mean nothing here", bad_flags },
	{ "bad.not_a_socket", "a descriptor of something else: ENOTSOCK", not_a_socket },
	{ "bad.not_a_descriptor", "no descriptor: EBADF", not_a_descriptor },
	{ "bad.detached", "the port was taken away: ECONNRESET, end of file", detached },
};
ROWS(rows_badinput);
