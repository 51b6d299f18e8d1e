#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Read packets from a Kafka topic: an example that needs nothing of wirebus but its packet_batch.proto and packet_record.proto.

    apt-get install python3-confluent-kafka python3-protobuf protobuf-compiler
    protoc --python_out=. packet_batch.proto packet_record.proto
    python3 consumer_kafka.py 127.0.0.1:9092 packets
    python3 consumer_kafka.py --record 127.0.0.1:9092 packets     (wirebus run --mode record: also reads packets.ledger)

Ends when every stream has ended, or after --idle seconds without a message.
"""
import argparse
import struct
import time

import confluent_kafka

import packet_batch_pb2
import packet_record_pb2

END_OF_STREAM = 2  # PacketBatch.flags


def messages(servers, topics, idle):
    """Every message of the topics, from their beginning."""
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": servers,
        "group.id": f"example-{time.time_ns()}",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })
    consumer.subscribe(topics)
    deadline = time.monotonic() + idle
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None or message.error():
            continue
        deadline = time.monotonic() + idle
        yield message
    consumer.close()


def contents(message, record_topic):
    """(stream, number of the first packet, packets, whether the stream ends here)"""
    if message.topic() == record_topic:
        record = packet_record_pb2.PacketRecord.FromString(message.value())
        return (record.session_id, record.stream_id), record.packet_seq, [record], False
    batch = packet_batch_pb2.PacketBatch.FromString(message.value())
    return (batch.session_id, batch.stream_id), batch.first_packet_seq, batch.packets, bool(batch.flags & END_OF_STREAM)


class Streams:
    """Follows the numbers of every stream: those that nothing brings are packets lost between wirebus and here."""

    def __init__(self):
        self.received, self.next, self.ends = {}, {}, {}

    def take(self, stream, first, packets, ends):
        self.received[stream] = self.received.get(stream, 0) + len(packets)
        self.next[stream] = max(self.next.get(stream, 1), first + len(packets))
        if ends:
            self.ends[stream] = first + len(packets)

    def lost(self):
        return sum(number - 1 - self.received[stream] for stream, number in self.next.items())

    def all_ended(self, wait_for_all):
        """wait_for_all: of two topics one may bring the end before the other has brought the packets."""
        return bool(self.next) and self.ends == self.next and not (wait_for_all and self.lost())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("servers")
    parser.add_argument("topic")
    parser.add_argument("--record", action="store_true", help="the topic has a message for each packet")
    parser.add_argument("--idle", type=float, default=30, help="give up after so many seconds without a message")
    parser.add_argument("-w", metavar="FILE", help="write the packets as pcap with nanoseconds")
    args = parser.parse_args()

    pcap = open(args.w, "wb") if args.w else None
    if pcap:
        pcap.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
    streams, count = Streams(), 0
    topics = [args.topic, f"{args.topic}.ledger"] if args.record else [args.topic]
    for message in messages(args.servers, topics, args.idle):
        stream, first, packets, ends = contents(message, args.topic if args.record else None)
        streams.take(stream, first, packets, ends)
        count += len(packets)
        for packet in packets if pcap else ():
            seconds, nanoseconds = divmod(packet.time_unix_nano, 1_000_000_000)
            pcap.write(struct.pack("<IIII", seconds, nanoseconds, len(packet.data), packet.original_length) + packet.data)
        if streams.all_ended(args.record):
            break
    print(f"{count} packets in {len(streams.next)} streams, {streams.lost()} lost")


if __name__ == "__main__":
    main()
