#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Read packets from NATS: published by `wirebus run --plugin libwirebus_nats.so --to nats://127.0.0.1:4222/packets`.

    protoc --python_out=. packet_batch.proto
    python3 consumer_nats.py 4222 packets -w packets.pcap                   as they come
    python3 consumer_nats.py 4222 packets -w packets.pcap --stream PACKETS  all that the JetStream stream PACKETS has

Ends when every stream of packets has ended, or after --idle seconds without a message.
"""
import argparse
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import batches  # noqa: E402
import natsbus  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int)
    parser.add_argument("subject")
    parser.add_argument("--stream", help="of JetStream")
    batches.add_arguments(parser)
    args = parser.parse_args()

    connection = natsbus.Connection(args.port, args.idle)
    if args.stream:
        connection.consume(args.stream, args.subject)
    else:
        connection.subscribe(args.subject)
    print("reading", file=sys.stderr, flush=True)
    batches.consume((data for _subject, _headers, data in connection.messages()), args)


if __name__ == "__main__":
    main()
