// SPDX-License-Identifier: GPL-2.0-or-later
/* Reading the logs: order, pool, lapping, holes, peeking. Nothing here waits. */
#include "fake_log.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

static struct fake_node node;
static struct rx_log *net, *own;

static void start(uint32_t slots, uint32_t nodelog_slots, uint32_t pool)
{
	fake_node_init(&node, IPN_LOG_ETH, slots, nodelog_slots, pool);
	net = &node.s->rx.log[RX_NET];
	own = &node.s->rx.log[RX_NODE];
}

static int teardown(void **state)
{
	(void)state;
	fake_node_end(&node);
	return 0;
}

/* The next message as a number; -errno. */
static int64_t next_u32(void)
{
	uint32_t v;
	ssize_t n = ipn_recv(node.fd, &v, sizeof(v), MSG_DONTWAIT);

	if (n < 0)
		return -errno;
	assert_int_equal(n, sizeof(v));
	return v;
}

static uint64_t overruns(void)
{
	uint64_t n;

	assert_int_equal(ipn_overruns(node.fd, &n), 0);
	return n;
}

#define assert_errno(call, err)               \
	do {                                  \
		assert_int_equal((call), -1); \
		assert_int_equal(errno, err); \
	} while (0)

static void messages_come_in_order_and_once(void **state)
{
	(void)state;
	start(16, 0, 8);
	assert_int_equal(next_u32(), -EAGAIN);
	for (uint32_t round = 0; round < 100; round++) {
		for (uint32_t i = 0; i < 5; i++)
			fake_put_u32(net, 1 + i % 2, round * 5 + i);
		for (uint32_t i = 0; i < 5; i++)
			assert_int_equal(next_u32(), round * 5 + i);
		assert_int_equal(next_u32(), -EAGAIN);
	}
	assert_int_equal(node.s->rx.page->cursor, 500);
	assert_int_equal(node.s->rx.page->rx_packets, 500);
	assert_int_equal(node.s->rx.page->rx_bytes, 2000);
	assert_int_equal(overruns(), 0);
}

static void own_messages_are_skipped(void **state)
{
	(void)state;
	start(16, 0, 8);
	fake_put_u32(net, FAKE_OWN, 100);
	fake_put_u32(net, 1, 1);
	fake_put_u32(net, FAKE_OWN, 101);
	fake_put_u32(net, FAKE_OWN, 102);
	fake_put_u32(net, 2, 2);
	fake_put_u32(net, FAKE_OWN, 103);
	assert_int_equal(next_u32(), 1);
	assert_int_equal(next_u32(), 2);
	assert_int_equal(next_u32(), -EAGAIN);
	assert_int_equal(overruns(), 0);
}

static void the_newest_of_the_pool_stay(void **state)
{
	(void)state;
	start(16, 0, 8);
	for (uint32_t i = 0; i < 11; i++)
		fake_put_u32(net, 1, i);
	for (uint32_t i = 3; i < 11; i++)
		assert_int_equal(next_u32(), i);
	assert_int_equal(next_u32(), -EAGAIN);
	assert_int_equal(overruns(), 3);
	assert_int_equal(node.s->rx.page->overrun, 3);
}

static void exactly_the_pool_is_no_overrun(void **state)
{
	(void)state;
	start(16, 0, 8);
	for (uint32_t i = 0; i < 8; i++)
		fake_put_u32(net, 1, i);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(next_u32(), i);
	assert_int_equal(overruns(), 0);
}

static void a_reader_lapped_many_times_counts_all(void **state)
{
	(void)state;
	start(16, 0, 8);
	for (uint32_t i = 0; i < 1000; i++)
		fake_put_u32(net, 1, i);
	assert_int_equal(next_u32(), 992);
	assert_int_equal(overruns(), 992);
}

