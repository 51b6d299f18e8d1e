# SPDX-License-Identifier: Apache-2.0
"""The messages of a bus or of files, for checker.py: protobuf's wire format by the numbers in packet_batch.proto and
packet_record.proto, files by what container.h says of them. Nothing here is wirebus's."""
import ctypes
import mmap
import os
import pathlib
import struct
import sys
import time
import urllib.parse

BATCH, RECORD = 1, 2
HEARTBEAT, END_OF_STREAM, PREVIOUS_SESSION, RECORD_MODE = 1, 2, 4, 8
QUIET_SECONDS = 1.0

# Field numbers.
COUNTERS = {
    1: "kernel_seen", 2: "kernel_dropped", 3: "read", 4: "filtered", 5: "sampled_out", 6: "accepted", 7: "truncated",
    8: "recovered", 9: "delivered", 10: "handed_over", 11: "failed", 12: "unknown", 13: "dropped", 14: "open",
    15: "in_flight", 16: "spooled", 17: "kernel_freezes", 18: "dropped_too_large", 19: "dropped_no_buffer",
    20: "dropped_bus_full", 21: "dropped_shutdown", 22: "dropped_spool_full", 23: "interface_gaps",
    24: "interface_gap_nano"}
BATCH_FIELDS = {1: "session", 2: "worker", 3: "stream", 4: "seq", 5: "first", 6: "node", 18: "counters", 19: "flags",
                20: "watermark"}
RECORD_FIELDS = {1: "session", 2: "worker", 3: "stream", 4: "seq", 5: "first", 6: "node"}
PACKETS, PACKET_DATA, RECORD_DATA = 11, 4, 12

class Damaged(Exception):
    pass


# ---- protobuf's wire format ----

def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise Damaged("varint")


def field(data, at, end):
    """(number, value, where the next one begins); a value is an integer or bytes."""
    tag, at = varint(data, at)
    kind, number = tag & 7, tag >> 3
    if number == 0:
        raise Damaged("field 0")
    if kind == 0:
        value, at = varint(data, at)
    elif kind == 1:
        value, at = int.from_bytes(data[at:at + 8], "little"), at + 8
    elif kind == 2:
        length, at = varint(data, at)
        value, at = data[at:at + length], at + length
    elif kind == 5:
        value, at = int.from_bytes(data[at:at + 4], "little"), at + 4
    else:
        raise Damaged("wire type")
    if at > end:
        raise Damaged("beyond the end")
    return number, value, at


def fields(data):
    at, end = 0, len(data)
    while at < end:
        number, value, at = field(data, at, end)
        yield number, value


def read_batch(data, on_packet=None):
    """The facts of a PacketBatch, and the number of its packets."""
    facts = {"packets": 0}
    at, end, packets = 0, len(data), 0
    while at < end:
        if data[at] == PACKETS << 3 | 2:  # by far the most frequent: nothing is looked at but its length
            low = data[at + 1]
            if low < 0x80:
                start, length = at + 2, low
            else:
                high = data[at + 2]
                if high < 0x80:
                    start, length = at + 3, low & 0x7F | high << 7
                else:
                    length, start = varint(data, at + 1)
            at = start + length
            packets += 1
            if on_packet:
                on_packet(data[start:at], PACKET_DATA)
            continue
        number, value, at = field(data, at, end)
        name = BATCH_FIELDS.get(number)
        if name == "counters":
            counters = facts.setdefault("counters", dict.fromkeys(COUNTERS.values(), 0))
            counters.update((COUNTERS[n], v) for n, v in fields(value) if n in COUNTERS)
        elif name:
            facts[name] = value
    if at > end:
        raise Damaged("beyond the end")
    facts["packets"] = packets
    return facts


def read_record(data, on_packet=None):
    facts = {"packets": 1}
    for number, value in fields(data):
        if number in RECORD_FIELDS:
            facts[RECORD_FIELDS[number]] = value
    if on_packet:
        on_packet(data, RECORD_DATA)
    return facts


# ---- where messages come from: (kind, bytes), or None for one that is damaged ----

def _load_crc():
    """CRC-32C: of e2fsprogs' library, which is on every Debian, otherwise byte by byte."""
    try:
        function = ctypes.CDLL("libext2fs.so.2").ext2fs_crc32c_le
    except (OSError, AttributeError):
        return _crc_by_table
    function.restype, function.argtypes = ctypes.c_uint32, [ctypes.c_uint32, ctypes.c_char_p, ctypes.c_size_t]
    return lambda data: function(0xFFFFFFFF, data, len(data)) ^ 0xFFFFFFFF


def _crc_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


_TABLE = list(_crc_table())


