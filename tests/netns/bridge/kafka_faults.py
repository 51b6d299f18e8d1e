#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Kafka under fire: whatever the brokers do, what a consumer gets and what the ledger counts as lost is what was sent."""
import json
import os
import pathlib
import re
import signal

from prelude import ledger, wbtest
from spool import spool_bytes
from mock_kafka import (CLUSTER_AUTHORIZATION_FAILED, INIT_PRODUCER_ID, INVALID_TIMESTAMP, MESSAGE_TOO_LARGE, Mock,
                        NOT_ENOUGH_REPLICAS, NOT_LEADER, OUT_OF_ORDER_SEQUENCE_NUMBER, PRODUCE, REQUEST_TIMED_OUT,
                        TOPIC_AUTHORIZATION_FAILED)
from wbtest import CAPTURED_SIDE, expect, expect_equal, wait_until

FACTS = ["--interface", CAPTURED_SIDE, "--direction", "in"]
FAST = ["--batch-packets", "50"]  # many small batches
SMALL = {"flows": 16, "sizes": 100}  # the mock cluster keeps 5 MiB of a partition


def failed_by_cause(run):
    with open(run.ledger_path, encoding="utf-8") as stream:
        causes = json.load(stream)["captures"][0]["total"]["failed_by_cause"]
    return {cause: count for cause, count in causes.items() if count}


def consume(t, net, plan, url, lossless=False, audited=True, ordered=True):
    """Read the topic to its end; audited: the ends of the streams are there, too. Not ordered: clients were replaced on a
    simulated cluster, which takes the request that such a client may send after the one that failed; a broker refuses it, as
    its sequence number does not follow. Returns the summary, and what check_frames found: each frame is right and there
    once."""
    check = FACTS if lossless else [*FACTS, "--allow-missing", "1"]
    cat, checker = t.cat_and_check(net, plan, url, check=check)
    expect_equal(cat.wait(90), 0, f"exit code of cat ({cat.err})")
    checker.wait(90)
    found = json.loads(checker.out)
    with open(cat.summary_path, encoding="utf-8") as stream:
        said = json.load(stream)
    wrong = {name: found[name] for name in ("duplicates", "reordered", "corrupt", "foreign", "bad_length", "bad_time",
                                            "bad_interface", "bad_direction", "bad_link_type")}
    if lossless:
        wrong["missing"] = found["missing"]
    if not ordered:
        del wrong["reordered"]
    expect_equal(wrong, dict.fromkeys(wrong, 0), f"frames: {found}")
    expect_equal((said["damaged"], ordered and said["out_of_order"]), (0, 0), f"damaged and out of order: {said}")
    expect_equal(said["packets"], found["packets"], f"packets in the summary {said}")
    if audited:
        figures = t.audit(net, url)["figures"]
        expect_equal((figures["received"], figures["duplicates"]), (said["packets"], said["duplicates"]), f"audit {figures}")
    return said, found


def expect_sums(total, said, sent):
    """Sent = received + lost in the kernel + lost on the way; the reader sees both losses by itself."""
    lost = total["failed"] + total["unknown"] + total["dropped"]
    expect_equal(said["packets"] + total["kernel_dropped"] + lost, sent, f"received and lost: {said} {total}")
    expect_equal(said["packets"], total["delivered"], f"received is what was acknowledged: {said} {total}")
    expect_equal(said["missing_packets"] + said["missed_before_first"], lost, f"holes in the numbers: {said} {total}")
    expect_equal(said["kernel_dropped"], total["kernel_dropped"], f"lost in the kernel, as the reader knows: {said}")


def expect_duplicates_told(run, said):
    maybe = sum(int(number) for number in re.findall(r"of which (\d+) may be on the bus twice", run.err))
    expect(said["duplicates"] <= maybe, f"{said['duplicates']} duplicates, {maybe} were told: {run.err}")


def expect_headers(t, net, servers, said, topic="packets"):
    """A reader of the records' headers alone comes to the same results."""
    reader = t.client(net, "headers_kafka.py", servers, topic)
    expect_equal(reader.wait(60), 0, f"exit code of the headers' reader ({reader.err})")
    found = json.loads(reader.out)
    expect_equal({"records": said["messages"], "duplicates": said["duplicates"], "packets": said["packets"],
                  "missing": said["missing_packets"] + said["missed_before_first"], "streams": 2, "ended": 2}, found,
                 f"cat, and the headers: {said}")


