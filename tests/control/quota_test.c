// SPDX-License-Identifier: GPL-2.0-or-later
/* What a user may have: sessions, networks, ports, monitors, and the memory of logs. */
#include "rig.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager/access/quota.h"
#include "manager/control/packet.h"
#include "manager/core/logs.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/core/port_kind.h"

#define UID 1000

static struct rig rig;
static struct reply reply;
static struct user *u;

static int setup(void **state)
{
	(void)state;
	rig_new(&rig);
	rig.no_fdstore = true;
	if (rig_start(&rig)) {
		print_error("%s\n", rig.e.text);
		return -1;
	}
	u = user_get(rig.f.users, UID);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_free(&rig);
	return 0;
}

/* A session of a user who is not root. */
static int user_open(void)
{
	int s;

	assert_int_equal(seteuid(UID), 0);
	s = ctl_open(&rig);
	assert_int_equal(seteuid(0), 0);
	return s;
}

static int net_request(int s, const char *name, __u32 pool, __u32 mtu, __u16 type)
{
	struct ipn_ctl_net_add add = {
		.policy = IPN_POLICY_SWITCH, .pool = pool, .mtu = mtu, .persistent = 1
	};
	int fd = rig_inode(&rig, name, 0777), r;

	util_copy(add.path, sizeof(add.path), rig_path(&rig, name));
	assert_int_equal(chown(add.path, UID, UID), 0);
	r = ctl_call(&rig, s, type, &add, type == IPN_CTL_NET_ADD ? sizeof(add) : 0, &fd, 1,
		     &reply);
	close(fd);
	return r;
}

static int add(int s, const char *name)
{
	return net_request(s, name, 0, 0, IPN_CTL_NET_ADD);
}

static int del(int s, const char *name)
{
	return net_request(s, name, 0, 0, IPN_CTL_NET_DEL);
}

static int join(int s, const char *name)
{
	const struct ipn_ctl_connect connect = { .policy = IPN_ANY, .port = IPN_PORTNO_ANY };
	int fd = open(rig_path(&rig, name), O_PATH | O_CLOEXEC);
	int r = ctl_call(&rig, s, IPN_CTL_CONNECT, &connect, sizeof(connect), &fd, 1, &reply);

	close(fd);
	return r;
}

static int info(int s)
{
	return ctl_call(&rig, s, IPN_CTL_INFO, NULL, 0, NULL, 0, &reply);
}

static void sessions(void **state)
{
	int first = user_open(), second, root;

	(void)state;
	assert_int_equal(u->has[QUOTA_SESSIONS], 1);
	user_add(rig.f.users, u, QUOTA_SESSIONS, quota_each(QUOTA_SESSIONS) - 1);
	second = user_open();
	assert_int_equal(info(second), -EPIPE);
	assert_int_equal(u->has[QUOTA_SESSIONS], quota_each(QUOTA_SESSIONS));
	root = ctl_open(&rig);
	assert_int_equal(info(root), 0);
	assert_int_equal(info(first), 0);
	user_sub(rig.f.users, u, QUOTA_SESSIONS, quota_each(QUOTA_SESSIONS) - 1);
	ctl_close(&rig, second);
	second = user_open();
	assert_int_equal(info(second), 0);
	ctl_close(&rig, first);
	ctl_close(&rig, second);
	ctl_close(&rig, root);
	assert_int_equal(u->has[QUOTA_SESSIONS], 0);
}

static void networks(void **state)
{
	int s = user_open(), root = ctl_open(&rig);

	(void)state;
	user_add(rig.f.users, u, QUOTA_NETS, quota_each(QUOTA_NETS) - 1);
	assert_int_equal(add(s, "one"), 0);
	assert_int_equal(add(s, "two"), -EDQUOT);
	assert_int_equal(u->has[QUOTA_NETS], quota_each(QUOTA_NETS));
	assert_int_equal(add(root, "roots"), 0);
	assert_int_equal(del(s, "one"), 0);
	assert_int_equal(add(s, "two"), 0);
	assert_int_equal(u->has[QUOTA_NETS], quota_each(QUOTA_NETS));
	assert_int_equal(del(root, "two"), 0); /* it is his who made it */
	assert_int_equal(u->has[QUOTA_NETS], quota_each(QUOTA_NETS) - 1);
	ctl_close(&rig, s);
	ctl_close(&rig, root);
}

static void ports(void **state)
{
	int s = user_open(), second = user_open(), root = ctl_open(&rig);
	struct reply mine, theirs;

	(void)state;
	assert_int_equal(add(root, "net"), 0);
	user_add(rig.f.users, u, QUOTA_NODES, quota_each(QUOTA_NODES) - 1);
	assert_int_equal(join(s, "net"), 0);
	mine = reply;
	assert_int_equal(join(second, "net"), -EDQUOT);
	assert_int_equal(join(root, "net"), 0);
	theirs = reply;
	assert_int_equal(u->has[QUOTA_NODES], quota_each(QUOTA_NODES));
	ctl_close(&rig, s);
	assert_int_equal(u->has[QUOTA_NODES], quota_each(QUOTA_NODES) - 1);
	reply_close(&mine);
	assert_int_equal(join(second, "net"), 0);
	reply_close(&reply);
	reply_close(&theirs);
	ctl_close(&rig, second);
	ctl_close(&rig, root);
	assert_int_equal(u->has[QUOTA_NODES], quota_each(QUOTA_NODES) - 1);
}

