/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ipn_tc_tap: the second half of a process's message to devices. It needs the verdict that ipn_xdp
 * left in the frame's metadata, which only a frame that really comes up from XDP has: the kernel
 * receives such frames on the tap (BPF_F_TEST_XDP_LIVE_FRAMES) with any metadata we like. Or in a
 * tag, if there are no metadata.
 */
#include <sys/utsname.h>

#include "ways.h"

#define TAG_AT 12

static __u8 message[2000];

static struct t_net *net, *next;
static struct t_port *process, *reader, *device, *other, *stranger;
static int xdp_pass = -1;

static int xdp_pass_load(void)
{
	const struct bpf_insn insns[] = { MOV_IMM(0, XDP_PASS), EXIT };

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "ipn_t_pass", "GPL", insns, ARRAY_SIZE(insns),
			     NULL);
}

static int world_of(__u32 hook)
{
	fab.b->abi.hook = hook;
	net = net_make(IPN_POLICY_BROADCAST, 1514, 8);
	next = net_make(IPN_POLICY_BROADCAST, 1514, 8);
	stranger = port_make(next, 1, IPN_KIND_TAP);
	device = port_make(net, 3, IPN_KIND_TAP);
	process = port_make(net, 6, IPN_KIND_PROC);
	reader = port_make(net, 2, IPN_KIND_PROC);
	other = port_make(net, 5, IPN_KIND_VETH);
	if (hook == IPN_HOOK_TCX && !bpf_tcx_works(fab.b, process->in.ifindex))
		fab.b->abi.hook = IPN_HOOK_CLSACT; /* as the manager does on such a kernel */
	assert_ok(bpf_attach_tc(fab.b, process->in.ifindex, fab.b->prog_tc_tap));
	xdp_pass = xdp_pass_load();
	assert_true(xdp_pass >= 0);
	fill(message, sizeof(message), 7);
	return 0;
}

static int tcx(void **state)
{
	return world_of(IPN_HOOK_TCX);
}

static int clsact(void **state)
{
	return world_of(IPN_HOOK_CLSACT);
}

static int world_done(void **state)
{
	bpf_detach(fab.b, process->in.ifindex);
	close(xdp_pass);
	return fabric_clear(state);
}

/* The tap receives a frame, which has metadata before it. */
static void receive_data(void *data, __u32 meta_len, __u32 len)
{
	struct xdp_md in = { .data = meta_len,
			     .data_end = meta_len + len,
			     .ingress_ifindex = process->in.ifindex };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data, .data_size_in = meta_len + len,
		    .ctx_in = &in, .ctx_size_in = sizeof(in), .repeat = 1,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES);

	assert_ok(bpf_prog_test_run_opts(xdp_pass, &opts));
}

static void receive(const void *meta, __u32 meta_len, __u32 len)
{
	static __u8 data[4096];

	if (meta_len)
		memcpy(data, meta, meta_len);
	memcpy(data + meta_len, message, len);
	receive_data(data, meta_len, len);
}

static void receive_tagged(__u16 proto, __u16 tci, __u32 len)
{
	const __u8 tag[] = { proto >> 8, proto & 0xff, tci >> 8, tci & 0xff };
	static __u8 data[4096];

	memcpy(data, message, TAG_AT);
	memcpy(data + TAG_AT, tag, sizeof(tag));
	memcpy(data + TAG_AT + sizeof(tag), message + TAG_AT, len - TAG_AT);
	receive_data(data, 0, len + sizeof(tag));
}

/* --- the table ----------------------------------------------------------------------------- */

/* Names of ports for the table, which is made before they are. */
enum who { NONE, DEVICE, OTHER, STRANGER, READER, FREE_PLACE, BEYOND };

static __u32 place_of(enum who who)
{
	switch (who) {
	case DEVICE:
		return device->in.number;
	case OTHER:
		return other->in.number;
	case STRANGER: /* how far behind our first port one of another network stands */
		return port_at(stranger) - net->live->port_base;
	case READER:
		return reader->in.number;
	case FREE_PLACE:
		return 7;
	case BEYOND:
		return IPN_MAX_PORTS;
	default:
		return 0;
	}
}

static const struct row {
	const char *name;
	__u32 kind;
	enum who arg;
	__u32 len;
	bool other_down;
	bool magic;     /* else the metadata are somebody else's */
	__u32 meta_len; /* 0: whole */
	enum who to;    /* this device alone */
	bool flood;
	int drop;
} rows[] = {
	{ "to a device", IPN_TO_PORT, DEVICE, 100, false, true, 0, DEVICE, false, 0 },
	{ "to another", IPN_TO_PORT, OTHER, 100, false, true, 0, OTHER, false, 0 },
	{ "shortest", IPN_TO_PORT, OTHER, 14, false, true, 0, OTHER, false, 0 },
	{ "longest", IPN_TO_PORT, OTHER, 1514, false, true, 0, OTHER, false, 0 },
	{ "to all", IPN_TO_FLOOD, NONE, 100, false, true, 0, NONE, true, 0 },
	{ "to all, longest", IPN_TO_FLOOD, NONE, 1514, false, true, 0, NONE, true, 0 },
	{ "to all, one is down", IPN_TO_FLOOD, NONE, 100, true, true, 0, NONE, true, 0 },
	{ "to one that is down", IPN_TO_PORT, OTHER, 100, true, true, 0, NONE, false,
	  DROP(PORT_DOWN) },
	{ "gone meanwhile", IPN_TO_PORT, FREE_PLACE, 100, false, true, 0, NONE, false,
	  DROP(NO_PORT) },
	{ "a process meanwhile", IPN_TO_PORT, READER, 100, false, true, 0, NONE, false,
	  DROP(NO_PORT) },
	{ "beyond the network", IPN_TO_PORT, STRANGER, 100, false, true, 0, NONE, false,
	  DROP(NO_PORT) },
	{ "beyond all ports", IPN_TO_PORT, BEYOND, 100, false, true, 0, NONE, false,
	  DROP(NO_PORT) },
	{ "no verdict's magic", IPN_TO_PORT, DEVICE, 100, false, false, 0, NONE, false,
	  DROP(META) },
	{ "cut short", IPN_TO_PORT, DEVICE, 100, false, true, 12, NONE, false, DROP(META) },
	{ "only the magic", IPN_TO_PORT, DEVICE, 100, false, true, 4, NONE, false, DROP(META) },
};

