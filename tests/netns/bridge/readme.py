#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What README.md shows does what it says: the Python consumer is taken from its text."""
import os
import pathlib
import re

from prelude import wbtest
from wbtest import CAPTURED_SIDE, expect, expect_equal, run as run_command

PLAN = {"count": 2000, "flows": 16, "sizes": "mixed", "seed": 11}


def test_python_consumer(t):
    text = (wbtest.ROOT / "README.md").read_text()
    programs = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    expect_equal(len(programs), 1, "Python programs in README.md")
    with open(t.path("consumer.py"), "w", encoding="utf-8") as file:
        file.write(programs[0])
    protoc = re.search(r"`(protoc -I proto --python_out=\. \S+)`", text)
    expect(protoc, "README.md does not say how to call protoc")
    run_command(protoc[1].replace("--python_out=.", f"--python_out={t.folder}").split(), cwd=wbtest.ROOT)

    net = t.net()
    broker = t.broker(net)
    run = t.capture(net, f"kafka://{broker.servers}/packets", workers=1)
    sent = t.send(net, PLAN, rate=20000)
    t.settle(run, PLAN["count"], lossless=True)
    consumer = t.start("consumer", net.command(wbtest.PYTHON, t.path("consumer.py"), broker.servers, "packets"),
                       env=dict(os.environ, PYTHONDONTWRITEBYTECODE="1"))
    expect_equal(consumer.wait(60), 0, f"exit code of the consumer ({consumer.err})")
    rows = [line.split() for line in consumer.out.splitlines()]
    expect_equal([int(row[0]) for row in rows], list(range(1, PLAN["count"] + 1)), "sequence numbers")
    for _, time, interface, length, data in rows:
        expect(sent["first_ns"] - 10**9 < int(time) < sent["last_ns"] + 10**9, f"time {time}")
        expect_equal(interface, CAPTURED_SIDE, "interface name")
        expect_equal(len(data), 2 * int(length), "hexadecimal digits of the frame")


def test_curve(t):
    """The four lines that encrypt: keys, a publisher, a subscriber of ours, and one in Python."""
    text = (wbtest.ROOT / "README.md").read_text()
    lines = re.findall(r"^    (\S.*curve.*|\S.*keygen.*)$", text, re.MULTILINE)
    expect_equal(len(lines), 4, "lines of the example in README.md")
    net = t.net()
    env = dict(os.environ, PATH=f"{pathlib.Path(wbtest.WIREBUS).parent}:/usr/bin:/bin", PYTHONPATH=t.proto_folder(),
               PYTHONDONTWRITEBYTECODE="1")
    for ours, theirs in (("sudo ", ""), ("eth0", CAPTURED_SIDE), ("192.0.2.1", "127.0.0.1"),
                         ("tests/clients", str(wbtest.CLIENTS))):
        expect(any(ours in line for line in lines), f"{ours!r} is not in the example")
        lines = [line.replace(ours, theirs) for line in lines]

    def start(name, line, more=""):
        return t.start(name, net.command("sh", "-c", f"cd {t.folder} && exec {line} {more}"), env=env)

    run_command(["sh", "-c", f"cd {t.folder} && {lines[0]}"], env=env)
    run = start("run", lines[1], f"--ledger {t.path('ledger.json')}")
    run.ledger_path = t.path("ledger.json")
    t.wait_capturing(run)
    cat = start("cat", lines[2], "-o json -w cat.json")
    consumer = start("consumer", lines[3])
    t.wait_subscribed(net, 5555, 2, curve=True)
    t.send(net, PLAN, rate=20000)
    t.settle(run, PLAN["count"], lossless=True)
    expect_equal(cat.wait(20), 0, f"exit code of cat ({cat.err})")
    expect_equal(len(pathlib.Path(t.path("cat.json")).read_text().splitlines()), PLAN["count"], "packets of cat")
    expect_equal(consumer.wait(20), 0, f"exit code of the consumer ({consumer.err})")
    expect_equal(consumer.out.strip(), f"{PLAN['count']} packets in 1 streams, 0 lost", "what the consumer says")


if __name__ == "__main__":
    wbtest.main(globals())
