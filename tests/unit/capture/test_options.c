/* SPDX-License-Identifier: Apache-2.0 */
/* Every rule about the options is refused with a message that names the option, the value and the rule. */
#include "cmocka_all.h"
#include "internal.h"

#include <linux/if_ether.h>
#include <string.h>
#include <unistd.h>

static struct sock_filter program[] = {{BPF_RET | BPF_K, 0, 0, 100}};

static void assert_refused(const char *message, void (*break_it)(struct tpacket_options *))
{
	struct tpacket_options options;
	struct tpacket_error error = {""};
	struct tpacket *handle = NULL;

	tpacket_options_init(&options);
	break_it(&options);
	assert_int_equal(tpacket_open(&options, &handle, &error), -EINVAL);
	assert_string_equal(error.message, message);
	assert_null(handle);
	/* The message is optional. */
	assert_int_equal(tpacket_open(&options, &handle, NULL), -EINVAL);
}

#define RULE(name, text, ...)                                                                                          \
	static void break_##name(struct tpacket_options *o)                                                            \
	{                                                                                                              \
		__VA_ARGS__;                                                                                           \
	}                                                                                                              \
	static void test_##name(void **state)                                                                          \
	{                                                                                                              \
		assert_refused(text, break_##name);                                                                    \
	}

RULE(interface_length, "interface: '0123456789abcdef': a name has at most 15 characters",
	o->interface = "0123456789abcdef")
RULE(promiscuous_on_all, "promiscuous: true: needs one interface, not all", o->promiscuous = true)
RULE(all_multicast_on_all, "all_multicast: true: needs one interface, not all", o->interface = "",
	o->all_multicast = true)
RULE(socket_type, "socket_type: 2: must be 0 (raw) or 1 (dgram)", o->socket_type = (enum tpacket_socket)2)
RULE(protocol, "protocol: 0: nothing would be received; 0x0003 means every protocol", o->protocol = 0)
RULE(vnet_dgram, "vnet_header: true: needs socket_type raw", o->vnet_header = true,
	o->socket_type = TPACKET_SOCKET_DGRAM)
RULE(vnet_bytes, "vnet_header_bytes: 11: must be 10, or 12 with num_buffers", o->vnet_header_bytes = 11)
RULE(vnet_bytes_zero, "vnet_header_bytes: 0: must be 10, or 12 with num_buffers", o->vnet_header_bytes = 0)
RULE(netns_empty, "netns: '': must be the path of a network namespace, or NULL", o->netns = "")
RULE(reopen_all, "reopen: true: needs the name of one interface to look for", o->reopen = true)
RULE(reserve_alone, "reserve_sockets: 1: needs reopen: true", o->interface = "x", o->reserve_sockets = 1)
RULE(reserve_many, "reserve_sockets: 65: must be at most 64", o->interface = "x", o->reopen = true,
	o->reserve_sockets = 65)
RULE(vlan_type, "vlan: 2: must be 0 (metadata) or 1 (insert)", o->vlan = (enum tpacket_vlan)2)
RULE(vlan_v1, "vlan: insert: needs version 2 or 3, as TPACKET_V1 does not tell the tag", o->vlan = TPACKET_VLAN_INSERT,
	o->version = TPACKET_VERSION_1)
RULE(vlan_dgram, "vlan: insert: needs socket_type raw, as dgram leaves out where it was", o->vlan = TPACKET_VLAN_INSERT,
	o->socket_type = TPACKET_SOCKET_DGRAM)
RULE(timestamp, "timestamp: 9: must be 0 (software) or 1 (hardware)", o->timestamp = (enum tpacket_timestamp)9)
RULE(block_zero, "block_bytes: 0: must be a multiple of the page size (4096)", o->block_bytes = 0)
RULE(block_page, "block_bytes: 6144: must be a multiple of the page size (4096)", o->block_bytes = 6144)
RULE(block_2gib, "block_bytes: 2147483648: must be less than 2 GiB", o->block_bytes = 1u << 31)
RULE(block_count, "block_count: 0: must be at least 1", o->block_count = 0)
RULE(frame_zero, "frame_bytes: 0: must be at least 80 (TPACKET_V3)", o->frame_bytes = 0)
RULE(frame_16, "frame_bytes: 16: must be at least 80 (TPACKET_V3)", o->frame_bytes = 16)
RULE(frame_48, "frame_bytes: 48: must be at least 80 (TPACKET_V3)", o->frame_bytes = 48)
RULE(frame_64, "frame_bytes: 64: must be at least 80 (TPACKET_V3)", o->frame_bytes = 64)
RULE(frame_v2, "frame_bytes: 48: must be at least 64 (TPACKET_V2)", o->frame_bytes = 48, o->version = TPACKET_VERSION_2)
RULE(frame_v1, "frame_bytes: 48: must be at least 64 (TPACKET_V1)", o->frame_bytes = 48, o->version = TPACKET_VERSION_1)
RULE(frame_alignment, "frame_bytes: 100: must be a multiple of 16", o->frame_bytes = 100)
RULE(frame_block, "frame_bytes: 8192: must not exceed block_bytes (4096)", o->frame_bytes = 8192, o->block_bytes = 4096)
RULE(frame_block_v2, "frame_bytes: 8192: must not exceed block_bytes (4096)", o->frame_bytes = 8192,
	o->block_bytes = 4096, o->version = TPACKET_VERSION_2)
RULE(block_frame, "block_bytes: 4096: must be a multiple of frame_bytes (96)", o->frame_bytes = 96,
	o->block_bytes = 4096)
RULE(frames_32_bit,
	"block_count: 268435456: blocks of 1048576 bytes hold 68719476736 frames of 4096 bytes together, more than "
	"4294967295",
	o->block_count = 1u << 28)
RULE(retire_zero, "retire_ms: 0: must be between 1 and 65535", o->retire_ms = 0)
RULE(retire_large, "retire_ms: 65536: must be between 1 and 65535", o->retire_ms = 65536)
RULE(snap_length, "snap_length: 0: must be at least 1, as 0 would reject every packet", o->snap_length = 0)
RULE(filter_empty, "filter_length: 0: a filter has between 1 and 4096 instructions", o->filter = program)
RULE(filter_long, "filter_length: 4097: a filter has between 1 and 4096 instructions", o->filter = program,
	o->filter_length = 4097)
RULE(filter_none, "filter_length: 1: must be 0 without a filter", o->filter_length = 1)
RULE(filter_fd, "filter_fd: -2: must be a descriptor, or -1 for none", o->filter_fd = -2)
RULE(filter_both, "filter_fd: 0: must be -1 with a filter, as a socket has one program", o->filter = program,
	o->filter_length = 1, o->filter_fd = 0)
RULE(fanout_type, "fanout: 8: must be between 0 and 7, or -1 for none", o->fanout = (enum tpacket_fanout)8)
RULE(fanout_flags, "fanout_flags: 0x30: only the bits 0xf are known", o->fanout = TPACKET_FANOUT_HASH,
	o->fanout_flags = 0x30)
RULE(fanout_rollover, "fanout_flags: 0x2: roll over says nothing new to fanout rollover",
	o->fanout = TPACKET_FANOUT_ROLLOVER, o->fanout_flags = TPACKET_FANOUT_ROLL)
RULE(fanout_unique, "fanout_id: 5: must be 0 when the kernel is to choose it (unique id)",
	o->fanout = TPACKET_FANOUT_HASH, o->fanout_flags = TPACKET_FANOUT_UNIQUE_ID, o->fanout_id = 5)

/* 65,535 bytes of IPv4, its link header with a tag, and 130 bytes of the block. */
RULE(defrag_block,
	"block_bytes: 65536: must be at least 65683 with fanout_flags defrag (0x1): packets of up to 65553 bytes",
	o->fanout = TPACKET_FANOUT_HASH, o->fanout_flags = TPACKET_FANOUT_DEFRAG, o->block_bytes = 65536)
RULE(defrag_block_v3,
	"block_bytes: 4096: must be at least 65683 with fanout_flags defrag (0x1): packets of up to 65553 bytes",
	o->fanout = TPACKET_FANOUT_CPU, o->fanout_flags = TPACKET_FANOUT_DEFRAG | TPACKET_FANOUT_ROLL,
	o->block_bytes = 4096, o->version = TPACKET_VERSION_3)

/* The next whole page; a slot, which is known to cut; a snap length that cuts anyway; and a flag without a group. */
static void test_defrag_with_room(void **state)
{
	struct tpacket_options options;

	tpacket_options_init(&options);
	options.fanout = TPACKET_FANOUT_HASH;
	options.fanout_flags = TPACKET_FANOUT_DEFRAG;
	options.frame_bytes = 4096;
	options.block_bytes = 65536 + 4096;
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v3, NULL), 0);
	options.block_bytes = 65536;
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v3, NULL), -EINVAL);
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v2, NULL), 0);
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v1, NULL), 0);
	options.snap_length = 1500;
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v3, NULL), 0);
	options.snap_length = 262144;
	options.fanout_flags = 0;
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v3, NULL), 0);
}

