#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The schema gate stops every kind of edit that breaks somebody, and lets additions through.

usage: test_gate.py PROTO_FOLDER
"""
import importlib.util
import pathlib
import shutil
import subprocess
import sys
import tempfile

BATCH, RECORD = "packet_batch.proto", "packet_record.proto"
# What is edited, and what the gate says about it.
BREAKS = {
    "number changed": (BATCH, [("bytes session_id = 1;", "bytes session_id = 21;")],
        "is now 'wirebus.v1.PacketBatch.session_id = 21"),
    "numbers swapped": (RECORD, [("vlan_tci = 14;", "vlan_tci = 99;"), ("vlan_tpid = 15;", "vlan_tpid = 14;"),
        ("vlan_tci = 99;", "vlan_tci = 15;")], "vlan_tci = 15"),
    "wider integer": (BATCH, [("uint32 worker_id = 2;", "uint64 worker_id = 2;")], "worker_id = 2: uint64"),
    "varint for fixed": (BATCH, [("fixed64 min_time_unix_nano", "uint64 min_time_unix_nano")],
        "min_time_unix_nano = 16: uint64"),
    "zigzag": (BATCH, [("uint32 flags = 19;", "sint32 flags = 19;")], "flags = 19: sint32"),
    "string for bytes": (RECORD, [("bytes data = 12;", "string data = 12;")], "data = 12: string"),
    "bytes for string": (BATCH, [("string node = 6;", "bytes node = 6;")], "node = 6: bytes"),
    "not repeated": (BATCH, [("repeated Packet packets", "Packet packets")],
        "is now 'wirebus.v1.PacketBatch.packets = 11: wirebus.v1.Packet'"),
    "repeated": (BATCH, [("uint32 stream_id = 3;", "repeated uint32 stream_id = 3;")],
        "stream_id = 3: repeated uint32"),
    "other message type": (BATCH, [("repeated Interface interfaces", "repeated Counters interfaces")],
        "interfaces = 7: repeated wirebus.v1.Counters"),
    "renamed": (BATCH, [("fixed32 rx_hash = 8;", "fixed32 flow_hash = 8;")],
        "its number is now 'wirebus.v1.Packet.flow_hash = 8"),
    "removed": (BATCH, [("  uint64 spooled = 16;", "  //")], "Counters.spooled = 16: uint64', which is gone"),
    "removed and reserved": (BATCH, [("  uint64 spooled = 16;", '  reserved 16; reserved "spooled";')],
        "spooled = 16: uint64', which is gone"),
    "number used again": (RECORD, [("string filter = 20;", "string expression = 20;")],
        "its number is now 'wirebus.v1.PacketRecord.expression"),
    "presence": (BATCH, [("uint32 status = 10;", "optional uint32 status = 10;")], "status = 10: optional uint32"),
    "into a oneof": (BATCH, [("bytes vnet_header = 9;", "oneof offload { bytes vnet_header = 9; }")],
        "bytes in oneof offload"),
    "other name in JSON": (RECORD, [("uint64 speed_bps = 21;", 'uint64 speed_bps = 21 [json_name = "speed"];')],
        'JSON name "speed"'),
    "an option of a field": (BATCH, [("uint64 read = 3;", "uint64 read = 3 [jstype = JS_STRING];")],
        "options jstype: JS_STRING"),
    "message renamed": (BATCH, [("message Counters", "message Ledger"), ("  Counters counters", "  Ledger counters")],
        "'message wirebus.v1.Counters in wirebus/v1/packet_batch.proto', which is gone"),
    "message nested": (BATCH, [("message Interface {", "message Outer { message Interface {"),
        ("// Packets, cumulative", "}\n// Packets, cumulative"),
        ("repeated Interface", "repeated Outer.Interface")], "'message wirebus.v1.Interface"),
    "not the first message": (RECORD, [("message PacketRecord", "message Before {}\nmessage PacketRecord")],
        "first message PacketRecord"),
    "package": (RECORD, [("package wirebus.v1;", "package wirebus.v2;")], "package wirebus.v1"),
    "Java package": (BATCH, [('java_package = "org.wirebus.v1"', 'java_package = "com.wirebus.v1"')],
        "java_package = org.wirebus.v1"),
    "no Java files": (BATCH, [("option java_multiple_files = true;", "")], "java_multiple_files = True"),
    "Go package": (RECORD, [('go_package = "wirebus/v1;wirebusv1"', 'go_package = "wirebus/v1"')],
        "go_package = wirebus/v1;wirebusv1"),
    "an enum": (BATCH, [("message Counters", "enum Kind { NONE = 0; }\nmessage Counters")], "has an enum"),
    "a nested enum": (BATCH, [("message Counters {", "message Counters {\n  enum Kind { NONE = 0; }")], "has an enum"),
    "an import": (BATCH, [("package wirebus.v1;", 'package wirebus.v1;\nimport "wirebus/v1/packet_record.proto";')],
        "imports wirebus/v1"),
}
ADDITIONS = {
    "nothing": (BATCH, [("package wirebus.v1;", "package wirebus.v1;")]),
    "a field": (BATCH, [("string node = 6;", "string node = 6;\n  string rack = 99;")]),
    "a field at the end": (RECORD, [
        ("uint32 flow_bucket_plus_one = 24;", "uint32 flow_bucket_plus_one = 24;\n  repeated string labels = 99;")]),
    "a field that may be absent": (RECORD, [
        ("uint32 flow_bucket_plus_one = 24;", "uint32 flow_bucket_plus_one = 24;\n  optional uint32 queue = 99;")]),
    "a message": (BATCH, [("message Counters {", "message Location { string site = 1; }\n\nmessage Counters {")]),
    "other order": (BATCH, [("  uint32 worker_id = 2;\n", ""),
        ("  bytes session_id = 1;\n", "  uint32 worker_id = 2;\n  bytes session_id = 1;\n")]),
    "a comment": (RECORD, [("string node = 6;", "string node = 6;  // where")]),
    "deprecated": (RECORD, [("uint64 speed_bps = 21;", "uint64 speed_bps = 21 [deprecated = true];")]),
    "reserved numbers": (BATCH, [("string node = 6;", "string node = 6;\n  reserved 98;")]),
    "options for another language": (BATCH, [
        ("package wirebus.v1;", 'package wirebus.v1;\noption csharp_namespace = "Wirebus.V1";')]),
}


def load_gate(path):
    spec = importlib.util.spec_from_file_location("schema_gate", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def edited(proto, folder, name, edits):
    """A copy of the schema in which one file was edited."""
    shutil.copytree(proto / "wirebus", folder / "wirebus")
    path = folder / "wirebus" / "v1" / name
    text = path.read_text(encoding="utf-8")
    for old, new in edits:
        assert old in text, f"{old!r} is not in {name}"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return folder


def faults_of(gate, proto, name, edits):
    with tempfile.TemporaryDirectory() as folder:
        files = gate.compiled(edited(proto, pathlib.Path(folder), name, edits))
    return [*gate.broken(files, sorted((proto / "released").glob("*.txt"))), *gate.against_the_rules(files)]


def check_edits(gate, proto):
    for title, (name, edits, said) in BREAKS.items():
        faults = faults_of(gate, proto, name, edits)
        assert any(said in fault for fault in faults), f"{title}: {faults}"
    for title, (name, edits) in ADDITIONS.items():
        faults = faults_of(gate, proto, name, edits)
        assert not faults, f"{title}: {faults}"


def run(proto, *arguments, code=0):
    done = subprocess.run([proto / "schema_gate.py", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}, wanted {code}: {done.stderr}"
    return done.stdout + done.stderr


def check_files(proto, folder):
    """Files that are gone, renamed or no schema at all."""
    schema = folder / "schema"
    shutil.copytree(proto / "wirebus", schema / "wirebus")
    one = ["--schema", str(schema), "--released", str(proto / "released")]
    record = schema / "wirebus" / "v1" / RECORD
    assert "compatible with" in run(proto, *one)
    record.rename(record.with_name("record.proto"))
    assert f"file wirebus/v1/{RECORD}: proto3" in run(proto, *one, code=1)
    record.with_name("record.proto").unlink()
    assert "PacketRecord.data = 12: bytes', which is gone" in run(proto, *one, code=1)
    record.write_text("syntax = \"proto3\"; message {", encoding="utf-8")
    assert "protoc refuses" in run(proto, *one, code=1)
    assert "no list of a release" in run(proto, "--schema", str(proto), "--released", str(folder), code=1)
    assert "no .proto file" in run(proto, "--schema", str(folder / "nothing"), code=1)


def check_releases(proto, folder):
    """Every release counts, not just the first or the last; a release is written once, and not when something is broken."""
    schema, released = folder / "next", folder / "released"
    shutil.copytree(proto / "released", released)
    path = edited(proto, schema, *ADDITIONS["a field"]) / "wirebus" / "v1" / BATCH
    both = ["--schema", str(schema), "--released", str(released)]
    run(proto, *both, "--release", "9.0.0")
    assert "wirebus.v1.PacketBatch.rack = 99: string" in (released / "9.0.0.txt").read_text(encoding="utf-8").splitlines()
    assert "9.0.0" in run(proto, *both)
    assert "exists" in run(proto, *both, "--release", "9.0.0", code=1)
    path.write_text(path.read_text(encoding="utf-8").replace("string rack = 99;", "string place = 99;"), encoding="utf-8")
    said = run(proto, *both, "--release", "9.1.0", code=1)
    assert "9.0.0 has 'wirebus.v1.PacketBatch.rack = 99: string'" in said and not (released / "9.1.0.txt").exists(), said


def main():
    proto = pathlib.Path(sys.argv[1]).resolve()
    sys.dont_write_bytecode = True
    check_edits(load_gate(proto / "schema_gate.py"), proto)
    with tempfile.TemporaryDirectory() as folder:
        check_files(proto, pathlib.Path(folder))
        check_releases(proto, pathlib.Path(folder))
    print(f"{len(BREAKS)} edits that break are stopped, {len(ADDITIONS)} additions pass")


if __name__ == "__main__":
    main()
