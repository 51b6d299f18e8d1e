/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every step of tpacket_open() is made to fail in turn, against a fake kernel: each failure gives the errno and a
 * message, and leaves no descriptor, no mapping and (under AddressSanitizer) no memory behind. The fake also records
 * the order of the steps.
 */
#include "cmocka_all.h"
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_STEPS 64

static struct {
	int fail_at; /* number of the call that fails; -1: none */
	int error;
	int calls;
	const char *only;                 /* count only calls of this name; NULL: all */
	const char *names[MAX_STEPS];     /* in order */
	uint32_t block_counts[MAX_STEPS]; /* of each ring that was asked for */
	int rings;
	uint32_t max_blocks;  /* a larger ring is ENOMEM; 0: any */
	bool max_in_mmap;     /* mmap(2) says so, not setsockopt(2) */
	int mappings;         /* alive */
	uint32_t last_filter; /* k of the program's first instruction */
	int link_error;
	size_t fanout_bytes;
	uint32_t fanout_argument;
	bool has_ring;
	bool is_active;
} fake;

/* Record a call; true: it is to fail. */
static bool step(const char *name)
{
	if (!fake.is_active || (fake.only && strcmp(fake.only, name)))
		return false;
	assert_true(fake.calls < MAX_STEPS);
	fake.names[fake.calls] = name;
	if (fake.calls++ != fake.fail_at)
		return false;
	errno = fake.error;
	return true;
}

int __wrap_socket(int domain, int type, int protocol);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol)
{
	if (!fake.is_active)
		return __real_socket(domain, type, protocol);
	assert_int_equal(protocol, 0); /* receives nothing before it is bound */
	return step("socket") ? -1 : open("/dev/null", O_RDWR | O_CLOEXEC);
}

int __real_eventfd(unsigned int count, int flags);
int __wrap_eventfd(unsigned int count, int flags);
int __wrap_eventfd(unsigned int count, int flags)
{
	return step("eventfd") ? -1 : __real_eventfd(count, flags);
}

static const char *option_name(int level, int option)
{
	if (level == SOL_SOCKET)
		return option == SO_ATTACH_FILTER ? "FILTER" : "?";
	switch (option) {
	case PACKET_VERSION:
		return "VERSION";
	case PACKET_VNET_HDR:
		return "VNET_HDR";
	case PACKET_TIMESTAMP:
		return "TIMESTAMP";
	case PACKET_IGNORE_OUTGOING:
		return "IGNORE_OUTGOING";
	case PACKET_RX_RING:
		return "RX_RING";
	case PACKET_ADD_MEMBERSHIP:
		return "MEMBERSHIP";
	case PACKET_FANOUT:
		return "FANOUT";
	default:
		return "?";
	}
}

static int fake_ring(const struct tpacket_req3 *request)
{
	if (request->tp_block_nr == 0) {
		fake.has_ring = false;
		return 0;
	}
	if (fake.has_ring) {
		errno = EBUSY;
		return -1;
	}
	fake.block_counts[fake.rings++] = request->tp_block_nr;
	if (fake.max_blocks && !fake.max_in_mmap && request->tp_block_nr > fake.max_blocks) {
		errno = ENOMEM;
		return -1;
	}
	fake.has_ring = true;
	return 0;
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t length);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	const char *name = option_name(level, option);
	bool is_dropped_ring = level == SOL_PACKET && option == PACKET_RX_RING &&
	                       ((const struct tpacket_req3 *)value)->tp_block_nr == 0;

	assert_string_not_equal(name, "?");
	if (!is_dropped_ring && step(name))
		return -1;
	if (!strcmp(name, "FILTER"))
		fake.last_filter = ((const struct sock_fprog *)value)->filter[0].k;
	if (!strcmp(name, "FANOUT")) {
		fake.fanout_bytes = length;
		memcpy(&fake.fanout_argument, value, sizeof(uint32_t));
	}
	return !strcmp(name, "RX_RING") ? fake_ring(value) : 0;
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *length);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	bool is_error = level == SOL_SOCKET && option == SO_ERROR;

	if (step(is_error ? "SO_ERROR" : "get"))
		return -1;
	*(int *)value = is_error ? fake.link_error : (int)fake.fanout_argument;
	return 0;
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length)
{
	return step("bind") ? -1 : 0;
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *length);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
	((struct sockaddr_ll *)address)->sll_hatype = 1;
	((struct sockaddr_ll *)address)->sll_ifindex = 7;
	return step("getsockname") ? -1 : 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;

	assert_int_equal(request, SIOCGIFINDEX);
	if (step("ioctl"))
		return -1;
	va_start(arguments, request);
	va_arg(arguments, struct ifreq *)->ifr_ifindex = 7;
	va_end(arguments);
	return 0;
}

