#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The captured interface goes and comes back, and rings of every version, end to end."""
import base64
import json
import re
import time

from prelude import ledger, wbtest
from wbtest import CAPTURED_SIDE, expect, expect_equal, wait_until

FACTS = ["--interface", CAPTURED_SIDE, "--direction", "in"]


def count_said(run, text):
    return run.err.count(text)


def take_away(net, run, workers, times):
    """Delete the pair; wait until every worker has noticed."""
    net.run("ip", "link", "del", CAPTURED_SIDE)
    wait_until(lambda: count_said(run, "is gone") == workers * times, 20, "the capture says that the interface is gone")


def bring_back(net, run, workers, times):
    net.add_pair()
    wait_until(lambda: count_said(run, "is back") == workers * times, 20, "the capture says that the interface is back")


def test_comes_back(t):
    """Deleted and made anew, three times, under two workers without privileges: all that was sent while the interface
    was there arrives once, and each gap is in the counters."""
    net = t.net()
    folder = t.shared_folder("packets")
    run = t.capture(net, folder)
    t.send(net, {"count": 5000, "flows": 16}, rate=20000)
    for i in range(1, 4):
        take_away(net, run, 2, i)
        time.sleep(0.3)
        bring_back(net, run, 2, i)
        t.send(net, {"count": 5000 * (i + 1), "flows": 16}, rate=20000, first=5000 * i)
    total = t.settle(run, 20000, lossless=True)
    expect_equal(total["kernel_dropped"], 0, "dropped in the kernel")
    parts = ledger.workers(run.ledger_path)
    expect_equal([c["interface_gaps"] for c in parts], [3, 3], "gaps of each worker")
    for c in parts:
        expect(0.9e9 < c["interface_gap_nano"] < 30e9, f"length of the gaps: {c['interface_gap_nano']} ns")
    cat, checker = t.cat_and_check(net, {"count": 20000, "flows": 16}, folder, check=FACTS)
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)
    said = t.audit(net, folder, sent=20000, run=run)
    expect_equal((said["losses"], said["figures"]["interface_gaps"]), (["interface_gap"], 6), "what verify says of the gaps")
    t.audit(net, folder, no_loss=True, code=1)


def test_reserve_spent(t):
    """With one socket in reserve a group is reopened once. The second time the program says what it lacks, publishes what
    it has, and ends with 1 for its supervisor."""
    net = t.net()
    folder = t.shared_folder("packets")
    run = t.capture(net, folder, "--reserve-sockets", "1")
    take_away(net, run, 2, 1)
    bring_back(net, run, 2, 1)
    t.send(net, {"count": 3000, "flows": 16}, rate=20000)
    take_away(net, run, 2, 2)
    net.add_pair()
    expect_equal(run.wait(20), 1, f"exit code of run ({run.err})")
    expect("reserve_sockets" in run.err, f"the message names the option: {run.err}")
    ledger.check(run.ledger_path, sent=3000, lossless=True)
    cat, checker = t.cat_and_check(net, {"count": 3000, "flows": 16}, folder, check=FACTS)
    expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
    t.checked(checker)


# A tun device of the captured interface's name. Waits for a line, then sends UDP over IPv4 to the given ports, in turn.
TUN = """
import fcntl, os, struct, sys
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH22x", sys.argv[1].encode(), 0x1001))
os.system(f"ip link set {sys.argv[1]} up")
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    port = int(sys.argv[3 + number % (len(sys.argv) - 3)])
    udp = struct.pack(">HHHH", 40000, port, 12, 0) + number.to_bytes(4, "big")
    os.write(tun, struct.pack(">BBHHHBBH4s4s", 0x45, 0, 32, number, 0, 64, 17, 0, bytes((10, 1, 1, 1)), bytes((10, 1, 1, 2))) + udp)
print("sent", flush=True)
sys.stdin.readline()
"""


def test_other_link_type(t):
    """The interface is back as a tunnel, without Ethernet headers: the filter looks where the ports are now; and then as
    what it was."""
    for own in ("exclude", "capture"):
        net = t.net()
        folder = t.shared_folder(f"packets-{own}")
        run = t.capture(net, folder, "-f", "udp port 7777", "--own-traffic", own)
        take_away(net, run, 2, 1)
        tun = t.start("tun", net.command(wbtest.PYTHON, "-c", TUN, CAPTURED_SIDE, 3000, 7777, 7778, 7779), stdin=wbtest.subprocess.PIPE)
        wait_until(lambda: "ready" in tun.out, 30, "the tunnel is there")
        wait_until(lambda: count_said(run, "is back") == 2, 30, "the capture says that the interface is back")
        tun.popen.stdin.write(b"\n")
        tun.popen.stdin.flush()
        wait_until(lambda: "sent" in tun.out, 30, "the tunnel's packets are sent")
        time.sleep(0.5)
        tun.popen.stdin.close()
        expect_equal(tun.wait(30), 0, f"exit code of the tunnel ({tun.err})")
        wait_until(lambda: count_said(run, "is gone") == 4, 30, "the capture says that the interface is gone")
        net.add_pair()
        wait_until(lambda: count_said(run, "is back") == 4, 30, "the capture says that the interface is back")
        t.send(net, {"count": 1000, "flows": 4}, rate=20000)
        run.stop()
        cat = t.wirebus(net, "cat", "--from", folder, "-o", "json")
        expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
        ports = [int.from_bytes(base64.b64decode(json.loads(line)["data"])[22:24], "big") for line in cat.out.splitlines()]
        expect_equal((len(ports), set(ports)), (1000, {7777}), "packets that were captured, and their ports")


def test_ring_versions(t):
    """Rings of TPACKET_V2 and V1 carry the same packets as V3; V1's times are in microseconds."""
    for version in ("1", "2", "3"):
        net = t.net()
        folder = t.shared_folder(f"packets-{version}")
        # With a slot of 64 KiB for each packet this holds for 2 s.
        run = t.capture(net, folder, "--ring-version", version, "--block-count", 256)
        rings = re.findall(r"ver:(\d).*\n\s*ring_rx", net.run("ss", "-0", "-n", "-e"))
        expect_equal(rings, [str(int(version) - 1)] * 2, "versions of the rings, as the kernel numbers them")
        plan = {"count": 8000, "flows": 16}
        t.send(net, plan, rate=4000)
        t.settle(run, plan["count"], lossless=True)
        resolution = ["--microseconds", "1"] if version == "1" else []
        cat, checker = t.cat_and_check(net, plan, folder, check=FACTS + resolution)
        expect_equal(cat.wait(30), 0, f"exit code of cat ({cat.err})")
        t.checked(checker)


if __name__ == "__main__":
    wbtest.main(globals(), seconds=120)
