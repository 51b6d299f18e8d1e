# SPDX-License-Identifier: Apache-2.0
"""Wireshark as tests see it: tshark with our program among its own, the capture files that it writes, and what an extcap
program says to it, parsed strictly, as Wireshark drops without a word what it does not understand."""
import os
import pathlib
import re
import shutil
import struct
import subprocess

import wbtest
from wbtest import expect, expect_equal, wait_until

MARK = 14 + 20 + 8  # Ethernet, IPv4, UDP


class Shark:
    """tshark with a home of its own, in whose folder for extcap programs is ours."""

    def __init__(self, t, net=None):
        if not shutil.which("tshark"):
            raise wbtest.Skip("tshark is not installed")
        self.t, self.net = t, net
        self.home = t.folder / "home"
        self.program = self.home / ".config" / "wireshark" / "extcap" / "wirebus-extcap"
        self.program.parent.mkdir(parents=True)
        self.program.symlink_to(wbtest.WIREBUS)
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
        self.env.update(HOME=str(self.home), TMPDIR=str(t.folder))

    def named(self, text):
        """The user's file of interfaces, which nobody else may read."""
        path = self.home / ".config" / "wirebus" / "extcap.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o600)
        return path

    def ask(self, *arguments, code=0):
        """What the program itself says to Wireshark; nothing may be on standard error then."""
        done = subprocess.run([self.program, *map(str, arguments)], env=self.env, text=True, timeout=60, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        expect_equal(done.returncode, code, f"exit code of {arguments} ({done.stderr})")
        if code == 0:
            expect_equal(done.stderr, "", f"standard error of {arguments}")
        return done.stdout if code == 0 else done.stderr

    def command(self, *arguments):
        words = ["tshark", "-n", *map(str, arguments)]
        return self.net.command(*words) if self.net else words

    def capture(self, interface, *arguments, path=None, **options):
        """Start `tshark -i`. options: those of the interface."""
        words = ["-i", interface]
        for key, value in options.items():
            words += ["-o", f"extcap.{interface.replace('-', '_')}.{key.replace('_', '')}:{value}"]
        if path:
            words += ["-w", path]
        process = self.t.start("tshark", self.command(*words, *arguments), env=self.env)
        process.path = path
        return process

    def processes(self):
        """Those that Wireshark started of ours: lists of arguments by process id."""
        found = {}
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")[:-1]
            except OSError:
                continue
            if words and words[0].decode(errors="replace") == str(self.program):
                found[int(folder.name)] = [word.decode(errors="replace") for word in words]
        return found

    def wait_none_left(self):
        wait_until(lambda: not self.processes(), 30, "no process of the extcap is left")


def frames_of(path):
    """Bytes of each frame in a capture file."""
    raw = subprocess.run(["tcpdump", "-r", path, "-w", "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True).stdout
    frames, at = [], 24
    while at < len(raw):
        length, = struct.unpack_from("<I", raw, at + 8)
        frames.append(raw[at + 16:at + 16 + length])
        at += 16 + length
    return frames


def numbers_of(frames):
    """Of each frame of tests/clients/sender.c, its number."""
    return [struct.unpack_from(">Q", frame, MARK + 2)[0] for frame in frames]


def ended(tshark, code=0, seconds=90):
    expect_equal(tshark.wait(seconds), code, f"exit code of tshark ({tshark.err})")
    return tshark.err


# ---- what an extcap program says ----

SENTENCE = re.compile(r"(extcap|interface|dlt|arg|value) ((?:\{[a-z]+=[^{}\n]*\})+)")
ALLOWED = {
    "extcap": {"version", "display", "help"},
    "interface": {"value", "display"},
    "dlt": {"number", "name", "display"},
    "arg": {"number", "call", "display", "tooltip", "type", "default", "required", "placeholder", "group"},
    "value": {"arg", "value", "display", "default"},
}
NEEDED = {
    "extcap": {"version"},
    "interface": {"value", "display"},
    "dlt": {"number", "name", "display"},
    "arg": {"number", "call", "display", "type"},
    "value": {"arg", "value", "display"},
}
TYPES = {"string", "selector", "fileselect", "boolean", "booleanflag", "integer", "unsigned", "password", "timestamp"}


def sentences(text):
    """(kind, {key: value}) of each line; every line must be a sentence as extcap(4) and Wireshark's parser have it."""
    expect(text.endswith("\n"), f"the last line has no end: {text!r}")
    result = []
    for line in text[:-1].split("\n"):
        match = SENTENCE.fullmatch(line)
        expect(match, f"no sentence: {line!r}")
        kind = match.group(1)
        pairs = re.findall(r"\{([a-z]+)=([^{}]*)\}", match.group(2))
        values = dict(pairs)
        expect_equal(len(values), len(pairs), f"a key is there twice in {line!r}")
        expect(NEEDED[kind] <= values.keys() <= ALLOWED[kind], f"keys of {line!r}")
        result.append((kind, values))
    return result


def options_of(shark, interface):
    """The options that the dialog of an interface would have, by the name that the program is called with."""
    found, by_number = {}, {}
    for kind, values in sentences(shark.ask("--extcap-config", "--extcap-interface", interface)):
        if kind == "arg":
            expect_equal(int(values["number"]), len(by_number), f"number of {values}")
            expect(re.fullmatch(r"--[a-z]+(-[a-z]+)*", values["call"]), f"call of {values}")
            expect(values["call"] not in found, f"twice: {values}")
            expect(values["type"] in TYPES, f"type of {values}")
            expect(values["type"] != "password", f"{values}: Wireshark would put it on the command line")
            found[values["call"]] = by_number[values["number"]] = dict(values, choices=[])
        else:
            expect_equal(kind, "value", "kind of sentence")
            expect_equal(by_number[values["arg"]]["type"], "selector", f"type of the option of {values}")
            by_number[values["arg"]]["choices"].append(values["value"])
    for values in found.values():
        expect_equal(bool(values["choices"]), values["type"] == "selector", f"choices of {values}")
    return found
