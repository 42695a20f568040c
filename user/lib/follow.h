/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readers go from a network's log to the next one. Why there are others, and that no message is
 * lost or doubled on the way: tests/model/rotate.pml, from which the labels R1 to R5 are.
 */
#ifndef IPN_FOLLOW_H
#define IPN_FOLLOW_H

#include "lib/sock.h"

/* Will there be another log, or is there? */
static inline bool follow_changes(const struct rx *rx)
{
	return rx->log[RX_NET].base &&
	       __atomic_load_n(&rx->page->log, __ATOMIC_ACQUIRE) != rx->log_word;
}

/* R2: is there? Then what stands in this one is all that will. */
static inline bool follow_moved(const struct rx *rx)
{
	uint64_t word;

	if (!rx->log[RX_NET].base)
		return false;
	word = __atomic_load_n(&rx->page->log, __ATOMIC_ACQUIRE);
	return __builtin_expect(word != rx->log_word, 0) && !(word & 1);
}

/*
 * R4 and R5: asks for the next log, or takes what was answered, and never waits: who has nothing
 * else to do looks again. Under rx.lock, when nothing is to be read in this log any more. True: the
 * reader has the next one.
 */
bool follow_log(struct ipn_sock *s);
/* Is an answer to come soon? Wrong only to be late. */
static inline bool follow_asks(const struct rx *rx)
{
	return __atomic_load_n(&rx->ask, __ATOMIC_RELAXED) != 0;
}
/* The program before this one may have gone on to the log without reading in it. */
void follow_adopted(struct rx *rx);
/* Asks no more. */
void follow_stop(struct rx *rx);

/* For the preloaded library: sees the descriptor of the next log, which is closed afterwards. */
extern void (*follow_placed)(struct ipn_sock *s, int fd);

#endif
