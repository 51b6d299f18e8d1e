#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the extcap program is called with when it is not Wireshark that calls it: nothing of it may end in a crash, in
silence, or with somebody waiting at the FIFO."""
import os
import random
import re
import subprocess

from prelude import wbtest
from wbtest import expect, expect_equal

from shark import Shark

PASSWORD = "k3pt-0ut"
ACTIONS = ("--capture", "--extcap-config", "--extcap-dlts", "--extcap-interfaces")


def values_of(shark):
    """The options that take a value."""
    options = re.findall(r"^  .*(--[a-z-]+) [A-Z]", shark.ask("--help"), re.M)
    expect({"--fifo", "--extcap-interface", "--curve-key"} <= set(options), f"options with a value: {options}")
    return options


def refused(shark, *arguments, fifo=None):
    """Whatever is wrong is said in one line that is fit for a terminal, with an exit code; returns the line."""
    reader = shark.t.start("reader", ["cat", fifo]) if fifo else None
    words = [shark.program, *(["--capture", "--fifo", fifo] if fifo else []), *arguments]
    done = subprocess.run(words, env=shark.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
    what = f"{str(arguments)[:500]} ({done.stderr[-2000:]})"
    expect(done.returncode in (1, 2), f"exit code {done.returncode} of {what}")
    said = done.stderr.decode()
    expect(said.endswith("\n") and said[:-1].isprintable(), f"one line fit to be shown of {what}")
    if reader:
        expect_equal(reader.wait(30), 0, "exit code of the FIFO's reader")
    return said


def test_wrong(t):
    """Values that are missing, longer than any that is meant or no text at all, and two things to do at once."""
    shark = Shark(t)
    fifo = t.path("fifo")
    os.mkfifo(fifo)
    for option in values_of(shark):
        said = refused(shark, option)
        expect(f"'{option}' needs a value" in said, f"{option} without its value: {said}")
    for first in ACTIONS:
        for second in ACTIONS:
            if first != second:
                said = refused(shark, first, "--extcap-interface", "wirebus-zmq", second)
                expect(f"{first} and {second}" in said, f"two at once: {said}")
    # Where the FIFO was told of in the other way, its reader is let go as well.
    reader = t.start("reader", ["cat", fifo])
    refused(shark, "--capture", "--extcap-config", "--extcap-interface", "wirebus-zmq", f"--fifo={fifo}")
    expect_equal(reader.wait(30), 0, "exit code of the FIFO's reader")
    # A file that is none is left alone.
    file = t.folder / "file"
    file.write_text("not to be lost")
    said = refused(shark, "--capture", "--extcap-interface", "wirebus-zmq", "--endpoint", "127.0.0.1:1", "--fifo", file)
    expect(str(file) in said and "FIFO" in said, f"a file for a FIFO: {said}")
    expect_equal(file.read_text(), "not to be lost", "the file")
    for text in ("\x1b[31m\n\r\x7f", "\u009b1m\u202e\u2028", "\udcff\udc80", "x" * 65536, "'{}%s%n'" * 100):
        for words in ((text,), (f"--{text}",), (f"-{text}",), ("--extcap-interface", text), ("--extcap-interfaces", f"--{text}=1"),
                      ("--extcap-interface", text, "--extcap-config")):
            refused(shark, *words)
        for option in ("endpoint", "node", "filter", "wait", "mode", "curve-key", "curve-server-key", "extcap-capture-filter"):
            refused(shark, "--extcap-interface", "wirebus-zmq", "--endpoint", "127.0.0.1:1", "--wait", "1ms",
                    f"--{option}", text, fifo=fifo)
        for option in ("brokers", "topic", "since", "properties"):
            refused(shark, "--extcap-interface", "wirebus-kafka", "--brokers", "127.0.0.1:1", "--topic", "p", "--wait", "1ms",
                    f"--{option}", text, fifo=fifo)
    for option, interface in (("brokers", "wirebus-kafka"), ("endpoint", "wirebus-zmq")):
        for password in (PASSWORD, f"{PASSWORD[:4]}/{PASSWORD[4:]}"):
            said = refused(shark, "--extcap-interface", interface, f"--{option}", f"me:{password}@127.0.0.1:1",
                           *(["--topic", "p"] if option == "brokers" else []), fifo=fifo)
            expect("me:****@" in said and PASSWORD[:4] not in said and PASSWORD[4:] not in said, f"a password in {said}")


def test_random(t):
    """Left out, doubled, and in any order."""
    shark = Shark(t)
    dice = random.Random(6)
    # Filters may name hosts, which are looked up.
    values = [option for option in values_of(shark) if "filter" not in option]
    words = [*values, *ACTIONS, "wirebus-zmq", "wirebus-kafka", "127.0.0.1:1", "p", "", "--", "-", "-h", "--fifo=/nosuch", "="]
    for _ in range(60):
        arguments = dice.choices(words, k=dice.randrange(8))
        done = subprocess.run([shark.program, *arguments], env=shark.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=60, check=False)
        expect(done.returncode in (0, 1, 2) and len(done.stderr.splitlines()) == (done.returncode > 0),
               f"{arguments}: exit code {done.returncode}, and it says {done.stderr}")


if __name__ == "__main__":
    wbtest.main(globals())
