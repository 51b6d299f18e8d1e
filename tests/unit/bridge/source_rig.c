/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "source_rig.h"

#define HEAD_BYTES 16

static uint8_t content(uint32_t worker, uint64_t sequence, size_t i)
{
	return (uint8_t)(worker * 89 + sequence * 13 + i * 7 + (i >> 8));
}

static void settle(struct wb_batch *batch, enum wb_result result, enum wb_cause cause)
{
	struct rig_batch *rig = (struct rig_batch *)batch;

	atomic_store(&rig->result, result);
	atomic_store(&rig->cause, cause);
	atomic_fetch_add(&rig->settled, 1);
}

void rig_batch_init(struct rig_batch *batch, uint32_t worker, uint64_t sequence, size_t size)
{
	uint8_t *data = malloc(size);

	assert_non_null(data);
	assert_true(size >= HEAD_BYTES);
	for (size_t i = 0; i < size; i++)
		data[i] = content(worker, sequence, i);
	/* As every message: not 0, which no field begins with. */
	data[0] = 0x0a;
	memcpy(data + 1, &sequence, 8);
	memcpy(data + 9, &worker, 4);
	memset(batch, 0, sizeof(*batch));
	for (size_t i = 0; i < sizeof(batch->session); i++)
		batch->session[i] = (uint8_t)(0x10 + i);
	batch->batch = (struct wb_batch){.data = data,
		.size = size,
		.packets = 1,
		.session_id = batch->session,
		.worker_id = worker,
		.stream_id = worker,
		.batch_seq = sequence,
		.settle = settle};
}

void rig_batch_fini(struct rig_batch *batch)
{
	free((void *)batch->batch.data);
}

uint64_t rig_check(const uint8_t *data, size_t size, uint32_t *ret_worker)
{
	uint64_t sequence;
	uint32_t worker;

	assert_true(size >= HEAD_BYTES);
	memcpy(&sequence, data + 1, 8);
	memcpy(&worker, data + 9, 4);
	for (size_t i = 13; i < size; i++)
		if (data[i] != content(worker, sequence, i))
			fail_msg("byte %zu of batch %llu differs", i, (unsigned long long)sequence);
	if (ret_worker)
		*ret_worker = worker;
	return sequence;
}

static void __attribute__((format(printf, 3, 4))) keep_log(void *context, int level, const char *format, ...)
{
	struct rig_bus *bus = context;
	va_list arguments;

	va_start(arguments, format);
	pthread_mutex_lock(&bus->lock);
	if (bus->log_count < 16)
		vsnprintf(bus->log[bus->log_count], sizeof(bus->log[0]), format, arguments);
	bus->log_count++;
	pthread_mutex_unlock(&bus->lock);
	va_end(arguments);
}

unsigned int rig_bus_logged(struct rig_bus *bus, const char *text)
{
	unsigned int count = 0;

	pthread_mutex_lock(&bus->lock);
	for (unsigned int i = 0; i < bus->log_count && i < 16; i++)
		count += strstr(bus->log[i], text) != NULL;
	pthread_mutex_unlock(&bus->lock);
	return count;
}

static unsigned int all_free(void *context)
{
	return 64;
}

void rig_bus_open(struct rig_bus *bus, const char *url, unsigned int lanes, unsigned int buffers)
{
	struct wb_transport_args args = {0};
	struct wb_error error = {""};

	memset(bus, 0, sizeof(*bus));
	pthread_mutex_init(&bus->lock, NULL);
	if (wb_transport_setup_init(url, NULL, 0, &bus->setup, &error) < 0)
		fail_msg("%s", error.message);
	wb_transport_setup_args(&bus->setup, &args);
	args.node = "test";
	args.lanes = lanes;
	args.buffers = lanes * buffers;
	args.max_batch_bytes = RIG_MAX_MESSAGE;
	args.log = keep_log;
	args.log_context = bus;
	if (bus->setup.ops->open(&args, &bus->transport, &error) < 0)
		fail_msg("%s", error.message);
	for (unsigned int i = 0; i < lanes; i++)
		assert_int_equal(bus->setup.ops->lane(bus->transport, all_free, NULL, buffers, &bus->lanes[i]), 0);
}

void rig_bus_close(struct rig_bus *bus)
{
	bus->setup.ops->close(bus->transport);
	wb_transport_setup_fini(&bus->setup);
	pthread_mutex_destroy(&bus->lock);
}

enum wb_result rig_bus_send(struct rig_bus *bus, struct rig_batch *batch)
{
	const struct wb_route route = {.partition = -1};

	assert_int_equal(bus->setup.ops->publish(bus->lanes[0], &batch->batch, &route), 0);
	assert_int_equal(bus->setup.ops->flush(bus->transport, 10000), 0);
	assert_int_equal(atomic_load(&batch->settled), 1);
	return (enum wb_result)atomic_load(&batch->result);
}

int rig_source_open(struct rig_source *source, const char *url, bool follow, unsigned int wait_ms)
{
	const struct wb_source_args args = {.follow = follow, .wait_ms = wait_ms, .max_message_bytes = RIG_MAX_MESSAGE};

	return rig_source_open_with(source, url, &args);
}

int rig_source_open_with(struct rig_source *source, const char *url, const struct wb_source_args *args)
{
	int r;

	memset(source, 0, sizeof(*source));
	r = wb_source_setup_init(url, &source->setup, &source->error);
	if (r < 0)
		return r;
	r = wb_source_setup_open(&source->setup, args, &source->source, &source->error);
	if (r < 0)
		source->source = NULL;
	return r;
}

int rig_source_next(struct rig_source *source, int timeout_ms)
{
	int64_t end = rig_now_ms() + timeout_ms;
	int r;

	source->error.message[0] = '\0';
	do {
		r = source->setup.ops->next(source->source, 50, &source->message, &source->error);
	} while (r == 0 && rig_now_ms() < end);
	if (r < 0 && r != -ENODATA)
		assert_true(source->error.message[0] != '\0');
	return r;
}

void rig_source_close(struct rig_source *source)
{
	if (source->setup.ops)
		source->setup.ops->close(source->source);
	wb_source_setup_fini(&source->setup);
}

static int saved_stderr = -1;
static FILE *log_file;

void rig_log_begin(void)
{
	fflush(stderr);
	log_file = tmpfile();
	assert_non_null(log_file);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(dup2(fileno(log_file), STDERR_FILENO) >= 0);
}

unsigned int rig_log_count(const char *text)
{
	static char content_of_log[65536];
	ssize_t length = pread(fileno(log_file), content_of_log, sizeof(content_of_log) - 1, 0);
	unsigned int count = 0;

	assert_true(length >= 0);
	content_of_log[length] = '\0';
	for (const char *at = content_of_log; (at = strstr(at, text)); at++)
		count++;
	return count;
}

void rig_log_end(void)
{
	fflush(stderr);
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	fclose(log_file);
}

int64_t rig_now_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

void rig_sleep_ms(int ms)
{
	poll(NULL, 0, ms);
}
