#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""From the wire to `wirebus cat` over every transport: each frame once, bit by bit, in order within its flow, with time,
lengths, interface and direction, none lost, and the ledger's sums."""
import json

from prelude import wbtest
from wbtest import CAPTURED_SIDE, FRAMES, expect, expect_equal, wait_until

PLAN = {"count": FRAMES, "flows": 256, "sizes": "mixed", "seed": 42}
RATE = 110000  # well below what two cores carry with sender, bridge, bus and consumer on them
PORT = 5555
# Nothing may be lost although the machine may stop everybody for some seconds.
RING = ["--block-count", 256, "--retire", "40ms"]
QUEUE = 500  # messages: PUB drops for a subscriber that is stopped longer than this holds


def facts(sent):
    return ["--interface", CAPTURED_SIDE, "--direction", "in", "--after", sent["first_ns"] - 10**9,
            "--before", sent["last_ns"] + 10**9]


def check_summary(cat):
    """What cat itself says it has seen."""
    with open(cat.summary_path, encoding="utf-8") as stream:
        said = json.load(stream)
    wanted = {"packets": FRAMES, "missing_packets": 0, "missing_messages": 0, "missed_before_first": 0, "duplicates": 0,
              "out_of_order": 0, "damaged": 0, "kernel_dropped": 0}
    expect_equal({name: said[name] for name in wanted}, wanted, "summary of cat")
    expect_equal(len(said["streams"]), 2, "streams in the summary")
    expect(all(stream["ended"] for stream in said["streams"]), "every stream has ended")


def live(t, transport, source):
    """A consumer that reads while packets are captured, until the end of every stream."""
    net = t.net()
    run = t.capture(net, f"{transport}://127.0.0.1:{PORT}?sndhwm={QUEUE}", *RING)
    cat, checker = t.cat_and_check(net, PLAN, f"{source}://127.0.0.1:{PORT}?rcvhwm={QUEUE}",
                                   check=["--interface", CAPTURED_SIDE, "--direction", "in"])
    wait_until(lambda: net.connected(PORT), 10, "the consumer is connected")
    if transport == "zmq+pub":
        t.wait_subscribed(net, PORT)
    sent = t.send(net, PLAN, rate=RATE)
    expect_equal(sent["frames"], FRAMES, "frames sent")
    total = t.settle(run, FRAMES, lossless=True, workers=2)
    expect_equal(total["handed_over"], FRAMES, "handed over to the bus")
    expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
    found = t.checked(checker)
    expect_equal(found["packets"], FRAMES, "packets at the consumer")
    expect_equal(found["bytes"], sent["bytes"], "bytes at the consumer")
    check_summary(cat)
    expect(sent["first_ns"] <= found["first_ns"] and found["last_ns"] <= sent["last_ns"] + 10**9, f"times: {found} {sent}")


def stored(t, net, to, source):
    """A consumer that comes when all is over."""
    run = t.capture(net, to, *RING)
    sent = t.send(net, PLAN, rate=RATE)
    total = t.settle(run, FRAMES, lossless=True, workers=2)
    expect_equal(total["delivered"], FRAMES, "delivered to the bus")
    cat, checker = t.cat_and_check(net, PLAN, source, check=facts(sent))
    expect_equal(cat.wait(120), 0, f"exit code of cat ({cat.err})")
    found = t.checked(checker)
    expect_equal(found["packets"], FRAMES, "packets at the consumer")
    expect_equal(found["bytes"], sent["bytes"], "bytes at the consumer")
    check_summary(cat)
    t.audit(net, source, no_loss=True, sent=FRAMES, run=run)


def test_zmq_push(t):
    live(t, "zmq+push", "zmq+pull")


def test_zmq_pub(t):
    live(t, "zmq+pub", "zmq+sub")


def test_kafka(t):
    net = t.net()
    broker = t.broker(net)
    url = f"kafka://{broker.servers}/packets"
    stored(t, net, url, url)


def test_kafka_compressed(t):
    """Every codec of the client: what it writes is what cat reads."""
    net = t.net()
    broker = t.broker(net)
    plan = dict(PLAN, count=20000)
    for codec in ("gzip", "snappy", "lz4", "zstd"):
        url = f"kafka://{broker.servers}/{codec}"
        run = t.capture(net, f"{url}?compression={codec}")
        t.send(net, plan, rate=20000)
        t.settle(run, plan["count"], lossless=True, workers=2)
        cat, checker = t.cat_and_check(net, plan, url, check=["--interface", CAPTURED_SIDE, "--direction", "in"])
        expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
        t.checked(checker)
        t.audit(net, url, no_loss=True, sent=plan["count"], run=run, deep=True)


def test_file(t):
    url = t.shared_folder("packets")
    stored(t, t.net(), url, url)


def test_json(t):
    """The fields of a JSON line, against what was sent."""
    net = t.net()
    url = t.shared_folder("packets")
    run = t.capture(net, url, "--node", "probe-7")
    plan = dict(PLAN, count=500)
    sent = t.send(net, plan)
    t.settle(run, 500, lossless=True)
    cat = t.wirebus(net, "cat", "--from", url, "-o", "json")
    expect_equal(cat.wait(), 0, f"exit code of cat ({cat.err})")
    lines = [json.loads(line) for line in cat.out.splitlines()]
    expect_equal(len(lines), 500, "lines")
    for line in lines:
        expect_equal(line["node"], "probe-7", "node")
        expect_equal(line["interface_name"], CAPTURED_SIDE, "interface_name")
        expect_equal(line["link_type"], 1, "link_type")
        expect_equal(line["flags"] & 3, 1, "direction")
        expect_equal(line["timestamp_source"], 1, "timestamp_source")
        expect(isinstance(line["time_unix_nano"], str), "64-bit integers are strings")
        expect(sent["first_ns"] <= int(line["time_unix_nano"]) <= sent["last_ns"] + 10**9, "time_unix_nano")
        padded = len(line["data"]) * 3 // 4 - line["data"].count("=")
        expect_equal(padded, line["original_length"], "length of data")
    by_stream = {}
    for line in lines:
        by_stream.setdefault(line["stream_id"], []).append(int(line["packet_seq"]))
    for stream, numbers in by_stream.items():
        expect_equal(numbers, list(range(1, len(numbers) + 1)), f"packet_seq of stream {stream}")


if __name__ == "__main__":
    wbtest.main(globals())
