#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU nanoseconds per packet of libtpacket and of gopacket's ring reader, on the same traffic.

    sudo tests/bench/bench_gopacket.py [--seconds 3] [--rounds 5] [--rates 200000,0] [--sizes 64,1500] [--fills 8]
                                       [--how together,stored] [--apis 3:read,3:lease,2:read,2:lease] [--build build/release]

A veth pair in a network namespace; the source on CPU 1, the readers on CPU 0. Each reader takes every packet, adds up its
first byte and both lengths, and nothing else; rings and timeouts are the same. Gopacket's always is what it does best, the
read in place (ZeroCopyReadPacketData), of the same ring version. Ours: read (in place, one packet a call), lease (a batch).

    together  both on the same packets at the same time, each with a ring of its own. Rate 0: what the source can send.
    stored    the same, but both are stopped while the source fills the rings, and then read what is there: hardly any
              waiting, so this is the CPU time of reading alone, nearly all of it in user mode.
    turns     as together, but one after the other, alone.

A reader's CPU time is what getrusage(2) says between its opening and its last packet, user and system, divided by the
packets that it read. Of that "user" is the part in user mode, which most kernels estimate from the timer tick: it is coarse
for a reader that hardly runs; the sum is exact. The last columns are ours divided by gopacket's, which should be at most one
half in V3, the best that gopacket has. In V2 the kernel wakes a reader for each frame, and that takes most of the time of
both. What each read and lost has to add up to what was sent.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK_BYTES, BLOCKS, FRAME_BYTES = 1 << 20, 64, 4096
RING = ["--block-bytes", BLOCK_BYTES, "--block-count", BLOCKS, "--frame-bytes", FRAME_BYTES, "--retire-ms", 10,
        "--poll-ms", 100]
GOPACKET = "gopacket"
AT_MOST = 0.5
BEST = 3  # the version in which gopacket takes least, which is the one to be compared with
FILL = 0.5  # of the ring; blocks of small frames are handed over before they are full
FILL_RATE = 400000
V3_HEADER_BYTES = 96  # in front of each frame in a block, at most


class Bench:
    def __init__(self, args):
        self.args = args
        self.build = (ROOT / args.build).resolve()
        self.netns = f"wbgopacket-{os.getpid()}"

    def inside(self, *words, cpu=None):
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        return ["ip", "netns", "exec", self.netns, *pin, *[str(word) for word in words]]

    def run(self, *words):
        subprocess.run(self.inside(*words), check=True, stdout=subprocess.DEVNULL)

    def __enter__(self):
        subprocess.run(["ip", "netns", "add", self.netns], check=True)
        self.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
        self.run("ip", "link", "add", "src", "mtu", "9000", "type", "veth", "peer", "name", "dst", "mtu", "9000")
        for link in ("lo", "src", "dst"):
            self.run("ip", "link", "set", link, "up")
        return self

    def __exit__(self, *_):
        subprocess.run(["ip", "netns", "del", self.netns], check=False)

    def program(self, name):
        return self.build / "tests" / "netns" / "gopacket" / name

    def start(self, reader, version):
        program, api = ("gopacket_reader", "read") if reader == GOPACKET else ("tpacket_reader", reader)
        process = subprocess.Popen(
            self.inside(self.program(program), "--interface", "dst", "--version", version, "--api", api, *RING, cpu=0),
            stdout=subprocess.PIPE, text=True)
        if process.stdout.readline() != "ready\n":
            raise SystemExit(f"{reader} does not start")
        return process

    def send(self, size, rate, seconds):
        return int(subprocess.run(
            self.inside(self.build / "tests" / "bench" / "bench_send", "src", size, rate, seconds, cpu=1),
            check=True, capture_output=True, text=True).stdout)

    def fill(self, processes, version, size):
        """Send what the rings hold, while nobody reads; several times."""
        room = FILL * BLOCK_BYTES * BLOCKS / (size + V3_HEADER_BYTES if version == 3 else FRAME_BYTES)
        sent = 0
        for _ in range(self.args.fills):
            for process in processes:
                process.send_signal(signal.SIGSTOP)
            sent += self.send(size, FILL_RATE, room / FILL_RATE)
            for process in processes:
                process.send_signal(signal.SIGCONT)
            time.sleep(0.3)
        return sent

    def measure(self, readers, version, size, rate):
        """CPU ns per packet in all and in user mode, and lost packets in percent, of each reader; kpps of the source."""
        processes = {reader: self.start(reader, version) for reader in readers}
        time.sleep(0.2)
        if rate is None:
            sent = self.fill(processes.values(), version, size)
        else:
            sent = self.send(size, rate, self.args.seconds)
        time.sleep(0.3)
        result = {}
        for reader, process in processes.items():
            process.terminate()
            summary = json.loads(process.communicate(timeout=30)[0].splitlines()[-1])
            if summary["packets"] + summary["dropped"] != sent:
                raise SystemExit(f"{reader}: {summary}, but {sent} frames were sent")
            if summary["bytes"] != summary["packets"] * size:
                raise SystemExit(f"{reader}: {summary}, but the frames have {size} bytes")
            packets = max(summary["packets"], 1)
            result[reader] = (summary["cpu_ns"] / packets, summary["user_ns"] / packets,
                              100.0 * summary["dropped"] / max(sent, 1))
        return result, sent / self.args.seconds / 1000


