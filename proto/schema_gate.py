#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Keep the schema compatible with every release: what was published once stays readable for ever.

    schema_gate.py                     compare proto/wirebus with each list in proto/released; exit 1 when something broke
    schema_gate.py --release VERSION   the same, then write down the present schema as proto/released/VERSION.txt

A list has one line for each thing that others rely on: names, numbers and types of fields, packages, options of generated
code. Each line of each release has to be true still. What is new may be added; the rules at the end of this file hold for it
too. Needs protoc and Python's protobuf package.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pb2

HERE = pathlib.Path(__file__).resolve().parent
FIELD = descriptor_pb2.FieldDescriptorProto
FIELD_LINE = re.compile(r"(?P<name>\S+) = (?P<number>\d+): (?P<type>.*)")


def compiled(schema):
    """The FileDescriptorProtos of a folder's wirebus/**/*.proto."""
    files = sorted(str(path.relative_to(schema)) for path in schema.glob("wirebus/**/*.proto"))
    if not files:
        sys.exit(f"schema_gate.py: no .proto file in {schema}/wirebus")
    with tempfile.NamedTemporaryFile() as out:
        protoc = ["protoc", f"--proto_path={schema}", f"--descriptor_set_out={out.name}", *files]
        if subprocess.run(protoc, check=False).returncode:
            sys.exit("schema_gate.py: protoc refuses the schema")
        return descriptor_pb2.FileDescriptorSet.FromString(out.read()).file


def default_json_name(name):
    first, *others = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in others)


def type_of(field, message):
    kind = field.type_name[1:] or FIELD.Type.Name(field.type)[len("TYPE_"):].lower()
    if field.label == FIELD.LABEL_REPEATED:
        kind = f"repeated {kind}"
    if field.proto3_optional:
        kind = f"optional {kind}"
    elif field.HasField("oneof_index"):
        kind += f" in oneof {message.oneof_decl[field.oneof_index].name}"
    if field.json_name not in ("", default_json_name(field.name)):
        kind += f', JSON name "{field.json_name}"'
    options = descriptor_pb2.FieldOptions.FromString(field.options.SerializeToString())
    options.ClearField("deprecated")  # a hint to new code, which breaks nobody
    if options.ListFields():
        kind += f", options {options}".rstrip()
    return kind.replace("\n", " ")


def message_lines(file, message, name):
    yield f"message {name} in {file.name}"
    for field in sorted(message.field, key=lambda field: field.number):
        yield f"{name}.{field.name} = {field.number}: {type_of(field, message)}"
    for nested in message.nested_type:
        yield from message_lines(file, nested, f"{name}.{nested.name}")


def lines_of(files):
    for file in files:
        first = file.message_type[0].name if file.message_type else "none"
        yield f"file {file.name}: {file.syntax or 'proto2'}, package {file.package}, first message {first}"
        for option, value in file.options.ListFields():
            yield f"file {file.name}: option {option.name} = {value}"
        for message in file.message_type:
            yield from message_lines(file, message, f"{file.package}.{message.name}")


def what_became_of(line, present):
    """Why a line of a release is not true any more, for a person."""
    was = FIELD_LINE.fullmatch(line)
    fields = [found for found in map(FIELD_LINE.fullmatch, present) if found]
    same_name = [found for found in fields if was and found["name"] == was["name"]]
    message = was and was["name"].rpartition(".")[0]
    same_number = [found for found in fields if was and found["number"] == was["number"]
                   and found["name"].rpartition(".")[0] == message]
    if same_name:
        return f"is now '{same_name[0][0]}'"
    if same_number:
        return f"its number is now '{same_number[0][0]}'"
    return "is gone"


def broken(files, released):
    """What the present schema breaks of the releases."""
    present = list(lines_of(files))
    known = set(present)
    for path in released:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#") and line not in known:
                yield f"{path.stem} has '{line}', which {what_became_of(line, present)}"


def has_enum(message):
    return bool(message.enum_type) or any(map(has_enum, message.nested_type))


def against_the_rules(files):
    """What no consumer's parser complains about, and which makes trouble for some of them all the same."""
    for file in files:
        if file.dependency:
            yield f"{file.name} imports {file.dependency[0]}: users copy one file"
        if file.enum_type or any(map(has_enum, file.message_type)):
            yield f"{file.name} has an enum: consumers with fixed columns fail on an unknown value; use a number"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--schema", type=pathlib.Path, default=HERE, help="folder with wirebus/")
    parser.add_argument("--released", type=pathlib.Path, default=HERE / "released", help="folder with the lists")
    parser.add_argument("--release", metavar="VERSION", help="write down the present schema as that release")
    args = parser.parse_args()

    files = compiled(args.schema)
    released = sorted(args.released.glob("*.txt"))
    if not released and not args.release:
        sys.exit(f"schema_gate.py: no list of a release in {args.released}")
    faults = [*broken(files, released), *against_the_rules(files)]
    for fault in faults:
        print(f"schema_gate.py: {fault}", file=sys.stderr)
    if faults:
        sys.exit(1)
    if args.release:
        path = args.released / f"{args.release}.txt"
        if path.exists():
            sys.exit(f"schema_gate.py: {path} exists, and what is released stays as it is")
        path.write_text("".join(f"{line}\n" for line in lines_of(files)), encoding="utf-8")
    print(f"compatible with {', '.join(path.stem for path in released) or 'nothing yet'}")


if __name__ == "__main__":
    main()
