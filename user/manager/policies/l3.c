// SPDX-License-Identifier: GPL-2.0-or-later
#include "manager/policies/l3.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <time.h>

#include "common/errtext.h"
#include "common/util.h"
#include "manager/kernel/bpf.h"

struct job {
	struct bpf_state *b;
	__u32 id, numnodes;
	struct errtext *e;
};

/* --- addresses --------------------------------------------------------------------------------*/

struct shown {
	char text[64];
};

static const char *show(const struct ipn_l3_prefix *p, struct shown *s, bool len)
{
	char addr[INET6_ADDRSTRLEN] = "?";

	inet_ntop(p->family == IPN_L3_INET ? AF_INET : AF_INET6, p->addr, addr, sizeof(addr));
	snprintf(s->text, sizeof(s->text), len ? "%s/%u" : "%s", addr, p->len);
	return s->text;
}

static __u32 bits_of(const struct ipn_l3_prefix *p)
{
	return p->family == IPN_L3_INET ? 32 : 128;
}

/* The prefix without the bits behind its length; ones: with them all set. */
static struct ipn_l3_prefix masked(const struct ipn_l3_prefix *p, bool ones)
{
	struct ipn_l3_prefix out = *p;

	for (__u32 i = p->len; i < bits_of(p); i++) {
		__u8 bit = 0x80 >> (i % 8);

		if (ones)
			out.addr[i / 8] |= bit;
		else
			out.addr[i / 8] &= (__u8)~bit;
	}
	return out;
}

static bool same_addr(const struct ipn_l3_prefix *a, const struct ipn_l3_prefix *b)
{
	return a->family == b->family && !memcmp(a->addr, b->addr, bits_of(a) / 8);
}

static bool link_local(const struct ipn_l3_prefix *p)
{
	return p->family == IPN_L3_INET6 && p->addr[0] == 0xfe && (p->addr[1] & 0xc0) == 0x80;
}

/* Of a station: not what may never be on a wire as a source. */
static bool station(const struct ipn_l3_prefix *p)
{
	static const __u8 zero[16], mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (p->family == IPN_L3_INET)
		return p->addr[0] && p->addr[0] != 127 && p->addr[0] < 224;
	return p->addr[0] != 0xff && memcmp(p->addr, mapped, 12) != 0 &&
	       (memcmp(p->addr, zero, 15) != 0 || p->addr[15] > 1);
}

static int prefix_check(struct job *j, const struct ipn_l3_prefix *p, const char *what)
{
	if (p->family != IPN_L3_INET && p->family != IPN_L3_INET6)
		return err_text(j->e, -EINVAL, "%s: family %u is neither 4 nor 6", what, p->family);
	if (p->len > bits_of(p))
		return err_text(j->e, -EINVAL, "%s: a length of %u is more than %u", what, p->len,
				bits_of(p));
	return 0;
}

static int port_check(struct job *j, __u32 port)
{
	if (port < j->numnodes)
		return 0;
	return err_text(j->e, -EINVAL, "port %u is not from 0 to %u", port, j->numnodes - 1);
}

/* --- tables -----------------------------------------------------------------------------------*/

static int table(struct bpf_state *b, __u32 id, __u8 family)
{
	return bpf_inner_get(family == IPN_L3_INET ? b->fd_l3_route4 : b->fd_l3_route6, id);
}

static struct ipn_l3_key6 key_of(const struct ipn_l3_prefix *p)
{
	struct ipn_l3_key6 key = { .len = p->len };

	memcpy(key.addr, p->addr, bits_of(p) / 8);
	return key;
}

static bool nets_get(struct bpf_state *b, __u32 id, struct ipn_l3_net *l3)
{
	return !bpf_map_lookup_elem(b->fd_l3_nets, &id, l3);
}

/* Exactly this prefix. The trie's own look-up would find a shorter one. */
static bool route_find(int fd, const struct ipn_l3_prefix *p, struct ipn_l3_hop *hop)
{
	struct ipn_l3_key6 key = key_of(p);
	struct ipn_l3_hop old;

	if (bpf_map_lookup_elem(fd, &key, &old))
		return false;
	/* with BPF_NOEXIST it is refused if, and only if, the prefix is there */
	if (!bpf_map_update_elem(fd, &key, &old, BPF_NOEXIST)) {
		bpf_map_delete_elem(fd, &key);
		return false;
	}
	if (errno != EEXIST)
		return false;
	*hop = old;
	return true;
}

