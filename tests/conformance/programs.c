// SPDX-License-Identifier: GPL-2.0-or-later
/* Programs as the announcement of AF_IPN has them, and what it says can be written. */
#include "conf.h"

static int open_bus(int policy)
{
	return (int)OK(X(socket)(AF_IPN, SOCK_RAW, policy));
}

/* Every peer runs the same few calls: who comes first makes the network. */
static int peer_open(void)
{
	struct sockaddr_un name = { .sun_family = AF_IPN, .sun_path = NET };
	int s = open_bus(IPN_BROADCAST);

	OK(X(bind)(s, (struct sockaddr *)&name, sizeof(name)));
	OK(X(connect)(s, NULL, 0));
	return s;
}

enum { PEERS = 4 };

/* Says hello, and hears it from every other peer, by poll. */
static void peer_run(int number, const struct gate *in, const struct gate *go,
		     const struct gate *done, const struct gate *end)
{
	unsigned int heard = 1u << number;
	char c = (char)number;
	int s = peer_open();

	gate_open(in);
	gate_wait(go);
	EQ(X(send)(s, &c, 1, 0), 1);
	while (heard != (1u << PEERS) - 1) {
		struct pollfd p = { .fd = s, .events = POLLIN };
		unsigned int peer;

		EQ(X(poll)(&p, 1, LONG_MS), 1);
		EQ(X(recv)(s, &c, 1, 0), 1);
		peer = (unsigned char)c;
		TRUE(peer < PEERS);
		TRUE(!(heard & 1u << peer)); /* each once, and never itself */
		heard |= 1u << peer;
	}
	gate_open(done);
	gate_wait(end);
	gets_nothing(s);
	_exit(0);
}

static void peer_to_peer(void)
{
	struct gate in = gate_new(), go = gate_new(), done = gate_new(), end = gate_new();
	int pid[PEERS];

	for (int i = 0; i < PEERS; i++) {
		pid[i] = child();
		if (!pid[i])
			peer_run(i, &in, &go, &done, &end);
		gate_wait(&in);
	}
	for (int i = 0; i < PEERS; i++)
		gate_open(&go);
	for (int i = 0; i < PEERS; i++)
		gate_wait(&done);
	for (int i = 0; i < PEERS; i++)
		gate_open(&end);
	for (int i = 0; i < PEERS; i++)
		join_child(pid[i]);
}

/* All at the same moment: one makes the network, the others find it, time after time. */
static void peers_at_once(void)
{
	for (int round = 0; round < 20; round++) {
		struct gate go = gate_new(), in = gate_new(), end = gate_new();
		int pid[PEERS];

		for (int i = 0; i < PEERS; i++) {
			pid[i] = child();
			if (pid[i])
				continue;
			gate_wait(&go);
			peer_open();
			gate_open(&in);
			gate_wait(&end);
			_exit(0);
		}
		for (int i = 0; i < PEERS; i++)
			gate_open(&go);
		for (int i = 0; i < PEERS; i++)
			gate_wait(&in);
		for (int i = 0; i < PEERS; i++)
			gate_open(&end);
		for (int i = 0; i < PEERS; i++)
			join_child(pid[i]);
		unlink(NET);
	}
}

/* The sender makes the network and does not receive. */
static int sender_open(void)
{
	struct sockaddr_un name = { .sun_family = AF_IPN, .sun_path = NET };
	int s = open_bus(IPN_BROADCAST);

	OK(X(shutdown)(s, SHUT_RD));
	OK(X(bind)(s, (struct sockaddr *)&name, sizeof(name)));
	OK(X(connect)(s, NULL, 0));
	return s;
}

/* Receivers need not define the network, and do not send. */
static int receiver_open(void)
{
	struct sockaddr_un name = { .sun_family = AF_IPN, .sun_path = NET };
	int s = open_bus(IPN_BROADCAST);

	OK(X(shutdown)(s, SHUT_WR));
	OK(X(connect)(s, (struct sockaddr *)&name, sizeof(name)));
	return s;
}

