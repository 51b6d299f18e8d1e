/* SPDX-License-Identifier: Apache-2.0 */
/* Batches from ZeroMQ: SUB or PULL, two frames a message, topic and batch. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

#include "clock.h"
#include "log.h"
#include "registry.h"
#include "zmq_address.h"
#include "zmq_connections.h"
#include "zmq_curve.h"
#include "zmq_monitor.h"
#include "zmq_zap.h"

#define MONITOR_ENDPOINT "inproc://monitor"
#define TOPIC_HEAD "wb1/"
#define RETRY_MS 1000
/* How long a lost connection is waited for before the user is told. */
#define PATIENCE_MS 2000
/* Frames of a message that are looked at; more are thrown away with it. */
#define FRAMES 2
/* What CURVE adds to a message. */
#define CURVE_BYTES 64

struct zmq_options {
	unsigned int bind;
	bool insecure;
	uint64_t rcvhwm;
	char *topic;
	struct wb_zmq_curve_options curve;
};

static const struct wb_option_row zmq_rows[] = {
	{.key = "bind",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct zmq_options, bind),
		.default_value = "auto",
		.choices = "auto|yes|no",
		.help = "Bind rather than connect; auto: bind when the host is *"},
	{.key = "insecure",
		.type = WB_OPTION_BOOL,
		.offset = offsetof(struct zmq_options, insecure),
		.default_value = "false",
		.help = "Allow an address that other hosts can reach without authentication"},
	WB_ZMQ_CURVE_ROWS(struct zmq_options),
	{.key = "rcvhwm",
		.type = WB_OPTION_UINT,
		.offset = offsetof(struct zmq_options, rcvhwm),
		.default_value = "64",
		.min = 1,
		.max = 1000000,
		.unit = "messages",
		.help = "How many messages wait here for each publisher"},
	{.key = "topic",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct zmq_options, topic),
		.default_value = TOPIC_HEAD,
		.max = 255,
		.unit = "PREFIX",
		.help = "Beginning of the topics to subscribe to, wb1/NODE/STREAM/ (zmq+sub only)"},
	{.key = NULL},
};

struct wb_source {
	char *url;
	struct wb_zmq_address address;
	bool pull;
	bool follow;
	unsigned int wait_ms;
	int64_t opened_ms;
	int64_t max_message_bytes; /* -1: any */
	void *context, *socket, *monitor;
	struct wb_zmq_zap *zap; /* NULL: nobody is authenticated */
	struct wb_zmq_connections connections;
	int64_t lost_ms; /* since when there is no peer any more; 0: there is one, or never was */
	bool was_connected, told_lost;
	struct wb_zmq_handshakes handshakes;
	int64_t retry_due_ms; /* 0: libzmq connects again by itself. Otherwise the time to do it for it */
	bool told_refused;
	uint64_t messages;
	zmq_msg_t frames[FRAMES]; /* of the last message, valid until the next call */
};

static int make_endpoint(struct wb_source *source, const struct wb_source_args *args, struct wb_error *ret_error)
{
	const struct zmq_options *options = args->options;
	const struct wb_zmq_place place = {
		.url = args->url,
		.address = args->address,
		.bind = options->bind,
		.insecure = options->insecure || wb_zmq_curve_used(&options->curve),
	};
	int r;

	r = wb_zmq_address(&place, &source->address, ret_error);
	if (r == 0)
		r = wb_zmq_curve_check(args->url, &options->curve, source->address.bind, ret_error);
	source->handshakes = (struct wb_zmq_handshakes){
		.endpoint = source->url,
		.peer_type = source->pull ? "PUSH" : "PUB",
		.curve = wb_zmq_curve_used(&options->curve),
		.bind = source->address.bind,
		.log = wb_log_transport,
	};
	return r;
}

