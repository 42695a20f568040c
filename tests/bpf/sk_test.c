/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is peculiar to sock ports: which messages they may send and be sent, goodbyes, who does not
 * read, each port's share of the punt ring, and ports that are leaving. Where messages go stands in
 * the tables of the policies (the way SK).
 */
#include "ways.h"

#include <sched.h>
#include <sys/un.h>

static __u8 message[FRAME_MAX];

static struct t_net *net;
static struct t_port *process, *device, *one, *two;

static const struct outcome all = { .log = true, .flood = true };

static int world_of(__u32 policy, __u32 mtu)
{
	net = net_make(policy, mtu, 12);
	process = port_make(net, 6, IPN_KIND_PROC);
	device = port_make(net, 3, IPN_KIND_TAP);
	one = port_make(net, 9, IPN_KIND_SOCK);
	two = port_make(net, 2, IPN_KIND_SOCK);
	fill(message, sizeof(message), 9);
	put_bytes(message, "\x02\0\0\0\0\x09\x02\0\0\0\0\x08\x88\xb5", ETH_LEN);
	return 0;
}

static int hub(void **state)
{
	(void)state;
	return world_of(IPN_POLICY_BROADCAST, 1514);
}

static int jumbo(void **state)
{
	(void)state;
	return world_of(IPN_POLICY_BROADCAST, 65535);
}

static int ethernet_switch(void **state)
{
	(void)state;
	return world_of(IPN_POLICY_SWITCH, 65535);
}

static int router(void **state)
{
	(void)state;
	return world_of(IPN_POLICY_L3, 1514);
}

static int world_done(void **state)
{
	return fabric_clear(state);
}

/* Ports of a switch: messages go to this one. */
static void learn(const struct t_port *p)
{
	fdb_learn(net, message, p);
}

/* --- which messages ------------------------------------------------------------------------- */

static const struct {
	__u32 len, mtu;
	int drop;
} from_rows[] = {
	{ 1, 65535, DROP(SOCK_SIZE) },
	{ 13, 65535, DROP(SOCK_SIZE) },
	{ 14, 65535, 0 },
	{ 14, 14, 0 },
	{ 15, 14, DROP(MTU) },
	{ 200, 199, DROP(MTU) },
	{ 200, 200, 0 },
	{ 224, 65535, 0 }, /* the last of the small records */
	{ 225, 65535, 0 },
	{ 2016, 65535, 0 }, /* and of those for Ethernet */
	{ 2017, 65535, 0 },
	{ 16063, 65535, 0 },
	{ 16064, 65535, 0 },
	{ 16064, 16063, DROP(MTU) },
	{ 16065, 65535, DROP(SOCK_SIZE) },
	{ 16065, 14, DROP(SOCK_SIZE) },
	{ 60000, 65535, DROP(SOCK_SIZE) },
	{ 3, 1, DROP(SOCK_SIZE) },
};

static void a_sock_port_sends_from_14_to_16064_bytes_and_the_mtu(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(from_rows); i++) {
		struct outcome o = { .drop = from_rows[i].drop };

		print_message("  %u bytes, mtu %u\n", from_rows[i].len, from_rows[i].mtu);
		one->in.mtu = from_rows[i].mtu;
		port_store(one);
		pass(WAY_SK, one, message, from_rows[i].len, o.drop ? &o : &all);
	}
}

static const __u32 to_lens[] = { 14, 15, 224, 225, 1514, 2016, 2017, 3400, 16064, 16065, 60000 };

static void a_sock_port_is_sent_no_more_than_that(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(to_lens); i++) {
		for (enum way way = 0; way < WAYS; way++) {
			struct t_port *from = way_sender(way, process, device, one);
			struct outcome o = { .sock = two };

			if (!way_has(way, to_lens[i]))
				continue;
			print_message("  %u bytes, %s\n", to_lens[i], way_name(way));
			if (to_lens[i] > IPN_SOCK_FRAME_MAX)
				o = (struct outcome){ .drop = DROP(SOCK_SIZE) };
			put_bytes(message + 12,
				  way == WAY_TAG ? "\x81\x00\x60\x21" : "\x88\xb5\x45\x00",
				  TAG_LEN);
			if (way == WAY_TAG && to_lens[i] < ETH_LEN + TAG_LEN + 1)
				continue;
			learn(two);
			pass(way, from, message, to_lens[i], &o);
		}
	}
}

