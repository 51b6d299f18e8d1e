#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Follow a topic while it is written, and hold every message's counters against the ledger's sums, with nothing of wirebus's.

    watch_kafka.py SERVERS TOPIC STREAMS [--resume LINE] [--ring-packets N]

Prints one line of JSON twice a second: where it stands and what it has found. Killed, it goes on from its last line. Ends
when so many streams have ended; at once, with 1, when a sum does not hold. Each worker must have one stream.
"""
import argparse
import json
import pathlib
import sys
import time

import confluent_kafka

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import checker  # noqa: E402
from messages import END_OF_STREAM, read_batch  # noqa: E402

GIVE_UP_SECONDS = 120  # without a message


class Broken(Exception):
    pass


class Watcher:
    """What was found so far; all of it is in a line of JSON, so that another process can go on."""

    def __init__(self, line, ring_packets):
        self.ring_packets = ring_packets
        self.found = line or {"at": {}, "streams": {}, "messages": 0, "without_packets": 0, "packets": 0, "duplicates": 0,
                              "gaps": 0, "spooled_most": 0, "ring_most": 0}

    def take(self, partition, offset, data):
        facts = read_batch(data)
        name = f"{facts['session'].hex()}/{facts.get('stream', 0)}"
        stream = self.found["streams"].setdefault(name, {"seq": 0, "next": 1, "counters": {}, "ended": False})
        self.found["at"][str(partition)] = offset + 1
        self.found["messages"] += 1
        if facts["seq"] <= stream["seq"]:
            self.found["duplicates"] += 1
            return
        self.found["gaps"] += facts["seq"] != stream["seq"] + 1 or facts["first"] != stream["next"]
        self.found["packets"] += facts["packets"]
        self.found["without_packets"] += not facts["packets"]
        self.check(facts, stream["counters"])
        stream.update(seq=facts["seq"], next=facts["first"] + facts["packets"], counters=facts["counters"],
                      ended=bool(facts.get("flags", 0) & END_OF_STREAM))
        self.found["spooled_most"] = max(self.found["spooled_most"], sum(
            other["counters"]["spooled"] for other in self.found["streams"].values()))

    def check(self, facts, before):
        c = facts.get("counters")
        if not c or not checker.balanced(c):
            raise Broken(f"the sums do not hold: {facts}")
        in_ring = c["kernel_seen"] - c["read"] - c["kernel_dropped"]
        self.found["ring_most"] = max(self.found["ring_most"], in_ring)
        if not 0 <= in_ring <= self.ring_packets:
            raise Broken(f"{in_ring} packets in a ring for {self.ring_packets}: {facts}")
        if c["accepted"] != facts["first"] + facts["packets"] - 1:
            raise Broken(f"what is accepted is not what has a number: {facts}")
        fallen = [name for name in checker.RISING if c[name] < before.get(name, 0)]
        if fallen:
            raise Broken(f"{', '.join(fallen)} fell: {before} then {facts}")

    def ended(self):
        return sum(stream["ended"] for stream in self.found["streams"].values())


def wait_for_topic(consumer, topic):
    """The capture makes it; brokers come and go."""
    give_up = time.monotonic() + GIVE_UP_SECONDS
    while time.monotonic() < give_up:
        try:
            found = consumer.list_topics(topic, 5).topics[topic]
            if not found.error and found.partitions:
                return found.partitions
        except confluent_kafka.KafkaException:
            pass
        time.sleep(0.2)
    raise SystemExit(f"no topic {topic} within {GIVE_UP_SECONDS} s")


def values(consumer):
    """The messages that come, in lists of up to half a second."""
    heard = time.monotonic()
    while time.monotonic() - heard < GIVE_UP_SECONDS:
        taken = []
        for message in consumer.consume(64, 0.5):
            if not message.error():
                taken.append(message)
            elif message.error().code() in (confluent_kafka.KafkaError._AUTO_OFFSET_RESET,
                                            confluent_kafka.KafkaError.OFFSET_OUT_OF_RANGE):
                raise SystemExit(f"the broker lost what it had: {message.error()}")
        if taken:
            heard = time.monotonic()
        yield taken
    raise SystemExit(f"nothing within {GIVE_UP_SECONDS} s")


def watch(consumer, watcher, topic, streams):
    at = watcher.found["at"]
    consumer.assign([confluent_kafka.TopicPartition(topic, number, at.get(str(number), 0))
                     for number in wait_for_topic(consumer, topic)])
    told = 0
    for messages in values(consumer):
        for message in messages:
            watcher.take(message.partition(), message.offset(), message.value())
        over = watcher.ended() == streams
        if over or time.monotonic() - told > 0.5:
            print(json.dumps(watcher.found), flush=True)
            told = time.monotonic()
        if over:
            return


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("servers")
    parser.add_argument("topic")
    parser.add_argument("streams", type=int)
    parser.add_argument("--resume", metavar="LINE", help="the last line of one that was killed")
    parser.add_argument("--ring-packets", type=int, default=1 << 20, help="more than fit into a worker's ring")
    args = parser.parse_args()
    watcher = Watcher(json.loads(args.resume) if args.resume else None, args.ring_packets)
    consumer = confluent_kafka.Consumer({
        "bootstrap.servers": args.servers, "group.id": "watch", "enable.auto.commit": False, "auto.offset.reset": "error",
        "reconnect.backoff.max.ms": 500, "queued.max.messages.kbytes": 16384})
    try:
        watch(consumer, watcher, args.topic, args.streams)
    except Broken as why:
        raise SystemExit(str(why)) from None
    consumer.close()


if __name__ == "__main__":
    main()
