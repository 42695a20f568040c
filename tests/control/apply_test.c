// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The configuration file, carried out: what is there stays, what differs is an error, and a file
 * that cannot be carried out leaves nothing of itself, wherever it failed.
 */
#include "rig.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manager/access/quota.h"
#include "manager/config/apply.h"
#include "manager/config/config.h"
#include "manager/core/net.h"
#include "manager/core/net_path.h"
#include "manager/core/node.h"
#include "manager/kernel/bpf.h"
#include "manager/ports/listener.h"

static struct rig rig;

/* @ is the directory. */
static const char full[] = "[network @/lan]\npolicy = switch\nnodes = 16\nmode = 0640\n"
			   "[network @/hub]\npolicy = broadcast\nlossless = yes\n"
			   "[network @/r]\npolicy = l3\n"
			   "route = 198.51.100.0/24 via 192.0.2.9\n"
			   "[port t0]\nnetwork = @/lan\ntap = t0\nport = 3\n"
			   "[port h0]\nnetwork = @/r\nhost = h0\naddr = 192.0.2.1/24\n"
			   "[port e0]\nnetwork = @/lan\ngrab = eth0\n"
			   "[port x0]\nnetwork = @/lan\nxsk = x0\n"
			   "[port c]\nnetwork = @/lan\ncable = @/hub\n"
			   "[port u]\nnetwork = @/lan\nunix = @/sock\n";
#define FULL_NETS 3
#define FULL_NODES 6

static int setup(void **state)
{
	(void)state;
	rig_new(&rig);
	rig.no_fdstore = true;
	if (rig_start(&rig)) {
		print_error("%s\n", rig.e.text);
		return -1;
	}
	stub_if_add("eth0");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	rig_free(&rig);
	return 0;
}

static int apply(const char *text)
{
	const char *file = rig_path(&rig, "config");
	struct config *config;
	FILE *f = fopen(file, "w");
	int r;

	assert_non_null(f);
	for (; *text; text++) {
		if (*text == '@')
			fputs(rig.dir, f);
		else
			fputc(*text, f);
	}
	fclose(f);
	rig.e.text[0] = '\0';
	r = config_read(file, &config, &rig.e);
	if (r)
		fail_msg("%s", rig.e.text);
	r = config_apply(&rig.f, config, file, &rig.e);
	config_free(config);
	rig_run(&rig);
	return r;
}

static void applies(const char *text)
{
	if (apply(text))
		fail_msg("%s", rig.e.text);
}

static bool path_there(const char *name)
{
	return !access(rig_path(&rig, name), F_OK);
}

static void nothing_is_left(void)
{
	const struct user *u = user_get(rig.f.users, 0);
	const struct stub_if *eth0 = stub_if_find("eth0");

	assert_int_equal(HASH_COUNT(rig.f.nets), 0);
	assert_int_equal(HASH_COUNT(rig.f.nodes), 0);
	assert_null(rig.f.listeners);
	assert_int_equal(stub_count("ipn_net_info"), 0);
	assert_int_equal(stub_count("ipn_port_in"), 0);
	assert_int_equal(stub_count("ipn_port_info"), 0);
	assert_int_equal(stub_count("ipn_xskports"), 0);
	assert_int_equal(stub_count("ipn_listeners"), 0);
	assert_int_equal(stub_count("ipn_l3_route4"), 0);
	assert_int_equal(stub_count("ipn_l3_ports"), 0);
	assert_int_equal(u->has[QUOTA_NETS], 0);
	assert_int_equal(u->has[QUOTA_NODES], 0);
	assert_int_equal(u->has[QUOTA_MEMORY], 0);
	for (const struct stub_if *i = stub_if_first(); i; i = i->next)
		if (i != eth0 && i->ifindex != rig.f.bpf->abi.segmenter &&
		    i->ifindex != rig.f.bpf->abi.segmenter_out)
			fail_msg("interface %s is left", i->name);
	assert_int_equal(eth0->promisc, 0);
	for (__u32 i = 0; i < IPN_MAX_NETS; i++)
		assert_int_equal(rig.f.bpf->net_fast[i].policy, 0);
	assert_false(path_there("lan") || path_there("hub") || path_there("r") ||
		     path_there("sock"));
}

