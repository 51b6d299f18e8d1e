#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
//
// Read packets from a Kafka topic with Node: an example that needs nothing of wirebus but packet_batch.proto.
//
//   npm install kafkajs protobufjs
//   node consumer.js packet_batch.proto broker1:9092 packets FILE.pcap
//
// Writes the packets as pcap with nanoseconds, and ends when every stream has ended. kafkajs decompresses gzip; for others see
// its manual.
"use strict";
const fs = require("fs");
const { Kafka, logLevel } = require("kafkajs");
const protobuf = require("protobufjs");

const END_OF_STREAM = 2; // PacketBatch.flags
const NANO = 1000000000n;

// Integers of 64 bits come as objects, as a number of JavaScript holds 53.
const big = (value) => BigInt(value.toString());

// Follows the sequence numbers of every stream: a hole is packets lost between wirebus and here.
class Streams {
  constructor() {
    this.next = new Map();
    this.ended = new Set();
    this.packets = 0;
    this.lost = 0n;
  }

  // Whether the batch is new: Kafka may deliver a message twice, such as when a consumer starts again.
  take(batch) {
    const stream = `${batch.sessionId.toString("hex")} ${batch.streamId}`;
    const first = big(batch.firstPacketSeq);
    const next = this.next.get(stream) ?? 1n;
    if (first < next) return false;
    this.lost += first - next;
    this.next.set(stream, first + BigInt(batch.packets.length));
    this.packets += batch.packets.length;
    if (batch.flags & END_OF_STREAM) this.ended.add(stream);
    return true;
  }

  allEnded() {
    return this.ended.size > 0 && this.ended.size === this.next.size;
  }
}

function pcapHeader() {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b23c4d, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262144, 16);
  header.writeUInt32LE(1, 20);
  return header;
}

function pcapPacket(packet) {
  const time = big(packet.timeUnixNano);
  const header = Buffer.alloc(16);
  header.writeUInt32LE(Number(time / NANO), 0);
  header.writeUInt32LE(Number(time % NANO), 4);
  header.writeUInt32LE(packet.data.length, 8);
  header.writeUInt32LE(packet.originalLength, 12);
  return Buffer.concat([header, packet.data]);
}

async function main() {
  const [schema, servers, topic, path] = process.argv.slice(2);
  const PacketBatch = (await protobuf.load(schema)).lookupType("wirebus.v1.PacketBatch");
  const kafka = new Kafka({ brokers: servers.split(","), logLevel: logLevel.ERROR });
  const consumer = kafka.consumer({ groupId: `example-${process.pid}-${Date.now()}` });
  const streams = new Streams();
  const file = fs.openSync(path, "w");
  fs.writeSync(file, pcapHeader());
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await new Promise((resolve, reject) => {
    // After errors that pass, such as a coordinator that is still loading, kafkajs starts it again.
    consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error));
    const eachMessage = async ({ message }) => {
      const batch = PacketBatch.decode(message.value);
      if (!streams.take(batch)) return;
      for (const packet of batch.packets) fs.writeSync(file, pcapPacket(packet));
      if (streams.allEnded()) resolve();
    };
    consumer.run({ eachMessage }).catch(reject);
  });
  await consumer.disconnect();
  fs.closeSync(file);
  console.log(`${streams.packets} packets in ${streams.next.size} streams, ${streams.lost} lost`);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
