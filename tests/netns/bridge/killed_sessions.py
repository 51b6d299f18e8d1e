# SPDX-License-Identifier: Apache-2.0
"""What must have come of sessions that were killed: everything that was delivered or in the spool, packet by packet."""
import pathlib

import prelude  # noqa: F401
import messages as wire
from wbtest import expect, expect_equal


class Killed:
    """The messages of a topic, by stream of a session, and what the spool had of them when a process was killed."""

    def __init__(self):
        self.streams, self.on_disk = {}, {}

    def note_spool(self, folder):
        """Nobody writes to it now. The last message of a file may be torn."""
        for _, message in filter(None, wire.read_files(pathlib.Path(folder))):
            facts = wire.read_batch(message)
            name = (facts["session"].hex(), facts["worker"], facts["stream"])
            self.on_disk.setdefault(name, set()).update(range(facts["first"], facts["first"] + facts["packets"]))

    def take(self, lines):
        for line in lines:
            self.streams.setdefault((line["session"], line["worker"], line["stream"]), []).append(line)

    def check(self, kills, workers):
        """Returns how many packets are missing of the sessions that were killed, by what was said on their behalf."""
        previous = missing = 0
        for name, lines in self.streams.items():
            seqs, received, ends, order = {}, set(), [], []
            for line in lines:
                expect_equal(seqs.setdefault(line["batch_seq"], line["first_packet_seq"]), line["first_packet_seq"],
                             f"a number has one meaning in stream {name}")
                order.append(line["batch_seq"])
                received.update(range(line["first_packet_seq"], line["first_packet_seq"] + line["packets"]))
                if line["flags"] & 2:
                    ends.append(line)
            expect(ends, f"stream {name} has no end")
            end = ends[-1]
            expect(all(line["batch_seq"] == end["batch_seq"] and line["first_packet_seq"] == end["first_packet_seq"]
                       for line in ends), f"the ends of stream {name} differ")
            expect_equal(max(seqs), end["batch_seq"], f"the end of stream {name} is the last")
            firsts = [seq for i, seq in enumerate(order) if seq not in order[:i]]
            expect_equal(firsts, sorted(firsts), f"order of stream {name}")
            counters = end["counters"]
            accepted = end["first_packet_seq"] - 1
            # The worker has one stream: what it accepted are that stream's numbers.
            expect_equal(counters.get("accepted", 0), accepted, f"accepted in the end of {name}")
            expect(not received or max(received) <= accepted, f"stream {name} has packets beyond its end")
            lost = accepted - len(received)
            safe = counters.get("delivered", 0) + counters.get("spooled", 0)
            if end["flags"] & 4:
                previous += 1
                missing += lost
                expect(len(received) >= min(safe - counters.get("recovered", 0), accepted),
                       f"stream {name}: {len(received)} of {accepted} received, {safe} were delivered or spooled")
                # What is delivered is so in order. Of an earlier session's no more than what was recovered.
                kept = set(range(1, counters.get("delivered", 0) - counters.get("recovered", 0) + 1))
                gone = (kept | self.on_disk.get(name, set())) - received
                expect(not gone, f"stream {name}: delivered or in the spool, and lost: {len(gone)}, from {min(gone, default=0)} on")
                expect(end["watermark"] >= max(line["last_time"] for line in lines) - 10**9, f"time of the end of {name}")
            else:
                expect_equal(lost, counters.get("dropped", 0), f"lost of stream {name}, which ended orderly")
            print(f"stream {name[0][-6:]}/{name[2]}: accepted {accepted}, received {len(received)}, lost {lost}, "
                  f"flags {end['flags']}, messages twice {len(order) - len(firsts)}")
        expect_equal(previous, kills * workers, "sessions that were ended by the next one, by stream")
        return missing
