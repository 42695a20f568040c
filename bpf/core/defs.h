/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every BPF file includes: kernel types, helpers, memory order (the last is told in
 * bpf/kit/atomic.h).
 */
#ifndef IPN_BPF_DEFS_H
#define IPN_BPF_DEFS_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>

#include <ipn/abi.h>
#include <ipn/af_ipn.h>

#include "../kit/atomic.h"

#define INLINE static __always_inline
#define NOINLINE static __attribute__((noinline))
/* The verifier looks at it once, whoever calls it, and knows nothing of its arguments there. */
#define GLOBAL __attribute__((noinline, weak))

/*
 * The usual way of a message is to be one piece of code: programs run in cold caches, and what is
 * not run should not be loaded.
 */
#ifndef likely
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#endif

#define READ_ONCE(x) IPN_READ_ONCE(x)
#define WRITE_ONCE(x, v) IPN_WRITE_ONCE(x, v)
#define FULL_BARRIER(x) IPN_FULL_BARRIER(x)
#define XCHG(p, v) IPN_XCHG(p, v)
#define CAS(p, old, new) IPN_CAS(p, old, new)
#define FETCH_ADD(p, v) IPN_FETCH_ADD(p, v)
#define FETCH_OR(p, v) IPN_FETCH_OR(p, v)
#define FETCH_AND(p, v) IPN_FETCH_AND(p, v)

/* Newer than Debian 12's headers; absent kfuncs are found out at load. */
#ifndef BPF_F_INNER_MAP
#define BPF_F_INNER_MAP (1U << 12)
#endif
#define TC_DROP TC_ACT_SHOT
#define TC_PASS TC_ACT_UNSPEC

extern void bpf_local_irq_save(unsigned long *flags) __ksym __weak;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym __weak;
extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

/* What __sk_buff does not show of the kernel's sk_buff. */
struct skb_shared_info {
	unsigned int gso_type;
} __attribute__((preserve_access_index));
struct sk_buff {
	__u8 ip_summed : 2;
	__u8 encapsulation : 1;
	__u16 transport_header;
	unsigned int end;
	unsigned char *head, *data;
} __attribute__((preserve_access_index));
struct sk_buff_head {
	struct sk_buff *next;
	__u32 qlen;
} __attribute__((preserve_access_index));
typedef struct {
	__u32 val;
} kuid_t;
typedef struct {
	int counter;
} atomic_t;
typedef struct {
	atomic_t refs;
} refcount_t;
struct sock_common {
	unsigned long skc_flags;
} __attribute__((preserve_access_index));
struct sock {
	struct sock_common __sk_common;
	struct sk_buff_head sk_receive_queue;
	refcount_t sk_wmem_alloc;
	int sk_sndbuf;
	__u32 sk_max_ack_backlog;
	void *sk_user_data;
	kuid_t sk_uid;
} __attribute__((preserve_access_index));
struct unix_sock {
	struct sock sk;
	struct sock *peer;
} __attribute__((preserve_access_index));
struct sk_psock {
	struct sk_buff_head ingress_skb;
	unsigned long state;
} __attribute__((preserve_access_index));
#define SOCK_DEAD 0           /* bit of sk_flags */
#define SK_PSOCK_TX_ENABLED 0 /* bit of sk_psock's state */
#define CHECKSUM_PARTIAL 3
#define GSO_TCP (1 << 0 | 1 << 4) /* SKB_GSO_TCPV4, SKB_GSO_TCPV6 */

#endif
