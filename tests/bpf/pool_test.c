/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool of a LOSSLESS network against a model that counts every message: what is taken, what is
 * refused, who is rung. And pages that lie.
 */
#include "ways.h"

#include <ipn/af_ipn.h>

#define POOL 3
#define NPROCS 4
#define STEPS 4000
#define MAX_MESSAGES (STEPS + 100)

static struct t_net *net;
static struct t_port *procs[NPROCS], *device;
static int rooms[NPROCS];
static struct ring_buffer *rings[NPROCS];
static int rung[NPROCS];

/* The model. */
static __u64 head;
static __u32 src[MAX_MESSAGES];

static int on_ring(void *ctx, void *data, size_t size)
{
	(void)data;
	(void)size;
	++*(int *)ctx;
	return 0;
}

static int world_of(__u32 policy)
{
	static const __u32 places[NPROCS] = { 0, 5, 64, 70 };

	net = net_make(policy, 200, 128);
	net->live->flags = IPN_FLAG_LOSSLESS;
	net->live->pool = POOL;
	for (int i = 0; i < NPROCS; i++) {
		procs[i] = port_make(net, places[i], IPN_KIND_PROC);
		rooms[i] = bpf_room_new(fab.b, procs[i]->in.node);
		assert_true(rooms[i] >= 0);
		rings[i] = ring_buffer__new(rooms[i], on_ring, &rung[i], NULL);
		assert_non_null(rings[i]);
	}
	/* one only writes */
	procs[3]->in.flags &= ~(__u32)IPN_PF_READER;
	port_store(procs[3]);
	device = NULL;
	head = 0;
	return 0;
}

static int world(void **state)
{
	(void)state;
	return world_of(IPN_POLICY_BROADCAST);
}

/* Everybody is known to the switch, by the last byte of its address. */
static int world_switch(void **state)
{
	const struct ipn_fdb_key none = { 0 };

	(void)state;
	world_of(IPN_POLICY_SWITCH);
	for (int i = 0; i < NPROCS; i++) {
		struct ipn_fdb_key key = none;
		struct ipn_fdb entry = { .port = procs[i]->in.number, .gen = procs[i]->in.gen };
		struct timespec now;

		clock_gettime(CLOCK_MONOTONIC, &now);
		entry.seen = (__u64)now.tv_sec * SEC + (__u64)now.tv_nsec;
		key.net = net->id;
		key.mac[0] = 2;
		key.mac[5] = (__u8)(1 + i);
		fdb_set(&key, &entry);
	}
	return 0;
}

static int world_done(void **state)
{
	for (int i = 0; i < NPROCS; i++) {
		ring_buffer__free(rings[i]);
		close(rooms[i]);
	}
	return fabric_clear(state);
}

static bool reads(int i)
{
	return procs[i]->in.flags & IPN_PF_READER;
}

/* Is message n still to be read by this process? */
static bool unread(int i, __u64 n)
{
	return reads(i) && procs[i]->page->cursor <= n && src[n] != procs[i]->in.number;
}

static bool has_room(void)
{
	__u64 pending = 0, first = head;

	for (__u64 n = head; n-- > 0;) {
		bool wanted = false;

		for (int i = 0; i < NPROCS; i++)
			wanted |= unread(i, n);
		pending += wanted;
		if (wanted)
			first = n;
	}
	return pending < POOL && head < first + LOG_SLOTS;
}

/* Sends; is it taken? */
static bool taken(int i)
{
	static __u8 frame[FRAME_MAX];
	static struct ran r;
	static __u32 ticket;
	struct ipn_tx_hdr *hdr = (void *)frame;
	__u32 len = frame_of(frame, IPN_TX_DATA, "x", 1);
	__u64 before = log_head(&net->log);

	ticket++;
	memcpy(hdr->ticket, &ticket, sizeof(ticket));
	assert_ok(xdp_run(fab.b->prog_xdp, procs[i]->in.ifindex, frame, len, 0, &r));
	assert_int_equal(r.ret, XDP_DROP);
	if (log_head(&net->log) == before) {
		assert_int_equal(procs[i]->page->process[0].tx_refused, IPN_TX_FULL | ticket);
		return false;
	}
	assert_int_equal(log_head(&net->log), before + 1);
	assert_int_not_equal(procs[i]->page->process[0].tx_refused, IPN_TX_FULL | ticket);
	assert_int_equal(log_slot(&net->log, before)->seq, before + 1);
	assert_int_equal(log_slot(&net->log, before)->src, procs[i]->in.number);
	src[head++] = procs[i]->in.number;
	return true;
}

