/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares a capture file with the frames of a plan (see frames.h):
 *
 *	check_frames FILE|- [plan options as for sender] [--interface NAME] [--direction in|out] [--snap BYTES]
 *	             [--after NS] [--before NS] [--allow-missing 1] [--microseconds 1]
 *
 * Each frame must be there once, bit by bit, in order within its flow, with both lengths, a time of nanosecond
 * resolution (or of whole microseconds) between --after and --before that never falls within a flow, the interface's
 * name and the direction.
 * Prints one line of JSON with the count of each kind of deviation. Exit 0: none; 1: some; 2: wrong usage.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "capfile.h"
#include "frames.h"

struct expectation {
	const char *interface; /* NULL: any */
	uint32_t direction;    /* epb_flags bits 0 and 1; 0: any */
	uint64_t snap;
	uint64_t after_ns;
	uint64_t before_ns;
	uint64_t allow_missing;
	uint64_t microseconds; /* the resolution of the times */
};

struct flow {
	uint64_t next; /* flow_seq that may come at least */
	uint64_t time_ns;
};

struct result {
	uint64_t packets, bytes;
	uint64_t missing, duplicates, reordered, corrupt, foreign;
	uint64_t bad_length, bad_time, bad_interface, bad_direction, bad_link_type;
	uint64_t fine_times; /* not whole microseconds */
	uint64_t first_ns, last_ns;
};

struct check {
	struct frame_plan plan;
	struct expectation expected;
	struct result result;
	struct flow *flows;
	uint8_t *seen; /* one byte a frame */
	uint8_t frame[FRAME_MAX_BYTES + 4];
};

static void check_facts(struct check *check, const struct capfile_packet *packet)
{
	const struct expectation *expected = &check->expected;
	struct result *result = &check->result;

	result->bad_link_type += packet->link_type != 1;
	result->bad_interface += expected->interface && strcmp(packet->interface, expected->interface);
	result->bad_direction +=
		expected->direction && (!packet->has_flags || (packet->flags & 3) != expected->direction);
	result->bad_time += packet->time_ns < expected->after_ns || packet->time_ns > expected->before_ns;
	result->fine_times += packet->time_ns % 1000 != 0;
	if (!result->first_ns || packet->time_ns < result->first_ns)
		result->first_ns = packet->time_ns;
	if (packet->time_ns > result->last_ns)
		result->last_ns = packet->time_ns;
}

static void check_packet(struct check *check, const struct capfile_packet *packet)
{
	struct result *result = &check->result;
	struct frame_id id;
	struct flow *flow;
	uint32_t length, captured;

	result->packets++;
	result->bytes += packet->captured;
	check_facts(check, packet);
	if (!frame_identify(&check->plan, packet->data, packet->captured, &id)) {
		result->foreign++;
		return;
	}
	flow = &check->flows[id.flow];
	result->duplicates += check->seen[id.seq];
	result->reordered += !check->seen[id.seq] && id.flow_seq < flow->next;
	result->bad_time += packet->time_ns < flow->time_ns;
	check->seen[id.seq] = 1;
	if (id.flow_seq >= flow->next)
		*flow = (struct flow){.next = (uint64_t)id.flow_seq + 1, .time_ns = packet->time_ns};
	length = frame_make(&check->plan, id.seq, check->frame);
	captured = length < check->expected.snap ? length : (uint32_t)check->expected.snap;
	if (packet->original != length || packet->captured != captured)
		result->bad_length++;
	else
		result->corrupt += memcmp(packet->data, check->frame, captured) != 0;
}

static bool finish(struct check *check)
{
	struct result *result = &check->result;
	uint64_t seq;

	for (seq = 0; seq < check->plan.count; seq++)
		result->missing += !check->seen[seq];
	/* A clock of whole microseconds shows as (nearly) no time with nanoseconds; chance alone gives 1 in 1000. */
	if (check->expected.microseconds)
		result->bad_time += result->fine_times;
	else if (result->packets >= 10 && result->fine_times < result->packets / 2)
		result->bad_time += result->packets - result->fine_times;
	return !((check->expected.allow_missing ? 0 : result->missing) || result->duplicates || result->reordered ||
		 result->corrupt || result->foreign || result->bad_length || result->bad_time ||
		 result->bad_interface || result->bad_direction || result->bad_link_type);
}

static void print(const struct result *result)
{
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{"packets", result->packets},
		{"bytes", result->bytes},
		{"missing", result->missing},
		{"duplicates", result->duplicates},
		{"reordered", result->reordered},
		{"corrupt", result->corrupt},
		{"foreign", result->foreign},
		{"bad_length", result->bad_length},
		{"bad_time", result->bad_time},
		{"bad_interface", result->bad_interface},
		{"bad_direction", result->bad_direction},
		{"bad_link_type", result->bad_link_type},
		{"first_ns", result->first_ns},
		{"last_ns", result->last_ns},
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "{", rows[i].name, rows[i].value);
	puts("}");
}

static int set_number(const char *value, uint64_t *ret_number)
{
	char *end;

	*ret_number = strtoull(value, &end, 10);
	return *end ? -EINVAL : 0;
}

static int set_option(struct check *check, const char *name, const char *value)
{
	struct expectation *expected = &check->expected;

	if (strcmp(name, "interface") == 0) {
		expected->interface = value;
		return 0;
	}
	if (strcmp(name, "direction") == 0) {
		expected->direction = strcmp(value, "in") == 0 ? 1 : strcmp(value, "out") == 0 ? 2 : 0;
		return expected->direction ? 0 : -EINVAL;
	}
	if (strcmp(name, "snap") == 0)
		return set_number(value, &expected->snap);
	if (strcmp(name, "after") == 0)
		return set_number(value, &expected->after_ns);
	if (strcmp(name, "before") == 0)
		return set_number(value, &expected->before_ns);
	if (strcmp(name, "allow-missing") == 0)
		return set_number(value, &expected->allow_missing);
	if (strcmp(name, "microseconds") == 0)
		return set_number(value, &expected->microseconds);
	return frame_plan_set(&check->plan, name, value);
}

static int parse(struct check *check, int argc, char **argv)
{
	int i;

	frame_plan_init(&check->plan);
	check->expected = (struct expectation){.snap = UINT64_MAX, .after_ns = 1, .before_ns = UINT64_MAX};
	for (i = 2; i + 1 < argc; i += 2) {
		if (strncmp(argv[i], "--", 2) || set_option(check, argv[i] + 2, argv[i + 1]))
			return -EINVAL;
	}
	return argc < 2 || i != argc ? -EINVAL : 0;
}

int main(int argc, char **argv)
{
	static struct check check;
	struct capfile_packet packet;
	struct capfile *file;
	FILE *stream;
	int rc = -1;
	bool good;

	if (parse(&check, argc, argv)) {
		fprintf(stderr, "usage: check_frames FILE|- [options], see its source\n");
		return 2;
	}
	stream = strcmp(argv[1], "-") ? fopen(argv[1], "rb") : stdin;
	check.flows = calloc(check.plan.flows, sizeof(*check.flows));
	check.seen = calloc(check.plan.count + 1, 1);
	file = stream && check.flows && check.seen ? capfile_open(stream) : NULL;
	while (file && (rc = capfile_next(file, &packet)) > 0)
		check_packet(&check, &packet);
	good = finish(&check) && rc == 0;
	print(&check.result);
	capfile_close(file);
	free(check.seen);
	free(check.flows);
	if (stream && stream != stdin)
		fclose(stream);
	return good ? 0 : 1;
}
