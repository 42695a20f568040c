/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The layer 3 policy: where packets go, what becomes of them there, and what is dropped why. */
#include "l3.h"

static struct packet p;
static struct result r;

static void sent(__u32 port, int segmenter)
{
	route(port, &p, &r, segmenter);
	drops_find(&r, l3_ports[port]);
}

/* What was sent came out at a port, with a hop less and the addresses of that link. */
static void forwarded_expect(__u32 to)
{
	const struct packet *out = &r.out[0].p;
	struct packet want = p;
	__u8 mac[6];

	assert_int_equal(r.n, 1);
	assert_int_equal(r.drop, -1);
	assert_int_equal(r.out[0].port, to);
	host_mac(to, mac);
	ethernet(&want, mac, router_mac[to], get16(p.data + 12));
	if (get16(p.data + 12) == 0x0800) {
		want.data[14 + 8]--;
		sum4(&want);
	} else {
		want.data[14 + 7]--;
	}
	assert_int_equal(out->len, want.len);
	assert_memory_equal(out->data, want.data, want.len);
	assert_null(frame_wrong(out));
}

static void dropped_expect(const char *name, int drop)
{
	if (r.drop != drop || r.drops != 1)
		fail_msg("%s: dropped %u times as %d, must be once as %d", name, r.drops, r.drop,
			 drop);
}

static void packets_are_forwarded_between_all_kinds(void **state)
{
	char src[32], dst[32];

	(void)state;
	hosts_speak();
	for (__u32 from = 1; from < L3_PORTS; from++) {
		for (__u32 to = 1; to < L3_PORTS; to++) {
			for (int segmenter = 0; segmenter < 2; segmenter++) {
				for (__u32 len = 0; len <= 1480; len += 370) {
					snprintf(src, sizeof(src), "10.%u.0.2", from);
					snprintf(dst, sizeof(dst), "10.%u.0.2", to);
					ipv4(&p, from, src, dst, 17, len);
					sent(from, segmenter);
					forwarded_expect(to);
				}
				for (__u32 len = 0; len <= 1460; len += 365) {
					snprintf(src, sizeof(src), "fd00:%u::2", from);
					snprintf(dst, sizeof(dst), "fd00:%u::2", to);
					ipv6(&p, from, src, dst, 17, len);
					sent(from, segmenter);
					forwarded_expect(to);
				}
			}
		}
	}
}

/* Every checksum there is, and every number of hops. */
static void the_checksum_is_right_for_every_packet(void **state)
{
	(void)state;
	hosts_speak();
	for (__u32 i = 0; i < 65536; i += 7) {
		ipv4(&p, PORT_D, "10.2.0.2", "10.3.0.2", 6, 20);
		put16(p.data + 14 + 4, i);
		p.data[14 + 8] = (__u8)(2 + i % 254);
		sum4(&p);
		route(PORT_D, &p, &r, 0);
		r.drop = -1;
		forwarded_expect(PORT_E);
	}
}

/* NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): in the order that rows are read */
struct row {
	const char *name;
	int drop;
	const char *src, *dst;
	__u8 proto;
	void (*change)(struct packet *p);
	int answer; /* type of the ICMP message that comes back; 0: none */
};

static void no_hop(struct packet *q)
{
	q->data[14 + (get16(q->data + 12) == 0x0800 ? 8 : 7)] = 1;
	if (get16(q->data + 12) == 0x0800)
		sum4(q);
}
static void bad_sum(struct packet *q)
{
	q->data[14 + 10] ^= 1;
}
static void bad_version(struct packet *q)
{
	q->data[14] ^= 0x10;
	if (get16(q->data + 12) == 0x0800)
		sum4(q);
}
static void short_header(struct packet *q)
{
	q->data[14] = 0x44;
	sum4(q);
}
static void too_long(struct packet *q)
{
	__u8 *at = q->data + 14 + (get16(q->data + 12) == 0x0800 ? 2 : 4);

	put16(at, get16(at) + 1);
	if (get16(q->data + 12) == 0x0800)
		sum4(q);
}
static void other_mac(struct packet *q)
{
	q->data[0] ^= 4;
}
static void group_source(struct packet *q)
{
	q->data[6] |= 1;
}
static void to_all_macs(struct packet *q)
{
	memset(q->data, 0xff, 6);
}
static void strange_type(struct packet *q)
{
	put16(q->data + 12, 0x88b5);
}
static void tagged(struct packet *q)
{
	put16(q->data + 12, 0x8100);
}
static void late_fragment(struct packet *q)
{
	put16(q->data + 14 + 6, 100);
	no_hop(q);
}
static void icmp_error(struct packet *q)
{
	icmp4(q, 3, 1);
	no_hop(q);
}
static void icmp6_error(struct packet *q)
{
	icmp6(q, 1, 1);
	no_hop(q);
}
static void cut_off(struct packet *q)
{
	q->len = 33;
}

