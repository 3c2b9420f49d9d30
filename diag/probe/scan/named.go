package scan

import (
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/suite"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// nobodys is an encryption algorithm for private use, that no host takes from a
// stranger.
var nobodys = Accepted{Type: wire.TransformEncr, ID: 65000}

// beyond finds what the host accepts together with a group that we cannot
// compute. It never says so by a choice; but to a proposal that suits it, it
// answers with INVALID_KE_PAYLOAD and the group, and to others it does not. So
// one asks for halves, until one algorithm is left.
func (s *scanner) beyond(all offer, group Accepted) error {
	o := all
	o.ke = []Accepted{group}
	// A host that names its group whatever else is offered tells nothing.
	if named, err := s.named(o.with(nobodys)); err != nil || named {
		return err
	}
	for _, t := range []wire.TransformType{wire.TransformEncr, wire.TransformInteg, wire.TransformPRF} {
		q := o
		if t == wire.TransformInteg {
			q.encr = slices.DeleteFunc(slices.Clone(q.encr), func(a Accepted) bool { return wire.AEAD(a.ID) })
		}
		found, err := s.halve(q, t)
		if err != nil {
			return err
		}
		for _, a := range found {
			if s.result.named(a) {
				continue
			}
			alone, err := s.narrow(q.with(a))
			if err != nil {
				return err
			}
			for _, x := range alone.all() {
				s.result.accept(Accepted{Type: x.Type, ID: x.ID, Bits: x.Bits, Alone: wire.NotifyInvalidKEPayload.String()})
			}
		}
	}
	return nil
}

// named asks whether an offer suits the host, whose one group we cannot compute.
func (s *scanner) named(o offer) (bool, error) {
	if len(o.proposals()) == 0 {
		return false, nil
	}
	q, err := s.propose("with "+o.ke[0].Keyword(), o)
	s.result.learn(&q)
	return q.Group == o.ke[0].Name(), err
}

// halve gives those of an offer's algorithms of a type that suit the host beside
// the rest of the offer.
func (s *scanner) halve(o offer, t wire.TransformType) ([]Accepted, error) {
	named, err := s.named(o)
	list := *o.list(t)
	switch {
	case err != nil || !named:
		return nil, err
	case len(list) == 1:
		return list, nil
	}
	var found []Accepted
	for _, half := range [][]Accepted{list[:len(list)/2], list[len(list)/2:]} {
		part := o
		*part.list(t) = half
		more, err := s.halve(part, t)
		if err != nil {
			return nil, err
		}
		found = append(found, more...)
	}
	return found, nil
}

// narrow takes out of an offer that suits the host what it does not need, until
// it has one algorithm of each kind.
func (s *scanner) narrow(o offer) (offer, error) {
	for _, t := range []wire.TransformType{wire.TransformEncr, wire.TransformInteg, wire.TransformPRF} {
		for len(*o.list(t)) > 1 {
			list := *o.list(t)
			half := o
			*half.list(t) = list[:len(list)/2]
			named, err := s.named(half)
			if err != nil {
				return o, err
			}
			if named {
				o = half
			} else {
				*o.list(t) = list[len(list)/2:]
			}
		}
		if t == wire.TransformEncr {
			o = o.with(o.encr[0]) // integrity goes with some only
		}
	}
	return o, nil
}

// computable says whether we can compute a group.
func computable(a Accepted) bool { return suite.CanExchange(wire.KEMethod(a.ID)) }
