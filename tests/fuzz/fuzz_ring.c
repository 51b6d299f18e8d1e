/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rings whose memory is arbitrary bytes, in each version: whatever is written there, no packet leads out of the run
 * that it belongs to, every walk comes to an end, and the counters add up. The first bytes of the input choose the
 * geometry and what the reader does; the others are the ring, an allocation of exactly its size. What is not the
 * reader's is poisoned. On demand the memory of a run changes between two calls that read it.
 */
#include "fuzz.h"
#include "internal.h"
#include "poison.h"

#include <errno.h>

#define BLOCK_BYTES 4096u
#define MAX_BLOCKS 4u
#define STEPS 8u /* of the reader, a byte for each */
#define SELECTORS 4u
#define ROUNDS 3u
#define BUFFER_BYTES 100u
/* tpacket_lease_next() moves on by a header of V3, or by a slot, which is 64 bytes at least. */
#define MAX_PACKETS (MAX_BLOCKS * BLOCK_BYTES / 64u)

static const uint32_t frame_sizes[] = {64, 80, 96, 128, 256, 512, 1024, 2048};

struct run {
	struct tpacket handle;
	uint8_t *memory;
	size_t bytes;
	const uint8_t *steps;
	uint64_t taken;
	uint64_t abandoned; /* left unread in a lease */
	uint32_t seed;      /* of what is written into a run while it is read; 0: nothing */
	bool has_markers;
};

static uint8_t sink;

static void read_all(const uint8_t *bytes, size_t length)
{
	uint8_t sum = 0;

	for (size_t i = 0; i < length; i++)
		sum = (uint8_t)(sum + bytes[i]);
	__atomic_store_n(&sink, sum, __ATOMIC_RELAXED);
}

/* So many bytes are the caller's, from where the run begins. */
static size_t run_bytes(const struct run *run, const struct tpacket_lease *lease)
{
	return run->handle.ops->has_blocks ? BLOCK_BYTES : (size_t)lease->frames * run->handle.geometry.frame_bytes;
}

/* Outside of the reader's rules: also where it may not look any more. */
__attribute__((no_sanitize("address"))) static void write_word(uint8_t *at, uint32_t value)
{
	*(volatile uint32_t *)at = value;
}

/* One word somewhere in the first frames of the run that is held, or far behind. */
static void scribble(struct run *run, size_t bytes)
{
	if (!run->seed || !run->handle.held)
		return;
	run->seed = run->seed * 1664525u + 1013904223u;
	uint32_t at = (run->seed >> 8) % (run->seed & 64 ? 512 : BLOCK_BYTES) & ~3u;
	uint32_t value = run->seed & 128 ? run->seed >> 20 : run->seed;
	if (at < bytes)
		write_word((uint8_t *)run->handle.held + at, value);
}

static void check_packet(const struct run *run, const struct tpacket_packet *packet, const uint8_t *begin, size_t bytes)
{
	FUZZ_CHECK(packet->captured_length <= packet->original_length || packet->original_length < TPK_VLAN_BYTES);
	FUZZ_CHECK(packet->data >= begin && packet->data <= begin + bytes);
	FUZZ_CHECK(packet->captured_length <= (size_t)(begin + bytes - packet->data));
	read_all(packet->data, packet->captured_length);
	FUZZ_CHECK(!packet->vnet_header == !packet->vnet_header_length);
	FUZZ_CHECK(!packet->vnet_header || packet->vnet_header_length == run->handle.vnet_header_bytes);
	if (packet->vnet_header) {
		FUZZ_CHECK(packet->vnet_header >= begin);
		FUZZ_CHECK(packet->vnet_header + packet->vnet_header_length == packet->data);
		read_all(packet->vnet_header, packet->vnet_header_length);
	}
	if (packet->status & TPACKET_STATUS_VLAN_INSERTED) {
		FUZZ_CHECK(run->handle.inserts_vlan && packet->captured_length >= 16);
		FUZZ_CHECK(!(packet->status & TPACKET_STATUS_VLAN));
	}
	FUZZ_CHECK((packet->status & TPACKET_STATUS_VLAN) || packet->vlan_tci + packet->vlan_tpid == 0);
}

/* Take a run, and at most so many packets of it. Returns what tpacket_acquire() did. */
static int walk(struct run *run, uint32_t max)
{
	struct tpacket_lease lease;
	struct tpacket_packet packet;

	int r = tpacket_acquire(&run->handle, 0, &lease);
	if (r != 1)
		return r;
	const uint8_t *begin = lease.block;
	size_t bytes = run_bytes(run, &lease);
	FUZZ_CHECK(begin >= run->memory && bytes <= (size_t)(run->memory + run->bytes - begin));
	for (uint32_t i = 0; i < max && tpacket_lease_next(&lease, &packet); i++) {
		FUZZ_CHECK(i < MAX_PACKETS);
		check_packet(run, &packet, begin, bytes);
		run->taken++;
		scribble(run, bytes);
	}
	run->abandoned += lease.remaining_packets;
	tpacket_release(&lease);
	return r;
}

