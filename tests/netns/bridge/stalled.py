#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Four subscribers that stop reading: the capture goes on, memory stays flat, a healthy subscriber gets everything, and the
buffers are back within a second of the four's leaving."""
import json
import time

from prelude import wbtest
from wbtest import FULL, expect, expect_equal, wait_until

PORT = 5558
SECONDS = 60 if FULL else 20
RATE = 20000
FLAT_BYTES = 4 << 20


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
    """A publisher, a healthy subscriber, and four that stand still."""

    def __init__(self, t, kinds):
        self.t = t
        self.net = t.net()
        url = f"tcp://127.0.0.1:{PORT}"
        self.run = t.capture(self.net, f"zmq+pub://127.0.0.1:{PORT}", "--heartbeat", "100ms")
        self.watcher = t.client(self.net, "counters_zmq.py", url)
        self.stalled = [t.client(self.net, "stalled_zmq.py", url, kind) for kind in kinds]
        wait_until(lambda: all("stalled" in process.out for process in self.stalled), 20, "four subscribers stand still")

    def start_sender(self, count):
        words = wbtest.plan_words({"count": count, "flows": 64})
        return self.t.start("sender", self.net.command(wbtest.SENDER, wbtest.SENDING_SIDE, "--rate", RATE, *words))

    def leave(self):
        """The four go, and nothing of them is left a second later."""
        for process in self.stalled:
            process.end()
        left = time.time()
        wait_until(lambda: in_flight(self.watcher, left) == 0, 1.2, "nothing in flight a second after they left")
        print(f"nothing in flight {time.time() - left:.2f} s after they left, known from a message each 0.1 s")

    def check(self, count):
        """Nothing was lost: not in the capture, and not for the healthy subscriber."""
        time.sleep(0.5)
        total = self.t.settle(self.run, count, lossless=True, workers=2)
        expect_equal(total["kernel_dropped"], 0, "dropped by the kernel while subscribers stood still")
        following = {}
        for line in read_lines(self.watcher):
            stream, first = line["stream"], line["first_packet_seq"]
            # The subscriber may have come after the first heartbeats, which no packet precedes.
            expect_equal(first, following.get(stream, 1), f"next packet of stream {stream}")
            following[stream] = first + line["packets"]
        expect_equal(sum(following.values()) - len(following), count, "packets at the healthy subscriber")


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
    scene = Scene(t, ["stop"] * 4)
    count = RATE * 5
    sender = scene.start_sender(count)
    expect_equal(sender.wait(60), 0, f"exit code of the sender ({sender.err})")
    time.sleep(0.5)
    pinned = in_flight(scene.watcher, time.time() - 0.4)
    print(f"{pinned} packets in flight to four subscribers that stand still")
    expect(pinned, "the four hold packets, and heartbeats go on")
    scene.leave()
    scene.check(count)


if __name__ == "__main__":
    wbtest.main(globals(), seconds=200)
