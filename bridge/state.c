/* SPDX-License-Identifier: Apache-2.0 */
#include "state.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container.h"
#include "log.h"
#include "state_internal.h"

struct wb_state_slot {
	uint32_t worker_id;
	unsigned int streams;
	size_t copy_bytes;
	struct wb_state_description *descriptions; /* in the file, as the next ones */
	struct wb_state_copy *copies[2];
	struct wb_state_copy *next; /* what the next commit stores */
};

struct wb_state {
	int directory;
	int fd;
	char name[64];
	void *mapping;
	size_t bytes;
	unsigned int workers;
	struct wb_state_slot *slots;
};

uint32_t wb_state_crc(const void *object, size_t size)
{
	return wb_crc32c(0, (const uint8_t *)object + sizeof(uint32_t), size - sizeof(uint32_t));
}

uint32_t wb_state_header_crc(const struct wb_state_header *header)
{
	struct wb_state_header copy;
	size_t size = wb_state_header_bytes(header->version);

	memcpy(&copy, header, size);
	copy.crc = 0;
	return wb_crc32c(0, &copy, size);
}

static int open_file(struct wb_state *state, const struct wb_state_options *o, struct wb_error *ret_error)
{
	const char *path = o->directory;
	size_t n = 0;
	int r;

	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return wb_fail(ret_error, -errno, "state_dir '%s': cannot create it: %s", path, strerror(errno));
	state->directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state->directory < 0)
		return wb_fail(ret_error, -errno, "state_dir '%s': cannot open it: %s", path, strerror(errno));
	for (size_t i = 0; i < 16; i++)
		n += (size_t)snprintf(state->name + n, sizeof state->name - n, "%02x", o->session_id[i]);
	snprintf(state->name + n, sizeof state->name - n, "-%04u.state", o->first_worker_id);
	state->fd = openat(state->directory, state->name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
	if (state->fd < 0)
		return wb_fail(ret_error, -errno, "state_dir '%s': cannot create '%s': %s", path, state->name,
			strerror(errno));
	/* Locked, so that others see that its process lives. */
	if (flock(state->fd, LOCK_EX | LOCK_NB) < 0)
		return wb_fail(
			ret_error, -errno, "state_dir '%s': cannot lock '%s': %s", path, state->name, strerror(errno));
	/* With its blocks on disk: memory without them would be a SIGBUS once the disk is full. */
	r = -posix_fallocate(state->fd, 0, (off_t)state->bytes);
	if (r == 0) {
		state->mapping = mmap(NULL, state->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, state->fd, 0);
		r = state->mapping == MAP_FAILED ? -errno : 0;
	}
	if (r < 0) {
		state->mapping = NULL;
		unlinkat(state->directory, state->name, 0);
		return wb_fail(ret_error, r, "state_dir '%s': no room for '%s': %s", path, state->name, strerror(-r));
	}
	return 0;
}

static void write_header(struct wb_state *state, const struct wb_state_options *o)
{
	struct wb_state_header *header = state->mapping;

	memcpy(header->session_id, o->session_id, sizeof header->session_id);
	snprintf(header->node, sizeof header->node, "%s", o->node);
	snprintf(header->capture, sizeof header->capture, "%s", o->capture);
	snprintf(header->bus, sizeof header->bus, "%s", o->bus);
	header->version = WB_STATE_VERSION;
	header->byte_order = WB_STATE_BYTE_ORDER;
	header->workers = o->workers;
	header->streams = o->streams;
	header->counters = WB_STATE_COUNTERS;
	memcpy(header->magic, WB_STATE_MAGIC, sizeof header->magic);
	header->crc = wb_state_header_crc(header);
}

static int init_slots(struct wb_state *state, const struct wb_state_options *o)
{
	size_t copy_bytes = wb_state_copy_bytes(o->streams);
	uint8_t *at = (uint8_t *)state->mapping + sizeof(struct wb_state_header);

	for (unsigned int i = 0; i < o->workers; i++) {
		struct wb_state_slot *slot = &state->slots[i];

		slot->worker_id = o->first_worker_id + i;
		slot->streams = o->streams;
		slot->copy_bytes = copy_bytes;
		slot->descriptions = (struct wb_state_description *)at;
		at += o->streams * sizeof(struct wb_state_description);
		for (int copy = 0; copy < 2; copy++, at += copy_bytes)
			slot->copies[copy] = (struct wb_state_copy *)at;
		slot->next = calloc(1, copy_bytes);
		if (!slot->next)
			return -ENOMEM;
		for (unsigned int s = 0; s < o->streams; s++)
			wb_state_set(slot, s, 1, 1);
	}
	return 0;
}

