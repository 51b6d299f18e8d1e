#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Capture files onto the bus and back: what comes out is what an independent reader finds in the files, bit by bit."""
import gzip
import json
import os
import pathlib
import random
import re
import subprocess
import time

import prelude  # noqa: F401
import capfile
import ledger
import wbtest
from wbtest import expect, expect_equal, wait_until

NOW_NS = time.time_ns() - 3600 * 10**9  # old ones a broker may delete
# Ethernet, cooked, cooked again, raw IP, loopback, radiotap, 802.11, and one that nobody has heard of
LINK_TYPES = (1, 113, 276, 101, 0, 127, 105, 64999)
INBOUND, OUTBOUND = 1, 2
# Packages that have captures which nobody here made: the conformance set of pcapng among them.
PACKAGES = ("python3-dpkt", "pcapfix", "golang-github-google-gopacket-dev")


def frames(count, seed=1, longest=1500):
    """Times that grow by odd steps, and bytes of any kind and length."""
    source, at, made = random.Random(seed), NOW_NS, []
    for _ in range(count):
        at += source.randrange(1, 2_000_003)
        made.append((at, source.randbytes(source.choice((0, 1, 14, 60, 61, 100, longest)))))
    return made


def write(t, name, content):
    path = t.path(name)
    pathlib.Path(path).write_bytes(content)
    return path


def simple(packets, **facts):
    """As capfile.read() gives them, of what pcap() was given."""
    facts = {"link_type": 1, "interface": "", "flags": 0, "lost": 0, **facts}
    return [capfile.Packet(time_ns, data, original[0] if original else len(data), **facts) for time_ns, data, *original in packets]


def several_interfaces(order="<"):
    """A pcapng file with all link types, names, directions, cut packets, and what was lost."""
    parts = [capfile.section(order)]
    parts += [capfile.interface(order, link, f"if{number}-\u00e4" if number else None, snap=number and 2000)
              for number, link in enumerate(LINK_TYPES)]
    for number, (time_ns, data) in enumerate(frames(500, seed=7)):
        parts.append(capfile.enhanced(
            time_ns, data, number % len(LINK_TYPES), order, original=len(data) + number % 3, lost=number == 250 and 40 or None,
            flags=(None, INBOUND, OUTBOUND, INBOUND | 3 << 2)[number % 4]))
    return b"".join(parts)


def in_order(packets):
    """What was lost is told with a batch, not with a packet."""
    return sorted((packet._replace(lost=0) for packet in packets), key=lambda packet: packet.time_ns)


def compare(path, wanted, what, padded_original=True):
    got, wanted = in_order(capfile.read(path)), in_order(wanted)
    if padded_original:  # a packet cannot have been shorter than what was captured of it
        wanted = [packet._replace(original=max(packet.original, len(packet.data))) for packet in wanted]
    expect_equal(len(got), len(wanted), f"{what}: packets")
    for number, (one, other) in enumerate(zip(got, wanted)):
        expect_equal(one, other, f"{what}: packet {number + 1}")


def send(t, *arguments, code=0, seconds=90, name="send", **options):
    """`wirebus send` to its end. Returns the process, whose .ledger is the sum of its ledger."""
    path = t.path(f"send-{t.number('send-ledger')}.json")
    process = t.start(name, [wbtest.WIREBUS, "send", "--ledger", path, *arguments], **options)
    expect_equal(process.wait(seconds), code, f"exit code of send {arguments} ({process.err})")
    process.ledger_path = path
    if os.path.exists(path) and os.path.getsize(path):
        with open(path, encoding="utf-8") as stream:
            process.ledger = json.load(stream)["captures"][0]["total"]
    return process


def cat(t, source, code=0, prefix=()):
    """`wirebus cat` into a pcapng file; returns its path and what it said."""
    path = t.path(f"cat-{t.number('cat')}.pcapng")
    process = t.start("cat", [*prefix, wbtest.WIREBUS, "cat", "--from", source, "-o", "pcapng", "-w", path])
    expect_equal(process.wait(90), code, f"exit code of cat --from {source} ({process.err})")
    return path, process.err


