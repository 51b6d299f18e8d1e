/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include <errno.h>
#include <string.h>

const struct wb_sink_ops *const wb_sinks[] = {&wb_sink_text, &wb_sink_json, &wb_sink_pcapng, NULL};

const struct wb_sink_ops *wb_sink_find(const char *name)
{
	for (size_t i = 0; wb_sinks[i]; i++)
		if (strcmp(wb_sinks[i]->name, name) == 0)
			return wb_sinks[i];
	return NULL;
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
