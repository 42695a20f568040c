/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef IPN_COMMON_CLOCK_H
#define IPN_COMMON_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NS_PER_S 1000000000ULL
#define CLOCK_NEVER UINT64_MAX

/* ns of the monotonic clock. */
static inline uint64_t clock_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* us of the monotonic clock. */
static inline uint64_t clock_us(void)
{
	return clock_now() / 1000;
}

/* Time left until a deadline, for ppoll: NULL when there is none. */
static inline const struct timespec *clock_left(uint64_t deadline, struct timespec *ts)
{
	uint64_t now, left;

	if (deadline == CLOCK_NEVER)
		return NULL;
	now = clock_now();
	left = deadline > now ? deadline - now : 0;
	ts->tv_sec = (time_t)(left / NS_PER_S);
	ts->tv_nsec = (long)(left % NS_PER_S);
	return ts;
}

#endif
