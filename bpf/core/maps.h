/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The maps of the fabric. Every object includes all of them; the manager makes them once, with the
 * object of the hooks, and gives the same ones to every other object by name.
 * What stands in them, and who writes it: include/ipn/abi.h.
 */
#ifndef IPN_BPF_MAPS_H
#define IPN_BPF_MAPS_H

#include "defs.h"
#include "msg.h"
#include <ipn/policy_abi.h>

#define LOG_TEMPLATE(name, size)                                     \
	struct name {                                                \
		__uint(type, BPF_MAP_TYPE_ARRAY);                    \
		__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP); \
		__uint(max_entries, 2);                              \
		__uint(key_size, sizeof(__u32));                     \
		__uint(value_size, size);                            \
	}
#define LOGS(name, template)                              \
	struct {                                          \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); \
		__uint(max_entries, IPN_MAX_LOGS);        \
		__uint(key_size, sizeof(__u32));          \
		__array(values, struct template);         \
	} name SEC(".maps")

LOG_TEMPLATE(log_small, IPN_SLOT_SMALL);
LOG_TEMPLATE(log_eth, IPN_SLOT_ETH);
LOG_TEMPLATE(log_jumbo, IPN_SLOT_JUMBO);
LOGS(ipn_logs_small, log_small);
LOGS(ipn_logs_eth, log_eth);
LOGS(ipn_logs_jumbo, log_jumbo);

struct bell {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, IPN_BELL_SIZE);
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, IPN_MAX_NODES);
	__uint(key_size, sizeof(__u32));
	__array(values, struct bell);
} ipn_bells SEC(".maps"), ipn_rooms SEC(".maps");

struct page {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct ipn_page));
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, IPN_MAX_NODES);
	__uint(key_size, sizeof(__u32));
	__array(values, struct page);
} ipn_pages SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, IPN_MAX_NODES);
	__type(key, __u32);
	__type(value, struct ipn_ring);
} ipn_rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ipn_abi);
} ipn_abi SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPN_MAX_NETS);
	__type(key, __u32);
	__type(value, struct ipn_net_info);
} ipn_net_info SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, IPN_MAX_NETS);
	__type(key, __u32);
	__type(value, struct ipn_net_fast);
} ipn_net_fast SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPN_MAX_NODES);
	__type(key, __u32);
	__type(value, struct ipn_port_in);
} ipn_port_in SEC(".maps");

/*
 * Most of them once more, where a look-up costs a tenth: by the lower bits of their ifindex. What
 * finds another's, or nothing, looks into the hash.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* so that it begins with a page */
	__uint(max_entries, IPN_PORT_CACHE);
	__type(key, __u32);
	__type(value, struct ipn_port_in);
} ipn_port_cache SEC(".maps");

INLINE struct ipn_port_in *port_find(__u32 ifindex)
{
	__u32 at = ifindex & (IPN_PORT_CACHE - 1);
	struct ipn_port_in *port = bpf_map_lookup_elem(&ipn_port_cache, &at);

	if (likely(port && READ_ONCE(port->ifindex) == ifindex))
		return port;
	return bpf_map_lookup_elem(&ipn_port_in, &ifindex);
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPN_MAX_NODES);
	__type(key, __u32);
	__type(value, struct ipn_port_info);
} ipn_port_info SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* the manager's thread reads it */
	__uint(max_entries, IPN_MAX_PORTS);
	__type(key, __u32);
	__type(value, struct ipn_port_out);
} ipn_port_out SEC(".maps");

/* xsk ports: what stands at the far end of the veth, and its socket, by node. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPN_MAX_NODES);
	__type(key, __u32);
	__type(value, struct ipn_xskport);
} ipn_xskports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE); /* so that it begins with a page */
	__uint(max_entries, IPN_PORT_CACHE);
	__type(key, __u32);
	__type(value, struct ipn_xsk_cache);
} ipn_xsk_cache SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, IPN_MAX_NODES);
	__type(key, __u32);
	__type(value, __u32);
} ipn_xsks SEC(".maps");

/* From a network's port_base on: its devices, as index in port_out + 1; 0 is a hole. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, IPN_MAX_PORTS);
	__type(key, __u32);
	__type(value, __u32);
} ipn_flood_list SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, IPN_FDB_MAX);
	__type(key, struct ipn_fdb_key);
	__type(value, struct ipn_fdb);
} ipn_fdb SEC(".maps");

/* By node, then by network: how fast addresses are learned. Looked at for new ones only. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, IPN_MAX_NODES + IPN_MAX_NETS);
	__type(key, __u32);
	__type(value, struct ipn_learn);
} ipn_learns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, IPN_MAX_NODES);
	__type(key, __u32);
	__type(value, struct ipn_stats);
} ipn_stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ipn_msg);
} ipn_msgs SEC(".maps");

/* Arguments of a policy's callback: policy_abi.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ipn_call);
} ipn_calls SEC(".maps");

/* The policies, by number: one program per hook. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, IPN_POLICY_MAX);
	__type(key, __u32);
	__type(value, __u32);
} ipn_pol_xdp SEC(".maps"), ipn_pol_tc SEC(".maps"), ipn_pol_sk SEC(".maps");

/* Sock ports: the fabric's socket of each, by node; whose message it is, by the sender. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, IPN_MAX_NODES);
	__type(key, __u32);
	__type(value, __u32);
} ipn_socks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPN_MAX_NODES);
	__type(key, __u64);
	__type(value, struct ipn_sk);
} ipn_sk_ports SEC(".maps");

/* What the manager's thread delivers, and each port's share of it. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, IPN_PUNT_SIZE);
} ipn_punt SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, IPN_MAX_NODES);
	__type(key, __u32);
	__type(value, struct ipn_punt_acct);
} ipn_punt_acct SEC(".maps");

/* For people and a new manager; no program reads it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, IPN_MAX_NODES);
	__type(key, __u32);
	__type(value, struct ipn_listener);
} ipn_listeners SEC(".maps");

#endif
