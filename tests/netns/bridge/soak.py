#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ten minutes at 200,000 packets a second into a real broker, with a fault every 20 s; a short form otherwise. The ledger's sums
hold in every message, at the end all that was sent is delivered or counted, and memory and descriptors stay what they were."""
import contextlib
import itertools
import json
import os
import pathlib
import re
import signal
import threading
import time

from live import ledgers
from prelude import wbtest
from wbtest import CAPTURED_SIDE, FULL, expect, expect_equal, wait_until

import checker
from messages import COUNTERS

SECONDS, RATE, EVERY_SECONDS, AWAY_SECONDS = (600, 200000, 20, 6) if FULL else (20, 20000, 3, 2)
FRAME_BYTES = 60
RING_BYTES = 64 << 20
RING_PACKETS = RING_BYTES // (FRAME_BYTES + 48)  # not even with nothing but TPACKET_V3's header would more fit
# From then on memory is to be flat. In the short form the first outage is still to come, which touches all buffers.
SETTLED_SECONDS, FLAT_BYTES = (60, 32 << 20) if FULL else (3, 128 << 20)
FLAT_DESCRIPTORS = 8
WORKERS = 2


def spool_bytes(folder):
    total = 0
    for path in pathlib.Path(folder).glob("*.wbs"):
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            total += path.stat().st_size
    return total


class Sampler(threading.Thread):
    """Memory, descriptors and the size of the spool, once a second."""

    def __init__(self, run, folder):
        super().__init__(daemon=True)
        self.process, self.folder, self.over = run, folder, threading.Event()
        self.rss, self.descriptors, self.spool = [], [], []

    def run(self):
        while not self.over.wait(1):
            self.spool.append(spool_bytes(self.folder))
            self.descriptors.append(len(os.listdir(f"/proc/{self.process.pid}/fd")))
            self.rss.append(self.process.rss_bytes())

    def finish(self):
        self.over.set()
        self.join()
        expect(len(self.rss) > SETTLED_SECONDS, f"too few samples: {len(self.rss)}")

    def figures(self):
        return (f"RSS {self.rss[SETTLED_SECONDS] >> 20} MiB after {SETTLED_SECONDS} s, then at most "
                f"{max(self.rss[SETTLED_SECONDS:]) >> 20}, at last {self.rss[-1] >> 20}; descriptors "
                f"{max(self.descriptors[:SETTLED_SECONDS])}, then at most {max(self.descriptors[SETTLED_SECONDS:])}; "
                f"spool at most {max(self.spool) >> 20} MiB")

    def check(self):
        growth = max(self.rss[SETTLED_SECONDS:]) - self.rss[SETTLED_SECONDS]
        expect(growth < FLAT_BYTES, f"memory grew by {growth >> 20} MiB: {[rss >> 20 for rss in self.rss]}")
        more = max(self.descriptors[SETTLED_SECONDS:]) - max(self.descriptors[:SETTLED_SECONDS])
        expect(more <= FLAT_DESCRIPTORS, f"{more} more descriptors: {self.descriptors}")


class Soak:
    def __init__(self, t):
        self.t, self.net, self.folder = t, t.net(), t.path("spool")
        self.plan = {"count": SECONDS * RATE, "flows": 64, "sizes": FRAME_BYTES}
        # Short segments, or a broker that was killed would read gigabytes before it answers.
        self.broker = t.broker(self.net, 9092, "log.segment.bytes=134217728")
        self.url = f"kafka://{self.broker.servers}/packets"
        self.run = t.capture(self.net, self.url, "--on-full", "spool", "--spool-dir", self.folder, "--spool-bytes", "8GiB",
                             "--block-bytes", "1MiB", "--block-count", RING_BYTES >> 20, workers=WORKERS)
        self.watcher = self.start_watcher()
        self.sampler = Sampler(self.run, self.folder)
        self.sampler.start()
        t.cleanup(self.sampler.over.set)
        words = [wbtest.SENDER, wbtest.SENDING_SIDE, "--rate", RATE, *wbtest.plan_words(self.plan)]
        self.sending = t.start("sender", self.net.command(*words))

    def start_watcher(self, *arguments):
        return self.t.client(self.net, "watch_kafka.py", self.broker.servers, "packets", WORKERS, "--ring-packets",
                             RING_PACKETS, *arguments)

    def watched(self):
        """The last whole line of the watcher."""
        text = self.watcher.out
        return text[:text.rfind("\n") + 1].splitlines()[-1:]

    def check_running(self):
        for process in (self.run, self.watcher):
            expect(process.running(), f"{process.name} has ended: {process.err[-1500:]}")

    def sleep(self, seconds):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check_running()
            time.sleep(min(0.5, max(0, deadline - time.monotonic())))

    # ---- faults ----

    @contextlib.contextmanager
    def standing_still(self, pid):
        wbtest.stand_still(pid)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def broker_killed(self):
        self.broker.kill()
        self.sleep(AWAY_SECONDS)
        self.broker.start()

    def broker_restarted(self):
        self.broker.stop()
        self.broker.start()

    def broker_stands_still(self):
        with self.standing_still(int(pathlib.Path(self.broker.folder, "broker.pid").read_text())):
            self.sleep(AWAY_SECONDS)

    def network_away(self):
        """The link to the broker is down; no connection ends."""
        self.net.run("ip", "link", "set", "lo", "down")
        self.sleep(AWAY_SECONDS)
        self.net.run("ip", "link", "set", "lo", "up")

    def capture_stands_still(self):
        """For longer than the ring absorbs, whose blocks are closed by time: what is lost is in kernel_dropped."""
        with self.standing_still(self.run.pid):
            self.sleep(1.5)

    def interface_down(self):
        """While nothing is sent: what is under way would be lost where nobody counts. Then all at once."""
        if not self.sending.running():
            return
        with self.standing_still(self.sending.pid):
            self.net.run("ip", "link", "set", CAPTURED_SIDE, "down")
            self.sleep(1.5)
            self.net.run("ip", "link", "set", CAPTURED_SIDE, "up")

    def consumer_killed(self):
        wait_until(self.watched, 20, "the watcher has told where it is")
        self.watcher.send_signal(signal.SIGKILL)
        self.watcher.wait()
        self.watcher = self.start_watcher("--resume", *self.watched())

    def asked_for_the_ledger(self):
        for _ in range(10):
            begin = len(self.run.err)
            self.run.send_signal(signal.SIGUSR1)

            def told(begin=begin):
                text = self.run.err[begin:]
                found = ledgers(text)
                return len(found) == WORKERS + 1 and text.endswith("\n") and found
            for name, told_counters in wait_until(told, 20, "the ledgers are printed").items():
                c = dict.fromkeys(COUNTERS.values(), 0) | told_counters
                expect(checker.balanced(c) and c["kernel_seen"] >= c["read"] + c["kernel_dropped"], f"sums of {name}: {c}")

    # ---- from the beginning to the end ----

    def suffer(self):
        """One fault after the other as long as frames are sent, each at a multiple of the interval. Returns how many."""
        long = (self.broker_killed, self.asked_for_the_ledger, self.broker_stands_still, self.consumer_killed,
                self.interface_down, self.network_away, self.capture_stands_still, self.broker_restarted)
        short = (self.broker_stands_still, self.asked_for_the_ledger, self.broker_killed)
        begin, count = time.monotonic(), 0
        for fault in itertools.cycle(long) if FULL else short:
            now = time.monotonic() - begin
            due = (now // EVERY_SECONDS + 1) * EVERY_SECONDS
            if FULL and due > SECONDS - EVERY_SECONDS / 2:
                break
            self.sleep(due - now)
            print(f"{due:.0f} s: {fault.__name__}; spool {spool_bytes(self.folder) >> 20} MiB", flush=True)
            fault()
            count += 1
        return count

    def finish(self):
        """Returns the ledger's totals, what the watcher found, and what the auditors say."""
        expect_equal(self.sending.wait(60 + SECONDS // 2), 0, f"exit code of the sender ({self.sending.err})")
        wait_until(lambda: spool_bytes(self.folder) < 100, 120, "the spool is empty")
        self.check_running()
        self.sampler.finish()
        total = self.t.settle(self.run, self.plan["count"], workers=WORKERS)
        expect_equal(self.watcher.wait(120), 0, f"exit code of the watcher ({self.watcher.err})")
        found = json.loads(*self.watched())
        said = self.t.audit(self.net, self.url, sent=self.plan["count"], run=self.run, seconds=300)
        return total, found, said


def check(soak, total, found, said):
    f, sent = said["figures"], soak.plan["count"]
    lost = {name: total[name] for name in ("failed", "unknown", "dropped", "spooled", "recovered", "filtered")}
    expect_equal(lost, dict.fromkeys(lost, 0), f"what is not to be there: {total}")
    expect_equal(total["delivered"] + total["kernel_dropped"], sent, f"delivered, and dropped by the kernel: {total}")
    expect_equal((f["received"], f["missing"], f["missed_before"]), (total["delivered"], 0, 0), f"audit: {f}")
    expect_equal((found["packets"], found["gaps"]), (total["delivered"], f["out_of_order"]), f"the watcher: {found}")
    told = sum(int(number) for number in re.findall(r"of which (\d+) may be on the bus twice", soak.run.err))
    expect(found["duplicates"] == f["duplicates"] <= told, f"{f['duplicates']} duplicates, {told} were told: {soak.run.err}")
    expect(set(said["losses"]) <= {"kernel"}, f"losses: {said['losses']}")
    expect_equal(sorted(os.listdir(soak.folder)), ["bus", "lock"], "what is left of the spool")
    soak.sampler.check()


def test_faults(t):
    """Whatever happens to the bus, the consumer, the network or the capture, nothing is lost but what the ring could not hold."""
    soak = Soak(t)
    faults = soak.suffer()
    total, found, said = soak.finish()
    print(f"{faults} faults; sent {soak.plan['count']}, delivered {total['delivered']}, kernel_dropped "
          f"{total['kernel_dropped']}; {found['messages']} messages, {found['without_packets']} without packets, duplicates "
          f"{said['figures']['duplicates']}; at most {found['spooled_most']} packets in the spool, {found['ring_most']} "
          f"in a ring; {soak.sampler.figures()}", flush=True)
    check(soak, total, found, said)


if __name__ == "__main__":
    wbtest.main(globals(), seconds=1140 if FULL else wbtest.CASE_SECONDS)
