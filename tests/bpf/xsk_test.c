/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * xsk ports: what stands at the far end of the veth, with and without a socket; and the ways to
 * such a port, which is a device like others for the policies.
 */
#include "ways.h"

#include <linux/if_xdp.h>
#include <sys/socket.h>

#ifndef AF_XDP
#define AF_XDP 44
#endif

static __u8 message[2000];

static struct t_net *net;
static struct t_port *xsk, *other, *process, *sock;

static int world(void **state)
{
	(void)state;
	net = net_make(IPN_POLICY_SWITCH, 1514, 9);
	xsk = port_make(net, 2, IPN_KIND_XSK);
	other = port_make(net, 3, IPN_KIND_TAP);
	process = port_make(net, 5, IPN_KIND_PROC);
	sock = port_make(net, 7, IPN_KIND_SOCK);
	fill(message, sizeof(message), 3);
	put_bytes(message, "\x02\0\0\0\0\x09\x02\0\0\0\0\x08\x88\xb5", ETH_LEN);
	return 0;
}

static void far_set(__u32 node)
{
	struct ipn_xskport far = { .node = node, .ifindex = xsk->in.ifindex };

	assert_ok(bpf_xskport_set(fab.b, xsk->in.ifindex, &far));
}

static int world_done(void **state)
{
	bpf_xskport_del(fab.b, xsk->in.ifindex);
	return fabric_clear(state);
}

/* A socket in the map, as the manager puts it there. */
static int socket_put(__u32 node)
{
	int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_ok(bpf_map_update_elem(fab.b->fd_xsks, &node, &fd, BPF_ANY));
	return fd;
}

static __u32 far_run(__u32 len)
{
	static struct ran r;

	assert_ok(xdp_run(fab.b->prog_xsk, xsk->in.ifindex, message, len, 0, &r));
	assert_int_equal(r.len, len);
	assert_memory_equal(r.data, message, len);
	return r.ret;
}

static const __u32 lens[] = { 14, 15, 60, 64, 1514, 1792 };

static void a_far_end_that_is_nobodys_drops_and_blames_nobody(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		assert_int_equal(far_run(lens[i]), XDP_DROP);
	quiet_expect();
}

static void without_a_socket_it_is_counted_at_the_port(void **state)
{
	(void)state;
	far_set(xsk->in.node);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		assert_int_equal(far_run(lens[i]), XDP_DROP);
		xsk->want.drop[IPN_DROP_XSK_CLOSED]++;
		quiet_expect();
	}
}

static void with_a_socket_all_of_it_goes_there(void **state)
{
	int fd;

	(void)state;
	far_set(xsk->in.node);
	fd = socket_put(xsk->in.node);
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++)
		assert_int_equal(far_run(lens[i]), XDP_REDIRECT);
	quiet_expect();
	close(fd);
}

/* The place in `xsk_cache` is taken by another, then free again. */
static void far_ends_of_one_place_are_told_apart(void **state)
{
	__u32 twin = xsk->in.ifindex + IPN_PORT_CACHE;
	struct ipn_xskport far = { .node = other->in.node, .ifindex = other->in.ifindex };
	int fd;

	(void)state;
	fd = socket_put(xsk->in.node);
	assert_ok(bpf_xskport_set(fab.b, twin, &far));
	assert_int_equal(far_run(100), XDP_DROP); /* nobody's, and not the twin's */
	far_set(xsk->in.node);
	assert_int_equal(far_run(100), XDP_REDIRECT);
	bpf_xskport_del(fab.b, twin);
	assert_int_equal(far_run(100), XDP_REDIRECT);
	bpf_xskport_del(fab.b, xsk->in.ifindex);
	assert_int_equal(far_run(100), XDP_DROP);
	far_set(xsk->in.node); /* into the free place */
	assert_ok(bpf_xskport_set(fab.b, twin, &far));
	assert_int_equal(far_run(100), XDP_REDIRECT);
	bpf_xskport_del(fab.b, twin);
	assert_int_equal(far_run(100), XDP_REDIRECT);
	quiet_expect();
	close(fd);
}

static void another_ports_socket_is_not_ours(void **state)
{
	int fd;

	(void)state;
	far_set(xsk->in.node);
	fd = socket_put(other->in.node);
	assert_int_equal(far_run(100), XDP_DROP);
	xsk->want.drop[IPN_DROP_XSK_CLOSED]++;
	quiet_expect();
	close(fd);
}

