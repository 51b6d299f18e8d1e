/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cat.h"
#include "clock.h"
#include "command.h"
#include "display_filter.h"
#include "extcap.h"
#include "extcap_fifo.h"
#include "log.h"
#include "signals.h"
#include "source_setup.h"
#include "stopper.h"

#define MAX_MESSAGE_BYTES ((size_t)256 * 1024 * 1024)
#define GRACE_S 5
/* For Wireshark to start the FIFO's reader, on a busy machine. */
#define READER_WAIT_MS 20000

/* Everything that a capture opens. */
struct session {
	const struct wb_extcap_capture *capture;
	char *url;
	char *filter;
	uint64_t since_ns; /* 0: not limited */
	enum wb_cat_order order;
	struct wb_source_setup setup;
	struct wb_source *source;
	struct wb_output out;
	struct wb_sink *sink;
	struct wb_stopper stopper;
	struct wb_cat cat;
};

static bool given(const char *value)
{
	return value && *value;
}

static int tell(int code, const char *text)
{
	fprintf(stderr, "wirebus: %s\n", text);
	return code;
}

static int check_filter(const char *expression, struct wb_error *ret_error)
{
	struct wb_display_filter *filter = NULL;
	int r = given(expression) ? wb_display_filter_create(expression, &filter, ret_error) : 0;

	wb_display_filter_destroy(filter);
	return r;
}

/* Wireshark's filter and the interface's own, both of which must match. Each is to be an expression by itself. */
static int join_filters(struct session *session, struct wb_error *ret_error)
{
	const char *own = session->capture->options->filter, *other = session->capture->filter;
	int r;

	if (!given(own))
		own = session->capture->interface->filter;
	r = check_filter(own, ret_error);
	if (r == 0)
		r = check_filter(other, ret_error);
	if (r < 0)
		return r;
	if (given(own) && given(other))
		r = asprintf(&session->filter, "(%s) and (%s)", own, other);
	else if (given(own) || given(other))
		r = asprintf(&session->filter, "%s", given(own) ? own : other);
	if (r < 0)
		session->filter = NULL;
	return r < 0 ? -ENOMEM : 0;
}

static int add_properties(struct session *session, struct wb_error *ret_error)
{
	const struct wb_extcap_interface *interface = session->capture->interface;
	struct wb_source_setup *setup = &session->setup;

	for (size_t i = 0; i < interface->property_count; i++)
		if (wb_properties_add(&setup->properties, &setup->property_count, interface->properties[i].key,
			    interface->properties[i].value) < 0)
			return wb_fail(ret_error, -ENOMEM, "out of memory");
	return 0;
}

/* Where to begin. What keeps nothing, as ZeroMQ, begins now anyway. */
static int place(struct session *session, struct wb_source_args *args, struct wb_error *ret_error)
{
	const char *since = session->capture->options->since, *offset;
	int r;

	if (!given(since))
		since = session->capture->interface->since;
	r = wb_extcap_since(given(since) ? since : WB_EXTCAP_SINCE, &offset, &args->since_ns, ret_error);
	if (r < 0)
		return r;
	/* Live, packets are shown when they come; what was before is worth being put in the order of time. */
	session->order = offset && strcmp(offset, "end") == 0 ? WB_CAT_AS_READ : WB_CAT_MERGED;
	if (session->setup.ops->takes_offset)
		args->offset = offset;
	else if (offset && session->setup.ops->finite && strcmp(offset, "end") == 0)
		args->since_ns = wb_realtime_ns();
	return 0;
}

static int open_source(struct session *session, struct wb_error *ret_error)
{
	const struct wb_extcap_options *options = session->capture->options;
	struct wb_source_args args = {
		.follow = true,
		.give_up = true,
		.wait_ms = (unsigned int)options->wait_ms,
		.max_message_bytes = MAX_MESSAGE_BYTES,
	};
	int r = wb_extcap_url(session->capture->interface, options, &session->url, ret_error);

	if (r == 0)
		r = wb_source_setup_init(session->url, &session->setup, ret_error);
	if (r == 0)
		r = add_properties(session, ret_error);
	if (r == 0)
		r = place(session, &args, ret_error);
	session->since_ns = args.since_ns;
	return r < 0 ? r : wb_source_setup_open(&session->setup, &args, &session->source, ret_error);
}

