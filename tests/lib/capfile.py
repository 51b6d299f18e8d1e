# SPDX-License-Identifier: Apache-2.0
"""Capture files, read and written without the program under test: pcap and pcapng, as the drafts of the IETF have them.

read(path) gives the packets of a file; the functions below it make files, byte for byte as a test wants them.
"""
import collections
import struct

Packet = collections.namedtuple("Packet", "time_ns data original link_type interface flags lost")

SECTION, INTERFACE, OLD_PACKET, SIMPLE, ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
PCAP_MAGICS = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}


class Damaged(ValueError):
    pass


def read(path):
    """The packets of a file. Damaged, with those before in .args[1], where it ends too early or makes no sense."""
    with open(path, "rb") as file:
        content = file.read()
    packets = []
    try:
        if content[:4] == b"\x0a\x0d\x0d\x0a":
            _read_pcapng(content, packets)
        else:
            _read_pcap(content, packets)
    except (struct.error, Damaged) as why:
        raise Damaged(str(why), packets) from None
    return packets


def _read_pcap(content, packets):
    order = next((order for order in "<>" if struct.unpack(order + "I", content[:4])[0] in PCAP_MAGICS), None)
    if not order:
        raise Damaged("no pcap file")
    magic, _, _, _, _, _, link = struct.unpack(order + "IHHiIII", content[:24])
    at = 24
    while at < len(content):
        seconds, fraction, captured, original = struct.unpack(order + "IIII", content[at:at + 16])
        data = content[at + 16:at + 16 + captured]
        if len(data) < captured:
            raise Damaged("cut")
        packets.append(Packet(seconds * 10**9 + fraction * PCAP_MAGICS[magic], data, original, link & 0xFFFF, "", 0, 0))
        at += 16 + captured


def _options(order, body):
    at, found = 0, {}
    while at + 4 <= len(body):
        code, length = struct.unpack(order + "HH", body[at:at + 4])
        if code == 0:
            break
        found.setdefault(code, body[at + 4:at + 4 + length])
        at += 4 + (length + 3) // 4 * 4
    return found


def _nanoseconds(interface, ticks):
    resolution, offset = interface["resolution"], interface["offset"]
    if resolution & 0x80:
        return ticks * 10**9 // 2**(resolution & 0x7F) + offset * 10**9
    return ticks * 10**9 // 10**resolution + offset * 10**9


def _interface(order, body):
    link, _, snap = struct.unpack(order + "HHI", body[:8])
    options = _options(order, body[8:])
    return {"link": link, "snap": snap, "name": options.get(2, b"").split(b"\0")[0].decode("utf-8", "replace"),
            "resolution": options.get(9, b"\x06")[0], "offset": struct.unpack(order + "q", options.get(14, bytes(8)))[0],
            "fcs": (options.get(13, b"\0")[0] & 15) << 5}


def _read_pcapng(content, packets):
    at, order, interfaces = 0, "<", []
    while at < len(content):
        if content[at:at + 4] == b"\x0a\x0d\x0d\x0a":
            order = "<" if content[at + 8:at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
            interfaces = []
        kind, length = struct.unpack(order + "II", content[at:at + 8])
        body = content[at + 8:at + length - 4]
        if len(body) < length - 12 or struct.unpack(order + "I", content[at + length - 4:at + length])[0] != length:
            raise Damaged("cut")
        if kind == SECTION and struct.unpack(order + "H", body[4:6])[0] != 1:
            raise Damaged("version")
        if kind == INTERFACE:
            interfaces.append(_interface(order, body))
        elif kind in (ENHANCED, OLD_PACKET):
            number, high, low, captured, original = struct.unpack(order + "IIIII", body[:20])
            lost = 0
            if kind == OLD_PACKET:
                number, lost = struct.unpack(order + "HH", body[:4])
                lost = 0 if lost == 0xFFFF else lost
            options = _options(order, body[20 + (captured + 3) // 4 * 4:])
            flags = options.get(2, None)
            if kind == ENHANCED and 4 in options:
                lost = struct.unpack(order + "Q", options[4])[0]
            of = interfaces[number]
            packets.append(Packet(_nanoseconds(of, high << 32 | low), body[20:20 + captured], original, of["link"], of["name"],
                                  struct.unpack(order + "I", flags)[0] if flags else of["fcs"], lost))
        elif kind == SIMPLE:
            original, of = struct.unpack(order + "I", body[:4])[0], interfaces[0]
            captured = min(original, of["snap"] or original)
            # It has no time: that of the packet before.
            packets.append(Packet(packets[-1].time_ns if packets else 0, body[4:4 + captured], original, of["link"],
                                  of["name"], of["fcs"], 0))
        at += length


def pcap(packets, link=1, order="<", nano=True, snap=262144):
    """A pcap file of (time in ns, bytes[, original length])."""
    unit = 1 if nano else 1000
    parts = [struct.pack(order + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, snap, link)]
    for time_ns, data, *original in packets:
        parts.append(struct.pack(order + "IIII", time_ns // 10**9, time_ns % 10**9 // unit, len(data),
                                 original[0] if original else len(data)) + data)
    return b"".join(parts)


def block(order, kind, body):
    body += bytes(-len(body) % 4)
    return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)


def option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order="<"):
    return block(order, SECTION, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(order="<", link=1, name=None, snap=0, resolution=9, more=b""):
    options = option(order, 2, name.encode()) if name else b""
    return block(order, INTERFACE, struct.pack(order + "HHI", link, 0, snap) + options +
                 option(order, 9, bytes([resolution])) + more + option(order, 0, b""))


def enhanced(ticks, data, number=0, order="<", original=None, flags=None, lost=None):
    options = b""
    if flags is not None:
        options += option(order, 2, struct.pack(order + "I", flags))
    if lost is not None:
        options += option(order, 4, struct.pack(order + "Q", lost))
    body = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data),
                       len(data) if original is None else original)
    return block(order, ENHANCED, body + data + bytes(-len(data) % 4) + options)
