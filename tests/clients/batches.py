# SPDX-License-Identifier: Apache-2.0
"""What consumers of batches share: follow the numbers, write the packets as pcap, say what was found."""
import json
import struct

import packet_batch_pb2

END_OF_STREAM = 2  # PacketBatch.flags


class Streams:
    """Follows batch_seq and first_packet_seq of every stream."""

    def __init__(self):
        self.next_packet, self.seen, self.ended = {}, set(), set()
        self.packets = self.lost = self.duplicates = self.out_of_order = 0

    def take(self, batch):
        """Whether the batch is new."""
        stream = (batch.session_id, batch.stream_id)
        if (*stream, batch.batch_seq) in self.seen:
            self.duplicates += 1
            return False
        self.seen.add((*stream, batch.batch_seq))
        behind = batch.first_packet_seq - self.next_packet.get(stream, 1)
        self.lost += max(behind, 0)
        self.out_of_order += behind < 0
        self.next_packet[stream] = batch.first_packet_seq + len(batch.packets)
        self.packets += len(batch.packets)
        if batch.flags & END_OF_STREAM:
            self.ended.add(stream)
        return True


def add_arguments(parser):
    parser.add_argument("--streams", type=int, default=1, help="end when so many streams of packets have ended")
    parser.add_argument("--idle", type=float, default=30, help="give up after so many seconds without a message")
    parser.add_argument("-w", metavar="FILE", required=True, help="write the packets as pcap with nanoseconds")


def consume(messages, args):
    """Take messages until the streams have ended; print what was found as JSON."""
    streams = Streams()
    with open(args.w, "wb") as pcap:
        pcap.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        for message in messages:
            batch = packet_batch_pb2.PacketBatch.FromString(message)
            for packet in batch.packets if streams.take(batch) else ():
                seconds, nanoseconds = divmod(packet.time_unix_nano, 1_000_000_000)
                pcap.write(struct.pack("<IIII", seconds, nanoseconds, len(packet.data), packet.original_length) + packet.data)
            if len(streams.ended) == args.streams:
                break
    print(json.dumps({"packets": streams.packets, "streams": len(streams.next_packet), "lost": streams.lost,
                      "duplicates": streams.duplicates, "out_of_order": streams.out_of_order}))
