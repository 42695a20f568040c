/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Counters per port and CPU. Programs of sockets can be interrupted by those of interfaces, which
 * run to their end: so the first add atomically, and for the second plain additions do.
 */
#ifndef IPN_BPF_STATS_H
#define IPN_BPF_STATS_H

#include "maps.h"

INLINE void stats_in(__u32 node, __u32 packets, __u64 bytes)
{
	struct ipn_stats *s = bpf_map_lookup_elem(&ipn_stats, &node);

	if (s) {
		s->in_packets += packets;
		s->in_bytes += bytes;
	}
}

/* The same two for programs of sockets. */
INLINE void stats_in_sk(__u32 node, __u64 bytes)
{
	struct ipn_stats *s = bpf_map_lookup_elem(&ipn_stats, &node);

	if (s) {
		__sync_fetch_and_add(&s->in_packets, 1);
		__sync_fetch_and_add(&s->in_bytes, bytes);
	}
}

INLINE void stats_out_sk(__u32 node, __u64 bytes)
{
	struct ipn_stats *s = bpf_map_lookup_elem(&ipn_stats, &node);

	if (s) {
		__sync_fetch_and_add(&s->out_packets, 1);
		__sync_fetch_and_add(&s->out_bytes, bytes);
	}
}

/* A message that was counted was not taken after all. */
INLINE void stats_in_undo(__u32 node, __u32 len)
{
	struct ipn_stats *s = bpf_map_lookup_elem(&ipn_stats, &node);

	if (s) {
		s->in_packets--;
		s->in_bytes -= len;
	}
}

INLINE void stats_out(__u32 node, __u32 len)
{
	struct ipn_stats *s = bpf_map_lookup_elem(&ipn_stats, &node);

	if (s) {
		s->out_packets++;
		s->out_bytes += len;
	}
}

INLINE void stats_drops(__u32 node, enum ipn_drop why, __u32 n)
{
	struct ipn_stats *s = bpf_map_lookup_elem(&ipn_stats, &node);

	if (s && why < IPN_DROP_MAX)
		__sync_fetch_and_add(&s->drop[why], n);
}

INLINE void stats_drop(__u32 node, enum ipn_drop why)
{
	stats_drops(node, why, 1);
}

#endif
