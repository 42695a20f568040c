/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Neighbours: who has which address at which port.
 *
 *   INCOMPLETE  asked for; up to three frames are held meanwhile; asked again once a second
 *   REACHABLE   good for 30 s after it was confirmed; then used on, and asked for by unicast once a
 *               second; after three questions without an answer it is forgotten
 *   FAILED      three questions without an answer: for 3 s nobody is asked, senders are told
 *
 * Nothing of this needs a timer: each step is taken by the packet that finds it due. An entry is
 * good for the holder of its port (gen), so nothing need be flushed when that changes.
 *
 * Who answers first has the address. Who claims it while another has confirmed it within 30 s is
 * refused (`claim`): after that the router asks the old owner, by unicast, and only when he is
 * silent anybody. Addresses set by the user are never changed by what comes in.
 *
 * A held frame is ready to go but for its destination's Ethernet address. Who stores or takes one
 * owns its slot meanwhile (busy); a slot that is needed for a newer frame loses the older one.
 */
#ifndef IPN_L3_NEIGH_H
#define IPN_L3_NEIGH_H

#include "send.h"

#define L3_REACHABLE_NS (30ULL * 1000000000)
#define L3_ASK_NS 1000000000ULL
#define L3_FAILED_NS (3 * L3_ASK_NS)
#define L3_TRIES 3

union l3_who {
	struct {
		__u8 mac[6];
		__u16 state;
	};
	__u64 word;
};

INLINE union l3_who l3_who(const struct ipn_l3_entry *e)
{
	return (union l3_who){ .word = IPN_READ_ONCE(*(__u64 *)e->mac) };
}

INLINE void l3_who_set(struct ipn_l3_entry *e, const __u8 *mac, __u16 state)
{
	union l3_who who = { .state = state };

	if (mac)
		__builtin_memcpy(who.mac, mac, 6);
	IPN_WRITE_ONCE(*(__u64 *)e->mac, who.word);
}

INLINE void *l3_neighs(__u32 net)
{
	return bpf_map_lookup_elem(&ipn_l3_neigh, &net);
}

/* The entry of the work's next hop at a port. Leaves the key in the work. */
INLINE struct ipn_l3_entry *l3_entry(struct l3_work *w, __u32 net, __u32 port)
{
	void *neighs = l3_neighs(net);

	w->neigh.net = 0;
	w->neigh.port = port;
	__builtin_memcpy(w->neigh.addr, w->hop, 16);
	return neighs ? bpf_map_lookup_elem(neighs, &w->neigh) : NULL;
}

/* Good without a question? */
INLINE int l3_entry_fresh(const struct ipn_l3_entry *e, union l3_who who, __u32 gen, __u64 now)
{
	if (who.state == IPN_L3_STATIC)
		return 1;
	return who.state == IPN_L3_REACHABLE && e->gen == gen &&
	       (__s64)(now - e->confirmed) < (__s64)L3_REACHABLE_NS;
}

