#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What wirebus itself sends to its buses is left out of what it captures, and nothing else is."""
import base64
import json
import os
import re
import shutil
import signal
import socket
import time

from prelude import ledger, wbtest
from mock_kafka import Mock
from wbtest import CAPTURED_SIDE, expect, expect_equal, wait_until

import natsbus

NATS = wbtest.BUILD / "tests" / "plugins" / "nats" / "libwirebus_nats.so"
HERE, THERE = "10.77.0.1", "10.77.0.2"
HERE6, THERE6 = "fd77::1", "fd77::2"
PORT = 5555
SYN, FIN = 2, 1


class Link:
    """Two namespaces with a link between them: `near` in this one is captured, behind it is the bus. Nobody speaks on it
    but who has a connection: link addresses are known."""

    def __init__(self, t, ipv6=False):
        self.here, self.there = t.net(), t.net()
        self.ipv6 = ipv6
        self.make()

    def make(self):
        self.here.run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far")
        self.here.run("ip", "link", "set", "far", "netns", self.there.name)
        self._side(self.here, "near", HERE, HERE6)
        self._side(self.there, "far", THERE, THERE6)
        self._know(self.here, "near", THERE, THERE6, self._mac(self.there, "far"))
        self._know(self.there, "far", HERE, HERE6, self._mac(self.here, "near"))

    def remove(self):
        self.here.run("ip", "link", "del", "near")

    def _side(self, net, name, v4, v6):
        if self.ipv6:
            net.run("sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=0")
        net.run("ip", "link", "set", name, "up")
        net.run("ip", "addr", "add", f"{v4}/24", "dev", name)
        if self.ipv6:
            net.run("ip", "-6", "addr", "add", f"{v6}/64", "dev", name, "nodad")

    def _know(self, net, name, v4, v6, mac):
        for address in (v4, v6) if self.ipv6 else (v4,):
            net.run("ip", "neigh", "replace", address, "lladdr", mac, "dev", name, "nud", "permanent")

    @staticmethod
    def _mac(net, name):
        return json.loads(net.run("ip", "-j", "link", "show", name))[0]["address"]


def ledger_now(run):
    """A counter of the whole run as it is now, printed on demand."""
    before = run.err.count("ledger of")
    run.send_signal(signal.SIGUSR1)
    wait_until(lambda: run.err.count("ledger of") > before and run.err.endswith("\n"), 10, "the ledger is printed")
    text = run.err[run.err.rindex("ledger of"):]
    return {words[0]: int(words[1]) for words in map(str.split, text.splitlines()[1:]) if words[1:] and words[1].isdigit()}


def connected(run):
    """Whether the last line of statistics says that somebody is at the other end."""
    lines = [line for line in run.err.splitlines() if " stats " in line]
    return lines and " bus_connected=1" in lines[-1]


def tcp_packets(t, net, url):
    """All packets of a bus, TCP over IPv4 every one: (source port, destination port, flags, payload bytes)."""
    cat = t.wirebus(net, "cat", "--from", url, "-o", "json")
    expect_equal(cat.wait(60), 0, f"exit code of cat ({cat.err})")
    return [tcp_packet(line) for line in cat.out.splitlines()]


def tcp_packet(line):
    frame = base64.b64decode(json.loads(line)["data"])
    expect_equal((frame[12:14], frame[14 + 9]), (b"\x08\x00", socket.IPPROTO_TCP), "kind of a captured packet")
    header = 4 * (frame[14] & 15)
    tcp = frame[14 + header:]
    payload = int.from_bytes(frame[16:18], "big") - header - 4 * (tcp[12] >> 4)
    return int.from_bytes(tcp[0:2], "big"), int.from_bytes(tcp[2:4], "big"), tcp[13], payload


# Another client of the same server, on this host: sends 1,000,000 bytes that it does not understand, or what it takes of
# them, and waits for its end. Prints its port.
STRANGER = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print(s.getsockname()[1])
try:
    s.sendall(bytes(1000000))
    s.shutdown(socket.SHUT_WR)
    while s.recv(65536):
        pass
except OSError:
    pass
