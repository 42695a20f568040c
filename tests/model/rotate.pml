/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log rotation: a network gets a new log while programs write into it, so that descriptors of the
 * old one, kept by a process that lost its right to read, show nothing new. No message is lost or
 * doubled for the other readers, and the pool of a LOSSLESS network is kept.
 *
 * This text is the design; the model below checks it. In what follows L0 is the log that the
 * network has, L1 the new one, `id` the network.
 *
 * What there is for it
 *	struct ipn_log_head	`serial`: 0 for the first log of a network, and one more for each;
 *		`start`: number with which this log began to be numbered; `closed`: no number may be
 *		taken from it yet (LOSSLESS)
 *	struct ipn_page		`log`, written by the manager: twice the serial of the network's
 *		log, when all before it are complete and stay as they are; less 1 while numbers are
 *		taken from that log and the one before (LOSSY)
 *	logs_*[IPN_LOG_OF_OLD(id)], behind all other entries: the log of before the last rotation
 *	info[id].rotating	0, or the serial of the log that is to be made
 *	IPN_CTL_LOG	request over any connection, with the tap of a reader; it tells `serial` of
 *		the log that the client has. The reply: the descriptor of the log after that, if
 *		this is the one in IPN_LOG_OF_OLD and the network is LOSSY, else of the network's
 *		log. EACCES: the right is gone
 * Own logs of nodes need none of this. A node that lost its right is no reader any more, so after
 * the next grace period nobody writes into its log; should it get its right again, it gets a new
 * one, as on joining.
 *
 * Numbers. A cursor is good for the old and the new log, as numbers go on. On a LOSSY network a
 * writer cannot wait, so both logs are written at the same time until the last program that found
 * L0 has ended. The numbers of L1 therefore begin beyond all that L0 may still give: its start is
 *	((head of L0 >> 32) + 2) << 32.
 * All numbers of L0 come before those of L1. Whoever saw a message in L1, or sent one into it,
 * finds L1 from then on, so no sender's order is turned around. On a LOSSLESS network senders can
 * be refused, and are until L0 is complete: L1 is closed and goes on with the very number at which
 * L0 ended, and with a copy of its slots. So cursors, and what is counted from them, mean in L1
 * what they meant in L0; a reader may go from one to the other at any message.
 *
 * The manager (core/rotate.c, control/revoke.c). Between M3 and M10 it does nothing else.
 *	M1	info[id].rotating = serial of L0 + 1: also if it dies now, there will be another log
 *	M2	who lost its right is no reader any more: `port_in`, `port_out`, count of readers,
 *		and, on LOSSLESS networks, bpf_pool_wake()
 *	M3	L1 is made. LOSSY: head = start as above, frozen. LOSSLESS: closed = 1, waiting = 1
 *	M4	LOSSY: `log` of all pages: L1 comes. logs[IPN_LOG_OF_OLD(id)] = L0
 *	M5	logs[id] = L1. When the update returns, and after punt_wait(), no program uses L0
 *		any more: nothing new gets into it, each number taken from it is published or
 *		skipped
 *	M6	LOSSLESS, if L1 is closed: with L1 mapped writable, all slots of L0 are copied to
 *		the same places; head and start of L1 are the head of L0, its limit is 0
 *	M7	`log` of all pages: L1 is the network's. From now on readers of L0 know
 *	M8	LOSSLESS: closed = 0 (SEQ_CST), L1 is unmapped and frozen; then bpf_pool_wake(),
 *		which counts, since `waiting` is set in L1 from the beginning, and if there is room
 *		rings all who wait. Not before this anybody gets the descriptor
 *	M9	a WAKE record into the bell of every process that is a reader
 *	M10	info[id].rotating = 0. The manager's own descriptor and mapping of the log are L1's
 * A next manager that finds rotating != 0 goes on before it serves anybody: at M3, or, if logs[id]
 * has that serial, by putting it there once more, which waits for programs as M5 does, and then at
 * M6. Each step may be done twice. The log in IPN_LOG_OF_OLD stays until the next rotation, or for
 * ROTATE_KEEP_US (LOSSY), or until M10 (LOSSLESS).
 *
 * A writer
 *	W1	looks the log up, once per message; LOSSLESS: pool_number() looks it up again, and
 *		so does pool_room(). One of them may find L0 and a later one L1, never the other way
 *		round. All is well, since L1 is closed until programs that found L0 have ended:
 *		counting (pool_count) a log that is closed stores nothing and finds no room, so a
 *		sender is refused and waits for its room bell, and what comes from a device is
 *		dropped like at any full pool. pool_number() does not take a number from a closed
 *		log either: its limit is 0
 *	W2	takes the number; W3 publishes; W4 wakes readers: all as in log.h, pool.h and wake.h
 * A sender that reads, too (LOSSY, own_room in rx.h), may not displace what is pending for it, and
 * between M5 and R5 it sees no head of L1. So from the moment that its page says that L1 comes it
 * counts its own messages; after own_room of them it waits until it has L1 (stash_blind in rx.c),
 * which takes a grace period; after BLIND_TRIES it goes on, for a manager may have died. When L1 is
 * there it stashes what is pending in L0 and goes to R4 before it sends. The model has no such
 * sender.
 *
 * A reader, with L0 mapped (rx.c, follow.c). All under rx.lock.
 *	R1	takes what stands in L0 at its cursor, as ever
 *	R2	nothing there: looks at `log` in its page. Its own log's: nothing
 *	R3	else looks again at its cursor: R1, while there is something (what is pending in L0
 *		is complete now)
 *	R4	asks IPN_CTL_LOG, over a connection of its own, and never waits for the answer: R2
 *		to R4 are tried again at each later look, each ms while it sleeps. Messages that are
 *		shown (rx_peek) stay where they are: not before rx_done
 *	R5	maps the log in the place of L0, LOSSY: cursor = start of what it got (if its serial
 *		is not the next one, it has missed a whole log, and counts one overrun)
 * On a LOSSLESS network `waiting` that it sees is that of L0; so from M7 to R5 it sends
 * IPN_TX_MOVED after each message, and that looks into the network's log. On a LOSSY network W4 may
 * wake it for a message in L1 before M7: it finds nothing and sleeps again; M9, after M7, wakes it
 * once more. A pool is of one log: of either a reader gets up to the pool.
 *
 * Checked: what a reader that keeps its right takes is each message that was sent, once, each
 * sender's in order, and (LOSSLESS) all in order of numbers. Nothing is published in L0 when M5 is
 * over. A number and its slot are in one log. When a number is taken no more than `pool` messages
 * are pending. In every end state all senders have sent, the reader has read, and it stands in L1.
 *
 * Bounds: one rotation; two senders with PER (2; LOSSLESS: 1) messages each; a reader that keeps
 * its right and one that loses it; the manager is killed at any step, M5's waiting included, or
 * not. Pool 1 (POOL). Slots are not used again: pool.pml has that. All stores of this protocol are
 * locked operations or system calls but for a reader's cursor, which a fence follows (pool.pml): so
 * there are no store buffers here. Counting the pool is one step (pool.pml has it in pieces).
 *	LOSSLESS	the network is
 *
 * Faults:
 *	FAULT_NO_WAIT		M5 does not wait for programs
 *	FAULT_MARK_EARLY	M7 before M5
 *	FAULT_NO_RING		no M9
 *	FAULT_NO_LOOK_AGAIN	no R3
 *	FAULT_NO_GAP		LOSSY: L1 begins at the head of L0
 *	FAULT_OPEN		LOSSLESS: L1 is not closed
 *	FAULT_NO_COPY		LOSSLESS: M6 copies no slots, and readers go at once
 *	FAULT_NO_WAITING	LOSSLESS: readers look at `waiting` of their own log only
 *	FAULT_NO_RING_ALL	LOSSLESS: M8 rings nobody
 *	FAULT_NO_REPAIR		the next manager does not look at `rotating`
 */
