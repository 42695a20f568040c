/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What others find in the bpffs: names, places, and types of maps and programs. */
#include "fabric.h"

#include <ipn/l3.h>
#include <ipn/policy_abi.h>

#include <dirent.h>
#include <sys/stat.h>

#define NAME_MAX_BPF 15

static const struct {
	const char *name; /* of the pin, and with "ipn_" before it of the map */
	enum bpf_map_type type;
	__u32 key, value, entries;
} maps[] = {
	{ "abi", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct ipn_abi), 1 },
	{ "net_info", BPF_MAP_TYPE_HASH, 4, sizeof(struct ipn_net_info), IPN_MAX_NETS },
	{ "net_fast", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct ipn_net_fast), IPN_MAX_NETS },
	{ "port_in", BPF_MAP_TYPE_HASH, 4, sizeof(struct ipn_port_in), IPN_MAX_NODES },
	{ "port_info", BPF_MAP_TYPE_HASH, 4, sizeof(struct ipn_port_info), IPN_MAX_NODES },
	{ "xskports", BPF_MAP_TYPE_HASH, 4, sizeof(struct ipn_xskport), IPN_MAX_NODES },
	{ "xsk_cache", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct ipn_xsk_cache), IPN_PORT_CACHE },
	{ "xsks", BPF_MAP_TYPE_XSKMAP, 4, 4, IPN_MAX_NODES },
	{ "port_out", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct ipn_port_out), IPN_MAX_PORTS },
	{ "flood_list", BPF_MAP_TYPE_ARRAY, 4, 4, IPN_MAX_PORTS },
	{ "learns", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct ipn_learn), IPN_MAX_NODES + IPN_MAX_NETS },
	{ "fdb", BPF_MAP_TYPE_LRU_HASH, sizeof(struct ipn_fdb_key), sizeof(struct ipn_fdb), 0 },
	{ "stats", BPF_MAP_TYPE_PERCPU_ARRAY, 4, sizeof(struct ipn_stats), IPN_MAX_NODES },
	{ "rings", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct ipn_ring), IPN_MAX_NODES },
	{ "bells", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, IPN_MAX_NODES },
	{ "rooms", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, IPN_MAX_NODES },
	{ "pages", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, IPN_MAX_NODES },
	{ "logs_small", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, IPN_MAX_LOGS },
	{ "logs_eth", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, IPN_MAX_LOGS },
	{ "logs_jumbo", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, IPN_MAX_LOGS },
	{ "pol_xdp", BPF_MAP_TYPE_PROG_ARRAY, 4, 4, IPN_POLICY_MAX },
	{ "pol_tc", BPF_MAP_TYPE_PROG_ARRAY, 4, 4, IPN_POLICY_MAX },
	{ "pol_sk", BPF_MAP_TYPE_PROG_ARRAY, 4, 4, IPN_POLICY_MAX },
	{ "socks", BPF_MAP_TYPE_SOCKMAP, 4, 4, IPN_MAX_NODES },
	{ "sk_ports", BPF_MAP_TYPE_HASH, 8, sizeof(struct ipn_sk), IPN_MAX_NODES },
	{ "punt", BPF_MAP_TYPE_RINGBUF, 0, 0, 0 },
	{ "punt_acct", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct ipn_punt_acct), IPN_MAX_NODES },
	{ "listeners", BPF_MAP_TYPE_HASH, 4, sizeof(struct ipn_listener), IPN_MAX_NODES },
	{ "l3_nets", BPF_MAP_TYPE_ARRAY, 4, 0, IPN_MAX_NETS },
	{ "l3_ports", BPF_MAP_TYPE_HASH, 8, 0, 0 },
	{ "l3_route4", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, IPN_MAX_NETS },
	{ "l3_route6", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, IPN_MAX_NETS },
	{ "l3_neigh", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, IPN_MAX_NETS },
	{ "l3_held", BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, IPN_MAX_NETS },
	{ "l3_static", BPF_MAP_TYPE_HASH, 24, 0, 0 },
	{ "l3_limit", BPF_MAP_TYPE_ARRAY, 4, 0, IPN_MAX_NODES },
	{ "l3_work", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 0, 1 },
	{ "calls", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct ipn_call), 1 },
	{ "drafts", BPF_MAP_TYPE_ARRAY, 4, IPN_DRAFT_SIZE, 0 },
	{ "msgs", BPF_MAP_TYPE_PERCPU_ARRAY, 4, 0, 1 },
	{ "port_cache", BPF_MAP_TYPE_ARRAY, 4, sizeof(struct ipn_port_in), IPN_PORT_CACHE },
	{ "flows", BPF_MAP_TYPE_ARRAY, 4, 64, 0 },
};