/* Makes the entry of which l3_entry has left the key. A static one if the user said so. */
INLINE struct ipn_l3_entry *l3_entry_make(struct l3_work *w, __u32 net, __u32 gen)
{
	void *neighs = l3_neighs(net);
	struct ipn_l3_entry *said;

	if (!neighs)
		return NULL;
	__builtin_memset(&w->fresh, 0, sizeof(w->fresh));
	w->fresh.gen = gen;
	w->neigh.net = net;
	said = bpf_map_lookup_elem(&ipn_l3_static, &w->neigh);
	if (said)
		*(__u64 *)w->fresh.mac = *(__u64 *)said->mac;
	w->neigh.net = 0;
	bpf_map_update_elem(neighs, &w->neigh, &w->fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(neighs, &w->neigh);
}

/* --- held frames ------------------------------------------------------------------------------*/

INLINE struct ipn_l3_held *l3_held_slot(__u32 net, __u64 number)
{
	void *slots = bpf_map_lookup_elem(&ipn_l3_held, &net);
	__u32 at = number & (IPN_L3_HELD_SLOTS - 1);

	return slots ? bpf_map_lookup_elem(slots, &at) : NULL;
}

/* Takes the slot for itself. */
INLINE int l3_held_take(struct ipn_l3_held *slot)
{
	return !IPN_CAS(&slot->busy, 0, 1);
}

INLINE void l3_held_give(struct ipn_l3_held *slot, __u64 seq)
{
	IPN_WRITE_ONCE(slot->seq, seq);
	IPN_FULL_BARRIER(IPN_XCHG(&slot->busy, 0));
}

/* Holds the message, which is as it will leave. 0, or it could not. */
INLINE int l3_hold_on(const struct ipn_ctx *c, __u32 unused, __u32 unused2)
{
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	struct ipn_l3_entry *e;
	struct ipn_l3_held *slot;
	struct ipn_l3_net *l3;
	__u64 len, n, mine;
	__u32 net;

	if (!w || !m)
		return -1;
	net = m->net;
	l3 = bpf_map_lookup_elem(&ipn_l3_nets, &net);
	e = l3_entry(w, net, w->port);
	if (!l3 || !e || IPN_READ_ONCE(e->nheld) >= IPN_L3_HELD_PER_NEIGH)
		return -1;
	len = m->len;
	if (len > IPN_L3_HELD_DATA || m->vlan || w->too_big)
		return -1;
	n = IPN_FETCH_ADD(&l3->held, 1);
	slot = l3_held_slot(net, n);
	if (!slot || !l3_held_take(slot))
		return -1;
	if (slot->seq)
		stats_drop(slot->node, IPN_DROP_HELD);
	slot->node = m->node;
	slot->port = m->port;
	slot->len = len;
	barrier_var(len);
	if (len < 14) {
		l3_held_give(slot, 0);
		return -1;
	}
	barrier_var(len);
	if (len > IPN_L3_HELD_DATA || ipn_load(c, m, 0, slot->data, len)) {
		l3_held_give(slot, 0);
		return -1;
	}
	mine = IPN_FETCH_ADD(&e->nheld, 1);
	if (mine >= IPN_L3_HELD_PER_NEIGH) {
		l3_held_give(slot, 0);
		return -1;
	}
	e->held[mine & 1 ? 1 : mine & 2 ? 2 : 0] = n;
	l3_held_give(slot, n + 1);
	return 0;
}
L3_GLOBAL(l3_hold)

/* Nobody answers: what is held for the work's next hop is dropped. */
INLINE int l3_held_drop_on(const struct ipn_ctx *c, __u32 unused, __u32 unused2)
{
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	struct ipn_l3_held *slot;
	struct ipn_l3_entry *e;

	e = w && m ? l3_entry(w, m->net, w->port) : NULL;
	if (!e)
		return 0;
	for (__u32 i = 0; i < IPN_L3_HELD_PER_NEIGH; i++) {
		__u64 n = e->held[i];

		slot = i < e->nheld ? l3_held_slot(m->net, n) : NULL;
		if (!slot || !l3_held_take(slot))
			continue;
		if (slot->seq == n + 1) {
			stats_drop(slot->node, IPN_DROP_NO_NEIGH);
			slot->seq = 0;
		}
		l3_held_give(slot, slot->seq);
	}
	IPN_WRITE_ONCE(e->nheld, 0);
	return 0;
}
L3_GLOBAL(l3_held_drop)

/* The address (w->hop, at the message's port) has answered: what is held for it goes there. */
INLINE int l3_flush_on(const struct ipn_ctx *c, __u32 unused, __u32 unused2)
{
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	struct ipn_l3_held *slot;
	struct ipn_l3_entry *e;
	__u32 port, node, from;
	__u8 *d = ipn_draft_area(c);
	union l3_who who;
	__u64 len;

	if (!w || !m || !d)
		return 0;
	port = m->port;
	node = m->node;
	e = l3_entry(w, m->net, port);
	if (!e)
		return 0;
	who = l3_who(e);
	for (__u32 i = 0; i < IPN_L3_HELD_PER_NEIGH; i++) {
		__u64 n = e->held[i];

		slot = i < e->nheld ? l3_held_slot(m->net, n) : NULL;
		if (!slot || !l3_held_take(slot))
			continue;
		len = slot->len;
		if (slot->seq != n + 1 || len < 14) {
			l3_held_give(slot, slot->seq);
			continue;
		}
		from = slot->port;
		m->node = slot->node;
		barrier_var(len);
		if (len > IPN_L3_HELD_DATA)
			len = IPN_L3_HELD_DATA;
		bpf_probe_read_kernel(d, len, slot->data);
		l3_held_give(slot, 0);
		__builtin_memcpy(d, who.mac, 6);
		if (!ipn_use(m, 0, len)) {
			m->port = from;
			l3_emit(c, port, 0);
		}
		m->port = port;
		m->node = node;
	}
	IPN_WRITE_ONCE(e->nheld, 0);
	return 0;
}
L3_GLOBAL(l3_flush)

/* --- using a neighbour ------------------------------------------------------------------------*/

/* Puts Ethernet addresses into the frame and takes a hop off. */
INLINE int l3_rewrite(const struct ipn_ctx *c, const struct ipn_msg *m, const __u8 *to,
		      const __u8 *from, __u32 family)
{
	__u8 head[12], hops;
	__u32 sum;
	__u8 ip[4];

	__builtin_memcpy(head, to, 6);
	__builtin_memcpy(head + 6, from, 6);
	if (ipn_store(c, m, 0, head, sizeof(head), 0))
		return -1;
	if (family == IPN_L3_INET6) {
		if (ipn_load(c, m, 21, &hops, 1))
			return -1;
		hops--;
		return ipn_store(c, m, 21, &hops, 1, BPF_F_RECOMPUTE_CSUM);
	}
	if (ipn_load(c, m, 22, ip, sizeof(ip)))
		return -1;
	ip[0]--;
	sum = (ip[2] << 8 | ip[3]) + 0x100;
	sum = (sum & 0xffff) + (sum >> 16);
	ip[2] = sum >> 8;
	ip[3] = sum;
	return ipn_store(c, m, 22, ip, sizeof(ip), 0);
}

/* Who may ask now? One of all CPUs, once a second. */
INLINE int l3_ask_due(struct ipn_l3_entry *e, __u64 now)
{
	__u64 asked = IPN_READ_ONCE(e->asked);

	return (__s64)(now - asked) >= (__s64)L3_ASK_NS && IPN_CAS(&e->asked, asked, now) == asked;
}

/*
 * The next hop of the work is not known for sure. Holds the message, or sends it and asks whether
 * all is still as it was, or drops it. The message is whole, and devices can be sent to if that is
 * where it goes. a: generation of the port it is to leave by.
 */
INLINE int l3_resolve_on(const struct ipn_ctx *c, __u32 gen, __u32 unused)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	struct ipn_l3_port *out;
	struct ipn_l3_entry *e;
	__u8 none[6] = { 0 };
	union l3_who who;
	int ask, held;

	if (!w || !m)
		return L3_DROP(NO_NEIGH);
	out = l3_port(m->net, w->port);
	e = l3_entry(w, m->net, w->port);
	if (!e)
		e = l3_entry_make(w, m->net, gen);
	if (!out || !e)
		return L3_DROP(NO_NEIGH);
	who = l3_who(e);
	if (who.state == IPN_L3_STATIC) {
		if (l3_rewrite(c, m, who.mac, out->mac, w->family))
			return L3_DROP(HEADER);
		return L3_DECISION(IPN_DECISION_PORT, w->port);
	}
	if (e->gen != gen) { /* of one who had the port before */
		l3_held_drop(c, 0, 0);
		l3_who_set(e, NULL, IPN_L3_INCOMPLETE);
		e->gen = gen;
		e->tries = 0;
		e->asked = 0;
		who.state = IPN_L3_INCOMPLETE;
	}
	if (who.state == IPN_L3_FAILED) {
		if ((__s64)(now - e->asked) < (__s64)L3_FAILED_NS) {
			l3_error(c, L3_ERR_HOST, 0);
			return L3_DROP(NO_NEIGH);
		}
		l3_who_set(e, NULL, IPN_L3_INCOMPLETE);
		e->tries = 0;
		who.state = IPN_L3_INCOMPLETE;
	}
	ask = l3_ask_due(e, now);
	if (ask && e->tries >= L3_TRIES) {
		if (who.state == IPN_L3_INCOMPLETE) {
			l3_held_drop(c, 0, 0);
			l3_who_set(e, NULL, IPN_L3_FAILED);
			l3_error(c, L3_ERR_HOST, 0);
			return L3_DROP(NO_NEIGH);
		}
		l3_who_set(e, NULL, IPN_L3_INCOMPLETE);
		flow_forget(m);
		e->tries = 0;
		who.state = IPN_L3_INCOMPLETE;
	}
	if (ask)
		e->tries++;
	if (who.state == IPN_L3_REACHABLE) {
		if (l3_rewrite(c, m, who.mac, out->mac, w->family))
			return L3_DROP(HEADER);
		if (!ask)
			return L3_DECISION(IPN_DECISION_PORT, w->port);
		l3_emit(c, w->port, 0);
		__builtin_memcpy(w->mac, who.mac, 6);
		l3_ask(c, 1, 0);
		return L3_DONE;
	}
	if (l3_rewrite(c, m, none, out->mac, w->family))
		return L3_DROP(HEADER);
	held = !l3_hold(c, 0, 0);
	if (ask)
		l3_ask(c, 0, 0);
	return held ? L3_DONE : L3_DROP(HELD);
}
L3_GLOBAL(l3_resolve)

