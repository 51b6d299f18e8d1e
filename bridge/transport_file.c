/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches into files of a directory: one thread writes what the lanes queue, each lane into a file of its own
 * (container.h). A file is named <session id>-<worker id>-<segment>.wbs and is never opened again once it was closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "batch_queue.h"
#include "log.h"
#include "registry.h"
#include "segment.h"

/* After a failure the disk is taken to work again when so much time passed without another. */
#define QUIET_SECONDS 10

enum file_fsync { FILE_FSYNC_NONE, FILE_FSYNC_SEGMENT };

struct file_options {
	uint64_t segment_bytes;
	unsigned int fsync;
};

static const struct wb_option_row file_rows[] = {
	{.key = "segment_bytes",
		.type = WB_OPTION_BYTES,
		.offset = offsetof(struct file_options, segment_bytes),
		.default_value = "256MiB",
		.min = 4096,
		.help = "Begin another file when this one would grow beyond so much"},
	{.key = "fsync",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct file_options, fsync),
		.default_value = "none",
		.choices = "none|segment",
		.help = "When to wait for the disk: never, or each time that a file is complete"},
	{.key = NULL},
};

struct wb_lane {
	struct wb_batch_queue queue;
	struct wb_transport *transport;
	struct wb_lane *next;
	_Atomic uint64_t published, again; /* written by the worker */

	struct wb_segments segments; /* the writer's */
};

struct wb_transport {
	char *url;
	int directory;
	uint64_t segment_bytes;
	bool fsync_segments;
	unsigned int buffers;
	void (*log)(void *log_context, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
	void *log_context;

	_Atomic(struct wb_lane *) lanes; /* only ever grows */
	pthread_t writer;
	int wake; /* eventfd; written only by who turns `awake` on */
	_Atomic bool awake, stop;
	pthread_mutex_t lock;
	pthread_cond_t settled_some;
	_Atomic uint64_t settled, bytes; /* written by the writer */
	_Atomic bool broken;

	/* The writer's: about the last failure */
	size_t failed_size; /* of its batch */
	time_t failed_at;
	uint64_t failed_batches; /* since it was told */
};

static time_t now_seconds(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec;
}

/* Tell once that batches are lost, whatever number follows. */
static void note_failure(struct wb_transport *transport, const struct wb_lane *lane, size_t size, int code)
{
	transport->failed_at = now_seconds();
	transport->failed_size = size;
	transport->failed_batches++;
	if (atomic_exchange(&transport->broken, true))
		return;
	transport->log(transport->log_context, WB_LOG_ERROR,
		"%s: cannot write %s: %s; batches are lost and counted until it works again", transport->url,
		lane->segments.name, strerror(-code));
}

/* On a disk that is almost full small batches still fit between large ones that do not: this is not "works again". */
static void note_success(struct wb_transport *transport, size_t size)
{
	if (!atomic_load_explicit(&transport->broken, memory_order_relaxed))
		return;
	if (size < transport->failed_size && now_seconds() - transport->failed_at < QUIET_SECONDS)
		return;
	atomic_store(&transport->broken, false);
	transport->log(transport->log_context, WB_LOG_WARNING, "%s: writing works again; %" PRIu64 " batches were lost",
		transport->url, transport->failed_batches);
	transport->failed_batches = 0;
}

static void note_sync(struct wb_lane *lane)
{
	struct wb_transport *transport = lane->transport;

	if (lane->segments.sync_error == 0)
		return;
	transport->log(transport->log_context, WB_LOG_ERROR,
		"%s: fsync: %s; what was written may not survive a power loss", transport->url,
		strerror(-lane->segments.sync_error));
	lane->segments.sync_error = 0;
}

static void write_batch(struct wb_lane *lane, struct wb_batch *batch)
{
	struct wb_transport *transport = lane->transport;
	size_t size = batch->size;
	int r;

	r = wb_segments_append(&lane->segments, batch);
	note_sync(lane);
	if (r < 0)
		note_failure(transport, lane, size, r);
	else
		note_success(transport, size);
	batch->settle(batch, r < 0 ? WB_RESULT_FAILED : WB_RESULT_DELIVERED, r < 0 ? WB_CAUSE_IO : WB_CAUSE_NONE);
	if (r == 0)
		atomic_fetch_add_explicit(&transport->bytes, size, memory_order_relaxed);
	atomic_fetch_add_explicit(&transport->settled, 1, memory_order_release);
}

/* One batch of each lane in turn, until there is none. */
static void drain(struct wb_transport *transport)
{
	bool any = true;

	while (any && !atomic_load_explicit(&transport->stop, memory_order_relaxed)) {
		any = false;
		for (struct wb_lane *lane = atomic_load(&transport->lanes); lane; lane = lane->next) {
			struct wb_batch *batch = wb_batch_queue_pop(&lane->queue);

			if (!batch)
				continue;
			write_batch(lane, batch);
			any = true;
		}
	}
	pthread_mutex_lock(&transport->lock);
	pthread_cond_broadcast(&transport->settled_some);
	pthread_mutex_unlock(&transport->lock);
}

static void *write_files(void *argument)
{
	struct wb_transport *transport = argument;
	uint64_t count;

	while (!atomic_load(&transport->stop)) {
		if (read(transport->wake, &count, sizeof(count)) < 0 && errno != EINTR)
			break;
		/* First this, then the queues: a batch queued after we looked finds it off and wakes us again. */
		atomic_store(&transport->awake, false);
		drain(transport);
	}
	return NULL;
}

static void wake_writer(struct wb_transport *transport)
{
	uint64_t one = 1;

	if (atomic_exchange(&transport->awake, true))
		return;
	/* Cannot fail: the counter is far from its limit. */
	(void)!write(transport->wake, &one, sizeof(one));
}

static int file_check(const struct wb_transport_args *args, size_t *ret_max_batch_bytes, struct wb_error *ret_error)
{
	const char *path = args->address;

	if (!path || (path[0] != '/' && strncmp(path, "./", 2) != 0 && strncmp(path, "../", 3) != 0))
		return wb_fail(ret_error, -EINVAL,
			"%s: \"%s\" is not a path: write file:///directory (three slashes), or ./directory", args->url,
			path ? path : "");
	*ret_max_batch_bytes = WB_SEGMENT_MAX_BATCH_BYTES;
	return 0;
}

/* Errors of the directory come to light now rather than with the first batch. */
static int open_directory(const char *url, const char *path, int *ret_fd, struct wb_error *ret_error)
{
	int fd, r;

	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return wb_fail(ret_error, -errno, "%s: cannot create the directory %s: %s", url, path, strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return wb_fail(ret_error, -errno, "%s: cannot open the directory %s: %s", url, path, strerror(errno));
	if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0) {
		r = -errno;
		close(fd);
		return wb_fail(ret_error, r, "%s: cannot write to the directory %s: %s", url, path, strerror(-r));
	}
	*ret_fd = fd;
	return 0;
}

/* All signals stay blocked in the writer: SIGTERM is for the main thread, and SIGXFSZ would kill instead of EFBIG. */
static int start_writer(struct wb_transport *transport)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(&transport->writer, NULL, write_files, transport);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}

