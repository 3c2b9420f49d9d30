// Package feed is the read model between a source and the screen: tables,
// findings and an index of packets that a loading goroutine fills and the
// screen reads at its own pace, one look a frame.
//
// Contract: what a Data gives may be read between Hold and Release only, and
// nothing of it may be written. The loader never waits for the screen longer
// than a frame takes to draw, the screen never longer than one event takes to
// fold. Memory is bounded: the index forgets its oldest packets, and says how
// many.
package feed

import (
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/diag"
	"github.com/cloudvlan/cvlanctl/engine/trace"
)

// Data is what the screen reads.
type Data interface {
	// Title names the source as in the JSON: "pcap:x.pcap". It never changes.
	Title() string
	// Live says that the source goes on for as long as one looks.
	Live() bool
	// Version changes whenever anything below does. It needs no Hold.
	Version() uint64

	// Hold keeps everything as it is until Release.
	Hold()
	Release()

	Trace() *trace.Trace // never nil
	Findings() []diag.Finding
	Packets() PacketList
	Progress() Progress

	// Daemon is nil where the source is none; that never changes.
	Daemon() *Daemon
	Log() LogList
}

// PacketList is an index of packets in the order in which they came.
type PacketList interface {
	Len() int
	At(i int) Packet
	// Forgotten is how many packets came before the first of the list.
	Forgotten() int64
	// Find gives the index of the packet on a frame, or of the first behind
	// it; Len where there is none, and false where the frame is not there.
	Find(frame int64) (int, bool)
}

// Packet is a line of the index.
type Packet struct {
	Frame    int64
	Time     time.Time
	Src, Dst netip.AddrPort // ports 0 where there is no transport
	Proto    string         // ikev1 ikev2 esp ah natt-keepalive icmp fragments gap
	Length   int            // octets of the IKE message, of the ESP or AH packet
	Summary  string         // one line in words, not cleaned
	Problem  bool           // something is wrong with this very packet
}

// Progress says how far the source has been read.
type Progress struct {
	Events int64
	Read   int64 // octets of the source's files read so far
	Size   int64 // octets of the source's files, 0 where not known
	Done   bool  // there is no more, or not until the source says so
	Err    error // what ended it
}
