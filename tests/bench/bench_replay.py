#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How exactly `wirebus replay` keeps the time, and how fast it is without one.

    sudo tests/bench/bench_replay.py [--seconds 60] [--rate 10000] [--rounds 5] [--sizes 64,512,1514] [--build build/release]
                                     [--only timing|speed] [--realtime]

A veth pair in a network namespace of its own; sender on CPU 0, everything else on CPU 1.

timing: a capture file of RATE packets a second, at gaps that vary by half, is replayed in its time, and again at a fixed
rate; the other end is captured. The error is the difference between the kernel's receive timestamp and the time at which
the packet was to come, both counted from the packet that came earliest by that measure; drift is the difference between
the medians of the last and of the first second. replay's own figures are of the moment at which the kernel is told.
--realtime gives replay, and the floor, a real-time priority (chrt -f 50), for a machine that is not idle.

speed: as fast as possible, from memory (a loop over 100,000 packets that fit into the buffer) and from files that are read
meanwhile, on the other CPU, beside the floor: the sending ring filled with 256 frames over and over (bench_tx, "ring V3
put"). In turns, ROUNDS times; the table gives medians, and ratios to the floor of the same round.
"""
import argparse
import json
import os
import pathlib
import random
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
HEADER = bytes.fromhex("020000000009" "020000000001" "88b5")


def block(kind, body):
    length = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + length + body + length


def write_capture(path, count, gaps, size):
    """A pcapng file; returns the times, in nanoseconds. Each frame has its number behind the link header."""
    now, times = 1_700_000_000 * 10**9, []
    with open(path, "wb") as file:
        file.write(block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)))
        file.write(block(1, struct.pack("<HHI", 1, 0, 0) + struct.pack("<HHB3xI", 9, 1, 9, 0)))
        for number in range(count):
            frame = (HEADER + struct.pack(">I", number)).ljust(size, b"\x5a")
            head = struct.pack("<IIIII", 0, now >> 32, now & 0xFFFFFFFF, size, size)
            file.write(block(6, head + frame + bytes(-size % 4)))
            times.append(now)
            now += gaps()
    return times


def percentile(ordered, part):
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


class Bench:
    def __init__(self, args):
        self.args = args
        self.build = (ROOT / args.build).resolve()
        self.wirebus = str(self.build / "bridge" / "wirebus")
        self.folder = tempfile.mkdtemp(prefix="wirebus-bench-")
        self.netns = f"wbbench-{os.getpid()}"

    def run(self, *words):
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)

    def inside(self, *words, cpu=None):
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        return ["ip", "netns", "exec", self.netns, *pin, *[str(word) for word in words]]

    def priority(self):
        return ["chrt", "-f", "50"] if self.args.realtime else []

    def __enter__(self):
        self.run("ip", "netns", "add", self.netns)
        self.run(*self.inside("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"))
        self.run(*self.inside("ip", "link", "add", "src", "type", "veth", "peer", "name", "dst"))
        for link in ("src", "dst"):
            self.run(*self.inside("ip", "link", "set", link, "up"))
        time.sleep(0.5)
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.netns], check=False)
        subprocess.run(["rm", "-rf", self.folder], check=False)

    def replay(self, source, *arguments, cpu):
        summary = os.path.join(self.folder, "summary.json")
        process = subprocess.Popen(self.inside(*self.priority(), self.wirebus, "replay", "--from", source, "--to", "iface://src", "--summary",
                                               summary, *arguments, cpu=cpu), stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"replay {source} {' '.join(arguments)}: exit code {process.returncode}")
        with open(summary, encoding="utf-8") as file:
            said = json.load(file)
        said["cpu_ns"] = (usage.ru_utime + usage.ru_stime) * 1e9 / max(said["sent"], 1)
        return said

    def captured(self, turn, replay):
        """Capture the other end while replay() runs; returns its result, and the frames' numbers and times."""
        into = os.path.join(self.folder, f"captured-{turn}")
        os.mkdir(into)
        run = subprocess.Popen(self.inside(self.wirebus, "run", "-i", "dst", "--to", f"file://{into}", "--log-level", "error",
                                           cpu=1), stderr=subprocess.DEVNULL)
        time.sleep(1)
        said = replay()
        time.sleep(0.3)
        run.send_signal(signal.SIGTERM)
        run.wait()
        path = os.path.join(self.folder, "captured.pcapng")
        subprocess.run([self.wirebus, "cat", "--from", f"file://{into}", "-o", "pcapng", "-w", path], check=True,
                       stderr=subprocess.DEVNULL)
        return said, list(read_capture(path))

    def timing(self, name, turn, wanted, source, *arguments):
        """wanted: when each packet is to come, by its number."""
        said, arrived = self.captured(turn, lambda: self.replay(source, *arguments, cpu="0,1"))
        if len(arrived) != len(wanted) or said["sent"] != len(wanted):
            raise SystemExit(f"{name}: {len(wanted)} packets, of which {said['sent']} were sent and {len(arrived)} came")
        offsets = [at - wanted[number] for number, at in arrived]
        base = min(offsets)
        errors = [offset - base for offset in offsets]
        ordered, second = sorted(errors), int(self.args.rate)
        drift = statistics.median(errors[-second:]) - statistics.median(errors[:second])
        own = said["timing"]
        print(f"{name:9} {len(wanted):8} packets  error us: median {percentile(ordered, 0.5) / 1e3:.1f}"
              f"  p90 {percentile(ordered, 0.9) / 1e3:.1f}  p99 {percentile(ordered, 0.99) / 1e3:.1f}"
              f"  p99.9 {percentile(ordered, 0.999) / 1e3:.1f}  max {ordered[-1] / 1e3:.1f}  drift {drift / 1e3:+.1f}"
              f"  | told the kernel late by: median {own['median_ns'] / 1e3:.1f}  p99 {own['p99_ns'] / 1e3:.1f}"
              f"  max {own['max_ns'] / 1e3:.1f}", flush=True)
        return percentile(ordered, 0.5) / 1e3, percentile(ordered, 0.99) / 1e3, abs(drift) / 1e3

    def all_timing(self):
        count, gap = int(self.args.rate * self.args.seconds), 1e9 / self.args.rate
        path = os.path.join(self.folder, "timed.pcapng")
        generator = random.Random(1)
        times = write_capture(path, count, lambda: int(generator.uniform(0.5 * gap, 1.5 * gap)), 200)
        fixed = [int(number * gap) for number in range(count)]
        best = None
        print(f"timing at {self.args.rate} packets a second for {self.args.seconds} s; "
              f"goals: median below 20 us, p99 below 200 us, no drift")
        for turn in range(self.args.rounds):
            figures = self.timing("original", f"o{turn}", times, path)
            self.timing("fixed", f"f{turn}", fixed, path, "-p", str(self.args.rate))
            best = min(best or figures, figures)
        print(f"best round, original timing: median {best[0]:.1f} us, p99 {best[1]:.1f} us, drift {best[2]:.1f} us", flush=True)

    def floor(self, size):
        done = subprocess.run(self.inside(*self.priority(), self.build / "tests" / "bench" / "bench_tx", "put", size), check=True,
                              capture_output=True, text=True)
        return tuple(float(word) for word in done.stdout.split())

    def all_speed(self):
        print("speed: kpps, and CPU ns per packet of all threads: median (least-greatest); ratio to the floor of the same"
              " round: median (least-greatest)\ngoal: kpps from memory within 10 % of the floor, 0.90 or more; when the"
              " machine is busy only CPU tells")
        for size in (int(size) for size in self.args.sizes.split(",")):
            path = os.path.join(self.folder, f"fast-{size}.pcapng")
            count = 100_000
            write_capture(path, count, lambda: 10_000, size)
            figures = {"floor": [], "memory": [], "files": []}
            for _ in range(self.args.rounds):
                figures["floor"].append(self.floor(size))
                for name, arguments, cpu in (("memory", ["--preload", "-l", "0", "-L", "2000000", "--buffer", "256MiB"], 0),
                                             ("files", ["-l", "0", "-L", "1000000", "--buffer", "4MiB"], "0,1")):
                    said = self.replay(path, "-t", *arguments, cpu=cpu)
                    if (said["read"] == count) != (name == "memory"):
                        raise SystemExit(f"{name}: {said['read']} packets were read of a file of {count}")
                    figures[name].append((said["sent"] * 1e6 / said["duration_ns"], said["cpu_ns"]))
            for name, pairs in figures.items():
                columns = [f"{name:7} {size:5}"]
                for which, unit in enumerate(("kpps", "ns")):
                    values = [pair[which] for pair in pairs]
                    ratios = [value / floor[which] for value, floor in zip(values, figures["floor"])]
                    columns.append(f"{statistics.median(values):7.0f} ({min(values):.0f}-{max(values):.0f}) {unit}"
                                   f"  {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})")
                print("   ".join(columns), flush=True)


def read_capture(path):
    """Number and time of each frame of ours."""
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        kind, length = struct.unpack_from("<II", data, at)
        if kind == 6:
            _, high, low, captured = struct.unpack_from("<IIII", data, at + 8)
            frame = data[at + 28:at + 28 + captured]
            if frame.startswith(HEADER):
                yield struct.unpack_from(">I", frame, len(HEADER))[0], high << 32 | low
        at += length


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rate", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", default="64,512,1514")
    parser.add_argument("--only", choices=["timing", "speed"])
    parser.add_argument("--realtime", action="store_true")
    parser.add_argument("--build", default="build/release")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that it cleans up
    print(f"load average at the start: {os.getloadavg()[0]:.2f}", flush=True)
    with Bench(args) as bench:
        if args.only != "timing":
            bench.all_speed()
        if args.only != "speed":
            bench.all_timing()


if __name__ == "__main__":
    main()