static int set_options(struct wb_source *source, const struct wb_source_args *args)
{
	const struct zmq_options *options = args->options;
	const struct {
		int option, value;
	} values[] = {
		{ZMQ_RCVHWM, (int)options->rcvhwm},
		{ZMQ_LINGER, 0},
		{ZMQ_RECONNECT_IVL, 100},
		{ZMQ_RECONNECT_IVL_MAX, 5000},
		/*
	         * Keepalive rather than heartbeats: libzmq 4.3.4 aborts (stream_engine_base.cpp, _input_stopped) when
	         * a reader with heartbeats reads on after 45 s with a full queue, as behind a pager.
	         */
		{ZMQ_TCP_KEEPALIVE, 1},
		{ZMQ_TCP_KEEPALIVE_IDLE, 10},
		{ZMQ_TCP_KEEPALIVE_INTVL, 5},
		{ZMQ_TCP_KEEPALIVE_CNT, 3},
		{ZMQ_IPV6, source->address.ipv6},
	};
	int64_t maximum = source->max_message_bytes;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		if (zmq_setsockopt(source->socket, values[i].option, &values[i].value, sizeof(int)) < 0)
			return -errno;
	if (maximum >= 0 && source->handshakes.curve)
		maximum += CURVE_BYTES;
	if (zmq_setsockopt(source->socket, ZMQ_MAXMSGSIZE, &maximum, sizeof(maximum)) < 0)
		return -errno;
	if (!source->pull && zmq_setsockopt(source->socket, ZMQ_SUBSCRIBE, options->topic, strlen(options->topic)) < 0)
		return -errno;
	return 0;
}

static int open_sockets(struct wb_source *source, const struct wb_source_args *args)
{
	int zero = 0, r;

	source->context = zmq_ctx_new();
	if (!source->context)
		return -errno;
	source->socket = zmq_socket(source->context, source->pull ? ZMQ_PULL : ZMQ_SUB);
	if (!source->socket)
		return -errno;
	r = set_options(source, args);
	if (r < 0)
		return r;
	if (zmq_socket_monitor(source->socket, MONITOR_ENDPOINT, WB_ZMQ_EVENTS) < 0)
		return -errno;
	source->monitor = zmq_socket(source->context, ZMQ_PAIR);
	if (!source->monitor || zmq_setsockopt(source->monitor, ZMQ_LINGER, &zero, sizeof(zero)) < 0 ||
		zmq_connect(source->monitor, MONITOR_ENDPOINT) < 0)
		return -errno;
	return 0;
}

/* The keys, and the thread that says who may connect. */
static int authenticate(struct wb_source *source, const struct wb_source_args *args, struct wb_error *ret_error)
{
	const struct zmq_options *options = args->options;
	const struct wb_zmq_zap_args zap_args = {
		.context = source->context,
		.allow = options->curve.allow,
		.endpoint = source->url,
		.log = wb_log_transport,
	};
	int r = 0;

	if (source->handshakes.curve && source->address.bind)
		r = wb_zmq_zap_start(&zap_args, &source->zap, ret_error);
	return r < 0 ? r : wb_zmq_curve_apply(&options->curve, source->address.bind, source->socket, ret_error);
}

static int attach(struct wb_source *source, struct wb_error *ret_error)
{
	int r;

	if (source->address.bind && source->address.path) {
		r = wb_zmq_check_path(source->address.path, ret_error);
		if (r < 0)
			return r;
	}
	if (source->address.bind)
		r = zmq_bind(source->socket, source->address.endpoint);
	else
		r = zmq_connect(source->socket, source->address.endpoint);
	if (r == 0)
		return 0;
	r = -errno;
	return wb_fail(ret_error, r, "%s: cannot %s %s: %s", source->url,
		source->address.bind ? "bind to" : "connect to", source->address.endpoint, zmq_strerror(-r));
}

static void free_source(struct wb_source *source)
{
	for (int i = 0; i < FRAMES; i++)
		zmq_msg_close(&source->frames[i]);
	if (source->monitor)
		zmq_close(source->monitor);
	if (source->socket)
		zmq_close(source->socket);
	while (source->context && zmq_ctx_term(source->context) < 0 && errno == EINTR)
		;
	wb_zmq_zap_join(source->zap);
	wb_zmq_connections_fini(&source->connections);
	free(source->url);
	free(source);
}

/* All topics begin with "wb1/": a subscription that can match none of them is a mistake. */
static int check_topic(const struct wb_source_args *args, struct wb_error *ret_error)
{
	const struct zmq_options *options = args->options;
	const char *topic = options->topic ? options->topic : "";
	size_t length = strlen(topic) < strlen(TOPIC_HEAD) ? strlen(topic) : strlen(TOPIC_HEAD);

	if (!options->topic || strncmp(topic, TOPIC_HEAD, length) != 0)
		return wb_fail(ret_error, -EINVAL, "%s: topic \"%s\": topics have the form wb1/NODE/STREAM/", args->url,
			topic);
	return 0;
}

