#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is told while it runs: the ledger on a signal, and lines of statistics, until the very end."""
import re
import signal

from prelude import ledger, wbtest
from wbtest import expect, expect_equal, wait_until


def lines_of(run):
    """The lines of statistics so far: their time in seconds of the minute, and their values."""
    result = []
    for line in run.err.splitlines():
        match = re.fullmatch(r"\S+:(\d\d\.\d{3})Z stats office: (.*)", line)
        if match:
            values = dict(word.split("=") for word in match.group(2).split())
            result.append((float(match.group(1)), {k: float(v.removesuffix("/s").removesuffix("Mbit")) for k, v in values.items()}))
    return result


def ledgers(text):
    """{title: {counter: value}} of printed ledgers."""
    result = {}
    for line in text.splitlines():
        title = re.fullmatch(r"ledger of (\S+), in packets", line)
        entry = re.match(r"  (\w+) +(\d+)  ", line)
        if title:
            counters = result[title.group(1)] = {}
        elif entry:
            counters[entry.group(1)] = int(entry.group(2))
    return result


def ledger_now(run):
    """What the capture's ledger, which it prints now, says."""
    begin = len(run.err)
    run.send_signal(signal.SIGUSR1)
    wait_until(lambda: wbtest.CAPTURED_SIDE in ledgers(run.err[begin:]) and run.err.endswith("\n"), 10, "the ledger is printed")
    return ledgers(run.err[begin:])[wbtest.CAPTURED_SIDE]


def accepted_now(run):
    """Packets that the capture has accepted."""
    return ledger_now(run).get("accepted", 0)


def write_config(t, net, to, **options):
    path = t.path("run.yaml")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(f"stats: 100ms\ncaptures:\n- interface: {wbtest.CAPTURED_SIDE}\n  name: office\n  workers: 2\n  to: '{to}'\n")
        for key, value in options.items():
            stream.write(f"  {key}: {value}\n")
    return path


def test_signal(t):
    """SIGUSR1 prints the ledger of each worker and of the capture, as often as it comes, and changes nothing."""
    net = t.net()
    run = t.capture(net, "null:")
    for count in (1000, 3000):
        t.send(net, {"count": count, "flows": 16}, rate=20000, first=0 if count == 1000 else 1000)

        def told(count=count):
            begin = len(run.err)
            run.send_signal(signal.SIGUSR1)
            wait_until(lambda: len(ledgers(run.err[begin:])) == 3 and run.err.endswith("\n"), 10, "three ledgers")
            return ledgers(run.err[begin:])[wbtest.CAPTURED_SIDE].get("delivered") == count
        wait_until(told, 20, f"{count} packets in the ledger")
    begin = len(run.err)
    run.send_signal(signal.SIGUSR1)
    wait_until(lambda: run.err.count("ledger of wbb,", begin) == 1 and run.err.endswith("\n"), 10, "the ledgers")
    said = ledgers(run.err[begin:])
    expect_equal(set(said), {"wbb", "wbb/1", "wbb/2"}, "ledgers")
    for name in ("kernel_seen", "read", "accepted", "delivered"):
        parts = [said[f"wbb/{i}"].get(name, 0) for i in (1, 2)]
        expect_equal((sum(parts), said["wbb"][name]), (3000, 3000), name)
        expect(min(parts) > 0, f"{name} of both workers: {parts}")
    t.settle(run, 3000, lossless=True, workers=2)


def test_lines(t):
    """The rates add up to what was sent; drops show, with their cause, while there are some; and while the bus does not
    take what is left at the end, lines go on."""
    net = t.net()
    result = t.path("ledger.json")
    path = write_config(t, net, "zmq+push://127.0.0.1:5599", buffers=4, on_full="drop", batch_bytes="4KiB", batch_age="10ms")
    run = t.wirebus(net, "run", "-c", path, "--ledger", result, "--flush", "3s")
    t.wait_capturing(run)
    wait_until(lambda: len(lines_of(run)) >= 3, 20, "some lines")
    t.send(net, {"count": 20000, "flows": 16}, rate=20000)
    wait_until(lambda: lines_of(run)[-1][1]["kernel_seen"] == 0, 20, "a line after the last packet")
    run.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in run.err, 10, "it stops")
    before = len(lines_of(run))
    wait_until(lambda: len(lines_of(run)) >= before + 5 or not run.running(), 10, "lines while it waits for the bus")
    expect(len(lines_of(run)) >= before + 5, "lines while it waits for the bus")
    expect_equal(run.wait(30), 0, f"exit code of run ({run.err[-500:]})")
    total = ledger.check(result, sent=20000, workers=2)
    lines = lines_of(run)
    seen = dropped = 0
    for (last, _), (now, values) in zip(lines, lines[1:]):
        elapsed = (now - last) % 60
        seen += values["kernel_seen"] * elapsed
        dropped += values.get("dropped_no_buffer", 0) * elapsed
    expect(abs(seen - 20000) < 2000, f"packets by the rates: {seen:.0f} of 20000")
    expect(total["dropped_no_buffer"] > 5000, f"dropped for want of a buffer: {total}")
    expect(abs(dropped - total["dropped_no_buffer"]) < 0.1 * total["dropped_no_buffer"],
           f"dropped by the rates: {dropped:.0f} of {total['dropped_no_buffer']}")
    expect("dropped" not in lines[0][1], f"a line without drops: {lines[0]}")
    stalled = lines[before][1]
    expect_equal((stalled["bus_connected"], stalled["buffers_free"], stalled["buffers"]), (0, 0, 8), f"the bus in {stalled}")
    expect(stalled["batches_in_flight"] >= 8 and stalled["in_flight"] > 0, f"what waits for the bus in {stalled}")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=120)
