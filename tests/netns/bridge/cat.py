#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`wirebus cat`: much to read in little memory, ends of every kind that leave whole files, the tools that read them, a spool
that is in use, several streams live."""
import collections
import errno
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import time

from prelude import wbtest
import messages as wire
from wbtest import CAPTURED_SIDE, FULL, expect, expect_equal, run as run_command, wait_until

MAKE_BATCHES = str(wbtest.BUILD / "tests" / "clients" / "make_batches")
MIB = 1 << 20
PORT = 5563


def make(t, *arguments):
    """A folder of container files; returns its URL."""
    folder = t.path(f"files-{t.number('files')}")
    os.mkdir(folder)
    run_command([MAKE_BATCHES, folder, *map(str, arguments)])
    return f"file://{folder}"


def measured(command):
    """Run to the end; returns the exit code and the most memory it had."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * 1024


def capinfos(path):
    """What it says of a file that it must read without complaint; packets as a number."""
    about = run_command(["capinfos", "-M", path])
    return about, int(re.search(r"Number of packets:\s+(\d+)", about).group(1))


def test_memory_is_flat(t):
    """Much more than is allowed to be held: one stream, several, and the sort, each in the order of time."""
    size = 1024 * MIB if FULL else 150 * MIB
    packets = size // 1000
    for streams, extra in ((1, []), (4, []), (4, ["--sort"])):
        url = make(t, "--streams", streams, "--packets", packets, "--size", 960, "--step-ns", 100000)
        out = t.path("out.pcapng")
        code, most = measured([wbtest.WIREBUS, "cat", "--from", url, "--memory", "16MiB", "-o", "pcapng", "-w", out,
                               *extra, *(["--sort-dir", t.path("")] if extra else [])])
        expect_equal(code, 0, "exit code of cat")
        expect(most < 96 * MIB, f"{streams} streams {extra}: {most // MIB} MiB of memory for {size // MIB} MiB")
        about, found = capinfos(out)
        expect_equal(found, packets, f"packets of {streams} streams {extra}")
        expect(re.search(r"Strict time order:\s+True", about), f"{streams} streams {extra}: {about}")
        run_command(["rm", "-r", url.removeprefix("file://"), out])


def test_ends(t):
    """SIGINT and SIGTERM in the middle, and a reader that goes: what was written is whole, with statistics at its end."""
    url = make(t, "--streams", 3, "--packets", 200000, "--size", 500, "--step-ns", 100000)
    for number in (signal.SIGINT, signal.SIGTERM):
        out = t.path(f"{number}.pcapng")
        with open(out, "wb") as file:
            # The pipe is full after the first bytes, so that the signal comes in the middle.
            cat = t.start("cat", [wbtest.WIREBUS, "cat", "--from", url, "-o", "pcapng"], stdout=subprocess.PIPE)
            file.write(os.read(cat.popen.stdout.fileno(), 65536))
            cat.send_signal(number)
            with cat.popen.stdout as rest:
                for data in iter(lambda: rest.read(MIB), b""):
                    file.write(data)
        expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
        about, found = capinfos(out)
        said = int(re.search(r"wirebus cat: (\d+) packets", cat.err).group(1))
        expect_equal(found, said, f"packets in the file ({cat.err})")
        expect("(stopped)" in cat.err and said < 200000, f"why it ended: {cat.err}")
        expect_equal(about.count("Number of stat entries = 1"), 1, f"interfaces with statistics: {about}")
    done = subprocess.run(f"{wbtest.WIREBUS} cat --from {url} -o pcapng 2>{t.path('err')} | head -c 100000 | wc -c; "
                          'echo "${PIPESTATUS[0]}"', shell=True, executable="/bin/bash", stdout=subprocess.PIPE, text=True,
                          timeout=60, check=True)
    expect_equal(done.stdout.split(), ["100000", "0"], "bytes of head, exit code of cat")
    with open(t.path("err"), encoding="utf-8") as stream:
        expect("(reader gone)" in stream.read(), "why it ended")


