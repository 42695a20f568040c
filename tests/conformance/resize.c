// SPDX-License-Identifier: GPL-2.0-or-later
/* IPN_SO_CHANGE_NUMNODES: a network gets more ports, or fewer, while it runs. */
#include "conf.h"

#include <limits.h>

#define CHANGE IPN_SO_CHANGE_NUMNODES

static int small(const char *path, int policy, int ports)
{
	int fd = new_socket(policy);

	set_int(fd, IPN_SO_NUMNODES, ports);
	OK(try_bind(fd, path));
	return fd;
}

static void unbound(void)
{
	int fd = new_socket(IPN_BROADCAST);

	ERR(try_set(fd, CHANGE, 5), ENOTCONN);
	bound(NET);
	ERR(try_set(member(NET), CHANGE, 5), ENOTCONN); /* connected is not bound */
	EQ(get_int(fd, IPN_SO_NUMNODES), 32);
}

static void bad(void)
{
	int fd = bound(NET), value = 16;

	ERR(try_set(fd, CHANGE, 0), EINVAL);
	ERR(try_set(fd, CHANGE, -1), EINVAL);
	ERR(try_set(fd, CHANGE, INT_MIN), EINVAL);
	TRUE(try_set(fd, CHANGE, INT_MAX) == -1);
	for (socklen_t len = 0; len < sizeof(int); len++)
		ERR(X(setsockopt)(fd, 0, CHANGE, &value, len), EINVAL);
	EQ(get_int(fd, IPN_SO_NUMNODES), 32);
}

static void grow(void)
{
	int fd = small(NET, IPN_BROADCAST, 2), a = member(NET), b = member(NET), c;

	ERR(try_connect(new_socket(IPN_ANY), NET), EADDRNOTAVAIL);
	set_int(fd, CHANGE, 3);
	EQ(get_int(fd, IPN_SO_NUMNODES), 3);
	EQ(get_int(a, IPN_SO_NUMNODES), 3); /* the value in force, for everybody */
	c = member(NET);
	EQ(get_int(c, IPN_SO_PORT), 2);
	ERR(X(connect)(fd, NULL, 0), EADDRNOTAVAIL);
	send_text(c, "to all");
	gets_text(a, "to all");
	gets_text(b, "to all");
}

static void shrink(void)
{
	int fd = small(NET, IPN_BROADCAST, 8), a = member_at(NET, 5), late = new_socket(IPN_ANY);

	ERR(try_set(fd, CHANGE, 5), EADDRINUSE);
	EQ(get_int(fd, IPN_SO_NUMNODES), 8);
	set_int(fd, CHANGE, 6);
	EQ(get_int(fd, IPN_SO_NUMNODES), 6);
	set_int(late, IPN_SO_PORT, 6);
	ERR(try_connect(late, NET), EADDRNOTAVAIL);
	set_int(late, IPN_SO_PORT, 0);
	OK(try_connect(late, NET));
	send_text(late, "x");
	gets_text(a, "x");
	OK(X(close)(a));
	set_int(fd, CHANGE, 1);
	send_text(late, "alone");
	set_int(fd, CHANGE, 1); /* the same again is no error */
}

/* The networks made after it stand in its way. */
static void crowd(int policy)
{
	int fd = small(NET, policy, 2), a = member(NET), b = member(NET), c, d;
	int next = small("next", IPN_BROADCAST, 2), x = member("next"), y = member("next");

	set_int(fd, CHANGE, 100);
	c = member_at(NET, 99);
	send_text(a, "from a: fourteen bytes");
	gets_text(b, "from a: fourteen bytes");
	gets_text(c, "from a: fourteen bytes");
	send_text(c, "from c: fourteen bytes");
	gets_text(a, "from c: fourteen bytes");
	gets_text(b, "from c: fourteen bytes");
	send_text(x, "next");
	gets_text(y, "next");
	gets_nothing(a);
	set_int(next, CHANGE, 50);
	d = member_at("next", 49);
	send_text(d, "49");
	gets_text(x, "49");
	gets_text(y, "49");
	gets_nothing(c);
	/* back, and once more: no place is lost */
	OK(X(close)(c));
	for (int i = 0; i < 20; i++) {
		set_int(fd, CHANGE, 2);
		set_int(fd, CHANGE, 4000);
	}
	send_text(b, "still there, fourteen");
	gets_text(a, "still there, fourteen");
}

