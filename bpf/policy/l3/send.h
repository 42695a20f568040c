/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Messages that the router makes: in the draft of this CPU, then to one port.
 *
 * Everything heavy is a global function, one for each hook (L3_GLOBAL): the verifier looks at each
 * once, whatever calls it. At tc what is sent to a device takes the place of the frame, so it
 * comes last, after all that needs the frame.
 */
#ifndef IPN_L3_SEND_H
#define IPN_L3_SEND_H

#include "maps.h"

/* Arguments that are not used must not be optimised away: the verifier wants them. */
#define L3_GLOBAL(name)                                                                  \
	__attribute__((noinline)) int name##_xdp(struct xdp_md *ctx, __u32 a, __u32 b)   \
	{                                                                                \
		const struct ipn_ctx c = { ctx, HOOK_XDP, POLICY_REWRITES };             \
                                                                                         \
		barrier_var(a);                                                          \
		barrier_var(b);                                                          \
		return name##_on(&c, a, b);                                              \
	}                                                                                \
	__attribute__((noinline)) int name##_tc(struct __sk_buff *ctx, __u32 a, __u32 b) \
	{                                                                                \
		const struct ipn_ctx c = { ctx, HOOK_TC, POLICY_REWRITES };              \
                                                                                         \
		barrier_var(a);                                                          \
		barrier_var(b);                                                          \
		return name##_on(&c, a, b);                                              \
	}                                                                                \
	INLINE int name(const struct ipn_ctx *c, __u32 a, __u32 b)                       \
	{                                                                                \
		if (ipn_at_xdp(c))                                                       \
			return name##_xdp(c->ctx, a, b);                                 \
		return name##_tc(c->ctx, a, b);                                          \
	}

/* A decision as the number that such a function returns. */
#define L3_DECISION(kind, arg) ((kind) | (arg) << 8)
#define L3_DROP(why) L3_DECISION(IPN_DECISION_DROP, IPN_DROP_##why)
#define L3_DONE L3_DECISION(IPN_DECISION_NONE, 0)

INLINE struct ipn_decision l3_decision(int v)
{
	return (struct ipn_decision){ v & 0xff, (__u32)v >> 8 & 0xffff };
}

/* Sends the message as it is by now, draft or frame, to a port. */
INLINE int l3_emit_on(const struct ipn_ctx *c, __u32 port, __u32 unused)
{
	struct ipn_msg *m = l3_msg();

	if (m)
		ipn_forward(c, m, port);
	return 0;
}
L3_GLOBAL(l3_emit)

/* The first len bytes of the draft, from the router itself. */
INLINE void l3_emit_draft(const struct ipn_ctx *c, struct ipn_msg *m, __u32 port, __u32 len)
{
	__u32 from = m->port;

	if (ipn_use(m, 0, len))
		return;
	m->port = IPN_PORT_NONE; /* or a process would take it for one of its own */
	l3_emit(c, port, 0);
	m->port = from;
}

/* May the router speak once more at this port? 200 at once, 1000 a second. */
#define L3_SPEAK_NS 1000000ULL
#define L3_SPEAK_BURST 200
INLINE int l3_may_speak(const struct ipn_msg *m)
{
	__u32 node = m->node;
	struct ipn_l3_limit *limit = bpf_map_lookup_elem(&ipn_l3_limit, &node);
	__u64 now = bpf_ktime_get_coarse_ns(), at;

	if (!limit)
		return 0;
	at = IPN_READ_ONCE(limit->at);
	if ((__s64)(now - at) < 0)
		return 0;
	if (now - at > L3_SPEAK_BURST * L3_SPEAK_NS)
		at = now - L3_SPEAK_BURST * L3_SPEAK_NS;
	IPN_WRITE_ONCE(limit->at, at + L3_SPEAK_NS);
	return 1;
}

/* Ethernet addresses stand at even places everywhere. */
INLINE int l3_same_mac(const void *a, const void *b)
{
	const __u16 *x = a, *y = b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]));
}

INLINE void l3_ethernet(__u8 *d, const __u8 *to, const __u8 *from, __u16 proto)
{
	__builtin_memcpy(d, to, 6);
	__builtin_memcpy(d + 6, from, 6);
	*(__be16 *)(d + 12) = bpf_htons(proto);
}

