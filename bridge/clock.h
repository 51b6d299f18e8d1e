/* SPDX-License-Identifier: Apache-2.0 */
/* The time (clock_gettime(2)). Durations are measured with the one that only ever goes forward. */
#ifndef WB_CLOCK_H
#define WB_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t wb_monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Of the calendar: ns since the Unix epoch. */
static inline uint64_t wb_realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A time that is later by so much, in the same unit; the last one there is (of ns since 1970: in 2554) if it is beyond.
 */
static inline uint64_t wb_time_later(uint64_t time, uint64_t by)
{
	return by < UINT64_MAX - time ? time + by : UINT64_MAX;
}

static inline uint64_t wb_monotonic_ms(void)
{
	return wb_monotonic_ns() / 1000000;
}

#endif
