/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a handle: who refers to it, who is in a call, and who frees it. Without a socket. */
#include "cmocka_all.h"
#include "internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

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

static struct tpacket *create(void)
{
	struct tpacket_options options;
	struct tpacket *handle = NULL;

	tpacket_options_init(&options);
	assert_int_equal(tpk_handle_create(&options, &handle, NULL), 0);
	return handle;
}

static void test_references(void **state)
{
	int before = count_descriptors();
	struct tpacket *handle = create();

	assert_ptr_equal(tpacket_get(handle), handle);
	tpacket_close(handle);
	assert_true(count_descriptors() > before); /* somebody still has it */
	assert_int_equal(tpk_enter(handle), -ESHUTDOWN);
	assert_int_equal(handle->life.state, TPK_CLOSING);
	tpacket_close(handle);
	assert_int_equal(count_descriptors(), before);
}

static void test_enter_and_leave(void **state)
{
	struct tpacket *handle = create();

	assert_int_equal(handle->life.state, 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(tpk_enter(handle), 0);
		assert_int_equal(handle->life.state, TPK_BUSY);
		assert_false(tpk_is_closing(handle));
		tpk_leave(handle);
		assert_int_equal(handle->life.state, 0);
	}
	tpacket_close(handle);
}

/* The descriptors in the options are duplicated, and close on exec(2). */
static void test_descriptors_are_duplicated(void **state)
{
	struct tpacket_options options;
	struct tpacket *handle = NULL;
	int before = count_descriptors();
	int pair[2];

	assert_int_equal(pipe(pair), 0);
	tpacket_options_init(&options);
	options.filter_fd = pair[0];
	options.fanout_program_fd = pair[1];
	options.reopen = true;
	assert_int_equal(tpk_handle_create(&options, &handle, NULL), 0);
	close(pair[0]);
	close(pair[1]);
	assert_int_equal(write(handle->options.fanout_program_fd, "x", 1), 1);
	assert_int_equal(fcntl(handle->filter_fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(handle->options.fanout_program_fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(handle->netns_fd, F_GETFD), FD_CLOEXEC);
	assert_string_equal(handle->options.interface, "");
	tpacket_close(handle);
	assert_int_equal(count_descriptors(), before);
}

static void test_bad_descriptor(void **state)
{
	struct tpacket_options options;
	struct tpacket_error error;
	struct tpacket *handle = NULL;
	int before = count_descriptors();

	tpacket_options_init(&options);
	options.filter_fd = 9999;
	assert_int_equal(tpk_handle_create(&options, &handle, &error), -EBADF);
	assert_string_equal(error.message, "filter_fd: 9999: Bad file descriptor");
	assert_null(handle);
	options.filter_fd = 0;
	options.fanout_program_fd = 9998;
	assert_int_equal(tpk_handle_create(&options, &handle, &error), -EBADF);
	assert_string_equal(error.message, "fanout_program_fd: 9998: Bad file descriptor");
	assert_int_equal(count_descriptors(), before);
}

struct visitor {
	struct tpacket *handle;
	bool is_inside; /* atomic */
	bool has_left;  /* atomic */
	uint32_t calls;
};

static void *stay_inside(void *argument)
{
	struct visitor *visitor = argument;

	if (tpk_enter(visitor->handle) < 0)
		return NULL;
	__atomic_store_n(&visitor->is_inside, true, __ATOMIC_RELEASE);
	while (!tpk_is_closing(visitor->handle))
		usleep(1000);
	usleep(100000);
	__atomic_store_n(&visitor->has_left, true, __ATOMIC_RELEASE);
	tpk_leave(visitor->handle);
	return NULL;
}

/* Also who has no reference of its own is waited for while it is in a call. */
static void test_close_waits_for_a_call(void **state)
{
	struct visitor visitor = {.handle = create()};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, stay_inside, &visitor), 0);
	while (!__atomic_load_n(&visitor.is_inside, __ATOMIC_ACQUIRE))
		usleep(1000);
	tpacket_close(visitor.handle);
	assert_true(__atomic_load_n(&visitor.has_left, __ATOMIC_ACQUIRE));
	pthread_join(thread, NULL);
}

static void *come_and_go(void *argument)
{
	struct visitor *visitor = argument;

	while (tpk_enter(visitor->handle) == 0) {
		visitor->calls++;
		__atomic_store_n(&visitor->is_inside, true, __ATOMIC_RELEASE);
		tpk_leave(visitor->handle);
	}
	tpacket_close(visitor->handle);
	return NULL;
}

/* Whichever of the two lets go last frees it: no use after that (AddressSanitizer), no race (ThreadSanitizer). */
static void test_close_at_any_moment(void **state)
{
	int before = count_descriptors();
	uint64_t calls = 0;

	for (unsigned int i = 0; i < 3000; i++) {
		struct visitor visitor = {.handle = create()};
		pthread_t thread;
		tpacket_get(visitor.handle);
		assert_int_equal(pthread_create(&thread, NULL, come_and_go, &visitor), 0);
		/* Before it begins, or while it is going in and out. */
		for (unsigned int spin = 0; spin < i % 64 * 100; spin++)
			if (i % 2 && !__atomic_load_n(&visitor.is_inside, __ATOMIC_ACQUIRE))
				spin = 0;
		tpacket_close(visitor.handle);
		pthread_join(thread, NULL);
		calls += visitor.calls;
	}
	assert_true(calls > 0);
	assert_int_equal(count_descriptors(), before);
}

static void test_counters_of_a_closed_handle(void **state)
{
	struct tpacket_counters counters;
	struct tpacket *handle = tpacket_get(create());

	assert_int_equal(tpacket_stats(handle, &counters), 0);
	assert_int_equal(counters.seen, 0);
	tpacket_close(handle);
	assert_int_equal(tpacket_stats(handle, &counters), -ESHUTDOWN);
	assert_int_equal(tpacket_send(handle, "x", 1), -ENXIO); /* it is not bound to one interface anyway */
	tpacket_close(handle);
}

/* What fell between joining a group and starting is not in seen; what was dropped stays in it. */
static void test_join_gap_is_not_seen(void **state)
{
	struct tpacket_counters counters;
	struct tpacket *handle = create();

	tpk_stats_add(&handle->counters, 1000, 100, 2);
	tpk_count(&handle->counters.join_gap, 30);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tpacket_stats(handle, &counters), 0);
		assert_int_equal(counters.seen, 970);
		assert_int_equal(counters.dropped, 100);
		assert_int_equal(counters.delivered, 870);
		assert_int_equal(counters.join_gap, 30);
		assert_int_equal(counters.freezes, 2);
	}
	tpacket_close(handle);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_references),
		cmocka_unit_test(test_enter_and_leave),
		cmocka_unit_test(test_descriptors_are_duplicated),
		cmocka_unit_test(test_bad_descriptor),
		cmocka_unit_test(test_close_waits_for_a_call),
		cmocka_unit_test(test_close_at_any_moment),
		cmocka_unit_test(test_counters_of_a_closed_handle),
		cmocka_unit_test(test_join_gap_is_not_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