/* --- learning ---------------------------------------------------------------------------------*/

/*
 * Somebody at the message's port says that w->hop is at w->mac. may_make: he speaks to the router
 * and will be spoken to; else only what was asked for, or is known, is taken.
 */
#define L3_FLUSH L3_DECISION(IPN_DECISION_NONE, 1)
INLINE int l3_learn_one_on(const struct ipn_ctx *c, __u32 may_make, __u32 unused)
{
	__u64 now = bpf_ktime_get_coarse_ns();
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	struct ipn_l3_entry *e;
	union l3_who who, said = { .state = IPN_L3_REACHABLE };

	if (!w || !m)
		return L3_DONE;
	e = l3_entry(w, m->net, m->port);
	if (!e && may_make)
		e = l3_entry_make(w, m->net, m->gen);
	if (!e)
		return L3_DROP(OTHER_MAC);
	who = l3_who(e);
	__builtin_memcpy(said.mac, w->mac, 6);
	if (who.state == IPN_L3_STATIC) {
		said.state = IPN_L3_STATIC;
		return said.word == who.word ? L3_DONE : L3_DROP(CLAIM);
	}
	if (said.word != who.word && l3_entry_fresh(e, who, m->gen, now))
		return L3_DROP(CLAIM);
	e->gen = m->gen;
	e->tries = 0;
	e->confirmed = now;
	IPN_WRITE_ONCE(*(__u64 *)e->mac, said.word);
	if (said.word != who.word)
		flow_forget(m);
	return IPN_READ_ONCE(e->nheld) ? L3_FLUSH : L3_DONE;
}
L3_GLOBAL(l3_learn_one)

/* The same, and what was held for it goes. (Not one in the other: the stack is short.) */
INLINE int l3_learn(const struct ipn_ctx *c, __u32 may_make)
{
	int v = l3_learn_one(c, may_make, 0);

	if (v != L3_FLUSH)
		return v;
	l3_flush(c, 0, 0);
	return L3_DONE;
}

#endif
