package scan

import (
	"net/netip"
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

func v4(last byte) netip.Addr { return netip.AddrFrom4([4]byte{last, last, last, last}) }

// walk finds all that the host accepts, type by type: it offers everything,
// takes what was accepted out of the offer, and offers the rest, until nothing
// of the rest is accepted. That takes one request more than there are accepted
// algorithms, however many there are. What goes with a group that we cannot
// compute is found in another way, see beyond.
func (s *scanner) walk(all offer) error {
	all, err := s.spare(all)
	if err != nil {
		return err
	}
	if err := s.groups(all); err != nil {
		return err
	}
	found := only(s.result.Accepted, wire.TransformKE)
	usable := slices.DeleteFunc(slices.Clone(found), func(a Accepted) bool { return !computable(a) })
	for _, t := range []wire.TransformType{wire.TransformEncr, wire.TransformInteg, wire.TransformPRF} {
		if err := s.exhaust(all, t, usable); err != nil {
			return err
		}
	}
	for _, group := range found {
		if !computable(group) {
			if err := s.beyond(all, group); err != nil {
				return err
			}
		}
	}
	return nil
}

// spare leaves out of all further offers the PRFs that the host agreed to and
// then did not go on with, if it has others: each time something stays half open
// there, and a host bounds that.
func (s *scanner) spare(all offer) (offer, error) {
	deaf := slices.DeleteFunc(slices.Clone(all.prf), func(a Accepted) bool { return !s.deaf[a.ID] })
	if len(deaf) == 0 {
		return all, nil
	}
	rest := all
	rest.prf = without(all.prf, deaf)
	q, err := s.propose(wire.TransformPRF.String(), rest)
	if err != nil || q.Suite == "" {
		return all, err
	}
	for _, a := range deaf {
		a.Chosen = true
		s.result.accept(a)
	}
	s.take(q)
	return rest, nil
}

// groups walks the key exchange methods: an answer names one by choosing it or
// by INVALID_KE_PAYLOAD.
func (s *scanner) groups(all offer) error {
	rest := all
	for {
		rest.ke = without(rest.ke, only(s.result.Accepted, wire.TransformKE))
		if len(rest.ke) == 0 {
			return nil
		}
		before := len(s.result.Accepted)
		q, err := s.propose("key exchange methods", rest)
		if err != nil {
			return err
		}
		s.take(q)
		if len(s.result.Accepted) == before {
			return nil
		}
	}
}

// exhaust walks one transform type.
func (s *scanner) exhaust(all offer, t wire.TransformType, groups []Accepted) error {
	for {
		found := only(s.result.Accepted, t)
		o := all
		o.ke = groups
		switch t {
		case wire.TransformEncr:
			o.encr = without(o.encr, found)
		case wire.TransformInteg:
			// Beside encryption with its own integrity there is nothing to
			// learn.
			o.encr = slices.DeleteFunc(only(s.result.Accepted, wire.TransformEncr), func(a Accepted) bool { return wire.AEAD(a.ID) })
			o.integ = without(o.integ, found)
		case wire.TransformPRF:
			o.encr, o.integ = only(s.result.Accepted, wire.TransformEncr), only(s.result.Accepted, wire.TransformInteg)
			o.prf = without(o.prf, found)
		}
		if len(o.proposals()) == 0 {
			return nil
		}
		before := len(found)
		q, err := s.propose(t.String(), o)
		if err != nil {
			return err
		}
		s.take(q)
		if len(only(s.result.Accepted, t)) == before {
			return nil
		}
	}
}

// take notes what an answer accepted, and what it says of the host.
func (s *scanner) take(q Question) {
	s.result.learn(&q)
	if q.Group != "" {
		for _, k := range everything().ke {
			if k.Name() == q.Group {
				s.result.accept(k)
			}
		}
	}
	if q.Suite == "" {
		return
	}
	ts, err := wire.ParseProposal(wire.ProtocolIKE, q.Suite)
	if err != nil {
		return // of an older file
	}
	for i := range ts {
		s.result.accept(Accepted{Type: ts[i].Type, ID: ts[i].ID, Bits: ts[i].KeyLength(), Chosen: true})
	}
}
