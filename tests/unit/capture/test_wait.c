/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waiting: the caller's timeout is kept, a wake-up is never lost, signals do not shorten the wait, and a socket that
 * reports events which lead to nothing is not polled in a loop.
 */
#include "cmocka_all.h"
#include "barrier.h"
#include "block.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct wait_test {
	struct test_ring ring;
	int peer; /* of the socket pair that stands for the packet socket; -1: none */
};

static int set_up(void **state)
{
	static struct wait_test t;

	test_ring_init(&t.ring, 0);
	t.ring.handle.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	t.peer = -1;
	*state = &t;
	return t.ring.handle.wake_fd < 0;
}

static int tear_down(void **state)
{
	struct wait_test *t = *state;

	close(t->ring.handle.wake_fd);
	if (t->peer >= 0) {
		close(t->ring.handle.fd);
		close(t->peer);
	}
	test_ring_fini(&t->ring);
	return 0;
}

static double elapsed_ms(int64_t begin_ns)
{
	return (double)(tpk_now_ns() - begin_ns) / 1e6;
}

static void test_timeout_is_kept(void **state)
{
	struct wait_test *t = *state;
	struct tpacket_lease lease;
	int64_t begin = tpk_now_ns();

	assert_int_equal(tpacket_acquire(&t->ring.handle, 0, &lease), 0);
	assert_true(elapsed_ms(begin) < 500);
	begin = tpk_now_ns();
	assert_int_equal(tpacket_acquire(&t->ring.handle, 120, &lease), 0);
	assert_true(elapsed_ms(begin) >= 120);
	/* Longer than the library's own step. */
	begin = tpk_now_ns();
	assert_int_equal(tpacket_acquire(&t->ring.handle, 1200, &lease), 0);
	assert_true(elapsed_ms(begin) >= 1200);
	assert_true(t->ring.handle.counters.polls < 10);
}

static void on_alarm(int signal_number)
{
}

static void test_signals_do_not_shorten(void **state)
{
	struct wait_test *t = *state;
	struct tpacket_lease lease;
	struct sigaction action = {.sa_handler = on_alarm}, old;
	struct itimerval each = {{0, 10000}, {0, 10000}}, off = {{0, 0}, {0, 0}};

	sigaction(SIGALRM, &action, &old);
	setitimer(ITIMER_REAL, &each, NULL);
	int64_t begin = tpk_now_ns();
	int r = tpacket_acquire(&t->ring.handle, 200, &lease);
	double ms = elapsed_ms(begin);
	setitimer(ITIMER_REAL, &off, NULL);
	sigaction(SIGALRM, &old, NULL);
	assert_int_equal(r, 0);
	assert_true(ms >= 200);
	assert_true(t->ring.handle.counters.polls >= 3); /* it was interrupted */
}

static void test_wake_before_acquire(void **state)
{
	struct wait_test *t = *state;
	struct test_frame frame = {.data = "x", .captured = 1, .original = 1};
	struct tpacket_lease lease;

	/* Even with a block to hand out, so that a reader under full load can be stopped. */
	test_ring_add(&t->ring, 0, &frame);
	test_ring_retire(&t->ring, 0, 0);
	tpacket_wake(&t->ring.handle);
	tpacket_wake(&t->ring.handle);
	assert_int_equal(tpacket_acquire(&t->ring.handle, -1, &lease), 0);
	assert_int_equal(tpacket_acquire(&t->ring.handle, -1, &lease), 1);
	tpacket_release(&lease);
	/* Both wake-ups are used up. */
	int64_t begin = tpk_now_ns();
	assert_int_equal(tpacket_acquire(&t->ring.handle, 60, &lease), 0);
	assert_true(elapsed_ms(begin) >= 60);
}

static void *wake_later(void *argument)
{
	usleep(50000);
	errno = 0;
	tpacket_wake(argument);
	return NULL;
}

