/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * In the place of libbpf's header when the programs are compiled for the simulation: helpers are
 * functions of tests/sim/kernel.c, and a map is a variable whose first word leads to the memory
 * that stands for it.
 */
#ifndef SIM_BPF_HELPERS_H
#define SIM_BPF_HELPERS_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stddef.h>

#define SEC(name)
#define __ksym
#define __weak __attribute__((weak))
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name
#define __array(name, val) typeof(val) *name[]
#define barrier() __asm__ volatile("" ::: "memory")
#define barrier_var(var) __asm__ volatile("" : "+r"(var))

typedef long (*sim_loop_fn)(__u32 i, void *arg);

void *bpf_map_lookup_elem(void *map, const void *key);
long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags);
long bpf_map_delete_elem(void *map, const void *key);
long bpf_ringbuf_output(void *ring, void *data, __u64 size, __u64 flags);
long bpf_xdp_load_bytes(struct xdp_md *ctx, __u32 off, void *to, __u32 len);
__u64 bpf_xdp_get_buff_len(struct xdp_md *ctx);
__u32 bpf_get_smp_processor_id(void);
__u64 bpf_ktime_get_coarse_ns(void);
__u64 bpf_ktime_get_ns(void);
__u64 bpf_jiffies64(void);
long sim_loop(__u32 n, sim_loop_fn fn, void *arg);
int sim_tail_call(void *ctx, void *map, __u32 number, int *result);

#define bpf_loop(n, fn, arg, flags) sim_loop(n, (sim_loop_fn)(fn), arg)
/* A program that was jumped to does not come back. */
#define bpf_tail_call(ctx, map, number)                           \
	do {                                                      \
		int sim_result;                                   \
                                                                  \
		if (sim_tail_call(ctx, map, number, &sim_result)) \
			return sim_result;                        \
	} while (0)
#define bpf_tail_call_static(ctx, map, number) bpf_tail_call(ctx, map, number)

/* What only programs of devices and of sockets use; the simulation has none: they end it. */
long sim_absent(const char *what);
#define bpf_xdp_adjust_head(ctx, n) sim_absent("bpf_xdp_adjust_head")
#define bpf_xdp_adjust_meta(ctx, n) sim_absent("bpf_xdp_adjust_meta")
#define bpf_xdp_store_bytes(ctx, off, from, len) sim_absent("bpf_xdp_store_bytes")
#define bpf_skb_load_bytes(ctx, off, to, len) sim_absent("bpf_skb_load_bytes")
#define bpf_skb_store_bytes(ctx, off, from, len, flags) sim_absent("bpf_skb_store_bytes")
#define bpf_skb_change_tail(ctx, len, flags) sim_absent("bpf_skb_change_tail")
#define bpf_skb_vlan_pop(ctx) sim_absent("bpf_skb_vlan_pop")
#define bpf_check_mtu(ctx, ifindex, mtu, diff, flags) sim_absent("bpf_check_mtu")
#define bpf_redirect(ifindex, flags) sim_absent("bpf_redirect")
#define bpf_redirect_peer(ifindex, flags) sim_absent("bpf_redirect_peer")
#define bpf_clone_redirect(ctx, ifindex, flags) sim_absent("bpf_clone_redirect")
#define bpf_sk_redirect_map(ctx, map, key, flags) sim_absent("bpf_sk_redirect_map")
#define bpf_sk_release(sk) sim_absent("bpf_sk_release")
#define bpf_skc_to_unix_sock(sk) ((struct unix_sock *)sim_absent("bpf_skc_to_unix_sock"))
#define bpf_ringbuf_query(ring, flags) sim_absent("bpf_ringbuf_query")
#define bpf_ringbuf_reserve(ring, size, flags) ((void *)sim_absent("bpf_ringbuf_reserve"))
#define bpf_ringbuf_submit(record, flags) sim_absent("bpf_ringbuf_submit")
#define bpf_ringbuf_discard(record, flags) sim_absent("bpf_ringbuf_discard")
#define bpf_probe_read_kernel(to, len, from) sim_absent("bpf_probe_read_kernel")

#endif