enum { RECEIVERS = 5, STREAM = 200 };

static void one_to_many(void)
{
	struct gate begin = gate_new(), in = gate_new(), step = gate_new();
	int pid[RECEIVERS], s;
	char text[16];

	for (int i = 0; i < RECEIVERS; i++) {
		pid[i] = child();
		if (pid[i])
			continue;
		gate_wait(&begin);
		s = receiver_open();
		gate_open(&in);
		for (int n = 0; n < STREAM; n++) {
			snprintf(text, sizeof(text), "%d", n);
			gets_text(s, text);
			if (n % 4 == 3)
				gate_open(&step); /* the pool is 8 */
		}
		ERR(try_send(s, "x"), EPIPE);
		_exit(0);
	}
	s = sender_open();
	for (int i = 0; i < RECEIVERS; i++)
		gate_open(&begin);
	for (int i = 0; i < RECEIVERS; i++)
		gate_wait(&in);
	for (int n = 0; n < STREAM; n++) {
		snprintf(text, sizeof(text), "%d", n);
		send_text(s, text);
		for (int i = 0; n % 4 == 3 && i < RECEIVERS; i++)
			gate_wait(&step);
	}
	for (int i = 0; i < RECEIVERS; i++)
		join_child(pid[i]);
}

/* A sender that stops while nobody listens, and goes on when somebody does. */
struct feed {
	int fd;
	int readers;
};

static void feed_news(struct feed *f)
{
	struct pollfd p = { .fd = f->fd, .events = POLLPRI };
	struct numnode_oob news;
	struct iovec iov = { &news, sizeof(news) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (X(poll)(&p, 1, LONG_MS) != 1)
		FAIL("no news of the number of readers");
	TRUE(p.revents & POLLPRI);
	EQ(X(recvmsg)(f->fd, &msg, 0), sizeof(news));
	TRUE(msg.msg_flags & MSG_OOB);
	EQ(news.level, IPN_ANY);
	EQ(news.tag, IPN_OOB_NUMNODE_TAG);
	f->readers = news.numreaders;
}

static void stops_without_receivers(void)
{
	struct gate begin = gate_new(), again = gate_new();
	struct sockaddr_un name = { .sun_family = AF_IPN, .sun_path = NET };
	struct feed f = { .readers = -1 };
	int pid, on = 1, sent;

	pid = child();
	if (!pid) {
		for (int round = 0; round < 2; round++) {
			int s;

			gate_wait(round ? &again : &begin);
			s = receiver_open();
			gets_text(s, "news");
			OK(X(close)(s));
		}
		_exit(0);
	}
	f.fd = open_bus(IPN_BROADCAST);
	OK(X(setsockopt)(f.fd, 0, IPN_SO_HANDLE_OOB, &on, sizeof(on)));
	OK(X(setsockopt)(f.fd, 0, IPN_SO_WANT_OOB_NUMNODES, &on, sizeof(on)));
	OK(X(shutdown)(f.fd, SHUT_RD)); /* of data; news comes all the same */
	OK(X(bind)(f.fd, (struct sockaddr *)&name, sizeof(name)));
	OK(X(connect)(f.fd, NULL, 0));
	for (int round = 0; round < 2; round++) {
		while (f.readers)
			feed_news(&f); /* nobody listens: nothing is sent */
		gate_open(round ? &again : &begin);
		while (!f.readers)
			feed_news(&f);
		for (sent = 0; f.readers; sent++) {
			send_text(f.fd, "news");
			feed_news(&f); /* it hears it, and leaves */
		}
		EQ(sent, 1);
	}
	join_child(pid);
}

static const struct row rows_programs_table[] = {
	{ "program.peer_to_peer", "peers that all run the same code hear each other",
	  peer_to_peer },
	{ "program.peers_at_once", "and find each other when all come at once", peers_at_once },
	{ "program.one_to_many", "one sender, many receivers, each hears all", one_to_many },
	{ "oob.program", "a sender stops while there are no receivers, and goes on",
	  stops_without_receivers },
};
ROWS(rows_programs);
