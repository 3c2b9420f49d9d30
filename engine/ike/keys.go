package ike

import "github.com/cloudvlan/cvlanctl/engine/suite"

// Keys gives the SA's keys and the transforms that they are for, nil before
// they are negotiated. They belong to the SA, which wipes them at its end. It
// is for key tables that the operator asked for.
func (s *SA) Keys() (suite.IKETransforms, *suite.IKEKeys) {
	s.prepare()
	if s.keys == nil || s.ended() {
		return suite.IKETransforms{}, nil
	}
	return ikeTransforms(&s.proposal), s.keys
}

// prepare makes the keys that were put off. That cannot fail: the peer's value
// and the transforms were judged before IKE_SA_INIT was answered. If it does,
// the SA has no keys, and ends when it has been half-open for too long.
func (s *SA) prepare() {
	if do := s.putOff; do != nil {
		s.putOff = nil
		if err := do(); err != nil {
			s.keys, s.open, s.seal = nil, nil, nil
		}
	}
}

// Prepare does what the next datagrams would have to wait for, and nobody waits
// for now: the keys of the SA whose IKE_SA_INIT was answered last; and, when a
// connection came or an SA stands, a few ephemeral keys for SAs to come. Nothing
// depends on its being called, and no peer and no event can tell.
func (e *Endpoint) Prepare() {
	if s := e.answered; s != nil {
		e.answered = nil
		s.prepare()
	}
	if e.settled {
		e.settled = false
		for e.spares.Make() {
		}
	}
}

func (e *Endpoint) spareKeys() *suite.Spares { return &e.spares }
