/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Decisions: what handlemsg returns, that is what is to become of the message. */
#ifndef IPN_KIT_DECISION_H
#define IPN_KIT_DECISION_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <ipn/abi.h>

enum ipn_decision_kind {
	IPN_DECISION_DROP,
	IPN_DECISION_PORT,
	IPN_DECISION_FLOOD,
	IPN_DECISION_NONE,
	IPN_DECISION_DEVICES, /* IPN_POLICY_REWRITE only */
	IPN_DECISION_WHOLE,   /* the same */
};
struct ipn_decision {
	enum ipn_decision_kind kind;
	__u32 arg; /* DROP: enum ipn_drop; PORT: its number */
};

/* To nobody. `why` is counted at the sender's port (ipn-fabric stats): IPN_DROP_POLICY mostly. */
static __always_inline struct ipn_decision ipn_drop(enum ipn_drop why)
{
	return (struct ipn_decision){ IPN_DECISION_DROP, why };
}

/* To one port. Where that is not there, cannot receive or is down, it is counted as a drop. */
static __always_inline struct ipn_decision ipn_to_port(__u32 port)
{
	return (struct ipn_decision){ IPN_DECISION_PORT, port };
}

/* To all connected ports but the one it came from. */
static __always_inline struct ipn_decision ipn_to_flood(void)
{
	return (struct ipn_decision){ IPN_DECISION_FLOOD, 0 };
}

/* The policy has sent it, or keeps it from all: nothing is left to do, nothing is counted. */
static __always_inline struct ipn_decision ipn_to_none(void)
{
	return (struct ipn_decision){ IPN_DECISION_NONE, 0 };
}

/*
 * IPN_POLICY_REWRITE, at XDP: the policy wants the message again at tc, where devices can be sent
 * to. It has changed nothing.
 */
static __always_inline struct ipn_decision ipn_to_devices(void)
{
	return (struct ipn_decision){ IPN_DECISION_DEVICES, 0 };
}

/*
 * IPN_POLICY_REWRITE, at tc: the policy wants the message again when it has come out of the
 * segmenter, cut and with whole checksums. It has changed nothing.
 */
static __always_inline struct ipn_decision ipn_to_whole(void)
{
	return (struct ipn_decision){ IPN_DECISION_WHOLE, 0 };
}

#endif
