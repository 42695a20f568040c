/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drafts: where a policy makes a message that is not, byte for byte, the frame it came in. Each CPU
 * has one for the hooks (entry 1 + CPU), and callbacks have one (entry 0): only one of them runs at
 * a time.
 */
#ifndef IPN_BPF_DRAFT_H
#define IPN_BPF_DRAFT_H

#include "maps.h"

struct draft_bytes {
	__u8 bytes[IPN_DRAFT_SIZE];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2); /* the manager: 1 + possible CPUs */
	__type(key, __u32);
	__type(value, struct draft_bytes);
} ipn_drafts SEC(".maps");

/* What `draft` of a message says. */
enum ipn_draft { DRAFT_NONE = 0, DRAFT_USED, DRAFT_IN_FRAME /* the frame is the same by now */ };

INLINE __u8 *draft_of(const struct ipn_ctx *c)
{
	__u32 at = c->hook == HOOK_CALL ? 0 : 1 + bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&ipn_drafts, &at);
}

/* Copies the draft that is the message, len bytes. 0 or negative. */
INLINE long draft_load(const struct ipn_ctx *c, const struct ipn_msg *m, __u8 *to, __u64 len,
		       const __u32 max)
{
	__u32 from = m->draft_at & (IPN_DRAFT_ROOM - 1);
	__u8 *draft = draft_of(c);

	if (!draft)
		return -1;
	barrier_var(len);
	if (len > max)
		return -1;
	return bpf_probe_read_kernel(to, len, draft + from);
}

#endif
