/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Broadcast networks: messages into the log, to devices and to sock ports, over every hook. */
#include "ways.h"

static __u8 message[FRAME_MAX];

struct hub {
	struct t_net *net;
	struct t_port *process, *reader, *device, *other, *sock;
};

/* Two processes, two devices and two sock ports. */
static struct hub hub_make(__u32 mtu)
{
	struct hub h = { .net = net_make(IPN_POLICY_BROADCAST, mtu, 9) };

	h.process = port_make(h.net, 4, IPN_KIND_PROC);
	h.sock = port_make(h.net, 8, IPN_KIND_SOCK);
	port_make(h.net, 6, IPN_KIND_SOCK);
	h.device = port_make(h.net, 2, IPN_KIND_TAP);
	h.reader = port_make(h.net, 1, IPN_KIND_PROC);
	h.other = port_make(h.net, 5, IPN_KIND_VETH);
	return h;
}

static struct t_port *sender(const struct hub *h, enum way way)
{
	return way_sender(way, h->process, h->device, h->sock);
}

/* Without devices, so that messages too short for one are whole on their way. */
static struct hub processes_make(__u32 mtu)
{
	struct hub h = { .net = net_make(IPN_POLICY_BROADCAST, mtu, 6) };

	h.process = port_make(h.net, 4, IPN_KIND_PROC);
	h.reader = port_make(h.net, 1, IPN_KIND_PROC);
	return h;
}

/* --- length and class ---------------------------------------------------------------------- */

static const struct {
	__u32 mtu;
	enum ipn_log_class log_class;
	__u32 lens[8]; /* ends with 0; 0 itself is always tried */
} lengths[] = {
	{ 1, IPN_LOG_SMALL, { 1, 2, 14 } },
	{ 14, IPN_LOG_SMALL, { 1, 13, 14, 15 } },
	{ 64, IPN_LOG_SMALL, { 18, 63, 64, 65, 66 } },
	{ 231, IPN_LOG_SMALL, { 230, 231, 232, 233 } },
	{ 232, IPN_LOG_SMALL, { 17, 18, 19, 228, 231, 232, 233 } },
	{ 233, IPN_LOG_ETH, { 232, 233, 234 } },
	{ 1514, IPN_LOG_ETH, { 60, 1510, 1513, 1514, 1515, 1518, 1519 } },
	{ 2023, IPN_LOG_ETH, { 2022, 2023, 2024, 2025 } },
	{ 2024, IPN_LOG_ETH, { 1, 2020, 2023, 2024, 2025 } },
	{ 2025, IPN_LOG_JUMBO, { 2024, 2025, 2026 } },
	{ 3400, IPN_LOG_JUMBO, { 14, 2048, 3399, 3400, 3401 } },
	{ 9014, IPN_LOG_JUMBO, { 3600, 4096, 8191, 9013, 9014, 9015 } },
	{ 65534, IPN_LOG_JUMBO, { 32768, 65533, 65534, 65535 } },
	{ 65535, IPN_LOG_JUMBO, { 1, 13, 14, 60000, 65534, 65535, 65536 } },
};

static void length_try(enum way way, struct t_port *from, __u32 len, bool flood)
{
	struct outcome o = { .log = true, .flood = flood };

	if (!way_has(way, len))
		return;
	fill(message, len, len);
	if (way == WAY_TAG)
		put_bytes(message + 12, "\x81\x00\x20\x07", TAG_LEN);
	if (len > from->in.mtu)
		o = (struct outcome){ .drop = DROP(MTU) };
	print_message("  mtu %u, %u bytes, %s\n", from->in.mtu, len, way_name(way));
	pass(way, from, message, len, &o);
}

static void every_length_up_to_the_mtu_stands_in_the_log(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct hub h = processes_make(lengths[i].mtu);

		assert_int_equal(h.net->live->log_class, lengths[i].log_class);
		length_try(WAY_XDP, h.process, 0, false);
		for (int j = 0; lengths[i].lens[j]; j++)
			length_try(WAY_XDP, h.process, lengths[i].lens[j], false);
		fabric_clear(state);
	}
}

static void the_same_from_and_to_devices(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct hub h = hub_make(lengths[i].mtu);

		for (int j = 0; lengths[i].lens[j]; j++)
			for (enum way way = 0; way < WAYS; way++)
				if (lengths[i].lens[j] >= ETH_LEN)
					length_try(way, sender(&h, way), lengths[i].lens[j], true);
		fabric_clear(state);
	}
}

/* The processes have it, the devices cannot. */
static void a_message_too_short_for_a_device_is_a_runt_there(void **state)
{
	static const struct outcome o = { .log = true, .drop = DROP(RUNT) };
	struct hub h = hub_make(1514);

	for (__u32 len = 0; len < ETH_LEN; len++) {
		fill(message, len, len);
		pass(WAY_XDP, h.process, message, len, &o);
	}
}

/* --- order --------------------------------------------------------------------------------- */

static void messages_of_all_ways_are_numbered_in_one_order(void **state)
{
	static const struct outcome o = { .log = true, .flood = true };
	struct hub h = hub_make(1514);

	for (__u32 i = 0; i < 5 * LOG_SLOTS + 3; i++) {
		enum way way = (i + i / 5) % WAYS;
		__u32 len = 60 + i * 7;

		fill(message, len, i);
		if (way == WAY_TAG)
			put_bytes(message + 12, "\x81\x00\x20\x07", TAG_LEN);
		pass(way, sender(&h, way), message, len, &o);
	}
	assert_int_equal(h.net->log.next, 5 * LOG_SLOTS + 3);
}

