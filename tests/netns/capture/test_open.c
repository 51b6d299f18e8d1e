/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel refuses at the open: the code, the whole message, and no descriptor left behind. */
#include "net.h"

#include <linux/filter.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void assert_refused(const struct tpacket_options *options, int want, const char *message)
{
	struct tpacket_error error = {""};
	struct tpacket *handle = NULL;
	int before = net_count_descriptors();

	assert_int_equal(tpacket_open(options, &handle, &error), want);
	assert_string_equal(error.message, message);
	assert_null(handle);
	assert_int_equal(net_count_descriptors(), before);
	assert_int_equal(tpacket_open(options, &handle, NULL), want);
	assert_int_equal(net_count_descriptors(), before);
}

static void test_unknown_interface(void **state)
{
	struct tpacket_options options;

	net_options(&options);
	options.interface = "nosuch0";
	assert_refused(&options, -ENODEV, "interface: 'nosuch0': No such device");
}

static void test_bad_program(void **state)
{
	struct sock_filter jumps_away[] = {
		BPF_JUMP(BPF_JMP | BPF_JA, 100, 0, 0),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct tpacket_options options;

	net_options(&options);
	options.filter = jumps_away;
	options.filter_length = 2;
	assert_refused(
		&options, -EINVAL, "filter: the kernel refuses this program of 2 instructions: Invalid argument");

	/* Also when it comes later, before and after the start, and what was there stays. */
	options.filter = NULL;
	options.filter_length = 0;
	struct tpacket *handle;
	assert_int_equal(tpacket_open(&options, &handle, NULL), 0);
	int before = net_count_descriptors();
	assert_int_equal(tpacket_set_filter(handle, jumps_away, 2), -EINVAL);
	assert_int_equal(tpacket_start(handle), 0);
	assert_int_equal(tpacket_set_filter(handle, jumps_away, 2), -EINVAL);
	assert_int_equal(net_count_descriptors(), before);
	int sender = net_sender(NET_SEND);
	net_send_numbers(sender, 100, 0, 3);
	assert_int_equal(net_drain(handle, 50, NULL, NULL), 3);
	close(sender);
	tpacket_close(handle);
}

static int open_without_rights(void)
{
	struct tpacket_options options;
	struct tpacket_error error = {""};
	struct tpacket *handle;

	net_options(&options);
	if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
		return 1;
	if (tpacket_open(&options, &handle, &error) != -EPERM)
		return 2;
	return strcmp(error.message, "packet socket: needs CAP_NET_RAW: Operation not permitted") ? 3 : 0;
}

static void test_no_rights(void **state)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(open_without_rights());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* A descriptor limit makes eventfd(2), then socket(2) fail. */
static void test_no_descriptors(void **state)
{
	struct tpacket_options options;
	struct tpacket_error error;
	struct tpacket *handle = NULL;
	struct rlimit old, few;

	net_options(&options);
	int next = dup(0);
	close(next);
	getrlimit(RLIMIT_NOFILE, &old);
	for (int spare = 0; spare < 2; spare++) {
		few = old;
		few.rlim_cur = (rlim_t)(next + spare);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		int r = tpacket_open(&options, &handle, &error);
		setrlimit(RLIMIT_NOFILE, &old);
		assert_int_equal(r, -EMFILE);
		assert_string_equal(
			error.message, spare ? "packet socket: Too many open files" : "eventfd: Too many open files");
		assert_null(handle);
		int again = dup(0);
		close(again);
		assert_int_equal(again, next); /* the lowest free one: none was left open */
	}
}

static void test_geometry(void **state)
{
	struct tpacket_options options;
	struct tpacket_geometry geometry;

	net_options(&options);
	struct tpacket *handle = net_open(&options);
	tpacket_geometry(handle, &geometry);
	assert_int_equal(geometry.block_bytes, options.block_bytes);
	assert_int_equal(geometry.block_count, options.block_count);
	assert_int_equal(geometry.frame_bytes, options.frame_bytes);
	assert_int_equal(tpacket_version_in_use(handle), TPACKET_VERSION_3);
	assert_true(tpacket_fd(handle) >= 0);
	tpacket_close(handle);
}

/* The smallest frame that the rules allow is one that the kernel takes. */
static void test_smallest_frame_and_block(void **state)
{
	struct tpacket_options options;

	net_options(&options);
	options.block_bytes = 20480; /* 5 pages, 256 frames */
	options.frame_bytes = 80;
	options.block_count = 1;
	struct tpacket *handle = net_open(&options);
	int sender = net_sender(NET_SEND);
	for (uint32_t i = 0; i < 10; i++) {
		net_send_numbers(sender, 1500, 0, 5);
		assert_int_equal(net_drain(handle, 50, NULL, NULL), 5);
	}
	close(sender);
	tpacket_close(handle);
}

static void test_open_and_close_leave_nothing(void **state)
{
	struct tpacket_options options;
	int before = net_count_descriptors();

	net_options(&options);
	options.promiscuous = true;
	for (int i = 0; i < 20; i++)
		tpacket_close(net_open(&options));
	assert_int_equal(net_count_descriptors(), before);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_unknown_interface),
		NET_TEST(test_bad_program),
		NET_TEST(test_no_rights),
		NET_TEST(test_no_descriptors),
		NET_TEST(test_geometry),
		NET_TEST(test_smallest_frame_and_block),
		NET_TEST(test_open_and_close_leave_nothing),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
