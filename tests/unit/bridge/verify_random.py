#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`wirebus verify` and the independent checker on random messages: sessions, workers and streams of several nodes, with
losses, duplicates, restarts, kills, spools and packets as single messages. Whatever came, every figure must agree.

    verify_random.py WIREBUS [ROUNDS [SEED]]
"""
import json
import pathlib
import random
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))

import checker  # noqa: E402
import messages as wire  # noqa: E402

MS = 10**6
START = 1_800_000_000_000  # Unix time, ms


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes((number,))


def put(number, value):
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value)


class Worker:
    """Numbers packets and messages as a capture does, and keeps a ledger whose sums hold."""

    def __init__(self, rng, calm, session, node, worker, streams, records):
        self.rng, self.calm = rng, calm
        self.session, self.node, self.number, self.records = session, node, worker, records
        self.c = dict.fromkeys(wire.COUNTERS.values(), 0)
        self.streams = {number: [1, 1] for number in streams}  # next message, next packet
        self.out = []

    def move(self, source, target, most):
        count = self.rng.randint(0, min(most, self.c[source]))
        self.c[source] -= count
        self.c[target] += count
        return count

    def settle(self):
        rng = self.rng
        self.move("open", "in_flight", 20)
        if self.calm:
            self.move("in_flight", "delivered", 20)
            return
        self.move("in_flight", rng.choice(("delivered", "delivered", "handed_over", "spooled", "failed", "unknown")), 20)
        self.move("spooled", "in_flight", 10)
        self.c["dropped_bus_full"] += self.move("open", "dropped", 6)
        if rng.random() < 0.03:
            lost = rng.randint(1, 9)
            self.c["kernel_seen"] += lost
            self.c["kernel_dropped"] += lost

    def message(self, stream, packets, flags=0, counters=True, watermark=0, record=False):
        at = self.streams[stream]
        facts = put(1, self.session) + put(2, self.number) + put(3, stream) + put(4, at[0]) + put(5, at[1])
        facts += put(6, self.node)
        at[0] += 1
        at[1] += packets
        if record:
            return wire.RECORD, facts + b"\x39" + bytes(8) + put(12, b"x")
        tail = b"".join(put(n, self.c[name]) for n, name in wire.COUNTERS.items() if self.c[name])
        tail = put(18, tail) if counters else b""
        if self.records:
            flags |= wire.RECORD_MODE
        tail += put(19, flags) + (b"\xa1\x01" + watermark.to_bytes(8, "little") if watermark else b"")
        return wire.BATCH, facts + put(11, put(4, b"x")) * packets + tail

    def step(self):
        stream = self.rng.choice(list(self.streams))
        packets = self.rng.randint(0, 12)
        for name in ("kernel_seen", "read", "accepted", "open"):
            self.c[name] += packets
        if self.records:
            self.out += [self.message(stream, 1, record=True) for _ in range(packets)]
            if packets == 0:
                self.out.append(self.message(stream, 0, wire.HEARTBEAT))
        elif self.rng.random() < 0.1 and not self.calm:
            self.streams[stream][1] += packets  # given up, without a message
        else:
            self.out.append(self.message(stream, packets, 0 if packets else wire.HEARTBEAT, self.rng.random() < 0.95))
        self.settle()

    def end(self, killed_ms):
        """Orderly, by the next session, or not at all."""
        how = "end" if self.calm else self.rng.choice(("end",) * 5 + ("killed",) * 5 + ("nothing",))
        if how == "end":
            for _ in range(40):
                self.settle()
            if self.rng.random() < 0.03:
                self.c["kernel_seen"] += 1  # a packet that nobody knows of
        for stream in self.streams if how != "nothing" else ():
            if how == "killed":
                flags, watermark = wire.END_OF_STREAM | wire.PREVIOUS_SESSION, killed_ms * MS
                ends = [self.message(stream, 0, flags, self.rng.random() < 0.9, watermark)]
                ends *= self.rng.choice((1, 1, 2))  # the next start may be killed, too
            else:
                ends = [self.message(stream, 0, wire.END_OF_STREAM)]
            self.out += ends


def uuid(rng, ms):
    if rng.random() < 0.1:
        return bytes((9,)) + rng.randbytes(15)
    return ms.to_bytes(6, "big") + b"\x70" + rng.randbytes(1) + b"\x80" + rng.randbytes(7)


def scenario(rng):
    out, calm = [], rng.random() < 0.25
    for node in (b"", b"a", b"b", b"a-longer-name" * 8)[:rng.randint(1, 4)]:
        at = START
        for _ in range(rng.randint(1, 3)):
            session, records = uuid(rng, at), rng.random() < 0.25
            at += rng.randint(0, 3000)
            for number in range(1, rng.randint(1, 2) + 1):
                streams = [10 * number + i for i in range(rng.randint(1, 3))]
                worker = Worker(rng, calm, session, node, number, streams, records)
                if not calm:
                    worker.c["recovered"] = worker.c["in_flight"] = rng.choice((0, 0, rng.randint(1, 40)))
                for _ in range(rng.randint(0, 25)):
                    worker.step()
                worker.end(at)
                out += worker.out
            at += rng.randint(-500, 3000)
    return disturb(rng, out, rng.choice((0, 0, 0.05, 0.4)) if not calm else 0)


def disturb(rng, out, loss):
    twice, swap = (rng.choice((0, 0, 0.05, 0.4)) for _ in range(2))
    out = [message for message in out if rng.random() >= loss]
    out = [message for message in out for _ in range(2 if rng.random() < twice else 1)]
    if loss and rng.random() < 0.5:
        out = out[rng.randint(0, len(out) // 4):]  # who came late
    for i in range(len(out)):
        if rng.random() < swap:
            other = min(len(out) - 1, i + rng.randint(1, 5))
            out[i], out[other] = out[other], out[i]
    if rng.random() < 0.2:
        out.insert(rng.randint(0, len(out)), (rng.choice((wire.BATCH, wire.RECORD)), b"\x0f" + rng.randbytes(5)))
    if rng.random() < 0.07 and out:
        kind, message = rng.choice(out)  # the numbers of another message
        out.append((kind, message + put(4, rng.randint(1, 60))))
    return out


def compare(wirebus, folder, messages):
    path = pathlib.Path(folder, "random.wbs")
    with open(path, "wb") as file:
        file.write(wire.HEADER)
        for kind, message in messages:
            file.write(wire.entry(kind, message))
    url, verdicts = f"file://{path}", []
    own = checker.check(url)
    for options in ([], ["--no-loss"]):
        done = subprocess.run([wirebus, "verify", "--from", url, "-o", "json", *options], capture_output=True, text=True,
                              check=False)
        wanted = int(bool(own["doubts"] or options and own["losses"]))
        assert done.returncode == wanted, f"exit code {done.returncode}, wanted {wanted}: {done.stderr[-500:]}"
        checker.agree(json.loads(done.stdout), own)
        verdicts.append(done.returncode)
    return own


def main():
    wirebus, rounds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 200
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    seen = {}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + rounds):
            rng = random.Random(seed)
            try:
                own = compare(wirebus, folder, scenario(rng))
            except AssertionError as why:
                sys.exit(f"seed {seed}: {why}")
            for name in [own["verdict"], *own["doubts"], *own["losses"], *(n for n, v in own["figures"].items() if v)]:
                seen[name] = seen.get(name, 0) + 1
    missing = {"complete", "explained", "unproven", "open_tail", "pending", "unexplained", "contradiction", "kernel", "bus",
               "not_covered", "unknown_tail", "given_up", "given_up_later", "lost_in_crash", "duplicates", "out_of_order",
               "unread", "repeated"} - set(seen) if rounds >= 200 else set()
    if missing:
        sys.exit(f"these never came up: {', '.join(sorted(missing))}; it was {seen}")
    print(f"{rounds} rounds agree: {seen}")


if __name__ == "__main__":
    main()
