/* SPDX-License-Identifier: Apache-2.0 */
/* A plugin as a row of the suite, described on the command line. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance.h"
#include "plugin.h"
#include "registry.h"

#define MARK "{case}"

const char conf_external_usage[] =
	"       conformance --plugin PATH --url URL [OPTION...]\n"
	"  --url URL        where to publish; \"{case}\" in it is replaced by a word that each case has of its own\n"
	"  --reader COMMAND run for cases with a reader, by sh -c: writes each message of the bus to its standard "
	"output,\n"
	"                   after its length in 4 bytes, most significant first. Its environment has WIREBUS_TEST_URL "
	"and\n"
	"                   WIREBUS_TEST_CASE. Without it, what arrives is not looked at\n"
	"  --lossy          what is published before the reader is there is lost\n"
	"  --refuses-alone  publish() says -EAGAIN while nobody reads\n"
	"  --waits          batches stay unsettled while nobody reads\n"
	"  --bounded        publish() says -EAGAIN when the transport holds as many batches as it was told of\n"
	"  --hands-over     settles as handed over, although it can acknowledge\n"
	"  --offline URL    a bus that is not there\n"
	"  --slow QUERY     options under which batches are not settled at once\n"
	"  --roomy QUERY    options under which nothing is dropped for a reader that reads\n"
	"  --expect TEXT    exit 0 only if there is a failure with TEXT\n";

static const struct option options[] = {
	{"plugin", required_argument, NULL, 'p'},
	{"url", required_argument, NULL, 'u'},
	{"reader", required_argument, NULL, 'r'},
	{"offline", required_argument, NULL, 'o'},
	{"slow", required_argument, NULL, 's'},
	{"roomy", required_argument, NULL, 'm'},
	{"lossy", no_argument, NULL, 'l'},
	{"refuses-alone", no_argument, NULL, 'a'},
	{"waits", no_argument, NULL, 'w'},
	{"bounded", no_argument, NULL, 'b'},
	{"hands-over", no_argument, NULL, 'h'},
	{"expect", required_argument, NULL, 'e'},
	{0},
};

static const char *url, *plugin, *expected;
static char scheme[64], bad_url[512];
static struct conf_bad bad[] = {{bad_url, "no_such_option"}, {NULL, NULL}};
static struct conf_row row;

/* Replace the mark by what no other case has. */
static int open_bus(struct conf_bus *bus, const struct conf_row *unused)
{
	static unsigned int serial;
	const char *mark = strstr(url, MARK);
	char name[64];

	(void)unused;
	snprintf(name, sizeof(name), "case-%d-%u", (int)getpid(), ++serial);
	if (mark)
		snprintf(bus->url, sizeof(bus->url), "%.*s%s%s", (int)(mark - url), url, name, mark + strlen(MARK));
	else
		snprintf(bus->url, sizeof(bus->url), "%s", url);
	setenv("WIREBUS_TEST_CASE", name, 1);
	setenv("WIREBUS_TEST_URL", bus->url, 1);
	return 0;
}

static bool take_option(int option)
{
	switch (option) {
	case 'p':
		plugin = optarg;
		return true;
	case 'u':
		url = optarg;
		return true;
	case 'r':
		conf_peer_command_set(optarg);
		row.peer = &conf_peer_command;
		return true;
	case 'o':
		row.offline = optarg;
		return true;
	case 's':
		row.slow = optarg;
		return true;
	case 'm':
		row.roomy = optarg;
		return true;
	case 'l':
		row.flags |= CONF_LOSSY;
		return true;
	case 'a':
		row.flags |= CONF_REFUSES_ALONE;
		return true;
	case 'w':
		row.flags |= CONF_WAITS_FOR_PEER;
		return true;
	case 'b':
		row.flags |= CONF_BOUNDED;
		return true;
	case 'h':
		row.flags |= CONF_HANDS_OVER;
		return true;
	case 'e':
		expected = optarg;
		return true;
	}
	return false;
}

static bool load(void)
{
	struct wb_error error;
	struct wb_url parsed;

	if (wb_plugins_load(plugin, NULL, &error) < 0 || wb_url_parse(url, &parsed, &error) < 0) {
		fprintf(stderr, "%s\n", error.message);
		return false;
	}
	row.ops = wb_transport_find(&parsed, &error);
	snprintf(scheme, sizeof(scheme), "%s", parsed.scheme);
	wb_url_fini(&parsed);
	if (!row.ops)
		fprintf(stderr, "%s\n", error.message);
	return row.ops;
}

const struct conf_row *conf_external(int argc, char **argv, const char **ret_expected)
{
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (!take_option(option))
			return NULL;
	}
	if (optind != argc || !plugin || !url) {
		fprintf(stderr, "conformance: --plugin and --url are needed\n");
		return NULL;
	}
	if (!load())
		return NULL;
	if (row.flags & (CONF_REFUSES_ALONE | CONF_LOSSY) && !row.peer) {
		fprintf(stderr, "conformance: such a transport can be tested with a --reader only\n");
		return NULL;
	}
	snprintf(bad_url, sizeof(bad_url), "%s%cno_such_option=1", url, strchr(url, '?') ? '&' : '?');
	row.name = row.ops->name;
	row.scheme = scheme;
	row.bad = bad;
	row.bus_open = open_bus;
	*ret_expected = expected;
	return &row;
}
