/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Cables: what goes into one, what comes out of one, and how often. The same table over both hooks.
 *
 * The end of a cable is a tap here: what is sent into the cable can be read, and what comes out of
 * it is given to its program with the mark that it has on a cable.
 */
#include "ways.h"

/* As in bpf/core/cable.h, which programs only can include. */
#define MARK ((__u32)IPN_CABLE_MARK)
#define KEPT 0x10u
#define SEGMENTER_MARK(ifindex, hops) (0x80000000u | (hops) << 27 | (ifindex))

static struct t_net *net;
static struct t_port *process, *other, *cable, *second, *device;
static __u8 message[FRAME_MAX], frame[FRAME_MAX], got[FRAME_MAX];
static struct ran r;

/* What the manager counts. */
static void counts_store(void)
{
	net->live->cables = net->live->devices = 0;
	for (__u32 i = 0; i < fab.nports; i++) {
		net->live->cables += fab.ports[i].in.kind == IPN_KIND_CABLE;
		net->live->devices += port_is_device(&fab.ports[i]) &&
				      fab.ports[i].in.kind != IPN_KIND_CABLE;
	}
}

static void world(__u32 policy, bool with_device)
{
	net = net_make(policy, 1514, 20);
	process = port_make(net, 4, IPN_KIND_PROC);
	other = port_make(net, 9, IPN_KIND_PROC);
	cable = port_make(net, 2, IPN_KIND_CABLE);
	second = port_make(net, 7, IPN_KIND_CABLE);
	device = with_device ? port_make(net, 5, IPN_KIND_TAP) : NULL;
	counts_store();
	fill(message, sizeof(message), 7);
	put_bytes(message, "\x02\x49\x50\x4e\x00\x01\x02\x49\x50\x4e\x00\x02\x88\xb6", 14);
}

/* Frames of the fabric's own: the message behind its private header, as XDP leaves it. */
static __u32 raw_make(__u8 kind, __u32 arg, __u32 len)
{
	struct ipn_tx_hdr hdr = {
		.magic = { 'I', 'P', 'N', 1 },
		.op = IPN_TX_UP,
		.count = kind,
		.proto = { IPN_TX_PROTO >> 8, IPN_TX_PROTO & 0xff },
	};

	memcpy(hdr.ticket, &arg, sizeof(arg));
	memcpy(frame, &hdr, sizeof(hdr));
	memcpy(frame + sizeof(hdr), message, len);
	return sizeof(hdr) + len;
}

static void sent_expect(struct t_port *p, const void *bytes, __u32 len, __u32 counted)
{
	assert_int_equal(tap_read(p, got, sizeof(got)), len);
	assert_memory_equal(got, bytes, len);
	p->want.out_packets++;
	p->want.out_bytes += counted;
}

/* A frame comes out of a cable after so many hops. */
static void comes(__u32 hops, __u32 kept, __u32 len)
{
	struct __sk_buff skb = { .ifindex = cable->in.ifindex, .mark = MARK | kept | hops };
	__u32 frame_len = kept ? raw_make(IPN_TO_FLOOD, 0, len) : len;

	if (!kept)
		memcpy(frame, message, len);
	assert_ok(tc_run(fab.b->prog_tc_cable, &skb, frame, frame_len, &r));
}

static void in_expect(__u32 len)
{
	cable->want.in_packets++;
	cable->want.in_bytes += len;
	log_expect(&net->log, cable->in.number, message, len);
}

/* --- into a cable -------------------------------------------------------------------------- */

