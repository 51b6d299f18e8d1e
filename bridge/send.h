/* SPDX-License-Identifier: Apache-2.0 */
/* The work of `wirebus send`: packets of capture files to a publisher, at their pace. */
#ifndef WB_SEND_H
#define WB_SEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "capture_merge.h"
#include "pace.h"
#include "publisher.h"

struct wb_send {
	/* Given. */
	struct wb_capture_merge *merge;
	struct wb_publisher *publisher;
	struct wb_pace pace;
	bool shift;          /* the first packet is of now, the others follow as they did */
	bool follow;         /* files may grow */
	bool warn_about_age; /* of the packets: the bus may delete old ones */
	uint64_t count;      /* end after so many packets; 0: not limited */

	/* Found. Of the sender, for others once it has ended. */
	uint64_t packets;
	uint64_t bytes;   /* captured */
	uint64_t damaged; /* files that could not be read to their end */
	bool complete;    /* all that there was to send was given to the publisher */

	/* The sender's own. */
	uint64_t shift_ns; /* modulo 2^64 */
};

/*
 * Send until the files end, the publisher was stopped or its bus has failed; then wb_publisher_drain(). Damage is
 * logged and counted, the other files go on.
 */
void wb_send_run(struct wb_send *send);

#endif
