#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Key `flow`: both directions of a flow, from all workers and from two nodes, are in one partition, in order, in batches."""
import collections
import ipaddress
import json

from prelude import wbtest
from wbtest import expect, expect_equal

PARTITIONS, BUCKETS, WORKERS = 4, 16, 2
END_OF_STREAM = 2  # PacketBatch.flags
PLAN = {"count": 20000, "flows": 199, "sizes": "mixed", "seed": 5}
MASK = (1 << 64) - 1


def mix(x):
    """From bridge/flow_hash.h."""
    x ^= x >> 32
    x = x * 0xD6E8FEB86659FD93 & MASK
    x ^= x >> 32
    x = x * 0xD6E8FEB86659FD93 & MASK
    return x ^ x >> 32


def bucket_of(flow):
    """The bucket of a flow of the sender, see tests/clients/frames.c."""
    def end(address, port):
        return mix(int(ipaddress.IPv4Address(address)) << 16 | port)
    source = end(0x0A000000 | flow, 1024 + flow % 60000)
    destination = end(0x0A800000 | flow * 7 % 65536, 9)
    return (mix((source + destination + 17) & MASK) & 0xFFFFFFFF) % BUCKETS


def read_topics(t, net, broker, *topics):
    client = t.client(net, "dump_kafka.py", broker.servers, *topics)
    expect_equal(client.wait(60), 0, f"exit code of dump_kafka.py ({client.err})")
    return [json.loads(line) for line in client.out.splitlines()]


def check_order(messages):
    """Of each worker, every direction of a flow is in order; returns what there is of each node."""
    last, seen = {}, collections.defaultdict(set)
    for message in sorted(messages, key=lambda m: (m["partition"], m["offset"])):
        for flow, flow_seq, reverse in message["packets"]:
            way = (message["node"], message["worker"], flow, reverse)
            expect(flow_seq > last.get(way, -1), f"{way}: packet {flow_seq} comes after {last.get(way)}")
            last[way] = flow_seq
            expect((flow, flow_seq, reverse) not in seen[message["node"]], f"{way}: packet {flow_seq} comes twice")
            seen[message["node"]].add((flow, flow_seq, reverse))
    return seen


def check_partitions(messages):
    partitions, workers = collections.defaultdict(set), collections.defaultdict(set)
    for message in messages:
        bucket = message["bucket"] - 1
        expect_equal(message["key"], f"flow/{bucket}", "key")
        for flow, _, reverse in message["packets"]:
            expect_equal(bucket, bucket_of(flow), f"bucket of flow {flow}")
            partitions[flow].add(message["partition"])
            workers[flow].add((message["node"], message["worker"], reverse))
    expect_equal({flow: len(found) for flow, found in partitions.items()}, {flow: 1 for flow in range(PLAN["flows"])},
                 "partitions of each flow")
    # And that was worth proving: each came through both workers of both nodes in both directions.
    expect_equal({len(found) for found in workers.values()}, {2 * WORKERS * 2}, "ways to the partition of a flow")
    expect_equal(len(set.union(*partitions.values())), PARTITIONS, "partitions that are used")


def check_complete(messages, nodes):
    """Every stream has ended, and its numbers add up to what its worker accepted."""
    ends, accepted = collections.Counter(), {}
    for message in messages:
        if message["flags"] & END_OF_STREAM:
            worker = (message["node"], message["worker"])
            ends[worker] += message["first"] - 1
            accepted[worker] = message["accepted"]
    expect_equal(len({(m["node"], m["stream"]) for m in messages if m["flags"] & END_OF_STREAM}),
                 nodes * WORKERS * BUCKETS, "streams that have ended")
    expect_equal(dict(ends), accepted, "packets numbered by the streams of each worker")
    numbers = collections.defaultdict(list)
    for message in messages:
        numbers[message["node"], message["stream"]].append(message["batch_seq"])
    for stream, found in numbers.items():
        expect_equal(sorted(found), list(range(1, len(found) + 1)), f"batch_seq of {stream}")


def test_kafka(t):
    net = t.net()
    broker = t.broker(net, 9092, f"num.partitions={PARTITIONS}")
    options = ["--key", "flow", "--fanout", "load_balance", "--batch-age", "200ms"]
    runs = [t.capture(net, f"kafka://{broker.servers}/packets", "--node", node, *options) for node in ("a", "b")]
    for reverse in (0, 1):
        t.send(net, dict(PLAN, reverse=reverse), rate=40000)
    for run in runs:
        t.settle(run, 2 * PLAN["count"], lossless=True, workers=WORKERS)
    messages = read_topics(t, net, broker, "packets")
    seen = check_order(messages)
    expect_equal({node: len(packets) for node, packets in seen.items()}, {"a": 2 * PLAN["count"], "b": 2 * PLAN["count"]},
                 "packets of each node")
    check_partitions(messages)
    check_complete(messages, 2)
    batches = [len(message["packets"]) for message in messages if message["packets"]]
    # At 40,000 a second a bucket of a worker gets 250 packets in 200 ms.
    expect(sum(batches) / len(batches) > 50, f"{len(batches)} batches for {sum(batches)} packets")
    cat = t.wirebus(net, "cat", "--from", f"kafka://{broker.servers}/packets", "-o", "json", "--summary", t.path("summary"))
    expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
    with open(t.path("summary"), encoding="utf-8") as stream:
        said = json.load(stream)
    expect_equal((said["packets"], said["missing_packets"], said["missing_messages"], said["duplicates"], said["out_of_order"]),
                 (4 * PLAN["count"], 0, 0, 0, 0), "summary of cat")
    expect_equal(len(said["streams"]), 2 * WORKERS * BUCKETS, "streams in the summary")
    expect(all(stream["ended"] for stream in said["streams"]), "every stream has ended")
    t.audit(net, f"kafka://{broker.servers}/packets", no_loss=True, sent=4 * PLAN["count"])


