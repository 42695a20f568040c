/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The log when things go wrong: a writer that stands still in a slot, a writer that was lapped, a
 * log that is missing. And what a member can do to a log that it was given: look.
 */
#include "ways.h"

#include <errno.h>

static __u8 message[2000];

static struct t_net *net;
static struct t_port *process, *reader, *device, *sock;
static const enum way ways[] = { WAY_XDP, WAY_TC, WAY_SK };

/* A log as the manager makes it, but not frozen, so that the test can be another writer. */
static int log_open_new(__u32 log_class)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);

	return bpf_map_create(BPF_MAP_TYPE_ARRAY, "ipn_t_log", sizeof(__u32),
			      ipn_slot_size(log_class), LOG_SLOTS + 1, &opts);
}

static void log_replace(struct t_log *log, __u32 index)
{
	__u32 log_class = log->log_class;

	log_close(log);
	log_map(log, log_class, log_open_new(log_class), LOG_SLOTS, PROT_READ | PROT_WRITE);
	assert_ok(bpf_log_set(fab.b, log_class, index, log->fd));
}

static int world(void **state)
{
	net = net_make(IPN_POLICY_SWITCH, 1514, 8);
	process = port_make(net, 6, IPN_KIND_PROC);
	device = port_make(net, 3, IPN_KIND_TAP);
	sock = port_make(net, 5, IPN_KIND_SOCK);
	reader = port_make(net, 2, IPN_KIND_PROC);
	log_replace(&net->log, IPN_LOG_OF_NET(net->id));
	log_replace(&reader->log, IPN_LOG_OF_NODE(reader->in.node));
	fill(message, sizeof(message), 5);
	put_bytes(message, "\x02\0\0\0\0\x09\x02\0\0\0\0\x08", 12);
	return 0;
}

static int world_done(void **state)
{
	return fabric_clear(state);
}

/* --- slots held by others ------------------------------------------------------------------ */

#define N (3 * LOG_SLOTS + 2) /* number of the message that comes */

/* What another writer left in the slot of message N. */
static const struct {
	const char *name;
	__u64 seq;
	bool written; /* the message is written all the same */
	bool hole;    /* readers are told that it will not come */
} slots[] = {
	{ "never used", 0, true, false },
	{ "the message of the last round", N + 1 - LOG_SLOTS, true, false },
	{ "a message of two rounds ago: one was not written", N + 1 - 2 * LOG_SLOTS, true, false },
	{ "a writer of the last round, still copying", (N + 1 - LOG_SLOTS) | IPN_SEQ_BUSY, false,
	  true },
	{ "a writer of three rounds ago, still copying", (N + 1 - 3 * LOG_SLOTS) | IPN_SEQ_BUSY,
	  false, true },
	{ "a newer message: lapped", N + 1 + LOG_SLOTS, false, false },
	{ "a newer writer, still copying", (N + 1 + LOG_SLOTS) | IPN_SEQ_BUSY, false, false },
	{ "a message of two rounds on", N + 1 + 2 * LOG_SLOTS, false, false },
};

static struct ipn_slot *slot_rw(const struct t_log *log, __u64 n)
{
	return (struct ipn_slot *)log_slot(log, n);
}

static void head_set(struct t_log *log, __u64 head)
{
	((struct ipn_log_head *)log->base)->head = head;
	log->next = head;
}

/* One row on one log; `ok` is what comes of the message when the log takes it. */
static void slot_run(size_t i, enum way way, struct t_log *log, const struct outcome *ok)
{
	struct t_port *from = way_sender(way, process, device, sock);
	struct ipn_slot *slot = slot_rw(log, N);
	struct outcome o = *ok;
	__u8 old[100];

	print_message("  %s, %s\n", slots[i].name, way_name(way));
	head_set(log, N);
	slot_rw(log, N + 1)->seq = 0;
	fill(old, sizeof(old), 99);
	slot->seq = slots[i].seq;
	slot->skip = 0;
	slot->len = 77;
	slot->src = 5;
	memcpy(slot->data, old, sizeof(old));
	if (!slots[i].written) {
		o.drop = DROP(BUSY);
		o.log = false;
		o.process = NULL;
		log->next++; /* the number is spent */
	}
	pass(way, from, message, sizeof(old), &o);
	if (!slots[i].written) {
		assert_int_equal(slot->seq, slots[i].seq);
		assert_int_equal(slot->len, 77);
		assert_int_equal(slot->src, 5);
		assert_memory_equal(slot->data, old, sizeof(old));
	}
	assert_int_equal(slot->skip, slots[i].hole ? N + 1 : 0);
	pass(way, from, message, 101, ok); /* the next one has a slot of its own */
}

