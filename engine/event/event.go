// Package event is the vocabulary of what happened: the one form in which a
// capture, our own engine, a strongSwan daemon and the host tell the rest of
// the program what they saw, and its JSON form.
//
// Contract: an Event and all that it points to is valid until the source
// yields the next one; who keeps something copies it.
package event

import (
	"net/netip"
	"time"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Event is one thing that happened. Exactly one of the pointers is set.
type Event struct {
	Time  time.Time
	Frame int64 // frame of the capture, 0 where the source is none
	// Number is the place among all that a daemon has told since it started,
	// from 1; 0 where the source does not number what it tells.
	Number uint64 `json:",omitempty"`

	Packet *Packet       // an IKE, ESP, AH or keepalive packet
	ICMP   *ICMPError    // a router or host refused an IKE or ESP packet
	Loss   *FragmentLoss // IP fragments of a datagram never came together
	Gap    *Gap          // the source missed something

	// What a daemon tells.
	Table  *Table  // all its SAs at one moment
	Change *Change // an SA came up, went down, moved or was replaced
	Log    *Log    // a line of its log
	Alert  *Alert  // it complains

	// What our own engine tells beside its changes and its packets.
	Check *Check // it compared something of the peer's with its own
	Step  *Step  // it did something, or something happened to it
}

// Proto says what a Packet is.
type Proto uint8

// The kinds of packet.
const (
	IKEv1 Proto = iota + 1
	IKEv2
	ESP
	AH
	Keepalive
)

// String gives the name in JSON and text.
func (p Proto) String() string {
	switch p {
	case IKEv1:
		return "ikev1"
	case IKEv2:
		return "ikev2"
	case ESP:
		return "esp"
	case AH:
		return "ah"
	case Keepalive:
		return "natt-keepalive"
	}
	return "unknown"
}

// Encap says how a Packet was carried.
type Encap uint8

// The encapsulations.
const (
	UDP     Encap = iota + 1 // UDP without a marker
	UDPNATT                  // RFC 3948: behind a non-ESP marker, or ESP in UDP
	TCP                      // RFC 9329
	IP                       // directly in IP
)

// String gives the name in JSON and text.
func (e Encap) String() string {
	switch e {
	case UDP:
		return "udp"
	case UDPNATT:
		return "udp-natt"
	case TCP:
		return "tcp"
	case IP:
		return "ip"
	}
	return "unknown"
}

// Tunnel is an outer layer that a Packet was found inside.
type Tunnel struct {
	Kind     string // gre, ipip, vxlan
	Src, Dst netip.Addr
	ID       uint32 // VXLAN network identifier or GRE key, 0 where none
}

// Packet is one packet that this program exists for.
type Packet struct {
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16 // 0 where there is no transport
	Proto            Proto
	Encap            Encap
	Length           int    // octets of the IKE message or of the ESP or AH packet
	Octets           []byte // those that were captured
	Truncated        bool   // fewer octets were captured than were sent
	TTL              uint8
	VLANs            []uint16
	Outer            []Tunnel
	IPFragments      []int64 // frames of the IP fragments that it was reassembled from

	IKE *IKE // for IKEv1 and IKEv2
	ESP *SecurityPacket
	AH  *SecurityPacket
}

// IKE is a decoded IKE message.
type IKE struct {
	Message *wire.Message
	Err     error // why Message is not whole, nil where it is

	// What keys have opened. Of a set of IKE fragments each may be Decrypted;
	// Inner and Plain are on the one that completes the set and else nil.
	Decrypted     bool
	DecryptError  string         // with keys given: why they do not open it
	Inner         []wire.Payload // offsets are into Plain
	InnerProblems []wire.Problem
	Plain         []byte // the decrypted chain without padding

	Fragment *Fragment // for SKF
}

// Fragment places an IKE fragment (RFC 7383) in its set.
type Fragment struct {
	Number, Total uint16
	Frames        []int64 // of the whole set in order of number, on the frame that completed it
}

// Payloads gives the readable payload chain: the decrypted inner one where
// keys opened the message, else the outer one.
func (k *IKE) Payloads() []wire.Payload {
	if k.Inner != nil {
		return k.Inner
	}
	return k.Message.Payloads
}

// SecurityPacket is an ESP or AH packet.
type SecurityPacket struct {
	SPI          wire.ESPSPI
	Seq          uint32
	Decrypted    bool
	DecryptError string
	ICVOK        bool // with keys: the integrity check value holds
	NextHeader   uint8
	Inner        *Inner
}

// Inner is the packet found inside an ESP packet.
type Inner struct {
	Src, Dst         netip.Addr // invalid in transport mode
	Protocol         uint8
	SrcPort, DstPort uint16
	Length           int
}

// ICMPError is an ICMP or ICMPv6 error message about an IKE, ESP or AH packet.
type ICMPError struct {
	From       netip.Addr // who says so
	To         netip.Addr
	V6         bool
	Type, Code uint8
	MTU        uint32 // of "fragmentation needed" and "packet too big"
	What       string // in words: "port unreachable"
	// The packet complained about.
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16
	Protocol         uint8
	SPI              wire.SPI // of a quoted IKE header, 0 where not quoted
}

// FragmentLoss is a set of IP fragments that stayed incomplete.
type FragmentLoss struct {
	Src, Dst         netip.Addr
	SrcPort, DstPort uint16 // 0 where the first fragment is missing
	Protocol         uint8
	Have             int      // fragments seen
	First            bool     // the first fragment is among them
	Last             bool     // the last fragment is among them
	Frames           []int64  // of the fragments seen
	SPI              wire.SPI // of the IKE header in the first fragment, 0 where none
	Exchange         wire.ExchangeType
	MessageID        uint32
	Why              string // in words: "the missing fragments did not come in time"
}

// Gap says that a source missed something: frames dropped by the kernel, a
// daemon that was away, a file that ended early.
type Gap struct {
	What    string
	Dropped uint64 // frames or events known to be lost, 0 where not known
	// Away says that the source itself is lost until its next event.
	Away bool
}
