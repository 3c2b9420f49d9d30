package gen

import "encoding/binary"

// Lengths of the headers before a UDP payload.
const (
	recordHeader   = 16
	ethernetHeader = 14
	ipv4Header     = 20
	udpHeader      = 8
)

// pcapHeader is the file header: version 2.4, microseconds, Ethernet.
func pcapHeader() []byte {
	h := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	h = binary.LittleEndian.AppendUint16(h, 2)
	h = binary.LittleEndian.AppendUint16(h, 4)
	h = append(h, make([]byte, 8)...)
	h = binary.LittleEndian.AppendUint32(h, 262144)
	return binary.LittleEndian.AppendUint32(h, 1)
}

// start begins a frame in g.buf: everything before a UDP payload of that many
// octets. IKE gets its checksum by checksumUDP; ESP in UDP has none (RFC 3948
// section 2.1).
func (g *generator) start(s *sa, toResponder bool, port uint16, payload int, ike bool) {
	length := ethernetHeader + ipv4Header + udpHeader + payload
	b := binary.LittleEndian.AppendUint32(g.buf[:0], uint32(g.now.Unix()))
	b = binary.LittleEndian.AppendUint32(b, uint32(g.now.Nanosecond()/1000))
	b = binary.LittleEndian.AppendUint32(b, uint32(length))
	b = binary.LittleEndian.AppendUint32(b, uint32(length))

	src, dst := s.addrI, s.addrR
	macSrc, macDst := byte(1), byte(2)
	if !toResponder {
		src, dst = dst, src
		macSrc, macDst = macDst, macSrc
	}
	b = append(b, 2, 0, 0, 0, 0, macDst, 2, 0, 0, 0, 0, macSrc, 0x08, 0x00)

	ip := len(b)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(length-ethernetHeader))
	b = binary.BigEndian.AppendUint16(b, uint16(g.rng.Uint32()))
	if ike {
		b = append(b, 0x40, 0)
	} else {
		b = append(b, 0, 0)
	}
	b = append(b, 64, 17, 0, 0)
	b = append(b, src[:]...)
	b = append(b, dst[:]...)
	binary.BigEndian.PutUint16(b[ip+10:], fold(sum(b[ip:], 0)))

	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, uint16(udpHeader+payload))
	g.buf = append(b, 0, 0)
}

// checksumUDP fills in the UDP checksum of the frame in g.buf.
func (g *generator) checksumUDP() {
	ip := g.buf[recordHeader+ethernetHeader:]
	udp := ip[ipv4Header:]
	pseudo := sum(ip[12:20], 17+uint32(len(udp)))
	c := fold(sum(udp, pseudo))
	if c == 0 {
		c = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], c)
}

// sum adds up 16-bit words (RFC 1071).
func sum(b []byte, start uint32) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		start += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		start += uint32(b[0]) << 8
	}
	return start
}

// fold makes the checksum of a sum.
func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}
