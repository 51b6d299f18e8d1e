/* SPDX-License-Identifier: Apache-2.0 */
/* Notes what is wrong. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "conformance.h"

#define KEPT 64

static struct {
	pthread_mutex_t lock;
	const char *current;
	unsigned int count;
	char kept[KEPT][256];
} report = {.lock = PTHREAD_MUTEX_INITIALIZER, .current = "start"};

void conf_set_case(const char *name)
{
	pthread_mutex_lock(&report.lock);
	report.current = name;
	pthread_mutex_unlock(&report.lock);
}

void conf_fail(const char *format, ...)
{
	va_list arguments;
	char text[256];

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	pthread_mutex_lock(&report.lock);
	if (report.count < KEPT) {
		memcpy(report.kept[report.count], text, sizeof(text));
		printf("  FAIL %s: %s\n", report.current, text);
	}
	report.count++;
	pthread_mutex_unlock(&report.lock);
}

unsigned int conf_failures(void)
{
	unsigned int count;

	pthread_mutex_lock(&report.lock);
	count = report.count;
	pthread_mutex_unlock(&report.lock);
	return count;
}

bool conf_failed_with(const char *text)
{
	bool found = false;
	unsigned int i;

	pthread_mutex_lock(&report.lock);
	for (i = 0; i < report.count && i < KEPT; i++)
		found = found || strstr(report.kept[i], text);
	pthread_mutex_unlock(&report.lock);
	return found;
}

int64_t conf_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void conf_pause_ms(int ms)
{
	struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&left, &left) < 0 && errno == EINTR)
		;
}