/* The sum over an IPv6 pseudo header. */
INLINE __u32 l3_pseudo6(void *src, void *dst, __u32 len, __u8 proto)
{
	__be32 rest[2] = { bpf_htonl(len), bpf_htonl(proto) };

	return l3_sum(rest, sizeof(rest), l3_sum(dst, 16, l3_sum(src, 16, 0)));
}

/* The 40 bytes of an IPv6 header at d. */
INLINE void l3_header6(__u8 *d, __u32 len, __u8 hops, const void *src, const void *dst)
{
	*(__be32 *)d = bpf_htonl(0x60000000);
	*(__be16 *)(d + 4) = bpf_htons(len);
	d[6] = IPPROTO_ICMPV6;
	d[7] = hops;
	__builtin_memcpy(d + 8, src, 16);
	__builtin_memcpy(d + 24, dst, 16);
}

/* --- questions --------------------------------------------------------------------------------*/

#define ARP_LEN 42
#define NS_LEN (14 + 40 + 24 + 8)

/* All but the Ethernet address of the target. */
INLINE void l3_arp(__u8 *d, __u16 op, const __u8 *smac, __be32 sip, __be32 tip)
{
	*(__be32 *)(d + 14) = bpf_htonl(0x00010800);
	*(__be32 *)(d + 18) = bpf_htonl(0x06040000 | op);
	__builtin_memcpy(d + 22, smac, 6);
	__builtin_memcpy(d + 28, &sip, 4);
	__builtin_memcpy(d + 38, &tip, 4);
}

/* The router's IPv4 address at a port: that on the other's subnet, else the first. 0: none. */
INLINE __be32 l3_own4(const struct ipn_l3_port *port, __be32 other)
{
	__be32 first = 0;

	for (__u32 i = 0; i < IPN_L3_ADDRS; i++) {
		__u32 len = port->len4[i];
		__be32 addr = port->addr4[i];

		if (i >= port->n4)
			break;
		if (!i)
			first = addr;
		if (len && len < 32 && !((addr ^ other) & bpf_htonl(~0U << (32 - len))))
			return addr;
	}
	return first;
}

/* Does the router have this IPv4 address here? */
INLINE int l3_is_own4(const struct ipn_l3_port *port, __be32 addr)
{
	for (__u32 i = 0; i < IPN_L3_ADDRS; i++)
		if (i < port->n4 && port->addr4[i] == addr)
			return 1;
	return 0;
}

INLINE int l3_same6(const void *a, const void *b)
{
	const __u32 *x = a, *y = b;

	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]));
}

INLINE int l3_is_own6(const struct ipn_l3_port *port, const void *addr)
{
	if (l3_same6(port->local6, addr))
		return 1;
	for (__u32 i = 0; i < IPN_L3_ADDRS; i++)
		if (i < port->n6 && l3_same6(port->addr6[i], addr))
			return 1;
	return 0;
}

/*
 * Asks for the next hop of the work; unicast: the one who had the address, mac in work->mac. What
 * was the frame at tc is no more. a: unicast.
 */
