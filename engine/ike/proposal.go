package ike

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudvlan/cvlanctl/engine/event"
	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// offer makes an SA payload of proposals. Without key exchanges (as in
// IKE_AUTH, RFC 7296 1.2) proposals that become equal stand once.
func offer(p wire.ProtocolID, spi []byte, proposals [][]wire.Transform, withKE bool) *wire.SA {
	sa := &wire.SA{}
	for _, ts := range proposals {
		if !withKE {
			ts = withoutKE(ts)
		}
		if slices.ContainsFunc(sa.Proposals, func(q wire.Proposal) bool { return sameTransforms(q.Transforms, ts) }) {
			continue
		}
		sa.Proposals = append(sa.Proposals, wire.Proposal{Number: uint8(len(sa.Proposals) + 1), Protocol: p, SPI: spi, Transforms: ts})
	}
	return sa
}

func withoutKE(ts []wire.Transform) []wire.Transform {
	return slices.DeleteFunc(slices.Clone(ts), func(t wire.Transform) bool { return t.Type.KeyExchange() })
}

func sameTransforms(a, b []wire.Transform) bool {
	return slices.EqualFunc(a, b, func(x, y wire.Transform) bool { return sameTransform(&x, &y) })
}

func sameTransform(x, y *wire.Transform) bool {
	return x.Type == y.Type && x.ID == y.ID && x.KeyLength() == y.KeyLength() && onlyKeyLength(x) == onlyKeyLength(y)
}

// onlyKeyLength says whether a transform has no attribute that we do not
// understand: such a transform is not acceptable (RFC 7296 3.3.6).
func onlyKeyLength(t *wire.Transform) bool {
	for i := range t.Attributes {
		if t.Attributes[i].Type != wire.AttrKeyLength || !t.Attributes[i].Short {
			return false
		}
	}
	return len(t.Attributes) <= 1
}

// ofType gives the transforms of a type.
func ofType(ts []wire.Transform, t wire.TransformType) []wire.Transform {
	var out []wire.Transform
	for i := range ts {
		if ts[i].Type == t {
			out = append(out, ts[i])
		}
	}
	return out
}

func transformWords(ts []wire.Transform) string {
	if len(ts) == 0 {
		return "none"
	}
	words := make([]string, 0, len(ts))
	for i := range ts {
		if i == 16 {
			words = append(words, "...")
			break
		}
		words = append(words, ts[i].Keyword())
	}
	return strings.Join(words, ", ")
}

// choose selects a proposal as a responder does (RFC 7296 2.7, 3.3.6): the
// first of ours that has something in common with one of the peer's, in the
// peer's order; of each type the transform that stands first with us, of key
// exchanges the one that the peer has already sent a value for, if that is
// acceptable. Each comparison is reported. withKE is false where key exchanges
// do not count.
func (s *SA) choose(p wire.ProtocolID, received []wire.Proposal, ours [][]wire.Transform, withKE bool, sent wire.KEMethod) (*wire.Proposal, bool) {
	for i, mine := range ours {
		if !withKE {
			mine = withoutKE(mine)
		}
		for j := range received {
			r := &received[j]
			if r.Protocol != p {
				s.detail(event.Check{Kind: event.CheckProposal, RFC: "RFC 7296 3.3.1", What: fmt.Sprintf("protocol of proposal %d", r.Number),
					Local: p.String(), Remote: r.Protocol.String()})
				continue
			}
			if ts, ok := s.match(i+1, mine, r, withKE, sent); ok {
				chosen := &wire.Proposal{Number: r.Number, Protocol: p, SPI: r.SPI, Transforms: ts}
				s.check(event.Check{Kind: event.CheckProposal, RFC: "RFC 7296 2.7", OK: true, What: fmt.Sprintf("%s proposal %d", p, r.Number),
					Local: wire.FormatProposal(p, mine), Remote: proposalText(r)})
				return chosen, true
			}
		}
	}
	local := make([]string, 0, len(ours))
	for _, mine := range ours {
		local = append(local, wire.FormatProposal(p, mine))
	}
	s.check(event.Check{Kind: event.CheckProposal, RFC: "RFC 7296 2.7", What: p.String() + " proposals", Why: "nothing in common",
		Local: strings.Join(local, ", "), Remote: receivedWords(p, received)})
	return nil, false
}

// unfit makes the failure of a list of proposals that has nothing in common with
// ours; what names ours: "no proposal of child net".
func unfit(what string, p wire.ProtocolID, received []wire.Proposal, ours [][]wire.Transform, withKE bool) *Failure {
	return &Failure{Payload: wire.PayloadSA, RFC: "RFC 7296 2.7", Text: fmt.Sprintf("%s fits: here %s; the peer %s", what,
		proposalWords(offer(p, nil, ours, withKE).Proposals), receivedWords(p, received))}
}

