/* SPDX-License-Identifier: Apache-2.0 */
#include "testing.h"

#include "load.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

char reports[16384];
char load_folder[64];
static char load_path[96];

int load_setup(void **state)
{
	snprintf(load_folder, sizeof(load_folder), "/tmp/wirebus-test-XXXXXX");
	if (!mkdtemp(load_folder))
		return -1;
	snprintf(load_path, sizeof(load_path), "%s/test.yaml", load_folder);
	return 0;
}

int load_teardown(void **state)
{
	DIR *folder = opendir(load_folder);
	struct dirent *entry;
	char path[sizeof(load_folder) + sizeof(entry->d_name) + 2];

	while (folder && (entry = readdir(folder))) {
		snprintf(path, sizeof(path), "%s/%s", load_folder, entry->d_name);
		if (entry->d_name[0] != '.' && unlink(path) < 0)
			return -1;
	}
	if (folder)
		closedir(folder);
	return rmdir(load_folder);
}

void collect_report(void *context, const char *file, size_t line, size_t column, const char *message)
{
	size_t used = strlen(reports);

	assert_null(strchr(message, '\n'));
	if (line)
		snprintf(reports + used, sizeof(reports) - used, "%zu:%zu: %s\n", line, column, message);
	else
		snprintf(reports + used, sizeof(reports) - used, "%s\n", message);
}

void write_beside(const char *name, const void *data, size_t length)
{
	char path[160];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", load_folder, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(data, 1, length, file), length);
	assert_int_equal(fclose(file), 0);
}

int load_bytes(const char *text, size_t length, struct wb_config *ret_config)
{
	write_beside("test.yaml", text, length);
	reports[0] = '\0';
	return wb_config_load(load_path, ret_config, collect_report, NULL);
}

int load_text(const char *text, struct wb_config *ret_config)
{
	return load_bytes(text, strlen(text), ret_config);
}

void refuse_text(const char *text, const char *expected)
{
	struct wb_config config;
	int r = load_text(text, &config);

	assert_string_equal(reports, expected);
	assert_int_equal(r, -EINVAL);
	assert_null(config.captures);
	assert_null(config.node);
	wb_config_fini(&config);
}

void accept_text(const char *text, struct wb_config *ret_config)
{
	int r = load_text(text, ret_config);

	assert_string_equal(reports, "");
	assert_int_equal(r, 0);
}
