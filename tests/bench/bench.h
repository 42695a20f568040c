/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the benchmark programs share: clocks, pinning, ends with a message. */
#ifndef IPN_BENCH_H
#define IPN_BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BENCH_NS 1000000000ULL

#define die(...)                                                                   \
	do {                                                                       \
		int _e = errno;                                                    \
		fprintf(stderr, "%s: ", program_invocation_short_name);            \
		fprintf(stderr, __VA_ARGS__);                                      \
		fprintf(stderr, "%s%s\n", _e ? ": " : "", _e ? strerror(_e) : ""); \
		exit(1);                                                           \
	} while (0)

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts))
		return 0;
	return (uint64_t)ts.tv_sec * BENCH_NS + (uint64_t)ts.tv_nsec;
}

static inline uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

static inline void sleep_ns(uint64_t ns)
{
	struct timespec ts = { (time_t)(ns / BENCH_NS), (long)(ns % BENCH_NS) };

	nanosleep(&ts, NULL);
}

/* Keeps the calling process on one CPU; cpu -1: leaves it free. */
static inline void pin_cpu(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot run on CPU %d (the benchmark needs two)", cpu);
}

/* Moves the calling process into the network namespace of that name, as ip-netns(8) names them. */
static inline void netns_enter(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die("%s", path);
	close(fd);
}

/* Zeroed memory shared with the children forked later. */
static inline void *shared_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("cannot share %zu bytes", size);
	return p;
}

static inline int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Sorts v and returns its element at fraction q of n, in microseconds (v is in nanoseconds). */
static inline double quantile_us(uint32_t *v, size_t n, double q)
{
	if (!n)
		return 0;
	qsort(v, n, sizeof(*v), cmp_u32);
	return v[(size_t)((double)(n - 1) * q)] / 1e3;
}

#endif