def expect_cut(cat, form, out, why):
    """cat has ended because no more fits into the file, and says so; what is there is whole. Returns how many packets."""
    expect_equal(cat.wait(60), 1, f"exit code of cat ({cat.err})")
    expect(f"cannot write the packets to {out}: {why}" in cat.err, cat.err)
    said = int(re.search(r"wirebus cat: (\d+) packets", cat.err).group(1))
    if form == "json":
        with open(out, encoding="utf-8") as lines:
            found = sum(1 for line in lines if json.loads(line))
    else:
        about, found = capinfos(out)
        if form == "pcapng":
            expect_equal(about.count("Number of stat entries = 1"), int(said > 0), f"interfaces with statistics: {about}")
    expect_equal(found, said, f"packets in the {form} file")
    return said


def test_disk_full(t):
    """A full disk is told, and leaves a file that is whole: as many packets as are said, and statistics."""
    url = make(t, "--streams", 2, "--packets", 100000, "--size", 500)
    disk = t.path("disk")
    os.mkdir(disk)
    run_command(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", disk])
    t.cleanup(lambda: subprocess.run(["umount", disk], check=False))
    for form in ("pcapng", "pcap", "json"):
        out = f"{disk}/out"
        cat = t.start("cat", [wbtest.WIREBUS, "cat", "--from", url, "-o", form, "-w", out])
        said = expect_cut(cat, form, out, "No space left on device")
        expect(said > 10000, f"{said} packets on 20 MiB")
        os.unlink(out)
    # What is left in the buffer at the very end does not fit: 20.5 MiB for 20.7.
    run_command(["mount", "-o", "remount,size=20992k", disk])
    cat = t.start("cat", [wbtest.WIREBUS, "cat", "--from", url, "-o", "pcapng", "-w", out, "-c", "39000"])
    expect_equal(cat.wait(60), 1, f"exit code of cat ({cat.err})")
    about, found = capinfos(out)
    said = int(re.search(r"wirebus cat: (\d+) packets", cat.err).group(1))
    expect(30000 < said < 39000 and found == said, f"{found} packets in the file, {said} said")
    expect_equal(about.count("Number of stat entries = 1"), 1, f"interfaces with statistics: {about}")
    os.unlink(out)
    # Not even what is written first: still capture files, without a packet.
    run_command(["mount", "-o", "remount,size=512k", disk])
    for form in ("pcapng", "pcap"):
        cat = t.start("cat", [wbtest.WIREBUS, "cat", "--from", url, "-o", form, "-w", out])
        expect_equal(cat.wait(60), 1, f"exit code of cat ({cat.err})")
        expect("wirebus cat: 0 packets" in cat.err, cat.err)
        expect_equal(capinfos(out)[1], 0, f"packets in the {form} file")
        expect(os.path.getsize(out) > 0, f"the {form} file is empty")
        os.unlink(out)
    # No room for the sort: nothing but an empty file, and the folder's name.
    cat = t.start("cat", [wbtest.WIREBUS, "cat", "--from", url, "-o", "pcapng", "-w", t.path("out"), "--sort",
                          "--sort-dir", disk, "--memory", "4MiB"])
    expect_equal(cat.wait(60), 1, f"exit code of cat ({cat.err})")
    expect(f"cannot sort in {disk}: No space left on device" in cat.err, cat.err)
    expect_equal(capinfos(t.path("out"))[1], 0, "packets in the file")
    expect_equal(os.listdir(disk), [], "what is left of the sort")


def test_file_limit(t):
    """A limit on the size of files (`ulimit -f`) is told like a full disk, and kills no command: what was written is whole."""
    url = make(t, "--streams", 2, "--packets", 100000, "--size", 500)
    out = t.path("out")
    for form in ("pcapng", "pcap", "json"):
        cat = t.start("cat", ["prlimit", "--fsize=20000000", wbtest.WIREBUS, "cat", "--from", url, "-o", form, "-w", out])
        said = expect_cut(cat, form, out, "File too large")
        expect(said > 10000, f"{said} packets in 20 MB")
        # Less than is written at once.
        cat = t.start("cat", ["prlimit", "--fsize=300000", wbtest.WIREBUS, "cat", "--from", url, "-o", form, "-w", out])
        expect_cut(cat, form, out, "File too large")
    # The sort's own files: each has as much as may be held in memory.
    os.mkdir(t.path("sort"))
    cat = t.start("cat", ["prlimit", "--fsize=1000000", wbtest.WIREBUS, "cat", "--from", url, "-o", "pcapng", "-w", out, "--sort",
                          "--sort-dir", t.path("sort"), "--memory", "4MiB"])
    expect_equal(cat.wait(60), 1, f"exit code of cat ({cat.err})")
    expect(f"cannot sort in {t.path('sort')}: File too large" in cat.err, cat.err)
    expect_equal(capinfos(out)[1], 0, "packets in the file")
    for words in (["schema", "print"], ["verify", "--from", url, "-o", "json"]):
        with open(t.path("standard-output"), "wb") as stream:
            done = subprocess.run(["prlimit", "--fsize=100", wbtest.WIREBUS, *words], stdout=stream, stderr=subprocess.PIPE,
                                  text=True, timeout=60, check=False)
        expect_equal(done.returncode, 1, f"exit code of {words} ({done.stderr})")
        expect("File too large" in done.stderr, f"what {words} says: {done.stderr}")


def test_tools(t):
    """tcpdump reads pcap from a pipe, tags in their place; a filter means the same there and here; Wireshark's tools see the
    facts of interfaces."""
    net = t.net()
    url = t.shared_folder("packets")
    run = t.capture(net, url, "-f", "ip or vlan or arp")
    t.send(net, {"count": 400, "flows": 16}, rate=2000)
    t.send(net, {"count": 500, "flows": 4, "vlan": "0x8100:0x0005"}, rate=2000, first=400)
    t.settle(run, 500)
    for expression in ("", "vlan 5", "vlan and udp", "udp", "not vlan and greater 200"):
        cat = f"{wbtest.WIREBUS} cat --from {url} -o pcap 2>{t.path('err')}"
        theirs = run_command(["bash", "-c", f"set -o pipefail; {cat} | tcpdump -nn -tt --nano -r - '{expression}'"])
        ours = run_command(["bash", "-c", f"set -o pipefail; {cat} -f '{expression or 'greater 0'}' | tcpdump -nn -tt --nano -r -"])
        expect_equal(ours.splitlines(), theirs.splitlines(), f"packets that match '{expression}'")
        if expression == "vlan 5":
            expect_equal(len(theirs.splitlines()), 100, "packets with the tag")
    out = t.path("out.pcapng")
    run_command([wbtest.WIREBUS, "cat", "--from", url, "-o", "pcapng", "-w", out])
    about, found = capinfos(out)
    expect_equal(found, 500, "packets")
    for text in (f"Name = {CAPTURED_SIDE}", "Filter string = ip or vlan or arp", "Speed = 10000000000", "Number of stat entries = 1"):
        expect(text in about, f"{text} is not in {about}")
    expect_equal({fact.direction for fact in tshark_facts(out, run)}, {INBOUND}, "directions")


INBOUND, OUTBOUND = 1, 2
Fact = collections.namedtuple("Fact", "source direction drops")


def tshark_facts(path, run):
    """What tshark shows of each packet of a file with all that a capture of two streams has published: each stream's are
    numbered from 1 on."""
    shown = run_command(["tshark", "-n", "-r", path, "-T", "fields", "-e", "frame.packet_id", "-e", "ip.src", "-e",
                         "frame.packet_flags_direction", "-e", "frame.drop_count"])
    rows = [line.split("\t") for line in shown.splitlines()]
    accepted = [counters["accepted"] for counters in wbtest.ledger.workers(run.ledger_path)]
    expect(len(accepted) == 2 and all(accepted), f"packets of both streams: {accepted}")
    expect_equal(sorted(int(row[0]) for row in rows), sorted(number for count in accepted for number in range(1, count + 1)),
                 "numbers of the packets")
    return [Fact(row[1], int(row[2], 0), int(row[3] or 0)) for row in rows]


def told(url, *names):
    """The sum of these counters, by the newest of each stream in the files."""
    newest = {}
    for message in wire.read_files(pathlib.Path(url.removeprefix("file://"))):
        facts = wire.read_batch(message[1]) if message else {}  # the last one may not be whole yet
        if "counters" in facts:
            newest[facts["stream"]] = facts["counters"]
    return sum(counters[name] for counters in newest.values() for name in names)


def test_tools_overrun(t):
    """Wireshark's tools see in which direction each packet went, and each one that an overrun ring has cost."""
    net = t.net()
    url = t.shared_folder("packets")
    run = t.capture(net, url, "--block-bytes", "16KiB", "--block-count", "4", "--heartbeat", "100ms")
    sent = 0

    def send(link, count, sizes, reverse=0):
        nonlocal sent
        words = wbtest.plan_words({"count": count, "flows": 64, "sizes": sizes, "reverse": reverse})
        net.run(wbtest.SENDER, link, "--rate", 100000, *words)
        sent += count

    def is_told():
        return told(url, "read", "kernel_dropped") == sent
    send(wbtest.SENDING_SIDE, 100, 100)
    send(CAPTURED_SIDE, 10, "gso:2000", reverse=1)
    wait_until(is_told, 30, "all was read")
    run.send_signal(signal.SIGSTOP)
    send(wbtest.SENDING_SIDE, 5000, 100)
    run.send_signal(signal.SIGCONT)
    dropped = None
    # They belong to the packet that comes after the message that tells of them: so the last one tells of no more.
    while dropped != told(url, "kernel_dropped"):
        wait_until(is_told, 30, "all was read or lost, and told")
        dropped = told(url, "kernel_dropped")
        send(wbtest.SENDING_SIDE, 100, 100)
        wait_until(is_told, 30, "all was read or lost, and told")
    total = t.settle(run, sent, workers=2)
    expect(total["kernel_dropped"] > 1000, f"the ring was not overrun: {total}")
    out = t.path("out.pcapng")
    run_command([wbtest.WIREBUS, "cat", "--from", url, "-o", "pcapng", "-w", out])
    facts = tshark_facts(out, run)
    ways = [OUTBOUND if fact.source.startswith("10.128.") else INBOUND for fact in facts]
    expect_equal([fact.direction for fact in facts], ways, "directions")
    expect_equal(set(ways), {INBOUND, OUTBOUND}, "directions of what was sent")
    expect_equal(sum(fact.drops for fact in facts), total["kernel_dropped"], "packets dropped between those in the file")


def test_progress(t):
    """On a terminal a line says how far it is; elsewhere there is none."""
    url = make(t, "--packets", 100000, "--step-ns", 1000000)
    master, slave = pty.openpty()
    summary = t.path("summary.json")
    process = subprocess.Popen([wbtest.WIREBUS, "cat", "--from", url, "-o", "pcapng", "--summary", summary],
                               stdout=subprocess.PIPE, stderr=slave)
    t.cleanup(process.kill)
    os.close(slave)
    said = b""
    process.stdout.read(1000)
    # Nobody reads on for longer than short readings take, then little by little.
    wait_until(lambda: not os.path.exists(summary), 1, "it goes on")
    begin = time.monotonic()
    while process.stdout.read(30000):
        if time.monotonic() - begin < 2:
            time.sleep(0.05)
    while True:
        try:
            data = os.read(master, 4096)
        except OSError as error:
            expect_equal(error.errno, errno.EIO, "the end of the terminal")
            break
        if not data:
            break
        said += data
    expect_equal(process.wait(30), 0, "exit code")
    expect(re.search(rb"\r\d+ %, \d+ packets, \d+ messages, \d+ packets/s\x1b\[K", said), f"the line: {said}")
    expect(b"\r\x1b[Kwirebus cat: 100000 packets" in said, f"the line is taken away: {said}")
    cat = t.start("cat", [wbtest.WIREBUS, "cat", "--from", url, "-o", "pcapng", "-w", "/dev/null"])
    expect_equal(cat.wait(60), 0, "exit code")
    expect("\r" not in cat.err, f"no line in a file: {cat.err}")


def in_order(t, net, source, packets, *arguments):
    """Start to read live; returns a function that ends with the capture, and asserts packets and order."""
    out = t.path(f"live-{t.number('live')}.pcapng")
    cat = t.wirebus(net, "cat", "--from", source, "-o", "pcapng", "-w", out, *arguments)

    def finish():
        if "--follow" in arguments:
            wait_until(lambda: os.path.exists(out) and capinfos(out)[1] == packets, 60, "all packets are there, live")
            cat.send_signal(signal.SIGTERM)
        expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
        about, found = capinfos(out)
        expect_equal(found, packets, f"packets live ({cat.err})")
        expect(re.search(r"Strict time order:\s+True", about), f"the order live: {about}")
    return finish


def test_live(t):
    """Four workers live through ZeroMQ: what comes is in the order of time."""
    net = t.net()
    run = t.capture(net, f"zmq+push://127.0.0.1:{PORT}", "--heartbeat", "200ms", workers=4)
    finish = in_order(t, net, f"zmq+pull://127.0.0.1:{PORT}", 30000)
    wait_until(lambda: net.connected(PORT), 10, "the consumer is connected")
    t.send(net, {"count": 30000, "flows": 64}, rate=10000)
    t.settle(run, 30000, lossless=True, workers=4)
    finish()


def test_live_kafka(t):
    """The same out of four partitions of a broker, from the beginning on, and beyond what was there."""
    net = t.net()
    broker = t.broker(net, 9092, "num.partitions=4")
    url = f"kafka://{broker.servers}/packets"
    run = t.capture(net, url, "--heartbeat", "200ms", workers=4)
    t.send(net, {"count": 20000, "flows": 64}, rate=10000)
    finish = in_order(t, net, url, 40000, "--follow")
    t.send(net, {"count": 40000, "flows": 64}, rate=10000, first=20000)
    t.settle(run, 40000, lossless=True, workers=4)
    finish()


def test_spool(t):
    """A spool is read like any folder, while wirebus writes to it and after."""
    net, folder = t.net(), t.path("spool")
    run = t.capture(net, "kafka://127.0.0.1:9/packets", "--on-full", "spool", "--spool-dir", folder, "--buffers", "8",
                    "--batch-bytes", "16KiB", "--spool-segment-bytes", "256KiB", "--flush", "1s")
    url = f"file://{folder}"

    def seen(*arguments):
        cat = t.start("cat", [wbtest.WIREBUS, "cat", "--from", url, "-o", "pcapng", "-w", "/dev/null", *arguments])
        expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
        expect("damaged 0" in cat.err, f"damage in a spool that is in use: {cat.err}")
        return int(re.search(r"wirebus cat: (\d+) packets", cat.err).group(1))
    sender = t.start("sender", net.command(wbtest.SENDER, wbtest.SENDING_SIDE, "--rate", "10000", "--count", "40000", "--flows", "8"))
    counts = []
    wait_until(lambda: any(name.endswith(".wbs") for name in os.listdir(folder)) if os.path.isdir(folder) else False, 20,
               "something is in the spool")
    while sender.running():
        counts.append(seen())
    expect(counts == sorted(counts) and counts[-1] > 0, f"packets seen meanwhile: {counts}")
    expect_equal(sender.wait(30), 0, "exit code of the sender")
    run.send_signal(signal.SIGTERM)
    run.wait(60)
    total = wbtest.ledger.check(run.ledger_path, sent=40000)
    expect_equal(seen(), int(total["spooled"]), f"packets in the spool, and in the ledger {total}")


if __name__ == "__main__":
    wbtest.main(globals())
