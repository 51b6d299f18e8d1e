// SPDX-License-Identifier: Apache-2.0

// Reads packets with gopacket's ring reader; tpacket_reader.c does the same with libtpacket. See --help for the options,
// reader.h for the records and the summary.
package main

import (
	"bufio"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/afpacket"
)

var (
	iface       = flag.String("interface", "", "name")
	version     = flag.Int("version", 3, "of the ring: 1, 2 or 3")
	api         = flag.String("api", "read", "read: in place; copy: into memory of its own")
	frameBytes  = flag.Int("frame-bytes", 4096, "")
	blockBytes  = flag.Int("block-bytes", 1<<20, "")
	blockCount  = flag.Int("block-count", 64, "")
	retireMs    = flag.Int("retire-ms", 10, "")
	pollMs      = flag.Int("poll-ms", 100, "")
	count       = flag.Uint64("count", 0, "end after so many packets; 0: at SIGTERM")
	idleMs      = flag.Int("idle-ms", 0, "end when nothing came for so long after the first packet; 0: do not")
	dgram       = flag.Bool("dgram", false, "without link-layer header")
	insertVLAN  = flag.Bool("insert-vlan", false, "put the tag back")
	recordsPath = flag.String("records", "", "file for a record of each packet")
)

var stop int32

type sums struct {
	packets uint64
	bytes   uint64
	touched uint64
}

// User and system time.
func cpuNs() (int64, int64) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fail(err)
	}
	return usage.Utime.Nano(), usage.Stime.Nano()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "gopacket_reader:", err)
	os.Exit(1)
}

func open() *afpacket.TPacket {
	versions := map[int]afpacket.OptTPacketVersion{
		1: afpacket.TPacketVersion1, 2: afpacket.TPacketVersion2, 3: afpacket.TPacketVersion3}
	socket := afpacket.SocketRaw
	if *dgram {
		socket = afpacket.SocketDgram
	}
	handle, err := afpacket.NewTPacket(afpacket.OptInterface(*iface), versions[*version], socket,
		afpacket.OptFrameSize(*frameBytes), afpacket.OptBlockSize(*blockBytes), afpacket.OptNumBlocks(*blockCount),
		afpacket.OptBlockTimeout(time.Duration(*retireMs)*time.Millisecond),
		afpacket.OptPollTimeout(time.Duration(*pollMs)*time.Millisecond), afpacket.OptAddVLANHeader(*insertVLAN))
	if err != nil {
		fail(err)
	}
	return handle
}

// One record: the head of reader.h, then the bytes.
func write(out *bufio.Writer, data []byte, info *gopacket.CaptureInfo) {
	var head [32]byte
	vlan := int32(-1)
	for _, ancillary := range info.AncillaryData {
		if tag, ok := ancillary.(afpacket.AncillaryVLAN); ok {
			vlan = int32(tag.VLAN)
		}
	}
	binary.LittleEndian.PutUint64(head[0:], uint64(info.Timestamp.UnixNano()))
	binary.LittleEndian.PutUint32(head[8:], uint32(info.CaptureLength))
	binary.LittleEndian.PutUint32(head[12:], uint32(info.Length))
	binary.LittleEndian.PutUint32(head[16:], uint32(info.InterfaceIndex))
	binary.LittleEndian.PutUint32(head[24:], uint32(vlan))
	out.Write(head[:])
	if _, err := out.Write(data); err != nil {
		fail(err)
	}
}

// Returns false when it is time to end.
func goOn(seen *sums, last time.Time) bool {
	if atomic.LoadInt32(&stop) != 0 {
		return false
	}
	return *idleMs == 0 || seen.packets == 0 || time.Since(last) < time.Duration(*idleMs)*time.Millisecond
}

func readAll(handle *afpacket.TPacket, out *bufio.Writer, seen *sums) {
	read := handle.ZeroCopyReadPacketData
	if *api == "copy" {
		read = handle.ReadPacketData
	}
	last := time.Now()
	for *count == 0 || seen.packets < *count {
		data, info, err := read()
		if err == afpacket.ErrTimeout {
			if !goOn(seen, last) {
				return
			}
			continue
		}
		if err != nil {
			fail(err)
		}
		seen.packets++
		seen.bytes += uint64(info.CaptureLength)
		seen.touched += uint64(data[0]) + uint64(info.CaptureLength) + uint64(info.Length)
		if out != nil {
			write(out, data, &info)
		}
		if seen.packets%4096 == 0 {
			if atomic.LoadInt32(&stop) != 0 {
				return
			}
			last = time.Now()
		}
	}
}

func main() {
	var out *bufio.Writer
	var seen sums
	flag.Parse()
	if *recordsPath != "" {
		file, err := os.Create(*recordsPath)
		if err != nil {
			fail(err)
		}
		defer file.Close()
		out = bufio.NewWriterSize(file, 1<<20)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		atomic.StoreInt32(&stop, 1)
	}()
	handle := open()
	fmt.Println("ready")
	beginUser, beginSystem := cpuNs()
	readAll(handle, out, &seen)
	user, system := cpuNs()
	user -= beginUser
	system -= beginSystem
	socket, socketV3, err := handle.SocketStats()
	if err != nil {
		fail(err)
	}
	stats, _ := handle.Stats()
	if out != nil {
		if err := out.Flush(); err != nil {
			fail(err)
		}
	}
	fmt.Printf("{\"packets\": %d, \"bytes\": %d, \"touched\": %d, \"dropped\": %d, \"polls\": %d, \"cpu_ns\": %d, "+
		"\"user_ns\": %d}\n", seen.packets, seen.bytes, seen.touched, socket.Drops()+socketV3.Drops(), stats.Polls,
		user+system, user)
	handle.Close()
}
