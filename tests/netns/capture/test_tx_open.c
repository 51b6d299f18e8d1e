/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening a sending ring: refused options and their messages, rings of all shapes, and every system call made to fail
 * in turn by the linker's --wrap: each failure has a message, and leaves no descriptor, mapping or memory behind.
 */
#include "tx_rig.h"

#include <linux/if_packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the next call of the library meets. */
static struct {
	bool is_active;
	int calls;
	int fail_at; /* -1: none */
	int error;
	uint32_t max_blocks;        /* a larger ring is ENOMEM; 0: any */
	bool has_no_v3;             /* PACKET_VERSION says EINVAL */
	bool has_no_v3_for_sending; /* PACKET_TX_RING does */
	bool has_no_room;           /* mmap(2) says ENOMEM */
	int mappings;
} faults;

static bool fails(void)
{
	if (!faults.is_active || faults.calls++ != faults.fail_at)
		return false;
	errno = faults.error;
	return true;
}

/* clang-format off */
#define WRAP(type, name, failed, parameters, arguments)                                                                \
	type __real_##name parameters;                                                                                 \
	type __wrap_##name parameters;                                                                                 \
	type __wrap_##name parameters { return fails() ? failed : __real_##name arguments; }
WRAP(int, socket, -1, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, bind, -1, (int fd, const struct sockaddr *address, socklen_t bytes), (fd, address, bytes))
WRAP(int, getsockname, -1, (int fd, struct sockaddr *address, socklen_t *bytes), (fd, address, bytes))
WRAP(int, eventfd, -1, (unsigned int value, int flags), (value, flags))
WRAP(int, epoll_create1, -1, (int flags), (flags))
WRAP(int, epoll_ctl, -1, (int epoll, int how, int fd, struct epoll_event *event), (epoll, how, fd, event))
WRAP(void *, calloc, NULL, (size_t count, size_t bytes), (count, bytes))
/* clang-format on */

int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
	return fails() ? -1 : __real_ioctl(fd, request, argument);
}

static bool is_refused(int option, const void *value, socklen_t bytes)
{
	const struct tpacket_req *request = value;

	if (!faults.is_active)
		return false;
	errno = EINVAL;
	if (option == PACKET_VERSION && faults.has_no_v3 && *(const int *)value == TPACKET_V3)
		return true;
	/* A ring of no blocks takes one down, of whatever version it is. */
	if (option == PACKET_TX_RING && faults.has_no_v3_for_sending && bytes == sizeof(struct tpacket_req3) &&
		request->tp_block_nr)
		return true;
	errno = ENOMEM;
	return option == PACKET_TX_RING && faults.max_blocks && request->tp_block_nr > faults.max_blocks;
}

int __real_setsockopt(int fd, int level, int option, const void *value, socklen_t bytes);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t bytes);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t bytes)
{
	return fails() || is_refused(option, value, bytes) ? -1 : __real_setsockopt(fd, level, option, value, bytes);
}

void *__real_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
	if (fails())
		return MAP_FAILED;
	if (faults.is_active && faults.has_no_room) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	void *memory = __real_mmap(at, bytes, protection, flags, fd, offset);
	faults.mappings += faults.is_active && memory != MAP_FAILED;
	return memory;
}

int __real_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes);
int __wrap_munmap(void *at, size_t bytes)
{
	faults.mappings -= faults.is_active;
	return __real_munmap(at, bytes);
}

static int set_up(void **state)
{
	memset(&faults, 0, sizeof(faults));
	faults.fail_at = -1;
	return tx_set_up(state);
}

static int open_faulty(
	const struct tpacket_tx_options *options, struct tpacket_tx **ret_tx, struct tpacket_error *ret_error)
{
	ret_error->message[0] = '\0';
	faults.is_active = true;
	faults.calls = 0;
	int r = tpacket_tx_open(options, ret_tx, ret_error);
	faults.is_active = false;
	return r;
}

static void close_faulty(struct tpacket_tx *tx)
{
	faults.is_active = true;
	tpacket_tx_close(tx);
	faults.is_active = false;
	assert_int_equal(faults.mappings, 0);
}

static void assert_refused(const struct tpacket_tx_options *options, int error, const char *message)
{
	struct tpacket_tx *tx = (struct tpacket_tx *)1;
	struct tpacket_error got;
	int descriptors = net_count_descriptors();

	assert_int_equal(tpacket_tx_open(options, &tx, &got), error);
	assert_null(tx);
	assert_string_equal(got.message, message);
	assert_int_equal(tpacket_tx_open(options, &tx, NULL), error);
	assert_int_equal(net_count_descriptors(), descriptors);
}

