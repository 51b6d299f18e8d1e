/* SPDX-License-Identifier: Apache-2.0 */
/*
 * While one thread reads, two others call everything that is no reading function, all the time, as tpacket.h allows.
 * Each call does what it says, and ThreadSanitizer finds nothing. (What a reopening changes: test_reopen_threads.c.)
 */
#include "net.h"

#include <linux/bpf.h>
#include <linux/filter.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CONTROLLERS 2
#define ROUNDS 12
#define FRAME_BYTES 100u
#define SECONDS 60

static struct tpacket *handle;
static uint32_t finished; /* atomic: controllers */
static uint32_t read_to;  /* atomic: the number of the last packet */

struct controller {
	pthread_t thread;
	int program; /* eBPF; -1: this kernel has none */
	const char *failed;
	int result;
};

/* After the filter was locked by the other one some calls may be refused. */
static void expect(struct controller *controller, const char *name, int result)
{
	if (result == 0 || result == -EPERM || controller->failed)
		return;
	controller->failed = name;
	controller->result = result;
}
#define EXPECT(call) expect(controller, #call, call)

static void change_filter(struct controller *controller, bool is_classic)
{
	static const struct sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, 2000)};
	static const struct sock_filter first[] = {BPF_STMT(BPF_RET | BPF_K, 0)};

	EXPECT(tpacket_stop(handle));
	if (is_classic)
		EXPECT(tpacket_set_filter(handle, all, 1));
	else if (controller->program >= 0)
		EXPECT(tpacket_set_filter_fd(handle, controller->program));
	EXPECT(tpacket_start(handle));
	EXPECT(tpacket_set_filter(handle, NULL, 0));
	EXPECT(tpacket_set_fanout_program(handle, first, 1, -1));
}

static void ask(struct controller *controller)
{
	struct tpacket_counters counters;
	struct tpacket_geometry geometry;
	unsigned int flags;
	char name[16];

	EXPECT(tpacket_stats(handle, &counters));
	EXPECT(counters.read + counters.dropped <= counters.seen ? 0 : -ERANGE);
	EXPECT(tpacket_interface_name(handle, name));
	EXPECT(tpacket_fanout_group(handle, NULL, NULL, &flags));
	EXPECT(tpacket_fanout_id(handle) == 77 ? 0 : -ENOENT);
	tpacket_geometry(handle, &geometry);
	EXPECT(geometry.block_count ? 0 : -ENOENT);
	EXPECT(tpacket_interface_index(handle) == net_index(NET_LISTEN) ? 0 : -ENODEV);
	EXPECT(tpacket_hardware_type(handle) == 1 ? 0 : -ENODEV);
	EXPECT(tpacket_version_in_use(handle) != TPACKET_VERSION_AUTO ? 0 : -ENOENT);
	EXPECT(tpacket_fd(handle) >= 0 ? 0 : -EBADF);
}

static void *control(void *argument)
{
	struct controller *controller = argument;

	tpacket_get(handle);
	for (int i = 0; i < ROUNDS; i++) {
		change_filter(controller, i % 2);
		ask(controller);
		EXPECT(tpacket_set_promiscuous(handle, i % 2));
		EXPECT(tpacket_set_all_multicast(handle, i % 2));
		int r = tpacket_send(handle, "0123456789ab\x88\xb5xx", 16);
		EXPECT(r == -ENOBUFS ? 0 : r); /* the other end is busy */
		tpacket_wake(handle);
	}
	/* Refused while the other one has stopped it. */
	while (tpacket_lock_filter(handle) == -EINVAL)
		usleep(1000);
	__atomic_fetch_add(&finished, 1, __ATOMIC_RELEASE);
	while (__atomic_load_n(&finished, __ATOMIC_ACQUIRE) <= CONTROLLERS)
		usleep(1000);
	tpacket_close(handle);
	return NULL;
}

static void note(const struct tpacket_packet *packet)
{
	if (packet->captured_length == FRAME_BYTES)
		__atomic_store_n(&read_to, net_number(packet->data + NET_NUMBER_AT), __ATOMIC_RELAXED);
}

