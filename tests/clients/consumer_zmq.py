#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Read packets from ZeroMQ: an example that needs nothing of wirebus but its packet_batch.proto.

    apt-get install python3-zmq python3-protobuf protobuf-compiler
    protoc --python_out=. packet_batch.proto
    python3 consumer_zmq.py tcp://127.0.0.1:5555          (wirebus run --to zmq+pub://127.0.0.1:5555)
    python3 consumer_zmq.py --pull tcp://127.0.0.1:5555   (wirebus run --to zmq+push://127.0.0.1:5555)

With CURVE (keys made by `wirebus keygen`): --curve-key viewer.key --curve-server-key sensor.pub

Ends when every stream has ended, or after --idle seconds without a message.
"""
import argparse
import struct

import zmq

import packet_batch_pb2

END_OF_STREAM = 2  # PacketBatch.flags


def read_key(path):
    """The key in a file: behind the comments."""
    with open(path, "rb") as file:
        return file.read().split()[-1]


def use_curve(socket, key_path, server_key_path):
    secret = read_key(key_path)
    socket.curve_secretkey, socket.curve_publickey = secret, zmq.curve_public(secret)
    socket.curve_serverkey = read_key(server_key_path)


def messages(endpoint, pull, idle, curve=None):
    """Every batch that arrives. A message has two frames: a topic to subscribe to, and the batch."""
    socket = zmq.Context.instance().socket(zmq.PULL if pull else zmq.SUB)
    if curve:
        use_curve(socket, *curve)
    if not pull:
        socket.setsockopt(zmq.SUBSCRIBE, b"wb1/")  # "wb1/<node>/<stream>/": everything
    socket.connect(endpoint)
    while socket.poll(int(idle * 1000)):
        yield packet_batch_pb2.PacketBatch.FromString(socket.recv_multipart()[-1])
    socket.close()


class Streams:
    """Follows the sequence numbers of every stream: a hole is packets lost between wirebus and here."""

    def __init__(self):
        self.next = {}
        self.ended = set()
        self.lost = 0

    def take(self, batch):
        stream = (batch.session_id, batch.stream_id)
        # Who comes late has missed what was sent before, which is no loss.
        self.lost += batch.first_packet_seq - self.next.get(stream, batch.first_packet_seq)
        self.next[stream] = batch.first_packet_seq + len(batch.packets)
        if batch.flags & END_OF_STREAM:
            self.ended.add(stream)

    def all_ended(self):
        return bool(self.next) and self.ended == set(self.next)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("endpoint")
    parser.add_argument("--pull", action="store_true", help="the publisher pushes")
    parser.add_argument("--idle", type=float, default=30, help="give up after so many seconds without a message")
    parser.add_argument("--curve-key", metavar="FILE", help="secret key of this program")
    parser.add_argument("--curve-server-key", metavar="FILE", help="public key of the publisher")
    parser.add_argument("-w", metavar="FILE", help="write the packets as pcap with nanoseconds")
    args = parser.parse_args()

    curve = (args.curve_key, args.curve_server_key) if args.curve_key else None
    pcap = open(args.w, "wb") if args.w else None
    if pcap:
        pcap.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
    streams, packets = Streams(), 0
    for batch in messages(args.endpoint, args.pull, args.idle, curve):
        streams.take(batch)
        packets += len(batch.packets)
        for packet in batch.packets if pcap else ():
            seconds, nanoseconds = divmod(packet.time_unix_nano, 1_000_000_000)
            pcap.write(struct.pack("<IIII", seconds, nanoseconds, len(packet.data), packet.original_length) + packet.data)
        if streams.all_ended():
            break
    print(f"{packets} packets in {len(streams.next)} streams, {streams.lost} lost")


if __name__ == "__main__":
    main()