static int route_put(struct job *j, int fd, const struct ipn_l3_prefix *p,
		     const struct ipn_l3_hop *hop, bool over)
{
	struct ipn_l3_key6 key = key_of(p);
	struct shown s;

	if (!bpf_map_update_elem(fd, &key, hop, over ? BPF_ANY : BPF_NOEXIST))
		return 0;
	if (errno == EEXIST)
		return err_text(j->e, -EEXIST, "%s: there is a route for it already",
				show(p, &s, true));
	if (errno == ENOSPC)
		return err_text(j->e, -ENOSPC,
				"%s: the table is full (make the network with more: --routes N)",
				show(p, &s, true));
	return err_text(j->e, -errno, "%s: %s", show(p, &s, true), strerror(errno));
}

static void route_drop(int fd, const struct ipn_l3_prefix *p)
{
	struct ipn_l3_key6 key = key_of(p);

	bpf_map_delete_elem(fd, &key);
}

/* What follows from an address. Returns how many routes. */
static int derived(const struct ipn_l3_prefix *ip, __u32 port, struct ipn_l3_prefix *to,
		   struct ipn_l3_hop *hop)
{
	struct ipn_l3_prefix own = *ip, net = masked(ip, false), all = masked(ip, true);
	__u8 bits = (__u8)bits_of(ip);
	int n = 0;

	own.len = bits;
	to[n] = own;
	hop[n++] = (struct ipn_l3_hop){ .type = IPN_L3_LOCAL, .port = port };
	if (ip->len < bits) {
		to[n] = net;
		hop[n++] = (struct ipn_l3_hop){ .type = IPN_L3_CONNECTED, .port = port };
	}
	if (ip->len < bits - 1) {
		net.len = all.len = bits;
		if (!same_addr(&net, ip)) {
			to[n] = net;
			hop[n++] = (struct ipn_l3_hop){ .type = IPN_L3_BROADCAST, .port = port };
		}
		/* IPv6 has no broadcast; its first address is that of all routers */
		if (ip->family == IPN_L3_INET && !same_addr(&all, ip)) {
			to[n] = all;
			hop[n++] = (struct ipn_l3_hop){ .type = IPN_L3_BROADCAST, .port = port };
		}
	}
	return n;
}
#define DERIVED 4

static void local6_of(struct ipn_l3_port *port)
{
	const __u8 *mac = port->mac;
	const __u8 addr[16] = { 0xfe,       0x80,   0,      0,    0,    0,      0,      0,
				mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };

	memcpy(port->local6, addr, sizeof(addr));
}

/* The router's address at a port: of the fabric, the network and the port. */
static void mac_of(struct bpf_state *b, __u32 id, __u32 port, __u8 mac[6])
{
	const __u8 it[6] = { (__u8)((b->abi.group >> 16 & 0xfc) | 2),
			     (__u8)(b->abi.group >> 8),
			     (__u8)b->abi.group,
			     (__u8)id,
			     (__u8)(port >> 8),
			     (__u8)port };

	memcpy(mac, it, sizeof(it));
}

static bool port_get(struct bpf_state *b, __u32 id, __u32 number, struct ipn_l3_port *port)
{
	struct ipn_l3_port_key key = { id, number };

	memset(port, 0, sizeof(*port));
	if (!bpf_map_lookup_elem(b->fd_l3_ports, &key, port))
		return true;
	mac_of(b, id, number, port->mac);
	local6_of(port);
	return false;
}

static int port_put(struct bpf_state *b, __u32 id, __u32 number, const struct ipn_l3_port *port)
{
	struct ipn_l3_port_key key = { id, number };

	if (!port->n4 && !port->n6)
		return bpf_map_delete_elem(b->fd_l3_ports, &key) && errno != ENOENT ? -errno : 0;
	return bpf_map_update_elem(b->fd_l3_ports, &key, port, BPF_ANY) ? -errno : 0;
}

/* Address i of a family at a port. */
static struct ipn_l3_prefix port_addr(const struct ipn_l3_port *port, __u8 family, __u32 i)
{
	struct ipn_l3_prefix p = { .family = family };

	p.len = family == IPN_L3_INET ? port->len4[i] : port->len6[i];
	if (family == IPN_L3_INET)
		memcpy(p.addr, &port->addr4[i], 4);
	else
		memcpy(p.addr, port->addr6[i], 16);
	return p;
}

static __u32 port_count(const struct ipn_l3_port *port, __u8 family)
{
	__u32 n = family == IPN_L3_INET ? port->n4 : port->n6;

	return n < IPN_L3_ADDRS ? n : IPN_L3_ADDRS;
}

