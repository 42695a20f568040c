/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Private data of a policy: a value for each network, or for each port. */
#ifndef IPN_KIT_DATA_H
#define IPN_KIT_DATA_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <ipn/abi.h>

/*
 * IPN_NET_DATA(name, struct mine): a map with a value for each network. All zero when the policy is
 * loaded; the callback newnet is the place to set it up.
 */
#define IPN_NET_DATA(name, data)                   \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(max_entries, IPN_MAX_NETS); \
		__type(key, __u32);                \
		__type(value, data);               \
	} name SEC(".maps")

/* The value of a network, by its id. NULL is never found, but the verifier wants it compared. */
static __always_inline void *ipn_net_data(void *map, __u32 net)
{
	return bpf_map_lookup_elem(map, &net);
}

/*
 * IPN_PORT_DATA(name, struct mine): a map with a value for each port that has one, by network id
 * and port number.
 */
struct ipn_port_key {
	__u32 net;
	__u32 port;
};
#define IPN_PORT_DATA(name, data)                     \
	struct {                                      \
		__uint(type, BPF_MAP_TYPE_HASH);      \
		__uint(max_entries, IPN_MAX_PORTS);   \
		__uint(map_flags, BPF_F_NO_PREALLOC); \
		__type(key, struct ipn_port_key);     \
		__type(value, data);                  \
	} name SEC(".maps")

/* The value of a port, or NULL when it has none. */
static __always_inline void *ipn_port_data(void *map, __u32 net, __u32 port)
{
	struct ipn_port_key key = { net, port };

	return bpf_map_lookup_elem(map, &key);
}

/* Stores the value of a port. 0 or -errno (ENOMEM, E2BIG). */
static __always_inline long ipn_port_set(void *map, __u32 net, __u32 port, const void *value)
{
	struct ipn_port_key key = { net, port };

	return bpf_map_update_elem(map, &key, value, BPF_ANY);
}

/* Removes it: the callback delport is the place for that. 0, or -ENOENT when it had none. */
static __always_inline long ipn_port_clear(void *map, __u32 net, __u32 port)
{
	struct ipn_port_key key = { net, port };

	return bpf_map_delete_elem(map, &key);
}

#endif
