package peer

import (
	"errors"
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/backend"
	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// StepESP is the step that only a test has which is to grade ESP.
const StepESP = "ESP algorithms"

// ESPOffer is a child of the engine's connection whose proposals leave the peer
// no choice of one algorithm: it stands in each of them.
type ESPOffer struct {
	Child     string
	Algorithm wire.Transform
}

// ESPAnswer is what the peer said to one.
type ESPAnswer struct {
	Algorithm wire.Transform
	Accepted  bool
	Suite     string // agreed on, in swanctl's spelling; "" where refused
	Answer    string // why not, in words; "" where accepted
}

// esp asks for children, one after the other, and ends each that comes up. What
// is asked is known before the first: it is bounded by the target.
func (r *run) esp() (Status, string) {
	if r.childFailed != nil {
		return Skip, noChild
	}
	taken := 0
	for i := range r.target.ESP {
		a, err := r.offer(&r.target.ESP[i])
		if err != nil {
			return Fail, fmt.Sprintf("after %d of %d: %s", i, len(r.target.ESP), reason(err))
		}
		if a.Accepted {
			taken++
		}
		r.report.ESP = append(r.report.ESP, a)
	}
	return Pass, fmt.Sprintf("the peer takes %d of the %d that were asked for, each alone", taken, len(r.target.ESP))
}

// offer asks for one child.
func (r *run) offer(o *ESPOffer) (ESPAnswer, error) {
	ctx, cancel := r.patient()
	defer cancel()
	a := ESPAnswer{Algorithm: o.Algorithm}
	target := backend.Target{IKE: r.target.Connection, Child: o.Child}
	err := r.engine.Up(ctx, target, backend.UpOptions{}, nil)
	if errors.Is(err, backend.ErrRefused) {
		a.Answer = reason(err)
		err = nil
	}
	if err != nil || a.Answer != "" {
		return a, err
	}
	sa, err := r.sa(ctx)
	if err != nil {
		return a, err
	}
	if sa == nil {
		return a, errors.New("the IKE SA is gone")
	}
	for _, c := range sa.Children {
		if c.Name == o.Child {
			a.Accepted, a.Suite = true, c.Suite.Keyword
		}
	}
	if !a.Accepted {
		a.Answer = "the child did not stay up"
		return a, nil
	}
	return a, r.engine.Down(ctx, target, backend.DownOptions{}, nil)
}
