/* SPDX-License-Identifier: Apache-2.0 */
/* Properties in a file, so that passwords are neither on a command line nor in a URL. */
#ifndef WB_PROPERTIES_FILE_H
#define WB_PROPERTIES_FILE_H

#include <stddef.h>

#include "wirebus/option.h"

#define WB_PROPERTIES_FILE_BYTES_MAX (64u << 10)

/*
 * Append the file's properties, a line NAME=VALUE each; empty lines and those that begin with '#' do not count, nor
 * does white space at both ends of the line and around the first '='. With a secret in it, others may not have access
 * to the file, nor its group write to it. Ownership: wb_properties_free(), also after an error. Errors: negative errno
 * with a message that names the file and the line, never a value.
 */
int wb_properties_file_read(
	const char *path, struct wb_property **properties, size_t *count, struct wb_error *ret_error);

#endif