static void init_lock(struct wb_transport *transport)
{
	pthread_condattr_t monotonic;

	pthread_mutex_init(&transport->lock, NULL);
	pthread_condattr_init(&monotonic);
	pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
	pthread_cond_init(&transport->settled_some, &monotonic);
	pthread_condattr_destroy(&monotonic);
}

static int file_open(
	const struct wb_transport_args *args, struct wb_transport **ret_transport, struct wb_error *ret_error)
{
	const struct file_options *options = args->options;
	struct wb_transport *transport;
	size_t max_batch_bytes;
	int r;

	r = file_check(args, &max_batch_bytes, ret_error);
	if (r < 0)
		return r;
	transport = calloc(1, sizeof(*transport));
	if (!transport)
		return wb_fail(ret_error, -ENOMEM, "%s: out of memory", args->url);
	transport->segment_bytes = options->segment_bytes;
	transport->fsync_segments = options->fsync == FILE_FSYNC_SEGMENT;
	transport->buffers = args->buffers;
	transport->log = args->log;
	transport->log_context = args->log_context;
	transport->url = strdup(args->url);
	if (!transport->url) {
		r = wb_fail(ret_error, -ENOMEM, "%s: out of memory", args->url);
		goto fail;
	}
	r = open_directory(args->url, args->address, &transport->directory, ret_error);
	if (r < 0)
		goto fail_url;
	transport->wake = eventfd(0, EFD_CLOEXEC);
	if (transport->wake < 0) {
		r = wb_fail(ret_error, -errno, "%s: eventfd: %s", args->url, strerror(errno));
		goto fail_directory;
	}
	init_lock(transport);
	r = start_writer(transport);
	if (r < 0) {
		wb_fail(ret_error, r, "%s: cannot start a thread: %s", args->url, strerror(-r));
		goto fail_lock;
	}
	*ret_transport = transport;
	return 0;
fail_lock:
	pthread_cond_destroy(&transport->settled_some);
	pthread_mutex_destroy(&transport->lock);
	close(transport->wake);
fail_directory:
	close(transport->directory);
fail_url:
	free(transport->url);
fail:
	free(transport);
	return r;
}

