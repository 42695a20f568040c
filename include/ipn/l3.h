/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The layer 3 policy (number 3): its private socket options, and what stands in its maps.
 *
 * The options are set and asked with ipn_setsockopt and ipn_getsockopt at level IPN_L3_LEVEL on a
 * bound socket; `ipn-fabric addr`, `route` and `neigh` do the same. Addresses are in network order.
 */
#ifndef IPN_L3_H
#define IPN_L3_H

#include <linux/types.h>

#define IPN_L3_LEVEL 3
#define IPN_L3_INET 4
#define IPN_L3_INET6 6
#define IPN_L3_ADDRS 8              /* of one family at one port */
#define IPN_L3_ROUTES_DEFAULT 4096  /* of each family, those of addresses included */
#define IPN_L3_ROUTES_MAX (1 << 20) /* a little more than a million */
#define IPN_L3_NEIGHS 8192          /* of one network */
#define IPN_L3_PORT_ANY (~0U)

/*
 * Options. setsockopt takes one record or several behind one another (all before the first that is
 * refused are done). Errors: EPERM no x on the path; EINVAL; EEXIST; ENOENT; EADDRINUSE another
 * port has the address; ENETUNREACH the next hop is on no port's side; ENOSPC the table is full.
 * getsockopt takes a struct ipn_l3_page and room for records behind it, and gives the next of them.
 */
enum ipn_l3_option {
	IPN_L3_ADDR_ADD = 1, /* struct ipn_l3_addr */
	IPN_L3_ADDR_DEL,
	IPN_L3_ROUTE_ADD, /* struct ipn_l3_route */
	IPN_L3_ROUTE_DEL,
	IPN_L3_NEIGH_ADD, /* struct ipn_l3_neigh */
	IPN_L3_NEIGH_DEL,
	IPN_L3_ADDR_LIST = 16,
	IPN_L3_ROUTE_LIST,
	IPN_L3_NEIGH_LIST,
};

/* An address with the length of a prefix. */
struct ipn_l3_prefix {
	__u8 family; /* IPN_L3_INET, IPN_L3_INET6; 0: none */
	__u8 len;
	__u8 pad[2];
	__u8 addr[16]; /* IPv4: the first four */
};

struct ipn_l3_addr {
	struct ipn_l3_prefix ip;
	__u32 port;
	__u32 mtu;   /* of IP packets at this port; 0: what the network allows */
	__u8 mac[6]; /* list: the router's at this port */
	__u8 pad[2];
};

struct ipn_l3_route {
	struct ipn_l3_prefix to;
	struct ipn_l3_prefix via; /* next hop; family 0: what is reached is behind the port */
	__u32 port;               /* IPN_L3_PORT_ANY: that of the next hop */
	__u32 type;               /* list: enum ipn_l3_type */
};

struct ipn_l3_neigh {
	struct ipn_l3_prefix ip;
	__u32 port;
	__u32 state; /* list: enum ipn_l3_state */
	__u32 age;   /* list: s since it was confirmed */
	__u8 mac[6];
	__u8 pad[2];
};

/* All zero at first; then as it came back, until `more` is 0. */
struct ipn_l3_page {
	__u32 more;
	__u32 count; /* records behind it */
	__u8 at[40]; /* where to go on */
};

/* --- what stands in the maps -------------------------------------------------------------------*/

enum ipn_l3_type {
	IPN_L3_NONE = 0,
	IPN_L3_LOCAL,     /* the router's own address */
	IPN_L3_BROADCAST, /* directed broadcast, and the address of the subnet itself */
	IPN_L3_CONNECTED, /* by an address of the port */
	IPN_L3_PORT,      /* by the user: behind the port */
	IPN_L3_GATEWAY,   /* by the user: next hop `via` */
};

enum ipn_l3_state {
	IPN_L3_INCOMPLETE = 0, /* asked for; frames may be held for it */
	IPN_L3_REACHABLE,
	IPN_L3_FAILED, /* did not answer */
	IPN_L3_STATIC, /* by the user */
};

