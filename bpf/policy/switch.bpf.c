// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Policy 2, Ethernet switch: learns where source addresses are, sends to one port what is for a
 * known one, floods the rest, and never sends a frame back to the port it came from.
 *
 * An entry is good for IPN_FDB_AGE_NS after the address was last seen, and as long as the port it
 * names has the holder it had then (gen): nothing need be flushed when a port changes hands. The
 * time is refreshed once a second at the most, to keep the entry's cache line shared. Another CPU's
 * clock may be a little ahead of ours, so ages are signed.
 *
 * What a station sends to all comes back where cables form a ring, and by more than one way. The
 * first to come is the one over the fewest cables, so what came over a cable takes no address from
 * a port where it was seen just now.
 *
 * Between two stations that talk, all this was asked a moment ago: flow.h. A flow is shorter than
 * both times above, so that the entries behind it are refreshed in time.
 *
 * All networks share the table, and it forgets what was not used for longest when it is full. So
 * that nobody washes out the addresses of others with invented ones, a port and a network learn
 * only so many: some at once, then at a rate. What is not learned is flooded like any unknown
 * address.
 */
#include <ipn/policy.h>

#include "core/flow.h"

#define ETH_HLEN 14
#define REFRESH_NS 1000000000ULL
#define HOLD_NS (2 * REFRESH_NS)

#define PORT_BURST 1024
#define PORT_NS (1000000000ULL / 32)
#define NET_BURST 8192
#define NET_NS (1000000000ULL / 256)

/* May one more address be learned? Two CPUs may both take the last place; so be it. */
INLINE int learn_may(__u32 at, __u32 gen, __u64 now, __u64 step, __u64 burst)
{
	struct ipn_learn *l = bpf_map_lookup_elem(&ipn_learns, &at);
	__u64 next;

	if (!l)
		return 0;
	next = IPN_READ_ONCE(l->next);
	if (l->gen != gen || (__s64)(next - now) < 0)
		next = now;
	if (next - now >= burst * step)
		return 0;
	IPN_WRITE_ONCE(l->gen, gen);
	IPN_WRITE_ONCE(l->next, next + step);
	return 1;
}

/* Is the source known to be here, by now? */
INLINE int learn(const struct ipn_msg *m, struct ipn_fdb_key *key, const __u8 *mac, __u64 now)
{
	struct ipn_fdb fresh = { .port = m->port, .gen = m->gen, .seen = now }, *e;

	__builtin_memcpy(key->mac, mac, sizeof(key->mac));
	e = bpf_map_lookup_elem(&ipn_fdb, key);
	if (e && e->port == m->port && e->gen == m->gen) {
		if ((__s64)(now - e->seen) > (__s64)REFRESH_NS)
			e->seen = now;
		return 1;
	}
	if (e && m->cable && (__s64)(now - e->seen) < (__s64)HOLD_NS)
		return 0;
	if (!learn_may(m->node, m->gen, now, PORT_NS, PORT_BURST) ||
	    !learn_may(IPN_MAX_NODES + m->net, 0, now, NET_NS, NET_BURST))
		return 0;
	bpf_map_update_elem(&ipn_fdb, key, &fresh, BPF_ANY);
	flow_forget(m);
	return 0; /* a flow that is noted from here on would have the epoch before */
}

/* Of a flow: destination, source. */
INLINE void flow_key(const __u8 *mac, __u64 key[4])
{
	key[0] = (__u64)mac[0] | (__u64)mac[1] << 8 | (__u64)mac[2] << 16 | (__u64)mac[3] << 24 |
		 (__u64)mac[4] << 32 | (__u64)mac[5] << 40;
	key[1] = (__u64)mac[6] | (__u64)mac[7] << 8 | (__u64)mac[8] << 16 | (__u64)mac[9] << 24 |
		 (__u64)mac[10] << 32 | (__u64)mac[11] << 40;
	key[2] = key[3] = 0;
}

