#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The bus is not there: who goes on, who gives up, and what is said about it."""
import os
import pathlib
import signal
import time

from prelude import ledger, wbtest
from wbtest import CAPTURED_SIDE, expect, expect_equal

URL = "kafka://127.0.0.1:9099/packets"


def bus_lines(process):
    return [line for line in process.err.splitlines() if "127.0.0.1:9099" in line and "capturing on" not in line]


def test_run_goes_on(t):
    """The capture runs, warns once, and at the end every packet is counted as lost, by cause."""
    net = t.net()
    run = t.capture(net, URL, "--flush", "2s")
    t.send(net, {"count": 3000, "flows": 16}, rate=1000)
    time.sleep(2)
    expect(run.running(), f"run has ended: {run.err}")
    expect_equal(len(bus_lines(run)), 1, f"warnings about the bus: {run.err}")
    run.send_signal(wbtest.signal.SIGTERM)
    expect(run.wait(20) in (0, 1), f"exit code of run: {run.err}")
    total = ledger.check(run.ledger_path, sent=3000, workers=2)
    expect_equal(total["delivered"] + total["handed_over"], 0, "delivered without a bus")
    expect_equal(total["dropped"] + total["failed"] + total["unknown"], 3000, f"accounted as lost: {total}")


def test_broker_comes_later(t):
    """What was captured while there was no broker is delivered once there is one."""
    net = t.net()
    plan = {"count": 5000, "flows": 16, "seed": 5}
    run = t.capture(net, URL)
    t.send(net, plan, rate=5000)
    t.broker(net, 9099)
    wbtest.wait_until(lambda: len(bus_lines(run)) >= 2, 30, "run says that a broker answers")
    total = t.settle(run, 5000, lossless=True, workers=2)
    expect_equal(total["delivered"], 5000, "delivered")
    cat, checker = t.cat_and_check(net, plan, URL, check=["--interface", CAPTURED_SIDE, "--direction", "in"])
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)
    t.audit(net, URL, no_loss=True, sent=5000, run=run, deep=True)


def test_missing_topic(t):
    """A topic that the broker does not make by itself: said once, waited for, and nothing is lost when it appears."""
    net = t.net()
    broker = t.broker(net, 9099, "auto.create.topics.enable=false")
    run = t.capture(net, URL)
    plan = {"count": 5000, "flows": 16, "seed": 6}
    t.send(net, plan, rate=5000)
    wbtest.wait_until(lambda: "topic 'packets'" in run.err, 15, "run says that there is no topic")
    create = ("import sys; from confluent_kafka.admin import AdminClient, NewTopic; "
              "admin = AdminClient({'bootstrap.servers': sys.argv[1]}); "
              "[done.result() for done in admin.create_topics([NewTopic('packets', 2, 1)]).values()]")
    net.run(wbtest.PYTHON, "-c", create, broker.servers)
    total = t.settle(run, 5000, lossless=True, workers=2)
    expect_equal(total["delivered"], 5000, "delivered")
    t.audit(net, URL, no_loss=True, sent=5000, run=run)
    expect_equal(run.err.count("topic 'packets'"), 1, f"times that it was said: {run.err}")


def test_flush_time(t):
    """A broker that hangs when run is told to stop has the whole of the flush time to come back."""
    net = t.net()
    broker = t.broker(net, 9099)
    broker_pid = int(pathlib.Path(broker.folder, "broker.pid").read_text())
    run = t.capture(net, URL, "--flush", "30s")
    t.send(net, {"count": 1000, "flows": 16}, rate=1000)
    t.cleanup(lambda: os.kill(broker_pid, signal.SIGCONT))
    wbtest.stand_still(broker_pid)
    t.send(net, {"count": 5000, "flows": 16}, rate=10000, first=1000)
    run.send_signal(signal.SIGTERM)
    time.sleep(6)
    expect(run.running(), f"run did not wait for the broker: {run.err}")
    os.kill(broker_pid, signal.SIGCONT)
    expect_equal(run.wait(40), 0, f"exit code of run ({run.err})")
    total = ledger.check(run.ledger_path, sent=5000, lossless=True, workers=2)
    expect_equal(total["delivered"], 5000, "delivered")
    t.audit(net, URL, no_loss=True, sent=5000)


def test_push_without_consumer(t):
    """PUSH keeps its batches until somebody comes, and says that it waits, once."""
    net = t.net()
    url = "zmq+push://127.0.0.1:5571"
    run = t.capture(net, url)
    plan = {"count": 3000, "flows": 16, "seed": 7}
    t.send(net, plan, rate=3000)
    wbtest.wait_until(lambda: "no consumer is connected" in run.err, 10, "run says that nobody is there")
    time.sleep(1)
    expect_equal(run.err.count("no consumer is connected"), 1, f"times that it was said: {run.err}")
    cat, checker = t.cat_and_check(net, plan, url.replace("push", "pull"), check=["--interface", CAPTURED_SIDE])
    wbtest.wait_until(lambda: "a consumer is connected now" in run.err, 10, "run says that somebody came")
    total = t.settle(run, 3000, lossless=True, workers=2)
    expect_equal(total["handed_over"], 3000, "handed over")
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)


def test_require_bus(t):
    net = t.net()
    began = time.monotonic()
    run = t.wirebus(net, "run", "-i", CAPTURED_SIDE, "--to", URL, "--require-bus", "5s")
    expect_equal(run.wait(20), 1, f"exit code ({run.err})")
    took = time.monotonic() - began
    expect(4.5 < took < 9, f"gave up after {took:.1f} s instead of 5")
    expect("127.0.0.1:9099" in run.err.splitlines()[-1], f"the last line names the bus: {run.err}")


def test_cat_gives_up(t):
    net = t.net()
    began = time.monotonic()
    cat = t.wirebus(net, "cat", "--from", URL)
    expect_equal(cat.wait(30), 1, f"exit code ({cat.err})")
    took = time.monotonic() - began
    expect(9 < took < 15, f"gave up after {took:.1f} s instead of 10")
    said = [line for line in cat.err.splitlines() if line.startswith(f"wirebus cat: {URL}")]
    expect_equal(len(said), 1, f"lines that name the bus ({cat.err})")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=120)
