/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sending: a private header and the message, one write to the tap. */
#ifndef IPN_TX_H
#define IPN_TX_H

#include "lib/sock.h"

#include <sys/uio.h>

/* One message out of many pieces. Returns its length, or -errno as ipn_send. */
ssize_t tx_send(struct ipn_sock *s, const struct iovec *iov, size_t iovcnt, int flags);

/* One message per piece, in order, up to the first that fails. How many, or -errno if none. */
int tx_batch(struct ipn_sock *s, const struct iovec *msgs, unsigned int n, int flags);

/*
 * Would a message be taken now, of the kind that was refused last? True but on LOSSLESS networks
 * whose pool is full. If not, the room bell will ring; tx_room_drain consumes it, before the
 * question.
 */
bool tx_room(struct ipn_sock *s);
void tx_room_drain(struct ipn_sock *s);
/* ipn_poll_fd, as rx_poll_fd. */
int tx_poll_fd(struct ipn_sock *s);
/* Around waiting for the room bell, as rx_wait_begin and rx_wait_end. */
void tx_wait_begin(struct ipn_sock *s);
void tx_wait_end(struct ipn_sock *s);

/* A control frame to the fabric: IPN_TX_SLEEP, IPN_TX_RING... 0 or -errno. */
int tx_op(struct ipn_sock *s, enum ipn_tx_op op);

#endif
