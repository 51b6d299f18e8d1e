/* SPDX-License-Identifier: Apache-2.0 */
/* What the pcapng sink knows of interfaces, and of the counters of workers. Bounded, whatever messages claim. */
#include "pcapng.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

#define BUCKETS 4096u
#define LINK_ETHERNET 1u
#define LINK_USER0 147u /* for private use: what is not known, or has no number that fits */
#define TAG_BYTES 4u

struct worker {
	uint8_t session_id[WBPROTO_SESSION_ID_BYTES];
	uint32_t worker_id;
	bool sole;      /* it captures from one interface only, and its counters can be told */
	uint32_t index; /* that one's */
	uint64_t kernel_seen;
	uint64_t kernel_dropped;
	uint64_t due;    /* dropped, and to be told with the next packet */
	uint64_t coming; /* dropped by the end of the present batch, so due after it */
	struct worker *next;
};

struct wb_pcapng_tables {
	struct wb_pcapng_interface **interfaces; /* by id */
	size_t interface_count;
	size_t interface_room;
	size_t worker_count;
	bool summed;
	struct worker *last_worker;
	struct wb_pcapng_interface *interface_buckets[BUCKETS];
	struct worker *worker_buckets[BUCKETS];
};

static size_t bucket_of(const uint8_t *session_id, uint32_t number)
{
	uint64_t hash = number;

	for (size_t i = 0; i < WBPROTO_SESSION_ID_BYTES; i++)
		hash = (hash ^ session_id[i]) * 0x100000001b3u;
	return (size_t)((hash ^ hash >> 32) % BUCKETS);
}

int wb_pcapng_tables_create(struct wb_pcapng_tables **ret_tables)
{
	*ret_tables = calloc(1, sizeof(**ret_tables));
	return *ret_tables ? 0 : -ENOMEM;
}

void wb_pcapng_tables_destroy(struct wb_pcapng_tables *tables)
{
	if (!tables)
		return;
	for (size_t i = 0; i < tables->interface_count; i++)
		free(tables->interfaces[i]);
	for (size_t i = 0; i < BUCKETS; i++) {
		while (tables->worker_buckets[i]) {
			struct worker *worker = tables->worker_buckets[i];

			tables->worker_buckets[i] = worker->next;
			free(worker);
		}
	}
	free(tables->interfaces);
	free(tables);
}

/* What tells interfaces apart. */
struct interface_key {
	uint8_t session_id[WBPROTO_SESSION_ID_BYTES];
	uint32_t index;
	uint16_t link_type;
	struct wbproto_view node; /* cut */
};

static struct wbproto_view cut(struct wbproto_view text)
{
	if (text.length)
		text.length = wb_utf8_cut(text.data, text.length, WB_PCAPNG_NAME_BYTES);
	return text;
}

static struct interface_key key_of(const struct wbproto_record *record)
{
	const struct wbproto_interface *interface = &record->interface;
	bool known = interface->index || interface->link_type || interface->name.length;
	struct interface_key key = {.index = record->packet.interface_index, .node = cut(record->node)};

	memcpy(key.session_id, record->session_id, sizeof(key.session_id));
	key.link_type = known && interface->link_type <= UINT16_MAX ? (uint16_t)interface->link_type : LINK_USER0;
	return key;
}

static struct wb_pcapng_interface *find_interface(struct wb_pcapng_tables *tables, const struct interface_key *key)
{
	struct wb_pcapng_interface *at = tables->interface_buckets[bucket_of(key->session_id, key->index)];

	for (; at; at = at->next)
		if (at->index == key->index && at->link_type == key->link_type && at->node_length == key->node.length &&
			memcmp(at->session_id, key->session_id, sizeof(at->session_id)) == 0 &&
			(key->node.length == 0 || memcmp(at->text, key->node.data, key->node.length) == 0))
			return at;
	return NULL;
}

static int reserve_interface(struct wb_pcapng_tables *tables)
{
	size_t room = tables->interface_room ? tables->interface_room * 2 : 16;
	void *grown;

	if (tables->interface_count < tables->interface_room)
		return 0;
	grown = reallocarray(tables->interfaces, room, sizeof(struct wb_pcapng_interface *));
	if (!grown)
		return -ENOMEM;
	tables->interfaces = grown;
	tables->interface_room = room;
	return 0;
}

static int add_interface(struct wb_pcapng_tables *tables, const struct interface_key *key,
	const struct wbproto_interface *facts, struct wb_pcapng_interface **ret_interface)
{
	struct wbproto_view name = cut(facts->name);
	struct wb_pcapng_interface *interface, **bucket;
	int r = reserve_interface(tables);

	if (r < 0)
		return r;
	interface = calloc(1, sizeof(*interface) + key->node.length + name.length);
	if (!interface)
		return -ENOMEM;
	interface->id = (uint32_t)tables->interface_count;
	interface->index = key->index;
	interface->link_type = key->link_type;
	memcpy(interface->session_id, key->session_id, sizeof(interface->session_id));
	interface->speed_bps = facts->speed_bps;
	interface->node_length = key->node.length;
	interface->name_length = name.length;
	if (key->node.length)
		memcpy(interface->text, key->node.data, key->node.length);
	if (name.length)
		memcpy(interface->text + key->node.length, name.data, name.length);
	/* libpcap refuses packets longer than what is declared, so there must be room for a tag that is put back. */
	if (facts->snap_length > 0 && facts->snap_length < WB_PCAPNG_MAX_PACKET_BYTES - TAG_BYTES)
		interface->snap_length = facts->snap_length + (key->link_type == LINK_ETHERNET ? TAG_BYTES : 0);
	else if (facts->snap_length > 0)
		interface->snap_length = WB_PCAPNG_MAX_PACKET_BYTES;
	bucket = &tables->interface_buckets[bucket_of(key->session_id, key->index)];
	interface->next = *bucket;
	*bucket = interface;
	tables->interfaces[tables->interface_count++] = interface;
	*ret_interface = interface;
	return 0;
}

