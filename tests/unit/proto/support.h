/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka, and comparing what was written with what was read. */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include "wbproto.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static inline void assert_same_bytes(const void *a, size_t a_length, const void *b, size_t b_length)
{
	assert_int_equal(a_length, b_length);
	if (a_length > 0)
		assert_memory_equal(a, b, a_length);
}

static inline void assert_same_view(struct wbproto_view a, struct wbproto_view b)
{
	assert_same_bytes(a.data, a.length, b.data, b.length);
}

static inline void assert_same_packet(const struct wbproto_packet *a, const struct wbproto_packet *b)
{
	assert_int_equal(a->time_unix_ns, b->time_unix_ns);
	assert_int_equal(a->original_length, b->original_length);
	assert_int_equal(a->interface_index, b->interface_index);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->rx_hash, b->rx_hash);
	assert_int_equal(a->status, b->status);
	assert_int_equal(a->vlan_tci, b->vlan_tci);
	assert_int_equal(a->vlan_tpid, b->vlan_tpid);
	assert_same_bytes(a->data, a->captured_length, b->data, b->captured_length);
	assert_same_bytes(a->vnet_header, a->vnet_header_length, b->vnet_header, b->vnet_header_length);
}

static inline void assert_same_interface(const struct wbproto_interface *a, const struct wbproto_interface *b)
{
	assert_int_equal(a->index, b->index);
	assert_int_equal(a->link_type, b->link_type);
	assert_int_equal(a->snap_length, b->snap_length);
	assert_int_equal(a->timestamp_source, b->timestamp_source);
	assert_int_equal(a->speed_bps, b->speed_bps);
	assert_int_equal(a->defragmented, b->defragmented);
	assert_same_view(a->name, b->name);
	assert_same_view(a->filter, b->filter);
}

/* All but the packets, the interfaces, and the times, which the encoder finds. */
static inline void assert_same_facts(const struct wbproto_batch *a, const struct wbproto_batch *b)
{
	assert_memory_equal(a->session_id, b->session_id, sizeof(a->session_id));
	assert_int_equal(a->worker_id, b->worker_id);
	assert_int_equal(a->stream_id, b->stream_id);
	assert_int_equal(a->batch_seq, b->batch_seq);
	assert_int_equal(a->first_packet_seq, b->first_packet_seq);
	assert_int_equal(a->flow_bucket_plus_one, b->flow_bucket_plus_one);
	assert_same_view(a->node, b->node);
	assert_int_equal(a->interface_count, b->interface_count);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->watermark_unix_ns, b->watermark_unix_ns);
	assert_int_equal(a->has_counters, b->has_counters);
	if (a->has_counters)
		assert_memory_equal(&a->counters, &b->counters, sizeof(a->counters));
}

#endif
