/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Switch networks: where frames go and what is learned, the same table over every hook. */
#include "ways.h"

#include <bpf/libbpf.h>
#include <sched.h>

/*
 * Ports, by the letter the table calls them, and the last byte of the addresses behind them. S is
 * the sender: a process over XDP, a device over tc, a sock port over its socket. N and M are in
 * another network; N has the place in `port_out` that follows S's network's last.
 */
#define S 'S'
#define PROC_P 'P'
#define PROC_Q 'Q'
#define DEV_D 'D'
#define DEV_E 'E'
#define SOCK_K 'K'
#define NEXT_N 'N'
#define NEXT_M 'M'

#define NUMNODES 20
#define BROADCAST 0xff
#define MULTICAST 0x33
#define ZERO 0

static const struct {
	char letter;
	__u32 number;
	enum ipn_kind kind;
} ports[] = {
	{ PROC_P, 9, IPN_KIND_PROC }, { PROC_Q, 1, IPN_KIND_PROC },  { DEV_D, 7, IPN_KIND_TAP },
	{ DEV_E, 2, IPN_KIND_VETH },  { SOCK_K, 12, IPN_KIND_SOCK }, { NEXT_N, 0, IPN_KIND_PROC },
	{ NEXT_M, 7, IPN_KIND_TAP },
};

static struct t_net *net, *next;
static struct t_port *by_letter[128];
static struct t_port *process, *device, *sock; /* the senders */
static __u8 frame[4096];

static int world(void **state)
{
	net = net_make(IPN_POLICY_SWITCH, 1514, NUMNODES);
	next = net_make(IPN_POLICY_SWITCH, 1514, NUMNODES);
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		bool far = ports[i].letter == NEXT_N || ports[i].letter == NEXT_M;

		by_letter[(int)ports[i].letter] =
			port_make(far ? next : net, ports[i].number, ports[i].kind);
	}
	process = port_make(net, 4, IPN_KIND_PROC);
	device = port_make(net, 5, IPN_KIND_TAP);
	sock = port_make(net, 17, IPN_KIND_SOCK);
	return 0;
}

static int world_done(void **state)
{
	return fabric_clear(state);
}

static struct t_port *port_of(char letter)
{
	return by_letter[(int)letter];
}

/* --- addresses and the table of them ------------------------------------------------------- */

static void mac_of(__u8 which, __u8 mac[6])
{
	static const __u8 station[6] = { 0x02, 0x49, 0x50, 0x4e, 0x77, 0 };

	memset(mac, which == BROADCAST ? 0xff : 0, 6);
	if (which == MULTICAST)
		put_bytes(mac, "\x33\x33\x00\x00\x00\x01", 6);
	if (which == BROADCAST || which == MULTICAST || which == ZERO)
		return;
	memcpy(mac, station, 6);
	mac[5] = which;
}

static void frame_make(__u32 len, __u8 dst, __u8 src, enum way way)
{
	fill(frame, sizeof(frame), dst + src + len);
	mac_of(dst, frame);
	mac_of(src, frame + 6);
	put_bytes(frame + 12, way == WAY_TAG ? "\x81\x00\x60\x21" : "\x88\xb5\x45\x00", TAG_LEN);
}

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (__u64)ts.tv_sec * SEC + (__u64)ts.tv_nsec;
}

static struct ipn_fdb_key fdb_key(const struct t_net *of, __u8 which)
{
	struct ipn_fdb_key key = { .net = of->id };

	mac_of(which, key.mac);
	return key;
}

static void fdb_put(const struct t_net *of, __u8 which, const struct ipn_fdb *e)
{
	struct ipn_fdb_key key = fdb_key(of, which);

	fdb_set(&key, e);
}

static bool fdb_get(const struct t_net *of, __u8 which, struct ipn_fdb *e)
{
	struct ipn_fdb_key key = fdb_key(of, which);

	return !bpf_map_lookup_elem(fab.b->fd_fdb, &key, e);
}

