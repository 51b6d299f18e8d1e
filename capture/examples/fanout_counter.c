/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counts the packets of an interface with several threads, each of which reads one ring of a fanout group. The kernel
 * chooses the ring by flow, so all packets of a connection come to one thread.
 *
 *	cc -pthread -o fanout_counter fanout_counter.c $(pkg-config --cflags --libs libtpacket)
 *	fanout_counter -n 4 -t 10 eth0
 *
 * Once a second it prints how many packets each member had; at the end, by SIGINT, SIGTERM or time, all of them and
 * what was dropped. Exit code: 0; 1: the capture failed; 2: bad arguments.
 */
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tpacket.h>

#define MAX_MEMBERS 256
#define MAX_SECONDS 1000000
/* More than twice the retire time (10 ms): when nothing came for so long after tpacket_stop(), nothing will. */
#define READ_MS 100

struct member {
	struct tpacket *handle;
	pthread_t thread;
	atomic_uint_least64_t packets;
	atomic_uint_least64_t bytes;
	atomic_int error; /* negative errno that ended the thread */
	uint64_t shown;   /* packets in the lines printed so far */
};

static struct member members[MAX_MEMBERS];
static unsigned int member_count = 2;
static atomic_bool is_stopping;

static void count_packets(struct member *member, struct tpacket_lease *lease)
{
	struct tpacket_packet packet;
	uint64_t packets = 0, bytes = 0;

	while (tpacket_lease_next(lease, &packet)) {
		packets++;
		bytes += packet.original_length;
	}
	atomic_fetch_add_explicit(&member->packets, packets, memory_order_relaxed);
	atomic_fetch_add_explicit(&member->bytes, bytes, memory_order_relaxed);
}

static void *member_run(void *argument)
{
	struct member *member = argument;
	struct tpacket_lease lease;

	for (;;) {
		/* Before the call: what is in the ring when it is stopped is read to the end. */
		bool was_stopping = atomic_load(&is_stopping);
		int r = tpacket_acquire(member->handle, READ_MS, &lease);
		if (r == 1) {
			count_packets(member, &lease);
			tpacket_release(&lease);
		} else if (r == 0 && was_stopping) {
			return NULL;
		} else if (r < 0 && r != -ENETDOWN) {
			atomic_store(&member->error, r);
			return NULL;
		}
	}
}

/* All members are open before the first one starts, so no packet comes to two of them. */
static int open_group(const char *interface)
{
	struct tpacket *handles[MAX_MEMBERS];
	struct tpacket_options options;
	struct tpacket_error error;

	tpacket_options_init(&options);
	options.interface = interface;
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_flags = TPACKET_FANOUT_UNIQUE_ID;
	int r = tpacket_open_group(&options, member_count, handles, &error);
	if (r < 0) {
		warnx("%s", error.message);
		return r;
	}
	for (unsigned int i = 0; i < member_count; i++)
		members[i].handle = handles[i];
	for (unsigned int i = 0; i < member_count; i++) {
		r = tpacket_start(members[i].handle);
		if (r < 0) {
			warnx("start of member %u: %s", i, strerror(-r));
			return r;
		}
	}
	return 0;
}

static void close_group(void)
{
	for (unsigned int i = 0; i < member_count; i++)
		tpacket_close(members[i].handle);
}

/* Returns how many threads run. */
static unsigned int start_threads(void)
{
	for (unsigned int i = 0; i < member_count; i++) {
		int r = pthread_create(&members[i].thread, NULL, member_run, &members[i]);
		if (r) {
			warnx("thread of member %u: %s", i, strerror(r));
			return i;
		}
	}
	return member_count;
}

static void stop_threads(unsigned int running)
{
	for (unsigned int i = 0; i < running; i++)
		tpacket_stop(members[i].handle);
	atomic_store(&is_stopping, true);
	for (unsigned int i = 0; i < running; i++)
		pthread_join(members[i].thread, NULL);
}

static int first_error(void)
{
	for (unsigned int i = 0; i < member_count; i++) {
		int r = atomic_load(&members[i].error);
		if (r < 0) {
			warnx("member %u: %s", i, strerror(-r));
			return r;
		}
	}
	return 0;
}

static void print_rates(void)
{
	uint64_t total = 0;

	printf("packets/s:");
	for (unsigned int i = 0; i < member_count; i++) {
		struct member *member = &members[i];
		uint64_t packets = atomic_load_explicit(&member->packets, memory_order_relaxed);
		printf(" %" PRIu64, packets - member->shown);
		total += packets - member->shown;
		member->shown = packets;
	}
	printf(" together %" PRIu64 "\n", total);
}

/* Until a signal, the time is up (seconds 0: never), or a member fails. The signals are blocked in all threads. */
static int watch(const sigset_t *signals, long seconds)
{
	const struct timespec second = {.tv_sec = 1};

	for (long i = 0; seconds == 0 || i < seconds; i++) {
		if (sigtimedwait(signals, NULL, &second) > 0)
			return 0;
		int r = first_error();
		if (r < 0)
			return r;
		print_rates();
	}
	return 0;
}

/* After tpacket_stop() and reading on, seen = packets + dropped for each member. */
static void print_totals(void)
{
	uint64_t packets = 0, bytes = 0, dropped = 0;

	for (unsigned int i = 0; i < member_count; i++) {
		struct member *member = &members[i];
		struct tpacket_counters counters = {0};
		tpacket_stats(member->handle, &counters);
		printf("member %u: seen %" PRIu64 " packets %" PRIu64 " dropped %" PRIu64 "\n", i, counters.seen,
			atomic_load(&member->packets), counters.dropped);
		packets += atomic_load(&member->packets);
		bytes += atomic_load(&member->bytes);
		dropped += counters.dropped;
	}
	printf("together: packets %" PRIu64 " bytes %" PRIu64 " dropped %" PRIu64 "\n", packets, bytes, dropped);
}

static int count(const char *interface, long seconds)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);

	int r = open_group(interface);
	if (r == 0) {
		unsigned int running = start_threads();
		if (running == member_count) {
			fprintf(stderr, "fanout_counter: %u members on %s\n", member_count, interface);
			r = watch(&signals, seconds);
		} else {
			r = -EAGAIN;
		}
		stop_threads(running);
		if (r == 0)
			r = first_error();
		print_totals();
	}
	close_group();
	return r;
}

static int usage(void)
{
	fprintf(stderr, "usage: fanout_counter [-n MEMBERS] [-t SECONDS] INTERFACE\n"
			"  -n  threads, 1 to 256; default 2\n"
			"  -t  end after so long; default: with SIGINT or SIGTERM\n");
	return 2;
}

/* A number from 1 to max; 0: it is none. */
static long parse_number(const char *text, long max)
{
	char *end;
	long number = strtol(text, &end, 10);

	return *end || number < 1 || number > max ? 0 : number;
}

int main(int argc, char **argv)
{
	long seconds = 0;

	for (int option; (option = getopt(argc, argv, "n:t:")) != -1;) {
		long number = option == '?' ? 0 : parse_number(optarg, option == 'n' ? MAX_MEMBERS : MAX_SECONDS);
		if (number == 0)
			return usage();
		if (option == 'n')
			member_count = (unsigned int)number;
		else
			seconds = number;
	}
	if (argc - optind != 1)
		return usage();
	setvbuf(stdout, NULL, _IOLBF, 0);
	return count(argv[optind], seconds) < 0 ? 1 : 0;
}
