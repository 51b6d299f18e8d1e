#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Packets from a bus back onto a wire: bit by bit, in their time; and what cannot be sent, by its cause."""
import base64
import json
import os
import signal
import time

from errors import NOBODY, inside, refused
from prelude import wbtest
from wbtest import CAPTURED_SIDE, expect, expect_equal, wait_until

OUT_SIDE, FAR_SIDE = "rpa", "rpb"  # replayed onto, and captured again
READ_ANY, SEND_RAW = 1 << 2, 1 << 13  # CAP_DAC_READ_SEARCH, CAP_NET_RAW
SEGMENTATION, CHECKSUM_NOT_READY = 1 << 11, 1 << 9  # Packet.flags

# Plain; 802.1Q; 802.1ad, with 4 bytes more than an MTU of 1500 gives untagged frames; a priority tag; super-frames; plain
# again.
PLANS = [
    {"count": 200, "flows": 8, "sizes": "mixed", "seed": 1},
    {"count": 100, "flows": 8, "sizes": "mixed", "seed": 2, "vlan": "0x8100:0xb064"},
    {"count": 100, "flows": 8, "sizes": "1514", "seed": 3, "vlan": "0x88a8:0x0064"},
    {"count": 50, "flows": 8, "sizes": "mixed", "seed": 4, "vlan": "0x8100:0xe000"},
    {"count": 20, "flows": 4, "sizes": "gso:40000", "seed": 5},
    {"count": 20, "flows": 4, "sizes": "gso:30000", "seed": 6, "vlan": "0x8100:0x0007"},
    {"count": 100, "flows": 8, "sizes": "mixed", "seed": 7},
]
TOTAL = sum(plan["count"] for plan in PLANS)


def second_pair(net, mtu=1500):
    net.run("ip", "link", "add", OUT_SIDE, "type", "veth", "peer", "name", FAR_SIDE)
    for link in (OUT_SIDE, FAR_SIDE):
        net.run("ip", "link", "set", link, "mtu", mtu)
        net.run("ip", "link", "set", link, "up")


def far_received(net):
    return int(net.run("cat", f"/sys/class/net/{FAR_SIDE}/statistics/rx_packets"))


def start_replay(t, net, source, *arguments, to=f"iface://{OUT_SIDE}", **options):
    path = t.path(f"replay-{t.number('replay-summary')}.json")
    replay = t.wirebus(net, "replay", "--from", source, "--to", to, "--summary", path, *arguments, **options)
    replay.summary_path = path
    return replay


def finish(replay, code=0, seconds=120):
    """Wait for it; returns its summary, in which no packet is missing."""
    expect_equal(replay.wait(seconds), code, f"exit code of replay ({replay.err})")
    with open(replay.summary_path, encoding="utf-8") as file:
        said = json.load(file)
    expect_equal(said["read"] + said["repeated"],
                 said["filtered"] + said["outside"] + said["sent"] + sum(said["not_sent"].values()), f"the sum of {said}")
    expect_equal(said["timing"]["packets"] in (0, said["sent"]), True, f"packets in the timing: {said}")
    said["causes"] = {cause: count for cause, count in said["not_sent"].items() if count}
    return said


def replay_all(t, net, source, *arguments, code=0, **options):
    return finish(start_replay(t, net, source, *arguments, **options), code)


def store(t, net, plan, *arguments, rate=None, name="packets"):
    """Capture a plan into files; returns their URL."""
    url = t.shared_folder(name)
    run = t.capture(net, url, *arguments, workers=1)
    t.send(net, plan, rate=rate)
    t.settle(run, plan["count"], lossless=True)
    return url


def read_json(t, net, url):
    cat = t.wirebus(net, "cat", "--from", url, "-o", "json")
    expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
    return [json.loads(line) for line in cat.out.splitlines()]


