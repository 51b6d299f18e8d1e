#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Wireshark's way in: tshark lists our interfaces and captures from them, live, from real buses; what Wireshark's dialogs
are made of."""
import json
import os
import pathlib
import re
import signal

from prelude import wbtest
from wbtest import CAPTURED_SIDE, expect, expect_equal, run as run_command, wait_until

from shark import Shark, ended, frames_of, numbers_of, options_of, sentences

PORT = 5561
PLAN = {"count": 400, "flows": 4, "sizes": "mixed", "seed": 21}
# The second of the four flows: see tests/clients/frames.c.
FILTER = "udp src port 1025"
FILTERED = list(range(1, PLAN["count"], PLAN["flows"]))
PASSWORD = "k3pt-0ut-0f-5ight"


# ---- what Wireshark reads ----

def test_sentences(t):
    shark = Shark(t)
    listed = sentences(shark.ask("--extcap-interfaces", "--extcap-version=4.0"))
    version = run_command([wbtest.WIREBUS, "--version"]).split()[1]
    expect_equal(listed[0], ("extcap", {"version": version, "display": "wirebus"}), "first sentence")
    expect_equal([values["value"] for kind, values in listed[1:]], ["wirebus-kafka", "wirebus-zmq"], "interfaces")
    expect_equal(sorted(options_of(shark, "wirebus-kafka")),
                 sorted(["--brokers", "--topic", "--since", "--filter", "--wait", "--properties"]), "options of Kafka")
    expect_equal(sorted(options_of(shark, "wirebus-zmq")),
                 sorted(["--endpoint", "--mode", "--node", "--filter", "--wait", "--curve-key", "--curve-server-key",
                         "--curve-allow"]), "options of ZeroMQ")
    for interface in ("wirebus-kafka", "wirebus-zmq"):
        (kind, values), = sentences(shark.ask("--extcap-dlts", "--extcap-interface", interface))
        expect_equal((kind, values["number"]), ("dlt", "147"), "link type")
    expect_equal(shark.ask("--extcap-interface", "wirebus-zmq", "--extcap-capture-filter", FILTER), "", "word about a good filter")
    said = shark.ask("--extcap-interface", "wirebus-zmq", "--extcap-capture-filter", "tcp prot 80")
    expect("'tcp prot 80'" in said and len(said.splitlines()) == 1, f"word about a bad filter: {said}")
    # Found by tshark, in its folder, under a name that is no command of ours.
    shown = run_command(["tshark", "-D"], env=shark.env)
    for interface in ("wirebus-kafka (wirebus: Kafka topic)", "wirebus-zmq (wirebus: ZeroMQ stream)"):
        expect(interface in shown, f"{interface} in {shown}")
    shown = run_command(["tshark", "-i", "wirebus-zmq", "-L"], env=shark.env)
    expect("WIREBUS" in shown, f"link types: {shown}")


def test_usage(t):
    """What is wrong is said in one line, with exit code 2, and whoever reads the FIFO is not left waiting."""
    shark = Shark(t)
    for arguments, *quotes in (
            ([], "--extcap-interfaces"),
            (["--extcap-config"], "--extcap-interface"),
            (["--extcap-interface", "wirebus-zmq"], "--capture"),
            (["--extcap-config", "--extcap-interface", "wirebus-kafak"], "wirebus-kafak", "wirebus-kafka"),
            (["--extcap-bogus"], "--extcap-bogus"),
            (["--capture", "--extcap-interface", "wirebus-zmq", "--endpoint", "127.0.0.1:1"], "--fifo")):
        said = shark.ask(*arguments, code=2)
        expect_equal(len(said.splitlines()), 1, f"lines of {said!r}")
        for quote in quotes:
            expect(quote in said, f"{arguments}: {quote!r} is not in {said!r}")
    fifo = t.path("fifo")
    os.mkfifo(fifo)
    for interface, options, *quotes in (
            ("wirebus-kafka", [], "--brokers", "extcap.wirebus_kafka.brokers"),
            ("wirebus-kafka", ["--brokers", "127.0.0.1:1"], "--topic"),
            ("wirebus-kafka", ["--brokers", "127.0.0.1:1", "--topic", "a b"], "a b"),
            ("wirebus-kafka", ["--brokers", "127.0.0.1:99999", "--topic", "p"], "127.0.0.1:99999"),
            ("wirebus-kafka", ["--endpoint", "127.0.0.1:1"], "wirebus-kafka", "endpoint"),
            ("wirebus-kafka", ["--brokers", "127.0.0.1:1", "--topic", "p", "--since", "soon"], "soon"),
            ("wirebus-zmq", ["--endpoint", "127.0.0.1:1", "--extcap-capture-filter", "tcp prot 80"], "'tcp prot 80'"),
            ("wirebus-zmq", ["--endpoint", "127.0.0.1:1", "--filter", "tcp prot 81"], "'tcp prot 81'"),
            ("wirebus-zmq", [], "--endpoint"),
            ("wirebus-zmq", ["--endpoint", "nonsense"], "nonsense"),
            ("wirebus-zmq", ["--endpoint", "127.0.0.1:1", "--mode", "push"], "push", "sub, pull"),
            ("wirebus-zmq", ["--endpoint", "*:5555"], "*:5555", "curve_key"),
            ("wirebus-zmq", ["--endpoint", "127.0.0.1:1", "--wait", "soon"], "--wait", "soon"),
            ("wirebus-zmq", ["--endpoint", "127.0.0.1:1", "--bogus", "1"], "--bogus"),
            ("wirebus-none", ["--endpoint", "127.0.0.1:1"], "wirebus-none")):
        reader = t.start("reader", ["cat", fifo])
        said = shark.ask("--capture", "--extcap-interface", interface, "--fifo", fifo, *options, code=2)
        for quote in quotes:
            expect(quote in said, f"{options}: {quote!r} is not in {said!r}")
        expect_equal(reader.wait(30), 0, "exit code of the FIFO's reader")
        expect_equal(reader.out, "", "what was written into the FIFO")


def test_named(t):
    """Interfaces of a file; what is wrong in it is shown, and hides nothing else."""
    shark = Shark(t)
    shark.named("interfaces:\n"
                "  packets: kafka://b1:9092,b2:9092/packets?properties.sasl.password=" + PASSWORD + "\n"
                "  lab: {url: 'zmq+sub://192.0.2.1:5555', filter: tcp port 443, since: 10 minutes ago}\n")
    listed = shark.ask("--extcap-interfaces")
    expect(PASSWORD not in listed, f"a password in {listed}")
    names = {values["value"]: values["display"] for kind, values in sentences(listed) if kind == "interface"}
    expect_equal(names, {"wirebus-kafka": "wirebus: Kafka topic", "wirebus-zmq": "wirebus: ZeroMQ stream",
                         "wirebus-packets": "wirebus: packets (kafka://b1:9092,b2:9092/packets)",
                         "wirebus-lab": "wirebus: lab (zmq+sub://192.0.2.1:5555)"}, "interfaces")
    expect_equal(sorted(options_of(shark, "wirebus-packets")), ["--filter", "--properties", "--since", "--wait"],
                 "options of a topic")
    lab = options_of(shark, "wirebus-lab")
    expect_equal(sorted(lab), ["--filter", "--since", "--wait"], "options of a stream")
    expect_equal((lab["--filter"]["default"], lab["--since"]["default"]), ("tcp port 443", "10 minutes ago"), "defaults")

    path = shark.named("interfaces:\n"
                       "  good: kafka://b1:9092/packets\n"
                       "  \"b{a}d\": kafka://b1:9092/packets\n"
                       "  worse: kafak://b1:9092/packets\n"
                       "  kafka: kafka://b1:9092/packets\n"
                       "  key: {url: 'kafka://b1:9092/packets', fliter: tcp}\n"
                       "  none: {filter: tcp}\n"
                       "  prot: {url: 'kafka://b1:9092/packets', filter: tcp prot 80}\n"
                       "  time: {url: 'kafka://b1:9092/packets', since: soon}\n")
    names = {values["value"]: values["display"] for kind, values in sentences(shark.ask("--extcap-interfaces"))
             if kind == "interface"}
    expect_equal(sorted(names), ["wirebus-extcap.yaml", "wirebus-good", "wirebus-kafka", "wirebus-zmq"], "interfaces")
    expect_equal(names["wirebus-extcap.yaml"], "wirebus: extcap.yaml:3:3: 'b_a_d' is no name: 1 to 64 letters, digits, '.', "
                 "'_' or '-'", "what stands for the errors")
    # Who captures from it is told everything, by tshark as far as that shows what it is told; the others do not mention it.
    said = shark.ask("--capture", "--extcap-interface", "wirebus-extcap.yaml", "--fifo", t.path("none"), code=1)
    quotes = ("b{a}d", "kafak", "'kafka'", "'filter'", "'url'", "'tcp prot 80'", "'soon'")
    for line, quote in enumerate(quotes, 3):
        expect(re.search(rf"^{re.escape(str(path))}:{line}:\d+: .*{quote}", said, re.M), f"line {line} in {said}")
    expect_equal(len(said.splitlines()), 7, f"lines of {said}")
    said = ended(shark.capture("wirebus-extcap.yaml"), 1)
    expect("Error by extcap pipe" in said and f"{path}:4:" in said, f"what tshark shows: {said}")
    said = ended(shark.capture("wirebus-zmq", endpoint="nonsense"), 1)
    expect("nonsense" in said and "kafak" not in said, f"what tshark shows: {said}")
    # One that is no YAML at all.
    shark.named("interfaces: [\n")
    names = [values["value"] for kind, values in sentences(shark.ask("--extcap-interfaces")) if kind == "interface"]
    expect_equal(names, ["wirebus-kafka", "wirebus-zmq", "wirebus-extcap.yaml"], "interfaces")


def test_file_mode(t):
    """With a secret in it, the user's file is for its owner; what has none stays, and so does what has it elsewhere."""
    shark = Shark(t)
    path = shark.named(f"interfaces:\n  plain: kafka://b1:9092/packets\n  moved: {{url: 'kafka://b1:9092/packets', properties: "
                       f"{{sasl.password: '${{file:{t.path('password')}}}'}}}}\n  inline:\n    url: kafka://b1:9092/packets\n"
                       f"    properties: {{sasl.username: me, sasl.password: {PASSWORD}}}\n")
    (t.folder / "password").write_text(PASSWORD)
    for mode, refuses in ((0o644, True), (0o660, True), (0o640, False), (0o600, False)):
        path.chmod(mode)
        listed = shark.ask("--extcap-interfaces")
        names = {values["value"]: values["display"] for kind, values in sentences(listed) if kind == "interface"}
        expect_equal(sorted(names), sorted(["wirebus-kafka", "wirebus-zmq", "wirebus-plain", "wirebus-moved",
                                            "wirebus-extcap.yaml" if refuses else "wirebus-inline"]), f"interfaces with {mode:o}")
        if refuses:
            said = shark.ask("--capture", "--extcap-interface", "wirebus-extcap.yaml", "--fifo", t.path("none"), code=1)
            for quote in (f"{path}:6:", "sasl.password", f"mode {mode:04o}", "chmod 600"):
                expect(quote in said and PASSWORD not in said + listed, f"{quote} in {said}")


