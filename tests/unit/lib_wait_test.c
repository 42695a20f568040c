// SPDX-License-Identifier: GPL-2.0-or-later
/* Waiting: who sleeps is woken, whatever comes between, and by nothing else than it should. */
#include "fake_fabric.h"

#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#include "common/clock.h"

#define MS 1000000ULL
#define LOST_S 5  /* a wait this long was a lost wakeup */
#define LATE_S 20 /* so late may what is due be on a busy machine */

static struct fake_fabric fab;
static bool possible;

static int setup(void **state)
{
	(void)state;
	if (possible)
		fake_fabric_init(&fab, 4096, 0, 1024);
	return 0;
}

static int setup_switch(void **state)
{
	(void)state;
	if (possible)
		fake_fabric_init(&fab, 4096, 4096, 1024);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (possible)
		fake_fabric_end(&fab);
	return 0;
}

#define NEED_FABRIC()           \
	do {                    \
		if (!possible)  \
			skip(); \
	} while (0)

#define assert_errno(call, err)               \
	do {                                  \
		assert_int_equal((call), -1); \
		assert_int_equal(errno, err); \
	} while (0)

static void set_timeout(uint64_t ns)
{
	struct timeval tv = { (time_t)(ns / NS_PER_S), (suseconds_t)(ns % NS_PER_S / 1000) };

	assert_int_equal(ipn_setsockopt(fab.node.fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
}

static int64_t recv_u32(void)
{
	uint32_t v;
	ssize_t n = ipn_recv(fab.node.fd, &v, sizeof(v), 0);

	if (n < 0)
		return -errno;
	return n ? (int64_t)v : -ENODATA;
}

/* Does something a moment later, in another thread. */
struct later {
	pthread_t thread;
	void (*what)(void);
};

static void *later_run(void *arg)
{
	struct later *later = arg;

	usleep(50000);
	later->what();
	return NULL;
}

static void later_start(struct later *later, void (*what)(void))
{
	later->what = what;
	assert_int_equal(pthread_create(&later->thread, NULL, later_run, later), 0);
}

static void later_end(struct later *later)
{
	pthread_join(later->thread, NULL);
}

static void send_one(void)
{
	fake_send(&fab, 42);
}

static void take_away(void)
{
	fake_notify(&fab, IPN_EVENT_GONE, ENETDOWN);
}

static void shut(void)
{
	__atomic_store_n(&fab.node.s->shut, SOCK_SHUT_BOTH, __ATOMIC_SEQ_CST);
	rx_wake(fab.node.s);
}

static void close_it(void)
{
	ipn_close(fab.node.fd);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void a_sleeping_reader_is_woken(void **state)
{
	struct later later;
	uint64_t cpu;

	(void)state;
	NEED_FABRIC();
	set_timeout(LOST_S * NS_PER_S);
	cpu = cpu_ns();
	later_start(&later, send_one);
	assert_int_equal(recv_u32(), 42);
	later_end(&later);
	assert_int_equal(fab.rung, 1);
	assert_true(cpu_ns() - cpu < 20 * MS); /* it slept */
	/* the record stays until the next waiter: a call that does not wait leaves it */
	assert_int_equal(*fab.node.s->rx.bell.consumer, 16);
}

static void a_message_between_the_looks_is_seen(void **state)
{
	struct pollfd p = { .events = POLLIN };

	(void)state;
	NEED_FABRIC();
	/* the steps by hand: nothing, drained, then the message, then the sleep bit */
	rx_wait_begin(fab.node.s);
	rx_drain(fab.node.s);
	assert_int_equal(rx_look(fab.node.s), RX_IDLE);
	fake_send(&fab, 1);
	assert_int_equal(fab.rung, 0);
	assert_int_equal(rx_arm(fab.node.s), 0);
	assert_int_equal(rx_look(fab.node.s), RX_MESSAGE);
	/* and after the bit: the bell is readable */
	assert_int_equal(recv_u32(), 1);
	fake_send(&fab, 2);
	assert_int_equal(fab.rung, 1);
	p.fd = fab.node.s->rx.bell.fd;
	assert_int_equal(poll(&p, 1, 0), 1);
	rx_wait_end(fab.node.s);
	assert_int_equal(recv_u32(), 2);
}

static void rcvtimeo_ends_the_wait(void **state)
{
	uint64_t start, took;

	(void)state;
	NEED_FABRIC();
	for (int how = IPN_WAIT_SLEEP; how <= IPN_WAIT_SPIN; how++) {
		assert_int_equal(ipn_set_wait(fab.node.fd, (enum ipn_wait)how), 0);
		set_timeout(50 * MS);
		start = clock_now();
		assert_int_equal(recv_u32(), -EAGAIN);
		took = clock_now() - start;
		assert_in_range(took, 49 * MS, LATE_S * NS_PER_S);
		/* a record that means nothing does not make it longer */
		fake_notify(&fab, IPN_EVENT_WAKE, 0);
		start = clock_now();
		assert_int_equal(recv_u32(), -EAGAIN);
		took = clock_now() - start;
		assert_in_range(took, 49 * MS, LATE_S * NS_PER_S);
	}
	assert_errno(ipn_set_wait(fab.node.fd, (enum ipn_wait)2), EINVAL);
}

static void on_alarm(int sig)
{
	(void)sig;
}

static void a_signal_interrupts(void **state)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval it = { .it_value = { 0, 50000 } };
	struct pollfd p = { .events = POLLIN };

	(void)state;
	NEED_FABRIC();
	p.fd = fab.node.fd;
	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &it, NULL);
	assert_int_equal(recv_u32(), -EINTR);
	setitimer(ITIMER_REAL, &it, NULL);
	assert_errno(ipn_poll(&p, 1, -1), EINTR);
}

static void o_nonblock_from_outside_works(void **state)
{
	int on = 1, off = 0;

	(void)state;
	NEED_FABRIC();
	for (int how = IPN_WAIT_SLEEP; how <= IPN_WAIT_SPIN; how++) {
		uint64_t start;

		assert_int_equal(ipn_set_wait(fab.node.fd, (enum ipn_wait)how), 0);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(fcntl(fab.node.fd, F_SETFL, O_NONBLOCK), 0);
			set_timeout(LATE_S * NS_PER_S);
			start = clock_now();
			assert_int_equal(recv_u32(), -EAGAIN);
			assert_int_equal(recv_u32(), -EAGAIN);
			assert_true(clock_now() - start < LATE_S * NS_PER_S);
			assert_int_equal(fcntl(fab.node.fd, F_SETFL, 0), 0);
			set_timeout(200 * MS);
			start = clock_now();
			assert_int_equal(recv_u32(), -EAGAIN);
			assert_true(clock_now() - start >= 199 * MS);
		}
		assert_int_equal(ipn_ioctl(fab.node.fd, FIONBIO, &on), 0);
		assert_true(fcntl(fab.node.fd, F_GETFL) & O_NONBLOCK);
		assert_int_equal(recv_u32(), -EAGAIN);
		assert_int_equal(ipn_ioctl(fab.node.fd, FIONBIO, &off), 0);
		assert_false(fcntl(fab.node.fd, F_GETFL) & O_NONBLOCK);
	}
}

