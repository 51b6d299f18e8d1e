/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nats.h"

#define SLICE_MS 100 /* how long a call may wait before it is seen that the transport stops */

static bool fail(struct wb_transport *transport, const char *what, natsStatus status)
{
	const char *text = NULL;
	natsStatus last;

	if (transport->connection)
		last = natsConnection_GetLastError(transport->connection, &text);
	else
		text = nats_GetLastError(&last);
	if (!text || !text[0] || last == NATS_OK)
		text = natsStatus_GetText(status);
	/* "(file.c:123): " is where the library noticed it. */
	if (text[0] == '(' && strstr(text, "): "))
		text = strstr(text, "): ") + 3;
	snprintf(transport->reason, sizeof(transport->reason), "%s: %s", what, text);
	return false;
}

/* An inbox of this connection's own: what is answered to the last one is nobody's. */
static natsStatus subscribe(struct wb_transport *transport)
{
	char subject[sizeof(transport->inbox) + 2];
	natsInbox *inbox;
	natsStatus s = natsInbox_Create(&inbox);

	if (s != NATS_OK)
		return s;
	snprintf(transport->inbox, sizeof(transport->inbox), "%s", inbox);
	natsInbox_Destroy(inbox);
	snprintf(subject, sizeof(subject), "%s.*", transport->inbox);
	return natsConnection_SubscribeSync(&transport->acknowledgements, transport->connection, subject);
}

bool nats_connect(struct wb_transport *transport)
{
	const size_t wanted = transport->max_batch_bytes + (transport->jetstream ? HEADER_BYTES : 0);
	int64_t limit;
	natsStatus s = nats_connect_guarded(transport);

	if (s != NATS_OK) {
		transport->connection = NULL;
		return fail(transport, "cannot connect", s);
	}
	limit = natsConnection_GetMaxPayload(transport->connection);
	if (limit > 0 && (uint64_t)limit < wanted && atomic_load(&transport->connects) == 0)
		transport->log(transport->log_context, WB_LOG_WARNING,
			"%s: the server takes messages of %" PRId64
			" bytes at the most: larger batches fail; lower max_payload, or raise the server's",
			transport->url, limit);
	if (transport->jetstream && (s = subscribe(transport)) != NATS_OK)
		return fail(transport, "cannot subscribe to acknowledgements", s);
	return true;
}

void nats_disconnect(struct wb_transport *transport)
{
	natsSubscription_Destroy(transport->acknowledgements);
	natsConnection_Destroy(transport->connection);
	nats_untell(transport);
	transport->acknowledgements = NULL;
	transport->connection = NULL;
}

bool nats_alive(struct wb_transport *transport)
{
	if (!natsConnection_IsClosed(transport->connection))
		return true;
	return fail(transport, "the connection was lost", NATS_CONNECTION_CLOSED);
}

/* With the batch's identity, so that JetStream stores what is sent twice once. */
static natsStatus publish_acknowledged(struct wb_transport *transport, const struct item *item, unsigned int number)
{
	const struct wb_batch *batch = item->batch;
	char reply[sizeof(transport->inbox) + 16], id[96];
	natsMsg *message;
	size_t used = 0;
	natsStatus s;

	for (size_t i = 0; i < 16; i++)
		used += (size_t)snprintf(id + used, sizeof(id) - used, "%02x", batch->session_id[i]);
	snprintf(id + used, sizeof(id) - used, "-%" PRIu32 "-%" PRIu64, batch->stream_id, batch->batch_seq);
	snprintf(reply, sizeof(reply), "%s.%u", transport->inbox, number);
	s = natsMsg_Create(&message, item->subject, reply, (const char *)batch->data, (int)batch->size);
	if (s != NATS_OK)
		return s;
	s = natsMsgHeader_Set(message, "Nats-Msg-Id", id);
	if (s == NATS_OK)
		s = natsConnection_PublishMsg(transport->connection, message);
	natsMsg_Destroy(message);
	atomic_fetch_add(&transport->copied, 1);
	return s;
}

bool nats_send_window(struct wb_transport *transport)
{
	for (unsigned int i = 0; i < transport->window_count; i++) {
		struct item *item = &transport->window[i];
		natsStatus s;

		if (!item->batch)
			continue;
		if (transport->jetstream)
			s = publish_acknowledged(transport, item, i);
		else
			s = natsConnection_Publish(
				transport->connection, item->subject, item->batch->data, (int)item->batch->size);
		if (s == NATS_MAX_PAYLOAD) {
			nats_settle(transport, item, WB_RESULT_FAILED, WB_CAUSE_TOO_LARGE);
			continue;
		}
		item->sent = true;
		if (s != NATS_OK)
			return fail(transport, "sending failed", s);
	}
	return true;
}

/*
 * The server may refuse a subject, which it says by the way. Its last word on that is all that there is: a batch whose
 * subject it names is certainly not on the bus, about the others nothing is known. True: there was none.
 */
