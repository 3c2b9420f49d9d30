// Package capture brings frames in: from pcap and pcapng files, plain or
// gzipped, from standard input, and live from a network interface. A Source
// is the same thing for all of them; package dissect turns its frames into
// events.
//
// Contract: whatever a file says, memory stays bounded. A Source yields every
// frame that could be read and then, once, the error that ended it; the error
// says at which octet of which file, and is a *FormatError where the file is
// at fault.
package capture

import (
	"fmt"
	"iter"
	"time"
)

// LinkType is a link-layer header type, numbered as in the pcap LINKTYPE_
// registry.
type LinkType uint32

// The link types that package dissect can open.
const (
	LinkNull     LinkType = 0   // BSD loopback: 4 octets address family, host order
	LinkEthernet LinkType = 1   // IEEE 802.3, with VLAN tags
	LinkPPP      LinkType = 9   // PPP, with or without HDLC-like framing
	LinkRaw      LinkType = 101 // IPv4 or IPv6 header first
	LinkLoop     LinkType = 108 // OpenBSD loopback: address family, network order
	LinkLinuxSLL LinkType = 113 // Linux cooked capture
	LinkIPv4     LinkType = 228 // IPv4 header first
	LinkIPv6     LinkType = 229 // IPv6 header first
	LinkSLL2     LinkType = 276 // Linux cooked capture, version 2
)

// Frame is one captured link-layer frame.
type Frame struct {
	Number  int64     // 1 for the first frame of the Source, over all its files
	Time    time.Time // capture time; the zero time where the file has none
	Link    LinkType
	Length  int    // octets on the wire; Data may hold fewer
	Data    []byte // octets captured; valid until the next frame is asked for
	Comment string // the frame's pcapng comment, "" where there is none
}

// Source yields frames in the order in which they were captured, then at most
// one error. It can be ranged over once. Breaking out of the loop releases
// what the Source holds.
type Source interface {
	Frames() iter.Seq2[Frame, error]
}

// FormatError says what is wrong with a capture file, and where.
type FormatError struct {
	File   string // as the user named it; "-" for standard input
	Offset int64  // octets from the start of the (decompressed) file
	What   string // for example "frame header says 4294967295 octets, limit is 262144"
	Err    error  // the cause, where another package knows more
}

// Error gives file, offset and fault in one line.
func (e *FormatError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: at octet %d: %s: %v", e.File, e.Offset, e.What, e.Err)
	}
	return fmt.Sprintf("%s: at octet %d: %s", e.File, e.Offset, e.What)
}

// Unwrap gives the cause.
func (e *FormatError) Unwrap() error { return e.Err }
