#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A Kafka broker that stands still with its connections open, while packets keep coming: memory stays flat, every packet is
counted, and when the broker goes on, what was kept arrives."""
import os
import pathlib
import signal
import time

from kafka_faults import consume, expect_sums
from live import ledgers
from prelude import ledger, wbtest
from wbtest import CAPTURED_SIDE, FULL, expect, expect_equal, wait_until

STALL_SECONDS = 60 if FULL else 5
RATE = 20000
# Far less than what is sent while the broker stands still: 16 buffers for each worker. So is the ring for block, of 512 KiB;
# that for drop is to lose little even when the machine is busy.
SMALL = ("--buffers", "16", "--batch-bytes", "16KiB", "--flush", "60s")
RING_BLOCKS = {"block": 2, "drop": 64}
FLAT_BYTES = 4 << 20


def ledger_now(run):
    """The counters of the whole capture as they are now."""
    begin = len(run.err)
    run.send_signal(signal.SIGUSR1)
    title = f"ledger of {CAPTURED_SIDE},"
    wait_until(lambda: title in run.err[begin:] and run.err.endswith("\n"), 20, "run prints its ledger")
    return ledgers(run.err[begin:])[CAPTURED_SIDE]


def stalled(t, policy, lost):
    """policy: on_full; lost: the counter that the packets without a place are to be in."""
    net = t.net()
    broker = t.broker(net)
    url = f"kafka://{broker.servers}/packets"
    run = t.capture(net, url, "--on-full", policy, *SMALL, "--block-bytes", "256KiB", "--block-count", RING_BLOCKS[policy])
    plan = {"count": 100000000, "flows": 64, "sizes": 200}
    sender = t.start("sender", net.command(wbtest.SENDER, wbtest.SENDING_SIDE, "--rate", RATE, *wbtest.plan_words(plan)))
    wait_until(lambda: ledger_now(run).get("delivered", 0) > RATE // 2, 60, "the broker acknowledges packets")
    pid = int(pathlib.Path(broker.folder, "broker.pid").read_text())
    try:
        wbtest.stand_still(pid)
        before = ledger_now(run)
        # All buffers of both workers are in use then.
        wait_until(lambda: ledger_now(run).get(lost, 0) >= before.get(lost, 0) + RATE // 2, 60, f"{policy}: packets are lost")
        full = ledger_now(run)
        growth, first = watch_memory(net, run)
        after = ledger_now(run)
    finally:
        os.kill(pid, signal.SIGCONT)
    expect(growth <= FLAT_BYTES, f"memory grew by {growth >> 10} KiB from {first >> 10} KiB")
    expect_equal(after["delivered"], full["delivered"], "delivered while the broker stood still")
    expect(after.get(lost, 0) > full.get(lost, 0) + RATE, f"{policy}: hardly anything was lost: {full}, and later {after}")
    wait_until(lambda: ledger_now(run)["delivered"] > after["delivered"] + RATE, 90, "the broker takes packets again")
    expect(sender.running(), f"the sender was to be busy still: {sender.err}")
    sender.end()
    plan["count"] = net.received()
    run.stop(seconds=90)
    total = ledger.check(run.ledger_path, sent=plan["count"], workers=2)
    expect_equal((total["failed"], total["unknown"]), (0, 0), f"lost otherwise: {total}")
    if policy == "block":
        expect_equal(total["dropped"], 0, f"dropped although run blocks: {total}")
    said, _ = consume(t, net, plan, url)
    expect_equal(said["duplicates"], 0, f"duplicates: {said}")
    expect_sums(total, said, plan["count"])


def watch_memory(net, run):
    """While the broker stands still, and until enough came meanwhile. Returns how much memory grew at most, and from what."""
    samples, sent, deadline = [], net.received(), time.monotonic() + STALL_SECONDS
    while time.monotonic() < deadline or net.received() < sent + 2 * RATE:
        expect(time.monotonic() < deadline + 60, "the sender is too slow")
        samples.append(run.rss_bytes())
        time.sleep(0.25)
    growth = max(samples) - samples[0]
    print(f"memory {samples[0] >> 10} KiB, growth {growth >> 10} KiB, {net.received() - sent} packets meanwhile")
    return growth, samples[0]


def test_block(t):
    """on_full=block: the kernel's ring absorbs, and counts what it cannot hold."""
    stalled(t, "block", "kernel_dropped")


def test_drop(t):
    """on_full=drop: what finds no buffer is dropped and counted."""
    stalled(t, "drop", "dropped")


if __name__ == "__main__":
    wbtest.main(globals())
