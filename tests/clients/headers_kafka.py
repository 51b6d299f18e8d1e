#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tell what a Kafka topic has and lacks from its records' headers alone, without decoding a message.

    headers_kafka.py SERVERS TOPIC

Prints JSON: records, duplicates (records whose session, stream and sequence was there before), packets, missing
(packet numbers that no record has, up to each stream's last), streams, and how many of them have ended.
"""
import json
import sys

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

END_OF_STREAM = 2  # of wb-flags


def headers_of_all(servers, topic):
    consumer = confluent_kafka.Consumer({"bootstrap.servers": servers, "group.id": "headers", "enable.auto.commit": False,
                                         "enable.partition.eof": True, "fetch.wait.max.ms": 50})
    partitions = list(consumer.list_topics(topic, timeout=10).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in partitions])
    ended = set()
    while len(ended) < len(partitions):
        message = consumer.poll(10)
        if message is None:
            raise SystemExit("the topic cannot be read")
        if message.error():
            ended.add(message.partition())
        else:
            yield {name: value.decode() for name, value in message.headers() if name.startswith("wb-")}
    consumer.close()


def main():
    servers, topic = sys.argv[1:]
    found = {"records": 0, "duplicates": 0, "packets": 0, "missing": 0, "streams": 0, "ended": 0}
    seen, ranges = set(), {}
    for headers in headers_of_all(servers, topic):
        found["records"] += 1
        if headers["wb-schema-version"] != "1":
            raise SystemExit(f"schema version {headers['wb-schema-version']}")
        stream = (headers["wb-session"], headers["wb-stream"])
        identity = (*stream, headers["wb-batch-seq"])
        if identity in seen:
            found["duplicates"] += 1
            continue
        seen.add(identity)
        first, packets = int(headers["wb-first-packet-seq"]), int(headers["wb-packets"])
        found["packets"] += packets
        found["ended"] += bool(int(headers["wb-flags"]) & END_OF_STREAM)
        ranges.setdefault(stream, []).append((first, first + packets))
    for stream in ranges.values():
        found["missing"] += max(end for _, end in stream) - 1 - sum(end - first for first, end in stream)
    found["streams"] = len(ranges)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