static void test_unknown_version(void **state)
{
	struct tpacket_options options;
	struct tpacket_error error;
	struct tpacket *handle = NULL;

	tpacket_options_init(&options);
	options.version = (enum tpacket_version)4;
	assert_int_equal(tpacket_open(&options, &handle, &error), -EPROTONOSUPPORT);
	assert_string_equal(error.message, "version: 4: must be 1, 2, 3, or 0 for automatic: Protocol not supported");
	assert_null(handle);
	assert_ptr_equal(tpk_ring_ops_find(TPACKET_VERSION_AUTO), &tpk_ring_v3);
	assert_ptr_equal(tpk_ring_ops_find(TPACKET_VERSION_3), &tpk_ring_v3);
	assert_ptr_equal(tpk_ring_ops_find(TPACKET_VERSION_2), &tpk_ring_v2);
	assert_ptr_equal(tpk_ring_ops_find(TPACKET_VERSION_1), &tpk_ring_v1);
}

/* What only one version looks at does not disturb the others. */
static void test_options_of_another_version(void **state)
{
	struct tpacket_options options;

	tpacket_options_init(&options);
	options.retire_ms = 0;
	options.frame_bytes = 64;
	assert_true(options.flow_hash);
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v1, NULL), 0);
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v2, NULL), 0);
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v3, NULL), -EINVAL);
}

