/* SPDX-License-Identifier: Apache-2.0 */
/* The interfaces that batches name: copied, bounded, and always fit for a message. */
#include "testing.h"

#include <errno.h>
#include <string.h>

#include "interface_set.h"

static struct wbproto_view view(const char *text)
{
	return (struct wbproto_view){text, strlen(text)};
}

static void assert_text(struct wbproto_view got, const char *wanted)
{
	assert_int_equal(got.length, strlen(wanted));
	assert_memory_equal(got.data, wanted, got.length);
}

static void test_copies(void **state)
{
	char name[] = "eth0", filter[] = "tcp";
	struct wbproto_interface interface = {.index = 7, .link_type = 1, .name = view(name), .filter = view(filter)};
	const struct wbproto_interface *found;
	struct wb_interface_set set;

	assert_int_equal(wb_interface_set_init(&set, 4096), 0);
	assert_null(wb_interface_set_find(&set, 7));
	assert_int_equal(wb_interface_set_add(&set, &interface), 0);
	interface.index = 8;
	interface.name = view("eth1");
	assert_int_equal(wb_interface_set_add(&set, &interface), 0);
	memset(name, 'x', sizeof name);
	memset(filter, 'x', sizeof filter);
	found = wb_interface_set_find(&set, 7);
	assert_non_null(found);
	assert_text(found->name, "eth0");
	assert_text(found->filter, "tcp");
	assert_text(wb_interface_set_find(&set, 8)->name, "eth1");
	wb_interface_set_clear(&set);
	assert_null(wb_interface_set_find(&set, 7));
	assert_null(wb_interface_set_find(&set, 8));
	wb_interface_set_fini(&set);
}

/* What the set holds never takes more in a message than it was given, whatever the texts are. */
static void test_bound(void **state)
{
	static char filter[5000], name[400];
	struct wb_interface_set set;

	memset(filter, 'f', sizeof filter);
	memset(name, 'n', sizeof name);
	for (size_t max = 0; max < 20000; max += 1237) {
		size_t room = max < WB_INTERFACE_SET_MIN_BYTES ? WB_INTERFACE_SET_MIN_BYTES : max;
		struct wbproto_batch without = {.stream_id = 1}, with;
		struct wbproto_interface interface = {.link_type = UINT32_MAX,
			.snap_length = UINT32_MAX,
			.speed_bps = UINT64_MAX,
			.timestamp_source = UINT32_MAX,
			.defragmented = true};
		uint32_t added = 0;

		assert_int_equal(wb_interface_set_init(&set, max), 0);
		do {
			interface.index = UINT32_MAX - added++;
			interface.name = (struct wbproto_view){name, added * 37 % sizeof name};
			interface.filter = (struct wbproto_view){filter, added * 191 % sizeof filter};
		} while (wb_interface_set_add(&set, &interface) == 0);
		assert_true(set.count >= 1 && set.count <= WB_INTERFACE_SET_COUNT);
		with = without;
		with.interfaces = set.items;
		with.interface_count = set.count;
		assert_true(wbproto_batch_overhead_bytes(&with) - wbproto_batch_overhead_bytes(&without) <= room);
		wb_interface_set_clear(&set);
		assert_int_equal(wb_interface_set_add(&set, &interface), 0);
		assert_true(set.items[0].name.length <= WB_INTERFACE_NAME_BYTES);
		wb_interface_set_fini(&set);
	}
}

/* Messages take UTF-8 only. */
static void test_utf8(void **state)
{
	struct wbproto_interface interface = {
		.index = 1, .name = view("a\xff\xc3\xa4\xe2\x82"), .filter = view("\x80")};
	struct wbproto_encoder *encoder;
	struct wbproto_batch batch = {.stream_id = 1};
	struct wb_interface_set set;
	uint8_t buffer[1024];

	assert_int_equal(wb_interface_set_init(&set, 4096), 0);
	assert_int_equal(wb_interface_set_add(&set, &interface), 0);
	assert_text(set.items[0].name, "a?\xc3\xa4??");
	assert_text(set.items[0].filter, "?");
	batch.interfaces = set.items;
	batch.interface_count = 1;
	assert_int_equal(wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &encoder), 0);
	assert_int_equal(wbproto_encoder_open(encoder, buffer, sizeof buffer, &batch), 0);
	wbproto_encoder_destroy(encoder);
	wb_interface_set_fini(&set);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_bound),
		cmocka_unit_test(test_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