static void who_may_not_send_does_not(void **state)
{
	static const struct outcome refused = { .drop = DROP(NOT_WRITER) };

	(void)state;
	one->in.flags &= ~(__u32)IPN_PF_WRITER;
	port_store(one);
	pass(WAY_SK, one, message, 100, &refused);
	pass(WAY_SK, one, message, 1, &refused); /* rather than too short */
	pass(WAY_SK, one, message, 3000, &refused);
	pass(WAY_SK, two, message, 100, &all);
}

static void bye_expect(const struct t_port *p)
{
	assert_int_equal(send(p->sock, "", 0, MSG_DONTWAIT), 0);
	punt_expect(p, IPN_PUNT_BYE, 0, p->in.gen, "", 0);
	quiet_expect();
}

/* Also of one who may not send, and of whatever policy. */
static void an_empty_message_is_a_goodbye(void **state)
{
	(void)state;
	bye_expect(one);
	bye_expect(two);
	one->in.flags &= ~(__u32)IPN_PF_WRITER;
	port_store(one);
	bye_expect(one);
	pass(WAY_SK, two, message, 100, &all); /* the way is open still */
}

static void an_empty_message_to_a_router_is_a_goodbye(void **state)
{
	(void)state;
	bye_expect(one);
}

/* A router writes into what it routes, which this hook cannot: it sees it at the segmenter. */
static void a_router_gets_it_as_it_is(void **state)
{
	static const __u32 lens[] = { 14, 60, 224, 225, 1514 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		fill(message, lens[i], (__u32)i);
		sock_send(one, message, lens[i]);
		one->want.in_packets++;
		one->want.in_bytes += lens[i];
		punt_expect(one, IPN_PUNT_POLICY, 0, one->in.gen, message, lens[i]);
		quiet_expect();
	}
	pass(WAY_SK, one, message, 1515, &(struct outcome){ .drop = DROP(MTU) });
	pass(WAY_SK, one, message, 13, &(struct outcome){ .drop = DROP(SOCK_SIZE) });
	one->in.flags &= ~(__u32)IPN_PF_WRITER;
	port_store(one);
	pass(WAY_SK, one, message, 100, &(struct outcome){ .drop = DROP(NOT_WRITER) });
}

/* Alone with processes, a sock port's flood takes no room in the ring. */
static void a_flood_that_nobody_else_gets_is_not_punted(void **state)
{
	const struct outcome log = { .log = true };

	(void)state;
	net->live->flood_len = 0; /* in_flood() would ask the ports: no device is looked at here */
	net->live->socks = 1;
	pass(WAY_SK, one, message, 100, &log);
	net->live->socks = 2;
	pass(WAY_SK, one, message, 100, &log);
	net->live->flood_len = 1;
	pass(WAY_SK, one, message, 100, &log);
}

/* --- who does not read ---------------------------------------------------------------------- */

static struct ipn_sk_query look_at(const struct t_port *p)
{
	struct ipn_sk_query look = { .node = p->in.node };

	assert_ok(bpf_socks_query(fab.b, &look, 1));
	return look;
}

static __u64 slow_drops(const struct t_port *p)
{
	struct ipn_stats stats;

	assert_ok(bpf_stats_get(fab.b, p->in.node, &stats));
	return stats.drop[IPN_DROP_SLOW];
}

/* Sends number n to the port that was learned, when the send buffer has room. */
static void numbered_send(const struct t_port *from, __u32 n)
{
	struct pollfd poller = { .fd = from->sock, .events = POLLOUT };

	assert_int_equal(poll(&poller, 1, SOCK_WAIT_MS), 1);
	memcpy(message + ETH_LEN, &n, sizeof(n));
	sock_send(from, message, 100);
}

/*
 * It is sent what its queue takes and a few more; what is more is dropped, and counted there. The
 * sender goes on, and what others are sent arrives.
 */
