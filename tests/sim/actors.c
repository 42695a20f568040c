// SPDX-License-Identifier: GPL-2.0-or-later
/* What processes do: they send and receive by libipn, in every way that it has. */
#include "world.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "lib/poll.h"
#include "lib/rx.h"
#include "lib/tx.h"

#define BATCH 6
#define VIEWS 4
#define TRIES 3

/* --- messages ------------------------------------------------------------------------------ */

/* The next message of the process. */
static int message_new(struct proc *p)
{
	struct message *m = &p->message[p->messages];
	bool to_one = world.is_switch && sim_chance(160);

	memset(m, 0, sizeof(*m));
	m->len = HEADER + 2 + sim_below(sim_chance(200) ? 16 : MSG_LEN_MAX - HEADER - 2);
	m->to = to_one ? (int)sim_below((uint32_t)world.procs) : -1;
	if (m->to == p->id)
		m->to = -1;
	m->task = sim_current->id;
	return p->messages++;
}

/* Some time, so that the others come to rest or get far ahead. */
static void pause_some(void)
{
	uint32_t how = sim_below(16);

	if (how == 0)
		sim_park(sim_now + 1 + sim_below(400000));
	else if (how < 3)
		sim_current->stalled = sim_below(100);
}

/* --- sending ------------------------------------------------------------------------------- */

static ssize_t send_one(struct proc *p, int message, int flags)
{
	uint8_t data[MSG_LEN_MAX];
	struct iovec iov[2] = { { data, message_make(data, p->id, message) } };
	size_t n = 1;
	ssize_t r;

	if (p->style & 1) { /* in two pieces */
		iov[1] = (struct iovec){ data + HEADER, iov[0].iov_len - HEADER };
		iov[0].iov_len = HEADER;
		n = 2;
	}
	p->message[message].outcome = TRYING;
	sim_current->wants_room = true;
	r = tx_send(p->s, iov, n, flags);
	sim_current->wants_room = false;
	sim_log("sends %d/%d: %zd", p->id, message, r);
	p->message[message].outcome = r >= 0 ? SENT : REFUSED;
	return r;
}

static int send_batch(struct proc *p, int flags)
{
	uint8_t data[BATCH][MSG_LEN_MAX];
	struct iovec iov[BATCH];
	int first = p->messages, n = 2 + (int)sim_below(BATCH - 1), r;

	if (p->to_send - p->messages < n)
		n = p->to_send - p->messages;
	for (int i = 0; i < n; i++) {
		int message = message_new(p);

		iov[i] = (struct iovec){ data[i], message_make(data[i], p->id, message) };
		p->message[message].outcome = TRYING;
	}
	sim_current->wants_room = true;
	r = tx_batch(p->s, iov, (unsigned int)n, flags);
	sim_current->wants_room = false;
	sim_log("sends a batch %d/%d to %d: %d", p->id, first, first + n - 1, r);
	for (int i = 0; i < n; i++)
		p->message[first + i].outcome = i < r ? SENT : REFUSED;
	return r;
}

/* As a program that does not want to wait, or with ipn_poll. */
static ssize_t send_patient(struct proc *p, int message, bool with_poll)
{
	ssize_t r = -EAGAIN;

	for (int i = 0; i < TRIES && r == -EAGAIN; i++) {
		if (with_poll) {
			struct pollfd fd = { .fd = p->fd, .events = POLLOUT };

			sim_current->wants_room = true;
			poll_any(&fd, 1, p->role & ROLE_BOTH || sim_chance(128) ? 1 : -1);
			sim_current->wants_room = false;
		} else if (i) {
			sim_yield_now();
		}
		r = send_one(p, message, MSG_DONTWAIT);
	}
	return r;
}

/* One message or some, in one of the ways. False: it may not send any more. */
static bool send_some(struct proc *p, bool may_wait)
{
	uint32_t how = sim_below(8);
	ssize_t r;

	if (p->messages >= p->to_send)
		return false;
	if (how < 2 && p->to_send - p->messages >= 2)
		r = send_batch(p, may_wait ? 0 : MSG_DONTWAIT);
	else if (how < 4 || !may_wait)
		r = send_patient(p, message_new(p), how & 1 && may_wait);
	else
		r = send_one(p, message_new(p), 0);
	return r >= 0 || r == -EAGAIN;
}