static bool was_rung(int i)
{
	rung[i] = 0;
	assert_true(ring_buffer__consume(rings[i]) >= 0);
	return rung[i];
}

/* Moves a reader's cursor by one, as libipn does: past own messages, and says so if asked to. */
static void read_one(int i)
{
	struct ipn_page *page = procs[i]->page;
	const struct ipn_log_head *log = (const void *)net->log.base;

	while (page->cursor < head && src[page->cursor] == procs[i]->in.number)
		page->cursor++;
	if (page->cursor < head)
		page->cursor++;
	if (log->waiting)
		assert_int_equal(control(procs[i], IPN_TX_MOVED), XDP_DROP);
}

static void what_is_taken_and_who_is_rung_is_as_counted(void **state)
{
	bool waits[NPROCS] = { false };
	int refused = 0, woken = 0;

	(void)state;
	srand48(1);
	for (int step = 0; step < STEPS; step++) {
		int i = (int)(lrand48() % NPROCS);

		if (lrand48() % 2 || !reads(i)) {
			bool room = has_room();

			assert_int_equal(taken(i), room);
			if (!room) {
				refused++;
				assert_int_equal(control(procs[i], IPN_TX_ROOM), XDP_DROP);
				assert_int_equal(procs[i]->page->process[0].room, 0);
				waits[i] = true;
			}
		} else {
			read_one(i);
		}
		for (int j = 0; j < NPROCS; j++) {
			if (has_room()) {
				assert_int_equal(was_rung(j), waits[j]);
				woken += waits[j];
				waits[j] = false;
			} else {
				assert_false(was_rung(j));
			}
		}
	}
	print_message("  %d taken, %d refused, %d rung\n", (int)head, refused, woken);
	assert_true(head > STEPS / 16 && refused > STEPS / 20 && woken > STEPS / 50);
}

static void who_asks_when_there_is_room_does_not_wait(void **state)
{
	(void)state;
	assert_int_equal(control(procs[0], IPN_TX_ROOM), XDP_DROP);
	assert_int_equal(procs[0]->page->process[0].room, 1);
	assert_int_equal(net->live->full[0], 0);
	for (int i = 0; i < POOL; i++)
		assert_true(taken(3));
	assert_int_equal(control(procs[0], IPN_TX_ROOM), XDP_DROP);
	assert_int_equal(procs[0]->page->process[0].room, 0);
	assert_int_equal(net->live->full[0], 1);
}

static void who_leaves_makes_room(void **state)
{
	(void)state;
	for (int i = 0; i < POOL; i++)
		assert_true(taken(3));
	read_one(0);
	read_one(1);
	assert_false(taken(3));
	assert_int_equal(control(procs[3], IPN_TX_ROOM), XDP_DROP);
	assert_ok(bpf_pool_wake(fab.b, net->id));
	assert_false(was_rung(3)); /* nobody left */
	procs[2]->in.flags &= ~(__u32)IPN_PF_READER;
	port_store(procs[2]);
	assert_ok(bpf_pool_wake(fab.b, net->id));
	assert_true(was_rung(3));
	assert_true(taken(3));
	assert_false(taken(3));
}

static void a_batch_is_taken_as_far_as_there_is_room(void **state)
{
	static __u8 frame[FRAME_MAX];
	static struct ran r;
	struct ipn_tx_hdr *hdr = (void *)frame;
	__u32 len = frame_of(frame, IPN_TX_BATCH, NULL, 0), ticket = 4711;
	__u16 one = 1;

	(void)state;
	hdr->count = POOL + 2;
	memcpy(hdr->ticket, &ticket, sizeof(ticket));
	for (int i = 0; i < POOL + 2; i++) {
		memcpy(frame + len, &one, sizeof(one));
		frame[len + 2] = (__u8)i;
		len += 3;
	}
	assert_ok(xdp_run(fab.b->prog_xdp, procs[0]->in.ifindex, frame, len, 0, &r));
	assert_int_equal(log_head(&net->log), POOL);
	assert_int_equal(procs[0]->page->process[0].tx_refused, IPN_TX_FULL | ticket);
	assert_int_equal(procs[0]->page->process[0].taken, POOL);
}