# ---- captures ----

def wait_connected(t, net, tshark, connections=1, curve=False):
    def connected():
        expect(tshark.running(), f"tshark has ended: {tshark.err}")
        said = net.run("ss", "-Htn", "state", "established", f"( sport = :{PORT} )")
        return len(said.splitlines()) >= connections
    wait_until(connected, 60, "the extcap is connected")
    t.wait_subscribed(net, PORT, connections, curve)


def test_zmq(t):
    """Three captures in a row, with a filter, each ended by means of tshark's: the same packets, and nothing stays."""
    net = t.net()
    shark = Shark(t, net)
    run = t.capture(net, f"zmq+pub://127.0.0.1:{PORT}", workers=1)
    ends = (["-c", len(FILTERED)], ["-a", "duration:20"], ["-P", "-l"])
    captured = []
    for index, end in enumerate(ends):
        tshark = shark.capture("wirebus-zmq", "-f", FILTER, *end, path=t.path(f"{index}.pcapng"),
                               endpoint=f"127.0.0.1:{PORT}")
        wait_connected(t, net, tshark)
        (words,) = shark.processes().values()
        expect("--extcap-capture-filter" in words, f"arguments: {words}")
        t.send(net, PLAN, rate=2000)
        if "-P" in end:
            wait_until(lambda: len(tshark.out.splitlines()) >= len(FILTERED), 60, "the packets are there")
            tshark.send_signal(signal.SIGINT)
        said = ended(tshark)
        expect("Error" not in said, f"what tshark says: {said}")
        expect(f"{len(FILTERED)} packets captured" in said, f"what tshark says: {said}")
        shark.wait_none_left()
        captured.append(frames_of(tshark.path))
        expect_equal(numbers_of(captured[-1]), FILTERED, f"numbers of the frames of capture {index}")
        expect(captured[-1] == captured[0], f"capture {index} differs from the first")
    t.settle(run, len(ends) * PLAN["count"], lossless=True)