static void sender_main(void *arg)
{
	struct proc *p = arg;

	while (send_some(p, true))
		pause_some();
}

/* --- receiving ----------------------------------------------------------------------------- */

static ssize_t receive_one(struct proc *p, int flags)
{
	uint8_t data[MSG_LEN_MAX + 8];
	struct iovec iov = { data, sizeof(data) };
	int msg_flags;
	ssize_t r;

	p->before[0] = world.net_log.numbers;
	p->before[1] = p->own ? p->own->numbers : 0;
	sim_current->wants_message = !(flags & MSG_DONTWAIT);
	r = rx_recv(p->s, &iov, 1, flags, &msg_flags);
	sim_current->wants_message = false;
	p->by_call = true;
	if (r > 0 && !(flags & MSG_PEEK))
		check_received(p, data, (size_t)r);
	p->by_call = false;
	return r;
}

static ssize_t receive_peek(struct proc *p, int flags)
{
	uint8_t data[VIEWS][MSG_LEN_MAX + 8];
	struct ipn_view view[VIEWS];
	int n, whole;

	sim_current->wants_message = !(flags & MSG_DONTWAIT);
	n = rx_peek(p->s, view, 1 + sim_below(VIEWS), flags);
	sim_current->wants_message = false;
	if (n <= 0)
		return n;
	for (int i = 0; i < n; i++)
		sim_copy(data[i], view[i].data,
			 view[i].len < MSG_LEN_MAX ? view[i].len : MSG_LEN_MAX);
	pause_some();
	n = sim_chance(200) ? n : 1 + (int)sim_below((uint32_t)n);
	whole = rx_done(p->s, (unsigned int)n);
	for (int i = n - whole; i < n; i++)
		check_received(p, data[i], view[i].len);
	return 1;
}

static ssize_t receive_polled(struct proc *p)
{
	struct pollfd fd = { .fd = p->fd, .events = POLLIN };

	sim_current->wants_message = sim_current->polls = true;
	poll_any(&fd, 1, sim_chance(128) ? -1 : 1);
	sim_current->wants_message = sim_current->polls = false;
	return receive_one(p, MSG_DONTWAIT);
}

/* False: end of file. */
static bool receive_some(struct proc *p, bool may_wait)
{
	int flags = may_wait ? 0 : MSG_DONTWAIT;
	ssize_t r;

	switch (sim_below(8)) {
	case 0:
		r = receive_polled(p);
		break;
	case 1:
	case 2:
		r = receive_peek(p, flags | (sim_chance(64) ? MSG_WAITFORONE : 0));
		break;
	case 3:
		r = receive_one(p, flags | MSG_PEEK);
		break;
	case 4:
		r = receive_one(p, MSG_DONTWAIT);
		break;
	default:
		r = receive_one(p, flags);
	}
	return r > 0 || r == -EAGAIN || r == -EBUSY;
}

static void reader_main(void *arg)
{
	struct proc *p = arg;

	while (receive_some(p, true))
		if (p->style & 2)
			pause_some();
	sim_log("reads no more");
}

/* One thread for both must not wait for room while others wait for it. */
static void both_main(void *arg)
{
	struct proc *p = arg;
	bool may_wait = !world.lossless;

	while (send_some(p, may_wait || p->style & 4)) {
		for (uint32_t n = sim_below(4); n; n--)
			receive_some(p, false);
		pause_some();
	}
	reader_main(p);
}

static void start(struct proc *p, void (*fn)(void *), const char *what)
{
	char name[24];

	snprintf(name, sizeof(name), "%s%d", what, p->id);
	sim_task_new(name, fn, p)->owner = p;
}

void actors_start(struct proc *p)
{
	if (p->role & (ROLE_SEND | ROLE_SEND_TWICE))
		start(p, sender_main, "send");
	if (p->role & ROLE_SEND_TWICE)
		start(p, sender_main, "send_too");
	if (p->role & (ROLE_READ | ROLE_READ_TWICE))
		start(p, reader_main, "read");
	if (p->role & ROLE_READ_TWICE)
		start(p, reader_main, "read_too");
	if (p->role & ROLE_BOTH)
		start(p, both_main, "both");
}
