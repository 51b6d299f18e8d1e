/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "option.h"
#include "url.h"

#define NODE_BYTES 255
#define INTERFACE_BYTES 15 /* IFNAMSIZ - 1 */

#define ROW_OF(type, member) .offset = offsetof(struct type, member)

const struct wb_option_row wb_config_rows[] = {
	{
		.key = "node",
		.type = WB_OPTION_STRING,
		ROW_OF(wb_config, node),
		.min = 1,
		.max = NODE_BYTES,
		.unit = "NAME",
		.help = "Name of this host in every message; without it the host's own name",
	},
	{
		.key = "log_level",
		.type = WB_OPTION_CHOICE,
		ROW_OF(wb_config, log_level),
		.default_value = "info",
		.choices = "error|warning|info|debug",
		.help = "Least important messages that are printed on standard error",
	},
	{
		.key = "require_bus",
		.type = WB_OPTION_DURATION,
		ROW_OF(wb_config, require_bus_ms),
		.default_value = "0",
		.max = 86400000,
		.help = "End with exit code 1 when a bus has not answered for so long after the start; 0: capture on "
			"without it",
	},
	{
		.key = "flush",
		.type = WB_OPTION_DURATION,
		ROW_OF(wb_config, flush_ms),
		.default_value = "10s",
		.max = 3600000,
		.help = "Time at the end for the buses to take what is left",
	},
	{
		.key = "ledger",
		.type = WB_OPTION_STRING,
		ROW_OF(wb_config, ledger),
		.min = 1,
		.max = 4095,
		.unit = "FILE",
		.help = "File that the final ledger is written to as JSON",
	},
	{
		.key = "stats",
		.type = WB_OPTION_DURATION,
		ROW_OF(wb_config, stats_ms),
		.default_value = "0",
		.max = 86400000,
		.help = "Interval at which a line of statistics is printed on standard error for each capture; 0: none",
	},
	{
		.key = "plugin",
		.type = WB_OPTION_STRING,
		ROW_OF(wb_config, plugin),
		.min = 1,
		.max = 65535,
		.unit = "FILE",
		.help = "Shared object with a transport for another bus, or several separated by ','; in a file "
			"relative to its folder",
	},
	{
		.key = "state_dir",
		.type = WB_OPTION_STRING,
		ROW_OF(wb_config, state_dir),
		.min = 1,
		.max = 4000,
		.unit = "DIRECTORY",
		.help = "Directory in which each capture keeps its numbers, so that after a kill the next start can "
			"say what was accepted and is lost; without it the spool_dir, or none",
	},
	{.key = NULL},
};

#define CAPTURE(member) ROW_OF(wb_capture_config, member)

