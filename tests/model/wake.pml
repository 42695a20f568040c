/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No wakeup is lost: bpf/core/wake.h with rx_wait() of user/lib/rx.c.
 *
 * Checked: in every end state, each reader that lives has read every message that was published for
 * it. A reader whose wakeup was lost stands at its poll() for ever, which is no valid end.
 *
 * Bounds: two senders with two messages each (PER), all flooded; two readers at two ports of one
 * word of sleep bits. One process of all of them is killed at any of its own steps, or none is. A
 * program in the kernel runs to its end, as the kernel has it. A message is one word, seq: its data
 * are the matter of log.pml.
 *	LOOKS	IPN_WAKE_LOOKS
 *	THREADS	instead of the two readers one with two threads; the second leaves for good after
 *		one message, or when its deadline is over
 *	HANDOVER the port of the first reader, when it was killed, goes to another process
 *
 * Steps of a sender's program, each with its label in wake.h:
 *	S1	seq is published (XCHG in log_write_class: S1 and S2 of rx.c)
 *	K1	sleep_any is read, K2 the word
 *	K3	sleep of the page is taken; in vain: K4 the bit is cleared, K5 the page is found
 *		anew, K6 armed is cleared, K7 sleep is looked at again
 *	K8	the bell
 *	K9	the word is empty: its bit in sleep_any is cleared, K10 the word is looked at again,
 *		K11 the bit in sleep_any is set, then K3 for the bits of the word
 * Of the program that arms: A1 armed, A2 the bit in the word, A3 that in sleep_any. Of a reader: W1
 * to W6 as at the head of rx.c.
 *
 * Faults:
 *	FAULT_LOOK_FIRST	no look after `sleep` is set (W4)
 *	FAULT_SENDER_BARRIER	no barrier between publication and look (S2)
 *	FAULT_READER_BARRIER	no barrier between `sleep` and the look (W3)
 *	FAULT_NO_SECOND_LOOK	the bit is cleared, and sleep not looked at again (K7)
 *	FAULT_ARM_ORDER		the bit is set before `armed` (A2 before A1)
 *	FAULT_ANY		sleep_any is cleared, and the word not looked at again (K10)
 *	FAULT_OLD_PAGE		HANDOVER: the page is not found anew (K5)
 *	FAULT_NO_GIVE_BACK	THREADS: no W6
 */
#ifndef PER
#define PER 2
#endif
#ifndef LOOKS
#define LOOKS 1
#endif
#ifndef READERS
#define READERS 2
#endif
#define SENDERS 2
#define PAGES 3
#define MEM 22
#define BUFFERS 5
#include "tso.pml"

#define SLEEP(pg) (0 + (pg))
#define ARMED(pg) (3 + (pg))
#define AWAKE(pg) (6 + (pg))
#define WORD 9
#define ANY 10
#define HEAD 11
#define DEST(port) (12 + (port)) /* page + 1; 0: nobody */
#define SEQ(n) (14 + (n))

byte bell[PAGES]; /* 1: there are records */
byte cursor[PAGES];
byte waiters;     /* THREADS */
byte senders_done;
bool killed;      /* one process was, or none will be */
bool dead[2];     /* this reader was */

#define ALL_READ(pg) (senders_done == SENDERS && cursor[pg] == mem[HEAD])
#ifdef THREADS
#define MORTAL false
#define LEAVES (me == 3)
#else
#define MORTAL !killed
#define LEAVES false
#endif
#ifdef HANDOVER
#define NEXT }; atomic {
#else
#define NEXT ; /* nobody changes DEST */
#endif
/* One of a process's own steps, or its end. */
#define STEP(x)                                                          \
	if                                                               \
	:: atomic { MORTAL -> killed = true; goto end_killed }           \
	:: x                                                             \
	fi

inline wake_port(port)
{
	atomic {
		LOAD(me, DEST(port), page) NEXT
		if
		:: page -> XCHG(me, SLEEP(page - 1), 0, old)    /* K3 */
		:: else
		fi;
		if
		:: page && old ->
#if LOOKS > 1
			if
			:: SEEN(me, AWAKE(page - 1)) -> STORE(me, AWAKE(page - 1), 0)
			:: else
			fi;
#endif
			old = 0
#if LOOKS > 1
		:: page && !old && SEEN(me, AWAKE(page - 1)) < LOOKS - 1 ->
			STORE(me, AWAKE(page - 1), SEEN(me, AWAKE(page - 1)) + 1);
			page = 0
#endif
		:: else -> old = 1
		fi
	}
	if
	:: old ->
		AND(me, WORD, 255 - (1 << (port)));             /* K4 */
		atomic {
#ifndef FAULT_OLD_PAGE
			LOAD(me, DEST(port), page) NEXT         /* K5 */
#endif
			if
			:: page -> SET(me, ARMED(page - 1), 0)  /* K6 */
			:: else
			fi
		}
#if LOOKS > 1
		if
		:: page -> STORE(me, AWAKE(page - 1), 0)
		:: else
		fi;
#endif
		atomic {
			old = 0;
#ifndef FAULT_NO_SECOND_LOOK
			if
			:: page -> XCHG(me, SLEEP(page - 1), 0, old) /* K7 */
			:: else
			fi;
#endif
			page = (old -> page : 0);
			old = 0
		}
	:: else
	fi;
	if
	:: atomic { page -> bell[page - 1] = 1; page = 0 }      /* K8 */
	:: else
	fi
}