static void test_defaults_break_no_rule(void **state)
{
	struct tpacket_options options;
	struct tpacket_error error = {"untouched"};

	memset(&options, 0xff, sizeof(options));
	tpacket_options_init(&options);
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v3, &error), 0);
	assert_string_equal(error.message, "untouched");
	assert_int_equal(options.protocol, ETH_P_ALL);
	assert_int_equal(options.block_bytes, 1 << 20);
	assert_int_equal(options.block_count, 64);
	assert_int_equal(options.frame_bytes, 4096);
	assert_int_equal(options.retire_ms, 10);
	assert_int_equal(options.snap_length, 262144);
	assert_int_equal(options.fanout, TPACKET_FANOUT_NONE);
	assert_true(options.flow_hash);
	assert_true(options.shrink);
	assert_false(options.promiscuous || options.vnet_header || options.ignore_outgoing);
	assert_null(options.interface);
	assert_null(options.filter);
}

/* The limits themselves are allowed. */
static void test_edges_are_allowed(void **state)
{
	struct tpacket_options options;

	tpacket_options_init(&options);
	options.interface = "0123456789abcde";
	options.promiscuous = true;
	options.frame_bytes = 128;
	options.block_bytes = 4096;
	options.block_count = 1;
	options.retire_ms = 65535;
	options.snap_length = 1;
	options.filter = program;
	options.filter_length = 4096;
	options.fanout = TPACKET_FANOUT_EBPF;
	options.fanout_program_fd = 0;
	options.fanout_id = 65535;
	options.vnet_header_bytes = 12;
	options.vlan = TPACKET_VLAN_INSERT;
	options.reopen = true;
	options.reserve_sockets = 64;
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v3, NULL), 0);
	options.retire_ms = 1;
	options.filter_length = 1;
	options.fanout_id = 0;
	options.fanout_flags = 0xf;
	options.block_bytes = (1u << 31) - 4096;
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v3, NULL), 0);
}