def test_several(t):
    """Two interfaces of the user's file in one capture, one of them with a filter; then tshark is killed."""
    net = t.net()
    shark = Shark(t, net)
    run = t.capture(net, f"zmq+pub://127.0.0.1:{PORT}", workers=1)
    shark.named(f"interfaces:\n  all: zmq+sub://127.0.0.1:{PORT}\n"
                f"  some: {{url: 'zmq+sub://127.0.0.1:{PORT}', filter: {FILTER}}}\n")
    arguments = ["-i", "wirebus-some", "-w", t.path("both.pcapng"), "-P", "-l"]
    tshark = shark.capture("wirebus-all", *arguments, "-c", PLAN["count"] + len(FILTERED))
    wait_connected(t, net, tshark, 2)
    t.send(net, PLAN, rate=2000)
    ended(tshark)
    numbers = numbers_of(frames_of(t.path("both.pcapng")))
    expect_equal(sorted(numbers), sorted([*range(PLAN["count"]), *FILTERED]), "numbers of the frames")
    shark.wait_none_left()
    # Ours do not wait for dumpcap, which notices with the next packet only.
    tshark = shark.capture("wirebus-all", *arguments)
    wait_connected(t, net, tshark, 2)
    tshark.end()
    shark.wait_none_left()
    t.settle(run, PLAN["count"])


