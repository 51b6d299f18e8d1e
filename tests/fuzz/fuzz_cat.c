/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `wirebus cat` on messages from arbitrary bytes: read, booked, merged or sorted, filtered, and given to every sink. No
 * message may stop it, and what it writes must be as many packets as it says; a pcapng file must be in order.
 *
 * Input: one byte that chooses the sink (bits 0-1), the order (2-3), a filter (4) and a time range (5), then messages:
 * a byte for kind and channel, two for the length, little-endian, and so many bytes.
 */
#include "fuzz.h"

#include <errno.h>

#include "cat.h"
#include "log.h"

#define PARTITIONS 4u

struct wb_source {
	const uint8_t *at, *end;
	uint64_t told_ns[PARTITIONS];
};

static int next(struct wb_source *source, int timeout_ms, struct wb_message *ret_message, struct wb_error *ret_error)
{
	size_t length;
	uint8_t head;

	(void)timeout_ms;
	(void)ret_error;
	if (source->end - source->at < 3)
		return -ENODATA;
	head = source->at[0];
	length = source->at[1] | (size_t)source->at[2] << 8;
	source->at += 3;
	if (length > (size_t)(source->end - source->at))
		length = (size_t)(source->end - source->at);
	ret_message->data = source->at;
	ret_message->size = length;
	ret_message->kind = head & 1 ? WB_MESSAGE_RECORD : WB_MESSAGE_BATCH;
	ret_message->channel = head >> 1 & (PARTITIONS - 1);
	memcpy(ret_message->origin, "fuzz", 5);
	source->at += length;
	return 1;
}

static void note_time(struct wb_source *source, uint32_t channel, uint64_t time_unix_ns)
{
	FUZZ_CHECK(channel < PARTITIONS);
	if (time_unix_ns > source->told_ns[channel])
		source->told_ns[channel] = time_unix_ns;
}

static uint64_t behind(const struct wb_source *source)
{
	uint64_t least_ns = UINT64_MAX;

	for (size_t i = 0; i < PARTITIONS; i++)
		if (source->told_ns[i] < least_ns)
			least_ns = source->told_ns[i];
	return source->at < source->end ? least_ns : UINT64_MAX;
}

static const struct wb_source_ops source_ops = {
	.name = "fuzz", .finite = true, .next = next, .note_time = note_time, .behind = behind};

/* Blocks follow one another without a gap; returns how many are packets. */
static uint64_t count_blocks(const uint8_t *data, size_t size)
{
	uint64_t packets = 0;

	while (size > 0) {
		uint32_t type, length, again;

		FUZZ_CHECK(size >= 12);
		memcpy(&type, data, 4);
		memcpy(&length, data + 4, 4);
		FUZZ_CHECK(length >= 12 && length % 4 == 0 && length <= size);
		memcpy(&again, data + length - 4, 4);
		FUZZ_CHECK(again == length);
		packets += type == 6;
		data += length;
		size -= length;
	}
	return packets;
}

static uint64_t count_records(const uint8_t *data, size_t size)
{
	uint64_t packets = 0;

	FUZZ_CHECK(size >= 24);
	data += 24;
	size -= 24;
	while (size > 0) {
		uint32_t captured;

		FUZZ_CHECK(size >= 16);
		memcpy(&captured, data + 8, 4);
		FUZZ_CHECK(captured <= 262144 && captured <= size - 16);
		data += 16 + captured;
		size -= 16 + captured;
		packets++;
	}
	return packets;
}

static uint64_t count_lines(const uint8_t *data, size_t size)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	FUZZ_CHECK(size == 0 || data[size - 1] == '\n');
	return lines;
}

static void check_output(const struct wb_sink_ops *ops, const uint8_t *data, size_t size, uint64_t packets)
{
	if (ops == &wb_sink_pcapng)
		FUZZ_CHECK(count_blocks(data, size) == packets);
	else if (ops == &wb_sink_pcap)
		FUZZ_CHECK(count_records(data, size) == packets);
	else
		FUZZ_CHECK(count_lines(data, size) == packets);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wb_source source = {.at = data + 1, .end = data + size};
	struct wb_output out = {.name = "memory"};
	const atomic_bool stop = false;
	struct wb_cat_args args = {.source_ops = &source_ops, .source = &source, .out = &out, .stop = &stop};
	struct wb_cat cat;
	char *text = NULL;
	size_t length = 0;
	int r;

	if (size == 0)
		return 0;
	wb_log_set_level(WB_LOG_ERROR - 1);
	args.sink_ops = wb_sinks[data[0] & 3];
	args.order = (enum wb_cat_order)((data[0] >> 2 & 3) % 3);
	args.filter = data[0] & 16 ? "ip or vlan or ether[3] = 1" : NULL;
	args.since_ns = data[0] & 32 ? 1000 : 0;
	args.until_ns = data[0] & 32 ? UINT64_C(1) << 62 : 0;
	args.hold_bytes = data[0] & 64 ? 65536 : 0;
	out.stream = open_memstream(&text, &length);
	FUZZ_CHECK(out.stream && args.sink_ops && args.sink_ops->open(out.stream, &args.sink, NULL) == 0);
	wb_cat_init(&cat);
	r = wb_cat_run(&cat, &args);
	/* A second link type is the only thing that pcap does not take. */
	FUZZ_CHECK(r == 0 || (r == -EPROTOTYPE && args.sink_ops == &wb_sink_pcap));
	args.sink_ops->close(args.sink);
	FUZZ_CHECK(fclose(out.stream) == 0);
	if (r == 0) {
		FUZZ_CHECK(cat.end == WB_CAT_END_OF_DATA || (args.until_ns && cat.end == WB_CAT_END_OF_RANGE));
		check_output(args.sink_ops, (const uint8_t *)text, length, cat.packets);
	}
	wb_cat_fini(&cat);
	free(text);
	return 0;
}
