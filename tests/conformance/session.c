/* SPDX-License-Identifier: Apache-2.0 */
/* A transport opened for one case, its lanes and its peer. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "conformance.h"
#include "option.h"
#include "url.h"

#define PUBLISH_LIMIT_MS 50
#define CLOSE_LIMIT_MS 15000
#define REACH_LIMIT_MS 60000 /* a reader may have to be started first */

static void log_line(void *context, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void log_line(void *context, int level, const char *format, ...)
{
	char text[512];
	va_list arguments;

	(void)context;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (getenv("WIREBUS_TEST_VERBOSE"))
		printf("  log %d: %s\n", level, text);
}

static void free_options(struct conf_session *session)
{
	size_t i;

	if (session->options && session->row->ops->rows)
		wb_options_fini(session->row->ops->rows, session->options);
	free(session->options);
	session->options = NULL;
	for (i = 0; i < session->property_count; i++) {
		free((void *)session->properties[i].key);
		free((void *)session->properties[i].value);
	}
	free(session->properties);
	session->properties = NULL;
	session->property_count = 0;
}

/* session->row is set. What args points to lives in bus.url and until free_options(). */
int conf_session_parse(struct conf_session *session, const char *text, struct wb_error *ret_error)
{
	const struct wb_transport_ops *ops = session->row->ops;
	static const struct wb_option_row no_rows[] = {{.key = NULL}};
	const struct wb_option_row *rows = ops->rows ? ops->rows : no_rows;
	struct wb_url url;
	int r;

	free_options(session);
	r = wb_url_parse(text, &url, ret_error);
	if (r < 0)
		return r;
	session->options = calloc(1, ops->options_size ? ops->options_size : 1);
	r = session->options ? wb_options_init(rows, session->options) : -ENOMEM;
	if (r == 0)
		r = wb_url_options(
			&url, rows, session->options, &session->properties, &session->property_count, ret_error);
	free((void *)session->args.address);
	session->args.address = strdup(url.address);
	session->args.url = text;
	session->args.scheme = session->row->scheme;
	session->args.options = session->options;
	session->args.properties = session->properties;
	session->args.property_count = session->property_count;
	session->args.node = CONF_NODE;
	session->args.lanes = CONF_LANES;
	session->args.log = log_line;
	if (r == 0)
		r = ops->check(&session->args, &session->max_batch_bytes, ret_error);
	wb_url_fini(&url);
	return r;
}

static bool open_lanes(struct conf_session *session, const struct conf_setup *setup)
{
	unsigned int i;
	int r;

	for (i = 0; i < CONF_LANES; i++) {
		if (conf_pool_init(&session->pools[i], setup->buffers, setup->capacity) < 0)
			abort();
		r = session->row->ops->lane(session->transport, conf_pool_free_buffers, &session->pools[i],
			setup->told ? setup->told : setup->buffers, &session->lanes[i]);
		if (r < 0) {
			conf_fail("lane() returned %d", r);
			return false;
		}
	}
	return true;
}

static void append_query(char *url, size_t size, const char *query)
{
	const size_t length = strlen(url);

	if (query)
		snprintf(url + length, size - length, "%c%s", strchr(url, '?') ? '&' : '?', query);
}

bool conf_session_open(struct conf_session *session, const struct conf_row *row, const struct conf_setup *setup)
{
	struct wb_error error = {""};
	int r;

	memset(session, 0, sizeof(*session));
	session->row = row;
	conf_new_session();
	r = row->bus_open(&session->bus, row);
	if (r != 0) {
		conf_fail("the bus could not be opened");
		return false;
	}
	if (setup->url)
		snprintf(session->bus.url, sizeof(session->bus.url), "%s", setup->url);
	append_query(session->bus.url, sizeof(session->bus.url), setup->query);
	session->args.buffers = (setup->told ? setup->told : setup->buffers) * CONF_LANES;
	r = conf_session_parse(session, session->bus.url, &error);
	if (r < 0) {
		conf_fail("%s was refused: %s", session->bus.url, error.message);
		return false;
	}
	session->args.max_batch_bytes = setup->max_batch_bytes;
	session->args.records = setup->records;
	r = row->ops->open(&session->args, &session->transport, &error);
	if (r < 0) {
		session->transport = NULL;
		conf_fail("open() of %s returned %d: %s", session->bus.url, r, error.message);
		return false;
	}
	return open_lanes(session, setup);
}

/* What a call begins with. */
struct begun {
	struct timespec wall, cpu;
	int64_t ready_ns;
	long switches;
};

/* For how long this thread was ready while others had the CPU; 0 where the kernel does not tell. */
static int64_t ready_ns(void)
{
	char text[96] = "";
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	const char *second;
	ssize_t length;

	if (fd < 0)
		return 0;
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	second = length > 0 ? strchr(text, ' ') : NULL;
	return second ? strtoll(second, NULL, 10) : 0;
}

static void begin_call(struct begun *begun)
{
	struct rusage usage;

	begun->ready_ns = ready_ns();
	getrusage(RUSAGE_THREAD, &usage);
	begun->switches = usage.ru_nvcsw;
	clock_gettime(CLOCK_MONOTONIC, &begun->wall);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begun->cpu);
}