#define H2 "10.2.0.2"
#define H3 "10.3.0.2"
#define S2 "fd00:2::2"
#define S3 "fd00:3::2"

static const struct row rows[] = {
	{ "no hop left", IPN_DROP_TTL, H2, H3, 17, no_hop, 11 },
	{ "no hop left, IPv6", IPN_DROP_TTL, S2, S3, 17, no_hop, 3 },
	{ "no route", IPN_DROP_NO_ROUTE, H2, "10.9.0.1", 17, NULL, 3 },
	{ "no route, IPv6", IPN_DROP_NO_ROUTE, S2, "fd00:9::1", 17, NULL, 1 },
	{ "UDP for the router", IPN_DROP_FOR_ROUTER, H2, "10.2.0.1", 17, NULL, 3 },
	{ "UDP for the router, IPv6", IPN_DROP_FOR_ROUTER, S2, "fd00:3::1", 17, NULL, 1 },
	{ "a late fragment without a hop", IPN_DROP_TTL, H2, H3, 17, late_fragment, 0 },
	{ "an error without a hop", IPN_DROP_TTL, H2, H3, 1, icmp_error, 0 },
	{ "an error without a hop, IPv6", IPN_DROP_TTL, S2, S3, 58, icmp6_error, 0 },
	{ "a wrong checksum", IPN_DROP_HEADER, H2, H3, 17, bad_sum, 0 },
	{ "a wrong version", IPN_DROP_HEADER, H2, H3, 17, bad_version, 0 },
	{ "a wrong version, IPv6", IPN_DROP_HEADER, S2, S3, 17, bad_version, 0 },
	{ "a header too short", IPN_DROP_HEADER, H2, H3, 17, short_header, 0 },
	{ "longer than the frame", IPN_DROP_HEADER, H2, H3, 17, too_long, 0 },
	{ "longer than the frame, IPv6", IPN_DROP_HEADER, S2, S3, 17, too_long, 0 },
	{ "cut off", IPN_DROP_HEADER, H2, H3, 17, cut_off, 0 },
	{ "not for the router", IPN_DROP_OTHER_MAC, H2, H3, 17, other_mac, 0 },
	{ "from a group", IPN_DROP_SOURCE, H2, H3, 17, group_source, 0 },
	{ "unicast to all", IPN_DROP_DIRECTED, H2, H3, 17, to_all_macs, 0 },
	{ "no IP", IPN_DROP_NOT_IP, H2, H3, 17, strange_type, 0 },
	{ "with a VLAN tag", IPN_DROP_NOT_IP, H2, H3, 17, tagged, 0 },
	{ "from loopback", IPN_DROP_MARTIAN, "127.0.0.1", H3, 17, NULL, 0 },
	{ "from 0", IPN_DROP_MARTIAN, "0.1.2.3", H3, 17, NULL, 0 },
	{ "from a multicast group", IPN_DROP_MARTIAN, "224.0.0.1", H3, 17, NULL, 0 },
	{ "from 240", IPN_DROP_MARTIAN, "240.0.0.1", H3, 17, NULL, 0 },
	{ "from the router's own address", IPN_DROP_MARTIAN, "10.2.0.1", H3, 17, NULL, 0 },
	{ "from the subnet's broadcast", IPN_DROP_MARTIAN, "10.2.0.255", H3, 17, NULL, 0 },
	{ "to loopback", IPN_DROP_MARTIAN, H2, "127.0.0.1", 17, NULL, 0 },
	{ "to 0", IPN_DROP_MARTIAN, H2, "0.0.0.0", 17, NULL, 0 },
	{ "to 240", IPN_DROP_MARTIAN, H2, "241.0.0.0", 17, NULL, 0 },
	{ "from loopback, IPv6", IPN_DROP_MARTIAN, "::1", S3, 17, NULL, 0 },
	{ "from nobody, IPv6", IPN_DROP_MARTIAN, "::", S3, 17, NULL, 0 },
	{ "from IPv4 in disguise", IPN_DROP_MARTIAN, "::ffff:10.2.0.2", S3, 17, NULL, 0 },
	{ "from a group, IPv6", IPN_DROP_MARTIAN, "ff02::1", S3, 17, NULL, 0 },
	{ "from a link-local address", IPN_DROP_MARTIAN, "fe80::2", S3, 17, NULL, 0 },
	{ "to somebody's link-local address", IPN_DROP_MARTIAN, S2, "fe80::3", 17, NULL, 0 },
	{ "another port's source", IPN_DROP_WRONG_PORT, H3, "10.1.0.2", 17, NULL, 0 },
	{ "another port's source, IPv6", IPN_DROP_WRONG_PORT, S3, "fd00:1::2", 17, NULL, 0 },
	{ "nobody's source", IPN_DROP_WRONG_PORT, "192.0.2.1", H3, 17, NULL, 0 },
	{ "directed broadcast", IPN_DROP_DIRECTED, H2, "10.3.0.255", 17, NULL, 0 },
	{ "the subnet itself", IPN_DROP_DIRECTED, H2, "10.3.0.0", 17, NULL, 0 },
	{ "multicast", IPN_DROP_MULTICAST, H2, "224.0.0.9", 17, NULL, 0 },
	{ "multicast to its Ethernet address", IPN_DROP_MULTICAST, H2, "239.1.2.3", 17, to_all_macs,
	  0 },
	{ "multicast, IPv6", IPN_DROP_MULTICAST, S2, "ff02::fb", 17, NULL, 0 },
};