def facts(line):
    """All that must be the same after a replay."""
    header = base64.b64decode(line.get("vnet_header", ""))
    return {
        "data": line["data"],
        "original_length": line["original_length"],
        "link_type": line["link_type"],
        "tag": (line.get("vlan_tpid"), line.get("vlan_tci")),
        "offload": line["flags"] & (SEGMENTATION | CHECKSUM_NOT_READY),
        # gso_type, gso_size, csum_start, csum_offset; the length of the linear part is the receiver's own affair.
        "vnet": (header[1:2], header[4:10]),
    }


def compare(t, net, before, after, span_of=None):
    """What was captured first, and what was captured of its replay."""
    first, second = read_json(t, net, before), read_json(t, net, after)
    expect_equal(len(first), TOTAL, "packets before")
    expect_equal(len(second), TOTAL, "packets after")
    for number, (one, two) in enumerate(zip(first, second)):
        expect_equal(facts(two), facts(one), f"packet {number}")
        expect_equal(two["interface_name"], FAR_SIDE, "interface_name")
    spans = [int(lines[-1]["time_unix_nano"]) - int(lines[0]["time_unix_nano"]) for lines in (first, second)]
    if span_of:
        # How exact it is, is for the bench: here a machine may be as slow as it likes, but nothing may come early.
        wanted = spans[0] / span_of
        expect(wanted - 1e9 < spans[1] < wanted + 30e9, f"spans: {spans[0]} ns became {spans[1]} ns")
        expect(wanted > 1.5e9, f"the test takes too short to show anything: {spans}")
    expect_equal({line["offload"] for line in map(facts, first)}, {0, SEGMENTATION | CHECKSUM_NOT_READY}, "offload flags")
    expect_equal({line["tag"] for line in map(facts, first)},
                 {(None, None), (0x8100, 0xB064), (0x88A8, 0x64), (0x8100, 0xE000), (0x8100, 7)}, "tags")


def send_plans(t, net):
    for plan in PLANS:
        t.send(net, plan, rate=200)


def captured_again(t, net):
    url = t.shared_folder("again")
    return t.capture(net, url, "--vnet-header", interface=FAR_SIDE, workers=1), url


def check_sent(said):
    expect_equal((said["sent"], said["causes"], said["end"]), (TOTAL, {}, "end of data"), "what was sent")
    expect_equal(said["timing"]["packets"], TOTAL, "packets in the timing")


def test_kafka(t):
    """Wire, Kafka, wire: bit by bit, with the times' differences."""
    net = t.net(mtu=1504)
    second_pair(net)
    url = f"kafka://{t.broker(net).servers}/packets"
    run = t.capture(net, url, "--vnet-header", workers=1)
    send_plans(t, net)
    t.settle(run, TOTAL, lossless=True)
    again, folder = captured_again(t, net)
    check_sent(replay_all(t, net, url))
    t.settle(again, TOTAL, lossless=True)
    compare(t, net, url, folder, span_of=1)


def test_zmq(t):
    """The same live, over ZeroMQ: replayed while it is captured, for a moment later; it ends with the streams."""
    net = t.net(mtu=1504)
    second_pair(net)
    again, folder = captured_again(t, net)
    replay = start_replay(t, net, "zmq+sub://127.0.0.1:5599")
    run = t.capture(net, "zmq+pub://127.0.0.1:5599", "--vnet-header", workers=1)
    t.wait_subscribed(net, 5599)
    beside = t.shared_folder("beside")
    reference = t.capture(net, beside, "--vnet-header", workers=1)
    send_plans(t, net)
    t.settle(reference, TOTAL, lossless=True)
    t.settle(run, TOTAL, lossless=True)
    check_sent(finish(replay))
    t.settle(again, TOTAL, lossless=True)
    compare(t, net, beside, folder, span_of=1)


