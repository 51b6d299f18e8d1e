/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every step of a start that joins a running group is made to fail in turn, against a fake kernel: the start fails, and
 * fails again as long as the step does. Nothing passes meanwhile; and when the step works, the start does, with
 * everything done that was still missing, and nothing twice that may be done only once.
 */
#include "cmocka_all.h"
#include "fake_kernel.h"
#include "internal.h"

#include <string.h>

#define REJECT_ALL 0u
#define WANTED 123u

static struct sock_filter wanted[] = {{BPF_RET | BPF_K, 0, 0, WANTED}};
static struct sock_filter chooser[] = {{BPF_RET | BPF_K, 0, 0, 0}};

static int reset(void **state)
{
	memset(&fake, 0, sizeof(fake));
	fake.fail_at = -1;
	return 0;
}

static void join_options(struct tpacket_options *options, enum tpacket_fanout type)
{
	tpacket_options_init(options);
	options->interface = "fake0";
	options->block_bytes = 4096;
	options->filter = wanted;
	options->filter_length = 1;
	options->fanout = type;
	options->fanout_id = 0xabcd;
	options->fanout_join_running = true;
	if (type == TPACKET_FANOUT_CBPF) {
		options->fanout_program = chooser;
		options->fanout_program_length = 1;
	} else if (type == TPACKET_FANOUT_EBPF) {
		options->fanout_program_fd = 0;
	}
}

static struct tpacket *open_one(enum tpacket_fanout type)
{
	struct tpacket_options options;
	struct tpacket *handle;

	reset(NULL);
	join_options(&options, type);
	fake.is_active = true;
	assert_int_equal(tpacket_open(&options, &handle, NULL), 0);
	fake.is_active = false;
	assert_int_equal(fake.last_filter, REJECT_ALL);
	return handle;
}

/* only: see struct fake_kernel; fail_at: -1: nothing fails. */
static int start(struct tpacket *handle, const char *only, int fail_at)
{
	fake.only = only;
	fake.calls = 0;
	fake.fail_at = fail_at;
	fake.error = EXFULL; /* none that the library treats in a special way */
	fake.is_active = true;
	int r = tpacket_start(handle);
	fake.is_active = false;
	return r;
}

/* Of the last start. */
static int count_calls(const char *name)
{
	int count = 0;

	for (int i = 0; i < fake.calls; i++)
		count += !strcmp(fake.names[i], name);
	return count;
}

static const enum tpacket_fanout types[] = {TPACKET_FANOUT_HASH, TPACKET_FANOUT_CBPF, TPACKET_FANOUT_EBPF};
#define TYPES (sizeof(types) / sizeof(types[0]))

/* The group would distribute by no program at all, which the kernel takes for "all to the first". */
static void test_program_is_refused(void **state)
{
	for (size_t i = 1; i < TYPES; i++) {
		struct tpacket *handle = open_one(types[i]);
		for (int times = 0; times < 3; times++) {
			assert_int_equal(start(handle, "FANOUT_DATA", 0), -EXFULL);
			assert_int_equal(fake.calls, 1);
			assert_int_equal(fake.last_filter, REJECT_ALL);
			assert_false(handle->is_started);
		}
		assert_int_equal(start(handle, NULL, -1), 0);
		assert_int_equal(count_calls("FANOUT_DATA"), 1);
		assert_int_equal(count_calls("FANOUT"), 0); /* a member cannot join again */
		assert_int_equal(fake.last_filter, WANTED);
		tpacket_close(handle);
		assert_int_equal(fake.mappings, 0);
	}
}

/* A program that the caller sets meanwhile is the one that was missing. */
static void test_program_is_set_meanwhile(void **state)
{
	const struct sock_filter other[] = {{BPF_RET | BPF_K, 0, 0, 1}};
	struct tpacket *handle = open_one(TPACKET_FANOUT_CBPF);

	assert_int_equal(start(handle, "FANOUT_DATA", 0), -EXFULL);
	fake.fail_at = -1;
	fake.is_active = true;
	assert_int_equal(tpacket_set_fanout_program(handle, other, 1, -1), 0);
	fake.is_active = false;
	assert_int_equal(handle->options.fanout_program[0].k, 1);
	assert_int_equal(start(handle, NULL, -1), 0);
	assert_int_equal(fake.last_filter, WANTED);
	tpacket_close(handle);
}

/* Once each; a start may do without a step only if it succeeds with the wanted filter attached. */
static void fail_each(enum tpacket_fanout type)
{
	for (int step = 0;; step++) {
		struct tpacket *handle = open_one(type);
		int r = start(handle, NULL, step);
		bool was_there = fake.calls > step;
		const char *failed = fake.names[step];
		if (!was_there) {
			assert_int_equal(r, 0);
			tpacket_close(handle);
			/* The marking filter, the join, its id, its program, the wanted filter. */
			assert_true(step >= (type == TPACKET_FANOUT_HASH ? 4 : 5));
			return;
		}
		bool has_joined = handle->is_joined, has_program = type == TPACKET_FANOUT_HASH;
		for (int i = 0; i < step; i++)
			has_program |= !strcmp(fake.names[i], "FANOUT_DATA");
		if (r < 0) {
			assert_int_equal(r, -EXFULL);
			assert_int_equal(fake.last_filter, REJECT_ALL);
			assert_false(handle->is_started);
			assert_int_equal(start(handle, NULL, -1), 0);
			assert_int_equal(count_calls("FANOUT"), has_joined ? 0 : 1);
			if (!has_program && count_calls("FANOUT_DATA") != 1)
				print_error("no program after step %d, %s, had failed\n", step, failed);
			assert_true(has_program || count_calls("FANOUT_DATA") == 1);
		}
		assert_true(handle->is_started);
		assert_true(handle->is_joined);
		assert_int_equal(fake.last_filter, WANTED);
		assert_int_equal(tpacket_fanout_id(handle), 0xabcd);
		tpacket_close(handle);
		assert_int_equal(fake.mappings, 0);
	}
}

static void test_each_step_fails(void **state)
{
	for (size_t i = 0; i < TYPES; i++)
		fail_each(types[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_program_is_refused, reset),
		cmocka_unit_test_setup(test_program_is_set_meanwhile, reset),
		cmocka_unit_test_setup(test_each_step_fails, reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
