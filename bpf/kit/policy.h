/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The macros that make a policy's programs of its handlemsg. name: at most 7 characters, since the
 * programs are named ipn_xdp_NAME, and the kernel keeps 15 characters of that. One of them per
 * object, followed by a semicolon.
 */
#ifndef IPN_KIT_POLICY_H
#define IPN_KIT_POLICY_H

#include "../core/kit.h"
#include "decision.h"
#include "message.h"

#include <ipn/policy_abi.h>

/*
 * IPN_POLICY: handlemsg decides, and does nothing else.
 *
 *	static __always_inline struct ipn_decision handle(const struct ipn_ctx *c,
 *							  const struct ipn_msg *m)
 *
 * It may be asked twice for one message (for devices, and for processes behind the segmenter), and
 * sees frames that are yet to be cut: so it must not count or take turns.
 */
#define IPN_POLICY(name, handle)                                             \
	static long ipn__batch_##name(__u32 i, struct batch *b)              \
	{                                                                    \
		return policy_batch_one(b, handle);                          \
	}                                                                    \
	SEC("xdp") int ipn_xdp_##name(struct xdp_md *ctx)                    \
	{                                                                    \
		return policy_run(ctx, HOOK_XDP, handle, ipn__batch_##name); \
	}                                                                    \
	SEC("tc") int ipn_tc_##name(struct __sk_buff *ctx)                   \
	{                                                                    \
		return policy_run(ctx, HOOK_TC, handle, NULL);               \
	}                                                                    \
	SEC("sk_skb") int ipn_sk_##name(struct __sk_buff *ctx)               \
	{                                                                    \
		return policy_sk(ctx, handle);                               \
	}                                                                    \
	IPN__NAME_FITS(name);                                                \
	IPN_POLICY_MARK

/*
 * IPN_POLICY_SEND: handlemsg sees each message once and whole, wherever it came from, so it may
 * count and take turns; and it may send by itself, different messages to different ports.
 *
 *	static __always_inline struct ipn_decision handle(const struct ipn_ctx *c,
 *							  struct ipn_msg *m)
 *	{
 *		ipn_forward(c, m, 3);
 *		ipn_forward(c, m, 5);
 *		return ipn_to_none();
 *	}
 *	IPN_POLICY_SEND(name, handle);
 *
 * Its networks take no sock ports. Of a grabbed interface it sees a clone of every frame: the
 * host's own is not touched.
 */
#define IPN_POLICY_SEND(name, handle)                                               \
	IPN__MESSAGE(name, handle, xdp, HOOK_XDP)                                   \
	IPN__MESSAGE(name, handle, tc, HOOK_TC)                                     \
	static long ipn__batch_##name(__u32 i, struct batch *b)                     \
	{                                                                           \
		return send_batch_one(b, ipn__xdp_##name);                          \
	}                                                                           \
	SEC("xdp") int ipn_xdp_##name(struct xdp_md *ctx)                           \
	{                                                                           \
		return send_run(ctx, HOOK_XDP, ipn__xdp_##name, ipn__batch_##name); \
	}                                                                           \
	SEC("tc") int ipn_tc_##name(struct __sk_buff *ctx)                          \
	{                                                                           \
		return send_run(ctx, HOOK_TC, ipn__tc_##name, NULL);                \
	}                                                                           \
	IPN__NAME_FITS(name);                                                       \
	IPN_POLICY_MARK

/* handlemsg at one hook: ipn__xdp_NAME, ipn__tc_NAME. */
#define IPN__MESSAGE(name, handle, at, hook)                                                    \
	NOINLINE int ipn__##at##_##name(void *ctx, struct ipn_msg *m, struct ipn_net_fast *net) \
	{                                                                                       \
		const struct ipn_ctx c = { ctx, hook, 1 };                                      \
                                                                                                \
		return send_message(&c, m, net, handle);                                        \
	}

/*
 * IPN_POLICY_REWRITE: between the two others. As with IPN_POLICY, frames come as they are, not cut,
 * and one decision brings them to one port by the short way; the policy may rewrite bytes of the
 * frame in place before (ipn_store), and it may make messages of its own with drafts. Two decisions
 * more say that a message is to be seen again elsewhere (ipn_to_devices, ipn_to_whole), and nothing
 * may have been changed then. It cannot flood. To a process go whole frames only. handlemsg is as
 * for IPN_POLICY_SEND.
 */
#define IPN_POLICY_REWRITE(name, handle)                       \
	SEC("xdp") int ipn_xdp_##name(struct xdp_md *ctx)      \
	{                                                      \
		return rewrite_run(ctx, HOOK_XDP, handle);     \
	}                                                      \
	SEC("tc") int ipn_tc_##name(struct __sk_buff *ctx)     \
	{                                                      \
		return rewrite_run(ctx, HOOK_TC, handle);      \
	}                                                      \
	SEC("sk_skb") int ipn_sk_##name(struct __sk_buff *ctx) \
	{                                                      \
		return rewrite_sk(ctx);                        \
	}                                                      \
	IPN__NAME_FITS(name);                                  \
	IPN_POLICY_MARK

/*
 * What every policy's object has, made by the macros above: its licence, and for what it was made.
 */
#define IPN_POLICY_MARK                                             \
	const struct ipn_policy_mark ipn_mark SEC("ipn_policy") = { \
		.magic = IPN_POLICY_MAGIC,                          \
		.abi = IPN_ABI_VERSION,                             \
		.call = sizeof(struct ipn_call),                    \
		.kit = IPN_KIT_VERSION,                             \
	};                                                          \
	char ipn_license[] SEC("license") = "GPL"

#define IPN__NAME_FITS(name)                           \
	_Static_assert(sizeof("ipn_xdp_" #name) <= 16, \
		       #name ": a policy's name has 1 to 7 characters")

#endif
