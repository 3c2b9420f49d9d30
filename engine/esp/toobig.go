package esp

import (
	"encoding/binary"
	"net/netip"
)

// Messages of ICMP that say that a packet is too big (RFC 1191 4, RFC 4443 3.2).
const (
	icmpUnreachable     = 3
	icmpFragNeeded      = 4
	icmp6PacketTooBig   = 2
	quoted4             = 576 - ipv4Header - icmpHeader // a message of at most 576 octets (RFC 1812 4.3.2.3)
	quoted6             = 1280 - ipv6Header - 8         // one of at most 1280 (RFC 4443 2.4)
	minMTU4, minMTU6    = 68, 1280
	defaultTTL          = 64
	flagMoreFragments   = 0x2000
	fragmentOffsetBits  = 0x1fff
	icmpHeader          = 8
	ipv4ChecksumOffset  = 10
	ipv4FragmentsOffset = 6
)

// TooBig appends to dst the ICMP message that tells the sender of a packet,
// whose header p tells, that packets to there have at most mtu octets. from is
// the address to answer from; where it is of the other family, it is the
// packet's own destination. To what is itself an ICMP error nothing is
// answered: then dst comes back as it was.
func TooBig(dst, packet []byte, p *Packet, mtu int, from netip.Addr) []byte {
	if !answerable(packet, p) {
		return dst
	}
	if !from.IsValid() || from.Is4() != p.Dst.Is4() {
		from = p.Dst
	}
	if p.Dst.Is4() {
		return tooBig4(dst, packet[:p.Length], p, max(mtu, minMTU4), from)
	}
	return tooBig6(dst, packet[:p.Length], p, max(mtu, minMTU6), from)
}

// answerable says whether an ICMP error may be sent about a packet (RFC 1122
// 3.2.2, RFC 4443 2.4).
func answerable(packet []byte, p *Packet) bool {
	switch {
	case p.Fragment && !p.Ports, p.Dst.IsMulticast(), p.Src.IsMulticast(), p.Src.IsUnspecified():
		return false
	case p.Protocol == protoICMP && p.Ports:
		switch packet[p.Header] {
		case 0, 8, 9, 10, 13, 14, 15, 16, 17, 18: // no errors
			return true
		}
		return false
	case p.Protocol == protoICMPv6 && p.Ports:
		return packet[p.Header] >= 128
	}
	return true
}

func tooBig4(dst, packet []byte, p *Packet, mtu int, from netip.Addr) []byte {
	quote := packet[:min(len(packet), quoted4)]
	start := len(dst)
	dst = append(dst, make([]byte, ipv4Header+icmpHeader)...)
	dst = append(dst, quote...)
	b := dst[start:]
	b[0], b[1], b[8], b[9] = 0x45, 0xc0, defaultTTL, protoICMP
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	src, to := from.As4(), p.Src.As4()
	copy(b[12:], src[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[ipv4ChecksumOffset:], folded(sum(b[:ipv4Header], 0)))
	m := b[ipv4Header:]
	m[0], m[1] = icmpUnreachable, icmpFragNeeded
	binary.BigEndian.PutUint16(m[6:], uint16(mtu))
	binary.BigEndian.PutUint16(m[2:], folded(sum(m, 0)))
	return dst
}

func tooBig6(dst, packet []byte, p *Packet, mtu int, from netip.Addr) []byte {
	quote := packet[:min(len(packet), quoted6)]
	start := len(dst)
	dst = append(dst, make([]byte, ipv6Header+icmpHeader)...)
	dst = append(dst, quote...)
	b := dst[start:]
	b[0], b[6], b[7] = 0x60, protoICMPv6, defaultTTL
	binary.BigEndian.PutUint16(b[4:], uint16(len(b)-ipv6Header))
	src, to := from.As16(), p.Src.As16()
	copy(b[8:], src[:])
	copy(b[24:], to[:])
	m := b[ipv6Header:]
	m[0] = icmp6PacketTooBig
	binary.BigEndian.PutUint32(m[4:], uint32(mtu))
	acc := sum(b[8:40], uint32(len(m))+protoICMPv6)
	binary.BigEndian.PutUint16(m[2:], folded(sum(m, acc)))
	return dst
}

// Fragment4 calls send with the fragments that an IPv4 packet without DF makes
// where packets have at most mtu octets (RFC 791 2.3). The fragment is valid
// during the call; room is where it is made, mtu octets or more. It says false,
// and sends nothing, for what cannot be fragmented.
func Fragment4(packet []byte, p *Packet, mtu int, room []byte, send func(fragment []byte)) bool {
	step := (mtu - p.Header) &^ 7
	if !p.Dst.Is4() || p.DontFragment || step < 8 || len(room) < p.Header+step {
		return false
	}
	payload := packet[p.Header:p.Length]
	word := binary.BigEndian.Uint16(packet[ipv4FragmentsOffset:])
	offset, more := word&fragmentOffsetBits, word&flagMoreFragments
	for at := 0; at < len(payload); at += step {
		n := min(step, len(payload)-at)
		f := room[:p.Header+n]
		copy(f, packet[:p.Header])
		copy(f[p.Header:], payload[at:at+n])
		w := (offset + uint16(at/8)) & fragmentOffsetBits
		if at+n < len(payload) {
			w |= flagMoreFragments
		} else {
			w |= more
		}
		binary.BigEndian.PutUint16(f[2:], uint16(len(f)))
		binary.BigEndian.PutUint16(f[ipv4FragmentsOffset:], w)
		f[ipv4ChecksumOffset], f[ipv4ChecksumOffset+1] = 0, 0
		binary.BigEndian.PutUint16(f[ipv4ChecksumOffset:], folded(sum(f[:p.Header], 0)))
		send(f)
	}
	return true
}

// ClampMSS lowers the maximum segment size that a TCP SYN announces to what
// fits packets of mtu octets. Other packets stay as they are.
func ClampMSS(packet []byte, p *Packet, mtu int) {
	if p.Protocol != protoTCP || !p.Ports || p.Length < p.Header+20 {
		return
	}
	tcp := packet[p.Header:p.Length]
	header := int(tcp[12]>>4) * 4
	if tcp[13]&2 == 0 || header < 20 || header > len(tcp) {
		return
	}
	ip := ipv4Header
	if packet[0]>>4 == 6 {
		ip = ipv6Header
	}
	most := mtu - ip - 20
	if most < 1 || most > 65535 {
		return
	}
	for options := tcp[20:header]; len(options) >= 2; {
		switch kind := options[0]; {
		case kind == 0:
			return
		case kind == 1:
			options = options[1:]
			continue
		case options[1] < 2 || int(options[1]) > len(options):
			return
		case kind == 2 && options[1] == 4:
			have := binary.BigEndian.Uint16(options[2:])
			if int(have) <= most {
				return
			}
			at := len(tcp[:header]) - len(options) + 2
			lower(tcp, at, have, uint16(most))
			return
		}
		options = options[options[1]:]
	}
}

// lower changes 16 bits of a TCP header and its checksum.
func lower(tcp []byte, at int, before, after uint16) {
	binary.BigEndian.PutUint16(tcp[at:], after)
	if at%2 == 0 {
		changed(tcp[16:18], before, after)
		return
	}
	// The field lies across two words of the checksum: swapping its octets
	// lays it into one.
	changed(tcp[16:18], before<<8|before>>8, after<<8|after>>8)
}
