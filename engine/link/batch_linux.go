package link

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"
)

// The sizes of batches.
const (
	readDatagrams = 32  // datagrams, each of which may be several joined, a read
	readPackets   = 64  // packets of another protocol a read
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
	joins    bool   // the kernel takes joined datagrams apart
	own      bool   // reads end with it
	source   []byte // control message with the source address of what is written, where a socket does not tell it
	sockets  []*waiting
	in       func(ms []ipv4.Message, flags int) (int, error)
	out      func(ms []ipv4.Message, flags int) (int, error)
	messages []ipv4.Message // of reads
	packets  []ESPPacket
}

// shareConn makes ready the socket of a connection to write to; somebody else
// reads from it and ends it.
func shareConn(c *net.UDPConn) (*batchConn, error) {
	local, err := localAddr(c)
	if err != nil {
		return nil, err
	}
	w, err := awaiting(c)
	if err != nil {
		return nil, err
	}
	b := &batchConn{local: local, udp: true, sockets: []*waiting{w}}
	if err := b.prepare(w, w); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// takeConn makes ready the socket of a connection, which is closed.
func takeConn(c *net.UDPConn) (*batchConn, error) {
	b, err := shareConn(c)
	if err = errors.Join(err, c.Close()); err != nil {
		return nil, err
	}
	b.own = true
	b.buffers(readDatagrams)
	return b, nil
}

// takeRaw makes ready two raw sockets, which are closed: one to read from, and
// one to write to. What is written comes from the address of the first. What is
// read has no remote address.
func takeRaw(in, out *net.IPConn) (b *batchConn, err error) {
	addr, ok := netip.AddrFromSlice(in.LocalAddr().(*net.IPAddr).IP)
	if !ok || addr.IsUnspecified() {
		return nil, errors.Join(fmt.Errorf("socket %v is not bound to one address", in.LocalAddr()), in.Close(), out.Close())
	}
	b = &batchConn{local: netip.AddrPortFrom(addr.Unmap(), 0), own: true, source: sourceControl(addr.Unmap())}
	for _, c := range []*net.IPConn{in, out} {
		w, failed := awaiting(c)
		if err = errors.Join(err, failed, c.Close()); failed == nil {
			b.sockets = append(b.sockets, w)
		}
	}
	if err == nil {
		err = b.prepare(b.sockets[0], b.sockets[1])
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.buffers(readPackets)
	return b, nil
}

// sourceControl makes the control message that says which address a packet comes
// from (ip(7), ipv6(7)).
func sourceControl(a netip.Addr) []byte {
	if a.Is6() {
		b := appendControl(nil, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, unix.SizeofInet6Pktinfo)
		return padded(append(append(b, a.AsSlice()...), 0, 0, 0, 0))
	}
	b := appendControl(nil, unix.IPPROTO_IP, unix.IP_PKTINFO, unix.SizeofInet4Pktinfo)
	return padded(append(append(append(b, 0, 0, 0, 0), a.AsSlice()...), 0, 0, 0, 0))
}

// prepare sets the calls that sockets are read and written by, and what makes
// them quick.
func (b *batchConn) prepare(in, out *waiting) error {
	b.six = b.local.Addr().Is6()
	read, write := net.PacketConn(withPeers{in}), net.PacketConn(withPeers{out})
	if !b.udp {
		read = withoutPeers{in}
	}
	if b.six {
		b.in, b.out = ipv6.NewPacketConn(read).ReadBatch, ipv6.NewPacketConn(write).WriteBatch
	} else {
		b.in, b.out = ipv4.NewPacketConn(read).ReadBatch, ipv4.NewPacketConn(write).WriteBatch
	}
	for _, w := range b.sockets {
		var failed error
		if err := errors.Join(w.raw.Control(func(fd uintptr) { failed = b.options(int(fd)) }), failed); err != nil {
			return fmt.Errorf("socket %s: %w", b.local, err)
		}
	}
	return nil
}

// buffers makes room for a number of messages a read.
func (b *batchConn) buffers(n int) {
	b.messages = make([]ipv4.Message, n)
	for i := range b.messages {
		b.messages[i].Buffers = [][]byte{make([]byte, maxDatagram)}
		b.messages[i].OOB = make([]byte, 128)
	}
}

// close ends it, and a read that waits where it owns the socket.
func (b *batchConn) close() (err error) {
	for _, w := range b.sockets {
		if b.own {
			err = errors.Join(err, w.wake())
		}
		err = errors.Join(err, w.Close())
	}
	return err
}

// send writes one datagram.
func (b *batchConn) send(octets []byte, to netip.AddrPort) error {
	var peer unix.Sockaddr = &unix.SockaddrInet6{Port: int(to.Port()), ZoneId: zone(to.Addr()), Addr: to.Addr().As16()}
	if !b.six {
		peer = &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().Unmap().As4()}
	}
	var failed error
	err := b.sockets[0].raw.Write(func(fd uintptr) bool {
		failed = unix.Sendto(int(fd), octets, 0, peer)
		return failed != unix.EINTR
	})
	return errors.Join(err, failed)
}

// zone gives the number of an address's zone, 0 for none.
func zone(a netip.Addr) uint32 {
	if a.Zone() == "" {
		return 0
	}
	if n, err := strconv.ParseUint(a.Zone(), 10, 32); err == nil {
		return uint32(n)
	}
	i, err := net.InterfaceByName(a.Zone())
	if err != nil {
		return 0
	}
	return uint32(i.Index)
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
	switch {
	case b.six:
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
	case b.udp: // a raw socket gives the header
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	}
	if b.udp {
		// Joined ESP packets are of no use to a kernel that opens them itself.
		if encap, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_ENCAP); err == nil && encap != 0 {
			return nil
		}
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
		_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		b.joins = err == nil
	}
	return nil
}

// read gives the datagrams that have come, at least one. They are valid until
// the next read.
func (b *batchConn) read() ([]ESPPacket, error) {
	n, err := b.in(b.messages, unix.MSG_WAITFORONE)
	if err != nil {
		return nil, err
	}
	b.packets = b.packets[:0]
	for i := range b.messages[:n] {
		m := &b.messages[i]
		from, ok := remoteOf(m.Addr)
		if !ok && b.udp {
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
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	p := u.AddrPort()
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port()), true
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
