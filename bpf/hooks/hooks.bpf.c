// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The entry programs: one per hook. Each finds the port, counts the message, checks what holds for
 * all policies (right to send, MTU), and tail-calls the policy of the network.
 *
 *   ipn_xdp      taps of processes: private header, control frames
 *   ipn_xdp_dev  AF_XDP programs: frames, whole ones
 *   ipn_tc_tap   after these two: carries out a verdict for devices
 *   ipn_tc       devices
 *   ipn_tc_grab  devices that are the host's: whatever becomes of the message, the host gets it
 *   ipn_tc_cable ends of cables: what comes out of another network
 *   ipn_tc_segm    far end of the segmenter: whole frames for processes
 *   ipn_sk       sockets of sock ports; what an entry program does is done by the policy's program
 *   ipn_sk_query  run by the manager: whom the sockets of sock ports are connected to
 *   ipn_notify   run by the manager: puts an event into a node's bell
 */
#include "core/deliver.h"

char LICENSE[] SEC("license") = "GPL";

/*
 * On to the policy. A jump to a number that the kernel knows beforehand is direct; another is not,
 * and costs more where the kernel guards such jumps (retpolines). So the built-in ones have theirs.
 */
#define to_policy(ctx, map, number)                                           \
	do {                                                                  \
		if ((number) == IPN_POLICY_SWITCH)                            \
			bpf_tail_call_static(ctx, map, IPN_POLICY_SWITCH);    \
		else if ((number) == IPN_POLICY_L3)                           \
			bpf_tail_call_static(ctx, map, IPN_POLICY_L3);        \
		else if ((number) == IPN_POLICY_BROADCAST)                    \
			bpf_tail_call_static(ctx, map, IPN_POLICY_BROADCAST); \
		else                                                          \
			bpf_tail_call(ctx, map, number);                      \
	} while (0)

/*
 * Copies what is needed of a port. The map's element may be given to another at any moment after
 * that port was detached or changed, and is written from its first word on, or with that as 0 at
 * first (bpf_port_set): if it still is our ifindex at the end, all of the copy is of our port.
 * NULL: it is not, the port is gone just now.
 */
INLINE struct ipn_msg *msg_start(const struct ipn_port_in *port, __u32 ifindex, __u32 len)
{
	__u32 zero = 0, id = port->net;
	struct ipn_msg *m = bpf_map_lookup_elem(&ipn_msgs, &zero);
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	if (unlikely(!m || !net))
		return NULL;
	m->net = id;
	m->port = port->number;
	m->kind = port->kind;
	m->node = port->node;
	m->port_base = READ_ONCE(net->port_base);
	m->gen = port->gen;
	m->policy = port->policy;
	m->mtu = port->mtu;
	m->batch = 0;
	m->wake = 0;
	m->refused = 0;
	barrier();
	if (unlikely(READ_ONCE(port->ifindex) != ifindex))
		return NULL;
	m->ifindex = ifindex;
	m->len = len;
	m->off = 0;
	m->vlan = 0;
	m->whole = 1;
	m->processes_only = 0;
	m->host_copy = 0;
	m->cable = 0;
	return m;
}

INLINE int xdp_control(const struct ipn_ctx *c, const struct ipn_port_in *port,
		       const struct ipn_tx_hdr *hdr)
{
	__u32 id = port->net, number = port->number, full;
	__u8 op = hdr->op;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	if (op == IPN_TX_SLEEP && net)
		wake_arm(net, port->number);
	else if (op == IPN_TX_RING) {
		bell_ring(port->node, IPN_EVENT_WAKE, 0);
		room_ring(port->node);
	} else if (op == IPN_TX_ROOM && net && net->flags & IPN_FLAG_LOSSLESS) {
		__builtin_memcpy(&full, hdr->ticket, sizeof(full));
		pool_wait(id, number, full, hdr->process);
	} else if (op == IPN_TX_MOVED && net && net->flags & IPN_FLAG_LOSSLESS) {
		pool_moved(id);
		pool_own_moved(id, number);
	} else
		return drop(c, port->node, IPN_DROP_BAD_FRAME);
	return XDP_DROP;
}

/*
 * A batch is for processes: devices take one frame at a time. On a network with devices it is
 * refused whole, and its sender finds the ticket in its page when write() returns.
 */
INLINE int batch_refused(const struct ipn_port_in *port, const struct ipn_tx_hdr *hdr)
{
	__u32 id = port->net, node = port->node, zero = 0, ticket;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	struct ipn_page_process *sender;
	struct ipn_page *page;
	void *pages;

	if (net && !READ_ONCE(net->flood_len))
		return 0;
	pages = bpf_map_lookup_elem(&ipn_pages, &node);
	page = pages ? bpf_map_lookup_elem(pages, &zero) : NULL;
	sender = page ? page_process(page, hdr->process) : NULL;
	if (sender) {
		__builtin_memcpy(&ticket, hdr->ticket, sizeof(ticket));
		WRITE_ONCE(sender->tx_refused, IPN_TX_REFUSED | ticket);
	}
	return 1;
}

