#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Capture files and pipes as a source, where they are not simply read to their end: they stay open, bring nothing of use, or
are the very file that is written to."""
import array
import contextlib
import fcntl
import os
import pathlib
import subprocess
import termios
import threading
import time

import prelude  # noqa: F401
import capfile
import wbtest
from wbtest import expect, expect_equal, wait_until

NOW_NS = time.time_ns() - 3600 * 10**9
SECONDS = 60
UNKNOWN_BLOCK = 0x0BAD


def packets(count, first=0):
    """A millisecond apart."""
    return [(NOW_NS + number * 10**6, bytes(60)) for number in range(first, first + count)]


def write(t, name, content):
    pathlib.Path(t.path(name)).write_bytes(content)
    return t.path(name)


def records(count, first):
    """More of a pcap file."""
    return capfile.pcap(packets(count, first))[24:]


def give(process, content):
    process.popen.stdin.write(content)
    process.popen.stdin.flush()


def start(t, *arguments):
    return t.start(arguments[0], [wbtest.WIREBUS, *arguments], stdin=subprocess.PIPE)


def wait_lines(process, count, what):
    wait_until(lambda: process.out.count("\n") >= count, SECONDS, f"{what} ({process.err})")
    expect_equal(process.out.count("\n"), count, what)


def test_live(t):
    """Less than the window's time of packets comes, then the pipe stays open: all of it is shown, as it is when more comes."""
    cat = start(t, "cat", "--from", "-")
    give(cat, capfile.pcap(packets(1000)))
    wait_lines(cat, 1000, "packets of a pipe that is open")
    give(cat, records(10, 1000))
    wait_lines(cat, 1010, "more packets")
    cat.popen.stdin.close()
    expect_equal(cat.wait(), 0, f"exit code of cat ({cat.err})")

    folder = t.shared_folder("replayed")
    replay = start(t, "replay", "--from", "-", "--to", folder)
    give(replay, capfile.pcap(packets(100)))
    written = pathlib.Path(folder[len("file://"):])
    wait_until(lambda: any(path.stat().st_size > 1000 for path in written.glob("*.wbs")), SECONDS, "packets that are replayed")
    replay.popen.stdin.close()
    expect_equal(replay.wait(), 0, f"exit code of replay ({replay.err})")

    path = t.path("grows.pcap")
    pathlib.Path(path).write_bytes(capfile.pcap(packets(100)))
    cat = start(t, "cat", "--from", path, "--follow")
    wait_lines(cat, 100, "packets of a file that is followed")
    with open(path, "ab") as stream:
        stream.write(records(10, 100))
    wait_lines(cat, 110, "packets that were appended")
    cat.stop(wbtest.signal.SIGINT)