def test_files_twice_as_fast(t):
    net = t.net(mtu=1504)
    second_pair(net)
    url = t.shared_folder("packets")
    run = t.capture(net, url, "--vnet-header", workers=1)
    for plan in PLANS:
        t.send(net, plan, rate=150)
    t.settle(run, TOTAL, lossless=True)
    again, folder = captured_again(t, net)
    check_sent(replay_all(t, net, url, "-x", "2"))
    t.settle(again, TOTAL, lossless=True)
    compare(t, net, url, folder, span_of=2)


def test_rates(t):
    """Fixed rates take at least as long as they must, and all of them send the same frames; as fast as possible, too."""
    net = t.net()
    second_pair(net)
    plan = {"count": 1000, "flows": 8, "sizes": "1000"}
    url = store(t, net, plan)
    for arguments, least in ((["-p", "2000"], 0.4995), (["-M", "8"], 0.999), (["-t"], 0), (["--preload", "-t"], 0)):
        folder = t.shared_folder(f"again-{t.number('again')}")
        again = t.capture(net, folder, interface=FAR_SIDE)
        said = replay_all(t, net, url, *arguments)
        expect_equal((said["sent"], said["sent_bytes"]), (1000, 1000 * 1000), f"sent with {arguments}")
        expect(said["duration_ns"] >= least * 1e9, f"duration with {arguments}: {said['duration_ns']}")
        t.settle(again, 1000, lossless=True)
        cat, checker = t.cat_and_check(net, plan, folder, check=["--interface", FAR_SIDE])
        expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
        t.checked(checker)


def test_loops(t):
    """Several passes: from the buffer what fits into it, read again what does not; a limit ends in the middle."""
    net = t.net()
    second_pair(net)
    url = store(t, net, {"count": 3000, "flows": 8, "sizes": "1000"}, rate=20000)
    said = replay_all(t, net, url, "-t", "-l", "3")
    expect_equal((said["read"], said["repeated"], said["sent"], said["passes"]), (3000, 6000, 9000, 3), f"kept: {said}")
    said = replay_all(t, net, url, "-t", "-l", "3", "--buffer", "1MiB")
    expect_equal((said["read"], said["repeated"], said["sent"], said["passes"]), (9000, 0, 9000, 3), f"read again: {said}")
    said = replay_all(t, net, url, "-t", "--loop", "0", "-L", "10000")
    expect_equal((said["sent"], said["end"], said["passes"]), (10000, "limit reached", 3), f"limit: {said}")
    said = replay_all(t, net, url, "-t", "-l", "0", "-L", "7001", "--buffer", "1MiB")
    expect_equal((said["sent"], said["end"]), (7001, "limit reached"), f"limit, read again: {said}")
    said = replay_all(t, net, url, "-p", "1000", "-l", "0", "--duration", "700ms")
    expect_equal(said["end"], "time is up", f"duration: {said}")
    expect(0 < said["sent"] <= 701, f"sent in 700 ms: {said}")
    expect_equal(far_received(net), 9000 + 9000 + 10000 + 7001 + said["sent"], "frames at the other end")


def plain(line):
    """What a message says of a packet that must be the same on another bus."""
    return {key: value for key, value in line.items()
            if key not in ("session_id", "worker_id", "stream_id", "batch_seq", "packet_seq", "interface_index", "node")}


