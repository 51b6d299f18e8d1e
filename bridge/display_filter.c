/* SPDX-License-Identifier: Apache-2.0 */
#include "display_filter.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define SNAP_BYTES 262144
/* Different link types in one output; packets of further ones do not match. */
#define MAX_LINK_TYPES 32u

enum { LINK_ETHERNET = 1, LINK_RAW = 101, TAG_OFFSET = 12, TAG_BYTES = 4 };

struct program {
	uint32_t link_type;
	bool compiled; /* the expression makes sense for the link type */
	struct bpf_program code;
};

struct wb_display_filter {
	char *expression;
	struct program programs[MAX_LINK_TYPES];
	size_t count;
	size_t last; /* the one used last */
	uint8_t frame[SNAP_BYTES];
};

/* libpcap's own number of a link type in files, where the two differ (pcap-linktype(7)). */
static int dlt_of(uint32_t link_type)
{
	return link_type == LINK_RAW ? DLT_RAW : (int)link_type;
}

static bool compile(const char *expression, uint32_t link_type, struct bpf_program *code, struct wb_error *ret_error)
{
	pcap_t *pcap = pcap_open_dead(dlt_of(link_type), SNAP_BYTES);
	bool done;

	if (!pcap) {
		wb_fail(ret_error, -ENOMEM, "filter '%s': out of memory", expression);
		return false;
	}
	done = pcap_compile(pcap, code, expression, 1, PCAP_NETMASK_UNKNOWN) == 0;
	if (!done)
		wb_fail(ret_error, -EINVAL, "filter '%s': %s; see pcap-filter(7)", expression, pcap_geterr(pcap));
	pcap_close(pcap);
	return done;
}

/* The message is about Ethernet, which most are written for. */
int wb_display_filter_check(const char *expression, struct wb_error *ret_error)
{
	static const uint32_t usual[] = {LINK_ETHERNET, LINK_RAW, 105 /* IEEE 802.11 */, 113 /* LINUX_SLL */,
		127 /* radiotap */, 276 /* LINUX_SLL2 */};
	struct wb_error error;
	struct bpf_program code;

	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++) {
		if (compile(expression, usual[i], &code, i == 0 ? ret_error : &error)) {
			pcap_freecode(&code);
			return 0;
		}
	}
	return -EINVAL;
}

int wb_display_filter_create(const char *expression, struct wb_display_filter **ret_filter, struct wb_error *ret_error)
{
	struct wb_display_filter *filter;
	int r = wb_display_filter_check(expression, ret_error);

	if (r < 0)
		return r;
	filter = calloc(1, sizeof(*filter));
	if (filter)
		filter->expression = strdup(expression);
	if (!filter || !filter->expression) {
		free(filter);
		return wb_fail(ret_error, -ENOMEM, "filter '%s': out of memory", expression);
	}
	*ret_filter = filter;
	return 0;
}

void wb_display_filter_destroy(struct wb_display_filter *filter)
{
	if (!filter)
		return;
	for (size_t i = 0; i < filter->count; i++)
		if (filter->programs[i].compiled)
			pcap_freecode(&filter->programs[i].code);
	free(filter->expression);
	free(filter);
}

/* NULL: none that could match. */
static const struct program *program_of(struct wb_display_filter *filter, uint32_t link_type)
{
	struct program *program;
	struct wb_error error = {""};

	if (filter->last < filter->count && filter->programs[filter->last].link_type == link_type)
		return &filter->programs[filter->last];
	for (size_t i = 0; i < filter->count; i++) {
		if (filter->programs[i].link_type == link_type) {
			filter->last = i;
			return &filter->programs[i];
		}
	}
	if (filter->count == MAX_LINK_TYPES)
		return NULL;
	program = &filter->programs[filter->count++];
	program->link_type = link_type;
	program->compiled = link_type <= UINT16_MAX && compile(filter->expression, link_type, &program->code, &error);
	if (!program->compiled)
		wb_log(WB_LOG_WARNING, "packets of link type %u are left out: %s", link_type,
			error.message[0] ? error.message : "it cannot be");
	return program;
}

/* The frame with its tag; the tag may not fit. */
static const uint8_t *with_tag(struct wb_display_filter *filter, const struct wbproto_packet *packet, uint32_t *length)
{
	const uint8_t tag[TAG_BYTES] = {(uint8_t)(packet->vlan_tpid >> 8), (uint8_t)packet->vlan_tpid,
		(uint8_t)(packet->vlan_tci >> 8), (uint8_t)packet->vlan_tci};
	const uint8_t *data = packet->data;
	uint32_t rest = *length - TAG_OFFSET;

	if (rest > SNAP_BYTES - TAG_OFFSET - TAG_BYTES)
		rest = SNAP_BYTES - TAG_OFFSET - TAG_BYTES;
	memcpy(filter->frame, data, TAG_OFFSET);
	memcpy(filter->frame + TAG_OFFSET, tag, TAG_BYTES);
	memcpy(filter->frame + TAG_OFFSET + TAG_BYTES, data + TAG_OFFSET, rest);
	*length = TAG_OFFSET + TAG_BYTES + rest;
	return filter->frame;
}

bool wb_display_filter_match(struct wb_display_filter *filter, const struct wbproto_record *record)
{
	const struct wbproto_packet *packet = &record->packet;
	const struct wbproto_interface *interface = &record->interface;
	bool known = interface->index || interface->link_type || interface->name.length;
	uint32_t link_type = known ? interface->link_type : LINK_ETHERNET; /* 0 is BSD's loopback */
	const struct program *program = program_of(filter, link_type);
	struct pcap_pkthdr header = {.caplen = packet->captured_length, .len = packet->original_length};
	const uint8_t *data = packet->data;

	if (!program || !program->compiled)
		return false;
	if (header.len < header.caplen)
		header.len = header.caplen;
	if (packet->vlan_tpid && link_type == LINK_ETHERNET && header.caplen >= TAG_OFFSET) {
		data = with_tag(filter, packet, &header.caplen);
		header.len = header.len < UINT32_MAX - TAG_BYTES ? header.len + TAG_BYTES : UINT32_MAX;
	}
	return pcap_offline_filter(&program->code, &header, data ? data : filter->frame) != 0;
}
