// SPDX-License-Identifier: GPL-2.0-or-later
/* Policies: who receives. */
#include "conf.h"

#include <stdint.h>

/* An Ethernet frame of 60 bytes; stations are numbered, 0 is broadcast. */
struct frame {
	uint8_t dst[6], src[6];
	uint8_t proto[2];
	char text[46];
};

static void mac(uint8_t *to, int station)
{
	const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
	const uint8_t one[6] = { 2, 0, 0, 0, 0, (uint8_t)station };

	memcpy(to, station ? one : all, 6);
}

static struct frame frame(int dst, int src, const char *text)
{
	struct frame f = { .proto = { 0x88, 0xb6 } };

	mac(f.dst, dst);
	mac(f.src, src);
	strncpy(f.text, text, sizeof(f.text) - 1);
	return f;
}

static void send_frame(int fd, int dst, int src, const char *text)
{
	struct frame f = frame(dst, src, text);

	EQ(OK(X(send)(fd, &f, sizeof(f), 0)), sizeof(f));
}

static void gets_frame(int fd, int dst, int src, const char *text)
{
	struct frame f = frame(dst, src, text);

	gets_bytes(fd, &f, sizeof(f));
}

struct lan {
	int a, b, c;
};

static struct lan lan_new(void)
{
	struct lan l;

	l.a = founder_of(NET, IPN_VDESWITCH);
	l.b = member(NET);
	l.c = member(NET);
	return l;
}

static void broadcast(void)
{
	int fd[4] = { founder(NET), member(NET), member(NET), member(NET) };

	for (int from = 0; from < 4; from++) {
		const char bytes[] = { 0, (char)0xff, (char)from };

		EQ(X(send)(fd[from], bytes, sizeof(bytes), 0), sizeof(bytes));
		for (int i = 0; i < 4; i++) {
			if (i == from)
				gets_nothing(fd[i]);
			else
				gets_bytes(fd[i], bytes, sizeof(bytes));
		}
	}
}

static void networks_apart(void)
{
	int a = founder("one"), b = founder("two");

	send_text(a, "x");
	gets_nothing(b);
	EQ(get_int(a, IPN_SO_PORT), get_int(b, IPN_SO_PORT));
}

static void switch_unknown(void)
{
	struct lan l = lan_new();

	send_frame(l.a, 9, 1, "where is 9");
	gets_frame(l.b, 9, 1, "where is 9");
	gets_frame(l.c, 9, 1, "where is 9");
	gets_nothing(l.a);
}

static void switch_learns(void)
{
	struct lan l = lan_new();

	send_frame(l.a, 0, 1, "I am 1");
	gets_frame(l.b, 0, 1, "I am 1");
	gets_frame(l.c, 0, 1, "I am 1");
	send_frame(l.b, 1, 2, "to 1");
	gets_frame(l.a, 1, 2, "to 1");
	gets_nothing(l.c);
	send_frame(l.a, 2, 1, "to 2");
	gets_frame(l.b, 2, 1, "to 2");
	gets_nothing(l.c);
}

static void switch_group(void)
{
	struct lan l = lan_new();
	struct frame f = frame(0, 1, "multicast");

	f.dst[0] = 0x33;
	f.dst[1] = 0x33;
	for (int i = 0; i < 2; i++) { /* it is not learned either */
		EQ(OK(X(send)(l.a, &f, sizeof(f), 0)), sizeof(f));
		gets_bytes(l.b, &f, sizeof(f));
		gets_bytes(l.c, &f, sizeof(f));
	}
	send_frame(l.b, 0, 2, "broadcast");
	gets_frame(l.a, 0, 2, "broadcast");
	gets_frame(l.c, 0, 2, "broadcast");
}

