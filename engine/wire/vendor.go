package wire

import (
	_ "embed" // the table of vendor ids
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// One line a vendor id: its octets in hexadecimal, how they match, and the
// product that sends it. "=" matches exactly, "*" as a prefix, "~" as a prefix
// before readable text that belongs to the name.
//
//go:embed vendor_ids.txt
var vendorTable string

type vendorEntry struct {
	match byte
	name  string
}

type vendorIndex struct {
	byOctets map[string]vendorEntry
	longest  int // octets of the longest key
}

var vendors = sync.OnceValue(func() vendorIndex {
	x := vendorIndex{byOctets: make(map[string]vendorEntry, 600)}
	for line := range strings.Lines(vendorTable) {
		octets, rest, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		key, err := hex.DecodeString(octets)
		if !ok || err != nil || len(rest) < 3 {
			continue // a test holds every line to the form
		}
		x.byOctets[string(key)] = vendorEntry{rest[0], rest[2:]}
		x.longest = max(x.longest, len(key))
	}
	return x
})

// fortiGate is followed by a release and a build number, two octets each.
var fortiGate = []byte{0x82, 0x99, 0x03, 0x17, 0x57, 0xa3, 0x60, 0x82, 0xc6, 0xa6, 0x21, 0xde}

// pluto is how the vendor ids of FreeS/WAN and its heirs begin. Ten octets of a
// digest follow, each folded into 0x40 to 0x7f.
const pluto = "OE"

func plutoDigest(b []byte) bool {
	return len(b) == 10 && !slices.ContainsFunc(b, func(c byte) bool { return c < 0x40 || c > 0x7f })
}

// VendorName gives the product or feature that a Vendor ID payload claims. Where
// the id is not known, ok is false and the name is the text that it holds, or
// "". A vendor id is not authenticated, and implementations copy those of
// others: say "claims to be". Absence of one proves nothing. The text is
// escaped.
func VendorName(vid []byte) (name string, ok bool) {
	x := vendors()
	for n := min(len(vid), x.longest); n >= 2; n-- {
		e, found := x.byOctets[string(vid[:n])]
		if !found || e.match == '=' && n < len(vid) {
			continue
		}
		rest := vid[n:]
		switch {
		case string(vid[:n]) == pluto && !plutoDigest(rest):
			continue
		case string(vid[:n]) == string(fortiGate) && len(rest) >= 4:
			return fmt.Sprintf("%s (release %d, build %d)", e.name,
				binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])), true
		case e.match == '~':
			if text := firstText(rest); len(text) > 0 {
				return e.name + " " + Escape(text), true
			}
		}
		return e.name, true
	}
	if readable(vid) {
		return Escape(vid[:min(len(vid), maxVendorText)]), false
	}
	return "", false
}

const maxVendorText = 128

// firstText gives the first run of printable ASCII in b that is at least two
// long, without leading punctuation; what stands around it is binary.
func firstText(b []byte) []byte {
	b = b[:min(len(b), maxVendorText)]
	start := 0
	for i := 0; i <= len(b); i++ {
		if i < len(b) && b[i] >= 0x20 && b[i] < 0x7f {
			continue
		}
		if i-start >= 2 {
			return []byte(strings.TrimLeft(string(b[start:i]), "-_ "))
		}
		start = i + 1
	}
	return nil
}
