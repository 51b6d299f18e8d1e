#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs of other people that read topics: ClickHouse with the SQL of configs/, kcat with protoc, a C program on libwbproto
alone; each compared with a capture file that tcpdump writes beside wirebus."""
import collections
import datetime
import json
import os
import re
import shutil
import struct
import subprocess

from prelude import wbtest
from wbtest import CAPTURED_SIDE, SENDING_SIDE, expect, expect_equal, run as run_command, wait_until

CLEAN = {"count": 6000, "flows": 64, "sizes": "mixed", "seed": 21}
TAGGED = {"count": 3000, "flows": 16, "sizes": "mixed", "seed": 22, "vlan": "0x8100:0x2064"}
MIXED = 4800
SENT = CLEAN["count"] + TAGGED["count"] + MIXED
WORKERS = 2
SQL = wbtest.ROOT / "configs" / "clickhouse"


def tcpdump(t, net):
    """Writes as many packets as are sent into a file, then ends; returns the process, with its .file."""
    path = t.path("packets.pcap")
    process = t.start("tcpdump", net.command(
        "tcpdump", "-i", CAPTURED_SIDE, "-n", "-U", "-Z", "root", "-B", "32768", "--time-stamp-precision", "nano", "-c", SENT, "-w",
        path))
    process.file = path
    wait_until(lambda: "listening on" in process.err, 30, "tcpdump captures")
    return process


def send_all(t, net):
    for plan in (CLEAN, TAGGED):
        t.send(net, plan, rate=20000)
    net.run(wbtest.PYTHON, wbtest.CLIENTS / "mixed_frames.py", SENDING_SIDE, MIXED)


def in_file(path):
    """What queries.sql asks, answered from the capture file."""
    text = run_command(["tshark", "-r", path, "-n", "-o", "ip.defragment:FALSE", "-T", "fields", "-E", "occurrence=a", "-e",
                        "frame.time_epoch", "-e", "frame.len", "-e", "ieee8021ad.id", "-e", "vlan.id", "-e", "ip.src", "-e", "ipv6.src"])
    packets = [line.split("\t") for line in text.splitlines()]
    vlans, talkers = collections.defaultdict(lambda: [0, 0]), collections.defaultdict(lambda: [0, 0])
    for _, length, outer, inner, ipv4, ipv6 in packets:
        keys = [(vlans, int(vlan)) for vlan in f"{outer},{inner}".split(",") if vlan]
        keys += [(talkers, address) for address in (ipv4, ipv6) if address]
        for table, key in keys:
            table[key][0] += 1
            table[key][1] += int(length)
    return {"packets": len(packets), "bytes": sum(int(packet[1]) for packet in packets),
            "times": sorted(packet[0] for packet in packets), "vlans": dict(vlans), "talkers": dict(talkers)}


def epoch(text):
    """A time of ClickHouse as tshark's frame.time_epoch."""
    whole, _, fraction = text.partition(".")
    return f"{datetime.datetime.fromisoformat(whole + '+00:00').timestamp():.0f}.{fraction}"


def compare(said, file):
    (totals,) = said["totals"]
    expect_equal((int(totals["packets"]), int(totals["bytes"])), (file["packets"], file["bytes"]), "packets and bytes")
    expect_equal((epoch(totals["first"]), epoch(totals["last"])), (file["times"][0], file["times"][-1]), "time range")
    expect_equal({row["vlan"]: [int(row["packets"]), int(row["bytes"])] for row in said["vlans"]}, file["vlans"], "VLAN ids")
    expect_equal(len(said["talkers"]), 10, "talkers")
    # Whether two with the same number of bytes are in order is up to either side.
    most = sorted(file["talkers"].values(), key=lambda counts: -counts[1])[:10]
    expect_equal([int(row["bytes"]) for row in said["talkers"]], [counts[1] for counts in most], "bytes of the talkers")
    for row in said["talkers"]:
        expect_equal([int(row["packets"]), int(row["bytes"])], file["talkers"].get(row["address"]), row["address"])


