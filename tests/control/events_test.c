// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The order of replies and of events, as a monitor sees them; answers that come later, and sessions
 * that end before.
 */
#include "rig.h"

#include <fcntl.h>
#include <libgen.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/policies/policy.h"

static struct rig rig;
static struct reply reply;
static int monitor, user;

static const struct ipn_ctl_connect connect_any = { .policy = IPN_ANY, .port = IPN_PORTNO_ANY };

static int setup(void **state)
{
	const struct ipn_net_info info = { .policy = IPN_POLICY_SWITCH, .persistent = 1 };

	(void)state;
	rig_new(&rig);
	rig.no_fdstore = true;
	if (rig_start(&rig)) {
		print_error("%s\n", rig.e.text);
		return -1;
	}
	assert_non_null(rig_net(&rig, "net", &info));
	assert_non_null(rig_net(&rig, "other", &info));
	monitor = ctl_open(&rig);
	assert_int_equal(ctl_call(&rig, monitor, IPN_CTL_MONITOR, NULL, 0, NULL, 0, &reply), 0);
	user = ctl_open(&rig);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(monitor);
	close(user);
	rig_free(&rig);
	return 0;
}

/* --- what monitors see --- */

static const char *const words[] = {
	[IPN_WATCH_NET_ADD] = "NET_ADD",  [IPN_WATCH_NET_DEL] = "NET_DEL",
	[IPN_WATCH_JOIN] = "JOIN",        [IPN_WATCH_LEAVE] = "LEAVE",
	[IPN_WATCH_COUNTS] = "COUNTS",    [IPN_WATCH_OVERRUN] = "OVERRUN",
	[IPN_WATCH_LOST] = "LOST",        [IPN_WATCH_POLICY] = "POLICY",
	[IPN_WATCH_POLICY_GONE] = "GONE", [IPN_WATCH_REFUSED] = "REFUSED",
};

/* What has come since the last time: words, and of counts readers/writers. */
static const char *seen_by(int s)
{
	static char text[1024];
	size_t len = 0;

	text[0] = '\0';
	while (!ctl_recv(s, &reply)) {
		const struct ipn_ctl_event *e = (const void *)reply.body;

		assert_int_equal(reply.hdr.type, IPN_CTL_MONITOR);
		assert_int_equal(reply.len, sizeof(*e));
		assert_true(e->what < ARRAY_SIZE(words) && words[e->what]);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "",
					words[e->what]);
		if (e->what == IPN_WATCH_COUNTS)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%u/%u", e->readers,
						e->writers);
	}
	return text;
}

static int call(int s, __u16 type, const void *body, size_t len, const char *net)
{
	int fd = net ? open(rig_path(&rig, net), O_PATH | O_CLOEXEC) : -1;
	int r = ctl_call(&rig, s, type, body, len, &fd, net ? 1 : 0, &reply);

	if (fd >= 0)
		close(fd);
	reply_close(&reply);
	return r;
}

static int add_net(void)
{
	struct ipn_ctl_net_add add = { .policy = IPN_POLICY_SWITCH, .persistent = 1 };
	int fd = rig_inode(&rig, "new", 0777), r;

	util_copy(add.path, sizeof(add.path), rig_path(&rig, "new"));
	r = ctl_call(&rig, user, IPN_CTL_NET_ADD, &add, sizeof(add), &fd, 1, &reply);
	close(fd);
	return r;
}

static int join(void)
{
	int fd = open(rig_path(&rig, "net"), O_PATH | O_CLOEXEC);
	int r = ctl_call(&rig, user, IPN_CTL_CONNECT, &connect_any, sizeof(connect_any), &fd, 1,
			 &reply);

	close(fd);
	return r; /* the descriptors in the reply are the caller's: the tap is the port's life */
}

static int attach(__u32 kind, const char *name)
{
	struct ipn_ctl_attach attach = { .kind = kind, .port = IPN_PORTNO_ANY };

	util_copy(attach.name, sizeof(attach.name), name);
	return call(user, IPN_CTL_ATTACH, &attach, sizeof(attach), "net");
}

