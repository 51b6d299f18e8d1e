#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Subscribe, and print one JSON line a message: when it came, whose it is, and the counters that it carries."""
import json
import sys
import time

import zmq

import packet_batch_pb2


def main():
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, 10000)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(sys.argv[1])
    while True:
        batch = packet_batch_pb2.PacketBatch.FromString(socket.recv_multipart()[-1])
        counters = {field.name: getattr(batch.counters, field.name) for field in batch.counters.DESCRIPTOR.fields}
        print(json.dumps({"at": time.time(), "stream": batch.stream_id, "batch_seq": batch.batch_seq,
                          "first_packet_seq": batch.first_packet_seq, "packets": len(batch.packets),
                          "flags": batch.flags, "counters": counters}), flush=True)


if __name__ == "__main__":
    main()