static void a_message_without_interfaces_goes_up_as_it_is(void **state)
{
	static const __u32 lens[] = { 0, 1, 13, 14, 17, 60, 1514 };

	(void)state;
	world(IPN_POLICY_BROADCAST, false);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		__u32 len = lens[i], frame_len = frame_of(frame, IPN_TX_DATA, message, len);

		print_message("  %u bytes\n", len);
		assert_ok(xdp_run(fab.b->prog_xdp, process->in.ifindex, frame, frame_len, 0, &r));
		process->want.in_packets++;
		process->want.in_bytes += len;
		log_expect(&net->log, process->in.number, message, len);
		assert_int_equal(r.ret, XDP_PASS);
		raw_make(IPN_TO_FLOOD, 0, len);
		assert_int_equal(r.meta, 0);
		assert_int_equal(r.len, frame_len);
		assert_memory_equal(r.data, frame, frame_len);
		quiet_expect();

		struct __sk_buff skb = { .ifindex = process->in.ifindex, .mark = 77 };

		assert_ok(tc_run(fab.b->prog_tc_tap, &skb, frame, frame_len, &r));
		assert_int_equal(r.ret, TC_ACT_SHOT);
		assert_int_equal(r.mark, 77); /* that of others */
		sent_expect(cable, frame, frame_len, len);
		sent_expect(second, frame, frame_len, len);
		quiet_expect();
	}
}

static void with_interfaces_a_frame_goes_up_as_one_and_the_rest_to_cables_only(void **state)
{
	static const struct {
		const char *name;
		const char *proto;
		__u32 len;
		bool frame;
	} rows[] = {
		{ "a frame", "\x88\xb6", 60, true },
		{ "the shortest", "\x88\xb6", 14, true },
		{ "too short", "\x88\xb6", 13, false },
		{ "nothing", "\x88\xb6", 0, false },
		{ "tagged", "\x81\x00", 20, true },
		{ "tagged, cut off", "\x81\x00", 19, false },
		{ "tagged by the provider, cut off", "\x88\xa8", 14, false },
	};

	(void)state;
	world(IPN_POLICY_BROADCAST, true);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		__u32 len = rows[i].len, frame_len;

		print_message("  %s\n", rows[i].name);
		put_bytes(message + 12, rows[i].proto, 2);
		frame_len = frame_of(frame, IPN_TX_DATA, message, len);
		assert_ok(xdp_run(fab.b->prog_xdp, process->in.ifindex, frame, frame_len, 0, &r));
		process->want.in_packets++;
		process->want.in_bytes += len;
		log_expect(&net->log, process->in.number, message, len);
		if (rows[i].frame) {
			verdict_expect(&r, process, IPN_TO_FLOOD, 0, message, len);
		} else {
			raw_make(IPN_TO_FLOOD, 0, len);
			process->want.drop[IPN_DROP_RUNT]++;
			assert_int_equal(r.ret, XDP_PASS);
			assert_int_equal(r.len, frame_len);
			assert_memory_equal(r.data, frame, frame_len);

			struct __sk_buff skb = { .ifindex = process->in.ifindex };

			assert_ok(tc_run(fab.b->prog_tc_tap, &skb, frame, frame_len, &r));
			sent_expect(cable, frame, frame_len, len);
			sent_expect(second, frame, frame_len, len);
		}
		quiet_expect();
	}
}

static void a_process_cannot_forge_a_verdict(void **state)
{
	(void)state;
	world(IPN_POLICY_BROADCAST, false);
	assert_int_equal(control(process, IPN_TX_UP), XDP_DROP);
	process->want.drop[IPN_DROP_BAD_FRAME]++;
	quiet_expect();
}

static void a_frame_of_a_device_goes_to_cables_with_one_hop(void **state)
{
	(void)state;
	world(IPN_POLICY_BROADCAST, true);
	struct __sk_buff skb = { .ifindex = device->in.ifindex, .mark = 77 };

	assert_ok(tc_run(fab.b->prog_tc, &skb, message, 60, &r));
	assert_int_equal(r.mark, 77);
	device->want.in_packets++;
	device->want.in_bytes += 60;
	log_expect(&net->log, device->in.number, message, 60);
	sent_expect(cable, message, 60, 60);
	sent_expect(second, message, 60, 60);
	quiet_expect();
}

