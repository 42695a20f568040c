/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The layer 3 policy under packets that lie: IPv4, IPv6, ARP, neighbour discovery, ICMP, extension
 * headers and fragments, cut off anywhere, with any byte changed, over every hook.
 *
 *	L3_FUZZ=N     packets (default 200 000)       L3_SEED=N     the first of the random numbers
 *
 * After each packet: what came out left by a port that its destination is behind, or goes back to
 * where the packet came from; it is right in itself, and what the router made has right checksums.
 * In between and at the end: no frame is held for ever, no slot is taken for ever, and packets that
 * are right go through as if nothing had been.
 */
#include "l3.h"

static __u64 random_state;

static __u32 rnd(__u32 below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (__u32)(random_state >> 16) % below;
}

static const char *const hosts4[] = {
	"10.1.0.2",  "10.2.0.2",  "10.3.0.2",   "10.4.0.2",        "10.1.0.1",  "10.2.0.1",
	"10.3.0.77", "10.4.0.88", "10.2.0.255", "10.3.0.0",        "127.0.0.1", "0.0.0.0",
	"224.0.0.5", "8.8.8.8",   "192.0.2.1",  "255.255.255.255", "240.1.1.1", "10.1.0.66",
};
static const char *const hosts6[] = {
	"fd00:1::2", "fd00:2::2",      "fd00:3::2",  "fd00:4::2",   "fd00:1::1",
	"fd00:2::1", "fd00:3::77",     "fd00:4::88", "::",          "::1",
	"ff02::1",   "ff02::1:ff00:1", "fe80::2",    "2001:db8::1", "::ffff:10.1.0.2",
	"fd00:2::",  "fd00:9::1",      "ff05::2",
};

static const char *any4(__u32 port)
{
	static char text[32];

	if (rnd(2))
		return hosts4[rnd(ARRAY_SIZE(hosts4))];
	snprintf(text, sizeof(text), "10.%u.0.%u", port, 2 + rnd(20));
	return text;
}

static const char *any6(__u32 port)
{
	static char text[32];

	if (rnd(2))
		return hosts6[rnd(ARRAY_SIZE(hosts6))];
	snprintf(text, sizeof(text), "fd00:%u::%x", port, 2 + rnd(20));
	return text;
}

/* Extension headers in the place of the first bytes of the data; some of them lie. */
static void extend(struct packet *p)
{
	static const __u8 kinds[] = { 0, 43, 44, 51, 60, 135, 59, 58, 6, 17 };
	__u8 *next = p->data + 14 + 6;
	__u32 at = 54;

	for (__u32 i = rnd(8); i && at + 8 < p->len; i--) {
		__u8 *h = p->data + at;

		*next = kinds[rnd(ARRAY_SIZE(kinds))];
		h[1] = (__u8)(rnd(4) ? 0 : rnd(256));
		next = h;
		at += 8;
	}
	*next = rnd(2) ? 58 : kinds[rnd(ARRAY_SIZE(kinds))];
}