int wb_pcapng_interface_get(struct wb_pcapng_tables *tables, const struct wbproto_record *record,
	struct wb_pcapng_interface **ret_interface, bool *ret_created)
{
	static const struct wbproto_interface nothing;
	const struct wbproto_interface *facts = &record->interface;
	struct interface_key key = key_of(record);

	*ret_created = false;
	*ret_interface = find_interface(tables, &key);
	if (!*ret_interface && tables->interface_count >= WB_PCAPNG_MAX_INTERFACES) {
		/* One for each link type takes the rest, and says nothing about where packets came from. */
		key = (struct interface_key){.link_type = key.link_type};
		facts = &nothing;
		*ret_interface = find_interface(tables, &key);
	}
	if (*ret_interface)
		return 0;
	*ret_created = true;
	return add_interface(tables, &key, facts, ret_interface);
}

void wb_pcapng_interface_count(struct wb_pcapng_interface *interface, uint64_t time_ns)
{
	if (interface->packets == 0 || time_ns < interface->first_time_ns)
		interface->first_time_ns = time_ns;
	if (time_ns > interface->last_time_ns)
		interface->last_time_ns = time_ns;
	interface->packets++;
}

const struct wb_pcapng_interface *wb_pcapng_interface_at(const struct wb_pcapng_tables *tables, size_t id)
{
	return id < tables->interface_count ? tables->interfaces[id] : NULL;
}

static struct worker *find_worker(struct wb_pcapng_tables *tables, const uint8_t *session_id, uint32_t worker_id)
{
	struct worker *at = tables->last_worker;

	if (at && at->worker_id == worker_id && memcmp(at->session_id, session_id, sizeof(at->session_id)) == 0)
		return at;
	for (at = tables->worker_buckets[bucket_of(session_id, worker_id)]; at; at = at->next) {
		if (at->worker_id == worker_id && memcmp(at->session_id, session_id, sizeof(at->session_id)) == 0) {
			tables->last_worker = at;
			return at;
		}
	}
	return NULL;
}

static int add_worker(
	struct wb_pcapng_tables *tables, const uint8_t *session_id, uint32_t worker_id, struct worker **ret_worker)
{
	struct worker **bucket = &tables->worker_buckets[bucket_of(session_id, worker_id)];
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return -ENOMEM;
	memcpy(worker->session_id, session_id, sizeof(worker->session_id));
	worker->worker_id = worker_id;
	worker->sole = true;
	worker->next = *bucket;
	*bucket = worker;
	tables->worker_count++;
	*ret_worker = worker;
	return 0;
}

/* The interface that a worker's counters are about, as long as it has named no other. */
static void note_interface(struct worker *worker, const struct wb_sink_batch *batch)
{
	if (batch->interface_count == 0)
		return;
	if (batch->interface_count > 1 || (worker->index && worker->index != batch->interface_index))
		worker->sole = false;
	else
		worker->index = batch->interface_index;
}

int wb_pcapng_note_counters(struct wb_pcapng_tables *tables, const struct wb_sink_batch *batch)
{
	struct worker *worker;
	int r;

	if (!batch->has_counters)
		return 0;
	worker = find_worker(tables, batch->session_id, batch->worker_id);
	if (!worker) {
		if (tables->worker_count >= WB_PCAPNG_MAX_WORKERS)
			return 0;
		r = add_worker(tables, batch->session_id, batch->worker_id, &worker);
		if (r < 0)
			return r;
		/* Whoever joins late does not know when the drops before were. */
		if (batch->batch_seq > 1)
			worker->kernel_dropped = batch->counters.kernel_dropped;
	}
	note_interface(worker, batch);
	/* Counters are of the end of their batch: what they add belongs to the first packet of the next one. */
	worker->due += worker->coming;
	worker->coming = 0;
	if (batch->counters.kernel_dropped > worker->kernel_dropped) {
		/* Between packets that do not come: not for the first one that does. */
		worker->coming = batch->outside ? 0 : batch->counters.kernel_dropped - worker->kernel_dropped;
		worker->kernel_dropped = batch->counters.kernel_dropped;
	}
	if (batch->counters.kernel_seen > worker->kernel_seen)
		worker->kernel_seen = batch->counters.kernel_seen;
	return 0;
}

uint64_t wb_pcapng_take_drops(struct wb_pcapng_tables *tables, const struct wbproto_record *record)
{
	struct worker *worker = find_worker(tables, record->session_id, record->worker_id);
	uint64_t due = 0;

	if (worker) {
		due = worker->due;
		worker->due = 0;
	}
	return due;
}

static void sum_worker(struct wb_pcapng_tables *tables, const struct worker *worker)
{
	struct wb_pcapng_interface *at = tables->interface_buckets[bucket_of(worker->session_id, worker->index)];

	for (; at; at = at->next) {
		if (at->index != worker->index ||
			memcmp(at->session_id, worker->session_id, sizeof(at->session_id)) != 0)
			continue;
		at->has_counters = true;
		at->received += worker->kernel_seen;
		at->dropped += worker->kernel_dropped;
		return;
	}
}

void wb_pcapng_sum_counters(struct wb_pcapng_tables *tables)
{
	if (tables->summed)
		return;
	tables->summed = true;
	for (size_t i = 0; i < BUCKETS; i++)
		for (const struct worker *worker = tables->worker_buckets[i]; worker; worker = worker->next)
			if (worker->sole && worker->index)
				sum_worker(tables, worker);
}
