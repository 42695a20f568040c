// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The far end of an xsk port's veth: whatever comes out there is for the AF_XDP socket on it.
 *
 *   ipn_xdp_xsk    XDP there. What comes has been delivered to the port already; it is whole, with
 *                  complete checksums, since the fabric's end has its transmit offloads off.
 *   ipn_xsk_held   run by the manager: does somebody have the socket? Packet: the node's number
 *
 * The kernel takes a socket out of the map when its last descriptor is closed, so what stands there
 * is true also without a manager. It also sees to it that a frame only goes to a socket of the
 * interface it came out of: an element of `xskports` or `xsk_cache` that is given to another port
 * just now, or is half written, cannot lead it astray.
 */
#include "core/stats.h"

char LICENSE[] SEC("license") = "GPL";

SEC("xdp") int ipn_xdp_xsk(struct xdp_md *ctx)
{
	__u32 ifindex = ctx->ingress_ifindex, at = ifindex & (IPN_PORT_CACHE - 1), node;
	struct ipn_xsk_cache *near = bpf_map_lookup_elem(&ipn_xsk_cache, &at);
	struct ipn_xskport *x;

	if (likely(near && near->ifindex == ifindex)) {
		node = near->node;
	} else {
		x = bpf_map_lookup_elem(&ipn_xskports, &ifindex);
		if (!x) /* detached just now */
			return XDP_DROP;
		node = x->node;
	}
	if (bpf_redirect_map(&ipn_xsks, node, XDP_DROP) == XDP_REDIRECT)
		return XDP_REDIRECT;
	stats_drop(node, IPN_DROP_XSK_CLOSED);
	return XDP_DROP;
}

SEC("xdp") int ipn_xsk_held(struct xdp_md *ctx)
{
	__u32 *node = (void *)(long)ctx->data, at;

	if ((void *)(node + 1) > (void *)(long)ctx->data_end)
		return XDP_DROP;
	at = *node;
	return bpf_map_lookup_elem(&ipn_xsks, &at) ? XDP_PASS : XDP_DROP;
}
