// SPDX-License-Identifier: GPL-2.0-or-later
/* Tasks, the scheduler, store buffers, and what the compiler calls at each access. */
#include "sim.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STACK_SIZE (128 * 1024)
#define ARENA_SIZE (4UL << 20)
#define NAMES 128
#define STALL_MAX 400

/* What a kind of access counts against the slice: protocols are made of the dear ones. */
enum { WEIGHT_READ = 1, WEIGHT_WRITE = 3, WEIGHT_ATOMIC = 6 };

struct sim_task sim_tasks[SIM_TASKS];
struct sim_task *sim_current;
struct sim_way sim_way;
uint64_t sim_steps, sim_now, sim_step_max;
int sim_trace;
bool sim_failed;
void (*sim_on_choice)(void);
void (*sim_on_atomic)(void *at, uint64_t before, uint64_t after);

static uint64_t random_state;
static int64_t slice, slice_begun;
static void *main_sp;
static uint8_t *arena, *private_arena;
static size_t arena_used, private_used;
static struct {
	const uint8_t *at;
	size_t size;
	const char *name;
	int number;
} names[NAMES];
static unsigned int names_count;

/* splitmix64 */
uint64_t sim_random(void)
{
	uint64_t z = random_state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* --- telling ------------------------------------------------------------------------------- */

static void say(const char *what, const char *fmt, va_list ap)
{
	printf("%8llu %-9s %s", (unsigned long long)sim_steps,
	       sim_current ? sim_current->name : "-", what);
	vprintf(fmt, ap);
	putchar('\n');
}

void sim_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("", fmt, ap);
	va_end(ap);
}

void sim_fail(const char *fmt, ...)
{
	va_list ap;

	if (!sim_failed || sim_trace) {
		va_start(ap, fmt);
		say("FAILED: ", fmt, ap);
		va_end(ap);
	}
	sim_failed = true;
}

static void tell_access(const void *at, const char *what)
{
	for (unsigned int i = 0; i < names_count; i++) {
		size_t off = (size_t)((const uint8_t *)at - names[i].at);

		if ((const uint8_t *)at >= names[i].at && off < names[i].size) {
			sim_say("    %s %s[%d]+%zu", what, names[i].name, names[i].number, off);
			return;
		}
	}
	sim_say("    %s %p", what, at);
}

/* --- memory -------------------------------------------------------------------------------- */