/* What a node sends itself does not push out what others sent. */
static void own_messages_do_not_fill_the_pool(void **state)
{
	(void)state;
	start(32, 0, 8);
	assert_int_equal(ipn_send(node.fd, "", 0, 0), 0); /* only who sends looks for its own */
	fake_put_u32(net, 1, 1);
	for (uint32_t i = 0; i < 20; i++)
		fake_put_u32(net, FAKE_OWN, 100 + i);
	fake_put_u32(net, 1, 2);
	assert_int_equal(next_u32(), 1);
	assert_int_equal(next_u32(), 2);
	assert_int_equal(overruns(), 0);

	/* and with too many of both: the newest 8 of others, the rest of others counted */
	for (uint32_t i = 0; i < 12; i++) {
		fake_put_u32(net, FAKE_OWN, 100 + i);
		fake_put_u32(net, 1, 10 + i);
	}
	assert_int_equal(next_u32(), 14);
	assert_int_equal(overruns(), 4);
	for (uint32_t i = 15; i < 22; i++)
		assert_int_equal(next_u32(), i);
	assert_int_equal(next_u32(), -EAGAIN);
	assert_int_equal(overruns(), 4);
}

/* This node sends n messages, by libipn and then the fabric: one frame after the other. */
static void send_own(uint32_t n)
{
	const uint32_t frame = node.s->rx.own_room;
	struct iovec iov[128];
	char c = 0;

	assert_true(frame <= ARRAY_SIZE(iov));
	for (uint32_t i = 0; i < ARRAY_SIZE(iov); i++)
		iov[i] = (struct iovec){ &c, 1 };
	while (n) {
		int sent = n == 1 ? (int)ipn_send(node.fd, &c, 1, 0)
				  : ipn_send_batch(node.fd, iov, n < frame ? n : frame, 0);

		assert_true(sent > 0);
		for (int i = 0; i < sent; i++)
			fake_put_u32(net, FAKE_OWN, 1u << 30);
		n -= (uint32_t)sent;
	}
}

static void a_flood_of_own_messages_displaces_nothing(void **state)
{
	uint32_t v = 0;
	int len;

	(void)state;
	start(32, 0, 8);
	for (uint32_t i = 0; i < 5; i++)
		fake_put_u32(net, 1, i);
	for (uint32_t i = 0; i < 1000; i++)
		send_own(1);
	assert_int_equal(next_u32(), 0);
	for (uint32_t i = 5; i < 8; i++) {
		fake_put_u32(net, 1, i);
		send_own(100);
	}
	assert_int_equal(overruns(), 0);
	assert_int_equal(ipn_recv(node.fd, &v, sizeof(v), MSG_PEEK), 4);
	assert_int_equal(v, 1);
	assert_int_equal(ipn_ioctl(node.fd, FIONREAD, &len), 0);
	assert_int_equal(len, 4);
	for (uint32_t i = 1; i < 8; i++)
		assert_int_equal(next_u32(), i);
	assert_int_equal(next_u32(), -EAGAIN);

	/* a message that was looked at stays the next one, though it moves */
	fake_put_u32(net, 1, 10);
	fake_put_u32(net, 1, 11);
	assert_int_equal(ipn_recv(node.fd, &v, sizeof(v), MSG_PEEK), 4);
	send_own(100);
	assert_int_equal(next_u32(), 10);
	assert_int_equal(next_u32(), 11);
	assert_int_equal(overruns(), 0);
}

static void what_is_kept_and_what_comes_after_are_one_pool(void **state)
{
	(void)state;
	start(32, 0, 8);
	for (uint32_t i = 0; i < 5; i++)
		fake_put_u32(net, 1, i);
	send_own(40);
	for (uint32_t i = 5; i < 10; i++)
		fake_put_u32(net, 1, i);
	assert_int_equal(overruns(), 2);
	assert_int_equal(next_u32(), 2);
	fake_put_u32(net, 1, 10);
	fake_put_u32(net, 1, 11);
	send_own(40);
	assert_int_equal(overruns(), 3);
	for (uint32_t i = 4; i < 12; i++)
		assert_int_equal(next_u32(), i);
	assert_int_equal(next_u32(), -EAGAIN);
	assert_int_equal(overruns(), 3);
}

static void who_shut_its_receive_side_down_keeps_nothing(void **state)
{
	(void)state;
	start(32, 0, 8);
	fake_put_u32(net, 1, 1);
	__atomic_store_n(&node.s->shut, SOCK_SHUT_RD, __ATOMIC_RELAXED);
	send_own(1000);
	assert_null(node.s->rx.stash.base);
}

