/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ways of a message into the fabric, so that one table can be run over all of them: the same
 * message, the same state, and the same outcome where a way does not rule it out.
 *
 *   XDP  a process writes it: private header before it; what is for devices goes up as a verdict
 *   TC   a device: frames for devices are redirected or cloned
 *   TAG  a device, with the frame's VLAN tag held apart by the kernel; the message has it in place
 *   GRAB an interface of the host: everybody gets a clone, and the host the frame
 *   SEGMENTER  out of that, marked with the device it came from: for processes and sock ports
 *   SK   a program at a sock port sends it: a real send() of a real socket, since this hook has no
 *	  BPF_PROG_TEST_RUN; what is for devices, or for all sock ports, is in the punt ring
 *
 *   DEV  an AF_XDP program: as a process at XDP, without a private header
 *
 * And the way out by a sock port: redirected where it came from one, else in the punt ring.
 */
#ifndef IPN_TEST_WAYS_H
#define IPN_TEST_WAYS_H

#include "fabric.h"

enum way { WAY_XDP, WAY_TC, WAY_TAG, WAY_GRAB, WAY_SEGMENTER, WAY_SK, WAY_DEV, WAYS };

#define ETH_LEN 14
#define TAG_LEN 4
#define TC_LEN_MAX 3500 /* more does not fit into what BPF_PROG_TEST_RUN makes for tc */

/* What must come of a message. All zero: nothing, and nobody is to blame. */
struct outcome {
	bool log;               /* in the network's log */
	bool flood;             /* to all devices that are up, but for the sender */
	struct t_port *process; /* in the log of this process */
	struct t_port *device;  /* to this device alone */
	struct t_port *sock;    /* to this sock port alone */
	int drop;               /* DROP(why), counted at the sender; 0: none */
	struct t_port *woken;   /* its bell is rung, once, though nothing came */
};
#define DROP(why) (IPN_DROP_##why + 1)

static inline const char *way_name(enum way way)
{
	static const char *const names[] = { "XDP",       "tc",   "tc with a tag apart", "grabbed",
					     "segmenter", "sock", "XDP of a device" };

	return names[way];
}

/* Is there such a message on this way? */
static inline bool way_has(enum way way, __u32 len)
{
	switch (way) {
	case WAY_XDP:
		return true;
	case WAY_TAG:
		return len >= ETH_LEN + TAG_LEN && len <= TC_LEN_MAX;
	case WAY_SK:
		return len >= IPN_SOCK_FRAME_MIN && len <= IPN_SOCK_FRAME_MAX;
	default:
		return len >= ETH_LEN && len <= TC_LEN_MAX;
	}
}

/* --- a tag held apart ---------------------------------------------------------------------- */

#define INSN(c, d, s, o, i)                                                         \
	{                                                                           \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
	}
#define MOV_IMM(reg, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, reg, 0, 0, i)
#define MOV_REG(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define CALL(f) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_##f)
#define LD_MAP(reg, fd) \
	INSN(BPF_LD | BPF_DW | BPF_IMM, reg, BPF_PSEUDO_MAP_FD, 0, fd), INSN(0, 0, 0, 0, 0)
#define EXIT INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* A program that holds a tag apart, as a driver with VLAN offload does, and goes on with `prog`. */
static inline int tagger_load(int prog, __u16 tpid, __u16 tci)
{
	__u32 zero = 0;
	int array = bpf_map_create(BPF_MAP_TYPE_PROG_ARRAY, "ipn_t_array", 4, 4, 1, NULL);
	const struct bpf_insn insns[] = {
		MOV_REG(6, 1),     MOV_IMM(2, __builtin_bswap16(tpid)),
		MOV_IMM(3, tci),   CALL(skb_vlan_push),
		MOV_REG(1, 6),     LD_MAP(2, array),
		MOV_IMM(3, 0),     CALL(tail_call),
		MOV_IMM(0, 0xbad), EXIT,
	};
	int fd;

	assert_true(array >= 0);
	fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "ipn_t_tagger", "GPL", insns, ARRAY_SIZE(insns),
			   NULL);
	assert_true(fd >= 0);
	assert_ok(bpf_map_update_elem(array, &zero, &prog, BPF_ANY));
	return fd; /* the array stays open: it empties itself when user space lets go of it */
}

