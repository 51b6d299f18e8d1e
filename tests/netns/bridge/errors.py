#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a user gets wrong: one line on standard error that quotes the value and says what to do, exit code 1 or 2. Under a
sanitizer's build these also show that the ways out leak nothing."""
import os
import re

from prelude import wbtest
from wbtest import CAPTURED_SIDE, expect, expect_equal

NULL = ["-i", CAPTURED_SIDE, "--to", "null:"]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"]


def refused(t, arguments, code, *quotes, prefix=(), lines=1, seconds=20):
    """The program must refuse this with that code, one line, and every one of the quotes in it."""
    process = t.start("refused", [*prefix, wbtest.WIREBUS, *arguments], env=dict(os.environ, WIREBUS_TEST="1"))
    got = process.wait(seconds)
    said = process.err
    what = f"wirebus {' '.join(map(str, arguments))}"
    expect_equal(got, code, f"exit code of {what} ({said.strip()})")
    expect_equal(len(said.splitlines()), lines, f"lines on standard error of {what} ({said.strip()})")
    expect_equal(process.out, "", f"standard output of {what}")
    for quote in quotes:
        expect(quote in said, f"{what} does not say {quote!r}: {said.strip()}")
    return said


def inside(net):
    return ["ip", "netns", "exec", net.name]


def test_interface(t):
    net = t.net()
    refused(t, ["run", "-i", "nosuch0", "--to", "null:"], 1, "nosuch0", prefix=inside(net))
    refused(t, ["run", "-i", "a-name-that-is-too-long", "--to", "null:"], 2, "a-name-that-is-too-long")
    refused(t, ["run", "--to", "null:"], 2, "-i")
    refused(t, ["run", "-i", CAPTURED_SIDE], 2, "--to")


def test_permission(t):
    net = t.net()
    refused(t, ["run", *NULL], 1, CAPTURED_SIDE, "CAP_NET_RAW", prefix=[*inside(net), *NOBODY])


def test_memory(t):
    """A ring that would make the kernel end processes for want of memory."""
    net = t.net()
    refused(t, ["run", *NULL, "--block-count", "65536", "--block-bytes", "1GiB"], 1, "65536", "lower", prefix=inside(net))


def test_url(t):
    for url, code in (("kafak://127.0.0.1:9092/packets", 2), ("kafka://127.0.0.1:9092", 2), ("kafka:///packets", 2),
                      ("zmq+pub://127.0.0.1", 2), ("zmq+pub://127.0.0.1:77777", 2), ("kafka://127.0.0.1:99999/packets", 2),
                      ("kafka://127.0.0.1:9092,/packets", 2), ("kafka://a b:1/packets", 2),
                      ("kafka://127.0.0.1:9092/p?properties.acks=0", 2), ("file://", 2), ("nonsense", 2),
                      ("null:?nosuch=1", 2), ("kafka://127.0.0.1:9092/packets?compression=zip", 2),
                      ("kafka://127.0.0.1:9092/p?properties.nosuch.key=1", 2), ("zmq+pub://127.0.0.1:5555?sndhwm=0", 2)):
        refused(t, ["run", "-i", CAPTURED_SIDE, "--to", url], code, url.split("?")[0].split("/")[-1] or url)
    for url in ("kafak://127.0.0.1:9092/packets", "zmq+pull://127.0.0.1"):
        refused(t, ["cat", "--from", url], 2, url)
    # A password is shown in no form, escaped or not.
    for password in ("s3cret", "s3c/ret", "s3c%2Fret", "s3c@r/et", "s3c,ret"):
        for scheme, way in (("kafka", "--to"), ("zmq+pub", "--to"), ("kafka", "--from"), ("zmq+sub", "--from")):
            url = f"{scheme}://me:{password}@127.0.0.1:9092" + ("/packets" if scheme == "kafka" else "")
            said = refused(t, [*(["run", "-i", CAPTURED_SIDE] if way == "--to" else ["cat"]), way, url], 2, "me:****@")
            expect("s3c" not in said and "ret" not in said, f"a password in {said}")
    refused(t, ["cat", "--from", "nonsense"], 1, "'nonsense': no such file, and not a URL")
    refused(t, ["cat", "--from", "kafka://127.0.0.1:99999/packets"], 2, "127.0.0.1:99999")
    refused(t, ["cat"], 2, "--from")


