// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The manager dies at any moment of its work, and the next one takes over.
 *
 * Each operation of the table below is run again and again, on networks with ports that have
 * nothing to do with it. The k-th change of the kernel is the last that has an effect, for every k;
 * what the manager stores into mapped memory after that counts once as stored, and once not. Then
 * another manager starts, and all maps, interfaces, pins and quotas must agree with its objects,
 * the operation must be done or not begun, and the other ports must be as they were. A table of
 * what came out is printed.
 */
#include "rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <bpf/bpf.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager/access/perm.h"
#include "manager/access/quota.h"
#include "manager/access/asuser.h"
#include "manager/core/interfaces.h"
#include "manager/core/logs.h"
#include "manager/core/net.h"
#include "manager/core/node.h"
#include "manager/core/port_kind.h"
#include "manager/core/resize.h"
#include "manager/core/rotate.h"
#include "manager/kernel/bpf.h"
#include "manager/policies/l3.h"
#include "manager/ports/cable.h"
#include "manager/ports/listener.h"
#include "manager/ports/port.h"
#include "manager/ports/proc.h"
#include "manager/ports/sock.h"

#define UID 1000 /* whose quotas are used */
#define BASE_NETS 4
#define BASE_PORTS 3

/* A port that has nothing to do with the operation, as the maps have it. */
struct base_port {
	__u32 ifindex, at, flood, flood_at;
	struct ipn_port_in in;
	struct ipn_port_out out;
};

static struct rig rig;
static struct base_port base[BASE_PORTS];
static struct proc_fds base_fds, op_fds;
static int netns_fd = -1, client = -1;
static char stage[128]; /* where it is, said when it fails */
static const struct proc_fds no_fds = { -1, -1, -1, -1, -1, -1 };

static struct net *net_named(const char *name)
{
	struct net *net, *tmp;

	HASH_ITER(hh, rig.f.nets, net, tmp)
		if (!strcmp(net->info.path, rig_path(&rig, name)))
			return net;
	return NULL;
}

static void base_read(const struct node *node, struct base_port *b)
{
	memset(b, 0, sizeof(*b));
	b->ifindex = node->ifindex;
	b->at = node->net->info.port_base + node->in.number;
	rig_map("ipn_port_in", &b->ifindex, &b->in);
	rig_map("ipn_port_out", &b->at, &b->out);
	if (!(node->kind->flags & KIND_DEVICE))
		return;
	b->flood_at = node->net->info.port_base + node->in.flood_at;
	rig_map("ipn_flood_list", &b->flood_at, &b->flood);
}

static void check_base(void)
{
	for (int i = 0; i < BASE_PORTS; i++) {
		const struct node *node = rig_node(&rig, base[i].ifindex);
		struct base_port now;

		assert_non_null(node);
		base_read(node, &now);
		assert_memory_equal(&now, &base[i], sizeof(now));
	}
}

static void check_all(void)
{
	rig_check(&rig);
	rig_check_quota(&rig, 0);
	rig_check_quota(&rig, UID);
	check_base();
}

/* --- the operations --- */

static int join_at(struct net *net, enum ipn_kind kind, const char *name, bool own, __s32 port)
{
	const struct node_want want = { .kind = kind,
					.port = port,
					.flags = IPN_PF_READER | IPN_PF_WRITER,
					.uid = UID,
					.account = UID,
					.name = name,
					.own = own,
					.netns_fd = kind == IPN_KIND_VETH ? netns_fd : -1 };
	struct node *node;

	return port_attach(net, &want, &node, &rig.e);
}

static int join(struct net *net, enum ipn_kind kind, const char *name, bool own)
{
	return join_at(net, kind, name, own, IPN_PORTNO_ANY);
}

static int proc_join(struct net *net, __u32 uid, struct proc_fds *fds)
{
	const struct node_want want = { .kind = IPN_KIND_PROC,
					.port = IPN_PORTNO_ANY,
					.flags = IPN_PF_READER | IPN_PF_WRITER | IPN_PF_FOLLOWS,
					.uid = uid,
					.netns_fd = -1 };
	struct node *node;
	__u64 cursor;

	return proc_connect(net, &want, &node, fds, &cursor, &rig.e);
}