static int read_some(bool by_lease)
{
	struct tpacket_packet packet;
	struct tpacket_lease lease;
	void *memory = NULL;

	if (!by_lease) {
		int r = tpacket_read_copy(handle, -1, &packet, &memory);
		if (r == 1)
			note(&packet);
		free(memory);
		return r;
	}
	int r = tpacket_acquire(handle, -1, &lease);
	while (r == 1 && tpacket_lease_next(&lease, &packet))
		note(&packet);
	tpacket_release(&lease);
	return r;
}

static void *read_until_closed(void *argument)
{
	bool by_lease = *(const bool *)argument;
	int r;

	do
		r = read_some(by_lease);
	while (r >= 0);
	return (void *)(intptr_t)r;
}

static int load_program(void)
{
	const struct bpf_insn code[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 2000},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attributes = {
		.prog_type = BPF_PROG_TYPE_SOCKET_FILTER,
		.insns = (uintptr_t)code,
		.insn_cnt = 2,
		.license = (uintptr_t) "",
	};

	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attributes, sizeof(attributes));
}

static void open_handle(enum tpacket_version version)
{
	static const struct sock_filter first[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct tpacket_options options;

	net_options(&options);
	options.version = version;
	options.frame_bytes = 256;
	options.fanout = TPACKET_FANOUT_CBPF;
	options.fanout_id = 77;
	options.fanout_program = first;
	options.fanout_program_length = 1;
	handle = net_open(&options);
}

/* Send until the controllers have finished, and then until the last frame was read. */
static void send_meanwhile(int sender)
{
	double begin = net_now_ms();
	uint32_t number = 1, last = 0;

	while (!last || __atomic_load_n(&read_to, __ATOMIC_RELAXED) < last) {
		assert_true(net_now_ms() - begin < 1000.0 * SECONDS);
		net_send_numbers(sender, FRAME_BYTES, number++, 1);
		usleep(500);
		if (!last && __atomic_load_n(&finished, __ATOMIC_ACQUIRE) == CONTROLLERS)
			last = number;
	}
}

static void control_while_reading(enum tpacket_version version, bool by_lease)
{
	struct controller controllers[CONTROLLERS];
	int sender = net_sender(NET_SEND), program = load_program();
	pthread_t reader;
	void *result;

	finished = 0;
	read_to = 0;
	open_handle(version);
	assert_int_equal(pthread_create(&reader, NULL, read_until_closed, &by_lease), 0);
	for (int i = 0; i < CONTROLLERS; i++) {
		controllers[i] = (struct controller){.program = program};
		assert_int_equal(pthread_create(&controllers[i].thread, NULL, control, &controllers[i]), 0);
	}
	send_meanwhile(sender);
	/* It was locked while packets passed, and stays so. */
	assert_int_equal(tpacket_set_filter(handle, NULL, 0), -EPERM);
	assert_int_equal(tpacket_stop(handle), -EPERM);
	struct tpacket *last = tpacket_get(handle);
	tpacket_close(handle);
	pthread_join(reader, &result);
	assert_int_equal((int)(intptr_t)result, -ESHUTDOWN);
	__atomic_fetch_add(&finished, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < CONTROLLERS; i++) {
		pthread_join(controllers[i].thread, NULL);
		if (controllers[i].failed)
			print_error("%s: %d\n", controllers[i].failed, controllers[i].result);
		assert_null(controllers[i].failed);
	}
	tpacket_close(last);
	close(sender);
	if (program >= 0)
		close(program);
}

static void test_controlled_by_lease(void **state)
{
	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++)
		control_while_reading(version, true);
}

static void test_controlled_packet_by_packet(void **state)
{
	for (enum tpacket_version version = TPACKET_VERSION_1; version <= TPACKET_VERSION_3; version++)
		control_while_reading(version, false);
}

#define NET_TEST(f) cmocka_unit_test_setup_teardown(f, net_set_up, net_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		NET_TEST(test_controlled_by_lease),
		NET_TEST(test_controlled_packet_by_packet),
	};
	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
