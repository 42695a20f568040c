/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Batches: many messages of a process in one frame. Each is a message like any other. */
#include "ways.h"

#define MTU 200
#define BIG_MTU 5000

static struct t_net *net;
static struct t_port *process, *reader, *third;
static __u8 message[FRAME_MAX];

/* A frame in the making. */
static struct {
	__u8 frame[FRAME_MAX];
	__u32 len;
} b;

static int world_of(__u32 policy, __u32 mtu)
{
	net = net_make(policy, mtu, 130);
	process = port_make(net, 70, IPN_KIND_PROC);
	reader = port_make(net, 1, IPN_KIND_PROC);
	third = port_make(net, 129, IPN_KIND_PROC);
	return 0;
}

static int hub(void **state)
{
	return world_of(IPN_POLICY_BROADCAST, MTU);
}

static int big_hub(void **state)
{
	return world_of(IPN_POLICY_BROADCAST, BIG_MTU);
}

static int ethernet_switch(void **state)
{
	return world_of(IPN_POLICY_SWITCH, MTU);
}

static int world_done(void **state)
{
	return fabric_clear(state);
}

/* --- making and sending -------------------------------------------------------------------- */

static void batch_start(__u8 count, __u32 ticket)
{
	struct ipn_tx_hdr *hdr = (struct ipn_tx_hdr *)b.frame;

	b.len = frame_of(b.frame, IPN_TX_BATCH, NULL, 0);
	hdr->count = count;
	memcpy(hdr->ticket, &ticket, sizeof(ticket));
}

static void batch_add_len(__u16 len)
{
	memcpy(b.frame + b.len, &len, sizeof(len));
	b.len += sizeof(len);
}

static void batch_add(const void *data, __u16 len)
{
	batch_add_len(len);
	memcpy(b.frame + b.len, data, len);
	b.len += len;
}

/* Message i of a batch, told from others by its bytes. */
static void batch_add_filled(__u32 i, __u16 len)
{
	fill(message, len, i);
	batch_add(message, len);
}

static void batch_send(void)
{
	static struct ran r;

	assert_ok(xdp_run(fab.b->prog_xdp, process->in.ifindex, b.frame, b.len, 0, &r));
	assert_int_equal(r.ret, XDP_DROP);
	same_expect(&r, b.frame, b.len);
}

/* Message i of the batch is the next one of the log, with others behind it. */
static void message_expect(struct t_log *log, __u32 i, __u32 len, bool overwritten)
{
	const struct ipn_slot *slot = log_slot(log, log->next);

	if (!overwritten) {
		fill(message, len, i);
		assert_int_equal(slot->seq, log->next + 1);
		assert_int_equal(slot->len, len);
		assert_int_equal(slot->src, process->in.number);
		assert_memory_equal(slot->data, message, len);
	}
	log->next++;
	process->want.in_packets++;
	process->want.in_bytes += len;
}

/* --- the table: what is in the frame ------------------------------------------------------- */

#define END (-1)
#define CUT (-2) /* the last message lacks its last byte */

static const struct row {
	const char *name;
	__u8 count;
	int lens[10]; /* of the messages in the frame, to END or CUT */
	int written;  /* so many of the first become messages, but those longer than the MTU */
	int too_long;
	int bad;
} rows[] = {
	{ "one", 1, { 50, END }, 1, 0, 0 },
	{ "three", 3, { 50, 60, 70, END }, 3, 0, 0 },
	{ "without bytes", 3, { 0, 0, 0, END }, 3, 0, 0 },
	{ "one without bytes among others", 3, { 9, 0, 9, END }, 3, 0, 0 },
	{ "of one byte", 4, { 1, 1, 1, 1, END }, 4, 0, 0 },
	{ "as long as may be", 3, { MTU, 1, MTU, END }, 3, 0, 0 },
	{ "one too long: the others are not", 3, { 50, MTU + 1, 60, END }, 3, 1, 0 },
	{ "all too long", 2, { MTU + 1, 1000, END }, 2, 2, 0 },
	{ "as many as the log holds", 8, { 1, 2, 3, 4, 5, 6, 7, 8, END }, 8, 0, 0 },
	{ "more in the frame than it says", 2, { 50, 60, 70, END }, 2, 0, 0 },
	{ "fewer in the frame than it says", 3, { 50, 60, END }, 2, 0, 1 },
	{ "many fewer", 255, { 50, END }, 1, 0, 1 },
	{ "none", 5, { END }, 0, 0, 1 },
	{ "the last one cut", 3, { 50, 60, 70, CUT }, 2, 0, 1 },
	{ "the only one cut", 1, { 1, CUT }, 0, 0, 1 },
	{ "one too long cut", 1, { MTU + 1, CUT }, 0, 0, 1 },
	{ "what is behind the count may be cut", 1, { 50, 60, CUT }, 1, 0, 0 },
};

