/* SPDX-License-Identifier: Apache-2.0 */
#include "own_model.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

static bool end_is(const uint8_t *address, unsigned int port, const uint8_t *wanted, bool any, unsigned int wanted_port,
	size_t size)
{
	return port == wanted_port && (any || memcmp(address, wanted, size) == 0);
}

static bool matches(const struct wb_own_connection *c, enum wb_own_form form, const uint8_t *from,
	unsigned int from_port, const uint8_t *to, unsigned int to_port, size_t size)
{
	if (form == WB_OWN_ENDPOINTS && !c->remote_port)
		return from_port == c->local_port || to_port == c->local_port;
	if (form == WB_OWN_ENDPOINTS)
		return end_is(from, from_port, c->remote, c->any_remote, c->remote_port, size) ||
		       end_is(to, to_port, c->remote, c->any_remote, c->remote_port, size);
	if (form == WB_OWN_LOCAL || !c->remote_port)
		return end_is(from, from_port, c->local, c->any_local, c->local_port, size) ||
		       end_is(to, to_port, c->local, c->any_local, c->local_port, size);
	return (end_is(from, from_port, c->local, c->any_local, c->local_port, size) &&
		       end_is(to, to_port, c->remote, c->any_remote, c->remote_port, size)) ||
	       (end_is(to, to_port, c->local, c->any_local, c->local_port, size) &&
		       end_is(from, from_port, c->remote, c->any_remote, c->remote_port, size));
}

/* The IP header's offset; 0 length: none. */
static const uint8_t *find_ip(const struct packet *packet, enum wb_own_link link, int *ret_family, size_t *ret_left)
{
	size_t at = 14;
	unsigned int type = 0;

	*ret_family = 0;
	if (link == WB_OWN_LINK_IP) {
		at = 0;
		if (packet->length)
			type = packet->bytes[0] >> 4 == 4 ? 0x800 : packet->bytes[0] >> 4 == 6 ? 0x86dd : 0;
	}
	for (int tags = 0; link == WB_OWN_LINK_ETHERNET && tags <= 2; tags++, at += 4) {
		if (packet->length < at)
			return NULL;
		type = (unsigned int)packet->bytes[at - 2] << 8 | packet->bytes[at - 1];
		if (type != 0x8100 && type != 0x88a8 && type != 0x9100)
			break;
	}
	if (type == 0x800)
		*ret_family = AF_INET;
	if (type == 0x86dd)
		*ret_family = AF_INET6;
	*ret_left = packet->length > at ? packet->length - at : 0;
	return packet->bytes + at;
}

bool own_model_says(const struct wb_own_connection *connections, size_t count, enum wb_own_form form,
	enum wb_own_link link, const struct packet *packet)
{
	size_t left;
	size_t size;
	int family;
	const uint8_t *ip = find_ip(packet, link, &family, &left);
	const uint8_t *tcp;
	const uint8_t *from;

	if (!ip || !family || left < (family == AF_INET ? 20u : 44u))
		return false;
	if (family == AF_INET) {
		size = 4;
		from = ip + 12;
		tcp = ip + 4 * (ip[0] & 0xf);
		if (ip[9] != IPPROTO_TCP || (ip[6] & 0x1f) || ip[7] || 4u * (ip[0] & 0xf) + 4 > left)
			return false;
	} else {
		size = 16;
		from = ip + 8;
		tcp = ip + 40;
		if (ip[6] != IPPROTO_TCP)
			return false;
	}
	for (size_t i = 0; i < count; i++) {
		bool same =
			connections[i].family == family || (form == WB_OWN_ENDPOINTS && !connections[i].remote_port);

		if (same && matches(&connections[i], form, from, (unsigned int)tcp[0] << 8 | tcp[1], from + size,
				    (unsigned int)tcp[2] << 8 | tcp[3], size))
			return true;
	}
	return false;
}
