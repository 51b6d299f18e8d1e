/* SPDX-License-Identifier: Apache-2.0 */
#include "far.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define TCP_PORT 4000
#define WRITE_BYTES 65536u
#define MAX_REQUEST 4096u

enum request_kind { REQUEST_INDEX, REQUEST_FRAME, REQUEST_TCP, REQUEST_RUN };

struct request {
	enum request_kind kind;
	uint32_t bytes;
	uint8_t data[MAX_REQUEST];
};

static struct sockaddr_in here(void)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(TCP_PORT),
		.sin_addr.s_addr = htonl(0x0a090001),
	};
}

uint8_t far_tcp_byte(uint32_t at)
{
	at %= WRITE_BYTES;
	return (uint8_t)(at * 7 + at / 251);
}

/* In the other process, which has no cmocka: each answers 0, or what went wrong. */

static int send_frame(const struct request *request)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(NET_SEND)};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	int r = -1;

	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		send(fd, request->data, request->bytes, 0) == (ssize_t)request->bytes)
		r = 0;
	close(fd);
	return r;
}

static int send_tcp(uint32_t bytes)
{
	static uint8_t buffer[WRITE_BYTES];
	struct sockaddr_in address = here();
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	for (uint32_t i = 0; i < WRITE_BYTES; i++)
		buffer[i] = far_tcp_byte(i);
	int r = connect(fd, (struct sockaddr *)&address, sizeof(address));
	while (r == 0 && bytes > 0) {
		ssize_t sent = send(fd, buffer, bytes < WRITE_BYTES ? bytes : WRITE_BYTES, 0);
		if (sent < 0)
			r = -1;
		else
			bytes -= (uint32_t)sent;
	}
	close(fd);
	return r;
}

static int answer(const struct request *request)
{
	switch (request->kind) {
	case REQUEST_INDEX:
		return (int)if_nametoindex(NET_SEND);
	case REQUEST_FRAME:
		return send_frame(request);
	case REQUEST_TCP:
		return send_tcp(request->bytes);
	case REQUEST_RUN:
		return system((const char *)request->data);
	}
	return -1;
}

static _Noreturn void serve(int fd)
{
	struct request request;
	int result = unshare(CLONE_NEWNET);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	do {
		if (send(fd, &result, sizeof(result), MSG_NOSIGNAL) != (ssize_t)sizeof(result))
			break;
		ssize_t got = recv(fd, &request, sizeof(request), 0);
		if (got != (ssize_t)sizeof(request))
			break;
		result = answer(&request);
	} while (true);
	_exit(0);
}

static int wait_answer(struct far *far)
{
	int result;

	assert_int_equal(recv(far->fd, &result, sizeof(result), 0), sizeof(result));
	return result;
}

static void ask(struct far *far, enum request_kind kind, const void *data, uint32_t bytes)
{
	struct request request = {.kind = kind, .bytes = bytes};

	if (data) {
		assert_true(bytes <= MAX_REQUEST);
		memcpy(request.data, data, bytes);
	}
	assert_int_equal(send(far->fd, &request, sizeof(request), 0), sizeof(request));
}

void far_begin(struct far *far)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
	far->pid = fork();
	assert_true(far->pid >= 0);
	if (far->pid == 0) {
		close(fds[0]);
		serve(fds[1]);
	}
	close(fds[1]);
	far->fd = fds[0];
	assert_int_equal(wait_answer(far), 0);
	net_run("ip link set " NET_SEND " netns %d", far->pid);
	/* No checking for duplicate addresses, no neighbour discovery: the tests count packets. */
	far_run(far,
		"echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6; ip address add 10.9.0.2/24 dev " NET_SEND
		" && ip link set " NET_SEND " up && ip neighbour add 10.9.0.1 lladdr 02:00:00:00:00:01 dev " NET_SEND);
	net_run("ip address add 10.9.0.1/24 dev " NET_LISTEN);
	net_run("ip neighbour add 10.9.0.2 lladdr 02:00:00:00:00:02 dev " NET_LISTEN);
	net_wait_running(NET_LISTEN);
}

unsigned int far_index(struct far *far)
{
	ask(far, REQUEST_INDEX, NULL, 0);
	int index = wait_answer(far);
	assert_true(index > 0);
	return (unsigned int)index;
}

void far_send(struct far *far, const void *frame, uint32_t bytes)
{
	ask(far, REQUEST_FRAME, frame, bytes);
	assert_int_equal(wait_answer(far), 0);
}

void far_tcp(struct far *far, uint32_t bytes)
{
	static uint8_t buffer[WRITE_BYTES];
	struct sockaddr_in address = here();
	int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint32_t total = 0;
	ssize_t got;

	assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	ask(far, REQUEST_TCP, NULL, bytes);
	int fd = accept(listener, NULL, NULL);
	assert_true(fd >= 0);
	while ((got = recv(fd, buffer, sizeof(buffer), 0)) > 0)
		total += (uint32_t)got;
	assert_int_equal(total, bytes);
	assert_int_equal(wait_answer(far), 0);
	close(fd);
	close(listener);
}

void far_run(struct far *far, const char *command)
{
	ask(far, REQUEST_RUN, command, (uint32_t)strlen(command) + 1);
	assert_int_equal(wait_answer(far), 0);
}

void far_end(struct far *far)
{
	/* The pair of interfaces goes with the namespace; do not wait for that. */
	net_run("ip link del " NET_LISTEN);
	close(far->fd);
	assert_int_equal(waitpid(far->pid, NULL, 0), far->pid);
}