/* Any mixture, against a model: the newest `pool` of what others sent and was not read. */
static void the_pool_holds_what_others_sent(void **state)
{
	const struct {
		uint32_t slots, nodelog, pool;
	} kinds[] = { { 32, 0, 8 }, { 32, 0, 16 }, { 32, 32, 1 }, { 128, 0, 64 } };

	(void)state;
	srand48(7);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		uint32_t pool = kinds[k].pool, sent = 0, next = 0;
		uint64_t lost = 0;

		start(kinds[k].slots, kinds[k].nodelog, pool);
		for (int step = 0; step < 20000; step++) {
			uint32_t n = 1 + (uint32_t)lrand48() % (step % 3 ? 4 : 80);
			struct ipn_view v[8];
			int r;

			switch (lrand48() % 5) {
			case 0:
				send_own(n);
				break;
			case 1:
				for (; n && sent - next < pool + 3; n--)
					fake_put_u32(net, 1, sent++);
				break;
			case 2:
				if (sent - next > pool) {
					lost += sent - next - pool;
					next = sent - pool;
				}
				assert_int_equal(overruns(), lost);
				r = ipn_recv_peek(node.fd, v, 8, MSG_DONTWAIT);
				assert_int_equal(r > 0, sent > next);
				for (int i = 0; i < r; i++)
					assert_int_equal(*(const uint32_t *)v[i].data, next + i);
				if (r > 0)
					assert_int_equal(ipn_recv_done(node.fd, r), r);
				next += r > 0 ? (uint32_t)r : 0;
				break;
			default:
				for (; n && next < sent; n--) {
					if (sent - next > pool) {
						lost += sent - next - pool;
						next = sent - pool;
					}
					assert_int_equal(next_u32(), next);
					next++;
				}
			}
		}
		assert_int_equal(overruns(), lost);
		assert_true(sent > 1000 && node.s->rx.stash.base);
		if (k + 1 < ARRAY_SIZE(kinds))
			fake_node_end(&node);
	}
}

static void a_busy_slot_is_not_there_yet(void **state)
{
	uint32_t v = 5;
	uint64_t n;

	(void)state;
	start(16, 0, 8);
	n = fake_begin(net);
	assert_int_equal(next_u32(), -EAGAIN);
	fake_put_u32(net, 1, 6); /* another sender was faster: the order stays */
	assert_int_equal(next_u32(), -EAGAIN);
	fake_publish(net, n, 1, &v, sizeof(v));
	assert_int_equal(next_u32(), 5);
	assert_int_equal(next_u32(), 6);
	assert_int_equal(overruns(), 0);
}

static void a_busy_slot_of_a_later_message_means_lapped(void **state)
{
	(void)state;
	start(16, 0, 8);
	for (uint32_t i = 0; i < 16; i++)
		fake_put_u32(net, 1, i);
	fake_begin(net); /* in the slot of message 0 */
	assert_int_equal(next_u32(), 9);
	assert_int_equal(overruns(), 9);
}

static void a_hole_is_passed_and_counted(void **state)
{
	(void)state;
	start(16, 0, 8);
	fake_put_u32(net, 1, 1);
	/* number 1 is given up: its slot is held by an older sender */
	__atomic_fetch_add(&fake_head(net)->head, 1, __ATOMIC_SEQ_CST);
	fake_slot(net, 1)->skip = 2;
	fake_put_u32(net, 1, 3);
	assert_int_equal(next_u32(), 1);
	assert_int_equal(next_u32(), 3);
	assert_int_equal(overruns(), 1);
}

static void a_length_beyond_the_slot_is_cut(void **state)
{
	char buf[4096];

	(void)state;
	start(16, 0, 8);
	fake_put(net, 1, "x", 1);
	fake_slot(net, 0)->len = UINT32_MAX;
	assert_int_equal(ipn_recv(node.fd, buf, sizeof(buf), MSG_TRUNC),
			 IPN_SLOT_ETH - IPN_SLOT_HDR);
}

