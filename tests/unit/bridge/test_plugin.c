/* SPDX-License-Identifier: Apache-2.0 */
/* Plugins: which files are loaded, which descriptors are accepted, and what is said of the others. */
#include "testing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "plugin.h"
#include "registry.h"

#define TEXT(number) #number
#define NUMBER(macro) TEXT(macro)

struct options {
	bool flag;
	unsigned int choice;
	uint64_t number;
	char *text;
};

static const struct wb_option_row good_rows[] = {
	{.key = "flag",
		.type = WB_OPTION_BOOL,
		.offset = offsetof(struct options, flag),
		.default_value = "true",
		.help = "A flag"},
	{.key = "choice",
		.type = WB_OPTION_CHOICE,
		.offset = offsetof(struct options, choice),
		.choices = "red|blue",
		.help = "A colour"},
	{.key = "number",
		.type = WB_OPTION_DURATION,
		.offset = offsetof(struct options, number),
		.default_value = "2s",
		.min = 1,
		.max = 5000,
		.help = "A time"},
	{.key = "text",
		.type = WB_OPTION_STRING,
		.offset = offsetof(struct options, text),
		.default_value = "some",
		.help = "A text"},
	{.key = NULL},
};
#define ROWS (sizeof(good_rows) / sizeof(good_rows[0]))

/* What each case begins with and changes. */
static struct wb_transport_ops ops;
static struct wb_option_row rows[ROWS];
static const char *schemes[20];

static void begin(void)
{
	ops = wb_transport_null;
	memcpy(rows, good_rows, sizeof(rows));
	memset(schemes, 0, sizeof(schemes));
	schemes[0] = "mybus";
	schemes[1] = "mybus+tls";
	ops.name = "My-bus";
	ops.schemes = schemes;
	ops.rows = rows;
	ops.options_size = sizeof(struct options);
}

static void refused(const char *message)
{
	struct wb_error error = {""};

	assert_int_equal(wb_plugin_check(&ops, &error), -EINVAL);
	assert_string_equal(error.message, message);
	begin();
}

static void test_accepted(void **state)
{
	struct wb_error error;

	begin();
	assert_int_equal(wb_plugin_check(&ops, &error), 0);
	ops.rows = NULL;
	ops.options_size = 0;
	assert_int_equal(wb_plugin_check(&ops, &error), 0);
}

static void test_abi_and_names(void **state)
{
	begin();
	ops.abi = 99;
	ops.name = (const char *)16; /* not looked at: with another number it may be anything */
	refused("it was built for transport ABI 99, and this wirebus has " NUMBER(
		WB_TRANSPORT_ABI) "; build it with this version's headers");
	ops.name = NULL;
	refused("it has no name");
	ops.name = "my\nbus";
	refused("its name 'my?bus' is not 1 to 63 letters, digits, '.', '_', '+' or '-'");
	ops.name = "";
	refused("its name '' is not 1 to 63 letters, digits, '.', '_', '+' or '-'");
	ops.name = wb_transport_file.name;
	refused("there is a transport of its name already: 'file'");
	ops.schemes = NULL;
	refused("it has no scheme");
	schemes[0] = NULL;
	refused("it has no scheme");
	schemes[1] = "My";
	refused("its scheme 'My' is not a small letter and up to 30 small letters, digits, '+', '.' or '-'");
	schemes[1] = "9p";
	refused("its scheme '9p' is not a small letter and up to 30 small letters, digits, '+', '.' or '-'");
	schemes[1] = "a-scheme-that-is-longer-than-31-b";
	refused("its scheme 'a-scheme-that-is-longer-than-31-b' is not a small letter and up to 30 small letters, "
		"digits, '+', '.' or '-'");
	schemes[1] = "mybus";
	refused("its scheme 'mybus' is listed twice");
	schemes[1] = "zmq+push";
	refused("its scheme 'zmq+push' is taken by 'ZeroMQ'");
	schemes[1] = "zmq+sub"; /* a source's */
	refused("its scheme 'zmq+sub' is taken by 'ZeroMQ'");
	for (char c = 'a'; c < 'a' + 17; c++) {
		static char names[17][2];

		names[c - 'a'][0] = c;
		schemes[c - 'a'] = names[c - 'a'];
	}
	refused("it has more than 16 schemes; or does the list not end with NULL?");
}

