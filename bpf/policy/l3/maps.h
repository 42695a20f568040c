/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The maps of the layer 3 policy; their contents are told in include/ipn/l3.h. What belongs to a
 * network and has a size stands in maps of its own, which the manager makes with the network and
 * which end with it, so that one network cannot use up what others need.
 */
#ifndef IPN_L3_MAPS_H
#define IPN_L3_MAPS_H

#include <ipn/l3.h>
#include <ipn/policy.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "core/flow.h"

#define L3_PER_NET(name, template)                        \
	struct {                                          \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); \
		__uint(max_entries, IPN_MAX_NETS);        \
		__uint(key_size, sizeof(__u32));          \
		__array(values, struct template);         \
	} name SEC(".maps")

struct l3_routes4 {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct ipn_l3_key4));
	__uint(value_size, sizeof(struct ipn_l3_hop));
};
struct l3_routes6 {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(struct ipn_l3_key6));
	__uint(value_size, sizeof(struct ipn_l3_hop));
};
struct l3_neighs {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, IPN_L3_NEIGHS);
	__uint(key_size, sizeof(struct ipn_l3_neigh_key));
	__uint(value_size, sizeof(struct ipn_l3_entry));
};
struct l3_helds {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, IPN_L3_HELD_SLOTS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct ipn_l3_held));
};
L3_PER_NET(ipn_l3_route4, l3_routes4);
L3_PER_NET(ipn_l3_route6, l3_routes6);
L3_PER_NET(ipn_l3_neigh, l3_neighs);
L3_PER_NET(ipn_l3_held, l3_helds);

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, IPN_MAX_PORTS);
	__type(key, struct ipn_l3_port_key);
	__type(value, struct ipn_l3_port);
} ipn_l3_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, IPN_MAX_PORTS);
	__type(key, struct ipn_l3_neigh_key);
	__type(value, struct ipn_l3_entry);
} ipn_l3_static SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, IPN_MAX_NETS);
	__type(key, __u32);
	__type(value, struct ipn_l3_net);
} ipn_l3_nets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, IPN_MAX_NODES);
	__type(key, __u32);
	__type(value, struct ipn_l3_limit);
} ipn_l3_limit SEC(".maps");

/* The headers of a message, and room to make them even. */
struct l3_frame {
	__u16 pad;
	__u8 dst[6], src[6];
	__be16 proto;
	union {
		struct iphdr v4;
		struct ipv6hdr v6;
		__u8 ip[40];
	};
};

/*
 * What the handler found out, for the functions that do the rest. And keys and values for maps: the
 * stack of all functions that call one another has 512 bytes.
 */
struct l3_work {
	struct l3_frame frame;
	struct ipn_l3_entry fresh;
	struct ipn_l3_neigh_key neigh;
	struct ipn_l3_key6 key;
	__u32 epoch;   /* flow_epoch, from before the first look-up */
	__u64 flow[4]; /* key of the packet's flow: its addresses */
	__u32 family;  /* IPN_L3_INET, IPN_L3_INET6 */
	__u32 iplen;   /* with its header */
	__u32 port;    /* to leave by */
	__u32 mtu;     /* of that; 0: the network's */
	__u32 too_big; /* for the port, so not to be held */
	struct {
		__u32 step;  /* bytes of payload in a fragment */
		__u32 at;    /* where the next stands in the draft */
		__u32 left;  /* from there on */
		__u32 field; /* offset and flags of its header */
		__u8 mac[8]; /* where to */
	} cut;
	__u32 multicast; /* the Ethernet destination is a group */
	__u8 hop[16];    /* next hop, IPv4 mapped */
	__u8 mac[6];     /* sender's, as it came */
	__u8 proto;      /* of the IP header */
	__u8 ttl;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct l3_work);
} ipn_l3_work SEC(".maps");

INLINE struct l3_work *l3_work(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ipn_l3_work, &zero);
}

INLINE struct ipn_msg *l3_msg(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&ipn_msgs, &zero);
}

INLINE struct ipn_l3_port *l3_port(__u32 net, __u32 port)
{
	struct ipn_l3_port_key key = { net, port };

	return bpf_map_lookup_elem(&ipn_l3_ports, &key);
}

INLINE struct ipn_l3_hop *l3_route4(__u32 net, __be32 addr)
{
	void *routes = bpf_map_lookup_elem(&ipn_l3_route4, &net);
	struct ipn_l3_key4 key = { .len = 32 };

	__builtin_memcpy(key.addr, &addr, sizeof(addr));
	return routes ? bpf_map_lookup_elem(routes, &key) : NULL;
}

INLINE struct ipn_l3_hop *l3_route6(struct l3_work *w, __u32 net, const void *addr)
{
	void *routes = bpf_map_lookup_elem(&ipn_l3_route6, &net);

	w->key.len = 128;
	__builtin_memcpy(w->key.addr, addr, sizeof(w->key.addr));
	return routes ? bpf_map_lookup_elem(routes, &w->key) : NULL;
}

/* The four bytes of an IPv4 address in the place of an IPv6 address. */
INLINE void l3_mapped(__u8 *to, __be32 addr)
{
	__u32 *w = (void *)to;

	w[0] = 0;
	w[1] = 0;
	w[2] = bpf_htonl(0xffff);
	w[3] = addr;
}

INLINE __be32 l3_unmapped(const __u8 *from)
{
	return ((const __u32 *)from)[3];
}

INLINE struct ipn_port_out *l3_dest(const struct ipn_msg *m, __u32 port)
{
	__u32 at = m->port_base + port;

	return bpf_map_lookup_elem(&ipn_port_out, &at);
}

/* Ones' complement sum of whole words (a constant number of bytes, a multiple of four). */
INLINE __u32 l3_sum(void *data, __u32 len, __u32 seed)
{
	return bpf_csum_diff(NULL, 0, data, len, seed);
}

INLINE __u16 l3_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

#endif