static void switch_same_port(void)
{
	struct lan l = lan_new();

	send_frame(l.a, 0, 1, "I am 1");
	send_frame(l.a, 0, 7, "and so is 7");
	gets_frame(l.b, 0, 1, "I am 1");
	gets_frame(l.b, 0, 7, "and so is 7");
	gets_frame(l.c, 0, 1, "I am 1");
	gets_frame(l.c, 0, 7, "and so is 7");
	send_frame(l.a, 7, 1, "at home");
	gets_nothing(l.a);
	gets_nothing(l.b);
	gets_nothing(l.c);
}

static void switch_moves(void)
{
	struct lan l = lan_new();

	send_frame(l.a, 9, 1, "1 at a");
	send_frame(l.b, 9, 1, "1 at b now");
	gets_frame(l.c, 9, 1, "1 at a");
	gets_frame(l.c, 9, 1, "1 at b now");
	gets_frame(l.b, 9, 1, "1 at a");
	gets_frame(l.a, 9, 1, "1 at b now");
	send_frame(l.c, 1, 3, "to 1");
	gets_frame(l.b, 1, 3, "to 1");
	gets_nothing(l.a);
}

static void switch_forgets(void)
{
	struct lan l = lan_new();
	int d;

	send_frame(l.b, 9, 2, "I am 2");
	gets_frame(l.a, 9, 2, "I am 2");
	gets_frame(l.c, 9, 2, "I am 2");
	OK(X(close)(l.b));
	d = member_at(NET, 1); /* the same port is not the same station */
	send_frame(l.a, 2, 1, "to 2");
	gets_frame(l.c, 2, 1, "to 2"); /* unknown again */
	gets_frame(d, 2, 1, "to 2");
}

static void switch_needs_header(void)
{
	struct lan l = lan_new();

	EQ(X(send)(l.a, "short", 5, 0), 5);
	gets_nothing(l.b);
	send_frame(l.a, 0, 1, "whole");
	gets_frame(l.b, 0, 1, "whole");
}

static void switch_not_reader(void)
{
	struct lan l = lan_new();

	send_frame(l.b, 9, 2, "I am 2");
	gets_frame(l.c, 9, 2, "I am 2");
	gets_frame(l.a, 9, 2, "I am 2");
	OK(X(shutdown)(l.b, SHUT_RD));
	send_frame(l.a, 2, 1, "to 2");
	gets_nothing(l.c); /* the address is known, who is there does not listen */
}

static void level(void)
{
	int fd = new_socket(IPN_VDESWITCH), value = 1;
	socklen_t len = sizeof(value);

	for (int i = 0; i < 2; i++) {
		TRUE(X(setsockopt)(fd, IPN_VDESWITCH, 0x7ffffff, &value, sizeof(value)) == -1);
		TRUE(errno == EOPNOTSUPP || errno == ENOPROTOOPT || errno == EINVAL);
		TRUE(X(getsockopt)(fd, IPN_VDESWITCH, 0x7ffffff, &value, &len) == -1);
		TRUE(errno == EOPNOTSUPP || errno == ENOPROTOOPT || errno == EINVAL);
		if (!i)
			OK(try_bind(fd, NET));
	}
}

static const struct row rows_policy_table[] = {
	{ "policy.broadcast", "broadcast: all but the sender, any bytes", broadcast },
	{ "policy.networks", "networks have nothing to do with each other", networks_apart },
	{ "policy.switch_unknown", "switch: an unknown address floods", switch_unknown },
	{ "policy.switch_learns", "a known address goes to its port alone", switch_learns },
	{ "policy.switch_group", "broadcast and multicast flood", switch_group },
	{ "policy.switch_same_port", "a frame for the port it came from is dropped",
	  switch_same_port },
	{ "policy.switch_moves", "a station that moves is learned anew", switch_moves },
	{ "policy.switch_forgets", "a port that is left is no station's any more", switch_forgets },
	{ "policy.switch_header", "what is no Ethernet frame is dropped", switch_needs_header },
	{ "policy.switch_deaf", "a unicast to who does not receive goes nowhere",
	  switch_not_reader },
	{ "policy.level", "level of the policy: an option it does not have is refused", level },
};
ROWS(rows_policy);
