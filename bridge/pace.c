/* SPDX-License-Identifier: Apache-2.0 */
#include "pace.h"

#include <errno.h>
#include <math.h>
#include <sys/prctl.h>
#include <time.h>

#include "clock.h"
#include "log.h"

#define NS_PER_S 1000000000u
#define STOP_NS 100000000u /* so long a stop may go unnoticed */
/* Later than any clock will show, and sums of two and a clock do not overflow. */
#define NEVER_NS (UINT64_C(1) << 62)

/* What is learned of the sleeps: 19 steps down and one up balance where 1 of 20 sleeps is longer. */
#define FIRST_MARGIN_NS 20000u
#define MIN_MARGIN_NS 2000u
#define STEP_UP_NS 950u
#define STEP_DOWN_NS 50u

int wb_pace_init(struct wb_pace *pace, const struct wb_pace_args *args, struct wb_error *ret_error)
{
	if (args->mode != WB_PACE_TOPSPEED && !(args->value > 0 && isfinite(args->value)))
		return wb_fail(ret_error, -EINVAL, "a speed of %g: must be above 0", args->value);
	*pace = (struct wb_pace){.args = *args, .margin_ns = FIRST_MARGIN_NS};
	return 0;
}

/* Counted from the beginning of the pass. A double holds whole nanoseconds for 104 days. */
static double offset_ns(const struct wb_pace *pace)
{
	const struct wb_pace_args *args = &pace->args;

	switch (args->mode) {
	case WB_PACE_TIMES:
		return (double)(pace->latest_time - pace->first_time - pace->cut_ns) / args->value;
	case WB_PACE_PPS:
		return (double)pace->packets * NS_PER_S / args->value;
	case WB_PACE_MBPS:
		return (double)pace->bytes * 8000 / args->value;
	default:
		return 0;
	}
}

static uint64_t whole_ns(double ns)
{
	return ns < (double)NEVER_NS ? (uint64_t)ns : NEVER_NS;
}

static void take_time(struct wb_pace *pace, uint64_t time_ns)
{
	uint64_t max_gap_ns = pace->args.max_gap_ns;

	if (!pace->has_packet) {
		pace->first_time = pace->latest_time = time_ns;
		pace->has_packet = true;
		return;
	}
	if (time_ns < pace->latest_time) {
		pace->backwards++;
		return;
	}
	if (max_gap_ns && time_ns - pace->latest_time > max_gap_ns) {
		pace->cut_ns += time_ns - pace->latest_time - max_gap_ns;
		pace->cut_gaps++;
	}
	pace->latest_time = time_ns;
}

uint64_t wb_pace_due(struct wb_pace *pace, uint64_t time_ns, uint64_t bytes)
{
	if (pace->args.mode == WB_PACE_TOPSPEED)
		return 0;
	if (!pace->has_started) {
		pace->start_ns = wb_monotonic_ns();
		pace->has_started = true;
	}
	if (pace->args.mode == WB_PACE_TIMES)
		take_time(pace, time_ns);
	/* A packet for the end of time is due when the clock ends, not before the others. */
	pace->last_ns = whole_ns((double)pace->pass_ns + offset_ns(pace));
	pace->packets++;
	pace->bytes += bytes;
	return pace->start_ns + pace->last_ns;
}

void wb_pace_restart(struct wb_pace *pace)
{
	if (pace->packets == 0)
		return;
	if (pace->args.mode != WB_PACE_TIMES)
		pace->pass_ns += whole_ns(offset_ns(pace));
	else if (pace->packets > 1)
		pace->pass_ns = pace->last_ns + (pace->last_ns - pace->pass_ns) / (pace->packets - 1);
	else
		pace->pass_ns = pace->last_ns;
	if (pace->pass_ns > NEVER_NS)
		pace->pass_ns = NEVER_NS;
	pace->has_packet = false;
	pace->cut_ns = 0;
	pace->packets = 0;
	pace->bytes = 0;
}

static void learn(struct wb_pace *pace, uint64_t overrun_ns)
{
	if (overrun_ns > pace->margin_ns)
		pace->margin_ns += pace->margin_ns + STEP_UP_NS <= WB_PACE_MAX_MARGIN_NS ? STEP_UP_NS : 0;
	else
		pace->margin_ns -= pace->margin_ns - STEP_DOWN_NS >= MIN_MARGIN_NS ? STEP_DOWN_NS : 0;
}

static void sleep_until(struct wb_pace *pace, uint64_t ns)
{
	struct timespec time = {.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
	uint64_t now;

	if (!pace->is_slack_lowered) {
		prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul);
		pace->is_slack_lowered = true;
	}
	if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) != 0)
		return;
	now = wb_monotonic_ns();
	learn(pace, now > ns ? now - ns : 0);
}

/* Whoever shares the core gets its other half meanwhile. */
static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

int wb_pace_wait(struct wb_pace *pace, uint64_t due_ns, const atomic_bool *stop)
{
	uint64_t now = 0;

	for (;;) {
		if (atomic_load_explicit(stop, memory_order_relaxed))
			return -EINTR;
		if (now < due_ns)
			now = wb_monotonic_ns();
		if (now >= due_ns)
			return 0;
		if (due_ns - now > STOP_NS + WB_PACE_MAX_MARGIN_NS)
			sleep_until(pace, now + STOP_NS);
		else if (due_ns - now > pace->margin_ns)
			sleep_until(pace, due_ns - pace->margin_ns);
		else
			relax();
	}
}

/* Below 64 each value has its own; above, the six highest bits of the value choose. */
static unsigned int bucket_of(uint64_t ns)
{
	unsigned int shift;

	if (ns < 64)
		return (unsigned int)ns;
	shift = 58 - (unsigned int)__builtin_clzll(ns);
	return shift * 32 + (unsigned int)(ns >> shift);
}

/* The greatest value of a bucket. */
static uint64_t bucket_end(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < 64)
		return bucket;
	shift = bucket / 32 - 1;
	return ((uint64_t)(bucket - shift * 32 + 1) << shift) - 1;
}

void wb_lateness_note(struct wb_lateness *lateness, uint64_t due_ns, uint64_t now_ns)
{
	uint64_t ns = now_ns > due_ns ? now_ns - due_ns : 0;

	if (lateness->count == 0 || ns < lateness->min_ns)
		lateness->min_ns = ns;
	if (ns > lateness->max_ns)
		lateness->max_ns = ns;
	lateness->count++;
	lateness->buckets[bucket_of(ns)]++;
}

uint64_t wb_lateness_permille(const struct wb_lateness *lateness, unsigned int permille)
{
	uint64_t wanted = (lateness->count * permille + 999) / 1000, seen = 0;

	for (unsigned int i = 0; i < WB_LATENESS_BUCKETS; i++) {
		seen += lateness->buckets[i];
		if (seen && seen >= wanted)
			return bucket_end(i) < lateness->max_ns ? bucket_end(i) : lateness->max_ns;
	}
	return lateness->max_ns;
}
