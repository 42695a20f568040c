// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the kernel does for programs and for libipn. Maps have as many elements as the simulation
 * needs. Memory that one CPU has for itself has no yield points.
 *
 * Ring buffers are as in kernel/bpf/ringbuf.c: room is looked for under a lock, the record is busy
 * until it is filled, then whoever waits is woken. ppoll() is in the list of waiters before it
 * looks, so between the look and the sleep there is no yield point.
 */
#include "sim.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>

#include "core/flow.h"

#define FRAME_ROOM 8192
#define HASH_ENTRIES 48
#define RINGS 40
#define MAPS 64
#define TAPS 32
#define TOUCHED 4096
#define PORTS_OF_ALL 80
#define NODES_OF_ALL 32
#define RING_BUSY (1U << 31)
#define RING_HDR 8

struct sim_map {
	struct sim_map *self; /* first: a map is found by the first word of its variable */
	uint32_t kind, key_size, value_size, entries;
	uint8_t *values;
	void **inner;   /* map of maps */
	uint8_t *keys;  /* hash: used, then the key */
	uint8_t **refs; /* hash: the value of a key */
	uint8_t *spare; /* hash: freed last; its first word leads to the one before */
	bool sparse;    /* of its elements few are touched; they are noted */
	struct sim_ring *ring;
};

int ipn_xdp(struct xdp_md *ctx);
int ipn_xdp_hub(struct xdp_md *ctx);
int ipn_xdp_switch(struct xdp_md *ctx);
int ipn_notify(struct ipn_notify *ctx);

static struct sim_map maps[MAPS];
static unsigned int maps_count;
static struct sim_ring rings[RINGS];
static int rings_count;
static uint32_t taps[TAPS]; /* ifindex */
static uint8_t *frames;     /* one for each CPU, below 4 GiB: programs have 32-bit addresses */
static uint8_t *touched[TOUCHED];
static uint32_t touched_size[TOUCHED], touched_count;

static int cpu(void)
{
	return sim_current ? sim_current->id : SIM_TASKS;
}

/* --- maps ---------------------------------------------------------------------------------- */

static struct sim_map *map_of(void *map)
{
	return *(struct sim_map **)map;
}

static struct sim_map *map_new(void *variable, uint32_t kind, uint32_t key, uint32_t value,
			       uint32_t entries)
{
	struct sim_map *m = &maps[maps_count++];

	if (maps_count > MAPS)
		abort();
	*m = (struct sim_map){
		.self = m, .kind = kind, .key_size = key, .value_size = value, .entries = entries
	};
	if (variable)
		*(struct sim_map **)variable = m;
	return m;
}

static void hash_new(struct sim_map *m, const char *name)
{
	uint32_t size = (m->value_size + 7) & ~7U;

	m->entries = HASH_ENTRIES;
	m->keys = sim_private(HASH_ENTRIES * (m->key_size + 1));
	m->refs = sim_private(HASH_ENTRIES * sizeof(*m->refs));
	m->values = sim_shared((size_t)HASH_ENTRIES * size, name, 0);
	for (uint32_t i = HASH_ENTRIES; i-- > 0;) {
		*(uint8_t **)(m->values + i * size) = m->spare;
		m->spare = m->values + i * size;
	}
}

static void map_register(void *variable, const char *name, uint32_t kind, uint32_t key,
			 uint32_t value, uint32_t entries)
{
	struct sim_map *m = map_new(variable, kind, key, value, entries);

	switch (kind) {
	case BPF_MAP_TYPE_ARRAY:
		m->values = sim_shared((size_t)entries * value, name, 0);
		break;
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		m->values = sim_private((size_t)entries * value * (SIM_TASKS + 1));
		break;
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
		hash_new(m, name);
		break;
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
		m->inner = sim_private(entries * sizeof(void *));
		break;
	}
}

