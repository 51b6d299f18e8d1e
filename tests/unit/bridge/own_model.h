/* SPDX-License-Identifier: Apache-2.0 */
/* What programs that leave own connections out are held against: packets read without BPF. */
#ifndef TEST_OWN_MODEL_H
#define TEST_OWN_MODEL_H

#include "own_filter.h"

#define OWN_MODEL_LONGEST 256

struct packet {
	uint8_t bytes[OWN_MODEL_LONGEST];
	size_t length;
};

/* Whether the packet is one of the connections'. */
bool own_model_says(const struct wb_own_connection *connections, size_t count, enum wb_own_form form,
	enum wb_own_link link, const struct packet *packet);

#endif
