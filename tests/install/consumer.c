/* SPDX-License-Identifier: Apache-2.0 */
/* Somebody else's program: uses both libraries through their installed headers alone. */
#include <stdio.h>
#include <string.h>
#include <tpacket.h>
#include <wbproto.h>
#include <wirebus/transport.h>

int main(void)
{
	const char frame[] = "frame";
	struct wbproto_batch batch = {.worker_id = 7, .batch_seq = 1, .first_packet_seq = 1};
	struct wbproto_packet packet = {
		.data = frame, .captured_length = sizeof frame, .original_length = sizeof frame};
	struct wbproto_encoder *encoder;
	struct wbproto_reader reader;
	struct tpacket_options options;
	struct tpacket_error error = {""};
	struct tpacket *handle;
	unsigned char buffer[1024];
	size_t size;

	tpacket_options_init(&options);
	options.interface = "no-such-if0";
	if (tpacket_open(&options, &handle, &error) >= 0 || !strstr(error.message, "no-such-if0"))
		return 1;
	if (wbproto_encoder_create(WBPROTO_ENCODER_DIRECT, &encoder) < 0 ||
		wbproto_encoder_open(encoder, buffer, sizeof buffer, &batch) < 0 ||
		wbproto_encoder_append(encoder, &packet) < 0 || wbproto_encoder_seal(encoder, &batch, &size) < 0)
		return 2;
	wbproto_encoder_destroy(encoder);
	if (wbproto_reader_init(&reader, buffer, size) < 0 || reader.batch.worker_id != 7 ||
		wbproto_reader_next(&reader, &packet) != 1 || memcmp(packet.data, frame, sizeof frame) != 0)
		return 3;
	printf("transport ABI %d\n", WB_TRANSPORT_ABI);
	return 0;
}