static void port_addr_set(struct ipn_l3_port *port, __u32 i, const struct ipn_l3_prefix *p)
{
	if (p->family == IPN_L3_INET) {
		port->len4[i] = p->len;
		memcpy(&port->addr4[i], p->addr, 4);
	} else {
		port->len6[i] = p->len;
		memcpy(port->addr6[i], p->addr, 16);
	}
}

static void port_count_set(struct ipn_l3_port *port, __u8 family, __u32 n)
{
	if (family == IPN_L3_INET)
		port->n4 = (__u8)n;
	else
		port->n6 = (__u8)n;
}

/* Writes, or with put false removes, what follows from an address. */
static int derive(struct job *j, const struct ipn_l3_prefix *ip, __u32 port, bool put, bool over)
{
	_cleanup_close_ int fd = table(j->b, j->id, ip->family);
	struct ipn_l3_prefix to[DERIVED];
	struct ipn_l3_hop hop[DERIVED], there;
	int n = derived(ip, port, to, hop), i, r = 0;

	if (fd < 0)
		return err_text(j->e, fd, "the tables of the network are gone: %s", strerror(-fd));
	for (i = 0; put && !r && i < n; i++) {
		/* two addresses of one port may share a subnet */
		bool shared = hop[i].type != IPN_L3_LOCAL && route_find(fd, &to[i], &there) &&
			      there.type == hop[i].type && there.port == port;

		r = shared ? 0 : route_put(j, fd, &to[i], &hop[i], over);
	}
	if (put && !r)
		return 0;
	for (i = put ? i - 2 : n - 1; i >= 0; i--) {
		struct ipn_l3_port p;
		bool needed = false;

		port_get(j->b, j->id, port, &p);
		for (__u32 k = 0; hop[i].type != IPN_L3_LOCAL && k < port_count(&p, ip->family);
		     k++) {
			struct ipn_l3_prefix other = port_addr(&p, ip->family, k);
			struct ipn_l3_prefix a = masked(&other, false), b = masked(ip, false);

			needed |= !same_addr(&other, ip) && other.len == ip->len &&
				  same_addr(&a, &b);
		}
		if (!needed)
			route_drop(fd, &to[i]);
	}
	return r;
}

/* Some port has an MTU of its own? Programs look there only then. */
static void flags_set(struct bpf_state *b, __u32 id, __u32 flag)
{
	struct ipn_l3_net l3;

	if (!nets_get(b, id, &l3) || (l3.flags & flag) == flag)
		return;
	l3.flags |= flag;
	bpf_map_update_elem(b->fd_l3_nets, &id, &l3, BPF_ANY);
}

static int addr_add(struct job *j, const struct ipn_l3_addr *add)
{
	_cleanup_close_ int fd = -1;
	struct ipn_l3_prefix own = add->ip, net;
	struct ipn_l3_port port;
	struct ipn_l3_hop there;
	struct shown s;
	__u32 n;
	int r = prefix_check(j, &add->ip, "address");

	if (!r)
		r = port_check(j, add->port);
	if (r)
		return r;
	if (!station(&add->ip) || link_local(&add->ip) || !add->ip.len)
		return err_text(j->e, -EINVAL,
				"%s is not an address for a router (one that is routed)",
				show(&add->ip, &s, true));
	if (add->mtu && (add->mtu < 68 || add->mtu > 65535 ||
			 (add->ip.family == IPN_L3_INET6 && add->mtu < 1280)))
		return err_text(j->e, -EINVAL, "MTU %u is not from %u to 65535", add->mtu,
				add->ip.family == IPN_L3_INET6 ? 1280 : 68);
	net = masked(&add->ip, false);
	own = masked(&add->ip, true);
	if (add->ip.len < bits_of(&add->ip) - 1 &&
	    (same_addr(&net, &add->ip) ||
	     (add->ip.family == IPN_L3_INET && same_addr(&own, &add->ip))))
		return err_text(j->e, -EINVAL,
				"%s is the address of the subnet itself, or of all in it",
				show(&add->ip, &s, true));
	fd = table(j->b, j->id, add->ip.family);
	own = add->ip;
	own.len = (__u8)bits_of(&own);
	if (fd >= 0 && route_find(fd, &own, &there) && there.type == IPN_L3_LOCAL)
		return err_text(j->e, there.port == add->port ? -EEXIST : -EADDRINUSE,
				"%s is the router's address at port %u already",
				show(&own, &s, false), there.port);
	if (fd >= 0 && add->ip.len < own.len && route_find(fd, &net, &there) &&
	    (there.type != IPN_L3_CONNECTED || there.port != add->port))
		return err_text(j->e, -EADDRINUSE, "%s is behind port %u already",
				show(&net, &s, true), there.port);
	port_get(j->b, j->id, add->port, &port);
	n = port_count(&port, add->ip.family);
	if (n == IPN_L3_ADDRS)
		return err_text(j->e, -ENOSPC, "port %u has %u addresses, the most there can be",
				add->port, n);
	port_addr_set(&port, n, &add->ip);
	port_count_set(&port, add->ip.family, n + 1);
	if (add->mtu)
		port.mtu = add->mtu;
	r = port_put(j->b, j->id, add->port, &port);
	if (r)
		return err_text(j->e, r, "cannot store the address: %s", strerror(-r));
	r = derive(j, &add->ip, add->port, true, false);
	if (r) {
		port_count_set(&port, add->ip.family, n);
		port_put(j->b, j->id, add->port, &port);
	} else if (add->mtu) {
		flags_set(j->b, j->id, IPN_L3_OWN_MTU);
	}
	return r;
}

