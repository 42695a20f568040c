/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flows: what a policy found out lately for messages between the same two stations.
 *
 * Between two messages the kernel does so much else that nothing of a table is left in the CPU's
 * caches, and a look-up in a hash costs ten times one in an array (docs/performance.md). A policy
 * that asks several tables for each message therefore notes the answer, one line of memory, for
 * the next message of the same kind.
 *
 *	key    the holder of the port it came from (gen: no two of a fabric are the same), and up
 *	       to 32 bytes of the message, as the policy likes
 *	value  the port it goes to and that port's holder; an Ethernet address, and
 *	       a word, of the policy's
 *
 * A note is good for FLOW_NS, while the network's epoch is what it was before the policy began to
 * look, and while the port it leads to has the same holder. Who changes what a policy looks at,
 * changes that first and the epoch then: flow_forget in programs, bpf_epoch in the manager. So a
 * note that was made of old tables is never believed after the change; and where something was
 * forgotten after all, half a second ends it.
 *
 * Each CPU has its own notes, and hooks that run with bottom halves off do not interrupt one
 * another: no line is read half written. Programs of sockets can be interrupted, and make no notes.
 */
#ifndef IPN_BPF_FLOW_H
#define IPN_BPF_FLOW_H

#include "maps.h"

#define FLOW_NS 500000000ULL
#define FLOW_UNIT 20 /* `until` counts in 2^20 ns */

struct ipn_flow {
	__u32 gen;   /* of the port it came from */
	__u32 epoch; /* of the network, + 1; 0: no note */
	__u32 until;
	__u32 port;         /* where it goes */
	__u32 port_out_gen; /* holder of that port */
	__u32 word;         /* of the policy */
	__u8 mac[6];        /* of the policy */
	__u16 pad;
	__u64 key[4];
};
_Static_assert(sizeof(struct ipn_flow) == 64, "a line of memory");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);      /* so that it begins with a page */
	__uint(max_entries, 2 * IPN_CPU_FLOWS); /* the manager: that many for each possible CPU */
	__type(key, __u32);
	__type(value, struct ipn_flow);
} ipn_flows SEC(".maps");

/*
 * Coarse monotonic clock, ns. It moves when the jiffies do, and to look at these costs nothing,
 * while the helper costs as much as a look-up.
 */
INLINE __u64 msg_now(const struct ipn_msg *m)
{
	struct ipn_msg *mine = (struct ipn_msg *)m;
	__u64 tick = bpf_jiffies64();

	if (unlikely(mine->tick != tick)) {
		mine->now = bpf_ktime_get_coarse_ns();
		barrier();
		mine->tick = tick;
	}
	return mine->now;
}

/* The line where a note with this key stands, if there is one. */
INLINE struct ipn_flow *flow_line(const struct ipn_msg *m, const __u64 *key)
{
	__u64 h = key[0] * 0x9e3779b97f4a7c15ULL ^ key[1] * 0xc2b2ae3d27d4eb4fULL ^
		  key[2] * 0x165667b19e3779f9ULL ^ key[3] * 0xd6e8feb86659fd93ULL;
	__u32 at = ((h + m->gen * 0x9e3779b1U) * 0x9e3779b97f4a7c15ULL) >> 32;

	at = bpf_get_smp_processor_id() * IPN_CPU_FLOWS + (at & (IPN_CPU_FLOWS - 1));
	return bpf_map_lookup_elem(&ipn_flows, &at);
}

INLINE int flow_is(const struct ipn_flow *f, const struct ipn_msg *m, const __u64 *key)
{
	return f->gen == m->gen && !((f->key[0] ^ key[0]) | (f->key[1] ^ key[1]) |
				     (f->key[2] ^ key[2]) | (f->key[3] ^ key[3]));
}

/* Is the note good? Then *dest is where it leads to. */
INLINE int flow_good(const struct ipn_flow *f, const struct ipn_msg *m, const __u64 *key,
		     struct ipn_port_out **dest)
{
	__u32 id = m->net, at;
	struct ipn_net_fast *net;

	if (unlikely(!flow_is(f, m, key)))
		return 0;
	net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	if (unlikely(!net || f->epoch != READ_ONCE(net->epoch) + 1 || f->port >= net->numnodes ||
		     (__s32)(f->until - (__u32)(msg_now(m) >> FLOW_UNIT)) < 0))
		return 0;
	at = m->port_base + f->port;
	*dest = bpf_map_lookup_elem(&ipn_port_out, &at);
	return likely(*dest && (*dest)->kind && (*dest)->gen == f->port_out_gen);
}

/* To be asked before the policy looks at anything that it will make a note of. */
INLINE __u32 flow_epoch(const struct ipn_msg *m)
{
	__u32 id = m->net;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	return net ? (__u32)FETCH_ADD(&net->epoch, 0) : 0;
}

INLINE void flow_note(struct ipn_flow *f, const struct ipn_msg *m, const __u64 *key, __u32 epoch,
		      __u32 port, __u32 port_out_gen)
{
	f->gen = m->gen;
	f->epoch = epoch + 1;
	f->until = (msg_now(m) + FLOW_NS) >> FLOW_UNIT;
	f->port = port;
	f->port_out_gen = port_out_gen;
	f->key[0] = key[0];
	f->key[1] = key[1];
	f->key[2] = key[2];
	f->key[3] = key[3];
}

/* What the notes of this network were made of has changed. */
INLINE void flow_forget(const struct ipn_msg *m)
{
	__u32 id = m->net;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	if (net)
		FETCH_ADD(&net->epoch, 1);
}

#endif
