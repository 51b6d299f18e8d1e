/* SPDX-License-Identifier: Apache-2.0 */
#include "verify_rig.h"

#include <stdlib.h>
#include <string.h>

int set_up(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));

	assert_non_null(scene);
	wb_streams_init(&scene->streams);
	*state = scene;
	return 0;
}

int tear_down(void **state)
{
	struct scene *scene = *state;

	wb_audit_fini(&scene->audit);
	wb_streams_fini(&scene->streams);
	free(scene);
	return 0;
}

int come(struct scene *scene, struct came came)
{
	uint8_t session[16] = {0};
	const char *node = came.node ? came.node : "a";
	uint64_t ms = came.session ? came.session : 1;
	struct wb_arrival arrival = {
		.session_id = session,
		.worker_id = came.worker ? came.worker : 1,
		.stream_id = came.stream ? came.stream : 1,
		.batch_seq = came.seq,
		.first_packet_seq = came.first,
		.packets = came.packets,
		.node = {node, strlen(node)},
		.counters = came.counters,
		.end_of_stream = came.flags & WBPROTO_BATCH_END_OF_STREAM,
		.previous_session = came.flags & WBPROTO_BATCH_PREVIOUS_SESSION,
		.watermark_unix_ns = came.t1_ms * MS,
		.channel = came.channel,
		.is_record = came.record,
		.is_of_records = came.of_records,
	};
	int r;

	for (int i = 0; i < 6; i++)
		session[i] = (uint8_t)(ms >> (40 - 8 * i));
	session[6] = 0x70;
	session[8] = 0x80;
	r = wb_streams_book(&scene->streams, &arrival);
	assert_true(r >= 0);
	return r;
}

struct wbproto_counters *counters(struct wbproto_counters c)
{
	static struct wbproto_counters made[64];
	static size_t next;
	struct wbproto_counters *at = &made[next++ % 64];

	c.dropped_bus_full = c.dropped;
	if (!c.kernel_seen)
		c.kernel_seen = c.accepted + c.kernel_dropped;
	c.read = c.accepted;
	c.delivered = c.accepted + c.recovered -
	              (c.dropped + c.failed + c.unknown + c.open + c.in_flight + c.spooled + c.handed_over);
	*at = c;
	return at;
}

const struct wb_audit *judge(struct scene *scene)
{
	wb_audit_fini(&scene->audit);
	assert_int_equal(wb_audit_make(&scene->streams, scene->from_start, &scene->audit), 0);
	return &scene->audit;
}

void expect_verdict(const struct wb_audit *audit, unsigned int doubts, unsigned int losses)
{
	assert_int_equal(audit->doubts, doubts);
	assert_int_equal(audit->losses, losses);
	assert_string_equal(wb_audit_verdict(audit), doubts ? "unproven" : losses ? "explained" : "complete");
	assert_int_equal(wb_audit_failed(audit, false), doubts != 0);
	assert_int_equal(wb_audit_failed(audit, true), doubts || losses);
}

void expect_sums(const struct wb_audit *audit)
{
	for (size_t i = 0; i < audit->worker_count; i++) {
		const struct wb_audit_figures *f = &audit->workers[i].figures;

		assert_int_equal(f->missing + f->missed_before, f->given_up + f->given_up_later + f->pending +
									f->lost_in_crash + f->not_covered +
									f->unexplained);
	}
}