static void fdb_empty(void)
{
	struct ipn_fdb_key key;

	while (!bpf_map_get_next_key(fab.b->fd_fdb, NULL, &key))
		assert_ok(bpf_map_delete_elem(fab.b->fd_fdb, &key));
	for (__u32 id = 0; id < IPN_MAX_NETS; id++)
		bpf_epoch(fab.b, id);
}

static int fdb_count(void)
{
	struct ipn_fdb_key key, *last = NULL;
	int n = 0;

	for (; !bpf_map_get_next_key(fab.b->fd_fdb, last, &key); last = &key)
		n++;
	return n;
}

/* --- the table: where to ------------------------------------------------------------------- */

/* What is changed before the frame comes; undone after. */
enum change {
	AS_IT_IS,
	DEST_NOT_READER,
	DEST_DOWN,
	DEST_FREE,
	DEST_NEW_HOLDER,
	DEST_WITHOUT_LOG,
	NOBODY_READS,
};

enum to { NOWHERE, TO_PROCESS, TO_DEVICE, TO_SOCK, TO_ALL };

static const struct row {
	const char *name;
	__u8 dst;
	__u8 src; /* 0x00: that of the sender; use ZERO_SRC for none */
	enum to to;
	char port; /* whom the entry of dst names, and who gets it */
	int drop;  /* DROP(why) */
	__s64 age; /* ns since dst was last seen; NO_ENTRY: not known */
	enum change change;
	__u32 len; /* 0: 100 */
} rows[] = {
#define NO_ENTRY INT64_MIN
#define ZERO_SRC 1
	{ "broadcast", BROADCAST, S, TO_ALL, 0, 0, NO_ENTRY, AS_IT_IS, 0 },
	{ "multicast", MULTICAST, S, TO_ALL, 0, 0, NO_ENTRY, AS_IT_IS, 0 },
	{ "multicast that somebody put into the table", MULTICAST, S, TO_ALL, DEV_D, 0, 0, AS_IT_IS,
	  0 },
	{ "broadcast, nobody reads", BROADCAST, S, TO_ALL, 0, 0, NO_ENTRY, NOBODY_READS, 0 },
	{ "unknown", 'x', S, TO_ALL, 0, 0, NO_ENTRY, AS_IT_IS, 0 },
	{ "the zero address as destination", ZERO, S, TO_ALL, 0, 0, NO_ENTRY, AS_IT_IS, 0 },
	{ "known, behind a process", 'p', S, TO_PROCESS, PROC_P, 0, 0, AS_IT_IS, 0 },
	{ "known, behind another process", 'q', S, TO_PROCESS, PROC_Q, 0, 0, AS_IT_IS, 0 },
	{ "known, behind a device", 'd', S, TO_DEVICE, DEV_D, 0, 0, AS_IT_IS, 0 },
	{ "known, behind another device", 'e', S, TO_DEVICE, DEV_E, 0, 0, AS_IT_IS, 0 },
	{ "known, behind a sock port", 'k', S, TO_SOCK, SOCK_K, 0, 0, AS_IT_IS, 0 },
	{ "the shortest frame to a sock port", 'k', S, TO_SOCK, SOCK_K, 0, 0, AS_IT_IS, 14 },
	{ "the longest frame to a sock port", 'k', S, TO_SOCK, SOCK_K, 0, 0, AS_IT_IS, 1514 },
	{ "one byte too long, a sock port", 'k', S, NOWHERE, SOCK_K, DROP(MTU), 0, AS_IT_IS, 1515 },
	{ "seen 299 s ago, a sock port", 'k', S, TO_SOCK, SOCK_K, 0, 299 * SEC, AS_IT_IS, 0 },
	{ "seen 301 s ago, a sock port", 'k', S, TO_ALL, SOCK_K, 0, 301 * SEC, AS_IT_IS, 0 },
	{ "the port has another holder, a sock port", 'k', S, TO_ALL, SOCK_K, 0, 0, DEST_NEW_HOLDER,
	  0 },
	{ "the port is free, a sock port", 'k', S, TO_ALL, SOCK_K, 0, 0, DEST_FREE, 0 },
	{ "the shortest frame", 'p', S, TO_PROCESS, PROC_P, 0, 0, AS_IT_IS, 14 },
	{ "the shortest frame to a device", 'd', S, TO_DEVICE, DEV_D, 0, 0, AS_IT_IS, 14 },
	{ "the shortest tagged frame with data", 'p', S, TO_PROCESS, PROC_P, 0, 0, AS_IT_IS, 19 },
	{ "the longest frame", 'q', S, TO_PROCESS, PROC_Q, 0, 0, AS_IT_IS, 1514 },
	{ "the longest frame to a device", 'e', S, TO_DEVICE, DEV_E, 0, 0, AS_IT_IS, 1514 },
	{ "one byte too long", 'p', S, NOWHERE, PROC_P, DROP(MTU), 0, AS_IT_IS, 1515 },
	{ "seen 299 s ago", 'd', S, TO_DEVICE, DEV_D, 0, 299 * SEC, AS_IT_IS, 0 },
	{ "seen 301 s ago", 'd', S, TO_ALL, DEV_D, 0, 301 * SEC, AS_IT_IS, 0 },
	{ "seen 299 s ago, a process", 'p', S, TO_PROCESS, PROC_P, 0, 299 * SEC, AS_IT_IS, 0 },
	{ "seen 301 s ago, a process", 'p', S, TO_ALL, PROC_P, 0, 301 * SEC, AS_IT_IS, 0 },
	{ "behind the port it comes from", 's', S, NOWHERE, S, DROP(SAME_PORT), 0, AS_IT_IS, 0 },
	{ "the port has another holder", 'd', S, TO_ALL, DEV_D, 0, 0, DEST_NEW_HOLDER, 0 },
	{ "the port has another holder, a process", 'p', S, TO_ALL, PROC_P, 0, 0, DEST_NEW_HOLDER,
	  0 },
	{ "the port is free", 'p', S, TO_ALL, PROC_P, 0, 0, DEST_FREE, 0 },
	{ "does not read", 'p', S, NOWHERE, PROC_P, DROP(NOT_READER), 0, DEST_NOT_READER, 0 },
	{ "has no log", 'q', S, NOWHERE, PROC_Q, DROP(NO_LOG), 0, DEST_WITHOUT_LOG, 0 },
	{ "source is multicast", BROADCAST, MULTICAST, NOWHERE, 0, DROP(SOURCE), NO_ENTRY, AS_IT_IS,
	  0 },
	{ "source is broadcast", 'p', BROADCAST, NOWHERE, PROC_P, DROP(SOURCE), 0, AS_IT_IS, 0 },
	{ "source is zero", 'p', ZERO_SRC, NOWHERE, PROC_P, DROP(SOURCE), 0, AS_IT_IS, 0 },
	{ "entry names a port beyond the network", 'n', S, NOWHERE, NEXT_N, DROP(NO_PORT), 0,
	  AS_IT_IS, 0 },
};

