#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CPU nanoseconds per packet of the ring walk, of encoding, and of the whole bridge to null, ZeroMQ and Kafka; and of the
kernel's part, without and with the filter that leaves own traffic out.

    sudo tests/bench/bench_bridge.py [--seconds 4] [--rounds 5] [--rate 0] [--sizes 64,256,1500] [--build build/release]

A veth pair in a network namespace; source and consumer on CPU 1, what is measured on CPU 0. The variants run in turns,
ROUNDS times; the table gives the medians. CPU is that of the measured process with all its threads, divided by the packets
that it read. Lost: what the ring could not hold, in percent of what was sent. Of the variants `unfiltered` and `filtered` the
source is measured, on whose CPU the kernel runs the filter: with a capture that takes its own traffic, and with one that leaves it out.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT = 47190


class Bench:
    def __init__(self, args):
        self.args = args
        self.build = (ROOT / args.build).resolve()
        self.wirebus = str(self.build / "bridge" / "wirebus")
        self.folder = tempfile.mkdtemp(prefix="wirebus-bench-")
        self.netns = f"wbbench-{os.getpid()}"
        self.broker_folder = os.path.join(self.folder, "broker")

    def run(self, *words):
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)

    def inside(self, *words, cpu=None):
        pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
        return ["ip", "netns", "exec", self.netns, *pin, *[str(word) for word in words]]

    def __enter__(self):
        self.run("ip", "netns", "add", self.netns)
        self.run(*self.inside("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1"))
        self.run(*self.inside("ip", "link", "add", "src", "mtu", "9000", "type", "veth", "peer", "name", "dst", "mtu", "9000"))
        for link in ("lo", "src", "dst"):
            self.run(*self.inside("ip", "link", "set", link, "up"))
        if "kafka" in self.args.variants:
            self.run(*self.inside(ROOT / "tests" / "broker" / "broker.sh", "start", self.broker_folder, PORT, cpu=1))
        return self

    def __exit__(self, *_):
        if "kafka" in self.args.variants:
            subprocess.run(self.inside(ROOT / "tests" / "broker" / "broker.sh", "stop", self.broker_folder), check=False)
        subprocess.run(["ip", "netns", "del", self.netns], check=False)
        subprocess.run(["rm", "-rf", self.folder], check=False)

    def command(self, variant, size, turn):
        """The measured program, and the consumer that it needs, if any."""
        ledger = os.path.join(self.folder, "ledger.json")
        run = [self.wirebus, "run", "-i", "dst", "--ledger", ledger, "--log-level", "error", "--to"]
        zmq = f"zmq+push://127.0.0.1:{PORT + 2}"
        if variant in ("walk", "encode"):
            return [str(self.build / "tests" / "bench" / "bench_ring"), "dst", variant], None
        if variant == "null":
            return run + ["null:"], None
        if variant == "null-pbc":
            return run + ["null:", "--encoder", "protobuf-c"], None
        if variant == "zmq":
            return run + [zmq], [sys.executable, __file__, "--drain", zmq.replace("zmq+push", "tcp")]
        if variant == "zmq-curve":
            return run + [f"{zmq}?curve_key={self.key('bus')}.key&curve_allow={self.key('drain')}.pub"], [
                sys.executable, __file__, "--drain", zmq.replace("zmq+push", "tcp"), "--curve", self.folder]
        if variant in ("unfiltered", "filtered"):
            return run + [zmq, "--on-full", "drop", "--own-traffic", "capture" if variant == "unfiltered" else "exclude"], None
        if variant == "kafka":
            return run + [f"kafka://127.0.0.1:{PORT}/bench-{size}-{turn}"], None
        raise SystemExit(f"no variant '{variant}'")

    def key(self, name):
        """A CURVE key pair, NAME.key and NAME.pub. Returns the path without its ending."""
        path = os.path.join(self.folder, name)
        if not os.path.exists(f"{path}.key"):
            subprocess.run([self.wirebus, "keygen", "-o", path], check=True, stderr=subprocess.DEVNULL)
        return path

    def measure(self, variant, size, turn):
        command, consumer = self.command(variant, size, turn)
        drain = subprocess.Popen(self.inside(*consumer, cpu=1)) if consumer else None
        measured = subprocess.Popen(self.inside(*command, cpu=0), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        time.sleep(0.7)
        source = subprocess.Popen(
            self.inside(self.build / "tests" / "bench" / "bench_send", "src", size, self.args.rate, self.args.seconds, cpu=1),
            stdout=subprocess.PIPE, text=True)
        sent = int(source.stdout.read())
        _, status, of_source = os.wait4(source.pid, 0)
        source.returncode = os.waitstatus_to_exitcode(status)
        time.sleep(0.2)
        os.kill(measured.pid, signal.SIGTERM)
        out = measured.stdout.read().decode()
        _, status, usage = os.wait4(measured.pid, 0)
        measured.returncode = os.waitstatus_to_exitcode(status)
        if drain:
            drain.terminate()
            drain.wait()
        if variant in ("walk", "encode"):
            read, lost = (int(word) for word in out.split()[:2])
        else:
            with open(os.path.join(self.folder, "ledger.json"), encoding="utf-8") as file:
                total = json.load(file)["captures"][0]["total"]
            read, lost = total["read"], total["kernel_dropped"]
        if variant in ("unfiltered", "filtered"):
            usage, read = of_source, sent
        cpu_ns = (usage.ru_utime + usage.ru_stime) * 1e9 / max(read, 1)
        return cpu_ns, 100.0 * lost / max(sent, 1), sent / self.args.seconds / 1000


def drain(endpoint, keys):
    """A consumer that throws away: the cheapest that a ZeroMQ peer can be. keys: the folder with those for CURVE, or None."""
    import zmq
    socket = zmq.Context().socket(zmq.PULL)
    if keys:
        read = lambda name: [line for line in pathlib.Path(keys, name).read_text().splitlines() if line and line[0] != "#"][0].encode()
        socket.curve_secretkey, socket.curve_publickey = read("drain.key"), read("drain.pub")
        socket.curve_serverkey = read("bus.pub")
    socket.connect(endpoint)
    while True:
        socket.recv(copy=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, default=0, help="packets a second; 0: the source's maximum")
    parser.add_argument("--sizes", default="64,256,1500")
    parser.add_argument("--variants", default="walk,encode,null,null-pbc,zmq,kafka",
                        help="also: zmq-curve, unfiltered, filtered")
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--drain", help=argparse.SUPPRESS)
    parser.add_argument("--curve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.drain:
        drain(args.drain, args.curve)
    args.variants = args.variants.split(",")
    sizes = [int(size) for size in args.sizes.split(",")]
    results = {}
    with Bench(args) as bench:
        for turn in range(args.rounds):
            for size in sizes:
                for variant in args.variants:
                    results.setdefault((variant, size), []).append(bench.measure(variant, size, turn))
    print("CPU ns per packet, median of", args.rounds, "rounds (least-greatest); lost %; source kpps")
    for variant in args.variants:
        for size in sizes:
            runs = results[variant, size]
            cpu = [run[0] for run in runs]
            print(f"{variant:10} {size:5}  {statistics.median(cpu):8.1f} ({min(cpu):.1f}-{max(cpu):.1f})"
                  f"  {statistics.median(run[1] for run in runs):6.2f} %  {statistics.median(run[2] for run in runs):7.0f}")


if __name__ == "__main__":
    main()