static void a_held_slot_is_left_to_its_holder(void **state)
{
	const struct outcome ok = { .log = true, .flood = true };

	(void)state;
	memset(message, 0xff, 6);
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++)
		for (size_t k = 0; k < ARRAY_SIZE(ways); k++)
			slot_run(i, ways[k], &net->log, &ok);
}

static void the_same_in_the_log_of_a_process(void **state)
{
	const struct outcome ok = { .process = reader };
	struct ipn_fdb_key key = { .net = net->id };
	struct timespec ts;

	(void)state;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	struct ipn_fdb e = { .port = reader->in.number,
			     .gen = reader->in.gen,
			     .seen = (__u64)ts.tv_sec * SEC + (__u64)ts.tv_nsec };

	memcpy(key.mac, message, 6);
	fdb_set(&key, &e);
	for (size_t i = 0; i < ARRAY_SIZE(slots); i++)
		for (size_t k = 0; k < ARRAY_SIZE(ways); k++)
			slot_run(i, ways[k], &reader->log, &ok);
}

/* What struct ipn_slot promises a reader that waits for message n. */
enum seen { EMPTY, READY, HOLE, LAPPED };
static enum seen look(const struct t_log *log, __u64 n)
{
	const struct ipn_slot *slot = log_slot(log, n);

	if (slot->seq == n + 1)
		return READY;
	if ((slot->seq & ~IPN_SEQ_BUSY) > n + 1)
		return LAPPED;
	return slot->skip == n + 1 ? HOLE : EMPTY;
}

/* A writer stands still in slot 0 for a whole round, and then publishes. */
static void a_stalled_writer_costs_one_message_a_round(void **state)
{
	const struct outcome ok = { .log = true, .flood = true };
	const struct outcome busy = { .flood = true, .drop = DROP(BUSY) };
	struct t_log *log = &net->log;
	struct ipn_slot *slot = slot_rw(log, 0);

	(void)state;
	memset(message, 0xff, 6);
	head_set(log, 1);
	slot->seq = 1 | IPN_SEQ_BUSY;
	assert_int_equal(look(log, 0), EMPTY); /* its readers wait */
	for (int i = 1; i < LOG_SLOTS; i++)
		pass(WAY_TC, device, message, 100, &ok);
	log->next++;
	pass(WAY_TC, device, message, 100, &busy);
	assert_int_equal(look(log, 0), EMPTY);
	assert_int_equal(look(log, LOG_SLOTS), HOLE);
	pass(WAY_XDP, process, message, 100, &ok);
	assert_int_equal(look(log, LOG_SLOTS + 1), READY);
	assert_int_equal(look(log, 1), LAPPED);

	slot->seq = 1; /* at last */
	assert_int_equal(look(log, 0), READY);
	assert_int_equal(look(log, LOG_SLOTS), HOLE);
	for (int i = 2; i < LOG_SLOTS; i++)
		pass(WAY_TC, device, message, 100, &ok);
	pass(WAY_TC, device, message, 100, &ok); /* the slot works again */
	assert_int_equal(look(log, 2 * LOG_SLOTS), READY);
	assert_int_equal(look(log, LOG_SLOTS), LAPPED);
	assert_int_equal(look(log, 0), LAPPED);
}

/* Newer messages may have woken it in vain: it stands before the number that will not come. */
static void a_number_that_will_not_come_wakes_readers(void **state)
{
	const struct outcome busy = { .flood = true, .drop = DROP(BUSY), .woken = reader };

	(void)state;
	memset(message, 0xff, 6);
	slot_rw(&net->log, 0)->seq = IPN_SEQ_BUSY;
	fall_asleep(reader);
	net->log.next++;
	pass(WAY_TC, device, message, 100, &busy);
	assert_int_equal(look(&net->log, 0), HOLE);
	assert_int_equal(reader->page->sleep, 0);
}

/* Numbers pass 32 bits. */
static void numbers_have_64_bits(void **state)
{
	const struct outcome ok = { .log = true, .flood = true };

	(void)state;
	memset(message, 0xff, 6);
	head_set(&net->log, 0xfffffffeULL);
	for (int i = 0; i < 5; i++)
		pass(WAY_XDP, process, message, 100, &ok);
	assert_int_equal(log_slot(&net->log, 0x100000001ULL)->seq, 0x100000002ULL);
}

/* --- logs that are not there --------------------------------------------------------------- */

