/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the entry programs refuse before any policy sees it. */
#include "ways.h"

static __u8 message[FRAME_MAX];

static struct t_port *process, *device, *sock;

/* A process, a device, a sock port, and one more of each, so that there is somebody to receive. */
static int world(void **state)
{
	struct t_net *net = net_make(IPN_POLICY_BROADCAST, 1514, 8);

	process = port_make(net, 6, IPN_KIND_PROC);
	device = port_make(net, 3, IPN_KIND_TAP);
	sock = port_make(net, 4, IPN_KIND_SOCK);
	port_make(net, 5, IPN_KIND_SOCK);
	port_make(net, 0, IPN_KIND_PROC);
	port_make(net, 7, IPN_KIND_VETH);
	fill(message, sizeof(message), 3);
	return 0;
}

static int world_done(void **state)
{
	return fabric_clear(state);
}

static struct t_port *sender(enum way way)
{
	return way_sender(way, process, device, sock);
}

/* --- the private header -------------------------------------------------------------------- */

static const struct {
	const char *name;
	__u8 hdr[5]; /* magic and op */
} bad_headers[] = {
	{ "first byte of the magic", { 'J', 'P', 'N', 1, IPN_TX_DATA } },
	{ "second", { 'I', 'p', 'N', 1, IPN_TX_DATA } },
	{ "third", { 'I', 'P', 0, 1, IPN_TX_DATA } },
	{ "version 0", { 'I', 'P', 'N', 0, IPN_TX_DATA } },
	{ "version 2", { 'I', 'P', 'N', 2, IPN_TX_DATA } },
	{ "bad magic, sleep", { 'I', 'P', 'n', 1, IPN_TX_SLEEP } },
	{ "bad magic, ring", { 0, 0, 0, 0, IPN_TX_RING } },
	{ "op 3", { 'I', 'P', 'N', 1, 3 } },
	{ "op 128", { 'I', 'P', 'N', 1, 128 } },
	{ "op 255", { 'I', 'P', 'N', 1, 255 } },
};

static void refused(const void *frame, __u32 len)
{
	static struct ran r;

	assert_ok(xdp_run(fab.b->prog_xdp, process->in.ifindex, frame, len, 0, &r));
	assert_int_equal(r.ret, XDP_DROP);
	process->want.drop[IPN_DROP_BAD_FRAME]++;
	quiet_expect();
	assert_int_equal(process->net->live->sleep_any, 0);
}

static void a_bad_header_is_a_bad_frame(void **state)
{
	static const __u32 lens[] = { 0, 1, 100, 1514, 1515 };
	static __u8 frame[2000];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_headers); i++) {
		for (size_t j = 0; j < ARRAY_SIZE(lens); j++) {
			__u32 len = frame_of(frame, IPN_TX_DATA, message, lens[j]);

			print_message("  %s, %u bytes\n", bad_headers[i].name, lens[j]);
			memcpy(frame, bad_headers[i].hdr, sizeof(bad_headers[i].hdr));
			refused(frame, len);
		}
	}
}

/*
 * No frame is shorter than 14 bytes, but the part of it that a program sees at once may be. Newer
 * kernels let a test say how long that is; others refuse the test.
 */
static void a_header_that_is_not_in_one_piece_is_a_bad_frame(void **state)
{
	static const struct outcome o = { .log = true, .flood = true };
	struct xdp_md in = { .ingress_ifindex = process->in.ifindex };
	static __u8 frame[2000];
	__u32 len = frame_of(frame, IPN_TX_DATA, message, 100);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = len, .ctx_in = &in,
		    .ctx_size_in = sizeof(in), .repeat = 1);

	(void)state;
	for (in.data_end = 1; in.data_end < IPN_TX_HDR; in.data_end++) {
		if (bpf_prog_test_run_opts(fab.b->prog_xdp, &opts))
			skip();
		assert_int_equal(opts.retval, XDP_DROP);
		process->want.drop[IPN_DROP_BAD_FRAME]++;
		quiet_expect();
	}
	pass(WAY_XDP, process, message, 100, &o);
}

/* --- the port ------------------------------------------------------------------------------ */

