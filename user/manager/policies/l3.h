/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tables of the layer 3 policy: addresses, routes and neighbours of a network, by its number.
 *
 * What the user said stands in the maps alone: addresses in `l3_ports`, routes in the tries,
 * neighbours in `l3_static`. From an address follow routes (to itself, to its subnet, to the two
 * broadcast addresses of that), which are written after it and removed before it; l3_adopt writes
 * them again, so a manager may die between any two steps.
 */
#ifndef IPN_MANAGER_L3_H
#define IPN_MANAGER_L3_H

#include <ipn/l3.h>
#include <stddef.h>

struct bpf_state;
struct errtext;

/* Makes the tables of network `id`. -errno; nothing is left then. */
int l3_new(struct bpf_state *b, __u32 id, __u32 routes);
/* Removes all that is known of the network. */
void l3_free(struct bpf_state *b, __u32 id);
/* Finishes what a manager that died may have left half done. */
int l3_adopt(struct bpf_state *b, __u32 id);
/* Memory of the tables when they are full, for quotas. */
size_t l3_bytes(__u32 routes);

/*
 * An option of include/ipn/l3.h: data, len bytes. Returns 0 or -errno, with a line in *e of
 * what was wrong. numnodes: of the network.
 */
int l3_set(struct bpf_state *b, __u32 id, __u32 numnodes, __u32 name, const void *data, __u32 len,
	   struct errtext *e);
/* *len: room in `data`, then what is there. */
int l3_get(struct bpf_state *b, __u32 id, __u32 name, void *data, __u32 *len, struct errtext *e);

#endif
