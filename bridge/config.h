/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration of `wirebus run`: from the command line, or from a YAML file. Parsed, validated, then immutable.
 */
#ifndef WB_CONFIG_H
#define WB_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wirebus/option.h"

#define WB_WORKERS_MAX 256 /* PACKET_FANOUT_DEFAULT_MAX: members that a fanout group may have */

enum wb_on_full { WB_ON_FULL_BLOCK = 0, WB_ON_FULL_DROP = 1, WB_ON_FULL_SPOOL = 2 };
enum wb_spool_fsync { WB_SPOOL_FSYNC_NONE = 0, WB_SPOOL_FSYNC_SEGMENT = 1 };
enum wb_mode { WB_MODE_BATCH = 0, WB_MODE_RECORD = 1 };
enum wb_key { WB_KEY_STREAM = 0, WB_KEY_FLOW = 1, WB_KEY_INTERFACE = 2, WB_KEY_NONE = 3 };

/* One capture: an interface, its workers, and the bus that they publish to. Members are filled by rows. */
struct wb_capture_config {
	char *name; /* NULL: the interface's, see wb_capture_name() */
	char *interface;
	char *filter; /* tcpdump expression; NULL: everything */
	uint64_t workers;
	char *cpus;           /* "0,2-3": worker i is pinned to the i-th; NULL: not pinned */
	uint64_t snap_length; /* bytes */
	bool promiscuous;
	bool ignore_outgoing;
	bool vnet_header;
	unsigned int timestamp; /* enum tpacket_timestamp */
	bool reopen;
	uint64_t reserve_sockets; /* of each worker */
	unsigned int own_traffic; /* enum wb_own_traffic */

	unsigned int ring_version; /* enum tpacket_version */
	uint64_t block_bytes;
	uint64_t block_count; /* of each worker */
	uint64_t retire_ms;
	unsigned int fanout; /* enum tpacket_fanout; used with more than one worker */
	bool defragment;
	uint64_t fanout_id; /* 0: chosen */

	uint64_t batch_bytes;     /* target */
	uint64_t batch_max_bytes; /* of a frame that travels alone; 0: the bus's limit */
	uint64_t batch_packets;   /* 0: not limited */
	uint64_t batch_age_ms;
	unsigned int encoder; /* enum wbproto_encoder_kind */
	uint64_t buffers;     /* of batch_bytes each, for each worker */
	uint64_t heartbeat_ms;
	unsigned int on_full; /* enum wb_on_full */
	unsigned int mode;    /* enum wb_mode */
	unsigned int key;     /* enum wb_key */
	uint64_t flow_buckets;

	char *spool_dir; /* with WB_ON_FULL_SPOOL; NULL: none */
	uint64_t spool_bytes;
	uint64_t spool_segment_bytes;
	unsigned int spool_fsync; /* enum wb_spool_fsync */

	char *to;                       /* URL */
	struct wb_property *to_options; /* further settings of `to:`, as if they stood in the URL's query */
	size_t to_option_count;
};

struct wb_config {
	char *node;              /* default: the host's name */
	uint64_t require_bus_ms; /* 0: do not insist */
	uint64_t flush_ms;       /* at the end: time for the bus to take what is left */
	unsigned int log_level;  /* WB_LOG_* */
	char *ledger;            /* file for the final ledger as JSON; NULL: none */
	uint64_t stats_ms;       /* interval of the lines of statistics; 0: none */
	char *plugin;            /* files of transports; they are loaded where the option is read, see plugin.h */
	char *state_dir;         /* NULL: a capture's spool_dir, or none */
	struct wb_capture_config *captures;
	size_t capture_count;
};

extern const struct wb_option_row wb_config_rows[];         /* of struct wb_config */
extern const struct wb_option_row wb_capture_config_rows[]; /* of struct wb_capture_config */

/* Called for each error of a file; line and column from 1, 0 when they mean nothing. */
typedef void (*wb_config_report)(void *context, const char *file, size_t line, size_t column, const char *message);

/*
 * Read a YAML file. Reports every error, not the first alone: unknown and repeated keys, wrong values, and what
 * wb_config_check() would find. In values, ${NAME} is replaced by the environment's value (an error when unset),
 * ${file:PATH} by the file's content without its last newline, and $${ by ${. A PATH that does not begin with '/' is
 * relative to the folder of the configuration file. The content of such files is in no message. Plugins that the file
 * names are loaded, and stay loaded also when there are errors.
 * Returns 0; -EINVAL when anything was reported; -errno when the file cannot be read (reported as well). On failure
 * ret_config is empty.
 */
int wb_config_load(const char *path, struct wb_config *ret_config, wb_config_report report, void *context);

/* Defaults, no captures. */
int wb_config_init(struct wb_config *config);
/* Append a capture with defaults. */
int wb_config_add_capture(struct wb_config *config, struct wb_capture_config **ret_capture);
/* Append a copy of a setting of `to:`. Errors: -ENOMEM. */
int wb_config_add_to_option(struct wb_capture_config *capture, const char *key, const char *value);
/* Rules between options, transports included (each URL is parsed, its options checked, the batch cap against the bus's
 * limit). Reports through ret_error the first one broken. The interface's existence is not looked at. */
int wb_config_check(const struct wb_config *config, struct wb_error *ret_error);
/*
 * The same rules, all that are broken. capture: position of the capture that the rule is about; SIZE_MAX: the whole
 * configuration. key: of the row that is at fault. Returns 0, -EINVAL when anything was reported, or -ENOMEM.
 */
typedef void (*wb_config_broken)(void *context, size_t capture, const char *key, const char *message);
int wb_config_check_all(const struct wb_config *config, wb_config_broken broken, void *context);
/* Free everything; a zeroed structure is allowed. */
void wb_config_fini(struct wb_config *config);

/* What the capture is called. */
static inline const char *wb_capture_name(const struct wb_capture_config *capture)
{
	return capture->name ? capture->name : capture->interface;
}

/* How many streams each worker has. */
static inline unsigned int wb_capture_streams(const struct wb_capture_config *capture)
{
	return capture->key == WB_KEY_FLOW ? (unsigned int)capture->flow_buckets : 1;
}

/* Parse a CPU list such as "0,2-3" into cpus (at most n). Returns how many, or -EINVAL with a message. */
int wb_cpu_list(const char *text, unsigned int *cpus, size_t n, struct wb_error *ret_error);

#endif
