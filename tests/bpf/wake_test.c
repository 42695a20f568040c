/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sleep bits and bells: who sleeps is woken once by what is for him, and nobody else is. */
#include "ways.h"

static __u8 message[200];

/* Places at the edges of the words of the sleep bits. */
static const __u32 places[] = { 0, 1, 62, 63, 64, 127, 4032, 4095 };
#define NPROCS ARRAY_SIZE(places)

static struct t_net *net, *next;
static struct t_port *procs[NPROCS], *device, *sock, *stranger;

static int world_of(__u32 policy)
{
	net = net_make(policy, 1514, IPN_NET_PORTS);
	next = net_make(policy, 1514, 70);
	for (size_t i = 0; i < NPROCS; i++)
		procs[i] = port_make(net, places[i], IPN_KIND_PROC);
	device = port_make(net, 100, IPN_KIND_TAP);
	sock = port_make(net, 200, IPN_KIND_SOCK);
	stranger = port_make(next, 63, IPN_KIND_PROC);
	fill(message, sizeof(message), 1);
	memset(message, 0xff, 6);
	message[6] = 2;
	return 0;
}

static int hub(void **state)
{
	return world_of(IPN_POLICY_BROADCAST);
}

static int ethernet_switch(void **state)
{
	return world_of(IPN_POLICY_SWITCH);
}

static int world_done(void **state)
{
	return fabric_clear(state);
}

/* --- helpers ------------------------------------------------------------------------------- */

/* Exactly these processes sleep: bit i for procs[i]. */
static void sleepers_expect(__u32 who)
{
	for (size_t i = 0; i < NPROCS; i++)
		assert_int_equal(procs[i]->page->sleep, !!(who & 1u << i));
}

/* Into exactly these pages senders look. */
static void armed_expect(__u32 who)
{
	__u64 want[IPN_SLEEP_WORDS] = { 0 };

	for (size_t i = 0; i < NPROCS; i++) {
		assert_int_equal(procs[i]->page->armed, !!(who & 1u << i));
		if (who & 1u << i)
			want[places[i] / 64] |= 1ULL << (places[i] % 64);
	}
	for (__u32 w = 0; w < IPN_SLEEP_WORDS; w++) {
		assert_int_equal(net->live->sleep[w], want[w]);
		if (want[w]) /* else programs would not look there */
			assert_true(net->live->sleep_any & 1ULL << w);
	}
	if (!who)
		assert_int_equal(net->live->sleep_any, 0);
}

/* Exactly these have had one WAKE each since the last look. */
static void wakes_expect(__u32 who)
{
	for (size_t i = 0; i < NPROCS; i++)
		if (bell_wakes(procs[i]) != !!(who & 1u << i))
			fail_msg("port %u: %d wakes", places[i], procs[i]->wakes);
	assert_int_equal(bell_wakes(stranger), 0);
	assert_int_equal(bell_wakes(device), 0);
}

static void put_to_sleep(__u32 who)
{
	for (size_t i = 0; i < NPROCS; i++)
		if (who & 1u << i)
			fall_asleep(procs[i]);
}

/* Sends without pass(), which wants that no bell is rung. Returns what the program returned. */
static __u32 send_by(enum way way, const struct t_port *from, __u32 len)
{
	static __u8 frame[FRAME_MAX];
	static struct ran r;
	__u32 frame_len;

	way_send(way, from, message, len, frame, &frame_len, &r);
	while (punt_next()) /* a flood, for sock ports */
		;
	return r.ret;
}

/*
 * Nobody sleeps: one by one, messages wake nobody and find nobody, and then senders look no more
 * into the pages of those who still were armed.
 */
static void in_vain(enum way way, const struct t_port *from, __u32 armed, __u32 after)
{
	for (int i = 0; i < IPN_WAKE_LOOKS; i++) {
		armed_expect(armed);
		send_by(way, from, 100);
		wakes_expect(0);
	}
	armed_expect(after);
}

static const struct t_port *sender(enum way way)
{
	return way_sender(way, procs[1], device, sock);
}

/* --- sleeping ------------------------------------------------------------------------------ */

