/* SPDX-License-Identifier: Apache-2.0 */
/* One capture: an interface, the workers of its fanout group, and the transport that they publish through. */
#ifndef WB_CAPTURE_H
#define WB_CAPTURE_H

#include <stdbool.h>

#include "config.h"
#include "own.h"
#include "registry.h"
#include "worker.h"

struct wb_capture {
	const struct wb_capture_config *config;
	struct wb_worker *workers;
	unsigned int worker_count;
	struct wb_transport_setup setup;
	struct wb_transport *transport;
	struct wb_own *own; /* the process's */
	struct wb_own_rings own_rings;
	struct wb_filter
		first_user; /* the user's filter, as compiled on the interface, for its link type at the start */
	uint32_t first_link_type;
	struct wb_spool *spool; /* NULL: none */
	struct wb_state *state; /* NULL: none */
};

/*
 * Open in two steps, because the first needs CAP_NET_RAW and the second should not have it: the rings, then the bus.
 * first_worker_id: ids are unique in the process. own: lives until wb_capture_close(). Errors: negative errno with a
 * message; wb_capture_close() cleans up.
 */
int wb_capture_open_rings(struct wb_capture *capture, const struct wb_config *config,
	const struct wb_capture_config *capture_config, const uint8_t *session_id, uint32_t first_worker_id,
	struct wb_own *own, struct wb_error *ret_error);
int wb_capture_open_bus(struct wb_capture *capture, const struct wb_config *config, struct wb_error *ret_error);
/*
 * In place of both, and without wb_capture_start(): workers that a publisher gives packets to. interfaces_bytes: see
 * struct wb_worker.
 */
int wb_capture_open_given(struct wb_capture *capture, const struct wb_config *config,
	const struct wb_capture_config *capture_config, const uint8_t *session_id, size_t interfaces_bytes,
	struct wb_error *ret_error);
/* Start the threads, then let packets pass. */
int wb_capture_start(struct wb_capture *capture, struct wb_error *ret_error);
void wb_capture_stop(struct wb_capture *capture);
void wb_capture_give_up(struct wb_capture *capture);
/* Whether every worker has ended, and whether one ended by itself. */
bool wb_capture_ended(const struct wb_capture *capture);
bool wb_capture_failed(const struct wb_capture *capture);
/* Wait up to timeout_ms until the bus has settled everything; the workers have ended. 0 or -ETIMEDOUT. */
int wb_capture_flush(struct wb_capture *capture, int timeout_ms);
/* Wait for the workers, close the bus, which gives up what it still holds. The ledgers are final then. */
void wb_capture_finish(struct wb_capture *capture);
/* Sum of the workers' ledgers. */
void wb_capture_totals(struct wb_capture *capture, struct wb_ledger_totals *ret_totals);
/* Free everything; zeroed and half-opened captures are allowed. */
void wb_capture_close(struct wb_capture *capture);

#endif
