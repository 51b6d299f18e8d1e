#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What README.md shows does what it says: the Python consumer is taken from its text."""
import os
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


if __name__ == "__main__":
    wbtest.main(globals())
