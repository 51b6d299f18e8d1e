/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU time of sending: the sending ring, V2 and V3, beside sendmmsg(2) with 64 and with 1024 frames a call, on a veth
 * pair in a network namespace that the program makes for itself; nobody listens at the other end. Needs root.
 *
 *	bench_tx [ROUNDS]      1 to 99, default 5
 *	bench_tx put BYTES     "ring V3 put" once, where the pair is there already: prints kpps for bench_replay.py
 *
 * The ways take turns, ROUNDS times, on CPU 0. All send the same 256 frames over and over; "put" copies each into the
 * ring, as replay has to, as sendmmsg(2) copies it in the kernel; "in place" leaves in the ring what lies there, as a
 * generator may. The ring has 1024 frames, is filled and handed over with one call. CPU is user and system, which
 * includes the other end's part, as the kernel delivers within the call; for that it copies a frame of the ring once
 * more, as nobody else may hold on to the ring's memory. What the interface counted must be what each way says that it
 * sent.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tpacket_tx.h"

#define FLOWS 256
#define FRAME_MAX 1514
#define RING_FRAMES 1024
#define MAX_ROUNDS 99
#define RUN_NS 400000000u
#define WAYS 6
#define NS_PER_S 1000000000u

enum kind {
	MMSG,
	PUT,
	IN_PLACE,
};

static const struct way {
	const char *name;
	enum kind kind;
	enum tpacket_version version;
	unsigned int burst;
} ways[WAYS] = {
	{"sendmmsg 64", MMSG, 0, 64},
	{"ring V2 put", PUT, TPACKET_VERSION_2, 0},
	{"ring V3 put", PUT, TPACKET_VERSION_3, 0},
	{"sendmmsg 1024", MMSG, 0, 1024},
	{"ring V2 in place", IN_PLACE, TPACKET_VERSION_2, 0},
	{"ring V3 in place", IN_PLACE, TPACKET_VERSION_3, 0},
};

struct figures {
	double cpu_ns[MAX_ROUNDS];
	double kpps[MAX_ROUNDS];
};

static uint8_t frames[FLOWS][FRAME_MAX];