def test_to_bus(t):
    """From files to Kafka, from there to another topic and to ZeroMQ: the packets with their facts and times."""
    net = t.net(mtu=1504)
    servers = t.broker(net).servers
    url = t.shared_folder("packets")
    run = t.capture(net, url, "--vnet-header", workers=1)
    for plan in PLANS:
        t.send(net, plan)
    t.settle(run, TOTAL, lossless=True)
    before = [plain(line) for line in read_json(t, net, url)]
    kafka, again = f"kafka://{servers}/one", f"kafka://{servers}/two"
    for source, to, arguments in ((url, kafka, ["-t"]), (kafka, again, ["-p", "2000", "--key", "none"])):
        said = replay_all(t, net, source, *arguments, to=to)
        expect_equal((said["sent"], said["causes"]), (TOTAL, {}), f"sent to {to}")
        expect_equal([plain(line) for line in read_json(t, net, to)], before, f"packets in {to}")
        t.audit(net, to, no_loss=True, ordered="--key" not in arguments)
    consumer = t.record(net, "zmq+sub://127.0.0.1:5601", "recorded")
    said = replay_all(t, net, again, "-t", to="zmq+pub://127.0.0.1:5601")
    expect_equal((said["sent"], said["causes"]), (TOTAL, {}), "sent to ZeroMQ")
    expect_equal(consumer.wait(60), 0, f"the consumer ({consumer.err})")
    expect_equal([plain(line) for line in read_json(t, net, consumer.url)], before, "packets at the ZeroMQ consumer")


def test_no_bus(t):
    """A bus that does not answer, with nothing sent; one that goes away in the middle, with all counted."""
    net = t.net()
    url = store(t, net, {"count": 1000, "flows": 4}, rate=20000)
    refused(t, ["replay", "--from", url, "--to", "kafka://127.0.0.1:9/x", "--wait", "1s", "--log-level", "error"], 1,
            "no answer", prefix=inside(net), seconds=60)
    refused(t, ["replay", "--from", url, "--to", "zmq+push://127.0.0.1:5602", "--wait", "1s", "--log-level", "error"], 1,
            "no consumer", prefix=inside(net), seconds=60)
    consumer = t.wirebus(net, "cat", "--from", "zmq+pull://127.0.0.1:5603", "-o", "json")
    replay = start_replay(t, net, url, "-p", "200", "--batch-age", "10ms", to="zmq+push://127.0.0.1:5603")
    wait_until(lambda: len(consumer.out.splitlines()) >= 50, 60, "the consumer has 50 packets")
    replay.send_signal(signal.SIGINT)
    said = finish(replay)
    expect_equal((said["end"], set(said["causes"])), ("stopped", {"left"}), f"after SIGINT: {said}")
    expect_equal(consumer.wait(60), 0, f"the consumer ({consumer.err})")
    expect_equal(len(consumer.out.splitlines()), said["sent"], "packets at the consumer")


def test_range(t):
    """A time range and a filter: what is left out is counted, the rest is replayed."""
    net = t.net()
    second_pair(net)
    url = store(t, net, {"count": 2000, "flows": 4, "sizes": "200"}, rate=2000)
    times = [int(line["time_unix_nano"]) for line in read_json(t, net, url)]
    since, until = times[500], times[1500]
    wanted = len([time for time in times if since <= time < until])
    seconds = [f"{time // 10**9}.{time % 10**9:09}" for time in (since, until)]
    said = replay_all(t, net, url, "--since", seconds[0], "--until", seconds[1])
    expect_equal((said["sent"], said["outside"]), (wanted, 2000 - wanted), f"in the range: {said}")
    expect(wanted == 1000, f"times that are not all different: {wanted}")
    # Flow n sends from port 1024 + n (see frames.c).
    said = replay_all(t, net, url, "-t", "-f", "udp src port 1025")
    expect_equal((said["sent"], said["filtered"]), (500, 1500), f"through the filter: {said}")
    expect_equal(far_received(net), 1500, "frames at the other end")
    refused(t, ["replay", "--from", url, "--to", f"iface://{OUT_SIDE}", "-f", "no such filter"], 2, "no such filter")
    refused(t, ["replay", "--from", url, "--to", f"iface://{OUT_SIDE}", "--since", "never"], 2, "--since", "never")
    for since, until in (("20", "10"), ("0", "@0"), ("0", "30000 days ago")):
        refused(t, ["replay", "--from", url, "--to", f"iface://{OUT_SIDE}", "--since", since, "--until", until], 2, "--until")
    refused(t, ["replay", "--from", url, "--to", f"iface://{OUT_SIDE}", "--until", "@0"], 2, "--until", "@0")


