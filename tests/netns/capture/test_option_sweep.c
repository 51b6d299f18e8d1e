/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thousands of combinations of options, most of them with a few odd values: each one opens and starts, or is refused
 * with a message that names the option. The kernel's bare EINVAL never comes through, so every rule of the kernel is
 * one of tpk_options_check(), too. Each process of the test has a fixed seed.
 */
#include "net.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define PROCESSES 25
#define COMBINATIONS 160 /* for each of them */
#define MAX_MEMBERS 2u
#define DOWN "wbd0" /* an interface that is down */

static uint64_t seed;
static int program_fd;

static uint32_t next_random(uint32_t limit)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(seed >> 32) % limit;
}

/* One of the values; rarely one of the odd ones behind the first `plain`. */
static uint32_t pick(const uint32_t *values, uint32_t plain, uint32_t count)
{
	return next_random(40) ? values[next_random(plain)] : values[next_random(count)];
}
#define PICK(plain, ...)                                                                                               \
	pick((const uint32_t[]){__VA_ARGS__}, plain, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

static const char *pick_interface(void)
{
	static const char *const names[] = {NET_LISTEN, NET_LISTEN, NET_LISTEN, "lo", DOWN, "", NULL};
	static const char *const odd_names[] = {"nosuch0", "0123456789abcde", "0123456789abcdef", " ", "%d", "."};

	return next_random(40) ? names[next_random(COUNT(names))] : odd_names[next_random(COUNT(odd_names))];
}

static const char *pick_netns(void)
{
	static const char *const paths[] = {"/proc/self/ns/net", "", "/nosuch"};

	return next_random(20) ? NULL : paths[next_random(COUNT(paths))];
}

static void pick_ring(struct tpacket_options *options)
{
	options->version = (enum tpacket_version)PICK(4, 0, 1, 2, 3, 4, 99);
	options->frame_bytes = PICK(5, 80, 128, 256, 2048, 4096, 0, 16, 32, 48, 64, 72, 79, 81, 96, 100, 112, 1000,
		8192, 65536, 1u << 31, UINT32_MAX, UINT32_MAX - 15);
	options->block_bytes = PICK(
		4, 20480, 8192, 65536, 131072, 4096, 12288, 0, 1, 80, 4095, 4097, 6144, 1u << 31, UINT32_MAX - 4095);
	options->block_count = PICK(5, 1, 2, 3, 4, 16, 0, 5, 1u << 20, 1u << 26, 1u << 28, UINT32_MAX);
	options->retire_ms = PICK(4, 1, 2, 10, 65535, 0, 65536, UINT32_MAX);
	options->snap_length = PICK(5, 2, 64, 1500, 262144, UINT32_MAX, 0, 1);
	options->flow_hash = next_random(2);
	/* The kernel refuses these at once; a smaller ring of so many blocks would take all memory. */
	options->shrink = options->block_count < 1u << 20 && next_random(2);
}

static void pick_socket(struct tpacket_options *options)
{
	options->interface = pick_interface();
	options->netns = pick_netns();
	options->socket_type = (enum tpacket_socket)PICK(4, 0, 0, 0, 1, 2, UINT32_MAX);
	options->protocol = (uint16_t)PICK(4, ETH_P_ALL, ETH_P_IP, NET_ETHERTYPE, 0xffff, 1, 0);
	options->promiscuous = next_random(8) == 0;
	options->all_multicast = next_random(8) == 0;
	options->ignore_outgoing = next_random(4) == 0;
	options->vnet_header = next_random(6) == 0;
	options->vnet_header_bytes = (uint8_t)PICK(3, 10, 10, 12, 0, 11, 255);
	options->vlan = (enum tpacket_vlan)PICK(4, 0, 0, 0, 1, 2);
	options->timestamp = (enum tpacket_timestamp)PICK(2, 0, 1, 2);
	options->reopen = next_random(8) == 0;
	options->reserve_sockets = options->reopen ? PICK(2, 0, 1, 65) : PICK(1, 0, 1);
}

static void pick_filter(struct tpacket_options *options)
{
	static const struct sock_filter whole[] = {BPF_STMT(BPF_RET | BPF_K, 65535)};
	static const struct sock_filter byte[] = {BPF_STMT(BPF_RET | BPF_K, 1)};
	uint32_t how = next_random(8);

	options->filter = how == 1 ? whole : how == 2 ? byte : NULL;
	options->filter_length = (uint16_t)(options->filter ? PICK(1, 1, 0, 4097) : PICK(1, 0, 1));
	options->filter_fd = how == 3 ? program_fd : (int)PICK(1, (uint32_t)-1, (uint32_t)-2, (uint32_t)program_fd);
}

static void pick_fanout(struct tpacket_options *options, uint16_t id)
{
	static const struct sock_filter choose[] = {BPF_STMT(BPF_RET | BPF_K, 0)};

	if (next_random(2))
		return;
	options->fanout = (enum tpacket_fanout)PICK(8, 0, 1, 2, 3, 4, 5, 6, 7, 8, (uint32_t)-2, 255, 256);
	options->fanout_flags = PICK(6, 0, 0, 0, 1, 2, 4, 3, 5, 6, 7, 8, 9, 15, 16, 0x1000, 0x2000);
	options->fanout_id = next_random(12) ? id : 0;
	if (options->fanout == TPACKET_FANOUT_CBPF || next_random(40) == 0) {
		options->fanout_program = next_random(40) ? choose : NULL;
		options->fanout_program_length = (uint16_t)PICK(1, 1, 0, 4097);
	}
	if (options->fanout == TPACKET_FANOUT_EBPF || next_random(40) == 0)
		options->fanout_program_fd = next_random(40) ? program_fd : -1;
	options->fanout_join_running = next_random(8) == 0;
}

/* The message begins with the name of an option, or with what is made of several. */
static bool names_an_option(const char *message)
{
	static const char *const names[] = {"interface", "netns", "version", "socket_type", "protocol", "frame_bytes",
		"block_bytes", "block_count", "retire_ms", "snap_length", "promiscuous", "all_multicast", "vnet_header",
		"vnet_header_bytes", "vlan", "timestamp", "filter", "filter_length", "filter_fd", "fanout",
		"fanout_flags", "fanout_id", "fanout_program", "fanout_program_length", "fanout_program_fd",
		"fanout_join_running", "reopen", "reserve_sockets", "ring"};
	size_t length = strcspn(message, ":");

	for (size_t i = 0; i < COUNT(names); i++)
		if (strlen(names[i]) == length && !strncmp(message, names[i], length))
			return message[length] == ':';
	return false;
}

/* What else than EINVAL can come of these values, and of which option. */
static bool is_expected(int r, const char *message)
{
	static const struct {
		int error;
		const char *begin;
	} others[] = {
		{-ENODEV, "interface: '"},
		{-ENOENT, "netns: '/nosuch'"},
		{-ENOMEM, "ring: "},
		{-EPROTONOSUPPORT, "version: 4: "},
		{-EPROTONOSUPPORT, "version: 99: "},
	};
	for (size_t i = 0; i < COUNT(others); i++)
		if (r == others[i].error && !strncmp(message, others[i].begin, strlen(others[i].begin)))
			return true;
	return r == -EINVAL && !strstr(message, "Invalid argument");
}

static void check_refusal(int r, const char *message)
{
	if (!is_expected(r, message) || !names_an_option(message))
		print_error("%d: '%s'\n", r, message);
	assert_true(is_expected(r, message));
	assert_true(names_an_option(message));
}

static void check_opened(const struct tpacket_options *options, struct tpacket *handle)
{
	struct tpacket_geometry geometry;

	tpacket_geometry(handle, &geometry);
	assert_int_equal(geometry.block_bytes, options->block_bytes);
	assert_int_equal(geometry.block_count, options->block_count);
	assert_int_equal(geometry.frame_bytes, options->frame_bytes);
	if (options->version != TPACKET_VERSION_AUTO)
		assert_int_equal(tpacket_version_in_use(handle), options->version);
	int r = tpacket_start(handle);
	if (r < 0)
		print_error("start: %d; fanout %d, flags 0x%x, id %u\n", r, (int)options->fanout, options->fanout_flags,
			options->fanout_id);
	assert_int_equal(r, 0);
}

/* Alone, or two members of a group. Returns whether it opened. */
static bool try_options(const struct tpacket_options *options)
{
	struct tpacket *handles[MAX_MEMBERS] = {NULL};
	struct tpacket_error error = {""};
	unsigned int count = options->fanout == TPACKET_FANOUT_NONE ? 1 : MAX_MEMBERS;
	int r = count == 1 ? tpacket_open(options, &handles[0], &error)
	                   : tpacket_open_group(options, count, handles, &error);

	if (r < 0) {
		check_refusal(r, error.message);
		return false;
	}
	assert_string_equal(error.message, "");
	for (unsigned int i = 0; i < count; i++)
		check_opened(options, handles[i]);
	for (unsigned int i = 0; i < count; i++)
		tpacket_close(handles[i]);
	return true;
}

static int load_program(void)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attributes = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = COUNT(code),
		.license = (uintptr_t) "",
	};

	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
}

