#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Messages of the subject that WIREBUS_TEST_URL names, each to standard output after its length in 4 bytes; with
jetstream=true in it those that the stream CONFORMANCE has stored."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import natsbus  # noqa: E402

address, _, query = os.environ["WIREBUS_TEST_URL"].split("://", 1)[1].partition("?")
server, _, subject = address.partition("/")
connection = natsbus.Connection(int(server.rsplit(":", 1)[1]), idle=300)
if "jetstream=true" in query:
    connection.consume("CONFORMANCE", subject)
else:
    connection.subscribe(subject)
for _subject, _headers, data in connection.messages():
    sys.stdout.buffer.write(len(data).to_bytes(4, "big") + data)
    sys.stdout.buffer.flush()