static int addr_del(struct job *j, const struct ipn_l3_addr *del)
{
	struct ipn_l3_port port;
	struct ipn_l3_prefix last;
	struct shown s;
	__u32 n, i;
	int r = prefix_check(j, &del->ip, "address");

	if (!r)
		r = port_check(j, del->port);
	if (r)
		return r;
	port_get(j->b, j->id, del->port, &port);
	n = port_count(&port, del->ip.family);
	for (i = 0; i < n; i++) {
		struct ipn_l3_prefix p = port_addr(&port, del->ip.family, i);

		if (same_addr(&p, &del->ip) && p.len == del->ip.len)
			break;
	}
	if (i == n)
		return err_text(j->e, -ENOENT, "port %u has no address %s", del->port,
				show(&del->ip, &s, true));
	r = derive(j, &del->ip, del->port, false, false);
	if (r)
		return r;
	last = port_addr(&port, del->ip.family, n - 1);
	port_addr_set(&port, i, &last);
	memset(&last.addr, 0, sizeof(last.addr));
	last.len = 0;
	port_addr_set(&port, n - 1, &last);
	port_count_set(&port, del->ip.family, n - 1);
	r = port_put(j->b, j->id, del->port, &port);
	return r ? err_text(j->e, r, "cannot store the addresses: %s", strerror(-r)) : 0;
}

/* --- routes -----------------------------------------------------------------------------------*/

static int route_check(struct job *j, const struct ipn_l3_route *route)
{
	struct ipn_l3_prefix net;
	struct shown s;
	int r = prefix_check(j, &route->to, "prefix");

	if (r)
		return r;
	net = masked(&route->to, false);
	if (!same_addr(&net, &route->to))
		return err_text(j->e, -EINVAL, "%s: bits are set behind the length (%u bits)",
				show(&route->to, &s, true), route->to.len);
	if (route->to.len && !station(&route->to) && route->to.addr[0])
		return err_text(j->e, -EINVAL, "%s is not routed", show(&route->to, &s, true));
	if (link_local(&route->to) && route->to.len >= 10)
		return err_text(j->e, -EINVAL, "%s is not routed: link-local",
				show(&route->to, &s, true));
	return 0;
}

static int route_add(struct job *j, const struct ipn_l3_route *route)
{
	_cleanup_close_ int fd = -1;
	struct ipn_l3_hop hop = { .type = IPN_L3_PORT, .port = route->port }, there;
	struct ipn_l3_key6 key;
	struct ipn_l3_prefix via = route->via;
	struct ipn_l3_port port;
	struct shown s, t;
	int r = route_check(j, route);

	if (r)
		return r;
	fd = table(j->b, j->id, route->to.family);
	if (fd < 0)
		return err_text(j->e, fd, "the tables of the network are gone: %s", strerror(-fd));
	if (!via.family) {
		r = port_check(j, route->port);
		if (r)
			return r;
		if (!port_get(j->b, j->id, route->port, &port) ||
		    (route->to.family == IPN_L3_INET && !port.n4))
			return err_text(
				j->e, -ENETUNREACH,
				"port %u has no such address of the router (give it one first: "
				"ipn-fabric addr add)",
				route->port);
		return route_put(j, fd, &route->to, &hop, false);
	}
	via.len = (__u8)bits_of(&via);
	r = prefix_check(j, &via, "next hop");
	if (r)
		return r;
	if (via.family != route->to.family || !station(&via))
		return err_text(j->e, -EINVAL, "%s is no next hop for %s", show(&via, &s, false),
				show(&route->to, &t, true));
	hop.type = IPN_L3_GATEWAY;
	if (via.family == IPN_L3_INET) {
		hop.via[10] = hop.via[11] = 0xff;
		memcpy(hop.via + 12, via.addr, 4);
	} else {
		memcpy(hop.via, via.addr, 16);
	}
	if (link_local(&via)) {
		r = route->port == IPN_L3_PORT_ANY
			    ? err_text(j->e, -EINVAL, "%s is link-local: say at which port",
				       show(&via, &s, false))
			    : port_check(j, route->port);
		if (!r && !port_get(j->b, j->id, route->port, &port))
			r = err_text(j->e, -ENETUNREACH, "port %u has no address of the router",
				     route->port);
	} else {
		key = key_of(&via);
		if (bpf_map_lookup_elem(fd, &key, &there) ||
		    (there.type != IPN_L3_CONNECTED && there.type != IPN_L3_PORT) ||
		    (route->port != IPN_L3_PORT_ANY && route->port != there.port))
			return err_text(
				j->e, -ENETUNREACH,
				"%s is on the subnet of no port (see: ipn-fabric addr show)",
				show(&via, &s, false));
		hop.port = there.port;
	}
	return r ? r : route_put(j, fd, &route->to, &hop, false);
}

