// Package ipflow takes captured frames apart down to what IPsec is carried
// in: UDP datagrams, ESP and AH packets, ICMP messages, TCP segments and the
// IKE records inside a TCP stream (RFC 9329). It undoes link layers, VLAN
// tags, IP fragmentation (RFC 791, RFC 8200) and tunnels, and says which of
// them it met.
//
// Contract: input is hostile. Whatever the frames hold, a Walker never panics
// and its memory stays within its Limits. It asks no clock: time is what the
// frames say. The common path, Ethernet and IP and UDP, allocates nothing. A
// Walker is not safe for concurrent use.
package ipflow

import (
	"errors"
	"net/netip"
	"time"
)

// The IP protocol numbers (IANA) that a Datagram can have in Proto; others
// are handed on as they are, with the whole IP payload.
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoESP    = 50
	ProtoAH     = 51
	ProtoICMPv6 = 58
)

// Datagram is one transport datagram. It and all that it refers to is valid
// only until the function that was given it returns: copy what is to be kept.
type Datagram struct {
	Frame int64     // number of the frame that completed it
	Time  time.Time // capture time of that frame

	Src, Dst         netip.Addr
	SrcPort, DstPort uint16 // UDP and TCP
	Proto            uint8
	TTL              uint8 // hop limit for IPv6
	DSCP             uint8 // 0 to 63
	ECN              uint8 // 0 to 3
	DF               bool  // IPv4: don't fragment
	Truncated        bool  // octets are missing at the end: the snap length cut them, or a length field claims too much
	Encap            Encap

	Length  int    // IP payload length in octets as the header claims it, extension headers included
	Offset  int    // of Payload in the frame's data; -1 where it was put together from several frames
	Payload []byte // UDP, TCP: what follows that header; TCPRecord: one record; else the whole IP payload

	VLANs     []uint16 // VLAN ids, outermost first
	Outer     []Tunnel // tunnels around this datagram, outermost first
	Fragments []int64  // frame numbers of the IP fragments in order of arrival; empty where there was one piece
	TCP       TCP      // Proto 6
}

// Encap says what the payload was taken out of, beyond IP and the ports.
type Encap uint8

// A datagram is whole, or a record of a TCP stream.
const (
	EncapNone Encap = iota
	TCPRecord       // one record of RFC 9329 without its length: an IKE message after the non-ESP marker, or ESP
)

// TCP is what is kept of a TCP header.
type TCP struct {
	Seq, Ack   uint32
	Flags      uint8 // FIN 0x01, SYN 0x02, RST 0x04, PSH 0x08, ACK 0x10, URG 0x20
	Window     uint16
	Retransmit bool // all its octets were seen before (only in a stream that carries IKE)
}

// TCP header flags.
const (
	FlagFIN = 0x01
	FlagSYN = 0x02
	FlagRST = 0x04
	FlagPSH = 0x08
	FlagACK = 0x10
)

// Tunnel is one encapsulation that was opened on the way in.
type Tunnel struct {
	Kind     TunnelKind
	Src, Dst netip.Addr
	ID       uint32 // VXLAN: network identifier; GRE: key; else 0
	HasID    bool   // ID was there
}

// TunnelKind names an encapsulation.
type TunnelKind uint8

// The encapsulations that are opened.
const (
	TunnelGRE    TunnelKind = iota + 1 // RFC 2784, RFC 2890
	TunnelIPIP                         // RFC 2003: IPv4 in IPv4; RFC 2473: IPv4 or IPv6 in IPv6
	Tunnel6in4                         // RFC 4213: IPv6 in IPv4
	TunnelVXLAN                        // RFC 7348
	TunnelERSPAN                       // a mirrored port: Ethernet in GRE
)

// String gives the name as operators write it.
func (k TunnelKind) String() string {
	switch k {
	case TunnelGRE:
		return "gre"
	case TunnelIPIP:
		return "ipip"
	case Tunnel6in4:
		return "6in4"
	case TunnelVXLAN:
		return "vxlan"
	case TunnelERSPAN:
		return "erspan"
	}
	return "unknown"
}

// What Walk can say of a frame that yields nothing. All but ErrNotIP mean
// that the frame is damaged, or captured with too short a snap length.
var (
	ErrNotIP     = errors.New("frame carries no IP")
	ErrLink      = errors.New("link type is not supported")
	ErrShortLink = errors.New("frame ends inside the link-layer header")
	ErrShortIP   = errors.New("frame ends inside the IP header")
	ErrIPHeader  = errors.New("IP header is malformed")
	ErrTransport = errors.New("UDP or TCP header is cut or malformed")
	ErrFragment  = errors.New("IP fragment is malformed")
)

// Limits bounds what a Walker holds on to. A zero field means its default.
type Limits struct {
	FragmentGroups  int           // datagrams in reassembly at once; 1024
	FragmentOctets  int           // octets of fragments held in total; 4 MiB
	FragmentsEach   int           // fragments of one datagram; 256
	FragmentTimeout time.Duration // from the first fragment seen, by capture time; 30 s (RFC 791 section 3.2, Linux's default)
	Streams         int           // TCP streams followed at once, each direction one; 4096
	StreamOctets    int           // octets held for TCP streams in total; 8 MiB
	Tunnels         int           // tunnels opened inside each other; 4
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.FragmentGroups, 1024)
	set(&l.FragmentOctets, 4<<20)
	set(&l.FragmentsEach, 256)
	set(&l.Streams, 4096)
	set(&l.StreamOctets, 8<<20)
	set(&l.Tunnels, maxTunnels)
	l.Tunnels = min(l.Tunnels, maxTunnels)
	if l.FragmentTimeout <= 0 {
		l.FragmentTimeout = 30 * time.Second
	}
	return l
}

// Options changes what a Walker does. The zero value is ready to use.
type Options struct {
	Limits   Limits
	TCPPorts []uint16           // TCP ports that carry IKE besides 4500; streams that begin with "IKETCP" are found on any port
	Loss     func(FragmentLoss) // called for each datagram whose fragments never came together; may be nil
}

// Stats counts what a Walker has met.
type Stats struct {
	Frames      int64 // given to Walk
	Datagrams   int64 // yielded, TCP records among them
	NotIP       int64 // frames without IP, or of a link type that is not supported
	Malformed   int64 // frames with a header that is cut or wrong
	Truncated   int64 // datagrams yielded that miss octets
	Fragments   int64 // IP fragments
	Reassembled int64 // datagrams put together from fragments
	Lost        int64 // datagrams whose fragments never came together
	Records     int64 // IKE and ESP records found in TCP streams
	StreamGaps  int64 // times that a TCP stream was resumed after octets the capture misses
}