static int64_t since_ms(clockid_t clock, const struct timespec *then)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)(now.tv_sec - then->tv_sec) * 1000 + (now.tv_nsec - then->tv_nsec) / 1000000;
}

/* A call that slept, or computed, for longer than it may. Time in which others had the CPU does not count. */
static void check_call(const struct begun *begun)
{
	const int64_t wall_ms = since_ms(CLOCK_MONOTONIC, &begun->wall);
	struct rusage usage;
	int64_t cpu_ms, asleep_ms;

	if (wall_ms < PUBLISH_LIMIT_MS)
		return;
	cpu_ms = since_ms(CLOCK_THREAD_CPUTIME_ID, &begun->cpu);
	getrusage(RUSAGE_THREAD, &usage);
	asleep_ms = usage.ru_nvcsw == begun->switches ? 0 : wall_ms - cpu_ms - (ready_ns() - begun->ready_ns) / 1000000;
	if (asleep_ms >= PUBLISH_LIMIT_MS || cpu_ms >= PUBLISH_LIMIT_MS)
		conf_fail("publish() blocked for %" PRId64 " ms: %" PRId64 " asleep, %" PRId64 " of CPU", wall_ms,
			asleep_ms, cpu_ms);
}

int conf_session_publish(struct conf_session *session, unsigned int lane, struct conf_batch *batch)
{
	const struct wb_route route = {.key = &lane, .key_size = sizeof(lane), .partition = -1};
	struct begun begun;
	int state = CONF_HELD;
	int r;

	atomic_store(&batch->state, CONF_HELD);
	atomic_fetch_add(&batch->pool->held, 1);
	atomic_fetch_add(&batch->pool->published, 1);
	begin_call(&begun);
	r = session->row->ops->publish(session->lanes[lane], &batch->batch, &route);
	if (r == -EAGAIN)
		atomic_fetch_add(&session->again, 1);
	check_call(&begun);
	if (r == 0)
		return 0;
	if (atomic_compare_exchange_strong(&batch->state, &state, CONF_REFUSED)) {
		atomic_fetch_sub(&batch->pool->held, 1);
		atomic_fetch_sub(&batch->pool->published, 1);
	} else {
		conf_fail("batch %" PRIu64 ": settled although refused with %d", batch->seq, r);
	}
	return r;
}

int conf_session_publish_wait(struct conf_session *session, unsigned int lane, struct conf_batch *batch, int timeout_ms)
{
	const int64_t end = conf_now_ms() + timeout_ms;
	int r;

	for (;;) {
		r = conf_session_publish(session, lane, batch);
		if (r != -EAGAIN || conf_now_ms() >= end)
			return r;
		conf_pause_ms(1);
	}
}

/* Tiny ones, which libraries keep in the message itself; middling; above Kafka's limit for copying. */
static size_t size_of(uint64_t seq, size_t capacity)
{
	static const size_t sizes[] = {CONF_MIN_SIZE, 1000, 33, 4096, 7777, 70000, 12345, 200};
	const size_t size = sizes[seq % (sizeof(sizes) / sizeof(sizes[0]))];

	return size < capacity ? size : capacity;
}

static size_t largest(const struct conf_session *session, const struct conf_batch *batch)
{
	return batch->capacity < session->max_batch_bytes ? batch->capacity : session->max_batch_bytes;
}

bool conf_session_publish_range(struct conf_session *session, unsigned int lane, unsigned int first, unsigned int last)
{
	struct conf_batch *batch;
	unsigned int i;
	int r;

	for (i = first; i < last; i++) {
		batch = &session->pools[lane].batches[i];
		conf_fill(batch, lane, i, size_of(i, largest(session, batch)));
		r = conf_session_publish_wait(session, lane, batch, 10000);
		if (r != 0) {
			conf_fail("publish() of batch %u returned %d", i, r);
			return false;
		}
	}
	return true;
}

