/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The merge by time: held against a sort, whatever streams, channels and delays there are within the window; and what
 * it does when memory, or the patience with silent streams, is at its end.
 */
#include <string.h>

#include "merge.h"
#include "testing.h"

#define MS 1000000ull
#define SECOND (1000 * MS)
#define START (1700000000ull * SECOND)
#define WINDOW (5 * SECOND)
#define MAX_MESSAGES 4096
#define MAX_PACKETS (1 << 19)
#define MAX_CHANNELS 8

struct message {
	uint8_t *data;
	size_t size;
	uint64_t greatest_ns; /* or the watermark */
};

/* What was read, and what came out. */
struct scene {
	struct wb_merge *merge;
	struct message messages[MAX_CHANNELS][MAX_MESSAGES];
	size_t counts[MAX_CHANNELS];
	uint64_t seqs[64]; /* of streams */
	uint64_t in[MAX_PACKETS], out[MAX_PACKETS];
	size_t in_count, out_count;
	size_t heads, late;
	uint64_t latest_ns; /* of those that came out */
	size_t most_held;
};

static struct scene *make_scene(size_t hold_bytes)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	assert_int_equal(wb_merge_create(WINDOW, hold_bytes, &scene->merge), 0);
	return scene;
}

static void free_scene(struct scene *scene)
{
	for (size_t i = 0; i < MAX_CHANNELS; i++)
		for (size_t j = 0; j < scene->counts[i]; j++)
			free(scene->messages[i][j].data);
	wb_merge_destroy(scene->merge);
	free(scene);
}

/* A batch of a stream with these times; the packets' data tells the time again. */
static void encode(struct scene *scene, uint32_t stream, const uint64_t *times, size_t count, uint32_t flags,
	uint64_t watermark_ns, struct message *ret_message)
{
	struct wbproto_batch batch = {.session_id = {9, (uint8_t)stream, (uint8_t)(stream >> 8)},
		.stream_id = stream,
		.batch_seq = ++scene->seqs[stream % 64],
		.first_packet_seq = 1,
		.flags = flags,
		.watermark_unix_ns = watermark_ns};
	size_t room = 2048 + count * 64;
	struct wbproto_encoder *encoder;

	*ret_message = (struct message){.data = malloc(room), .greatest_ns = watermark_ns};
	assert_non_null(ret_message->data);
	assert_int_equal(wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &encoder), 0);
	assert_int_equal(wbproto_encoder_open(encoder, ret_message->data, room, &batch), 0);
	for (size_t i = 0; i < count; i++) {
		const struct wbproto_packet packet = {
			.time_unix_ns = times[i], .data = &times[i], .captured_length = 8, .original_length = 8};

		assert_int_equal(wbproto_encoder_append(encoder, &packet), 0);
		assert_true(scene->in_count < MAX_PACKETS);
		scene->in[scene->in_count++] = times[i];
		if (times[i] > ret_message->greatest_ns)
			ret_message->greatest_ns = times[i];
	}
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, &ret_message->size), 0);
	wbproto_encoder_destroy(encoder);
}

static void note_step(struct scene *scene, const struct wb_merge_step *step)
{
	const struct wbproto_packet *packet = &step->packets->record.packet;
	uint64_t time_ns = packet->time_unix_ns;

	if (step->is_head) {
		scene->heads++;
		return;
	}
	assert_memory_equal(packet->data, &time_ns, sizeof(time_ns));
	assert_int_equal(step->is_late, time_ns < scene->latest_ns);
	scene->late += step->is_late;
	if (time_ns > scene->latest_ns)
		scene->latest_ns = time_ns;
	scene->out[scene->out_count++] = time_ns;
}

static void drain(struct scene *scene)
{
	struct wb_merge_step step;

	while (wb_merge_next(scene->merge, &step))
		note_step(scene, &step);
	if (wb_merge_held_bytes(scene->merge) > scene->most_held)
		scene->most_held = wb_merge_held_bytes(scene->merge);
}