def test_refused(t):
    """Errors that pass cost nothing; a refused batch is counted by cause, and is the hole that the reader sees."""
    net = t.net()
    mock = Mock(t, net)
    plan = {"count": 12000, **SMALL}
    url = mock.url(linger="1ms", properties__retry__backoff__ms=20)
    run = t.capture(net, url, *FAST)
    errors = ((TOPIC_AUTHORIZATION_FAILED,), (NOT_ENOUGH_REPLICAS, MESSAGE_TOO_LARGE), (NOT_LEADER, INVALID_TIMESTAMP),
              (REQUEST_TIMED_OUT, NOT_LEADER), (MESSAGE_TOO_LARGE, MESSAGE_TOO_LARGE), (INVALID_TIMESTAMP,))
    for i, codes in enumerate(errors):
        mock("errors", PRODUCE, *codes)
        t.send(net, dict(plan, count=1500 * (i + 1)), rate=5000, first=1500 * i)
    # The rest arrives, and with it the end of the streams: it shows the reader what is missing before it.
    mock("clear", PRODUCE)
    t.send(net, plan, rate=3000, first=1500 * len(errors))
    total = t.settle(run, plan["count"], workers=2)
    causes = failed_by_cause(run)
    expect_equal(sum(causes.values()), total["failed"], f"failed by cause {causes}: {total}")
    expect(set(causes) <= {"too_large", "denied", "refused"} and len(causes) >= 2, f"failed by cause: {causes}")
    # Unknown: first the time was over, then it was refused. The mock cluster has it neither way. And a topic that must not
    # be written to takes what is queued for it with it.
    expect(total["failed"] > 0 and total["dropped"] == 0, f"lost otherwise: {total}")
    said, _ = consume(t, net, plan, mock.url(), ordered=False)
    expect_duplicates_told(run, said)
    expect_sums(total, said, plan["count"])
    expect_headers(t, net, mock.servers, said)
    expect("Broker: " in run.err and "failed since this was said last" in run.err, f"run says what was refused: {run.err}")


def test_leaders_and_outages(t):
    """Partitions move, brokers go and come back: nothing is lost, and each stream keeps its order."""
    net = t.net()
    mock = Mock(t, net, brokers=3)
    plan = {"count": 20000, **SMALL}
    mock("topic", "packets", 3)
    run = t.capture(net, mock.url(linger="1ms", properties__topic__metadata__refresh__interval__ms=200,
                                  properties__reconnect__backoff__max__ms=200), *FAST)
    sender = t.start("sender", net.command(wbtest.SENDER, wbtest.SENDING_SIDE, *wbtest.plan_words(plan), "--rate", "5000"))
    for step in range(8):
        for partition in range(3):
            mock("leader", "packets", partition, 1 + (partition + step) % 3)
        mock("down", 1 + step % 3)
        wait_until(lambda: int(net.received()) >= 2000 * (step + 1) or not sender.running(), 30, "more is sent")
        mock("up", 1 + step % 3)
    expect_equal(sender.wait(30), 0, f"exit code of the sender ({sender.err})")
    total = t.settle(run, plan["count"], lossless=True, workers=2)
    said, _ = consume(t, net, plan, mock.url(), lossless=True)
    expect_sums(total, said, plan["count"])


def test_late_answers(t):
    """Answers that come too late make duplicates, as the mock cluster does not know sequence numbers: cat finds each."""
    net = t.net()
    mock = Mock(t, net)
    plan = {"count": 10000, **SMALL}
    run = t.capture(net, mock.url(linger="1ms", properties__socket__timeout__ms=300, properties__retry__backoff__ms=10), *FAST)
    t.send(net, dict(plan, count=2000), rate=10000)
    for i in range(1, 5):
        mock("delays", 1, PRODUCE, 0, 1500)
        t.send(net, dict(plan, count=2000 * (i + 1)), rate=10000, first=2000 * i)
    total = t.settle(run, plan["count"], lossless=True, workers=2)
    said, _ = consume(t, net, plan, mock.url(), lossless=True)
    expect(said["duplicates"] > 0, f"no duplicates: {said}")
    expect_equal(total["delivered"], plan["count"], "delivered")
    expect_headers(t, net, mock.servers, said)


