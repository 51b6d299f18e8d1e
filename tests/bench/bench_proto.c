/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libwbproto costs, in CPU time a packet, beside what it cannot be faster than and what it replaces:
 *   memcpy   the frames copied one by one into a batch-sized buffer
 *   direct   the streaming encoder
 *   pack     protobuf-c's generated code packing structures that point to the frames
 *   stream   the encoder on protobuf-c: as pack, behind the direct encoder's interface, so it keeps the frames
 *   reader   the reader: check of the whole message, then each packet
 *   unpack   protobuf-c's generated code unpacking the message, and freeing it
 * Frames come from a source of 64 MiB, laid out as a ring of version 3 has them, and then from one that the
 * second-level cache holds, which leaves the memory out of the comparison. The ways run in turns, many times, and the
 * medians of the rounds are compared, so that what else happens on the machine hits all alike.
 *
 *	bench_proto [ROUNDS]
 */
#include "wbproto.h"
#include "wirebus/v1/packet_batch.pb-c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SOURCE_BYTES (64u << 20)
#define CACHED_SOURCE_BYTES (256u << 10)
#define BATCH_BYTES (256u << 10)
#define BATCHES 16
#define FRAME_OVERHEAD_BYTES 96 /* between frames in a ring: header, address, padding */
#define DEFAULT_ROUNDS 41
#define MAX_ROUNDS 1001
#define TARGET_PACKETS 400000

enum way {
	WAY_MEMCPY,
	WAY_DIRECT,
	WAY_PACK,
	WAY_STREAM,
	WAY_READER,
	WAY_UNPACK,
	WAYS,
};

static const char *const way_names[WAYS] = {"memcpy", "direct", "pack", "stream", "reader", "unpack"};

struct bench {
	uint8_t *source;
	uint8_t *batches; /* BATCHES buffers in turn, as a pool would give them */
	size_t sizes[BATCHES];
	struct wbproto_encoder *encoder;
	struct wbproto_encoder *stream_encoder;
	struct wbproto_batch facts;
	struct wbproto_interface interface;
	size_t source_bytes;
	uint32_t frame_bytes;
	uint32_t stride;
	uint32_t next_frame;
	uint32_t frames;
	uint32_t per_batch;
	Wirebus__V1__Packet *packets;
	Wirebus__V1__Packet **pointers;
	uint64_t sink; /* keeps the optimizer from leaving work out */
};

static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The frame after the last one, from a source that is gone through in order, as a ring is. */
static const uint8_t *next_frame(struct bench *b)
{
	if (++b->next_frame == b->frames)
		b->next_frame = 0;
	return b->source + (size_t)b->next_frame * b->stride;
}

static void next_packet(struct bench *b, struct wbproto_packet *p)
{
	p->data = next_frame(b);
	p->time_unix_ns += 1000;
	p->rx_hash += 0x9e3779b1u;
}

static const struct wbproto_packet first_packet = {
	.time_unix_ns = 1700000000000000000u,
	.interface_index = 3,
	.flags = WBPROTO_PACKET_INBOUND | WBPROTO_PACKET_UNICAST,
	.rx_hash = 1,
};

static void run_memcpy(struct bench *b, uint8_t *out)
{
	for (uint32_t i = 0; i < b->per_batch; i++) {
		memcpy(out, next_frame(b), b->frame_bytes);
		out += b->frame_bytes;
	}
}

static void run_encoder(struct bench *b, struct wbproto_encoder *encoder, uint8_t *out, size_t *ret_size)
{
	struct wbproto_packet packet = first_packet;

	packet.captured_length = b->frame_bytes;
	packet.original_length = b->frame_bytes;
	if (wbproto_encoder_open(encoder, out, BATCH_BYTES, &b->facts) < 0)
		abort();
	for (uint32_t i = 0; i < b->per_batch; i++) {
		next_packet(b, &packet);
		if (wbproto_encoder_append(encoder, &packet) < 0)
			abort();
	}
	if (wbproto_encoder_seal(encoder, &b->facts, ret_size) < 0)
		abort();
}

