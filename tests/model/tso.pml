/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory with a store buffer for each process, as x86 has it (TSO), for the models in this folder.
 *
 * A plain store goes into the buffer of its process and reaches the memory later, in order, at any
 * time (process `memory`). A load finds the newest store to its address in the own buffer, else
 * what is in memory. A locked operation and a full fence first empty the own buffer, and are one
 * step. In C:
 *
 *	STORE	WRITE_ONCE, a plain assignment, store_relaxed, a release store
 *	LOAD	READ_ONCE, load_relaxed, load_acquire
 *	XCHG	XCHG, a store that is __ATOMIC_SEQ_CST
 *	OR, AND	FETCH_OR, FETCH_AND; ADD is FETCH_ADD; CAS is CAS
 *	FENCE	__atomic_thread_fence(__ATOMIC_SEQ_CST)
 *
 * A buffer holds two stores (a third waits for room): no process of a model has more on its way
 * between two locked operations.
 *
 * A model defines MEM, the number of words, and BUFFERS, the number of processes; `p` is the number
 * of the process that acts.
 */
typedef store_buffer {
	byte n;
	byte at[2];
	byte val[2];
}
store_buffer sb[BUFFERS];
byte mem[MEM];

#define DRAIN(p)                                                         \
	if                                                               \
	:: sb[p].n > 0 -> mem[sb[p].at[0]] = sb[p].val[0]                \
	:: else                                                          \
	fi;                                                              \
	if                                                               \
	:: sb[p].n > 1 -> mem[sb[p].at[1]] = sb[p].val[1]                \
	:: else                                                          \
	fi;                                                              \
	sb[p].n = 0;                                                     \
	sb[p].at[0] = 0;                                                 \
	sb[p].at[1] = 0;                                                 \
	sb[p].val[0] = 0;                                                \
	sb[p].val[1] = 0

/* The value that process p sees at `x`, as an expression. */
#define SEEN(p, x)                                                       \
	((sb[p].n > 1 && sb[p].at[1] == (x)) -> sb[p].val[1] :           \
	 ((sb[p].n > 0 && sb[p].at[0] == (x)) -> sb[p].val[0] : mem[x]))

#define STORE(p, x, v)                                                   \
	d_step {                                                         \
		sb[p].n < 2 ->                                           \
		sb[p].at[sb[p].n] = x;                                   \
		sb[p].val[sb[p].n] = v;                                  \
		sb[p].n++                                                \
	}
/* The same as part of a step that is atomic. */
#define STORED(p, x, v)                                                  \
	sb[p].n < 2 ->                                                   \
	sb[p].at[sb[p].n] = x;                                           \
	sb[p].val[sb[p].n] = v;                                          \
	sb[p].n++
#define LOAD(p, x, to) to = SEEN(p, x)
#define FENCE(p)                                                         \
	d_step {                                                         \
		DRAIN(p)                                                 \
	}
#define XCHG(p, x, v, old)                                               \
	d_step {                                                         \
		DRAIN(p);                                                \
		old = mem[x];                                            \
		mem[x] = v                                               \
	}
/* The same where the old value is of no use. */
#define SET(p, x, v)                                                     \
	d_step {                                                         \
		DRAIN(p);                                                \
		mem[x] = v                                               \
	}
#define OR(p, x, v)                                                      \
	d_step {                                                         \
		DRAIN(p);                                                \
		mem[x] = mem[x] | (v)                                    \
	}
#define AND(p, x, v)                                                     \
	d_step {                                                         \
		DRAIN(p);                                                \
		mem[x] = mem[x] & (v)                                    \
	}
#define ADD(p, x, v, old)                                                \
	d_step {                                                         \
		DRAIN(p);                                                \
		old = mem[x];                                            \
		mem[x] = mem[x] + (v)                                    \
	}
/* ok: was it `old`? */
#define CAS(p, x, old, new, ok)                                          \
	d_step {                                                         \
		DRAIN(p);                                                \
		ok = (mem[x] == (old));                                  \
		mem[x] = (ok -> (new) : mem[x])                          \
	}

#define FLUSH(p)                                                         \
	d_step {                                                         \
		sb[p].n > 0 ->                                           \
		mem[sb[p].at[0]] = sb[p].val[0];                         \
		sb[p].at[0] = sb[p].at[1];                               \
		sb[p].val[0] = sb[p].val[1];                             \
		sb[p].at[1] = 0;                                         \
		sb[p].val[1] = 0;                                        \
		sb[p].n--                                                \
	}