def test_curve(t):
    """Key files as options of the interface: a path may have blanks and signs that URLs do not have."""
    net = t.net()
    shark = Shark(t, net)
    folder = t.folder / "keys & more"
    folder.mkdir()
    for name in ("sensor", "viewer", "stranger"):
        run_command([wbtest.WIREBUS, "keygen", "-o", folder / name])
    quoted = str(folder).replace(" ", "%20").replace("&", "%26")
    t.capture(net, f"zmq+pub://127.0.0.1:{PORT}?curve_key={quoted}/sensor.key&curve_allow={quoted}/viewer.pub", workers=1)
    tshark = shark.capture("wirebus-zmq", "-c", PLAN["count"], path=t.path("curve.pcapng"),
                           endpoint=f"tcp://127.0.0.1:{PORT}", curve_key=folder / "viewer.key",
                           curve_server_key=folder / "sensor.pub")
    wait_connected(t, net, tshark, curve=True)
    t.send(net, PLAN, rate=2000)
    ended(tshark)
    expect_equal(numbers_of(frames_of(tshark.path)), list(range(PLAN["count"])), "numbers of the frames")
    tshark = shark.capture("wirebus-zmq", endpoint=f"127.0.0.1:{PORT}", curve_key=folder / "stranger.key",
                           curve_server_key=folder / "sensor.pub", wait="2s")
    tshark.wait(90)
    expect("Error by extcap pipe" in tshark.err and "key" in tshark.err, f"what tshark shows of a refused key: {tshark.err}")
    shark.wait_none_left()


def test_wrong_bus(t):
    """What is wrong is shown by tshark, which ends by itself."""
    net = t.net()
    shark = Shark(t, net)
    for interface, options, quote in (
            ("wirebus-kafka", {"brokers": "127.0.0.1:9", "topic": "packets"}, "cannot read topic packets at 127.0.0.1:9"),
            ("wirebus-zmq", {"endpoint": "127.0.0.1:9"}, "no publisher at tcp://127.0.0.1:9"),
            ("wirebus-zmq", {"endpoint": "127.0.0.1:9", "mode": "pull"}, "no publisher at tcp://127.0.0.1:9")):
        tshark = shark.capture(interface, wait="1s", **options)
        tshark.wait(90)
        expect("Error by extcap pipe" in tshark.err and quote in tshark.err, f"what tshark shows: {tshark.err}")
    shark.wait_none_left()


