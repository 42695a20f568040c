/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Receiving: the logs, the bell, and waiting. The theory is at the head of rx.c. */
#ifndef IPN_RX_H
#define IPN_RX_H

#include <ipn/ipn.h>

#include "lib/follow.h"
#include "lib/sock.h"

/*
 * Takes one message into iov. Returns its length as ipn_recv does, 0 at end of file, or -errno;
 * *msg_flags gets MSG_TRUNC when it was cut.
 */
ssize_t rx_recv(struct ipn_sock *s, const struct iovec *iov, size_t iovcnt, int flags,
		int *msg_flags);

/* ipn_recv_peek and ipn_recv_done. */
int rx_peek(struct ipn_sock *s, struct ipn_view *views, unsigned int n, int flags);
int rx_done(struct ipn_sock *s, unsigned int n);

/* Sets which out-of-band messages come: enum sock_oob. What changed before does not come. */
void rx_set_oob(struct ipn_sock *s, uint32_t oob);

/* Length of the next message, 0 when there is none. */
int rx_next_len(struct ipn_sock *s);
uint64_t rx_overruns(struct ipn_sock *s);

/*
 * Before n own messages go into the network's log: would they stand in the way of what is pending?
 * Then it must be stashed. Of own_room at most are sent at a time.
 */
static inline bool rx_crowded(const struct rx *rx, unsigned int n)
{
	const struct rx_log *net = &rx->log[RX_NET];
	const struct ipn_log_head *head = (const void *)net->base;

	return rx->own_room && (__builtin_expect(follow_changes(rx), 0) ||
				__atomic_load_n(&head->head, __ATOMIC_ACQUIRE) + n -
						__atomic_load_n(&net->cursor, __ATOMIC_RELAXED) >
					rx->own_room);
}
void rx_stash(struct ipn_sock *s, unsigned int n);

/* Was the port taken away? */
bool rx_gone(struct ipn_sock *s);
/* Consumes the room bell. Under tx_lock. */
void rx_room_drain(struct ipn_sock *s);

/* Wakes the threads that wait on the descriptor, after something they look at has changed. */
void rx_wake(struct ipn_sock *s);

/*
 * For ipn_poll, which waits on many descriptors: the steps of the protocol, one by one, between
 * rx_wait_begin and rx_wait_end.
 */
enum rx_ready {                 /* bits */
		RX_IDLE = 0,    /* nothing */
		RX_MESSAGE = 1, /* a message to read */
		RX_OOB = 2,     /* an out-of-band message, which comes first */
		RX_CLOSED = 4,  /* receive side shut down */
		RX_EOF = 8,     /* everything shut down, or gone */
};
unsigned int rx_look(struct ipn_sock *s);
void rx_wait_begin(struct ipn_sock *s);
void rx_wait_end(struct ipn_sock *s);
void rx_drain(struct ipn_sock *s); /* consume the bell */
int rx_arm(struct ipn_sock *s);    /* ask for the bell; not 0: look every 10 ms besides */

/* What to poll(2) for the bell, and for the room bell. -1: nothing, look every 10 ms. */
int rx_watch(struct ipn_sock *s);
int rx_room_watch(struct ipn_sock *s);

/*
 * ipn_poll_fd: what says when a receive would not wait. rx_settle makes it say so, after anything
 * that took messages or records; it costs nothing where nobody asked.
 */
int rx_poll_fd(struct ipn_sock *s);
void rx_settle(struct ipn_sock *s);

/* Could there be something new since the last look? Takes no lock; wrong only to the safe side. */
bool rx_hint(const struct ipn_sock *s);

/* A record came into the bell that nobody has looked at. */
bool rx_news(const struct ipn_sock *s);

/* How often to sched_yield() before sleeping, and what came of it. */
unsigned int rx_yields(struct ipn_sock *s);
void rx_yields_learn(struct ipn_sock *s, bool found);

#endif
