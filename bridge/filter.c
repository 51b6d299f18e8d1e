/* SPDX-License-Identifier: Apache-2.0 */
#include "filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "privileges.h"

#define LINKTYPE_RAW 101

_Static_assert(
	sizeof(struct bpf_insn) == sizeof(struct sock_filter), "libpcap's and the kernel's instructions are alike");

static int activate_error(pcap_t *pcap, int code, const char *interface, struct wb_error *ret_error)
{
	switch (code) {
	case PCAP_ERROR_PERM_DENIED:
		return wb_fail(ret_error, -EPERM,
			"interface '%s': capturing needs CAP_NET_RAW; run as root or 'setcap cap_net_raw+ep' the "
			"program",
			interface);
	case PCAP_ERROR_NO_SUCH_DEVICE:
		return wb_fail(ret_error, -ENODEV, "interface '%s' does not exist", interface);
	default:
		return wb_fail(ret_error, -EIO, "interface '%s': %s", interface, pcap_geterr(pcap));
	}
}

static int open_handle(const char *interface, uint32_t snap_length, pcap_t **ret_pcap, struct wb_error *ret_error)
{
	char message[PCAP_ERRBUF_SIZE];
	pcap_t *pcap = pcap_create(interface, message);
	int r;

	if (!pcap)
		return wb_fail(ret_error, -ENOMEM, "interface '%s': %s", interface, message);
	/* The program's return value is the handle's snap length. The ring is not read: as small as it gets. */
	pcap_set_snaplen(pcap, (int)snap_length);
	pcap_set_buffer_size(pcap, 64 * 1024);
	pcap_set_timeout(pcap, 10);
	r = pcap_activate(pcap);
	if (r == PCAP_ERROR_IFACE_NOT_UP)
		r = 0;
	if (r < 0) {
		r = activate_error(pcap, r, interface, ret_error);
		pcap_close(pcap);
		return r;
	}
	*ret_pcap = pcap;
	return 0;
}

/* Compile on a handle, which is closed in any case. */
static int compile(pcap_t *pcap, const char *expression, struct wb_filter *ret_filter, struct wb_error *ret_error)
{
	struct bpf_program program;
	int r;

	if (pcap_compile(pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN) < 0) {
		r = wb_fail(ret_error, -EINVAL, "filter '%s': %s; see pcap-filter(7)", expression, pcap_geterr(pcap));
		goto close_pcap;
	}
	if (program.bf_len > BPF_MAXINSNS) {
		r = wb_fail(ret_error, -EINVAL, "filter '%s': %u instructions, the kernel takes at most %d", expression,
			program.bf_len, BPF_MAXINSNS);
		goto free_program;
	}
	ret_filter->length = (uint16_t)program.bf_len;
	ret_filter->code = malloc(program.bf_len * sizeof *ret_filter->code);
	if (!ret_filter->code) {
		r = wb_fail(ret_error, -ENOMEM, "filter '%s': out of memory", expression);
		goto free_program;
	}
	memcpy(ret_filter->code, program.bf_insns, program.bf_len * sizeof *ret_filter->code);
	r = 0;
free_program:
	pcap_freecode(&program);
close_pcap:
	pcap_close(pcap);
	return r;
}

int wb_filter_compile(const char *interface, const char *expression, uint32_t snap_length, struct wb_filter *ret_filter,
	struct wb_error *ret_error)
{
	pcap_t *pcap = NULL;
	int r = open_handle(interface, snap_length, &pcap, ret_error);

	return r < 0 ? r : compile(pcap, expression, ret_filter, ret_error);
}

int wb_filter_compile_for(uint32_t link_type, const char *expression, uint32_t snap_length,
	struct wb_filter *ret_filter, struct wb_error *ret_error)
{
	/* The only one of our types whose number in libpcap is another one. */
	int dlt = link_type == LINKTYPE_RAW ? DLT_RAW : (int)link_type;
	pcap_t *pcap = pcap_open_dead(dlt, (int)snap_length);

	if (!pcap)
		return wb_fail(ret_error, -ENOMEM, "filter '%s': out of memory", expression);
	return compile(pcap, expression, ret_filter, ret_error);
}

int wb_filter_copy(const struct wb_filter *filter, struct wb_filter *ret_filter)
{
	*ret_filter = (struct wb_filter){0};
	if (!filter->length)
		return 0;
	ret_filter->code = malloc(filter->length * sizeof *filter->code);
	if (!ret_filter->code)
		return -ENOMEM;
	memcpy(ret_filter->code, filter->code, filter->length * sizeof *filter->code);
	ret_filter->length = filter->length;
	return 0;
}

void wb_filter_fini(struct wb_filter *filter)
{
	free(filter->code);
	memset(filter, 0, sizeof *filter);
}