static int net_make(const char *name, struct ipn_net_info info)
{
	info.uid = info.account = UID;
	info.persistent = 1;
	if (!info.numnodes)
		info.numnodes = 8;
	return rig_net(&rig, name, &info) ? 0 : -EIO;
}

static int join_proc_switch(void)
{
	return proc_join(net_named("switch"), UID, &op_fds);
}

static int join_proc_hub(void)
{
	return proc_join(net_named("hub"), UID, &op_fds);
}

static int join_proc_lossless(void)
{
	return proc_join(net_named("lossless"), UID, &op_fds);
}

static int join_tap(void)
{
	return join(net_named("switch"), IPN_KIND_TAP, "op", false);
}

static int join_veth(void)
{
	return join(net_named("switch"), IPN_KIND_VETH, "op", false);
}

static int join_host(void)
{
	return join(net_named("switch"), IPN_KIND_HOST, "op", false);
}

static int join_grab(void)
{
	return join(net_named("switch"), IPN_KIND_GRAB, "eth0", false);
}

static int join_xsk(void)
{
	return join(net_named("switch"), IPN_KIND_XSK, "op", false);
}

static int join_xsk_own(void)
{
	return join(net_named("switch"), IPN_KIND_XSK, "op", true);
}

static int join_cable(void)
{
	struct net *const nets[2] = { net_named("switch"), net_named("hub") };
	const struct node_want want = { .uid = UID, .account = UID, .netns_fd = -1 };
	const __s32 ports[2] = { IPN_PORTNO_ANY, IPN_PORTNO_ANY };
	struct node *ends[2];

	return cable_add(nets, &want, ports, ends, &rig.e);
}

static int open_listener(void)
{
	struct ipn_listener want = {
		.kind = IPN_LISTENER_UNIX, .mode = 0600, .uid = UID, .port = IPN_PORTNO_ANY
	};
	char descr[IPN_DESCR_MAX] = "";

	struct asuser_id *who;
	int r = asuser_id_self(&who);

	if (r)
		return r;
	util_copy(want.path, sizeof(want.path), rig_path(&rig, "listener"));
	r = listener_open(net_named("switch"), &want, descr, who, NULL, &rig.e);
	asuser_id_unref(who);
	asuser_settle(rig.f.asuser, ASUSER_WAIT_MS);
	return r;
}

/* No fdstore has its socket: it ends with the manager. */
static int join_sock(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const struct node_want want = { .kind = IPN_KIND_SOCK,
					.port = IPN_PORTNO_ANY,
					.flags = IPN_PF_READER | IPN_PF_WRITER,
					.uid = UID,
					.account = UID,
					.name = "op",
					.netns_fd = -1 };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct node *node;

	util_copy(addr.sun_path, sizeof(addr.sun_path), rig_path(&rig, "client"));
	assert_int_equal(connect(fd, (void *)&addr, sizeof(addr)), 0);
	stub_sock_uid(UID);
	return sock_attach(net_named("switch"), &want, fd, &node, &rig.e);
}

static int before_sock(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int r = open_listener();

	util_copy(addr.sun_path, sizeof(addr.sun_path), rig_path(&rig, "client"));
	client = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unlink(addr.sun_path);
	assert_int_equal(bind(client, (void *)&addr, sizeof(addr)), 0);
	return r;
}

static int before_leave_sock(void)
{
	int r = before_sock();

	return r ? r : join_sock();
}

static int net_switch(void)
{
	return net_make("op", (struct ipn_net_info){ .policy = IPN_POLICY_SWITCH });
}

static int net_lossless(void)
{
	return net_make("op", (struct ipn_net_info){ .policy = IPN_POLICY_BROADCAST,
						     .flags = IPN_FLAG_LOSSLESS });
}

static int net_l3(void)
{
	return net_make("op", (struct ipn_net_info){ .policy = IPN_POLICY_L3 });
}

