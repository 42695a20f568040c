/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A policy that sends by itself (IPN_POLICY_SEND): sets of recipients, rewriting, and both in one
 * message, the same table over all ways into the fabric.
 */
#include "ways.h"

#include <libgen.h>
#include <linux/limits.h>

#include "../policies/script.h"

#define POLICY 40
#define MTU 1514
#define NEW_BYTE 0xEE /* of a message that was made longer: whatever stood in the draft */

static struct bpf_object *object;
static __u8 message[FRAME_MAX];

/* Loads build/tests/script.bpf.o into the fabric of the test. */
static int script_load(void **state)
{
	char self[PATH_MAX] = "", path[PATH_MAX + 32];
	const __u32 number = POLICY;
	struct bpf_map *map;
	int xdp, tc;

	if (world_make(state))
		return -1;
	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	snprintf(path, sizeof(path), "%s/script.bpf.o", dirname(self));
	object = bpf_object__open_file(path, NULL);
	assert_non_null(object);
	bpf_object__for_each_map(map, object) {
		int fd = bpf_shared_map(fab.b, bpf_map__name(map));

		if (fd >= 0)
			assert_ok(bpf_map__reuse_fd(map, fd));
	}
	assert_ok(bpf_object__load(object));
	xdp = bpf_program__fd(bpf_object__find_program_by_name(object, "ipn_xdp_script"));
	tc = bpf_program__fd(bpf_object__find_program_by_name(object, "ipn_tc_script"));
	assert_ok(bpf_map_update_elem(fab.b->fd_pol_xdp, &number, &xdp, BPF_ANY));
	assert_ok(bpf_map_update_elem(fab.b->fd_pol_tc, &number, &tc, BPF_ANY));
	return 0;
}

static int script_end(void **state)
{
	bpf_object__close(object);
	return world_end(state);
}

/* --- the table ----------------------------------------------------------------------------- */

/* Ports: senders 4 (process) and 2 (device); processes 1, 3, 5; device 6; one that is down, 7. */
#define P(n) (1ULL << (n))

static const struct row {
	const char *name;
	struct script script;
	int drop; /* DROP(why), counted at the sender */
	__u32 times;
} rows[] = {
	{ .name = "nobody" },
	{ .name = "one process", .script = { .first = P(1) } },
	{ .name = "two processes", .script = { .first = P(1) | P(5) } },
	{ .name = "a device", .script = { .first = P(6) } },
	{ .name = "all, and the sender is left out",
	  .script = { .first = P(1) | P(2) | P(3) | P(4) | P(5) | P(6) } },
	{ .name = "nobody at two of the ports",
	  .script = { .first = P(1) | P(0) | P(8) },
	  .drop = DROP(NO_PORT),
	  .times = 2 },
	{ .name = "a port beyond the network",
	  .script = { .first = P(1) | P(60) },
	  .drop = DROP(NO_PORT),
	  .times = 1 },
	{ .name = "a device that is down",
	  .script = { .first = P(1) | P(7) },
	  .drop = DROP(PORT_DOWN),
	  .times = 1 },
	{ .name = "flood", .script = { .verdict = SCRIPT_FLOOD } },
	{ .name = "set and port", .script = { .first = P(3), .verdict = SCRIPT_PORT, .arg = 1 } },
	{ .name = "set and drop",
	  .script = { .first = P(3), .verdict = SCRIPT_DROP, .arg = IPN_DROP_SOURCE },
	  .drop = DROP(SOURCE),
	  .times = 1 },
	{ .name = "rewritten, same length", .script = { .second = P(1) | P(6), .len = 100 } },
	{ .name = "rewritten, shorter", .script = { .second = P(1) | P(6), .len = 20 } },
	{ .name = "rewritten, longer", .script = { .second = P(1) | P(6), .len = 101 } },
	{ .name = "rewritten, as long as can be", .script = { .second = P(1) | P(6), .len = MTU } },
	{ .name = "rewritten, too long",
	  .script = { .second = P(1), .len = MTU + 1 },
	  .drop = DROP(MTU),
	  .times = 1 },
	{ .name = "put before it",
	  .script = { .second = P(1) | P(5) | P(6), .len = 104, .before = 4 } },
	{ .name = "some as it is, others rewritten",
	  .script = { .first = P(1) | P(6), .second = P(3) | P(6), .len = 60 } },
	{ .name = "rewritten, flood",
	  .script = { .len = 90, .before = 1, .verdict = SCRIPT_FLOOD } },
	{ .name = "rewritten, port", .script = { .len = 90, .verdict = SCRIPT_PORT, .arg = 6 } },
};

