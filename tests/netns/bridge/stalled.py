#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Four subscribers that stop reading: the capture goes on, memory stays flat, a healthy subscriber gets everything, and the
buffers are back within a second of the four's leaving."""
import json
import time

from prelude import ledger, wbtest
from wbtest import FULL, expect, expect_equal, wait_until

PORT = 5558
SECONDS = 60 if FULL else 20
RATE = 20000
FLAT_BYTES = 4 << 20
END_OF_STREAM = 2


def read_lines(process):
    text = process.out
    return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]


def in_flight(watcher, since):
    """Packets in flight as the messages since that time say it: the latest of each stream; None: not heard of both."""
    latest = {line["stream"]: line["counters"]["in_flight"] for line in read_lines(watcher) if line["at"] >= since}
    return sum(latest.values()) if len(latest) == 2 else None


def sample_rss(run, seconds):
    samples = []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        samples.append(run.rss_bytes())
        time.sleep(0.25)
    return samples


class Scene:
    """A publisher, a healthy subscriber and one that records, and four that stand still."""

    def __init__(self, t, kinds, *options, query="", curve=()):
        self.t = t
        self.net = t.net()
        url = f"tcp://127.0.0.1:{PORT}"
        self.run = t.capture(self.net, f"zmq+pub://127.0.0.1:{PORT}{query}", "--heartbeat", "100ms", *options)
        self.watcher = t.client(self.net, "counters_zmq.py", *(["--curve", *curve] if curve else []), url)
        keys = "?curve_key={}&curve_server_key={}".format(*curve) if curve else ""
        self.recorder = t.record(self.net, f"zmq+sub://127.0.0.1:{PORT}{keys}", "recorded")
        wait_until(lambda: read_lines(self.watcher), 20, "the healthy subscriber receives")
        t.wait_recording(self.recorder)
        self.stalled = [t.client(self.net, "stalled_zmq.py", url, kind, *curve) for kind in kinds]
        wait_until(lambda: all("stalled" in process.out for process in self.stalled), 20, "the subscribers stand still")

    def start_sender(self, count, **plan):
        words = wbtest.plan_words({"count": count, "flows": 64, **plan})
        return self.t.start("sender", self.net.command(wbtest.SENDER, wbtest.SENDING_SIDE, "--rate", RATE, *words))

    def leave(self, seconds=1.2):
        """The four go, and nothing of them is left a second later. More seconds: beside other tests, all of us are late."""
        for process in self.stalled:
            process.end()
        left = time.time()
        wait_until(lambda: in_flight(self.watcher, left) == 0, seconds, "nothing in flight a second after they left")
        print(f"nothing in flight {time.time() - left:.2f} s after they left, known from a message each 0.1 s")

    def check(self, count):
        """Nothing was lost: not in the capture, and not for the healthy subscriber."""
        time.sleep(0.5)
        total = self.t.settle(self.run, count, lossless=True, workers=2)
        expect_equal(total["kernel_dropped"], 0, "dropped by the kernel while subscribers stood still")
        wait_until(self.ended, 30, "both streams end")
        expect_equal(self.received(), (count, 0), "packets at the healthy subscriber, and missing there")
        self.t.audit_recorded(self.net, self.recorder, no_loss=True, sent=count, run=self.run)

    def audit(self, given_up):
        """That much is missing, and explained."""
        said = self.t.audit_recorded(self.net, self.recorder, sent=self.net.received(), run=self.run)
        figures = said["figures"]
        expect_equal((said["verdict"], figures["missing"], figures["given_up"]), ("explained", given_up, given_up), "audit")

    def received(self):
        """Packets that the healthy subscriber has, and those that are missing between them."""
        following, packets, holes = {}, 0, 0
        for line in read_lines(self.watcher):
            stream, first = line["stream"], line["first_packet_seq"]
            # The subscriber may have come after the first heartbeats, which no packet precedes.
            expect(first >= following.get(stream, 1), f"stream {stream} goes back to {first}")
            holes += first - following.get(stream, 1)
            packets += line["packets"]
            following[stream] = first + line["packets"]
        return packets, holes

    def ended(self):
        return sum(bool(line["flags"] & END_OF_STREAM) for line in read_lines(self.watcher)) == 2


def test_memory_is_flat(t):
    """For a minute (20 s in the short form), longer than the publisher waits for an answer to its heartbeats."""
    scene = Scene(t, ["stop", "stop", "idle", "idle"])
    count = RATE * (SECONDS + 5)
    sender = scene.start_sender(count)
    time.sleep(5)  # the queues and socket buffers of the four are full then
    samples = sample_rss(scene.run, SECONDS - 2)
    expect(sender.running(), f"the sender was to be busy still: {sender.err}")
    growth = max(samples) - samples[0]
    print(f"memory {samples[0] >> 10} KiB, growth {growth >> 10} KiB")
    expect(growth <= FLAT_BYTES, f"memory grew by {growth >> 10} KiB from {samples[0] >> 10} KiB")
    expect_equal(sender.wait(60), 0, f"exit code of the sender ({sender.err})")
    scene.leave()
    scene.check(count)


