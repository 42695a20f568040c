// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Each list below is written once and used twice: for the table, and for a switch over the enum
 * which the compiler refuses (-Wswitch) as long as a value of the enum has no name here.
 */
#include "common/names.h"

#include "common/util.h"

#define DROPS(X)                                                                                \
	X(IPN_DROP_MTU, "mtu", "longer than the MTU of the network")                            \
	X(IPN_DROP_RUNT, "runt", "too short for the policy: no whole Ethernet header")          \
	X(IPN_DROP_BAD_FRAME, "bad_frame", "a process wrote something else than libipn writes") \
	X(IPN_DROP_NOT_WRITER, "not_writer",                                                    \
	  "the sender has no right to send, or shut its send side down")                        \
	X(IPN_DROP_NO_POLICY, "no_policy", "the policy of the network has no program here")     \
	X(IPN_DROP_POLICY, "policy", "the policy decided so")                                   \
	X(IPN_DROP_SOURCE, "source", "switch: the source address is a group address or zero")   \
	X(IPN_DROP_SAME_PORT, "same_port",                                                      \
	  "switch: the destination is behind the port the frame came from")                     \
	X(IPN_DROP_NO_PORT, "no_port", "the destination port is gone")                          \
	X(IPN_DROP_NOT_READER, "not_reader",                                                    \
	  "the destination has no right to receive, or shut its receive side down")             \
	X(IPN_DROP_PORT_DOWN, "port_down", "the interface of the destination is down")          \
	X(IPN_DROP_NO_LOG, "no_log", "the log for the message is missing")                      \
	X(IPN_DROP_BUSY, "busy", "a slower sender still held the slot a whole log later")       \
	X(IPN_DROP_REDIRECT, "redirect", "the kernel refused to forward it")                    \
	X(IPN_DROP_SEGMENTER, "segmenter", "no segmenter to complete the frame for a process")  \
	X(IPN_DROP_META, "meta", "no room in the packet for the verdict of the policy")         \
	X(IPN_DROP_OVERRUN, "overrun", "counted at a reader: it was too slow for its pool")     \
	X(IPN_DROP_POOL, "pool", "LOSSLESS: the pool was full, and a device cannot wait")       \
	X(IPN_DROP_DEVICE, "device",                                                            \
	  "counted at an interface: its queue was full, or no program held it")                 \
	X(IPN_DROP_HOPS, "hops", "came over as many cables as a message may")                   \
	X(IPN_DROP_XSK_CLOSED, "xsk_closed",                                                    \
	  "counted at an AF_XDP port: no program had its socket")                               \
	X(IPN_DROP_XSK_FULL, "xsk_full",                                                        \
	  "counted at an AF_XDP port: its program did not take what had come")                  \
	X(IPN_DROP_XSK_FILL, "xsk_fill",                                                        \
	  "counted at an AF_XDP port: its program had given no frames to fill")                 \
	X(IPN_DROP_XSK_OTHER, "xsk_other",                                                      \
	  "counted at an AF_XDP port: the socket refused it for another reason")                \
	X(IPN_DROP_PUNT_FULL, "punt_full",                                                      \
	  "the ring to the manager was full, or this port's share of it")                       \
	X(IPN_DROP_PUNT_RATE, "punt_rate", "more than one port may send through the manager")   \
	X(IPN_DROP_SLOW, "slow", "counted at a sock port: it did not read what it was sent")    \
	X(IPN_DROP_SOCK_SIZE, "sock_size", "to or from a sock port: not 14 to 16064 bytes")     \
	X(IPN_DROP_NOT_IP, "not_ip", "l3: neither IPv4, IPv6 nor ARP, or with a VLAN tag")      \
	X(IPN_DROP_OTHER_MAC, "other_mac", "l3: not for the router's Ethernet address")         \
	X(IPN_DROP_HEADER, "header", "l3: a header lies: version, length or checksum")          \
	X(IPN_DROP_MARTIAN, "martian", "l3: an address that may not be on a wire")              \
	X(IPN_DROP_WRONG_PORT, "wrong_port", "l3: the source is not on this port's side")       \
	X(IPN_DROP_MULTICAST, "multicast", "l3: multicast stays on its port")                   \
	X(IPN_DROP_DIRECTED, "directed", "l3: directed broadcast")                              \
	X(IPN_DROP_NO_ROUTE, "no_route", "l3: no route to the destination")                     \
	X(IPN_DROP_TTL, "ttl", "l3: its hops are used up")                                      \
	X(IPN_DROP_TOO_BIG, "too_big", "l3: longer than the MTU of the port it must leave by")  \
	X(IPN_DROP_NO_NEIGH, "no_neigh", "l3: nobody answers for the next hop")                 \
	X(IPN_DROP_HELD, "held", "l3: no room to hold it until the next hop answers")           \
	X(IPN_DROP_FOR_ROUTER, "for_router", "l3: for the router, which has no such service")   \
	X(IPN_DROP_CLAIM, "claim", "l3: claims an address that somebody else has")              \
	X(IPN_DROP_LIMIT, "limit", "l3: the router answers only so many a second")

