/* SPDX-License-Identifier: Apache-2.0 */
/* Each allocation of the library fails once; and the direct encoder allocates nothing once it is there. */
#include "random_batch.h"
#include "support.h"

static size_t allocations; /* since counting began */
static size_t fail_at;     /* the allocation that fails, from 1; 0: none */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_reallocarray(void *memory, size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_reallocarray(void *memory, size_t count, size_t size);

static bool fails(void)
{
	return ++allocations == fail_at;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_reallocarray(void *memory, size_t count, size_t size)
{
	return fails() ? NULL : __real_reallocarray(memory, count, size);
}

static void arm(size_t allocation)
{
	allocations = 0;
	fail_at = allocation;
}

#define PACKETS 100

/* A batch through the encoder from creation on. 0, or the first error other than a packet that had to be repeated. */
static int whole_batch(enum wbproto_encoder_kind kind, size_t *ret_failed_packets)
{
	struct wbproto_packet packet = {.time_unix_ns = 1, .data = "abc", .captured_length = 3};
	struct wbproto_batch batch = {.worker_id = 1};
	struct wbproto_encoder *encoder;
	struct wbproto_reader reader;
	uint8_t buffer[4096];
	size_t size;
	int r;

	r = wbproto_encoder_create(kind, &encoder);
	if (r < 0)
		return r;
	r = wbproto_encoder_open(encoder, buffer, sizeof(buffer), &batch);
	if (r < 0) {
		assert_int_equal(wbproto_encoder_append(encoder, &packet), -EINVAL);
		goto destroy;
	}
	for (size_t i = 0; i < PACKETS; i++) {
		r = wbproto_encoder_append(encoder, &packet);
		if (r == 0)
			continue;
		/* The batch is as it was, and the packet can be tried again. */
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(wbproto_encoder_packets(encoder), i);
		(*ret_failed_packets)++;
		r = wbproto_encoder_append(encoder, &packet);
		assert_int_equal(r, 0);
	}
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, &size), 0);
	assert_int_equal(wbproto_reader_init(&reader, buffer, size), 0);
	assert_int_equal(reader.packet_count, PACKETS);
destroy:
	wbproto_encoder_destroy(encoder);
	return r;
}

static void test_each_allocation_fails_once(void **state)
{
	size_t create_and_open = 0, failed_packets = 0, total;

	arm(0);
	assert_int_equal(whole_batch(WBPROTO_ENCODER_PROTOBUF_C, &failed_packets), 0);
	assert_int_equal(failed_packets, 0);
	total = allocations;
	assert_true(total >= 5);
	for (size_t i = 1; i <= total; i++) {
		int r;

		arm(i);
		r = whole_batch(WBPROTO_ENCODER_PROTOBUF_C, &failed_packets);
		assert_true(r == 0 || r == -ENOMEM);
		create_and_open += r == -ENOMEM;
	}
	/* The encoder, its reference part, its arena; every other one was a packet's. */
	assert_int_equal(create_and_open, 3);
	assert_int_equal(failed_packets, total - 3);
}

static void test_direct_encoder_allocates_itself_only(void **state)
{
	size_t failed_packets = 0;

	arm(0);
	assert_int_equal(whole_batch(WBPROTO_ENCODER_DIRECT, &failed_packets), 0);
	assert_int_equal(allocations, 1);
	arm(1);
	assert_int_equal(whole_batch(WBPROTO_ENCODER_DIRECT, &failed_packets), -ENOMEM);
	arm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_allocation_fails_once),
		cmocka_unit_test(test_direct_encoder_allocates_itself_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
