#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Consumers and producers that come, go, die and stop in every order; what was lost shows in the sequence numbers."""
import json
import signal
import time

from live import ledger_now
from prelude import ledger, wbtest
from wbtest import CAPTURED_SIDE, expect, expect_equal, wait_until

PORT = 5557
FACTS = ["--interface", CAPTURED_SIDE, "--direction", "in"]


def summary(cat):
    with open(cat.summary_path, encoding="utf-8") as stream:
        return json.load(stream)


def test_consumer_first(t):
    """Consumers that wait for the publisher get everything."""
    for transport, source in (("zmq+push", "zmq+pull"), ("zmq+pub", "zmq+sub")):
        net = t.net()
        plan = {"count": 20000, "flows": 16}
        cat, checker = t.cat_and_check(net, plan, f"{source}://127.0.0.1:{PORT}", check=FACTS)
        time.sleep(1)
        expect(cat.running(), f"cat does not wait: {cat.err}")
        run = t.capture(net, f"{transport}://127.0.0.1:{PORT}")
        wait_until(lambda: net.connected(PORT), 10, "the consumer is connected")
        if transport == "zmq+pub":
            t.wait_subscribed(net, PORT)
        t.send(net, plan, rate=20000)
        t.settle(run, plan["count"], lossless=True)
        expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
        t.checked(checker)


def test_consumer_first_kafka(t):
    """With --follow, cat waits for a topic that does not exist yet."""
    net = t.net()
    broker = t.broker(net)
    url = f"kafka://{broker.servers}/packets"
    plan = {"count": 20000, "flows": 16}
    cat, checker = t.cat_and_check(net, plan, url, "--follow", "-c", plan["count"], check=FACTS)
    time.sleep(1)
    expect(cat.running(), f"cat does not wait: {cat.err}")
    run = t.capture(net, url)
    t.send(net, plan, rate=20000)
    t.settle(run, plan["count"], lossless=True)
    expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)


def test_consumer_late_push(t):
    """Nobody is there for a while: PUSH waits, memory is bounded, nothing is lost that the ring can hold."""
    net = t.net()
    plan = {"count": 30000, "flows": 16}
    run = t.capture(net, f"zmq+push://127.0.0.1:{PORT}")
    t.send(net, plan, rate=30000)
    cat, checker = t.cat_and_check(net, plan, f"zmq+pull://127.0.0.1:{PORT}", check=FACTS)
    wait_until(lambda: net.connected(PORT), 10, "the consumer is connected")
    t.settle(run, plan["count"], lossless=True)
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)


def test_consumer_late_pub(t):
    """Who subscribes late gets the rest, and the numbers say how much came before."""
    net = t.net()
    plan = {"count": 40000, "flows": 16}
    run = t.capture(net, f"zmq+pub://127.0.0.1:{PORT}")
    t.send(net, dict(plan, count=20000), rate=40000)
    wait_until(lambda: ledger_now(run).get("handed_over") == 20000, 20, "what was sent before is published")
    cat, checker = t.cat_and_check(net, plan, f"zmq+sub://127.0.0.1:{PORT}", check=[*FACTS, "--allow-missing", "1"])
    audit = t.audit_live(net, f"zmq+sub://127.0.0.1:{PORT}", deep=True, others=1)
    t.send(net, plan, rate=40000, first=20000)
    t.settle(run, plan["count"], lossless=True)
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    found = t.checked(checker)
    expect_equal((found["packets"], found["missing"]), (20000, 20000), "packets received and missed")
    said = summary(cat)
    expect_equal(int(said["packets"]), 20000, f"packets in the summary {said}")
    expect_equal(int(said["missed_before_first"]), 20000, f"packets before the first, in the summary {said}")
    expect_equal(int(said["missing_packets"]), 0, f"lost in the summary {said}")
    stated = audit.finish(sent=plan["count"], run=run)
    expect_equal((stated["losses"], stated["figures"]["not_covered"]), (["not_covered"], 20000), "what verify says")


def test_pub_loss_is_visible(t):
    """A subscriber that stops for a while loses packets, and the holes in the numbers are exactly those."""
    net = t.net()
    plan = {"count": 400000, "flows": 64}
    run = t.capture(net, f"zmq+pub://127.0.0.1:{PORT}")
    cat, checker = t.cat_and_check(net, plan, f"zmq+sub://127.0.0.1:{PORT}", check=[*FACTS, "--allow-missing", "1"])
    t.wait_subscribed(net, PORT)
    t.send(net, dict(plan, count=20000), rate=50000)
    cat.send_signal(signal.SIGSTOP)
    t.send(net, dict(plan, count=380000), rate=100000, first=20000)
    cat.send_signal(signal.SIGCONT)
    wait_until(lambda: net.caught_up(PORT), 60, "the subscriber has caught up")
    t.send(net, plan, rate=50000, first=380000)
    t.settle(run, plan["count"], lossless=True)
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    found = t.checked(checker)
    expect(found["missing"] > 10000, f"the stopped subscriber lost hardly anything: {found}")
    said = summary(cat)
    expect_equal(int(said["packets"]), plan["count"] - found["missing"], f"packets in the summary {said}")
    expect_equal(int(said["missing_packets"]), found["missing"], f"lost in the summary {said}")