static void port_out_change(const struct t_port *p, enum change change)
{
	struct t_port changed = *p;
	__u32 log = IPN_LOG_OF_NODE(p->in.node);

	if (change == DEST_NOT_READER)
		changed.in.flags &= ~IPN_PF_READER;
	if (change == DEST_DOWN)
		changed.in.flags &= ~IPN_PF_UP;
	if (change == DEST_NEW_HOLDER)
		changed.in.gen++;
	port_store(&changed);
	if (change == DEST_FREE)
		port_out_set_kind(p, IPN_KIND_NONE);
	if (change == DEST_WITHOUT_LOG)
		assert_ok(bpf_map_delete_elem(fab.b->fd_logs[p->log.log_class], &log));
}

static void port_out_restore(const struct t_port *p, enum change change)
{
	port_store(p);
	if (change == DEST_WITHOUT_LOG)
		assert_ok(bpf_log_set(fab.b, p->log.log_class, IPN_LOG_OF_NODE(p->in.node),
				      p->log.fd));
}

/* Number of the port as its place counts from the base of the sender's network. */
static __u32 number_from_here(const struct t_port *p)
{
	return port_at(p) - net->live->port_base;
}

static struct outcome outcome_of(const struct row *row, struct t_port *to)
{
	struct outcome o = { .drop = row->drop };