inline serve(bits)
{
	do
	:: bits & 1 -> bits = bits & 2; wake_port(0)
	:: !(bits & 1) && bits & 2 -> bits = 0; wake_port(1)
	:: bits == 0 -> break
	od
}

active [SENDERS] proctype sender()
{
	byte me = _pid, i, n, bits, page, old;

	do
	:: i < PER ->
		STEP(ADD(me, HEAD, 1, n));
		atomic {
#ifdef FAULT_SENDER_BARRIER
			STORE(me, SEQ(n), 1);
#else
			SET(me, SEQ(n), 1);             /* S1, S2 */
#endif
			n = 0
		}
		LOAD(me, ANY, bits);                    /* K1 */
		if
		:: bits ->
			LOAD(me, WORD, bits);           /* K2 */
			serve(bits);
			LOAD(me, WORD, bits);
			if
			:: bits == 0 ->
				AND(me, ANY, 0);        /* K9 */
#ifndef FAULT_ANY
				LOAD(me, WORD, bits);   /* K10 */
				if
				:: bits ->
					OR(me, ANY, 1); /* K11 */
					serve(bits)
				:: else
				fi
#endif
			:: else
			fi
		:: else
		fi;
		atomic {
			bits = 0;
			i++
		}
	:: i == PER -> break
	od;
end_killed:
	senders_done++
}

/* The control frame IPN_TX_SLEEP. */
inline arm(port)
{
#ifdef FAULT_ARM_ORDER
	OR(me, WORD, 1 << (port));                      /* A2 */
	OR(me, ANY, 1);                                 /* A3 */
#endif
	atomic {
		LOAD(me, DEST(port), x) NEXT
		if
		:: x -> SET(me, ARMED(x - 1), 1)        /* A1 */
		:: else
		fi;
		x = 0
	}
#ifndef FAULT_ARM_ORDER
	OR(me, WORD, 1 << (port));                      /* A2 */
	OR(me, ANY, 1)                                  /* A3 */
#endif
}

/* Under rx.lock, hence one step: takes what is there. */
#define TAKE(pg, found)                                                  \
	d_step {                                                         \
		found = SEEN(me, SEQ(cursor[pg]));                       \
		if                                                       \
		:: found -> cursor[pg]++                                 \
		:: else                                                  \
		fi                                                       \
	}

/* `me`: buffer of this thread; pg: page of its process; port: where that is. */
proctype reader(byte me, pg, port)
{
	byte x;
	bool found, over; /* over: this thread's deadline */

again:
	STEP(TAKE(pg, found));
	if
	:: atomic { found -> found = false; goto again }
	:: else
	fi;
	atomic { waiters++; bell[pg] = 0 }              /* W1, W2 */
	do
	::
#ifdef FAULT_READER_BARRIER
		STEP(STORE(me, SLEEP(pg), 1));
#else
		STEP(SET(me, SLEEP(pg), 1));            /* W3 */
#endif
		STEP(LOAD(me, ARMED(pg), x));
		if
		:: atomic { x -> x = 0 }
		:: else -> arm(port)
		fi;
#ifndef FAULT_LOOK_FIRST
		STEP(TAKE(pg, found));                  /* W4 */
		if
		:: found -> break
		:: else
		fi;
#endif
		if
		:: atomic { MORTAL -> killed = true; goto end_killed }
		:: atomic { bell[pg] -> bell[pg] = 0 }  /* W5, W2 */
		:: atomic { LEAVES -> over = true; bell[pg] = 0 }
		:: ALL_READ(pg) -> goto end_read
		fi;
		STEP(TAKE(pg, found));
		if
		:: found || over -> break
		:: else
		fi
	od;
	atomic {
		found = false;
		waiters--                               /* W6 */
#if defined(THREADS) && !defined(FAULT_NO_GIVE_BACK)
		;
		if
		:: waiters -> x = 1
		:: else
		fi
#endif
	}
	if
	:: atomic { x -> x = 0; bell[pg] = 1 }
	:: else
	fi;
	if
	:: LEAVES
	:: else -> goto again
	fi;
	goto end_read;
end_killed:
	dead[pg] = true;
end_read:
	skip
}

#ifdef HANDOVER
/* The end of node_del; then node_connect, which gives the port to a process with another page. */
active proctype manager()
{
end_wait:
	dead[0];
	mem[DEST(0)] = 0;
	cursor[2] = mem[HEAD];
	mem[DEST(0)] = 2 + 1;
	run reader(4, 2, 0)
}
#endif

active proctype memory()
{
end_memory:
	do
	:: FLUSH(0)
	:: FLUSH(1)
	:: FLUSH(2)
	:: FLUSH(3)
	:: FLUSH(4)
	:: !killed -> killed = true
	od
}

init {
	atomic {
		mem[DEST(0)] = 0 + 1;
#ifdef THREADS
		run reader(2, 0, 0);
		run reader(3, 0, 0)
#else
		run reader(2, 0, 0);
#if READERS > 1
		mem[DEST(1)] = 1 + 1;
		run reader(3, 1, 1)
#endif
#endif
	}
}
