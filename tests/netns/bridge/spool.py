#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The bus is away or slow, the disk is full or damaged, wirebus is killed: with a spool nothing is lost that it holds, and what
is lost is known to the packet."""
import contextlib
import json
import os
import pathlib
import random
import resource
import signal
import time

from killed_sessions import Killed
from live import accepted_now
from prelude import ledger, wbtest
from wbtest import CAPTURED_SIDE, FULL, expect, expect_equal, wait_until

PORT = 5559
FACTS = ["--interface", CAPTURED_SIDE, "--direction", "in"]
SMALL = ["--buffers", "8", "--batch-bytes", "16KiB", "--heartbeat", "100ms"]
PUSH, PULL = f"zmq+push://127.0.0.1:{PORT}?sndhwm=2", f"zmq+pull://127.0.0.1:{PORT}"


def spooling(folder, *arguments):
    return ["--on-full", "spool", "--spool-dir", folder, *SMALL, *arguments]


def summary(cat):
    with open(cat.summary_path, encoding="utf-8") as stream:
        return json.load(stream)


def spool_facts(run):
    with open(run.ledger_path, encoding="utf-8") as stream:
        return json.load(stream)["captures"][0]["spool"]


def segments(folder):
    return sorted(path for path in pathlib.Path(folder).iterdir() if path.suffix == ".wbs")


def spool_bytes(folder):
    total = 0
    for path in segments(folder):
        with contextlib.suppress(FileNotFoundError):  # sent, and so removed, meanwhile
            total += path.stat().st_size
    return total


def sender(t, net, plan, rate, first=0):
    words = [wbtest.SENDER, wbtest.SENDING_SIDE, "--rate", rate, "--first", first, *wbtest.plan_words(plan)]
    return t.start("sender", net.command(*words))


def expect_complete(cat, packets):
    """Nothing is missing, nothing came twice, nothing out of order."""
    said = summary(cat)
    found = {key: int(said[key]) for key in (
        "packets", "missing_packets", "missing_messages", "missed_before_first", "duplicates", "stale", "out_of_order")}
    expect_equal(found, dict.fromkeys(found, 0) | {"packets": packets}, f"what arrived ({cat.err})")


def test_broker_killed(t):
    """A broker that is killed under load and comes back: nothing is lost, in order, once."""
    net, folder, away = t.net(), t.path("spool"), 60 if FULL else 8
    broker = t.broker(net)
    url = f"kafka://{broker.servers}/packets"
    plan, rate = {"count": 10000 * (away + 4), "flows": 64}, 10000
    run = t.capture(net, url, *spooling(folder))
    sending = sender(t, net, plan, rate)
    wait_until(lambda: net.received() > 1.5 * rate, 20, "packets arrive")
    broker.kill()
    killed = time.monotonic()
    time.sleep(away)
    expect(spool_bytes(folder) > 1 << 20, f"the spool is in use: {spool_bytes(folder)} bytes")
    broker.start()
    expect_equal(sending.wait(60 + 2 * away), 0, f"exit code of the sender ({sending.err})")
    wait_until(lambda: spool_bytes(folder) < 100, 60, "the spool is empty again")
    used = int(time.monotonic() - killed)
    total = t.settle(run, plan["count"], lossless=True, workers=2)
    expect_equal(total["kernel_dropped"], 0, "dropped by the kernel")
    expect_equal(total["delivered"], plan["count"], "delivered")
    expect(run.err.count("batches go to the spool") <= 2 * (2 + used // 10), f"it is said now and then: {run.err}")
    cat, checker = t.cat_and_check(net, plan, url, check=FACTS)
    expect_equal(cat.wait(120), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)
    expect_complete(cat, plan["count"])
    t.audit(net, url, no_loss=True, sent=plan["count"], run=run, deep=True)
    expect_equal(sorted(os.listdir(folder)), ["bus", "lock"], "what is left of the spool")


def test_broker_longer_than_it_holds(t):
    """A broker that is away for longer than the spool has room: what verify calls lost is the ledger's, to the packet."""
    net, folder = t.net(), t.path("spool")
    broker = t.broker(net)
    url = f"kafka://{broker.servers}/packets"
    plan = {"count": 60000, "flows": 64}
    run = t.capture(net, url, *spooling(folder, "--spool-bytes", "2MiB", "--spool-segment-bytes", "256KiB"))
    t.send(net, dict(plan, count=10000), rate=10000)
    broker.kill()
    t.send(net, dict(plan, count=50000), rate=20000, first=10000)
    wait_until(lambda: "is full (spool_bytes: 2097152)" in run.err, 10, "run says that the spool is full")
    broker.start()
    wait_until(lambda: spool_bytes(folder) < 100, 60, "the spool is empty again")
    t.send(net, plan, rate=10000, first=50000)
    total = t.settle(run, plan["count"], workers=2)
    lost = total["dropped_spool_full"]
    expect(lost > 1000, f"hardly anything was lost: {total}")
    expect_equal(total["delivered"] + lost + total["kernel_dropped"], plan["count"], f"delivered and lost: {total}")
    said = t.audit(net, url, sent=plan["count"], run=run, deep=True)
    expect_equal((said["verdict"], said["figures"]["missing"], said["figures"]["given_up"]), ("explained", lost, lost), "audit")
    t.audit(net, url, no_loss=True, code=1)