def _crc_by_table(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


crc32c = _load_crc()
HEADER = b"WIREBUS1" + struct.pack("<II", 1, 16)


def entry(kind, message):
    rest = struct.pack("<HHI", kind, 0, 0) + message
    return struct.pack("<II", len(message), crc32c(rest)) + rest


def read_file(path):
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield None
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from read_entries(data)


def read_entries(data):
    if data[:16] != HEADER:
        yield None
        return
    at = 16
    while at < len(data):
        if at + 16 > len(data):
            yield None
            return
        length, crc, kind, route, _ = struct.unpack_from("<IIHHI", data, at)
        end = at + 16 + length
        if length <= route or end > len(data):
            yield None
            return
        if crc32c(data[at + 8:end]) != crc or kind not in (BATCH, RECORD):
            yield None
        else:
            yield kind, data[at + 16 + route:end]
        at = end


def read_files(path):
    paths = sorted(path.glob("*.wbs")) if path.is_dir() else [path]
    for file in paths:
        yield from read_file(file)


def kafka_consumer(servers):
    import confluent_kafka
    return confluent_kafka.Consumer({"bootstrap.servers": servers, "group.id": "checker", "enable.auto.commit": False,
                                     "auto.offset.reset": "error", "enable.partition.eof": True})


def kafka_ends(url):
    """The first and the next offset of each partition, now. None: there is no such topic."""
    import confluent_kafka
    servers, topic = split_kafka(url)
    consumer = kafka_consumer(servers)
    found = consumer.list_topics(topic, 10).topics[topic]
    if found.error:
        if found.error.code() == confluent_kafka.KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise SystemExit(f"checker: {topic}: {found.error}")
    ends = {number: consumer.get_watermark_offsets(confluent_kafka.TopicPartition(topic, number), 10)
            for number in found.partitions}
    consumer.close()
    return ends


def split_kafka(url):
    servers, _, topic = url.partition("://")[2].partition("?")[0].partition("/")
    return servers, topic


def read_kafka(url, about, ends):
    import confluent_kafka
    servers, topic = split_kafka(url)
    ends = ends or kafka_ends(url)
    if ends is None:
        raise SystemExit(f"checker: {url}: there is no such topic")
    consumer = kafka_consumer(servers)
    about["from_start"] = about["from_start"] and all(low == 0 for low, _ in ends.values())
    consumer.assign([confluent_kafka.TopicPartition(topic, number, low)
                     for number, (low, high) in ends.items() if low < high])
    left = {number for number, (low, high) in ends.items() if low < high}
    while left:
        for message in consumer.consume(1000, 1.0):
            number = message.partition()
            if message.error():
                if message.error().code() != confluent_kafka.KafkaError._PARTITION_EOF:
                    raise SystemExit(f"checker: {message.error()}")
                left.discard(number)
                continue
            if number not in left:
                continue
            if message.offset() < ends[number][1]:
                # Records are written without headers.
                content = dict(message.headers() or ()).get("content-type", b"PacketRecord")
                value = message.value()
                # A schema registry's: a zero, the schema's number in 4 bytes, and another zero. No message begins with one.
                if value[:1] == b"\0":
                    value = value[6:]
                yield RECORD if b"PacketRecord" in content else BATCH, value
            if message.offset() + 1 >= ends[number][1]:
                left.discard(number)
    consumer.close()


def read_key(path):
    """The last line of a file that `wirebus keygen` wrote."""
    return pathlib.Path(path).read_bytes().split()[-1]


def use_curve(socket, query):
    """As the server where it binds; then everybody's key will do."""
    import zmq
    secret = read_key(query["curve_key"])
    socket.curve_secretkey, socket.curve_publickey = secret, zmq.curve_public(secret)
    if "curve_server_key" in query:
        socket.curve_serverkey = read_key(query["curve_server_key"])
    else:
        socket.curve_server = True


def read_zmq(endpoint, query, pull, over, high_water=100000):
    """Until over() is true and nothing more comes. Prints "ready" when the connection stands."""
    import zmq
    import zmq.utils.monitor
    socket = zmq.Context.instance().socket(zmq.PULL if pull else zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, high_water)
    if not pull:
        socket.setsockopt(zmq.SUBSCRIBE, b"wb1/")
    monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
    if "curve_key" in query:
        use_curve(socket, query)
    (socket.bind if query.get("bind") == "yes" else socket.connect)(endpoint)
    ready = False
    heard = time.monotonic()
    while not over() or time.monotonic() - heard < QUIET_SECONDS:
        if not ready and monitor.poll(0):
            zmq.utils.monitor.recv_monitor_message(monitor)
            print("ready", file=sys.stderr, flush=True)
            ready = True
        if not socket.poll(100):
            continue
        frames = socket.recv_multipart()
        heard = time.monotonic()
        yield (BATCH, frames[1]) if len(frames) == 2 and frames[0].startswith(b"wb1/") else None


def messages(url, over, about, ends=None):
    """about["from_start"] stays true where all is read that was ever published. ends: of Kafka, where to begin and end."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    if scheme == "kafka":
        return read_kafka(url, about, ends)
    about["from_start"] = False
    if scheme == "file":
        return read_files(pathlib.Path(urllib.parse.unquote(rest)))
    if scheme in ("zmq+sub", "zmq+pull"):
        return read_zmq(f"tcp://{rest}", dict(urllib.parse.parse_qsl(query)), scheme == "zmq+pull", over)
    raise SystemExit(f"checker: {url}: what is that?")