static int read_one(struct run *run, unsigned int how)
{
	struct tpacket_packet packet;
	uint8_t buffer[BUFFER_BYTES];
	void *memory = NULL;
	int r;

	if (run->handle.reading.handle)
		scribble(run, run_bytes(run, &run->handle.reading));
	if (how == 0)
		r = tpacket_read(&run->handle, 0, &packet);
	else if (how == 1)
		r = tpacket_read_copy(&run->handle, 0, &packet, &memory);
	else
		r = tpacket_read_into(&run->handle, 0, buffer, sizeof(buffer), &packet);
	if (r != 1)
		return r;
	run->taken++;
	if (how == 0) {
		check_packet(run, &packet, run->memory, run->bytes);
	} else if (how == 1) {
		read_all(packet.data, packet.captured_length);
		if (packet.vnet_header)
			read_all(packet.vnet_header, packet.vnet_header_length);
		free(memory);
	} else {
		FUZZ_CHECK(packet.data == buffer && packet.captured_length <= sizeof(buffer));
	}
	return r;
}

/* Another filter, of what the ring holds already. */
static void change_filter(struct run *run)
{
	static const struct sock_filter program[] = {BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1), BPF_STMT(BPF_RET | BPF_K, 30),
		BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_filter *copy = malloc(sizeof(program));

	FUZZ_CHECK(copy != NULL);
	memcpy(copy, program, sizeof(program));
	pthread_mutex_lock(&run->handle.lock);
	tpk_settle_request(&run->handle, copy, sizeof(program) / sizeof(program[0]), run->has_markers);
	pthread_mutex_unlock(&run->handle.lock);
}

static int step(struct run *run, uint8_t what)
{
	switch (what & 7) {
	case 0:
		return walk(run, UINT32_MAX);
	case 1:
		return walk(run, what >> 3);
	case 2:
		change_filter(run);
		return 1;
	case 3:
		tpacket_wake(&run->handle);
		return 1;
	default:
		return read_one(run, (what & 7) % 3);
	}
}

/* Until the ring has nothing more. Each turn takes a packet, or gives memory back that was user space's. */
static void empty_ring(struct run *run)
{
	uint32_t turns = 0;
	int r;

	do {
		r = step(run, run->steps[turns % STEPS]);
		FUZZ_CHECK(r == 0 || r == 1 || r == -EBUSY);
	} while (++turns < STEPS);
	run->handle.woken = false;
	do {
		r = read_one(run, 0);
		FUZZ_CHECK(++turns <= 2 * MAX_PACKETS + STEPS + 2);
	} while (r == 1);
	FUZZ_CHECK(r == 0);
	FUZZ_CHECK(walk(run, UINT32_MAX) == 0);
}

static void check_counters(const struct run *run, uint32_t rounds)
{
	const struct tpacket_counters *counters = &run->handle.counters;

	FUZZ_CHECK(counters->read == run->taken + run->abandoned + counters->refiltered);
	FUZZ_CHECK(counters->bad_blocks <= (uint64_t)rounds * MAX_PACKETS);
	/* A slot without room for a byte looks like a marker that was cut. */
	FUZZ_CHECK(counters->truncated <= counters->read + counters->join_gap);
}

/* As if the reader had given everything back: only the words that say whose it is can be read. */
static void poison_all(const struct run *run)
{
	size_t step = run->handle.ops->has_blocks ? BLOCK_BYTES : run->handle.geometry.frame_bytes;
	size_t front = run->handle.ops->has_blocks ? sizeof(struct tpacket_block_desc) : 8;

	for (size_t at = 0; at < run->bytes; at += step)
		tpk_poison(run->memory + at + front, step - front);
}

static void run_ring(struct run *run, const uint8_t *data, size_t size)
{
	for (uint32_t round = 1; round <= ROUNDS; round++) {
		tpk_unpoison(run->memory, run->bytes);
		memset(run->memory, 0, run->bytes);
		memcpy(run->memory, data, size < run->bytes ? size : run->bytes);
		poison_all(run);
		empty_ring(run);
		check_counters(run, round);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct tpk_ring_ops *const versions[] = {&tpk_ring_v3, &tpk_ring_v2, &tpk_ring_v1, &tpk_ring_v3};
	static const uint8_t vnet_bytes[] = {0, 10, 12, 0};
	struct run run = {0};

	if (size < SELECTORS + STEPS)
		return 0;
	const struct tpk_ring_ops *ops = versions[data[0] & 3];
	struct tpacket_geometry geometry = {.block_bytes = BLOCK_BYTES,
		.block_count = 1 + data[1] % MAX_BLOCKS,
		.frame_bytes = frame_sizes[data[2] % (sizeof(frame_sizes) / sizeof(frame_sizes[0]))]};
	/* What does not divide a block leaves a rest that is no slot, which the options refuse. */
	if (BLOCK_BYTES % geometry.frame_bytes)
		geometry.frame_bytes = 128;

	run.bytes = (size_t)BLOCK_BYTES * geometry.block_count;
	run.memory = malloc(run.bytes);
	FUZZ_CHECK(run.memory != NULL);
	run.steps = data + SELECTORS;
	run.has_markers = data[3] & 1;
	run.seed = data[3] & 2 ? data[3] : 0;
	tpk_handle_over_memory(&run.handle, ops, run.memory, &geometry, vnet_bytes[data[0] >> 2 & 3]);
	run.handle.inserts_vlan = ops->version != TPACKET_VERSION_1 && data[0] & 16;
	run.handle.snap_length = data[0] & 32 ? 200 : UINT32_MAX;
	run_ring(&run, data + SELECTORS + STEPS, size - SELECTORS - STEPS);
	tpk_read_finish(&run.handle);
	tpk_settle_free(&run.handle);
	tpk_unpoison(run.memory, run.bytes);
	free(run.memory);
	return 0;
}
