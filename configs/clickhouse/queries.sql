-- SPDX-License-Identifier: Apache-2.0
-- Questions to packets in ClickHouse; each works for batches and for records. FINAL: what Kafka delivered twice counts once.

-- totals: packets, bytes on the wire, captured bytes, and from when to when
SELECT count() AS packets, sum(wire_length) AS bytes, sum(length(data)) AS captured, min(time) AS first, max(time) AS last
FROM wirebus.packets FINAL;

-- vlans: by VLAN id; a packet with two tags counts for both
SELECT arrayJoin(vlan_ids) AS vlan, count() AS packets, sum(wire_length) AS bytes
FROM wirebus.packets FINAL
GROUP BY vlan
ORDER BY vlan;

-- talkers: the ten sources with the most bytes, IPv4 and IPv6
SELECT replaceOne(toString(source), '::ffff:', '') AS address, count() AS packets, sum(wire_length) AS bytes
FROM wirebus.packets FINAL
WHERE ip_version != 0
GROUP BY source
ORDER BY bytes DESC, source
LIMIT 10;

-- streams: what was numbered, what is here, what is missing. A stream that has not ended may have more to come.
SELECT any(node) AS node, UUIDNumToString(session_id) AS session, stream_id, max(last) AS numbered, sum(here) AS received,
    numbered - received AS missing, max(end) AS ended
FROM
(
    SELECT node, session_id, stream_id, toUInt64(first_packet_seq + packets - 1) AS last, 0 AS here, bitTest(flags, 1) AS end
    FROM wirebus.batches FINAL
    UNION ALL
    SELECT node, session_id, stream_id, packet_seq, 1, 0
    FROM wirebus.packets FINAL
)
GROUP BY session_id, stream_id
ORDER BY session_id, stream_id;

-- holes: the numbers of the packets that are missing, lost between wirebus and here
SELECT UUIDNumToString(session_id) AS session, stream_id, previous + 1 AS first_missing, packet_seq - 1 AS last_missing
FROM
(
    SELECT session_id, stream_id, packet_seq, lagInFrame(packet_seq, 1, toUInt64(0)) OVER (PARTITION BY session_id, stream_id
        ORDER BY packet_seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS previous
    FROM
    (
        SELECT session_id, stream_id, packet_seq FROM wirebus.packets FINAL
        UNION ALL
        -- The packet that comes next, as far as the messages tell: so a hole at the end shows as well.
        SELECT session_id, stream_id, max(first_packet_seq + packets) FROM wirebus.batches FINAL
        GROUP BY session_id, stream_id
    )
)
WHERE packet_seq > previous + 1
ORDER BY session_id, stream_id, packet_seq;

-- kernel: packets that a full ring lost, when, and in which worker
SELECT node, worker_id, at, kernel_dropped - before AS lost
FROM
(
    SELECT node, session_id, worker_id, greatest(max_time, watermark) AS at, kernel_dropped,
        lagInFrame(kernel_dropped, 1, toUInt64(0)) OVER (PARTITION BY session_id, worker_id
            ORDER BY kernel_seen, kernel_dropped ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS before
    FROM wirebus.batches FINAL
)
WHERE lost > 0
ORDER BY at;

-- counters: each worker's ledger as of its latest message
SELECT node, UUIDNumToString(session_id) AS session, worker_id, max(kernel_seen) AS seen, max(kernel_dropped) AS lost_in_kernel,
    max(accepted) AS numbered, max(delivered) AS acknowledged, max(failed) AS refused, max(dropped) AS given_up
FROM wirebus.batches FINAL
GROUP BY node, session_id, worker_id
ORDER BY node, session_id, worker_id;
