/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sending, in a policy made with IPN_POLICY_SEND (or, at tc, with IPN_POLICY_REWRITE). What cannot
 * be sent is counted at the sender's port as a drop; these functions tell nothing of it.
 */
#ifndef IPN_KIT_SEND_H
#define IPN_KIT_SEND_H

#include "../core/kit.h"
#include "ports.h"

/*
 * Sends the message, as it is now, to one port of its network: to an interface also where that is
 * the one it came from; a process never receives its own message.
 */
static __always_inline void ipn_forward(const struct ipn_ctx *c, struct ipn_msg *m, __u32 port)
{
	__u32 id = m->net;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	if (net)
		send_port(c, m, net, port);
}

/* Sends it to all ports but the one it came from. */
static __always_inline void ipn_flood(const struct ipn_ctx *c, struct ipn_msg *m)
{
	__u32 id = m->net;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	if (net)
		send_flood(c, m, net);
}

/* Sends it to all ports of the set but the one it came from. */
static __always_inline void ipn_send_ports(const struct ipn_ctx *c, struct ipn_msg *m,
					   const struct ipn_ports *ports)
{
	struct set_words w = { .one = { .ctx = c->ctx, .m = m }, .ports = ports };
	__u32 id = m->net, words;

	w.one.net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	if (!w.one.net)
		return;
	words = (w.one.net->numnodes + 63) / 64;
	if (c->hook == HOOK_XDP)
		bpf_loop(words, set_word_xdp, &w, 0);
	else
		bpf_loop(words, set_word_tc, &w, 0);
}

/*
 * The next port behind port `after`, round about, that can receive and is not the sender; or -1.
 * IPN_PORT_NONE for `after`: the search begins with port 0.
 */
static __always_inline __s32 ipn_next_reader(const struct ipn_msg *m, __u32 after)
{
	__u32 id = m->net;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);
	struct next_reader n = { .port_base = m->port_base, .self = m->port, .found = -1 };

	if (!net)
		return -1;
	n.numnodes = net->numnodes;
	n.after = after < n.numnodes ? after : n.numnodes - 1;
	bpf_loop(n.numnodes, next_reader_one, &n, 0);
	return n.found;
}

/* 1 while the network has a port that is an interface, else 0. */
static __always_inline int ipn_has_interfaces(const struct ipn_msg *m)
{
	__u32 id = m->net;
	struct ipn_net_fast *net = bpf_map_lookup_elem(&ipn_net_fast, &id);

	return net && IPN_READ_ONCE(net->flood_len);
}

#endif
