/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The configuration file: good files, and a row for each mistake with what is said about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ipn/af_ipn.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/errtext.h"
#include "common/text.h"
#include "common/util.h"
#include "manager/config/config.h"

#define NET "[network /run/ipn/lan]\n"
#define PORT NET "[port p]\nnetwork = /run/ipn/lan\n"
#define R "[network /r]\npolicy = l3\n"
#define X10 "xxxxxxxxxx"
#define X100 X10 X10 X10 X10 X10 X10 X10 X10 X10 X10

static char dir[] = "/tmp/config_test.XXXXXX";
static char file[64];

static int read_bytes(const char *bytes, size_t n, struct config **out, struct errtext *e)
{
	FILE *f = fopen(file, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
	return config_read(file, out, e);
}

static struct config *read_good(const char *content)
{
	struct config *config = NULL;
	struct errtext e = { "" };
	int r = read_bytes(content, strlen(content), &config, &e);

	if (r)
		print_error("%s\n", e.text);
	assert_int_equal(r, 0);
	assert_non_null(config);
	return config;
}

static void empty_file_is_an_empty_config(void **state)
{
	static const char *const files[] = {
		"",           "\n\n",     "; comment\n# comment\n  ; indented\n",
		"[fabric]\n", "[fabric]", "\xEF\xBB\xBF[fabric]\n"
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		struct config *c = read_good(files[i]);

		assert_int_equal(c->hook, CONFIG_HOOK_AUTO);
		assert_null(c->nets);
		assert_null(c->ports);
		config_free(c);
	}
}

static void all_keys_are_read(void **state)
{
	struct config *c = read_good("# the lot\n"
				     "[fabric]\n"
				     "hook = clsact\n"
				     "\n"
				     "[port c0]   ; before its network\n"
				     "network = /run/ipn/lan\n"
				     "veth = eth0:blue\n"
				     "port = 3\n"
				     "descr = the = first: container\n"
				     "[network /run/ipn/lan]\n"
				     "\tpolicy = switch\r\n"
				     "\tmtu = 9000\r\n"
				     "  nodes=64\n"
				     "pool : 1024\n"
				     "mode = 0640 ; not for all\n"
				     "[ network   /run/ipn/hub ]\n"
				     "policy = hub\n"
				     "lossless = yes\n"
				     "[network /run/ipn/mine]\n"
				     "policy = my-own_2\n"
				     "lossless = no\n"
				     "[port joint]\n"
				     "network = /run/ipn/mine\n"
				     "cable = /run/ipn/hub\n"
				     "port = 5\n"
				     "[port vm0]\n"
				     "network = /run/ipn/hub\n"
				     "tap = vm0\n"
				     "[port h]\n"
				     "network = /run/ipn/hub\n"
				     "host = ipn0");
	const struct config_net *n = c->nets;
	const struct config_port *p = c->ports;

	assert_int_equal(c->hook, CONFIG_HOOK_CLSACT);
	assert_string_equal(n->path, "/run/ipn/lan");
	assert_int_equal(n->policy, IPN_POLICY_SWITCH);
	assert_int_equal(n->mtu, 9000);
	assert_int_equal(n->numnodes, 64);
	assert_int_equal(n->pool, 1024);
	assert_int_equal(n->mode, 0640);
	n = n->next;
	assert_string_equal(n->path, "/run/ipn/hub");
	assert_int_equal(n->policy, IPN_POLICY_BROADCAST);
	assert_int_equal(n->flags, IPN_FLAG_LOSSLESS);
	n = n->next;
	assert_int_equal(n->policy, IPN_POLICY_ANY);
	assert_string_equal(n->policy_name, "my-own_2");
	assert_int_equal(n->flags, 0);
	assert_null(n->next);

	assert_string_equal(p->label, "c0");
	assert_string_equal(p->path, "/run/ipn/lan");
	assert_int_equal(p->kind, IPN_KIND_VETH);
	assert_string_equal(p->name, "eth0");
	assert_string_equal(p->netns, "blue");
	assert_int_equal(p->port, 3);
	assert_string_equal(p->descr, "the = first: container");
	p = p->next;
	assert_int_equal(p->kind, IPN_KIND_CABLE);
	assert_string_equal(p->path, "/run/ipn/mine");
	assert_string_equal(p->other, "/run/ipn/hub");
	assert_string_equal(p->name, "");
	assert_int_equal(p->port, 5);
	p = p->next;
	assert_string_equal(p->label, "vm0");
	assert_int_equal(p->kind, IPN_KIND_TAP);
	assert_string_equal(p->name, "vm0");
	assert_string_equal(p->netns, "");
	assert_int_equal(p->port, -1);
	assert_string_equal(p->descr, "");
	p = p->next;
	assert_int_equal(p->kind, IPN_KIND_HOST);
	assert_string_equal(p->name, "ipn0");
	assert_null(p->next);
	config_free(c);
}

static void sockets_and_their_keys_are_read(void **state)
{
	struct config *c = read_good(NET "[port d]\nnetwork = /run/ipn/lan\nvde = /run/vde\n"
					 "[port u]\nnetwork = /run/ipn/lan\nunix = /run/u\n"
					 "peer = /run/p\nmode = 0660\nport = 7\npersist = yes\n"
					 "[port x]\nnetwork = /run/ipn/lan\nxsk = x0\n"
					 "frames = 64\nframe-size = 4096\nown = yes\n"
					 "[network /b]\n[port c]\nnetwork = /b\n"
					 "cable = /run/ipn/lan\nport = 7\nport2 = 8\n");
	const struct config_port *p = c->ports;

	assert_int_equal(p->kind, IPN_KIND_SOCK);
	assert_int_equal(p->listener, IPN_LISTENER_VDE);
	assert_string_equal(p->other, "/run/vde");
	assert_int_equal(p->mode, 0700);
	assert_int_equal(p->line, 2);
	p = p->next;
	assert_int_equal(p->listener, IPN_LISTENER_UNIX);
	assert_string_equal(p->other, "/run/u");
	assert_string_equal(p->peer, "/run/p");
	assert_int_equal(p->mode, 0660);
	assert_int_equal(p->port, 7);
	p = p->next;
	assert_int_equal(p->kind, IPN_KIND_XSK);
	assert_int_equal(p->listener, 0);
	assert_int_equal(p->frames, 64);
	assert_int_equal(p->frame_size, 4096);
	assert_true(p->own);
	p = p->next;
	assert_int_equal(p->port, 7);
	assert_int_equal(p->port2, 8);
	config_free(c);
}

static void options_of_a_router_are_read(void **state)
{
	struct config *c = read_good(R "routes = 64\nroute = 10.9.0.0/16 via 10.1.0.2\n"
				       "route = default port 3\n"
				       "route = default6 via fe80::1 port 4\n"
				       "addr = 10.5.0.1/24 port 5\n"
				       "addr = 10.6.0.1/24 port 6 mtu 576\n"
				       "neigh = 10.5.0.9 02:00:00:00:00:09 port 5\n"
				       "[port p]\nnetwork = /r\ntap = a\naddr = fd00::1/64\n"
				       "addr = 10.1.0.1/24 mtu 1000\n"
				       "neigh = fd00::9 02:00:00:00:00:09\n");
	const struct config_l3 *l = c->l3;

	assert_int_equal(c->nets->routes, 64);
	assert_int_equal(l->option, IPN_L3_ROUTE_ADD);
	assert_ptr_equal(l->net, c->nets);
	assert_null(l->port);
	assert_int_equal(l->line, 4);
	assert_int_equal(l->route.port, IPN_L3_PORT_ANY);
	l = l->next;
	assert_int_equal(l->route.port, 3);
	l = l->next;
	assert_int_equal(l->route.port, 4);
	assert_int_equal(l->route.via.family, IPN_L3_INET6);
	l = l->next;
	assert_int_equal(l->option, IPN_L3_ADDR_ADD);
	assert_int_equal(l->addr.port, 5);
	assert_int_equal(l->addr.mtu, 0);
	l = l->next;
	assert_int_equal(l->addr.port, 6);
	assert_int_equal(l->addr.mtu, 576);
	l = l->next;
	assert_int_equal(l->option, IPN_L3_NEIGH_ADD);
	assert_int_equal(l->neigh.port, 5);
	assert_int_equal(l->neigh.mac[5], 9);
	l = l->next;
	assert_ptr_equal(l->port, c->ports);
	assert_ptr_equal(l->net, c->nets);
	assert_int_equal(l->addr.ip.len, 64);
	l = l->next;
	assert_int_equal(l->addr.mtu, 1000);
	l = l->next;
	assert_ptr_equal(l->port, c->ports);
	assert_int_equal(l->option, IPN_L3_NEIGH_ADD);
	assert_null(l->next);
	config_free(c);
}

static void network_without_keys_has_the_defaults(void **state)
{
	struct config *c = read_good(NET);

	assert_string_equal(c->nets->path, "/run/ipn/lan");
	assert_int_equal(c->nets->policy, IPN_POLICY_BROADCAST);
	assert_int_equal(c->nets->mtu, IPN_MTU_DEFAULT);
	assert_int_equal(c->nets->numnodes, IPN_NODES_DEFAULT);
	assert_int_equal(c->nets->pool, IPN_POOL_DEFAULT);
	assert_int_equal(c->nets->mode, 0777);
	config_free(c);
}

static void longest_values_fit(void **state)
{
	char content[600];
	struct config *c;

	/* A path of 107 bytes, a description of 127, a label of 63; inih keeps 49 of a section. */
	snprintf(content, sizeof(content),
		 "[network /%s123456]\n[port %.63s]\nnetwork = /%s123456\n"
		 "veth = %.15s:/run/netns/a\ndescr = %s%.27s\n",
		 X100, X100, X100, X100, X100, X100);
	c = read_good(content);
	assert_int_equal(strlen(c->nets->path), IPN_PATH_MAX - 1);
	assert_string_equal(c->nets->path, c->ports->path);
	assert_int_equal(strlen(c->ports->label), 63);
	assert_int_equal(strlen(c->ports->name), 15);
	assert_int_equal(strlen(c->ports->descr), IPN_DESCR_MAX - 1);
	assert_string_equal(c->ports->netns, "/run/netns/a");
	config_free(c);
}

static void same_names_in_different_places_are_no_conflict(void **state)
{
	struct config *c = read_good("[network /a]\n[network /b]\n"
				     "[port 1]\nnetwork = /a\nveth = eth0:x\nport = 1\n"
				     "[port 2]\nnetwork = /b\nveth = eth0:y\nport = 1\n"
				     "[port 3]\nnetwork = /a\ntap = eth0\n");

	assert_non_null(c->ports->next->next);
	config_free(c);
}

static const struct {
	const char *content;
	const char *text; /* after "FILE:" */
} bad_files[] = {
	/* structure */
	{ "hook = tcx\n", "1: hook: unknown key (a section must come first" },
	{ "[fabric]\nhook\n", "2: neither [section] nor key = value" },
	{ "[fabric]\nhook", "2: neither [section] nor key = value" },
	{ "[fabric]\nhook ; = tcx\n[network /a]\n", "2: neither [section] nor key = value" },
	{ "\n\n[fabric\nhook = tcx\n", "3: \"[fabric\": a section header without ']'" },
	{ "[fabric] hook = tcx\n", "1: \"[fabric] hook = tcx\": text after the ']'" },
	{ "[]\n", "1: \"[]\": a section header without a name" },
	{ "[  ]\n", "1: \"[  ]\": a section header without a name" },
	{ "[network /a ; b]\n", "1: \"[network /a ; b]\": a section header without" },
	{ "[network /a]\n[network /a ;b]\n", "2: \"[network /a ;b]\": a section header without" },
	{ "[bogus]\n", "1: [bogus]: unknown section (fabric, network PATH or port LABEL)" },
	{ "[Fabric]\n", "1: [Fabric]: unknown section" },
	{ "[network /" X100 "12345678]\n", "1: network: \"/" X100 "12345678\" is longer than 107" },
	{ "[network " X100 X10 X10 "]\n", "1: \"[network " X100 X10 X10 "]\": the section name is "
					  "longer than 127 bytes" },
	{ "[fabric]\n; " X100 X100 "\n", "2: a line longer than 198 bytes" },
	{ "[fabric]\nhook = tcx" X100 X100, "2: a line longer than 198 bytes" },
	{ "[fabric]\nhook = \x01\x7f\n", "2: hook: \"??\" is not auto" },

	/* fabric */
	{ "[fabric x]\n", "1: [fabric] takes no name: \"x\"" },
	{ "[fabric]\n[network /a]\n[fabric]\n", "3: [fabric]: a second section for it" },
	{ "[fabric]\nhook = xdp\n", "2: hook: \"xdp\" is not auto, tcx or clsact" },
	{ "[fabric]\nhook =\n", "2: hook: \"\" is not auto, tcx or clsact" },
	{ "[fabric]\nhook = tcx\nhook = tcx\n", "3: hook: \"tcx\": given twice" },
	{ "[fabric]\nmtu = 9\n", "2: mtu: unknown key ([fabric] has: hook)" },

	/* networks */
	{ "[network]\n", "1: [network] without a path" },
	{ "[network run]\n", "1: network: \"run\" is not an absolute path" },
	{ "[network /]\n", "1: network: \"/\" is not an absolute path of a file" },
	{ "[network /a/]\n", "1: network: \"/a/\" is not an absolute path of a file" },
	{ NET NET, "2: network: \"/run/ipn/lan\": a second section for it" },
	{ NET "policy = L3\n",
	  "2: policy: \"L3\" is not switch, broadcast, hub, l3, the name of a loaded policy or "
	  "a number" },
	{ NET "policy = a-name-of-16-byt\n", "2: policy: \"a-name-of-16-byt\" is" },
	{ NET "policy = any\n", "2: policy: \"any\" is not switch" },
	{ NET "lossless = true\n", "2: lossless: \"true\" is not yes or no" },
	{ NET "routes = 1\n", "2: routes: \"1\" is not a number from 16 to 1048576" },
	{ NET "route = 10.0.0.0/8\n", "2: route: \"10.0.0.0/8\" is not PREFIX via ADDR" },
	{ NET "route = 10.0.0.0/33 via 10.0.0.1\n", "2: route: \"10.0.0.0/33 via" },
	{ NET "route = 10.0.0.0/8 via 10.0.0.1 port\n", "2: route: \"10.0.0.0/8 via" },
	{ NET "route = 10.0.0.0/8 port 1 port 2\n", "2: route: \"10.0.0.0/8 port 1 port 2\"" },
	{ NET "route = 10.0.0.0/8 via 10.0.0.1\n", "2: route: /run/ipn/lan is no router (write" },
	{ R "route = 10.0.0.0/8 port 32\n", "3: route: \"32\" is not a number from 0 to 31" },
	{ R "route = ::/0 via fe80::1 port 32\n", "3: route: \"32\" is not a number from 0 to 31" },
	{ R "addr = 10.0.0.1/24\n", "3: addr: \"10.0.0.1/24\" is not ADDR/LEN port N" },
	{ R "addr = 10.0.0.1/24 port 4096\n", "3: addr: \"10.0.0.1/24 port 4096\" is not ADDR" },
	{ R "addr = 10.0.0.1/24 port 32\n", "3: addr: \"32\" is not a number from 0 to 31" },
	{ R "addr = 10.0.0.1/24 port 1 mtu 67\n", "3: addr: \"10.0.0.1/24 port 1 mtu 67\" is" },
	{ R "addr = 10.0.0.1/24 port 1 mtu\n", "3: addr: \"10.0.0.1/24 port 1 mtu\" is not" },
	{ R "neigh = 10.0.0.2 02:00:00:00:00:09\n", "3: neigh: \"10.0.0.2 02:00:00:00:00:09\" is "
						    "not ADDR MAC port N" },
	{ R "neigh = 10.0.0.2 02:00:00:00:00:09 port 32\n", "3: neigh: \"32\" is not a number" },
	{ NET "[port x]\naddr = 10.0.0.1\n", "3: addr: \"10.0.0.1\" is not ADDR/LEN" },
	{ NET "[port x]\naddr = fd00::1/64 mtu 9\n", "3: addr: \"fd00::1/64 mtu 9\" is not" },
	{ NET "[port x]\nneigh = 10.0.0.1 02:00\n", "3: neigh: \"10.0.0.1 02:00\" is not" },
	{ NET "policy = 0\n", "2: policy: \"0\" is not switch" },
	{ NET "policy = 64\n", "2: policy: \"64\" is not switch" },
	{ NET "mtu = 70000\n", "2: mtu: \"70000\" is not a number from 1 to 65535" },
	{ NET "mtu = 0\n", "2: mtu: \"0\" is not a number from 1 to 65535" },
	{ NET "mtu = -1\n", "2: mtu: \"-1\" is not a number" },
	{ NET "mtu = +1\n", "2: mtu: \"+1\" is not a number" },
	{ NET "mtu = 1514 bytes\n", "2: mtu: \"1514 bytes\" is not a number" },
	{ NET "mtu = 0x10\n", "2: mtu: \"0x10\" is not a number" },
	{ NET "mtu = 4294968810\n", "2: mtu: \"4294968810\" is not a number" },
	{ NET "mtu = 99999999999999999999999\n", "2: mtu: \"99999999999999999999999\" is not" },
	{ NET "mtu = ; 1514\n", "2: mtu: \"\" is not a number" },
	{ NET "nodes = 0\n", "2: nodes: \"0\" is not a number from 1 to 4096" },
	{ NET "nodes = 4097\n", "2: nodes: \"4097\" is not a number from 1 to 4096" },
	{ NET "pool = 0\n", "2: pool: \"0\" is not a number from 1 to 65536" },
	{ NET "pool = 65537\n", "2: pool: \"65537\" is not a number from 1 to 65536" },
	{ NET "mode = 0778\n", "2: mode: \"0778\" is not an octal number from 0 to 0777" },
	{ NET "mode = 01000\n", "2: mode: \"01000\" is not an octal number" },
	{ NET "mode = rwx\n", "2: mode: \"rwx\" is not an octal number" },
	{ NET "mtu = 5\n  mtu = 5\n", "3: mtu: \"5\": given twice in this section" },
	{ NET "tap = vm0\n",
	  "2: tap: unknown key ([network] has: policy, mtu, nodes, pool, lossless, mode, routes, "
	  "route, addr, neigh)" },
	{ NET "MTU = 5\n", "2: MTU: unknown key" },
	{ NET "= 5\n", "2: : unknown key" },

	/* ports */
	{ "[port]\n", "1: [port ]: a port has one word as label" },
	{ "[port a b]\n", "1: [port a b]: a port has one word as label" },
	{ "[port " X10 X10 X10 X10 X10 X10 "1234]\n", "1: port: the label \"" X10 },
	{ PORT "tap = a\n[port p]\n", "5: port: \"p\": a second section for it" },
	{ "[port p]\ntap = a\n", "1: port p: no network: write network = PATH" },
	{ PORT, "2: port p: no interface: give one of tap, veth, host, grab" },
	{ "[port p]\nnetwork = /no\ntap = a\n", "2: network: \"/no\" has no [network] section" },
	{ NET "[port p]\nnetwork = lan\n", "3: network: \"lan\" is not an absolute path" },
	{ PORT "tap = a\nframes = 64\n", "5: frames: port p has none of that: it is for xsk" },
	{ PORT "own = no\nveth = a\n", "4: own: port p has none of that: it is for xsk" },
	{ PORT "frame-size = 4096\ngrab = a\n", "4: frame-size: port p has none of that" },
	{ PORT "xsk = a\nframes = 63\n",
	  "5: frames: \"63\" is not a power of two from 64 to 65536" },
	{ PORT "xsk = a\nframes = 100\n", "5: frames: \"100\" is not a power of two" },
	{ PORT "xsk = a\nframes = 131072\n", "5: frames: \"131072\" is not a power of two" },
	{ PORT "xsk = a\nframe-size = 3000\n", "5: frame-size: \"3000\" is not 2048 or 4096" },
	{ PORT "xsk = a\nframe-size = 8192\n", "5: frame-size: \"8192\" is not 2048 or 4096" },
	{ PORT "xsk = a\nown = 1\n", "5: own: \"1\" is not yes or no" },
	{ PORT "tap = a\nhost = b\n", "5: host: port p has one already, give one of tap" },
	{ PORT "tap = 0123456789abcdef\n",
	  "4: tap: \"0123456789abcdef\" is not an interface name" },
	{ PORT "tap =\n", "4: tap: \"\" is not an interface name" },
	{ PORT "tap = a/b\n", "4: tap: \"a/b\" is not an interface name" },
	{ PORT "tap = vm%d\n", "4: tap: \"vm%d\" is not an interface name" },
	{ PORT "host = a:b\n", "4: host: \"a:b\" is not an interface name" },
	{ PORT "veth = a:\n", "4: veth: \"a:\": what follows ':' is not" },
	{ PORT "veth = a:b/c\n", "4: veth: \"a:b/c\": what follows ':' is not" },
	{ PORT "veth = a:..\n", "4: veth: \"a:..\": what follows ':' is not" },
	{ PORT "veth = :b\n", "4: veth: \"\" is not an interface name" },
	{ PORT "veth = " X100 ":b\n", "4: veth: \"" X100 ":b\": the name is longer than 15 bytes" },
	{ PORT "veth = a:" X100 "\n", "4: veth: \"a:" X100 "\": the namespace is longer than 63" },
	{ PORT "port = 4096\n", "4: port: \"4096\" is not a number from 0 to 4095" },
	{ PORT "tap = a\nport = 32\n", "5: port: \"32\" is not a number from 0 to 31: /run/ipn/lan "
				       "has 32 nodes" },
	{ PORT "descr = " X100 X10 X10 "12345678\n", "4: descr: \"" X100 },
	{ PORT "mtu = 5\n",
	  "4: mtu: unknown key ([port] has: network, tap, veth, host, grab, cable, "
	  "xsk, vde, unix, frames, frame-size, own, peer, mode, port, port2, descr, persist, "
	  "addr, neigh)" },
	{ PORT "cable = run/b\n", "4: cable: \"run/b\" is not an absolute path" },
	{ PORT "cable = /b\n", "4: cable: \"/b\" has no [network] section" },
	{ PORT "cable = /run/ipn/lan\n", "4: cable: \"/run/ipn/lan\" is the port's own network" },
	{ PORT "tap = a\ncable = /b\n", "5: cable: port p has one already" },
	{ NET "[network /b]\n[port q]\nnetwork = /b\ncable = /run/ipn/lan\n[port r]\n"
	      "network = /run/ipn/lan\ncable = /b\n",
	  "8: cable: port q joins /b and /run/ipn/lan" },
	{ PORT "tap = a\naddr = 10.0.0.1/24\n", "5: addr: /run/ipn/lan is no router" },
	{ PORT "tap = a\nneigh = 10.0.0.1 02:00:00:00:00:09\n", "5: neigh: /run/ipn/lan is no" },
	{ PORT "tap = a\nport2 = 1\n",
	  "5: port2: port p has none of that: it is for cable = PATH" },
	{ PORT "cable = /b\nport2 = x\n", "5: port2: \"x\" is not a number from 0 to 4095" },
	{ NET "[network /b]\nnodes = 4\n[port p]\nnetwork = /run/ipn/lan\ncable = /b\nport2 = 4\n",
	  "7: port2: \"4\" is not a number from 0 to 3: /b has 4 nodes" },
	{ NET "[network /b]\n[port q]\nnetwork = /b\ntap = a\nport = 4\n[port p]\n"
	      "network = /run/ipn/lan\ncable = /b\nport2 = 4\n",
	  "10: port2: \"4\" of /b is port q" },
	{ NET "[network /b]\n[port q]\nnetwork = /b\ncable = /run/ipn/lan\nport2 = 4\n[port p]\n"
	      "network = /run/ipn/lan\ntap = a\nport = 4\n",
	  "10: port: \"4\" of /run/ipn/lan is port q" },
	{ PORT "tap = a\npersist = no\n", "5: persist: \"no\" is not yes: what a file attaches" },
	{ PORT "vde = run/vde\n", "4: vde: \"run/vde\" is not an absolute path" },
	{ PORT "vde = /\n", "4: vde: \"/\" is not an absolute path" },
	{ PORT "vde = /" X100 "\n", "4: vde: \"/" X100 "\" is longer than 92 bytes: there is no" },
	{ PORT "vde = /v\nport = 1\n", "5: port: port p is a directory, whose clients are ports" },
	{ PORT "vde = /v\ndescr = x\n", "5: descr: port p is a directory" },
	{ PORT "vde = /v\naddr = 10.0.0.1/24\n", "5: addr: port p is a directory" },
	{ PORT "vde = /v\npeer = /p\n", "5: peer: port p has none of that: it is for unix = FILE" },
	{ PORT "vde = /v\nmode = 8\n", "5: mode: \"8\" is not an octal number" },
	{ PORT "tap = a\nmode = 0700\n",
	  "5: mode: port p has none of that: it is for vde = DIR and" },
	{ PORT "vde = /v\nunix = /u\n", "5: unix: port p has one already" },
	{ PORT "vde = /run/ipn/lan\n", "4: vde: \"/run/ipn/lan\" is a network of this file" },
	{ PORT "unix = /" X100 X10 "\n", "4: unix: \"/" X100 X10 "\" is longer than 107" },
	{ PORT "unix = /u\npeer = p\n", "5: peer: \"p\" is not an absolute path" },
	{ R "[port p]\nnetwork = /r\nunix = /u\nneigh = 10.0.0.2 02:00:00:00:00:09\n",
	  "6: neigh: port p has no number yet: write port = N" },
	{ PORT "unix = /u\n[port q]\nnetwork = /run/ipn/lan\nvde = /u\n",
	  "7: /u: port p has that path" },
	{ PORT "tap = a\n[port q]\nnetwork = /run/ipn/lan\ntap = a\n",
	  "7: a: port p has that interface" },
	{ PORT "tap = a\nport = 1\n[port q]\nnetwork = /run/ipn/lan\ntap = b\nport = 1\n",
	  "9: port: \"1\" of /run/ipn/lan is port p" },
	/* the first mistake of the file is the one that is told */
	{ "[port p]\ntap = a\n[port q]\ntap = b\n", "1: port p: no network" },
	{ NET "mtu = x\nmtu = y\n[bogus]\n", "2: mtu: \"x\"" },
};

static void mistakes_are_named(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_files); i++) {
		struct config *config = (struct config *)state;
		const char *content = bad_files[i].content;
		char expected[512];
		struct errtext e = { "" };
		int r = read_bytes(content, strlen(content), &config, &e);

		snprintf(expected, sizeof(expected), "%s:%s", file, bad_files[i].text);
		if (r != -EINVAL || strncmp(e.text, expected, strlen(expected)))
			print_error("row %zu:\n%s\nsaid: %s\nwant: %s\n", i, content, e.text,
				    expected);
		assert_int_equal(r, -EINVAL);
		assert_memory_equal(e.text, expected, strlen(expected));
		assert_null(strchr(e.text, '\n'));
		assert_ptr_equal(config, state);
	}
}

