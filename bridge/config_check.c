/* SPDX-License-Identifier: Apache-2.0 */
/* Rules between options. What one option alone may be is in its row. */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "registry.h"
#include "utf8.h"

#define WORKERS_MAX 256
/* Beside the open batches of all buckets: some for the bus to work on. */
#define SPARE_BUFFERS 4
#define STATS_MIN_MS 100

struct check {
	const struct wb_config *config;
	struct wb_transport_setup *setups; /* of each capture; zeroed where the URL is wrong */
	wb_config_broken broken;
	void *context;
	int result;
};

/* A message names its capture when there are several. */
__attribute__((format(printf, 4, 5))) static void broken(
	struct check *check, size_t capture, const char *key, const char *format, ...)
{
	char text[512];
	struct wb_error error;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (capture != SIZE_MAX && check->config->capture_count > 1)
		wb_fail(&error, 0, "capture %zu: %s", capture + 1, text);
	else
		wb_fail(&error, 0, "%s", text);
	check->broken(check->context, capture, key, error.message);
	check->result = -EINVAL;
}

static bool is_utf8(const char *text)
{
	size_t length = strlen(text);
	uint32_t character;

	while (length > 0) {
		size_t taken = wb_utf8_decode((const uint8_t *)text, length, &character);

		if (taken == 0)
			return false;
		text += taken;
		length -= taken;
	}
	return true;
}

/* The node's name is part of message keys and of ZeroMQ's topics, where '/' separates. */
static void check_node(struct check *check)
{
	const char *node = check->config->node;

	if (!node || !node[0])
		broken(check, SIZE_MAX, "node", "node: it is empty");
	else if (!is_utf8(node))
		broken(check, SIZE_MAX, "node", "node: '%.120s' is not UTF-8", node);
	else if (strchr(node, '/'))
		broken(check, SIZE_MAX, "node", "node: '%.120s' has a '/'", node);
	for (; node && *node; node++) {
		if ((unsigned char)*node < 0x20 || *node == 0x7f) {
			broken(check, SIZE_MAX, "node", "node: it has a control character");
			break;
		}
	}
}

static void check_stats(struct check *check)
{
	uint64_t stats_ms = check->config->stats_ms;

	if (stats_ms && stats_ms < STATS_MIN_MS)
		broken(check, SIZE_MAX, "stats", "stats: %" PRIu64 "ms is shorter than %dms; 0 means none", stats_ms,
			STATS_MIN_MS);
}

static void check_cpus(struct check *check, size_t i)
{
	const struct wb_capture_config *capture = &check->config->captures[i];
	unsigned int cpus[WORKERS_MAX];
	struct wb_error error;
	int count;

	if (!capture->cpus)
		return;
	count = wb_cpu_list(capture->cpus, cpus, WORKERS_MAX, &error);
	if (count < 0)
		broken(check, i, "cpus", "%s", error.message);
	else if ((uint64_t)count != capture->workers)
		broken(check, i, "cpus", "cpus: '%.120s' lists %d CPU%s for %" PRIu64 " worker%s; list one for each",
			capture->cpus, count, count == 1 ? "" : "s", capture->workers,
			capture->workers == 1 ? "" : "s");
}

static void check_ring(struct check *check, size_t i)
{
	const struct wb_capture_config *capture = &check->config->captures[i];
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

	if (capture->block_bytes % page)
		broken(check, i, "block_bytes", "block_bytes: %" PRIu64 " is not a multiple of the page size, %" PRIu64,
			capture->block_bytes, page);
}

static void check_batch(struct check *check, size_t i)
{
	const struct wb_capture_config *capture = &check->config->captures[i];

	if (capture->batch_max_bytes && capture->batch_max_bytes < capture->batch_bytes)
		broken(check, i, "batch_max_bytes",
			"batch_max_bytes: %" PRIu64 " is smaller than batch_bytes, %" PRIu64
			"; raise it, or leave it out",
			capture->batch_max_bytes, capture->batch_bytes);
}

/* Every bucket may have a batch open; the bus must get others meanwhile. */
static void check_flow(struct check *check, size_t i)
{
	const struct wb_capture_config *capture = &check->config->captures[i];

	if (capture->key == WB_KEY_FLOW && capture->buffers < capture->flow_buckets + SPARE_BUFFERS)
		broken(check, i, "buffers",
			"buffers: %" PRIu64 " is too few for flow_buckets %" PRIu64
			", of which each has an open batch; at least %" PRIu64 " are needed",
			capture->buffers, capture->flow_buckets, capture->flow_buckets + SPARE_BUFFERS);
}

static void check_spool(struct check *check, size_t i)
{
	const struct wb_capture_config *capture = &check->config->captures[i];

	if (capture->on_full == WB_ON_FULL_SPOOL && !capture->spool_dir)
		broken(check, i, "spool_dir", "spool_dir: it is missing; on_full: spool needs a directory to write to");
	if (capture->on_full == WB_ON_FULL_SPOOL && capture->spool_bytes < 4 * capture->batch_bytes)
		broken(check, i, "spool_bytes",
			"spool_bytes: %" PRIu64 " is less than four batches of batch_bytes, %" PRIu64
			"; raise it or lower batch_bytes",
			capture->spool_bytes, capture->batch_bytes);
}

