/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of a sending ring: from the free slot to the result. tx.h says how places and frames are numbered.
 *
 * The status word of a slot passes its memory to the kernel (TP_STATUS_SEND_REQUEST) and back (TP_STATUS_AVAILABLE).
 * The kernel looks at a request only inside send(2) on this socket, which this thread calls; so a request that it has
 * not taken may be taken back. What it has taken comes back at any time, from any CPU, in any order: the status is read
 * with an acquire load, after which the slot may be written anew. A request is a release store, after the bytes of the
 * frame.
 *
 * A frame that cannot be sent gets TP_STATUS_WRONG_FORMAT, send(2) returns its error, and the kernel goes on looking at
 * that very slot (net/packet/af_packet.c, tpacket_snd()). The next frame is then moved there, the one after it to the
 * slot behind, and so on until no gap is left. First one frame is shown, then two, then four, so that each is copied
 * only once, even if many have errors.
 */
#include "tx.h"
#include "barrier.h"

#include <assert.h>
#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <net/if_arp.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define ETHERNET_HEADER_BYTES 14u
#define VLAN_TAG_BYTES 4u
#define TYPE_AT 12u

/* The others are timestamps, if the caller asked the socket for them. */
#define STATUS_MASK (TP_STATUS_SEND_REQUEST | TP_STATUS_SENDING | TP_STATUS_WRONG_FORMAT)

void tpk_tx_ring_begin(struct tpacket_tx *tx)
{
	tx->window = UINT32_MAX;
}

static struct tpk_tx_entry *entry_of(const struct tpacket_tx *tx, uint64_t frame)
{
	return &tx->entries[frame % tx->frame_count];
}

static uint8_t *slot_of(const struct tpacket_tx *tx, uint64_t place)
{
	uint32_t slot = (uint32_t)(place % tx->frame_count);

	return tx->ring + (size_t)(slot / tx->frames_per_block) * tx->block_bytes +
	       (size_t)(slot % tx->frames_per_block) * tx->slot_bytes;
}

static uint32_t *status_of(const struct tpacket_tx *tx, uint64_t place)
{
	uint8_t *slot = slot_of(tx, place);

	return tx->is_v3 ? &((struct tpacket3_hdr *)slot)->tp_status : &((struct tpacket2_hdr *)slot)->tp_status;
}

static uint32_t status_load(const struct tpacket_tx *tx, uint64_t place)
{
	return tpk_load_acquire(status_of(tx, place)) & STATUS_MASK;
}

static uint8_t *data_of(const struct tpacket_tx *tx, uint64_t place)
{
	return slot_of(tx, place) + tx->data_offset;
}

static bool is_ethernet(const struct tpacket_tx *tx)
{
	return tx->hardware_type == ARPHRD_ETHER || tx->hardware_type == ARPHRD_LOOPBACK;
}

/*
 * The kernel lets a frame be longer by a tag if it has one of type 0x8100. With a vnet header it does not look at the
 * length at all, and the driver or the other end drops what is too long: the rule is kept here, for both types of tags.
 */
static uint32_t longest_frame(const struct tpacket_tx *tx, const uint8_t *frame)
{
	uint16_t type = (uint16_t)(frame[TYPE_AT] << 8 | frame[TYPE_AT + 1]);
	bool has_tag = type == ETH_P_8021Q || (type == ETH_P_8021AD && tx->vnet_header_bytes);

	/* Loopback is no Ethernet to the kernel here. */
	if (tx->hardware_type != ARPHRD_ETHER)
		has_tag = false;
	return tx->mtu + ETHERNET_HEADER_BYTES + (has_tag ? VLAN_TAG_BYTES : 0);
}

