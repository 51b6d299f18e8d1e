/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole message of every step of opening that can fail, in order, against a fake kernel: it says which option was
 * about to be set, or which system call it was, and why it failed. Those of the options' own rules are in
 * test_options.c and test_fanout_check.c.
 */
#include "cmocka_all.h"
#include "fake_kernel.h"
#include "internal.h"

#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define FULL ": Exchange full" /* EXFULL: none that the library treats in a special way */
#define MEMORY ": Cannot allocate memory"

struct step {
	const char *name;
	const char *message; /* NULL: the opening can do without */
};

static struct sock_filter program[] = {{BPF_RET | BPF_K, 0, 0, 123}};
static struct sock_filter chooser[] = {{BPF_RET | BPF_K, 0, 0, 0}};

static int open_failing(const struct tpacket_options *options, int fail_at, struct tpacket_error *ret_error)
{
	struct tpacket *handle = NULL;

	memset(&fake, 0, sizeof(fake));
	fake.fail_at = fail_at;
	fake.error = EXFULL;
	fake.is_active = true;
	int r = tpacket_open(options, &handle, ret_error);
	fake.is_active = false;
	tpacket_close(handle);
	return r;
}

static void check_steps(const struct tpacket_options *options, const struct step *steps, int count)
{
	for (int i = 0; i < count; i++) {
		struct tpacket_error error = {""};
		int r = open_failing(options, i, &error);
		if (!fake.names[i] || strcmp(fake.names[i], steps[i].name) != 0)
			print_error("step %d is '%s'\n", i, fake.names[i] ? fake.names[i] : "");
		assert_string_equal(fake.names[i], steps[i].name);
		assert_int_equal(r < 0, steps[i].message != NULL);
		assert_string_equal(error.message, steps[i].message ? steps[i].message : "");
	}
	/* There is no further one. */
	assert_int_equal(open_failing(options, count, NULL), 0);
	assert_int_equal(fake.calls, count);
}

static void test_every_option(void **state)
{
	static const struct step steps[] = {
		{"calloc", "handle" MEMORY},
		{"strdup", "interface: copy of the name" MEMORY},
		{"strdup", "netns: copy of the path" MEMORY},
		{"malloc", "filter: copy of 1 instructions" MEMORY},
		{"malloc", "fanout_program: copy of 1 instructions" MEMORY},
		{"eventfd", "eventfd" FULL},
		{"open", "netns: '/dev/null': open" FULL},
		{"thread", "netns: '/dev/null': thread" FULL},
		{"setns", "netns: '/dev/null': setns" FULL},
		{"socket", "packet socket" FULL},
		{"index", "interface: 'fake0'" FULL},
		{"VERSION", "version: TPACKET_V3: the kernel does not know it" FULL},
		{"RESERVE", "vlan: insert: PACKET_RESERVE of 4 bytes" FULL},
		{"VNET_HDR_SZ", "vnet_header: 12 bytes: PACKET_VNET_HDR_SZ (Linux 6.5)" FULL},
		{"TIMESTAMP", "timestamp: hardware: PACKET_TIMESTAMP" FULL},
		{"IGNORE_OUTGOING", "ignore_outgoing: true: PACKET_IGNORE_OUTGOING" FULL},
		{"FILTER", "filter: the kernel refuses this program of 1 instructions" FULL},
		{"FILTER", "filter: SO_ATTACH_FILTER" FULL},
		{"RX_RING", "ring: 16 blocks of 4096 bytes" FULL},
		{"mmap", "ring: 16 blocks of 4096 bytes" FULL},
		{"bind", "interface: 'fake0': bind" FULL},
		{"SO_ERROR", "interface: 'fake0': bind" FULL},
		{"getsockname", "interface: 'fake0': bind" FULL},
		{"name", "interface: 'fake0': bind" FULL},
		{"MEMBERSHIP", "promiscuous or all_multicast: 'fake0'" FULL},
		{"MEMBERSHIP", "promiscuous or all_multicast: 'fake0'" FULL},
		{"FANOUT", "fanout: type 6, flags 0x6, id 43981: PACKET_FANOUT" FULL},
		{"get", "fanout: reading the id back" FULL},
		{"FANOUT_DATA", "fanout_program: the kernel refuses this program of 1 instructions" FULL},
		{"calloc", "reserve_sockets: 2" MEMORY},
		{"open", "netns: '/dev/null': open" FULL},
		{"thread", "netns: '/dev/null': thread" FULL},
		{"setns", "netns: '/dev/null': setns" FULL},
		{"socket", "packet socket" FULL},
		{"open", "netns: '/dev/null': open" FULL},
		{"thread", "netns: '/dev/null': thread" FULL},
		{"setns", "netns: '/dev/null': setns" FULL},
		{"socket", "packet socket" FULL},
		{"calloc", "reopen: group" MEMORY},
		{"socket", "reopen: group" FULL},
	};
	struct tpacket_options options;

	tpacket_options_init(&options);
	options.interface = "fake0";
	options.netns = "/dev/null"; /* not where the test is */
	options.version = TPACKET_VERSION_3;
	options.block_bytes = 4096;
	options.block_count = 16;
	options.promiscuous = true;
	options.all_multicast = true;
	options.ignore_outgoing = true;
	options.vnet_header = true;
	options.vnet_header_bytes = 12;
	options.vlan = TPACKET_VLAN_INSERT;
	options.timestamp = TPACKET_TIMESTAMP_HARDWARE;
	options.filter = program;
	options.filter_length = 1;
	options.fanout = TPACKET_FANOUT_CBPF;
	options.fanout_flags = TPACKET_FANOUT_ROLL;
	options.fanout_id = 0xabcd;
	options.fanout_program = chooser;
	options.fanout_program_length = 1;
	options.reopen = true;
	options.reserve_sockets = 2;
	check_steps(&options, steps, COUNT(steps));
}