INLINE int l3_ask_on(const struct ipn_ctx *c, __u32 unicast, __u32 unused)
{
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	struct ipn_l3_port *port;
	__be32 own, hop;
	__u32 sum;
	__u8 *d;

	if (!w || !m)
		return 0;
	port = l3_port(m->net, w->port);
	d = ipn_draft_area(c);
	if (!port || !d)
		return 0;
	if (w->family == IPN_L3_INET) {
		hop = l3_unmapped(w->hop);
		own = l3_own4(port, hop);
		if (!own)
			return 0;
		if (!unicast)
			__builtin_memset(w->mac, 0xff, 6);
		l3_ethernet(d, w->mac, port->mac, ETH_P_ARP);
		l3_arp(d, 1, port->mac, own, hop);
		__builtin_memset(d + 32, 0, 6);
		l3_emit_draft(c, m, w->port, ARP_LEN);
		return 0;
	}
	l3_ethernet(d, w->mac, port->mac, ETH_P_IPV6);
	l3_header6(d + 14, 32, 255, port->local6, w->hop);
	if (!unicast) {
		*(__be16 *)d = bpf_htons(0x3333);
		d[2] = 0xff;
		__builtin_memcpy(d + 3, w->hop + 13, 3);
		*(__be32 *)(d + 38) = bpf_htonl(0xff020000);
		*(__be32 *)(d + 42) = 0;
		*(__be32 *)(d + 46) = bpf_htonl(1);
		d[50] = 0xff;
	}
	*(__be32 *)(d + 54) = bpf_htonl(135U << 24);
	*(__be32 *)(d + 58) = 0;
	__builtin_memcpy(d + 62, w->hop, 16);
	*(__be16 *)(d + 78) = bpf_htons(0x0101);
	__builtin_memcpy(d + 80, port->mac, 6);
	sum = l3_pseudo6(d + 22, d + 38, 32, IPPROTO_ICMPV6);
	*(__be16 *)(d + 56) = l3_fold(l3_sum(d + 54, 32, sum));
	l3_emit_draft(c, m, w->port, NS_LEN);
	return 0;
}
L3_GLOBAL(l3_ask)

/* --- ICMP errors ------------------------------------------------------------------------------*/

#define QUOTE 128 /* bytes of the message that an error tells of, at most */
#define ERR4_AT (14 + 20)
#define ERR6_AT (14 + 40)

/* How an error is called in both families. */
enum l3_error { L3_ERR_TTL, L3_ERR_NET, L3_ERR_HOST, L3_ERR_PORT, L3_ERR_PROTO, L3_ERR_MTU };

/* Type and code, as 16 bits. */
INLINE __u32 l3_error4(__u32 error)
{
	switch (error) {
	case L3_ERR_TTL:
		return 11 << 8;
	case L3_ERR_HOST:
		return 3 << 8 | 1;
	case L3_ERR_PROTO:
		return 3 << 8 | 2;
	case L3_ERR_PORT:
		return 3 << 8 | 3;
	case L3_ERR_MTU:
		return 3 << 8 | 4;
	}
	return 3 << 8;
}

INLINE __u32 l3_error6(__u32 error)
{
	switch (error) {
	case L3_ERR_TTL:
		return 3 << 8;
	case L3_ERR_HOST:
		return 1 << 8 | 3;
	case L3_ERR_PROTO:
	case L3_ERR_PORT:
		return 1 << 8 | 4;
	case L3_ERR_MTU:
		return 2 << 8;
	}
	return 1 << 8;
}

/* May an error be sent about this IPv4 packet? Header at ip, protocol's header behind it. */
INLINE int l3_error_allowed4(const struct ipn_ctx *c, const struct ipn_msg *m,
			     const struct iphdr *ip)
{
	__u8 type;

	if (ip->frag_off & bpf_htons(0x1fff))
		return 0;
	if (ip->protocol != IPPROTO_ICMP)
		return 1;
	if (ipn_load(c, m, 14 + ip->ihl * 4, &type, 1))
		return 0;
	return type == 8 || type == 0 || (type >= 13 && type <= 18);
}

/*
 * The same for IPv6: not when it is an ICMP error, which may stand behind extension headers, nor
 * for a fragment but the first, nor when that cannot be told.
 */
INLINE int l3_error_allowed6(const struct ipn_ctx *c, const struct ipn_msg *m, __u8 next)
{
	__u32 at = m->off + 14 + 40;
	__u8 h[4];

	for (int i = 0; i < 6; i++) {
		if (next == IPPROTO_ICMPV6)
			return !ctx_load(c, at, h, 1) && h[0] >= 128;
		if (next != 0 && next != 43 && next != 60 && next != 44 && next != 51)
			return next != 59;
		if (ctx_load(c, at, h, 4))
			return 0;
		if (next == 44 && ((h[2] << 8 | h[3]) & 0xfff8))
			return 0;
		at += next == 44 ? 8 : next == 51 ? (h[1] + 2) * 4 : (h[1] + 1) * 8;
		next = h[0];
	}
	return 0;
}

