#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tpacket(3) and the public headers say the same: every function with its prototype, every member and constant, nothing
that does not exist, the defaults, the errors of each function; and the page is well-formed.

usage: man_page.py ROOT DEFAULTS [PAGE]      DEFAULTS: the program that prints them, man_defaults.c
Exit code: 0; 1: something is wrong; 77: neither groff nor mandoc is installed, and nothing else is wrong.
"""
import errno
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(sys.argv[1])
DEFAULTS = sys.argv[2]
PAGE = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else ROOT / "capture" / "tpacket.3"
FONT = re.compile(r"\\f[BIRP]")
ERROR = re.compile(r"-(E[A-Z0-9]{3,})\b")
# Whose errors the page does not name in the function's paragraph, but in one of several functions.
READERS = {"tpacket_acquire", "tpacket_read", "tpacket_read_copy", "tpacket_read_into"}
AS_ANOTHER = {"tpacket_tx_open": "tpacket_open"}
PAGES_OF_OTHERS = {"tpacket"}
problems = []


def problem(text):
    problems.append(text)
    print(f"FAILED {text}")


def expect(number, least, what):
    """That the script finds what it looks for: a parser that finds nothing would agree with everything."""
    if number < least:
        problem(f"only {number} {what} were found in the headers, fewer than {least}")


def squeeze(text):
    return re.sub(r"\s*([(),;*])\s*", r"\1", re.sub(r"\s+", " ", text)).strip()


class Headers:
    def __init__(self):
        folder = ROOT / "capture" / "include"
        self.source = "".join((folder / name).read_text() for name in ("tpacket.h", "tpacket_tx.h"))
        text = re.sub(r"/\*.*?\*/", "", self.source, flags=re.S)
        self.constants = set(re.findall(r"^#define (TPACKET_\w+) ", text, re.M))
        self.values = {name: int(value) for name, value in re.findall(r"\b(TPACKET_\w+) = (-?\d+)", text)}
        text = re.sub(r"^#.*$", "", text, flags=re.M)
        self.members = {}
        for kind, name, body in re.findall(r"\b(struct|enum) (\w+) \{(.*?)\n\};", text, re.S):
            if kind == "enum":
                self.constants |= set(re.findall(r"\b(TPACKET_\w+)", body))
            else:
                self.members[name] = [re.search(r"(\w+)(\[\w+\])?$", part.strip())[1]
                                      for part in body.split(";") if part.strip()]
        self.errors = self.find_errors()
        self.tags = set(re.findall(r"\b(?:struct|enum) (tpacket_\w+)", text))
        outside = re.sub(r"\b(?:struct|enum) \w+ \{.*?\n\};", "", text, flags=re.S)
        self.prototypes = {re.search(r"(tpacket_\w+)\(", one)[1]: squeeze(one + ";")
                           for one in outside.split(";") if re.search(r"\btpacket_\w+\(", one)}


    def find_errors(self):
        """By function: of the comment right in front of its prototype, or behind it."""
        found = {}
        blocks = re.findall(r"/\*((?:(?!\*/).)*)\*/\n((?:[a-z][^;{}]*\btpacket_\w+\([^;{}]*\);[^\n]*\n)+)", self.source, re.S)
        for before, prototypes in blocks:
            for name, behind in re.findall(r"\b(tpacket_\w+)\([^;]*\);([^\n]*)", prototypes):
                found[name] = set(ERROR.findall(behind or before))
        return found


class Page:
    def __init__(self):
        self.source = PAGE.read_text()
        self.sections = {}
        for part in re.split(r"^\.SH ", self.source, flags=re.M)[1:]:
            title, _, body = part.partition("\n")
            self.sections[title] = body
        self.text = FONT.sub("", self.source).replace("\\-", "-")

    def prototypes(self):
        """Of the synopsis, with the fonts taken away: `.BI "int f(int " x );` means `int f(int x);`."""
        joined = ""
        for line in self.sections["SYNOPSIS"].splitlines():
            if line.startswith(".BI "):
                joined += "".join(a or b for a, b in re.findall(r'"([^"]*)"|(\S+)', line[4:])) + " "
        return {re.search(r"(tpacket_\w+)\(", one)[1]: squeeze(one + ";")
                for one in joined.split(";") if "(" in one}

    def errors(self):
        """By function: of the paragraph that it has."""
        found = {}
        for tag, text in re.findall(r"^\.TP\n(\.BR tpacket_[^\n]*)\n(.*?)(?=^\.(?:TP|PP|SS|SH))", self.source, re.M | re.S):
            for name in re.findall(r"tpacket_\w+", tag):
                found[name] = set(ERROR.findall(FONT.sub("", text).replace("\\-", "-")))
        return found

    def described(self):
        """The words of the tags of lists: what has a paragraph of its own."""
        tags = re.findall(r"^\.TP\n(.*)$", self.source, re.M)
        return {word for tag in tags for word in re.findall(r"\w+", FONT.sub("", tag))}


def check_names(headers, page):
    described = page.described()
    prototypes = page.prototypes()
    for name, prototype in headers.prototypes.items():
        if prototypes.get(name) != prototype:
            problem(f"prototype of {name}: the header has '{prototype}', the synopsis '{prototypes.get(name)}'")
        if name not in described:
            problem(f"function {name} has no paragraph")
    for name in prototypes.keys() - headers.prototypes.keys():
        problem(f"the synopsis has {name}, the headers have not")
    for name in headers.constants:
        if not re.search(rf"\b{name}\b", page.text):
            problem(f"constant {name} is not named")
    known = headers.prototypes.keys() | headers.tags | PAGES_OF_OTHERS
    for name in sorted(set(re.findall(r"\btpacket_\w+", page.text)) - known - {"tpacket_tx"}):
        if f"{name}.h" not in page.text:
            problem(f"the page names {name}, which does not exist")
    for name in sorted(set(re.findall(r"\bTPACKET_\w+[A-Z0-9]\b", page.text)) - headers.constants):
        problem(f"the page names {name}, which does not exist")


def check_members(headers, page):
    """Every option and counter has a paragraph where the structure is described; other members are at least named."""
    places = {"tpacket_options": "OPTIONS", "tpacket_counters": "STATISTICS", "tpacket_tx_options": "TRANSMITTING",
              "tpacket_tx_counters": "TRANSMITTING"}
    for name, members in headers.members.items():
        for member in members:
            section = page.sections.get(places.get(name), page.source)
            words = FONT.sub(" ", "\n".join(re.findall(r"^\.TP\n(.*)$", section, re.M))
                             if name in places else page.source)
            if not re.search(rf"\b{member}\b", words):
                problem(f"member {member} of struct {name} is not described")
        if name in places:
            section = page.sections[places[name]]
            names = set(headers.members[name])
            tags = set(re.findall(r"^\.TP\n\.IR? (\w+)", section, re.M))
            if places[name] != "TRANSMITTING":
                for tag in sorted(tags - names):
                    problem(f"{places[name]} describes {tag}, which is no member of struct {name}")


def value_of(text, headers):
    words = {"NULL": 0, "false": 0, "true": 1, **headers.values}
    return words[text] if text in words else int(text.replace("\\-", "-").replace(",", ""), 0)


def page_defaults(section, headers):
    """Of tags like `.IR filter ", " filter_length " (default NULL, 0)"`; one value may stand for several names."""
    found = {}
    for tag in re.findall(r"^\.TP\n\.IR (.*\(default .*)$", section, re.M):
        tag = tag.replace('"', "")
        names, values = re.fullmatch(r"(.*?)\(default (.*?) ?\)", tag).groups()
        names, values = re.findall(r"\w+", names), re.split(r", +", values.strip())
        for i, name in enumerate(names):
            found[name] = value_of(values[i] if len(names) == len(values) else values[0], headers)
    return found


def check_defaults(headers, page):
    """Every option has its default in the page, and it is what the library sets."""
    said = {"tpacket_options": page_defaults(page.sections["OPTIONS"], headers),
            "tpacket_tx_options": page_defaults(page.sections["TRANSMITTING"], headers)}
    printed = subprocess.run([DEFAULTS], capture_output=True, text=True, timeout=60, check=True).stdout
    real = {name: {} for name in said}
    for line in printed.splitlines():
        struct, member, value = line.split()
        real[struct][member] = int(value)
    for struct, defaults in real.items():
        if sorted(defaults) != sorted(headers.members[struct]):
            problem(f"man_defaults.c does not print the members of struct {struct}")
        for member, value in defaults.items():
            if said[struct].get(member) != value:
                problem(f"default of {struct}.{member}: the library has {value}, the page {said[struct].get(member)}")


def check_errors(headers, page):
    for name in sorted(set(ERROR.findall(page.text))):
        if not hasattr(errno, name):
            problem(f"{name} is no error number")
    expect(sum(len(errors) for errors in headers.errors.values()), 60, "errors of functions")
    said = page.errors()
    reading = set(ERROR.findall(FONT.sub("", page.sections["READING"]).replace("\\-", "-")))
    for name in sorted(READERS):
        for error in sorted(headers.errors.get(name, set()) - reading):
            problem(f"{name}: the header has -{error}, READING has not")
    for name, errors in headers.errors.items():
        if name in READERS:
            continue
        paragraph = said.get(AS_ANOTHER.get(name, name), set())
        if name in AS_ANOTHER:
            paragraph = paragraph & errors
        if paragraph != errors:
            problem(f"errors of {name}: the header has {sorted(errors)}, the page {sorted(paragraph)}")


def check_form():
    """No warning of the formatters. Returns how many of them there are."""
    tools = {"groff": ["groff", "-ww", "-Tutf8", "-mandoc", str(PAGE)],
             "mandoc": ["mandoc", "-T", "lint", "-W", "warning", str(PAGE)]}
    count = 0
    for name, command in tools.items():
        if not shutil.which(name):
            continue
        count += 1
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        said = done.stderr if name == "groff" else done.stdout + done.stderr
        if said or done.returncode:
            problem(f"{name}: exit code {done.returncode}: {said}")
    return count


def main():
    headers, page = Headers(), Page()
    expect(len(headers.prototypes), 45, "functions")
    expect(len(headers.constants), 39, "constants")
    expect(sum(len(members) for members in headers.members.values()), 99, "members")
    check_names(headers, page)
    check_members(headers, page)
    check_defaults(headers, page)
    check_errors(headers, page)
    count = check_form()
    if problems:
        sys.exit(1)
    if not count:
        print("SKIP: neither groff nor mandoc is installed")
        sys.exit(77)
    print(f"{len(headers.prototypes)} functions, {len(headers.constants)} constants, checked with {count} formatters")


main()