static void lengths_and_truncation(void **state)
{
	char big[1514], buf[1514], a[10], b[20];
	struct iovec iov[3] = { { a, sizeof(a) }, { NULL, 0 }, { b, sizeof(b) } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3, .msg_namelen = 9 };

	(void)state;
	start(16, 0, 8);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)i;
	fake_put(net, 1, "", 0);
	assert_int_equal(ipn_recv(node.fd, buf, sizeof(buf), 0), 0);
	fake_put(net, 1, big, sizeof(big));
	assert_int_equal(ipn_recv(node.fd, buf, sizeof(buf), 0), sizeof(big));
	assert_memory_equal(buf, big, sizeof(big));

	fake_put(net, 1, big, 100);
	assert_int_equal(ipn_recv(node.fd, buf, 30, 0), 30);
	assert_int_equal(next_u32(), -EAGAIN);
	fake_put(net, 1, big, 100);
	assert_int_equal(ipn_recv(node.fd, buf, 30, MSG_TRUNC), 100);
	fake_put(net, 1, big, 100);
	assert_int_equal(ipn_recvmsg(node.fd, &msg, 0), 30);
	assert_int_equal(msg.msg_flags, MSG_TRUNC);
	assert_int_equal(msg.msg_namelen, 0);
	assert_memory_equal(a, big, 10);
	assert_memory_equal(b, big + 10, 20);
	fake_put(net, 1, big, 12);
	assert_int_equal(ipn_recvmsg(node.fd, &msg, 0), 12);
	assert_int_equal(msg.msg_flags, 0);
	assert_errno(ipn_recv(node.fd, buf, 1, MSG_OOB), EOPNOTSUPP);
}

static void msg_peek_and_fionread_leave_the_message(void **state)
{
	uint32_t v = 0;
	int len;

	(void)state;
	start(16, 16, 8);
	assert_int_equal(ipn_ioctl(node.fd, FIONREAD, &len), 0);
	assert_int_equal(len, 0);
	fake_put_u32(net, 1, 1);
	assert_int_equal(ipn_ioctl(node.fd, FIONREAD, &len), 0);
	assert_int_equal(len, 4);
	assert_int_equal(ipn_recv(node.fd, &v, sizeof(v), MSG_PEEK), 4);
	assert_int_equal(v, 1);
	/* what would be chosen otherwise does not come between */
	fake_put_u32(own, 1, 2);
	assert_int_equal(ipn_recv(node.fd, &v, sizeof(v), MSG_PEEK), 4);
	assert_int_equal(v, 1);
	assert_int_equal(next_u32(), 1);
	assert_int_equal(next_u32(), 2);
}

static void the_nodes_own_log_goes_first_but_not_for_ever(void **state)
{
	(void)state;
	start(256, 256, 128);
	for (uint32_t i = 0; i < 100; i++)
		fake_put_u32(own, 1, 1000 + i);
	fake_put_u32(net, 1, 1);
	fake_put_u32(net, 1, 2);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(next_u32(), 1000 + i);
	assert_int_equal(next_u32(), 1);
	for (uint32_t i = 64; i < 100; i++)
		assert_int_equal(next_u32(), 1000 + i);
	assert_int_equal(next_u32(), 2);
	assert_int_equal(next_u32(), -EAGAIN);
	assert_int_equal(node.s->rx.page->node_cursor, 100);
}

/* The copy to this page faults, and the fault handler laps the reader. */
static char *fault_page;

static void lap_on_fault(int sig)
{
	(void)sig;
	mprotect(fault_page, 4096, PROT_READ | PROT_WRITE);
	for (uint32_t i = 0; i < 16; i++)
		fake_put_u32(net, 1, 100 + i);
}

static void a_message_overwritten_while_it_is_copied_is_lost(void **state)
{
	struct sigaction sa = { .sa_handler = lap_on_fault }, old;

	(void)state;
	start(16, 0, 8);
	fault_page = fake_alloc(4096);
	mprotect(fault_page, 4096, PROT_NONE);
	sigaction(SIGSEGV, &sa, &old);
	fake_put_u32(net, 1, 1);
	assert_int_equal(ipn_recv(node.fd, fault_page, 4096, 0), 4);
	sigaction(SIGSEGV, &old, NULL);
	assert_int_equal(*(uint32_t *)fault_page, 108); /* the oldest of the 8 newest */
	assert_int_equal(overruns(), 9);
	munmap(fault_page, 4096);
}

