/* SPDX-License-Identifier: Apache-2.0 */
/* The core of `wirebus cat`: in which order packets come out, and which of them. */
#include "cat_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "merge.h"

#define START 1700000000000000000u

/* Three streams that overlap. */
static void add_overlapping(struct scene *scene)
{
	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 2, .time_ns = START + 20});
	add_batch(scene, (struct batch){.stream = 2, .seq = 1, .first = 1, .packets = 2, .time_ns = START + 10});
	add_batch(scene, (struct batch){.stream = 3, .seq = 1, .first = 1, .packets = 1, .time_ns = START + 30});
	add_batch(scene, (struct batch){.stream = 2, .seq = 2, .first = 3, .packets = 2, .time_ns = START + 25});
}

static void merged(void **state)
{
	struct scene *scene = *state;

	add_overlapping(scene);
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 2001, 2002, 1001, 1002, 2003, 2004, 3001);
	assert_int_equal(scene->sink.batches, 4);
	assert_int_equal(scene->sink.late, 0);
	assert_int_equal(scene->cat.late, 0);
}

static void sorted(void **state)
{
	struct scene *scene = *state;

	scene->args.order = WB_CAT_SORTED;
	add_overlapping(scene);
	/* An hour earlier, and read last. */
	add_batch(scene,
		(struct batch){.stream = 4, .seq = 1, .first = 1, .packets = 2, .time_ns = START - 3600000000000u});
	add_record(scene, 9, 9); /* at the time 0 */
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 1009, 4001, 4002, 2001, 2002, 1001, 1002, 2003, 2004, 3001);
	assert_string_equal(scene->sink.names, "veth0 veth0 veth0 veth0 veth0 veth0 veth0 ");
	assert_int_equal(scene->sink.batches, 5);
	assert_int_equal(scene->cat.packets, 10);
	assert_int_equal(scene->cat.end, WB_CAT_END_OF_DATA);
}

static void as_read(void **state)
{
	struct scene *scene = *state;

	scene->args.order = WB_CAT_AS_READ;
	add_overlapping(scene);
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 1001, 1002, 2001, 2002, 3001, 2003, 2004);
}

/* What is later than the window allows is marked. */
static void late(void **state)
{
	struct scene *scene = *state;

	scene->args.window_ns = 1000;
	add_batch(scene, (struct batch){.stream = 1, .seq = 1, .first = 1, .packets = 1, .time_ns = START});
	add_batch(scene, (struct batch){.stream = 2, .seq = 1, .first = 1, .packets = 1, .time_ns = START + 5000});
	add_batch(scene, (struct batch){.stream = 1, .seq = 2, .first = 2, .packets = 1, .time_ns = START + 9000});
	add_batch(scene, (struct batch){.stream = 2, .seq = 2, .first = 2, .packets = 2, .time_ns = START + 1000});
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 1001, 2001, 2002, 2003, 1002);
	assert_int_equal(scene->sink.late, 2);
	assert_int_equal(scene->cat.late, 2);
}

/* From the first time on, and not the second. */
static void range(void **state)
{
	struct scene *scene = *state;

	for (enum wb_cat_order order = WB_CAT_MERGED; order <= WB_CAT_AS_READ; order++) {
		struct wb_cat *cat = &scene->cat;

		scene->args.order = order;
		scene->args.since_ns = START + 21;
		scene->args.until_ns = START + 26;
		scene->source.next = 0;
		scene->sink.count = scene->sink.batches = scene->sink.outside = 0;
		if (order == WB_CAT_MERGED)
			add_overlapping(scene);
		wb_cat_fini(cat);
		wb_cat_init(cat);
		assert_int_equal(wb_cat_run(cat, &scene->args), 0);
		EXPECT_SEEN(scene, 1002, 2003);
		assert_int_equal(cat->packets, 2);
		assert_int_equal(cat->outside, 5);
		/* Of the batch that is wholly before, the head is told; of the one behind, nothing. */
		assert_int_equal(scene->sink.batches, 3);
		assert_int_equal(scene->sink.outside, 1);
	}
}