def test_to_file(t):
    """Into a pcapng file, as fast as it goes; and from that file onto a wire."""
    net = t.net()
    plan = {"count": 2000, "flows": 8, "sizes": "mixed", "vlan": "0x8100:0xb064"}
    url = store(t, net, plan, rate=1000)
    path = t.path("again.pcapng")
    said = replay_all(t, net, url, to=path)
    expect_equal((said["sent"], said["causes"]), (2000, {}), f"sent: {said}")
    checker = t.start("check", [wbtest.CHECK_FRAMES, path, *wbtest.plan_words(plan), "--interface", CAPTURED_SIDE])
    expect_equal(t.checked(checker)["packets"], 2000, "packets in the file")

    second_pair(net)
    folder = t.shared_folder("again")
    again = t.capture(net, folder, interface=FAR_SIDE)
    said = replay_all(t, net, path, "-x", "2")
    expect_equal((said["sent"], said["causes"]), (2000, {}), f"sent: {said}")
    t.settle(again, 2000, lossless=True)
    cat, checker = t.cat_and_check(net, plan, folder, check=["--interface", FAR_SIDE])
    expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)


def test_file_limit(t):
    """A file that may not grow further ends with a whole packet, and has as many as the summary says."""
    net = t.net()
    url = store(t, net, {"count": 3000, "flows": 8, "sizes": "1014"}, rate=20000)
    for kind in ("pcapng", "pcap"):
        path = t.path(f"limited.{kind}")
        summary = t.path(f"limited-{kind}.json")
        replay = t.start("limited", ["prlimit", "--fsize=2500000", wbtest.WIREBUS, "replay", "--from", url, "--to", path, "--summary", summary])
        expect_equal(replay.wait(60), 1, f"exit code of replay ({replay.err})")
        expect("File too large" in replay.err, f"what it says: {replay.err}")
        with open(summary, encoding="utf-8") as file:
            said = json.load(file)
        expect_equal(said["sent"] + sum(said["not_sent"].values()), 3000, f"the sum of {said}")
        expect(said["sent"] > 0, f"something is in the file: {said}")
        expect_equal(len(read_json(t, net, path)), said["sent"], "packets in the file")


def test_not_sendable(t):
    """Too large for the MTU, cut when captured, of another kind of link: counted by cause, and the others are sent."""
    net = t.net()
    second_pair(net, mtu=1000)
    small = {"count": 300, "flows": 8, "sizes": "1014"}
    large = {"count": 200, "flows": 8, "sizes": "1015"}
    tagged = {"count": 100, "flows": 8, "sizes": "1014", "vlan": "0x8100:0x0064"}  # 1018 bytes: the tag may be more
    url = t.shared_folder("packets")
    run = t.capture(net, url, workers=1)
    for plan in (small, large, tagged, small):
        t.send(net, plan)
    t.settle(run, 900, lossless=True)
    said = replay_all(t, net, url, "-t", code=1)
    expect_equal((said["sent"], said["causes"]), (700, {"too_large": 200}), f"a small MTU: {said}")
    expect_equal(far_received(net), 700, "frames at the other end")

    cut = store(t, net, small, "-s", "200", name="cut")
    said = replay_all(t, net, cut, "-t", code=1)
    expect_equal((said["sent"], said["causes"]), (0, {"truncated": 300}), f"cut frames: {said}")

    net.run("ip", "tuntap", "add", "dev", "tun7", "mode", "tun")
    net.run("ip", "link", "set", "tun7", "up")
    said = replay_all(t, net, url, "-t", code=1, to="iface://tun7")
    expect_equal((said["sent"], said["causes"]), (0, {"link_type": 900}), f"another link type: {said}")
    expect_equal(far_received(net), 700, "frames at the other end, still")