def test_fatal(t):
    """A client that ends with a fatal error, and successors that fail at once: the next good one delivers everything."""
    net = t.net()
    mock = Mock(t, net)
    plan = {"count": 12000, **SMALL}
    run = t.capture(net, mock.url(linger="1ms"), *FAST)
    t.send(net, dict(plan, count=4000), rate=10000)
    mock("errors", INIT_PRODUCER_ID, CLUSTER_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED)
    mock("errors", PRODUCE, OUT_OF_ORDER_SEQUENCE_NUMBER)
    t.send(net, plan, rate=10000, first=4000)
    total = t.settle(run, plan["count"], lossless=True, workers=2)
    said, _ = consume(t, net, plan, mock.url(), lossless=True, ordered=False)
    expect_sums(total, said, plan["count"])
    expect_duplicates_told(run, said)
    expect(run.err.count("a new one takes over") >= 2, f"run says that clients were replaced: {run.err}")


def test_given_up(t):
    """When every client fails, run ends with 1, and everything is counted."""
    net = t.net()
    mock = Mock(t, net)
    mock("errors", INIT_PRODUCER_ID, *[CLUSTER_AUTHORIZATION_FAILED] * 40)
    run = t.capture(net, mock.url(linger="1ms", fatal_retries=2), *FAST)
    wait_until(lambda: "cannot publish any more" in run.err, 30, f"run gives the bus up: {run.err}")
    t.send(net, {"count": 200, **SMALL}, rate=10000)
    expect_equal(run.wait(30), 1, f"exit code of run ({run.err})")
    total = ledger.check(run.ledger_path, workers=2)
    expect_equal(total["delivered"], 0, f"delivered: {total}")
    expect_equal(t.audit(net, mock.url(), code=1)["doubts"], ["nothing"], "doubts")


def test_slow(t):
    """A slow broker: with block all loss is the ring's, with drop it is wirebus's; each is counted to the packet."""
    for policy, lost in (("block", "kernel_dropped"), ("drop", "dropped")):
        net = t.net()
        mock = Mock(t, net)
        mock("rtt", 1, 200)
        plan = {"count": 12000, **SMALL}
        run = t.capture(net, mock.url(linger="1ms"), "--on-full", policy, "--buffers", "4", "--batch-bytes", "4096",
                        "--block-bytes", "16KiB", "--block-count", "8" if policy == "block" else "1024", "--flush", "60s")
        t.send(net, plan, rate=40000)
        run.stop(seconds=90)
        total = ledger.check(run.ledger_path, sent=plan["count"], workers=2)
        expect(total[lost] > 1000, f"{policy}: hardly anything was lost: {total}")
        expect_equal(total["failed"] + total["unknown"], 0, f"{policy}: lost otherwise: {total}")
        if policy == "block":
            expect_equal(total["dropped"], 0, f"dropped although run blocks: {total}")
        mock("rtt", 1, 0)
        said, _ = consume(t, net, plan, mock.url())
        expect_sums(total, said, plan["count"])


def test_slow_spool(t):
    """A slow broker, with spool: what it does not take in time is on disk, and all of it reaches the broker, in order."""
    net, folder = t.net(), t.path("spool")
    mock = Mock(t, net)
    mock("rtt", 1, 200)
    plan = {"count": 20000, **SMALL}
    run = t.capture(net, mock.url(linger="1ms"), "--on-full", "spool", "--spool-dir", folder, "--buffers", "8",
                    "--batch-bytes", "4096", "--flush", "60s")
    sender = t.start("sender", net.command(wbtest.SENDER, wbtest.SENDING_SIDE, *wbtest.plan_words(plan), "--rate", "40000"))
    wait_until(lambda: spool_bytes(folder) > 256 << 10, 30, "the spool is in use")
    expect_equal(sender.wait(60), 0, f"exit code of the sender ({sender.err})")
    wait_until(lambda: spool_bytes(folder) < 100, 90, "the spool is empty again")
    run.stop(seconds=90)
    total = ledger.check(run.ledger_path, sent=plan["count"], lossless=True, workers=2)
    expect_equal((total["delivered"], total["dropped"], total["spooled"]), (plan["count"], 0, 0), f"outcomes: {total}")
    expect("batches go to the spool" in run.err, f"run says that it spools: {run.err}")
    mock("rtt", 1, 0)
    said, _ = consume(t, net, plan, mock.url(), lossless=True)
    expect_sums(total, said, plan["count"])