void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	if (step("mmap"))
		return MAP_FAILED;
	if (fake.max_in_mmap && length > (size_t)fake.max_blocks * 4096) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	fake.mappings++;
	return __real_mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int __real_munmap(void *address, size_t length);
int __wrap_munmap(void *address, size_t length);
int __wrap_munmap(void *address, size_t length)
{
	fake.mappings--;
	return __real_munmap(address, length);
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes)
{
	return step("calloc") ? NULL : __real_calloc(count, bytes);
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes)
{
	return step("malloc") ? NULL : __real_malloc(bytes);
}

static struct sock_filter program[] = {{BPF_RET | BPF_K, 0, 0, 123}};

static void options_with_everything(struct tpacket_options *options)
{
	tpacket_options_init(options);
	options->interface = "fake0";
	options->block_bytes = 4096;
	options->block_count = 16;
	options->promiscuous = true;
	options->all_multicast = true;
	options->ignore_outgoing = true;
	options->vnet_header = true;
	options->timestamp = TPACKET_TIMESTAMP_HARDWARE;
	options->filter = program;
	options->filter_length = 1;
	options->fanout = TPACKET_FANOUT_QUEUE_MAPPING;
	options->fanout_flags = TPACKET_FANOUT_ROLL;
	options->fanout_id = 0xabcd;
	options->shrink = false;
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
	const char *want[] = {"calloc", "socket", "eventfd", "ioctl", "VERSION", "VNET_HDR", "TIMESTAMP",
		"IGNORE_OUTGOING", "FILTER", "malloc", "FILTER", "RX_RING", "mmap", "bind", "SO_ERROR", "getsockname",
		"MEMBERSHIP", "MEMBERSHIP", "FANOUT", "get"};
	const int count = sizeof(want) / sizeof(want[0]);
	struct tpacket_options options;
	struct tpacket_error error;
	struct tpacket *handle;

	options_with_everything(&options);
	assert_int_equal(open_fake(&options, &handle, &error), 0);
	for (int i = 0; i < count; i++)
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
	assert_int_equal(
		fake.fanout_argument, 0xabcdu | (uint32_t)(PACKET_FANOUT_QM | PACKET_FANOUT_FLAG_ROLLOVER) << 16);
	assert_int_equal(tpacket_fanout_id(handle), 0xabcd);
	assert_int_equal(tpacket_version_in_use(handle), TPACKET_VERSION_3);
	tpacket_close(handle);
	assert_int_equal(fake.mappings, 0);
}

static void test_each_step_fails(void **state)
{
	struct tpacket_options options;
	struct tpacket *handle;
	int failures = 0;

	options_with_everything(&options);
	int before = count_descriptors();
	for (int i = 0;; i++) {
		struct tpacket_error error = {""};
		reset(NULL);
		fake.fail_at = i;
		fake.error = EXFULL; /* none that the library treats in a special way */
		handle = NULL;
		int r = open_fake(&options, &handle, &error);
		if (fake.calls <= i) { /* there is no such step any more */
			assert_int_equal(r, 0);
			tpacket_close(handle);
			break;
		}
		const char *failed = fake.names[i];
		bool is_memory = !strcmp(failed, "calloc") || !strcmp(failed, "malloc");
		assert_int_equal(r, is_memory ? -ENOMEM : -EXFULL);
		assert_null(handle);
		assert_non_null(strstr(error.message, is_memory ? ": Cannot allocate memory" : ": Exchange full"));
		assert_int_equal(fake.mappings, 0);
		assert_int_equal(count_descriptors(), before);
		failures++;
	}
	assert_int_equal(failures, 20);
	assert_int_equal(count_descriptors(), before);
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
		{"ioctl", ENODEV, -ENODEV, "interface: 'fake0': No such device"},
		{"VERSION", EINVAL, -EPROTONOSUPPORT,
			"version: TPACKET_V3: the kernel does not know it: Protocol not supported"},
		{"IGNORE_OUTGOING", ENOPROTOOPT, -ENOPROTOOPT,
			"ignore_outgoing: true: PACKET_IGNORE_OUTGOING: Protocol not available"},
		{"FILTER", EINVAL, -EINVAL,
			"filter: the kernel refuses this program of 1 instructions: Invalid argument"},
		{"RX_RING", ENOMEM, -ENOMEM, "ring: 16 blocks of 4096 bytes: Cannot allocate memory"},
		{"FANOUT", EALREADY, -EALREADY,
			"fanout: type 5, flags 0x2, id 43981: all members need the same type, flags and protocol: "
			"Operation already in progress"},
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
		cmocka_unit_test_setup(test_each_step_fails, reset),
		cmocka_unit_test_setup(test_messages, reset),
		cmocka_unit_test_setup(test_shrink, reset),
		cmocka_unit_test_setup(test_downed_link_opens, reset),
		cmocka_unit_test_setup(test_filter_is_swapped_or_kept, reset),
		cmocka_unit_test_setup(test_close_takes_null, reset),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