/* What is missing is told, for Wireshark has no other place for it; the packets' blocks have their share of it. */
static void tell_losses(const struct session *session)
{
	const struct wb_streams *streams = &session->cat.streams;
	struct wb_stream **sorted = wb_streams_sorted(streams);
	struct wb_streams_total total = {0};

	if (sorted)
		wb_streams_sum(sorted, streams->count, &total);
	free(sorted);
	if (total.missing_packets || session->cat.damaged)
		fprintf(stderr,
			"wirebus: %" PRIu64 " packets are missing between the capture and here, %" PRIu64
			" messages were damaged\n",
			total.missing_packets, session->cat.damaged);
}

static int run(struct session *session)
{
	const struct wb_cat_args args = {
		.source_ops = session->setup.ops,
		.source = session->source,
		.sink_ops = &wb_sink_pcapng,
		.sink = session->sink,
		.out = &session->out,
		.stop = &session->stopper.stop,
		.filter = session->filter,
		.since_ns = session->since_ns,
		.order = session->order,
	};

	if (wb_cat_run(&session->cat, &args) < 0)
		return tell(WB_EXIT_FAILED, session->cat.error.message);
	tell_losses(session);
	return WB_EXIT_OK;
}

/* The FIFO first: it has to be opened and closed whatever else fails. */
static int capture(struct session *session)
{
	const char *fifo = session->capture->fifo;
	struct wb_error error = {""};
	int r = wb_extcap_fifo_open(fifo, &session->stopper.stop, &session->out);

	if (r == -ECANCELED)
		return WB_EXIT_OK;
	if (r == -EISNAM) {
		wb_fail(&error, r, "--fifo '%.200s' is a file: a FIFO is needed", fifo);
		return tell(WB_EXIT_USAGE, error.message);
	}
	if (r < 0) {
		wb_fail(&error, r, "cannot write to '%.200s': %s", fifo, strerror(-r));
		return tell(WB_EXIT_FAILED, error.message);
	}
	r = join_filters(session, &error);
	if (r == 0)
		r = open_source(session, &error);
	if (r == 0)
		r = wb_sink_pcapng.open(session->out.stream, &session->sink, &error);
	if (r == 0)
		return run(session);
	if (!error.message[0])
		wb_fail(&error, r, "%s", strerror(-r));
	return tell(r == -EINVAL ? WB_EXIT_USAGE : WB_EXIT_FAILED, error.message);
}

static void fini(struct session *session)
{
	if (session->source)
		session->setup.ops->close(session->source);
	if (session->sink)
		wb_sink_pcapng.close(session->sink);
	wb_output_close(&session->out);
	wb_source_setup_fini(&session->setup);
	wb_cat_fini(&session->cat);
	free(session->filter);
	free(session->url);
}

int wb_extcap_capture(const struct wb_extcap_capture *args)
{
	const struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct session session = {.capture = args};
	struct wb_error error;
	int code, r;

	wb_signals_ignore_pipe();
	/* ^C in tshark's terminal reaches this process too; tshark then sends SIGTERM, which would be the second one.
	 */
	sigaction(SIGINT, &ignore, NULL);
	wb_log_set_level(WB_LOG_WARNING);
	r = wb_stopper_init_child(&session.stopper, GRACE_S);
	if (r < 0) {
		wb_fail(&error, r, "cannot prepare for signals: %s", strerror(-r));
		wb_extcap_fifo_refuse(args->fifo, READER_WAIT_MS);
		return tell(WB_EXIT_FAILED, error.message);
	}
	wb_cat_init(&session.cat);
	code = capture(&session);
	fini(&session);
	wb_stopper_fini(&session.stopper);
	return code;
}

void wb_extcap_refuse(const char *fifo)
{
	wb_extcap_fifo_refuse(fifo, READER_WAIT_MS);
}
