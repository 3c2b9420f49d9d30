package ike

import (
	"github.com/cloudvlan/cvlanctl/engine"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// dpdTask is an empty INFORMATIONAL: a request for a sign of life (RFC 7296
// 1.4, 2.4).
type dpdTask struct{}

func (t *dpdTask) name() string  { return "liveness check" }
func (t *dpdTask) abandon(s *SA) {}

// probe asks for a sign of life. Any request that is on its way asks for one
// already.
func (s *SA) probe() {
	if len(s.out.requests) > 0 || s.waiting(func(t task) bool { _, ok := t.(*dpdTask); return ok }) {
		return
	}
	s.push(&dpdTask{})
}

func (t *dpdTask) build(s *SA) (wire.ExchangeType, []wire.Payload, bool) {
	s.dpd.Probes++
	return wire.ExchangeInformational, nil, true
}

// answer takes the round-trip time, except where it is not known which of
// several requests was answered.
func (t *dpdTask) answer(s *SA, m *message) {
	s.dpd.Answered++
	if !m.repeated {
		s.dpd.RTT = engine.Some(m.rtt)
	}
}