static void waitforone_does_not_ask_for_o_nonblock(void **state)
{
	struct ipn_view view;
	struct later later;

	(void)state;
	NEED_FABRIC();
	set_timeout(LOST_S * NS_PER_S);
	assert_int_equal(fcntl(fab.node.fd, F_SETFL, O_NONBLOCK), 0);
	for (int how = IPN_WAIT_SLEEP; how <= IPN_WAIT_SPIN; how++) {
		assert_int_equal(ipn_set_wait(fab.node.fd, (enum ipn_wait)how), 0);
		assert_errno(ipn_recv_peek(fab.node.fd, &view, 1, 0), EAGAIN);
		later_start(&later, send_one);
		assert_int_equal(ipn_recv_peek(fab.node.fd, &view, 1, MSG_WAITFORONE), 1);
		later_end(&later);
		assert_int_equal(ipn_recv_done(fab.node.fd, 1), 1);
		assert_errno(ipn_recv_peek(fab.node.fd, &view, 1, MSG_WAITFORONE | MSG_DONTWAIT),
			     EAGAIN);
	}
}

static void a_port_taken_away_ends_the_wait(void **state)
{
	struct later later;

	(void)state;
	NEED_FABRIC();
	set_timeout(LOST_S * NS_PER_S);
	later_start(&later, take_away);
	assert_int_equal(recv_u32(), -ENODATA);
	later_end(&later);
	assert_errno(ipn_send(fab.node.fd, "x", 1, 0), ECONNRESET);
}

static void the_same_when_spinning(void **state)
{
	struct later later;

	(void)state;
	NEED_FABRIC();
	set_timeout(LOST_S * NS_PER_S);
	assert_int_equal(ipn_set_wait(fab.node.fd, IPN_WAIT_SPIN), 0);
	later_start(&later, send_one);
	assert_int_equal(recv_u32(), 42);
	later_end(&later);
	assert_int_equal(fab.rung, 0);
	later_start(&later, take_away);
	assert_int_equal(recv_u32(), -ENODATA);
	later_end(&later);
}

