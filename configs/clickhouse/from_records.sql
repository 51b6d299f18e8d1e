-- SPDX-License-Identifier: Apache-2.0
-- wirebus in ClickHouse, step 2: a topic of single packets (`wirebus run --mode record --to kafka://...`).
-- packet_record.proto has to lie in the server's format_schema_path. Edit the broker and the topic.
-- The topic's ledger, 'packets.ledger', has batches without packets: read it with from_batches.sql.

CREATE TABLE IF NOT EXISTS wirebus.kafka_records
(
    session_id String,
    worker_id UInt32,
    stream_id UInt32,
    packet_seq UInt64,
    node String,
    time_unix_nano UInt64,
    interface_name String,
    link_type UInt32,
    original_length UInt32,
    data String,
    flags UInt32,
    status UInt32,
    vlan_tci UInt32,
    vlan_tpid UInt32,
    rx_hash UInt32
)
ENGINE = Kafka
SETTINGS kafka_broker_list = '127.0.0.1:9092',
    kafka_topic_list = 'packets',
    kafka_group_name = 'clickhouse_records',
    kafka_format = 'ProtobufSingle',
    kafka_schema = 'packet_record.proto:PacketRecord',
    kafka_flush_interval_ms = 1000,
    kafka_handle_error_mode = 'stream';

CREATE MATERIALIZED VIEW IF NOT EXISTS wirebus.packets_of_records TO wirebus.packets AS
SELECT
    fromUnixTimestamp64Nano(toInt64(time_unix_nano), 'UTC') AS time,
    node,
    toFixedString(substring(session_id, 1, 16), 16) AS session_id,
    worker_id,
    stream_id,
    packet_seq,
    interface_name,
    link_type,
    original_length,
    flags,
    status,
    vlan_tci,
    vlan_tpid,
    rx_hash,
    data
FROM wirebus.kafka_records
WHERE empty(_error);

CREATE MATERIALIZED VIEW IF NOT EXISTS wirebus.unreadable_records TO wirebus.unreadable AS
SELECT _topic AS topic, _partition AS partition, _offset AS offset, _error AS error, _raw_message AS message
FROM wirebus.kafka_records
WHERE notEmpty(_error);