	switch (row->to) {
	case TO_PROCESS:
		o.process = to;
		break;
	case TO_DEVICE:
		o.device = to;
		break;
	case TO_SOCK:
		o.sock = to;
		break;
	case TO_ALL:
		o.flood = true;
		o.log = row->change != NOBODY_READS;
		break;
	case NOWHERE:
		break;
	}
	return o;
}

static void row_run(const struct row *row, enum way way)
{
	struct t_port *from = way_sender(way, process, device, sock);
	struct t_port *to = !row->port ? NULL : row->port == S ? from : port_of(row->port);
	__u32 len = row->len ? row->len : 100, readers = net->live->readers;
	struct outcome o = outcome_of(row, to);

	if (way == WAY_TAG && len < ETH_LEN + TAG_LEN + 1)
		return;
	print_message("  %s, %s\n", row->name, way_name(way));
	fdb_empty();
	if (to && row->age != NO_ENTRY) {
		struct ipn_fdb e = { .port = number_from_here(to),
				     .gen = to->in.gen,
				     .seen = now_ns() - (__u64)row->age };

		fdb_put(net, row->dst, &e);
	}
	if (to && row->port != S)
		port_out_change(to, row->change);
	if (row->change == NOBODY_READS)
		net->live->readers = 0;

	frame_make(len, row->dst, row->src == ZERO_SRC ? ZERO : row->src, way);
	pass(way, from, frame, len, &o);

	net->live->readers = readers;
	if (to && row->port != S)
		port_out_restore(to, row->change);
}

static void frames_go_where_they_belong(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		for (enum way way = 0; way < WAYS; way++)
			row_run(&rows[i], way);
}

/* For a process the tc program of its tap finds that out, see tap_test.c. */
static void a_device_that_is_down_is_missed_by_unicast(void **state)
{
	const struct row row = { "down", 'd', S, NOWHERE, DEV_D, DROP(PORT_DOWN), 0, DEST_DOWN, 0 };

	(void)state;
	row_run(&row, WAY_TC);
	row_run(&row, WAY_TAG);
}

/*
 * Another CPU may refresh an entry between our look at the clock and our look at the entry: its
 * time is then after ours, by the time we stood still. That is no age.
 */
static void an_entry_refreshed_by_another_cpu_just_now_is_good(void **state)
{
	const struct row row = { "seen in 4 ms",   'd',      S, TO_DEVICE, DEV_D, 0,
				 -4 * (__s64)MSEC, AS_IT_IS, 0 };

	(void)state;
	row_run(&row, WAY_XDP);
	row_run(&row, WAY_TC);
}

/* Only XDP can bring less than an Ethernet header. */
static void a_frame_without_ethernet_header_is_a_runt(void **state)
{
	static const struct outcome o = { .drop = DROP(RUNT) };

	(void)state;
	fdb_empty();
	for (__u32 len = 0; len < ETH_LEN; len++) {
		frame_make(100, BROADCAST, S, WAY_XDP);
		pass(WAY_XDP, process, frame, len, &o);
	}
	assert_int_equal(fdb_count(), 0);
}

/* --- the table: what is learned ------------------------------------------------------------ */

enum where { NOT_KNOWN, AT_SENDER, AT_OTHER_PORT, AT_OLD_HOLDER };

static const struct learn_row {
	const char *name;
	enum where was;
	__u64 age;
	enum where is;
	bool refreshed; /* `seen` is now, not what it was */
	bool dropped;   /* the frame is not forwarded, for its source */
	__u8 src;
} learn_rows[] = {
	{ "a new address", NOT_KNOWN, 0, AT_SENDER, true, false, S },
	{ "seen just now: left alone", AT_SENDER, 500 * MSEC, AT_SENDER, false, false, S },
	{ "seen a while ago", AT_SENDER, 1500 * MSEC, AT_SENDER, true, false, S },
	{ "aged", AT_SENDER, 400 * SEC, AT_SENDER, true, false, S },
	{ "moved, though seen just now", AT_OTHER_PORT, 10 * MSEC, AT_SENDER, true, false, S },
	{ "same port, new holder", AT_OLD_HOLDER, 10 * MSEC, AT_SENDER, true, false, S },
	{ "no multicast source", NOT_KNOWN, 0, NOT_KNOWN, false, true, MULTICAST },
	{ "no broadcast source", NOT_KNOWN, 0, NOT_KNOWN, false, true, BROADCAST },
	{ "no zero source", NOT_KNOWN, 0, NOT_KNOWN, false, true, ZERO },
};