static void filter(void **state)
{
	struct scene *scene = *state;
	struct wb_error error = {""};

	scene->args.filter = "greater 4"; /* the packets have 3 bytes */
	add_overlapping(scene);
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	assert_int_equal(scene->sink.count, 0);
	assert_int_equal(scene->cat.filtered, 7);
	scene->args.filter = "less 3";
	scene->source.next = 0;
	wb_cat_fini(&scene->cat);
	wb_cat_init(&scene->cat);
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	assert_int_equal(scene->sink.count, 7);
	scene->args.filter = "nonsense";
	scene->cat.error = error;
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), -EINVAL);
	assert_non_null(strstr(scene->cat.error.message, "nonsense"));
}

/* A signal: what was held comes out. Not of the sort, which would have to read everything first. */
static void stopped(void **state)
{
	struct scene *scene = *state;

	scene->source.last = 0;
	scene->source.stop = &scene->stop;
	add_overlapping(scene);
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 2001, 2002, 1001, 1002, 2003, 2004, 3001);
	assert_int_equal(scene->cat.end, WB_CAT_END_STOPPED);
	atomic_store(&scene->stop, false);
	scene->args.order = WB_CAT_SORTED;
	scene->source.next = scene->sink.count = 0;
	wb_cat_fini(&scene->cat);
	wb_cat_init(&scene->cat);
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	assert_int_equal(scene->sink.count, 0);
	assert_int_equal(scene->cat.end, WB_CAT_END_STOPPED);
	assert_int_equal(scene->sink.finished, 2);
}

/* The count is of what comes out, in its order. */
static void count(void **state)
{
	struct scene *scene = *state;

	scene->args.count = 3;
	add_overlapping(scene);
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 2001, 2002, 1001);
	assert_int_equal(scene->cat.end, WB_CAT_END_COUNT);
}

/* Live, the end of a range that is over is the end. */
static void range_is_over(void **state)
{
	struct scene *scene = *state;

	scene->source.last = 0;
	scene->args.until_ns = START + 26;
	add_overlapping(scene);
	assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
	EXPECT_SEEN(scene, 2001, 2002, 1001, 1002, 2003);
	assert_int_equal(scene->cat.end, WB_CAT_END_OF_RANGE);
}

/* A range that ends where time does is not over. */
static void range_ends_in_2554(void **state)
{
	static const uint64_t ends[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - WB_MERGE_WINDOW_NS + 1};
	struct scene *scene = *state;

	scene->source.last = 0;
	scene->source.stop = &scene->stop;
	add_overlapping(scene);
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		scene->args.until_ns = ends[i];
		scene->source.next = scene->source.waits_at_end = scene->sink.count = 0;
		atomic_store(&scene->stop, false);
		wb_cat_fini(&scene->cat);
		wb_cat_init(&scene->cat);
		assert_int_equal(wb_cat_run(&scene->cat, &scene->args), 0);
		EXPECT_SEEN(scene, 2001, 2002, 1001, 1002, 2003, 2004, 3001);
		assert_int_equal(scene->cat.end, WB_CAT_END_STOPPED);
	}
	assert_int_equal(wb_time_later(5, 6), 11);
	assert_int_equal(wb_time_later(UINT64_MAX - 6, 6), UINT64_MAX);
	assert_int_equal(wb_time_later(UINT64_MAX - 5, 6), UINT64_MAX);
	assert_int_equal(wb_time_later(6, UINT64_MAX), UINT64_MAX);
	assert_int_equal(wb_time_later(UINT64_MAX - 7, 6), UINT64_MAX - 1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(merged),
		TEST(sorted),
		TEST(as_read),
		TEST(late),
		TEST(range),
		TEST(filter),
		TEST(stopped),
		TEST(count),
		TEST(range_is_over),
		TEST(range_ends_in_2554),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