static const struct {
	const char *name;
	enum bpf_prog_type type;
} progs[] = {
	{ "xdp", BPF_PROG_TYPE_XDP },
	{ "xdp_dev", BPF_PROG_TYPE_XDP },
	{ "tc", BPF_PROG_TYPE_SCHED_CLS },
	{ "tc_tap", BPF_PROG_TYPE_SCHED_CLS },
	{ "tc_segm", BPF_PROG_TYPE_SCHED_CLS },
	{ "tc_grab", BPF_PROG_TYPE_SCHED_CLS },
	{ "tc_cable", BPF_PROG_TYPE_SCHED_CLS },
	{ "notify", BPF_PROG_TYPE_SYSCALL },
	{ "sk", BPF_PROG_TYPE_SK_SKB },
	{ "sk_query", BPF_PROG_TYPE_SCHED_CLS },
	{ "xdp_xsk", BPF_PROG_TYPE_XDP },
	{ "xsk_held", BPF_PROG_TYPE_XDP },
	{ "xdp_hub", BPF_PROG_TYPE_XDP },
	{ "tc_hub", BPF_PROG_TYPE_SCHED_CLS },
	{ "sk_hub", BPF_PROG_TYPE_SK_SKB },
	{ "sk_switch", BPF_PROG_TYPE_SK_SKB },
	{ "xdp_switch", BPF_PROG_TYPE_XDP },
	{ "tc_switch", BPF_PROG_TYPE_SCHED_CLS },
	{ "xdp_l3", BPF_PROG_TYPE_XDP },
	{ "tc_l3", BPF_PROG_TYPE_SCHED_CLS },
	{ "sk_l3", BPF_PROG_TYPE_SK_SKB },
};

static int pin_open(const char *sub, const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/ipn-fabric/v1/%s%s", fab.bpffs, sub, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		fail_msg("%s: %s", path, strerror(errno));
	return fd;
}

/* The name in the kernel is "ipn_" and that of the pin, whole. */
static void name_expect(const char *got, const char *pin)
{
	char want[64];

	snprintf(want, sizeof(want), "ipn_%s", pin);
	assert_true(strlen(want) <= NAME_MAX_BPF);
	assert_string_equal(got, want);
}

static int pins_count(const char *sub)
{
	char path[512];
	struct dirent *e;
	int n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "%s/ipn-fabric/v1/%s", fab.bpffs, sub);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static void every_map_is_pinned_by_its_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		struct bpf_map_info info = { 0 };
		__u32 len = sizeof(info);
		int fd = pin_open("", maps[i].name);

		print_message("  %s\n", maps[i].name);
		assert_ok(bpf_obj_get_info_by_fd(fd, &info, &len));
		name_expect(info.name, maps[i].name);
		assert_int_equal(info.type, maps[i].type);
		assert_int_equal(info.key_size, maps[i].key);
		if (maps[i].value)
			assert_int_equal(info.value_size, maps[i].value);
		if (maps[i].entries)
			assert_int_equal(info.max_entries, maps[i].entries);
		assert_true(info.btf_id || info.type == BPF_MAP_TYPE_PROG_ARRAY ||
			    info.type == BPF_MAP_TYPE_XSKMAP || info.type == BPF_MAP_TYPE_SOCKMAP ||
			    info.type == BPF_MAP_TYPE_RINGBUF ||
			    info.type == BPF_MAP_TYPE_ARRAY_OF_MAPS); /* reads like a table */
		close(fd);
	}
	assert_int_equal(pins_count(""), ARRAY_SIZE(maps) + 3); /* and prog, link, policy */
}