def test_old_range(t):
    """That the pipe pauses, and the range was over long ago, says nothing about what it still brings of it."""
    cat = start(t, "cat", "--from", "-", "--until", str((NOW_NS + 10**9) // 10**9))
    give(cat, capfile.pcap(packets(10)))
    wait_lines(cat, 10, "packets before the pause")
    give(cat, records(10, 10))
    wait_lines(cat, 20, "packets after the pause")
    cat.popen.stdin.close()
    expect_equal(cat.wait(), 0, f"exit code of cat ({cat.err})")


def is_read(process):
    left = array.array("i", [0])
    fcntl.ioctl(process.popen.stdin, termios.FIONREAD, left)
    return left[0] == 0


def keep_giving(process, content, pause_s):
    def run():
        with contextlib.suppress(OSError):  # the reader has ended
            while True:
                os.write(process.popen.stdin.fileno(), content)
                time.sleep(pause_s)
    threading.Thread(target=run, daemon=True).start()


def test_signal(t):
    """Bytes come without end, and no packet: the first SIGINT ends the command all the same."""
    skipped = capfile.block("<", UNKNOWN_BLOCK, b"")
    torn = capfile.pcap([(NOW_NS, bytes(200000))])[:1000]
    for begin, more, pause_s in ((capfile.section() + capfile.interface(), skipped * 5000, 0), (torn, b"x", 0.03)):
        # That there was nothing to verify is a failure.
        for code, *arguments in ((0, "cat", "--from", "-"), (1, "verify", "--from", "-"), (0, "replay", "--from", "-", "--to", "null:")):
            process = start(t, *arguments)
            give(process, begin)
            wait_until(lambda one=process: is_read(one), SECONDS, "the beginning is read")
            keep_giving(process, more, pause_s)
            process.stop(wbtest.signal.SIGINT, seconds=SECONDS, code=code)
            expect("gave up" not in process.err, f"{arguments} says: {process.err}")
            expect(code == 0 or "stopped" in process.out, f"{arguments} says: {process.out}")


def has_opened(process, path):
    for fd in os.listdir(f"/proc/{process.pid}/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            if os.readlink(f"/proc/{process.pid}/fd/{fd}") == path:
                return True
    return False


def test_fifo(t):
    """One that nobody writes to yet is waited for, and the waiting ends as all waiting does."""
    path, copy = t.path("fifo"), t.path("copy.pcap")
    os.mkfifo(path)
    for code, *arguments in ((0, "cat"), (1, "verify"), (0, "replay", "--to", "null:")):
        process = start(t, *arguments, "--from", path)
        wait_until(lambda one=process: has_opened(one, path), SECONDS, f"{arguments} waits for the FIFO ({process.err})")
        process.stop(wbtest.signal.SIGINT, seconds=SECONDS, code=code)
        expect("gave up" not in process.err, f"{arguments} says: {process.err}")
    process = start(t, "send", "--from", path, "--to", "null:", "--stats", "100ms")
    wait_until(lambda: " stats " in process.err, SECONDS, f"send waits for the FIFO ({process.err})")
    process.stop(wbtest.signal.SIGTERM, seconds=SECONDS)
    process = start(t, "replay", "--from", path, "--to", "null:", "--duration", "1s")
    expect_equal(process.wait(SECONDS), 0, f"exit code of replay ({process.err})")
    expect("time is up" in process.err, f"replay says: {process.err}")

    # A writer that comes, pauses, and goes.
    content = capfile.pcap(packets(100))
    process = start(t, "cat", "--from", path, "-o", "pcap", "-w", copy)
    with open(path, "wb", buffering=0) as fifo:
        fifo.write(content[:1000])
        wait_until(lambda: os.path.exists(copy) and os.path.getsize(copy) > 0, SECONDS, "the first packets")
        fifo.write(content[1000:])
    expect_equal(process.wait(SECONDS), 0, f"exit code of cat ({process.err})")
    expect_equal(capfile.read(copy), capfile.read(write(t, "day.pcap", content)), "packets of the FIFO")


def test_read_once(t):
    """What came through a pipe cannot be read again for another pass."""
    content = capfile.pcap([(NOW_NS + number, bytes(60000)) for number in range(50)])  # more than the buffer holds
    path = t.path("fifo")
    os.mkfifo(path)
    threading.Thread(target=lambda: pathlib.Path(path).write_bytes(content), daemon=True).start()
    out, rule = t.path("out.pcap"), "cannot be read again for the next loop"
    refused(t, ["replay", "--from", path, "--to", out, "-l", "2", "--buffer", "1MiB"], 1, rule)
    expect_equal(len(capfile.read(out)), 50, "packets of the first pass")
    with open(write(t, "day.pcap", content), "rb") as stdin:
        refused(t, ["replay", "--from", "-", "--to", out, "-l", "2", "--buffer", "1MiB"], 1, rule, stdin=stdin)
    expect_equal(len(capfile.read(out)), 50, "packets of the first pass")


def refused(t, arguments, code, rule, **options):
    process = t.start(arguments[0], [wbtest.WIREBUS, *arguments], **options)
    expect_equal(process.wait(), code, f"exit code of {arguments} ({process.err})")
    expect(rule in process.err, f"{arguments} says: {process.err}")


def test_same_file(t):
    """What is read is not written over."""
    path, content = t.path("day.pcap"), capfile.pcap(packets(100))
    pathlib.Path(path).write_bytes(content)
    os.symlink(path, t.path("symbolic.pcap"))
    os.link(path, t.path("hard.pcap"))
    for other in ("day.pcap", "symbolic.pcap", "hard.pcap"):
        rule = f"{t.path(other)}: is read and written"
        refused(t, ["cat", "--from", path, "-o", "pcap", "-w", t.path(other)], 2, rule)
        refused(t, ["replay", "--from", f"file://{path}", "--to", t.path(other)], 2, rule)
    with open(path, "rb") as stdin:
        refused(t, ["cat", "--from", "-", "-w", path], 2, "is read and written", stdin=stdin)
    with open(path, "ab") as stdout:
        refused(t, ["cat", "--from", path, "-o", "pcap"], 2, "standard output: is read and written", stdout=stdout)
    rule = f"{path}: is read and written"
    refused(t, ["cat", "--from", path, "-w", "/dev/null", "--summary", path], 2, rule)
    refused(t, ["replay", "--from", path, "--to", "null:", "--summary", path], 2, rule)
    refused(t, ["send", "--from", t.path("hard.pcap"), "--to", "null:", "--ledger", path], 2, rule)
    expect_equal(pathlib.Path(path).read_bytes(), content, "the file that is read")
    twice = t.path("twice.pcap")
    refused(t, ["cat", "--from", path, "-o", "pcap", "-w", twice, "--summary", twice], 2, "--summary")
    refused(t, ["replay", "--from", path, "--to", twice, "--summary", twice], 2, "--summary")
    wbtest.run([wbtest.WIREBUS, "cat", "--from", path, "-o", "pcap", "-w", t.path("another.pcap")])
    wbtest.run([wbtest.WIREBUS, "cat", "--from", path, "-w", "/dev/null"])


def test_too_short(t):
    """A file without even a header is no capture, and no end of data either."""
    path = t.path("short.pcap")
    for content in (b"", b"x", b"\xd4\xc3", b"WIREBUS1"):
        pathlib.Path(path).write_bytes(content)
        for arguments in (["cat"], ["replay", "--to", "null:"], ["verify"]):
            refused(t, [*arguments, "--from", path], 1, f"{len(content)} bytes are neither a capture nor a wirebus container")


def test_closed_descriptors(t):
    """Messages do not go into a file that was opened where standard output or error is missing."""
    path = t.path("day.pcap")
    pathlib.Path(path).write_bytes(capfile.pcap(packets(100)))
    command = '"$0" cat --from "$1" -o pcap -w "$2" '
    for number, closed in enumerate(("", "<&-", ">&-", "2>&-", "<&- >&- 2>&-")):
        out = t.path(f"out-{number}.pcap")
        wbtest.run(["bash", "-c", command + closed, wbtest.WIREBUS, path, out])
        expect_equal(capfile.read(out), capfile.read(path), f"packets with {closed}")
    for command in ('"$0" cat --from "$1" >&-', '"$0" cat --from - <&-'):
        wbtest.run(["bash", "-c", command, wbtest.WIREBUS, path], code=1)


if __name__ == "__main__":
    wbtest.main(globals())
