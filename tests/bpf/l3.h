/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A router for tests: ports of every kind in subnets of their own, packets for it, and what
 * came out of it. Checksums are computed and verified here, by code that shares nothing with the
 * programs.
 *
 *	port N: the router is 10.N.0.1/24 and fd00:N::1/64, its host 10.N.0.2 and fd00:N::2
 */
#ifndef IPN_TEST_L3_H
#define IPN_TEST_L3_H

#include <arpa/inet.h>

#include "manager/policies/l3.h"
#include "ways.h"

#define PORT_P 1 /* a process */
#define PORT_Q 4
#define PORT_D 2 /* a device */
#define PORT_E 3
#define PORT_K 5 /* a sock port */
#define PORT_X 6 /* an AF_XDP program */
#define L3_PORTS 7

static struct t_net *l3_net;
static struct t_port *l3_ports[L3_PORTS];
static __u8 router_mac[L3_PORTS][6];

static inline void host_mac(__u32 port, __u8 mac[6])
{
	put_bytes(mac, "\x02\x00\x00\x00\x77", 5);
	mac[5] = (__u8)port;
}

static inline struct ipn_l3_prefix prefix_of(const char *addr, __u8 len)
{
	struct ipn_l3_prefix p = { .len = len };

	p.family = strchr(addr, ':') ? IPN_L3_INET6 : IPN_L3_INET;
	assert_int_equal(inet_pton(p.family == IPN_L3_INET ? AF_INET : AF_INET6, addr, p.addr), 1);
	return p;
}

static inline void option(__u32 name, const void *record, size_t len)
{
	struct errtext e = { "" };

	if (l3_set(fab.b, l3_net->id, 20, name, record, (__u32)len, &e))
		fail_msg("%s", e.text);
}

static inline void addr_add(const char *addr, __u8 len, __u32 port, __u32 mtu)
{
	struct ipn_l3_addr a = { .ip = prefix_of(addr, len), .port = port, .mtu = mtu };

	option(IPN_L3_ADDR_ADD, &a, sizeof(a));
}

static inline void addr_del(const char *addr, __u8 len, __u32 port)
{
	struct ipn_l3_addr a = { .ip = prefix_of(addr, len), .port = port };

	option(IPN_L3_ADDR_DEL, &a, sizeof(a));
}

static inline void route_add(const char *to, __u8 len, const char *via)
{
	struct ipn_l3_route r = { .to = prefix_of(to, len),
				  .via = prefix_of(via, 32),
				  .port = IPN_L3_PORT_ANY };

	option(IPN_L3_ROUTE_ADD, &r, sizeof(r));
}

static inline int router_make(void **state)
{
	static const struct {
		__u32 number;
		enum ipn_kind kind;
	} kinds[] = {
		{ PORT_P, IPN_KIND_PROC }, { PORT_D, IPN_KIND_TAP },  { PORT_E, IPN_KIND_HOST },
		{ PORT_Q, IPN_KIND_PROC }, { PORT_K, IPN_KIND_SOCK }, { PORT_X, IPN_KIND_XSK },
	};
	struct ipn_l3_port port;
	char addr[32];

	(void)state;
	fab.b->abi.group = 0x123456;
	l3_net = net_make(IPN_POLICY_L3, 1514, 20);
	assert_ok(l3_new(fab.b, l3_net->id, 64));
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		__u32 n = kinds[i].number;
		struct ipn_l3_port_key key = { l3_net->id, n };

		l3_ports[n] = port_make(l3_net, n, kinds[i].kind);
		snprintf(addr, sizeof(addr), "10.%u.0.1", n);
		addr_add(addr, 24, n, 0);
		snprintf(addr, sizeof(addr), "fd00:%u::1", n);
		addr_add(addr, 64, n, 0);
		assert_ok(bpf_map_lookup_elem(fab.b->fd_l3_ports, &key, &port));
		memcpy(router_mac[n], port.mac, 6);
	}
	return 0;
}

static inline int router_end(void **state)
{
	l3_free(fab.b, l3_net->id);
	return fabric_clear(state);
}

/* --- packets ---------------------------------------------------------------------------------*/

static inline __u16 get16(const __u8 *p)
{
	return (__u16)(p[0] << 8 | p[1]);
}

static inline void put16(__u8 *p, __u32 v)
{
	p[0] = (__u8)(v >> 8);
	p[1] = (__u8)v;
}

/* The Internet checksum, one byte after the other. */
static inline __u16 inet_sum(const __u8 *p, size_t len, __u32 seed)
{
	for (size_t i = 0; i < len; i++)
		seed += i & 1 ? p[i] : (__u32)p[i] << 8;
	while (seed >> 16)
		seed = (seed & 0xffff) + (seed >> 16);
	return (__u16)~seed;
}