static void test_refused_options(void **state)
{
	struct tpacket_tx_options o;

	tpacket_tx_options_init(&o);
	assert_refused(&o, -EINVAL, "interface: '': sending needs one interface");
	o.interface = "";
	assert_refused(&o, -EINVAL, "interface: '': sending needs one interface");
	o.interface = "abcdefghijklmnop";
	assert_refused(&o, -EINVAL, "interface: 'abcdefghijklmnop': a name has at most 15 characters");
	o.interface = "none0";
	assert_refused(&o, -ENODEV, "interface: 'none0': No such device");
	tx_options(&o);
	o.version = TPACKET_VERSION_1;
	assert_refused(&o, -EINVAL, "version: 1: a sending ring has version 2, 3, or 0 for the best");
	o.version = 4;
	assert_refused(&o, -EINVAL, "version: 4: a sending ring has version 2, 3, or 0 for the best");
	tx_options(&o);
	o.vnet_header_bytes = 11;
	assert_refused(&o, -EINVAL, "vnet_header_bytes: 11: must be 0 (none), 10 or 12");
	o.vnet_header_bytes = 12;
	o.frame_bytes = 12;
	assert_refused(&o, -EINVAL, "frame_bytes: 12: must exceed vnet_header_bytes (12)");
	o.frame_bytes = 184321;
	assert_refused(&o, -EINVAL, "frame_bytes: 184321: must be at most 184320");
	tx_options(&o);
	o.frame_count = 0;
	assert_refused(&o, -EINVAL, "frame_count: 0: must be between 1 and 16777216");
	o.frame_count = (1 << 24) + 1;
	assert_refused(&o, -EINVAL, "frame_count: 16777217: must be between 1 and 16777216");
}

/* Slots of every kind: tiny, of odd size, larger than a page, larger than 60 KiB; each ring is gone around. */
static void test_shapes(void **state)
{
	static const uint32_t sizes[] = {1, 14, 60, 100, 999, 1514, 2000, 2048, 4000, 4096, 9000, 65000, 184320};
	static const uint32_t counts[] = {1, 3, 100};
	struct tpacket_tx_options options;
	struct tpacket_tx_geometry g;
	int receiver = tx_receiver(0);

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) * 3; i++) {
		uint32_t number = 0;
		tx_options(&options);
		options.frame_bytes = sizes[i / 3];
		options.frame_count = counts[i % 3];
		struct tpacket_tx *tx = tx_open(&options);
		tpacket_tx_geometry(tx, &g);
		assert_true(g.frame_bytes >= options.frame_bytes && g.frame_count >= options.frame_count);
		assert_int_equal(g.block_bytes % 4096, 0);
		/* Rounded up by less than a block of them, and little memory is left unused. */
		uint32_t per_block = g.frame_count / g.block_count;
		assert_int_equal(per_block * g.block_count, g.frame_count);
		assert_true(g.frame_count - options.frame_count < per_block);
		assert_true(g.block_count == 1 || per_block * (uint64_t)g.frame_bytes * 4 >= g.block_bytes);
		uint32_t room = g.frame_bytes < TX_LONGEST ? g.frame_bytes : TX_LONGEST;
		for (; number < 2 * g.frame_count + 1 && room >= 18; number++) {
			tx_commit(tx, room, number);
			tx_send_all(tx);
			tx_assert_result(tx, number, 0);
			tx_assert_arrives(receiver, room, number, 0);
		}
		tx_finish(tx, number, 0);
	}
	close(receiver);
}

/* Too little memory, in the kernel or for the mapping: fewer frames, and the ring says how many. */
static void test_shrinks(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_tx_geometry g;
	struct tpacket_error error;
	struct tpacket_tx *tx;

	tx_options(&options);
	options.frame_bytes = 1600;
	options.frame_count = 1000;
	faults.max_blocks = 10;
	assert_int_equal(open_faulty(&options, &tx, &error), -ENOMEM);
	assert_non_null(strstr(error.message, "ring: TPACKET_V"));
	options.shrink = true;
	assert_int_equal(open_faulty(&options, &tx, &error), 0);
	tpacket_tx_geometry(tx, &g);
	assert_in_range(g.block_count, 4, 10);
	assert_int_equal(g.frame_count % g.block_count, 0);
	for (uint32_t i = 0; i < g.frame_count; i++)
		tx_commit(tx, 100, i);
	assert_int_equal(tpacket_tx_cancel(tx, UINT32_MAX), g.frame_count);
	close_faulty(tx);
	faults.max_blocks = 3;
	assert_int_equal(open_faulty(&options, &tx, &error), -ENOMEM);
}

