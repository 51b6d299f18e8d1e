/* SPDX-License-Identifier: Apache-2.0 */
#include "cat_rig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static int fake_next(
	struct wb_source *source, int timeout_ms, struct wb_message *ret_message, struct wb_error *ret_error)
{
	const struct step *step;
	struct stat status;

	if (timeout_ms) {
		source->waits++;
		if (source->next == source->count)
			source->waits_at_end++;
		assert_int_equal(fstat(fileno(source->out), &status), 0);
		assert_int_equal(status.st_size, ftell(source->out));
	}
	if (source->next == source->count) {
		if (source->stop)
			atomic_store(source->stop, true);
		assert_true(source->waits_at_end < 100); /* it would never end */
		return source->last;
	}
	step = &source->steps[source->next++];
	if (step->answer < 0)
		strcpy(ret_error->message, "the source says so");
	*ret_message =
		(struct wb_message){.data = step->data, .size = step->size, .kind = step->kind, .origin = "script"};
	return step->answer;
}

static const struct wb_source_ops fake_source = {.name = "fake", .next = fake_next};

static int fake_packet(struct wb_sink *sink, const struct wbproto_record *record, unsigned int marks)
{
	if (sink->answer && sink->count >= sink->answer_after)
		return sink->answer;
	assert_true(sink->count < MAX_SEEN);
	sink->late += marks & WB_SINK_LATE;
	sink->seen[sink->count++] = record->stream_id * 1000 + record->packet_seq;
	if (sink->count < 8)
		snprintf(sink->names + strlen(sink->names), sizeof(sink->names) - strlen(sink->names), "%.*s ",
			(int)record->interface.name.length,
			record->interface.name.length ? (const char *)record->interface.name.data : "");
	fputs("x\n", sink->out);
	return 0;
}

static int fake_batch(struct wb_sink *sink, const struct wb_sink_batch *batch)
{
	sink->batches++;
	sink->outside += batch->outside;
	return 0;
}

static int fake_finish(struct wb_sink *sink)
{
	sink->finished++;
	return sink->finish_answer;
}

static const struct wb_sink_ops fake_sink = {
	.name = "fake", .packet = fake_packet, .batch = fake_batch, .finish = fake_finish};

int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	FILE *out = tmpfile();

	assert_non_null(scene);
	assert_non_null(out);
	scene->source.last = -ENODATA;
	scene->source.out = scene->sink.out = out;
	scene->out.stream = out;
	scene->out.name = "there";
	scene->args = (struct wb_cat_args){.source_ops = &fake_source,
		.source = &scene->source,
		.sink_ops = &fake_sink,
		.sink = &scene->sink,
		.out = &scene->out,
		.stop = &scene->stop};
	wb_cat_init(&scene->cat);
	*state = scene;
	return 0;
}

int tear_down(void **state)
{
	struct scene *scene = *state;

	for (size_t i = 0; i < scene->source.count; i++)
		free(scene->source.steps[i].data);
	wb_cat_fini(&scene->cat);
	fclose(scene->source.out);
	free(scene);
	return 0;
}

struct step *add_step(struct scene *scene, int answer)
{
	assert_true(scene->source.count < MAX_STEPS);
	scene->source.steps[scene->source.count] = (struct step){.answer = answer};
	return &scene->source.steps[scene->source.count++];
}

void add_batch(struct scene *scene, struct batch facts)
{
	const struct wbproto_interface interfaces[] = {{.index = 3, .link_type = 1, .name = VIEW("veth0")},
		{.index = 10, .link_type = 1, .name = VIEW("ten")}};
	struct wbproto_batch batch = {.session_id = {1, 2, 3},
		.worker_id = facts.stream,
		.stream_id = facts.stream,
		.batch_seq = facts.seq,
		.first_packet_seq = facts.first,
		.node = VIEW("lab1"),
		.interfaces = interfaces,
		.interface_count = 2,
		.flags = facts.flags,
		.has_counters = true,
		.counters = {.kernel_seen = 1000, .kernel_dropped = facts.dropped}};
	struct step *step = add_step(scene, 1);
	struct wbproto_encoder *encoder;
	size_t room = 65536;

	step->kind = WB_MESSAGE_BATCH;
	step->data = malloc(room);
	assert_non_null(step->data);
	assert_int_equal(wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &encoder), 0);
	assert_int_equal(wbproto_encoder_open(encoder, step->data, room, &batch), 0);
	for (uint32_t i = 0; i < facts.packets; i++) {
		struct wbproto_packet packet = {.time_unix_ns = facts.time_ns ? facts.time_ns + i : 1,
			.interface_index = facts.interface_index ? facts.interface_index + i : 3,
			.data = "abc",
			.captured_length = 3,
			.original_length = 3};

		assert_int_equal(wbproto_encoder_append(encoder, &packet), 0);
	}
	assert_int_equal(wbproto_encoder_seal(encoder, &batch, &step->size), 0);
	wbproto_encoder_destroy(encoder);
}

void add_record(struct scene *scene, uint64_t seq, uint64_t packet_seq)
{
	const struct wbproto_record record = {.session_id = {1, 2, 3},
		.worker_id = 1,
		.stream_id = 1,
		.batch_seq = seq,
		.packet_seq = packet_seq,
		.packet = {.interface_index = 3},
		.interface = {.name = VIEW("veth0")}};
	struct step *step = add_step(scene, 1);

	step->kind = WB_MESSAGE_RECORD;
	step->data = malloc(256);
	assert_non_null(step->data);
	assert_int_equal(wbproto_record_write(&record, step->data, 256, &step->size), 0);
}

void expect_seen(const struct scene *scene, const uint64_t *expected, size_t count)
{
	assert_int_equal(scene->sink.count, count);
	assert_memory_equal(scene->sink.seen, expected, count * sizeof(*expected));
}
const struct wb_stream *stream_at(const struct scene *scene, size_t position)
{
	struct wb_stream **sorted = wb_streams_sorted(&scene->cat.streams);
	const struct wb_stream *stream;

	assert_true(position < scene->cat.streams.count);
	stream = sorted[position];
	free(sorted);
	return stream;
}