static void row_run(const struct row *row)
{
	const struct ipn_verdict verdict = { .magic = row->magic ? IPN_TX_MAGIC : ~IPN_TX_MAGIC,
					     .kind = row->kind,
					     .arg = place_of(row->arg),
					     .net = net->id };

	print_message("  %s\n", row->name);
	other->in.flags = row->other_down ? DEVICE_FLAGS & ~(__u32)IPN_PF_UP : DEVICE_FLAGS;
	port_store(other);

	receive(&verdict, row->meta_len ? row->meta_len : sizeof(verdict), row->len);
	if (row->drop)
		process->want.drop[row->drop - 1]++;
	if (row->flood || row->to == DEVICE)
		clone_expect(device, message, row->len);
	if ((row->flood && !row->other_down) || row->to == OTHER)
		clone_expect(other, message, row->len);
	quiet_expect();
}

static void verdicts_are_carried_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		row_run(&rows[i]);
}

static void without_metadata_there_is_no_verdict(void **state)
{
	struct __sk_buff skb = { .ifindex = process->in.ifindex };
	static struct ran r;

	(void)state;
	assert_ok(tc_run(fab.b->prog_tc_tap, &skb, message, 100, &r));
	assert_int_equal(r.ret, TC_ACT_SHOT);
	process->want.drop[IPN_DROP_META]++;
	quiet_expect();
	receive(NULL, 0, 100);
	process->want.drop[IPN_DROP_META]++;
	quiet_expect();
	assert_ok(bpf_map_delete_elem(fab.b->fd_port_in, &process->in.ifindex));
	receive(NULL, 0, 100);
	quiet_expect();
}

static void without_metadata_a_tag_is_the_verdict(void **state)
{
	static const __u32 lens[] = { 16, 60, 1514 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		receive_tagged(ETH_P_8021Q, (__u16)place_of(OTHER), lens[i]);
		clone_expect(other, message, lens[i]);
		quiet_expect();
		receive_tagged(ETH_P_8021AD, 0, lens[i]);
		clone_expect(device, message, lens[i]);
		clone_expect(other, message, lens[i]);
		quiet_expect();
	}
	receive_tagged(ETH_P_8021Q, (__u16)place_of(FREE_PLACE), 100);
	process->want.drop[IPN_DROP_NO_PORT]++;
	quiet_expect();
	receive_tagged(ETH_P_8021Q, (__u16)place_of(READER), 100);
	process->want.drop[IPN_DROP_NO_PORT]++;
	quiet_expect();
}

/* --- both halves --------------------------------------------------------------------------- */

#define TAGGED_MIN 16 /* with a tag for a verdict, shorter frames do not go to devices */

static bool taps_take_metadata(void)
{
	unsigned int major = 0, minor = 0;
	struct utsname uts;

	assert_ok(uname(&uts));
	sscanf(uts.release, "%u.%u", &major, &minor);
	return major > 6 || (major == 6 && minor >= 15);
}

/* What a process writes to its tap, through both programs as they stand at it in life. */
static void what_a_process_writes_comes_out_of_the_devices(void **state)
{
	static const __u32 lens[] = { 14, 15, 60, 100, 1000, 1513, 1514 };
	static __u8 frame[2000];

	(void)state;
	assert_ok(bpf_attach_xdp(fab.b, process->in.ifindex));
	for (size_t i = 0; i < ARRAY_SIZE(lens); i++) {
		__u32 len = frame_of(frame, IPN_TX_DATA, message, lens[i]);

		print_message("  %u bytes\n", lens[i]);
		assert_int_equal(write(process->tap, frame, len), len);
		process->want.in_packets++;
		process->want.in_bytes += lens[i];
		log_expect(&net->log, process->in.number, message, lens[i]);
		if (lens[i] < TAGGED_MIN && !taps_take_metadata()) {
			process->want.drop[IPN_DROP_RUNT]++;
		} else {
			clone_expect(device, message, lens[i]);
			clone_expect(other, message, lens[i]);
		}
		quiet_expect();
	}
}

static const struct CMUnitTest tests[] = {
#define TCX_TEST(name) cmocka_unit_test_setup_teardown(name, tcx, world_done)
#define CLSACT_TEST(name) cmocka_unit_test_setup_teardown(name, clsact, world_done)
	TCX_TEST(verdicts_are_carried_out),
	CLSACT_TEST(verdicts_are_carried_out),
	TCX_TEST(without_metadata_there_is_no_verdict),
	TCX_TEST(without_metadata_a_tag_is_the_verdict),
	CLSACT_TEST(without_metadata_a_tag_is_the_verdict),
	TCX_TEST(what_a_process_writes_comes_out_of_the_devices),
	CLSACT_TEST(what_a_process_writes_comes_out_of_the_devices),
};

FABRIC_MAIN(tests)
