// SPDX-License-Identifier: GPL-2.0-or-later
/* The client's end of the control protocol, against managers that answer all kinds of nonsense. */
#include "fake_manager.h"

#include <signal.h>
#include <sys/time.h>

#include "common/clock.h"

#include "lib/client.h"

static struct fake_manager manager;
static unsigned int fds_before;
static _Atomic int how; /* also read by the manager's thread */

enum {
	GOOD,
	GOOD_WITH_FDS,
	REFUSES,
	REFUSES_AT_LENGTH,
	REFUSES_WITH_FDS,
	SHORT_HEADER,
	EMPTY,
	WRONG_MAGIC,
	WRONG_VERSION,
	WRONG_TYPE,
	WRONG_ID,
	WRONG_LEN,
	NEGATIVE_STATUS,
	HUGE_STATUS,
	TOO_LONG_BODY,
	TOO_LONG_PACKET,
	TOO_MANY_FDS,
	NONSENSE_WITH_FDS,
	HANGS_UP,
	SLOW,
};

static void add_fds(struct fake_reply *rep, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		rep->fds[rep->nfds++] = open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void answer(struct fake_manager *m, const struct fake_request *req, struct fake_reply *rep)
{
	struct ipn_ctl_info info = { .pid = 4711, .nets = req->nfds, .ports = (__u32)req->len };

	(void)m;
	fake_set_body(rep, &info, sizeof(info));
	switch ((int)how) {
	case SLOW:
		usleep(50000);
		break;
	case GOOD_WITH_FDS:
		add_fds(rep, IPN_CTL_MAX_FDS);
		break;
	case REFUSES_WITH_FDS:
		add_fds(rep, 2);
		/* fall through */
	case REFUSES:
		rep->hdr.status = EADDRNOTAVAIL;
		fake_set_body(rep, "port 7: taken", 13);
		break;
	case REFUSES_AT_LENGTH:
		rep->hdr.status = EPERM;
		memset(rep->body, 'x', 1000);
		rep->len = 1000;
		break;
	case SHORT_HEADER:
		rep->raw = true;
		rep->len = 23;
		break;
	case EMPTY:
		rep->raw = true;
		rep->len = 0;
		break;
	case WRONG_MAGIC:
		rep->hdr.magic++;
		break;
	case WRONG_VERSION:
		rep->hdr.version++;
		break;
	case WRONG_TYPE:
		rep->hdr.type++;
		break;
	case WRONG_ID:
		rep->hdr.id++;
		break;
	case WRONG_LEN:
		rep->hdr.len = 24;
		break;
	case NEGATIVE_STATUS:
		rep->hdr.status = -5;
		break;
	case HUGE_STATUS:
		rep->hdr.status = 1 << 20;
		break;
	case TOO_LONG_BODY:
		rep->len = sizeof(info) + 1;
		break;
	case TOO_LONG_PACKET:
		rep->len = IPN_CTL_MAX_PACKET;
		add_fds(rep, 1);
		break;
	case TOO_MANY_FDS:
		add_fds(rep, IPN_CTL_MAX_FDS + 1);
		break;
	case NONSENSE_WITH_FDS:
		rep->hdr.id++;
		add_fds(rep, 3);
		break;
	case HANGS_UP:
		rep->hang_up = true;
		break;
	}
}

static int setup(void **state)
{
	(void)state;
	fake_manager_start(&manager, answer);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_manager_end(&manager);
	return 0;
}

/* One call on a connection of its own; everything it opened is closed again. */
static int call_info(struct client_call *call, struct ipn_ctl_info *info, bool nonblock)
{
	int fd = client_open(NULL, NULL), r;

	assert_true(fd >= 0);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	if (nonblock)
		fcntl(fd, F_SETFL, O_NONBLOCK);
	call->type = IPN_CTL_INFO;
	call->reply = info;
	call->reply_size = sizeof(*info);
	r = client_call(fd, call);
	close(fd);
	return r;
}

static void a_reply_comes_back(void **state)
{
	struct ipn_ctl_info info;
	int fds[2] = { 0, 1 };
	struct client_call call = { .request = "abc", .request_len = 3, .fds = fds, .nfds = 2 };

	(void)state;
	for (int nonblock = 0; nonblock < 2; nonblock++) {
		how = nonblock ? SLOW : GOOD;
		memset(&info, 0, sizeof(info));
		assert_int_equal(call_info(&call, &info, nonblock), 0);
		assert_int_equal(call.reply_len, sizeof(info));
		assert_int_equal(call.nreply_fds, 0);
		assert_string_equal(call.text, "");
		assert_int_equal(info.pid, 4711);
		assert_int_equal(info.nets, 2);
		assert_int_equal(info.ports, 3);
	}
}

static void descriptors_come_close_on_exec(void **state)
{
	struct ipn_ctl_info info;
	struct client_call call = { 0 };

	(void)state;
	how = GOOD_WITH_FDS;
	assert_int_equal(call_info(&call, &info, false), 0);
	assert_int_equal(call.nreply_fds, IPN_CTL_MAX_FDS);
	for (unsigned int i = 0; i < call.nreply_fds; i++) {
		assert_true(fcntl(call.reply_fds[i], F_GETFD) & FD_CLOEXEC);
		close(call.reply_fds[i]);
	}
}

static void a_refusal_brings_its_text(void **state)
{
	struct ipn_ctl_info info;
	struct client_call call = { 0 };

	(void)state;
	for (how = REFUSES; how <= REFUSES_WITH_FDS; how++) {
		if (how == REFUSES_AT_LENGTH)
			continue;
		assert_int_equal(call_info(&call, &info, false), -EADDRNOTAVAIL);
		assert_string_equal(call.text, "port 7: taken");
		assert_int_equal(call.nreply_fds, 0);
	}
	how = REFUSES_AT_LENGTH;
	assert_int_equal(call_info(&call, &info, false), -EPERM);
	assert_int_equal(strlen(call.text), sizeof(call.text) - 1);
}

static void nonsense_is_eproto_and_leaks_nothing(void **state)
{
	struct ipn_ctl_info info;
	struct client_call call = { 0 };

	(void)state;
	fds_before = fake_settled_fds();
	for (how = SHORT_HEADER; how <= NONSENSE_WITH_FDS; how++) {
		int r = call_info(&call, &info, false);

		assert_int_equal(r, how == EMPTY ? -ENETDOWN : -EPROTO);
		assert_int_equal(call.nreply_fds, 0);
		assert_string_equal(call.text, "");
	}
	fake_fds_expect(fds_before);
}

static void a_manager_that_dies_is_enetdown(void **state)
{
	struct ipn_ctl_info info;
	struct client_call call = { .type = IPN_CTL_INFO,
				    .reply = &info,
				    .reply_size = sizeof(info) };
	int fd;

	(void)state;
	how = HANGS_UP;
	assert_int_equal(call_info(&call, &info, false), -ENETDOWN);
	how = GOOD;
	fd = client_open(manager.dir, NULL);
	assert_true(fd >= 0);
	fake_manager_die(&manager);
	assert_int_equal(client_call(fd, &call), -ENETDOWN);
	assert_int_equal(client_call(fd, &call), -ENETDOWN);
	close(fd);
	assert_int_equal(client_open(manager.dir, NULL), -ENETDOWN);
	fake_manager_listen(&manager);
}

static unsigned int told;

static void tell_slow(void)
{
	told++;
}

static void on_alarm(int number)
{
	(void)number;
}

static void alarm_in(long ms)
{
	const struct sigaction action = { .sa_handler = on_alarm };
	const struct itimerval timer = { .it_value = { ms / 1000, ms % 1000 * 1000 } };

	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* A manager that is stopped: nobody accepts, nobody reads. */
static int stopped_call(const struct client_wait *wait)
{
	struct client_call call = { .type = IPN_CTL_INFO, .wait = wait };
	int pair[2], r;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	r = client_call(pair[0], &call);
	close(pair[0]);
	close(pair[1]);
	return r;
}

static void waits_end_as_they_are_told(void **state)
{
	struct client_wait wait = { .until = CLOCK_NEVER, .interrupt = true };
	uint64_t began = clock_now();

	(void)state;
	wait.until = began + 50000000;
	assert_int_equal(stopped_call(&wait), -EAGAIN);
	assert_true(clock_now() >= wait.until);

	/* one that comes early is not lost */
	wait.until = CLOCK_NEVER;
	began = clock_now();
	alarm_in(5);
	assert_int_equal(stopped_call(&wait), -EINTR);
	assert_true(clock_now() - began >= CLIENT_PATIENCE_MS * 1000000ULL);

	/* and one that comes during an answer does not end it */
	how = SLOW;
	alarm_in(5);
	{
		struct ipn_ctl_info info;
		struct client_call call = { .wait = &wait };

		assert_int_equal(call_info(&call, &info, false), 0);
	}

	wait.interrupt = false;
	wait.until = clock_now() + 300000000;
	alarm_in(5);
	assert_int_equal(stopped_call(&wait), -EAGAIN);
}

static void a_long_wait_is_told_once(void **state)
{
	struct client_wait wait = { 0 };

	(void)state;
	client_slow = tell_slow;
	wait.until = clock_now() + (CLIENT_SLOW_MS - 1000) * 1000000ULL;
	assert_int_equal(stopped_call(&wait), -EAGAIN);
	assert_int_equal(told, 0);
	wait.until = clock_now() + (CLIENT_SLOW_MS + 500) * 1000000ULL;
	assert_int_equal(stopped_call(&wait), -EAGAIN);
	assert_int_equal(told, 1);
	client_slow = NULL;
}

static void a_queue_that_is_full_is_waited_for(void **state)
{
	struct client_wait wait = { 0 };
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int busy[8], n = 0, listening;
	char dir[] = "/tmp/ipn-full-XXXXXX";

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", dir, IPN_CTL_SOCKET);
	listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listening, (struct sockaddr *)&sun, sizeof(sun)), 0);
	assert_int_equal(listen(listening, 1), 0);
	while (n < 8) {
		busy[n] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (connect(busy[n++], (struct sockaddr *)&sun, sizeof(sun)))
			break;
	}
	wait.until = clock_now() + 250000000;
	assert_int_equal(client_open(dir, &wait), -EAGAIN);
	wait.until = CLOCK_NEVER;
	wait.interrupt = true;
	alarm_in(5);
	assert_int_equal(client_open(dir, &wait), -EINTR);
	while (n)
		close(busy[--n]);
	close(listening);
	unlink(sun.sun_path);
	rmdir(dir);
}