/* What maps.h says of a map; no more elements than are used here. */
#define REGISTER(map, most)                                                         \
	map_register(&map, #map, sizeof(*map.type) / sizeof(int), sizeof(*map.key), \
		     sizeof(*map.value),                                            \
		     sizeof(*map.max_entries) / sizeof(int) < (most)                \
			     ? sizeof(*map.max_entries) / sizeof(int)               \
			     : (most))
#define REGISTER_OUTER(map, most) \
	map_register(&map, #map, BPF_MAP_TYPE_ARRAY_OF_MAPS, sizeof(__u32), 0, most)

/* Memory of one CPU, or that only guesses are made of; zeroed where it was touched. */
static void sparse_register(void *variable, void *values, uint32_t size, uint32_t entries)
{
	struct sim_map *m = map_new(variable, BPF_MAP_TYPE_ARRAY, sizeof(__u32), size, entries);

	m->values = values;
	m->sparse = true;
}

static struct ipn_flow flows[(SIM_TASKS + 1) * IPN_CPU_FLOWS];
static struct ipn_learn learns[IPN_MAX_NODES + IPN_MAX_NETS];

void kernel_begin(void)
{
	if (!frames) {
		frames = mmap((void *)0x20000000, FRAME_ROOM * SIM_TASKS, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		if (frames == MAP_FAILED)
			abort();
	}
	for (uint32_t i = 0; i < touched_count && i < TOUCHED; i++)
		memset(touched[i], 0, touched_size[i]);
	if (touched_count > TOUCHED) {
		memset(flows, 0, sizeof(flows));
		memset(learns, 0, sizeof(learns));
	}
	touched_count = maps_count = 0;
	rings_count = 0;
	memset(taps, 0, sizeof(taps));
	REGISTER(ipn_net_fast, 2);
	REGISTER(ipn_port_in, PORTS_OF_ALL);
	REGISTER(ipn_port_cache, NODES_OF_ALL);
	REGISTER(ipn_port_out, PORTS_OF_ALL);
	REGISTER(ipn_fdb, HASH_ENTRIES);
	REGISTER(ipn_stats, NODES_OF_ALL);
	REGISTER(ipn_rings, NODES_OF_ALL);
	REGISTER(ipn_msgs, 1);
	REGISTER(ipn_pol_xdp, IPN_POLICY_MAX);
	REGISTER_OUTER(ipn_logs_small, IPN_MAX_NETS + NODES_OF_ALL);
	REGISTER_OUTER(ipn_bells, NODES_OF_ALL);
	REGISTER_OUTER(ipn_rooms, NODES_OF_ALL);
	REGISTER_OUTER(ipn_pages, NODES_OF_ALL);
	sparse_register(&ipn_flows, flows, sizeof(*flows), sizeof(flows) / sizeof(*flows));
	sparse_register(&ipn_learns, learns, sizeof(*learns), sizeof(learns) / sizeof(*learns));
}

static int hash_find(const struct sim_map *m, const void *key)
{
	for (uint32_t i = 0; i < m->entries; i++) {
		const uint8_t *k = m->keys + i * (m->key_size + 1);

		if (*k && !memcmp(k + 1, key, m->key_size))
			return (int)i;
	}
	return -1;
}

static void *array_find(struct sim_map *m, uint32_t at)
{
	uint8_t *value = m->values + (size_t)at * m->value_size;

	if (at >= m->entries)
		return NULL;
	if (m->sparse) {
		if (touched_count < TOUCHED) {
			touched[touched_count] = value;
			touched_size[touched_count] = m->value_size;
		}
		touched_count++;
	}
	return value;
}

void *bpf_map_lookup_elem(void *map, const void *key)
{
	struct sim_map *m = map_of(map);
	uint32_t at;
	int i;

	switch (m->kind) {
	case BPF_MAP_TYPE_ARRAY:
		return array_find(m, *(const uint32_t *)key);
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		at = *(const uint32_t *)key;
		return at < m->entries ? kernel_peek_cpu(map, at, cpu()) : NULL;
	case BPF_MAP_TYPE_ARRAY_OF_MAPS:
		at = *(const uint32_t *)key;
		return at < m->entries ? m->inner[at] : NULL;
	case BPF_MAP_TYPE_HASH:
	case BPF_MAP_TYPE_LRU_HASH:
		sim_yield(1, map, "look up in");
		i = hash_find(m, key);
		return i < 0 ? NULL : m->refs[i];
	}
	abort();
}

/* A hash puts a new element in the place of the old, which the next one may get. */
static long hash_update(struct sim_map *m, const void *key, const void *value)
{
	uint8_t *fresh, *old = NULL;
	uint32_t at = 0;
	int i;

	fresh = m->spare;
	if (!fresh)
		return -E2BIG;
	m->spare = *(uint8_t **)fresh;
	sim_copy(fresh, value, m->value_size);
	sim_yield(6, fresh, "update");
	sim_fence();
	i = hash_find(m, key);
	if (i >= 0) {
		old = m->refs[i];
		m->refs[i] = fresh;
		*(uint8_t **)old = m->spare;
		m->spare = old;
		return 0;
	}
	while (m->keys[at * (m->key_size + 1)])
		at++;
	m->refs[at] = fresh;
	memcpy(m->keys + at * (m->key_size + 1) + 1, key, m->key_size);
	m->keys[at * (m->key_size + 1)] = 1;
	return 0;
}

static long map_update(void *map, const void *key, const void *value)
{
	struct sim_map *m = map_of(map);
	uint8_t *to;

	if (m->kind == BPF_MAP_TYPE_HASH || m->kind == BPF_MAP_TYPE_LRU_HASH)
		return hash_update(m, key, value);
	to = bpf_map_lookup_elem(map, key);
	if (!to)
		return -ENOENT;
	sim_copy(to, value, m->value_size);
	return 0;
}

/* A system call, if the manager makes it: like a program, it comes to its end. */
long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags)
{
	long r;

	sim_program_begin();
	r = map_update(map, key, value);
	sim_program_end();
	return r;
}

long bpf_map_delete_elem(void *map, const void *key)
{
	struct sim_map *m = map_of(map);
	int i;

	sim_yield(6, map, "delete");
	sim_fence();
	i = hash_find(m, key);
	if (i < 0)
		return -ENOENT;
	*(uint8_t **)m->refs[i] = m->spare;
	m->spare = m->refs[i];
	m->keys[(uint32_t)i * (m->key_size + 1)] = 0;
	return 0;
}

void *kernel_inner(void *values, uint32_t value_size, uint32_t entries)
{
	struct sim_map *m = map_new(NULL, BPF_MAP_TYPE_ARRAY, sizeof(__u32), value_size, entries);

	m->values = values;
	return m;
}

void *kernel_ring_map(struct sim_ring *ring)
{
	struct sim_map *m = map_new(NULL, BPF_MAP_TYPE_RINGBUF, 0, 0, 0);

	m->ring = ring;
	return m;
}

void kernel_set_inner(void *outer, uint32_t at, void *inner)
{
	map_of(outer)->inner[at] = inner;
}

void *kernel_peek(void *map, uint32_t key)
{
	struct sim_map *m = map_of(map);
	int i;

	if (m->kind == BPF_MAP_TYPE_ARRAY)
		return m->values + (size_t)key * m->value_size;
	i = hash_find(m, &key);
	return i < 0 ? NULL : m->refs[i];
}

void *kernel_peek_cpu(void *map, uint32_t key, int cpu_id)
{
	struct sim_map *m = map_of(map);

	return m->values + ((size_t)cpu_id * m->entries + key) * m->value_size;
}

/* --- ring buffers -------------------------------------------------------------------------- */

struct sim_ring *kernel_ring(uint32_t size, const char *name, int number)
{
	struct sim_ring *r = &rings[rings_count];

	if (rings_count == RINGS)
		abort();
	r->id = rings_count++;
	r->size = size;
	r->consumer = sim_shared(8, name, number);
	r->producer = sim_shared(8, name, number);
	r->data = sim_shared(size, name, number);
	return r;
}

int kernel_ring_fd(const struct sim_ring *ring)
{
	return SIM_FD + ring->id;
}

bool kernel_ring_readable(const struct sim_ring *ring)
{
	return *ring->producer != *ring->consumer;
}

static void ring_wake(const struct sim_ring *ring)
{
	for (int i = 0; i < SIM_TASKS; i++)
		if (sim_tasks[i].waits_for & 1ULL << ring->id)
			sim_wake(&sim_tasks[i]);
}

long bpf_ringbuf_output(void *map, void *data, __u64 size, __u64 flags)
{
	struct sim_ring *ring = map_of(map)->ring;
	uint64_t len = (size + RING_HDR + 7) & ~7ULL, at, *record;
	uint32_t hdr = (uint32_t)size | RING_BUSY;

	sim_yield(6, ring->producer, "reserve in");
	sim_fence();
	at = *ring->producer;
	if (at + len - *ring->consumer > ring->size - 1) {
		sim_log("ring %d is full", ring->id);
		return -EAGAIN;
	}
	record = (uint64_t *)(ring->data + (at & (ring->size - 1)));
	*record = hdr;
	*ring->producer = at + len;
	sim_copy(record + 1, data, size);
	sim_yield(6, record, "commit");
	sim_fence();
	*(uint32_t *)record = (uint32_t)size;
	sim_log("ring %d is rung", ring->id);
	sim_yield(2, record, "wake by");
	ring_wake(ring);
	return 0;
}

static int ppoll_look(struct pollfd *fds, nfds_t n, uint64_t *bits)
{
	int ready = 0;

	*bits = 0;
	for (nfds_t i = 0; i < n; i++) {
		int id = fds[i].fd - SIM_FD;

		fds[i].revents = 0;
		if (id < 0 || id >= rings_count)
			continue;
		*bits |= 1ULL << id;
		if (kernel_ring_readable(&rings[id]))
			fds[i].revents = POLLIN;
		ready += !!fds[i].revents;
	}
	return ready;
}

int sim_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *left);
int sim_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *left)
{
	uint64_t deadline = SIM_NEVER;
	int ready;

	if (left)
		deadline = sim_now + (uint64_t)left->tv_sec * 1000000000 + (uint64_t)left->tv_nsec;
	sim_yield(6, fds, "ppoll");
	sim_fence();
	for (;;) {
		bool timed_out;

		ready = ppoll_look(fds, n, &sim_current->waits_for);
		if (ready || deadline <= sim_now)
			break;
		sim_log("sleeps");
		timed_out = sim_park(deadline);
		sim_log("%s", timed_out ? "slept long enough" : "is woken");
		if (timed_out) {
			ready = ppoll_look(fds, n, &sim_current->waits_for);
			break;
		}
	}
	sim_current->waits_for = 0;
	return ready;
}

