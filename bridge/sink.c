/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include <errno.h>
#include <string.h>

const struct wb_sink_ops *const wb_sinks[] = {&wb_sink_text, &wb_sink_json, &wb_sink_pcap, &wb_sink_pcapng, NULL};

const struct wb_sink_ops *wb_sink_find(const char *name)
{
	for (size_t i = 0; wb_sinks[i]; i++)
		if (strcmp(wb_sinks[i]->name, name) == 0)
			return wb_sinks[i];
	return NULL;
}

void wb_sink_keep(const struct wb_sink_ops *ops, struct wb_sink *sink)
{
	if (ops->keep)
		ops->keep(sink);
}

void wb_sink_cut(const struct wb_sink_ops *ops, struct wb_sink *sink)
{
	if (ops->cut)
		ops->cut(sink);
}

void wb_sink_batch_of(const struct wbproto_reader *reader, struct wb_sink_batch *ret_batch)
{
	const struct wbproto_batch *batch = &reader->batch;
	struct wbproto_interface interface;

	*ret_batch = (struct wb_sink_batch){
		.worker_id = batch->worker_id,
		.stream_id = batch->stream_id,
		.batch_seq = batch->batch_seq,
		.flags = batch->flags,
		.interface_count = batch->interface_count < UINT32_MAX ? (uint32_t)batch->interface_count : UINT32_MAX,
		.has_counters = batch->has_counters,
		.counters = batch->counters,
	};
	memcpy(ret_batch->session_id, batch->session_id, sizeof(ret_batch->session_id));
	if (batch->interface_count == 1 && wbproto_reader_interface_at(reader, 0, &interface) == 0)
		ret_batch->interface_index = interface.index;
}

int wb_sink_write(FILE *stream, const void *data, size_t length)
{
	if (length == 0)
		return 0;
	errno = 0;
	if (fwrite_unlocked(data, 1, length, stream) == length)
		return 0;
	return errno ? -errno : -EIO;
}

int wb_sink_flush(FILE *stream)
{
	errno = 0;
	if (fflush(stream) == 0)
		return 0;
	return errno ? -errno : -EIO;
}