struct bus {
	struct t_net *net;
	struct t_port *at[9];
};

static struct bus bus_make_mtu(bool devices, __u32 mtu)
{
	struct bus b = { .net = net_make(POLICY, mtu, 9) };
	static const int processes[] = { 1, 3, 4, 5 }, ports[] = { 2, 6, 7 };

	for (size_t i = 0; i < ARRAY_SIZE(processes); i++)
		b.at[processes[i]] = port_make(b.net, (__u32)processes[i], IPN_KIND_PROC);
	for (size_t i = 0; devices && i < ARRAY_SIZE(ports); i++)
		b.at[ports[i]] = port_make(b.net, (__u32)ports[i], IPN_KIND_TAP);
	if (devices) {
		b.at[7]->in.flags &= ~(__u32)IPN_PF_UP;
		port_store(b.at[7]);
	}
	return b;
}

static struct bus bus_make(bool devices)
{
	return bus_make_mtu(devices, MTU);
}

static void message_make(const struct script *script)
{
	fill(message, MTU + SCRIPT_ROOM, 3);
	put_bytes(message + 12, "\x81\x00\x20\x07\x88\xb5", 6);
	memcpy(message + SCRIPT_AT, script, sizeof(*script));
}

/* What the policy makes of the message. Returns its start. */
static const __u8 *rewritten(const struct script *script, __u8 *buf)
{
	memset(buf, NEW_BYTE, 2 * MTU);
	memset(buf, 'R', SCRIPT_ROOM);
	memcpy(buf + SCRIPT_ROOM, message, 100);
	buf[SCRIPT_ROOM - script->before] = 'R';
	return buf + SCRIPT_ROOM - script->before;
}

/* The bytes of a message that are known: its end may be what stood in the draft before. */
static __u32 known(const struct script *script, __u32 len)
{
	__u32 most = 100u + script->before;

	return len < most ? len : most;
}

static void in_log(struct t_log *log, const struct script *s, __u32 src, const __u8 *data,
		   __u32 len)
{
	const struct ipn_slot *slot = log_slot(log, log->next);

	assert_int_equal(slot->seq, log->next + 1);
	assert_int_equal(slot->len, len);
	assert_int_equal(slot->src, src);
	assert_memory_equal(slot->data, data, known(s, len));
	log->next++;
}

static void to_port_expect(struct t_port *p, const struct script *s, const struct t_port *from,
			   const __u8 *data, __u32 len)
{
	static __u8 frame[FRAME_MAX];

	if (!port_is_device(p)) {
		in_log(&p->log, s, from->in.number, data, len);
		return;
	}
	assert_int_equal(tap_read(p, frame, sizeof(frame)), len);
	assert_memory_equal(frame, data, known(s, len));
	p->want.out_packets++;
	p->want.out_bytes += len;
}

static void set_expect(const struct bus *b, const struct script *s, __u64 ports,
		       const struct t_port *from, const __u8 *data, __u32 len)
{
	for (int i = 0; i < 9; i++)
		if (ports >> i & 1 && b->at[i] && b->at[i] != from && i != 7)
			to_port_expect(b->at[i], s, from, data, len);
}

