/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * No reader takes a torn message, and none stands still before one that will not come: the log of
 * bpf/core/log.h, LOSSY, with log_next() and slot_whole() of user/lib/rx.c.
 *
 * Checked: whatever a reader takes as whole is the message of the number that it stands at. When
 * all writers are done, each reader gets to the head: nothing published is left behind a number
 * that was given up. Numbers are taken in order, each once.
 *
 * Bounds: WRITERS (2) with PER (2) messages each (of three the first has one), READERS (2), who
 * write nothing and so do not know of each other, a log of SLOTS (2) slots, a pool of POOL (1). A
 * message is two words, which a writer stores and a reader loads one after the other. A writer is
 * killed between two messages; a program in the kernel runs to its end. A reader that is killed
 * leaves nothing behind here: the log does not know its readers.
 *	BAD	one message cannot be copied to the end (log_copy fails after its first word)
 *
 * Steps of a writer's program, each with its label in log.h:
 *	L1	the number (FETCH_ADD)
 *	L2	seq of the slot is read: lapped, or L3 claimed by CAS; else L4 skip (XCHG)
 *	L5	the data, plain stores
 *	L6	seq is published (XCHG)
 *	L7	a message that cannot be copied: skip, then L8 seq becomes what no message has
 * Of a reader, in rx.c:
 *	G1	the head: what is more than the pool behind is lost (log_trim)
 *	G2	seq; G3 skip (slot_look)
 *	G4	the data
 *	G5	seq again (slot_whole)
 *
 * Faults:
 *	FAULT_NO_SKIP		a number that is given up is not marked (L4)
 *	FAULT_NO_CLAIM		no BUSY: the data are stored without a claim (L3)
 *	FAULT_CLAIM_BARRIER	the claim is a plain store
 *	FAULT_NO_SECOND_SEQ	a reader does not look at seq again (G5)
 *	FAULT_SKIP_BACK		three writers: skip is stored, whatever newer number it has (L4)
 *	FAULT_OLD_SEQ		BAD: seq becomes what it was before the claim (L8)
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef READERS
#define READERS 2
#endif
#ifndef PER
#define PER 2
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef POOL
#define POOL 1
#endif
#if WRITERS > 2
#define WORK (me == 0 -> 1 : PER)
#else
#define WORK PER
#endif
#define MEM (1 + SLOTS * 4)
#define BUFFERS WRITERS
#include "tso.pml"

#define HEAD 0
#define AT(n) (1 + ((n) % SLOTS) * 4)
#define SEQ(n) (AT(n))
#define SKIP(n) (AT(n) + 1)
#define D0(n) (AT(n) + 2)
#define D1(n) (AT(n) + 3)
#define BUSY 128

byte done;      /* writers */
byte news;      /* grows with whatever wakes a reader; wake.pml has that */
bool bad;       /* BAD: it was */
bool killed;

inline skip_set(n)
{
#ifdef FAULT_SKIP_BACK
	SET(me, SKIP(n), n + 1)                         /* L4 */
#else
	do
	:: atomic {
		old = SEEN(me, SKIP(n));
		if
		:: old > n -> break
		:: else
		fi
	   }
	   CAS(me, SKIP(n), old, n + 1, ok);            /* L4 */
	   if
	   :: ok -> break
	   :: else
	   fi
	od
#endif
}

active [WRITERS] proctype writer()
{
	byte me = _pid, i, n, old, seq;
	bool ok;

	do
	:: i == WORK -> break
	:: atomic { i < WORK && !killed -> killed = true; break }
	:: i < WORK ->
		ADD(me, HEAD, 1, n);                            /* L1 */
		LOAD(me, SEQ(n), old);                          /* L2 */
		if
		:: (old & (BUSY - 1)) > n                       /* lapped */
		:: else ->
#ifdef FAULT_NO_CLAIM
			ok = !(old & BUSY);
#else
#ifdef FAULT_CLAIM_BARRIER
			atomic {
				ok = !(old & BUSY);
				if
				:: ok -> STORE(me, SEQ(n), (n + 1) | BUSY)
				:: else
				fi
			}
#else
			atomic {
				ok = false;
				if
				:: !(old & BUSY) ->
					CAS(me, SEQ(n), old, (n + 1) | BUSY, ok) /* L3 */
				:: else
				fi
			}
#endif
#endif
			if
			:: ok ->
				STORE(me, D0(n), n + 1);        /* L5 */
#ifdef BAD
				if
				:: atomic { !bad -> bad = true } /* log_copy fails */
					seq = old;
					skip_set(n);            /* L7 */
					old = seq;
#ifdef FAULT_OLD_SEQ
					SET(me, SEQ(n), old);   /* L8 */
#else
					SET(me, SEQ(n), n);     /* L8 */
#endif
					ok = false
				:: true
				fi;
#endif
				if
				:: ok ->
					STORE(me, D1(n), n + 1); /* L5 */
					SET(me, SEQ(n), n + 1)  /* L6 */
				:: else
				fi
			:: else ->
#ifndef FAULT_NO_SKIP
				skip_set(n)                     /* L4 */
#endif
			fi
		fi;
		atomic {
			n = 0;
			old = 0;
			seq = 0;
			ok = false;
			news++;
			i++
		}
	od;
	done++
}

active [READERS] proctype reader()
{
	byte cursor, seen, seq, x, y;

look:
	atomic {
		seen = news + 64 * (done == WRITERS);
		if                                              /* G1 */
		:: mem[HEAD] > cursor + POOL -> cursor = mem[HEAD] - POOL
		:: else
		fi
	}
	seq = mem[SEQ(cursor)];                                 /* G2 */
	if
	:: seq == cursor + 1 ->
		x = mem[D0(cursor)];                            /* G4 */
		y = mem[D1(cursor)];
#ifndef FAULT_NO_SECOND_SEQ
		seq = mem[SEQ(cursor)];                         /* G5 */
#endif
		atomic {
			if
			:: seq == cursor + 1 -> assert(x == cursor + 1 && y == cursor + 1)
			:: else /* lost */
			fi;
			cursor++
		}
	:: (seq & (BUSY - 1)) > cursor + 1 -> cursor++
	:: else ->
		if
		:: mem[SKIP(cursor)] == cursor + 1 -> cursor++  /* G3 */
		:: else ->
			atomic { x = 0; y = 0; seq = 0 }
			if
			:: atomic { seen != news + 64 * (done == WRITERS) -> seen = 0 }
			:: atomic { done == WRITERS && seen == news + 64 ->
				assert(cursor == mem[HEAD]);
				goto end_read }
			fi
		fi
	fi;
	atomic { x = 0; y = 0; seq = 0 }
	goto look;
end_read:
	skip
}

active proctype memory()
{
end_memory:
	do
	:: FLUSH(0)
	:: FLUSH(1)
#if WRITERS > 2
	:: FLUSH(2)
#endif
	od
}