static struct ipn_fdb entry_of(enum where where, const struct t_port *from)
{
	const struct t_port *other = port_of(DEV_E);

	switch (where) {
	case AT_OTHER_PORT:
		return (struct ipn_fdb){ .port = other->in.number, .gen = other->in.gen };
	case AT_OLD_HOLDER:
		return (struct ipn_fdb){ .port = from->in.number, .gen = from->in.gen - 1 };
	default:
		return (struct ipn_fdb){ .port = from->in.number, .gen = from->in.gen };
	}
}

static void learn_run(const struct learn_row *row, enum way way)
{
	struct t_port *from = way_sender(way, process, device, sock);
	struct outcome o = { .log = true, .flood = true };
	struct ipn_fdb elsewhere = { .port = 7, .gen = port_of(NEXT_M)->in.gen, .seen = now_ns() };
	struct ipn_fdb was = entry_of(row->was, from), is, want = entry_of(row->is, from);
	bool learns = way != WAY_SEGMENTER;
	__u64 before = now_ns();

	print_message("  %s, %s\n", row->name, way_name(way));
	if (row->dropped)
		o = (struct outcome){ .drop = DROP(SOURCE) };
	fdb_empty();
	fdb_put(next, row->src, &elsewhere);
	was.seen = before - row->age;
	if (row->was != NOT_KNOWN)
		fdb_put(net, row->src, &was);

	frame_make(100, BROADCAST, row->src, way);
	pass(way, from, frame, 100, &o);

	if (!learns)
		want = was;
	if ((learns ? row->is : row->was) == NOT_KNOWN) {
		assert_false(fdb_get(net, row->src, &is));
		assert_int_equal(fdb_count(), 1);
	} else {
		assert_true(fdb_get(net, row->src, &is));
		assert_int_equal(is.port, want.port);
		assert_int_equal(is.gen, want.gen);
		if (learns && row->refreshed)
			assert_in_range(is.seen, before, now_ns());
		else
			assert_int_equal(is.seen, was.seen);
		assert_int_equal(fdb_count(), 2);
	}
	/* the same address in another network is another station */
	assert_true(fdb_get(next, row->src, &is));
	assert_memory_equal(&is, &elsewhere, sizeof(is));
}

static void sources_are_learned(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(learn_rows); i++)
		for (enum way way = 0; way < WAYS; way++)
			learn_run(&learn_rows[i], way);
}

/* The tag held apart is in the same place of the key as one in the frame: none, VLAN 0 for all. */
static void a_tag_does_not_make_another_station(void **state)
{
	const struct outcome flood = { .log = true, .flood = true };
	const struct outcome to_device = { .device = device };

	(void)state;
	fdb_empty();
	frame_make(100, BROADCAST, S, WAY_TAG);
	pass(WAY_TAG, device, frame, 100, &flood);
	frame_make(100, S, 'y', WAY_XDP);
	pass(WAY_XDP, process, frame, 100, &to_device);
}

