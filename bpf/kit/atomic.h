/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory that programs on several CPUs share: values in maps, global variables.
 *
 * Atomics that return the old value are full barriers on every architecture, but only if the result
 * is used: otherwise clang may emit the form without one. IPN_FULL_BARRIER uses it. p is a pointer
 * to __u32 or __u64.
 */
#ifndef IPN_KIT_ATOMIC_H
#define IPN_KIT_ATOMIC_H

/* One load, one store: not torn, not repeated, not left out. */
#define IPN_READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define IPN_WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

/* x, an atomic of the compiler that returns the old value, as a full barrier. */
#define IPN_FULL_BARRIER(x)                       \
	({                                        \
		__u64 ipn__old = (x);             \
		asm volatile("" ::"r"(ipn__old)); \
		ipn__old;                         \
	})

/* Each gives the value that was there before. IPN_CAS stores `new` only where that was `old`. */
#define IPN_XCHG(p, v) __sync_lock_test_and_set(p, v)
#define IPN_CAS(p, old, new) __sync_val_compare_and_swap(p, old, new)
#define IPN_FETCH_ADD(p, v) IPN_FULL_BARRIER(__sync_fetch_and_add(p, v))
#define IPN_FETCH_OR(p, v) IPN_FULL_BARRIER(__sync_fetch_and_or(p, v))
#define IPN_FETCH_AND(p, v) IPN_FULL_BARRIER(__sync_fetch_and_and(p, v))

#endif
