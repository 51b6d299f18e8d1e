/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thousands of random calls on a sending ring of few frames, over a slow interface with a short queue, beside a plain
 * list of what must become of each frame. Every frame handed in is at all times queued, on its way, or has its result;
 * every one that was sent arrives, once and in order; no other does.
 */
#include "tx_rig.h"

#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALLS 20000
#define MAX_FRAMES 40000
#define PENDING 1   /* no error: queued */
#define CANCELLED 2 /* no error: which one, the ring says */

struct model_frame {
	uint32_t bytes;
	int error;         /* PENDING, CANCELLED, 0: taken, or its error */
	bool is_malformed; /* the kernel will say -EINVAL */
};

struct model {
	struct tpacket_tx *tx;
	int receiver;
	uint64_t random;
	struct model_frame *frames;
	uint32_t committed;
	uint32_t first_pending; /* none before it is */
	uint32_t pending;
	uint32_t collected;
	uint32_t sent;
	uint32_t full;
};

static struct model_frame frames[MAX_FRAMES];

static uint32_t next_random(struct model *m, uint32_t limit)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(m->random >> 33) % limit;
}

static void model_commit(struct model *m, uint32_t bytes, int error, bool is_malformed)
{
	m->frames[m->committed] = (struct model_frame){bytes, error, is_malformed};
	m->pending += error == PENDING;
	m->committed++;
}

/* Returns whether there was room. */
static bool commit_one(struct model *m)
{
	static uint8_t frame[4000];
	uint32_t header = tx_variant.vnet_header_bytes, kind = next_random(m, 12),
		 bytes = 14 + next_random(m, TX_LONGEST - 13);
	struct virtio_net_hdr vnet = {0};
	int error = PENDING;

	if (kind == 0) {
		bytes = next_random(m, 14);
		error = -EINVAL;
	} else if (kind == 1) {
		bytes = TX_LONGEST + 1 + next_random(m, 2000);
		error = -EMSGSIZE;
	} else if (kind < 5 && header) {
		bytes = 14 + next_random(m, 100);
		vnet.hdr_len = 2000;
	}
	net_frame(frame + header, bytes < 18 ? 18 : bytes, m->committed);
	memset(frame, 0, header);
	if (header)
		memcpy(frame, &vnet, sizeof(vnet));
	int r = tpacket_tx_put(m->tx, frame, header + bytes, m->committed);
	if (r == -EAGAIN)
		return false;
	assert_int_equal(r, 0);
	model_commit(m, bytes, error, vnet.hdr_len > 0);
	return true;
}

/* The oldest pending one; there is one. */
static struct model_frame *model_pop(struct model *m)
{
	while (m->frames[m->first_pending].error != PENDING)
		m->first_pending++;
	assert_true(m->first_pending < m->committed);
	m->pending--;
	return &m->frames[m->first_pending];
}

static void send_some(struct model *m)
{
	int taken = tpacket_tx_send(m->tx);

	assert_true(taken >= 0 || taken == -EAGAIN || taken == -ENOBUFS);
	/* Malformed ones were taken out up to where it stopped. */
	while (taken > 0 || m->pending > tpacket_tx_waiting(m->tx)) {
		struct model_frame *frame = model_pop(m);
		frame->error = frame->is_malformed ? -EINVAL : 0;
		if (!frame->is_malformed)
			assert_true(taken-- > 0);
	}
}

static void cancel_some(struct model *m)
{
	uint32_t max = next_random(m, 6);
	uint32_t want = max < m->pending ? max : m->pending;

	assert_int_equal(tpacket_tx_cancel(m->tx, max), want);
	for (uint32_t i = 0; i < want; i++)
		model_pop(m)->error = CANCELLED;
}

static void collect_some(struct model *m)
{
	struct tpacket_tx_result results[8];
	int n = tpacket_tx_complete(m->tx, results, 1 + (int)next_random(m, 8));

	for (int i = 0; i < n; i++, m->collected++) {
		const struct model_frame *frame = &m->frames[m->collected];
		assert_true(m->collected < m->committed);
		assert_int_equal(results[i].cookie, m->collected);
		assert_int_equal(results[i].bytes, frame->bytes + tx_variant.vnet_header_bytes);
		if (frame->error == CANCELLED)
			assert_true(results[i].error == -ECANCELED || results[i].error == -ENOBUFS);
		else
			assert_int_equal(results[i].error, frame->error);
		if (results[i].error == 0) {
			tx_assert_arrives(m->receiver, frame->bytes, m->collected, 0);
			m->sent++;
		}
	}
}

static void check(const struct model *m)
{
	struct tpacket_tx_counters c;

	tpacket_tx_counters(m->tx, &c);
	assert_int_equal(c.committed, m->committed);
	assert_int_equal(c.sent, m->sent);
	assert_int_equal(
		c.sent + c.failed_too_large + c.failed_malformed + c.failed_down + c.failed_no_buffer + c.failed_other,
		m->collected);
	assert_int_equal(tpacket_tx_waiting(m->tx), m->pending);
}

/* All frames are used: some of them have to leave. */
static void make_room(struct model *m)
{
	m->full++;
	send_some(m);
	assert_in_range(tpacket_tx_wait(m->tx, 100), 0, 1);
	collect_some(m);
}

static void step(struct model *m)
{
	uint32_t choice = next_random(m, 100);

	if (choice < 60) {
		if (!commit_one(m))
			make_room(m);
	} else if (choice < 72) {
		send_some(m);
	} else if (choice < 75) {
		cancel_some(m);
	} else if (choice < 78) {
		assert_in_range(tpacket_tx_wait(m->tx, (int)next_random(m, 3)), 0, 1);
	} else {
		collect_some(m);
	}
	check(m);
}

static void test_random_calls(void **state)
{
	struct model m = {.frames = frames, .random = 12345};
	struct tpacket_tx_options options;
	struct tpacket_tx_counters counters;

	if (!tx_variant.qdisc_bypass)
		net_run("tc qdisc add dev " NET_SEND " root tbf rate 200mbit burst 4000 limit 5000");
	tx_options(&options);
	options.frame_count = 20;
	options.frame_bytes = 1700;
	m.receiver = tx_receiver(0);
	m.tx = tx_open(&options);
	for (int i = 0; i < CALLS; i++)
		step(&m);
	while (m.collected < m.committed) {
		send_some(&m);
		assert_int_equal(tpacket_tx_wait(m.tx, 3000), 1);
		collect_some(&m);
		check(&m);
	}
	tx_assert_nothing(m.receiver);
	/* It was about what it is about. */
	tpacket_tx_counters(m.tx, &counters);
	assert_true(m.sent > 1000);
	assert_true(m.full > 10);
	assert_true(counters.failed_too_large > 50 && counters.failed_malformed > 50);
	assert_true(counters.failed_other + counters.failed_no_buffer > 50);
	assert_true(counters.moved > 50);
	assert_true(tx_variant.qdisc_bypass || counters.refused > 10);
	tx_finish(m.tx, m.sent, m.collected - m.sent);
	close(m.receiver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {TX_EACH(test_random_calls)};

	net_enter();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
