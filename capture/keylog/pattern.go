package keylog

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// AddrPattern matches addresses of one family: an address, "*", a prefix
// "10.0.0.0/8", or an address with "*" for some of its parts, "10.*.*.1". The
// zero value matches every IPv4 address.
type AddrPattern struct {
	text        string
	v6          bool
	value, mask [16]byte
}

// ExactAddr gives the pattern of one address.
func ExactAddr(a netip.Addr) AddrPattern {
	a = a.Unmap().WithZone("")
	p := AddrPattern{text: a.String(), v6: a.Is6(), value: a.As16()}
	for i := range p.mask {
		p.mask[i] = 0xff
	}
	return p
}

// AnyAddr gives the pattern of all addresses of one family.
func AnyAddr(v6 bool) AddrPattern { return AddrPattern{text: "*", v6: v6} }

// ParseAddrPattern reads a pattern of IPv4 or IPv6 addresses.
func ParseAddrPattern(s string, v6 bool) (AddrPattern, error) {
	if s == "*" {
		return AnyAddr(v6), nil
	}
	bad := errors.New(`not an address, a prefix, "*", or an address with "*" for some of its parts`)
	if len(s) > 64 {
		return AddrPattern{}, bad
	}
	addr, length, masked := strings.Cut(s, "/")
	// What differs between all the parts "*" being the lowest and the highest
	// is what they leave open.
	highest := "255"
	if v6 {
		highest = "ffff"
	}
	low, err := netip.ParseAddr(strings.ReplaceAll(addr, "*", "0"))
	if err != nil {
		return AddrPattern{}, bad
	}
	high, err := netip.ParseAddr(strings.ReplaceAll(addr, "*", highest))
	if err != nil || low.Zone() != "" || low.Is4In6() {
		return AddrPattern{}, bad
	}
	if low.Is6() != v6 {
		return AddrPattern{}, fmt.Errorf("an %s address where the row says %s", family(low.Is6()), family(v6))
	}
	bits := low.BitLen()
	if masked {
		n, err := strconv.ParseUint(length, 10, 8)
		if err != nil || int(n) > bits {
			return AddrPattern{}, fmt.Errorf("prefix length must be 0 to %d", bits)
		}
		bits = int(n)
	}
	p := AddrPattern{text: s, v6: v6, value: low.As16()}
	h := high.As16()
	for i := range p.mask {
		kept := bits - 8*i
		if !v6 {
			kept += 96 // As16 puts the address into the last four octets
		}
		octet := byte(0xff)
		if kept < 8 {
			octet = ^byte(0xff >> max(kept, 0))
		}
		p.mask[i] = octet &^ (p.value[i] ^ h[i])
	}
	return p, nil
}

func family(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

// String gives the pattern as it was read.
func (p AddrPattern) String() string { return cmp.Or(p.text, "*") }

// Is6 says whether the pattern is one of IPv6 addresses.
func (p AddrPattern) Is6() bool { return p.v6 }

// Matches says whether an address fits the pattern.
func (p AddrPattern) Matches(a netip.Addr) bool {
	if a.Is6() != p.v6 || !a.IsValid() {
		return false
	}
	b := a.As16()
	for i := range b {
		if (b[i]^p.value[i])&p.mask[i] != 0 {
			return false
		}
	}
	return true
}

// SPIPattern matches the SPI of ESP SAs: one, or "*", or hexadecimal digits
// with "*" for some of them, "0x1234****". The zero value matches every SPI.
type SPIPattern struct {
	text        string
	value, mask uint32
}

// ExactSPI gives the pattern of one SPI.
func ExactSPI(s wire.ESPSPI) SPIPattern {
	return SPIPattern{text: "0x" + s.String(), value: uint32(s), mask: ^uint32(0)}
}

// ParseSPIPattern reads a pattern of SPIs. A number is hexadecimal behind 0x
// and decimal else.
func ParseSPIPattern(s string) (SPIPattern, error) {
	bad := errors.New(`not a number of 32 bits, "*", or 0x and eight hexadecimal digits or "*"`)
	if s == "*" {
		return SPIPattern{text: s}, nil
	}
	digits, isHex := cutHexMark(s)
	if !isHex {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return SPIPattern{}, bad
		}
		return ExactSPI(wire.ESPSPI(n)), nil
	}
	if !strings.Contains(digits, "*") {
		n, err := strconv.ParseUint(digits, 16, 32)
		if err != nil {
			return SPIPattern{}, bad
		}
		return ExactSPI(wire.ESPSPI(n)), nil
	}
	if len(digits) != 8 {
		return SPIPattern{}, bad
	}
	low, err := strconv.ParseUint(strings.ReplaceAll(digits, "*", "0"), 16, 32)
	high, err2 := strconv.ParseUint(strings.ReplaceAll(digits, "*", "f"), 16, 32)
	if err != nil || err2 != nil {
		return SPIPattern{}, bad
	}
	return SPIPattern{text: s, value: uint32(low), mask: ^uint32(low ^ high)}, nil
}

// cutHexMark cuts 0x or 0X from the front.
func cutHexMark(s string) (rest string, found bool) {
	if len(s) >= 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		return s[2:], true
	}
	return s, false
}

// String gives the pattern as Wireshark takes it.
func (p SPIPattern) String() string { return cmp.Or(p.text, "*") }

// Exact gives the SPI of a pattern that fits only one.
func (p SPIPattern) Exact() (wire.ESPSPI, bool) {
	return wire.ESPSPI(p.value), p.mask == ^uint32(0)
}

// Matches says whether an SPI fits the pattern.
func (p SPIPattern) Matches(s wire.ESPSPI) bool { return (uint32(s)^p.value)&p.mask == 0 }
