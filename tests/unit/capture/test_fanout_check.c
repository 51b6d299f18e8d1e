/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of the fanout options, each with its message. */
#include "cmocka_all.h"
#include "internal.h"

static struct sock_filter program[4097] = {BPF_STMT(BPF_RET | BPF_K, 1)};

static void options_of(struct tpacket_options *options, int type)
{
	tpacket_options_init(options);
	options->fanout = (enum tpacket_fanout)type;
	options->fanout_program = type == TPACKET_FANOUT_CBPF ? program : NULL;
	options->fanout_program_length = type == TPACKET_FANOUT_CBPF;
	options->fanout_program_fd = type == TPACKET_FANOUT_EBPF ? 0 : -1;
}

static void assert_refused(const struct tpacket_options *options, const char *message)
{
	struct tpacket_error error = {""};

	assert_int_equal(tpk_fanout_check(options, &error), -EINVAL);
	assert_string_equal(error.message, message);
	assert_int_equal(tpk_fanout_check(options, NULL), -EINVAL);
}

static void test_every_mode_is_accepted(void **state)
{
	struct tpacket_options options;

	for (int type = TPACKET_FANOUT_NONE; type <= TPACKET_FANOUT_EBPF; type++) {
		options_of(&options, type);
		assert_int_equal(tpk_fanout_check(&options, NULL), 0);
		options.fanout_join_running = type != TPACKET_FANOUT_NONE;
		assert_int_equal(tpk_fanout_check(&options, NULL), 0);
	}
	options_of(&options, TPACKET_FANOUT_CBPF);
	options.fanout_program_length = 4096;
	assert_int_equal(tpk_fanout_check(&options, NULL), 0);
}

static void test_types_and_flags(void **state)
{
	struct tpacket_options options;

	options_of(&options, 8);
	assert_refused(&options, "fanout: 8: must be between 0 and 7, or -1 for none");
	options_of(&options, -2);
	assert_refused(&options, "fanout: -2: must be between 0 and 7, or -1 for none");
	options_of(&options, TPACKET_FANOUT_HASH);
	options.fanout_flags = 16;
	assert_refused(&options, "fanout_flags: 0x10: only the bits 0xf are known");
	options_of(&options, TPACKET_FANOUT_ROLLOVER);
	options.fanout_flags = TPACKET_FANOUT_ROLL;
	assert_refused(&options, "fanout_flags: 0x2: roll over says nothing new to fanout rollover");
	options_of(&options, TPACKET_FANOUT_HASH);
	options.fanout_flags = TPACKET_FANOUT_UNIQUE_ID;
	options.fanout_id = 5;
	assert_refused(&options, "fanout_id: 5: must be 0 when the kernel is to choose it (unique id)");
}

static void test_programs(void **state)
{
	struct tpacket_options options;

	options_of(&options, TPACKET_FANOUT_CBPF);
	options.fanout_program = NULL;
	assert_refused(&options, "fanout_program: NULL: fanout 6 (cBPF) needs the program that chooses");
	options_of(&options, TPACKET_FANOUT_CBPF);
	options.fanout_program_length = 0;
	assert_refused(&options, "fanout_program_length: 0: a program has between 1 and 4096 instructions");
	options.fanout_program_length = 4097;
	assert_refused(&options, "fanout_program_length: 4097: a program has between 1 and 4096 instructions");
	options_of(&options, TPACKET_FANOUT_CBPF);
	options.fanout_program_fd = 3;
	assert_refused(&options, "fanout_program_fd: 3: only fanout 7 (eBPF) has one, not 6");
	options_of(&options, TPACKET_FANOUT_EBPF);
	options.fanout_program_fd = -1;
	assert_refused(&options, "fanout_program_fd: -1: fanout 7 (eBPF) needs the program that chooses");
	options_of(&options, TPACKET_FANOUT_EBPF);
	options.fanout_program = program;
	assert_refused(&options, "fanout_program: only fanout 6 (cBPF) has one, not 7");
	for (int type = TPACKET_FANOUT_NONE; type <= TPACKET_FANOUT_QUEUE_MAPPING; type++) {
		options_of(&options, type);
		options.fanout_program = program;
		assert_int_equal(tpk_fanout_check(&options, NULL), -EINVAL);
		options_of(&options, type);
		options.fanout_program_fd = 0;
		assert_int_equal(tpk_fanout_check(&options, NULL), -EINVAL);
	}
}

/* What keeps one byte of a packet could not be told from the markers. */
static void test_joining_a_running_group(void **state)
{
	struct tpacket_options options;

	options_of(&options, TPACKET_FANOUT_NONE);
	options.fanout_join_running = true;
	assert_refused(&options, "fanout_join_running: true: needs fanout");
	options_of(&options, TPACKET_FANOUT_HASH);
	options.fanout_join_running = true;
	options.snap_length = 1;
	assert_refused(&options, "snap_length: 1: must be more than 1 with fanout_join_running");
	options.snap_length = 2;
	options.filter = program;
	options.filter_length = 1;
	assert_refused(&options, "filter: instruction 0 keeps 1 bytes: must be more than 1 with fanout_join_running");
	options.fanout_join_running = false;
	assert_int_equal(tpk_fanout_check(&options, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_mode_is_accepted),
		cmocka_unit_test(test_types_and_flags),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_joining_a_running_group),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