static void test_long_value_does_not_overflow_the_message(void **state)
{
	char name[5000];
	struct tpacket_options options;
	struct tpacket_error error;

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = 0;
	tpacket_options_init(&options);
	options.interface = name;
	assert_int_equal(tpk_options_check(&options, &tpk_ring_v3, &error), -EINVAL);
	assert_true(strnlen(error.message, sizeof(error.message)) < sizeof(error.message));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interface_length),
		cmocka_unit_test(test_promiscuous_on_all),
		cmocka_unit_test(test_all_multicast_on_all),
		cmocka_unit_test(test_socket_type),
		cmocka_unit_test(test_protocol),
		cmocka_unit_test(test_vnet_dgram),
		cmocka_unit_test(test_vnet_bytes),
		cmocka_unit_test(test_vnet_bytes_zero),
		cmocka_unit_test(test_netns_empty),
		cmocka_unit_test(test_reopen_all),
		cmocka_unit_test(test_reserve_alone),
		cmocka_unit_test(test_reserve_many),
		cmocka_unit_test(test_vlan_type),
		cmocka_unit_test(test_vlan_v1),
		cmocka_unit_test(test_vlan_dgram),
		cmocka_unit_test(test_timestamp),
		cmocka_unit_test(test_block_zero),
		cmocka_unit_test(test_block_page),
		cmocka_unit_test(test_block_2gib),
		cmocka_unit_test(test_block_count),
		cmocka_unit_test(test_frame_zero),
		cmocka_unit_test(test_frame_16),
		cmocka_unit_test(test_frame_48),
		cmocka_unit_test(test_frame_64),
		cmocka_unit_test(test_frame_v2),
		cmocka_unit_test(test_frame_v1),
		cmocka_unit_test(test_frame_alignment),
		cmocka_unit_test(test_frame_block),
		cmocka_unit_test(test_frame_block_v2),
		cmocka_unit_test(test_block_frame),
		cmocka_unit_test(test_frames_32_bit),
		cmocka_unit_test(test_retire_zero),
		cmocka_unit_test(test_retire_large),
		cmocka_unit_test(test_snap_length),
		cmocka_unit_test(test_filter_empty),
		cmocka_unit_test(test_filter_long),
		cmocka_unit_test(test_filter_none),
		cmocka_unit_test(test_filter_fd),
		cmocka_unit_test(test_filter_both),
		cmocka_unit_test(test_fanout_type),
		cmocka_unit_test(test_fanout_flags),
		cmocka_unit_test(test_fanout_rollover),
		cmocka_unit_test(test_fanout_unique),
		cmocka_unit_test(test_defrag_block),
		cmocka_unit_test(test_defrag_block_v3),
		cmocka_unit_test(test_defrag_with_room),
		cmocka_unit_test(test_unknown_version),
		cmocka_unit_test(test_options_of_another_version),
		cmocka_unit_test(test_defaults_break_no_rule),
		cmocka_unit_test(test_edges_are_allowed),
		cmocka_unit_test(test_long_value_does_not_overflow_the_message),
	};
	/* The messages quote the page size. */
	if (sysconf(_SC_PAGESIZE) != 4096)
		return 77;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
