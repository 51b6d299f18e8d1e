#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`wirebus verify` against a second, independent checker: on every bus, with messages taken away, doubled and damaged, with
losses that the counters explain and with some that they do not."""
import os
import pathlib
import random
import signal
import time

from prelude import wbtest
from wbtest import expect, expect_equal, wait_until

import messages as wire

PLAN = {"count": 12000, "flows": 64, "sizes": "mixed", "seed": 11}
RATE = 20000
PORT = 5561


def captured(t, net, *arguments):
    """A finished capture into files. Returns it and their folder's URL."""
    url = t.shared_folder(f"packets-{t.number('folder')}")
    run = t.capture(net, url, "--batch-bytes", "16KiB", *arguments)
    t.send(net, PLAN, rate=RATE)
    t.settle(run, PLAN["count"], lossless=True, workers=2)
    return run, url


def streams(said):
    return {(session["session"], stream["stream"]): stream for node in said["nodes"] for session in node["sessions"]
            for worker in session["workers"] for stream in worker["streams"]}


def read(url):
    return [message for message in wire.read_files(pathlib.Path(url[7:]))]


def written(t, messages):
    """A folder with these messages in one file. Returns its URL."""
    folder = pathlib.Path(t.path(f"made-{t.number('made')}"))
    folder.mkdir()
    with open(folder / "made.wbs", "wb") as out:
        out.write(wire.HEADER)
        for kind, message in messages:
            out.write(wire.entry(kind, message))
    return f"file://{folder}"


def test_file(t):
    net = t.net()
    run, url = captured(t, net)
    said = t.audit(net, url, no_loss=True, sent=PLAN["count"], run=run, deep=True)
    expect_equal(said["verdict"], "complete", "verdict")
    expect_equal(said["figures"]["received"], PLAN["count"], "packets received")
    text = net.run(wbtest.WIREBUS, "verify", "--from", url)
    expect(text.startswith("complete: nothing was lost\n"), f"what verify says: {text}")
    # Two captures of one node: a restart.
    captured(t, net)
    both = written(t, [message for folder in ("packets-1", "packets-2") for message in read(f"file://{t.path(folder)}")])
    said = t.audit(net, both, no_loss=True, sent=2 * PLAN["count"])
    expect_equal([node["restarts"] for node in said["nodes"]], [1], "restarts")