static void sleep_arms_exactly_its_page(void **state)
{
	__u32 all = 0;

	(void)state;
	for (size_t i = 0; i < NPROCS; i++) {
		all |= 1u << i;
		assert_int_equal(control(procs[i], IPN_TX_SLEEP), XDP_DROP);
		armed_expect(all);
		assert_int_equal(control(procs[i], IPN_TX_SLEEP), XDP_DROP); /* again: the same */
		armed_expect(all);
	}
	sleepers_expect(0); /* that flag is the process's */
	assert_int_equal(next->live->sleep_any, 0);
	assert_int_equal(control(stranger, IPN_TX_SLEEP), XDP_DROP);
	assert_int_equal(next->live->sleep[0], 1ULL << 63);
	assert_int_equal(next->live->sleep[1], 0);
	armed_expect(all);
	quiet_expect();
}

static const __u32 crowds[] = { 0x00, 0x01, 0x08, 0x10, 0x80, 0x18, 0x81, 0x55, 0xaa, 0x3f, 0xff };

static void a_message_wakes_every_sleeper_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(crowds); i++) {
		for (enum way way = 0; way < WAYS; way++) {
			print_message("  sleepers 0x%x, %s\n", crowds[i], way_name(way));
			fall_asleep(stranger);
			put_to_sleep(crowds[i]);
			send_by(way, sender(way), 100);
			sleepers_expect(0);
			armed_expect(crowds[i]); /* who sleeps again needs no frame */
			wakes_expect(crowds[i]);
			in_vain(way, sender(way), crowds[i], 0);
			assert_int_equal(stranger->page->sleep, 1);
			assert_true(sleep_bit(stranger));
		}
	}
}

/* Who sleeps again before the next message stays armed: the flag in the page is enough. */
static void who_sleeps_after_each_message_is_woken_by_each(void **state)
{
	(void)state;
	put_to_sleep(0x88);
	for (int i = 0; i < 5; i++) {
		send_by(WAY_XDP, procs[0], 100);
		wakes_expect(0x88);
		armed_expect(0x88);
		procs[3]->page->sleep = procs[7]->page->sleep = 1;
	}
	procs[3]->page->sleep = 0;
	for (int i = 1; i < IPN_WAKE_LOOKS; i++) { /* one of the two is awake for some time */
		send_by(WAY_XDP, procs[0], 100);
		wakes_expect(0x80);
		armed_expect(0x88);
		procs[7]->page->sleep = 1;
	}
	procs[3]->page->sleep = 1; /* just in time */
	send_by(WAY_XDP, procs[0], 100);
	wakes_expect(0x88);
	armed_expect(0x88);
	for (int i = 0; i < IPN_WAKE_LOOKS; i++) { /* and again, for longer: counted anew */
		armed_expect(0x88);
		procs[7]->page->sleep = 1;
		send_by(WAY_XDP, procs[0], 100);
		wakes_expect(0x80);
	}
	armed_expect(0x80);
	procs[7]->page->sleep = procs[3]->page->sleep = 1; /* but that one did not arm */
	send_by(WAY_XDP, procs[0], 100);
	wakes_expect(0x80);
	sleepers_expect(0x08);
	put_to_sleep(0x08);
	send_by(WAY_XDP, procs[0], 100);
	wakes_expect(0x08);
	armed_expect(0x88);
}

/* All bits set by hand: places without a process are passed over, and the rounds are enough. */
static void all_places_can_sleep_at_once(void **state)
{
	(void)state;
	put_to_sleep(0xff);
	memset(net->live->sleep, 0xff, sizeof(net->live->sleep));
	net->live->sleep_any = ~0ULL;
	send_by(WAY_XDP, procs[0], 100);
	sleepers_expect(0);
	wakes_expect(0xff);
	in_vain(WAY_XDP, procs[0], 0xff, 0);
}

/* sleep_any says where to look; it may say so too often. */
static void a_word_without_sleepers_does_no_harm(void **state)
{
	(void)state;
	put_to_sleep(0x81);
	net->live->sleep_any = ~0ULL;
	send_by(WAY_TC, device, 100);
	sleepers_expect(0);
	wakes_expect(0x81);
	assert_int_equal(net->live->sleep_any, 1 | 1ULL << 63);
}

