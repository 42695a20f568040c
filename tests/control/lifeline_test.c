// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Lifelines: what a socket keeps, over the end of its control connection, until nobody has its
 * descriptor; and what a hostile client hands over as one.
 */
#include "rig.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager/access/quota.h"
#include "manager/core/lifeline.h"
#include "manager/core/net.h"
#include "manager/core/node.h"

static struct rig rig;
static struct reply reply;

static int setup(void **state)
{
	(void)state;
	rig_new(&rig);
	rig.no_fdstore = true;
	if (rig_start(&rig)) {
		print_error("%s\n", rig.e.text);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_free(&rig);
	return 0;
}

/* What a program has of its socket, and the other end. */
static void pair_make(int pair[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

static int lifeline(int s, int fd)
{
	return ctl_call(&rig, s, IPN_CTL_LIFELINE, NULL, 0, &fd, 1, &reply);
}

static const struct ipn_ctl_lifeline *has(void)
{
	assert_int_equal(reply.len, sizeof(struct ipn_ctl_lifeline));
	return (const void *)reply.body;
}

static int bind_new(int s, const char *name)
{
	struct ipn_ctl_net_add add = { .policy = IPN_POLICY_BROADCAST };
	int fd = rig_inode(&rig, name, 0777), r;

	util_copy(add.path, sizeof(add.path), rig_path(&rig, name));
	r = ctl_call(&rig, s, IPN_CTL_NET_ADD, &add, sizeof(add), &fd, 1, &reply);
	close(fd);
	return r;
}

static unsigned int nets(void)
{
	rig_run(&rig);
	return HASH_COUNT(rig.f.nets);
}

static void a_bound_network_ends_with_the_descriptor(void **state)
{
	const unsigned int before = rig_fds();
	int pair[2], s = ctl_open(&rig), copy;

	(void)state;
	pair_make(pair);
	assert_int_equal(lifeline(s, pair[1]), 0);
	assert_int_equal(has()->bound, 0);
	assert_int_equal(lifeline(s, pair[1]), -EISCONN);
	assert_int_equal(bind_new(s, "net"), 0);
	copy = dup(pair[0]);
	assert_int_equal(user_get(rig.f.users, 0)->has[QUOTA_SESSIONS], 1);
	ctl_close(&rig, s);
	assert_int_equal(nets(), 1);
	assert_int_equal(user_get(rig.f.users, 0)->has[QUOTA_SESSIONS], 1);
	close(pair[0]);
	assert_int_equal(nets(), 1);
	close(copy);
	assert_int_equal(nets(), 0);
	assert_int_equal(user_get(rig.f.users, 0)->has[QUOTA_SESSIONS], 0);
	assert_null(rig.f.all_lifelines);
	close(pair[1]);
	rig_settle(&rig);
	assert_int_equal(rig_fds(), before);
}

static void the_descriptor_ends_the_session(void **state)
{
	int pair[2], s = ctl_open(&rig);

	(void)state;
	pair_make(pair);
	assert_int_equal(lifeline(s, pair[1]), 0);
	assert_int_equal(bind_new(s, "net"), 0);
	close(pair[0]);
	assert_int_equal(nets(), 0);
	assert_null(rig.control->sessions);
	close(pair[1]);
	close(s);
}

static void another_session_goes_on_with_it(void **state)
{
	int pair[2], one = ctl_open(&rig), two;

	(void)state;
	pair_make(pair);
	assert_int_equal(lifeline(one, pair[1]), 0);
	assert_int_equal(bind_new(one, "net"), 0);
	ctl_close(&rig, one);
	two = ctl_open(&rig);
	assert_int_equal(lifeline(two, pair[1]), 0);
	assert_int_equal(has()->bound, 1);
	assert_int_equal(rig.f.nets->bound, 1);
	assert_int_equal(user_get(rig.f.users, 0)->has[QUOTA_SESSIONS], 1);
	assert_int_equal(bind_new(two, "other"), -EISCONN);
	ctl_close(&rig, two);
	assert_int_equal(nets(), 1);
	close(pair[0]);
	assert_int_equal(nets(), 0);
	close(pair[1]);
}

static void what_keeps_nothing_goes_with_the_session(void **state)
{
	int pair[2], s = ctl_open(&rig);

	(void)state;
	pair_make(pair);
	assert_int_equal(lifeline(s, pair[1]), 0);
	assert_non_null(rig.f.all_lifelines);
	ctl_close(&rig, s);
	assert_null(rig.f.all_lifelines);
	close(pair[0]);
	close(pair[1]);
}

static void who_does_not_hear_the_answer_has_not_got_it(void **state)
{
	struct {
		struct ipn_ctl_hdr hdr;
		struct ipn_ctl_net_add add;
	} packet = {
		.hdr = { .magic = IPN_CTL_MAGIC,
			 .version = IPN_CTL_VERSION,
			 .type = IPN_CTL_NET_ADD,
			 .len = sizeof(packet) },
		.add = { .policy = IPN_POLICY_BROADCAST },
	};
	int pair[2], s = ctl_open(&rig), fd = rig_inode(&rig, "net", 0777);

	(void)state;
	pair_make(pair);
	assert_int_equal(lifeline(s, pair[1]), 0);
	util_copy(packet.add.path, sizeof(packet.add.path), rig_path(&rig, "net"));
	assert_int_equal(ctl_send(s, &packet, sizeof(packet), &fd, 1), 0);
	shutdown(s, SHUT_RDWR);
	assert_int_equal(nets(), 0);
	assert_null(rig.f.all_lifelines);
	close(s);
	close(fd);
	close(pair[0]);
	close(pair[1]);
}

static void net_del_forgets_it(void **state)
{
	int pair[2], s = ctl_open(&rig), two = ctl_open(&rig);

	(void)state;
	pair_make(pair);
	assert_int_equal(lifeline(s, pair[1]), 0);
	assert_int_equal(bind_new(s, "net"), 0);
	net_del(rig.f.nets);
	assert_null(rig.f.all_lifelines->net);
	ctl_close(&rig, s);
	assert_null(rig.f.all_lifelines);
	ctl_close(&rig, two);
	close(pair[0]);
	close(pair[1]);
}

/* A packet in it, with or without bytes, could bring a descriptor that is never closed. */
static void nothing_may_be_in_it(void **state)
{
	(void)state;
	for (size_t bytes = 0; bytes < 2; bytes++) {
		int pair[2], pipes[2], s = ctl_open(&rig);

		pair_make(pair);
		assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
		assert_int_equal(ctl_send(pair[0], "x", bytes, &pipes[0], 1), 0);
		assert_int_equal(lifeline(s, pair[1]), -EINVAL);
		assert_null(rig.f.all_lifelines);
		ctl_close(&rig, s);
		close(pair[0]);
		close(pair[1]);
		close(pipes[0]);
		close(pipes[1]);
	}
}

static void nothing_can_be_put_into_it(void **state)
{
	int pair[2], s = ctl_open(&rig);

	(void)state;
	pair_make(pair);
	assert_int_equal(lifeline(s, pair[1]), 0);
	assert_int_equal(send(pair[0], "x", 1, 0), -1);
	assert_int_equal(errno, EPIPE);
	ctl_close(&rig, s);
	close(pair[0]);
	close(pair[1]);
}

static void only_ends_of_pairs(void **state)
{
	int s = ctl_open(&rig), pair[2];
	const int odd[] = {
		socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
		socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), /* connected to nobody */
		socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
		open("/dev/null", O_RDWR | O_CLOEXEC),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		assert_int_equal(lifeline(s, odd[i]), -EINVAL);
		close(odd[i]);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(lifeline(s, pair[1]), -EINVAL);
	close(pair[0]);
	close(pair[1]);
	ctl_close(&rig, s);
}

/* Of two users who give each other's ends, each loses only his own. */
static void both_ends_of_a_pair(void **state)
{
	int pair[2], one = ctl_open(&rig), two = ctl_open(&rig);

	(void)state;
	pair_make(pair);
	assert_int_equal(lifeline(one, pair[0]), 0);
	assert_int_equal(lifeline(two, pair[1]), 0);
	close(pair[0]);
	close(pair[1]);
	ctl_close(&rig, one);
	ctl_close(&rig, two);
	assert_null(rig.f.all_lifelines);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_bound_network_ends_with_the_descriptor),
		T(the_descriptor_ends_the_session),
		T(another_session_goes_on_with_it),
		T(what_keeps_nothing_goes_with_the_session),
		T(who_does_not_hear_the_answer_has_not_got_it),
		T(net_del_forgets_it),
		T(nothing_may_be_in_it),
		T(nothing_can_be_put_into_it),
		T(only_ends_of_pairs),
		T(both_ends_of_a_pair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