/* map `l3_ports`, key: struct ipn_l3_port_key. The manager writes it. */
struct ipn_l3_port_key {
	__u32 net;
	__u32 port;
};
struct ipn_l3_port {
	__u8 mac[6]; /* the router's at this port */
	__u8 len4[IPN_L3_ADDRS], len6[IPN_L3_ADDRS];
	__u8 n4, n6;
	__u32 mtu; /* 0: the network's */
	__u32 addr4[IPN_L3_ADDRS];
	__u8 addr6[IPN_L3_ADDRS][16];
	__u8 local6[16]; /* link-local, made of the MAC */
};

/* maps `l3_route4`, `l3_route6`, by network: tries of these. The manager writes them. */
struct ipn_l3_key4 {
	__u32 len;
	__u8 addr[4];
};
struct ipn_l3_key6 {
	__u32 len;
	__u8 addr[16];
};
struct ipn_l3_hop {
	__u32 type; /* enum ipn_l3_type */
	__u32 port;
	__u8 via[16];
};

/*
 * map `l3_neigh`, by network: what was learned, the least used forgotten first. Programs write it.
 * map `l3_static`: what the user said, copied into the other when it is needed.
 */
struct ipn_l3_neigh_key {
	__u32 net; /* l3_neigh: 0 */
	__u32 port;
	__u8 addr[16]; /* IPv4: mapped into IPv6, ::ffff:a.b.c.d */
};
struct ipn_l3_entry {
	__u8 mac[6];     /* these eight bytes are stored at once */
	__u16 state;     /* enum ipn_l3_state */
	__u32 gen;       /* of the port when learned */
	__u32 tries;     /* questions without an answer */
	__u64 confirmed; /* ns, coarse monotonic clock */
	__u64 asked;     /* ns; FAILED: since when */
	__u64 nheld;     /* frames ever held for it */
	__u64 held[3];   /* their numbers, by nheld modulo 3 */
};
#define IPN_L3_HELD_PER_NEIGH 3

/* map `l3_held`, by network: frames that wait for an address. */
#define IPN_L3_HELD_SLOTS 64
#define IPN_L3_HELD_DATA 2008
struct ipn_l3_held {
	__u64 seq;  /* number + 1, or 0: empty */
	__u64 busy; /* somebody copies */
	__u32 node; /* whose port it came from, for the counters */
	__u32 port;
	__u32 len;
	__u32 pad;
	__u8 data[IPN_L3_HELD_DATA];
};

/* map `l3_nets`, index: network id */
struct ipn_l3_net {
	__u64 held;     /* number of the next frame to be held */
	__u32 flags;    /* enum ipn_l3_flag */
	__u32 routes;   /* size of each table */
	__u32 nroutes4; /* used */
	__u32 nroutes6;
	__u64 pad[5];
};
enum ipn_l3_flag { IPN_L3_OWN_MTU = 1 /* some port has an MTU of its own */ };

/* map `l3_limit`, index: node. Tokens for messages of the router itself. */
struct ipn_l3_limit {
	__u64 at; /* ns, when the bucket was last full by that much */
};

#define IPN_L3_ASSERT(type, size) _Static_assert(sizeof(struct type) == (size), #type)
IPN_L3_ASSERT(ipn_l3_prefix, 20);
IPN_L3_ASSERT(ipn_l3_addr, 36);
IPN_L3_ASSERT(ipn_l3_route, 48);
IPN_L3_ASSERT(ipn_l3_neigh, 40);
IPN_L3_ASSERT(ipn_l3_page, 48);
IPN_L3_ASSERT(ipn_l3_port, 204);
IPN_L3_ASSERT(ipn_l3_hop, 24);
IPN_L3_ASSERT(ipn_l3_neigh_key, 24);
IPN_L3_ASSERT(ipn_l3_entry, 64);
IPN_L3_ASSERT(ipn_l3_held, 2040);
IPN_L3_ASSERT(ipn_l3_net, 64);

#endif
