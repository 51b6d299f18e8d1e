/* SPDX-License-Identifier: Apache-2.0 */
/* Files of properties: what is read, what is refused, and that no value is ever quoted. */
#include "testing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "properties_file.h"
#include "url.h"

static char path[] = "/tmp/wirebus-properties-XXXXXX";

static void write_file(const char *text, size_t length, mode_t mode)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static void reads(const char *text, mode_t mode, const char *wanted)
{
	struct wb_property *properties = NULL;
	char joined[300] = "";
	struct wb_error error;
	size_t count = 0;

	write_file(text, strlen(text), mode);
	assert_int_equal(wb_properties_file_read(path, &properties, &count, &error), 0);
	for (size_t i = 0; i < count; i++)
		snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "[%s]=[%s]", properties[i].key,
			properties[i].value);
	assert_string_equal(joined, wanted);
	wb_properties_free(properties, count);
}

static void refuses(const char *text, size_t length, mode_t mode, int code, const char *quote)
{
	struct wb_property *properties = NULL;
	struct wb_error error;
	size_t count = 0;

	write_file(text, length, mode);
	assert_int_equal(wb_properties_file_read(path, &properties, &count, &error), code);
	assert_non_null(strstr(error.message, path));
	assert_non_null(strstr(error.message, quote));
	assert_null(strstr(error.message, "hidden"));
	wb_properties_free(properties, count);
}

static void test_read(void **state)
{
	reads("", 0644, "");
	reads("\n# a=b\n  # c=d\n \t\r\n", 0644, "");
	reads("a=b", 0644, "[a]=[b]");
	reads("a = b = c\r\n\tsasl.username=reader \nempty=\n", 0666, "[a]=[b = c][sasl.username]=[reader][empty]=[]");
	reads("sasl.password= p#w=d \n", 0640, "[sasl.password]=[p#w=d]");
}

static void test_refuse(void **state)
{
	static char long_text[WB_PROPERTIES_FILE_BYTES_MAX + 1];
	struct wb_property *properties = NULL;
	struct wb_error error;
	size_t count = 0;

	refuses("a=b\nhidden\n", 11, 0600, -EINVAL, "line 2");
	refuses("=hidden", 7, 0600, -EINVAL, "line 1");
	refuses("a=b\0hidden", 10, 0600, -EINVAL, "zero byte");
	refuses("sasl.password=hidden", 20, 0644, -EACCES, "0644");
	refuses("a=b\nssl.key.password=hidden", 27, 0660, -EACCES, "0660");
	memset(long_text, '#', sizeof(long_text));
	refuses(long_text, sizeof(long_text), 0600, -EFBIG, "65536");
	assert_int_equal(wb_properties_file_read("/nosuch", &properties, &count, &error), -ENOENT);
	assert_non_null(strstr(error.message, "/nosuch"));
	assert_int_equal(wb_properties_file_read("/tmp", &properties, &count, &error), -EINVAL);
	assert_null(properties);
}

static int make_file(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
	return unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_refuse),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