/*
 * Where the message before this one between the same two went, if that is still good; else -1. The
 * addresses are read where they stand, if that can be. Functions of their own: the stack is short.
 */
INLINE int follow(const struct ipn_ctx *c, const struct ipn_msg *m, __u8 *data, const __u8 *end)
{
	struct ipn_flow *flow;
	struct ipn_port_out *dest;
	__u64 key[4];
	__u8 mac[12];

	if (unlikely(m->len < ETH_HLEN))
		return -1;
	if (ipn_at_xdp(c) && m->batch) { /* anywhere in the frame */
		if (ipn_load(c, m, 0, mac, sizeof(mac)))
			return -1;
		flow_key(mac, key);
	} else {
		data += m->off & 15;
		if (unlikely(m->off > 15 || data + ETH_HLEN > end))
			return -1;
		flow_key(data, key);
	}
	flow = flow_line(m, key);
	return likely(flow && flow_good(flow, m, key, &dest)) ? (int)flow->port : -1;
}

NOINLINE int follow_xdp(struct xdp_md *ctx, const struct ipn_msg *m)
{
	const struct ipn_ctx c = { ctx, HOOK_XDP, 0 };

	return follow(&c, m, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
}

NOINLINE int follow_tc(struct __sk_buff *ctx, const struct ipn_msg *m)
{
	const struct ipn_ctx c = { ctx, HOOK_TC, 0 };

	return follow(&c, m, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
}

NOINLINE int note(const struct ipn_msg *m, const __u8 *mac, __u32 epoch, struct ipn_fdb *e)
{
	struct ipn_flow *flow;
	__u64 key[4];

	flow_key(mac, key);
	flow = flow_line(m, key);
	if (flow)
		flow_note(flow, m, key, epoch, e->port, e->gen);
	return 0;
}

INLINE struct ipn_decision ethernet_switch(const struct ipn_ctx *c, const struct ipn_msg *m)
{
	struct ipn_fdb_key key = { .net = m->net };
	int known = 0, port = -1;
	struct ipn_port_out *dest;
	struct ipn_fdb *e;
	__u8 mac[12]; /* destination, source */
	__u32 at, epoch;
	__u64 now;

	if (ipn_at_xdp(c))
		port = follow_xdp(c->ctx, m);
	else if (ipn_at_tc(c))
		port = follow_tc(c->ctx, m);
	if (likely(port >= 0))
		return ipn_to_port(port);

	epoch = flow_epoch(m);
	now = msg_now(m);
	if (m->len < ETH_HLEN || ipn_load(c, m, 0, mac, sizeof(mac)))
		return ipn_drop(IPN_DROP_RUNT);
	if ((mac[6] & 1) || !(mac[6] | mac[7] | mac[8] | mac[9] | mac[10] | mac[11]))
		return ipn_drop(IPN_DROP_SOURCE);
	if (!m->processes_only) /* or it was learned on its way to the segmenter */
		known = learn(m, &key, mac + 6, now);
	if (mac[0] & 1)
		return ipn_to_flood();

	__builtin_memcpy(key.mac, mac, sizeof(key.mac));
	e = bpf_map_lookup_elem(&ipn_fdb, &key);
	if (!e || (__s64)(now - e->seen) > (__s64)IPN_FDB_AGE_NS)
		return ipn_to_flood();
	at = m->port_base + e->port;
	dest = bpf_map_lookup_elem(&ipn_port_out, &at);
	if (!dest || dest->gen != e->gen || !dest->kind)
		return ipn_to_flood();
	if (e->port == m->port)
		return ipn_drop(IPN_DROP_SAME_PORT);
	if (known && (ipn_at_xdp(c) || ipn_at_tc(c)))
		note(m, mac, epoch, e);
	return ipn_to_port(e->port);
}
IPN_POLICY(switch, ethernet_switch);
