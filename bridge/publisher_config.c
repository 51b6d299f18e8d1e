/* SPDX-License-Identifier: Apache-2.0 */
#include "publisher_config.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "option.h"

/* A row to be taken over, with its help and its choices unless a publisher needs others. */
struct chosen {
	const char *key;
	const char *help;
	const char *choices; /* the first ones of the row's */
};

static const struct chosen process_rows[] = {
	{"node", "Name of this host in every message; without it the host's own name", NULL},
	{"log_level", NULL, NULL},
	{"flush", "Time at the end after which a bus that has taken nothing more is given up", NULL},
	{"ledger", NULL, NULL},
	{"stats", "Interval at which a line of statistics is printed on standard error; 0: none", NULL},
	{"plugin", "Shared object with a transport for another bus, or several separated by ','", NULL},
};

static const struct chosen capture_rows[] = {
	{"to", NULL, NULL},
	{"batch_bytes", NULL, NULL},
	{"batch_max_bytes", NULL, NULL},
	{"batch_packets", NULL, NULL},
	{"batch_age", NULL, NULL},
	{"encoder", NULL, NULL},
	{"buffers", "Batches that can be open or waiting for the bus; batch_bytes of memory for each", NULL},
	{"heartbeat", NULL, NULL},
	/* No spool: what is published is on a disk, or in a bus, already. */
	{"on_full", "When no buffer is free: wait, or drop and count", "block|drop"},
	{"mode", NULL, NULL},
	{"key",
		"Key of the messages, which decides on Kafka's partition: one for the stream; one for each bucket of "
		"flows, so that both directions of a flow meet in one partition; the interface; or none, as the client "
		"likes",
		NULL},
	{"flow_buckets", "Key flow: into how many buckets flows are sorted. Each is a stream, with an open batch",
		NULL},
};

static void take(const struct wb_option_row *from, const struct chosen *chosen, size_t count, struct wb_option_row *to)
{
	for (size_t i = 0; i < count; i++) {
		const struct wb_option_row *row = wb_option_find(from, chosen[i].key, NULL);

		assert(row);
		to[i] = *row;
		if (chosen[i].help)
			to[i].help = chosen[i].help;
		if (chosen[i].choices)
			to[i].choices = chosen[i].choices;
	}
	to[count] = (struct wb_option_row){.key = NULL};
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

void wb_publisher_rows_init(struct wb_publisher_rows *rows)
{
	_Static_assert(COUNT(process_rows) < COUNT(rows->process), "room for the last row");
	_Static_assert(COUNT(capture_rows) < COUNT(rows->capture), "room for the last row");
	take(wb_config_rows, process_rows, COUNT(process_rows), rows->process);
	take(wb_capture_config_rows, capture_rows, COUNT(capture_rows), rows->capture);
}

int wb_publisher_config_init(struct wb_config *config, const char *name, struct wb_capture_config **ret_capture)
{
	struct wb_capture_config *capture = NULL;
	int r = wb_config_init(config);

	if (r == 0)
		r = wb_config_add_capture(config, &capture);
	if (!capture)
		return r;
	capture->interface = strdup(name);
	if (!capture->interface)
		return -ENOMEM;
	*ret_capture = capture;
	return 0;
}