def recorded(t, net):
    """Listen to what is pushed, into a folder that cat and audit() can read as often as they like."""
    recorder = t.record(net, PULL, f"recorded-{t.number('recorded')}")
    wait_until(lambda: "ready" in recorder.err, 20, "the recorder is connected")
    return recorder


def show(t, net, recorder, plan, *arguments):
    """What was recorded, with the frames checked. Returns cat's process and what the checker said."""
    expect_equal(recorder.wait(60), 0, f"exit code of the recorder ({recorder.err})")
    cat, checker = t.cat_and_check(net, plan, recorder.url, check=[*FACTS, *arguments])
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    return cat, t.checked(checker)


def expect_lost(said, packets):
    """That much of all is missing, and the drops explain it, but for what nobody knows to have been the first."""
    f = said["figures"]
    expect_equal((said["verdict"], f["missing"] + f["missed_before"], f["given_up"] + f["not_covered"]),
                 ("explained", packets, packets), f"audit: {f}")


def test_longer_than_it_holds(t):
    """Nobody takes anything for longer than the spool has room: the loss is the ledger's, to the packet."""
    net, folder = t.net(), t.path("spool")
    plan = {"count": 40000, "flows": 16}
    run = t.capture(net, PUSH, *spooling(folder, "--spool-bytes", "2MiB", "--spool-segment-bytes", "256KiB"), workers=1)
    t.send(net, plan, rate=40000)
    wait_until(lambda: "is full (spool_bytes: 2097152)" in run.err, 10, "run says that the spool is full")
    expect(spool_bytes(folder) <= 2 << 20, f"the bound: {spool_bytes(folder)} bytes")
    recorder = recorded(t, net)
    wait_until(lambda: spool_bytes(folder) < 100, 20, "the spool is empty")
    total = t.settle(run, plan["count"], workers=1)
    cat, found = show(t, net, recorder, plan, "--allow-missing", "1")
    lost = found["missing"]
    expect(lost > 1000, f"hardly anything was lost: {lost}")
    expect_equal(total["dropped_spool_full"], lost, "dropped in the ledger, and missing at the consumer")
    expect_equal(total["handed_over"], plan["count"] - lost, "handed over")
    said = summary(cat)
    expect_equal(int(said["missing_packets"]), lost, f"lost in the summary {said}")
    expect_equal(run.err.count("is full"), 1, f"times that it was said: {run.err}")
    said = t.audit(net, recorder.url, sent=plan["count"], run=run, deep=True)
    expect_equal((said["verdict"], said["figures"]["missing"], said["figures"]["given_up"]), ("explained", lost, lost), "audit")
    t.audit(net, recorder.url, no_loss=True, code=1)


