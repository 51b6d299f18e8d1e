/* SPDX-License-Identifier: Apache-2.0 */
/* Proves that peers are told from strangers by the events of a socket's monitor, in whatever order these come. */
#include <stdio.h>
#include <string.h>

#include "testing.h"

#include "zmq_connections.h"

#define SECOND INT64_C(1000000000)

static struct wb_zmq_connections connections;
static int64_t now;

static enum wb_zmq_change note(unsigned int number, uint32_t value)
{
	const struct wb_zmq_event event = {.number = number, .value = value};

	return wb_zmq_connections_note(&connections, &event, now);
}

static void accept_one(uint32_t fd)
{
	assert_int_equal(note(ZMQ_EVENT_ACCEPTED, fd), WB_ZMQ_NO_CHANGE);
}

static void succeed(void)
{
	assert_int_equal(note(ZMQ_EVENT_HANDSHAKE_SUCCEEDED, 0), WB_ZMQ_PEER_CAME);
}

static void fail_one(void)
{
	assert_int_equal(note(ZMQ_EVENT_HANDSHAKE_FAILED_AUTH, 400), WB_ZMQ_NO_CHANGE);
}

static void expect_end(uint32_t fd, enum wb_zmq_change change, uint64_t peers)
{
	assert_int_equal(note(ZMQ_EVENT_DISCONNECTED, fd), change);
	assert_int_equal(connections.peers, peers);
}

static int begin(void **state)
{
	memset(&connections, 0, sizeof(connections));
	now = SECOND;
	return 0;
}

static int end(void **state)
{
	wb_zmq_connections_fini(&connections);
	return 0;
}

static void peers_come_and_go(void **state)
{
	for (uint32_t fd = 10; fd < 110; fd++) {
		accept_one(fd);
		succeed();
	}
	assert_int_equal(connections.peers, 100);
	for (uint32_t fd = 10; fd < 110; fd++)
		expect_end(fd, WB_ZMQ_PEER_WENT, 109 - fd);
	assert_int_equal(connections.count, 0);
}

/* Which of two failed is not said; that two did is enough. */
static void failures_end_later(void **state)
{
	accept_one(10);
	succeed();
	accept_one(11);
	accept_one(12);
	fail_one();
	fail_one();
	expect_end(12, WB_ZMQ_FAILED_WENT, 1);
	expect_end(11, WB_ZMQ_FAILED_WENT, 1);
	expect_end(10, WB_ZMQ_PEER_WENT, 0);
}

/* Garbage of an old protocol at a socket with CURVE: libzmq ends the connection and says nothing of a failure. */
static void ends_without_a_word(void **state)
{
	accept_one(10);
	succeed();
	accept_one(11);
	expect_end(11, WB_ZMQ_STRANGER_WENT, 1);
	accept_one(11);
	expect_end(11, WB_ZMQ_STRANGER_WENT, 1);
	expect_end(10, WB_ZMQ_PEER_WENT, 0);
	expect_end(99, WB_ZMQ_STRANGER_WENT, 0);
}

/* A stranger who leaves without a word after a peer came in between is taken for a peer, until the truth is certain. */
static void mistake_is_put_right(void **state)
{
	accept_one(10);
	accept_one(11);
	succeed();
	expect_end(10, WB_ZMQ_PEER_WENT, 0);
	now += 40 * SECOND;
	accept_one(12);
	expect_end(12, WB_ZMQ_STRANGER_WENT, 1);
	expect_end(11, WB_ZMQ_PEER_WENT, 0);
}

/* Two failures of one connection do not swallow the end of a peer later on. */
static void failures_are_not_hoarded(void **state)
{
	accept_one(10);
	succeed();
	accept_one(11);
	fail_one();
	fail_one();
	expect_end(11, WB_ZMQ_FAILED_WENT, 1);
	expect_end(10, WB_ZMQ_PEER_WENT, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(peers_come_and_go, begin, end),
		cmocka_unit_test_setup_teardown(failures_end_later, begin, end),
		cmocka_unit_test_setup_teardown(ends_without_a_word, begin, end),
		cmocka_unit_test_setup_teardown(mistake_is_put_right, begin, end),
		cmocka_unit_test_setup_teardown(failures_are_not_hoarded, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