/* A network with a port of each kind that needs nobody else. */
static int net_full(void)
{
	struct net *net;
	int r = net_switch();

	net = net_named("op");
	if (!r)
		r = proc_join(net, UID, &op_fds);
	if (!r)
		r = join(net, IPN_KIND_TAP, "op0", false);
	if (!r)
		r = join(net, IPN_KIND_HOST, "op1", false);
	if (!r)
		r = join(net, IPN_KIND_XSK, "op2", false);
	if (!r)
		r = join(net, IPN_KIND_GRAB, "eth0", false);
	return r;
}

/* Others stand right behind it, so it has to move. */
static int net_wedged(void)
{
	int r = net_full();

	return r ? r : net_make("op2", (struct ipn_net_info){ .policy = IPN_POLICY_BROADCAST });
}

/* Its list of devices is longer than it will be, and most of it are holes. */
static int net_holes(void)
{
	int r = net_switch();
	struct net *net = net_named("op");
	char name[IPN_NAME_MAX];

	for (__s32 port = 7; !r && port >= 0; port--) {
		snprintf(name, sizeof(name), "op%d", port);
		r = join_at(net, IPN_KIND_TAP, name, false, port);
	}
	for (__u32 i = 5; !r && i < 8; i++)
		node_del(net->ports[i], 0, false);
	return r;
}

static int del_net(void)
{
	net_del(net_named("op"));
	return 0;
}

static int grow(void)
{
	return net_resize(net_named("op"), 16, &rig.e);
}

static int shrink(void)
{
	return net_resize(net_named("op"), 5, &rig.e);
}

/* The last port of the switch. */
static int leave(void)
{
	struct net *net = net_named("switch");

	for (__u32 i = net->info.numnodes; i-- > 0;) {
		if (!net->ports[i])
			continue;
		node_del(net->ports[i], 0, false);
		return 0;
	}
	return -ENOENT;
}

static int leave_lossless(void)
{
	node_del(net_named("lossless")->ports[0], 0, false);
	return 0;
}

static int close_listener(void)
{
	int r = listener_close(net_named("switch"), rig_path(&rig, "listener"), NULL, &rig.e);

	asuser_settle(rig.f.asuser, ASUSER_WAIT_MS);
	return r;
}

static int half_close(void)
{
	return node_shutdown(net_named("lossless")->ports[0], SHUT_RD);
}

/* Somebody lost his right to read it. */
static int rotate(void)
{
	rotate_want(net_named("op"));
	rotate_all(&rig.f);
	return 0;
}

static int net_lossless_joined(void)
{
	int r = net_lossless();

	return r ? r : proc_join(net_named("op"), UID, &op_fds);
}

static int net_lossy_joined(void)
{
	int r = net_switch();

	return r ? r : proc_join(net_named("op"), UID, &op_fds);
}

/* Its last log is still there. */
static int net_rotated(void)
{
	int r = net_lossy_joined();

	return r ? r : rotate();
}

static int persist(void)
{
	struct net *net = net_named("switch");

	for (__u32 i = net->info.numnodes; i-- > 0;)
		if (net->ports[i])
			return port_persist(net->ports[i], true);
	return -ENOENT;
}