static void run_pack(struct bench *b, uint8_t *out)
{
	Wirebus__V1__PacketBatch batch = WIREBUS__V1__PACKET_BATCH__INIT;
	struct wbproto_packet packet = first_packet;

	batch.worker_id = 1;
	batch.batch_seq = 1;
	batch.first_packet_seq = 1;
	for (uint32_t i = 0; i < b->per_batch; i++) {
		Wirebus__V1__Packet *p = &b->packets[i];

		next_packet(b, &packet);
		wirebus__v1__packet__init(p);
		p->time_unix_nano = packet.time_unix_ns;
		p->interface_index = packet.interface_index;
		p->original_length = b->frame_bytes;
		p->data.data = (uint8_t *)packet.data;
		p->data.len = b->frame_bytes;
		p->flags = packet.flags;
		p->rx_hash = packet.rx_hash;
		b->pointers[i] = p;
	}
	batch.n_packets = b->per_batch;
	batch.packets = b->pointers;
	/* The size is asked for, as a sender has to keep within the bus's limit. */
	if (wirebus__v1__packet_batch__get_packed_size(&batch) > BATCH_BYTES)
		abort();
	b->sink += wirebus__v1__packet_batch__pack(&batch, out);
}

static void run_reader(struct bench *b, const uint8_t *message, size_t size)
{
	struct wbproto_packet packet;
	struct wbproto_reader reader;

	if (wbproto_reader_init(&reader, message, size) < 0)
		abort();
	while (wbproto_reader_next(&reader, &packet) == 1)
		b->sink += packet.time_unix_ns + packet.captured_length;
}

static void run_unpack(struct bench *b, const uint8_t *message, size_t size)
{
	Wirebus__V1__PacketBatch *batch = wirebus__v1__packet_batch__unpack(NULL, size, message);

	if (!batch)
		abort();
	for (size_t i = 0; i < batch->n_packets; i++)
		b->sink += batch->packets[i]->time_unix_nano + batch->packets[i]->data.len;
	wirebus__v1__packet_batch__free_unpacked(batch, NULL);
}

/* CPU nanoseconds a packet of one way, over enough batches for the clock. */
static double measure(struct bench *b, enum way way, uint32_t batches)
{
	uint64_t start = cpu_ns();

	for (uint32_t i = 0; i < batches; i++) {
		uint8_t *buffer = b->batches + (size_t)(i % BATCHES) * BATCH_BYTES;
		size_t *size = &b->sizes[i % BATCHES];

		if (way == WAY_MEMCPY)
			run_memcpy(b, buffer);
		else if (way == WAY_DIRECT)
			run_encoder(b, b->encoder, buffer, size);
		else if (way == WAY_STREAM)
			run_encoder(b, b->stream_encoder, buffer, size);
		else if (way == WAY_PACK)
			run_pack(b, buffer);
		else if (way == WAY_READER)
			run_reader(b, buffer, *size);
		else
			run_unpack(b, buffer, *size);
	}
	return (double)(cpu_ns() - start) / ((double)batches * b->per_batch);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare);
	return values[count / 2];
}

