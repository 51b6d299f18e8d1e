#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Time ranges out of a Kafka topic back onto a wire: exactly the packets of the range, in the order of time, though they lie
in several partitions and streams."""
import bisect

from prelude import wbtest
from range import seconds
from replay import FAR_SIDE, read_json, replay_all, second_pair
from wbtest import expect, expect_equal

COUNT = 3000

# How many of the topic's four partitions have messages.
FILLED = """
import sys, confluent_kafka as kafka
consumer = kafka.Consumer({"bootstrap.servers": sys.argv[1], "group.id": "ends"})
ends = [consumer.get_watermark_offsets(kafka.TopicPartition("packets", number), 20)[1] for number in range(4)]
print(sum(end > 0 for end in ends))
"""


def fill(t, net, url, *arguments):
    """Capture into the topic; returns (time, frame) of each packet, in the order of time."""
    run = t.capture(net, url, "--batch-packets", "20", *arguments)
    t.send(net, {"count": COUNT, "flows": 64, "sizes": "200"}, rate=2000)
    t.settle(run, COUNT, lossless=True, workers=2)
    packets = [(int(line["time_unix_nano"]), line["data"]) for line in read_json(t, net, url)]
    expect_equal(len({frame for _, frame in packets}), COUNT, "different frames in the topic")
    return sorted(packets)


def replayed(t, net, url, *arguments):
    """Replay onto the second interface, and capture there. Returns the frames that came, and the summary."""
    folder = t.shared_folder(f"again-{t.number('again')}")
    again = t.capture(net, folder, interface=FAR_SIDE, workers=1)
    said = replay_all(t, net, url, *arguments)
    t.settle(again, said["sent"], lossless=True)
    return [line["data"] for line in read_json(t, net, folder)], said


def check_range(t, net, url, packets, since=None, until=None):
    """since, until: times, or None. What comes before is not read but for the batches around the begin; what comes after is,
    as other nodes' clocks may be behind."""
    times = [time for time, _ in packets]
    begin = 0 if since is None else bisect.bisect_left(times, since)
    end = len(times) if until is None else bisect.bisect_left(times, until)
    arguments = [word for option, time in (("--since", since), ("--until", until)) if time is not None
                 for word in (option, seconds(time))]
    got, said = replayed(t, net, url, *arguments)
    time_of = {frame: time for time, frame in packets}
    expect_equal(set(got) - set(time_of), set(), f"frames that were never in the topic ({arguments})")
    expect_equal(len(got), end - begin, f"frames ({arguments})")
    expect_equal(len({frame for _, frame in packets[begin:end]} - set(got)), 0, f"frames that did not come ({arguments})")
    came = [time_of[frame] for frame in got]
    expect_equal(came, sorted(came), f"order of time ({arguments})")
    expect_equal((said["sent"], said["causes"], said["end"]), (end - begin, {}, "end of data"), f"what was sent: {said}")
    expect_equal(said["outside"], said["read"] - said["sent"], f"outside is what was read and not sent: {said}")
    after = len(times) - end
    expect(after <= said["outside"] <= after + begin, f"outside of {arguments}: {said}, {begin} before, {after} after")
    return begin


def ranges(t, *arguments):
    net = t.net()
    second_pair(net)
    broker = t.broker(net, 9092, "num.partitions=4")
    url = f"kafka://{broker.servers}/packets"
    packets = fill(t, net, url, *arguments)
    expect_equal(int(net.run(wbtest.PYTHON, "-c", FILLED, broker.servers)), 4, "partitions with messages")
    times = [time for time, _ in packets]
    before = check_range(t, net, url, packets, since=times[1000], until=times[2000])
    expect(before > 990, f"times that are not all different: {before}")
    check_range(t, net, url, packets, until=times[700])
    check_range(t, net, url, packets, since=times[-700])
    check_range(t, net, url, packets, since=times[0], until=times[-1] + 1)
    check_range(t, net, url, packets, since=times[-1] + 1)


def test_partitions(t):
    """Without a key: the batches of a stream are in all four partitions."""
    ranges(t, "--key", "none")


def test_flows(t):
    """By flow: many streams, and each has a part of the range."""
    ranges(t, "--key", "flow", "--flow-buckets", "16")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=200)