static void a_device_drops_what_finds_no_room(void **state)
{
	const struct outcome ok = { .log = true }, full = { .drop = DROP(POOL) };
	static __u8 message[60];

	(void)state;
	device = port_make(net, 9, IPN_KIND_TAP);
	fill(message, sizeof(message), 3);
	for (int i = 0; i < POOL; i++)
		pass(WAY_TC, device, message, sizeof(message), &ok);
	pass(WAY_TC, device, message, sizeof(message), &full);
}

/*
 * As core/rotate.c exchanges logs: the next one is closed until the one before is complete. Then it
 * goes on where that ended, and who was refused meanwhile is rung.
 */
static void a_closed_log_is_full_until_it_is_opened(void **state)
{
	const struct outcome ok = { .log = true }, full = { .drop = DROP(POOL) };
	struct t_log last;
	struct ipn_log_head *next;
	static __u8 message[60];

	(void)state;
	device = port_make(net, 9, IPN_KIND_TAP);
	fill(message, sizeof(message), 3);
	pass(WAY_TC, device, message, sizeof(message), &ok);
	pass(WAY_TC, device, message, sizeof(message), &ok);
	last = net->log;
	log_map(&net->log, last.log_class, bpf_log_make(last.log_class, LOG_SLOTS), LOG_SLOTS,
		PROT_READ | PROT_WRITE);
	next = (void *)net->log.base;
	next->closed = next->waiting = 1;
	assert_ok(bpf_log_set(fab.b, last.log_class, net->id, net->log.fd));
	pass(WAY_TC, device, message, sizeof(message), &full);
	assert_false(taken(3));
	assert_int_equal(control(procs[3], IPN_TX_ROOM), XDP_DROP);
	assert_int_equal(procs[3]->page->process[0].room, 0);
	/* a reader that goes on makes no room in it, and takes nobody's turn */
	procs[1]->page->cursor = 1;
	assert_int_equal(control(procs[1], IPN_TX_MOVED), XDP_DROP);
	assert_false(was_rung(3));
	assert_int_equal(next->waiting, 1);
	assert_int_equal(next->limit, 0);

	memcpy((void *)(net->log.base + ipn_slot_size(last.log_class)),
	       last.base + ipn_slot_size(last.log_class),
	       last.size - ipn_slot_size(last.log_class));
	next->head = next->start = log_head(&last);
	next->closed = 0;
	assert_ok(bpf_pool_wake(fab.b, net->id));
	assert_true(was_rung(3));
	assert_int_equal(next->waiting, 0);
	for (int i = 2; i < POOL; i++)
		assert_true(taken(3));
	assert_false(taken(3));
	assert_int_equal(log_head(&last), 2);
	log_close(&last);
}

/* Where there is no memory for another log: nobody goes on, and nothing is written. */
static void a_stand_in_takes_nothing(void **state)
{
	const struct outcome full = { .drop = DROP(POOL) };
	struct ipn_log_head *head_at = calloc(1, ipn_slot_size(net->log.log_class));
	int fd = bpf_log_make(net->log.log_class, 0);
	static __u8 message[60];
	__u32 zero = 0;

	(void)state;
	assert_true(fd >= 0 && head_at);
	head_at->closed = 1;
	assert_ok(bpf_map_update_elem(fd, &zero, head_at, BPF_ANY));
	free(head_at);
	device = port_make(net, 9, IPN_KIND_TAP);
	assert_ok(bpf_log_set(fab.b, net->log.log_class, net->id, fd));
	close(fd);
	fill(message, sizeof(message), 3);
	pass(WAY_TC, device, message, sizeof(message), &full);
	assert_false(taken(3));
	assert_int_equal(log_head(&net->log), 0);
}

