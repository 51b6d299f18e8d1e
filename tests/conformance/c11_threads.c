/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For ThreadSanitizer only: glibc's C11 threads, made from POSIX threads.
 *
 * librdkafka starts its threads with thrd_create(), which ThreadSanitizer (gcc 12, clang 14) does not know: the first
 * call that it intercepts in such a thread crashes. And it does not see what mtx_lock() orders. The functions here take
 * the place of glibc's and call those that it knows. glibc's own do the same: mtx_t is a pthread_mutex_t, and so on.
 */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_THREAD_SANITIZER 1
#endif
#elif defined(__SANITIZE_THREAD__)
#define WITH_THREAD_SANITIZER 1
#endif

#ifdef WITH_THREAD_SANITIZER
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t), "mtx_t is a pthread_mutex_t");
_Static_assert(sizeof(cnd_t) == sizeof(pthread_cond_t), "cnd_t is a pthread_cond_t");
_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "thrd_t is a pthread_t");

/*
 * Of ThreadSanitizer. librdkafka makes its mutexes under locks of another kind that go unseen, so that using one looks
 * like a race with its making: what is read and written while the library uses a mutex is left out, what it orders is
 * not.
 */
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

static void ignore_begin(void)
{
	AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
	AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

/* Returns the C11 result for a POSIX one. */
static int ignore_end(int error)
{
	AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
	AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
	if (error == ETIMEDOUT)
		return thrd_timedout;
	return error == 0 ? thrd_success : thrd_error;
}

struct start {
	thrd_start_t function;
	void *argument;
};

static void *begin(void *argument)
{
	const struct start start = *(struct start *)argument;

	free(argument);
	return (void *)(intptr_t)start.function(start.argument);
}

int thrd_create(thrd_t *ret_thread, thrd_start_t function, void *argument)
{
	struct start *start = malloc(sizeof(*start));

	if (!start)
		return thrd_nomem;
	start->function = function;
	start->argument = argument;
	if (pthread_create(ret_thread, NULL, begin, start) == 0)
		return thrd_success;
	free(start);
	return thrd_error;
}

int thrd_join(thrd_t thread, int *ret_result)
{
	void *result;

	if (pthread_join(thread, &result) != 0)
		return thrd_error;
	if (ret_result)
		*ret_result = (int)(intptr_t)result;
	return thrd_success;
}

int mtx_init(mtx_t *mutex, int type)
{
	pthread_mutexattr_t attributes;
	int r;

	ignore_begin();
	pthread_mutexattr_init(&attributes);
	if (type & mtx_recursive)
		pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
	r = pthread_mutex_init((pthread_mutex_t *)mutex, &attributes);
	pthread_mutexattr_destroy(&attributes);
	return ignore_end(r);
}

void mtx_destroy(mtx_t *mutex)
{
	ignore_begin();
	ignore_end(pthread_mutex_destroy((pthread_mutex_t *)mutex));
}

int mtx_lock(mtx_t *mutex)
{
	ignore_begin();
	return ignore_end(pthread_mutex_lock((pthread_mutex_t *)mutex));
}

int mtx_unlock(mtx_t *mutex)
{
	ignore_begin();
	return ignore_end(pthread_mutex_unlock((pthread_mutex_t *)mutex));
}

int cnd_init(cnd_t *condition)
{
	ignore_begin();
	return ignore_end(pthread_cond_init((pthread_cond_t *)condition, NULL));
}

void cnd_destroy(cnd_t *condition)
{
	ignore_begin();
	ignore_end(pthread_cond_destroy((pthread_cond_t *)condition));
}

int cnd_signal(cnd_t *condition)
{
	ignore_begin();
	return ignore_end(pthread_cond_signal((pthread_cond_t *)condition));
}

int cnd_broadcast(cnd_t *condition)
{
	ignore_begin();
	return ignore_end(pthread_cond_broadcast((pthread_cond_t *)condition));
}

int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
	ignore_begin();
	return ignore_end(pthread_cond_wait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex));
}

int cnd_timedwait(cnd_t *condition, mtx_t *mutex, const struct timespec *until)
{
	ignore_begin();
	return ignore_end(pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until));
}
#else
typedef int wb_c11_threads_not_needed; /* a file must declare something */
#endif