/* Find errors of a frame before the kernel does: it spares moving those behind it. 0, -EINVAL or -EMSGSIZE. */
static int check_frame(const struct tpacket_tx *tx, const uint8_t *data, uint32_t bytes)
{
	uint32_t header = tx->vnet_header_bytes + (is_ethernet(tx) ? ETHERNET_HEADER_BYTES : 1);

	if (bytes < header)
		return -EINVAL;
	/* Other links: only the kernel knows how long their headers are. */
	if (!is_ethernet(tx))
		return 0;
	if (tx->vnet_header_bytes && data[offsetof(struct virtio_net_hdr, gso_type)] != VIRTIO_NET_HDR_GSO_NONE)
		return 0;
	bytes -= tx->vnet_header_bytes;
	return bytes > longest_frame(tx, data + tx->vnet_header_bytes) ? -EMSGSIZE : 0;
}

static void fail(struct tpacket_tx *tx, struct tpk_tx_entry *entry, int error)
{
	/* More fragments than the kernel has room for. */
	entry->error = error == -EFAULT ? -EMSGSIZE : error;
	entry->state = TPK_TX_FAILED;
}

static void fail_queued(struct tpacket_tx *tx, struct tpk_tx_entry *entry, int error)
{
	fail(tx, entry, error);
	tx->queued--;
}

/* Do all frames lie where the kernel will look for them? Then what failed frames left is behind the last one. */
static bool all_are_shown(struct tpacket_tx *tx)
{
	while (tx->show_frame < tx->tail_frame && entry_of(tx, tx->show_frame)->state == TPK_TX_FAILED)
		tx->show_frame++;
	return tx->show_frame == tx->tail_frame;
}

static void move_frame(struct tpacket_tx *tx, struct tpk_tx_entry *entry, uint64_t place)
{
	if (likely(entry->place == place))
		return;
	memcpy(data_of(tx, place), data_of(tx, entry->place), entry->bytes);
	entry->place = place;
	tpk_count(&tx->counters.moved, 1);
}

/* Close the gaps that failed frames left, before the places behind the last one reach around the ring. */
static void move_up(struct tpacket_tx *tx)
{
	uint64_t place = tx->show_place;

	for (uint64_t frame = tx->show_frame; frame < tx->tail_frame; frame++)
		if (entry_of(tx, frame)->state != TPK_TX_FAILED)
			move_frame(tx, entry_of(tx, frame), place++);
	tx->tail_place = place;
}

/*
 * A free entry is enough to have a free slot, too: each place from base_place on belongs to a frame of its own whose
 * result was not collected, but for gaps, and these can be closed. No two places less than frame_count apart share a
 * slot, so moving a frame to an earlier place does not touch another one.
 */
int tpacket_tx_reserve(struct tpacket_tx *tx, void **ret_data, uint32_t *ret_room)
{
	if (unlikely(tx->tail_frame - tx->head_frame == tx->frame_count))
		return -EAGAIN;
	if (!tx->is_reserved) {
		if (all_are_shown(tx))
			tx->tail_place = tx->show_place;
		else if (unlikely(tx->tail_place - tx->base_place >= tx->frame_count))
			move_up(tx);
	}
	assert(tx->tail_place - tx->base_place < tx->frame_count);
	assert(status_load(tx, tx->tail_place) == TP_STATUS_AVAILABLE);
	tx->is_reserved = true;
	*ret_data = data_of(tx, tx->tail_place);
	if (ret_room)
		*ret_room = tx->slot_bytes - tx->data_offset;
	return 0;
}

/* What was reserved is the caller's next frame; with an error it stays free for the one after it. */
static void commit_entry(struct tpacket_tx *tx, uint32_t bytes, uint64_t cookie, int error)
{
	struct tpk_tx_entry *entry = entry_of(tx, tx->tail_frame);

	*entry = (struct tpk_tx_entry){.cookie = cookie, .place = tx->tail_place, .bytes = bytes};
	if (error) {
		fail(tx, entry, error);
	} else {
		tx->tail_place++;
		tx->queued++;
	}
	tx->tail_frame++;
	tx->is_reserved = false;
	tpk_count(&tx->counters.committed, 1);
}