static void check_against_limit(struct check *check, size_t i, const char *key, uint64_t bytes)
{
	const struct wb_transport_setup *setup = &check->setups[i];
	const char *name = setup->ops->limit_name;

	if (bytes <= setup->max_batch_bytes)
		return;
	if (name)
		broken(check, i, key,
			"%s: %" PRIu64 " is larger than the bus takes: %zu bytes (%s); lower %s or raise %s", key,
			bytes, setup->max_batch_bytes, name, key, name);
	else
		broken(check, i, key, "%s: %" PRIu64 " is larger than the bus takes: %zu bytes; lower %s", key, bytes,
			setup->max_batch_bytes, key);
}

/* Settings of the bus that are not for record mode. */
static void check_records(struct check *check, size_t i)
{
	struct wb_transport_args args = {.log = wb_log_transport, .lanes = 1, .records = true};
	const struct wb_transport_setup *setup = &check->setups[i];
	struct wb_error error = {""};
	size_t max_batch_bytes;

	wb_transport_setup_args(setup, &args);
	args.max_batch_bytes = 0;
	if (setup->ops->check(&args, &max_batch_bytes, &error) < 0)
		broken(check, i, "mode", "to: %s", error.message);
}

static void check_bus(struct check *check, size_t i)
{
	const struct wb_capture_config *capture = &check->config->captures[i];
	struct wb_error error;
	int r;

	if (!capture->to) {
		broken(check, i, "to",
			"to: it is missing; it says where the packets go, such as zmq+pub://127.0.0.1:5555");
		return;
	}
	r = wb_transport_setup_init(
		capture->to, capture->to_options, capture->to_option_count, &check->setups[i], &error);
	if (r < 0) {
		broken(check, i, "to", "to: %s", error.message);
		return;
	}
	if (capture->mode == WB_MODE_RECORD && !(check->setups[i].ops->capabilities & WB_TRANSPORT_RECORDS))
		broken(check, i, "mode", "mode: 'record' is not for %s; use kafka:// or file://, or mode 'batch'",
			check->setups[i].ops->name);
	else if (capture->mode == WB_MODE_RECORD)
		check_records(check, i);
	check_against_limit(check, i, "batch_bytes", capture->batch_bytes);
	check_against_limit(check, i, "batch_max_bytes", capture->batch_max_bytes);
}

static bool binds(const struct wb_transport_setup *setup)
{
	if (!setup->ops || strncmp(setup->url.scheme, "zmq+", 4) != 0)
		return false;
	for (size_t i = 0; i < setup->url.query_count; i++) {
		if (strcmp(setup->url.query[i].key, "bind") == 0 && strcmp(setup->url.query[i].value, "no") == 0)
			return false;
	}
	return true;
}

/* What one capture takes for itself, another cannot have. */
static void check_conflicts(struct check *check, size_t i)
{
	const struct wb_capture_config *capture = &check->config->captures[i];
	const struct wb_transport_setup *setup = &check->setups[i];

	for (size_t j = 0; j < i; j++) {
		const struct wb_capture_config *other = &check->config->captures[j];

		if (capture->fanout_id && capture->fanout_id == other->fanout_id)
			broken(check, i, "fanout_id",
				"fanout_id: %" PRIu64 " is capture %zu's; each would get a part of the packets",
				capture->fanout_id, j + 1);
		if (capture->spool_dir && other->spool_dir && strcmp(capture->spool_dir, other->spool_dir) == 0)
			broken(check, i, "spool_dir",
				"spool_dir: '%.120s' is capture %zu's; each needs a directory of its own",
				capture->spool_dir, j + 1);
		/* What a killed session left is found by the name, and told on the bus of who finds it. */
		if (check->config->state_dir && capture->interface && other->interface &&
			strcmp(wb_capture_name(capture), wb_capture_name(other)) == 0)
			broken(check, i, "name",
				"name: '%.60s' is capture %zu's; with state_dir each needs a name of its own",
				wb_capture_name(capture), j + 1);
		if (binds(setup) && binds(&check->setups[j]) &&
			strcmp(setup->url.address, check->setups[j].url.address) == 0)
			broken(check, i, "to", "to: '%.120s' is bound by capture %zu already", setup->url.address,
				j + 1);
	}
}

int wb_config_check_all(const struct wb_config *config, wb_config_broken report, void *context)
{
	struct check check = {.config = config, .broken = report, .context = context};

	check_node(&check);
	check_stats(&check);
	if (config->capture_count == 0) {
		broken(&check, SIZE_MAX, "captures", "captures: there is none; name an interface and a bus");
		return check.result;
	}
	check.setups = calloc(config->capture_count, sizeof(*check.setups));
	if (!check.setups)
		return -ENOMEM;
	for (size_t i = 0; i < config->capture_count; i++) {
		if (!config->captures[i].interface)
			broken(&check, i, "interface",
				"interface: it is missing; 'ip link' lists those that there are");
		check_bus(&check, i);
		check_cpus(&check, i);
		check_ring(&check, i);
		check_batch(&check, i);
		check_flow(&check, i);
		check_spool(&check, i);
		check_conflicts(&check, i);
	}
	for (size_t i = 0; i < config->capture_count; i++)
		wb_transport_setup_fini(&check.setups[i]);
	free(check.setups);
	return check.result;
}

/* Keeps the first message. */
static void keep_first(void *context, size_t capture, const char *key, const char *message)
{
	struct wb_error *error = context;

	if (!error->message[0])
		wb_fail(error, 0, "%s", message);
}

int wb_config_check(const struct wb_config *config, struct wb_error *ret_error)
{
	struct wb_error first = {""};
	int r = wb_config_check_all(config, keep_first, &first);

	if (r == -EINVAL)
		return wb_fail(ret_error, r, "%s", first.message);
	return r < 0 ? wb_fail(ret_error, r, "out of memory") : 0;
}
