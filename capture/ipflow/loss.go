package ipflow

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// FragmentLoss tells of a datagram whose fragments were not all captured. It
// owns what it refers to.
type FragmentLoss struct {
	Src, Dst netip.Addr
	ID       uint32 // the IP identification
	Proto    uint8  // 0 where it is not known: IPv6 without the first fragment
	Reason   LossReason

	HasFirst         bool   // the first fragment was captured; without it the next three are empty
	SrcPort, DstPort uint16 // UDP
	Head             []byte // the start of the payload, after the UDP header where there is one: up to 64 octets

	FirstTime, LastTime time.Time
	Frames              []int64 // the fragments captured, in order of arrival
	Octets              int     // of the datagram that they carry
	Total               int     // octets of the whole datagram; 0 where the last fragment is missing
	Missing             []Gap   // in order
}

// Gap is a part of a datagram that was not captured. Length 0 means up to an
// end that is not known.
type Gap struct {
	Offset, Length int
}

// LossReason says why a datagram was given up.
type LossReason uint8

// The reasons.
const (
	LossTimeout LossReason = iota + 1 // the rest did not come in time
	LossEnd                           // the capture ended
	LossOverlap                       // fragments contradict each other: a receiver drops them all (RFC 5722, and Linux for IPv4)
	LossLimit                         // a limit of the Walker, not a fault of the network
)

// String says it in words.
func (r LossReason) String() string {
	switch r {
	case LossTimeout:
		return "the missing fragments did not come in time"
	case LossEnd:
		return "the capture ended before the missing fragments"
	case LossOverlap:
		return "fragments overlap"
	case LossLimit:
		return "too many fragments to keep"
	}
	return "unknown"
}

// report counts a group that is given up, and tells of it.
func (r *reassembler) report(g *group, why LossReason) {
	r.stats.Lost++
	if r.loss == nil {
		return
	}
	l := FragmentLoss{
		Src: g.key.src, Dst: g.key.dst, ID: g.key.id, Proto: g.key.proto, Reason: why,
		FirstTime: g.first, LastTime: g.last,
		Frames: append([]int64(nil), g.frames...),
		Octets: g.have,
		Total:  max(g.total, 0),
	}
	reach := 0
	for _, s := range g.pieces {
		if s.from > reach {
			l.Missing = append(l.Missing, Gap{Offset: reach, Length: s.from - reach})
		}
		reach = s.to
	}
	switch {
	case g.total < 0:
		l.Missing = append(l.Missing, Gap{Offset: reach})
	case reach < g.total:
		l.Missing = append(l.Missing, Gap{Offset: reach, Length: g.total - reach})
	}
	if len(g.pieces) > 0 && g.pieces[0].from == 0 {
		l.HasFirst = true
		if g.key.six {
			l.Proto = g.nextHeader
		}
		head := g.head
		if l.Proto == ProtoUDP && len(head) >= 8 {
			l.SrcPort = binary.BigEndian.Uint16(head)
			l.DstPort = binary.BigEndian.Uint16(head[2:])
			head = head[8:]
		}
		l.Head = append([]byte(nil), head...)
	}
	r.loss(l)
}