def round_trip(t, path, what, wanted=None, code=0):
    """The file as a source, and by way of a folder."""
    wanted = capfile.read(path) if wanted is None else wanted
    compare(cat(t, path, code)[0], wanted, f"{what}, read by cat")
    folder = t.shared_folder(f"folder-{t.number('folder')}")
    sent = send(t, "--from", path, "--to", folder, code=code)
    compare(cat(t, folder)[0], wanted, f"{what}, sent to a folder")
    expect_equal((sent.ledger["accepted"], sent.ledger["delivered"]), (len(wanted), len(wanted)), f"{what}: ledger")
    return sent


def captures():
    """Capture files of Debian packages."""
    found = []
    for package in PACKAGES:
        listed = subprocess.run(["dpkg", "-L", package], capture_output=True, text=True, check=False).stdout
        found += [path for path in listed.splitlines() if re.search(r"\.pcap(ng)?$", path) and os.path.isfile(path)]
    if len(found) < 5:
        raise wbtest.Skip(f"the packages {', '.join(PACKAGES)} are not here, or were installed without their files")
    return found


def try_read(path):
    """What an independent reader finds; and whether it reached the end."""
    try:
        return capfile.read(path), True
    except capfile.Damaged as damage:
        return damage.args[1], False


def test_formats(t):
    packets = frames(300)
    for link in LINK_TYPES:
        path = write(t, f"link-{link}.pcap", capfile.pcap(packets, link=link))
        compare(cat(t, path)[0], simple(packets, link_type=link), f"link type {link}")
    coarse = [(time_ns // 1000 * 1000, data, len(data) + 9) for time_ns, data in packets]
    for order in "<>":
        round_trip(t, write(t, "ns.pcap", capfile.pcap(packets, order=order)), f"pcap {order}", simple(packets))
        round_trip(t, write(t, "us.pcap", capfile.pcap(coarse, order=order, nano=False)), f"pcap {order}, microseconds", simple(coarse))
        sent = round_trip(t, write(t, "several.pcapng", several_interfaces(order)), f"pcapng {order}")
        expect_equal((sent.ledger["kernel_dropped"], sent.ledger["kernel_seen"]), (40, 540), "what the file tells as lost")
    round_trip(t, write(t, "sections.pcapng", several_interfaces("<") + several_interfaces(">")), "two sections")
    round_trip(t, write(t, "none.pcapng", capfile.section() + capfile.interface()), "a file without packets")
    # However the file is named.
    expect_equal(cat(t, f"file://{t.path('several.pcapng')}")[1].count("500 packets"), 2, "packets of file://")
    wbtest.run([wbtest.WIREBUS, "cat", "--from", "several.pcapng", "-c", "1"], cwd=t.folder)
    beyond = [(time_ns, data + bytes(3000)) for time_ns, data in packets[:50]]
    round_trip(t, write(t, "snap.pcap", capfile.pcap(beyond, snap=64)), "packets longer than the snap length", simple(beyond))


def test_resolutions(t):
    """Times in other units than nanoseconds, and from another epoch."""
    for resolution, ticks, wanted in ((0, 1_700_000_000, 1_700_000_000 * 10**9), (3, 1_700_000_000_123, 1_700_000_000_123 * 10**6),
                                      (12, 1_700_000_000_123_456_789, 1_700_000_000_123_456), (0x80 | 10, 3 << 9, 1_500_000_000),
                                      (0x80 | 32, 5 << 31, 2_500_000_000)):
        path = write(t, "unit.pcapng", capfile.section() + capfile.interface(resolution=resolution) + capfile.enhanced(ticks, b"x"))
        expect_equal(capfile.read(cat(t, path)[0])[0].time_ns, wanted, f"if_tsresol {resolution}")
    offset = capfile.option("<", 14, (1_600_000_000).to_bytes(8, "little", signed=True))
    path = write(t, "offset.pcapng", capfile.section() + capfile.interface(more=offset) + capfile.enhanced(77, b"x"))
    expect_equal(capfile.read(cat(t, path)[0])[0].time_ns, 1_600_000_000 * 10**9 + 77, "if_tsoffset")


def tshark(path):
    """Each packet as Wireshark sees it."""
    fields = [word for field in ("time_epoch", "len", "cap_len", "encap_type", "md5_hash") for word in ("-e", f"frame.{field}")]
    done = subprocess.run(["tshark", "-n", "-o", "frame.generate_md5_hash:TRUE", "-r", path, "-T", "fields", *fields],
                          capture_output=True, text=True, timeout=60, check=False)
    return [line for line in done.stdout.splitlines() if line.split("\t")[-1]]  # other blocks have no bytes


def test_real_files(t):
    """Files of Debian packages, none of which was made here: whole, and cut in the middle."""
    found, damaged = captures(), 0
    conformance = [path for path in found if path.endswith(".pcapng")]
    alone = conformance if wbtest.FULL else random.Random(9).sample(conformance, min(12, len(conformance)))
    for path in [path for path in found if path not in conformance] + alone:
        wanted, whole = try_read(path)
        damaged += not whole
        out, said = cat(t, path, code=0 if whole else 1)
        compare(out, wanted, path)
        expect(whole or path in said, f"{path}: damage is not told: {said}")
        if os.path.basename(path) in ("http.pcap", "test_loopback.pcap"):
            expect_equal(tshark(out), tshark(path), f"{path}, as Wireshark sees it")
    expect(damaged >= 1, "one of the files is a damaged one, so that it is known what becomes of those")
    folder = t.shared_folder("all")
    whole = [path for path in found if try_read(path)[1]]
    send(t, *[word for path in whole for word in ("--from", path)], "--to", folder)
    everything = sorted(packet._replace(original=max(packet.original, len(packet.data)), lost=0)
                        for path in whole for packet in capfile.read(path))
    expect_equal(sorted(in_order(capfile.read(cat(t, folder)[0]))), everything, "all files together")


def test_cut_files(t):
    source = random.Random(5)
    found = captures()
    for path in source.sample(found, min(12, len(found))):
        content = pathlib.Path(path).read_bytes()
        cut = write(t, f"cut-{os.path.basename(path)}", content[:source.randrange(24, max(25, len(content)))])
        wanted, whole = try_read(cut)
        folder = t.shared_folder(f"folder-{t.number('folder')}")
        sent = send(t, "--from", cut, "--to", folder, code=0 if whole else 1)
        expect(whole or re.search(re.escape(cut) + r"@\d+: ", sent.err), f"no file and offset in: {sent.err}")
        compare(cat(t, folder)[0], wanted, f"{path}, cut")


def test_damaged(t):
    """What came before the damage is kept; the message names file, offset and rule."""
    good = capfile.section() + capfile.interface(name="eth0") + capfile.enhanced(NOW_NS, b"kept")
    pcap = capfile.pcap([(NOW_NS, b"kept")])
    for name, content, rule in (
            ("long.pcap", pcap + (1).to_bytes(4, "little") * 2 + (262145).to_bytes(4, "little") * 2, "262144 is the most"),
            ("giant.pcap", pcap + (1).to_bytes(4, "little") * 2 + (0xFFFFFFFF).to_bytes(4, "little") * 2, "4294967295"),
            ("cut.pcap", pcap + bytes(7), "ends inside a packet's header"),
            ("zero.pcapng", good + bytes(12), "at least"),
            ("odd.pcapng", good + (6).to_bytes(4, "little") + (33).to_bytes(4, "little") + bytes(25), "multiple of 4"),
            ("giant.pcapng", good + (6).to_bytes(4, "little") + (0xFFFFFFFC).to_bytes(4, "little"), "is the most"),
            ("unknown.pcapng", good + (77).to_bytes(4, "little") + (0xFFFFFFFC).to_bytes(4, "little") + bytes(99), "before its end"),
            ("trailer.pcapng", good + capfile.enhanced(NOW_NS, b"lost")[:-4] + b"\1\0\0\0", "at its end"),
            ("interface.pcapng", good + capfile.enhanced(NOW_NS, b"lost", number=1), "interface 1"),
            ("room.pcapng", good + capfile.block("<", 6, bytes(12) + b"\x50\0\0\0" * 2 + bytes(40)), "room for 40"),
            ("order.pcapng", good + capfile.block("<", 0x0A0D0D0A, bytes(16)), "byte order"),
            ("version.pcapng", good + capfile.section().replace(b"\1\0\0\0", b"\2\0\0\0"), "version 2"),
            ("option.pcapng", good + capfile.block("<", 6, bytes(20) + b"\2\0\xff\xff"), "option 2"),
            ("late.pcapng", good + capfile.interface(resolution=0) + capfile.enhanced(1 << 60, b"lost", number=1), "2554")):
        path = write(t, name, content)
        folder = t.shared_folder(f"folder-{t.number('folder')}")
        sent = send(t, "--from", path, "--to", folder, code=1)
        expect(re.search(re.escape(path) + r"@\d+: .*" + re.escape(rule), sent.err), f"{name} says: {sent.err}")
        expect_equal([packet.data for packet in capfile.read(cat(t, folder)[0])], [b"kept"], f"{name}: packets before the damage")
        out, said = cat(t, path, code=1)
        expect(rule in said, f"cat says of {name}: {said}")
        expect_equal([packet.data for packet in capfile.read(out)], [b"kept"], f"{name}: packets that cat shows")
    # The others go on.
    folder = t.shared_folder("others")
    sent = send(t, "--from", t.path("cut.pcap"), "--from", write(t, "whole.pcap", pcap), "--to", folder, code=1)
    expect_equal(len(capfile.read(cat(t, folder)[0])), 2, "packets of both files")
    for name, content, rule in (("text.pcap", b"no capture at all", "neither a pcap nor a pcapng"), ("empty.pcap", b"", "empty"),
                                ("packed.pcap.gz", gzip.compress(pcap), "zcat")):
        sent = send(t, "--from", write(t, name, content), "--to", "null:", code=1)
        expect(rule in sent.err, f"{name} says: {sent.err}")


def test_kafka(t):
    """Through a real broker: in batches, by flow, and one packet a message."""
    net = t.net()
    broker = t.broker(net)
    path = write(t, "several.pcapng", several_interfaces())
    wanted = capfile.read(path)
    inside = net.command()
    for topic, options in (("batches", ["--batch-bytes", "4KiB"]), ("flows", ["--key", "flow"]), ("records", ["--mode", "record"])):
        url = f"kafka://{broker.servers}/{topic}"
        report = t.path(f"{topic}.json")
        process = t.start("send", [*inside, wbtest.WIREBUS, "send", "--from", path, "--to", url, "--ledger", report, *options])
        expect_equal(process.wait(90), 0, f"exit code of send ({process.err})")
        expect("days old" not in process.err, f"times of today are taken for old ones: {process.err}")
        expect_equal(ledger.check(report, sent=len(wanted) + 40, workers=1)["delivered"], len(wanted), f"ledger of topic {topic}")
        compare(cat(t, url, prefix=inside)[0], wanted, f"topic {topic}")
        process.ledger_path = report
        t.audit(net, url, run=process)
    old = write(t, "old.pcap", capfile.pcap([(10**18, b"of 2001")]))
    process = t.start("send", [*inside, wbtest.WIREBUS, "send", "--from", old, "--to", f"kafka://{broker.servers}/old"])
    expect_equal(process.wait(90), 0, f"exit code of send ({process.err})")
    expect("days old" in process.err, f"nothing is said of old times: {process.err}")


def test_zmq(t):
    """A consumer that is there before, and one that comes while send waits for it."""
    net = t.net()
    inside = net.command()
    path = write(t, "several.pcapng", several_interfaces())
    url = "zmq+{}://127.0.0.1:5571"
    out = t.path("push.pcapng")
    sender = t.start("send", [*inside, wbtest.WIREBUS, "send", "--from", path, "--to", url.format("push"), "--wait", "60s"])
    consumer = t.start("cat", [*inside, wbtest.WIREBUS, "cat", "--from", url.format("pull"), "-o", "pcapng", "-w", out])
    expect_equal(sender.wait(90), 0, f"exit code of send ({sender.err})")
    expect_equal(consumer.wait(60), 0, f"exit code of cat ({consumer.err})")
    compare(out, capfile.read(path), "PUSH")


def test_several_files(t):
    """Merged by time; a file that goes back in time stays as it is, and that is told."""
    packets = frames(900, seed=3, longest=300)
    paths = [write(t, f"part{i}.pcap", capfile.pcap(packets[i::3], nano=True, order="<>"[i % 2])) for i in range(3)]
    folder = t.shared_folder("merged")
    sent = send(t, *[word for path in paths for word in ("--from", path)], "--to", folder)
    expect("earlier" not in sent.err, f"packets are said to be out of order: {sent.err}")
    got = capfile.read(cat(t, folder)[0])
    expect_equal([(packet.time_ns, packet.data) for packet in got], packets, "packets of three files, in order")
    back = [packets[0], packets[5], packets[3], packets[4], packets[9]]
    sent = send(t, "--from", write(t, "back.pcap", capfile.pcap(back)), "--from", write(t, "other.pcap", capfile.pcap(packets[6:8])),
                "--to", t.shared_folder("back"))
    expect("2 packets are earlier" in sent.err, f"not told: {sent.err}")


def test_standard_input(t):
    """What comes through a pipe goes out while the pipe is open."""
    packets = frames(40)
    content = capfile.pcap(packets)
    folder = t.shared_folder("piped")
    report = t.path("piped.json")
    process = t.start("send", [wbtest.WIREBUS, "send", "--from", "-", "--to", folder, "--ledger", report, "--interface", "tap0"],
                      stdin=subprocess.PIPE)
    pipe = process.popen.stdin
    pipe.write(content[:len(content) // 2])
    pipe.flush()
    written = pathlib.Path(folder[len("file://"):])
    wait_until(lambda: any(path.stat().st_size > 1000 for path in written.glob("*.wbs")), 30, "packets of a pipe that is open")
    pipe.write(content[len(content) // 2:])
    pipe.close()
    expect_equal(process.wait(60), 0, f"exit code of send ({process.err})")
    ledger.check(report, sent=len(packets), lossless=True)
    compare(cat(t, folder)[0], simple(packets, interface="tap0"), "standard input")
    packed = subprocess.Popen(["zcat", write(t, "day.pcap.gz", gzip.compress(content))], stdout=subprocess.PIPE)
    t.cleanup(packed.stdout.close)
    folder = t.shared_folder("packed")
    send(t, "--from", "-", "--to", folder, stdin=packed.stdout)
    packed.wait(20)
    compare(cat(t, folder)[0], simple(packets), "a compressed file through zcat")
    out = t.path("from-stdin.pcapng")
    with open(write(t, "day.pcap", content), "rb") as day:
        wbtest.run([wbtest.WIREBUS, "cat", "--from", "-", "-o", "pcapng", "-w", out], stdin=day)
    compare(out, simple(packets), "cat from standard input")
    os.mkfifo(t.path("fifo"))
    writer = t.start("writer", ["cp", t.path("day.pcap"), t.path("fifo")])
    compare(cat(t, t.path("fifo"))[0], simple(packets), "cat from a named pipe")
    expect_equal(writer.wait(20), 0, "exit code of cp")


def test_interrupted(t):
    """SIGINT and SIGTERM: what was read is published, and the ledger says how much that was."""
    for number in (wbtest.signal.SIGINT, wbtest.signal.SIGTERM):
        report, folder = t.path("report.json"), t.shared_folder(f"cut-short-{number}")
        path = write(t, "slow.pcap", capfile.pcap(frames(1000)))
        process = t.start("send", [wbtest.WIREBUS, "send", "--from", path, "--to", folder, "--ledger", report, "-p", "20"])
        written = pathlib.Path(folder[len("file://"):])
        wait_until(lambda: any(path.stat().st_size > 200 for path in written.glob("*.wbs")), 30, "the first packets")
        process.stop(number)
        expect("stopping" in process.err, f"not told: {process.err}")
        with open(report, encoding="utf-8") as stream:
            sent = json.load(stream)["captures"][0]["total"]
        expect(0 < sent["delivered"] < 1000 and sent["delivered"] == sent["accepted"], f"ledger of a send that was stopped: {sent}")
        expect_equal(len(capfile.read(cat(t, folder)[0])), sent["delivered"], "packets of a send that was stopped")
        wbtest.run([wbtest.WIREBUS, "verify", "--no-loss", "--from", folder])


def test_pace(t):
    packets = [(NOW_NS + i * 20_000_000, bytes(1000)) for i in range(51)]  # one second
    path = write(t, "second.pcap", capfile.pcap(packets))
    for options, least in ((["-x", "1"], 1.0), (["-x", "2"], 0.5), (["-p", "100"], 0.5), (["-M", "0.8"], 0.5)):
        began = time.monotonic()
        send(t, "--from", path, "--to", "null:", *options)
        taken = time.monotonic() - began
        expect(taken >= least, f"send {options} took {taken} s, wanted {least} at least")
    folder = t.shared_folder("now")
    began = time.time_ns()
    send(t, "--from", path, "--to", folder, "--shift", "now")
    got = capfile.read(cat(t, folder)[0])
    expect(began <= got[0].time_ns <= time.time_ns(), f"the first packet is of {got[0].time_ns}, sent at {began}")
    expect_equal([packet.time_ns - got[0].time_ns for packet in got], [i * 20_000_000 for i in range(51)], "gaps of the shifted")


def test_options(t):
    packets = frames(200, longest=9000)
    path = write(t, "frames.pcap", capfile.pcap(packets))
    folder = t.shared_folder("cut")
    sent = send(t, "--from", path, "--to", folder, "-c", "150", "--batch-packets", "10", "--node", "elsewhere", "--stats", "100ms")
    expect_equal(sent.ledger["delivered"], 150, "packets with --count")
    said = wbtest.run([wbtest.WIREBUS, "cat", "--from", folder, "-o", "json"]).splitlines()
    expect_equal({json.loads(line)["node"] for line in said}, {"elsewhere"}, "node in the messages")
    expect_equal(max(int(json.loads(line)["batch_seq"]) for line in said), 15, "batches of 10")
    for arguments, quote in ((["--to", "null:"], "--from"), (["--from", path], "--to"), (["--from", "-", "--from", "-", "--to", "null:"], "once"),
                             (["--from", path, "--to", "nonsense"], "nonsense"), (["--from", path, "--to", "null:", "-x", "0"], "'0'"),
                             (["--from", path, "--to", "null:", "--workers", "2"], "--workers"),
                             (["--from", path, "--to", "null:", "--shift", "later"], "later"),
                             (["--from", path, "--to", "null:", "--on-full", "spool"], "spool")):
        sent = send(t, *arguments, code=2)
        expect(quote in sent.err and len(sent.err.splitlines()) == 1, f"send {arguments} says: {sent.err}")
    for ways, names in ((["-x", "2", "-p", "3"], ("--multiplier", "--pps")), (["-p", "3", "-x", "2"], ("--multiplier", "--pps")),
                        (["-M", "4", "-t"], ("--mbps", "--topspeed"))):
        sent = send(t, "--from", path, "--to", "null:", *ways, code=2)
        expect(all(name in sent.err for name in names) and len(sent.err.splitlines()) == 1, f"send {ways} says: {sent.err}")
    for missing in (t.path("nothing.pcap"), str(t.folder)):
        expect(missing in send(t, "--from", missing, "--to", "null:", code=1).err, "the file is not named")


def test_no_bus(t):
    """Nobody there: an end with exit code 1, and nothing is lost that a second try would not send."""
    path = write(t, "frames.pcap", capfile.pcap(frames(10)))
    for url, what in (("kafka://127.0.0.1:9/packets", "no answer"), ("zmq+push://127.0.0.1:5572", "no consumer"),
                      ("zmq+pub://127.0.0.1:5572", "no consumer")):
        sent = send(t, "--from", path, "--to", url, "--wait", "1s", code=1)
        expect(what in sent.err and "nothing was sent" in sent.err, f"send to {url} says: {sent.err}")


if __name__ == "__main__":
    wbtest.main(globals())
