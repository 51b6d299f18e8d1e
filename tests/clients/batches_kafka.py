#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every message of a topic, from its beginning to its present end, as one line of JSON without the packets.

    batches_kafka.py SERVERS TOPIC
"""
import json
import sys

import confluent_kafka
from google.protobuf.json_format import MessageToDict

import packet_batch_pb2


def main():
    servers, topic = sys.argv[1:3]
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": servers, "group.id": "batches", "enable.auto.commit": False,
        "enable.partition.eof": True, "auto.offset.reset": "earliest"})
    partitions = list(consumer.list_topics(topic, timeout=20).topics[topic].partitions)
    consumer.assign([confluent_kafka.TopicPartition(topic, number, 0) for number in partitions])
    ended = set()
    while len(ended) < len(partitions):
        message = consumer.poll(20)
        if message is None:
            sys.exit("nothing within 20 s")
        if message.error():
            if message.error().code() != confluent_kafka.KafkaError._PARTITION_EOF:
                sys.exit(str(message.error()))
            ended.add(message.partition())
            continue
        batch = packet_batch_pb2.PacketBatch.FromString(message.value())
        print(json.dumps({
            "partition": message.partition(), "key": message.key().decode(), "session": batch.session_id.hex(),
            "worker": batch.worker_id, "stream": batch.stream_id, "batch_seq": batch.batch_seq,
            "first_packet_seq": batch.first_packet_seq, "packets": len(batch.packets), "flags": batch.flags,
            "watermark": batch.watermark_unix_nano,
            "last_time": max((packet.time_unix_nano for packet in batch.packets), default=0),
            "counters": {name: int(value) for name, value in
                         MessageToDict(batch.counters, preserving_proto_field_name=True).items()}}))
    consumer.close()


if __name__ == "__main__":
    main()