/* Takes the tag out of a message. Returns the program to run the rest with. */
static inline int tag_apart(const __u8 *message, __u32 len, __u8 *frame)
{
	__u16 tpid = (__u16)(message[12] << 8 | message[13]);
	__u16 tci = (__u16)(message[14] << 8 | message[15]);
	static __u32 loaded;
	static int fd;

	if (!fd || loaded != ((__u32)tpid << 16 | tci)) {
		if (fd)
			close(fd);
		fd = tagger_load(fab.b->prog_tc, tpid, tci);
		loaded = (__u32)tpid << 16 | tci;
	}
	memcpy(frame, message, 12);
	memcpy(frame + 12, message + 12 + TAG_LEN, len - 12 - TAG_LEN);
	return fd;
}

/* --- sending and looking ------------------------------------------------------------------- */

/* Who sends on a way. */
static inline struct t_port *way_sender(enum way way, struct t_port *process, struct t_port *device,
					struct t_port *sock)
{
	return way == WAY_XDP ? process : way == WAY_SK ? sock : device;
}

/* Sends a message from a port. The frame that the program got is left in `frame`. */
static inline void way_send(enum way way, const struct t_port *from, const void *message, __u32 len,
			    __u8 *frame, __u32 *frame_len, struct ran *r)
{
	struct __sk_buff skb = { .ifindex = from->in.ifindex };
	int prog = fab.b->prog_tc;

	*frame_len = len;
	switch (way) {
	case WAY_XDP:
		*frame_len = frame_of(frame, IPN_TX_DATA, message, len);
		assert_ok(xdp_run(fab.b->prog_xdp, from->in.ifindex, frame, *frame_len, 0, r));
		return;
	case WAY_DEV:
		memcpy(frame, message, len);
		assert_ok(xdp_run(fab.b->prog_xdp_dev, from->in.ifindex, frame, len, 0, r));
		return;
	case WAY_SK: /* nothing comes back */
		sock_send(from, message, len);
		r->ret = r->meta = r->len = 0;
		return;
	case WAY_TAG:
		prog = tag_apart(message, len, frame);
		*frame_len -= TAG_LEN;
		break;
	case WAY_GRAB:
		prog = fab.b->prog_tc_grab;
		memcpy(frame, message, len);
		break;
	case WAY_SEGMENTER:
		prog = fab.b->prog_tc_segmenter;
		skb.ifindex = 1; /* not that of a port: only the mark counts */
		skb.mark = from->in.ifindex;
		/* fall through */
	default:
		memcpy(frame, message, len);
	}
	assert_ok(tc_run(prog, &skb, frame, *frame_len, r));
}

/* The frame came back as it went in. */
static inline void same_expect(const struct ran *r, const void *frame, __u32 len)
{
	assert_int_equal(r->meta, 0);
	assert_int_equal(r->len, len);
	assert_memory_equal(r->data, frame, len);
}

/* A process's message goes up to the tc program of its tap, with this verdict. */
static inline void verdict_expect(const struct ran *r, const struct t_port *from, __u32 kind,
				  __u32 arg, const void *message, __u32 len)
{
	const struct ipn_verdict want = {
		.magic = IPN_TX_MAGIC, .kind = kind, .arg = arg, .net = from->in.net
	};

	assert_int_equal(r->ret, XDP_PASS);
	assert_int_equal(r->meta, sizeof(want));
	assert_memory_equal(r->data, &want, sizeof(want));
	assert_int_equal(r->len, len);
	assert_memory_equal(r->data + sizeof(want), message, len);
}

/* Is this port among those that a flood from `from` goes to? */
static inline bool in_flood(const struct t_port *p, const struct t_port *from)
{
	return p != from && p->net == from->net && port_is_device(p) && p->in.flags & IPN_PF_UP;
}

static inline void clone_expect(struct t_port *p, const void *message, __u32 len)
{
	static __u8 frame[FRAME_MAX];

	assert_int_equal(tap_read(p, frame, sizeof(frame)), len);
	assert_memory_equal(frame, message, len);
	p->want.out_packets++;
	p->want.out_bytes += len;
}

static inline bool drop_is_before_counting(enum way way, int drop)
{
	if (way == WAY_SK && drop == DROP(SOCK_SIZE))
		return true;
	return drop == DROP(MTU) || drop == DROP(BAD_FRAME) || drop == DROP(NOT_WRITER);
}

