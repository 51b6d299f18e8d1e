#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Read packets from a Unix socket: `wirebus run --plugin libwirebus_unixgram.so --batch-bytes 64KiB --to unixgram:///run/x`.

    protoc --python_out=. packet_batch.proto
    python3 consumer_unixgram.py /run/x -w packets.pcap
"""
import argparse
import os
import socket
import sys

import batches


def datagrams(reader):
    while True:
        yield reader.recv(1 << 20)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path")
    batches.add_arguments(parser)
    args = parser.parse_args()

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as reader:
        reader.settimeout(args.idle)
        reader.bind(args.path)
        os.chmod(args.path, 0o666)  # wirebus has given up root's rights
        print("reading", file=sys.stderr, flush=True)
        batches.consume(datagrams(reader), args)


if __name__ == "__main__":
    main()
