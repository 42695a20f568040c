// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Batches of a process: each message is one like any other, a lying frame does no harm, and a network
 * with devices refuses the whole batch and says so in the sender's page.
 */
#include "ways.h"

#define MTU 300

static struct t_net *net;
static struct t_port *sender, *reader;
static struct ipn_page *page;
static __u8 frame[IPN_TX_BATCH_FRAME];

static int world_of(__u32 policy)
{
	int fd;

	net = net_make(policy, MTU, 8);
	sender = port_make(net, 0, IPN_KIND_PROC);
	reader = port_make(net, 1, IPN_KIND_PROC);
	fd = bpf_inner_get(fab.b->fd_pages, sender->port.node);
	page = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(page, MAP_FAILED);
	close(fd);
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
	munmap(page, (size_t)sysconf(_SC_PAGESIZE));
	return fabric_clear(state);
}

static __u32 batch_start(__u8 count, __u32 ticket)
{
	struct ipn_tx_hdr hdr = { .op = IPN_TX_BATCH, .count = count };

	frame_of(frame, IPN_TX_BATCH, NULL, 0);
	memcpy(&hdr, frame, sizeof(hdr));
	hdr.count = count;
	memcpy(hdr.ticket, &ticket, sizeof(ticket));
	memcpy(frame, &hdr, sizeof(hdr));
	return IPN_TX_HDR;
}

static __u32 batch_add(__u32 at, const void *message, __u16 len)
{
	memcpy(frame + at, &len, sizeof(len));
	memcpy(frame + at + IPN_TX_LEN, message, len);
	return at + IPN_TX_LEN + len;
}

static void batch_send(__u32 len)
{
	static struct ran r;

	assert_ok(xdp_run(fab.b->prog_xdp, sender->port.ifindex, frame, len, 0, &r));
	assert_int_equal(r.ret, XDP_DROP);
}

/* A message of the log that others may follow. */
static void log_next(struct t_log *log, const void *data, __u32 len)
{
	const struct ipn_slot *slot = log_slot(log, log->next);

	assert_int_equal(slot->seq, ++log->next);
	assert_int_equal(slot->len, len);
	assert_int_equal(slot->src, sender->port.port);
	assert_memory_equal(slot->data, data, len);
}

static void each_message_stands_in_the_log_in_order(void **state)
{
	static const __u16 lens[] = { 64, 0, 1, MTU, 13, MTU - 1, 200 };
	__u8 messages[ARRAY_SIZE(lens)][MTU];
	__u32 at = batch_start(ARRAY_SIZE(lens), 1);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		fill(messages[i], lens[i], (__u32)i);
		at = batch_add(at, messages[i], lens[i]);
		sender->want.in_packets++;
		sender->want.in_bytes += lens[i];
	}
	batch_send(at);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		log_next(&net->log, messages[i], lens[i]);
	assert_int_equal(page->tx_refused, 0);
	quiet_expect();
}

static void the_most_messages_of_a_batch(void **state)
{
	__u8 one = 7;
	__u32 at = batch_start(IPN_TX_BATCH_MAX, 1);

	(void)state;
	for (int i = 0; i < IPN_TX_BATCH_MAX; i++)
		at = batch_add(at, &one, 1);
	batch_send(at);
	assert_int_equal(log_head(&net->log), IPN_TX_BATCH_MAX);
	net->log.next = IPN_TX_BATCH_MAX;
	sender->want.in_packets += IPN_TX_BATCH_MAX;
	sender->want.in_bytes += IPN_TX_BATCH_MAX;
	quiet_expect();
}

static void a_lying_frame_gives_what_is_true_in_it(void **state)
{
	static const struct {
		const char *name;
		__u8 count;
		int cut;   /* bytes that the frame lacks at its end */
		__u16 lie; /* added to the second length */
		int good;  /* messages before the lie */
	} rows[] = {
		{ "more promised than there are", 3, 0, 0, 2 },
		{ "cut in the last message", 2, 1, 0, 1 },
		{ "cut before the last message", 2, 50, 0, 1 },
		{ "cut in a length", 2, 51, 0, 1 },
		{ "a length beyond the end", 2, 0, 1, 1 },
		{ "the longest length", 2, 0, 0xffff - 50, 1 },
	};
	__u8 message[50];

	(void)state;
	fill(message, sizeof(message), 3);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		__u16 lie = (__u16)(50 + rows[i].lie);
		__u32 at = batch_start(rows[i].count, 1), second;

		print_message("  %s\n", rows[i].name);
		second = batch_add(at, message, 50);
		at = batch_add(second, message, 50);
		memcpy(frame + second, &lie, sizeof(lie));
		batch_send(at - (__u32)rows[i].cut);
		for (int g = 0; g < rows[i].good; g++) {
			log_next(&net->log, message, 50);
			sender->want.in_packets++;
			sender->want.in_bytes += 50;
		}
		sender->want.drop[IPN_DROP_BAD_FRAME]++;
		quiet_expect();
	}
	batch_send(batch_start(0, 1)); /* of none: no operation that there is */
	sender->want.drop[IPN_DROP_BAD_FRAME]++;
	quiet_expect();
}