SEC("xdp") int ipn_xdp(struct xdp_md *ctx)
{
	const struct ipn_ctx c = { ctx, HOOK_XDP, 0 };
	__u32 ifindex = ctx->ingress_ifindex, policy, batch = 0;
	struct ipn_port_in *port = port_find(ifindex);
	struct ipn_tx_hdr *hdr = (void *)(long)ctx->data;
	__u32 len = bpf_xdp_get_buff_len(ctx) - IPN_TX_HDR;
	struct ipn_msg *m;

	if (unlikely(!port)) /* detached just now */
		return XDP_DROP;
	if (unlikely((void *)(hdr + 1) > (void *)(long)ctx->data_end))
		return drop(&c, port->node, IPN_DROP_BAD_FRAME);
	if (unlikely(hdr->magic[0] != 'I' || hdr->magic[1] != 'P' || hdr->magic[2] != 'N' ||
		     hdr->magic[3] != 1))
		return drop(&c, port->node, IPN_DROP_BAD_FRAME);
	if (hdr->op == IPN_TX_BATCH)
		batch = hdr->count;
	if (hdr->op != IPN_TX_DATA && !batch)
		return xdp_control(&c, port, hdr);

	if (!(port->flags & IPN_PF_WRITER)) {
		stats_drops(port->node, IPN_DROP_NOT_WRITER, batch ? batch : 1);
		return XDP_DROP;
	}
	if (batch) {
		if (batch_refused(port, hdr))
			return XDP_DROP;
	} else {
		if (len > port->mtu)
			return drop(&c, port->node, IPN_DROP_MTU);
		stats_in(port->node, 1, len);
	}
	m = msg_start(port, ifindex, len);
	if (!m)
		return XDP_DROP;
	m->off = IPN_TX_HDR;
	m->batch = batch;
	policy = m->policy;
	to_policy(ctx, &ipn_pol_xdp, policy);
	stats_drops(m->node, IPN_DROP_NO_POLICY, batch ? batch : 1);
	return XDP_DROP;
}

/*
 * What an AF_XDP program sends comes into the fabric's end of its veth one by one, whole, since
 * both ends have their offloads off. So it can be dealt with here, before it is a socket buffer for
 * all that follows.
 */
SEC("xdp") int ipn_xdp_dev(struct xdp_md *ctx)
{
	const struct ipn_ctx c = { ctx, HOOK_XDP, 0 };
	__u32 ifindex = ctx->ingress_ifindex, len = ctx->data_end - ctx->data, policy;
	struct ipn_port_in *port = port_find(ifindex);
	struct ipn_msg *m;

	if (unlikely(!port)) /* detached just now */
		return XDP_DROP;
	if (unlikely(len > port->mtu))
		return drop(&c, port->node, IPN_DROP_MTU);
	stats_in(port->node, 1, len);
	m = msg_start(port, ifindex, len);
	if (unlikely(!m))
		return XDP_DROP;
	policy = m->policy;
	to_policy(ctx, &ipn_pol_xdp, policy);
	return drop(&c, m->node, IPN_DROP_NO_POLICY);
}

/* Bytes of the frame, a tag held apart included. */
INLINE __u32 tc_len(struct __sk_buff *skb)
{
	return skb->len + (skb->vlan_present ? TAG_LEN : 0);
}

INLINE __u32 tc_whole(struct __sk_buff *skb);

/*
 * A message that its policy wants to see here, where it can be sent to devices. (Frames of an
 * AF_XDP program may have been joined meanwhile.)
 */
INLINE int tc_policy(struct __sk_buff *skb, const struct ipn_port_in *port)
{
	struct ipn_msg *m = msg_start(port, skb->ifindex, tc_len(skb));
	__u32 policy;

	if (!m)
		return TC_DROP;
	m->whole = tc_whole(skb);
	if (skb->vlan_present)
		m->vlan = bpf_ntohs(skb->vlan_proto) << 16 | skb->vlan_tci;
	policy = m->policy;
	to_policy(skb, &ipn_pol_tc, policy);
	stats_drop(m->node, IPN_DROP_NO_POLICY);
	return TC_DROP;
}

