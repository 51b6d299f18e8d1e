#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Send frames of many kinds on an interface: IPv4 and IPv6, without, with one and with two VLAN tags, other protocols.

    mixed_frames.py INTERFACE COUNT
"""
import ipaddress
import itertools
import socket
import struct
import sys
import time

TAGS = [[], [(0x8100, 100)], [(0x8100, 0x6000)], [(0x88A8, 200), (0x8100, 300)], [(0x8100, 0x1FFF)],
        [(0x8100, 301), (0x8100, 302)]]
BURST = 50  # frames between two pauses, so that no queue overflows


def udp(length):
    return struct.pack(">HHHH", 1024, 9, 8 + length, 0) + bytes(length)


def ipv4(number):
    payload = udp(10 + number * 7 % 900)
    return 0x0800, struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(payload), 0, 0, 64, 17, 0, 0xC0000200 + number % 5,
                               0xC6336401) + payload


def ipv6(number):
    payload = udp(10 + number * 11 % 1200)
    source = ipaddress.ip_address("2001:db8::") + number % 3
    return 0x86DD, struct.pack(">IHBB", 6 << 28, len(payload), 17, 64) + source.packed + \
        ipaddress.ip_address("2001:db8:ffff::1").packed + payload


def other(number):
    return 0x0806, struct.pack(">HHBBH6sI6sI", 1, 0x0800, 6, 4, 1, bytes(6), 0x0A000001, bytes(6), 0x0A000002 + number % 9)


def frames(count):
    kinds = itertools.cycle(itertools.product(TAGS, [ipv4, ipv6, ipv4, other]))
    for number in range(count):
        tags, make = next(kinds)
        kind, payload = make(number)
        tagged = b"".join(struct.pack(">HH", *tag) for tag in tags)
        frame = bytes.fromhex("027762000002027762000001") + tagged + struct.pack(">H", kind) + payload
        yield frame.ljust(60, b"\0")


def main():
    interface, count = sys.argv[1], int(sys.argv[2])
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sender.bind((interface, 0))
    for number, frame in enumerate(frames(count)):
        sender.send(frame)
        if number % BURST == 0:
            time.sleep(0.002)


if __name__ == "__main__":
    main()
