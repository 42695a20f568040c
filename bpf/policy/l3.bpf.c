// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Policy 3, l3: a router for IPv4 and IPv6.
 *
 * A message whose way is known takes the short road, here: its header is looked at, its source and
 * its destination are looked up, the frame gets new Ethernet addresses and one hop less in place,
 * and the verdict is the port. All else is done by functions of their own:
 *
 *   maps.h    tables       send.h   questions, ICMP errors      neigh.h  who is where, held frames
 *   local.h   ARP, neighbour discovery, echo
 *
 * Where a step can be done is ruled by where the message is. At XDP a process's message can go to
 * processes, and to a device as it is: what has to be asked at a device's side, or held for one, is
 * looked at again at tc. From a device it may be a frame that is yet to be cut: that can go to a
 * device, and all else is looked at again when it has come out of the gateway.
 *
 * The source must be behind the port it comes from, by the same table that the answer would use. So
 * every answer of the router itself goes back to where the message came from.
 */
#include "l3/local.h"

INLINE __u32 l3_gso(const struct ipn_ctx *c)
{
	return c->hook == HOOK_TC ? ((struct __sk_buff *)c->ctx)->gso_size : 0;
}

/* Bytes of the packet at its longest when it leaves: of a frame to be cut, what it is cut into. */
INLINE __u32 l3_leaves(const struct ipn_ctx *c, const struct ipn_msg *m, const struct l3_work *w,
		       __u32 hlen)
{
	__u32 gso = l3_gso(c), l4 = 8;
	__u8 words;

	if (!gso)
		return w->iplen;
	if (w->proto == IPPROTO_TCP && !ctx_load(c, m->off + 14 + hlen + 12, &words, 1))
		l4 = (words >> 4) * 4;
	return hlen + l4 + gso;
}

/* Both addresses are fine: on to the next hop, with the short road where all of it is known. */
INLINE struct verdict l3_forward(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
				 const struct ipn_l3_port *in, __u32 hlen, int may_cut)
{
	__u32 net = m->net, port = w->port, mtu;
	struct ipn_l3_net *l3 = bpf_map_lookup_elem(&ipn_l3_nets, &net);
	struct ipn_dest *dest = l3_dest(m, port);
	struct ipn_l3_port *out;
	struct ipn_l3_entry *e;
	union l3_who who;
	__u8 mac[6];

	if (w->ttl <= 1) {
		l3_error(c, L3_ERR_TTL, 0);
		return to_drop(IPN_DROP_TTL);
	}
	if (!l3 || !dest || !dest->kind)
		return to_drop(IPN_DROP_NO_PORT);
	if (l3->flags & IPN_L3_OWN_MTU) {
		out = l3_port(net, port);
		mtu = out ? out->mtu : 0;
		if (mtu && l3_leaves(c, m, w, hlen) > mtu) {
			if (!may_cut)
				l3_error(c, L3_ERR_MTU, mtu);
			return to_drop(IPN_DROP_TOO_BIG);
		}
	}
	if (c->hook == HOOK_TC && !m->whole &&
	    (dest->kind == IPN_KIND_PROC || dest->kind == IPN_KIND_SOCK))
		return to_whole();
	e = l3_entry(w, net, port);
	if (e) {
		who = l3_who(e);
		if (l3_entry_fresh(e, who, dest->gen, bpf_ktime_get_coarse_ns())) {
			/* the router's addresses differ in the number of the port alone */
			__builtin_memcpy(mac, in->mac, 6);
			mac[4] = port >> 8;
			mac[5] = port;
			if (l3_rewrite(c, m, who.mac, mac, w->family))
				return to_drop(IPN_DROP_HEADER);
			return to_port(port);
		}
	}
	if (c->hook == HOOK_XDP && dest->kind != IPN_KIND_PROC)
		return to_devices();
	if (c->hook == HOOK_TC && !m->whole)
		return to_whole();
	return l3_verdict(l3_resolve(c, dest->gen, 0));
}

/* Where the route leads. */
INLINE void l3_hop_of(struct l3_work *w, const struct ipn_l3_hop *hop, const void *dst, __u32 len)
{
	w->port = hop->port;
	if (hop->type == IPN_L3_GATEWAY)
		__builtin_memcpy(w->hop, hop->via, 16);
	else if (len == 4)
		l3_mapped(w->hop, *(__be32 *)dst);
	else
		__builtin_memcpy(w->hop, dst, 16);
}

/* 0, 127, 224 and above: never a station. */
INLINE int l3_martian4(__be32 addr)
{
	__u8 first = bpf_ntohl(addr) >> 24;

	return first == 0 || first == 127 || first >= 224;
}