SEC("tc") int ipn_tc_tap(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex, node, at;
	struct ipn_port_in *port = port_find(ifindex);
	__u32 cable = 0, len;
	struct ipn_verdict v = { 0 };
	struct ipn_port_out *dest;
	struct ipn_net_fast *net;

	if (!port)
		return TC_DROP;
	node = port->node;
	if (tc_verdict(skb, port, &v, &cable)) {
		stats_drop(node, IPN_DROP_META);
		return TC_DROP;
	}
	net = bpf_map_lookup_elem(&ipn_net_fast, &v.net);
	if (!net)
		return TC_DROP;
	len = tc_len(skb) - (cable ? IPN_TX_HDR : 0);
	if (v.kind == IPN_TO_PORT) {
		at = READ_ONCE(net->port_base) + v.arg;
		dest = bpf_map_lookup_elem(&ipn_port_out, &at);
		if (!dest || v.arg >= net->numnodes || dest->kind <= IPN_KIND_PROC ||
		    dest->kind == IPN_KIND_SOCK) {
			stats_drop(node, IPN_DROP_NO_PORT);
			return TC_DROP;
		}
		return tc_to_device(skb, dest, node, len, cable);
	}
	if (v.kind == IPN_TO_POLICY)
		return tc_policy(skb, port);
	tc_flood_devices(skb, net, ifindex, node, len, cable);
	return TC_DROP;
}

/*
 * Bytes of the segments of a GSO frame, headers and a tag held apart included; 0: cannot tell. (Not
 * bpf_check_mtu: that knows the device's MTU, which cannot be below 68, and forgets the tag.)
 */
INLINE __u32 tc_segment(struct __sk_buff *skb)
{
	struct sk_buff *kernel = (void *)skb; /* to be read by BPF_CORE_READ only */
	struct skb_shared_info *shared;
	__u32 headers, type;
	unsigned char *head;
	__u8 words;

	if (BPF_CORE_READ_BITFIELD_PROBED(kernel, encapsulation))
		return 0;
	head = BPF_CORE_READ(kernel, head);
	shared = (void *)(head + BPF_CORE_READ(kernel, end));
	type = BPF_CORE_READ(shared, gso_type);
	headers = head + BPF_CORE_READ(kernel, transport_header) - BPF_CORE_READ(kernel, data);
	if (type & GSO_TCP) {
		if (bpf_skb_load_bytes(skb, headers + 12, &words, 1))
			return 0;
		headers += (words >> 4) * 4;
	} else {
		headers += 8; /* UDP */
	}
	return headers + skb->gso_size + (skb->vlan_present ? TAG_LEN : 0);
}

/* Is the frame, or what it will be cut into, longer than the network allows? */
INLINE int tc_too_long(struct __sk_buff *skb, __u32 len, __u32 mtu)
{
	__u32 l3 = 0, segment;

	if (likely(!skb->gso_size))
		return len > mtu;
	segment = tc_segment(skb);
	if (segment)
		return segment > mtu;
	return bpf_check_mtu(skb, 0, &l3, 0, BPF_MTU_CHK_SEGS) != 0;
}

/* Checksums complete and not to be cut into segments? */
INLINE __u32 tc_whole(struct __sk_buff *skb)
{
	struct sk_buff *kernel = (void *)skb;

	if (skb->gso_size)
		return 0;
	if (unlikely(!bpf_cast_to_kern_ctx)) /* before Linux 6.2; reads the same, but slower */
		return BPF_CORE_READ_BITFIELD_PROBED(kernel, ip_summed) != CHECKSUM_PARTIAL;
	kernel = bpf_cast_to_kern_ctx(skb);
	return BPF_CORE_READ_BITFIELD(kernel, ip_summed) != CHECKSUM_PARTIAL;
}

enum tc_from { FROM_DEVICE, FROM_SEGMENTER, FROM_GRAB, FROM_CABLE };

/* cable: CABLE_* of the message. */
INLINE int tc_run(struct __sk_buff *skb, __u32 ifindex, const enum tc_from from, __u32 cable)
{
	const int act = from == FROM_GRAB ? TC_PASS : TC_DROP; /* when nothing becomes of it */
	struct ipn_port_in *port = port_find(ifindex);
	__u32 len = tc_len(skb), vlan = 0, policy;
	struct ipn_msg *m;
	int why;

	if (unlikely(!port)) /* not ours yet, or any more: only a grabbed interface is the host's */
		return act;
	if (from == FROM_CABLE && cable & CABLE_RAW)
		len -= IPN_TX_HDR;
	if (unlikely(skb->vlan_present))
		vlan = bpf_ntohs(skb->vlan_proto) << 16 | skb->vlan_tci;
	if (unlikely(tc_too_long(skb, len, port->mtu))) {
		stats_drop(port->node, IPN_DROP_MTU);
		return act;
	}
	if (from != FROM_SEGMENTER)
		stats_in(port->node, 1, len);
	m = msg_start(port, ifindex, len);
	if (unlikely(!m))
		return act;
	m->vlan = vlan;
	m->whole = from == FROM_SEGMENTER || tc_whole(skb);
	m->processes_only = from == FROM_SEGMENTER;
	m->host_copy = from == FROM_GRAB;
	if (from == FROM_CABLE || from == FROM_SEGMENTER)
		m->cable = cable;
	if (from == FROM_CABLE && cable & CABLE_RAW) {
		m->off = IPN_TX_HDR;
		why = cable_unwrap(skb, m);
		if (why) {
			stats_drop(m->node, why - 1);
			return TC_DROP;
		}
	}
	policy = m->policy;
	to_policy(skb, &ipn_pol_tc, policy);
	stats_drop(m->node, IPN_DROP_NO_POLICY);
	return act;
}

