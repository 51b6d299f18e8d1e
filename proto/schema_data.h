/* SPDX-License-Identifier: Apache-2.0 */
/* The schema files as arrays; the build makes the C file with their contents. */
#ifndef WBPROTO_SCHEMA_DATA_H
#define WBPROTO_SCHEMA_DATA_H

#include <stddef.h>

extern const unsigned char wbp_schema_batch_text[];
extern const unsigned char wbp_schema_record_text[];
extern const unsigned char wbp_schema_descriptor_set_data[];
extern const size_t wbp_schema_descriptor_set_bytes;

#endif