/* An ICMP error: right in itself, from the router at the port, and with the message in it. */
static void error_expect(const struct row *row, __u32 port)
{
	const struct packet *out = &r.out[0].p;
	bool v6 = strchr(row->src, ':');
	const __u8 *ip = out->data + 14, *icmp = ip + (v6 ? 40 : 20);
	__u32 len = out->len - 14 - (v6 ? 40 : 20), quoted = p.len - 14 < 128 ? p.len - 14 : 128;
	__u8 mac[6];

	assert_int_equal(r.n, 1);
	assert_int_equal(r.out[0].port, port);
	assert_null(frame_wrong(out));
	host_mac(port, mac);
	assert_memory_equal(out->data, mac, 6);
	assert_memory_equal(out->data + 6, router_mac[port], 6);
	assert_memory_equal(ip + (v6 ? 24 : 16), p.data + 14 + (v6 ? 8 : 12), v6 ? 16 : 4);
	assert_int_equal(ip[v6 ? 23 : 15], 1); /* its own address ends in 1 */
	assert_int_equal(icmp[0], row->answer);
	assert_int_equal(inet_sum(icmp, len, v6 ? pseudo6(ip, len, 58) : 0), 0);
	assert_int_equal(len, 8 + quoted);
	assert_memory_equal(icmp + 8, p.data + 14, quoted);
}

static void row_run(const struct row *row, __u32 port, enum way way)
{
	char src[64], dst[64];

	/* the table is for port 2; for others, 2 and that port change places */
	snprintf(src, sizeof(src), "%s", row->src);
	snprintf(dst, sizeof(dst), "%s", row->dst);
	for (char *c = src; port != 2 && *c; c++)
		if (!strncmp(src, "10.2", 4) && c == src + 3)
			*c = (char)('0' + port);
		else if (!strncmp(src, "fd00:2", 6) && c == src + 5)
			*c = (char)('0' + port);
	if (port != 2 && (!strncmp(dst, "10.2.", 5)))
		dst[3] = (char)('0' + port);
	if (strchr(src, ':'))
		ipv6(&p, port, src, dst, row->proto, 100);
	else
		ipv4(&p, port, src, dst, row->proto, 100);
	if (row->change)
		row->change(&p);
	route_by(way, port, &p, &r);
	drops_find(&r, l3_ports[port]);
	dropped_expect(row->name, row->drop);
	if (row->answer)
		error_expect(row, port);
	else
		assert_int_equal(r.n, 0);
}

static void what_is_wrong_is_dropped_by_name(void **state)
{
	(void)state;
	hosts_speak();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (rows[i].change != cut_off) { /* which BPF_PROG_TEST_RUN refuses at tc */
			row_run(&rows[i], PORT_D, WAY_TC);
			row_run(&rows[i], PORT_D, WAY_SEGMENTER);
			row_run(&rows[i], PORT_P, WAY_TAP);
			row_run(&rows[i], PORT_K, WAY_SK);
		}
		row_run(&rows[i], PORT_Q, WAY_XDP);
	}
}

static void the_router_answers_echo(void **state)
{
	static const __u32 ports[] = { PORT_D, PORT_P, PORT_K };
	char src[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		for (__u32 len = 8; len < 1400; len += 111) {
			snprintf(src, sizeof(src), "10.%u.0.2", ports[i]);
			ipv4(&p, ports[i], src, "10.3.0.1", 1, len);
			icmp4(&p, 8, 0);
			sent(ports[i], 0);
			assert_int_equal(r.n, 1);
			assert_int_equal(r.out[0].port, ports[i]);
			assert_int_equal(r.out[0].p.len, p.len);
			assert_null(frame_wrong(&r.out[0].p));
			assert_int_equal(r.out[0].p.data[34], 0);
			assert_int_equal(inet_sum(r.out[0].p.data + 34, len, 0), 0);
			assert_memory_equal(r.out[0].p.data + 38, p.data + 38, len - 4);
			assert_memory_equal(r.out[0].p.data + 26, p.data + 30, 4);
			assert_memory_equal(r.out[0].p.data + 30, p.data + 26, 4);

			snprintf(src, sizeof(src), "fd00:%u::2", ports[i]);
			ipv6(&p, ports[i], src, "fd00:3::1", 58, len);
			icmp6(&p, 128, 0);
			sent(ports[i], 0);
			assert_int_equal(r.n, 1);
			assert_int_equal(r.out[0].port, ports[i]);
			assert_int_equal(r.out[0].p.data[54], 129);
			assert_int_equal(inet_sum(r.out[0].p.data + 54, len,
						  pseudo6(r.out[0].p.data + 14, len, 58)),
					 0);
			assert_memory_equal(r.out[0].p.data + 58, p.data + 58, len - 4);
			assert_memory_equal(r.out[0].p.data + 22, p.data + 38, 16);
			assert_memory_equal(r.out[0].p.data + 38, p.data + 22, 16);
		}
	}
}