def test_restart(t):
    """What the bus did not take until the end is there after it, and goes out first when wirebus starts again."""
    net, folder = t.net(), t.path("spool")
    plan = {"count": 20000, "flows": 16}
    run = t.capture(net, PUSH, *spooling(folder, "--flush", "1s"), workers=1)
    t.send(net, dict(plan, count=15000), rate=20000)
    total = t.settle(run, 15000, workers=1)
    expect_equal(total["spooled"], 15000, f"spooled at the end; {total}")
    expect(f"15000 packets remain in the spool '{folder}'" in run.err, f"it is said where the packets are: {run.err}")
    expect("did not reach" not in run.err, f"nothing is called lost: {run.err}")
    run = t.capture(net, PUSH, *spooling(folder, "--flush", "1s"), workers=1)
    expect("has 15000 packets of an earlier run" in run.err, f"it is said that they were found: {run.err}")
    recorder = recorded(t, net)
    wait_until(lambda: spool_bytes(folder) < 100, 20, "the spool is empty")
    total = t.settle(run, 0, workers=1)
    expect_equal((total["recovered"], total["handed_over"], total["spooled"]), (15000, 15000, 0), f"recovered; {total}")
    cat, _ = show(t, net, recorder, dict(plan, count=15000))
    expect_complete(cat, 15000)
    said = t.audit(net, recorder.url, no_loss=True, sent=15000, deep=True)
    expect_equal([node["restarts"] for node in said["nodes"]], [1], "restarts")


def test_flipped_bits(t):
    """A damaged file costs the batch that is damaged, and a torn end nothing but itself."""
    net, folder = t.net(), t.path("spool")
    plan = {"count": 15000, "flows": 16}
    run = t.capture(net, PUSH, *spooling(folder, "--flush", "100ms"), workers=1)
    t.send(net, plan, rate=20000)
    expect_equal(t.settle(run, 15000)["spooled"], 15000, "spooled at the end")
    file, = segments(folder)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x20
    file.write_bytes(data + b"\x00\x10\x00\x00torn")
    run = t.capture(net, PUSH, *spooling(folder, "--flush", "100ms"), workers=1)
    recorder = recorded(t, net)
    wait_until(lambda: spool_bytes(folder) < 100, 20, "the spool is empty")
    total = t.settle(run, 0, workers=1)
    cat, found = show(t, net, recorder, plan, "--allow-missing", "1")
    lost = found["missing"]
    expect(0 < lost < 1000, f"one batch is lost: {lost} packets")
    # What was in it no counter says.
    said = t.audit(net, recorder.url, code=1, deep=True)
    expect_equal((said["doubts"], said["figures"]["unexplained"]), (["unexplained"], lost), "audit")
    said = summary(cat)
    expect_equal((int(said["missing_packets"]), int(said["missing_messages"])), (lost, 1), f"lost in the summary {said}")
    expect_equal((total["recovered"], total["handed_over"]), (15000 - lost, 15000 - lost), f"recovered; {total}")
    facts = spool_facts(run)
    expect_equal((facts["batches_damaged"], facts["files_torn"], facts["bytes_torn"]), (1, 1, 8), f"counted: {facts}")
    expect("wrong CRC" in run.err and "no whole batch" in run.err, f"both are said: {run.err}")


def test_disk_full(t):
    """A disk without room: said once, counted, and nothing else is lost; not even a start on a disk that is full is refused."""
    net, disk = t.net(), t.path("disk")
    plan = {"count": 40000, "flows": 16}
    os.mkdir(disk)
    wbtest.run(["mount", "-t", "tmpfs", "-o", "size=2m", "wirebus-test", disk])
    t.cleanup(lambda: wbtest.subprocess.run(["umount", "-l", disk], check=False))
    folder = f"{disk}/spool"
    options = spooling(folder, "--spool-segment-bytes", "256KiB", "--flush", "200ms")
    run = t.capture(net, PUSH, *options, workers=1)
    t.send(net, plan, rate=40000)
    wait_until(lambda: "No space left on device" in run.err, 10, "run says that the disk is full")
    first = t.settle(run, plan["count"], workers=1)
    expect_equal(first["spooled"] + first["dropped_spool_full"], plan["count"], f"spooled and dropped; {first}")
    expect(first["dropped_spool_full"] > 1000, f"hardly anything was lost: {first}")
    expect_equal(run.err.count("No space left on device"), 1, f"times that it was said: {run.err}")
    with open(f"{disk}/rest", "wb", buffering=0) as rest:
        try:
            while rest.write(bytes(4096)):
                pass
        except OSError:
            pass
    run = t.capture(net, PUSH, *options, workers=1)
    recorder = recorded(t, net)
    wait_until(lambda: spool_bytes(folder) < 100, 20, "the spool is empty")
    wait_until(lambda: not list(pathlib.Path(folder).glob("*.state")), 20, "the first run's end was told")
    second = t.settle(run, 0, workers=1)
    expect_equal((second["recovered"], second["handed_over"]), (first["spooled"],) * 2, f"recovered; {second}")
    cat, found = show(t, net, recorder, plan, "--allow-missing", "1")
    expect_equal(found["missing"], first["dropped_spool_full"], "missing at the consumer")
    said = summary(cat)
    # What was in flight at the end of the first run may have found no room: it came before everything else.
    expect_equal(int(said["missing_packets"]) + int(said["missed_before_first"]), first["dropped_spool_full"],
                 f"missing in the summary {said}")
    said = t.audit(net, recorder.url, sent=plan["count"], deep=True)
    expect_lost(said, first["dropped_spool_full"])