const struct wb_option_row wb_capture_config_rows[] = {
	{
		.key = "name",
		.type = WB_OPTION_STRING,
		CAPTURE(name),
		.min = 1,
		.max = 63,
		.unit = "NAME",
		.help = "Name of the capture, in log messages and by which state_dir knows it again after a kill; "
			"without "
			"it the interface's",
	},
	{
		.key = "interface",
		.type = WB_OPTION_STRING,
		CAPTURE(interface),
		.min = 1,
		.max = INTERFACE_BYTES,
		.unit = "INTERFACE",
		.help = "Network interface to capture from",
	},
	{
		.key = "filter",
		.type = WB_OPTION_STRING,
		CAPTURE(filter),
		.max = 65535,
		.unit = "EXPRESSION",
		.help = "Which packets to capture, as tcpdump takes it (pcap-filter(7)); without it all",
	},
	{
		.key = "to",
		.type = WB_OPTION_STRING,
		CAPTURE(to),
		.unit = "URL",
		.help = "Bus to publish on, as a URL: kafka://HOST:PORT/TOPIC, zmq+pub://ADDRESS:PORT, "
			"zmq+pub:///PATH (a Unix socket), zmq+push://ADDRESS:PORT, file:///DIRECTORY, null:",
	},
	{
		.key = "workers",
		.type = WB_OPTION_UINT,
		CAPTURE(workers),
		.default_value = "1",
		.min = 1,
		.max = WB_WORKERS_MAX,
		.unit = "threads",
		.help = "Threads that share the packets, each with a ring of its own",
	},
	{
		.key = "cpus",
		.type = WB_OPTION_STRING,
		CAPTURE(cpus),
		.min = 1,
		.max = 4095,
		.unit = "LIST",
		.help = "CPUs that the workers run on, in their order, such as 0,2-3; without it they are not pinned",
	},
	{
		.key = "snap_length",
		.type = WB_OPTION_UINT,
		CAPTURE(snap_length),
		.default_value = "262144",
		.min = 1,
		.max = 262144,
		.unit = "bytes",
		.help = "Bytes kept of each packet",
	},
	{
		.key = "promiscuous",
		.type = WB_OPTION_BOOL,
		CAPTURE(promiscuous),
		.default_value = "true",
		.help = "Capture what is addressed to other hosts too",
	},
	{
		.key = "ignore_outgoing",
		.type = WB_OPTION_BOOL,
		CAPTURE(ignore_outgoing),
		.default_value = "false",
		.help = "Leave out what this host sends",
	},
	{
		.key = "own_traffic",
		.type = WB_OPTION_CHOICE,
		CAPTURE(own_traffic),
		.default_value = "exclude",
		.choices = "exclude|endpoints|capture",
		.help = "What this process sends to its buses over the interface: leave it out by its own connections; "
			"by the buses' addresses and ports, whoever talks to them (mirror ports, where several nodes "
			"see each other's); or capture it, too",
	},
	{
		.key = "vnet_header",
		.type = WB_OPTION_BOOL,
		CAPTURE(vnet_header),
		.default_value = "false",
		.help = "Keep the offload header (struct virtio_net_hdr) of each packet",
	},
	{
		.key = "timestamp",
		.type = WB_OPTION_CHOICE,
		CAPTURE(timestamp),
		.default_value = "software",
		.choices = "software|hardware",
		.help = "Clock that packets are stamped with: the kernel's, or the network card's where it has one",
	},
	{
		.key = "reopen",
		.type = WB_OPTION_BOOL,
		CAPTURE(reopen),
		.default_value = "true",
		.help = "When the interface is removed, wait until one of its name is there and go on with it; "
			"without it the capture ends",
	},
	{
		.key = "reserve_sockets",
		.type = WB_OPTION_UINT,
		CAPTURE(reserve_sockets),
		.default_value = "8",
		.max = 64,
		.unit = "sockets",
		.help = "How often a removed interface can be captured from again: each time takes a socket that was "
			"opened before privileges were given up",
	},
	{
		.key = "ring_version",
		.type = WB_OPTION_CHOICE,
		CAPTURE(ring_version),
		.default_value = "auto",
		.choices = "auto|1|2|3",
		.help = "TPACKET version of the ring; auto takes the newest that the kernel knows. 1 and 2 give every "
			"packet room for the longest, 1 loses VLAN tags and nanoseconds",
	},
	{
		.key = "block_bytes",
		.type = WB_OPTION_BYTES,
		CAPTURE(block_bytes),
		.default_value = "1MiB",
		.min = 4096,
		.max = UINT64_C(1) << 30,
		.help = "Size of a block of the ring, a multiple of the page size; no packet can be larger",
	},
	{
		.key = "block_count",
		.type = WB_OPTION_UINT,
		CAPTURE(block_count),
		.default_value = "64",
		.min = 1,
		.max = 65536,
		.unit = "blocks",
		.help = "Blocks in the ring of each worker",
	},
	{
		.key = "retire",
		.type = WB_OPTION_DURATION,
		CAPTURE(retire_ms),
		.default_value = "10ms",
		.min = 1,
		.max = 60000,
		.help = "Time after which the kernel hands over a block that is not full",
	},
	{
		.key = "fanout",
		.type = WB_OPTION_CHOICE,
		CAPTURE(fanout),
		.default_value = "hash",
		.choices = "hash|load_balance|cpu|rollover|random|queue_mapping",
		.help = "How the kernel distributes packets to the workers, when there is more than one",
	},
	{
		.key = "fanout_id",
		.type = WB_OPTION_UINT,
		CAPTURE(fanout_id),
		.default_value = "0",
		.max = 65535,
		.help = "Number of the fanout group in the network namespace; 0: the kernel chooses one",
	},
	{
		.key = "defragment",
		.type = WB_OPTION_BOOL,
		CAPTURE(defragment),
		.default_value = "false",
		.help = "Let the kernel reassemble IPv4 fragments before it distributes them; changes what is captured",
	},
	{
		.key = "batch_bytes",
		.type = WB_OPTION_BYTES,
		CAPTURE(batch_bytes),
		.default_value = "256KiB",
		.min = 4096,
		.max = 64 << 20,
		.help = "Size at which a batch is published",
	},
	{
		.key = "batch_max_bytes",
		.type = WB_OPTION_BYTES,
		CAPTURE(batch_max_bytes),
		.default_value = "0",
		.max = 64 << 20,
		.help = "Largest message, for a packet that does not fit into a batch and travels alone; 0: what the "
			"bus takes",
	},
	{
		.key = "batch_packets",
		.type = WB_OPTION_UINT,
		CAPTURE(batch_packets),
		.default_value = "0",
		.max = UINT32_MAX,
		.unit = "packets",
		.help = "Number of packets at which a batch is published; 0: not limited",
	},
	{
		.key = "batch_age",
		.type = WB_OPTION_DURATION,
		CAPTURE(batch_age_ms),
		.default_value = "50ms",
		.min = 1,
		.max = 3600000,
		.help = "Age at which a batch is published",
	},
	{
		.key = "encoder",
		.type = WB_OPTION_CHOICE,
		CAPTURE(encoder),
		.default_value = "direct",
		.choices = "direct|protobuf-c",
		.help = "What writes the messages; both write the same bytes, direct is faster",
	},
	{
		.key = "buffers",
		.type = WB_OPTION_UINT,
		CAPTURE(buffers),
		.default_value = "128",
		.min = 4,
		.max = 65536,
		.unit = "buffers",
		.help = "Batches that each worker can have open or waiting for the bus; batch_bytes of memory for each",
	},
	{
		.key = "heartbeat",
		.type = WB_OPTION_DURATION,
		CAPTURE(heartbeat_ms),
		.default_value = "1s",
		.min = 10,
		.max = 3600000,
		.help = "Time without packets after which a message with the counters alone is published",
	},
	{
		.key = "on_full",
		.type = WB_OPTION_CHOICE,
		CAPTURE(on_full),
		.default_value = "block",
		.choices = "block|drop|spool",
		.help = "When no buffer is free: stop reading, so that the ring absorbs and the kernel counts; drop "
			"and count; or write to disk, into spool_dir, and publish from there later",
	},
	{
		.key = "spool_dir",
		.type = WB_OPTION_STRING,
		CAPTURE(spool_dir),
		.min = 1,
		.max = 4000,
		.unit = "DIRECTORY",
		.help = "Directory of the spool (on_full: spool), this capture's alone; what is in it at the start is "
			"published first",
	},
	{
		.key = "spool_bytes",
		.type = WB_OPTION_BYTES,
		CAPTURE(spool_bytes),
		.default_value = "1GiB",
		.min = 65536,
		.max = UINT64_C(1) << 50,
		.help = "Size up to which the spool grows; what comes then is dropped and counted",
	},
	{
		.key = "spool_segment_bytes",
		.type = WB_OPTION_BYTES,
		CAPTURE(spool_segment_bytes),
		.default_value = "16MiB",
		.min = 65536,
		.max = UINT64_C(1) << 32,
		.help = "Size of the spool's files, at most a quarter of spool_bytes; one is deleted when all that is "
			"in it has reached the bus, and after a kill up to one for each worker is published again",
	},
	{
		.key = "spool_fsync",
		.type = WB_OPTION_CHOICE,
		CAPTURE(spool_fsync),
		.default_value = "none",
		.choices = "none|segment",
		.help = "When to wait for the disk: never, so that the spool outlives the process but not a power "
			"loss; or each time that a file is complete",
	},
	{
		.key = "mode",
		.type = WB_OPTION_CHOICE,
		CAPTURE(mode),
		.default_value = "batch",
		.choices = "batch|record",
		.help = "What a message is: a PacketBatch of many packets; or a PacketRecord of one, for those who "
			"query topics with SQL (Kafka and files): counters, heartbeats and the end go to TOPIC.ledger "
			"then",
	},
	{
		.key = "key",
		.type = WB_OPTION_CHOICE,
		CAPTURE(key),
		.default_value = "stream",
		.choices = "stream|flow|interface|none",
		.help = "Key of the messages, which decides on Kafka's partition: one for each worker's stream; one "
			"for each bucket of flows, so that both directions of a flow, from all workers and nodes, "
			"meet in one partition; the interface; or none, as the client likes",
	},
	{
		.key = "flow_buckets",
		.type = WB_OPTION_UINT,
		CAPTURE(flow_buckets),
		.default_value = "16",
		.min = 1,
		.max = 256,
		.unit = "buckets",
		.help = "Key flow: into how many buckets flows are sorted; the same number on every node. Each is a "
			"stream, with an open batch, of every worker",
	},
	{.key = NULL},
};

