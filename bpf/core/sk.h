/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages between sock ports: redirected in the kernel, out of the fabric's socket of the other
 * port.
 *
 * The kernel sends them a moment later, from a worker, and what the recipient has no room for waits
 * there at the expense of the sender's own send buffer. So one who does not read could stop others.
 * Therefore not much may wait for one port (SK_WAITING); what is more is dropped and counted at that
 * port, and the manager throws away what waits too long (user/manager/sock.c).
 */
#ifndef IPN_BPF_SK_H
#define IPN_BPF_SK_H

#include "punt.h"

#define SK_WAITING 64
#define SK_WAITING_FULL 8 /* when the recipient's own queue is full */

INLINE struct sk_psock *sk_psock_of(const struct unix_sock *us)
{
	return (void *)((__u64)us->sk.sk_user_data & ~7ULL);
}

/* Messages that wait to be sent out of this socket. */
INLINE __u32 sk_waiting(const struct unix_sock *us)
{
	struct sk_psock *psock = sk_psock_of(us);
	__u32 n = 0;

	if (psock)
		BPF_CORE_READ_INTO(&n, psock, ingress_skb.qlen);
	return n;
}

/* Is the port of this node behind with reading? */
GLOBAL int sk_slow(__u32 node)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&ipn_socks, &node);
	struct unix_sock *us;
	struct sock *peer;
	__u32 waiting, max;
	int slow = 1;

	if (!sk)
		return 1;
	us = bpf_skc_to_unix_sock(sk);
	if (us) {
		waiting = sk_waiting(us);
		peer = us->peer;
		slow = waiting >= SK_WAITING;
		if (!slow && waiting >= SK_WAITING_FULL && peer) {
			max = peer->sk_max_ack_backlog;
			slow = peer->sk_receive_queue.qlen >= max;
		}
	}
	bpf_sk_release(sk);
	return slow;
}

#endif