static void row_run(const struct row *row)
{
	int n;

	print_message("  %s\n", row->name);
	batch_start(row->count, 1);
	for (n = 0; row->lens[n] >= 0; n++)
		batch_add_filled((__u32)n, (__u16)row->lens[n]);
	b.len -= row->lens[n] == CUT;
	batch_send();
	for (int i = 0; i < row->written; i++)
		if (row->lens[i] <= MTU)
			message_expect(&net->log, (__u32)i, (__u32)row->lens[i], false);
	process->want.drop[IPN_DROP_MTU] += (__u64)row->too_long;
	process->want.drop[IPN_DROP_BAD_FRAME] += (__u64)row->bad;
	quiet_expect();
}

static void each_message_stands_in_the_log(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		row_run(&rows[i]);
}

static void half_a_length_is_a_bad_frame(void **state)
{
	(void)state;
	batch_start(2, 1);
	batch_add_filled(0, 50);
	batch_add_len(0);
	b.len--;
	batch_send();
	message_expect(&net->log, 0, 50, false);
	process->want.drop[IPN_DROP_BAD_FRAME]++;
	quiet_expect();

	batch_start(1, 1);
	batch_add_len(0xffff);
	batch_send();
	process->want.drop[IPN_DROP_BAD_FRAME]++;
	quiet_expect();
}

static void a_batch_of_none_is_a_bad_frame(void **state)
{
	(void)state;
	batch_start(0, 1);
	batch_add_filled(0, 50);
	batch_send();
	process->want.drop[IPN_DROP_BAD_FRAME]++;
	quiet_expect();
}

static void a_batch_may_go_round_the_log(void **state)
{
	const __u32 n = IPN_TX_BATCH_MAX;

	(void)state;
	batch_start((__u8)n, 1);
	for (__u32 i = 0; i < n; i++)
		batch_add_filled(i, (__u16)(i % 11));
	assert_true(b.len <= IPN_TX_BATCH_FRAME);
	batch_send();
	for (__u32 i = 0; i < n; i++)
		message_expect(&net->log, i, i % 11, i + LOG_SLOTS < n);
	quiet_expect();
}

/* More than a page: the frame is in pieces, and so are its messages. */
static void messages_lie_across_the_pieces_of_a_frame(void **state)
{
	(void)state;
	batch_start(7, 1);
	for (__u32 i = 0; i < 7; i++)
		batch_add_filled(i, (__u16)(BIG_MTU - 3 * i));
	batch_send();
	for (__u32 i = 0; i < 7; i++)
		message_expect(&net->log, i, BIG_MTU - 3 * i, false);
	quiet_expect();
}

/* --- refused as a whole -------------------------------------------------------------------- */

static void each_message_of_a_refused_batch_is_counted(void **state)
{
	(void)state;
	batch_start(3, 1);
	for (__u32 i = 0; i < 3; i++)
		batch_add_filled(i, 20);
	process->in.policy = 9;
	port_store(process);
	batch_send();
	process->want.drop[IPN_DROP_NO_POLICY] += 3;
	quiet_expect();

	process->in.flags &= ~IPN_PF_WRITER;
	port_store(process);
	batch_send();
	process->want.drop[IPN_DROP_NOT_WRITER] += 3;
	quiet_expect();
}