def test_buffers_come_back(t):
    """Without any further packet that would make the publisher notice."""
    come_back(t)


def test_curve(t):
    """The same with encryption."""
    pairs = {name: t.path(name) for name in ("own", "theirs")}
    for path in pairs.values():
        wbtest.run([wbtest.WIREBUS, "keygen", "-o", path])
    # Less than the 15 s after which the publisher gives up on a peer that does not answer.
    come_back(t, 5, query=f"?curve_key={pairs['own']}.key&curve_allow={pairs['theirs']}.pub",
              curve=(f"{pairs['theirs']}.key", f"{pairs['own']}.pub"))


def come_back(t, seconds=1.2, **options):
    scene = Scene(t, ["stop"] * 4, **options)
    count = RATE * 5
    sender = scene.start_sender(count)
    expect_equal(sender.wait(60), 0, f"exit code of the sender ({sender.err})")
    time.sleep(0.5)
    now = time.time()
    wait_until(lambda: in_flight(scene.watcher, now) is not None, 20, "heartbeats go on")
    pinned = in_flight(scene.watcher, now)
    print(f"{pinned} packets in flight to four subscribers that stand still")
    expect(pinned, "the four hold packets")
    scene.leave(seconds)
    scene.check(count)


# So little that one subscriber who stands still for seconds is enough: 16 buffers, and a ring of 2 MiB, for each worker.
SMALL = ("--buffers", "16", "--block-count", "2", "--flush", "5s")
SIZE = 1000
STALL_SECONDS = 60 if FULL else 4


def quiet(watcher):
    """Messages so far, when none came for half a second."""
    before = len(read_lines(watcher))
    time.sleep(0.5)
    return before if len(read_lines(watcher)) == before else 0


def held_up(t, *options):
    """slow=wait: one who stands still holds up everybody; memory is flat; when he has gone, it goes on. Returns the
    scene when everything was sent."""
    scene = Scene(t, ["stop"], *SMALL, *options, query="?slow=wait&sndhwm=8")
    sender = scene.start_sender(RATE * 200, sizes=SIZE)
    wait_until(lambda: "holds up all others" in scene.run.err, 20, "run says that a subscriber holds up all")
    before = wait_until(lambda: quiet(scene.watcher), 20, "the healthy subscriber receives nothing more")
    sent = scene.net.received()
    samples = sample_rss(scene.run, STALL_SECONDS - 2)
    # Twice what ring and buffers hold.
    wait_until(lambda: scene.net.received() > sent + 2 * RATE, 30, "the sender goes on")
    expect(len(read_lines(scene.watcher)) - before <= 1, "the healthy subscriber was not held up")
    expect(max(samples) - samples[0] <= FLAT_BYTES, f"memory grew by {(max(samples) - samples[0]) >> 10} KiB")
    expect(sender.running(), f"the sender was to be busy still: {sender.err}")
    scene.stalled[0].end()
    wait_until(lambda: len(read_lines(scene.watcher)) > before + 5, 5, "it goes on for the others when he has gone")
    sender.end()
    expect_equal(scene.run.err.count("holds up all others"), 1, "times that it was said")
    return scene


def test_wait_block(t):
    """on_full=block: the kernel's ring absorbs, and counts what it cannot hold. What was captured reaches the others."""
    scene = held_up(t)
    scene.run.stop()
    total = ledger.check(scene.run.ledger_path, sent=scene.net.received(), workers=2)
    wait_until(scene.ended, 10, "both streams end")
    print(f"kernel_dropped {total['kernel_dropped']}, handed over {total['handed_over']}")
    expect(total["kernel_dropped"] > 10000, f"hardly anything was held up: {total}")
    expect_equal((total["handed_over"], total["dropped"], total["failed"]), (total["accepted"], 0, 0), "outcomes")
    expect_equal(scene.received(), (total["accepted"], 0), "packets at the healthy subscriber, and missing there")
    scene.audit(0)


def test_wait_drop(t):
    """on_full=drop: what finds no buffer is dropped, counted, and missing at the subscriber: the same number."""
    scene = held_up(t, "--on-full", "drop")
    scene.run.stop()
    total = ledger.check(scene.run.ledger_path, sent=scene.net.received(), workers=2)
    wait_until(scene.ended, 10, "both streams end")
    print(f"dropped {total['dropped']}, handed over {total['handed_over']}")
    expect(total["dropped"] > 10000, f"hardly anything was dropped: {total}")
    expect_equal(total["dropped_no_buffer"] + total["dropped_bus_full"], total["dropped"], "causes")
    expect_equal(scene.received(), (total["handed_over"], total["dropped"]), "packets at the healthy subscriber, and missing there")
    scene.audit(total["dropped"])


if __name__ == "__main__":
    wbtest.main(globals(), seconds=200)
