/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages between sock ports: redirected in the kernel, out of the fabric's socket of the other
 * port.
 *
 * The kernel sends them a moment later, from a worker on the sender's CPU, and what is not sent yet
 * waits at the expense of the sender's own send buffer: who sends faster than the worker sends on,
 * sleeps until that has caught up. But what the recipient has no room for waits there as well, and
 * one who does not read could stop others. So when its queue is full, SK_WAITING messages may wait
 * for it; what is more is dropped and counted at that port. What was under way when the queue
 * became full, the manager throws away (user/manager/ports/sock.c). What waits for the worker
 * alone, which is late on a busy machine, stays.
 */
#ifndef IPN_BPF_SK_H
#define IPN_BPF_SK_H

#include "punt.h"

#define SK_WAITING 8

/*
 * Whose message it is: the address of the sending socket, as a number. The fabric's socket of the
 * port holds that one, so no other can have its address as long as the port is there.
 */
INLINE __u64 sk_sender(struct __sk_buff *skb)
{
	return (__u64)(void *)skb->sk;
}

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

/*
 * Has the kernel's worker given up? It does so for good after the first message that the
 * recipient's socket refuses: because that is closed, or is connected to another socket for the
 * moment.
 */
INLINE int sk_broken(const struct unix_sock *us)
{
	struct sk_psock *psock = sk_psock_of(us);
	unsigned long state = ~0UL;

	if (psock)
		BPF_CORE_READ_INTO(&state, psock, state);
	return !(state >> SK_PSOCK_TX_ENABLED & 1);
}

INLINE int sk_full(const struct sock *peer)
{
	__u32 max = peer->sk_max_ack_backlog;

	return peer->sk_receive_queue.qlen >= max;
}

/*
 * Must the kernel's worker wait until the recipient reads? Its queue is full, or what lies in that
 * has used up half of the send buffer of our socket, which is all that the worker may use.
 */
INLINE int sk_stuck(const struct unix_sock *us, const struct sock *peer)
{
	return sk_full(peer) || us->sk.sk_wmem_alloc.refs.counter >= us->sk.sk_sndbuf >> 1;
}

/* Is the port of this node behind with reading? */
GLOBAL int sk_slow(__u32 node)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&ipn_socks, &node);
	struct unix_sock *us;
	struct sock *peer;
	__u32 waiting;
	int slow = 1;

	if (!sk)
		return 1;
	us = (void *)bpf_skc_to_unix_sock(sk); /* in a policy the name has a suffix */
	if (us) {
		waiting = sk_waiting(us);
		peer = us->peer;
		slow = 0;
		if (waiting >= SK_WAITING && peer)
			slow = sk_full(peer);
	}
	bpf_sk_release(sk);
	return slow;
}

#endif