/* Cursors are what processes say. None makes others lose, or takes a slot that is still needed. */
static void pages_that_lie_do_not_break_it(void **state)
{
	static const __u64 lies[] = { 0, 1, ~0ULL, 1ULL << 63, 1ULL << 32, 5 };

	(void)state;
	for (int round = 0; round < 40; round++) {
		procs[1]->page->cursor = lies[(size_t)round % ARRAY_SIZE(lies)];
		for (int i = 0; i < POOL + 1; i++)
			taken(3);
		/* the honest ones have not read, and can still read, everything */
		for (__u64 n = procs[0]->page->cursor; n < head; n++)
			assert_int_equal(log_slot(&net->log, n)->seq, n + 1);
		assert_true(head - procs[0]->page->cursor <= POOL);
		procs[0]->page->cursor = procs[2]->page->cursor = head;
		procs[3]->page->process[0].room = 7;
	}
	procs[1]->page->cursor = head;
	assert_true(taken(3));
}

/* --- a switch: floods in the network's log, the rest in the own log of who it is for --- */

#define FLOOD (-1)

static const struct ipn_log_head *head_of(int to)
{
	return (const void *)(to == FLOOD ? net->log.base : procs[to]->log.base);
}

static bool has_room_for(int to)
{
	if (to == FLOOD)
		return has_room();
	return !reads(to) || head_of(to)->head - procs[to]->page->node_cursor < POOL;
}

static __u32 frame_to(__u8 *message, int from, int to)
{
	memset(message, 0, 20);
	message[0] = message[6] = 2;
	message[5] = (__u8)(1 + to);
	message[11] = (__u8)(1 + from);
	if (to == FLOOD)
		memset(message, 0xff, 6);
	return 20;
}

/* What a word in tx_refused says of the log that was full, and what is asked for room with. */
static __u32 log_word(int to)
{
	return to == FLOOD ? 0 : procs[to]->in.number + 1;
}

/* Sends; is it taken? */
static bool taken_to(int i, int to)
{
	static __u8 frame[FRAME_MAX], message[20];
	static struct ran r;
	static __u32 ticket = 1000000;
	struct ipn_tx_hdr *hdr = (void *)frame;
	__u32 len = frame_of(frame, IPN_TX_DATA, message, frame_to(message, i, to));
	__u64 before = head_of(to)->head, flood = head_of(FLOOD)->head;

	ticket++;
	memcpy(hdr->ticket, &ticket, sizeof(ticket));
	assert_ok(xdp_run(fab.b->prog_xdp, procs[i]->in.ifindex, frame, len, 0, &r));
	assert_int_equal(r.ret, XDP_DROP);
	if (head_of(to)->head == before) {
		__u64 refused = procs[i]->page->process[0].tx_refused;

		assert_int_equal(IPN_TX_WHY(refused), IPN_TX_FULL | ticket);
		assert_int_equal(IPN_TX_LOG(refused), log_word(to));
		return false;
	}
	assert_int_equal(head_of(to)->head, before + 1);
	assert_int_not_equal(IPN_TX_WHY(procs[i]->page->process[0].tx_refused),
			     IPN_TX_FULL | ticket);
	if (to == FLOOD)
		src[head++] = procs[i]->in.number;
	else
		assert_int_equal(head_of(FLOOD)->head, flood);
	return true;
}

static bool asks_for_room(int i, __u32 word)
{
	static __u8 frame[FRAME_MAX];
	static struct ran r;
	struct ipn_tx_hdr *hdr = (void *)frame;
	__u32 len = frame_of(frame, IPN_TX_ROOM, NULL, 0);

	memcpy(hdr->ticket, &word, sizeof(word));
	procs[i]->page->process[0].room = 7;
	assert_ok(xdp_run(fab.b->prog_xdp, procs[i]->in.ifindex, frame, len, 0, &r));
	assert_in_range(procs[i]->page->process[0].room, 0, 1);
	return procs[i]->page->process[0].room;
}

static void moved(int i)
{
	if (head_of(FLOOD)->waiting || head_of(i)->waiting)
		assert_int_equal(control(procs[i], IPN_TX_MOVED), XDP_DROP);
}

