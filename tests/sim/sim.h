/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The simulation of the data path: the programs of bpf/ and libipn, compiled for the machine that
 * runs the test, in one process, under a scheduler that a seed rules.
 *
 *   bpf_*.c    the programs as they are, with include/bpf in the place of libbpf's headers
 *   sched.c    tasks, the scheduler, store buffers; every access to shared memory comes by here
 *   kernel.c   what the kernel does for the two: maps, ring buffers, helpers, taps, ppoll
 *   world.c    one network: what the manager does to ports, and the processes
 *   actors.c   what the processes do: send, receive, wait, poll
 *   check.c    what must hold
 *   main.c     seeds
 *
 * Yield points. The product's files are compiled with -fsanitize=thread but not linked with its
 * library: the compiler calls a function before each access to memory that another thread could
 * see, and in the place of each atomic. Those functions are in sched.c. An access to shared memory
 * (the arena) is a yield point: another task may go on there, or a process may be killed.
 *
 * Store buffers. As on x86 a plain store is seen by others later than by the task itself, in order,
 * and a locked operation waits for all of them. The value of a store is not known when the compiler
 * announces it, so while a task runs, its stores stand in memory; when another is to run, those
 * that are still buffered are taken back, and put there again when the task goes on.
 *
 * A task is a thread of a process and a CPU at once. A process that is killed inside a program dies
 * when the program has ended, as in the kernel.
 */
#ifndef SIM_H
#define SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SIM_TASKS 20
#define SIM_STORES 8 /* stores that a task's buffer holds */
#define SIM_NEVER UINT64_MAX
#define SIM_FD 1000 /* descriptors of the simulation begin here */

/* --- sched.c ------------------------------------------------------------------------------- */

struct sim_store {
	void *at;
	uint32_t size;
	uint8_t was[8], is[8];
};

enum sim_state { SIM_FREE, SIM_READY, SIM_PARKED, SIM_DEAD };

struct sim_task {
	enum sim_state state;
	int id; /* and its CPU */
	char name[24];
	void *sp;
	void *stack;
	void (*fn)(void *arg);
	void *arg;
	uint32_t in_program;
	uint64_t programs; /* that it has begun to run */
	bool killed;
	bool timed_out;
	bool wants_message, wants_room; /* what it waits for, if it sleeps */
	bool polls;                     /* by ipn_poll */
	void *owner;
	uint32_t stalled;   /* passed over so often when a task is chosen */
	uint64_t deadline;  /* parked until then */
	uint64_t waits_for; /* parked: bits of rings */
	const void *mutex;  /* parked: for this */
	struct sim_store store[SIM_STORES];
	uint32_t store_first, stores;
};

/* How this seed is run. */
struct sim_way {
	uint32_t slice; /* mean weight of accesses between two choices of a task */
	uint32_t stall; /* of 256 tasks that are preempted so many are not chosen for long */
	bool buffers;   /* stores are buffered */
};

extern struct sim_task sim_tasks[SIM_TASKS];
extern struct sim_task *sim_current; /* NULL: the simulation itself */
extern struct sim_way sim_way;
extern uint64_t sim_steps, sim_now;
extern int sim_trace; /* 1: what happens; 2: each access, too */
extern bool sim_failed;
extern uint64_t sim_step_max;

/* Random numbers of the seed. */
uint64_t sim_random(void);
static inline uint32_t sim_below(uint32_t n)
{
	return (uint32_t)((sim_random() >> 32) * n >> 32);
}
static inline bool sim_chance(uint32_t of_256)
{
	return (sim_random() >> 56) < of_256;
}

void sim_begin(uint64_t seed);
/* Shared memory, zero, named for the trace. */
void *sim_shared(size_t size, const char *name, int number);
/* The same, but no yield points: of one task. */
void *sim_private(size_t size);
struct sim_task *sim_task_new(const char *name, void (*fn)(void *), void *arg);
/* Runs tasks until none is ready. */
void sim_run(void);
/* The current task ends; does not return. */
_Noreturn void sim_exit(void);
void sim_kill(struct sim_task *t);
/* Waits for sim_wake; true: the deadline was first. */
bool sim_park(uint64_t deadline);
void sim_wake(struct sim_task *t);
/* The next deadline has come. False: there is none. */
bool sim_time_passes(void);
void sim_drain_all(void);
/* Around a program: who is killed in it dies when it has ended. */
void sim_program_begin(void);
void sim_program_end(void);
/* A yield point. */
void sim_yield(uint32_t weight, const void *at, const char *what);
/* Another task is chosen, or this one again. */
void sim_yield_now(void);
/* All stores of this task are seen by all. */
void sim_fence(void);
/* Copies as the machine does, word by word, each a yield point where it is shared. */
void sim_copy(void *to, const void *from, size_t n);
/* Called by the scheduler now and then, to kill and to begin what this seed has in store. */
extern void (*sim_on_choice)(void);
/* Called behind each exchange, addition or compare-and-swap in shared memory. */
extern void (*sim_on_atomic)(void *at, uint64_t before, uint64_t after);

#define sim_log(...)                          \
	do {                                  \
		if (sim_trace)                \
			sim_say(__VA_ARGS__); \
	} while (0)
void sim_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* What must hold does not. */
void sim_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* An exchange of the simulation's own, like those of the product. */
uint64_t sim_xchg64(uint64_t *p, uint64_t v);

/* --- kernel.c ------------------------------------------------------------------------------ */

struct sim_ring {
	uint64_t *consumer, *producer;
	uint8_t *data;
	uint32_t size;
	int id;
};

struct sim_log {
	uint8_t *base;
	uint32_t slots;
	void *map;
};

void kernel_begin(void);
struct sim_ring *kernel_ring(uint32_t size, const char *name, int number);
/* A log, or a page, as a map that can be put into a map of maps. */
void *kernel_inner(void *values, uint32_t value_size, uint32_t entries);
void kernel_set_inner(void *outer, uint32_t at, void *inner);
void *kernel_ring_map(struct sim_ring *ring);
/* The memory of an element, without yield points. NULL: there is none. */
void *kernel_peek(void *map, uint32_t key);
/* The element of a map with one for each CPU. */
void *kernel_peek_cpu(void *map, uint32_t key, int cpu);
/* fd: of the tap. ifindex 0: it is gone. */
void kernel_tap(int fd, uint32_t ifindex);
int kernel_ring_fd(const struct sim_ring *ring);
bool kernel_ring_readable(const struct sim_ring *ring);
/* The program that the manager runs. */
int kernel_notify(uint32_t node, uint32_t op, uint32_t event, uint32_t arg);

#endif
