/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One node in several processes, after fork(). The theory is at the head of share.c. */
#ifndef IPN_SHARE_H
#define IPN_SHARE_H

#include "lib/sock.h"

#define SHARE_NONE UINT32_MAX /* this process has no number at the page yet */

/* Is, or was, this node shared? One word of the page that its calls look at anyway. */
static inline bool share_is(const struct rx *rx)
{
	return __builtin_expect(rx->page && __atomic_load_n(&rx->page->shared, __ATOMIC_RELAXED),
				0);
}

/*
 * The file whose locks say which process is alive. The preloaded library sets its own, which the
 * next program has, too; else fork() makes one.
 */
extern int share_file;

/* The first socket of this process: from now on fork() is told of. */
void share_start(void);

/* A new node, of this process alone: with share_file, its number is locked at once. */
void share_joined(struct ipn_sock *s);

/* The node of a program that was started by another: a process more. Under s->lock. */
void share_adopt(struct ipn_sock *s);

/*
 * The number of this process at the page. -EOPNOTSUPP: there is no file of locks, -EUSERS: all
 * numbers are taken.
 */
int share_number(struct ipn_sock *s);

/* This process receives from a shared node. Under rx.lock. 0 or -errno as above. */
int share_enter(struct ipn_sock *s);

/* Stores how far this process is. Under rx.lock. */
void share_publish(struct ipn_sock *s);

/*
 * Takes processes that have died off the list of readers. True: one that lives, or died just now,
 * is behind this one. Under rx.lock.
 */
bool share_tend(struct ipn_sock *s);

/* The program before this one had the node of this key, and this one has not. */
void share_drop(uint64_t key);

/* This process has no more descriptor of it. True: its cursor may have held senders up. */
bool share_leave(struct ipn_sock *s);

/* What to poll(2) in place of a bell that others consume; -1: there is none. */
int share_watch(struct rx_bell *bell);
/* The watch is quiet until the bell rings again. */
void share_hush(struct rx_bell *bell);
/* It will be ready in 10 ms, whether the bell rings or not. */
void share_alarm(struct rx_bell *bell);
/* What this process has seen is consumed, but for the newest record. */
void share_consumed(struct rx_bell *bell);

/*
 * Control exchanges of several processes on one connection, one after the other. Under s->lock. 0,
 * or -ETIMEDOUT: the one under way does not end.
 */
int share_control_begin(struct ipn_sock *s);
void share_control_end(struct ipn_sock *s);

#endif