/* Not more than 1000 a second, and 200 at once. */
static void the_router_speaks_only_so_often(void **state)
{
	__u32 answers = 0, refused = 0;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		ipv4(&p, PORT_D, H2, "10.2.0.1", 1, 8);
		icmp4(&p, 8, 0);
		sent(PORT_D, 0);
		answers += r.n;
		refused += r.drop == IPN_DROP_LIMIT;
	}
	assert_int_equal(answers + refused, 3000);
	assert_in_range(answers, 200, 2999);
}

static void arp_is_answered_and_learned_from(void **state)
{
	struct ipn_l3_entry e;
	__u8 mac[6];

	(void)state;
	for (__u32 port = 1; port < L3_PORTS; port++) {
		char host[32], router[32];

		snprintf(host, sizeof(host), "10.%u.0.2", port);
		snprintf(router, sizeof(router), "10.%u.0.1", port);
		assert_false(entry_get(port, host, &e));
		arp(&p, port, 1, host, router);
		sent(port, 0);
		assert_int_equal(r.n, 1);
		assert_int_equal(r.out[0].port, port);
		assert_int_equal(get16(r.out[0].p.data + 20), 2);
		assert_memory_equal(r.out[0].p.data + 22, router_mac[port], 6);
		assert_memory_equal(r.out[0].p.data + 28, p.data + 38, 4);
		assert_memory_equal(r.out[0].p.data + 32, p.data + 22, 10);
		host_mac(port, mac);
		assert_true(entry_get(port, host, &e));
		assert_int_equal(e.state, IPN_L3_REACHABLE);
		assert_memory_equal(e.mac, mac, 6);
	}
	arp(&p, PORT_D, 1, H2, "10.2.0.9"); /* for another host there */
	sent(PORT_D, 0);
	assert_int_equal(r.n, 0);
	arp(&p, PORT_D, 1, H3, "10.2.0.1"); /* of another port's subnet */
	sent(PORT_D, 0);
	dropped_expect("ARP of another subnet", IPN_DROP_WRONG_PORT);
	arp(&p, PORT_D, 1, "10.2.0.1", "10.2.0.1"); /* says that it is the router */
	sent(PORT_D, 0);
	dropped_expect("ARP for the router's own address", IPN_DROP_CLAIM);
	arp(&p, PORT_D, 2, "10.2.0.50", "10.2.0.1"); /* nobody asked */
	sent(PORT_D, 0);
	assert_false(entry_get(PORT_D, "10.2.0.50", &e));
	p.data[14 + 5] = 5; /* a lie about its addresses */
	sent(PORT_D, 0);
	dropped_expect("ARP that lies", IPN_DROP_HEADER);
}

static void neighbour_discovery_is_answered_and_learned_from(void **state)
{
	struct ipn_l3_entry e;

	(void)state;
	for (__u32 port = 1; port < L3_PORTS; port++) {
		char host[32], router[32];
		const struct packet *out = &r.out[0].p;

		snprintf(host, sizeof(host), "fd00:%u::2", port);
		snprintf(router, sizeof(router), "fd00:%u::1", port);
		nd(&p, port, 135, host, "ff02::1:ff00:1", router);
		sent(port, 0);
		assert_int_equal(r.n, 1);
		assert_int_equal(r.out[0].port, port);
		assert_int_equal(out->data[54], 136);
		assert_int_equal(out->data[14 + 7], 255);
		assert_int_equal(inet_sum(out->data + 54, 32, pseudo6(out->data + 14, 32, 58)), 0);
		assert_memory_equal(out->data + 62, p.data + 62, 16);
		assert_memory_equal(out->data + 80, router_mac[port], 6);
		assert_memory_equal(out->data + 38, p.data + 22, 16);
		assert_true(entry_get(port, host, &e));
		assert_int_equal(e.state, IPN_L3_REACHABLE);
		nd(&p, port, 135, "::", "ff02::1:ff00:1", router); /* is the address in use? */
		p.len -= 8;
		put16(p.data + 14 + 4, 24);
		icmp6(&p, 135, 0);
		sent(port, 0);
		assert_int_equal(r.n, 1);
		assert_int_equal(out->data[14 + 24], 0xff);
	}
	nd(&p, PORT_D, 135, S2, "ff02::1:ff00:1", "fd00:2::1");
	p.data[14 + 7] = 254; /* came from behind a router */
	sent(PORT_D, 0);
	dropped_expect("a solicitation from afar", IPN_DROP_HEADER);
	nd(&p, PORT_D, 135, S2, "ff02::1:ff00:1", "fd00:2::1");
	p.data[56] ^= 1;
	sent(PORT_D, 0);
	dropped_expect("a solicitation with a wrong checksum", IPN_DROP_HEADER);
	nd(&p, PORT_D, 135, S2, "ff02::1:ff00:1", "fd00:2::1");
	p.data[54 + 25] = 0;
	icmp6(&p, 135, 0);
	sent(PORT_D, 0);
	dropped_expect("an option without a length", IPN_DROP_HEADER);
	nd(&p, PORT_D, 136, "fd00:2::1", "ff02::1", "fd00:2::1");
	sent(PORT_D, 0);
	dropped_expect("an advertisement of the router's own address", IPN_DROP_CLAIM);
}

