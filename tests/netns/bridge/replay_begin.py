#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""When replay begins to send, and what one that cannot begin leaves as it was."""
import os
import re
import signal
import subprocess

from prelude import wbtest
import capfile
from replay import finish, start_replay
from wbtest import expect, expect_equal, wait_until


def small_capture(count):
    return capfile.pcap([(10**18 + number * 1000, bytes(1000)) for number in range(count)])


def replay_pipe(t, content, *arguments):
    """Of a pipe that stays open and has brought content. Returns the process; its .pipe is to be closed."""
    summary = t.path(f"piped-{t.number('piped')}.json")
    replay = t.start("replay", [wbtest.WIREBUS, "replay", "--from", "-", "--to", t.path("piped.pcapng"), "--stats", "100ms",
                                "--summary", summary, *arguments], stdin=subprocess.PIPE)
    replay.summary_path = summary
    replay.pipe = replay.popen.stdin
    replay.pipe.write(content)
    replay.pipe.flush()
    return replay


def test_preload(t):
    """A source that goes on: sent when it ends, when it has filled the buffer, when it has what the limit takes."""
    replay = replay_pipe(t, small_capture(50), "--preload")
    wait_until(lambda: replay.err.count("sent 0 packets") >= 15, 60, "lines of statistics for 1.5 s, longer than the usual lead")
    expect(not re.search(r"sent [1-9]", replay.err), f"it sends before the end of the pipe: {replay.err}")
    replay.pipe.close()
    expect_equal(finish(replay)["sent"], 50, "sent when the pipe has ended")
    replay = replay_pipe(t, small_capture(5000), "--preload", "--buffer", "1MiB")
    wait_until(lambda: "sent 5000 packets" in replay.err, 60, "more than fits into the buffer is sent while the pipe is open")
    replay.pipe.close()
    expect_equal(finish(replay)["sent"], 5000, "sent")
    replay = replay_pipe(t, small_capture(50), "--preload", "-L", "50")
    said = finish(replay)
    expect_equal((said["end"], said["sent"]), ("limit reached", 50), f"a limit, while the pipe is open: {said}")
    replay.pipe.close()
    replay = replay_pipe(t, small_capture(50), "--preload", "--duration", "3s")
    said = finish(replay)
    expect_equal((said["end"], said["sent"], said["causes"]), ("time is up", 0, {"left": 50}), f"the time, while the pipe is open: {said}")
    replay.pipe.close()


def test_preload_follow(t):
    """The same of a folder that is followed, and of a ZeroMQ stream."""
    net = t.net()
    path = t.path("packets.pcap")
    with open(path, "wb") as file:
        file.write(small_capture(50))
    folder = t.shared_folder("followed")
    wbtest.run([wbtest.WIREBUS, "send", "--from", path, "--to", folder])
    for number, source in enumerate((folder, "zmq+pull://127.0.0.1:5606")):
        replay = start_replay(t, net, source, "--preload", "--follow", "-L", "50", to=t.path(f"out-{number}.pcapng"))
        if source != folder:
            send = t.wirebus(net, "send", "--from", path, "--to", source.replace("pull", "push"))
            expect_equal(send.wait(60), 0, f"exit code of send ({send.err})")
        said = finish(replay)
        expect_equal((said["end"], said["sent"]), ("limit reached", 50), f"{source}, which goes on: {said}")


def test_summary_stays(t):
    """What an earlier run said stays until there is another summary, also in a folder of somebody else."""
    folder = t.path("theirs")
    path, source, to = f"{folder}/summary.json", t.path("packets.pcap"), t.path("out.pcapng")
    os.mkdir(folder)
    with open(source, "wb") as file:
        file.write(small_capture(50))
    earlier = "what an earlier run said\n" * 400
    with open(path, "w", encoding="utf-8") as file:
        file.write(earlier)
    for name in (path, folder):
        os.chown(name, 65534, 65534)
        os.chmod(name, 0o700)

    def content():
        with open(path, encoding="utf-8") as file:
            return file.read()

    def replay(*arguments):
        process = t.start("replay", [wbtest.WIREBUS, "replay", "--summary", path, *arguments])
        process.summary_path = path
        return process

    for code, arguments in ((1, ("--from", "/nosuch/folder", "--to", to)), (2, ("--from", source, "--to", to, "-p", "none")),
                            (1, ("--from", source, "--to", "iface://nosuch0")), (1, ("--from", source, "--to", "/nosuch/out.pcap")),
                            (1, ("--from", source, "--to", "zmq+push://127.0.0.1:5607", "--wait", "500ms"))):
        expect_equal(replay(*arguments).wait(60), code, f"exit code with {arguments}")
        expect_equal(content(), earlier, f"the summary after a run that could not begin: {arguments}")
    process = replay("--from", source, "--to", to, "-p", "1", "--stats", "100ms")
    wait_until(lambda: "sent 1 packets" in process.err, 60, "it sends")
    expect_equal(content(), earlier, "the summary while another run sends")
    process.send_signal(signal.SIGTERM)
    expect_equal(finish(process)["end"], "stopped", "the end in the summary of the second run")
    expect_equal(finish(replay("--from", source, "--to", to))["sent"], 50, "sent, by the summary of the third run")
    expect_equal(os.stat(path).st_uid, 65534, "whose file it is")


if __name__ == "__main__":
    wbtest.main(globals(), seconds=150)
