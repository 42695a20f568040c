/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is for the router itself: ARP, neighbour discovery, echo. All else is told that it isn't. */
#ifndef IPN_L3_LOCAL_H
#define IPN_L3_LOCAL_H

#include "neigh.h"

struct arp {
	__be16 htype, ptype;
	__u8 hlen, plen;
	__be16 op;
	__u8 smac[6], sip[4], tmac[6], tip[4];
};

INLINE __be32 l3_be32(const __u8 *p)
{
	__be32 v;

	__builtin_memcpy(&v, p, 4);
	return v;
}

/* Is the IPv4 address one of a host on this port's own subnets? */
INLINE int l3_on_link4(const struct ipn_msg *m, __be32 addr)
{
	struct ipn_l3_hop *hop = l3_route4(m->net, addr);

	return hop && (hop->type == IPN_L3_CONNECTED || hop->type == IPN_L3_PORT) &&
	       hop->port == m->port;
}

INLINE int l3_on_link6(struct l3_work *w, const struct ipn_msg *m, const __u8 *addr)
{
	struct ipn_l3_hop *hop;

	if (addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80)
		return 1;
	hop = l3_route6(w, m->net, addr);
	return hop && (hop->type == IPN_L3_CONNECTED || hop->type == IPN_L3_PORT) &&
	       hop->port == m->port;
}

INLINE int l3_arp_in_on(const struct ipn_ctx *c, __u32 unused, __u32 unused2)
{
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	struct ipn_l3_port *port;
	struct arp a __attribute__((aligned(8)));
	__be32 sip, tip;
	__u8 *d;
	__u16 op;
	int v;

	if (!w || !m || m->len < ARP_LEN || ipn_load(c, m, 14, &a, sizeof(a)))
		return L3_DROP(HEADER);
	op = bpf_ntohs(a.op);
	if (a.htype != bpf_htons(1) || a.ptype != bpf_htons(ETH_P_IP) || a.hlen != 6 ||
	    a.plen != 4 || (op != 1 && op != 2) || !l3_same_mac(a.smac, w->mac))
		return L3_DROP(HEADER);
	port = l3_port(m->net, m->port);
	if (!port)
		return L3_DROP(WRONG_PORT);
	sip = l3_be32(a.sip);
	tip = l3_be32(a.tip);
	if (sip) {
		if (l3_is_own4(port, sip))
			return L3_DROP(CLAIM);
		if (!l3_on_link4(m, sip))
			return L3_DROP(WRONG_PORT);
		l3_mapped(w->hop, sip);
		v = l3_learn(c, op == 1 && l3_is_own4(port, tip));
		if (v == L3_DROP(CLAIM))
			return v;
	}
	if (op != 1)
		return sip ? v : L3_DROP(HEADER);
	if (!l3_is_own4(port, tip))
		return sip && v == L3_DONE ? L3_DONE : L3_DROP(OTHER_MAC);
	d = ipn_draft_area(c);
	if (!d)
		return L3_DONE;
	l3_ethernet(d, w->mac, port->mac, ETH_P_ARP);
	l3_arp(d, 2, port->mac, tip, sip);
	__builtin_memcpy(d + 32, w->mac, 6);
	l3_emit_draft(c, m, m->port, ARP_LEN);
	return L3_DONE;
}
L3_GLOBAL(l3_arp_in)

/*
 * In the draft: where the packet is read to, header and all; behind what the router sends.
 * (The stack is too small for it.)
 */
#define ND_IP 4096
#define ND_AT (ND_IP + 40)
#define ND_TARGET (ND_AT + 8)
#define ND_MAX 128
#define ND_NS 135
#define ND_NA 136

/* The Ethernet address in an option of this type; 0 when it is there, 1 when not, -1: it lies. */
INLINE int l3_nd_option(__u8 *d, __u32 len, __u8 type, __u8 *mac)
{
	__u32 at = 24;

	for (int i = 0; i < 8; i++) {
		__u8 *o = d + ND_AT + (at & (ND_MAX - 8));

		if (at + 8 > len)
			return at == len ? 1 : -1;
		if (!o[1])
			return -1;
		if (o[0] == type && o[1] == 1) {
			__builtin_memcpy(mac, o + 2, 6);
			return 0;
		}
		at += o[1] * 8;
	}
	return -1;
}