static void where_no_manager_can_be(void **state)
{
	char dir[200], env[100];

	(void)state;
	assert_int_equal(client_open("/nonexistent", NULL), -ENETDOWN);
	assert_int_equal(client_open("/dev/null", NULL), -ENETDOWN);
	memset(dir, 'd', sizeof(dir));
	dir[0] = '/';
	dir[199] = '\0';
	assert_int_equal(client_open(dir, NULL), -ENAMETOOLONG);
	snprintf(env, sizeof(env), "%s", manager.dir);
	setenv(IPN_CTL_ENV_RUN_DIR, "/nonexistent", 1);
	assert_int_equal(client_open(NULL, NULL), -ENETDOWN);
	setenv(IPN_CTL_ENV_RUN_DIR, env, 1);
}

static void requests_that_do_not_fit_are_not_sent(void **state)
{
	static char big[IPN_CTL_MAX_PACKET];
	struct client_call call = { .type = IPN_CTL_INFO, .request = big };
	int fds[IPN_CTL_MAX_FDS + 1] = { 0 };

	(void)state;
	call.request_len = IPN_CTL_MAX_PACKET - sizeof(struct ipn_ctl_hdr) + 1;
	assert_int_equal(client_call(-1, &call), -EMSGSIZE);
	call.request_len = 0;
	call.fds = fds;
	call.nfds = IPN_CTL_MAX_FDS + 1;
	assert_int_equal(client_call(-1, &call), -EMSGSIZE);
	call.nfds = 0;
	assert_int_equal(client_call(-1, &call), -EBADF);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_reply_comes_back),
		T(descriptors_come_close_on_exec),
		T(a_refusal_brings_its_text),
		T(nonsense_is_eproto_and_leaks_nothing),
		T(a_manager_that_dies_is_enetdown),
		T(waits_end_as_they_are_told),
		T(a_long_wait_is_told_once),
		T(a_queue_that_is_full_is_waited_for),
		T(where_no_manager_can_be),
		T(requests_that_do_not_fit_are_not_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
