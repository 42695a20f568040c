/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The layer 3 policy under packets that lie: IPv4, IPv6, ARP, neighbour discovery, ICMP, extension
 * headers and fragments, cut off anywhere, with any byte changed, over every hook:
 *
 *	xdp      a process writes it           tap   a process's, at the tc program of its tap
 *	tc       a device sends it             tag   the same with a VLAN tag apart
 *	segmenter  it comes out of that   sock  a sock port's program sends it: punt, segmenter
 *	dev      an AF_XDP program sends it
 *	live     really written to the taps of processes and devices, where programs are attached:
 *		 so also what BPF_PROG_TEST_RUN refuses to make for tc
 *
 * Of each eight packets seven take the hook; the eighth comes by any other, or nobody would answer.
 *
 *	L3_FUZZ=N     packets over each hook (default 200 000)
 *	L3_SEED=N     the first of the random numbers
 *	L3_HOOK=NAME  this hook alone
 *
 * The long run, as root, a minute or two for each hook:
 *
 *	for h in xdp tap tc tag segmenter sock dev live; do
 *		L3_FUZZ=10000000 L3_HOOK=$h L3_SEED=1 build/tests/l3fuzz_test
 *	done
 *
 * A failure tells the number of the packet, and the same seed and hook lead there again, but for
 * what hangs on time: how often the router speaks.
 *
 * After each packet: what came out left by a port that its destination is behind, or goes back to
 * where the packet came from; it is right in itself, and what the router made has right checksums.
 * In between and at the end: no frame is held for ever, no slot is taken for ever, who was asked
 * for in vain is known once he speaks, and packets that are right go through as if nothing had
 * been.
 * And at the end, every kind of packet was among them: whole, cut off and with lengths that lie.
 */
#include "l3.h"

