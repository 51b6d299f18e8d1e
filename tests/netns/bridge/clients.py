#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Consumers that are not ours: the Python examples, one for Node, and tshark on what `wirebus cat -o pcapng` writes."""
import os
import re
import subprocess

from prelude import wbtest
from wbtest import CAPTURED_SIDE, expect, expect_equal, run as run_command, wait_until

PLAN = {"count": 50000, "flows": 64, "sizes": "mixed", "seed": 9}
RATE = 40000
PORT = 5556


def check_pcap(pcap, sent, plan=PLAN):
    run_command([wbtest.CHECK_FRAMES, pcap, *wbtest.plan_words(plan), "--after", sent["first_ns"] - 10**9,
                 "--before", sent["last_ns"] + 10**9])


def live(t, transport, *options):
    net = t.net()
    run = t.capture(net, f"{transport}://127.0.0.1:{PORT}")
    pcap = t.path("packets.pcap")
    consumer = t.client(net, "consumer_zmq.py", *options, "-w", pcap, f"tcp://127.0.0.1:{PORT}")
    wait_until(lambda: net.connected(PORT), 10, "the consumer is connected")
    if transport == "zmq+pub":
        t.wait_subscribed(net, PORT)
    sent = t.send(net, PLAN, rate=RATE)
    t.settle(run, PLAN["count"], lossless=True, workers=2)
    expect_equal(consumer.wait(30), 0, f"exit code of the consumer ({consumer.err})")
    expect_equal(consumer.out.strip(), f"{PLAN['count']} packets in 2 streams, 0 lost", "what the consumer says")
    check_pcap(pcap, sent)


def test_python_zmq_pub(t):
    live(t, "zmq+pub")


def test_python_zmq_push(t):
    live(t, "zmq+push", "--pull")


def published(t, plan, rate, *options):
    """Publish a plan on the topic `packets` of a broker; returns (namespace, broker, what the sender says)."""
    net = t.net()
    broker = t.broker(net)
    run = t.capture(net, f"kafka://{broker.servers}/packets", *options)
    sent = t.send(net, plan, rate=rate)
    t.settle(run, plan["count"], lossless=True, workers=2)
    return net, broker, sent


def check_consumer(consumer, pcap, sent, plan):
    expect_equal(consumer.wait(90), 0, f"exit code of the consumer ({consumer.err})")
    expect_equal(consumer.out.strip(), f"{plan['count']} packets in 2 streams, 0 lost", "what the consumer says")
    check_pcap(pcap, sent, plan)


def test_python_kafka(t):
    net, broker, sent = published(t, PLAN, RATE)
    pcap = t.path("packets.pcap")
    check_consumer(t.client(net, "consumer_kafka.py", "-w", pcap, broker.servers, "packets"), pcap, sent, PLAN)


def test_python_kafka_records(t):
    plan = dict(PLAN, count=10000)
    net, broker, sent = published(t, plan, 20000, "--mode", "record")
    pcap = t.path("packets.pcap")
    check_consumer(t.client(net, "consumer_kafka.py", "--record", "-w", pcap, broker.servers, "packets"), pcap, sent, plan)


def test_node_kafka(t):
    modules = subprocess.run([wbtest.CLIENTS / "node" / "modules.sh"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             check=False)
    if modules.returncode == 75:
        raise wbtest.Skip("npm's registry does not answer")
    expect_equal(modules.returncode, 0, f"exit code of modules.sh ({modules.stderr})")
    plan = dict(PLAN, count=10000)
    net, broker, sent = published(t, plan, RATE)
    pcap = t.path("packets.pcap")
    consumer = t.start("node", net.command(
        "node", wbtest.CLIENTS / "node" / "consumer.js", wbtest.ROOT / "proto" / "wirebus" / "v1" / "packet_batch.proto",
        broker.servers, "packets", pcap), env=dict(os.environ, NODE_PATH=modules.stdout.strip()))
    check_consumer(consumer, pcap, sent, plan)


def test_tshark(t):
    """tshark reads the file without complaint and shows nanoseconds, interface name and direction."""
    net = t.net()
    url = t.shared_folder("packets")
    plan = dict(PLAN, count=2000)
    run = t.capture(net, url)
    t.send(net, plan, rate=RATE)
    t.settle(run, 2000, lossless=True)
    pcapng = t.path("packets.pcapng")
    run_command(net.command(wbtest.WIREBUS, "cat", "--from", url, "-o", "pcapng", "-w", pcapng))
    about = run_command(["capinfos", pcapng])
    expect(re.search(r"File timestamp precision:\s+nanoseconds \(9\)", about), f"capinfos: {about}")
    expect(re.search(rf"Name = {CAPTURED_SIDE}\b", about), f"capinfos: {about}")
    expect(re.search(r"Number of packets:\s+(2000|2,?000|2000 )", about), f"capinfos: {about}")
    done = run_command(["tshark", "-r", pcapng, "-o", "udp.check_checksum:FALSE", "-T", "fields", "-e", "frame.time_epoch",
                        "-e", "frame.interface_name", "-e", "frame.packet_flags_direction", "-e", "frame.len",
                        "-e", "udp.srcport"])
    rows = [line.split("\t") for line in done.splitlines()]
    expect_equal(len(rows), 2000, "packets that tshark shows")
    fine = 0
    for time, interface, direction, length, port in rows:
        expect(re.fullmatch(r"\d+\.\d{9}", time), f"time {time}")
        fine += not time.endswith("000")
        expect_equal(interface, CAPTURED_SIDE, "interface name")
        expect(direction in ("1", "0x00000001"), f"direction {direction}")
        expect(60 <= int(length) <= 1514 and port, f"length {length}, port {port}")
    expect(fine > 1900, f"only {fine} of 2000 times have nanoseconds")


def test_tshark_pipe(t):
    """The same through a pipe, while packets arrive."""
    net = t.net()
    run = t.capture(net, f"zmq+push://127.0.0.1:{PORT}")
    cat = t.wirebus(net, "cat", "--from", f"zmq+pull://127.0.0.1:{PORT}", "-o", "pcapng", "-c", "100",
                    stdout=wbtest.subprocess.PIPE)
    tshark = t.start("tshark", ["tshark", "-n", "-l", "-r", "-", "-T", "fields", "-e", "frame.interface_name"],
                     stdin=cat.popen.stdout)
    cat.popen.stdout.close()
    wait_until(lambda: net.connected(PORT), 10, "the consumer is connected")
    t.send(net, dict(PLAN, count=200), rate=1000)
    expect_equal(cat.wait(20), 0, f"exit code of cat ({cat.err})")
    expect_equal(tshark.wait(20), 0, f"exit code of tshark ({tshark.err})")
    expect_equal(tshark.out.split(), [CAPTURED_SIDE] * 100, "interface names")
    # Nobody reads the rest: it is given up at the end of the flush time, and counted.
    run.send_signal(wbtest.signal.SIGTERM)
    expect(run.wait(30) in (0, 1), f"exit code of run ({run.err})")
    wbtest.ledger.check(run.ledger_path, sent=200)


if __name__ == "__main__":
    wbtest.main(globals())