static int route_del(struct job *j, const struct ipn_l3_route *route)
{
	_cleanup_close_ int fd = -1;
	struct ipn_l3_hop there;
	struct shown s;
	int r = route_check(j, route);

	if (r)
		return r;
	fd = table(j->b, j->id, route->to.family);
	if (fd < 0 || !route_find(fd, &route->to, &there))
		return err_text(j->e, -ENOENT,
				"there is no route for %s (see: ipn-fabric route show)",
				show(&route->to, &s, true));
	if (there.type != IPN_L3_PORT && there.type != IPN_L3_GATEWAY)
		return err_text(j->e, -EINVAL,
				"%s is there by an address of port %u (ipn-fabric addr del)",
				show(&route->to, &s, true), there.port);
	route_drop(fd, &route->to);
	return 0;
}

/* --- neighbours -------------------------------------------------------------------------------*/

static struct ipn_l3_neigh_key neigh_key(__u32 id, const struct ipn_l3_neigh *neigh)
{
	struct ipn_l3_neigh_key key = { .net = id, .port = neigh->port };

	if (neigh->ip.family == IPN_L3_INET) {
		key.addr[10] = key.addr[11] = 0xff;
		memcpy(key.addr + 12, neigh->ip.addr, 4);
	} else {
		memcpy(key.addr, neigh->ip.addr, 16);
	}
	return key;
}

static int neigh_check(struct job *j, const struct ipn_l3_neigh *neigh)
{
	struct shown s;
	int r = prefix_check(j, &neigh->ip, "address");

	if (!r)
		r = port_check(j, neigh->port);
	if (!r && !station(&neigh->ip))
		r = err_text(j->e, -EINVAL, "%s is not the address of a station",
			     show(&neigh->ip, &s, false));
	return r;
}

/* What was learned of it is forgotten: the next packet looks at what the user said. */
static int neigh_add(struct job *j, const struct ipn_l3_neigh *neigh)
{
	static const __u8 zero[6];
	struct ipn_l3_neigh_key key = neigh_key(j->id, neigh);
	struct ipn_l3_entry entry = { .state = IPN_L3_STATIC };
	_cleanup_close_ int fd = -1;
	int r = neigh_check(j, neigh);

	if (r)
		return r;
	if ((neigh->mac[0] & 1) || !memcmp(neigh->mac, zero, 6))
		return err_text(j->e, -EINVAL, "the Ethernet address is not that of a station");
	memcpy(entry.mac, neigh->mac, 6);
	if (bpf_map_update_elem(j->b->fd_l3_static, &key, &entry, BPF_ANY))
		return err_text(j->e, -errno, "cannot store the neighbour: %s", strerror(errno));
	fd = bpf_inner_get(j->b->fd_l3_neigh, j->id);
	key.net = 0;
	if (fd >= 0)
		bpf_map_delete_elem(fd, &key);
	return 0;
}

static int neigh_del(struct job *j, const struct ipn_l3_neigh *neigh)
{
	struct ipn_l3_neigh_key key = neigh_key(j->id, neigh);
	_cleanup_close_ int fd = -1;
	struct shown s;
	bool found;
	int r = neigh_check(j, neigh);

	if (r)
		return r;
	found = !bpf_map_delete_elem(j->b->fd_l3_static, &key);
	fd = bpf_inner_get(j->b->fd_l3_neigh, j->id);
	key.net = 0;
	if (fd >= 0)
		found |= !bpf_map_delete_elem(fd, &key);
	return found ? 0
		     : err_text(j->e, -ENOENT, "port %u has no neighbour %s", neigh->port,
				show(&neigh->ip, &s, false));
}