static int file_lane(struct wb_transport *transport, unsigned int (*free_buffers)(void *context), void *context,
	unsigned int total_buffers, struct wb_lane **ret_lane)
{
	unsigned int capacity = total_buffers > 0 ? total_buffers : transport->buffers;
	struct wb_lane *lane;
	int r;

	lane = aligned_alloc(alignof(struct wb_lane), sizeof(*lane));
	if (!lane)
		return -ENOMEM;
	memset(lane, 0, sizeof(*lane));
	r = wb_batch_queue_init(&lane->queue, capacity > 0 ? capacity : 1);
	if (r < 0) {
		free(lane);
		return r;
	}
	lane->transport = transport;
	wb_segments_init(&lane->segments, transport->directory, transport->segment_bytes, transport->fsync_segments);
	lane->next = atomic_load(&transport->lanes);
	atomic_store(&transport->lanes, lane);
	*ret_lane = lane;
	return 0;
}

static int file_publish(struct wb_lane *lane, struct wb_batch *batch, const struct wb_route *route)
{
	if (batch->size > WB_SEGMENT_MAX_BATCH_BYTES)
		return -EMSGSIZE;
	if (wb_batch_queue_is_full(&lane->queue)) {
		atomic_fetch_add_explicit(&lane->again, 1, memory_order_relaxed);
		return -EAGAIN;
	}
	/* First counted: nobody sees more batches settled than published. */
	atomic_fetch_add_explicit(&lane->published, 1, memory_order_relaxed);
	wb_batch_queue_push(&lane->queue, batch);
	wake_writer(lane->transport);
	return 0;
}

static void file_stats(struct wb_transport *transport, struct wb_transport_stats *ret_stats)
{
	*ret_stats = (struct wb_transport_stats){
		.connected = !atomic_load_explicit(&transport->broken, memory_order_relaxed),
		.settled = atomic_load_explicit(&transport->settled, memory_order_acquire),
		.bytes = atomic_load_explicit(&transport->bytes, memory_order_relaxed),
	};
	for (struct wb_lane *lane = atomic_load(&transport->lanes); lane; lane = lane->next) {
		ret_stats->published += atomic_load_explicit(&lane->published, memory_order_relaxed);
		ret_stats->again += atomic_load_explicit(&lane->again, memory_order_relaxed);
	}
}

static bool is_all_settled(struct wb_transport *transport)
{
	struct wb_transport_stats stats;

	file_stats(transport, &stats);
	return stats.settled >= stats.published;
}

static int file_flush(struct wb_transport *transport, int timeout_ms)
{
	struct timespec deadline;
	int64_t ms = timeout_ms > 0 ? timeout_ms : 0;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &deadline);
	deadline.tv_nsec += ms % 1000 * 1000000;
	deadline.tv_sec += ms / 1000 + deadline.tv_nsec / 1000000000;
	deadline.tv_nsec %= 1000000000;
	pthread_mutex_lock(&transport->lock);
	while (!is_all_settled(transport) && r == 0)
		r = pthread_cond_timedwait(&transport->settled_some, &transport->lock, &deadline);
	pthread_mutex_unlock(&transport->lock);
	return is_all_settled(transport) ? 0 : -ETIMEDOUT;
}

static void free_lane(struct wb_lane *lane)
{
	struct wb_batch *batch;

	while ((batch = wb_batch_queue_pop(&lane->queue)))
		batch->settle(batch, WB_RESULT_FAILED, WB_CAUSE_SHUTDOWN);
	wb_segments_close(&lane->segments);
	note_sync(lane);
	wb_batch_queue_fini(&lane->queue);
	free(lane);
}

static void file_close(struct wb_transport *transport)
{
	struct wb_lane *lane, *next;

	if (!transport)
		return;
	atomic_store(&transport->stop, true);
	wake_writer(transport);
	pthread_join(transport->writer, NULL);
	for (lane = atomic_load(&transport->lanes); lane; lane = next) {
		next = lane->next;
		free_lane(lane);
	}
	pthread_cond_destroy(&transport->settled_some);
	pthread_mutex_destroy(&transport->lock);
	close(transport->wake);
	close(transport->directory);
	free(transport->url);
	free(transport);
}

static const char *const file_schemes[] = {"file", NULL};

const struct wb_transport_ops wb_transport_file = {
	.abi = WB_TRANSPORT_ABI,
	.name = "file",
	.schemes = file_schemes,
	.capabilities = WB_TRANSPORT_ORDERED | WB_TRANSPORT_ACKNOWLEDGES | WB_TRANSPORT_RECORDS,
	.rows = file_rows,
	.options_size = sizeof(struct file_options),
	.check = file_check,
	.open = file_open,
	.lane = file_lane,
	.publish = file_publish,
	.flush = file_flush,
	.stats = file_stats,
	.close = file_close,
};