/* In a namespace of its own. Returns how many opened. */
static uint32_t sweep(uint32_t first_seed)
{
	uint32_t opened = 0;

	net_enter();
	net_set_up(NULL);
	net_run("ip link set lo up && ip link add " DOWN " type veth peer name wbd1");
	int before = net_count_descriptors();
	seed = first_seed;
	for (uint32_t i = 0; i < COMBINATIONS; i++) {
		struct tpacket_options options;
		tpacket_options_init(&options);
		pick_ring(&options);
		pick_socket(&options);
		pick_filter(&options);
		pick_fanout(&options, (uint16_t)i);
		opened += try_options(&options);
	}
	assert_int_equal(net_count_descriptors(), before);
	return opened;
}

/* Closing a packet socket waits, but several processes wait together. */
static void test_sweep(void **state)
{
	uint32_t opened = 0;
	pid_t children[PROCESSES];
	uint32_t *counts =
		mmap(NULL, sizeof(*counts) * PROCESSES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(counts != MAP_FAILED);
	program_fd = load_program();
	if (program_fd < 0 && errno == ENOSYS)
		net_skip("a kernel without eBPF (CONFIG_BPF_SYSCALL)");
	assert_true(program_fd >= 0);
	for (uint32_t i = 0; i < PROCESSES; i++) {
		children[i] = fork();
		assert_true(children[i] >= 0);
		if (children[i])
			continue;
		/* An assertion that fails ends the child by way of cmocka, with a count of 0. */
		counts[i] = sweep(i);
		_exit(0);
	}
	for (uint32_t i = 0; i < PROCESSES; i++) {
		int status;
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
		assert_true(counts[i] > 0);
		opened += counts[i];
	}
	close(program_fd);
	munmap(counts, sizeof(*counts) * PROCESSES);
	print_message("%u of %u opened\n", opened, PROCESSES * COMBINATIONS);
	/* Else little was shown of the one or of the other. */
	assert_in_range(opened, PROCESSES * COMBINATIONS / 5, PROCESSES * COMBINATIONS / 5 * 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sweep),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
