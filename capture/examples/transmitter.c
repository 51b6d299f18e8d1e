/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends generated frames from a ring, at a steady rate, and reports what became of them.
 *
 *	cc -o transmitter transmitter.c $(pkg-config --cflags --libs libtpacket)
 *	transmitter -n 100000 -r 20000 -s 512 eth0
 *
 * A frame is a broadcast of the ethertype 0x88b5 (for local experiments, IEEE 802), with its number in the first four
 * bytes behind the Ethernet header. Ends when all have left, or with SIGINT or SIGTERM. Exit code: 0: all were sent;
 * 1: not all; 2: bad arguments.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tpacket_tx.h>

#define NS_PER_S 1000000000ll
#define HEADER_BYTES 14
#define MIN_BYTES (HEADER_BYTES + 4)
#define MAX_BYTES 65549 /* the loopback's largest MTU, and a header */
#define DEFAULT_BYTES 60
#define MAX_FRAMES 4294967296ll
#define MAX_RATE 100000000ll
#define RESULTS 64
#define WAIT_MS 100    /* so long a signal may go unnoticed */
#define FINISH_MS 1000 /* for frames that are on their way */

struct plan {
	const char *interface;
	uint64_t frames;
	uint64_t rate; /* frames a second; 0: as fast as possible */
	uint32_t bytes;
};

struct run {
	const struct plan *plan;
	struct tpacket_tx *tx;
	sigset_t signals;  /* blocked; end the program */
	uint64_t queued;   /* frames that were committed */
	uint64_t finished; /* those whose result was collected */
	int last_error;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Wait so long for a signal; 0 or less: only look whether there was one. */
static bool is_interrupted(const struct run *run, int64_t ns)
{
	struct timespec time = {0};

	if (ns > 0)
		time = (struct timespec){.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};
	return sigtimedwait(&run->signals, NULL, &time) > 0;
}

static void fill_frame(uint8_t *frame, uint32_t bytes, uint64_t number)
{
	static const uint8_t header[HEADER_BYTES] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x88, 0xb5};

	memcpy(frame, header, sizeof(header));
	for (int i = 0; i < 4; i++)
		frame[HEADER_BYTES + i] = (uint8_t)(number >> (24 - 8 * i));
	memset(frame + MIN_BYTES, (int)number, bytes - MIN_BYTES);
}

/* Write the frames with numbers below end into the ring, as far as there is room. The kernel does not look at them yet.
 */
static void queue_frames(struct run *run, uint64_t end)
{
	void *frame;

	while (run->queued < end && tpacket_tx_reserve(run->tx, &frame, NULL) == 0) {
		fill_frame(frame, run->plan->bytes, run->queued);
		tpacket_tx_commit(run->tx, run->plan->bytes, run->queued);
		run->queued++;
	}
}

/* Each frame has one result. An error is told once, as long as the next frame has the same. */
static void collect(struct run *run)
{
	struct tpacket_tx_result results[RESULTS];
	int count;

	do {
		count = tpacket_tx_complete(run->tx, results, RESULTS);
		for (int i = 0; i < count; i++) {
			int error = results[i].error;
			if (error && error != run->last_error)
				warnx("frame %" PRIu64 " of %" PRIu32 " bytes: %s", results[i].cookie, results[i].bytes,
					strerror(-error));
			run->last_error = error;
		}
		run->finished += (uint64_t)count;
	} while (count == RESULTS);
}

/* How many frames should have been queued so long after the beginning: the first one at once. */
static uint64_t frames_due(const struct plan *plan, int64_t ns)
{
	double due = 1 + (double)ns * (double)plan->rate / NS_PER_S;

	return plan->rate && due < (double)plan->frames ? (uint64_t)due : plan->frames;
}