/* --- programs ------------------------------------------------------------------------------ */

long sim_loop(__u32 n, sim_loop_fn fn, void *arg)
{
	for (__u32 i = 0; i < n; i++)
		if (fn(i, arg))
			return i + 1;
	return n;
}

int sim_tail_call(void *ctx, void *map, __u32 number, int *result)
{
	if (map != &ipn_pol_xdp)
		abort();
	if (number == IPN_POLICY_BROADCAST)
		*result = ipn_xdp_hub(ctx);
	else if (number == IPN_POLICY_SWITCH)
		*result = ipn_xdp_switch(ctx);
	else
		return 0;
	return 1;
}

long sim_absent(const char *what)
{
	fprintf(stderr, "the simulation has no %s\n", what);
	abort();
}

__u32 bpf_get_smp_processor_id(void)
{
	return (__u32)cpu();
}

__u64 bpf_ktime_get_coarse_ns(void)
{
	return sim_now;
}

__u64 bpf_ktime_get_ns(void)
{
	return sim_now;
}

__u64 bpf_jiffies64(void)
{
	return sim_now / 4000000;
}

__u64 bpf_xdp_get_buff_len(struct xdp_md *ctx)
{
	return ctx->data_end - ctx->data;
}

long bpf_xdp_load_bytes(struct xdp_md *ctx, __u32 off, void *to, __u32 len)
{
	if (off > ctx->data_end - ctx->data || len > ctx->data_end - ctx->data - off)
		return -EINVAL;
	sim_copy(to, (void *)(uintptr_t)(ctx->data + off), len);
	return 0;
}