static void peek_shows_others_messages_in_place(void **state)
{
	struct ipn_view v[16];

	(void)state;
	start(32, 0, 16);
	assert_errno(ipn_recv_peek(node.fd, v, 16, MSG_DONTWAIT), EAGAIN);
	assert_errno(ipn_recv_peek(node.fd, v, 0, MSG_DONTWAIT), EINVAL);
	assert_errno(ipn_recv_done(node.fd, 0), EINVAL);
	fake_put_u32(net, FAKE_OWN, 100);
	for (uint32_t i = 0; i < 6; i++)
		fake_put_u32(net, i, i);
	fake_put_u32(net, FAKE_OWN, 100); /* what is shown ends here */
	fake_put_u32(net, FAKE_OWN, 100);
	fake_put_u32(net, 6, 6);
	assert_int_equal(ipn_recv_peek(node.fd, v, 4, 0), 4);
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(v[i].port, i);
		assert_int_equal(v[i].len, 4);
		assert_int_equal(*(const uint32_t *)v[i].data, i);
	}
	assert_errno(ipn_recv_peek(node.fd, v, 4, 0), EBUSY);
	assert_errno(ipn_recv(node.fd, v, 4, 0), EBUSY);
	assert_errno(ipn_recv_done(node.fd, 5), EINVAL);
	assert_int_equal(ipn_recv_done(node.fd, 2), 2);
	assert_int_equal(ipn_recv_peek(node.fd, v, 16, 0), 4);
	assert_int_equal(v[0].port, 2);
	assert_int_equal(ipn_recv_done(node.fd, 0), 0); /* changed its mind */
	assert_int_equal(next_u32(), 2);
	assert_int_equal(ipn_recv_peek(node.fd, v, 16, 0), 3);
	assert_int_equal(ipn_recv_done(node.fd, 3), 3);
	assert_int_equal(ipn_recv_peek(node.fd, v, 16, 0), 1);
	assert_int_equal(v[0].port, 6);
	assert_int_equal(ipn_recv_done(node.fd, 1), 1);
	assert_errno(ipn_recv_peek(node.fd, v, 16, MSG_DONTWAIT), EAGAIN);
	assert_int_equal(node.s->rx.page->rx_packets, 7);
	assert_int_equal(node.s->rx.page->rx_bytes, 28);
	assert_int_equal(overruns(), 0);
}

static void peek_keeps_to_the_pool(void **state)
{
	struct ipn_view v[64];

	(void)state;
	start(32, 0, 8);
	for (uint32_t i = 0; i < 20; i++)
		fake_put_u32(net, 1, i);
	assert_int_equal(ipn_recv_peek(node.fd, v, 64, 0), 8);
	assert_int_equal(*(const uint32_t *)v[0].data, 12);
	assert_int_equal(ipn_recv_done(node.fd, 8), 8);
	assert_int_equal(overruns(), 12);
}

static void done_tells_which_were_overwritten(void **state)
{
	struct ipn_view v[16];

	(void)state;
	start(16, 0, 8);
	for (uint32_t i = 0; i < 8; i++)
		fake_put_u32(net, 1, i);
	assert_int_equal(ipn_recv_peek(node.fd, v, 16, 0), 8);
	for (uint32_t i = 8; i < 19; i++) /* 16, 17, 18 stand where 0, 1, 2 were */
		fake_put_u32(net, 1, i);
	assert_int_equal(ipn_recv_done(node.fd, 8), 5);
	assert_int_equal(overruns(), 3 + 3); /* and 8, 9, 10 are beyond the pool */
	assert_int_equal(next_u32(), 11);
	assert_int_equal(node.s->rx.page->rx_packets, 5 + 1);
}

static void done_after_a_number_was_taken_but_not_claimed(void **state)
{
	struct ipn_view v[16];

	(void)state;
	start(16, 0, 8);
	for (uint32_t i = 0; i < 8; i++)
		fake_put_u32(net, 1, i);
	assert_int_equal(ipn_recv_peek(node.fd, v, 16, 0), 8);
	__atomic_fetch_add(&fake_head(net)->head, 10, __ATOMIC_SEQ_CST);
	assert_int_equal(ipn_recv_done(node.fd, 8), 8);
}