static void monitors(void **state)
{
	int most = (int)quota_each(QUOTA_MONITORS), s[64], root = ctl_open(&rig);

	(void)state;
	assert_true(most < (int)(sizeof(s) / sizeof(*s)));
	for (int i = 0; i <= most; i++) {
		int r;

		s[i] = user_open();
		r = ctl_call(&rig, s[i], IPN_CTL_MONITOR, NULL, 0, NULL, 0, &reply);
		assert_int_equal(r, i < most ? 0 : -EDQUOT);
	}
	assert_int_equal(ctl_call(&rig, root, IPN_CTL_MONITOR, NULL, 0, NULL, 0, &reply), 0);
	ctl_close(&rig, s[0]);
	assert_int_equal(ctl_call(&rig, s[most], IPN_CTL_MONITOR, NULL, 0, NULL, 0, &reply), 0);
	for (int i = 1; i <= most; i++)
		close(s[i]);
	rig_run(&rig);
	assert_int_equal(u->has[QUOTA_MONITORS], 0);
	ctl_close(&rig, root);
}

/* Networks whose logs take a little more than a quarter each of what a user may have. */
static int big(int s, const char *name)
{
	return net_request(s, name, 1024, IPN_MTU_MAX, IPN_CTL_NET_ADD);
}

static void memory_of_logs(void **state)
{
	int s = user_open();

	(void)state;
	assert_int_equal(big(s, "one"), 0);
	assert_true(u->has[QUOTA_MEMORY] > quota_each(QUOTA_MEMORY) / 4);
	assert_int_equal(big(s, "two"), 0);
	assert_int_equal(big(s, "three"), 0);
	assert_int_equal(big(s, "four"), -EDQUOT);
	assert_int_equal(del(s, "one"), 0);
	assert_int_equal(big(s, "four"), 0);
	assert_int_equal(big(s, "one"), -EDQUOT);
	ctl_close(&rig, s);
}

/* Who keeps a log open keeps its memory, though the network is gone. */
static void held_logs_count(void **state)
{
	int s = user_open(), reader = ctl_open(&rig);
	struct reply held;

	(void)state;
	assert_int_equal(big(s, "one"), 0);
	assert_int_equal(big(s, "two"), 0);
	assert_int_equal(big(s, "three"), 0);
	assert_int_equal(join(reader, "one"), 0);
	held = reply;
	assert_int_equal(del(s, "one"), 0);
	assert_int_equal(u->nheld, 1);
	assert_int_equal(big(s, "four"), -EDQUOT);
	reply_close(&held);
	assert_int_equal(big(s, "four"), 0);
	assert_int_equal(u->nheld, 0);
	ctl_close(&rig, s);
	ctl_close(&rig, reader);
}

/* Logs of ports that only stand in their map do not count against a user who wants more. */
static void logs_of_ports_that_left_are_given_back(void **state)
{
	int s = user_open(), root = ctl_open(&rig);

	(void)state;
	assert_int_equal(net_request(root, "net", 1024, IPN_MTU_MAX, IPN_CTL_NET_ADD), 0);
	for (int i = 0; i < 12; i++) {
		int joining = user_open();

		assert_int_equal(join(joining, "net"), 0);
		reply_close(&reply);
		ctl_close(&rig, joining);
		assert_true(u->has[QUOTA_MEMORY] <= quota_each(QUOTA_MEMORY));
	}
	assert_int_equal(u->has[QUOTA_NODES], 0);
	ctl_close(&rig, s);
	ctl_close(&rig, root);
}

/* A request that fails takes nothing of the quota, wherever it fails. */
static void what_fails_costs_nothing(void **state)
{
	int s = user_open(), r = -1;
	size_t memory;

	(void)state;
	for (unsigned long n = 1; r; n++) {
		memory = u->has[QUOTA_MEMORY];
		stub_fail(NULL, n, ENOMEM);
		r = add(s, "net");
		stub_fail(NULL, 0, 0);
		if (!r)
			break;
		assert_int_equal(u->has[QUOTA_NETS], 0);
		assert_int_equal(u->has[QUOTA_MEMORY], memory);
		assert_int_equal(stub_count("ipn_net_info"), 0);
	}
	assert_int_equal(u->has[QUOTA_NETS], 1);
	r = -1;
	for (unsigned long n = 1; r; n++) {
		int joining = user_open();

		stub_fail(NULL, n, ENOMEM);
		r = join(joining, "net");
		stub_fail(NULL, 0, 0);
		reply_close(&reply);
		ctl_close(&rig, joining);
		assert_int_equal(u->has[QUOTA_NODES], 0);
		assert_int_equal(stub_count("ipn_port_in"), 0);
		assert_int_equal(stub_count("ipn_port_info"), 0);
	}
	ctl_close(&rig, s);
}