#define KINDS(X)                       \
	X(IPN_KIND_NONE, "none", "")   \
	X(IPN_KIND_PROC, "proc", "")   \
	X(IPN_KIND_TAP, "tap", "")     \
	X(IPN_KIND_VETH, "veth", "")   \
	X(IPN_KIND_HOST, "host", "")   \
	X(IPN_KIND_GRAB, "grab", "")   \
	X(IPN_KIND_CABLE, "cable", "") \
	X(IPN_KIND_XSK, "xsk", "")     \
	X(IPN_KIND_SOCK, "sock", "")

#define POLICIES(X)                              \
	X(IPN_POLICY_ANY, "any", "")             \
	X(IPN_POLICY_BROADCAST, "broadcast", "") \
	X(IPN_POLICY_SWITCH, "switch", "")       \
	X(IPN_POLICY_L3, "l3", "")

#define HOOKS(X)                   \
	X(IPN_HOOK_TCX, "tcx", "") \
	X(IPN_HOOK_CLSACT, "clsact", "")

struct name {
	const char *word;
	const char *text;
};

#define ENTRY(value, word, text) [value] = { word, text },
#define CASE(value, word, text) case value:

/* Never called: fails to compile when a value of the enum is missing in its list. */
#define ALL_NAMED(list, type, size)                                                  \
	static inline __attribute__((unused)) void list##_all_named(enum type value) \
	{                                                                            \
		switch (value) {                                                     \
			list(CASE) size break;                                       \
		}                                                                    \
	}

ALL_NAMED(DROPS, ipn_drop, case IPN_DROP_MAX:)
ALL_NAMED(KINDS, ipn_kind, )
ALL_NAMED(POLICIES, ipn_policy_number, case IPN_POLICY_MAX:)
ALL_NAMED(HOOKS, ipn_hook, )

static const struct name drops[] = { DROPS(ENTRY) };
static const struct name kinds[] = { KINDS(ENTRY) };
static const struct name policies[] = { POLICIES(ENTRY) };
static const struct name hooks[] = { HOOKS(ENTRY) };

_Static_assert(ARRAY_SIZE(drops) <= IPN_DROP_MAX, "more drop reasons than counters");

static int find(const struct name *names, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++)
		if (names[i].word && strcmp(names[i].word, word) == 0)
			return (int)i;
	return -ENOENT;
}

const char *names_drop(__u32 reason)
{
	return reason < ARRAY_SIZE(drops) ? drops[reason].word : NULL;
}

const char *names_drop_text(__u32 reason)
{
	return reason < ARRAY_SIZE(drops) ? drops[reason].text : NULL;
}

const char *names_kind(__u32 kind)
{
	return kind < ARRAY_SIZE(kinds) ? kinds[kind].word : NULL;
}

const char *names_policy(__u32 policy)
{
	return policy < ARRAY_SIZE(policies) ? policies[policy].word : NULL;
}

const char *names_hook(__u32 hook)
{
	return hook < ARRAY_SIZE(hooks) ? hooks[hook].word : NULL;
}

int names_drop_find(const char *name)
{
	return find(drops, ARRAY_SIZE(drops), name);
}

int names_kind_find(const char *name)
{
	return find(kinds, ARRAY_SIZE(kinds), name);
}

int names_policy_find(const char *name)
{
	return find(policies, ARRAY_SIZE(policies), name);
}