static void fail(const char *what)
{
	fprintf(stderr, "bench_tx: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static uint64_t cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * NS_PER_S +
	       (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000u;
}

static uint64_t interface_count(void)
{
	FILE *file = fopen("/proc/self/net/dev", "r");
	uint64_t packets = 0;
	char line[512];

	if (!file)
		fail("/proc/self/net/dev");
	while (fgets(line, sizeof(line), file)) {
		const char *at = strstr(line, "src:");
		if (at)
			sscanf(at, "src: %*u %*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &packets);
	}
	fclose(file);
	return packets;
}

static void run(const char *command)
{
	if (system(command) != 0) {
		fprintf(stderr, "bench_tx: failed: %s\n", command);
		exit(1);
	}
}

static void fill_frames(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(0, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0)
		fail("CPU 0");
	/* Local experiments, to an address that the other end does not have: dropped there. */
	for (unsigned int i = 0; i < FLOWS; i++) {
		memset(frames[i], (int)i, FRAME_MAX);
		memcpy(frames[i], "\x02\x00\x00\x00\x00\x09\x02\x00\x00\x00\x00\x01\x88\xb5", 14);
	}
}

static void prepare(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		fail("a network namespace");
	fill_frames();
	run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
	run("ip link add src type veth peer name dst && ip link set src up && ip link set dst up");
	run("for i in $(seq 50); do ip link show dev src | grep -q LOWER_UP && break; sleep 0.1; done");
}

static int open_socket(bool has_bypass)
{
	struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex("src")};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		fail("socket");
	if (has_bypass && setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) < 0)
		fail("PACKET_QDISC_BYPASS");
	return fd;
}

static uint64_t send_messages(unsigned int burst, uint32_t bytes, bool has_bypass)
{
	static struct iovec vectors[1024];
	static struct mmsghdr messages[1024];
	int fd = open_socket(has_bypass);
	uint64_t sent = 0, end;

	memset(messages, 0, sizeof(messages));
	for (unsigned int i = 0; i < 1024; i++) {
		vectors[i] = (struct iovec){frames[i % FLOWS], bytes};
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	end = now_ns(CLOCK_MONOTONIC) + RUN_NS;
	while (now_ns(CLOCK_MONOTONIC) < end) {
		int n = sendmmsg(fd, &messages[burst < FLOWS ? sent % FLOWS / burst * burst : 0], burst, 0);
		if (n < 0 && errno != ENOBUFS && errno != EAGAIN)
			fail("sendmmsg");
		sent += n > 0 ? (uint64_t)n : 0;
	}
	close(fd);
	return sent;
}

/* number: of frames that were committed. */
static void fill_ring(struct tpacket_tx *tx, enum kind kind, uint32_t bytes, uint64_t *number)
{
	void *data;

	if (kind == PUT) {
		while (tpacket_tx_put(tx, frames[*number % FLOWS], bytes, *number) == 0)
			++*number;
		return;
	}
	while (tpacket_tx_reserve(tx, &data, NULL) == 0) {
		tpacket_tx_commit(tx, bytes, *number);
		++*number;
	}
}

static void collect(struct tpacket_tx *tx)
{
	struct tpacket_tx_result results[64];
	int n;

	do {
		n = tpacket_tx_complete(tx, results, 64);
		for (int i = 0; i < n; i++)
			if (results[i].error) {
				errno = -results[i].error;
				fail("a frame");
			}
	} while (n == 64);
}

static struct tpacket_tx *open_ring(enum tpacket_version version, bool has_bypass)
{
	struct tpacket_tx_options options;
	struct tpacket_error error;
	struct tpacket_tx *tx;

	tpacket_tx_options_init(&options);
	options.interface = "src";
	options.version = version;
	options.frame_count = RING_FRAMES;
	options.qdisc_bypass = has_bypass;
	options.shrink = false;
	if (tpacket_tx_open(&options, &tx, &error) < 0) {
		fprintf(stderr, "bench_tx: %s\n", error.message);
		exit(1);
	}
	return tx;
}

static uint64_t send_ring(struct tpacket_tx *tx, enum kind kind, uint32_t bytes)
{
	uint64_t end = now_ns(CLOCK_MONOTONIC) + RUN_NS, number = 0;
	struct tpacket_tx_counters counters;

	tpacket_tx_counters(tx, &counters);
	uint64_t sent_before = counters.sent;
	while (now_ns(CLOCK_MONOTONIC) < end) {
		fill_ring(tx, kind, bytes, &number);
		int r = tpacket_tx_send(tx);
		if (r < 0 && r != -EAGAIN && r != -ENOBUFS) {
			errno = -r;
			fail("tpacket_tx_send");
		}
		if (r < 0)
			tpacket_tx_wait(tx, 100);
		collect(tx);
	}
	tpacket_tx_cancel(tx, UINT32_MAX);
	while (tpacket_tx_complete(tx, NULL, RING_FRAMES) > 0 || tpacket_tx_wait(tx, 1) == 1)
		;
	tpacket_tx_counters(tx, &counters);
	return counters.sent - sent_before;
}

/* Give each slot a frame once, which is in no figure. */
static void warm(struct tpacket_tx *tx, uint32_t bytes)
{
	uint64_t number = 0;

	fill_ring(tx, PUT, bytes, &number);
	while (tpacket_tx_waiting(tx)) {
		tpacket_tx_send(tx);
		tpacket_tx_wait(tx, 100);
		collect(tx);
	}
	while (tpacket_tx_wait(tx, 0) == 1)
		collect(tx);
}

static void measure(const struct way *way, uint32_t bytes, bool has_bypass, struct figures *figures, int round)
{
	struct tpacket_tx *tx = NULL;
	uint64_t sent;

	if (way->kind != MMSG) {
		tx = open_ring(way->version, has_bypass);
		warm(tx, bytes);
	}
	uint64_t count = interface_count(), begin = now_ns(CLOCK_MONOTONIC), cpu = cpu_ns();
	sent = tx ? send_ring(tx, way->kind, bytes) : send_messages(way->burst, bytes, has_bypass);
	cpu = cpu_ns() - cpu;
	begin = now_ns(CLOCK_MONOTONIC) - begin;
	tpacket_tx_close(tx);
	count = interface_count() - count;
	if (count != sent || !sent) {
		fprintf(stderr, "bench_tx: %s: sent %" PRIu64 ", but the interface says %" PRIu64 "\n", way->name, sent,
			count);
		exit(1);
	}
	figures->cpu_ns[round] = (double)cpu / (double)sent;
	figures->kpps[round] = (double)sent * 1e6 / (double)begin;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, int count)
{
	qsort(values, (size_t)count, sizeof(*values), compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static void bench(uint32_t bytes, bool has_bypass, int rounds)
{
	static struct figures figures[WAYS];
	double first = 0;

	for (int round = 0; round < rounds; round++)
		for (int way = 0; way < WAYS; way++)
			measure(&ways[way], bytes, has_bypass, &figures[way], round);
	for (int way = 0; way < WAYS; way++) {
		double cpu = median(figures[way].cpu_ns, rounds);
		if (way == 0)
			first = cpu;
		printf("%-16s %5" PRIu32 " %-6s  %7.1f (%.1f-%.1f)  %7.0f  %5.2f\n", ways[way].name, bytes,
			has_bypass ? "bypass" : "qdisc", cpu, figures[way].cpu_ns[0], figures[way].cpu_ns[rounds - 1],
			median(figures[way].kpps, rounds), cpu / first);
	}
	fflush(stdout);
}

static int bench_put(uint32_t bytes)
{
	static struct figures figures;

	fill_frames();
	measure(&ways[2], bytes, false, &figures, 0);
	printf("%.1f %.1f\n", figures.kpps[0], figures.cpu_ns[0]);
	return 0;
}

int main(int argc, char **argv)
{
	static const uint32_t sizes[] = {64, 512, 1514};

	if (argc == 3 && strcmp(argv[1], "put") == 0 && atoi(argv[2]) >= 60 && atoi(argv[2]) <= FRAME_MAX)
		return bench_put((uint32_t)atoi(argv[2]));
	int rounds = argc > 1 ? atoi(argv[1]) : 5;

	if (argc > 2 || rounds < 1 || rounds > MAX_ROUNDS) {
		fprintf(stderr, "usage: bench_tx [ROUNDS] | put BYTES      1 to %d rounds, default 5; 60 to %d bytes\n",
			MAX_ROUNDS, FRAME_MAX);
		return 2;
	}
	prepare();
	printf("way, bytes, queueing; CPU ns per packet, median of %d rounds (least-greatest); kpps; CPU / sendmmsg "
	       "64\n",
		rounds);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		bench(sizes[i], true, rounds);
		bench(sizes[i], false, rounds);
	}
	return 0;
}
