/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A message on its way: what the entry program of a hook knows of it and passes to the policy.
 *
 * It stands in a per-CPU map, since a tail call carries nothing but the context. That is safe
 * because these hooks run with bottom halves off and forward by queueing, so no second message
 * starts on this CPU between the entry and the policy. Programs of sockets (SK) do not: there the
 * policy's program finds the port itself, and has the message on its stack.
 */
#ifndef IPN_BPF_MSG_H
#define IPN_BPF_MSG_H

#include "defs.h"

struct ipn_msg {
	/* where it came from: the fields of struct ipn_port_in that policies and delivery need */
	__u32 net;
	__u32 port;
	__u32 kind;
	__u32 node;
	__u32 port_base; /* of the network, as it was when the message came */
	__u32 gen;
	__u32 policy;
	__u32 ifindex;
	/* the message */
	__u32 len;     /* bytes, a VLAN tag that the kernel holds apart included */
	__u32 off;     /* where it starts in the frame: after a process's private header */
	__u32 vlan;    /* the tag the kernel holds apart, TPID << 16 | TCI, or 0 */
	__u32 whole;   /* checksums are complete and it is one frame, not many */
	__u32 batch;   /* messages in the frame that came as a batch; else 0 */
	__u32 wake;    /* something of the batch went into the network's log */
	__u32 refused; /* IPN_TX_* >> 32: the pool did not take it */
	__u32 mtu;
	__u32 processes_only; /* out of the segmenter: devices have had theirs */
	__u32 draft;          /* enum ipn_draft; only looked at where ipn_ctx says `sends` */
	__u32 draft_at;       /* where the message starts in the draft */
	__u32 host_copy;      /* came into a grabbed interface: the host goes on with the frame */
	__u32 cable;          /* came over a cable: CABLE_* of cable.h, the number of hops too */
	__u64 now, tick;      /* msg_now */
};

/* A message as a hook sees it. `hook` is a constant wherever this is used. */
enum ipn_hook_id { HOOK_XDP, HOOK_TC, HOOK_CALL, HOOK_SK };
#define POLICY_SENDS 1    /* IPN_POLICY_SEND */
#define POLICY_REWRITES 2 /* IPN_POLICY_REWRITE: its networks take sock ports */
struct ipn_ctx {
	void *ctx; /* struct xdp_md or __sk_buff; CALL: none, a callback makes messages */
	enum ipn_hook_id hook;
	int sends; /* the policy sends by itself and may have made the message: kit.h */
};

/* Copies len bytes (a constant, or bounded and not 0) at `off` of the frame. 0 or negative. */
INLINE long ctx_load(const struct ipn_ctx *c, __u32 off, void *to, __u32 len)
{
	if (c->hook == HOOK_XDP)
		return bpf_xdp_load_bytes(c->ctx, off, to, len);
	return bpf_skb_load_bytes(c->ctx, off, to, len);
}

#endif
