package ipflow

import (
	"encoding/binary"

	"github.com/cloudvlan/cvlanctl/capture"
)

// EtherTypes (IANA, IEEE 802).
const (
	etherIPv4      = 0x0800
	etherIPv6      = 0x86dd
	etherVLAN      = 0x8100
	etherQinQ      = 0x88a8
	etherQinQOld   = 0x9100
	etherMPLS      = 0x8847
	etherMPLSMulti = 0x8848
	etherPPPoE     = 0x8864
	etherBridge    = 0x6558 // Ethernet inside GRE
	etherPPP       = 0x880b
	etherERSPAN    = 0x88be
)

// PPP protocol numbers (RFC 1661, RFC 1332, RFC 5072).
const (
	pppIPv4 = 0x0021
	pppIPv6 = 0x0057
	pppMPLS = 0x0281
)

// link opens a link-layer frame.
func (w *Walker) link(t capture.LinkType, b []byte) error {
	switch t {
	case capture.LinkEthernet:
		return w.ethernet(b)
	case capture.LinkRaw, linkRawBSD, linkRawOpenBSD:
		return w.ip(b)
	case capture.LinkIPv4:
		return w.ipv4(b)
	case capture.LinkIPv6:
		return w.ipv6(b)
	case capture.LinkLinuxSLL:
		if len(b) < 16 {
			return ErrShortLink
		}
		return w.network(binary.BigEndian.Uint16(b[14:]), b[16:])
	case capture.LinkSLL2:
		if len(b) < 20 {
			return ErrShortLink
		}
		return w.network(binary.BigEndian.Uint16(b), b[20:])
	case capture.LinkNull, capture.LinkLoop:
		// Four octets of address family, whose numbers and byte order depend
		// on the system that wrote the file. IP itself says which it is.
		if len(b) < 4 {
			return ErrShortLink
		}
		return w.ip(b[4:])
	case capture.LinkPPP, linkPPPHDLC:
		return w.ppp(b)
	case linkPPPoE:
		return w.pppoe(b)
	}
	return ErrLink
}

// Link types that some systems write in place of the ones in package capture.
const (
	linkRawBSD     capture.LinkType = 12
	linkRawOpenBSD capture.LinkType = 14
	linkPPPHDLC    capture.LinkType = 50
	linkPPPoE      capture.LinkType = 51
)

func (w *Walker) ethernet(b []byte) error {
	if len(b) < 14 {
		return ErrShortLink
	}
	t := binary.BigEndian.Uint16(b[12:])
	b = b[14:]
	switch t {
	case etherIPv4:
		return w.ipv4(b)
	case etherIPv6:
		return w.ipv6(b)
	}
	return w.network(t, b)
}

// network opens what an EtherType names.
func (w *Walker) network(t uint16, b []byte) error {
	for {
		switch t {
		case etherIPv4:
			return w.ipv4(b)
		case etherIPv6:
			return w.ipv6(b)
		case etherVLAN, etherQinQ, etherQinQOld:
			if len(b) < 4 {
				return ErrShortLink
			}
			n := len(w.d.VLANs)
			if n == maxVLANs {
				return ErrNotIP
			}
			w.vlans[n] = binary.BigEndian.Uint16(b) & 0x0fff
			w.d.VLANs = w.vlans[:n+1]
			t, b = binary.BigEndian.Uint16(b[2:]), b[4:]
		case etherPPPoE:
			return w.pppoe(b)
		case etherMPLS, etherMPLSMulti:
			return w.mpls(b)
		default:
			// IEEE 802.3: a length, then LLC; with SNAP an EtherType again.
			if t > 1500 || len(b) < 8 || b[0] != 0xaa || b[1] != 0xaa || b[2] != 3 || b[3]|b[4]|b[5] != 0 {
				return ErrNotIP
			}
			t, b = binary.BigEndian.Uint16(b[6:]), b[8:]
			if t <= 1500 {
				return ErrNotIP
			}
		}
	}
}

// pppoe opens the session stage of RFC 2516.
func (w *Walker) pppoe(b []byte) error {
	if len(b) < 6 {
		return ErrShortLink
	}
	if b[0] != 0x11 || b[1] != 0 {
		return ErrNotIP
	}
	return w.ppp(b[6:])
}

// ppp opens a PPP frame, with or without address and control octets and with
// a protocol field of one octet or two (RFC 1661 sections 6.5 and 6.6).
func (w *Walker) ppp(b []byte) error {
	if len(b) >= 2 && b[0] == 0xff && b[1] == 0x03 {
		b = b[2:]
	}
	if len(b) < 2 {
		return ErrShortLink
	}
	p := uint16(b[0])
	if p&1 == 1 {
		b = b[1:]
	} else {
		p, b = binary.BigEndian.Uint16(b), b[2:]
	}
	switch p {
	case pppIPv4:
		return w.ipv4(b)
	case pppIPv6:
		return w.ipv6(b)
	case pppMPLS:
		return w.mpls(b)
	}
	return ErrNotIP
}

// mpls pops a label stack (RFC 3032). What lies under it is not named; IP is
// known by its version.
func (w *Walker) mpls(b []byte) error {
	for range maxLabels {
		if len(b) < 4 {
			return ErrShortLink
		}
		bottom := b[2]&1 == 1
		b = b[4:]
		if bottom {
			return w.ip(b)
		}
	}
	return ErrNotIP
}

// ip opens IP of the version that its first octet says.
func (w *Walker) ip(b []byte) error {
	if len(b) == 0 {
		return ErrShortIP
	}
	switch b[0] >> 4 {
	case 4:
		return w.ipv4(b)
	case 6:
		return w.ipv6(b)
	}
	return ErrNotIP
}