static const struct op {
	const char *name;
	int (*before)(void);
	int (*run)(void);
	bool hooks; /* it attaches programs of devices, or detaches them */
} ops[] = {
	{ "join proc, switch", NULL, join_proc_switch, false },
	{ "join proc, broadcast", NULL, join_proc_hub, false },
	{ "join proc, LOSSLESS", NULL, join_proc_lossless, false },
	{ "join tap", NULL, join_tap, true },
	{ "join veth", NULL, join_veth, true },
	{ "join host", NULL, join_host, true },
	{ "join grab", NULL, join_grab, true },
	{ "join xsk", NULL, join_xsk, true },
	{ "join xsk, own", NULL, join_xsk_own, true },
	{ "join cable", NULL, join_cable, true },
	{ "join sock", before_sock, join_sock, false },
	{ "leave proc, switch", join_proc_switch, leave, false },
	{ "leave proc, LOSSLESS", join_proc_lossless, leave_lossless, false },
	{ "leave tap", join_tap, leave, true },
	{ "leave veth", join_veth, leave, true },
	{ "leave host", join_host, leave, true },
	{ "leave grab", join_grab, leave, true },
	{ "leave xsk", join_xsk, leave, true },
	{ "leave xsk, own", join_xsk_own, leave, true },
	{ "leave cable", join_cable, leave, true },
	{ "leave sock", before_leave_sock, leave, false },
	{ "open listener", NULL, open_listener, false },
	{ "close listener", open_listener, close_listener, false },
	{ "net add, switch", NULL, net_switch, false },
	{ "net add, LOSSLESS", NULL, net_lossless, false },
	{ "net add, l3", NULL, net_l3, false },
	{ "net del, full", net_full, del_net, false },
	{ "net del, l3", net_l3, del_net, false },
	{ "resize, stays", net_full, grow, false },
	{ "resize, moves", net_wedged, grow, false },
	{ "resize, shorter", net_full, shrink, false },
	{ "resize, shorter, moves", net_holes, shrink, false },
	{ "another log, LOSSY", net_lossy_joined, rotate, false },
	{ "another log, LOSSLESS", net_lossless_joined, rotate, false },
	{ "one more log, LOSSY", net_rotated, rotate, false },
	{ "net del, two logs", net_rotated, del_net, false },
	{ "shutdown", join_proc_lossless, half_close, false },
	{ "persist", join_tap, persist, false },
};

/* --- the machinery --- */

/* What can be seen of an operation. */
struct sight {
	unsigned int nets, nodes, listeners;
	__u32 numnodes, readers;
	__u64 serial; /* of a log */
};

static struct sight look(void)
{
	const struct net *op = net_named("op");

	return (struct sight){
		.nets = HASH_COUNT(rig.f.nets),
		.nodes = HASH_COUNT(rig.f.nodes),
		.listeners = stub_count("ipn_listeners"),
		.numnodes = op ? op->info.numnodes : 0,
		.serial = op ? op->head->serial : 0,
		.readers = rig.f.bpf->net_fast[net_named("lossless")->id].readers,
	};
}

static bool same(struct sight a, struct sight b)
{
	return a.nets == b.nets && a.nodes == b.nodes && a.listeners == b.listeners &&
	       a.numnodes == b.numnodes && a.readers == b.readers && a.serial == b.serial;
}

static void start(void)
{
	if (rig_start(&rig))
		fail_msg("cannot start: %s", rig.e.text);
	rig_run(&rig);
}

static bool is_base(const struct node *node)
{
	for (int i = 0; i < BASE_PORTS; i++)
		if (base[i].ifindex == node->ifindex)
			return true;
	return false;
}

/* All but the base goes. */
static void clean(void)
{
	while (rig.f.listeners) {
		assert_int_equal(listener_close(rig.f.listeners->net, rig.f.listeners->info.path,
						NULL, &rig.e),
				 0);
		asuser_settle(rig.f.asuser, ASUSER_WAIT_MS);
	}
	for (__u32 i = 0; i < IPN_MAX_NETS; i++) {
		struct net *net = rig.f.net_by_id[i];

		if (net && !strncmp(strrchr(net->info.path, '/'), "/op", 3))
			net_del(net);
	}
	for (__u32 i = 0; i < IPN_MAX_NODES; i++)
		if (rig.f.node_by_id[i] && !is_base(rig.f.node_by_id[i]))
			node_del(rig.f.node_by_id[i], 0, false);
	interfaces_orphans_end(&rig.f);
	proc_fds_close(&op_fds);
	util_close_fd(&client);
	client = -1;
	rig_run(&rig);
}

static void base_make(void)
{
	static const struct {
		const char *name;
		struct ipn_net_info info;
	} nets[BASE_NETS] = {
		{ "switch", { .policy = IPN_POLICY_SWITCH } },
		{ "hub", { .policy = IPN_POLICY_BROADCAST } },
		{ "lossless", { .policy = IPN_POLICY_BROADCAST, .flags = IPN_FLAG_LOSSLESS } },
		{ "l3", { .policy = IPN_POLICY_L3 } },
	};
	struct net *net;

	for (int i = 0; i < BASE_NETS; i++)
		assert_int_equal(net_make(nets[i].name, nets[i].info), 0);
	stub_if_add("eth0");
	net = net_named("switch");
	assert_int_equal(join(net, IPN_KIND_TAP, "base0", false), 0);
	assert_int_equal(join(net, IPN_KIND_HOST, "base1", false), 0);
	assert_int_equal(proc_join(net_named("hub"), 0, &base_fds), 0);
	base_read(net->ports[0], &base[0]);
	base_read(net->ports[1], &base[1]);
	base_read(net_named("hub")->ports[0], &base[2]);
	/* as the first restart has them: a tap that nobody has opened is down */
	rig_stop(&rig);
	start();
	base_read(net_named("switch")->ports[0], &base[0]);
}