static void packet_make(struct packet *p, __u32 port)
{
	static const __u8 protos[] = { 1, 6, 17, 58, 44, 0, 255 };
	static const __u8 types6[] = { 1, 2, 3, 4, 128, 129, 133, 134, 135, 136, 137 };
	static const __u8 types4[] = { 0, 3, 4, 5, 8, 11, 12, 13, 30 };
	char src[64];
	__u32 len = rnd(3) ? rnd(100) : rnd(1400);

	switch (rnd(7)) {
	case 0:
		snprintf(src, sizeof(src), "%s", any4(port));
		arp(p, port, (__u16)(1 + rnd(2)), src, any4(port));
		break;
	case 1:
		snprintf(src, sizeof(src), "%s", any6(port));
		nd(p, port, (__u8)(135 + rnd(2)), src, any6(port), any6(port));
		break;
	case 2:
	case 3:
		snprintf(src, sizeof(src), "10.%u.0.%u", port, 2 + rnd(20));
		ipv4(p, port, rnd(8) ? src : any4(port), any4(1 + rnd(4)),
		     protos[rnd(ARRAY_SIZE(protos))], len);
		if (p->data[23] == 1 && len >= 8)
			icmp4(p, types4[rnd(ARRAY_SIZE(types4))], (__u8)rnd(3));
		if (!rnd(4)) {
			p->data[14 + 8] = (__u8)rnd(3);
			sum4(p);
		}
		if (!rnd(6)) {
			put16(p->data + 14 + 6, rnd(65536));
			sum4(p);
		}
		if (!rnd(6)) { /* options, or a length that lies */
			p->data[14] = (__u8)(0x40 | rnd(16));
			if ((p->data[14] & 15) * 4U <= 20 + len)
				sum4(p);
		}
		break;
	default:
		snprintf(src, sizeof(src), "fd00:%u::%x", port, 2 + rnd(20));
		ipv6(p, port, rnd(8) ? src : any6(port), any6(1 + rnd(4)),
		     protos[rnd(ARRAY_SIZE(protos))], len);
		if (p->data[20] == 58 && len >= 8)
			icmp6(p, types6[rnd(ARRAY_SIZE(types6))], (__u8)rnd(3));
		if (!rnd(4))
			p->data[14 + 7] = (__u8)rnd(3);
		if (!rnd(3))
			extend(p);
	}
	if (!rnd(4)) { /* a lie anywhere; mostly in the headers */
		for (__u32 i = 1 + rnd(3); i; i--)
			p->data[rnd(rnd(4) ? 64 : p->len)] = (__u8)rnd(256);
		if (rnd(2) && get16(p->data + 12) == 0x0800 &&
		    (p->data[14] & 15) * 4U + 14 <= p->len)
			sum4(p);
	}
	if (!rnd(8)) /* cut off */
		p->len = rnd(p->len + 1);
	if (!rnd(50)) { /* a frame from nowhere */
		p->len = 14 + rnd(200);
		for (__u32 i = rnd(12); i < p->len; i++)
			p->data[i] = (__u8)rnd(256);
	}
}

/* Is this address behind the port? By the plan of l3.h, not by the router's tables. */
static bool behind4(const __u8 *addr, __u32 port)
{
	return addr[0] == 10 && addr[1] == port && addr[2] == 0;
}

static bool behind6(const __u8 *addr, __u32 port)
{
	return addr[0] == 0xfd && !addr[1] && !addr[2] && addr[3] == port;
}

static void out_check(const struct packet *in, __u32 from, const struct came *c)
{
	const __u8 *ip = c->p.data + 14, *dst;
	const char *wrong = frame_wrong(&c->p);
	__u16 type = get16(c->p.data + 12);
	__u32 len;

	(void)in;
	if (wrong)
		fail_msg("port %u sent %s", c->port, wrong);
	if (memcmp(c->p.data + 6, router_mac[c->port], 6) != 0)
		fail_msg("a frame left by port %u with the address of another", c->port);
	if (type == 0x0806)
		return;
	dst = ip + (type == 0x0800 ? 16 : 24);
	if (type == 0x0800 ? behind4(dst, c->port) : behind6(dst, c->port))
		return;
	/* not behind it: only to whom it came from, or a question or an answer about addresses */
	if (type == 0x86dd && ip[7] == 255 && ip[6] == 58 && (dst[0] == 0xff || dst[0] == 0xfe)) {
		len = get16(ip + 4);
		if (inet_sum(ip + 40, len, pseudo6(ip, len, 58)))
			fail_msg("a wrong checksum in neighbour discovery");
		return;
	}
	if (c->port == from && type == 0x86dd && dst[0] == 0xfe)
		return;
	fail_msg("a packet to %u.%u.%u.%u left by port %u, and came by %u", dst[0], dst[1], dst[2],
		 dst[3], c->port, from);
}

/* Whoever was asked for in vain and speaks now is known, and nothing is held for him any more. */
static void none_is_stuck(int neighs)
{
	static const __u8 mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct ipn_l3_neigh_key key, *last = NULL;
	static struct packet p;
	static struct result r;
	struct ipn_l3_entry e;
	char host[32], router[32];

	for (; !bpf_map_get_next_key(neighs, last, &key); last = &key) {
		if (memcmp(key.addr, mapped, 12) != 0 || bpf_map_lookup_elem(neighs, &key, &e) ||
		    e.state == IPN_L3_REACHABLE)
			continue;
		inet_ntop(AF_INET, key.addr + 12, host, sizeof(host));
		snprintf(router, sizeof(router), "10.%u.0.1", key.port);
		arp(&p, key.port, 1, host, router);
		route(key.port, &p, &r, 0);
		assert_ok(bpf_map_lookup_elem(neighs, &key, &e));
		if (e.state != IPN_L3_REACHABLE || e.nheld)
			fail_msg("%s is stuck: state %u, %llu held", host, e.state, e.nheld);
	}
}

