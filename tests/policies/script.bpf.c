// SPDX-License-Identifier: GPL-2.0-or-later
/* A policy for tests: each message says what is to be done with it (script.h). */
#include <ipn/policy.h>

#include "script.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ipn_ports);
} sets SEC(".maps");

static __always_inline struct ipn_decision handle(const struct ipn_ctx *c, struct ipn_msg *m)
{
	__u8 *draft = ipn_draft(c, m, SCRIPT_ROOM);
	struct ipn_ports *ports;
	struct script s;
	__u32 zero = 0;

	ports = bpf_map_lookup_elem(&sets, &zero);
	if (!draft || !ports || m->len < SCRIPT_AT + sizeof(s))
		return ipn_drop(IPN_DROP_POLICY);
	__builtin_memcpy(&s, draft + SCRIPT_ROOM + SCRIPT_AT, sizeof(s));
	ports->bits[0] = s.first;
	ipn_send_ports(c, m, ports);
	if (s.len) {
		__builtin_memset(draft, 'R', SCRIPT_ROOM);
		draft[SCRIPT_ROOM - s.before % SCRIPT_ROOM] = 'R';
		if (ipn_use(m, SCRIPT_ROOM - s.before % SCRIPT_ROOM, s.len))
			return ipn_drop(IPN_DROP_MTU);
		ports->bits[0] = s.second;
		ipn_send_ports(c, m, ports);
	}
	switch (s.verdict) {
	case SCRIPT_FLOOD:
		return ipn_to_flood();
	case SCRIPT_PORT:
		return ipn_to_port(s.arg);
	case SCRIPT_DROP:
		return ipn_drop(s.arg);
	}
	return ipn_to_none();
}
IPN_POLICY_SEND(script, handle);