static void a_node_that_cannot_be_leads_nowhere(void **state)
{
	(void)state;
	far_set(IPN_MAX_NODES);
	assert_int_equal(far_run(100), XDP_DROP);
	far_set(UINT32_MAX);
	assert_int_equal(far_run(100), XDP_DROP);
	quiet_expect();
}

static bool held(void)
{
	return bpf_xsk_held(fab.b, xsk->in.node);
}

static bool wait_until_not_held(void)
{
	for (int i = 0; i < 2000 && held(); i++)
		usleep(10000);
	return !held();
}

static void who_closes_the_socket_holds_it_no_longer(void **state)
{
	int fd, copy;

	(void)state;
	assert_false(held());
	fd = socket_put(xsk->in.node);
	assert_true(held());
	copy = dup(fd);
	close(fd);
	assert_true(held());
	close(copy);
	assert_true(wait_until_not_held());
	assert_false(bpf_xsk_held(fab.b, UINT32_MAX));
	quiet_expect();
}

/* --- to and from the port ------------------------------------------------------------------ */

static void learn(const struct t_port *p)
{
	fdb_learn(net, message, p);
}

static const struct row {
	const char *name;
	enum way way;
	enum { XSK, OTHER, PROCESS, SOCK } from, to;
	bool down;
} rows[] = {
	{ "process to it", WAY_XDP, PROCESS, XSK, false },
	{ "another to it", WAY_DEV, OTHER, XSK, false },
	{ "it to a device, at XDP", WAY_DEV, XSK, OTHER, false },
	{ "it to a process, at XDP", WAY_DEV, XSK, PROCESS, false },
	{ "it to a sock port, at XDP", WAY_DEV, XSK, SOCK, false },
	{ "device to it", WAY_TC, OTHER, XSK, false },
	{ "interface of the host to it", WAY_GRAB, OTHER, XSK, false },
	{ "sock port to it", WAY_SK, SOCK, XSK, false },
	{ "it to a sock port", WAY_TC, XSK, SOCK, false },
	{ "it to a sock port, out of the segmenter", WAY_SEGMENTER, XSK, SOCK, false },
	{ "it to a device", WAY_TC, XSK, OTHER, false },
	{ "it to a process", WAY_TC, XSK, PROCESS, false },
	{ "device to it, nobody has it", WAY_TC, OTHER, XSK, true },
	{ "process to it, nobody has it", WAY_XDP, PROCESS, XSK, true },
	{ "another to it, nobody has it", WAY_DEV, OTHER, XSK, true },
};

static struct t_port *port_of(int who)
{
	return who == XSK ? xsk : who == OTHER ? other : who == SOCK ? sock : process;
}

static void it_is_a_device_like_others(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct row *row = &rows[i];
		struct t_port *from = port_of(row->from), *to = port_of(row->to);
		bool device = port_is_device(to) && !row->down;
		struct outcome one = { .device = device ? to : NULL,
				       .process = row->to == PROCESS ? to : NULL,
				       .sock = row->to == SOCK ? to : NULL,
				       .drop = row->down ? DROP(PORT_DOWN) : 0 };
		const struct outcome all = { .log = true, .flood = true };

		print_message("  %s\n", row->name);
		xsk->in.flags = row->down ? DEVICE_FLAGS & ~(__u32)IPN_PF_UP : DEVICE_FLAGS;
		port_store(xsk);
		learn(to);
		for (size_t k = 0; k < ARRAY_SIZE(lens) - 1; k++)
			pass(row->way, from, message, lens[k], &one);
		memset(message, 0xff, 6);
		pass(row->way, from, message, 100, &all);
		put_bytes(message, "\x02\0\0\0\0\x09", 6);
	}
}

static const struct CMUnitTest tests[] = {
#define XSK_TEST(name) cmocka_unit_test_setup_teardown(name, world, world_done)
	XSK_TEST(a_far_end_that_is_nobodys_drops_and_blames_nobody),
	XSK_TEST(without_a_socket_it_is_counted_at_the_port),
	XSK_TEST(with_a_socket_all_of_it_goes_there),
	XSK_TEST(far_ends_of_one_place_are_told_apart),
	XSK_TEST(another_ports_socket_is_not_ours),
	XSK_TEST(a_node_that_cannot_be_leads_nowhere),
	XSK_TEST(who_closes_the_socket_holds_it_no_longer),
	XSK_TEST(it_is_a_device_like_others),
};

FABRIC_MAIN(tests)