static void nul_byte_is_an_error(void **state)
{
	static const char bytes[] = "[fabric]\nhook = tcx\0x\n";
	struct config *config = NULL;
	struct errtext e;

	assert_int_equal(read_bytes(bytes, sizeof(bytes) - 1, &config, &e), -EINVAL);
	assert_non_null(strstr(e.text, ":2: a NUL byte"));
}

static void unreadable_files_are_named(void **state)
{
	struct config *config = NULL;
	struct errtext e;

	assert_int_equal(config_read("/nonexistent/x.ini", &config, &e), -ENOENT);
	assert_string_equal(e.text, "/nonexistent/x.ini: cannot open: No such file or directory");
	assert_int_equal(config_read(dir, &config, &e), -EINVAL);
	assert_non_null(strstr(e.text, ": is no regular file"));
	assert_int_equal(unlink(file), 0);
	assert_int_equal(mkfifo(file, 0600), 0);
	alarm(10); /* nobody writes into it: who waits for that, waits for ever */
	assert_int_equal(config_read(file, &config, &e), -EINVAL);
	alarm(0);
	assert_non_null(strstr(e.text, ": is no regular file"));
	assert_int_equal(unlink(file), 0);
	assert_null(config);
}

static void a_long_line_is_cut(void **state)
{
	static const char line[] = "[network /r]\nmtu = " X100 X10 X10 X10 X10 X10 X10 X10 X10 "\n";
	struct config *config = NULL;
	struct errtext e;

	memset(&e, 0x7f, sizeof(e));
	assert_int_equal(read_bytes(line, sizeof(line) - 1, &config, &e), -EINVAL);
	assert_int_equal(strnlen(e.text, sizeof(e.text)), sizeof(e.text) - 1);
}

