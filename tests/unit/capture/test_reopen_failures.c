/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every step of opening a group once more is made to fail in turn, against a fake kernel: all members are closed again,
 * no descriptor, no mapping and (under AddressSanitizer) no memory is left, the reserve is as it was, and the next try
 * works.
 */
#include "cmocka_all.h"
#include "fake_kernel.h"
#include "internal.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#define MEMBERS 3

static struct sock_filter chooser[] = {{BPF_RET | BPF_K, 0, 0, 0}};

static void group_options(struct tpacket_options *options)
{
	tpacket_options_init(options);
	options->interface = "fake0";
	options->netns = "/dev/null"; /* not where the test is */
	options->block_bytes = 4096;
	options->block_count = 16;
	options->promiscuous = true;
	options->all_multicast = true;
	options->ignore_outgoing = true;
	options->vnet_header = true;
	options->vlan = TPACKET_VLAN_INSERT;
	options->timestamp = TPACKET_TIMESTAMP_HARDWARE;
	options->fanout = TPACKET_FANOUT_CBPF;
	options->fanout_id = 0xabcd;
	options->fanout_program = chooser;
	options->fanout_program_length = 1;
	options->shrink = false;
	options->reopen = true;
}

static int count_descriptors(void)
{
	int count = 0;
	DIR *directory = opendir("/proc/self/fd");

	assert_non_null(directory);
	while (readdir(directory))
		count++;
	closedir(directory);
	return count;
}

static int reset(void **state)
{
	memset(&fake, 0, sizeof(fake));
	fake.fail_at = -1;
	return 0;
}

static void open_and_park(const struct tpacket_options *options, unsigned int count, struct tpacket **handles)
{
	fake.is_active = true;
	assert_int_equal(tpacket_open_group(options, count, handles, NULL), 0);
	for (unsigned int i = 0; i < count; i++)
		assert_int_equal(tpacket_start(handles[i]), 0);
	for (unsigned int i = 0; i < count; i++)
		tpk_reopen_park(handles[i]);
	fake.is_active = false;
}

static int try_again(struct tpacket **handles, int fail_at, bool vanishes)
{
	bool has_no_rights = fake.has_no_rights;

	reset(NULL);
	fake.has_no_rights = has_no_rights;
	fake.fail_at = fail_at;
	fake.error = EXFULL; /* none that the library treats in a special way */
	fake.vanishes = vanishes;
	fake.is_active = true;
	int r = tpk_reopen_all(handles[0], false);
	fake.is_active = false;
	return r;
}

static void assert_closed(struct tpacket **handles, unsigned int count, int descriptors)
{
	assert_int_equal(fake.mappings, 0);
	assert_int_equal(count_descriptors(), descriptors);
	for (unsigned int i = 0; i < count; i++) {
		assert_false(handles[i]->is_open);
		assert_false(handles[i]->is_joined);
	}
}

/* Returns the number of steps. */
static int fail_each(struct tpacket **handles, unsigned int count)
{
	int parked = count_descriptors();

	for (int i = 0;; i++) {
		int r = try_again(handles, i, false);
		if (fake.calls <= i) {
			assert_int_equal(r, 0);
			assert_int_equal(fake.mappings, count);
			assert_int_equal(count_descriptors(), parked);
			for (unsigned int k = 0; k < count; k++)
				assert_true(handles[k]->is_open);
			return i;
		}
		if (r == 0)
			print_error("%s, step %d, may not fail\n", fake.names[i], i);
		assert_int_equal(r, -EXFULL);
		assert_closed(handles, count, parked);
	}
}

static void test_each_step_fails(void **state)
{
	struct tpacket_options options;
	struct tpacket *handles[MEMBERS];
	int before = count_descriptors();

	group_options(&options);
	open_and_park(&options, MEMBERS, handles);
	/* 19 to set up, then 3 to join, then the filter. */
	assert_int_equal(fail_each(handles, MEMBERS), MEMBERS * (19 + 3 + 1));
	for (int i = 0; i < MEMBERS; i++)
		tpacket_close(handles[i]);
	assert_int_equal(fake.mappings, 0);
	assert_int_equal(count_descriptors(), before);
}

