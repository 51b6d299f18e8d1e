#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Datagrams of the socket that WIREBUS_TEST_URL names, each to standard output after its length in 4 bytes."""
import contextlib
import os
import select
import signal
import socket
import sys

path = os.environ["WIREBUS_TEST_URL"].split("?")[0].split("://", 1)[1]
# Python calls a handler between two instructions, and recv() is a system call within one: a signal just before it would
# not wake it. So the signal is waited for like a datagram.
ended, end = socket.socketpair()
end.setblocking(False)
signal.set_wakeup_fd(end.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)
with contextlib.suppress(FileNotFoundError):
    os.unlink(path)  # of a reader that was killed
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
    reader.bind(path)
    try:
        while ended not in select.select([reader, ended], [], [])[0]:
            data = reader.recv(1 << 20)
            sys.stdout.buffer.write(len(data).to_bytes(4, "big") + data)
            sys.stdout.buffer.flush()
    finally:
        os.unlink(path)
