/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter is swapped while packets flow: nothing is lost, also of what both filters pass, nothing comes twice, and
 * nothing that only the old one passes is handed out any more.
 */
#include "net.h"
#include "kind.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MAX_FRAMES (1u << 21)
#define SWAPS 12
#define LONGEST_GAP 3u /* from one frame of a kind to the next */

static struct load {
	struct tpacket *handle;
	bool by_lease;
	bool detaches;     /* kind 1 is no filter: everything */
	uint32_t sent;     /* atomic: frames below this number were sent */
	uint32_t begun;    /* atomic: so many swaps were begun ... */
	uint32_t returned; /* ... and so many have returned. Swap number s makes it kind s % 2 */
	uint32_t read_to;  /* atomic: the largest number that was handed out */
	bool stop_send;    /* atomic */
	bool stop_read;    /* atomic */
	bool hold_read;    /* atomic: the reader is to wait ... */
	bool is_held;      /* ... and does */
	uint8_t seen[MAX_FRAMES];
	uint32_t handed_out;
	uint32_t too_late; /* packets that only an older filter passes, handed out after the swap */
} load;

static uint32_t get(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void *send_load(void *argument)
{
	uint8_t frame[64];
	int sender = net_sender(NET_SEND);

	for (uint32_t n = 0; n < MAX_FRAMES && !__atomic_load_n(&load.stop_send, __ATOMIC_RELAXED); n++) {
		net_frame(frame, sizeof(frame), n);
		net_send(sender, frame, sizeof(frame));
		__atomic_store_n(&load.sent, n + 1, __ATOMIC_SEQ_CST);
		if (n % 64 == 0)
			usleep(200); /* so that no ring overflows, however busy the machine is */
	}
	close(sender);
	return NULL;
}

/* After so many swaps. */
static bool passes(uint32_t number, uint32_t swaps)
{
	return (load.detaches && swaps % 2) || is_of_kind(number, swaps % 2);
}

/* returned: before the packet was asked for. */
static void note(const struct tpacket_packet *packet, uint32_t returned)
{
	uint32_t number = net_number(packet->data + NET_NUMBER_AT);

	if (number >= MAX_FRAMES)
		return;
	load.seen[number]++;
	load.handed_out++;
	if (number > load.read_to)
		__atomic_store_n(&load.read_to, number, __ATOMIC_SEQ_CST);
	/* While a swap is going on both kinds may come. */
	if (!passes(number, returned) && get(&load.begun) == returned)
		load.too_late++;
}

/* Everything that is ready. A run is handed out as a whole. */
static void read_leases(void)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	for (;;) {
		uint32_t returned = get(&load.returned);
		if (tpacket_acquire(load.handle, 0, &lease) != 1)
			break;
		while (tpacket_lease_next(&lease, &packet))
			note(&packet, returned);
		tpacket_release(&lease);
	}
}

static void read_singly(void)
{
	struct tpacket_packet packet;

	for (;;) {
		uint32_t returned = get(&load.returned);
		if (tpacket_read(load.handle, 0, &packet) != 1)
			break;
		note(&packet, returned);
	}
}

static void *read_load(void *argument)
{
	while (!__atomic_load_n(&load.stop_read, __ATOMIC_RELAXED)) {
		bool is_held = __atomic_load_n(&load.hold_read, __ATOMIC_SEQ_CST);
		__atomic_store_n(&load.is_held, is_held, __ATOMIC_SEQ_CST);
		if (load.by_lease && !is_held)
			read_leases();
		else if (!is_held)
			read_singly();
		usleep(3000); /* so that something old is in the ring when the filter changes */
	}
	return NULL;
}

/* Until enough was sent for a stretch that begins there, whoever has the CPU. */
static void wait_for_sender(uint32_t from)
{
	for (int i = 0; i < 30000 && get(&load.sent) < from + LONGEST_GAP + 64; i++)
		usleep(1000);
	assert_true(get(&load.sent) >= from + LONGEST_GAP + 64);
}

/* Until everything that was sent until now has been handed out. Returns up to which number. */
static uint32_t wait_for_reader(void)
{
	uint32_t sent = get(&load.sent);

	for (int i = 0; i < 30000 && get(&load.read_to) + LONGEST_GAP < sent; i++)
		usleep(1000);
	assert_true(get(&load.read_to) + LONGEST_GAP >= sent);
	return sent > LONGEST_GAP ? sent - LONGEST_GAP : 0;
}

/* Swap to the other kind. Returns the first number that is surely sent after it. */
static uint32_t swap(void)
{
	struct sock_filter program[KIND_INSTRUCTIONS];
	uint32_t number = get(&load.begun) + 1; /* never the same one again: the reader compares them */
	bool detach = load.detaches && number % 2;

	kind_filter(program, number % 2);
	__atomic_store_n(&load.begun, number, __ATOMIC_SEQ_CST);
	assert_int_equal(tpacket_set_filter(load.handle, detach ? NULL : program, detach ? 0 : COUNT(program)), 0);
	__atomic_store_n(&load.returned, number, __ATOMIC_SEQ_CST);
	return get(&load.sent) + 1; /* the one before that may be on its way */
}

