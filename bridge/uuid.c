/* SPDX-License-Identifier: Apache-2.0 */
#include "uuid.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

int wb_uuid7(uint8_t ret_uuid[16])
{
	struct timespec now;
	uint64_t ms;

	if (clock_gettime(CLOCK_REALTIME, &now) < 0)
		return -errno;
	if (getrandom(ret_uuid, 16, 0) != 16)
		return -EIO;
	ms = (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
	for (int i = 0; i < 6; i++)
		ret_uuid[i] = (uint8_t)(ms >> (40 - 8 * i));
	ret_uuid[6] = (uint8_t)(0x70 | (ret_uuid[6] & 0x0f));
	ret_uuid[8] = (uint8_t)(0x80 | (ret_uuid[8] & 0x3f));
	return 0;
}