static void numbers(void **state)
{
	__u32 v = 7;

	assert_int_equal(text_number("0", 0, 10, &v), 0);
	assert_int_equal(v, 0);
	assert_int_equal(text_number("4294967295", 0, UINT32_MAX, &v), 0);
	assert_int_equal(v, UINT32_MAX);
	v = 7;
	assert_int_equal(text_number("4294967296", 0, UINT32_MAX, &v), -EINVAL);
	assert_int_equal(text_number("18446744073709551617", 0, UINT32_MAX, &v), -EINVAL);
	assert_int_equal(text_number("", 0, 10, &v), -EINVAL);
	assert_int_equal(text_number(" 1", 0, 10, &v), -EINVAL);
	assert_int_equal(text_number("1 ", 0, 10, &v), -EINVAL);
	assert_int_equal(text_number("11", 0, 10, &v), -EINVAL);
	assert_int_equal(text_number("1", 2, 10, &v), -EINVAL);
	assert_int_equal(text_mode("", &v), -EINVAL);
	assert_int_equal(text_mode("8", &v), -EINVAL);
	assert_int_equal(text_mode("1777", &v), -EINVAL);
	assert_int_equal(text_mode("77777777777777777777777", &v), -EINVAL);
	assert_int_equal(text_policy("Switch", &v), -EINVAL);
	assert_int_equal(text_policy("", &v), -EINVAL);
	assert_int_equal(v, 7);
	assert_int_equal(text_mode("0770", &v), 0);
	assert_int_equal(v, 0770);
	assert_int_equal(text_mode("7", &v), 0);
	assert_int_equal(v, 7);
	assert_int_equal(text_policy("switch", &v), 0);
	assert_int_equal(v, IPN_POLICY_SWITCH);
	assert_int_equal(text_policy("63", &v), 0);
	assert_int_equal(v, 63);
}

static int setup(void **state)
{
	if (!mkdtemp(dir))
		return -1;
	snprintf(file, sizeof(file), "%s/config.ini", dir);
	return 0;
}

static int teardown(void **state)
{
	unlink(file);
	return rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_file_is_an_empty_config),
		cmocka_unit_test(all_keys_are_read),
		cmocka_unit_test(sockets_and_their_keys_are_read),
		cmocka_unit_test(options_of_a_router_are_read),
		cmocka_unit_test(network_without_keys_has_the_defaults),
		cmocka_unit_test(longest_values_fit),
		cmocka_unit_test(same_names_in_different_places_are_no_conflict),
		cmocka_unit_test(mistakes_are_named),
		cmocka_unit_test(nul_byte_is_an_error),
		cmocka_unit_test(unreadable_files_are_named),
		cmocka_unit_test(a_long_line_is_cut),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
