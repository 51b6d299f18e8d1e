/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every step of tpacket_open() is made to fail in turn, against a fake kernel: each failure gives the errno and a
 * message, and leaves no descriptor, no mapping and (under AddressSanitizer) no memory behind. The fake also records
 * the order of the steps.
 */
#include "cmocka_all.h"
#include "fake_kernel.h"
#include "internal.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct sock_filter program[] = {{BPF_RET | BPF_K, 0, 0, 123}};

static struct sock_filter chooser[] = {{BPF_RET | BPF_K, 0, 0, 0}};

/* What excludes each other is in the other one. */
static void options_with_everything(struct tpacket_options *options)
{
	tpacket_options_init(options);
	options->interface = "fake0";
	options->netns = "/dev/null"; /* not where the test is */
	options->version = TPACKET_VERSION_3;
	options->block_bytes = 4096;
	options->block_count = 16;
	options->promiscuous = true;
	options->all_multicast = true;
	options->ignore_outgoing = true;
	options->vnet_header = true;
	options->vnet_header_bytes = 12;
	options->vlan = TPACKET_VLAN_INSERT;
	options->timestamp = TPACKET_TIMESTAMP_HARDWARE;
	options->filter = program;
	options->filter_length = 1;
	options->fanout = TPACKET_FANOUT_CBPF;
	options->fanout_flags = TPACKET_FANOUT_ROLL;
	options->fanout_id = 0xabcd;
	options->fanout_program = chooser;
	options->fanout_program_length = 1;
	options->shrink = false;
	options->reopen = true;
	options->reserve_sockets = 2;
}