static void who_does_not_read_loses_only_his_own(void **state)
{
	struct t_port *third = port_make(net, 1, IPN_KIND_SOCK);
	const struct outcome to_third = { .sock = third }, to_two = { .sock = two };
	__u32 sent = 0, got, n;
	__u64 kept, end;

	(void)state;
	learn(two);
	while (!slow_drops(
		two)) { /* the kernel's worker may be slow, but sooner or later it is full */
		numbered_send(one, sent++);
		assert_true(sent < 100000);
	}
	assert_true(look_at(two).waiting >= 8);
	for (int i = 0; i < 10; i++) /* from here on it is all of it */
		numbered_send(one, sent++);
	assert_int_equal(slow_drops(two), 11);
	kept = sent - 11;
	assert_true(kept >= 8);

	two->want.drop[IPN_DROP_SLOW] = 11;
	one->want.in_packets = sent;
	one->want.in_bytes = 100ULL * sent;
	two->want.out_packets = kept;
	two->want.out_bytes = 100 * kept;
	for (end = 0; end < kept; end++) { /* those before the first that was dropped, in order */
		assert_int_equal(sock_recv(two, message, 100), 100);
		memcpy(&got, message + ETH_LEN, sizeof(got));
		n = (__u32)end;
		assert_int_equal(got, n);
		if (end == kept / 2) { /* meanwhile, to somebody else */
			put_bytes(message, "\x02\0\0\0\0\x0a", 6);
			learn(third);
			sock_send(one, message, 100);
			one->want.in_packets++;
			one->want.in_bytes += 100;
			third->want.out_packets++;
			third->want.out_bytes += 100;
			received_expect(third, message, 100);
		}
	}
	quiet_expect();
	put_bytes(message, "\x02\0\0\0\0\x09", 6);
	pass(WAY_SK, one, message, 100, &to_two); /* and all is as before */
	put_bytes(message, "\x02\0\0\0\0\x0a", 6);
	pass(WAY_SK, one, message, 100, &to_third);
}

/* --- the punt ring -------------------------------------------------------------------------- */

#define RECORD 2056 /* of a message of Ethernet's length: in the ring, and in the account */

/* The share of a port, by the words at the head of punt.h: half as much as there is room left. */
static __u32 share_of(__u64 *used)
{
	__u64 mine = 0;
	__u32 n = 0;

	for (; mine * 2 <= IPN_PUNT_SIZE - *used; n++) {
		mine += RECORD;
		*used += RECORD;
	}
	return n;
}

static void fill_share(enum way way, struct t_port *from, __u32 n)
{
	static __u8 frame[FRAME_MAX];
	static struct ran r;
	__u32 len;

	for (__u32 i = 0; i < n + 7; i++) {
		way_send(way, from, message, 1500, frame, &len, &r);
		from->want.in_packets++;
		from->want.in_bytes += 1500;
	}
	from->want.drop[IPN_DROP_PUNT_FULL] += 7;
	stats_expect(from);
}

/* Nobody takes records out: each port gets its share of the room that is left, and no more. */
static void every_port_has_its_share_of_the_punt_ring(void **state)
{
	struct t_port *from[] = { one, two, device, process };
	const enum way ways[] = { WAY_SK, WAY_SK, WAY_TC, WAY_XDP };
	__u32 n[ARRAY_SIZE(from)];
	__u64 used = 0;

	(void)state;
	/* to a sock port by unicast, but for what comes from one: that is for a device */
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		learn(ways[i] == WAY_SK ? device : two);
		n[i] = share_of(&used);
		print_message("  port %u: %u records\n", from[i]->in.number, n[i]);
		assert_true(n[i] > 20);
		fill_share(ways[i], from[i], n[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		const struct t_port *to = ways[i] == WAY_SK ? device : two;

		for (__u32 k = 0; k < n[i]; k++)
			punt_expect(from[i], IPN_PUNT_PORT, to->in.number, to->in.gen, message,
				    1500);
	}
	quiet_expect();
	learn(device);
	pass(WAY_SK, one, message, 100, &(struct outcome){ .device = device });
}

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (__u64)ts.tv_sec * SEC + (__u64)ts.tv_nsec;
}

