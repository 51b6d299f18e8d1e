/* SPDX-License-Identifier: Apache-2.0 */
#include "kafka_address.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "url.h"

#define HOST_LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/* One of the brokers, length bytes at text. Without a port librdkafka takes 9092. */
static int check_broker(const char *url, const char *text, size_t length, struct wb_error *ret_error)
{
	char broker[300], host[256];
	struct wb_error error;
	unsigned int port;

	if (length == 0 || length >= sizeof(broker))
		return wb_fail(ret_error, -EINVAL, "'%s': a broker's HOST:PORT is empty or too long", url);
	memcpy(broker, text, length);
	broker[length] = '\0';
	if (!strchr(broker, ':') && strspn(broker, HOST_LETTERS) == length)
		return 0;
	if (wb_url_split_host_port(broker, host, sizeof(host), &port, &error) < 0)
		return wb_fail(ret_error, -EINVAL, "'%s': broker %s", url, error.message);
	if (broker[0] != '[' && strspn(host, HOST_LETTERS) != strlen(host))
		return wb_fail(ret_error, -EINVAL, "'%s': broker '%s': a host is letters, digits, '.', '_' or '-'", url,
			broker);
	return 0;
}

static int check_brokers(const char *url, const char *text, size_t length, struct wb_error *ret_error)
{
	const char *end = text + length;

	for (;;) {
		const char *comma = memchr(text, ',', (size_t)(end - text));
		int r = check_broker(url, text, (size_t)((comma ? comma : end) - text), ret_error);

		if (r < 0 || !comma)
			return r;
		text = comma + 1;
	}
}

int wb_kafka_address(
	const char *url, const char *address, char **ret_brokers, char **ret_topic, struct wb_error *ret_error)
{
	const char *slash = strchr(address, '/');
	const char *topic = slash ? slash + 1 : "";
	int r;

	if (!slash || slash == address || !*topic)
		return wb_fail(ret_error, -EINVAL, "'%s': must be kafka://HOST:PORT[,HOST:PORT]/TOPIC", url);
	r = check_brokers(url, address, (size_t)(slash - address), ret_error);
	if (r < 0)
		return r;
	*ret_brokers = strndup(address, (size_t)(slash - address));
	*ret_topic = strdup(topic);
	if (*ret_brokers && *ret_topic)
		return 0;
	free(*ret_brokers);
	free(*ret_topic);
	return wb_fail(ret_error, -ENOMEM, "out of memory");
}
