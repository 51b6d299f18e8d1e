#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Send messages that are no batches to a PULL or SUB socket that is bound. Prints how many of them must arrive.

    garbage_zmq.py push|pub ENDPOINT COUNT
"""
import random
import sys

import zmq


def messages(count):
    noise = random.Random(4)
    for i in range(count):
        topic = [b"wb1/garbage/1/", b"", b"\xff" * 300, b"wb2/x/1/"][i % 4]
        yield [[noise.randbytes(noise.randrange(5000))],
               [topic, b"\xff" + noise.randbytes(noise.randrange(1, 5000))],
               [topic, b"\x0a\xff\xff\xff\xff\x0f"],
               [topic] * noise.randrange(3, 50)][i // 4 % 4]


def main():
    push = sys.argv[1] == "push"
    socket = zmq.Context.instance().socket(zmq.PUSH if push else zmq.XPUB)
    socket.setsockopt(zmq.LINGER, 10000)
    socket.setsockopt(zmq.SNDHWM, 0)
    socket.connect(sys.argv[2])
    if not push:
        socket.recv()  # the subscription
    arriving = 0
    for message in messages(int(sys.argv[3])):
        socket.send_multipart(message)
        arriving += push or message[0].startswith(b"wb1/")
    socket.close()
    zmq.Context.instance().term()
    print(arriving, flush=True)


if __name__ == "__main__":
    main()