/* At tc: the first three wait and go when the answer comes, in order; the fourth is dropped. */
static void packets_wait_at(__u32 port)
{
	char host[32], router[32];
	__u8 last[4] = { 10, (__u8)port, 0 };
	struct packet first[3];
	struct ipn_l3_entry e;

	snprintf(host, sizeof(host), "10.%u.0.2", port);
	snprintf(router, sizeof(router), "10.%u.0.1", port);
	for (__u32 i = 0; i < 4; i++) {
		ipv4(&p, PORT_D, H2, host, 17, 100 + i);
		if (i < 3)
			first[i] = p;
		sent(PORT_D, 0);
		if (i == 3)
			dropped_expect("the fourth", IPN_DROP_HELD);
		assert_int_equal(r.n, i == 0); /* asks once */
		if (!i) {
			assert_int_equal(r.out[0].port, port);
			assert_int_equal(get16(r.out[0].p.data + 12), 0x0806);
			assert_int_equal(get16(r.out[0].p.data + 20), 1);
			assert_int_equal(r.out[0].p.data[0], 0xff);
			last[3] = 2;
			assert_memory_equal(r.out[0].p.data + 38, last, 4);
			last[3] = 1;
			assert_memory_equal(r.out[0].p.data + 28, last, 4);
		}
	}
	assert_true(entry_get(port, host, &e));
	assert_int_equal(e.state, IPN_L3_INCOMPLETE);
	arp(&p, port, 2, host, router);
	sent(port, 0);
	assert_int_equal(r.n, 3);
	for (int i = 0; i < 3; i++) {
		struct result one = r;

		one.out[0] = r.out[i];
		one.n = 1;
		r = one;
		p = first[i];
		r.drop = -1;
		forwarded_expect(port);
		r = one;
		if (i < 2) {
			r.n = 3;
			arp(&p, port, 2, host, router);
		}
	}
}

static void packets_wait_for_an_answer(void **state)
{
	(void)state;
	packets_wait_at(PORT_E);
	packets_wait_at(PORT_K);
}

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (__u64)ts.tv_sec * SEC + (__u64)ts.tv_nsec;
}

/* Time passes by writing it into the entry. */
static void an_old_neighbour_is_asked_and_one_that_is_silent_forgotten(void **state)
{
	struct ipn_l3_entry e;
	__u8 mac[6];

	(void)state;
	hosts_speak();
	host_mac(PORT_E, mac);
	for (int i = 0; i < 4; i++) {
		assert_true(entry_get(PORT_E, H3, &e));
		e.confirmed = now_ns() - 40 * SEC;
		e.asked = now_ns() - 2 * SEC;
		entry_set(PORT_E, H3, &e);
		ipv4(&p, PORT_D, H2, H3, 17, 100);
		sent(PORT_D, 0);
		if (i < 3) { /* goes there, and he is asked, by unicast */
			assert_int_equal(r.n, 2);
			assert_memory_equal(r.out[0].p.data, mac, 6);
			assert_int_equal(r.out[0].p.len, p.len);
			assert_int_equal(get16(r.out[1].p.data + 12), 0x0806);
			assert_memory_equal(r.out[1].p.data, mac, 6);
		} else { /* now all are asked */
			assert_int_equal(r.n, 1);
			assert_int_equal(r.out[0].p.data[0], 0xff);
		}
	}
	for (int i = 0; i < 4; i++) {
		assert_true(entry_get(PORT_E, H3, &e));
		e.asked = now_ns() - 2 * SEC;
		entry_set(PORT_E, H3, &e);
		ipv4(&p, PORT_D, H2, H3, 17, 100);
		sent(PORT_D, 0);
	}
	assert_true(entry_get(PORT_E, H3, &e));
	assert_int_equal(e.state, IPN_L3_FAILED);
	assert_int_equal(e.nheld, 0);
	assert_int_equal(r.n, 1); /* host unreachable, to the sender */
	assert_int_equal(r.out[0].port, PORT_D);
	assert_int_equal(r.out[0].p.data[34], 3);
	assert_int_equal(r.out[0].p.data[35], 1);
	e.asked = now_ns() - 4 * SEC; /* after a while it is tried again */
	entry_set(PORT_E, H3, &e);
	sent(PORT_D, 0);
	assert_true(entry_get(PORT_E, H3, &e));
	assert_int_equal(e.state, IPN_L3_INCOMPLETE);
}