/* Programs that are descriptors, of a socket in this namespace. */
static void test_descriptors(void **state)
{
	static const struct step steps[] = {
		{"calloc", "handle" MEMORY},
		{"strdup", "interface: copy of the name" MEMORY},
		{"dup", "filter_fd: 0" FULL},
		{"malloc", "fanout_program_fd: 0" MEMORY},
		{"dup", "fanout_program_fd: 0" FULL},
		{"eventfd", "eventfd" FULL},
		{"open", NULL},
		{"socket", "packet socket" FULL},
		{"index", "interface: 'fake0'" FULL},
		{"VERSION", "version: TPACKET_V3: the kernel does not know it" FULL},
		{"VNET_HDR", "vnet_header: 10 bytes: PACKET_VNET_HDR" FULL},
		{"BPF", "filter_fd: the kernel refuses this program" FULL},
		{"FILTER", "filter: SO_ATTACH_FILTER" FULL},
		{"RX_RING", "ring: 64 blocks of 4096 bytes" FULL},
		{"mmap", "ring: 64 blocks of 4096 bytes" FULL},
		{"bind", "interface: 'fake0': bind" FULL},
		{"SO_ERROR", "interface: 'fake0': bind" FULL},
		{"getsockname", "interface: 'fake0': bind" FULL},
		{"name", "interface: 'fake0': bind" FULL},
		{"FANOUT", "fanout: type 7, flags 0x0, id 0: PACKET_FANOUT" FULL},
		{"get", "fanout: reading the id back" FULL},
		{"FANOUT_DATA", "fanout_program_fd: the kernel refuses this program" FULL},
		{"calloc", "reopen: group" MEMORY},
		{"socket", "reopen: group" FULL},
	};
	struct tpacket_options options;

	tpacket_options_init(&options);
	options.interface = "fake0";
	options.block_bytes = 4096;
	options.vnet_header = true;
	options.filter_fd = 0;
	options.fanout = TPACKET_FANOUT_EBPF;
	options.fanout_program_fd = 0;
	options.reopen = true;
	check_steps(&options, steps, COUNT(steps));
}

/* Rules of a group that is opened at once. */
static void test_group(void **state)
{
	const struct {
		unsigned int count;
		enum tpacket_fanout fanout;
		unsigned int flags;
		const char *message;
	} cases[] = {
		{0, TPACKET_FANOUT_HASH, 0, "count: 0: a group has between 1 and 256 members"},
		{257, TPACKET_FANOUT_HASH, 0, "count: 257: a group has between 1 and 256 members"},
		{2, TPACKET_FANOUT_NONE, 0, "fanout: -1 (none): a group needs to know how packets are distributed"},
		{2, TPACKET_FANOUT_HASH, TPACKET_FANOUT_UNIQUE_ID,
			"fanout_join_running: true: a group whose id is yet to be chosen does not run already"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tpacket *handles[2];
		struct tpacket_options options;
		struct tpacket_error error = {""};
		tpacket_options_init(&options);
		options.fanout = cases[i].fanout;
		options.fanout_flags = cases[i].flags;
		options.fanout_join_running = cases[i].flags != 0;
		assert_int_equal(tpacket_open_group(&options, cases[i].count, handles, &error), -EINVAL);
		assert_string_equal(error.message, cases[i].message);
		assert_int_equal(tpacket_open_group(&options, cases[i].count, handles, NULL), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_group),
		cmocka_unit_test(test_every_option),
		cmocka_unit_test(test_descriptors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