def test_open_to_the_world(t):
    """Anybody who reaches the port could read the packets: binding beyond loopback has to be asked for."""
    refused(t, ["run", "-i", CAPTURED_SIDE, "--to", "zmq+pub://*:5555"], 2, "*:5555", "insecure")


def test_port_in_use(t):
    net = t.net()
    t.capture(net, "zmq+push://127.0.0.1:5577", "--flush", "200ms")
    refused(t, ["run", "-i", CAPTURED_SIDE, "--to", "zmq+push://127.0.0.1:5577"], 1, "5577", prefix=inside(net))


def test_option(t):
    refused(t, ["run", *NULL, "--bogus"], 2, "--bogus")
    refused(t, ["run", *NULL, "--worker", "2"], 2, "--worker", "--workers")
    refused(t, ["run", *NULL, "-w", "many"], 2, "many")
    refused(t, ["run", *NULL, "-w", "0"], 2, "0")
    refused(t, ["run", *NULL, "--batch-bytes"], 2, "--batch-bytes")
    refused(t, ["run", *NULL, "--on-full", "explode"], 2, "explode")
    refused(t, ["cat", "--bogus"], 2, "--bogus")
    refused(t, ["cat", "--from", "file:///tmp", "-o", "xml"], 2, "xml")
    refused(t, ["check", "--bogus"], 2, "--bogus")
    refused(t, ["schema", "frobnicate"], 2, "frobnicate")
    refused(t, ["frobnicate"], 2, "frobnicate")


def test_help(t):
    """--help of each command: sentences, buses by their names, values that say what they are, units at the numbers."""
    del t
    commands = re.findall(r"^  (\w+)  ", wbtest.run([wbtest.WIREBUS, "--help"]), re.M)
    expect({"run", "cat", "send", "replay", "verify"} <= set(commands), f"commands in --help: {commands}")
    for command in commands:
        said = wbtest.run([wbtest.WIREBUS, command, "--help"])
        expect_equal(wbtest.run([wbtest.WIREBUS, "help", command]), said, f"help {command}")
        expect_equal([line for line in said.splitlines() if len(line) > 102], [], f"lines of {command} that are too long")
        expect(set(re.findall(r"Options of (\w+) URLs", said)) <= {"Kafka", "ZeroMQ", "file", "null", "interface"},
               f"headings of {command}: {said}")
        entries = re.findall(r"^  ((?:-.|    --|\w+=)\S*(?: \S+)*)(?: {2,}|\n {32})((?:.*\n {32})*.*)", said, re.M)
        expect(len(entries) > 1, f"options of {command}: {said}")
        for option, text in entries:
            what = f"{command}: {option}: {text}"
            expect(text[0].isupper(), f"no sentence: {what}")
            expect("TEXT" not in option, f"a value without a name: {what}")
            default = re.search(r"\[default\s(\S+?)(?:;\s([^]]*))?\]", text)
            if default and re.search(r"\b(SIZE|TIME)$", option):
                unit = default[1] == "0" or default[1][-1].isalpha() or default[2].split()[-1].isalpha()
                expect(unit, f"a default without a unit: {what}")


def test_filter(t):
    net = t.net()
    refused(t, ["run", *NULL, "-f", "tcp prot 80"], 1, "tcp prot 80", prefix=inside(net))


def test_batch_cap(t):
    url = "kafka://127.0.0.1:9092/packets"
    refused(t, ["run", "-i", CAPTURED_SIDE, "--to", url, "--batch-max-bytes", "64MiB"], 2, "67108864", "lower batch_max_bytes")


def test_ledger_path(t):
    net = t.net()
    refused(t, ["run", *NULL, "--ledger", "/nosuch/dir/ledger"], 1, "/nosuch/dir/ledger", prefix=inside(net))


def test_configuration(t):
    """Every error of a file at once, with line and column."""
    path = t.path("bad.yaml")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write("node: probe\nnosuch: 1\ncaptures:\n  - interface: eth0\n    to: \"null:\"\n    workers: many\n")
    refused(t, ["check", "-c", path], 2, f"{path}:2:", f"{path}:6:", "nosuch", "many", lines=2)
    refused(t, ["check", "-c", "/nosuch.yaml"], 2, "/nosuch.yaml")


def test_file_source(t):
    refused(t, ["cat", "--from", "file:///nosuch/folder"], 1, "/nosuch/folder")
    path = t.path("junk.wbs")
    with open(path, "wb") as stream:
        stream.write(b"this is no container of messages\n" * 10)
    refused(t, ["cat", "--from", f"file://{path}"], 1, "junk.wbs")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=120)
