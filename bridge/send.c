/* SPDX-License-Identifier: Apache-2.0 */
#include "send.h"

#include <errno.h>

#include "clock.h"
#include "log.h"

/* While nothing can be read, look again so often: files that are followed cannot be waited for. */
#define LOOK_NS 100000000u
#define KAFKA_RETENTION_DAYS 7
#define NS_PER_DAY (UINT64_C(86400) * 1000000000u)

static void warn_about_age(const struct wb_send *send, uint64_t time_ns, uint64_t now_ns)
{
	uint64_t days = now_ns > time_ns ? (now_ns - time_ns) / NS_PER_DAY : 0;

	if (send->warn_about_age && days >= KAFKA_RETENTION_DAYS)
		wb_log(WB_LOG_WARNING,
			"the first packet is %llu days old: a topic whose retention.ms is shorter (Kafka's default is "
			"%d days) deletes what is sent; raise it, or use --shift now",
			(unsigned long long)days, KAFKA_RETENTION_DAYS);
}

/* When it was captured, as it is to be told. */
static void set_time(struct wb_send *send, struct wbproto_packet *packet)
{
	if (send->packets == 0) {
		uint64_t now_ns = wb_realtime_ns();

		if (send->shift)
			send->shift_ns = now_ns - packet->time_unix_ns;
		else
			warn_about_age(send, packet->time_unix_ns, now_ns);
	}
	packet->time_unix_ns += send->shift_ns;
}

static int send_packet(struct wb_send *send, struct wb_captured *captured)
{
	struct wbproto_packet *packet = &captured->packet;
	uint64_t due_ns = wb_pace_due(&send->pace, packet->time_unix_ns, packet->original_length);
	int r = 0;

	if (due_ns && due_ns > wb_monotonic_ns())
		r = wb_publisher_wait(send->publisher, due_ns, -1);
	if (r < 0)
		return r;
	set_time(send, packet);
	if (captured->lost)
		wb_publisher_lost(send->publisher, captured->lost);
	send->packets++;
	send->bytes += packet->captured_length;
	return wb_publisher_packet(send->publisher, captured->interface, packet);
}

/* 1: go on; 0: that was all; negative: the publisher takes no more. */
static int step(struct wb_send *send)
{
	struct wb_captured captured;
	struct wb_error error;
	int r;

	if (send->count && send->packets >= send->count)
		return 0;
	r = wb_capture_merge_next(send->merge, 0, &captured, &error);
	if (r == 1) {
		r = send_packet(send, &captured);
	} else if (r == 0) {
		r = wb_publisher_wait(send->publisher, wb_monotonic_ns() + LOOK_NS,
			send->follow ? -1 : wb_capture_merge_fd(send->merge));
	} else if (r == -ENODATA) {
		return 0;
	} else {
		wb_log(WB_LOG_ERROR, "%s", error.message);
		send->damaged++;
		return 1;
	}
	return r < 0 ? r : 1;
}

void wb_send_run(struct wb_send *send)
{
	int r;

	do
		r = step(send);
	while (r == 1);
	send->complete = r == 0 && !send->damaged;
	wb_publisher_drain(send->publisher);
}