static void row_run(enum way way, const struct row *row, bool devices)
{
	struct bus b = bus_make(devices);
	struct t_port *from = b.at[way == WAY_XDP ? 4 : 2];
	const struct script *s = &row->script;
	static __u8 frame[FRAME_MAX], buf[2 * MTU];
	static struct ran r;
	const __u8 *now = message;
	__u32 frame_len, now_len = 100, times = row->times;
	bool too_long = s->len > MTU;

	print_message("  %s, %s\n", row->name, way_name(way));
	message_make(s);
	way_send(way, from, message, 100, frame, &frame_len, &r);
	assert_int_equal(r.ret, way == WAY_XDP ? XDP_DROP : TC_ACT_SHOT);
	if (way != WAY_SEGMENTER) {
		from->want.in_packets++;
		from->want.in_bytes += 100;
	}
	set_expect(&b, s, s->first, from, message, 100);
	if (s->len && !too_long) {
		now = rewritten(s, buf);
		now_len = s->len;
		set_expect(&b, s, s->second, from, now, now_len);
	}
	if (s->verdict == SCRIPT_PORT && b.at[s->arg])
		to_port_expect(b.at[s->arg], s, from, now, now_len);
	if (s->verdict == SCRIPT_FLOOD) {
		in_log(&b.net->log, s, from->in.number, now, now_len);
		set_expect(&b, s, P(2) | P(6), from, now, now_len);
		/* set_expect is for processes' own logs, too: none of those are in the set */
	}
	/* where there are no devices, their ports are nobody's */
	for (int i = 0; !devices && i < 9; i++)
		if (!b.at[i] && i != 0 && i != 8) {
			__u32 n = (__u32)(s->first >> i & 1) +
				  (__u32)(s->len && !too_long ? s->second >> i & 1 : 0) +
				  (s->verdict == SCRIPT_PORT && s->arg == i);

			from->want.drop[IPN_DROP_NO_PORT] += n;
		}
	if (row->drop == DROP(PORT_DOWN) && !devices)
		times = 0;
	if (row->drop)
		from->want.drop[row->drop - 1] += times;
	quiet_expect();
}

static void every_port_gets_its_own(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		row_run(WAY_XDP, &rows[i], false);
		fabric_clear(state);
		for (enum way way = WAY_TC; way < WAY_SK; way++) { /* it takes no sock ports */
			if (way == WAY_GRAB) /* comes out of the segmenter: see below */
				continue;
			row_run(way, &rows[i], true);
			fabric_clear(state);
		}
	}
}

/* There is no segmenter here, so nothing comes out of it; the frame is the host's all the same. */
static void of_a_grabbed_interface_it_sees_a_clone(void **state)
{
	struct bus b = bus_make(true);
	const struct script s = { .second = P(1) | P(6), .len = 20 };
	struct __sk_buff skb = { .ifindex = b.at[2]->in.ifindex };
	static struct ran r;

	(void)state;
	message_make(&s);
	assert_ok(tc_run(fab.b->prog_tc_grab, &skb, message, 100, &r));
	assert_int_equal(r.ret, (__u32)TC_ACT_UNSPEC);
	same_expect(&r, message, 100);
	b.at[2]->want.in_packets++;
	b.at[2]->want.in_bytes += 100;
	b.at[2]->want.drop[IPN_DROP_SEGMENTER]++;
	quiet_expect();
}

static void with_devices_a_process_is_judged_at_tc(void **state)
{
	struct bus b = bus_make(true);
	const struct script s = { .first = P(1) | P(6) };
	const struct ipn_verdict want = {
		.magic = IPN_TX_MAGIC, .kind = IPN_TO_POLICY, .arg = 1, .net = b.net->id
	};
	static __u8 frame[FRAME_MAX];
	static struct ran r;
	__u32 frame_len;

	(void)state;
	message_make(&s);
	way_send(WAY_XDP, b.at[4], message, 100, frame, &frame_len, &r);
	assert_int_equal(r.ret, XDP_PASS);
	assert_int_equal(r.meta, sizeof(want));
	assert_memory_equal(r.data, &want, sizeof(want));
	assert_memory_equal(r.data + sizeof(want), message, 100);
	b.at[4]->want.in_packets++;
	b.at[4]->want.in_bytes += 100;
	quiet_expect(); /* and nothing was sent yet */
}