static void read_own(int i)
{
	if (procs[i]->page->node_cursor < head_of(i)->head)
		procs[i]->page->node_cursor++;
	moved(i);
}

/*
 * Who waits for a log that has room has been rung, and nobody is rung who does not wait. Being rung
 * for another log is no fault: all who wait share one bitmap.
 */
static void a_switch_holds_each_log_to_the_pool(void **state)
{
	int waits[NPROCS], refused = 0, woken = 0, in_vain = 0, sent[2] = { 0 };
	const int nothing = -2;

	(void)state;
	for (int i = 0; i < NPROCS; i++)
		waits[i] = nothing;
	srand48(2);
	for (int step = 0; step < STEPS; step++) {
		int i = (int)(lrand48() % NPROCS), to = (int)(lrand48() % (NPROCS + 1)) - 1;

		if (to == i || to == 3) /* the last one does not read */
			to = FLOOD;
		if (lrand48() % 2 || !reads(i)) {
			bool room = has_room_for(to);

			assert_int_equal(taken_to(i, to), room);
			sent[to == FLOOD] += room;
			if (!room) {
				refused++;
				assert_false(asks_for_room(i, log_word(to)));
				waits[i] = to;
			}
		} else if (lrand48() % 2) {
			read_one(i);
		} else {
			read_own(i);
		}
		for (int j = 0; j < NPROCS; j++) {
			bool now = was_rung(j);

			assert_true(!now || waits[j] != nothing);
			if (waits[j] != nothing && has_room_for(waits[j])) {
				assert_true(now);
				woken++;
			} else {
				in_vain += now;
			}
			if (now)
				waits[j] = nothing;
		}
	}
	print_message("  %d to one, %d to all, %d refused, %d rung, %d more in vain\n", sent[0],
		      sent[1], refused, woken, in_vain);
	assert_true(sent[0] > STEPS / 16 && sent[1] > STEPS / 32 && woken > STEPS / 50);
	for (int i = 0; i < NPROCS; i++)
		assert_true(head_of(i)->head - procs[i]->page->node_cursor <= POOL);
}

static void one_full_log_is_not_anothers(void **state)
{
	(void)state;
	for (int i = 0; i < POOL; i++)
		assert_true(taken_to(0, 1));
	assert_false(taken_to(0, 1));
	assert_false(taken_to(3, 1));
	assert_true(taken_to(0, 2));
	assert_true(taken_to(0, FLOOD));
	assert_true(asks_for_room(0, log_word(2)));
	assert_true(asks_for_room(0, log_word(FLOOD)));
	assert_int_equal(net->live->full[0], 0);
	assert_false(asks_for_room(0, log_word(1)));
	assert_int_equal(net->live->full[0], 1);
	/* poll looks, too: the bit is another thread's */
	assert_true(asks_for_room(0, log_word(2) | IPN_TX_ROOM_LOOK));
	assert_int_equal(net->live->full[0], 1);
	read_own(1);
	assert_true(was_rung(0));
	assert_true(taken_to(0, 1));
	assert_false(taken_to(0, 1));
}

static void a_reader_that_goes_holds_nobody_up(void **state)
{
	struct t_port *p = procs[1];

	(void)state;
	for (int i = 0; i < POOL; i++)
		assert_true(taken_to(0, 1));
	assert_false(asks_for_room(0, log_word(1)));
	p->in.flags &= ~(__u32)IPN_PF_READER;
	port_store(p);
	assert_ok(bpf_pool_wake(fab.b, net->id));
	assert_true(was_rung(0));
	assert_true(asks_for_room(0, log_word(1)));
	port_out_set_kind(p, IPN_KIND_NONE);
	assert_true(asks_for_room(0, log_word(1)));
	port_out_set_kind(p, IPN_KIND_TAP);
	assert_true(asks_for_room(0, log_word(1)));
}