#ifndef PER
#define PER 2
#endif
#ifndef POOL
#define POOL 1
#endif
#define SENDERS 2
#define N (SENDERS * PER)
/* ports: 0 keeps its right, 1 loses it */

byte net_log;             /* logs[id]: 0 or 1 */
byte old_log = 9;         /* logs[IPN_LOG_OF_OLD(id)]; 9: none */
byte rotating;
bool reader_is[2] = true; /* dests */
byte head[2], start[2], limit[2], waiting[2];
bool told;                /* `log` in the page of reader 0: L1 is the network's */
bool closed[2];
byte slot[2 * (N + 1)]; /* message + 1; of log l at number n: slot[l * (N + 1) + INDEX(l, n)] */
byte cursor[2];           /* in the pages */
byte wants;
bool room_bell[SENDERS];
bool bell[2];
byte inside;               /* bit per process of which a program runs; 2: reader 0 */
byte early;                /* those of them that M5 waits for */
byte senders_done;
bool killed;              /* the manager was, or will not be */
bool dead;
bool serving;             /* the manager answers requests */
bool complete;            /* M5 is over */
byte taken_by[N];         /* of a number of a LOSSLESS network: message + 1 */

#ifdef LOSSLESS
#define GAP 0
#define INDEX(l, n) (n)
#else
#define GAP 32
#define INDEX(l, n) ((n) - start[l])
#endif

