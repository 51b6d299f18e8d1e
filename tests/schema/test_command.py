#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`wirebus schema` gives out the schema as it is in the tree, and what it prints is enough to read messages.

usage: test_command.py WIREBUS ROOT
"""
import json
import os
import pathlib
import pty
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

WIREBUS, ROOT = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2])
FILES = ["packet_batch.proto", "packet_record.proto"]


def schema(*arguments, code=0, **options):
    options.setdefault("stdout", subprocess.PIPE)
    done = subprocess.run([WIREBUS, "schema", *arguments], stderr=subprocess.PIPE, timeout=60, check=False, **options)
    assert done.returncode == code, f"schema {arguments}: exit code {done.returncode}, wanted {code}: {done.stderr}"
    assert code == 0 or done.stderr, f"schema {arguments} says nothing"
    return done.stdout, done.stderr.decode()


def in_tree(name):
    return (ROOT / "proto" / "wirebus" / "v1" / name).read_bytes()


def test_print(folder):
    for name in FILES:
        assert schema("print", name)[0] == in_tree(name), name
        assert schema("print", name, "-w", f"{folder}/{name}")[0] == b""
        assert (folder / name).read_bytes() == in_tree(name), f"-w {name}"
    assert schema("print", FILES[0], "-w", "-")[0] == in_tree(FILES[0]), "-w -"
    both = schema("print")[0]
    assert both == b"\n".join(f"// file: {name}\n".encode() + in_tree(name) for name in FILES), both[:200]
    # What was written is enough for protoc, one file at a time.
    for name in FILES:
        subprocess.run(["protoc", f"-I{folder}", "--descriptor_set_out=/dev/null", name], cwd=folder, check=True)


def test_descriptor(folder):
    """A program that has nothing but the descriptor set reads messages: as Spark's from_protobuf does."""
    path = folder / "wirebus.desc"
    schema("descriptor", "-w", str(path))
    assert schema("descriptor")[0] == path.read_bytes()
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file:
        pool.Add(file)
    classes = {}
    for kind, name in (("batch", "wirebus.v1.PacketBatch"), ("record", "wirebus.v1.PacketRecord")):
        classes[kind] = message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(name))
    vectors = sorted((ROOT / "tests" / "golden").glob("*.bin"))
    assert len(vectors) >= 8, vectors
    for vector in vectors:
        message = classes[vector.name.split("_")[0]].FromString(vector.read_bytes())
        wanted = json.loads(vector.with_suffix(".json").read_text(encoding="utf-8"))
        assert json_format.MessageToDict(message, preserving_proto_field_name=True) == wanted, vector.name


def test_usage(folder):
    for arguments, said in (
            ((), "print or descriptor"), (("show",), "'show' is not known"), (("prin",), "'prin' is not known"),
            (("print", "packet.proto"), "'packet.proto' is not known"), (("print", "../packet_batch.proto"), "not known"),
            (("print", ""), "'' is not known"), (("print", *FILES), "one argument too many"),
            (("descriptor", FILES[0]), "descriptor takes no name"), (("print", "-x"), "-x"), (("print", "--wirte", "f"), "--wirte"),
            (("print", "-w"), "-w")):
        output, errors = schema(*arguments, code=2, cwd=folder)
        assert said in errors and not output, f"{arguments}: {errors}"
    assert b"Usage: wirebus schema" in schema("--help")[0]
    assert not list(folder.iterdir()), "usage errors leave files"


def test_terminal(_):
    """Binary data does not go to a terminal; text does."""
    ours, theirs = pty.openpty()
    assert "binary" in schema("descriptor", code=2, stdout=theirs)[1]
    schema("print", "--help", stdout=theirs)
    assert b"wirebus schema" in os.read(ours, 4096)
    os.close(theirs)
    os.close(ours)


def test_write_errors(folder):
    for what in ("print", "descriptor"):
        missing = f"{folder}/missing/file"
        assert missing in schema(what, "-w", missing, code=1)[1]
        assert "/dev/full" in schema(what, "-w", "/dev/full", code=1)[1]
        with open("/dev/full", "wb") as full:
            assert "standard output" in schema(what, code=1, stdout=full)[1]


def main():
    tests = {name: value for name, value in globals().items() if name.startswith("test_")}
    for name, test in tests.items():
        with tempfile.TemporaryDirectory() as folder:
            test(pathlib.Path(folder))
    print(f"{len(tests)} tests passed")


if __name__ == "__main__":
    main()