/* Returns 0 when all frames have their result, or a signal came; else the negative errno that ended it. */
static int send_frames(struct run *run)
{
	const struct plan *plan = run->plan;
	const int64_t start_ns = now_ns();

	while (run->finished < plan->frames) {
		uint64_t due = frames_due(plan, now_ns() - start_ns);
		queue_frames(run, due);
		int r = tpacket_tx_send(run->tx);
		/* Full: goes on when some have left. Everything else this program does not wait for. */
		if (r < 0 && r != -EAGAIN && r != -ENOBUFS)
			return r;
		uint64_t finished_before = run->finished;
		collect(run);
		int64_t sleep_ns = 0;
		if (run->queued == due && due < plan->frames && tpacket_tx_waiting(run->tx) == 0)
			sleep_ns = start_ns + (int64_t)((double)due * NS_PER_S / (double)plan->rate) - now_ns();
		else if (run->finished == finished_before)
			tpacket_tx_wait(run->tx, WAIT_MS);
		if (is_interrupted(run, sleep_ns))
			return 0;
	}
	return 0;
}

/* Give up what the kernel has not taken, and wait for what it has. */
static void finish(struct run *run)
{
	tpacket_tx_cancel(run->tx, UINT32_MAX);
	collect(run);
	while (run->finished < run->queued && tpacket_tx_wait(run->tx, FINISH_MS) == 1)
		collect(run);
}

/* Returns whether all frames of the plan were sent. */
static bool report(const struct run *run, int64_t ns)
{
	struct tpacket_tx_counters c;

	tpacket_tx_counters(run->tx, &c);
	printf("sent %" PRIu64 " of %" PRIu64 " frames, %" PRIu64 " bytes, in %.3f s\n", c.sent, run->plan->frames,
		c.sent_bytes, (double)ns / NS_PER_S);
	printf("failed: too large %" PRIu64 " malformed %" PRIu64 " interface down %" PRIu64 " no buffer %" PRIu64
	       " other %" PRIu64 "\n",
		c.failed_too_large, c.failed_malformed, c.failed_down, c.failed_no_buffer, c.failed_other);
	return c.sent == run->plan->frames;
}

static int transmit(const struct plan *plan)
{
	struct run run = {.plan = plan};
	struct tpacket_tx_options options;
	struct tpacket_error error;

	sigemptyset(&run.signals);
	sigaddset(&run.signals, SIGINT);
	sigaddset(&run.signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &run.signals, NULL);

	tpacket_tx_options_init(&options);
	options.interface = plan->interface;
	options.frame_bytes = plan->bytes;
	if (tpacket_tx_open(&options, &run.tx, &error) < 0)
		errx(1, "%s", error.message);
	int64_t start_ns = now_ns();
	int r = send_frames(&run);
	if (r < 0)
		warnx("%s: %s", plan->interface, strerror(-r));
	finish(&run);
	bool is_complete = report(&run, now_ns() - start_ns);
	tpacket_tx_close(run.tx);
	return is_complete ? 0 : 1;
}

static int usage(void)
{
	fprintf(stderr,
		"usage: transmitter [-n FRAMES] [-r RATE] [-s BYTES] INTERFACE\n"
		"  -n  how many frames, 1 to %lld; default 1\n"
		"  -r  frames a second, 1 to %lld; default: as fast as possible\n"
		"  -s  length of a frame, %d to %d; default %d\n",
		MAX_FRAMES, MAX_RATE, MIN_BYTES, MAX_BYTES, DEFAULT_BYTES);
	return 2;
}

static bool parse_number(const char *text, long long min, long long max, long long *ret_number)
{
	char *end;

	errno = 0;
	*ret_number = strtoll(text, &end, 10);
	return end != text && !*end && !errno && *ret_number >= min && *ret_number <= max;
}

static bool parse_option(int option, struct plan *plan)
{
	long long number = 0;
	bool is_good = false;

	switch (option) {
	case 'n':
		is_good = parse_number(optarg, 1, MAX_FRAMES, &number);
		plan->frames = (uint64_t)number;
		break;
	case 'r':
		is_good = parse_number(optarg, 1, MAX_RATE, &number);
		plan->rate = (uint64_t)number;
		break;
	case 's':
		is_good = parse_number(optarg, MIN_BYTES, MAX_BYTES, &number);
		plan->bytes = (uint32_t)number;
		break;
	}
	return is_good;
}

int main(int argc, char **argv)
{
	struct plan plan = {.frames = 1, .bytes = DEFAULT_BYTES};

	for (int option; (option = getopt(argc, argv, "n:r:s:")) != -1;)
		if (!parse_option(option, &plan))
			return usage();
	if (argc - optind != 1)
		return usage();
	plan.interface = argv[optind];
	return transmit(&plan);
}