func proposalWords(ps []wire.Proposal) string {
	if len(ps) == 0 {
		return "none"
	}
	words := make([]string, 0, len(ps))
	for i := range ps {
		if i == 8 {
			words = append(words, "...")
			break
		}
		words = append(words, proposalText(&ps[i]))
	}
	return strings.Join(words, ", ")
}

// receivedWords names the proposals of the peer's, with their protocol where it
// is not the one that is wanted.
func receivedWords(want wire.ProtocolID, ps []wire.Proposal) string {
	for i := range ps {
		if ps[i].Protocol != want {
			return fmt.Sprintf("of %s: %s", ps[i].Protocol, proposalWords(ps))
		}
	}
	return proposalWords(ps)
}

// proposalText names a proposal, also one that leaves nothing to be named.
func proposalText(p *wire.Proposal) string {
	text := wire.FormatProposal(p.Protocol, p.Transforms)
	for i := range p.Transforms {
		if t := &p.Transforms[i]; t.Type == 0 || t.Type > wire.TransformADDKE7 {
			return fmt.Sprintf("%s, and %s of type %s", text, t.Name(), t.Type)
		}
	}
	if text == "" {
		text = fmt.Sprintf("%s proposal %d with %d transforms and no algorithm", p.Protocol, p.Number, len(p.Transforms))
	}
	return text
}

// match compares one proposal of ours with one of the peer's: every type of
// transform, so that all that does not fit is told and not only the first.
func (s *SA) match(number int, mine []wire.Transform, r *wire.Proposal, withKE bool, sent wire.KEMethod) ([]wire.Transform, bool) {
	var chosen []wire.Transform
	fits := true
	for typ := wire.TransformEncr; typ <= wire.TransformADDKE7; typ++ {
		if typ.KeyExchange() && !withKE {
			continue
		}
		have, want := ofType(mine, typ), ofType(r.Transforms, typ)
		if len(have) == 0 && len(want) == 0 {
			continue
		}
		// A type left out is the same as the algorithm "none" (RFC 7296 3.3.3).
		if len(have) == 0 {
			have = []wire.Transform{{Type: typ}}
		}
		absent := len(want) == 0
		if absent {
			want = []wire.Transform{{Type: typ}}
		}
		t, ok := common(have, want, sent)
		if ok && t.ID == 0 && typ != wire.TransformESN && !none(typ) {
			ok = false // ENCR and PRF cannot be left out
		}
		if !s.detail(event.Check{Kind: event.CheckTransform, RFC: "RFC 7296 3.3.6", OK: ok,
			What:  fmt.Sprintf("%s of proposal %d with our proposal %d", typ, r.Number, number),
			Local: transformWords(have), Remote: transformWords(want)}) {
			fits = false
		}
		if !absent {
			chosen = append(chosen, t)
		}
	}
	for i := range r.Transforms {
		if t := &r.Transforms[i]; t.Type == 0 || t.Type > wire.TransformADDKE7 {
			fits = s.detail(event.Check{Kind: event.CheckTransform, RFC: "RFC 7296 3.3.6",
				What: fmt.Sprintf("type %s of proposal %d", t.Type, r.Number), Local: "not understood", Remote: t.Name()})
			break
		}
	}
	return chosen, fits
}

// none says whether a type of transform has an algorithm "none", number 0.
func none(t wire.TransformType) bool { return t == wire.TransformInteg || t.KeyExchange() }

// common gives the first of have that want holds too.
func common(have, want []wire.Transform, sent wire.KEMethod) (wire.Transform, bool) {
	var found wire.Transform
	ok := false
	for i := range have {
		for j := range want {
			if !sameTransform(&have[i], &want[j]) || !onlyKeyLength(&want[j]) {
				continue
			}
			if !ok || have[i].Type == wire.TransformKE && wire.KEMethod(have[i].ID) == sent && sent != 0 {
				found, ok = want[j], true
			}
		}
	}
	found.Reserved1, found.Reserved2, found.Offset, found.Length = 0, 0, 0, 0
	found.Attributes = slices.Clone(found.Attributes)
	return found, ok
}

