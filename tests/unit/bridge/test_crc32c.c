/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C, computed by the processor and by table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "container.h"

/* RFC 3720, appendix B.4, and the usual check value. */
static void crc_has_the_known_values(void **state)
{
	static const uint8_t read_command[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0,
		0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0};
	uint8_t zeros[32] = {0}, ones[32], up[32], down[32];
	const struct {
		const void *data;
		size_t size;
		uint32_t crc;
	} known[] = {{zeros, 32, 0x8a9136aa}, {ones, 32, 0x62a8ab43}, {up, 32, 0x46dd794e}, {down, 32, 0x113fdb5c},
		{read_command, 48, 0xd9963a56}, {"123456789", 9, 0xe3069283}, {"", 0, 0}};

	for (int i = 0; i < 32; i++) {
		ones[i] = 0xff;
		up[i] = (uint8_t)i;
		down[i] = (uint8_t)(31 - i);
	}
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_int_equal(wb_crc32c(0, known[i].data, known[i].size), known[i].crc);
		assert_int_equal(wb_crc32c_portable(0, known[i].data, known[i].size), known[i].crc);
	}
}

/* Both ways agree for every length and alignment, and for a message in pieces. */
static void crc_does_not_depend_on_the_way(void **state)
{
	uint8_t data[400];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 167 + (i >> 3));
	for (size_t start = 0; start < 9; start++)
		for (size_t size = 0; size < 300; size++) {
			uint32_t whole = wb_crc32c(0, data + start, size);
			size_t part = size / 3;

			assert_int_equal(wb_crc32c_portable(0, data + start, size), whole);
			assert_int_equal(
				wb_crc32c(wb_crc32c(0, data + start, part), data + start + part, size - part), whole);
			assert_int_equal(
				wb_crc32c_portable(wb_crc32c(0, data + start, part), data + start + part, size - part),
				whole);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc_has_the_known_values),
		cmocka_unit_test(crc_does_not_depend_on_the_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