def chdb_folder():
    done = subprocess.run([wbtest.CLIENTS / "chdb.sh"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 75:
        raise wbtest.Skip("the package registry does not answer, so there is no ClickHouse")
    expect_equal(done.returncode, 0, f"exit code of chdb.sh ({done.stderr})")
    return done.stdout.strip()


def clickhouse(t, net, broker, topic, mode, packets, streams, *options):
    """The answers to queries.sql."""
    folder = t.folder / f"clickhouse-{topic}"
    shutil.copytree(wbtest.ROOT / "proto" / "wirebus" / "v1", folder)
    client = t.start("clickhouse", net.command(
        wbtest.PYTHON, wbtest.CLIENTS / "clickhouse.py", broker.servers, topic, mode, "--folder", folder, "--packets", packets,
        "--streams", streams, *options),
        env=dict(os.environ, PYTHONPATH=chdb_folder(), PYTHONDONTWRITEBYTECODE="1"))
    expect_equal(client.wait(150), 0, f"exit code of clickhouse.py ({client.err[-1500:]})")
    return json.loads(client.out.splitlines()[-1])


def captured(t, net, broker, *options):
    """Publish the frames on the topic `packets`; returns the ledger's totals and the capture file."""
    dump = tcpdump(t, net)
    run = t.capture(net, f"kafka://{broker.servers}/packets", *options)
    send_all(t, net)
    total = t.settle(run, SENT, lossless=True, workers=WORKERS)
    expect_equal(dump.wait(60), 0, f"exit code of tcpdump ({dump.err})")
    return total, dump.file


def check_ledger(said, total):
    expect_equal([(row["numbered"], row["received"], row["missing"], row["ended"]) for row in said["streams"]],
                 [(row["numbered"], row["numbered"], 0, 1) for row in said["streams"]], "streams")
    expect_equal(sum(int(row["received"]) for row in said["streams"]), SENT, "packets of all streams")
    expect_equal((said["holes"], said["kernel"], said["unreadable"]), ([], [], []), "losses")
    for ours, theirs in (("kernel_seen", "seen"), ("accepted", "numbered"), ("delivered", "acknowledged")):
        expect_equal(sum(int(row[theirs]) for row in said["counters"]), total[ours], theirs)


def thinned(t, net, broker, mode, kind, streams):
    """A topic where messages are missing, doubled and damaged: the SQL names exactly the packets that are missing."""
    thin = t.client(net, "thin_kafka.py", broker.servers, "packets", "thin", kind)
    expect_equal(thin.wait(60), 0, f"exit code of thin_kafka.py ({thin.err})")
    left_out = json.loads(thin.out)
    missing = sum(last - first + 1 for _, _, first, last in left_out)
    said = clickhouse(t, net, broker, "thin", mode, SENT - missing, streams + 1, "--unreadable", 1)
    expect_equal(int(said["totals"][0]["packets"]), SENT - missing, "packets, each once")
    holes = [[row["session"], row["stream_id"], int(row["first_missing"]), int(row["last_missing"])]
             for row in said["holes"]]
    expect_equal(holes, left_out, "packets that are missing")
    expect_equal([row["topic"] for row in said["unreadable"]], ["thin"], "messages that are no protobuf")
    expect_equal([(row["node"], row["worker_id"], row["at"], int(row["lost"])) for row in said["kernel"]],
                 [("elsewhere", 99, "2023-11-14 22:13:20.000000001", 3), ("elsewhere", 99, "2023-11-14 22:13:20.000000002", 4)],
                 "packets that the kernel lost")
    expect_equal(sum(int(row["missing"]) for row in said["streams"]), missing, "missing, by stream")


def check_readme():
    """The question that README.md shows is that of queries.sql, and the commands name files that are there."""
    readme = (wbtest.ROOT / "README.md").read_text()
    talkers = re.search(r"^-- talkers:.*\n(SELECT[^;]*;)", (SQL / "queries.sql").read_text(), re.MULTILINE)[1]
    expect(" ".join(talkers.split()) in " ".join(readme.split()), "README.md asks for the talkers in another way")
    for line in example_lines("clickhouse-client"):
        (path,) = re.findall(r"configs/clickhouse/\S+", line)
        expect((wbtest.ROOT / path).is_file(), f"{path} in README.md")


def test_clickhouse_batches(t):
    check_readme()
    net = t.net()
    broker = t.broker(net)
    total, file = captured(t, net, broker, "--batch-bytes", "64KiB")
    said = clickhouse(t, net, broker, "packets", "batches", SENT, WORKERS)
    compare(said, in_file(file))
    check_ledger(said, total)
    thinned(t, net, broker, "batches", "batch", WORKERS)


def test_clickhouse_records(t):
    net = t.net()
    broker = t.broker(net)
    total, file = captured(t, net, broker, "--mode", "record")
    said = clickhouse(t, net, broker, "packets", "records", SENT, WORKERS)
    compare(said, in_file(file))
    check_ledger(said, total)
    thinned(t, net, broker, "records", "record", WORKERS)


def frames_in_file(path):
    """(time, bytes) of each packet of a pcap file with nanoseconds; lengths are whole."""
    with open(path, "rb") as file:
        data = file.read()
    expect_equal(data[:4], b"\x4d\x3c\xb2\xa1", "magic number of the capture file")
    at = 24
    while at < len(data):
        seconds, nanoseconds, captured, length = struct.unpack_from("<IIII", data, at)
        expect_equal(captured, length, "captured bytes")
        yield f"{seconds}.{nanoseconds:09}", data[at + 16:at + 16 + length].hex()
        at += 16 + length


def example_lines(word):
    """The commands in README.md that have a word in them, for this broker's topic and this checkout."""
    text = (wbtest.ROOT / "README.md").read_text()
    lines = re.findall(rf"^    (.*\b{word}\b.*(?:\\\n.*)*)$", text, re.MULTILINE)
    expect(lines, f"README.md has no command with {word}")
    return lines


def run_example(t, net, line, broker):
    program = str(wbtest.BUILD / "proto" / "examples" / "print_packets")
    for ours, theirs in (("broker1:9092", broker.servers), ("./print_packets", program)):
        line = line.replace(ours, theirs)
    process = t.start("example", net.command("sh", "-c", f"cd '{wbtest.ROOT}' && {line}"))
    expect_equal(process.wait(60), 0, f"exit code of {line} ({process.err[-500:]})")
    return process.out


def printed_frames(lines):
    """What print_packets says: (time, frame with its tag back in)."""
    for line in lines:
        _, _, _, time, interface, tag, length, data = line.split()
        expect_equal((interface, 2 * int(length)), (CAPTURED_SIDE, len(data)), "interface and length")
        yield time, data if tag.startswith("0000:") else data[:24] + tag.replace(":", "") + data[24:]


def check_c_program(lines, file):
    """Every packet bit by bit, and every number of every stream once."""
    packets = [line for line in lines if not line.startswith("#")]
    expect_equal(collections.Counter(printed_frames(packets)), collections.Counter(frames_in_file(file)), "packets")
    numbers = collections.defaultdict(list)
    for line in packets:
        session, stream, number, _ = line.split(" ", 3)
        numbers[session, stream].append(int(number))
    for found in numbers.values():
        expect_equal(found, list(range(1, len(found) + 1)), "numbers of a stream")
    return {stream: len(found) for (_, stream), found in numbers.items()}


def test_kcat(t):
    """kcat takes messages off a topic; protoc shows one, and the C program shows what is in all of them."""
    net = t.net()
    broker = t.broker(net)
    _, file = captured(t, net, broker, "--heartbeat", "60s")  # so that the first message has packets
    one, every = example_lines("kcat")
    shown = run_example(t, net, one, broker)
    for wanted in (rf'^interfaces {{\n(?:  .*\n)*?  name: "{CAPTURED_SIDE}"$', "^batch_seq: 1$", "^first_packet_seq: 1$"):
        expect(re.search(wanted, shown, re.MULTILINE), f"{wanted} is not in {shown[:500]}")
    expect(shown.count("\npackets {\n") == shown.count("  time_unix_nano: ") > 0, f"packets in {shown[:500]}")

    lines = run_example(t, net, every, broker).splitlines()
    streams = check_c_program(lines, file)
    ends = sorted(line for line in lines if line.startswith("#"))
    expect_equal(ends, sorted(f"# stream {stream} has ended: {count} packets, 0 missing" for stream, count in streams.items()),
                 "ends of streams")


def test_kcat_records(t):
    net = t.net()
    broker = t.broker(net)
    _, file = captured(t, net, broker, "--mode", "record")
    _, every = example_lines("kcat")
    lines = run_example(t, net, every.replace("print_packets", "print_packets --record"), broker).splitlines()
    expect_equal(len(check_c_program(lines, file)), WORKERS, "streams")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=480)
