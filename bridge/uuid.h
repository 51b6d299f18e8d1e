/* SPDX-License-Identifier: Apache-2.0 */
/* Version 7 UUIDs: time-ordered identifiers (RFC 9562 section 5.7). */
#ifndef WB_UUID_H
#define WB_UUID_H

#include <stdint.h>

/* Make a UUIDv7 of the present time. Errors: -EIO when the kernel gives no random bytes; -errno of clock_gettime(2). */
int wb_uuid7(uint8_t ret_uuid[16]);

#endif