#define WINDOW_NS (20 * MSEC)
#define WINDOW_BYTES (6U << 20)

/* What a port has put into the ring lately is written into its account instead of really sent. */
static void a_port_has_a_rate(void **state)
{
	struct ipn_punt_acct *acct = &fab.punt.acct[one->in.node];
	__u64 used;

	(void)state;
	learn(device);
	do { /* until it came within one window */
		acct->window = now_ns();
		acct->used = WINDOW_BYTES + 1;
		sock_send(one, message, 100);
		one->want.in_packets++;
		one->want.in_bytes += 100;
		used = acct->used;
		if (used <= WINDOW_BYTES)
			punt_expect(one, IPN_PUNT_PORT, device->in.number, device->in.gen, message,
				    100);
	} while (used <= WINDOW_BYTES);
	one->want.drop[IPN_DROP_PUNT_RATE]++;
	quiet_expect();
	learn(device); /* of another it is not the rate */
	pass(WAY_SK, two, message, 100, &(struct outcome){ .device = device });
	acct->window = now_ns() - WINDOW_NS - 10 * MSEC;
	pass(WAY_SK, one, message, 100, &(struct outcome){ .device = device });
	assert_in_range(acct->used, 1, 1000);
}

/* --- leaving -------------------------------------------------------------------------------- */

/* Its program's socket is not known any more: the first step. */
static void who_has_left_sends_nothing(void **state)
{
	const struct ipn_sk entry = { .ifindex = one->in.ifindex, .policy = one->in.policy };

	(void)state;
	assert_ok(bpf_map_delete_elem(fab.b->fd_sk_ports, &one->sock_key));
	sock_send(one, message, 100);
	sock_send(one, message, 16065);
	assert_int_equal(send(one->sock, "", 0, MSG_DONTWAIT), 0);
	quiet_expect();
	assert_ok(bpf_map_update_elem(fab.b->fd_sk_ports, &one->sock_key, &entry, BPF_NOEXIST));
	pass(WAY_SK, one, message, 100, &all);
	assert_ok(bpf_map_delete_elem(fab.b->fd_port_in, &one->in.ifindex));
	sock_send(one, message, 100);
	quiet_expect();
	port_store(one);
	pass(WAY_SK, one, message, 100, &all);
}

static void a_policy_that_is_not_there_is_named(void **state)
{
	const struct ipn_sk right = { .ifindex = one->in.ifindex, .policy = one->in.policy };
	const struct ipn_sk wrong = { .ifindex = one->in.ifindex, .policy = 63 };

	(void)state;
	assert_ok(bpf_map_update_elem(fab.b->fd_sk_ports, &one->sock_key, &wrong, BPF_EXIST));
	sock_send(one, message, 100);
	one->want.drop[IPN_DROP_NO_POLICY]++;
	quiet_expect();
	assert_ok(bpf_map_update_elem(fab.b->fd_sk_ports, &one->sock_key, &right, BPF_EXIST));
	pass(WAY_SK, one, message, 100, &all);
}

/* The socket is out of the map, and the table of ports says still that it is there. */
static void whose_socket_is_gone_is_slow(void **state)
{
	(void)state;
	learn(two);
	pass(WAY_SK, one, message, 100, &(struct outcome){ .sock = two });
	assert_ok(bpf_map_delete_elem(fab.b->fd_socks, &two->in.node));
	sock_send(one, message, 100);
	one->want.in_packets++;
	one->want.in_bytes += 100;
	two->want.drop[IPN_DROP_SLOW]++;
	quiet_expect();
}

