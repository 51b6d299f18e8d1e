#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Transports from outside: what is refused and why, and packets that reach NATS, which lives, dies and comes back."""
import json
import pathlib
import shutil
import signal
import threading
import time

from live import ledger_now
from prelude import ledger, wbtest
from wbtest import CAPTURED_SIDE, expect, expect_equal, wait_until

import natsbus

PORT = 4222
UNIXGRAM = wbtest.BUILD / "tests" / "plugins" / "unixgram" / "libwirebus_unixgram.so"
NATS = wbtest.BUILD / "tests" / "plugins" / "nats" / "libwirebus_nats.so"


def refused(t, arguments, *quotes):
    process = t.start("refused", [wbtest.WIREBUS, *arguments])
    expect_equal(process.wait(20), 2, f"exit code of wirebus {arguments} ({process.err.strip()})")
    for quote in quotes:
        expect(quote in process.err, f"wirebus {arguments} does not say {quote!r}: {process.err.strip()}")


def own_copy(t, plugin, mode=0o755):
    """Where its mode and owner are the test's, whatever the build's are."""
    path = pathlib.Path(t.path(plugin.name))
    shutil.copyfile(plugin, path)
    path.chmod(mode)
    return str(path)


def test_refused(t):
    """A line that names the file and says what is wrong, before anything is captured."""
    to = ["-i", CAPTURED_SIDE, "--to", "unixgram:///tmp/x"]
    plugin = own_copy(t, UNIXGRAM)
    refused(t, ["run", *to], "'unixgram' is unknown")
    refused(t, ["run", *to, "--plugin", "/nosuch.so"], "plugin '/nosuch.so': No such file")
    refused(t, ["run", *to, "--plugin", f"{plugin},"], "a path is empty")
    wrong = own_copy(t, wbtest.BUILD / "tests" / "plugins" / "libplugin_abi.so")
    refused(t, ["run", *to, "--plugin", wrong], wrong, "ABI 99")
    refused(t, ["run", *to, "--plugin", own_copy(t, UNIXGRAM, 0o775)], plugin, "0775", "chmod go-w")
    own_copy(t, UNIXGRAM)
    # It fits, and says itself what is wrong with the rest.
    refused(t, ["run", "-i", CAPTURED_SIDE, "--plugin", plugin, "--to", "unixgram://nopath"], "'nopath'", "begin with '/'")
    refused(t, ["run", *to, "--plugin", plugin], "batch_bytes: 262144 is larger than the bus takes: 131072")


def test_configuration(t):
    """`plugin:` of a file, wherever it stands in it, relative to its folder; `check` loads it too, and --help shows it."""
    plugin = own_copy(t, UNIXGRAM)
    path = pathlib.Path(t.path("wirebus.yaml"))
    capture = "captures:\n  - interface: eth0\n    to: unixgram:///tmp/x\n    batch_bytes: 64KiB\n"
    for value in (pathlib.Path(plugin).name, f"[{plugin}, ./{pathlib.Path(plugin).name}]"):
        path.write_text(f"{capture}plugin: {value}\n")
        expect("1 capture" in wbtest.run([wbtest.WIREBUS, "check", "-c", path]), f"check with plugin: {value}")
    path.write_text(f"plugin: nosuch.so\n{capture}")
    refused(t, ["check", "-c", path], f"{path}:1:9: plugin 'nosuch.so': No such file")
    path.write_text(capture)
    refused(t, ["check", "-c", path], "'unixgram' is unknown")
    wbtest.run([wbtest.WIREBUS, "check", "-c", path, "--plugin", plugin])
    bus = own_copy(t, wbtest.BUILD / "tests" / "plugins" / "libplugin_good.so")
    for words in (["--plugin", bus, "--help"], ["--help", "--plugin", bus]):
        said = wbtest.run([wbtest.WIREBUS, "run", *words])
        expect("testbus" in said and "size=N" in said and "default 7" in said, f"run {words} shows the options: {said[-400:]}")


def consumer(t, net, script, *arguments):
    """A client program that reads two streams, ready."""
    capture = t.path("received.pcap")
    process = t.client(net, script, *arguments, "--streams", "2", "-w", capture)
    process.capture = capture
    wait_until(lambda: "reading" in process.err or not process.running(), 20, "the consumer is ready")
    return process


def received(process, plan):
    """Wait for its end; every frame must be there, bit-exact, once."""
    expect_equal(process.wait(60), 0, f"exit code of the consumer ({process.err})")
    wbtest.run([wbtest.CHECK_FRAMES, process.capture, *wbtest.plan_words(plan)])
    found = json.loads(process.out)
    expect_equal((found["packets"], found["lost"], found["out_of_order"]), (plan["count"], 0, 0), f"received: {found}")
    return found