static void bench_size(struct bench *b, uint32_t frame_bytes, size_t rounds)
{
	static double ns[WAYS][MAX_ROUNDS];
	double m[WAYS];
	uint32_t batches;

	b->frame_bytes = frame_bytes;
	b->stride = (frame_bytes + FRAME_OVERHEAD_BYTES + 15) / 16 * 16;
	b->frames = (uint32_t)(b->source_bytes / b->stride);
	b->next_frame = 0;
	/* Not more than fit with the facts and 40 bytes for each packet's fields. */
	b->per_batch = (BATCH_BYTES - 1024) / (frame_bytes + 40);
	batches = TARGET_PACKETS / b->per_batch / BATCHES * BATCHES;
	for (size_t round = 0; round < rounds + 1; round++) {
		/* The encoders leave the messages for the two that read, which run last. */
		static const enum way order[WAYS] = {
			WAY_MEMCPY, WAY_PACK, WAY_STREAM, WAY_DIRECT, WAY_READER, WAY_UNPACK};

		for (size_t i = 0; i < WAYS; i++) {
			double value = measure(b, order[i], batches);

			if (round > 0) /* the first warms up */
				ns[order[i]][round - 1] = value;
		}
	}
	for (size_t i = 0; i < WAYS; i++)
		m[i] = median(ns[i], rounds);
	printf("%5u", frame_bytes);
	for (size_t i = 0; i < WAYS; i++)
		printf(" %8.1f", m[i]);
	printf("   %13.2f %11.2f %13.2f %13.2f\n", m[WAY_DIRECT] / m[WAY_MEMCPY], m[WAY_PACK] / m[WAY_DIRECT],
		m[WAY_STREAM] / m[WAY_DIRECT], m[WAY_UNPACK] / m[WAY_READER]);
}

static void bench_source(struct bench *b, size_t source_bytes, size_t rounds)
{
	b->source_bytes = source_bytes;
	printf("\nCPU ns a packet, medians of %zu rounds, frames from %zu KiB\n%5s", rounds, source_bytes >> 10,
		"bytes");
	for (size_t i = 0; i < WAYS; i++)
		printf(" %8s", way_names[i]);
	printf("   %13s %11s %13s %13s\n", "direct/memcpy", "pack/direct", "stream/direct", "unpack/reader");
	bench_size(b, 64, rounds);
	bench_size(b, 256, rounds);
	bench_size(b, 1500, rounds);
}

static int setup(struct bench *b)
{
	uint32_t max_packets = BATCH_BYTES / 64;

	b->source = malloc(SOURCE_BYTES);
	b->batches = malloc((size_t)BATCHES * BATCH_BYTES);
	b->packets = calloc(max_packets, sizeof(*b->packets));
	b->pointers = calloc(max_packets, sizeof(struct Wirebus__V1__Packet *));
	if (!b->source || !b->batches || !b->packets || !b->pointers)
		return -ENOMEM;
	for (size_t i = 0; i < SOURCE_BYTES; i++)
		b->source[i] = (uint8_t)(i * 31 >> 3);
	memset(b->batches, 1, (size_t)BATCHES * BATCH_BYTES);
	b->interface = (struct wbproto_interface){.index = 3, .link_type = 1, .name = {"eth0", 4}};
	b->facts = (struct wbproto_batch){
		.worker_id = 1,
		.batch_seq = 1,
		.first_packet_seq = 1,
		.interfaces = &b->interface,
		.interface_count = 1,
		.has_counters = true,
	};
	if (wbproto_encoder_create(WBPROTO_ENCODER_PROTOBUF_C, &b->stream_encoder) < 0)
		return -ENOMEM;
	return wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &b->encoder);
}

static void teardown(struct bench *b)
{
	wbproto_encoder_destroy(b->stream_encoder);
	wbproto_encoder_destroy(b->encoder);
	free(b->pointers);
	free(b->packets);
	free(b->batches);
	free(b->source);
}

int main(int argc, char **argv)
{
	size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : DEFAULT_ROUNDS;
	struct bench b = {0};
	int r;

	if (rounds == 0 || rounds > MAX_ROUNDS) {
		fprintf(stderr, "bench_proto: rounds: 1 to %d\n", MAX_ROUNDS);
		return 2;
	}
	r = setup(&b);
	if (r == 0) {
		bench_source(&b, SOURCE_BYTES, rounds);
		bench_source(&b, CACHED_SOURCE_BYTES, rounds);
	} else {
		fprintf(stderr, "bench_proto: out of memory\n");
	}
	teardown(&b);
	return r < 0 || b.sink == 0;
}