INLINE int l3_error_make4(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
			  struct ipn_l3_port *port, __u32 error, __u32 mtu)
{
	__u8 *d = ipn_draft_area(c);
	const struct iphdr *ip = &w->frame.v4;
	__u64 len = w->iplen;
	__be32 own;

	if (!d || !l3_error_allowed4(c, m, ip))
		return 0;
	own = l3_own4(port, ip->saddr);
	if (!own || !l3_may_speak(m))
		return 0;
	if (len > QUOTE)
		len = QUOTE;
	__builtin_memset(d + ERR4_AT, 0, 8 + QUOTE);
	barrier_var(len);
	if (len < 20)
		return 0;
	barrier_var(len);
	if (len > QUOTE || ipn_load(c, m, 14, d + ERR4_AT + 8, len))
		return 0;
	l3_ethernet(d, w->mac, port->mac, ETH_P_IP);
	*(__be32 *)(d + 14) = bpf_htonl(0x45c00000 | (__u32)(28 + len));
	*(__be32 *)(d + 18) = 0;
	*(__be32 *)(d + 22) = bpf_htonl(64U << 24 | IPPROTO_ICMP << 16);
	*(__be32 *)(d + 26) = own;
	*(__be32 *)(d + 30) = ip->saddr;
	*(__be16 *)(d + 24) = l3_fold(l3_sum(d + 14, 20, 0));
	*(__be16 *)(d + ERR4_AT) = bpf_htons(l3_error4(error));
	*(__be16 *)(d + ERR4_AT + 6) = bpf_htons(error == L3_ERR_MTU ? mtu : 0);
	*(__be16 *)(d + ERR4_AT + 2) = l3_fold(l3_sum(d + ERR4_AT, 8 + QUOTE, 0));
	l3_emit_draft(c, m, m->port, ERR4_AT + 8 + len);
	return 0;
}

INLINE int l3_error_make6(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
			  struct ipn_l3_port *port, __u32 error, __u32 mtu)
{
	__u8 *d = ipn_draft_area(c), *own;
	struct ipv6hdr *ip = &w->frame.v6;
	__u64 len = w->iplen;
	__u32 sum;

	if (!d || !l3_error_allowed6(c, m, ip->nexthdr) || !l3_may_speak(m))
		return 0;
	own = port->n6 && ip->saddr.s6_addr[0] != 0xfe ? port->addr6[0] : port->local6;
	if (len > QUOTE)
		len = QUOTE;
	__builtin_memset(d + ERR6_AT, 0, 8 + QUOTE);
	barrier_var(len);
	if (len < 40)
		return 0;
	barrier_var(len);
	if (len > QUOTE || ipn_load(c, m, 14, d + ERR6_AT + 8, len))
		return 0;
	l3_ethernet(d, w->mac, port->mac, ETH_P_IPV6);
	l3_header6(d + 14, 8 + len, 64, own, &ip->saddr);
	*(__be16 *)(d + ERR6_AT) = bpf_htons(l3_error6(error));
	*(__be32 *)(d + ERR6_AT + 4) = bpf_htonl(error == L3_ERR_MTU ? mtu : 0);
	sum = l3_pseudo6(d + 22, d + 38, 8 + len, IPPROTO_ICMPV6);
	*(__be16 *)(d + ERR6_AT + 2) = l3_fold(l3_sum(d + ERR6_AT, 8 + QUOTE, sum));
	l3_emit_draft(c, m, m->port, ERR6_AT + 8 + len);
	return 0;
}

/*
 * Tells the sender of the message why it was dropped, unless nobody may be told. From the router's
 * address at the port it came by, to the Ethernet address it came from.
 */
INLINE int l3_error_on(const struct ipn_ctx *c, __u32 error, __u32 mtu)
{
	struct l3_work *w = l3_work();
	struct ipn_msg *m = l3_msg();
	struct ipn_l3_port *port;

	if (!w || !m || w->multicast)
		return 0;
	port = l3_port(m->net, m->port);
	if (!port)
		return 0;
	if (w->family == IPN_L3_INET)
		return l3_error_make4(c, m, w, port, error, mtu);
	return l3_error_make6(c, m, w, port, error, mtu);
}
L3_GLOBAL(l3_error)

#endif
