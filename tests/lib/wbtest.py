# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: namespaces, processes, brokers, cleaning up.

A test program defines functions test_NAME(t), then calls main(globals()). Each gets a Case of its own, which removes what
it made however the test ends. Exit codes: 0 all passed, 1 one failed, 77 skipped.

Environment: WIREBUS_BIN the program, WIREBUS_BUILD its build folder (default: build/dev of this checkout),
WIREBUS_TEST_FRAMES the number of frames of the large tests, WIREBUS_TEST_FULL=1 the long form.
"""
import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

import checker
import ledger

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WIREBUS_BUILD", ROOT / "build" / "dev")).resolve()
WIREBUS = os.environ.get("WIREBUS_BIN", str(BUILD / "bridge" / "wirebus"))
SENDER = str(BUILD / "tests" / "clients" / "sender")
CHECK_FRAMES = str(BUILD / "tests" / "clients" / "check_frames")
BROKER = str(ROOT / "tests" / "broker" / "broker.sh")
CLIENTS = ROOT / "tests" / "clients"
CHECKER = ROOT / "tests" / "lib" / "checker.py"
PYTHON = "/usr/bin/python3"  # the one that Debian's python3-* packages belong to
FULL = os.environ.get("WIREBUS_TEST_FULL") == "1"
FRAMES = int(os.environ.get("WIREBUS_TEST_FRAMES", "1000000"))
SENDING_SIDE, CAPTURED_SIDE = "wba", "wbb"
# A block is closed after 10 ms, so how long the kernel does without us is a matter of their number: 64 are full after 0.6 s,
# which a busy machine's disk takes at times. As much memory, for 2.5 s.
PATIENT_RING = ["--block-bytes", "256KiB", "--block-count", "256"]
RING_OPTIONS = ("--block-bytes", "--block-count", "--retire", "--ring-version")
# Bytes of a ZeroMQ subscriber before its subscription: greeting and READY, or greeting, HELLO and INITIATE.
HANDSHAKE, CURVE_HANDSHAKE = 104, 564
CASE_SECONDS = 240  # an alarm ends a case before CTest would kill it, so that it still cleans up

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


class Skip(Exception):
    pass


class Failure(AssertionError):
    pass


def expect(condition, message):
    if not condition:
        raise Failure(message)


def expect_equal(got, wanted, what):
    expect(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def wait_until(condition, seconds, what):
    """Poll until condition() is true; returns its value."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"not within {seconds} s: {what}")
        time.sleep(0.05)


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def stand_still(pid):
    """SIGSTOP, and until no thread runs any more, which takes as long as these wait for a CPU."""
    def stands():
        states = []
        for path in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"):
            with contextlib.suppress(OSError):  # it has ended
                states.append(path.read_text().rpartition(")")[2].split()[0])
        return all(state in "TtZX" for state in states)
    os.kill(pid, signal.SIGSTOP)
    wait_until(stands, 20, f"process {pid} stands still")


class Process:
    """A child with its output in files; ended at the latest with its case."""

    def __init__(self, case, name, command, stdin=subprocess.DEVNULL, stdout=None, env=None):
        self.name = name
        self.out_path = case.path(f"{name}.out")
        self.err_path = case.path(f"{name}.err")
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(
                [str(word) for word in command], stdin=stdin, stdout=stdout or out, stderr=err, env=env,
                preexec_fn=_die_with_parent)
        self.pid = self.popen.pid

    @property
    def out(self):
        return pathlib.Path(self.out_path).read_text(errors="replace")

    @property
    def err(self):
        return pathlib.Path(self.err_path).read_text(errors="replace")

    def running(self):
        return self.popen.poll() is None

    def send_signal(self, number):
        if self.running() and number == signal.SIGSTOP:
            stand_still(self.pid)
        elif self.running():
            os.kill(self.pid, number)

    def wait(self, seconds=60):
        """Exit code, as the shell says it."""
        try:
            code = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} does not end within {seconds} s; it said: {self.err[-500:]}") from None
        return code if code >= 0 else 128 - code

    def stop(self, number=signal.SIGTERM, seconds=20, code=0):
        """Ask it to end, and expect its exit code."""
        expect(self.running(), f"{self.name} has ended by itself with {self.popen.returncode}: {self.err[-500:]}")
        self.send_signal(number)
        expect_equal(self.wait(seconds), code, f"exit code of {self.name} ({self.err[-500:].strip()})")

    def end(self):
        if self.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGCONT)
                os.kill(self.pid, signal.SIGKILL)
            self.popen.wait(10)

    def rss_bytes(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status).group(1)) * 1024


