#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prove that seeking by time skips no packet: read a whole topic, look up the offsets of random times, and compare.

    seek_kafka.py SERVERS TOPIC [--times N]

Prints JSON: times tried, batches in the topic, `inside` seeks that began in the middle of a partition, `skipped` seeks
after which a packet of that time or later lay before the offset.
"""
import argparse
import json
import random

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

import packet_batch_pb2


def read_all(servers, topic):
    """For each partition, its batches in order: (offset, time of the latest packet in nanoseconds or None)."""
    consumer = confluent_kafka.Consumer({"bootstrap.servers": servers, "group.id": "seek", "enable.auto.commit": False,
                                         "enable.partition.eof": True})
    partitions = list(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    batches = {partition: [] for partition in partitions}
    ended = set()
    while len(ended) < len(partitions):
        message = consumer.poll(10)
        if message is None:
            raise SystemExit("the topic cannot be read")
        if message.error():
            ended.add(message.partition())
            continue
        batch = packet_batch_pb2.PacketBatch.FromString(message.value())
        times = [packet.time_unix_nano for packet in batch.packets]
        batches[message.partition()].append((message.offset(), max(times) if times else None))
    # A fetch that waits for more would hold up every request behind it.
    consumer.unassign()
    return consumer, batches


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("servers")
    parser.add_argument("topic")
    parser.add_argument("--times", type=int, default=200)
    args = parser.parse_args()

    consumer, batches = read_all(args.servers, args.topic)
    latest = [time for partition in batches.values() for _, time in partition if time is not None]
    found = {"times": 0, "batches": sum(map(len, batches.values())), "inside": 0, "skipped": 0}
    for _ in range(args.times):
        # Also exactly the time of a packet: the hardest case.
        time = random.choice([random.randint(min(latest) - 10**9, max(latest) + 10**9), random.choice(latest)])
        milliseconds = time // 1_000_000
        answer = consumer.offsets_for_times([TopicPartition(args.topic, p, milliseconds) for p in batches], timeout=10)
        for position in answer:
            partition = batches[position.partition]
            # A negative offset: there is nothing so late.
            before = [t for offset, t in partition if position.offset < 0 or offset < position.offset]
            found["skipped"] += any(t is not None and t >= time for t in before)
            found["inside"] += 0 < len(before) < len(partition)
        found["times"] += 1
    consumer.close()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
