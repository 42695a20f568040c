// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Policy 3, l3: a router for IPv4 and IPv6.
 *
 * A message whose way is known takes the short road, here: its header is looked at, its source and
 * its destination are looked up, the frame gets new Ethernet addresses and one hop less in place,
 * and the decision is the port. All else is done by functions of their own:
 *
 *   maps.h    tables       send.h   questions, ICMP errors      neigh.h  who is where, held frames
 *   local.h   ARP, neighbour discovery, echo                  cut.h    fragments
 *
 * Where a step can be done is ruled by where the message is. At XDP a process's message can go to
 * processes, and to a device as it is: what has to be asked at a device's side, or held for one, is
 * looked at again at tc. From a device it may be a frame that is yet to be cut: that can go to a
 * device, and all else is looked at again when it has come out of the segmenter.
 *
 * Between two addresses that talk even that was asked a moment ago: what came of it, port and
 * Ethernet address, is noted as a flow (bpf/core/flow.h), and the next packet goes after it.
 *
 * The source must be behind the port it comes from, by the same table that the answer would use. So
 * every answer of the router itself goes back to where the message came from.
 */
#include "l3/cut.h"

INLINE __u32 l3_gso(const struct ipn_ctx *c)
{
	return ipn_at_tc(c) ? ((struct __sk_buff *)c->ctx)->gso_size : 0;
}

/* Bytes of the packet at its longest when it leaves: of a frame to be cut, what it is cut into. */
INLINE __u32 l3_leaves(const struct ipn_ctx *c, const struct ipn_msg *m, const struct l3_work *w,
		       __u32 hlen)
{
	__u32 gso = l3_gso(c), l4 = 8;
	__u8 words;

	if (!gso)
		return w->iplen;
	if (w->proto == IPPROTO_TCP && !ipn_load(c, m, 14 + hlen + 12, &words, 1))
		l4 = (words >> 4) * 4;
	return hlen + l4 + gso;
}

/* The packet's flow, of its headers as they stand in the work. */
INLINE void l3_flow_of(struct l3_work *w)
{
	const __u32 *ip = (const void *)w->frame.ip;

	if (w->family == IPN_L3_INET) {
		w->flow[0] = (__u64)ip[3] << 32 | ip[4];
		w->flow[1] = w->flow[2] = w->flow[3] = 0;
		return;
	}
	for (int i = 0; i < 4; i++)
		w->flow[i] = (__u64)ip[2 + 2 * i] << 32 | ip[3 + 2 * i];
}

/* Both addresses are fine: on to the next hop, with the short road where all of it is known. */
INLINE struct ipn_decision l3_forward(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
				      const struct ipn_l3_port *in, __u32 hlen)
{
	__u32 net = m->net, port = w->port;
	struct ipn_l3_net *l3 = bpf_map_lookup_elem(&ipn_l3_nets, &net);
	struct ipn_port_out *dest = l3_dest(m, port);
	struct ipn_l3_entry *e;
	struct ipn_flow *flow;
	union l3_who who;
	__u8 mac[6];

	if (w->ttl <= 1) {
		l3_error(c, L3_ERR_TTL, 0);
		return ipn_drop(IPN_DROP_TTL);
	}
	if (!l3 || !dest || !dest->kind)
		return ipn_drop(IPN_DROP_NO_PORT);
	w->mtu = l3_mtu(c, l3, dest, net, port);
	if (w->mtu && l3_leaves(c, m, w, hlen) > w->mtu)
		return l3_too_big(c, m, w, dest);
	if (!ipn_is_whole(c, m) && (dest->kind == IPN_KIND_PROC || dest->kind == IPN_KIND_SOCK))
		return ipn_to_whole();
	e = l3_entry(w, net, port);
	if (e) {
		who = l3_who(e);
		if (l3_entry_fresh(e, who, dest->gen, msg_now(m))) {
			l3_flow_of(w);
			flow = w->mtu || l3->flags & IPN_L3_OWN_MTU ? NULL : flow_line(m, w->flow);
			if (flow) {
				flow_note(flow, m, w->flow, w->epoch, port, dest->gen);
				__builtin_memcpy(&flow->word, in->mac, 4);
				__builtin_memcpy(flow->mac, who.mac, 6);
			}
			/* the router's addresses differ in the number of the port alone */
			__builtin_memcpy(mac, in->mac, 6);
			mac[4] = port >> 8;
			mac[5] = port;
			if (l3_rewrite(c, m, who.mac, mac, w->family))
				return ipn_drop(IPN_DROP_HEADER);
			return ipn_to_port(port);
		}
	}
	if (ipn_at_xdp(c) && dest->kind != IPN_KIND_PROC)
		return ipn_to_devices();
	if (!ipn_is_whole(c, m))
		return ipn_to_whole();
	return l3_decision(l3_resolve(c, dest->gen, 0));
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
		if (more > OPTIONS_MAX || ipn_load(c, m, 34, options, more))
			return 1;
		sum = l3_sum(options, OPTIONS_MAX, sum);
	}
	return l3_fold(sum);
}