def test_names(t):
    """Topics with placeholders, the interface as key, a schema's prefix: cat reads what run wrote."""
    net = t.net()
    mock = Mock(t, net)
    plan = {"count": 3000, **SMALL}
    run = t.capture(net, mock.url("a-{node}.{interface}", schema_registry="prefix", schema_id=7),
                    *FAST, "--node", "host 1", "--key", "interface")
    t.send(net, plan, rate=10000)
    total = t.settle(run, plan["count"], lossless=True, workers=2)
    said, _ = consume(t, net, plan, mock.url(f"a-host_1.{CAPTURED_SIDE}"), lossless=True)
    expect_sums(total, said, plan["count"])
    bad = t.wirebus(net, "run", "-i", CAPTURED_SIDE, "--to", mock.url("a-{host}"))
    expect_equal(bad.wait(20), 2, f"exit code with a wrong placeholder ({bad.err})")
    expect("'{host}'" in bad.err and "{node} and {interface}" in bad.err, f"the message quotes it: {bad.err}")


def make_topics(net, servers, topics):
    """topics: name: (partitions, configuration)."""
    create = ("import json, sys; from confluent_kafka.admin import AdminClient, NewTopic; "
              "admin = AdminClient({'bootstrap.servers': sys.argv[1]}); "
              "topics = json.loads(sys.argv[2]); "
              "[done.result() for done in admin.create_topics([NewTopic(n, p, 1, config=c) for n, (p, c) in topics.items()])"
              ".values()]")
    net.run(wbtest.PYTHON, "-c", create, servers, json.dumps(topics))