static void each_event_in_its_order(void **state)
{
	const struct ipn_ctl_cable cable = { .port = { IPN_PORTNO_ANY, IPN_PORTNO_ANY } };
	struct ipn_ctl_shutdown how = { .how = SHUT_RD };
	struct ipn_ctl_detach detach = { .port = 0 };
	struct reply tap;
	int fds[2];

	(void)state;
	assert_int_equal(add_net(), 0);
	assert_string_equal(seen_by(monitor), "NET_ADD");
	assert_int_equal(call(user, IPN_CTL_NET_DEL, NULL, 0, "new"), 0);
	assert_string_equal(seen_by(monitor), "NET_DEL");

	/* the counts are those with the new port; they come before it, in both directions */
	assert_int_equal(join(), 0);
	tap = reply;
	assert_string_equal(seen_by(monitor), "COUNTS1/1 JOIN");
	assert_int_equal(call(user, IPN_CTL_SHUTDOWN, &how, sizeof(how), NULL), 0);
	assert_string_equal(seen_by(monitor), "COUNTS0/1");
	assert_int_equal(call(user, IPN_CTL_SHUTDOWN, &how, sizeof(how), NULL), 0);
	assert_string_equal(seen_by(monitor), "");
	ctl_close(&rig, user);
	assert_string_equal(seen_by(monitor), "LEAVE COUNTS0/0");
	reply_close(&tap);
	rig_run(&rig);
	assert_string_equal(seen_by(monitor), "");

	user = ctl_open(&rig);
	assert_int_equal(attach(IPN_KIND_TAP, "tap0"), 0);
	assert_string_equal(seen_by(monitor), "COUNTS1/1 JOIN");
	assert_int_equal(attach(IPN_KIND_HOST, "host0"), 0);
	assert_string_equal(seen_by(monitor), "COUNTS2/2 JOIN");
	assert_int_equal(call(user, IPN_CTL_DETACH, &detach, sizeof(detach), "net"), 0);
	assert_string_equal(seen_by(monitor), "LEAVE COUNTS1/1");

	fds[0] = open(rig_path(&rig, "net"), O_PATH | O_CLOEXEC);
	fds[1] = open(rig_path(&rig, "other"), O_PATH | O_CLOEXEC);
	assert_int_equal(ctl_call(&rig, user, IPN_CTL_CABLE, &cable, sizeof(cable), fds, 2, &reply),
			 0);
	assert_string_equal(seen_by(monitor), "COUNTS2/2 COUNTS1/1 JOIN JOIN");
	assert_int_equal(call(user, IPN_CTL_DETACH, &detach, sizeof(detach), "net"), 0);
	assert_string_equal(seen_by(monitor), "LEAVE COUNTS1/1 LEAVE COUNTS0/0");
	close(fds[0]);
	close(fds[1]);

	/* an interface that somebody else removes; a network with a port */
	stub_if_del(stub_if_find("host0")->ifindex);
	rig_run(&rig);
	assert_string_equal(seen_by(monitor), "LEAVE COUNTS0/0");
	assert_int_equal(attach(IPN_KIND_TAP, "tap1"), 0);
	assert_string_equal(seen_by(monitor), "COUNTS1/1 JOIN");
	assert_int_equal(call(user, IPN_CTL_NET_DEL, NULL, 0, "net"), 0);
	assert_string_equal(seen_by(monitor), "NET_DEL LEAVE COUNTS0/0");
}

static void what_fails_is_no_event(void **state)
{
	(void)state;
	assert_int_equal(attach(IPN_KIND_TAP, "tap0"), 0);
	seen_by(monitor);
	assert_int_equal(attach(IPN_KIND_TAP, "tap0"), -EEXIST);
	assert_string_equal(seen_by(monitor), "");
	assert_int_equal(add_net(), 0);
	assert_int_equal(add_net(), -EEXIST);
	assert_string_equal(seen_by(monitor), "NET_ADD");
}

static void a_monitor_of_one_network_sees_no_other(void **state)
{
	int one = ctl_open(&rig);

	(void)state;
	assert_int_equal(call(one, IPN_CTL_MONITOR, NULL, 0, "other"), 0);
	assert_int_equal(attach(IPN_KIND_TAP, "tap0"), 0);
	assert_string_equal(seen_by(one), "");
	assert_string_equal(seen_by(monitor), "COUNTS1/1 JOIN");
	ctl_close(&rig, one);
}