def test_file_limit(t):
    """A limit on the size of files (`ulimit -f`): more and smaller ones are begun, and what fits into none is counted."""
    net, folder, limit = t.net(), t.path("spool"), 100000
    run = t.capture(net, PUSH, *spooling(folder, "--spool-segment-bytes", "256KiB", "--flush", "200ms"), workers=1)
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (limit, limit))
    t.send(net, {"count": 5000, "flows": 16}, rate=10000)
    wait_until(lambda: len(segments(folder)) > 5, 20, "several files are there")
    # Less than a batch.
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (12000, 12000))
    t.send(net, {"count": 10000, "flows": 16}, rate=10000, first=5000)
    wait_until(lambda: "File too large" in run.err, 20, "run says what is wrong")
    total = t.settle(run, 10000, workers=1)
    expect_equal(total["spooled"] + total["dropped_spool_full"], 10000, f"spooled and dropped; {total}")
    expect(min(total["spooled"], total["dropped_spool_full"]) > 1000, f"some of both: {total}")
    largest = max(path.stat().st_size for path in segments(folder))
    expect(12000 < largest <= limit, f"the largest file has {largest} bytes")
    verify = t.wirebus(net, "verify", "--from", f"file://{folder}", "-o", "json")
    verify.wait(60)
    said = json.loads(verify.out)
    expect_equal((said["figures"]["received"], said["damaged"]), (total["spooled"], 0), f"what is in the spool: {said}")


def test_errors(t):
    """What is wrong with the directory is said at the start, with its path, and nothing in it is touched."""
    net = t.net()

    def refused(folder, words, *arguments, code=1):
        run = t.wirebus(net, "run", "-i", CAPTURED_SIDE, "--to", "null:", *spooling(folder, *arguments))
        expect_equal(run.wait(20), code, f"exit code ({run.err})")
        expect(str(folder) in run.err and words in run.err, f"the message says '{words}' of {folder}: {run.err}")

    foreign = t.folder / "foreign"
    foreign.mkdir()
    os.chown(foreign, 65534, 65534)
    foreign.chmod(0o755)
    refused(foreign, "cannot write to it: Permission denied")
    refused(t.folder / "foreign" / "spool", "cannot create it: Permission denied")
    file = t.folder / "file"
    file.touch()
    refused(file, "cannot open it: Not a directory")
    refused(t.folder / "no" / "spool", "cannot create it: No such file or directory")
    newer = t.folder / "newer"
    newer.mkdir()
    segment = newer / ("0" * 32 + "-0001-000000.wbs")
    segment.write_bytes(b"WIREBUS1" + (2).to_bytes(4, "little") + (16).to_bytes(4, "little") + b"something new")
    refused(newer, "container version 2; this program reads version 1")
    expect_equal(segment.stat().st_size, 29, "the newer file is as it was")
    # What is in a spool, and what a killed session left to be said, is for one bus.
    other = t.path("other")
    run = t.capture(net, f"{PUSH}&linger=0", *spooling(other, "--flush", "100ms"), workers=1)
    t.send(net, {"count": 1000, "flows": 4}, rate=20000)
    run.send_signal(signal.SIGKILL)
    run.wait()
    states = list(pathlib.Path(other).glob("*.state"))
    expect_equal(len(states), 1, "states that are left")
    refused(other, f"it holds packets for zmq+push://127.0.0.1:{PORT}, and this capture goes to null://")
    run = t.capture(net, "null:", "--state-dir", other)
    expect(f"is of a capture '{CAPTURED_SIDE}' to zmq+push://" in run.err, f"the state is told: {run.err}")
    run.stop()
    expect_equal(list(pathlib.Path(other).glob("*.state")), states, "states after a run with another bus")
    run = t.capture(net, "null:", *spooling(t.path("spool")))
    refused(t.path("spool"), f"another process uses it (pid {run.pid})")
    run.stop()
    run = t.wirebus(net, "run", "-i", CAPTURED_SIDE, "--to", "null:", "--on-full", "spool")
    expect_equal(run.wait(20), 2, f"exit code ({run.err})")
    expect("spool_dir: it is missing" in run.err, f"it is said what is missing: {run.err}")