class Net:
    """A network namespace with a veth pair and without any traffic but what a test sends."""

    def __init__(self, case, number, mtu):
        self.case = case
        self.name = f"wbt-{os.getpid()}-{number}"
        run(["ip", "netns", "add", self.name])
        case.cleanup(lambda: subprocess.run(["ip", "netns", "del", self.name], check=False))
        for key in ("all", "default"):
            self.run("sysctl", "-qw", f"net.ipv6.conf.{key}.disable_ipv6=1")
        self.mtu = mtu
        self.run("ip", "link", "set", "lo", "up")
        self.add_pair()

    def add_pair(self):
        self.run("ip", "link", "add", SENDING_SIDE, "type", "veth", "peer", "name", CAPTURED_SIDE)
        for link in (SENDING_SIDE, CAPTURED_SIDE):
            self.run("ip", "link", "set", link, "mtu", self.mtu)
            self.run("ip", "link", "set", link, "up")

    def command(self, *words):
        return ["ip", "netns", "exec", self.name, *[str(word) for word in words]]

    def run(self, *words, **options):
        return run(self.command(*words), **options)

    def connected(self, port):
        """Whether somebody in the namespace has an established TCP connection to the port."""
        return bool(self.run("ss", "-Htn", "state", "established", f"( sport = :{port} )").strip())

    def subscribed(self, port, handshake, publisher="sport"):
        """How many connections to the port have brought the publisher, who has it (sport) or has connected to it (dport),
        more than a handshake of so many bytes, all of which was read."""
        said = self.run("ss", "-OHtni", "state", "established", f"( {publisher} = :{port} )")
        came = [(int(line.split()[0]), re.search(r"bytes_received:(\d+)", line)) for line in said.splitlines()]
        return sum(waiting == 0 and bool(found) and int(found[1]) > handshake for waiting, found in came)

    def caught_up(self, port):
        """Whether nothing is on its way, for half a second, between who has the port and who has connected to it."""
        def is_empty():
            said = self.run("ss", "-Htn", "state", "established", f"( sport = :{port} or dport = :{port} )")
            return all(line.split()[:2] == ["0", "0"] for line in said.splitlines())
        return all(is_empty() and not time.sleep(0.1) for _ in range(5))

    def received(self):
        return int(self.run("cat", f"/sys/class/net/{CAPTURED_SIDE}/statistics/rx_packets"))


def run(command, seconds=120, code=0, **options):
    """Run to the end, expect the exit code, return what it printed."""
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=seconds, check=False, **options)
    if done.returncode != code:
        raise Failure(f"{' '.join(map(str, command))}: exit code {done.returncode}, wanted {code}: "
                      f"{done.stderr[-1000:]}{done.stdout[-500:]}")
    return done.stdout