#define OPTIONS_MAX 40 /* bytes behind an IPv4 header that belong to it */
INLINE int l3_sum_bad4(const struct ipn_ctx *c, const struct ipn_msg *m, struct l3_work *w)
{
	__u64 more = w->frame.v4.ihl * 4 - 20;
	__u32 sum = l3_sum(&w->frame.v4, 20, 0);
	void *options = &w->fresh; /* room that nobody uses yet */

	if (more) {
		__builtin_memset(options, 0, OPTIONS_MAX);
		barrier_var(more);
		if (more < 4)
			return 1;
		barrier_var(more);
		if (more > OPTIONS_MAX || ctx_load(c, m->off + 34, options, more))
			return 1;
		sum = l3_sum(options, OPTIONS_MAX, sum);
	}
	return l3_fold(sum);
}

INLINE struct verdict l3_v4(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
			    struct l3_frame *f, const struct ipn_l3_port *in)
{
	struct iphdr *ip = &f->v4;
	__u32 hlen = ip->ihl * 4, len = bpf_ntohs(ip->tot_len), fragment;
	struct ipn_l3_hop *hop;
	__u8 first = bpf_ntohl(ip->daddr) >> 24;

	if (!len && l3_gso(c)) /* longer than its field can say */
		len = m->len - 14;
	if (ip->version != 4 || hlen < 20 || len < hlen || len > m->len - 14 ||
	    l3_sum_bad4(c, m, w))
		return to_drop(IPN_DROP_HEADER);
	w->family = IPN_L3_INET;
	w->iplen = len;
	w->proto = ip->protocol;
	w->ttl = ip->ttl;
	fragment = ip->frag_off & bpf_htons(0x3fff);
	if (l3_martian4(ip->saddr))
		return to_drop(IPN_DROP_MARTIAN);
	if (w->multicast)
		return to_drop(first >= 224 ? IPN_DROP_MULTICAST : IPN_DROP_DIRECTED);
	if (first >= 224 && first < 240)
		return to_drop(IPN_DROP_MULTICAST);
	if (l3_martian4(ip->daddr))
		return to_drop(IPN_DROP_MARTIAN);
	hop = l3_route4(m->net, ip->saddr);
	if (!hop)
		return to_drop(IPN_DROP_WRONG_PORT);
	if (hop->type <= IPN_L3_BROADCAST)
		return to_drop(IPN_DROP_MARTIAN);
	if (hop->port != m->port)
		return to_drop(IPN_DROP_WRONG_PORT);
	hop = l3_route4(m->net, ip->daddr);
	if (!hop) {
		l3_error(c, L3_ERR_NET, 0);
		return to_drop(IPN_DROP_NO_ROUTE);
	}
	if (hop->type == IPN_L3_LOCAL) {
		if (c->hook == HOOK_TC && !m->whole)
			return to_whole();
		return l3_verdict(l3_local(c, fragment || hlen != 20, 0));
	}
	if (hop->type == IPN_L3_BROADCAST)
		return to_drop(IPN_DROP_DIRECTED);
	l3_hop_of(w, hop, &ip->daddr, 4);
	return l3_forward(c, m, w, in, hlen, !(ip->frag_off & bpf_htons(0x4000)));
}

INLINE int l3_zero6(const struct in6_addr *a)
{
	return !(a->s6_addr32[0] | a->s6_addr32[1] | a->s6_addr32[2]);
}

/* Unspecified, loopback, IPv4 in disguise. */
INLINE int l3_martian6(const struct in6_addr *a)
{
	return (l3_zero6(a) && (a->s6_addr32[3] == 0 || a->s6_addr32[3] == bpf_htonl(1))) ||
	       (!(a->s6_addr32[0] | a->s6_addr32[1]) && a->s6_addr32[2] == bpf_htonl(0xffff));
}

INLINE int l3_link_local6(const struct in6_addr *a)
{
	return a->s6_addr[0] == 0xfe && (a->s6_addr[1] & 0xc0) == 0x80;
}

/* For a group, or one of the router's addresses: of a group's, only neighbour discovery is for it. */
INLINE struct verdict l3_mine6(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
			       int group)
{
	__u8 type = 0;
	int is_nd;

	is_nd = w->proto == IPPROTO_ICMPV6 && !ctx_load(c, m->off + 54, &type, 1) &&
		(type == ND_NS || type == ND_NA);
	if (group && !is_nd)
		return to_drop(IPN_DROP_MULTICAST);
	if (c->hook == HOOK_TC && !m->whole)
		return to_whole();
	return l3_verdict(is_nd ? l3_nd(c, type, 0) : l3_local(c, 0, 0));
}

