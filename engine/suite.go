package engine

import "github.com/cloudvlan/cvlanctl/engine/wire"

// SuiteOf gives the suite of a proposal with one transform of each type, as a
// responder selects it (RFC 7296 2.7).
func SuiteOf(p *wire.Proposal) Suite {
	var s Suite
	for i := range p.Transforms {
		t := &p.Transforms[i]
		switch {
		case t.Type == wire.TransformEncr:
			s.EncrAlg, s.EncrID, s.EncrKeySize = t.Name(), t.ID, t.KeyLength()
		case t.Type == wire.TransformInteg:
			if t.ID != wire.IntegNone {
				s.IntegAlg, s.IntegID = t.Name(), t.ID
			}
		case t.Type == wire.TransformPRF:
			s.PRFAlg, s.PRFID = t.Name(), t.ID
		case t.Type == wire.TransformKE:
			if t.ID != 0 {
				s.DHGroup, s.DHID = t.Name(), t.ID
			}
		case t.Type.KeyExchange():
			if t.ID != 0 {
				s.AKE = append(s.AKE, t.Name())
			}
		case t.Type == wire.TransformESN:
			s.ESN = Some(t.ID == wire.ESNYes)
		}
	}
	s.Keyword = wire.FormatProposal(p.Protocol, p.Transforms)
	return s
}