static void a_message_longer_than_the_mtu_is_dropped(void **state)
{
	static const struct {
		__u32 port_mtu;
		__u32 len;
		bool too_long;
	} rows[] = {
		{ 1514, 1514, false }, { 1514, 1515, true }, { 1514, 3000, true },
		{ 100, 100, false },   { 100, 101, true },   { 18, 18, false },
		{ 18, 19, true },      { 1, 14, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (enum way way = 0; way < WAYS; way++) {
			struct t_port *from = sender(way);
			struct outcome o = { .log = !rows[i].too_long,
					     .flood = !rows[i].too_long,
					     .drop = rows[i].too_long ? DROP(MTU) : 0 };

			if (!way_has(way, rows[i].len))
				continue;
			print_message("  mtu %u, %u bytes, %s\n", rows[i].port_mtu, rows[i].len,
				      way_name(way));
			put_bytes(message + 12,
				  way == WAY_TAG ? "\x81\x00\x60\x21" : "\x88\xb5\x45\x00",
				  TAG_LEN);
			from->in.mtu = rows[i].port_mtu;
			port_store(from);
			pass(way, from, message, rows[i].len, &o);
		}
	}
}

static void who_may_not_send_does_not(void **state)
{
	static const struct outcome refused = { .drop = DROP(NOT_WRITER) };
	static const struct outcome sent = { .log = true, .flood = true };

	(void)state;
	process->in.flags &= ~IPN_PF_WRITER;
	port_store(process);
	pass(WAY_XDP, process, message, 100, &refused);
	pass(WAY_XDP, process, message, 0, &refused);
	pass(WAY_XDP, process, message, 3000, &refused); /* rather than too long */

	/* who only reads must be able to sleep */
	assert_int_equal(control(process, IPN_TX_RING), XDP_DROP);
	assert_int_equal(bell_wakes(process), 1);
	assert_int_equal(control(process, IPN_TX_SLEEP), XDP_DROP);
	assert_int_equal(process->net->live->sleep[0], 1ULL << process->in.number);
	process->net->live->sleep[0] = process->net->live->sleep_any = 0;
	quiet_expect();

	process->in.flags = PROC_FLAGS & ~(__u32)IPN_PF_READER;
	port_store(process);
	pass(WAY_XDP, process, message, 100, &sent);
}

static void a_port_without_entry_is_not_let_through(void **state)
{
	static __u8 frame[200];
	static struct ran r;
	struct __sk_buff skb = { .ifindex = 1 };
	__u32 len = frame_of(frame, IPN_TX_DATA, message, 100);

	(void)state;
	assert_ok(xdp_run(fab.b->prog_xdp, 1, frame, len, 0, &r));
	assert_int_equal(r.ret, XDP_DROP);
	assert_ok(tc_run(fab.b->prog_tc, &skb, message, 100, &r));
	assert_int_equal(r.ret, TC_ACT_SHOT); /* or it would be the host's */
	same_expect(&r, message, 100);
	assert_ok(tc_run(fab.b->prog_tc_tap, &skb, message, 100, &r));
	assert_int_equal(r.ret, TC_ACT_SHOT);
	assert_ok(tc_run(fab.b->prog_tc_segmenter, &skb, message, 100, &r));
	assert_int_equal(r.ret, TC_ACT_SHOT);
	skb.mark = 0x7fffffff;
	assert_ok(tc_run(fab.b->prog_tc_segmenter, &skb, message, 100, &r));
	assert_int_equal(r.ret, TC_ACT_SHOT);
	skb.ifindex = device->in.ifindex; /* the segmenter asks the mark, not the interface */
	skb.mark = 0;
	assert_ok(tc_run(fab.b->prog_tc_segmenter, &skb, message, 100, &r));
	assert_int_equal(r.ret, TC_ACT_SHOT);
	quiet_expect();
}

static void a_port_that_was_detached_is_no_more(void **state)
{
	static __u8 frame[200];
	static struct ran r;
	__u32 len = frame_of(frame, IPN_TX_DATA, message, 100);

	(void)state;
	assert_ok(bpf_map_delete_elem(fab.b->fd_port_in, &process->in.ifindex));
	assert_ok(xdp_run(fab.b->prog_xdp, process->in.ifindex, frame, len, 0, &r));
	assert_int_equal(r.ret, XDP_DROP);
	assert_int_equal(control(process, IPN_TX_SLEEP), XDP_DROP);
	assert_int_equal(control(process, IPN_TX_RING), XDP_DROP);
	assert_int_equal(process->net->live->sleep_any, 0);
	quiet_expect();
}

/* --- the policy ---------------------------------------------------------------------------- */

/* Not for sock ports: networks of such a policy are given none. */
static void a_policy_without_program_is_a_named_drop(void **state)
{
	static const __u32 numbers[] = { IPN_POLICY_ANY,     IPN_POLICY_BUILTIN + 1,
					 IPN_POLICY_MAX - 1, IPN_POLICY_MAX,
					 0x80000001,         0xffffffff };
	static const struct outcome o = { .drop = DROP(NO_POLICY) };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		for (enum way way = 0; way < WAY_SK; way++) {
			print_message("  policy %u, %s\n", numbers[i], way_name(way));
			sender(way)->in.policy = numbers[i];
			port_store(sender(way));
			if (way == WAY_TAG)
				put_bytes(message + 12, "\x81\x00\x60\x21", TAG_LEN);
			pass(way, sender(way), message, 100, &o);
		}
	}
}

static const struct CMUnitTest tests[] = {
#define ENTRY_TEST(name) cmocka_unit_test_setup_teardown(name, world, world_done)
	ENTRY_TEST(a_bad_header_is_a_bad_frame),
	ENTRY_TEST(a_header_that_is_not_in_one_piece_is_a_bad_frame),
	ENTRY_TEST(a_message_longer_than_the_mtu_is_dropped),
	ENTRY_TEST(who_may_not_send_does_not),
	ENTRY_TEST(a_port_without_entry_is_not_let_through),
	ENTRY_TEST(a_port_that_was_detached_is_no_more),
	ENTRY_TEST(a_policy_without_program_is_a_named_drop),
};

FABRIC_MAIN(tests)