static void test_operations(void **state)
{
	begin();
	ops.check = NULL;
	refused("its operation check() is missing");
	ops.open = NULL;
	refused("its operation open() is missing");
	ops.lane = NULL;
	refused("its operation lane() is missing");
	ops.publish = NULL;
	refused("its operation publish() is missing");
	ops.flush = NULL;
	refused("its operation flush() is missing");
	ops.stats = NULL;
	refused("its operation stats() is missing");
	ops.close = NULL;
	refused("its operation close() is missing");
	ops.reserved[7] = &ops;
	refused("reserved[7] is not NULL");
}

static void test_rows(void **state)
{
	static struct wb_option_row many[300];

	begin();
	ops.options_size = ((size_t)1 << 20) + 1;
	refused("options_size: 1048577 is larger than 1048576");
	rows[0].key = "Flag";
	refused("option 'Flag': the key is not 1 to 63 small letters, digits or '_'");
	rows[0].key = "";
	refused("option '': the key is not 1 to 63 small letters, digits or '_'");
	rows[0].key = "url";
	refused("option 'url': this key is the configuration file's");
	rows[1].key = "flag";
	refused("option 'flag' is described twice");
	rows[1].type = (enum wb_option_type)77;
	refused("option 'choice': type 77 is unknown");
	rows[3].offset = sizeof(struct options);
	refused("option 'text': offset 24 and size 8 lead out of the options, which have 24 bytes");
	rows[3].offset = SIZE_MAX - 3;
	refused("option 'text': offset 18446744073709551612 and size 8 lead out of the options, which have 24 bytes");
	ops.options_size = 0;
	refused("option 'flag': offset 0 and size 1 lead out of the options, which have 0 bytes");
	rows[3].offset = offsetof(struct options, text) - 4;
	refused("option 'text': offset 12 is not a multiple of the member's size, 8");
	rows[3].offset = offsetof(struct options, number);
	refused("options 'number' and 'text' have the same member, at offset 8");
	rows[0].offset = offsetof(struct options, number) + 7;
	refused("options 'flag' and 'number' have the same member, at offset 8");
	rows[2].help = NULL;
	refused("option 'number' has no help");
	rows[2].min = 6000;
	refused("option 'number': its least value is above its greatest");
	rows[1].choices = "red||blue";
	refused("option 'choice': 'red||blue' is no list such as \"a|b\"");
	rows[1].choices = NULL;
	refused("option 'choice': '' is no list such as \"a|b\"");
	rows[2].default_value = "6s";
	refused("the default of option number: '6s' is not a time from 1ms to 5s (such as 500ms, 10s, 5m)");
	/* What is before it has been stored, and is freed. */
	rows[3].min = 9;
	refused("the default of option text: 'some' is not a text of at least 9 bytes long");
	for (size_t i = 0; i < 300; i++) {
		static char keys[300][8];

		snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
		many[i] = (struct wb_option_row){.key = keys[i], .type = WB_OPTION_BOOL, .offset = i, .help = "Yes"};
	}
	ops.rows = many;
	ops.options_size = 300;
	refused("it has more than 256 options; or does the table not end with .key = NULL?");
}

/* --- files --- */

static char folder[64], copy[128];

/* Copy a plugin of the build into the folder, where its mode and owner can be changed. */
static void copy_plugin_as(const char *variant, const char *name, mode_t mode)
{
	char path[512], command[1024];

	snprintf(path, sizeof(path), "%s/libplugin_%s.so", PLUGIN_FOLDER, variant);
	snprintf(copy, sizeof(copy), "%s/%s.so", folder, name);
	snprintf(command, sizeof(command), "install -m %04o %s %s", (unsigned int)mode, path, copy);
	assert_int_equal(system(command), 0); /* NOLINT: paths of the test's own */
}

static void copy_plugin(const char *variant, mode_t mode)
{
	copy_plugin_as(variant, variant, mode);
}

/* The whole message is "plugin 'path': " and this. */
static void file_refused(const char *path, const char *base, int code, const char *reason)
{
	struct wb_error error = {""};
	char wanted[1024];

	snprintf(wanted, sizeof(wanted), "plugin '%s': %s", path, reason);
	assert_int_equal(wb_plugins_load(path, base, &error), code);
	assert_string_equal(error.message, wanted);
}

