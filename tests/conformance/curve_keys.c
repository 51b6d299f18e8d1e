/* SPDX-License-Identifier: Apache-2.0 */
/* Keys for rows with CURVE: made by libzmq, written as a user would. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <zmq.h>

#include "conformance.h"

int conf_curve_write(const struct conf_bus *bus, const char *name, const char *text)
{
	const size_t length = strlen(text);
	char path[256];
	int fd, r;

	snprintf(path, sizeof(path), "%s/%s", (const char *)bus->owned, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	r = write(fd, text, length) == (ssize_t)length && write(fd, "\n", 1) == 1 ? 0 : -1;
	close(fd);
	return r;
}

int conf_curve_keys(struct conf_bus *bus)
{
	const size_t length = strlen(bus->url);
	char secret_key[41];

	if (zmq_curve_keypair(bus->public_key, secret_key) < 0 ||
		zmq_curve_keypair(bus->peer_public_key, bus->peer_secret_key) < 0 ||
		conf_curve_write(bus, "own.key", secret_key) < 0 ||
		conf_curve_write(bus, "peer.pub", bus->peer_public_key) < 0)
		return -1;
	snprintf(bus->url + length, sizeof(bus->url) - length, "%ccurve_key=%s/own.key&%s=%s/peer.pub",
		strchr(bus->url, '?') ? '&' : '?', (const char *)bus->owned,
		bus->peer_binds ? "curve_server_key" : "curve_allow", (const char *)bus->owned);
	return 0;
}