static void a_batch_ends_at_the_first_log_that_is_full(void **state)
{
	static const int to[] = { 1, 2, 1, FLOOD, 1, 1, 2, 2 }; /* the sixth finds no room */
	static __u8 frame[FRAME_MAX];
	static struct ran r;
	struct ipn_tx_hdr *hdr = (void *)frame;
	__u32 len = frame_of(frame, IPN_TX_BATCH, NULL, 0), ticket = 4711;
	__u16 size = 20;

	(void)state;
	hdr->count = ARRAY_SIZE(to);
	memcpy(hdr->ticket, &ticket, sizeof(ticket));
	for (size_t i = 0; i < ARRAY_SIZE(to); i++) {
		memcpy(frame + len, &size, sizeof(size));
		frame_to(frame + len + 2, 0, to[i]);
		len += 2 + size;
	}
	assert_ok(xdp_run(fab.b->prog_xdp, procs[0]->in.ifindex, frame, len, 0, &r));
	assert_int_equal(IPN_TX_WHY(procs[0]->page->process[0].tx_refused), IPN_TX_FULL | ticket);
	assert_int_equal(IPN_TX_LOG(procs[0]->page->process[0].tx_refused), log_word(1));
	assert_int_equal(procs[0]->page->process[0].taken, 5);
	assert_int_equal(head_of(1)->head, POOL);
	assert_int_equal(head_of(2)->head, 1);
	assert_int_equal(head_of(FLOOD)->head, 1);
}

/* A device cannot wait; what it floods goes to other devices all the same. */
static void a_device_drops_what_one_has_no_room_for(void **state)
{
	struct outcome ok = { 0 }, full = { .drop = DROP(POOL) };
	static __u8 message[60];

	(void)state;
	device = port_make(net, 9, IPN_KIND_TAP);
	frame_to(message, 40, 1);
	ok.process = procs[1];
	for (int i = 0; i < POOL; i++)
		pass(WAY_TC, device, message, sizeof(message), &ok);
	pass(WAY_TC, device, message, sizeof(message), &full);
}

/* Ports that are not there, words that mean nothing, cursors that are none. */
static void lies_about_own_logs_do_not_break_it(void **state)
{
	static const __u64 lies[] = { 0, 1, ~0ULL, 1ULL << 63, 1ULL << 32, 5 };
	static const __u32 words[] = { 2, 0x7fffffff, 129, 128, 4097, 0x40000001 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		assert_true(asks_for_room(0, words[i]));
	for (int round = 0; round < 40; round++) {
		procs[1]->page->node_cursor = lies[(size_t)round % ARRAY_SIZE(lies)];
		for (int i = 0; i < POOL + 1; i++) {
			taken_to(0, 1);
			taken_to(3, 2);
		}
		/* nobody else's log is touched */
		assert_int_equal(head_of(2)->head - procs[2]->page->node_cursor, POOL);
		procs[2]->page->node_cursor = head_of(2)->head;
		moved(1);
		moved(2);
	}
	procs[1]->page->node_cursor = head_of(1)->head;
	assert_true(taken_to(0, 1));
}

static const struct CMUnitTest tests[] = {
#define POOL_TEST(name) cmocka_unit_test_setup_teardown(name, world, world_done)
	POOL_TEST(what_is_taken_and_who_is_rung_is_as_counted),
	POOL_TEST(who_asks_when_there_is_room_does_not_wait),
	POOL_TEST(who_leaves_makes_room),
	POOL_TEST(a_batch_is_taken_as_far_as_there_is_room),
	POOL_TEST(a_device_drops_what_finds_no_room),
	POOL_TEST(a_closed_log_is_full_until_it_is_opened),
	POOL_TEST(a_stand_in_takes_nothing),
	POOL_TEST(pages_that_lie_do_not_break_it),
#define SWITCH_TEST(name) cmocka_unit_test_setup_teardown(name, world_switch, world_done)
	SWITCH_TEST(a_switch_holds_each_log_to_the_pool),
	SWITCH_TEST(one_full_log_is_not_anothers),
	SWITCH_TEST(a_reader_that_goes_holds_nobody_up),
	SWITCH_TEST(a_batch_ends_at_the_first_log_that_is_full),
	SWITCH_TEST(a_device_drops_what_one_has_no_room_for),
	SWITCH_TEST(lies_about_own_logs_do_not_break_it),
};

FABRIC_MAIN(tests)
