/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets of a capture file: pcap (microseconds or nanoseconds, either byte order) or pcapng, from a file, a pipe or
 * standard input. Files are untrusted: lengths are checked before they are used, and memory is bounded.
 *
 *	wb_capture_file_open("day.pcapng", &options, &file, &error);
 *	while ((r = wb_capture_file_next(file, -1, &packet, &error)) == 1)
 *		use(packet.interface, &packet.packet);
 *	wb_capture_file_close(file);
 *
 * libpcap is not used for it: it refuses pcapng files with several link types or snap lengths, and tells neither the
 * interface of a packet, nor its direction, nor what was lost before it; and it cannot wait for a pipe with a time
 * limit.
 */
#ifndef WB_CAPTURE_FILE_H
#define WB_CAPTURE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "wbproto.h"
#include "wirebus/option.h"

/* Longest packet, but for USB, D-Bus and EBHSCR: as libpcap and Wireshark have it. */
#define WB_CAPTURE_MAX_PACKET_BYTES 262144u
#define WB_CAPTURE_MAX_LONG_PACKET_BYTES (16u << 20)
/* In a section of a pcapng file. */
#define WB_CAPTURE_MAX_INTERFACES 16384u

struct wb_capture_file;

struct wb_capture_file_options {
	bool follow;           /* at the end of a file wait for more */
	const char *interface; /* name of interfaces that have none; NULL: none. Lives as long as the file is open */
	uint32_t *next_index;  /* of the next interface: several files can count together. Lives as long, too */
};

/* Valid until the next call on the file. */
struct wb_captured {
	struct wbproto_packet packet;
	const struct wbproto_interface *interface; /* an index stands for one interface for ever */
	uint64_t lost;                             /* packets that the capture lost just before this one */
};

/* Whether to read this path as a capture file: by its first bytes; pipes and "-" always. */
bool wb_capture_file_is(const char *path);

/* Open; nothing is read yet. path: "-" is standard input. Errors: negative errno with a message. */
int wb_capture_file_open(const char *path, const struct wb_capture_file_options *options,
	struct wb_capture_file **ret_file, struct wb_error *ret_error);
/* NULL is allowed. */
void wb_capture_file_close(struct wb_capture_file *file);

/*
 * The next packet. timeout_ms: how long to wait for it, -1: without end.
 * 1: ret_captured is set. 0: nothing yet, or nothing in much that was skipped: call again. -ENODATA: the end. Other:
 * the file is damaged (-EBADMSG) or cannot be read any further; ret_error names file, offset and rule, and all packets
 * before were returned.
 */
int wb_capture_file_next(
	struct wb_capture_file *file, int timeout_ms, struct wb_captured *ret_captured, struct wb_error *ret_error);

/* Readable when the next packet may be there. */
int wb_capture_file_fd(const struct wb_capture_file *file);
/* As it was opened. */
const char *wb_capture_file_path(const struct wb_capture_file *file);

#endif