def test_signal(t):
    """SIGINT in the middle: it ends at once, and the summary is right."""
    net = t.net()
    second_pair(net)
    url = store(t, net, {"count": 5000, "flows": 8}, rate=20000)
    replay = start_replay(t, net, url, "-p", "100")
    wait_until(lambda: far_received(net) >= 50, 60, "50 frames have come")
    replay.send_signal(signal.SIGINT)
    said = finish(replay)
    expect_equal((said["end"], said["read"]), ("stopped", 5000), f"after SIGINT: {said}")
    expect(50 <= said["sent"] < 5000, f"after SIGINT: {said}")
    expect_equal(said["causes"], {"left": 5000 - said["sent"]}, "not sent")
    expect_equal(far_received(net), said["sent"], "frames at the other end")

    # While it waits for a time far away, and for a source that says nothing.
    replay = start_replay(t, net, url, "-p", "0.001", "--stats", "100ms")
    wait_until(lambda: "replay: sent 1 packets" in replay.err, 60, "the first was sent, and it waits for the second")
    replay.send_signal(signal.SIGTERM)
    expect_equal(finish(replay)["sent"], 1, "sent")
    replay = start_replay(t, net, "zmq+sub://127.0.0.1:5600", "--follow", "--stats", "100ms")
    wait_until(lambda: "replay: sent 0 packets" in replay.err, 60, "it waits for packets")
    replay.send_signal(signal.SIGINT)
    expect_equal(finish(replay)["read"], 0, "read")


def test_idle_source(t):
    """A limit and a duration end it while the source goes on and says nothing."""
    net = t.net()
    url = "zmq+pub://127.0.0.1:5604"
    source = url.replace("pub", "sub")
    replay = start_replay(t, net, source, "-t", "-L", "3", to=t.path("limit.pcapng"))
    run = t.capture(net, url, workers=1)
    t.wait_subscribed(net, 5604)
    t.send(net, {"count": 3, "flows": 1})
    said = finish(replay, seconds=60)
    expect_equal((said["end"], said["sent"]), ("limit reached", 3), f"after three packets: {said}")
    for arguments in ((), ("--follow",)):
        said = replay_all(t, net, source, "--duration", "2s", *arguments, to=t.path("duration.pcapng"))
        expect_equal((said["end"], said["sent"]), ("time is up", 0), f"nothing in two seconds: {said}")
    expect(run.running(), "the capture went on")


def capabilities(process):
    """Of all threads."""
    found = set()
    for thread in os.listdir(f"/proc/{process.pid}/task"):
        with open(f"/proc/{process.pid}/task/{thread}/status", encoding="utf-8") as file:
            found |= {int(line.split()[1], 16) for line in file if line.startswith(("CapEff:", "CapPrm:"))}
    return found


def test_privileges(t):
    """What it keeps: reading anybody's files, and sending; the latter is of use at the first super-frame."""
    net = t.net()
    second_pair(net)
    source = "zmq+sub://127.0.0.1:5605"
    for to, kept in ((f"iface://{OUT_SIDE}", {READ_ANY | SEND_RAW}), (t.path("kept.pcapng"), {READ_ANY}),
                     (t.shared_folder("kept"), {READ_ANY})):
        replay = start_replay(t, net, source, "--follow", "--stats", "100ms", to=to)
        wait_until(lambda: "replay: sent 0 packets" in replay.err, 60, "it waits for packets")
        expect_equal(capabilities(replay), kept, f"capabilities with {to}")
        replay.send_signal(signal.SIGINT)
        finish(replay)
    # Files that their owner alone may read, opened again for the second pass; super-frames need the second ring.
    url = store(t, net, {"count": 40, "flows": 4, "sizes": "gso:40000"}, "--vnet-header", rate=200)
    folder = url.removeprefix("file://")
    for name in (folder, *(os.path.join(folder, name) for name in os.listdir(folder))):
        os.chown(name, 65534, 65534)
        os.chmod(name, 0o700)
    said = replay_all(t, net, url, "-t", "-l", "2", "--buffer", "1MiB")
    expect_equal((said["sent"], said["read"]), (80, 80), f"sent: {said}")