/* --- options ----------------------------------------------------------------------------------*/

typedef int (*set_fn)(struct job *j, const void *record);

int l3_set(struct bpf_state *b, __u32 id, __u32 numnodes, __u32 name, const void *data, __u32 len,
	   struct errtext *e)
{
	struct job j = { b, id, numnodes, e };
	union {
		struct ipn_l3_addr addr;
		struct ipn_l3_route route;
		struct ipn_l3_neigh neigh;
	} one;
	size_t size;
	int r = 0;

	switch (name) {
	case IPN_L3_ADDR_ADD:
	case IPN_L3_ADDR_DEL:
		size = sizeof(one.addr);
		break;
	case IPN_L3_ROUTE_ADD:
	case IPN_L3_ROUTE_DEL:
		size = sizeof(one.route);
		break;
	case IPN_L3_NEIGH_ADD:
	case IPN_L3_NEIGH_DEL:
		size = sizeof(one.neigh);
		break;
	default:
		return err_text(j.e, -ENOPROTOOPT, "the policy l3 has no option %u", name);
	}
	if (!len || len % size)
		return err_text(j.e, -EINVAL, "option %u: %u bytes are not records of %zu", name,
				len, size);
	for (size_t at = 0; !r && at < len; at += size) {
		memcpy(&one, (const char *)data + at, size);
		r = name == IPN_L3_ADDR_ADD    ? addr_add(&j, &one.addr)
		    : name == IPN_L3_ADDR_DEL  ? addr_del(&j, &one.addr)
		    : name == IPN_L3_ROUTE_ADD ? route_add(&j, &one.route)
		    : name == IPN_L3_ROUTE_DEL ? route_del(&j, &one.route)
		    : name == IPN_L3_NEIGH_ADD ? neigh_add(&j, &one.neigh)
					       : neigh_del(&j, &one.neigh);
	}
	bpf_epoch(b, id);
	return r;
}

/*
 * Where a listing goes on: at the key behind this one, of this table. A key that is gone meanwhile
 * is where the kernel begins anew; the client sees records twice then, and ends when it has seen
 * more than there can be.
 */
struct cursor {
	__u8 table;
	__u8 begun;
	__u8 skip; /* addresses of this key that were given already */
	__u8 pad;
	__u8 key[32];
};
_Static_assert(sizeof(struct cursor) <= sizeof(((struct ipn_l3_page *)0)->at), "a cursor fits");

struct listing {
	struct bpf_state *b;
	__u32 id;
	struct ipn_l3_page page;
	struct cursor at;
	__u8 *out;
	size_t room, size; /* of all records, of one */
};

static bool full(const struct listing *l)
{
	return l->room / l->size <= l->page.count;
}

static void *add_record(struct listing *l)
{
	return memset(l->out + l->size * l->page.count++, 0, l->size);
}

static void list_addrs(struct listing *l)
{
	struct ipn_l3_port_key key, next;
	struct ipn_l3_port port;

	memcpy(&key, l->at.key, sizeof(key));
	for (;;) {
		bool more = l->at.skip || !bpf_map_get_next_key(l->b->fd_l3_ports,
								l->at.begun ? &key : NULL, &next);

		if (!more)
			return;
		if (l->at.skip)
			next = key;
		if (next.net == l->id && !bpf_map_lookup_elem(l->b->fd_l3_ports, &next, &port)) {
			__u32 n4 = port_count(&port, IPN_L3_INET),
			      n6 = port_count(&port, IPN_L3_INET6);

			for (; l->at.skip < n4 + n6; l->at.skip++) {
				struct ipn_l3_addr *a;
				__u32 i = l->at.skip;

				if (full(l)) {
					l->page.more = 1;
					l->at.begun = 1;
					memcpy(l->at.key, &next, sizeof(next));
					return;
				}
				a = add_record(l);
				a->ip = i < n4 ? port_addr(&port, IPN_L3_INET, i)
					       : port_addr(&port, IPN_L3_INET6, i - n4);
				a->port = next.port;
				a->mtu = port.mtu;
				memcpy(a->mac, port.mac, 6);
			}
		}
		l->at.skip = 0;
		l->at.begun = 1;
		key = next;
	}
}