#define SENT (order[0] == PER && order[1] == PER)

/* Pending: what readers have not passed. No sender reads here, so all of [c1, head). */
#define C1                                                               \
	((reader_is[0] && (!reader_is[1] || cursor[0] <= cursor[1])) -> cursor[0] : \
	 (reader_is[1] -> cursor[1] : 255))

#define BEGIN(who) inside = inside | (1 << (who))
#define END(who)                                                         \
	d_step {                                                         \
		inside = inside & (255 - (1 << (who)));                  \
		early = early & (255 - (1 << (who)))                     \
	}

inline count(l)
{
	d_step {
		c = C1;
		if
		:: closed[l] -> room = false
		:: else ->
			if
			:: c > head[l] -> c = head[l]
			:: else
			fi;
			limit[l] = c + POOL;
			room = head[l] < c + POOL
		fi;
		c = 0
	}
}

inline ring_all()
{
	d_step {
		room_bell[0] = room_bell[0] | (wants & 1);
		room_bell[1] = room_bell[1] | (wants & 2);
		wants = 0
	}
}

/* pool_moved() */
inline moved()
{
	m = net_log;
	if
	:: waiting[m] ->
		k = net_log;
		count(k);
		if
		:: room -> waiting[m] = 0; ring_all()
		:: else
		fi;
		room = false
	:: else
	fi;
	atomic { m = 0; k = 0 }
}

active [SENDERS] proctype sender()
{
	byte me = _pid, i, n, l, l2, c, k;
	bool room, taken;

	do
	:: i < PER ->
		atomic {
			BEGIN(me);
			l = net_log                                     /* W1 */
		}
#ifdef LOSSLESS
		atomic { l2 = net_log; n = head[l2] }                   /* W1 */
		do
		:: n >= limit[l2] ->
			k = net_log;                                    /* W1 */
			count(k);
			k = 0;
			if
			:: !room -> break
			:: else
			fi;
			room = false;
			n = head[l2];
			if
			:: n >= limit[l2] -> break /* others were faster: refused, too */
			:: else
			fi
		:: atomic { n < limit[l2] ->                            /* W2 */
			if
			:: head[l2] == n ->
				assert(l == l2);
				assert(taken_by[n] == 0);
				taken_by[n] = me * PER + i + 1;
				head[l2] = n + 1;
				taken = true;
				assert(C1 == 255 || n < C1 + POOL);
				break
			:: else -> n = head[l2]
			fi }
		od;
		room = false;
#else
		atomic { n = head[l]; head[l] = n + 1; taken = true }   /* W2 */
#endif
		if
		:: taken ->
			atomic {
				assert(!(complete && l == 0));
				slot[l * (N + 1) + INDEX(l, n)] = me * PER + i + 1;   /* W3 */
				i++
			}
			atomic {
				bell[0] = true;                                 /* W4 */
				END(me);
				taken = false; n = 0; l = 0; l2 = 0
			}
#ifdef LOSSLESS
		:: else ->
			atomic { END(me); n = 0; l = 0; l2 = 0 }
			do
			:: atomic { room_bell[me] = false; BEGIN(me) }
				wants = wants | (1 << me);
				l = net_log;
				waiting[l] = 1;
				l = net_log;
				count(l);
				if
				:: atomic { room -> wants = wants & (255 - (1 << me));
					END(me); break }
				:: else -> atomic { END(me); l = 0 }
				fi;
				room_bell[me]
			od;
			atomic { room = false; l = 0 }
#endif
		fi
	:: i == PER -> break
	od;
	atomic { senders_done++; bell[0] = true }
}

byte got;      /* bit per message */
byte order[SENDERS];

inline take()
{
	d_step {
		m = slot[l * (N + 1) + INDEX(l, at)] - 1;
		assert(!(got & (1 << m)));
		got = got | (1 << m);
		assert(order[m / PER] == m % PER);
		order[m / PER]++;
		at++;
		m = 0
	}
}