static void peek_stops_at_a_hole_and_goes_on_behind(void **state)
{
	struct ipn_view v[16];

	(void)state;
	start(16, 0, 8);
	fake_put_u32(net, 1, 1);
	__atomic_fetch_add(&fake_head(net)->head, 1, __ATOMIC_SEQ_CST);
	fake_slot(net, 1)->skip = 2;
	fake_put_u32(net, 1, 3);
	assert_int_equal(ipn_recv_peek(node.fd, v, 16, 0), 1);
	assert_int_equal(ipn_recv_done(node.fd, 1), 1);
	assert_int_equal(ipn_recv_peek(node.fd, v, 16, 0), 1);
	assert_int_equal(*(const uint32_t *)v[0].data, 3);
	assert_int_equal(ipn_recv_done(node.fd, 1), 1);
	assert_int_equal(overruns(), 1);
}

static void peek_batches_come_from_one_log(void **state)
{
	struct ipn_view v[16];

	(void)state;
	start(16, 16, 8);
	fake_put_u32(own, 1, 1);
	fake_put_u32(net, 1, 2);
	assert_int_equal(ipn_recv_peek(node.fd, v, 16, 0), 1);
	assert_int_equal(*(const uint32_t *)v[0].data, 1);
	assert_int_equal(ipn_recv_done(node.fd, 1), 1);
	assert_int_equal(ipn_recv_peek(node.fd, v, 16, 0), 1);
	assert_int_equal(*(const uint32_t *)v[0].data, 2);
	assert_int_equal(ipn_recv_done(node.fd, 1), 1);
}

static void a_port_taken_away_is_end_of_file(void **state)
{
	struct pollfd p = { .events = POLLIN };
	uint32_t v = 0;

	(void)state;
	start(16, 0, 8);
	fake_put_u32(net, 1, 1);
	fake_bell_put(&node, IPN_EVENT_WAKE, 0);
	assert_int_equal(next_u32(), 1);
	/* a call that does not wait leaves the records to those who do */
	assert_int_equal(node.bell_pos[0], 0);
	fake_bell_put(&node, IPN_EVENT_GONE, ENETDOWN);
	fake_put_u32(net, 1, 2);
	assert_int_equal(ipn_recv(node.fd, &v, sizeof(v), MSG_DONTWAIT), 0);
	assert_int_equal(ipn_recv(node.fd, &v, sizeof(v), 0), 0);
	assert_errno(ipn_send(node.fd, &v, sizeof(v), 0), ECONNRESET);
	p.fd = node.fd;
	assert_int_equal(ipn_poll(&p, 1, -1), 1);
	assert_int_equal(p.revents, POLLIN | POLLHUP);
}

static void the_bell_wraps(void **state)
{
	(void)state;
	start(16, 0, 8);
	for (int i = 0; i < 1000; i++) {
		fake_bell_put(&node, IPN_EVENT_WAKE, 0);
		if (i % 100 == 0)
			rx_drain(node.s);
		else
			assert_int_equal(next_u32(), -EAGAIN);
	}
	rx_drain(node.s);
	assert_int_equal(node.bell_pos[0], 16000);
	fake_bell_put(&node, IPN_EVENT_GONE, 0);
	assert_int_equal(rx_look(node.s), RX_EOF);
}

static void what_is_shut_down_gives_its_errno(void **state)
{
	struct pollfd p = { .events = POLLIN | POLLOUT };
	char buf[4];
	int len;

	(void)state;
	start(16, 0, 8);
	p.fd = node.fd;
	fake_put_u32(net, 1, 1);
	node.s->shut = SOCK_SHUT_RD;
	assert_errno(ipn_recv(node.fd, buf, 4, 0), EPIPE);
	assert_int_equal(ipn_ioctl(node.fd, FIONREAD, &len), 0);
	assert_int_equal(len, 0); /* pending messages are flushed */
	assert_int_equal(ipn_send(node.fd, buf, 4, 0), 4);
	assert_int_equal(ipn_poll(&p, 1, 0), 1);
	assert_int_equal(p.revents, POLLIN | POLLOUT); /* a receive does not wait */
	node.s->shut = SOCK_SHUT_WR;
	assert_errno(ipn_send(node.fd, buf, 4, 0), EPIPE);
	assert_int_equal(ipn_poll(&p, 1, 0), 1);
	assert_int_equal(p.revents, POLLIN);
	node.s->shut = SOCK_SHUT_BOTH;
	assert_errno(ipn_send(node.fd, buf, 4, 0), ECONNRESET);
	assert_int_equal(ipn_recv(node.fd, buf, 4, 0), 0);
	assert_int_equal(ipn_poll(&p, 1, 0), 1);
	assert_int_equal(p.revents, POLLIN | POLLHUP);
}