static int setup(void **state)
{
	(void)state;
	base_fds = op_fds = no_fds;
	netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	rig_new(&rig);
	rig.no_fdstore = true;
	rig.clsact = *state != NULL;
	start();
	base_make();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (stage[0])
		print_error("it failed in: %s\n", stage);
	rig_free(&rig);
	proc_fds_close(&base_fds);
	proc_fds_close(&op_fds);
	util_close_fd(&client);
	util_close_fd(&netns_fd);
	return 0;
}

struct outcome {
	unsigned int deaths, done, undone;
};

/* One death. False: the operation was at its end before. */
static bool die_at(const struct op *op, unsigned long k, bool at_once, struct sight after,
		   struct outcome *out)
{
	struct sight before, now;
	bool died;

	if (op->before)
		assert_int_equal(op->before(), 0);
	rig_run(&rig);
	before = look();
	snprintf(stage, sizeof(stage), "%s: death after change %lu%s", op->name, k,
		 at_once ? ", at once" : "");
	stub_die_after(k, at_once);
	op->run();
	died = stub_dead();
	snprintf(stage + strlen(stage), sizeof(stage) - strlen(stage), " (%s)", stub_last_change());
	rig_stop(&rig);
	stub_revive();
	start();
	check_all();
	now = look();
	out->deaths++;
	if (same(now, after))
		out->done++;
	else if (same(now, before))
		out->undone++;
	else
		fail_msg("neither done nor undone");
	clean();
	check_all();
	return died;
}

/* What the operation leads to, over a restart. */
static struct sight ends_as(const struct op *op, unsigned long *changes)
{
	struct sight after;

	snprintf(stage, sizeof(stage), "%s: to its end", op->name);
	if (op->before)
		assert_int_equal(op->before(), 0);
	rig_run(&rig);
	*changes = stub_changes();
	assert_int_equal(op->run(), 0);
	*changes = stub_changes() - *changes;
	rig_stop(&rig);
	stub_revive();
	start();
	check_all();
	after = look();
	clean();
	check_all();
	return after;
}

static void each_operation(void **state)
{
	(void)state;
	print_message("%-24s %8s %8s %8s %8s\n", "operation", "changes", "deaths", "done",
		      "undone");
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		const struct op *op = &ops[i];
		struct outcome out = { 0 };
		unsigned long changes;
		unsigned long k = 0;
		struct sight after;
		bool more;

		if (rig.clsact && !op->hooks)
			continue;
		after = ends_as(op, &changes);

		do {
			more = die_at(op, k, false, after, &out);
			if (stub_stored())
				die_at(op, k, true, after, &out);
			k++;
		} while (more);
		print_message("%-24s %8lu %8u %8u %8u\n", op->name, changes, out.deaths, out.done,
			      out.undone);
	}
	stage[0] = '\0';
}

/* The manager dies while it starts; the next one starts. */
static void the_first_start(void **state)
{
	unsigned int deaths = 0;
	unsigned long k = 0;
	bool died = true;

	(void)state;
	while (died) {
		snprintf(stage, sizeof(stage), "first start: death after change %lu", k);
		rig_new(&rig);
		rig.no_fdstore = true;
		stub_die_after(k, false);
		rig_start(&rig);
		died = stub_dead();
		if (rig.up)
			rig_stop(&rig);
		stub_revive();
		start();
		rig_check(&rig);
		rig_free(&rig);
		deaths += died;
		k += k < 8 ? 1 : 5; /* most of them are pins of programs, one like the other */
	}
	print_message("%-24s %8s %8u\n", "first start", "", deaths);
	stage[0] = '\0';
}

