// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A network gets another log when somebody may have lost his right to read it: when that is, how
 * readers get it, and what the manager does when there is no memory for it.
 */
#include "rig.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/access/quota.h"
#include "manager/access/readers.h"
#include "manager/core/logs.h"
#include "manager/core/net.h"
#include "manager/core/rotate.h"
#include "manager/kernel/bpf.h"

static struct rig rig;
static struct net *net;
static int session = -1;
static struct reply joined, reply;

static bool is_serial(void *arg)
{
	return net->head->serial == *(const __u64 *)arg && !net->info.rotating;
}

static void until_serial(__u64 serial)
{
	rig_run_until(&rig, is_serial, &serial);
}

static bool is_seen(void *arg)
{
	(void)arg;
	return !rig.control->changed[net->id] && net->info.readers.mode == 0744;
}

static void mode(mode_t mode)
{
	assert_int_equal(chmod(rig_path(&rig, "net"), mode), 0);
}

static int join(__u32 knows)
{
	const struct ipn_ctl_connect connect = { .port = IPN_PORTNO_ANY, .knows = knows };
	int fd = open(rig_path(&rig, "net"), O_PATH | O_CLOEXEC);
	int r = ctl_call(&rig, session, IPN_CTL_CONNECT, &connect, sizeof(connect), &fd, 1,
			 &joined);

	close(fd);
	return r;
}

static struct node *port(void)
{
	return net->ports[0];
}

/* By another connection, as libipn does. 0 or -errno; the log is mapped, its serial compared. */
static int next_log(__u64 serial, __u64 wanted)
{
	const struct ipn_ctl_log log = { .serial = serial };
	int s = ctl_open(&rig), r;
	const struct ipn_log_head *head;

	r = ctl_call(&rig, s, IPN_CTL_LOG, &log, sizeof(log), &joined.fds[0], 1, &reply);
	if (!r) {
		assert_int_equal(reply.nfds, 1);
		head = mmap(NULL, 4096, PROT_READ, MAP_SHARED, reply.fds[0], 0);
		assert_true(head != MAP_FAILED);
		assert_int_equal(head->serial, wanted);
		munmap((void *)head, 4096);
	}
	reply_close(&reply);
	ctl_close(&rig, s);
	return r;
}

static void who_keeps_the_right_is_told_of_the_next_log(void **state)
{
	__u64 last = net->info.readers.ctime;

	(void)state;
	assert_int_equal(join(IPN_CTL_KNOWS_LOG), 0);
	assert_int_equal(port()->page->log, IPN_LOG_IS(0));
	mode(0700);
	until_serial(1);
	assert_int_equal(port()->page->log, IPN_LOG_IS(1));
	assert_int_not_equal(net->info.readers.ctime, last);
	assert_int_equal(net->info.readers.mode, 0700);
	assert_int_equal(next_log(0, 1), 0);
}

static void a_slow_reader_gets_the_logs_in_their_order(void **state)
{
	(void)state;
	assert_int_equal(join(IPN_CTL_KNOWS_LOG), 0);
	for (__u64 serial = 1; serial <= 3; serial++) {
		rotate_want(net);
		rotate_all(&rig.f);
		assert_int_equal(net->head->serial, serial);
	}
	assert_int_equal(next_log(1, 2), 0);
	assert_int_equal(next_log(2, 3), 0);
	assert_int_equal(next_log(0, 3), 0); /* there is only one of before */
}

static void numbers_of_a_lossy_network_begin_beyond_those_before(void **state)
{
	(void)state;
	rotate_want(net);
	rotate_all(&rig.f);
	assert_int_equal(net->head->head, 2ULL << 32);
	assert_int_equal(net->head->start, 2ULL << 32);
	rotate_want(net);
	rotate_all(&rig.f);
	assert_int_equal(net->head->head, 4ULL << 32);
}

