// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A topic filter: the first byte of a message is its topic, and only those receive it that asked
 * for that topic. Options at the level of the policy, the value an int from 0 to 255:
 *
 *	set 1  subscribe     set 2  unsubscribe     get 1  is the topic in the value mine? 0 or 1
 */
#include <ipn/policy.h>

#define SUBSCRIBE 1
#define UNSUBSCRIBE 2

/* Who wants a topic: [network * 256 + topic], made when somebody subscribes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct ipn_ports);
} topics SEC(".maps");

/* Too big for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ipn_ports);
} nobody SEC(".maps");

static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, struct ipn_msg *m)
{
	struct ipn_ports *ports;
	__u8 topic;
	__u32 key;

	if (m->len < 1 || ipn_load(c, m, 0, &topic, 1))
		return ipn_drop(IPN_DROP_POLICY);
	key = m->net * 256 + topic;
	ports = bpf_map_lookup_elem(&topics, &key);
	if (ports)
		ipn_send_ports(c, m, ports);
	return ipn_to_none();
}
IPN_POLICY_SEND(topic, handle);

/* The topic in the value of an option, or negative. */
static __always_inline int topic_of(const struct ipn_call *call)
{
	__s32 value;

	if (call->port == IPN_PORT_NONE)
		return -107; /* ENOTCONN */
	if (call->len < sizeof(value))
		return -22; /* EINVAL */
	__builtin_memcpy(&value, call->data, sizeof(value));
	return value < 0 || value > 255 ? -22 : value;
}

IPN_ON(setsockopt)
{
	int topic = topic_of(call);
	__u32 key = call->net * 256 + topic, zero = 0;
	struct ipn_ports *ports, *none;

	if (topic < 0)
		return topic;
	if (call->name != SUBSCRIBE && call->name != UNSUBSCRIBE)
		return -92; /* ENOPROTOOPT */
	ports = bpf_map_lookup_elem(&topics, &key);
	if (!ports && call->name == SUBSCRIBE) {
		none = bpf_map_lookup_elem(&nobody, &zero);
		if (!none || bpf_map_update_elem(&topics, &key, none, BPF_NOEXIST))
			return -12; /* ENOMEM */
		ports = bpf_map_lookup_elem(&topics, &key);
	}
	if (!ports)
		return 0;
	if (call->name == SUBSCRIBE)
		ipn_ports_add(ports, call->port);
	else
		ipn_ports_del(ports, call->port);
	return 0;
}

IPN_ON(getsockopt)
{
	int topic = topic_of(call);
	__u32 key = call->net * 256 + topic;
	struct ipn_ports *ports;
	__s32 value;

	if (topic < 0)
		return topic;
	if (call->name != SUBSCRIBE)
		return -92; /* ENOPROTOOPT */
	ports = bpf_map_lookup_elem(&topics, &key);
	value = ports && ipn_ports_has(ports, call->port);
	__builtin_memcpy(call->data, &value, sizeof(value));
	call->len = sizeof(value);
	return 0;
}

struct leaving {
	__u32 net, port;
};

static long leave(__u32 topic, struct leaving *l)
{
	__u32 key = l->net * 256 + topic;
	struct ipn_ports *ports = bpf_map_lookup_elem(&topics, &key);

	if (ports)
		ipn_ports_del(ports, l->port);
	return 0;
}

/* Whoever gets this port next has asked for nothing. */
IPN_ON(delport)
{
	struct leaving l = { call->net, call->port };

	bpf_loop(256, leave, &l, 0);
	return 0;
}

static long forget(__u32 topic, struct leaving *l)
{
	__u32 key = l->net * 256 + topic;

	bpf_map_delete_elem(&topics, &key);
	return 0;
}

IPN_ON(delnet)
{
	struct leaving l = { call->net, 0 };

	bpf_loop(256, forget, &l, 0);
	return 0;
}