/* Swap while the ring surely holds frames that the reader has not seen. */
static uint32_t swap_when_filled(void)
{
	__atomic_store_n(&load.hold_read, true, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&load.is_held, __ATOMIC_SEQ_CST))
		usleep(500);
	for (uint32_t sent = get(&load.sent); get(&load.sent) < sent + 64;)
		usleep(500);
	uint32_t from = swap();
	__atomic_store_n(&load.hold_read, false, __ATOMIC_SEQ_CST);
	return from;
}

/* All that pass, none of the others. */
static void check_stretch(uint32_t from, uint32_t to, uint32_t swaps)
{
	uint32_t missing = 0, wrong = 0;

	for (uint32_t n = from; n < to; n++) {
		missing += passes(n, swaps) && load.seen[n] != 1;
		wrong += !passes(n, swaps) && load.seen[n] != 0;
	}
	assert_int_equal(missing, 0);
	assert_int_equal(wrong, 0);
}

/* From the first frame to the last, also while the filter is being swapped. */
static void check_all_the_time(void)
{
	uint32_t missing = 0, wrong = 0, twice = 0;

	for (uint32_t n = 0; n < load.sent; n++) {
		missing += is_of_both(n) && load.seen[n] == 0;
		wrong += !load.detaches && !is_of_kind(n, 0) && !is_of_kind(n, 1) && load.seen[n];
		twice += load.seen[n] > 1;
	}
	assert_int_equal(missing, 0);
	assert_int_equal(wrong, 0);
	assert_int_equal(twice, 0);
}

static void load_options(struct tpacket_options *options, enum tpacket_version version)
{
	net_options(options);
	options->version = version;
	options->block_count = 128;
	options->frame_bytes = 256;
}

static void begin_load(const struct tpacket_options *options, bool by_lease, bool detaches, pthread_t threads[2])
{
	memset(&load, 0, sizeof(load));
	load.by_lease = by_lease;
	load.detaches = detaches;
	load.handle = net_open(options);
	assert_int_equal(pthread_create(&threads[0], NULL, read_load, NULL), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, send_load, NULL), 0);
}

static void end_load(pthread_t threads[2])
{
	struct tpacket_counters counters;
	double begin;

	__atomic_store_n(&load.stop_send, true, __ATOMIC_RELAXED);
	pthread_join(threads[1], NULL);
	begin = net_now_ms();
	do {
		usleep(20 * NET_RETIRE_MS * 1000);
		assert_int_equal(tpacket_stats(load.handle, &counters), 0);
	} while (counters.seen != counters.read + counters.dropped && net_now_ms() - begin < 20000);
	__atomic_store_n(&load.stop_read, true, __ATOMIC_RELAXED);
	pthread_join(threads[0], NULL);
	net_finish(load.handle, &counters);
	assert_int_equal(counters.dropped, 0);
	assert_int_equal(counters.read, load.handed_out + counters.refiltered);
	assert_true(counters.refiltered > 0);
	assert_int_equal(load.too_late, 0);
	tpacket_close(load.handle);
}

static void swap_under_load(enum tpacket_version version, bool by_lease, bool detaches)
{
	uint32_t from[SWAPS], to[SWAPS];
	struct sock_filter program[KIND_INSTRUCTIONS];
	struct tpacket_options options;
	pthread_t threads[2];

	load_options(&options, version);
	kind_filter(program, 0);
	options.filter = program;
	options.filter_length = COUNT(program);
	begin_load(&options, by_lease, detaches, threads);
	from[0] = 0;
	for (uint32_t i = 0; i < SWAPS; i++) {
		usleep(20000);
		wait_for_sender(from[i]);
		to[i] = wait_for_reader();
		/* Some swaps follow at once: what the first let in is judged by the last. */
		if (i % 4 == 3) {
			swap();
			swap();
		}
		if (i + 1 < SWAPS)
			from[i + 1] = i % 4 == 1 ? swap_when_filled() : swap();
	}
	end_load(threads);
	for (uint32_t i = 0; i < SWAPS; i++) {
		assert_true(to[i] > from[i]);
		check_stretch(from[i], to[i], i);
	}
	check_all_the_time();
}

static void test_swap_under_load(void **state)
{
	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++) {
		swap_under_load(version, true, false);
		swap_under_load(version, false, false);
	}
}

static void test_detach_under_load(void **state)
{
	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++)
		swap_under_load(version, version != TPACKET_VERSION_2, true);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_swap_under_load),
		NET_TEST(test_detach_under_load),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
