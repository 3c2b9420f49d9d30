package policy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Lack is an algorithm of a proposal that our own engine does not take: most
// that it lacks it knows by name only.
type Lack struct {
	Transform wire.Transform
	Why       string // "not supported"
	Instead   string // the keyword of one that serves in its place, "" for none
}

// String says what is lacking, and what to write for it.
func (l Lack) String() string {
	text := fmt.Sprintf("our own engine takes no %s (%s", l.Transform.Keyword(), l.Why)
	if l.Instead != "" {
		text += fmt.Sprintf("; %s serves in its place", l.Instead)
	}
	return text + ")"
}

// is says whether a word of a proposal means the algorithm.
func (l *Lack) is(word string) bool {
	t, ok := wire.ParseKeyword(word)
	return ok && t.Keyword() == l.Transform.Keyword()
}

// Usable gives those of the proposal's transforms that our own engine has, and
// what it lacks of them. It gives no transform where one type of them would be
// left with none: without its key exchange, say, a proposal means another thing.
func (p *Proposal) Usable(protocol wire.ProtocolID) ([]wire.Transform, []Lack) {
	var kept []wire.Transform
	var lacks []Lack
	asked, have := map[wire.TransformType]bool{}, map[wire.TransformType]bool{}
	for i := range p.Transforms {
		t := &p.Transforms[i]
		asked[t.Type] = true
		var no *suite.AlgorithmError
		if errors.As(suite.Supports(protocol, t), &no) {
			lacks = append(lacks, Lack{*t, no.Why, instead(t)})
			continue
		}
		have[t.Type] = true
		kept = append(kept, *t)
	}
	if len(have) < len(asked) {
		kept = nil
	}
	return kept, lacks
}

// ofStrength are methods of about the same strength as those that the engine does
// not have.
var ofStrength = map[uint16]string{
	wire.KEModp768: "modp2048", wire.KEECP192: "ecp256", wire.KEECP224: "ecp256",
	wire.KEBrainpoolP224: "ecp256", wire.KEBrainpoolP256: "ecp256", wire.KEBrainpoolP384: "ecp384", wire.KEBrainpoolP512: "ecp521",
	wire.KECurve448: "ecp521", wire.KEMLKEM512: "mlkem768",
}

// instead gives the keyword of an algorithm that the engine has, of the same
// kind and about the same strength.
func instead(t *wire.Transform) string {
	switch word := t.Keyword(); t.Type {
	case wire.TransformEncr:
		switch t.ID {
		case wire.EncrCamelliaCBC, wire.EncrCamelliaCTR, wire.EncrCamelliaCCM8, wire.EncrCamelliaCCM12, wire.EncrCamelliaCCM16:
			return strings.Replace(word, "camellia", "aes", 1)
		case wire.EncrNullAuthAESGMAC:
			return strings.Replace(word, "gmac", "gcm16", 1)
		}
		if bits := t.KeyLength(); bits != 0 {
			return fmt.Sprintf("aes%d", bits)
		}
		return "aes128"
	case wire.TransformKE:
		return ofStrength[t.ID]
	}
	return ""
}