def test_unixgram(t):
    """The smallest transport: what it is given before there is a reader waits, and the reader gets it bit-exact."""
    net = t.net()
    path = t.path("packets.sock")
    plan = {"count": 20000, "flows": 16}
    run = t.capture(net, f"unixgram://{path}", "--plugin", own_copy(t, UNIXGRAM), "--batch-bytes", "64KiB")
    t.send(net, dict(plan, count=500), rate=5000)
    reader = consumer(t, net, "consumer_unixgram.py", path)
    t.send(net, plan, rate=20000, first=500)
    total = t.settle(run, plan["count"], lossless=True, workers=2)
    expect_equal(total["handed_over"], plan["count"], "handed over")
    expect_equal(received(reader, plan)["duplicates"], 0, "duplicates")


def nats_server(t, net, config=""):
    if not NATS.exists():
        raise wbtest.Skip("libnats-dev is not installed, so the plugin for NATS was not built")
    expect(natsbus.SERVER, "nats-server is not installed, but libnats-dev is")
    server = natsbus.Server(t.path("nats"), PORT, net.command(), config)
    t.cleanup(server.kill)
    return server


def create_stream(net, name, subjects, **login):
    """From inside the namespace, where the server is."""
    program = ("import json, sys; sys.path.insert(0, sys.argv[1]); import natsbus; "
               "natsbus.Connection(int(sys.argv[2]), **json.loads(sys.argv[3])).create_stream(sys.argv[4], [sys.argv[5]])")
    net.run(wbtest.PYTHON, "-c", program, wbtest.ROOT / "tests" / "lib", PORT, json.dumps(login), name, subjects)


def test_nats(t):
    """Bit-exact to a subscriber, everything handed over, under the subject that names node and stream."""
    net = t.net()
    nats_server(t, net)
    plan = {"count": 40000, "flows": 16}
    reader = consumer(t, net, "consumer_nats.py", PORT, "wirebus.probe_1.*")
    run = t.capture(net, f"nats://127.0.0.1:{PORT}", "--plugin", own_copy(t, NATS), "--node", "probe.1",
                    "--require-bus", "10s")
    t.send(net, plan, rate=40000)
    total = t.settle(run, plan["count"], lossless=True, workers=2)
    expect_equal(total["handed_over"], plan["count"], "handed over")
    expect_equal(received(reader, plan)["duplicates"], 0, "duplicates")


def test_jetstream_server_killed(t):
    """The server is killed again and again under load: what it had not acknowledged is sent again, and stored once."""
    net = t.net()
    server = nats_server(t, net)
    create_stream(net, "PACKETS", "packets.>")
    kills = 12 if wbtest.FULL else 2
    plan = {"count": 30000 * kills, "flows": 16}
    run = t.capture(net, f"nats://127.0.0.1:{PORT}/packets.{{node}}?jetstream=true", "--plugin", own_copy(t, NATS),
                    "--node", "probe", "--batch-age", "5ms")
    sender = threading.Thread(target=lambda: t.send(net, plan, rate=12000))
    sender.start()
    for i in range(kills):
        time.sleep(1.2)
        server.kill()
        time.sleep(0.5)
        server.start()
        wait_until(lambda i=i: run.err.count("takes batches again") > i, 20, "run tells that the outage is over")
    sender.join()
    total = t.settle(run, plan["count"], lossless=True, workers=2)
    expect_equal(total["delivered"], plan["count"], "delivered")
    reader = consumer(t, net, "consumer_nats.py", PORT, "packets.probe", "--stream", "PACKETS")
    expect_equal(received(reader, plan)["duplicates"], 0, "batches that JetStream stored twice")