static void test_files(void **state)
{
	char text[300];

	file_refused("/nosuch/plugin.so", NULL, -ENOENT, "No such file or directory");
	file_refused("nosuch.so", folder, -ENOENT, "No such file or directory");
	/* Never looked for where libraries are. */
	file_refused("libc.so.6", folder, -ENOENT, "No such file or directory");
	file_refused(folder, NULL, -EINVAL, "it is not a file");
	copy_plugin("good", 0775);
	file_refused(copy, NULL, -EACCES, "others than its owner may write to it (mode 0775); 'chmod go-w' it");
	copy_plugin("good", 0757);
	file_refused(copy, NULL, -EACCES, "others than its owner may write to it (mode 0757); 'chmod go-w' it");
	copy_plugin("good", 0755);
	assert_int_equal(chmod(folder, 0777), 0);
	file_refused(
		copy, NULL, -EACCES, "anybody may write in its folder (mode 0777); 'chmod o-w' it, or move the plugin");
	assert_int_equal(chmod(folder, 0755), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(copy, 12345, 12345), 0);
		file_refused(
			copy, NULL, -EACCES, "it belongs to user 12345, neither to root nor to user 0 who runs this");
		assert_int_equal(chown(copy, 0, 0), 0);
	}
	copy_plugin("no_symbol", 0755);
	file_refused(copy, NULL, -EINVAL, "it exports no 'wirebus_transport', so it is no transport plugin");
	copy_plugin_as("no_symbol", "short", 0755);
	assert_int_equal(truncate(copy, 10), 0);
	snprintf(text, sizeof(text), "it cannot be loaded: %s: file too short", copy);
	file_refused(copy, NULL, -EINVAL, text);
}

static void test_descriptors_of_files(void **state)
{
	copy_plugin("abi", 0755);
	file_refused("abi.so", folder, -EINVAL,
		"it was built for transport ABI 99, and this wirebus has " NUMBER(
			WB_TRANSPORT_ABI) "; build it with this version's headers");
	copy_plugin("scheme", 0755);
	file_refused("scheme.so", folder, -EINVAL, "its scheme 'kafka' is taken by 'Kafka'");
	copy_plugin("operation", 0755);
	file_refused("operation.so", folder, -EINVAL, "its operation flush() is missing");
	copy_plugin("row", 0755);
	file_refused("row.so", folder, -EINVAL,
		"option 'size': offset 4096 and size 8 lead out of the options, which have 8 bytes");
}

static void test_loaded(void **state)
{
	struct wb_transport_setup setup;
	struct wb_error error = {""};
	char list[300];

	assert_null(wb_scheme_owner("testbus"));
	copy_plugin("good", 0755);
	snprintf(list, sizeof(list), "good.so,%s", copy); /* twice the same: once */
	assert_int_equal(wb_plugins_load(list, folder, &error), 0);
	assert_int_equal(wb_plugins_load(copy, NULL, &error), 0);
	assert_string_equal(wb_scheme_owner("testbus"), "testbus");
	assert_int_equal(wb_transport_setup_init("testbus://x?size=9", NULL, 0, &setup, &error), 0);
	assert_int_equal(*(const uint64_t *)setup.options, 9);
	wb_transport_setup_fini(&setup);
	assert_int_equal(wb_transport_setup_init("testbus://x?sise=9", NULL, 0, &setup, &error), -EINVAL);
	assert_string_equal(error.message, "testbus://x?sise=9: unknown option 'sise'; did you mean 'size'?");
	/* Another file that brings the same. */
	copy_plugin_as("good", "second", 0755);
	file_refused(copy, NULL, -EINVAL, "there is a transport of its name already: 'testbus'");
	assert_int_equal(wb_plugins_load("good.so,/nosuch.so", folder, &error), -ENOENT);
	assert_int_equal(wb_plugins_load("a.so,,b.so", folder, &error), -ENOENT);
	assert_int_equal(wb_plugins_load(",", folder, &error), -EINVAL);
	assert_string_equal(error.message, "plugin: a path is empty");
}

static void test_no_more(void **state)
{
	int r = 0;

	begin();
	for (unsigned int i = 0; i <= WB_PLUGINS_MAX && r == 0; i++)
		r = wb_transport_register(&ops);
	assert_int_equal(r, -ENOSPC);
}

static int make_folder(void **state)
{
	strcpy(folder, "/tmp/wirebus-plugin-XXXXXX");
	return mkdtemp(folder) && chmod(folder, 0755) == 0 ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command); /* NOLINT: a path of the test's own */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_abi_and_names),
		cmocka_unit_test(test_operations),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_descriptors_of_files),
		cmocka_unit_test(test_loaded),
		cmocka_unit_test(test_no_more),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
