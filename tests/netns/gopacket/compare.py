#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libtpacket and gopacket's ring reader see the same packets: record by record, on the same traffic at the same time.

A veth pair; on one end gopacket and libtpacket (the read of one packet after the other, and the lease), each with a ring of
its own; into the other goes a mix of frames, and a record of what a correct reader has to show. Where gopacket is known to
differ, the test asserts exactly that difference:

  V1      neither has the tag: the ring's header has no room for it.
  V2      gopacket never tells the tag.
  V3      gopacket tells the VLAN's 12 bits, without priority, drop-eligible bit and TPID.
  insert  gopacket writes 0x8100 whatever the TPID, leaves out a tag whose TCI is 0, and does not count the tag in the
          length on the wire.
"""
import json
import pathlib
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lib"))

import wbtest  # noqa: E402
from wbtest import expect, expect_equal  # noqa: E402

HERE = wbtest.BUILD / "tests" / "netns" / "gopacket"
FRAMES = 200000
FEWER = 50000
RATE = 40000
MTU = 9000
HEAD = struct.Struct("<QIIIIiI")  # reader.h
RING_BYTES = 128 << 20
IDLE_MS = 3000
SO_TIMESTAMPNS = 35
ETHERNET_BYTES = 14
TRUNCATED, TIME_MICROSECONDS, TIME_SOFTWARE, VLAN, VLAN_INSERTED = 1 << 0, 1 << 7, 1 << 8, 1 << 5, 1 << 9


class Record:
    __slots__ = ("time_ns", "captured", "original", "interface", "status", "vlan", "tpid", "data")

    def __init__(self, memory, at):
        (self.time_ns, self.captured, self.original, self.interface, self.status, self.vlan,
         self.tpid) = HEAD.unpack_from(memory, at)
        self.data = memory[at + HEAD.size:at + HEAD.size + self.captured]


def records(path):
    memory = pathlib.Path(path).read_bytes()
    at = 0
    while at < len(memory):
        record = Record(memory, at)
        yield record
        at += HEAD.size + record.captured


class Readers:
    """Every reader on the same interface; started together, and their records."""

    def __init__(self, t, net, programs, options):
        self.paths = {}
        self.processes = {}
        options = ["--interface", wbtest.CAPTURED_SIDE, "--block-bytes", 1 << 20, "--block-count", RING_BYTES >> 20,
                   "--idle-ms", IDLE_MS, *options]
        for name, program, api in programs:
            self.paths[name] = t.path(f"{name}.records")
            self.processes[name] = t.start(name, net.command(HERE / program, *options, "--api", api, "--records",
                                                             self.paths[name]))
        for name, process in self.processes.items():
            def ready(process=process, name=name):
                expect(process.running(), f"{name} ended: {process.err}")
                return "ready" in process.out
            wbtest.wait_until(ready, 20, f"{name} is ready")

    def finish(self):
        """Summaries by name."""
        result = {}
        for name, process in self.processes.items():
            expect_equal(process.wait(120), 0, f"exit code of {name} ({process.err})")
            result[name] = json.loads(process.out.splitlines()[-1])
        return result


def arrival_times(t):
    """Without anyone who asks for them the kernel takes no time on arrival, and each ring one of its own on copying."""
    asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    t.cleanup(asking.close)
    asking.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    time.sleep(0.5)  # the kernel turns it on a little later, from a work queue


def capture(t, programs, options, frames, jumbo_bytes):
    """Paths of the records, those of the sender under "sent". Tries again once, at half the rate, if a ring was full."""
    if not (HERE / "gopacket_reader").exists():
        raise wbtest.Skip("gopacket_reader was not built: Go or gopacket is missing (configs/install-packages.sh gopacket)")
    arrival_times(t)
    net = t.net(mtu=MTU)
    sent = t.path("sent.records")
    for rate in (RATE, RATE // 2):
        readers = Readers(t, net, programs, ["--count", frames, *options])
        net.run(HERE / "mixed_sender", wbtest.SENDING_SIDE, frames, rate, jumbo_bytes, sent, seconds=200)
        summaries = readers.finish()
        lossy = {name: summary for name, summary in summaries.items() if summary["dropped"]}
        if not lossy:
            break
        print(f"dropped at {rate} frames a second: {lossy}")
    expect(not lossy, f"dropped even at the lower rate: {lossy}")
    for name, summary in summaries.items():
        expect_equal(summary["packets"], frames, f"packets of {name}")
    index = int(net.run("cat", f"/sys/class/net/{wbtest.CAPTURED_SIDE}/ifindex"))
    return dict(readers.paths, sent=sent), index


def with_tag(data, tpid, tci):
    return data[:12] + struct.pack(">HH", tpid, tci) + data[12:]


class Expected:
    """What each of the two has to show of a frame."""

    def __init__(self, version, dgram, insert):
        self.version, self.dgram, self.insert = version, dgram, insert

    def ours(self, sent):
        """Bytes, length on the wire, TCI or -1, TPID."""
        tagged = sent.vlan >= 0
        if self.insert and tagged:
            return with_tag(sent.data, sent.tpid, sent.vlan), sent.original + 4, -1, 0
        skipped = ETHERNET_BYTES if self.dgram else 0
        tells = tagged and self.version >= 2
        return sent.data[skipped:], sent.original - skipped, sent.vlan if tells else -1, sent.tpid if tells else 0

    def theirs(self, sent):
        """The same of gopacket, with all its defects."""
        tagged = sent.vlan >= 0
        vlan = sent.vlan & 0xfff if tagged and self.version == 3 else -1
        if self.insert and sent.vlan > 0:
            return with_tag(sent.data, 0x8100, sent.vlan), sent.original, vlan
        skipped = ETHERNET_BYTES if self.dgram else 0
        return sent.data[skipped:], sent.original - skipped, vlan


FACTS = ("gopacket's bytes", "gopacket's length on the wire", "gopacket's VLAN", "gopacket's interface", "our bytes",
         "our length on the wire", "our TCI", "our TPID", "our interface", "our time, beside gopacket's",
         "our captured length, beside gopacket's", "time of arrival", "said to be microseconds", "said to be truncated",
         "said to have the tag inserted")


def compare_one(number, sent, theirs, ours, expected, index):
    their_data, their_original, their_vlan = expected.theirs(sent)
    data, original, tci, tpid = expected.ours(sent)
    # Only the ring's frame may cut a packet. Both cut at the same place, unless a tag is put back into one of them.
    captured = ours.captured if expected.insert else theirs.captured
    status = ours.status
    got = (theirs.data, theirs.original, theirs.vlan, theirs.interface, ours.data, ours.original, ours.vlan, ours.tpid,
           ours.interface, ours.time_ns, ours.captured, bool(status & TIME_SOFTWARE), bool(status & TIME_MICROSECONDS),
           bool(status & TRUNCATED), bool(status & VLAN_INSERTED))
    wanted = (their_data[:theirs.captured], their_original, their_vlan, index, data[:ours.captured], original, tci, tpid,
              index, theirs.time_ns, captured, True, expected.version == 1,
              ours.captured < len(data), expected.insert and sent.vlan >= 0)
    if got != wanted:
        for what, left, right in zip(FACTS, got, wanted, strict=True):
            expect_equal(left, right, f"frame {number}: {what}")
    expect(expected.version > 1 or ours.time_ns % 1000 == 0, f"frame {number}: nanoseconds in V1")


def compare(t, version, frames=FRAMES, apis=("read", "lease"), dgram=False, insert=False, jumbo_bytes=MTU + ETHERNET_BYTES):
    options = ["--version", version]
    options += ["--dgram"] if dgram else []
    options += ["--insert-vlan"] if insert else []
    programs = [("gopacket", "gopacket_reader", "copy" if apis == ("copy",) else "read")]
    programs += [(api, "tpacket_reader", api) for api in apis]
    began_ns = time.time_ns()
    paths, index = capture(t, programs, options, frames, jumbo_bytes)
    expected = Expected(version, dgram, insert)
    for api in apis:
        count = truncated = tagged = last_ns = 0
        for sent, theirs, ours in zip(records(paths["sent"]), records(paths["gopacket"]), records(paths[api]), strict=True):
            compare_one(count, sent, theirs, ours, expected, index)
            expect(ours.time_ns >= max(last_ns, began_ns // 1000 * 1000), f"frame {count}: an earlier time")
            last_ns = ours.time_ns
            count += 1
            truncated += ours.status & TRUNCATED
            tagged += sent.vlan >= 0
        expect_equal(count, frames, "records")
        expect(tagged > frames // 3, "the mix has no tags")
        # A jumbo frame does not fit into a frame of V1 and V2; into a block of V3 it does.
        wanted = frames // 10 if jumbo_bytes > 4096 and version < 3 else 0
        expect(abs(truncated - wanted) <= 1, f"{truncated} frames were truncated, not {wanted}")
        expect(last_ns <= time.time_ns(), "a time in the future")
        print(f"V{version} {api}: {count} packets like gopacket's, {tagged} with a tag, {truncated} truncated")


def test_v1(t):
    compare(t, 1)


def test_v2(t):
    compare(t, 2)


def test_v3(t):
    compare(t, 3)


def test_copy(t):
    compare(t, 3, FEWER, apis=("copy",))


def test_dgram_v2(t):
    compare(t, 2, FEWER, dgram=True)


def test_dgram_v3(t):
    compare(t, 3, FEWER, dgram=True)


def test_insert_vlan_v2(t):
    compare(t, 2, FEWER, insert=True, jumbo_bytes=1514)


def test_insert_vlan_v3(t):
    compare(t, 3, FEWER, insert=True)


if __name__ == "__main__":
    wbtest.main(globals())
