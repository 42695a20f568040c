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
#include "../kit/message.h"

/* A message as a hook sees it. `hook` is a constant wherever this is used. */
enum ipn_hook_id { HOOK_XDP, HOOK_TC, HOOK_CALL, HOOK_SK };
#define POLICY_SENDS 1    /* IPN_POLICY_SEND */
#define POLICY_REWRITES 2 /* IPN_POLICY_REWRITE: its networks take sock ports */
struct ipn_ctx {
	void *ctx; /* struct xdp_md or __sk_buff; CALL: none, a callback makes messages */
	enum ipn_hook_id hook;
	int sends; /* the policy sends by itself and may have made the message: kit/draft.h */
};

/* Copies len bytes (a constant, or bounded and not 0) at `off` of the frame. 0 or negative. */
INLINE long ctx_load(const struct ipn_ctx *c, __u32 off, void *to, __u32 len)
{
	if (c->hook == HOOK_XDP)
		return bpf_xdp_load_bytes(c->ctx, off, to, len);
	return bpf_skb_load_bytes(c->ctx, off, to, len);
}

#endif