static void who_has_an_address_keeps_it(void **state)
{
	static const __u8 thief[6] = { 2, 0, 0, 0, 0x66, 6 };
	struct ipn_l3_entry e;
	__u8 mac[6];

	(void)state;
	hosts_speak();
	host_mac(PORT_D, mac);
	arp(&p, PORT_D, 1, H2, "10.2.0.1");
	memcpy(p.data + 6, thief, 6);
	memcpy(p.data + 22, thief, 6);
	sent(PORT_D, 0);
	dropped_expect("a second owner", IPN_DROP_CLAIM);
	assert_true(entry_get(PORT_D, H2, &e));
	assert_memory_equal(e.mac, mac, 6);
	e.confirmed = now_ns() - 31 * SEC; /* silent for long: whoever comes now has it */
	entry_set(PORT_D, H2, &e);
	sent(PORT_D, 0);
	assert_true(entry_get(PORT_D, H2, &e));
	assert_memory_equal(e.mac, thief, 6);
	/* another holder of the port */
	e.gen--;
	entry_set(PORT_D, H2, &e);
	ipv4(&p, PORT_E, H3, H2, 17, 100);
	sent(PORT_E, 0);
	assert_true(entry_get(PORT_D, H2, &e));
	assert_int_equal(e.state, IPN_L3_INCOMPLETE);
}

static void the_longest_prefix_wins(void **state)
{
	(void)state;
	hosts_speak();
	route_add("0.0.0.0", 0, "10.3.0.2");
	route_add("192.0.0.0", 8, "10.1.0.2");
	route_add("192.0.2.0", 24, "10.4.0.2");
	route_add("192.0.2.7", 32, "10.3.0.2");
	route_add("::", 0, "fd00:3::2");
	route_add("2001:db8::", 32, "fd00:4::2");
	ipv4(&p, PORT_D, H2, "8.8.8.8", 17, 8);
	sent(PORT_D, 0);
	forwarded_expect(PORT_E);
	ipv4(&p, PORT_D, H2, "192.1.1.1", 17, 8);
	sent(PORT_D, 0);
	forwarded_expect(PORT_P);
	ipv4(&p, PORT_D, H2, "192.0.2.6", 17, 8);
	sent(PORT_D, 0);
	forwarded_expect(PORT_Q);
	ipv4(&p, PORT_D, H2, "192.0.2.7", 17, 8);
	sent(PORT_D, 0);
	forwarded_expect(PORT_E);
	ipv6(&p, PORT_D, S2, "2001:db8:1::1", 17, 8);
	sent(PORT_D, 0);
	forwarded_expect(PORT_Q);
	ipv6(&p, PORT_D, S2, "2002::1", 17, 8);
	sent(PORT_D, 0);
	forwarded_expect(PORT_E);
}

static void the_mtu_of_a_port_is_told(void **state)
{
	(void)state;
	hosts_speak();
	addr_add("10.3.9.1", 24, PORT_E, 1280);
	ipv4(&p, PORT_D, H2, H3, 17, 1260);
	sent(PORT_D, 0);
	forwarded_expect(PORT_E);
	ipv4(&p, PORT_D, H2, H3, 17, 1261);
	put16(p.data + 14 + 6, 0x4000);
	sum4(&p);
	sent(PORT_D, 0);
	dropped_expect("too big", IPN_DROP_TOO_BIG);
	assert_int_equal(r.n, 1);
	assert_int_equal(get16(r.out[0].p.data + 34), 0x304);
	assert_int_equal(get16(r.out[0].p.data + 40), 1280);
	ipv6(&p, PORT_D, S2, S3, 17, 1241);
	sent(PORT_D, 0);
	dropped_expect("too big, IPv6", IPN_DROP_TOO_BIG);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.out[0].p.data[54], 2);
	assert_int_equal(get16(r.out[0].p.data + 60), 1280);
}