def test_broker_killed(t):
    """A real broker is killed under load: nothing is lost, nothing is there twice, each stream keeps its order."""
    net = t.net()
    broker = t.broker(net)
    url = f"kafka://{broker.servers}/packets"
    part, parts = 40000, 6 if wbtest.FULL else 2
    plan = {"count": part * parts, "flows": 64, "sizes": 200}
    run = t.capture(net, url, "--buffers", "512", "--batch-packets", "500")
    for i in range(parts - 1):
        sender = t.start("sender", net.command(
            wbtest.SENDER, wbtest.SENDING_SIDE, *wbtest.plan_words(dict(plan, count=part * (i + 1))), "--first", part * i,
            "--rate", "8000"))
        wait_until(lambda: int(net.received()) >= part * i + part // 3, 60, "a third of the packets is sent")
        expect(sender.running(), "the sender was to be busy still")
        broker.kill()
        broker.start()
        expect_equal(sender.wait(60), 0, f"exit code of the sender ({sender.err})")
    t.send(net, plan, rate=20000, first=part * (parts - 1))
    total = t.settle(run, plan["count"], lossless=True, workers=2)
    expect("a broker answers again" in run.err, f"run says that the broker was away: {run.err}")
    said, _ = consume(t, net, plan, url, lossless=True)
    expect_equal(said["duplicates"], 0, f"duplicates: {said}")
    expect_sums(total, said, plan["count"])
    expect_headers(t, net, broker.servers, said)


def test_broker_forgets(t):
    """A broker that comes back without what it had acknowledged, as after a power cut: run cannot know, verify says it."""
    net = t.net()
    broker = t.broker(net, 9092, "num.partitions=1")
    url = f"kafka://{broker.servers}/packets"
    plan = {"count": 8000, **SMALL}
    run = t.capture(net, url, *FAST)
    t.send(net, dict(plan, count=4000), rate=10000)
    log = pathlib.Path(broker.folder, "data", "packets-0", f"{0:020}.log")
    wait_until(lambda: delivered(run) >= 3000, 60, "the broker has acknowledged packets")
    broker.kill()
    os.truncate(log, log.stat().st_size // 2)
    broker.start()
    t.send(net, plan, rate=10000, first=4000)
    total = t.settle(run, plan["count"], lossless=True, workers=2)
    expect_equal(total["delivered"], plan["count"], "delivered, as the broker said")
    said = t.audit(net, url, code=1, sent=plan["count"], run=run)
    figures = said["figures"]
    expect(figures["unexplained"] > 1000 and "unexplained" in said["doubts"], f"audit: {said['doubts']} {figures}")
    expect(figures["received"] + figures["unexplained"] >= plan["count"], f"received and missing: {figures}")


def delivered(run):
    """By the ledger that run prints now."""
    count = run.err.count("ledger of")
    run.send_signal(signal.SIGUSR1)
    wait_until(lambda: run.err.count("ledger of") > count, 20, "run prints its ledger")
    numbers = re.findall(r"^  delivered +(\d+) ", run.err, re.MULTILINE)
    return int(numbers[-1]) if numbers else 0


SASL_PORT = 9094


def test_real_broker(t):
    """What a real broker refuses: batches over the topic's limit, times too far from its clock, a wrong password; and that
    seeking by time skips nothing."""
    net = t.net()
    login = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    broker = t.broker(net, 9092, f"listeners=PLAINTEXT://:9092,SASL_PLAINTEXT://:{SASL_PORT},CONTROLLER://127.0.0.1:9093",
                      f"advertised.listeners=PLAINTEXT://127.0.0.1:9092,SASL_PLAINTEXT://127.0.0.1:{SASL_PORT}",
                      "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
                      "sasl.enabled.mechanisms=PLAIN", "listener.name.sasl_plaintext.plain.sasl.jaas.config="
                      f'{login} user_wirebus="right-one";')
    make_topics(net, broker.servers, {"small": (2, {"max.message.bytes": "6000"}),
                                      "clock": (2, {"message.timestamp.before.max.ms": "1"}),
                                      "seek": (3, {}), "password": (2, {})})
    limits(t, net, broker)
    seek_by_time(t, net, broker)
    passwords(t, net, broker)


def limits(t, net, broker):
    plan = {"count": 2000, "flows": 16}  # mixed sizes: five frames are too large now and then
    for topic, cause, hint in (("small", "too_large", "max.message.bytes"), ("clock", "refused", "the clock of this host")):
        run = t.capture(net, f"kafka://{broker.servers}/{topic}?linger=0", "--batch-packets", "5")
        t.send(net, plan, rate=2000)
        total = t.settle(run, plan["count"], workers=2)
        expect_equal(failed_by_cause(run), {cause: total["failed"]}, f"{topic}: failed by cause ({run.err})")
        expect(hint in run.err, f"{topic}: run says what can be done: {run.err}")
        said, _ = consume(t, net, plan, f"kafka://{broker.servers}/{topic}", audited=topic == "small")
        expect_equal(said["packets"], total["delivered"], f"{topic}: received is what was acknowledged")
        if topic == "small":
            # Only batches that are too large by themselves: they take no others with them.
            expect(5 <= total["failed"] <= plan["count"] // 4, f"{topic}: refused: {total}")
            expect_sums(total, said, plan["count"])
        else:
            expect(total["failed"] >= plan["count"] // 2, f"{topic}: refused: {total}")


def seek_by_time(t, net, broker):
    """Whoever starts at the offset of a time, rounded down to ms, misses no packet of that time or later."""
    plan = {"count": 4000, "flows": 16}
    run = t.capture(net, f"kafka://{broker.servers}/seek", "--batch-packets", "10", "--heartbeat", "50ms", workers=3)
    t.send(net, plan, rate=4000)
    t.send(net, dict(plan, count=2 * plan["count"]), rate=2000, first=plan["count"])
    t.settle(run, 2 * plan["count"], lossless=True, workers=3)
    seeker = t.client(net, "seek_kafka.py", broker.servers, "seek", "--times", "300")
    expect_equal(seeker.wait(60), 0, f"exit code of the seeker ({seeker.err} {seeker.out})")
    found = json.loads(seeker.out)
    expect_equal((found["times"], found["skipped"]), (300, 0), f"times tried, and seeks that skipped packets: {found}")
    expect(found["batches"] > 500 and found["inside"] > 100, f"the seeks proved something: {found}")


def passwords(t, net, broker):
    """From a file the right password gets in; a wrong one is told, and packets wait in memory. Neither is shown."""
    plan = {"count": 2000, **SMALL}
    server = f"127.0.0.1:{SASL_PORT}"
    for password, reaches in (("wrong-one", False), ("right-one", True)):
        pathlib.Path(t.path("password")).write_text(password + "\n")
        path, ledger_path = t.path(f"{password}.yaml"), t.path(f"{password}.json")
        pathlib.Path(path).write_text(
            f"flush: {'10s' if reaches else '1s'}\nledger: {ledger_path}\ncaptures:\n  - interface: {CAPTURED_SIDE}\n"
            f"    workers: 2\n    to:\n      url: kafka://{server}/password\n      properties:\n"
            "        security.protocol: SASL_PLAINTEXT\n        sasl.mechanism: PLAIN\n        sasl.username: wirebus\n"
            "        sasl.password: ${file:password}\n")
        run = t.wirebus(net, "run", "-c", path)
        t.wait_capturing(run)
        t.send(net, plan, rate=10000)
        if not reaches:
            wait_until(lambda: "uthentication failed" in run.err, 20, f"run says what is wrong: {run.err}")
        run.stop(seconds=30)
        expect(password not in run.err, f"the password is shown: {run.err}")
        total = ledger.check(ledger_path, sent=plan["count"], workers=2)
        expect_equal(total["delivered"], plan["count"] if reaches else 0, f"delivered with {password}: {total}")
    said, _ = consume(t, net, plan, f"kafka://{server}/password?properties.security.protocol=SASL_PLAINTEXT&"
                      "properties.sasl.mechanism=PLAIN&properties.sasl.username=wirebus&properties.sasl.password=right-one",
                      lossless=True, audited=False)
    expect_sums(total, said, plan["count"])


def test_properties(t):
    """librdkafka's properties: those for TLS and SASL come through, with secrets from files that nobody gets to see."""
    net = t.net()
    mock = Mock(t, net)
    secret = "correct-horse-battery"
    for name in ("password", "bad"):
        pathlib.Path(t.path(name)).write_text(secret if name == "password" else f"{secret}\n{secret}")

    def check(properties, code):
        path = t.path(f"wirebus-{t.number('yaml')}.yaml")
        lines = "".join(f"        {key}: {value}\n" for key, value in properties.items())
        pathlib.Path(path).write_text(f"captures:\n  - interface: {CAPTURED_SIDE}\n    to:\n      url: {mock.url()}\n"
                                      f"      properties:\n{lines}")
        done = t.wirebus(net, "check", "-c", path)
        expect_equal(done.wait(20), code, f"exit code of check ({done.err}{done.out})")
        expect(secret not in done.err + done.out, f"a secret is shown: {done.err}")
        return path, done.err

    sasl = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "u",
            "sasl.password": "${file:password}"}
    path, _ = check(sasl, 0)
    check({"security.protocol": "SSL", "ssl.key.password": "${file:password}", "ssl.ca.location": "/etc/ssl/certs",
           "ssl.cipher.suites": "DEFAULT", "enable.ssl.certificate.verification": "true"}, 0)
    for wrong, message in (({"sasl.pasword": "${file:password}"}, "did you mean 'sasl.password'?"),
                           ({"ssl.endpoint.identification.algoritm": "https"}, "did you mean"),
                           ({"security.protocol": "TLS"}, "security.protocol"),
                           ({"message.timeout.ms": "300000"}, "would give up batches"),
                           ({"delivery.timeout.ms": "300000"}, "would give up batches"),
                           ({"retries": "3"}, "until the broker has it"),
                           ({"queue.buffering.max.messages": "10"}, "'buffers'"),
                           ({"acks": "1"}, "enable.idempotence")):
        _, said = check(wrong, 2)
        expect(message in said, f"{wrong}: {said}")
    # The simulated broker wants no password: the client says so, and nothing of the secret.
    run = t.wirebus(net, "run", "-c", path, "--log-level", "debug", "--require-bus", "3s")
    expect_equal(run.wait(20), 1, f"exit code of run ({run.err[-2000:]})")
    expect(secret not in run.err + run.out, "a secret is shown by run")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=200)