/* The manager dies while it takes over a network with a port of each kind; so does the next. */
static void the_next_start(void **state)
{
	unsigned int deaths = 0;
	unsigned long k = 0;
	struct sight before;
	bool died = true;

	(void)state;
	assert_int_equal(net_full(), 0);
	assert_int_equal(join_cable(), 0);
	assert_int_equal(open_listener(), 0);
	rig_run(&rig);
	before = look();
	while (died) {
		snprintf(stage, sizeof(stage), "next start: death after change %lu", k);
		rig_stop(&rig);
		stub_die_after(k, false);
		rig_start(&rig);
		died = stub_dead();
		if (rig.up)
			rig_stop(&rig);
		stub_revive();
		start();
		check_all();
		assert_true(same(look(), before));
		deaths += died;
		k += k < 90 && k % 4 ? 3 : 1; /* the first are pins of programs, too */
	}
	print_message("%-24s %8s %8u\n", "next start", "", deaths);
	clean();
	check_all();
	stage[0] = '\0';
}

/*
 * A call of the manager that takes over fails: it starts nevertheless, or says no. Nothing of what
 * stands is taken for gone.
 */
static void a_start_that_fails(void **state)
{
	unsigned long k = 1, refused = 0, tried = 0;
	struct sight before;
	bool failed = true;

	(void)state;
	assert_int_equal(net_full(), 0);
	assert_int_equal(join_cable(), 0);
	assert_int_equal(open_listener(), 0);
	rig_run(&rig);
	before = look();
	while (failed) {
		snprintf(stage, sizeof(stage), "a start whose call %lu fails", k);
		rig_stop(&rig);
		stub_fail(NULL, k, ENOMEM);
		refused += rig_start(&rig) != 0;
		failed = stub_has_failed();
		stub_fail(NULL, 0, 0);
		if (rig.up)
			rig_stop(&rig);
		start();
		check_all();
		assert_true(same(look(), before));
		tried++;
		k += tried % 3 ? 1 : 17; /* most are of one loop or another */
	}
	print_message("%-24s %8lu %8lu refused\n", "a start that fails", tried, refused);
	assert_true(refused > 0 && refused < tried);
	clean();
	check_all();
	stage[0] = '\0';
}

static bool no_taps(void *arg)
{
	(void)arg;
	return !stub_if_find("op0") && !stub_if_find("op1");
}

static bool no_taps_first(void *arg)
{
	(void)arg;
	return !stub_if_find("op0");
}

/* One interface or many: what cannot be removed now is removed later. */
static void an_interface_that_stays_for_a_while(void **state)
{
	struct net *net;

	(void)state;
	assert_int_equal(net_make("op", (struct ipn_net_info){ .policy = IPN_POLICY_SWITCH }), 0);
	net = net_named("op");
	assert_int_equal(join(net, IPN_KIND_TAP, "op0", false), 0);
	assert_int_equal(join(net, IPN_KIND_TAP, "op1", false), 0);
	stub_fail("link_del", 1, ENOMEM);
	node_del(net->ports[0], 0, false);
	assert_true(stub_has_failed());
	rig_run_until(&rig, no_taps_first, NULL);
	stub_fail("link_del_group", 1, ENOMEM);
	net_del(net);
	assert_true(stub_has_failed());
	stub_fail(NULL, 0, 0);
	rig_run_until(&rig, no_taps, NULL);
	clean();
	check_all();
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_interface_that_stays_for_a_while, setup,
						teardown),
		cmocka_unit_test(the_first_start),
		cmocka_unit_test_setup_teardown(a_start_that_fails, setup, teardown),
		cmocka_unit_test_setup_teardown(the_next_start, setup, teardown),
		cmocka_unit_test_setup_teardown(each_operation, setup, teardown),
		{ "each_operation_at_clsact", each_operation, setup, teardown, (void *)"clsact" },
	};

	(void)argc;
	(void)argv;
	if (geteuid()) {
		printf("skip: sockets of networks are made by mknod: needs root\n");
		return 77;
	}
	stub_asuser_threads(true);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
