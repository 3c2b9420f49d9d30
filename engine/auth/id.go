package auth

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxID bounds an identity in text, in octets.
const maxID = 1024

// ParseID reads an identity as swanctl writes it: an address, a mail address,
// a distinguished name ("C=CH, O=Example, CN=gate"), "@#0a0b" for a key id in
// hexadecimal digits, and else a domain name, with or without "@" before it.
func ParseID(s string) (wire.ID, error) {
	if s == "" || len(s) > maxID {
		return wire.ID{}, fmt.Errorf("identity of %d octets: 1 to %d are possible", len(s), maxID)
	}
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		t := wire.IDIPv6Addr
		if a.Is4() {
			t = wire.IDIPv4Addr
		}
		return wire.ID{Type: t, Data: a.AsSlice()}, nil
	}
	if digits, ok := strings.CutPrefix(s, "@#"); ok {
		b, err := hex.DecodeString(digits)
		if err != nil || len(b) == 0 {
			return wire.ID{}, fmt.Errorf("identity %q: a key id is an even number of hexadecimal digits", s)
		}
		return wire.ID{Type: wire.IDKeyID, Data: b}, nil
	}
	if name, ok := strings.CutPrefix(s, "@"); ok && name != "" {
		return wire.ID{Type: wire.IDFQDN, Data: []byte(name)}, nil
	}
	if strings.Contains(s, "=") {
		der, err := encodeDN(s)
		if err != nil {
			return wire.ID{}, fmt.Errorf("identity %q: %w", s, err)
		}
		return wire.ID{Type: wire.IDDERASN1DN, Data: der}, nil
	}
	if strings.Contains(s, "@") {
		return wire.ID{Type: wire.IDRFC822Addr, Data: []byte(s)}, nil
	}
	return wire.ID{Type: wire.IDFQDN, Data: []byte(s)}, nil
}

// SameID says whether two identities are one. Names are compared without
// regard to case, everything else octet for octet.
func SameID(a, b *wire.ID) bool {
	if a.Type != b.Type {
		return false
	}
	switch a.Type {
	case wire.IDFQDN, wire.IDRFC822Addr:
		return bytes.EqualFold(a.Data, b.Data)
	case wire.IDDERASN1DN:
		return bytes.Equal(a.Data, b.Data) || sameDN(a.Data, b.Data)
	}
	return bytes.Equal(a.Data, b.Data)
}

// Pattern is an identity that is wanted: one in particular, any, or names
// that end in a certain way. The zero Pattern takes any identity.
type Pattern struct {
	text   string
	id     wire.ID
	suffix string // of "*.example.org" and "*@example.org", lower case
}

// ParsePattern reads an identity with wildcards: "%any" or "" for any,
// "*.example.org" and "*@example.org" for names under a domain, and else an
// identity as ParseID has it.
func ParsePattern(s string) (Pattern, error) {
	if s == "" || s == "%any" {
		return Pattern{}, nil
	}
	if rest, ok := strings.CutPrefix(s, "*"); ok && len(rest) > 1 && (rest[0] == '.' || rest[0] == '@') && len(s) <= maxID {
		return Pattern{text: s, suffix: strings.ToLower(rest)}, nil
	}
	id, err := ParseID(s)
	return Pattern{text: s, id: id}, err
}

// Exactly makes the pattern of one identity.
func Exactly(id wire.ID) Pattern { return Pattern{text: id.String(), id: id} }

// Any says whether every identity fits.
func (p *Pattern) Any() bool { return p.text == "" }

// ID gives the one identity that fits, if it is one.
func (p *Pattern) ID() (wire.ID, bool) { return p.id, p.id.Type != 0 }

// String gives the pattern as ParsePattern reads it.
func (p *Pattern) String() string {
	if p.Any() {
		return "%any"
	}
	return p.text
}

// Words writes a pattern and an identity that is compared with it. Their types
// stand beside them where nothing else tells them apart: "gate.example (FQDN)"
// and "gate.example (KEY_ID)".
func (p *Pattern) Words(id *wire.ID) (pattern, identity string) {
	pattern, identity = p.String(), idText(id)
	if p.id.Type == 0 || p.id.Type == id.Type {
		return pattern, identity
	}
	if a, b := PlainID(&p.id), PlainID(id); strings.EqualFold(a, b) {
		return a + " (" + p.id.Type.String() + ")", b + " (" + id.Type.String() + ")"
	}
	return pattern, identity
}

// PlainID gives the words of an identity, those of a key id too where it is
// text.
func PlainID(id *wire.ID) string {
	if id.Type == wire.IDKeyID {
		if text := wire.Escape(id.Data); text == string(id.Data) && text != "" {
			return text
		}
	}
	return id.String()
}

// Match says whether an identity fits.
func (p *Pattern) Match(id *wire.ID) bool {
	switch {
	case p.Any():
		return true
	case p.suffix != "":
		text := strings.ToLower(string(id.Data))
		if len(text) <= len(p.suffix) || !strings.HasSuffix(text, p.suffix) {
			return false
		}
		if p.suffix[0] == '@' {
			return id.Type == wire.IDRFC822Addr
		}
		return id.Type == wire.IDFQDN
	}
	return SameID(&p.id, id)
}
