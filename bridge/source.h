/* SPDX-License-Identifier: Apache-2.0 */
/* Where messages come from: a bus or files. The reverse of a transport, used by one thread. */
#ifndef WB_SOURCE_H
#define WB_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirebus/option.h"
#include "wirebus/transport.h"

enum wb_message_kind { WB_MESSAGE_BATCH = 1, WB_MESSAGE_RECORD = 2 };

/* One message. Valid until the next call on the source. */
struct wb_message {
	const uint8_t *data;
	size_t size;
	enum wb_message_kind kind;
	char origin[192]; /* where it was read: "packets[3]@1234", "file.wbs@96", ...: for messages about damage */
};

struct wb_source; /* the source's own */

struct wb_source_args {
	const char *url; /* for messages */
	const char *scheme;
	const char *address;
	const void *options;
	const struct wb_property *properties;
	size_t property_count;
	bool follow;              /* do not end where the data ends now */
	unsigned int wait_ms;     /* give up when the bus cannot be reached for so long; ignored with follow */
	size_t max_message_bytes; /* larger messages are refused */
};

struct wb_source_ops {
	const char *name;
	const char *const *schemes;
	const struct wb_option_row *rows;
	size_t options_size;
	bool takes_properties;
	/* Whether the source knows where its data ends now (Kafka, files). If not (ZeroMQ), the reader ends by end of
	 * stream. */
	bool finite;
	int (*open)(const struct wb_source_args *args, struct wb_source **ret_source, struct wb_error *ret_error);
	/*
	 * 1: ret_message is set. 0: nothing within timeout_ms, call again. -ENODATA: the end. -EBADMSG: a damaged
	 * message was skipped, ret_error says which and why, call again. Other: ret_error says what; the source is of
	 * no more use.
	 */
	int (*next)(
		struct wb_source *source, int timeout_ms, struct wb_message *ret_message, struct wb_error *ret_error);
	void (*close)(struct wb_source *source); /* NULL is allowed */
};

#endif