// chosen checks the responder's choice against what was offered (RFC 7296
// 2.7): one proposal, of each type one transform that was offered in it.
func (s *SA) chosen(offered, got *wire.SA) (*wire.Proposal, *Failure) {
	bad := func(local, remote, why string) (*wire.Proposal, *Failure) {
		return nil, s.refused(wire.PayloadSA, event.Check{Kind: event.CheckProposal, RFC: "RFC 7296 2.7", What: "the responder's choice",
			Local: local, Remote: remote, Why: why}, why)
	}
	if len(got.Proposals) != 1 {
		return bad("one of: "+proposalWords(offered.Proposals), fmt.Sprintf("%d proposals: %s", len(got.Proposals), proposalWords(got.Proposals)),
			"the answer must hold exactly one proposal")
	}
	c := &got.Proposals[0]
	i := slices.IndexFunc(offered.Proposals, func(p wire.Proposal) bool { return p.Number == c.Number && p.Protocol == c.Protocol })
	if i < 0 {
		return bad(proposalWords(offered.Proposals), fmt.Sprintf("proposal %d of %s", c.Number, c.Protocol), "a proposal that was not offered")
	}
	p := &offered.Proposals[i]
	for typ := wire.TransformEncr; typ <= wire.TransformADDKE7; typ++ {
		have, want := ofType(p.Transforms, typ), ofType(c.Transforms, typ)
		optional := len(have) == 0 || none(typ) && slices.ContainsFunc(have, func(t wire.Transform) bool { return t.ID == 0 })
		if len(have) == 0 && len(want) == 0 {
			continue
		}
		ok := len(want) == 1 && slices.ContainsFunc(have, func(t wire.Transform) bool { return sameTransform(&t, &want[0]) }) ||
			len(want) == 1 && want[0].ID == 0 && none(typ) && len(have) == 0 || len(want) == 0 && optional
		if !s.detail(event.Check{Kind: event.CheckTransform, RFC: "RFC 7296 3.3.6", OK: ok,
			What: fmt.Sprintf("%s of proposal %d, chosen by the responder", typ, c.Number), Local: transformWords(have), Remote: transformWords(want)}) {
			return bad(transformWords(have), transformWords(want), fmt.Sprintf("%s: not exactly one of those that were offered", typ))
		}
	}
	for j := range c.Transforms {
		if t := &c.Transforms[j]; t.Type == 0 || t.Type > wire.TransformADDKE7 {
			return bad("none", t.Name(), fmt.Sprintf("transform type %s was not offered", t.Type))
		}
	}
	s.check(event.Check{Kind: event.CheckProposal, RFC: "RFC 7296 2.7", What: "the responder's choice", OK: true,
		Local: proposalWords(offered.Proposals), Remote: proposalText(c)})
	kept := *c
	kept.Transforms = slices.Clone(c.Transforms)
	kept.SPI = slices.Clone(c.SPI)
	for j := range kept.Transforms {
		kept.Transforms[j].Attributes = slices.Clone(kept.Transforms[j].Attributes)
	}
	return &kept, nil
}

// transform gives the transform of a type, of id 0 where there is none.
func transform(p *wire.Proposal, t wire.TransformType) wire.Transform {
	for i := range p.Transforms {
		if p.Transforms[i].Type == t {
			return p.Transforms[i]
		}
	}
	return wire.Transform{Type: t}
}

// group gives the key exchange method of a chosen proposal, 0 for none.
func group(p *wire.Proposal) wire.KEMethod { return wire.KEMethod(transform(p, wire.TransformKE).ID) }

// ikeTransforms gives what the keys of an IKE SA depend on.
func ikeTransforms(p *wire.Proposal) suite.IKETransforms {
	encr := transform(p, wire.TransformEncr)
	return suite.IKETransforms{EncrID: encr.ID, EncrBits: encr.KeyLength(), IntegID: transform(p, wire.TransformInteg).ID,
		PRFID: transform(p, wire.TransformPRF).ID}
}

// espTransforms gives what the keys of a CHILD SA depend on.
func espTransforms(p *wire.Proposal) ESPTransforms {
	encr := transform(p, wire.TransformEncr)
	return ESPTransforms{EncrID: encr.ID, EncrBits: encr.KeyLength(), IntegID: transform(p, wire.TransformInteg).ID,
		ESN: transform(p, wire.TransformESN).ID == wire.ESNYes}
}

// groups lists the key exchange methods of proposals, in order, each once.
func groups(proposals [][]wire.Transform) []wire.KEMethod {
	var out []wire.KEMethod
	for _, ts := range proposals {
		for i := range ts {
			m := wire.KEMethod(ts[i].ID)
			if ts[i].Type == wire.TransformKE && m != 0 && !slices.Contains(out, m) {
				out = append(out, m)
			}
		}
	}
	return out
}
