#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What was received and what was lost, computed a second time: from nothing but the messages, with nothing of wirebus's.

    checker.py [--deep] URL            print the statement as JSON; URL as `wirebus verify --from` takes it
    checker.py --record FOLDER URL     write a ZeroMQ stream's messages into FOLDER as they come, then end

Everything is kept as plain sets and intervals and judged when all is read. --deep also reads the number that
tests/clients/sender wrote into each frame.
"""
import argparse
import json
import os
import pathlib
import sys

from messages import (COUNTERS, END_OF_STREAM, HEADER, PREVIOUS_SESSION, RECORD, RECORD_MODE, Damaged, entry, fields, kafka_ends,
                      messages, read_batch, read_record)

# Counters that never fall, so that of two snapshots the newer can be told; then those that settle.
RISING = ("accepted", "kernel_seen", "kernel_dropped", "read", "recovered", "delivered", "handed_over", "failed", "unknown",
          "dropped")
SETTLING = ("open", "in_flight")


# ---- what came ----

class Stream:
    def __init__(self, facts):
        self.number, self.worker = facts.get("stream", 0), facts.get("worker", 0)
        self.session, self.node = facts["session"], facts.get("node", b"")[:64]
        self.seqs = set()    # numbers of the messages
        self.known = set()   # by which a message is known again: of records, those of the packets and of the others
        self.beyond = set()  # that a killed process would have used next
        self.own = 0         # messages with a number of their own
        self.spans = []      # (first, one past the last) of every message with packets
        self.firsts = set()  # first packet number of every message
        self.tops = {1}      # numbers below these were given away
        self.messages = self.received = self.duplicates = self.duplicate_packets = self.out_of_order = 0
        self.highest = {}
        self.of_records = False
        self.announced = 1   # by the counters beside records: the packet that came next
        self.under_way = 0   # of those announced, the last ones, which may still come
        self.snapshots = []  # (message number, counters): the newest, and that of the lowest number
        self.end = self.crash = None  # facts of the message that ended it, facts if that was after a restart

    def take(self, facts, channel):
        seq, packets, flags = facts["seq"], facts["packets"], facts.get("flags", 0)
        on_behalf = flags & PREVIOUS_SESSION and not packets
        name = ("packet", facts["first"]) if facts["kind"] == RECORD else \
            ("beside", seq - facts["first"]) if flags & RECORD_MODE else seq
        if (self.crash and self.crash["seq"] == seq) if on_behalf else name in self.known:
            self.duplicates += 1
            self.duplicate_packets += packets
            return
        (self.beyond if on_behalf else self.seqs).add(seq)
        if not on_behalf:
            self.known.add(name)
            self.own += 1
        self.out_of_order += seq < self.highest.get(channel, 0)
        self.highest[channel] = max(seq, self.highest.get(channel, 0))
        self.messages += 1
        self.received += packets
        self.of_records = self.of_records or facts["kind"] == RECORD or bool(flags & RECORD_MODE)
        if flags & RECORD_MODE and not flags & END_OF_STREAM:
            self.announced = max(self.announced, facts["first"])
        else:
            self.firsts.add(facts["first"])
            self.tops.add(facts["first"] + packets)
        if packets:
            self.spans.append((facts["first"], facts["first"] + packets))
        if "counters" in facts:
            self.snapshots.append((seq, facts["counters"]))
            if len(self.snapshots) > 64:
                self.snapshots = [min(self.snapshots, key=lambda s: s[0]), max(self.snapshots, key=lambda s: age(s[1]))]
        if len(self.firsts) > 4096:
            self.firsts, self.tops = {min(self.firsts)}, {max(self.tops)}
        if flags & END_OF_STREAM and (not self.end or seq > self.end["seq"]):
            self.end = facts
            self.crash = facts if flags & PREVIOUS_SESSION else None

    def expect(self, unsettled):
        """Everything is there, and as many packets as unsettled may still come. Returns how many of these are awaited here."""
        top, whole = max(self.tops), self.announced
        if not self.end and whole > top:
            self.under_way = min(unsettled, whole - top)
            if whole - self.under_way > top:
                self.tops.add(whole - self.under_way)
                # Nothing else was ever said of its numbers.
                self.firsts = self.firsts or {whole - self.under_way}
        return self.under_way

    def close(self):
        """All that can be said once everything is there."""
        self.first, self.top = min(self.firsts, default=1), max(self.tops)
        self.spans.sort()
        self.holes, self.repeated, at = [], 0, self.first
        for low, high in self.spans:
            if low > at:
                self.holes.append([at, low - 1])
            self.repeated += max(0, min(high, at) - low)
            at = max(at, high)
        if at < self.top:
            self.holes.append([at, self.top - 1])
        self.missing = sum(high - low + 1 for low, high in self.holes)
        numbers = sorted(self.seqs)
        self.first_seq = min([*numbers, *self.beyond], default=1)
        self.message_holes, at = [], self.first_seq
        for number in numbers + [n for n in sorted(self.beyond)[-1:] if not numbers or n > numbers[-1]]:
            if number > at:
                self.message_holes.append([at, number - 1])
            at = number + 1
        self.missing_messages = sum(high - low + 1 for low, high in self.message_holes)
        if self.of_records:
            span = max([number + 1 for number in numbers[-1:]] + [*self.beyond]) - self.first_seq
            self.missing_messages = max(0, span - self.own - self.under_way)
        # Nothing came but the end that a later session wrote.
        self.only_end = bool(self.crash) and not self.received and self.first == self.crash["first"]
        self.overrun = bool(self.end and not self.crash) and (
            self.top > self.end["first"] or max(numbers) > self.end["seq"])


FIGURES = (
    "received", "messages", "duplicates", "duplicate_packets", "out_of_order", "kernel_seen", "kernel_dropped", "missing",
    "missing_messages", "missed_before", "given_up", "given_up_later", "lost_in_crash", "pending", "under_way", "not_covered",
    "unexplained", "unread", "interface_gaps", "interface_gap_nano", "stale", "repeated", "streams", "open_streams",
    "unknown_tails")


def age(counters):
    return tuple(counters[name] for name in RISING) + tuple(-counters[name] for name in SETTLING)


def given_up(counters):
    return counters["failed"] + counters["unknown"] + counters["dropped"] if counters else 0


def balanced(c):
    if not c:
        return True
    outcomes = sum(c[name] for name in ("open", "in_flight", "spooled", "delivered", "handed_over", "failed", "unknown",
                                        "dropped"))
    causes = sum(value for name, value in c.items() if name.startswith("dropped_"))
    return (c["accepted"] + c["recovered"] == outcomes and c["dropped"] == causes
            and c["read"] == c["filtered"] + c["sampled_out"] + c["accepted"])


class Worker:
    """The streams of one worker, and how far its counters explain what is missing of them."""

    def __init__(self, streams, from_start=False):
        self.streams = streams
        self.ended = all(stream.end for stream in streams)
        crashes = [stream.crash for stream in streams if stream.crash]
        self.crashed = bool(crashes)
        self.tail_from = min((crash.get("watermark", 0) for crash in crashes), default=0)
        snapshots = [counters for stream in streams for _, counters in stream.snapshots]
        self.counters = max(snapshots, key=age, default=None)
        unsettled = self.counters["open"] + self.counters["in_flight"] if self.counters else 0
        for stream in streams:
            unsettled -= stream.expect(unsettled)
            stream.close()
        c = self.counters or dict.fromkeys(COUNTERS.values(), 0)
        self.numbered = sum(stream.top - 1 for stream in streams)
        self.holes = sum(stream.missing for stream in streams)
        self.unseen = max(0, c["accepted"] - self.numbered) if self.ended and self.counters else 0
        self.late = sum(stream.first - 1 for stream in streams if not stream.only_end)
        self.whole = sum(stream.first - 1 for stream in streams if stream.only_end)
        # What was given up before the first messages does not explain what is missing after them.
        firsts = [[s for s in stream.snapshots if s[0] == stream.first_seq] for stream in streams]
        early = min((s[0][1] for s in firsts), key=age) if all(firsts) else None
        total = given_up(self.counters)
        part = min(self.holes, max(0, total - given_up(early)))
        left = total - part
        explained = [part]
        for missing in (self.unseen, self.whole, self.late):
            explained.append(min(missing, left))
            left -= explained[-1]
        self.given_up, self.surplus = sum(explained), left
        self.open = self.holes + self.unseen - explained[0] - explained[1] + self.whole - explained[2]
        self.open_whole = self.whole - explained[2]
        self.not_covered = self.late - explained[3]
        if from_start:
            self.open += self.not_covered
            self.open_whole = self.not_covered = 0
        self.unread = max(0, c["kernel_seen"] - c["read"] - c["kernel_dropped"]) if self.ended and not crashes else 0
        self.pending = self.given_up_later = self.lost_in_crash = self.unexplained = self.tail_to = 0

    def explain(self, amount):
        part = min(self.open, amount)
        self.open -= part
        return part

    def finish(self):
        # What nothing explains: holes before what may have gone out before anybody listened.
        went_before = min(self.open, self.open_whole)
        self.not_covered += went_before
        self.unexplained = self.open - went_before

    def figures(self):
        c = self.counters or dict.fromkeys(COUNTERS.values(), 0)
        add = lambda name: sum(getattr(stream, name) for stream in self.streams)
        return {
            "received": add("received"), "messages": add("messages"), "duplicates": add("duplicates"),
            "duplicate_packets": add("duplicate_packets"), "out_of_order": add("out_of_order"),
            "kernel_seen": c["kernel_seen"], "kernel_dropped": c["kernel_dropped"], "missing": self.holes + self.unseen,
            "missing_messages": add("missing_messages"), "missed_before": self.late + self.whole,
            "given_up": self.given_up, "given_up_later": self.given_up_later, "lost_in_crash": self.lost_in_crash,
            "pending": self.pending, "not_covered": self.not_covered, "unexplained": self.unexplained,
            "under_way": add("under_way"), "unread": self.unread, "interface_gaps": c["interface_gaps"], "interface_gap_nano": c["interface_gap_nano"],
            "stale": 0, "repeated": add("repeated"), "streams": len(self.streams),
            "open_streams": sum(not stream.end for stream in self.streams), "unknown_tails": int(self.crashed)}


def uuid7_time(session):
    return int.from_bytes(session[:6], "big") * 10**6 if session[6] >> 4 == 7 and session[8] >> 6 == 2 else 0


def judge_node(sessions):
    """sessions: lists of workers, by start."""
    counted = lambda workers, name: sum(worker.counters[name] for worker in workers if worker.counters)
    spool, given_up_later, was_read = counted(sessions[-1], "spooled"), 0, False
    for position, workers in reversed(list(enumerate(sessions))):
        for worker in workers:
            c = worker.counters
            if was_read or position == len(sessions) - 1:
                worker.pending = worker.explain(spool)
                spool -= worker.pending
            else:
                worker.pending = worker.explain(c["spooled"] if c else 0)
            worker.given_up_later = worker.explain(given_up_later)
            given_up_later -= worker.given_up_later
            if worker.crashed:
                on_the_way = c["open"] + c["in_flight"] + c["spooled"] + max(0, worker.numbered - c["accepted"]) \
                    if c else worker.open
                worker.lost_in_crash = worker.explain(on_the_way)
            worker.finish()
        for worker in workers:
            recovered = worker.counters["recovered"] if worker.counters else 0
            was_read = was_read or recovered > 0
            given_up_later += min(recovered, worker.surplus)


# ---- the statement ----

def add_up(parts):
    parts = list(parts)
    return {name: sum(part[name] for part in parts) for name in FIGURES}


def uuid_text(session):
    text = session.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class Checker:
    def __init__(self, deep=False):
        self.streams = {}
        self.damaged = 0
        self.about = {"from_start": True}
        self.frames = {} if deep else None  # number in the frame: how often it came
        self.strange = 0                    # frames without a number

    def take(self, message, channel=0):
        """message: (kind, bytes), or None. Returns the facts, or None when it is damaged."""
        try:
            if message is None:
                raise Damaged("by the source")
            kind, data = message
            on_packet = self._frame if self.frames is not None else None
            facts = read_record(data, on_packet) if kind == RECORD else read_batch(data, on_packet)
            facts["kind"] = kind
            facts.setdefault("session", bytes(16))
            facts.setdefault("seq", 0)
            facts.setdefault("first", 0)
            if any(not isinstance(facts.get(name, 0), int) for name in ("worker", "stream", "seq", "first", "flags")):
                raise Damaged("wire type")
            if not facts["seq"] or not facts["first"] or len(facts["session"]) != 16:
                raise Damaged("numbers")
            if kind != RECORD and facts.get("flags", 0) & RECORD_MODE and (
                    facts["packets"] or facts["seq"] < facts["first"]):
                raise Damaged("a ledger that cannot be")
        except (Damaged, IndexError, TypeError):
            self.damaged += 1
            return None
        key = (facts["session"], facts.get("stream", 0))
        if key not in self.streams:
            self.streams[key] = Stream(facts)
        self.streams[key].take(facts, channel)
        return facts

    def _frame(self, data, number):
        frame = next((value for found, value in fields(data) if found == number), b"")
        for start in (42, 46, 54, 58):  # UDP or TCP, without or with a tag
            if frame[start:start + 2] == b"\x77\x62":
                seq = int.from_bytes(frame[start + 2:start + 10], "big")
                self.frames[seq] = self.frames.get(seq, 0) + 1
                return
        self.strange += 1

    def all_ended(self):
        return bool(self.streams) and all(stream.end for stream in self.streams.values())

    def statement(self):
        nodes = {}
        for stream in self.streams.values():
            workers = nodes.setdefault(stream.node, {}).setdefault(stream.session, {})
            workers.setdefault(stream.worker, []).append(stream)
        said = [self._node(name, sessions) for name, sessions in sorted(nodes.items())]
        figures = add_up(node["figures"] for node in said)
        result = {"damaged": self.damaged, "from_start": self.about["from_start"], "figures": figures, "nodes": said, "doubts": self._doubts(figures),
                  "losses": losses(figures)}
        result["verdict"] = "unproven" if result["doubts"] else "explained" if result["losses"] else "complete"
        if self.frames is not None:
            result["frames"] = {"different": len(self.frames), "strange": self.strange,
                                "repeated": sum(self.frames.values()) - len(self.frames)}
        return result

    def _node(self, name, sessions):
        names = sorted(sessions)
        judged = [[Worker(sorted(streams, key=lambda s: s.number), self.about["from_start"])
                   for _, streams in sorted(sessions[session].items())] for session in names]
        judge_node(judged)
        starts = [uuid7_time(session) for session in names]
        said = []
        for session, start, workers in zip(names, starts, judged):
            for worker in workers:
                if worker.crashed:
                    worker.tail_to = min((t for t in starts if t and t // 10**6 >= worker.tail_from // 10**6), default=0)
            said.append({"session": uuid_text(session), "start_unix_nano": start,
                         "figures": add_up(worker.figures() for worker in workers),
                         "workers": [say_worker(worker) for worker in workers]})
        return {"node": name.decode(errors="replace"), "restarts": len(names) - 1,
                "figures": add_up(session["figures"] for session in said), "sessions": said}

    def _doubts(self, f):
        if not self.streams:
            return ["nothing"]
        overrun = any(stream.overrun for stream in self.streams.values())
        workers = {}
        for stream in self.streams.values():
            workers.setdefault((stream.session, stream.worker), []).append(stream)
        sums = all(balanced(Worker(streams).counters) for streams in workers.values())
        found = (("open_tail", f["open_streams"]), ("unexplained", f["unexplained"] or f["unread"]),
                 ("pending", f["pending"]), ("contradiction", f["repeated"] or overrun), ("unbalanced", not sums))
        return [name for name, is_so in found if is_so]


def losses(f):
    found = (("kernel", f["kernel_dropped"]), ("bus", f["missing"] + f["missed_before"] > f["not_covered"]),
             ("not_covered", f["not_covered"]), ("unknown_tail", f["unknown_tails"]),
             ("interface_gap", f["interface_gaps"]))
    return [name for name, is_so in found if is_so]


def say_worker(worker):
    said = {"worker": worker.streams[0].worker, "ended": worker.ended, "crashed": worker.crashed,
            "balanced": balanced(worker.counters), "figures": worker.figures(), "streams": []}
    if worker.counters:
        said["counters"] = worker.counters
    if worker.crashed:
        said["unknown_tail"] = {"from_unix_nano": worker.tail_from, "to_unix_nano": worker.tail_to}
    for stream in sorted(worker.streams, key=lambda s: s.number):
        known = stream.top > stream.first
        said["streams"].append({
            "stream": stream.number, "received": stream.received, "messages": stream.messages,
            "first_packet_seq": stream.first if known else 0, "last_packet_seq": stream.top - 1 if known else 0,
            "missed_before": stream.first - 1, "missed_messages_before": stream.first_seq - 1, "missing": stream.missing,
            "missing_ranges": stream.holes, "missing_ranges_complete": True, "missing_messages": stream.missing_messages,
            # Of records, those of the packets say it.
            "missing_messages_ranges": [] if stream.of_records else stream.message_holes,
            "missing_messages_ranges_complete": not (stream.of_records and stream.missing_messages),
            "duplicates": stream.duplicates, "duplicate_packets": stream.duplicate_packets,
            "out_of_order": stream.out_of_order, "stale": 0, "repeated": stream.repeated, "ended": bool(stream.end),
            "crashed": bool(stream.crash)})
    return said


def differences(theirs, own, leave_out, path=""):
    """Every figure of one's own statement that the other does not have as well, as text."""
    if isinstance(own, dict) and isinstance(theirs, dict):
        for name, value in own.items():
            if name in leave_out:
                continue
            if name not in theirs:
                yield f"{path}.{name}: missing, own is {value!r}"
            else:
                yield from differences(theirs[name], value, leave_out, f"{path}.{name}")
    elif isinstance(own, list) and isinstance(theirs, list):
        if len(own) != len(theirs):
            yield f"{path}: {len(theirs)} entries, own are {len(own)}"
        for number, (left, right) in enumerate(zip(theirs, own)):
            yield from differences(left, right, leave_out, f"{path}[{number}]")
    elif theirs != own:
        yield f"{path}: {theirs!r}, own is {own!r}"


