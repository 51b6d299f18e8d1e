#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A subscriber that reads one message and then no more, with its connection open.

    stalled_zmq.py ENDPOINT stop    stops altogether (SIGSTOP), so that it answers no heartbeats either
    stalled_zmq.py ENDPOINT idle    lives, and connects again when the publisher gives up on it

With CURVE two more arguments follow: the file of its secret key, and of the publisher's public key.
"""
import os
import signal
import sys

import zmq

from consumer_zmq import use_curve


def main():
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 1)
    if len(sys.argv) > 3:
        use_curve(socket, *sys.argv[3:5])
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(sys.argv[1])
    socket.recv_multipart()
    print("stalled", flush=True)
    if sys.argv[2] == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    signal.pause()


if __name__ == "__main__":
    main()
