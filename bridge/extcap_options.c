/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "clock.h"
#include "extcap.h"
#include "log.h"
#include "time_text.h"

const struct wb_option_row wb_extcap_rows[] = {
	{.key = "brokers",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct wb_extcap_options, brokers),
		.unit = "HOST:PORT,...",
		.help = "Kafka's brokers, HOST:PORT, with commas between"},
	{.key = "topic",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct wb_extcap_options, topic),
		.unit = "TOPIC",
		.help = "The topic that 'wirebus run' publishes on"},
	{.key = "endpoint",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct wb_extcap_options, endpoint),
		.unit = "ENDPOINT",
		.help = "Where 'wirebus run' publishes: HOST:PORT, or the path of a Unix socket; *:PORT listens for "
			"it"},
	{.key = "mode",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct wb_extcap_options, mode),
		.default_value = "sub",
		.choices = "sub|pull",
		.help = "Which packets: sub, a copy of every one, from zmq+pub; pull, a share of them, from zmq+push"},
	{.key = "node",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct wb_extcap_options, node),
		.max = 200,
		.unit = "NAME",
		.help = "Only the packets that this node captured"},
	{.key = "since",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct wb_extcap_options, since),
		.unit = "TIME",
		.help = "Where to begin: now (the default), beginning, or a time (10 minutes ago, 14:05, "
			"2026-11-30T14:05:09Z)"},
	{.key = "filter",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct wb_extcap_options, filter),
		.unit = "EXPRESSION",
		.help = "Only the packets that this tcpdump expression takes; the capture filter counts besides it"},
	{.key = "wait",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct wb_extcap_options, wait_ms),
		.default_value = "10s",
		.max = 86400000,
		.help = "Give up when the bus cannot be reached for so long at the start"},
	{.key = "properties",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct wb_extcap_options, properties),
		.unit = "FILE",
		.help = "File of librdkafka's properties, NAME=VALUE: sasl.password and the like"},
	{.key = "curve_key",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct wb_extcap_options, curve_key),
		.unit = "FILE",
		.help = "File with the secret key of this side, made by 'wirebus keygen': encrypts and authenticates"},
	{.key = "curve_server_key",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct wb_extcap_options, curve_server_key),
		.unit = "FILE",
		.help = "File with the public key of the side that binds; for the side that connects"},
	{.key = "curve_allow",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct wb_extcap_options, curve_allow),
		.unit = "FILE",
		.help = "Who may connect, for the side that binds: a file of public keys, or a directory of files "
			"NAME.pub"},
	{.key = NULL},
};

int wb_extcap_since(const char *since, const char **ret_offset, uint64_t *ret_time_ns, struct wb_error *ret_error)
{
	struct wb_error error;
	int r;

	*ret_offset = NULL;
	*ret_time_ns = 0;
	if (strcmp(since, "now") == 0)
		*ret_offset = "end";
	else if (strcmp(since, "beginning") == 0)
		*ret_offset = "beginning";
	if (*ret_offset)
		return 0;
	r = wb_time_parse(since, wb_realtime_ns(), ret_time_ns, &error);
	return r < 0 ? wb_fail(ret_error, r, "since: neither now nor beginning, and %s", error.message) : 0;
}