/* Keeps its right. */
active proctype reader()
{
	byte l, at, m, c, k;
	bool room, marked;

	do
	:: atomic { slot[l * (N + 1) + INDEX(l, at)] ->                        /* R1 */
		take();
		cursor[0] = at }
#ifdef LOSSLESS
		if
#ifdef FAULT_NO_WAITING
		:: waiting[l] -> /* IPN_TX_MOVED */
#else
		:: waiting[l] || (told && l == 0) -> /* IPN_TX_MOVED */
#endif
			BEGIN(SENDERS);
			moved();
			END(SENDERS)
		:: else
		fi
	:: atomic { told && l == 0 && serving -> l = net_log }           /* R4, R5 */
#endif
	:: atomic { !slot[l * (N + 1) + INDEX(l, at)] -> bell[0] = false }     /* W2 of rx.c */
		if
		:: atomic { told && l == 0 -> marked = true }            /* R2 */
		:: else
		fi;
#if !defined(FAULT_NO_LOOK_AGAIN)
		if
		:: slot[l * (N + 1) + INDEX(l, at)]                            /* R3 */
		:: else ->
#endif
			if
			:: marked ->
				atomic { serving -> /* R4 */
					assert((GAP == 0) || start[net_log] >= at);
					at = (GAP -> start[net_log] : at);
					l = net_log;
					cursor[0] = at }                 /* R5 */
			:: else ->
				if
				:: bell[0]                               /* W5 of rx.c */
				:: atomic { senders_done == SENDERS && SENT && l == 1 -> break }
				fi
			fi
#if !defined(FAULT_NO_LOOK_AGAIN)
		fi
#endif
		;
		marked = false
	od;
	assert(l == 1)
}

/* At any step of the manager: */
#define STEP(x)                                                          \
	if                                                               \
	:: atomic { !killed -> killed = true; goto dies }                \
	:: x                                                             \
	fi

inline wait_programs()
{
	early = inside;
	if
	:: atomic { !killed -> killed = true; early = 0; goto dies }
	:: early == 0
	fi
}

active proctype manager()
{
	byte s0, m, k, c;
	bool born_again, room;

begin:
#ifdef FAULT_NO_REPAIR
	if
	:: born_again -> goto served
	:: else
	fi;
#endif
	if
	:: rotating || reader_is[1] ->
		STEP(rotating = 1);                                      /* M1 */
		STEP(reader_is[1] = false);                              /* M2 */
#ifdef LOSSLESS
		moved();
#endif
		if
		:: net_log == 0 ->
			STEP(d_step {                                    /* M3 */
#ifdef LOSSLESS
#ifndef FAULT_OPEN
				closed[1] = true;
				waiting[1] = 1
#else
				head[1] = head[0]
#endif
#else
#ifdef FAULT_NO_GAP
				start[1] = head[0];
#else
				start[1] = GAP;
#endif
				head[1] = start[1]
#endif
			});
			STEP(old_log = net_log);                         /* M4 */
#ifdef FAULT_MARK_EARLY
			told = true;
#endif
			STEP(net_log = 1)                                /* M5 */
		:: else
		fi;
#ifndef FAULT_NO_WAIT
		wait_programs();
#endif
		complete = true;
#ifdef LOSSLESS
		if
		:: closed[1] ->                                          /* M6 */
#ifndef FAULT_NO_COPY
			STEP(d_step {
				s0 = 0;
				do
				:: s0 < N -> slot[N + 1 + s0] = slot[s0]; s0++
				:: else -> break
				od;
				s0 = 0
			});
#endif
			STEP(head[1] = head[0]);
			STEP(start[1] = head[0])
		:: else
		fi;
#endif
		STEP(told = true);                                       /* M7 */
#ifdef LOSSLESS
		STEP(closed[1] = false);                                 /* M8 */
#ifndef FAULT_NO_RING_ALL
		moved();
#endif
#endif
#ifndef FAULT_NO_RING
		STEP(bell[0] = true);                                    /* M9 */
#endif
		STEP(rotating = 0)                                       /* M10 */
	:: else
	fi;
	if
	:: killed
	:: atomic { !killed -> killed = true }
	:: atomic { !killed -> killed = true; goto dies }
	fi;
served:
	serving = true;
	goto finish;
dies:
	born_again = true;
	goto begin;
finish:
	skip
}