/* Of the pseudo header of IPv6, as a seed. */
static inline __u32 pseudo6(const __u8 *ip, __u32 len, __u8 proto)
{
	__u32 sum = len + proto;

	for (int i = 8; i < 40; i += 2)
		sum += get16(ip + i);
	return sum;
}

struct packet {
	__u8 data[2048];
	__u32 len;
};

static inline void ethernet(struct packet *p, const __u8 *to, const __u8 *from, __u16 type)
{
	memcpy(p->data, to, 6);
	memcpy(p->data + 6, from, 6);
	put16(p->data + 12, type);
}

/* From the host at a port to the router there. */
static inline void from_host(struct packet *p, __u32 port, __u16 type)
{
	__u8 mac[6];

	memset(p, 0, sizeof(*p));
	host_mac(port, mac);
	ethernet(p, router_mac[port], mac, type);
}

static inline void sum4(struct packet *p)
{
	__u8 *ip = p->data + 14;

	put16(ip + 10, 0);
	put16(ip + 10, inet_sum(ip, (ip[0] & 15) * 4U, 0));
}

/* An IPv4 packet with `data` bytes behind its header. */
static inline void ipv4(struct packet *p, __u32 port, const char *src, const char *dst, __u8 proto,
			__u32 data)
{
	__u8 *ip = p->data + 14;

	from_host(p, port, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, 20 + data);
	ip[8] = 64;
	ip[9] = proto;
	inet_pton(AF_INET, src, ip + 12);
	inet_pton(AF_INET, dst, ip + 16);
	sum4(p);
	fill(ip + 20, data, data + proto);
	p->len = 34 + data;
}

static inline void ipv6(struct packet *p, __u32 port, const char *src, const char *dst, __u8 proto,
			__u32 data)
{
	__u8 *ip = p->data + 14;

	from_host(p, port, 0x86dd);
	ip[0] = 0x60;
	put16(ip + 4, data);
	ip[6] = proto;
	ip[7] = 64;
	inet_pton(AF_INET6, src, ip + 8);
	inet_pton(AF_INET6, dst, ip + 24);
	fill(ip + 40, data, data + proto);
	p->len = 54 + data;
}

static inline void icmp4(struct packet *p, __u8 type, __u8 code)
{
	__u8 *icmp = p->data + 34;

	icmp[0] = type;
	icmp[1] = code;
	put16(icmp + 2, 0);
	put16(icmp + 2, inet_sum(icmp, p->len - 34, 0));
}

static inline void icmp6(struct packet *p, __u8 type, __u8 code)
{
	__u8 *icmp = p->data + 54;

	icmp[0] = type;
	icmp[1] = code;
	put16(icmp + 2, 0);
	put16(icmp + 2, inet_sum(icmp, p->len - 54, pseudo6(p->data + 14, p->len - 54, 58)));
}

static inline void arp(struct packet *p, __u32 port, __u16 op, const char *sender,
		       const char *target)
{
	__u8 *a = p->data + 14;

	from_host(p, port, 0x0806);
	if (op == 1)
		memset(p->data, 0xff, 6);
	put_bytes(a, "\x00\x01\x08\x00\x06\x04", 6);
	put16(a + 6, op);
	memcpy(a + 8, p->data + 6, 6);
	inet_pton(AF_INET, sender, a + 14);
	if (op == 2)
		memcpy(a + 18, p->data, 6);
	inet_pton(AF_INET, target, a + 24);
	p->len = 42;
}

/* A neighbour solicitation (135) or advertisement (136) with an option. */
static inline void nd(struct packet *p, __u32 port, __u8 type, const char *src, const char *dst,
		      const char *target)
{
	__u8 *icmp = p->data + 54;

	ipv6(p, port, src, dst, 58, 32);
	p->data[14 + 7] = 255;
	memset(icmp, 0, 32);
	if (type == 136)
		icmp[4] = 0x60;
	inet_pton(AF_INET6, target, icmp + 8);
	icmp[24] = type == 135 ? 1 : 2;
	icmp[25] = 1;
	memcpy(icmp + 26, p->data + 6, 6);
	icmp6(p, type, 0);
	if (p->data[14 + 24] == 0xff) {
		p->data[0] = p->data[1] = 0x33;
		memcpy(p->data + 2, p->data + 14 + 36, 4);
	}
}

/* --- what came of it -------------------------------------------------------------------------*/

struct came {
	__u32 port; /* by which it left */
	struct packet p;
};

struct result {
	struct came out[16];
	__u32 n;
	__u32 ret;
	int up;   /* XDP: goes to the policy at tc */
	int drop; /* enum ipn_drop, or -1 */
	__u32 drops;
};

