#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Decode every vector with Python's protobuf package, compare with its JSON, and serialize to the same bytes again.

usage: golden.py --schema FOLDER --vectors FOLDER [--descriptor-set FILE] [--write]

--write makes the .bin files from the .json files, for a new vector. Existing vectors never change: what was published
once has to be read for ever.
"""
import argparse
import importlib
import json
import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2, json_format

FILES = ["wirebus/v1/packet_batch.proto", "wirebus/v1/packet_record.proto"]


def load_schema(schema):
    """Compile the .proto files as a user would, and import what comes out."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["protoc", f"--proto_path={schema}", f"--python_out={folder}", *FILES], check=True)
        sys.path.insert(0, folder)
        return [importlib.import_module(name[: -len(".proto")].replace("/", ".") + "_pb2") for name in FILES]


def check_vector(path, message_type):
    message = message_type()
    encoded = path.read_bytes()
    expected = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    message.ParseFromString(encoded)
    decoded = json_format.MessageToDict(message, preserving_proto_field_name=True)
    assert decoded == expected, f"{path.name}: decoded as {json.dumps(decoded, indent=2)}"
    assert message.SerializeToString(deterministic=True) == encoded, f"{path.name}: serialized to other bytes"
    assert not message.UnknownFields(), f"{path.name}: unknown fields"


def write_vector(path, message_type):
    message = json_format.Parse(path.read_text(encoding="utf-8"), message_type())
    path.with_suffix(".bin").write_bytes(message.SerializeToString(deterministic=True))


def check_descriptor_set(path, modules):
    """What is shipped for Spark and others describes the same messages."""
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file
    assert [file.name for file in files] == FILES, [file.name for file in files]
    for file, module in zip(files, modules):
        compiled = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(compiled)
        for each in (file, compiled):  # spelled out by protoc only
            for message in each.message_type:
                for field in message.field:
                    field.ClearField("json_name")
        assert file == compiled, f"{file.name}: not as compiled"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--schema", required=True)
    parser.add_argument("--vectors", required=True, type=pathlib.Path)
    parser.add_argument("--descriptor-set", type=pathlib.Path)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()

    batch, record = load_schema(arguments.schema)
    types = {"batch": batch.PacketBatch, "record": record.PacketRecord}
    if arguments.write:
        for path in arguments.vectors.glob("*.json"):
            write_vector(path, types[path.name.split("_")[0]])
    paths = sorted(arguments.vectors.glob("*.bin"))
    assert len(paths) >= 8, f"{len(paths)} vectors in {arguments.vectors}"
    assert {path.stem for path in paths} == {path.stem for path in arguments.vectors.glob("*.json")}
    for path in paths:
        check_vector(path, types[path.name.split("_")[0]])
    if arguments.descriptor_set:
        check_descriptor_set(arguments.descriptor_set, [batch, record])
    print(f"{len(paths)} vectors decode as expected and serialize to the same bytes")


if __name__ == "__main__":
    main()