def test_taken_away(t):
    """Each packet of the messages that the test takes out is found missing, by number."""
    net = t.net()
    run, url = captured(t, net)
    messages, random_ = read(url), random.Random(3)
    facts = [wire.read_batch(message) for _, message in messages]
    with_packets = [i for i, one in enumerate(facts) if one["packets"] and one["seq"] > 1]
    gone = set(random_.sample(with_packets, len(with_packets) // 5))
    wanted = {}
    for i in gone:
        one = facts[i]
        wanted.setdefault(one["stream"], set()).update(range(one["first"], one["first"] + one["packets"]))
    left = written(t, [message for i, message in enumerate(messages) if i not in gone])
    said = t.audit(net, left, code=1, sent=PLAN["count"], run=run, deep=True)
    expect_equal(said["doubts"], ["unexplained"], "doubts")
    expect_equal(said["figures"]["unexplained"], sum(map(len, wanted.values())), "packets that nothing explains")
    expect_equal(said["figures"]["missing_messages"], len(gone), "messages missing")
    for (_, number), stream in streams(said).items():
        found = {n for low, high in stream["missing_ranges"] for n in range(low, high + 1)}
        expect_equal(found, wanted.get(number, set()), f"numbers missing of stream {number}")
    text = net.run(wbtest.WIREBUS, "verify", "--from", left, code=1)
    for stream in streams(said).values():
        for low, high in stream["missing_ranges"]:
            expect(f" {low}-{high}" in text, f"the text names {low}-{high}: {text}")
    # Without the first messages: somebody who came late. Without the last: an open tail.
    late = written(t, [message for one, message in zip(facts, messages) if one["seq"] > 3])
    said = t.audit(net, late, sent=PLAN["count"])
    expect_equal((said["verdict"], said["losses"]), ("explained", ["not_covered"]), "verdict on a late comer")
    t.audit(net, late, no_loss=True, code=1)
    cut = written(t, [message for one, message in zip(facts, messages) if not one.get("flags", 0) & wire.END_OF_STREAM])
    expect_equal(t.audit(net, cut, code=1)["doubts"], ["open_tail"], "doubts without the ends")


def test_doubled_and_damaged(t):
    net = t.net()
    _, url = captured(t, net)
    messages = read(url)
    half = len(messages) // 2
    # Doubled, all of them, and a neighbour swapped here and there.
    swapped = list(messages)
    for i in range(2, len(swapped) - 3, 7):
        swapped[i], swapped[i + 1] = swapped[i + 1], swapped[i]
    said = t.audit(net, written(t, [*swapped, *messages[:half]]), no_loss=True, deep=True)
    expect_equal(said["figures"]["duplicates"], half, "duplicates")
    expect(said["figures"]["out_of_order"] > 0, f"out of order: {said['figures']}")
    expect_equal(said["figures"]["received"], PLAN["count"], "packets received")
    # Messages that are none: they prove nothing, and nothing is missing.
    garbage = [(wire.BATCH, b"\xff" * 40), (wire.BATCH, b"\x0a\x7f"), (wire.RECORD, b"\x0a\x03abc")]
    said = t.audit(net, written(t, [*garbage, *messages, *garbage]), no_loss=True)
    expect_equal(said["damaged"], 2 * len(garbage), "damaged messages")
    # A flipped bit costs one message, and its packets are missing; a file that was cut, what follows.
    broken = written(t, messages)
    path = pathlib.Path(broken[7:], "made.wbs")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    said = t.audit(net, broken, code=1)
    expect_equal((said["damaged"], said["figures"]["missing_messages"]), (1, 1), "damaged and missing messages")
    path.write_bytes(data[:-40])
    said = t.audit(net, broken, code=1)
    expect_equal(said["damaged"], 2, "damaged messages in a file that was cut")
    expect("open_tail" in said["doubts"], f"doubts: {said['doubts']}")


def test_zmq_pub(t):
    """Both subscribe, and both see everything."""
    net = t.net()
    run = t.capture(net, f"zmq+pub://127.0.0.1:{PORT}")
    audit = t.audit_live(net, f"zmq+sub://127.0.0.1:{PORT}", no_loss=True, deep=True)
    t.send(net, PLAN, rate=RATE)
    t.settle(run, PLAN["count"], lossless=True, workers=2)
    audit.finish(sent=PLAN["count"], run=run)


def test_zmq_stalled(t):
    """A subscriber that stands still for a while: what it lost is visible, unexplained, and exact."""
    net = t.net()
    plan = {"count": 300000, "flows": 64, "sizes": "1000"}
    url = f"zmq+sub://127.0.0.1:{PORT}"
    run = t.capture(net, f"zmq+pub://127.0.0.1:{PORT}")
    recorder = t.record(net, url, "recorded")
    verify = t.wirebus(net, "verify", "--from", url, "-o", "json")
    t.wait_subscribed(net, PORT, 2)
    t.send(net, dict(plan, count=20000), rate=RATE)
    time.sleep(0.5)
    for process in (recorder, verify):
        process.send_signal(signal.SIGSTOP)
    t.send(net, dict(plan, count=280000), rate=100000, first=20000)
    for process in (recorder, verify):
        process.send_signal(signal.SIGCONT)
    wait_until(lambda: net.caught_up(PORT), 60, "the subscribers have caught up")
    t.send(net, plan, rate=RATE, first=280000)
    t.settle(run, plan["count"], lossless=True)
    expect_equal(recorder.wait(30), 0, f"exit code of the recorder ({recorder.err})")
    said = t.audit(net, recorder.url, code=1, sent=plan["count"], run=run, deep=True)
    expect_equal(said["doubts"], ["unexplained"], "doubts of what was recorded")
    expect(said["figures"]["missing"] > 10000, f"the stalled subscriber lost hardly anything: {said['figures']}")
    # verify itself as the subscriber.
    expect_equal(verify.wait(30), 1, f"exit code of verify ({verify.err})")
    live = wbtest.json.loads(verify.out)
    wbtest.ledger.check_audit(live, run.ledger_path, plan["count"])
    expect_equal((live["doubts"], live["end"]), (["unexplained"], "end of streams"), "doubts of the live view, and its end")
    expect(live["figures"]["missing"] > 10000, f"the stalled verify lost hardly anything: {live['figures']}")


def test_explained(t):
    """Policy drop with nobody to take the packets: each one given up is in a counter, so nothing is left unexplained."""
    net = t.net()
    plan = {"count": 60000, "flows": 64, "sizes": "1000"}
    run = t.capture(net, f"zmq+push://127.0.0.1:{PORT}", "--on-full", "drop", "--buffers", "16", "--batch-bytes", "64KiB")
    t.send(net, plan, rate=RATE)
    recorder = t.record(net, f"zmq+pull://127.0.0.1:{PORT}", "recorded")
    wait_until(lambda: "ready" in recorder.err, 20, "the recorder is connected")
    total = t.settle(run, plan["count"], workers=2)
    expect(total["dropped"] > 1000, f"hardly anything was dropped: {total}")
    expect_equal(recorder.wait(30), 0, f"exit code of the recorder ({recorder.err})")
    said = t.audit(net, recorder.url, sent=plan["count"], run=run, deep=True)
    expect_equal((said["verdict"], said["figures"]["given_up"]), ("explained", total["dropped"]), "verdict, and given up")
    t.audit(net, recorder.url, no_loss=True, code=1)


def put(number, value):
    """A field of a message."""
    def varint(n):
        out = b""
        while n > 0x7F:
            out, n = out + bytes((n & 0x7F | 0x80,)), n >> 7
        return out + bytes((n,))
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


def test_killed(t):
    """Nobody says where a killed capture ended: an open tail. Its successor does: then what is missing is exact."""
    net = t.net()
    url = t.shared_folder("packets")
    run = t.capture(net, url, "--batch-bytes", "16KiB")
    sender = t.start("sender", net.command(wbtest.SENDER, wbtest.SENDING_SIDE, "--count", "400000", "--rate", "50000"))
    wait_until(lambda: len(read(url)) > 200, 20, "messages are in the files")
    run.send_signal(signal.SIGKILL)
    run.wait()
    sender.end()
    said = t.audit(net, url, code=1)
    expect("open_tail" in said["doubts"], f"doubts: {said['doubts']}")
    # What the next start writes on its behalf: 100 packets more had been accepted, and were on their way.
    killed_at = time.time_ns()
    messages, last = [message for message in read(url) if message], {}
    for _, message in messages:
        facts = wire.read_batch(message)
        if facts["seq"] >= last.get(facts["stream"], facts)["seq"]:
            last[facts["stream"]] = facts
    for stream, facts in last.items():
        number = facts["first"] + facts["packets"] + 100
        counters = dict.fromkeys(wire.COUNTERS.values(), 0)
        counters.update(kernel_seen=number + 49, read=number - 1, accepted=number - 1, delivered=number - 101, in_flight=100)
        end = put(1, facts["session"]) + put(2, facts["worker"]) + put(3, stream) + put(4, facts["seq"] + 3) + \
            put(5, number) + put(6, facts["node"]) + put(19, wire.END_OF_STREAM | wire.PREVIOUS_SESSION) + \
            put(18, b"".join(put(n, counters[name]) for n, name in wire.COUNTERS.items())) + b"\xa1\x01" + killed_at.to_bytes(8, "little")
        messages.append((wire.BATCH, end))
    session = (killed_at // 10**6 + 4000).to_bytes(6, "big") + b"\x70\x01\x80" + bytes(7)
    messages.append((wire.BATCH, put(1, session) + put(2, 1) + put(3, 1) + put(4, 1) + put(5, 1) + put(6, facts["node"])
                     + put(18, put(1, 0)) + put(19, wire.END_OF_STREAM)))
    both = written(t, messages)
    said = t.audit(net, both)
    expect_equal(said["losses"], ["bus", "unknown_tail"], "losses")
    expect_equal(said["figures"]["lost_in_crash"], 100 * len(last), "lost with the process")
    for worker in said["nodes"][0]["sessions"][0]["workers"]:
        expect_equal(worker["unknown_tail"], {"from_unix_nano": killed_at,
                                              "to_unix_nano": (killed_at // 10**6 + 4000) * 10**6}, "the unknown tail")
    t.audit(net, both, no_loss=True, code=1)


PRODUCE = """
import sys
sys.path.insert(0, sys.argv[1])
import confluent_kafka, messages
producer = confluent_kafka.Producer({"bootstrap.servers": sys.argv[2]})
for topic, folder in zip(sys.argv[3::2], sys.argv[4::2]):
    for kind, message in messages.read_files(messages.pathlib.Path(folder)):
        # Records are written without headers.
        headers = {"content-type": "application/x-protobuf; message=wirebus.v1.PacketBatch"} if kind == messages.BATCH else None
        producer.produce(topic, message, partition=0, headers=headers)
sys.exit(producer.flush(30))
"""


MAKE = """
import sys
from confluent_kafka.admin import AdminClient, NewTopic
admin = AdminClient({"bootstrap.servers": sys.argv[1]})
admin.create_topics([NewTopic(sys.argv[2], 1, 1)])[sys.argv[2]].result(60)
"""


def test_records(t):
    """One packet a message, and the counters in a topic, or a folder, beside it."""
    net = t.net()
    session = (time.time_ns() // 10**6).to_bytes(6, "big") + b"\x70\x01\x80" + bytes(7)

    def facts(seq, first):
        return put(1, session) + put(2, 1) + put(3, 1) + put(4, seq) + put(5, first) + put(6, b"n")
    records = [(wire.RECORD, facts(seq, seq) + put(12, b"frame")) for seq in range(1, 501)]
    records[100:200] = [(wire.RECORD, facts(seq + 1, seq) + put(12, b"frame")) for seq in range(101, 201)]
    records[200:] = [(wire.RECORD, facts(seq + 2, seq) + put(12, b"frame")) for seq in range(201, 501)]
    counters = lambda n: put(18, put(1, n) + put(3, n) + put(6, n) + put(10, n))
    beside = [(wire.BATCH, facts(seq, first) + counters(first - 1) + put(19, wire.RECORD_MODE | flag))
              for seq, first, flag in ((101, 101, 0), (202, 201, 0), (503, 501, wire.END_OF_STREAM))]
    lost = [record for i, record in enumerate(records) if i not in (0, 7, 8, 300)]
    broker = t.broker(net)
    ledger, folders = written(t, beside), {"whole": written(t, records), "lost": written(t, lost)}
    topics = [(f"{name}{end}", url[7:]) for name, folder in folders.items() for end, url in (("", folder), (".ledger", ledger))]
    net.run(wbtest.PYTHON, "-B", "-c", PRODUCE, str(wbtest.ROOT / "tests" / "lib"), broker.servers, *sum(topics, ()))
    for name, folder in folders.items():
        for source, beside_it in ((f"kafka://{broker.servers}/{name}", None), (folder, ledger)):
            said = t.audit(net, source, ledger=beside_it, no_loss=name == "whole", code=int(name == "lost"), sent=500)
            expect_equal(said["figures"]["out_of_order"], 0, "the two have no order between them")
            stream = next(iter(streams(said).values()))
            expect_equal(stream["missing_ranges"], [] if name == "whole" else [[8, 9], [301, 301]], "packets missing")
            expect_equal(stream["missing_messages"], 0 if name == "whole" else 3, "messages missing, each a packet")
            # Of the topic everything was read that was ever in it; of a folder nobody knows.
            if name == "lost":
                wanted = (0, 4) if source.startswith("kafka") else (1, 3)
                expect_equal((said["figures"]["not_covered"], said["figures"]["unexplained"]), wanted, "not covered, unexplained")
    said = net.run(wbtest.WIREBUS, "verify", "--from", f"kafka://{broker.servers}/whole?properties.sasl.password=k3pt-0ut")
    expect("/whole?properties.sasl.password=**** was read" in said and "k3pt-0ut" not in said, f"the source: {said}")
    # A capture that runs: four packets may still come, what was settled is missing; and of one that was killed before any
    # packet got out there are counters only.
    way = lambda seq, first, n, flag=0: (wire.BATCH, facts(seq, first) + put(18, put(1, n) + put(3, n) + put(6, n) + put(9, n - 4) + put(15, 4))
                                         + put(19, wire.RECORD_MODE | flag))
    made = {"runs": (records[:150], [beside[0], way(202, 201, 200)]), "killed": ([], [way(12, 11, 10)])}
    for name, parts in made.items():
        net.run(wbtest.PYTHON, "-B", "-c", PRODUCE, str(wbtest.ROOT / "tests" / "lib"), broker.servers,
                *sum(([f"{name}{end}", written(t, part)[7:]] for end, part in zip(("", ".ledger"), parts)), []))
    said = t.audit(net, f"kafka://{broker.servers}/runs", code=1)
    expect_equal(next(iter(streams(said).values()))["missing_ranges"], [[151, 196]], "packets missing of a capture that runs")
    expect_equal((said["figures"]["under_way"], said["figures"]["unexplained"]), (4, 46), "under way, unexplained")
    net.run(wbtest.PYTHON, "-c", MAKE, broker.servers, "killed")
    said = t.audit(net, f"kafka://{broker.servers}/killed", code=1)
    expect_equal((said["doubts"], said["figures"]["under_way"], said["figures"]["unexplained"]), (["open_tail", "unexplained"], 4, 6),
                 "a session of which only counters came")
    # Without its counters a stream has no end.
    expect_equal(t.audit(net, folder, code=1)["doubts"], ["open_tail", "unexplained"], "doubts without the counters")


def test_usage(t):
    """What a user gets wrong, and a bus that is not there."""
    net = t.net()
    empty = t.shared_folder("empty")
    for arguments, code, quote in (
            ([], 2, "--from"), (["--from", "nonsense://x"], 2, "nonsense"), (["--from", empty, "-o", "xml"], 2, "xml"),
            (["--from", empty, "--bogus"], 2, "--bogus"), (["--from", "file:///nosuch/folder"], 1, "/nosuch/folder"),
            (["--from", "kafka://127.0.0.1:9098/packets", "--wait", "2s"], 1, "127.0.0.1:9098"),
            (["--from", f"zmq+sub://127.0.0.1:{PORT}", "--wait", "1s"], 1, str(PORT))):
        process = t.wirebus(net, "verify", *arguments)
        expect_equal(process.wait(30), code, f"exit code of verify {arguments} ({process.err})")
        expect_equal(len(process.err.splitlines()), 1, f"lines on standard error ({process.err})")
        expect(quote in process.err, f"verify does not say {quote!r}: {process.err}")
    expect_equal(t.audit(net, empty, code=1)["doubts"], ["nothing"], "doubts of an empty folder")
    began = time.monotonic()
    net.run(wbtest.WIREBUS, "verify", "--from", f"zmq+sub://127.0.0.1:{PORT}", "-d", "1s", code=1)
    expect(time.monotonic() - began < 9, "--duration ends it")


def test_million(t):
    """A million packets in well under two seconds of the processor's time."""
    frame = put(11, b"\x09" + time.time_ns().to_bytes(8, "little") + put(2, 3) + put(3, 64) + put(4, bytes(64)))
    session = (time.time_ns() // 10**6).to_bytes(6, "big") + b"\x70\x01\x80" + bytes(7)
    messages = []
    for number in range(1000):
        facts = put(1, session) + put(2, 1) + put(3, 1) + put(4, number + 1) + put(5, number * 1000 + 1) + put(6, b"n")
        messages.append((wire.BATCH, facts + frame * 1000))
    counters = put(1, 10**6) + put(3, 10**6) + put(6, 10**6) + put(9, 10**6)
    messages.append((wire.BATCH, put(1, session) + put(2, 1) + put(3, 1) + put(4, 1001) + put(5, 10**6 + 1)
                     + put(6, b"n") + put(18, counters) + put(19, wire.END_OF_STREAM)))
    net = t.net()
    url = written(t, messages)
    said = t.audit(net, url, no_loss=True)
    expect_equal(said["figures"]["received"], 10**6, "packets")
    process = t.wirebus(net, "verify", "--from", url, name="timed")
    _, status, usage = os.wait4(process.pid, 0)
    process.popen.returncode = os.waitstatus_to_exitcode(status)
    expect_equal(process.popen.returncode, 0, f"exit code ({process.err})")
    spent = usage.ru_utime + usage.ru_stime
    print(f"{spent:.2f} s of the processor for a million packets")
    expect(spent < 2, f"verify took {spent:.2f} s of the processor")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=150)