/* The answer. dad: to somebody who has no address yet, so to all. */
INLINE void l3_na(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
		  struct ipn_l3_port *port, __u8 *d, int dad)
{
	__u32 sum;

	l3_ethernet(d, w->mac, port->mac, ETH_P_IPV6);
	l3_header6(d + 14, 32, 255, d + ND_TARGET, d + ND_IP + 8);
	if (dad) {
		*(__be16 *)d = bpf_htons(0x3333);
		*(__be32 *)(d + 2) = bpf_htonl(1);
		*(__be16 *)(d + 38) = bpf_htons(0xff02);
		d[53] = 1;
	}
	*(__be32 *)(d + 54) = bpf_htonl(136U << 24);
	*(__be32 *)(d + 58) = bpf_htonl(dad ? 0xa0000000 : 0xe0000000);
	__builtin_memcpy(d + 62, d + ND_TARGET, 16);
	*(__be16 *)(d + 78) = bpf_htons(0x0201);
	__builtin_memcpy(d + 80, port->mac, 6);
	sum = l3_pseudo6(d + 22, d + 38, 32, IPPROTO_ICMPV6);
	*(__be16 *)(d + 56) = l3_fold(l3_sum(d + 54, 32, sum));
	l3_emit_draft(c, m, m->port, NS_LEN);
}

/* Neighbour solicitation and advertisement. a: the type. */
INLINE int l3_nd_on(const struct ipn_ctx *c, __u32 type, __u32 unused)
{
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	struct ipn_l3_port *port;
	struct ipv6hdr *ip;
	__u8 *d = ipn_draft_area(c);
	__u64 len;
	int v, dad, option;
	__u32 sum;

	if (!w || !m || !d || ipn_load(c, m, 14, d + ND_IP, sizeof(*ip)))
		return L3_DROP(HEADER);
	ip = (void *)(d + ND_IP);
	len = bpf_ntohs(ip->payload_len);
	port = l3_port(m->net, m->port);
	if (!port)
		return L3_DROP(WRONG_PORT);
	if (ip->hop_limit != 255 || len < 24 || len > ND_MAX)
		return L3_DROP(HEADER);
	__builtin_memset(d + ND_AT, 0, ND_MAX);
	barrier_var(len);
	if (len < 24)
		return L3_DROP(HEADER);
	barrier_var(len);
	if (len > ND_MAX || ipn_load(c, m, 54, d + ND_AT, len))
		return L3_DROP(HEADER);
	sum = l3_pseudo6(d + ND_IP + 8, d + ND_IP + 24, len, IPPROTO_ICMPV6);
	if (l3_fold(l3_sum(d + ND_AT, ND_MAX, sum)) || d[ND_AT + 1] || d[ND_TARGET] == 0xff)
		return L3_DROP(HEADER);
	option = l3_nd_option(d, len, type == ND_NS ? 1 : 2, w->mac);
	if (option < 0 || (w->mac[0] & 1))
		return L3_DROP(HEADER);
	if (type == ND_NA) { /* tells of its target */
		if (l3_is_own6(port, d + ND_TARGET))
			return L3_DROP(CLAIM);
		if (!l3_on_link6(w, m, d + ND_TARGET))
			return L3_DROP(WRONG_PORT);
		__builtin_memcpy(w->hop, d + ND_TARGET, 16);
		return l3_learn(c, 0);
	}
	__builtin_memcpy(w->hop, d + ND_IP + 8, 16);
	dad = !(ip->saddr.s6_addr32[0] | ip->saddr.s6_addr32[1] | ip->saddr.s6_addr32[2] |
		ip->saddr.s6_addr32[3]);
	if (!dad) {
		if (l3_is_own6(port, w->hop))
			return L3_DROP(CLAIM);
		if (!l3_on_link6(w, m, w->hop))
			return L3_DROP(WRONG_PORT);
	}
	if (!l3_is_own6(port, d + ND_TARGET))
		return L3_DROP(OTHER_MAC);
	if (!dad) {
		v = l3_learn(c, 1);
		if (v == L3_DROP(CLAIM))
			return v;
	}
	l3_na(c, m, w, port, d, dad);
	return L3_DONE;
}
L3_GLOBAL(l3_nd)