/* What a device's frame must come to, beyond the logs. */
static inline void tc_expect(enum way way, struct t_port *from, const void *message, __u32 len,
			     const struct outcome *o, const struct ran *r)
{
	bool redirect = o->device && way != WAY_SEGMENTER && way != WAY_GRAB;

	assert_int_equal(r->ret, redirect          ? TC_ACT_REDIRECT
				 : way == WAY_GRAB ? (__u32)TC_ACT_UNSPEC
						   : TC_ACT_SHOT);
	if (o->device && way == WAY_GRAB)
		clone_expect(o->device, message, len);
	if (redirect) {
		o->device->want.out_packets++;
		o->device->want.out_bytes += len;
	}
	for (__u32 i = 0; o->flood && way != WAY_SEGMENTER && i < fab.nports; i++)
		if (in_flood(&fab.ports[i], from))
			clone_expect(&fab.ports[i], message, len);
}

/* A sock port's program has received this. */
static inline void received_expect(struct t_port *p, const void *message, __u32 len)
{
	static __u8 got[FRAME_MAX];

	assert_int_equal(sock_recv(p, got, sizeof(got)), len);
	assert_memory_equal(got, message, len);
}

/* A message for all: what comes of it for sock ports. */
static inline void all_socks_expect(enum way way, struct t_port *from, const void *message,
				    __u32 len)
{
	const struct ipn_net_fast *net = from->net->live;
	__u32 op = IPN_PUNT_SOCKS;

	if (!net->socks)
		return;
	if (way == WAY_SK)
		op = (net->socks > 1 ? IPN_PUNT_SOCKS : 0) |
		     (net->flood_len ? IPN_PUNT_DEVICES : 0);
	if (len < IPN_SOCK_FRAME_MIN || len > IPN_SOCK_FRAME_MAX)
		from->want.drop[IPN_DROP_SOCK_SIZE]++;
	else if (op)
		punt_expect(from, op, 0, 0, message, len);
}

/* A message for one port: what comes of it where sock ports are concerned. */
static inline void one_sock_expect(enum way way, struct t_port *from, const void *message,
				   __u32 len, const struct outcome *o)
{
	const struct ipn_port_in *to = o->sock ? &o->sock->in : &o->device->in;

	if (way != WAY_SK || o->device) {
		punt_expect(from, IPN_PUNT_PORT, to->number, to->gen, message, len);
		return;
	}
	o->sock->want.out_packets++;
	o->sock->want.out_bytes += len;
	received_expect(o->sock, message, len);
}

/* Sends a message from a port and checks everything that must and must not come of it. */
static inline void pass(enum way way, struct t_port *from, const void *message, __u32 len,
			const struct outcome *o)
{
	static __u8 frame[FRAME_MAX];
	static struct ran r;
	__u32 frame_len;

	way_send(way, from, message, len, frame, &frame_len, &r);

	if (way != WAY_SEGMENTER && !drop_is_before_counting(way, o->drop)) {
		from->want.in_packets++;
		from->want.in_bytes += len;
	}
	if (o->drop)
		from->want.drop[o->drop - 1]++;
	if (way == WAY_SEGMENTER && o->device) /* it was for a process when it went in */
		from->want.drop[IPN_DROP_NO_PORT]++;
	if (o->log)
		log_expect(&from->net->log, from->in.number, message, len);
	if (o->process)
		log_expect(&o->process->log, from->in.number, message, len);
	if (o->log || o->flood)
		all_socks_expect(way, from, message, len);
	if (o->sock || (way == WAY_SK && o->device))
		one_sock_expect(way, from, message, len, o);

	bool xdp = way == WAY_XDP || way == WAY_DEV;

	if (xdp && o->device && o->device->in.kind == IPN_KIND_XSK) {
		assert_int_equal(r.ret, XDP_REDIRECT);
		same_expect(&r, message, len); /* without the header before it */
		o->device->want.out_packets++;
		o->device->want.out_bytes += len;
	} else if (xdp && o->device) {
		verdict_expect(&r, from, IPN_TO_PORT, o->device->in.number, message, len);
	} else if (xdp && o->flood && from->net->live->flood_len) {
		verdict_expect(&r, from, IPN_TO_FLOOD, 0, message, len);
	} else if (way != WAY_SK) {
		same_expect(&r, frame, frame_len);
		if (xdp)
			assert_int_equal(r.ret, XDP_DROP);
		else
			tc_expect(way, from, message, len, o, &r);
	}
	if (o->woken)
		assert_int_equal(bell_wakes(o->woken), 1);
	quiet_expect();
}

#endif
