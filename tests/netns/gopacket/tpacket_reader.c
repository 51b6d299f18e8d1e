/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads packets with libtpacket; gopacket_reader.go does the same with gopacket. See reader.h for what it writes.
 *
 *	tpacket_reader --interface NAME [--version 1|2|3] [--api read|copy|lease] [--frame-bytes N] [--block-bytes N]
 *		[--block-count N] [--retire-ms N] [--poll-ms N] [--count N] [--idle-ms N] [--dgram] [--insert-vlan]
 *		[--records FILE]
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "reader.h"
#include "tpacket.h"

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL

enum api {
	API_READ,
	API_COPY,
	API_LEASE,
};

struct reader {
	struct tpacket_options options;
	enum api api;
	int poll_ms;
	uint64_t count; /* 0: until SIGTERM */
	int64_t idle_ns;
	const char *records_path;
	FILE *records;
	struct tpacket *handle;
	uint64_t packets;
	uint64_t bytes;
	uint64_t touched;
	int64_t last_ns;
};

static volatile sig_atomic_t stop;
static struct tpacket *woken_handle;

static void on_signal(int number)
{
	(void)number;
	stop = 1;
	tpacket_wake(woken_handle);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t timeval_ns(const struct timeval *value)
{
	return value->tv_sec * NS_PER_S + value->tv_usec * 1000LL;
}

struct cpu {
	int64_t user_ns;
	int64_t system_ns;
};

static struct cpu cpu_now(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (struct cpu){timeval_ns(&usage.ru_utime), timeval_ns(&usage.ru_stime)};
}

static int write_record(FILE *file, const struct tpacket_packet *packet)
{
	bool has_tag = packet->status & TPACKET_STATUS_VLAN;
	const struct record_head head = {
		.time_ns = packet->time_ns,
		.captured_length = packet->captured_length,
		.original_length = packet->original_length,
		.interface_index = packet->interface_index,
		.status = packet->status,
		.vlan_tci = has_tag ? packet->vlan_tci : -1,
		.vlan_tpid = has_tag ? packet->vlan_tpid : 0,
	};

	return record_write(file, &head, packet->data) < 0 ? -EIO : 0;
}

static inline int take(struct reader *reader, const struct tpacket_packet *packet)
{
	reader->packets++;
	reader->bytes += packet->captured_length;
	reader->touched += packet->data[0] + (uint64_t)packet->captured_length + packet->original_length;
	return reader->records ? write_record(reader->records, packet) : 0;
}

static bool is_complete(const struct reader *reader)
{
	return stop || (reader->count && reader->packets >= reader->count);
}

static bool is_idle(const struct reader *reader)
{
	return reader->idle_ns && reader->packets && now_ns() - reader->last_ns > reader->idle_ns;
}

static int read_in_place(struct reader *reader)
{
	struct tpacket_packet packet;
	int r = tpacket_read(reader->handle, reader->poll_ms, &packet);

	if (r == 1) {
		int error = take(reader, &packet);

		return error < 0 ? error : 1;
	}
	return r;
}

static int read_copy(struct reader *reader)
{
	struct tpacket_packet packet;
	void *memory;
	int r = tpacket_read_copy(reader->handle, reader->poll_ms, &packet, &memory);

	if (r == 1) {
		int error = take(reader, &packet);

		free(memory);
		return error < 0 ? error : 1;
	}
	return r;
}

static int read_lease(struct reader *reader)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	int error = 0;
	int r = tpacket_acquire(reader->handle, reader->poll_ms, &lease);

	if (r != 1)
		return r;
	while (error == 0 && tpacket_lease_next(&lease, &packet))
		error = take(reader, &packet);
	tpacket_release(&lease);
	return error < 0 ? error : 1;
}

static int read_all(struct reader *reader)
{
	int r;

	while (!is_complete(reader)) {
		switch (reader->api) {
		case API_READ:
			r = read_in_place(reader);
			break;
		case API_COPY:
			r = read_copy(reader);
			break;
		default:
			r = read_lease(reader);
		}
		if (r < 0)
			return r;
		if (r == 0 && is_idle(reader))
			return 0;
		if (r == 1 && reader->idle_ns && (reader->api == API_LEASE || reader->packets % 4096 == 1))
			reader->last_ns = now_ns();
	}
	return 0;
}

