#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Print every message that is in Kafka topics now, one JSON object a line, without anything of wirebus but its schema.

    dump_kafka.py SERVERS TOPIC[:record|:batch]... [-w FILE.pcap]

Of a packet it prints what the tests' sender wrote into it (tests/clients/frames.h): its flow, its number in the flow, and
whether it came from the other end.
"""
import argparse
import json
import struct

import confluent_kafka

import packet_batch_pb2
import packet_record_pb2

MARK = 14 + 20 + 8  # Ethernet, IPv4, UDP


def messages(servers, topic):
    """Every message between the beginning of each partition and its end now."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": servers, "group.id": "dump", "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, 20).topics[topic].partitions
    left, assigned = {}, []
    for partition in partitions:
        at = confluent_kafka.TopicPartition(topic, partition)
        low, high = consumer.get_watermark_offsets(at, 20)
        at.offset = low
        if low < high:
            left[partition] = high
            assigned.append(at)
    consumer.assign(assigned)
    while left:
        for message in consumer.consume(10000, 1):
            if message.error():
                raise SystemExit(f"{topic}: {message.error()}")
            yield message
            if message.offset() + 1 >= left[message.partition()]:
                del left[message.partition()]
    consumer.close()


def packet_facts(packet):
    magic, _, flow, flow_seq = struct.unpack_from(">HQII", packet.data, MARK)
    if magic != 0x7762:
        raise SystemExit(f"a packet that the sender has not sent: {packet.data.hex()}")
    return [flow, flow_seq, packet.data[26:28] == b"\x0a\x80"]


def facts(message, value):
    return {"topic": message.topic(), "partition": message.partition(), "offset": message.offset(),
            "key": message.key().decode() if message.key() else None, "time_ms": message.timestamp()[1],
            "headers": len(message.headers() or []), "bytes": len(message.value()), "session": value.session_id.hex(),
            "node": value.node, "worker": value.worker_id, "stream": value.stream_id, "batch_seq": value.batch_seq,
            "bucket": value.flow_bucket_plus_one}


def batch_facts(message, batch):
    return {**facts(message, batch), "kind": "batch", "first": batch.first_packet_seq, "flags": batch.flags,
            "accepted": batch.counters.accepted, "delivered": batch.counters.delivered,
            "kernel_seen": batch.counters.kernel_seen, "packets": [packet_facts(packet) for packet in batch.packets]}


def record_facts(message, record):
    return {**facts(message, record), "kind": "record", "first": record.packet_seq, "time_ns": record.time_unix_nano,
            "interface": record.interface_name, "packets": [packet_facts(record)]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("servers")
    parser.add_argument("topics", nargs="+")
    parser.add_argument("-w", metavar="FILE", help="write the packets as pcap with nanoseconds")
    args = parser.parse_args()
    pcap = open(args.w, "wb") if args.w else None
    if pcap:
        pcap.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
    for name in args.topics:
        topic, _, kind = name.partition(":")
        for message in messages(args.servers, topic):
            if kind == "record":
                value = packet_record_pb2.PacketRecord.FromString(message.value())
                packets = [value]
                print(json.dumps(record_facts(message, value)))
            else:
                value = packet_batch_pb2.PacketBatch.FromString(message.value())
                packets = value.packets
                print(json.dumps(batch_facts(message, value)))
            for packet in packets if pcap else ():
                seconds, nanoseconds = divmod(packet.time_unix_nano, 1_000_000_000)
                pcap.write(struct.pack("<IIII", seconds, nanoseconds, len(packet.data), packet.original_length))
                pcap.write(packet.data)


if __name__ == "__main__":
    main()