static void without_log_devices_still_receive(void **state)
{
	const struct outcome none = { .flood = true, .drop = DROP(NO_LOG) };
	__u32 index = IPN_LOG_OF_NET(net->id);

	(void)state;
	memset(message, 0xff, 6);
	assert_ok(bpf_map_delete_elem(fab.b->fd_logs[net->log.log_class], &index));
	for (size_t k = 0; k < ARRAY_SIZE(ways); k++)
		pass(ways[k], way_sender(ways[k], process, device, sock), message, 100, &none);
	assert_ok(bpf_log_set(fab.b, net->log.log_class, index, net->log.fd));
	net->live->log_class = IPN_LOG_CLASSES;
	pass(WAY_TC, device, message, 100, &none);
	net->live->log_class = IPN_LOG_JUMBO; /* there is none of this class */
	pass(WAY_TC, device, message, 100, &none);
}

/* The manager puts a stand-in of one slot where a node was. Nothing is written beside it. */
static void a_log_smaller_than_its_mask_is_not_overrun(void **state)
{
	const struct outcome none = { .flood = true, .drop = DROP(NO_LOG) };
	const struct outcome ok = { .log = true, .flood = true };
	__u32 log_class = net->log.log_class;
	struct t_log tiny = { 0 }, whole = net->log;

	(void)state;
	memset(message, 0xff, 6);
	log_map(&tiny, log_class, bpf_log_new(log_class, 1), 1, PROT_READ);
	assert_ok(bpf_log_set(fab.b, log_class, IPN_LOG_OF_NET(net->id), tiny.fd));
	net->log = tiny;
	pass(WAY_TC, device, message, 100, &ok);
	net->log.next++;
	pass(WAY_TC, device, message, 100, &none);
	log_close(&net->log);
	net->log = whole;
}

/* --- what a member may do ------------------------------------------------------------------ */

static void a_log_handed_out_can_only_be_looked_at(void **state)
{
	static const __u32 classes[] = { IPN_LOG_SMALL, IPN_LOG_ETH, IPN_LOG_JUMBO };
	static __u8 value[IPN_SLOT_JUMBO];
	__u32 key = 0, count = 1;
	LIBBPF_OPTS(bpf_map_batch_opts, opts);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		size_t size = 2 * ipn_slot_size(classes[i]);
		int made = bpf_log_new(classes[i], 4), fd;

		assert_true(made >= 0);
		assert_ok(bpf_log_set(fab.b, classes[i], IPN_LOG_OF_NET(0), made));
		fd = bpf_inner_get(fab.b->fd_logs[classes[i]], IPN_LOG_OF_NET(0));
		assert_true(fd >= 0);
		close(made);

		assert_int_equal(bpf_map_update_elem(fd, &key, value, BPF_ANY), -EPERM);
		assert_int_equal(bpf_map_update_batch(fd, &key, value, &count, &opts), -EPERM);
		assert_true(bpf_map_delete_elem(fd, &key) < 0);
		assert_ptr_equal(mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0),
				 MAP_FAILED);
		assert_int_equal(errno, EPERM);
		assert_ptr_equal(mmap(NULL, size, PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
		void *p = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

		assert_ptr_not_equal(p, MAP_FAILED);
		assert_int_equal(mprotect(p, size, PROT_READ | PROT_WRITE), -1);
		munmap(p, size);
		assert_ok(bpf_map_delete_elem(fab.b->fd_logs[classes[i]], &key));
		close(fd);
	}
}

/* What a node is given to write: its page, and of its bell only the reader's position. */
static void a_page_can_be_written_and_a_bell_cannot(void **state)
{
	int page = bpf_inner_get(fab.b->fd_pages, reader->in.node);
	struct ipn_page *p;
	__u8 *consumer;

	(void)state;
	assert_true(page >= 0);
	p = mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	p->cursor = 17;
	munmap(p, sizeof(*p));
	close(page);
	consumer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, reader->bell, 0);
	assert_ptr_not_equal(consumer, MAP_FAILED);
	munmap(consumer, 4096);
	assert_ptr_equal(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, reader->bell, 4096),
			 MAP_FAILED);
}

static const struct CMUnitTest tests[] = {
#define LOG_TEST(name) cmocka_unit_test_setup_teardown(name, world, world_done)
	LOG_TEST(a_held_slot_is_left_to_its_holder),
	LOG_TEST(the_same_in_the_log_of_a_process),
	LOG_TEST(a_stalled_writer_costs_one_message_a_round),
	LOG_TEST(a_number_that_will_not_come_wakes_readers),
	LOG_TEST(numbers_have_64_bits),
	LOG_TEST(without_log_devices_still_receive),
	LOG_TEST(a_log_smaller_than_its_mask_is_not_overrun),
	cmocka_unit_test(a_log_handed_out_can_only_be_looked_at),
	LOG_TEST(a_page_can_be_written_and_a_bell_cannot),
};

FABRIC_MAIN(tests)