static void a_known_address_behind_a_cable(void **state)
{
	struct ipn_fdb_key key = { 0 };
	struct ipn_fdb e = { 0 };
	struct timespec ts;
	__u32 frame_len;

	(void)state;
	world(IPN_POLICY_SWITCH, true);
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	key.net = net->id;
	memcpy(key.mac, message, 6);
	e.port = cable->in.number;
	e.gen = cable->in.gen;
	e.seen = (__u64)ts.tv_sec * SEC + (__u64)ts.tv_nsec;
	fdb_set(&key, &e);

	struct __sk_buff skb = { .ifindex = device->in.ifindex };

	assert_ok(tc_run(fab.b->prog_tc, &skb, message, 60, &r));
	assert_int_equal(r.ret, TC_ACT_REDIRECT);
	assert_int_equal(r.mark, MARK | 1);
	device->want.in_packets++;
	device->want.in_bytes += 60;
	cable->want.out_packets++;
	cable->want.out_bytes += 60;
	quiet_expect();

	message[11] = 3; /* another source: the first one is where it is */
	frame_len = frame_of(frame, IPN_TX_DATA, message, 60);
	assert_ok(xdp_run(fab.b->prog_xdp, process->in.ifindex, frame, frame_len, 0, &r));
	process->want.in_packets++;
	process->want.in_bytes += 60;
	raw_make(IPN_TO_PORT, cable->in.number, 60);
	assert_int_equal(r.ret, XDP_PASS);
	assert_memory_equal(r.data, frame, frame_len);
	skb.ifindex = process->in.ifindex;
	assert_ok(tc_run(fab.b->prog_tc_tap, &skb, frame, frame_len, &r));
	assert_int_equal(r.ret, TC_ACT_REDIRECT);
	assert_int_equal(r.mark, MARK | KEPT | 1);
	cable->want.out_packets++;
	cable->want.out_bytes += 60;
	quiet_expect();
}

/* --- out of a cable ------------------------------------------------------------------------ */

static void what_comes_goes_to_all_but_its_cable_with_one_hop_more(void **state)
{
	static const struct {
		__u32 hops, kept, len;
	} rows[] = { { 1, 0, 60 },    { 1, KEPT, 60 }, { 1, KEPT, 0 },   { 1, KEPT, 13 },
		     { 3, KEPT, 14 }, { 7, 0, 1514 },  { 7, KEPT, 1514 } };

	(void)state;
	world(IPN_POLICY_BROADCAST, false);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		print_message("  %u hops, %u bytes\n", rows[i].hops, rows[i].len);
		comes(rows[i].hops, rows[i].kept, rows[i].len);
		assert_int_equal(r.ret, TC_ACT_SHOT);
		in_expect(rows[i].len);
		sent_expect(second, frame, rows[i].len + (rows[i].kept ? IPN_TX_HDR : 0),
			    rows[i].len);
		quiet_expect();
	}
}

static void after_the_last_hop_it_goes_to_no_other_cable(void **state)
{
	(void)state;
	world(IPN_POLICY_BROADCAST, true);
	for (__u32 kept = 0; kept <= KEPT; kept += KEPT) {
		comes(IPN_HOPS_MAX, kept, 60);
		in_expect(60);
		sent_expect(device, message, 60, 60);
		cable->want.drop[IPN_DROP_HOPS]++;
		quiet_expect();
	}
}

static void what_has_no_mark_of_a_cable_is_none_of_ours(void **state)
{
	static const __u32 marks[] = { 0,         1,           77,
				       MARK,      MARK | KEPT, MARK | (IPN_HOPS_MAX + 1),
				       MARK | 15, 0x49420001 };

	(void)state;
	world(IPN_POLICY_BROADCAST, false);
	for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
		struct __sk_buff skb = { .ifindex = cable->in.ifindex, .mark = marks[i] };

		print_message("  mark 0x%x\n", marks[i]);
		assert_ok(tc_run(fab.b->prog_tc_cable, &skb, message, 60, &r));
		assert_int_equal(r.ret, TC_ACT_SHOT);
		cable->want.drop[IPN_DROP_BAD_FRAME]++;
		quiet_expect();
	}
}

static void a_raw_message_becomes_a_frame_for_interfaces(void **state)
{
	static const struct {
		const char *name;
		const char *proto;
		__u32 len;
		bool frame;
	} rows[] = {
		{ "a frame", "\x08\x00", 60, true },
		{ "the longest", "\x08\x00", 1514, true },
		{ "the shortest", "\x08\x00", 14, true },
		{ "too short", "\x08\x00", 13, false },
		{ "nothing", "\x08\x00", 0, false },
		{ "tagged", "\x81\x00", 20, true },
		{ "tagged, cut off", "\x81\x00", 19, false },
	};

	(void)state;
	world(IPN_POLICY_BROADCAST, true);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		__u32 len = rows[i].len;

		print_message("  %s\n", rows[i].name);
		put_bytes(message + 12, rows[i].proto, 2);
		comes(2, KEPT, len);
		in_expect(len);
		if (rows[i].frame) {
			sent_expect(device, message, len, len);
			sent_expect(second, message, len, len);
		} else {
			sent_expect(second, frame, IPN_TX_HDR + len, len);
		}
		quiet_expect();
	}
}