static const char *const hosts4[] = {
	"10.1.0.2",  "10.2.0.2",        "10.3.0.2",  "10.4.0.2",  "10.1.0.1",
	"10.2.0.1",  "10.5.0.2",        "10.3.0.77", "10.4.0.88", "10.2.0.255",
	"10.3.0.0",  "127.0.0.1",       "0.0.0.0",   "224.0.0.5", "8.8.8.8",
	"192.0.2.1", "255.255.255.255", "240.1.1.1", "10.1.0.66",
};
static const char *const hosts6[] = {
	"fd00:1::2",      "fd00:2::2", "fd00:3::2",   "fd00:4::2",
	"fd00:1::1",      "fd00:2::1", "fd00:5::2",   "fd00:3::77",
	"fd00:4::88",     "::",        "::1",         "ff02::1",
	"ff02::1:ff00:1", "fe80::2",   "2001:db8::1", "::ffff:10.1.0.2",
	"fd00:2::",       "fd00:9::1", "ff05::2",
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
		ipv4(p, port, rnd(8) ? src : any4(port), any4(1 + rnd(L3_PORTS - 1)),
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
		ipv6(p, port, rnd(8) ? src : any6(port), any6(1 + rnd(L3_PORTS - 1)),
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

/* --- what was made: by a look at the bytes that shares nothing with what made them ------------ */

enum kind {
	K_RUNT,
	K_ARP,
	K_IP4,
	K_ICMP4,
	K_FRAG4,
	K_IP6,
	K_ICMP6,
	K_ND,
	K_CHAIN,
	K_FRAG6,
	K_OTHER
};
enum truth { T_FINE, T_CUT, T_LIES };
#define KINDS (K_OTHER + 1)

static const char *const kind_names[KINDS] = {
	"runt",
	"ARP",
	"IPv4",
	"ICMP",
	"IPv4 fragment",
	"IPv6",
	"ICMPv6",
	"ND",
	"extension headers",
	"IPv6 fragment",
	"no IP",
};
static __u64 made[KINDS][T_LIES + 1];

static enum truth truth_of(__u32 claims, __u32 is, bool lies)
{
	return lies ? T_LIES : claims > is ? T_CUT : claims < is ? T_LIES : T_FINE;
}

static enum kind kind4(const __u8 *ip, __u32 len, enum truth *truth)
{
	__u32 hlen = (ip[0] & 15) * 4U, total = get16(ip + 2);

	*truth = T_CUT;
	if (len < 20)
		return K_IP4;
	*truth = truth_of(total, len,
			  ip[0] >> 4 != 4 || hlen < 20 || hlen > total ||
				  (hlen <= len && inet_sum(ip, hlen, 0)));
	return get16(ip + 6) & 0x3fff ? K_FRAG4 : ip[9] == 1 ? K_ICMP4 : K_IP4;
}

static bool is_extension(__u8 header)
{
	return header == 0 || header == 43 || header == 44 || header == 51 || header == 60 ||
	       header == 135;
}

static enum kind kind6(const __u8 *ip, __u32 len, enum truth *truth)
{
	__u8 next = ip[6];
	__u32 at = 40, headers = 0;
	bool fragment = false;

	*truth = T_CUT;
	if (len < 40)
		return K_IP6;
	for (; is_extension(next) && at + 8 <= len; headers++) {
		fragment |= next == 44;
		next = ip[at];
		at += 8U + (next == 44 ? 0 : ip[at + 1] * 8U);
	}
	*truth = truth_of(40U + get16(ip + 4), len, ip[0] >> 4 != 6 || (headers && at > len));
	if (fragment)
		return K_FRAG6;
	if (headers)
		return K_CHAIN;
	if (next != 58)
		return K_IP6;
	return len > 40 && ip[40] >= 133 && ip[40] <= 137 ? K_ND : K_ICMP6;
}

static void made_count(const struct packet *p)
{
	enum truth truth = T_FINE;
	enum kind kind = K_OTHER;

	if (p->len < 14) {
		kind = K_RUNT;
	} else if (get16(p->data + 12) == 0x0806) {
		kind = K_ARP;
		truth = truth_of(42, p->len, memcmp(p->data + 14, "\0\1\x08\0\6\4", 6));
	} else if (get16(p->data + 12) == 0x0800) {
		kind = kind4(p->data + 14, p->len - 14, &truth);
	} else if (get16(p->data + 12) == 0x86dd) {
		kind = kind6(p->data + 14, p->len - 14, &truth);
	}
	made[kind][truth]++;
}

/* some: whether there were enough of them for all to be expected. */
static void made_show(bool some)
{
	print_message("  %-18s %10s %10s %10s\n", "", "fine", "cut off", "lying");
	for (int k = 0; k < KINDS; k++) {
		print_message("  %-18s %10llu %10llu %10llu\n", kind_names[k], made[k][T_FINE],
			      made[k][T_CUT], made[k][T_LIES]);
		for (int t = T_FINE; some && k > K_RUNT && k < K_OTHER && t <= T_LIES; t++)
			assert_true(made[k][t]);
	}
	memset(made, 0, sizeof(made));
}

/* --- what must be so ------------------------------------------------------------------------ */

#define SECOND_NET 9 /* of the two ports that lies_do_no_harm adds one to */

/* Is this address behind the port? By the plan, not by the router's tables. */
static bool behind4(const __u8 *addr, __u32 port)
{
	return addr[0] == 10 && addr[1] == port &&
	       (addr[2] == 0 || (addr[2] == SECOND_NET && (port == PORT_E || port == PORT_Q)));
}

static bool behind6(const __u8 *addr, __u32 port)
{
	return addr[0] == 0xfd && !addr[1] && !addr[2] && addr[3] == port;
}

/* An ICMP error is the router's own making when it comes from its address. */
static bool error_is_wrong(const __u8 *ip, __u16 type)
{
	static const __u8 own[12] = { [11] = 1 };
	__u32 len;

	if (type == 0x0800) {
		len = get16(ip + 2) - 20U;
		return ip[0] == 0x45 && ip[9] == 1 && behind4(ip + 12, ip[13]) && ip[15] == 1 &&
		       (ip[20] == 3 || ip[20] == 11) && inet_sum(ip + 20, len, 0);
	}
	len = get16(ip + 4);
	return ip[6] == 58 && behind6(ip + 8, ip[11]) && !memcmp(ip + 12, own, 12) && ip[40] >= 1 &&
	       ip[40] <= 4 && inet_sum(ip + 40, len, pseudo6(ip, len, 58));
}

static void hex_show(const char *what, const struct packet *p)
{
	print_error("%s", what);
	for (__u32 i = 0; i < p->len; i++)
		print_error("%s%02x", i % 32 ? " " : "\n  ", p->data[i]);
	print_error("\n");
}

static void wrong_out(const struct packet *in, __u32 from, const struct came *c, const char *text)
{
	hex_show("came", in);
	hex_show("left", &c->p);
	fail_msg("came by port %u, left by port %u: %s", from, c->port, text);
}

static void out_check(const struct packet *in, __u32 from, const struct came *c)
{
	const __u8 *ip = c->p.data + 14, *dst;
	const char *wrong = frame_wrong(&c->p);
	__u16 type = get16(c->p.data + 12);
	__u32 len;

	if (wrong)
		wrong_out(in, from, c, wrong);
	if (memcmp(c->p.data + 6, router_mac[c->port], 6) != 0)
		wrong_out(in, from, c, "with the address of another port");
	if (type == 0x0806)
		return;
	if (error_is_wrong(ip, type))
		wrong_out(in, from, c, "an ICMP error with a wrong checksum");
	dst = ip + (type == 0x0800 ? 16 : 24);
	if (type == 0x0800 ? behind4(dst, c->port) : behind6(dst, c->port))
		return;
	/* not behind it: only to whom it came from, or a question or an answer about addresses */
	if (type == 0x86dd && ip[7] == 255 && ip[6] == 58 && (dst[0] == 0xff || dst[0] == 0xfe)) {
		len = get16(ip + 4);
		if (inet_sum(ip + 40, len, pseudo6(ip, len, 58)))
			wrong_out(in, from, c, "a wrong checksum in neighbour discovery");
		return;
	}
	if (c->port == from && type == 0x86dd && dst[0] == 0xfe)
		return;
	wrong_out(in, from, c, "what is behind another port");
}

/* Whoever was asked for in vain and speaks now is known, and nothing is held for him any more. */
static void none_is_stuck(int neighs)
{
	static const __u8 mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct ipn_l3_neigh_key key, *last = NULL;
	static struct packet p;
	static struct result r;
	struct ipn_l3_entry e;
	char host[64], router[64];

	for (; !bpf_map_get_next_key(neighs, last, &key); last = &key) {
		if (bpf_map_lookup_elem(neighs, &key, &e) || e.state == IPN_L3_REACHABLE)
			continue;
		if (!memcmp(key.addr, mapped, 12)) {
			inet_ntop(AF_INET, key.addr + 12, host, sizeof(host));
			snprintf(router, sizeof(router), "10.%u.0.1", key.port);
			arp(&p, key.port, 1, host, router);
		} else {
			inet_ntop(AF_INET6, key.addr, host, sizeof(host));
			snprintf(router, sizeof(router), "fd00:%u::1", key.port);
			nd(&p, key.port, 135, host, "ff02::1:ff00:1", router);
		}
		route(key.port, &p, &r, 0);
		assert_ok(bpf_map_lookup_elem(neighs, &key, &e));
		if (e.state != IPN_L3_REACHABLE || e.nheld)
			fail_msg("%s at port %u is stuck: state %u, %llu held", host, key.port,
				 e.state, e.nheld);
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
	bpf_epoch(fab.b, l3_net->id);
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

/* --- the hooks ------------------------------------------------------------------------------ */

#define WAY_LIVE (WAYS + 1)

static const struct hook {
	const char *name;
	enum way way;
	__u32 n, ports[5];
} hooks[] = {
	{ "xdp", WAY_XDP, 2, { PORT_P, PORT_Q } },
	{ "tap", WAY_TAP, 2, { PORT_P, PORT_Q } },
	{ "tc", WAY_TC, 2, { PORT_D, PORT_E } },
	{ "tag", WAY_TAG, 2, { PORT_D, PORT_E } },
	{ "segmenter", WAY_SEGMENTER, 2, { PORT_D, PORT_E } },
	{ "sock", WAY_SK, 1, { PORT_K } },
	{ "dev", WAY_DEV, 1, { PORT_X } },
	{ "live", WAY_LIVE, 5, { PORT_P, PORT_Q, PORT_D, PORT_E, PORT_X } },
};

/* Programs where the manager attaches them. */
static void live_attach(void)
{
	if (!bpf_tcx_works(fab.b, l3_ports[PORT_D]->in.ifindex))
		fab.b->abi.hook = IPN_HOOK_CLSACT;
	for (__u32 port = 1; port < L3_PORTS; port++) {
		struct t_port *p = l3_ports[port];
		bool process = p->in.kind == IPN_KIND_PROC;

		if (p->tap < 0)
			continue;
		if (p->in.kind == IPN_KIND_XSK) {
			assert_ok(bpf_attach_xsk_near(fab.b, p->in.ifindex));
			continue;
		}
		if (process)
			assert_ok(bpf_attach_xdp(fab.b, p->in.ifindex));
		assert_ok(bpf_attach_tc(fab.b, p->in.ifindex,
					process ? fab.b->prog_tc_tap : fab.b->prog_tc));
	}
}

static void live_detach(void)
{
	for (__u32 port = 1; port < L3_PORTS; port++)
		if (l3_ports[port]->tap >= 0)
			bpf_detach(fab.b, l3_ports[port]->in.ifindex);
}

static void live_send(const struct t_port *from, const struct packet *p, struct result *r)
{
	static __u8 frame[FRAME_MAX];
	const void *out = p->data;
	__u32 len = p->len;

	if (from->in.kind == IPN_KIND_PROC) {
		len = frame_of(frame, IPN_TX_DATA, p->data, p->len);
		out = frame;
	}
	r->n = 0;
	r->up = 0;
	assert_int_equal(write(from->tap, out, len), len);
	collect(r);
}

/* A tag in its place; always the same, or the program that takes it out would be loaded anew. */
static void tag_put(struct packet *p)
{
	memmove(p->data + 12 + TAG_LEN, p->data + 12, p->len - 12);
	put_bytes(p->data + 12, "\x81\x00\x60\x21", TAG_LEN);
	p->len += TAG_LEN;
}

/* Can this packet come this way? */
static bool can_come(enum way way, const struct packet *p, __u32 port)
{
	switch ((int)way) {
	case WAY_XDP:
	case WAY_SK:
		return true;
	case WAY_LIVE: /* a tap takes no less */
		return p->len >= ETH_LEN || !port_is_device(l3_ports[port]);
	case WAY_TAG:
		return runs_at_tc(p) && p->len + TAG_LEN <= sizeof(p->data);
	default:
		return runs_at_tc(p);
	}
}

/* One packet over a hook. Could it be sent? */
static bool one(const struct hook *hook, struct result *r)
{
	__u32 port = hook->ports[rnd(hook->n)];
	static struct packet p;

	packet_make(&p, port);
	if (!can_come(hook->way, &p, port))
		return false;
	made_count(&p);
	if (hook->way == WAY_TAG)
		tag_put(&p);
	if (hook->way == WAY_LIVE)
		live_send(l3_ports[port], &p, r);
	else
		route_by(hook->way, port, &p, r);
	for (__u32 k = 0; k < r->n; k++)
		out_check(&p, port, &r->out[k]);
	return true;
}

static void reasons_show(const struct hook *hook, bool some)
{
	struct ipn_stats sum = { 0 }, stats;

	for (__u32 port = 1; port < L3_PORTS; port++) {
		assert_ok(bpf_stats_get(fab.b, l3_ports[port]->in.node, &stats));
		for (int i = 0; i < IPN_DROP_MAX; i++)
			sum.drop[i] += stats.drop[i];
	}
	for (int i = 0; i < IPN_DROP_MAX; i++)
		if (sum.drop[i])
			print_message("  reason %d: %llu\n", i, sum.drop[i]);
	/* every reason of the policy that a packet alone can have was there */
	for (int i = IPN_DROP_NOT_IP; some && hook->way != WAY_TAG && i <= IPN_DROP_CLAIM; i++)
		if (i != IPN_DROP_NO_NEIGH)
			assert_true(sum.drop[i]);
}

static const struct hook *chosen;
static __u64 ran;

static void lies_do_no_harm(void **state)
{
	const char *only = getenv("L3_HOOK");
	__u64 n = number_of("L3_FUZZ", 200000), out = 0, up = 0;
	static struct result r;

	chosen = *state;
	if (only && strcmp(only, chosen->name) != 0)
		skip();
	router_make(NULL);
	addr_add("10.3.9.1", 24, PORT_E, 576); /* so that there is something to cut */
	addr_add("10.4.9.1", 24, PORT_Q, 300);
	if (chosen->way == WAY_LIVE)
		live_attach();
	random_begin("L3_SEED", 0x49504e);
	for (ran = 0; ran < n;) {
		if (!rnd(8)) {
			one(&hooks[rnd(ARRAY_SIZE(hooks) - 1)], &r);
			continue;
		}
		if (!one(chosen, &r))
			continue;
		up += (__u64)r.up;
		out += r.n;
		if (++ran % 20000 == 0)
			still_works();
	}
	still_works();
	print_message("%s: %llu packets, %llu came out, %llu for tc\n", chosen->name, ran, out, up);
	if (chosen->way == WAY_TAG) /* all of them are no IP */
		assert_int_equal(out, 0);
	made_show(n >= 100000);
	reasons_show(chosen, n >= 100000);
}

static int done(void **state)
{
	if (!l3_net)
		return 0;
	print_message("  %s: after %llu packets\n", chosen->name, ran);
	if (chosen->way == WAY_LIVE)
		live_detach();
	router_end(NULL);
	l3_net = NULL;
	return 0;
}

#define HOOK_TEST(i)                                                                            \
	{                                                                                       \
		.name = "lies_do_no_harm", .test_func = lies_do_no_harm, .teardown_func = done, \
		.initial_state = (void *)&hooks[i]                                              \
	}
static const struct CMUnitTest tests[] = {
	HOOK_TEST(0), HOOK_TEST(1), HOOK_TEST(2), HOOK_TEST(3),
	HOOK_TEST(4), HOOK_TEST(5), HOOK_TEST(6), HOOK_TEST(7),
};

FABRIC_MAIN(tests)
