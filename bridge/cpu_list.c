/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sched.h>
#include <stdbool.h>

#include "config.h"
#include "log.h"

static bool number(const char **at, unsigned int *ret_number)
{
	const char *c = *at;
	unsigned int n = 0;

	while (*c >= '0' && *c <= '9' && n < CPU_SETSIZE)
		n = n * 10 + (unsigned int)(*c++ - '0');
	if (c == *at || n >= CPU_SETSIZE)
		return false;
	*at = c;
	*ret_number = n;
	return true;
}

/* "3" or "3-5" */
static bool range(const char **at, unsigned int *ret_first, unsigned int *ret_last)
{
	if (!number(at, ret_first))
		return false;
	*ret_last = *ret_first;
	if (**at != '-')
		return true;
	(*at)++;
	return number(at, ret_last) && *ret_last >= *ret_first;
}

int wb_cpu_list(const char *text, unsigned int *cpus, size_t n, struct wb_error *ret_error)
{
	const char *at = text;
	unsigned int first, last;
	size_t used = 0;

	do {
		if (!range(&at, &first, &last) || (*at != ',' && *at != '\0'))
			return wb_fail(ret_error, -EINVAL,
				"cpus: '%.120s' is not a list of CPU numbers below %d (such as 0,2-3)", text,
				CPU_SETSIZE);
		for (; first <= last; first++) {
			if (used == n)
				return wb_fail(ret_error, -EINVAL, "cpus: '%.120s' lists more than %zu CPUs", text, n);
			cpus[used++] = first;
		}
	} while (*at++ == ',');
	return (int)used;
}