static void what_is_to_be_cut_goes_to_the_segmenter_first(void **state)
{
	/* where its headers end the kernel does not know of this one: no shorter MTU lets it in */
	struct bus b = bus_make_mtu(true, IPN_MTU_MAX);
	const struct script s = { .first = P(1) | P(6) };
	struct __sk_buff skb = { .ifindex = b.at[2]->in.ifindex, .gso_size = 1 };
	static struct ran r;

	(void)state;
	message_make(&s);
	fab.b->abi.segmenter = 0;
	assert_ok(bpf_abi_store(fab.b));
	assert_ok(tc_run(fab.b->prog_tc, &skb, message, 100, &r));
	assert_int_equal(r.ret, TC_ACT_SHOT);
	b.at[2]->want.in_packets++;
	b.at[2]->want.in_bytes += 100;
	b.at[2]->want.drop[IPN_DROP_SEGMENTER]++;
	quiet_expect();

	fab.b->abi.segmenter = 1;
	assert_ok(bpf_abi_store(fab.b));
	assert_ok(tc_run(fab.b->prog_tc, &skb, message, 100, &r));
	assert_int_equal(r.ret, TC_ACT_REDIRECT);
	assert_int_equal(r.mark, b.at[2]->in.ifindex);
	b.at[2]->want.in_packets++;
	b.at[2]->want.in_bytes += 100;
	quiet_expect();
}

static void each_message_of_a_batch_has_its_own_set(void **state)
{
	struct bus b = bus_make(false);
	const struct script s[] = { { .first = P(1), .second = P(3), .len = 30 },
				    { .first = P(3) },
				    { .first = P(5) } };
	static __u8 frame[FRAME_MAX], buf[2 * MTU], copies[3][100];
	static struct ran r;
	__u32 len = frame_of(frame, IPN_TX_BATCH, NULL, 0);

	(void)state;
	((struct ipn_tx_hdr *)frame)->count = 3;
	for (int i = 0; i < 3; i++) {
		const __u16 size = 100;

		message_make(&s[i]);
		memcpy(copies[i], message, 100);
		memcpy(frame + len, &size, sizeof(size));
		memcpy(frame + len + IPN_TX_LEN, message, 100);
		len += IPN_TX_LEN + 100;
	}
	assert_ok(xdp_run(fab.b->prog_xdp, b.at[4]->in.ifindex, frame, len, 0, &r));
	b.at[4]->want.in_packets += 3;
	b.at[4]->want.in_bytes += 300;
	in_log(&b.at[1]->log, &s[0], 4, copies[0], 100);
	memcpy(message, copies[0], 100);
	in_log(&b.at[3]->log, &s[0], 4, rewritten(&s[0], buf), 30);
	in_log(&b.at[3]->log, &s[1], 4, copies[1], 100);
	in_log(&b.at[5]->log, &s[2], 4, copies[2], 100);
	quiet_expect();
}

static void a_sleeper_in_the_set_is_woken_others_are_not(void **state)
{
	struct bus b = bus_make(false);
	const struct script s = { .first = P(1) };
	static __u8 frame[FRAME_MAX];
	static struct ran r;
	__u32 len;

	(void)state;
	fall_asleep(b.at[1]);
	fall_asleep(b.at[3]);
	message_make(&s);
	way_send(WAY_XDP, b.at[4], message, 100, frame, &len, &r);
	assert_int_equal(bell_wakes(b.at[1]), 1);
	assert_int_equal(bell_wakes(b.at[3]), 0);
	assert_int_equal(b.at[3]->page->sleep, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_port_gets_its_own),
		TEST(of_a_grabbed_interface_it_sees_a_clone),
		TEST(with_devices_a_process_is_judged_at_tc),
		TEST(what_is_to_be_cut_goes_to_the_segmenter_first),
		TEST(each_message_of_a_batch_has_its_own_set),
		TEST(a_sleeper_in_the_set_is_woken_others_are_not),
	};

	if (geteuid()) {
		puts("skip: needs root");
		return 77;
	}
	return cmocka_run_group_tests(tests, script_load, script_end);
}
