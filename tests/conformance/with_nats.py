#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Run a command with a NATS server of its own: {port} in its arguments becomes the server's port. The server has a JetStream
stream CONFORMANCE for the subjects conf.js.>. Exit code: the command's."""
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import natsbus  # noqa: E402

with tempfile.TemporaryDirectory(prefix="wirebus-nats-") as folder:
    port = natsbus.free_port()
    server = natsbus.Server(folder, port)
    try:
        client = natsbus.Connection(port)
        client.create_stream("CONFORMANCE", ["conf.js.>"])
        client.close()
        code = subprocess.call([word.replace("{port}", str(port)) for word in sys.argv[1:]])
    finally:
        server.kill()
sys.exit(code)
