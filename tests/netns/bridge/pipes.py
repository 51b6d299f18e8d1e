#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`wirebus cat` at the front of a pipe, live: tcpdump, tshark and head behind it see packets as they come; ^C ends all of
them in order, and when the one behind ends, cat does too, whether packets come or not."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess

from prelude import wbtest
from wbtest import CAPTURED_SIDE, expect, expect_equal, wait_until

PORT = 5563
PLAN = {"count": 200, "flows": 4, "sizes": 300, "seed": 5}


class Pipe:
    """A shell's pipeline in a process group of its own, as at a terminal."""

    def __init__(self, t, net, behind, *options):
        self.out_path, self.err_path, self.cat_path = t.path("pipe.out"), t.path("pipe.err"), t.path("cat.err")
        script = (f'"$0" cat --from zmq+sub://127.0.0.1:{PORT} --follow {" ".join(options)} 2>"{self.cat_path}" | {behind}; '
                  'echo "${PIPESTATUS[@]}"')
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            # The shell itself outlives ^C, to say how the others ended.
            self.popen = subprocess.Popen(net.command("bash", "-c", "trap : INT; " + script, wbtest.WIREBUS),
                                          stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)
        self.group = self.popen.pid
        t.cleanup(self.end)
        t.wait_subscribed(net, PORT)

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.group, signal.SIGKILL)
        self.popen.wait(10)

    @property
    def out(self):
        return pathlib.Path(self.out_path).read_text(errors="replace")

    @property
    def err(self):
        return pathlib.Path(self.err_path).read_text(errors="replace")

    @property
    def cat_err(self):
        return pathlib.Path(self.cat_path).read_text(errors="replace")

    def wait(self):
        """Exit codes of all in the pipeline."""
        try:
            self.popen.wait(60)
        except subprocess.TimeoutExpired:
            raise wbtest.Failure(f"the pipeline does not end; it said: {self.err[-500:]} {self.cat_err[-500:]}") from None
        return [int(word) for word in self.out.splitlines()[-1].split()]

    def interrupt(self):
        """^C."""
        os.killpg(self.group, signal.SIGINT)
        return self.wait()


def begin(t):
    net = t.net()
    return net, t.capture(net, f"zmq+pub://127.0.0.1:{PORT}", workers=1)


def lines_of(pipe):
    return [line for line in pipe.out.splitlines() if "length" in line or CAPTURED_SIDE in line]


def test_tcpdump(t):
    net, run = begin(t)
    pipe = Pipe(t, net, "tcpdump -n -l -r - udp src port 1025", "-o pcapng")
    for rounds in (1, 2):
        t.send(net, PLAN, rate=2000)
        wait_until(lambda: len(lines_of(pipe)) >= rounds * PLAN["count"] // 4, 60, "tcpdump shows the packets")
    expect_equal(len(lines_of(pipe)), 2 * PLAN["count"] // 4, "lines of tcpdump")
    # tcpdump ends at once, perhaps before cat has written the end of the file: neither is an error of cat's.
    codes = pipe.interrupt()
    expect_equal(codes[0], 0, f"exit code of cat ({pipe.cat_err})")
    expect(not re.search(r"\berror\b", pipe.cat_err), f"what cat says: {pipe.cat_err}")
    run.stop()


def test_tshark(t):
    """dumpcap reads the pipe, and tshark shows what it writes; ended by ^C."""
    if not shutil.which("tshark"):
        raise wbtest.Skip("tshark is not installed")
    net, run = begin(t)
    pipe = Pipe(t, net, "tshark -n -l -i - -T fields -e frame.interface_name -e udp.srcport", "-o pcapng")
    wait_until(lambda: "Capturing" in pipe.err, 60, "tshark captures")
    t.send(net, PLAN, rate=2000)
    wait_until(lambda: len(lines_of(pipe)) >= PLAN["count"], 60, "tshark shows the packets")
    expect_equal(sorted(lines_of(pipe)), sorted(f"{CAPTURED_SIDE}\t{1024 + number % 4}" for number in range(PLAN["count"])),
                 "what tshark shows")
    expect_equal(pipe.interrupt(), [0, 0], f"exit codes of cat and tshark ({pipe.cat_err} {pipe.err})")
    run.stop()


def test_reader_ends(t):
    """The one behind has enough. Packets keep coming in the first round, and none in the second."""
    net, run = begin(t)
    sender = t.start("sender", net.command(wbtest.SENDER, wbtest.SENDING_SIDE, *wbtest.plan_words(dict(PLAN, count=100000)),
                                           "--rate", 500))
    pipe = Pipe(t, net, "tcpdump -n -l -c 20 -r -", "-o pcapng")
    expect_equal(pipe.wait(), [0, 0], f"exit codes ({pipe.cat_err})")
    expect("reader gone" in pipe.cat_err, f"what cat says: {pipe.cat_err}")
    expect_equal(len(lines_of(pipe)), 20, "lines of tcpdump")
    sender.end()
    pipe = Pipe(t, net, "head -n 1", "-o json")
    t.send(net, dict(PLAN, count=1))
    expect_equal(pipe.wait(), [0, 0], f"exit codes ({pipe.cat_err})")
    expect("reader gone" in pipe.cat_err, f"what cat says: {pipe.cat_err}")
    run.stop()


if __name__ == "__main__":
    wbtest.main(globals())