static void shutdown_ends_the_wait(void **state)
{
	struct later later;

	(void)state;
	NEED_FABRIC();
	set_timeout(LOST_S * NS_PER_S);
	later_start(&later, shut);
	assert_int_equal(recv_u32(), -ENODATA);
	later_end(&later);
}

static void close_ends_the_wait(void **state)
{
	struct later later;

	(void)state;
	NEED_FABRIC();
	set_timeout(LOST_S * NS_PER_S);
	later_start(&later, close_it);
	assert_int_equal(recv_u32(), -ENODATA);
	later_end(&later);
	assert_int_equal(recv_u32(), -EBADF);
}

static void a_tap_that_is_gone_does_not_hang_the_reader(void **state)
{
	(void)state;
	NEED_FABRIC();
	close(fab.node.s->tap);
	fab.node.s->tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC); /* not attached: EBADFD */
	assert_errno(ipn_send(fab.node.fd, "x", 1, 0), ECONNRESET);
	assert_int_equal(recv_u32(), -ENODATA);
}

static void poll_over_bells_and_pipes(void **state)
{
	struct pollfd p[4];
	struct later later;
	int pipes[2], closed;
	uint64_t start;

	(void)state;
	NEED_FABRIC();
	assert_int_equal(pipe(pipes), 0);
	closed = dup(pipes[0]);
	close(closed);
	p[0] = (struct pollfd){ .fd = fab.node.fd, .events = POLLIN | POLLRDNORM };
	p[1] = (struct pollfd){ .fd = pipes[0], .events = POLLIN };
	p[2] = (struct pollfd){ .fd = -1, .events = POLLIN, .revents = 99 };
	p[3] = (struct pollfd){ .fd = -1 };

	assert_int_equal(ipn_poll(p, 4, 0), 0);
	assert_int_equal(p[2].revents, 0);
	start = clock_now();
	assert_int_equal(ipn_poll(p, 4, 50), 0);
	assert_in_range(clock_now() - start, 49 * MS, LATE_S * NS_PER_S);

	later_start(&later, send_one);
	assert_int_equal(ipn_poll(p, 4, LOST_S * 1000), 1);
	later_end(&later);
	assert_int_equal(p[0].revents, POLLIN | POLLRDNORM);
	assert_int_equal(p[1].revents, 0);

	assert_int_equal(write(pipes[1], "x", 1), 1);
	assert_int_equal(ipn_poll(p, 4, -1), 2);
	assert_int_equal(p[1].revents, POLLIN);
	assert_int_equal(recv_u32(), 42);
	assert_int_equal(ipn_poll(p, 4, -1), 1);
	assert_int_equal(p[0].revents, 0);

	p[3].fd = closed;
	assert_int_equal(ipn_poll(p, 4, -1), 2);
	assert_int_equal(p[3].revents, POLLNVAL);
	p[0].events = POLLOUT;
	assert_int_equal(ipn_poll(p, 1, -1), 1);
	assert_int_equal(p[0].revents, POLLOUT);

	/* who does not want input is told of the end all the same */
	p[0].events = 0;
	later_start(&later, take_away);
	assert_int_equal(ipn_poll(p, 1, LOST_S * 1000), 1);
	later_end(&later);
	assert_int_equal(p[0].revents, POLLHUP);
	close(pipes[0]);
	close(pipes[1]);
}

/*
 * The storms: a few messages, then nothing until all are taken, so that a lost wakeup is not healed
 * by the next message; with pauses of every length, so that they fall between all steps of the
 * waiting protocol. Who waits LOST_S has lost a wakeup.
 */

static uint64_t deliveries;
static uint32_t lost_wakeups;
static uint32_t storm_round;

static uint32_t storm_messages(void)
{
	const char *more = getenv("IPN_TEST_STORM");

	return more ? (uint32_t)atoi(more) : 30000;
}

/* A pause between 0 and 60 us or so, mostly short. */
static void pause_some(uint32_t *seed)
{
	uint32_t r = (*seed = *seed * 1103515245 + 12345) >> 8;

	switch (r % 8) {
	case 0:
		usleep(1);
		break;
	case 1:
	case 2:
		sched_yield();
		break;
	default:
		for (uint32_t i = 0; i < (r >> 4) % 4096; i++)
			__asm__ volatile("" ::: "memory");
		break;
	}
}