INLINE struct verdict l3_v6(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
			    struct l3_frame *f, const struct ipn_l3_port *in)
{
	struct ipv6hdr *ip = &f->v6;
	__u32 len = 40 + bpf_ntohs(ip->payload_len);
	struct ipn_l3_hop *hop;

	if (len == 40 && l3_gso(c))
		len = m->len - 14;
	if (m->len < 54 || ip->version != 6 || len > m->len - 14)
		return to_drop(IPN_DROP_HEADER);
	w->family = IPN_L3_INET6;
	w->iplen = len;
	w->proto = ip->nexthdr;
	w->ttl = ip->hop_limit;
	if (ip->saddr.s6_addr[0] == 0xff)
		return to_drop(IPN_DROP_MARTIAN);
	if (ip->daddr.s6_addr[0] == 0xff)
		return l3_mine6(c, m, w, 1);
	if (w->multicast)
		return to_drop(IPN_DROP_DIRECTED);
	if (l3_martian6(&ip->saddr) || l3_martian6(&ip->daddr))
		return to_drop(IPN_DROP_MARTIAN);
	if (!l3_link_local6(&ip->saddr)) {
		hop = l3_route6(w, m->net, &ip->saddr);
		if (!hop)
			return to_drop(IPN_DROP_WRONG_PORT);
		if (hop->type <= IPN_L3_BROADCAST)
			return to_drop(IPN_DROP_MARTIAN);
		if (hop->port != m->port)
			return to_drop(IPN_DROP_WRONG_PORT);
	} else if (l3_same6(in->local6, &ip->saddr)) {
		return to_drop(IPN_DROP_MARTIAN);
	}
	hop = l3_link_local6(&ip->daddr) ? NULL : l3_route6(w, m->net, &ip->daddr);
	if ((hop && hop->type == IPN_L3_LOCAL) || l3_same6(in->local6, &ip->daddr))
		return l3_mine6(c, m, w, 0);
	if (l3_link_local6(&ip->saddr) || l3_link_local6(&ip->daddr))
		return to_drop(IPN_DROP_MARTIAN);
	if (!hop) {
		l3_error(c, L3_ERR_NET, 0);
		return to_drop(IPN_DROP_NO_ROUTE);
	}
	if (hop->type == IPN_L3_BROADCAST)
		return to_drop(IPN_DROP_DIRECTED);
	l3_hop_of(w, hop, &ip->daddr, 16);
	return l3_forward(c, m, w, in, 40, 0);
}

INLINE struct verdict l3_route(const struct ipn_ctx *c, struct ipn_msg *m)
{
	struct l3_work *w = l3_work();
	struct ipn_l3_port *in = l3_port(m->net, m->port);
	struct l3_frame *f;

	if (!w)
		return to_drop(IPN_DROP_NO_PORT);
	f = &w->frame;
	if (m->len < 34) {
		if (m->len < 14 || ctx_load(c, m->off, f->dst, 14))
			return to_drop(IPN_DROP_RUNT);
		return to_drop(f->proto == bpf_htons(ETH_P_IP) || f->proto == bpf_htons(ETH_P_IPV6) ||
					       f->proto == bpf_htons(ETH_P_ARP)
				       ? IPN_DROP_HEADER
				       : IPN_DROP_NOT_IP);
	}
	if (m->len < 54) {
		if (ctx_load(c, m->off, f->dst, 34))
			return to_drop(IPN_DROP_RUNT);
	} else if (ctx_load(c, m->off, f->dst, 54)) {
		return to_drop(IPN_DROP_RUNT);
	}
	if (m->vlan)
		return to_drop(IPN_DROP_NOT_IP);
	if (!in) /* no address, so nobody can be on its side */
		return to_drop(IPN_DROP_WRONG_PORT);
	if (f->src[0] & 1)
		return to_drop(IPN_DROP_SOURCE);
	__builtin_memcpy(w->mac, f->src, 6);
	w->multicast = f->dst[0] & 1;
	if (!w->multicast && !l3_same_mac(f->dst, in->mac))
		return to_drop(IPN_DROP_OTHER_MAC);
	if (f->proto == bpf_htons(ETH_P_IP))
		return l3_v4(c, m, w, f, in);
	if (f->proto == bpf_htons(ETH_P_IPV6))
		return l3_v6(c, m, w, f, in);
	if (f->proto == bpf_htons(ETH_P_ARP))
		return l3_verdict(l3_arp_in(c, 0, 0));
	return to_drop(IPN_DROP_NOT_IP);
}
IPN_POLICY_REWRITE(l3, l3_route);
