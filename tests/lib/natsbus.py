# SPDX-License-Identifier: Apache-2.0
"""A NATS server for tests, and a client that speaks its protocol over a plain socket, so that no library is shared with the
plugin under test. Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol"""
import collections
import ctypes
import itertools
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

SERVER = shutil.which("nats-server", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/bin")


PONG = object()
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server with JetStream in a folder; it can be killed and started again with what it has stored."""

    def __init__(self, folder, port, prefix=(), config="", host="127.0.0.1"):
        self.folder, self.port, self.prefix = pathlib.Path(folder), port, list(prefix)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / "server.log"
        self.config = self.folder / "server.conf"
        # Readers in Python may take their time.
        self.config.write_text(f'listen: "{host}:{port}"\nmax_pending: 1073741824\nwrite_deadline: "120s"\n'
                               f'jetstream {{ store_dir: "{self.folder}/store" }}\n{config}')
        self.process = None
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            position = log.tell()
            self.process = subprocess.Popen([*self.prefix, SERVER, "-c", str(self.config)], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, preexec_fn=_die_with_parent)
        deadline = time.monotonic() + 30
        while b"Server is ready" not in self.log.read_bytes()[position:]:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nats-server does not start: {self.log.read_text(errors='replace')[-500:]}")
            time.sleep(0.02)

    def send_signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        if self.process and self.process.poll() is None:
            self.send_signal(signal.SIGKILL)
            self.process.wait(20)


class Connection:
    """CONNECT, SUB, PUB, MSG and HMSG. idle: seconds without a message after which messages() raises TimeoutError."""

    def __init__(self, port, idle=30, host="127.0.0.1", **login):
        self._socket = socket.create_connection((host, port), timeout=idle)
        self._stream = self._socket.makefile("rb")
        self._sids = itertools.count(1)
        self._early = collections.deque()  # messages that came while something else was waited for
        line = self._stream.readline()
        if not line.startswith(b"INFO "):
            raise RuntimeError(f"no NATS server: {line!r}")
        self.info = json.loads(line[5:])
        options = {"verbose": False, "pedantic": False, "headers": True, "no_responders": True, "lang": "test",
                   "version": "1", "protocol": 1, **login}
        self._send(b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n")
        while True:
            line = self._stream.readline()
            if line == b"PONG\r\n":
                break
            if not line or line.startswith(b"-ERR"):
                raise RuntimeError(f"NATS: {line!r}")

    def _send(self, data):
        self._socket.sendall(data)

    def close(self):
        self._stream.close()
        self._socket.close()

    def subscribe(self, subject):
        """When this returns, the server has the subscription."""
        self._send(f"SUB {subject} {next(self._sids)}\r\nPING\r\n".encode())
        while (message := self._receive()) is not PONG:
            self._early.append(message)

    def publish(self, subject, data=b"", reply=""):
        self._send(f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n")

    def _receive(self):
        """A message, or PONG."""
        while True:
            line = self._stream.readline()
            words = line.split()
            if not words:
                raise ConnectionError("the NATS server has gone")
            verb = words[0].upper()
            if verb == b"PONG":
                return PONG
            if verb == b"PING":
                self._send(b"PONG\r\n")
            elif verb == b"-ERR":
                raise RuntimeError(f"NATS: {line!r}")
            elif verb in (b"MSG", b"HMSG"):
                total = int(words[-1])
                head = int(words[-2]) if verb == b"HMSG" else 0
                body = self._stream.read(total + 2)
                if len(body) != total + 2:
                    raise ConnectionError("the NATS server has gone")
                return words[1].decode(), body[:head], body[head:total]

    def messages(self):
        """(subject, headers, data) of each message."""
        while True:
            message = self._early.popleft() if self._early else self._receive()
            if message is not PONG:
                yield message

    def request(self, subject, document):
        """Ask JetStream's API; returns its answer."""
        inbox = f"_INBOX.test.{os.getpid()}.{next(self._sids)}"
        self.subscribe(inbox)
        self.publish(subject, json.dumps(document).encode(), inbox)
        while True:
            message = self._receive()
            if message is PONG or message[0] != inbox:
                self._early.append(message)
                continue
            answer = json.loads(message[2])
            if "error" in answer:
                raise RuntimeError(f"{subject}: {answer['error']}")
            return answer

    def create_stream(self, name, subjects):
        return self.request(f"$JS.API.STREAM.CREATE.{name}", {"name": name, "subjects": subjects, "storage": "file",
                                                            "retention": "limits", "discard": "new"})

    def consume(self, stream, subject):
        """Have everything that the stream has stored, and will store, sent here."""
        inbox = f"_INBOX.test.{os.getpid()}.{next(self._sids)}"
        self.subscribe(inbox)
        self.request(f"$JS.API.CONSUMER.CREATE.{stream}", {"stream_name": stream, "config": {
            "deliver_subject": inbox, "ack_policy": "none", "deliver_policy": "all", "replay_policy": "instant",
            "filter_subject": subject}})
