/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flow hash of arbitrary bytes: reads nothing beyond them, and the same frame the other way round has the same.
 * The first byte chooses the link type.
 */
#include "flow_hash.h"
#include "fuzz.h"

#include <stdbool.h>
#include <string.h>

static void swap(uint8_t *a, uint8_t *b, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		uint8_t byte = a[i];

		a[i] = b[i];
		b[i] = byte;
	}
}

static void swap_ports(uint8_t protocol, uint8_t *ports, const uint8_t *end)
{
	if (end - ports >= 4 &&
		(protocol == 6 || protocol == 17 || protocol == 33 || protocol == 132 || protocol == 136))
		swap(ports, ports + 2, 2);
}

static bool is_extension(uint8_t next_header)
{
	static const uint8_t types[] = {0, 43, 44, 51, 60, 135, 139, 140};

	return memchr(types, next_header, sizeof types) != NULL;
}

/* Exchange the ends of a packet that begins at ip. Returns false when its ports are too far away for that. */
static bool reverse_ip(uint8_t *ip, const uint8_t *end)
{
	if (end - ip >= 20 && ip[0] >> 4 == 4) {
		swap(ip + 12, ip + 16, 4);
		if ((ip[0] & 15) >= 5 && (ip[0] & 15) * 4 <= end - ip)
			swap_ports(ip[9], ip + (ip[0] & 15) * 4, end);
	} else if (end - ip >= 40 && ip[0] >> 4 == 6) {
		if (is_extension(ip[6]))
			return false;
		swap(ip + 8, ip + 24, 16);
		swap_ports(ip[6], ip + 40, end);
	}
	return true;
}

/* The same frame from the other end, as far as it is easily made. */
static bool reverse(uint32_t link_type, uint8_t *frame, size_t size)
{
	if (link_type == 101)
		return reverse_ip(frame, frame + size);
	if (link_type != 1 || size < 14)
		return true;
	swap(frame, frame + 6, 6);
	if ((frame[12] == 0x08 && frame[13] == 0) || (frame[12] == 0x86 && frame[13] == 0xdd))
		return reverse_ip(frame + 14, frame + size);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t link_types[] = {1, 101, 127, 0};
	uint32_t link_type, hash;
	uint8_t *frame;

	if (size < 1)
		return 0;
	link_type = link_types[data[0] & 3];
	size--;
	/* Memory of exactly its size. */
	frame = malloc(size ? size : 1);
	FUZZ_CHECK(frame != NULL);
	memcpy(frame, data + 1, size);
	hash = wb_flow_hash(link_type, frame, size);
	FUZZ_CHECK(wb_flow_hash(link_type, frame, size) == hash);
	if (reverse(link_type, frame, size))
		FUZZ_CHECK(wb_flow_hash(link_type, frame, size) == hash);
	free(frame);
	return 0;
}