/* Packets that are right: all go through, and the router answers. */
static void still_works(void)
{
	static struct packet p;
	static struct result r;
	_cleanup_close_ int held = bpf_inner_get(fab.b->fd_l3_held, l3_net->id);
	_cleanup_close_ int neighs = bpf_inner_get(fab.b->fd_l3_neigh, l3_net->id);
	struct ipn_l3_neigh_key key, next;
	struct ipn_l3_held slot;
	char src[32], dst[32];
	bool more;

	for (__u32 i = 0; i < IPN_L3_HELD_SLOTS; i++) {
		assert_ok(bpf_map_lookup_elem(held, &i, &slot));
		assert_int_equal(slot.busy, 0);
	}
	none_is_stuck(neighs);
	/* liars may have become neighbours: all is forgotten, and learned anew */
	more = !bpf_map_get_next_key(neighs, NULL, &key);
	while (more) {
		more = !bpf_map_get_next_key(neighs, &key, &next);
		bpf_map_delete_elem(neighs, &key);
		key = next;
	}
	hosts_speak();
	for (__u32 from = 1; from < L3_PORTS; from++) {
		for (__u32 to = 1; to < L3_PORTS; to++) {
			snprintf(src, sizeof(src), "10.%u.0.2", from);
			snprintf(dst, sizeof(dst), "10.%u.0.2", to);
			ipv4(&p, from, src, dst, 17, 64);
			route(from, &p, &r, 0);
			assert_int_equal(r.n, 1);
			assert_int_equal(r.out[0].port, to);
			snprintf(src, sizeof(src), "fd00:%u::2", from);
			snprintf(dst, sizeof(dst), "fd00:%u::2", to);
			ipv6(&p, from, src, dst, 17, 64);
			route(from, &p, &r, 0);
			assert_int_equal(r.n, 1);
			assert_int_equal(r.out[0].port, to);
		}
	}
}

static __u64 number_of(const char *name, __u64 otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 10) : otherwise;
}

/* BPF_PROG_TEST_RUN makes no frame for tc that has less than the header its type promises. */
static bool can_run(const struct packet *p, __u32 port)
{
	__u16 type = p->len >= 14 ? get16(p->data + 12) : 0;

	if (!port_is_device(l3_ports[port]))
		return true;
	return p->len >= (type == 0x0800 ? 34U : type == 0x86dd ? 54U : 14U);
}

static void lies_do_no_harm(void **state)
{
	__u64 n = number_of("L3_FUZZ", 200000), ran = 0, out = 0, up = 0;
	static struct packet p;
	static struct result r;
	struct ipn_stats sum = { 0 }, one;

	(void)state;
	random_state = number_of("L3_SEED", 0x49504e) * 2654435761U + 1;
	for (__u64 i = 0; i < n; i++) {
		__u32 port = 1 + rnd(4);

		packet_make(&p, port);
		if (!can_run(&p, port))
			continue;
		route(port, &p, &r, !rnd(8));
		ran++;
		up += (__u64)r.up;
		out += r.n;
		for (__u32 k = 0; k < r.n; k++)
			out_check(&p, port, &r.out[k]);
		if (i % 20000 == 19999)
			still_works();
	}
	still_works();
	for (__u32 port = 1; port < L3_PORTS; port++) {
		assert_ok(bpf_stats_get(fab.b, l3_ports[port]->port.node, &one));
		for (int i = 0; i < IPN_DROP_MAX; i++)
			sum.drop[i] += one.drop[i];
	}
	print_message("%llu packets, %llu came out, %llu for tc\n", ran, out, up);
	for (int i = 0; i < IPN_DROP_MAX; i++)
		if (sum.drop[i])
			print_message("  reason %d: %llu\n", i, sum.drop[i]);
	/* every reason of the policy that a packet alone can have was there */
	for (int i = IPN_DROP_NOT_IP; n >= 100000 && i <= IPN_DROP_CLAIM; i++)
		if (i != IPN_DROP_TOO_BIG && i != IPN_DROP_NO_NEIGH)
			assert_true(sum.drop[i]);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(lies_do_no_harm, router_make, router_end),
};

FABRIC_MAIN(tests)
