/* SPDX-License-Identifier: Apache-2.0 */
#include "packet_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024u
#define MAX_ORIGINS 65536u
#define MAX_ORIGIN_BYTES ((size_t)64 << 20)

/* What packets have in common. */
struct origin {
	struct wbproto_record record; /* without its packet; strings point to text */
	uint32_t number;
	uint64_t hash;
	struct origin *next;
	char text[];
};

enum { KIND_HEAD = 1, KIND_PACKET };

struct stored_head {
	uint8_t kind;
	struct wb_sink_batch head;
};

/* Then vnet_header, then data. */
struct stored_packet {
	uint8_t kind;
	uint8_t vnet_header_length;
	uint16_t vlan_tci;
	uint16_t vlan_tpid;
	uint32_t origin;
	uint32_t captured_length;
	uint32_t original_length;
	uint32_t interface_index;
	uint32_t flags;
	uint32_t rx_hash;
	uint32_t status;
	uint64_t time_unix_ns;
	uint64_t packet_seq;
	uint64_t batch_seq;
};

struct wb_packet_store {
	struct origin *buckets[BUCKETS];
	struct origin **origins; /* by number */
	size_t count, room, bytes;
	const struct origin *last;
	struct stored_head head;
	uint8_t *buffer;
	size_t buffer_room;
};

int wb_packet_store_create(struct wb_packet_store **ret_store)
{
	*ret_store = calloc(1, sizeof(**ret_store));
	return *ret_store ? 0 : -ENOMEM;
}

void wb_packet_store_destroy(struct wb_packet_store *store)
{
	if (!store)
		return;
	for (size_t i = 0; i < store->count; i++)
		free(store->origins[i]);
	free(store->origins);
	free(store->buffer);
	free(store);
}

static bool same_text(struct wbproto_view a, struct wbproto_view b)
{
	return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

static bool same_origin(const struct wbproto_record *a, const struct wbproto_record *b)
{
	const struct wbproto_interface *left = &a->interface, *right = &b->interface;

	return a->stream_id == b->stream_id && a->worker_id == b->worker_id &&
	       a->flow_bucket_plus_one == b->flow_bucket_plus_one &&
	       memcmp(a->session_id, b->session_id, sizeof(a->session_id)) == 0 && same_text(a->node, b->node) &&
	       left->index == right->index && left->link_type == right->link_type &&
	       left->snap_length == right->snap_length && left->timestamp_source == right->timestamp_source &&
	       left->speed_bps == right->speed_bps && left->defragmented == right->defragmented &&
	       same_text(left->name, right->name) && same_text(left->filter, right->filter);
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t length)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ at[i]) * 0x100000001b3u;
	return hash;
}

static uint64_t hash_of(const struct wbproto_record *record)
{
	uint64_t hash = hash_bytes(record->stream_id, record->session_id, sizeof(record->session_id));

	hash = hash_bytes(hash ^ record->interface.index, record->node.data, record->node.length);
	hash = hash_bytes(hash, record->interface.name.data, record->interface.name.length);
	return hash ^ hash >> 32;
}

static struct wbproto_view copy_text(char **at, struct wbproto_view text)
{
	struct wbproto_view copy = {*at, text.length};

	if (text.length)
		memcpy(*at, text.data, text.length);
	*at += text.length;
	return copy;
}

static int make_room(struct wb_packet_store *store)
{
	size_t room = store->room ? 2 * store->room : 64;
	struct origin **origins;

	if (store->count < store->room)
		return 0;
	origins = realloc(store->origins, room * sizeof(struct origin *));
	if (!origins)
		return -ENOMEM;
	store->origins = origins;
	store->room = room;
	return 0;
}

static int add_origin(struct wb_packet_store *store, const struct wbproto_record *record, uint64_t hash)
{
	size_t text = record->node.length + record->interface.name.length + record->interface.filter.length;
	struct origin *origin;
	char *at;
	int r = make_room(store);

	if (r < 0)
		return r;
	origin = malloc(sizeof(*origin) + text);
	if (!origin)
		return -ENOMEM;
	origin->record = *record;
	origin->record.packet = (struct wbproto_packet){0};
	at = origin->text;
	origin->record.node = copy_text(&at, record->node);
	origin->record.interface.name = copy_text(&at, record->interface.name);
	origin->record.interface.filter = copy_text(&at, record->interface.filter);
	origin->hash = hash;
	origin->number = (uint32_t)store->count;
	origin->next = store->buckets[hash % BUCKETS];
	store->buckets[hash % BUCKETS] = origin;
	store->origins[store->count++] = origin;
	store->bytes += sizeof(*origin) + text;
	store->last = origin;
	return 0;
}

