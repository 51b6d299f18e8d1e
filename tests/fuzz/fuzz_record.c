/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading single packets from arbitrary bytes: what is accepted protobuf-c accepts, both see the same, and if it can be
 * written again, protobuf-c writes the same bytes.
 */
#include "fuzz.h"
#include "wbproto.h"
#include "wirebus/v1/packet_record.pb-c.h"

#include <errno.h>

static void check_packet(const struct wbproto_packet *packet, const Wirebus__V1__PacketRecord *other)
{
	FUZZ_CHECK(packet->time_unix_ns == other->time_unix_nano);
	FUZZ_CHECK(packet->interface_index == other->interface_index);
	FUZZ_CHECK(packet->original_length == other->original_length);
	FUZZ_CHECK(packet->flags == other->flags);
	FUZZ_CHECK(packet->vlan_tci == other->vlan_tci);
	FUZZ_CHECK(packet->vlan_tpid == other->vlan_tpid);
	FUZZ_CHECK(packet->rx_hash == other->rx_hash);
	FUZZ_CHECK(packet->status == other->status);
	FUZZ_CHECK(fuzz_same_bytes(packet->data, packet->captured_length, other->data.data, other->data.len));
	FUZZ_CHECK(fuzz_same_bytes(
		packet->vnet_header, packet->vnet_header_length, other->vnet_header.data, other->vnet_header.len));
}

static void check_interface(const struct wbproto_interface *interface, const Wirebus__V1__PacketRecord *other)
{
	FUZZ_CHECK(interface->index == other->interface_index);
	FUZZ_CHECK(interface->link_type == other->link_type);
	FUZZ_CHECK(interface->snap_length == other->snap_length);
	FUZZ_CHECK(interface->timestamp_source == other->timestamp_source);
	FUZZ_CHECK(interface->speed_bps == other->speed_bps);
	FUZZ_CHECK(interface->defragmented == !!other->defragmented);
	FUZZ_CHECK(fuzz_same_bytes(
		interface->name.data, interface->name.length, other->interface_name.data, other->interface_name.len));
	FUZZ_CHECK(fuzz_same_bytes(
		interface->filter.data, interface->filter.length, other->filter.data, other->filter.len));
}

static void check_record(const struct wbproto_record *record, const Wirebus__V1__PacketRecord *other)
{
	if (other->session_id.len > 0)
		FUZZ_CHECK(fuzz_same_bytes(
			record->session_id, WBPROTO_SESSION_ID_BYTES, other->session_id.data, other->session_id.len));
	FUZZ_CHECK(record->worker_id == other->worker_id);
	FUZZ_CHECK(record->stream_id == other->stream_id);
	FUZZ_CHECK(record->batch_seq == other->batch_seq);
	FUZZ_CHECK(record->packet_seq == other->packet_seq);
	FUZZ_CHECK(record->flow_bucket_plus_one == other->flow_bucket_plus_one);
	FUZZ_CHECK(fuzz_same_bytes(record->node.data, record->node.length, other->node.data, other->node.len));
	check_packet(&record->packet, other);
	check_interface(&record->interface, other);
}

static void check_writing(const struct wbproto_record *record, Wirebus__V1__PacketRecord *other)
{
	static const uint8_t zero[WBPROTO_SESSION_ID_BYTES];
	size_t size = wbproto_record_encoded_bytes(record), written, wanted;
	uint8_t *ours = malloc(size + 1), *theirs;

	FUZZ_CHECK(ours != NULL);
	if (wbproto_record_write(record, ours, size, &written) < 0) { /* a string that is not UTF-8 */
		free(ours);
		return;
	}
	FUZZ_CHECK(written == size);
	/* Unknown fields are not kept, and a session_id of zeros is none. */
	if (memcmp(record->session_id, zero, sizeof(zero)) == 0)
		other->session_id.len = 0;
	wanted = wirebus__v1__packet_record__get_packed_size(other);
	if (other->base.n_unknown_fields == 0) {
		theirs = malloc(wanted + 1);
		FUZZ_CHECK(theirs != NULL);
		wirebus__v1__packet_record__pack(other, theirs);
		FUZZ_CHECK(fuzz_same_bytes(ours, written, theirs, wanted));
		free(theirs);
	}
	free(ours);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Wirebus__V1__PacketRecord *other;
	struct wbproto_record record;

	if (wbproto_record_read(data, size, &record) < 0)
		return 0;
	other = wirebus__v1__packet_record__unpack(NULL, size, data);
	FUZZ_CHECK(other != NULL);
	check_record(&record, other);
	check_writing(&record, other);
	wirebus__v1__packet_record__free_unpacked(other, NULL);
	return 0;
}
