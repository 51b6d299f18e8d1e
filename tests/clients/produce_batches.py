#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fill a topic with what several nodes would have written: batches of streams whose clocks differ, that were sealed and
delivered with different delays, into partitions that are unequally full; and garbage in between.

    produce_batches.py SERVERS TOPIC TRUTH [--packets N] [--seconds S] [--garbage N]

Streams 1 to 6 are two workers each of three nodes; stream s goes to partition s % 4. TRUTH gets JSON: packets, as
[time_ns, number, partition, offset] in the order of time; sizes, the number of messages of each partition.
"""
import argparse
import json
import random
import struct

import confluent_kafka

import packet_batch_pb2

PARTITIONS, STREAMS, START_NS, BATCH_NS = 4, 6, 1_600_000_000_000_000_000, 50_000_000
SESSION = bytes.fromhex("01020304050670088000000000000001")
CLOCK_NS = [0, 37_000_000, 111_000_000]  # how far each node's clock is ahead
HEAD = bytes.fromhex("020000000001020000000002") + b"\x88\xb5"


def plan(packets, seconds, chance):
    """Batches as (when it arrives, stream, [(time, number)]), in the order of arriving."""
    open_batches, batches = {}, []
    step = seconds * 1_000_000_000 // packets // 1000 * 1000
    # Streams 3 (partition 3) and 6 have next to nothing.
    weights = [30, 30, 1, 30, 30, 2]
    for number in range(packets):
        stream = chance.choices(range(1, STREAMS + 1), weights)[0]
        true_ns = number * step
        batch = open_batches.get(stream)
        if batch and true_ns - batch[0] > BATCH_NS:
            batches.append((batch[0] + BATCH_NS + chance.randrange(800_000_000), stream, batch[1]))
            batch = None
        if not batch:
            batch = open_batches[stream] = (true_ns, [])
        # The last digits make every time a different one.
        batch[1].append((START_NS + true_ns + CLOCK_NS[(stream - 1) // 2] + stream, number))
    batches += [(batch[0] + BATCH_NS, stream, batch[1]) for stream, batch in open_batches.items()]
    # A stream's batches keep their order, whatever the delays.
    last = {}
    for at, stream, content in sorted(batches, key=lambda batch: batch[2][0][0]):
        last[stream] = max(at, last.get(stream, 0) + 1)
        yield last[stream], stream, content


def message(stream, batch_seq, first, content):
    batch = packet_batch_pb2.PacketBatch(session_id=SESSION, worker_id=stream, stream_id=stream, batch_seq=batch_seq,
                                         first_packet_seq=first, node=f"node{(stream - 1) // 2 + 1}")
    batch.interfaces.add(index=1, name="eth0", link_type=1, snap_length=65535)
    for time_ns, number in content:
        data = HEAD + struct.pack("<Q", number) + b"\0" * 40
        batch.packets.add(time_unix_nano=time_ns, interface_index=1, original_length=len(data), data=data, flags=1)
    times = [time_ns for time_ns, _ in content]
    batch.min_time_unix_nano, batch.max_time_unix_nano = min(times), max(times)
    return batch.SerializeToString(), max(times) // 1_000_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("servers")
    parser.add_argument("topic")
    parser.add_argument("truth")
    parser.add_argument("--packets", type=int, default=20000)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--garbage", type=int, default=0)
    args = parser.parse_args()

    chance = random.Random(5)
    producer = confluent_kafka.Producer({"bootstrap.servers": args.servers, "acks": "all", "linger.ms": 20})
    sizes, truth, seqs, firsts, failures = [0] * PARTITIONS, [], {}, {}, []

    def produce(partition, value, time_ms):
        producer.produce(args.topic, value=value, partition=partition, timestamp=time_ms,
                         on_delivery=lambda error, _: error and failures.append(error))
        producer.poll(0)
        sizes[partition] += 1
        return sizes[partition] - 1

    batches = sorted(plan(args.packets, args.seconds, chance))
    spoiled = set(chance.sample(range(len(batches)), args.garbage))
    for position, (_, stream, content) in enumerate(batches):
        seqs[stream], firsts[stream] = seqs.get(stream, 0) + 1, firsts.get(stream, 1)
        value, time_ms = message(stream, seqs[stream], firsts[stream], content)
        firsts[stream] += len(content)
        if position in spoiled:  # noise, or a message that was cut
            produce(stream % PARTITIONS, chance.choice([chance.randbytes(300), value[:-3]]), time_ms)
        offset = produce(stream % PARTITIONS, value, time_ms)
        truth += [(time_ns, number, stream % PARTITIONS, offset) for time_ns, number in content]
    if producer.flush(30) or failures:
        raise SystemExit(f"not everything was delivered: {failures[:3]}")
    with open(args.truth, "w", encoding="utf-8") as out:
        json.dump({"packets": sorted(truth), "sizes": sizes}, out)


if __name__ == "__main__":
    main()