/* What is learned over one hook is known over the other, and not in the next network. */
static void a_conversation(void **state)
{
	struct t_port *m = port_of(NEXT_M), *n = port_of(NEXT_N);
	const struct outcome flood = { .log = true, .flood = true };
	const struct outcome to_device = { .device = device }, to_process = { .process = process };
	const struct outcome same = { .drop = DROP(SAME_PORT) }, to_n = { .process = n };

	(void)state;
	fdb_empty();
	frame_make(60, 'b', 'a', WAY_XDP);
	pass(WAY_XDP, process, frame, 60, &flood); /* b is unknown; a is learned */
	frame_make(61, 'a', 'b', WAY_TC);
	pass(WAY_TC, device, frame, 61, &to_process);
	frame_make(62, 'b', 'a', WAY_XDP);
	pass(WAY_XDP, process, frame, 62, &to_device);
	pass(WAY_TC, m, frame, 62, &flood); /* in the next network, b is unknown; a is behind m */
	frame_make(63, 'a', 'b', WAY_XDP);
	pass(WAY_XDP, n, frame, 63, &(struct outcome){ .device = m });
	pass(WAY_TC, device, frame, 63, &to_process);
	frame_make(64, 'b', 'a', WAY_TC);
	pass(WAY_TC, m, frame, 64, &to_n);
	pass(WAY_TC, device, frame, 64, &same); /* a has moved to where b is */
	frame_make(65, 'a', 'c', WAY_XDP);
	pass(WAY_XDP, process, frame, 65, &to_device);
}

/* Invented addresses wash out nobody: a port has room for a thousand, the others for theirs. */
static void a_port_does_not_fill_the_table(void **state)
{
	const struct outcome flood = { .log = true, .flood = true };
	const struct outcome to_process = { .process = process };
	int n;

	(void)state;
	fdb_empty();
	frame_make(60, 'b', 'a', WAY_XDP);
	pass(WAY_XDP, process, frame, 60, &flood);
	for (__u32 i = 0; i < 3000; i++) {
		frame_make(60, BROADCAST, 'x', WAY_TC);
		memcpy(frame + 8, &i, sizeof(i));
		pass(WAY_TC, device, frame, 60, &flood);
	}
	n = fdb_count();
	print_message("  %d addresses of 3000\n", n);
	/* what was learned before counts, and some more come in while the test runs */
	assert_in_range(n, 900, 2500);
	frame_make(60, 'a', 'c', WAY_TC); /* one more */
	pass(WAY_TC, port_of(DEV_D), frame, 60, &to_process);
	frame_make(60, 'c', 'a', WAY_XDP);
	pass(WAY_XDP, process, frame, 60, &(struct outcome){ .device = port_of(DEV_D) });
}

/* Past the notes of all CPUs: what stands in the table has changed, and nobody was told. */
static void fdb_forget_quietly(__u8 which)
{
	struct ipn_fdb_key key = fdb_key(net, which);

	assert_ok(bpf_map_delete_elem(fab.b->fd_fdb, &key));
}

/* All notes are of long ago. */
static void flows_grow_old(void)
{
	int fd = bpf_shared_map(fab.b, "ipn_flows");
	__u32 n = IPN_CPU_FLOWS * (__u32)libbpf_num_possible_cpus(), words[16];

	for (__u32 at = 0; at < n; at++) {
		assert_ok(bpf_map_lookup_elem(fd, &at, words));
		words[2] -= 600; /* of 2^20 ns: until */
		assert_ok(bpf_map_update_elem(fd, &at, words, BPF_ANY));
	}
}

/*
 * What was found out for two stations is not looked up again, at any hook, and is forgotten with
 * what it was made of.
 */
