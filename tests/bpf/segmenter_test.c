/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The way into the segmenter: a frame that is not whole and is for a process is redirected there,
 * with the mark that tells the far end where it came from. What comes out of the far end stands in
 * the tables of the other tests (the way GW) and, with real segments, in live_test.c.
 */
#include "ways.h"

static __u8 message[2000];

static struct t_net *net;
static struct t_port *device, *other, *process, *sock, *segmenter;

static int world(void **state)
{
	net = net_make(IPN_POLICY_SWITCH, 1514, 9);
	device = port_make(net, 7, IPN_KIND_TAP);
	other = port_make(net, 3, IPN_KIND_TAP);
	process = port_make(net, 5, IPN_KIND_PROC);
	sock = port_make(net, 6, IPN_KIND_SOCK);
	/*
	 * A frame of BPF_PROG_TEST_RUN does not know where its TCP header is, so its segments seem
	 * to be of any length. Which of them are too long is tried in live_test.c.
	 */
	device->in.mtu = 1 << 20;
	port_store(device);
	/* an interface with a tap to read; it is in no list of the network */
	segmenter = port_make(net_make(IPN_POLICY_BROADCAST, 1514, 1), 0, IPN_KIND_HOST);
	fab.b->abi.segmenter = segmenter->in.ifindex;
	assert_ok(bpf_abi_store(fab.b));
	fill(message, sizeof(message), 11);
	put_bytes(message, "\x02\0\0\0\0\x09\x02\0\0\0\0\x08\x88\xb5", ETH_LEN);
	return 0;
}

static int world_done(void **state)
{
	return fabric_clear(state);
}

static void learn(const struct t_port *p)
{
	fdb_learn(net, message, p);
}

static void sent(__u32 len)
{
	device->want.in_packets++;
	device->want.in_bytes += len;
}

/* Sends as a frame to be cut into segments. */
static void send_gso(__u32 mark, struct ran *r)
{
	const struct __sk_buff skb = { .ifindex = device->in.ifindex,
				       .mark = mark,
				       .gso_size = 500,
				       .gso_segs = 2,
				       .wire_len = 1100 };

	assert_ok(tc_run(fab.b->prog_tc, &skb, message, 1000, r));
	sent(1000);
}

static void a_frame_to_be_cut_goes_to_the_segmenter_marked(void **state)
{
	static const __u32 marks[] = { 0, 77, 0xffffffff };
	const struct t_port *to[] = { process, sock };
	static struct ran r;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(marks) * ARRAY_SIZE(to); i++) {
		learn(to[i / ARRAY_SIZE(marks)]);
		send_gso(marks[i % ARRAY_SIZE(marks)], &r);
		assert_int_equal(r.ret, TC_ACT_REDIRECT);
		assert_int_equal(r.mark, device->in.ifindex);
		same_expect(&r, message, 1000);
		quiet_expect();
	}
}

static void a_whole_frame_does_not(void **state)
{
	const struct __sk_buff skb = { .ifindex = device->in.ifindex, .mark = 77 };
	static struct ran r;

	(void)state;
	learn(process);
	assert_ok(tc_run(fab.b->prog_tc, &skb, message, 1000, &r));
	sent(1000);
	assert_int_equal(r.ret, TC_ACT_SHOT);
	assert_int_equal(r.mark, 77);
	log_expect(&process->log, device->in.number, message, 1000);
	quiet_expect();
}

/* Devices take it as it is: with the mark it had. */
static void to_a_device_it_keeps_its_own_mark(void **state)
{
	static struct ran r;

	(void)state;
	learn(other);
	send_gso(77, &r);
	assert_int_equal(r.ret, TC_ACT_REDIRECT);
	assert_int_equal(r.mark, 77);
	other->want.out_packets++;
	other->want.out_bytes += 1000;
	quiet_expect();
}

static void without_segmenter_it_is_a_named_drop(void **state)
{
	static struct ran r;

	(void)state;
	fab.b->abi.segmenter = 0;
	assert_ok(bpf_abi_store(fab.b));
	learn(process);
	send_gso(77, &r);
	device->want.drop[IPN_DROP_SEGMENTER]++;
	assert_int_equal(r.ret, TC_ACT_SHOT);
	assert_int_equal(r.mark, 77);
	quiet_expect();
}

/* Who may not receive does not through the segmenter either, and the segmenter is spared. */
static void who_does_not_read_is_not_behind_the_segmenter(void **state)
{
	static struct ran r;

	(void)state;
	process->in.flags &= ~IPN_PF_READER;
	port_store(process);
	learn(process);
	send_gso(0, &r);
	device->want.drop[IPN_DROP_NOT_READER]++;
	assert_int_equal(r.ret, TC_ACT_SHOT);
	quiet_expect();
}

/*
 * A flood leaves the frame with its own mark. What BPF_PROG_TEST_RUN makes are segments of no known
 * kind, which no device takes: the clones are refused, and counted as that.
 */
static void a_flood_gives_the_mark_back(void **state)
{
	static struct ran r;

	(void)state;
	memset(message, 0xff, 6);
	send_gso(77, &r);
	assert_int_equal(r.ret, TC_ACT_SHOT);
	assert_int_equal(r.mark, 77);
	device->want.drop[IPN_DROP_REDIRECT] += 2; /* segmenter, other */
	quiet_expect();
	net->live->readers = 0; /* a sock port is behind the segmenter still */
	send_gso(77, &r);
	device->want.drop[IPN_DROP_REDIRECT] += 2;
	quiet_expect();
	net->live->socks = 0; /* nobody is */
	send_gso(77, &r);
	device->want.drop[IPN_DROP_REDIRECT] += 1;
	quiet_expect();
}

static const struct CMUnitTest tests[] = {
#define SEGMENTER_TEST(name) cmocka_unit_test_setup_teardown(name, world, world_done)
	SEGMENTER_TEST(a_frame_to_be_cut_goes_to_the_segmenter_marked),
	SEGMENTER_TEST(a_whole_frame_does_not),
	SEGMENTER_TEST(to_a_device_it_keeps_its_own_mark),
	SEGMENTER_TEST(without_segmenter_it_is_a_named_drop),
	SEGMENTER_TEST(who_does_not_read_is_not_behind_the_segmenter),
	SEGMENTER_TEST(a_flood_gives_the_mark_back),
};

FABRIC_MAIN(tests)
