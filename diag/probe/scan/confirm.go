package scan

import (
	"slices"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// maxAlone bounds the proposals in which one algorithm is asked for alone.
const maxAlone = 3

// confirm asks for each algorithm once more in a proposal that leaves no
// choice: one transform of each kind, the others known to be good. A host that
// chose it among others and refuses it now contradicts itself, or has a rule
// that no list of algorithms shows. One proposal confirms all that it holds.
func (s *scanner) confirm() error {
	asked := map[string]string{} // offer → outcome
	for i := 0; i < len(s.result.Accepted); i++ {
		if a := s.result.Accepted[i]; !a.Chosen && (a.Alone != "" || a.Type == wire.TransformKE && !computable(a)) {
			continue // it goes only with a group that we cannot compute
		}
		for _, o := range s.alone(s.result.Accepted[i]) {
			if s.result.Accepted[i].Confirmed() {
				break
			}
			offer := text(o.proposals())
			outcome, known := asked[offer]
			if !known {
				q, err := s.propose("alone", o)
				if err != nil {
					return err
				}
				s.result.learn(&q)
				outcome = q.Outcome
				asked[offer] = outcome
			}
			if outcome != OutcomeAccepted {
				s.result.Accepted[i].Alone = outcome
				continue
			}
			for _, a := range o.all() {
				s.result.accept(Accepted{Type: a.Type, ID: a.ID, Bits: a.Bits, Chosen: true, Alone: OutcomeAccepted})
			}
		}
	}
	return nil
}

// alone gives offers of one transform of each kind that hold an algorithm, the
// likeliest first: what the host itself chose with it, then what is confirmed.
func (s *scanner) alone(a Accepted) []offer {
	var list []offer
	add := func(o offer) {
		ps := o.proposals()
		if len(ps) == 1 && has(ps, a) && !slices.ContainsFunc(list, func(have offer) bool { return text(have.proposals()) == text(ps) }) {
			list = append(list, o)
		}
	}
	var chosen []offer
	for _, suite := range s.result.Suites {
		if ts, err := wire.ParseProposal(wire.ProtocolIKE, suite); err == nil { // else of an older file
			chosen = append(chosen, offerOf(ts))
		}
	}
	for _, o := range chosen {
		if slices.ContainsFunc(o.all(), a.same) {
			add(o)
		}
	}
	for _, o := range chosen {
		add(o.with(a))
	}
	// One of those that hold it may be refused for something else in it.
	confirmed := slices.IndexFunc(list, func(o offer) bool {
		return !slices.ContainsFunc(o.all(), func(x Accepted) bool { return !x.same(a) && !s.result.confirmed(x) })
	})
	if confirmed >= maxAlone {
		list[maxAlone-1] = list[confirmed]
	}
	return list[:min(len(list), maxAlone)]
}

// offerOf is an offer of some transforms.
func offerOf(ts []wire.Transform) offer {
	var o offer
	for i := range ts {
		a := Accepted{Type: ts[i].Type, ID: ts[i].ID, Bits: ts[i].KeyLength()}
		if list := o.list(a.Type); list != nil {
			*list = append(*list, a)
		}
	}
	return o
}

// with is the offer with one algorithm in place of all others of its kind.
func (o offer) with(a Accepted) offer {
	*o.list(a.Type) = []Accepted{{Type: a.Type, ID: a.ID, Bits: a.Bits}}
	if len(o.encr) == 1 && wire.AEAD(o.encr[0].ID) {
		o.integ = nil
	}
	return o
}

// doubt marks what the host agreed to and then did not go on with.
func (r *Result) doubt() {
	var well, ill []Accepted // in suites with which it went on, and did not
	for i := range r.Questions {
		q := &r.Questions[i]
		ts, err := wire.ParseProposal(wire.ProtocolIKE, q.Suite)
		if q.Closed == nil || err != nil {
			continue
		}
		o := offerOf(ts)
		if *q.Closed {
			well = append(well, o.all()...)
		} else {
			ill = append(ill, o.all()...)
		}
	}
	if len(well) == 0 {
		return // it is not the algorithms
	}
	for i := range r.Accepted {
		a := &r.Accepted[i]
		a.Deaf = slices.ContainsFunc(ill, a.same) && !slices.ContainsFunc(well, a.same)
	}
}