/* Whom the manager would let in under another's name. */
static void a_look_tells_the_other_end(void **state)
{
	struct ipn_sk_query look = look_at(one);

	(void)state;
	assert_int_equal(look.peer, one->sock_key);
	assert_int_not_equal(look.peer, two->sock_key);
	assert_int_equal(look.waiting, 0);
	assert_int_equal(look.dead, 0);
	shutdown(two->sock, SHUT_RDWR);
	assert_int_equal(look_at(two).dead, 0);
	close(two->sock);
	two->sock = -1;
	look = look_at(two);
	/* a pair of which one end is closed: unconnected, or connected to what is dead */
	assert_true(!look.peer || look.dead);
	look = (struct ipn_sk_query){ .node = device->in.node }; /* no sock port */
	assert_ok(bpf_socks_query(fab.b, &look, 1));
	assert_int_equal(look.peer, 0);
}

/* Waits for what the kernel's worker does. */
static struct ipn_sk_query look_until(const struct t_port *p, bool broken)
{
	struct ipn_sk_query look = look_at(p);

	for (int ms = 0; !look.broken == broken && ms < SOCK_WAIT_MS; ms++) {
		usleep(1000);
		look = look_at(p);
	}
	return look;
}

/* The kernel's worker meets a socket that is closed, and takes its peer from ours. */
static void a_look_tells_who_has_closed_amid_messages(void **state)
{
	struct ipn_sk_query look;

	(void)state;
	assert_int_equal(look_at(two).broken, 0);
	learn(two);
	close(two->sock);
	two->sock = -1;
	sock_send(one, message, 100);
	look = look_until(two, true);
	assert_true(!look.peer || look.dead);
	assert_int_equal(look_at(one).broken, 0);
	assert_int_equal(look_at(one).peer, one->sock_key);
}

/* Its socket is another's for a moment: what comes then breaks the way to it. */
static void a_look_tells_whom_nothing_is_redirected_to(void **state)
{
	const struct sockaddr_un elsewhere = { .sun_family = AF_UNIX };
	int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	__u64 fd = (__u64)two->sock_end;
	struct sockaddr_un name;
	socklen_t len = sizeof(name);
	struct ipn_sk_query look;

	(void)state;
	learn(two);
	assert_ok(bind(other, (const void *)&elsewhere, sizeof(sa_family_t)));
	assert_ok(getsockname(other, (void *)&name, &len));
	assert_ok(connect(two->sock, (void *)&name, len));
	sock_send(one, message, 100);
	look = look_until(two, true);
	assert_int_equal(look.broken, 1);
	assert_int_equal(look.peer, two->sock_key);
	/* out and back */
	assert_ok(bpf_map_delete_elem(fab.b->fd_socks, &two->in.node));
	assert_ok(bpf_map_update_elem(fab.b->fd_socks, &two->in.node, &fd, BPF_ANY));
	assert_int_equal(look_at(two).broken, 0);
	assert_int_equal(look_at(two).waiting, 0);
	close(other);
}

static const struct CMUnitTest tests[] = {
#define SK_TEST(name, world) cmocka_unit_test_setup_teardown(name, world, world_done)
	SK_TEST(a_sock_port_sends_from_14_to_16064_bytes_and_the_mtu, jumbo),
	SK_TEST(a_sock_port_is_sent_no_more_than_that, ethernet_switch),
	SK_TEST(who_may_not_send_does_not, hub),
	SK_TEST(an_empty_message_is_a_goodbye, hub),
	SK_TEST(an_empty_message_to_a_router_is_a_goodbye, router),
	SK_TEST(a_router_gets_it_as_it_is, router),
	SK_TEST(a_flood_that_nobody_else_gets_is_not_punted, hub),
	SK_TEST(who_does_not_read_loses_only_his_own, ethernet_switch),
	SK_TEST(every_port_has_its_share_of_the_punt_ring, ethernet_switch),
	SK_TEST(a_port_has_a_rate, ethernet_switch),
	SK_TEST(who_has_left_sends_nothing, hub),
	SK_TEST(a_policy_that_is_not_there_is_named, hub),
	SK_TEST(whose_socket_is_gone_is_slow, ethernet_switch),
	SK_TEST(a_look_tells_the_other_end, hub),
	SK_TEST(a_look_tells_who_has_closed_amid_messages, ethernet_switch),
	SK_TEST(a_look_tells_whom_nothing_is_redirected_to, ethernet_switch),
};

FABRIC_MAIN(tests)