int wb_state_create(const struct wb_state_options *o, struct wb_state **ret_state, struct wb_error *ret_error)
{
	struct wb_state *state = calloc(1, sizeof *state);
	int r;

	if (!state)
		return wb_fail(ret_error, -ENOMEM, "state_dir '%s': out of memory", o->directory);
	state->directory = state->fd = -1;
	state->workers = o->workers;
	state->bytes = wb_state_file_bytes(WB_STATE_VERSION, o->workers, o->streams);
	state->slots = calloc(o->workers, sizeof *state->slots);
	if (!state->slots) {
		wb_state_close(state);
		return wb_fail(ret_error, -ENOMEM, "state_dir '%s': out of memory", o->directory);
	}
	r = open_file(state, o, ret_error);
	if (state->mapping) {
		write_header(state, o);
		r = init_slots(state, o);
		if (r < 0) {
			unlinkat(state->directory, state->name, 0);
			wb_fail(ret_error, r, "state_dir '%s': out of memory", o->directory);
		}
	}
	if (r < 0) {
		wb_state_close(state);
		return r;
	}
	*ret_state = state;
	return 0;
}

struct wb_state_slot *wb_state_slot(struct wb_state *state, unsigned int worker)
{
	assert(worker < state->workers);
	return &state->slots[worker];
}

void wb_state_describe(struct wb_state_slot *slot, unsigned int stream, const struct wb_state_stream *description)
{
	struct wb_state_description *d = &slot->descriptions[stream];

	assert(stream < slot->streams && description->key_size <= sizeof d->key);
	d->worker_id = slot->worker_id;
	d->stream_id = description->stream_id;
	d->key_size = (uint16_t)description->key_size;
	memcpy(d->key, description->key, description->key_size);
	d->has_topic = description->topic != NULL;
	d->records = description->records;
	if (description->topic)
		snprintf(d->topic, sizeof d->topic, "%s", description->topic);
	d->crc = wb_state_crc(d, sizeof *d);
}

void wb_state_set(struct wb_state_slot *slot, unsigned int stream, uint64_t batch_seq, uint64_t packet_seq)
{
	slot->next->streams[stream] = (struct wb_state_numbers){batch_seq, packet_seq};
}

void wb_state_commit(struct wb_state_slot *slot, const struct wbproto_counters *counters, uint64_t now_unix_ns)
{
	struct wb_state_copy *next = slot->next;

	next->generation++;
	next->time_unix_ns = now_unix_ns;
	next->counters = *counters;
	next->crc = wb_state_crc(next, slot->copy_bytes);
	memcpy(slot->copies[next->generation % 2], next, slot->copy_bytes);
	/* Whoever reads comes after this process: that the compiler keeps the order is enough. */
	atomic_signal_fence(memory_order_seq_cst);
}

void wb_state_end(struct wb_state_slot *slot)
{
	struct wb_state_copy *next = slot->next;

	next->ended = 1;
	wb_state_commit(slot, &(struct wbproto_counters){0}, next->time_unix_ns);
}

static bool all_ended(const struct wb_state *state)
{
	for (unsigned int i = 0; i < state->workers; i++)
		if (!state->slots[i].next || !state->slots[i].next->ended)
			return false;
	return true;
}

void wb_state_close(struct wb_state *state)
{
	if (!state)
		return;
	if (state->mapping && all_ended(state))
		unlinkat(state->directory, state->name, 0);
	for (unsigned int i = 0; state->slots && i < state->workers; i++)
		free(state->slots[i].next);
	free(state->slots);
	if (state->mapping)
		munmap(state->mapping, state->bytes);
	if (state->fd >= 0)
		close(state->fd);
	if (state->directory >= 0)
		close(state->directory);
	free(state);
}
