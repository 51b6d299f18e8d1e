/* SPDX-License-Identifier: Apache-2.0 */
#include "gone.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 6000
#define MAX_DESCRIPTORS 256

static int taken[MAX_DESCRIPTORS];
static unsigned int taken_count;

void gone_options(struct tpacket_options *options)
{
	net_options(options);
	options->block_bytes = 1u << 16;
	options->block_count = 8;
	options->reopen = true;
}

void gone_delete(void)
{
	net_run("ip link del " NET_LISTEN);
}

void gone_recreate(void)
{
	net_set_up(NULL);
}

uint32_t gone_wait_gone(struct tpacket *handle)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;
	double begin = net_now_ms();
	uint32_t packets = 0;
	int r;

	while ((r = tpacket_acquire(handle, 1000, &lease)) != -ENODEV) {
		assert_true(r == 0 || r == 1 || r == -ENETDOWN);
		assert_true(net_now_ms() - begin < PATIENCE_MS);
		while (r == 1 && tpacket_lease_next(&lease, &packet))
			packets++;
		tpacket_release(&lease);
	}
	return packets;
}

void gone_wait_back(struct tpacket *handle)
{
	struct tpacket_lease lease;
	double begin = net_now_ms();
	int r;

	while ((r = tpacket_acquire(handle, 1000, &lease)) != -ENETRESET) {
		if (r)
			print_error("instead of coming back: %d\n", r);
		assert_int_equal(r, 0);
		assert_true(net_now_ms() - begin < PATIENCE_MS);
	}
}

void gone_counters(struct tpacket *handle, struct tpacket_counters *ret_counters)
{
	assert_int_equal(tpacket_stats(handle, ret_counters), 0);
}

static void check_number(const struct tpacket_packet *packet, void *argument)
{
	uint32_t *next = argument;

	assert_int_equal(net_number(packet->data + NET_NUMBER_AT), *next);
	(*next)++;
}

void gone_pass(struct tpacket *handle, uint32_t first, uint32_t count)
{
	int sender = net_sender(NET_SEND);
	uint32_t next = first;

	net_send_numbers(sender, 100, first, count);
	assert_int_equal(net_drain(handle, 20 * NET_RETIRE_MS, check_number, &next), count);
	close(sender);
}

static void limit_descriptors(rlim_t count)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = count < limit.rlim_max ? count : limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

unsigned int gone_take_descriptors(void)
{
	int fd;

	limit_descriptors(MAX_DESCRIPTORS);
	while ((fd = fcntl(0, F_DUPFD_CLOEXEC, 0)) >= 0)
		taken[taken_count++] = fd;
	return taken_count;
}

void gone_give_descriptors(void)
{
	while (taken_count)
		close(taken[--taken_count]);
	limit_descriptors(1024);
}

/* As net_enter() does for this process: every packet is counted. */
static void no_ipv6(const char *interfaces)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", interfaces);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) != 1)
		_exit(1);
	close(fd);
}

pid_t gone_other_namespace(void)
{
	int pipe_fds[2];
	char ready;

	assert_int_equal(pipe(pipe_fds), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (unshare(CLONE_NEWNET) < 0)
			_exit(1);
		no_ipv6("all");
		no_ipv6("default");
		if (write(pipe_fds[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], &ready, 1), 1);
	close(pipe_fds[0]);
	return child;
}

void gone_end_process(pid_t process)
{
	kill(process, SIGTERM);
	assert_int_equal(waitpid(process, NULL, 0), process);
}