/* What came out are fragments of p, no longer than mtu, which make it up again. */
static void fragments_expect(__u32 to, __u32 mtu)
{
	__u32 field = get16(p.data + 20), all = get16(p.data + 16) - 20, at = 0;

	assert_int_equal(r.drop, -1);
	assert_int_equal(r.n, (all + ((mtu - 20) & ~7U) - 1) / ((mtu - 20) & ~7U));
	for (__u32 i = 0; i < r.n; i++) {
		const struct packet *out = &r.out[i].p;
		const __u8 *ip = out->data + 14;
		__u32 len = get16(ip + 2) - 20, last = i + 1 == r.n;
		__u8 mac[6];

		host_mac(to, mac);
		assert_int_equal(r.out[i].port, to);
		assert_memory_equal(out->data, mac, 6);
		assert_memory_equal(out->data + 6, router_mac[to], 6);
		assert_null(frame_wrong(out));
		assert_int_equal(out->len, len + 34);
		assert_true(len + 20 <= mtu);
		assert_true(last || (len % 8 == 0 && len + 28 > mtu));
		assert_int_equal(get16(ip + 6) & 0x1fff, (field & 0x1fff) + at / 8);
		assert_int_equal(get16(ip + 6) & 0xe000, last ? field & 0x2000 : 0x2000);
		assert_int_equal(ip[8], p.data[22] - 1);
		assert_memory_equal(ip, p.data + 14, 2);      /* version, length, tos */
		assert_memory_equal(ip + 4, p.data + 18, 2);  /* id */
		assert_int_equal(ip[9], p.data[23]);          /* protocol */
		assert_memory_equal(ip + 12, p.data + 26, 8); /* addresses */
		assert_memory_equal(ip + 20, p.data + 34 + at, len);
		at += len;
	}
	assert_int_equal(at, all);
}

static void what_may_be_cut_leaves_in_fragments(void **state)
{
	static const struct {
		__u32 mtu, data, field;
	} cuts[] = {
		{ 1280, 1261, 0 },     { 576, 557, 0 },    { 576, 1400, 0 },
		{ 1001, 1473, 0 },     { 68, 380, 0 },     { 68, 384, 0x2000 },
		{ 576, 1104, 0x2000 }, { 576, 1104, 100 }, { 576, 800, 0x2000 | 100 },
		{ 576, 1480, 0x1000 },
	};
	static const struct {
		__u32 from, to;
		int segmenter;
	} ways[] = { { PORT_D, PORT_E, 0 },
		     { PORT_D, PORT_E, 1 },
		     { PORT_D, PORT_Q, 1 },
		     { PORT_P, PORT_Q, 0 },
		     { PORT_P, PORT_E, 0 } };
	char src[32], dst[32];

	(void)state;
	hosts_speak();
	for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
		addr_add("10.3.9.1", 24, PORT_E, cuts[i].mtu);
		addr_add("10.4.9.1", 24, PORT_Q, cuts[i].mtu);
		for (size_t w = 0; w < ARRAY_SIZE(ways); w++) {
			snprintf(src, sizeof(src), "10.%u.0.2", ways[w].from);
			snprintf(dst, sizeof(dst), "10.%u.0.2", ways[w].to);
			ipv4(&p, ways[w].from, src, dst, 17, cuts[i].data);
			put16(p.data + 20, cuts[i].field);
			put16(p.data + 18, 0x1234);
			sum4(&p);
			sent(ways[w].from, ways[w].segmenter);
			if (ways[w].from == PORT_P && ways[w].to == PORT_E) {
				assert_true(r.up); /* where devices can be reached */
				assert_int_equal(r.n, 0);
			} else {
				fragments_expect(ways[w].to, cuts[i].mtu);
			}
		}
		addr_del("10.3.9.1", 24, PORT_E);
		addr_del("10.4.9.1", 24, PORT_Q);
	}
}

static void with_options_it_is_not_cut(void **state)
{
	(void)state;
	hosts_speak();
	addr_add("10.3.9.1", 24, PORT_E, 68);
	ipv4(&p, PORT_D, H2, H3, 17, 200);
	p.data[14] = 0x46; /* options: the first word of what were data */
	memset(p.data + 34, 1, 4);
	put16(p.data + 24, 0);
	put16(p.data + 24, inet_sum(p.data + 14, 24, 0));
	sent(PORT_D, 1);
	dropped_expect("options", IPN_DROP_TOO_BIG);
	assert_int_equal(r.n, 0);
}

/* Fragments are not held, since one alone is of no use: the next hop is asked for meanwhile. */
static void fragments_do_not_wait(void **state)
{
	struct ipn_l3_entry e;

	(void)state;
	addr_add("10.3.9.1", 24, PORT_E, 576);
	ipv4(&p, PORT_D, H2, H3, 17, 600);
	sent(PORT_D, 1);
	dropped_expect("not held", IPN_DROP_HELD);
	assert_int_equal(r.n, 1);
	assert_int_equal(get16(r.out[0].p.data + 12), 0x0806);
	assert_true(entry_get(PORT_E, H3, &e));
	assert_int_equal(e.nheld, 0);

	hosts_speak();
	assert_true(entry_get(PORT_E, H3, &e));
	e.confirmed -= 31ULL * 1000000000; /* old: used on, and asked whether it is so */
	e.asked = 0;
	entry_set(PORT_E, H3, &e);
	ipv4(&p, PORT_D, H2, H3, 17, 600);
	sent(PORT_D, 1);
	assert_int_equal(r.drop, -1);
	assert_int_equal(r.n, 3);
	assert_int_equal(get16(r.out[0].p.data + 12), 0x0800);
	assert_int_equal(get16(r.out[1].p.data + 12), 0x0800);
	assert_int_equal(get16(r.out[2].p.data + 12), 0x0806);
}