static void slots_not_overwritten_keep_their_message(void **state)
{
	static const struct outcome o = { .log = true };
	struct hub h = processes_make(100);
	const __u32 total = 3 * LOG_SLOTS + 5;

	for (__u32 n = 0; n < total; n++) {
		fill(message, 40 + n, n);
		pass(WAY_XDP, n & 1 ? h.process : h.reader, message, 40 + n, &o);
	}
	for (__u64 n = total - LOG_SLOTS; n < total; n++) {
		const struct ipn_slot *slot = log_slot(&h.net->log, n);

		fill(message, 40 + n, n);
		assert_int_equal(slot->seq, n + 1);
		assert_int_equal(slot->src, n & 1 ? h.process->in.number : h.reader->in.number);
		assert_int_equal(slot->len, 40 + n);
		assert_memory_equal(slot->data, message, 40 + n);
	}
}

/* --- who receives -------------------------------------------------------------------------- */

static void nothing_is_written_when_no_process_reads(void **state)
{
	static const struct outcome o = { .flood = true };
	struct hub h = hub_make(1514);

	h.net->live->readers = 0;
	fill(message, 100, 1);
	for (enum way way = 0; way < WAYS; way++) {
		if (way != WAY_TAG)
			pass(way, sender(&h, way), message, 100, &o);
	}
}

static void a_device_that_is_down_is_not_missed(void **state)
{
	static const struct outcome o = { .log = true, .flood = true };
	struct hub h = hub_make(1514);
	struct t_port *third = port_make(h.net, 0, IPN_KIND_HOST);

	fill(message, 100, 1);
	pass(WAY_TC, h.device, message, 100, &o);
	h.other->in.flags &= ~IPN_PF_UP;
	port_store(h.other);
	pass(WAY_TC, h.device, message, 100, &o); /* `third` still gets it */
	third->in.flags &= ~IPN_PF_UP;
	port_store(third);
	pass(WAY_TC, h.device, message, 100, &o);
	pass(WAY_XDP, h.process, message, 100, &o);
}

/* The manager leaves a hole where a device was, and does not shorten the list. */
static void a_hole_among_the_devices_is_stepped_over(void **state)
{
	static const struct outcome o = { .log = true, .flood = true };
	struct hub h = hub_make(1514);
	struct t_port *third = port_make(h.net, 0, IPN_KIND_TAP);
	__u32 at = h.net->live->port_base + h.other->in.flood_at, zero = 0;

	fill(message, 100, 1);
	assert_ok(bpf_map_update_elem(fab.b->fd_flood_list, &at, &zero, BPF_ANY));
	h.other->in.flags &= ~IPN_PF_UP; /* for in_flood(): it is not there */
	pass(WAY_TC, h.device, message, 100, &o);
	assert_int_equal(third->want.out_packets, 1);
}

/* Between two stores of the manager, a list entry may name a place that is free or a process. */
static void a_list_entry_without_a_device_is_stepped_over(void **state)
{
	static const struct outcome o = { .log = true, .flood = true };
	struct hub h = hub_make(1514);
	__u32 at = h.net->live->port_base + h.other->in.flood_at, entry = port_at(h.reader) + 1;

	h.other->in.flags &= ~IPN_PF_UP; /* for in_flood() */
	fill(message, 100, 1);
	port_out_set_kind(h.other, IPN_KIND_NONE);
	pass(WAY_TC, h.device, message, 100, &o);
	assert_ok(bpf_map_update_elem(fab.b->fd_flood_list, &at, &entry, BPF_ANY));
	pass(WAY_TC, h.device, message, 100, &o);
}

static void networks_do_not_mix(void **state)
{
	static const struct outcome o = { .log = true, .flood = true };
	struct hub h[2] = { hub_make(1514), hub_make(1514) };

	for (__u32 i = 0; i < 12; i++) {
		const struct hub *one = &h[i % 3 != 0];
		enum way way = i % 2 ? WAY_XDP : i % 4 ? WAY_SK : WAY_TC;

		fill(message, 80, i);
		pass(way, sender(one, way), message, 80, &o);
	}
	assert_int_equal(h[0].net->log.next, 4);
	assert_int_equal(h[1].net->log.next, 8);
}

/* Logs of a small and of a large network have the same index: only the class tells them apart. */
static void the_class_of_the_network_rules_which_log(void **state)
{
	static const struct outcome o = { .log = true };
	struct hub h = processes_make(200);
	struct t_log jumbo = { 0 };

	log_make(&jumbo, IPN_LOG_JUMBO, IPN_LOG_OF_NET(h.net->id));
	fill(message, 200, 1);
	pass(WAY_XDP, h.process, message, 200, &o);
	log_expect_nothing(&jumbo);
	log_close(&jumbo);
}

static const struct CMUnitTest tests[] = {
	TEST(every_length_up_to_the_mtu_stands_in_the_log),
	TEST(the_same_from_and_to_devices),
	TEST(a_message_too_short_for_a_device_is_a_runt_there),
	TEST(messages_of_all_ways_are_numbered_in_one_order),
	TEST(slots_not_overwritten_keep_their_message),
	TEST(nothing_is_written_when_no_process_reads),
	TEST(a_device_that_is_down_is_not_missed),
	TEST(a_hole_among_the_devices_is_stepped_over),
	TEST(a_list_entry_without_a_device_is_stepped_over),
	TEST(networks_do_not_mix),
	TEST(the_class_of_the_network_rules_which_log),
};

FABRIC_MAIN(tests)