def test_memory_is_flat(t):
    """Nobody is there for long: packets go to disk up to the bound, and memory stays what it is."""
    net, folder, seconds = t.net(), t.path("spool"), 60 if FULL else 4
    run = t.capture(net, "kafka://127.0.0.1:9099/packets",
                    *spooling(folder, "--spool-bytes", "32MiB", "--spool-segment-bytes", "4MiB", "--flush", "200ms"))
    plan = {"count": 20000 * (seconds + 5), "flows": 64}
    sending = sender(t, net, plan, 20000)
    time.sleep(3)
    samples = []
    for _ in range(seconds * 4):
        samples.append(run.rss_bytes())
        time.sleep(0.25)
    expect(sending.running(), f"the sender was to be busy still: {sending.err}")
    growth = max(samples) - samples[0]
    print(f"memory {samples[0] >> 10} KiB, growth {growth >> 10} KiB")
    expect(growth <= 4 << 20, f"memory grew by {growth >> 10} KiB from {samples[0] >> 10} KiB")
    expect_equal(sending.wait(60), 0, f"exit code of the sender ({sending.err})")
    expect(spool_bytes(folder) <= 32 << 20, f"the bound: {spool_bytes(folder)} bytes")
    total = t.settle(run, plan["count"], workers=2)
    expect_equal(total["kernel_dropped"], 0, "dropped by the kernel while the bus was away")
    expect(total["spooled"] > 10000 and total["spooled"] + total["dropped_spool_full"] == plan["count"],
           f"on disk, or counted: {total}")
    said = t.audit(net, f"file://{folder}", sent=plan["count"], run=run)
    expect_equal(said["figures"]["received"], total["spooled"], "packets in the spool, by the audit")
    expect_lost(said, total["dropped_spool_full"])


def test_wirebus_killed(t):
    """SIGKILL under load, again and again, with the broker away in between: what was delivered or spooled is there, and the
    message on behalf of the killed session says exactly what is not."""
    net, folder, kills, workers = t.net(), t.path("spool"), 20 if FULL else 3, 2
    broker = t.broker(net)
    url = f"kafka://{broker.servers}/packets"
    plan = {"count": 10000000, "flows": 64}
    sending = sender(t, net, plan, 20000)
    dice = random.Random(4)
    options = spooling(folder, "--spool-segment-bytes", "1MiB")
    killed = Killed()
    for kill in range(kills):
        run = t.capture(net, url, *options, workers=workers)
        away = kill % 3 == 1
        time.sleep(0.5 + dice.random())
        if away:
            broker.kill()
            wait_until(lambda: spool_bytes(folder) > 2 << 20, 20, "the spool is in use")
            time.sleep(dice.random())
        run.send_signal(signal.SIGKILL)
        run.wait()
        killed.note_spool(folder)
        if away:
            broker.start()
    run = t.capture(net, url, *options, workers=workers)
    sending.end()
    wait_until(lambda: spool_bytes(folder) < 100, 60, "the spool is empty")
    wait_until(lambda: len(list(pathlib.Path(folder).glob("*.state"))) == 1, 20, "only this session's state is left")
    run.stop()
    total = ledger.check(run.ledger_path, workers=workers)
    expect_equal(total["delivered"], total["accepted"] + total["recovered"], f"delivered; {total}")
    expect_equal(sorted(os.listdir(folder)), ["bus", "lock"], "what is left of the spool")
    reader = t.client(net, "batches_kafka.py", broker.servers, "packets")
    expect_equal(reader.wait(60), 0, f"exit code of the reader ({reader.err})")
    killed.take(json.loads(line) for line in reader.out.splitlines())
    missing = killed.check(kills, workers)
    expect(sum(map(len, killed.on_disk.values())) > 1000, "the spool held hardly anything: this proves little")
    said = t.audit(net, url, deep=True)
    f = said["figures"]
    expect_equal((f["missing"] + f["missed_before"], f["lost_in_crash"], f["unknown_tails"]), (missing, missing, kills * workers),
                 f"audit: {f}")
    expect_equal((said["nodes"][0]["restarts"], said["doubts"]), (kills, []), "restarts and doubts")


