#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Copy the messages of a topic to another one as a bad network would: some are missing, some come twice, one is garbage.

    thin_kafka.py SERVERS FROM TO batch|record

Of each stream's messages with packets the third and the last are left out and the second comes twice. A ledger beside
records stays whole. A worker of another node, whose session's name is too long, has lost packets in its kernel. Prints the left-out packets as JSON: [session, stream, first number, last number].
"""
import collections
import json
import sys
import uuid

import confluent_kafka

import dump_kafka
import packet_batch_pb2
import packet_record_pb2

LEFT_OUT, TWICE = (2, -1), 1
END_OF_STREAM = 2  # PacketBatch.flags
GARBAGE = b"\xff\xff\xff this is no protobuf"


def lost_in_kernel():
    """A stream of two messages without packets, with 3 packets lost before the first and 4 more before the second."""
    for number, flags, dropped in ((1, 1, 3), (2, END_OF_STREAM, 7)):
        yield packet_batch_pb2.PacketBatch(
            session_id=b"\xfe" * 20, worker_id=99, stream_id=99, batch_seq=number, first_packet_seq=1, node="elsewhere",
            flags=flags, watermark_unix_nano=1_700_000_000_000_000_000 + number,
            counters=packet_batch_pb2.Counters(kernel_seen=10 * number, kernel_dropped=dropped))


def numbers(value):
    """First and last packet number of a message that may be missing; else None."""
    if isinstance(value, packet_record_pb2.PacketRecord):
        return value.packet_seq, value.packet_seq
    if not value.packets or value.flags & END_OF_STREAM:
        return None
    return value.first_packet_seq, value.first_packet_seq + len(value.packets) - 1


def main():
    servers, source, target, kind = sys.argv[1:]
    make = {"batch": packet_batch_pb2.PacketBatch, "record": packet_record_pb2.PacketRecord}[kind]
    found, streams = [], collections.defaultdict(list)
    for message in dump_kafka.messages(servers, source):
        value = make.FromString(message.value())
        found.append(message)
        if numbers(value):
            stream = (str(uuid.UUID(bytes=value.session_id)), value.stream_id)
            streams[stream].append((len(found) - 1, *numbers(value)))
    left_out = {stream: sorted((packets[at] for at in LEFT_OUT), key=lambda packet: packet[1])
                for stream, packets in streams.items()}
    skipped = {number for packets in left_out.values() for number, _, _ in packets}
    twice = {packets[TWICE][0] for packets in streams.values()}
    producer = confluent_kafka.Producer({"bootstrap.servers": servers})
    producer.produce(target, GARBAGE)
    for number, message in enumerate(found):
        for _ in range(0 if number in skipped else 2 if number in twice else 1):
            producer.produce(target, message.value(), message.key())
            producer.poll(0)
    for message in dump_kafka.messages(servers, f"{source}.ledger") if kind == "record" else ():
        producer.produce(f"{target}.ledger", message.value(), message.key())
    for batch in lost_in_kernel():
        producer.produce(f"{target}.ledger" if kind == "record" else target, batch.SerializeToString())
    if producer.flush(60):
        sys.exit("not all messages were delivered")
    print(json.dumps(sorted([*stream, first, last] for stream, packets in left_out.items() for _, first, last in packets)))


if __name__ == "__main__":
    main()