static inline void came_add(struct result *r, __u32 port, const void *data, __u32 len)
{
	struct came *c = &r->out[r->n];

	assert_true(r->n < ARRAY_SIZE(r->out));
	if (len > sizeof(c->p.data))
		len = sizeof(c->p.data);
	c->port = port;
	c->p.len = len;
	memcpy(c->p.data, data, len);
	r->n++;
}

/* The port of the router's address, by its last bytes; 0: it is not the router's. */
static inline __u32 port_of_mac(const __u8 *mac)
{
	for (__u32 i = 1; i < L3_PORTS; i++)
		if (!memcmp(mac, router_mac[i], 6))
			return i;
	return 0;
}

/* Everything that was sent since the last call, and where. */
static inline void collect(struct result *r)
{
	static __u8 frame[FRAME_MAX];

	for (__u32 i = 1; i < L3_PORTS; i++) {
		struct t_port *p = l3_ports[i];
		ssize_t n;

		if (p->in.kind == IPN_KIND_PROC) {
			while (log_head(&p->log) > p->log.next) {
				const struct ipn_slot *slot = log_slot(&p->log, p->log.next++);

				came_add(r, i, slot->data, slot->len);
			}
			continue;
		}
		while ((n = tap_read(p, frame, sizeof(frame))) >= 0)
			came_add(r, i, frame, (__u32)n);
	}
	while (punt_next()) { /* for sock ports */
		const struct ipn_punt *rec = &fab.punt.rec;

		assert_int_equal(rec->op, IPN_PUNT_PORT);
		assert_int_equal(rec->net, l3_net->id);
		assert_int_equal(rec->port, PORT_K);
		assert_int_equal(rec->gen, l3_ports[PORT_K]->in.gen);
		came_add(r, rec->port, fab.punt.data, rec->len);
	}
}

static inline void drops_find(struct result *r, struct t_port *from)
{
	struct ipn_stats now;

	assert_ok(bpf_stats_get(fab.b, from->in.node, &now));
	r->drop = -1;
	for (int i = 0; i < IPN_DROP_MAX; i++) {
		if (now.drop[i] != from->want.drop[i]) {
			r->drop = i;
			r->drops += (__u32)(now.drop[i] - from->want.drop[i]);
		}
		from->want.drop[i] = now.drop[i];
	}
}

/* The way of a port's kind. */
static inline enum way way_of(const struct t_port *p)
{
	return p->in.kind == IPN_KIND_PROC   ? WAY_XDP
	       : p->in.kind == IPN_KIND_SOCK ? WAY_SK
					     : WAY_TC;
}

/*
 * How a packet comes to the router, beside the ways of ways.h: a process's packet that XDP has sent
 * up, at the tc program of its tap, which BPF_PROG_TEST_RUN lets see the verdict in a tag.
 */
#define WAY_TAP WAYS
#define UP_TPID 0x88a8
#define UP_TCI 1

/* BPF_PROG_TEST_RUN makes no frame for tc that has less than the header its type promises. */
static inline bool runs_at_tc(const struct packet *p)
{
	__u16 type = p->len >= 14 ? get16(p->data + 12) : 0;

	return p->len >= (type == 0x0800 ? 34U : type == 0x86dd ? 54U : 14U);
}

/*
 * A sock port's program sends. Its packet has to be a record for the policy as it is, and goes from
 * there to the segmenter, as the manager's thread sends it. Has it got so far?
 */
static inline bool route_sock(const struct t_port *from, const struct packet *p, struct ran *ran)
{
	const struct __sk_buff skb = { .ifindex = 1, .mark = IPN_SOCK_IFINDEX(from->in.node) };

	sock_send(from, p->data, p->len);
	if (p->len && (p->len < IPN_SOCK_FRAME_MIN || p->len > from->in.mtu))
		return false;
	punt_expect(from, p->len ? IPN_PUNT_POLICY : IPN_PUNT_BYE, 0, from->in.gen, p->data,
		    p->len);
	if (!p->len || !runs_at_tc(p))
		return false;
	assert_ok(tc_run(fab.b->prog_tc_segmenter, &skb, p->data, p->len, ran));
	return true;
}

static inline void route_tap(const struct t_port *from, const struct packet *p, struct ran *ran)
{
	const struct __sk_buff skb = { .ifindex = from->in.ifindex };
	static int prog;

	if (!prog)
		prog = tagger_load(fab.b->prog_tc_tap, UP_TPID, UP_TCI);
	assert_ok(tc_run(prog, &skb, p->data, p->len, ran));
}

