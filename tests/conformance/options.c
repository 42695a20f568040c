// SPDX-License-Identifier: GPL-2.0-or-later
/* Options at level 0, and levels. */
#include "conf.h"

static void defaults(void)
{
	int fd = new_socket(IPN_BROADCAST);

	EQ(get_int(fd, IPN_SO_MTU), 1514);
	EQ(get_int(fd, IPN_SO_NUMNODES), 32);
	EQ(get_int(fd, IPN_SO_MSGPOOLSIZE), 8);
	EQ(get_int(fd, IPN_SO_FLAGS), 0);
	EQ(get_int(fd, IPN_SO_MODE), 0777);
	EQ(get_int(fd, IPN_SO_PORT), IPN_PORTNO_ANY);
}

static void set_reads_back(void)
{
	int fd = new_socket(IPN_BROADCAST);

	set_int(fd, IPN_SO_MTU, 65535);
	set_int(fd, IPN_SO_NUMNODES, 1);
	set_int(fd, IPN_SO_MSGPOOLSIZE, 100);
	set_int(fd, IPN_SO_FLAGS, 0);
	set_int(fd, IPN_SO_MODE, 0640);
	EQ(get_int(fd, IPN_SO_MTU), 65535);
	EQ(get_int(fd, IPN_SO_NUMNODES), 1);
	EQ(get_int(fd, IPN_SO_MSGPOOLSIZE), 100);
	EQ(get_int(fd, IPN_SO_FLAGS), 0);
	EQ(get_int(fd, IPN_SO_MODE), 0640);
	set_int(fd, IPN_SO_MTU, 1);
	EQ(get_int(fd, IPN_SO_MTU), 1);
}

static void in_force(void)
{
	int fd = new_socket(IPN_BROADCAST), other = new_socket(IPN_ANY);

	set_int(fd, IPN_SO_MTU, 500);
	OK(try_bind(fd, NET));
	set_int(other, IPN_SO_MTU, 600);
	set_int(other, IPN_SO_NUMNODES, 2);
	OK(try_connect(other, NET));
	EQ(get_int(other, IPN_SO_MTU), 500);
	EQ(get_int(other, IPN_SO_NUMNODES), 32);
	EQ(get_int(fd, IPN_SO_MSGPOOLSIZE), 8);
	EQ(get_int(fd, IPN_SO_FLAGS), 0);
}

static void mode_reads(void)
{
	int fd = new_socket(IPN_BROADCAST), other;

	set_int(fd, IPN_SO_MODE, 0700);
	OK(try_bind(fd, NET));
	EQ(get_int(fd, IPN_SO_MODE), -1);
	other = member(NET);
	EQ(get_int(other, IPN_SO_MODE), -1);
}

static const int prebind[] = { IPN_SO_MTU, IPN_SO_NUMNODES, IPN_SO_MSGPOOLSIZE, IPN_SO_FLAGS,
			       IPN_SO_MODE };
#define PREBIND (sizeof(prebind) / sizeof(prebind[0]))

static void prebind_late(void)
{
	int b = bound(NET), c = founder("other"), m = member(NET);

	for (size_t i = 0; i < PREBIND; i++) {
		int value = prebind[i] == IPN_SO_FLAGS ? 0 : 16;

		ERR(try_set(b, prebind[i], value), EISCONN);
		ERR(try_set(c, prebind[i], value), EISCONN);
		ERR(try_set(m, prebind[i], value), EISCONN);
	}
	EQ(get_int(b, IPN_SO_MTU), 1514);
}

static void failed_set(void)
{
	int fd = new_socket(IPN_BROADCAST);

	set_int(fd, IPN_SO_MTU, 700);
	ERR(try_set(fd, IPN_SO_MTU, 0), EINVAL);
	ERR(try_set(fd, IPN_SO_MTU, 65536), EINVAL);
	EQ(get_int(fd, IPN_SO_MTU), 700);
	OK(try_bind(fd, NET));
	EQ(get_int(fd, IPN_SO_MTU), 700);
}

static void port_given(void)
{
	int a = new_socket(IPN_BROADCAST), b = new_socket(IPN_ANY);

	set_int(a, IPN_SO_PORT, 5);
	EQ(get_int(a, IPN_SO_PORT), 5);
	OK(try_bind(a, NET));
	set_int(a, IPN_SO_PORT, 6); /* bound is early enough */
	OK(X(connect)(a, NULL, 0));
	EQ(get_int(a, IPN_SO_PORT), 6);
	set_int(b, IPN_SO_PORT, 3);
	set_int(b, IPN_SO_PORT, IPN_PORTNO_ANY); /* changed its mind */
	OK(try_connect(b, NET));
	EQ(get_int(b, IPN_SO_PORT), 0);
}