static void is_full(void)
{
	struct stat st;

	assert_int_equal(HASH_COUNT(rig.f.nets), FULL_NETS);
	assert_int_equal(HASH_COUNT(rig.f.nodes), FULL_NODES);
	assert_int_equal(stub_count("ipn_listeners"), 1);
	assert_int_equal(stat(rig_path(&rig, "lan"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void what_is_not_there_is_made(void **state)
{
	(void)state;
	applies(full);
	is_full();
}

static void what_is_there_stays(void **state)
{
	unsigned long changes;
	__u32 gen;

	(void)state;
	applies(full);
	gen = rig.f.gen;
	changes = stub_changes();
	applies(full);
	is_full();
	assert_int_equal(rig.f.gen, gen);
	/* but for the look whether a route fits the table */
	assert_true(stub_changes() - changes <= 4);

	/* the same over a restart */
	rig_stop(&rig);
	assert_int_equal(rig_start(&rig), 0);
	rig_run(&rig);
	applies(full);
	is_full();
}

static void what_differs_is_an_error_and_stays_as_it_is(void **state)
{
	static const char *const others[] = {
		"[network @/lan]\npolicy = switch\nnodes = 17\nmode = 0640\n",
		"[network @/lan]\npolicy = broadcast\nnodes = 16\n",
		"[network @/lan]\npolicy = switch\nnodes = 16\nmtu = 9000\n",
		"[network @/lan]\npolicy = switch\nnodes = 16\npool = 64\n",
		"[network @/hub]\npolicy = broadcast\n",
		"[network @/lan]\npolicy = switch\nnodes = 16\n[port t0]\nnetwork = @/lan\n"
		"tap = t0\nport = 4\n",
		"[network @/lan]\npolicy = switch\nnodes = 16\n[port t0]\nnetwork = @/lan\n"
		"host = t0\n",
		"[network @/lan]\npolicy = switch\nnodes = 16\n[port n]\nnetwork = @/lan\n"
		"tap = n0\n[port e]\nnetwork = @/lan\ngrab = none\n",
		"[network @/lan]\npolicy = switch\nnodes = 16\n[port u]\nnetwork = @/lan\n"
		"unix = @/sock\nmode = 0666\n",
		"[network @/new]\npolicy = switch\n[port t0]\nnetwork = @/new\ntap = t0\n",
		"[network @/new]\npolicy = none-such\n",
	};

	(void)state;
	applies(full);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		rig_stop(&rig); /* a manager carries out one file, when it starts */
		assert_int_equal(rig_start(&rig), 0);
		rig_run(&rig);
		if (!apply(others[i]))
			fail_msg("%s", others[i]);
		/* it says where in the file */
		assert_non_null(strstr(rig.e.text, "config:"));
		is_full();
		assert_false(path_there("new"));
	}
}

/* The n-th call of the kernel fails, for every n. */
static void whatever_fails_nothing_is_left(void **state)
{
	unsigned long n = 0, failed = 0;
	int r = -1;

	(void)state;
	while (r) {
		stub_fail(NULL, ++n, EIO);
		r = apply(full);
		/* what failed without harm, as the removal of what was not there */
		if (!r && stub_has_failed()) {
			stub_fail(NULL, 0, 0);
			while (rig.f.nets) {
				net_path_remove(&rig.f, &rig.f.nets->info);
				net_del(rig.f.nets);
			}
			rig_run(&rig);
			r = -1;
			continue;
		}
		stub_fail(NULL, 0, 0);
		if (!r)
			break;
		failed++;
		rig_run(&rig);
		nothing_is_left();
	}
	print_message("%lu calls, %lu of them make the file fail\n", n, failed);
	assert_true(failed > 50);
	is_full();
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_there_is_made),
		TEST(what_is_there_stays),
		TEST(what_differs_is_an_error_and_stays_as_it_is),
		TEST(whatever_fails_nothing_is_left),
	};

	if (geteuid()) {
		printf("skip: sockets of networks are made by mknod: needs root\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