/* A process may write what it likes into its page, and take away what programs wrote there. */
static void a_page_that_lies_troubles_only_its_own_process(void **state)
{
	(void)state;
	put_to_sleep(0x0f);
	procs[0]->page->armed = 0;
	procs[1]->page->armed = ~0ULL;
	procs[2]->page->sleep = ~0ULL;
	procs[4]->page->sleep = 1; /* not armed */
	procs[5]->page->armed = 1;
	send_by(WAY_TC, device, 100);
	wakes_expect(0x0f);
	assert_int_equal(procs[4]->page->sleep, 1);
	put_to_sleep(0x0f);
	procs[5]->page->sleep = 1; /* never armed, whatever its page says */
	send_by(WAY_TC, device, 100);
	wakes_expect(0x0f);
	sleepers_expect(0x30);
	procs[0]->page->awake = ~0ULL;
	send_by(WAY_TC, device, 100);
	assert_false(sleep_bit(procs[0])); /* it asked for it */
	assert_int_equal(procs[0]->page->awake, 0);
	for (int i = 0; i < 2 * IPN_WAKE_LOOKS; i++) { /* they look for ever: one look each */
		procs[1]->page->awake = 0;
		send_by(WAY_TC, device, 100);
	}
	assert_true(sleep_bit(procs[1]));
	assert_false(sleep_bit(procs[2]));
	wakes_expect(0);
}

static void what_is_dropped_wakes_nobody(void **state)
{
	(void)state;
	put_to_sleep(0xff);
	assert_int_equal(send_by(WAY_XDP, procs[0], 0), XDP_DROP); /* runt for a switch */
	procs[0]->in.flags &= ~IPN_PF_WRITER;
	port_store(procs[0]);
	assert_int_equal(send_by(WAY_XDP, procs[0], 100), XDP_DROP);
	device->in.mtu = 99;
	port_store(device);
	assert_int_equal(send_by(WAY_TC, device, 100), TC_ACT_SHOT);
	assert_int_equal(send_by(WAY_SEGMENTER, device, 100), TC_ACT_SHOT);
	sleepers_expect(0xff);
	armed_expect(0xff);
	wakes_expect(0);
}

/* --- ring ---------------------------------------------------------------------------------- */

static void ring_rings_the_own_bell(void **state)
{
	(void)state;
	put_to_sleep(0xff);
	for (size_t i = 0; i < NPROCS; i++) {
		assert_int_equal(control(procs[i], IPN_TX_RING), XDP_DROP);
		wakes_expect(1u << i);
	}
	sleepers_expect(0xff); /* it is no message */
	assert_int_equal(log_head(&net->log), 0);
}

static void notify_puts_any_event_into_any_bell(void **state)
{
	(void)state;
	for (size_t i = 0; i < NPROCS; i++) {
		assert_ok(bpf_notify(fab.b, procs[i]->in.node, IPN_EVENT_GONE, 100 + i));
		wakes_expect(0);
		for (size_t j = 0; j < NPROCS; j++) {
			assert_int_equal(procs[j]->last.type, i == j ? IPN_EVENT_GONE : 0);
			assert_int_equal(procs[j]->last.arg, i == j ? 100 + i : 0);
		}
		memset(&procs[i]->last, 0, sizeof(procs[i]->last));
	}
	assert_ok(bpf_notify(fab.b, procs[2]->in.node, IPN_EVENT_WAKE, 0));
	wakes_expect(1u << 2);
	assert_true(bpf_notify(fab.b, 4000, IPN_EVENT_WAKE, 0) < 0); /* a node without bell */
	assert_true(bpf_notify(fab.b, IPN_MAX_NODES, IPN_EVENT_WAKE, 0) < 0);
	assert_true(bpf_notify(fab.b, 0xffffffff, IPN_EVENT_WAKE, 0) < 0);
}

/* --- a bell is a descriptor to wait on ----------------------------------------------------- */

static bool rings(const struct t_port *p)
{
	struct pollfd pfd = { .fd = p->bell, .events = POLLIN };

	return poll(&pfd, 1, 0) == 1 && pfd.revents == POLLIN;
}

static void a_bell_is_readable_until_it_was_read(void **state)
{
	(void)state;
	assert_false(rings(procs[3]));
	put_to_sleep(0x08);
	send_by(WAY_XDP, procs[0], 100);
	assert_true(rings(procs[3]));
	assert_false(rings(procs[4]));
	assert_int_equal(bell_wakes(procs[3]), 1);
	assert_false(rings(procs[3]));
}

