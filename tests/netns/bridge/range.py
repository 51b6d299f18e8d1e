#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`wirebus cat` out of a real broker: exactly the packets of a time range in the order of time, however partitions,
clocks and delays differ; offsets; and what is said when retention has taken the begin."""
import base64
import bisect
import json
import struct

from prelude import wbtest
from wbtest import expect, expect_equal

DELETE_RECORDS = str(wbtest.BUILD / "tests" / "clients" / "delete_records")
GARBAGE = 7


def fill(t, net, broker, topic, *options):
    """Fill the topic; returns the truth."""
    path = t.path("truth.json")
    producer = t.client(net, "produce_batches.py", broker.servers, topic, path, *options)
    expect_equal(producer.wait(120), 0, f"exit code of produce_batches ({producer.err})")
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def cat(t, net, url, *arguments):
    """What it shows, as (time, number); its summary; and what it said."""
    summary = t.path(f"summary-{t.number('summary')}.json")
    process = t.wirebus(net, "cat", "--from", url, "-o", "json", "--summary", summary, *arguments)
    expect_equal(process.wait(120), 0, f"exit code of cat {arguments} ({process.err})")
    packets = []
    for line in process.out.splitlines():
        packet = json.loads(line)
        expect("late" not in packet, f"a packet is late: {packet}")
        packets.append((int(packet["time_unix_nano"]), struct.unpack_from("<Q", base64.b64decode(packet["data"]), 14)[0]))
    with open(summary, encoding="utf-8") as stream:
        return packets, json.load(stream), process.err


def seconds(time_ns):
    return f"{time_ns // 10**9}.{time_ns % 10**9:09}"


def expect_packets(got, wanted, what):
    expect(got == wanted, f"{what}: {len(got)} packets, wanted {len(wanted)}; the first that differ: "
           f"{next(((a, b) for a, b in zip(got, wanted) if a != b), None)}")


def check_ranges(t, net, url, truth):
    times = [time for time, _ in truth]
    middle = len(times) // 2
    ranges = {
        "some": (times[3000], times[9000]),
        "from the first on": (times[0], times[700]),
        "to the last": (times[-700], times[-1] + 1),
        "none in between": (times[middle] + 1, times[middle + 1]),
        "none before": (times[0] - 10**9, times[0]),
        "none after": (times[-1] + 1, times[-1] + 10**9),
    }
    for name, (since, until) in ranges.items():
        got, said, _ = cat(t, net, url, "--since", seconds(since), "--until", seconds(until))
        wanted = truth[bisect.bisect_left(times, since):bisect.bisect_left(times, until)]
        expect_packets(got, wanted, f"range {name}")
        expect_equal(said["packets"], len(wanted), f"packets by the summary, range {name}")
    return times


def test_times(t):
    """Three nodes, four partitions, clocks that overlap."""
    net = t.net()
    broker = t.broker(net, 9092, "num.partitions=4", "log.retention.ms=-1")
    url = f"kafka://{broker.servers}/packets"
    found = fill(t, net, broker, "packets", "--garbage", GARBAGE)
    truth = [(time, number) for time, number, _, _ in found["packets"]]
    messages = sum(found["sizes"])
    got, said, err = cat(t, net, url)
    expect_packets(got, truth, "everything")
    expect_equal((said["damaged"], said["late"], said["missing_packets"], said["messages"]),
                 (GARBAGE, 0, 0, messages - GARBAGE), "damaged, late, missing, messages")
    expect_equal(err.count("skipped"), GARBAGE, f"lines about damage, each with its place ({err})")
    expect(all("packets[" in line and "]@" in line for line in err.splitlines() if "skipped" in line), err)
    times = check_ranges(t, net, url, truth)
    got, _, _ = cat(t, net, url, "--sort", "--memory", "1MiB")
    expect_packets(got, truth, "sorted on disk")
    # What lies before is not read, and what lies far behind neither, if that is asked for.
    late = times[len(times) * 9 // 10]
    got, said, _ = cat(t, net, url, "--since", seconds(late))
    expect_packets(got, truth[bisect.bisect_left(times, late):], "the last tenth")
    expect(int(said["messages"]) < messages // 3, f"{said['messages']} of {messages} messages were read for a tenth")
    early = times[len(times) // 10]
    got, said, _ = cat(t, net, url, "--until", seconds(early), "--until-margin", "2s")
    expect_packets(got, truth[:bisect.bisect_left(times, early)], "the first tenth")
    expect(int(said["messages"]) < messages // 2, f"{said['messages']} of {messages} messages were read for a tenth")
    # The last second that there is, and a margin behind it.
    got, _, _ = cat(t, net, url, "--until", "2554-07-21T23:34:32Z", "--until-margin", "1h")
    expect_packets(got, truth, "until the end of time")
    # With the filter on top: numbers below 256 have a zero there.
    got, _, _ = cat(t, net, url, "-f", "ether[15] = 0 and ether[16] = 0")
    expect_packets(got, [(time, number) for time, number in truth if number < 256], "those that match a filter")


def test_offsets_and_retention(t):
    """Offsets of all partitions and of single ones; what is gone is named, and the rest is read."""
    net = t.net()
    broker = t.broker(net, 9092, "num.partitions=4", "log.retention.ms=-1")
    url = f"kafka://{broker.servers}/packets"
    found = fill(t, net, broker, "packets", "--packets", "4000")
    packets, sizes = found["packets"], found["sizes"]

    def after(begin):
        return [(time, number) for time, number, partition, offset in packets if offset >= begin[partition]]
    none = [size + 1 for size in sizes]
    cases = {
        "-5": [max(0, size - 5) for size in sizes],
        "0:3,2:-4": [3, none[1], sizes[2] - 4, none[3]], "1:latest,3:0": [none[0], none[1], none[2], 0],
    }
    for text, begin in cases.items():
        got, _, _ = cat(t, net, url, "--offset", text)
        expect_packets(got, after(begin), f"--offset {text}")
    wrong = t.wirebus(net, "cat", "--from", url, "--offset", "4:0")
    expect_equal(wrong.wait(60), 1, "exit code for a partition that is not there")
    expect("there is no partition 4: topic packets has 4" in wrong.err, wrong.err)
    cut = [sizes[0] // 2, sizes[1] // 3, 0, 0]
    net.run(DELETE_RECORDS, broker.servers, "packets", 0, cut[0], 1, cut[1])
    for arguments, lines in ((("--offset", "0"), [f"packets[{p}]: offsets 0 to {cut[p] - 1} are gone" for p in (0, 1)]),
                             (("--since", seconds(packets[0][0])), [f"packets[{p}]: offsets before {cut[p]} are gone" for p in (0, 1)]),
                             ((), [])):
        got, _, err = cat(t, net, url, *arguments)
        expect_packets(got, after(cut), f"{arguments} after retention")
        expect_equal(err.count("are gone"), len(lines), f"lines about retention, {arguments} ({err})")
        expect(all(line in err for line in lines), f"{lines} are not in {err}")


if __name__ == "__main__":
    wbtest.main(globals())
