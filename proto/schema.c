/* SPDX-License-Identifier: Apache-2.0 */
/* Hands out the schema that was built in. */
#include "schema_data.h"
#include "wbproto.h"

#include <string.h>

const char *wbproto_schema_text(const char *file_name)
{
	if (strcmp(file_name, "packet_batch.proto") == 0)
		return (const char *)wbp_schema_batch_text;
	if (strcmp(file_name, "packet_record.proto") == 0)
		return (const char *)wbp_schema_record_text;
	return NULL;
}

const void *wbproto_schema_descriptor_set(size_t *ret_size)
{
	*ret_size = wbp_schema_descriptor_set_bytes;
	return wbp_schema_descriptor_set_data;
}
