#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Record mode: one packet a message, bit by bit, for a consumer with nothing but the schema and for `wirebus cat`; and the
ledger beside it, from which the end and every loss can be told."""
import collections
import json
import signal
import time

from prelude import wbtest
from wbtest import CAPTURED_SIDE, SENDING_SIDE, expect, expect_equal, run as run_command, wait_until

WORKERS = 2
HEARTBEAT, END_OF_STREAM, RECORD_MODE = 1, 2, 8  # PacketBatch.flags
PLAN = {"count": 10000, "flows": 64, "sizes": "mixed", "seed": 11}


def check_cat(t, net, url, streams):
    cat, checker = t.cat_and_check(net, PLAN, url, check=["--interface", CAPTURED_SIDE, "--direction", "in"])
    expect_equal(cat.wait(90), 0, f"exit code of cat ({cat.err})")
    expect_equal(t.checked(checker)["packets"], PLAN["count"], "packets that cat shows")
    with open(cat.summary_path, encoding="utf-8") as stream:
        said = json.load(stream)
    expect_equal({name: said[name] for name in ("packets", "missing_packets", "missing_messages", "missed_before_first",
                                                "duplicates", "out_of_order", "damaged")},
                 {"packets": PLAN["count"], "missing_packets": 0, "missing_messages": 0, "missed_before_first": 0,
                  "duplicates": 0, "out_of_order": 0, "damaged": 0}, "summary of cat")
    expect_equal(len(said["streams"]), streams, "streams in the summary")
    return said


def check_records(messages, streams):
    """The topic of the records by itself."""
    for message in messages:
        expect_equal(message["time_ms"], message["time_ns"] // 1000000, "time of the Kafka record")
        expect_equal((message["interface"], message["headers"]), (CAPTURED_SIDE, 0), "interface and headers")
    packets = collections.Counter(tuple(message["packets"][0]) for message in messages)
    expect_equal((len(messages), len(packets)), (PLAN["count"], PLAN["count"]), "records, and different ones")
    for stream, found in streams.items():
        numbers = [message["first"] for message in found if message["kind"] == "record"]
        expect_equal(numbers, list(range(1, len(numbers) + 1)), f"packet_seq of stream {stream}, as it lies in Kafka")


def check_ledger(messages, streams):
    """The ledger by itself: its numbers have no hole, its end tells how many records there are."""
    expect(all(message["flags"] & RECORD_MODE and not message["packets"] for message in messages), "flags of the ledger")
    accepted, numbered = {}, collections.Counter()
    for stream, found in streams.items():
        ledger = [message for message in found if message["kind"] == "batch"]
        expect_equal([message["batch_seq"] - (message["first"] - 1) for message in ledger],
                     list(range(1, len(ledger) + 1)), f"numbers in the ledger of stream {stream}")
        expect_equal([bool(message["flags"] & END_OF_STREAM) for message in ledger], [False] * (len(ledger) - 1) + [True],
                     f"end of stream {stream}")
        expect(len(ledger) >= 2, f"no counters before the end in the ledger of stream {stream}")
        numbered[ledger[-1]["worker"]] += ledger[-1]["first"] - 1
        accepted[ledger[-1]["worker"]] = ledger[-1]["accepted"]
        expect_equal(ledger[-1]["first"] - 1, len(found) - len(ledger), f"records of stream {stream} by its ledger")
    expect_equal(dict(numbered), accepted, "packets of each worker by its streams")
    expect_equal(sum(accepted.values()), PLAN["count"], "packets by the ledger")


def by_stream(messages):
    streams = collections.defaultdict(list)
    for message in sorted(messages, key=lambda m: (m["topic"], m["partition"], m["offset"])):
        streams[message["stream"]].append(message)
    return streams


def through_kafka(t, net, broker, topic, *options):
    """Returns the messages of both topics."""
    run = t.capture(net, f"kafka://{broker.servers}/{topic}", "--mode", "record", "--heartbeat", "200ms", *options)
    t.send(net, PLAN, rate=30000)
    total = t.settle(run, PLAN["count"], lossless=True, workers=WORKERS)
    expect_equal(total["delivered"], PLAN["count"], "delivered")
    pcap = t.path(f"{topic}.pcap")
    client = t.client(net, "dump_kafka.py", broker.servers, f"{topic}:record", f"{topic}.ledger:batch", "-w", pcap)
    expect_equal(client.wait(90), 0, f"exit code of dump_kafka.py ({client.err})")
    run_command([wbtest.CHECK_FRAMES, pcap, *wbtest.plan_words(PLAN)])
    t.audit(net, f"kafka://{broker.servers}/{topic}", no_loss=True, sent=PLAN["count"], run=run, deep=True)
    return [json.loads(line) for line in client.out.splitlines()]


def check_topics(messages, stream_count):
    streams = by_stream(messages)
    expect_equal(len(streams), stream_count, "streams")
    check_records([message for message in messages if message["kind"] == "record"], streams)
    check_ledger([message for message in messages if message["kind"] == "batch"], streams)
    for stream, found in streams.items():
        expect_equal(sorted(message["batch_seq"] for message in found), list(range(1, len(found) + 1)),
                     f"batch_seq of stream {stream} in both topics")
    return streams


def test_kafka(t):
    net = t.net()
    broker = t.broker(net, 9092, "num.partitions=4")
    check_topics(through_kafka(t, net, broker, "packets"), WORKERS)
    check_cat(t, net, f"kafka://{broker.servers}/packets", WORKERS)
    # With the key `flow` as well: every flow's records are in one partition.
    messages = through_kafka(t, net, broker, "flows", "--key", "flow", "--flow-buckets", "8")
    check_topics(messages, WORKERS * 8)
    partitions = collections.defaultdict(set)
    for message in messages:
        expect_equal(message["key"], f"flow/{message['bucket'] - 1}", "key")
        if message["kind"] == "record":
            partitions[message["packets"][0][0]].add(message["partition"])
    expect_equal({len(found) for found in partitions.values()}, {1}, "partitions of each flow")


def test_small_limit(t):
    """A topic that takes less than the client puts into a request: smaller requests, and nothing is lost, in order."""
    net = t.net()
    broker = t.broker(net, 9092, "num.partitions=4", "message.max.bytes=20000")
    url = f"kafka://{broker.servers}/packets"
    run = t.capture(net, url, "--mode", "record", "--heartbeat", "200ms")
    t.send(net, PLAN, rate=30000)
    total = t.settle(run, PLAN["count"], lossless=True, workers=WORKERS)
    expect_equal(total["delivered"], PLAN["count"], "delivered")
    expect("from now on a request has at most" in run.err, f"run says what the topic takes: {run.err}")
    check_cat(t, net, url, WORKERS)
    t.audit(net, url, no_loss=True, sent=PLAN["count"], run=run, deep=True)


def test_file(t):
    """In files both kinds lie beside each other, so that cat knows the end as well."""
    net = t.net()
    url = t.shared_folder("packets")
    run = t.capture(net, f"{url}?segment_bytes=4MiB", "--mode", "record", "--heartbeat", "100ms")
    t.send(net, PLAN, rate=30000)
    t.settle(run, PLAN["count"], lossless=True, workers=WORKERS)
    t.audit(net, url, no_loss=True, sent=PLAN["count"], run=run, deep=True)
    said = check_cat(t, net, url, WORKERS)
    expect(all(stream["ended"] for stream in said["streams"]), "every stream has ended")


def frozen_audit(t, net, run, url):
    """Both checkers on a capture that stands still, wherever it was: what is in the topics does not change meanwhile."""
    servers = url.partition("://")[2].partition("/")[0]
    ends = lambda: net.run(wbtest.PYTHON, "-B", "-c", ENDS, wbtest.ROOT / "tests" / "lib", servers)
    run.send_signal(signal.SIGSTOP)
    found = [ends()]

    def is_quiet():
        found.append(ends())
        return found[-1] == found[-2]
    wait_until(is_quiet, 60, "the broker has taken what was on its way")
    said = t.audit(net, url, code=1, deep=True)
    run.send_signal(signal.SIGCONT)
    return said


ENDS = """
import sys, time
sys.path.insert(0, sys.argv[1])
import messages
time.sleep(0.5)
for topic in ("packets", "packets.ledger"):
    print(messages.kafka_ends(f"kafka://{sys.argv[2]}/{topic}"))
