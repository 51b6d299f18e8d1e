/* SPDX-License-Identifier: Apache-2.0 */
#include "zmq_zap.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zmq.h>

#include "clock.h"
#include "log.h"
#include "zmq_allow.h"

#define ENDPOINT "inproc://zeromq.zap.01"
#define VERSION "1.0"
#define LOG_INTERVAL_NS INT64_C(60000000000)

/* The frames of a request, behind the empty one that REP takes away. Further ones are ignored. */
enum {
	FRAME_VERSION,
	FRAME_REQUEST,
	FRAME_DOMAIN,
	FRAME_ADDRESS,
	FRAME_ROUTING_ID,
	FRAME_MECHANISM,
	FRAME_KEY,
	FRAMES,
};

struct wb_zmq_zap {
	struct wb_zmq_zap_args args;
	char endpoint[320];
	bool any;
	struct wb_zmq_allow allow; /* of the thread, once it runs */
	void *socket;
	pthread_t thread;
	uint64_t refused; /* since it was logged last */
	int64_t next_log_ns;
	char last_key[WB_ZMQ_KEY_CHARS + 1]; /* of those refused */
	char last_address[64];
};

/* Number of frames, FRAMES at most; the first ones are in frames. Errors: negative errno. */
static int receive(void *socket, zmq_msg_t *frames)
{
	zmq_msg_t surplus;
	int count = 0;
	bool more;

	do {
		zmq_msg_t *frame = count < FRAMES ? &frames[count] : &surplus;
		int r;

		if (frame == &surplus)
			zmq_msg_init(&surplus);
		r = zmq_msg_recv(frame, socket, 0) < 0 ? -errno : 0;
		more = r == 0 && zmq_msg_more(frame);
		if (frame == &surplus)
			zmq_msg_close(&surplus);
		else
			count++;
		if (r < 0)
			return r;
	} while (more);
	return count;
}

static bool equals(zmq_msg_t *frame, const char *text)
{
	return zmq_msg_size(frame) == strlen(text) && memcmp(zmq_msg_data(frame), text, strlen(text)) == 0;
}

static void refresh(struct wb_zmq_zap *zap)
{
	struct wb_error error;
	int r = wb_zmq_allow_refresh(&zap->allow, &error);

	if (r > 0)
		zap->args.log(zap->args.log_context, WB_LOG_INFO, "%s: '%s' has changed: %zu key(s) are allowed now",
			zap->endpoint, zap->allow.path, zap->allow.count);
	else if (r < 0)
		zap->args.log(zap->args.log_context, WB_LOG_WARNING, "%s: curve_allow stays as it was: %s",
			zap->endpoint, error.message);
}

static void log_refused(struct wb_zmq_zap *zap)
{
	zap->args.log(zap->args.log_context, WB_LOG_WARNING,
		"%s: refused %" PRIu64 " connection(s) with keys that curve_allow does not have; the last was '%s' from"
		" %s",
		zap->endpoint, zap->refused, zap->last_key, zap->last_address);
	zap->refused = 0;
}

static void count_refused(struct wb_zmq_zap *zap, zmq_msg_t *frames)
{
	const int64_t now = (int64_t)wb_monotonic_ns();

	zap->refused++;
	zap->last_key[0] = '\0';
	if (zmq_msg_size(&frames[FRAME_KEY]) == WB_ZMQ_KEY_BYTES)
		zmq_z85_encode(zap->last_key, zmq_msg_data(&frames[FRAME_KEY]), WB_ZMQ_KEY_BYTES);
	snprintf(zap->last_address, sizeof(zap->last_address), "%.*s", (int)zmq_msg_size(&frames[FRAME_ADDRESS]),
		(const char *)zmq_msg_data(&frames[FRAME_ADDRESS]));
	if (now < zap->next_log_ns)
		return;
	zap->next_log_ns = now + LOG_INTERVAL_NS;
	log_refused(zap);
}

/* libzmq refuses peers without CURVE before it asks; nobody gets in if it should ever ask. */
static bool is_allowed(struct wb_zmq_zap *zap, zmq_msg_t *frames, int count)
{
	if (count < FRAMES || !equals(&frames[FRAME_VERSION], VERSION) ||
		!equals(&frames[FRAME_DOMAIN], WB_ZMQ_ZAP_DOMAIN) || !equals(&frames[FRAME_MECHANISM], "CURVE") ||
		zmq_msg_size(&frames[FRAME_KEY]) != WB_ZMQ_KEY_BYTES)
		return false;
	if (zap->any)
		return true;
	refresh(zap);
	return wb_zmq_allow_has(&zap->allow, zmq_msg_data(&frames[FRAME_KEY]));
}

