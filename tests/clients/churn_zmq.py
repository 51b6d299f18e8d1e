#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Connect, subscribe, read one message, leave; again and again, some at a time. Prints how often a message came.

    churn_zmq.py ENDPOINT COUNT AT_A_TIME
"""
import sys

import zmq


def subscriber(endpoint):
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SUBSCRIBE, b"wb1/")
    socket.connect(endpoint)
    return socket


def main():
    endpoint, count, at_a_time = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    came = 0
    for first in range(0, count, at_a_time):
        sockets = [subscriber(endpoint) for _ in range(min(at_a_time, count - first))]
        for socket in sockets:
            came += bool(socket.poll(10000))
            socket.close()
    print(came, flush=True)


if __name__ == "__main__":
    main()
