#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""wirebus is killed before it has a spool to speak of, or without one: the next start says what there is to say."""
import json
import os
import pathlib
import random
import signal
import time

from live import accepted_now
from prelude import wbtest
from spool import sender, spooling
from wbtest import CAPTURED_SIDE, FULL, expect, expect_equal, wait_until


def test_state_without_spool(t):
    """Without a spool, state_dir alone says after a kill how much had been accepted."""
    net, states = t.net(), t.path("state")
    url = t.shared_folder("packets")
    options = ["--state-dir", states, "--batch-age", "60s"]
    run = t.capture(net, url, *options, workers=1)
    t.send(net, {"count": 777, "flows": 4, "sizes": 100}, rate=5000)
    wait_until(lambda: accepted_now(run) == 777, 20, "all packets are accepted")
    time.sleep(0.2)  # the state follows the counters
    run.send_signal(signal.SIGKILL)
    run.wait()
    run = t.capture(net, url, *options, workers=1)
    expect("packets up to number 777" in run.err, f"it is said what was accepted: {run.err}")
    wait_until(lambda: len(os.listdir(states)) == 1, 20, "the old state is gone")
    run.stop()
    expect_equal(os.listdir(states), [], "what is left of the states")
    cat = t.wirebus(net, "cat", "--from", url, "-o", "json", "--summary", t.path("summary"))
    expect_equal(cat.wait(20), 0, f"exit code of cat ({cat.err})")
    with open(t.path("summary"), encoding="utf-8") as stream:
        said = json.load(stream)
    # All of them were in the open batch: lost, and known.
    expect_equal((int(said["packets"]), len(said["streams"])), (0, 2), f"what arrived: {said}")
    expect_equal(int(said["missing_packets"]) + int(said["missed_before_first"]), 777, f"what is missing: {said}")
    expect(all(stream["ended"] for stream in said["streams"]), f"both sessions ended: {said}")
    said = t.audit(net, url, sent=777)
    expect_equal((said["losses"], said["figures"]["lost_in_crash"]), (["bus", "unknown_tail"], 777), "audit")


def test_at_start(t):
    """Killed in the first moments, at any of them: the next start is none the worse, and everything is accounted for."""
    net, folder, dice = t.net(), t.path("spool"), random.Random(7)
    url = t.shared_folder("packets")
    sending = sender(t, net, {"count": 10000000, "flows": 64}, 5000)
    for _ in range(60 if FULL else 10):
        run = t.wirebus(net, "run", "-i", CAPTURED_SIDE, "-w", 2, "--to", url, *spooling(folder))
        time.sleep(dice.random() * 0.15)
        run.send_signal(signal.SIGKILL)
        run.wait()
    run = t.capture(net, url, *spooling(folder))
    sending.end()
    wait_until(lambda: len(list(pathlib.Path(folder).glob("*.state"))) == 1, 60, "only this session's state is left")
    run.stop()
    expect("damaged" not in run.err, f"nothing is damaged: {run.err}")
    expect_equal(sorted(os.listdir(folder)), ["bus", "lock"], "what is left of the spool")
    t.audit(net, url)


if __name__ == "__main__":
    wbtest.main(globals(), seconds=240)