class Case:
    """One test: its folder, its processes, and what has to be undone."""

    def __init__(self, stack):
        self._stack = stack
        self._numbers = {}
        self._runs = []  # (process, path of its ledger)
        base = BUILD / "tests" / "tmp"
        base.mkdir(parents=True, exist_ok=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="wbt-", dir=base))
        self.folder.chmod(0o755)
        self.cleanup(lambda: shutil.rmtree(self.folder, ignore_errors=True))

    def cleanup(self, function):
        self._stack.callback(function)

    def path(self, name):
        return str(self.folder / name)

    def number(self, of):
        self._numbers[of] = self._numbers.get(of, 0) + 1
        return self._numbers[of]

    def shared_folder(self, name):
        """A folder that a program without root's rights can write to as well; returns its URL."""
        folder = self.folder / name
        folder.mkdir()
        folder.chmod(0o777)
        return f"file://{folder}"

    def net(self, mtu=1500):
        return Net(self, self.number("net"), mtu)

    def start(self, name, command, **options):
        process = Process(self, f"{name}-{self.number(name)}", command, **options)
        self.cleanup(process.end)
        return process

    def wirebus(self, net, *arguments, name=None, **options):
        process = self.start(name or arguments[0], net.command(WIREBUS, *arguments), **options)
        if arguments[0] == "run" and "--ledger" in arguments:
            self._runs.append((process, arguments[arguments.index("--ledger") + 1]))
        return process

    def check_ledgers(self):
        """Assert the sums of every run that was not killed, whatever its test has asked of it. A run that is left is ended."""
        for process, path in self._runs:
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)
            # 1: not everything was published, which is no excuse; or it never captured, and the ledger is empty.
            if code == 0 or code == 1 and os.path.exists(path) and os.path.getsize(path) > 0:
                ledger.check(path)

    def capture(self, net, to, *arguments, interface=CAPTURED_SIDE, workers=2):
        """`wirebus run`, ready to capture, with a ring that is patient, if neither the caller has another one in
        mind nor the long forms are run, which have the default. Its ledger goes to .ledger_path."""
        path = self.path(f"ledger-{self.number('ledger')}.json")
        ring = [] if FULL or any(str(word) in RING_OPTIONS for word in arguments) else PATIENT_RING
        process = self.wirebus(net, "run", "-i", interface, "-w", workers, "--to", to, "--ledger", path, *ring, *arguments)
        process.ledger_path = path
        self.wait_capturing(process)
        return process

    @staticmethod
    def wait_capturing(process):
        def ready():
            expect(process.running(), f"wirebus run ended with {process.popen.returncode}: {process.err[-800:]}")
            return re.search(r"\bcapturing\b", process.err)
        wait_until(ready, 20, "wirebus run says that it captures")

    @staticmethod
    def wait_subscribed(net, port, count=1, curve=False, publisher="sport"):
        """Until so many subscriptions are in effect at the publisher; see Net.subscribed()."""
        wait_until(lambda: net.subscribed(port, CURVE_HANDSHAKE if curve else HANDSHAKE, publisher) >= count, 60,
                   f"{count} subscriptions have come")
        # The thread that publishes takes it a moment later, and nothing outside shows when.
        time.sleep(0.5)

    def settle(self, process, sent, **expected):
        """End a run orderly and assert its ledger; returns the totals."""
        process.stop()
        return ledger.check(process.ledger_path, sent=sent, **expected)

    def send(self, net, plan, rate=None, first=None):
        """Send the frames of a plan (a dictionary of sender's options); returns what the sender says."""
        words = [SENDER, SENDING_SIDE, *plan_words(plan)]
        for option, value in (("--rate", rate), ("--first", first)):
            if value is not None:
                words += [option, value]
        return json.loads(net.run(*words, seconds=200))

    def check_later(self, plan, *arguments):
        """A process that checks the capture file written to its .pipe; see checked()."""
        process = self.start("check", [CHECK_FRAMES, "-", *plan_words(plan), *arguments], stdin=subprocess.PIPE)
        process.pipe = process.popen.stdin
        return process

    def cat_and_check(self, net, plan, source, *arguments, check=()):
        """Start `wirebus cat -o pcapng` with its output going straight into check_frames. Returns both."""
        summary = self.path(f"summary-{self.number('summary')}.json")
        checker = self.check_later(plan, *check)
        cat = self.wirebus(net, "cat", "--from", source, "-o", "pcapng", "--summary", summary, *arguments,
                           stdout=checker.pipe)
        cat.summary_path = summary
        checker.pipe.close()
        return cat, checker

    @staticmethod
    def checked(checker, code=0, seconds=90):
        """What check_frames found; with code 0, that nothing was wrong."""
        got = checker.wait(seconds)
        expect(got == code, f"check_frames: exit code {got}, wanted {code}: {checker.out} {checker.err}")
        return json.loads(checker.out)

    def audit(self, net, source, **expected):
        """Assert what `wirebus verify` and the independent checker say of what is stored there; see Audit.finish()."""
        how = {name: expected.pop(name) for name in ("no_loss", "deep", "ledger", "ordered") if name in expected}
        return Audit(self, net, source, **how).finish(**expected)

    def audit_live(self, net, source, no_loss=False, deep=False, others=0):
        """The same for a PUB socket: both subscribe now; call finish() later. others: subscribers that are there already."""
        audit = Audit(self, net, source, no_loss, deep)
        audit.live = True
        self.wait_subscribed(net, int(source.rpartition(":")[2]), others + 2)
        return audit

    def record(self, net, source, folder):
        """Subscribe, and write what comes into a folder that audit() takes. Returns the process, which ends by itself."""
        path = self.path(folder)
        os.mkdir(path)
        recorder = self.start("record", net.command(PYTHON, "-B", CHECKER, "--record", path, source))
        recorder.url = f"file://{path}"
        recorder.part = pathlib.Path(path, "recorded.part")
        return recorder

    @staticmethod
    def wait_recording(recorder):
        """Until something has come, a heartbeat at the latest: so the subscription is in effect."""
        wait_until(lambda: recorder.part.exists() and recorder.part.stat().st_size > 16, 30, "the recorder hears the publisher")

    def audit_recorded(self, net, recorder, **expected):
        """audit() of what was recorded, once the recorder has heard the end of all streams."""
        expect_equal(recorder.wait(60), 0, f"exit code of the recorder ({recorder.err})")
        return self.audit(net, recorder.url, **expected)

    def broker(self, net, port=9092, *properties):
        """Start a Kafka broker in the namespace; returns it."""
        return Broker(self, net, port, properties)

    def proto_folder(self):
        """A folder with the Python modules that protoc makes of the messages."""
        folder = self.folder / "python"
        if not folder.exists():
            folder.mkdir()
            source = ROOT / "proto" / "wirebus" / "v1"
            run(["protoc", f"-I{source}", f"--python_out={folder}", *sorted(map(str, source.glob("*.proto")))])
        return str(folder)

    def client(self, net, script, *arguments, name=None):
        """Start a Python program of tests/clients."""
        env = dict(os.environ, PYTHONPATH=self.proto_folder(), PYTHONUNBUFFERED="1", PYTHONDONTWRITEBYTECODE="1")
        return self.start(name or pathlib.Path(script).stem, net.command(PYTHON, CLIENTS / script, *arguments), env=env)