static int parse_api(const char *text, enum api *ret_api)
{
	static const char *const names[] = {[API_READ] = "read", [API_COPY] = "copy", [API_LEASE] = "lease"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret_api = (enum api)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_option(struct reader *reader, int name, const char *value)
{
	struct tpacket_options *options = &reader->options;
	uint32_t number = value ? (uint32_t)strtoul(value, NULL, 10) : 0;

	switch (name) {
	case 'i':
		options->interface = value;
		break;
	case 'v':
		options->version = (enum tpacket_version)number;
		break;
	case 'a':
		return parse_api(value, &reader->api);
	case 'f':
		options->frame_bytes = number;
		break;
	case 'b':
		options->block_bytes = number;
		break;
	case 'n':
		options->block_count = number;
		break;
	case 'r':
		options->retire_ms = number;
		break;
	case 'p':
		reader->poll_ms = (int)number;
		break;
	case 'c':
		reader->count = number;
		break;
	case 't':
		reader->idle_ns = number * NS_PER_MS;
		break;
	case 'd':
		options->socket_type = TPACKET_SOCKET_DGRAM;
		break;
	case 'V':
		options->vlan = TPACKET_VLAN_INSERT;
		break;
	case 'o':
		reader->records_path = value;
		break;
	default:
		return -EINVAL;
	}
	return 0;
}

static int parse(struct reader *reader, int argc, char **argv)
{
	static const struct option names[] = {
		{"interface", required_argument, NULL, 'i'},
		{"version", required_argument, NULL, 'v'},
		{"api", required_argument, NULL, 'a'},
		{"frame-bytes", required_argument, NULL, 'f'},
		{"block-bytes", required_argument, NULL, 'b'},
		{"block-count", required_argument, NULL, 'n'},
		{"retire-ms", required_argument, NULL, 'r'},
		{"poll-ms", required_argument, NULL, 'p'},
		{"count", required_argument, NULL, 'c'},
		{"idle-ms", required_argument, NULL, 't'},
		{"dgram", no_argument, NULL, 'd'},
		{"insert-vlan", no_argument, NULL, 'V'},
		{"records", required_argument, NULL, 'o'},
		{NULL, 0, NULL, 0},
	};
	int name;

	while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
		if (set_option(reader, name, optarg) < 0)
			return -EINVAL;
	}
	return optind == argc ? 0 : -EINVAL;
}

static int open_all(struct reader *reader)
{
	static char buffer[1 << 20];
	struct sigaction action = {.sa_handler = on_signal};
	struct tpacket_error error;
	int r;

	if (reader->records_path) {
		reader->records = fopen(reader->records_path, "wb");
		if (!reader->records)
			return -errno;
		setvbuf(reader->records, buffer, _IOFBF, sizeof(buffer));
	}
	r = tpacket_open(&reader->options, &reader->handle, &error);
	if (r < 0) {
		fprintf(stderr, "tpacket_reader: %s\n", error.message);
		return r;
	}
	woken_handle = reader->handle;
	sigaction(SIGTERM, &action, NULL);
	return tpacket_start(reader->handle);
}

static int close_all(struct reader *reader, const struct cpu *begin, const struct cpu *end)
{
	int64_t user_ns = end->user_ns - begin->user_ns;
	int64_t system_ns = end->system_ns - begin->system_ns;
	struct tpacket_counters counters = {0};
	int r = tpacket_stats(reader->handle, &counters);

	if (r == 0)
		printf("{\"packets\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"touched\": %" PRIu64
		       ", \"dropped\": %" PRIu64 ", \"polls\": %" PRIu64 ", \"cpu_ns\": %" PRId64
		       ", \"user_ns\": %" PRId64 "}\n",
			reader->packets, reader->bytes, reader->touched, counters.dropped, counters.polls,
			user_ns + system_ns, user_ns);
	if (reader->records && fclose(reader->records))
		r = -EIO;
	signal(SIGTERM, SIG_IGN);
	tpacket_close(reader->handle);
	return r;
}

int main(int argc, char **argv)
{
	struct reader reader = {.poll_ms = 100};
	struct cpu begin, done;
	int r, end;

	tpacket_options_init(&reader.options);
	reader.options.version = TPACKET_VERSION_3;
	if (parse(&reader, argc, argv) < 0) {
		fprintf(stderr, "usage: tpacket_reader --interface NAME [options], see its source\n");
		return 2;
	}
	r = open_all(&reader);
	if (r == 0) {
		puts("ready");
		fflush(stdout);
		begin = cpu_now();
		r = read_all(&reader);
		done = cpu_now();
		end = close_all(&reader, &begin, &done);
		r = r < 0 ? r : end;
	}
	if (r < 0)
		fprintf(stderr, "tpacket_reader: %s\n", strerror(-r));
	return r < 0 ? 1 : 0;
}
