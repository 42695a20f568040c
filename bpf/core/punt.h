/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The punt ring: what programs cannot deliver goes to a thread of the manager. That is what is for
 * a sock port and does not come from one, what comes from a sock port and is for a device, and
 * floods to sock ports. All else never comes here.
 *
 *   ring   one for the fabric, of a fixed size. Records are reserved by class, filled in place.
 *   share  a port may have half as much in it as there is room left. So however many ports flood
 *   it,
 *	    there is always room, and a port that sends little finds it.
 *   rate   a port may put so much into it in a window of time.
 *
 * What is refused is counted at the sender, by reason. The other side is user/manager/punt.c.
 */
#ifndef IPN_BPF_PUNT_H
#define IPN_BPF_PUNT_H

#include "log.h"
#include "stats.h"

#define PUNT_WINDOW_NS 20000000ULL
#define PUNT_WINDOW_BYTES (6U << 20) /* 300 MB/s of records */

#define PUNT_ETH 2048
#define PUNT_RECORD(name, bytes)      \
	struct name {                 \
		struct ipn_punt head; \
		__u8 data[bytes];     \
	}
PUNT_RECORD(punt_small, 256 - sizeof(struct ipn_punt));
PUNT_RECORD(punt_eth, PUNT_ETH - sizeof(struct ipn_punt));
PUNT_RECORD(punt_big, IPN_SOCK_FRAME_MAX);

/* May this port put so much into the ring? 0, or the reason + 1. */
INLINE int punt_may(__u32 node, __u32 size)
{
	struct ipn_punt_acct *a = bpf_map_lookup_elem(&ipn_punt_acct, &node);
	__u64 used, now = bpf_ktime_get_coarse_ns();
	__s64 room;

	if (!a)
		return IPN_DROP_PUNT_FULL + 1;
	used = bpf_ringbuf_query(&ipn_punt, BPF_RB_AVAIL_DATA);
	room = (__s64)IPN_PUNT_SIZE - (__s64)used;
	if ((__s64)(READ_ONCE(a->queued) - READ_ONCE(a->done)) * 2 > room)
		return IPN_DROP_PUNT_FULL + 1;
	/* two programs at once may both begin a window: one of them gets a little more */
	if (now - READ_ONCE(a->window) > PUNT_WINDOW_NS) {
		WRITE_ONCE(a->window, now);
		WRITE_ONCE(a->used, 0);
	}
	if (FETCH_ADD(&a->used, size) > PUNT_WINDOW_BYTES)
		return IPN_DROP_PUNT_RATE + 1;
	return 0;
}

INLINE void punt_head(struct ipn_punt *p, __u32 size, __u64 net_op, __u64 to, __u64 from, __u32 len)
{
	p->size = size;
	p->len = len;
	p->net = net_op >> 32;
	p->op = net_op;
	p->port = to >> 32;
	p->gen = to;
	p->from = from >> 32;
	p->node = from;
}

/* One class of records. 0, or the reason + 1. */
#define PUNT_CLASS(c, m, type)                                                                    \
	({                                                                                        \
		struct type *rec_;                                                                \
		__u64 n_ = len + 1;                                                               \
		int why_ = punt_may(from, sizeof(*rec_) + 8);                                     \
                                                                                                  \
		if (!why_) {                                                                      \
			why_ = IPN_DROP_PUNT_FULL + 1;                                            \
			rec_ = bpf_ringbuf_reserve(&ipn_punt, sizeof(*rec_), 0);                  \
			if (rec_) {                                                               \
				punt_head(&rec_->head, sizeof(*rec_) + 8, net_op, to, from, len); \
				barrier_var(n_);                                                  \
				why_ = 0;                                                         \
				if (n_ >= 2) {                                                    \
					n_--;                                                     \
					barrier_var(n_);                                          \
					if (n_ > sizeof(rec_->data) ||                            \
					    log_copy(c, m, rec_->data, n_, sizeof(rec_->data)))   \
						why_ = IPN_DROP_BAD_FRAME + 1;                    \
				}                                                                 \
				if (why_) {                                                       \
					bpf_ringbuf_discard(rec_, 0);                             \
				} else {                                                          \
					punt_queued(from, sizeof(*rec_) + 8);                     \
					bpf_ringbuf_submit(rec_, 0);                              \
				}                                                                 \
			}                                                                         \
		}                                                                                 \
		why_;                                                                             \
	})

INLINE void punt_queued(__u32 node, __u32 size)
{
	struct ipn_punt_acct *a = bpf_map_lookup_elem(&ipn_punt_acct, &node);

	if (a)
		FETCH_ADD(&a->queued, size);
}

INLINE int punt_put(const struct ipn_ctx *c, const struct ipn_msg *m, __u64 net_op, __u64 to,
		    __u64 from)
{
	__u32 len = m->len;

	if (len > IPN_SOCK_FRAME_MAX)
		return IPN_DROP_SOCK_SIZE + 1;
	if (len <= sizeof(((struct punt_small *)0)->data))
		return PUNT_CLASS(c, m, punt_small);
	if (len <= sizeof(((struct punt_eth *)0)->data))
		return PUNT_CLASS(c, m, punt_eth);
	return PUNT_CLASS(c, m, punt_big);
}

/*
 * Global functions, which the verifier looks at once per program. net_op: network and enum
 * ipn_punt_op; to: port and its gen; from: port and node; what: offset in the frame and length.
 */
GLOBAL int punt_xdp(struct xdp_md *ctx, __u64 net_op, __u64 to, __u64 from, __u64 what)
{
	const struct ipn_ctx c = { ctx, HOOK_XDP, 0 };
	struct ipn_msg m = { .off = what >> 32, .len = what };

	return punt_put(&c, &m, net_op, to, from);
}

GLOBAL int punt_skb(struct __sk_buff *ctx, __u64 net_op, __u64 to, __u64 from, __u64 what)
{
	const struct ipn_ctx c = { ctx, HOOK_TC, 0 };
	struct ipn_msg m = { .off = what >> 32, .len = what };

	if (ctx->vlan_present)
		m.vlan = bpf_ntohs(ctx->vlan_proto) << 16 | ctx->vlan_tci;
	return punt_put(&c, &m, net_op, to, from);
}

/* Counts it at the sender if it cannot be. */
INLINE void punt(const struct ipn_ctx *c, const struct ipn_msg *m, __u32 op, __u32 port, __u32 gen)
{
	__u64 net_op = (__u64)m->net << 32 | op, to = (__u64)port << 32 | gen;
	__u64 from = (__u64)m->port << 32 | m->node, what = (__u64)m->off << 32 | m->len;
	int why;

	why = c->hook == HOOK_XDP ? punt_xdp(c->ctx, net_op, to, from, what)
				  : punt_skb(c->ctx, net_op, to, from, what);
	if (why > 0)
		stats_drop(m->node, why - 1);
}

#endif
