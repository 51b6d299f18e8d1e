/* SPDX-License-Identifier: Apache-2.0 */
/* An interface in another network namespace, while every thread of this process stays in its own. */
#include "gone.h"

#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAR "wbf0" /* the ring's end, over there */

static pid_t far;
static char far_path[64];

static ino_t own_namespace(void)
{
	struct stat here;

	assert_int_equal(stat("/proc/thread-self/ns/net", &here), 0);
	return here.st_ino;
}

static int far_set_up(void **state)
{
	far = gone_other_namespace();
	snprintf(far_path, sizeof(far_path), "/proc/%d/ns/net", (int)far);
	net_run("ip link add " NET_SEND " address 02:00:00:00:00:02 type veth peer name " FAR
		" address 02:00:00:00:00:01 netns %d",
		(int)far);
	net_run("ip link set " NET_SEND " up && nsenter -t %d -n ip link set " FAR " up", (int)far);
	usleep(200000);
	return 0;
}

static int far_tear_down(void **state)
{
	if (if_nametoindex(NET_SEND))
		net_run("ip link del " NET_SEND);
	gone_end_process(far);
	return 0;
}

static void far_options(struct tpacket_options *options)
{
	gone_options(options);
	options->interface = FAR;
	options->netns = far_path;
}

static void test_interface_over_there(void **state)
{
	struct tpacket_options options;
	struct tpacket_counters counters;
	ino_t before = own_namespace();
	char name[16], path[64];
	int descriptors = net_count_descriptors();

	far_options(&options);
	options.reopen = false;
	snprintf(path, sizeof(path), "%s", far_path);
	options.netns = path;
	struct tpacket *handle = net_open(&options);
	memset(path, 'x', sizeof(path)); /* needs to live during the call only */
	assert_int_equal(own_namespace(), before);
	assert_int_equal(net_count_descriptors(), descriptors + 2);
	assert_int_equal(tpacket_interface_name(handle, name), 0);
	assert_string_equal(name, FAR);
	gone_pass(handle, 0, 20);
	net_finish(handle, &counters);
	assert_int_equal(counters.seen, 20);
	tpacket_close(handle);
}

static void test_all_interfaces_over_there(void **state)
{
	struct tpacket_options options;
	char name[16] = "x";

	far_options(&options);
	options.interface = "";
	options.reopen = false;
	struct tpacket *handle = net_open(&options);
	assert_int_equal(tpacket_interface_index(handle), 0);
	assert_int_equal(tpacket_interface_name(handle, name), 0);
	assert_string_equal(name, "");
	gone_pass(handle, 0, 20);
	assert_int_equal(tpacket_send(handle, "0123456789abcdef", 16), -ENXIO);
	tpacket_close(handle);
}

static void far_recreate(void)
{
	net_run("ip link add " NET_SEND " type veth peer name " FAR " address 02:00:00:00:00:01 netns %d", (int)far);
	net_run("ip link set " NET_SEND " up && nsenter -t %d -n ip link set " FAR " up", (int)far);
	usleep(100000);
}

static void test_comes_back_over_there(void **state)
{
	struct tpacket_options options;
	ino_t before = own_namespace();

	far_options(&options);
	struct tpacket *handle = net_open(&options);
	gone_pass(handle, 0, 20);
	net_run("ip link del " NET_SEND);
	gone_wait_gone(handle);
	far_recreate();
	gone_wait_back(handle);
	assert_int_equal(own_namespace(), before);
	gone_pass(handle, 0, 20);
	tpacket_close(handle);
}

static void test_group_over_there(void **state)
{
	struct tpacket_options options;
	struct tpacket *handles[3];
	uint8_t frame[NET_UDP_BYTES];
	uint32_t read = 0;
	int sender = net_sender(NET_SEND);

	far_options(&options);
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_flags = TPACKET_FANOUT_UNIQUE_ID;
	assert_int_equal(tpacket_open_group(&options, 3, handles, NULL), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tpacket_fanout_id(handles[i]), tpacket_fanout_id(handles[0]));
		assert_int_equal(tpacket_start(handles[i]), 0);
	}
	for (uint32_t i = 0; i < 500; i++) {
		net_udp_frame(frame, i);
		net_send(sender, frame, sizeof(frame));
	}
	for (int i = 0; i < 3; i++) {
		read += net_drain(handles[i], 50, NULL, NULL);
		tpacket_close(handles[i]);
	}
	assert_int_equal(read, 500);
	close(sender);
}

static void assert_refused(const struct tpacket_options *options, int want, const char *message)
{
	struct tpacket_error error = {""};
	struct tpacket *handle = NULL;
	int before = net_count_descriptors();
	ino_t here = own_namespace();

	assert_int_equal(tpacket_open(options, &handle, &error), want);
	assert_string_equal(error.message, message);
	assert_null(handle);
	assert_int_equal(net_count_descriptors(), before);
	assert_int_equal(own_namespace(), here);
}

static void test_bad_paths(void **state)
{
	struct tpacket_options options;
	char message[256];

	far_options(&options);
	options.netns = "/nosuch/ns";
	assert_refused(&options, -ENOENT, "netns: '/nosuch/ns': open: No such file or directory");
	options.netns = "/proc/self/status";
	assert_refused(&options, -EINVAL, "netns: '/proc/self/status': is no network namespace: Invalid argument");
	options.netns = "/proc/self/ns/uts";
	assert_refused(&options, -EINVAL, "netns: '/proc/self/ns/uts': is no network namespace: Invalid argument");
	options.netns = "";
	assert_refused(&options, -EINVAL, "netns: '': must be the path of a network namespace, or NULL");
	/* The interface of this namespace is not there. */
	options.netns = far_path;
	options.interface = NET_SEND;
	snprintf(message, sizeof(message), "interface: '%s': No such device", NET_SEND);
	assert_refused(&options, -ENODEV, message);
}

static int open_without_rights(const struct tpacket_options *options)
{
	struct tpacket_error error = {""};
	struct tpacket *handle;

	if (setresuid(65534, 65534, 65534) < 0)
		return 1;
	/* Already open, as a process that gives up its rights would have it. */
	if (tpacket_open(options, &handle, &error) != -EPERM)
		return 2;
	return strstr(error.message, "entering it needs CAP_SYS_ADMIN: Operation not permitted") ? 0 : 3;
}

static void test_no_rights(void **state)
{
	struct tpacket_options options;
	char path[64];
	int status, fd = open(far_path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	far_options(&options);
	options.netns = path;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(open_without_rights(&options));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	close(fd);
}

#define FAR_TEST(f) cmocka_unit_test_setup_teardown(f, far_set_up, far_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAR_TEST(test_interface_over_there),
		FAR_TEST(test_all_interfaces_over_there),
		FAR_TEST(test_comes_back_over_there),
		FAR_TEST(test_group_over_there),
		FAR_TEST(test_bad_paths),
		FAR_TEST(test_no_rights),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