/* gethostname(2) may cut without a zero byte. */
static char *host_name(void)
{
	char name[NODE_BYTES + 1] = "";

	if (gethostname(name, sizeof(name) - 1) < 0 || !name[0])
		strcpy(name, "localhost");
	return strdup(name);
}

int wb_config_init(struct wb_config *config)
{
	int r;

	*config = (struct wb_config){0};
	r = wb_options_init(wb_config_rows, config);
	if (r < 0)
		return r;
	config->node = host_name();
	if (!config->node) {
		wb_config_fini(config);
		return -ENOMEM;
	}
	return 0;
}

int wb_config_add_capture(struct wb_config *config, struct wb_capture_config **ret_capture)
{
	struct wb_capture_config *grown = realloc(config->captures, (config->capture_count + 1) * sizeof(*grown));
	struct wb_capture_config *capture;
	int r;

	if (!grown)
		return -ENOMEM;
	config->captures = grown;
	capture = &grown[config->capture_count];
	*capture = (struct wb_capture_config){0};
	r = wb_options_init(wb_capture_config_rows, capture);
	if (r < 0)
		return r;
	config->capture_count++;
	*ret_capture = capture;
	return 0;
}

int wb_config_add_to_option(struct wb_capture_config *capture, const char *key, const char *value)
{
	return wb_properties_add(&capture->to_options, &capture->to_option_count, key, value);
}

void wb_config_fini(struct wb_config *config)
{
	for (size_t i = 0; i < config->capture_count; i++) {
		struct wb_capture_config *capture = &config->captures[i];

		wb_options_fini(wb_capture_config_rows, capture);
		wb_properties_free(capture->to_options, capture->to_option_count);
	}
	free(config->captures);
	wb_options_fini(wb_config_rows, config);
	*config = (struct wb_config){0};
}
