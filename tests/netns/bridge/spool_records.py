#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Record mode with a spool: the broker or wirebus is killed, and nothing is lost that is not stated."""
import os
import pathlib
import signal
import time

from live import accepted_now
from prelude import wbtest
from spool import FACTS, sender, spool_bytes, spooling, summary
from wbtest import FULL, expect, expect_equal, wait_until


def test_broker_killed(t):
    """A broker that is killed under load and comes back: nothing is lost."""
    net, folder, away = t.net(), t.path("spool"), 60 if FULL else 4
    broker = t.broker(net)
    url = f"kafka://{broker.servers}/packets"
    plan, rate = {"count": 5000 * (away + 4), "flows": 64}, 5000
    run = t.capture(net, url, *spooling(folder, "--mode", "record"))
    sending = sender(t, net, plan, rate)
    wait_until(lambda: net.received() > 1.5 * rate, 20, "packets arrive")
    broker.kill()
    wait_until(lambda: spool_bytes(folder) > 1 << 20, 60, "the spool is in use")
    time.sleep(away)
    broker.start()
    expect_equal(sending.wait(60 + 2 * away), 0, f"exit code of the sender ({sending.err})")
    wait_until(lambda: spool_bytes(folder) < 100, 60, "the spool is empty again")
    total = t.settle(run, plan["count"], lossless=True, workers=2)
    expect_equal((total["kernel_dropped"], total["delivered"]), (0, plan["count"]), f"dropped by the kernel, delivered; {total}")
    cat, checker = t.cat_and_check(net, plan, url, check=FACTS)
    expect_equal(cat.wait(120), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)
    expect_equal(int(summary(cat)["packets"]), plan["count"], "packets that cat shows")
    t.audit(net, url, no_loss=True, sent=plan["count"], run=run)
    expect_equal(sorted(os.listdir(folder)), ["bus", "lock"], "what is left of the spool")


def test_batches_after_records(t):
    """A capture in batches publishes what one of records left: all of it, in order, and at the first attempt."""
    net, folder, count = t.net(), t.path("spool"), 20000
    url, plan = "kafka://127.0.0.1:9092/packets", {"count": count, "flows": 64}
    run = t.capture(net, url, *spooling(folder, "--mode", "record", "--flush", "200ms"))
    t.send(net, plan, rate=10000)
    total = t.settle(run, count, workers=2)
    expect_equal(total["spooled"], count, f"spooled at the end; {total}")
    t.broker(net)
    run = t.capture(net, url, *spooling(folder))
    wait_until(lambda: spool_bytes(folder) < 100, 60, "the spool is empty")
    total = t.settle(run, 0, workers=2)
    expect_equal((total["recovered"], total["delivered"], total["spooled"]), (count, count, 0), f"recovered; {total}")
    expect("failed since this was said" not in run.err, f"nothing was given back: {run.err}")
    cat, checker = t.cat_and_check(net, plan, url, check=FACTS)
    expect_equal(cat.wait(120), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)
    expect_equal(int(summary(cat)["packets"]), count, "packets that cat shows")
    t.audit(net, url, no_loss=True, sent=count)
    expect_equal(sorted(os.listdir(folder)), ["bus", "lock"], "what is left of the spool")


def test_wirebus_killed(t):
    """SIGKILL while the broker is away: what was delivered or spooled is there, the rest is stated exactly."""
    net, folder, workers, count = t.net(), t.path("spool"), 2, 30000
    broker = t.broker(net)
    url = f"kafka://{broker.servers}/packets"
    options = spooling(folder, "--mode", "record", "--spool-segment-bytes", "1MiB")
    run = t.capture(net, url, *options, workers=workers)
    sending = sender(t, net, {"count": count, "flows": 64}, 10000)
    wait_until(lambda: net.received() > 5000, 20, "packets arrive")
    broker.kill()
    expect_equal(sending.wait(60), 0, f"exit code of the sender ({sending.err})")
    wait_until(lambda: spool_bytes(folder) > 2 << 20, 20, "the spool is in use")
    wait_until(lambda: accepted_now(run) == count, 20, "all packets are accepted")
    time.sleep(0.2)  # the state follows the counters
    run.send_signal(signal.SIGKILL)
    run.wait()
    broker.start()
    run = t.capture(net, url, *options, workers=workers)
    wait_until(lambda: spool_bytes(folder) < 100, 60, "the spool is empty")
    wait_until(lambda: len(list(pathlib.Path(folder).glob("*.state"))) == 1, 60, "only this session's state is left")
    total = t.settle(run, 0, workers=workers)
    expect(total["recovered"] > 1000, f"packets were found: {total}")
    expect_equal((total["delivered"], total["spooled"]), (total["recovered"], 0), f"delivered; {total}")
    expect_equal(sorted(os.listdir(folder)), ["bus", "lock"], "what is left of the spool")
    said = t.audit(net, url, sent=count)
    f = said["figures"]
    expect_equal((f["received"] + f["lost_in_crash"], f["missing"] + f["missed_before"], f["unknown_tails"], said["doubts"]),
                 (count, f["lost_in_crash"], workers, []), f"audit: {f}")
    killed, = (s for s in said["nodes"][0]["sessions"] if any(w["figures"]["received"] for w in s["workers"]))
    for worker in killed["workers"]:
        f, c = worker["figures"], worker["counters"]
        expect(f["received"] >= c["spooled"] + c["delivered"], f"delivered or spooled, and received: {c} {f}")
        expect(f["missing"] + f["missed_before"] <= c["open"] + c["in_flight"], f"lost: {c} {f}")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=800 if FULL else 240)