SEC("tc") int ipn_tc(struct __sk_buff *skb)
{
	return tc_run(skb, skb->ifindex, FROM_DEVICE, 0);
}

SEC("tc") int ipn_tc_grab(struct __sk_buff *skb)
{
	return tc_run(skb, skb->ifindex, FROM_GRAB, 0);
}

SEC("tc") int ipn_tc_segm(struct __sk_buff *skb)
{
	__u32 ifindex = skb->mark, cable = 0;

	if (ifindex & SEGMENTER_CABLE) {
		cable = ifindex >> SEGMENTER_HOPS_SHIFT & CABLE_HOPS;
		if (cable) /* else it is the number of a sock port */
			ifindex &= SEGMENTER_IFINDEX;
	}
	return tc_run(skb, ifindex, FROM_SEGMENTER, cable);
}

SEC("tc") int ipn_tc_cable(struct __sk_buff *skb)
{
	__u32 mark = skb->mark, hops = mark & CABLE_HOPS, ifindex = skb->ifindex;
	struct ipn_port_in *port;

	WRITE_ONCE(skb->mark, 0);
	if ((mark & CABLE_MARK_MASK) == IPN_CABLE_MARK && hops && hops <= IPN_HOPS_MAX)
		return tc_run(skb, ifindex, FROM_CABLE, mark & (CABLE_HOPS | CABLE_RAW));
	port = port_find(ifindex);
	if (port) /* somebody in the fabric's namespace sent it out of the other end */
		stats_drop(port->node, IPN_DROP_BAD_FRAME);
	return TC_DROP;
}

SEC("sk_skb") int ipn_sk(struct __sk_buff *skb)
{
	__u64 sender = sk_sender(skb);
	struct ipn_sk *sk = bpf_map_lookup_elem(&ipn_sk_ports, &sender);
	struct ipn_port_in *port;
	__u32 policy, ifindex;

	if (!sk) /* left just now */
		return SK_DROP;
	policy = sk->policy;
	ifindex = sk->ifindex;
	to_policy(skb, &ipn_pol_sk, policy);
	port = port_find(ifindex);
	if (port)
		stats_drop(port->node, IPN_DROP_NO_POLICY);
	return SK_DROP;
}

INLINE void sk_look(struct ipn_sk_query *look)
{
	__u32 node = look->node;
	struct bpf_sock *sk = bpf_map_lookup_elem(&ipn_socks, &node);
	struct unix_sock *us;
	struct sock *peer;
	__u64 first = 0;

	if (!sk)
		return;
	us = bpf_skc_to_unix_sock(sk);
	if (us) {
		look->waiting = sk_waiting(us);
		look->broken = sk_broken(us);
		peer = us->peer;
		if (peer) {
			if (look->waiting && sk_stuck(us, peer))
				BPF_CORE_READ_INTO(&first, sk_psock_of(us), ingress_skb.next);
			look->first = first;
			look->uid = peer->sk_uid.val;
			look->dead = peer->__sk_common.skc_flags >> SOCK_DEAD & 1;
			look->peer = (__u64)peer;
		}
	}
	bpf_sk_release(sk);
}

/* The frame is an array of looks. (An iterator over the map would do; some kernels refuse it.) */
SEC("tc") int ipn_sk_query(struct __sk_buff *skb)
{
	struct ipn_sk_query *look;

	for (__u32 i = 0; i < IPN_SK_QUERIES; i++) {
		look = (struct ipn_sk_query *)(long)skb->data + i;
		if ((void *)(look + 1) > (void *)(long)skb->data_end)
			break;
		sk_look(look);
	}
	return 0;
}

SEC("syscall") int ipn_notify(struct ipn_notify *ctx)
{
	__u32 id = ctx->node;

	if (ctx->op == IPN_NOTIFY_ROOM)
		return room_ring(id) ? 1 : 0;
	if (ctx->op == IPN_NOTIFY_POOL) {
		pool_left(id);
		return 0;
	}
	if (ctx->op == IPN_NOTIFY_HELD) {
		pool_held(ctx);
		return 0;
	}
	return bell_ring(ctx->node, ctx->event.type, ctx->event.arg) ? 1 : 0;
}