static void list_routes(struct listing *l)
{
	struct ipn_l3_key6 key, next;
	struct ipn_l3_hop hop;

	memcpy(&key, l->at.key, sizeof(key));
	for (; l->at.table < 2; l->at.table++, l->at.begun = 0) {
		__u8 family = l->at.table ? IPN_L3_INET6 : IPN_L3_INET;
		_cleanup_close_ int fd = table(l->b, l->id, family);

		while (fd >= 0 && !bpf_map_get_next_key(fd, l->at.begun ? &key : NULL, &next)) {
			struct ipn_l3_route *r;

			if (full(l)) {
				l->page.more = 1;
				memcpy(l->at.key, &key, sizeof(key));
				return;
			}
			key = next;
			l->at.begun = 1;
			if (bpf_map_lookup_elem(fd, &key, &hop))
				continue;
			r = add_record(l);
			r->to.family = family;
			r->to.len = (__u8)key.len;
			memcpy(r->to.addr, key.addr, family == IPN_L3_INET ? 4 : 16);
			if (hop.type == IPN_L3_GATEWAY) {
				r->via.family = family;
				r->via.len = (__u8)bits_of(&r->via);
				memcpy(r->via.addr, hop.via + (family == IPN_L3_INET ? 12 : 0),
				       family == IPN_L3_INET ? 4 : 16);
			}
			r->port = hop.port;
			r->type = hop.type;
		}
	}
}

static __u64 coarse_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (__u64)t.tv_sec * 1000000000ULL + (__u64)t.tv_nsec;
}

static void list_neighs(struct listing *l)
{
	static const __u8 mapped[12] = { [10] = 0xff, [11] = 0xff };
	_cleanup_close_ int learned = bpf_inner_get(l->b->fd_l3_neigh, l->id);
	struct ipn_l3_neigh_key key, next;
	struct ipn_l3_entry e;
	__u64 now = coarse_now();

	memcpy(&key, l->at.key, sizeof(key));
	for (; l->at.table < 2; l->at.table++, l->at.begun = 0) {
		int fd = l->at.table ? learned : l->b->fd_l3_static;

		while (fd >= 0 && !bpf_map_get_next_key(fd, l->at.begun ? &key : NULL, &next)) {
			struct ipn_l3_neigh *n;

			if (full(l)) {
				l->page.more = 1;
				memcpy(l->at.key, &key, sizeof(key));
				return;
			}
			key = next;
			l->at.begun = 1;
			if ((!l->at.table && key.net != l->id) ||
			    bpf_map_lookup_elem(fd, &key, &e) ||
			    (l->at.table && e.state == IPN_L3_STATIC)) /* a copy */
				continue;
			n = add_record(l);
			if (!memcmp(key.addr, mapped, 12)) {
				n->ip.family = IPN_L3_INET;
				memcpy(n->ip.addr, key.addr + 12, 4);
			} else {
				n->ip.family = IPN_L3_INET6;
				memcpy(n->ip.addr, key.addr, 16);
			}
			n->ip.len = (__u8)bits_of(&n->ip);
			n->port = key.port;
			n->state = e.state;
			n->age = e.confirmed && now > e.confirmed
					 ? (__u32)((now - e.confirmed) / 1000000000ULL)
					 : 0;
			memcpy(n->mac, e.mac, 6);
		}
	}
}

int l3_get(struct bpf_state *b, __u32 id, __u32 name, void *data, __u32 *len, struct errtext *e)
{
	struct listing l = { .b = b, .id = id };

	if (name < IPN_L3_ADDR_LIST || name > IPN_L3_NEIGH_LIST)
		return err_text(e, -ENOPROTOOPT, "the policy l3 has no option %u to ask for", name);
	l.size = name == IPN_L3_ADDR_LIST    ? sizeof(struct ipn_l3_addr)
		 : name == IPN_L3_ROUTE_LIST ? sizeof(struct ipn_l3_route)
					     : sizeof(struct ipn_l3_neigh);
	if (*len < sizeof(l.page) + l.size)
		return err_text(e, -EINVAL, "option %u needs room for %zu bytes at least", name,
				sizeof(l.page) + l.size);
	memcpy(&l.page, data, sizeof(l.page));
	memcpy(&l.at, l.page.at, sizeof(l.at));
	l.page = (struct ipn_l3_page){ 0 };
	l.out = (__u8 *)data + sizeof(l.page);
	l.room = *len - sizeof(l.page);
	if (name == IPN_L3_ADDR_LIST)
		list_addrs(&l);
	else if (name == IPN_L3_ROUTE_LIST)
		list_routes(&l);
	else
		list_neighs(&l);
	memcpy(l.page.at, &l.at, sizeof(l.at));
	memcpy(data, &l.page, sizeof(l.page));
	*len = (__u32)(sizeof(l.page) + l.page.count * l.size);
	return 0;
}