def test_nats_trouble(t):
    """No stream for the subject, a subject that is not allowed, no server at the end: each is said, and counted."""
    net = t.net()
    server = nats_server(t, net, 'authorization { users: [{user: a, password: b, permissions: {publish: '
                                 '["allowed.>", "$JS.>", "_INBOX.>"], subscribe: ">"}}] }\n')
    plugin = own_copy(t, NATS)
    login = "user=a&password=b"
    run = t.capture(net, f"nats://127.0.0.1:{PORT}/denied.x?{login}", "--plugin", plugin)
    t.send(net, {"count": 2000, "flows": 16}, rate=5000)
    run.stop()
    total = ledger.check(run.ledger_path, sent=2000)
    expect_equal(total["failed"] + total["dropped"], 2000, f"refused packets, in {total}")
    expect(total["failed"] > 0 and 'Publish to "denied.x"' in run.err, f"run says what was refused: {run.err}")
    # A stream that comes later gets everything.
    run = t.capture(net, f"nats://127.0.0.1:{PORT}/allowed.x?jetstream=true&{login}", "--plugin", plugin)
    t.send(net, {"count": 2000, "flows": 16}, rate=5000)
    wait_until(lambda: "no JetStream stream takes the subject 'allowed.x'" in run.err, 10, "run says what is missing")
    create_stream(net, "ALLOWED", "allowed.>", user="a", **{"pass": "b"})
    total = t.settle(run, 2000, lossless=True)
    expect_equal(total["delivered"], 2000, "delivered")
    # A server that hangs: what was sent and not answered is unknown, the rest failed; nothing is called delivered.
    run = t.capture(net, f"nats://127.0.0.1:{PORT}/allowed.x?jetstream=true&timeout=1s&{login}", "--plugin", plugin,
                    "--flush", "2s", "--batch-age", "5ms")
    t.send(net, {"count": 100, "flows": 16}, rate=5000)
    wait_until(lambda: ledger_now(run).get("delivered") == 100, 20, "the plugin is connected, and delivers")
    t.cleanup(lambda: server.send_signal(signal.SIGCONT))
    server.send_signal(signal.SIGSTOP)
    t.send(net, {"count": 2100, "flows": 16}, rate=5000, first=100)
    run.send_signal(signal.SIGTERM)
    expect(run.wait(30) in (0, 1), f"exit code of run: {run.err}")
    total = ledger.check(run.ledger_path, sent=2100)
    expect_equal(total["delivered"], 100, f"delivered by a server that hangs: {total}")
    expect(total["unknown"] > 0, f"sent, and not answered: {total}")


def test_nats_greets_and_hangs(t):
    """A server that says hello and no more: connections are given up, memory stays, and run ends when it is told to."""
    if not NATS.exists():
        raise wbtest.Skip("libnats-dev is not installed, so the plugin for NATS was not built")
    net = t.net()
    program = ("import socket, sys; listener = socket.create_server(('127.0.0.1', int(sys.argv[1]))); peers = []\n"
               "while True:\n"
               "    peers.append(listener.accept()[0])\n"
               "    peers[-1].sendall(b'INFO {\"server_id\":\"x\",\"proto\":1,\"max_payload\":1048576}\\r\\n')\n"
               "    print('greeted', flush=True)\n")
    server = t.start("greeter", net.command(wbtest.PYTHON, "-c", program, PORT))
    run = t.capture(net, f"nats://127.0.0.1:{PORT}?connect_timeout=300ms", "--plugin", own_copy(t, NATS), "--flush", "1s")
    wait_until(lambda: server.out.count("greeted") >= 2, 20, "run tries again")
    t.send(net, {"count": 2000, "flows": 16}, rate=5000)
    before = run.rss_bytes()
    wait_until(lambda: server.out.count("greeted") >= 5, 30, "run goes on trying")
    expect(run.rss_bytes() - before < 8 << 20, f"resident memory grew from {before} to {run.rss_bytes()}")
    expect("cannot connect" in run.err, f"run says what is wrong: {run.err}")
    run.send_signal(signal.SIGTERM)
    expect(run.wait(20) in (0, 1), f"exit code of run: {run.err}")
    total = ledger.check(run.ledger_path, sent=2000)
    expect_equal(total["failed"] + total["dropped"], 2000, f"accounted as lost: {total}")


def certificate(t, name):
    """A certificate for 127.0.0.1 that is its own authority. Returns it and its key."""
    cert, key = t.path(f"{name}.pem"), t.path(f"{name}-key.pem")
    wbtest.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert])
    return cert, key


def test_nats_login(t):
    """Encrypted and with a token; with the wrong token, or a certificate of somebody else, no packet leaves."""
    net = t.net()
    cert, key = certificate(t, "server")
    other, _key = certificate(t, "other")
    nats_server(t, net, f'tls {{ cert_file: "{cert}", key_file: "{key}" }}\nauthorization {{ token: "s3cr3t" }}\n')
    plugin = own_copy(t, NATS)
    url = f"nats://127.0.0.1:{PORT}?tls=true&ca={cert}&token=s3cr3t"
    run = t.capture(net, url, "--plugin", plugin)
    t.send(net, {"count": 3000, "flows": 16}, rate=10000)
    expect_equal(t.settle(run, 3000, lossless=True)["handed_over"], 3000, "handed over")
    expect("s3cr3t" not in run.err, f"the token is in a message: {run.err}")
    for wrong, said in ((url.replace("s3cr3t", "guessed"), "Authorization Violation"), (url.replace(cert, other), "certificate")):
        run = t.capture(net, wrong, "--plugin", plugin, "--flush", "1s")
        t.send(net, {"count": 500, "flows": 16}, rate=10000)
        wait_until(lambda run=run, said=said: said in run.err, 20, f"run says {said!r}")
        run.send_signal(signal.SIGTERM)
        expect(run.wait(30) in (0, 1), f"exit code of run: {run.err}")
        total = ledger.check(run.ledger_path, sent=500)
        expect_equal(total["failed"] + total["dropped"], 500, f"accounted as lost: {total}")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=150)
