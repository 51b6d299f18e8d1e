/* SPDX-License-Identifier: Apache-2.0 */
/* Packets into a pcapng or pcap file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "output.h"
#include "replay_out.h"
#include "sink.h"

struct wb_out {
	struct wb_out_base base;
	char *path;
	struct wb_output output;
	uint64_t whole, whole_bytes; /* packets that are in the file, whatever comes */
	const struct wb_sink_ops *sink_ops;
	struct wb_sink *sink;
};

static int fail(struct wb_out *out, int code, struct wb_error *ret_error)
{
	return wb_fail(ret_error, code, "cannot write to %s: %s", out->output.name ? out->output.name : out->path,
		strerror(-code));
}

static int flush(struct wb_out *out)
{
	const struct wb_tally *tally = out->base.tally;
	int r = wb_output_flush(&out->output);

	if (r == 0) {
		out->whole = atomic_load(&tally->sent);
		out->whole_bytes = atomic_load(&tally->sent_bytes);
		wb_sink_keep(out->sink_ops, out->sink);
	}
	return r;
}

/* Cut what was not written whole: those packets are not in the file, and were not sent. */
static void repair(struct wb_out *out)
{
	struct wb_tally *tally = out->base.tally;

	if (!out->output.is_file)
		return;
	wb_output_cut(&out->output);
	wb_sink_cut(out->sink_ops, out->sink);
	wb_tally_add(&tally->unsent[WB_UNSENT_OTHER], atomic_load(&tally->sent) - out->whole);
	atomic_store(&tally->sent, out->whole);
	atomic_store(&tally->sent_bytes, out->whole_bytes);
}

static int file_put(struct wb_out *out, const struct wbproto_record *record, uint64_t due_ns)
{
	struct wb_tally *tally = out->base.tally;
	int r = out->sink_ops->packet(out->sink, record, 0);

	if (r == 0) {
		wb_tally_add(&tally->sent, 1);
		wb_tally_add(&tally->sent_bytes, record->packet.captured_length);
		if (wb_output_is_due(&out->output))
			r = flush(out);
	} else {
		wb_tally_add(&tally->unsent[WB_UNSENT_OTHER], 1);
	}
	if (r < 0) {
		repair(out);
		return fail(out, r, &out->base.error);
	}
	if (due_ns)
		wb_lateness_note(&tally->lateness, due_ns, wb_monotonic_ns());
	return 0;
}

static int file_finish(struct wb_out *out)
{
	int r = out->sink_ops->finish(out->sink), closed;

	if (r == 0)
		r = flush(out);
	if (r < 0) {
		repair(out);
		/* There is room now for what belongs at the end. */
		if (out->output.is_file)
			out->sink_ops->finish(out->sink);
	}
	closed = wb_output_close(&out->output);
	if (r == 0)
		r = closed;
	return r < 0 ? fail(out, r, &out->base.error) : 0;
}

static void file_close(struct wb_out *out)
{
	if (!out)
		return;
	if (out->sink)
		out->sink_ops->close(out->sink);
	wb_output_close(&out->output);
	free(out->path);
	free(out);
}

static const struct wb_out_ops file_ops = {
	.name = "file",
	.put = file_put,
	.finish = file_finish,
	.close = file_close,
};

static const struct wb_sink_ops *sink_for(const char *path)
{
	const char *dot = strrchr(path, '.');

	if (strcmp(path, "-") == 0 || (dot && strcmp(dot, ".pcapng") == 0))
		return &wb_sink_pcapng;
	return dot && strcmp(dot, ".pcap") == 0 ? &wb_sink_pcap : NULL;
}

bool wb_out_is_file(const char *to)
{
	return !strstr(to, "://") && sink_for(to);
}

int wb_out_file_open(const char *path, struct wb_tally *tally, const atomic_bool *stop, struct wb_out **ret_out,
	struct wb_error *ret_error)
{
	struct wb_out *out = calloc(1, sizeof(*out));
	int r = -ENOMEM;

	if (!out)
		return wb_fail(ret_error, r, "%s: out of memory", path);
	out->base = (struct wb_out_base){.ops = &file_ops, .tally = tally, .stop = stop};
	out->path = strdup(path);
	out->sink_ops = sink_for(path);
	if (out->path)
		r = wb_output_open(out->path, &out->output);
	if (r == 0)
		r = out->sink_ops->open(out->output.stream, &out->sink, ret_error);
	/* Whatever is cut later, it is a capture file. */
	if (r == 0 && out->output.is_file)
		r = flush(out);
	if (r < 0) {
		fail(out, r, ret_error);
		file_close(out);
		return r;
	}
	*ret_out = out;
	return 0;
}