/* For a device that has to be asked first, a process's message is looked at again at tc. */
static void a_process_goes_to_tc_where_it_must(void **state)
{
	(void)state;
	ipv4(&p, PORT_P, "10.1.0.2", H3, 17, 100);
	sent(PORT_P, 0);
	assert_int_equal(r.n, 0);
	assert_true(r.up);
	route_by(WAY_TAP, PORT_P, &p, &r); /* there he is asked, and it waits */
	assert_int_equal(r.n, 1);
	assert_int_equal(r.out[0].port, PORT_E);
	assert_int_equal(get16(r.out[0].p.data + 12), 0x0806);
	ipv4(&p, PORT_P, "10.1.0.2", "10.5.0.2", 17, 100); /* behind a sock port: the same */
	sent(PORT_P, 0);
	assert_int_equal(r.n, 0);
	assert_true(r.up);
	route_by(WAY_TAP, PORT_P, &p, &r);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.out[0].port, PORT_K);
	assert_int_equal(get16(r.out[0].p.data + 12), 0x0806);
	ipv4(&p, PORT_P, "10.1.0.2", "10.4.0.2", 17, 100); /* a process can be asked from here */
	sent(PORT_P, 0);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.out[0].port, PORT_Q);
	assert_int_equal(get16(r.out[0].p.data + 12), 0x0806);
}

/*
 * The road that is known ends with what it was made of: a route that is taken away, one that is
 * longer, another neighbour.
 */
static void a_flow_ends_with_what_it_was_made_of(void **state)
{
	struct ipn_l3_route gone = { .to = prefix_of("20.0.0.0", 8),
				     .via = prefix_of("10.3.0.2", 32),
				     .port = IPN_L3_PORT_ANY };
	struct ipn_l3_entry e;

	(void)state;
	hosts_speak();
	route_add("20.0.0.0", 8, "10.3.0.2");
	for (int i = 0; i < 3; i++) {
		ipv4(&p, PORT_D, "10.2.0.2", "20.1.1.1", 17, 100);
		sent(PORT_D, 0);
		forwarded_expect(PORT_E);
	}
	option(IPN_L3_ROUTE_DEL, &gone, sizeof(gone));
	sent(PORT_D, 0);
	dropped_expect("no route any more", IPN_DROP_NO_ROUTE);

	route_add("20.0.0.0", 8, "10.3.0.2");
	for (int i = 0; i < 2; i++) {
		sent(PORT_D, 0);
		forwarded_expect(PORT_E);
	}
	route_add("20.1.0.0", 16, "10.1.0.2");
	sent(PORT_D, 0);
	forwarded_expect(PORT_P);
	sent(PORT_D, 0);
	forwarded_expect(PORT_P);

	/* the one at 10.1.0.2 is silent for long; another takes the address over */
	assert_true(entry_get(PORT_P, "10.1.0.2", &e));
	e.confirmed -= 40ULL * 1000000000;
	entry_set(PORT_P, "10.1.0.2", &e);
	arp(&p, PORT_P, 1, "10.1.0.2", "10.1.0.1");
	p.data[6 + 5] ^= 0x40;
	p.data[22 + 5] ^= 0x40;
	sent(PORT_P, 0);
	ipv4(&p, PORT_D, "10.2.0.2", "20.1.1.1", 17, 100);
	sent(PORT_D, 0);
	assert_int_equal(r.n, 1);
	assert_int_equal(r.out[0].port, PORT_P);
	host_mac(PORT_P, e.mac);
	assert_int_equal(r.out[0].p.data[5], e.mac[5] ^ 0x40);
}

static const struct CMUnitTest tests[] = {
#define L3_TEST(name) cmocka_unit_test_setup_teardown(name, router_make, router_end)
	L3_TEST(packets_are_forwarded_between_all_kinds),
	L3_TEST(the_checksum_is_right_for_every_packet),
	L3_TEST(what_is_wrong_is_dropped_by_name),
	L3_TEST(the_router_answers_echo),
	L3_TEST(the_router_speaks_only_so_often),
	L3_TEST(arp_is_answered_and_learned_from),
	L3_TEST(neighbour_discovery_is_answered_and_learned_from),
	L3_TEST(packets_wait_for_an_answer),
	L3_TEST(an_old_neighbour_is_asked_and_one_that_is_silent_forgotten),
	L3_TEST(who_has_an_address_keeps_it),
	L3_TEST(the_longest_prefix_wins),
	L3_TEST(a_flow_ends_with_what_it_was_made_of),
	L3_TEST(the_mtu_of_a_port_is_told),
	L3_TEST(what_may_be_cut_leaves_in_fragments),
	L3_TEST(with_options_it_is_not_cut),
	L3_TEST(fragments_do_not_wait),
	L3_TEST(a_process_goes_to_tc_where_it_must),
};

FABRIC_MAIN(tests)
