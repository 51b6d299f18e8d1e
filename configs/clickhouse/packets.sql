-- SPDX-License-Identifier: Apache-2.0
-- wirebus in ClickHouse, step 1 of 2: the tables that packets end up in, whichever way they come.
-- Step 2 is from_batches.sql or from_records.sql. Questions to ask are in queries.sql.

CREATE DATABASE IF NOT EXISTS wirebus;

-- One row a packet. Kafka delivers at least once: a packet that came twice has the same key below, so the engine removes it
-- when it merges, and `FINAL` in a query right away.
CREATE TABLE IF NOT EXISTS wirebus.packets
(
    time DateTime64(9, 'UTC') CODEC(Delta, ZSTD),
    node LowCardinality(String),
    session_id FixedString(16),
    worker_id UInt32,
    stream_id UInt32,
    packet_seq UInt64 CODEC(Delta, ZSTD),
    interface_name LowCardinality(String),
    link_type UInt32,
    original_length UInt32,
    flags UInt32,
    status UInt32,
    vlan_tci UInt16,
    vlan_tpid UInt16,
    rx_hash UInt32,
    data String CODEC(ZSTD),

    -- What follows is computed from the frame when a row is inserted.

    -- Bytes on the wire, with the VLAN tag that the kernel took out.
    wire_length UInt32 MATERIALIZED original_length + if(vlan_tpid != 0, 4, 0),
    direction Enum8('unknown' = 0, 'in' = 1, 'out' = 2, 'both' = 3) MATERIALIZED bitAnd(flags, 3),
    -- Tags that are still in the frame: 0x8100, 0x88a8 or 0x9100 where Ethernet has its type, at most two.
    inner_tags UInt8 MATERIALIZED multiIf(
        link_type != 1 OR hex(substring(data, 13, 2)) NOT IN ('8100', '88A8', '9100'), 0,
        hex(substring(data, 17, 2)) NOT IN ('8100', '88A8', '9100'), 1,
        2),
    -- VLAN ids, the outermost first.
    vlan_ids Array(UInt16) MATERIALIZED arrayConcat(
        if(vlan_tpid != 0, [bitAnd(vlan_tci, 4095)], []),
        if(inner_tags > 0, [bitAnd(reinterpretAsUInt16(reverse(substring(data, 15, 2))), 4095)], []),
        if(inner_tags > 1, [bitAnd(reinterpretAsUInt16(reverse(substring(data, 19, 2))), 4095)], [])),
    -- Where the network layer begins, from 1: behind Ethernet and its tags, or at once (link types that are bare IP).
    network_at UInt8 MATERIALIZED if(link_type = 1, 15 + 4 * inner_tags, 1),
    -- 4, 6, or 0 for anything else. Ethernet says which; bare IP says it in its first four bits.
    ip_version UInt8 MATERIALIZED multiIf(
        link_type = 1 AND hex(substring(data, network_at - 2, 2)) = '0800' AND length(data) >= network_at + 19, 4,
        link_type = 1 AND hex(substring(data, network_at - 2, 2)) = '86DD' AND length(data) >= network_at + 39, 6,
        link_type IN (101, 228) AND bitShiftRight(ascii(data), 4) = 4 AND length(data) >= 20, 4,
        link_type IN (101, 229) AND bitShiftRight(ascii(data), 4) = 6 AND length(data) >= 40, 6,
        0),
    -- IPv4 addresses as ::ffff:192.0.2.1; :: without IP.
    source IPv6 MATERIALIZED multiIf(
        ip_version = 4, IPv4ToIPv6(toIPv4(reinterpretAsUInt32(reverse(substring(data, network_at + 12, 4))))),
        ip_version = 6, toIPv6(IPv6NumToString(toFixedString(substring(data, network_at + 8, 16), 16))),
        toIPv6('::')),
    destination IPv6 MATERIALIZED multiIf(
        ip_version = 4, IPv4ToIPv6(toIPv4(reinterpretAsUInt32(reverse(substring(data, network_at + 16, 4))))),
        ip_version = 6, toIPv6(IPv6NumToString(toFixedString(substring(data, network_at + 24, 16), 16))),
        toIPv6('::')),
    -- 6 TCP, 17 UDP, 1 ICMP...; of IPv6 the first next header.
    protocol UInt8 MATERIALIZED multiIf(
        ip_version = 4, ascii(substring(data, network_at + 9, 1)),
        ip_version = 6, ascii(substring(data, network_at + 6, 1)),
        0)
)
ENGINE = ReplacingMergeTree
PARTITION BY toDate(time)
ORDER BY (time, session_id, stream_id, packet_seq);
-- TTL toDateTime(time) + INTERVAL 7 DAY  would keep a week.

-- One row a message that carries counters: a batch, a heartbeat, an end of stream. From it follows what is missing.
CREATE TABLE IF NOT EXISTS wirebus.batches
(
    received DateTime64(3, 'UTC') DEFAULT now64(3),
    node LowCardinality(String),
    session_id FixedString(16),
    worker_id UInt32,
    stream_id UInt32,
    batch_seq UInt64,
    first_packet_seq UInt64,
    packets UInt32,
    min_time DateTime64(9, 'UTC'),
    max_time DateTime64(9, 'UTC'),
    watermark DateTime64(9, 'UTC'),
    flags UInt32,
    -- The worker's counters, cumulative since the start of the session.
    kernel_seen UInt64,
    kernel_dropped UInt64,
    read UInt64,
    accepted UInt64,
    delivered UInt64,
    failed UInt64,
    unknown UInt64,
    dropped UInt64
)
ENGINE = ReplacingMergeTree
ORDER BY (node, session_id, stream_id, batch_seq);

-- Messages that could not be read: something else in the topic, or a schema registry's prefix.
CREATE TABLE IF NOT EXISTS wirebus.unreadable
(
    received DateTime64(3, 'UTC') DEFAULT now64(3),
    topic LowCardinality(String),
    partition UInt64,
    offset UInt64,
    error String,
    message String
)
ENGINE = MergeTree
ORDER BY received;