static bool is_permitted(struct wb_transport *transport)
{
	const char *text = "";

	if (natsConnection_GetLastError(transport->connection, &text) != NATS_NOT_PERMITTED)
		return true;
	fail(transport, "publishing was refused", NATS_NOT_PERMITTED);
	for (unsigned int i = 0; i < transport->window_count; i++) {
		struct item *item = &transport->window[i];
		char quoted[SUBJECT_BYTES + 2];

		if (!item->batch)
			continue;
		snprintf(quoted, sizeof(quoted), "\"%s\"", item->subject);
		if (strstr(text, quoted))
			nats_settle(transport, item, WB_RESULT_FAILED, WB_CAUSE_DENIED);
		else
			nats_settle(transport, item, WB_RESULT_UNKNOWN, WB_CAUSE_NONE);
	}
	transport->window_count = 0;
	return false;
}

/* A PONG says that the server has read everything before the PING. Who receives it is not known: handed over. */
static bool confirm_by_pong(struct wb_transport *transport)
{
	const uint64_t until_ms = nats_now_ms() + transport->timeout_ms;
	natsStatus s = NATS_TIMEOUT;

	while (s == NATS_TIMEOUT) {
		if (atomic_load(&transport->stop))
			return true;
		if (nats_now_ms() >= until_ms)
			return fail(transport, "the server does not answer", s);
		s = natsConnection_FlushTimeout(transport->connection, SLICE_MS);
	}
	if (s != NATS_OK)
		return fail(transport, "the connection was lost", s);
	if (!is_permitted(transport))
		return false;
	for (unsigned int i = 0; i < transport->window_count; i++) {
		if (transport->window[i].batch)
			nats_settle(transport, &transport->window[i], WB_RESULT_HANDED_OVER, WB_CAUSE_NONE);
	}
	return true;
}

/* The number behind "name": in a JSON text, 0 if there is none. Names in quotes cannot occur inside a JSON string. */
static long json_number(const char *json, const char *name)
{
	const char *found = strstr(json, name);

	return found ? strtol(found + strlen(name), NULL, 10) : 0;
}

/*
 * An acknowledgement of JetStream: {"stream":...,"seq":...}, or
 * {"error":{"code":...,"err_code":...,"description":...}}. False: it is refused for now.
 */
static bool take_acknowledgement(struct wb_transport *transport, struct item *item, const char *json)
{
	const char *error = strstr(json, "\"error\":");

	if (!error && strstr(json, "\"stream\":")) {
		nats_settle(transport, item, WB_RESULT_DELIVERED, WB_CAUSE_NONE);
		return true;
	}
	snprintf(transport->reason, sizeof(transport->reason), "JetStream refuses a batch: %.180s",
		error ? error : json);
	if (!error || json_number(error, "\"code\":") == 503)
		return false;
	if (strcmp(transport->reason, transport->reported) != 0) {
		memcpy(transport->reported, transport->reason, sizeof(transport->reported));
		transport->log(transport->log_context, WB_LOG_ERROR, "%s: %s", transport->url, transport->reason);
	}
	nats_settle(transport, item, WB_RESULT_FAILED,
		json_number(error, "\"err_code\":") == JSStreamMessageExceedsMaximumErr ? WB_CAUSE_TOO_LARGE
											: WB_CAUSE_REFUSED);
	return true;
}

static unsigned int outstanding(const struct wb_transport *transport)
{
	unsigned int count = 0;

	for (unsigned int i = 0; i < transport->window_count; i++)
		count += transport->window[i].batch != NULL;
	return count;
}

static bool take_message(struct wb_transport *transport, natsMsg *message)
{
	const char *subject = natsMsg_GetSubject(message);
	const char *dot = subject ? strrchr(subject, '.') : NULL;
	unsigned long number = dot ? strtoul(dot + 1, NULL, 10) : WINDOW_BATCHES;
	const char *data = natsMsg_GetData(message);
	char json[1024];

	if (number >= transport->window_count || !transport->window[number].batch)
		return true; /* to nothing that was asked */
	snprintf(json, sizeof(json), "%.*s", natsMsg_GetDataLength(message), data ? data : "");
	return take_acknowledgement(transport, &transport->window[number], json);
}

static bool confirm_by_acknowledgements(struct wb_transport *transport)
{
	uint64_t until_ms = nats_now_ms() + transport->timeout_ms;
	natsMsg *message = NULL;
	bool good = true;

	while (good && outstanding(transport) > 0 && !atomic_load(&transport->stop)) {
		natsStatus s = natsSubscription_NextMsg(&message, transport->acknowledgements, SLICE_MS);

		if (s == NATS_OK) {
			good = take_message(transport, message);
			natsMsg_Destroy(message);
			until_ms = nats_now_ms() + transport->timeout_ms;
		} else if (s == NATS_NO_RESPONDERS) {
			snprintf(transport->reason, sizeof(transport->reason),
				"no JetStream stream takes the subject '%.150s'", transport->window[0].subject);
			return false;
		} else if (s != NATS_TIMEOUT) {
			return fail(transport, "the connection was lost", s);
		} else if (!is_permitted(transport)) {
			return false;
		} else if (nats_now_ms() >= until_ms) {
			return fail(transport, "JetStream does not acknowledge", s);
		}
	}
	return good;
}

bool nats_confirm_window(struct wb_transport *transport)
{
	return transport->jetstream ? confirm_by_acknowledgements(transport) : confirm_by_pong(transport);
}
