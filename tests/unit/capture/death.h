/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_DEATH_H
#define TEST_DEATH_H

#include "cmocka_all.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Run something that must end the process by a signal or by AddressSanitizer. It does not use cmocka's assertions. */
static inline void assert_dies(void (*action)(void *), void *argument)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		close(2);
		action(argument);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#endif
