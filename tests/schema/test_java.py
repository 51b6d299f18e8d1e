#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Java reads the golden vectors, with generated classes and with the descriptor set of `wirebus schema descriptor`.

usage: test_java.py WIREBUS ROOT
"""
import base64
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

JAR = "/usr/share/java/protobuf.jar"  # Debian's libprotobuf-java
SKIPPED = 77


def facts(path):
    wanted = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    packets = wanted.get("packets", []) if path.name.startswith("batch_") else [wanted]
    return " ".join([wanted["batch_seq"], wanted["node"], str(len(packets)),
                     str(sum(len(base64.b64decode(packet.get("data", ""))) for packet in packets))])


def main():
    wirebus, root = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    if not os.path.exists(JAR) or not shutil.which("javac"):
        print(f"skipped: no javac, or no {JAR}")
        sys.exit(SKIPPED)
    vectors = sorted((root / "tests" / "golden").glob("*.bin"))
    with tempfile.TemporaryDirectory() as folder:
        schema = sorted((root / "proto" / "wirebus" / "v1").glob("*.proto"))
        subprocess.run(["protoc", f"-I{root / 'proto'}", f"--java_out={folder}", *schema], check=True)
        sources = [str(path) for path in pathlib.Path(folder).rglob("*.java")]
        # One file for each message, in the package that the options name.
        expected = {"PacketBatch", "Packet", "Interface", "Counters", "PacketRecord"}
        assert expected <= {pathlib.Path(source).stem for source in sources}, sources
        assert all("/org/wirebus/v1/" in source for source in sources), sources
        subprocess.run([wirebus, "schema", "descriptor", "-w", f"{folder}/wirebus.desc"], check=True)
        source = root / "tests" / "schema" / "java" / "ReadMessages.java"
        subprocess.run(["javac", "-J-XX:TieredStopAtLevel=1", "-encoding", "UTF-8", "-cp", JAR, "-d", folder, source,
                        *sources], check=True)
        said = subprocess.run(["java", "-Dfile.encoding=UTF-8", "-cp", f"{JAR}:{folder}", "ReadMessages",
                               f"{folder}/wirebus.desc", *vectors],
                              check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8").stdout.splitlines()
    assert said == [facts(vector) for vector in vectors], said
    print(f"{len(vectors)} vectors read by generated classes and by the descriptor set")


if __name__ == "__main__":
    main()