def agree(theirs, own, live=False, ordered=True):
    """Assert that `wirebus verify -o json` says the same, in every figure and with nothing left out on either side. live:
    both subscribed to the same publisher, so one may have seen a heartbeat before the other was there. Not ordered: a
    stream's messages lie in several partitions, so in what order they come is each reader's own."""
    leave_out = {"frames", "end", "untracked_messages", "untracked_packets"}
    if live:
        leave_out |= {"messages", "missed_messages_before"}
    if not ordered:
        leave_out.add("out_of_order")
    found = [*differences(theirs, own, leave_out, "verify"), *differences(own, theirs, leave_out, "the checker")]
    if found:
        raise AssertionError("verify and the checker disagree:\n  " + "\n  ".join(found[:20]))


def check(url, ledger=None, deep=False):
    checker = Checker(deep)
    ends = None
    if ledger is None and url.startswith("kafka://"):
        # It tells of records that are there before it: so where it ends is looked up first.
        ledger = f"{url.partition('?')[0]}.ledger"
        ends = kafka_ends(ledger)
        ledger = ledger if ends else None
    for message in messages(url, checker.all_ended, checker.about):
        checker.take(message)
    if ledger:
        for message in messages(ledger, checker.all_ended, checker.about, ends):
            checker.take(message, 1)
    return checker.statement()


def record(url, folder):
    """Write what comes into a file that both checkers can read: a subscriber's view, fixed."""
    checker = Checker()
    path = pathlib.Path(folder, "recorded.wbs")
    # Not buffered: that something has come can be seen from outside.
    with open(path.with_suffix(".part"), "wb", buffering=0) as out:
        out.write(HEADER)
        for message in messages(url, checker.all_ended, checker.about):
            checker.take(message)
            if message:
                out.write(entry(*message))
    os.rename(path.with_suffix(".part"), path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url")
    parser.add_argument("--deep", action="store_true", help="read the numbers in the frames as well")
    parser.add_argument("--ledger", metavar="URL", help="where the counters of single packets are")
    parser.add_argument("--record", metavar="FOLDER", help="write a ZeroMQ stream into this folder")
    args = parser.parse_args()
    if args.record:
        record(args.url, args.record)
    else:
        json.dump(check(args.url, args.ledger, args.deep), sys.stdout)


if __name__ == "__main__":
    main()
