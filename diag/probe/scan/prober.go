package scan

import (
	"context"
	"fmt"

	"github.com/cloudvlan/cvlanctl/engine/wire"
)

// Prober asks a host single questions, for a test that knows what it wants to
// know. What holds for a scan holds for it: one request at a time, paced,
// bounded, and nothing left half open.
type Prober struct{ s *scanner }

// NewProber makes a prober over a line.
func NewProber(line Line, o Options) *Prober {
	return &Prober{newScanner(context.Background(), line, o)}
}

// Propose asks whether the host takes one of a connection's proposals, on the
// port for plain IKE or on the NATT port. Pad is the least size in octets of
// the IP packet that asks, 0 for as small as it is.
func (p *Prober) Propose(ctx context.Context, proposals [][]wire.Transform, marked bool, pad int) (Question, error) {
	p.s.ctx = ctx
	var ps []wire.Proposal
	for i, ts := range proposals {
		ps = append(ps, wire.Proposal{Number: uint8(i + 1), Protocol: wire.ProtocolIKE, Transforms: ts})
	}
	q := Question{Name: "proposals", Marked: marked, Offer: text(ps)}
	if pad > 0 {
		q.Name = fmt.Sprintf("packet of %d octets", pad)
	}
	err := p.s.init(&q, ps, pad)
	return q, err
}

// Future asks in major version 3, to which an IKEv2 responder says
// INVALID_MAJOR_VERSION whoever asks.
func (p *Prober) Future(ctx context.Context) (Question, error) {
	p.s.ctx = ctx
	q := Question{Name: "major version 3"}
	err := p.s.future(&q)
	return q, err
}

// Accepts finds all that the host accepts.
func (p *Prober) Accepts(ctx context.Context) (*Result, error) {
	p.s.ctx = ctx
	err := p.s.walk(everything())
	return p.s.result, err
}

// Verdict reads a question's outcome as a verdict.
func (q *Question) Verdict() Verdict { return verdict(*q) }
