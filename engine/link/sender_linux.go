package link

import (
	"encoding/binary"
	"errors"
	"net"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// sender collects packets and writes them with few calls. It is for one
// goroutine.
type sender struct {
	conn     *batchConn
	messages []ipv4.Message
	used     int
	joined   int     // octets of the message that is open
	size     int     // of its datagrams; a smaller one ends it
	open     bool    // it takes more
	tos      []uint8 // traffic class of each message
	dropped  func(packets int, err error)
}

// newSender makes a sender. dropped is told of packets that could not be sent.
func newSender(b *batchConn, dropped func(packets int, err error)) *sender {
	s := &sender{conn: b, messages: make([]ipv4.Message, writeMessages), tos: make([]uint8, writeMessages), dropped: dropped}
	for i := range s.messages {
		s.messages[i].Buffers = make([][]byte, 0, maxSegments)
		s.messages[i].OOB = make([]byte, 0, 128)
	}
	return s
}

// add takes a packet for an address; it must stay as it is until flush.
func (s *sender) add(packet []byte, to net.Addr, tos uint8) {
	if s.open {
		m := &s.messages[s.used-1]
		if m.Addr == to && s.tos[s.used-1] == tos && len(packet) <= s.size && len(m.Buffers) < maxSegments && s.joined+len(packet) <= maxJoined {
			m.Buffers = append(m.Buffers, packet)
			s.joined += len(packet)
			s.open = len(packet) == s.size
			return
		}
	}
	if s.used == len(s.messages) {
		s.flush()
	}
	m := &s.messages[s.used]
	m.Buffers = append(m.Buffers[:0], packet)
	m.Addr, s.tos[s.used] = to, tos
	s.used++
	s.joined, s.size, s.open = len(packet), len(packet), s.conn.joins
}

// flush writes what was collected.
func (s *sender) flush() {
	for i := range s.messages[:s.used] {
		s.messages[i].OOB = s.controls(s.messages[i].OOB[:0], len(s.messages[i].Buffers), len(s.messages[i].Buffers[0]), s.tos[i])
	}
	for at := 0; at < s.used; {
		n, err := s.conn.out(s.messages[at:s.used], 0)
		at += max(n, 0)
		if err == nil {
			continue
		}
		if at >= s.used {
			break
		}
		if m := &s.messages[at]; len(m.Buffers) > 1 && errors.Is(err, unix.EIO) {
			// The device cannot compute the checksums of what is joined.
			s.conn.joins = false
			s.apart(at, s.used)
			break
		}
		s.dropped(len(s.messages[at].Buffers), err)
		at++
	}
	s.used, s.open = 0, false
}

// controls makes the control messages of n datagrams of a size.
func (s *sender) controls(oob []byte, n, size int, tos uint8) []byte {
	oob = append(oob, s.conn.source...)
	if n > 1 {
		oob = appendControl(oob, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
		oob = padded(binary.NativeEndian.AppendUint16(oob, uint16(size)))
	}
	switch {
	case tos == 0:
	case s.conn.six:
		oob = appendControl(oob, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 4)
		oob = padded(binary.NativeEndian.AppendUint32(oob, uint32(tos)))
	default:
		oob = appendControl(oob, unix.IPPROTO_IP, unix.IP_TOS, 4)
		oob = padded(binary.NativeEndian.AppendUint32(oob, uint32(tos)))
	}
	return oob
}

// apart writes joined datagrams one by one.
func (s *sender) apart(from, to int) {
	for i := from; i < to; i++ {
		m := &s.messages[i]
		for _, b := range m.Buffers {
			one := []ipv4.Message{{Buffers: [][]byte{b}, Addr: m.Addr, OOB: s.controls(nil, 1, len(b), s.tos[i])}}
			if _, err := s.conn.out(one, 0); err != nil {
				s.dropped(1, err)
			}
		}
	}
}