static void a_flow_is_followed_while_it_is_good(void **state)
{
	static const enum way ways[] = { WAY_TC, WAY_XDP, WAY_GRAB, WAY_DEV };
	const struct outcome flood = { .log = true, .flood = true };
	struct t_port *d = port_of(DEV_D), next;
	cpu_set_t one, all;

	(void)state;
	assert_ok(sched_getaffinity(0, sizeof(all), &all));
	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	assert_ok(sched_setaffinity(0, sizeof(one), &one)); /* notes are of one CPU */
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		struct t_port *from = way_sender(ways[i], process, device, sock);
		const struct outcome to_d = { .device = d };
		struct ipn_fdb b = { .port = d->in.number, .gen = d->in.gen, .seen = now_ns() };

		print_message("  %s\n", way_name(ways[i]));
		fdb_empty();
		fdb_put(net, 'b', &b);
		frame_make(100, 'b', 'a', ways[i]);
		for (int k = 0; k < 3; k++) /* a is learned; noted; followed */
			pass(ways[i], from, frame, 100, &to_d);
		fdb_forget_quietly('b');
		pass(ways[i], from, frame, 100, &to_d);

		flows_grow_old();
		pass(ways[i], from, frame, 100, &flood);
		fdb_put(net, 'b', &b);
		pass(ways[i], from, frame, 100, &to_d);
		fdb_forget_quietly('b');
		pass(ways[i], from, frame, 100, &to_d);

		bpf_epoch(fab.b, net->id);
		pass(ways[i], from, frame, 100, &flood);
		fdb_put(net, 'b', &b);
		pass(ways[i], from, frame, 100, &to_d);

		next = *d; /* somebody else has the port */
		next.in.gen++;
		port_store(&next);
		pass(ways[i], from, frame, 100, &flood);
		port_store(d);
		pass(ways[i], from, frame, 100, &to_d);

		frame_make(60, 'a', 'b', WAY_TC); /* b has moved, and says so at another hook */
		pass(WAY_TC, port_of(DEV_E), frame, 60,
		     &(struct outcome){ .device = from == process ? NULL : from,
					.process = from == process ? from : NULL });
		frame_make(100, 'b', 'a', ways[i]);
		pass(ways[i], from, frame, 100, &(struct outcome){ .device = port_of(DEV_E) });
		if (ways[i] != WAY_TC)
			continue; /* XDP leaves it to the next stage */
		port_out_change(port_of(DEV_E), DEST_DOWN);
		pass(WAY_TC, from, frame, 100, &(struct outcome){ .drop = DROP(PORT_DOWN) });
		port_store(port_of(DEV_E));
	}
	assert_ok(sched_setaffinity(0, sizeof(all), &all));
}

/* --- any traffic, and a model of it -------------------------------------------------------- */

/*
 * Stations that move now and then talk to each other by all ways and on all CPUs, ports change
 * hands, and the table forgets; the model is a table with the port and its holder for each station.
 *
 *	SWITCH_FUZZ=N  messages (default 20 000)      SWITCH_SEED=N  of the random numbers
 */
#define STATIONS 12
#define MODEL_PORTS 8

static struct {
	struct t_port *ports[MODEL_PORTS];
	__u32 home[STATIONS];        /* where the station is */
	struct t_port *at[STATIONS]; /* where it was seen; NULL: it was not */
	__u32 gen[STATIONS];         /* and who had that port then */
	__u32 holders;
	cpu_set_t cpus;
	__u64 n;
} model;

static void model_start(void)
{
	struct t_port *const all[MODEL_PORTS] = {
		process,         device,          sock,
		port_of(PROC_P), port_of(DEV_D),  port_of(DEV_E),
		port_of(PROC_Q), port_of(SOCK_K),
	};

	memset(&model, 0, sizeof(model));
	memcpy(model.ports, all, sizeof(all));
	random_begin("SWITCH_SEED", 7);
	for (int i = 0; i < STATIONS; i++)
		model.home[i] = rnd(MODEL_PORTS);
	assert_ok(sched_getaffinity(0, sizeof(model.cpus), &model.cpus));
	fdb_empty();
}

/* So that nothing is refused because too much was learned before. */
static void learns_forget(void)
{
	static const struct ipn_learn none;
	int fd = bpf_shared_map(fab.b, "ipn_learns");
	__u32 at = IPN_MAX_NODES + net->id;

	assert_ok(bpf_map_update_elem(fd, &at, &none, BPF_ANY));
	for (int i = 0; i < MODEL_PORTS; i++)
		assert_ok(bpf_map_update_elem(fd, &model.ports[i]->in.node, &none, BPF_ANY));
}

static void model_changes(void)
{
	struct t_port *p = model.ports[rnd(MODEL_PORTS)];
	__u32 station = rnd(STATIONS), cpu = rnd(64);
	cpu_set_t one;

	if (!rnd(20))
		model.home[station] = rnd(MODEL_PORTS);
	if (!rnd(200) && p->in.kind != IPN_KIND_SOCK) { /* somebody else has the port */
		p->in.gen = 1000000 + ++model.holders;  /* no two are the same */
		port_store(p);
	}
	if (!rnd(500)) {
		fdb_empty();
		learns_forget();
		memset(model.at, 0, sizeof(model.at));
	}
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (!rnd(8) && CPU_ISSET(cpu, &model.cpus))
		assert_ok(sched_setaffinity(0, sizeof(one), &one));
}