/* Sends a packet from a port on a way that it has. */
static inline void route_by(enum way way, __u32 port, const struct packet *p, struct result *r)
{
	struct t_port *from = l3_ports[port];
	static __u8 frame[FRAME_MAX];
	static struct ran ran;
	bool xdp = way == WAY_XDP || way == WAY_DEV;
	struct ipn_verdict v;
	__u32 len;

	r->n = r->drops = 0;
	r->up = r->drop = 0;
	ran.ret = ran.len = ran.meta = 0;
	if (way == WAY_SK)
		route_sock(from, p, &ran);
	else if (way == WAY_TAP)
		route_tap(from, p, &ran);
	else
		way_send(way, from, p->data, p->len, frame, &len, &ran);
	r->ret = ran.ret;
	collect(r);
	if (xdp && ran.ret == XDP_PASS) {
		memcpy(&v, ran.data, sizeof(v));
		assert_int_equal(ran.meta, sizeof(v));
		if (v.kind == IPN_TO_POLICY)
			r->up = 1;
		else
			came_add(r, v.arg, ran.data + ran.meta, ran.len);
	} else if (ran.ret == (xdp ? XDP_REDIRECT : TC_ACT_REDIRECT)) {
		came_add(r, port_of_mac(ran.data + 6), ran.data, ran.len);
	}
}

/* The same by the way of the port's kind; devices by tc or the segmenter. */
static inline void route(__u32 port, const struct packet *p, struct result *r, int segmenter)
{
	enum way way = way_of(l3_ports[port]);

	route_by(way == WAY_TC && segmenter ? WAY_SEGMENTER : way, port, p, r);
}

/* The neighbour at a port, as the table has it. */
static inline bool entry_get(__u32 port, const char *addr, struct ipn_l3_entry *e)
{
	struct ipn_l3_neigh_key key = { .port = port };
	struct ipn_l3_prefix p = prefix_of(addr, 32);
	_cleanup_close_ int fd = bpf_inner_get(fab.b->fd_l3_neigh, l3_net->id);

	if (p.family == IPN_L3_INET) {
		key.addr[10] = key.addr[11] = 0xff;
		memcpy(key.addr + 12, p.addr, 4);
	} else {
		memcpy(key.addr, p.addr, 16);
	}
	return !bpf_map_lookup_elem(fd, &key, e);
}

static inline void entry_set(__u32 port, const char *addr, const struct ipn_l3_entry *e)
{
	struct ipn_l3_neigh_key key = { .port = port };
	struct ipn_l3_prefix p = prefix_of(addr, 32);
	_cleanup_close_ int fd = bpf_inner_get(fab.b->fd_l3_neigh, l3_net->id);

	if (p.family == IPN_L3_INET) {
		key.addr[10] = key.addr[11] = 0xff;
		memcpy(key.addr + 12, p.addr, 4);
	} else {
		memcpy(key.addr, p.addr, 16);
	}
	assert_ok(bpf_map_update_elem(fd, &key, e, BPF_ANY));
	bpf_epoch(fab.b, l3_net->id);
}

/* The router learns all hosts by their own questions. */
static inline void hosts_speak(void)
{
	static struct result r;
	static struct packet p;
	char host[32], router[32];

	for (__u32 i = 1; i < L3_PORTS; i++) {
		snprintf(host, sizeof(host), "10.%u.0.2", i);
		snprintf(router, sizeof(router), "10.%u.0.1", i);
		arp(&p, i, 1, host, router);
		route(i, &p, &r, 0);
		assert_int_equal(r.n, 1);
		snprintf(host, sizeof(host), "fd00:%u::2", i);
		snprintf(router, sizeof(router), "fd00:%u::1", i);
		nd(&p, i, 135, host, "ff02::1:ff00:1", router);
		route(i, &p, &r, 0);
		assert_int_equal(r.n, 1);
	}
}

/* Is a frame that the router sent right in itself? Returns NULL, or what is wrong. */
static inline const char *frame_wrong(const struct packet *p)
{
	const __u8 *ip = p->data + 14;
	__u32 len = p->len - 14, hlen;

	if (p->len < 14)
		return "a runt";
	switch (get16(p->data + 12)) {
	case 0x0806:
		return p->len == 42 ? NULL : "ARP of a strange length";
	case 0x0800:
		hlen = (ip[0] & 15) * 4U;
		if (len < 20 || hlen < 20 || hlen > len || get16(ip + 2) > len)
			return "an IPv4 header that lies";
		return inet_sum(ip, hlen, 0) ? "a wrong IPv4 checksum" : NULL;
	case 0x86dd:
		return len < 40 || 40U + get16(ip + 4) > len ? "an IPv6 header that lies" : NULL;
	}
	return "a frame that is no IP";
}

#endif
