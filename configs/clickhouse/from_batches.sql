-- SPDX-License-Identifier: Apache-2.0
-- wirebus in ClickHouse, step 2: a topic of batches (`wirebus run --to kafka://...`, the default mode), or the ledger of records.
-- packet_batch.proto has to lie in the server's format_schema_path. Edit the broker and the topic.

-- A row is a message of up to 256 KiB: kafka_max_block_size bounds how many of them are in memory. Fewer cost time: each round
-- of the engine takes one to two seconds.
CREATE TABLE IF NOT EXISTS wirebus.kafka_batches
(
    session_id String,
    worker_id UInt32,
    stream_id UInt32,
    batch_seq UInt64,
    first_packet_seq UInt64,
    node String,
    interfaces Nested(index UInt32, name String, link_type UInt32),
    packets Nested(time_unix_nano UInt64, interface_index UInt32, original_length UInt32, data String, flags UInt32,
        vlan_tci UInt32, vlan_tpid UInt32, rx_hash UInt32, status UInt32),
    min_time_unix_nano UInt64,
    max_time_unix_nano UInt64,
    counters Tuple(kernel_seen UInt64, kernel_dropped UInt64, read UInt64, accepted UInt64, delivered UInt64,
        failed UInt64, unknown UInt64, dropped UInt64),
    flags UInt32,
    watermark_unix_nano UInt64
)
ENGINE = Kafka
SETTINGS kafka_broker_list = '127.0.0.1:9092',
    kafka_topic_list = 'packets',
    kafka_group_name = 'clickhouse',
    kafka_format = 'ProtobufSingle',
    kafka_schema = 'packet_batch.proto:PacketBatch',
    kafka_max_block_size = 512,
    kafka_flush_interval_ms = 1000,
    kafka_handle_error_mode = 'stream';

CREATE MATERIALIZED VIEW IF NOT EXISTS wirebus.packets_of_batches TO wirebus.packets AS
SELECT
    fromUnixTimestamp64Nano(toInt64(packet_time), 'UTC') AS time,
    node,
    toFixedString(substring(session_id, 1, 16), 16) AS session_id,
    worker_id,
    stream_id,
    first_packet_seq + number - 1 AS packet_seq,
    interfaces.name[indexOf(interfaces.index, packet_interface)] AS interface_name,
    interfaces.link_type[indexOf(interfaces.index, packet_interface)] AS link_type,
    packet_original_length AS original_length,
    packet_flags AS flags,
    packet_status AS status,
    packet_vlan_tci AS vlan_tci,
    packet_vlan_tpid AS vlan_tpid,
    packet_rx_hash AS rx_hash,
    packet_data AS data
FROM wirebus.kafka_batches
ARRAY JOIN
    arrayEnumerate(packets.data) AS number,
    packets.time_unix_nano AS packet_time,
    packets.interface_index AS packet_interface,
    packets.original_length AS packet_original_length,
    packets.data AS packet_data,
    packets.flags AS packet_flags,
    packets.vlan_tci AS packet_vlan_tci,
    packets.vlan_tpid AS packet_vlan_tpid,
    packets.rx_hash AS packet_rx_hash,
    packets.status AS packet_status
WHERE empty(_error);

CREATE MATERIALIZED VIEW IF NOT EXISTS wirebus.batches_of_batches TO wirebus.batches AS
SELECT
    node,
    toFixedString(substring(session_id, 1, 16), 16) AS session_id,
    worker_id,
    stream_id,
    batch_seq,
    first_packet_seq,
    length(packets.data) AS packets,
    fromUnixTimestamp64Nano(toInt64(min_time_unix_nano), 'UTC') AS min_time,
    fromUnixTimestamp64Nano(toInt64(max_time_unix_nano), 'UTC') AS max_time,
    fromUnixTimestamp64Nano(toInt64(watermark_unix_nano), 'UTC') AS watermark,
    flags,
    counters.kernel_seen AS kernel_seen,
    counters.kernel_dropped AS kernel_dropped,
    counters.read AS read,
    counters.accepted AS accepted,
    counters.delivered AS delivered,
    counters.failed AS failed,
    counters.unknown AS unknown,
    counters.dropped AS dropped
FROM wirebus.kafka_batches
WHERE empty(_error);

CREATE MATERIALIZED VIEW IF NOT EXISTS wirebus.unreadable_batches TO wirebus.unreadable AS
SELECT _topic AS topic, _partition AS partition, _offset AS offset, _error AS error, _raw_message AS message
FROM wirebus.kafka_batches
WHERE notEmpty(_error);
