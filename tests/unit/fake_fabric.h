/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fabric's half of waiting, with the kernel's own parts: a tap whose XDP program knows the two
 * control frames, a BPF ring buffer for a bell, a sleep bit. The log stays in plain memory, so that
 * the test is the sender and rules every step. Needs root, a network namespace of its own and 6.x.
 */
#ifndef IPN_TEST_FAKE_FABRIC_H
#define IPN_TEST_FAKE_FABRIC_H

#include "fake_log.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

struct fake_fabric {
	struct fake_node node;
	int sleep_map, ring, xdp, notify;
	uint64_t *sleep; /* the node's sleep bit */
	uint64_t rung;   /* how often a sender had to wake */
};

#define INSN(c, d, s, o, i)                                                         \
	{                                                                           \
		.code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) \
	}
#define LD_MAP(reg, kind, fd) INSN(BPF_LD | BPF_DW | BPF_IMM, reg, kind, 0, fd), INSN(0, 0, 0, 0, 0)
#define MOV_IMM(reg, i) INSN(BPF_ALU64 | BPF_MOV | BPF_K, reg, 0, 0, i)
#define MOV_REG(d, s) INSN(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define ADD_IMM(reg, i) INSN(BPF_ALU64 | BPF_ADD | BPF_K, reg, 0, 0, i)

/* bpf_ringbuf_output(ring, r10 - 8, 8, BPF_RB_FORCE_WAKEUP) */
#define RING_OUTPUT(fd)                                                                  \
	LD_MAP(1, BPF_PSEUDO_MAP_FD, fd), MOV_REG(2, 10), ADD_IMM(2, -8), MOV_IMM(3, 8), \
		MOV_IMM(4, BPF_RB_FORCE_WAKEUP),                                         \
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_ringbuf_output)

static inline int fake_xdp_load(int sleep_map, int ring)
{
	const struct bpf_insn insns[] = {
		INSN(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0), /* data */
		INSN(BPF_LDX | BPF_MEM | BPF_W, 3, 1, 4, 0), /* data_end */
		MOV_REG(4, 2),
		ADD_IMM(4, IPN_TX_HDR),
		INSN(BPF_JMP | BPF_JGT | BPF_X, 4, 3, 3, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_B, 5, 2, 4, 0), /* op */
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 5, 0, 3, IPN_TX_SLEEP),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 5, 0, 7, IPN_TX_RING),
		/* out: */
		MOV_IMM(0, XDP_DROP),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
		/* sleep: */
		LD_MAP(1, BPF_PSEUDO_MAP_VALUE, sleep_map),
		MOV_IMM(2, 1),
		INSN(BPF_STX | BPF_ATOMIC | BPF_DW, 1, 2, 0, BPF_XCHG),
		INSN(BPF_JMP | BPF_JA, 0, 0, -7, 0),
		/* ring: */
		INSN(BPF_ST | BPF_MEM | BPF_DW, 10, 0, -8, IPN_EVENT_WAKE),
		RING_OUTPUT(ring),
		INSN(BPF_JMP | BPF_JA, 0, 0, -16, 0),
	};

	return bpf_prog_load(BPF_PROG_TYPE_XDP, "ipn_t_xdp", "GPL", insns, ARRAY_SIZE(insns), NULL);
}

static inline int fake_notify_load(int ring)
{
	const struct bpf_insn insns[] = {
		INSN(BPF_LDX | BPF_MEM | BPF_DW, 2, 1, 0, 0),
		INSN(BPF_STX | BPF_MEM | BPF_DW, 10, 2, -8, 0),
		RING_OUTPUT(ring),
		MOV_IMM(0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .prog_flags = BPF_F_SLEEPABLE);

	return bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "ipn_t_notify", "GPL", insns, ARRAY_SIZE(insns),
			     &opts);
}

/* A network namespace with nothing in it. False: not allowed here, the tests cannot be run. */
static inline bool fake_fabric_possible(void)
{
	return geteuid() == 0 && unshare(CLONE_NEWNET) == 0 && access("/dev/net/tun", W_OK) == 0;
}

static inline int fake_tap(int xdp)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	int tap = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_int_equal(ioctl(tap, TUNSETIFF, &ifr), 0);
	assert_int_equal(bpf_xdp_attach((int)if_nametoindex(ifr.ifr_name), xdp, 0, NULL), 0);
	assert_int_equal(ioctl(s, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags |= IFF_UP;
	assert_int_equal(ioctl(s, SIOCSIFFLAGS, &ifr), 0);
	close(s);
	return tap;
}

static inline void fake_fabric_init(struct fake_fabric *f, uint32_t slots, uint32_t nodelog_slots,
				    uint32_t pool)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	struct rx_bell *bell;

	memset(f, 0, sizeof(*f));
	fake_node_init(&f->node, IPN_LOG_SMALL, slots, nodelog_slots, pool);
	f->sleep_map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "ipn_t_sleep", 4, 8, 1, &opts);
	assert_true(f->sleep_map >= 0);
	f->sleep = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f->sleep_map, 0);
	assert_ptr_not_equal(f->sleep, MAP_FAILED);
	f->ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "ipn_t_bell", 0, 0, 4096, NULL);
	assert_true(f->ring >= 0);
	f->xdp = fake_xdp_load(f->sleep_map, f->ring);
	assert_true(f->xdp >= 0);
	f->notify = fake_notify_load(f->ring);
	assert_true(f->notify >= 0);

	close(f->node.s->tap);
	f->node.s->tap = fake_tap(f->xdp);
	bell = &f->node.s->rx.bell;
	bell->size = 4096;
	bell->map_len = 3 * 4096;
	bell->consumer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, f->ring, 0);
	assert_ptr_not_equal(bell->consumer, MAP_FAILED);
	bell->producer = mmap(NULL, bell->map_len, PROT_READ, MAP_SHARED, f->ring, 4096);
	assert_ptr_not_equal((void *)bell->producer, MAP_FAILED);
	bell->data = (const uint8_t *)bell->producer + 4096;
	bell->fd = dup(f->ring);
}

static inline void fake_fabric_end(struct fake_fabric *f)
{
	fake_node_end(&f->node);
	munmap(f->sleep, 4096);
	close(f->sleep_map);
	close(f->ring);
	close(f->xdp);
	close(f->notify);
}

/* A record in the bell, as BPF and the manager put it there. */
static inline void fake_notify(struct fake_fabric *f, uint32_t type, uint32_t arg)
{
	struct ipn_event event = { type, arg };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &event, .ctx_size_in = sizeof(event));

	if (bpf_prog_test_run_opts(f->notify, &opts))
		abort();
}

/* Steps S1 to S3 of a sender (see user/lib/rx.c). */
static inline void fake_send_log(struct fake_fabric *f, const struct rx_log *log, uint32_t value)
{
	fake_put_u32(log, 1, value);
	if (__atomic_exchange_n(f->sleep, 0, __ATOMIC_SEQ_CST)) {
		f->rung++;
		fake_notify(f, IPN_EVENT_WAKE, 0);
	}
}

static inline void fake_send(struct fake_fabric *f, uint32_t value)
{
	fake_send_log(f, &f->node.s->rx.log[RX_NET], value);
}

#endif
