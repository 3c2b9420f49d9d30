package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// The sizes of batches.
const (
	readMessages  = 8   // datagrams, each of which may be several joined, a read
	writeMessages = 128 // a write
	maxSegments   = 64  // datagrams in one that the kernel takes apart
	// maxJoined is the most octets that datagrams have that are handed over
	// joined.
	maxJoined  = 65000
	socketRoom = 4 << 20 // octets of a socket's buffers
)

// batchConn moves many UDP datagrams, or packets of another IP protocol, with
// one call: several messages at once, and several datagrams of one size to one
// peer in a message where the kernel splits and joins them (UDP_SEGMENT,
// UDP_GRO).
type batchConn struct {
	local    netip.AddrPort
	six      bool
	udp      bool
	joins    bool // the kernel takes joined datagrams apart
	in       func(ms []ipv4.Message, flags int) (int, error)
	out      func(ms []ipv4.Message, flags int) (int, error)
	messages []ipv4.Message // of reads
	packets  []ESPPacket
}

// newBatchConn makes ready a socket that a *net.UDPConn or *net.IPConn is of.
func newBatchConn(c net.PacketConn) (*batchConn, error) {
	b := &batchConn{}
	var raw syscall.RawConn
	var err error
	switch c := c.(type) {
	case *net.UDPConn:
		b.udp = true
		if b.local, err = localAddr(c); err != nil {
			return nil, err
		}
		raw, err = c.SyscallConn()
	case *net.IPConn:
		addr, ok := netip.AddrFromSlice(c.LocalAddr().(*net.IPAddr).IP)
		if !ok {
			return nil, fmt.Errorf("socket %v is not bound to one address", c.LocalAddr())
		}
		b.local = netip.AddrPortFrom(addr.Unmap(), 0)
		raw, err = c.SyscallConn()
	default:
		return nil, fmt.Errorf("socket %v is neither UDP nor IP", c.LocalAddr())
	}
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", b.local, err)
	}
	b.six = b.local.Addr().Is6()
	if b.six {
		p := ipv6.NewPacketConn(c)
		b.in, b.out = p.ReadBatch, p.WriteBatch
	} else {
		p := ipv4.NewPacketConn(c)
		b.in, b.out = p.ReadBatch, p.WriteBatch
	}
	var setup error
	if err := raw.Control(func(fd uintptr) { setup = b.options(int(fd)) }); err != nil {
		return nil, fmt.Errorf("socket %s: %w", b.local, err)
	}
	if setup != nil {
		return nil, fmt.Errorf("socket %s: %w", b.local, setup)
	}
	b.messages = make([]ipv4.Message, readMessages)
	for i := range b.messages {
		b.messages[i].Buffers = [][]byte{make([]byte, maxDatagram)}
		b.messages[i].OOB = make([]byte, 128)
	}
	return b, nil
}

// options asks for what makes a socket quick. What a kernel does not have it
// does without.
func (b *batchConn) options(fd int) error {
	for _, o := range []struct{ forced, usual int }{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.forced, socketRoom) != nil {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, o.usual, socketRoom); err != nil {
				return os.NewSyscallError("setsockopt", err)
			}
		}
	}
	if b.six {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
	} else {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	}
	if b.udp {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
		_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		b.joins = err == nil
	}
	return nil
}

// read gives the datagrams that have come, at least one. They are valid until
// the next read.
func (b *batchConn) read() ([]ESPPacket, error) {
	n, err := b.in(b.messages, 0)
	if err != nil {
		return nil, err
	}
	b.packets = b.packets[:0]
	for i := range b.messages[:n] {
		m := &b.messages[i]
		from, ok := remoteOf(m.Addr)
		if !ok {
			continue
		}
		segment, tos := control(m.OOB[:m.NN])
		octets := m.Buffers[0][:m.N]
		if !b.udp && !b.six {
			octets = behindHeader(octets, &tos)
		}
		for len(octets) > 0 {
			size := len(octets)
			if segment > 0 {
				size = min(size, segment)
			}
			b.packets = append(b.packets, ESPPacket{Remote: from, Octets: octets[:size:size], TOS: tos})
			octets = octets[size:]
		}
	}
	return b.packets, nil
}

func remoteOf(a net.Addr) (netip.AddrPort, bool) {
	switch a := a.(type) {
	case *net.UDPAddr:
		p := a.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()), true
	case *net.IPAddr:
		addr, ok := netip.AddrFromSlice(a.IP)
		return netip.AddrPortFrom(addr.Unmap(), 0), ok
	}
	return netip.AddrPort{}, false
}

// behindHeader cuts off the IPv4 header that a raw socket gives, and takes the
// traffic class from it.
func behindHeader(b []byte, tos *uint8) []byte {
	if len(b) < 20 || b[0]>>4 != 4 || int(b[0]&15)*4 > len(b) {
		return nil
	}
	*tos = b[1]
	return b[int(b[0]&15)*4:]
}

// The form of control messages: a length of the size of a pointer, level and
// kind, and the data, aligned to pointers.
const (
	controlLength = unix.SizeofCmsghdr - 8
	controlAlign  = unix.SizeofPtr
)

func aligned(n int) int { return (n + controlAlign - 1) &^ (controlAlign - 1) }

// control reads what came beside a message: the size of the datagrams that
// were joined, 0 for one alone, and its traffic class.
func control(oob []byte) (segment int, tos uint8) {
	for len(oob) >= unix.SizeofCmsghdr {
		length := uint64(binary.NativeEndian.Uint32(oob))
		if controlLength == 8 {
			length = binary.NativeEndian.Uint64(oob)
		}
		level, kind := binary.NativeEndian.Uint32(oob[controlLength:]), binary.NativeEndian.Uint32(oob[controlLength+4:])
		if length < unix.SizeofCmsghdr || length > uint64(len(oob)) {
			return segment, tos
		}
		data := oob[unix.SizeofCmsghdr:length]
		switch {
		case level == unix.IPPROTO_UDP && kind == unix.UDP_GRO && len(data) >= 4:
			segment = int(binary.NativeEndian.Uint32(data))
		case level == unix.IPPROTO_IP && kind == unix.IP_TOS && len(data) >= 1:
			tos = data[0]
		case level == unix.IPPROTO_IPV6 && kind == unix.IPV6_TCLASS && len(data) >= 4:
			tos = uint8(binary.NativeEndian.Uint32(data))
		}
		oob = oob[min(len(oob), aligned(int(length))):]
	}
	return max(segment, 0), tos
}

// appendControl appends the head of a control message whose data, of n octets,
// is to follow.
func appendControl(oob []byte, level, kind uint32, n int) []byte {
	if controlLength == 8 {
		oob = binary.NativeEndian.AppendUint64(oob, uint64(unix.SizeofCmsghdr+n))
	} else {
		oob = binary.NativeEndian.AppendUint32(oob, uint32(unix.SizeofCmsghdr+n))
	}
	oob = binary.NativeEndian.AppendUint32(oob, level)
	return binary.NativeEndian.AppendUint32(oob, kind)
}

// padded fills a control message up.
func padded(oob []byte) []byte {
	for len(oob)%controlAlign != 0 {
		oob = append(oob, 0)
	}
	return oob
}

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
		s.messages[i].OOB = make([]byte, 0, 64)
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