static void test_versions(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_error error;
	struct tpacket_tx *tx;

	for (int i = 0; i < 2; i++) {
		faults.has_no_v3 = i == 0;
		faults.has_no_v3_for_sending = i == 1;
		tx_options(&options);
		assert_int_equal(open_faulty(&options, &tx, &error), 0);
		assert_int_equal(tpacket_tx_version_in_use(tx), TPACKET_VERSION_2);
		int receiver = tx_receiver(0);
		tx_commit(tx, 100, 1);
		assert_int_equal(tpacket_tx_send(tx), 1);
		tx_assert_result(tx, 1, 0);
		tx_assert_arrives(receiver, 100, 1, 0);
		close(receiver);
		close_faulty(tx);
		options.version = TPACKET_VERSION_3;
		assert_int_equal(open_faulty(&options, &tx, &error), -EPROTONOSUPPORT);
		assert_non_null(strstr(error.message, "TPACKET_V3"));
	}
}

/* The version that comes after an unknown one fails for its own reason, which is the one that is told. */
static void test_second_version_fails(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_error error;
	struct tpacket_tx *tx;
	int descriptors = net_count_descriptors();

	faults.has_no_room = true;
	for (int i = 0; i < 4; i++) {
		faults.has_no_v3 = i % 2 == 0;
		faults.has_no_v3_for_sending = i % 2 == 1;
		tx_options(&options);
		options.shrink = i / 2;
		assert_int_equal(open_faulty(&options, &tx, &error), -ENOMEM);
		assert_non_null(strstr(error.message, "ring: TPACKET_V2, "));
		assert_non_null(strstr(error.message, ": Cannot allocate memory"));
		assert_null(tx);
		assert_int_equal(faults.mappings, 0);
		assert_int_equal(net_count_descriptors(), descriptors);
	}
}

/* Failures that are no errors: those of the questions that the ring can do without. */
static void test_each_step_fails(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_error error;
	struct tpacket_tx *tx;
	int descriptors = net_count_descriptors(), failures = 0, steps;

	tx_options(&options);
	options.qdisc_bypass = true;
	options.netns = "/proc/self/ns/net";
	assert_int_equal(open_faulty(&options, &tx, &error), 0);
	steps = faults.calls;
	close_faulty(tx);
	assert_true(steps >= 15);
	for (int step = 0; step < steps; step++) {
		faults.fail_at = step;
		faults.error = EIO;
		int r = open_faulty(&options, &tx, &error);
		if (r == 0) {
			close_faulty(tx);
		} else {
			failures++;
			assert_null(tx);
			assert_true(strlen(error.message) > 10);
		}
		assert_int_equal(faults.mappings, 0);
		assert_int_equal(net_count_descriptors(), descriptors);
	}
	/* calloc twice, socket, eventfd, epoll three times, index, bind, name, bypass, version, ring, mapping; a vnet
	 * header */
	assert_true(failures >= 14 + (tx_variant.vnet_header_bytes != 0));
	assert_true(steps - failures <= 8);
}

static void test_needs_a_capability(void **state)
{
	struct tpacket_tx_options options;
	struct tpacket_error error;
	struct tpacket_tx *tx;
	int status;

	tx_options(&options);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (setresuid(65534, 65534, 65534) < 0)
			_exit(2);
		_exit(tpacket_tx_open(&options, &tx, &error) == -EPERM && error.message[0] ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

#define FAULT_TEST(f, variant)                                                                                         \
	{                                                                                                              \
#f " " #variant, f, set_up, net_tear_down, (void *)&variant                                            \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		FAULT_TEST(test_refused_options, tx_auto),
		FAULT_TEST(test_shapes, tx_v2),
		FAULT_TEST(test_shapes, tx_v3),
		FAULT_TEST(test_shrinks, tx_auto),
		FAULT_TEST(test_shrinks, tx_v2),
		FAULT_TEST(test_versions, tx_auto),
		FAULT_TEST(test_second_version_fails, tx_auto),
		FAULT_TEST(test_each_step_fails, tx_auto),
		FAULT_TEST(test_each_step_fails, tx_v2_vnet),
		FAULT_TEST(test_each_step_fails, tx_v3_vnet),
		FAULT_TEST(test_needs_a_capability, tx_auto),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
