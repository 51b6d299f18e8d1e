/* SPDX-License-Identifier: Apache-2.0 */
#include "cmocka_all.h"
#include "fake_kernel.h"
#include "kernel.h"

#include <errno.h>

#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct fake_kernel fake;

/* Record a call; true: it is to fail. */
static bool step(const char *name)
{
	if (!fake.is_active || (fake.only && strcmp(fake.only, name) != 0))
		return false;
	assert_true(fake.calls < MAX_STEPS);
	fake.names[fake.calls] = name;
	if (fake.calls++ != fake.fail_at)
		return false;
	errno = fake.error;
	return true;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_socket(int domain, int type, int protocol);
int __real_socket(int domain, int type, int protocol);
int __wrap_socket(int domain, int type, int protocol)
{
	if (!fake.is_active)
		return __real_socket(domain, type, protocol);
	assert_int_equal(protocol, 0); /* receives nothing before it is bound */
	if (step("socket"))
		return -1;
	if (fake.has_no_rights && domain == AF_PACKET) {
		errno = EPERM;
		return -1;
	}
	return __real_open("/dev/null", O_RDWR | O_CLOEXEC);
}

int __wrap_open(const char *path, int flags, ...)
{
	return step("open") ? -1 : __real_open(path, flags);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
	assert_int_equal(command, F_DUPFD_CLOEXEC);
	return step("dup") ? -1 : __real_fcntl(fd, command, 0);
}

int __wrap_setns(int fd, int type);
int __wrap_setns(int fd, int type)
{
	assert_int_equal(type, CLONE_NEWNET);
	return step("setns") ? -1 : 0;
}

typedef void *thread_fn(void *argument);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_fn *run, void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_fn *run, void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, thread_fn *run, void *argument)
{
	return step("thread") ? errno : __real_pthread_create(thread, attributes, run, argument);
}

int __real_eventfd(unsigned int count, int flags);
int __wrap_eventfd(unsigned int count, int flags);
int __wrap_eventfd(unsigned int count, int flags)
{
	return step("eventfd") ? -1 : __real_eventfd(count, flags);
}

static const char *option_name(int level, int option)
{
	if (level == SOL_SOCKET)
		return option == SO_ATTACH_FILTER ? "FILTER" : option == SO_ATTACH_BPF ? "BPF" : "?";
	switch (option) {
	case PACKET_VERSION:
		return "VERSION";
	case PACKET_RESERVE:
		return "RESERVE";
	case PACKET_VNET_HDR:
		return "VNET_HDR";
	case PACKET_VNET_HDR_SZ:
		return "VNET_HDR_SZ";
	case PACKET_TIMESTAMP:
		return "TIMESTAMP";
	case PACKET_IGNORE_OUTGOING:
		return "IGNORE_OUTGOING";
	case PACKET_RX_RING:
		return "RX_RING";
	case PACKET_ADD_MEMBERSHIP:
		return "MEMBERSHIP";
	case PACKET_DROP_MEMBERSHIP:
		return "END_MEMBERSHIP";
	case PACKET_FANOUT:
		return "FANOUT";
	case PACKET_FANOUT_DATA:
		return "FANOUT_DATA";
	default:
		return "?";
	}
}

static int fake_ring(const struct tpacket_req3 *request)
{
	if (request->tp_block_nr == 0) {
		return 0;
	}
	fake.block_counts[fake.rings++] = request->tp_block_nr;
	if (fake.max_blocks && !fake.max_in_mmap && request->tp_block_nr > fake.max_blocks) {
		errno = ENOMEM;
		return -1;
	}
	return 0;
}

/* What the tests ask about later. */
static void note_option(const char *name, const void *value, socklen_t length)
{
	if (!strcmp(name, "FILTER"))
		fake.last_filter = ((const struct sock_fprog *)value)->filter[0].k;
	else if (!strcmp(name, "TIMESTAMP"))
		fake.timestamp_source = *(const int *)value;
	else if (!strcmp(name, "MEMBERSHIP"))
		fake.memberships |= 1u << ((const struct packet_mreq *)value)->mr_type;
	else if (!strcmp(name, "FANOUT")) {
		fake.fanout_bytes = length;
		memcpy(&fake.fanout_argument, value, sizeof(uint32_t));
	}
}

int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t length);
int __wrap_setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	const char *name = option_name(level, option);
	bool is_dropped_ring = level == SOL_PACKET && option == PACKET_RX_RING &&
	                       ((const struct tpacket_req3 *)value)->tp_block_nr == 0;

	assert_string_not_equal(name, "?");
	if (!is_dropped_ring && step(name))
		return -1;
	if (!strcmp(name, "VERSION") && fake.unknown_from && *(const int *)value + 1 >= fake.unknown_from) {
		errno = EINVAL;
		return -1;
	}
	note_option(name, value, length);
	return !strcmp(name, "RX_RING") ? fake_ring(value) : 0;
}

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *length);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	bool is_error = level == SOL_SOCKET && option == SO_ERROR;

	if (step(is_error ? "SO_ERROR" : "get"))
		return -1;
	*(int *)value = is_error ? fake.link_error : (int)fake.fanout_argument;
	return 0;
}

int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t length)
{
	return step("bind") ? -1 : 0;
}

int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *length);
int __wrap_getsockname(int fd, struct sockaddr *address, socklen_t *length)
{
	((struct sockaddr_ll *)address)->sll_hatype = (unsigned short)(fake.hardware_type ? fake.hardware_type : 1);
	((struct sockaddr_ll *)address)->sll_ifindex = fake.vanishes && fake.calls > fake.fail_at ? -1 : 7;
	return step("getsockname") ? -1 : 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;

	assert_true(request == SIOCGIFINDEX || request == SIOCGIFNAME);
	if (step(request == SIOCGIFINDEX ? "index" : "name"))
		return -1;
	va_start(arguments, request);
	struct ifreq *ifreq = va_arg(arguments, struct ifreq *);
	va_end(arguments);
	if (request == SIOCGIFINDEX)
		ifreq->ifr_ifindex = 7;
	else
		strcpy(ifreq->ifr_name, "fake0");
	return 0;
}

void *__real_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset);
void *__wrap_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	if (step("mmap"))
		return MAP_FAILED;
	if (fake.max_in_mmap && length > (size_t)fake.max_blocks * 4096) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	fake.mappings++;
	return __real_mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int __real_munmap(void *address, size_t length);
int __wrap_munmap(void *address, size_t length);
int __wrap_munmap(void *address, size_t length)
{
	fake.mappings--;
	return __real_munmap(address, length);
}

void *__real_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes)
{
	return step("calloc") ? NULL : __real_calloc(count, bytes);
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes)
{
	return step("malloc") ? NULL : __real_malloc(bytes);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
	if (!step("strdup"))
		return __real_strdup(text);
	errno = ENOMEM;
	return NULL;
}
