/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sets of ports of one network, to stand in a map of the policy. */
#ifndef IPN_KIT_PORTS_H
#define IPN_KIT_PORTS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include <ipn/abi.h>

#include "atomic.h"

/* A bit for each port number; all zero is the empty set. Too big for the stack (512 bytes). */
struct ipn_ports {
	__u64 bits[IPN_SLEEP_WORDS];
};

/* These may run on several CPUs at once. A number that no port can have is ignored. */
static __always_inline void ipn_ports_add(struct ipn_ports *ports, __u32 port)
{
	if (port < IPN_NET_PORTS)
		IPN_FETCH_OR(&ports->bits[port / 64], 1ULL << (port % 64));
}

static __always_inline void ipn_ports_del(struct ipn_ports *ports, __u32 port)
{
	if (port < IPN_NET_PORTS)
		IPN_FETCH_AND(&ports->bits[port / 64], ~(1ULL << (port % 64)));
}

/* 1 when the port is in the set, else 0. */
static __always_inline int ipn_ports_has(const struct ipn_ports *ports, __u32 port)
{
	return port < IPN_NET_PORTS && ports->bits[port / 64] >> (port % 64) & 1;
}

#endif