/* Version, request, status, text, user, metadata. Errors: negative errno. */
static int answer(struct wb_zmq_zap *zap, zmq_msg_t *request, bool allowed)
{
	const char *const rest[] = {allowed ? "200" : "400", allowed ? "OK" : "this key is not allowed", "", ""};
	const size_t count = sizeof(rest) / sizeof(rest[0]);

	if (zmq_send(zap->socket, VERSION, strlen(VERSION), ZMQ_SNDMORE) < 0 ||
		zmq_send(zap->socket, zmq_msg_data(request), zmq_msg_size(request), ZMQ_SNDMORE) < 0)
		return -errno;
	for (size_t i = 0; i < count; i++)
		if (zmq_send(zap->socket, rest[i], strlen(rest[i]), i + 1 < count ? ZMQ_SNDMORE : 0) < 0)
			return -errno;
	return 0;
}

static int serve_one(struct wb_zmq_zap *zap)
{
	zmq_msg_t frames[FRAMES];
	bool allowed;
	int r;

	for (int i = 0; i < FRAMES; i++)
		zmq_msg_init(&frames[i]);
	r = receive(zap->socket, frames);
	if (r > 0) {
		allowed = is_allowed(zap, frames, r);
		if (!allowed)
			count_refused(zap, frames);
		r = answer(zap, &frames[FRAME_REQUEST], allowed);
	}
	for (int i = 0; i < FRAMES; i++)
		zmq_msg_close(&frames[i]);
	return r;
}

static void *run(void *argument)
{
	struct wb_zmq_zap *zap = argument;
	int r;

	do {
		r = serve_one(zap);
	} while (r >= 0 || r == -EINTR);
	if (r != -ETERM)
		zap->args.log(zap->args.log_context, WB_LOG_ERROR, "%s: no further peer can connect: %s", zap->endpoint,
			zmq_strerror(-r));
	zmq_close(zap->socket);
	if (zap->refused)
		log_refused(zap);
	return NULL;
}

static int open_socket(struct wb_zmq_zap *zap, struct wb_error *ret_error)
{
	const int none = 0;
	int r;

	zap->socket = zmq_socket(zap->args.context, ZMQ_REP);
	if (zap->socket && zmq_setsockopt(zap->socket, ZMQ_LINGER, &none, sizeof(none)) == 0 &&
		zmq_bind(zap->socket, ENDPOINT) == 0)
		return 0;
	r = -errno;
	if (zap->socket)
		zmq_close(zap->socket);
	return wb_fail(ret_error, r, "cannot make the socket that authenticates peers: %s", zmq_strerror(-r));
}

static int start_thread(struct wb_zmq_zap *zap, struct wb_error *ret_error)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&zap->thread, NULL, run, zap);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r != 0)
		return wb_fail(ret_error, -r, "cannot start a thread: %s", strerror(r));
	pthread_setname_np(zap->thread, "wb-zap");
	return 0;
}

int wb_zmq_zap_start(const struct wb_zmq_zap_args *args, struct wb_zmq_zap **ret_zap, struct wb_error *ret_error)
{
	struct wb_zmq_zap *zap;
	struct wb_error why;
	int r;

	zap = calloc(1, sizeof(*zap));
	if (!zap)
		return wb_fail(ret_error, -ENOMEM, "out of memory");
	zap->args = *args;
	snprintf(zap->endpoint, sizeof(zap->endpoint), "%s", args->endpoint);
	zap->any = strcmp(args->allow, "*") == 0;
	r = zap->any ? 0 : wb_zmq_allow_load(args->allow, &zap->allow, &why);
	if (r < 0) {
		wb_fail(ret_error, r, "curve_allow: %s", why.message);
		goto free_zap;
	}
	r = open_socket(zap, ret_error);
	if (r < 0)
		goto free_allow;
	r = start_thread(zap, ret_error);
	if (r < 0)
		goto close_socket;
	*ret_zap = zap;
	return 0;

close_socket:
	zmq_close(zap->socket);
free_allow:
	wb_zmq_allow_fini(&zap->allow);
free_zap:
	free(zap);
	return r;
}

void wb_zmq_zap_join(struct wb_zmq_zap *zap)
{
	if (!zap)
		return;
	pthread_join(zap->thread, NULL);
	wb_zmq_allow_fini(&zap->allow);
	free(zap);
}
