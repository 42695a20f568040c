/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * IPv4 packets that are longer than the port takes they must leave by: into fragments, RFC 791.
 *
 * The packet is read into the draft once, so that its first fragment stands where it is read to;
 * the others are copied one after the other to the front of the draft, where what is overwritten
 * has been sent. Each goes the way of any message that the router makes; the last one at tc has
 * replaced the frame, so the decision is that all is done.
 *
 * Not cut, but dropped as too_big: with options (some belong into all fragments, some into the
 * first only), and what would be more than L3_PIECES.
 */
#ifndef IPN_L3_CUT_H
#define IPN_L3_CUT_H

#include "local.h"

#define L3_PIECES 64
#define CUT_AT 480         /* of the packet's frame, in the draft */
#define CUT_HEAD (14 + 20) /* before what is cut */
#define CUT_PAYLOAD 65472  /* at most, a multiple of 64 */
#define IP_MF 0x2000
#define IP_DF 0x4000

_Static_assert(CUT_AT < IPN_DRAFT_ROOM && CUT_AT >= CUT_HEAD, "the first fragment can be named");
_Static_assert(CUT_AT + IPN_MTU_MAX <= IPN_DRAFT_SIZE &&
		       CUT_AT + CUT_HEAD + 2 * CUT_PAYLOAD > IPN_DRAFT_SIZE,
	       "the draft takes any frame");

/* A wire has an MTU that nobody told the fabric. 0: not known. */
INLINE int l3_wire_mtu_on(const struct ipn_ctx *c, __u32 ifindex, __u32 unused)
{
	__u32 mtu = 0;

	/* it answers whether this packet fits, too, which is not asked here */
	return bpf_check_mtu(c->ctx, ifindex, &mtu, 0, 0) >= 0 && mtu >= 68 ? mtu : 0;
}
L3_GLOBAL(l3_wire_mtu)

/* MTU of the port that the message is to leave by; 0: that of the network, which it has kept. */
INLINE __u32 l3_mtu(const struct ipn_ctx *c, const struct ipn_l3_net *l3,
		    const struct ipn_port_out *dest, __u32 net, __u32 port)
{
	__u32 wire = dest->kind == IPN_KIND_GRAB ? l3_wire_mtu(c, dest->ifindex, 0) : 0;
	struct ipn_l3_port *out;
	__u32 own = 0;

	if (l3->flags & IPN_L3_OWN_MTU) {
		out = l3_port(net, port);
		own = out ? out->mtu : 0;
	}
	return wire && (!own || wire < own) ? wire : own;
}

/*
 * Can the next hop's Ethernet address, which goes to mac, be used as it is? Fragments
 * are not held: one that is missing makes the others useless. *ask: when they are sent.
 */
INLINE int l3_cut_neigh(struct ipn_l3_entry *e, __u32 gen, __u8 *mac, int *ask)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	union l3_who who = l3_who(e);

	__builtin_memcpy(mac, who.mac, 6);
	*ask = 0;
	if (l3_entry_fresh(e, who, gen, now))
		return 1;
	if (who.state != IPN_L3_REACHABLE || e->gen != gen)
		return 0;
	if ((__s64)(now - IPN_READ_ONCE(e->asked)) < (__s64)L3_ASK_NS)
		return 1;
	if (e->tries >= L3_TRIES)
		return 0;
	*ask = l3_ask_due(e, now);
	return 1;
}

/*
 * Makes the message the next fragment of the work: where it stands in the draft (first), or at the
 * front. 0, or -1.
 */
INLINE int l3_piece_on(const struct ipn_ctx *c, __u32 first, __u32 unused)
{
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	__u8 *d = ipn_draft_area(c), *p = d;
	struct ipn_l3_port *out;
	__u64 len, at;
	struct iphdr *ip;

	if (!w || !m || !d)
		return -1;
	out = l3_port(m->net, w->port);
	len = w->cut.left < w->cut.step ? w->cut.left : w->cut.step;
	at = w->cut.at;
	if (!out)
		return -1;
	if (first) {
		p = d + CUT_AT;
	} else {
		barrier_var(len);
		if (len < 1)
			return -1;
		barrier_var(len);
		barrier_var(at);
		if (len > CUT_PAYLOAD || at > CUT_AT + CUT_HEAD + CUT_PAYLOAD)
			return -1;
		bpf_probe_read_kernel(d + CUT_HEAD, len, d + at);
	}
	w->cut.left -= len;
	l3_ethernet(p, w->cut.mac, out->mac, ETH_P_IP);
	ip = (void *)(p + 14);
	__builtin_memcpy(ip, &w->frame.v4, 20);
	ip->tot_len = bpf_htons(20 + len);
	ip->frag_off = bpf_htons(w->cut.left ? w->cut.field | IP_MF : w->cut.field);
	ip->ttl--;
	ip->check = 0;
	ip->check = l3_fold(l3_sum(ip, 20, 0));
	w->cut.at += len;
	w->cut.field += len / 8;
	return ipn_use(m, first ? CUT_AT : 0, CUT_HEAD + len) ? -1 : 0;
}
L3_GLOBAL(l3_piece)