static int zmq_source_open(const struct wb_source_args *args, struct wb_source **ret_source, struct wb_error *ret_error)
{
	struct wb_source *source;
	int r;

	r = check_topic(args, ret_error);
	if (r < 0)
		return r;
	source = calloc(1, sizeof(*source));
	if (!source)
		return wb_fail(ret_error, -ENOMEM, "%s: out of memory", args->url);
	for (int i = 0; i < FRAMES; i++)
		zmq_msg_init(&source->frames[i]);
	source->pull = strcmp(args->scheme, "zmq+pull") == 0;
	source->wait_ms = args->wait_ms;
	source->opened_ms = (int64_t)wb_monotonic_ms();
	source->max_message_bytes = -1;
	if (args->max_message_bytes > 0 && args->max_message_bytes < INT64_MAX)
		source->max_message_bytes = (int64_t)args->max_message_bytes;
	source->url = strdup(args->url);
	r = source->url ? make_endpoint(source, args, ret_error) : wb_fail(ret_error, -ENOMEM, "out of memory");
	if (r < 0)
		goto fail;
	/* Who is bound to waits for others to come. */
	source->follow = args->follow && (!args->give_up || source->address.bind);
	r = open_sockets(source, args);
	if (r < 0) {
		wb_fail(ret_error, r, "%s: %s", args->url, zmq_strerror(-r));
		goto fail;
	}
	r = authenticate(source, args, ret_error);
	if (r == 0)
		r = attach(source, ret_error);
	if (r < 0)
		goto fail;
	*ret_source = source;
	return 0;
fail:
	free_source(source);
	return r;
}

/* A publisher that ended in order closes the connection while its last messages are still being read: not worth a word.
 */
static void tell_lost(struct wb_source *source)
{
	if (!source->lost_ms || source->told_lost || (int64_t)wb_monotonic_ms() < source->lost_ms + PATIENCE_MS)
		return;
	source->told_lost = true;
	wb_log(WB_LOG_WARNING, "%s: the connection was lost; waiting for %s", source->url,
		source->address.bind ? "publishers" : source->address.endpoint);
}

static void note_event(struct wb_source *source, const struct wb_zmq_event *event)
{
	const int64_t now_ms = (int64_t)wb_monotonic_ms();
	const enum wb_zmq_change change =
		wb_zmq_connections_note(&source->connections, event, (int64_t)wb_monotonic_ns());

	if (change == WB_ZMQ_PEER_CAME) {
		source->was_connected = true;
		source->retry_due_ms = 0;
		source->lost_ms = 0;
		source->handshakes.last = NULL;
	}
	if (change == WB_ZMQ_PEER_WENT && source->connections.peers == 0)
		source->lost_ms = now_ms;
	if (change == WB_ZMQ_STRANGER_WENT || event->number & WB_ZMQ_HANDSHAKE_FAILED)
		wb_zmq_handshakes_note(&source->handshakes, event);
	if (event->number == ZMQ_EVENT_CONNECT_RETRIED)
		source->retry_due_ms = 0;
	else if (event->number == ZMQ_EVENT_DISCONNECTED && !source->address.bind)
		source->retry_due_ms = now_ms + RETRY_MS;
}

static void read_monitor(struct wb_source *source)
{
	struct wb_zmq_event event;

	while (wb_zmq_monitor_next(source->monitor, &event))
		note_event(source, &event);
}

/*
 * After what it takes for a violation of the protocol, libzmq gives the connection up for good: a message that is too
 * long, or a port where another service answered. The publisher may be there by now.
 */
static int retry(struct wb_source *source)
{
	source->retry_due_ms = 0;
	/* What went wrong in a handshake has been told. */
	if (!source->told_refused && !source->handshakes.last)
		wb_log(WB_LOG_WARNING, "%s: %s sends messages longer than %" PRId64 " bytes, or no ZeroMQ; trying on",
			source->url, source->address.endpoint, source->max_message_bytes);
	source->told_refused = true;
	/* Fails when nothing is left of the old connection. */
	zmq_disconnect(source->socket, source->address.endpoint);
	return zmq_connect(source->socket, source->address.endpoint) < 0 ? -errno : 0;
}

/* Number of frames of the message received; the first ones are in source->frames. -EAGAIN: there is none. */
static int receive(struct wb_source *source)
{
	zmq_msg_t surplus;
	int count = 0, r;
	bool more;

	do {
		zmq_msg_t *frame = count < FRAMES ? &source->frames[count] : &surplus;

		if (frame == &surplus)
			zmq_msg_init(&surplus);
		r = zmq_msg_recv(frame, source->socket, ZMQ_DONTWAIT);
		if (r < 0)
			r = -errno;
		more = r >= 0 && zmq_msg_more(frame);
		if (frame == &surplus)
			zmq_msg_close(&surplus);
		if (r < 0)
			return r;
		count++;
	} while (more);
	return count;
}