static bool poll_first(void)
{
	struct pollfd p = { .fd = fab.node.fd, .events = POLLIN };
	int r = ipn_poll(&p, 1, LOST_S * 1000);

	if (r == 0)
		__atomic_add_fetch(&lost_wakeups, 1, __ATOMIC_RELAXED);
	return r > 0;
}

/*
 * Busy with its message until all of this round are taken: the others must be woken for the rest.
 */
static void storm_work(uint32_t round)
{
	while (__atomic_load_n(&storm_round, __ATOMIC_ACQUIRE) == round &&
	       !__atomic_load_n(&lost_wakeups, __ATOMIC_RELAXED))
		sched_yield();
}

/* arg: r calls ipn_recv, p ipn_poll first; a capital takes one message per round. */
static void *storm_reader(void *arg)
{
	const char kind = *(const char *)arg;
	const bool polls = kind == 'p' || kind == 'P', one = kind < 'a';

	for (;;) {
		uint32_t round = __atomic_load_n(&storm_round, __ATOMIC_ACQUIRE);
		uint32_t v;
		ssize_t n;

		if (polls && !poll_first())
			return NULL;
		n = ipn_recv(fab.node.fd, &v, sizeof(v), polls ? MSG_DONTWAIT : 0);
		if (n == 0)
			return NULL;
		if (n > 0) {
			__atomic_add_fetch(&deliveries, 1, __ATOMIC_RELEASE);
			if (one)
				storm_work(round);
		} else if (errno == EAGAIN && !polls) {
			__atomic_add_fetch(&lost_wakeups, 1, __ATOMIC_RELAXED);
			return NULL;
		}
	}
}

/* Until so many were taken. False: nobody takes them any more. */
static bool storm_taken(uint32_t sent)
{
	while (__atomic_load_n(&deliveries, __ATOMIC_ACQUIRE) < sent) {
		if (__atomic_load_n(&lost_wakeups, __ATOMIC_RELAXED))
			return false;
		sched_yield();
	}
	return true;
}

static void storm(const char *readers)
{
	const uint32_t messages = storm_messages();
	struct rx *rx = &fab.node.s->rx;
	size_t n = strlen(readers);
	pthread_t threads[8];
	uint32_t seed = 1, sent = 0;

	set_timeout(LOST_S * NS_PER_S);
	deliveries = lost_wakeups = 0;
	for (size_t i = 0; i < n; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, storm_reader, (void *)(readers + i)), 0);
	while (sent < messages && storm_taken(sent)) {
		pause_some(&seed);
		__atomic_add_fetch(&storm_round, 1, __ATOMIC_RELEASE);
		for (uint32_t burst = 1 + (seed >> 16) % (uint32_t)n; burst; burst--, sent++)
			fake_send_log(&fab, &rx->log[rx->log[RX_NODE].base && sent % 2], sent);
	}
	storm_taken(sent);
	__atomic_add_fetch(&storm_round, 1, __ATOMIC_RELEASE);
	shut();
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(lost_wakeups, 0);
	assert_int_equal(deliveries, sent);
}

static void storm_one_reader(void **state)
{
	(void)state;
	NEED_FABRIC();
	storm("r");
	assert_true(fab.rung > 0);
}

static void storm_three_readers(void **state)
{
	(void)state;
	NEED_FABRIC();
	storm("rrr");
}

static void storm_readers_and_pollers(void **state)
{
	(void)state;
	NEED_FABRIC();
	storm("rprp");
}

static void storm_every_reader_must_wake(void **state)
{
	(void)state;
	NEED_FABRIC();
	storm("RRR");
}

static void storm_every_poller_must_wake(void **state)
{
	(void)state;
	NEED_FABRIC();
	storm("PRP");
}

static void storm_two_logs(void **state)
{
	(void)state;
	NEED_FABRIC();
	storm("rp");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_sleeping_reader_is_woken),
		T(a_message_between_the_looks_is_seen),
		T(rcvtimeo_ends_the_wait),
		T(a_signal_interrupts),
		T(o_nonblock_from_outside_works),
		T(waitforone_does_not_ask_for_o_nonblock),
		T(a_port_taken_away_ends_the_wait),
		T(the_same_when_spinning),
		T(shutdown_ends_the_wait),
		T(close_ends_the_wait),
		T(a_tap_that_is_gone_does_not_hang_the_reader),
		T(poll_over_bells_and_pipes),
		T(storm_one_reader),
		T(storm_three_readers),
		T(storm_readers_and_pollers),
		T(storm_every_reader_must_wake),
		T(storm_every_poller_must_wake),
		cmocka_unit_test_setup_teardown(storm_two_logs, setup_switch, teardown),
	};

	possible = fake_fabric_possible();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