static void port_late(void)
{
	int fd = founder(NET);

	ERR(try_set(fd, IPN_SO_PORT, 9), EISCONN);
	ERR(try_set(fd, IPN_SO_PORT, IPN_PORTNO_ANY), EISCONN);
	EQ(get_int(fd, IPN_SO_PORT), 0);
}

static void descr_is(int fd, const char *text)
{
	char buf[IPN_DESCRLEN + 1];
	socklen_t len = IPN_DESCRLEN;

	memset(buf, '#', sizeof(buf));
	OK(X(getsockopt)(fd, 0, IPN_SO_DESCR, buf, &len));
	TRUE(len <= IPN_DESCRLEN);
	buf[IPN_DESCRLEN] = '\0';
	if (strcmp(buf, text))
		FAIL("the description is '%s', not '%s'", buf, text);
}

static void descr(void)
{
	int fd = new_socket(IPN_BROADCAST);

	descr_is(fd, "");
	OK(X(setsockopt)(fd, 0, IPN_SO_DESCR, "before", 7));
	descr_is(fd, "before");
	OK(try_bind(fd, NET));
	OK(X(connect)(fd, NULL, 0));
	descr_is(fd, "before");
	OK(X(setsockopt)(fd, 0, IPN_SO_DESCR, "after", 6));
	descr_is(fd, "after");
	OK(X(setsockopt)(fd, 0, IPN_SO_DESCR, "", 0));
	descr_is(fd, "");
}

static void descr_longest(void)
{
	char text[IPN_DESCRLEN + 1], other[IPN_DESCRLEN] = "";
	socklen_t len = sizeof(other);
	int fd = founder(NET);

	memset(text, 'd', sizeof(text));
	ERR(X(setsockopt)(fd, 0, IPN_SO_DESCR, text, IPN_DESCRLEN + 1), EINVAL);
	OK(X(setsockopt)(fd, 0, IPN_SO_DESCR, text, IPN_DESCRLEN));
	OK(X(getsockopt)(fd, 0, IPN_SO_DESCR, other, &len));
	/* with or without a final NUL among the 128 */
	TRUE(!memcmp(other, text, IPN_DESCRLEN - 1));
}

static void levels(void)
{
	int fd = new_socket(IPN_BROADCAST), sw = new_socket(IPN_VDESWITCH), v = 1;
	socklen_t len = sizeof(v);

	for (int i = 0; i < 2; i++) {
		ERR(X(setsockopt)(fd, 7, 0, &v, sizeof(v)), EPROTONOSUPPORT);
		ERR(X(getsockopt)(fd, 7, 0, &v, &len), EPROTONOSUPPORT);
		ERR(X(setsockopt)(fd, IPN_VDESWITCH, 0, &v, sizeof(v)), EPROTONOSUPPORT);
		ERR(X(setsockopt)(fd, -1, 0, &v, sizeof(v)), EPROTONOSUPPORT);
		ERR(X(setsockopt)(sw, IPN_VDESWITCH_L3, 0, &v, sizeof(v)), EPROTONOSUPPORT);
		if (!i) {
			OK(try_bind(fd, NET));
			OK(try_bind(sw, "switch"));
		}
	}
}

static const struct row rows_options_table[] = {
	{ "option.defaults", "before bind the defaults are read", defaults },
	{ "option.reads_back", "before bind what was set is read", set_reads_back },
	{ "option.in_force", "of a network, the value in force is read", in_force },
	{ "option.mode_reads", "IPN_SO_MODE reads -1 once bound", mode_reads },
	{ "option.prebind_late", "options of the network after bind: EISCONN", prebind_late },
	{ "option.failed_set", "a refused value changes nothing", failed_set },
	{ "option.port_given", "IPN_SO_PORT asks for a port, and reads the one given", port_given },
	{ "option.port_late", "IPN_SO_PORT when connected: EISCONN", port_late },
	{ "option.descr", "IPN_SO_DESCR: text of the node, at any time", descr },
	{ "option.descr_longest", "up to 128 bytes; longer: EINVAL", descr_longest },
	{ "option.levels", "a level that is not the policy's: EPROTONOSUPPORT", levels },
};
ROWS(rows_options);