"""


def stranger(link, port):
    return int(link.here.run(wbtest.PYTHON, "-c", STRANGER, THERE, port))


def expect_only(packets, ports, server):
    """The packets are those of the strangers' connections, both directions, from the first to the last."""
    found = {source if target == server else target for source, target, _, _ in packets}
    expect_equal(found, set(ports), "ports of the connections that were captured")
    for port in ports:
        out = [p for p in packets if p[0] == port]
        back = [p for p in packets if p[1] == port]
        expect(out[0][2] & SYN and back[0][2] & SYN, f"the handshake of port {port} was captured")
        expect(sum(p[3] for p in out) > 0, f"what port {port} sent was captured")


def bus_rates(run):
    """Mbit/s that went to the bus, line by line."""
    return [float(rate) for rate in re.findall(r" bus_bytes=([0-9.]+)Mbit", run.err)]


def feedback(t, link, url, *arguments):
    """What is published is captured and published again: nobody sends anything, and the packets grow."""
    run = t.capture(link.here, url, "--own-traffic", "capture", "--stats", "1s", "--batch-age", "5ms", "--retire", "1ms",
                    *arguments, interface="near", workers=1)

    def grown():
        rates = [rate for rate in bus_rates(run) if rate]
        return len(rates) > 2 and rates[-1] > 3 * rates[0] and ledger_now(run)["kernel_seen"] > 1000
    wait_until(grown, 60, f"three times the traffic that the capture itself has caused: {url}")
    run.stop()
    ledger.check(run.ledger_path)


def test_feedback(t):
    link = Link(t)
    cat = t.wirebus(link.there, "cat", "--from", f"zmq+pull://{THERE}:{PORT}?bind=yes&insecure=true", "-w", "/dev/null")
    feedback(t, link, f"zmq+push://{THERE}:{PORT}?bind=no")
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")


def zeromq(t, address, bind, *arguments, ipv6=False, workers=1):
    """Not one packet, from the first of the first connection to the last, over several connections."""
    link = Link(t, ipv6)
    if bind:
        to, source = f"zmq+push://{address[0]}:{PORT}?insecure=true", f"zmq+pull://{address[0]}:{PORT}".replace("*", HERE)
    else:
        to, source = f"zmq+push://{address[1]}:{PORT}?bind=no", f"zmq+pull://{address[1]}:{PORT}?bind=yes&insecure=true"
    run = t.capture(link.here, to, "--stats", "100ms", "--heartbeat", "50ms", "--log-level", "debug", *arguments,
                    interface="near", workers=workers)
    for last in (False, True):
        cat = t.wirebus(link.there, "cat", "--from", source, "-w", "/dev/null")
        wait_until(lambda: connected(run), 20, f"{to}: the consumer is connected: {run.err[-900:]}")
        time.sleep(0.5)  # some heartbeats
        if not last:
            cat.send_signal(signal.SIGINT)
            expect_equal(cat.wait(20), 0, f"exit code of cat ({cat.err})")
            wait_until(lambda: not connected(run), 20, f"{to}: the consumer is gone")
    run.stop()
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    total = ledger.check(run.ledger_path, workers=workers)
    expect_equal(total["kernel_seen"], 0, f"{to}: packets captured of wirebus's own")


def test_zeromq(t):
    zeromq(t, (HERE, THERE), bind=True)
    zeromq(t, ("*", THERE), bind=True)
    zeromq(t, (HERE, THERE), bind=False, workers=2)


def test_zeromq_ipv6(t):
    # IPv6 speaks by itself.
    zeromq(t, (f"[{HERE6}]", f"[{THERE6}]"), True, "-f", "tcp", ipv6=True)
    zeromq(t, (f"[{HERE6}]", f"[{THERE6}]"), False, "-f", "tcp", ipv6=True)


def test_kafka(t):
    """Two workers, a broker that is killed and comes again: nothing of wirebus's own, and all of another client's at the
    same broker."""
    link = Link(t)
    broker = t.broker(link.there, 9092, "listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093",
                      f"advertised.listeners=PLAINTEXT://{THERE}:9092")
    url = f"kafka://{THERE}:9092/packets"
    feedback(t, link, f"kafka://{THERE}:9092/feedback")
    run = t.capture(link.here, url, "--stats", "100ms", "--heartbeat", "50ms", interface="near")
    wait_until(lambda: connected(run), 30, "the broker answers")
    ports = [stranger(link, 9092)]
    broker.kill()
    wait_until(lambda: not connected(run), 30, "the broker is gone")
    time.sleep(2)  # refused connections
    broker.start()
    wait_until(lambda: connected(run), 30, "the broker answers again")
    ports.append(stranger(link, 9092))
    run.stop()
    total = ledger.check(run.ledger_path, lossless=True, workers=2)
    packets = tcp_packets(t, link.there, url)
    expect_equal(len(packets), total["accepted"], "packets on the bus")
    expect_only(packets, ports, 9092)
    expect(run.err.count(" stats ") > 20, "lines of statistics")