/* What must come of it; and the model learns. */
static struct outcome model_pass(enum way way, struct t_port *from, __u8 dst, __u8 src, __u32 len)
{
	struct outcome o = { 0 };
	struct t_port *to;

	if (len < ETH_LEN) {
		o.drop = DROP(RUNT);
		return o;
	}
	if (src == ZERO || src == MULTICAST || src == BROADCAST) {
		o.drop = DROP(SOURCE);
		return o;
	}
	if (way != WAY_SEGMENTER) {
		model.at[src - 'a'] = from;
		model.gen[src - 'a'] = from->in.gen;
	}
	o.log = o.flood = true;
	if (dst < 'a' || dst >= 'a' + STATIONS)
		return o;
	to = model.at[dst - 'a'];
	if (!to || model.gen[dst - 'a'] != to->in.gen)
		return o;
	o.log = o.flood = false;
	if (to == from)
		o.drop = DROP(SAME_PORT);
	else if (to->in.kind == IPN_KIND_PROC)
		o.process = to;
	else if (to->in.kind == IPN_KIND_SOCK)
		o.sock = to;
	else
		o.device = to;
	return o;
}

static void any_traffic_goes_as_a_model_says(void **state)
{
	static const enum way device_ways[] = { WAY_TC, WAY_TAG, WAY_GRAB, WAY_SEGMENTER, WAY_DEV };
	static const __u8 strange[] = { ZERO, MULTICAST, BROADCAST };
	__u64 n = number_of("SWITCH_FUZZ", 20000);

	(void)state;
	model_start();
	for (model.n = 0; model.n < n;) {
		__u32 station = rnd(STATIONS), len = rnd(30) ? ETH_LEN + rnd(300) : rnd(20);
		struct t_port *from = model.ports[model.home[station]];
		__u8 src = (__u8)('a' + station), dst = (__u8)('a' + rnd(STATIONS));
		enum way way = from->in.kind == IPN_KIND_PROC ? WAY_XDP
			       : from->in.kind == IPN_KIND_SOCK
				       ? WAY_SK
				       : device_ways[rnd(ARRAY_SIZE(device_ways))];
		struct outcome o;

		model_changes();
		if (!rnd(20))
			dst = strange[rnd(ARRAY_SIZE(strange))];
		if (!rnd(50))
			src = strange[rnd(ARRAY_SIZE(strange))];
		if (!way_has(way, len))
			continue;
		model.n++;
		o = model_pass(way, from, dst, src, len);
		frame_make(len, dst, src, way);
		pass(way, from, frame, len, &o);
	}
	assert_ok(sched_setaffinity(0, sizeof(model.cpus), &model.cpus));
}

static int model_done(void **state)
{
	print_message("  after %llu messages\n", model.n);
	sched_setaffinity(0, sizeof(model.cpus), &model.cpus);
	return world_done(state);
}

static const struct CMUnitTest tests[] = {
#define SWITCH_TEST(name) cmocka_unit_test_setup_teardown(name, world, world_done)
	SWITCH_TEST(frames_go_where_they_belong),
	SWITCH_TEST(a_device_that_is_down_is_missed_by_unicast),
	SWITCH_TEST(an_entry_refreshed_by_another_cpu_just_now_is_good),
	SWITCH_TEST(a_frame_without_ethernet_header_is_a_runt),
	SWITCH_TEST(sources_are_learned),
	SWITCH_TEST(a_tag_does_not_make_another_station),
	SWITCH_TEST(a_conversation),
	SWITCH_TEST(a_flow_is_followed_while_it_is_good),
	cmocka_unit_test_setup_teardown(any_traffic_goes_as_a_model_says, world, model_done),
	SWITCH_TEST(a_port_does_not_fill_the_table),
};

FABRIC_MAIN(tests)
