/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The pool of a LOSSLESS network: bpf/core/pool.h with rx_publish() of user/lib/rx.c and
 * tx_room_wait() of user/lib/tx.c.
 *
 * Checked: when a number is taken, no more than `pool` messages are pending, that message included.
 * Each reader that lives takes each message of others, in the order of their numbers, once, and
 * never finds its slot used again. No sender waits for ever: in every end state all senders that
 * live have sent all they had, and all readers that live have read it.
 *
 * Bounds: two senders with PER (2) messages each, two readers, a pool of POOL (1), a log of SLOTS
 * (2 * POOL) slots. One process of all of them is killed at any of its own steps, or none is; the
 * manager finds it and takes its port away, as node_del does. Waking a reader that sleeps is the
 * matter of wake.pml: here it finds what is published by itself.
 *	NO_KILL	nobody is killed; KILL_ONE: only the process of this number may be
 *	OWN	the first reader may also send: OWN messages, and does not wait for room
 *
 * Steps of a sender's program, each with its label in pool.h:
 *	N1	head is read, N2 limit; N3 counts if there is no room; N4 takes the number by CAS
 *	C1	counting: the head, C2 the port of each reader, C3 its cursor; C4 which of the
 *		messages that only one has not passed are its own; C5 limit is stored
 *	L6	seq is published (log.h); then R3 to R7, for a message that is its only reader's own
 *	S1	to S4 as at the head of pool.h
 * Of a reader, and of the manager: R1 to R7 as at the head of pool.h. A reader's R1 and R2 are in
 * rx_publish(). The manager's R1 is dest_set() in node_del(), its R2 the store of the count of
 * readers in node_count().
 *
 * Faults:
 *	FAULT_NO_R2		no barrier between the cursor and the look at `waiting`
 *	FAULT_S2_LATE		a sender counts before it sets `waiting`
 *	FAULT_S1_LATE		a sender counts before it sets its bit
 *	FAULT_STALE		a number is taken though the head has moved since the limit was read
 *	FAULT_R5_BLIND		`waiting` is cleared, and there was no room
 *	FAULT_NO_LEFT		the manager does not say that a reader has left
 *	FAULT_NO_OWN_MOVED	OWN: no R3 after a message was published
 */
#ifndef PER
#define PER 2
#endif
#ifndef POOL
#define POOL 1
#endif
#ifndef OWN
#define OWN 0
#endif
#ifndef READERS
#define READERS 2
#endif
#define SLOTS (2 * POOL)
#define SENDERS 2
/* Ports: 0 and 1 the readers, 2 and 3 the senders; each is also its process's number. */
#define MANAGER 4
#define BUFFERS 5
#define MEM (7 + SLOTS * 2)
#include "tso.pml"

#define HEAD 0
#define LIMIT 1
#define WAITING 2
#define FULL 3
#define CURSOR(r) (4 + (r))
#define DEST 6 /* bit per port: its process stands in `dests` */
#define SEQ(n) (7 + ((n) % SLOTS) * 2)
#define SRC(n) (8 + ((n) % SLOTS) * 2)

bool room_bell[4];
byte senders_done;
byte owner[(SENDERS * PER) + OWN + 1]; /* of each number: who took it */
#ifdef NO_KILL
bool killed = true;
#else
bool killed; /* one process was, or none will be */
#endif
byte dead;   /* bit per port */

#ifdef KILL_ONE
#define MORTAL (!killed && me == KILL_ONE)
#else
#define MORTAL !killed
#endif
#define STEP(x)                                                          \
	if                                                               \
	:: atomic { MORTAL -> killed = true; goto end_killed }          \
	:: x                                                             \
	fi
#define IS(port) (mem[DEST] & (1 << (port)))
/* Has a reader that stands in `dests` still to move past n? */
#define NEEDED(n, r) (IS(r) && mem[CURSOR(r)] <= (n) && owner[n] != (r))