static void every_program_is_pinned_by_its_name(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(progs); i++) {
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof(info);
		int fd = pin_open("prog/", progs[i].name);

		print_message("  %s\n", progs[i].name);
		assert_ok(bpf_obj_get_info_by_fd(fd, &info, &len));
		name_expect(info.name, progs[i].name);
		assert_int_equal(info.type, progs[i].type);
		close(fd);
	}
	assert_int_equal(pins_count("prog"), ARRAY_SIZE(progs));
}

/* A log, a bell and a page are anonymous, but have a name, too. */
static void inner_maps_are_named(void **state)
{
	const __u32 node = 3;
	int fds[3] = { bpf_log_new(IPN_LOG_SMALL, 4) };

	(void)state;
	assert_ok(bpf_nodes_fresh(fab.b, &node, 1));
	fds[1] = bpf_inner_get(fab.b->fd_bells, node);
	fds[2] = bpf_inner_get(fab.b->fd_pages, node);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		struct bpf_map_info info = { 0 };
		__u32 len = sizeof(info);

		assert_ok(bpf_obj_get_info_by_fd(fds[i], &info, &len));
		assert_int_equal(strncmp(info.name, "ipn_", 4), 0);
		close(fds[i]);
	}
}

static void links_are_pinned_by_interface_and_hook(void **state)
{
	struct t_net *net = net_make(IPN_POLICY_BROADCAST, 1514, 4);
	struct t_port *p = port_make(net, 2, IPN_KIND_PROC);
	struct bpf_link_info info = { 0 };
	__u32 len = sizeof(info);
	char name[32];
	int fd;

	(void)state;
	assert_int_equal(pins_count("link"), 0);
	assert_ok(bpf_attach_xdp(fab.b, p->in.ifindex));
	snprintf(name, sizeof(name), "%u-xdp", p->in.ifindex);
	fd = pin_open("link/", name);
	assert_ok(bpf_obj_get_info_by_fd(fd, &info, &len));
	assert_int_equal(info.type, BPF_LINK_TYPE_XDP);
	assert_int_equal(info.xdp.ifindex, p->in.ifindex);
	close(fd);
	if (bpf_tcx_works(fab.b, p->in.ifindex)) {
		fab.b->abi.hook = IPN_HOOK_TCX;
		assert_ok(bpf_attach_tc(fab.b, p->in.ifindex, fab.b->prog_tc_tap));
		snprintf(name, sizeof(name), "%u-tcx", p->in.ifindex);
		close(pin_open("link/", name));
	}
	bpf_detach(fab.b, p->in.ifindex);
	assert_int_equal(pins_count("link"), 0);
}

static void the_abi_says_its_version(void **state)
{
	struct ipn_abi abi;
	__u32 zero = 0;
	int fd = pin_open("", "abi");

	(void)state;
	assert_ok(bpf_map_lookup_elem(fd, &zero, &abi));
	assert_int_equal(abi.version, IPN_ABI_VERSION);
	close(fd);
}

/* v1 is whole or is not there. */
static void nothing_half_made_stays(void **state)
{
	char path[512];

	(void)state;
	snprintf(path, sizeof(path), "%s/ipn-fabric/v1_new", fab.bpffs);
	assert_int_equal(access(path, F_OK), -1);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(every_map_is_pinned_by_its_name),
	cmocka_unit_test(every_program_is_pinned_by_its_name),
	cmocka_unit_test(inner_maps_are_named),
	TEST(links_are_pinned_by_interface_and_hook),
	cmocka_unit_test(the_abi_says_its_version),
	cmocka_unit_test(nothing_half_made_stays),
};

FABRIC_MAIN(tests)
