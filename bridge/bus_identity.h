/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which bus it is that something on disk was meant for: so that packets in a spool, and what a killed session left to
 * be said, do not go to another one.
 */
#ifndef WB_BUS_IDENTITY_H
#define WB_BUS_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#include "url.h"

#define WB_BUS_IDENTITY_BYTES 512

/*
 * Scheme and address of a bus, as its URL has them: without options, which may hold secrets, and without user and
 * password in front of a host. Where it is not certain what of the address is a password, because of a '/' or ',' in
 * it that is not escaped, all is left out that may be one. ret_identity: WB_BUS_IDENTITY_BYTES; what is longer is cut.
 */
void wb_bus_identity(const struct wb_url *url, char *ret_identity);

/*
 * Whether two identities are of one bus: the same scheme and path (topic, folder), and of the hosts, separated by
 * commas, one that is in both; so brokers may be added and taken away.
 */
bool wb_bus_is_same(const char *identity, const char *other);

#endif