static void a_lossless_network_goes_on_where_it_was(void **state)
{
	const struct ipn_net_info info = { .policy = IPN_POLICY_BROADCAST,
					   .persistent = 1,
					   .flags = IPN_FLAG_LOSSLESS };
	struct net *n = rig_net(&rig, "lossless", &info);
	struct ipn_log_head *head;
	struct ipn_slot *slot;

	(void)state;
	/* the stub's maps can be written: two messages stand in it */
	head = mmap(NULL, 8 * IPN_SLOT_ETH, PROT_READ | PROT_WRITE, MAP_SHARED, n->log_fd, 0);
	assert_true(head != MAP_FAILED);
	head->head = 2;
	head->limit = 7;
	slot = (void *)((char *)head + 2 * IPN_SLOT_ETH);
	slot->seq = 2;
	slot->len = 5;
	memcpy(slot->data, "hello", 5);
	munmap(head, 8 * IPN_SLOT_ETH);
	rotate_want(n);
	rotate_all(&rig.f);
	assert_int_equal(n->head->serial, 1);
	assert_int_equal(n->head->head, 2);
	assert_int_equal(n->head->start, 2);
	assert_int_equal(n->head->closed, 0);
	assert_int_equal(n->head->limit, 0);   /* counted anew */
	assert_int_equal(n->head->waiting, 1); /* so whoever waits is rung */
	head = mmap(NULL, 8 * IPN_SLOT_ETH, PROT_READ, MAP_SHARED, n->log_fd, 0);
	slot = (void *)((char *)head + 2 * IPN_SLOT_ETH);
	assert_int_equal(slot->seq, 2);
	assert_memory_equal(slot->data, "hello", 5);
	munmap(head, 8 * IPN_SLOT_ETH);
	assert_true(stub_runs("ipn_notify") > 0);
}

static void a_client_that_knows_no_next_log_is_detached(void **state)
{
	(void)state;
	assert_int_equal(join(0), 0);
	mode(0700);
	until_serial(1);
	assert_null(port());
}

static void who_gains_a_right_costs_no_log(void **state)
{
	(void)state;
	assert_int_equal(join(IPN_CTL_KNOWS_LOG), 0);
	mode(0766);
	mode(0744); /* the w of others */
	rig_run_until(&rig, is_seen, NULL);
	assert_int_equal(net->info.rotating, 0);
	assert_int_equal(net->head->serial, 0);
}

static void what_happened_without_a_manager_counts(void **state)
{
	(void)state;
	rig_stop(&rig);
	stub_revive();
	mode(0700);
	mode(0777);
	assert_int_equal(rig_start(&rig), 0);
	net = rig.f.nets;
	rig_run(&rig);
	assert_int_equal(net->head->serial, 0); /* anybody may read it now */
	rig_stop(&rig);
	stub_revive();
	mode(0700);
	assert_int_equal(rig_start(&rig), 0);
	net = rig.f.nets;
	until_serial(1);
}

static void who_may_not_receive_gets_no_log(void **state)
{
	const struct ipn_ctl_shutdown how = { .how = SHUT_RD };
	const struct ipn_ctl_log log = { 0 };
	int s = ctl_open(&rig);

	(void)state;
	assert_int_equal(join(IPN_CTL_KNOWS_LOG), 0);
	assert_int_equal(
		ctl_call(&rig, session, IPN_CTL_SHUTDOWN, &how, sizeof(how), NULL, 0, &reply), 0);
	assert_int_equal(next_log(0, 0), -EACCES);
	/* what is no tap */
	assert_true(ctl_call(&rig, s, IPN_CTL_LOG, &log, sizeof(log), &joined.fds[1], 1, &reply) <
		    0);
	assert_int_equal(reply.nfds, 0);
	ctl_close(&rig, s);
}

/* What is sent must not get into a log that somebody may read who has no right. */
static void without_memory_the_network_has_no_log(void **state)
{
	const struct ipn_log_head *head;
	int fd;

	(void)state;
	assert_int_equal(join(IPN_CTL_KNOWS_LOG), 0);
	stub_fail("map_create", 1, ENOMEM);
	mode(0700);
	while (!stub_has_failed())
		sd_event_run(rig.f.event, 100000);
	assert_true(net->shut);
	assert_int_equal(net->head->serial, 0);
	fd = bpf_inner_get(rig.f.bpf->fd_logs[net->log_class], net->id);
	assert_false(bpf_log_is(fd, net->slots));
	head = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	assert_int_equal(head->closed, 1);
	munmap((void *)head, 4096);
	close(fd);
	/* the next manager finds it so, and then there is memory again */
	rig_stop(&rig);
	stub_revive();
	stub_fail("map_create", 0, 0);
	assert_int_equal(rig_start(&rig), 0);
	net = rig.f.nets;
	rig_run(&rig);
	assert_false(net->shut);
	assert_int_equal(net->head->serial, 1);
	assert_int_equal(port()->page->log, IPN_LOG_IS(1));
}

