/* SPDX-License-Identifier: Apache-2.0 */
/* Messages for people, on standard error: one line each, with time and level. Any thread may call. */
#ifndef WB_LOG_H
#define WB_LOG_H

#include "wirebus/transport.h" /* WB_LOG_* */

/* Write messages up to this level only; the default is WB_LOG_INFO. */
void wb_log_set_level(int level);
void wb_log(int level, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Signature of wb_transport_args.log; the context is not used. */
void wb_log_transport(void *context, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Fill an error object (NULL is allowed) and return code. */
int wb_fail(struct wb_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