static void crowd_broadcast(void)
{
	crowd(IPN_BROADCAST);
}

static void crowd_switch(void)
{
	crowd(IPN_VDESWITCH);
}

static void switch_keeps(void)
{
	const char to_b[] = "\2\0\0\0\0\2"
			    "\2\0\0\0\0\1"
			    "\x88\xb6"
			    "to b";
	const char from_b[] = "\2\0\0\0\0\1"
			      "\2\0\0\0\0\2"
			      "\x88\xb6"
			      "from b";
	int fd = small(NET, IPN_VDESWITCH, 4), a = member(NET), b = member(NET), c = member(NET);

	bound("next");
	EQ(X(send)(b, from_b, sizeof(from_b), 0), sizeof(from_b));
	gets_bytes(a, from_b, sizeof(from_b));
	gets_bytes(c, from_b, sizeof(from_b));
	set_int(fd, CHANGE, 64);
	EQ(X(send)(a, to_b, sizeof(to_b), 0), sizeof(to_b));
	gets_bytes(b, to_b, sizeof(to_b));
	gets_nothing(c); /* what was learned holds */
}

/* A sender and a receiver that sleeps go on while the network grows and shrinks around them. */
static void under_traffic(void)
{
	enum { STREAM = 400 };
	struct gate go = gate_new(), in = gate_new();
	int fd, pid = child();
	char text[16];

	if (!pid) {
		gate_wait(&go);
		fd = member(NET);
		gate_open(&in);
		for (int i = 0; i < STREAM; i++) {
			snprintf(text, sizeof(text), "%d", i);
			gets_text(fd, text);
			send_text(fd, text);
		}
		_exit(0);
	}
	fd = small(NET, IPN_BROADCAST, 2);
	OK(X(connect)(fd, NULL, 0));
	bound("next");
	gate_open(&go);
	gate_wait(&in);
	for (int i = 0; i < STREAM; i++) {
		snprintf(text, sizeof(text), "%d", i);
		send_text(fd, text);
		if (i % 4 == 0)
			set_int(fd, CHANGE, i % 8 ? 2 : 200 + i);
		gets_text(fd, text);
	}
	join_child(pid);
}

static void with_interface(void)
{
	int fd = small(NET, IPN_VDESWITCH, 2), a = member(NET), b;

	bound("next");
	EQ(command("ipn-fabric attach %s --host confrsz0 >/dev/null", NET), 0);
	ERR(try_set(fd, CHANGE, 1), EADDRINUSE);
	set_int(fd, CHANGE, 70);
	b = member_at(NET, 69);
	EQ(command("ip addr add 10.99.0.1/24 dev confrsz0 && ip neigh add 10.99.0.2 lladdr "
		   "02:00:00:00:00:02 dev confrsz0 && ip link set confrsz0 up"),
	   0);
	EQ(command("ping -c 1 -W 0.1 10.99.0.2 >/dev/null"), 1); /* nobody answers, two hear it */
	for (int fds[2] = { a, b }, i = 0; i < 2; i++) {
		struct pollfd p = { .fd = fds[i], .events = POLLIN };

		EQ(OK(X(poll)(&p, 1, LONG_MS)), 1);
	}
	EQ(command("ipn-fabric detach %s --port 1 >/dev/null", NET), 0);
	OK(X(close)(b));
	set_int(fd, CHANGE, 1);
}

static const struct row rows_resize_table[] = {
	{ "resize.unbound", "not bound: ENOTCONN", unbound },
	{ "resize.bad", "a size that is none: EINVAL", bad },
	{ "resize.grow", "more ports, and everybody reads the size in force", grow },
	{ "resize.shrink", "fewer ports; one of them in use: EADDRINUSE, and nothing changes",
	  shrink },
	{ "resize.crowd", "also when other networks stand in the way", crowd_broadcast },
	{ "resize.crowd_switch", "the same with a switch", crowd_switch },
	{ "resize.switch_keeps", "a switch keeps what it has learned", switch_keeps },
	{ "resize.under_traffic", "nothing is lost, and sleepers are woken", under_traffic },
	{ "resize.with_interface", "interfaces go on, too", with_interface },
};
ROWS(rows_resize);
