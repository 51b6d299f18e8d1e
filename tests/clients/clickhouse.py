#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ClickHouse (its in-process form, chdb) reads topics with the SQL of configs/clickhouse and answers queries.sql.

    clickhouse.py SERVERS TOPIC batches|records --folder FOLDER --packets N --streams N [--unreadable N]

Waits until so many packets, ends of streams and unreadable messages are in the tables, then prints one JSON object: the name
of each query and its rows. FOLDER has packet_batch.proto and packet_record.proto, and gets the database. Needs chdb.sh's module.
"""
import argparse
import json
import os
import pathlib
import re
import sys
import time
from unittest import mock

# Wanted when it is imported, and used only for results that are asked for as Arrow tables.
sys.modules.setdefault("pyarrow", mock.MagicMock())
from chdb.session import Session  # pylint: disable=wrong-import-position

SQL = pathlib.Path(__file__).resolve().parents[2] / "configs" / "clickhouse"
WRITTEN_BROKER, WRITTEN_TOPIC = "'127.0.0.1:9092'", "'packets'"  # as in the SQL, for its user to edit
SECONDS = 120


def statements(name):
    """[(the comment in front, statement)] of a file."""
    return [(comments, statement) for comments, statement in
            re.findall(r"((?:^--[^\n]*\n)*)\n*^([A-Z].*?);$", (SQL / name).read_text(), re.MULTILINE | re.DOTALL)]


class Database:
    def __init__(self, folder):
        self.session = Session(folder)

    def run(self, name, servers=None, topic=None):
        for _, statement in statements(name):
            if "ENGINE = Kafka" in statement:
                for written, wanted in ((WRITTEN_BROKER, f"'{servers}'"), (WRITTEN_TOPIC, f"'{topic}'")):
                    if written not in statement:
                        raise SystemExit(f"{name} has no {written} to edit")
                    statement = statement.replace(written, wanted)
            self.session.query(statement)

    def rows(self, query):
        text = self.session.query(query, "JSONEachRow").data()
        return [json.loads(line) for line in text.splitlines()]

    def state(self):
        packets, ends, unreadable = self.session.query(
            "SELECT (SELECT count() FROM wirebus.packets FINAL), "
            "(SELECT uniqExact(session_id, stream_id) FROM wirebus.batches WHERE bitTest(flags, 1)), "
            "(SELECT count() FROM wirebus.unreadable)", "TSV").data().split()
        return int(packets), int(ends), int(unreadable)

    def close(self):
        """Without dropping them the consumers are ended in the middle of a poll, and the process waits for them."""
        for row in self.rows("SELECT name FROM system.tables WHERE engine = 'Kafka'"):
            self.session.query(f"DROP TABLE wirebus.{row['name']}")
        self.session.close()

    def answers(self):
        return {re.search(r"^-- (\w+):", comments, re.MULTILINE)[1]: self.rows(statement)
                for comments, statement in statements("queries.sql")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("servers")
    parser.add_argument("topic")
    parser.add_argument("mode", choices=["batches", "records"])
    parser.add_argument("--folder", required=True)
    parser.add_argument("--packets", type=int, required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--unreadable", type=int, default=0)
    args = parser.parse_args()
    wanted = (args.packets, args.streams, args.unreadable)
    os.chdir(args.folder)  # where ClickHouse, which is no server here, looks for .proto files
    database = Database("database")
    database.run("packets.sql")
    if args.mode == "records":
        database.run("from_records.sql", args.servers, args.topic)
        database.run("from_batches.sql", args.servers, f"{args.topic}.ledger")
    else:
        database.run("from_batches.sql", args.servers, args.topic)
    deadline = time.monotonic() + SECONDS
    while any(have < want for have, want in zip(database.state(), wanted)):
        if time.monotonic() > deadline:
            errors = database.rows("SELECT topic, error FROM wirebus.unreadable LIMIT 3")
            raise SystemExit(f"not within {SECONDS} s: have {database.state()}, wanted {wanted}; {errors}")
        time.sleep(0.2)
    answers = database.answers()
    answers["unreadable"] = database.rows("SELECT topic, error FROM wirebus.unreadable")
    print(json.dumps(answers), flush=True)
    database.close()


if __name__ == "__main__":
    main()