/* As cat does: pass on what may be, hold the rest. Returns whether it was passed on. */
static bool take(struct scene *scene, const struct message *message, uint64_t behind_ns, uint64_t now_ms)
{
	const struct wb_message from = {.data = message->data, .size = message->size, .kind = WB_MESSAGE_BATCH};
	struct wb_merge_step step = {0};
	struct wb_packets packets;

	assert_int_equal(wb_packets_init(&packets, &from), 0);
	if (wb_merge_passes(scene->merge, &packets, behind_ns)) {
		step.packets = &packets;
		while (wb_packets_next(&packets))
			note_step(scene, &step);
		return true;
	}
	assert_int_equal(wb_merge_add(scene->merge, &packets, message->data, message->size), 0);
	wb_merge_bound(scene->merge, behind_ns, now_ms);
	drain(scene);
	return false;
}

static void take_times(struct scene *scene, uint32_t stream, const uint64_t *times, size_t count, uint64_t watermark_ns,
	uint64_t behind_ns, uint64_t now_ms)
{
	struct message message;

	encode(scene, stream, times, count, 0, watermark_ns, &message);
	take(scene, &message, behind_ns, now_ms);
	free(message.data);
}

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return *a < *b ? -1 : *a > *b;
}

static void expect_sorted(struct scene *scene)
{
	qsort(scene->in, scene->in_count, sizeof(*scene->in), compare);
	assert_int_equal(scene->out_count, scene->in_count);
	assert_memory_equal(scene->out, scene->in, scene->in_count * sizeof(*scene->in));
	assert_int_equal(scene->late, 0);
}

static uint64_t any(uint64_t below)
{
	return (uint64_t)random() % below;
}

/* Streams in channels: each message spans up to 50 ms, and comes up to 2 s later than others of its channel. */
static void fill_channel(struct scene *scene, size_t channel, uint32_t streams, uint64_t seconds)
{
	uint64_t next_ns[8], at_ns = START, step_ns = 20 * MS + any(200) * MS;

	for (uint32_t i = 0; i < streams; i++)
		next_ns[i] = START + any(SECOND);
	while (at_ns < START + seconds * SECOND && scene->counts[channel] < MAX_MESSAGES) {
		uint32_t stream = (uint32_t)any(streams);
		uint64_t times[24], span = any(50 * MS);
		size_t count = any(24);
		bool shuffled = any(4) == 0;

		at_ns += any(step_ns);
		if (next_ns[stream] + 2 * SECOND < at_ns)
			next_ns[stream] = at_ns - 2 * SECOND;
		for (size_t i = 0; i < count; i++)
			times[i] = next_ns[stream] + (shuffled ? any(span + 1) : span * i / count);
		next_ns[stream] += span + 1;
		encode(scene, (uint32_t)channel * 8 + stream, times, count, 0, count ? 0 : next_ns[stream],
			&scene->messages[channel][scene->counts[channel]++]);
	}
}

/* Read the channels as a source does: the one that is furthest behind first. */
static void read_channels(struct scene *scene, size_t channels)
{
	size_t at[MAX_CHANNELS] = {0};
	uint64_t time_ns[MAX_CHANNELS] = {0};

	for (;;) {
		size_t chosen = channels;
		uint64_t behind_ns = UINT64_MAX;

		for (size_t i = 0; i < channels; i++)
			if (at[i] < scene->counts[i] && (chosen == channels || time_ns[i] < time_ns[chosen]))
				chosen = i;
		if (chosen == channels)
			break;
		if (scene->messages[chosen][at[chosen]].greatest_ns > time_ns[chosen])
			time_ns[chosen] = scene->messages[chosen][at[chosen]].greatest_ns;
		at[chosen]++;
		for (size_t i = 0; i < channels; i++)
			if (at[i] < scene->counts[i] && time_ns[i] < behind_ns)
				behind_ns = time_ns[i];
		take(scene, &scene->messages[chosen][at[chosen] - 1], behind_ns, 1);
	}
	wb_merge_release(scene->merge);
	drain(scene);
	assert_int_equal(wb_merge_held_bytes(scene->merge), 0);
}