# Ten datagrams from a socket to another one, so that no error comes back.
DATAGRAMS = """
import socket
into, out = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
into.bind(("127.0.0.1", 0))
for _ in range(10):
    out.sendto(bytes(100), into.getsockname())
"""


def test_leaders_move(t):
    """A cluster of three whose leaders move, and which goes away and comes back: whatever connections run opens, to whichever
    broker, nothing of them is captured. The mock cluster listens on lo only, so that is captured."""
    net = t.net()
    mock = Mock(t, net, brokers=3)
    mock("topic", "packets", 4)
    run = t.capture(net, mock.url(linger="1ms", properties__topic__metadata__refresh__interval__ms=200,
                                  properties__reconnect__backoff__max__ms=200),
                    "--stats", "100ms", "--heartbeat", "50ms", "--batch-age", "10ms", interface="lo")
    wait_until(lambda: connected(run), 30, "a broker answers")
    sent = 0
    for step in range(6):
        away = 1 + (step + 1) % 3
        mock("down", away)
        for partition in range(4):
            mock("leader", "packets", partition, 1 + step % 3)
        # Each is seen twice, as it goes and as it comes. A broker that does not lead would refuse them.
        net.run(wbtest.PYTHON, "-c", DATAGRAMS)
        sent += 20
        wait_until(lambda: ledger_now(run).get("delivered", 0) >= sent, 30, f"the new leader has {sent} packets")
        expect_equal(ledger_now(run)["kernel_seen"], sent, f"packets captured, step {step}")
        mock("up", away)
    run.stop()
    total = ledger.check(run.ledger_path, sent=sent, lossless=True, workers=2)
    expect_equal(total["kernel_dropped"], 0, "dropped by the kernel")


def test_nats(t):
    """A plugin whose client library makes its own sockets: what goes over a connection that stands is left out, also over the
    next one."""
    if not NATS.exists():
        raise wbtest.Skip("libnats-dev is not installed, so the plugin for NATS was not built")
    link = Link(t)
    server = natsbus.Server(t.path("nats"), 4222, link.there.command(), host=THERE)
    t.cleanup(server.kill)
    plugin = t.path(NATS.name)
    shutil.copyfile(NATS, plugin)
    os.chmod(plugin, 0o755)
    url = f"nats://{THERE}:4222"
    feedback(t, link, url, "--plugin", plugin)
    run = t.capture(link.here, url, "--plugin", plugin, "--stats", "100ms", "--heartbeat", "50ms", interface="near")
    for last in (False, True):
        wait_until(lambda: connected(run), 30, "the server answers")
        time.sleep(0.5)  # what was sent before the connection was told
        before = ledger_now(run)["kernel_seen"]
        time.sleep(2)  # eighty heartbeats, and PONGs
        expect_equal(ledger_now(run)["kernel_seen"], before, f"packets captured while heartbeats went out (last: {last})")
        if not last:
            server.kill()
            wait_until(lambda: not connected(run), 30, "the server is gone")
            server.start()
    port = stranger(link, 4222)
    run.stop()
    total = ledger.check(run.ledger_path, workers=2)
    expect(port > 0 and total["kernel_seen"] > before, "another client of the server is captured")


def test_others(t):
    """A capture leaves out what another one of the same process sends, and files and null have nothing to leave out."""
    link = Link(t)
    folder = t.shared_folder("packets")
    path = t.path("two.yaml")
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(f"captures:\n- {{interface: near, to: '{folder}'}}\n"
                     f"- {{interface: {CAPTURED_SIDE}, workers: 2, to: 'zmq+push://{THERE}:{PORT}?bind=no'}}\n")
    result = t.path("ledger.json")
    run = t.wirebus(link.here, "run", "-c", path, "--ledger", result, "--stats", "100ms")
    t.wait_capturing(run)
    plan = {"count": 20000, "flows": 16}
    source = f"zmq+pull://{THERE}:{PORT}?bind=yes&insecure=true"
    cat, checker = t.cat_and_check(link.there, plan, source, check=["--interface", CAPTURED_SIDE, "--direction", "in"])
    wait_until(lambda: connected(run), 20, "the consumer is connected")
    t.send(link.here, plan, rate=20000)
    port = stranger(link, PORT)
    run.stop()
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)
    with open(result, encoding="utf-8") as stream:
        first, second = (capture["total"] for capture in json.load(stream)["captures"])
    packets = tcp_packets(t, link.here, folder)
    expect_equal((first["accepted"], second["handed_over"]), (len(packets), plan["count"]), "packets of the captures")
    expect_only(packets, [port], PORT)
    ledger.check(result)