/* In the own namespace; alone, without a group. */
static void test_each_step_of_one_fails(void **state)
{
	struct tpacket_options options;
	struct tpacket *handle;
	int before = count_descriptors();

	tpacket_options_init(&options);
	options.interface = "fake0";
	options.block_bytes = 4096;
	options.reopen = true;
	fake.is_active = true;
	assert_int_equal(tpacket_open(&options, &handle, NULL), 0);
	tpk_reopen_park(handle);
	fake.is_active = false;
	assert_int_equal(fail_each(&handle, 1), 10);
	tpacket_close(handle);
	assert_int_equal(count_descriptors(), before);
}

/* The interface goes away again while its members are opened: whatever the kernel says then, that is no error to
 * report. */
static void test_gone_again(void **state)
{
	struct tpacket_options options;
	struct tpacket *handles[MEMBERS];
	int before = count_descriptors();

	group_options(&options);
	open_and_park(&options, MEMBERS, handles);
	int parked = count_descriptors();
	for (int i = 0; i < MEMBERS * (19 + 3 + 1); i++) {
		/* Only who was bound can tell. */
		int want = i < 17 ? -EXFULL : -ENODEV;
		assert_int_equal(try_again(handles, i, true), want);
		assert_closed(handles, MEMBERS, parked);
	}
	for (int i = 0; i < MEMBERS; i++)
		tpacket_close(handles[i]);
	assert_int_equal(count_descriptors(), before);
}

/* What only says that there is no new socket leads to the reserve. */
static bool is_on_the_way_to_a_socket(const char *step)
{
	return !strcmp(step, "socket") || !strcmp(step, "open") || !strcmp(step, "thread") || !strcmp(step, "setns");
}

static uint32_t count_spent(struct tpacket **handles)
{
	uint32_t spent = 0;

	for (int i = 0; i < MEMBERS; i++)
		spent += handles[i]->options.reserve_sockets - handles[i]->reserve_count;
	return spent;
}

/* Without rights to open sockets. Returns whether there is such a step. */
static bool fail_with_reserve(int fail_at)
{
	struct tpacket_options options;
	struct tpacket *handles[MEMBERS];
	uint32_t joined = 0;

	reset(NULL);
	fake.only = "nothing"; /* of these steps */
	group_options(&options);
	options.reserve_sockets = 2;
	open_and_park(&options, MEMBERS, handles);
	fake.has_no_rights = true;
	int parked = count_descriptors();
	int r = try_again(handles, fail_at, false);
	bool was_there = fake.calls > fail_at;
	assert_int_equal(r, was_there && !is_on_the_way_to_a_socket(fake.names[fail_at]) ? -EXFULL : 0);
	for (int i = 0; i < fake.calls; i++)
		joined += i != fail_at && !strcmp(fake.names[i], "FANOUT");
	/* Who has not joined yet keeps its socket for the next try. */
	assert_int_equal(count_spent(handles), r == 0 ? MEMBERS : joined);
	if (r < 0)
		assert_closed(handles, MEMBERS, parked - (int)joined);
	else
		assert_int_equal(count_descriptors(), parked);
	for (int i = 0; i < MEMBERS; i++)
		tpacket_close(handles[i]);
	assert_int_equal(fake.mappings, 0);
	return was_there;
}

static void test_reserve_is_kept(void **state)
{
	int before = count_descriptors(), steps = 0;

	while (fail_with_reserve(steps)) {
		assert_int_equal(count_descriptors(), before);
		steps++;
	}
	assert_int_equal(count_descriptors(), before);
	assert_int_equal(steps, MEMBERS * (19 + 1 + 3 + 1)); /* the index is looked up once more */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_each_step_fails, reset),
		cmocka_unit_test_setup(test_each_step_of_one_fails, reset),
		cmocka_unit_test_setup(test_gone_again, reset),
		cmocka_unit_test_setup(test_reserve_is_kept, reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
