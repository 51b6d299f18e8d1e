/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From an amount of memory to a geometry, for the loopback interface of the namespace that the test runs in. Other
 * interfaces, MTUs and offloads: tests/netns/capture/test_interface_size.c.
 */
#include "cmocka_all.h"
#include "internal.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LONGEST 65536u /* loopback's MTU; its frames are not longer than this and some headers */

static uint64_t power_of_two(uint64_t bytes)
{
	uint64_t power = 1;

	while (power < bytes)
		power *= 2;
	return power;
}

static void options_of(struct tpacket_options *options, enum tpacket_version version, uint32_t snap_length)
{
	tpacket_options_init(options);
	options->interface = "lo";
	options->version = version;
	options->snap_length = snap_length;
}

static void assert_good(const struct tpacket_options *options, uint64_t memory, uint32_t frame)
{
	const struct tpk_ring_ops *ops = tpk_ring_ops_find(options->version);
	struct tpacket_error error = {""};
	uint64_t block = power_of_two(options->block_bytes); /* what the kernel allocates */

	int r = tpk_options_check(options, ops, &error);
	if (r < 0)
		print_error("%s\n", error.message);
	assert_int_equal(r, 0);
	assert_true(options->block_count >= 4);
	assert_true(block * options->block_count <= memory);
	if (options->version == TPACKET_VERSION_3) {
		assert_true(options->block_bytes > frame);
		assert_true(options->block_bytes <= 1u << 20);
		/* 16 blocks where smaller ones would still hold a frame. */
		assert_true(options->block_count >= 16 || block / 2 < frame + 200);
		assert_true(block * options->block_count * 2 > memory);
	} else {
		assert_true(options->frame_bytes > frame);
		/* Nothing much is wasted: of all memory no more than what one frame per block would. */
		uint64_t frames = (uint64_t)(options->block_bytes / options->frame_bytes) * options->block_count;
		assert_true(frames * power_of_two(frame + 200) * 2 > memory);
	}
}

static void test_every_amount(void **state)
{
	const uint32_t snap_lengths[] = {1, 64, 96, 1500, 9000, 65535, 262144};

	for (enum tpacket_version version = TPACKET_VERSION_3; tpk_ring_ops_find(version) && version > 0; version--) {
		for (size_t i = 0; i < COUNT(snap_lengths); i++) {
			uint32_t frame = snap_lengths[i] < LONGEST ? snap_lengths[i] : LONGEST;
			uint32_t last_frames = 0;
			for (uint64_t memory = 1u << 20; memory <= 1ull << 34; memory += memory / 3) {
				struct tpacket_options options;
				struct tpacket_error error = {""};
				options_of(&options, version, snap_lengths[i]);
				int r = tpacket_options_size(&options, memory, &error);
				if (r < 0)
					print_error("%s\n", error.message);
				assert_int_equal(r, 0);
				assert_good(&options, memory, frame);
				uint32_t frames = options.block_bytes / options.frame_bytes * options.block_count;
				assert_true(frames >= last_frames); /* more memory is never worse */
				last_frames = version == TPACKET_VERSION_3 ? 0 : frames;
			}
		}
	}
}

static void test_plenty_is_many_blocks(void **state)
{
	struct tpacket_options options;

	options_of(&options, TPACKET_VERSION_3, 262144);
	assert_int_equal(tpacket_options_size(&options, 1u << 30, NULL), 0);
	assert_int_equal(options.block_bytes, 1u << 20);
	assert_int_equal(options.block_count, 1024);
	assert_int_equal(tpacket_options_size(&options, UINT64_MAX, NULL), 0);
	assert_int_equal(options.block_bytes, 1u << 20);
}

static void test_nothing_else_is_touched(void **state)
{
	struct tpacket_options options, before;

	options_of(&options, TPACKET_VERSION_3, 1500);
	options.retire_ms = 77;
	before = options;
	assert_int_equal(tpacket_options_size(&options, 64u << 20, NULL), 0);
	before.frame_bytes = options.frame_bytes;
	before.block_bytes = options.block_bytes;
	before.block_count = options.block_count;
	assert_memory_equal(&options, &before, sizeof(options));
	/* And nothing at all when it fails. */
	before = options;
	assert_int_equal(tpacket_options_size(&options, 1000, NULL), -EINVAL);
	assert_memory_equal(&options, &before, sizeof(options));
}

static void test_a_filter_says_how_long_frames_are(void **state)
{
	const struct sock_filter cut[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), BPF_STMT(BPF_RET | BPF_K, 100),
		BPF_STMT(BPF_RET | BPF_K, 200)};
	const struct sock_filter computed[] = {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_RET | BPF_A, 0)};
	struct tpacket_options options;

	options_of(&options, TPACKET_VERSION_3, 64); /* counts without a filter only */
	options.filter = cut;
	options.filter_length = COUNT(cut);
	assert_int_equal(tpacket_options_size(&options, 4 * 4096, NULL), 0);
	options.filter = computed;
	options.filter_length = COUNT(computed);
	assert_int_equal(tpacket_options_size(&options, 4 * 4096, NULL), -EINVAL);
	options.filter = NULL;
	options.filter_fd = 3; /* keeps nobody knows how much */
	assert_int_equal(tpacket_options_size(&options, 4 * 4096, NULL), -EINVAL);
	options.filter_fd = -1;
	assert_int_equal(tpacket_options_size(&options, 4 * 4096, NULL), 0);
}

static void assert_error(const struct tpacket_options *from, uint64_t memory, int want, const char *message)
{
	struct tpacket_options options = *from;
	struct tpacket_error error = {""};

	assert_int_equal(tpacket_options_size(&options, memory, &error), want);
	assert_string_equal(error.message, message);
}

static void test_errors(void **state)
{
	struct tpacket_options options;

	options_of(&options, TPACKET_VERSION_3, 5000);
	assert_error(&options, 30000, -EINVAL,
		"memory_bytes: 30000: must be at least 32768, 4 blocks of 8192 for frames of up to 5000 bytes");
	assert_int_equal(tpacket_options_size(&options, 32767, NULL), -EINVAL);
	assert_int_equal(tpacket_options_size(&options, 32768, NULL), 0);
	options.interface = "nosuch0";
	assert_error(&options, 1u << 20, -ENODEV, "interface: 'nosuch0': its longest frame: No such device");
	options.interface = "a-name-that-is-too-long";
	assert_error(
		&options, 1u << 20, -EINVAL, "interface: 'a-name-that-is-too-long': a name has at most 15 characters");
	options.interface = "lo";
	options.version = (enum tpacket_version)9;
	assert_error(&options, 1u << 20, -EINVAL, "version: 9: must be between 1 and 3, or 0 for the best");
	options.version = TPACKET_VERSION_3;
	options.netns = "/nosuch";
	assert_error(&options, 1u << 20, -ENOENT, "netns: '/nosuch': open: No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_amount),
		cmocka_unit_test(test_plenty_is_many_blocks),
		cmocka_unit_test(test_nothing_else_is_touched),
		cmocka_unit_test(test_a_filter_says_how_long_frames_are),
		cmocka_unit_test(test_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