bool conf_session_reach(struct conf_session *session, void *peer)
{
	const int64_t end = conf_now_ms() + REACH_LIMIT_MS;
	struct conf_batch *batch;
	const void *data;
	uint64_t seq, n = 0;
	uint32_t lane;
	size_t size;

	while (conf_now_ms() < end) {
		batch = conf_pool_take(&session->pools[0]);
		if (batch) {
			conf_fill(batch, CONF_SYNC_LANE, n++, CONF_MIN_SIZE);
			conf_session_publish(session, 0, batch);
		}
		if (session->row->peer->receive(peer, 20, &data, &size) == 1) {
			CONF_CHECK(conf_verify(data, size, &lane, &seq), "the first message is not whole");
			return true;
		}
	}
	conf_fail("nothing reached the peer");
	return false;
}

bool conf_session_connect(struct conf_session *session)
{
	session->peer = session->row->peer->open(&session->bus, false);
	if (!session->peer) {
		conf_fail("the peer could not be opened");
		return false;
	}
	return !(session->row->flags & (CONF_LOSSY | CONF_REFUSES_ALONE)) || conf_session_reach(session, session->peer);
}

static void receive_one(
	struct conf_session *session, const void *data, size_t size, uint64_t *next, unsigned int *count)
{
	struct conf_batch *batch;
	uint32_t lane;
	uint64_t seq;

	if (!conf_verify(data, size, &lane, &seq)) {
		conf_fail("a message of %zu bytes is not what was published", size);
		(*count)++;
		return;
	}
	if (lane == CONF_SYNC_LANE)
		return;
	(*count)++;
	if (lane >= CONF_LANES || seq >= session->pools[lane].count) {
		conf_fail("lane %" PRIu32 " batch %" PRIu64 " was never published", lane, seq);
		return;
	}
	batch = &session->pools[lane].batches[seq];
	CONF_CHECK(
		!atomic_exchange(&batch->arrived, true), "lane %" PRIu32 " batch %" PRIu64 " arrived twice", lane, seq);
	CONF_CHECK(seq >= next[lane], "lane %" PRIu32 " batch %" PRIu64 " is out of order", lane, seq);
	next[lane] = seq + 1;
}

void conf_session_receive(struct conf_session *session, unsigned int expected, int timeout_ms)
{
	uint64_t next[CONF_LANES] = {0};
	int64_t end = conf_now_ms() + timeout_ms;
	unsigned int count = 0;
	const void *data;
	size_t size;

	while (count < expected && conf_now_ms() < end) {
		if (session->row->peer->receive(session->peer, 50, &data, &size) != 1)
			continue;
		receive_one(session, data, size, next, &count);
		end = conf_now_ms() + timeout_ms;
	}
	/* And nothing more. */
	while (session->row->peer->receive(session->peer, 50, &data, &size) == 1)
		receive_one(session, data, size, next, &count);
	CONF_CHECK(count == expected, "%u messages arrived of %u", count, expected);
}

unsigned int conf_session_settled(struct conf_session *session, enum wb_result result)
{
	unsigned int i, count = 0;

	for (i = 0; i < CONF_LANES; i++)
		count += (unsigned int)atomic_load(&session->pools[i].results[result]);
	return count;
}

uint64_t conf_session_held(struct conf_session *session)
{
	uint64_t held = 0;
	unsigned int i;

	for (i = 0; i < CONF_LANES; i++)
		held += atomic_load(&session->pools[i].held);
	return held;
}

void conf_session_close_transport(struct conf_session *session)
{
	const int64_t begin = conf_now_ms();
	unsigned int i;

	if (!session->transport)
		return;
	session->row->ops->close(session->transport);
	session->transport = NULL;
	CONF_CHECK(conf_now_ms() - begin < CLOSE_LIMIT_MS, "close() took %" PRId64 " ms", conf_now_ms() - begin);
	for (i = 0; i < CONF_LANES; i++)
		conf_pool_check_settled(&session->pools[i]);
}

void conf_session_close(struct conf_session *session)
{
	unsigned int i;

	conf_session_close_transport(session);
	if (session->peer)
		session->row->peer->close(session->peer);
	if (session->row->bus_close)
		session->row->bus_close(&session->bus);
	for (i = 0; i < CONF_LANES; i++)
		conf_pool_fini(&session->pools[i]);
	free_options(session);
	free((void *)session->args.address);
	session->args.address = NULL;
}
