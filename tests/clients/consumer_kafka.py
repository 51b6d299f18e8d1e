#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Read packets from a Kafka topic: an example that needs nothing of wirebus but its packet_batch.proto.

    apt-get install python3-confluent-kafka python3-protobuf protobuf-compiler
    protoc --python_out=. packet_batch.proto
    python3 consumer_kafka.py 127.0.0.1:9092 packets

Ends when every stream has ended, or after --idle seconds without a message.
"""
import argparse
import struct
import time

import confluent_kafka

import packet_batch_pb2

END_OF_STREAM = 2  # PacketBatch.flags


def messages(servers, topic, idle):
    """Every batch of the topic, from its beginning."""
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": servers,
        "group.id": f"example-{time.time_ns()}",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    })
    consumer.subscribe([topic])
    deadline = time.monotonic() + idle
    while time.monotonic() < deadline:
        message = consumer.poll(0.5)
        if message is None or message.error():
            continue
        deadline = time.monotonic() + idle
        yield packet_batch_pb2.PacketBatch.FromString(message.value())
    consumer.close()


class Streams:
    """Follows the sequence numbers of every stream: a hole is packets lost between wirebus and here."""

    def __init__(self):
        self.next = {}
        self.ended = set()
        self.lost = 0

    def take(self, batch):
        stream = (batch.session_id, batch.stream_id)
        self.lost += batch.first_packet_seq - self.next.get(stream, 1)
        self.next[stream] = batch.first_packet_seq + len(batch.packets)
        if batch.flags & END_OF_STREAM:
            self.ended.add(stream)

    def all_ended(self):
        return bool(self.next) and self.ended == set(self.next)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("servers")
    parser.add_argument("topic")
    parser.add_argument("--idle", type=float, default=30, help="give up after so many seconds without a message")
    parser.add_argument("-w", metavar="FILE", help="write the packets as pcap with nanoseconds")
    args = parser.parse_args()

    pcap = open(args.w, "wb") if args.w else None
    if pcap:
        pcap.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
    streams, packets = Streams(), 0
    for batch in messages(args.servers, args.topic, args.idle):
        streams.take(batch)
        packets += len(batch.packets)
        for packet in batch.packets if pcap else ():
            seconds, nanoseconds = divmod(packet.time_unix_nano, 1_000_000_000)
            pcap.write(struct.pack("<IIII", seconds, nanoseconds, len(packet.data), packet.original_length) + packet.data)
        if streams.all_ended():
            break
    print(f"{packets} packets in {len(streams.next)} streams, {streams.lost} lost")


if __name__ == "__main__":
    main()