def test_comes_back(t):
    """The interface is removed and made anew: the filter is there before the first packet."""
    link = Link(t)
    # Until the link addresses are known again somebody may ask for them.
    run = t.capture(link.here, f"zmq+push://{HERE}:{PORT}?insecure=true", "--stats", "100ms", "--heartbeat", "50ms",
                    "-f", "tcp", interface="near")
    cat = t.wirebus(link.there, "cat", "--from", f"zmq+pull://{HERE}:{PORT}", "-w", "/dev/null")
    wait_until(lambda: connected(run), 20, "the consumer is connected")
    link.remove()
    wait_until(lambda: run.err.count("is gone") == 2, 20, "the interface is gone")
    link.make()
    wait_until(lambda: run.err.count("is back") == 2, 20, "the interface is back")
    port = int(link.there.run(wbtest.PYTHON, "-c", STRANGER.replace("1000000", "1000"), HERE, PORT))
    expect(port > 0, "somebody has connected")
    time.sleep(1)
    run.stop(seconds=40)
    cat.end()
    expect_equal(ledger.check(run.ledger_path)["kernel_seen"], 0, "packets captured of wirebus's own")


def test_endpoints(t):
    """For mirror ports: nothing of what anybody has to do with the bus's address and port, but all of the rest."""
    link = Link(t)
    run = t.capture(link.here, f"zmq+push://{THERE}:{PORT}?bind=no", "--own-traffic", "endpoints", "--stats", "100ms",
                    interface="near")
    cat = t.wirebus(link.there, "cat", "--from", f"zmq+pull://{THERE}:{PORT}?bind=yes&insecure=true", "-o", "json")
    wait_until(lambda: connected(run), 20, "the consumer is connected")
    stranger(link, PORT)
    refused = int(link.here.run(wbtest.PYTHON, "-c", STRANGER.replace("socket.create_connection((sys.argv[1], int(sys.argv[2])))",
        "socket.socket(); s.bind(('', 0)); s.connect_ex((sys.argv[1], int(sys.argv[2])))"), THERE, PORT + 1))
    run.stop()
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    packets = [tcp_packet(line) for line in cat.out.splitlines()]
    expect_equal({(source, target) for source, target, _, _ in packets}, {(refused, PORT + 1), (PORT + 1, refused)},
                 "ports of what was captured")
    ledger.check(run.ledger_path, sent=len(packets), lossless=True)


def test_loopback(t):
    """On lo each packet is seen twice: as it goes, and as it comes. A snap length shorter than the headers; every kind of
    ring."""
    for version in "123":
        loopback(t, version)


def loopback(t, version):
    net = t.net()
    run = t.capture(net, f"zmq+push://127.0.0.1:{PORT}", "--stats", "100ms", "--heartbeat", "50ms", "-s", "40",
                    "--ring-version", version, interface="lo")
    cat = t.wirebus(net, "cat", "--from", f"zmq+pull://127.0.0.1:{PORT}", "-o", "json")
    wait_until(lambda: connected(run), 20, "the consumer is connected")
    time.sleep(0.5)
    net.run(wbtest.PYTHON, "-c", "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
            "[s.sendto(bytes(500), ('127.0.0.1', 9)) for _ in range(10)]")
    run.stop()
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    lines = [json.loads(line) for line in cat.out.splitlines()]
    frames = [base64.b64decode(line["data"]) for line in lines]
    total = ledger.check(run.ledger_path, lossless=True)
    expect_equal(len(frames), total["kernel_seen"], "packets on the bus")
    udp = [line for line, frame in zip(lines, frames) if frame[23] == socket.IPPROTO_UDP]
    expect_equal(len(udp), 20, "datagrams, each twice")
    expect_equal({len(frame) for frame in frames}, {40}, "bytes kept")
    expect_equal({line["original_length"] for line in udp}, {542}, "length on the wire")
    expect_equal(sum(frame[23] == socket.IPPROTO_TCP for frame in frames), 0, "packets of the bus")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=150)
