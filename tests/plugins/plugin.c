/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin that settles everything at once; or, as PLUGIN_VARIANT says, one that wirebus must refuse, or one whose
 * fault the conformance suite must find.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <wirebus/transport.h>

enum variant {
	variant_good,
	variant_no_symbol,
	variant_abi,
	variant_scheme,
	variant_operation,
	variant_row,
	variant_settles_twice, /* a double put */
	variant_settles_never, /* a lost put, of every 16th batch */
};

struct options {
	uint64_t size;
};

struct wb_transport {
	_Atomic uint64_t published, bytes;
};

static int check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	*ret_max_batch_bytes = SIZE_MAX;
	return 0;
}

static int open_transport(
	const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error)
{
	*ret_transport = calloc(1, sizeof(**ret_transport));
	return *ret_transport ? 0 : -ENOMEM;
}

static int open_lane(struct wb_transport *transport, unsigned int (*free_buffers)(void *context), void *context,
	unsigned int total_buffers, struct wb_lane **ret_lane)
{
	*ret_lane = (struct wb_lane *)transport;
	return 0;
}

static int publish(struct wb_lane *lane, struct wb_batch *batch, const struct wb_route *route)
{
	struct wb_transport *transport = (struct wb_transport *)lane;
	uint64_t number = atomic_fetch_add(&transport->published, 1);

	atomic_fetch_add(&transport->bytes, batch->size);
	if (PLUGIN_VARIANT == variant_settles_never && number % 16 == 0)
		return 0;
	batch->settle(batch, WB_RESULT_DELIVERED, WB_CAUSE_NONE);
	if (PLUGIN_VARIANT == variant_settles_twice)
		batch->settle(batch, WB_RESULT_DELIVERED, WB_CAUSE_NONE);
	return 0;
}

static int flush(struct wb_transport *transport, int timeout_ms)
{
	return 0;
}

static void stats(struct wb_transport *transport, struct wb_transport_stats *ret_stats)
{
	ret_stats->connected = true;
	ret_stats->published = ret_stats->settled = atomic_load(&transport->published);
	ret_stats->bytes = atomic_load(&transport->bytes);
}

static void close_transport(struct wb_transport *transport)
{
	free(transport);
}

static const char *const schemes[] = {PLUGIN_VARIANT == variant_scheme ? "kafka" : "testbus", NULL};
static const struct wb_option_row rows[] = {
	{.key = "size",
		.type = WB_OPTION_UINT,
		.offset = PLUGIN_VARIANT == variant_row ? 4096 : offsetof(struct options, size),
		.default_value = "7",
		.help = "A number that is not used"},
	{.key = NULL},
};

#define DESCRIPTOR                                                                                                     \
	{                                                                                                              \
		.abi = PLUGIN_VARIANT == variant_abi ? 99 : WB_TRANSPORT_ABI, .name = "testbus", .schemes = schemes,   \
		.capabilities = WB_TRANSPORT_ORDERED | WB_TRANSPORT_ACKNOWLEDGES, .rows = rows,                        \
		.options_size = sizeof(struct options), .check = check, .open = open_transport, .lane = open_lane,     \
		.publish = publish, .flush = PLUGIN_VARIANT == variant_operation ? NULL : flush, .stats = stats,       \
		.close = close_transport,                                                                              \
	}

/* One of the two is exported under the name that is looked for. */
#ifdef PLUGIN_WITHOUT_SYMBOL
extern const struct wb_transport_ops another_name __attribute__((visibility("default")));
const struct wb_transport_ops another_name = DESCRIPTOR;
#else
const struct wb_transport_ops wirebus_transport = DESCRIPTOR;
#endif