def test_secrets(t):
    """A password stays in its file: it is in no process's arguments, and nobody prints it."""
    net = t.net()
    shark = Shark(t, net)
    properties = t.folder / "kafka.properties"
    properties.write_text("# of the reader\nsecurity.protocol = SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=wirebus\n"
                          f"sasl.password={PASSWORD}\n")
    options = {"brokers": "127.0.0.1:9", "topic": "packets", "properties": properties}
    properties.chmod(0o644)
    tshark = shark.capture("wirebus-kafka", **options)
    tshark.wait(90)
    expect("0644" in tshark.err and str(properties) in tshark.err, f"what is said of the file: {tshark.err}")
    properties.chmod(0o600)
    tshark = shark.capture("wirebus-kafka", wait="5s", **options)
    seen = []

    def over():
        seen.extend(shark.processes().values())
        return not tshark.running()
    wait_until(over, 90, "tshark has ended")
    expect(any("--capture" in words for words in seen), "the extcap was not seen")
    expect(PASSWORD not in json.dumps(seen), f"a password in {seen}")
    expect("Error by extcap pipe" in tshark.err and PASSWORD not in tshark.err, f"what tshark shows: {tshark.err}")
    # A mistake in the file is told by its line, without a value.
    properties.write_text(f"sasl.mechanism=PLAIN\n{PASSWORD}\n")
    tshark = shark.capture("wirebus-kafka", **options)
    tshark.wait(90)
    expect("line 2" in tshark.err and PASSWORD not in tshark.err, f"what is said of the line: {tshark.err}")
    properties.write_text(f"sasl.passwort={PASSWORD}\n")
    tshark = shark.capture("wirebus-kafka", **options)
    tshark.wait(90)
    expect("sasl.passwort" in tshark.err and PASSWORD not in tshark.err, f"what is said of the name: {tshark.err}")


def start_direct(t, shark, fifo, *options):
    """The program as Wireshark starts it, without Wireshark."""
    return t.start("extcap", shark.net.command(shark.program, "--capture", "--extcap-interface", "wirebus-zmq", "--fifo", fifo,
                                               "--endpoint", f"127.0.0.1:{PORT}", *options), env=shark.env)


