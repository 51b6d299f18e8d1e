/* SPDX-License-Identifier: Apache-2.0 */
#include "internal.h"

#include <stdarg.h>
#include <stdio.h>

int tpk_refuse(struct tpacket_error *ret_error, const char *format, ...)
{
	if (!ret_error)
		return -EINVAL;
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(ret_error->message, sizeof(ret_error->message), format, arguments);
	va_end(arguments);
	return -EINVAL;
}

int tpk_error(struct tpacket_error *ret_error, int error, const char *format, ...)
{
	if (!ret_error)
		return error;
	va_list arguments;
	va_start(arguments, format);
	int length = vsnprintf(ret_error->message, sizeof(ret_error->message), format, arguments);
	va_end(arguments);
	if (length < 0 || (size_t)length >= sizeof(ret_error->message))
		return error;
	/* %m instead of strerror(), which is not thread-safe everywhere. */
	int saved = errno;
	errno = -error;
	snprintf(ret_error->message + length, sizeof(ret_error->message) - (size_t)length, ": %m");
	errno = saved;
	return error;
}