static void too_long_for_the_mtu_is_dropped_alone(void **state)
{
	__u8 message[MTU + 1];
	__u32 at = batch_start(3, 1);

	(void)state;
	fill(message, sizeof(message), 5);
	at = batch_add(at, message, 60);
	at = batch_add(at, message, MTU + 1);
	at = batch_add(at, message, 61);
	batch_send(at);
	log_next(&net->log, message, 60);
	log_next(&net->log, message, 61);
	sender->want.in_packets += 2;
	sender->want.in_bytes += 121;
	sender->want.drop[IPN_DROP_MTU]++;
	quiet_expect();
}

static void who_may_not_send_may_not_in_batches(void **state)
{
	__u32 at = batch_start(2, 1);

	(void)state;
	at = batch_add(at, "one", 3);
	at = batch_add(at, "two", 3);
	sender->port.flags &= ~(__u32)IPN_PF_WRITER;
	port_store(sender);
	batch_send(at);
	sender->want.drop[IPN_DROP_NOT_WRITER] += 2;
	quiet_expect();
}

static void a_network_with_devices_refuses_with_the_ticket(void **state)
{
	struct t_port *device = port_make(net, 2, IPN_KIND_TAP);
	__u32 at = batch_start(2, 0xfeedf00d);

	(void)state;
	(void)device;
	at = batch_add(at, "one", 3);
	at = batch_add(at, "two", 3);
	batch_send(at);
	assert_true(page->tx_refused == (IPN_TX_REFUSED | 0xfeedf00d));
	quiet_expect(); /* nothing was sent, nothing is counted: the sender sends it again */
}

static void sleepers_are_woken_once_for_all(void **state)
{
	__u32 at = batch_start(3, 1);

	(void)state;
	assert_int_equal(control(reader, IPN_TX_SLEEP), XDP_DROP);
	for (int i = 0; i < 3; i++)
		at = batch_add(at, "wake up", 7);
	batch_send(at);
	assert_int_equal(bell_wakes(reader), 1);
	assert_int_equal(net->live->sleep_any, 0);
	assert_int_equal(log_head(&net->log), 3);
}

static void on_a_switch_each_goes_its_way(void **state)
{
	__u8 out[60], all[60];
	__u32 at;

	(void)state;
	fill(all, sizeof(all), 1);
	memset(all, 0xff, 6);
	memcpy(all + 6, "\2\0\0\0\0\1", 6);
	memcpy(out, all, sizeof(out));
	memcpy(out, "\2\0\0\0\0\2", 6);
	/* the reader shows its address */
	{
		static struct ran r;
		__u8 hello[IPN_TX_HDR + 60], message[60];

		memcpy(message, all, sizeof(message));
		memcpy(message + 6, "\2\0\0\0\0\2", 6);
		frame_of(hello, IPN_TX_DATA, message, sizeof(message));
		assert_ok(xdp_run(fab.b->prog_xdp, reader->port.ifindex, hello, sizeof(hello), 0,
				  &r));
		reader->want.in_packets++;
		reader->want.in_bytes += 60;
		log_expect(&net->log, reader->port.port, message, sizeof(message));
	}
	assert_int_equal(control(reader, IPN_TX_SLEEP), XDP_DROP);
	at = batch_start(3, 1);
	at = batch_add(at, out, sizeof(out));
	at = batch_add(at, all, sizeof(all));
	at = batch_add(at, out, sizeof(out));
	batch_send(at);
	log_next(&reader->log, out, sizeof(out));
	log_next(&reader->log, out, sizeof(out));
	log_next(&net->log, all, sizeof(all));
	sender->want.in_packets += 3;
	sender->want.in_bytes += 180;
	assert_int_equal(bell_wakes(reader), 1);
	quiet_expect();
}

#define ON(setup, name) cmocka_unit_test_setup_teardown(name, setup, world_done)

static const struct CMUnitTest tests[] = {
	ON(hub, each_message_stands_in_the_log_in_order),
	ON(hub, the_most_messages_of_a_batch),
	ON(hub, a_lying_frame_gives_what_is_true_in_it),
	ON(hub, too_long_for_the_mtu_is_dropped_alone),
	ON(hub, who_may_not_send_may_not_in_batches),
	ON(hub, a_network_with_devices_refuses_with_the_ticket),
	ON(hub, sleepers_are_woken_once_for_all),
	ON(ethernet_switch, on_a_switch_each_goes_its_way),
};

FABRIC_MAIN(tests)
