#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Read messages, and print one JSON line for each: when it came, whose it is, and the counters that it carries."""
import argparse
import json
import pathlib
import sys
import time

import zmq

import packet_batch_pb2
from consumer_zmq import use_curve

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from messages import BATCH, HEADER, entry


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("endpoint")
    parser.add_argument("--pull", action="store_true", help="the publisher pushes")
    parser.add_argument("--pause", type=float, default=0, help="seconds that each message takes")
    parser.add_argument("--wait", type=int, default=10000, help="messages that may wait here (RCVHWM)")
    parser.add_argument("--curve", nargs=2, metavar="FILE", help="secret key, and the publisher's public key")
    parser.add_argument("--record", metavar="FILE", help="write the messages there as well, for those who audit them")
    args = parser.parse_args()

    recorded = open(args.record, "wb", buffering=0) if args.record else None
    if recorded:
        recorded.write(HEADER)
    socket = zmq.Context.instance().socket(zmq.PULL if args.pull else zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, args.wait)
    if not args.pull:
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    if args.curve:
        use_curve(socket, *args.curve)
    socket.connect(args.endpoint)
    while True:
        message = socket.recv_multipart()[-1]
        batch = packet_batch_pb2.PacketBatch.FromString(message)
        counters = {field.name: getattr(batch.counters, field.name) for field in batch.counters.DESCRIPTOR.fields}
        print(json.dumps({"at": time.time(), "stream": batch.stream_id, "batch_seq": batch.batch_seq,
                          "first_packet_seq": batch.first_packet_seq, "packets": len(batch.packets),
                          "flags": batch.flags, "counters": counters}), flush=True)
        if recorded:
            recorded.write(entry(BATCH, message))
        time.sleep(args.pause)


if __name__ == "__main__":
    main()