/* Who lets his bell fill has been woken; messages go on, for him and for others. */
static void a_full_bell_stops_nothing(void **state)
{
	const struct ipn_slot *slot;
	int n = 0;

	(void)state;
	while (!bpf_notify(fab.b, procs[3]->in.node, IPN_EVENT_WAKE, 0))
		assert_true(n++ < IPN_BELL_SIZE);
	assert_true(n > 100);
	assert_int_equal(bpf_notify(fab.b, procs[3]->in.node, IPN_EVENT_GONE, 5), -ENOSPC);

	put_to_sleep(0xff);
	send_by(WAY_XDP, procs[0], 100);
	slot = log_slot(&net->log, 0);
	assert_int_equal(slot->seq, 1);
	assert_int_equal(slot->len, 100);
	sleepers_expect(0x08); /* it is tried again */
	assert_true(rings(procs[3]));
	assert_int_equal(bell_wakes(procs[3]), n);
	assert_int_equal(procs[3]->last.type, 0);
	wakes_expect(0xff & ~0x08u);

	put_to_sleep(0x08); /* emptied, it works again */
	send_by(WAY_XDP, procs[0], 100);
	wakes_expect(0x08);
}

/* --- unicast ------------------------------------------------------------------------------- */

static void learn(const struct t_port *p, __u8 last)
{
	const __u8 mac[6] = { 2, 0, 0, 0, 0, last };

	fdb_learn(net, mac, p);
}

static void unicast_wakes_only_its_own(void **state)
{
	(void)state;
	for (size_t i = 0; i < NPROCS; i++) {
		for (enum way way = 0; way < WAYS; way++) {
			if (procs[i] == sender(way))
				continue;
			print_message("  to port %u, %s\n", places[i], way_name(way));
			learn(procs[i], 9);
			put_to_sleep(0xff);
			put_bytes(message, "\x02\0\0\0\0\x09", 6);
			send_by(way, sender(way), 100);
			sleepers_expect(0xff & ~(1u << i));
			wakes_expect(1u << i);
			armed_expect(0xff);
			for (int n = 0; n < IPN_WAKE_LOOKS; n++) {
				assert_true(sleep_bit(procs[i]));
				send_by(way, sender(way), 100);
				wakes_expect(0);
			}
			assert_false(sleep_bit(procs[i]));
			assert_int_equal(procs[i]->page->armed, 0);
		}
	}
}

static void unicast_to_a_device_or_to_nobody_wakes_nobody(void **state)
{
	(void)state;
	put_to_sleep(0xff);
	learn(device, 9);
	put_bytes(message, "\x02\0\0\0\0\x09", 6);
	assert_int_equal(send_by(WAY_XDP, procs[0], 100), XDP_PASS);
	assert_int_equal(send_by(WAY_TC, device, 100), TC_ACT_SHOT); /* behind the same port */
	procs[4]->in.flags &= ~IPN_PF_READER;
	port_store(procs[4]);
	learn(procs[4], 9);
	assert_int_equal(send_by(WAY_TC, device, 100), TC_ACT_SHOT);
	sleepers_expect(0xff);
	armed_expect(0xff);
	wakes_expect(0);
}

static const struct CMUnitTest tests[] = {
#define HUB_TEST(name) cmocka_unit_test_setup_teardown(name, hub, world_done)
#define SWITCH_TEST(name) cmocka_unit_test_setup_teardown(name, ethernet_switch, world_done)
	HUB_TEST(sleep_arms_exactly_its_page),
	HUB_TEST(a_message_wakes_every_sleeper_once),
	SWITCH_TEST(a_message_wakes_every_sleeper_once),
	HUB_TEST(who_sleeps_after_each_message_is_woken_by_each),
	HUB_TEST(all_places_can_sleep_at_once),
	HUB_TEST(a_word_without_sleepers_does_no_harm),
	HUB_TEST(a_page_that_lies_troubles_only_its_own_process),
	SWITCH_TEST(what_is_dropped_wakes_nobody),
	HUB_TEST(ring_rings_the_own_bell),
	HUB_TEST(notify_puts_any_event_into_any_bell),
	HUB_TEST(a_bell_is_readable_until_it_was_read),
	HUB_TEST(a_full_bell_stops_nothing),
	SWITCH_TEST(unicast_wakes_only_its_own),
	SWITCH_TEST(unicast_to_a_device_or_to_nobody_wakes_nobody),
};

FABRIC_MAIN(tests)