static void the_mtu_counts_without_the_private_header(void **state)
{
	(void)state;
	world(IPN_POLICY_BROADCAST, false);
	cable->in.mtu = 100;
	port_store(cable);
	comes(1, KEPT, 100);
	in_expect(100);
	sent_expect(second, frame, 114, 100);
	comes(1, KEPT, 101);
	cable->want.drop[IPN_DROP_MTU]++;
	comes(1, 0, 101);
	cable->want.drop[IPN_DROP_MTU]++;
	quiet_expect();
}

/* A policy that sees frames only when they are whole sends after the segmenter: hops come along. */
static void hops_survive_the_segmenter(void **state)
{
	struct __sk_buff skb = { .ifindex = 1 };

	(void)state;
	world(IPN_POLICY_BROADCAST, false);
	skb.mark = SEGMENTER_MARK(cable->in.ifindex, 5u);
	assert_ok(tc_run(fab.b->prog_tc_segmenter, &skb, message, 60, &r));
	log_expect(&net->log, cable->in.number, message, 60);
	quiet_expect(); /* for processes only */
}

static void an_address_just_seen_is_not_taken_over_by_a_cable(void **state)
{
	struct ipn_fdb_key key = { 0 };
	struct ipn_fdb e;

	(void)state;
	world(IPN_POLICY_SWITCH, true);
	memset(message, 0xff, 6);
	key.net = net->id;
	memcpy(key.mac, message + 6, 6);

	struct __sk_buff skb = { .ifindex = device->in.ifindex };

	assert_ok(tc_run(fab.b->prog_tc, &skb, message, 60, &r));
	device->want.in_packets++;
	device->want.in_bytes += 60;
	log_expect(&net->log, device->in.number, message, 60);
	sent_expect(cable, message, 60, 60);
	sent_expect(second, message, 60, 60);
	assert_ok(bpf_map_lookup_elem(fab.b->fd_fdb, &key, &e));
	assert_int_equal(e.port, device->in.number);

	comes(3, 0, 60); /* back round a ring */
	in_expect(60);
	sent_expect(device, message, 60, 60);
	sent_expect(second, message, 60, 60);
	assert_ok(bpf_map_lookup_elem(fab.b->fd_fdb, &key, &e));
	assert_int_equal(e.port, device->in.number);

	e.seen -= 3 * SEC; /* it has moved to behind the cable */
	fdb_set(&key, &e);
	comes(1, 0, 60);
	in_expect(60);
	sent_expect(device, message, 60, 60);
	sent_expect(second, message, 60, 60);
	assert_ok(bpf_map_lookup_elem(fab.b->fd_fdb, &key, &e));
	assert_int_equal(e.port, cable->in.number);
	quiet_expect();
}

static const struct CMUnitTest tests[] = {
	TEST(a_message_without_interfaces_goes_up_as_it_is),
	TEST(with_interfaces_a_frame_goes_up_as_one_and_the_rest_to_cables_only),
	TEST(a_process_cannot_forge_a_verdict),
	TEST(a_frame_of_a_device_goes_to_cables_with_one_hop),
	TEST(a_known_address_behind_a_cable),
	TEST(what_comes_goes_to_all_but_its_cable_with_one_hop_more),
	TEST(after_the_last_hop_it_goes_to_no_other_cable),
	TEST(what_has_no_mark_of_a_cable_is_none_of_ours),
	TEST(a_raw_message_becomes_a_frame_for_interfaces),
	TEST(the_mtu_counts_without_the_private_header),
	TEST(hops_survive_the_segmenter),
	TEST(an_address_just_seen_is_not_taken_over_by_a_cable),
};

FABRIC_MAIN(tests)
