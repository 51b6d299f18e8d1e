#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Frames that are not everyday ones: jumbo, super-frames of segmentation offload, larger than the ring's block, tagged."""
import base64
import json

from prelude import wbtest
from wbtest import CAPTURED_SIDE, expect, expect_equal

TRUNCATED = 1  # Packet.status
CHECKSUM_NOT_READY, SEGMENTATION = 1 << 9, 1 << 11  # Packet.flags


def through_file(t, net, plan, *arguments):
    """Capture a plan into files; returns the URL and the ledger's totals."""
    url = t.shared_folder("packets")
    run = t.capture(net, url, *arguments)
    t.send(net, plan)
    return url, t.settle(run, plan["count"], lossless=True)


def read_json(t, net, url):
    cat = t.wirebus(net, "cat", "--from", url, "-o", "json")
    expect_equal(cat.wait(), 0, f"exit code of cat ({cat.err})")
    return [json.loads(line) for line in cat.out.splitlines()]


def check_whole(t, net, url, plan, *check):
    cat, checker = t.cat_and_check(net, plan, url, check=["--interface", CAPTURED_SIDE, "--direction", "in", *check])
    expect_equal(cat.wait(), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)


def test_jumbo(t):
    net = t.net(mtu=9000)
    plan = {"count": 200, "flows": 8, "sizes": 9014}
    url, total = through_file(t, net, plan)
    expect_equal(total["truncated"], 0, "truncated")
    check_whole(t, net, url, plan)


def test_super_frame(t):
    """40,000 and 65,000 bytes of TCP that the kernel has not cut into segments: longer than 32 KiB, whole."""
    for size in (40000, 65000):
        super_frame(t, size)


def super_frame(t, size):
    net = t.net()
    plan = {"count": 20, "flows": 4, "sizes": f"gso:{size}"}
    url = t.shared_folder(f"packets-{size}")
    run = t.capture(net, url, "--vnet-header")
    t.send(net, plan)
    total = t.settle(run, plan["count"], lossless=True)
    expect_equal(total["truncated"], 0, "truncated")
    check_whole(t, net, url, plan)
    for line in read_json(t, net, url):
        expect(line["flags"] & SEGMENTATION and line["flags"] & CHECKSUM_NOT_READY, f"offload flags: {line['flags']:#x}")
        header = base64.b64decode(line["vnet_header"])
        expect_equal(int.from_bytes(header[4:6], "little"), 1448, "gso_size of the vnet header")


def test_larger_than_block(t):
    """A frame that no block of the ring can hold is cut, flagged and counted, and those after it are whole."""
    net = t.net()
    url = t.shared_folder("packets")
    run = t.capture(net, url, "--block-bytes", "32KiB", "--block-count", "64", workers=1)
    large = {"count": 5, "flows": 1, "sizes": "gso:60000"}
    small = {"count": 100, "flows": 4, "sizes": "mixed", "seed": 3}
    t.send(net, large)
    t.send(net, small, rate=1000)
    total = t.settle(run, 105, lossless=True)
    expect_equal(total["truncated"], 5, "truncated in the ledger")
    lines = read_json(t, net, url)
    expect_equal(len(lines), 105, "packets")
    for line in lines[:5]:
        data = base64.b64decode(line["data"])
        expect_equal(line["original_length"], 60000, "original_length")
        expect(16 * 1024 < len(data) < 32 * 1024, f"captured {len(data)} bytes in a block of 32 KiB")
        expect(line.get("status", 0) & TRUNCATED, "the flag in status")
    for line in lines[5:]:
        expect(not line.get("status", 0) & TRUNCATED, "no flag on a whole frame")
        expect_equal(len(base64.b64decode(line["data"])), line["original_length"], "length of a whole frame")


def test_snap_length(t):
    net = t.net()
    plan = {"count": 500, "flows": 8, "sizes": "mixed"}
    url, total = through_file(t, net, plan, "-s", "100")
    expect_equal(total["truncated"], 0, "truncated counts what the ring cut, not the snap length")
    check_whole(t, net, url, plan, "--snap", "100")


def test_vlan(t):
    """The tag that the kernel took out comes with the packet, and is back in pcapng; a filter for it works."""
    net = t.net()
    plan = {"count": 300, "flows": 8, "sizes": "mixed", "vlan": "0x8100:0xb064"}
    url = t.shared_folder("packets")
    run = t.capture(net, url, "-f", "vlan 100 and udp")
    t.send(net, plan)
    t.send(net, {"count": 200, "flows": 8})
    t.settle(run, 300, lossless=True)
    check_whole(t, net, url, plan)
    lines = read_json(t, net, url)
    expect_equal(len(lines), 300, "packets")
    for line in lines:
        expect_equal((line["vlan_tpid"], line["vlan_tci"]), (0x8100, 0xB064), "the tag")


def test_filter(t):
    """What the kernel's filter rejects is in no counter; several flows of many pass."""
    net = t.net()
    url = t.shared_folder("packets")
    # Flow n sends from port 1024 + n (see frames.c).
    run = t.capture(net, url, "-f", "udp src port 1024 or udp src port 1027")
    t.send(net, {"count": 6400, "flows": 64}, rate=50000)
    t.settle(run, 200, lossless=True)
    lines = read_json(t, net, url)
    expect_equal(len(lines), 200, "packets")
    expect_equal({int.from_bytes(base64.b64decode(line["data"])[34:36], "big") for line in lines}, {1024, 1027}, "ports")
    expect(all("port 1027" in line["filter"] for line in lines), "the filter is in the message")


if __name__ == "__main__":
    wbtest.main(globals())