def test_flow_killed(t):
    """Many streams of a worker: each has its order in the spool, and its end when the process is killed."""
    net, folder, buckets = t.net(), t.path("spool"), 16
    plan = {"count": 20000, "flows": 199}
    options = spooling(folder, "--key", "flow", "--flow-buckets", buckets, "--buffers", "24", "--flush", "5s")
    run = t.capture(net, PUSH, *options, workers=2)
    t.send(net, plan, rate=20000)
    wait_until(lambda: spool_bytes(folder) > 8 << 20, 10, "the spool is in use")
    run.send_signal(signal.SIGKILL)
    run.wait()
    run = t.capture(net, PUSH, *options, workers=2)
    expect("the same for" in run.err, f"not every stream is named: {run.err}")
    recorder = recorded(t, net)
    wait_until(lambda: spool_bytes(folder) < 100, 20, "the spool is empty")
    t.send(net, plan, rate=20000, first=0)
    wait_until(lambda: len(list(pathlib.Path(folder).glob("*.state"))) == 1, 20, "only this session's state is left")
    total = t.settle(run, plan["count"], workers=2)
    expect_equal(total["handed_over"], plan["count"] + total["recovered"], f"handed over; {total}")
    expect_equal(recorder.wait(60), 0, f"exit code of the recorder ({recorder.err})")
    said = t.audit(net, recorder.url)
    f = said["figures"]
    expect_equal((f["received"], f["out_of_order"]), (total["handed_over"], 0), f"what arrived: {f}")
    expect_equal((f["streams"], f["unknown_tails"]), (2 * 2 * buckets, 2), f"streams: {f}")
    # What was on disk has arrived; what has not was in memory, also of streams whose first message is missing.
    for worker in said["nodes"][0]["sessions"][0]["workers"]:
        f, c = worker["figures"], worker["counters"]
        expect(f["received"] >= c["spooled"] > 1000, f"spooled, and received: {c} {f}")
        expect(f["missing"] + f["missed_before"] <= c["open"] + c["in_flight"], f"lost: {c} {f}")


def test_records_killed(t):
    """Record mode: what is said on behalf of a killed session is in the ledger."""
    net, states = t.net(), t.path("state")
    broker = t.broker(net)
    url = f"kafka://{broker.servers}/packets"
    options = ["--state-dir", states, "--mode", "record", "--batch-age", "60s", "--heartbeat", "200ms"]
    run = t.capture(net, url, *options, workers=1)
    t.send(net, {"count": 5000, "flows": 4, "sizes": 100}, rate=10000)

    def has_arrived():
        verify = t.wirebus(net, "verify", "--from", url, "-o", "json", "--wait", "5s")
        verify.wait(30)
        return verify.out and json.loads(verify.out)["figures"]["received"] > 0
    wait_until(has_arrived, 60, "records are in the topic")
    wait_until(lambda: accepted_now(run) == 5000, 20, "all packets are accepted")
    time.sleep(0.2)  # the state follows the counters
    run.send_signal(signal.SIGKILL)
    run.wait()
    run = t.capture(net, url, *options, workers=1)
    wait_until(lambda: len(os.listdir(states)) == 1, 20, "the old state is gone")
    run.stop()
    said = t.audit(net, url, sent=5000)
    f = said["figures"]
    expect_equal((said["doubts"], f["unknown_tails"], f["received"] + f["lost_in_crash"]), ([], 1, 5000), f"audit: {f}")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=800 if FULL else 240)