/* A writer in another process, as fast as it can; the reader checks each message against itself. */
#define STORM 200000

static void storm_writer(void)
{
	uint32_t words[64];

	for (uint32_t i = 1; i <= STORM; i++) {
		for (uint32_t w = 0; w < ARRAY_SIZE(words); w++)
			words[w] = i;
		fake_put(net, i % 3 ? 1 : FAKE_OWN, words, sizeof(words));
		if (i % 64 == 0)
			usleep(1);
	}
	_exit(0);
}

static void storm_check(const uint32_t *words, uint32_t *last)
{
	for (uint32_t w = 1; w < 64; w++)
		assert_int_equal(words[w], words[0]);
	assert_true(words[0] > *last);
	assert_int_not_equal(words[0] % 3, 0);
	*last = words[0];
}

static void no_torn_message_is_ever_returned(void **state)
{
	static uint32_t copies[16][64];
	uint32_t words[64], last = 0;
	struct ipn_view v[16];
	int status = 0;
	pid_t pid;
	bool ended = false;

	(void)state;
	start(16, 0, 8);
	pid = fork();
	assert_int_not_equal(pid, -1);
	if (!pid)
		storm_writer();
	for (unsigned int turn = 0;; turn++) {
		int n, whole;

		if (turn % 2) {
			n = (int)ipn_recv(node.fd, words, sizeof(words), MSG_DONTWAIT);
			if (n > 0)
				storm_check(words, &last);
		} else {
			n = ipn_recv_peek(node.fd, v, 16, MSG_DONTWAIT);
			for (int i = 0; i < n; i++)
				memcpy(copies[i], v[i].data, sizeof(words));
			whole = n > 0 ? ipn_recv_done(node.fd, (unsigned int)n) : 0;
			for (int i = n - whole; i < n; i++)
				storm_check(copies[i], &last);
		}
		if (n < 0 && ended)
			break;
		if (n < 0)
			ended = waitpid(pid, &status, WNOHANG) == pid;
	}
	assert_int_equal(status, 0);
	assert_true(last >= STORM - 1);
	assert_true(node.s->rx.packets > 0);
	/* every message of another is either read or counted; lapped ones may have been own */
	assert_true(node.s->rx.packets + overruns() >= STORM - STORM / 3);
	assert_true(node.s->rx.packets + overruns() <= STORM);
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(messages_come_in_order_and_once),
		T(own_messages_are_skipped),
		T(the_newest_of_the_pool_stay),
		T(exactly_the_pool_is_no_overrun),
		T(a_reader_lapped_many_times_counts_all),
		T(own_messages_do_not_fill_the_pool),
		T(a_flood_of_own_messages_displaces_nothing),
		T(what_is_kept_and_what_comes_after_are_one_pool),
		T(who_shut_its_receive_side_down_keeps_nothing),
		T(the_pool_holds_what_others_sent),
		T(a_busy_slot_is_not_there_yet),
		T(a_busy_slot_of_a_later_message_means_lapped),
		T(a_hole_is_passed_and_counted),
		T(a_length_beyond_the_slot_is_cut),
		T(lengths_and_truncation),
		T(msg_peek_and_fionread_leave_the_message),
		T(the_nodes_own_log_goes_first_but_not_for_ever),
		T(a_message_overwritten_while_it_is_copied_is_lost),
		T(peek_shows_others_messages_in_place),
		T(peek_keeps_to_the_pool),
		T(done_tells_which_were_overwritten),
		T(done_after_a_number_was_taken_but_not_claimed),
		T(peek_stops_at_a_hole_and_goes_on_behind),
		T(peek_batches_come_from_one_log),
		T(a_port_taken_away_is_end_of_file),
		T(the_bell_wraps),
		T(what_is_shut_down_gives_its_errno),
		T(no_torn_message_is_ever_returned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