/* The publisher's topic, fit to be shown. */
static void describe(struct wb_source *source, char *text, size_t size)
{
	const char *topic = zmq_msg_data(&source->frames[0]);
	size_t length = zmq_msg_size(&source->frames[0]), i;

	for (i = 0; i < length && i + 24 < size; i++)
		text[i] = topic[i] > 0x20 && topic[i] < 0x7f ? topic[i] : '?';
	snprintf(text + i, size - i, "#%" PRIu64, source->messages);
}

static int take(struct wb_source *source, int frames, struct wb_message *ret_message, struct wb_error *ret_error)
{
	size_t head = strlen(TOPIC_HEAD);

	source->messages++;
	source->was_connected = true;
	if (source->told_lost)
		wb_log(WB_LOG_INFO, "%s: connected again", source->url);
	source->told_lost = source->told_refused = false;
	describe(source, ret_message->origin, sizeof(ret_message->origin));
	if (frames != FRAMES)
		return wb_fail(ret_error, -EBADMSG, "%s: %s: a message of %d frames, must be %d: topic and batch",
			source->url, ret_message->origin, frames, FRAMES);
	if (zmq_msg_size(&source->frames[0]) < head || memcmp(zmq_msg_data(&source->frames[0]), TOPIC_HEAD, head) != 0)
		return wb_fail(ret_error, -EBADMSG, "%s: %s: the topic does not begin with %s", source->url,
			ret_message->origin, TOPIC_HEAD);
	ret_message->data = zmq_msg_data(&source->frames[1]);
	ret_message->size = zmq_msg_size(&source->frames[1]);
	ret_message->kind = WB_MESSAGE_BATCH;
	return 1;
}

static int wait_for_events(struct wb_source *source, int timeout_ms)
{
	zmq_pollitem_t items[] = {
		{.socket = source->socket, .events = ZMQ_POLLIN},
		{.socket = source->monitor, .events = ZMQ_POLLIN},
	};
	int64_t left;

	if (!source->was_connected && !source->follow) {
		left = source->opened_ms + source->wait_ms - (int64_t)wb_monotonic_ms();
		if (left < 0)
			left = 0;
		if (timeout_ms < 0 || left < timeout_ms)
			timeout_ms = (int)left;
	}
	if (source->retry_due_ms > 0 && (timeout_ms < 0 || timeout_ms > RETRY_MS))
		timeout_ms = RETRY_MS;
	if (zmq_poll(items, 2, timeout_ms) < 0 && errno != EINTR)
		return -errno;
	if (items[1].revents & ZMQ_POLLIN)
		read_monitor(source);
	tell_lost(source);
	return source->retry_due_ms > 0 && (int64_t)wb_monotonic_ms() >= source->retry_due_ms ? retry(source) : 0;
}

static int zmq_source_next(
	struct wb_source *source, int timeout_ms, struct wb_message *ret_message, struct wb_error *ret_error)
{
	int r;

	r = receive(source);
	if (r == -EAGAIN) {
		r = wait_for_events(source, timeout_ms);
		if (r == 0)
			r = receive(source);
	}
	if (r > 0)
		return take(source, r, ret_message, ret_error);
	if (r != -EAGAIN && r != -EINTR)
		return wb_fail(ret_error, r, "%s: %s", source->url, zmq_strerror(-r));
	if (source->was_connected || source->follow || (int64_t)wb_monotonic_ms() < source->opened_ms + source->wait_ms)
		return 0;
	return wb_fail(ret_error, -ETIMEDOUT, "%s: no publisher at %s within %g s%s%s", source->url,
		source->address.endpoint, source->wait_ms / 1000.0, source->handshakes.last ? ": " : "",
		source->handshakes.last ? source->handshakes.last : "");
}

static void zmq_source_close(struct wb_source *source)
{
	if (source)
		free_source(source);
}

static const char *const zmq_schemes[] = {"zmq+sub", "zmq+pull", NULL};

const struct wb_source_ops wb_source_zmq = {
	.name = "ZeroMQ",
	.schemes = zmq_schemes,
	.rows = zmq_rows,
	.options_size = sizeof(struct zmq_options),
	.finite = false,
	.open = zmq_source_open,
	.next = zmq_source_next,
	.close = zmq_source_close,
};