"""


def test_running(t):
    """The audit of a capture that runs: it has not ended, and nothing is missing."""
    net = t.net()
    broker = t.broker(net, 9092, "num.partitions=4")
    url = f"kafka://{broker.servers}/packets"
    run = t.capture(net, url, "--mode", "record", "--heartbeat", "100ms")
    # Nothing but counters so far, and they are a session.
    wait_until(lambda: json.loads(verify_now(t, net, url))["figures"]["streams"] == WORKERS, 60, "verify states the session")
    sender = t.start("sender", net.command(wbtest.SENDER, SENDING_SIDE, "--count", "10000000", "--rate", "5000"))
    wait_until(lambda: json.loads(verify_now(t, net, url))["figures"]["received"] > 1000, 60, "packets are in the topic")
    for _ in range(5 if wbtest.FULL else 1):
        said = json.loads(verify_now(t, net, url))
        expect_equal((said["doubts"], said["figures"]["missing"]), (["open_tail"], 0), f"doubts, and holes while it runs: {said}")
        said = frozen_audit(t, net, run, url)
        expect_equal((said["doubts"], said["figures"]["missing"]), (["open_tail"], 0), f"doubts, and holes when frozen: {said}")
    sender.end()
    run.stop()
    # The ring may have been full meanwhile.
    said = t.audit(net, url, run=run, deep=True)
    expect_equal((said["figures"]["under_way"], said["figures"]["missing"]), (0, 0), "under way, and missing, at the end")


def verify_now(t, net, url):
    verify = t.wirebus(net, "verify", "--from", url, "-o", "json")
    expect_equal(verify.wait(60), 1, f"exit code of verify while the capture runs ({verify.err}{verify.out})")
    return verify.out


def test_batches_beside(t):
    """A topic of batches has no ledger: that is found out at once, and changes nothing."""
    net = t.net()
    broker = t.broker(net, 9092)
    url = f"kafka://{broker.servers}/packets"
    run = t.capture(net, url)
    t.send(net, dict(PLAN, count=1000), rate=20000)
    t.settle(run, 1000, lossless=True, workers=WORKERS)
    began = time.monotonic()
    verify = t.wirebus(net, "verify", "--from", url, "--wait", "300s")
    expect_equal(verify.wait(200), 0, f"exit code of verify ({verify.err})")
    expect(time.monotonic() - began < 120, "verify waits for a topic that is not there")
    expect_equal(verify.err, "", "nothing is said of it")
    t.audit(net, url, no_loss=True, sent=1000, run=run)
    topics = net.run(wbtest.PYTHON, "-c", "import sys, confluent_kafka.admin as a; print(sorted(a.AdminClient("
                     "{'bootstrap.servers': sys.argv[1]}).list_topics(timeout=30).topics))", broker.servers)
    expect("ledger" not in topics, f"looking for the ledger made it: {topics}")


if __name__ == "__main__":
    wbtest.main(globals())