INLINE struct ipn_decision l3_v4(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
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
		return ipn_drop(IPN_DROP_HEADER);
	w->family = IPN_L3_INET;
	w->iplen = len;
	w->proto = ip->protocol;
	w->ttl = ip->ttl;
	fragment = ip->frag_off & bpf_htons(0x3fff);
	if (l3_martian4(ip->saddr))
		return ipn_drop(IPN_DROP_MARTIAN);
	if (w->multicast)
		return ipn_drop(first >= 224 ? IPN_DROP_MULTICAST : IPN_DROP_DIRECTED);
	if (first >= 224 && first < 240)
		return ipn_drop(IPN_DROP_MULTICAST);
	if (l3_martian4(ip->daddr))
		return ipn_drop(IPN_DROP_MARTIAN);
	hop = l3_route4(m->net, ip->saddr);
	if (!hop)
		return ipn_drop(IPN_DROP_WRONG_PORT);
	if (hop->type <= IPN_L3_BROADCAST)
		return ipn_drop(IPN_DROP_MARTIAN);
	if (hop->port != m->port)
		return ipn_drop(IPN_DROP_WRONG_PORT);
	hop = l3_route4(m->net, ip->daddr);
	if (!hop) {
		l3_error(c, L3_ERR_NET, 0);
		return ipn_drop(IPN_DROP_NO_ROUTE);
	}
	if (hop->type == IPN_L3_LOCAL) {
		if (!ipn_is_whole(c, m))
			return ipn_to_whole();
		return l3_decision(l3_local(c, fragment || hlen != 20, 0));
	}
	if (hop->type == IPN_L3_BROADCAST)
		return ipn_drop(IPN_DROP_DIRECTED);
	l3_hop_of(w, hop, &ip->daddr, 4);
	return l3_forward(c, m, w, in, hlen);
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

/* For a group, or an address of the router: of a group's, only neighbour discovery is for it. */
INLINE struct ipn_decision l3_mine6(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
				    int group)
{
	__u8 type = 0;
	int is_nd;

	is_nd = w->proto == IPPROTO_ICMPV6 && !ipn_load(c, m, 54, &type, 1) &&
		(type == ND_NS || type == ND_NA);
	if (group && !is_nd)
		return ipn_drop(IPN_DROP_MULTICAST);
	if (!ipn_is_whole(c, m))
		return ipn_to_whole();
	return l3_decision(is_nd ? l3_nd(c, type, 0) : l3_local(c, 0, 0));
}

INLINE struct ipn_decision l3_v6(const struct ipn_ctx *c, struct ipn_msg *m, struct l3_work *w,
				 struct l3_frame *f, const struct ipn_l3_port *in)
{
	struct ipv6hdr *ip = &f->v6;
	__u32 len = 40 + bpf_ntohs(ip->payload_len);
	struct ipn_l3_hop *hop;

	if (len == 40 && l3_gso(c))
		len = m->len - 14;
	if (m->len < 54 || ip->version != 6 || len > m->len - 14)
		return ipn_drop(IPN_DROP_HEADER);
	w->family = IPN_L3_INET6;
	w->iplen = len;
	w->proto = ip->nexthdr;
	w->ttl = ip->hop_limit;
	if (ip->saddr.s6_addr[0] == 0xff)
		return ipn_drop(IPN_DROP_MARTIAN);
	if (ip->daddr.s6_addr[0] == 0xff)
		return l3_mine6(c, m, w, 1);
	if (w->multicast)
		return ipn_drop(IPN_DROP_DIRECTED);
	if (l3_martian6(&ip->saddr) || l3_martian6(&ip->daddr))
		return ipn_drop(IPN_DROP_MARTIAN);
	if (!l3_link_local6(&ip->saddr)) {
		hop = l3_route6(w, m->net, &ip->saddr);
		if (!hop)
			return ipn_drop(IPN_DROP_WRONG_PORT);
		if (hop->type <= IPN_L3_BROADCAST)
			return ipn_drop(IPN_DROP_MARTIAN);
		if (hop->port != m->port)
			return ipn_drop(IPN_DROP_WRONG_PORT);
	} else if (l3_same6(in->local6, &ip->saddr)) {
		return ipn_drop(IPN_DROP_MARTIAN);
	}
	hop = l3_link_local6(&ip->daddr) ? NULL : l3_route6(w, m->net, &ip->daddr);
	if ((hop && hop->type == IPN_L3_LOCAL) || l3_same6(in->local6, &ip->daddr))
		return l3_mine6(c, m, w, 0);
	if (l3_link_local6(&ip->saddr) || l3_link_local6(&ip->daddr))
		return ipn_drop(IPN_DROP_MARTIAN);
	if (!hop) {
		l3_error(c, L3_ERR_NET, 0);
		return ipn_drop(IPN_DROP_NO_ROUTE);
	}
	if (hop->type == IPN_L3_BROADCAST)
		return ipn_drop(IPN_DROP_DIRECTED);
	l3_hop_of(w, hop, &ip->daddr, 16);
	return l3_forward(c, m, w, in, 40);
}

/*
 * The packet's flow, if its header is such that it may be one that was noted. Read where it stands
 * in the frame, like all of the shortest road: no helper is called and no table of ours touched.
 */
INLINE int l3_flow_key(const struct ipn_msg *m, const struct l3_frame *p, const void *end,
		       __u64 *key)
{
	const __u32 *ip = (const void *)p->ip;
	__u32 len, sum;
	__u64 wide;

	if (unlikely((void *)p->ip + 20 > end || m->vlan || p->src[0] & 1))
		return 0;
	if (p->proto == bpf_htons(ETH_P_IP)) {
		len = bpf_ntohs(p->v4.tot_len);
		if (unlikely(p->ip[0] != 0x45 || p->v4.ttl <= 1 || len < 20 || len > m->len - 14))
			return 0;
		/* five words to one, then to 16 bits: of a right header that is all ones */
		wide = (__u64)ip[0] + ip[1] + ip[2] + ip[3] + ip[4];
		sum = (__u32)wide + (__u32)(wide >> 32);
		sum += sum < (__u32)wide;
		if (unlikely(l3_fold(sum)))
			return 0;
		key[0] = (__u64)ip[3] << 32 | ip[4];
		key[1] = key[2] = key[3] = 0;
		return 1;
	}
	if (p->proto != bpf_htons(ETH_P_IPV6) || (void *)p->ip + 40 > end)
		return 0;
	len = bpf_ntohs(p->v6.payload_len);
	if (p->v6.version != 6 || p->v6.hop_limit <= 1 || !len || len + 54 > m->len)
		return 0;
	for (int i = 0; i < 4; i++)
		key[i] = (__u64)ip[2 + 2 * i] << 32 | ip[3 + 2 * i];
	return 1;
}

/*
 * The road of the packet before this one between the same two. The decision, if that is good and
 * the frame is as it is to leave; -1, if it is not known and nothing has changed.
 */
INLINE int l3_follow(const struct ipn_ctx *c, struct ipn_msg *m, void *data, void *end)
{
	struct l3_frame *p = data + (m->off & 15) - offsetof(struct l3_frame, dst);
	const __u16 *to = (const void *)p->dst;
	struct ipn_flow *flow;
	struct ipn_port_out *dest;
	__u64 key[4];
	__u32 sum, port;
	__u8 hops;

	if (!l3_flow_key(m, p, end, key))
		return -1;
	flow = flow_line(m, key);
	if (unlikely(!flow || !flow_good(flow, m, key, &dest) || to[0] != (__u16)flow->word ||
		     to[1] != (__u16)(flow->word >> 16) || to[2] != bpf_htons(m->port)))
		return -1;
	port = flow->port;
	if (unlikely(!ipn_is_whole(c, m)) &&
	    (dest->kind == IPN_KIND_PROC || dest->kind == IPN_KIND_SOCK))
		return L3_DECISION(IPN_DECISION_WHOLE, 0);
	__builtin_memcpy(p->src, p->dst, 4);
	p->src[4] = port >> 8;
	p->src[5] = port;
	__builtin_memcpy(p->dst, flow->mac, 6);
	if (p->proto == bpf_htons(ETH_P_IP)) {
		p->v4.ttl--;
		sum = bpf_ntohs(p->v4.check) + 0x100;
		p->v4.check = bpf_htons(sum + (sum >> 16));
	} else {
		hops = p->v6.hop_limit - 1;
		if (ipn_store(c, m, 21, &hops, 1, BPF_F_RECOMPUTE_CSUM))
			return L3_DROP(HEADER);
	}
	return L3_DECISION(IPN_DECISION_PORT, port);
}

/* Functions of their own: what they have on the stack is not there when the long road is taken. */
NOINLINE int l3_follow_xdp(struct xdp_md *ctx, struct ipn_msg *m)
{
	const struct ipn_ctx c = { ctx, HOOK_XDP, POLICY_REWRITES };

	return l3_follow(&c, m, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
}

NOINLINE int l3_follow_tc(struct __sk_buff *ctx, struct ipn_msg *m)
{
	const struct ipn_ctx c = { ctx, HOOK_TC, POLICY_REWRITES };

	return l3_follow(&c, m, (void *)(long)ctx->data, (void *)(long)ctx->data_end);
}

INLINE struct ipn_decision l3_route(const struct ipn_ctx *c, struct ipn_msg *m)
{
	struct l3_work *w;
	struct ipn_l3_port *in;
	struct l3_frame *f;
	int known;

	known = ipn_at_xdp(c) ? l3_follow_xdp(c->ctx, m) : l3_follow_tc(c->ctx, m);
	if (likely(known >= 0))
		return l3_decision(known);
	w = l3_work();
	if (!w)
		return ipn_drop(IPN_DROP_NO_PORT);
	f = &w->frame;
	if (unlikely(m->len < 34)) {
		if (m->len < 14 || ipn_load(c, m, 0, f->dst, 14))
			return ipn_drop(IPN_DROP_RUNT);
		return ipn_drop(f->proto == bpf_htons(ETH_P_IP) ||
						f->proto == bpf_htons(ETH_P_IPV6) ||
						f->proto == bpf_htons(ETH_P_ARP)
					? IPN_DROP_HEADER
					: IPN_DROP_NOT_IP);
	}
	if (m->len < 54) {
		if (ipn_load(c, m, 0, f->dst, 34))
			return ipn_drop(IPN_DROP_RUNT);
	} else if (ipn_load(c, m, 0, f->dst, 54)) {
		return ipn_drop(IPN_DROP_RUNT);
	}
	w->epoch = flow_epoch(m);
	in = l3_port(m->net, m->port);
	if (m->vlan)
		return ipn_drop(IPN_DROP_NOT_IP);
	if (!in) /* no address, so nobody can be on its side */
		return ipn_drop(IPN_DROP_WRONG_PORT);
	if (f->src[0] & 1)
		return ipn_drop(IPN_DROP_SOURCE);
	__builtin_memcpy(w->mac, f->src, 6);
	w->multicast = f->dst[0] & 1;
	if (!w->multicast && !l3_same_mac(f->dst, in->mac))
		return ipn_drop(IPN_DROP_OTHER_MAC);
	if (f->proto == bpf_htons(ETH_P_IP))
		return l3_v4(c, m, w, f, in);
	if (f->proto == bpf_htons(ETH_P_IPV6))
		return l3_v6(c, m, w, f, in);
	if (f->proto == bpf_htons(ETH_P_ARP))
		return l3_decision(l3_arp_in(c, 0, 0));
	return ipn_drop(IPN_DROP_NOT_IP);
}
IPN_POLICY_REWRITE(l3, l3_route);