/* The whole frame into the draft. 0, or negative. */
INLINE int l3_cut_read_on(const struct ipn_ctx *c, __u32 unused, __u32 unused2)
{
	struct ipn_msg *m = l3_msg();
	__u8 *d = ipn_draft_area(c);
	__u64 len;

	if (!m || !d)
		return -1;
	len = m->len;
	barrier_var(len);
	if (len < CUT_HEAD)
		return -1;
	barrier_var(len);
	if (len > IPN_MTU_MAX)
		return -1;
	return ipn_load(c, m, 0, d + CUT_AT, len) ? -1 : 0;
}
L3_GLOBAL(l3_cut_read)

/*
 * The message, a whole packet with a header of 20 bytes and more than work->mtu of all, in
 * fragments to the work's next hop. gen: of the port it leaves by. What has to be done besides, the
 * caller does: the stack is short.
 */
#define L3_CUT_ASK L3_DECISION(IPN_DECISION_NONE, 1)     /* sent, and the next hop is to be asked */
#define L3_CUT_RESOLVE L3_DECISION(IPN_DECISION_NONE, 2) /* its address must be found out first */
INLINE int l3_cut_on(const struct ipn_ctx *c, __u32 gen, __u32 unused)
{
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	struct ipn_l3_entry *e;
	int ask;

	if (!w || !m || w->mtu < 68 || w->iplen <= w->mtu)
		return L3_DROP(TOO_BIG);
	w->cut.step = (w->mtu - 20) & ~7U;
	w->cut.left = w->iplen - 20;
	w->cut.at = CUT_AT + CUT_HEAD;
	w->cut.field = bpf_ntohs(w->frame.v4.frag_off);
	if (w->cut.left > CUT_PAYLOAD || w->cut.left > w->cut.step * L3_PIECES)
		return L3_DROP(TOO_BIG);
	e = l3_entry(w, m->net, w->port);
	if (!e || !l3_cut_neigh(e, gen, w->cut.mac, &ask))
		return L3_CUT_RESOLVE;
	if (l3_cut_read(c, 0, 0))
		return L3_DROP(HEADER);
	for (int i = 0; i < L3_PIECES && w->cut.left; i++) {
		if (l3_piece(c, !i, 0))
			return L3_DROP(TOO_BIG);
		l3_emit(c, w->port, 0);
	}
	if (!ask)
		return L3_DONE;
	e->tries++;
	return L3_CUT_ASK;
}
L3_GLOBAL(l3_cut)

/*
 * The packet is longer than the port takes it must leave by. What is known of it is read in the
 * work: where this is called, the stack has no room to keep it.
 */
INLINE struct ipn_decision l3_too_big(const struct ipn_ctx *c, const struct ipn_msg *m,
				      struct l3_work *w, const struct ipn_port_out *dest)
{
	int v;

	if (w->family != IPN_L3_INET || w->frame.v4.frag_off & bpf_htons(IP_DF)) {
		l3_error(c, L3_ERR_MTU, w->mtu);
		return ipn_drop(IPN_DROP_TOO_BIG);
	}
	if (w->frame.v4.ihl != 5)
		return ipn_drop(IPN_DROP_TOO_BIG);
	if (ipn_at_xdp(c) && dest->kind != IPN_KIND_PROC)
		return ipn_to_devices();
	if (!ipn_is_whole(c, m))
		return ipn_to_whole();
	v = l3_cut(c, dest->gen, 0);
	if (v == L3_CUT_ASK) {
		__builtin_memcpy(w->mac, w->cut.mac, 6);
		l3_ask(c, 1, 0);
		v = L3_DONE;
	} else if (v == L3_CUT_RESOLVE) {
		w->too_big = 1;
		v = l3_resolve(c, dest->gen, 0);
		w->too_big = 0;
		if ((v & 0xff) ==
		    IPN_DECISION_PORT) /* confirmed just now: the next one finds it so */
			v = L3_DROP(HELD);
	}
	return l3_decision(v);
}

#endif