static void options_with_descriptors(struct tpacket_options *options)
{
	tpacket_options_init(options);
	options->interface = "fake0";
	options->block_bytes = 4096;
	options->vnet_header = true;
	options->filter_fd = 0;
	options->fanout = TPACKET_FANOUT_EBPF;
	options->fanout_program_fd = 0;
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

static int open_fake(const struct tpacket_options *options, struct tpacket **ret_handle, struct tpacket_error *error)
{
	fake.is_active = true;
	int r = tpacket_open(options, ret_handle, error);
	fake.is_active = false;
	return r;
}

static void test_order_of_the_steps(void **state)
{
	const char *want[] = {"calloc", "strdup", "strdup", "malloc", "malloc", "eventfd", "open", "thread", "setns",
		"socket", "index", "VERSION", "RESERVE", "VNET_HDR_SZ", "TIMESTAMP", "IGNORE_OUTGOING", "FILTER",
		"FILTER", "RX_RING", "mmap", "bind", "SO_ERROR", "getsockname", "name", "MEMBERSHIP", "MEMBERSHIP",
		"FANOUT", "get", "FANOUT_DATA", "calloc", "open", "thread", "setns", "socket", "open", "thread",
		"setns", "socket", "calloc", "socket"};
	const int count = sizeof(want) / sizeof(want[0]);
	struct tpacket_options options;
	struct tpacket_error error;
	struct tpacket *handle;

	options_with_everything(&options);
	assert_int_equal(open_fake(&options, &handle, &error), 0);
	for (int i = 0; i < count && i < fake.calls; i++)
		assert_string_equal(fake.names[i], want[i]);
	assert_int_equal(fake.calls, count);
	/* Nothing passes before the start, the program after it, nothing after the stop. */
	assert_int_equal(fake.last_filter, 0);
	assert_int_equal(tpacket_start(handle), 0);
	assert_int_equal(fake.last_filter, 123);
	assert_int_equal(tpacket_stop(handle), 0);
	assert_int_equal(fake.last_filter, 0);
	/* 4 bytes exactly, for older kernels. */
	assert_int_equal(fake.fanout_bytes, 4);
	assert_int_equal(tpacket_fanout_id(handle), 0xabcd);
	assert_int_equal(tpacket_version_in_use(handle), TPACKET_VERSION_3);
	tpacket_close(handle);
	assert_int_equal(fake.mappings, 0);
}

/* By their numbers: a step of the right name with the wrong one would do something else, or nothing. */
static void test_values_of_the_steps(void **state)
{
	struct tpacket_options options;
	struct tpacket *handle;

	for (int both = 0; both < 4; both++) {
		reset(NULL);
		options_with_everything(&options);
		options.promiscuous = both & 1;
		options.all_multicast = both & 2;
		options.timestamp = both & 1 ? TPACKET_TIMESTAMP_HARDWARE : TPACKET_TIMESTAMP_SOFTWARE;
		assert_int_equal(open_fake(&options, &handle, NULL), 0);
		assert_int_equal(fake.memberships,
			(both & 1 ? 1u << PACKET_MR_PROMISC : 0) | (both & 2 ? 1u << PACKET_MR_ALLMULTI : 0));
		assert_int_equal(fake.timestamp_source, both & 1 ? SOF_TIMESTAMPING_RAW_HARDWARE : 0);
		tpacket_close(handle);
	}
}

typedef int open_fn(const struct tpacket_options *options, struct tpacket_error *error);

static int open_and_close(const struct tpacket_options *options, struct tpacket_error *error)
{
	struct tpacket *handle = NULL;

	int r = open_fake(options, &handle, error);
	if (r < 0)
		assert_null(handle);
	tpacket_close(handle);
	return r;
}

static int open_and_close_group(const struct tpacket_options *options, struct tpacket_error *error)
{
	struct tpacket *handles[3];

	fake.is_active = true;
	int r = tpacket_open_group(options, 3, handles, error);
	fake.is_active = false;
	for (int i = 0; r == 0 && i < 3; i++)
		tpacket_close(handles[i]);
	return r;
}

static bool is_memory(const char *step)
{
	return !strcmp(step, "calloc") || !strcmp(step, "malloc") || !strcmp(step, "strdup");
}

/* Returns the number of steps. may_fail: a step that the opening can do without. */
static int fail_each(const struct tpacket_options *options, open_fn *opens, const char *may_fail)
{
	int before = count_descriptors();

	for (int i = 0;; i++) {
		struct tpacket_error error = {""};
		reset(NULL);
		fake.fail_at = i;
		fake.error = EXFULL; /* none that the library treats in a special way */
		int r = opens(options, &error);
		assert_int_equal(fake.mappings, 0);
		assert_int_equal(count_descriptors(), before);
		if (fake.calls <= i) { /* there is no such step any more */
			assert_int_equal(r, 0);
			return i;
		}
		const char *failed = fake.names[i];
		if (may_fail && !strcmp(failed, may_fail)) {
			assert_int_equal(r, 0);
			continue;
		}
		if (r == 0)
			print_error("%s, step %d, may not fail\n", failed, i);
		assert_int_equal(r, is_memory(failed) ? -ENOMEM : -EXFULL);
		assert_non_null(
			strstr(error.message, is_memory(failed) ? ": Cannot allocate memory" : ": Exchange full"));
	}
}

static void test_each_step_fails(void **state)
{
	struct tpacket_options options;

	options_with_everything(&options);
	assert_int_equal(fail_each(&options, open_and_close, NULL), 40);
	/* Without /proc the own namespace cannot be remembered. */
	options_with_descriptors(&options);
	assert_int_equal(fail_each(&options, open_and_close, "open"), 24);
}

static void test_each_step_of_a_group_fails(void **state)
{
	struct tpacket_options options;

	options_with_everything(&options);
	assert_int_equal(fail_each(&options, open_and_close_group, NULL), 3 * 38 + 2);
}

/* The sockets and rings of the tries before are gone. */
static void test_automatic_version(void **state)
{
	int before = count_descriptors();

	for (int unknown_from = 1; unknown_from <= 4; unknown_from++) {
		struct tpacket_options options;
		struct tpacket_error error = {""};
		struct tpacket *handle = NULL;
		reset(NULL);
		options_with_everything(&options);
		options.version = TPACKET_VERSION_AUTO;
		options.vlan = TPACKET_VLAN_METADATA; /* V1 has no tags */
		options.reserve_sockets = 0;
		fake.unknown_from = unknown_from;
		int r = open_fake(&options, &handle, &error);
		if (unknown_from == 1) {
			assert_int_equal(r, -EPROTONOSUPPORT);
			assert_string_equal(error.message, "version: automatic: the kernel knows none of TPACKET_V3, "
							   "V2, V1: Protocol not supported");
		} else {
			assert_int_equal(r, 0);
			assert_int_equal(tpacket_version_in_use(handle), unknown_from - 1);
			assert_int_equal(fake.mappings, 1);
			assert_int_equal(count_descriptors(), before + 3);
			tpacket_close(handle);
		}
		assert_int_equal(fake.mappings, 0);
		assert_int_equal(count_descriptors(), before);
	}
}

/* Only the version is negotiated; anything else that fails is not tried three times. */
static void test_automatic_version_stops_at_other_errors(void **state)
{
	struct tpacket_options options;
	struct tpacket *handle;

	options_with_everything(&options);
	options.version = TPACKET_VERSION_AUTO;
	fake.only = "VERSION";
	fake.fail_at = 0;
	fake.error = EBUSY;
	assert_int_equal(open_fake(&options, &handle, NULL), -EBUSY);
	assert_int_equal(fake.calls, 1);
}

static void test_vlan_needs_ethernet(void **state)
{
	struct tpacket_options options;
	struct tpacket_error error;
	struct tpacket *handle;
	int before = count_descriptors();

	options_with_everything(&options);
	fake.hardware_type = 772;
	assert_int_equal(open_fake(&options, &handle, &error), -EINVAL);
	assert_string_equal(error.message, "vlan: insert: interface 'fake0' is of hardware type 772, but tags are put "
					   "into Ethernet (1) only");
	assert_int_equal(fake.mappings, 0);
	assert_int_equal(count_descriptors(), before);
}

/* Nothing that the options point to is looked at after the call. */
static void test_options_are_copied(void **state)
{
	struct tpacket_options options;
	struct tpacket *handle;
	char interface[] = "fake0", netns[] = "/dev/null";
	struct sock_filter filter[] = {{BPF_RET | BPF_K, 0, 0, 123}}, choose[] = {{BPF_RET | BPF_K, 0, 0, 1}};

	options_with_everything(&options);
	options.interface = interface;
	options.netns = netns;
	options.filter = filter;
	options.fanout_program = choose;
	assert_int_equal(open_fake(&options, &handle, NULL), 0);
	memset(interface, 'x', sizeof(interface));
	memset(netns, 'x', sizeof(netns));
	memset(filter, 0, sizeof(filter));
	memset(choose, 0, sizeof(choose));
	assert_string_equal(handle->options.interface, "fake0");
	assert_string_equal(handle->options.netns, "/dev/null");
	assert_int_equal(handle->options.fanout_program[0].k, 1);
	assert_int_equal(tpacket_start(handle), 0);
	assert_int_equal(fake.last_filter, 123);
	tpacket_close(handle);
}

static void test_messages(void **state)
{
	const struct {
		const char *step;
		int error;
		int want;
		const char *message;
	} cases[] = {
		{"socket", EPERM, -EPERM, "packet socket: needs CAP_NET_RAW: Operation not permitted"},
		{"index", ENODEV, -ENODEV, "interface: 'fake0': No such device"},
		{"VERSION", EINVAL, -EPROTONOSUPPORT,
			"version: TPACKET_V3: the kernel does not know it: Protocol not supported"},
		{"IGNORE_OUTGOING", ENOPROTOOPT, -ENOPROTOOPT,
			"ignore_outgoing: true: PACKET_IGNORE_OUTGOING: Protocol not available"},
		{"FILTER", EINVAL, -EINVAL,
			"filter: the kernel refuses this program of 1 instructions: Invalid argument"},
		{"RX_RING", ENOMEM, -ENOMEM, "ring: 16 blocks of 4096 bytes: Cannot allocate memory"},
		{"open", EACCES, -EACCES, "netns: '/dev/null': open: Permission denied"},
		{"thread", EAGAIN, -EAGAIN, "netns: '/dev/null': thread: Resource temporarily unavailable"},
		{"setns", EINVAL, -EINVAL, "netns: '/dev/null': is no network namespace: Invalid argument"},
		{"setns", EPERM, -EPERM,
			"netns: '/dev/null': entering it needs CAP_SYS_ADMIN: Operation not permitted"},
		{"RESERVE", EBUSY, -EBUSY, "vlan: insert: PACKET_RESERVE of 4 bytes: Device or resource busy"},
		{"VNET_HDR_SZ", ENOPROTOOPT, -ENOPROTOOPT,
			"vnet_header: 12 bytes: PACKET_VNET_HDR_SZ (Linux 6.5): Protocol not available"},
		{"bind", ENODEV, -ENODEV, "interface: 'fake0': bind: No such device"},
		{"MEMBERSHIP", EINVAL, -EINVAL, "promiscuous or all_multicast: 'fake0': Invalid argument"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct tpacket_options options;
		struct tpacket_error error;
		struct tpacket *handle;
		reset(NULL);
		options_with_everything(&options);
		fake.only = cases[i].step;
		fake.fail_at = 0;
		fake.error = cases[i].error;
		assert_int_equal(open_fake(&options, &handle, &error), cases[i].want);
		assert_string_equal(error.message, cases[i].message);
	}
}

static void test_shrink(void **state)
{
	struct tpacket_options options;
	struct tpacket *handle;
	struct tpacket_geometry geometry;

	options_with_everything(&options);
	options.shrink = true;
	for (int in_mmap = 0; in_mmap < 2; in_mmap++) {
		reset(NULL);
		fake.max_blocks = 8;
		fake.max_in_mmap = in_mmap;
		assert_int_equal(open_fake(&options, &handle, NULL), 0);
		tpacket_geometry(handle, &geometry);
		assert_int_equal(geometry.block_count, 7); /* 16, 12, 9, 7 */
		assert_int_equal(geometry.block_bytes, 4096);
		assert_int_equal(fake.rings, 4);
		assert_int_equal(fake.block_counts[0], 16);
		assert_int_equal(fake.block_counts[3], 7);
		tpacket_close(handle);
		assert_int_equal(fake.mappings, 0);
	}
	/* It does not shrink to nothing. */
	reset(NULL);
	fake.max_blocks = 3;
	assert_int_equal(open_fake(&options, &handle, NULL), -ENOMEM);
	assert_int_equal(fake.block_counts[fake.rings - 1], 4);
}

static void test_downed_link_opens(void **state)
{
	struct tpacket_options options;
	struct tpacket *handle;

	options_with_everything(&options);
	fake.link_error = ENETDOWN;
	assert_int_equal(open_fake(&options, &handle, NULL), 0);
	tpacket_close(handle);
	reset(NULL);
	fake.link_error = EIO; /* any other error after bind(2) counts */
	assert_int_equal(open_fake(&options, &handle, NULL), -EIO);
}

static void test_filter_is_swapped_or_kept(void **state)
{
	struct sock_filter other[] = {{BPF_RET | BPF_K, 0, 0, 77}};
	struct tpacket_options options;
	struct tpacket *handle;

	options_with_everything(&options);
	options.snap_length = 555;
	assert_int_equal(open_fake(&options, &handle, NULL), 0);
	assert_int_equal(tpacket_start(handle), 0);
	assert_int_equal(tpacket_set_filter(handle, other, 1), 0);
	assert_int_equal(fake.last_filter, 77);
	assert_int_equal(tpacket_set_filter(handle, other, 0), -EINVAL);
	assert_int_equal(tpacket_set_filter(handle, other, 4097), -EINVAL);
	/* One that the kernel refuses leaves the old one in force, also for the next start. */
	fake.is_active = true;
	fake.only = "FILTER";
	fake.calls = 0;
	fake.fail_at = 0;
	fake.error = EINVAL;
	assert_int_equal(tpacket_set_filter(handle, program, 1), -EINVAL);
	fake.is_active = false;
	assert_int_equal(tpacket_stop(handle), 0);
	assert_int_equal(tpacket_start(handle), 0);
	assert_int_equal(fake.last_filter, 77);
	assert_int_equal(tpacket_set_filter(handle, NULL, 0), 0);
	assert_int_equal(fake.last_filter, 555); /* everything, cut to the snap length */
	tpacket_close(handle);
}

static void test_close_takes_null(void **state)
{
	tpacket_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_order_of_the_steps, reset),
		cmocka_unit_test_setup(test_values_of_the_steps, reset),
		cmocka_unit_test_setup(test_each_step_fails, reset),
		cmocka_unit_test_setup(test_each_step_of_a_group_fails, reset),
		cmocka_unit_test_setup(test_automatic_version, reset),
		cmocka_unit_test_setup(test_automatic_version_stops_at_other_errors, reset),
		cmocka_unit_test_setup(test_vlan_needs_ethernet, reset),
		cmocka_unit_test_setup(test_options_are_copied, reset),
		cmocka_unit_test_setup(test_messages, reset),
		cmocka_unit_test_setup(test_shrink, reset),
		cmocka_unit_test_setup(test_downed_link_opens, reset),
		cmocka_unit_test_setup(test_filter_is_swapped_or_kept, reset),
		cmocka_unit_test_setup(test_close_takes_null, reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