def plan(args):
    """(how, rate, size, version, api) of every row."""
    for how in args.how.split(","):
        for rate in [None] if how == "stored" else map(int, args.rates.split(",")):
            for api in args.apis.split(","):
                version, api = api.split(":")
                for size in map(int, args.sizes.split(",")):
                    yield how, rate, size, int(version), api


def collect(bench, args):
    """Rows of (cpu, user, lost, kpps) by (row of the plan, reader)."""
    runs = {}
    for turn in range(args.rounds):
        for row in plan(args):
            how, rate, size, version, api = row
            pair = (GOPACKET, api) if turn % 2 else (api, GOPACKET)
            for readers in [(one,) for one in pair] if how == "turns" else [pair]:
                result, kpps = bench.measure(readers, version, size, rate)
                for reader, values in result.items():
                    runs.setdefault((row, reader == GOPACKET), []).append((*values, kpps))
    return runs


def medians(runs):
    return [statistics.median(run[column] for run in runs) for column in range(4)]


def spread(runs):
    cpu = [run[0] for run in runs]
    return f"{statistics.median(cpu):6.1f} ({min(cpu):.1f}-{max(cpu):.1f})".rjust(21)


def show(runs):
    """Print the table; returns the rows of the best version in which ours takes more than half."""
    print("CPU ns per packet: user + system, median (least-greatest); user alone, median; ratio: ours / gopacket's")
    print(f"{'':8} {'rate':>7} {'V':>1} {'ours':5} {'bytes':>5} {'ours':>21} {'user':>6} {'lost %':>6} {'gopacket':>21} "
          f"{'user':>6} {'lost %':>6} {'kpps':>5} {'ratio':>6} {'user':>6}")
    more = []
    for row, is_gopacket in runs:
        if is_gopacket:
            continue
        how, rate, size, version, api = row
        ours, theirs = medians(runs[row, False]), medians(runs[row, True])
        ratio, user_ratio = ours[0] / theirs[0], ours[1] / theirs[1] if theirs[1] else 0
        name = "-" if rate is None else rate or "maximum"
        kpps = "-" if rate is None else f"{ours[3]:.0f}"
        print(f"{how:8} {name:>7} {version} {api:5} {size:5} {spread(runs[row, False])} {ours[1]:6.1f} {ours[2]:6.2f} "
              f"{spread(runs[row, True])} {theirs[1]:6.1f} {theirs[2]:6.2f} {kpps:>5} {ratio:6.3f} {user_ratio:6.3f}")
        if ratio > AT_MOST and version == BEST:
            more.append(f"{how} {name} V{version} {api} {size}: {ratio:.3f}")
    return more


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rates", default="200000,0", help="packets a second; 0: the source's maximum")
    parser.add_argument("--sizes", default="64,1500")
    parser.add_argument("--fills", type=int, default=8, help="stored: how often the rings are filled")
    parser.add_argument("--how", default="together,stored")
    parser.add_argument("--apis", default="3:read,3:lease,2:read,2:lease", help="of ours, with the ring's version")
    parser.add_argument("--build", default="build/release")
    args = parser.parse_args()
    with Bench(args) as bench:
        runs = collect(bench, args)
    version = subprocess.run(["go", "version", bench.program("gopacket_reader")], capture_output=True, text=True, check=False)
    print(f"gopacket built with {version.stdout.split()[-1] if version.stdout else 'an unknown Go'}; {args.rounds} rounds; load average at the end: {os.getloadavg()[0]:.1f}")
    more = show(runs)
    print(f"V{BEST}: ours takes at most {AT_MOST} of gopacket's CPU time per packet: " + (f"NO: {'; '.join(more)}" if more else "yes"))
    sys.exit(1 if more else 0)


if __name__ == "__main__":
    main()
