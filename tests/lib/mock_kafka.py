# SPDX-License-Identifier: Apache-2.0
"""A Kafka cluster that fails on command, in a namespace: tests/clients/mock_kafka.c, which lists the commands."""
import subprocess

import wbtest
from wbtest import expect_equal, wait_until

PROGRAM = wbtest.BUILD / "tests" / "clients" / "mock_kafka"

PRODUCE, INIT_PRODUCER_ID = 0, 22

# Error codes of Kafka's protocol
NOT_LEADER, REQUEST_TIMED_OUT, MESSAGE_TOO_LARGE, NOT_ENOUGH_REPLICAS = 6, 7, 10, 19
TOPIC_AUTHORIZATION_FAILED, CLUSTER_AUTHORIZATION_FAILED, INVALID_TIMESTAMP = 29, 31, 32
OUT_OF_ORDER_SEQUENCE_NUMBER = 45


class Mock:
    def __init__(self, case, net, brokers=1):
        self.process = case.start("mock", net.command(PROGRAM, brokers), stdin=subprocess.PIPE)
        self.answers = 0
        wait_until(lambda: "\n" in self.process.out, 20, "the mock cluster starts")
        self.servers = self.process.out.split()[1]

    def __call__(self, *words):
        """Give a command and wait for its "ok"."""
        pipe = self.process.popen.stdin
        pipe.write((" ".join(str(word) for word in words) + "\n").encode())
        pipe.flush()
        self.answers += 1
        wait_until(lambda: self.process.out.count("\n") > self.answers, 20, f"the mock cluster answers {words}")
        expect_equal(self.process.out.splitlines()[self.answers], "ok", f"what the mock cluster says to {words}")

    def url(self, topic="packets", **options):
        query = "&".join(f"{name.replace('__', '.')}={value}" for name, value in options.items())
        return f"kafka://{self.servers}/{topic}" + (f"?{query}" if query else "")