int tpacket_tx_commit(struct tpacket_tx *tx, uint32_t bytes, uint64_t cookie)
{
	if (!tx->is_reserved || bytes > tx->slot_bytes - tx->data_offset)
		return -EINVAL;
	const uint8_t *data = data_of(tx, tx->tail_place);
	int error = check_frame(tx, data, bytes);
	/* The MTU may have been raised. */
	if (unlikely(error == -EMSGSIZE) && tpk_tx_look(tx, tpk_now_ns()) == 0)
		error = check_frame(tx, data, bytes);
	commit_entry(tx, bytes, cookie, error);
	return 0;
}

int tpacket_tx_put(struct tpacket_tx *tx, const void *frame, size_t bytes, uint64_t cookie)
{
	uint32_t room;
	void *data;

	int r = tpacket_tx_reserve(tx, &data, &room);
	if (r < 0)
		return r;
	if (bytes > room) {
		commit_entry(tx, bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes, cookie, -EMSGSIZE);
		return 0;
	}
	if (bytes)
		memcpy(data, frame, bytes);
	return tpacket_tx_commit(tx, (uint32_t)bytes, cookie);
}

static void show_frame(struct tpacket_tx *tx, struct tpk_tx_entry *entry)
{
	move_frame(tx, entry, tx->show_place);
	uint8_t *slot = slot_of(tx, entry->place);
	if (tx->is_v3) {
		((struct tpacket3_hdr *)slot)->tp_next_offset = 0;
		((struct tpacket3_hdr *)slot)->tp_len = entry->bytes;
	} else {
		((struct tpacket2_hdr *)slot)->tp_len = entry->bytes;
	}
	tpk_store_release(status_of(tx, entry->place), TP_STATUS_SEND_REQUEST);
	tx->show_place++;
}

/* Show the kernel queued frames, as many as the window allows. The MTU may have changed since they were committed. */
static void show(struct tpacket_tx *tx)
{
	for (; tx->show_frame < tx->tail_frame && tx->show_place - tx->take_place < tx->window; tx->show_frame++) {
		struct tpk_tx_entry *entry = entry_of(tx, tx->show_frame);

		if (entry->state == TPK_TX_FAILED)
			continue;
		int error = check_frame(tx, data_of(tx, entry->place), entry->bytes);
		if (unlikely(error))
			fail_queued(tx, entry, error);
		else
			show_frame(tx, entry);
	}
}

/* Take back what was shown and not taken. */
static void hide(struct tpacket_tx *tx)
{
	for (uint64_t place = tx->take_place; place < tx->show_place; place++)
		tpk_store_release(status_of(tx, place), TP_STATUS_AVAILABLE);
	tx->show_place = tx->take_place;
	tx->show_frame = tx->take_frame;
}

/* The kernel stopped at a frame that it cannot send. */
static void take_out(struct tpacket_tx *tx, int error)
{
	hide(tx);
	fail_queued(tx, entry_of(tx, tx->take_frame), error < 0 ? error : -EIO);
	tx->window = 1;
	if (error == -EMSGSIZE)
		tpk_tx_look(tx, tpk_now_ns());
}

/*
 * See how far the kernel came. error: what send(2) returned. Returns the number of frames taken; ret_failed: the one
 * behind them was taken out.
 */
static uint32_t take(struct tpacket_tx *tx, int error, bool *ret_failed)
{
	uint32_t taken = 0;

	*ret_failed = false;
	for (; tx->take_frame < tx->show_frame; tx->take_frame++) {
		struct tpk_tx_entry *entry = entry_of(tx, tx->take_frame);

		if (entry->state == TPK_TX_FAILED)
			continue;
		uint32_t status = status_load(tx, entry->place);
		if (status == TP_STATUS_SEND_REQUEST)
			break;
		if (unlikely(status == TP_STATUS_WRONG_FORMAT)) {
			take_out(tx, error);
			*ret_failed = true;
			break;
		}
		entry->state = TPK_TX_TAKEN;
		tx->take_place++;
		tx->queued--;
		taken++;
	}
	return taken;
}

static int kick(struct tpacket_tx *tx)
{
	tpk_count(&tx->counters.kicks, 1);
	return send(tx->fd, NULL, 0, MSG_DONTWAIT) < 0 ? -errno : 0;
}