int kernel_notify(uint32_t node, uint32_t op, uint32_t event, uint32_t arg)
{
	struct ipn_notify ctx = { .node = node, .op = op, .event = { event, arg } };
	int r;

	sim_program_begin();
	r = ipn_notify(&ctx);
	sim_program_end();
	return r;
}

/* --- the system calls of libipn ------------------------------------------------------------ */

void kernel_tap(int fd, uint32_t ifindex)
{
	taps[fd] = ifindex;
}

ssize_t sim_writev(int fd, const struct iovec *iov, int n);
ssize_t sim_writev(int fd, const struct iovec *iov, int n)
{
	uint8_t *frame = frames + (size_t)cpu() * FRAME_ROOM;
	struct xdp_md ctx = { .data = (__u32)(uintptr_t)frame, .ingress_ifindex = taps[fd] };
	size_t len = 0;

	sim_yield(2, NULL, "write");
	if (!taps[fd]) {
		errno = EBADFD;
		return -1;
	}
	for (int i = 0; i < n; i++) {
		if (len + iov[i].iov_len > FRAME_ROOM)
			abort();
		memcpy(frame + len, iov[i].iov_base, iov[i].iov_len);
		len += iov[i].iov_len;
	}
	ctx.data_meta = ctx.data;
	ctx.data_end = ctx.data + (__u32)len;
	sim_program_begin();
	ipn_xdp(&ctx);
	sim_program_end();
	sim_yield(2, NULL, "return from write");
	return (ssize_t)len;
}

