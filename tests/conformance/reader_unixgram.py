#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Datagrams of the socket that WIREBUS_TEST_URL names, each to standard output after its length in 4 bytes."""
import os
import signal
import socket
import sys

path = os.environ["WIREBUS_TEST_URL"].split("?")[0].split("://", 1)[1]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
    reader.bind(path)
    try:
        while True:
            data = reader.recv(1 << 20)
            sys.stdout.buffer.write(len(data).to_bytes(4, "big") + data)
            sys.stdout.buffer.flush()
    finally:
        os.unlink(path)