static void a_slow_monitor_is_told_what_it_lost(void **state)
{
	const struct ipn_ctl_detach detach = { .port = 0 };
	const char *seen;
	int last = 0;

	(void)state;
	for (int i = 0; i < 400; i++) {
		assert_int_equal(attach(IPN_KIND_TAP, "tap0"), 0);
		assert_int_equal(call(user, IPN_CTL_DETACH, &detach, sizeof(detach), "net"), 0);
	}
	while (!ctl_recv(monitor, &reply))
		last = ((const struct ipn_ctl_event *)(const void *)reply.body)->what;
	assert_int_not_equal(last, 0);
	assert_int_equal(attach(IPN_KIND_TAP, "tap0"), 0);
	seen = seen_by(monitor);
	assert_string_equal(seen, "LOST COUNTS1/1 JOIN");
}

/* A request that was sent before the end is answered, and the end comes after it. */
static void replies_come_in_order(void **state)
{
	struct ipn_ctl_hdr hdr = { .magic = IPN_CTL_MAGIC,
				   .version = IPN_CTL_VERSION,
				   .len = sizeof(hdr) };
	static const __u16 types[] = { IPN_CTL_INFO, IPN_CTL_NET_GET, IPN_CTL_TYPES, IPN_CTL_INFO };

	(void)state;
	for (__u32 i = 0; i < ARRAY_SIZE(types); i++) {
		hdr.id = 100 + i;
		hdr.type = types[i];
		assert_int_equal(ctl_send(user, &hdr, sizeof(hdr), NULL, 0), 0);
	}
	shutdown(user, SHUT_WR);
	rig_run(&rig);
	for (__u32 i = 0; i < ARRAY_SIZE(types); i++) {
		assert_int_equal(ctl_recv(user, &reply), 0);
		assert_int_equal(reply.hdr.id, 100 + i);
		assert_int_equal(reply.hdr.type, types[i]);
	}
	assert_int_equal(ctl_recv(user, &reply), -EPIPE);
	assert_int_equal(rig.control->sessions->monitor && !rig.control->sessions->next, 1);
}

/* --- answers that come later --- */

static int object_open(void)
{
	char exe[512], path[600];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	int fd;

	assert_true(n > 0);
	exe[n] = '\0';
	snprintf(path, sizeof(path), "%s/refuse.bpf.o", dirname(exe));
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_msg("%s: not built (make tests)", path);
	return fd;
}

/* Asks for it; the answer is still to come. */
static void load_begin(int s, __u32 number, const char *name)
{
	struct {
		struct ipn_ctl_hdr hdr;
		struct ipn_ctl_policy_load load;
	} q = { .hdr = { .magic = IPN_CTL_MAGIC,
			 .version = IPN_CTL_VERSION,
			 .type = IPN_CTL_POLICY_LOAD,
			 .id = 7,
			 .len = sizeof(q) },
		.load = { .number = number } };
	int fd = object_open();

	util_copy(q.load.name, sizeof(q.load.name), name);
	assert_int_equal(ctl_send(s, &q, sizeof(q), &fd, 1), 0);
	close(fd);
	rig_run(&rig);
}