def catches(process, number):
    """Whether the signal is not left to its default: blocked, for signalfd(2)."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"^SigBlk:\s*([0-9a-f]+)", status, re.M).group(1), 16) >> (number - 1) & 1


def test_stops(t):
    """SIGTERM gives a whole file; a reader that goes is noticed without a packet; nothing needs a reader to be stopped."""
    net = t.net()
    shark = Shark(t, net)
    run = t.capture(net, f"zmq+pub://127.0.0.1:{PORT}", workers=1)
    fifo = t.path("fifo")
    os.mkfifo(fifo)
    # Nobody reads.
    extcap = start_direct(t, shark, fifo)
    wait_until(lambda: catches(extcap, signal.SIGTERM), 30, "the extcap is ready for signals")
    extcap.stop()
    # SIGTERM. SIGINT, which a terminal sends to all, is Wireshark's business.
    extcap = start_direct(t, shark, fifo)
    reader = t.start("reader", ["cat", fifo])
    t.wait_subscribed(net, PORT)
    t.send(net, PLAN, rate=2000)
    wait_until(lambda: len(reader.out) > 100 * PLAN["count"], 60, "the packets are in the pipe")
    extcap.send_signal(signal.SIGINT)
    t.send(net, PLAN, rate=2000)
    wait_until(lambda: len(reader.out) > 200 * PLAN["count"], 60, "more packets are in the pipe")
    extcap.stop()
    expect_equal(extcap.err, "", "what the extcap says")
    expect_equal(reader.wait(30), 0, "exit code of the reader")
    expect_equal(numbers_of(frames_of(reader.out_path)), 2 * list(range(PLAN["count"])), "numbers of the frames")
    about = run_command(["capinfos", reader.out_path])
    expect(re.search(r"Number of stat entries = 1", about), f"no statistics at the end: {about}")
    # The reader goes while nothing is captured.
    extcap = start_direct(t, shark, fifo)
    reader = t.start("reader", ["cat", fifo])
    wait_until(lambda: reader.out, 30, "the head of the file is there")
    reader.end()
    expect_equal(extcap.wait(30), 0, f"exit code of the extcap ({extcap.err})")
    expect_equal(extcap.err, "", "what the extcap says")
    t.settle(run, 2 * PLAN["count"])


def consecutive(numbers, step):
    return all(later == earlier + step for earlier, later in zip(numbers, numbers[1:]))


def test_kafka(t):
    """From a topic: all of it, from a time on, and, three times in a row, what comes from now on."""
    net = t.net()
    shark = Shark(t, net)
    broker = t.broker(net)
    run = t.capture(net, f"kafka://{broker.servers}/packets", workers=1)
    options = {"brokers": broker.servers, "topic": "packets"}
    everything = list(range(PLAN["count"]))
    first = t.send(net, PLAN, rate=2000)
    second = t.send(net, PLAN, rate=2000)
    between = (first["last_ns"] + second["first_ns"]) // 2
    for name, since, wanted in (("all", "beginning", 2 * everything),
                                ("later", f"{between // 10**9}.{between % 10**9:09}", everything)):
        tshark = shark.capture("wirebus-kafka", "-c", len(wanted), path=t.path(f"{name}.pcapng"), since=since, **options)
        ended(tshark)
        expect_equal(numbers_of(frames_of(tshark.path)), wanted, f"numbers of the frames since {since}")
        shark.wait_none_left()
    # When a capture has found the end of the topic nobody can see from outside: so packets come all the time.
    plan = dict(PLAN, count=100000)
    sender = t.start("sender", net.command(wbtest.SENDER, wbtest.SENDING_SIDE, *wbtest.plan_words(plan), "--rate", 500))
    last = 0
    for index in range(3):
        tshark = shark.capture("wirebus-kafka", "-f", FILTER, "-c", 50, path=t.path(f"{index}.pcapng"), **options)
        ended(tshark)
        numbers = numbers_of(frames_of(tshark.path))
        expect_equal(len(numbers), 50, "frames captured")
        expect(consecutive(numbers, PLAN["flows"]) and numbers[0] % PLAN["flows"] == 1, f"numbers of the frames: {numbers}")
        expect(numbers[0] > last, f"capture {index} begins with {numbers[0]}, the one before ended with {last}")
        last = numbers[-1]
        shark.wait_none_left()
    sender.end()
    missing = shark.capture("wirebus-kafka", brokers=broker.servers, topic="nothing-here", wait="2s")
    missing.wait(90)
    expect("nothing-here" in missing.err and "Unknown topic" in missing.err, f"what tshark shows: {missing.err}")
    run.stop()


def test_kafka_password(t):
    """A broker that asks for a password: it comes from a file, by an option or by the file of interfaces."""
    net = t.net()
    shark = Shark(t, net)
    broker = t.broker(
        net, 9092, "listeners=PLAINTEXT://127.0.0.1:9092,SASL://127.0.0.1:9094,CONTROLLER://127.0.0.1:9093",
        "advertised.listeners=PLAINTEXT://127.0.0.1:9092,SASL://127.0.0.1:9094", "sasl.enabled.mechanisms=PLAIN",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
        "listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required "
        f'user_reader="{PASSWORD}";')
    run = t.capture(net, f"kafka://{broker.servers}/packets", workers=1)
    t.send(net, PLAN, rate=2000)
    t.settle(run, PLAN["count"], lossless=True)
    about = "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=reader\nsasl.password="
    for name, text in (("good", PASSWORD), ("bad", PASSWORD + "!")):
        path = t.folder / name
        path.write_text(about + text + "\n")
        path.chmod(0o600)
    (t.folder / "password").write_text(PASSWORD + "\n")
    shark.named("interfaces:\n  safe:\n    url: kafka://127.0.0.1:9094/packets\n    since: beginning\n"
                f"    filter: {FILTER}\n    properties:\n"
                "      {security.protocol: SASL_PLAINTEXT, sasl.mechanism: PLAIN, sasl.username: reader,\n"
                f"       sasl.password: '${{file:{t.path('password')}}}'}}\n")
    options = {"brokers": "127.0.0.1:9094", "topic": "packets", "since": "beginning"}
    tshark = shark.capture("wirebus-kafka", "-c", PLAN["count"], path=t.path("option.pcapng"), properties=t.path("good"), **options)
    ended(tshark)
    expect_equal(numbers_of(frames_of(tshark.path)), list(range(PLAN["count"])), "numbers of the frames")
    tshark = shark.capture("wirebus-safe", "-c", len(FILTERED), path=t.path("file.pcapng"))
    ended(tshark)
    expect_equal(numbers_of(frames_of(tshark.path)), FILTERED, "numbers of the frames")
    tshark = shark.capture("wirebus-kafka", wait="3s", properties=t.path("bad"), **options)
    tshark.wait(90)
    url = f"kafka://127.0.0.1:9094/packets?properties_file={t.path('good')}"
    read = net.run(wbtest.WIREBUS, "cat", "--from", url, "-o", "json")
    expect_equal(len(read.splitlines()), PLAN["count"], "lines of cat")
    expect("Authentication failed" in tshark.err and PASSWORD not in tshark.err, f"what tshark shows: {tshark.err}")
    shark.wait_none_left()


if __name__ == "__main__":
    wbtest.main(globals())