static __u64 refused_ticket(const struct t_port *p)
{
	int page = bpf_inner_get(fab.b->fd_pages, p->in.node);
	struct ipn_page value;
	__u32 zero = 0;

	assert_true(page >= 0);
	assert_ok(bpf_map_lookup_elem(page, &zero, &value));
	close(page);
	assert_int_equal(value.cursor, 0); /* nothing else of the page is touched */
	assert_int_equal(value.rx_packets, 0);
	assert_int_equal(value.overrun, 0);
	return value.process[0].tx_refused;
}

/* Its sender sends them singly; so nothing of it may have been done, or counted. */
static void with_a_device_a_batch_is_refused_by_ticket(void **state)
{
	static const __u32 tickets[] = { 0, 1, 0xffffffff, 0x80000000 };

	(void)state;
	assert_int_equal(refused_ticket(process), 0);
	port_make(net, 5, IPN_KIND_TAP);
	for (size_t i = 0; i < ARRAY_SIZE(tickets); i++) {
		batch_start(2, tickets[i]);
		batch_add_filled(0, 20);
		batch_add_filled(1, 20);
		batch_send();
		assert_int_equal(refused_ticket(process), IPN_TX_REFUSED | tickets[i]);
		assert_int_equal(refused_ticket(reader), 0);
		quiet_expect();
	}
	net->live->flood_len = 0;
	batch_start(1, 77);
	batch_add_filled(0, 20);
	batch_send();
	message_expect(&net->log, 0, 20, false);
	assert_int_equal(refused_ticket(process), IPN_TX_REFUSED | 0x80000000);
	quiet_expect();
}

/* --- waking -------------------------------------------------------------------------------- */

static void a_batch_wakes_every_sleeper_once(void **state)
{
	(void)state;
	fall_asleep(reader);
	fall_asleep(third);
	batch_start(5, 1);
	for (__u32 i = 0; i < 5; i++)
		batch_add_filled(i, 20);
	batch_send();
	for (__u32 i = 0; i < 5; i++)
		message_expect(&net->log, i, 20, false);
	assert_int_equal(bell_wakes(reader), 1);
	assert_int_equal(bell_wakes(third), 1);
	assert_int_equal(reader->page->sleep | third->page->sleep, 0);
	quiet_expect();
}

/* --- on a switch --------------------------------------------------------------------------- */

/* An Ethernet frame for the station at a port (NULL: broadcast), from the one at `process`. */
static void ether(__u8 *to, const struct t_port *dst, __u32 i, __u32 len)
{
	static const __u8 station[6] = { 2, 0, 0, 0, 0, 0 };

	fill(to, len, i);
	memset(to, 0xff, 6);
	if (dst) {
		memcpy(to, station, 6);
		to[5] = (__u8)dst->in.number;
	}
	memcpy(to + 6, station, 6);
	to[11] = (__u8)process->in.number;
}

static void learn(const struct t_port *p)
{
	const __u8 mac[6] = { 2, 0, 0, 0, 0, (__u8)p->in.number };

	fdb_learn(net, mac, p);
}

static void ether_add(const struct t_port *dst, __u32 i, __u32 len)
{
	static __u8 data[MTU];

	ether(data, dst, i, len);
	batch_add(data, (__u16)len);
}

static void ether_expect(struct t_log *log, const struct t_port *dst, __u32 i, __u32 len)
{
	const struct ipn_slot *slot = log_slot(log, log->next);

	ether(message, dst, i, len);
	assert_int_equal(slot->seq, log->next + 1);
	assert_int_equal(slot->len, len);
	assert_memory_equal(slot->data, message, len);
	log->next++;
}

static void each_message_goes_where_it_belongs(void **state)
{
	(void)state;
	learn(reader);
	learn(third);
	batch_start(8, 1);
	ether_add(reader, 0, 60);
	ether_add(NULL, 1, 61);
	ether_add(third, 2, 62);
	ether_add(reader, 3, 63);
	batch_add_filled(4, 13);   /* a runt */
	ether_add(process, 5, 64); /* learned from the first: behind its own port */
	ether_add(NULL, 6, MTU);
	ether_add(third, 7, 14);
	batch_send();
	ether_expect(&reader->log, reader, 0, 60);
	ether_expect(&reader->log, reader, 3, 63);
	ether_expect(&third->log, third, 2, 62);
	ether_expect(&third->log, third, 7, 14);
	ether_expect(&net->log, NULL, 1, 61);
	ether_expect(&net->log, NULL, 6, MTU);
	process->want.in_packets += 8;
	process->want.in_bytes += 60 + 61 + 62 + 63 + 13 + 64 + MTU + 14;
	process->want.drop[IPN_DROP_RUNT]++;
	process->want.drop[IPN_DROP_SAME_PORT]++;
	quiet_expect();
}