ssize_t sim_write(int fd, const void *data, size_t len);
ssize_t sim_write(int fd, const void *data, size_t len)
{
	struct iovec one = { (void *)data, len };

	return sim_writev(fd, &one, 1);
}

/* A mutex's first word is 0, or 1 + the task that has it. */
int sim_lock(void *mutex);
int sim_lock(void *mutex)
{
	uint32_t *owner = mutex;

	sim_yield(2, mutex, "lock");
	sim_fence();
	while (*owner) {
		sim_current->mutex = mutex;
		sim_park(SIM_NEVER);
	}
	sim_current->mutex = NULL;
	*owner = 1 + (uint32_t)sim_current->id;
	return 0;
}

int sim_unlock(void *mutex);
int sim_unlock(void *mutex)
{
	sim_yield(2, mutex, "unlock");
	sim_fence();
	*(uint32_t *)mutex = 0;
	for (int i = 0; i < SIM_TASKS; i++)
		if (sim_tasks[i].mutex == mutex)
			sim_wake(&sim_tasks[i]);
	return 0;
}

int sim_sched_yield(void);
int sim_sched_yield(void)
{
	sim_fence();
	sim_current->stalled = 1 + sim_below(4);
	sim_yield_now();
	return 0;
}

int sim_clock(struct timespec *ts);
int sim_clock(struct timespec *ts)
{
	sim_now += 100;
	ts->tv_sec = (time_t)(sim_now / 1000000000);
	ts->tv_nsec = (long)(sim_now % 1000000000);
	return 0;
}

int sim_unmap(const void *p);
int sim_unmap(const void *p)
{
	return 0;
}

int sim_cookie(void *cookie, const void *len);
int sim_cookie(void *cookie, const void *len)
{
	*(uint64_t *)cookie = 1;
	return 0;
}

int sim_close(int fd);
int sim_close(int fd)
{
	return 0;
}

int sim_sleep(const struct timespec *ts);
int sim_sleep(const struct timespec *ts)
{
	sim_park(sim_now + (uint64_t)ts->tv_nsec);
	return 0;
}