def test_interface_down(t):
    """Down and up again in the middle: what was due meanwhile is counted, the rest is sent."""
    net = t.net()
    second_pair(net)
    url = store(t, net, {"count": 5000, "flows": 8}, rate=20000)
    replay = start_replay(t, net, url, "-p", "500")
    wait_until(lambda: far_received(net) >= 300, 60, "300 frames have come")
    net.run("ip", "link", "set", OUT_SIDE, "down")
    before = far_received(net)
    time.sleep(0.5)
    expect_equal(far_received(net), before, "frames while the interface is down")
    net.run("ip", "link", "set", OUT_SIDE, "up")
    said = finish(replay, code=1)
    expect_equal(list(said["causes"]), ["interface_down"], f"causes: {said}")
    expect_equal(said["sent"] + said["causes"]["interface_down"], 5000, f"the sum: {said}")
    expect(said["sent"] > before, f"it has gone on: {said}, {before} before")
    expect_equal(far_received(net), said["sent"], "frames at the other end")


def test_interface_gone(t):
    """Deleted in the middle: it says so, ends with 1, and the summary is right."""
    net = t.net()
    second_pair(net)
    url = store(t, net, {"count": 5000, "flows": 8}, rate=20000)
    replay = start_replay(t, net, url, "-p", "100")
    wait_until(lambda: far_received(net) >= 50, 60, "50 frames have come")
    net.run("ip", "link", "del", OUT_SIDE)
    said = finish(replay, code=1, seconds=60)
    expect("the interface is gone" in replay.err, f"what it says: {replay.err}")
    expect_equal((said["end"], said["read"]), ("failed", 5000), f"the interface is gone: {said}")
    expect(said["sent"] >= 50, f"the interface is gone: {said}")
    # It goes down first, which a packet may meet.
    expect_equal(said["causes"].pop("interface_gone") + said["causes"].pop("interface_down", 0), 5000 - said["sent"], "not sent")
    expect_equal(said["causes"], {}, "other causes")


def test_usage(t):
    net = t.net()
    url = store(t, net, {"count": 10, "flows": 1})
    near = ["replay", "--from", url, "--to", f"iface://{CAPTURED_SIDE}"]
    refused(t, near, 1, CAPTURED_SIDE, "CAP_NET_RAW", prefix=[*inside(net), *NOBODY])
    refused(t, ["replay", "--from", url, "--to", "iface://nosuch0"], 1, "nosuch0", prefix=inside(net))
    refused(t, ["replay", "--from", "/nosuch/folder", "--to", f"iface://{CAPTURED_SIDE}"], 1, "/nosuch/folder",
            prefix=inside(net))
    refused(t, ["replay", "--from", url], 2, "--to")
    refused(t, ["replay", "--to", "iface://lo"], 2, "--from")
    refused(t, ["replay", "--from", url, "--to", "iface://lo?nosuch=1"], 2, "nosuch")
    refused(t, ["replay", "--from", url, "--to", "out.txt"], 2, "out.txt")
    for option, value in (("-x", "0"), ("-p", "-1"), ("-M", "many"), ("-x", "1e3"), ("-x", "nan"), ("-p", "")):
        refused(t, [*near, option, value], 2, f"{value}")
    refused(t, [*near, "--duration", "9999999999999s"], 2, "--duration", "8784h")
    refused(t, [*near, "--max-gap", "8785h"], 2, "--max-gap", "8784h")
    refused(t, [*near, "-x", "2", "-t"], 2, "--multiplier", "--topspeed")
    refused(t, [*near, "-p", "2", "-M", "3"], 2, "--pps", "--mbps")
    refused(t, [*near, "--sort", "--follow"], 2, "--sort", "--follow")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=150)
