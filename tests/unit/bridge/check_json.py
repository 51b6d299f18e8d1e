#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compare JSON lines with serialized PacketRecords: check_json.py DESCRIPTOR_SET RECORDS LINES

RECORDS holds each message behind its length (4 bytes, little-endian). The JSON mapping is protobuf's own.
"""
import json
import struct
import sys

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory


def load_class(path):
    with open(path, "rb") as file:
        files = descriptor_pb2.FileDescriptorSet.FromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    descriptor = pool.FindMessageTypeByName("wirebus.v1.PacketRecord")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)


def read_records(path, record_class):
    with open(path, "rb") as file:
        while head := file.read(4):
            yield record_class.FromString(file.read(struct.unpack("<I", head)[0]))


def main():
    record_class = load_class(sys.argv[1])
    records = list(read_records(sys.argv[2], record_class))
    with open(sys.argv[3], "rb") as file:
        lines = file.read().decode("utf-8").split("\n")
    assert lines.pop() == "", "the last line does not end"
    assert len(lines) == len(records), (len(lines), len(records))
    for number, (line, record) in enumerate(zip(lines, records)):
        parsed = json_format.Parse(line, record_class())
        assert parsed == record, f"record {number} differs:\n{parsed}\n{record}"
        theirs = json_format.MessageToDict(record, preserving_proto_field_name=True)
        # Not only equal in meaning: the very names, and the very kinds of values.
        assert json.loads(line) == theirs, f"record {number} is written otherwise:\n{line}\n{theirs}"
    print(len(records))


main()
