package wire

import (
	"encoding/hex"
	"fmt"
	"math/bits"
	"net/netip"
)

// String gives the identity as swanctl writes it: a name, an address, a
// distinguished name ("C=CH, O=Example, CN=gate"), or hexadecimal digits for
// KEY_ID and for what is malformed. The text is escaped.
func (i *ID) String() string { return identityText(i.Type, i.Data) }

func identityText(t IDType, data []byte) string {
	switch t {
	case IDFQDN, IDRFC822Addr:
		return Escape(data)
	case IDIPv4Addr, IDIPv6Addr:
		a, ok := netip.AddrFromSlice(data)
		if ok && a.Is4() == (t == IDIPv4Addr) {
			return a.String()
		}
	case IDDERASN1DN:
		s, _ := DNText(data)
		return s
	case IDDERASN1GN:
		if s, ok := generalName(data); ok {
			return s
		}
	case IDNull:
		if len(data) == 0 {
			return "ID_NULL"
		}
	}
	return hex.EncodeToString(data)
}

// generalName writes a DER GeneralName (RFC 5280 4.2.1.6).
func generalName(b []byte) (string, bool) {
	tag, contents, rest, ok := derNext(b)
	if !ok || len(rest) > 0 {
		return "", false
	}
	switch tag {
	case 0x81, 0x82, 0x86: // rfc822Name, dNSName, uniformResourceIdentifier
		return Escape(contents), true
	case 0xa4: // directoryName
		return DNText(contents)
	case 0x87: // iPAddress
		if a, ok := netip.AddrFromSlice(contents); ok {
			return a.String(), true
		}
	}
	return "", false
}

// String gives the identity in words: as for IKEv2, and for subnets and ranges
// "10.0.0.0/24" and "10.0.0.1-10.0.0.9", with "[6/80]" behind it where the
// identity names an IP protocol or a port. The text is escaped.
func (i *V1ID) String() string {
	s := i.name()
	if i.Protocol != 0 || i.Port != 0 {
		s += fmt.Sprintf("[%d/%d]", i.Protocol, i.Port)
	}
	return s
}

func (i *V1ID) name() string {
	half := len(i.Data) / 2
	from, ok1 := netip.AddrFromSlice(i.Data[:half])
	to, ok2 := netip.AddrFromSlice(i.Data[half:])
	pair := ok1 && ok2 && from.BitLen() == to.BitLen()
	v6 := i.Type == V1IDIPv6AddrSubnet || i.Type == V1IDIPv6AddrRange
	pair = pair && from.Is6() == v6
	switch i.Type {
	case V1IDIPv4AddrSubnet, V1IDIPv6AddrSubnet:
		if !pair {
			break
		}
		if n, ok := maskLength(i.Data[half:]); ok {
			return netip.PrefixFrom(from, n).String()
		}
		return from.String() + "/" + to.String()
	case V1IDIPv4AddrRange, V1IDIPv6AddrRange:
		if pair {
			return from.String() + "-" + to.String()
		}
	case V1IDUserFQDN:
		return identityText(IDRFC822Addr, i.Data)
	case V1IDIPv4Addr, V1IDFQDN, V1IDIPv6Addr, V1IDDERASN1DN, V1IDDERASN1GN:
		return identityText(IDType(i.Type), i.Data)
	}
	return hex.EncodeToString(i.Data)
}

// maskLength gives the number of leading ones of a mask that has no others.
func maskLength(mask []byte) (int, bool) {
	n := 0
	for i, c := range mask {
		ones := bits.LeadingZeros8(^c)
		if c<<ones != 0 || ones > 0 && n != 8*i {
			return 0, false
		}
		n += ones
	}
	return n, true
}