static void unicast_in_a_batch_wakes_only_its_own(void **state)
{
	(void)state;
	learn(reader);
	fall_asleep(reader);
	fall_asleep(third);
	batch_start(2, 1);
	ether_add(reader, 0, 60);
	ether_add(reader, 1, 60);
	batch_send();
	assert_int_equal(bell_wakes(reader), 1);
	assert_int_equal(bell_wakes(third), 0);
	assert_int_equal(reader->page->sleep, 0);
	assert_int_equal(third->page->sleep, 1);
}

/* The device came after the look at the list of devices. */
static void a_device_that_came_meanwhile_misses_a_batch(void **state)
{
	struct t_port *device = port_make(net, 5, IPN_KIND_TAP);

	(void)state;
	net->live->flood_len = 0;
	learn(device);
	batch_start(2, 1);
	ether_add(device, 0, 60);
	ether_add(NULL, 1, 61);
	batch_send();
	ether_expect(&net->log, NULL, 1, 61);
	process->want.in_packets += 2;
	process->want.in_bytes += 121;
	process->want.drop[IPN_DROP_NO_PORT]++;
	quiet_expect();
}

/* What the programs remember of a message is kept by CPU, and is not that of the one before. */
static void a_message_after_a_batch_is_none(void **state)
{
	static const struct outcome o = { .log = true, .flood = true };
	struct t_net *other = net_make(IPN_POLICY_BROADCAST, MTU, 5);
	struct t_port *device = port_make(other, 3, IPN_KIND_TAP);
	struct t_port *sender = port_make(other, 2, IPN_KIND_PROC);
	struct t_port *sock = port_make(other, 4, IPN_KIND_SOCK);
	cpu_set_t all, one;

	(void)state;
	port_make(other, 1, IPN_KIND_VETH);
	assert_ok(sched_getaffinity(0, sizeof(all), &all));
	CPU_ZERO(&one);
	for (int i = 0; !CPU_COUNT(&one) && i < CPU_SETSIZE; i++)
		if (CPU_ISSET(i, &all))
			CPU_SET(i, &one);
	assert_ok(sched_setaffinity(0, sizeof(one), &one));
	for (enum way way = 0; way < WAYS; way++) {
		if (way == WAY_TAG)
			continue;
		batch_start(1, 1);
		batch_add_filled(0, 20);
		batch_send();
		message_expect(&net->log, 0, 20, false);
		fill(message, 100, 7);
		pass(way, way_sender(way, sender, device, sock), message, 100, &o);
	}
	assert_ok(sched_setaffinity(0, sizeof(all), &all));
}

static const struct CMUnitTest tests[] = {
#define HUB_TEST(name) cmocka_unit_test_setup_teardown(name, hub, world_done)
#define SWITCH_TEST(name) cmocka_unit_test_setup_teardown(name, ethernet_switch, world_done)
	HUB_TEST(each_message_stands_in_the_log),
	HUB_TEST(half_a_length_is_a_bad_frame),
	HUB_TEST(a_batch_of_none_is_a_bad_frame),
	HUB_TEST(a_batch_may_go_round_the_log),
	cmocka_unit_test_setup_teardown(messages_lie_across_the_pieces_of_a_frame, big_hub,
					world_done),
	HUB_TEST(each_message_of_a_refused_batch_is_counted),
	HUB_TEST(with_a_device_a_batch_is_refused_by_ticket),
	HUB_TEST(a_batch_wakes_every_sleeper_once),
	HUB_TEST(a_message_after_a_batch_is_none),
	SWITCH_TEST(each_message_goes_where_it_belongs),
	SWITCH_TEST(unicast_in_a_batch_wakes_only_its_own),
	SWITCH_TEST(a_device_that_came_meanwhile_misses_a_batch),
};

FABRIC_MAIN(tests)