/* --- the network's life -----------------------------------------------------------------------*/

/* Of a trie: a node for each route, and one for each place where two part. */
#define ROUTE_BYTES 192UL
#define NEIGH_BYTES 160UL

size_t l3_bytes(__u32 routes)
{
	return 2UL * routes * ROUTE_BYTES + IPN_L3_NEIGHS * NEIGH_BYTES +
	       IPN_L3_HELD_SLOTS * sizeof(struct ipn_l3_held);
}

static int inner_put(int outer, __u32 id, enum bpf_map_type type, const char *name, __u32 key,
		     __u32 value, __u32 entries, __u32 flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	_cleanup_close_ int fd = bpf_map_create(type, name, key, value, entries, &opts);

	return fd < 0 ? -errno : bpf_inner_set(outer, id, fd);
}

int l3_new(struct bpf_state *b, __u32 id, __u32 routes)
{
	struct ipn_l3_net l3 = { .routes = routes };
	int r;

	l3_free(b, id);
	r = inner_put(b->fd_l3_route4, id, BPF_MAP_TYPE_LPM_TRIE, "ipn_routes4",
		      sizeof(struct ipn_l3_key4), sizeof(struct ipn_l3_hop), routes,
		      BPF_F_NO_PREALLOC);
	if (!r)
		r = inner_put(b->fd_l3_route6, id, BPF_MAP_TYPE_LPM_TRIE, "ipn_routes6",
			      sizeof(struct ipn_l3_key6), sizeof(struct ipn_l3_hop), routes,
			      BPF_F_NO_PREALLOC);
	if (!r)
		r = inner_put(b->fd_l3_neigh, id, BPF_MAP_TYPE_LRU_HASH, "ipn_neighs",
			      sizeof(struct ipn_l3_neigh_key), sizeof(struct ipn_l3_entry),
			      IPN_L3_NEIGHS, 0);
	if (!r)
		r = inner_put(b->fd_l3_held, id, BPF_MAP_TYPE_ARRAY, "ipn_held", sizeof(__u32),
			      sizeof(struct ipn_l3_held), IPN_L3_HELD_SLOTS, 0);
	if (!r && bpf_map_update_elem(b->fd_l3_nets, &id, &l3, BPF_ANY))
		r = -errno;
	if (r)
		l3_free(b, id);
	return r;
}

/* Removes the entries of a hash whose key begins with the network. */
static void hash_clear(int fd, __u32 id, size_t key_size)
{
	__u32 key[16], next[16];
	bool more = !bpf_map_get_next_key(fd, NULL, key);

	while (more) {
		more = !bpf_map_get_next_key(fd, key, next);
		if (key[0] == id)
			bpf_map_delete_elem(fd, key);
		memcpy(key, next, key_size);
	}
}

void l3_free(struct bpf_state *b, __u32 id)
{
	const struct ipn_l3_net none = { 0 };

	bpf_map_update_elem(b->fd_l3_nets, &id, &none, BPF_ANY);
	bpf_inner_del(b->fd_l3_route4, id);
	bpf_inner_del(b->fd_l3_route6, id);
	bpf_inner_del(b->fd_l3_neigh, id);
	bpf_inner_del(b->fd_l3_held, id);
	hash_clear(b->fd_l3_ports, id, sizeof(struct ipn_l3_port_key));
	hash_clear(b->fd_l3_static, id, sizeof(struct ipn_l3_neigh_key));
}

int l3_adopt(struct bpf_state *b, __u32 id)
{
	struct errtext e;
	struct job j = { b, id, IPN_NET_PORTS, &e };
	struct ipn_l3_port_key key, next;
	struct ipn_l3_port port;
	int more = bpf_key_next(b->fd_l3_ports, NULL, &key);

	while (more > 0) {
		if (key.net == id && !bpf_map_lookup_elem(b->fd_l3_ports, &key, &port)) {
			for (__u32 i = 0; i < port_count(&port, IPN_L3_INET); i++) {
				struct ipn_l3_prefix p = port_addr(&port, IPN_L3_INET, i);

				derive(&j, &p, key.port, true, true);
			}
			for (__u32 i = 0; i < port_count(&port, IPN_L3_INET6); i++) {
				struct ipn_l3_prefix p = port_addr(&port, IPN_L3_INET6, i);

				derive(&j, &p, key.port, true, true);
			}
			if (port.mtu)
				flags_set(b, id, IPN_L3_OWN_MTU);
		}
		more = bpf_key_next(b->fd_l3_ports, &key, &next);
		key = next;
	}
	return more;
}
