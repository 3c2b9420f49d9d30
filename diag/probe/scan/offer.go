package scan

import (
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// offer is what a request proposes, by transform type. It goes out as two
// proposals where it has both kinds of encryption: with and without its own
// integrity (RFC 7296 3.3).
type offer struct {
	encr, prf, integ, ke []Accepted
}

// everything is all that a responder might accept for an IKE SA: what IANA has
// registered for it, private numbers left out.
func everything() offer {
	var o offer
	add := func(list *[]Accepted, t wire.TransformType, bits []int, ids ...uint16) {
		for _, id := range ids {
			for _, b := range bits {
				*list = append(*list, Accepted{Type: t, ID: id, Bits: b})
			}
		}
	}
	plain, aes := []int{0}, []int{256, 192, 128}
	add(&o.encr, wire.TransformEncr, aes, wire.EncrAESGCM16, wire.EncrAESGCM12, wire.EncrAESGCM8, wire.EncrAESCCM16, wire.EncrAESCCM12, wire.EncrAESCCM8)
	add(&o.encr, wire.TransformEncr, plain, wire.EncrChaCha20Poly1305)
	add(&o.encr, wire.TransformEncr, aes, wire.EncrAESCBC, wire.EncrAESCTR, wire.EncrCamelliaCBC, wire.EncrCamelliaCTR)
	add(&o.encr, wire.TransformEncr, plain, wire.Encr3DES, wire.EncrCAST, wire.EncrIDEA, wire.EncrDES)
	add(&o.encr, wire.TransformEncr, []int{256, 192, 128}, wire.EncrBlowfish)
	add(&o.prf, wire.TransformPRF, plain, wire.PRFHMACSHA256, wire.PRFHMACSHA384, wire.PRFHMACSHA512, wire.PRFAES128XCBC, wire.PRFAES128CMAC, wire.PRFHMACSHA1, wire.PRFHMACMD5)
	add(&o.integ, wire.TransformInteg, plain, wire.IntegSHA256128, wire.IntegSHA384192, wire.IntegSHA512256, wire.IntegAESXCBC96, wire.IntegAESCMAC96,
		wire.IntegSHA1_96, wire.IntegSHA1_160, wire.IntegMD5_96, wire.IntegMD5_128)
	add(&o.ke, wire.TransformKE, plain, wire.KEECP256, wire.KECurve25519, wire.KEECP384, wire.KEECP521, wire.KECurve448,
		wire.KEModp2048, wire.KEModp3072, wire.KEModp4096, wire.KEModp6144, wire.KEModp8192,
		wire.KEBrainpoolP256, wire.KEBrainpoolP384, wire.KEBrainpoolP512, wire.KEECP224, wire.KEBrainpoolP224, wire.KEECP192,
		wire.KEModp2048s256, wire.KEModp2048s224, wire.KEModp1536, wire.KEModp1024, wire.KEModp1024s160, wire.KEModp768,
		wire.KEMLKEM512, wire.KEMLKEM768)
	return o
}

// list gives the algorithms of a type, nil for a type that no offer has.
func (o *offer) list(t wire.TransformType) *[]Accepted {
	switch t {
	case wire.TransformEncr:
		return &o.encr
	case wire.TransformPRF:
		return &o.prf
	case wire.TransformInteg:
		return &o.integ
	case wire.TransformKE:
		return &o.ke
	}
	return nil
}

// all gives the algorithms of all types.
func (o *offer) all() []Accepted { return slices.Concat(o.encr, o.prf, o.integ, o.ke) }

// proposals gives the offer as it goes into an SA payload.
func (o *offer) proposals() []wire.Proposal {
	var aead, plain []Accepted
	for _, e := range o.encr {
		if wire.AEAD(e.ID) {
			aead = append(aead, e)
		} else {
			plain = append(plain, e)
		}
	}
	var list []wire.Proposal
	add := func(parts ...[]Accepted) {
		p := wire.Proposal{Number: uint8(len(list) + 1), Protocol: wire.ProtocolIKE}
		for _, part := range parts {
			for i := range part {
				p.Transforms = append(p.Transforms, part[i].transform())
			}
		}
		list = append(list, p)
	}
	if len(aead) > 0 && len(o.prf) > 0 && len(o.ke) > 0 {
		add(aead, o.prf, o.ke)
	}
	if len(plain) > 0 && len(o.prf) > 0 && len(o.integ) > 0 && len(o.ke) > 0 {
		add(plain, o.prf, o.integ, o.ke)
	}
	return list
}

// text gives proposals in words: the key of their question.
func text(ps []wire.Proposal) string {
	words := make([]string, 0, len(ps))
	for _, p := range ps {
		words = append(words, wire.FormatProposal(wire.ProtocolIKE, p.Transforms))
	}
	return strings.Join(words, ",")
}

// without gives the offer less some algorithms of a type.
func without(list, out []Accepted) []Accepted {
	return slices.DeleteFunc(slices.Clone(list), func(a Accepted) bool {
		return slices.ContainsFunc(out, a.same)
	})
}

// only gives the algorithms of a type among those found.
func only(list []Accepted, t wire.TransformType) []Accepted {
	return slices.DeleteFunc(slices.Clone(list), func(a Accepted) bool { return a.Type != t })
}

// value gives the group whose public value goes with proposals: the first that
// we can compute. Where we can compute none of them, a value of another group
// goes with it, and the answer can only be the name of a group.
func value(ps []wire.Proposal) wire.KEMethod {
	for _, p := range ps {
		for _, t := range p.Transforms {
			if m := wire.KEMethod(t.ID); t.Type == wire.TransformKE && suite.CanExchange(m) {
				return m
			}
		}
	}
	return wire.KEECP256
}
