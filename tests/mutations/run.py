#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Put known defects of other ring readers into libtpacket, one at a time, and demand that a test notices each.

    sudo tests/mutations/run.py [--only 05,09-tpid] [--one-each] [--build FOLDER] [--keep] [--list]

Each .edit file beside this one puts one back; there is at least one for each of the numbered defects:

    # what it is, one line or more
    fails: PROGRAM TEST              cmocka's name of the test, may have * in it; a line for each test that must fail
    build: thread                    with this sanitizer; without the line: none
    file: capture/vlan.c
    <<<
    text that stands exactly once in the file
    ===
    what is to stand there instead
    >>>

The sources are copied to a temporary folder. There the tests have to pass as they are; then each defect is put in, the
programs are built again, and each test that it names has to fail (a crash and a hang are failures, too). Tests in network
namespaces need root. The last line says "N passed, N failed". Exit code 77: nothing could be run. With CI=true what is
skipped has failed: there everything is there that the tests need.
"""
import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SECONDS = 60  # for a test on the unchanged sources
HANG_SECONDS, HANG_TIMES = 10, 5  # with a defect: so long, and so many times what it took without
SKIPPED = 77
DEFECTS = 19  # numbered; the names of the files begin with the number
# cmocka runs everything unless the program says otherwise; this says it for programs that do not.
FILTER = """#include <stdlib.h>
void cmocka_set_test_filter(const char *pattern);
__attribute__((constructor)) static void set(void) { cmocka_set_test_filter(getenv("MUTATION_TEST")); }
"""
HUNK = re.compile(r"file: (\S+)\n<<<\n(.*?)\n===\n(.*?)\n?>>>(?:\n|$)", re.DOTALL)


class Broken(Exception):
    """The tool, not the library: a text that is not found, a build that fails."""


class Edit:
    def __init__(self, path):
        self.name = path.stem
        text = path.read_text()
        head = text.split("file: ", 1)[0]
        self.tests = [tuple(line.split(maxsplit=1)) for line in re.findall(r"^fails: (.+)$", head, re.MULTILINE)]
        self.build = "".join(re.findall(r"^build: (\S+)$", head, re.MULTILINE))
        self.what = " ".join(line[1:].strip() for line in head.splitlines() if line.startswith("#"))
        self.hunks = HUNK.findall(text)
        if not self.tests or not self.what or not self.hunks or len(self.hunks) != text.count("\n<<<\n"):
            raise Broken(f"{path.name}: is not written as run.py says")

    def check(self, tree):
        for path, old, _ in self.hunks:
            found = (tree / path).read_text().count(old)
            if found != 1:
                raise Broken(f"{self.name}: stands {found} times in {path}, not once: {old!r}")

    def apply(self, tree):
        """Returns the files as they were."""
        before = {}
        self.check(tree)
        for path, old, new in self.hunks:
            file = tree / path
            text = file.read_text()
            before.setdefault(file, text)
            file.write_text(text.replace(old, new))
        return before


def command(*words, **options):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **options)
    if done.returncode:
        raise Broken(f"{' '.join(map(str, words[:4]))}: exit code {done.returncode}\n{done.stdout[-3000:]}")


class Tree:
    """The copied sources and their build folders."""

    def __init__(self, folder, edits):
        self.source = folder / "source"
        self.folder = folder
        self.targets = {kind: sorted({program for edit in edits if edit.build == kind for program, _ in edit.tests})
                        for kind in {edit.build for edit in edits}}
        leave_out = shutil.ignore_patterns(".git", "build", "__pycache__", "node_modules")
        shutil.copytree(ROOT, self.source, ignore=leave_out, symlinks=True, copy_function=shutil.copy)  # new, not as old as ROOT
        (folder / "filter.c").write_text(FILTER)
        self.filter = folder / "filter.so"
        command("cc", "-shared", "-fPIC", "-o", self.filter, folder / "filter.c", "-lcmocka")

    def configure(self):
        launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        for kind in self.targets:
            command("cmake", "-S", self.source, "-B", self.folder / f"build-{kind}", "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
                    "-DCMAKE_C_FLAGS_DEBUG=-O1 -g", f"-DWIREBUS_SANITIZE={kind}", "-DWIREBUS_WERROR=OFF", *launcher)

    def build(self, kind, programs=None):
        command("ninja", "-C", self.folder / f"build-{kind}", *(programs or self.targets[kind]))

    def program(self, kind, name):
        folder = self.folder / f"build-{kind}" / "tests"
        found = [path for path in folder.rglob(name) if path.is_file() and os.access(path, os.X_OK)]
        if len(found) != 1:
            raise Broken(f"there is not one program {name}, but {len(found)}")
        return found[0]

    def run(self, kind, name, test, seconds=SECONDS):
        """What became of the test: "passed", "skipped", "failed", "crashed", "hung"; and the output."""
        calm = ["setarch", "-R"] if kind == "thread" else []
        environment = dict(os.environ, MUTATION_TEST=test, LD_PRELOAD=str(self.filter))
        process = subprocess.Popen([*calm, str(self.program(kind, name))], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, errors="replace", env=environment, start_new_session=True)
        try:
            out = process.communicate(timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own group: the program and what it has started
            return "hung", process.communicate()[0]
        if process.returncode == SKIPPED or "[  SKIPPED ]" in out:
            return "skipped", out
        if process.returncode:
            return "crashed" if process.returncode < 0 else "failed", out
        return ("passed" if "[       OK ]" in out else "not there"), out


def passes_unchanged(tree, edits):
    """Each test has to pass before it can say anything. Results by test, and how long to wait for each from now on."""
    results, patience = {}, {}
    for edit in edits:
        for program, test in edit.tests:
            key = (edit.build, program, test)
            if key in results:
                continue
            began = time.monotonic()
            results[key], out = tree.run(*key)
            patience[key] = max(HANG_SECONDS, HANG_TIMES * (time.monotonic() - began))
            if results[key] != "passed":
                print(f"unchanged sources: {program} {test}: {results[key]}\n{out[-2000:]}", flush=True)
    return results, patience


def judge(tree, edit, unchanged, patience):
    """One line of the table: whether every test noticed, and how."""
    results = [unchanged[edit.build, program, test] for program, test in edit.tests]
    if "skipped" in results:
        return "skipped", "a test cannot run here"
    if results.count("passed") != len(results):
        return "FAILED", "a test does not pass on the unchanged sources"
    before = edit.apply(tree.source)
    try:
        tree.build(edit.build, sorted({program for program, _ in edit.tests}))
        results = []
        for program, test in edit.tests:
            key = (edit.build, program, test)
            results.append((test, tree.run(*key, patience[key])[0]))
    finally:
        for file, text in before.items():
            file.write_text(text)
    noticed = all(result in ("failed", "crashed", "hung") for _, result in results)
    return "ok" if noticed else "FAILED", ", ".join(f"{test} {result}" for test, result in results)


def select(only, one_each):
    edits = [Edit(path) for path in sorted(HERE.glob("*.edit"))]
    by_defect = {}
    for edit in edits:
        edit.check(ROOT)
        by_defect.setdefault(int(edit.name.split("-")[0]), []).append(edit)
    missing = set(range(1, DEFECTS + 1)) - set(by_defect)
    if missing:
        raise Broken(f"no .edit file for the defects {sorted(missing)}")
    if one_each:
        edits = [of_one[0] for _, of_one in sorted(by_defect.items())]
    if only:
        edits = [edit for edit in edits if edit.name.startswith(tuple(only.split(",")))]
    if not edits:
        raise Broken("there is no such .edit file")
    return edits


def run(folder, edits):
    count = {"ok": 0, "FAILED": 0, "skipped": 0}
    began = time.monotonic()
    tree = Tree(folder, edits)
    tree.configure()
    for kind in tree.targets:
        tree.build(kind)
    unchanged, patience = passes_unchanged(tree, edits)
    print(f"unchanged sources: {list(unchanged.values()).count('passed')} of {len(unchanged)} tests pass, "
          f"{time.monotonic() - began:.0f} s", flush=True)
    for edit in edits:
        try:
            result, how = judge(tree, edit, unchanged, patience)
        except Broken as problem:
            result, how = "FAILED", str(problem)
        count[result] += 1
        print(f"{result:7} {edit.name:34} {how}", flush=True)
        if result == "FAILED":
            print(f"        {edit.what}", flush=True)
    if os.environ.get("CI") == "true" and count["skipped"]:
        print(f"CI=true: {count['skipped']} skipped count as failed")
        count["FAILED"] += count["skipped"]
        count["skipped"] = 0
    skipped = f", {count['skipped']} skipped" if count["skipped"] else ""
    print(f"{time.monotonic() - began:.0f} s\n{count['ok']} passed, {count['FAILED']} failed{skipped}")
    if count["FAILED"]:
        return 1
    return 0 if count["ok"] else SKIPPED


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="beginnings of names, with commas")
    parser.add_argument("--one-each", action="store_true", help="the first of each defect, unless WIREBUS_TEST_FULL=1")
    parser.add_argument("--build", type=pathlib.Path, help="folder for the copy; default: a temporary one")
    parser.add_argument("--keep", action="store_true", help="leave the temporary folder there")
    parser.add_argument("--list", action="store_true", help="only say what there is")
    args = parser.parse_args()
    try:
        edits = select(args.only, args.one_each and os.environ.get("WIREBUS_TEST_FULL") != "1")
        if args.list:
            for edit in edits:
                print(f"{edit.name:34} {edit.what}")
            return 0
        folder = args.build or pathlib.Path(tempfile.mkdtemp(prefix="wirebus-mutations-"))
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(folder / "source", ignore_errors=True)
        try:
            return run(folder, edits)
        finally:
            if not args.keep and not args.build:
                shutil.rmtree(folder, ignore_errors=True)
    except Broken as problem:
        print(f"run.py: {problem}\n0 passed, 1 failed")
        return 1


if __name__ == "__main__":
    sys.exit(main())