/* Why the kernel does not go on, and what follows from it. */
static void stop(struct tpacket_tx *tx, int error)
{
	if (error == -ENXIO) {
		tx->is_gone = true;
		error = -ENODEV;
	}
	if (error == -ENETDOWN)
		tx->is_down = true;
	if (error == -EAGAIN || error == -ENOBUFS)
		tpk_count(&tx->counters.refused, 1);
	tx->stopped = error;
	tx->stopped_ns = tpk_now_ns();
}

int tpacket_tx_send(struct tpacket_tx *tx)
{
	uint32_t taken = 0;

	if (!tx->queued)
		return 0;
	int r = tpk_tx_look_when_due(tx);
	tx->stopped = 0;
	if (r < 0)
		stop(tx, r);
	while (!tx->stopped && tx->queued) {
		bool has_failed;
		show(tx);
		if (!tx->queued)
			break;
		r = kick(tx);
		uint32_t more = take(tx, r, &has_failed);
		taken += more;
		if (has_failed)
			continue;
		if (r < 0 || more == 0)
			stop(tx, r < 0 ? r : -EAGAIN);
		else if (tx->window < tx->frame_count)
			tx->window *= 2;
	}
	return taken || !tx->stopped ? (int)taken : tx->stopped;
}

int tpacket_tx_cancel(struct tpacket_tx *tx, uint32_t max)
{
	bool is_known = tx->stopped == -ENETDOWN || tx->stopped == -ENODEV || tx->stopped == -ENOBUFS;
	int error = is_known ? tx->stopped : -ECANCELED;
	uint32_t count = 0;

	hide(tx);
	for (uint64_t frame = tx->take_frame; frame < tx->tail_frame && count < max; frame++) {
		struct tpk_tx_entry *entry = entry_of(tx, frame);
		if (entry->state != TPK_TX_QUEUED)
			continue;
		fail_queued(tx, entry, error);
		count++;
	}
	return (int)count;
}

static bool is_finished(const struct tpacket_tx *tx, const struct tpk_tx_entry *entry)
{
	switch (entry->state) {
	case TPK_TX_TAKEN:
		return status_load(tx, entry->place) == TP_STATUS_AVAILABLE;
	case TPK_TX_FAILED:
		return true;
	default:
		return false;
	}
}

bool tpk_tx_has_result(const struct tpacket_tx *tx)
{
	return tx->head_frame < tx->tail_frame && is_finished(tx, entry_of(tx, tx->head_frame));
}

static void count_result(struct tpacket_tx *tx, const struct tpk_tx_entry *entry)
{
	struct tpacket_tx_counters *counters = &tx->counters;

	switch (entry->error) {
	case 0:
		tpk_count(&counters->sent, 1);
		tpk_count(&counters->sent_bytes, entry->bytes);
		break;
	case -EMSGSIZE:
		tpk_count(&counters->failed_too_large, 1);
		break;
	case -EINVAL:
		tpk_count(&counters->failed_malformed, 1);
		break;
	case -ENETDOWN:
	case -ENODEV:
		tpk_count(&counters->failed_down, 1);
		break;
	case -ENOBUFS:
		tpk_count(&counters->failed_no_buffer, 1);
		break;
	default:
		tpk_count(&counters->failed_other, 1);
		break;
	}
}

int tpacket_tx_complete(struct tpacket_tx *tx, struct tpacket_tx_result *results, int max)
{
	int count = 0;

	for (; count < max && tpk_tx_has_result(tx); count++) {
		const struct tpk_tx_entry *entry = entry_of(tx, tx->head_frame);
		if (results)
			results[count] = (struct tpacket_tx_result){
				.cookie = entry->cookie, .bytes = entry->bytes, .error = entry->error};
		count_result(tx, entry);
		if (entry->state == TPK_TX_TAKEN)
			tx->base_place = entry->place + 1;
		tx->head_frame++;
	}
	/* A frame that failed early may have its result collected before the kernel came by its number. */
	if (tx->take_frame < tx->head_frame)
		tx->take_frame = tx->head_frame;
	if (tx->show_frame < tx->head_frame)
		tx->show_frame = tx->head_frame;
	return count;
}