/* --- the loop's time --- */

static bool has_reply(int s)
{
	struct pollfd p = { .fd = s, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* Also in a session that he has not used lately, and though he asked first. */
static void who_took_much_time_comes_after_others(void **state)
{
	const struct ipn_ctl_hdr info = { .magic = IPN_CTL_MAGIC,
					  .version = IPN_CTL_VERSION,
					  .type = IPN_CTL_INFO,
					  .len = sizeof(info) };
	int busy = user_open(), idle = user_open(), other = ctl_open(&rig);

	(void)state;
	rig_run(&rig);
	u->time.lately = 10 * TIME_RANK_US - 1; /* and with the next request: one rank more */
	assert_int_equal(ctl_call(&rig, busy, IPN_CTL_INFO, NULL, 0, NULL, 0, &reply), 0);
	reply_close(&reply);
	assert_true(user_rank(u) >= 10);
	assert_int_equal(send(idle, &info, sizeof(info), 0), sizeof(info));
	assert_int_equal(send(other, &info, sizeof(info), 0), sizeof(info));
	while (!has_reply(idle) && !has_reply(other))
		assert_true(sd_event_run(rig.f.event, 1000000) > 0);
	assert_false(has_reply(idle));
	rig_run(&rig);
	assert_true(has_reply(idle));
	assert_true(u->time.behind > 0);
	ctl_close(&rig, busy);
	ctl_close(&rig, idle);
	ctl_close(&rig, other);
}

static void time_is_forgotten(void **state)
{
	struct user *other = user_get(rig.f.users, UID + 1);
	__u64 now = 100 * TIME_PERIOD_US;

	(void)state;
	user_charge(rig.f.users, u, now, 0);
	assert_true(user_charge(rig.f.users, u, now, 10 * TIME_RANK_US));
	assert_false(user_charge(rig.f.users, u, now, TIME_RANK_US - 1));
	assert_int_equal(user_rank(u), 10);
	assert_int_equal(user_share(u), 0);
	assert_int_equal(u->time.behind, 1);
	/* by what others ask, too */
	assert_true(user_charge(rig.f.users, other, now + TIME_PERIOD_US, 1));
	assert_int_equal(user_rank(u), 5);
	assert_int_equal(user_share(u), (11 * TIME_RANK_US - 1) * 1000ULL / TIME_PERIOD_US);
	assert_true(user_charge(rig.f.users, other, now + 5 * TIME_PERIOD_US, 1));
	assert_int_equal(user_rank(u), 0);
	assert_int_equal(user_share(u), 0);
	assert_int_equal(u->time.total, 11 * TIME_RANK_US - 1);
}

/* Its maker waits, others do not; meanwhile its memory counts, and once. */
static void a_big_log_is_made_by_a_thread(void **state)
{
	int s = user_open(), fd, other = ctl_open(&rig);
	struct ipn_ctl_net_add add = { .policy = IPN_POLICY_BROADCAST, .pool = 30000, .mtu = 2000 };
	struct request_packet {
		struct ipn_ctl_hdr hdr;
		struct ipn_ctl_net_add add;
	} packet = { .hdr = { .magic = IPN_CTL_MAGIC,
			      .version = IPN_CTL_VERSION,
			      .type = IPN_CTL_NET_ADD,
			      .len = sizeof(packet) } };

	(void)state;
	fd = rig_inode(&rig, "big", 0777);
	util_copy(add.path, sizeof(add.path), rig_path(&rig, "big"));
	assert_int_equal(chown(add.path, UID, UID), 0);
	packet.add = add;
	assert_int_equal(packet_send(s, &packet, sizeof(packet), &fd, 1), 0);
	close(fd);
	while (!u->has[QUOTA_MEMORY])
		assert_true(sd_event_run(rig.f.event, 1000000) > 0);
	assert_int_equal(u->has[QUOTA_NETS], 0);
	assert_int_equal(u->has[QUOTA_MEMORY], log_bytes(IPN_LOG_ETH, 65536));
	assert_int_equal(ctl_call(&rig, other, IPN_CTL_INFO, NULL, 0, NULL, 0, &reply), 0);
	reply_close(&reply);
	while (!has_reply(s))
		assert_true(sd_event_run(rig.f.event, 1000000) > 0);
	assert_int_equal(u->has[QUOTA_NETS], 1);
	assert_int_equal(u->has[QUOTA_MEMORY], log_bytes(IPN_LOG_ETH, 65536));
	ctl_close(&rig, s);
	ctl_close(&rig, other);
	rig_settle(&rig);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(sessions),
		TEST(networks),
		TEST(ports),
		TEST(monitors),
		TEST(memory_of_logs),
		TEST(held_logs_count),
		TEST(logs_of_ports_that_left_are_given_back),
		TEST(what_fails_costs_nothing),
		TEST(who_took_much_time_comes_after_others),
		TEST(time_is_forgotten),
		TEST(a_big_log_is_made_by_a_thread),
	};

	if (geteuid()) {
		printf("skip: sessions of other users: needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