/* Sets store->last. */
static int find_origin(struct wb_packet_store *store, const struct wbproto_record *record)
{
	static const struct wbproto_record nothing;
	uint64_t hash;

	if (store->last && same_origin(&store->last->record, record))
		return 0;
	if (store->count >= MAX_ORIGINS || store->bytes >= MAX_ORIGIN_BYTES)
		record = &nothing;
	hash = hash_of(record);
	for (const struct origin *at = store->buckets[hash % BUCKETS]; at; at = at->next) {
		if (at->hash == hash && same_origin(&at->record, record)) {
			store->last = at;
			return 0;
		}
	}
	return add_origin(store, record, hash);
}

static int grow(struct wb_packet_store *store, size_t size)
{
	uint8_t *buffer;

	if (size <= store->buffer_room)
		return 0;
	buffer = realloc(store->buffer, size);
	if (!buffer)
		return -ENOMEM;
	store->buffer = buffer;
	store->buffer_room = size;
	return 0;
}

int wb_packet_store_record(
	struct wb_packet_store *store, const struct wbproto_record *record, const void **ret_data, size_t *ret_size)
{
	const struct wbproto_packet *packet = &record->packet;
	struct stored_packet head;
	size_t size = sizeof(head) + packet->vnet_header_length + packet->captured_length;
	int r = find_origin(store, record);

	if (r == 0)
		r = grow(store, size);
	if (r < 0)
		return r;
	memset(&head, 0, sizeof(head)); /* what lies between the members is written to disk too */
	head.kind = KIND_PACKET;
	head.vnet_header_length = packet->vnet_header_length;
	head.vlan_tci = packet->vlan_tci;
	head.vlan_tpid = packet->vlan_tpid;
	head.origin = store->last->number;
	head.captured_length = packet->captured_length;
	head.original_length = packet->original_length;
	head.interface_index = packet->interface_index;
	head.flags = packet->flags;
	head.rx_hash = packet->rx_hash;
	head.status = packet->status;
	head.time_unix_ns = packet->time_unix_ns;
	head.packet_seq = record->packet_seq;
	head.batch_seq = record->batch_seq;
	memcpy(store->buffer, &head, sizeof(head));
	if (packet->vnet_header_length)
		memcpy(store->buffer + sizeof(head), packet->vnet_header, packet->vnet_header_length);
	if (packet->captured_length)
		memcpy(store->buffer + sizeof(head) + packet->vnet_header_length, packet->data,
			packet->captured_length);
	*ret_data = store->buffer;
	*ret_size = size;
	return 0;
}

void wb_packet_store_head(
	struct wb_packet_store *store, const struct wb_sink_batch *head, const void **ret_data, size_t *ret_size)
{
	memset(&store->head, 0, sizeof(store->head));
	store->head.kind = KIND_HEAD;
	store->head.head = *head;
	*ret_data = &store->head;
	*ret_size = sizeof(store->head);
}

static int read_packet(
	const struct wb_packet_store *store, const uint8_t *data, size_t size, struct wbproto_record *ret_record)
{
	struct stored_packet head;

	if (size < sizeof(head))
		return -EIO;
	memcpy(&head, data, sizeof(head));
	if (head.origin >= store->count ||
		size != sizeof(head) + head.vnet_header_length + (size_t)head.captured_length)
		return -EIO;
	*ret_record = store->origins[head.origin]->record;
	ret_record->batch_seq = head.batch_seq;
	ret_record->packet_seq = head.packet_seq;
	ret_record->packet = (struct wbproto_packet){
		.time_unix_ns = head.time_unix_ns,
		.data = data + sizeof(head) + head.vnet_header_length,
		.captured_length = head.captured_length,
		.original_length = head.original_length,
		.interface_index = head.interface_index,
		.flags = head.flags,
		.rx_hash = head.rx_hash,
		.status = head.status,
		.vlan_tci = head.vlan_tci,
		.vlan_tpid = head.vlan_tpid,
		.vnet_header_length = head.vnet_header_length,
		.vnet_header = data + sizeof(head),
	};
	return 0;
}

int wb_packet_store_read(
	const struct wb_packet_store *store, const void *data, size_t size, struct wb_stored *ret_stored)
{
	const uint8_t *kind = data;
	struct stored_head head;

	if (size > 0 && *kind == KIND_PACKET) {
		ret_stored->is_head = false;
		return read_packet(store, data, size, &ret_stored->record);
	}
	if (size != sizeof(head) || *kind != KIND_HEAD)
		return -EIO;
	memcpy(&head, data, sizeof(head));
	ret_stored->is_head = true;
	ret_stored->head = head.head;
	return 0;
}