static void old_logs_count_for_who_made_the_network(void **state)
{
	const struct ipn_net_info info = {
		.policy = IPN_POLICY_BROADCAST, .persistent = 1, .uid = 1000, .account = 1000
	};
	struct net *n = rig_net(&rig, "theirs", &info);
	struct user *u = user_get(rig.f.users, 1000);
	size_t one = log_bytes(n->log_class, n->slots);
	int kept[3];

	(void)state;
	assert_int_equal(u->has[QUOTA_MEMORY], one);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		kept[i] = fcntl(n->log_fd, F_DUPFD_CLOEXEC, 0);
		rotate_want(n);
		rotate_all(&rig.f);
	}
	assert_int_equal(u->has[QUOTA_MEMORY], 4 * one);
	assert_true(user_may_hold(rig.f.users, u, one));
	assert_false(user_may_hold(rig.f.users, u, quota_each(QUOTA_MEMORY)));
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++)
		close(kept[i]);
	assert_true(user_may_hold(rig.f.users, u, 0));   /* looks who holds them still */
	assert_int_equal(u->has[QUOTA_MEMORY], 2 * one); /* the last one before is kept */
	n->old_until = 1;
	rotate_all(&rig.f);
	assert_true(user_may_hold(rig.f.users, u, 0));
	assert_int_equal(u->has[QUOTA_MEMORY], one);
}

static void which_changes_take_rights_away(void **state)
{
	static const struct {
		struct ipn_readers old, now;
		bool lost;
	} cases[] = {
		{ { .mode = 0755 }, { .mode = 0755 }, false },
		{ { .mode = 0755 }, { .mode = 0700 }, true },
		{ { .mode = 0744 }, { .mode = 0344 }, true },
		{ { .mode = 0700 }, { .mode = 0755 }, false },
		{ { .mode = 0640 }, { .mode = 0620 }, true },
		{ { .mode = 0755 }, { .mode = 0444 }, false },
		{ { .mode = 0755 }, { .mode = 0755, .uid = 5 }, false },
		{ { .mode = 0750 }, { .mode = 0750, .uid = 5 }, true },
		{ { .mode = 0750 }, { .mode = 0750, .gid = 5 }, true },
		{ { .mode = 0755 }, { .mode = 0755, .acl = 5 }, true },
		{ { .mode = 0750, .acl = 5 }, { .mode = 0750, .acl = 6 }, true },
		{ { .mode = 0750, .acl = 5 }, { .mode = 0755 }, false },
		{ { .mode = 0755 }, { .mode = 0755, .gone = 1 }, true },
		{ { .mode = 0755, .gone = 1 }, { .mode = 0755, .gone = 1 }, false },
		{ { .mode = 0755, .gone = 1 }, { .mode = 0700, .gone = 1 }, true },
		{ { .mode = 0700, .gone = 1 }, { .mode = 0700 }, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (readers_lost(&cases[i].old, &cases[i].now) != cases[i].lost)
			fail_msg("case %zu", i);
}

static int setup(void **state)
{
	const struct ipn_net_info info = { .policy = IPN_POLICY_BROADCAST, .persistent = 1 };

	(void)state;
	rig_new(&rig);
	rig.no_fdstore = true;
	assert_int_equal(rig_start(&rig), 0);
	net = rig_net(&rig, "net", &info);
	session = ctl_open(&rig);
	joined.nfds = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	reply_close(&joined);
	close(session);
	rig_free(&rig);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_keeps_the_right_is_told_of_the_next_log),
		TEST(a_slow_reader_gets_the_logs_in_their_order),
		TEST(numbers_of_a_lossy_network_begin_beyond_those_before),
		TEST(a_lossless_network_goes_on_where_it_was),
		TEST(a_client_that_knows_no_next_log_is_detached),
		TEST(who_gains_a_right_costs_no_log),
		TEST(what_happened_without_a_manager_counts),
		TEST(who_may_not_receive_gets_no_log),
		TEST(without_memory_the_network_has_no_log),
		TEST(old_logs_count_for_who_made_the_network),
		cmocka_unit_test(which_changes_take_rights_away),
	};

	if (geteuid()) {
		printf("skip: sockets of networks are made by mknod: needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