static void test_wake_from_another_thread(void **state)
{
	struct wait_test *t = *state;
	struct tpacket_lease lease;

	for (int i = 0; i < 5; i++) {
		pthread_t thread;
		int64_t begin = tpk_now_ns();
		assert_int_equal(pthread_create(&thread, NULL, wake_later, &t->ring.handle), 0);
		assert_int_equal(tpacket_acquire(&t->ring.handle, -1, &lease), 0);
		assert_true(elapsed_ms(begin) >= 40 && elapsed_ms(begin) < 900);
		pthread_join(thread, NULL);
	}
}

#define WAKES 20000

static void *wake_often(void *argument)
{
	for (int i = 0; i < WAKES; i++)
		tpacket_wake(argument);
	return NULL;
}

/* After the last wake-up there is always a return: it would hang otherwise. */
static void test_no_wake_is_lost(void **state)
{
	struct wait_test *t = *state;
	struct tpacket_lease lease;
	pthread_t thread;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(pthread_create(&thread, NULL, wake_often, &t->ring.handle), 0);
		assert_int_equal(tpacket_acquire(&t->ring.handle, 5000, &lease), 0);
		pthread_join(thread, NULL);
		tpacket_wake(&t->ring.handle);
		int64_t begin = tpk_now_ns();
		assert_int_equal(tpacket_acquire(&t->ring.handle, 5000, &lease), 0);
		assert_true(elapsed_ms(begin) < 2500);
	}
}

static void *nudge_then_close(void *argument)
{
	struct tpacket *handle = argument;

	usleep(50000);
	tpk_wake_nudge(handle);
	usleep(50000);
	tpk_bits_set(&handle->life.state, TPK_CLOSING);
	tpacket_wake(handle);
	return NULL;
}

/* The library's own signal makes the reader look, not return; being closed comes before being woken. */
static void test_nudge_and_close(void **state)
{
	struct wait_test *t = *state;
	struct tpacket_lease lease = {0};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, nudge_then_close, &t->ring.handle), 0);
	int64_t begin = tpk_now_ns();
	assert_int_equal(tpk_wait_for_block(&t->ring.handle, -1, &lease), -ESHUTDOWN);
	assert_true(elapsed_ms(begin) >= 90);
	pthread_join(thread, NULL);
	assert_true(t->ring.handle.counters.polls >= 2);
}

static void test_wake_keeps_errno(void **state)
{
	struct wait_test *t = *state;
	int fd = t->ring.handle.wake_fd;

	t->ring.handle.wake_fd = -1; /* the write fails */
	errno = ENOTTY;
	tpacket_wake(&t->ring.handle);
	t->ring.handle.wake_fd = fd;
	assert_int_equal(errno, ENOTTY);
}

/* Readable for ever, and the ring's head is not ready. */
static void test_readable_without_a_block_does_not_spin(void **state)
{
	struct wait_test *t = *state;
	struct tpacket_lease lease;
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
	t->ring.handle.fd = pair[0];
	t->peer = pair[1];
	assert_int_equal(write(pair[1], "x", 1), 1);
	int64_t begin = tpk_now_ns();
	assert_int_equal(tpacket_acquire(&t->ring.handle, 500, &lease), 0);
	assert_true(elapsed_ms(begin) >= 500);
	assert_true(t->ring.handle.counters.polls <= 120);
	/* And the wake-up still works while the socket is left alone. */
	tpacket_wake(&t->ring.handle);
	assert_int_equal(tpacket_acquire(&t->ring.handle, -1, &lease), 0);
}

static void test_closed_descriptor_is_an_error(void **state)
{
	struct wait_test *t = *state;
	struct tpacket_lease lease;
	int fd = dup(0);

	assert_true(fd >= 0);
	close(fd);
	t->ring.handle.fd = fd;
	assert_int_equal(tpacket_acquire(&t->ring.handle, -1, &lease), -EBADF);
}

#define WAIT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WAIT_TEST(test_timeout_is_kept),
		WAIT_TEST(test_signals_do_not_shorten),
		WAIT_TEST(test_wake_before_acquire),
		WAIT_TEST(test_wake_from_another_thread),
		WAIT_TEST(test_no_wake_is_lost),
		WAIT_TEST(test_nudge_and_close),
		WAIT_TEST(test_wake_keeps_errno),
		WAIT_TEST(test_readable_without_a_block_does_not_spin),
		WAIT_TEST(test_closed_descriptor_is_an_error),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