static bool has_answer(void *arg)
{
	char byte;

	return recv(*(int *)arg, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

static int answer(int s)
{
	rig_run_until(&rig, has_answer, &s);
	assert_int_equal(ctl_recv(s, &reply), 0);
	return -reply.hdr.status;
}

static bool nothing_loads(void *arg)
{
	(void)arg;
	return !rig.f.policies->loadings;
}

static void a_policy_is_loaded_and_unloaded(void **state)
{
	const struct ipn_ctl_policy_unload unload = { .number = 10 };

	(void)state;
	load_begin(user, 10, "refuse");
	assert_int_equal(answer(user), 0);
	assert_int_equal(reply.hdr.id, 7);
	assert_int_equal(reply.len, sizeof(struct ipn_ctl_policy));
	assert_string_equal(((struct ipn_ctl_policy *)(void *)reply.body)->name, "refuse");
	assert_string_equal(seen_by(monitor), "POLICY");
	assert_int_equal(access(rig_path(&rig, "ipn-fabric/v1/policy/10/tc"), F_OK), 0);

	/* the next manager has it, too */
	close(user);
	rig_stop(&rig);
	assert_int_equal(rig_start(&rig), 0);
	assert_non_null(rig.f.policies->at[10]);
	user = ctl_open(&rig);
	assert_int_equal(call(user, IPN_CTL_POLICY_UNLOAD, &unload, sizeof(unload), NULL), 0);
	assert_int_equal(access(rig_path(&rig, "ipn-fabric/v1/policy/10"), F_OK), -1);
	assert_int_equal(call(user, IPN_CTL_POLICY_UNLOAD, &unload, sizeof(unload), NULL), -ENOENT);
}

static void a_policy_refuses_ports_and_networks(void **state)
{
	const struct ipn_net_info info = { .policy = 10, .persistent = 1 };
	struct ipn_ctl_attach want = { .kind = IPN_KIND_TAP, .port = IPN_PORTNO_ANY, .name = "t" };

	(void)state;
	load_begin(user, 10, "refuse");
	assert_int_equal(answer(user), 0);
	assert_non_null(rig_net(&rig, "refusing", &info));
	seen_by(monitor);
	stub_policy_returns(-EACCES);
	assert_int_equal(call(user, IPN_CTL_ATTACH, &want, sizeof(want), "refusing"), -EACCES);
	assert_string_equal(seen_by(monitor), "REFUSED");
	stub_policy_returns(3);
	assert_int_equal(call(user, IPN_CTL_ATTACH, &want, sizeof(want), "refusing"), 0);
	assert_int_equal(((struct ipn_ctl_port *)(void *)reply.body)->port, 3);
	stub_policy_returns(-5000);
	want.name[0] = 'u';
	assert_int_equal(call(user, IPN_CTL_ATTACH, &want, sizeof(want), "refusing"), -EINVAL);
	stub_policy_returns(0);
}

static void a_policy_that_the_kernel_refuses_leaves_nothing(void **state)
{
	(void)state;
	stub_load_fails(EINVAL, NULL);
	load_begin(user, 10, "refuse");
	assert_int_equal(answer(user), -EINVAL);
	assert_true(reply.len > 0);
	assert_string_equal(seen_by(monitor), "");
	assert_int_equal(access(rig_path(&rig, "ipn-fabric/v1/policy/10_new"), F_OK), -1);
	stub_load_fails(0, NULL);
	load_begin(user, 10, "refuse");
	assert_int_equal(answer(user), 0);
}

static void others_are_served_while_a_policy_is_loaded(void **state)
{
	int other = ctl_open(&rig);

	(void)state;
	stub_load_takes(50);
	load_begin(user, 10, "refuse");
	assert_int_equal(ctl_recv(user, &reply), -EAGAIN);
	load_begin(other, 10, "other");
	assert_int_equal(answer(other), -EEXIST);
	load_begin(other, 11, "refuse");
	assert_int_equal(answer(other), -EEXIST);
	assert_int_equal(call(other, IPN_CTL_INFO, NULL, 0, NULL), 0);
	/* what it sends before its answer waits for that */
	assert_int_equal(ctl_send(user,
				  &(struct ipn_ctl_hdr){ IPN_CTL_MAGIC, IPN_CTL_VERSION,
							 IPN_CTL_INFO, 8,
							 sizeof(struct ipn_ctl_hdr), 0, 0 },
				  sizeof(struct ipn_ctl_hdr), NULL, 0),
			 0);
	rig_run(&rig);
	assert_int_equal(ctl_recv(user, &reply), -EAGAIN);
	assert_int_equal(answer(user), 0);
	assert_int_equal(reply.hdr.id, 7);
	assert_int_equal(answer(user), 0);
	assert_int_equal(reply.hdr.id, 8);
	ctl_close(&rig, other);
}

static void a_session_that_ends_takes_its_loading_along(void **state)
{
	const unsigned int before = rig_fds();

	(void)state;
	stub_load_takes(5000);
	for (int i = 0; i < 3; i++) {
		load_begin(user, 10, "refuse");
		assert_non_null(rig.f.policies->loadings);
		shutdown(user, SHUT_RDWR); /* the loading process has a duplicate of this end */
		ctl_close(&rig, user);
		assert_true(nothing_loads(NULL));
		assert_int_equal(access(rig_path(&rig, "ipn-fabric/v1/policy/10_new"), F_OK), -1);
		user = ctl_open(&rig);
	}
	rig_settle(&rig);
	assert_int_equal(rig_fds(), before);
	load_begin(user, 10, "refuse");
	rig_stop(&rig); /* the manager ends before */
	stub_load_takes(0);
	assert_int_equal(rig_start(&rig), 0);
	assert_null(rig.f.policies->at[10]);
	close(user);
	user = ctl_open(&rig);
}

static void xsk_begin(int s)
{
	struct {
		struct ipn_ctl_hdr hdr;
		struct ipn_ctl_xsk_open open;
	} q = { .hdr = { .magic = IPN_CTL_MAGIC,
			 .version = IPN_CTL_VERSION,
			 .type = IPN_CTL_XSK_OPEN,
			 .id = 9,
			 .len = sizeof(q) },
		.open = { .port = IPN_PORTNO_ANY } };
	int fd = open(rig_path(&rig, "net"), O_PATH | O_CLOEXEC);

	assert_int_equal(ctl_send(s, &q, sizeof(q), &fd, 1), 0);
	close(fd);
	sd_event_run(rig.f.event, 0); /* one turn: the thread has hardly begun */
}

static const struct node *the_port(void)
{
	return rig.f.nodes;
}

static bool port_down(void *arg)
{
	(void)arg;
	return !(the_port()->in.flags & IPN_PF_UP);
}

static void an_af_xdp_socket_is_handed_out_once(void **state)
{
	struct reply first;
	int other = ctl_open(&rig);

	(void)state;
	assert_int_equal(attach(IPN_KIND_XSK, "x0"), 0);
	assert_true(port_down(NULL));
	xsk_begin(user);
	assert_int_equal(answer(user), 0);
	assert_int_equal(reply.nfds, 2);
	assert_false(port_down(NULL));
	assert_int_equal(stub_count("ipn_xsks"), 1);
	first = reply;
	xsk_begin(other);
	assert_int_equal(answer(other), -EBUSY);
	ctl_close(&rig, user);
	assert_int_equal(stub_count("ipn_xsks"), 0);
	assert_true(port_down(NULL));
	xsk_begin(other);
	assert_int_equal(answer(other), 0);
	reply_close(&reply);
	reply_close(&first);
	ctl_close(&rig, other);
	user = ctl_open(&rig);
}

static bool no_fds_more(void *before)
{
	return rig_fds() <= *(unsigned int *)before;
}

static void sessions_and_ports_that_end_before_the_socket_is_there(void **state)
{
	const struct ipn_ctl_detach detach = { .port = 0 };
	unsigned int before;
	int other = ctl_open(&rig);

	(void)state;
	assert_int_equal(attach(IPN_KIND_XSK, "x0"), 0);
	rig_settle(&rig);
	before = rig_fds();
	for (int i = 0; i < 5; i++) {
		xsk_begin(user);
		close(user);
		rig_settle(&rig);
		user = ctl_open(&rig);
		rig_run_until(&rig, no_fds_more, &before);
		assert_int_equal(stub_count("ipn_xsks"), 0);
	}
	xsk_begin(user);
	assert_int_equal(call(other, IPN_CTL_DETACH, &detach, sizeof(detach), "net"), 0);
	rig_run_until(&rig, has_answer, &user);
	/* it was quicker, and is told the end; or it is told that there is no port */
	if (!ctl_recv(user, &reply))
		reply_close(&reply);
	rig_settle(&rig);
	assert_int_equal(stub_count("ipn_xskports"), 0);
	assert_int_equal(stub_count("ipn_xsks"), 0);
	ctl_close(&rig, other);
}

static void a_refused_af_xdp_socket_leaves_the_port_as_it_was(void **state)
{
	static const char *const calls[] = { "xsk_umem", "xsk_socket", "map_update_elem" };

	(void)state;
	assert_int_equal(attach(IPN_KIND_XSK, "x0"), 0);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		stub_fail(calls[i], 1, ENOBUFS);
		xsk_begin(user);
		assert_int_equal(answer(user), -ENOBUFS);
		assert_true(stub_has_failed());
		assert_true(port_down(NULL));
		assert_int_equal(stub_count("ipn_xsks"), 0);
	}
	xsk_begin(user);
	assert_int_equal(answer(user), 0);
	reply_close(&reply);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(each_event_in_its_order),
		TEST(what_fails_is_no_event),
		TEST(a_monitor_of_one_network_sees_no_other),
		TEST(a_slow_monitor_is_told_what_it_lost),
		TEST(replies_come_in_order),
		TEST(a_policy_is_loaded_and_unloaded),
		TEST(a_policy_refuses_ports_and_networks),
		TEST(a_policy_that_the_kernel_refuses_leaves_nothing),
		TEST(others_are_served_while_a_policy_is_loaded),
		TEST(a_session_that_ends_takes_its_loading_along),
		TEST(an_af_xdp_socket_is_handed_out_once),
		TEST(sessions_and_ports_that_end_before_the_socket_is_there),
		TEST(a_refused_af_xdp_socket_leaves_the_port_as_it_was),
	};

	if (geteuid()) {
		printf("skip: sockets of networks are made by mknod: needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
