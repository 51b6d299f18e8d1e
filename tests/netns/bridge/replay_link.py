#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Packets onto an interface that becomes another one meanwhile: with another name, with another MTU."""
import subprocess
import time

from prelude import wbtest
import capfile
from replay import FAR_SIDE, OUT_SIDE, far_received, finish, second_pair, start_replay
from wbtest import expect_equal, wait_until

NOW_NS = time.time_ns() - 3600 * 10**9
IPV4, TAGGED, SERVICE_TAGGED = b"\x08\x00", b"\x81\x00", b"\x88\xa8"


def give_frames(process, frames, begin=False):
    """More of a capture file to a process that reads one from its standard input."""
    content = capfile.pcap([(NOW_NS + number, frame) for number, frame in enumerate(frames)])
    process.popen.stdin.write(content if begin else content[24:])
    process.popen.stdin.flush()


def frames_of(size, count, kind=IPV4):
    return [bytes(11) + b"\2" + kind + bytes(size - 14)] * count


def replay_pipe(t, net):
    replay = start_replay(t, net, "-", "-t", stdin=subprocess.PIPE)
    give_frames(replay, frames_of(1000, 10), begin=True)
    wait_until(lambda: far_received(net) == 10, 60, f"the first frames ({replay.err})")
    return replay


def finish_pipe(replay):
    replay.popen.stdin.close()
    return finish(replay)


def test_renamed(t):
    """Renamed in the middle, and another one gets the name: what needs the second ring goes where the rest goes."""
    net = t.net()
    second_pair(net)
    replay = replay_pipe(t, net)
    net.run("ip", "link", "set", OUT_SIDE, "down")  # no kernel before 6.2 renames one that is up
    net.run("ip", "link", "set", OUT_SIDE, "name", "renamed")
    net.run("ip", "link", "add", OUT_SIDE, "type", "veth", "peer", "name", "other")
    for link in ("renamed", OUT_SIDE, "other"):
        net.run("ip", "link", "set", link, "up")
    give_frames(replay, frames_of(1518, 10, SERVICE_TAGGED))  # longer by a tag than the kernel allows without vnet header
    said = finish_pipe(replay)
    expect_equal((said["sent"], said["causes"]), (20, {}), f"sent: {said}")
    expect_equal(far_received(net), 20, "frames at the other end")
    expect_equal(int(net.run("cat", "/sys/class/net/other/statistics/rx_packets")), 0, "frames at the end of another")


def test_mtu_raised(t):
    """In the middle: longer frames go, as far as they fit now."""
    net = t.net()
    second_pair(net)
    replay = replay_pipe(t, net)
    for link in (OUT_SIDE, FAR_SIDE):
        net.run("ip", "link", "set", link, "mtu", 9000)
    give_frames(replay, frames_of(9014, 10) + frames_of(1000, 10) + frames_of(9018, 10, TAGGED))
    wait_until(lambda: far_received(net) == 40, 60, f"frames at the other end ({replay.err})")
    for link in (OUT_SIDE, FAR_SIDE):
        net.run("ip", "link", "set", link, "mtu", 1500)
    give_frames(replay, frames_of(9014, 5) + frames_of(1000, 10))
    replay.popen.stdin.close()
    said = finish(replay, code=1)
    expect_equal((said["sent"], said["causes"]), (50, {"too_large": 5}), f"sent: {said}")
    expect_equal(far_received(net), 50, "frames at the other end")


if __name__ == "__main__":
    wbtest.main(globals())