def test_explained(t):
    """Policy drop, and a reader that comes late: the holes in many streams are explained by the counters of their worker."""
    net = t.net()
    plan = dict(PLAN, count=60000)
    run = t.capture(net, "zmq+push://127.0.0.1:5558", "--key", "flow", "--on-full", "drop", "--buffers", "20",
                    "--batch-bytes", "16KiB")
    t.send(net, plan, rate=20000)
    recorder = t.record(net, "zmq+pull://127.0.0.1:5558", "recorded")
    wbtest.wait_until(lambda: "ready" in recorder.err, 20, "the recorder is connected")
    total = t.settle(run, plan["count"], workers=WORKERS)
    expect(total["dropped"] > 1000, f"hardly anything was dropped: {total}")
    expect_equal(recorder.wait(30), 0, f"exit code of the recorder ({recorder.err})")
    said = t.audit(net, recorder.url, sent=plan["count"], run=run, deep=True)
    expect_equal((said["verdict"], said["figures"]["given_up"]), ("explained", total["dropped"]), "verdict, and given up")


def test_few_buffers(t):
    """As few buffers as are allowed and a reader that comes late: nothing stands still, nothing is lost."""
    net = t.net()
    run = t.capture(net, "zmq+push://127.0.0.1:5558", "--key", "flow", "--buffers", "20", "--batch-bytes", "16KiB")
    plan = dict(PLAN, count=5000)
    t.send(net, plan, rate=20000)
    cat, checker = t.cat_and_check(net, plan, "zmq+pull://127.0.0.1:5558")
    wbtest.wait_until(lambda: net.connected(5558), 10, "the consumer is connected")
    t.settle(run, plan["count"], lossless=True, workers=WORKERS)
    expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
    expect_equal(t.checked(checker)["packets"], plan["count"], "packets at the consumer")


def test_two_captures(t):
    """Streams have different ids in all captures of a process, whatever their keys are."""
    net = t.net()
    urls = [t.shared_folder(name) for name in ("flow", "stream")]
    configuration = t.path("wirebus.yaml")
    with open(configuration, "w", encoding="utf-8") as stream:
        stream.write(f"""captures:
  - {{interface: {wbtest.CAPTURED_SIDE}, to: "{urls[0]}", workers: 2, key: flow, flow_buckets: 4}}
  - {{interface: {wbtest.CAPTURED_SIDE}, to: "{urls[1]}", workers: 2, name: second}}
""")
    run = t.wirebus(net, "run", "-c", configuration, "--ledger", t.path("ledger.json"))
    t.wait_capturing(run)
    t.send(net, dict(PLAN, count=1000))
    run.stop()
    expect_equal(wbtest.ledger.check(t.path("ledger.json"), workers=4)["kernel_seen"], 2000, "packets that both have seen")
    ids = []
    for url in urls:
        cat = t.wirebus(net, "cat", "--from", url, "-o", "json", "--summary", t.path("summary"))
        expect_equal(cat.wait(20), 0, f"exit code of cat ({cat.err})")
        with open(t.path("summary"), encoding="utf-8") as stream:
            said = json.load(stream)
        expect_equal((said["packets"], said["missing_packets"]), (1000, 0), "packets")
        ids.append(sorted((stream["worker"], stream["stream"]) for stream in said["streams"]))
    expect_equal(ids, [[(1, 1), (1, 2), (1, 3), (1, 4), (2, 5), (2, 6), (2, 7), (2, 8)], [(3, 9), (4, 10)]],
                 "workers and streams of each capture")


def test_configuration(t):
    """What cannot work is refused, with the figures."""
    net = t.net()
    for words, said in (
            (["--key", "flow", "--buffers", "19"],
             "buffers: 19 is too few for flow_buckets 16, of which each has an open batch; at least 20 are needed"),
            (["--key", "flow", "--flow-buckets", "257"], "'257'"),
            (["--mode", "record"], "mode: 'record' is not for ZeroMQ; use kafka:// or file://, or mode 'batch'")):
        run = t.wirebus(net, "run", "-i", wbtest.CAPTURED_SIDE, "--to", "zmq+push://127.0.0.1:5558", *words)
        expect_equal(run.wait(10), 2, "exit code")
        expect(said in run.err, f"{words}: {run.err}")


if __name__ == "__main__":
    wbtest.main(globals())