/* Makes an echo reply of the frame itself, whatever it carries. Then it goes back. */
INLINE int l3_echo4(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
		    const struct ipn_l3_port *port)
{
	struct iphdr *ip = &w->frame.v4;
	__be32 addr = ip->saddr;
	__u8 icmp[4];
	__u32 sum;

	if (ipn_load(c, m, 34, icmp, sizeof(icmp)))
		return L3_DROP(HEADER);
	__builtin_memcpy(w->frame.dst, w->mac, 6);
	__builtin_memcpy(w->frame.src, port->mac, 6);
	ip->saddr = ip->daddr;
	ip->daddr = addr;
	ip->ttl = 64;
	ip->check = 0;
	ip->check = l3_fold(l3_sum(ip, 20, 0));
	icmp[0] = 0;
	sum = (icmp[2] << 8 | icmp[3]) + 0x0800; /* the type went from 8 to 0 */
	sum = (sum & 0xffff) + (sum >> 16);
	icmp[2] = sum >> 8;
	icmp[3] = sum;
	if (ipn_store(c, m, 0, w->frame.dst, 34, 0) || ipn_store(c, m, 34, icmp, sizeof(icmp), 0))
		return L3_DROP(HEADER);
	return L3_DECISION(IPN_DECISION_PORT, m->port);
}

INLINE int l3_echo6(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
		    const struct ipn_l3_port *port)
{
	struct ipv6hdr *ip = &w->frame.v6;
	__u8 icmp[4];
	__u32 sum;

	if (ipn_load(c, m, 54, icmp, sizeof(icmp)))
		return L3_DROP(HEADER);
	__builtin_memcpy(w->frame.dst, w->mac, 6);
	__builtin_memcpy(w->frame.src, port->mac, 6);
	__builtin_memcpy(w->hop, &ip->saddr, 16);
	__builtin_memcpy(&ip->saddr, &ip->daddr, 16);
	__builtin_memcpy(&ip->daddr, w->hop, 16);
	ip->hop_limit = 64;
	icmp[0] = 129;
	sum = (icmp[2] << 8 | icmp[3]) + 0xfeff; /* the type went from 128 to 129 */
	sum = (sum & 0xffff) + (sum >> 16);
	icmp[2] = sum >> 8;
	icmp[3] = sum;
	if (ipn_store(c, m, 0, w->frame.dst, 54, 0) || ipn_store(c, m, 54, icmp, sizeof(icmp), 0))
		return L3_DROP(HEADER);
	return L3_DECISION(IPN_DECISION_PORT, m->port);
}

/* For one of the router's addresses. The message is whole. */
INLINE int l3_local_on(const struct ipn_ctx *c, __u32 fragment, __u32 unused)
{
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	struct ipn_l3_port *port;
	__u32 v4, at;
	__u8 type[2];

	if (!w || !m)
		return L3_DROP(FOR_ROUTER);
	v4 = w->family == IPN_L3_INET;
	at = v4 ? 34 : 54;
	if (fragment)
		return L3_DROP(FOR_ROUTER);
	if (w->proto == (v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
		if (w->iplen < at - 14 + 8 || ipn_load(c, m, at, type, sizeof(type)))
			return L3_DROP(HEADER);
		if (type[0] != (v4 ? 8 : 128) || type[1])
			return L3_DROP(FOR_ROUTER);
		if (!l3_may_speak(m))
			return L3_DROP(LIMIT);
		port = l3_port(m->net, m->port);
		if (!port)
			return L3_DROP(WRONG_PORT);
		at = v4 ? l3_echo4(c, m, w, port) : l3_echo6(c, m, w, port);
		if (ipn_at_xdp(c))
			m->port = IPN_PORT_NONE; /* or it would take it for one of its own */
		return at;
	}
	l3_error(c, w->proto == IPPROTO_UDP || w->proto == IPPROTO_TCP ? L3_ERR_PORT : L3_ERR_PROTO,
		 0);
	return L3_DROP(FOR_ROUTER);
}
L3_GLOBAL(l3_local)

#endif
