# SPDX-License-Identifier: Apache-2.0
"""The sums of the ledger that `wirebus run --ledger FILE` writes: the one place where the tests assert them."""
import json

COUNTERS = (
    "kernel_seen", "kernel_dropped", "read", "filtered", "sampled_out", "accepted", "truncated", "recovered",
    "delivered", "handed_over", "failed", "unknown", "dropped", "open", "in_flight", "spooled")
CAUSES = (
    "dropped_too_large", "dropped_no_buffer", "dropped_bus_full", "dropped_shutdown", "dropped_spool_full")
GAPS = ("interface_gaps", "interface_gap_nano")  # no packets


class LedgerError(AssertionError):
    pass


def _entries(value, path="ledger"):
    """Every object with counters, the parts as well as the totals, with where it stands."""
    if isinstance(value, dict):
        if "kernel_seen" in value:
            yield path, value
        for key, inner in value.items():
            yield from _entries(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _entries(inner, f"{path}[{i}]")


def _check_entry(path, raw, settled=True):
    missing = [name for name in COUNTERS + CAUSES + GAPS if name not in raw]
    if missing:
        raise LedgerError(f"{path} lacks {', '.join(missing)}")
    c = {name: int(raw[name]) for name in COUNTERS + CAUSES + GAPS}
    if settled and (c["open"] or c["in_flight"]):
        raise LedgerError(f"{path}: open {c['open']} and in flight {c['in_flight']} after the end")
    sums = (
        ("read = filtered + sampled_out + accepted", c["read"], c["filtered"] + c["sampled_out"] + c["accepted"]),
        ("accepted + recovered = outcomes", c["accepted"] + c["recovered"],
         c["open"] + c["in_flight"] + c["spooled"] + c["delivered"] + c["handed_over"] + c["failed"] + c["unknown"]
         + c["dropped"]),
        ("dropped = its causes", c["dropped"], sum(c[name] for name in CAUSES)),
    )
    if settled:
        sums += (("kernel_seen = read + kernel_dropped", c["kernel_seen"], c["read"] + c["kernel_dropped"]),)
    for rule, left, right in sums:
        if left != right:
            raise LedgerError(f"{path}: {rule} does not hold: {left} != {right}; {c}")
    return c


def check(path, sent=None, lossless=False, workers=None):
    """Assert the sums of every entry, and that the parts add up to the whole. sent: frames that the kernel must have
    seen. lossless: every one of them reached the bus. Returns the totals as a dictionary."""
    with open(path, encoding="utf-8") as stream:
        entries = [(where, _check_entry(where, raw)) for where, raw in _entries(json.load(stream))]
    parts = [c for where, c in entries if ".workers[" in where]
    if workers is not None and len(parts) != workers:
        raise LedgerError(f"{path} has {len(parts)} workers, not {workers}")
    wholes = [c for where, c in entries if ".workers[" not in where] or parts
    if not wholes:
        raise LedgerError(f"{path} has no counters")
    total = {name: sum(c[name] for c in (parts or wholes)) for name in COUNTERS + CAUSES + GAPS}
    for whole in wholes if parts and len(wholes) == 1 else ():
        for name in COUNTERS + CAUSES + GAPS:
            if whole[name] != total[name]:
                raise LedgerError(f"{path}: the workers' {name} add up to {total[name]}, the total says {whole[name]}")
    if sent is not None and total["kernel_seen"] != sent:
        raise LedgerError(f"{path}: {sent} frames were sent, the kernel saw {total['kernel_seen']}; {total}")
    if lossless and total["delivered"] + total["handed_over"] != total["kernel_seen"]:
        raise LedgerError(f"{path}: not every packet reached the bus: {total}")
    return total


def workers(path):
    """The counters of each worker, checked as well."""
    with open(path, encoding="utf-8") as stream:
        return [_check_entry(where, raw) for where, raw in _entries(json.load(stream)) if ".workers[" in where]


EXPLANATIONS = ("given_up", "given_up_later", "pending", "lost_in_crash", "not_covered", "unexplained")


def check_audit(said, path=None, sent=None):
    """Assert the sums of a statement of `wirebus verify -o json`: each missing packet is in one term, each accepted one came
    or is missing. path: the ledger of the only run that it is about. sent: frames that went onto the captured interface."""
    workers_said = [worker for node in said["nodes"] for session in node["sessions"] for worker in session["workers"]]
    for worker in workers_said:
        f, where = worker["figures"], f"worker {worker['worker']} in the statement"
        missing = f["missing"] + f["missed_before"]
        terms = sum(f[name] for name in EXPLANATIONS)
        if missing != terms:
            raise LedgerError(f"{where}: {missing} packets are missing, the terms add up to {terms}: {f}")
        if "counters" not in worker:
            continue
        c = _check_entry(where, worker["counters"], settled=False)
        if worker["ended"] and not worker["crashed"] and f["received"] + missing != c["accepted"]:
            raise LedgerError(f"{where}: received {f['received']} and missing {missing} are not accepted {c['accepted']}")
    total = said["figures"]
    if path is not None:
        with open(path, encoding="utf-8") as stream:
            entries = [c for where, c in _entries(json.load(stream)) if ".workers[" in where]
        for name in ("kernel_seen", "kernel_dropped", "accepted", "read"):
            told = sum(worker["counters"][name] for worker in workers_said)
            if told != sum(int(c[name]) for c in entries):
                raise LedgerError(f"{path}: {name} is {sum(int(c[name]) for c in entries)}, the messages say {told}")
    if sent is not None:
        left = sum(worker["counters"]["filtered"] + worker["counters"]["sampled_out"] for worker in workers_said)
        found = total["received"] + total["missing"] + total["missed_before"] + total["kernel_dropped"] + left
        if found != sent:
            raise LedgerError(f"{sent} frames were sent, the statement knows of {found}: {total}")
