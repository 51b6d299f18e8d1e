/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes container files as workers would have: one for each stream, of frames that are numbered. For tests that need
 * much to read, or packets of known times.
 *
 *	make_batches DIRECTORY --streams 3 --packets 1000000 --size 100 --start-ns 1800000000000000000 --step-ns 1000
 *
 * Packet i of all has the time start + i * step and belongs to stream i % streams.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "container.h"
#include "wbproto.h"

#define BATCH_BYTES ((size_t)256 * 1024)
#define MAX_STREAMS 64u

struct plan {
	const char *directory;
	uint64_t streams, packets, size, start_ns, step_ns;
};

struct writer {
	FILE *file;
	struct wbproto_encoder *encoder;
	struct wbproto_batch batch;
	uint8_t *buffer;
};

static void die(const char *what)
{
	fprintf(stderr, "make_batches: %s: %s\n", what, strerror(errno));
	exit(1);
}

static const struct wbproto_interface interface = {.index = 3,
	.link_type = 1,
	.snap_length = 65535,
	.speed_bps = 1000000000,
	.name = {"eth0", 4},
	.filter = {"ip or arp", 9}};

static void begin_batch(struct writer *writer)
{
	writer->batch.batch_seq++;
	if (wbproto_encoder_open(writer->encoder, writer->buffer, BATCH_BYTES, &writer->batch) < 0)
		die("batch");
}

static void open_writer(const struct plan *plan, uint64_t number, struct writer *writer)
{
	uint8_t header[WB_CONTAINER_HEADER_BYTES];
	char path[4096];

	*writer = (struct writer){.buffer = malloc(BATCH_BYTES)};
	writer->batch = (struct wbproto_batch){.session_id = {1, 2, 3, 4, 5, 6, 0x70, 8, 0x80},
		.worker_id = (uint32_t)number,
		.stream_id = (uint32_t)number,
		.first_packet_seq = 1,
		.node = {"lab1", 4},
		.interfaces = &interface,
		.interface_count = 1,
		.has_counters = true};
	snprintf(path, sizeof(path), "%s/01020304050670088000000000000000-%04" PRIu64 "-000001.wbs", plan->directory,
		number);
	writer->file = fopen(path, "w");
	wb_container_header(header);
	if (!writer->buffer || !writer->file || fwrite(header, 1, sizeof(header), writer->file) != sizeof(header))
		die(path);
	if (wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &writer->encoder) < 0)
		die("encoder");
	begin_batch(writer);
}

static void write_batch(struct writer *writer)
{
	uint32_t packets = wbproto_encoder_packets(writer->encoder);
	uint8_t entry[WB_CONTAINER_ENTRY_BYTES];
	size_t size;

	writer->batch.counters.kernel_seen += packets;
	if (wbproto_encoder_seal(writer->encoder, &writer->batch, &size) < 0)
		die("seal");
	wb_container_entry(entry, 1, NULL, 0, writer->buffer, size);
	if (fwrite(entry, 1, sizeof(entry), writer->file) != sizeof(entry) ||
		fwrite(writer->buffer, 1, size, writer->file) != size)
		die("write");
	writer->batch.first_packet_seq += packets;
}

static void close_writer(struct writer *writer)
{
	write_batch(writer);
	writer->batch.flags = WBPROTO_BATCH_END_OF_STREAM;
	begin_batch(writer);
	write_batch(writer);
	if (fclose(writer->file) != 0)
		die("close");
	wbproto_encoder_destroy(writer->encoder);
	free(writer->buffer);
}

static void make(const struct plan *plan)
{
	static struct writer writers[MAX_STREAMS];
	uint8_t *frame = calloc(1, plan->size + 8);
	struct wbproto_packet packet = {.interface_index = 3,
		.data = frame,
		.captured_length = (uint32_t)plan->size,
		.original_length = (uint32_t)plan->size,
		.flags = WBPROTO_PACKET_INBOUND};

	if (!frame)
		die("frame");
	for (uint64_t i = 0; i < plan->streams; i++)
		open_writer(plan, i, &writers[i]);
	memcpy(frame, "\x02\0\0\0\0\1\x02\0\0\0\0\2\x88\xb5", 14);
	for (uint64_t i = 0; i < plan->packets; i++) {
		struct writer *writer = &writers[i % plan->streams];

		memcpy(frame + 14, &i, sizeof(i));
		packet.time_unix_ns = plan->start_ns + i * plan->step_ns;
		if (wbproto_encoder_append(writer->encoder, &packet) == 0)
			continue;
		write_batch(writer);
		begin_batch(writer);
		if (wbproto_encoder_append(writer->encoder, &packet) < 0)
			die("append");
	}
	for (uint64_t i = 0; i < plan->streams; i++)
		close_writer(&writers[i]);
	free(frame);
}

int main(int argc, char **argv)
{
	struct plan plan = {.directory = argc > 1 ? argv[1] : NULL,
		.streams = 1,
		.packets = 1000,
		.size = 100,
		.start_ns = 1800000000000000000u,
		.step_ns = 10000};
	const struct {
		const char *name;
		uint64_t *value;
	} options[] = {{"--streams", &plan.streams}, {"--packets", &plan.packets}, {"--size", &plan.size},
		{"--start-ns", &plan.start_ns}, {"--step-ns", &plan.step_ns}};

	for (int i = 2; i + 1 < argc; i += 2)
		for (size_t j = 0; j < sizeof(options) / sizeof(options[0]); j++)
			if (strcmp(argv[i], options[j].name) == 0)
				*options[j].value = strtoull(argv[i + 1], NULL, 10);
	if (!plan.directory || plan.streams < 1 || plan.streams > MAX_STREAMS || plan.size < 22 || plan.size > 65535) {
		fprintf(stderr,
			"make_batches DIRECTORY [--streams 1-64] [--packets N] [--size 22-65535] [--start-ns T] "
			"[--step-ns T]\n");
		return 2;
	}
	make(&plan);
	return 0;
}
