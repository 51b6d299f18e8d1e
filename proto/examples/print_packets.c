/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the packets of messages from a bus, one line a packet: session, stream, number, time, interface, VLAN tag,
 * length, bytes; and at the end of each stream how many it had and how many of its messages' packets did not come.
 *
 *	cc -o print_packets print_packets.c $(pkg-config --cflags --libs libwbproto)
 *	kcat -b broker1:9092 -t packets -C -o beginning -e -q -f '%R%s' | ./print_packets
 *	./print_packets --record FILE...
 *
 * Standard input: messages one after the other, each behind its length (4 bytes, big-endian). FILE: one message, such
 * as the last frame of one from ZeroMQ. --record: the messages are PacketRecords, not PacketBatches.
 */
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wbproto.h>

#define MAX_MESSAGE_BYTES (64u << 20) /* whatever a length says that somebody else wrote */
#define MAX_STREAMS 1024u

/* How far a stream has come, to see what it lacks. */
struct stream {
	uint8_t session_id[WBPROTO_SESSION_ID_BYTES];
	uint32_t stream_id;
	uint64_t next_packet_seq;
	uint64_t packets;
	uint64_t missing;
};

static struct stream streams[MAX_STREAMS];
static unsigned int stream_count;

static struct stream *find_stream(const uint8_t *session_id, uint32_t stream_id)
{
	for (unsigned int i = 0; i < stream_count; i++) {
		if (streams[i].stream_id == stream_id &&
			memcmp(streams[i].session_id, session_id, WBPROTO_SESSION_ID_BYTES) == 0)
			return &streams[i];
	}
	if (stream_count == MAX_STREAMS)
		errx(1, "more than %u streams", MAX_STREAMS);
	memcpy(streams[stream_count].session_id, session_id, WBPROTO_SESSION_ID_BYTES);
	streams[stream_count].stream_id = stream_id;
	streams[stream_count].next_packet_seq = 1;
	return &streams[stream_count++];
}

/* False: the message was here before. */
static bool follow(struct stream *stream, uint64_t first_packet_seq, uint64_t packets)
{
	if (first_packet_seq < stream->next_packet_seq)
		return packets == 0;
	stream->missing += first_packet_seq - stream->next_packet_seq;
	stream->next_packet_seq = first_packet_seq + packets;
	stream->packets += packets;
	return true;
}

/* Names come from somebody else, and may hold anything. */
static void print_name(struct wbproto_view name)
{
	const unsigned char *bytes = name.data;

	for (size_t i = 0; i < name.length; i++)
		putchar(bytes[i] > ' ' && bytes[i] < 0x7f ? bytes[i] : '?');
}

static void print_packet(const struct stream *stream, uint64_t number, const struct wbproto_packet *packet,
	struct wbproto_view interface)
{
	const unsigned char *data = packet->data;

	for (size_t i = 0; i < WBPROTO_SESSION_ID_BYTES; i++)
		printf("%02x", stream->session_id[i]);
	printf(" %" PRIu32 " %" PRIu64 " %" PRIu64 ".%09u ", stream->stream_id, number,
		packet->time_unix_ns / 1000000000, (unsigned int)(packet->time_unix_ns % 1000000000));
	print_name(interface);
	printf(" %04x:%04x %" PRIu32 " ", packet->vlan_tpid, packet->vlan_tci, packet->original_length);
	for (uint32_t i = 0; i < packet->captured_length; i++)
		printf("%02x", data[i]);
	putchar('\n');
}

static void print_batch(const void *message, size_t size)
{
	struct wbproto_reader reader;
	struct wbproto_packet packet;
	struct wbproto_interface interface = {0};
	struct stream *stream;

	if (wbproto_reader_init(&reader, message, size) < 0)
		errx(1, "%zu bytes that are no PacketBatch", size);
	stream = find_stream(reader.batch.session_id, reader.batch.stream_id);
	if (!follow(stream, reader.batch.first_packet_seq, reader.packet_count))
		return;
	for (uint64_t i = 0; wbproto_reader_next(&reader, &packet) == 1; i++) {
		/* A look-up walks over the message, and packets of one interface come in rows. */
		if (i == 0 || interface.index != packet.interface_index) {
			if (wbproto_reader_interface(&reader, packet.interface_index, &interface) < 0)
				interface = (struct wbproto_interface){.index = packet.interface_index};
		}
		print_packet(stream, reader.batch.first_packet_seq + i, &packet, interface.name);
	}
	if (reader.batch.flags & WBPROTO_BATCH_END_OF_STREAM)
		printf("# stream %" PRIu32 " has ended: %" PRIu64 " packets, %" PRIu64 " missing\n", stream->stream_id,
			stream->packets, stream->missing);
}

static void print_record(const void *message, size_t size)
{
	struct wbproto_record record;
	struct stream *stream;

	if (wbproto_record_read(message, size, &record) < 0)
		errx(1, "%zu bytes that are no PacketRecord", size);
	stream = find_stream(record.session_id, record.stream_id);
	if (follow(stream, record.packet_seq, 1))
		print_packet(stream, record.packet_seq, &record.packet, record.interface.name);
}

/* One message behind its length. False: there is no more. */
static bool read_message(FILE *file, unsigned char **buffer, size_t *ret_size)
{
	unsigned char head[4];
	size_t got = fread(head, 1, sizeof(head), file);

	if (got == 0 && feof(file))
		return false;
	*ret_size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (got != sizeof(head) || *ret_size > MAX_MESSAGE_BYTES)
		errx(1, "no message behind its length of 4 bytes");
	*buffer = realloc(*buffer, *ret_size ? *ret_size : 1);
	if (!*buffer)
		err(1, "%zu bytes", *ret_size);
	if (fread(*buffer, 1, *ret_size, file) != *ret_size)
		errx(1, "the input ends in the middle of a message");
	return true;
}

static size_t read_file(const char *path, unsigned char *buffer)
{
	FILE *file = fopen(path, "rb");
	size_t size;

	if (!file)
		err(1, "%s", path);
	size = fread(buffer, 1, MAX_MESSAGE_BYTES, file);
	if (ferror(file))
		err(1, "%s", path);
	fclose(file);
	return size;
}

int main(int argc, char **argv)
{
	bool records = argc > 1 && strcmp(argv[1], "--record") == 0;
	void (*print)(const void *, size_t) = records ? print_record : print_batch;
	int first = records ? 2 : 1;
	unsigned char *buffer = NULL;
	size_t size;

	if (first == argc) {
		while (read_message(stdin, &buffer, &size))
			print(buffer, size);
	} else {
		buffer = malloc(MAX_MESSAGE_BYTES);
		if (!buffer)
			err(1, "%u bytes", MAX_MESSAGE_BYTES);
		for (int i = first; i < argc; i++)
			print(buffer, read_file(argv[i], buffer));
	}
	free(buffer);
	if (fflush(stdout) != 0 || ferror(stdout))
		err(1, "standard output");
	return 0;
}
