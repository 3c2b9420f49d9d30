package ipflow

import (
	"encoding/binary"
	"net/netip"
)

// portIKE is where IKE over TCP listens unless told otherwise (RFC 9329
// section 4).
const portIKE = 4500

// prefixIKE is what the originator of the connection sends first (RFC 9329
// section 4).
const prefixIKE = "IKETCP"

// tcp opens a TCP segment (RFC 9293), yields it, and then what records of IKE
// and ESP it completes.
func (w *Walker) tcp(b []byte) error {
	if len(b) < 20 {
		return ErrTransport
	}
	head := int(b[12]>>4) * 4
	if head < 20 || len(b) < head {
		return ErrTransport
	}
	d := &w.d
	d.SrcPort = binary.BigEndian.Uint16(b)
	d.DstPort = binary.BigEndian.Uint16(b[2:])
	d.TCP = TCP{
		Seq:    binary.BigEndian.Uint32(b[4:]),
		Ack:    binary.BigEndian.Uint32(b[8:]),
		Flags:  b[13],
		Window: binary.BigEndian.Uint16(b[14:]),
	}
	b = b[head:]
	w.payload(b)

	ss := &w.streams
	key := flow{src: d.Src, dst: d.Dst, sport: d.SrcPort, dport: d.DstPort}
	s := ss.find(key, &d.TCP, b)
	if s == nil {
		w.emit()
		if d.TCP.Flags&FlagACK != 0 && len(ss.by) > 0 {
			w.acknowledged(ss.by[key.reverse()])
		}
		return nil
	}
	seq := d.TCP.Seq
	if d.TCP.Flags&FlagSYN != 0 {
		seq++
	}
	d.TCP.Retransmit = len(b) > 0 && int32(seq+uint32(len(b))-s.next) <= 0
	truncated, claim := d.Truncated, d.Length-head
	w.emit()
	d.TCP.Retransmit = false
	w.arrive(s, seq, b)
	if truncated && claim > len(b) && s.next == seq+uint32(len(b)) {
		// The snap length cut the rest: it will not come.
		s.next = seq + uint32(claim)
		s.spoil()
		w.stats.StreamGaps++
	}
	w.acknowledged(ss.by[key.reverse()])
	// After a FIN the stream is kept: segments sent again must be known as
	// such. A new connection on the same ports begins with a SYN.
	if d.TCP.Flags&FlagRST != 0 {
		ss.drop(s)
		if back := ss.by[key.reverse()]; back != nil {
			ss.drop(back)
		}
	}
	return nil
}

// flow is one direction of a TCP connection.
type flow struct {
	src, dst     netip.Addr
	sport, dport uint16
}

func (f flow) reverse() flow {
	return flow{src: f.dst, dst: f.src, sport: f.dport, dport: f.sport}
}

// arrive takes in a segment's octets: drops those seen before, keeps those
// that are ahead, and reads records from those that are next.
func (w *Walker) arrive(s *stream, seq uint32, b []byte) {
	if len(b) == 0 || s.foreign {
		return
	}
	ss := &w.streams
	ahead := int32(seq - s.next)
	if ahead > 0 {
		if !ss.keep(s, seq, b) {
			return
		}
		if len(s.waiting) > maxWaiting || ahead > maxAhead {
			w.resume(s)
		}
		return
	}
	if int(-ahead) >= len(b) {
		return
	}
	w.consume(s, b[-ahead:], true)
	w.drain(s)
}

// drain goes on with kept segments that have become next.
func (w *Walker) drain(s *stream) {
	ss := &w.streams
	for len(s.waiting) > 0 {
		seg := s.waiting[0]
		ahead := int32(seg.seq - s.next)
		if ahead > 0 {
			return
		}
		s.waiting = s.waiting[1:]
		ss.held -= len(seg.data)
		if int(-ahead) < len(seg.data) {
			w.consume(s, seg.data[-ahead:], false)
		}
	}
	s.waiting = nil
}

// acknowledged gives up on octets that the other side has confirmed but the
// capture misses, so that those behind them wait no longer. The current frame
// is one of the other direction.
func (w *Walker) acknowledged(s *stream) {
	d := &w.d
	if s == nil || len(s.waiting) == 0 || d.TCP.Flags&FlagACK == 0 || int32(d.TCP.Ack-s.waiting[0].seq) <= 0 {
		return
	}
	saved := *d
	d.Src, d.Dst, d.SrcPort, d.DstPort = s.key.src, s.key.dst, s.key.sport, s.key.dport
	d.TTL, d.DSCP, d.ECN, d.TCP = 0, 0, 0, TCP{} // those of the other direction would be wrong
	w.resume(s)
	*d = saved
}

// resume steps over a gap to the first kept segment.
func (w *Walker) resume(s *stream) {
	w.stats.StreamGaps++
	s.next = s.waiting[0].seq
	s.spoil()
	w.drain(s)
}

// consume reads records from the octets that are next in the stream. current
// says that they are of the current frame.
func (w *Walker) consume(s *stream, b []byte, current bool) {
	ss := &w.streams
	s.next += uint32(len(b))
	whole := b
	kept := len(s.pending) > 0
	if kept {
		s.pending = append(s.pending, b...)
		whole = s.pending
	}
	rest := w.records(s, whole, current && !kept)
	ss.held -= s.counted
	switch {
	case len(rest) == 0:
		s.pending = s.pending[:0]
	case kept:
		s.pending = s.pending[:copy(s.pending, rest)]
	default:
		s.pending = append(s.pending[:0], rest...)
	}
	s.counted = len(s.pending)
	ss.held += s.counted
	ss.shrink(s)
}

// records yields the whole records at the start of b and returns what is
// left, part of the next one. current says that b is of the current frame.
func (w *Walker) records(s *stream, b []byte, current bool) []byte {
	if s.start != startDone {
		n, ok := s.begin(b)
		if !ok {
			return b
		}
		b = b[n:]
	}
	if s.foreign {
		return nil
	}
	if !s.synced {
		if !plausible(b) {
			return nil
		}
		s.synced = true
	}
	for len(b) >= 2 {
		// The length counts its own two octets.
		n := int(binary.BigEndian.Uint16(b))
		if n < 2 {
			s.synced = false
			return nil
		}
		if len(b) < n {
			break
		}
		if n > 2 {
			w.record(b[2:n], current)
		}
		b = b[n:]
	}
	return b
}

// record yields one record.
func (w *Walker) record(b []byte, current bool) {
	d := &w.d
	saved := *d
	d.Encap = TCPRecord
	d.Truncated = false
	d.Payload = b
	if d.Offset = -1; current && len(d.Fragments) == 0 {
		d.Offset = w.offset(b)
	}
	w.stats.Records++
	w.emit()
	*d = saved
}

// plausible says whether a record begins at b: where the capture lacks the
// stream's beginning, or a part of it, nothing else shows where records do.
func plausible(b []byte) bool {
	const ike = 2 + 4 + 28 // length, non-ESP marker, IKE header
	for range 64 {
		if len(b) < 2 {
			return false
		}
		n := int(binary.BigEndian.Uint16(b))
		if len(b) >= ike && b[2]|b[3]|b[4]|b[5] == 0 {
			version := b[2+4+17]
			return (version == 0x20 || version == 0x10) && binary.BigEndian.Uint32(b[2+4+24:]) == uint32(n-6)
		}
		// An ESP packet has nothing to know it by but that records fill
		// the segment to its end.
		if n < 2+8+2 || n > len(b) {
			return false
		}
		if b = b[n:]; len(b) == 0 {
			return true
		}
	}
	return true
}