class Audit:
    """`wirebus verify` and the checker, which know nothing of each other, on the same messages."""

    def __init__(self, case, net, source, no_loss=False, deep=False, ledger=None, ordered=True):
        self.no_loss, self.source, self.live, self.ordered = no_loss, source, False, ordered
        beside = ["--ledger", ledger] if ledger else []
        self.verify = case.wirebus(net, "verify", "--from", source, "-o", "json", *beside,
                                   *(["--no-loss"] if no_loss else []))
        self.checker = case.start("checker", net.command(PYTHON, "-B", CHECKER, source, *beside,
                                                         *(["--deep"] if deep else [])))

    def finish(self, code=0, sent=None, run=None, seconds=120):
        """Assert that verify ends with that code, that both say the same, and that
        the sums hold; with run (a finished capture) also that they are those of its ledger. sent: frames sent. Returns
        the statement, with the checker's .frames in it if it was to look into the packets."""
        expect_equal(self.verify.wait(seconds), code, f"exit code of verify ({self.verify.err}{self.verify.out[:800]})")
        expect_equal(self.checker.wait(seconds), 0, f"exit code of the checker ({self.checker.err})")
        said, own = json.loads(self.verify.out), json.loads(self.checker.out)
        try:
            checker.agree(said, own, self.live, self.ordered)
        except AssertionError as why:
            raise Failure(f"{self.source}: {why}") from None
        failed = bool(own["doubts"] or self.no_loss and own["losses"])
        expect_equal(code, int(failed), f"exit code of verify, by the checker's verdict {own['doubts']} {own['losses']}")
        ledger.check_audit(said, run and run.ledger_path, sent)
        if "frames" in own:
            said["frames"] = own["frames"]
            expect_equal(own["frames"], {"different": said["figures"]["received"], "strange": 0,
                                         "repeated": said["figures"]["duplicate_packets"]}, "numbers in the frames")
        return said


class Broker:
    def __init__(self, case, net, port, properties):
        self.net, self.port, self.properties = net, port, properties
        self.folder = case.path(f"broker-{case.number('broker')}")
        self.servers = f"127.0.0.1:{port}"
        case.cleanup(lambda: subprocess.run([BROKER, "kill", self.folder], check=False))
        self.start()

    def start(self):
        done = subprocess.run(self.net.command(BROKER, "start", self.folder, self.port, *self.properties), text=True,
                              stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, timeout=400, check=False)
        if done.returncode == 75:
            raise Skip("the package registry does not answer, so there is no Kafka broker")
        expect(done.returncode == 0, f"broker: {done.stderr}")

    def stop(self):
        run(self.net.command(BROKER, "stop", self.folder))

    def kill(self):
        run(self.net.command(BROKER, "kill", self.folder))


def plan_words(plan):
    return [word for key, value in plan.items() for word in (f"--{key}", str(value))]


def _on_signal(number, _frame):
    raise Failure(f"ended by {signal.Signals(number).name}")


def _run_one(name, function, seconds):
    began = time.monotonic()
    signal.alarm(seconds)
    try:
        with contextlib.ExitStack() as stack:
            # The alarm must not interrupt the cleaning up.
            case = Case(stack)
            stack.callback(signal.alarm, 0)
            function(case)
            case.check_ledgers()
    except Skip as why:
        print(f"SKIP {name}: {why}", flush=True)
        return "skipped"
    except Exception as error:  # a test must not end the others
        print(f"FAILED {name}: {error}", flush=True)
        if not isinstance(error, (Failure, ledger.LedgerError)):
            traceback.print_exc()
        return "failed"
    print(f"ok {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return "passed"


def main(namespace, seconds=CASE_SECONDS):
    """Run the test_ functions of a module, or those named on the command line."""
    if os.geteuid() != 0:
        print("SKIP: network namespaces need root")
        sys.exit(77)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGHUP):
        signal.signal(number, _on_signal)
    tests = {name[5:]: value for name, value in namespace.items() if name.startswith("test_")}
    chosen = sys.argv[1:] or list(tests)
    unknown = [name for name in chosen if name not in tests]
    if unknown:
        sys.exit(f"no test {unknown[0]!r}; there are: {', '.join(tests)}")
    results = [_run_one(name, tests[name], seconds) for name in chosen]
    if "failed" in results:
        sys.exit(1)
    sys.exit(77 if "skipped" in results else 0)