def test_consumer_killed_push(t):
    """A killed consumer takes what was in its hands with it; the next one sees that as a hole, and gets all the rest."""
    net = t.net()
    plan = {"count": 60000, "flows": 16}
    run = t.capture(net, f"zmq+push://127.0.0.1:{PORT}")
    first = t.wirebus(net, "cat", "--from", f"zmq+pull://127.0.0.1:{PORT}", "-o", "json", "-w", "/dev/null")
    wait_until(lambda: net.connected(PORT), 10, "the consumer is connected")
    t.send(net, dict(plan, count=20000), rate=20000)
    first.send_signal(signal.SIGKILL)
    first.wait()
    wait_until(lambda: not net.connected(PORT), 10, "the connection is gone")
    t.send(net, dict(plan, count=40000), rate=40000, first=20000)
    cat, checker = t.cat_and_check(net, plan, f"zmq+pull://127.0.0.1:{PORT}", check=[*FACTS, "--allow-missing", "1"])
    wait_until(lambda: net.connected(PORT), 10, "the second consumer is connected")
    t.send(net, plan, rate=20000, first=40000)
    t.settle(run, plan["count"], lossless=True)
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    found = t.checked(checker)
    said = summary(cat)
    # What went to the first consumer is missing here: before the first number, or as holes.
    expect_equal(int(said["missed_before_first"]) + int(said["missing_packets"]), found["missing"], f"missing in the summary {said}")
    expect(found["packets"] >= 20000, f"the second consumer got too little: {found}")


def test_consumer_killed_kafka(t):
    """A killed consumer costs nothing: the next one reads everything."""
    net = t.net()
    broker = t.broker(net)
    url = f"kafka://{broker.servers}/packets"
    plan = {"count": 40000, "flows": 16}
    run = t.capture(net, url)
    first = t.wirebus(net, "cat", "--from", url, "--follow", "-o", "json", "-w", "/dev/null")
    t.send(net, dict(plan, count=20000), rate=10000)
    expect(first.running(), f"cat --follow has ended: {first.err}")
    first.send_signal(signal.SIGKILL)
    first.wait()
    t.send(net, plan, rate=20000, first=20000)
    t.settle(run, plan["count"], lossless=True)
    cat, checker = t.cat_and_check(net, plan, url, check=FACTS)
    expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)
    t.audit(net, url, no_loss=True, sent=plan["count"], run=run, deep=True)


def test_signals(t):
    """SIGTERM and SIGINT end a busy capture orderly: everything is sealed, flushed and counted."""
    for number in (signal.SIGTERM, signal.SIGINT):
        net = t.net()
        folder = t.shared_folder(f"packets-{number.name}")
        run = t.capture(net, folder)
        sender = t.start("sender", net.command(wbtest.SENDER, wbtest.SENDING_SIDE, "--count", "4000000", "--rate", "100000"))
        wait_until(lambda: net.received() > 60000, 20, "packets arrive")
        began = time.monotonic()
        run.stop(number)
        took = time.monotonic() - began
        expect(sender.running(), "the sender was to be busy still")
        sender.end()
        expect(took < 3, f"{number.name}: took {took:.1f} s")
        total = ledger.check(run.ledger_path, lossless=True, workers=2)
        expect(total["kernel_seen"] > 50000, f"{number.name}: captured only {total['kernel_seen']}")
        cat, checker = t.cat_and_check(net, {"count": 4000000}, folder, check=[*FACTS, "--allow-missing", "1"])
        expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
        expect_equal(t.checked(checker)["packets"], total["accepted"], "packets in the files")
        t.audit(net, folder, no_loss=True, sent=total["kernel_seen"], run=run)


def test_interface_vanishes(t):
    """The interface is deleted under a capture that shall not wait: it says so, publishes what it has, ends with 1."""
    net = t.net()
    folder = t.shared_folder("packets")
    run = t.capture(net, folder, "--no-reopen")
    t.send(net, {"count": 5000}, rate=20000)
    net.run("ip", "link", "del", CAPTURED_SIDE)
    expect_equal(run.wait(20), 1, f"exit code of run ({run.err})")
    expect(CAPTURED_SIDE in run.err, f"the message names the interface: {run.err}")
    cat, checker = t.cat_and_check(net, {"count": 5000}, folder, check=FACTS)
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)
    t.audit(net, folder, no_loss=True, sent=5000, run=run)


def test_output_closed(t):
    """`wirebus cat | head`: the reader goes, cat ends quietly."""
    net = t.net()
    folder = t.shared_folder("packets")
    run = t.capture(net, folder)
    t.send(net, {"count": 20000}, rate=50000)
    t.settle(run, 20000, lossless=True)
    cat = t.wirebus(net, "cat", "--from", folder, stdout=wbtest.subprocess.PIPE)
    cat.popen.stdout.readline()
    cat.popen.stdout.close()
    expect_equal(cat.wait(10), 0, f"exit code of cat ({cat.err})")
    expect("reader gone" in cat.err and "error" not in cat.err, f"what cat says: {cat.err}")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=150)