static void *region(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

static inline bool is_shared(const void *p)
{
	return (uintptr_t)p - (uintptr_t)arena < ARENA_SIZE;
}

void *sim_shared(size_t size, const char *name, int number)
{
	uint8_t *p = arena + arena_used;

	arena_used += (size + 63) & ~63UL;
	if (arena_used > ARENA_SIZE || names_count == NAMES)
		abort();
	names[names_count].at = p;
	names[names_count].size = size;
	names[names_count].name = name;
	names[names_count++].number = number;
	return p;
}

void *sim_private(size_t size)
{
	uint8_t *p = private_arena + private_used;

	private_used += (size + 63) & ~63UL;
	if (private_used > ARENA_SIZE)
		abort();
	return p;
}

/* --- switching ----------------------------------------------------------------------------- */

void sim_switch(void **from, void *to);
#if defined(__x86_64__)
__asm__(".text\n"
	".type sim_switch,@function\n"
	"sim_switch:\n"
	"	push %rbp\n	push %rbx\n	push %r12\n"
	"	push %r13\n	push %r14\n	push %r15\n"
	"	mov %rsp, (%rdi)\n"
	"	mov %rsi, %rsp\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n"
	"	pop %r12\n	pop %rbx\n	pop %rbp\n"
	"	ret\n"
	".size sim_switch,.-sim_switch\n");
#define FRAME_WORDS 6 /* below the address of return */
#elif defined(__aarch64__)
__asm__(".text\n"
	".type sim_switch,%function\n"
	"sim_switch:\n"
	"	sub sp, sp, #160\n"
	"	stp x19, x20, [sp]\n	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n	stp d14, d15, [sp, #144]\n"
	"	mov x9, sp\n	str x9, [x0]\n	mov sp, x1\n"
	"	ldp x19, x20, [sp]\n	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #160\n"
	"	ret\n"
	".size sim_switch,.-sim_switch\n");
#define FRAME_WORDS 20
#define FRAME_LINK 11
#else
#error "the simulation switches stacks by itself: it knows x86_64 and aarch64"
#endif

static void store_drop(struct sim_task *t)
{
	t->store_first = (t->store_first + 1) % SIM_STORES;
	t->stores--;
}

static struct sim_store *store_at(struct sim_task *t, uint32_t i)
{
	return &t->store[(t->store_first + i) % SIM_STORES];
}

/* The task does not run any more: what it has buffered is not to be seen. */
static void stores_hide(struct sim_task *t)
{
	for (uint32_t i = t->stores; i-- > 0;) {
		struct sim_store *s = store_at(t, i);

		memcpy(s->is, s->at, s->size);
		memcpy(s->at, s->was, s->size);
	}
}

static void stores_show(struct sim_task *t)
{
	for (uint32_t i = 0; i < t->stores; i++) {
		struct sim_store *s = store_at(t, i);

		memcpy(s->was, s->at, s->size);
		memcpy(s->at, s->is, s->size);
	}
}

/* Of a task that does not run, the oldest n are seen from now on. */
static void stores_drain(struct sim_task *t, uint32_t n)
{
	for (; n && t->stores; n--) {
		struct sim_store *s = store_at(t, 0);

		memcpy(s->at, s->is, s->size);
		store_drop(t);
	}
}

void sim_drain_all(void)
{
	for (int i = 0; i < SIM_TASKS; i++)
		stores_drain(&sim_tasks[i], SIM_STORES);
}

void sim_fence(void)
{
	if (sim_current)
		sim_current->stores = 0;
}

static inline void store_begin(void *at, uint32_t size)
{
	struct sim_task *t = sim_current;
	struct sim_store *s;

	if (!sim_way.buffers || !t)
		return;
	if (t->stores == SIM_STORES)
		store_drop(t);
	s = store_at(t, t->stores++);
	s->at = at;
	s->size = size;
	memcpy(s->was, at, size);
}

/* --- the scheduler ------------------------------------------------------------------------- */

static struct sim_task *choose(void)
{
	struct sim_task *ready[SIM_TASKS];
	uint32_t n = 0, stalled = 0;

	for (int i = 0; i < SIM_TASKS; i++) {
		struct sim_task *t = &sim_tasks[i];

		if (t->state == SIM_PARKED && t->deadline <= sim_now) {
			t->timed_out = true;
			t->state = SIM_READY;
		}
		if (t->state != SIM_READY)
			continue;
		if (t->stalled) {
			t->stalled--;
			stalled++;
			continue;
		}
		ready[n++] = t;
	}
	for (int i = 0; i < SIM_TASKS && !n && stalled; i++) {
		sim_tasks[i].stalled = 0;
		if (sim_tasks[i].state == SIM_READY)
			ready[n++] = &sim_tasks[i];
	}
	return n ? ready[sim_below(n)] : NULL;
}

/* Stores that were buffered for long become seen while others run. */
static void drain_some(const struct sim_task *next)
{
	for (int i = 0; i < SIM_TASKS; i++) {
		struct sim_task *t = &sim_tasks[i];

		if (t != next && t->stores && sim_chance(96))
			stores_drain(t, 1 + sim_below(SIM_STORES));
	}
}

static void slice_new(void)
{
	slice = slice_begun = 1 + sim_below(2 * sim_way.slice);
}

static void go_to(struct sim_task *next)
{
	struct sim_task *from = sim_current;

	slice_new();
	if (next == from)
		return;
	if (from)
		stores_hide(from);
	if (sim_way.buffers)
		drain_some(next);
	if (next)
		stores_show(next);
	sim_current = next;
	sim_switch(from ? &from->sp : &main_sp, next ? next->sp : main_sp);
}

static void die_if_killed(void)
{
	struct sim_task *t = sim_current;

	if (t && t->killed && !t->in_program)
		sim_exit();
}

void sim_program_begin(void)
{
	if (!sim_current)
		return;
	if (!sim_current->in_program++)
		sim_current->programs++;
}

void sim_program_end(void)
{
	if (!sim_current)
		return;
	sim_current->in_program--;
	die_if_killed();
}

static void account(void)
{
	sim_steps += (uint64_t)(slice_begun - slice);
	sim_now += (uint64_t)(slice_begun - slice) * 10;
	slice_begun = slice;
}

static void tell_tasks(void)
{
	static const char *const states[] = { "free", "ready", "parked", "dead" };

	for (int i = 0; i < SIM_TASKS; i++)
		if (sim_tasks[i].state != SIM_FREE)
			sim_log("%s is %s%s%s", sim_tasks[i].name, states[sim_tasks[i].state],
				sim_tasks[i].killed ? ", killed" : "",
				sim_tasks[i].in_program ? ", in a program" : "");
	sim_fail("no end after %llu steps", (unsigned long long)sim_steps);
}

static void preempt(void)
{
	struct sim_task *t = sim_current;

	account();
	if (!t) {
		slice_new();
		return;
	}
	if (sim_steps > sim_step_max || sim_failed) {
		if (!sim_failed)
			tell_tasks();
		go_to(NULL);
	}
	if (sim_on_choice)
		sim_on_choice();
	die_if_killed();
	if (sim_chance(sim_way.stall))
		t->stalled = 1 + sim_below(STALL_MAX);
	go_to(choose());
	die_if_killed();
}

void sim_yield(uint32_t weight, const void *at, const char *what)
{
	if (sim_trace > 1 && sim_current)
		tell_access(at, what);
	slice -= weight;
	if (slice <= 0)
		preempt();
}

void sim_yield_now(void)
{
	slice--;
	preempt();
}

_Noreturn void sim_exit(void)
{
	account();
	sim_fence();
	sim_current->state = SIM_DEAD;
	go_to(choose());
	abort();
}

bool sim_park(uint64_t deadline)
{
	struct sim_task *t = sim_current;

	account();
	die_if_killed();
	sim_fence();
	t->state = SIM_PARKED;
	t->deadline = deadline;
	t->timed_out = false;
	go_to(choose());
	die_if_killed();
	return t->timed_out;
}

void sim_wake(struct sim_task *t)
{
	if (t->state == SIM_PARKED)
		t->state = SIM_READY;
}

/* A parked one is made ready, so that it finds out. */
void sim_kill(struct sim_task *t)
{
	t->killed = true;
	/* what it has stored is seen before its death is */
	if (t != sim_current)
		stores_drain(t, SIM_STORES);
	sim_wake(t);
}

bool sim_time_passes(void)
{
	struct sim_task *first = NULL;

	for (int i = 0; i < SIM_TASKS; i++) {
		struct sim_task *t = &sim_tasks[i];

		if (t->state == SIM_PARKED && t->deadline != SIM_NEVER &&
		    (!first || t->deadline < first->deadline))
			first = t;
	}
	if (!first)
		return false;
	if (first->deadline > sim_now)
		sim_now = first->deadline;
	first->timed_out = true;
	first->state = SIM_READY;
	return true;
}

static void task_entry(void)
{
	die_if_killed();
	sim_current->fn(sim_current->arg);
	sim_exit();
}

struct sim_task *sim_task_new(const char *name, void (*fn)(void *), void *arg)
{
	struct sim_task *t = sim_tasks;
	void **sp;

	while (t < sim_tasks + SIM_TASKS && t->state != SIM_FREE)
		t++;
	if (t == sim_tasks + SIM_TASKS)
		abort();
	if (!t->stack)
		t->stack = region(STACK_SIZE);
	snprintf(t->name, sizeof(t->name), "%s", name);
	t->fn = fn;
	t->arg = arg;
	t->state = SIM_READY;
	sp = (void **)((uint8_t *)t->stack + STACK_SIZE) - 2;
#ifdef FRAME_LINK
	sp -= FRAME_WORDS;
	memset(sp, 0, FRAME_WORDS * sizeof(*sp));
	sp[FRAME_LINK] = (void *)task_entry;
#else
	*--sp = NULL; /* a function begins with the address of return below 16 bytes */
	*--sp = (void *)task_entry;
	sp -= FRAME_WORDS;
#endif
	t->sp = sp;
	return t;
}

void sim_run(void)
{
	struct sim_task *t;

	while (!sim_failed && (t = choose()))
		go_to(t);
}

void sim_begin(uint64_t seed)
{
	if (!arena) {
		arena = region(ARENA_SIZE);
		private_arena = region(ARENA_SIZE);
	}
	memset(arena, 0, arena_used);
	memset(private_arena, 0, private_used);
	arena_used = private_used = 0;
	names_count = 0;
	for (int i = 0; i < SIM_TASKS; i++) {
		void *stack = sim_tasks[i].stack;

		memset(&sim_tasks[i], 0, sizeof(sim_tasks[i]));
		sim_tasks[i].stack = stack;
		sim_tasks[i].id = i;
	}
	sim_current = NULL;
	sim_failed = false;
	sim_steps = 0;
	sim_now = 1000000000;
	random_state = seed * 0xd1342543de82ef95ULL + 1;
	slice = slice_begun = 1;
}

/* --- accesses ------------------------------------------------------------------------------ */

static inline void on_read(void *p)
{
	if (is_shared(p))
		sim_yield(WEIGHT_READ, p, "read");
}

static inline void on_write(void *p, uint32_t size)
{
	if (is_shared(p)) {
		sim_yield(WEIGHT_WRITE, p, "write");
		store_begin(p, size);
	}
}

static void on_write_range(void *p, size_t n)
{
	uint8_t *at = p;

	if (!is_shared(p))
		return;
	sim_yield(WEIGHT_WRITE, p, "write");
	for (size_t i = 0; i < n; i += 8)
		store_begin(at + i, (uint32_t)(n - i < 8 ? n - i : 8));
}

void sim_copy(void *to, const void *from, size_t n)
{
	bool read = is_shared(from), write = is_shared(to);
	size_t len;

	if (!read && !write) {
		memcpy(to, from, n);
		return;
	}
	for (size_t i = 0; i < n; i += len) {
		len = n - i < 8 ? n - i : 8;
		sim_yield(write ? WEIGHT_WRITE : WEIGHT_READ, (uint8_t *)(write ? to : from) + i,
			  write ? "copy to" : "copy from");
		if (write)
			store_begin((uint8_t *)to + i, (uint32_t)len);
		memcpy((uint8_t *)to + i, (const uint8_t *)from + i, len);
	}
}

/* Before a locked operation. */
static inline void on_atomic(void *p)
{
	if (is_shared(p)) {
		sim_yield(WEIGHT_ATOMIC, p, "locked");
		sim_fence();
	}
}

static inline void after_atomic(void *p, uint64_t before, uint64_t after)
{
	if (is_shared(p) && sim_on_atomic)
		sim_on_atomic(p, before, after);
}

uint64_t sim_xchg64(uint64_t *p, uint64_t v)
{
	uint64_t before;

	on_atomic(p);
	before = *p;
	*p = v;
	after_atomic(p, before, v);
	return before;
}

/* The names that the compiler calls. */
void __tsan_init(void);
void __tsan_init(void)
{
}

#define READ(n)                                 \
	void __tsan_read##n(void *p);           \
	void __tsan_read##n(void *p)            \
	{                                       \
		on_read(p);                     \
	}                                       \
	void __tsan_unaligned_read##n(void *p); \
	void __tsan_unaligned_read##n(void *p)  \
	{                                       \
		on_read(p);                     \
	}
#define WRITE(n)                                 \
	void __tsan_write##n(void *p);           \
	void __tsan_write##n(void *p)            \
	{                                        \
		on_write(p, n);                  \
	}                                        \
	void __tsan_unaligned_write##n(void *p); \
	void __tsan_unaligned_write##n(void *p)  \
	{                                        \
		on_write(p, n);                  \
	}
READ(1)
READ(2)
READ(4)
READ(8)
READ(16)
WRITE(1)
WRITE(2)
WRITE(4)
WRITE(8)

void __tsan_write16(void *p);
void __tsan_write16(void *p)
{
	on_write_range(p, 16);
}
void __tsan_read_range(void *p, size_t n);
void __tsan_read_range(void *p, size_t n)
{
	on_read(p);
}
void __tsan_write_range(void *p, size_t n);
void __tsan_write_range(void *p, size_t n)
{
	on_write_range(p, n);
}

void __tsan_atomic_thread_fence(int order);
void __tsan_atomic_thread_fence(int order)
{
	if (order == __ATOMIC_SEQ_CST) {
		sim_yield(WEIGHT_ATOMIC, NULL, "fence");
		sim_fence();
	}
}

/* A load is a load; a store is one, too, unless it has to be in the order of all. */
#define ATOMIC(bits, type)                                                                         \
	type __tsan_atomic##bits##_load(const type *p, int order);                                 \
	type __tsan_atomic##bits##_load(const type *p, int order)                                  \
	{                                                                                          \
		on_read((void *)p);                                                                \
		return *p;                                                                         \
	}                                                                                          \
	void __tsan_atomic##bits##_store(type *p, type v, int order);                              \
	void __tsan_atomic##bits##_store(type *p, type v, int order)                               \
	{                                                                                          \
		if (order == __ATOMIC_SEQ_CST)                                                     \
			on_atomic(p);                                                              \
		else                                                                               \
			on_write(p, sizeof(type));                                                 \
		*p = v;                                                                            \
	}                                                                                          \
	type __tsan_atomic##bits##_exchange(type *p, type v, int order);                           \
	type __tsan_atomic##bits##_exchange(type *p, type v, int order){ FETCH(                    \
		p, v) } type __tsan_atomic##bits##_fetch_add(type *p, type v, int order);          \
	type __tsan_atomic##bits##_fetch_add(type *p, type v, int order){ FETCH(                   \
		p, before + v) } type __tsan_atomic##bits##_fetch_sub(type *p, type v, int order); \
	type __tsan_atomic##bits##_fetch_sub(type *p, type v, int order){ FETCH(                   \
		p, before - v) } type __tsan_atomic##bits##_fetch_or(type *p, type v, int order);  \
	type __tsan_atomic##bits##_fetch_or(type *p, type v, int order){ FETCH(                    \
		p, before | v) } type __tsan_atomic##bits##_fetch_and(type *p, type v, int order); \
	type __tsan_atomic##bits##_fetch_and(type *p, type v, int order)                           \
	{                                                                                          \
		FETCH(p, before &v)                                                                \
	}                                                                                          \
	int __tsan_atomic##bits##_compare_exchange_strong(type *p, type *old, type v, int o,       \
							  int f);                                  \
	int __tsan_atomic##bits##_compare_exchange_strong(type *p, type *old, type v, int o,       \
							  int f)                                   \
	{                                                                                          \
		type before;                                                                       \
                                                                                                   \
		on_atomic(p);                                                                      \
		before = *p;                                                                       \
		if (before != *old) {                                                              \
			*old = before;                                                             \
			return 0;                                                                  \
		}                                                                                  \
		*p = v;                                                                            \
		after_atomic(p, before, v);                                                        \
		return 1;                                                                          \
	}
#define FETCH(p, value)                 \
	typeof(*(p)) before, after;     \
                                        \
	on_atomic(p);                   \
	before = *(p);                  \
	after = (typeof(*(p)))(value);  \
	*(p) = after;                   \
	after_atomic(p, before, after); \
	return before;
ATOMIC(32, uint32_t)
ATOMIC(64, uint64_t)
