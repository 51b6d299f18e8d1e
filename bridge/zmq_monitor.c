/* SPDX-License-Identifier: Apache-2.0 */
#include "zmq_monitor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "log.h"

#define LOG_INTERVAL_NS INT64_C(60000000000)

/* An event is two frames: number (16 bits) and value (32 bits); endpoint. */
bool wb_zmq_monitor_next(void *monitor, struct wb_zmq_event *ret_event)
{
	uint16_t number = 0;
	zmq_msg_t frame;
	bool more;

	*ret_event = (struct wb_zmq_event){0};
	zmq_msg_init(&frame);
	if (zmq_msg_recv(&frame, monitor, ZMQ_DONTWAIT) >= (int)(sizeof(number) + sizeof(ret_event->value))) {
		memcpy(&number, zmq_msg_data(&frame), sizeof(number));
		memcpy(&ret_event->value, (const char *)zmq_msg_data(&frame) + sizeof(number),
			sizeof(ret_event->value));
	}
	more = zmq_msg_more(&frame);
	while (more && zmq_msg_recv(&frame, monitor, ZMQ_DONTWAIT) >= 0)
		more = zmq_msg_more(&frame);
	zmq_msg_close(&frame);
	ret_event->number = number;
	return number != 0;
}

enum wb_zmq_problem wb_zmq_handshake_problem(const struct wb_zmq_event *event)
{
	if (event->number == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
		return WB_ZMQ_PROBLEM_KEY;
	if (event->number == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
		return WB_ZMQ_PROBLEM_ENDED;
	switch (event->value) {
	case ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC:
	case ZMQ_PROTOCOL_ERROR_ZMTP_KEY_EXCHANGE:
		return WB_ZMQ_PROBLEM_CRYPTO;
	case ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH:
		return WB_ZMQ_PROBLEM_MECHANISM;
	default:
		return WB_ZMQ_PROBLEM_PROTOCOL;
	}
}

bool wb_zmq_problem_is_authentication(enum wb_zmq_problem problem)
{
	return problem == WB_ZMQ_PROBLEM_KEY || problem == WB_ZMQ_PROBLEM_CRYPTO || problem == WB_ZMQ_PROBLEM_MECHANISM;
}

/* The peer is meant by "it". */
static const char *meaning(const struct wb_zmq_handshakes *handshakes, enum wb_zmq_problem problem)
{
	switch (problem) {
	case WB_ZMQ_PROBLEM_KEY:
		return handshakes->bind ? "its key is not in curve_allow"
		                        : "it refuses this side's key: its curve_allow does not have the public key"
		                          " that belongs to curve_key";
	case WB_ZMQ_PROBLEM_CRYPTO:
		return handshakes->bind ? "it uses another curve_server_key than this side's public key"
		                        : "curve_server_key is not its public key";
	case WB_ZMQ_PROBLEM_MECHANISM:
		return handshakes->curve ? "it does not use CURVE, and this side has a curve_key"
		                         : "it uses CURVE or another mechanism, and this side has no curve_key";
	case WB_ZMQ_PROBLEM_ENDED:
		if (handshakes->bind)
			return handshakes->curve
			               ? "it left before the handshake was complete: it does not use CURVE,"
			                 " or does not speak ZeroMQ"
			               : "it left before the handshake was complete, or does not speak ZeroMQ";
		return handshakes->curve ? "it ended the connection in CURVE's handshake: curve_server_key is not its"
		                           " public key, or it does not use CURVE"
		                         : "it ended the connection in the handshake: it does not speak ZeroMQ, or it"
		                           " uses CURVE and this side has no curve_key";
	case WB_ZMQ_PROBLEM_PROTOCOL:
	default:
		return "it does not speak ZeroMQ, or is of the wrong type";
	}
}

static void tell(struct wb_zmq_handshakes *handshakes, enum wb_zmq_problem problem)
{
	const uint64_t count = handshakes->untold[problem];

	handshakes->untold[problem] = 0;
	handshakes->log(handshakes->log_context, WB_LOG_WARNING,
		"%s: %" PRIu64 " connection(s) failed in the handshake; the peer must be %s: %s", handshakes->endpoint,
		count, handshakes->peer_type, meaning(handshakes, problem));
}

/* Of keys that are not allowed the side that binds knows more, and tells it: zmq_zap.c. */
static bool told_elsewhere(const struct wb_zmq_handshakes *handshakes, enum wb_zmq_problem problem)
{
	return problem == WB_ZMQ_PROBLEM_KEY && handshakes->bind;
}

enum wb_zmq_problem wb_zmq_handshakes_note(struct wb_zmq_handshakes *handshakes, const struct wb_zmq_event *event)
{
	const enum wb_zmq_problem problem = wb_zmq_handshake_problem(event);
	const int64_t now = (int64_t)wb_monotonic_ns();

	/* Of the same trouble libzmq sees now and then nothing but the end, when that overtakes the reason. */
	if (!handshakes->last || problem != WB_ZMQ_PROBLEM_ENDED)
		handshakes->last = meaning(handshakes, problem);
	if (told_elsewhere(handshakes, problem))
		return problem;
	handshakes->untold[problem]++;
	if (now < handshakes->next_log_ns[problem])
		return problem;
	handshakes->next_log_ns[problem] = now + LOG_INTERVAL_NS;
	tell(handshakes, problem);
	return problem;
}

void wb_zmq_handshakes_end(struct wb_zmq_handshakes *handshakes)
{
	for (unsigned int problem = 0; problem < WB_ZMQ_PROBLEMS; problem++)
		if (handshakes->untold[problem])
			tell(handshakes, problem);
}