/*
 * C1 to C5: `room` becomes whether there is some. Uses h, c1, c2, a, n, own, x. C4 and C5 are one
 * step with the last C3: what C4 looks at is published, and stays as long as c1 needs it.
 */
inline look(r)
{
	if
	:: IS(r) ->                                             /* C2 */
		n = SEEN(me, CURSOR(r));                        /* C3 */
		if
		:: n > h -> n = h
		:: else
		fi;
		if
		:: n < c1 -> c2 = c1; c1 = n; a = r
		:: n >= c1 && n < c2 -> c2 = n
		:: else
		fi;
		n = 0
	:: else
	fi
}

inline count()
{
	d_step {
		LOAD(me, HEAD, h);                              /* C1 */
		c1 = 255;
		c2 = 255
	}
#if READERS > 1
	d_step { look(0) }
	d_step {
		look(1);
#else
	d_step {
		look(0);
#endif
		if
		:: c1 == 255 -> c1 = h; c2 = h
		:: else ->
			if
			:: c2 > h -> c2 = h
			:: else
			fi;
			if
			:: h > SLOTS && c1 < h - SLOTS -> c1 = h - SLOTS
			:: else
			fi;
			if
			:: c2 < c1 -> c2 = c1
			:: else
			fi
		fi;
		n = c1;
		x = c1; /* becomes the first that a has to read */
		do
		:: n < c2 ->
			if
			:: mem[SEQ(n)] == n + 1 && mem[SRC(n)] == a -> /* C4 */
				own++;
				if
				:: x == n -> x = n + 1
				:: else
				fi
			:: else
			fi;
			n++
		:: else -> break
		od;
		n = h - c1 - own; /* pending */
		n = (n >= POOL -> h : h + POOL - n);
		n = (n > x + SLOTS -> x + SLOTS : n);
		room = (h < n);
		x = n;
		h = 0; c1 = 0; c2 = 0; a = 0; n = 0; own = 0
	}
	d_step {
		STORED(me, LIMIT, x);                        /* C5 */
		x = 0
	}
}

/* R3 to R7. */
inline moved()
{
	atomic {
		LOAD(me, WAITING, n);                           /* R3 */
		if
		:: !n -> none = true
		:: else
		fi;
		n = 0
	}
	if
	:: atomic { none -> none = false }
	:: else ->
		count();                                        /* R4 */
#ifdef FAULT_R5_BLIND
		SET(me, WAITING, 0);
#endif
		if
		:: room ->
			SET(me, WAITING, 0);                    /* R5 */
			XCHG(me, FULL, 0, n);                   /* R6 */
			d_step {                                /* R7 */
				room_bell[2] = room_bell[2] | (n & 4);
				room_bell[3] = room_bell[3] | (n & 8);
				n = 0;
				room = false
			}
		:: else
		fi
	fi
}

/* `taken` becomes 1, and the message is in the log; or 0: refused. */
inline try()
{
	STEP(LOAD(me, HEAD, at));                               /* N1 */
	do
	:: at >= SEEN(me, LIMIT) && !counted ->                 /* N2 */
		atomic { got = at; at = 0 }
		count();                                        /* N3 */
		atomic {
			at = got;
			got = 0;
			if
			:: !room -> break
			:: else
			fi;
			room = false;
			counted = true
		}
	:: at >= SEEN(me, LIMIT) && counted ->
		atomic { counted = false; LOAD(me, HEAD, at) }  /* N1 */
	:: atomic { at < SEEN(me, LIMIT) -> counted = false }
		atomic {
#ifdef FAULT_STALE
			ADD(me, HEAD, 1, at);
			taken = true;
#else
			CAS(me, HEAD, at, at + 1, taken);       /* N4 */
#endif
			if
			:: taken ->
				owner[at] = me;
				check();
				break
			:: else
			fi
		}
		LOAD(me, HEAD, at)                              /* N1 */
	od;
	if
	:: taken ->
		d_step {
			DRAIN(me);
			mem[SRC(at)] = me;
			mem[SEQ(at)] = at + 1;                  /* L6 */
			at = 0
		}
#ifndef FAULT_NO_OWN_MOVED
		moved()
#endif
	:: else -> at = 0
	fi
}

/* The pool holds all that is pending, and no slot is used that a reader still needs. */
inline check()
{
	d_step {
		n = 0;
		h = 0;
		do
		:: n <= at ->
			if
			:: NEEDED(n, 0) || NEEDED(n, 1) ->
				h++;
				assert(n + SLOTS > at)
			:: else
			fi;
			n++
		:: else -> break
		od;
		assert(h <= POOL);
		n = 0;
		h = 0
	}
}

proctype sender(byte me)
{
	byte i, at, got, h, c1, c2, a, n, own, x;
	bool room, taken, counted, none;

	do
	:: i < PER ->
		try();
		if
		:: atomic { taken -> taken = false; i++ }
		:: else ->
			do
			::
				STEP(room_bell[me] = false);    /* rx_room_drain */
#ifndef FAULT_S1_LATE
				OR(me, FULL, 1 << me);          /* S1 */
#endif
#ifndef FAULT_S2_LATE
				SET(me, WAITING, 1);            /* S2 */
#endif
				count();                        /* S3 */
#ifdef FAULT_S2_LATE
				SET(me, WAITING, 1);
#endif
#ifdef FAULT_S1_LATE
				OR(me, FULL, 1 << me);
#endif
				if
				:: room -> break                /* S4 */
				:: else
				fi;
				if
				:: atomic { MORTAL -> killed = true; goto end_killed }
				:: room_bell[me]
				fi
			od;
			atomic {
				AND(me, FULL, 255 - (1 << me));
				room = false
			}
		fi
	:: i == PER -> goto end_done
	od;
end_killed:
	dead = dead | (1 << me);
end_done:
	senders_done++
}

proctype reader(byte me)
{
	byte cursor, at, got, h, c1, c2, a, n, own, x, i;
	bool room, taken, counted, none;

	do
	:: i < OWN ->
		try();
		taken = false;
		i++
	:: atomic { MORTAL -> killed = true; goto end_killed }
	:: mem[SEQ(cursor)] >= cursor + 1 ->
		assert(mem[SEQ(cursor)] == cursor + 1);
		if
		:: atomic { mem[SRC(cursor)] == me -> cursor++ } /* passed over */
		:: else ->
			atomic {
				assert(mem[SRC(cursor)] == owner[cursor]);
				cursor++;
				STORE(me, CURSOR(me), cursor)   /* R1 */
			}
#ifndef FAULT_NO_R2
			STEP(FENCE(me));                        /* R2 */
#endif
			STEP(LOAD(me, WAITING, n));
			if
			:: n -> n = 0; moved()                  /* R3, and IPN_TX_MOVED */
			:: else
			fi
		fi
	:: i == OWN && senders_done == SENDERS && cursor == mem[HEAD] -> goto end_done
	od;
end_killed:
	dead = dead | (1 << me);
end_done:
	skip
}

active proctype manager()
{
	byte me = MANAGER, h, c1, c2, a, n, own, x;
	bool room, none;

end_wait:
	dead;
	AND(me, DEST, 255 - dead);                              /* R1, R2 */
#ifndef FAULT_NO_LEFT
	moved()
#endif
}

active proctype memory()
{
end_memory:
	do
	:: FLUSH(0)
#if READERS > 1
	:: FLUSH(1)
#endif
	:: FLUSH(2)
	:: FLUSH(3)
	:: FLUSH(4)
	:: !killed -> killed = true
	od
}

init {
	atomic {
		mem[DEST] = 15;
		run reader(0);
#if READERS > 1
		run reader(1);
#else
		mem[DEST] = 13;
#endif
		run sender(2);
		run sender(3)
	}
}