static void like_a_sort(void **state)
{
	for (unsigned int seed = 1; seed <= 16; seed++) {
		struct scene *scene = make_scene((size_t)1 << 30);
		size_t channels = 1 + seed % MAX_CHANNELS, messages = 0;

		srandom(seed);
		for (size_t i = 0; i < channels; i++) {
			fill_channel(scene, i, 1 + (uint32_t)any(8), 5 + any(60));
			messages += scene->counts[i];
		}
		read_channels(scene, channels);
		expect_sorted(scene);
		if (channels > 1) /* none was passed on, so every head was seen */
			assert_int_equal(scene->heads, messages);
		free_scene(scene);
	}
}

/* With little memory everything comes out all the same; what is late is said to be (see note_step()). */
static void memory_is_bounded(void **state)
{
	for (unsigned int seed = 1; seed <= 10; seed++) {
		struct scene *scene = make_scene(100000);
		size_t channels = 2 + seed % 5;

		srandom(seed);
		for (size_t i = 0; i < channels; i++)
			fill_channel(scene, i, 1 + (uint32_t)any(8), 60);
		read_channels(scene, channels);
		assert_in_range(scene->most_held, 50000, 110000);
		assert_int_equal(scene->out_count, scene->in_count);
		qsort(scene->in, scene->in_count, sizeof(*scene->in), compare);
		qsort(scene->out, scene->out_count, sizeof(*scene->out), compare);
		assert_memory_equal(scene->out, scene->in, scene->in_count * sizeof(*scene->in));
		free_scene(scene);
	}
}

/* Later than the window, and earlier than what has gone. */
static void too_late(void **state)
{
	struct scene *scene = make_scene((size_t)1 << 30);
	const uint64_t early[] = {START + 1, START + 2}, later[] = {START + 20 * SECOND};

	take_times(scene, 1, later, 1, 0, START + 20 * SECOND, 1);
	take_times(scene, 2, later, 1, 0, START + 26 * SECOND, 1);
	assert_int_equal(scene->out_count, 2);
	take_times(scene, 2, early, 2, 0, START + 26 * SECOND, 1);
	assert_int_equal(scene->out_count, 4);
	assert_int_equal(scene->late, 2);
	free_scene(scene);
}

/* Live: what every stream has told of goes at once, by packets or by a watermark. */
static void live(void **state)
{
	struct scene *scene = make_scene((size_t)1 << 30);
	const uint64_t a[] = {START + 10 * MS, START + 50 * MS}, b[] = {START + 20 * MS, START + 30 * MS},
		       c[] = {START + 60 * MS, START + 100 * MS};

	take_times(scene, 1, a, 2, 0, UINT64_MAX, 1000);
	assert_int_equal(scene->out_count, 0); /* others may be there */
	take_times(scene, 2, b, 2, 0, UINT64_MAX, 1000 + WB_MERGE_SETTLE_MS);
	assert_int_equal(scene->out_count, 3); /* stream 2 has told up to 30 */
	take_times(scene, 1, c, 2, 0, UINT64_MAX, 3000);
	assert_int_equal(scene->out_count, 3);
	take_times(scene, 2, NULL, 0, START + 99 * MS, UINT64_MAX, 3000); /* a heartbeat */
	assert_int_equal(scene->out_count, 5);
	take_times(scene, 2, NULL, 0, START + 200 * MS, UINT64_MAX, 3000);
	assert_int_equal(scene->out_count, 6);
	expect_sorted(scene);
	free_scene(scene);
}

/* Live: a stream that has ended is not waited for, nor one that has said nothing for the window. */
static void silent_streams(void **state)
{
	struct scene *scene = make_scene((size_t)1 << 30);
	uint64_t time_ns = START;
	struct message end;

	take_times(scene, 1, &time_ns, 1, 0, UINT64_MAX, 1);
	take_times(scene, 2, &time_ns, 1, 0, UINT64_MAX, 2000);
	take_times(scene, 3, &time_ns, 1, 0, UINT64_MAX, 2000);
	encode(scene, 3, NULL, 0, WBPROTO_BATCH_END_OF_STREAM, 0, &end);
	take(scene, &end, UINT64_MAX, 2000);
	free(end.data);
	assert_int_equal(scene->out_count, 3);
	for (int i = 0; i < 40; i++) { /* stream 1 alone, 10 s long */
		time_ns += 250 * MS;
		take_times(scene, 1, &time_ns, 1, 0, UINT64_MAX, 2000);
		if (i < 19)
			assert_int_equal(scene->out_count, 3);
	}
	assert_int_equal(scene->out_count, 43); /* stream 2 is given up, and nothing is held any longer */
	expect_sorted(scene);
	free_scene(scene);
}

