#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The example programs of libtpacket on real traffic, as their users run them.

Environment: WIREBUS_EXAMPLES the folder with the three programs (default: that of the build).
"""
import os
import pathlib
import re
import signal
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))

import wbtest  # noqa: E402
from wbtest import CAPTURED_SIDE, SENDING_SIDE, expect, expect_equal, wait_until  # noqa: E402

EXAMPLES = pathlib.Path(os.environ.get("WIREBUS_EXAMPLES", wbtest.BUILD / "capture" / "examples")).resolve()
HEADER = "ffffffffffff02000000000188b5"
NO_FAILURE = {"too large": 0, "malformed": 0, "interface down": 0, "no buffer": 0, "other": 0}
LINE = re.compile(r"(\d+)\.(\d{9}) (\S+) captured (\d+) of (\d+)(?: vlan (0x\w{4}):(0x\w{4}))?(?: ([0-9a-f]+))?")


def start(t, net, program, *arguments):
    return t.start(program, net.command(EXAMPLES / program, *arguments))


def listening(t, net, program, *arguments, says):
    """Start a program that captures, and wait until it does."""
    process = start(t, net, program, *arguments)

    def ready():
        expect(process.running(), f"{program} ended with {process.popen.returncode}: {process.err}")
        return says in process.err
    wait_until(ready, 10, f"{program} says '{says}'")
    return process


def sniff(t, net, interface=CAPTURED_SIDE):
    return listening(t, net, "sniffer", interface, says=f"listening on {interface}")


def sniffed(sniffer, number, signal_number=signal.SIGINT):
    """End a sniffer after it has printed so many lines; returns these, as groups."""
    wait_lines(sniffer, number)
    sniffer.stop(signal_number, code=128 + signal_number)  # as ip(8) tells it
    return packets_of(sniffer)


def count(t, net, *arguments):
    return listening(t, net, "fanout_counter", *arguments, CAPTURED_SIDE, says=f"members on {CAPTURED_SIDE}")


def transmit(t, net, *arguments, code=0, interface=SENDING_SIDE):
    """Run the transmitter to its end; returns what it reports: sent, frames, bytes, seconds, failures."""
    process = start(t, net, "transmitter", *arguments, interface)
    expect_equal(process.wait(60), code, f"exit code of transmitter ({process.err})")
    return reported(process)


def reported(process):
    found = re.fullmatch(r"sent (\d+) of (\d+) frames, (\d+) bytes, in (\d+\.\d{3}) s\nfailed: (.*)\n", process.out)
    expect(found, f"report of transmitter: {process.out!r} {process.err!r}")
    failures = {name: int(number) for name, number in re.findall(r"([a-z ]+?) (\d+) ?", found[5])}
    return *map(int, found.groups()[:3]), float(found[4]), failures


def packets_of(process):
    """The lines of the sniffer, as groups."""
    lines = process.out.splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    expect(all(found), f"a line of sniffer that is none: {lines}")
    return found


def wait_lines(process, number):
    wait_until(lambda: process.out.count("\n") >= number, 10, f"{process.name} prints {number} lines: {process.out!r}")


def first_bytes(number, length):
    """What the sniffer shows of a frame of the transmitter."""
    rest = max(min(24, length) - 18, 0)
    return (HEADER + f"{number:08x}")[:48] + f"{number % 256:02x}" * rest


def expect_same(got, wanted, what):
    """As expect_equal() for lists, of which it tells the first difference only."""
    for i, pair in enumerate(zip(got, wanted)):
        expect_equal(pair[0], pair[1], f"{what}: number {i}")
    expect_equal(len(got), len(wanted), f"{what}: how many")


def totals(process, members):
    """The last lines of the fanout counter: what it says of each member, and of all."""
    each = re.findall(r"^member (\d+): seen (\d+) packets (\d+) dropped (\d+)$", process.out, re.M)
    expect_equal([int(member[0]) for member in each], list(range(members)), "members")
    together = re.search(r"\ntogether: packets (\d+) bytes (\d+) dropped (\d+)\n\Z", process.out)
    expect(together, f"totals of fanout_counter: {process.out!r}")
    return [tuple(map(int, member[1:])) for member in each], tuple(map(int, together.groups()))


def test_transmitter_to_sniffer(t):
    """Every frame that the transmitter says it sent is printed by the sniffer at the other end: in order, bit for bit,
    with a time between the beginning and the end."""
    net = t.net()
    began = time.time_ns()
    for length in (18, 60, 1514):
        sniffer = sniff(t, net)
        sent = transmit(t, net, "-n", 50, "-s", length)
        expect_equal(sent[:3], (50, 50, 50 * length), "frames and bytes that were sent")
        expect_equal(sent[4], NO_FAILURE, "failures")
        packets = sniffed(sniffer, 50)
        times = [int(p[1]) * 10**9 + int(p[2]) for p in packets]
        expect(began <= times[0] and times == sorted(times) and times[-1] <= time.time_ns(), f"times: {times}")
        expect(any(p[2][-3:] != "000" for p in packets), "times have nanoseconds")
        expect_same([p.groups()[2:] for p in packets],
                    [("broadcast", str(length), str(length), None, None, first_bytes(i, length)) for i in range(50)],
                    f"frames of {length} bytes")


def test_transmitter_rate(t):
    """300 frames at 1000 a second take 0.299 s: never less, and not much more."""
    net = t.net()
    sniffer = sniff(t, net)
    seconds = transmit(t, net, "-n", 300, "-r", 1000)[3]
    expect(0.299 <= seconds < 3, f"{seconds} s for 300 frames at 1000 a second")
    times = [int(p[1]) * 10**9 + int(p[2]) for p in sniffed(sniffer, 300)]
    expect(times[-1] - times[0] >= 0.298e9, f"from the first to the last {times[-1] - times[0]} ns")


def test_transmitter_errors(t):
    """Frames that cannot be sent have their error, and the exit code says so; so does an interface that is down."""
    net = t.net()
    process = start(t, net, "transmitter", "-n", 5, "-s", 1515, SENDING_SIDE)
    expect_equal(process.wait(20), 1, "exit code with frames that are too large")
    expect_equal(process.err, "transmitter: frame 0 of 1515 bytes: Message too long\n", "message")
    expect_equal(reported(process)[0::4], (0, {**NO_FAILURE, "too large": 5}), "sent and failures")
    net.run("ip", "link", "set", SENDING_SIDE, "down")
    process = start(t, net, "transmitter", "-n", 7, SENDING_SIDE)
    expect_equal(process.wait(20), 1, "exit code with the interface down")
    expect_equal(process.err, f"transmitter: {SENDING_SIDE}: Network is down\n"
                 "transmitter: frame 0 of 60 bytes: Network is down\n", "messages")
    expect_equal(reported(process)[0::4], (0, {**NO_FAILURE, "interface down": 7}), "sent and failures")


def test_transmitter_is_stopped(t):
    """By a signal it ends at once; what it says to have sent has arrived, no more and no less."""
    net = t.net()
    sniffer = sniff(t, net)
    process = start(t, net, "transmitter", "-n", 1000000, "-r", 100, SENDING_SIDE)
    wait_lines(sniffer, 20)
    began = time.monotonic()
    process.stop(signal.SIGTERM, 10, code=1)
    expect(time.monotonic() - began < 5, "ends at once")
    sent, frames, _, _, failures = reported(process)
    expect_equal((frames, failures), (1000000, NO_FAILURE), "plan and failures")
    expect_same([p[8] for p in sniffed(sniffer, sent)], [first_bytes(i, 60) for i in range(sent)], "what arrived")


def test_sniffer_facts(t):
    """Direction and VLAN tag; an interface that goes down and comes back."""
    net = t.net()
    for number in (signal.SIGINT, signal.SIGTERM):
        sniffer, other = sniff(t, net), sniff(t, net, SENDING_SIDE)
        # The sender leaves out the queueing discipline, and with it what shows frames on their way out.
        t.send(net, {"count": 1, "sizes": 100, "vlan": "0x88a8:0x6064"})
        wait_lines(sniffer, 1)
        net.run("ip", "link", "set", CAPTURED_SIDE, "down")
        wait_until(lambda s=sniffer: f"{CAPTURED_SIDE} is down" in s.err, 10, "sniffer says that it is down")
        net.run("ip", "link", "set", CAPTURED_SIDE, "up")
        wait_until(lambda: "state UP" in net.run("ip", "link", "show", SENDING_SIDE), 10, "the interface is up")
        transmit(t, net, "-n", 1)
        expect_equal([p.groups()[2:] for p in sniffed(other, 1, number)], [("out", "60", "60", None, None, first_bytes(0, 60))],
                     "frame at the sending end")
        packets = sniffed(sniffer, 2, number)
        expect_equal([p.groups()[3:7] for p in packets], [("100", "100", "0x88a8", "0x6064"), ("60", "60", None, None)],
                     "lengths and VLAN tags")


def test_sniffer_interface_gone(t):
    """The interface is deleted: an error, not silence."""
    net = t.net()
    sniffer = sniff(t, net)
    net.run("ip", "link", "del", CAPTURED_SIDE)
    expect_equal(sniffer.wait(20), 1, "exit code of sniffer")
    expect(sniffer.err.endswith(f"sniffer: {CAPTURED_SIDE}: No such device\n"), f"message: {sniffer.err}")


def test_fanout_counter(t):
    """What the members count together is what was sent, each of them gets its share, and the lines of the seconds add
    up to no more than that."""
    net = t.net()
    counter = count(t, net, "-n", 3)
    time.sleep(0.3)  # longer than a single wait of its readers
    t.send(net, {"count": 30000, "flows": 64, "sizes": 100}, rate=20000)
    time.sleep(1.2)
    counter.stop(signal.SIGINT)
    each, together = totals(counter, 3)
    expect_equal(together, (30000, 3000000, 0), "packets, bytes and drops together")
    expect_equal([seen for seen, _, _ in each], [packets for _, packets, _ in each], "seen and counted by each member")
    expect_equal(sum(packets for _, packets, _ in each), 30000, "sum over the members")
    expect(all(packets > 1000 for _, packets, _ in each), f"each member has some of 64 flows: {each}")
    rates = [list(map(int, re.findall(r"\d+", line))) for line in re.findall(r"^packets/s:(.*)$", counter.out, re.M)]
    expect(len(rates) >= 2, f"a line each second: {counter.out}")
    expect(all(sum(line[:3]) == line[3] for line in rates), f"sums of the lines: {rates}")
    expect(1 <= sum(line[3] for line in rates) <= 30000, f"packets in the lines: {rates}")


def test_fanout_counter_transmitter(t):
    """One flow stays with one member, also from the transmitter; -t ends the counter, and so does SIGTERM."""
    net = t.net()
    counter = count(t, net, "-n", 2, "-t", 3)
    began = time.monotonic()
    transmit(t, net, "-n", 5000, "-s", 500)
    expect_equal(counter.wait(20), 0, f"exit code of fanout_counter ({counter.err})")
    expect(2 < time.monotonic() - began < 8, "ends after 3 s")
    each, together = totals(counter, 2)
    expect_equal(together, (5000, 2500000, 0), "packets, bytes and drops")
    expect_equal(sorted(packets for _, packets, _ in each), [0, 5000], "packets of the members")
    counter = count(t, net)
    counter.stop(signal.SIGTERM)
    expect_equal(totals(counter, 2), ([(0, 0, 0)] * 2, (0, 0, 0)), "nothing was sent")


def test_fanout_counter_stop_under_load(t):
    """Stopped while packets come, the ring is read to its end: each member has counted all it has seen."""
    net = t.net()
    counter = count(t, net, "-n", 2)
    sender = start(t, net, "transmitter", "-n", 10000000, "-r", 50000, SENDING_SIDE)
    wait_until(lambda: re.search(r"together [1-9]", counter.out), 20, "packets are counted")
    counter.stop(signal.SIGINT)
    sender.stop(signal.SIGINT, code=1)
    each, together = totals(counter, 2)
    expect_equal([seen - dropped for seen, _, dropped in each], [packets for _, packets, _ in each], "seen and counted")
    expect(0 < together[0] <= reported(sender)[0], f"{together[0]} counted, {reported(sender)[0]} sent")


def test_fanout_counter_interface_gone(t):
    """The interface is deleted: a message and an exit code."""
    net = t.net()
    counter = count(t, net)
    net.run("ip", "link", "del", CAPTURED_SIDE)
    expect_equal(counter.wait(20), 1, "exit code of fanout_counter")
    expect("No such device" in counter.err, f"message: {counter.err}")


def test_arguments(t):
    """Bad arguments: 2 and the usage, nothing on standard output. A bad interface: 1 and what the library says."""
    net = t.net()
    bad = {
        "sniffer": [[], [CAPTURED_SIDE, "1"]],
        "fanout_counter": [[], ["-n", "0", CAPTURED_SIDE], ["-n", "257", CAPTURED_SIDE], ["-n", "", CAPTURED_SIDE],
                           ["-t", "1x", CAPTURED_SIDE], ["-t", "0", CAPTURED_SIDE], ["-q", CAPTURED_SIDE], ["-n"],
                           [CAPTURED_SIDE, CAPTURED_SIDE]],
        "transmitter": [[], ["-n", "0", SENDING_SIDE], ["-n", "4294967297", SENDING_SIDE], ["-r", "0", SENDING_SIDE],
                        ["-r", "x", SENDING_SIDE], ["-s", "17", SENDING_SIDE], ["-s", "65550", SENDING_SIDE],
                        ["-n", "99999999999999999999", SENDING_SIDE], ["-q", SENDING_SIDE], ["-s"],
                        [SENDING_SIDE, SENDING_SIDE]],
    }
    for program, lists in bad.items():
        for arguments in lists:
            process = start(t, net, program, *arguments)
            expect_equal(process.wait(10), 2, f"exit code of {program} {arguments}")
            expect(f"usage: {program} " in process.err and not process.out, f"{program} {arguments}: {process.err}")
        process = start(t, net, program, "no-such-if0")
        expect_equal(process.wait(10), 1, f"exit code of {program} without an interface")
        expect_equal(process.err, f"{program}: interface: 'no-such-if0': No such device\n", "message")
        process = t.start(program, net.command("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw",
                                               EXAMPLES / program, CAPTURED_SIDE))
        expect_equal(process.wait(10), 1, f"exit code of {program} without privileges")
        expect("needs CAP_NET_RAW" in process.err, f"{program} without privileges: {process.err}")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=100)