/* One stream alone is passed on; a second one makes both be held again. */
static void one_alone(void **state)
{
	struct scene *scene = make_scene((size_t)1 << 30);
	size_t passed = 0;

	for (uint64_t i = 0; i < 200; i++) {
		uint64_t times[] = {START + i * 100 * MS, START + i * 100 * MS + 50 * MS};
		struct message message;

		encode(scene, 1, times, 2, 0, 0, &message);
		passed += take(scene, &message, times[1], 1);
		free(message.data);
		if (i > 60)
			assert_int_equal(scene->out_count, 2 * i + 2);
		if (i == 150)
			assert_true(passed > 90);
	}
	for (uint64_t i = 200; i < 300; i++) {
		uint64_t time_ns = START + i * 100 * MS + i % 2 * 70 * MS;

		take_times(scene, 1 + (uint32_t)i % 2, &time_ns, 1, 0, time_ns, 1);
	}
	assert_in_range(scene->out_count, 400, 460);
	wb_merge_release(scene->merge);
	drain(scene);
	expect_sorted(scene);
	free_scene(scene);
}

/* Packets of the same time keep the order in which they came. */
static void equal_times(void **state)
{
	struct scene *scene = make_scene((size_t)1 << 30);
	const uint64_t times[] = {START, START, START};
	struct wb_merge_step step;
	uint32_t streams[9];
	size_t count = 0;

	for (uint32_t i = 0; i < 3; i++)
		take_times(scene, 3 - i, times, 3, 0, START, 1);
	wb_merge_release(scene->merge);
	while (wb_merge_next(scene->merge, &step))
		if (!step.is_head)
			streams[count++] = step.packets->record.stream_id;
	assert_int_equal(count, 9);
	for (size_t i = 0; i < 9; i++)
		assert_int_equal(streams[i], 3 - i / 3);
	free_scene(scene);
}

/* More streams than can be known: their packets are merged too. */
static void many_streams(void **state)
{
	struct scene *scene = make_scene((size_t)1 << 30);

	for (uint32_t i = 0; i < WB_MERGE_STREAMS + 1000; i++) {
		uint64_t time_ns = START + any(SECOND);

		take_times(scene, i, &time_ns, 1, 0, START, 1);
	}
	assert_int_equal(scene->out_count, 0);
	wb_merge_release(scene->merge);
	drain(scene);
	expect_sorted(scene);
	free_scene(scene);
}

/* Times that no clock shows must not stop anything. */
static void impossible_times(void **state)
{
	struct scene *scene = make_scene((size_t)1 << 30);
	const uint64_t times[] = {UINT64_MAX, 0, UINT64_MAX - 1, 1, UINT64_MAX / 2};

	for (uint32_t i = 0; i < 5; i++) {
		take_times(scene, i, times + i, 1, UINT64_MAX - i, i % 2 ? UINT64_MAX : 1, 5000);
		take_times(scene, i, times, 5, 0, UINT64_MAX, 5000);
	}
	wb_merge_release(scene->merge);
	drain(scene);
	assert_int_equal(scene->out_count, 30);
	assert_int_equal(wb_merge_held_bytes(scene->merge), 0);
	free_scene(scene);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(like_a_sort),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(too_late),
		cmocka_unit_test(live),
		cmocka_unit_test(silent_streams),
		cmocka_unit_test(one_alone),
		cmocka_unit_test(equal_times),
		cmocka_unit_test(many_streams),
		cmocka_unit_test(impossible_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
